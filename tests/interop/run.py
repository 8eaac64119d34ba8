#!/usr/bin/python3
"""Sluice against the Linux kernel over net_tap: each case in a network namespace of its own.

run.py [--build-dir DIR] [--only NAME]... [--list] [--keep-files]
NAME may hold * and ?. Exit status: 0, 1 if a case failed, 77 (skipped) without root or /dev/net/tun. Under CI=true a case that
is skipped has failed, unless it is for want of AF_XDP.
"""

import argparse
import fnmatch
import importlib
import logging
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import lab as laboratory  # noqa: E402: the path comes first
from registry import CASES  # noqa: E402

MODULES = ("reach", "transfer", "http", "closing", "connecting", "killing", "loss", "goodput", "replay", "operating", "changing", "abuse", "gate", "scans", "storms", "workers", "afxdp", "load")


MAY_SKIP = "no AF_XDP socket"  # How the reason begins that no machine of CI needs to mend.


def default_build():
    for name in ("build-release", "build"):
        if (laboratory.ROOT / name / "build.ninja").exists():
            return laboratory.ROOT / name
    return laboratory.ROOT / "build-release"


def cannot_run():
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces and taps"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"needs /dev/net/tun: {error.strerror}"
    if shutil.which("ip") is None:
        return "needs ip (iproute2)"
    return None


class TookTooLong(Exception):
    pass


def on_alarm(*_):
    raise TookTooLong


def run_case(case, build, keep_files):
    """None if it passed, else the text of the failure."""
    signal.signal(signal.SIGALRM, on_alarm)
    lab = laboratory.Lab(build, keep_files)
    with lab:
        try:
            signal.alarm(case.seconds)
            case.function(lab)
            for process in lab.processes:
                if isinstance(process, laboratory.Server) and (fault := process.bad_end()):
                    return "\n".join([fault, *process.tail()])
            return None
        except laboratory.Failed as failure:
            text = str(failure)
        except TookTooLong:
            text = f"took more than {case.seconds} s\n" + traceback.format_exc(limit=-3)
        except Exception:  # noqa: BLE001: whatever it was, the next case still runs
            text = traceback.format_exc(limit=-4)
        finally:
            signal.alarm(0)
        lines = [text]
        for process in lab.processes:
            lines += process.tail()
        if keep_files:
            lines.append(f"    files: {lab.folder}")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=default_build(), type=pathlib.Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep-files", action="store_true", help="leave configuration and output of the programs in /tmp")
    arguments = parser.parse_args()

    for name in MODULES:
        importlib.import_module(f"cases.{name}")
    chosen = [case for case in CASES.values()
              if not arguments.only or any(fnmatch.fnmatch(case.name, pattern) for pattern in arguments.only)]
    if arguments.list:
        for case in chosen:
            print(f"{case.name:<34} {case.sentence}")
        return 0
    if not chosen:
        print(f"no case matches {arguments.only}; see --list", file=sys.stderr)
        return 2
    if reason := cannot_run():
        print(f"SKIP: {reason}")
        return 1 if os.environ.get("CI") == "true" else 77

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    laboratory.remove_stale_namespaces()
    laboratory.raise_file_limit()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # One failure is told once, by its case.
    passed, failed, skipped = 0, [], 0
    for case in chosen:
        if reason := case.missing():
            if os.environ.get("CI") == "true" and not reason.startswith(MAY_SKIP):
                failed.append(case.name)
                print(f"FAIL          {case.name}: {reason}", flush=True)
                continue
            skipped += 1
            print(f"skip          {case.name}: {reason}", flush=True)
            continue
        began = time.monotonic()
        failure = run_case(case, arguments.build_dir, arguments.keep_files)
        took = time.monotonic() - began
        if failure is None:
            passed += 1
            print(f"ok   {took:6.1f} s  {case.name}: {case.sentence}", flush=True)
        else:
            failed.append(case.name)
            print(f"FAIL {took:6.1f} s  {case.name}: {case.sentence}\n{failure}", flush=True)
    for name in failed:
        print(f"again: tests/interop/run.py --build-dir {arguments.build_dir} --only {name} --keep-files")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
