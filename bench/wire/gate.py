#!/usr/bin/python3
"""What honest clients notice of a SYN flood, over net_tap and over memif. scripts/bench.sh gate runs it.

gate.py [--build-dir DIR] [--json FILE] [--only flood|memif] [--rounds N] [--keep-files]
Its figures are added to the list in FILE. Exit status: 0, 1 if a measurement could not be made, 77 (skipped)
without root or /dev/net/tun. A number that is missed is said, and no failure: machines differ.
"""

import argparse
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"), str(pathlib.Path(__file__).resolve().parent)]

import flood  # noqa: E402: the path comes first
import lab as laboratory  # noqa: E402
import memif  # noqa: E402
from figures import Figures, heading  # noqa: E402
from run import cannot_run  # noqa: E402

_PR_SET_PDEATHSIG = 1
PARTS = {"flood": flood, "memif": memif}


@contextlib.contextmanager
def gone_with_us(lab):
    """Namespaces, files and regions go even when we are killed: a shell waits for the end of a pipe that only we hold."""
    script = ('cat >/dev/null; for name in $(ip netns list | cut -d" " -f1); do case $name in "$1"|"$1"-*) ip netns del "$name";; esac; done\n'
              'rm -rf "$2" /dev/shm/sluice."$1".*')
    with subprocess.Popen(["/bin/sh", "-c", script, "sh", lab.namespace, str(lab.folder)], stdin=subprocess.PIPE, start_new_session=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as watcher:
        yield
        watcher.kill()


def before_others():
    """A child in a session of its own, which the scheduler puts before all others: what else the machine does is not
    to be measured. The parent stays for the terminal's signals. Gives the child's exit status; in the child, None."""
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.setsid()
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/self/autogroup").write_text("-20", encoding="ascii")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def measure(part, arguments, figures):
    lab = laboratory.Lab(arguments.build_dir, arguments.keep_files)
    with gone_with_us(lab), lab:
        try:
            part.run(lab, figures, arguments.rounds)
        except laboratory.Failed as failure:
            print(f"bench/wire/gate.py: {failure}", file=sys.stderr)
            for process in lab.processes[-3:]:
                print("\n".join(process.tail()), file=sys.stderr)
            return False
    part.print_table(figures)
    return True


def main():
    root = laboratory.ROOT
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=root / "build-release", type=pathlib.Path)
    parser.add_argument("--json", default=root / "build" / "bench" / "gate.json", type=pathlib.Path)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--command", default="bench/wire/gate.py", help="said in FILE")
    parser.add_argument("--keep-files", action="store_true", help="leave the programs' output in /tmp")
    arguments = parser.parse_args()
    if reason := cannot_run():
        print(f"SKIP: honest clients in a flood were NOT measured: {reason}")
        return 77
    status = before_others()
    if status is not None:
        return status
    laboratory.remove_stale_namespaces()
    figures = Figures(arguments.command)
    heading("honest clients in a flood of spoofed SYNs")
    missed = []
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            if not measure(part, arguments, figures):
                return 1
            missed += part.misses(figures)
    figures.append_to(arguments.json)
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
