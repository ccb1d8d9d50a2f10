/* Runs, their streams and their snapshots. */
#include "addon.h"

static blazen_run* run_get(Instance* self, napi_value number) { return handle_get(self, number, KIND_RUN); }

static napi_value done(Instance* self, blazen_status status, blazen_error* error) {
  self->touched = true;
  return status == BLAZEN_OK ? nothing(self->env) : throw_error(self, error);
}

/* The core answers each question later, with respond or failQuestion. */
static blazen_status on_input(void* user_data, blazen_run* run, const blazen_event* request,
                              blazen_value** answer, blazen_error** error) {
  (void)answer;
  (void)error;
  Instance* self = user_data;
  napi_handle_scope scope;
  if (self->closing) return BLAZEN_PENDING;
  napi_open_handle_scope(self->env, &scope);
  size_t length = 0;
  const char* id = blazen_event_correlation(request, &length);
  napi_value arguments[3] = {small(self->env, run_number(self, run)), string(self->env, id, length),
                             wire(self, blazen_event_value(request), true)};
  call_js(self, CALL_INPUT, 3, arguments, NULL);
  napi_close_handle_scope(self->env, scope);
  return BLAZEN_PENDING;
}

/* (workflow, metadata, id, has an input handler) */
static napi_value run_create(napi_env env, napi_callback_info info) {
  napi_value a[4];
  Instance* self = instance_of(env, info, 4, a);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  blazen_value* metadata = NULL;
  blazen_run* run = NULL;
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  Text text, id;
  if (!text_read(env, a[1], &text) || !text_read(env, a[2], &id)) return throw_text(env, "out of memory");
  if (text.data != NULL) status = blazen_value_json(text.data, text.length, &metadata, &error);
  if (status == BLAZEN_OK) {
    options.metadata = metadata;
    options.run_id = id.data;
    options.run_id_length = id.length;
    if (truthy(env, a[3])) {
      options.input = on_input;
      options.user_data = self;
    }
    status = blazen_run_create(self->runtime, handle_get(self, a[0], KIND_WORKFLOW), &options, &run, &error);
  }
  blazen_value_release(metadata);
  text_free(&text);
  text_free(&id);
  if (status != BLAZEN_OK) return throw_error(self, error);
  uint32_t handle = handle_add(self, KIND_RUN, run);
  run_remember(self, run, handle);
  return small(env, handle);
}

static blazen_status deserialize(void* user_data, const char* label, size_t label_length, blazen_value* kept,
                                 blazen_value** live, blazen_error** error) {
  Instance* self = user_data;
  napi_env env = self->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  blazen_status status = BLAZEN_OK;
  napi_value arguments[2] = {string(env, label, label_length), wire(self, kept, true)}, result = NULL;
  bool is_array = false;
  if (call_js(self, CALL_DESERIALIZE, 2, arguments, &result)) napi_is_array(env, result, &is_array);
  if (is_array) { /* tag, data, codec, object */
    napi_value parts[4];
    for (uint32_t i = 0; i < 4; ++i) napi_get_element(env, result, i, &parts[i]);
    status = value_read(self, parts, live, error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
  } else {
    Text text = {0};
    if (result != NULL) text_read(env, result, &text);
    if (text.data == NULL) {
      status = BLAZEN_ERROR_NOT_SERIALIZABLE;
    } else {
      status = blazen_error_host(0, text.data, text.length, NULL, error);
      text_free(&text);
    }
  }
  napi_close_handle_scope(env, scope);
  return status;
}

/* (workflow, bytes, flags, [label], has an input handler, id): flags 1 keep paused, 2 changed workflow, 4 time has passed,
 * 8 fork, 16 skip unknown labels */
static napi_value run_resume(napi_env env, napi_callback_info info) {
  napi_value a[6];
  Instance* self = instance_of(env, info, 6, a);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  blazen_snapshot* snapshot = NULL;
  blazen_run* run = NULL;
  blazen_error* error = NULL;
  void* data = NULL;
  size_t length = 0;
  uint32_t flags = u32(env, a[2]), count = 0;
  Text id;
  napi_get_typedarray_info(env, a[1], NULL, &length, &data, NULL, NULL);
  napi_get_array_length(env, a[3], &count);
  Text* labels = calloc(count + 1, sizeof *labels);
  blazen_deserializer* all = calloc(count + 1, sizeof *all);
  if (labels == NULL || all == NULL || !text_read(env, a[5], &id)) return throw_text(env, "out of memory");
  for (uint32_t i = 0; i < count; ++i) {
    napi_value item = NULL;
    napi_get_element(env, a[3], i, &item);
    text_read(env, item, &labels[i]);
    all[i].label = labels[i].data;
    all[i].label_length = labels[i].length;
    all[i].deserialize = deserialize;
    all[i].user_data = self;
  }
  options.keep_paused = (flags & 1) != 0;
  options.allow_changed_workflow = (flags & 2) != 0;
  options.time_has_passed = (flags & 4) != 0;
  options.fork = (flags & 8) != 0;
  options.unknown_label = (flags & 16) != 0 ? BLAZEN_UNKNOWN_LABEL_SKIP : BLAZEN_UNKNOWN_LABEL_ERROR;
  options.deserializers = all;
  options.deserializer_count = count;
  options.run_id = id.data;
  options.run_id_length = id.length;
  if (truthy(env, a[4])) {
    options.input = on_input;
    options.user_data = self;
  }
  blazen_status status = blazen_snapshot_parse(data == NULL ? "" : data, length, &snapshot, &error);
  if (status == BLAZEN_OK) {
    status = blazen_run_resume(self->runtime, handle_get(self, a[0], KIND_WORKFLOW), snapshot, &options, &run,
                               &error);
  }
  blazen_snapshot_release(snapshot);
  for (uint32_t i = 0; i < count; ++i) text_free(&labels[i]);
  free(labels);
  free(all);
  text_free(&id);
  if (status != BLAZEN_OK) return throw_error(self, error);
  uint32_t handle = handle_add(self, KIND_RUN, run);
  run_remember(self, run, handle);
  return small(env, handle);
}

/* (run, value) */
static napi_value run_start(napi_env env, napi_callback_info info) {
  napi_value a[5];
  Instance* self = instance_of(env, info, 5, a);
  blazen_value* input = NULL;
  blazen_error* error = NULL;
  if (!value_read(self, &a[1], &input, &error)) return throw_error(self, error);
  blazen_status status = blazen_run_start(run_get(self, a[0]), input, &error);
  blazen_value_release(input);
  return done(self, status, error);
}

static napi_value run_id(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  size_t length = 0;
  const char* id = blazen_run_id(run_get(self, a[0]), &length);
  return string(env, id, length);
}

static void on_state(void* user_data, blazen_run* run, blazen_run_state state) {
  (void)run;
  Waiter* waiter = user_data;
  Instance* self = waiter->self;
  napi_handle_scope scope;
  if (self->closing) return;
  napi_open_handle_scope(self->env, &scope);
  napi_value arguments[2] = {small(self->env, waiter->token), small(self->env, (uint32_t)state)};
  call_js(self, CALL_STATE, 2, arguments, NULL);
  napi_close_handle_scope(self->env, scope);
}

/* (run, until, token) */
static napi_value run_watch(napi_env env, napi_callback_info info) {
  napi_value a[3];
  Instance* self = instance_of(env, info, 3, a);
  blazen_error* error = NULL;
  Waiter* waiter = waiter_make(self, u32(env, a[2]));
  if (waiter == NULL) return throw_text(env, "out of memory");
  blazen_status status =
      blazen_run_on_state(run_get(self, a[0]), u32(env, a[1]), on_state, waiter, free, &error);
  return done(self, status, error);
}

static napi_value run_state(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  return small(env, (uint32_t)blazen_run_state_now(run_get(self, a[0])));
}

/* [true, result] or [false, error] of a run that has ended */
static napi_value run_outcome(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL, flag = NULL;
  Instance* self = instance_of(env, info, 1, a);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  blazen_status status = blazen_run_result(run_get(self, a[0]), &value, &error);
  napi_create_array_with_length(env, 2, &result);
  napi_get_boolean(env, status == BLAZEN_OK, &flag);
  napi_set_element(env, result, 0, flag);
  napi_set_element(env, result, 1, status == BLAZEN_OK ? wire(self, value, true) : error_to_js(self, error));
  blazen_value_release(value);
  blazen_error_release(error);
  return result;
}

static napi_value run_pause(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_error* error = NULL;
  return done(self, blazen_run_pause(run_get(self, a[0]), i32(env, a[1]), &error), error);
}

static napi_value run_resume_in_place(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_error* error = NULL;
  return done(self, blazen_run_resume_in_place(run_get(self, a[0]), &error), error);
}

static napi_value run_abort(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_error* error = NULL;
  return done(self, blazen_run_abort(run_get(self, a[0]), &error), error);
}

/* (run, id, early, value) */
static napi_value run_respond(napi_env env, napi_callback_info info) {
  napi_value a[7];
  Instance* self = instance_of(env, info, 7, a);
  blazen_value* answer = NULL;
  blazen_error* error = NULL;
  Text id;
  if (!text_read(env, a[1], &id)) return throw_text(env, "out of memory");
  blazen_status status = value_read(self, &a[3], &answer, &error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
  if (status == BLAZEN_OK) {
    blazen_run* run = run_get(self, a[0]);
    status = truthy(env, a[2]) ? blazen_run_respond_early(run, id.data, id.length, answer, &error)
                               : blazen_run_respond(run, id.data, id.length, answer, &error);
  }
  blazen_value_release(answer);
  text_free(&id);
  return done(self, status, error);
}

static napi_value run_withdraw(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_error* error = NULL;
  Text id;
  if (!text_read(env, a[1], &id)) return throw_text(env, "out of memory");
  blazen_status status = blazen_run_withdraw_question(run_get(self, a[0]), id.data, id.length, &error);
  text_free(&id);
  return done(self, status, error);
}

/* (run, id, host code, message, value) */
static napi_value run_fail_question(napi_env env, napi_callback_info info) {
  napi_value a[8];
  Instance* self = instance_of(env, info, 8, a);
  blazen_value* detail = NULL;
  blazen_error *cause = NULL, *error = NULL;
  Text id, message;
  if (!text_read(env, a[1], &id) || !text_read(env, a[3], &message)) return throw_text(env, "out of memory");
  if (!value_read(self, &a[4], &detail, &error)) {
    blazen_error_release(error);
    error = NULL;
  }
  blazen_error_host(i64(env, a[2]), message.data == NULL ? "" : message.data, message.length, detail, &cause);
  blazen_status status = blazen_run_fail_question(run_get(self, a[0]), id.data, id.length, cause, &error);
  blazen_error_release(cause);
  blazen_value_release(detail);
  text_free(&id);
  text_free(&message);
  return done(self, status, error);
}

/* (run, which): 0 describe, 1 questions, 2 elsewhere, 3 dropped, 4 stages, 5 metadata; JSON text */
static napi_value run_tell(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_run* run = run_get(self, a[0]);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  blazen_status status = BLAZEN_OK;
  switch (u32(env, a[1])) {
    case 0: status = blazen_run_describe(run, &value, &error); break;
    case 1: status = blazen_run_questions(run, &value, &error); break;
    case 2: status = blazen_run_elsewhere(run, &value, &error); break;
    case 3: status = blazen_run_dropped(run, &value, &error); break;
    case 4: status = blazen_run_stages(run, &value, &error); break;
    default: return wire(self, blazen_run_metadata(run), false);
  }
  return json_out(self, status, value, error);
}

/* (run, type, value, correlation, step, delay, scope) */
static napi_value run_send(napi_env env, napi_callback_info info) {
  napi_value a[10];
  Instance* self = instance_of(env, info, 10, a);
  blazen_value* value = NULL;
  blazen_event* event = NULL;
  blazen_error* error = NULL;
  Text type, correlation, step;
  blazen_event_options options = BLAZEN_EVENT_OPTIONS_INIT;
  blazen_send_options how = BLAZEN_SEND_OPTIONS_INIT;
  if (!text_read(env, a[1], &type) || !text_read(env, a[6], &correlation) || !text_read(env, a[7], &step)) {
    return throw_text(env, "out of memory");
  }
  options.correlation = correlation.data;
  options.correlation_length = correlation.length;
  how.step = step.data;
  how.step_length = step.length;
  how.delay_ms = i64(env, a[8]);
  how.scope = (uint64_t)i64(env, a[9]);
  blazen_status status = value_read(self, &a[2], &value, &error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
  if (status == BLAZEN_OK)
    status = blazen_event_create(type.data, type.length, value, &options, &event, &error);
  if (status == BLAZEN_OK) status = blazen_run_send_event(run_get(self, a[0]), event, &how, &error);
  blazen_value_release(value);
  blazen_event_release(event);
  text_free(&type);
  text_free(&correlation);
  text_free(&step);
  return done(self, status, error);
}

/* (run, key): the value, or undefined */
static napi_value run_get_value(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  Text key;
  if (!text_read(env, a[1], &key)) return throw_text(env, "out of memory");
  blazen_status status =
      blazen_run_get_value(run_get(self, a[0]), key.data, key.length, &value, NULL, &error);
  text_free(&key);
  if (status != BLAZEN_OK) return throw_error(self, error);
  napi_value result = wire(self, value, false);
  blazen_value_release(value);
  return result;
}

static napi_value run_snapshot(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  blazen_snapshot* snapshot = NULL;
  blazen_error* error = NULL;
  if (blazen_run_snapshot(run_get(self, a[0]), &snapshot, &error) != BLAZEN_OK)
    return throw_error(self, error);
  size_t length = 0;
  const void* data = blazen_snapshot_data(snapshot, &length);
  void* copy = NULL;
  napi_create_buffer_copy(env, length, data, &copy, &result);
  blazen_snapshot_release(snapshot);
  return result;
}

static napi_value snapshot_info(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_snapshot* snapshot = NULL;
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  void* data = NULL;
  size_t length = 0;
  napi_get_typedarray_info(env, a[0], NULL, &length, &data, NULL, NULL);
  blazen_status status = blazen_snapshot_parse(data == NULL ? "" : data, length, &snapshot, &error);
  if (status == BLAZEN_OK) status = blazen_snapshot_info(snapshot, &value, &error);
  blazen_snapshot_release(snapshot);
  return json_out(self, status, value, error);
}

/* (run, lifecycle, routed, from, capacity, own level) */
static napi_value run_subscribe(napi_env env, napi_callback_info info) {
  napi_value a[6];
  Instance* self = instance_of(env, info, 6, a);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  blazen_stream* stream = NULL;
  blazen_error* error = NULL;
  options.lifecycle = truthy(env, a[1]);
  options.routed = truthy(env, a[2]);
  options.from = (uint64_t)i64(env, a[3]);
  options.capacity = (uint64_t)i64(env, a[4]);
  options.own_level = truthy(env, a[5]);
  if (blazen_run_subscribe_with(run_get(self, a[0]), &options, &stream, &error) != BLAZEN_OK)
    return throw_error(self, error);
  return small(env, handle_add(self, KIND_STREAM, stream));
}

static void on_ready(void* user_data) { waiter_call(user_data, CALL_READY); }

/* (stream, token) */
static napi_value stream_ready(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_error* error = NULL;
  Waiter* waiter = waiter_make(self, u32(env, a[1]));
  if (waiter == NULL) return throw_text(env, "out of memory");
  blazen_status status =
      blazen_stream_on_ready(handle_get(self, a[0], KIND_STREAM), on_ready, waiter, free, &error);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* [type, value, number, source, path, child run id, ...]; empty where there is nothing yet */
static napi_value stream_take(napi_env env, napi_callback_info info) {
  enum { AT_ONCE = 64 };
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  blazen_event* items[AT_ONCE];
  uint64_t numbers[AT_ONCE];
  size_t count = 0;
  blazen_error* error = NULL;
  napi_create_array(env, &result);
  blazen_status status =
      blazen_stream_take(handle_get(self, a[0], KIND_STREAM), 0, items, numbers, AT_ONCE, &count, &error);
  if (status == BLAZEN_ERROR_TIMEOUT) {
    blazen_error_release(error);
    return result;
  }
  if (status != BLAZEN_OK) return throw_error(self, error);
  for (size_t i = 0; i < count; ++i) {
    blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
    blazen_event_read(items[i], &view);
    uint32_t place = (uint32_t)i * 6;
    napi_set_element(env, result, place, string(env, view.type, view.type_length));
    napi_set_element(env, result, place + 1, wire(self, view.value, true));
    napi_set_element(env, result, place + 2, number(env, (double)numbers[i]));
    napi_set_element(env, result, place + 3, string(env, view.source, view.source_length));
    napi_set_element(env, result, place + 4, string(env, view.path, view.path_length));
    napi_set_element(env, result, place + 5, string(env, view.child_run_id, view.child_run_id_length));
    blazen_event_release(items[i]);
  }
  return result;
}

const Export run_exports[] = {{"runCreate", run_create},
                              {"runResume", run_resume},
                              {"runStart", run_start},
                              {"runId", run_id},
                              {"runWatch", run_watch},
                              {"runState", run_state},
                              {"runOutcome", run_outcome},
                              {"runPause", run_pause},
                              {"runResumeInPlace", run_resume_in_place},
                              {"runAbort", run_abort},
                              {"runRespond", run_respond},
                              {"runWithdraw", run_withdraw},
                              {"runFailQuestion", run_fail_question},
                              {"runTell", run_tell},
                              {"runSend", run_send},
                              {"runGetValue", run_get_value},
                              {"runSnapshot", run_snapshot},
                              {"snapshotInfo", snapshot_info},
                              {"runSubscribe", run_subscribe},
                              {"streamReady", stream_ready},
                              {"streamTake", stream_take},
                              {NULL, NULL}};
