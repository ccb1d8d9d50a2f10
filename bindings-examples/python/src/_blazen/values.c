/* Values: Python objects in their four tiers, and back; and errors. */
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define HOOK(name) PyObject* hook_##name;
HOOKS(HOOK)
#undef HOOK

/* ---- what waits for the end of a call ---- */

typedef struct {
  PyObject* object; /* NULL: nothing is called */
  PyObject* argument;
} Pending;

static Pending* pending;
static size_t pending_capacity;
size_t pending_count;
Py_ssize_t alive_values;
_Thread_local int waits __attribute__((tls_model("initial-exec")));

static void pending_push(PyObject* object, PyObject* argument) {
  if (pending_count == pending_capacity) {
    size_t capacity = pending_capacity == 0 ? 64 : pending_capacity * 2;
    Pending* grown = realloc(pending, capacity * sizeof *grown);
    if (grown == NULL) {
      Py_FatalError("blazen: out of memory");
    }
    pending = grown;
    pending_capacity = capacity;
  }
  pending[pending_count++] = (Pending){object, argument};
}

void pending_decref(PyObject* object) {
  if (object == NULL) {
    return;
  }
  if (Py_REFCNT(object) > 1) { /* nothing ends by it */
    Py_DECREF(object);
  } else {
    pending_push(NULL, object);
  }
}

void pending_call(PyObject* callable, PyObject* argument) { pending_push(callable, argument); }

void drain_all(void) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  while (pending_count != 0) { /* what is called may add more, and another thread may take some */
    Pending few[8];
    size_t count = pending_count;
    Pending* taken = count <= sizeof few / sizeof *few ? few : malloc(count * sizeof *taken);
    if (taken == NULL) {
      Py_FatalError("blazen: out of memory");
    }
    memcpy(taken, pending, count * sizeof *taken);
    pending_count = 0;
    for (size_t i = 0; i < count; ++i) {
      if (taken[i].object != NULL) {
        PyObject* done = PyObject_CallFunctionObjArgs(taken[i].object, taken[i].argument, NULL);
        if (done == NULL) {
          PyErr_WriteUnraisable(taken[i].object);
        }
        Py_XDECREF(done);
        Py_DECREF(taken[i].object);
      }
      Py_XDECREF(taken[i].argument);
    }
    if (taken != few) {
      free(taken);
    }
  }
  PyErr_Restore(type, value, traceback);
}

/* ---- what values are made of ---- */

typedef struct {
  PyObject* object; /* what a reader gets; NULL: what the bytes say */
  PyObject* bytes;  /* who owns the bytes; NULL: they stand here */
  char data[];
} Holder;

static void drop_holder(void* user_data) {
  Holder* holder = user_data;
  if (!Py_IsInitialized()) {
    return;
  }
  GIL_BEGIN
  --alive_values;
  pending_decref(holder->object);
  pending_decref(holder->bytes);
  PyMem_Free(holder);
  GIL_END
}

static void drop_live(void* object) {
  if (!Py_IsInitialized()) {
    return;
  }
  GIL_BEGIN
  --alive_values;
  pending_decref(object);
  GIL_END
}

int adopt_buffer(Buffer* buffer, PyObject* object, blazen_value** value) {
  Holder* holder = PyMem_Malloc(sizeof *holder + buffer->length);
  if (holder == NULL) {
    PyErr_NoMemory();
    return -1;
  }
  memcpy(holder->data, buffer->data, buffer->length);
  Py_XINCREF(object);
  holder->object = object;
  holder->bytes = NULL;
  ++alive_values;
  blazen_error* error = NULL;
  blazen_status status = blazen_value_adopt(BLAZEN_TAG_JSON, holder->data, buffer->length, NULL, 0, holder,
                                            drop_holder, value, &error);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

int value_adopt(blazen_tag tag, PyObject* bytes, const char* codec, size_t codec_length, PyObject* object,
                blazen_value** value) {
  char* data;
  Py_ssize_t length;
  if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0) {
    return -1;
  }
  Holder* holder = PyMem_Malloc(sizeof *holder);
  if (holder == NULL) {
    PyErr_NoMemory();
    return -1;
  }
  Py_XINCREF(object);
  Py_INCREF(bytes);
  holder->object = object;
  holder->bytes = bytes;
  ++alive_values;
  blazen_error* error = NULL;
  blazen_status status =
      blazen_value_adopt(tag, data, (size_t)length, codec, codec_length, holder, drop_holder, value, &error);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

static blazen_status value_of_packed(PyObject* packed, blazen_value** value, blazen_error** error) {
  int tag;
  const char *data, *codec;
  Py_ssize_t length, codec_length;
  if (!PyArg_ParseTuple(packed, "iy#s#", &tag, &data, &length, &codec, &codec_length)) {
    return error_from_exception(error);
  }
  switch (tag) {
    case BLAZEN_TAG_JSON: return blazen_value_json(data, (size_t)length, value, error);
    case BLAZEN_TAG_BYTES: return blazen_value_bytes(data, (size_t)length, value, error);
    default: return blazen_value_native(data, (size_t)length, codec, (size_t)codec_length, value, error);
  }
}

/* The blazen_serialize_fn of every LIVE value. */
static blazen_status serialize(void* object, blazen_value** value, blazen_error** error) {
  GIL_BEGIN
  blazen_status status;
  PyObject* packed = PyObject_CallFunctionObjArgs(hook_serialize, (PyObject*)object, NULL);
  if (packed == NULL) {
    status = error_from_exception(error);
  } else {
    status = value_of_packed(packed, value, error);
    Py_DECREF(packed);
  }
  GIL_END
  return status;
}

int value_make_live(PyObject* object, const char* label, size_t label_length, blazen_value** value) {
  blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
  options.drop = drop_live;
  options.serialize = serialize;
  blazen_error* error = NULL;
  Py_INCREF(object);
  ++alive_values;
  blazen_status status = blazen_value_live_with(object, label, label_length, &options, value, &error);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

static int make_other(PyObject* object, PyObject* kept, int live, blazen_value** value) {
  PyObject* packed = PyObject_CallFunctionObjArgs(hook_encode, object, NULL);
  if (packed == NULL) {
    return -1;
  }
  int tag, done = -1;
  PyObject* bytes;
  const char* codec;
  Py_ssize_t codec_length;
  if (PyArg_ParseTuple(packed, "iOs#", &tag, &bytes, &codec, &codec_length)) {
    if (tag != BLAZEN_TAG_LIVE) {
      done = value_adopt(tag, bytes, codec, (size_t)codec_length, kept, value);
    } else if (live) {
      done = value_make_live(object, codec, (size_t)codec_length, value);
    } else {
      PyErr_Format(PyExc_TypeError, "%R has no stored form (it does not pickle): it belongs in ctx.session",
                   object);
    }
  }
  Py_DECREF(packed);
  return done;
}

int value_make(PyObject* object, PyObject* kept, int live, blazen_value** value) {
  if (PyBytes_CheckExact(object)) {
    return value_adopt(BLAZEN_TAG_BYTES, object, NULL, 0, kept, value);
  }
  Buffer buffer;
  buffer_init(&buffer);
  int done = json_write(&buffer, object);
  if (done > 0) {
    done = adopt_buffer(&buffer, kept, value);
  } else if (done == 0) {
    done = make_other(object, kept, live, value);
  }
  buffer_free(&buffer);
  return done;
}

/* ---- reading ---- */

PyObject* value_object(const blazen_value* value) {
  PyObject* live = blazen_value_object_of(value, drop_live);
  if (live != NULL) {
    return live;
  }
  Holder* holder = blazen_value_object_of(value, drop_holder);
  return holder == NULL ? NULL : holder->object;
}

int is_distrusted;

PyObject* data_read(blazen_tag tag, const char* codec, size_t codec_length, const void* data, size_t length) {
  switch (tag) {
    case BLAZEN_TAG_JSON: return json_read(data, length);
    case BLAZEN_TAG_BYTES: return PyBytes_FromStringAndSize(data, (Py_ssize_t)length);
    case BLAZEN_TAG_NONE: Py_RETURN_NONE;
    default:
      return PyObject_CallFunction(hook_decode, "iy#s#O", (int)tag, data == NULL ? "" : data,
                                   (Py_ssize_t)length, codec, (Py_ssize_t)codec_length,
                                   is_distrusted ? Py_False : Py_True);
  }
}

PyObject* value_read(const blazen_value* value) {
  PyObject* object = value_object(value);
  if (object != NULL && PyObject_TypeCheck(object, Event_Type)) {
    Event* event = (Event*)object; /* what an event carried stands on its own here */
    if (event->bare) {
      return PyObject_GetItem(object, name_value);
    }
    if (blazen_value_tag(value) == BLAZEN_TAG_LIVE) {
      return PyDict_Copy(event->fields);
    }
    object = NULL;
  }
  if (object != NULL) {
    Py_INCREF(object);
    return object;
  }
  size_t length, codec_length;
  const void* data = blazen_value_data(value, &length);
  const char* codec = blazen_value_codec(value, &codec_length);
  return data_read(blazen_value_tag(value), codec, codec_length, data, length);
}

/* ---- errors ---- */

static PyObject* text_or_none(const char* text, size_t length) {
  if (text == NULL) {
    Py_RETURN_NONE;
  }
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "replace");
}

PyObject* error_object(const blazen_error* error) {
  blazen_error_view view = BLAZEN_ERROR_VIEW_INIT;
  if (!blazen_error_read(error, &view)) {
    Py_RETURN_NONE;
  }
  PyObject* detail = view.detail == NULL ? NULL : value_read(view.detail);
  if (detail == NULL) {
    PyErr_Clear();
    Py_INCREF(Py_None);
    detail = Py_None;
  }
  PyObject* cause = view.cause == NULL ? NULL : error_object(view.cause);
  PyObject* made = PyObject_CallFunction(
      hook_raise, "iNNIKLNN", (int)view.status, text_or_none(view.message, view.message_length),
      text_or_none(view.step, view.step_length), view.attempt, (unsigned long long)view.offset,
      (long long)view.host_code, detail, cause == NULL ? Py_NewRef(Py_None) : cause);
  return made;
}

static PyObject*
    interrupt; /* what a callback has raised that is no Exception: the call that led there raises it */

PyObject* raise_status(blazen_status status, blazen_error* error) {
  PyObject* made;
  if (interrupt != NULL) {
    made = interrupt;
    interrupt = NULL;
    blazen_error_release(error);
  } else if (error == NULL) {
    made = PyObject_CallFunction(hook_raise, "isOIKLOO", (int)status, blazen_status_name(status), Py_None, 0u,
                                 (unsigned long long)-1, 0LL, Py_None, Py_None);
  } else {
    made = error_object(error);
    blazen_error_release(error);
  }
  drain();
  if (made != NULL) {
    PyErr_SetObject((PyObject*)Py_TYPE(made), made);
    Py_DECREF(made);
  }
  return NULL;
}

int was_interrupted(void) {
  if (interrupt == NULL) {
    return 0;
  }
  raise_status(BLAZEN_ERROR_HOST, NULL);
  return 1;
}

blazen_status error_from_exception(blazen_error** error) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (interrupt == NULL && type != NULL && !PyErr_GivenExceptionMatches(type, PyExc_Exception)) {
    interrupt = Py_NewRef(value);
  }
  PyObject* name = type == NULL ? NULL : PyType_GetName((PyTypeObject*)type);
  PyObject* text = name == NULL ? NULL : PyUnicode_FromFormat("%U: %S", name, value);
  Py_ssize_t length = 0;
  const char* message = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &length);
  if (message == NULL) {
    PyErr_Clear();
    message = "an exception that has no text";
    length = (Py_ssize_t)strlen(message);
  }
  blazen_status status = blazen_error_host(0, message, (size_t)length, NULL, error);
  Py_XDECREF(text);
  Py_XDECREF(name);
  pending_decref(type);
  pending_decref(value);
  pending_decref(traceback);
  return status;
}

const char* text_of(PyObject* object, const char* what, size_t* length) {
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s is a str, not %R", what, object);
    return NULL;
  }
  Py_ssize_t size;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == NULL) {
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s has a lone surrogate, which is no text: %A", what, object);
    return NULL;
  }
  *length = (size_t)size;
  return text;
}
