"""What the checks share: the tree's files, C++ text without comments and strings, the report."""

import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S,
)


def code_only(text):
    """The text with comments and literals blanked; line numbers stay."""
    return _TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def sources(root, *folders, suffixes=(".hpp", ".cpp", ".h")):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def includes(text):
    """(line, name, is_system) of every #include."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
            yield number, match[2], match[1] == "<"


def proves_it_can_fail(check, good, bad):
    """Runs `check(root) -> [finding]` on made-up trees: `good` must pass, each of `bad` must not.

    A tree is {path: text}; `bad` is a list of trees laid over `good`.
    """
    def run(tree):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in tree.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check(root)

    if found := run(good):
        sys.exit(f"self-test: the good sample is refused: {found}")
    for sample in bad:
        if not run({**good, **sample}):
            sys.exit(f"self-test: this bad sample is not caught: {sample}")
    print(f"self-test: {len(bad)} bad samples caught, 1 good one passed")


def report(findings, what):
    for finding in findings:
        print(finding)
    print(f"{what}: {len(findings)} findings")
    return 1 if findings else 0
