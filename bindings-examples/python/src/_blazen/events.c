/* Events: a type and fields. */
#include <string.h>

#include "common.h"

PyTypeObject* Event_Type;
PyObject* name_value;
static PyObject *name_result, *attr_type, *attr_defaults, *attr_reserved;

/* ---- the Python type ---- */

static Event* event_alloc(PyTypeObject* type) {
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  return (Event*)alloc(type, 0);
}

/* Whether a field has a name that the class has: then the class wins. */
static int note_reserved(Event* self, PyObject* reserved) {
  Py_ssize_t position = 0;
  PyObject *key, *item;
  while (PyDict_Next(self->fields, &position, &key, &item)) {
    int has = PySet_Contains(reserved, key);
    if (has < 0) {
      return -1;
    }
    if (has) {
      Py_INCREF(reserved);
      self->reserved = reserved;
      return 0;
    }
  }
  return 0;
}

static int note_class(Event* self, PyTypeObject* type) {
  PyObject* reserved = PyObject_GetAttr((PyObject*)type, attr_reserved);
  if (reserved == NULL) {
    return -1;
  }
  int done = note_reserved(self, reserved);
  Py_DECREF(reserved);
  return done;
}

static PyObject* with_defaults(PyTypeObject* type, PyObject* given) {
  PyObject* defaults = PyObject_GetAttr((PyObject*)type, attr_defaults);
  if (defaults == NULL) {
    return NULL;
  }
  PyObject* fields = defaults == Py_None ? PyDict_New() : PyDict_Copy(defaults);
  Py_DECREF(defaults);
  if (fields != NULL && given != NULL && PyDict_Update(fields, given) < 0) {
    Py_CLEAR(fields);
  }
  return fields;
}

static int Event_init(PyObject* self, PyObject* args, PyObject* kwargs);

/* Whether a class has an __init__ of its own: then that says what the arguments are. */
static int has_init(PyTypeObject* type) { return PyType_GetSlot(type, Py_tp_init) != (void*)Event_init; }

static PyObject* Event_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (has_init(type)) {
    args = kwargs = NULL;
  }
  PyObject* name = PyObject_GetAttr((PyObject*)type, attr_type);
  if (name == NULL) {
    return NULL;
  }
  Py_ssize_t count = args == NULL ? 0 : PyTuple_Size(args);
  if (name == Py_None) { /* Event itself */
    if (count != 1 || !PyUnicode_Check(PyTuple_GetItem(args, 0))) {
      Py_DECREF(name);
      PyErr_SetString(PyExc_TypeError, "an Event is made with its type, as Event(\"Type\", field=...)");
      return NULL;
    }
    Py_DECREF(name);
    name = Py_NewRef(PyTuple_GetItem(args, 0));
  } else if (count != 0) {
    PyErr_Format(PyExc_TypeError, "the fields of a %U are given by name", name);
    Py_DECREF(name);
    return NULL;
  }
  Event* self = event_alloc(type);
  if (self == NULL) {
    Py_DECREF(name);
    return NULL;
  }
  self->type = name;
  self->fields = with_defaults(type, kwargs);
  if (self->fields == NULL || note_class(self, type) < 0) {
    Py_DECREF(self);
    return NULL;
  }
  return (PyObject*)self;
}

static int Event_init(PyObject* self, PyObject* args, PyObject* kwargs) {
  if (!has_init(Py_TYPE(self))) {
    return 0; /* Event_new has done it */
  }
  if (PyTuple_Size(args) != 0) {
    PyErr_Format(PyExc_TypeError, "the fields of a %U are given by name", ((Event*)self)->type);
    return -1;
  }
  if (kwargs != NULL && PyDict_Update(((Event*)self)->fields, kwargs) < 0) {
    return -1;
  }
  return ((Event*)self)->reserved == NULL ? note_class((Event*)self, Py_TYPE(self)) : 0;
}

static int Event_traverse(Event* self, visitproc visit, void* arg) {
  Py_VISIT((PyObject*)Py_TYPE((PyObject*)self));
  Py_VISIT(self->fields);
  return 0;
}

static int Event_clear(Event* self) {
  Py_CLEAR(self->fields);
  return 0;
}

static void Event_dealloc(Event* self) {
  PyTypeObject* type = Py_TYPE((PyObject*)self);
  PyObject_GC_UnTrack(self);
  Py_CLEAR(self->type);
  Py_CLEAR(self->fields);
  Py_CLEAR(self->reserved);
  Py_CLEAR(self->correlation);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

static int is_field(Event* self, PyObject* name) {
  if (self->fields == NULL) {
    return 0;
  }
  if (self->reserved != NULL) {
    int has = PySet_Contains(self->reserved, name);
    if (has != 0) {
      return has < 0 ? -1 : 0;
    }
  }
  return PyDict_Contains(self->fields, name);
}

static PyObject* Event_getattr(Event* self, PyObject* name) {
  int found = is_field(self, name);
  if (found < 0) {
    return NULL;
  }
  return found ? Py_XNewRef(PyDict_GetItemWithError(self->fields, name))
               : PyObject_GenericGetAttr((PyObject*)self, name);
}

static int Event_setattr(Event* self, PyObject* name, PyObject* value) {
  PyObject* reserved = PyObject_GetAttr((PyObject*)Py_TYPE((PyObject*)self), attr_reserved);
  if (reserved == NULL) {
    return -1;
  }
  int has = PySet_Contains(reserved, name);
  Py_DECREF(reserved);
  if (has != 0) {
    if (has > 0) {
      PyErr_Format(PyExc_AttributeError, "%R is no field: the class has it", name);
    }
    return -1;
  }
  if (value != NULL) {
    return PyDict_SetItem(self->fields, name, value);
  }
  if (PyDict_DelItem(self->fields, name) < 0) {
    PyErr_SetObject(PyExc_AttributeError, name);
    return -1;
  }
  return 0;
}

static PyObject* Event_getitem(Event* self, PyObject* key) {
  PyObject* item = PyDict_GetItemWithError(self->fields, key);
  if (item == NULL && !PyErr_Occurred()) {
    PyErr_SetObject(PyExc_KeyError, key);
  }
  return Py_XNewRef(item);
}

static int Event_contains(Event* self, PyObject* key) { return PyDict_Contains(self->fields, key); }

static PyObject* Event_to_dict(Event* self, PyObject* unused) {
  (void)unused;
  return PyDict_Copy(self->fields);
}

static PyObject* Event_event_type(Event* self, void* unused) {
  (void)unused;
  return Py_NewRef(self->type);
}

static PyObject* Event_correlation(Event* self, void* unused) {
  (void)unused;
  return Py_NewRef(self->correlation == NULL ? Py_None : self->correlation);
}

/* correlate(event, id) -> event */
static PyObject* correlate(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *object, *id;
  size_t length;
  if (!PyArg_ParseTuple(args, "O!O", Event_Type, &object, &id) ||
      text_of(id, "correlation", &length) == NULL) {
    return NULL;
  }
  Event* event = (Event*)object;
  PyObject* before = event->correlation;
  event->correlation = Py_NewRef(id);
  Py_XDECREF(before);
  return Py_NewRef(object);
}

static PyObject* Event_is_bare(Event* self, void* unused) {
  (void)unused;
  return PyBool_FromLong(self->bare);
}

static PyObject* make_event(PyTypeObject* type, PyObject* name, PyObject* fields, int bare) {
  Event* self = event_alloc(type);
  if (self == NULL) {
    return NULL;
  }
  self->type = Py_NewRef(name);
  self->fields = Py_NewRef(fields);
  self->bare = bare;
  if (note_class(self, type) < 0) {
    Py_CLEAR(self);
  }
  return (PyObject*)self;
}

/* _make(class, type, fields, bare) */
static PyObject* module_make_event(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *type, *name, *fields;
  int bare;
  if (!PyArg_ParseTuple(args, "OUO!p", &type, &name, &PyDict_Type, &fields, &bare)) {
    return NULL;
  }
  return make_event((PyTypeObject*)type, name, fields, bare);
}

static PyMethodDef Event_methods[] = {
    {"to_dict", (PyCFunction)Event_to_dict, METH_NOARGS, "The payload, as a dict of its own."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef Event_getset[] = {
    {"event_type", (getter)Event_event_type, NULL, "The type by which it is routed.", NULL},
    {"_is_bare", (getter)Event_is_bare, NULL, NULL, NULL},
    {"_correlation", (getter)Event_correlation, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot Event_slots[] = {
    {Py_tp_new, Event_new},           {Py_tp_init, Event_init},         {Py_tp_dealloc, Event_dealloc},
    {Py_tp_traverse, Event_traverse}, {Py_tp_clear, Event_clear},       {Py_tp_getattro, Event_getattr},
    {Py_tp_setattro, Event_setattr},  {Py_mp_subscript, Event_getitem}, {Py_sq_contains, Event_contains},
    {Py_tp_methods, Event_methods},   {Py_tp_getset, Event_getset},     {0, NULL}};
static PyType_Spec Event_spec = {"_blazen.EventBase", sizeof(Event), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, Event_slots};

static PyMethodDef functions[] = {{"correlate", correlate, METH_VARARGS, NULL},
                                  {"make_event", module_make_event, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

int events_init(PyObject* module) {
  name_value = PyUnicode_InternFromString("value");
  name_result = PyUnicode_InternFromString("result");
  attr_type = PyUnicode_InternFromString("_blazen_type");
  attr_defaults = PyUnicode_InternFromString("_blazen_defaults");
  attr_reserved = PyUnicode_InternFromString("_blazen_reserved");
  Event_Type = (PyTypeObject*)PyType_FromSpec(&Event_spec);
  if (Event_Type == NULL || PyModule_AddFunctions(module, functions) < 0) {
    return -1;
  }
  return PyModule_AddType(module, Event_Type);
}

/* ---- to the library ---- */

static int is_stop(Event* event) {
  return PyUnicode_GetLength(event->type) == sizeof BLAZEN_STOP_EVENT - 1 &&
         PyUnicode_CompareWithASCIIString(event->type, BLAZEN_STOP_EVENT) == 0;
}

static int stop_value(Event* event, blazen_value** value) {
  PyObject* result = PyDict_GetItemWithError(event->fields, name_result);
  Py_ssize_t count = PyDict_Size(event->fields);
  if (result == NULL) {
    PyObject* given = count == 0 ? Py_None : event->fields;
    return PyErr_Occurred() ? -1 : value_make(given, given, 1, value);
  }
  if (count != 1) {
    PyErr_Format(PyExc_ValueError, "a StopEvent has `result`, or other fields, not both: %R", event->fields);
    return -1;
  }
  return value_make(result, result, 1, value);
}

int event_value(Event* event, blazen_value** value) {
  if (is_stop(event)) {
    return stop_value(event, value);
  }
  if (event->bare) {
    PyObject* given = PyDict_GetItemWithError(event->fields, name_value);
    return value_make(given == NULL ? Py_None : given, (PyObject*)event, 1, value);
  }
  Buffer buffer;
  buffer_init(&buffer);
  int done = json_write(&buffer, event->fields);
  if (done > 0) {
    done = adopt_buffer(&buffer, (PyObject*)event, value);
  } else if (done == 0) {
    PyObject* packed = PyObject_CallFunctionObjArgs(hook_live_event, (PyObject*)event, NULL);
    int tag;
    PyObject* bytes;
    const char* codec;
    Py_ssize_t codec_length;
    done = -1;
    if (packed != NULL && PyArg_ParseTuple(packed, "iOs#", &tag, &bytes, &codec, &codec_length)) {
      done = tag == BLAZEN_TAG_LIVE
                 ? value_make_live((PyObject*)event, codec, (size_t)codec_length, value)
                 : value_adopt(tag, bytes, codec, (size_t)codec_length, (PyObject*)event, value);
    }
    Py_XDECREF(packed);
  }
  buffer_free(&buffer);
  return done;
}

int event_make(PyObject* object, blazen_event** event) {
  if (!PyObject_TypeCheck(object, Event_Type)) {
    PyErr_Format(PyExc_TypeError, "%R is no Event", object);
    return -1;
  }
  Event* self = (Event*)object;
  size_t length;
  const char* type = text_of(self->type, "event_type", &length);
  blazen_value* value;
  if (type == NULL || event_value(self, &value) < 0) {
    return -1;
  }
  blazen_event_options options = BLAZEN_EVENT_OPTIONS_INIT;
  if (self->correlation != NULL) {
    options.correlation = text_of(self->correlation, "correlation", &options.correlation_length);
  }
  blazen_error* error = NULL;
  blazen_status status =
      blazen_event_create(type, length, value, self->correlation == NULL ? NULL : &options, event, &error);
  blazen_value_release(value);
  if (status != BLAZEN_OK) {
    raise_status(status, error);
    return -1;
  }
  return 0;
}

/* ---- from the library ---- */

static PyObject* event_of_payload(PyTypeObject* type, PyObject* name, PyObject* payload) {
  int stops = PyUnicode_CompareWithASCIIString(name, BLAZEN_STOP_EVENT) == 0;
  PyObject *fields, *made = NULL;
  if (payload == Py_None && !stops) {
    fields = PyDict_New();
  } else if (PyDict_CheckExact(payload) && !stops) {
    fields = PyDict_Copy(payload);
  } else {
    fields = PyDict_New();
    if (fields != NULL && PyDict_SetItem(fields, stops ? name_result : name_value, payload) < 0) {
      Py_CLEAR(fields);
    }
  }
  if (fields != NULL) {
    made = make_event(type, name, fields, !stops && payload != Py_None && !PyDict_CheckExact(payload));
    Py_DECREF(fields);
  }
  return made;
}

PyObject* event_read(const blazen_event* event, PyObject* classes) {
  blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
  blazen_event_read(event, &view);
  PyObject* object = value_object(view.value);
  if (object != NULL && PyObject_TypeCheck(object, Event_Type)) {
    PyObject* name = ((Event*)object)->type;
    Py_ssize_t length;
    const char* text = PyUnicode_AsUTF8AndSize(name, &length);
    if (text != NULL && (size_t)length == view.type_length &&
        memcmp(text, view.type, view.type_length) == 0) {
      return Py_NewRef(object);
    }
    PyErr_Clear();
  }
  PyObject* name = PyUnicode_DecodeUTF8(view.type, (Py_ssize_t)view.type_length, NULL);
  if (name == NULL) {
    return NULL;
  }
  PyObject *type = PyDict_GetItemWithError(classes, name), *made = NULL;
  if (type == NULL) {
    type = PyDict_GetItemWithError(classes, Py_None); /* Event itself */
  }
  is_distrusted = PyDict_Contains(classes, Py_False) == 1;
  PyObject* payload = value_read(view.value);
  is_distrusted = 0;
  if (payload == NULL && PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback);
    PyErr_Format(PyExc_OverflowError, "%S, in an event %R", value, name);
    Py_XDECREF(kind);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
  }
  if (payload != NULL && type != NULL) {
    made = event_of_payload((PyTypeObject*)type, name, payload);
  }
  if (made != NULL && view.correlation != NULL) {
    ((Event*)made)->correlation =
        PyUnicode_DecodeUTF8(view.correlation, (Py_ssize_t)view.correlation_length, "replace");
  }
  Py_XDECREF(payload);
  Py_DECREF(name);
  return made;
}
