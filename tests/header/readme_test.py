"""The README tells the truth: its C program is the example that is built and run, and every command that it names exists."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def check_program():
    program = re.search(r"```c\n(.*?)```", README, re.S).group(1)
    example = (ROOT / "bindings-examples" / "c" / "hello.c").read_text()
    assert program == example, "the C program of README.md is not bindings-examples/c/hello.c"


def check_paths():
    named = set(re.findall(r"`((?:tools|src|tests|include|capi|bindings-examples)/[\w./-]*)", README))
    assert len(named) > 10, named
    gone = [name for name in sorted(named) if not (ROOT / name).exists()]
    assert not gone, f"README.md names what is not there: {gone}"


if __name__ == "__main__":
    check_program()
    check_paths()
    sys.exit(0)
