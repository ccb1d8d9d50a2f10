"""Others read our snapshots: cbor2 (a CBOR library of another language) and pycddl (against the published grammar).

Every snapshot that the tests keep, and those of a live run taken at each step (through ctypes), must decode
with cbor2 to what the run holds, encode back to the very same bytes in cbor2's canonical form, and match snapshot.cddl.
What our own decoder refuses, the independent ones must not all accept silently: the refused samples are counted too.
"""

import ctypes
import json
import os
import unittest
from pathlib import Path

import cbor2
import pycddl

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ctypes.CDLL(os.environ["BLAZEN_LIBRARY"])
for name in ("blazen_error_message", "blazen_snapshot_data", "blazen_value_data"):
    getattr(LIBRARY, name).restype = ctypes.c_void_p
STEP = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

GRAMMAR = pycddl.Schema((ROOT / "src" / "snapshot" / "snapshot.cddl").read_text())
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "snapshot_fuzz"
GOLDEN = ROOT / "tests" / "snapshot" / "golden"
LIVE = 45474  # the tag around [label, value] of what was LIVE
SELF_DESCRIBED = bytes.fromhex("d9d9f7")  # tag 55799, which cbor2 reads through and does not write


class Refused(Exception):
    """What the library says."""


def bytes_at(function, handle):
    length = ctypes.c_size_t()
    return ctypes.string_at(getattr(LIBRARY, function)(handle, ctypes.byref(length)), length.value)


def call(function, *arguments):
    """Texts go with their lengths."""
    given, error = [], ctypes.c_void_p()
    for each in arguments:
        each = each.encode() if isinstance(each, str) else each
        given += [each, ctypes.c_size_t(len(each))] if isinstance(each, bytes) else [each]
    if getattr(LIBRARY, function)(*given, ctypes.byref(error)) != 0:
        message = bytes_at("blazen_error_message", error).decode()
        LIBRARY.blazen_error_release(error)
        raise Refused(f"{function}: {message}")


def make(function, *arguments):
    made = ctypes.c_void_p()
    call(function, *arguments, ctypes.byref(made))
    return made


def ours(data):
    """What our decoder says: the info document, or None where it refuses."""
    try:
        snapshot = make("blazen_snapshot_parse", bytes(data))
    except Refused:
        return None
    info = make("blazen_snapshot_info", snapshot)
    said = json.loads(bytes_at("blazen_value_data", info))
    LIBRARY.blazen_value_release(info)
    LIBRARY.blazen_snapshot_release(snapshot)
    return said


def with_marks(document):
    """The same, with the tag that cbor2 reads through around each run inside."""
    if not isinstance(document, dict) or not isinstance(document.get(41), list):
        return document
    since, required, children = document[41]
    inside = [[id, cbor2.CBORTag(55799, with_marks(child))] for id, child in children]
    return {**document, 41: [since, required, inside]}


def encode(document):
    return SELF_DESCRIBED + cbor2.dumps(with_marks(document), canonical=True)


def agree(name, data):
    info = ours(data)
    assert info is not None, f"{name}: our decoder refuses it"
    document = cbor2.loads(data)
    assert encode(document) == data, f"{name}: cbor2 encodes it differently"
    GRAMMAR.validate_cbor(data)
    assert document[3] == info["workflow"] and document[4] == info["fingerprint"], name
    assert len(document[10]) == info["state_keys"], name
    assert len(document[14]) == info["in_flight"] and len(document[15]) == info["queued"], name
    assert document[7][0] == info["events_routed"] and document[7][3] == info["stream_sequence"], name
    assert document[17] == info["dropped"], name
    assert len(document[19]) == info["delayed"] and len(document[20]) == info["retrying"], name
    assert len(document[22]) == info["questions"] and (document[24] != 0) == info["paused"], name
    assert len(runs_inside(document)) == info["children"], name
    return document


def runs_inside(document):
    """The documents of the runs inside a run, at any depth, each with the id of its invocation."""
    if 41 not in document:
        return []
    since, required, children = document[41]
    assert (since, required) == ("0.2.0", 1)
    inside = []
    for invocation, child in children:
        assert invocation in [id for id, *_ in document[14]] and child[0] == "blazen/run" and child[9] is None
        inside += [(invocation, child), *runs_inside(child)]
    return inside


def live_snapshots():
    """A run with state of all three tags, a queue, steps in flight and a stream, cut in each of its steps."""
    taken, failures, parts, handles = [], [], [], []

    def made(function, *arguments):
        handles.append(make(function, *arguments))
        return handles[-1]

    def cut():
        snapshot = make("blazen_run_snapshot", run)
        taken.append(bytes_at("blazen_snapshot_data", snapshot))
        LIBRARY.blazen_snapshot_release(snapshot)

    def body(function):
        @STEP
        def step(_, context, event, error):
            try:
                function(ctypes.c_void_p(context))
            except BaseException as failure:  # none may go through the library
                failures.append(failure)
            return 0

        handles.append(step)
        return step

    def begin(context):
        call("blazen_context_set_json", context, "json", '{"number":1.5,"text":"ü\\u0000","list":[1,null,true]}')
        call("blazen_context_set_value", context, "bytes", made("blazen_value_bytes", bytes(range(256))))
        call("blazen_context_set_value", context, "object", made("blazen_value_native", b"\x80\x04N.", "python/pickle"))
        progress = made("blazen_event_create", "Progress", made("blazen_value_json", '{"at":1}'), None)
        call("blazen_context_publish", context, progress)
        cut()
        for index in range(5):
            call("blazen_context_emit_json", context, "Part", str(index))

    def part(context):
        parts.append(1)
        call("blazen_context_set_json", context, f"part {len(parts)}", "1")
        call("blazen_context_send_event", context, made("blazen_event_create", "Seen", None, None), None)
        cut()

    def seen(context):
        cut()
        if sum(1 for _ in parts) == 5:
            call("blazen_context_emit_json", context, "blazen::StopEvent", '"all"')

    builder = made("blazen_workflow_builder_create", "independent")
    for name, accepts, function in (("begin", "blazen::StartEvent", begin), ("part", "Part", part), ("seen", "Seen", seen)):
        call("blazen_workflow_builder_add_step", builder, name, accepts, body(function), None, None)
    call("blazen_workflow_builder_step_max_concurrency", builder, "part", ctypes.c_uint32(1))
    runtime = made("blazen_runtime_create", None)
    run = make("blazen_run_create", runtime, made("blazen_workflow_builder_build", builder), None)
    cut()
    call("blazen_run_start", run, made("blazen_value_json", '"input"'))
    call("blazen_run_wait", run, ctypes.c_int64(60_000), None)
    cut()
    call("blazen_runtime_close", runtime)
    assert not failures, failures
    return taken


def grammar_refuses(data):
    try:
        GRAMMAR.validate_cbor(data)
    except Exception:  # pycddl's errors share no class
        return True
    return False


def check_what_was_live(kept):
    """The samples with LIVE values say what they were made of; elsewhere, and in other forms, nobody takes them."""
    session = {key: value for key, _, value in kept["live"][11]}
    assert session["name"] == '"n"' and session["db"] == cbor2.CBORTag(LIVE, ["db", ["python/pickle", b"\x80\x04"]])
    assert session["unlabelled"] == cbor2.CBORTag(LIVE, ["", b"x" * 300])
    values = [value for _, _, value, _, _ in kept["live"][13]]
    assert values == [cbor2.CBORTag(LIVE, ["python/Connection", '{"dsn": "x"}']), cbor2.CBORTag(LIVE, ["db", b""])]
    assert kept["live"][17] == ["session 'gpu'", "event 'Note' (id 7)"]
    assert kept["completed-live"][16] == [cbor2.CBORTag(LIVE, ["db", "[]"])]
    assert kept["failed-live"][16][6] == cbor2.CBORTag(LIVE, ["a", "1"])
    one = cbor2.CBORTag(LIVE, ["db", "1"])
    # pycddl takes nearly anything where there is a choice of types: of those faults, our decoder alone can say.
    for_decoders = [
        {9: one},  # metadata
        {10: [["key", 1, one]]},  # state
        {11: [["key", 1, cbor2.CBORTag(LIVE + 1, ["db", "1"])]]},
        {11: [["key", 1, cbor2.CBORTag(LIVE, ["db"])]]},
        {11: [["key", 1, cbor2.CBORTag(LIVE, ["x" * 1025, "1"])]]},
        {11: [["key", 1, cbor2.CBORTag(LIVE, ["db", one])]]},
        {11: [["key", 1, cbor2.CBORTag(LIVE, ["db", None])]]},
    ]
    for_grammars = [{17: [""]}, {17: ["x" * 4097]}, {17: None}]
    sound = {**kept["tables"], 10: []}
    for fault in for_decoders + for_grammars:
        data = SELF_DESCRIBED + cbor2.dumps({**sound, **fault}, canonical=True)
        assert ours(data) is None, fault
        assert fault in for_decoders or grammar_refuses(data), fault
    sound[11] = [["key", 1, one]]
    agree("LIVE in the session", SELF_DESCRIBED + cbor2.dumps(sound, canonical=True))


def check_what_waits(kept):
    """The samples with timers, questions and a pause say what they wait for."""
    waiting = kept["waiting"]
    events = waiting[13]
    assert waiting[18] == [48, 1_700_000_000_048], waiting[18]
    moments = [(due, events[event][1], step) for due, event, step in waiting[19]]
    assert moments == [
        (70, "blazen::InputRequestEvent", None),
        (500, "Note", None),
        (500, "Work", 1),
    ], moments
    attempts = {id: (attempt, len(effects)) for id, _, _, attempt, effects in waiting[15]}
    assert all(attempts[id] == (2, 24) for _, id in waiting[20]) and len(waiting[20]) == 2, (waiting[20], attempts)
    open_questions = [(events[event][4], asker) for event, asker, _ in waiting[22]]
    (body,) = waiting[21]
    assert ("of an event", 0) in open_questions and ("of a body", body) in open_questions, open_questions
    assert [(id, value) for _, id, value in waiting[23]] == [
        ("b", '"yes"'),
        ("a", cbor2.CBORTag(LIVE, ["answer", b"no"])),
    ]
    asker = waiting[23][0][0]
    assert [entry for entry in waiting[25] if entry[0] == asker] == [[asker, name, 7] for name in "abc"], waiting[25]
    assert [body, "of a body", 7] in waiting[25], waiting[25]
    assert (waiting[24], kept["paused"][24], kept["draining"][24]) == (0, 1, 2)
    one = [[1, "T", "1", None, None]]
    # Laws that no grammar can say.
    for fault in [{20: [[1, 1]]}, {21: [1]}, {22: [[0, 0, 0]]}, {23: [[1, "q", "1"]]}, {13: one, 22: [[0, 0, 0]]}, {25: [[1, "q", 7]]}]:
        data = SELF_DESCRIBED + cbor2.dumps({**kept["idle"], **fault}, canonical=True)
        assert ours(data) is None, fault
    for fault in [{18: [0]}, {18: [-1, 0]}, {19: [[1]]}, {21: [0]}, {24: 3}, {25: [[0, "q", 7]]}, {25: [[1, "q"]]}]:
        data = SELF_DESCRIBED + cbor2.dumps({**kept["idle"], **fault}, canonical=True)
        assert ours(data) is None and grammar_refuses(data), fault


def check_runs_inside(kept):
    """The golden run with others inside says what they hold, and a grammar refuses what is no run, or of no tree."""
    golden = kept["children.cbor"]
    runs = {child[5]: child for _, child in runs_inside(golden)}
    assert sorted(child[3] for child in runs.values()) == ["around", "asks", "both", "hold"], runs
    assert all(42 not in child for child in runs.values()), "turns are of the top alone"
    row, starts = golden[42][2]
    assert set(row) <= {golden[5], *runs} and {of for of, _ in starts} <= {golden[5], *runs}
    (asks,) = [child for child in runs.values() if child[3] == "asks"]
    assert [asks[13][event][4] for event, _, _ in asks[22]] == ["who"], asks
    assert agree("children.cbor", encode(golden)) == golden
    # pycddl takes any content for a key that may also be one of a newer library: of those, our decoder alone can say.
    for_decoders = [
        {42: ["0.2.0", 1, []]},
        {42: ["0.2.0", 1, [[], [[golden[5]]]]]},
        {42: ["0.2.0", 1, [[golden[5]] * 2, []]]},
    ]
    for_grammars = [{41: ["0.2.0", 2, [[1, None]]]}, {41: "children"}, {42: ["0.2.0", -1, [[], []]]}]
    for fault in for_decoders + for_grammars + [{41: ["0.2.0", 1, []]}, {41: ["0.2.0", 1, [[0, {}]]]}]:
        data = encode({**golden, **fault})
        assert ours(data) is None, fault
        assert fault not in for_grammars or grammar_refuses(data), fault


def read_corpus():
    """What the kept samples decode to, by their names, and how many our decoder refuses."""
    kept, refused = {}, 0
    for path in [*sorted(CORPUS.iterdir()), *sorted(GOLDEN.iterdir())]:
        data = path.read_bytes()
        if ours(data) is None:
            refused += 1
        else:
            kept[path.name] = agree(path.name, data)
    return kept, refused


class IndependentTest(unittest.TestCase):
    def test_others_read_every_kept_sample_and_encode_the_same_bytes(self):
        kept, refused = read_corpus()
        self.assertGreaterEqual(len(kept), 15)
        self.assertGreaterEqual(refused, 3)

    def test_what_was_live_is_in_the_samples(self):
        check_what_was_live(read_corpus()[0])

    def test_what_waits_is_in_the_samples(self):
        check_what_waits(read_corpus()[0])

    def test_runs_inside_are_in_the_samples(self):
        check_runs_inside(read_corpus()[0])

    def test_others_read_the_snapshots_of_a_live_run(self):
        live = live_snapshots()
        for number, data in enumerate(live):
            document = agree(f"live snapshot {number}", data)
        self.assertEqual(document[16], ['"all"'])
        self.assertEqual({type(value) for _, _, value in document[10]}, {str, bytes, list})
        broken = bytearray(live[-1])
        broken[len(SELF_DESCRIBED) + 2] ^= 0xFF
        self.assertTrue(grammar_refuses(bytes(broken)), "the grammar accepts a broken document: it proves nothing")


if __name__ == "__main__":
    unittest.main()
