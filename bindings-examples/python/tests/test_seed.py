"""The examples of the documentation that users know run as they are printed: each file of examples/ is one, letter for letter,
but for white space at the beginning of lines. What is a placeholder there is filled in here."""

import io
import pathlib
import sqlite3
import sys
import textwrap
import types
import uuid
from dataclasses import dataclass

from blazen import Context, Event, StartEvent, StopEvent, Workflow, step

EXAMPLES = pathlib.Path(__file__).parent / "examples"


def source(name):
    return (EXAMPLES / f"{name}.py").read_text()


def load(name, **given):
    """The names that an example defines, as a module of its own."""
    module = types.ModuleType(f"example_{name}")
    sys.modules[module.__name__] = module
    vars(module).update(given)
    exec(compile(source(name), str(EXAMPLES / f"{name}.py"), "exec"), vars(module))
    return module


def load_body(name, fill=lambda text: text, **given):
    """A step whose body is an example."""
    text = "async def body(ctx, ev):\n" + textwrap.indent(fill(source(name)), "    ")
    namespace = {"Event": Event, "StopEvent": StopEvent, **given}
    exec(text, namespace)
    return namespace["body"]


class NextEvent(Event):
    pass


async def test_setting_and_getting_values():
    example = load("setting_and_getting", Event=Event, step=step, Context=Context, StopEvent=StopEvent)
    result = await Workflow("example", [example.store_data, example.use_data]).run()
    assert result.result == {"user": "user_123", "name": "Alice"}


async def test_every_tier_comes_back_as_the_type_that_it_was():
    example = load("setting_and_getting", Event=Event, step=step, Context=Context, StopEvent=StopEvent)

    @step
    async def look(ctx: Context, ev: example.NextEvent):
        values = {key: ctx.get(key) for key in ("user_id", "doc_count", "tags", "thumbnail", "profile")}
        return StopEvent(result=values)

    result = await Workflow("example", [example.store_data, look]).run()
    assert result.result == {
        "user_id": "user_123",
        "doc_count": 5,
        "tags": ["admin", "active"],
        "thumbnail": b"\x89PNG\r\n...",
        "profile": example.UserProfile(name="Alice", score=0.95),
    }


async def test_run_id():
    body = load_body("run_id", lambda text: text + "return StopEvent(result=run_id)\n")
    result = await Workflow("example", [step(body)]).run()
    assert str(uuid.UUID(result.result)) == result.result == result.run_id


async def test_binary_storage():
    example = load("binary", Event=Event, NextEvent=NextEvent, step=step, Context=Context, StopEvent=StopEvent)
    result = await Workflow("example", [example.store, example.load]).run()
    assert result.result == b"\x00\x01\x02..."


async def test_manual_event_routing():
    class ContinueEvent(Event):
        pass

    @step
    async def finish(ctx: Context, ev: ContinueEvent):
        return StopEvent(result="routed")

    body = load_body("manual_routing", ContinueEvent=ContinueEvent)
    assert (await Workflow("example", [step(body), finish]).run()).result == "routed"


async def test_streaming_events_externally():
    class ProgressEvent(Event):
        pass

    def fill(text):
        return text.replace("ProgressEvent(...)", "ProgressEvent(percent=50)") + "return StopEvent(result=None)\n"

    body = load_body("streaming", fill, ProgressEvent=ProgressEvent)
    handler = await Workflow("example", [step(body)]).run_with_handler()
    seen = [event async for event in handler.stream_events()]
    assert [event.percent for event in seen if isinstance(event, ProgressEvent)] == [50]
    await handler.result()


async def test_state_and_session():
    example = load("state_and_session")
    assert (await Workflow("example", [example.setup]).run()).result == {"ok": True}


async def test_result_keeps_identity():
    connection = sqlite3.connect(":memory:")

    @step
    async def answer(ctx: Context, ev: StartEvent):
        return StopEvent(result=connection)

    assert (await Workflow("example", [answer]).run()).result is connection


async def test_typed_state():
    with sqlite3.connect("/tmp/data.db") as connection:
        connection.execute("DROP TABLE IF EXISTS docs")
        connection.execute("CREATE TABLE docs (name TEXT)")
        connection.executemany("INSERT INTO docs VALUES (?)", [("a",), ("b",), ("c",)])
    example = load("typed_state")
    assert (await Workflow("example", [example.setup, example.process]).run()).result == {"docs": 3}


class Bucket:
    """A local S3."""

    def __init__(self):
        self.objects = {}

    def put_object(self, *, Bucket, Key, Body):
        self.objects[Bucket, Key] = Body

    def get_object(self, *, Bucket, Key):
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}


async def test_custom_persistence_with_a_field_store():
    s3 = Bucket()
    example = load("field_store", dataclass=dataclass, s3=s3)

    @step
    async def store(ctx: Context, ev: StartEvent):
        ctx.set("model", example.ModelState(name="m", weights=b"w" * 10))
        return NextEvent()

    @step
    async def look(ctx: Context, ev: NextEvent):
        model = ctx.get("model")
        return StopEvent(result=(model.name, model.weights, "model.weights" in ctx.state))

    result = await Workflow("example", [store, look]).run()
    assert result.result == ("m", b"w" * 10, False)
    assert s3.objects == {("my-bucket", f"{result.run_id}/model.weights"): b"w" * 10}


def test_an_example_that_is_gone_is_no_test():
    assert len(list(EXAMPLES.glob("*.py"))) == 8
