#!/usr/bin/python3
"""Every folder that the design names has a README.md of 1 to 25 lines; text files carry no leftovers."""

import re
import sys

from source_tree import ROOT, proves_it_can_fail, report

# A folder with sources of its own needs a README; these hold only a program or data for their parent.
ROOTS = ("lib", "drivers", "apps", "tests", "bench", "scripts", "config")
EXEMPT = re.compile(r"^(tests/unit/.+|tests/fuzz/corpus.*|tests/[^/]+/(data|cases|corpus|golden).*|lib/include|lib|lib/tcp/.+)$")
SOURCE = {".hpp", ".cpp", ".py", ".sh", ".toml", ".def"}
LIMIT = 25

LEFTOVER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
TEXT = SOURCE | {".md", ".build", ".c", ".service", ".in"}


def check(root):
    findings = []
    for top in ROOTS:
        base = root / top
        if not base.is_dir():
            continue
        for folder in [base, *sorted(p for p in base.rglob("*") if p.is_dir())]:
            name = folder.relative_to(root).as_posix()
            if "__pycache__" in name:
                continue
            for path in sorted(folder.iterdir()):
                if path.is_file() and path.suffix in TEXT and path.name != "readmes.py":
                    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                        if match := LEFTOVER.search(line):
                            findings.append(f"{path.relative_to(root)}:{number}: `{match[0]}`: finish it, or describe the limit in a README")
            if EXEMPT.match(name) or not any(p.suffix in SOURCE for p in folder.iterdir()):
                continue
            readme = folder / "README.md"
            if not readme.exists():
                findings.append(f"{name}: no README.md")
                continue
            length = len(readme.read_text(encoding="utf-8").splitlines())
            if not 1 <= length <= LIMIT:
                findings.append(f"{name}/README.md: {length} lines; at most {LIMIT}")
    return findings


GOOD = {"lib/base/time.hpp": "// why\n", "lib/base/README.md": "# base\n" * LIMIT, "tests/unit/base/a.cpp": "\n"}
BAD = [
    {"lib/ip/a.cpp": "\n"},
    {"lib/base/README.md": "x\n" * (LIMIT + 1)},
    {"lib/base/README.md": ""},
    {"lib/base/time.hpp": "// TO" "DO: later\n"},
    {"drivers/sim/a.hpp": "\n"},
]

if __name__ == "__main__":
    proves_it_can_fail(check, GOOD, BAD)
    sys.exit(report(check(ROOT), "readmes"))
