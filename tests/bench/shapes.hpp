// The shapes that are measured, driven through the C ABI alone with step bodies that are C functions. Shared
// by the benchmarks (time) and by instructions.cc (instruction counts).
//
// A failure of the engine here ends the process: a figure of a run that failed is worth nothing.
#pragma once

#include <blazen/blazen.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blazen::bench {

// -------------------------------------------------------------------------------------- handles and failures

template <class Handle, void (*release)(Handle*)>
struct Releaser {
  void operator()(Handle* handle) const noexcept { release(handle); }
};
template <class Handle, void (*release)(Handle*)>
using Owned = std::unique_ptr<Handle, Releaser<Handle, release>>;

using Value = Owned<blazen_value, blazen_value_release>;
using Event = Owned<blazen_event, blazen_event_release>;
using Builder = Owned<blazen_workflow_builder, blazen_workflow_builder_release>;
using Workflow = Owned<blazen_workflow, blazen_workflow_release>;
using Runtime = Owned<blazen_runtime, blazen_runtime_release>;
using Run = Owned<blazen_run, blazen_run_release>;
using Snapshot = Owned<blazen_snapshot, blazen_snapshot_release>;

// error by reference: it is read after the call whose status this is, whatever the order of arguments.
inline void check(blazen_status status, blazen_error* const& error = nullptr) {
  if (status == BLAZEN_OK) return;
  std::fprintf(stderr, "%s: %s\n", blazen_status_name(status), blazen_error_message(error, nullptr));
  std::abort();
}

// Calls make(..., &handle, &error) and owns what it made.
template <class Handle, class Function, class... Arguments>
Handle make(Function function, Arguments... arguments) {
  typename Handle::pointer made = nullptr;
  blazen_error* error = nullptr;
  check(function(arguments..., &made, &error), error);
  return Handle(made);
}

inline Value make_json(std::string_view text) {
  return make<Value>(blazen_value_json, text.data(), text.size());
}

// threads: 0: as many as there are processors.
inline Runtime make_runtime(blazen_mode mode, uint32_t threads = 0) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = mode;
  options.threads = threads;
  return make<Runtime>(blazen_runtime_create, &options);
}

// ------------------------------------------------------------------------------------------------- workflows

struct Step {
  std::string_view name;
  std::string_view accepts;
  blazen_step_fn body;
  void* user_data = nullptr;
};

inline Workflow make_workflow(std::initializer_list<Step> steps, blazen_idle idle = BLAZEN_IDLE_FAIL) {
  const Builder builder = make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("bench"));
  blazen_error* error = nullptr;
  for (const Step& step : steps) {
    check(blazen_workflow_builder_add_step(builder.get(), step.name.data(), step.name.size(),
                                           step.accepts.data(), step.accepts.size(), step.body,
                                           step.user_data, nullptr, &error),
          error);
  }
  check(blazen_workflow_builder_set_idle(builder.get(), idle, &error), error);
  return make<Workflow>(blazen_workflow_builder_build, builder.get());
}

// A step that both starts the run and goes on with its own event.
inline Workflow make_loop(blazen_step_fn body, void* user_data, std::string_view type) {
  const Builder builder = make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("bench"));
  blazen_error* error = nullptr;
  check(blazen_workflow_builder_add_step(builder.get(), BLAZEN_TEXT("loop"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                         body, user_data, nullptr, &error),
        error);
  check(blazen_workflow_builder_step_accepts(builder.get(), BLAZEN_TEXT("loop"), type.data(), type.size(),
                                             &error),
        error);
  return make<Workflow>(blazen_workflow_builder_build, builder.get());
}

inline Run start_run(blazen_runtime* runtime, blazen_workflow* workflow, blazen_value* input = nullptr) {
  Run run = make<Run>(blazen_run_create, runtime, workflow, nullptr);
  blazen_error* error = nullptr;
  check(blazen_run_start(run.get(), input, &error), error);
  return run;
}

inline void poll(blazen_runtime* runtime) {
  blazen_error* error = nullptr;
  check(blazen_runtime_poll(runtime, 0, nullptr, &error), error);
}

inline Value result_of(const blazen_run* run) { return make<Value>(blazen_run_result, run); }

// One whole run: pumped here, or waited for while the engine's threads run it.
enum class By { poll, wait };
inline void run_once(blazen_runtime* runtime, blazen_workflow* workflow, blazen_value* input, By by) {
  const Run run = start_run(runtime, workflow, input);
  blazen_error* error = nullptr;
  if (by == By::poll) {
    poll(runtime);
  } else {
    check(blazen_run_wait(run.get(), BLAZEN_FOREVER, nullptr, &error), error);
  }
  result_of(run.get());
}

// ------------------------------------------------------------------------------------------------ the bodies

inline constexpr std::string_view kLink = "chain::LinkEvent";
inline constexpr std::string_view kChild = "fan::ChildToWork";
inline constexpr std::string_view kDone = "fan::ChildIsDone";
static_assert(kLink.size() == 16 && kChild.size() == 16 && kDone.size() == 16);

inline blazen_status emit(blazen_context* context, std::string_view type, const blazen_event* event,
                          blazen_error** error) {
  return blazen_context_emit(context, type.data(), type.size(), blazen_event_value(event), error);
}

inline blazen_status stop(blazen_context* context, const blazen_event* event, blazen_error** error) {
  return emit(context, BLAZEN_STOP_EVENT, event, error);
}

struct ChainPlan {
  uint64_t length = 0;
  uint64_t left = 0;
  size_t heap_after_tenth = 0;  // bench_watched_chain: a tenth of the way
  size_t heap_at_end = 0;
  blazen_event* event = nullptr;  // what send_chain sends

  void begin() { left = length; }
};

// What malloc has given out.
inline size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

extern "C" {

inline blazen_status bench_chain(void* user_data, blazen_context* context, const blazen_event* event,
                                 blazen_error** error) {
  auto* plan = static_cast<ChainPlan*>(user_data);
  return plan->left-- == 0 ? stop(context, event, error) : emit(context, kLink, event, error);
}

// The same, with a look at the heap.
inline blazen_status bench_watched_chain(void* user_data, blazen_context* context, const blazen_event* event,
                                         blazen_error** error) {
  auto* plan = static_cast<ChainPlan*>(user_data);
  if (plan->left == plan->length - plan->length / 10) plan->heap_after_tenth = heap_bytes();
  if (plan->left == 0) plan->heap_at_end = heap_bytes();
  return bench_chain(user_data, context, event, error);
}

// The same, each event sent at once.
inline blazen_status bench_send_chain(void* user_data, blazen_context* context, const blazen_event* event,
                                      blazen_error** error) {
  auto* plan = static_cast<ChainPlan*>(user_data);
  if (plan->left-- == 0) return stop(context, event, error);
  return blazen_context_send_event(context, plan->event, nullptr, error);
}

// The same, each invocation completed through its handle.
inline blazen_status bench_deferred_chain(void* user_data, blazen_context* context, const blazen_event* event,
                                          blazen_error** error) {
  blazen_invocation* invocation = nullptr;
  blazen_status status = blazen_context_defer(context, &invocation, error);
  if (status != BLAZEN_OK) return status;
  status = bench_chain(user_data, context, event, error);
  if (status == BLAZEN_OK) status = blazen_invocation_complete(invocation, error);
  blazen_invocation_release(invocation);
  return status == BLAZEN_OK ? BLAZEN_PENDING : status;
}

inline blazen_status bench_stop(void*, blazen_context* context, const blazen_event* event,
                                blazen_error** error) {
  return stop(context, event, error);
}

inline blazen_status bench_nothing(void*, blazen_context*, const blazen_event*, blazen_error**) {
  return BLAZEN_OK;
}

struct FanPlan {
  uint64_t width = 0;
  bool shared = false;  // joins run at once, on the engine's threads
  std::atomic<uint64_t> left = 0;

  // An atomic read and write where that is needed; else the cost is the engine's alone.
  uint64_t count_down() {
    if (shared) return left.fetch_sub(1, std::memory_order_relaxed) - 1;
    const uint64_t now = left.load(std::memory_order_relaxed) - 1;
    left.store(now, std::memory_order_relaxed);
    return now;
  }
};

inline blazen_status bench_fan_begin(void* user_data, blazen_context* context, const blazen_event* event,
                                     blazen_error** error) {
  auto* plan = static_cast<FanPlan*>(user_data);
  plan->left = plan->width;
  for (uint64_t i = 0; i < plan->width; ++i) {
    const blazen_status status = emit(context, kChild, event, error);
    if (status != BLAZEN_OK) return status;
  }
  return BLAZEN_OK;
}

inline blazen_status bench_fan_child(void*, blazen_context* context, const blazen_event* event,
                                     blazen_error** error) {
  return emit(context, kDone, event, error);
}

inline blazen_status bench_fan_join(void* user_data, blazen_context* context, const blazen_event* event,
                                    blazen_error** error) {
  return static_cast<FanPlan*>(user_data)->count_down() == 0 ? stop(context, event, error) : BLAZEN_OK;
}

// Calls (*user_data)(context, event), for what is measured inside one body.
using Inside = void (*)(void* data, blazen_context* context, const blazen_event* event);
struct InsidePlan {
  Inside function;
  void* data;
};
inline blazen_status bench_inside(void* user_data, blazen_context* context, const blazen_event* event,
                                  blazen_error**) {
  const auto* plan = static_cast<const InsidePlan*>(user_data);
  plan->function(plan->data, context, event);
  return BLAZEN_OK;
}

}  // extern "C"

// ------------------------------------------------------------------------------------------------ the shapes

class Chain {
 public:
  explicit Chain(uint64_t length, blazen_step_fn body = bench_chain)
      : workflow_(make_loop(body, &plan_, kLink)) {
    plan_.length = length;
    plan_.event = event_.get();
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  const ChainPlan& plan() const { return plan_; }
  void run(blazen_runtime* runtime, By by) {
    plan_.begin();
    run_once(runtime, workflow_.get(), input_.get(), by);
  }

 private:
  ChainPlan plan_;
  Value input_ = make_json(R"({"n":1})");
  Event event_ = make<Event>(blazen_event_create, kLink.data(), kLink.size(), input_.get(), nullptr);
  Workflow workflow_;
};

class FanOut {
 public:
  explicit FanOut(uint64_t width)
      : workflow_(make_workflow({{"begin", BLAZEN_START_EVENT, bench_fan_begin, &plan_},
                                 {"child", kChild, bench_fan_child},
                                 {"join", kDone, bench_fan_join, &plan_}})) {
    plan_.width = width;
  }
  FanOut(const FanOut&) = delete;
  FanOut& operator=(const FanOut&) = delete;

  void run(blazen_runtime* runtime, By by) {
    plan_.shared = by == By::wait;
    run_once(runtime, workflow_.get(), input_.get(), by);
  }

 private:
  FanPlan plan_;
  Value input_ = make_json(R"({"n":1})");
  Workflow workflow_;
};

// The same, where a join takes the children, and nobody counts.
class JoinedFanOut {
 public:
  explicit JoinedFanOut(uint64_t width) {
    plan_.width = width;
    const Builder builder = make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("bench"));
    for (const Step& step : {Step{"begin", BLAZEN_START_EVENT, bench_fan_begin, &plan_},
                             Step{"child", kChild, bench_fan_child}, Step{"join", kDone, bench_stop}})
      check(blazen_workflow_builder_add_step(builder.get(), step.name.data(), step.name.size(),
                                             step.accepts.data(), step.accepts.size(), step.body,
                                             step.user_data, nullptr, nullptr));
    blazen_join_options how = BLAZEN_JOIN_OPTIONS_INIT;
    how.of = "begin";
    how.of_length = 5;
    check(blazen_workflow_builder_step_joins(builder.get(), BLAZEN_TEXT("join"), &how, nullptr));
    workflow_ = make<Workflow>(blazen_workflow_builder_build, builder.get());
  }
  JoinedFanOut(const JoinedFanOut&) = delete;
  JoinedFanOut& operator=(const JoinedFanOut&) = delete;

  void run(blazen_runtime* runtime, By by) { run_once(runtime, workflow_.get(), input_.get(), by); }

 private:
  FanPlan plan_;
  Value input_ = make_json(R"({"n":1})");
  Workflow workflow_;
};

class ShortRun {
 public:
  void run(blazen_runtime* runtime, By by) { run_once(runtime, workflow_.get(), input_.get(), by); }
  // In one call.
  void run_at_once(blazen_runtime* runtime) { run_at_once(runtime, *this); }
  // With the input of another.
  void run_at_once(blazen_runtime* runtime, const ShortRun& other) {
    make<Value>(blazen_workflow_run, workflow_.get(), runtime, other.input_.get());
  }

 private:
  Value input_ = make_json(R"({"n":1})");
  Workflow workflow_ = make_workflow({{"only", BLAZEN_START_EVENT, bench_stop}});
};

// A fan-out whose children are runs of a workflow that a short run is of.
class ChildFanOut {
 public:
  explicit ChildFanOut(uint64_t width, blazen_step_fn only = bench_stop)
      : inner_(make_workflow({{"only", BLAZEN_START_EVENT, only}})) {
    plan_.width = width;
    const Builder builder = make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("bench"));
    blazen_error* error = nullptr;
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    options.output_type = kDone.data();
    options.output_type_length = kDone.size();
    check(
        blazen_workflow_builder_add_step(builder.get(), BLAZEN_TEXT("begin"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                         bench_fan_begin, &plan_, nullptr, &error),
        error);
    check(blazen_workflow_builder_add_workflow(builder.get(), BLAZEN_TEXT("child"), kChild.data(),
                                               kChild.size(), inner_.get(), &options, &error),
          error);
    check(blazen_workflow_builder_add_step(builder.get(), BLAZEN_TEXT("join"), kDone.data(), kDone.size(),
                                           bench_fan_join, &plan_, nullptr, &error),
          error);
    workflow_ = make<Workflow>(blazen_workflow_builder_build, builder.get());
  }
  ChildFanOut(const ChildFanOut&) = delete;
  ChildFanOut& operator=(const ChildFanOut&) = delete;

  void run(blazen_runtime* runtime, By by) { run_once(runtime, workflow_.get(), input_.get(), by); }
  blazen_workflow* workflow() const { return workflow_.get(); }

 private:
  FanPlan plan_;
  Value input_ = make_json(R"({"n":1})");
  Workflow inner_;
  Workflow workflow_;
};

// A pipeline of so many stages, each a workflow that a short run is of; or one that runs it in so many rounds.
class PipelineRun {
 public:
  PipelineRun(uint32_t stages, uint32_t rounds) {
    blazen_error* error = nullptr;
    blazen_pipeline_builder* builder = nullptr;
    check(blazen_pipeline_builder_create(BLAZEN_TEXT("bench"), &builder, &error), error);
    for (uint32_t i = 0; i < stages; ++i) {
      const std::string name = "stage" + std::to_string(i);
      check(rounds == 0 ? blazen_pipeline_builder_add_stage(builder, name.data(), name.size(), inner_.get(),
                                                            nullptr, &error)
                        : blazen_pipeline_builder_add_loop(builder, name.data(), name.size(), inner_.get(),
                                                           rounds, nullptr, &error),
            error);
    }
    workflow_ = make<Workflow>(blazen_pipeline_builder_build, builder);
    blazen_pipeline_builder_release(builder);
  }
  void run(blazen_runtime* runtime, By by) { run_once(runtime, workflow_.get(), input_.get(), by); }

 private:
  Value input_ = make_json(R"({"n":1})");
  Workflow inner_ = make_workflow({{"only", BLAZEN_START_EVENT, bench_stop}});
  Workflow workflow_;
};

// Runs one function inside the body of a step; then the run waits for events, so that it can be looked at.
template <class Function>
Run run_inside(blazen_runtime* runtime, Function function) {
  const auto call = [](void* data, blazen_context* context, const blazen_event*) {
    (*static_cast<Function*>(data))(context);
  };
  InsidePlan plan{call, &function};
  // The workflow outlives this call, the plan does not: nothing starts the step again.
  const Workflow workflow =
      make_workflow({{"inside", BLAZEN_START_EVENT, bench_inside, &plan}}, BLAZEN_IDLE_WAIT);
  Run run = start_run(runtime, workflow.get());
  poll(runtime);
  return run;
}

// Keys of 16 characters.
inline std::vector<std::string> make_keys(size_t count) {
  std::vector<std::string> keys;
  keys.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    char key[32];
    std::snprintf(key, sizeof key, "state.key.%06zu", i);
    keys.emplace_back(key);
  }
  return keys;
}

inline std::vector<std::string> make_shuffled_keys(size_t count) {
  std::vector<std::string> keys = make_keys(count);
  std::mt19937 random(1);  // std::shuffle is the library's own: the same on one machine is enough here
  std::shuffle(keys.begin(), keys.end(), random);
  return keys;
}

inline void set_all(blazen_context* context, const std::vector<std::string>& keys, blazen_value* value) {
  for (const std::string& key : keys) {
    check(blazen_context_set_value(context, key.data(), key.size(), value, nullptr));
  }
}

inline void get_all(blazen_context* context, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    blazen_value* value = nullptr;
    check(blazen_context_get_value(context, key.data(), key.size(), &value, nullptr, nullptr));
    blazen_value_release(value);
  }
}

// A run at rest whose state has `count` small values: JSON texts of 8 characters.
inline Run make_run_with_state(blazen_runtime* runtime, const std::vector<std::string>& keys) {
  return run_inside(runtime, [&](blazen_context* context) {
    for (size_t i = 0; i < keys.size(); ++i) {
      const std::string text = std::to_string(10'000'000 + i);
      check(blazen_context_set_json(context, keys[i].data(), keys[i].size(), text.data(), text.size(),
                                    nullptr));
    }
  });
}

inline Snapshot snapshot_of(const blazen_run* run) { return make<Snapshot>(blazen_run_snapshot, run); }

inline std::string_view bytes_of(const blazen_snapshot* snapshot) {
  size_t length = 0;
  const void* data = blazen_snapshot_data(snapshot, &length);
  return {static_cast<const char*>(data), length};
}

}  // namespace blazen::bench
