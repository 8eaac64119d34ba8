#!/usr/bin/python3
"""Sluice on an emulated igb: one boot of a small Debian guest, every case in it, one line a case.

run.py [--build-dir DIR] [--keep-files]
Exit status: 0, 1 if a case failed, 77 (skipped) where QEMU, root or a tap cannot be had.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]

import lab as laboratory  # noqa: E402: the path comes first
from cases import CASES  # noqa: E402
from image import Image  # noqa: E402
from machine import Machine, installed_qemu  # noqa: E402
from packages import Packages, Unavailable  # noqa: E402

ALL_SECONDS = 840
PROGRAMS = ("apps/httpd/sluice-httpd", "apps/ctl/sluicectl", "tests/nic/nic_probe")


def cannot_run():
    if os.geteuid() != 0:
        return "needs root: it makes a network namespace and a tap"
    if not pathlib.Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    if os.uname().machine != "x86_64":
        return "needs an x86-64 machine: the guest runs this machine's programs"
    missing = [tool for tool in ("ip", "curl", "ping", "bash", "ldd") if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else None


def make_image(build, packages, path, folder):
    image = Image(packages, folder)
    for program in PROGRAMS:
        image.add_program(build / program)
    for tool in ("bash", "ip"):
        image.add_program(pathlib.Path(os.path.realpath(shutil.which(tool))), tool)
    image.add_program(laboratory.ROOT / "scripts/nic.sh")
    return image.write(path, HERE / "guest_init.sh")


class Score:
    def __init__(self):
        self.passed, self.failed = [], []

    def run(self, name, sentence, function, needs=()):
        began = time.monotonic()
        failure = None
        if missing := [need for need in needs if need not in self.passed]:
            failure = f"not run: {', '.join(missing)} failed"
        else:
            try:
                function()
            except laboratory.Failed as failed:
                failure = str(failed)
            except Exception:  # noqa: BLE001: whatever it was, the next case still runs
                failure = traceback.format_exc(limit=-4)
        (self.failed if failure else self.passed).append(name)
        print(f"{'FAIL' if failure else 'ok  '} {time.monotonic() - began:6.1f} s  {name}: {sentence}", flush=True)
        if failure:
            print(failure, flush=True)


def run_in(lab, build, packages, qemu):
    """Boots, runs the cases, powers off. Gives the score."""
    score = Score()
    initramfs = lab.folder / "initramfs"
    octets = make_image(build, packages, initramfs, lab.folder / "root")
    print(f"guest: Linux {packages.kernel_version}, {octets >> 20} MiB of initramfs; {qemu[0][0]}", flush=True)
    machine = Machine(lab, qemu, packages.kernel, initramfs)
    score.run("boot", "the guest boots", machine.wait_up)
    for name, sentence, function, needs in CASES:
        score.run(name, sentence, lambda function=function: function(machine), ["boot", *needs])
    if score.failed:
        print("\n".join(["the guest's console ended with:", *machine.console().splitlines()[-15:]]))
    else:
        machine.power_off()
    return score


def on_alarm(*_):
    raise laboratory.Failed(f"the suite took more than {ALL_SECONDS} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=laboratory.ROOT / "build-release", type=pathlib.Path)
    parser.add_argument("--keep-files", action="store_true", help="leave image and console in /tmp")
    arguments = parser.parse_args()
    # An emulated guest takes minutes where cores are shared, and its packages 90 MB.
    if os.environ.get("CI") and not os.environ.get("SLUICE_LONG_TESTS"):
        print("SKIP: in CI the emulated NIC is for the long run: scripts/test.sh --full, or scripts/test.sh --suite nic elsewhere")
        return 77
    if reason := cannot_run():
        print(f"SKIP: {reason}")
        return 77
    build = arguments.build_dir.resolve()
    try:
        packages = Packages(build / "tests/nic/packages").provide()
        qemu = installed_qemu() or packages.qemu()
    except Unavailable as reason:
        print(f"SKIP: no QEMU with an igb, or no kernel for its guest: {reason}")
        return 77

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(ALL_SECONDS)
    laboratory.remove_stale_namespaces()
    with laboratory.Lab(build, arguments.keep_files) as lab:
        score = run_in(lab, build, packages, qemu)
        if arguments.keep_files:
            print(f"files: {lab.folder}")
    print(f"{len(score.passed)} passed, {len(score.failed)} failed")
    return 1 if score.failed else 0


if __name__ == "__main__":
    sys.exit(main())
