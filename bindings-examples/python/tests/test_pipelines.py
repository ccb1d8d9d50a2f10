"""Pipelines: conditions, mappers, branches, rounds; failures, retries and time-outs; where the stages stand; bad input."""

import asyncio
import threading

import pytest

from blazen import (
    ELSEWHERE,
    BlazenError,
    Context,
    LoopStage,
    ParallelStage,
    ParkedElsewhere,
    PipelineBuilder,
    PipelineError,
    RunState,
    Stage,
    StartEvent,
    Status,
    StopEvent,
    Workflow,
    step,
    subworkflow,
)


def ending(function):
    """A workflow whose result is what the function makes of the event."""

    async def only(ctx, ev):
        return StopEvent(result=function(ev))

    return Workflow("inner", [step(accepts=StartEvent)(only)])


def adding(number):
    return ending(lambda ev: {"n": ev.n + number})


def doubling():
    return ending(lambda ev: {"n": ev.n * 2})


def failing():
    def fail(ev):
        raise ValueError(f"no luck with {ev.n}")

    return ending(fail)


def asking():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result={"n": await ctx.ask(f"who is {ev.n}?")})

    return Workflow("asks", [ask])


def sleeping():
    @step
    async def sleep(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    return Workflow("sleeps", [sleep])


def built(*stages):
    builder = PipelineBuilder("pipeline")
    for stage in stages:
        {Stage: builder.stage, ParallelStage: builder.parallel, LoopStage: builder.loop_stage}[type(stage)](stage)
    return builder.build()


async def output_of(*stages, n=5):
    return (await built(*stages).run({"n": n})).final_output


async def failure_of(*stages, n=5):
    with pytest.raises(PipelineError) as caught:
        await built(*stages).run({"n": n})
    return caught.value


async def asked(handler):
    await handler.wait(RunState.ASKING)
    return handler.questions()[0]


def statuses(handler):
    return {stage["name"]: stage["status"] for stage in handler.progress()["stages"]}


# ---- stages ----


async def test_a_run_says_where_its_stages_stand():
    pipeline = built(Stage("one", adding(1)), Stage("t/w~o", asking()), Stage("three", adding(1)))
    handler = pipeline.start({"n": 5})
    question = await asked(handler)
    assert statuses(handler) == {"one": "completed", "t/w~o": "running", "three": "pending"}
    assert [handler.progress()[name] for name in ("current", "total")] == [1, 3]
    handler.respond_to_input(question["request_id"], 10)
    result = await handler.result()
    assert result.final_output == {"n": 11} and set(statuses(handler).values()) == {"completed"}
    assert [(each.name, each.output["n"]) for each in result.stage_results] == [("one", 6), ("t/w~o", 10), ("three", 11)]
    assert handler.progress()["percent"] == 100


async def test_mappers_decide_what_goes_in_and_comes_out():
    def input_mapper(ctx, last):
        ctx.state["seen"] = [ctx.step_name, last["n"]]
        return {"n": last["n"] * 10}

    async def output(ctx, result):
        return [*ctx.state["seen"], result["n"]]

    stage = Stage("one", adding(1), input_mapper=input_mapper, output=output)
    assert await output_of(stage) == ["one::input", 5, 51]


async def test_objects_keep_their_identity():
    thing = threading.Lock()
    assert await output_of(Stage("one", ending(lambda ev: thing))) is thing
    assert await output_of(Stage("one", doubling(), output=lambda _: thing)) is thing


async def test_a_pipeline_that_is_a_step_has_its_question_outside():
    pipeline = built(Stage("one", asking()))
    outer = Workflow("outer", [subworkflow("inner", pipeline, accepts=StartEvent, emits=StopEvent)])
    handler = outer.run_with_handler(n=1)
    question = await asked(handler)
    handler.respond_to_input(question["request_id"], 2)
    assert (await handler.result()).result == {"n": 2}


# ---- several at once, and rounds ----


async def test_an_output_of_several_gets_them_by_branch():
    branches = {"right": adding(1), "left": doubling()}
    total = ParallelStage("both", branches, output=lambda results: {"n": sum(each["n"] for each in results.values())})
    assert await output_of(total, Stage("more", adding(1))) == {"n": 17}


@pytest.mark.parametrize("strategy", ["first_completes", "wait_all"])
async def test_the_first_success_is_enough_where_that_was_said(strategy):
    stage = ParallelStage("any", {"bad": failing(), "slow": asking(), "good": doubling()}, strategy)
    if strategy == "first_completes":
        assert await output_of(stage) == {"n": 10}
    else:
        assert (await failure_of(stage)).stage == "any"


async def test_a_branch_elsewhere():
    with pytest.raises(ParkedElsewhere) as caught:
        await built(ParallelStage("all", {"a": doubling(), "b": ELSEWHERE})).run({"n": 3})
    snapshot = caught.value.handler.snapshot()
    resumed = built(ParallelStage("all", {"a": doubling(), "b": doubling()})).resume(snapshot)
    assert (await resumed.result()).final_output == {"a": {"n": 6}, "b": {"n": 6}}


async def test_rounds_end_at_their_bound():
    def again(last):
        return "again"

    inner = Stage("", adding(1))
    assert await output_of(LoopStage("loop", 7, inner), n=0) == {"n": 7}
    assert await output_of(LoopStage("loop", 7, inner, again, done_at_bound=True), n=0) == {"n": 7}
    error = await failure_of(LoopStage("loop", 7, inner, again), n=0)
    assert "stage 'loop' has had its 7 rounds" in str(error)
    error = await failure_of(LoopStage("loop", 7, inner, lambda last: "fail"), n=0)
    assert "said to have failed after round 1" in str(error)


async def test_several_at_once_in_each_round():
    def total(ev):
        return {"n": sum(each["n"] for each in ev.to_dict().values()) + 1}

    inner = ParallelStage("", {"a": ending(total), "b": ending(total)})
    result = await built(LoopStage("loop", 2, inner)).run({"x": {"n": 1}})
    assert result.final_output == {"a": {"n": 5}, "b": {"n": 5}}


async def test_a_snapshot_of_a_round_goes_on_there():
    pipeline = built(Stage("one", adding(1)), LoopStage("loop", 3, Stage("", asking())))
    handler = pipeline.start({"n": 0})
    for answer in (10, 20):
        question = await asked(handler)
        handler.respond_to_input(question["request_id"], answer)
        while question["request_id"] in [each["request_id"] for each in handler.questions()] or not handler.questions():
            await asyncio.sleep(0.001)
    resumed = pipeline.resume(handler.snapshot())
    handler.abort()
    question = await asked(resumed)
    assert (question["prompt"], resumed.progress()["stages"][1]["round"]) == ("who is 20?", 2)
    resumed.respond_to_input(question["request_id"], 30)
    assert (await resumed.result()).final_output == {"n": 30}


# ---- failures ----


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_function_that_fails_fails_its_stage(is_async):
    def broken(last):
        raise ConnectionError("no line")

    async def later(last):
        await asyncio.sleep(0)
        broken(last)

    fail = later if is_async else broken
    for part, argument in (("input", "input_mapper"), ("condition", "condition"), ("output", "output")):
        error = await failure_of(Stage("one", adding(1), **{argument: fail}))
        assert (error.step, error.stage, type(error.__cause__)) == (f"one::{part}", "one", ConnectionError)
    error = await failure_of(LoopStage("one", 2, Stage("", adding(1)), fail))
    assert (error.step, type(error.__cause__)) == ("one::until", ConnectionError)


async def test_a_stage_is_tried_again_with_its_functions():
    calls = []

    def once(given):
        calls.append(given["n"])
        if len(calls) % 2:
            raise ConnectionError
        return given

    assert await output_of(Stage("one", adding(1), input_mapper=once, output=once, retries=1)) == {"n": 6}
    assert calls == [5, 5, 6, 6]


@pytest.mark.parametrize("whose", ["the stage's", "each stage's", "the run's"])
async def test_its_time_is_up(whose):
    builder = PipelineBuilder("pipeline")
    if whose == "each stage's":
        builder.timeout_per_stage(0.03)
    if whose == "the run's":
        builder.total_timeout(0.03)
    builder.stage(Stage("one", sleeping(), timeout=0.03 if whose == "the stage's" else None))
    with pytest.raises(PipelineError) as caught:
        await builder.build().run()
    assert caught.value.status == (Status.RUN_TIMEOUT if whose == "the run's" else Status.STEP_FAILED)


# ---- bad input ----


@pytest.mark.parametrize(
    "stages, error, says",
    [
        (lambda one, inner: [one, one], BlazenError, "two stages are named 'one'"),
        (lambda one, inner: [Stage("one", inner, condition=1)], TypeError, "condition is a function"),
        (lambda one, inner: [Stage("one", inner, input_mapper=lambda a, b, c: 1)], TypeError, "input_mapper is a function"),
        (lambda one, inner: [Stage("one", inner, timeout="1")], ValueError, "timeout is a number of seconds"),
        (lambda one, inner: [Stage("one", inner, retries="2")], TypeError, "retries is a Retry"),
        (lambda one, inner: [ParallelStage("one", [inner])], TypeError, "branches is a dict"),
        (lambda one, inner: [ParallelStage("one", {"a": inner}, "any")], ValueError, "any"),
        (lambda one, inner: [LoopStage("one", 1, inner)], TypeError, "inner is a Stage or a ParallelStage"),
        (lambda one, inner: [LoopStage("one", 1, one, until=2)], TypeError, "until is a function"),
    ],
)
def test_what_is_wrong_is_named(stages, error, says):
    inner = doubling()
    with pytest.raises(error, match=says):
        built(*stages(Stage("one", inner), inner))


async def test_answers_that_do_not_fit():
    def event(last):
        return StartEvent(n=1)

    for stage, says in (
        (Stage("one", adding(1), condition=lambda last: 1), "true or false"),
        (Stage("one", adding(1), condition=event), "condition returns a value, and no event"),
        (Stage("one", adding(1), input_mapper=event), "input_mapper returns a value, and no event"),
        (Stage("one", adding(1), output=event), "output returns a value, and no event"),
        (LoopStage("one", 2, Stage("", adding(1)), until=lambda last: True), "again"),
    ):
        assert says in str(await failure_of(stage))
