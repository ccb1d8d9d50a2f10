"""What a step sees of its run: Context, its two namespaces State and Session, and the Invocation of a deferred step."""

import ctypes
from collections import Counter
from collections.abc import Mapping, MutableMapping

from . import _make, _objects, _read, errors, tiers, typed_state
from ._arguments import deadline_milliseconds, milliseconds, text, text_or_null, texts, whole
from ._c import ANSWER_FN, CANCEL_FN, HANDLE, JoinInfo, Question, ValueView, c
from ._calls import lib
from ._handles import Handle, owned
from .events import Event, read_event, read_events
from .joins import Joined, JoinReason


class NotAnswered(BaseException):
    """Leaves the body of a step that has asked: it is called again with the answer. Not to be caught."""


@CANCEL_FN
def _call_cancelled(user_data):
    _objects.find(user_data)()


@ANSWER_FN
def _call_answered(user_data, _context, request_id, length, answer):
    _objects.find(user_data)(_read.string(request_id, length), answer)


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
    def scope_id(self):
        """The scope that it belongs to, for run.send_event(scope=...); 0: none, or the run has ended."""
        return c.context_scope_id(self.pointer)

    @property
    def joined(self):
        """Why this join was called, as a Joined; None in a step that is no join."""
        info = JoinInfo()
        lib.context_join_info(self.pointer, info)
        reason = errors.known(JoinReason, info.reason)
        return Joined(reason, info.arrived, info.wanted or None, info.scope_id) if reason else None

    @property
    def events(self):
        """The events that it was called with: of a join, what has arrived, maybe nothing; of others, one. After
        collect() has given a group, that."""
        return read_events(*lib.context_events(self.pointer))

    @property
    def is_cancelled(self):
        """Whether the run has ended, or the time of this attempt is up: nothing that the step does counts any more."""
        return bool(c.context_is_cancelled(self.pointer))

    def on_cancel(self, function):
        """Calls function() once when that happens, on whichever thread it does; at once where it has happened."""
        if not callable(function):
            raise TypeError(f"function is a function without arguments, not {function!r}")
        lib.context_on_cancel(self.pointer, _call_cancelled, _objects.keep(function), _objects.drop)

    def cancel_descriptor(self):
        """A file descriptor that is readable when that has happened, for select. It stays the library's."""
        return lib.context_cancel_descriptor(self.pointer)

    @property
    def state(self):
        return State(self)

    @property
    def session(self):
        return Session(self)

    def set(self, key, value):
        """Keeps any object: in the state where it can be stored, else, LIVE, in the session; in one of the two. A
        BlazenState has an entry of its own for each field."""
        if isinstance(value, typed_state.BlazenState):
            typed_state.save(self, key, value)
            self.session.pop(key, None)
            return
        packed = tiers.pack(value)
        if packed is None:
            self.session[key] = value
            self.state.pop(key, None)
        else:
            self.state[key] = packed
            self.session.pop(key, None)
        typed_state.forget(self, key)

    def get(self, key, default=None):
        """What set has kept, as the type that it was."""
        if key in self.state:
            return self.state[key]
        if key in self.session:
            return self.session[key]
        return typed_state.load(self, key, default)

    def collect(self, types, key=""):
        """Collects the event of this call, under a key of this step, until there are as many of each type as are wanted.
        Answers them, a list, to the call that makes them whole, and keeps them its own when it is tried again; else None:
        the event is kept, in snapshots too, and there is nothing to do but to return.

        types  an event type; several, where one may stand more than once: in that order they come; or {type: count}
        """
        wanted = _Wanted(types)
        error = HANDLE()
        status = c.context_collect(self.pointer, *text("key", key), *wanted.arrays(), ctypes.byref(error))
        if status == errors.Status.PENDING:
            return None
        if status != errors.Status.OK:
            raise errors.failure(status, error)
        return wanted.in_order(self.events)

    def emit(self, event, step=None, *, delay=0):
        """Adds an event to what this step returns: it is routed when the step completes, and `delay` seconds later.
        step: to that one alone."""
        with _make.event(event) as made:
            lib.context_emit_event(self.pointer, made, _make.send_options(step, delay))

    def send_event(self, event, step=None, *, delay=0):
        """Routes an event at once, or after so many seconds."""
        with _make.event(event) as made:
            lib.context_send_event(self.pointer, made, _make.send_options(step, delay))

    def publish(self, event):
        """Publishes an event on the run's stream; it is never routed."""
        with _make.event(event) as made:
            lib.context_publish(self.pointer, made)

    def progress(self, label, current, total=0):
        """Says how far this step is, to the streams with lifecycle. total 0: not known."""
        so_far, of = whole("current", current, 64), whole("total", total, 64)
        lib.context_progress(self.pointer, *text("label", label), so_far, of)

    def retry_after(self, seconds):
        """If this attempt fails, the next one begins after so many seconds instead of what its Retry says."""
        lib.context_retry_after(self.pointer, milliseconds("seconds", seconds))

    def ask(self, prompt, *, request_id=None, metadata=None, deadline=None, default=None):
        """Asks a human, and answers the answer. As long as there is none, the body ends here, to be called again from
        its beginning: maybe in another process. What it has sent is not sent twice.

        deadline  so many seconds after it was asked, `default` is the answer where nobody has given one; None: it waits
                  for ever. A pause does not count

        Status.CANCELLED where it was withdrawn (run.withdraw_question).
        """
        is_answered, answer = self.put_question(prompt, request_id, metadata, deadline, default)
        if is_answered:
            return answer
        raise NotAnswered

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

    def put_question(self, prompt, request_id, metadata, deadline, default, answered=None):
        """Whether a question is answered already, and the answer. answered: is called with the id of the question, and
        the handle of the answer when that comes, or None, when the question is withdrawn."""
        question = Question()
        question.prompt, question.prompt_length = text("prompt", prompt)
        question.request_id, question.request_id_length = text_or_null("request_id", request_id)
        question.deadline_ms = deadline_milliseconds("deadline", deadline)
        answer, error = HANDLE(), HANDLE()
        with _make.value_or_null(metadata) as made, _make.value_or_null(default) as made_default:
            question.metadata, question.default_answer = made, made_default
            if answered is not None:
                question.answered = _call_answered
                question.user_data = _objects.keep(answered)
                question.drop = _objects.drop
            status = c.context_ask(self.pointer, question, ctypes.byref(answer), ctypes.byref(error))
        if status == errors.Status.PENDING:
            return False, None
        if status != errors.Status.OK:
            raise errors.failure(status, error)
        with owned(answer, c.value_release):
            return True, _read.value(answer)

    @property
    def is_deferred(self):
        return self._invocation is not None

    def leave(self):
        """The body has returned: what was not deferred is over."""
        if not self.is_deferred:
            self._pointer = None


class _Wanted:
    """What ctx.collect is told to wait for."""

    def __init__(self, types):
        if isinstance(types, Mapping):
            self.order = None
            self.counts = {name: whole(f"types[{name!r}]", count, 32) for name, count in types.items()}
        else:
            self.order = [name.decode() for name, _ in texts("types", types)]
            self.counts = Counter(self.order)

    def arrays(self):
        """As blazen_context_collect takes them."""
        names = texts("types", self.counts)
        counts = (ctypes.c_uint32 * len(names))(*self.counts.values())
        return *_make.name_arrays(names), counts, len(names)

    def in_order(self, events):
        """A whole group, type by type, in the order that the caller gave."""
        if self.order is None:
            return events
        of = {name: iter([event for event in events if event.type == name]) for name in self.counts}
        return [next(of[name]) for name in self.order]


class Invocation:
    """A step that completes later. If it is lost without completion, its step fails: no run hangs on it."""

    def __init__(self, handle, context):
        self._handle = handle
        self.context = context

    @property
    def event(self):
        return read_event(c.invocation_event(self._handle.pointer))

    def complete(self, outcome=None):
        """The step is done, with what it would have returned: None, an event, or a list of events; a mapper, its answer."""
        self.context.emit_all(outcome)
        self.complete_as_it_is()

    def complete_as_it_is(self):
        """The step is done: what it emits is emitted."""
        lib.invocation_complete(self._handle.pointer)

    def fail(self, exception):
        """The step has failed: the exception comes out of run.result()."""
        cause = HANDLE()
        errors.report(exception, ctypes.byref(cause), c.context_run(self.context.pointer))
        with owned(cause, c.error_release):
            lib.invocation_fail(self._handle.pointer, cause)


class Namespace(MutableMapping):
    """Keys and values of a run, as a dict. The calls of the C ABI are named by the subclasses."""

    def __init__(self, owner):
        self._owner = owner  # what has the handle

    def _call(self, function, key, *more):
        return function(self._owner.pointer, *text("key", key), *more)

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


class _OfStep(Namespace):
    """What a step has a call for each of: to set, to find and to remove."""

    def __setitem__(self, key, value):
        with _make.value(value, self._pack) as made:
            self._call(self._set_call, key, made)

    def __delitem__(self, key):
        if not self._call(self._remove_call, key):
            raise KeyError(key)

    def __contains__(self, key):
        return isinstance(key, str) and bool(self._call(self._has_call, key))


class Versioned(Namespace):
    """The state of a run, from wherever it is read and written: each key has a version."""

    def _get(self, key):
        value, _version = self._call(self._get_call, key)
        return value

    def update(self, *mappings, **more):
        """Sets many keys: all of them or, with an error, none."""
        self.apply(dict(*mappings, **more))

    def apply(self, values=None, *, remove=(), expect=None):
        """Sets and removes many keys: all of it or, with an error, nothing.

        expect  {key: version}: Status.CONFLICT unless each key has this version beforehand
        """
        with _make.batch(values, remove, expect) as batch:
            self._apply_call(self._owner.pointer, batch)

    def version(self, key):
        """It grows with every write of the key; 0: there is no such key."""
        value, version = self._call(self._get_call, key)
        c.value_release(value)
        return version

    def compare_and_set(self, key, version, value):
        """Sets a key that still has this version (0: is not there), and answers the new one; else Status.CONFLICT."""
        expected = whole("version", version, 64)
        with _make.value(value) as made:
            return self._call(self._compare_and_set_call, key, expected, made)


class State(Versioned, _OfStep):
    """The state of the run: seen at once by all its steps, and in every snapshot. A LIVE object is refused."""

    _get_call = staticmethod(lib.context_get_value)
    _set_call = staticmethod(lib.context_set_value)
    _has_call = staticmethod(lib.context_has_value)
    _remove_call = staticmethod(lib.context_remove_value)
    _keys_call = staticmethod(lib.context_keys)
    _apply_call = staticmethod(lib.context_apply)
    _compare_and_set_call = staticmethod(lib.context_compare_and_set)
    _pack = staticmethod(tiers.pack)

    def __getitem__(self, key):
        return _read.value_in(self._view(key))

    def stored(self, key):
        return _read.stored_in(self._view(key))

    stored.__doc__ = Namespace.stored.__doc__

    def _view(self, key):
        view = ValueView()
        self._call(lib.context_read, key, view)
        if view.value is None:
            raise KeyError(key)
        return view

    def clear(self):
        lib.context_clear_values(self._owner.pointer)


class Session(_OfStep):
    """Objects of this process: `ctx.session[key] is thing`. Only None, bool, numbers, str and bytes go by value. A
    snapshot keeps what pickles, as the session_pause_policy of the workflow says."""

    _set_call = staticmethod(lib.context_set_session)
    _has_call = staticmethod(lib.context_has_session)
    _remove_call = staticmethod(lib.context_remove_session)
    _keys_call = staticmethod(lib.context_session_keys)
    _pack = staticmethod(tiers.pack_atom)

    def _get(self, key):
        return self._call(lib.context_get_session, key)
