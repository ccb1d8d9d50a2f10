"""What a step sees of its run."""

import asyncio
import enum
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import _blazen, typed_state, values
from .events import Event, type_name

__all__ = ["Context", "Joined", "JoinReason", "Session", "State"]


class JoinReason(enum.IntEnum):
    """Why a join was called: nothing of the scope is left (COMPLETE), as many have arrived as were wanted (CONDITION), the
    scope was over before that (SHORT), or its deadline has passed."""

    NONE = 0
    COMPLETE = 1
    CONDITION = 2
    SHORT = 3
    DEADLINE = 4


class Joined(NamedTuple):
    """What a join was called with: why, how many events have arrived, how many were wanted (None: all), and the scope."""

    reason: JoinReason
    arrived: int
    wanted: int | None
    scope_id: int


class State:
    """The state of a run: it is in every snapshot. `ctx.state["k"] = v`, `"k" in ctx.state`, `del`, `for k in ctx.state`."""

    __slots__ = ("_ctx",)

    def __init__(self, ctx: "Context") -> None:
        self._ctx = ctx

    def set(self, key: str, value: Any) -> None:
        """Stores a value. What has no stored form is refused: it belongs in ctx.session."""
        if isinstance(value, (typed_state.BlazenState, typed_state.UnknownState)):
            typed_state.save(self._ctx, key, value)
            return
        tag, data, codec = values.stored(value)
        if data is None:
            raise values.NotStorable(
                f"ctx.state[{key!r}]: {type(value).__qualname__} has no stored form (it does not pickle): put it into"
                f" ctx.session[{key!r}]"
            )
        self._ctx._apply([(key, tag, data, codec)], [])

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default where there is none."""
        found = self._ctx._read(key)
        return typed_state.load(self._ctx, key, default) if found is None else found[0]

    def set_bytes(self, key: str, data: bytes) -> None:
        """As set, of bytes."""
        self._ctx.set_bytes(key, data)

    def get_bytes(self, key: str, default: bytes | None = None) -> bytes | None:
        """The bytes under the key; the default where there are none."""
        return self._ctx.get_bytes(key, default)

    def has(self, key: str) -> bool:
        """Whether there is such a key: a stored None is told from none by this alone."""
        return self._ctx._has(key) or typed_state.is_there(self._ctx, key)

    def remove(self, key: str) -> bool:
        """Removes a key, and says whether it was there."""
        was_typed = typed_state.forget(self._ctx, key)
        return self._ctx._remove(key) or was_typed

    def stored(self, key: str) -> values.Foreign | None:
        """The value as it is stored, unread: its tag, codec and bytes. It may be set and sent as it is. None: no such key."""
        found = self._ctx._stored(key)
        return None if found is None else values.Foreign(values.Tag(found[0]), found[2], found[1])

    def version(self, key: str) -> int:
        """Which write of this key it has, for compare_and_set; 0: it is not there."""
        found = self._ctx._stored(key)
        return 0 if found is None else found[3]

    def compare_and_set(self, key: str, expected: int, value: Any) -> int:
        """Writes only where the key still has this version (0: is not there), and gives the new one; else BlazenError with
        Status.CONFLICT."""
        return self._ctx._compare_and_set(key, expected, typed_state.packed(value))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with prefix, in the order of their bytes."""
        return self._ctx._keys(prefix)

    def clear(self) -> None:
        """Removes every key."""
        self._ctx._clear()

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __getitem__(self, key: str) -> Any:
        found = self._ctx._read(key)
        if found is not None:
            return found[0]
        if not typed_state.is_there(self._ctx, key):
            raise KeyError(key)
        return typed_state.load(self._ctx, key, None)

    def __delitem__(self, key: str) -> None:
        if not self.remove(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.has(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


class Session:
    """Live objects of a run: their identity is kept, in this process. What a snapshot does with them, the session policy of the
    workflow says. `ctx.session["k"] = v`, `"k" in ctx.session`, `del`, `for k in ctx.session`."""

    __slots__ = ("_ctx",)

    def __init__(self, ctx: "Context") -> None:
        self._ctx = ctx

    def set(self, key: str, value: Any) -> None:
        """Keeps any object."""
        plain = isinstance(value, (type(None), bool, int, float, str, bytes, values.Foreign))
        self._ctx._set_session(key, value, None if plain else values.label_of(value))

    def get(self, key: str, default: Any = None) -> Any:
        """The very object, or the default where there is none."""
        found = self._ctx._get_session(key)
        return default if found is None else found[0]

    def has(self, key: str) -> bool:
        """Whether there is such a key."""
        return self._ctx._has_session(key)

    def remove(self, key: str) -> bool:
        """Removes a key, and says whether it was there."""
        return self._ctx._remove_session(key)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with prefix, in the order of their bytes."""
        return self._ctx._session_keys(prefix)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __getitem__(self, key: str) -> Any:
        found = self._ctx._get_session(key)
        if found is None:
            raise KeyError(key)
        return found[0]

    def __delitem__(self, key: str) -> None:
        if not self.remove(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.has(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


class _Waiting:
    """A worker that waits for an answer."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._answer: tuple[str, bool, Any] | None = None

    def told(self, answer: tuple[str, bool, Any]) -> None:
        self._answer = answer
        self._is_over.set()

    def cancel(self) -> None:
        self._is_over.set()

    def wait(self) -> Any:
        self._is_over.wait()
        if self._answer is None:
            raise _withdrawn("the step was cancelled while it asked")
        its_id, is_answered, answer = self._answer
        if not is_answered:
            raise _withdrawn(f"the question {its_id!r} was withdrawn")
        return answer


def _withdrawn(message: str) -> Exception:
    from .errors import BlazenError, Status

    return BlazenError(message, Status.CANCELLED)


class Context(_blazen.ContextBase):
    """What a step sees of its run, for as long as the step runs. All is synchronous and takes effect at the call; each call
    `x` has a sibling `ax` that can be awaited.

    set(key, value)           stores a value in the state; what has no stored form goes into the session
    get(key, default=None)    the value, from the state or else from the session
    send_event(event, step=None, delay=0)   routes an event at once, to one step alone, or so many seconds later
    write_event_to_stream(event)            publishes an event, which is not routed
    run_id(), workflow_name, step_name, invocation_id, attempt, is_cancelled   who it is
    retry_after(seconds)      when the next attempt begins, if this one fails
    """

    __slots__ = ()

    @property
    def state(self) -> State:
        """What every snapshot has."""
        return State(self)

    @property
    def session(self) -> Session:
        """Live objects."""
        return Session(self)

    def set_bytes(self, key: str, data: bytes) -> None:
        """As set, of bytes."""
        self.set(key, bytes(data))

    def get_bytes(self, key: str, default: bytes | None = None) -> bytes | None:
        """The bytes under the key; the default where there are none, or something else."""
        found = self._stored(key)
        return found[1] if found is not None and found[0] == values.Tag.BYTES else default

    def get_json(self, key: str) -> str | None:
        """The JSON text under the key; None where there is none, or something else."""
        found = self._stored(key)
        return found[1].decode() if found is not None and found[0] == values.Tag.JSON else None

    def has(self, key: str) -> bool:
        """Whether the state or the session has the key."""
        return self.state.has(key) or self._has_session(key)

    def remove(self, key: str) -> bool:
        """Removes a key from the state and the session, and says whether it was there."""
        was_there = self.state.remove(key)
        return self._remove_session(key) or was_there

    def events(self) -> list[Event]:
        """All that the step was called with: of a join, what has arrived."""
        return self._events(False)

    @property
    def joined(self) -> Joined:
        """Why a join was called."""
        reason, arrived, wanted, scope_id = self._join_info()
        return Joined(JoinReason(reason), arrived, wanted or None, scope_id)

    def collect(self, *types: Any, key: str = "") -> list[Event] | None:
        """Collects the event of this call until there is one of each of these types, or as many as (type, count) says; then
        they are here, in the order of the types. Until then None: the step has nothing to do but to return None."""
        pairs = [each if isinstance(each, tuple) else (each, 1) for each in types]
        return self._collect(key, [(type_name("types", kind), count) for kind, count in pairs])

    def progress(self, current: int, total: int = 0, label: str = "") -> None:
        """Says how far this step is, to streams with lifecycle items; total 0: not known."""
        self._progress(current, total, label)

    async def ask(
        self,
        prompt: str,
        *,
        request_id: str | None = None,
        metadata: Any = None,
        deadline: float | None = None,
        default: Any = None,
    ) -> Any:
        """Asks a human, and waits for the answer, in an `async def` step. After a resume the step runs again from its
        beginning, and has the answers that were given. deadline: so many seconds later, the answer is `default`."""
        loop = asyncio.get_running_loop()
        coming: "asyncio.Future[tuple[str, bool, Any]]" = loop.create_future()

        def settle(answer: tuple[str, bool, Any]) -> None:
            if not coming.done():
                coming.set_result(answer)

        def told(answer: tuple[str, bool, Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, answer)

        deadline_ms = 0 if deadline is None else max(1, round(deadline * 1000))
        found = self._ask(prompt, request_id, metadata, deadline_ms, default, told)
        if found is not None:
            return found[0]
        its_id, is_answered, answer = await coming
        if not is_answered:
            raise _withdrawn(f"the question {its_id!r} was withdrawn")
        return answer

    def ask_sync(
        self,
        prompt: str,
        *,
        request_id: str | None = None,
        metadata: Any = None,
        deadline: float | None = None,
        default: Any = None,
    ) -> Any:
        """As ask, for a step that is no coroutine: its worker thread waits."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("ask_sync() would block the event loop: await ctx.ask() in an `async def` step")
        waiting = _Waiting()
        self._task = waiting
        try:
            deadline_ms = 0 if deadline is None else max(1, round(deadline * 1000))
            found = self._ask(prompt, request_id, metadata, deadline_ms, default, waiting.told)
            return found[0] if found is not None else waiting.wait()
        finally:
            self._task = None

    def _on_cancelled(self, _: None) -> None:
        """What the compiled layer calls when the step is cancelled."""
        task, core = self._task, self._core
        if task is not None and core is not None:
            loop = core.home.loop()
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

    # ---- the siblings that can be awaited ----

    async def aset(self, key: str, value: Any) -> None:
        """As set."""
        self.set(key, value)

    async def aget(self, key: str, default: Any = None) -> Any:
        """As get."""
        return self.get(key, default)

    async def aset_bytes(self, key: str, data: bytes) -> None:
        """As set_bytes."""
        self.set_bytes(key, data)

    async def aget_bytes(self, key: str, default: bytes | None = None) -> bytes | None:
        """As get_bytes."""
        return self.get_bytes(key, default)

    async def arun_id(self) -> str:
        """As run_id."""
        return self.run_id()

    async def asend_event(self, event: Event, step: str | None = None, delay: float = 0) -> None:
        """As send_event."""
        self.send_event(event, step, delay)

    async def awrite_event_to_stream(self, event: Event) -> None:
        """As write_event_to_stream."""
        self.write_event_to_stream(event)


# ---- what the compiled layer leaves to this one ----


def set_other(ctx: Context, key: str, value: Any) -> None:
    """ctx.set of what is neither JSON nor bytes."""
    if isinstance(value, (typed_state.BlazenState, typed_state.UnknownState)):
        typed_state.save(ctx, key, value)
        ctx._remove_session(key)
        return
    tag, data, codec = values.pack(value)
    if data is None:
        ctx._set_session(key, value, codec)
        ctx.state.remove(key)
    else:
        ctx._put(key, tag, data, codec)


def missing(ctx: Context, key: str, default: Any) -> Any:
    """ctx.get of what the state does not have under the key itself."""
    found = ctx._get_session(key)
    return typed_state.load(ctx, key, default) if found is None else found[0]
