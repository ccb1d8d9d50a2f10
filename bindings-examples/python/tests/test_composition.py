"""Joins, collecting, pools, workflows inside workflows, pipelines."""

import asyncio

import pytest

import blazen
from blazen import (
    ELSEWHERE,
    BlazenError,
    Context,
    Event,
    InputRequestEvent,
    InputResponseEvent,
    Join,
    JoinReason,
    LoopStage,
    ParallelStage,
    PipelineBuilder,
    PipelineError,
    RunState,
    Stage,
    StartEvent,
    Status,
    StopEvent,
    Workflow,
    parallel,
    step,
    subworkflow,
)


class Part(Event):
    pass


class Finished(Event):
    pass


# ---- joins ----


@step
async def split(ctx: Context, ev: StartEvent):
    return [Part(n=n) for n in range(ev.count)]


@step
async def work(ctx: Context, ev: Part):
    await asyncio.sleep(0.001 * (5 - ev.n))
    return Finished(n=ev.n) if ev.n != 3 else None


async def test_a_join_takes_what_has_come():
    @step(joins=split)
    async def gather(ctx: Context, ev: Finished):
        return StopEvent(result=[sorted(each.n for each in ctx.events()), ctx.joined.reason, ctx.joined.arrived])

    workflow = Workflow("join", [split, work, gather])
    assert (await workflow.run(count=5)).result == [[0, 1, 2, 4], JoinReason.COMPLETE, 4]


async def test_a_join_of_nothing_gets_an_empty_join_event():
    @step(joins=split)
    async def gather(ctx: Context, ev: Finished):
        return StopEvent(result=[type(ev), ctx.events()])

    assert (await Workflow("join", [split, work, gather]).run(count=0)).result == [blazen.EmptyJoinEvent, []]


async def test_the_first_two_are_enough():
    cancelled = []

    @step
    async def slow(ctx: Context, ev: Part):
        try:
            await asyncio.sleep(0.001 if ev.n < 2 else 60)
        except asyncio.CancelledError:
            cancelled.append(ev.n)
            raise
        return Finished(n=ev.n)

    @step(joins=Join(split, mode="first_n", n=2, cancel_rest=True))
    async def gather(ctx: Context, ev: Finished):
        return StopEvent(result=len(ctx.events()))

    assert (await Workflow("join", [split, slow, gather]).run(count=4)).result == 2
    await asyncio.sleep(0.01)
    assert sorted(cancelled) == [2, 3]


async def test_a_join_has_the_order_of_the_opener_when_asked():
    @step(joins=Join("split", ordered=True))
    async def gather(ctx: Context, ev: Finished):
        return StopEvent(result=[each.n for each in ctx.events()])

    assert (await Workflow("join", [split, work, gather]).run(count=5)).result == [0, 1, 2, 4]


def test_what_a_join_is_told_is_checked():
    with pytest.raises(ValueError, match="joins.mode is one of 'all', 'any', 'first_n'"):
        Workflow("join", [split, work, step(accepts=Finished, joins=Join("split", mode="some"))(lambda ctx, ev: None)])


async def test_collect_waits_for_one_of_each():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return [Finished(n=1), Part(n=2), Part(n=3)]

    @step
    async def both(ctx: Context, ev: Finished | Part):
        found = ctx.collect((Part, 2), Finished)
        return None if found is None else StopEvent(result=[(each.event_type, each.n) for each in found])

    result = (await Workflow("collect", [begin, both]).run()).result
    assert result == [("Part", 2), ("Part", 3), ("Finished", 1)]


async def test_a_pool_is_shared_by_runs():
    now = most = 0
    blazen.set_pool("few", 2)

    @step(pool="few")
    async def only(ctx: Context, ev: StartEvent):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return StopEvent(result=None)

    workflow = Workflow("pool", [only])
    await asyncio.gather(*(workflow.run() for _ in range(10)))
    assert most == 2


async def test_a_pool_that_nobody_has_set_is_named():
    @step(pool="unknown pool")
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=None)

    with pytest.raises(BlazenError, match="unknown pool"):
        await Workflow("pool", [only]).run()


async def test_an_atomic_step_that_fails_has_written_nothing():
    @step(atomic=True, retries=1)
    async def only(ctx: Context, ev: StartEvent):
        seen = ctx.get("n", 0)
        ctx.set("n", seen + 1)
        if ctx.attempt == 1:
            raise RuntimeError("once")
        return StopEvent(result=seen)

    assert (await Workflow("atomic", [only]).run()).result == 0


# ---- workflows inside ----


def doubling(name="inner", key="n"):
    @step
    async def double(ctx: Context, ev: StartEvent):
        ctx.write_event_to_stream(Event("Inside", run=ctx.run_id()))
        return StopEvent(result={key: ev[key] * 2})

    return Workflow(name, [double])


async def test_a_step_is_a_workflow():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return Part(n=4)

    @step(accepts="inner::output")
    async def end(ctx, ev):
        return StopEvent(result=ev.n)

    workflow = Workflow("outer", [begin, subworkflow("inner", doubling(), accepts=Part), end])
    assert (await workflow.run()).result == 8
    handler = workflow.run_with_handler()
    types = [event.event_type async for event in handler.stream_events()]
    assert "Inside" in types and (await handler.result()).result == 8


async def test_mappers_see_the_event_and_the_result():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return Part(text="abc")

    async def output(ctx, result):
        await asyncio.sleep(0)
        return Finished(n=result["n"] + ctx.invocation_id * 0)

    @step
    async def end(ctx: Context, ev: Finished):
        return StopEvent(result=ev.n)

    inner = subworkflow("inner", doubling(), accepts=Part, input=lambda ev: {"n": len(ev.text)}, output=output)
    assert (await Workflow("outer", [begin, inner, end]).run()).result == 6


async def test_the_exception_of_a_step_inside_is_the_very_object():
    exception = RuntimeError("inside")

    @step
    async def fail(ctx: Context, ev: StartEvent):
        raise exception

    workflow = Workflow("outer", [subworkflow("inner", Workflow("inner", [fail]), accepts=StartEvent, emits=StopEvent)])
    with pytest.raises(RuntimeError) as caught:
        await workflow.run()
    assert caught.value is exception


async def test_several_at_once():
    branches = {"a": doubling("a"), "b": doubling("b")}
    workflow = Workflow("outer", [parallel("both", branches, accepts=StartEvent, emits=StopEvent)])
    assert (await workflow.run(n=3)).result == {"a": {"n": 6}, "b": {"n": 6}}


async def test_the_first_to_succeed_is_enough():
    @step
    async def never(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    branches = {"slow": Workflow("slow", [never]), "fast": doubling("fast")}
    step_ = parallel("both", branches, accepts=StartEvent, emits=StopEvent, join_strategy="first_completes")
    assert (await Workflow("outer", [step_]).run(n=3)).result == {"n": 6}


async def test_the_names_that_add_steps_to_a_workflow():
    workflow = Workflow("outer").add_parallel_subworkflows(
        "both", [StartEvent], [Part], ["a", "b"], [doubling("a"), doubling("b")]
    )
    workflow.add_subworkflow_step("inner", [Part], [StopEvent], doubling("c", "a"), timeout_secs=5, retry=1)
    with pytest.raises(TypeError):
        await workflow.run(n=3)  # twice a dict
    with pytest.raises(ValueError, match="branch_specs names 1"):
        workflow.add_parallel_subworkflows("x", [Part], [Part], ["a"], [])
    builder = Workflow.builder("built").step(split).timeout(5).step_timeout(1).step_retry(1)
    assert builder.build().describe()["steps"][0]["timeout_ms"] == 1000


async def test_a_question_inside_is_the_run_s_own():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return InputRequestEvent(prompt="inside?")

    @step
    async def take(ctx: Context, ev: InputResponseEvent):
        return StopEvent(result=ev.response)

    inner = subworkflow("inner", Workflow("inner", [ask, take]), accepts=StartEvent, emits=StopEvent)
    handler = Workflow("outer", [inner]).run_with_handler()
    await handler.wait(RunState.ASKING)
    (question,) = handler.questions()
    handler.respond_to_input(question["request_id"], "yes")
    assert (await handler.result()).result == "yes"


async def test_a_run_goes_on_in_the_middle_of_one_inside():
    gate = asyncio.Event()

    @step
    async def wait(ctx: Context, ev: StartEvent):
        ctx.set("n", ev.n)
        gate.set()
        await asyncio.sleep(0.02)
        return StopEvent(result={"n": ctx.get("n") + 1})

    inner = subworkflow("inner", Workflow("inner", [wait]), accepts=StartEvent, emits=StopEvent)
    workflow = Workflow("outer", [inner])
    handler = workflow.run_with_handler(n=1)
    await gate.wait()
    snapshot = handler.snapshot()
    assert (await handler.result()).result == {"n": 2}
    assert (await workflow.resume(snapshot).result()).result == {"n": 2}


# ---- pipelines ----


def book(**options):
    return (
        PipelineBuilder("book", **options)
        .stage(Stage("first", doubling("one")))
        .parallel(ParallelStage("second", {"a": doubling("a"), "b": doubling("b")}))
        .stage(Stage("third", doubling("three"), input_mapper=lambda last: {"n": last["a"]["n"] + last["b"]["n"]}))
        .build()
    )


async def test_a_pipeline_runs_its_stages():
    result = await book().run({"n": 1})
    assert result.final_output == {"n": 16} and result.pipeline_name == "book"
    assert [(each.name, each.output, each.skipped) for each in result.stage_results] == [
        ("first", {"n": 2}, False),
        ("second", {"a": {"n": 4}, "b": {"n": 4}}, False),
        ("third", {"n": 16}, False),
    ]
    assert all(each.duration_ms >= 0 for each in result.stage_results)


def test_a_pipeline_runs_without_a_loop():
    assert book().run_sync({"n": 1}).final_output == {"n": 16}


async def test_stages_are_skipped_loop_and_share_state():
    def until(ctx, last):
        ctx.state["rounds"] = ctx.state.get("rounds", 0) + 1
        return "done" if last["n"] >= 16 else "again"

    async def condition(last):
        return last["n"] > 100

    pipeline = (
        PipelineBuilder("loop")
        .loop_stage(LoopStage("grow", 10, Stage("x", doubling()), until=until))
        .stage(Stage("never", doubling(), condition=condition))
        .total_timeout(10)
        .timeout_per_stage(5)
        .build()
    )
    result = await pipeline.run({"n": 1})
    assert result.final_output == {"n": 16} and result.shared_state == {"rounds": 4}
    assert [(each.name, each.skipped, each.duration_ms is None) for each in result.stage_results] == [
        ("grow", False, False),
        ("never", True, True),
    ]


async def test_a_stage_that_fails_is_named_and_its_exception_is_the_cause():
    exception = RuntimeError("stage")

    @step
    async def fail(ctx: Context, ev: StartEvent):
        raise exception

    pipeline = PipelineBuilder("bad").stage(Stage("ok", doubling())).stage(Stage("boom", Workflow("b", [fail]))).build()
    with pytest.raises(PipelineError) as caught:
        await pipeline.run({"n": 1})
    assert (
        caught.value.stage == "boom"
        and caught.value.__cause__ is exception
        and caught.value.status == Status.STEP_FAILED
    )


async def test_a_loop_that_reaches_its_bound_fails():
    loop = LoopStage("grow", 3, Stage("x", doubling()), until=lambda last: "again")
    with pytest.raises(PipelineError) as caught:
        await PipelineBuilder("loop").loop_stage(loop).build().run({"n": 1})
    assert caught.value.stage == "grow"


async def test_the_stream_says_where_events_come_from_and_progress_is_right():
    handler = await book().start({"n": 1})
    inside = [event async for event in handler.stream_events() if event.event.event_type == "Inside"]
    assert sorted((each.stage_name, each.branch_name) for each in inside if each.branch_name) == [
        ("second", "a"),
        ("second", "b"),
    ]
    assert {each.stage_name for each in inside} == {"first", "second", "third"}
    assert all(each.workflow_run_id == each.event.run for each in inside)
    result = await handler.result()
    assert await handler.result() is result
    assert (handler.progress()["current"], handler.progress()["total"]) == (3, 3)


async def test_a_pipeline_goes_on_in_the_middle_of_a_stage():
    reached = asyncio.Event()
    calls = []

    @step
    async def slow(ctx: Context, ev: StartEvent):
        calls.append(ev.n)
        reached.set()
        await asyncio.sleep(0.02)
        return StopEvent(result={"n": ev.n + 1})

    def make():
        return (
            PipelineBuilder("p").stage(Stage("one", doubling())).stage(Stage("two", Workflow("slow", [slow]))).build()
        )

    handler = make().start({"n": 1})
    await reached.wait()
    snapshot = handler.snapshot()
    assert isinstance(snapshot, blazen.PipelineSnapshot) and snapshot.pipeline_name == "p"
    handler.abort()
    result = await make().resume(snapshot.to_json()).result()
    assert result.final_output == {"n": 3} and calls == [2, 2]
    assert [each.output for each in result.stage_results] == [{"n": 2}, {"n": 3}]


async def test_a_pipeline_pauses_and_goes_on_in_place_and_elsewhere():
    reached, opened = asyncio.Event(), asyncio.Event()

    @step
    async def gated(ctx: Context, ev: StartEvent):
        reached.set()
        await opened.wait()
        return StopEvent(result={"n": ev.n + 1})

    pipeline = PipelineBuilder("p").stage(Stage("gate", Workflow("g", [gated]))).stage(Stage("two", doubling())).build()
    handler = pipeline.start({"n": 1})
    await reached.wait()
    pausing = handler.pause()
    opened.set()
    snapshot = await pausing
    assert isinstance(snapshot, blazen.PipelineSnapshot) and handler.state is RunState.PAUSED
    assert (await pipeline.resume(snapshot).result()).final_output == {"n": 4}
    handler.resume_in_place()
    assert (await handler.result()).final_output == {"n": 4}


async def test_a_pipeline_is_a_step_and_a_stage():
    outer = Workflow("outer", [subworkflow("book", book(), accepts=StartEvent, emits=StopEvent)])
    assert (await outer.run(n=1)).result == {"n": 16}
    again = PipelineBuilder("again").stage(Stage("inner", book())).build()
    assert (await again.run({"n": 2})).final_output == {"n": 32}


def test_what_a_pipeline_is_told_is_checked():
    with pytest.raises(TypeError, match="stage is a Stage"):
        PipelineBuilder("p").stage(5)
    with pytest.raises(ValueError, match="max_iterations"):
        PipelineBuilder("p").loop_stage(LoopStage("l", 0, Stage("s", doubling())))
    with pytest.raises(BlazenError) as caught:
        PipelineBuilder("p").build()
    assert caught.value.status == Status.INVALID_WORKFLOW
    with pytest.raises(TypeError, match="Workflow or a Pipeline"):
        PipelineBuilder("p").stage(Stage("s", 5))
    assert repr(ELSEWHERE) == "blazen.ELSEWHERE"
