"""Workflows inside workflows, one or several at once: what becomes of failures, questions, streams and snapshots, and
what is elsewhere."""

import asyncio
import subprocess
import sys
import threading

import pytest

import blazen
from blazen import (
    ELSEWHERE,
    BlazenError,
    BlazenTimeout,
    Context,
    Event,
    Join,
    RunState,
    StartEvent,
    Status,
    StepFailedEvent,
    StopEvent,
    Workflow,
    elsewhere,
    parallel,
    step,
    subworkflow,
)

KINDS = pytest.mark.parametrize("kind", ["async def", "def"])


class Part(Event):
    pass


def as_kind(kind, function):
    """The function, or the same as a coroutine."""
    if kind == "def":
        return function

    async def only(*given):
        await asyncio.sleep(0)
        return function(*given)

    return only


def ending(kind, function, name="inner", **options):
    """A workflow whose result is what the function makes of (ctx, event)."""
    body = as_kind(kind, lambda ctx, ev: StopEvent(result=function(ctx, ev)))
    return Workflow(name, [step(name="only", accepts=StartEvent)(body)], **options)


def doubling(kind="def"):
    return ending(kind, lambda ctx, ev: {"n": ev.n * 2})


def failing(kind="def"):
    def fail(ctx, ev):
        raise ValueError(f"no luck with {ev.n}")

    return ending(kind, fail)


def asking():
    @step
    async def ask(ctx: Context, ev: StartEvent):
        return StopEvent(result=await ctx.ask(f"who is {ev.n}?", request_id="q"))

    return Workflow("asks", [ask])


def around(inner, *more, name="inner", options=None, **given):
    """A workflow whose first step is another one."""
    inside = subworkflow(name, inner, accepts=StartEvent, emits=StopEvent, **given)
    return Workflow("outer", [inside, *more], **(options or {}))


def several(branches, *more, **given):
    return Workflow("outer", [parallel("all", branches, accepts=StartEvent, emits=StopEvent, **given), *more])


async def asked(handler, count=1):
    await handler.wait(RunState.ASKING)
    while len(handler.questions()) < count:
        await asyncio.sleep(0)
    return handler.questions()


# ---- one ----


@KINDS
@pytest.mark.parametrize("concurrency", [0, 2])
async def test_many_at_once_and_few(kind, concurrency):
    now, most = 0, 0
    lock = threading.Lock()

    def double(ctx, ev):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            return ev.n * 2
        finally:
            with lock:
                now -= 1

    @step
    async def split(ctx: Context, ev: StartEvent):
        return [Part(n=n) for n in range(30)]

    @step(accepts="double::output", joins=Join("split", ordered=True))
    async def end(ctx, ev):
        return StopEvent(result=[each.value for each in ctx.events()])

    inside = subworkflow("double", ending(kind, double), accepts=Part, max_concurrency=concurrency)
    assert (await Workflow("outer", [split, inside, end]).run()).result == list(range(0, 60, 2))
    assert concurrency == 0 or most <= concurrency


async def test_a_join_may_be_a_workflow():
    @step
    async def split(ctx: Context, ev: StartEvent):
        return [Part(n=n) for n in range(4)]

    def gather(ctx, event):
        return {"ns": sorted(each.n for each in ctx.events())}

    inner = ending("async def", lambda ctx, ev: ev.ns)
    end = subworkflow("end", inner, accepts=Part, emits=StopEvent, input=gather, joins=split)
    assert (await Workflow("outer", [split, end]).run()).result == [0, 1, 2, 3]


@KINDS
async def test_it_has_its_own_state_and_id(kind):
    def look(ctx, ev):
        return [list(ctx.state), ctx.workflow_name, ctx.step_name, ctx.run_id() != ev.id]

    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.state["mine"] = 1
        return Part(id=ctx.run_id())

    @step(accepts="inner::output")
    async def end(ctx, ev):
        return StopEvent(result=[ev.value, list(ctx.state)])

    workflow = Workflow("outer", [begin, subworkflow("inner", ending(kind, look), accepts=Part), end])
    assert (await workflow.run()).result == [[[], "inner", "only", True], ["mine"]]


@KINDS
async def test_objects_keep_their_identity(kind):
    thing = threading.Lock()
    assert (await around(ending(kind, lambda ctx, ev: thing)).run()).result is thing
    assert (await around(doubling(kind), output=as_kind(kind, lambda _: thing)).run(n=1)).result is thing


@KINDS
async def test_runs_inside_one_another(kind):
    workflow = doubling(kind)
    for _ in range(20):
        workflow = around(workflow)
    assert (await workflow.run(n=3)).result == {"n": 6}


@pytest.mark.parametrize("depth, limits", [(64, {}), (3, {"child_depth": 3})])
async def test_a_workflow_that_contains_itself_ends_by_its_depth(depth, limits):
    @step
    async def deeper(ctx: Context, ev: StartEvent):
        return Event("Deeper", n=ev.n - 1) if ev.n else StopEvent(result="bottom")

    itself = subworkflow("deeper still", None, accepts="Deeper", emits=StopEvent)
    workflow = Workflow("self", [deeper, itself], limits=limits)
    assert (await workflow.run(n=depth)).result == "bottom"
    with pytest.raises(BlazenError, match=rf"BLAZEN_LIMIT_CHILD_DEPTH \({depth}\)"):
        await workflow.run(n=depth + 1)


async def test_so_many_at_once():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return [Part(n=n) for n in range(4)]

    inside = subworkflow("inner", asking(), accepts=Part)
    end = step(name="end", accepts="inner::output")(lambda ctx, ev: None)
    with pytest.raises(BlazenError, match=r"BLAZEN_LIMIT_CHILDREN \(3\)"):
        await Workflow("outer", [begin, inside, end], limits={"children": 3}).run()


# ---- mappers ----


@KINDS
async def test_mappers_have_a_context_with_the_state_of_the_run(kind):
    def note(ctx, given):
        ctx.state["seen"] = [*ctx.state.get("seen", []), ctx.step_name]
        return {"n": given.n} if isinstance(given, Event) else {**given, "seen": ctx.state["seen"]}

    async def input(ctx, given):
        return note(ctx, given)

    workflow = around(doubling(kind), input=input if kind == "async def" else note, output=note)
    assert (await workflow.run(n=4)).result == {"n": 8, "seen": ["inner::input", "inner::output"]}


@KINDS
async def test_an_output_may_be_other_events(kind):
    def output(result):
        return [Event("Even", n=result["n"])]

    @step(accepts="Even")
    async def end(ctx, ev):
        return StopEvent(result=[ev.event_type, ev.n])

    inside = subworkflow("inner", doubling(kind), accepts=StartEvent, output=output)
    unused = step(name="unused", accepts="inner::output")(lambda ctx, ev: None)
    assert (await Workflow("outer", [inside, unused, end]).run(n=2)).result == ["Even", 4]


async def test_an_input_is_no_event():
    with pytest.raises(TypeError, match="input returns a value, and no event"):
        await around(doubling(), input=lambda event: event).run(n=2)


async def test_a_mapper_that_fails_is_tried_again_as_its_step_is():
    calls = []

    def once(given):
        calls.append(given)
        if len(calls) % 2:
            raise ConnectionError("no line")
        return {"n": 2} if isinstance(given, Event) else given

    assert (await around(doubling(), input=once, output=once, retries=1).run(n=2)).result == {"n": 4}
    assert len(calls) == 4

    def broken(given):
        raise ConnectionError("no line")

    for name in ("input", "output"):
        handler = around(doubling(), **{name: broken}).run_with_handler(n=2)
        with pytest.raises(ConnectionError):
            await handler.result()
        assert handler.error.step == f"inner::{name}"


async def test_a_mapper_may_ask():
    async def how_many(ctx, event):
        return {"n": await ctx.ask("how many?", request_id="n")}

    handler = around(doubling(), input=how_many).run_with_handler()
    assert [question["step"] for question in await asked(handler)] == ["inner::input"]
    handler.respond_to_input("n", 4)
    assert (await handler.result()).result == {"n": 8}


async def test_a_mapper_in_flight_is_asked_again_under_its_id():
    ids, opened = [], asyncio.Event()

    async def later(ctx, event):
        ids.append(ctx.invocation_id)
        await opened.wait()
        return {"n": 7}

    workflow = around(doubling(), input=later)
    handler = workflow.run_with_handler()
    while not ids:
        await asyncio.sleep(0)
    snapshot = handler.snapshot()
    handler.abort()
    opened.set()
    assert (await workflow.resume(snapshot).result()).result == {"n": 14}
    assert ids == [1, 1]


async def test_a_mapper_under_way_is_cancelled_with_its_run():
    happened = []

    async def later(event):
        happened.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            happened.append("over")

    handler = around(doubling(), input=later).run_with_handler()
    while not happened:
        await asyncio.sleep(0)
    handler.abort()
    with pytest.raises(BlazenError):
        await handler.result()
    await asyncio.sleep(0.01)
    assert happened == ["begun", "over"]


# ---- failures ----


@KINDS
async def test_its_failure_is_the_failure_of_the_step_and_a_handler_takes_it(kind):
    handler = around(failing(kind)).run_with_handler(n=5)
    with pytest.raises(ValueError, match="no luck with 5"):
        await handler.result()
    assert (handler.error.step, handler.error.status) == ("inner", Status.STEP_FAILED)
    assert "step 'inner' failed: step 'only' failed: ValueError: no luck with 5" in str(handler.error)

    @step
    async def rescue(ctx: Context, ev: StepFailedEvent):
        return StopEvent(result=ev.step)

    assert (await around(failing(kind), rescue).run(n=5)).result == "inner"


@KINDS
async def test_a_retry_begins_another_run(kind):
    ids = []

    def inner(ctx, ev):
        ids.append(ctx.run_id())
        if len(ids) < 3:
            raise ConnectionError
        return ev.n

    assert (await around(ending(kind, inner), retries=2).run(n=9)).result == 9
    assert len(set(ids)) == 3


@pytest.mark.parametrize("whose", ["the step's", "the run's"])
async def test_its_time_is_up(whose):
    @step
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    is_steps = whose == "the step's"
    inner = Workflow("inner", [slow], **({} if is_steps else {"timeout": 0.02}))
    handler = around(inner, **({"timeout": 0.02} if is_steps else {})).run_with_handler()
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.step == "inner"
    cause = caught.value if isinstance(caught.value, BlazenTimeout) else caught.value.__cause__
    assert cause.status == (Status.STEP_TIMEOUT if is_steps else Status.RUN_TIMEOUT)


async def test_one_that_stalls_fails_its_step():
    with pytest.raises(BlazenError) as caught:
        await around(Workflow("inner", [step(name="only", accepts=StartEvent)(lambda ctx, ev: None)])).run()
    assert caught.value.__cause__.status == Status.STALLED


# ---- several ----


@pytest.mark.parametrize("strategy", ["wait_all", "first_completes"])
async def test_none_are_done_at_once(strategy):
    assert (await several({}, join_strategy=strategy).run()).result == {}
    assert (await several({}, join_strategy=strategy, output=len).run()).result == 0


@KINDS
async def test_the_first_that_fails_fails_all(kind):
    branches = {"good": doubling(kind), "slow": asking(), "bad": failing(kind)}
    handler = several(branches).run_with_handler(n=3)
    with pytest.raises(BlazenError, match=r"step 'all' failed: step 'all\[bad\]' failed.*ValueError: no luck with 3"):
        await handler.result()


@KINDS
async def test_the_first_success_is_enough_although_another_fails(kind):
    branches = {"slow": asking(), "bad": failing(kind), "good": doubling(kind)}
    assert (await several(branches, join_strategy="first_completes").run(n=3)).result == {"n": 6}
    by_branch = several(branches, join_strategy="first_completes", output=lambda results: results)
    assert (await by_branch.run(n=3)).result == {"good": {"n": 6}}


async def test_where_all_fail_each_is_named():
    handler = several({"one": failing(), "two": failing()}, join_strategy="first_completes").run_with_handler(n=3)
    with pytest.raises(BlazenError, match="all 2 branches of 'all' failed") as caught:
        await handler.result()
    assert sorted(caught.value.detail) == ["one", "two"]
    assert "no luck with 3" in caught.value.detail["one"]["message"]


@KINDS
async def test_each_branch_is_tried_again_by_itself(kind):
    calls = []

    def once(ctx, ev):
        calls.append(ev.n)
        if len(calls) == 1:
            raise ConnectionError
        return len(calls)

    branches = {"flaky": ending(kind, once), "good": doubling(kind)}
    assert (await several(branches, retries=1).run(n=3)).result == {"flaky": 2, "good": {"n": 6}}


async def test_an_output_gets_the_results_by_branch_in_their_order():
    branches = {"b": ending("def", lambda ctx, ev: b"\0"), "a": ending("def", lambda ctx, ev: (1, 2))}
    assert (await several(branches, output=lambda results: results).run()).result == {"b": b"\0", "a": (1, 2)}
    names = several(branches, output=lambda ctx, results: [ctx.step_name, *results])
    assert (await names.run()).result == ["all", "b", "a"]
    with pytest.raises(BlazenError, match="the result of branch 'b' is BYTES"):
        await several(branches).run()


async def test_the_same_workflow_may_stand_in_each():
    assert (await several(dict.fromkeys("abc", doubling())).run(n=1)).result == dict.fromkeys("abc", {"n": 2})


async def test_who_loses_is_cancelled_also_further_inside():
    cancelled = []

    @step
    async def wait(ctx: Context, ev: StartEvent):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(ctx.workflow_name)
            raise

    branches = {"slow": around(Workflow("slow", [wait])), "good": doubling()}
    assert (await several(branches, join_strategy="first_completes").run(n=2)).result == {"n": 4}
    await asyncio.sleep(0.01)
    assert cancelled == ["slow"]


async def test_an_abort_ends_what_is_inside():
    happened = []

    def held():
        @step
        async def hold(ctx: Context, ev: StartEvent):
            happened.append("begun")
            try:
                await asyncio.sleep(60)
            finally:
                happened.append(ctx.is_cancelled)

        return Workflow("held", [hold])

    handler = several({"a": around(held()), "b": held()}).run_with_handler()
    while len(happened) < 2:
        await asyncio.sleep(0)
    handler.abort()
    await asyncio.sleep(0.01)
    assert happened == ["begun", "begun", True, True] and handler.state is RunState.CANCELLED


async def test_an_interrupt_inside_fails_the_run():
    class Quit(BaseException):
        pass

    def stop(ctx, ev):
        raise Quit

    with pytest.raises(Quit):
        await around(around(ending("def", stop))).run()


# ---- questions, streams, a look inside ----


async def test_a_question_further_inside_has_its_path_and_is_answered_at_the_top():
    handler = around(around(asking(), name="leaf"), name="middle").run_with_handler(n=1)
    (question,) = await asked(handler)
    assert [host["step"] for host in question["path"]] == ["middle", "leaf"]
    assert question["request_id"] == question["path"][1]["run_id"] + "/q"
    assert question["step"] == "middle#1/leaf#1/ask"
    with pytest.raises(BlazenError) as caught:
        handler.respond_to_input("q", "me")
    assert caught.value.status == Status.NOT_FOUND
    handler.respond_to_input(question["request_id"], "me")
    assert (await handler.result()).result == "me"


async def test_it_is_withdrawn_at_the_top():
    handler = around(asking()).run_with_handler(n=1)
    (question,) = await asked(handler)
    handler.withdraw_question(question["request_id"])
    with pytest.raises(BlazenError, match="the question 'q' was withdrawn"):
        await handler.result()


async def test_the_input_handler_of_the_top_gets_them():
    requests = []

    async def answer(request):
        requests.append(request)
        return request.prompt

    workflow = around(around(asking()), options={"input_handler": answer})
    assert (await workflow.run(n=1)).result == "who is 1?"
    (request,) = requests
    assert request.request_id.endswith("/q")


async def test_what_it_does_is_described():
    handler = around(asking()).run_with_handler(n=1)
    await asked(handler)
    (hosted,) = handler.describe()["children"]
    assert (hosted["step"], hosted["invocation_id"]) == ("inner", 1)
    assert (hosted["run"]["workflow"], hosted["run"]["status"]) == ("asks", "asking")
    handler.abort()
    described = around(doubling(), input=lambda event: {}).describe()
    parts = [(each["name"], each["part"], each["part_of"]) for each in described["steps"]]
    assert parts == [("inner::input", "input", "inner"), ("inner", "child", None)]
    assert [child["name"] for child in described["children"]] == ["inner"]


async def test_a_pause_is_of_the_whole_tree():
    ticks = []

    @step(accepts=[StartEvent, "Tick"])
    async def tick(ctx, ev):
        ticks.append(ctx.run_id())
        if len(ticks) == 3:
            pausing.append(handler.pause())
        return Event("Tick") if len(ticks) < 6 else StopEvent(result=len(ticks))

    pausing = []
    workflow = around(Workflow("inner", [tick]))
    handler = workflow.run_with_handler()
    assert await handler.wait(RunState.PAUSED) is RunState.PAUSED
    assert handler.describe()["children"][0]["run"]["status"] == "paused" and len(ticks) == 3
    await pausing[0]
    handler.resume_in_place()
    assert (await handler.result()).result == 6


# ---- snapshots, and what is elsewhere ----


async def test_a_branch_and_a_mapper_elsewhere():
    for here, there, needed, result in (
        (several({"a": doubling(), "b": ELSEWHERE}), several({"a": doubling(), "b": doubling()}), "all[b]", None),
        (around(doubling(), input=ELSEWHERE), around(doubling(), input=lambda ev: {"n": 4}), "inner::input", {"n": 8}),
    ):
        with pytest.raises(blazen.ParkedElsewhere) as caught:
            await here.run(n=3)
        assert caught.value.steps == [needed]
        found = await there.resume(caught.value.handler.snapshot()).result()
        assert found.result == (result or {"a": {"n": 6}, "b": {"n": 6}})


async def test_a_workflow_in_another_process_is_a_step_elsewhere():
    """Where it is not, a run of it is kept as it came."""

    @step
    async def begin(ctx: Context, ev: StartEvent):
        return Part(n=5)

    @step(accepts="inner::output")
    async def end(ctx, ev):
        return StopEvent(result=ev.value)

    def outer(is_here):
        inside = subworkflow("inner", asking(), accepts=Part) if is_here else elsewhere("inner", Part)
        return Workflow("outer", [begin, inside, end])

    handler = outer(False).run_with_handler()
    for is_here in (True, False, True):
        await handler.wait(RunState.ELSEWHERE, RunState.ASKING)
        snapshot = handler.snapshot()
        handler.abort()
        handler = outer(is_here).resume(snapshot)
        (question,) = await asked(handler) if is_here else handler.questions()
        assert question["step"] == "inner#2/ask"
    handler.respond_to_input(question["request_id"], 9)
    assert (await handler.result()).result == 9


TRIP = """
import asyncio, sys
from blazen import Context, Event, RunState, StartEvent, StopEvent, Workflow, elsewhere, parallel, step, subworkflow

class Arrived(Event):
    pass

@step
async def arrive(ctx: Context, ev: StartEvent):
    ctx.state["stay"] = (ev.city,)
    return Arrived()

@step
async def lodge(ctx: Context, ev: Arrived):
    city, = ctx.state["stay"]
    return StopEvent(result=(city, await ctx.ask(f"How many nights in {city}?", request_id="nights")))

@step
async def begin(ctx: Context, ev: StartEvent):
    return Event("Tour", city=ev.city)

@step(accepts="tour::output")
async def end(ctx, ev):
    return StopEvent(result=ev.to_dict())

def trip(is_here=True, has_tour=True):
    visit = Workflow("visit", [arrive, lodge if is_here else elsewhere("lodge", Arrived)])
    nights = lambda stays: {branch: list(stay) for branch, stay in stays.items()}
    visits = parallel("visits", {"north": visit, "south": visit}, accepts=StartEvent, emits=StopEvent, output=nights)
    region = Workflow("region", [visits])
    tour = subworkflow("tour", region, accepts="Tour") if has_tour else elsewhere("tour", "Tour")
    return Workflow("trip", [begin, tour, end])

async def main(role):
    handler = trip(role == "answer", role != "outside").resume(sys.stdin.buffer.read())
    if role != "answer":
        await handler.wait(RunState.ELSEWHERE)
        sys.stdout.buffer.write(handler.snapshot())
        return
    while len(handler.questions()) < 2:
        await handler.wait(RunState.ASKING)
        await asyncio.sleep(0)
    for number, question in enumerate(handler.questions(), 1):
        handler.respond_to_input(question["request_id"], number)
    print(handler.run_id, (await handler.result()).result)

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
"""


async def test_four_processes_share_a_workflow_elsewhere_and_a_step_elsewhere_inside_it():
    def in_another(role, snapshot):
        done = subprocess.run([sys.executable, "-c", TRIP, role], input=snapshot, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    names = {"__name__": "trip"}
    exec(TRIP, names)
    with pytest.raises(blazen.ParkedElsewhere) as caught:
        await names["trip"](has_tour=False).run(city="Oslo")
    assert caught.value.steps == ["tour"]
    inside = blazen.Snapshot(in_another("inside", caught.value.handler.snapshot()))
    lodges = ["tour/visits[north]/lodge", "tour/visits[south]/lodge"]
    assert [each for each in sorted(inside.info["steps_needed"]) if "lodge" in each] == lodges
    assert inside.info["children"] == 3
    outside = blazen.Snapshot(in_another("outside", inside))
    assert outside.info["inside"] == inside.info["inside"]
    result = {"north": ["Oslo", 1], "south": ["Oslo", 2]}
    assert in_another("answer", outside).decode() == f"{caught.value.handler.run_id} {result}\n"


async def test_one_that_no_longer_fits_is_named_with_its_path():
    handler = around(around(asking(), name="leaf"), name="middle").run_with_handler(n=1)
    await asked(handler)
    changed = asking().add_step(step(name="new", accepts="New")(lambda ctx, ev: None))
    with pytest.raises(BlazenError, match="inside step 'middle', invocation 1: inside step") as caught:
        around(around(changed, name="leaf"), name="middle").resume(handler.snapshot())
    assert caught.value.status == Status.SNAPSHOT_MISMATCH
    handler.abort()


async def test_what_does_not_pickle_inside_is_named_with_its_path():
    @step
    async def keep(ctx: Context, ev: StartEvent):
        ctx.session["lock"] = threading.Lock()
        return StopEvent(result=await ctx.ask("?"))

    handler = around(Workflow("inner", [keep])).run_with_handler()
    await asked(handler)
    with pytest.raises(BlazenError, match="inner#1: session 'lock'") as caught:
        handler.snapshot()
    assert caught.value.status == Status.NOT_SERIALIZABLE
    handler.abort()


# ---- what is no workflow ----


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"inner": "inner"}, TypeError, "Workflow or a Pipeline, not 'inner'"),
        ({"name": ""}, BlazenError, "name"),
        ({"name": "x" * 1000}, BlazenError, "of a step that is a workflow"),
        ({"emits": 5}, TypeError, "emits is an Event class or the name of one, not 5"),
        ({"input": 5}, TypeError, "is a function, not 5"),
        ({"input": lambda a, b, c: 1}, TypeError, r"a function of one argument, or of \(ctx, that\)"),
        ({"timeout": -1}, ValueError, "timeout is a number of seconds"),
        ({"retries": "3"}, TypeError, "retries is a Retry"),
        ({"joins": 5}, TypeError, "joins is a Join"),
    ],
)
def test_what_is_wrong_is_named(options, error, says):
    given = {"name": "inner", "inner": doubling(), "accepts": StartEvent, **options}
    with pytest.raises(error, match=says):
        Workflow("outer", [subworkflow(given.pop("name"), given.pop("inner"), **given)])


@pytest.mark.parametrize(
    "branches, options, error, says",
    [
        ({"a": 5}, {}, TypeError, "Workflow or a Pipeline, not 5"),
        ({"": doubling()}, {}, BlazenError, r"branches\[0\]\.name"),
        ({}, {"join_strategy": "most"}, ValueError, "most"),
        ({}, {"output": 5}, TypeError, "is a function, not 5"),
    ],
)
def test_what_is_wrong_with_several_is_named(branches, options, error, says):
    with pytest.raises(error, match=says):
        several(branches, **options)
