"""What steers a run beyond its beginning and its end."""

import asyncio
import pickle
import uuid

import pytest

import blazen
from blazen import (
    BlazenError,
    Context,
    Event,
    Foreign,
    InputRequestEvent,
    Join,
    RunState,
    StartEvent,
    Status,
    StepFailedEvent,
    StopEvent,
    Tag,
    Workflow,
    correlate,
    correlation_of,
    elsewhere,
    step,
)


class Part(Event):
    pass


class Done(Event):
    pass


class Sum(Event):
    pass


@pytest.mark.parametrize("sends", [True, False])
async def test_a_join_by_event_takes_what_is_tied_together(sends):
    @step
    async def split(ctx: Context, ev: StartEvent):
        parts = [correlate(Part(n=n), "odd" if n % 2 else "even") for n in range(6)]
        if not sends:
            return parts
        for part in parts:
            ctx.send_event(part)
        return None

    @step
    async def work(ctx: Context, ev: Part):
        return correlate(Done(n=ev.n), correlation_of(ev))

    @step(joins=Join("split", correlation="by_event", ordered=True))
    async def gather(ctx: Context, ev: Done):
        return Sum(which=correlation_of(ev), parts=[each.n for each in ctx.events()])

    seen = {}

    @step
    async def end(ctx: Context, ev: Sum):
        seen[ev.which] = ev.parts
        return StopEvent(result=seen) if len(seen) == 2 else None

    result = await Workflow("tied", [split, work, gather, end]).run()
    assert result.result == {"even": [0, 2, 4], "odd": [1, 3, 5]}


async def test_a_value_is_written_only_where_nobody_else_has():
    @step
    async def only(ctx: Context, ev: StartEvent):
        first = ctx.state.compare_and_set("k", 0, [1])
        assert ctx.state.version("k") == first and ctx.state.version("other") == 0
        second = ctx.state.compare_and_set("k", first, (2,))
        assert second > first and ctx.state["k"] == (2,)
        with pytest.raises(BlazenError) as caught:
            ctx.state.compare_and_set("k", first, 3)
        assert caught.value.status == Status.CONFLICT
        return StopEvent(result=ctx.state["k"])

    assert (await Workflow("versions", [only]).run()).result == (2,)


@step
async def ask(ctx: Context, ev: StartEvent):
    await asyncio.sleep(0.01)
    return StopEvent(result=await ctx.ask("?", request_id="q"))


async def test_a_question_is_answered_before_it_is_asked():
    handler = Workflow("early", [ask]).run_with_handler()
    handler.respond_early("q", {"a": 1})
    assert (await handler.result()).result == {"a": 1}


async def test_a_question_is_withdrawn():
    handler = Workflow("withdrawn", [ask]).run_with_handler()
    await handler.wait(RunState.ASKING)
    handler.withdraw_question("q")
    with pytest.raises(BlazenError, match="'q' was withdrawn") as caught:
        await handler.result()
    assert caught.value.status == Status.CANCELLED


async def test_a_question_without_an_id_has_one_on_the_stream():
    @step
    async def asks(ctx: Context, ev: StartEvent):
        return [InputRequestEvent(prompt="a"), InputRequestEvent(prompt="b")]

    answers = []

    @step(accepts="blazen::InputResponseEvent")
    async def take(ctx, ev):
        answers.append((correlation_of(ev) == ev.request_id, ev.response))
        return StopEvent(result=sorted(answers)) if len(answers) == 2 else None

    handler = Workflow("ids", [asks, take]).run_with_handler()
    async for event in handler.stream_events():
        if isinstance(event, InputRequestEvent):
            assert event.request_id == correlation_of(event)
            handler.respond_to_input(event.request_id, event.prompt.upper())
    assert (await handler.result()).result == [(True, "A"), (True, "B")]


async def test_one_call_is_cancelled_and_the_run_goes_on():
    told = asyncio.Event()

    @step
    async def slow(ctx: Context, ev: StartEvent):
        ctx.set("id", ctx.invocation_id)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.set()
            raise

    @step
    async def rescue(ctx: Context, ev: StepFailedEvent):
        return StopEvent(result=[ev.step, ev.status])

    handler = Workflow("cancels", [slow, rescue]).run_with_handler()
    await asyncio.sleep(0.02)
    handler.cancel_invocation(handler.values()["id"])
    result = (await handler.result()).result
    assert (result[0] == "slow" and "CANCELLED" in str(result[1]).upper()) or result[1] == Status.CANCELLED
    await asyncio.wait_for(told.wait(), 5)
    with pytest.raises(BlazenError):
        handler.cancel_invocation(12345)


async def test_an_event_from_outside_belongs_to_a_scope():
    scope = asyncio.get_running_loop().create_future()

    @step
    async def split(ctx: Context, ev: StartEvent):
        return Part(n=1)

    @step
    async def work(ctx: Context, ev: Part):
        scope.set_result(ctx.scope_id)
        await asyncio.sleep(0.05)
        return Done(n=ev.n)

    @step(joins=split)
    async def gather(ctx: Context, ev: Done):
        return StopEvent(result=sorted(each.n for each in ctx.events()))

    handler = Workflow("scoped", [split, work, gather]).run_with_handler()
    handler.send_event(Done(n=2), scope=await scope)
    assert (await handler.result()).result == [1, 2]


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
async def test_a_delay_that_is_none_is_refused(delay):
    @step
    async def only(ctx: Context, ev: StartEvent):
        ctx.send_event(Part(), delay=delay)

    with pytest.raises(ValueError, match="delay is a number of seconds"):
        await Workflow("delay", [only]).run()


def test_a_workflow_is_drawn_and_described():
    workflow = Workflow("drawn", [ask])
    assert "flowchart" in workflow.draw() and "digraph" in workflow.draw("dot")
    assert [each["name"] for each in workflow.describe()["steps"]] == ["ask"]
    with pytest.raises(ValueError, match="format is one of 'mermaid', 'dot'"):
        workflow.draw("png")


async def test_a_value_is_had_as_it_is_stored_and_goes_on_as_that():
    @step
    async def only(ctx: Context, ev: StartEvent):
        ctx.state.set("set", {1, 2})
        ctx.state["json"], ctx.state["bytes"] = {"a": [1, None]}, b"\0"
        stored = ctx.state.stored("set")
        assert (stored.tag, stored.codec, pickle.loads(stored.data)) == (Tag.NATIVE, "python/pickle", {1, 2})
        assert ctx.state.stored("json") == Foreign(Tag.JSON, "", b'{"a":[1,null]}')
        assert ctx.state.stored("bytes") == Foreign(Tag.BYTES, "", b"\0") and ctx.state.stored("none") is None
        for key in ("set", "json", "bytes"):
            ctx.state["other"] = ctx.state.stored(key)
            assert ctx.state["other"] == ctx.state[key] and ctx.state.stored("other") == ctx.state.stored(key)
        return StopEvent(result=None)

    await Workflow("stored", [only]).run()


# ---- runs ----


class Again(Event):
    pass


async def test_an_endless_run_leaves_the_loop_its_turns():
    spun = 0

    @step(thread="loop", accepts=[StartEvent, Again])
    def spin(ctx, ev):
        nonlocal spun
        spun += 1
        return Again()

    handler = Workflow("endless", [spin]).run_with_handler()
    turns = 0
    while spun < 1000:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    handler.abort()
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.status == Status.ABORTED


def test_two_loops_one_after_the_other_share_a_workflow():
    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=ev.n)

    workflow = Workflow("shared", [only])
    assert [workflow.run_sync(n=n).result for n in range(3)] == [0, 1, 2]


async def test_a_step_may_run_a_workflow_of_its_own_and_abort_its_own_run():
    @step
    async def inner(ctx: Context, ev: StartEvent):
        return StopEvent(result=ev.n + 1)

    @step
    async def outer(ctx: Context, ev: StartEvent):
        if ev.n == 0:
            handlers[0].abort()
            await asyncio.sleep(60)
        return StopEvent(result=(await Workflow("inner", [inner]).run(n=ev.n)).result * 10)

    handlers = []
    assert (await Workflow("outer", [outer]).run(n=1)).result == 20
    handlers.append(Workflow("outer", [outer]).run_with_handler(n=0))
    with pytest.raises(BlazenError) as caught:
        await handlers[0].result()
    assert caught.value.status == Status.ABORTED


async def test_cancelling_a_gather_aborts_all_of_it():
    cancelled = []

    @step
    async def slow(ctx: Context, ev: StartEvent):
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(ev.n)

    workflow = Workflow("slow", [slow])
    gathered = asyncio.gather(*(workflow.run(n=n) for n in range(3)))
    await asyncio.sleep(0.02)
    gathered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathered
    await asyncio.sleep(0.02)
    assert sorted(cancelled) == [0, 1, 2]


async def test_cancelling_who_waits_for_a_handler_leaves_the_run_alone():
    opened = asyncio.Event()

    @step
    async def gated(ctx: Context, ev: StartEvent):
        await opened.wait()
        return StopEvent(result=1)

    handler = Workflow("gated", [gated]).run_with_handler()
    for wait in (handler.result, handler.wait, handler.stream_events(routed=False).__anext__):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0.01)
    opened.set()
    assert (await handler.result()).result == 1


async def test_more_permits_of_a_pool_take_effect_at_once():
    opened, inside = asyncio.Event(), []

    @step
    async def split(ctx: Context, ev: StartEvent):
        return [Part(n=n) for n in range(4)]

    @step(pool="grows")
    async def work(ctx: Context, ev: Part):
        inside.append(ev.n)
        await opened.wait()
        return Done(n=ev.n)

    @step(joins=split)
    async def gather(ctx: Context, ev: Done):
        return StopEvent(result=len(ctx.events()))

    blazen.set_pool("grows", 1)
    handler = Workflow("pool", [split, work, gather]).run_with_handler()
    await asyncio.sleep(0.02)
    assert len(inside) == 1
    blazen.set_pool("grows", 3)
    await asyncio.sleep(0.02)
    assert len(inside) == 3
    opened.set()
    assert (await handler.result()).result == 4


async def test_limits_are_the_workflow_s():
    @step(accepts=[StartEvent, Again])
    async def spin(ctx, ev):
        return [Again(), Again()]

    with pytest.raises(BlazenError, match="BLAZEN_LIMIT_QUEUED_EVENTS"):
        await Workflow("loops", [spin], limits={"queued_events": 10, "questions": 1}).run()
    with pytest.raises(ValueError, match="limits is one of"):
        Workflow("loops", [spin], limits={"rounds": 1})
    with pytest.raises(BlazenError, match="bound") as caught:  # in the library's words
        Workflow("loops", [spin], limits={"questions": 0})
    assert caught.value.status == Status.INVALID_ARGUMENT


async def test_a_run_has_the_id_that_it_is_given():
    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=ctx.run_id())

    workflow, run_id = Workflow("ids", [only]), str(uuid.uuid4())
    handler = workflow.start(run_id=run_id)
    assert handler.run_id == run_id and (await handler.result()).result == run_id
    with pytest.raises(BlazenError) as caught:
        workflow.start(run_id="7")
    assert caught.value.status == Status.INVALID_ARGUMENT


async def test_the_same_point_gives_the_same_bytes_and_a_fork_is_a_run_of_its_own():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.state["seen"] = {1, 2}
        return Part(n=1)

    workflow = Workflow("parks", [begin, elsewhere("there", Part)])
    handler = workflow.run_with_handler()
    await handler.wait(RunState.ELSEWHERE)
    snapshot = handler.snapshot()
    assert handler.snapshot() == snapshot

    @step
    async def there(ctx: Context, ev: Part):
        return StopEvent(result=sorted(ctx.state["seen"]))

    whole = [elsewhere("begin", StartEvent), there]
    forks = [Workflow.resume(snapshot, whole, fork=True) for _ in range(2)]
    assert [(await fork.result()).result for fork in forks] == [[1, 2]] * 2
    assert len({handler.run_id, *(fork.run_id for fork in forks)}) == 3


async def test_a_failed_run_has_a_snapshot_that_fails_with_the_same():
    @step
    async def fail(ctx: Context, ev: StartEvent):
        raise KeyError("k")

    workflow = Workflow("fails", [fail])
    handler = workflow.run_with_handler()
    with pytest.raises(KeyError):
        await handler.result()
    with pytest.raises(KeyError, match="k"):
        await workflow.resume(handler.snapshot()).result()


async def test_progress_and_the_life_of_a_step_are_on_the_stream():
    @step
    async def work(ctx: Context, ev: StartEvent):
        ctx.progress(1, 2, "half")
        return StopEvent(result=None)

    handler = Workflow("life", [work]).run_with_handler()
    items = [event async for event in handler.stream_events(lifecycle=True, routed=False)]
    kinds = [event.kind for event in items if event.event_type == "blazen::lifecycle"]
    assert kinds[-3:] == ["step_started", "step_completed", "event_routed"]
    (progress,) = [event for event in items if event.event_type == "blazen::ProgressEvent"]
    assert (progress.label, progress.percent) == ("half", 50)
