/* The loop of Node: libuv's. */
#include <uv.h>

#include "addon.h"

typedef struct Loop {
  uv_async_t awake; /* keeps the loop alive while there is something to wait for */
  uv_timer_t timer; /* what is due by the time alone */
  uv_idle_t idle;   /* there is something to do: the loop does not sleep */
  uint64_t due;     /* when the timer goes off; 0: never */
  bool kept;
  Instance* self;
  int open;
  napi_async_cleanup_hook_handle cleanup;
  napi_async_context async;
  napi_ref resource;
  napi_callback_scope scope;
} Loop;

static void on_idle(uv_idle_t* idle) {
  uv_idle_stop(idle);
  turn(((Loop*)idle->data)->self);
}

static void on_timer(uv_timer_t* timer) {
  Loop* loop = timer->data;
  loop->due = 0;
  turn(loop->self);
}

static void on_awake(uv_async_t* awake) { turn(((Loop*)awake->data)->self); }

static void on_closed(uv_handle_t* handle) {
  Loop* loop = handle->data;
  if (--loop->open != 0) return;
  napi_remove_async_cleanup_hook(loop->cleanup);
  free(loop->self);
  free(loop);
}

static void on_cleanup(napi_async_cleanup_hook_handle handle, void* data) {
  Instance* self = data;
  Loop* loop = self->loop;
  loop->cleanup = handle;
  uv_close((uv_handle_t*)&loop->awake, on_closed);
  uv_close((uv_handle_t*)&loop->timer, on_closed);
  uv_close((uv_handle_t*)&loop->idle, on_closed);
  instance_close(self);
}

bool loop_open(Instance* self) {
  uv_loop_t* uv = NULL;
  napi_value name = NULL, resource = NULL;
  Loop* loop = calloc(1, sizeof *loop);
  napi_get_uv_event_loop(self->env, &uv);
  if (loop == NULL || uv_async_init(uv, &loop->awake, on_awake) != 0) {
    free(loop);
    return false;
  }
  uv_timer_init(uv, &loop->timer);
  uv_idle_init(uv, &loop->idle);
  loop->open = 3;
  loop->self = self;
  loop->awake.data = loop;
  loop->timer.data = loop;
  loop->idle.data = loop;
  uv_unref((uv_handle_t*)&loop->awake);
  napi_create_object(self->env, &resource);
  napi_create_reference(self->env, resource, 1, &loop->resource);
  napi_create_string_utf8(self->env, "blazen", NAPI_AUTO_LENGTH, &name);
  napi_async_init(self->env, resource, name, &loop->async);
  self->loop = loop;
  napi_add_async_cleanup_hook(self->env, on_cleanup, self, &loop->cleanup);
  return true;
}

void loop_soon(Instance* self) { uv_idle_start(&self->loop->idle, on_idle); }

void loop_never_mind(Instance* self) { uv_idle_stop(&self->loop->idle); }

/* Where the timer would go off too late, it is set again; one that goes off too early is set again then. */
void loop_timer(Instance* self, int64_t delay_ms) {
  Loop* loop = self->loop;
  uint64_t due = loop_now() / 1000000 + (uint64_t)delay_ms;
  if (loop->due != 0 && loop->due <= due) return;
  loop->due = due;
  uv_update_time(loop->timer.loop);
  uv_timer_start(&loop->timer, on_timer, (uint64_t)delay_ms, 0);
  uv_unref((uv_handle_t*)&loop->timer);
}

void loop_keep(Instance* self, bool kept) {
  Loop* loop = self->loop;
  if (kept == loop->kept) return;
  loop->kept = kept;
  if (kept) {
    uv_ref((uv_handle_t*)&loop->awake);
  } else {
    uv_unref((uv_handle_t*)&loop->awake);
  }
}

uint64_t loop_now(void) { return uv_hrtime(); }

bool loop_enter(Instance* self) {
  napi_value resource = NULL;
  napi_get_reference_value(self->env, self->loop->resource, &resource);
  return napi_open_callback_scope(self->env, resource, self->loop->async, &self->loop->scope) == napi_ok;
}

void loop_leave(Instance* self) { napi_close_callback_scope(self->env, self->loop->scope); }
