"""What comes from another process or another language: exceptions, events that cannot be read."""

import asyncio

import pytest

from blazen import (
    BlazenError,
    Context,
    Event,
    Foreign,
    StartEvent,
    Status,
    StopEvent,
    Tag,
    Workflow,
    _cbor,
    step,
    values,
)


class Broken(Exception):
    host_code = 9


async def test_an_exception_goes_through_a_snapshot():
    @step
    async def fail(ctx: Context, ev: StartEvent):
        raise Broken("there", 5)

    workflow = Workflow("fails", [fail])
    handler = workflow.run_with_handler()
    with pytest.raises(Broken):
        await handler.result()
    resumed = workflow.resume(handler.snapshot())
    with pytest.raises(Broken) as caught:
        await resumed.result()
    assert caught.value.args == ("there", 5)
    error = resumed.error
    assert error.step == "fail" and error.host_code == 9 and error.remote["language"] == "python"
    assert error.remote["message"] == "Broken: ('there', 5)" and "raise Broken" in error.remote["traceback"]


async def test_an_exception_that_does_not_pickle_is_told_by_its_words():
    class Local(Exception):
        pass

    @step
    async def fail(ctx: Context, ev: StartEvent):
        raise Local("here")

    workflow = Workflow("fails", [fail])
    handler = workflow.run_with_handler()
    with pytest.raises(Local):
        await handler.result()
    with pytest.raises(BlazenError, match="Local: here") as caught:
        await workflow.resume(handler.snapshot()).result()
    assert caught.value.remote["type"] == "Local" and caught.value.status == Status.STEP_FAILED


async def test_an_exception_of_another_language_is_an_error_with_what_is_known_of_it():
    known = {"language": "javascript", "type": "RangeError", "message": "RangeError: no", "traceback": "at x.js:1"}

    @step
    async def fail(ctx: Context, ev: StartEvent):
        detail = _cbor.dump({**known, "object": ["js/structured", b"\x00"]}, values._embed)
        ctx._fail(Status.HOST, known["message"], 7, detail, _cbor.CODEC, None)

    workflow = Workflow("fails", [fail])
    with pytest.raises(BlazenError, match="RangeError: no") as caught:
        await workflow.run()
    assert caught.value.remote == known and caught.value.host_code == 7 and caught.value.step == "fail"


async def test_an_event_that_cannot_be_read_fails_its_step_and_says_why():
    given = asyncio.Event()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.send_event(Event.of("Huge", Foreign(Tag.JSON, "", b'{"a":1e400}')))
        given.set()
        await asyncio.sleep(0.02)

    @step(accepts="Huge")
    async def take(ctx, ev):
        await asyncio.sleep(0.01)
        return StopEvent(result="read")

    workflow = Workflow("huge", [begin, take])
    handler = workflow.run_with_handler()
    await given.wait()
    snapshot = handler.snapshot()
    assert (await handler.result()).result == "read"  # in the same process, nothing is read: it is the object
    with pytest.raises(OverflowError, match="1e400.*in an event 'Huge'"):
        await workflow.resume(snapshot).result()


async def test_fields_of_another_platform_are_foreign_and_pass():
    gate = asyncio.Event()
    foreign = Foreign(Tag.NATIVE, "js/structured", b"\x01")

    class Mixed(Event):
        pass

    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.send_event(Mixed(a=1, theirs=foreign))
        gate.set()
        await asyncio.sleep(0.02)

    @step
    async def take(ctx: Context, ev: Mixed):
        await asyncio.sleep(0.01)
        return StopEvent(result=[ev.a, ev.theirs])

    workflow = Workflow("mixed", [begin, take])
    handler = workflow.run_with_handler()
    await gate.wait()
    snapshot = handler.snapshot()
    assert (await handler.result()).result == [1, foreign]
    assert (await workflow.resume(snapshot).result()).result == [1, foreign]
