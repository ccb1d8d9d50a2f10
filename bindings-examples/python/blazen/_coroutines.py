"""Coroutines as bodies of steps: the Context that they get, and the tasks that run them."""

import asyncio
import contextvars

from . import _read, context, errors
from ._c import c
from ._handles import Handle

polling = contextvars.ContextVar("the Tasks of the aio.Runtime that is calling steps", default=None)


def soon(loop, function, *arguments):
    """Calls a function on the loop, from any thread; not where the loop is closed: nobody waits there any more."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def settle(future, result):
    if not future.done():
        future.set_result(result)


class Tasks:
    """The tasks of one runtime, each for a run."""

    def __init__(self, loop):
        self.loop = loop
        self._runs = {}

    def start(self, run, coroutine, done):
        """A task for the run with this handle, outside of what is being done now. done(task) is called when it is."""
        outside = contextvars.copy_context()
        outside.run(polling.set, None)
        task = outside.run(self.loop.create_task, coroutine)
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        task.add_done_callback(done)
        return task

    async def ended(self, run=None):
        """Waits until none of this run (None: of any) is left, but the one that asks."""
        await asyncio.sleep(0)  # who has told them to cancel has asked the loop to do so
        mine = [task for task, its_run in self._runs.items() if run in (None, its_run)]
        others = set(mine) - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
            await asyncio.sleep(0)  # their done callbacks


# ---- steps ----


class Context(context.Context):
    """The Context of an `async def` step: the same, and ask is awaited."""

    async def ask(self, prompt, *, request_id=None, metadata=None, deadline=None, default=None):
        """Asks a human, and waits for the answer; the step stays in flight. After a resume in another process it runs
        again from its beginning, and has the answers that were given. The rest is as in blazen.Context."""
        loop = asyncio.get_running_loop()
        coming = loop.create_future()

        def answered(its_id, handle):
            soon(loop, settle, coming, _Withdrawn(its_id) if handle is None else _Copy(handle))

        is_answered, answer = self.put_question(prompt, request_id, metadata, deadline, default, answered)
        return answer if is_answered else (await coming).read()


class _Copy:
    """One more reference to a value that is lent to a callback; read where an exception has somewhere to go."""

    def __init__(self, handle):
        self._handle = Handle(c.value_retain(handle), c.value_release)

    def read(self):
        return _read.value(self._handle.pointer)


class _Withdrawn:
    """In place of an answer: nobody gives one."""

    def __init__(self, request_id):
        self._request_id = request_id

    def read(self):
        raise errors.BlazenError(f"the question {self._request_id!r} was withdrawn", errors.Status.CANCELLED)


def body(function):
    """The body of a step for a coroutine function: it defers, and a task completes it."""

    def start(ctx, event):
        tasks = polling.get()
        if tasks is None:
            raise RuntimeError(f"{ctx.step_name} is an async def: it runs on a blazen.aio.Runtime alone")
        invocation = ctx.defer()
        task = tasks.start(c.context_run(ctx.pointer), function(ctx, event), lambda done: _finish(invocation, done))
        ctx.on_cancel(lambda: soon(tasks.loop, task.cancel))

    return start


def _finish(invocation, task):
    """The task of a step is done; where its attempt was over before, nobody wants to know."""
    try:
        exception = exception_of(task)
        if exception is None:
            _complete(invocation, task.result())
        else:
            invocation.fail(exception)
    except errors.BlazenError as failure:
        if failure.status not in (errors.Status.CANCELLED, errors.Status.WRONG_STATE):
            raise


def _complete(invocation, outcome):
    try:
        invocation.context.emit_all(outcome)
    except Exception as exception:
        invocation.fail(exception)
    else:
        invocation.complete_as_it_is()


def exception_of(task):
    """The exception that a task has ended with, or None."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()
