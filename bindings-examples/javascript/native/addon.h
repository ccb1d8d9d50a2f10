/* What the files of the addon share: one Instance for each napi_env, and the ways in which values cross. */
#ifndef BLAZEN_NODE_ADDON_H
#define BLAZEN_NODE_ADDON_H

#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif
#include <blazen/blazen.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Instance Instance;

/* The functions of the core that the addon calls, in the order of the array that `init` is given. */
enum {
  CALL_DISPATCH,
  CALL_STATE,
  CALL_READY,
  CALL_SERIALIZE,
  CALL_DESERIALIZE,
  CALL_INPUT,
  CALL_ERROR,
  CALL_CANCELLED,
  CALL_ANSWERED,
  CALL_TURN,
  CALLS
};

/* The numbers that both sides see: type and object of what dispatch answers, how many objects were dropped; what it is called
 * with: step, slot, run, type (-1: the second argument) and object (0: the first argument is the value); then, from SHARED_LIST on,
 * the numbers of the first DROPPED_MAX objects that were dropped. */
enum {
  SHARED_TYPE,
  SHARED_OBJECT,
  SHARED_DROPPED,
  SHARED_STEP,
  SHARED_SLOT,
  SHARED_RUN,
  SHARED_EVENT_TYPE,
  SHARED_VALUE,
  SHARED_LIST,
  DROPPED_MAX = 1024
};

/* What `dispatch` answers where it is no text: see core/dispatch.ts. */
enum { BODY_DONE = 0, BODY_DEFERRED = 1, BODY_FAILED = 2 };

typedef enum { KIND_NONE, KIND_BUILDER, KIND_PIPELINE, KIND_WORKFLOW, KIND_RUN, KIND_STREAM } Kind;

typedef struct {
  Kind kind;
  union {
    void* pointer;
    uint32_t next_free;
  };
} Handle;

/* An invocation whose body is at work, or deferred. */
typedef struct {
  blazen_context* context;
  blazen_invocation* invocation; /* set once it is deferred */
  blazen_error* error;           /* what the body has failed with, before it returns */
  uint32_t next_free;
  bool used;
  bool in_body;
} Slot;

typedef struct {
  char* text;
  size_t length;
} Name;

/* What the library holds of JavaScript's: an object by its number, and the bytes that it was written to. */
typedef struct {
  Instance* instance;
  uint32_t object; /* 0: no object, bytes alone */
  bool can_serialize;
  size_t length;
  char bytes[];
} Held;

typedef struct {
  Instance* instance;
  uint32_t step;
  uint32_t type_count;
  Name types[];
} StepData;

struct Instance {
  napi_env env;
  blazen_runtime* runtime;
  struct Loop* loop;
  napi_ref calls[CALLS];
  napi_ref shared_ref;
  int32_t* shared;     /* see SHARED_ */
  napi_value dispatch; /* while it polls */
  int64_t delay;       /* what the last poll has said */
  uint64_t turn_begin;
  uint64_t count_after; /* when the runs may be counted again: it takes time where there are many */
  bool in_turn;
  bool soon; /* a turn comes */
  bool polling;
  bool closing;
  bool touched; /* something may have become ready since the last poll */
  bool busy;    /* a promise is awaited: the process stays */
  Handle* handles;
  uint32_t handle_count, handle_free;
  Slot* slots;
  uint32_t slot_count, slot_free;
  Name* types;
  uint32_t type_count, type_capacity;
  uint32_t* dropped;
  uint32_t dropped_capacity;
  struct RunEntry {
    blazen_run* run;
    uint32_t handle;
  }* runs;
  uint32_t run_count, run_capacity;
  blazen_run* last_run;
  uint32_t last_handle;
};

/* A text argument, in place where it is short. */
typedef struct {
  char* data; /* NULL: undefined or null was given */
  size_t length;
  char small[232];
} Text;

Instance* instance_of(napi_env env, napi_callback_info info, size_t count, napi_value* arguments);
napi_value throw_error(Instance* self, blazen_error* error);
napi_value throw_text(napi_env env, const char* text);
bool call_js(Instance* self, int which, size_t count, napi_value* arguments, napi_value* result);

/* Whoever waits for something, whom the core finds by the token; ended by free. waiter_make: NULL without memory. */
typedef struct {
  Instance* self;
  uint32_t token;
} Waiter;
Waiter* waiter_make(Instance* self, uint32_t token);
/* What it has waited for has come. */
void waiter_call(const Waiter* waiter, int which);
napi_value error_to_js(Instance* self, const blazen_error* error);

uint32_t handle_add(Instance* self, Kind kind, void* pointer);
void* handle_get(Instance* self, napi_value number, Kind kind);
void handle_release(Instance* self, uint32_t number);
uint32_t run_number(Instance* self, blazen_run* run);
void run_remember(Instance* self, blazen_run* run, uint32_t handle);
void run_forget(Instance* self, blazen_run* run);

bool text_read(napi_env env, napi_value value, Text* text);
void text_free(Text* text);
uint32_t u32(napi_env env, napi_value value);
int32_t i32(napi_env env, napi_value value);
int64_t i64(napi_env env, napi_value value);
bool truthy(napi_env env, napi_value value);
bool given(napi_env env, napi_value value);
napi_value number(napi_env env, double value);
napi_value small(napi_env env, uint32_t value);
napi_value string(napi_env env, const char* text, size_t length);
napi_value nothing(napi_env env);

void held_drop(void* object);
bool value_read(Instance* self, napi_value* arguments, blazen_value** value, blazen_error** error);
blazen_status value_of_text(Instance* self, napi_value text, uint32_t object, blazen_value** value,
                            blazen_error** error);
napi_value wire(Instance* self, blazen_value* value, bool identity);
napi_value wire_view(Instance* self, blazen_value* value, blazen_tag tag, const char* codec,
                     size_t codec_length, const void* data, size_t data_length, bool identity);
napi_value json_out(Instance* self, blazen_status status, blazen_value* value, blazen_error* error);

blazen_status step_body(void* user_data, blazen_context* context, const blazen_event* event,
                        blazen_error** error);
void step_drop(void* user_data);

/* The event loop of the platform: loop_uv.c, loop_wasm.c. */
bool loop_open(Instance* self);                    /* false: there is none */
void loop_soon(Instance* self);                    /* a turn is to come, from the loop */
void loop_never_mind(Instance* self);              /* nothing is left to do */
void loop_timer(Instance* self, int64_t delay_ms); /* a turn in so many milliseconds, at the latest */
void loop_keep(Instance* self, bool kept);         /* whether the process stays for it */
uint64_t loop_now(void);                           /* in nanoseconds */
bool loop_enter(Instance* self); /* around a poll: when it is left, promises have their turn */
void loop_leave(Instance* self);
void turn(Instance* self);
void instance_close(Instance* self);

typedef struct {
  const char* name;
  napi_callback call;
} Export;
extern const Export build_exports[], run_exports[], step_exports[];

#endif
