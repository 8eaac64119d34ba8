#!/usr/bin/python3
"""What honest clients notice of a SYN flood, over net_tap and over memif. scripts/bench.sh gate runs it.

gate.py [--build-dir DIR] [--json FILE] [--only flood|memif] [--rounds N] [--keep-files]
Its figures are added to the list in FILE. Exit status: 0, 1 if a measurement could not be made, 77 (skipped)
without root or /dev/net/tun. A number that is missed is said, and no failure: machines differ.
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"), str(pathlib.Path(__file__).resolve().parent)]

import flood  # noqa: E402: the path comes first
import lab as laboratory  # noqa: E402
import memif  # noqa: E402
from figures import Figures, heading  # noqa: E402
from harness import before_others, measure  # noqa: E402
from run import cannot_run  # noqa: E402

PARTS = {"flood": flood, "memif": memif}


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
