"""What a step sees of its run: Context, its two namespaces State and Session, and the Invocation of a deferred step."""

import ctypes
from collections.abc import MutableMapping

from . import _make, _read, errors, tiers
from ._c import HANDLE, c
from ._calls import lib
from ._handles import Handle, owned
from .events import Event, read_event


class Context:
    """Belongs to one call of a step; after a defer, to its Invocation. One thread at a time uses it."""

    def __init__(self, pointer):
        self._pointer = pointer
        self._invocation = None

    @property
    def pointer(self):
        """The blazen_context; an error once the step is over, when there is none any more."""
        if self._pointer is None:
            raise errors.BlazenError("the step of this context is over", errors.Status.WRONG_STATE)
        return self._pointer

    @property
    def run_id(self):
        return _read.text(c.context_run_id, self.pointer)

    @property
    def workflow_name(self):
        return _read.text(c.context_workflow_name, self.pointer)

    @property
    def step_name(self):
        return _read.text(c.context_step_name, self.pointer)

    @property
    def invocation_id(self):
        """With run_id, the idempotency key: the same when this invocation runs again after a resume."""
        return c.context_invocation_id(self.pointer)

    @property
    def attempt(self):
        return c.context_attempt(self.pointer)

    @property
    def is_cancelled(self):
        """Whether the run has ended, and nothing that this step does counts any more."""
        return bool(c.context_is_cancelled(self.pointer))

    @property
    def state(self):
        return State(self)

    @property
    def session(self):
        return Session(self)

    def set(self, key, value):
        """Keeps any object: in the state where it can be stored, else, LIVE, in the session; in one of the two."""
        if tiers.pack(value) is None:
            self.session[key] = value
            self.state.pop(key, None)
        else:
            self.state[key] = value
            self.session.pop(key, None)

    def get(self, key, default=None):
        """What set has kept, as the type that it was."""
        if key in self.state:
            return self.state[key]
        return self.session.get(key, default)

    def emit(self, event, step=None):
        """Adds an event to what this step returns: it is routed when the step completes. step: to that one alone."""
        with _make.event(event) as made:
            lib.context_emit_event(self.pointer, made, _make.send_options(step))

    def send_event(self, event, step=None):
        """Routes an event at once."""
        with _make.event(event) as made:
            lib.context_send_event(self.pointer, made, _make.send_options(step))

    def publish(self, event):
        """Publishes an event on the run's stream; it is never routed."""
        with _make.event(event) as made:
            lib.context_publish(self.pointer, made)

    def defer(self):
        """This step completes later: whoever has the Invocation that is answered completes it, on any thread."""
        handle = Handle(lib.context_defer(self.pointer), c.invocation_release)
        self._invocation = handle
        return Invocation(handle, self)

    # ---- for the binding itself ----

    def emit_all(self, outcome):
        """Emits what a step has returned: None, an event, or a list of events."""
        if outcome is None:
            return
        for event in [outcome] if isinstance(outcome, Event) else outcome:
            if not isinstance(event, Event):
                raise TypeError(f"a step returns None, an Event or a list of Events, not {event!r}")
            self.emit(event)

    @property
    def is_deferred(self):
        return self._invocation is not None

    def leave(self):
        """The body has returned: what was not deferred is over."""
        if not self.is_deferred:
            self._pointer = None


class Invocation:
    """A step that completes later. If it is lost without completion, its step fails: no run hangs on it."""

    def __init__(self, handle, context):
        self._handle = handle
        self.context = context

    @property
    def event(self):
        return read_event(c.invocation_event(self._handle.pointer))

    def complete(self, outcome=None):
        """The step is done, with what it would have returned: None, an event, or a list of events."""
        self.context.emit_all(outcome)
        lib.invocation_complete(self._handle.pointer)

    def fail(self, exception):
        """The step has failed: the exception comes out of run.result()."""
        cause = HANDLE()
        errors.report(exception, self.context.pointer, ctypes.byref(cause))
        with owned(cause, c.error_release):
            lib.invocation_fail(self._handle.pointer, cause)


class _Namespace(MutableMapping):
    """Keys and values of a run, as a dict. The calls of the C ABI are named by the subclasses."""

    def __init__(self, context):
        self._context = context

    def _call(self, function, key, *more):
        name = key.encode()
        return function(self._context.pointer, name, len(name), *more)

    def __getitem__(self, key):
        return self._read(key, _read.value)

    def stored(self, key):
        """A value in its stored form: the bytes as they will stand in a snapshot."""
        return self._read(key, _read.stored)

    def _read(self, key, read):
        value = self._get(key)
        if value is None:
            raise KeyError(key)
        with owned(value, c.value_release):
            return read(value)

    def __setitem__(self, key, value):
        with _make.value(value, self._pack) as made:
            self._call(self._set_call, key, made)

    def __delitem__(self, key):
        if not self._call(self._remove_call, key):
            raise KeyError(key)

    def __contains__(self, key):
        return isinstance(key, str) and bool(self._call(self._has_call, key))

    def __iter__(self):
        return iter(self.names())

    def __len__(self):
        return len(self.names())

    def names(self, prefix=""):
        """The keys that begin with prefix, in the order of their bytes."""
        with owned(self._call(self._keys_call, prefix), c.keys_release) as keys:
            return [_key_at(keys, index) for index in range(c.keys_count(keys))]


def _key_at(keys, index):
    return _read.text(lambda handle, length: c.keys_at(handle, index, length), keys)


class State(_Namespace):
    """The state of the run: seen at once by all its steps, and in every snapshot. A LIVE object is refused."""

    _set_call = staticmethod(lib.context_set_value)
    _has_call = staticmethod(lib.context_has_value)
    _remove_call = staticmethod(lib.context_remove_value)
    _keys_call = staticmethod(lib.context_keys)
    _pack = staticmethod(tiers.pack)

    def _get(self, key):
        value, _version = self._call(lib.context_get_value, key)
        return value

    def update(self, *mappings, **more):
        """Sets many keys: all of them or, with an error, none."""
        with owned(lib.batch_create(), c.batch_release) as batch:
            for key, value in dict(*mappings, **more).items():
                name = key.encode()
                with _make.value(value) as made:
                    lib.batch_set(batch, name, len(name), made)
            lib.context_apply(self._context.pointer, batch)

    def clear(self):
        lib.context_clear_values(self._context.pointer)


class Session(_Namespace):
    """Objects of this process: `ctx.session[key] is thing`. Only None, bool, numbers, str and bytes go by value; with
    anything else in it, no snapshot can be taken."""

    _set_call = staticmethod(lib.context_set_session)
    _has_call = staticmethod(lib.context_has_session)
    _remove_call = staticmethod(lib.context_remove_session)
    _keys_call = staticmethod(lib.context_session_keys)
    _pack = staticmethod(tiers.pack_atom)

    def _get(self, key):
        return self._call(lib.context_get_session, key)
