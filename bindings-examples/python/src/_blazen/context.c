/* What a step sees of its run, and how it ends. */
#include <string.h>

#include "common.h"

PyTypeObject* Context_Type;
Py_ssize_t alive_contexts;
static PyObject* contexts; /* {address of a blazen_context: its Context}, of those that are open */
static PyObject* hook_cancelled_name;

/* ---- making and ending ---- */

static void note_open(Context* self, int open) {
  PyObject* key = PyLong_FromVoidPtr(self->context);
  PyObject* own = PyLong_FromVoidPtr(self); /* no reference: who is collected takes itself out */
  if (key == NULL || own == NULL ||
      (open ? PyDict_SetItem(contexts, key, own) : PyDict_DelItem(contexts, key)) < 0) {
    PyErr_Clear();
  }
  Py_XDECREF(own);
  Py_XDECREF(key);
}

PyObject* context_new(PyObject* type, blazen_invocation* invocation, PyObject* classes, PyObject* core) {
  allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject*)type, Py_tp_alloc);
  Context* self = (Context*)alloc((PyTypeObject*)type, 0);
  if (self == NULL) {
    return NULL;
  }
  ++alive_contexts;
  self->invocation = invocation;
  self->context = blazen_invocation_context(invocation);
  self->classes = Py_NewRef(classes);
  self->core = Py_NewRef(core);
  note_open(self, 1);
  return (PyObject*)self;
}

/* Gives up the handle, for whoever ends the invocation. */
static blazen_invocation* leave(Context* self) {
  blazen_invocation* invocation = self->invocation;
  if (invocation != NULL) {
    note_open(self, 0);
    self->invocation = NULL;
    self->context = NULL;
  }
  return invocation;
}

static int Context_traverse(Context* self, visitproc visit, void* arg) {
  Py_VISIT((PyObject*)Py_TYPE((PyObject*)self));
  Py_VISIT(self->classes);
  Py_VISIT(self->core);
  Py_VISIT(self->task);
  return 0;
}

static int Context_clear(Context* self) {
  Py_CLEAR(self->classes);
  Py_CLEAR(self->core);
  Py_CLEAR(self->task);
  return 0;
}

static void Context_dealloc(Context* self) {
  PyTypeObject* type = Py_TYPE((PyObject*)self);
  PyObject_GC_UnTrack(self);
  --alive_contexts;
  blazen_invocation_release(leave(self));
  drain();
  Context_clear(self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

void context_cancelled(void* user_data, blazen_context* context) {
  (void)user_data;
  if (!Py_IsInitialized()) {
    return;
  }
  GIL_BEGIN
  PyObject* key = PyLong_FromVoidPtr(context);
  PyObject* own = key == NULL ? NULL : PyDict_GetItemWithError(contexts, key);
  if (own != NULL) {
    Context* self = PyLong_AsVoidPtr(own);
    self->cancelled = 1;
    PyObject* told = PyObject_GetAttr((PyObject*)self, hook_cancelled_name);
    if (told != NULL) {
      pending_call(told, Py_NewRef(Py_None));
    }
  }
  PyErr_Clear();
  Py_XDECREF(key);
  GIL_END
}

static int is_open(Context* self) {
  if (self->context == NULL) {
    raise_status(BLAZEN_ERROR_WRONG_STATE, NULL);
    return 0;
  }
  return 1;
}

/* Every call ends here: what the library let go of, and what went wrong. */
/* error: where it is put. It is read here: of two arguments, the second may be evaluated first. */
static PyObject* done(blazen_status status, blazen_error** error) {
  if (status != BLAZEN_OK) {
    return raise_status(status, *error);
  }
  drain();
  Py_RETURN_NONE;
}

static int has_arguments(const char* name, Py_ssize_t count, Py_ssize_t least, Py_ssize_t most) {
  if (count < least || count > most) {
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments, and not %zd", name, least, most, count);
    return 0;
  }
  return 1;
}

/* ---- state ---- */

/* A plain value in the state takes the place of a session entry of that name. */
static PyObject* after_set(Context* self, const char* key, size_t length, blazen_status status,
                           blazen_error* error) {
  if (status == BLAZEN_OK) {
    int32_t removed;
    status = blazen_context_remove_session(self->context, key, length, &removed, &error);
  }
  return done(status, &error);
}

static PyObject* set_bytes(Context* self, const char* key, size_t key_length, PyObject* bytes) {
  blazen_error* error = NULL;
  char* data;
  Py_ssize_t length;
  if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0) {
    return NULL;
  }
  if (length < 4096) {
    blazen_status status =
        blazen_context_set_bytes(self->context, key, key_length, data, (size_t)length, &error);
    return after_set(self, key, key_length, status, error);
  }
  blazen_value* value;
  if (value_make(bytes, NULL, 0, &value) < 0) {
    return NULL;
  }
  blazen_status status = blazen_context_set_value(self->context, key, key_length, value, &error);
  blazen_value_release(value);
  return after_set(self, key, key_length, status, error);
}

static PyObject* Context_set(Context* self, PyObject* const* args, Py_ssize_t count) {
  size_t length;
  const char* key;
  if (!has_arguments("set", count, 2, 2) || !is_open(self) ||
      (key = text_of(args[0], "key", &length)) == NULL) {
    return NULL;
  }
  if (PyBytes_CheckExact(args[1])) {
    return set_bytes(self, key, length, args[1]);
  }
  Buffer buffer;
  buffer_init(&buffer);
  PyObject* answer = NULL;
  int written = json_write(&buffer, args[1]);
  if (written > 0) {
    blazen_error* error = NULL;
    blazen_status status =
        blazen_context_set_json(self->context, key, length, buffer.data, buffer.length, &error);
    answer = after_set(self, key, length, status, error);
  } else if (written == 0) {
    answer = PyObject_CallFunctionObjArgs(hook_set_other, (PyObject*)self, args[0], args[1], NULL);
  }
  buffer_free(&buffer);
  return answer;
}

static PyObject* read_view(const blazen_value_view* view) {
  return data_read(view->tag, view->codec, view->codec_length, view->data, view->data_length);
}

static PyObject* name_key(PyObject* key) {
  PyObject *type, *value, *traceback;
  if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
    return NULL;
  }
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_Format(PyExc_OverflowError, "%S, at the key %R: get_json() gives its text", value, key);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
  return NULL;
}

static PyObject* Context_get(Context* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  size_t length;
  const char* key;
  if (names != NULL && PyTuple_Size(names) != 0) { /* get(key, default=...) */
    if (PyTuple_Size(names) != 1 ||
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "default") != 0) {
      PyErr_SetString(PyExc_TypeError, "get() takes a key, and `default`");
      return NULL;
    }
    ++count;
  }
  if (!has_arguments("get", count, 1, 2) || !is_open(self) ||
      (key = text_of(args[0], "key", &length)) == NULL) {
    return NULL;
  }
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  blazen_error* error = NULL;
  blazen_status status = blazen_context_read(self->context, key, length, &view, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  PyObject* answer;
  if (view.value != NULL) {
    answer = read_view(&view);
    if (answer == NULL) {
      name_key(args[0]);
    }
  } else {
    answer = PyObject_CallFunctionObjArgs(hook_missing, (PyObject*)self, args[0],
                                          count == 2 ? args[1] : Py_None, NULL);
  }
  drain();
  return answer;
}

/* _read(key) -> (value,) or None */
static PyObject* Context_read(Context* self, PyObject* key_object) {
  size_t length;
  const char* key;
  if (!is_open(self) || (key = text_of(key_object, "key", &length)) == NULL) {
    return NULL;
  }
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  blazen_error* error = NULL;
  blazen_status status = blazen_context_read(self->context, key, length, &view, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  if (view.value == NULL) {
    Py_RETURN_NONE;
  }
  PyObject* read = read_view(&view);
  return read == NULL ? name_key(key_object) : Py_BuildValue("(N)", read);
}

/* _stored(key) -> (tag, bytes, codec, version) or None: as it lies there. */
static PyObject* Context_stored(Context* self, PyObject* key_object) {
  size_t length;
  const char* key;
  if (!is_open(self) || (key = text_of(key_object, "key", &length)) == NULL) {
    return NULL;
  }
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  blazen_error* error = NULL;
  blazen_status status = blazen_context_read(self->context, key, length, &view, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  if (view.value == NULL) {
    Py_RETURN_NONE;
  }
  return Py_BuildValue("(iy#s#K)", (int)view.tag, view.data == NULL ? "" : view.data,
                       (Py_ssize_t)view.data_length, view.codec, (Py_ssize_t)view.codec_length,
                       (unsigned long long)view.version);
}

/* _apply([(key, tag, bytes, codec)], [key to remove]): all or nothing. */
static PyObject* Context_apply(Context* self, PyObject* args) {
  PyObject *sets, *removes;
  if (!PyArg_ParseTuple(args, "O!O!", &PyList_Type, &sets, &PyList_Type, &removes) || !is_open(self)) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_batch* batch = NULL;
  blazen_status status = blazen_batch_create(&batch, &error);
  PyObject* answer = NULL;
  for (Py_ssize_t i = 0; status == BLAZEN_OK && i < PyList_Size(sets); ++i) {
    const char *key, *codec;
    Py_ssize_t length, codec_length;
    int tag;
    PyObject* bytes;
    blazen_value* value;
    if (!PyArg_ParseTuple(PyList_GetItem(sets, i), "s#iOs#", &key, &length, &tag, &bytes, &codec,
                          &codec_length) ||
        value_adopt(tag, bytes, codec, (size_t)codec_length, NULL, &value) < 0) {
      goto out;
    }
    status = blazen_batch_set(batch, key, (size_t)length, value, &error);
    blazen_value_release(value);
  }
  for (Py_ssize_t i = 0; status == BLAZEN_OK && i < PyList_Size(removes); ++i) {
    size_t length;
    const char* key = text_of(PyList_GetItem(removes, i), "key", &length);
    if (key == NULL) {
      goto out;
    }
    status = blazen_batch_remove(batch, key, length, &error);
  }
  if (status == BLAZEN_OK) {
    status = blazen_context_apply(self->context, batch, &error);
  }
  answer = done(status, &error);
out:
  blazen_batch_release(batch);
  drain();
  return answer;
}

/* _put(key, tag, bytes, codec): a stored form, as set() has it. */
static PyObject* Context_put(Context* self, PyObject* args) {
  const char *key, *codec;
  Py_ssize_t length, codec_length;
  int tag;
  PyObject* bytes;
  blazen_value* value;
  if (!PyArg_ParseTuple(args, "s#iOs#", &key, &length, &tag, &bytes, &codec, &codec_length) ||
      !is_open(self) || value_adopt(tag, bytes, codec, (size_t)codec_length, NULL, &value) < 0) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_set_value(self->context, key, (size_t)length, value, &error);
  blazen_value_release(value);
  return after_set(self, key, (size_t)length, status, error);
}

/* _compare_and_set(key, expected, (tag, bytes, codec) or None: removed) -> version */
static PyObject* Context_compare_and_set(Context* self, PyObject* args) {
  const char* key;
  Py_ssize_t length;
  unsigned long long expected;
  PyObject* packed;
  if (!PyArg_ParseTuple(args, "s#KO", &key, &length, &expected, &packed) || !is_open(self)) {
    return NULL;
  }
  blazen_value* value = NULL;
  if (packed != Py_None) {
    int tag;
    PyObject* bytes;
    const char* codec;
    Py_ssize_t codec_length;
    if (!PyArg_ParseTuple(packed, "iOs#", &tag, &bytes, &codec, &codec_length) ||
        value_adopt(tag, bytes, codec, (size_t)codec_length, NULL, &value) < 0) {
      return NULL;
    }
  }
  uint64_t version = 0;
  blazen_error* error = NULL;
  blazen_status status =
      blazen_context_compare_and_set(self->context, key, (size_t)length, expected, value, &version, &error);
  blazen_value_release(value);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  return PyLong_FromUnsignedLongLong(version);
}

static PyObject* keys_list(blazen_keys* keys) {
  size_t count = blazen_keys_count(keys);
  PyObject* list = PyList_New(0);
  for (size_t i = 0; list != NULL && i < count; ++i) {
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

typedef blazen_status (*KeyCall)(Context* self, const char* key, size_t length, PyObject** answer,
                                 blazen_error** error);

static PyObject* with_key(Context* self, PyObject* key_object, KeyCall call) {
  size_t length;
  const char* key;
  if (!is_open(self) || (key = text_of(key_object, "key", &length)) == NULL) {
    return NULL;
  }
  PyObject* answer = NULL;
  blazen_error* error = NULL;
  blazen_status status = call(self, key, length, &answer, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  return answer;
}

static blazen_status call_has(Context* self, const char* key, size_t length, PyObject** answer,
                              blazen_error** error) {
  int32_t found;
  blazen_status status = blazen_context_has_value(self->context, key, length, &found, error);
  *answer = status == BLAZEN_OK ? PyBool_FromLong(found) : NULL;
  return status;
}
static blazen_status call_remove(Context* self, const char* key, size_t length, PyObject** answer,
                                 blazen_error** error) {
  int32_t removed;
  blazen_status status = blazen_context_remove_value(self->context, key, length, &removed, error);
  *answer = status == BLAZEN_OK ? PyBool_FromLong(removed) : NULL;
  return status;
}
static blazen_status call_keys(Context* self, const char* key, size_t length, PyObject** answer,
                               blazen_error** error) {
  blazen_keys* keys;
  blazen_status status = blazen_context_keys(self->context, key, length, &keys, error);
  *answer = status == BLAZEN_OK ? keys_list(keys) : NULL;
  return status;
}
static blazen_status call_has_session(Context* self, const char* key, size_t length, PyObject** answer,
                                      blazen_error** error) {
  int32_t found;
  blazen_status status = blazen_context_has_session(self->context, key, length, &found, error);
  *answer = status == BLAZEN_OK ? PyBool_FromLong(found) : NULL;
  return status;
}
static blazen_status call_remove_session(Context* self, const char* key, size_t length, PyObject** answer,
                                         blazen_error** error) {
  int32_t removed;
  blazen_status status = blazen_context_remove_session(self->context, key, length, &removed, error);
  *answer = status == BLAZEN_OK ? PyBool_FromLong(removed) : NULL;
  return status;
}
static blazen_status call_session_keys(Context* self, const char* key, size_t length, PyObject** answer,
                                       blazen_error** error) {
  blazen_keys* keys;
  blazen_status status = blazen_context_session_keys(self->context, key, length, &keys, error);
  *answer = status == BLAZEN_OK ? keys_list(keys) : NULL;
  return status;
}
static blazen_status call_get_session(Context* self, const char* key, size_t length, PyObject** answer,
                                      blazen_error** error) {
  blazen_value* value;
  blazen_status status = blazen_context_get_session(self->context, key, length, &value, error);
  if (status == BLAZEN_OK) {
    if (value == NULL) {
      *answer = Py_NewRef(Py_None);
    } else {
      PyObject* read = value_read(value);
      *answer = read == NULL ? NULL : Py_BuildValue("(N)", read);
      blazen_value_release(value);
    }
  }
  return status;
}
#define KEY_METHOD(name) \
  static PyObject* Context_##name(Context* self, PyObject* key) { return with_key(self, key, call_##name); }
KEY_METHOD(has)
KEY_METHOD(remove)
KEY_METHOD(keys)
KEY_METHOD(has_session)
KEY_METHOD(remove_session)
KEY_METHOD(session_keys)
KEY_METHOD(get_session)

static PyObject* Context_clear_state(Context* self, PyObject* unused) {
  (void)unused;
  blazen_error* error = NULL;
  return is_open(self) ? done(blazen_context_clear_values(self->context, &error), &error) : NULL;
}

/* _set_session(key, object, label or None) */
static PyObject* Context_set_session(Context* self, PyObject* args) {
  const char *key, *label;
  Py_ssize_t length, label_length;
  PyObject* object;
  if (!PyArg_ParseTuple(args, "s#Oz#", &key, &length, &object, &label, &label_length) || !is_open(self)) {
    return NULL;
  }
  blazen_value* value;
  if ((label == NULL ? value_make(object, object, 1, &value)
                     : value_make_live(object, label, (size_t)label_length, &value)) < 0) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_set_session(self->context, key, (size_t)length, value, &error);
  blazen_value_release(value);
  return done(status, &error);
}

/* ---- events ---- */

/* send_event(event, step or None, delay_ms, correlation) is in Python; this is its common form. */
static PyObject* Context_send_event(Context* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"event", "step", "delay", NULL};
  PyObject* object;
  const char* step = NULL;
  Py_ssize_t step_length = 0;
  double delay = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|z#d", names, &object, &step, &step_length, &delay) ||
      !is_open(self)) {
    return NULL;
  }
  if (!(delay >= 0 && delay < 3.2e9)) {
    PyErr_Format(PyExc_ValueError, "delay is a number of seconds, 0 or more");
    return NULL;
  }
  blazen_event* event;
  if (event_make(object, &event) < 0) {
    return NULL;
  }
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.step = step;
  options.step_length = (size_t)step_length;
  options.delay_ms = (int64_t)(delay * 1000);
  blazen_error* error = NULL;
  blazen_status status = blazen_context_send_event(self->context, event, &options, &error);
  blazen_event_release(event);
  return done(status, &error);
}

static PyObject* Context_publish(Context* self, PyObject* object) {
  blazen_event* event;
  if (!is_open(self) || event_make(object, &event) < 0) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_publish(self->context, event, &error);
  blazen_event_release(event);
  return done(status, &error);
}

static int emit_correlated(Context* self, PyObject* object) {
  blazen_event* event;
  if (event_make(object, &event) < 0) {
    return -1;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_emit_event(self->context, event, NULL, &error);
  blazen_event_release(event);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

static int emit(Context* self, PyObject* object) {
  if (((Event*)object)->correlation != NULL) {
    return emit_correlated(self, object);
  }
  size_t length;
  const char* type = text_of(((Event*)object)->type, "event_type", &length);
  blazen_value* value;
  if (type == NULL || event_value((Event*)object, &value) < 0) {
    return -1;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_emit(self->context, type, length, value, &error);
  blazen_value_release(value);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

static int emit_outcome(Context* self, PyObject* outcome) {
  if (outcome == Py_None) {
    return 0;
  }
  if (PyObject_TypeCheck(outcome, Event_Type)) {
    return emit(self, outcome);
  }
  int many = PyList_Check(outcome) || PyTuple_Check(outcome);
  Py_ssize_t count = many ? PySequence_Size(outcome) : 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* one = PySequence_GetItem(outcome, i);
    int failed = one == NULL || (one != Py_None && !PyObject_TypeCheck(one, Event_Type));
    if (failed && one != NULL) {
      PyErr_Format(PyExc_TypeError, "a step returns an Event, a list of them or None, and no list with %R",
                   one);
    } else if (!failed && one != Py_None) {
      failed = emit(self, one) < 0;
    }
    Py_XDECREF(one);
    if (failed) {
      return -1;
    }
  }
  if (!many) {
    PyErr_Format(PyExc_TypeError, "a step returns an Event, a list of them or None, and not %R", outcome);
    return -1;
  }
  return 0;
}

/* _emit(outcome) */
static PyObject* Context_emit(Context* self, PyObject* outcome) {
  if (!is_open(self) || emit_outcome(self, outcome) < 0) {
    return NULL;
  }
  Py_RETURN_NONE;
}

static int is_late(blazen_status status) {
  return status == BLAZEN_ERROR_WRONG_STATE || status == BLAZEN_ERROR_CANCELLED;
}

static PyObject* finish_with(Context* self, blazen_error* cause) {
  blazen_error* error = NULL;
  blazen_status status = blazen_invocation_finish(leave(self), cause, &error);
  blazen_error_release(cause);
  if (is_late(status)) { /* nobody wants to know */
    blazen_error_release(error);
    status = BLAZEN_OK;
    error = NULL;
  }
  return done(status, &error);
}

/* _finish(outcome): the step is done. */
static PyObject* Context_finish(Context* self, PyObject* outcome) {
  if (self->context == NULL) {
    Py_RETURN_NONE;
  }
  if (emit_outcome(self, outcome) < 0) {
    return NULL;
  }
  return finish_with(self, NULL);
}

/* _fail(status, message, host_code, detail bytes or None, codec, token): it has failed. */
static PyObject* Context_fail(Context* self, PyObject* args) {
  int status;
  const char *message, *codec;
  Py_ssize_t length, codec_length;
  long long host_code;
  PyObject *detail, *token;
  if (!PyArg_ParseTuple(args, "is#LOs#O", &status, &message, &length, &host_code, &detail, &codec,
                        &codec_length, &token)) {
    return NULL;
  }
  if (self->context == NULL) {
    Py_RETURN_NONE;
  }
  blazen_value* value = NULL;
  if (detail != Py_None && value_adopt(BLAZEN_TAG_NATIVE, detail, codec, (size_t)codec_length,
                                       token == Py_None ? NULL : token, &value) < 0) {
    return NULL;
  }
  blazen_error* cause = NULL;
  blazen_error_host(host_code, message, (size_t)length, value, &cause);
  blazen_value_release(value);
  return finish_with(self, cause);
}

/* _abort_run(): ends the whole run. */
static PyObject* Context_abort_run(Context* self, PyObject* unused) {
  (void)unused;
  blazen_error* error = NULL;
  return is_open(self) ? done(blazen_run_abort(blazen_context_run(self->context), &error), &error) : NULL;
}

/* _answer(value): of a mapper. */
static PyObject* Context_answer(Context* self, PyObject* object) {
  blazen_value* value;
  if (!is_open(self) || value_make(object, object, 1, &value) < 0) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_answer(self->context, value, &error);
  blazen_value_release(value);
  return done(status, &error);
}

static PyObject* events_list(const blazen_event* const* events, size_t count, PyObject* classes,
                             int with_sources) {
  PyObject* list = PyList_New(0);
  for (size_t i = 0; list != NULL && i < count; ++i) {
    PyObject* event = event_read(events[i], classes);
    if (event != NULL && with_sources) {
      const char* source = blazen_event_source(events[i], NULL);
      event = Py_BuildValue("(zN)", source, event);
    }
    if (event == NULL || PyList_Append(list, event) < 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(event);
  }
  return list;
}

/* _events(with_sources) */
static PyObject* Context_events(Context* self, PyObject* with_sources) {
  const blazen_event* const* events;
  size_t count;
  blazen_error* error = NULL;
  if (!is_open(self)) {
    return NULL;
  }
  blazen_status status = blazen_context_events(self->context, &events, &count, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  return events_list(events, count, self->classes, PyObject_IsTrue(with_sources));
}

static PyObject* Context_join_info(Context* self, PyObject* unused) {
  (void)unused;
  blazen_join_info info = BLAZEN_JOIN_INFO_INIT;
  blazen_error* error = NULL;
  if (!is_open(self)) {
    return NULL;
  }
  blazen_status status = blazen_context_join_info(self->context, &info, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  return Py_BuildValue("(iKIK)", (int)info.reason, (unsigned long long)info.arrived, (unsigned)info.wanted,
                       (unsigned long long)info.scope_id);
}

/* _collect(key, [(type, count)]) -> list of events, or None: not yet. */
static PyObject* Context_collect(Context* self, PyObject* args) {
  enum { MOST = 64 };
  const char* key;
  Py_ssize_t key_length;
  PyObject* wanted;
  if (!PyArg_ParseTuple(args, "s#O!", &key, &key_length, &PyList_Type, &wanted) || !is_open(self)) {
    return NULL;
  }
  const char* types[MOST];
  size_t lengths[MOST];
  uint32_t counts[MOST];
  Py_ssize_t count = PyList_Size(wanted);
  if (count > MOST) {
    PyErr_SetString(PyExc_ValueError, "collect takes 64 types at most");
    return NULL;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    Py_ssize_t length;
    unsigned how_many;
    if (!PyArg_ParseTuple(PyList_GetItem(wanted, i), "s#I", &types[i], &length, &how_many)) {
      return NULL;
    }
    lengths[i] = (size_t)length;
    counts[i] = how_many;
  }
  blazen_error* error = NULL;
  blazen_status status = blazen_context_collect(self->context, key, (size_t)key_length, types, lengths,
                                                counts, (size_t)count, &error);
  if (status == BLAZEN_PENDING) {
    drain();
    Py_RETURN_NONE;
  }
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  drain();
  return Context_events(self, Py_False);
}

static PyObject* Context_progress(Context* self, PyObject* args) {
  unsigned long long current, total = 0;
  const char* label = "";
  Py_ssize_t length = 0;
  if (!PyArg_ParseTuple(args, "K|Ks#", &current, &total, &label, &length) || !is_open(self)) {
    return NULL;
  }
  blazen_error* error = NULL;
  return done(blazen_context_progress(self->context, label, (size_t)length, current, total, &error), &error);
}

static PyObject* Context_retry_after(Context* self, PyObject* args) {
  double seconds;
  if (!PyArg_ParseTuple(args, "d", &seconds) || !is_open(self)) {
    return NULL;
  }
  blazen_error* error = NULL;
  return done(blazen_context_retry_after(self->context, (int64_t)(seconds * 1000), &error), &error);
}

/* ---- questions ---- */

static void answered(void* user_data, blazen_context* context, const char* request_id, size_t length,
                     blazen_value* answer) {
  (void)context;
  GIL_BEGIN
  PyObject* told = answer == NULL ? NULL : value_read(answer);
  told = Py_BuildValue("(s#iN)", request_id, (Py_ssize_t)length, told != NULL,
                       told == NULL ? Py_NewRef(Py_None) : told);
  if (told == NULL) {
    PyErr_Clear();
  } else {
    pending_call(Py_NewRef((PyObject*)user_data), told);
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

/* _ask(prompt, request_id or None, metadata or None, deadline_ms, default, told) -> (answer,) or None: told comes later. */
static PyObject* Context_ask(Context* self, PyObject* args) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  Py_ssize_t prompt_length, id_length;
  long long deadline;
  PyObject *metadata, *otherwise, *told;
  if (!PyArg_ParseTuple(args, "s#z#OLOO", &question.prompt, &prompt_length, &question.request_id, &id_length,
                        &metadata, &deadline, &otherwise, &told) ||
      !is_open(self)) {
    return NULL;
  }
  blazen_value *given = NULL, *default_answer = NULL;
  if ((metadata != Py_None && value_make(metadata, NULL, 0, &given) < 0) ||
      (otherwise != Py_None && value_make(otherwise, NULL, 0, &default_answer) < 0)) {
    blazen_value_release(given);
    return NULL;
  }
  question.prompt_length = (size_t)prompt_length;
  question.request_id_length = (size_t)id_length;
  question.metadata = given;
  question.deadline_ms = deadline;
  question.default_answer = default_answer;
  question.answered = answered;
  question.user_data = Py_NewRef(told);
  question.drop = drop_object;
  blazen_value* answer = NULL;
  blazen_error* error = NULL;
  blazen_status status = blazen_context_ask(self->context, &question, &answer, &error);
  blazen_value_release(given);
  blazen_value_release(default_answer);
  if (status == BLAZEN_OK) {
    PyObject* read = value_read(answer);
    blazen_value_release(answer);
    drain();
    return read == NULL ? NULL : Py_BuildValue("(N)", read);
  }
  if (status == BLAZEN_PENDING) {
    drain();
    Py_RETURN_NONE;
  }
  return raise_status(status, error);
}

/* ---- who it is ---- */

static PyObject* text_or_none(const char* text) {
  return text == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(text);
}

static PyObject* Context_run_id(Context* self, PyObject* unused) {
  (void)unused;
  return is_open(self) ? text_or_none(blazen_context_run_id(self->context, NULL)) : NULL;
}
static PyObject* Context_workflow_name(Context* self, void* unused) {
  (void)unused;
  return is_open(self) ? text_or_none(blazen_context_workflow_name(self->context, NULL)) : NULL;
}
static PyObject* Context_step_name(Context* self, void* unused) {
  (void)unused;
  return is_open(self) ? text_or_none(blazen_context_step_name(self->context, NULL)) : NULL;
}
static PyObject* Context_invocation_id(Context* self, void* unused) {
  (void)unused;
  return is_open(self) ? PyLong_FromUnsignedLongLong(blazen_context_invocation_id(self->context)) : NULL;
}
static PyObject* Context_attempt(Context* self, void* unused) {
  (void)unused;
  return is_open(self) ? PyLong_FromUnsignedLong(blazen_context_attempt(self->context)) : NULL;
}
static PyObject* Context_scope_id(Context* self, void* unused) {
  (void)unused;
  return is_open(self) ? PyLong_FromUnsignedLongLong(blazen_context_scope_id(self->context)) : NULL;
}
static PyObject* Context_is_cancelled(Context* self, void* unused) {
  (void)unused;
  return PyBool_FromLong(self->cancelled || self->context == NULL ||
                         blazen_context_is_cancelled(self->context));
}
static PyObject* Context_is_over(Context* self, void* unused) {
  (void)unused;
  return PyBool_FromLong(self->context == NULL);
}
static PyObject* Context_core(Context* self, void* unused) {
  (void)unused;
  return Py_NewRef(self->core == NULL ? Py_None : self->core);
}
static PyObject* Context_get_task(Context* self, void* unused) {
  (void)unused;
  return Py_NewRef(self->task == NULL ? Py_None : self->task);
}
static int Context_set_task(Context* self, PyObject* task, void* unused) {
  (void)unused;
  PyObject* before = self->task;
  self->task = Py_XNewRef(task);
  Py_XDECREF(before);
  return 0;
}

#define NOARGS(name, function) {name, (PyCFunction)(void (*)(void))function, METH_NOARGS, NULL}
#define ONE(name, function) {name, (PyCFunction)(void (*)(void))function, METH_O, NULL}
#define TOLD(name, function, flags, doc) {name, (PyCFunction)(void (*)(void))function, flags, doc}
#define VARARGS(name, function) {name, (PyCFunction)(void (*)(void))function, METH_VARARGS, NULL}
static PyMethodDef Context_methods[] = {
    TOLD("set", Context_set, METH_FASTCALL,
         "set($self, key, value, /)\n--\n\nStores a value in the state; what has no stored form goes into "
         "the session."),
    TOLD("get", Context_get, METH_FASTCALL | METH_KEYWORDS,
         "get($self, key, /, default=None)\n--\n\nThe value of a key, from the state or else the session; "
         "default: there is none."),
    TOLD("send_event", Context_send_event, METH_VARARGS | METH_KEYWORDS,
         "send_event($self, event, step=None, delay=0)\n--\n\nRoutes an event at once; to one step alone, or "
         "so many seconds later."),
    TOLD("write_event_to_stream", Context_publish, METH_O,
         "write_event_to_stream($self, event, /)\n--\n\nPublishes an event at once; it is never routed."),
    TOLD("run_id", Context_run_id, METH_NOARGS, "run_id($self)\n--\n\nThe id of the run: a UUID."),
    ONE("_read", Context_read),
    ONE("_stored", Context_stored),
    VARARGS("_apply", Context_apply),
    VARARGS("_put", Context_put),
    VARARGS("_compare_and_set", Context_compare_and_set),
    ONE("_has", Context_has),
    ONE("_remove", Context_remove),
    ONE("_keys", Context_keys),
    NOARGS("_clear", Context_clear_state),
    ONE("_get_session", Context_get_session),
    ONE("_has_session", Context_has_session),
    ONE("_remove_session", Context_remove_session),
    ONE("_session_keys", Context_session_keys),
    VARARGS("_set_session", Context_set_session),
    ONE("_emit", Context_emit),
    ONE("_finish", Context_finish),
    VARARGS("_fail", Context_fail),
    NOARGS("_abort_run", Context_abort_run),
    ONE("_answer", Context_answer),
    ONE("_events", Context_events),
    NOARGS("_join_info", Context_join_info),
    VARARGS("_collect", Context_collect),
    VARARGS("_ask", Context_ask),
    VARARGS("_progress", Context_progress),
    TOLD("retry_after", Context_retry_after, METH_VARARGS,
         "retry_after($self, seconds, /)\n--\n\nWhen the next attempt begins, if this one fails."),
    {NULL, NULL, 0, NULL}};
static PyGetSetDef Context_getset[] = {
    {"workflow_name", (getter)Context_workflow_name, NULL, "The name of the workflow.", NULL},
    {"step_name", (getter)Context_step_name, NULL, "The name of the step.", NULL},
    {"invocation_id", (getter)Context_invocation_id, NULL,
     "The number of this call: with the id of the run the idempotency key, the same after a resume and a "
     "retry.",
     NULL},
    {"attempt", (getter)Context_attempt, NULL, "Which attempt of the call this is, from 1.", NULL},
    {"scope_id", (getter)Context_scope_id, NULL,
     "The scope that this call belongs to, for Handler.send_event; 0: none.", NULL},
    {"is_cancelled", (getter)Context_is_cancelled, NULL,
     "Whether nothing that this step does counts any more.", NULL},
    {"_is_over", (getter)Context_is_over, NULL, NULL, NULL},
    {"_core", (getter)Context_core, NULL, NULL, NULL},
    {"_task", (getter)Context_get_task, (setter)Context_set_task, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot Context_slots[] = {{Py_tp_dealloc, Context_dealloc}, {Py_tp_traverse, Context_traverse},
                                      {Py_tp_clear, Context_clear},     {Py_tp_methods, Context_methods},
                                      {Py_tp_getset, Context_getset},   {0, NULL}};
static PyType_Spec Context_spec = {
    "_blazen.ContextBase", sizeof(Context), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    Context_slots};

int context_init(PyObject* module) {
  contexts = PyDict_New();
  hook_cancelled_name = PyUnicode_InternFromString("_on_cancelled");
  Context_Type = (PyTypeObject*)PyType_FromSpec(&Context_spec);
  if (contexts == NULL || hook_cancelled_name == NULL || Context_Type == NULL) {
    return -1;
  }
  return PyModule_AddType(module, Context_Type);
}
