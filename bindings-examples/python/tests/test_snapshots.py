"""Runs that pause, ask, and go on from a snapshot; what of live objects comes along."""

import asyncio
import json
import subprocess
import sys
import threading

import pytest

import blazen
from blazen import (
    BlazenError,
    Context,
    Event,
    Foreign,
    InputRequestEvent,
    InputRequired,
    InputResponseEvent,
    RunState,
    SessionPausePolicy,
    Snapshot,
    StartEvent,
    Status,
    StopEvent,
    Workflow,
    elsewhere,
    step,
)


class Go(Event):
    pass


class Gate:
    """Holds a step until it is opened."""

    def __init__(self):
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def pass_(self):
        self.reached.set()
        await self.opened.wait()


def gated(gate):
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.state["count"] = 1
        await gate.pass_()
        return Go(n=ev.n)

    @step
    async def end(ctx: Context, ev: Go):
        return StopEvent(result=[ev.n, ctx.state["count"]])

    return [begin, end]


async def paused(workflow, gate, **given):
    handler = workflow.run_with_handler(**given)
    await gate.reached.wait()
    pausing = handler.pause()
    gate.opened.set()
    return handler, await pausing


async def test_pause_drains_and_gives_the_snapshot_and_resume_in_place_goes_on():
    gate = Gate()
    handler, snapshot = await paused(Workflow("w", gated(gate)), gate, n=5)
    assert handler.state is RunState.PAUSED and isinstance(snapshot, Snapshot)
    assert (snapshot.workflow_name, snapshot.run_id) == ("w", handler.run_id)
    assert snapshot.info["queued"] == 1
    await asyncio.sleep(0.02)
    assert handler.state is RunState.PAUSED and handler.snapshot() == snapshot
    await handler.resume_in_place()
    assert (await handler.result()).result == [5, 1]
    handler.resume_in_place()


@pytest.mark.parametrize("form", ["object", "bytes", "json", "dict", "json bytes"])
async def test_a_snapshot_goes_on_in_every_form(form):
    gate = Gate()
    workflow = Workflow("w", gated(gate))
    handler, snapshot = await paused(workflow, gate, n=5)
    handler.abort()
    given = {
        "object": snapshot,
        "bytes": bytes(snapshot),
        "json": snapshot.to_json(),
        "dict": {**json.loads(snapshot.to_json()), "other": 1},
        "json bytes": snapshot.to_json().encode(),
    }[form]
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    resumed = await Workflow.resume(given, gated(gate))
    assert resumed.run_id == handler.run_id
    assert (await resumed.result()).result == [5, 1]
    assert (await workflow.resume(given).result()).result == [5, 1]


@pytest.mark.parametrize(
    "given, error, says",
    [
        (5, TypeError, "bytes, or its JSON"),
        ("{}", ValueError, "format is None"),
        ("{", ValueError, "no JSON"),
        ({"format": "blazen/snapshot", "version": 2, "cbor": ""}, ValueError, "version 2"),
        ({"format": "blazen/snapshot", "version": 1, "cbor": "*"}, ValueError, "base64"),
        (b"\x00\x01", BlazenError, "snapshot"),
    ],
)
async def test_what_is_no_snapshot_is_refused(given, error, says):
    with pytest.raises(error, match=says):
        Workflow.resume(given, gated(Gate()))


async def test_a_snapshot_of_another_workflow_is_refused():
    gate = Gate()
    _, snapshot = await paused(Workflow("w", gated(gate)), gate, n=5)
    with pytest.raises(BlazenError) as caught:
        Workflow("other", gated(gate)).resume(snapshot)
    assert caught.value.status == Status.SNAPSHOT_MISMATCH


async def test_a_snapshot_is_taken_at_any_instant_and_what_is_in_flight_runs_again():
    gate = Gate()
    workflow = Workflow("w", gated(gate))
    handler = workflow.run_with_handler(n=7)
    await gate.reached.wait()
    snapshot = await handler.snapshot()
    gate.opened.set()
    assert (await handler.result()).result == [7, 1]
    assert (await workflow.resume(snapshot).result()).result == [7, 1]
    forked = workflow.resume(snapshot, fork=True)
    assert forked.run_id != handler.run_id and (await forked.result()).result == [7, 1]


async def test_a_resumed_run_stays_paused_when_asked_to():
    gate = Gate()
    workflow = Workflow("w", gated(gate))
    _, snapshot = await paused(workflow, gate, n=5)
    resumed = workflow.resume(snapshot, keep_paused=True)
    assert await resumed.wait(RunState.PAUSED) is RunState.PAUSED
    resumed.resume_in_place()
    assert (await resumed.result()).result == [5, 1]


async def test_pausing_a_run_that_has_ended_says_so():
    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=1)

    handler = Workflow("w", [only]).run_with_handler()
    await handler.result()
    with pytest.raises(BlazenError) as caught:
        await handler.pause()
    assert caught.value.status == Status.CANCELLED


# ---- live objects ----


class Word:
    """Serialises itself."""

    def __init__(self, text):
        self.text = text

    def __blazen_serialize__(self):
        return self.text.encode()

    @classmethod
    def __blazen_deserialize__(cls, data):
        return cls(data.decode())


class Plain:
    def __init__(self, x):
        self.x = x


class Fragile(Exception):
    """Pickles, and does not unpickle."""

    def __init__(self, code, text):
        super().__init__(text)


def with_session(things, gate):
    @step
    async def begin(ctx: Context, ev: StartEvent):
        for key, thing in things.items():
            ctx.session[key] = thing
        await gate.pass_()
        return Go()

    @step
    async def end(ctx: Context, ev: Go):
        return StopEvent(result={key: ctx.session.get(key) for key in things})

    return [begin, end]


async def test_the_session_comes_along_where_it_pickles():
    gate, plain = Gate(), Plain(3)
    things = {"plain": plain, "list": [plain], "text": "t", "bytes": b"b"}
    workflow = Workflow("s", with_session(things, gate))
    handler, snapshot = await paused(workflow, gate)
    plain.x = 4  # of the process, not of the snapshot
    handler.resume_in_place()
    assert (await handler.result()).result["plain"] is plain
    result = (await workflow.resume(snapshot).result()).result
    assert result["plain"].x == 3 and result["list"][0].x == 3 and result["text"] == "t" and result["bytes"] == b"b"


@pytest.mark.parametrize("thing", [threading.Lock(), Fragile(1, "x")], ids=["does not pickle", "does not unpickle"])
async def test_what_cannot_come_along_is_named_and_the_run_stays_paused(thing):
    gate = Gate()
    handler = Workflow("s", with_session({"bad": thing, "good": 1}, gate)).run_with_handler()
    await gate.reached.wait()
    pausing = handler.pause()
    gate.opened.set()
    with pytest.raises(BlazenError, match="bad") as caught:
        await pausing
    assert caught.value.status == Status.NOT_SERIALIZABLE and handler.state is RunState.PAUSED
    handler.resume_in_place()
    assert (await handler.result()).result["bad"] is thing


@pytest.mark.parametrize(
    "policy, kept",
    [
        (SessionPausePolicy.PickleOrSerialize, {"bad": None, "good": 5}),
        ("PickleOrSerialize", {"bad": None, "good": 5}),
        (SessionPausePolicy.WarnDrop, {"bad": None, "good": None}),
    ],
)
async def test_a_policy_drops_and_records(policy, kept):
    gate = Gate()
    things = {"bad": threading.Lock(), "good": 5}
    workflow = Workflow("s", with_session(things, gate), session_pause_policy=policy)
    _, snapshot = await paused(workflow, gate)
    resumed = workflow.resume(snapshot)
    assert (await resumed.result()).result == kept
    assert resumed.dropped() == [f"session '{key}'" for key, value in kept.items() if value is None]


async def test_a_pause_that_clears_the_session_has_it_in_its_snapshot():
    gate = Gate()
    workflow = Workflow("s", with_session({"good": [5]}, gate), session_on_pause="continue")
    handler, snapshot = await paused(workflow, gate)
    handler.resume_in_place()
    assert (await handler.result()).result == {"good": None}
    assert (await workflow.resume(snapshot).result()).result == {"good": [5]}


class Interrupting:
    def __blazen_serialize__(self):
        raise KeyboardInterrupt("while it was taken")


@pytest.mark.parametrize("policy", ["pickle_or_error", "pickle_or_serialize"])
async def test_an_interrupt_while_a_snapshot_is_taken_comes_out_as_itself(policy):
    gate = Gate()
    things = {"bad": Interrupting()}
    handler = Workflow("s", with_session(things, gate), session_pause_policy=policy).run_with_handler()
    await gate.reached.wait()
    with pytest.raises(KeyboardInterrupt, match="while it was taken"):
        handler.snapshot()
    gate.opened.set()
    await handler.result()


class Gone:
    pass


async def test_what_does_not_unpickle_any_more_is_named_with_its_reason_or_skipped(monkeypatch):
    gate = Gate()
    workflow = Workflow("s", with_session({"gone": Gone()}, gate))
    _, snapshot = await paused(workflow, gate)
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    with pytest.raises(BlazenError, match="gone") as caught:
        workflow.resume(snapshot)
    assert "does not unpickle here: AttributeError" in str(caught.value) + str(caught.value.__cause__)
    resumed = workflow.resume(snapshot, unknown_label="skip")
    assert (await resumed.result()).result == {"gone": None} and resumed.dropped() == ["session 'gone'"]


async def test_hard_error_refuses_any():
    gate = Gate()
    workflow = Workflow("s", with_session({"good": 5}, gate), session_pause_policy="hard_error")
    with pytest.raises(BlazenError, match="good"):
        await paused(workflow, gate)
    with pytest.raises(ValueError, match="session_pause_policy"):
        Workflow("s", with_session({}, gate), session_pause_policy="none")


async def test_objects_serialise_themselves_and_are_made_again_by_the_name_of_their_type():
    gate = Gate()
    workflow = Workflow("s", with_session({"word": Word("hello")}, gate))
    _, snapshot = await paused(workflow, gate)
    with pytest.raises(BlazenError, match="Word"):
        workflow.resume(snapshot)
    resumed = workflow.resume(snapshot, deserializers={"Word": lambda data: data.decode().upper()})
    assert (await resumed.result()).result == {"word": "HELLO"}
    resumed = await Workflow.resume_with_session_refs(snapshot, with_session({"word": 0}, gate))
    assert (await resumed.result()).result["word"].text == "hello"
    resumed = workflow.resume(snapshot, unknown_label="skip")
    assert (await resumed.result()).result == {"word": None}


async def test_an_event_with_live_fields_comes_along():
    gate = Gate()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        await gate.pass_()
        return Go(word=Word("w"), plain=Plain(1), n=1)

    @step
    async def end(ctx: Context, ev: Go):
        return StopEvent(result=[type(ev), ev.word.text, ev.plain.x, ev.n])

    workflow = Workflow("e", [begin, end])
    handler, snapshot = await paused(workflow, gate)
    handler.resume_in_place()
    assert (await handler.result()).result == [Go, "w", 1, 1]
    resumed = workflow.resume(snapshot, deserializers={"Word": Word.__blazen_deserialize__})
    assert (await resumed.result()).result == [Go, "w", 1, 1]


async def test_a_field_that_cannot_come_along_is_named():
    gate = Gate()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        await gate.pass_()
        return Go(fine=1, lock=threading.Lock())

    @step
    async def end(ctx: Context, ev: Go):
        return StopEvent(result=None)

    with pytest.raises(BlazenError) as caught:
        await paused(Workflow("e", [begin, end]), gate)
    assert "Go" in str(caught.value)
    causes, cause = [], caught.value
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__
    assert any("'lock'" in each for each in causes)


async def test_events_are_read_as_their_classes_after_a_resume():
    gate = Gate()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        await gate.pass_()
        return Event.of("Bare", 5) if ev.bare else Go(data=b"x", n=1)

    @step(accepts=[Go, "Bare"])
    async def end(ctx, ev):
        return StopEvent(result=[type(ev).__name__, ev.to_dict(), ev._is_bare])

    workflow = Workflow("e", [begin, end])
    _, snapshot = await paused(workflow, gate, bare=False)
    assert (await workflow.resume(snapshot).result()).result == ["Go", {"data": b"x", "n": 1}, False]
    gate = Gate()
    _, snapshot = await paused(workflow, gate, bare=True)
    assert (await workflow.resume(snapshot).result()).result == ["Event", {"value": 5}, True]


class Bomb:
    exploded = 0

    def __reduce__(self):
        return explode, ()


def explode():
    Bomb.exploded += 1
    return Bomb()


async def test_an_untrusted_snapshot_executes_nothing():
    gate = Gate()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.state["bomb"] = Bomb()
        await gate.pass_()
        return Go(bomb=Bomb())

    @step
    async def end(ctx: Context, ev: Go):
        return StopEvent(result=[ctx.state["bomb"], ctx.get("bomb"), ev.bomb])

    workflow = Workflow("u", [begin, end])
    handler, snapshot = await paused(workflow, gate)
    handler.abort()
    before = Bomb.exploded
    result = (await workflow.resume(snapshot, trusted=False).result()).result
    assert Bomb.exploded == before
    assert all(isinstance(each, Foreign) and each.codec == "python/pickle" for each in result)
    result = (await workflow.resume(snapshot).result()).result
    assert Bomb.exploded > before and all(isinstance(each, Bomb) for each in result)


# ---- questions ----


@step
async def ask_by_event(ctx: Context, ev: StartEvent):
    return InputRequestEvent(request_id="q1", prompt="name?", metadata={"a": 1})


@step
async def take_answer(ctx: Context, ev: InputResponseEvent):
    return StopEvent(result=[ev.request_id, ev.response])


async def test_a_run_that_asks_nobody_says_so_and_stays_usable():
    with pytest.raises(InputRequired) as caught:
        await Workflow("ask", [ask_by_event, take_answer]).run()
    assert [(each["request_id"], each["prompt"]) for each in caught.value.questions] == [("q1", "name?")]
    caught.value.handler.respond_to_input("q1", "you")
    assert (await caught.value.handler.result()).result == ["q1", "you"]


async def test_a_question_is_on_the_stream_and_is_answered_once():
    handler = await Workflow("ask", [ask_by_event, take_answer]).run_with_handler()
    async for event in handler.stream_events():
        if isinstance(event, InputRequestEvent):
            assert (event.prompt, event.metadata) == ("name?", {"a": 1})
            await handler.respond_to_input(event.request_id, "you")
            with pytest.raises(BlazenError) as caught:
                handler.respond_to_input(event.request_id, "again")
            assert caught.value.status == Status.NOT_FOUND
    assert (await handler.result()).result == ["q1", "you"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_input_handler_answers(is_async):
    async def later(request):
        await asyncio.sleep(0)
        return request.prompt.upper()

    handler = later if is_async else lambda request: request.prompt.upper()
    result = await Workflow("ask", [ask_by_event, take_answer], input_handler=handler).run()
    assert result.result == ["q1", "NAME?"]


async def test_an_input_handler_that_raises_fails_the_run_with_its_exception():
    exception = RuntimeError("no answer")

    def handler(request):
        raise exception

    with pytest.raises(RuntimeError) as caught:
        await Workflow("ask", [ask_by_event, take_answer], input_handler=handler).run()
    assert caught.value is exception


@step
async def ask_inside(ctx: Context, ev: StartEvent):
    first = await ctx.ask("one?", request_id="one")
    second = await ctx.ask("two?", metadata={"m": 1})
    return StopEvent(result=[first, second])


async def test_a_step_asks_and_waits():
    handler = Workflow("ask", [ask_inside]).run_with_handler()
    assert await handler.wait(RunState.ASKING) is RunState.ASKING
    handler.respond_to_input("one", {"a": [1]})
    await asyncio.sleep(0.02)
    assert await handler.wait(RunState.ASKING) is RunState.ASKING
    (question,) = handler.questions()
    assert (question["prompt"], question["metadata"]) == ("two?", {"m": 1})
    handler.respond_to_input(question["request_id"], None)
    assert (await handler.result()).result == [{"a": [1]}, None]


@step
def ask_on_worker(ctx: Context, ev: StartEvent):
    return StopEvent(result=ctx.ask_sync("worker?"))


async def test_a_worker_asks_and_waits():
    handler = Workflow("ask", [ask_on_worker]).run_with_handler()
    await handler.wait(RunState.ASKING)
    handler.respond_to_input(handler.questions()[0]["request_id"], [1])
    assert (await handler.result()).result == [1]


async def test_a_worker_that_asks_is_woken_by_the_end_of_its_run():
    handler = Workflow("ask", [ask_on_worker]).run_with_handler()
    await handler.wait(RunState.ASKING)
    (waiting,) = [each for each in threading.enumerate() if each.name == "blazen step"][-1:]
    await handler.abort()
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.status == Status.ABORTED and waiting.is_alive()


async def test_a_question_outlives_its_process():
    workflow = Workflow("ask", [ask_inside])
    handler = workflow.run_with_handler()
    await handler.wait(RunState.ASKING)
    handler.respond_to_input("one", 1)
    await asyncio.sleep(0.02)
    snapshot = handler.snapshot()
    await handler.abort()
    resumed = workflow.resume(snapshot)
    await resumed.wait(RunState.ASKING)
    (question,) = resumed.questions()
    assert question["prompt"] == "two?"
    resumed.respond_to_input(question["request_id"], 2)
    assert (await resumed.result()).result == [1, 2]


async def test_a_question_with_a_deadline_has_a_default():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result=await ctx.ask("?", deadline=0.05, default="nobody"))

    handler = Workflow("ask", [ask]).run_with_handler()
    assert (await handler.result()).result == "nobody"


async def test_a_run_that_asks_can_be_paused():
    handler = Workflow("ask", [ask_by_event, take_answer]).run_with_handler()
    await handler.wait(RunState.ASKING)
    snapshot = await asyncio.wait_for(handler.pause(), 5)
    resumed = Workflow.resume(snapshot, [ask_by_event, take_answer])
    await resumed.wait(RunState.ASKING)
    resumed.respond_to_input("q1", 5)
    assert (await resumed.result()).result == ["q1", 5]
    handler.respond_to_input("q1", 6)
    handler.resume_in_place()
    assert (await handler.result()).result == ["q1", 6]


async def test_a_run_whose_step_waits_for_an_answer_can_be_paused():
    workflow = Workflow("ask", [ask_inside])
    handler = workflow.run_with_handler()
    await handler.wait(RunState.ASKING)
    snapshot = await asyncio.wait_for(handler.pause(), 5)
    resumed = workflow.resume(snapshot)
    await resumed.wait(RunState.ASKING)
    resumed.respond_to_input("one", 1)
    await asyncio.sleep(0.02)
    (question,) = resumed.questions()
    resumed.respond_to_input(question["request_id"], 2)
    assert (await resumed.result()).result == [1, 2]
    handler.abort()


# ---- another process ----


OTHER = """
import asyncio, sys
from blazen import Context, Event, StartEvent, StopEvent, Workflow, elsewhere, step

class Go(Event):
    pass

@step
async def there(ctx: Context, ev: Go):
    return Event("Back", n=ev.n + ctx.state["add"])

async def main():
    handler = Workflow.resume(sys.stdin.buffer.read(), [elsewhere("begin", StartEvent), there, elsewhere("end", "Back")])
    await handler.wait(4)
    sys.stdout.buffer.write(handler.snapshot())

asyncio.run(main())
"""


async def test_a_run_goes_through_another_process_and_comes_back():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.state["add"] = 10
        return Go(n=1)

    @step(accepts="Back")
    async def end(ctx, ev):
        return StopEvent(result=ev.n)

    steps = [begin, elsewhere("there", Go), end]
    with pytest.raises(blazen.ParkedElsewhere) as caught:
        await Workflow("travel", steps).run()
    done = subprocess.run(
        [sys.executable, "-c", OTHER], input=caught.value.handler.snapshot(), capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert (await Workflow.resume(done.stdout, steps).result()).result == 11


async def test_steps_that_differ_are_refused():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return Go(n=1)

    with pytest.raises(blazen.ParkedElsewhere) as caught:
        await Workflow("travel", [begin, elsewhere("there", Go)]).run()
    with pytest.raises(BlazenError) as refused:
        Workflow.resume(caught.value.handler.snapshot(), [begin, elsewhere("else", Go)])
    assert refused.value.status == Status.SNAPSHOT_MISMATCH
    (note,) = refused.value.__notes__
    assert "steps begin (blazen::StartEvent), else (Go)" in note and "steps with work there" in note
