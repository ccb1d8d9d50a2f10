/* What the library counts, as Python objects. */
#include "common.h"

PyTypeObject* Handle_Type;
Py_ssize_t alive_handles;

static void release(void* pointer, Kind kind) {
  switch (kind) {
    case KIND_BUILDER: blazen_workflow_builder_release(pointer); break;
    case KIND_PIPELINE: blazen_pipeline_builder_release(pointer); break;
    case KIND_WORKFLOW: blazen_workflow_release(pointer); break;
    case KIND_RUNTIME: /* the last release may wait for a callback */
      WAIT_BEGIN
      blazen_runtime_release(pointer);
      WAIT_END
      break;
    case KIND_RUN: blazen_run_release(pointer); break;
    case KIND_STREAM: blazen_stream_release(pointer); break;
  }
}

static void Handle_dealloc(Handle* self) {
  PyTypeObject* type = Py_TYPE((PyObject*)self);
  release(self->pointer, self->kind);
  --alive_handles;
  drain();
  freefunc free_it = (freefunc)PyType_GetSlot(type, Py_tp_free);
  free_it(self);
  Py_DECREF(type);
}

static PyObject* Handle_address(Handle* self, void* unused) {
  (void)unused;
  return PyLong_FromVoidPtr(self->pointer);
}

static PyGetSetDef Handle_getset[] = {{"address", (getter)Handle_address, NULL, NULL, NULL},
                                      {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot Handle_slots[] = {
    {Py_tp_dealloc, Handle_dealloc}, {Py_tp_getset, Handle_getset}, {0, NULL}};
static PyType_Spec Handle_spec = {"_blazen.Handle", sizeof(Handle), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, Handle_slots};

PyObject* handle_new(void* pointer, Kind kind) {
  allocfunc alloc = (allocfunc)PyType_GetSlot(Handle_Type, Py_tp_alloc);
  Handle* self = (Handle*)alloc(Handle_Type, 0);
  if (self == NULL) {
    release(pointer, kind);
    return NULL;
  }
  ++alive_handles;
  self->pointer = pointer;
  self->kind = kind;
  return (PyObject*)self;
}

void* handle_pointer(PyObject* object, Kind kind) {
  if (!PyObject_TypeCheck(object, Handle_Type) || ((Handle*)object)->kind != kind) {
    PyErr_Format(PyExc_TypeError, "a handle of another kind: %R", object);
    return NULL;
  }
  return ((Handle*)object)->pointer;
}

int handles_init(PyObject* module) {
  Handle_Type = (PyTypeObject*)PyType_FromSpec(&Handle_spec);
  return Handle_Type == NULL ? -1 : PyModule_AddType(module, Handle_Type);
}
