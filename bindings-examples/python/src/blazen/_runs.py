"""Runs under way: one runtime for each event loop, pumped by it, and what belongs to each run."""

import asyncio
import atexit
import contextvars
import inspect
import logging
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from . import _blazen, _cbor, _workers, errors
from .context import Context

if TYPE_CHECKING:
    from .steps import Body

_log = logging.getLogger("blazen")
_STEPS_AT_ONCE = 64  # then the loop has its turn
ENDED = 0
COMPLETED, FAILED, CANCELLED = 5, 6, 7

pools: dict[str, int] = {}
_homes: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Home]]" = weakref.WeakKeyDictionary()
_open: "weakref.WeakSet[Home]" = weakref.WeakSet()
_lock = threading.Lock()


class Home:
    """The runtime of an event loop, which keeps it, by its reader; it does not keep the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.handle, self._descriptor = _blazen.runtime_create(_write_log)
        self.loop = weakref.ref(loop)
        self.runs: dict[int, tuple["Core", dict[int, Any]]] = {}
        self.is_closed = False
        for name, permits in pools.items():
            _blazen.runtime_set_pool(self.handle, name, permits)
        loop.add_reader(self._descriptor, self.poll)
        self._guard = _until_shutdown(weakref.ref(self))
        try:  # as far as its yield: the loop then ends it when it shuts down
            self._guard.__anext__().send(None)
        except StopIteration:
            pass

    def poll(self) -> None:
        """Begins what can be begun."""
        _blazen.runtime_poll(self.handle, _STEPS_AT_ONCE, self.runs, begin, Context)

    def close(self) -> None:
        """Cancels every run that has not ended."""
        if self.is_closed:
            return
        self.is_closed = True
        loop = self.loop()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)
        left = [core for core, _ in self.runs.values()]
        _blazen.runtime_close(self.handle)
        for core in left:
            core.is_orphan()

    def __del__(self) -> None:
        if hasattr(self, "_guard"):
            self.close()


async def _until_shutdown(its_home: "weakref.ref[Home]") -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        mine = its_home()
        if mine is not None:
            mine.close()


def home() -> Home:
    """The runtime of the loop that is running."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("a run begins on an event loop: call this in a coroutine, or use run_sync()") from None
    kept = _homes.get(loop)
    mine = None if kept is None else kept()
    if mine is None or mine.is_closed:
        mine = Home(loop)
        with _lock:
            _homes[loop] = weakref.ref(mine)
            _open.add(mine)
    return mine


def _close_all() -> None:
    """Before the interpreter goes: no callback of the library comes after that."""
    for each in list(_open):
        each.close()


atexit.register(_close_all)


def _write_log(line: tuple[int, str]) -> None:
    level, message = line
    _log.log(logging.ERROR if level == 1 else logging.WARNING, "%s", message)


def soon(loop: asyncio.AbstractEventLoop | None, function: Callable[..., Any], *arguments: Any) -> bool:
    """Calls a function on the loop, from any thread; False where the loop is closed: nobody waits there any more."""
    if loop is None:
        return False
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


class Core:
    """What belongs to a run, beside its handle: who drops that has not to wait for the end.

    context  of who began the run: steps see its variables
    """

    def __init__(self, its_home: Home, name: str, steps: dict[int, Any], classes: dict[Any, Any]) -> None:
        self.home = its_home
        self.name = name
        self.classes = classes
        self.context = contextvars.copy_context()
        self.failures: "weakref.WeakKeyDictionary[errors.Failure, Any]" = weakref.WeakKeyDictionary()
        self.is_watched = False  # somebody has asked how it ended
        self.handler: "weakref.ref[Any] | None" = None
        self.tasks: set[asyncio.Task[Any]] = set()  # a loop does not keep its tasks
        self.answering: set[asyncio.Task[Any]] = set()  # its input handler
        self._steps = steps
        self.state = 0
        self._ended: _blazen.Handle | None = None

    def distrust(self) -> None:
        """The run comes from a snapshot that nobody vouches for: no pickle is read. False marks that for the compiled layer."""
        marked: dict[int, dict[Any, Any]] = {}
        for _, classes in self._steps.values():
            marked[id(classes)] = {**classes, False: True}
        self._steps = {number: (body, marked[id(classes)]) for number, (body, classes) in self._steps.items()}
        self.classes = {**self.classes, False: True}

    def begin(self, run: _blazen.Handle) -> None:
        """Before the start."""
        self.home.runs[run.address] = (self, self._steps)
        address = run.address

        def ended(says: tuple[int, _blazen.Handle | None]) -> None:
            self.home.runs.pop(address, None)
            self._note_end(*says)

        _blazen.run_on_state(run, ENDED, ended, True)

    def _note_end(self, state: int, run: _blazen.Handle | None) -> None:
        self.state, self._ended = state, run
        if self.answering:
            soon(self.home.loop(), self._leave_answers)
        if state == FAILED and not self.is_watched and (self.handler is None or self.handler() is None):
            self.report()

    def _leave_answers(self) -> None:
        """Nobody wants them any more."""
        for task in list(self.answering):
            task.cancel()

    def report(self) -> None:
        """Says that it has failed, as asyncio does of tasks: nobody has asked how it ended."""
        if self.state != FAILED or self.is_watched or self._ended is None:
            return
        self.is_watched = True
        try:
            _blazen.run_look(self._ended, "result")
        except BaseException as failure:
            exception: BaseException = failure
            if isinstance(failure, errors.BlazenError):
                exception = failure.original() or failure
            message = f"a run of the workflow {self.name!r} has failed, and its exception was never retrieved"
            loop = self.home.loop()
            if loop is not None and not loop.is_closed():
                loop.call_exception_handler({"message": message, "exception": exception})
            else:
                _log.error(message, exc_info=exception)

    def is_cancelled(self, ctx: Context) -> None:
        """A task of a step was cancelled, and not by the run."""
        if not self.is_watched:
            _log.error(
                "the step %r of a run of the workflow %r was cancelled from outside, as by an event loop that shuts down:"
                " the run was aborted",
                ctx.step_name,
                self.name,
            )
        ctx._abort_run()
        ctx._finish(None)

    def is_orphan(self) -> None:
        """Its loop has gone before its end."""
        if not self.is_watched:
            _log.error(
                "the event loop of a run of the workflow %r was closed before its end: it was aborted", self.name
            )

    def fail(self, ctx: Context, exception: BaseException) -> None:
        """A step has raised."""
        message, detail = errors.describe(exception), errors.detail_of(exception)
        host_code = getattr(exception, "host_code", 0)
        code = host_code if type(host_code) is int and -(1 << 63) <= host_code < 1 << 63 else 0
        ctx._fail(errors.Status.HOST, message, code, detail, _cbor.CODEC, errors.Failure(self, exception))


# ---- steps ----


class _Worker(threading.local):
    """Of a thread of _workers that polls: the first step that is no coroutine goes on here, without a change of threads."""

    polls = False
    next: "Callable[[], None] | None" = None


_worker = _Worker()


def begin(core: Core, body: "Body", ctx: Context, event: Any) -> None:
    """Begins a step. Where its event cannot be read, event is the exception."""
    if isinstance(event, BaseException):
        core.fail(ctx, event)
    elif not body.is_async and not body.on_loop:
        _begin_on_worker(lambda: _work(core, body, ctx, event))
    elif not _worker.polls:
        _begin_here(core, body, ctx, event)
    elif not soon(core.home.loop(), _begin_here, core, body, ctx, event):
        core.fail(ctx, _closed_loop())


def _closed_loop() -> RuntimeError:
    return RuntimeError("the event loop of the run is closed")


def _begin_here(core: Core, body: "Body", ctx: Context, event: Any) -> None:
    """On the thread of the loop."""
    if body.is_async:
        _start(core, body, ctx, event)
    else:
        core.context.copy().run(_call, core, body, ctx, event)


def _begin_on_worker(work: Callable[[], None]) -> None:
    if _worker.polls and _worker.next is None:
        _worker.next = work
    else:
        _workers.submit(work)


def _start(core: Core, body: "Body", ctx: Context, event: Any, coming: "Awaitable[Any] | None" = None) -> None:
    loop = core.home.loop()
    if loop is None or loop.is_closed():
        core.fail(ctx, _closed_loop())
        return
    task = loop.create_task(_drive(core, body, ctx, event, coming), context=core.context.copy())
    if not task.done():  # a task factory may have run it already
        ctx._task = task
        core.tasks.add(task)


async def _drive(core: Core, body: "Body", ctx: Context, event: Any, coming: "Awaitable[Any] | None") -> None:
    try:
        body.finish(ctx, await (body.call(ctx, event) if coming is None else coming))
    except Exception as exception:
        core.fail(ctx, exception)
    except asyncio.CancelledError as exception:
        task = asyncio.current_task()
        if ctx.is_cancelled:
            ctx._finish(None)  # as it was told: nobody wants to know
        elif task is not None and task.cancelling():
            core.is_cancelled(ctx)
        else:
            core.fail(ctx, exception)
        raise
    except BaseException as exception:  # an interrupt: the loop hears of it too
        core.fail(ctx, exception)
        raise
    finally:
        core.tasks.discard(ctx._task)
        ctx._task = None
    core.home.poll()


def _work(core: Core, body: "Body", ctx: Context, event: Any) -> None:
    """A step that is no coroutine, on a worker; and what it makes ready."""
    core.context.copy().run(_call, core, body, ctx, event)
    home = core.home
    del core, body, ctx, event
    if _worker.polls:
        return
    _worker.polls = True
    try:
        home.poll()
        while (work := _worker.next) is not None:
            _worker.next = None
            work()
            del work
            home.poll()
    finally:
        _worker.polls = False


def _call(core: Core, body: "Body", ctx: Context, event: Any) -> None:
    try:
        outcome = body.call(ctx, event)
        if inspect.isawaitable(outcome):
            if not soon(core.home.loop(), _start, core, body, ctx, event, outcome):
                raise _closed_loop()
            return
        body.finish(ctx, outcome)
    except BaseException as exception:
        core.fail(ctx, exception)


# ---- waiting ----


def settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def when(run: _blazen.Handle, until: int) -> "asyncio.Future[int]":
    """The state in which a run ends, or comes to what the bits of until name."""
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[int]" = loop.create_future()
    thread = threading.get_ident()

    def told(state: int) -> None:
        if threading.get_ident() == thread and not loop.is_closed():
            settle(future, state)
        else:
            soon(loop, settle, future, state)

    _blazen.run_on_state(run, until, told, False)
    return future
