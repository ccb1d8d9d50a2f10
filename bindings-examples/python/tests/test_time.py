"""Delays, back-off and time-outs: when they come, when they stand still, and that they outlive their process."""

import asyncio
import time

import pytest

from blazen import (
    BlazenError,
    BlazenTimeout,
    Context,
    Event,
    Retry,
    RunState,
    StartEvent,
    Status,
    StopEvent,
    Workflow,
    step,
)


def alarm(*delays):
    @step
    async def set_alarms(ctx: Context, ev: StartEvent):
        ctx.state["rung"] = []
        for delay in delays:
            ctx.send_event(Event("Ring", delay=delay), delay=delay)

    @step(accepts="Ring", max_concurrency=1)
    async def ring(ctx, ev):
        ctx.state["rung"] = [*ctx.state["rung"], ev.delay]
        return StopEvent(result=ctx.state["rung"]) if len(ctx.state["rung"]) == len(delays) else None

    return Workflow("alarm", [set_alarms, ring], idle="wait")


def failing(times, retries):
    began = []

    @step(retries=retries)
    async def work(ctx: Context, ev: StartEvent):
        began.append((ctx.attempt, time.monotonic()))
        if ctx.attempt <= times:
            raise ConnectionError
        return StopEvent(result=ctx.attempt)

    return Workflow("fails", [work]), began


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def test_events_come_in_the_order_of_their_moments():
    assert (await alarm(0.06, 0.02, 0.04).run_with_handler().result()).result == [0.02, 0.04, 0.06]


async def test_what_is_delayed_is_described():
    handler = alarm(30, 10, 20).run_with_handler()
    await until(lambda: len(handler.describe()["delayed"]) == 3)
    due = [each["due_in_ms"] for each in handler.describe()["delayed"]]
    assert due == sorted(due) and 9000 < due[0] <= 10100 and 29000 < due[2] <= 30100
    handler.abort()


@pytest.mark.parametrize("has_passed", [False, True])
async def test_a_delay_stands_still_in_a_snapshot_unless_time_has_passed(has_passed):
    workflow = alarm(0.3)
    handler = workflow.run_with_handler()
    await until(lambda: handler.describe()["delayed"])
    snapshot = handler.snapshot()
    handler.abort()
    await asyncio.sleep(0.3)
    began = time.monotonic()
    assert (await workflow.resume(snapshot, time_has_passed=has_passed).result()).result == [0.3]
    assert (time.monotonic() - began < 0.2) is has_passed


async def test_an_event_from_outside_may_come_later():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return None

    end = step(name="end", accepts="End")(lambda ctx, ev: StopEvent(result=ev.n))
    handler = Workflow("waits", [begin, end], idle="wait").run_with_handler()
    began = time.monotonic()
    handler.send_event(Event("End", n=7), delay=0.05)
    assert (await handler.result()).result == 7 and time.monotonic() - began > 0.045


async def test_the_time_of_a_run_stands_still_while_it_asks_or_is_paused():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result=await ctx.ask("?", request_id="q"))

    handler = Workflow("asks", [ask], timeout=0.1).run_with_handler()
    await handler.wait(RunState.ASKING)
    await asyncio.sleep(0.2)
    assert handler.state is RunState.ASKING
    await handler.pause()
    await asyncio.sleep(0.2)
    assert handler.state is RunState.PAUSED
    handler.resume_in_place()
    handler.respond_to_input("q", "late")
    assert (await handler.result()).result == "late"


async def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again():
    cancelled = []

    @step(timeout=0.03, retries=1)
    async def slow(ctx: Context, ev: StartEvent):
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append((ctx.attempt, ctx.is_cancelled))

    handler = Workflow("slow", [slow]).run_with_handler()
    with pytest.raises(BlazenTimeout) as caught:
        await handler.result()
    assert (caught.value.status, caught.value.step, caught.value.attempt) == (Status.STEP_TIMEOUT, "slow", 2)
    await asyncio.sleep(0.01)
    assert cancelled == [(1, True), (2, True)]


async def test_the_delay_of_retries_grows_up_to_its_bound():
    workflow, began = failing(9, Retry(9, initial_delay=10, multiplier=3, max_delay=60))
    handler = workflow.run_with_handler()
    await until(lambda: handler.describe()["retrying"])
    (waiting,) = handler.describe()["retrying"]
    assert waiting["attempt"] == 2 and 9000 < waiting["due_in_ms"] <= 10100
    handler.abort()
    workflow, began = failing(3, Retry(4, initial_delay=0.02, multiplier=3, max_delay=0.08))
    assert (await workflow.run()).result == 4
    gaps = [after[1] - before[1] for before, after in zip(began, began[1:], strict=False)]
    assert all(gap > least for gap, least in zip(gaps, (0.018, 0.055, 0.075), strict=True))


async def test_jitter_takes_off_at_most_its_share():
    for _ in range(5):
        workflow, _ = failing(1, Retry(2, initial_delay=100, max_delay=100, jitter=0.25))
        handler = workflow.run_with_handler()
        await until(lambda handler=handler: handler.describe()["retrying"])
        assert 74_000 <= handler.describe()["retrying"][0]["due_in_ms"] <= 100_100
        handler.abort()


async def test_a_step_says_when():
    @step(retries=Retry(2, initial_delay=60))
    async def work(ctx: Context, ev: StartEvent):
        if ctx.attempt == 1:
            ctx.retry_after(0.03)
            raise ConnectionError
        return StopEvent(result="soon")

    assert (await Workflow("soon", [work]).run()).result == "soon"


async def test_back_off_outlives_its_process():
    workflow, began = failing(2, Retry(3, initial_delay=0.05))
    handler = workflow.run_with_handler()
    await until(lambda: len(began) == 2 and handler.describe()["retrying"])
    snapshot = handler.snapshot()
    handler.abort()
    assert snapshot.info["retrying"] == 1
    assert (await workflow.resume(snapshot).result()).result == 3
    assert [attempt for attempt, _ in began] == [1, 2, 3]


async def test_a_run_whose_time_is_up_has_ended():
    @step
    async def only(ctx: Context, ev: StartEvent):
        return None

    handler = Workflow("for ever", [only], idle="wait", timeout=0.05).run_with_handler()
    assert await handler.wait(RunState.WAITING) is RunState.WAITING
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.status == Status.RUN_TIMEOUT
