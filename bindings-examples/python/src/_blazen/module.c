/* The module: it begins here. */
#include "common.h"

/* install(encode=..., ...): the functions of blazen._hooks that this layer calls. */
static PyObject* install(PyObject* module, PyObject* args, PyObject* kwargs) {
  (void)module, (void)args;
#define HOOK(name)                                                 \
  {                                                                \
    PyObject* given = PyDict_GetItemString(kwargs, #name);         \
    if (given == NULL) {                                           \
      PyErr_SetString(PyExc_TypeError, "install() misses " #name); \
      return NULL;                                                 \
    }                                                              \
    Py_XDECREF(hook_##name);                                       \
    hook_##name = Py_NewRef(given);                                \
  }
  HOOKS(HOOK)
#undef HOOK
  Py_RETURN_NONE;
}

/* json(object) -> bytes, or None: JSON does not hold it exactly */
static PyObject* json(PyObject* module, PyObject* object) {
  (void)module;
  Buffer buffer;
  buffer_init(&buffer);
  int written = json_write(&buffer, object);
  PyObject* answer = written < 0    ? NULL
                     : written == 0 ? Py_NewRef(Py_None)
                                    : PyBytes_FromStringAndSize(buffer.data, (Py_ssize_t)buffer.length);
  buffer_free(&buffer);
  return answer;
}

/* read(tag, bytes, codec) -> object */
static PyObject* read_data(PyObject* module, PyObject* args) {
  (void)module;
  int tag;
  const char *data, *codec;
  Py_ssize_t length, codec_length;
  if (!PyArg_ParseTuple(args, "iy#s#", &tag, &data, &length, &codec, &codec_length)) {
    return NULL;
  }
  return data_read(tag, codec, (size_t)codec_length, data, (size_t)length);
}

/* alive() -> (handles, contexts, values) */
static PyObject* alive(PyObject* module, PyObject* unused) {
  (void)module, (void)unused;
  return Py_BuildValue("(nnn)", alive_handles, alive_contexts, alive_values);
}

static PyMethodDef functions[] = {
    {"alive", alive, METH_NOARGS, NULL},
    {"install", (PyCFunction)(void (*)(void))install, METH_VARARGS | METH_KEYWORDS, NULL},
    {"json", json, METH_O, NULL},
    {"read", read_data, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_blazen", "The compiled layer of blazen.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__blazen(void) {
  if (blazen_abi() != BLAZEN_ABI) {
    PyErr_Format(PyExc_ImportError, "libblazen has the ABI %u, and this package was made for %d",
                 (unsigned)blazen_abi(), (int)BLAZEN_ABI);
    return NULL;
  }
  PyObject* module = PyModule_Create(&definition);
  if (module == NULL || events_init(module) < 0 || handles_init(module) < 0 || context_init(module) < 0 ||
      build_init(module) < 0 || run_init(module) < 0 ||
      PyModule_AddStringConstant(module, "version", blazen_version()) < 0) {
    Py_XDECREF(module);
    return NULL;
  }
  return module;
}
