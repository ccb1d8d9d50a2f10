"""Joins and collecting: what becomes of children and of late ones, deadlines, scopes within scopes, snapshots, limits."""

import asyncio

import pytest

from blazen import (
    BlazenError,
    Context,
    Event,
    Join,
    JoinReason,
    Retry,
    RunState,
    StartEvent,
    Status,
    StepFailedEvent,
    StopEvent,
    Workflow,
    correlate,
    correlation_of,
    elsewhere,
    step,
)

KINDS = pytest.mark.parametrize("kind", ["async def", "def"])


class Part(Event):
    pass


class Done(Event):
    pass


def as_step(kind, function, **options):
    """A step of a function, or of the same as a coroutine."""

    async def coroutine(ctx, ev):
        await asyncio.sleep(0)
        return function(ctx, ev)

    return step(name=function.__name__, **options)(function if kind == "def" else coroutine)


@step
async def split(ctx: Context, ev: StartEvent):
    return [Part(n=n) for n in range(ev.count)]


@step
async def work(ctx: Context, ev: Part):
    return Done(n=ev.n)


def numbers(ctx):
    return sorted(each.n for each in ctx.events())


@step(accepts=Done, joins=split)
async def gather(ctx, ev):
    return StopEvent(result=[numbers(ctx), *ctx.joined])


@KINDS
async def test_a_join_is_called_once_whatever_becomes_of_the_children(kind):
    def work(ctx, ev):
        if ev.n == 0:
            return None
        if ev.n == 1:
            return [Done(n=n) for n in (10, 11, 12)]
        if ev.n == 2 and ctx.attempt == 1:
            raise ConnectionError
        if ev.n == 3:
            raise ValueError("for good")
        return Done(n=ev.n)

    @step
    async def mend(ctx: Context, ev: StepFailedEvent):
        return Done(n=-1)

    workflow = Workflow("join", [split, as_step(kind, work, accepts=Part, retries=Retry(2)), mend, gather])
    assert (await workflow.run(count=5)).result[0] == [-1, 2, 4, 10, 11, 12]


async def test_the_event_of_a_join_is_the_last_that_arrived():
    @step(accepts=Done, joins="split")
    async def last(ctx, ev):
        return StopEvent(result=[ev.n, ctx.events()[-1].n])

    found = (await Workflow("join", [split, work, last]).run(count=3)).result
    assert found[0] == found[1]


async def test_an_empty_one_may_be_skipped():
    @step(accepts=Done, joins=Join("split", empty="skip"))
    async def gather(ctx, ev):
        return StopEvent(result=None)

    with pytest.raises(BlazenError) as caught:
        await Workflow("join", [split, work, gather]).run(count=0)
    assert caught.value.status == Status.STALLED


@pytest.mark.parametrize(
    "join, reason, arrived, wanted",
    [
        (Join("split", "any"), JoinReason.CONDITION, 1, 1),
        (Join("split", "first_n", 3), JoinReason.CONDITION, 3, 3),
        (Join("split", "first_n", n=9), JoinReason.SHORT, 5, 9),
    ],
)
async def test_the_first_and_the_first_few(join, reason, arrived, wanted):
    first = step(name="gather", accepts=Done, joins=join)(gather.function)
    found, *why = (await Workflow("join", [split, work, first]).run(count=5)).result
    assert (len(found), why) == (arrived, [reason, arrived, wanted, 1])


@KINDS
async def test_scopes_within_scopes(kind):
    scopes = set()

    def book(ctx, ev):
        return [Event("Chapter", n=n) for n in range(4)]

    def chapter(ctx, ev):
        return [Event("Page", n=n) for n in range(ev.n)]

    def page(ctx, ev):
        scopes.add(ctx.scope_id)
        return Event("Read")

    def read(ctx, ev):
        return Event("Summary", n=len([each for each in ctx.events()]))

    def end(ctx, ev):
        return StopEvent(result=[numbers(ctx), ctx.scope_id])

    steps = [
        as_step(kind, book, accepts=StartEvent),
        as_step(kind, chapter, accepts="Chapter"),
        as_step(kind, page, accepts="Page"),
        as_step(kind, read, accepts="Read", joins="chapter"),
        as_step(kind, end, accepts="Summary", joins="book"),
    ]
    assert (await Workflow("scopes", steps).run()).result == [[0, 1, 2, 3], 0]
    assert len(scopes) == 3 and 0 not in scopes


async def test_a_step_that_is_no_join_has_one_event():
    @step
    async def only(ctx: Context, ev: StartEvent):
        return StopEvent(result=[ctx.joined.reason, len(ctx.events()), ctx.scope_id])

    assert (await Workflow("no join", [only]).run()).result == [JoinReason.NONE, 1, 0]


@pytest.mark.parametrize("at_deadline", ["give", "fail"])
async def test_a_deadline_gives_what_has_come_or_fails(at_deadline):
    @step
    async def some(ctx: Context, ev: Part):
        if ev.n:
            await asyncio.sleep(60)
        return Done(n=ev.n)

    late = step(name="gather", accepts=Done, joins=Join("split", deadline=0.05, at_deadline=at_deadline))
    handler = Workflow("join", [split, some, late(gather.function)]).run_with_handler(count=3)
    if at_deadline == "give":
        assert (await handler.result()).result == [[0], JoinReason.DEADLINE, 1, None, 1]
    else:
        with pytest.raises(BlazenError, match="scope 1 of step 'split'") as caught:
            await handler.result()
        assert (caught.value.status, caught.value.step) == (Status.STEP_TIMEOUT, "gather")


async def test_what_comes_late_is_said():
    @step(accepts=Done, joins=Join("split", "any"))
    async def first(ctx, ev):
        ctx.send_event(Event("End"), delay=0.02)

    end = step(name="end", accepts="End")(lambda ctx, ev: StopEvent(result=None))
    handler = Workflow("late", [split, work, first, end]).run_with_handler(count=3)
    late = [
        (event.step_name, event["event_type"], event.scope_id)
        async for event in handler.stream_events(lifecycle=True)
        if event.event_type == "blazen::lifecycle" and event.kind == "late"
    ]
    assert late == [("first", "Done", 1)] * 2


async def test_a_scope_that_is_not_open_is_none():
    handler = Workflow("waits", [split, work, gather], idle="wait").run_with_handler(count=1)
    with pytest.raises(BlazenError, match="scope") as caught:
        handler.send_event(Done(n=8), scope=99)
    assert caught.value.status == Status.NOT_FOUND
    assert (await handler.result()).result[0] == [0]


async def test_a_scope_outlives_its_process_and_is_filled_where_the_join_is_not():
    """Half of the children are done here; the join is called there, with what arrived in both."""
    gate, half = asyncio.Event(), asyncio.Event()

    @step(max_concurrency=1)
    async def work(ctx: Context, ev: Part):
        if ev.n == 2 and not gate.is_set():
            half.set()
            await gate.wait()
        return Done(n=ev.n)

    @step(accepts=Done, joins=Join("split", ordered=True))
    async def gather(ctx, ev):
        return StopEvent(result=[each.n for each in ctx.events()])

    away = elsewhere("gather", Done, joins=Join("split", ordered=True))
    handler = Workflow("join", [split, work, away]).run_with_handler(count=4)
    await half.wait()
    snapshot = handler.snapshot()
    gate.set()
    assert (await Workflow.resume(snapshot, [split, work, gather]).result()).result == [0, 1, 2, 3]
    assert await handler.wait(RunState.ELSEWHERE) is RunState.ELSEWHERE
    whole = handler.snapshot()
    assert whole.info["queued"] == 1  # the join, with all of it
    assert (await Workflow.resume(whole, [split, work, gather]).result()).result == [0, 1, 2, 3]
    handler.abort()


def test_a_step_elsewhere_has_its_options():
    workflow = Workflow("away", [split, elsewhere("work", Part, max_concurrency=3), gather])
    assert [each["max_concurrency"] for each in workflow.describe()["steps"]] == [0, 3, 0]
    with pytest.raises(TypeError, match="joins is a Join"):
        Workflow("away", [split, elsewhere("gather", Done, joins=5)])


@pytest.mark.parametrize(
    "limit, name", [("scopes", "BLAZEN_LIMIT_SCOPES"), ("scope_depth", "BLAZEN_LIMIT_SCOPE_DEPTH")]
)
async def test_limits(limit, name):
    steps = [
        step(name="start", accepts=StartEvent)(lambda ctx, ev: [Event("Open"), Event("Open")]),
        step(name="open", accepts="Open")(lambda ctx, ev: Part(n=1)),
        work,
        step(name="group", accepts=Done, joins="open")(lambda ctx, ev: Event("Group")),
        step(name="end", accepts="Group", joins="start")(lambda ctx, ev: StopEvent(result=None)),
    ]
    with pytest.raises(BlazenError, match=name):
        await Workflow("limits", steps, limits={limit: 1}).run()


@pytest.mark.parametrize(
    "accepts, joins, says",
    [
        (Done, "nobody", "step 'nobody', which was not added"),
        (Done, "gather", "joins itself"),
        (StartEvent, "split", "accepts blazen::StartEvent"),
    ],
)
def test_what_can_never_work_is_refused(accepts, joins, says):
    never = step(name="gather", accepts=accepts, joins=joins)(lambda ctx, ev: None)
    with pytest.raises(BlazenError, match=says) as caught:
        Workflow("never", [split, work, never])
    assert caught.value.status == Status.INVALID_WORKFLOW


# ---- collecting ----


@KINDS
async def test_each_event_is_in_one_group(kind):
    def take(ctx, ev):
        group = ctx.collect((Part, 3))
        return None if group is None else Event("Group", ns=[each.n for each in group])

    @step(accepts="Group", joins="split")
    async def end(ctx, ev):
        return StopEvent(result=sorted(n for each in ctx.events() for n in each.ns))

    workflow = Workflow("collect", [split, as_step(kind, take, accepts=Part), end])
    assert (await workflow.run(count=90)).result == list(range(90))


async def test_groups_by_key():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return [correlate(Part(n=n), "xy"[n % 2]) for n in range(4)]

    @step(max_concurrency=1)
    async def take(ctx: Context, ev: Part):
        key = correlation_of(ev)
        group = ctx.collect((Part, 2), key=key)
        return group and Event("Group", found=[key, *(each.n for each in group)])

    @step(accepts="Group", joins="begin")
    async def end(ctx, ev):
        return StopEvent(result=sorted(each.found for each in ctx.events()))

    assert (await Workflow("keys", [begin, take, end]).run()).result == [["x", 0, 2], ["y", 1, 3]]


async def test_whoever_made_it_whole_keeps_it_when_it_is_tried_again():
    @step(max_concurrency=1, retries=1)
    async def take(ctx: Context, ev: Part):
        group = ctx.collect((Part, 2))
        if group and ctx.attempt == 1:
            raise ConnectionError
        return group and StopEvent(result=[each.n for each in group])

    assert (await Workflow("again", [split, take]).run(count=2)).result == [0, 1]


async def test_what_is_collected_outlives_its_process():
    @step
    async def take(ctx: Context, ev: Part | Done):
        group = ctx.collect(Part, Done)
        return group and StopEvent(result=[each.n for each in group])

    workflow = Workflow("collects", [split, take], idle="wait")
    handler = workflow.run_with_handler(count=1)
    await handler.wait(RunState.WAITING)
    snapshot = handler.snapshot()
    handler.abort()
    resumed = workflow.resume(snapshot)
    resumed.send_event(Done(n=2))
    assert (await resumed.result()).result == [0, 2]
