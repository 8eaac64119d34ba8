#!/usr/bin/python3
"""Adds up what the test runners themselves said.

totals.py LABEL=TESTLOG.JSON...   reads what `meson test` logged and prints one row a test with the
runner's own total (Catch2's, `N passed, M failed`, else the exit status counted as one), why
something was skipped, the end of what a failed one printed, and at last `N passed, M failed`. Exits 1
if anything failed. Under CI=true what is skipped has failed, unless MAY_SKIP names it.
"""

import json
import os
import pathlib
import re
import sys

CATCH_OK = re.compile(r"^All tests passed \((?:\d+ assertions?) in (\d+) test cases?\)", re.M)
CATCH_COUNTS = re.compile(r"^test cases:\s+(\d+)\s*\|(?:\s*(\d+) passed)?(?:\s*\|?\s*(\d+) failed)?", re.M)
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed", re.M)
LAST_LINES = 25  # of a failed test's output, each cut to
LINE_LENGTH = 240
MAY_SKIP = {"nic"}  # What no machine of CI has.
SKIP = re.compile(r"^SKIP:?\s*(.*)$", re.M)


def count(test):
    """(passed, failed, the runner's own line) of one entry of testlog.json."""
    text = test.get("stdout", "") + "\n" + test.get("stderr", "")
    is_ok = test["result"] == "OK"
    passed, failed, line = (1, 0, "exit 0") if is_ok else (0, 1, f"exit {test['returncode']}")
    if match := list(PLAIN.finditer(text)):
        passed, failed = int(match[-1][1]), int(match[-1][2])
        line = match[-1][0]
    elif match := list(CATCH_OK.finditer(text)):
        passed, failed, line = sum(int(m[1]) for m in match), 0, match[-1][0]
    elif match := list(CATCH_COUNTS.finditer(text)):
        passed = sum(int(m[2] or 0) for m in match)
        failed = sum(int(m[3] or 0) for m in match)
        line = match[-1][0]
    if not is_ok and failed == 0:  # A crash after, or instead of, the runner's total.
        failed = 1
        line = f"{test['result'].lower()}, exit {test['returncode']}"
    return passed, failed, line


def last_words(test):
    """The end of what a failed test printed, where runners say what is wrong."""
    lines = (test.get("stdout", "") + "\n" + test.get("stderr", "")).splitlines()
    return [f"    ! {line[:LINE_LENGTH]}" for line in lines if line.strip()][-LAST_LINES:]


def self_test():
    cases = [
        ({"result": "OK", "returncode": 0, "stdout": "All tests passed (9 assertions in 4 test cases)\n"}, (4, 0)),
        ({"result": "FAIL", "returncode": 1,
          "stdout": "test cases: 3 | 2 passed | 1 failed\nassertions: 9 | 8 passed | 1 failed\n"}, (2, 1)),
        ({"result": "FAIL", "returncode": 2, "stdout": "test cases: 1 | 1 failed\n"}, (0, 1)),
        ({"result": "OK", "returncode": 0, "stdout": "x\n21 passed, 0 failed\n"}, (21, 0)),
        ({"result": "FAIL", "returncode": -11, "stdout": "All tests passed (9 assertions in 4 test cases)\n"}, (4, 1)),
        ({"result": "OK", "returncode": 0, "stdout": ""}, (1, 0)),
        ({"result": "TIMEOUT", "returncode": -15, "stdout": ""}, (0, 1)),
    ]
    for test, wanted in cases:
        got = count(test)
        assert got[:2] == wanted, (test, got)


def main():
    self_test()
    passed = failed = skipped = 0
    for argument in sys.argv[1:]:
        label, _, path = argument.partition("=")
        log = pathlib.Path(path)
        if not log.exists():
            print(f"  {label:<12} no test log: {path}")
            failed += 1
            continue
        for text in log.read_text(encoding="utf-8").splitlines():
            test = json.loads(text)
            name = re.sub(r"^.*/ ", "", test["name"]).removeprefix("sluice:")
            if test["result"] == "SKIP":
                reason = SKIP.findall(test.get("stdout", "") + "\n" + test.get("stderr", ""))
                is_bad = os.environ.get("CI") == "true" and name not in MAY_SKIP
                print(f"  {label:<12} {name:<28} skipped: {reason[0] if reason else 'the test says it cannot run here'}"
                      + ("  FAILED" if is_bad else ""))
                failed += is_bad
                skipped += not is_bad
                continue
            now_passed, now_failed, line = count(test)
            passed += now_passed
            failed += now_failed
            verdict = "  FAILED" if now_failed else ""
            print(f"  {label:<12} {name:<28} {line}  ({test['duration']:.1f} s){verdict}")
            if now_failed:
                print("\n".join(last_words(test)))
    print(f"{passed} passed, {failed} failed" + (f" ({skipped} skipped)" if skipped else ""))
    return 1 if failed else 0


sys.exit(main())
