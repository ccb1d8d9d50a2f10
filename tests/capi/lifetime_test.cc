// Proves when things end: handles in any order, drops exactly once and under no lock, releases inside
// callbacks, and what a forked child may do.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <regex>

#include "capi/child.hpp"
#include "capi/world.hpp"
#include "support/beside.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

Tokens<65536> tokens;

blazen_status stop(void*, blazen_context* context, const blazen_event* event, blazen_error** error) {
  return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), blazen_event_value(event), error);
}

// ---- releases in every order ----

// Everything that hangs together, with a token behind each thing that has a drop.
struct Family {
  static constexpr int kMembers = 9;
  std::array<std::function<void()>, kMembers> release;
  size_t first_token = tokens.used();

  explicit Family(blazen_mode mode) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = mode;
    options.threads = 1;
    options.user_data = tokens.take("runtime");
    options.drop = drop_token;
    OK(blazen_runtime_create(&options, &runtime, error));
    OK(blazen_workflow_builder_create("w", 1, &builder, error));
    OK(blazen_workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), ask, this, nullptr,
                                        error));
    OK(blazen_workflow_builder_add_step(builder, "t", 1, "T", 1, stop, tokens.take("step"), drop_token,
                                        error));
    OK(blazen_workflow_builder_build(builder, &workflow, error));
    OK(blazen_run_create(runtime, workflow, nullptr, &run, error));
    OK(blazen_run_subscribe(run, &stream, error));
    const auto done = [](void* data, blazen_run*, blazen_run_state) { call_token(data); };
    OK(blazen_run_on_done(run, done, tokens.take("on_done"), drop_token, error));
    OK(blazen_stream_on_ready(stream, call_token, tokens.take("on_ready"), drop_token, error));
    OK(blazen_run_start(run, nullptr, error));
    if (mode == BLAZEN_MODE_PUMP || !kThreads) OK(blazen_runtime_poll(runtime, 0, nullptr, error));
    while (invocation.load() == nullptr) std::this_thread::yield();
    OK(blazen_run_snapshot(run, &snapshot, error));
    value = make_live(tokens.take("value"));
    event = make_event("T", value);
    OK(blazen_context_set_session(blazen_invocation_context(invocation), "k", 1, value, error));
    release = {[this] { blazen_value_release(value); },
               [this] { blazen_event_release(event); },
               [this] { blazen_workflow_builder_release(builder); },
               [this] { blazen_workflow_release(workflow); },
               [this] { blazen_runtime_release(runtime); },
               [this] { blazen_run_release(run); },
               [this] { blazen_stream_release(stream); },
               [this] { blazen_snapshot_release(snapshot); },
               [this] { blazen_invocation_release(invocation); }};
  }
  // What was not dropped once by now.
  std::string fault() const {
    std::string all;
    for (size_t i = first_token; i < tokens.used(); ++i) {
      if (tokens[i].drops != 1)
        all += std::string(tokens[i].name) + ": " + std::to_string(tokens[i].drops) + " drops; ";
      if (tokens[i].calls_after_drop != 0) all += std::string(tokens[i].name) + ": called after its drop; ";
    }
    return all;
  }

 private:
  static blazen_status ask(void* user_data, blazen_context* context, const blazen_event*,
                           blazen_error** error) {
    blazen_invocation* deferred = nullptr;
    const blazen_status status = blazen_context_defer(context, &deferred, error);
    static_cast<Family*>(user_data)->invocation.store(deferred);
    return status == BLAZEN_OK ? BLAZEN_PENDING : status;
  }
  blazen_value* value = nullptr;
  blazen_event* event = nullptr;
  blazen_workflow_builder* builder = nullptr;
  blazen_workflow* workflow = nullptr;
  blazen_runtime* runtime = nullptr;
  blazen_run* run = nullptr;
  blazen_stream* stream = nullptr;
  blazen_snapshot* snapshot = nullptr;
  std::atomic<blazen_invocation*> invocation{nullptr};
};

std::string order_of(const std::array<int, Family::kMembers>& order) {
  std::string text;
  for (const int member : order) text += std::to_string(member);
  return "released in the order " + text;
}

// What is released last keeps alive what it needs; nothing outlives the last release.
TEST(Lifetime, HandlesMayBeReleasedInAnyOrder) {
  Watchdog watchdog("HandlesMayBeReleasedInAnyOrder", 60);
  // All orders of the five that keep one another alive; the four others in between, in orders that vary.
  std::array<int, 5> core = {3, 4, 5, 6, 8};
  uint32_t seed = 1;
  do {
    std::array<int, Family::kMembers> order{};
    std::copy(core.begin(), core.end(), order.begin());
    size_t size = core.size();
    for (const int other : {0, 1, 2, 7}) {
      seed = seed * 1664525 + 1013904223;
      const size_t at = (seed >> 16) % (size + 1);
      std::copy_backward(order.begin() + static_cast<long>(at), order.begin() + static_cast<long>(size),
                         order.begin() + static_cast<long>(size) + 1);
      order[at] = other;
      ++size;
    }
    for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
      Family family(mode);
      for (const int member : order) family.release[static_cast<size_t>(member)]();
      ASSERT_EQ(family.fault(), "") << order_of(order) << " in mode " << mode;
    }
  } while (std::next_permutation(core.begin(), core.end()));
}

TEST(Lifetime, ChildrenKeepTheirParentsAlive) {
  Token* token = tokens.take("step");
  blazen_stream* stream = nullptr;
  blazen_invocation* invocation = nullptr;
  Token* runtime_token = tokens.take("runtime");
  {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_PUMP;
    options.user_data = runtime_token;
    options.drop = drop_token;
    RuntimeHandle runtime;
    BuilderHandle builder;
    WorkflowHandle workflow;
    RunHandle run;
    OK(blazen_runtime_create(&options, runtime.out(), error));
    OK(blazen_workflow_builder_create("w", 1, builder.out(), error));
    static blazen_invocation** place = nullptr;
    place = &invocation;
    const auto ask = [](void*, blazen_context* context, const blazen_event*,
                        blazen_error** error) -> blazen_status {
      return blazen_context_defer(context, place, error) == BLAZEN_OK ? BLAZEN_PENDING : BLAZEN_ERROR_HOST;
    };
    OK(blazen_workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), ask, token,
                                        drop_token, error));
    OK(blazen_workflow_builder_build(builder, workflow.out(), error));
    OK(blazen_run_create(runtime, workflow, nullptr, run.out(), error));
    OK(blazen_run_subscribe(run, &stream, error));
    OK(blazen_run_start(run, nullptr, error));
    OK(blazen_runtime_poll(runtime, 0, nullptr, error));
  }
  // An invocation is as good as a handle of the run, the workflow and the runtime.
  ASSERT_NE(invocation, nullptr);
  EXPECT_EQ(runtime_token->drops, 0);
  EXPECT_EQ(token->drops, 0);
  blazen_context* context = blazen_invocation_context(invocation);
  EXPECT_STREQ(blazen_context_step_name(context, nullptr), "s");
  EXPECT_EQ(type_of(blazen_invocation_event(invocation)), BLAZEN_START_EVENT);
  OK(blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), "7", 1, error));
  OK(blazen_invocation_complete(invocation, error));
  // The event and the context are the invocation's, completed or not.
  EXPECT_EQ(type_of(blazen_invocation_event(invocation)), BLAZEN_START_EVENT);
  EXPECT_EQ(blazen_context_set_json(context, "k", 1, "1", 1, nullptr), BLAZEN_ERROR_WRONG_STATE);
  blazen_invocation_release(invocation);
  EventHandle item;
  OK(blazen_stream_next(stream, 0, item.out(), nullptr, error));
  EXPECT_EQ(type_of(item), BLAZEN_STREAM_END);
  EXPECT_EQ(runtime_token->drops, 0);
  blazen_stream_release(stream);
  EXPECT_EQ(runtime_token->drops, 1);
  EXPECT_EQ(token->drops, 1);
}

// ---- the last release inside a callback ----

// A run inside a run is found by its id, and its handle keeps the whole tree, whatever goes first.
TEST(Lifetime, AHandleOfAChildKeepsTheWholeTree) {
  for (int last = 0; last < 3; ++last) {
    InvocationHandle invocation;
    const auto wait = [](void* user_data, blazen_context* context, const blazen_event*,
                         blazen_error** error) {
      auto& deferred = *static_cast<InvocationHandle*>(user_data);
      const blazen_status status = blazen_context_defer(context, deferred.out(), error);
      return status == BLAZEN_OK ? static_cast<blazen_status>(BLAZEN_PENDING) : status;
    };
    Token* step = tokens.take("a step inside");
    RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
    WorkflowHandle inner(make_workflow(wait, &invocation));
    BuilderHandle builder;
    WorkflowHandle outer;
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    options.output = {stop, step, drop_token, 0};
    OK(blazen_workflow_builder_create("outer", 5, builder.out(), error));
    OK(blazen_workflow_builder_add_workflow(builder, "child", 5, BLAZEN_TEXT(BLAZEN_START_EVENT), inner,
                                            &options, error));
    OK(blazen_workflow_builder_build(builder, outer.out(), error));
    RunHandle run(make_run(runtime, outer));
    StreamHandle stream;
    blazen_stream_options all = BLAZEN_STREAM_OPTIONS_INIT;
    all.lifecycle = 1;
    OK(blazen_run_subscribe_with(run, &all, stream.out(), error));
    OK(blazen_run_start(run, nullptr, error));
    OK(blazen_runtime_poll(runtime, 0, nullptr, error));
    ASSERT_NE(invocation.get(), nullptr);
    RunHandle child;
    while (child.get() == nullptr) {
      EventHandle item;
      blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
      OK(blazen_stream_next(stream, 0, item.out(), nullptr, error));
      ASSERT_EQ(blazen_event_read(item, &view), 1);
      if (view.child_run_id == nullptr) continue;
      OK(blazen_run_child(run, view.child_run_id, view.child_run_id_length, child.out(), error));
      size_t length = 0;
      EXPECT_EQ(std::string_view(view.child_run_id, view.child_run_id_length), blazen_run_id(child, &length));
    }
    builder.reset();
    outer.reset();
    inner.reset();
    stream.reset();
    if (last == 0) {  // the child's: the tree goes on, and ends with it
      runtime.reset();
      run.reset();
      EXPECT_EQ(blazen_run_state_now(child), BLAZEN_RUN_RUNNING);
      EXPECT_EQ(step->drops, 0);
      invocation.reset();
      child.reset();
    } else if (last == 1) {  // the invocation's, whose run is gone
      child.reset();
      run.reset();
      runtime.reset();
      invocation.reset();
    } else {  // the top's: a child that has ended is one all the same
      invocation.reset();
      OK(blazen_runtime_poll(runtime, 0, nullptr, error));
      EXPECT_EQ(blazen_run_state_now(child), BLAZEN_RUN_FAILED);
      runtime.reset();
      child.reset();
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_FAILED);
      run.reset();
    }
    EXPECT_EQ(step->drops, 1) << last;
  }
}

TEST(Lifetime, TheLastHandleOfARuntimeMayGoInsideACallback) {
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
    for (const bool in_done : {false, true}) {
      Watchdog watchdog("TheLastHandleOfARuntimeMayGoInsideACallback", 20);
      static blazen_runtime* runtime = nullptr;
      static blazen_run* run = nullptr;
      static blazen_stream* stream = nullptr;
      Token* token = tokens.take("runtime");
      blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
      options.mode = mode;
      options.threads = 2;
      options.user_data = token;
      options.drop = drop_token;
      OK(blazen_runtime_create(&options, &runtime, error));
      // A call of the host needs its handle until it returns: blazen_run_start too, whose run may end
      // meanwhile.
      static std::atomic<bool> has_started{false};
      has_started = false;
      const auto let_go = [] {
        while (!has_started) std::this_thread::yield();
        blazen_stream_release(stream);
        blazen_run_release(run);
        blazen_runtime_release(runtime);
      };
      static void (*in_body)() = nullptr;
      in_body = in_done ? nullptr : +let_go;
      const auto body = [](void*, blazen_context* context, const blazen_event*,
                           blazen_error** error) -> blazen_status {
        if (in_body != nullptr) in_body();
        return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
      };
      WorkflowHandle workflow(make_workflow(body));
      run = make_run(runtime, workflow);
      OK(blazen_run_subscribe(run, &stream, error));
      Token* done = tokens.take("on_done");
      static void (*in_callback)() = nullptr;
      in_callback = in_done ? +let_go : nullptr;
      OK(blazen_run_on_done(
          run,
          [](void* data, blazen_run*, blazen_run_state) {
            call_token(data);
            if (in_callback != nullptr) in_callback();
          },
          done, drop_token, error));
      blazen_runtime* polled = mode == BLAZEN_MODE_PUMP || !kThreads ? runtime : nullptr;
      // So does the poll: it holds one more.
      RuntimeHandle keep(blazen_runtime_retain(polled));
      OK(blazen_run_start(run, nullptr, error));
      has_started = true;
      if (polled != nullptr) OK(blazen_runtime_poll(polled, 0, nullptr, error));
      keep.reset();
      while (token->drops == 0) std::this_thread::yield();
      EXPECT_EQ(token->drops, 1);
      EXPECT_EQ(done->drops, 1);
    }
  }
}

// ---- drops are outside of every lock ----

class DropsUnderNoLock : public testing::Test {
 protected:
  void SetUp() override {
    drops_under_lock = 0;
    lock_probe = &probe_;
  }
  void TearDown() override {
    lock_probe = nullptr;
    EXPECT_EQ(drops_under_lock, 0) << "dropped under the lock of the run: " << dropped_under_lock.load();
  }
  // Runs one step to the end of the run, with the probe on it; the step's tokens have all gone then.
  void run_with(Body body, blazen_unhandled unhandled = BLAZEN_UNHANDLED_FAIL, bool with_stream = false,
                blazen_idle idle = BLAZEN_IDLE_FAIL) {
    Watchdog watchdog("DropsUnderNoLock", 20);
    RuntimeHandle runtime(make_runtime());
    WorkflowHandle workflow(make_workflow(body, nullptr, unhandled, idle, "Again"));
    RunHandle run(make_run(runtime, workflow));
    StreamHandle stream;
    if (with_stream) OK(blazen_run_subscribe(run, stream.out(), error));
    probe_.watch(run);
    OK(blazen_run_start(run, nullptr, error));
    OK(blazen_runtime_poll(runtime, 0, nullptr, error));
    while (with_stream) {
      EventHandle item;
      OK(blazen_stream_next(stream, 0, item.out(), nullptr, error));
      if (type_of(item) == BLAZEN_STREAM_END) break;
    }
    OK(blazen_run_close(run, error));
    probe_.watch(nullptr);
  }
  LockProbe probe_;
};

blazen_status emit_live(blazen_context* context, const char* type, const char* name) {
  ValueHandle value(make_live(tokens.take(name)));
  return blazen_context_emit(context, type, std::strlen(type), value, nullptr);
}

TEST_F(DropsUnderNoLock, OfAnEventThatIsIgnored) {
  run_with([](void*, blazen_context* context, const blazen_event*,
              blazen_error**) { return emit_live(context, "Nobody", "an event that is ignored"); },
           BLAZEN_UNHANDLED_IGNORE);
}

TEST_F(DropsUnderNoLock, OfAnEventThatFailsTheRun) {
  run_with([](void*, blazen_context* context, const blazen_event*, blazen_error**) {
    return emit_live(context, "Nobody", "an event that fails the run");
  });
}

TEST_F(DropsUnderNoLock, OfAnEventForAStreamThatNobodyReads) {
  for (const bool with_stream : {false, true}) {
    run_with([](void*, blazen_context* context, const blazen_event*,
                blazen_error**) { return emit_live(context, "Nobody", "an event for the stream"); },
             BLAZEN_UNHANDLED_STREAM, with_stream);
  }
}

TEST_F(DropsUnderNoLock, OfWhatIsPublished) {
  for (const bool with_stream : {false, true}) {
    run_with(
        [](void*, blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
          ValueHandle value(make_live(tokens.take("a published value")));
          EventHandle event(make_event("Item", value));
          value.reset();
          return blazen_context_publish(context, event, error);
        },
        BLAZEN_UNHANDLED_FAIL, with_stream);
  }
}

TEST_F(DropsUnderNoLock, OfEventsThatAreQueuedWhenTheRunEnds) {
  run_with([](void*, blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
    (void)emit_live(context, "Again", "a queued event");
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  });
}

TEST_F(DropsUnderNoLock, OfTheDetailOfAFailureThatComesTooLate) {
  run_with([](void*, blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
    // The run ends while this body runs; what it answers then, nobody will hear.
    EventHandle last(make_event(BLAZEN_STOP_EVENT));
    OK(blazen_context_send_event(context, last, nullptr, error));
    ValueHandle detail(make_live(tokens.take("the detail of a late failure")));
    return blazen_error_host(1, BLAZEN_TEXT("late"), detail, error);
  });
}

TEST_F(DropsUnderNoLock, OfADeferredFailureThatComesTooLate) {
  run_with([](void*, blazen_context* context, const blazen_event*, blazen_error**) -> blazen_status {
    InvocationHandle invocation;
    OK(blazen_context_defer(context, invocation.out(), error));
    {
      ErrorHandle why;
      ValueHandle detail(make_live(tokens.take("the detail of a deferred failure")));
      (void)blazen_error_host(1, BLAZEN_TEXT("late"), detail, why.out());
      OK(blazen_invocation_fail(invocation, why, error));
    }
    EventHandle last(make_event(BLAZEN_STOP_EVENT));
    OK(blazen_context_send_event(context, last, nullptr, error));
    return BLAZEN_PENDING;
  });
}

TEST_F(DropsUnderNoLock, OfValuesOfTheSessionThatAreReplaced) {
  run_with([](void*, blazen_context* context, const blazen_event*, blazen_error**) -> blazen_status {
    for (int i = 0; i < 3; ++i) {
      ValueHandle value(make_live(tokens.take("a session value")));
      OK(blazen_context_set_session(context, "k", 1, value, error));
    }
    OK(blazen_context_remove_session(context, "k", 1, nullptr, error));
    const auto adopt = [&](const char* key) {
      ValueHandle value;
      OK(blazen_value_adopt(BLAZEN_TAG_BYTES, "x", 1, nullptr, 0, tokens.take("a state value"), drop_token,
                            value.out(), error));
      OK(blazen_context_set_value(context, key, 1, value, error));
    };
    adopt("a");
    adopt("a");
    adopt("b");
    BatchHandle batch;
    OK(blazen_batch_create(batch.out(), error));
    OK(blazen_batch_remove(batch, "a", 1, error));
    OK(blazen_batch_remove(batch, "b", 1, error));
    OK(blazen_context_apply(context, batch, error));
    adopt("c");
    OK(blazen_context_clear_values(context, error));
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, nullptr);
  });
}

TEST_F(DropsUnderNoLock, OfTheItemsOfASlowStream) {
  Watchdog watchdog("OfTheItemsOfASlowStream", 20);
  const auto flood = [](void*, blazen_context* context, const blazen_event*,
                        blazen_error** error) -> blazen_status {
    for (int i = 0; i < 10; ++i) {
      ValueHandle value(make_live(tokens.take("an item that was missed")));
      EventHandle event(make_event("Item", value));
      value.reset();
      if (const blazen_status status = blazen_context_publish(context, event, error)) return status;
    }
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  };
  BuilderHandle builder;
  WorkflowHandle workflow;
  OK(blazen_workflow_builder_create("w", 1, builder.out(), error));
  OK(blazen_workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), flood, nullptr,
                                      nullptr, error));
  OK(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_STREAM_ITEMS, 3, error));
  OK(blazen_workflow_builder_build(builder, workflow.out(), error));
  RuntimeHandle runtime(make_runtime());
  RunHandle run(make_run(runtime, workflow));
  StreamHandle stream;
  StreamHandle slow;
  OK(blazen_run_subscribe(run, stream.out(), error));
  OK(blazen_run_subscribe(run, slow.out(), error));
  probe_.watch(run);
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_runtime_poll(runtime, 0, nullptr, error));
  EventHandle item;
  OK(blazen_stream_next(stream, 0, item.out(), nullptr, error));
  EXPECT_EQ(type_of(item), BLAZEN_STREAM_GAP);
  OK(blazen_stream_next(stream, 0, item.out(), nullptr, error));
  item.reset();
  OK(blazen_stream_close(slow, error));
  OK(blazen_stream_close(stream, error));
  probe_.watch(nullptr);
}

// ---- drops exactly once ----

// Each function that takes a drop, failing in each way that it can; the one that succeeds drops at its end.
// (That the table of bad_input_test.cc has a wrong argument for each makes this the summary.)
TEST(Drops, OfARegistrationThatFailsRunsExactlyOnce) {
  World world;
  const auto failing = [&](const char* name, const std::function<blazen_status(Token*)>& call) {
    Token* token = tokens.take(name);
    EXPECT_NE(call(token), BLAZEN_OK) << name;
    EXPECT_EQ(token->drops, 1) << name;
    EXPECT_EQ(token->calls, 0) << name;
  };
  blazen_value* value = nullptr;
  blazen_runtime* runtime = nullptr;
  const auto done = [](void* data, blazen_run*, blazen_run_state) { call_token(data); };
  failing("live", [&](Token* t) { return blazen_value_live(t, "\xff", 1, drop_token, &value, nullptr); });
  failing("adopt", [&](Token* t) {
    return blazen_value_adopt(BLAZEN_TAG_JSON, "{", 1, nullptr, 0, t, drop_token, &value, nullptr);
  });
  failing("add_step", [&](Token* t) {
    return blazen_workflow_builder_add_step(world.builder, "", 0, "T", 1, stop, t, drop_token, nullptr);
  });
  failing("on_done", [&](Token* t) { return blazen_run_on_done(nullptr, done, t, drop_token, nullptr); });
  failing("on_ready",
          [&](Token* t) { return blazen_stream_on_ready(nullptr, call_token, t, drop_token, nullptr); });
  Token* first = tokens.take("on_ready, first");
  OK(blazen_stream_on_ready(world.stream, call_token, first, drop_token, error));
  failing("on_ready, second",
          [&](Token* t) { return blazen_stream_on_ready(world.stream, call_token, t, drop_token, nullptr); });
  EXPECT_EQ(first->drops, 0);
  failing("runtime", [&](Token* t) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = 99;
    options.user_data = t;
    options.drop = drop_token;
    return blazen_runtime_create(&options, &runtime, nullptr);
  });
}

TEST(Drops, OfAStepRunWithTheLastWorkflowThatHasIt) {
  Token* token = tokens.take("step");
  blazen_workflow_builder* builder = nullptr;
  blazen_workflow* workflows[2] = {};
  OK(blazen_workflow_builder_create("w", 1, &builder, error));
  OK(blazen_workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), stop, token,
                                      drop_token, error));
  OK(blazen_workflow_builder_build(builder, &workflows[0], error));
  OK(blazen_workflow_builder_build(builder, &workflows[1], error));
  blazen_workflow_release(workflows[0]);
  blazen_workflow_builder_release(builder);
  EXPECT_EQ(token->drops, 0);
  blazen_workflow_release(workflows[1]);
  EXPECT_EQ(token->drops, 1);
}

// A run that could not be made keeps nothing of its runtime: that closes with its last handle.
blazen_mapper mapper(Token* token) { return {stop, token, drop_token, 0}; }

// A builder, what is built of it, and what that is a step or a stage of, have one decision together.
TEST(Drops, OfADecisionRunsWithTheLastWorkflowThatHasIt) {
  Token* input = tokens.take("input");
  Token* condition = tokens.take("condition");
  BuilderHandle builder;
  WorkflowHandle inner;
  blazen_child_options as_step = BLAZEN_CHILD_OPTIONS_INIT;
  as_step.input = mapper(input);
  as_step.output_type = BLAZEN_STOP_EVENT;
  as_step.output_type_length = std::strlen(BLAZEN_STOP_EVENT);
  OK(blazen_workflow_builder_create("w", 1, builder.out(), error));
  OK(blazen_workflow_builder_add_workflow(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), nullptr, &as_step,
                                          error));
  OK(blazen_workflow_builder_build(builder, inner.out(), error));
  builder.reset();
  PipelineBuilderHandle pipeline;
  WorkflowHandle outer;
  blazen_stage_options as_stage = BLAZEN_STAGE_OPTIONS_INIT;
  as_stage.condition = mapper(condition);
  OK(blazen_pipeline_builder_create("p", 1, pipeline.out(), error));
  OK(blazen_pipeline_builder_add_stage(pipeline, "stage", 5, inner, &as_stage, error));
  OK(blazen_pipeline_builder_build(pipeline, outer.out(), error));
  pipeline.reset();
  inner.reset();
  EXPECT_EQ(input->drops, 0);
  EXPECT_EQ(condition->drops, 0);
  outer.reset();
  EXPECT_EQ(input->drops, 1);
  EXPECT_EQ(condition->drops, 1);
}

TEST(Drops, OfARuntimeRunsAlthoughAResumeFailed) {
  Watchdog watchdog("OfARuntimeRunsAlthoughAResumeFailed", 20);
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS, BLAZEN_MODE_EXECUTOR}) {
    World world;
    WorkflowHandle another(make_workflow(stop));
    Token* token = tokens.take("runtime");
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = mode;
    options.threads = 1;
    options.user_data = token;
    options.drop = drop_token;
    options.post = [](void*, blazen_task*) -> blazen_status { return BLAZEN_OK; };
    RuntimeHandle runtime;
    OK(blazen_runtime_create(&options, runtime.out(), error));
    RunHandle run;
    EXPECT_EQ(blazen_run_resume(runtime, another, world.snapshot, nullptr, run.out(), nullptr),
              BLAZEN_ERROR_SNAPSHOT_MISMATCH);
    runtime.reset();
    EXPECT_EQ(token->drops, 1) << "mode " << mode;
  }
}

// Between the tick that makes an item available and the callback for it, the host's own code may run: a drop.
// What it registers there is a callback of its own, and not the one that is about to be called.
TEST(Drops, OfACallbackThatIsReplacedWhileItIsAboutToBeCalled) {
  Watchdog watchdog("OfACallbackThatIsReplacedWhileItIsAboutToBeCalled", 20);
  static blazen_stream* the_stream = nullptr;
  static Token* second = nullptr;
  static blazen_status registered = BLAZEN_PENDING;
  Token* first = tokens.take("on_ready, first");
  second = tokens.take("on_ready, second");
  const auto again = [](void*) {
    registered = blazen_stream_on_ready(the_stream, call_token, second, drop_token, nullptr);
  };
  static blazen_drop_fn on_drop = nullptr;
  on_drop = again;
  const auto body = [](void*, blazen_context* context, const blazen_event*,
                       blazen_error** error) -> blazen_status {
    // Queued when the run ends, and dropped with it.
    ValueHandle value;
    OK(blazen_value_live(&on_drop, "x", 1, on_drop, value.out(), error));
    EventHandle again_event(make_event("Again", value));
    OK(blazen_context_send_event(context, again_event, nullptr, error));
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  };
  RuntimeHandle runtime(make_runtime());
  WorkflowHandle workflow(make_workflow(body, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_FAIL, "Again"));
  RunHandle run(make_run(runtime, workflow));
  StreamHandle stream;
  OK(blazen_run_subscribe(run, stream.out(), error));
  the_stream = stream;
  OK(blazen_stream_on_ready(stream, call_token, first, drop_token, error));
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_runtime_poll(runtime, 0, nullptr, error));
  EXPECT_NE(registered, BLAZEN_PENDING) << "the drop ran";
  EXPECT_EQ(first->calls, 1);
  EXPECT_EQ(first->drops, 1);
  EXPECT_EQ(second->calls, registered == BLAZEN_OK ? 1 : 0);
  EXPECT_EQ(second->drops, 1);
  stream.reset();
  run.reset();
  runtime.reset();
  EXPECT_EQ(first->drops, 1);
  EXPECT_EQ(second->drops, 1);
}

// ---- closing ----

// Law 5: what was pending got CANCELLED, and nobody waits for ever for a run that never started.
TEST(Close, OfARuntimeEndsTheRunsThatWereNeverStarted) {
  Watchdog watchdog("OfARuntimeEndsTheRunsThatWereNeverStarted", 20);
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
    RuntimeHandle runtime(make_runtime(mode));
    WorkflowHandle workflow(make_workflow(stop));
    RunHandle run(make_run(runtime, workflow));
    Token* token = tokens.take("on_done");
    const auto done = [](void* data, blazen_run*, blazen_run_state) { call_token(data); };
    OK(blazen_run_on_done(run, done, token, drop_token, error));
    OK(blazen_runtime_close(runtime, error));
    OK(blazen_runtime_close(runtime, error));
    EXPECT_EQ(token->calls, 1);
    EXPECT_EQ(token->drops, 1);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
    EXPECT_EQ(blazen_run_start(run, nullptr, nullptr), BLAZEN_ERROR_CANCELLED);
    blazen_run_state state = BLAZEN_RUN_NONE;
    EXPECT_EQ(blazen_run_wait(run, 100, &state, nullptr), BLAZEN_OK);
    EXPECT_EQ(state, BLAZEN_RUN_CANCELLED);
  }
}

// A closed stream has something to give at once, its end: who asks to be told of it is told, or refused.
TEST(Close, OfAStreamAnswersOnReady) {
  World world;
  OK(blazen_stream_close(world.stream, error));
  Token* token = tokens.take("on_ready of a closed stream");
  const blazen_status status = blazen_stream_on_ready(world.stream, call_token, token, drop_token, nullptr);
  EXPECT_EQ(token->drops, 1) << "a registration that can never be served is still held";
  EXPECT_EQ(token->calls, status == BLAZEN_OK ? 1 : 0);
}

// ---- fork ----

bool is_uuid_4(const std::string& id) {
  static const std::regex form("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  return std::regex_match(id, form);
}

std::string run_in(blazen_mode mode) {
  RuntimeHandle runtime(make_runtime(mode));
  WorkflowHandle workflow(make_workflow(stop));
  ValueHandle result;
  ValueHandle input(make_json("42"));
  OK(blazen_workflow_run(workflow, runtime, input, result.out(), error));
  if (text_of(result) != "42") return "no result";
  RunHandle run(make_run(runtime, workflow));
  return blazen_run_id(run, nullptr);
}

void expect_child(const Child& child, const std::string& parent_id) {
  EXPECT_EQ(child.fault(), "");
  EXPECT_TRUE(is_uuid_4(child.said)) << child.said;
  EXPECT_TRUE(is_uuid_4(parent_id)) << parent_id;
  EXPECT_NE(child.said, parent_id);
}

// The pool of random bytes of the parent's runtime is not the child's, should the child be let to use it at
// all.
TEST(Fork, RunIdsOfParentAndChildDiffer) {
  RuntimeHandle runtime(make_runtime());
  WorkflowHandle workflow(make_workflow(stop));
  RunHandle before(make_run(runtime, workflow));  // the pool is filled
  const Child child = in_child([&] {
    RunHandle inherited;
    (void)blazen_run_create(runtime, workflow, nullptr, inherited.out(), nullptr);
    if (inherited.get() != nullptr) return std::string(blazen_run_id(inherited, nullptr));
    RuntimeHandle own(make_runtime());
    RunHandle run(make_run(own, workflow));
    return std::string(blazen_run_id(run, nullptr));
  });
  RunHandle run(make_run(runtime, workflow));
  expect_child(child, blazen_run_id(run, nullptr));
}

enum class Parent { rests, waits, works };
void PrintTo(Parent parent, std::ostream* to) { *to << static_cast<int>(parent); }
class ForkOf : public testing::TestWithParam<std::tuple<blazen_mode, Parent>> {};

// With workers asleep in the parent, and, where it says so, a thread in blazen_run_wait, or a worker in the
// middle of a step: none of them is in the child.
TEST_P(ForkOf, AChildReleasesWhatItInheritedAndHasARuntimeOfItsOwn) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  const auto [mode, parent] = GetParam();
  if (!kThreads && parent != Parent::rests) GTEST_SKIP() << "a library without threads";
  static std::atomic<bool> may_end{false};
  static std::atomic<bool> works{false};
  may_end = parent != Parent::works;
  works = false;
  const auto body = [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
    works = true;
    while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return BLAZEN_OK;
  };
  RuntimeHandle runtime(make_runtime(mode));
  WorkflowHandle workflow(make_workflow(body, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT));
  RunHandle run(make_run(runtime, workflow));
  StreamHandle stream;
  OK(blazen_run_subscribe(run, stream.out(), error));
  OK(blazen_run_start(run, nullptr, error));
  bt::Beside second([&, how = parent] {
    // Whoever polls is a worker too.
    if (how == Parent::works || !works) (void)blazen_runtime_poll(runtime, 0, nullptr, nullptr);
    if (how == Parent::waits) (void)blazen_run_wait(run, 60000, nullptr, nullptr);
  });
  while (!works || (may_end && blazen_run_state_now(run) != BLAZEN_RUN_WAITING)) std::this_thread::yield();
  if (parent == Parent::waits) EXPECT_FALSE(second.returns()) << "it has to sleep in its wait";
  const Child child = in_child([&, which = mode] {
    may_end = true;
    stream.reset();
    run.reset();
    workflow.reset();
    runtime.reset();
    return run_in(which);
  });
  may_end = true;
  expect_child(child, blazen_run_id(run, nullptr));
  // The parent has not noticed.
  OK(blazen_run_close(run, error));
  second.join();
}

std::string name_of(const testing::TestParamInfo<std::tuple<blazen_mode, Parent>>& info) {
  static const char* const names[] = {"Rests", "Waits", "Works"};
  return std::string(std::get<0>(info.param) == BLAZEN_MODE_PUMP ? "Pump" : "Threads") +
         names[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Modes, ForkOf,
                         testing::Combine(testing::Values(BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS),
                                          testing::Values(Parent::rests, Parent::waits, Parent::works)),
                         name_of);

}  // namespace
