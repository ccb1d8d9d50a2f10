"""The relay: a digest of texts, as one run of a pipeline that four processes in two languages hand on to one another.

relay.py [--check] [--answer TEXT] BUILD_FOLDER FILE_OR_FOLDER...

Runs the four, then the same job without interruption, and says what that has proven; --check says it in one line. Ends
with 0 only if everything holds. The question that the run asks on its way is answered with TEXT; else by you, where there
is a terminal; else by default.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINDING = HERE.parent / "python"
DEFAULT_ANSWER = "A digest of texts"
OTHERS_JOINED = 3  # beside the parts, each analysed and checked: shelved, titled, registered
sys.path.insert(0, str(BINDING))


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
        self._environment = dict(
            os.environ,
            BLAZEN_LIBRARY=str(Path(build).resolve() / "libblazen.so"),
            PYTHONPATH=str(BINDING),
            PYTHONIOENCODING="utf-8:replace",
        )

    def path(self, name):
        return self._folder / name

    def run(self):
        self._c("relay_begin", self.path("1.snapshot"), *self._files)
        self._python("relay_analyse.py", self.path("1.snapshot"), self.path("2.snapshot"))
        if self.answer is None:
            self.answer = ask_human(self.waiting()[1]["questions"][0]["prompt"])
        self._c("relay_check", self.path("2.snapshot"), self.path("3.snapshot"), json.dumps(self.answer))
        self._python(
            "relay_finish.py", self.path("3.snapshot"), self.path("relay.json"), self.path("relay.snapshot")
        )

    def run_whole(self):
        steps = self._programs / "librelay_steps.so"
        self._python(
            "relay_whole.py", steps, self.answer, self.path("whole.json"), self.path("whole.snapshot"), *self._files
        )

    def waiting(self):
        """Where the stages stand in the second snapshot, and what the run inside the first waits for. To look, nobody needs
        a body of any step."""
        import blazen
        import relay_workflow

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.resume(relay_workflow.build({}), self.path("2.snapshot").read_bytes())
            return run.stages()["stages"], run.describe()["children"][0]["run"]

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


# ---- what was proven ----


def prove(relay, files):
    """The claims about a relay that has run, each with whether it holds."""
    import blazen

    stored = relay.path("relay.json").read_bytes()
    result = json.loads(stored)
    vocabulary, parts = result["vocabulary"], result["parts"]
    snapshots = [relay.path(f"{number}.snapshot").read_bytes() for number in (1, 2, 3)]
    middle = blazen.snapshot_info(snapshots[1])["inside"]
    stages, waiting = relay.waiting()
    stood = [f"stage {stage['name']!r} was {stage['status']}" for stage in stages]
    questions, in_back_off = len(waiting["questions"]), len(waiting["retrying"])
    ends = [blazen.snapshot_info(relay.path(name).read_bytes()) for name in ("relay.snapshot", "whole.snapshot")]
    routed = [end["events_routed"] for end in ends]
    sizes = ", ".join(f"{len(snapshot) / 1024:.1f} KiB" for snapshot in snapshots)
    hashes = {vocabulary["made"], vocabulary["carried"], vocabulary["found"]}
    return [
        (f"three snapshots handed the run on: {sizes}", len(snapshots) == 3),
        (f"in the second, {' and '.join(stood)}", [stage["status"] for stage in stages] == ["running", "pending"]),
        (
            f"it was taken with {middle['queued']} events queued and {middle['in_flight']} steps in flight",
            middle["queued"] > 0 and (middle["in_flight"] > 0 or parts == 0),
        ),
        (
            f"and with {questions} open question and {in_back_off} step in back-off",
            (questions, in_back_off) == (1, 1),
        ),
        (f"what Python asked was answered through C: {result['title']!r}", result["title"] == relay.answer),
        (
            f"a step that failed twice, in two processes, was done at attempt {result['registered_at_attempt']}",
            result["registered_at_attempt"] == 3,
        ),
        (
            f"every part counted exactly once: {result['analysed']} analysed, {result['checked']} checked",
            result["each_once"] and result["analysed"] == result["checked"] == parts,
        ),
        (
            f"{result['joined']} events, made in C and in Python, were joined in one call, and no step counted them",
            result["joined"] == 2 * parts + OTHERS_JOINED,
        ),
        (
            f"C and Python agreed on the SHA-256 of every part: {result['hashes_agreed']}",
            result["hashes_agreed"] == parts,
        ),
        (f"every file has the SHA-256 that it has on the disk: {len(files)}", on_the_disk(files, result)),
        (
            f"the Python object is the same bytes, made, carried by C, and found: {vocabulary['found'][:12]}",
            len(hashes) == 1,
        ),
        (f"{routed[0]} events from stage to stage, and {routed[1]} without interruption", routed[0] == routed[1]),
        (
            f"the result, {len(stored)} bytes, is byte for byte that of the same job without interruption",
            stored == relay.path("whole.json").read_bytes(),
        ),
    ]


def on_the_disk(files, result):
    found = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    return found == [file["sha256"] for file in result["files"]]


# ---- the program ----


def report(claims, quiet):
    """Prints the claims; answers whether all hold."""
    broken = [claim for claim, holds in claims if not holds]
    if quiet:
        print(f"relay: all {len(claims)} proofs hold" if not broken else f"relay: BROKEN: {'; '.join(broken)}")
        return not broken
    print("\nWhat this has shown:")
    for claim, holds in claims:
        print(f"  {'ok' if holds else 'BROKEN':<6} {claim}")
    return not broken


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
        os.environ["BLAZEN_LIBRARY"] = str(Path(given.build).resolve() / "libblazen.so")
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
