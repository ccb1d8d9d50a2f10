"""Values come back as the type that they were, in their tiers, and those of others bit for bit."""

import asyncio
import dataclasses
import datetime
import enum
import math
import pickle
import threading
from collections import Counter

import cbor2
import pytest

from blazen import (
    BlazenError,
    Context,
    Event,
    Foreign,
    NotStorable,
    StartEvent,
    StopEvent,
    Tag,
    Workflow,
    _blazen,
    _cbor,
    step,
    values,
)


async def in_step(body):
    """What a function of (ctx) answers in a step."""

    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=body(ctx))

    return (await Workflow("values", [only]).run()).result


class Colour(enum.IntEnum):
    RED = 1


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and other.x == self.x


class Unreadable:
    """It pickles, and the pickle cannot be read."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return Unreadable, ()


JSON = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64, 10**100, 0.1, -0.0, 1e22, 5e-324, 1.7976931348623157e308, 1.0,
    "", "ü\u2028\U0001f600\"\\\x00\x1f\n", [], {}, [[[]]], {"": {"a": [1, 2.5, None]}},
]  # fmt: skip
CBOR = [
    {"a": b"\x00\xff"}, [b""], float("inf"), -float("inf"), [1, float("nan")], "\ud800", {"k": "a\udfff"}, {"\ud800": 1},
    datetime.datetime(2026, 11, 26, 1, 2, 3, 4, datetime.UTC), {"d": datetime.date(2026, 1, 2)},
    10**5000, [-(10**5000)], {"p": Point(1), "t": (1, 2)},
]  # fmt: skip
PICKLE = [(1, 2), {1: 2}, {1, 2}, Counter("aab"), Colour.RED, Point(3), datetime.timedelta(1), 1j, range(3)]


def shown(value):
    try:
        return ascii(value)[:30]
    except ValueError:
        return "huge"


def same(a, b):
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(same, a, b))
    return (
        type(a) is type(b) and a == b and math.copysign(1, a) == math.copysign(1, b) if isinstance(a, float) else a == b
    )


@pytest.mark.parametrize("value", JSON + PICKLE + CBOR, ids=shown)
async def test_a_value_comes_back_as_it_was(value):
    def body(ctx):
        ctx.set("k", value)
        return [ctx.get("k"), ctx.state["k"]]

    for read in await in_step(body):
        assert type(read) is type(value)
        assert same(value, read) or read == value


@pytest.mark.parametrize(
    "given, tag, codec",
    [(JSON, Tag.JSON, ""), (CBOR, Tag.NATIVE, "blazen/cbor"), (PICKLE, Tag.NATIVE, "python/pickle")],
    ids=["json", "cbor", "pickle"],
)
async def test_a_value_goes_into_its_tier(given, tag, codec):
    def body(ctx):
        found = []
        for value in given:
            ctx.set("k", value)
            found.append(ctx._stored("k")[::2])
        return found

    assert await in_step(body) == [(tag, codec)] * len(given)


async def test_bytes_are_bytes():
    def body(ctx):
        for value in (b"a", bytearray(b"a"), memoryview(b"a")):
            ctx.set("k", value)
            assert ctx._stored("k")[:3] == (Tag.BYTES, b"a", "") and ctx.get_bytes("k") == ctx.get("k") == b"a"
        ctx.set_bytes("k", bytearray(b"x" * 100_000))
        assert ctx.get("k") == b"x" * 100_000
        ctx.set("k", 1)
        return ctx.get_bytes("k")

    assert await in_step(body) is None


async def test_json_has_no_space_raw_text_and_the_order_of_keys():
    def body(ctx):
        ctx.set("k", {"b": [1, 2.0], "a": "ü"})
        return ctx.get_json("k")

    assert await in_step(body) == '{"b":[1,2.0],"a":"ü"}'


async def test_what_is_circular_pickles_and_comes_back_circular():
    def body(ctx):
        ring = []
        ring.append(ring)
        ctx.set("k", ring)
        return ctx.get("k")

    read = await in_step(body)
    assert read[0] is read


async def test_what_has_no_stored_form_goes_into_the_session_and_takes_the_place_of_a_stored_value():
    def body(ctx):
        lock, odd = threading.Lock(), Unreadable("a")
        ctx.set("k", 1)
        ctx.set("k", lock)
        assert ctx.get("k") is lock is ctx.session["k"] and "k" not in ctx.state
        ctx.set("k", 2)
        assert ctx.get("k") == 2 and "k" not in ctx.session
        ctx.set("odd", odd)
        assert ctx.get("odd") is odd and "odd" not in ctx.state
        with pytest.raises(NotStorable, match=r"ctx\.session\['k'\]"):
            ctx.state["k"] = lock
        return "done"

    assert await in_step(body) == "done"


async def test_a_stored_none_is_told_by_has():
    def body(ctx):
        ctx.set("k", None)
        assert ctx.get("k", 5) is None and ctx.has("k") and not ctx.has("other")
        assert ctx.get("other", 5) == 5 and ctx.get("other", default=6) == 6 and ctx.get("other") is None
        return "done"

    assert await in_step(body) == "done"


async def test_a_foreign_value_passes_bit_for_bit_also_inside_others():
    foreign = Foreign(Tag.NATIVE, "js/structured", b"\x00\x01")

    def body(ctx):
        ctx.set("k", foreign)
        assert ctx._stored("k")[:3] == (Tag.NATIVE, b"\x00\x01", "js/structured") and ctx.get("k") == foreign
        ctx.set("nested", {"f": foreign})
        return ctx.get("nested")["f"]

    assert await in_step(body) == foreign


async def test_a_number_beyond_a_float_is_an_error_that_names_the_key():
    def body(ctx):
        ctx._apply([("big", int(Tag.JSON), b'{"a":1e400}', "")], [])
        with pytest.raises(OverflowError, match="1e400.*'big'.*get_json"):
            ctx.get("big")
        return ctx.get_json("big")

    assert await in_step(body) == '{"a":1e400}'


async def test_a_lone_surrogate_stands_as_all_languages_read_it():
    assert _cbor.dump("\ud800x", values._embed).hex() == "d84144d8000078"
    assert await in_step(lambda ctx: (ctx.set("k", "\ud800x"), ctx.get("k"))[1]) == "\ud800x"


async def test_a_lone_surrogate_in_json_from_elsewhere_is_an_error_and_so_is_one_in_a_key():
    def body(ctx):
        ctx._apply([("s", int(Tag.JSON), b'"\\ud800"', "")], [])
        with pytest.raises(ValueError, match="surrogate"):
            ctx.get("s")
        with pytest.raises(ValueError, match="key has a lone surrogate"):
            ctx.set("\ud800", 1)
        return "done"

    assert await in_step(body) == "done"


def test_json_is_read_with_every_escape_and_space():
    text = b' { "a" : [ 1 , -2.5e3 , true , false , null , "\\u00fc\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t" ] , "b":{ } , "c":[ ] } '
    assert _blazen.read(Tag.JSON, text, "") == {
        "a": [1, -2500.0, True, False, None, 'ü😀"\\/\b\f\n\r\t'],
        "b": {},
        "c": [],
    }


@pytest.mark.parametrize("value", CBOR[:1] + CBOR[2:5] + CBOR[8:12], ids=shown)
def test_cbor_is_what_another_implementation_reads(value):
    data = _cbor.dump(value, values._embed)
    read = cbor2.loads(data)
    assert same(value, read) or read == value
    assert same(_cbor.load(data, values.load), value) or _cbor.load(data, values.load) == value


def test_cbor_is_deterministic_and_keeps_the_order_of_keys():
    data = {"b": math.nan, "a": b"", "aa": 1.5}
    assert _cbor.dump(data, values._embed) == _cbor.dump(dict(data), values._embed)
    assert list(_cbor.load(_cbor.dump(data, values._embed), values.load)) == ["b", "a", "aa"]
    assert _cbor.dump(1.5, values._embed) == b"\xf9\x3e\x00"


def test_a_lone_surrogate_is_utf_16_of_either_order():
    assert _cbor.dump("x\ud800", values._embed) == bytes.fromhex("d841440078d800")
    for written in ("d841440078d800", "d845447800 00d8"):
        assert _cbor.load(bytes.fromhex(written), values.load) == "x\ud800"


@pytest.mark.parametrize("cut", range(1, 12))
def test_cut_cbor_is_refused(cut):
    data = _cbor.dump({"key": [1.5, b"abc", 1000]}, values._embed)
    with pytest.raises(ValueError):
        _cbor.load(data[:cut], values.load)


async def test_a_pickle_that_does_not_load_says_so():
    def body(ctx):
        ctx._apply([("k", int(Tag.NATIVE), b"not a pickle", "python/pickle")], [])
        with pytest.raises(pickle.UnpicklingError):
            ctx.get("k")
        return "done"

    assert await in_step(body) == "done"


# ---- events ----


class Sized(Event):
    size: int = 3
    name: str

    def double(self):
        return self.size * 2


def test_an_event_has_fields_defaults_and_methods():
    event = Sized(name="n")
    assert (event.size, event.name, event["size"], event.double()) == (3, "n", 3, 6)
    assert event.to_dict() == {"size": 3, "name": "n"} and event.event_type == "Sized" and "name" in event
    event.size = 4
    assert event.to_dict() == {"size": 4, "name": "n"} and event == Sized(size=4, name="n") != Sized(size=5, name="n")
    with pytest.raises(AttributeError):
        assert event.other
    with pytest.raises(TypeError, match="by name"):
        Sized(1)
    with pytest.raises(TypeError, match="with its type"):
        Event(a=1)


def test_a_class_may_have_an_init_of_its_own_and_be_a_dataclass():
    class Own(Event):
        unit: str = "m"

        def __init__(self, length):
            super().__init__(length=length, double=length * 2)

    @dataclasses.dataclass
    class Data(Event):
        a: int
        b: int = 2

    assert Own(3).to_dict() == {"unit": "m", "length": 3, "double": 6}
    assert Data(1).to_dict() == {"b": 2, "a": 1} and Data(1, b=5).b == 5 and Data(1).event_type == "Data"
    with pytest.raises(TypeError):
        Data()


def test_methods_and_event_type_win_over_fields_of_their_names():
    event = Event("X", to_dict=1, event_type="Y", a=2)
    assert event.event_type == "X" and event.to_dict() == {"to_dict": 1, "event_type": "Y", "a": 2}
    assert event["event_type"] == "Y" and event.a == 2
    with pytest.raises(AttributeError, match="no field"):
        event.to_dict = 2


def test_a_class_may_have_an_event_type_of_its_own():
    class Odd(Event):
        event_type = "some/odd"

    assert Odd(a=1).event_type == "some/odd" and Odd(a=1) == Event("some/odd", a=1)


def test_events_pickle():
    event = Sized(name="n")
    assert pickle.loads(pickle.dumps(event)) == event


def test_a_mutable_default_is_refused():
    with pytest.raises(ValueError, match="mutable default"):

        class Bad(Event):
            items = []


class Any1(Event):
    pass


async def pass_on(event, accepts):
    """The event that a step is given of one that another has returned."""
    seen = []

    @step
    async def give(ctx: Context, ev: StartEvent):
        return event

    @step(accepts=accepts)
    async def take(ctx, ev):
        seen.append(ev)
        return StopEvent(result=None)

    await Workflow("pass", [give, take]).run()
    return seen[0]


@pytest.mark.parametrize(
    "fields",
    [{"a": 1}, {"lock": threading.Lock()}, {"data": b"x"}, {"point": Point(1)}, {}],
    ids=["json", "live", "cbor", "pickle", "empty"],
)
async def test_an_event_keeps_its_identity(fields):
    event = Any1(**fields)
    assert await pass_on(event, Any1) is event


async def test_a_bare_payload_is_the_field_value():
    event = Event.of("Bare", [1, 2])
    read = await pass_on(event, "Bare")
    assert read is event and read.value == [1, 2]


async def test_changing_an_event_after_it_was_sent_alters_no_snapshot():
    sent, going_on = asyncio.Event(), asyncio.Event()

    @step
    async def give(ctx: Context, ev: StartEvent):
        event = Any1(items=[1])
        ctx.send_event(event)
        event["items"].append(2)
        sent.set()
        await going_on.wait()

    @step
    async def take(ctx: Context, ev: Any1):
        await going_on.wait()
        return StopEvent(result=ev["items"])

    workflow = Workflow("change", [give, take])
    handler = workflow.run_with_handler()
    await sent.wait()
    snapshot = handler.snapshot()
    going_on.set()
    assert (await handler.result()).result == [1, 2]
    assert (await workflow.resume(snapshot).result()).result == [1]


async def test_a_result_beside_other_fields_is_refused_by_name():
    @step
    async def give(ctx: Context, ev: StartEvent):
        return StopEvent(result=1, other=2)

    with pytest.raises(ValueError, match="`result`, or other fields.*other"):
        await Workflow("stop", [give]).run()


@pytest.mark.parametrize(
    "event, result",
    [
        (lambda: StopEvent(), None),
        (lambda: StopEvent(a=1), {"a": 1}),
        (lambda: StopEvent(result={"result": 1}), {"result": 1}),
    ],
)
async def test_the_result_is_what_the_stop_event_has(event, result):
    @step
    async def give(ctx: Context, ev: StartEvent):
        return event()

    assert (await Workflow("stop", [give]).run()).result == result


@pytest.mark.parametrize("value", [b"x", b"x" * 5000, 1, {1}], ids=["bytes", "many bytes", "json", "pickle"])
async def test_a_key_that_is_none_is_refused_in_the_library_s_words(value):
    @step
    async def only(ctx: Context, ev: StartEvent):
        ctx.set("", value)

    with pytest.raises(BlazenError, match="key"):
        await Workflow("keys", [only]).run()
