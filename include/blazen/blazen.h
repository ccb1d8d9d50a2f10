/*
 * blazen.h - an event-driven workflow engine behind a stable C ABI.
 *
 * A workflow is a set of steps wired by the types of the events they take and give. A run of it has a context
 * (persistent state, live session), publishes a stream, can be snapshotted to CBOR at any instant, and goes on from
 * those bytes in another process and another language with nothing lost.
 *
 * The order below follows the flow of data: error, value, event, workflow, runtime, run, context, invocation, stream,
 * snapshot. Creation opens a section, release ends it.
 *
 * The laws
 *
 *  1. Handles are opaque and reference-counted. `_retain` gives one more reference, `_release` takes one back; release
 *     takes NULL and never fails. Handles may be released in any order: children keep their parents alive. A call needs
 *     the handles it was given when it begins, and keeps what it needs until it returns: a callback may release them.
 *  2. Text is UTF-8, given as pointer and length; no call needs a terminating NUL. Every text handed out has one
 *     anyway, except the body of an adopted value, which is handed out exactly as it came.
 *  3. A call that can fail returns a blazen_status and takes `blazen_error **error` last. NULL there means that the
 *     details are not wanted; otherwise it is set on failure only, and the caller releases it. Outputs are written on
 *     success only. There is no last error of a thread and no global state. A getter cannot fail: given NULL or
 *     another kind of handle, it answers the neutral value that its comment names.
 *  4. A callback has `void *user_data` and `blazen_drop_fn drop`. user_data is never looked into. drop (NULL: none
 *     wanted) runs exactly once: after the last call that could use user_data, and also when the registration fails.
 *  5. When a close call has returned, no callback of that object runs any more; what was pending got
 *     BLAZEN_ERROR_CANCELLED.
 *  6. No lock is held while a callback runs, a drop included; the clock (blazen_clock_fn) alone may be asked under one,
 *     and so must not call this library. `thread: any` calls may be made from inside the other callbacks too;
 *     `thread: outside` calls answer BLAZEN_ERROR_WRONG_PLACE there; `thread: step` calls belong to the body of a step,
 *     or to whoever holds its invocation, one thread at a time.
 *  7. A borrowed pointer lives until the owner named in the comment is released; nothing else ends it.
 *  8. Option structs start with struct_size; a zeroed rest means the defaults. Enums are 32 bits wide, open (a newer
 *     library may answer a number that you do not know) and never renumbered.
 *  9. No exception, signal or longjmp crosses the boundary in either direction. A host's own failure travels as
 *     BLAZEN_ERROR_HOST with the host's code, message and detail value, and comes out as it went in. Nor does the end of
 *     a thread: one that is ended inside a callback (pthread_exit, pthread_cancel, an interpreter that ends its daemon
 *     threads when it exits) takes the process with it ("exception not rethrown"). So a binding calls
 *     blazen_runtime_close for each of its runtimes before its interpreter goes, while callbacks can still return.
 * 10. Nothing here is variadic, inline only, a bit-field, a `long` or a `FILE *`.
 *
 * The tags: each declaration ends with one line [own: ... | thread: ... | block: ... | calls: ... | since: ...].
 *   own     for each pointer, which one it is: `in` (the library reads it during the call), `keep` (the library has it
 *           from now on, also when the call fails), `out` (the caller owns it and releases it), `borrow X` (valid while
 *           X is). `error` is always out. A `?` behind it: NULL may stand there (for a text or bytes: where the length is
 *           0), beside what laws 1 and 3 allow. The comment of a pointer in a struct begins with its word.
 *   thread  any | outside | step, as in law 6.
 *   block   no | yes (until the deadline, or for as long as the comment says).
 *   calls   which code of the host can run in the calling thread before the call returns: none; `drop`, drops alone; or
 *           `host`, any callback (steps, clock, log, wake, post, input, done, ready, cancel, answer, serializers, write,
 *           drops).
 *           Who binds a call by a fast path needs it: LuaJIT's compiled calls, the JVM's critical ones, cgo's
 *           nocallback, Haskell's unsafe, OCaml's noalloc. Engine threads call at any time. What is no function says none.
 *   since   the version that brought it.
 */
#ifndef BLAZEN_BLAZEN_H
#define BLAZEN_BLAZEN_H

#ifndef BLAZEN_BARE
#include <stddef.h>
#include <stdint.h>
#endif

/* BLAZEN_API marks what the library exports. With BLAZEN_BARE defined, every macro of decoration is empty and nothing is
 * included, for parsers that know C but no compiler. */
#if defined(BLAZEN_BARE) || defined(BLAZEN_STATIC)
#define BLAZEN_API
#elif defined(_WIN32)
#ifdef BLAZEN_BUILDING
#define BLAZEN_API __declspec(dllexport)
#else
#define BLAZEN_API __declspec(dllimport)
#endif
#else
#define BLAZEN_API __attribute__((visibility("default")))
#endif

#ifndef BLAZEN_BARE
/** A text literal as the two arguments that calls take: blazen_value_json(BLAZEN_TEXT("[1]"), &value, &error).
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_TEXT(literal) (literal), (sizeof(literal) - 1)
#ifdef __cplusplus
extern "C" {
#endif
#endif

/** The version that this header describes; blazen_version() answers the library's.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_VERSION "0.2.0"
/** The same as numbers, for #if: BLAZEN_VERSION_NUMBER is major * 10000 + minor * 100 + patch.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_VERSION_MAJOR 0
#define BLAZEN_VERSION_MINOR 2
#define BLAZEN_VERSION_PATCH 0
#define BLAZEN_VERSION_NUMBER 200
/** The ABI number that this header describes; blazen_abi() answers the library's.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum { BLAZEN_ABI = 2 };

/** The event that starts every run: its value is the run's input.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_START_EVENT "blazen::StartEvent"
/** The event that ends a run: its value, of any tag, is the result. The first one wins.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_STOP_EVENT "blazen::StopEvent"
/** A step that emits or sends one asks a human: {"request_id", "prompt", "metadata"}, all of them optional. It is published
 * on the stream with its id (one is made where it has none), and the run waits for blazen_run_respond; other branches go on.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_INPUT_REQUEST_EVENT "blazen::InputRequestEvent"
/** The answer to it, for whoever accepts it: {"request_id", "response"}; an answer that is not JSON is the value itself.
 * Its correlation is the request_id.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_INPUT_RESPONSE_EVENT "blazen::InputResponseEvent"
/** A step has failed for good, for whoever accepts it: {"step", "attempt", "invocation_id", "event_type", "status",
 * "message", "host_code", "detail", "cause": {"status", "message", "host_code", "step", "attempt", "cause"}}, where there
 * are these; of a step that is a workflow, which of its steps has failed is "inner_step", with its "inner_attempt". In place
 * of a detail that is no JSON, or too deep or long to stand inside another value, {"detail_omitted": why}. Where nobody
 * accepts it, or where that step fails too, the run fails.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_STEP_FAILED_EVENT "blazen::StepFailedEvent"
/** What a join is invoked with where nothing has arrived: JSON null. No step needs to accept it.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_EMPTY_JOIN_EVENT "blazen::EmptyJoinEvent"
/** The last item of every stream, on every path.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_STREAM_END "blazen::StreamEnd"
/** On a stream, in place of items that this subscriber was too slow or too late for: {"missed": n} counts the items of the
 * run in between, of every type; {"missed": n, "lifecycle_missed": m} where lifecycle and progress items were lost too.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_STREAM_GAP "blazen::StreamGap"
/** On the stream: what happened to the run itself: {"kind": ..., ...}, with these members beside it.
 *
 *   kind            members                                                   what happened
 *   send_changed    invocation_id, position                                   a repeated send has another payload
 *   send_diverged   invocation_id, position; of a question, request_id and    a repeated body sends or asks something else
 *                   instead_of as well, or in place of the position
 *   event_routed    step_name (where it was sent to that step alone),         an event was routed
 *                   event_type
 *   step_started    step_name, event_type, invocation_id, attempt             a body is about to be called
 *   step_completed  those of step_started, duration_ms                        the attempt is done
 *   step_failed     those of step_started, duration_ms, error (the message)   the attempt has failed
 *   step_retrying   those of step_started                                     it failed, and attempt is the one to come
 *   late            step_name (the join), event_type, event_id, scope_id      an event has come after its join was invoked,
 *                                                                             or of an opener whose scope was cancelled: it
 *                                                                             is dropped
 *   run_paused      none                                                      the pause is complete
 *   run_resumed     none                                                      the pause is over: blazen_run_resume_in_place, or
 *                                                                             the start of a resumed run
 *
 * send_changed and send_diverged go to every subscriber, and are numbered. They speak of what a body sends or publishes
 * when it is called again, compared with what it did before at the same position (from 0). The same kind, type and target
 * is the repetition, and has no effect: the first one counts, and send_changed says that the payload (tag, codec, bytes,
 * correlation, delay) is another now. Another kind, type or target, or an InputRequestEvent that asks something else,
 * counts as well, and send_diverged says so. Where a question took the place of another, what was open under instead_of
 * is withdrawn.
 *
 * The others go to those with blazen_stream_options.lifecycle alone, and are not numbered; duration_ms is there where
 * somebody listened from the start of the step on.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_LIFECYCLE "blazen::lifecycle"
/** On the streams with blazen_stream_options.lifecycle, what blazen_context_progress reports: {"kind": "step", "current": n,
 * "total": n, "percent": x, "label": ..., "run_id": ...}; without total and percent where the total is not known.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_PROGRESS "blazen::ProgressEvent"

/** The events above by number, for blazen_event_name: a parser without a preprocessor gets their names from there.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_known_event;
/** The values of blazen_known_event.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_EVENT_START = 1,          /**< BLAZEN_START_EVENT, and so on */
    BLAZEN_EVENT_STOP = 2,
    BLAZEN_EVENT_INPUT_REQUEST = 3,
    BLAZEN_EVENT_INPUT_RESPONSE = 4,
    BLAZEN_EVENT_STEP_FAILED = 5,
    BLAZEN_EVENT_STREAM_END = 6,
    BLAZEN_EVENT_STREAM_GAP = 7,
    BLAZEN_EVENT_LIFECYCLE = 8,
    BLAZEN_EVENT_PROGRESS = 9,
    BLAZEN_EVENT_EMPTY_JOIN = 10
};

/** No deadline, where a call takes timeout_ms.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum { BLAZEN_FOREVER = -1 };

/** Bounds that are the same for everybody. Past one, a call answers BLAZEN_ERROR_LIMIT and names the bound.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_NAME_BYTES_MAX = 1024,            /**< a name, an event type, a key, a codec, a correlation id. None has a NUL (a
                                                terminator that was counted in), but for the inside of a key */
    BLAZEN_VALUE_BYTES_MAX = 0x40000000,     /**< a value: 1 GiB */
    BLAZEN_JSON_DEPTH_MAX = 512,             /**< arrays and objects inside one another; 504 in a question and in an answer */
    BLAZEN_STEPS_MAX = 4096,                 /**< steps of one workflow */
    BLAZEN_ACCEPTS_MAX = 4096,               /**< event types that the steps of one workflow accept or emit */
    BLAZEN_CHILD_DEPTH_MAX = 256,            /**< workflows inside one another; since 0.2 */
    BLAZEN_POOLS_MAX = 64,                   /**< pools that the steps of one workflow use; since 0.2 */
    BLAZEN_STEP_TIMEOUT_MS_MAX = 2147483647, /**< a time-out of a step: 24 days */
    BLAZEN_ATTEMPTS_MAX = 1000000,           /**< attempts of one invocation */
    BLAZEN_DESERIALIZERS_MAX = 4096          /**< deserializers of one blazen_run_resume */
};
/** The bound of every other time-out, and of a delay: a hundred years. No int holds it everywhere.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_TIME_MS_MAX 3155760000000

/* ---------------------------------------------------------------------------------------------------------- status */

/** How a call ended: BLAZEN_OK, or one of the numbers below.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_status;

/** The values of blazen_status. Stored in snapshots: never renumbered. BLAZEN_ERROR_STALLED, BLAZEN_ERROR_RUN_TIMEOUT, and
 * BLAZEN_ERROR_TIMEOUT after a wait, say what the run had open; their detail is what blazen_run_describe said then (of a run
 * that has ended, without its id, dates and ages).
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_OK = 0,
    BLAZEN_PENDING = 1,                  /**< a step completes later, or a question is not answered yet */

    /* The call itself was wrong. Nothing has changed. */
    BLAZEN_ERROR_INVALID_ARGUMENT = 100, /**< NULL, empty, negative or unknown; the message names the argument */
    BLAZEN_ERROR_WRONG_HANDLE = 101,     /**< a handle of another kind, or one already released */
    BLAZEN_ERROR_INVALID_UTF8 = 102,     /**< blazen_error_offset is the byte at fault */
    BLAZEN_ERROR_INVALID_JSON = 103,     /**< blazen_error_offset is the byte at fault */
    BLAZEN_ERROR_WRONG_TAG = 104,        /**< a value with this tag cannot stand here */
    BLAZEN_ERROR_WRONG_PLACE = 105,      /**< not from inside a callback, or only from there */
    BLAZEN_ERROR_WRONG_STATE = 106,      /**< too early, too late, or twice */
    BLAZEN_ERROR_NOT_FOUND = 107,        /**< no step of that name, or none that accepts the event */
    BLAZEN_ERROR_CONFLICT = 108,         /**< compare-and-set: the key has another version */
    BLAZEN_ERROR_INVALID_WORKFLOW = 109, /**< a workflow that could never work; the message says why */

    /* The world was wrong. */
    BLAZEN_ERROR_OUT_OF_MEMORY = 200,
    BLAZEN_ERROR_LIMIT = 201,            /**< a bound was reached; the message names it */
    BLAZEN_ERROR_TIMEOUT = 202,          /**< the deadline of this call passed; the run goes on */
    BLAZEN_ERROR_CANCELLED = 203,        /**< the run, or its runtime, was closed or has already ended */
    BLAZEN_ERROR_SYSTEM = 204,           /**< the operating system refused; host_code is its errno */
    BLAZEN_ERROR_INTERNAL = 205,         /**< a defect of this library: please report it */

    /* How a run ends without a result. */
    BLAZEN_ERROR_HOST = 300,             /**< the host's own failure, as it gave it */
    BLAZEN_ERROR_STEP_FAILED = 301,      /**< step and attempt say which; cause is what the step said */
    BLAZEN_ERROR_NO_HANDLER = 302,       /**< an event that no step accepts */
    BLAZEN_ERROR_STALLED = 303,          /**< nothing queued, running or awaited, and no StopEvent */
    BLAZEN_ERROR_RUN_TIMEOUT = 304,      /**< the time of the run is up */
    BLAZEN_ERROR_STEP_TIMEOUT = 305,     /**< the time of an attempt of a step is up */
    BLAZEN_ERROR_ABORTED = 306,          /**< blazen_run_abort */

    /* A snapshot that is not taken, or not resumed. */
    BLAZEN_ERROR_NOT_SERIALIZABLE = 400, /**< LIVE values that it cannot keep, or make again; the message names them */
    BLAZEN_ERROR_SNAPSHOT_INVALID = 401, /**< truncated, altered or hostile; offset is the byte at fault */
    BLAZEN_ERROR_SNAPSHOT_NEWER = 402,   /**< of a format that this library does not know yet */
    BLAZEN_ERROR_SNAPSHOT_MISMATCH = 403 /**< of another workflow, or one that lacks a step */
};

/* ----------------------------------------------------------------------------------------------------------- types */

/** Opaque handles. All but blazen_context and blazen_task are counted.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_error blazen_error;
typedef struct blazen_value blazen_value;
typedef struct blazen_event blazen_event;
typedef struct blazen_workflow_builder blazen_workflow_builder;
typedef struct blazen_pipeline_builder blazen_pipeline_builder;
typedef struct blazen_workflow blazen_workflow;
typedef struct blazen_runtime blazen_runtime;
typedef struct blazen_task blazen_task;
typedef struct blazen_run blazen_run;
typedef struct blazen_context blazen_context;
typedef struct blazen_keys blazen_keys;
typedef struct blazen_batch blazen_batch;
typedef struct blazen_invocation blazen_invocation;
typedef struct blazen_stream blazen_stream;
typedef struct blazen_snapshot blazen_snapshot;

/** Ends the host's interest in user_data (law 4).
 * [own: user_data keep | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_drop_fn)(void *user_data);

/** Is the body of a step: it reads the event, works through the context, and answers
 *   BLAZEN_OK        the step is done: what it emitted is routed, in order
 *   BLAZEN_PENDING   after blazen_context_defer: it completes later; after blazen_context_ask: it is called again with
 *                    the answer
 *   any other        the step has failed; *error, where it is set, says why
 * A call that failed inside may be passed on as it is: `return blazen_context_emit_json(context, ..., error);`
 * [own: user_data borrow the workflow, context borrow this call, event borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_step_fn)(void *user_data, blazen_context *context, const blazen_event *event,
                                        blazen_error **error);

/* ----------------------------------------------------------------------------------------------------------- error */

/** Makes a failure of the host's own, for a step to return: its code, message and detail value, which may be LIVE (the
 * caller of the run gets the very same object back). Answers BLAZEN_ERROR_HOST, so that a step can say
 * `return blazen_error_host(7, BLAZEN_TEXT("disk is gone"), NULL, error);`. A message that is not UTF-8 costs
 * neither code nor detail: each bad sequence becomes U+FFFD, the message says so at its end, and blazen_error_offset is
 * the byte at fault.
 * [own: message in?, detail in? | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_error_host(int64_t host_code, const char *message, size_t message_length,
                                           blazen_value *detail, blazen_error **error);

/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: error in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_error *blazen_error_retain(const blazen_error *error);
/** Takes one reference back.
 * [own: error keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_error_release(blazen_error *error);

/** Says which error it is. BLAZEN_OK for NULL.
 * [own: error in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_error_status(const blazen_error *error);
/** Says what went wrong, and what to do, for people. Never NULL.
 * [own: error in, length out?, return borrow error | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_error_message(const blazen_error *error, size_t *length);
/** Gives the host's own code, as the host gave it; 0 where there is none.
 * [own: error in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API int64_t blazen_error_host_code(const blazen_error *error);
/** Names the step that failed, or that sent the event; NULL where no step has to do with it.
 * [own: error in, length out?, return borrow error | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_error_step(const blazen_error *error, size_t *length);
/** Says which attempt of that step it was, from 1; 0 where there is none.
 * [own: error in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API uint32_t blazen_error_attempt(const blazen_error *error);
/** Gives the place of the byte at fault in the text or the blob that was given, from 0; UINT64_MAX where there is none.
 * [own: error in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API uint64_t blazen_error_offset(const blazen_error *error);
/** Gives the detail value that the host gave: of this error, or else of the first of its causes that has one. NULL where
 * there is none.
 * [own: error in, return borrow error | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_error_detail(const blazen_error *error);
/** Gives the error that led to this one; NULL where there is none.
 * [own: error in, return borrow error | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_error *blazen_error_cause(const blazen_error *error);
/** All of an error at once, as the getters above give it one by one. The texts and handles live as long as the error.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_error_view {
    size_t struct_size;
    blazen_status status;
    uint32_t attempt;
    int64_t host_code;
    uint64_t offset;
    const char *message; /**< borrow */
    size_t message_length;
    const char *step; /**< borrow?: NULL: no step has to do with it */
    size_t step_length;
    blazen_value *detail; /**< borrow?: NULL: there is none */
    blazen_error *cause; /**< borrow */  /**< NULL: nothing lies beneath */
} blazen_error_view;
/** Its beginning: `blazen_error_view x = BLAZEN_ERROR_VIEW_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_ERROR_VIEW_INIT { sizeof(blazen_error_view), 0, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL }
/** Sets struct_size (give sizeof *view) and zeroes the rest.
 * [own: view out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_error_view_init(blazen_error_view *view, size_t struct_size);
/** Fills the fields that the view has room for; set struct_size before, once for all its uses. Answers 1; or 0, and leaves the
 * view as it is, for NULL, another kind of handle, or a struct_size that is none.
 * [own: error in, view out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API int32_t blazen_error_read(const blazen_error *error, blazen_error_view *view);
/** Gives the name of a status, such as "BLAZEN_ERROR_STALLED"; "BLAZEN_UNKNOWN" for a number that this library does not
 * know.
 * [own: return borrow the library | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_status_name(blazen_status status);

/* ----------------------------------------------------------------------------------------------------------- value */

/** The tag of a value. Stored in snapshots: never renumbered.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_tag;
/** The values of blazen_tag.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_TAG_NONE = 0,   /**< no value at all */
    BLAZEN_TAG_JSON = 1,   /**< JSON text, kept byte for byte as it was given */
    BLAZEN_TAG_BYTES = 2,  /**< any bytes */
    BLAZEN_TAG_NATIVE = 3, /**< opaque bytes of one platform's serializer, with a codec such as "python/pickle" */
    BLAZEN_TAG_LIVE = 4    /**< an object of this process; identity is kept, and a snapshot can hold what it serializes to.
                              The library's references are hidden from a garbage collector: one that leads back to a
                              run keeps both */
};

/** Makes a value of JSON text. The text is checked here, once: grammar, UTF-8, depth; the numbers in it are never
 * reinterpreted. The bytes given are copied. Values are immutable, and any thread may use them.
 * [own: text in, value out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_value_json(const char *text, size_t text_length, blazen_value **value,
                                           blazen_error **error);
/** Makes a value of any bytes, which are copied.
 * [own: data in?, value out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_value_bytes(const void *data, size_t data_length, blazen_value **value,
                                            blazen_error **error);
/** Makes a value of the bytes of a platform's own serializer, which are copied. codec names the serializer; it may be empty.
 * Nobody but the platform that made the bytes looks into them.
 * [own: data in?, codec in?, value out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_value_native(const void *data, size_t data_length, const char *codec,
                                             size_t codec_length, blazen_value **value, blazen_error **error);
/** Makes a value that stands for an object of the host. drop(object) runs once, when nothing refers to the value any more.
 * label names the type of the object; it may be empty.
 * [own: object keep?, label in?, value out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_value_live(void *object, const char *label, size_t label_length, blazen_drop_fn drop,
                                           blazen_value **value, blazen_error **error);
/** Gives what a snapshot keeps of a LIVE object. It is called on the thread that takes the snapshot. Steps, or other
 * snapshots, may be using the object: lock it. The same object should give the same value: a snapshot has the same bytes
 * then. Answers:
 *   BLAZEN_OK        *value is what is kept, of tag JSON, BYTES or NATIVE
 *   any other        the object cannot be kept; *error, where it is set, says why
 * [own: object borrow the value, value out | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_serialize_fn)(void *object, blazen_value **value, blazen_error **error);

/** What belongs to a LIVE object.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_live_options {
    size_t struct_size;
    blazen_drop_fn drop;           /**< drop(object), as in blazen_value_live */
    blazen_serialize_fn serialize; /**< NULL: no snapshot can keep it */
} blazen_live_options;
/** The defaults, to begin with: `blazen_live_options x = BLAZEN_LIVE_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_LIVE_OPTIONS_INIT { sizeof(blazen_live_options), NULL, NULL }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_live_options_init(blazen_live_options *options, size_t struct_size);

/** Does what blazen_value_live does, with options. In another process, the deserializer of that label makes the object again
 * (blazen_run_options).
 * [own: object keep?, label in?, options in?, value out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_value_live_with(void *object, const char *label, size_t label_length,
                                                const blazen_live_options *options, blazen_value **value,
                                                blazen_error **error);
/** Makes a value of tag JSON, BYTES or NATIVE without a copy: data has to stay where it is, and as it is, until
 * drop(user_data) is called.
 * [own: data keep?, codec in?, user_data keep?, value out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_value_adopt(blazen_tag tag, const void *data, size_t data_length, const char *codec,
                                            size_t codec_length, void *user_data, blazen_drop_fn drop,
                                            blazen_value **value, blazen_error **error);

/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: value in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_value_retain(const blazen_value *value);
/** Takes one reference back. The last one ends the value, and runs the drop that it was made with.
 * [own: value keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_value_release(blazen_value *value);

/** Gives the tag of a value; BLAZEN_TAG_NONE for NULL or another kind of handle.
 * [own: value in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_tag blazen_value_tag(const blazen_value *value);
/** Gives the JSON text or the bytes, without a copy. NULL for LIVE, NULL and other handles; *length is then 0.
 * [own: value in, length out?, return borrow value | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const void *blazen_value_data(const blazen_value *value, size_t *length);
/** Gives the codec of a NATIVE value, or the label of a LIVE one; "" where it has none.
 * [own: value in, length out?, return borrow value | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_value_codec(const blazen_value *value, size_t *length);
/** Gives the object of a LIVE value: the very pointer that was given. NULL for every other value.
 * [own: value in, return borrow value | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void *blazen_value_object(const blazen_value *value);
/** What a value was made of, where it was made with exactly this drop: the object of a LIVE value, the user_data of an adopted
 * one. NULL for every other, for drop NULL, and for another kind of handle. So a binding knows its own objects among those of
 * other bindings in this process, and casts no pointer that it did not give.
 * [own: value in, return borrow value | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void *blazen_value_object_of(const blazen_value *value, blazen_drop_fn drop);
/** A value of the state of a run: see blazen_context_read.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_value_view {
    size_t struct_size;
    blazen_value *value; /**< borrow?: NULL: there is no such key, and all the rest is zero */
    blazen_tag tag;
    const char *codec; /**< borrow */
    size_t codec_length;
    const void *data; /**< borrow */
    size_t data_length;
    uint64_t version; /**< for blazen_context_compare_and_set */
} blazen_value_view;
/** Its beginning: `blazen_value_view x = BLAZEN_VALUE_VIEW_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_VALUE_VIEW_INIT { sizeof(blazen_value_view), NULL, 0, NULL, 0, NULL, 0, 0 }
/** Sets struct_size (give sizeof *view) and zeroes the rest.
 * [own: view out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_value_view_init(blazen_value_view *view, size_t struct_size);

/* ----------------------------------------------------------------------------------------------------------- event */

/** What an event can carry beside its type and value.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_event_options {
    size_t struct_size;
    const char *correlation; /**< in?: an id that ties it to others; NULL: none */
    size_t correlation_length;
} blazen_event_options;
/** The defaults, to begin with: `blazen_event_options x = BLAZEN_EVENT_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_EVENT_OPTIONS_INIT { sizeof(blazen_event_options), NULL, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_event_options_init(blazen_event_options *options, size_t struct_size);

/** Makes an event of a type name and a value (NULL: JSON null). It is immutable, and may be sent more than once: what a step
 * receives is its own event, with an id.
 * [own: type in, value in?, options in?, event out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_event_create(const char *type, size_t type_length, blazen_value *value,
                                             const blazen_event_options *options, blazen_event **event,
                                             blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: event in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_event *blazen_event_retain(const blazen_event *event);
/** Takes one reference back.
 * [own: event keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_event_release(blazen_event *event);
/** Gives the type name; NULL for NULL or another kind of handle.
 * [own: event in, length out?, return borrow event | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_event_type(const blazen_event *event, size_t *length);
/** Gives the value; NULL for NULL or another kind of handle, never for an event.
 * [own: event in, return borrow event | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_event_value(const blazen_event *event);
/** Gives the id of the event, which counts the events of its run from 1; 0 where it was not sent yet.
 * [own: event in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API uint64_t blazen_event_id(const blazen_event *event);
/** Names the step that made the event; NULL where it came from outside.
 * [own: event in, length out?, return borrow event | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_event_source(const blazen_event *event, size_t *length);
/** Gives the correlation id of the event; NULL where there is none.
 * [own: event in, length out?, return borrow event | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_event_correlation(const blazen_event *event, size_t *length);
/** All of an event and its value at once, as the getters give it one by one. Everything lives as long as the event.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_event_view {
    size_t struct_size;
    const char *type; /**< borrow */
    size_t type_length;
    uint64_t id;
    const char *source; /**< borrow?: NULL: it came from outside */
    size_t source_length;
    const char *correlation; /**< borrow?: NULL: there is none */
    size_t correlation_length;
    blazen_value *value; /**< borrow */
    blazen_tag tag;
    const char *codec; /**< borrow */
    size_t codec_length;
    const void *data; /**< borrow?: NULL: LIVE */
    size_t data_length;
    const char *path; /**< borrow?: of an item of a run inside the run whose stream it is, the steps that host one another down
                         to that: a JSON array of {step, invocation_id, branch (where there are several), run_id}. source has
                         them as a text, before the step: "outer#7/inner". NULL: it is the run's own. Since 0.2 */
    size_t path_length;
    const char *child_run_id; /**< borrow?: the id of that run, for blazen_run_child; NULL as path is. Since 0.2 */
    size_t child_run_id_length;
} blazen_event_view;
/** Its beginning: `blazen_event_view x = BLAZEN_EVENT_VIEW_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_EVENT_VIEW_INIT { sizeof(blazen_event_view), NULL, 0, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0 }
/** Sets struct_size (give sizeof *view) and zeroes the rest.
 * [own: view out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_event_view_init(blazen_event_view *view, size_t struct_size);
/** Fills the fields that the view has room for; set struct_size before, once for all its uses. Answers 1; or 0, and leaves the
 * view as it is, for NULL, another kind of handle, or a struct_size that is none.
 * [own: event in, view out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API int32_t blazen_event_read(const blazen_event *event, blazen_event_view *view);
/** Gives the type name of an event that the library knows: BLAZEN_START_EVENT for BLAZEN_EVENT_START. NULL for another
 * number.
 * [own: length out?, return borrow the library | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API const char *blazen_event_name(blazen_known_event which, size_t *length);

/** How an event is sent. NULL, or zeroes: to every step that accepts its type.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_send_options {
    size_t struct_size;
    const char *step; /**< in?: to this step alone; unknown, or not accepting the type: BLAZEN_ERROR_NOT_FOUND */
    size_t step_length;
    int64_t delay_ms; /**< it is routed so much later, by the clock of the run, in the order of the moments */
    uint64_t scope;   /**< of blazen_run_send_event: the id of the open scope that it belongs to, so that its joins can take it
                         (blazen_context_scope_id); unknown, or over: BLAZEN_ERROR_NOT_FOUND. 0: to none. Since 0.2 */
} blazen_send_options;
/** The defaults, to begin with: `blazen_send_options x = BLAZEN_SEND_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_SEND_OPTIONS_INIT { sizeof(blazen_send_options), NULL, 0, 0, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_send_options_init(blazen_send_options *options, size_t struct_size);

/* -------------------------------------------------------------------------------------------------------- workflow */

/** What becomes of an event that no step accepts.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_unhandled;
/** The values of blazen_unhandled.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_UNHANDLED_FAIL = 0,   /**< the run fails with BLAZEN_ERROR_NO_HANDLER */
    BLAZEN_UNHANDLED_IGNORE = 1, /**< it is dropped */
    BLAZEN_UNHANDLED_STREAM = 2  /**< it is published on the stream */
};

/** What becomes of a run that can make no progress by itself.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_idle;
/** The values of blazen_idle.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_IDLE_FAIL = 0, /**< it fails at once with BLAZEN_ERROR_STALLED */
    BLAZEN_IDLE_WAIT = 1  /**< it waits for blazen_run_send_event */
};

/** What a snapshot does with the session, and with LIVE values wherever else it meets them (events, result, details of
 * errors). A LIVE value is kept as what its blazen_serialize_fn gives; entries of other tags as they are.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_session_policy;
/** The values of blazen_session_policy. What is dropped is missing in the snapshot alone, which has its name: "session
 * 'db'", "event 'Job' (id 7)". The value of such an event and such a result are JSON null there, such a detail is none.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_SESSION_PICKLE_OR_ERROR = 0,     /**< one that cannot be kept: no snapshot, and the error names every one */
    BLAZEN_SESSION_PICKLE_OR_SERIALIZE = 1, /**< one that cannot be kept is dropped */
    BLAZEN_SESSION_WARN_DROP = 2,           /**< every session entry of any tag, and every LIVE value, is dropped */
    BLAZEN_SESSION_HARD_ERROR = 3           /**< any of those: no snapshot, and the error names every one */
};

/** The bounds that a workflow may set for its runs. What would go past one is refused where it is added; what stands in a
 * snapshot is taken over, however much it is.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_limit;
/** The values of blazen_limit, with their defaults.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_LIMIT_QUEUED_EVENTS = 1, /**< events routed and not yet completed, and events a step has emitted: 4,194,304 */
    BLAZEN_LIMIT_STATE_BYTES = 2,   /**< keys and values of the state: 1 GiB */
    BLAZEN_LIMIT_SESSION_BYTES = 3, /**< keys and values of the session: 1 GiB */
    BLAZEN_LIMIT_STREAM_ITEMS = 4,  /**< items kept for the slowest subscriber, before it gets a gap: 65,536 */
    BLAZEN_LIMIT_SUBSCRIBERS = 5,   /**< streams of one run that are open at once: 1,024 */
    BLAZEN_LIMIT_STEP_SENDS = 6,    /**< events that one invocation sends or publishes while it runs: 1,048,576 */
    BLAZEN_LIMIT_STREAM_RETAINED = 7, /**< items kept for subscribers that come later (blazen_stream_options.from): 1,024. They
                                         live as long as the run; 0: none is kept longer than a subscriber needs it */
    BLAZEN_LIMIT_QUESTIONS = 8,     /**< questions of one run that are open at once: 65,536 */
    BLAZEN_LIMIT_SCOPES = 9,        /**< scopes of one run that are open at once: 65,536. Since 0.2 */
    BLAZEN_LIMIT_SCOPE_DEPTH = 10,  /**< scopes within scopes: 65,536. Since 0.2 */
    BLAZEN_LIMIT_CHILD_DEPTH = 11,  /**< runs within runs, in steps that are workflows: 64; at most BLAZEN_CHILD_DEPTH_MAX. The
                                         top's holds for the whole tree, as that of questions does. Since 0.2 */
    BLAZEN_LIMIT_CHILDREN = 12      /**< runs inside one run, at any depth, that are open at once: 65,536. Since 0.2 */
};

/** Begins a workflow of this name.
 * [own: name in, builder out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_create(const char *name, size_t name_length,
                                                        blazen_workflow_builder **builder, blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL. Use a builder in one thread at a time.
 * [own: builder in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_workflow_builder *blazen_workflow_builder_retain(const blazen_workflow_builder *builder);
/** Takes one reference back. Workflows that were built of it stay.
 * [own: builder keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_workflow_builder_release(blazen_workflow_builder *builder);

/** Adds a step: its name, the event type that starts it (blazen_workflow_builder_step_accepts adds more), and its body.
 * Steps that accept the same type start in the order in which they were added. drop(user_data) runs when the builder, and
 * the last workflow built of it, are gone.
 * [own: builder in, name in, accepts in, user_data keep? | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_add_step(blazen_workflow_builder *builder, const char *name,
                                                          size_t name_length, const char *accepts,
                                                          size_t accepts_length, blazen_step_fn body, void *user_data,
                                                          blazen_drop_fn drop, blazen_error **error);
/** Adds a step whose body is elsewhere: in another process, another language. Its events queue, and when the run can go on
 * only there, it parks with BLAZEN_RUN_ELSEWHERE until somebody who has the step resumes its snapshot.
 * [own: builder in, name in, accepts in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_add_elsewhere(blazen_workflow_builder *builder, const char *name,
                                                               size_t name_length, const char *accepts,
                                                               size_t accepts_length, blazen_error **error);
/** Adds an event type that starts this step.
 * [own: builder in, step in, type in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_accepts(blazen_workflow_builder *builder, const char *step,
                                                              size_t step_length, const char *type,
                                                              size_t type_length, blazen_error **error);
/** Declares an event type that this step emits or sends. A step that declares none may emit any; where it declares some,
 * the build checks that each is accepted by somebody and that every step can be reached.
 * [own: builder in, step in, type in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_emits(blazen_workflow_builder *builder, const char *step,
                                                            size_t step_length, const char *type, size_t type_length,
                                                            blazen_error **error);
/** Sets how many invocations of this step run at once in one run; 0 (the default): as many as there are. The rest wait,
 * first in, first out.
 * [own: builder in, step in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_max_concurrency(blazen_workflow_builder *builder,
                                                                      const char *step, size_t step_length,
                                                                      uint32_t concurrency_max, blazen_error **error);
/** Sets how long one attempt of this step may take, waiting for a permit or an answer not counted, at most
 * BLAZEN_STEP_TIMEOUT_MS_MAX; 0 (the default): for ever. Past it, the attempt has failed with BLAZEN_ERROR_STEP_TIMEOUT and
 * its body is abandoned: it may ask blazen_context_is_cancelled, and what it still does has no effect. Until it returns, it
 * keeps its thread, and maybe its permit: blazen_run_describe and blazen_runtime_count say so.
 * [own: builder in, step in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_timeout(blazen_workflow_builder *builder, const char *step,
                                                              size_t step_length, int64_t timeout_ms,
                                                              blazen_error **error);

/** Lets a body of this step run only with a permit of this pool of its runtime (blazen_runtime_set_pool), beside one of the
 * step's own. Waiting for it is not counted in the step's time-out, but is in the run's; the run is BLAZEN_RUN_RUNNING
 * meanwhile, and a snapshot has such an invocation as queued. The permit goes back when the invocation leaves the body: it has
 * completed, failed, or asks; a deferred one keeps it until it is completed. A step uses one pool at most, so that nobody waits
 * for a permit while holding another, and one elsewhere uses none: else BLAZEN_ERROR_INVALID_ARGUMENT. The steps of a workflow
 * use BLAZEN_POOLS_MAX pools at most: BLAZEN_ERROR_LIMIT.
 * [own: builder in, step in, pool in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_builder_step_uses_pool(blazen_workflow_builder *builder, const char *step,
                                                                size_t step_length, const char *pool,
                                                                size_t pool_length, blazen_error **error);

/** What an abandoned body of a step with max_concurrency or a pool is to the others.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_abandoned;
/** The values of blazen_abandoned.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_ABANDONED_KEEPS_PERMIT = 0, /**< it is one of those that run, until it has returned (a deferred one: is completed
                                          or released): the next attempt waits for it, and the run with it, no longer
                                          than its own time-out */
    BLAZEN_ABANDONED_FREES_PERMIT = 1  /**< the next attempt does not wait: more bodies than there are permits may be at work */
};
/** Sets what an abandoned body of this step is to the others; BLAZEN_ABANDONED_KEEPS_PERMIT where it is not set. Permits
 * are of this process: a run that goes on from a snapshot has them all. A permit of a pool is also kept, or not, by a body
 * whose run has ended.
 * [own: builder in, step in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_abandoned(blazen_workflow_builder *builder, const char *step,
                                                                size_t step_length, blazen_abandoned abandoned,
                                                                blazen_error **error);

/** When a step that failed is tried again. The delay before attempt n + 1 is initial_delay_ms times multiplier to the
 * power of n - 1, at most max_delay_ms; up to `jitter` of it is taken off, by a digest of run, invocation and attempt.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_retry_options {
    size_t struct_size;
    uint32_t max_attempts;    /**< with the first one; 0: 1 */
    uint32_t jitter_percent;  /**< 0 to 100 */
    int64_t initial_delay_ms; /**< 0: at once */
    double multiplier;        /**< 0: 2; else at least 1 */
    int64_t max_delay_ms;     /**< 0: 60,000 */
    const int64_t *only;      /**< in?: host codes that are tried again; NULL: every failure, time-outs too */
    size_t only_count;
    const int64_t *never;     /**< in?: host codes that are not */
    size_t never_count;
} blazen_retry_options;
/** The defaults, to begin with: `blazen_retry_options x = BLAZEN_RETRY_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_RETRY_OPTIONS_INIT { sizeof(blazen_retry_options), 0, 0, 0, 0.0, 0, NULL, 0, NULL, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_retry_options_init(blazen_retry_options *options, size_t struct_size);
/** Sets when this step is tried again. One that is keeps its invocation id, and what it has sent already is not sent
 * twice; what it returned from an attempt that failed was never routed. It holds no permit while it waits.
 * [own: builder in, step in, options in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_retry(blazen_workflow_builder *builder, const char *step,
                                                            size_t step_length, const blazen_retry_options *options,
                                                            blazen_error **error);
/** Makes this step atomic (1) or not (0, the default): what an atomic step writes to the state and sends is held back
 * until it completes, and discarded when it fails; it sees its own writes. What it compared must still hold then; else
 * the step fails with BLAZEN_ERROR_CONFLICT.
 * [own: builder in, step in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_step_atomic(blazen_workflow_builder *builder, const char *step,
                                                             size_t step_length, int32_t atomic,
                                                             blazen_error **error);
/** An invocation of this step is cancelled, as blazen_context_is_cancelled says, while its body is at work, or while the host
 * still has it deferred. Is called once for each, from the thread where that happens. user_data is the step's. The body may be
 * using the context meanwhile: here, only the getters that say which invocation it is may be called (run_id, workflow_name,
 * step_name, invocation_id, attempt, is_cancelled).
 * [own: user_data borrow the workflow, context borrow this call | thread: any | block: no | calls: none | since: 0.2] */
typedef void (*blazen_step_cancel_fn)(void *user_data, blazen_context *context);
/** When a join is invoked.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_join_mode;
/** The values of blazen_join_mode.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_JOIN_ALL = 0,    /**< when nothing of the scope is left: no event queued or delayed, no invocation, no question */
    BLAZEN_JOIN_ANY = 1,    /**< at the first arrival */
    BLAZEN_JOIN_FIRST_N = 2 /**< at the n-th arrival; or, where the scope is over before, with what came */
};
/** What a join does when its deadline passes.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_join_deadline;
/** The values of blazen_join_deadline.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_JOIN_DEADLINE_GIVE = 0, /**< it is invoked with what has arrived */
    BLAZEN_JOIN_DEADLINE_FAIL = 1  /**< it has failed with BLAZEN_ERROR_STEP_TIMEOUT, and is not tried again */
};
/** What a join does where nothing has arrived.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_join_empty;
/** The values of blazen_join_empty.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_JOIN_EMPTY_INVOKE = 0, /**< it is invoked with no event but BLAZEN_EMPTY_JOIN_EVENT, which it need not accept */
    BLAZEN_JOIN_EMPTY_SKIP = 1    /**< it is not invoked */
};
/** Which arrivals a join takes together.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_join_correlation;
/** The values of blazen_join_correlation.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_JOIN_CORRELATION_NONE = 0, /**< all of the scope */
    BLAZEN_JOIN_CORRELATION_BY_EVENT = 1  /**< those of one correlation of the event: one group, and one invocation, for each */
};
/** How a step joins.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_join_options {
    size_t struct_size;
    const char *of; /**< in: the name of the step whose invocations open the scopes; it may be added later */
    size_t of_length;
    blazen_join_mode mode;
    uint32_t n;          /**< of BLAZEN_JOIN_FIRST_N: at least 1; else 0 */
    int64_t deadline_ms; /**< counted from the opening of the scope, by a clock that stands still while the run is paused, and
                            is in its snapshots; 0: none */
    blazen_join_deadline at_deadline;
    int32_t cancel_rest; /**< 1: once it is invoked, what is left of the scope is cancelled: what is queued or delayed is
                            dropped, bodies are told to cancel, questions are withdrawn. Where it is the only join of its
                            opener, and not by event */
    int32_t ordered; /**< 1: the events stand in the order of the opener's sends and outputs that they come of; 0: of arrival */
    blazen_join_correlation correlation;
    blazen_join_empty empty;
} blazen_join_options;
/** The defaults, to begin with: `blazen_join_options x = BLAZEN_JOIN_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_JOIN_OPTIONS_INIT { sizeof(blazen_join_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_join_options_init(blazen_join_options *options, size_t struct_size);
/** Everything that a step can be told, as the calls blazen_workflow_builder_step_... tell it one by one.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_step_options {
    size_t struct_size;
    const char *const *accepts; /**< in?: the event types that start it */
    const size_t *accept_lengths; /**< in?: of each of them */
    size_t accept_count;
    const char *const *emits; /**< in?: the event types that it declares to emit or send */
    const size_t *emit_lengths; /**< in?: of each of them */
    size_t emit_count;
    uint32_t max_concurrency;
    int32_t atomic;
    int64_t timeout_ms;
    const blazen_retry_options *retry; /**< in?: NULL: it is not tried again */
    blazen_abandoned abandoned;
    blazen_step_cancel_fn cancelled; /**< NULL: its bodies ask blazen_context_is_cancelled */
    const blazen_join_options *join; /**< in?: NULL: it is no join */
} blazen_step_options;
/** Its beginning: `blazen_step_options x = BLAZEN_STEP_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_STEP_OPTIONS_INIT \
    { sizeof(blazen_step_options), NULL, NULL, 0, NULL, NULL, 0, 0, 0, 0, NULL, 0, NULL, NULL }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_step_options_init(blazen_step_options *options, size_t struct_size);
/** blazen_workflow_builder_add_step in general. options may be NULL: what starts it is told by _step_accepts then. Where it is
 * refused, no step was added.
 * [own: builder in, name in, options in?, user_data keep? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_builder_add_step_with(blazen_workflow_builder *builder, const char *name,
                                                               size_t name_length, const blazen_step_options *options,
                                                               blazen_step_fn body, void *user_data,
                                                               blazen_drop_fn drop, blazen_error **error);
/** Makes a step a join: it takes what has come of one invocation of another step, its opener (options->of), all at once,
 * whatever became of it on the way. Nobody counts. Each invocation of the opener opens a scope, with its first send or when
 * it is done: what it sends and emits belongs to that, and so does what comes of it, until a join takes it; a scope that is
 * opened inside belongs to it too. An event of the scope that the join accepts does not start it, but is collected. When
 * the condition holds, the join is invoked once, outside the scope, and reads the events with blazen_context_events. What
 * arrives after that is dropped, and the stream says so ("late").
 * BLAZEN_ERROR_INVALID_ARGUMENT for a step that is a join already. The build refuses a join of itself or of an unknown step,
 * joins in a circle, one that accepts the StartEvent, and two joins of one opener that accept one type.
 * [own: builder in, step in, options in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_builder_step_joins(blazen_workflow_builder *builder, const char *step,
                                                            size_t step_length, const blazen_join_options *options,
                                                            blazen_error **error);
/** A decision of the host's about a step that is a workflow: a body that answers with one value, by blazen_context_answer.
 * It is a step of its own, <step>::input or <step>::output, with a context, the retries of the step, and a place in
 * snapshots: one that was in flight is asked again under the same invocation id, one that has answered never is.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_mapper {
    blazen_step_fn body; /**< NULL: nobody decides, unless elsewhere is 1 */
    void *user_data; /**< keep?: of body */
    blazen_drop_fn drop;
    int32_t elsewhere; /**< 1: the decision is made, in another process. body is NULL then */
} blazen_mapper;
/** What a step that is a workflow is given beside that.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_child_options {
    size_t struct_size;
    const char *output_type; /**< in?: of the event whose value the result is; NULL: "<step>::output" */
    size_t output_type_length;
    blazen_mapper input;  /**< is invoked with the event, and answers with the input of the child; none: the event's value is */
    blazen_mapper output; /**< is invoked with an event whose value is the result (of several at once: as a join is, with one
                             event for each branch, in their order; blazen_event_source is the branch), and answers with the
                             value of the output event, or emits what it wants; none: the result itself is that value */
    int32_t first_success; /**< of several at once, 1: the first that succeeds is enough; 0: all have to */
} blazen_child_options;
/** Its beginning: `blazen_child_options x = BLAZEN_CHILD_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_CHILD_OPTIONS_INIT \
    { sizeof(blazen_child_options), NULL, 0, { NULL, NULL, NULL, 0 }, { NULL, NULL, NULL, 0 }, 0 }
/** Sets struct_size (give sizeof *options) and zeroes the rest.
 * [own: options out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_child_options_init(blazen_child_options *options, size_t struct_size);
/** Adds a step that is a workflow. Each of its invocations hosts a run of child, which is a part of the run: it is in its
 * snapshots and in blazen_run_describe, its items stand on the run's streams, its questions are the run's (their ids have the
 * id of the child and a slash before them), a pause and the end of the run are its own too. It has its own state, session, run
 * id, clock and limits. Its StopEvent ends it alone, and completes the invocation; its failure is the step's, whose retry
 * begins another child. The time-out of the step is by the clock of the child. A child of the workflow that is being built is
 * NULL; it ends by BLAZEN_LIMIT_CHILD_DEPTH, if by nothing else. On streams and in questions, the child is found by its path:
 * see blazen_event_view.
 * blazen_workflow_builder_step_accepts, _retry, _timeout, _max_concurrency and _joins hold for this step too; _emits, _atomic
 * and _uses_pool answer BLAZEN_ERROR_INVALID_ARGUMENT.
 * [own: builder in, name in, accepts in, child in?, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_builder_add_workflow(blazen_workflow_builder *builder, const char *name,
                                                              size_t name_length, const char *accepts,
                                                              size_t accepts_length, blazen_workflow *child,
                                                              const blazen_child_options *options,
                                                              blazen_error **error);
/** A branch of a step that is several workflows at once: an element of an array, with nothing to come.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_branch {
    const char *name; /**< in: of its own */
    size_t name_length;
    blazen_workflow *child; /**< in?: NULL: the workflow that is being built */
    int32_t elsewhere;      /**< 1: another process has it. child is NULL then */
} blazen_branch;
/** Adds a step that is several workflows at once, each of which gets the same input. The branches are steps of their own,
 * <step>[<branch>], in a scope that <step> joins; retry, time-out and max_concurrency hold for each of them.
 *   all have to succeed (first_success 0)   the result is a JSON object by the names of the branches, {} where there are none;
 *                                           the first that fails for good cancels the others and fails the step. A result that is
 *                                           not JSON fails it with BLAZEN_ERROR_WRONG_TAG, unless there is an output mapper
 *   the first success is enough             the result is that of the branch, of any tag; the others are cancelled. A failure
 *                                           counts only where all fail: the cause of the step's error is the last one, and its
 *                                           detail has each, as a StepFailedEvent has it, by branch. An output mapper sees, beside
 *                                           the success, those that had failed before, as events of type <step>::failed
 * [own: builder in, name in, accepts in, branches in?, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_builder_add_workflows(blazen_workflow_builder *builder, const char *name,
                                                               size_t name_length, const char *accepts,
                                                               size_t accepts_length, const blazen_branch *branches,
                                                               size_t branch_count,
                                                               const blazen_child_options *options,
                                                               blazen_error **error);
/** Sets how many milliseconds a run may take; 0: for ever. 300,000 where it is not set. The clock of a run stands still
 * while it is paused, parked elsewhere, or waits only for a human. It is never over early; one of ten seconds or more may
 * be a tenth of a second late.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_timeout(blazen_workflow_builder *builder, int64_t timeout_ms,
                                                             blazen_error **error);

/** What a pause does to the session of the run.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_session_on_pause;
/** The values of blazen_session_on_pause.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_SESSION_KEEP = 0, /**< it stays */
    BLAZEN_SESSION_CLEAR = 1 /**< its entries are dropped */
};
/** Sets what a pause does to the session of a run; BLAZEN_SESSION_KEEP where it is not set.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_session_on_pause(blazen_workflow_builder *builder,
                                                                      blazen_session_on_pause session,
                                                                      blazen_error **error);
/** Sets what becomes of an event that no step accepts; BLAZEN_UNHANDLED_FAIL where it is not set.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_unhandled(blazen_workflow_builder *builder,
                                                               blazen_unhandled unhandled, blazen_error **error);
/** Sets what becomes of a run that can make no progress by itself; BLAZEN_IDLE_FAIL where it is not set.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_idle(blazen_workflow_builder *builder, blazen_idle idle,
                                                          blazen_error **error);
/** Sets what a snapshot does with the session and with LIVE values; BLAZEN_SESSION_PICKLE_OR_ERROR where it is not set.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_session_policy(blazen_workflow_builder *builder,
                                                                    blazen_session_policy policy,
                                                                    blazen_error **error);
/** Sets one of the bounds of blazen_limit. It is at least 1 (BLAZEN_LIMIT_STREAM_RETAINED: at least 0).
 * [own: builder in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_set_limit(blazen_workflow_builder *builder, blazen_limit limit,
                                                           uint64_t bound, blazen_error **error);
/** Checks what was added, and builds a workflow of it. The builder may go on and build another.
 * BLAZEN_ERROR_INVALID_WORKFLOW refuses:
 *   - a workflow without a step, or in which no step accepts the StartEvent
 *   - a step that accepts the StopEvent, or an event that the library itself puts on streams
 *   - two steps of one name
 *   - a declared emit that no step accepts
 *   - a step that no event can reach
 * [own: builder in, workflow out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_builder_build(blazen_workflow_builder *builder, blazen_workflow **workflow,
                                                       blazen_error **error);

/** What a stage of a pipeline is given beside what it runs.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_stage_options {
    size_t struct_size;
    blazen_mapper condition; /**< is invoked with an event whose value is the last result, and answers with JSON true, or false:
                                the stage is skipped, and the last result stays; none: it is never skipped */
    blazen_mapper input;     /**< the same event, and answers with what the stage is given; none: the last result */
    blazen_mapper output;    /**< is invoked with the result, and answers with what it is to be (of several at once and no loop:
                                as blazen_child_options.output); none: it is the result */
    blazen_mapper until;     /**< of a loop: is invoked with the result of a round, and answers with JSON "again", "done" or
                                "fail"; none: it goes on to its bound */
    int64_t timeout_ms;      /**< by the clocks of its runs, all rounds of a loop together; 0: as
                                blazen_pipeline_builder_set_stage_timeout says */
    const blazen_retry_options *retry; /**< in?: of each run, of a branch, of a round, and of the decisions; NULL: no retry */
    int32_t first_success; /**< of several at once: as in blazen_child_options */
    int32_t done_at_bound; /**< of a loop whose bound is reached while `until` says "again": 1: it is done; 0: it fails with
                              BLAZEN_ERROR_LIMIT */
} blazen_stage_options;
/** Its beginning: `blazen_stage_options x = BLAZEN_STAGE_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_STAGE_OPTIONS_INIT \
    { sizeof(blazen_stage_options), { NULL, NULL, NULL, 0 }, { NULL, NULL, NULL, 0 }, { NULL, NULL, NULL, 0 }, \
      { NULL, NULL, NULL, 0 }, 0, NULL, 0, 0 }
/** Sets struct_size (give sizeof *options) and zeroes the rest.
 * [own: options out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_stage_options_init(blazen_stage_options *options, size_t struct_size);
/** Begins a pipeline: a workflow that runs one stage behind the other, each of them a workflow, and gives each the result of
 * the one before. The input of the run is the first one's, the last result is the run's. What is built is a workflow like any
 * other: it is run, streamed, paused, snapshotted and resumed in the middle of any round of any stage, and may be a stage, or a
 * step, of something larger.
 *
 * Its state is shared by the decisions of all stages. Result by result, it stands there under "blazen/pipeline/<stage>", of
 * several at once also under "blazen/pipeline/<stage>/<branch>" (names with ~0 and ~1 for ~ and /), the input under
 * "blazen/input"; a LIVE one in the session, under the same key. Keys that begin with "blazen/" only the engine writes.
 * Progress items {"kind": "pipeline", "current", "total", "percent", "label": the stage, "run_id"} are on streams with
 * blazen_stream_options.lifecycle: as a stage begins, and when it is behind.
 * [own: name in, builder out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_create(const char *name, size_t name_length,
                                                        blazen_pipeline_builder **builder, blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL. Use a builder in one thread at a time.
 * [own: builder in, return out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_pipeline_builder *blazen_pipeline_builder_retain(const blazen_pipeline_builder *builder);
/** Takes one reference back. Workflows that were built of it stay.
 * [own: builder keep | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API void blazen_pipeline_builder_release(blazen_pipeline_builder *builder);
/** Adds a stage that runs this workflow.
 * [own: builder in, name in, workflow in, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_add_stage(blazen_pipeline_builder *builder, const char *name,
                                                           size_t name_length, blazen_workflow *workflow,
                                                           const blazen_stage_options *options, blazen_error **error);
/** Adds a stage that runs several workflows at once, as blazen_workflow_builder_add_workflows does.
 * [own: builder in, name in, branches in?, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_add_parallel(blazen_pipeline_builder *builder, const char *name,
                                                              size_t name_length, const blazen_branch *branches,
                                                              size_t branch_count,
                                                              const blazen_stage_options *options,
                                                              blazen_error **error);
/** Adds a stage that runs a workflow in rounds, at most max_rounds of them, 1 or more: each is given the result of the one
 * before it. condition and output are asked once for all rounds, input before the first. Only the last result is kept.
 * [own: builder in, name in, workflow in, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_add_loop(blazen_pipeline_builder *builder, const char *name,
                                                          size_t name_length, blazen_workflow *workflow,
                                                          uint32_t max_rounds, const blazen_stage_options *options,
                                                          blazen_error **error);
/** The same, with several workflows at once in each round.
 * [own: builder in, name in, branches in?, options in? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_add_parallel_loop(blazen_pipeline_builder *builder, const char *name,
                                                                   size_t name_length, const blazen_branch *branches,
                                                                   size_t branch_count, uint32_t max_rounds,
                                                                   const blazen_stage_options *options,
                                                                   blazen_error **error);
/** Sets how many milliseconds a run of the pipeline may take; 0 (the default): for ever.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_set_timeout(blazen_pipeline_builder *builder, int64_t timeout_ms,
                                                             blazen_error **error);
/** Sets how many milliseconds each stage may take that says nothing else; 0 (the default): for ever.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_set_stage_timeout(blazen_pipeline_builder *builder,
                                                                   int64_t timeout_ms, blazen_error **error);
/** Sets what a snapshot does with LIVE values, of its stages too: as blazen_workflow_builder_set_session_policy.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_set_session_policy(blazen_pipeline_builder *builder,
                                                                    blazen_session_policy policy,
                                                                    blazen_error **error);
/** Sets a bound of its runs: as blazen_workflow_builder_set_limit.
 * [own: builder in | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_set_limit(blazen_pipeline_builder *builder, blazen_limit limit,
                                                           uint64_t bound, blazen_error **error);
/** Builds the pipeline. BLAZEN_ERROR_INVALID_WORKFLOW where it has no stage, or two of one name.
 * [own: builder in, workflow out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_pipeline_builder_build(blazen_pipeline_builder *builder, blazen_workflow **workflow,
                                                       blazen_error **error);

/** Adds one reference, and gives the same handle. NULL gives NULL. A workflow is immutable: any number of runs, on any
 * runtimes, share it.
 * [own: workflow in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_workflow *blazen_workflow_retain(const blazen_workflow *workflow);
/** Takes one reference back. Runs of it stay.
 * [own: workflow keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_workflow_release(blazen_workflow *workflow);
/** Gives the name of the workflow. NULL for NULL or another kind of handle.
 * [own: workflow in, length out?, return borrow workflow | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_workflow_name(const blazen_workflow *workflow, size_t *length);
/** Gives 16 hexadecimal digits over the names of the steps and the types they accept, in order; not over their bodies, so
 * that processes that host different steps of one workflow agree.
 * [own: workflow in, length out?, return borrow workflow | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_workflow_fingerprint(const blazen_workflow *workflow, size_t *length);
/** Describes the workflow as a JSON object, always of these members in this order: {name, fingerprint, steps: [{name, accepts,
 * emits, elsewhere, max_concurrency, timeout_ms, atomic, abandoned, retry: {max_attempts, initial_delay_ms, multiplier,
 * max_delay_ms, jitter_percent, only, never}, join, opens, reachable, pool, part, part_of, child}], policies: {unhandled, idle,
 * session, session_on_pause, timeout_ms}, limits: {queued_events, ...}, dead_ends: [{step, kind, event_type?}], children: [the
 * workflows that are steps here, or in one another, each once, as this one but without children]}, each with stages: [{name,
 * branches, first_success, max_rounds}] of a pipeline. Steps, types and
 * limits stand in the order in which they were added, or are numbered; what was not set has its default; a value of an enum
 * is its name in lower case, as "keeps_permit". Later versions add members.
 *   emits       null: it declares none, and may emit anything
 *   only        null: every failure is tried again
 *   join        null, or {of, mode, n, deadline_ms, at_deadline, cancel_rest, ordered, correlation, empty}
 *   opens       the joins of the scopes that it opens
 *   reachable   false: by what all steps declare, no run comes to it but by an event from outside
 *   part        "body"; of a step that is a workflow, or several, which stands here as its parts: "input", "branches", "child",
 *               "gather", "output"
 *   part_of     null, or the step that it is a part of
 *   child       null, or {branch (null: the only one), workflow, index (in children; null: "self", the workflow itself)}
 *   dead_ends   "no_acceptor": no step takes this type where this step emits it (of an InputRequestEvent, its answer);
 *               "no_stop": failures aside, nothing that comes of this step can emit the StopEvent. What is not declared is not
 *               known, and is no dead end; nor is the latter with BLAZEN_IDLE_WAIT
 * [own: workflow in, description out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_describe(const blazen_workflow *workflow, blazen_value **description,
                                                  blazen_error **error);
/** Who is to draw a workflow.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_draw;
/** The values of blazen_draw.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_DRAW_MERMAID = 1, /**< a Mermaid flowchart, which Markdown shows in many places */
    BLAZEN_DRAW_DOT = 2      /**< a digraph in Graphviz's DOT */
};
/** Draws the workflow: a value of tag BYTES whose data is UTF-8 text in this format. Each type is an edge from a step that
 * declares to emit it to each one that takes it there, from the start, to the end, or to and from a human. A step that
 * declares none has a dashed edge to "?", from where the types come that nobody declares; where all declare, those come
 * from outside. An opener is linked to its joins (hexagons) by a dashed line. Steps elsewhere have a heavy or a double
 * border, those not reachable a dashed one. Any name is drawn as it is, control characters as their pictures (U+2400).
 * BLAZEN_ERROR_LIMIT past 65,536 edges.
 * [own: workflow in, drawing out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_workflow_draw(const blazen_workflow *workflow, blazen_draw format,
                                              blazen_value **drawing, blazen_error **error);

/* --------------------------------------------------------------------------------------------------------- runtime */

/* Which way to run suits which host
 *
 *   BLAZEN_MODE_THREADS    hosts whose code may run on any thread: C, C++, Rust, Go, Java, .NET, Swift; and Python, whose
 *                          lock lets one body run at a time. Set attach and detach where the host has to know its threads.
 *   BLAZEN_MODE_PUMP       hosts with one thread that matters: Node, asyncio, a game, a GUI, Lua, WebAssembly. Call
 *                          blazen_runtime_poll on that thread when blazen_runtime_descriptor is readable, or after wake
 *                          was called and when blazen_runtime_next_timer says so. Its steps are short, or defer.
 *   BLAZEN_MODE_EXECUTOR   hosts with a scheduler of their own that shall decide: thread pools, dispatch queues, Tokio.
 *
 * In each of them, a step that waits for something should not hold its thread: it defers (blazen_context_defer).
 *
 * On which thread each callback comes
 *
 *   body of a step      THREADS: an engine thread, one that polls, or one that helps in a wait without a deadline
 *                       (blazen_run_wait, blazen_stream_next, blazen_workflow_run). PUMP: the one that polls or waits.
 *                       EXECUTOR: the one that calls blazen_task_run.
 *   attach, detach      the engine thread
 *   post                the one that makes a step ready: it starts the run, sends the event, completes the step before
 *   wake                the one that makes a step ready, or the next moment earlier
 *   clock, log          any
 *   input               the one where the question comes up
 *   answered            the one that answers
 *   done, cancelled     the one where it happens, or the one that asks to be told, where it has happened before
 *   ready               the one that publishes or closes, or the one that asks to be told, where there is an item
 *   serialize           the one that takes the snapshot
 *   deserialize         the one that resumes
 *   drop                the one that lets go of the last reference
 *
 * What happens by the time alone (time-outs, delays, retries) comes from a thread of the engine that tells the time, or, in
 * BLAZEN_MODE_PUMP and with a clock of the host's, from whoever polls or waits.
 *
 * Which of two outcomes wins: the status that a callback answers, or the *error that it set
 *
 *   BLAZEN_OK, BLAZEN_PENDING   the status: *error is released, and means nothing
 *   any other, *error set       *error, with its own status; the number answered is not looked at (but for
 *                               BLAZEN_ERROR_NOT_SERIALIZABLE of a deserializer)
 *   any other, *error not set   the status; a number that is none of blazen_status is BLAZEN_ERROR_HOST, with that number as
 *                               host_code
 *   an exception                BLAZEN_ERROR_HOST with its text, where one of C++ came through; *error means nothing
 *
 * BLAZEN_PENDING is for steps and input handlers: a serializer or deserializer that answers it has failed with
 * BLAZEN_ERROR_WRONG_STATE. */

/** Who runs the steps.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_mode;
/** The values of blazen_mode.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_MODE_THREADS = 0, /**< threads of the engine (in a library built without threads: as BLAZEN_MODE_PUMP) */
    BLAZEN_MODE_PUMP = 1,    /**< the host, in blazen_runtime_poll or in a wait; the engine has no thread */
    BLAZEN_MODE_EXECUTOR = 2 /**< the host's scheduler: the engine posts it one task for each step to run */
};

/** Attaches an engine thread to the host's own runtime, or detaches it. It is called on that thread, once before its
 * first step (attach) and once after its last (detach). A thread that tells the time does the same around its first
 * callback and its last; there is one more of these than callbacks that were under way on them at once, so that none is
 * in the way of another run's time. There are 64 at most; past that, and where the system has no further thread, those
 * that follow wait, and the log says so. An engine thread has every signal blocked but those that it raises itself
 * (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), so that signals of the host come to threads of the host. Who needs
 * one here unblocks it in attach.
 * [own: user_data borrow the runtime | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_thread_fn)(void *user_data);
/** Tells the host that there is work: let blazen_runtime_poll be called soon, from wherever that is right. It is called
 * on any thread, at most once between two polls, and must not poll itself.
 * [own: user_data borrow the runtime | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_wake_fn)(void *user_data);
/** Takes a task to the host's scheduler, which has to call blazen_task_run or blazen_task_cancel on it, once, on any thread.
 * It is called on the thread that makes the step ready. Answers:
 *   BLAZEN_OK   the task is taken
 *   any other   it is not, and the run fails
 * [own: user_data borrow the runtime, task keep | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_post_fn)(void *user_data, blazen_task *task);

/** Says what time it is, in milliseconds since 1970, never falling (past INT64_MAX / 4, it stands still): durations and
 * dates are both read from it. Without one, dates (asked_ms, and what time_has_passed counts by) are the system's date as
 * it is then, and durations come from a clock that nobody sets; on Linux, that one stands still while the machine is
 * suspended. Nothing that lasts is over before its whole time has passed. It is called on any thread, also while the
 * engine holds a lock: it must not call this library.
 * [own: user_data borrow the runtime | thread: any | block: no | calls: none | since: 0.1] */
typedef int64_t (*blazen_clock_fn)(void *user_data);

/** How much a log is told.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_log_level;
/** The values of blazen_log_level.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_LOG_NONE = 0,
    BLAZEN_LOG_ERROR = 1,   /**< a callback of the host threw, or the library could not do what it should */
    BLAZEN_LOG_WARNING = 2, /**< something of the host's was dropped, or came to nothing because it came too late */
    BLAZEN_LOG_INFO = 3,    /**< runs that fail or are cancelled, and failures that a run survives */
    BLAZEN_LOG_DEBUG = 4    /**< runs that start, and complete */
};
/** Takes what the library has to say without being asked; the library prints nothing itself. It is called on any thread.
 * message is UTF-8 and lives during the call.
 * [own: user_data borrow the runtime, message borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_log_fn)(void *user_data, blazen_log_level level, const char *message, size_t message_length);

/** One user_data serves all the callbacks of a runtime; drop(user_data) runs after the last of them.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_runtime_options {
    size_t struct_size;
    blazen_mode mode;
    uint32_t threads; /**< 0: one for each processor. At most 256 */
    void *user_data; /**< keep?: of all the callbacks below */
    blazen_drop_fn drop;
    blazen_thread_fn attach;
    blazen_thread_fn detach;
    blazen_wake_fn wake;
    blazen_post_fn post;
    blazen_clock_fn clock; /**< NULL: the system's. With one of the host's, time passes when the host polls */
    blazen_log_fn log;
    blazen_log_level log_level; /**< the most that log is told */
    /* Of every thread that the library makes for this runtime. */
    size_t thread_stack_bytes;  /**< 0: as the system has it; at least 65536, rounded up to pages. Refused where there are
                                   threads but no pthreads: BLAZEN_ERROR_INVALID_ARGUMENT */
    const char *thread_name;    /**< in?: NULL: "blazen". At most 15 bytes; each adds "-0", "-1", ... or "-time", as far as 15 go.
                                   Shown where the system shows names of threads: Linux, macOS */
    size_t thread_name_length;
    uint32_t threads_max; /**< engine threads in all, at most, with those brought in place of threads that abandoned bodies
                             keep; 0: 64 more than threads; as many as threads, or fewer: none is replaced. At most 4096 */
} blazen_runtime_options;
/** The defaults, to begin with: `blazen_runtime_options x = BLAZEN_RUNTIME_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_RUNTIME_OPTIONS_INIT \
    { sizeof(blazen_runtime_options), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, 0, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_runtime_options_init(blazen_runtime_options *options, size_t struct_size);

/** Makes a runtime. Without options, it has engine threads, one for each processor.
 * After fork, what belongs to a runtime (it, its runs, streams, invocations, contexts, tasks) stays the parent's. The child
 * may release it, whatever threads of the parent were doing: that does nothing, and calls nothing. Every other call on it
 * answers BLAZEN_ERROR_WRONG_STATE, blazen_runtime_close BLAZEN_OK; getters answer as for NULL, or what never changes.
 * Values, events, errors, workflows and snapshots belong to no runtime: the child has copies, whose drops run in the child.
 * A child that comes back from the callback in which it was forked does none of its parent's work: on a thread of the
 * engine it ends there, as by _exit(0); on one of the host's, the call that led there comes back.
 * [own: options in?, runtime out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_create(const blazen_runtime_options *options, blazen_runtime **runtime,
                                               blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: runtime in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_runtime *blazen_runtime_retain(const blazen_runtime *runtime);
/** Takes one reference back. The last release closes the runtime, as blazen_runtime_close does; runs, streams and
 * invocations that the host still holds keep it open. From inside a callback of its own, it closes as soon as that
 * callback has returned. It waits for no body, and for no other callback longer than a second: where one is under way
 * then, the thread that comes back last closes it.
 * [own: runtime keep | thread: any | block: yes | calls: host | since: 0.1] */
BLAZEN_API void blazen_runtime_release(blazen_runtime *runtime);
/** Cancels every run that has not ended, waits until the last callback has returned and the threads are gone. Twice: the
 * same answer. The library may be unloaded when everything is released, no thread is in a call, and each runtime was
 * closed from outside its callbacks: this call, or the last release, has returned on a thread that was in none. Where the
 * last release comes from inside a callback, or while a body or a callback is under way, a thread closes the runtime on
 * its way out, and nobody can say when it has left the library.
 * [own: runtime in | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_close(blazen_runtime *runtime, blazen_error **error);
/** Closes as blazen_runtime_close does, but waits no longer than timeout_ms (BLAZEN_FOREVER: until it is closed). Past
 * it, it answers BLAZEN_ERROR_TIMEOUT, which names the bodies that are still at work; its detail is an array of {run_id,
 * workflow, step, invocation_id, attempt, event_type, age_ms}. Every run has been cancelled then, and none can be
 * created; but the runtime is not closed: callbacks may still be under way, and come back. It may be called again;
 * blazen_runtime_close waits for ever.
 * [own: runtime in | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_close_within(blazen_runtime *runtime, int64_t timeout_ms,
                                                     blazen_error **error);
/** The runtime is closed: the last callback has returned, and its threads are gone.
 * [own: user_data borrow this call | thread: any | block: no | calls: none | since: 0.2] */
typedef void (*blazen_closed_fn)(void *user_data);
/** Closes without waiting, for finalizers and event loops. When this call has returned, every run is cancelled, and none can
 * be created. closed is called once, when callbacks under way have returned and the threads of the runtime are gone, and is the
 * last of its callbacks; then drop. It comes from whoever ends the close: where the runtime has threads, a thread that the library
 * makes for that, and that attach does not tell of; in a pump, this call, or the thread that comes back last from a callback, or
 * is in blazen_runtime_close, which waits for closed in any case. Of a runtime that is closed already, this call. The drop of the
 * runtime's options runs when the last handle has been released, and after closed. Where a thread is needed and the system has
 * none left, BLAZEN_ERROR_SYSTEM, and nothing has changed.
 * [own: runtime in, user_data keep | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_runtime_begin_close(blazen_runtime *runtime, blazen_closed_fn closed, void *user_data,
                                                    blazen_drop_fn drop, blazen_error **error);
/** Sees to whatever is due by now, and runs up to steps_max steps (0: until there is nothing to run) on this thread; *steps
 * says how many. It works in every mode, from several threads at once too; in a library built without threads, and in
 * BLAZEN_MODE_PUMP, it is what runs the steps.
 * [own: runtime in, steps out? | thread: outside | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_poll(blazen_runtime *runtime, uint64_t steps_max, uint64_t *steps,
                                             blazen_error **error);
/** blazen_runtime_poll, and in how many milliseconds to poll again: as blazen_runtime_next_timer answers after it, or 0 where
 * steps_max has left something to run.
 * [own: runtime in, steps out?, delay_ms out | thread: outside | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_runtime_poll_next(blazen_runtime *runtime, uint64_t steps_max, uint64_t *steps,
                                                  int64_t *delay_ms, blazen_error **error);
/** Gives a descriptor that is readable while there is work for blazen_runtime_poll, or something is due. It belongs to the
 * runtime: neither read from it (the poll clears it) nor close it. You may dup it, and poll it level- or edge-triggered.
 * [own: runtime in, descriptor borrow runtime | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_descriptor(blazen_runtime *runtime, int32_t *descriptor, blazen_error **error);

/** Says in how many milliseconds blazen_runtime_poll has something to do because of the time alone: 0 if it has already,
 * -1 if never; sooner than that where what was due has come about otherwise. In BLAZEN_MODE_PUMP without the descriptor,
 * poll then; the wake callback says when it has become earlier. Elsewhere a thread of the engine sees to it.
 * [own: runtime in, delay_ms out | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_next_timer(blazen_runtime *runtime, int64_t *delay_ms, blazen_error **error);

/** What a runtime does, and has done.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_runtime_counters {
    size_t struct_size;
    uint64_t created;       /**< runs now, by how far they are */
    uint64_t running;
    uint64_t waiting;
    uint64_t elsewhere;
    uint64_t paused;
    uint64_t asking;
    uint64_t completed;     /**< runs so far, by how they ended */
    uint64_t failed;
    uint64_t cancelled;
    uint64_t events_routed; /**< so far; these three with what is in the runs inside others */
    uint64_t queued;        /**< invocations now: those that wait */
    uint64_t in_flight;     /**< and those whose bodies run or are pending, of runs and attempts that are not over */
    uint64_t abandoned;     /**< bodies at work now whose attempt or run is over: each keeps its thread until it returns */
    uint64_t threads;       /**< engine threads now, but for the one that tells the time */
    uint64_t threads_kept;  /**< those of them that abandoned bodies keep */
} blazen_runtime_counters;
/** The defaults, to begin with: `blazen_runtime_counters x = BLAZEN_RUNTIME_COUNTERS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_RUNTIME_COUNTERS_INIT { sizeof(blazen_runtime_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** Sets struct_size (give sizeof *counters) and zeroes the rest.
 * [own: counters out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_runtime_counters_init(blazen_runtime_counters *counters, size_t struct_size);
/** Fills the fields that the struct has room for; set struct_size before. It looks at each run: not for every event.
 * [own: runtime in, counters out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_runtime_count(blazen_runtime *runtime, blazen_runtime_counters *counters,
                                              blazen_error **error);

/** Sets how many bodies run at once of all steps, in all runs of this runtime, that use the pool of this name
 * (blazen_workflow_builder_step_uses_pool); at least 1. Set again, it has more, or fewer as bodies return. Runs get permits in
 * turn: one that waits stands in the queue of the pool once, however many of its steps wait, gets one permit, and goes to the
 * end; one that is paused, or held back by a subscriber, is not in the queue. A pool stays as long as its runtime.
 * [own: runtime in, name in | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_runtime_set_pool(blazen_runtime *runtime, const char *name, size_t name_length,
                                                 uint32_t permits, blazen_error **error);

/** Runs the step that a task stands for, and ends the task.
 * [own: task keep | thread: outside | block: no | calls: host | since: 0.1] */
BLAZEN_API void blazen_task_run(blazen_task *task);
/** Ends a task unrun, as when the host's scheduler shuts down: its run fails with BLAZEN_ERROR_CANCELLED.
 * [own: task keep | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API void blazen_task_cancel(blazen_task *task);

/* ------------------------------------------------------------------------------------------------------------- run */

/** How far a run is.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_run_state;
/** The values of blazen_run_state. Stored in snapshots: never renumbered.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_RUN_NONE = 0,      /**< no run: NULL or another kind of handle */
    BLAZEN_RUN_CREATED = 1,   /**< not started yet */
    BLAZEN_RUN_RUNNING = 2,
    BLAZEN_RUN_WAITING = 3,   /**< idle, until an event comes from outside */
    BLAZEN_RUN_ELSEWHERE = 4, /**< parked: only steps that are elsewhere can go on */
    BLAZEN_RUN_COMPLETED = 5, /**< has a result */
    BLAZEN_RUN_FAILED = 6,    /**< has an error */
    BLAZEN_RUN_CANCELLED = 7, /**< was closed or aborted before its end */
    BLAZEN_RUN_PAUSED = 8,    /**< the pause is complete: blazen_run_resume_in_place goes on */
    BLAZEN_RUN_ASKING = 9     /**< only an answer can go on: blazen_run_questions, blazen_run_respond */
};

/** Is asked where a question comes up, on the thread where it does, and may answer at once. request is the
 * InputRequestEvent, with its id as the correlation. A pause, an abort or a time-out does not wait for it. Answers:
 *   BLAZEN_OK        with *answer: that is the answer; without: as BLAZEN_PENDING
 *   BLAZEN_PENDING   blazen_run_respond, or blazen_run_fail_question, comes later
 *   any other        the run fails; *error, where it is set, says why
 * [own: user_data borrow the run, run borrow this call, request borrow this call, answer out | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_input_fn)(void *user_data, blazen_run *run, const blazen_event *request,
                                         blazen_value **answer, blazen_error **error);
/** Makes an object again from what a snapshot kept of it. It is called on the thread that resumes. Answers:
 *   BLAZEN_OK                      *live is the object, and should be LIVE
 *   BLAZEN_ERROR_NOT_SERIALIZABLE  this one cannot be made: with BLAZEN_UNKNOWN_LABEL_SKIP it is left out, like those
 *                                  without a deserializer; without that, as any other
 *   any other                      the resume fails; *error, where it is set, is the cause of its error
 * [own: user_data borrow this call, label borrow this call, kept borrow this call, live out | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_deserialize_fn)(void *user_data, const char *label, size_t label_length,
                                               blazen_value *kept, blazen_value **live, blazen_error **error);

/** The deserializer of one label: an element of an array, with nothing to come. drop(user_data) runs once, when the call
 * that was given it returns, on every path.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_deserializer {
    const char *label; /**< in?: of blazen_value_live; may be empty, and stands in the array once */
    size_t label_length;
    blazen_deserialize_fn deserialize;
    void *user_data; /**< keep?: of deserialize */
    blazen_drop_fn drop;
} blazen_deserializer;

/** What becomes of a LIVE value in a snapshot for whose label there is no deserializer.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_unknown_label;
/** The values of blazen_unknown_label.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_UNKNOWN_LABEL_ERROR = 0, /**< BLAZEN_ERROR_NOT_SERIALIZABLE, which names every one, before any is made */
    BLAZEN_UNKNOWN_LABEL_SKIP = 1   /**< it is left out, as a dropped one is, and blazen_run_dropped names it; so is what its
                                     * deserializer cannot make (BLAZEN_ERROR_NOT_SERIALIZABLE) */
};

/** What a run can be given beside its input.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_run_options {
    size_t struct_size;
    const blazen_value *metadata; /**< in?: the host's own, kept with the run and in its snapshots; not LIVE; NULL: none */
    int32_t allow_changed_workflow; /**< resume although the workflow's fingerprint differs; its steps are still checked */
    const blazen_deserializer *deserializers; /**< in?: for blazen_run_resume alone; may be NULL where there are none */
    size_t deserializer_count;                /**< at most BLAZEN_DESERIALIZERS_MAX: of more, none is looked at */
    blazen_unknown_label unknown_label;
    int32_t time_has_passed; /**< resume: delays, back-offs and deadlines count by the date; 0: they stood still since the snapshot */
    blazen_input_fn input;   /**< answers the questions of the run; NULL: blazen_run_respond does */
    void *user_data;         /**< keep?: of input; drop(user_data) runs when the run is gone, or was not made */
    blazen_drop_fn drop;
    int32_t keep_paused; /**< resume: a run that was paused in its snapshot stays so; 0: its start lets it go on */
    const char *run_id; /**< in?: the id of the new run, where the host has one: a UUID of 36 characters, never given before;
                           NULL: one is made. Not for a resume that is no fork. Since 0.2 */
    size_t run_id_length;
    int32_t fork; /**< resume: 1: a new run from there, with another id, so that its idempotency keys are its own; 0: that run
                     goes on, with its id. A run inside that is kept unread, since its step is elsewhere here, would keep its
                     id: BLAZEN_ERROR_SNAPSHOT_MISMATCH. Since 0.2 */
} blazen_run_options;
/** The defaults, to begin with: `blazen_run_options x = BLAZEN_RUN_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_RUN_OPTIONS_INIT { sizeof(blazen_run_options), NULL, 0, NULL, 0, 0, 0, NULL, NULL, NULL, 0, NULL, 0, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_run_options_init(blazen_run_options *options, size_t struct_size);

/** Tells the host that the run has come to what was waited for (or had come to it before): state says what. It is called
 * once.
 * [own: user_data borrow the run, run borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_run_done_fn)(void *user_data, blazen_run *run, blazen_run_state state);

/** Runs a workflow once, from its input (NULL: JSON null) to its result. This thread helps as in blazen_run_wait with
 * BLAZEN_FOREVER, and comes back when the run has ended, whatever bodies of it are still at work elsewhere. Where the run
 * parks elsewhere, asks, waits for an event, or stays paused when no body is at work, it answers
 * BLAZEN_ERROR_WRONG_STATE: such a run wants a handle.
 * [own: runtime in, workflow in, input in?, result out | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_workflow_run(blazen_workflow *workflow, blazen_runtime *runtime, blazen_value *input,
                                             blazen_value **result, blazen_error **error);

/** Makes a run that is not started yet: this is the time to subscribe. Where a step of the workflow uses a pool that nobody
 * has set, here or in blazen_run_resume, BLAZEN_ERROR_NOT_FOUND names both.
 * [own: runtime in, workflow in, options in?, run out | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_run_create(blazen_runtime *runtime, blazen_workflow *workflow,
                                           const blazen_run_options *options, blazen_run **run, blazen_error **error);
/** Makes a run as it stood in a snapshot, with its id, not started yet. What was in flight there runs again under the same
 * invocation ids; what was completed never does; what it had already sent is not sent twice. Its LIVE values are made
 * again here, by options->deserializers: session entries by their keys, then events by their ids. One that was paused
 * goes on when it is started, its clock too, unless options->keep_paused says otherwise, or it is paused before its start.
 * One whose counters or whose clock leave no room to go on: BLAZEN_ERROR_SNAPSHOT_INVALID.
 * [own: runtime in, workflow in, snapshot in, options in?, run out | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_resume(blazen_runtime *runtime, blazen_workflow *workflow,
                                           const blazen_snapshot *snapshot, const blazen_run_options *options,
                                           blazen_run **run, blazen_error **error);
/** Starts the run: with its input (NULL: JSON null), or, for a resumed run that had been started before, with NULL.
 * [own: run in, input in? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_start(blazen_run *run, blazen_value *input, blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: run in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_run *blazen_run_retain(const blazen_run *run);
/** Takes one reference back. A started run goes on without its handles, for as long as its runtime is open; one that then
 * only the outside could move on is cancelled, once no callback has it: an input handler may still answer, and any
 * callback may retain it.
 * [own: run keep | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API void blazen_run_release(blazen_run *run);
/** Cancels the run where it has not ended, and waits until its last callback has returned. Twice: the same answer.
 * [own: run in | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_close(blazen_run *run, blazen_error **error);
/** Closes as blazen_run_close does, but waits no longer than timeout_ms, as blazen_runtime_close_within does for all runs.
 * [own: run in | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_close_within(blazen_run *run, int64_t timeout_ms, blazen_error **error);

/** Waits until the run has ended or has parked elsewhere; *state says which. timeout_ms: 0 only looks,
 * BLAZEN_FOREVER has no deadline; past it, BLAZEN_ERROR_TIMEOUT. Meanwhile this thread runs steps of the run instead of
 * sleeping, and looks between two bodies whether the wait is over; one that it has begun, it brings to its end. In
 * BLAZEN_MODE_PUMP, it runs whatever can be run. With engine threads, it does so without a deadline alone, and runs the
 * steps whose last bodies have taken less than a millisecond; others, where no engine thread has come for one in a second.
 * So this call comes back late by one such body, at most. A library built without threads never sleeps: where nothing can
 * be run now, it answers BLAZEN_ERROR_TIMEOUT at once. A wait for something else goes on through a pause, and its time-out
 * says that the run is paused. Without a deadline, it sleeps until another thread resumes the run, and the log hears of it
 * after a second; in BLAZEN_MODE_PUMP, where there may be no other thread, it answers BLAZEN_ERROR_TIMEOUT after a second
 * of a pause with no body at work.
 * [own: run in, state out? | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_wait(blazen_run *run, int64_t timeout_ms, blazen_run_state *state,
                                         blazen_error **error);
/** Calls done once when the run has ended or has parked elsewhere, instead of waiting for it. It is called on the thread
 * where that happens, or from this call where it has.
 * [own: run in, user_data keep? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_on_done(blazen_run *run, blazen_run_done_fn done, void *user_data,
                                            blazen_drop_fn drop, blazen_error **error);
/** What else a wait can end with, beside the end of the run: BLAZEN_UNTIL_ bits, added up.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef uint32_t blazen_until;
/** The bits of blazen_until.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_UNTIL_ENDED = 0,
    BLAZEN_UNTIL_WAITING = 8,     /**< 1 << BLAZEN_RUN_WAITING, and so on */
    BLAZEN_UNTIL_ELSEWHERE = 16,
    BLAZEN_UNTIL_PAUSED = 256,
    BLAZEN_UNTIL_ASKING = 512
};
/** Waits as blazen_run_wait does, until what `until` names: blazen_run_wait is until = BLAZEN_UNTIL_ELSEWHERE.
 * [own: run in, state out? | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_wait_until(blazen_run *run, blazen_until until, int64_t timeout_ms,
                                               blazen_run_state *state, blazen_error **error);
/** Calls done as blazen_run_on_done does, when what `until` names has come.
 * [own: run in, user_data keep? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_on_state(blazen_run *run, blazen_until until, blazen_run_done_fn done,
                                             void *user_data, blazen_drop_fn drop, blazen_error **error);
/** Says how far the run is, now. BLAZEN_RUN_NONE for NULL or another kind of handle.
 * [own: run in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_run_state blazen_run_state_now(const blazen_run *run);
/** Gives the result of a completed run, the value of its StopEvent. Of another that has ended, it answers the error with
 * which the run ended, the same each time; before the end, BLAZEN_ERROR_WRONG_STATE.
 * [own: run in, result out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_run_result(const blazen_run *run, blazen_value **result, blazen_error **error);
/** Gives the id of the run: a UUID v4, as 36 characters. NULL for NULL or another kind of handle.
 * [own: run in, length out?, return borrow run | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_run_id(const blazen_run *run, size_t *length);
/** Gives the metadata that the run was given; NULL where there is none.
 * [own: run in, return borrow run | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_run_metadata(const blazen_run *run);
/** Gives the steps elsewhere that have events queued, as a JSON array of names in the order of the workflow.
 * [own: run in, steps out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_run_elsewhere(const blazen_run *run, blazen_value **steps, blazen_error **error);
/** Gives what the snapshots that this run comes from have dropped, and what its resume has skipped, as a JSON array of
 * names: each once, the first one first.
 * [own: run in, names out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_run_dropped(const blazen_run *run, blazen_value **names, blazen_error **error);
/** Sends an event from outside into a run that has started and has not ended. One that joins alone accept is refused with
 * BLAZEN_ERROR_NOT_FOUND where options->scope names no scope that they join.
 * [own: run in, event in, options in? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_send_event(blazen_run *run, const blazen_event *event,
                                               const blazen_send_options *options, blazen_error **error);

/** Reads a key of the run's state, at any time, also when it has ended; what an atomic step writes is there when it has
 * completed. *value is NULL where there is no such key, and *version is 0 then, else for blazen_run_compare_and_set.
 * [own: run in, key in, value out, version out? | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_run_get_value(const blazen_run *run, const char *key, size_t key_length,
                                              blazen_value **value, uint64_t *version, blazen_error **error);
/** Lists the keys of the run's state that begin with prefix (empty: all), in the order of their bytes.
 * [own: run in, prefix in?, keys out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_run_keys(const blazen_run *run, const char *prefix, size_t prefix_length,
                                         blazen_keys **keys, blazen_error **error);
/** Writes the value of a key only where it still has the version given (0: is not there); else it answers
 * BLAZEN_ERROR_CONFLICT, and after the end of the run BLAZEN_ERROR_CANCELLED. value NULL removes the key. *version gets the
 * new one. Before the start, it says what the state begins with.
 * [own: run in, key in, value in?, version out? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_run_compare_and_set(blazen_run *run, const char *key, size_t key_length,
                                                    uint64_t expected, blazen_value *value, uint64_t *version,
                                                    blazen_error **error);
/** Applies a batch to the state: all of it, or, with BLAZEN_ERROR_CONFLICT or BLAZEN_ERROR_LIMIT, nothing.
 * [own: run in, batch in | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_run_apply(blazen_run *run, const blazen_batch *batch, blazen_error **error);
/** Says where the stages of a pipeline stand, as a JSON object: {stages: [{name, status ("pending", "running", "skipped",
 * "completed", "failed", "cancelled"), round (of a loop: how many are behind), branch (the first success), started_ms (the
 * date), took_ms, tag (of its result, "none" where there is none), branches: [{name, status}]}], current (how many are behind),
 * total, percent}. Of a run that is no pipeline, BLAZEN_ERROR_WRONG_STATE.
 * [own: run in, stages out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_run_stages(const blazen_run *run, blazen_value **stages, blazen_error **error);
/** Gives a run inside this one (BLAZEN_ERROR_NOT_FOUND: it has ended, or never was), for blazen_run_send_event,
 * blazen_run_describe, blazen_run_get_value, blazen_run_keys, blazen_run_compare_and_set, blazen_run_apply,
 * blazen_run_cancel_invocation, blazen_run_stages, blazen_run_state_now, blazen_run_result and blazen_run_id. What concerns the
 * whole tree (pause, snapshot, abort, close, waiting, streams, questions) answers BLAZEN_ERROR_WRONG_PLACE there: it is for the top. The handle
 * keeps the whole tree, as one of the top does.
 * [own: run in, child_run_id in, child out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_run_child(blazen_run *run, const char *child_run_id, size_t child_run_id_length,
                                          blazen_run **child, blazen_error **error);
/** Cancels one invocation and lets the run go on: its step fails with BLAZEN_ERROR_CANCELLED, whether it runs (it is told,
 * and what it does counts no more), waits for an answer, its next attempt or a permit, or is queued or elsewhere. retry 1: as
 * its retry policy says; 0: for good. So the run ends by it where no step accepts blazen::StepFailedEvent. For an id that is
 * not open, it answers BLAZEN_ERROR_NOT_FOUND.
 * [own: run in | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_run_cancel_invocation(blazen_run *run, uint64_t invocation_id, int32_t retry,
                                                      blazen_error **error);

/** How a run is paused.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_pause_mode;
/** The values of blazen_pause_mode.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_PAUSE_NOW = 1,  /**< complete at once: no step starts any more, those in flight land, what they give is queued */
    BLAZEN_PAUSE_DRAIN = 2 /**< the same, and complete when no body is at work */
};
/** Pauses a started run, before any queued event. BLAZEN_RUN_PAUSED acknowledges it, in every form of waiting. A second
 * pause is the same pause (NOW completes a DRAIN); after the end, it answers BLAZEN_ERROR_CANCELLED.
 * The clock of the run stands still; a body under way goes on, and with it the time-out of its attempt.
 * [own: run in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_pause(blazen_run *run, blazen_pause_mode mode, blazen_error **error);
/** Lets a run go on after a pause. One that is not paused goes on as it is; after the end, it answers
 * BLAZEN_ERROR_CANCELLED.
 * [own: run in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_resume_in_place(blazen_run *run, blazen_error **error);
/** Ends the run at once with BLAZEN_ERROR_ABORTED, where it has not ended; its steps in flight are told to cancel. It
 * does not wait for them, and may be called from anywhere. Twice: the same answer.
 * [own: run in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_abort(blazen_run *run, blazen_error **error);
/** Answers an open question with a value of any tag (NULL: JSON null). For an id that is unknown, or was answered,
 * it answers BLAZEN_ERROR_NOT_FOUND, and nothing has changed.
 * [own: run in, request_id in, answer in? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_respond(blazen_run *run, const char *request_id, size_t request_id_length,
                                            blazen_value *answer, blazen_error **error);
/** Answers a question that may not be asked yet. One that is open is answered as by blazen_run_respond; else the answer (not
 * LIVE; NULL: JSON null) is kept, in snapshots too, for the body that asks under this id with blazen_context_ask, which has it
 * at once. At most BLAZEN_LIMIT_QUESTIONS are kept: BLAZEN_ERROR_LIMIT. Where one is kept for this id already, it answers
 * BLAZEN_ERROR_CONFLICT.
 * [own: run in, request_id in, answer in? | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_run_respond_early(blazen_run *run, const char *request_id, size_t request_id_length,
                                                  blazen_value *answer, blazen_error **error);
/** Withdraws an open question: nobody needs to answer it any more. The body that asked it is called again, and there
 * blazen_context_ask answers BLAZEN_ERROR_CANCELLED; its `answered` is called with an answer of NULL. Of one that an event
 * asked, nothing is left. For an id that is not open, it answers BLAZEN_ERROR_NOT_FOUND, and after the end of the run
 * BLAZEN_ERROR_CANCELLED; nothing has changed then.
 * [own: run in, request_id in | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_run_withdraw_question(blazen_run *run, const char *request_id, size_t request_id_length,
                                                      blazen_error **error);
/** Says that an open question cannot be answered: the run fails with cause, as it does where its input handler answers
 * with an error. It is for handlers that have answered BLAZEN_PENDING. For an id that is unknown, or was answered, it
 * answers BLAZEN_ERROR_NOT_FOUND, and nothing has changed.
 * [own: run in, request_id in, cause in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_fail_question(blazen_run *run, const char *request_id, size_t request_id_length,
                                                  blazen_error *cause, blazen_error **error);
/** Gives the open questions, in the order in which they were asked: a JSON array of {request_id, prompt, metadata, step,
 * invocation_id, asked_ms (the date), age_ms, and deadline_ms (the date), where it has one}. Behind them stand those of the
 * runs inside the run: their request_id, which the calls below take, begins with the id of that run and a slash, and path is as
 * in blazen_event_view.
 * [own: run in, questions out | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_questions(const blazen_run *run, blazen_value **questions, blazen_error **error);
/** Whether the host has to answer something: *wants is 1 while a question is open that no input handler of the run has been
 * given; else 0. A question that a handler left for later (BLAZEN_PENDING, or no answer) counts as that handler's.
 * [own: run in, wants out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_run_wants_input(const blazen_run *run, int32_t *wants, blazen_error **error);
/** Describes what the run is doing, without stopping it: a JSON object {run_id, workflow, status, pause?, error?,
 * in_flight: [{step, invocation_id, attempt, event_type, age_ms?}], abandoned: [{..., at_work, keeps_permit}], queued,
 * retrying: [{..., due_in_ms}], delayed: [{event_type, event_id, due_in_ms}], questions, elsewhere: [step], scopes:
 * [{scope_id, opener, opener_invocation_id?, parent?, live, late, joins: [{join, closed, arrived, wanted?, due_in_ms?}]}],
 * pools?: [{pool, permits, waiting, steps}], collects?: [{step, key?, scope_id?, event_type, count, wanted}],
 * children?: [{step, invocation_id, branch?, run}], child_count?, counters}. run is such an object again, of the run inside
 * that the step is. At most 100 of each are listed, of the runs inside 100 in all; counters has them all, and child_count.
 * age_ms is exact for bodies that take milliseconds; of those that take less, it may be that of some before. abandoned are those whose attempt is over, and all that an ended run
 * has in flight: at_work, their bodies have not returned; else whoever deferred them has not completed them. A scope is
 * there until all that belongs to it is gone: live counts that, late what was dropped, arrived what a join has collected and
 * was not invoked with yet; opener_invocation_id is there while the opener is.
 * [own: run in, description out | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_describe(const blazen_run *run, blazen_value **description, blazen_error **error);

/* --------------------------------------------------------------------------------------------------------- context */

/** What a step sees of its run. A context lives from the call of the body until its invocation is completed; after that,
 * where an invocation is still held, its calls answer BLAZEN_ERROR_WRONG_STATE. When the run has ended meanwhile, they
 * answer BLAZEN_ERROR_CANCELLED and change nothing. Texts handed out live as long as the context.
 * The getters answer NULL or 0 for NULL or another kind of handle. This one gives the id of the run, as 36 characters.
 * [own: context in, length out?, return borrow context | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_context_run_id(const blazen_context *context, size_t *length);
/** Gives the name of the workflow.
 * [own: context in, length out?, return borrow context | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_context_workflow_name(const blazen_context *context, size_t *length);
/** Gives the name of the step.
 * [own: context in, length out?, return borrow context | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_context_step_name(const blazen_context *context, size_t *length);
/** Gives the number of this invocation, from 1: with the id of the run, it is the idempotency key, and stays the same
 * when the invocation runs again after a resume.
 * [own: context in | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API uint64_t blazen_context_invocation_id(const blazen_context *context);
/** Says which attempt of the invocation this is, from 1.
 * [own: context in | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API uint32_t blazen_context_attempt(const blazen_context *context);
/** Says whether the step is cancelled: 1 when the run has ended, the time of this attempt is up, or
 * blazen_run_cancel_invocation was called, and nothing that the step does counts any more; else 0.
 * [own: context in | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API int32_t blazen_context_is_cancelled(const blazen_context *context);
/** Tells a step that it is cancelled: see blazen_context_is_cancelled.
 * [own: user_data borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_cancel_fn)(void *user_data);
/** Calls cancelled once when the step is cancelled, on the thread where that happens, or from this call where it has
 * happened. Where it never happens, only drop is called.
 * [own: context in, user_data keep? | thread: step | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_context_on_cancel(blazen_context *context, blazen_cancel_fn cancelled,
                                                  void *user_data, blazen_drop_fn drop, blazen_error **error);
/** Gives a descriptor that becomes readable when the step is cancelled, and stays so. It belongs to the context: do not
 * close it. You may dup it, and poll it level- or edge-triggered.
 * [own: context in, descriptor borrow context | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_cancel_descriptor(blazen_context *context, int32_t *descriptor,
                                                          blazen_error **error);
/** Gives the run, for its snapshot, its streams or its state: in a run inside another, the top of them.
 * [own: context in, return borrow context | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_run *blazen_context_run(const blazen_context *context);

/** Gives the event that this step was invoked with; of a join, the one that arrived last, or, where none has,
 * BLAZEN_EMPTY_JOIN_EVENT. NULL for NULL or another kind of handle.
 * [own: context in, return borrow context | thread: step | block: no | calls: none | since: 0.2] */
BLAZEN_API const blazen_event *blazen_context_event(const blazen_context *context);
/** Gives all the events that this step was invoked with: of a join, what has arrived, which may be nothing; of the output of
 * blazen_workflow_builder_add_workflows (all have to succeed, no output mapper), the results, in the order of the branches,
 * whose names are their sources; of others, one.
 * [own: context in, events borrow context, count out | thread: step | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_context_events(blazen_context *context, const blazen_event *const **events,
                                               size_t *count, blazen_error **error);
/** Why a join was invoked.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef int32_t blazen_join_reason;
/** The values of blazen_join_reason.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum {
    BLAZEN_JOIN_REASON_NONE = 0,      /**< this step is no join */
    BLAZEN_JOIN_REASON_COMPLETE = 1,  /**< BLAZEN_JOIN_ALL: nothing of the scope is left */
    BLAZEN_JOIN_REASON_CONDITION = 2, /**< as many have arrived as were wanted */
    BLAZEN_JOIN_REASON_SHORT = 3,     /**< the scope was over before that */
    BLAZEN_JOIN_REASON_DEADLINE = 4   /**< its deadline has passed */
};
/** What a join was invoked with.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
typedef struct blazen_join_info {
    size_t struct_size;
    blazen_join_reason reason;
    uint32_t wanted;   /**< how many; 0: all */
    uint64_t arrived;  /**< how many have */
    uint64_t scope_id; /**< of the scope that it has joined */
} blazen_join_info;
/** Its beginning: `blazen_join_info x = BLAZEN_JOIN_INFO_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
#define BLAZEN_JOIN_INFO_INIT { sizeof(blazen_join_info), 0, 0, 0, 0 }
/** Sets struct_size (give sizeof *info) and zeroes the rest.
 * [own: info out | thread: any | block: no | calls: none | since: 0.2] */
BLAZEN_API void blazen_join_info_init(blazen_join_info *info, size_t struct_size);
/** Says why this join was invoked: fills the fields that info has room for; set struct_size before. In a step that is no
 * join, its reason is BLAZEN_JOIN_REASON_NONE.
 * [own: context in, info out | thread: step | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_context_join_info(blazen_context *context, blazen_join_info *info,
                                                  blazen_error **error);
/** Answers, of a mapper (blazen_mapper), once: a second answer is BLAZEN_ERROR_CONFLICT. In any other step, it is
 * BLAZEN_ERROR_WRONG_PLACE. It counts when the body completes.
 * [own: context in, value in? | thread: step | block: no | calls: none | since: 0.2] */
BLAZEN_API blazen_status blazen_context_answer(blazen_context *context, blazen_value *value, blazen_error **error);
/** Gives the id of the scope that this invocation belongs to, for blazen_send_options.scope: 0 where it belongs to none, and
 * when the run has ended.
 * [own: context in | thread: step | block: no | calls: none | since: 0.2] */
BLAZEN_API uint64_t blazen_context_scope_id(const blazen_context *context);
/** Collects the event of this invocation, under a key of this step, until there are counts[i] events of each types[i].
 * Answers:
 *   BLAZEN_OK       there are: blazen_context_events now gives them, in the order of types, and within a type in that of
 *                   arrival. They are this invocation's, also when it is tried again or resumed, and no other is given them;
 *                   what is more than the counts begins the next group. With n 0, it is whole at once, with no event
 *   BLAZEN_PENDING  not yet: the event is kept, in snapshots too, and this invocation has nothing to do but to return that,
 *                   or BLAZEN_OK; both complete it
 * An event of another type is no part of it. Within a scope, each scope collects by itself, and what is left when it closes
 * is dropped ("late"). It is an effect, as blazen_context_send_event is: it takes place now, once for each place in the body.
 * Kept events count in BLAZEN_LIMIT_QUEUED_EVENTS. In an atomic step it answers BLAZEN_ERROR_WRONG_PLACE.
 * [own: context in, key in?, types in?, type_lengths in?, counts in? | thread: step | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_context_collect(blazen_context *context, const char *key, size_t key_length,
                                                const char *const *types, const size_t *type_lengths,
                                                const uint32_t *counts, size_t n, blazen_error **error);

/** Adds an event to what this step returns: it is routed, in order, when the step completes, and not if it fails.
 * value NULL is JSON null.
 * [own: context in, type in, value in? | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_emit(blazen_context *context, const char *type, size_t type_length,
                                             blazen_value *value, blazen_error **error);
/** Emits as blazen_context_emit does, with JSON text as the value.
 * [own: context in, type in, json in | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_emit_json(blazen_context *context, const char *type, size_t type_length,
                                                  const char *json, size_t json_length, blazen_error **error);
/** Emits an event that was made before, or one with options, as blazen_context_emit does.
 * [own: context in, event in, options in? | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_emit_event(blazen_context *context, const blazen_event *event,
                                                   const blazen_send_options *options, blazen_error **error);
/** Routes an event at once, while the step runs.
 * [own: context in, event in, options in? | thread: step | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_context_send_event(blazen_context *context, const blazen_event *event,
                                                   const blazen_send_options *options, blazen_error **error);
/** Sets that the next attempt, if this one fails, begins after delay_ms instead of what the policy says. Where no attempt is
 * left, it changes nothing.
 * [own: context in | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_retry_after(blazen_context *context, int64_t delay_ms, blazen_error **error);

/** Tells a deferred step that the answer to its question has come; NULL: it was withdrawn. It is called on the thread that
 * answers.
 * [own: user_data borrow this call, context borrow this call, request_id borrow this call, answer borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_answer_fn)(void *user_data, blazen_context *context, const char *request_id,
                                 size_t request_id_length, blazen_value *answer);
/** A question to a human.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_question {
    size_t struct_size;
    const char *request_id; /**< in?: NULL: one is made, the same when the step asks the same again */
    size_t request_id_length;
    const char *prompt; /**< in?: what is asked */
    size_t prompt_length;
    const blazen_value *metadata; /**< in?: JSON; NULL: none */
    blazen_answer_fn answered;    /**< NULL: the body is called again */
    void *user_data;              /**< keep?: of answered; drop(user_data) runs after it, or instead of it */
    blazen_drop_fn drop;
    int64_t deadline_ms; /**< so long after it is asked, it is answered with default_answer where nobody has; 0: it waits for
                            ever. It is counted by a clock that stands still while the run is paused, and between two
                            processes unless blazen_run_options.time_has_passed says otherwise. Since 0.2 */
    const blazen_value *default_answer; /**< in?: not LIVE; NULL: JSON null. Since 0.2 */
} blazen_question;
/** The defaults, to begin with: `blazen_question x = BLAZEN_QUESTION_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_QUESTION_INIT { sizeof(blazen_question), NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, 0, NULL }
/** Sets struct_size (give sizeof *question) and the defaults.
 * [own: question out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_question_init(blazen_question *question, size_t struct_size);
/** Asks a question, once for each id. Answers:
 *   BLAZEN_OK               with *answer: it was given already
 *   BLAZEN_PENDING          not yet. The body returns that (it may ask more before), and is called again, from its
 *                           beginning and with the same invocation id, when an answer has come; what it has sent is not
 *                           sent twice, and this call then has the answer. So a question outlives its process. A deferred
 *                           step may set `answered` instead, and stays in flight
 *   BLAZEN_ERROR_CONFLICT   a question is open under this id
 *   BLAZEN_ERROR_CANCELLED  it was withdrawn: nobody answers it
 * No question gets the answer to another (prompt or metadata differ). An id that is made follows the question: where the
 * body asks something else in the same place (counting what it asks without an id) when it is called again, that is asked
 * anew under another id, the first one is withdrawn where it is open, and the stream says send_diverged. Under an id that
 * you give there is one question of this step: another one, while that is open or answered, is BLAZEN_ERROR_CONFLICT.
 * [own: context in, question in, answer out | thread: step | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_context_ask(blazen_context *context, const blazen_question *question,
                                            blazen_value **answer, blazen_error **error);
/** Publishes an event on the stream at once; it is never routed. What the library itself puts on streams (StreamEnd,
 * StreamGap, lifecycle, ProgressEvent) cannot be published, emitted or sent: BLAZEN_ERROR_INVALID_ARGUMENT.
 * [own: context in, event in | thread: step | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_context_publish(blazen_context *context, const blazen_event *event,
                                                blazen_error **error);
/** Says how far this step is, to the streams with lifecycle; while there is none, it costs nothing. total 0: not known;
 * current is not more than it. label may be empty; what is not UTF-8 in it becomes U+FFFD.
 * [own: context in, label in? | thread: step | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_context_progress(blazen_context *context, const char *label, size_t label_length,
                                                 uint64_t current, uint64_t total, blazen_error **error);

/** Writes a value (NULL: JSON null) to the state of the run, which all its steps see at once, and every snapshot has. A
 * LIVE value is refused with BLAZEN_ERROR_WRONG_TAG: it belongs in the session.
 * [own: context in, key in, value in? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_set_value(blazen_context *context, const char *key, size_t key_length,
                                                  blazen_value *value, blazen_error **error);
/** Writes JSON text to the state, as blazen_context_set_value does with a value.
 * [own: context in, key in, json in | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_set_json(blazen_context *context, const char *key, size_t key_length,
                                                 const char *json, size_t json_length, blazen_error **error);
/** Writes bytes to the state, as blazen_context_set_value does with a value.
 * [own: context in, key in, data in? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_set_bytes(blazen_context *context, const char *key, size_t key_length,
                                                  const void *data, size_t data_length, blazen_error **error);
/** Reads a value of the state. *value is NULL where there is no such key: that is not an error. *version is 0 then, and
 * otherwise grows with every write of the key.
 * [own: context in, key in, value out, version out? | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_get_value(const blazen_context *context, const char *key, size_t key_length,
                                                  blazen_value **value, uint64_t *version, blazen_error **error);
/** The same, borrowed, and everything about it at once: fills the fields that the view has room for; set struct_size before.
 * The context keeps that value, and only that one: it lives until the next blazen_context_read on this context that succeeds, or
 * until the invocation is completed, also where the key gets another value meanwhile.
 * [own: context in, key in, view out | thread: step | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_context_read(blazen_context *context, const char *key, size_t key_length,
                                             blazen_value_view *view, blazen_error **error);
/** Says whether the state has the key: *found is 1 or 0.
 * [own: context in, key in, found out | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_has_value(const blazen_context *context, const char *key, size_t key_length,
                                                  int32_t *found, blazen_error **error);
/** Removes a key from the state. *removed is 1 where it was there.
 * [own: context in, key in, removed out? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_remove_value(blazen_context *context, const char *key, size_t key_length,
                                                     int32_t *removed, blazen_error **error);
/** Lists the keys of the state that begin with prefix (empty: all), in the order of their bytes.
 * [own: context in, prefix in?, keys out | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_keys(const blazen_context *context, const char *prefix, size_t prefix_length,
                                             blazen_keys **keys, blazen_error **error);
/** Removes every key from the state.
 * [own: context in | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_clear_values(blazen_context *context, blazen_error **error);
/** Writes the value only where the key still has the version given (0: is not there); else it answers BLAZEN_ERROR_CONFLICT.
 * value NULL removes the key. *version gets the new one.
 * [own: context in, key in, value in?, version out? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_compare_and_set(blazen_context *context, const char *key, size_t key_length,
                                                        uint64_t expected, blazen_value *value, uint64_t *version,
                                                        blazen_error **error);
/** Applies a batch to the state: all of it, or, with BLAZEN_ERROR_CONFLICT or BLAZEN_ERROR_LIMIT, nothing.
 * [own: context in, batch in | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_apply(blazen_context *context, const blazen_batch *batch,
                                              blazen_error **error);

/** Writes a value (NULL: JSON null) to the session of the run: any value, in this process; the identity of LIVE objects is
 * kept. Its keys are not those of the state.
 * [own: context in, key in, value in? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_set_session(blazen_context *context, const char *key, size_t key_length,
                                                    blazen_value *value, blazen_error **error);
/** Reads a value of the session. *value is NULL where there is no such key: that is not an error.
 * [own: context in, key in, value out | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_get_session(const blazen_context *context, const char *key, size_t key_length,
                                                    blazen_value **value, blazen_error **error);
/** Says whether the session has the key: *found is 1 or 0.
 * [own: context in, key in, found out | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_has_session(const blazen_context *context, const char *key, size_t key_length,
                                                    int32_t *found, blazen_error **error);
/** Removes a key from the session. *removed is 1 where it was there.
 * [own: context in, key in, removed out? | thread: step | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_context_remove_session(blazen_context *context, const char *key, size_t key_length,
                                                       int32_t *removed, blazen_error **error);
/** Lists the keys of the session that begin with prefix (empty: all), in the order of their bytes.
 * [own: context in, prefix in?, keys out | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_session_keys(const blazen_context *context, const char *prefix,
                                                     size_t prefix_length, blazen_keys **keys, blazen_error **error);

/** Says how many keys a list has.
 * [own: keys in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API size_t blazen_keys_count(const blazen_keys *keys);
/** Gives the key at index, from 0; NULL past the end.
 * [own: keys in, length out?, return borrow keys | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_keys_at(const blazen_keys *keys, size_t index, size_t *length);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: keys in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_keys *blazen_keys_retain(const blazen_keys *keys);
/** Takes one reference back.
 * [own: keys keep | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_keys_release(blazen_keys *keys);

/** Makes a batch of writes, to be applied together. Use it in one thread at a time. It may be applied again.
 * [own: batch out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_batch_create(blazen_batch **batch, blazen_error **error);
/** Adds a write of this value to the batch (NULL: JSON null).
 * [own: batch in, key in, value in? | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_batch_set(blazen_batch *batch, const char *key, size_t key_length, blazen_value *value,
                                          blazen_error **error);
/** Adds the removal of a key to the batch.
 * [own: batch in, key in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_batch_remove(blazen_batch *batch, const char *key, size_t key_length,
                                             blazen_error **error);
/** Adds a condition to the batch: all of it applies only where the key has this version (0: is not there) beforehand.
 * [own: batch in, key in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_batch_expect(blazen_batch *batch, const char *key, size_t key_length,
                                             uint64_t expected, blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: batch in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_batch *blazen_batch_retain(const blazen_batch *batch);
/** Takes one reference back.
 * [own: batch keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_batch_release(blazen_batch *batch);

/* ------------------------------------------------------------------------------------------------------ invocation */

/** Lets the step complete later: its body calls this, hands the invocation to whatever will finish the work (a promise, a
 * goroutine, a thread), and returns BLAZEN_PENDING. It may be called once for each invocation.
 * [own: context in, invocation out | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_context_defer(blazen_context *context, blazen_invocation **invocation,
                                              blazen_error **error);
/** Gives the context of the invocation, for everything that a body can do. NULL for NULL or another kind of handle.
 * [own: invocation in, return borrow invocation | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_context *blazen_invocation_context(const blazen_invocation *invocation);
/** Gives the event of the invocation. NULL for NULL or another kind of handle.
 * [own: invocation in, return borrow invocation | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const blazen_event *blazen_invocation_event(const blazen_invocation *invocation);
/** Completes the step: it is done, and what it emitted is routed. A second completion answers BLAZEN_ERROR_WRONG_STATE,
 * to its caller alone; one after the end of the run, BLAZEN_ERROR_CANCELLED. It takes effect when the body has returned
 * as well.
 * [own: invocation in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_invocation_complete(blazen_invocation *invocation, blazen_error **error);
/** Completes the step otherwise: it has failed, with this cause, such as blazen_error_host gives.
 * [own: invocation in, cause in | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_invocation_fail(blazen_invocation *invocation, blazen_error *cause,
                                                blazen_error **error);
/** Completes it (cause NULL) or fails it, and releases this handle, on every path.
 * [own: invocation keep, cause in? | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_invocation_finish(blazen_invocation *invocation, blazen_error *cause,
                                                  blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: invocation in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_invocation *blazen_invocation_retain(const blazen_invocation *invocation);
/** Takes one reference back. The last release of an invocation that was never completed fails its step: no run hangs on a
 * lost promise.
 * [own: invocation keep | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API void blazen_invocation_release(blazen_invocation *invocation);

/* ---------------------------------------------------------------------------------------------------------- stream */

/** Tells the host that there is an item to take. It is called once; ask again after taking the item.
 * [own: user_data borrow the stream | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_stream_ready_fn)(void *user_data);

/** What becomes of a subscriber that is slower than the run.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_overflow;
/** The values of blazen_overflow.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_OVERFLOW_GAP = 0, /**< it loses the oldest items, and gets one BLAZEN_STREAM_GAP with their count */
    BLAZEN_OVERFLOW_HOLD = 1 /**< the run waits for it: while it has `capacity` items or more to take, no further step is
                                started. Bodies under way go on; past BLAZEN_LIMIT_STREAM_ITEMS it gets a gap after all.
                                Taking items or closing the stream lets the run go on, and a run that is closed ends. A
                                wait for the run does not take items: BLAZEN_FOREVER on the only thread that takes them
                                never returns */
};

/** What a subscriber wants to see.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_stream_options {
    size_t struct_size;
    uint64_t from; /**< 0: from now on; n: from item n on, with a gap in place of what is not kept any more (as after a
                      resume). Past the next item of the run: refused */
    const char *const *types; /**< in?: these event types alone, beside StreamEnd and StreamGap; NULL: all */
    const size_t *type_lengths; /**< in?: of each of them */
    size_t type_count;
    blazen_overflow overflow;
    uint64_t capacity; /**< items published since, and not taken; 0, and at most: the workflow's BLAZEN_LIMIT_STREAM_ITEMS */
    int32_t lifecycle; /**< 1: lifecycle and progress items too. They have no number of their own, but that of the item before
                          them, stand where they happened, and are never repeated; `types` holds for them as well */
    int32_t routed; /**< 1: each event that is routed too, whole, when it is: StartEvent, what steps send and emit, what comes
                       from outside, StopEvent. They stand among the lifecycle items and are unnumbered like them, so that
                       nothing depends on who watches; what is published as well, such as a question, comes once, with its
                       number. Where nobody asks for it, it costs nothing. Since 0.2 */
    int32_t own_level; /**< 1: nothing of the runs inside the run; 0: theirs too, each with its path. Since 0.2 */
} blazen_stream_options;
/** The defaults, to begin with: `blazen_stream_options x = BLAZEN_STREAM_OPTIONS_INIT;`.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_STREAM_OPTIONS_INIT { sizeof(blazen_stream_options), 0, NULL, NULL, 0, 0, 0, 0, 0, 0 }
/** Sets struct_size (give sizeof *options) and the defaults.
 * [own: options out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_stream_options_init(blazen_stream_options *options, size_t struct_size);

/** Subscribes to what the run publishes from now on; before the start, it misses nothing. The stream has every item in order
 * and ends with BLAZEN_STREAM_END.
 * [own: run in, stream out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_run_subscribe(blazen_run *run, blazen_stream **stream, blazen_error **error);
/** Subscribes with options. On a run that has ended, the stream has what is kept of it, and BLAZEN_STREAM_END.
 * [own: run in, options in?, stream out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_run_subscribe_with(blazen_run *run, const blazen_stream_options *options,
                                                   blazen_stream **stream, blazen_error **error);
/** Takes the next item, and its number in the run's stream, from 1; a gap has that of the last item
 * it stands for. timeout_ms as in blazen_run_wait; a thread that helps meanwhile comes back as soon as an item is there and
 * its body has returned. After BLAZEN_STREAM_END, it gives the same again.
 * [own: stream in, item out, sequence out? | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_stream_next(blazen_stream *stream, int64_t timeout_ms, blazen_event **item,
                                            uint64_t *sequence, blazen_error **error);
/** Takes what there is, up to capacity items, and waits for the first one as blazen_stream_next does: *count is at least 1.
 * items has room for capacity handles, each for the caller to release, and sequences (may be NULL) for as many numbers. A gap is
 * an item. BLAZEN_STREAM_END is the last one of those that are taken at once.
 * [own: stream in, items out, sequences out?, count out | thread: outside | block: yes | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_stream_take(blazen_stream *stream, int64_t timeout_ms, blazen_event **items,
                                            uint64_t *sequences, size_t capacity, size_t *count,
                                            blazen_error **error);
/** Calls ready once, when blazen_stream_next with a timeout of 0 will have an item. One such callback waits at a time. It is
 * called on the thread that publishes or closes, or from this call where there is an item already.
 * [own: stream in, user_data keep? | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_stream_on_ready(blazen_stream *stream, blazen_stream_ready_fn ready, void *user_data,
                                                blazen_drop_fn drop, blazen_error **error);
/** Takes back a callback of blazen_stream_on_ready that has not been called: it never is, its drop runs here, and *cancelled
 * (may be NULL) is 1. 0: there is none, or it is about to be called.
 * [own: stream in, cancelled out? | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_stream_cancel_ready(blazen_stream *stream, int32_t *cancelled, blazen_error **error);
/** Ends the subscription and waits for its callback; blazen_stream_next then gives BLAZEN_STREAM_END. A second
 * call answers the same.
 * [own: stream in | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_stream_close(blazen_stream *stream, blazen_error **error);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: stream in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_stream *blazen_stream_retain(const blazen_stream *stream);
/** Takes one reference back. The last release ends the subscription.
 * [own: stream keep | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API void blazen_stream_release(blazen_stream *stream);

/* -------------------------------------------------------------------------------------------------------- snapshot */

/** Takes a snapshot: one atomic cut through the run, at any instant, running or not, from any thread, without stopping
 * it: state, queued events, invocations in flight with what they have already sent, waiting queues, counters. The session
 * and LIVE values are in it as blazen_session_policy says; where one keeps it from being taken, it answers
 * BLAZEN_ERROR_NOT_SERIALIZABLE, which names every one. The run itself loses nothing by it.
 * [own: run in, snapshot out | thread: any | block: no | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_run_snapshot(const blazen_run *run, blazen_snapshot **snapshot, blazen_error **error);
/** The most bytes that a blazen_write_fn is given at once.
 * [own: none | thread: any | block: no | calls: none | since: 0.2] */
enum { BLAZEN_PIECE_BYTES_MAX = 0x100000 };
/** Takes the next piece of the bytes of a snapshot, 1 to BLAZEN_PIECE_BYTES_MAX of them. Answers:
 *   BLAZEN_OK        it goes on
 *   any other        no further piece comes, and the call that writes fails with this; *error, where it is set, says why
 * [own: user_data borrow this call, data borrow this call | thread: any | block: no | calls: none | since: 0.2] */
typedef blazen_status (*blazen_write_fn)(void *user_data, const void *data, size_t data_length, blazen_error **error);
/** Takes a snapshot as blazen_run_snapshot does, and writes its bytes: the same that blazen_snapshot_data would give, handed
 * to write piece by piece, in order, in this thread, and never all of them in memory at once: what is big comes from where
 * it lies. Where it fails, the pieces before are worth nothing; one that is refused for its LIVE values has none. The cut is
 * taken before the first piece: the run goes on meanwhile, and may end or be released. A close waits for the piece under
 * way; then the writing ends with BLAZEN_ERROR_CANCELLED. drop runs before this call returns.
 * [own: run in, user_data keep? | thread: any | block: no | calls: host | since: 0.2] */
BLAZEN_API blazen_status blazen_run_snapshot_to(const blazen_run *run, blazen_write_fn write, void *user_data,
                                                blazen_drop_fn drop, blazen_error **error);
/** Makes a snapshot of its bytes, which are copied and checked field by field. Memory stays under 24 times the bytes given,
 * and 64 KiB; time is in proportion to the bytes, whatever they say: under a microsecond each, here and in blazen_run_resume
 * (the host's deserializers not counted).
 * [own: data in, snapshot out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_snapshot_parse(const void *data, size_t data_length, blazen_snapshot **snapshot,
                                               blazen_error **error);
/** Does what blazen_snapshot_parse does, without the copy: data has to stay where it is, and as it is, until drop(user_data)
 * is called. The snapshot refers to it, and so does a value of tag BYTES or NATIVE of a run resumed from it that has at
 * least 64 KiB and half of data_length; everything else is copied by blazen_run_resume.
 * [own: data keep, user_data keep?, snapshot out | thread: any | block: no | calls: drop | since: 0.2] */
BLAZEN_API blazen_status blazen_snapshot_adopt(const void *data, size_t data_length, void *user_data,
                                               blazen_drop_fn drop, blazen_snapshot **snapshot, blazen_error **error);
/** Gives the bytes of the snapshot: CBOR, deterministic, as snapshot.cddl says. The same run at the same point gives the
 * same bytes.
 * [own: snapshot in, length out?, return borrow snapshot | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const void *blazen_snapshot_data(const blazen_snapshot *snapshot, size_t *length);
/** Says what is in the snapshot, as a JSON object: format, engine, workflow, fingerprint, run_id, state ("created",
 * "running", "paused", "completed", "failed", "cancelled"), queued, in_flight, delayed (events), retrying (of queued),
 * questions (open ones), events_routed, children (how many runs are inside it, at any depth), inside (an object: those six
 * counts of all of them), paused (a boolean), steps_needed (names of the steps with work, those of runs inside as
 * "step/inner"; no more than a mebibyte of them), steps_left_out (how many more), state_keys, stream_sequence, dropped (as
 * blazen_run_dropped gives it).
 * [own: snapshot in, info out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_snapshot_info(const blazen_snapshot *snapshot, blazen_value **info,
                                              blazen_error **error);
/** Gives the metadata of the run, as it was given; NULL where there is none.
 * [own: snapshot in, return borrow snapshot | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_snapshot_metadata(const blazen_snapshot *snapshot);
/** Adds one reference, and gives the same handle. NULL gives NULL.
 * [own: snapshot in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_snapshot *blazen_snapshot_retain(const blazen_snapshot *snapshot);
/** Takes one reference back.
 * [own: snapshot keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API void blazen_snapshot_release(blazen_snapshot *snapshot);

/* --------------------------------------------------------------------------------------------------------- library */

/** Gives the version of the library at run time: "0.2.0".
 * [own: return borrow the library | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_version(void);
/** Gives the ABI number of the library at run time: a binding made for another one must refuse it.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API uint32_t blazen_abi(void);
/** Says whether the library has a feature ("threads", "descriptor"): 1, or 0 where it has not, or does not know it.
 * [own: feature in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API int32_t blazen_has_feature(const char *feature, size_t feature_length);

#ifndef BLAZEN_BARE
#ifdef __cplusplus
}
#endif
#endif

#endif
