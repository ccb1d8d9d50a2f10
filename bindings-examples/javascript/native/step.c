/* The body of a step, and what it can do through its context. */
#include "addon.h"

void step_drop(void* user_data) { free(user_data); }

static uint32_t slot_take(Instance* self, blazen_context* context) {
  if (self->slot_free == 0) {
    uint32_t before = self->slot_count;
    uint32_t wanted = before == 0 ? 64 : before * 2;
    Slot* grown = realloc(self->slots, wanted * sizeof *grown);
    if (grown == NULL) return 0;
    memset(grown + before, 0, (wanted - before) * sizeof *grown);
    self->slots = grown;
    self->slot_count = wanted;
    for (uint32_t i = wanted - 1; i >= before && i != 0; --i) {
      grown[i].next_free = self->slot_free;
      self->slot_free = i;
    }
  }
  uint32_t number = self->slot_free;
  Slot* slot = &self->slots[number];
  self->slot_free = slot->next_free;
  slot->context = context;
  slot->invocation = NULL;
  slot->error = NULL;
  slot->used = true;
  slot->in_body = true;
  return number;
}

static void slot_give_back(Instance* self, uint32_t number) {
  Slot* slot = &self->slots[number];
  slot->used = false;
  slot->context = NULL;
  slot->next_free = self->slot_free;
  self->slot_free = number;
}

static Slot* slot_get(Instance* self, napi_value value) {
  uint32_t number = u32(self->env, value);
  if (number == 0 || number >= self->slot_count || !self->slots[number].used) return NULL;
  return &self->slots[number];
}

static blazen_context* context_get(Instance* self, napi_value value) {
  Slot* slot = slot_get(self, value);
  return slot == NULL ? NULL : slot->context; /* of NULL, the library says that the handle is wrong */
}

/* Which of the types that the step accepts it is; -1: none of them. */
static int32_t type_index(const StepData* step, const char* type, size_t length) {
  for (uint32_t i = 0; i < step->type_count; ++i) {
    if (step->types[i].length == length && memcmp(step->types[i].text, type, length) == 0) return (int32_t)i;
  }
  return -1;
}

/* Emits what the core has put into the shared numbers, with this text. */
static blazen_status emit_answer(Instance* self, blazen_context* context, napi_value text,
                                 blazen_error** error) {
  blazen_value* value = NULL;
  const Name* type = &self->types[self->shared[SHARED_TYPE]];
  blazen_status status = value_of_text(self, text, (uint32_t)self->shared[SHARED_OBJECT], &value, error);
  if (status != BLAZEN_OK) return status;
  status = blazen_context_emit(context, type->text, type->length, value, error);
  blazen_value_release(value);
  return status;
}

static bool call_dispatch(Instance* self, size_t count, napi_value* arguments, napi_value* result) {
  napi_env env = self->env;
  if (napi_call_function(env, self->dispatch, self->dispatch, count, arguments, result) == napi_ok)
    return true;
  bool pending = false;
  napi_value ignored = NULL;
  napi_is_exception_pending(env, &pending);
  if (pending) napi_get_and_clear_last_exception(env, &ignored);
  return false;
}

blazen_status step_body(void* user_data, blazen_context* context, const blazen_event* event,
                        blazen_error** error) {
  const StepData* step = user_data;
  Instance* self = step->instance;
  napi_env env = self->env;
  napi_handle_scope scope;
  blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
  if (self->closing || !blazen_event_read(event, &view)) return BLAZEN_ERROR_CANCELLED;
  uint32_t number = slot_take(self, context);
  if (number == 0) return BLAZEN_ERROR_OUT_OF_MEMORY;
  napi_open_handle_scope(env, &scope);
  int32_t* shared = self->shared;
  const Held* held = blazen_value_object_of(view.value, held_drop);
  bool known = held != NULL && held->object != 0 && held->instance == self;
  shared[SHARED_STEP] = (int32_t)step->step;
  shared[SHARED_SLOT] = (int32_t)number;
  shared[SHARED_RUN] = (int32_t)run_number(self, blazen_context_run(context));
  shared[SHARED_EVENT_TYPE] = type_index(step, view.type, view.type_length);
  shared[SHARED_VALUE] = known ? (int32_t)held->object : 0;
  napi_value arguments[2], result = NULL;
  size_t count = 0;
  if (!known || shared[SHARED_EVENT_TYPE] < 0) {
    arguments[count++] = known ? nothing(env)
                               : wire_view(self, view.value, view.tag, view.codec, view.codec_length,
                                           view.data, view.data_length, true);
  }
  if (shared[SHARED_EVENT_TYPE] < 0) arguments[count++] = string(env, view.type, view.type_length);
  blazen_status status = BLAZEN_OK;
  bool called = call_dispatch(self, count, arguments, &result);
  Slot* slot = &self->slots[number]; /* the slots may have moved */
  slot->in_body = false;
  if (!called) {
    status = blazen_error_host(0, BLAZEN_TEXT("the step was ended from outside"), NULL, error);
  } else {
    napi_valuetype type = napi_undefined;
    napi_typeof(env, result, &type);
    if (type == napi_string) {
      status = emit_answer(self, context, result, error);
    } else {
      switch (u32(env, result)) {
        case BODY_FAILED:
          status = BLAZEN_ERROR_HOST;
          *error = slot->error;
          slot->error = NULL;
          break;
        case BODY_DEFERRED:
          if (slot->invocation == NULL) status = blazen_context_defer(context, &slot->invocation, error);
          if (status == BLAZEN_OK) {
            slot->context = blazen_invocation_context(slot->invocation);
            napi_close_handle_scope(env, scope);
            return BLAZEN_PENDING;
          }
          break;
        default: break;
      }
    }
  }
  napi_close_handle_scope(env, scope);
  blazen_invocation* invocation = slot->invocation; /* it asked, and was done all the same */
  slot_give_back(self, number);
  if (invocation != NULL) {
    blazen_error* cause = status == BLAZEN_OK ? NULL : *error;
    *error = NULL;
    blazen_invocation_finish(invocation, cause, NULL);
    blazen_error_release(cause);
    return BLAZEN_PENDING;
  }
  return status;
}

/* (slot, text or undefined): a deferred step is done. */
static napi_value finish(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  uint32_t number = u32(env, a[0]);
  Slot* slot = slot_get(self, a[0]);
  if (slot == NULL || slot->invocation == NULL) return nothing(env);
  blazen_invocation* invocation = slot->invocation;
  blazen_error* error = slot->error;
  slot->error = NULL;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, a[1], &type);
  if (error == NULL && type == napi_string) emit_answer(self, slot->context, a[1], &error);
  slot_give_back(self, number);
  self->touched = true;
  blazen_invocation_finish(invocation, error, NULL); /* late ones are nobody's concern: the run is over */
  blazen_error_release(error);
  return nothing(env);
}

/* (slot, host code, message, value): what the step has failed with; taken up by its end. */
static napi_value fail(napi_env env, napi_callback_info info) {
  napi_value a[7];
  Instance* self = instance_of(env, info, 7, a);
  Slot* slot = slot_get(self, a[0]);
  blazen_value* detail = NULL;
  blazen_error* error = NULL;
  Text message;
  if (slot == NULL) return nothing(env);
  if (!text_read(env, a[2], &message)) return throw_text(env, "out of memory");
  if (!value_read(self, &a[3], &detail, &error)) {
    blazen_error_release(error); /* the message stands alone */
    error = NULL;
  }
  blazen_error_host(i64(env, a[1]), message.data == NULL ? "" : message.data, message.length, detail, &error);
  blazen_value_release(detail);
  text_free(&message);
  slot = slot_get(self, a[0]);
  blazen_error_release(slot->error);
  slot->error = error;
  return nothing(env);
}

/* [run id, workflow, step, invocation id, attempt, scope id, correlation, source, event id] */
static napi_value about(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  blazen_context* context = context_get(self, a[0]);
  const blazen_event* event = blazen_context_event(context);
  size_t length = 0;
  napi_create_array_with_length(env, 9, &result);
  const char* text = blazen_context_run_id(context, &length);
  napi_set_element(env, result, 0, string(env, text, length));
  text = blazen_context_workflow_name(context, &length);
  napi_set_element(env, result, 1, string(env, text, length));
  text = blazen_context_step_name(context, &length);
  napi_set_element(env, result, 2, string(env, text, length));
  napi_set_element(env, result, 3, number(env, (double)blazen_context_invocation_id(context)));
  napi_set_element(env, result, 4, small(env, blazen_context_attempt(context)));
  napi_set_element(env, result, 5, number(env, (double)blazen_context_scope_id(context)));
  text = blazen_event_correlation(event, &length);
  napi_set_element(env, result, 6, string(env, text, length));
  text = blazen_event_source(event, &length);
  napi_set_element(env, result, 7, string(env, text, length));
  napi_set_element(env, result, 8, number(env, (double)blazen_event_id(event)));
  return result;
}

static napi_value is_cancelled(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  Slot* slot = slot_get(self, a[0]);
  napi_get_boolean(env, slot == NULL || blazen_context_is_cancelled(slot->context), &result);
  return result;
}

static void cancelled(void* user_data) { waiter_call(user_data, CALL_CANCELLED); }

static napi_value on_cancel(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  Waiter* waiter = waiter_make(self, u32(env, a[1]));
  blazen_error* error = NULL;
  if (waiter == NULL) return throw_text(env, "out of memory");
  if (blazen_context_on_cancel(context_get(self, a[0]), cancelled, waiter, free, &error) != BLAZEN_OK) {
    return throw_error(self, error);
  }
  return nothing(env);
}

/* (slot, key, where): where 0 is the state, then the session; 1 the state; 2 the session. A boolean says that the key is
 * missing: true where a typed object stands under it. */
static napi_value get(napi_env env, napi_callback_info info) {
  static const char meta[] = ".__blazen_meta__";
  napi_value a[3], result = NULL;
  Instance* self = instance_of(env, info, 3, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  blazen_error* error = NULL;
  uint32_t where = u32(env, a[2]);
  Text key;
  if (!text_read(env, a[1], &key)) return throw_text(env, "out of memory");
  blazen_status status = BLAZEN_OK;
  if (where != 2) {
    status = blazen_context_read(context, key.data, key.length, &view, &error);
    if (status == BLAZEN_OK && view.value != NULL) {
      result = wire_view(self, view.value, view.tag, view.codec, view.codec_length, view.data,
                         view.data_length, false);
    } else if (status == BLAZEN_OK && key.length + sizeof meta <= BLAZEN_NAME_BYTES_MAX) {
      /* Where the key is short, the name of its description fits behind it. Only "\" and "." are escaped in it. */
      char name[2 * BLAZEN_NAME_BYTES_MAX + sizeof meta];
      size_t length = 0;
      for (size_t i = 0; i < key.length; ++i) {
        if (key.data[i] == '\\' || key.data[i] == '.') name[length++] = '\\';
        name[length++] = key.data[i];
      }
      memcpy(name + length, meta, sizeof meta - 1);
      length += sizeof meta - 1;
      int32_t found = 0;
      if (length <= BLAZEN_NAME_BYTES_MAX)
        status = blazen_context_has_value(context, name, length, &found, &error);
      if (found) napi_get_boolean(env, true, &result);
    }
  }
  if (status == BLAZEN_OK && result == NULL && where != 1) {
    blazen_value* value = NULL;
    status = blazen_context_get_session(context, key.data, key.length, &value, &error);
    if (status == BLAZEN_OK && value != NULL) {
      result = wire(self, value, true);
      blazen_value_release(value);
    }
  }
  text_free(&key);
  if (status != BLAZEN_OK) return throw_error(self, error);
  if (result == NULL) napi_get_boolean(env, false, &result);
  return result;
}

/* (slot, prefix): [key, value, ...] of the state */
static napi_value get_all(napi_env env, napi_callback_info info) {
  napi_value a[2], result = NULL;
  Instance* self = instance_of(env, info, 2, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_keys* keys = NULL;
  blazen_error* error = NULL;
  Text prefix;
  if (!text_read(env, a[1], &prefix)) return throw_text(env, "out of memory");
  blazen_status status = blazen_context_keys(context, prefix.data, prefix.length, &keys, &error);
  text_free(&prefix);
  napi_create_array(env, &result);
  for (size_t i = 0; status == BLAZEN_OK && i < blazen_keys_count(keys); ++i) {
    size_t length = 0;
    const char* key = blazen_keys_at(keys, i, &length);
    blazen_value* value = NULL;
    status = blazen_context_get_value(context, key, length, &value, NULL, &error);
    if (status != BLAZEN_OK) break;
    napi_set_element(env, result, (uint32_t)i * 2, string(env, key, length));
    napi_set_element(env, result, (uint32_t)i * 2 + 1, wire(self, value, false));
    blazen_value_release(value);
  }
  blazen_keys_release(keys);
  return status == BLAZEN_OK ? result : throw_error(self, error);
}

/* (slot, key, where, value): where 0 writes the state, and takes the session's entry away, or the reverse for a LIVE one;
 * 1 writes the state alone, 2 the session. */
static napi_value set(napi_env env, napi_callback_info info) {
  napi_value a[7];
  Instance* self = instance_of(env, info, 7, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  uint32_t where = u32(env, a[2]);
  bool live = i32(env, a[3]) == BLAZEN_TAG_LIVE;
  Text key;
  if (!text_read(env, a[1], &key)) return throw_text(env, "out of memory");
  blazen_status status = value_read(self, &a[3], &value, &error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
  if (status == BLAZEN_OK) {
    if (where == 2 || (where == 0 && live)) {
      status = blazen_context_set_session(context, key.data, key.length, value, &error);
      if (status == BLAZEN_OK && where == 0) {
        status = blazen_context_remove_value(context, key.data, key.length, NULL, &error);
      }
    } else {
      status = blazen_context_set_value(context, key.data, key.length, value, &error);
      if (status == BLAZEN_OK && where == 0) {
        status = blazen_context_remove_session(context, key.data, key.length, NULL, &error);
      }
    }
  }
  blazen_value_release(value);
  text_free(&key);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* (slot, key, session) */
static napi_value has(napi_env env, napi_callback_info info) {
  napi_value a[3], result = NULL;
  Instance* self = instance_of(env, info, 3, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_error* error = NULL;
  int32_t found = 0;
  Text key;
  if (!text_read(env, a[1], &key)) return throw_text(env, "out of memory");
  blazen_status status = truthy(env, a[2])
                             ? blazen_context_has_session(context, key.data, key.length, &found, &error)
                             : blazen_context_has_value(context, key.data, key.length, &found, &error);
  text_free(&key);
  if (status != BLAZEN_OK) return throw_error(self, error);
  napi_get_boolean(env, found, &result);
  return result;
}

/* (slot, key, session) */
static napi_value remove_key(napi_env env, napi_callback_info info) {
  napi_value a[3], result = NULL;
  Instance* self = instance_of(env, info, 3, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_error* error = NULL;
  int32_t removed = 0;
  Text key;
  if (!text_read(env, a[1], &key)) return throw_text(env, "out of memory");
  blazen_status status = truthy(env, a[2])
                             ? blazen_context_remove_session(context, key.data, key.length, &removed, &error)
                             : blazen_context_remove_value(context, key.data, key.length, &removed, &error);
  text_free(&key);
  if (status != BLAZEN_OK) return throw_error(self, error);
  napi_get_boolean(env, removed, &result);
  return result;
}

/* (slot, prefix, session) */
static napi_value list_keys(napi_env env, napi_callback_info info) {
  napi_value a[3], result = NULL;
  Instance* self = instance_of(env, info, 3, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_keys* keys = NULL;
  blazen_error* error = NULL;
  Text prefix;
  if (!text_read(env, a[1], &prefix)) return throw_text(env, "out of memory");
  blazen_status status = truthy(env, a[2])
                             ? blazen_context_session_keys(context, prefix.data, prefix.length, &keys, &error)
                             : blazen_context_keys(context, prefix.data, prefix.length, &keys, &error);
  text_free(&prefix);
  if (status != BLAZEN_OK) return throw_error(self, error);
  napi_create_array(env, &result);
  for (size_t i = 0; i < blazen_keys_count(keys); ++i) {
    size_t length = 0;
    const char* key = blazen_keys_at(keys, i, &length);
    napi_set_element(env, result, (uint32_t)i, string(env, key, length));
  }
  blazen_keys_release(keys);
  return result;
}

static napi_value clear(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  blazen_error* error = NULL;
  if (blazen_context_clear_values(context_get(self, a[0]), &error) != BLAZEN_OK)
    return throw_error(self, error);
  return nothing(env);
}

/* (slot, [key, tag, data, codec, object, ...], [key to remove, ...]): all of it, or nothing */
static napi_value batch(napi_env env, napi_callback_info info) {
  napi_value a[3], item = NULL;
  Instance* self = instance_of(env, info, 3, a);
  blazen_batch* all = NULL;
  blazen_error* error = NULL;
  uint32_t count = 0;
  blazen_status status = blazen_batch_create(&all, &error);
  napi_get_array_length(env, a[1], &count);
  for (uint32_t i = 0; status == BLAZEN_OK && i + 4 < count; i += 5) {
    Text key;
    napi_value parts[4];
    blazen_value* value = NULL;
    napi_get_element(env, a[1], i, &item);
    for (uint32_t j = 0; j < 4; ++j) napi_get_element(env, a[1], i + 1 + j, &parts[j]);
    if (!text_read(env, item, &key)) {
      status = blazen_error_host(0, BLAZEN_TEXT("out of memory"), NULL, &error);
      break;
    }
    status = value_read(self, parts, &value, &error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
    if (status == BLAZEN_OK) status = blazen_batch_set(all, key.data, key.length, value, &error);
    blazen_value_release(value);
    text_free(&key);
  }
  count = 0;
  napi_get_array_length(env, a[2], &count);
  for (uint32_t i = 0; status == BLAZEN_OK && i < count; ++i) {
    Text key;
    napi_get_element(env, a[2], i, &item);
    if (!text_read(env, item, &key)) {
      status = blazen_error_host(0, BLAZEN_TEXT("out of memory"), NULL, &error);
      break;
    }
    status = blazen_batch_remove(all, key.data, key.length, &error);
    text_free(&key);
  }
  if (status == BLAZEN_OK) status = blazen_context_apply(context_get(self, a[0]), all, &error);
  blazen_batch_release(all);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* (slot, how, type, value, correlation, step, delay): how 0 emits, 1 sends, 2 publishes */
static napi_value send_event(napi_env env, napi_callback_info info) {
  napi_value a[10];
  Instance* self = instance_of(env, info, 10, a);
  blazen_context* context = context_get(self, a[0]);
  blazen_value* value = NULL;
  blazen_event* event = NULL;
  blazen_error* error = NULL;
  Text type, correlation = {0}, step = {0};
  blazen_event_options options = BLAZEN_EVENT_OPTIONS_INIT;
  blazen_send_options how = BLAZEN_SEND_OPTIONS_INIT;
  if (!text_read(env, a[2], &type) || !text_read(env, a[7], &correlation) || !text_read(env, a[8], &step)) {
    return throw_text(env, "out of memory");
  }
  options.correlation = correlation.data;
  options.correlation_length = correlation.length;
  how.step = step.data;
  how.step_length = step.length;
  how.delay_ms = i64(env, a[9]);
  blazen_status status = value_read(self, &a[3], &value, &error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
  if (status == BLAZEN_OK)
    status = blazen_event_create(type.data, type.length, value, &options, &event, &error);
  if (status == BLAZEN_OK) {
    switch (u32(env, a[1])) {
      case 0: status = blazen_context_emit_event(context, event, &how, &error); break;
      case 1: status = blazen_context_send_event(context, event, &how, &error); break;
      default: status = blazen_context_publish(context, event, &error);
    }
  }
  self->touched = true;
  blazen_value_release(value);
  blazen_event_release(event);
  text_free(&type);
  text_free(&correlation);
  text_free(&step);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

static void answered(void* user_data, blazen_context* context, const char* request_id,
                     size_t request_id_length, blazen_value* answer) {
  (void)context;
  (void)request_id;
  (void)request_id_length;
  Waiter* waiter = user_data;
  Instance* self = waiter->self;
  napi_handle_scope scope;
  if (self->closing) return;
  napi_open_handle_scope(self->env, &scope);
  napi_value arguments[2] = {small(self->env, waiter->token), wire(self, answer, true)};
  call_js(self, CALL_ANSWERED, 2, arguments, NULL);
  napi_close_handle_scope(self->env, scope);
}

/* (slot, token, id, prompt, metadata, deadline, default answer): the answer, or true: it comes later */
static napi_value ask(napi_env env, napi_callback_info info) {
  napi_value a[10], result = NULL;
  Instance* self = instance_of(env, info, 10, a);
  Slot* slot = slot_get(self, a[0]);
  blazen_question question = BLAZEN_QUESTION_INIT;
  blazen_value *metadata = NULL, *fallback = NULL, *answer = NULL;
  blazen_error* error = NULL;
  Text id, prompt, meta;
  if (slot == NULL) return throw_text(env, "the step is over");
  Waiter* waiter = waiter_make(self, u32(env, a[1]));
  if (waiter == NULL) return throw_text(env, "out of memory");
  if (!text_read(env, a[2], &id) || !text_read(env, a[3], &prompt) || !text_read(env, a[4], &meta)) {
    free(waiter);
    return throw_text(env, "out of memory");
  }
  blazen_status status = BLAZEN_OK;
  if (slot->invocation == NULL) status = blazen_context_defer(slot->context, &slot->invocation, &error);
  if (status == BLAZEN_OK && meta.data != NULL)
    status = blazen_value_json(meta.data, meta.length, &metadata, &error);
  if (status == BLAZEN_OK && !value_read(self, &a[6], &fallback, &error)) status = BLAZEN_ERROR_HOST;
  if (status == BLAZEN_OK) {
    question.request_id = id.data;
    question.request_id_length = id.length;
    question.prompt = prompt.data;
    question.prompt_length = prompt.length;
    question.metadata = metadata;
    question.answered = answered;
    question.user_data = waiter;
    question.drop = free;
    question.deadline_ms = i64(env, a[5]);
    question.default_answer = fallback;
    status = blazen_context_ask(slot->context, &question, &answer, &error);
  } else {
    free(waiter);
  }
  blazen_value_release(metadata);
  blazen_value_release(fallback);
  text_free(&id);
  text_free(&prompt);
  text_free(&meta);
  self->touched = true;
  if (status == BLAZEN_PENDING) {
    napi_get_boolean(env, true, &result);
    return result;
  }
  if (status != BLAZEN_OK) return throw_error(self, error);
  result = wire(self, answer, true);
  blazen_value_release(answer);
  return result;
}

/* (slot, label, current, total) */
static napi_value progress(napi_env env, napi_callback_info info) {
  napi_value a[4];
  Instance* self = instance_of(env, info, 4, a);
  blazen_error* error = NULL;
  Text label;
  if (!text_read(env, a[1], &label)) return throw_text(env, "out of memory");
  blazen_status status = blazen_context_progress(context_get(self, a[0]), label.data, label.length,
                                                 (uint64_t)i64(env, a[2]), (uint64_t)i64(env, a[3]), &error);
  text_free(&label);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

/* [type, value, source, correlation, ...] of all the events that the step was invoked with */
static napi_value all_events(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  const blazen_event* const* events = NULL;
  size_t count = 0;
  blazen_error* error = NULL;
  if (blazen_context_events(context_get(self, a[0]), &events, &count, &error) != BLAZEN_OK)
    return throw_error(self, error);
  napi_create_array(env, &result);
  for (size_t i = 0; i < count; ++i) {
    blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
    blazen_event_read(events[i], &view);
    napi_set_element(env, result, (uint32_t)i * 4, string(env, view.type, view.type_length));
    napi_set_element(env, result, (uint32_t)i * 4 + 1, wire(self, view.value, true));
    napi_set_element(env, result, (uint32_t)i * 4 + 2, string(env, view.source, view.source_length));
    napi_set_element(env, result, (uint32_t)i * 4 + 3,
                     string(env, view.correlation, view.correlation_length));
  }
  return result;
}

/* [reason, wanted, arrived, scope id] */
static napi_value join_info(napi_env env, napi_callback_info info) {
  napi_value a[1], result = NULL;
  Instance* self = instance_of(env, info, 1, a);
  blazen_join_info join = BLAZEN_JOIN_INFO_INIT;
  blazen_error* error = NULL;
  if (blazen_context_join_info(context_get(self, a[0]), &join, &error) != BLAZEN_OK)
    return throw_error(self, error);
  napi_create_array_with_length(env, 4, &result);
  napi_set_element(env, result, 0, small(env, (uint32_t)join.reason));
  napi_set_element(env, result, 1, small(env, join.wanted));
  napi_set_element(env, result, 2, number(env, (double)join.arrived));
  napi_set_element(env, result, 3, number(env, (double)join.scope_id));
  return result;
}

/* (slot, key, [types], [counts]): true when there are as many */
static napi_value collect(napi_env env, napi_callback_info info) {
  napi_value a[4], result = NULL, item = NULL;
  Instance* self = instance_of(env, info, 4, a);
  blazen_error* error = NULL;
  uint32_t count = 0;
  Text key;
  napi_get_array_length(env, a[2], &count);
  Text* texts = calloc(count + 1, sizeof *texts);
  const char** types = calloc(count + 1, sizeof *types);
  size_t* lengths = calloc(count + 1, sizeof *lengths);
  uint32_t* counts = calloc(count + 1, sizeof *counts);
  if (texts == NULL || types == NULL || lengths == NULL || counts == NULL || !text_read(env, a[1], &key)) {
    return throw_text(env, "out of memory");
  }
  for (uint32_t i = 0; i < count; ++i) {
    napi_get_element(env, a[2], i, &item);
    text_read(env, item, &texts[i]);
    types[i] = texts[i].data;
    lengths[i] = texts[i].length;
    napi_get_element(env, a[3], i, &item);
    counts[i] = u32(env, item);
  }
  blazen_status status = blazen_context_collect(context_get(self, a[0]), key.data, key.length, types, lengths,
                                                counts, count, &error);
  for (uint32_t i = 0; i < count; ++i) text_free(&texts[i]);
  text_free(&key);
  free(texts);
  free(types);
  free(lengths);
  free(counts);
  if (status != BLAZEN_OK && status != BLAZEN_PENDING) return throw_error(self, error);
  napi_get_boolean(env, status == BLAZEN_OK, &result);
  return result;
}

/* (slot, value): of a mapper */
static napi_value answer(napi_env env, napi_callback_info info) {
  napi_value a[5];
  Instance* self = instance_of(env, info, 5, a);
  blazen_value* value = NULL;
  blazen_error* error = NULL;
  if (!value_read(self, &a[1], &value, &error)) return throw_error(self, error);
  blazen_status status = blazen_context_answer(context_get(self, a[0]), value, &error);
  blazen_value_release(value);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

static napi_value retry_after(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  blazen_error* error = NULL;
  if (blazen_context_retry_after(context_get(self, a[0]), i64(env, a[1]), &error) != BLAZEN_OK) {
    return throw_error(self, error);
  }
  return nothing(env);
}

const Export step_exports[] = {{"finish", finish},
                               {"fail", fail},
                               {"about", about},
                               {"isCancelled", is_cancelled},
                               {"onCancel", on_cancel},
                               {"get", get},
                               {"getAll", get_all},
                               {"set", set},
                               {"has", has},
                               {"remove", remove_key},
                               {"keys", list_keys},
                               {"clear", clear},
                               {"batch", batch},
                               {"send", send_event},
                               {"ask", ask},
                               {"progress", progress},
                               {"events", all_events},
                               {"joinInfo", join_info},
                               {"collect", collect},
                               {"answer", answer},
                               {"retryAfter", retry_after},
                               {NULL, NULL}};
