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

Cancellation goes both ways. Cancelling the task that awaits a run (`await run`, `await run.result()`) aborts the run;
`await run.wait()` only looks. A run that ends, and an attempt whose time is up, cancel the coroutines of their steps.
"""

import asyncio
import contextvars

from . import _objects, _read, context, errors, run, runtime
from ._c import DONE_FN, READY_FN, c
from ._calls import lib
from ._handles import Handle, owned
from .events import STREAM_END, read_event

_STEPS_AT_ONCE = 64  # then the loop has its turn
_polling = contextvars.ContextVar("the Runtime that is calling steps", default=None)


@DONE_FN
def _call_done(user_data, _run, state):
    _objects.find(user_data)(state)


@READY_FN
def _call_ready(user_data):
    _objects.find(user_data)()


def _soon(loop, function, *arguments):
    """Calls a function on the loop, from any thread; not where the loop is closed: nobody waits there any more."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _settle(future, result):
    if not future.done():
        future.set_result(result)


# ---- steps ----


class Context(context.Context):
    """The Context of an `async def` step: the same, and ask is awaited."""

    async def ask(self, prompt, *, request_id=None, metadata=None):
        """Asks a human, and waits for the answer; the step stays in flight. After a resume in another process it runs
        again from its beginning, and has the answers that were given."""
        loop = asyncio.get_running_loop()
        coming = loop.create_future()

        def answered(handle):
            _soon(loop, _settle, coming, _Copy(handle))

        is_answered, answer = self.put_question(prompt, request_id, metadata, answered)
        return answer if is_answered else (await coming).read()


class _Copy:
    """One more reference to a value that is lent to a callback; read where an exception has somewhere to go."""

    def __init__(self, handle):
        self._handle = Handle(c.value_retain(handle), c.value_release)

    def read(self):
        return _read.value(self._handle.pointer)


def body(function):
    """The body of a step for a coroutine function: it defers, and a task completes it."""

    def start(ctx, event):
        polling = _polling.get()
        if polling is None:
            raise RuntimeError(f"{ctx.step_name} is an async def: it runs on a blazen.aio.Runtime alone")
        polling.start_step(ctx.defer(), function(ctx, event))

    return start


def _finish(invocation, task):
    """The task of a step is done; where its attempt was over before, nobody wants to know."""
    try:
        if task.cancelled():
            invocation.fail(asyncio.CancelledError())
        elif task.exception() is not None:
            invocation.fail(task.exception())
        else:
            _complete(invocation, task.result())
    except errors.BlazenError as failure:
        if failure.status not in (errors.Status.CANCELLED, errors.Status.WRONG_STATE):
            raise


def _complete(invocation, outcome):
    try:
        invocation.context.emit_all(outcome)
    except Exception as exception:
        invocation.fail(exception)
    else:
        invocation.complete()


# ---- runs and runtimes ----


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
            kept = _objects.keep(lambda: _soon(loop, ready.set))
            lib.stream_on_ready(self._handle.pointer, _call_ready, kept, _objects.drop)
            self._has_asked = True
        await self._is_ready.wait()
        self._is_ready.clear()
        self._has_asked = False

    def close(self):
        lib.stream_close(self._handle.pointer)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()


class Run(run.Run):
    """As blazen.Run; what waits there is awaited here. `await run` is `await run.result()`."""

    def __await__(self):
        return self.result().__await__()

    async def wait(self, until=(run.RunState.ELSEWHERE,)):
        """Waits until it has ended or come to one of these states, and answers the state. Cancelling that changes
        nothing."""
        loop = asyncio.get_running_loop()
        coming = loop.create_future()
        kept = _objects.keep(lambda state: _soon(loop, _settle, coming, state))
        lib.run_on_state(self._handle.pointer, run.until_bits(until), _call_done, kept, _objects.drop)
        return errors.known(run.RunState, await coming)

    async def _result(self, read):
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.abort_if_open()
            raise
        return self._ask(lib.run_result, read)

    async def result(self):
        """Waits, and answers the value of the StopEvent; raises BlazenError where there is none. Cancelling it aborts
        the run; asyncio.shield prevents that."""
        return await self._result(_read.value)

    async def stored_result(self):
        """The result in its stored form."""
        return await self._result(_read.stored)

    def abort_if_open(self):
        """As abort, for one that may have ended."""
        try:
            self.abort()
        except errors.BlazenError as failure:
            if failure.status != errors.Status.CANCELLED:
                raise

    def subscribe(self, *, from_=0, types=None, lifecycle=False, hold=False, capacity=0):
        return Stream(self._subscribe(from_, types, lifecycle, hold, capacity))

    subscribe.__doc__ = run.Run.subscribe.__doc__

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()


class Runtime(runtime.Runtime):
    """Runs steps on the event loop in which it is made. To be closed: `async with`, or aclose()."""

    def __init__(self):
        super().__init__(mode="pump")
        self._loop = asyncio.get_running_loop()
        self._steps = set()
        self._descriptor = lib.runtime_descriptor(self._handle.pointer)
        self._loop.add_reader(self._descriptor, self._poll)

    def _run_of(self, pointer):
        return Run(self, pointer)

    def _poll(self):
        token = _polling.set(self)
        try:
            self.poll(_STEPS_AT_ONCE)
        finally:
            _polling.reset(token)

    def start_step(self, invocation, coroutine):
        """The task of a step; the engine cancels it, and hears of its end."""
        loop, outside = self._loop, contextvars.copy_context()
        outside.run(_polling.set, None)
        task = outside.run(loop.create_task, coroutine)
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        task.add_done_callback(lambda done: _finish(invocation, done))
        invocation.context.on_cancel(lambda: _soon(loop, task.cancel))

    def close(self):
        """Cancels every run that has not ended. Their coroutines are cancelled when the loop has its next turn."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        super().close()

    async def aclose(self):
        """Cancels every run that has not ended, and waits until no step, and no coroutine of one, runs any more."""
        self.close()
        await asyncio.sleep(0)  # what the close has told the loop comes first
        steps = self._steps - {asyncio.current_task()}
        for task in steps:
            task.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        await asyncio.sleep(0)  # their done callbacks

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()
