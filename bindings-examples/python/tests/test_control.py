"""What steers a run beyond its beginning and its end."""

import asyncio

import pytest

from blazen import (
    BlazenError,
    Context,
    Event,
    InputRequestEvent,
    Join,
    RunState,
    StartEvent,
    Status,
    StepFailedEvent,
    StopEvent,
    Workflow,
    correlate,
    correlation_of,
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
