"""The relay: a digest of texts, as one run of a pipeline that four processes in two languages hand on to one another.

relay.py [--check] [--answer TEXT] BUILD_FOLDER FILE_OR_FOLDER...

Runs the four, then the same job without interruption, and says what that has proven; --check says it in one line. Ends
with 0 only if everything holds. The question that the run asks on its way is answered with TEXT; else by you, where there
is a terminal; else by default.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import relay_workflow
from blazen import Snapshot
from relay_claims import prove, report

HERE = Path(__file__).resolve().parent
DEFAULT_ANSWER = "A digest of texts"


class Failed(Exception):
    """The relay cannot go on; the message is for people."""


# ---- which files ----


def find_files(names):
    """Every file named, and those in every folder named, hidden ones left out; sorted within a folder."""
    for name in names:
        if os.path.isdir(name):
            yield from walk(name)
        elif os.path.isfile(name):
            yield readable(name)
        else:
            reason = "not a file or a folder" if os.path.exists(name) else "no such file"
            raise Failed(f"{reason}: {show(name)}")


def walk(folder):
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for file in sorted(files):
            path = os.path.join(place, file)
            if not file.startswith(".") and os.path.isfile(path):
                yield readable(path)


def readable(path):
    if not os.access(path, os.R_OK):
        raise Failed(f"cannot read {show(path)}: permission denied")
    return path


def show(path):
    return os.fsencode(path).decode("utf-8", "replace")


# ---- the processes ----


class Relay:
    """One relay in a folder of its own: the snapshots between the processes, and what comes out."""

    def __init__(self, folder, build, files, answer, quiet):
        """answer: what the question gets; None: whoever is at the terminal says so."""
        self.answer = answer
        self._folder = Path(folder)
        self._programs = Path(build).resolve() / "bindings-examples" / "relay"
        self._files = files
        self._output = subprocess.DEVNULL if quiet else None
        self._environment = dict(os.environ, PYTHONIOENCODING="utf-8:replace")

    def path(self, name):
        return self._folder / name

    def run(self):
        self._c("relay_begin", self.path("1.snapshot"), *self._files)
        self._python("relay_analyse.py", self.path("1.snapshot"), self.path("2.snapshot"))
        if self.answer is None:
            self.answer = ask_human(asyncio.run(self.middle())[1][0]["prompt"])
        self._c("relay_check", self.path("2.snapshot"), self.path("3.snapshot"), json.dumps(self.answer))
        self._python(
            "relay_finish.py", self.path("3.snapshot"), self.path("relay.json"), self.path("relay.snapshot")
        )

    def run_whole(self):
        self._python(
            "relay_whole.py", self.answer, self.path("whole.json"), self.path("whole.snapshot"), *self._files
        )

    def snapshot(self, name):
        return Snapshot(self.path(f"{name}.snapshot").read_bytes())

    async def middle(self):
        """Where the stages stand in the second snapshot, and its open questions. To look, nobody needs a body of any step."""
        run = relay_workflow.build({}).resume(self.snapshot(2))
        stages, questions = run.progress()["stages"], run.questions()
        run.abort()
        return stages, questions

    def _c(self, program, *arguments):
        self._call(program, [self._programs / program, *arguments])

    def _python(self, script, *arguments):
        self._call(script, [sys.executable, HERE / script, *arguments])

    def _call(self, name, command):
        try:
            status = subprocess.run(command, env=self._environment, stdout=self._output).returncode
        except OSError as failure:
            raise Failed(f"{name} could not be started: {failure.strerror}") from failure
        if status != 0:
            raise Failed(f"{name} ended with {status}")


def ask_human(prompt):
    """The answer of whoever is at the terminal; Enter alone: the default."""
    print(f"\n  The run asks: {prompt} [{DEFAULT_ANSWER}] ", end="", flush=True)
    answer = sys.stdin.readline().encode("utf-8", "replace").decode().strip() or DEFAULT_ANSWER
    print()
    return answer


# ---- the program ----


def parse(arguments):
    parser = argparse.ArgumentParser(prog="relay.py", allow_abbrev=False)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--answer")
    parser.add_argument("build")
    parser.add_argument("names", nargs="+")
    return parser.parse_args(arguments)


def main(arguments):
    given = parse(arguments)
    answer = None if given.answer is None else show(given.answer)
    if answer is None and (given.check or not sys.stdin.isatty()):
        answer = DEFAULT_ANSWER
    files = list(find_files(given.names))
    if not files:
        raise Failed("there is no file in what was named")
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        relay = Relay(folder, given.build, files, answer, given.check)
        relay.run()
        relay.run_whole()
        return 0 if report(prove(relay, files), given.check) else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failure:
        print(f"relay: {failure}", file=sys.stderr)
        sys.exit(1)
