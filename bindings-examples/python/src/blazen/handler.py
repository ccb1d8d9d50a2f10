"""Handlers: runs that have begun."""

import asyncio
import enum
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _blazen, _runs
from .errors import BlazenError, EventRequired, InputRequired, ParkedElsewhere, Status
from .events import STREAM_END, Event
from .snapshots import Snapshot
from .steps import milliseconds

if TYPE_CHECKING:
    from ._runnable import AnyWorkflow

__all__ = ["Done", "EventStream", "Handler", "RunState", "WorkflowResult"]

_T = TypeVar("_T")
_DRAIN = 2


class RunState(enum.IntEnum):
    """How far a run is."""

    CREATED = 1
    RUNNING = 2
    WAITING = 3
    ELSEWHERE = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7
    PAUSED = 8
    ASKING = 9


@dataclass(frozen=True)
class WorkflowResult:
    """What a run came to.

    result      what the StopEvent had: the very object
    event_type  the type of the event that ended the run
    run_id      of the run
    """

    result: Any
    event_type: str = "blazen::StopEvent"
    run_id: str = ""


class Done(Generic[_T]):
    """What has taken effect already, and may be awaited."""

    def __init__(self, value: _T) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, _T]:
        return self.value
        yield


class EventStream:
    """What a run publishes, for `async for`, until the run has ended."""

    def __init__(self, stream: _blazen.Handle, classes: dict[Any, Any], context: Any, with_path: bool = False) -> None:
        self._stream, self._classes, self._with_path = stream, classes, with_path
        self._context = context
        self._items: list[Any] = []
        self._is_over = False
        self._ready: "asyncio.Future[None] | None" = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._items:
            if self._is_over:
                raise StopAsyncIteration
            taken = self._context.run(_blazen.stream_take, self._stream, self._classes, self._with_path)
            if taken is None:
                await self._wait()
            else:
                taken.reverse()
                self._items = taken
        item = self._items.pop()
        event = item[0] if self._with_path else item
        if event.event_type == STREAM_END:
            self._is_over = True
            raise StopAsyncIteration
        return item

    async def _wait(self) -> None:
        """Asks once, also where a wait before this one was cancelled."""
        if self._ready is None or self._ready.done():
            loop = asyncio.get_running_loop()
            ready: "asyncio.Future[None]" = loop.create_future()
            self._ready = ready

            def told(_: None) -> None:
                _runs.soon(loop, _runs.settle, ready, None)

            _blazen.stream_on_ready(self._stream, told)
        await asyncio.shield(self._ready)

    async def aclose(self) -> None:
        """Ends the subscription."""
        self._is_over = True
        self._items = []
        _blazen.stream_close(self._stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()


class Handler:
    """A run that has begun. What takes effect at once may be called or awaited; awaiting the handler itself gives it back."""

    def __init__(self, workflow: "AnyWorkflow", run: _blazen.Handle, core: _runs.Core, has_input_handler: bool) -> None:
        self.workflow = workflow
        self._run, self._core, self._has_input_handler = run, core, has_input_handler
        self._stream: EventStream | None = None
        self._result: WorkflowResult | None = None
        self._failure: BlazenError | None = None
        core.handler = weakref.ref(self)

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None:
            core.report()

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self.workflow.name!r}: {self.state.name}>"

    def _subscribe(self) -> None:
        """Before the start: nothing is missed until somebody looks."""
        self._stream = self._new_stream(True, False)

    def _new_stream(self, routed: bool, lifecycle: bool) -> EventStream:
        return EventStream(
            _blazen.run_subscribe(self._run, lifecycle, routed), self._core.classes, self._core.context.copy()
        )

    def _begin(self, event: Event | None) -> None:
        self._core.begin(self._run)
        _blazen.run_start(self._run, event)
        loop = self._core.home.loop()
        if loop is not None:
            loop.call_soon(self._core.home.poll)

    # ---- looking ----

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return _blazen.run_id(self._run)

    @property
    def state(self) -> RunState:
        """How far the run is."""
        return RunState(_blazen.run_state_now(self._run))

    @property
    def error(self) -> BlazenError | None:
        """With what the run has failed: step, attempt and status; None where it has not."""
        if self.state in (RunState.FAILED, RunState.CANCELLED):
            self._settle()
        return self._failure

    def values(self) -> dict[str, Any]:
        """The state of the run, as a dict."""
        found = {
            key: self._core.context.copy().run(_blazen.run_get, self._run, key) for key in _blazen.run_keys(self._run)
        }
        return {key: each[0] for key, each in found.items() if each is not None}

    def questions(self) -> list[dict[str, Any]]:
        """The open questions: request_id, prompt, metadata, step and more."""
        return list(_blazen.run_look(self._run, "questions"))

    def describe(self) -> dict[str, Any]:
        """What the run is doing."""
        return dict(_blazen.run_look(self._run, "describe"))

    def dropped(self) -> list[str]:
        """What the snapshots that it comes from have dropped, and what its resume has skipped."""
        return list(_blazen.run_look(self._run, "x"))

    # ---- waiting ----

    async def result(self) -> WorkflowResult:
        """Waits for the end, whatever that takes, and gives the result; the same object each time. Cancelling it leaves the
        run alone."""
        self._core.is_watched = True
        await self.wait()
        result: WorkflowResult = self._result_now()
        return result

    async def wait(self, *until: RunState) -> RunState:
        """Waits until the run has ended, or has come to one of these states: WAITING, ELSEWHERE, PAUSED, ASKING."""
        bits = sum(1 << each for each in set(until))
        return RunState(await _runs.when(self._run, bits))

    async def _whole(self) -> WorkflowResult:
        """As result, but it never waits on nobody."""
        self._core.is_watched = True
        bits = 1 << RunState.ELSEWHERE | 1 << RunState.WAITING
        if not self._has_input_handler:
            bits |= 1 << RunState.ASKING
        state = await _runs.when(self._run, bits)
        if state == RunState.ELSEWHERE:
            raise ParkedElsewhere(_blazen.run_look(self._run, "elsewhere"), self)
        if state == RunState.WAITING:
            raise EventRequired(self)
        if state == RunState.ASKING:
            raise InputRequired(self.questions(), self)
        result: WorkflowResult = self._result_now()
        return result

    def _settle(self) -> None:
        """Notes how it has ended."""
        self._core.is_watched = True
        if self._result is not None or self._failure is not None:
            return
        try:
            result = self._core.context.copy().run(_blazen.run_look, self._run, "result")
        except BlazenError as failure:
            self._failure = self._failed(failure)
        else:
            self._result = self._made(result)

    def _made(self, result: Any) -> Any:
        return WorkflowResult(result, run_id=self.run_id)

    def _failed(self, failure: BlazenError) -> BlazenError:
        original = failure.original()
        if original is not None and failure.step is not None:
            note = f"in the step {failure.step!r} of the workflow {self.workflow.name!r}, attempt {failure.attempt}"
            if note not in getattr(original, "__notes__", ()):
                original.add_note(note)
        return failure

    def _result_now(self) -> Any:
        self._settle()
        if self._failure is None:
            return self._result
        original = self._failure.original()
        if original is None:
            raise self._failure.with_traceback(None)
        if isinstance(original, asyncio.CancelledError):  # nobody was cancelled but the step
            raise self._failure.with_traceback(None) from original
        raise original

    def stream_events(self, *, routed: bool = True, lifecycle: bool = False) -> EventStream:
        """What the run publishes, for `async for`, until its end. The first one has all from the start on.

        routed     also each event that is routed: StartEvent, what steps give and send, StopEvent
        lifecycle  also when steps start, complete and fail, and their progress
        """
        if routed and not lifecycle and self._stream is not None:
            stream, self._stream = self._stream, None
            return stream
        return self._new_stream(routed, lifecycle)

    # ---- steering ----

    def pause(self) -> Awaitable[Snapshot]:
        """No step starts any more; to be awaited: when those in flight are done, it gives the Snapshot. Where a live object keeps
        that from being taken, it raises, and the run stays paused."""
        taking = self.snapshot
        if self.workflow.clears_session:  # at the call: the snapshot still has it
            taking = self._taken_now()
        _blazen.run_pause(self._run, _DRAIN)
        return _Pausing(lambda: self._paused(taking))

    def _taken_now(self) -> Callable[[], Snapshot]:
        try:
            snapshot = self.snapshot()
        except BlazenError as failure:
            refusal = failure

            def refuse() -> Snapshot:
                raise refusal

            return refuse
        return lambda: snapshot

    async def _paused(self, taking: Callable[[], Snapshot]) -> Snapshot:
        state = await self.wait(RunState.PAUSED)
        if state is not RunState.PAUSED:
            raise BlazenError(f"the run has ended before it was paused: {state.name}", Status.CANCELLED)
        return taking()

    def resume_in_place(self) -> Done[None]:
        """Goes on after a pause; a run that runs or has ended is left as it is."""
        try:
            _blazen.run_resume_in_place(self._run)
        except BlazenError as failure:
            if failure.status != Status.CANCELLED:
                raise
        return Done(None)

    def snapshot(self) -> Snapshot:
        """The run as it stands now; it goes on."""
        return self._snapshot_kind(_blazen.run_snapshot(self._run))

    _snapshot_kind: type[Snapshot] = Snapshot

    def respond_to_input(self, request_id: str, response: Any = None) -> Done[None]:
        """Answers an open question."""
        _blazen.run_respond(self._run, request_id, response, False)
        return Done(None)

    def respond_early(self, request_id: str, response: Any = None) -> Done[None]:
        """Answers a question that may not be asked yet: the answer is kept for the step that asks under this id."""
        _blazen.run_respond(self._run, request_id, response, True)
        return Done(None)

    def withdraw_question(self, request_id: str) -> Done[None]:
        """Nobody needs to answer this open question any more: ctx.ask raises BlazenError with Status.CANCELLED."""
        _blazen.run_withdraw(self._run, request_id)
        return Done(None)

    def cancel_invocation(self, invocation_id: int, *, retry: bool = False) -> Done[None]:
        """Cancels one call of a step, which has then failed; the run goes on. retry: as its retries say."""
        _blazen.run_cancel_invocation(self._run, invocation_id, retry)
        return Done(None)

    def send_event(self, event: Event, step: str | None = None, delay: float = 0, scope: int = 0) -> Done[None]:
        """Sends an event from outside: to one step alone, so many seconds later, or into an open scope (ctx.scope_id)."""
        _blazen.run_send_event(self._run, event, step, milliseconds("delay", delay), scope)
        return Done(None)

    def abort(self) -> Done[None]:
        """Ends the run at once; awaiting its result raises BlazenError with Status.ABORTED."""
        self._core.is_watched = True
        _blazen.run_abort(self._run)
        return Done(None)


class _Pausing:
    """What has begun, and may be awaited."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, Snapshot]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, Snapshot]:
        return self._wait().__await__()
