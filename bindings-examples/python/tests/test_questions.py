"""Questions that several ask at once, and input handlers: who answers when, and what becomes of them at the end."""

import asyncio
import gc

import pytest

from blazen import BlazenError, Context, Event, RunState, StartEvent, Status, StopEvent, Workflow, step


def asking(questions="a", **options):
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result=await asyncio.gather(*map(ctx.ask, questions)))

    return Workflow("asks", [ask], **options)


async def asked(handler, count=1):
    while len(handler.questions()) < count:
        await asyncio.sleep(0)
    return handler.questions()


async def test_questions_at_once_have_their_own_answers():
    handler = asking("012").run_with_handler()
    for question in reversed(await asked(handler, 3)):
        handler.respond_to_input(question["request_id"], question["prompt"])
    assert (await handler.result()).result == ["0", "1", "2"]


async def test_an_answer_that_was_given_is_in_the_snapshot():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        ctx.state["calls"] = ctx.state.get("calls", 0) + 1
        first, second = ctx.ask("one?", request_id="one"), ctx.ask("two?", request_id="two")
        return StopEvent(result=[await asyncio.gather(first, second), ctx.state["calls"], ctx.invocation_id])

    workflow = Workflow("asks", [ask])
    handler = workflow.run_with_handler()
    await asked(handler, 2)
    handler.respond_to_input("two", {"given": "before"})
    snapshot = handler.snapshot()  # at once: nobody has had the answer yet
    handler.abort()
    resumed = workflow.resume(snapshot)
    assert [question["request_id"] for question in resumed.questions()] == ["one"]
    await resumed.wait(RunState.ASKING)
    resumed.respond_to_input("one", b"\0after")
    assert (await resumed.result()).result == [[b"\0after", {"given": "before"}], 2, 1]


async def test_an_early_answer_is_in_the_snapshot_and_there_is_one():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        await asyncio.sleep(0.02)
        return StopEvent(result=await ctx.ask("?", request_id="q"))

    workflow = Workflow("early", [ask])
    handler = workflow.run_with_handler()
    handler.respond_early("q", {"a": 1})
    with pytest.raises(BlazenError) as caught:
        handler.respond_early("q", 2)
    assert caught.value.status == Status.CONFLICT
    resumed = workflow.resume(handler.snapshot())
    for each in (handler, resumed):
        assert (await each.result()).result == {"a": 1}


async def test_a_withdrawn_question_can_be_caught_by_its_step():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        try:
            return StopEvent(result=await ctx.ask("?", request_id="q"))
        except BlazenError as failure:
            return StopEvent(result=failure.status)

    handler = Workflow("withdrawn", [ask]).run_with_handler()
    with pytest.raises(BlazenError) as caught:
        handler.withdraw_question("p")
    assert caught.value.status == Status.NOT_FOUND
    await handler.wait(RunState.ASKING)
    handler.withdraw_question("q")
    assert (await handler.result()).result == Status.CANCELLED


# ---- what changes when a step runs again ----


async def test_another_prompt_does_not_get_the_answer_to_the_first():
    amounts, opened = iter([100, 900]), asyncio.Event()

    @step
    async def pay(ctx: Context, ev: StartEvent):
        amount = next(amounts)
        answer = await ctx.ask(f"Pay {amount}?")
        await opened.wait()
        return StopEvent(result=[amount, answer])

    workflow = Workflow("payments", [pay])
    handler = workflow.run_with_handler()
    (first,) = await asked(handler)
    handler.respond_to_input(first["request_id"], "yes")
    snapshot = handler.snapshot()
    handler.abort()
    opened.set()
    resumed = workflow.resume(snapshot)
    (second,) = await asked(resumed)
    assert second["prompt"] == "Pay 900?" and second["request_id"] != first["request_id"]
    resumed.respond_to_input(second["request_id"], "no")
    assert (await resumed.result()).result == [900, "no"]


async def test_another_prompt_under_the_same_given_id_is_a_conflict():
    amounts = iter([100, 900])

    @step
    async def pay(ctx: Context, ev: StartEvent):
        return StopEvent(result=await ctx.ask(f"Pay {next(amounts)}?", request_id="pay"))

    workflow = Workflow("payments", [pay])
    handler = workflow.run_with_handler()
    await asked(handler)
    handler.respond_to_input("pay", "yes")
    snapshot = handler.snapshot()
    handler.abort()
    with pytest.raises(BlazenError, match="another question under 'pay'") as caught:
        await workflow.resume(snapshot).result()
    assert caught.value.status == Status.CONFLICT


async def test_what_is_fresh_in_every_attempt_counts_once():
    numbers = iter(range(1, 10))

    @step(retries=2)
    async def order(ctx: Context, ev: StartEvent):
        ctx.send_event(Event("Ordered", number=next(numbers)))
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return Event("End")

    @step(accepts="Ordered")
    async def ordered(ctx, ev):
        ctx.state[f"order {ev.number}"] = True

    @step(accepts="End")
    async def end(ctx, ev):
        return StopEvent(result=list(ctx.state))

    handler = Workflow("orders", [order, ordered, end]).run_with_handler()
    kinds = [
        event.kind
        async for event in handler.stream_events(lifecycle=True)
        if event.event_type == "blazen::lifecycle" and event.kind.startswith("send_")
    ]
    assert (await handler.result()).result == ["order 1"]
    assert kinds == ["send_changed", "send_changed"]


# ---- input handlers ----


async def test_an_input_handler_answers_each_question_when_it_can():
    doors, order = {prompt: asyncio.Event() for prompt in "012"}, []

    async def answer(request):
        await doors[request.prompt].wait()
        order.append(request.prompt)
        return request.prompt + "!"

    handler = asking("012", input_handler=answer).run_with_handler()
    await asked(handler, 3)
    for door in reversed(doors.values()):
        door.set()
        await asyncio.sleep(0.005)
    assert (await handler.result()).result == ["0!", "1!", "2!"]
    assert order == ["2", "1", "0"]


async def test_an_input_handler_answers_steps_on_workers_too():
    @step
    def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result=[ctx.ask_sync("one?"), ctx.ask_sync("two?")])

    async def answer(request):
        await asyncio.sleep(0)
        return [request.prompt]

    assert (await Workflow("asks", [ask], input_handler=answer).run()).result == [["one?"], ["two?"]]


async def test_an_input_handler_is_a_coroutine_where_it_returns_one():
    async def later(text):
        return text + "!"

    assert (await asking(input_handler=lambda request: later(request.prompt)).run()).result == ["a!"]


async def test_an_input_handler_may_leave_it_to_somebody_else():
    async def answer(request):
        return None

    handler = asking(input_handler=answer).run_with_handler()
    (question,) = await asked(handler)
    await asyncio.sleep(0.005)
    handler.respond_to_input(question["request_id"], "by hand")
    assert (await handler.result()).result == ["by hand"]


async def test_somebody_else_may_answer_first():
    answered = asyncio.Event()

    async def answer(request):
        await answered.wait()
        return "late"

    handler = asking("ab", input_handler=answer).run_with_handler()
    questions = await asked(handler, 2)
    first = next(each for each in questions if each["prompt"] == "a")
    handler.respond_to_input(first["request_id"], "early")
    answered.set()
    assert (await handler.result()).result == ["early", "late"]


async def test_what_it_raises_after_somebody_else_has_answered_changes_nothing():
    doors = {prompt: asyncio.Event() for prompt in "ab"}

    async def answer(request):
        await doors[request.prompt].wait()
        raise ValueError(request.prompt)

    handler = asking("ab", input_handler=answer).run_with_handler()
    questions = await asked(handler, 2)
    first = next(each for each in questions if each["prompt"] == "a")
    handler.respond_to_input(first["request_id"], "A")
    doors["a"].set()
    await asyncio.sleep(0.01)
    assert await handler.wait(RunState.ASKING) is RunState.ASKING
    doors["b"].set()
    with pytest.raises(ValueError, match="b"):
        await handler.result()


async def test_an_input_handler_answers_after_a_resume():
    handler = asking().run_with_handler()
    await asked(handler)
    snapshot = handler.snapshot()
    handler.abort()
    resumed = asking(input_handler=lambda request: request.prompt + "!").resume(snapshot)
    assert (await resumed.result()).result == ["a!"]


async def test_a_run_that_nobody_holds_waits_for_its_input_handler():
    done = []

    async def answer(request):
        gc.collect()
        await asyncio.sleep(0)
        return "yes"

    @step
    async def ask(ctx: Context, ev: StartEvent):
        done.append(await ctx.ask("?"))
        return StopEvent(result=None)

    Workflow("asks", [ask], input_handler=answer).run_with_handler()
    while not done:
        gc.collect()
        await asyncio.sleep(0.001)
    assert done == ["yes"]


async def test_the_end_of_a_run_cancels_its_input_handler():
    happened = []

    async def answer(request):
        happened.append("asked")
        try:
            await asyncio.sleep(60)
        finally:
            happened.append("cancelled")

    handler = asking("ab", input_handler=answer).run_with_handler()
    while len(happened) < 2:
        await asyncio.sleep(0)
    handler.abort()
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.status == Status.ABORTED
    await asyncio.sleep(0.01)
    assert happened == ["asked"] * 2 + ["cancelled"] * 2
