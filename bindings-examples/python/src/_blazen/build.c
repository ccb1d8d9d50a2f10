/* Workflows and pipelines, as they are built. */
#include <stdint.h>

#include "common.h"

/* error: where it is put. It is read here: of two arguments, the second may be evaluated first. */
static PyObject* done(blazen_status status, blazen_error** error) {
  if (status != BLAZEN_OK) {
    return raise_status(status, *error);
  }
  drain();
  Py_RETURN_NONE;
}

enum { TEXTS_MAX = 4096 };

typedef struct {
  const char** texts;
  size_t* lengths;
  size_t count;
} Texts;

static void texts_free(Texts* texts) {
  PyMem_Free((void*)texts->texts);
  PyMem_Free(texts->lengths);
}

/* A list of str, borrowed. */
static int texts_of(PyObject* list, const char* what, Texts* texts) {
  Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : -1;
  *texts = (Texts){NULL, NULL, 0};
  if (count < 0 || count > TEXTS_MAX) {
    PyErr_Format(PyExc_TypeError, "%s is a list of str, not %R", what, list);
    return -1;
  }
  texts->texts = PyMem_Malloc(((size_t)count + 1) * sizeof *texts->texts);
  texts->lengths = PyMem_Malloc(((size_t)count + 1) * sizeof *texts->lengths);
  if (texts->texts == NULL || texts->lengths == NULL) {
    texts_free(texts);
    PyErr_NoMemory();
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    if ((texts->texts[i] = text_of(PyList_GetItem(list, i), what, &texts->lengths[i])) == NULL) {
      texts_free(texts);
      return -1;
    }
  }
  texts->count = (size_t)count;
  return 0;
}

static PyObject* builder_create(PyObject* module, PyObject* name_object) {
  (void)module;
  size_t length;
  const char* name = text_of(name_object, "name", &length);
  blazen_workflow_builder* builder;
  blazen_error* error = NULL;
  if (name == NULL) {
    return NULL;
  }
  blazen_status status = blazen_workflow_builder_create(name, length, &builder, &error);
  return status == BLAZEN_OK ? handle_new(builder, KIND_BUILDER) : raise_status(status, error);
}

/* (max_attempts, initial_ms, multiplier, max_ms, jitter_percent) or None */
static int retry_of(PyObject* given, blazen_retry_options* retry) {
  *retry = (blazen_retry_options)BLAZEN_RETRY_OPTIONS_INIT;
  long long initial, most;
  if (given == Py_None) {
    return 0;
  }
  if (!PyArg_ParseTuple(given, "ILdLI", &retry->max_attempts, &initial, &retry->multiplier, &most,
                        &retry->jitter_percent)) {
    return -1;
  }
  retry->initial_delay_ms = initial;
  retry->max_delay_ms = most;
  return 1;
}

/* (of, mode, n, deadline_ms, at_deadline, cancel_rest, ordered, correlation, empty) or None */
static int join_of(PyObject* given, blazen_join_options* join) {
  *join = (blazen_join_options)BLAZEN_JOIN_OPTIONS_INIT;
  Py_ssize_t length;
  long long deadline;
  if (given == Py_None) {
    return 0;
  }
  if (!PyArg_ParseTuple(given, "s#iILiiiii", &join->of, &length, &join->mode, &join->n, &deadline,
                        &join->at_deadline, &join->cancel_rest, &join->ordered, &join->correlation,
                        &join->empty)) {
    return -1;
  }
  join->of_length = (size_t)length;
  join->deadline_ms = deadline;
  return 1;
}

/* add_step(builder, number, name, accepts, emits, max_concurrency, timeout_ms, atomic, abandoned, retry, join) */
static PyObject* builder_add_step(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *accepts, *emits, *retry_given, *join_given;
  Py_ssize_t number, length;
  const char* name;
  unsigned concurrency;
  long long timeout;
  int atomic, abandoned;
  if (!PyArg_ParseTuple(args, "Ons#OOILpiOO", &handle, &number, &name, &length, &accepts, &emits,
                        &concurrency, &timeout, &atomic, &abandoned, &retry_given, &join_given)) {
    return NULL;
  }
  blazen_retry_options retry;
  blazen_join_options join;
  Texts accept_texts, emit_texts;
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  int retries = retry_of(retry_given, &retry), joins = join_of(join_given, &join);
  if (builder == NULL || retries < 0 || joins < 0 || texts_of(accepts, "accepts", &accept_texts) < 0) {
    return NULL;
  }
  if (texts_of(emits, "emits", &emit_texts) < 0) {
    texts_free(&accept_texts);
    return NULL;
  }
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.accepts = accept_texts.texts;
  options.accept_lengths = accept_texts.lengths;
  options.accept_count = accept_texts.count;
  options.emits = emit_texts.texts;
  options.emit_lengths = emit_texts.lengths;
  options.emit_count = emit_texts.count;
  options.max_concurrency = concurrency;
  options.atomic = atomic;
  options.timeout_ms = timeout;
  options.retry = retries ? &retry : NULL;
  options.abandoned = abandoned;
  options.cancelled = context_cancelled;
  options.join = joins ? &join : NULL;
  blazen_error* error = NULL;
  blazen_status status = blazen_workflow_builder_add_step_with(builder, name, (size_t)length, &options, body,
                                                               (void*)(intptr_t)number, NULL, &error);
  texts_free(&accept_texts);
  texts_free(&emit_texts);
  return done(status, &error);
}

/* add_elsewhere(builder, name, accepts, max_concurrency, join) */
static PyObject* builder_add_elsewhere(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *accepts, *join_given;
  const char* name;
  Py_ssize_t length;
  unsigned concurrency;
  Texts texts;
  if (!PyArg_ParseTuple(args, "Os#OIO", &handle, &name, &length, &accepts, &concurrency, &join_given)) {
    return NULL;
  }
  blazen_join_options join;
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  int joins = join_of(join_given, &join);
  if (builder == NULL || joins < 0 || texts_of(accepts, "accepts", &texts) < 0) {
    return NULL;
  }
  blazen_error* error = NULL;
  blazen_status status =
      texts.count == 0 ? blazen_workflow_builder_add_elsewhere(builder, name, (size_t)length, "", 0, &error)
                       : blazen_workflow_builder_add_elsewhere(builder, name, (size_t)length, texts.texts[0],
                                                               texts.lengths[0], &error);
  for (size_t i = 1; status == BLAZEN_OK && i < texts.count; ++i) {
    status = blazen_workflow_builder_step_accepts(builder, name, (size_t)length, texts.texts[i],
                                                  texts.lengths[i], &error);
  }
  if (status == BLAZEN_OK && concurrency != 0) {
    status = blazen_workflow_builder_step_max_concurrency(builder, name, (size_t)length, concurrency, &error);
  }
  if (status == BLAZEN_OK && joins) {
    status = blazen_workflow_builder_step_joins(builder, name, (size_t)length, &join, &error);
  }
  texts_free(&texts);
  return done(status, &error);
}

static PyObject* builder_uses_pool(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char *step, *pool;
  Py_ssize_t length, pool_length;
  if (!PyArg_ParseTuple(args, "Os#s#", &handle, &step, &length, &pool, &pool_length)) {
    return NULL;
  }
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  blazen_error* error = NULL;
  return builder == NULL ? NULL
                         : done(blazen_workflow_builder_step_uses_pool(builder, step, (size_t)length, pool,
                                                                       (size_t)pool_length, &error),
                                &error);
}

/* set(builder, what, value) */
static PyObject* builder_set(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* what;
  long long value;
  if (!PyArg_ParseTuple(args, "OsL", &handle, &what, &value)) {
    return NULL;
  }
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  blazen_error* error = NULL;
  if (builder == NULL) {
    return NULL;
  }
  switch (what[0]) {
    case 't': return done(blazen_workflow_builder_set_timeout(builder, value, &error), &error);
    case 'p':
      return done(blazen_workflow_builder_set_session_policy(builder, (int32_t)value, &error), &error);
    case 'o':
      return done(blazen_workflow_builder_set_session_on_pause(builder, (int32_t)value, &error), &error);
    case 'u': return done(blazen_workflow_builder_set_unhandled(builder, (int32_t)value, &error), &error);
    default: return done(blazen_workflow_builder_set_idle(builder, (int32_t)value, &error), &error);
  }
}

static PyObject* builder_set_limit(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  int limit;
  unsigned long long bound;
  if (!PyArg_ParseTuple(args, "OiK", &handle, &limit, &bound)) {
    return NULL;
  }
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  blazen_error* error = NULL;
  return builder == NULL ? NULL
                         : done(blazen_workflow_builder_set_limit(builder, limit, bound, &error), &error);
}

static PyObject* builder_build(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  blazen_workflow* workflow;
  blazen_error* error = NULL;
  if (builder == NULL) {
    return NULL;
  }
  blazen_status status = blazen_workflow_builder_build(builder, &workflow, &error);
  return status == BLAZEN_OK ? handle_new(workflow, KIND_WORKFLOW) : raise_status(status, error);
}

/* ---- steps that are workflows ---- */

enum { NO_MAPPER = -1, MAPPER_ELSEWHERE = -2 };

static blazen_mapper mapper_of(Py_ssize_t number) {
  blazen_mapper mapper = {NULL, NULL, NULL, 0};
  if (number == MAPPER_ELSEWHERE) {
    mapper.elsewhere = 1;
  } else if (number != NO_MAPPER) {
    mapper.body = decision_body;
    mapper.user_data = (void*)(intptr_t)number;
  }
  return mapper;
}

/* [(name, handle, None for elsewhere)] */
static blazen_branch* branches_of(PyObject* list, size_t* count) {
  Py_ssize_t size = PyList_Size(list);
  if (size < 0) {
    return NULL;
  }
  blazen_branch* branches = PyMem_Calloc((size_t)size + 1, sizeof *branches);
  if (branches == NULL) {
    PyErr_NoMemory();
    return NULL;
  }
  for (Py_ssize_t i = 0; i < size; ++i) {
    Py_ssize_t length;
    PyObject* child;
    if (!PyArg_ParseTuple(PyList_GetItem(list, i), "s#O", &branches[i].name, &length, &child) ||
        (child != Py_None && (branches[i].child = handle_pointer(child, KIND_WORKFLOW)) == NULL)) {
      PyMem_Free(branches);
      return NULL;
    }
    branches[i].name_length = (size_t)length;
    branches[i].elsewhere = child == Py_None;
  }
  *count = (size_t)size;
  return branches;
}

/* add_workflows(builder, name, accepts, child or [branches], output type or None, input, output, first_success, timeout_ms,
 * max_concurrency, retry, join) */
static PyObject* builder_add_workflows(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *accepts, *child, *retry_given, *join_given;
  const char *name, *output_type;
  Py_ssize_t length, output_length, input, output;
  int first_success;
  long long timeout;
  unsigned concurrency;
  if (!PyArg_ParseTuple(args, "Os#OOz#nnpLIOO", &handle, &name, &length, &accepts, &child, &output_type,
                        &output_length, &input, &output, &first_success, &timeout, &concurrency, &retry_given,
                        &join_given)) {
    return NULL;
  }
  blazen_retry_options retry;
  blazen_join_options join;
  Texts texts;
  blazen_workflow_builder* builder = handle_pointer(handle, KIND_BUILDER);
  int retries = retry_of(retry_given, &retry), joins = join_of(join_given, &join);
  if (builder == NULL || retries < 0 || joins < 0 || texts_of(accepts, "accepts", &texts) < 0) {
    return NULL;
  }
  blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
  options.output_type = output_type;
  options.output_type_length = (size_t)output_length;
  options.input = mapper_of(input);
  options.output = mapper_of(output);
  options.first_success = first_success;
  blazen_error* error = NULL;
  blazen_status status;
  const char* first = texts.count == 0 ? "" : texts.texts[0];
  size_t first_length = texts.count == 0 ? 0 : texts.lengths[0];
  if (PyList_Check(child)) {
    size_t count;
    blazen_branch* branches = branches_of(child, &count);
    if (branches == NULL) {
      texts_free(&texts);
      return NULL;
    }
    status = blazen_workflow_builder_add_workflows(builder, name, (size_t)length, first, first_length,
                                                   branches, count, &options, &error);
    PyMem_Free(branches);
  } else {
    blazen_workflow* workflow = child == Py_None ? NULL : handle_pointer(child, KIND_WORKFLOW);
    if (workflow == NULL && child != Py_None) {
      texts_free(&texts);
      return NULL;
    }
    status = blazen_workflow_builder_add_workflow(builder, name, (size_t)length, first, first_length,
                                                  workflow, &options, &error);
  }
  for (size_t i = 1; status == BLAZEN_OK && i < texts.count; ++i) {
    status = blazen_workflow_builder_step_accepts(builder, name, (size_t)length, texts.texts[i],
                                                  texts.lengths[i], &error);
  }
  if (status == BLAZEN_OK && timeout != 0) {
    status = blazen_workflow_builder_step_timeout(builder, name, (size_t)length, timeout, &error);
  }
  if (status == BLAZEN_OK && concurrency != 0) {
    status = blazen_workflow_builder_step_max_concurrency(builder, name, (size_t)length, concurrency, &error);
  }
  if (status == BLAZEN_OK && retries) {
    status = blazen_workflow_builder_step_retry(builder, name, (size_t)length, &retry, &error);
  }
  if (status == BLAZEN_OK && joins) {
    status = blazen_workflow_builder_step_joins(builder, name, (size_t)length, &join, &error);
  }
  texts_free(&texts);
  return done(status, &error);
}

/* ---- pipelines ---- */

static PyObject* pipeline_create(PyObject* module, PyObject* name_object) {
  (void)module;
  size_t length;
  const char* name = text_of(name_object, "name", &length);
  blazen_pipeline_builder* builder;
  blazen_error* error = NULL;
  if (name == NULL) {
    return NULL;
  }
  blazen_status status = blazen_pipeline_builder_create(name, length, &builder, &error);
  return status == BLAZEN_OK ? handle_new(builder, KIND_PIPELINE) : raise_status(status, error);
}

/* add(builder, name, workflow or [branches], rounds (0: no loop), (condition, input, output, until), timeout_ms, retry,
 * first_success, done_at_bound) */
static PyObject* pipeline_add(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *handle, *runs, *retry_given;
  const char* name;
  Py_ssize_t length, condition, input, output, until;
  unsigned rounds;
  long long timeout;
  int first_success, done_at_bound;
  if (!PyArg_ParseTuple(args, "Os#OI(nnnn)LOpp", &handle, &name, &length, &runs, &rounds, &condition, &input,
                        &output, &until, &timeout, &retry_given, &first_success, &done_at_bound)) {
    return NULL;
  }
  blazen_retry_options retry;
  blazen_pipeline_builder* builder = handle_pointer(handle, KIND_PIPELINE);
  int retries = retry_of(retry_given, &retry);
  if (builder == NULL || retries < 0) {
    return NULL;
  }
  blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
  options.condition = mapper_of(condition);
  options.input = mapper_of(input);
  options.output = mapper_of(output);
  options.until = mapper_of(until);
  options.timeout_ms = timeout;
  options.retry = retries ? &retry : NULL;
  options.first_success = first_success;
  options.done_at_bound = done_at_bound;
  blazen_error* error = NULL;
  blazen_status status;
  size_t size = (size_t)length, count;
  if (PyList_Check(runs)) {
    blazen_branch* branches = branches_of(runs, &count);
    if (branches == NULL) {
      return NULL;
    }
    status = rounds == 0 ? blazen_pipeline_builder_add_parallel(builder, name, size, branches, count,
                                                                &options, &error)
                         : blazen_pipeline_builder_add_parallel_loop(builder, name, size, branches, count,
                                                                     rounds, &options, &error);
    PyMem_Free(branches);
  } else {
    blazen_workflow* workflow = handle_pointer(runs, KIND_WORKFLOW);
    if (workflow == NULL) {
      return NULL;
    }
    status = rounds == 0
                 ? blazen_pipeline_builder_add_stage(builder, name, size, workflow, &options, &error)
                 : blazen_pipeline_builder_add_loop(builder, name, size, workflow, rounds, &options, &error);
  }
  return done(status, &error);
}

/* set(builder, what, value) */
static PyObject* pipeline_set(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  const char* what;
  long long value;
  if (!PyArg_ParseTuple(args, "OsL", &handle, &what, &value)) {
    return NULL;
  }
  blazen_pipeline_builder* builder = handle_pointer(handle, KIND_PIPELINE);
  blazen_error* error = NULL;
  if (builder == NULL) {
    return NULL;
  }
  switch (what[0]) {
    case 't': return done(blazen_pipeline_builder_set_timeout(builder, value, &error), &error);
    case 's': return done(blazen_pipeline_builder_set_stage_timeout(builder, value, &error), &error);
    default: return done(blazen_pipeline_builder_set_session_policy(builder, (int32_t)value, &error), &error);
  }
}

static PyObject* pipeline_build(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_pipeline_builder* builder = handle_pointer(handle, KIND_PIPELINE);
  blazen_workflow* workflow;
  blazen_error* error = NULL;
  if (builder == NULL) {
    return NULL;
  }
  blazen_status status = blazen_pipeline_builder_build(builder, &workflow, &error);
  return status == BLAZEN_OK ? handle_new(workflow, KIND_WORKFLOW) : raise_status(status, error);
}

static PyObject* workflow_describe(PyObject* module, PyObject* handle) {
  (void)module;
  blazen_workflow* workflow = handle_pointer(handle, KIND_WORKFLOW);
  blazen_value* description;
  blazen_error* error = NULL;
  if (workflow == NULL) {
    return NULL;
  }
  blazen_status status = blazen_workflow_describe(workflow, &description, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  PyObject* read = value_read(description);
  blazen_value_release(description);
  return read;
}

/* workflow_draw(workflow, format) -> str */
static PyObject* workflow_draw(PyObject* module, PyObject* args) {
  (void)module;
  PyObject* handle;
  int format;
  if (!PyArg_ParseTuple(args, "Oi", &handle, &format)) {
    return NULL;
  }
  blazen_workflow* workflow = handle_pointer(handle, KIND_WORKFLOW);
  blazen_value* drawing;
  blazen_error* error = NULL;
  if (workflow == NULL) {
    return NULL;
  }
  blazen_status status = blazen_workflow_draw(workflow, format, &drawing, &error);
  if (status != BLAZEN_OK) {
    return raise_status(status, error);
  }
  size_t length;
  const char* text = blazen_value_data(drawing, &length);
  PyObject* drawn = PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, NULL);
  blazen_value_release(drawing);
  return drawn;
}

static PyMethodDef functions[] = {{"builder_create", builder_create, METH_O, NULL},
                                  {"builder_add_step", builder_add_step, METH_VARARGS, NULL},
                                  {"builder_add_elsewhere", builder_add_elsewhere, METH_VARARGS, NULL},
                                  {"builder_add_workflows", builder_add_workflows, METH_VARARGS, NULL},
                                  {"builder_uses_pool", builder_uses_pool, METH_VARARGS, NULL},
                                  {"builder_set", builder_set, METH_VARARGS, NULL},
                                  {"builder_set_limit", builder_set_limit, METH_VARARGS, NULL},
                                  {"builder_build", builder_build, METH_O, NULL},
                                  {"pipeline_create", pipeline_create, METH_O, NULL},
                                  {"pipeline_add", pipeline_add, METH_VARARGS, NULL},
                                  {"pipeline_set", pipeline_set, METH_VARARGS, NULL},
                                  {"pipeline_build", pipeline_build, METH_O, NULL},
                                  {"workflow_describe", workflow_describe, METH_O, NULL},
                                  {"workflow_draw", workflow_draw, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

int build_init(PyObject* module) { return PyModule_AddFunctions(module, functions); }
