#!/usr/bin/python3
"""Servers and clients in processes of their own, one core each. scripts/bench.sh wire runs it.

wire.py [--build-dir DIR] [--json FILE] [--only memif|vhost|afxdp] [--runs N] [--keep-files]
Exit status: 0, 1 if a measurement could not be made, 77 (skipped) without root. A part that this machine cannot run says so.
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"), str(pathlib.Path(__file__).resolve().parent)]

import afxdp  # noqa: E402: the path comes first
import lab as laboratory  # noqa: E402
import pairs  # noqa: E402
from figures import Figures, heading  # noqa: E402
from harness import before_others, measure  # noqa: E402
from run import cannot_run  # noqa: E402

PARTS = {"memif": pairs.Part("memif", "sluice-load -> sluice-httpd over memif"),
         "vhost": pairs.Part("vhost", "sluice-load -> sluice-httpd over virtio-user and vhost-user"),
         "afxdp": afxdp}


def main():
    root = laboratory.ROOT
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=root / "build-release", type=pathlib.Path)
    parser.add_argument("--json", default=root / "build" / "bench" / "wire.json", type=pathlib.Path)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--runs", dest="rounds", default=3, type=int)
    parser.add_argument("--command", default="bench/wire/wire.py", help="said in FILE")
    parser.add_argument("--keep-files", action="store_true", help="leave the programs' output in /tmp")
    arguments = parser.parse_args()
    if reason := cannot_run():
        print(f"SKIP: nothing was measured over wires: {reason}")
        return 77
    status = before_others()
    if status is not None:
        return status
    laboratory.remove_stale_namespaces()
    figures = Figures(arguments.command)
    heading("two processes, one core each")
    status = 0
    for name, part in PARTS.items():
        if arguments.only not in (None, name):
            continue
        if reason := part.obstacle():
            print(f"SKIP: {name} was not measured: {reason}", flush=True)
        elif not measure(part, arguments, figures):
            status = 1  # The others still have their turn.
    figures.append_to(arguments.json)
    return status


if __name__ == "__main__":
    sys.exit(main())
