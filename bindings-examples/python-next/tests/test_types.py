"""The package and a program of a user pass mypy at its strictest."""

import pathlib
import subprocess
import sys

import pytest

import blazen

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parent / "src" / "blazen"


@pytest.mark.parametrize("what", [str(PACKAGE), str(HERE / "typed_program.py")], ids=["package", "program"])
def test_mypy_is_content(what, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), what], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_with_a_wrong_type_is_refused(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from blazen import Workflow\nWorkflow(5)\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(wrong)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "arg-type" in done.stdout


def test_every_public_name_is_documented():
    missing = [
        name
        for name in blazen.__all__
        if name not in ("library_version", "ELSEWHERE") and not getattr(blazen, name).__doc__
    ]
    assert missing == []


def test_the_program_runs():
    done = subprocess.run([sys.executable, str(HERE / "typed_program.py")], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
