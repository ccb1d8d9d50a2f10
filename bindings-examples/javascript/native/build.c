/* Workflows and pipelines are built here. */
#include "addon.h"

typedef struct {
  uint32_t count;
  Text* texts;
  const char** data;
  size_t* lengths;
} Texts;

static void texts_free(Texts* texts) {
  for (uint32_t i = 0; i < texts->count; ++i) text_free(&texts->texts[i]);
  free(texts->texts);
  free(texts->data);
  free(texts->lengths);
}

static bool texts_read(napi_env env, napi_value array, Texts* texts) {
  memset(texts, 0, sizeof *texts);
  uint32_t count = 0;
  bool is_array = false;
  napi_is_array(env, array, &is_array);
  if (!is_array) return true;
  napi_get_array_length(env, array, &count);
  if (count == 0) return true;
  texts->texts = calloc(count, sizeof *texts->texts);
  texts->data = calloc(count, sizeof *texts->data);
  texts->lengths = calloc(count, sizeof *texts->lengths);
  if (texts->texts == NULL || texts->data == NULL || texts->lengths == NULL) {
    texts_free(texts);
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    napi_value item = NULL;
    napi_get_element(env, array, i, &item);
    if (!text_read(env, item, &texts->texts[i])) {
      texts_free(texts);
      return false;
    }
    texts->count = i + 1;
    texts->data[i] = texts->texts[i].data == NULL ? "" : texts->texts[i].data;
    texts->lengths[i] = texts->texts[i].length;
  }
  return true;
}

static double part(napi_env env, napi_value array, uint32_t index) {
  napi_value item = NULL;
  double result = 0;
  if (napi_get_element(env, array, index, &item) == napi_ok) napi_get_value_double(env, item, &result);
  return result;
}

/* [max attempts, jitter, initial delay, multiplier, longest delay, [only], [never]] */
typedef struct {
  blazen_retry_options options;
  int64_t only[64], never[64];
} Retry;

static uint32_t codes_read(napi_env env, napi_value array, uint32_t index, int64_t* codes) {
  napi_value list = NULL;
  bool is_array = false;
  uint32_t count = 0;
  napi_get_element(env, array, index, &list);
  napi_is_array(env, list, &is_array);
  if (is_array) napi_get_array_length(env, list, &count);
  if (count > 64) count = 64;
  for (uint32_t i = 0; i < count; ++i) codes[i] = (int64_t)part(env, list, i);
  return count;
}

static const blazen_retry_options* retry_read(napi_env env, napi_value array, Retry* retry) {
  bool is_array = false;
  napi_is_array(env, array, &is_array);
  if (!is_array) return NULL;
  blazen_retry_options_init(&retry->options, sizeof retry->options);
  retry->options.max_attempts = (uint32_t)part(env, array, 0);
  retry->options.jitter_percent = (uint32_t)part(env, array, 1);
  retry->options.initial_delay_ms = (int64_t)part(env, array, 2);
  retry->options.multiplier = part(env, array, 3);
  retry->options.max_delay_ms = (int64_t)part(env, array, 4);
  retry->options.only_count = codes_read(env, array, 5, retry->only);
  if (retry->options.only_count != 0) retry->options.only = retry->only;
  retry->options.never_count = codes_read(env, array, 6, retry->never);
  if (retry->options.never_count != 0) retry->options.never = retry->never;
  return &retry->options;
}

static StepData* step_data(Instance* self, uint32_t step, const Texts* types) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < types->count; ++i) bytes += types->lengths[i];
  StepData* data = malloc(sizeof *data + types->count * sizeof(Name) + bytes + 1);
  if (data == NULL) return NULL;
  data->instance = self;
  data->step = step;
  data->type_count = types->count;
  char* place = (char*)&data->types[types->count];
  for (uint32_t i = 0; i < types->count; ++i) {
    memcpy(place, types->data[i], types->lengths[i]);
    data->types[i].text = place;
    data->types[i].length = types->lengths[i];
    place += types->lengths[i];
  }
  return data;
}

/* A step number that is -1 is no mapper, -2 is one elsewhere. */
static bool mapper_read(Instance* self, napi_value value, blazen_mapper* mapper) {
  int32_t step = i32(self->env, value);
  static const Texts none = {0, NULL, NULL, NULL};
  if (step == -1) return true;
  if (step == -2) {
    mapper->elsewhere = 1;
    return true;
  }
  StepData* data = step_data(self, (uint32_t)step, &none);
  if (data == NULL) return false;
  mapper->body = step_body;
  mapper->user_data = data;
  mapper->drop = step_drop;
  return true;
}

static napi_value builder_create(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_workflow_builder* builder = NULL;
  blazen_error* error = NULL;
  Text name;
  if (!text_read(env, a[0], &name)) return throw_text(env, "out of memory");
  blazen_status status = blazen_workflow_builder_create(name.data, name.length, &builder, &error);
  text_free(&name);
  if (status != BLAZEN_OK) return throw_error(self, error);
  return small(env, handle_add(self, KIND_BUILDER, builder));
}

/* (builder, step, name, accepts, emits, most at once, time-out, atomic, abandoned, retry, join, pool) */
static napi_value builder_step(napi_env env, napi_callback_info info) {
  napi_value a[12];
  Instance* self = instance_of(env, info, 12, a);
  blazen_workflow_builder* builder = handle_get(self, a[0], KIND_BUILDER);
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  Text name, of = {0}, pool = {0};
  Texts accepts, emits = {0};
  Retry retry;
  blazen_join_options join = BLAZEN_JOIN_OPTIONS_INIT;
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  bool is_join = false;
  if (!text_read(env, a[2], &name)) return throw_text(env, "out of memory");
  if (!texts_read(env, a[3], &accepts)) {
    text_free(&name);
    return throw_text(env, "out of memory");
  }
  StepData* data = step_data(self, u32(env, a[1]), &accepts);
  bool enough = data != NULL && texts_read(env, a[4], &emits);
  options.accepts = accepts.data;
  options.accept_lengths = accepts.lengths;
  options.accept_count = accepts.count;
  options.emits = emits.data;
  options.emit_lengths = emits.lengths;
  options.emit_count = emits.count;
  options.max_concurrency = u32(env, a[5]);
  options.timeout_ms = i64(env, a[6]);
  options.atomic = truthy(env, a[7]);
  options.abandoned = i32(env, a[8]);
  options.retry = retry_read(env, a[9], &retry);
  napi_is_array(env, a[10], &is_join);
  if (is_join) { /* [of, mode, n, deadline, at deadline, cancel rest, ordered, correlation, empty] */
    napi_value text = NULL;
    napi_get_element(env, a[10], 0, &text);
    enough = text_read(env, text, &of) && enough;
    join.of = of.data;
    join.of_length = of.length;
    join.mode = (int32_t)part(env, a[10], 1);
    join.n = (uint32_t)part(env, a[10], 2);
    join.deadline_ms = (int64_t)part(env, a[10], 3);
    join.at_deadline = (int32_t)part(env, a[10], 4);
    join.cancel_rest = (int32_t)part(env, a[10], 5);
    join.ordered = (int32_t)part(env, a[10], 6);
    join.correlation = (int32_t)part(env, a[10], 7);
    join.empty = (int32_t)part(env, a[10], 8);
    options.join = &join;
  }
  if (!enough) {
    free(data);
    status = blazen_error_host(0, BLAZEN_TEXT("out of memory"), NULL, &error);
  } else {
    status = blazen_workflow_builder_add_step_with(builder, name.data, name.length, &options, step_body, data,
                                                   step_drop, &error);
  }
  if (status == BLAZEN_OK && given(env, a[11])) {
    if (text_read(env, a[11], &pool)) {
      status = blazen_workflow_builder_step_uses_pool(builder, name.data, name.length, pool.data, pool.length,
                                                      &error);
      text_free(&pool);
    }
  }
  if (is_join) text_free(&of);
  text_free(&name);
  texts_free(&accepts);
  texts_free(&emits);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* What holds for every kind of step after it was added: its further types, time-out, retry, most at once. */
static blazen_status step_more(napi_env env, blazen_workflow_builder* builder, const Text* name,
                               const Texts* accepts, napi_value retry_value, int64_t timeout_ms,
                               uint32_t at_once, blazen_error** error) {
  blazen_status status = BLAZEN_OK;
  Retry retry;
  const blazen_retry_options* retries = retry_value == NULL ? NULL : retry_read(env, retry_value, &retry);
  for (uint32_t i = 1; status == BLAZEN_OK && i < accepts->count; ++i) {
    status = blazen_workflow_builder_step_accepts(builder, name->data, name->length, accepts->data[i],
                                                  accepts->lengths[i], error);
  }
  if (status == BLAZEN_OK && timeout_ms != 0) {
    status = blazen_workflow_builder_step_timeout(builder, name->data, name->length, timeout_ms, error);
  }
  if (status == BLAZEN_OK && at_once != 0) {
    status = blazen_workflow_builder_step_max_concurrency(builder, name->data, name->length, at_once, error);
  }
  if (status == BLAZEN_OK && retries != NULL) {
    status = blazen_workflow_builder_step_retry(builder, name->data, name->length, retries, error);
  }
  return status;
}

static napi_value builder_elsewhere(napi_env env, napi_callback_info info) {
  napi_value a[3];
  Instance* self = instance_of(env, info, 3, a);
  blazen_workflow_builder* builder = handle_get(self, a[0], KIND_BUILDER);
  blazen_error* error = NULL;
  Text name;
  Texts accepts;
  if (!text_read(env, a[1], &name)) return throw_text(env, "out of memory");
  if (!texts_read(env, a[2], &accepts)) {
    text_free(&name);
    return throw_text(env, "out of memory");
  }
  blazen_status status = blazen_workflow_builder_add_elsewhere(
      builder, name.data, name.length, accepts.count == 0 ? "" : accepts.data[0],
      accepts.count == 0 ? 0 : accepts.lengths[0], &error);
  if (status == BLAZEN_OK) status = step_more(env, builder, &name, &accepts, NULL, 0, 0, &error);
  text_free(&name);
  texts_free(&accepts);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

typedef struct {
  Texts names;
  blazen_branch* branches;
} Branches;

static bool branches_read(Instance* self, napi_value names, napi_value children, Branches* out) {
  out->branches = NULL;
  if (!texts_read(self->env, names, &out->names)) return false;
  out->branches = calloc(out->names.count + 1, sizeof *out->branches);
  if (out->branches == NULL) return false;
  for (uint32_t i = 0; i < out->names.count; ++i) {
    napi_value child = NULL;
    napi_get_element(self->env, children, i, &child);
    out->branches[i].name = out->names.data[i];
    out->branches[i].name_length = out->names.lengths[i];
    out->branches[i].child = handle_get(self, child, KIND_WORKFLOW);
    out->branches[i].elsewhere = out->branches[i].child == NULL;
  }
  return true;
}

/* (builder, name, accepts, child or [children], branch names or undefined, output type, input, output, first success,
 * retry, time-out, most at once) */
static napi_value builder_child(napi_env env, napi_callback_info info) {
  napi_value a[12];
  Instance* self = instance_of(env, info, 12, a);
  blazen_workflow_builder* builder = handle_get(self, a[0], KIND_BUILDER);
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  Text name = {0}, output = {0};
  Texts accepts = {0};
  Branches branches = {{0}, NULL};
  blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
  bool several = given(env, a[4]);
  if (!text_read(env, a[1], &name) || !text_read(env, a[5], &output) || !texts_read(env, a[2], &accepts) ||
      (several && !branches_read(self, a[4], a[3], &branches)) || !mapper_read(self, a[6], &options.input) ||
      !mapper_read(self, a[7], &options.output)) {
    return throw_text(env, "out of memory");
  }
  options.output_type = output.data;
  options.output_type_length = output.length;
  options.first_success = truthy(env, a[8]);
  const char* type = accepts.count == 0 ? "" : accepts.data[0];
  size_t type_length = accepts.count == 0 ? 0 : accepts.lengths[0];
  if (several) {
    status = blazen_workflow_builder_add_workflows(builder, name.data, name.length, type, type_length,
                                                   branches.branches, branches.names.count, &options, &error);
  } else {
    status = blazen_workflow_builder_add_workflow(builder, name.data, name.length, type, type_length,
                                                  handle_get(self, a[3], KIND_WORKFLOW), &options, &error);
  }
  if (status == BLAZEN_OK) {
    status = step_more(env, builder, &name, &accepts, a[9], i64(env, a[10]), u32(env, a[11]), &error);
  }
  text_free(&name);
  text_free(&output);
  texts_free(&accepts);
  texts_free(&branches.names);
  free(branches.branches);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* (builder, which, value): 0 time-out, 1 session on pause, 2 unhandled, 3 idle, 4 session policy, 100 + n the limit n */
static napi_value builder_option(napi_env env, napi_callback_info info) {
  napi_value a[3];
  Instance* self = instance_of(env, info, 3, a);
  blazen_workflow_builder* builder = handle_get(self, a[0], KIND_BUILDER);
  blazen_error* error = NULL;
  int32_t which = i32(env, a[1]);
  int64_t value = i64(env, a[2]);
  blazen_status status = BLAZEN_OK;
  switch (which) {
    case 0: status = blazen_workflow_builder_set_timeout(builder, value, &error); break;
    case 1: status = blazen_workflow_builder_set_session_on_pause(builder, (int32_t)value, &error); break;
    case 2: status = blazen_workflow_builder_set_unhandled(builder, (int32_t)value, &error); break;
    case 3: status = blazen_workflow_builder_set_idle(builder, (int32_t)value, &error); break;
    case 4: status = blazen_workflow_builder_set_session_policy(builder, (int32_t)value, &error); break;
    default: status = blazen_workflow_builder_set_limit(builder, which - 100, (uint64_t)value, &error);
  }
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

static napi_value builder_build(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_workflow* workflow = NULL;
  blazen_error* error = NULL;
  if (blazen_workflow_builder_build(handle_get(self, a[0], KIND_BUILDER), &workflow, &error) != BLAZEN_OK) {
    return throw_error(self, error);
  }
  return small(env, handle_add(self, KIND_WORKFLOW, workflow));
}

static napi_value pipeline_create(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_pipeline_builder* builder = NULL;
  blazen_error* error = NULL;
  Text name;
  if (!text_read(env, a[0], &name)) return throw_text(env, "out of memory");
  blazen_status status = blazen_pipeline_builder_create(name.data, name.length, &builder, &error);
  text_free(&name);
  if (status != BLAZEN_OK) return throw_error(self, error);
  return small(env, handle_add(self, KIND_PIPELINE, builder));
}

/* (builder, name, child or [children], branch names or undefined, rounds (0: no loop), condition, input, output, until,
 * time-out, first success, done at bound, retry) */
static napi_value pipeline_stage(napi_env env, napi_callback_info info) {
  napi_value a[13];
  Instance* self = instance_of(env, info, 13, a);
  blazen_pipeline_builder* builder = handle_get(self, a[0], KIND_PIPELINE);
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  Text name = {0};
  Branches branches = {{0}, NULL};
  Retry retry;
  blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
  bool several = given(env, a[3]);
  uint32_t rounds = u32(env, a[4]);
  if (!text_read(env, a[1], &name) || (several && !branches_read(self, a[3], a[2], &branches)) ||
      !mapper_read(self, a[5], &options.condition) || !mapper_read(self, a[6], &options.input) ||
      !mapper_read(self, a[7], &options.output) || !mapper_read(self, a[8], &options.until)) {
    return throw_text(env, "out of memory");
  }
  options.timeout_ms = i64(env, a[9]);
  options.first_success = truthy(env, a[10]);
  options.done_at_bound = truthy(env, a[11]);
  options.retry = retry_read(env, a[12], &retry);
  blazen_workflow* child = several ? NULL : handle_get(self, a[2], KIND_WORKFLOW);
  if (several && rounds != 0) {
    status = blazen_pipeline_builder_add_parallel_loop(builder, name.data, name.length, branches.branches,
                                                       branches.names.count, rounds, &options, &error);
  } else if (several) {
    status = blazen_pipeline_builder_add_parallel(builder, name.data, name.length, branches.branches,
                                                  branches.names.count, &options, &error);
  } else if (rounds != 0) {
    status =
        blazen_pipeline_builder_add_loop(builder, name.data, name.length, child, rounds, &options, &error);
  } else {
    status = blazen_pipeline_builder_add_stage(builder, name.data, name.length, child, &options, &error);
  }
  text_free(&name);
  texts_free(&branches.names);
  free(branches.branches);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* (builder, which, value): 0 time-out, 1 time-out of a stage, 4 session policy */
static napi_value pipeline_option(napi_env env, napi_callback_info info) {
  napi_value a[3];
  Instance* self = instance_of(env, info, 3, a);
  blazen_pipeline_builder* builder = handle_get(self, a[0], KIND_PIPELINE);
  blazen_error* error = NULL;
  int64_t value = i64(env, a[2]);
  blazen_status status = BLAZEN_OK;
  switch (i32(env, a[1])) {
    case 0: status = blazen_pipeline_builder_set_timeout(builder, value, &error); break;
    case 1: status = blazen_pipeline_builder_set_stage_timeout(builder, value, &error); break;
    default: status = blazen_pipeline_builder_set_session_policy(builder, (int32_t)value, &error);
  }
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

static napi_value pipeline_build(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_workflow* workflow = NULL;
  blazen_error* error = NULL;
  if (blazen_pipeline_builder_build(handle_get(self, a[0], KIND_PIPELINE), &workflow, &error) != BLAZEN_OK) {
    return throw_error(self, error);
  }
  return small(env, handle_add(self, KIND_WORKFLOW, workflow));
}

static napi_value workflow_describe(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  blazen_status status = blazen_workflow_describe(handle_get(self, a[0], KIND_WORKFLOW), &value, &error);
  return json_out(self, status, value, error);
}

static napi_value workflow_draw(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  blazen_status status =
      blazen_workflow_draw(handle_get(self, a[0], KIND_WORKFLOW), i32(env, a[1]), &value, &error);
  return json_out(self, status, value, error);
}

static napi_value release(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  handle_release(self, u32(env, a[0]));
  self->touched = true;
  return nothing(env);
}

const Export build_exports[] = {{"builderCreate", builder_create},
                                {"builderStep", builder_step},
                                {"builderElsewhere", builder_elsewhere},
                                {"builderChild", builder_child},
                                {"builderOption", builder_option},
                                {"builderBuild", builder_build},
                                {"pipelineCreate", pipeline_create},
                                {"pipelineStage", pipeline_stage},
                                {"pipelineOption", pipeline_option},
                                {"pipelineBuild", pipeline_build},
                                {"workflowDescribe", workflow_describe},
                                {"workflowDraw", workflow_draw},
                                {"release", release},
                                {NULL, NULL}};
