"""The relay: a digest of texts, as one run that four processes in two languages hand on to one another.

relay.py [--check] BUILD_FOLDER FILE_OR_FOLDER...

Runs the four, then the same job without interruption, and says what that has proven; --check says it in one line. Ends
with 0 only if everything holds.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINDING = HERE.parent / "python"
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

    def __init__(self, folder, build, files, quiet):
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
        self._c("relay_check", self.path("2.snapshot"), self.path("3.snapshot"))
        self._python(
            "relay_finish.py", self.path("3.snapshot"), self.path("relay.json"), self.path("relay.snapshot")
        )

    def run_whole(self):
        steps = self._programs / "librelay_steps.so"
        self._python("relay_whole.py", steps, self.path("whole.json"), self.path("whole.snapshot"), *self._files)

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


# ---- what was proven ----


def prove(relay, files):
    """The claims about a relay that has run, each with whether it holds."""
    import blazen

    stored = relay.path("relay.json").read_bytes()
    result = json.loads(stored)
    vocabulary, parts = result["vocabulary"], result["parts"]
    snapshots = [relay.path(f"{number}.snapshot").read_bytes() for number in (1, 2, 3)]
    middle = blazen.snapshot_info(snapshots[1])
    ends = [blazen.snapshot_info(relay.path(name).read_bytes()) for name in ("relay.snapshot", "whole.snapshot")]
    routed = [end["events_routed"] for end in ends]
    sizes = ", ".join(f"{len(snapshot) / 1024:.1f} KiB" for snapshot in snapshots)
    hashes = {vocabulary["made"], vocabulary["carried"], vocabulary["found"]}
    return [
        (f"three snapshots handed the run on: {sizes}", len(snapshots) == 3),
        (
            f"the second was taken with {middle['queued']} events queued and {middle['in_flight']} steps in flight",
            middle["queued"] > 0 and (middle["in_flight"] > 0 or parts == 0),
        ),
        (
            f"every part counted exactly once: {result['analysed']} analysed, {result['checked']} checked",
            result["analysed"] == result["checked"] == parts,
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
        (f"{routed[0]} events routed, and {routed[1]} without interruption", routed[0] == routed[1]),
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


def main(arguments):
    quiet = arguments[:1] == ["--check"]
    build, *names = arguments[1:] if quiet else arguments
    files = list(find_files(names))
    if not files:
        raise Failed("there is no file in what was named")
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        relay = Relay(folder, build, files, quiet)
        os.environ["BLAZEN_LIBRARY"] = str(Path(build).resolve() / "libblazen.so")
        relay.run()
        relay.run_whole()
        return 0 if report(prove(relay, files), quiet) else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failure:
        print(f"relay: {failure}", file=sys.stderr)
        sys.exit(1)
