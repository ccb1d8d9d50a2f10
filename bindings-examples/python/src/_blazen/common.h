/* What the files of the compiled layer share.
 *
 * Three rules hold everywhere:
 *   - The GIL is held in every call of the library but those that wait (a close). So a callback of the library comes on a
 *     thread that has the GIL, or can take it at once.
 *   - No Python code of a user runs inside a call of the library. A callback puts what is to be done into `pending`, and
 *     drain() does it when the call has returned. Serializers and deserializers are the exception.
 *   - The library keeps no Python object but those of values: the object that a value was made of, a call that is waited for.
 */
#ifndef PYTHON_BLAZEN_COMMON_H
#define PYTHON_BLAZEN_COMMON_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <blazen/blazen.h>

/* ---- json.c ---- */

typedef struct {
  char* data;
  size_t length, capacity;
  char small[1024];
} Buffer;

void buffer_init(Buffer* buffer);
void buffer_free(Buffer* buffer);
/* Writes an object as JSON: 1; 0: it is not what JSON holds exactly; -1: an exception is set. */
int json_write(Buffer* buffer, PyObject* object);
PyObject* json_read(const char* text, size_t length);

/* ---- values.c ---- */

/* The functions of blazen._hooks, by name; set once. */
#define HOOKS(X) \
  X(encode) X(decode) X(live_event) X(serialize) X(deserialize) X(raise) X(missing) X(set_other)
#define HOOK(name) extern PyObject* hook_##name;
HOOKS(HOOK)
#undef HOOK

/* Makes a value. kept: what whoever reads it in this process gets (NULL: what its bytes say). live: what has no serialised
 * form becomes LIVE; else it is refused. -1: an exception is set. */
int value_make(PyObject* object, PyObject* kept, int live, blazen_value** value);
/* Makes a LIVE value. */
int value_make_live(PyObject* object, const char* label, size_t label_length, blazen_value** value);
/* Adopts bytes; reading gives `object` (NULL: what the bytes say). */
int value_adopt(blazen_tag tag, PyObject* bytes, const char* codec, size_t codec_length, PyObject* object,
                blazen_value** value);
PyObject* value_read(const blazen_value* value);
extern int is_distrusted; /* while a value of a run is read whose pickles nobody vouches for */
PyObject* data_read(blazen_tag tag, const char* codec, size_t codec_length, const void* data, size_t length);
/* The object that a value was made of, borrowed; NULL: another process or another language made it. */
PyObject* value_object(const blazen_value* value);
int adopt_buffer(Buffer* buffer, PyObject* object, blazen_value** value);

/* The GIL in a callback: the thread has it, but inside a call that waits. */
extern _Thread_local int waits __attribute__((tls_model("initial-exec")));
#define GIL_BEGIN                             \
  PyGILState_STATE gil = PyGILState_UNLOCKED; \
  int took_gil = waits;                       \
  if (took_gil) {                             \
    gil = PyGILState_Ensure();                \
  }
#define GIL_END              \
  if (took_gil) {            \
    PyGILState_Release(gil); \
  }
#define WAIT_BEGIN Py_BEGIN_ALLOW_THREADS waits = 1;
#define WAIT_END \
  waits = 0;     \
  Py_END_ALLOW_THREADS

/* How many there are now, for tests that look for leaks. */
extern Py_ssize_t alive_handles, alive_contexts, alive_values;

/* What is to be done when the library's frames are gone. */
void pending_decref(PyObject* object);                /* takes the reference */
void pending_call(PyObject* callable, PyObject* arg); /* takes both references */
extern size_t pending_count;
void drain_all(void);
static inline void drain(void) {
  if (pending_count != 0) {
    drain_all();
  }
}

/* Raises what an error says, and releases it. Answers NULL. */
PyObject* raise_status(blazen_status status, blazen_error* error);
PyObject* error_object(const blazen_error* error); /* what would be raised */
/* Makes an error of the exception that is set, for a callback that is not a step. */
blazen_status error_from_exception(blazen_error** error);
/* Whether a callback has raised an interrupt while the call succeeded: it is set as the exception then. */
int was_interrupted(void);

/* ---- events.c ---- */

typedef struct {
  PyObject_HEAD PyObject* type; /* str */
  PyObject* fields;             /* dict */
  PyObject* reserved;    /* frozenset of names that the class has; NULL where no field has one of them */
  PyObject* correlation; /* str; NULL: none */
  int bare;              /* its payload is the field `value`, and no object */
} Event;
extern PyTypeObject* Event_Type;
extern PyObject* name_value; /* "value" */
int events_init(PyObject* module);
/* An event of the library, to be sent. */
int event_make(PyObject* object, blazen_event** event);
/* The value of an event. */
int event_value(Event* event, blazen_value** value);
/* classes: {type: class}. */
PyObject* event_read(const blazen_event* event, PyObject* classes);

/* ---- handles.c ---- */

typedef enum { KIND_BUILDER = 1, KIND_PIPELINE, KIND_WORKFLOW, KIND_RUNTIME, KIND_RUN, KIND_STREAM } Kind;
typedef struct {
  PyObject_HEAD void* pointer;
  Kind kind;
  int polls;  /* of a runtime: somebody is in runtime_poll */
  int closed; /* it was told to close: nothing begins any more */
} Handle;
extern PyTypeObject* Handle_Type;
int handles_init(PyObject* module);
PyObject* handle_new(void* pointer, Kind kind);
void* handle_pointer(PyObject* object, Kind kind); /* NULL: an exception is set */

/* ---- context.c ---- */

typedef struct {
  PyObject_HEAD blazen_invocation* invocation; /* NULL: it is over */
  blazen_context* context;
  PyObject* classes; /* {type: class} */
  PyObject* core;    /* what blazen keeps of the run */
  PyObject* task;    /* who works on it */
  int cancelled;
} Context;
extern PyTypeObject* Context_Type;
int context_init(PyObject* module);
PyObject* context_new(PyObject* type, blazen_invocation* invocation, PyObject* classes, PyObject* core);
/* A step is cancelled: the blazen_step_cancel_fn of every step. */
void context_cancelled(void* user_data, blazen_context* context);

/* ---- build.c, run.c ---- */

int build_init(PyObject* module);
int run_init(PyObject* module);
int outside_init(PyObject* module);
blazen_status body(void* user_data, blazen_context* context, const blazen_event* event, blazen_error** error);
blazen_status decision_body(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error);

/* A str as UTF-8, borrowed; NULL: an exception is set that names what it is. */
const char* text_of(PyObject* object, const char* what, size_t* length);

#endif
