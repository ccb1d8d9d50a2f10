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


def test_every_public_name_is_documented_and_so_is_what_its_classes_have():
    missing = []
    for name in blazen.__all__:
        thing = getattr(blazen, name)
        if name in ("library_version", "ELSEWHERE"):
            continue
        if not thing.__doc__:
            missing.append(name)
        for cls in thing.__mro__ if isinstance(thing, type) else ():
            if cls.__module__.partition(".")[0] in ("blazen", "_blazen"):
                missing += [
                    f"{name}.{member}"
                    for member, value in vars(cls).items()
                    if not member.startswith("_") and callable(getattr(value, "__get__", None)) and not value.__doc__
                ]
    assert missing == []


def test_the_program_runs():
    done = subprocess.run([sys.executable, str(HERE / "typed_program.py")], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
