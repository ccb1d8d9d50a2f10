"""Steps, runs, streams and errors."""

import asyncio
import contextvars
import gc
import sys
import threading
import time
import traceback
import weakref

import pytest

import blazen
from blazen import (
    BlazenError,
    BlazenTimeout,
    Context,
    Event,
    Retry,
    StartEvent,
    Status,
    StopEvent,
    Workflow,
    elsewhere,
    step,
)


class A(Event):
    pass


class B(Event):
    pass


@step
async def echo(ctx: Context, ev: StartEvent):
    return StopEvent(result=ev.to_dict())


# ---- how a workflow is made ----


async def test_a_union_accepts_each_and_an_untyped_step_the_start():
    @step
    async def begin(ctx, ev):
        return [A(n=1), B(n=2)]

    seen = []

    @step
    async def both(ctx: Context, ev: A | B):
        seen.append(type(ev))
        return StopEvent(result=0) if len(seen) == 2 else None

    await Workflow("union", [begin, both]).run()
    assert seen == [A, B]


async def test_annotations_may_be_strings_of_local_classes():
    class Local(Event):
        pass

    @step
    async def begin(ctx: "Context", ev: "StartEvent"):
        return Local(n=1)

    @step
    async def end(ctx: "Context", ev: "Local | Later") -> "StopEvent":
        return StopEvent(result=ev.n)

    class Later(Event):
        pass

    assert (await Workflow("strings", [begin, end]).run()).result == 1


def test_a_workflow_that_could_not_work_is_refused_and_says_why():
    @step
    async def other(ctx: Context, ev: A):
        return None

    with pytest.raises(BlazenError) as caught:
        Workflow("bad", [other])
    assert caught.value.status == Status.INVALID_WORKFLOW
    with pytest.raises(ValueError, match="did you mean 'blazen::StopEvent'"):
        Workflow("bad", [step(accepts="StopEvent")(lambda ctx, ev: None)])
    with pytest.raises(TypeError, match="annotate it with an Event class"):

        @step
        async def wrong(ctx: Context, ev: int):
            return None

    with pytest.raises(TypeError, match=r"function of \(ctx, event\)"):

        @step
        async def short(ctx):
            return None

    with pytest.raises(NameError, match="Missing.*'lost'"):

        @step
        async def lost(ctx: Context, ev: "Missing"):  # noqa: F821
            return None

        Workflow("bad", [lost])
    with pytest.raises(TypeError, match="steps are made with @step"):
        Workflow("bad", [lambda ctx, ev: None])


def test_two_classes_of_one_name_are_refused():
    def make():
        class Twin(Event):
            pass

        return Twin

    one, two = make(), make()

    @step(accepts=one)
    async def first(ctx, ev):
        return None

    @step(accepts=two)
    async def second(ctx, ev):
        return None

    with pytest.raises(ValueError, match="two event classes are called 'Twin'"):
        Workflow("twins", [echo, first, second])


def test_a_user_class_of_a_name_of_the_library_is_refused():
    cls = type("StartEvent", (Event,), {})

    @step(accepts=cls)
    async def first(ctx, ev):
        return None

    with pytest.raises(ValueError, match="did you mean 'blazen::StartEvent'"):
        Workflow("own", [first])


def test_a_step_can_be_called_as_the_function_that_it_is():
    @step
    def plain(ctx: Context, ev: StartEvent):
        """Its words."""
        return ev

    assert plain(None, 5) == 5 and plain.__doc__ == "Its words." and plain.name == "plain"


async def test_methods_are_steps_too():
    class Greeter:
        word = "hello"

        @step
        async def greet(self, ctx: Context, ev: StartEvent):
            return StopEvent(result=f"{self.word} {ev.name}")

    greeter = Greeter()
    assert (await Workflow("method", [greeter.greet]).run(name="you")).result == "hello you"


# ---- runs ----


async def test_the_input_is_given_by_name_and_the_result_has_a_type():
    result = await Workflow("echo", [echo]).run(name="n", self=1, values=[1])
    assert result.result == {"name": "n", "self": 1, "values": [1]} and result.event_type == "blazen::StopEvent"


def test_run_sync():
    assert Workflow("echo", [echo]).run_sync(a=1).result == {"a": 1}


async def test_run_sync_on_a_loop_says_what_to_do():
    with pytest.raises(RuntimeError, match="await run"):
        Workflow("echo", [echo]).run_sync()


def test_a_run_without_a_loop_says_what_to_do():
    with pytest.raises(RuntimeError, match="event loop.*run_sync"):
        Workflow("echo", [echo]).run_with_handler()


async def test_run_sync_in_a_worker_step_runs_a_run_of_its_own():
    @step
    def outer(ctx: Context, ev: StartEvent):
        return StopEvent(result=Workflow("echo", [echo]).run_sync(a=1).result)

    assert (await Workflow("outer", [outer]).run()).result == {"a": 1}


async def test_runs_overlap():
    @step
    async def slow(ctx: Context, ev: StartEvent):
        ctx.set("n", ev.n)
        await asyncio.sleep(0.05)
        return StopEvent(result=ctx.get("n"))

    workflow = Workflow("slow", [slow])
    started = time.monotonic()
    results = await asyncio.gather(*(workflow.run(n=n) for n in range(50)))
    assert [each.result for each in results] == list(range(50))
    assert time.monotonic() - started < 2


async def test_a_step_returns_several_events_or_none():
    seen = []

    @step
    async def begin(ctx: Context, ev: StartEvent):
        return [A(n=n) for n in range(5)]

    @step
    async def take(ctx: Context, ev: A):
        seen.append(ev.n)
        return StopEvent(result=seen) if len(seen) == 5 else None

    assert (await Workflow("several", [begin, take]).run()).result == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [5, "A", [A(), 5], {"a": 1}])
async def test_a_step_that_returns_something_else_fails(wrong):
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return wrong

    with pytest.raises(TypeError, match="a step returns an Event"):
        await Workflow("wrong", [begin]).run()


async def test_a_long_chain_does_not_grow():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return A(n=0)

    @step
    async def go(ctx: Context, ev: A):
        return StopEvent(result=ev.n) if ev.n == 5000 else A(n=ev.n + 1)

    assert (await Workflow("chain", [begin, go]).run()).result == 5000


async def test_steps_that_are_no_coroutines_run_on_workers_and_never_block_the_loop():
    threads = set()

    @step
    def begin(ctx: Context, ev: StartEvent):
        return [A(n=n) for n in range(8)]

    @step
    def work(ctx: Context, ev: A):
        threads.add(threading.current_thread().name)
        time.sleep(0.1)
        return B(n=ev.n)

    @step(joins="begin")
    async def end(ctx: Context, ev: B):
        return StopEvent(result=len(ctx.events()))

    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    assert (await Workflow("workers", [begin, work, end]).run()).result == 8
    ticking.cancel()
    assert time.monotonic() - started < 0.6 and ticks >= 8 and threads == {"blazen step"}


async def test_a_step_may_ask_for_the_thread_of_the_loop():
    @step(thread="loop")
    def where(ctx: Context, ev: StartEvent):
        return StopEvent(result=threading.get_ident())

    @step
    def elsewhere_step(ctx: Context, ev: StartEvent):
        return StopEvent(result=threading.get_ident())

    assert (await Workflow("loop", [where]).run()).result == threading.get_ident()
    assert (await Workflow("loop", [elsewhere_step]).run()).result != threading.get_ident()
    with pytest.raises(ValueError, match="'worker' or 'loop'"):
        step(thread="moon")(where.function)


async def test_workers_and_loop_hand_over_to_each_other():
    @step
    def begin(ctx: Context, ev: StartEvent):
        return A(n=0)

    @step
    async def on_loop(ctx: Context, ev: A):
        await asyncio.sleep(0)
        return B(n=ev.n + 1)

    @step
    def on_worker(ctx: Context, ev: B):
        return StopEvent(result=ev.n) if ev.n == 200 else A(n=ev.n)

    assert (await Workflow("both", [begin, on_loop, on_worker]).run()).result == 200


async def test_tasks_of_a_step_are_real_tasks():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, 7))
        return StopEvent(result=task.result())

    assert (await Workflow("tasks", [begin]).run()).result == 7


async def test_steps_see_the_variables_of_who_runs_them_and_change_only_their_own():
    variable = contextvars.ContextVar("variable", default="none")

    @step
    async def begin(ctx: Context, ev: StartEvent):
        seen = variable.get()
        variable.set("changed")
        return A(seen=seen)

    @step
    def end(ctx: Context, ev: A):
        return StopEvent(result=[ev.seen, variable.get()])

    workflow = Workflow("variables", [begin, end])

    async def as_who(who):
        variable.set(who)
        return (await workflow.run()).result

    assert await asyncio.gather(*map(as_who, "ab")) == [["a", "a"], ["b", "b"]] and variable.get() == "none"


async def test_a_step_that_nothing_else_keeps_is_kept():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        await asyncio.get_running_loop().create_future()  # which nobody else has

    run = asyncio.create_task(Workflow("kept", [begin]).run())
    await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0.01)
    assert not run.done()
    run.cancel()


async def test_max_concurrency_holds():
    now = most = 0

    @step
    async def begin(ctx: Context, ev: StartEvent):
        return [A() for _ in range(10)]

    @step(max_concurrency=3)
    async def work(ctx: Context, ev: A):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return B()

    @step(joins="begin")
    async def end(ctx: Context, ev: B):
        return StopEvent(result=len(ctx.events()))

    assert (await Workflow("few", [begin, work, end]).run()).result == 10
    assert most == 3


async def test_a_delayed_event_and_one_to_one_step_alone():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.send_event(A(), step="second")
        ctx.send_event(B(started=time.monotonic()), delay=0.1)
        return None

    seen = []

    @step
    async def first(ctx: Context, ev: A):
        seen.append("first")

    @step
    async def second(ctx: Context, ev: A):
        seen.append("second")

    @step
    async def end(ctx: Context, ev: B):
        return StopEvent(result=time.monotonic() - ev.started)

    assert (await Workflow("delay", [begin, first, second, end]).run()).result >= 0.09
    assert seen == ["second"]


async def test_the_siblings_can_be_awaited():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        await ctx.aset("a", 1)
        await ctx.aset_bytes("b", b"2")
        await ctx.awrite_event_to_stream(A())
        await ctx.asend_event(B(n=await ctx.aget("a"), b=await ctx.aget_bytes("b"), run=await ctx.arun_id()))

    @step
    async def end(ctx: Context, ev: B):
        return StopEvent(result=ev.to_dict())

    result = await Workflow("siblings", [begin, end]).run()
    assert result.result == {"n": 1, "b": b"2", "run": result.run_id}


async def test_state_and_session_are_dicts():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        for space in (ctx.state, ctx.session):
            space["a"], space["b"] = 1, [2]
            assert space["a"] == 1 and "b" in space and sorted(space) == ["a", "b"] and len(space) == 2
            del space["a"]
            assert "a" not in space and space.get("a", 7) == 7 and not space.has("a") and not space.remove("a")
            with pytest.raises(KeyError):
                space["a"]
            with pytest.raises(KeyError):
                del space["a"]
        items = ctx.session["b"]
        assert ctx.session["b"] is items
        ctx.state.clear()
        assert list(ctx.state) == []
        return StopEvent(result=ctx.step_name + ctx.workflow_name)

    assert (await Workflow("dicts", [begin]).run()).result == "begindicts"


async def test_a_context_is_over_when_its_step_is():
    kept = []

    @step
    async def begin(ctx: Context, ev: StartEvent):
        kept.append(ctx)
        return StopEvent(result=None)

    await Workflow("over", [begin]).run()
    for call in (lambda: kept[0].set("a", 1), lambda: kept[0].get("a"), kept[0].run_id):
        with pytest.raises(BlazenError) as caught:
            call()
        assert caught.value.status == Status.WRONG_STATE
    assert kept[0].is_cancelled


# ---- errors ----


class Broken(Exception):
    def __init__(self, code):
        super().__init__(f"broken {code}")
        self.host_code = code


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_very_exception_comes_back_with_its_traceback(is_async):
    exception = Broken(7)

    def deep():
        raise exception

    @step
    async def coroutine(ctx: Context, ev: StartEvent):
        deep()

    @step
    def function(ctx: Context, ev: StartEvent):
        deep()

    handler = Workflow("broken", [coroutine if is_async else function]).run_with_handler()
    lengths = []
    for _ in range(3):
        with pytest.raises(Broken) as caught:
            await handler.result()
        assert caught.value is exception
        names = [frame.name for frame in traceback.extract_tb(exception.__traceback__)]
        assert names[-1] == "deep"
        lengths.append(len(names))
    assert lengths[0] == lengths[1] == lengths[2]
    assert exception.__notes__ == [
        f"in the step {'coroutine' if is_async else 'function'!r} of the workflow 'broken', attempt 1"
    ]
    error = handler.error
    assert (error.status, error.step, error.attempt, error.host_code) == (
        Status.STEP_FAILED, "coroutine" if is_async else "function", 1, 7,
    )  # fmt: skip


async def test_an_exception_that_leads_to_its_run_can_be_collected():
    seen = []

    @step
    async def begin(ctx: Context, ev: StartEvent):
        raise Broken(1)

    async def once():
        handler = Workflow("leads", [begin]).run_with_handler()
        with pytest.raises(Broken) as caught:
            await handler.result()
        seen.append(weakref.ref(caught.value))
        seen.append(weakref.ref(handler))
        handler = None

    await once()
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    assert [each() for each in seen] == [None, None]


async def test_a_step_is_tried_again():
    attempts = []

    @step(retries=Retry(max_attempts=3))
    async def begin(ctx: Context, ev: StartEvent):
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise Broken(ctx.attempt)
        return StopEvent(result=attempts)

    assert (await Workflow("again", [begin]).run()).result == [1, 2, 3]


async def test_a_failed_step_can_be_handled_by_another():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        raise Broken(3)

    @step
    async def rescue(ctx: Context, ev: blazen.StepFailedEvent):
        return StopEvent(result=(ev.step, ev.host_code, ev.message))

    assert (await Workflow("rescue", [begin, rescue]).run()).result == ("begin", 3, "Broken: broken 3")


async def test_the_time_of_a_run_is_up():
    cancelled = asyncio.Event()

    @step
    async def slow(ctx: Context, ev: StartEvent):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError) as caught:
        await Workflow("slow", [slow], timeout=0.05).run()
    assert type(caught.value) is BlazenTimeout and caught.value.status == Status.RUN_TIMEOUT
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_asking_again_does_not_lengthen_a_traceback():
    @step
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    handler = Workflow("slow", [slow], timeout=0.01).run_with_handler()
    lengths = set()
    for _ in range(3):
        with pytest.raises(TimeoutError) as caught:
            await handler.result()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1 and handler.error is caught.value


async def test_the_time_of_a_step_is_up():
    @step(timeout=0.05)
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await Workflow("slow", [slow]).run()


async def test_a_worker_step_whose_time_is_up_hangs_nobody():
    @step(timeout=0.05)
    def slow(ctx: Context, ev: StartEvent):
        while not ctx.is_cancelled:
            time.sleep(0.01)

    with pytest.raises(TimeoutError):
        await Workflow("slow", [slow]).run()


async def test_abort_is_no_cancellation(caplog):
    @step
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    handler = await Workflow("slow", [slow]).run_with_handler()
    await asyncio.sleep(0.01)
    await handler.abort()
    handler.abort()
    with pytest.raises(BlazenError) as caught:
        await handler.result()
    assert caught.value.status == Status.ABORTED
    await asyncio.sleep(0.01)
    assert caplog.records == []


async def test_cancelling_who_awaits_a_run_aborts_it():
    cancelled = asyncio.Event()

    @step
    async def slow(ctx: Context, ev: StartEvent):
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Workflow("slow", [slow]).run(), 0.05)
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_cancellation_that_nobody_asked_for_is_a_failure():
    @step
    async def odd(ctx: Context, ev: StartEvent):
        raise asyncio.CancelledError("odd")

    with pytest.raises(BlazenError) as caught:
        await Workflow("odd", [odd]).run()
    assert caught.value.status == Status.STEP_FAILED and isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_run_that_can_go_nowhere_says_so():
    @step
    async def lose(ctx: Context, ev: StartEvent):
        return Event("Lost", a=1)

    with pytest.raises(BlazenError, match="Lost") as caught:
        await Workflow("lost", [lose]).run()
    assert caught.value.status == Status.STALLED
    with pytest.raises(BlazenError, match="Lost") as caught:
        await Workflow("lost", [lose], unhandled="fail").run()
    assert caught.value.status == Status.NO_HANDLER


async def test_a_run_waits_for_events_from_outside():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return None

    @step
    async def end(ctx: Context, ev: A):
        return StopEvent(result=ev.n)

    handler = Workflow("waits", [begin, end], idle="wait").run_with_handler()
    assert await handler.wait(blazen.RunState.WAITING) == blazen.RunState.WAITING
    handler.send_event(A(n=5))
    assert (await handler.result()).result == 5
    with pytest.raises(blazen.EventRequired) as caught:
        await Workflow("waits", [begin, end], idle="wait").run()
    caught.value.handler.send_event(A(n=6))
    assert (await caught.value.handler.result()).result == 6


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_eager_tasks_do_as_others():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    @step
    async def begin(ctx: Context, ev: StartEvent):
        return A(n=0)

    @step
    async def go(ctx: Context, ev: A):
        if ev.n % 10 == 0:
            await asyncio.sleep(0)
        return StopEvent(result=ev.n) if ev.n == 3000 else A(n=ev.n + 1)

    assert (await Workflow("eager", [begin, go]).run()).result == 3000


async def test_a_failed_run_that_nobody_awaited_is_reported(complaints):
    told = complaints()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        raise Broken(1)

    handler = Workflow("nobody", [begin]).run_with_handler()
    await handler.wait()
    del handler
    gc.collect()
    assert len(told) == 1 and "never retrieved" in told[0]["message"] and isinstance(told[0]["exception"], Broken)
    Workflow("nobody", [begin]).run_with_handler()  # nobody keeps this one at all
    for _ in range(100):
        await asyncio.sleep(0.01)
        gc.collect()
        if len(told) == 2:
            break
    assert len(told) == 2 and isinstance(told[1]["exception"], Broken)


async def test_a_failed_run_that_was_awaited_is_not_reported(complaints):
    told = complaints()

    @step
    async def begin(ctx: Context, ev: StartEvent):
        raise Broken(1)

    with pytest.raises(Broken):
        await Workflow("awaited", [begin]).run()
    handler = Workflow("awaited", [begin]).run_with_handler()
    with pytest.raises(Broken):
        await handler.result()
    del handler
    gc.collect()
    await asyncio.sleep(0.01)
    assert told == []


# ---- streams ----


async def test_a_stream_misses_nothing_between_run_and_first_look():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        for n in range(3):
            ctx.write_event_to_stream(A(n=n))
        return StopEvent(result=None)

    handler = Workflow("stream", [begin]).run_with_handler(x=1)
    await handler.result()
    await asyncio.sleep(0.01)
    seen = [(event.event_type, event.to_dict()) async for event in handler.stream_events()]
    assert seen == [
        ("blazen::StartEvent", {"x": 1}),
        ("A", {"n": 0}),
        ("A", {"n": 1}),
        ("A", {"n": 2}),
        ("blazen::StopEvent", {"result": None}),
    ]


async def test_published_events_alone_when_asked_for():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        await asyncio.sleep(0.02)
        ctx.write_event_to_stream(A(n=1))
        return StopEvent(result=None)

    handler = Workflow("stream", [begin]).run_with_handler()
    assert [event.event_type async for event in handler.stream_events(routed=False)] == ["A"]


async def test_many_streams_of_one_run_and_one_that_is_left():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        for n in range(20):
            await asyncio.sleep(0.001)
            ctx.write_event_to_stream(A(n=n))
        return StopEvent(result=None)

    handler = Workflow("stream", [begin]).run_with_handler()

    async def all_of(stream):
        return [event.n async for event in stream if isinstance(event, A)]

    async def first_of(stream):
        async with stream:
            async for event in stream:
                return event

    streams = [handler.stream_events() for _ in range(3)]
    *whole, first = await asyncio.gather(*map(all_of, streams), first_of(handler.stream_events()))
    assert whole == [list(range(20))] * 3 and first is not None


async def test_lifecycle_items():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.progress(1, 2, "half")
        return StopEvent(result=None)

    handler = Workflow("life", [begin]).create(blazen.Handler)
    stream = handler.stream_events(lifecycle=True)
    handler._begin(StartEvent())
    types = [event.event_type async for event in stream]
    assert "blazen::lifecycle" in types and "blazen::ProgressEvent" in types


# ---- elsewhere, other loops, the end ----


async def test_a_run_that_parks_elsewhere_raises_and_can_be_taken_up():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        return A(n=1)

    @step
    async def there(ctx: Context, ev: A):
        return StopEvent(result=ev.n + 1)

    with pytest.raises(blazen.ParkedElsewhere) as caught:
        await Workflow("parks", [begin, elsewhere("there", A)]).run()
    assert caught.value.steps == ["there"]
    snapshot = caught.value.handler.snapshot()
    other = Workflow("parks", [elsewhere("begin", StartEvent), there])
    assert (await other.resume(snapshot).result()).result == 2


def test_a_run_can_be_awaited_from_another_loop():
    ready, done, answers = threading.Event(), threading.Event(), []

    @step
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(0.05)
        return StopEvent(result=5)

    async def serve():
        handler = Workflow("slow", [slow]).run_with_handler()
        answers.append(handler)
        ready.set()
        while not done.is_set():
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        assert asyncio.run(asyncio.wait_for(answers[0].result(), 10)).result == 5
    finally:
        done.set()
        thread.join(10)


def test_a_loop_that_closes_aborts_its_runs_and_says_so(caplog):
    @step
    async def slow(ctx: Context, ev: StartEvent):
        await asyncio.sleep(60)

    handlers = []

    async def leave():
        handlers.append(Workflow("slow", [slow]).run_with_handler())
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    assert handlers[0].state is blazen.RunState.CANCELLED
    assert ["'slow' was cancelled from outside" in record.getMessage() for record in caplog.records] == [True]
    assert handlers[0].error.status == Status.ABORTED


def test_a_loop_that_closes_aborts_runs_that_only_wait_and_says_so(caplog):
    @step
    async def asks(ctx: Context, ev: StartEvent):
        return None

    handlers = []

    async def leave():
        handlers.append(Workflow("waiting", [asks], idle="wait").run_with_handler())
        await handlers[0].wait(blazen.RunState.WAITING)

    asyncio.run(leave())
    assert handlers[0].state is blazen.RunState.CANCELLED
    assert any("'waiting' was closed before its end" in record.getMessage() for record in caplog.records)
    with pytest.raises(BlazenError) as caught:
        asyncio.run(handlers[0].result())
    assert caught.value.status == Status.CANCELLED


async def test_a_run_that_nobody_keeps_and_nothing_can_move_on_is_over():
    from blazen import _runs

    @step
    async def begin(ctx: Context, ev: StartEvent):
        return None

    handler = Workflow("left", [begin], idle="wait").run_with_handler()
    await handler.wait(blazen.RunState.WAITING)
    assert len(_runs.home().runs) == 1
    del handler
    gc.collect()
    await asyncio.sleep(0.01)
    assert len(_runs.home().runs) == 0


async def test_nothing_is_left_of_many_runs():
    @step
    async def begin(ctx: Context, ev: StartEvent):
        ctx.session["object"] = Thing()
        return A(thing=Thing())

    class Thing:
        count = 0

        def __init__(self):
            Thing.count += 1

        def __del__(self):
            Thing.count -= 1

        def __reduce__(self):
            raise TypeError("not today")

    @step
    def end(ctx: Context, ev: A):
        return StopEvent(result=Thing())

    workflow = Workflow("many", [begin, end])
    for _ in range(50):
        await workflow.run()
    for _ in range(5):
        await asyncio.sleep(0.01)
        gc.collect()
    assert Thing.count == 0
    before = sys.getallocatedblocks()
    for _ in range(200):
        await workflow.run()
    gc.collect()
    await asyncio.sleep(0.01)
    gc.collect()
    assert sys.getallocatedblocks() - before < 400
