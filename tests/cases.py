#!/usr/bin/env python3
"""Counts the test cases that ctest has run; a test that has run none has proved nothing, and is a failure.

    tests/cases.py FOLDER COUNT_FILE   reads the last log of ctest in this build folder, and writes "PASSED FAILED SKIPPED"
    tests/cases.py --self-test

The cases of a program are those that GoogleTest or unittest say; any other program, such as one in C, is one case. What a
program skips inside is neither passed nor failed, and each such program is named.
"""

import re
import sys
from collections import Counter
from pathlib import Path

_BLOCK = re.compile(r"^\d+/\d+ Testing: (\S+).*?\n(.*?)(?=^\d+/\d+ Testing: |\Z)", re.M | re.S)
_RESULT = re.compile(r"^Test (Passed\.|Pass Reason:|Skipped\.|Skip Reason:)", re.M)
_GTEST = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) *\] (\d+) tests?\b", re.M)
_UNITTEST = re.compile(r"^Ran (\d+) tests? in .*\n+(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.M)
_COUNTS_CASES = re.compile(r"^Command: .*(--gtest_|\.py\b)", re.M)


def cases_of(block):
    """The cases of one test of ctest, as a Counter; empty where the program names none."""
    found = Counter()
    for kind, number in _GTEST.findall(block):
        found[kind.lower()] += int(number)
    for ran, more in _UNITTEST.findall(block):
        said = Counter({what: int(number) for what, number in re.findall(r"(\w[\w ]*)=(\d+)", more)})
        failed = said["failures"] + said["errors"] + said["unexpected successes"]
        found["failed"] += failed
        found["skipped"] += said["skipped"]
        found["passed"] += max(0, int(ran) - failed - said["skipped"])
    return +found


def count(log):
    """The cases of all tests in a log of ctest, as a Counter, and what there is to say of them."""
    total, said = Counter(), []
    for name, block in _BLOCK.findall(log):
        cases, passed = cases_of(block), _RESULT.search(block) is not None
        if not cases and passed and _COUNTS_CASES.search(block):
            said.append(f"{name} has run no test case: that proves nothing")
            passed = False
        if not cases or (not passed and not cases["failed"]):
            cases["passed" if passed else "failed"] += 1
        if cases["skipped"]:
            said.append(f"{name} has skipped {cases['skipped']} inside")
        total += cases
    if not total:
        said.append("no test was run")
    return total, said


def main():
    log = Path(sys.argv[1], "Testing/Temporary/LastTest.log").read_text(encoding="utf-8", errors="replace")
    total, said = count(log)
    print("\n".join(said))
    Path(sys.argv[2]).write_text(f"{total['passed']} {total['failed']} {total['skipped']}\n", encoding="utf-8")
    sys.exit(1 if total["failed"] or not total else 0)


# ---- the test of this script ----


def planted(name, command, output, result="Passed."):
    return f"1/9 Testing: {name}\n1/9 Test: {name}\nCommand: {command}\nOutput:\n{output}\n<end of output>\nTest {result}\n"


# What a program prints, how it ended, and what is to be counted: passed, failed, skipped.
PLANTS = [
    ('"a" "--gtest_filter=A.b"', "[  PASSED  ] 1 test.", "Passed.", (1, 0, 0)),
    ('"a" "--gtest_brief=1"', "[  PASSED  ] 41 tests.\n[  SKIPPED ] 2 tests, listed below:", "Passed.", (41, 0, 2)),
    ('"a" "--gtest_filter=A.b"', "[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:", "Skipped.", (0, 0, 1)),
    ('"a" "--gtest_brief=1"', "[  PASSED  ] 3 tests.\n[  FAILED  ] 2 tests, listed below:", "Failed.", (3, 2, 0)),
    ('"a" "--gtest_brief=1"', "[  PASSED  ] 3 tests.", "Failed.", (3, 1, 0)),
    ('"a" "--gtest_filter=-*"', "[  PASSED  ] 0 tests.", "Passed.", (0, 1, 0)),
    ('"python" "test_a.py"', "Ran 13 tests in 0.1s\n\nOK", "Passed.", (13, 0, 0)),
    ('"python" "test_a.py"', "Ran 13 tests in 0.1s\n\nOK (skipped=3)", "Passed.", (10, 0, 3)),
    ('"python" "test_a.py"', "Ran 13 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)", "Failed.", (7, 3, 3)),
    ('"python" "test_a.py"', "Ran 2 tests in 0.1s\n\nFAILED (unexpected successes=1)", "Failed.", (1, 1, 0)),
    ('"python" "test_a.py"', "Ran 0 tests in 0.0s\n\nOK", "Passed.", (0, 1, 0)),
    ('"python" "test_a.py"', "", "Passed.", (0, 1, 0)),
    ('"python" "test_a.py"', "Ran 0 tests in 0.0s\n\nNO TESTS RAN", "Failed.", (0, 1, 0)),
    ('"c_program"', "", "Passed.", (1, 0, 0)),
    ('"c_program"', "Segmentation fault", "Failed.", (0, 1, 0)),
]


def self_test():
    failed, log, sums = [], "", Counter()
    for number, (command, output, result, expected) in enumerate(PLANTS):
        block = planted(f"t{number}  # GetParam() = 1", command, output, result)
        total, _ = count(block)
        if (total["passed"], total["failed"], total["skipped"]) != expected:
            failed.append(f"{command} {output!r} {result}: expected {expected}, counted {dict(total)}")
        log += block
        sums += total
    if count(log)[0] != sums:
        failed.append(f"all together: expected {dict(sums)}, counted {dict(count(log)[0])}")
    if count("")[1] != ["no test was run"]:
        failed.append("an empty log is not complained of")
    print("\n".join(failed) if failed else f"self-test: {len(PLANTS)} planted results counted\ncases: {len(PLANTS) + 2}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    self_test() if sys.argv[1:] == ["--self-test"] else main()
