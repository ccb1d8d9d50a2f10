/* The addon's life: one runtime for each napi_env, pumped by its event loop, and closed before it goes. */
#include "addon.h"

/* So many bodies run before the promises they have made get their turn, and so long before the rest of the loop does. */
enum { STEPS_AT_ONCE = 256, TURN_NANOSECONDS = 4000000 };

Instance* instance_of(napi_env env, napi_callback_info info, size_t count, napi_value* arguments) {
  void* self = NULL;
  napi_get_cb_info(env, info, &count, arguments, NULL, &self);
  return self;
}

bool call_js(Instance* self, int which, size_t count, napi_value* arguments, napi_value* result) {
  if (self->closing) return false;
  napi_env env = self->env;
  napi_value function = NULL, receiver = nothing(env), answer = NULL;
  napi_get_reference_value(env, self->calls[which], &function);
  if (napi_call_function(env, receiver, function, count, arguments, &answer) != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) napi_get_and_clear_last_exception(env, &answer);
    return false;
  }
  if (result != NULL) *result = answer;
  return true;
}

Waiter* waiter_make(Instance* self, uint32_t token) {
  Waiter* waiter = malloc(sizeof *waiter);
  if (waiter != NULL) *waiter = (Waiter){self, token};
  return waiter;
}

void waiter_call(const Waiter* waiter, int which) {
  Instance* self = waiter->self;
  napi_handle_scope scope;
  if (self->closing) return;
  napi_open_handle_scope(self->env, &scope);
  napi_value argument = small(self->env, waiter->token);
  call_js(self, which, 1, &argument, NULL);
  napi_close_handle_scope(self->env, scope);
}

napi_value throw_text(napi_env env, const char* text) {
  napi_throw_error(env, NULL, text);
  return NULL;
}

/* [status, its name, message, host code, step, attempt, offset, detail, cause] */
napi_value error_to_js(Instance* self, const blazen_error* error) {
  napi_env env = self->env;
  napi_value result = NULL;
  blazen_error_view view = BLAZEN_ERROR_VIEW_INIT;
  if (!blazen_error_read(error, &view)) return nothing(env);
  napi_create_array_with_length(env, 9, &result);
  napi_set_element(env, result, 0, number(env, view.status));
  napi_set_element(env, result, 1, string(env, blazen_status_name(view.status), NAPI_AUTO_LENGTH));
  napi_set_element(env, result, 2, string(env, view.message, view.message_length));
  napi_set_element(env, result, 3, number(env, (double)view.host_code));
  napi_set_element(env, result, 4, string(env, view.step, view.step_length));
  napi_set_element(env, result, 5, small(env, view.attempt));
  napi_set_element(env, result, 6,
                   view.offset == UINT64_MAX ? nothing(env) : number(env, (double)view.offset));
  napi_set_element(env, result, 7, wire(self, view.detail, true));
  napi_set_element(env, result, 8, view.cause == NULL ? nothing(env) : error_to_js(self, view.cause));
  return result;
}

napi_value throw_error(Instance* self, blazen_error* error) {
  napi_value argument = error_to_js(self, error), thrown = NULL;
  blazen_error_release(error);
  if (call_js(self, CALL_ERROR, 1, &argument, &thrown)) {
    napi_throw(self->env, thrown);
    return NULL;
  }
  return throw_text(self->env, "blazen: this environment is closing");
}

/* Handles: what JavaScript holds, by number. */

static bool grow(void** array, uint32_t* count, size_t size) {
  uint32_t wanted = *count == 0 ? 64 : *count * 2;
  void* grown = realloc(*array, wanted * size);
  if (grown == NULL) return false;
  memset((char*)grown + *count * size, 0, (wanted - *count) * size);
  *array = grown;
  *count = wanted;
  return true;
}

uint32_t handle_add(Instance* self, Kind kind, void* pointer) {
  if (self->handle_free == 0) {
    uint32_t before = self->handle_count;
    if (!grow((void**)&self->handles, &self->handle_count, sizeof(Handle))) abort();
    for (uint32_t i = self->handle_count - 1; i >= before && i != 0; --i) {
      self->handles[i].next_free = self->handle_free;
      self->handle_free = i;
    }
  }
  uint32_t handle = self->handle_free;
  self->handle_free = self->handles[handle].next_free;
  self->handles[handle].kind = kind;
  self->handles[handle].pointer = pointer;
  return handle;
}

void* handle_get(Instance* self, napi_value value, Kind kind) {
  uint32_t handle = u32(self->env, value);
  if (handle >= self->handle_count || self->handles[handle].kind != kind) return NULL;
  return self->handles[handle].pointer;
}

void handle_release(Instance* self, uint32_t number) {
  if (number >= self->handle_count) return;
  Handle* handle = &self->handles[number];
  Kind kind = handle->kind;
  void* pointer = handle->pointer;
  if (kind == KIND_NONE) return;
  handle->kind = KIND_NONE;
  handle->next_free = self->handle_free;
  self->handle_free = number;
  switch (kind) {
    case KIND_BUILDER: blazen_workflow_builder_release(pointer); break;
    case KIND_PIPELINE: blazen_pipeline_builder_release(pointer); break;
    case KIND_WORKFLOW: blazen_workflow_release(pointer); break;
    case KIND_RUN:
      run_forget(self, pointer);
      blazen_run_release(pointer);
      break;
    case KIND_STREAM: blazen_stream_release(pointer); break;
    case KIND_NONE: break;
  }
}

/* Which handle a run has: open addressing, by its pointer. */

static uint32_t run_place(const Instance* self, const blazen_run* run) {
  uint32_t mask = self->run_capacity - 1;
  uint32_t place = (uint32_t)(((uintptr_t)run >> 4) * 2654435761u) & mask;
  while (self->runs[place].run != NULL && self->runs[place].run != run) place = (place + 1) & mask;
  return place;
}

uint32_t run_number(Instance* self, blazen_run* run) {
  if (run == self->last_run) return self->last_handle;
  if (self->run_capacity == 0 || run == NULL) return 0;
  uint32_t handle = self->runs[run_place(self, run)].handle;
  self->last_run = run;
  self->last_handle = handle;
  return handle;
}

void run_remember(Instance* self, blazen_run* run, uint32_t handle) {
  if (self->run_count * 2 >= self->run_capacity) {
    struct RunEntry* old = self->runs;
    uint32_t old_capacity = self->run_capacity;
    self->run_capacity = old_capacity == 0 ? 64 : old_capacity * 2;
    self->runs = calloc(self->run_capacity, sizeof *self->runs);
    if (self->runs == NULL) abort();
    for (uint32_t i = 0; i < old_capacity; ++i) {
      if (old[i].run != NULL) self->runs[run_place(self, old[i].run)] = old[i];
    }
    free(old);
  }
  struct RunEntry* entry = &self->runs[run_place(self, run)];
  entry->run = run;
  entry->handle = handle;
  self->run_count++;
  self->last_run = NULL;
}

void run_forget(Instance* self, blazen_run* run) {
  self->last_run = NULL;
  if (self->run_capacity == 0) return;
  uint32_t mask = self->run_capacity - 1, hole = run_place(self, run);
  if (self->runs[hole].run == NULL) return;
  self->runs[hole].run = NULL;
  self->runs[hole].handle = 0;
  self->run_count--;
  for (uint32_t next = (hole + 1) & mask; self->runs[next].run != NULL; next = (next + 1) & mask) {
    struct RunEntry moved = self->runs[next]; /* what stood behind the hole may have to move into it */
    self->runs[next].run = NULL;
    self->runs[next].handle = 0;
    self->runs[run_place(self, moved.run)] = moved;
  }
}

/* The pump. */

/* Whether the process stays for a promise that is awaited, or a run at work. Runs are counted no more than a twentieth of the
 * time: where there are many, the process stays a little longer than it has to. */
static void keep(Instance* self) {
  bool wanted = self->busy;
  if (!wanted) {
    uint64_t begin = loop_now();
    if (begin < self->count_after) {
      wanted = true;
      loop_timer(self, (int64_t)((self->count_after - begin) / 1000000) + 1);
    } else {
      blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
      if (blazen_runtime_count(self->runtime, &counters, NULL) == BLAZEN_OK) wanted = counters.running != 0;
      uint64_t took = loop_now() - begin;
      self->count_after = took < 20000 ? 0 : begin + 20 * took;
    }
  }
  loop_keep(self, wanted);
}

static void soon(Instance* self) {
  if (self->soon || self->closing) return;
  self->soon = true;
  loop_soon(self);
}

/* Polls once, inside a handle scope. */
static void poll_once(Instance* self) {
  blazen_error* error = NULL;
  napi_get_reference_value(self->env, self->calls[CALL_DISPATCH], &self->dispatch);
  self->touched = false;
  self->polling = true;
  if (blazen_runtime_poll_next(self->runtime, STEPS_AT_ONCE, NULL, &self->delay, &error) != BLAZEN_OK) {
    blazen_error_release(error);
    self->delay = -1;
  }
  self->polling = false;
  if (self->shared[SHARED_DROPPED] >= DROPPED_MAX / 2) call_js(self, CALL_TURN, 0, NULL, NULL);
}

static bool has_time(const Instance* self) { return loop_now() - self->turn_begin < TURN_NANOSECONDS; }

static bool has_more(const Instance* self) {
  return !self->closing && (self->delay == 0 || self->touched) && has_time(self);
}

/* The loop's turn: polls until there is nothing to do, or it is somebody else's turn. */
void turn(Instance* self) {
  napi_handle_scope outer;
  self->soon = false;
  if (self->polling || self->closing || napi_open_handle_scope(self->env, &outer) != napi_ok) return;
  self->turn_begin = loop_now();
  self->in_turn = true;
  do {
    napi_handle_scope inner;
    napi_open_handle_scope(self->env, &inner);
    if (loop_enter(self)) {
      poll_once(self);
      loop_leave(self);
    }
    napi_close_handle_scope(self->env, inner);
  } while (has_more(self));
  self->in_turn = false;
  if (!self->closing) {
    if (self->delay == 0 || self->touched) {
      soon(self);
    } else {
      self->soon = false;
      loop_never_mind(self);
      if (self->shared[SHARED_DROPPED] != 0) call_js(self, CALL_TURN, 0, NULL, NULL);
      if (self->delay >= 0) loop_timer(self, self->delay);
      keep(self);
    }
  }
  napi_close_handle_scope(self->env, outer);
}

/* Goes on from a microtask, where steps have been completed by promises. True: there is more to do at once. */
static napi_value poll_more(napi_env env, napi_callback_info info) {
  Instance* self = instance_of(env, info, 0, NULL);
  napi_value result = NULL;
  bool more = false;
  if (!self->polling && !self->closing) {
    if (!self->in_turn && !self->soon) {
      self->turn_begin = loop_now();
      soon(self); /* the timer, and whether the process stays, are seen to there */
    }
    if (has_time(self)) {
      poll_once(self);
      more = has_more(self);
    }
  }
  napi_get_boolean(env, more, &result);
  return result;
}

/* The runtime has work. */
static void on_wake(void* user_data) {
  Instance* self = user_data;
  self->touched = true;
  if (!self->in_turn && self->loop != NULL) soon(self);
}

/* Says that something may be ready now: the loop sees to it in its next turn. */
static napi_value touch(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  self->busy = u32(env, a[0]) != 0;
  self->touched = true;
  if (!self->in_turn) soon(self);
  return nothing(env);
}

/* Closes the runtime and frees what it had. In the middle of a step (process.exit() there), whose body never returns, it
 * only begins to. */
void instance_close(Instance* self) {
  self->closing = true;
  if (self->polling) {
    blazen_runtime_begin_close(self->runtime, NULL, NULL, NULL, NULL);
    return;
  }
  blazen_runtime_close(self->runtime, NULL);
  for (uint32_t i = 0; i < self->slot_count; ++i) {
    if (self->slots[i].used) blazen_invocation_release(self->slots[i].invocation);
  }
  for (uint32_t i = 0; i < self->handle_count; ++i) handle_release(self, i);
  blazen_runtime_release(self->runtime);
  for (uint32_t i = 0; i < self->type_count; ++i) free(self->types[i].text);
  free(self->types);
  free(self->slots);
  free(self->handles);
  free(self->runs);
  free(self->dropped);
}

static napi_value intern(napi_env env, napi_callback_info info) {
  napi_value a[1];
  Instance* self = instance_of(env, info, 1, a);
  Text text;
  if (!text_read(env, a[0], &text)) return throw_text(env, "out of memory");
  if (self->type_count == self->type_capacity &&
      !grow((void**)&self->types, &self->type_capacity, sizeof(Name))) {
    return throw_text(env, "out of memory");
  }
  char* copy = malloc(text.length + 1);
  if (copy == NULL) return throw_text(env, "out of memory");
  memcpy(copy, text.data, text.length);
  self->types[self->type_count].text = copy;
  self->types[self->type_count].length = text.length;
  text_free(&text);
  return small(env, self->type_count++);
}

/* Gives the numbers of the objects that nothing refers to any more and that had no room in the shared list. */
static napi_value take_dropped(napi_env env, napi_callback_info info) {
  Instance* self = instance_of(env, info, 0, NULL);
  uint32_t count = (uint32_t)self->shared[SHARED_DROPPED] - DROPPED_MAX;
  napi_value result = NULL;
  napi_create_array_with_length(env, count, &result);
  for (uint32_t i = 0; i < count; ++i) napi_set_element(env, result, i, small(env, self->dropped[i]));
  return result;
}

static napi_value counts(napi_env env, napi_callback_info info) {
  Instance* self = instance_of(env, info, 0, NULL);
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  blazen_error* error = NULL;
  if (blazen_runtime_count(self->runtime, &counters, &error) != BLAZEN_OK) return throw_error(self, error);
  uint32_t handles = 0, slots = 0;
  for (uint32_t i = 0; i < self->handle_count; ++i) handles += self->handles[i].kind != KIND_NONE;
  for (uint32_t i = 0; i < self->slot_count; ++i) slots += self->slots[i].used;
  const double all[] = {(double)counters.created,
                        (double)counters.running,
                        (double)counters.waiting,
                        (double)counters.elsewhere,
                        (double)counters.paused,
                        (double)counters.asking,
                        (double)counters.completed,
                        (double)counters.failed,
                        (double)counters.cancelled,
                        (double)counters.in_flight,
                        (double)counters.abandoned,
                        handles,
                        slots};
  napi_value result = NULL;
  napi_create_array(env, &result);
  for (uint32_t i = 0; i < sizeof all / sizeof *all; ++i)
    napi_set_element(env, result, i, number(env, all[i]));
  return result;
}

static napi_value set_pool(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  Text name;
  blazen_error* error = NULL;
  if (!text_read(env, a[0], &name)) return throw_text(env, "out of memory");
  blazen_status status =
      blazen_runtime_set_pool(self->runtime, name.data, name.length, u32(env, a[1]), &error);
  text_free(&name);
  return status == BLAZEN_OK ? nothing(env) : throw_error(self, error);
}

static napi_value version(napi_env env, napi_callback_info info) {
  (void)info;
  return string(env, blazen_version(), NAPI_AUTO_LENGTH);
}

/* (functions of the core, shared Int32Array) */
static napi_value start(napi_env env, napi_callback_info info) {
  napi_value a[2];
  Instance* self = instance_of(env, info, 2, a);
  if (self->runtime != NULL) return throw_text(env, "blazen: the addon was started already");
  for (uint32_t i = 0; i < CALLS; ++i) {
    napi_value function = NULL;
    napi_get_element(env, a[0], i, &function);
    napi_create_reference(env, function, 1, &self->calls[i]);
  }
  void* data = NULL;
  napi_get_typedarray_info(env, a[1], NULL, NULL, &data, NULL, NULL);
  napi_create_reference(env, a[1], 1, &self->shared_ref);
  self->shared = data;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  options.wake = on_wake;
  options.user_data = self;
  blazen_error* error = NULL;
  if (blazen_runtime_create(&options, &self->runtime, &error) != BLAZEN_OK) return throw_error(self, error);
  if (!loop_open(self)) return throw_text(env, "blazen: the event loop has no room for the runtime");
  return nothing(env);
}

static void add_all(napi_env env, napi_value exports, Instance* self, const Export* all) {
  for (; all->name != NULL; ++all) {
    napi_value function = NULL;
    napi_create_function(env, all->name, NAPI_AUTO_LENGTH, all->call, self, &function);
    napi_set_named_property(env, exports, all->name, function);
  }
}

static const Export own_exports[] = {{"start", start},
                                     {"touch", touch},
                                     {"pollMore", poll_more},
                                     {"intern", intern},
                                     {"takeDropped", take_dropped},
                                     {"counts", counts},
                                     {"setPool", set_pool},
                                     {"version", version},
                                     {NULL, NULL}};

NAPI_MODULE_INIT() {
  if (blazen_abi() != BLAZEN_ABI)
    return throw_text(env, "blazen: the library inside the addon has another ABI");
  Instance* self = calloc(1, sizeof *self);
  if (self == NULL) return throw_text(env, "out of memory");
  self->env = env;
  add_all(env, exports, self, own_exports);
  add_all(env, exports, self, build_exports);
  add_all(env, exports, self, run_exports);
  add_all(env, exports, self, step_exports);
  return exports;
}
