"""The asyncio form: `async def` steps, and runs to be awaited, on one event loop and without a thread of the engine.

    workflow = blazen.Workflow("hello")

    @workflow.step(accepts=blazen.START_EVENT)
    async def greet(ctx, event):
        name = await ctx.ask("Who are you?")
        return blazen.StopEvent(f"hello, {name}")

    async def main():
        async with blazen.aio.Runtime() as runtime:
            run = runtime.run(workflow)
            async for item in run.stream():
                if item.type == blazen.INPUT_REQUEST_EVENT:
                    run.respond(item.correlation, "world")
            print(await run)

Every body runs on the thread of the loop: an `async def` as a task of its own, any other in between.

An input_handler may be an `async def` too: each question has a task. Its exception fails the run, and comes out of the
result, as that of any input handler does.

Cancellation goes both ways. Cancelling the task that awaits a run (`await run`, `await run.result()`) aborts the run;
`await run.wait()` only looks. A run that ends cancels the coroutines of its steps and of its input handler; an attempt
whose time is up, its own.
"""

import asyncio

from . import _objects, _read, errors, pipeline_runs, run, runtime
from ._arguments import function
from ._c import READY_FN, c
from ._calls import lib
from ._coroutines import Context, Tasks, exception_of, polling, settle, soon
from ._handles import Handle, owned
from .events import STREAM_END, read_event

__all__ = ["Context", "PipelineHandler", "Run", "Runtime", "Stream"]

_STEPS_AT_ONCE = 64  # then the loop has its turn


@READY_FN
def _call_ready(user_data):
    _objects.find(user_data)()


class Stream:
    """As blazen.Stream, for `async for`."""

    def __init__(self, pointer):
        self._handle = Handle(pointer, c.stream_release)
        self._is_ready = asyncio.Event()
        self._has_asked = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        event = await self.next()
        if event.type == STREAM_END:
            raise StopAsyncIteration
        return event

    async def next(self):
        """The next item, blazen::StreamEnd included."""
        while True:
            try:
                item, sequence = lib.stream_next(self._handle.pointer, 0)
            except errors.BlazenTimeout:
                await self._ready()
                continue
            with owned(item, c.event_release):
                return read_event(item, sequence)

    async def _ready(self):
        """Asks once, also where a wait before this one was cancelled."""
        if not self._has_asked:
            loop, ready = asyncio.get_running_loop(), self._is_ready
            kept = _objects.keep(lambda: soon(loop, ready.set))
            lib.stream_on_ready(self._handle.pointer, _call_ready, kept, _objects.drop)
            self._has_asked = True
        await self._is_ready.wait()
        self._is_ready.clear()
        self._has_asked = False

    def close(self):
        """Whoever waits for an item gets blazen::StreamEnd."""
        lib.stream_close(self._handle.pointer)
        self._is_ready.set()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()


class _Begun:
    """What has begun already: to be awaited by whoever wants to know that it is complete."""

    def __init__(self, wait, *arguments):
        self._wait = wait
        self._arguments = arguments

    def __await__(self):
        return self._wait(*self._arguments).__await__()


class Run(run.Run):
    """As blazen.Run; what waits there is awaited here. `await run` is `await run.result()`."""

    def __init__(self, its_runtime, pointer):
        super().__init__(its_runtime, pointer)
        self._tasks = its_runtime.tasks
        self._coming = {}  # by the bits of `until`: a wait that is cancelled leaves its future to the next one

    def __await__(self):
        return self.result().__await__()

    async def wait(self, until=(run.RunState.ELSEWHERE,)):
        """Waits until it has ended or come to one of these states, such as PAUSED or ASKING, and answers the state.
        Cancelling that changes nothing."""
        bits = run.until_bits(until)
        coming = self._coming.get(bits) or self._ask_when(bits)
        return errors.known(run.RunState, await asyncio.shield(coming))

    def _ask_when(self, bits):
        """The future of the state in which a wait ends."""
        loop, waits = self._tasks.loop, self._coming  # and not this Run: the library must not keep it
        coming = waits[bits] = loop.create_future()
        try:
            run.when(self._handle.pointer, bits, lambda state: soon(loop, settle, waits.pop(bits), state))
        except errors.BlazenError:
            del waits[bits]
            raise
        return coming

    async def _result(self, read):
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.abort()
            raise
        return self._result_now(read)

    async def result(self):
        """Waits, and answers the value of the StopEvent; raises BlazenError where there is none. Cancelling it aborts
        the run; asyncio.shield prevents that."""
        return await self._result(_read.value)

    async def stored_result(self):
        """The result in its stored form."""
        return await self._result(_read.stored)

    def pause(self, *, drain=False):
        """No step starts any more. It may be awaited, until that is complete, with drain: until none runs; it answers
        RunState.PAUSED, or the state in which the run has ended."""
        super().pause(drain=drain)
        return _Begun(self.wait, [run.RunState.PAUSED])

    def abort(self):
        """Ends it at once with Status.ABORTED, where it has not ended. It may be awaited, until no coroutine of it runs
        any more."""
        super().abort()
        return _Begun(self._tasks.ended, self._handle.pointer)

    def subscribe(
        self, *, from_=0, types=None, lifecycle=False, routed=False, hold=False, capacity=0, own_level=False
    ):
        return Stream(self._subscribe(from_, types, lifecycle, routed, hold, capacity, own_level))

    subscribe.__doc__ = run.Run.subscribe.__doc__

    async def aclose(self):
        """Cancels it where it has not ended, and waits until no coroutine of it runs any more."""
        self.close()
        await self._tasks.ended(self._handle.pointer)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()


class PipelineHandler(pipeline_runs.PipelineHandler):
    """As blazen.PipelineHandler; what waits there is awaited here. `await handler` is `await handler.result()`."""

    def __await__(self):
        return self.result().__await__()

    async def result(self):
        """Waits, and answers the PipelineResult; raises PipelineError where there is none. Cancelling it aborts the run."""
        try:
            output = await self.run.result()
        except errors.BlazenError as failure:
            raise self._failure(failure) from failure.__cause__
        return self._made(output)

    async def stream_events(self):
        """As blazen.PipelineHandler.stream_events, for `async for`."""
        async for event in self._take_stream():
            yield self._placed(event)


# ---- input handlers ----


class _Answering(runtime.Answering):
    """Where the handler answers later, each question has a task, which ends with the run."""

    def __init__(self, tasks, handler):
        super().__init__(handler)
        self._tasks = tasks
        self._open = set()

    def _await(self, pointer, request, answer):
        held = Handle(c.run_retain(pointer), c.run_release)
        task = self._tasks.start(pointer, _respond(held, request, answer), lambda done: _fail(held, request, done))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    def end(self, state):
        super().end(state)
        soon(self._tasks.loop, _cancel_all, self._open)


async def _respond(held, request, answer):
    """Answers a question, unless somebody else has done so, or the run has ended."""
    given = await answer
    if given is not None:
        _unless_too_late(run.respond, held.pointer, request.correlation, given)


def _cancel_all(tasks):
    for task in tasks:
        task.cancel()


def _fail(held, request, task):
    """What has raised in time fails the run, as an input handler does that is not async."""
    exception = exception_of(task)
    if exception is not None:
        _unless_too_late(run.fail_question, held.pointer, request.correlation, exception)


def _unless_too_late(function, *arguments):
    """Somebody else may have answered, or the run have ended."""
    try:
        function(*arguments)
    except errors.BlazenError as failure:
        if failure.status not in (errors.Status.NOT_FOUND, errors.Status.CANCELLED):
            raise


# ---- runtimes ----


class Runtime(runtime.Runtime):
    """Runs steps on the event loop in which it is made. To be closed: `async with`, or aclose(). After a Clock was set,
    poll(). The other arguments are those of blazen.Runtime."""

    def __init__(self, *, clock=None, log=None, log_level=runtime.LogLevel.WARNING):
        super().__init__(mode="pump", clock=clock, log=log, log_level=log_level)
        self.tasks = Tasks(asyncio.get_running_loop())
        self._descriptor = lib.runtime_descriptor(self._handle.pointer)
        self.tasks.loop.add_reader(self._descriptor, self.poll, _STEPS_AT_ONCE)

    def _make_run(self, pointer):
        return Run(self, pointer)

    def handler_of(self, pipeline, run):
        return PipelineHandler(pipeline, run)

    def _answering(self, input_handler):
        return None if function("input_handler", input_handler) is None else _Answering(self.tasks, input_handler)

    def _polled(self, call, steps_max):
        token = polling.set(self.tasks)
        try:
            return super()._polled(call, steps_max)
        finally:
            polling.reset(token)

    def close(self):
        """Cancels every run that has not ended. Their coroutines are cancelled when the loop has its next turn."""
        if not self.tasks.loop.is_closed():
            self.tasks.loop.remove_reader(self._descriptor)
        super().close()

    async def aclose(self):
        """Cancels every run that has not ended, and waits until no step, and no coroutine of one, runs any more."""
        self.close()
        await self.tasks.ended()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()
