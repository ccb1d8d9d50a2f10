/* Runtimes and runs. A runtime is pumped: its steps are begun by whoever calls poll(), on the thread of an event loop. */
#include <stdint.h>
#include <stdlib.h>

#include "common.h"

/* error: where it is put. It is read here: of two arguments, the second may be evaluated first. */
static PyObject* done(blazen_status status, blazen_error** error) {
  if (status != BLAZEN_OK) {
    return raise_status(status, *error);
  }
  drain();
  Py_RETURN_NONE;
}

static PyObject* taken(blazen_status status, blazen_value* value, blazen_error* error) {
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  PyObject* read = value_read(value);
  blazen_value_release(value);
  drain();
  return read;
}

/* ---- steps ---- */

typedef struct {
  intptr_t number;
  blazen_run* run; /* the top: only its address is looked at */
  blazen_invocation* invocation;
} Ready;

static Ready* ready; /* what a poll has made ready; begun when the poll has returned */
static size_t ready_count, ready_capacity;

/* The blazen_step_fn of every step: it defers. */
blazen_status body(void* user_data, blazen_context* context, const blazen_event* event,
                   blazen_error** error) {
  (void)event;
  if (ready_count == ready_capacity) {
    size_t capacity = ready_capacity == 0 ? 128 : ready_capacity * 2;
    Ready* grown = realloc(ready, capacity * sizeof *grown);
    if (grown == NULL) {
      return BLAZEN_ERROR_OUT_OF_MEMORY;
    }
    ready = grown;
    ready_capacity = capacity;
  }
  blazen_invocation* invocation;
  blazen_status status = blazen_context_defer(context, &invocation, error);
  if (status != BLAZEN_OK) {
    return status;
  }
  ready[ready_count++] = (Ready){(intptr_t)user_data, blazen_context_run(context), invocation};
  return BLAZEN_PENDING;
}

static void decision_cancelled(void* context) { context_cancelled(NULL, context); }

/* Of a decision, which has no options that would name context_cancelled. */
blazen_status decision_body(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  blazen_status status = blazen_context_on_cancel(context, decision_cancelled, context, NULL, error);
  return status == BLAZEN_OK ? body(user_data, context, event, error) : status;
}

/* runs: {address: (core, {number: (step, classes)})}. begin(core, step, ctx, event) or, where the event cannot be read, with
 * the exception in its place. */
static int begin_one(const Ready* one, PyObject* runs, PyObject* begin, PyObject* context_type) {
  PyObject *address = PyLong_FromVoidPtr(one->run), *number = PyLong_FromSsize_t(one->number);
  PyObject* known = address == NULL ? NULL : PyDict_GetItemWithError(runs, address);
  PyObject* steps = known == NULL ? NULL : PyTuple_GetItem(known, 1);
  PyObject* step = steps == NULL || number == NULL ? NULL : PyDict_GetItemWithError(steps, number);
  Py_XDECREF(address);
  Py_XDECREF(number);
  if (step == NULL) { /* the run has ended meanwhile */
    blazen_invocation_release(one->invocation);
    return PyErr_Occurred() ? -1 : 0;
  }
  PyObject* core = Py_NewRef(PyTuple_GetItem(known, 0));
  PyObject *its_step = Py_NewRef(PyTuple_GetItem(step, 0)), *classes = PyTuple_GetItem(step, 1);
  PyObject *ctx = context_new(context_type, one->invocation, classes, core), *done = NULL;
  if (ctx == NULL) {
    blazen_invocation_release(one->invocation);
  } else {
    PyObject* event = event_read(blazen_invocation_event(one->invocation), classes);
    if (event == NULL) {
      PyObject *type, *value, *traceback;
      PyErr_Fetch(&type, &value, &traceback);
      PyErr_NormalizeException(&type, &value, &traceback);
      event = value;
      Py_XDECREF(type);
      Py_XDECREF(traceback);
    }
    done = PyObject_CallFunctionObjArgs(begin, core, its_step, ctx, event, NULL);
    Py_DECREF(event);
  }
  Py_XDECREF(ctx);
  Py_DECREF(its_step);
  Py_DECREF(core);
  Py_XDECREF(done);
  return done == NULL ? -1 : 0;
}

/* poll(runtime, steps_max, runs, begin, context type) -> how many it began. While somebody is at it, and when the runtime is
 * closed, nothing: the descriptor stays readable. */
static PyObject* runtime_poll(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *runs, *begin, *context_type;
  unsigned long long steps_max;
  if (!PyArg_ParseTuple(args, "OKO!OO", &handle, &steps_max, &PyDict_Type, &runs, &begin, &context_type)) {
    return NULL;
  }
  blazen_runtime* runtime = handle_pointer(handle, KIND_RUNTIME);
  if (runtime == NULL) {
    return NULL;
  }
  Handle* its = (Handle*)handle;
  if (its->polls || its->closed) {
    return PyLong_FromLong(0);
  }
  its->polls = 1;
  blazen_error* error = NULL;
  uint64_t steps = 0;
  blazen_status status = blazen_runtime_poll(runtime, steps_max, &steps, &error);
  Ready* mine = ready; /* others may poll while these are begun */
  size_t count = ready_count;
  ready = NULL;
  ready_count = ready_capacity = 0;
  int failed = 0;
  for (size_t i = 0; i < count; ++i) {
    if (begin_one(&mine[i], runs, begin, context_type) < 0) {
      if (i + 1 < count) {
        PyErr_WriteUnraisable(begin);
      } else {
        failed = 1;
      }
    }
  }
  if (ready == NULL) {
    ready = mine;
    ready_capacity = mine == NULL ? 0 : count < 128 ? 128 : count;
  } else {
    free(mine);
  }
  its->polls = 0;
  if (failed) {
    drain();
    blazen_error_release(error);
    return NULL;
  }
  if (its->closed) {
    blazen_error_release(error);
    status = BLAZEN_OK;
    error = NULL;
  }
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  return PyLong_FromUnsignedLongLong(steps);
}

/* ---- runtimes ---- */

/* runtime_create(log or None) -> (handle, descriptor) */
static void log_line(void* user_data, blazen_log_level level, const char* message, size_t length) {
  GIL_BEGIN
  PyObject* line = Py_BuildValue("(is#)", (int)level, message, (Py_ssize_t)length);
  if (line == NULL) {
    PyErr_Clear();
  } else {
    pending_call(Py_NewRef((PyObject*)user_data), line);
  }
  GIL_END
}

static void drop_object(void* object) {
  if (Py_IsInitialized()) {
    GIL_BEGIN
    pending_decref(object);
    GIL_END
  }
}

static PyObject* runtime_create(PyObject* module, PyObject* log) {
  (void)module;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  if (log != Py_None) {
    options.user_data = Py_NewRef(log);
    options.drop = drop_object;
    options.log = log_line;
    options.log_level = BLAZEN_LOG_WARNING;
  }
  blazen_runtime* runtime;
  blazen_error* error = NULL;
  blazen_status status = blazen_runtime_create(&options, &runtime, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  int32_t descriptor;
  status = blazen_runtime_descriptor(runtime, &descriptor, &error);
  PyObject* handle = handle_new(runtime, KIND_RUNTIME);
  if (status != BLAZEN_OK) {
    Py_XDECREF(handle);
    return raise_status(status, error);
  }
  return handle == NULL ? NULL : Py_BuildValue("(Ni)", handle, (int)descriptor);
}

static PyObject* runtime_close(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_runtime* runtime = handle_pointer(handle, KIND_RUNTIME);
  blazen_error* error = NULL;
  blazen_status status;
  if (runtime == NULL) {
    return NULL;
  }
  ((Handle*)handle)->closed = 1;
  WAIT_BEGIN
  status = blazen_runtime_close(runtime, &error);
  WAIT_END
  return done(status, &error);
}

static PyObject* runtime_set_pool(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* name;
  Py_ssize_t length;
  unsigned permits;
  if (!PyArg_ParseTuple(args, "Os#I", &handle, &name, &length, &permits)) {
    return NULL;
  }
  blazen_runtime* runtime = handle_pointer(handle, KIND_RUNTIME);
  blazen_error* error = NULL;
  return runtime == NULL
             ? NULL
             : done(blazen_runtime_set_pool(runtime, name, (size_t)length, permits, &error), &error);
}

static PyObject* runtime_count(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_runtime* runtime = handle_pointer(handle, KIND_RUNTIME);
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  blazen_error* error = NULL;
  if (runtime == NULL) {
    return NULL;
  }
  blazen_status status = blazen_runtime_count(runtime, &counters, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  return Py_BuildValue("{sKsKsKsKsKsKsKsKsK}", "created", counters.created, "running", counters.running,
                       "asking", counters.asking, "paused", counters.paused, "completed", counters.completed,
                       "failed", counters.failed, "cancelled", counters.cancelled, "events_routed",
                       counters.events_routed, "in_flight", counters.in_flight);
}

/* ---- making runs ---- */

/* The blazen_input_fn: the handler is called when the library's frames are gone, and answers later. */
static blazen_status ask_handler(void* user_data, blazen_run* run, const blazen_event* request,
                                 blazen_value** answer, blazen_error** error) {
  (void)answer, (void)error;
  GIL_BEGIN
  PyObject* payload = value_read(blazen_event_value(request));
  PyObject* told = payload == NULL ? NULL
                                   : Py_BuildValue("(zNN)", blazen_event_correlation(request, NULL), payload,
                                                   handle_new(blazen_run_retain(run), KIND_RUN));
  if (told == NULL) {
    PyErr_WriteUnraisable((PyObject*)user_data);
  } else {
    pending_call(Py_NewRef((PyObject*)user_data), told);
  }
  GIL_END
  return BLAZEN_PENDING;
}

static int run_options(blazen_run_options* options, PyObject* input_handler, PyObject* metadata,
                       blazen_value** made) {
  *made = NULL;
  if (metadata != Py_None && value_make(metadata, NULL, 0, made) < 0) {
    return -1;
  }
  options->metadata = *made;
  if (input_handler != Py_None) {
    options->input = ask_handler;
    options->user_data = Py_NewRef(input_handler);
    options->drop = drop_object;
  }
  return 0;
}

/* run_create(runtime, workflow, input_handler, metadata, run_id or None) */
static PyObject* run_create(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *runtime_handle, *workflow_handle, *input_handler, *metadata;
  const char* id;
  Py_ssize_t id_length;
  if (!PyArg_ParseTuple(args, "OOOOz#", &runtime_handle, &workflow_handle, &input_handler, &metadata, &id,
                        &id_length)) {
    return NULL;
  }
  blazen_runtime* runtime = handle_pointer(runtime_handle, KIND_RUNTIME);
  blazen_workflow* workflow = handle_pointer(workflow_handle, KIND_WORKFLOW);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  blazen_value* made;
  if (runtime == NULL || workflow == NULL || run_options(&options, input_handler, metadata, &made) < 0) {
    return NULL;
  }
  options.run_id = id;
  options.run_id_length = (size_t)id_length;
  blazen_run* run;
  blazen_error* error = NULL;
  blazen_status status = blazen_run_create(runtime, workflow, &options, &run, &error);
  blazen_value_release(made);
  return status == BLAZEN_OK ? handle_new(run, KIND_RUN) : raise_status(status, error);
}

/* user_data: (label, function) */
static blazen_status deserialize(void* user_data, const char* label, size_t length, blazen_value* kept,
                                 blazen_value** live, blazen_error** error) {
  GIL_BEGIN
  blazen_status status = BLAZEN_OK;
  size_t size, codec_length;
  const void* data = blazen_value_data(kept, &size);
  const char* codec = blazen_value_codec(kept, &codec_length);
  PyObject* answer =
      PyObject_CallFunction(hook_deserialize, "Os#iy#s#", PyTuple_GetItem((PyObject*)user_data, 1), label,
                            (Py_ssize_t)length, (int)blazen_value_tag(kept), data == NULL ? "" : data,
                            (Py_ssize_t)size, codec, (Py_ssize_t)codec_length);
  PyObject* object = NULL;
  const char* why = NULL;
  Py_ssize_t why_length = 0;
  if (answer == NULL || !PyArg_ParseTuple(answer, "Oz#", &object, &why, &why_length)) {
    status = error_from_exception(error);
  } else if (why != NULL) {
    blazen_error_host(0, why, (size_t)why_length, NULL, error);
    status = BLAZEN_ERROR_NOT_SERIALIZABLE;
  } else if (value_make_live(object, label, length, live) < 0) {
    status = error_from_exception(error);
  }
  Py_XDECREF(answer);
  GIL_END
  return status;
}

/* run_resume(runtime, workflow, bytes, {label: function}, skip_unknown, keep_paused, allow_changed, time_has_passed, fork,
 * input_handler) */
static PyObject* run_resume(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *runtime_handle, *workflow_handle, *loads, *input_handler;
  const char* data;
  Py_ssize_t length;
  int skip, keep_paused, allow_changed, time_has_passed, fork;
  if (!PyArg_ParseTuple(args, "OOy#O!pppppO", &runtime_handle, &workflow_handle, &data, &length, &PyDict_Type,
                        &loads, &skip, &keep_paused, &allow_changed, &time_has_passed, &fork,
                        &input_handler)) {
    return NULL;
  }
  blazen_runtime* runtime = handle_pointer(runtime_handle, KIND_RUNTIME);
  blazen_workflow* workflow = handle_pointer(workflow_handle, KIND_WORKFLOW);
  if (runtime == NULL || workflow == NULL) {
    return NULL;
  }
  size_t count = (size_t)PyDict_Size(loads), filled = 0;
  blazen_deserializer* array = PyMem_Calloc(count + 1, sizeof *array);
  if (array == NULL) {
    return PyErr_NoMemory();
  }
  Py_ssize_t position = 0;
  PyObject *label, *load;
  while (PyDict_Next(loads, &position, &label, &load)) {
    blazen_deserializer* one = &array[filled];
    if ((one->label = text_of(label, "the label of a deserializer", &one->label_length)) == NULL) {
      break;
    }
    one->deserialize = deserialize;
    one->user_data = Py_BuildValue("(OO)", label, load);
    one->drop = drop_object;
    ++filled;
  }
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  blazen_value* made = NULL;
  blazen_snapshot* snapshot = NULL;
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  blazen_run* run = NULL;
  if (filled == count) {
    status = blazen_snapshot_parse(data, (size_t)length, &snapshot, &error);
  }
  if (filled != count || status != BLAZEN_OK) {
    for (size_t i = 0; i < filled; ++i) {
      Py_DECREF((PyObject*)array[i].user_data);
    }
    PyMem_Free(array);
    return filled != count ? NULL : raise_status(status, error);
  }
  run_options(&options, input_handler, Py_None, &made);
  options.deserializers = array;
  options.deserializer_count = count;
  options.unknown_label = skip;
  options.keep_paused = keep_paused;
  options.allow_changed_workflow = allow_changed;
  options.time_has_passed = time_has_passed;
  options.fork = fork;
  status = blazen_run_resume(runtime, workflow, snapshot, &options, &run, &error);
  blazen_snapshot_release(snapshot);
  PyMem_Free(array);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  PyObject* handle = handle_new(run, KIND_RUN);
  if (was_interrupted()) {
    Py_CLEAR(handle);
  }
  return handle;
}

#define RUN_OF(handle)                                \
  blazen_run* run = handle_pointer(handle, KIND_RUN); \
  blazen_error* error = NULL;                         \
  if (run == NULL) {                                  \
    return NULL;                                      \
  }

/* run_start(run, event): its value is the input; None: a resumed run */
static PyObject* run_start(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *input;
  if (!PyArg_ParseTuple(args, "OO", &handle, &input)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_value* value = NULL;
  if (input != Py_None) {
    int made = PyObject_TypeCheck(input, Event_Type) ? event_value((Event*)input, &value)
                                                     : value_make(input, input, 1, &value);
    if (made < 0) {
      return NULL;
    }
  }
  blazen_status status = blazen_run_start(run, value, &error);
  blazen_value_release(value);
  return done(status, &error);
}

/* ---- looking at runs ---- */

typedef struct {
  PyObject* told;
  int called, with_handle;
} Waiter;

static void waiter_done(void* user_data, blazen_run* run, blazen_run_state state) {
  Waiter* waiter = user_data;
  GIL_BEGIN
  waiter->called = 1;
  PyObject* says = waiter->with_handle
                       ? Py_BuildValue("(iN)", (int)state, handle_new(blazen_run_retain(run), KIND_RUN))
                       : PyLong_FromLong(state);
  if (says == NULL) {
    PyErr_WriteUnraisable(waiter->told);
  } else {
    pending_call(Py_NewRef(waiter->told), says);
  }
  GIL_END
}

static void waiter_drop(void* user_data) {
  Waiter* waiter = user_data;
  if (!Py_IsInitialized()) {
    return;
  }
  GIL_BEGIN
  if (waiter->called) {
    pending_decref(waiter->told);
  } else {
    pending_call(waiter->told, waiter->with_handle ? Py_BuildValue("(iO)", BLAZEN_RUN_NONE, Py_None)
                                                   : PyLong_FromLong(BLAZEN_RUN_NONE));
  }
  PyMem_Free(waiter);
  GIL_END
}

/* run_on_state(run, until, told, with_handle): told(state), or told((state, run)), once; 0: the run is gone */
static PyObject* run_on_state(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *told;
  unsigned until;
  int with_handle;
  if (!PyArg_ParseTuple(args, "OIOp", &handle, &until, &told, &with_handle)) {
    return NULL;
  }
  RUN_OF(handle)
  Waiter* waiter = PyMem_Malloc(sizeof *waiter);
  if (waiter == NULL) {
    return PyErr_NoMemory();
  }
  waiter->told = Py_NewRef(told);
  waiter->called = 0;
  waiter->with_handle = with_handle;
  return done(blazen_run_on_state(run, until, waiter_done, waiter, waiter_drop, &error), &error);
}

static PyObject* run_state_now(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_run* run = handle_pointer(handle, KIND_RUN);
  return run == NULL ? NULL : PyLong_FromLong(blazen_run_state_now(run));
}

static PyObject* run_id(PyObject* module, PyObject* handle) {
  (void)module;
  size_t length;
  blazen_run* run = handle_pointer(handle, KIND_RUN);
  const char* id = run == NULL ? NULL : blazen_run_id(run, &length);
  return id == NULL ? NULL : PyUnicode_DecodeUTF8(id, (Py_ssize_t)length, NULL);
}

/* run_look(run, what): a value that says something about it */
static PyObject* run_look(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* what;
  if (!PyArg_ParseTuple(args, "Os", &handle, &what)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_value* value = NULL;
  blazen_status status;
  switch (what[0]) {
    case 'r': status = blazen_run_result(run, &value, &error); break;
    case 'e': status = blazen_run_elsewhere(run, &value, &error); break;
    case 'q': status = blazen_run_questions(run, &value, &error); break;
    case 's': status = blazen_run_stages(run, &value, &error); break;
    case 'x': status = blazen_run_dropped(run, &value, &error); break;
    default: status = blazen_run_describe(run, &value, &error);
  }
  return taken(status, value, error);
}

static PyObject* run_wants_input(PyObject* module, PyObject* handle) {
  (void)module;
  RUN_OF(handle)
  int32_t wants = 0;
  blazen_status status = blazen_run_wants_input(run, &wants, &error);
  return status == BLAZEN_OK ? PyBool_FromLong(wants) : raise_status(status, error);
}

/* run_get(run, key) -> (value,) or None */
static PyObject* run_get(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* key;
  Py_ssize_t length;
  if (!PyArg_ParseTuple(args, "Os#", &handle, &key, &length)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_value* value = NULL;
  blazen_status status = blazen_run_get_value(run, key, (size_t)length, &value, NULL, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  if (value == NULL) {
    Py_RETURN_NONE;
  }
  PyObject* read = taken(status, value, NULL);
  return read == NULL ? NULL : Py_BuildValue("(N)", read);
}

static PyObject* run_keys(PyObject* module, PyObject* handle) {
  (void)module;
  RUN_OF(handle)
  blazen_keys* keys;
  blazen_status status = blazen_run_keys(run, "", 0, &keys, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  PyObject* list = PyList_New(0);
  for (size_t i = 0; list != NULL && i < blazen_keys_count(keys); ++i) {
    size_t length;
    const char* key = blazen_keys_at(keys, i, &length);
    PyObject* text = PyUnicode_DecodeUTF8(key, (Py_ssize_t)length, NULL);
    if (text == NULL || PyList_Append(list, text) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(text);
  }
  blazen_keys_release(keys);
  return list;
}

/* ---- steering runs ---- */

static PyObject* run_pause(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  int mode;
  if (!PyArg_ParseTuple(args, "Oi", &handle, &mode)) {
    return NULL;
  }
  RUN_OF(handle)
  return done(blazen_run_pause(run, mode, &error), &error);
}

static PyObject* run_resume_in_place(PyObject* module, PyObject* handle) {
  (void)module;
  RUN_OF(handle)
  return done(blazen_run_resume_in_place(run, &error), &error);
}

static PyObject* run_abort(PyObject* module, PyObject* handle) {
  (void)module;
  RUN_OF(handle)
  return done(blazen_run_abort(run, &error), &error);
}

/* run_respond(run, request_id, answer, early) */
static PyObject* run_respond(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *answer;
  const char* id;
  Py_ssize_t length;
  int early;
  if (!PyArg_ParseTuple(args, "Os#Op", &handle, &id, &length, &answer, &early)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_value* value;
  if (value_make(answer, answer, 1, &value) < 0) {
    return NULL;
  }
  blazen_status status = early ? blazen_run_respond_early(run, id, (size_t)length, value, &error)
                               : blazen_run_respond(run, id, (size_t)length, value, &error);
  blazen_value_release(value);
  return done(status, &error);
}

/* run_fail_question(run, request_id, message, detail bytes or None, codec, token) */
static PyObject* run_fail_question(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *detail, *token;
  const char *id, *message, *codec;
  Py_ssize_t length, message_length, codec_length;
  if (!PyArg_ParseTuple(args, "Os#s#Os#O", &handle, &id, &length, &message, &message_length, &detail, &codec,
                        &codec_length, &token)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_value* value = NULL;
  if (detail != Py_None && value_adopt(BLAZEN_TAG_NATIVE, detail, codec, (size_t)codec_length,
                                       token == Py_None ? NULL : token, &value) < 0) {
    return NULL;
  }
  blazen_error* cause = NULL;
  blazen_error_host(0, message, (size_t)message_length, value, &cause);
  blazen_value_release(value);
  blazen_status status = blazen_run_fail_question(run, id, (size_t)length, cause, &error);
  blazen_error_release(cause);
  return done(status, &error);
}

/* run_send_event(run, event, step or None, delay_ms, scope) */
static PyObject* run_send_event(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *object;
  const char* step;
  Py_ssize_t length;
  long long delay;
  unsigned long long scope;
  if (!PyArg_ParseTuple(args, "OOz#LK", &handle, &object, &step, &length, &delay, &scope)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_event* event;
  if (event_make(object, &event) < 0) {
    return NULL;
  }
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.step = step;
  options.step_length = (size_t)length;
  options.delay_ms = delay;
  options.scope = scope;
  blazen_status status = blazen_run_send_event(run, event, &options, &error);
  blazen_event_release(event);
  return done(status, &error);
}

/* run_cancel_invocation(run, invocation_id, retry) */
static PyObject* run_cancel_invocation(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  unsigned long long id;
  int retry;
  if (!PyArg_ParseTuple(args, "OKp", &handle, &id, &retry)) {
    return NULL;
  }
  RUN_OF(handle)
  return done(blazen_run_cancel_invocation(run, id, retry, &error), &error);
}

/* run_withdraw(run, request_id) */
static PyObject* run_withdraw(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* id;
  Py_ssize_t length;
  if (!PyArg_ParseTuple(args, "Os#", &handle, &id, &length)) {
    return NULL;
  }
  RUN_OF(handle)
  return done(blazen_run_withdraw_question(run, id, (size_t)length, &error), &error);
}

/* ---- snapshots ---- */

static PyObject* run_snapshot(PyObject* module, PyObject* handle) {
  (void)module;
  RUN_OF(handle)
  blazen_snapshot* snapshot;
  blazen_status status = blazen_run_snapshot(run, &snapshot, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  size_t length;
  const void* data = blazen_snapshot_data(snapshot, &length);
  PyObject* bytes = was_interrupted() ? NULL : PyBytes_FromStringAndSize(data, (Py_ssize_t)length);
  blazen_snapshot_release(snapshot);
  drain();
  return bytes;
}

static PyObject* snapshot_info(PyObject* module, PyObject* bytes) {
  (void)module;
  char* data;
  Py_ssize_t length;
  if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0) {
    return NULL;
  }
  blazen_snapshot* snapshot;
  blazen_value* info = NULL;
  blazen_error* error = NULL;
  blazen_status status = blazen_snapshot_parse(data, (size_t)length, &snapshot, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  status = blazen_snapshot_info(snapshot, &info, &error);
  blazen_snapshot_release(snapshot);
  return taken(status, info, error);
}

/* ---- streams ---- */

/* run_subscribe(run, lifecycle, routed) */
static PyObject* run_subscribe(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  int lifecycle, routed;
  if (!PyArg_ParseTuple(args, "Opp", &handle, &lifecycle, &routed)) {
    return NULL;
  }
  RUN_OF(handle)
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.lifecycle = lifecycle;
  options.routed = routed;
  blazen_stream* stream;
  blazen_status status = blazen_run_subscribe_with(run, &options, &stream, &error);
  return status == BLAZEN_OK ? handle_new(stream, KIND_STREAM) : raise_status(status, error);
}

/* stream_take(stream, classes, with_path) -> [events, or (event, path, child_run_id)], or None: there is nothing now */
static PyObject* stream_take(PyObject* module, PyObject* args) {
  (void)module;
  enum { AT_ONCE = 64 };
  PyObject *handle, *classes;
  int with_path;
  if (!PyArg_ParseTuple(args, "OO!p", &handle, &PyDict_Type, &classes, &with_path)) {
    return NULL;
  }
  blazen_stream* stream = handle_pointer(handle, KIND_STREAM);
  if (stream == NULL) {
    return NULL;
  }
  blazen_event* items[AT_ONCE];
  size_t count = 0;
  blazen_error* error = NULL;
  blazen_status status = blazen_stream_take(stream, 0, items, NULL, AT_ONCE, &count, &error);
  if (status == BLAZEN_ERROR_TIMEOUT) {
    blazen_error_release(error);
    drain();
    Py_RETURN_NONE;
  }
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  PyObject* list = PyList_New(0);
  for (size_t i = 0; i < count; ++i) {
    PyObject* event = list == NULL ? NULL : event_read(items[i], classes);
    if (event != NULL && with_path) {
      blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
      blazen_event_read(items[i], &view);
      PyObject* path = view.path == NULL ? Py_NewRef(Py_None) : json_read(view.path, view.path_length);
      event = path == NULL ? NULL : Py_BuildValue("(NNz)", event, path, view.child_run_id);
    }
    if (list != NULL && (event == NULL || PyList_Append(list, event) < 0)) {
      Py_CLEAR(list);
    }
    Py_XDECREF(event);
    blazen_event_release(items[i]);
  }
  drain();
  return list;
}

static void stream_ready(void* user_data) {
  GIL_BEGIN
  pending_call(Py_NewRef((PyObject*)user_data), Py_NewRef(Py_None));
  GIL_END
}

/* stream_on_ready(stream, told): told(None) once */
static PyObject* stream_on_ready(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *told;
  if (!PyArg_ParseTuple(args, "OO", &handle, &told)) {
    return NULL;
  }
  blazen_stream* stream = handle_pointer(handle, KIND_STREAM);
  blazen_error* error = NULL;
  return stream == NULL
             ? NULL
             : done(blazen_stream_on_ready(stream, stream_ready, Py_NewRef(told), drop_object, &error),
                    &error);
}

static PyObject* stream_close(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_stream* stream = handle_pointer(handle, KIND_STREAM);
  blazen_error* error = NULL;
  blazen_status status;
  if (stream == NULL) {
    return NULL;
  }
  WAIT_BEGIN
  status = blazen_stream_close(stream, &error);
  WAIT_END
  return done(status, &error);
}

static PyMethodDef functions[] = {{"runtime_create", runtime_create, METH_O, NULL},
                                  {"runtime_poll", runtime_poll, METH_VARARGS, NULL},
                                  {"runtime_close", runtime_close, METH_O, NULL},
                                  {"runtime_set_pool", runtime_set_pool, METH_VARARGS, NULL},
                                  {"runtime_count", runtime_count, METH_O, NULL},
                                  {"run_create", run_create, METH_VARARGS, NULL},
                                  {"run_resume", run_resume, METH_VARARGS, NULL},
                                  {"run_start", run_start, METH_VARARGS, NULL},
                                  {"run_on_state", run_on_state, METH_VARARGS, NULL},
                                  {"run_state_now", run_state_now, METH_O, NULL},
                                  {"run_id", run_id, METH_O, NULL},
                                  {"run_look", run_look, METH_VARARGS, NULL},
                                  {"run_wants_input", run_wants_input, METH_O, NULL},
                                  {"run_get", run_get, METH_VARARGS, NULL},
                                  {"run_keys", run_keys, METH_O, NULL},
                                  {"run_pause", run_pause, METH_VARARGS, NULL},
                                  {"run_resume_in_place", run_resume_in_place, METH_O, NULL},
                                  {"run_abort", run_abort, METH_O, NULL},
                                  {"run_respond", run_respond, METH_VARARGS, NULL},
                                  {"run_fail_question", run_fail_question, METH_VARARGS, NULL},
                                  {"run_send_event", run_send_event, METH_VARARGS, NULL},
                                  {"run_cancel_invocation", run_cancel_invocation, METH_VARARGS, NULL},
                                  {"run_withdraw", run_withdraw, METH_VARARGS, NULL},
                                  {"run_snapshot", run_snapshot, METH_O, NULL},
                                  {"snapshot_info", snapshot_info, METH_O, NULL},
                                  {"run_subscribe", run_subscribe, METH_VARARGS, NULL},
                                  {"stream_take", stream_take, METH_VARARGS, NULL},
                                  {"stream_on_ready", stream_on_ready, METH_VARARGS, NULL},
                                  {"stream_close", stream_close, METH_O, NULL},
                                  {NULL, NULL, 0, NULL}};

int run_init(PyObject* module) { return PyModule_AddFunctions(module, functions); }
