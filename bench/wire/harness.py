"""What the scripts of this folder share: they run before all others, and leave nothing behind."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys

import lab as laboratory

_PR_SET_PDEATHSIG = 1


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
    """One part of a suite in a lab of its own. False, and said why: it could not be measured."""
    lab = laboratory.Lab(arguments.build_dir, arguments.keep_files)
    with gone_with_us(lab), lab:
        try:
            part.run(lab, figures, arguments.rounds)
        except laboratory.Failed as failure:
            print(f"{sys.argv[0]}: {failure}", file=sys.stderr)
            for process in lab.processes[-3:]:
                print("\n".join(process.tail()), file=sys.stderr)
            return False
    part.print_table(figures)
    return True
