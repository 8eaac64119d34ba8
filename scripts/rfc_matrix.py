#!/usr/bin/python3
"""The RFC matrix: what the lists in tests/rfc/ require, joined with what code and tests cite.

rfc_matrix.py            a table per RFC and what is missing; exit 0
rfc_matrix.py --check    exit 1 if a MUST lacks code or a test, a SHOULD lacks code, test and reason, or a citation or list is wrong
rfc_matrix.py --ids      exit 1 only if a citation or a list is wrong
rfc_matrix.py --markdown the whole matrix, requirement by requirement

A citation is a comment: `//= rfc9293#3.8.6.1 MUST-36`, in tests `//= rfc9293#3.8.6.1 MUST-36 test`. Ids are separated by commas,
prose follows after two blanks, several citations may share a line. `exception: reason` after the ids says why a SHOULD
is not obeyed. A citation without an id points at a section and counts for nothing here. Conversations (tests/script/**/*.pkt)
are tests: their citations stand in comments at the top.
"""

import argparse
import dataclasses
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "checks"))
from source_tree import ROOT, proves_it_can_fail  # noqa: E402

LISTS = "tests/rfc"
CODE = ("lib", "drivers", "apps")
TESTS = ("tests",)
SUFFIXES = {".hpp", ".cpp", ".h", ".py", ".pkt", ".c"}
COLUMNS = ["id", "level", "section", "requirement", "reason"]
LEVELS = {
    "MUST": "MUST", "MUST NOT": "MUST", "REQUIRED": "MUST",
    "SHOULD": "SHOULD", "SHOULD NOT": "SHOULD", "RECOMMENDED": "SHOULD", "NOT RECOMMENDED": "SHOULD",
    "MAY": "MAY",
}
PREFIXES = {"MUST": {"MUST"}, "SHOULD": {"SHLD", "REC"}, "MAY": {"MAY"}}
NUMBERED = {"rfc9293"}  # Its ids are the document's own, unique whatever the section.

ID = r"(?:MUST|SHLD|MAY|REC)-\d+"
MARK = re.compile(r"(?://|#)=\s*(?=rfc\d)")
CITED = re.compile(r"(rfc\d+)#([\w.-]*\w)")
IDS = re.compile(rf"\s*({ID}(?:,\s*{ID})*)(.*)", re.S)


@dataclasses.dataclass
class Requirement:
    rfc: str
    id: str
    level: str  # MUST, SHOULD or MAY
    words: str  # as the RFC says it: MUST NOT, RECOMMENDED, ...
    section: str
    text: str
    reason: str
    code: list = dataclasses.field(default_factory=list)
    test: list = dataclasses.field(default_factory=list)
    exception: list = dataclasses.field(default_factory=list)

    @property
    def key(self):
        return f"{self.rfc}#{self.section} {self.id}"

    @property
    def does_not_apply(self):
        return self.reason.startswith("does not apply:")

    def lacks(self):
        """What the target asks for and is not there."""
        if self.does_not_apply or self.level == "MAY":
            return []
        if self.level == "MUST":
            return [name for name, found in (("code", self.code), ("test", self.test)) if not found]
        return [] if self.code or self.test or self.reason or self.exception else ["code, test or reason"]


def look_up_key(rfc, section, identifier):
    return (rfc, identifier) if rfc in NUMBERED else (rfc, section, identifier)


def read_lists(root):
    """({key: Requirement}, {rfc: title}, findings)."""
    requirements, titles, findings = {}, {}, []
    for path in sorted((root / LISTS).glob("*.tsv")):
        name, rfc = path.relative_to(root).as_posix(), path.stem
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) < 2 or not lines[0].startswith("# ") or lines[1].split("\t") != COLUMNS:
            findings.append(f"{name}:1: begins with `# title` and the columns {', '.join(COLUMNS)}")
            continue
        titles[rfc] = lines[0][2:].split(".")[0].removeprefix("RFC ")
        counts = {}
        for number, line in enumerate(lines[2:], 3):
            where, fields = f"{name}:{number}", line.split("\t")
            if len(fields) != len(COLUMNS):
                findings.append(f"{where}: {len(fields)} columns instead of {len(COLUMNS)}")
                continue
            identifier, words, section, text, reason = fields
            level = LEVELS.get(words)
            prefix, _, count = identifier.partition("-")
            if level is None or not re.fullmatch(ID, identifier) or prefix not in PREFIXES[level]:
                findings.append(f"{where}: `{identifier}` with level `{words}`")
                continue
            if not re.fullmatch(r"\d+(\.\d+)*", section) or not text:
                findings.append(f"{where}: no section or no text")
            if reason and not re.match(r"(does not apply|exception): \S", reason):
                findings.append(f"{where}: a reason begins with `does not apply: ` or `exception: `")
            if level == "MUST" and reason.startswith("exception:"):
                findings.append(f"{where}: a MUST has no exceptions; it is obeyed, or it does not apply")
            counter = prefix if rfc in NUMBERED else (section, prefix)
            counts[counter] = counts.get(counter, 0) + 1
            if int(count) != counts[counter]:
                findings.append(f"{where}: {identifier} is number {counts[counter]} of its kind")
            key = look_up_key(rfc, section, identifier)
            if key in requirements:
                findings.append(f"{where}: {identifier} twice")
            requirements[key] = Requirement(rfc, identifier, level, words, section, text, reason)
    return requirements, titles, findings


def citations(line):
    """(rfc, section, [ids], kind, reason) of each citation in a line; kind is code, test or exception."""
    mark = MARK.search(line)
    if not mark:
        return
    body = line[mark.end():]
    cited = list(CITED.finditer(body))
    for at, match in enumerate(cited):
        end = cited[at + 1].start() if at + 1 < len(cited) else len(body)
        rest = body[match.end():end]
        ids = []
        if found := IDS.match(rest):
            ids, rest = re.findall(ID, found[1]), found[2]
        kind, reason = "code", ""
        if re.match(r"\s*test\b(?!:)", rest):
            kind = "test"
        elif exception := re.match(r"\s*exception:(.*)", rest, re.S):
            kind, reason = "exception", exception[1].strip()
        yield match[1], match[2], ids, kind, reason


def join(root, requirements, listed):
    """Hangs every citation on its requirement; gives findings."""
    findings = []
    for folder, is_test_folder in [(f, False) for f in CODE] + [(f, True) for f in TESTS]:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            name = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                for rfc, section, ids, kind, reason in citations(line):
                    where = f"{name}:{number}"
                    if rfc not in listed:
                        continue
                    if ids and kind == "code" and is_test_folder:
                        findings.append(f"{where}: in tests/ a citation ends in ` test`")
                        continue
                    if kind == "test" and not (ids and is_test_folder):
                        findings.append(f"{where}: ` test` follows ids, and only in tests/")
                        continue
                    if kind == "exception" and not reason:
                        findings.append(f"{where}: an exception says why")
                    for identifier in ids:
                        requirement = requirements.get(look_up_key(rfc, section, identifier))
                        if requirement is None:
                            findings.append(f"{where}: {rfc}#{section} {identifier} is in no list of {LISTS}/")
                        elif kind == "exception" and requirement.level == "MUST":
                            findings.append(f"{where}: {identifier} is a MUST: it has no exceptions")
                        else:
                            getattr(requirement, kind).append(where)
    return findings


def build(root):
    requirements, titles, findings = read_lists(root)
    return list(requirements.values()), titles, findings + join(root, requirements, titles)


def missing(requirements):
    return [f"{r.key} ({r.words}) lacks {' and '.join(lacks)}: {r.text}" for r in requirements if (lacks := r.lacks())]


def check(root):
    requirements, _, findings = build(root)
    if not requirements:
        findings.append(f"{LISTS}: no lists")
    return findings + missing(requirements)


def table(requirements, titles):
    """Rows of the summary, heading first."""
    heading = ["RFC", "MUST", "n/a", "code", "test", "both", "SHOULD", "n/a", "covered", "by reason", "MAY", "cited"]
    rows, totals = [heading], [0] * (len(heading) - 1)
    for rfc, title in titles.items():
        of = {level: [r for r in requirements if r.rfc == rfc and r.level == level] for level in ("MUST", "SHOULD", "MAY")}
        must = [r for r in of["MUST"] if not r.does_not_apply]
        should = [r for r in of["SHOULD"] if not r.does_not_apply]
        numbers = [
            len(of["MUST"]), len(of["MUST"]) - len(must), sum(bool(r.code) for r in must), sum(bool(r.test) for r in must),
            sum(bool(r.code and r.test) for r in must), len(of["SHOULD"]), len(of["SHOULD"]) - len(should),
            sum(not r.lacks() for r in should), sum(not (r.code or r.test) and not r.lacks() for r in should),
            len(of["MAY"]), sum(bool(r.code or r.test) for r in of["MAY"]),
        ]
        totals = [a + b for a, b in zip(totals, numbers)]
        rows.append([title[:44], *map(str, numbers)])
    return [*rows, ["all", *map(str, totals)]]


def show(requirements, titles):
    rows = table(requirements, titles)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))


def markdown(requirements, titles):
    rows = table(requirements, titles)
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")
    for rfc, title in titles.items():
        print(f"\n## RFC {title}\n\n| id | level | requirement | code | test or reason |\n|---|---|---|---|---|")
        for r in (r for r in requirements if r.rfc == rfc):
            why = [*r.test, *([r.reason] if r.reason else []), *(f"exception: {w}" for w in r.exception)]
            text = r.text.replace("|", "\\|")
            print(f"| {r.section} {r.id} | {r.words} | {text} | {'<br>'.join(r.code)} | {'<br>'.join(why)} |")


HEAD = "# RFC 1 Made up.\n" + "\t".join(COLUMNS) + "\n"
GOOD = {
    "tests/rfc/rfc9293.tsv": HEAD + "MUST-1\tMUST\t3.1\tDo.\t\nSHLD-1\tSHOULD NOT\t3.1\tDo not.\t\nMAY-1\tMAY\t3\tOr.\t\n",
    "tests/rfc/rfc1.tsv": HEAD + "MUST-1\tMUST NOT\t2\tA.\t\nMUST-1\tMUST\t3\tB.\tdoes not apply: no such thing\n"
                                 "SHLD-1\tRECOMMENDED\t3\tC.\texception: why\nSHLD-2\tSHOULD\t3\tD.\t\n",
    "lib/a.cpp": "//= rfc9293#9.9 MUST-1, SHLD-1  prose MUST-77\nint a;  //= rfc1#2 MUST-1  rfc1#3 SHLD-2 exception: it is\n//= rfc5#1 MUST-5\n",
    "tests/unit/a.cpp": "//= rfc9293#3.1 MUST-1 test\n//= rfc1#2 MUST-1 test  rfc9293#3.1\nTEST_CASE\n",
}
BAD = [
    {"lib/a.cpp": "//= rfc9293#3.1 MUST-1, SHLD-1\n"},  # rfc1#2 MUST-1 without code, SHLD-2 without anything
    {"lib/a.cpp": GOOD["lib/a.cpp"] + "//= rfc9293#3.1 MUST-2\n"},  # no such id
    {"lib/a.cpp": GOOD["lib/a.cpp"] + "//= rfc1#9 MUST-1\n"},  # no such id in that section
    {"lib/a.cpp": GOOD["lib/a.cpp"] + "//= rfc9293#3.1 MUST-1 exception: we may\n"},
    {"lib/a.cpp": GOOD["lib/a.cpp"] + "//= rfc1#3 SHLD-1 exception:\n"},
    {"lib/a.cpp": GOOD["lib/a.cpp"] + "//= rfc9293#3.1 MUST-1 test\n"},  # a test outside tests/
    {"tests/unit/a.cpp": "//= rfc9293#3.1 MUST-1\n//= rfc1#2 MUST-1 test\n"},  # code inside tests/
    {"tests/unit/a.cpp": "//= rfc1#2 MUST-1 test\n"},  # rfc9293 MUST-1 without a test
    {"tests/rfc/rfc1.tsv": HEAD},  # the id that the code cites is gone
    {"tests/rfc/rfc2.tsv": HEAD + "MUST-2\tMUST\t1\tA.\tdoes not apply: x\n"},  # a number left out
    {"tests/rfc/rfc2.tsv": HEAD + "SHLD-1\tMUST\t1\tA.\tdoes not apply: x\n"},  # id and level differ
    {"tests/rfc/rfc2.tsv": HEAD + "MUST-1\tMUST\t1\tA.\texception: x\n"},
    {"tests/rfc/rfc2.tsv": HEAD + "SHLD-1\tSHOULD\t1\tA.\tbecause\n"},
    {"tests/rfc/rfc2.tsv": HEAD + "MAY-1\tMAY\t1\tA.\n"},  # a column is missing
    {"tests/rfc/rfc2.tsv": "MAY-1\tMAY\t1\tA.\t\n"},
]


def main():
    parser = argparse.ArgumentParser(description="Joins citations with the requirement lists of tests/rfc/.")
    choice = parser.add_mutually_exclusive_group()
    for name in ("report", "check", "ids", "markdown"):
        choice.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args()
    requirements, titles, findings = build(ROOT)
    if asked.markdown:
        return markdown(requirements, titles)
    proves_it_can_fail(check, GOOD, BAD)
    gaps = [] if asked.ids else missing(requirements)
    for line in findings + gaps:
        print(line)
    show(requirements, titles)
    print(f"rfc matrix: {len(findings)} wrong, {len(gaps)} missing")
    return 1 if findings and not asked.report or gaps and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
