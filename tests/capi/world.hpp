// One live handle of every kind, for tests that need any of them.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "capi/host.hpp"

namespace host {

// In the order of the header's types.
enum class Kind {
  error,
  value,
  event,
  builder,
  pipeline_builder,
  workflow,
  runtime,
  task,
  run,
  context,
  keys,
  batch,
  invocation,
  stream,
  snapshot,
  count
};

inline void expect_ok(blazen_status status, const ErrorHandle& error, const char* what) {
  EXPECT_EQ(status, BLAZEN_OK) << what << ": " << message_of(error);
}
#define OK(...)                                             \
  do {                                                      \
    host::ErrorHandle error_handle;                         \
    blazen_error** error = error_handle.out();              \
    const blazen_status ok_status = (__VA_ARGS__);          \
    host::expect_ok(ok_status, error_handle, #__VA_ARGS__); \
  } while (0)

using Body = blazen_step_fn;

inline blazen_workflow* make_workflow(Body body, void* user_data = nullptr,
                                      blazen_unhandled unhandled = BLAZEN_UNHANDLED_FAIL,
                                      blazen_idle idle = BLAZEN_IDLE_FAIL,
                                      const char* accepts_too = nullptr) {
  BuilderHandle builder;
  blazen_workflow* workflow = nullptr;
  OK(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), error));
  OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT(BLAZEN_START_EVENT), body,
                                      user_data, nullptr, error));
  if (accepts_too != nullptr) {
    OK(blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("s"), accepts_too, std::strlen(accepts_too),
                                            error));
  }
  OK(blazen_workflow_builder_set_unhandled(builder, unhandled, error));
  OK(blazen_workflow_builder_set_idle(builder, idle, error));
  OK(blazen_workflow_builder_build(builder, &workflow, error));
  return workflow;
}

inline blazen_runtime* make_runtime(blazen_mode mode = BLAZEN_MODE_PUMP, uint32_t threads = 2) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = mode;
  options.threads = threads;
  blazen_runtime* runtime = nullptr;
  OK(blazen_runtime_create(&options, &runtime, error));
  return runtime;
}

inline blazen_run* make_run(blazen_runtime* runtime, blazen_workflow* workflow) {
  blazen_run* run = nullptr;
  OK(blazen_run_create(runtime, workflow, nullptr, &run, error));
  return run;
}

inline blazen_value* make_json(const char* text) {
  blazen_value* value = nullptr;
  OK(blazen_value_json(text, std::strlen(text), &value, error));
  return value;
}

inline blazen_value* make_live(Token* token) {
  blazen_value* value = nullptr;
  OK(blazen_value_live(token, BLAZEN_TEXT("token"), drop_token, &value, error));
  return value;
}

inline blazen_event* make_event(const char* type, blazen_value* value = nullptr) {
  blazen_event* event = nullptr;
  OK(blazen_event_create(type, std::strlen(type), value, nullptr, &event, error));
  return event;
}

class World {
 public:
  World() {
    runtime = RuntimeHandle(make_runtime());
    OK(blazen_workflow_builder_create(BLAZEN_TEXT("world"), builder.out(), error));
    OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("ask"), BLAZEN_TEXT(BLAZEN_START_EVENT), ask,
                                        this, nullptr, error));
    OK(blazen_workflow_builder_build(builder, workflow.out(), error));
    OK(blazen_pipeline_builder_create(BLAZEN_TEXT("pipeline"), pipeline_builder.out(), error));
    OK(blazen_pipeline_builder_add_stage(pipeline_builder, BLAZEN_TEXT("stage"), workflow, nullptr, error));
    value = ValueHandle(make_json("{\"a\": 1}"));
    event = EventHandle(make_event("Type", value));
    (void)blazen_error_host(1, BLAZEN_TEXT("a failure"), nullptr, error.out());
    OK(blazen_batch_create(batch.out(), error));
    run = RunHandle(make_run(runtime, workflow));
    OK(blazen_run_subscribe(run, stream.out(), error));
    OK(blazen_run_start(run, nullptr, error));
    OK(blazen_runtime_poll(runtime, 0, nullptr, error));
    EXPECT_NE(invocation.get(), nullptr);
    OK(blazen_run_snapshot(run, snapshot.out(), error));
    make_task();
  }
  ~World() { end_task(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void* handle(Kind kind) const {
    switch (kind) {
      case Kind::error: return error.get();
      case Kind::value: return value.get();
      case Kind::event: return event.get();
      case Kind::builder: return builder.get();
      case Kind::pipeline_builder: return pipeline_builder.get();
      case Kind::workflow: return workflow.get();
      case Kind::runtime: return runtime.get();
      case Kind::task: return task;
      case Kind::run: return run.get();
      case Kind::context: return blazen_invocation_context(invocation);
      case Kind::keys: return keys.get();
      case Kind::batch: return batch.get();
      case Kind::invocation: return invocation.get();
      case Kind::stream: return stream.get();
      case Kind::snapshot: return snapshot.get();
      case Kind::count: break;
    }
    return nullptr;
  }
  // The test has run or cancelled it.
  void task_is_gone() { task = nullptr; }

  RuntimeHandle runtime;
  BuilderHandle builder;
  PipelineBuilderHandle pipeline_builder;
  WorkflowHandle workflow;
  ValueHandle value;
  EventHandle event;
  ErrorHandle error;
  BatchHandle batch;
  KeysHandle keys;
  RunHandle run;
  StreamHandle stream;
  InvocationHandle invocation;
  SnapshotHandle snapshot;
  blazen_task* task = nullptr;

 private:
  static blazen_status ask(void* user_data, blazen_context* context, const blazen_event*,
                           blazen_error** error) {
    auto& world = *static_cast<World*>(user_data);
    OK(blazen_context_set_json(context, BLAZEN_TEXT("key"), BLAZEN_TEXT("1"), error));
    OK(blazen_context_keys(context, BLAZEN_TEXT(""), world.keys.out(), error));
    if (world.invocation.get() != nullptr) return BLAZEN_OK;  // the task's run
    return blazen_context_defer(context, world.invocation.out(), error) == BLAZEN_OK ? BLAZEN_PENDING
                                                                                     : BLAZEN_ERROR_HOST;
  }
  void make_task() {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_EXECUTOR;
    options.user_data = this;
    options.post = [](void* user_data, blazen_task* posted) -> blazen_status {
      static_cast<World*>(user_data)->task = posted;
      return BLAZEN_OK;
    };
    options.clock = [](void*) -> int64_t {
      return 1'700'000'000'000;
    };  // no thread tells the time: children use it
    OK(blazen_runtime_create(&options, executor_.out(), error));
    task_run_ = RunHandle(make_run(executor_, workflow));
    OK(blazen_run_start(task_run_, nullptr, error));
    EXPECT_NE(task, nullptr);
  }
  void end_task() {
    blazen_task_cancel(task);
    task = nullptr;
  }

  RuntimeHandle executor_;
  RunHandle task_run_;
};

}  // namespace host
