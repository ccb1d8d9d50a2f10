"""libblazen as C sees it: found, loaded, and every function with its signature.

Functions of blazen.h lose their prefix: `c.run_start` is blazen_run_start. Nothing here checks a status; see _calls.
"""

import ctypes
import ctypes.util
import os
import pathlib
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

ABI = 2

# ---- the types of blazen.h ----

STATUS = c_int32
HANDLE = c_void_p
TEXT = c_char_p  # going in, with a length beside it: NUL may stand in it

DROP_FN = CFUNCTYPE(None, c_void_p)
STEP_FN = CFUNCTYPE(STATUS, c_void_p, HANDLE, HANDLE, POINTER(HANDLE))
SERIALIZE_FN = CFUNCTYPE(STATUS, c_void_p, POINTER(HANDLE), POINTER(HANDLE))
DESERIALIZE_FN = CFUNCTYPE(STATUS, c_void_p, c_void_p, c_size_t, HANDLE, POINTER(HANDLE), POINTER(HANDLE))
INPUT_FN = CFUNCTYPE(STATUS, c_void_p, HANDLE, HANDLE, POINTER(HANDLE), POINTER(HANDLE))
DONE_FN = CFUNCTYPE(None, c_void_p, HANDLE, c_int32)
READY_FN = CFUNCTYPE(None, c_void_p)
CANCEL_FN = CFUNCTYPE(None, c_void_p)
ANSWER_FN = CFUNCTYPE(None, c_void_p, HANDLE, c_void_p, c_size_t, HANDLE)
THREAD_FN = CFUNCTYPE(None, c_void_p)
WAKE_FN = CFUNCTYPE(None, c_void_p)
POST_FN = CFUNCTYPE(STATUS, c_void_p, HANDLE)
CLOCK_FN = CFUNCTYPE(c_int64, c_void_p)
LOG_FN = CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_size_t)


class _Options(ctypes.Structure):
    """An option struct of blazen.h: it knows its size, and what is not named has the default."""

    def __init__(self, **fields):
        super().__init__(ctypes.sizeof(self), **fields)


class EventOptions(_Options):
    _fields_ = [("struct_size", c_size_t), ("correlation", TEXT), ("correlation_length", c_size_t)]


class SendOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("step", TEXT),
        ("step_length", c_size_t),
        ("delay_ms", c_int64),
        ("scope", c_uint64),
    ]


class LiveOptions(_Options):
    _fields_ = [("struct_size", c_size_t), ("drop", DROP_FN), ("serialize", SERIALIZE_FN)]


class RetryOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_attempts", c_uint32),
        ("jitter_percent", c_uint32),
        ("initial_delay_ms", c_int64),
        ("multiplier", c_double),
        ("max_delay_ms", c_int64),
        ("only", POINTER(c_int64)),
        ("only_count", c_size_t),
        ("never", POINTER(c_int64)),
        ("never_count", c_size_t),
    ]


class EventView(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("type", c_void_p),
        ("type_length", c_size_t),
        ("id", c_uint64),
        ("source", c_void_p),
        ("source_length", c_size_t),
        ("correlation", c_void_p),
        ("correlation_length", c_size_t),
        ("value", HANDLE),
        ("tag", c_int32),
        ("codec", c_void_p),
        ("codec_length", c_size_t),
        ("data", c_void_p),
        ("data_length", c_size_t),
        ("path", c_void_p),
        ("path_length", c_size_t),
        ("child_run_id", c_void_p),
        ("child_run_id_length", c_size_t),
    ]


class ValueView(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("value", HANDLE),
        ("tag", c_int32),
        ("codec", c_void_p),
        ("codec_length", c_size_t),
        ("data", c_void_p),
        ("data_length", c_size_t),
        ("version", c_uint64),
    ]


class JoinOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("of", TEXT),
        ("of_length", c_size_t),
        ("mode", c_int32),
        ("n", c_uint32),
        ("deadline_ms", c_int64),
        ("at_deadline", c_int32),
        ("cancel_rest", c_int32),
        ("ordered", c_int32),
        ("correlation", c_int32),
        ("empty", c_int32),
    ]


class JoinInfo(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("reason", c_int32),
        ("wanted", c_uint32),
        ("arrived", c_uint64),
        ("scope_id", c_uint64),
    ]


class Mapper(ctypes.Structure):
    _fields_ = [("body", STEP_FN), ("user_data", c_void_p), ("drop", DROP_FN), ("elsewhere", c_int32)]


class ChildOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("output_type", TEXT),
        ("output_type_length", c_size_t),
        ("input", Mapper),
        ("output", Mapper),
        ("first_success", c_int32),
    ]


class Branch(ctypes.Structure):
    _fields_ = [("name", TEXT), ("name_length", c_size_t), ("child", HANDLE), ("elsewhere", c_int32)]


class StageOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("condition", Mapper),
        ("input", Mapper),
        ("output", Mapper),
        ("until", Mapper),
        ("timeout_ms", c_int64),
        ("retry", POINTER(RetryOptions)),
        ("first_success", c_int32),
        ("done_at_bound", c_int32),
    ]


class Deserializer(ctypes.Structure):
    _fields_ = [
        ("label", TEXT),
        ("label_length", c_size_t),
        ("deserialize", DESERIALIZE_FN),
        ("user_data", c_void_p),
        ("drop", DROP_FN),
    ]


class RunOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("metadata", HANDLE),
        ("allow_changed_workflow", c_int32),
        ("deserializers", POINTER(Deserializer)),
        ("deserializer_count", c_size_t),
        ("unknown_label", c_int32),
        ("time_has_passed", c_int32),
        ("input", INPUT_FN),
        ("user_data", c_void_p),
        ("drop", DROP_FN),
        ("keep_paused", c_int32),
        ("run_id", TEXT),
        ("run_id_length", c_size_t),
        ("fork", c_int32),
    ]


class RuntimeOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("mode", c_int32),
        ("threads", c_uint32),
        ("user_data", c_void_p),
        ("drop", DROP_FN),
        ("attach", THREAD_FN),
        ("detach", THREAD_FN),
        ("wake", WAKE_FN),
        ("post", POST_FN),
        ("clock", CLOCK_FN),
        ("log", LOG_FN),
        ("log_level", c_int32),
        ("thread_stack_bytes", c_size_t),
        ("thread_name", TEXT),
        ("thread_name_length", c_size_t),
        ("threads_max", c_uint32),
    ]


class RuntimeCounters(_Options):
    NAMES = """created running waiting elsewhere paused asking completed failed cancelled
            events_routed queued in_flight abandoned threads threads_kept""".split()
    _fields_ = [("struct_size", c_size_t), *[(name, c_uint64) for name in NAMES]]


class Question(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("request_id", TEXT),
        ("request_id_length", c_size_t),
        ("prompt", TEXT),
        ("prompt_length", c_size_t),
        ("metadata", HANDLE),
        ("answered", ANSWER_FN),
        ("user_data", c_void_p),
        ("drop", DROP_FN),
        ("deadline_ms", c_int64),
        ("default_answer", HANDLE),
    ]


class StreamOptions(_Options):
    _fields_ = [
        ("struct_size", c_size_t),
        ("from_", c_uint64),
        ("types", POINTER(TEXT)),
        ("type_lengths", POINTER(c_size_t)),
        ("type_count", c_size_t),
        ("overflow", c_int32),
        ("capacity", c_uint64),
        ("lifecycle", c_int32),
        ("routed", c_int32),
        ("own_level", c_int32),
    ]


# ---- the functions of blazen.h, by their shape ----

# Those that can fail: what they take, and what they give. Each takes `blazen_error **` after both.
_NAMED = (TEXT, c_size_t)  # a text and its length
_DATA = (c_char_p, c_size_t)
FALLIBLE = {
    "value_json": (_NAMED, (HANDLE,)),
    "value_bytes": (_DATA, (HANDLE,)),
    "value_native": (_DATA + _NAMED, (HANDLE,)),
    "value_live_with": ((c_void_p,) + _NAMED + (POINTER(LiveOptions),), (HANDLE,)),
    "event_create": (_NAMED + (HANDLE, POINTER(EventOptions)), (HANDLE,)),
    "workflow_builder_create": (_NAMED, (HANDLE,)),
    "workflow_builder_add_step": ((HANDLE,) + _NAMED + _NAMED + (STEP_FN, c_void_p, DROP_FN), ()),
    "workflow_builder_add_elsewhere": ((HANDLE,) + _NAMED + _NAMED, ()),
    "workflow_builder_add_workflow": ((HANDLE,) + _NAMED + _NAMED + (HANDLE, POINTER(ChildOptions)), ()),
    "workflow_builder_add_workflows": (
        (HANDLE,) + _NAMED + _NAMED + (POINTER(Branch), c_size_t, POINTER(ChildOptions)),
        (),
    ),
    "workflow_builder_step_accepts": ((HANDLE,) + _NAMED + _NAMED, ()),
    "workflow_builder_step_emits": ((HANDLE,) + _NAMED + _NAMED, ()),
    "workflow_builder_step_max_concurrency": ((HANDLE,) + _NAMED + (c_uint32,), ()),
    "workflow_builder_step_timeout": ((HANDLE,) + _NAMED + (c_int64,), ()),
    "workflow_builder_step_abandoned": ((HANDLE,) + _NAMED + (c_int32,), ()),
    "workflow_builder_step_retry": ((HANDLE,) + _NAMED + (POINTER(RetryOptions),), ()),
    "workflow_builder_step_atomic": ((HANDLE,) + _NAMED + (c_int32,), ()),
    "workflow_builder_step_joins": ((HANDLE,) + _NAMED + (POINTER(JoinOptions),), ()),
    "workflow_builder_step_uses_pool": ((HANDLE,) + _NAMED + _NAMED, ()),
    "workflow_builder_set_timeout": ((HANDLE, c_int64), ()),
    "workflow_builder_set_session_on_pause": ((HANDLE, c_int32), ()),
    "workflow_builder_set_session_policy": ((HANDLE, c_int32), ()),
    "workflow_builder_set_unhandled": ((HANDLE, c_int32), ()),
    "workflow_builder_set_idle": ((HANDLE, c_int32), ()),
    "workflow_builder_set_limit": ((HANDLE, c_int32, c_uint64), ()),
    "workflow_builder_build": ((HANDLE,), (HANDLE,)),
    "pipeline_builder_create": (_NAMED, (HANDLE,)),
    "pipeline_builder_add_stage": ((HANDLE,) + _NAMED + (HANDLE, POINTER(StageOptions)), ()),
    "pipeline_builder_add_parallel": (
        (HANDLE,) + _NAMED + (POINTER(Branch), c_size_t, POINTER(StageOptions)),
        (),
    ),
    "pipeline_builder_add_loop": ((HANDLE,) + _NAMED + (HANDLE, c_uint32, POINTER(StageOptions)), ()),
    "pipeline_builder_add_parallel_loop": (
        (HANDLE,) + _NAMED + (POINTER(Branch), c_size_t, c_uint32, POINTER(StageOptions)),
        (),
    ),
    "pipeline_builder_set_timeout": ((HANDLE, c_int64), ()),
    "pipeline_builder_set_stage_timeout": ((HANDLE, c_int64), ()),
    "pipeline_builder_set_session_policy": ((HANDLE, c_int32), ()),
    "pipeline_builder_set_limit": ((HANDLE, c_int32, c_uint64), ()),
    "pipeline_builder_build": ((HANDLE,), (HANDLE,)),
    "workflow_describe": ((HANDLE,), (HANDLE,)),
    "workflow_draw": ((HANDLE, c_int32), (HANDLE,)),
    "runtime_create": ((POINTER(RuntimeOptions),), (HANDLE,)),
    "runtime_close": ((HANDLE,), ()),
    "runtime_close_within": ((HANDLE, c_int64), ()),
    "runtime_poll": ((HANDLE, c_uint64), (c_uint64,)),
    "runtime_poll_next": ((HANDLE, c_uint64), (c_uint64, c_int64)),
    "runtime_descriptor": ((HANDLE,), (c_int32,)),
    "runtime_next_timer": ((HANDLE,), (c_int64,)),
    "runtime_set_pool": ((HANDLE,) + _NAMED + (c_uint32,), ()),
    "runtime_count": ((HANDLE, POINTER(RuntimeCounters)), ()),
    "run_create": ((HANDLE, HANDLE, POINTER(RunOptions)), (HANDLE,)),
    "run_resume": ((HANDLE, HANDLE, HANDLE, POINTER(RunOptions)), (HANDLE,)),
    "run_start": ((HANDLE, HANDLE), ()),
    "run_close_within": ((HANDLE, c_int64), ()),
    "run_wait_until": ((HANDLE, c_uint32, c_int64), (c_int32,)),
    "run_on_state": ((HANDLE, c_uint32, DONE_FN, c_void_p, DROP_FN), ()),
    "run_result": ((HANDLE,), (HANDLE,)),
    "run_elsewhere": ((HANDLE,), (HANDLE,)),
    "run_dropped": ((HANDLE,), (HANDLE,)),
    "run_send_event": ((HANDLE, HANDLE, POINTER(SendOptions)), ()),
    "run_get_value": ((HANDLE,) + _NAMED, (HANDLE, c_uint64)),
    "run_keys": ((HANDLE,) + _NAMED, (HANDLE,)),
    "run_compare_and_set": ((HANDLE,) + _NAMED + (c_uint64, HANDLE), (c_uint64,)),
    "run_apply": ((HANDLE, HANDLE), ()),
    "run_stages": ((HANDLE,), (HANDLE,)),
    "run_child": ((HANDLE,) + _NAMED, (HANDLE,)),
    "run_cancel_invocation": ((HANDLE, c_uint64, c_int32), ()),
    "run_pause": ((HANDLE, c_int32), ()),
    "run_resume_in_place": ((HANDLE,), ()),
    "run_abort": ((HANDLE,), ()),
    "run_respond": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "run_respond_early": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "run_withdraw_question": ((HANDLE,) + _NAMED, ()),
    "run_fail_question": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "run_questions": ((HANDLE,), (HANDLE,)),
    "run_describe": ((HANDLE,), (HANDLE,)),
    "run_subscribe_with": ((HANDLE, POINTER(StreamOptions)), (HANDLE,)),
    "run_snapshot": ((HANDLE,), (HANDLE,)),
    "context_events": ((HANDLE,), (c_void_p, c_size_t)),  # an array of handles
    "context_join_info": ((HANDLE, POINTER(JoinInfo)), ()),
    "context_answer": ((HANDLE, HANDLE), ()),
    "context_collect": ((HANDLE,) + _NAMED + (POINTER(TEXT), POINTER(c_size_t), POINTER(c_uint32), c_size_t), ()),
    "context_emit_event": ((HANDLE, HANDLE, POINTER(SendOptions)), ()),
    "context_send_event": ((HANDLE, HANDLE, POINTER(SendOptions)), ()),
    "context_retry_after": ((HANDLE, c_int64), ()),
    "context_on_cancel": ((HANDLE, CANCEL_FN, c_void_p, DROP_FN), ()),
    "context_cancel_descriptor": ((HANDLE,), (c_int32,)),
    "context_ask": ((HANDLE, POINTER(Question)), (HANDLE,)),
    "context_progress": ((HANDLE,) + _NAMED + (c_uint64, c_uint64), ()),
    "context_publish": ((HANDLE, HANDLE), ()),
    "context_set_value": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "context_get_value": ((HANDLE,) + _NAMED, (HANDLE, c_uint64)),
    "context_read": ((HANDLE,) + _NAMED + (POINTER(ValueView),), ()),
    "context_has_value": ((HANDLE,) + _NAMED, (c_int32,)),
    "context_remove_value": ((HANDLE,) + _NAMED, (c_int32,)),
    "context_keys": ((HANDLE,) + _NAMED, (HANDLE,)),
    "context_clear_values": ((HANDLE,), ()),
    "context_compare_and_set": ((HANDLE,) + _NAMED + (c_uint64, HANDLE), (c_uint64,)),
    "context_apply": ((HANDLE, HANDLE), ()),
    "context_set_session": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "context_get_session": ((HANDLE,) + _NAMED, (HANDLE,)),
    "context_has_session": ((HANDLE,) + _NAMED, (c_int32,)),
    "context_remove_session": ((HANDLE,) + _NAMED, (c_int32,)),
    "context_session_keys": ((HANDLE,) + _NAMED, (HANDLE,)),
    "batch_create": ((), (HANDLE,)),
    "batch_set": ((HANDLE,) + _NAMED + (HANDLE,), ()),
    "batch_remove": ((HANDLE,) + _NAMED, ()),
    "batch_expect": ((HANDLE,) + _NAMED + (c_uint64,), ()),
    "context_defer": ((HANDLE,), (HANDLE,)),
    "invocation_complete": ((HANDLE,), ()),
    "invocation_fail": ((HANDLE, HANDLE), ()),
    "stream_next": ((HANDLE, c_int64), (HANDLE, c_uint64)),
    "stream_on_ready": ((HANDLE, READY_FN, c_void_p, DROP_FN), ()),
    "stream_close": ((HANDLE,), ()),
    "snapshot_parse": (_DATA, (HANDLE,)),
    "snapshot_info": ((HANDLE,), (HANDLE,)),
}

# Those that cannot: what they answer, and what they take.
_SIZE_OUT = POINTER(c_size_t)
INFALLIBLE = {
    "abi": (c_uint32, ()),
    "version": (c_char_p, ()),
    "has_feature": (c_int32, _NAMED),
    "error_host": (STATUS, (c_int64,) + _NAMED + (HANDLE, POINTER(HANDLE))),
    "error_status": (STATUS, (HANDLE,)),
    "error_host_code": (c_int64, (HANDLE,)),
    "error_attempt": (c_uint32, (HANDLE,)),
    "error_offset": (c_uint64, (HANDLE,)),
    "error_detail": (HANDLE, (HANDLE,)),
    "error_cause": (HANDLE, (HANDLE,)),
    "value_tag": (c_int32, (HANDLE,)),
    "value_object": (c_void_p, (HANDLE,)),
    "event_read": (c_int32, (HANDLE, POINTER(EventView))),
    "task_run": (None, (HANDLE,)),
    "task_cancel": (None, (HANDLE,)),
    "run_state_now": (c_int32, (HANDLE,)),
    "run_metadata": (HANDLE, (HANDLE,)),
    "context_run": (HANDLE, (HANDLE,)),
    "context_invocation_id": (c_uint64, (HANDLE,)),
    "context_attempt": (c_uint32, (HANDLE,)),
    "context_scope_id": (c_uint64, (HANDLE,)),
    "context_is_cancelled": (c_int32, (HANDLE,)),
    "invocation_event": (HANDLE, (HANDLE,)),
    "keys_count": (c_size_t, (HANDLE,)),
    "keys_at": (c_void_p, (HANDLE, c_size_t, _SIZE_OUT)),
    "snapshot_metadata": (HANDLE, (HANDLE,)),
}
# Those that hand out a text or data, whose length they set.
for _name in """error_message error_step value_data value_codec
        workflow_fingerprint run_id context_run_id context_workflow_name context_step_name snapshot_data""".split():
    INFALLIBLE[_name] = (c_void_p, (HANDLE, _SIZE_OUT))
for _noun in """error value event workflow_builder pipeline_builder workflow
        runtime run keys batch invocation stream snapshot""".split():
    INFALLIBLE[_noun + "_release"] = (None, (HANDLE,))
for _noun in "value run".split():
    INFALLIBLE[_noun + "_retain"] = (HANDLE, (HANDLE,))


# ---- finding and loading ----


def _find():
    """The path of the library: what BLAZEN_LIBRARY says, else the release build of this tree, else the system's."""
    named = os.environ.get("BLAZEN_LIBRARY")
    if named:
        return named
    for tree in pathlib.Path(__file__).resolve().parents:
        built = tree / "build" / "release" / "libblazen.so"
        if built.exists():
            return str(built)
    installed = ctypes.util.find_library("blazen")
    if installed:
        return installed
    raise ImportError("libblazen was not found: build it, or set BLAZEN_LIBRARY to the path of its shared library")


def _load(path):
    try:
        library = ctypes.CDLL(path)
        answer = library.blazen_abi()
    except (OSError, AttributeError) as failure:
        raise ImportError(f"{path} cannot be loaded as libblazen: {failure}") from failure
    if answer != ABI:
        raise ImportError(f"{path} has ABI {answer}; this binding is made for ABI {ABI}")
    return library


class _Functions:
    """One attribute for each function of the tables above."""

    def __init__(self, library):
        for name, (takes, gives) in FALLIBLE.items():
            outputs = tuple(POINTER(kind) for kind in gives)
            self._declare(library, name, STATUS, takes + outputs + (POINTER(HANDLE),))
        for name, (answers, takes) in INFALLIBLE.items():
            self._declare(library, name, answers, takes)

    def _declare(self, library, name, answers, takes):
        function = getattr(library, "blazen_" + name)
        function.restype = answers
        function.argtypes = takes
        setattr(self, name, function)


c = _Functions(_load(_find()))


def version():
    """The version of the library: "0.2.0"."""
    return c.version().decode()


def has_feature(feature):
    """Whether the library has a feature, such as "threads"."""
    name = feature.encode()
    return bool(c.has_feature(name, len(name)))
