"""The programs of the README run, and print what it says."""

import pathlib
import re
import subprocess
import sys

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


@pytest.mark.parametrize(
    "program, printed",
    list(zip(PROGRAMS, ["9\n['be', 'to']\n4\n", "{'paid': 5}\n"], strict=True)),
    ids=["one program", "one durable program"],
)
def test_a_program_runs(program, printed):
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
