"""What a relay that has run has proven."""

import asyncio
import hashlib
import json
from pathlib import Path

OTHERS_JOINED = 3  # beside the parts, each analysed and checked: shelved, titled, registered


def prove(relay, files):
    """The claims about a relay that has run, each with whether it holds."""
    stored = relay.path("relay.json").read_bytes()
    result = json.loads(stored)
    vocabulary, parts = result["vocabulary"], result["parts"]
    snapshots = [relay.snapshot(number) for number in (1, 2, 3)]
    middle = snapshots[1].info["inside"]
    stages, _ = asyncio.run(relay.middle())
    stood = [f"stage {stage['name']!r} was {stage['status']}" for stage in stages]
    questions, in_back_off = middle["questions"], middle["retrying"]
    routed = [relay.snapshot(name).info["events_routed"] for name in ("relay", "whole")]
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
