"""Others read our snapshots: cbor2 (a CBOR library of another language) and pycddl (against the published grammar).

Every snapshot that the tests keep, and those of live runs taken at each step through the Python binding, must decode
with cbor2 to what the run holds, encode back to the very same bytes in cbor2's canonical form, and match snapshot.cddl.
What our own decoder refuses, the independent ones must not all accept silently: the refused samples are counted too.
"""

import sys
from pathlib import Path

import cbor2
import pycddl

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings-examples" / "python"))
import blazen  # noqa: E402

GRAMMAR = pycddl.Schema((ROOT / "src" / "snapshot" / "snapshot.cddl").read_text())
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "snapshot_fuzz"
SELF_DESCRIBED = bytes.fromhex("d9d9f7")  # tag 55799, which cbor2 reads through and does not write


def ours(data):
    """What our decoder says: the info document, or None where it refuses."""
    try:
        return blazen.snapshot_info(data)
    except blazen.BlazenError:
        return None


def agree(name, data):
    info = ours(data)
    assert info is not None, f"{name}: our decoder refuses it"
    document = cbor2.loads(data)
    again = SELF_DESCRIBED + cbor2.dumps(document, canonical=True)
    assert again == data, f"{name}: cbor2 encodes it differently"
    GRAMMAR.validate_cbor(data)
    assert document[3] == info["workflow"] and document[4] == info["fingerprint"], name
    assert len(document[10]) == info["state_keys"], name
    assert len(document[14]) == info["in_flight"] and len(document[15]) == info["queued"], name
    assert document[7][0] == info["events_routed"] and document[7][3] == info["stream_sequence"], name
    return document


def live_snapshots():
    """A run with state of all three tags, a queue, steps in flight and a stream, cut after each of its steps."""
    taken = []
    workflow = blazen.Workflow("independent")

    @workflow.step(accepts=blazen.START_EVENT)
    def begin(ctx, event):
        ctx.state["json"] = {"number": 1.5, "text": "ü\u0000", "list": [1, None, True]}
        ctx.state["bytes"] = bytes(range(256))
        ctx.state["object"] = complex(1, 2)
        ctx.publish(blazen.Event("Progress", {"at": 1}))
        taken.append(run.snapshot())
        return [blazen.Event("Part", index) for index in range(5)]

    @workflow.step(accepts="Part", max_concurrency=2)
    def part(ctx, event):
        ctx.state[f"part {event.value}"] = event.value
        ctx.send_event(blazen.Event("Seen", event.value))
        taken.append(run.snapshot())

    @workflow.step(accepts="Seen")
    def seen(ctx, event):
        taken.append(run.snapshot())
        return blazen.StopEvent("all") if len([key for key in ctx.state if key.startswith("part ")]) == 5 else None

    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.create(workflow)
        taken.append(run.snapshot())
        run.start("input")
        run.wait()
        taken.append(run.snapshot())
    return taken


def main():
    accepted = refused = 0
    for path in sorted(CORPUS.iterdir()):
        data = path.read_bytes()
        if ours(data) is None:
            refused += 1
        else:
            agree(path.name, data)
            accepted += 1
    assert accepted >= 15 and refused >= 3, (accepted, refused)
    live = live_snapshots()
    for number, data in enumerate(live):
        document = agree(f"live snapshot {number}", data)
    assert document[16] == ['"all"'], document[16]
    kinds = {type(value) for _, _, value in document[10]}
    assert kinds == {str, bytes, list}, kinds
    broken = bytearray(live[-1])
    broken[len(SELF_DESCRIBED) + 2] ^= 0xFF
    try:
        GRAMMAR.validate_cbor(bytes(broken))
    except Exception:  # pycddl's errors share no class
        pass
    else:
        raise AssertionError("the grammar accepts a broken document: it proves nothing")
    print(f"{accepted} kept and {len(live)} live snapshots read, encoded back and validated by others; {refused} refused")


if __name__ == "__main__":
    main()
