"""BlazenState: each field is an entry of its own."""

import asyncio
import json
import threading
from dataclasses import dataclass, field, make_dataclass

import pytest

from blazen import (
    BlazenState,
    CallbackFieldStore,
    Context,
    Event,
    FieldStore,
    NotStorable,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)


async def in_step(body):
    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=body(ctx))

    return (await Workflow("typed", [only]).run()).result


class Memory(FieldStore):
    def __init__(self):
        self.kept, self.saves = {}, 0

    def save(self, key, value, ctx):
        self.kept[key] = value
        self.saves += 1

    def load(self, key, ctx):
        return self.kept[key]


MEMORY = Memory()


@dataclass
class Job(BlazenState):
    path: str = ""
    tags: list = field(default_factory=list)
    blob: bytes = b""
    big: bytes = b""
    lock: object = None
    restored: int = 0

    class Meta:
        transient = {"lock"}
        store_by = {"big": MEMORY}

    def restore(self):
        self.lock = threading.Lock()
        self.restored += 1


async def test_each_field_is_an_entry_and_the_object_is_made_anew():
    def body(ctx):
        ctx.set("job", Job("p", ["a"], b"b", b"big", threading.Lock(), 0))
        read = ctx.get("job")
        assert (read.path, read.tags, read.blob, read.big, read.restored) == ("p", ["a"], b"b", b"big", 1)
        assert isinstance(read.lock, type(threading.Lock()))
        assert ctx.get("job.path") == "p" and ctx.get_bytes("job.blob") == b"b"
        assert MEMORY.kept["job.big"] == b"big"
        assert sorted(ctx.state) == ["job.__blazen_meta__", "job.blob", "job.path", "job.restored", "job.tags"]
        return json.loads(ctx.get_json("job.__blazen_meta__"))

    meta = await in_step(body)
    assert meta["v"] == 1 and meta["class"] == "Job" and meta["restore"] == "restore"
    assert meta["fields"] == ["path", "tags", "blob", "restored"] and meta["transient"] == ["lock"]
    assert meta["stored_by"]["big"]["key"] == "job.big"
    assert meta["import"] == {"python": f"{__name__}:Job"}


async def test_only_what_has_changed_is_written():
    def body(ctx):
        job = Job("p", ["a"], b"b", b"other")
        ctx.set("job", job)
        saves = MEMORY.saves
        versions = {key: ctx._stored(key)[3] for key in ctx.state}
        job.path = "q"
        ctx.set("job", job)
        changed = {key for key in ctx.state if ctx._stored(key)[3] != versions[key]}
        return changed, MEMORY.saves - saves

    assert await in_step(body) == ({"job.path"}, 0)


async def test_a_plain_value_wins_and_remove_takes_both():
    def body(ctx):
        ctx.set("job", Job("p"))
        ctx.set("job", 5)
        assert ctx.get("job") == 5
        ctx.set("job", Job("q"))
        assert ctx.get("job").path == "q" and "job" in ctx.state
        ctx.set("job", 6)
        assert ctx.remove("job") and ctx.get("job") is None and list(ctx.state) == []
        return "done"

    assert await in_step(body) == "done"


async def test_dots_in_keys_do_not_collide():
    def body(ctx):
        ctx.set("a.b", Job("dot"))
        ctx.set("a", Job("plain"))
        ctx.set("a\\", Job("slash"))
        return [ctx.get(key).path for key in ("a.b", "a", "a\\")]

    assert await in_step(body) == ["dot", "plain", "slash"]


async def test_a_field_that_cannot_be_stored_is_named_and_nothing_is_written():
    @dataclass
    class Holder(BlazenState):
        fine: int = 1
        lock: object = None

    def body(ctx):
        with pytest.raises(NotStorable, match="field 'lock' of .*Holder.*transient"):
            ctx.set("h", Holder(2, threading.Lock()))
        return list(ctx.state)

    assert await in_step(body) == []


def test_what_meta_names_is_checked():
    async def body():
        class Plain(BlazenState):
            pass

        @dataclass
        class Wrong(BlazenState):
            class Meta:
                transient = {"nothing"}

        def set_both(ctx):
            with pytest.raises(TypeError, match="dataclass"):
                ctx.set("p", Plain())
            with pytest.raises(TypeError, match="'nothing', which is no field"):
                ctx.set("w", Wrong())

        await in_step(set_both)

    asyncio.run(body())


async def test_callbacks_that_take_ctx_get_the_plain_key():
    kept = {}

    def save(key, value, ctx):
        kept[key] = (value, ctx.run_id())

    def load(key, ctx):
        return kept[key][0]

    @dataclass
    class Model(BlazenState):
        weights: bytes = b""

        class Meta:
            store_by = {"weights": CallbackFieldStore(save, load)}

    def body(ctx):
        ctx.set("m", Model(b"w"))
        return ctx.get("m").weights

    assert await in_step(body) == b"w" and list(kept) == ["m.weights"]


async def test_an_object_of_a_class_that_is_not_here_is_a_record_that_saves_back():
    meta = {
        "v": 1,
        "class": "Rust",
        "fields": ["a", "b"],
        "transient": ["c"],
        "restore": None,
        "stored_by": {},
        "import": {},
    }

    def body(ctx):
        ctx.set("r.a", 1)
        ctx.set("r.b", "x")
        ctx.set("r.__blazen_meta__", meta)
        record = ctx.get("r")
        assert (record.a, record.b, record.c) == (1, "x", None)
        record.a = 2
        ctx.set("r", record)
        assert ctx.get("r.a") == 2 and "r" not in list(ctx.state)
        return ctx.get("r.__blazen_meta__")

    assert await in_step(body) == meta


class Next(Event):
    pass


async def test_typed_state_goes_through_a_snapshot_and_a_fork_finds_what_a_store_has():
    gate = asyncio.Event()
    kept = {}

    @dataclass
    class Model(BlazenState):
        name: str = ""
        weights: bytes = b""

        class Meta:
            store_by = {"weights": CallbackFieldStore(kept.__setitem__, kept.__getitem__)}

    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.set("m", Model("n", b"w"))
        gate.set()
        return Next()

    @step
    async def end(ctx: Context, ev: Next):
        await asyncio.sleep(0.02)
        model = ctx.get("m")
        return StopEvent(result=[model.name, model.weights])

    workflow = Workflow("typed", [begin, end])
    handler = workflow.run_with_handler()
    await gate.wait()
    await asyncio.sleep(0.005)
    snapshot = handler.snapshot()
    assert (await handler.result()).result == ["n", b"w"]
    assert (await workflow.resume(snapshot, fork=True).result()).result == ["n", b"w"]


async def test_a_class_may_have_changed_meanwhile():
    def grows(**defaults):
        listed = [(name, object, field(default=value)) for name, value in defaults.items()]
        return make_dataclass("Grows", listed, bases=(BlazenState,))

    def body(ctx):
        ctx.set("state", grows(old=1, kept=2)())
        now = grows(kept=0, new=3)
        read = ctx.get("state")
        assert read == now(kept=2, new=3)
        ctx.set("state", read)
        return sorted(ctx.state)

    assert await in_step(body) == ["state.__blazen_meta__", "state.kept", "state.new"]


async def test_a_store_that_fails_fails_the_set_and_nothing_is_written():
    def save(key, value):
        raise OSError("no disk")

    @dataclass
    class Stored(BlazenState):
        name: str = ""
        weights: bytes = b""

        class Meta:
            store_by = {"weights": CallbackFieldStore(save, lambda key: b"")}

    def body(ctx):
        with pytest.raises(OSError, match="no disk"):
            ctx.set("model", Stored("m", b"\1"))
        return list(ctx.state)

    assert await in_step(body) == []


def test_a_store_that_lacks_a_half_cannot_be_made():
    class Half(FieldStore):
        def save(self, key, value, ctx):
            pass

    with pytest.raises(TypeError, match="load"):
        Half()


async def test_two_objects_share_nothing():
    def body(ctx):
        ctx.set("one", Job(tags=["a"]))
        first, second = ctx.get("one"), ctx.get("one")
        first.tags.append("b")
        return [second.tags, ctx.get("one").tags]

    assert await in_step(body) == [["a"], ["a"]]
