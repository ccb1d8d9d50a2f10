// Proves the tag `calls` from below: every function that is said to call a drop, or the host, really does, on
// the thread that calls it. That no other does is proved from above, by all the tests: where invariants are
// checked, each callback is measured by the tag of the function around it (src/base/host_code.hpp).
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "capi/callers.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

// ---- what the header says ----

std::map<std::string, std::string> read_tags() {
  std::ifstream file(BLAZEN_HEADER);
  EXPECT_TRUE(file) << BLAZEN_HEADER;
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string text = stream.str();
  std::map<std::string, std::string> tags;
  const std::regex declaration(
      R"(\| calls: (\w+) \| since: [\d.]+\] \*/\s*BLAZEN_API [\w \*]*?(blazen_\w+)\()");
  for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at)
    tags[(*at)[2]] = (*at)[1];
  return tags;
}

// The function that a row is of: its name is the beginning of the row's.
std::string function_of(const Row& row, const std::map<std::string, std::string>& tags) {
  std::string longest;
  for (const auto& [name, tag] : tags) {
    if ((std::string("blazen_") + row.function + "_").starts_with(name + "_") && name.size() > longest.size())
      longest = name;
  }
  EXPECT_NE(longest, "") << row.function;
  return longest;
}

// ---- further calls in which a callback comes ----

blazen_status clock_world(Holder& h) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  options.user_data = &h;
  options.clock = [](void* user_data) -> int64_t {  // it lets nothing go: the engine may hold a lock
    Holder& holder = holder_of(user_data);
    if (!std::exchange(holder.is_armed, false)) return 1'700'000'000'000;
    ++holder.called;
    holder.called_on = std::this_thread::get_id();
    return 1'700'000'000'000;
  };
  h.begin = rest;
  h.next = stop;
  h.workflow = WorkflowHandle(make_workflow(call_step, &h, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT, "Next"));
  OK(blazen_runtime_create(&options, h.runtime.out(), error));
  OK(blazen_run_create(h.runtime, h.workflow, nullptr, h.run.out(), error));
  OK(blazen_run_start(h.run, nullptr, error));
  return BLAZEN_OK;
}

// Two bodies want a permit, of which there is one: the other is posted when there are more.
void pool_world(Holder& h) {
  BuilderHandle builder;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.user_data = &h;
  options.post = [](void* user_data, blazen_task* task) -> blazen_status {
    holder_of(user_data).task = task;
    let_go(user_data);
    return BLAZEN_OK;
  };
  h.begin = [](Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
    const blazen_status status = blazen_context_emit(context, BLAZEN_TEXT("Next"), nullptr, error);
    return status != BLAZEN_OK ? status : blazen_context_emit(context, BLAZEN_TEXT("Next"), nullptr, error);
  };
  h.next = defer;
  OK(blazen_workflow_builder_create(BLAZEN_TEXT("pool"), builder.out(), error));
  OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("begin"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                      call_step, &h, nullptr, error));
  OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("next"), BLAZEN_TEXT("Next"), call_step, &h,
                                      nullptr, error));
  OK(blazen_workflow_builder_step_uses_pool(builder, BLAZEN_TEXT("next"), BLAZEN_TEXT("pool"), error));
  OK(blazen_workflow_builder_build(builder, h.workflow.out(), error));
  OK(blazen_runtime_create(&options, h.runtime.out(), error));
  OK(blazen_runtime_set_pool(h.runtime, BLAZEN_TEXT("pool"), 1, error));
  h.run = RunHandle(make_run(h.runtime, h.workflow));
  OK(blazen_run_start(h.run, nullptr, error));
  while (h.task != nullptr) turn(h);
  ASSERT_NE(h.invocation.get(), nullptr);
}

void nothing(Holder&) {}
void value_last(Holder& h) { h.value = make_last(h); }
// A decision that is never asked for: its end lets go.
blazen_mapper last_mapper(Holder& h) { return {call_step, &h, drop_and_let_go, 0}; }

const Row kFurther[] = {
    {"runtime_next_timer", [](Holder& h) { clock_world(h); },
     [](Holder& h) {
       int64_t delay_ms = 0;
       EventHandle later(make_event("Next"));
       blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
       options.delay_ms = 1000;
       h.is_armed = false;
       OK(blazen_runtime_poll(h.runtime, 0, nullptr, error));
       OK(blazen_run_send_event(h.run, later, &options, error));
       h.is_armed = true;
       return blazen_runtime_next_timer(h.runtime, &delay_ms, nullptr);
     }},
    {"runtime_set_pool", pool_world,
     [](Holder& h) { return blazen_runtime_set_pool(h.runtime, BLAZEN_TEXT("pool"), 2, nullptr); }},
    {"run_describe", [](Holder& h) { clock_world(h); },
     [](Holder& h) {
       ValueHandle description;
       return blazen_run_describe(h.run, description.out(), nullptr);
     }},
    {"run_questions", [](Holder& h) { clock_world(h); },
     [](Holder& h) {
       ValueHandle questions;
       return blazen_run_questions(h.run, questions.out(), nullptr);
     }},
    {"run_close_within",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) { return blazen_run_close_within(h.run, 1000, nullptr); }},
    {"runtime_close_within",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) { return blazen_runtime_close_within(h.runtime, 1000, nullptr); }},
    {"runtime_release",
     [](Holder& h) {
       make_world(h);
       on_done(h);
       OK(blazen_run_start(h.run, nullptr, error));
       h.run.reset();  // its step is still to come
     },
     [](Holder& h) -> blazen_status {
       blazen_runtime_release(h.runtime.take());
       return BLAZEN_OK;
     }},
    {"stream_release_lets_the_run_go_on",
     [](Holder& h) {
       h.begin = [](Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
         const blazen_status status = publish(context, error);
         return status != BLAZEN_OK ? status
                                    : blazen_context_emit(context, BLAZEN_TEXT("Next"), nullptr, error);
       };
       make_world(h, kPostLetsGo);
       blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
       options.overflow = BLAZEN_OVERFLOW_HOLD;
       options.capacity = 1;
       OK(blazen_run_subscribe_with(h.run, &options, h.stream.out(), error));
       OK(blazen_run_start(h.run, nullptr, error));
       turn(h);
     },
     [](Holder& h) -> blazen_status {
       blazen_stream_release(h.stream.take());
       return BLAZEN_OK;
     }},
    {"value_release", value_last,
     [](Holder& h) -> blazen_status {
       blazen_value_release(h.value.take());
       return BLAZEN_OK;
     }},
    {"event_release",
     [](Holder& h) {
       value_last(h);
       h.event = EventHandle(make_event("Type", h.value));
       h.value.reset();
     },
     [](Holder& h) -> blazen_status {
       blazen_event_release(h.event.take());
       return BLAZEN_OK;
     }},
    {"error_release", value_last,
     [](Holder& h) -> blazen_status {
       blazen_error* failure = nullptr;
       (void)blazen_error_host(1, BLAZEN_TEXT("no"), h.value, &failure);
       h.value.reset();
       blazen_error_release(failure);
       return BLAZEN_OK;
     }},
    {"batch_release", value_last,
     [](Holder& h) -> blazen_status {
       OK(blazen_batch_create(h.batch.out(), error));
       OK(blazen_batch_set(h.batch, BLAZEN_TEXT("k"), h.value, error));
       h.value.reset();
       blazen_batch_release(h.batch.take());
       return BLAZEN_OK;
     }},
    {"value_live", nothing,
     [](Holder& h) -> blazen_status {
       EXPECT_NE(blazen_value_live(&h, BLAZEN_TEXT("l"), drop_and_let_go, nullptr, nullptr), BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"value_live_with", nothing,
     [](Holder& h) -> blazen_status {
       blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
       options.drop = drop_and_let_go;
       EXPECT_NE(blazen_value_live_with(&h, BLAZEN_TEXT("l"), &options, nullptr, nullptr), BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"value_adopt", nothing,
     [](Holder& h) -> blazen_status {
       EXPECT_NE(
           blazen_value_adopt(BLAZEN_TAG_BYTES, "x", 1, nullptr, 0, &h, drop_and_let_go, nullptr, nullptr),
           BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"snapshot_adopt", nothing,
     [](Holder& h) -> blazen_status {
       EXPECT_NE(blazen_snapshot_adopt("x", 1, &h, drop_and_let_go, h.snapshot.out(), nullptr), BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"snapshot_release", [](Holder& h) { start_deferred(h); },
     [](Holder& h) -> blazen_status {
       SnapshotHandle taken;
       OK(blazen_run_snapshot(h.run, taken.out(), error));
       size_t length = 0;
       const void* data = blazen_snapshot_data(taken, &length);
       blazen_snapshot* adopted = nullptr;
       OK(blazen_snapshot_adopt(data, length, &h, drop_and_let_go, &adopted, error));
       blazen_snapshot_release(adopted);
       return BLAZEN_OK;
     }},
    {"workflow_builder_add_step", nothing,
     [](Holder& h) -> blazen_status {
       EXPECT_NE(blazen_workflow_builder_add_step(nullptr, BLAZEN_TEXT("s"), BLAZEN_TEXT("T"), call_step, &h,
                                                  drop_and_let_go, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"workflow_builder_add_step_with", nothing,
     [](Holder& h) -> blazen_status {
       EXPECT_NE(blazen_workflow_builder_add_step_with(nullptr, BLAZEN_TEXT("s"), nullptr, call_step, &h,
                                                       drop_and_let_go, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"workflow_builder_add_workflow", nothing,
     [](Holder& h) -> blazen_status {
       blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
       options.input = last_mapper(h);
       EXPECT_NE(blazen_workflow_builder_add_workflow(nullptr, BLAZEN_TEXT("s"), BLAZEN_TEXT("T"), nullptr,
                                                      &options, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"workflow_builder_add_workflows", nothing,
     [](Holder& h) -> blazen_status {
       blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
       options.output = last_mapper(h);
       EXPECT_NE(blazen_workflow_builder_add_workflows(nullptr, BLAZEN_TEXT("s"), BLAZEN_TEXT("T"), nullptr,
                                                       0, &options, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"pipeline_builder_add_stage", nothing,
     [](Holder& h) -> blazen_status {
       blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
       options.condition = last_mapper(h);
       EXPECT_NE(blazen_pipeline_builder_add_stage(nullptr, BLAZEN_TEXT("s"), nullptr, &options, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"pipeline_builder_add_parallel", nothing,
     [](Holder& h) -> blazen_status {
       blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
       options.input = last_mapper(h);
       EXPECT_NE(
           blazen_pipeline_builder_add_parallel(nullptr, BLAZEN_TEXT("s"), nullptr, 0, &options, nullptr),
           BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"pipeline_builder_add_loop", nothing,
     [](Holder& h) -> blazen_status {
       blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
       options.until = last_mapper(h);
       EXPECT_NE(blazen_pipeline_builder_add_loop(nullptr, BLAZEN_TEXT("s"), nullptr, 1, &options, nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"pipeline_builder_add_parallel_loop", nothing,
     [](Holder& h) -> blazen_status {
       blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
       options.output = last_mapper(h);
       EXPECT_NE(blazen_pipeline_builder_add_parallel_loop(nullptr, BLAZEN_TEXT("s"), nullptr, 0, 1, &options,
                                                           nullptr),
                 BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"pipeline_builder_release", [](Holder& h) { h.workflow = WorkflowHandle(make_workflow(call_step, &h)); },
     [](Holder& h) -> blazen_status {
       PipelineBuilderHandle builder;
       blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
       options.output = last_mapper(h);
       OK(blazen_pipeline_builder_create(BLAZEN_TEXT("p"), builder.out(), error));
       OK(blazen_pipeline_builder_add_stage(builder, BLAZEN_TEXT("s"), h.workflow, &options, error));
       blazen_pipeline_builder_release(builder.take());
       return BLAZEN_OK;
     }},
    {"workflow_builder_release", nothing,
     [](Holder& h) -> blazen_status {
       BuilderHandle builder;
       OK(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), error));
       OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT("T"), call_step, &h,
                                           drop_and_let_go, error));
       blazen_workflow_builder_release(builder.take());
       return BLAZEN_OK;
     }},
    {"workflow_release",
     [](Holder& h) {
       BuilderHandle builder;
       OK(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), error));
       OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                           call_step, &h, drop_and_let_go, error));
       OK(blazen_workflow_builder_build(builder, h.workflow.out(), error));
     },
     [](Holder& h) -> blazen_status {
       blazen_workflow_release(h.workflow.take());
       return BLAZEN_OK;
     }},
    {"runtime_create", nothing,
     [](Holder& h) -> blazen_status {
       blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
       options.user_data = &h;
       options.drop = drop_and_let_go;
       EXPECT_NE(blazen_runtime_create(&options, nullptr, nullptr), BLAZEN_OK);
       return BLAZEN_OK;
     }},
    {"run_create", [](Holder& h) { make_world(h); },
     [](Holder& h) -> blazen_status {
       blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
       options.user_data = &h;
       options.drop = drop_and_let_go;
       EXPECT_NE(blazen_run_create(h.runtime, h.workflow, &options, nullptr, nullptr), BLAZEN_OK);
       return BLAZEN_OK;
     }},
};

// What no single thread can bring about, and why.
const std::map<std::string, std::string> kNeedsAnother = {
    {"blazen_context_has_value", "drops the value where another step replaces it meanwhile"},
    {"blazen_context_has_session", "drops the value where another step replaces it meanwhile"},
    {"blazen_runtime_count",
     "drops what a run had that ends, and loses its last handle, while it is counted"},
};

// ---- the tests ----

// What the calls of a function were seen to do.
struct Seen {
  bool drops = false;
  bool calls = false;
};

void try_row(const Row& row, Seen& seen) {
  SCOPED_TRACE(row.function);
  Watchdog watchdog(row.function, 60);
  Holder holder;
  row.prepare(holder);
  holder.is_armed = true;
  EXPECT_EQ(row.call(holder), BLAZEN_OK);
  EXPECT_EQ(holder.called, 1);
  EXPECT_EQ(holder.called_on, std::this_thread::get_id());
  (holder.was_dropped ? seen.drops : seen.calls) = holder.called == 1;
  blazen_task_cancel(holder.task);
}

TEST(Calls, EveryFunctionDoesWhatItsTagAllows) {
  const std::map<std::string, std::string> tags = read_tags();
  EXPECT_GT(tags.size(), 100U);
  std::map<std::string, Seen> all;
  for (const Row& row : kRows) try_row(row, all[function_of(row, tags)]);
  for (const Row& row : kFurther) try_row(row, all[function_of(row, tags)]);
  for (const auto& [name, tag] : tags) {
    const Seen seen = all[name];
    if (kNeedsAnother.contains(name)) {
      EXPECT_EQ(tag, "drop") << name;
    } else if (tag == "host") {
      EXPECT_TRUE(seen.calls) << name << " is said to call the host, and did not";
    } else if (tag == "drop") {
      EXPECT_TRUE(seen.drops) << name << " is said to call a drop, and did not";
      EXPECT_FALSE(seen.calls) << name << " has called more than a drop";
    } else {
      EXPECT_EQ(tag, "none") << name;
      EXPECT_FALSE(seen.drops || seen.calls) << name << " is said to call nothing";
    }
  }
}

}  // namespace
