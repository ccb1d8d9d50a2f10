// Proves what a child of fork can do with what it has inherited: it releases every kind of handle, and is
// told so by every other call, also where another thread held a lock of the library at the fork; and a child
// that comes back from the callback in which it was forked does nothing of its parent's work, and hangs
// nowhere.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "capi/child.hpp"
#include "capi/world.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

#define SKIP_WHERE_THREADS_CANNOT_FORK() \
  if (!kThreads || HOST_TSAN)            \
  GTEST_SKIP() << (kThreads ? "the sanitizer does not follow a fork of several threads" : "no threads")

constexpr unsigned kPatience_s = 20;

// ---- a lock that is held at the fork ----

// A clock that stops whoever asks it while it holds the lock of a run.
struct Holding {
  std::atomic<bool> holds{false};
  std::atomic<bool> is_inside{false};
  static int64_t tell_time(void* self) {
    auto& clock = *static_cast<Holding*>(self);
    if (clock.holds) {
      clock.is_inside = true;
      while (clock.holds) std::this_thread::yield();
    }
    return 1'700'000'000'000;
  }
};

// A run with a handle of each kind: it has deferred a step, and is subscribed to.
struct Inherited {
  explicit Inherited(Holding& clock) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_PUMP;
    options.clock = Holding::tell_time;
    options.user_data = &clock;
    OK(blazen_runtime_create(&options, runtime.out(), error));
    const auto defer = [](void* self, blazen_context* context, const blazen_event*,
                          blazen_error** error) -> blazen_status {
      const blazen_status status =
          blazen_context_defer(context, static_cast<Inherited*>(self)->invocation.out(), error);
      return status == BLAZEN_OK ? BLAZEN_PENDING : status;
    };
    workflow = WorkflowHandle(make_workflow(defer, this));
    run = RunHandle(make_run(runtime, workflow));
    OK(blazen_run_subscribe(run, stream.out(), error));
    OK(blazen_stream_on_ready(stream, call_token, &ready, drop_token, error));
    OK(blazen_run_start(run, nullptr, error));
    OK(blazen_runtime_poll(runtime, 0, nullptr, error));
    OK(blazen_run_snapshot(run, snapshot.out(), error));
    EXPECT_NE(invocation.get(), nullptr);
    value = ValueHandle(make_live(&object));
    event = EventHandle(make_event("E", value));
  }
  void release_all() {
    invocation.reset();
    stream.reset();
    run.reset();
    snapshot.reset();
    event.reset();
    value.reset();
    workflow.reset();
    runtime.reset();
  }

  Token ready;
  Token object;
  RuntimeHandle runtime;
  WorkflowHandle workflow;
  RunHandle run;
  StreamHandle stream;
  InvocationHandle invocation;
  SnapshotHandle snapshot;
  ValueHandle value;
  EventHandle event;
};

class ForkWithALockHeld : public testing::Test {
 protected:
  // Forks while another thread holds the lock of the run.
  Child in_child_of_a_holder(Inherited& all, const std::function<std::string()>& work) {
    clock_.holds = true;
    std::thread holder([&] { OK(blazen_run_pause(all.run, BLAZEN_PAUSE_NOW, error)); });
    while (!clock_.is_inside) std::this_thread::yield();
    Child child = in_child([&] {
      ::alarm(kPatience_s);
      clock_.holds = false;
      return work();
    });
    clock_.holds = false;
    holder.join();
    return child;
  }
  Holding clock_;
};

TEST_F(ForkWithALockHeld, EveryReleaseReturns) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Inherited all(clock_);
  const Child child = in_child_of_a_holder(all, [&] {
    all.release_all();
    // A value, and what is in it, belongs to no runtime: it goes as ever. What a runtime has stays as it is.
    return "object " + std::to_string(all.object.drops) + ", callback " + std::to_string(all.ready.drops) +
           " and " + std::to_string(all.ready.calls);
  });
  EXPECT_EQ(child.fault(), "");
  EXPECT_EQ(child.said, "object 1, callback 0 and 0");
  // The parent has not noticed.
  OK(blazen_run_abort(all.run, error));
  EXPECT_EQ(all.ready.calls, 1);
}

TEST_F(ForkWithALockHeld, TheReleaseOfAnInvocationAloneReturns) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Inherited all(clock_);
  const Child child = in_child_of_a_holder(all, [&] {
    all.invocation.reset();
    return std::string("returned");
  });
  EXPECT_EQ(child.fault() + child.said, "returned");
}

TEST_F(ForkWithALockHeld, TheReleaseOfAStreamAloneReturns) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Inherited all(clock_);
  const Child child = in_child_of_a_holder(all, [&] {
    all.stream.reset();
    return std::string("returned");
  });
  EXPECT_EQ(child.fault() + child.said, "returned");
}

// Each call, by its name, with what it is to answer.
std::string call_everything(Inherited& all) {
  std::string wrong;
  const auto refused = [&](const char* name, blazen_status status) {
    if (status != BLAZEN_ERROR_WRONG_STATE)
      wrong += std::string(name) + " " + blazen_status_name(status) + "; ";
  };
#define REFUSED(name, ...) refused(#name, blazen_##name(__VA_ARGS__, nullptr))
  blazen_context* context = blazen_invocation_context(all.invocation);
  ErrorHandle cause;
  (void)blazen_error_host(1, BLAZEN_TEXT("no"), nullptr, cause.out());
  RunHandle run;
  StreamHandle stream;
  ValueHandle value;
  EventHandle item;
  SnapshotHandle snapshot;
  KeysHandle keys;
  BatchHandle batch;
  (void)blazen_batch_create(batch.out(), nullptr);
  blazen_question question = BLAZEN_QUESTION_INIT;
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  int64_t delay_ms = 0;
  int32_t number = 0;
  size_t count = 0;
  REFUSED(runtime_poll, all.runtime, 0, nullptr);
  REFUSED(runtime_poll_next, all.runtime, 0, nullptr, &delay_ms);
  REFUSED(runtime_next_timer, all.runtime, &delay_ms);
  REFUSED(runtime_begin_close, all.runtime, call_token, &all.ready, nullptr);
  REFUSED(runtime_count, all.runtime, &counters);
  REFUSED(runtime_set_pool, all.runtime, BLAZEN_TEXT("pool"), 1);
  REFUSED(runtime_descriptor, all.runtime, &number);
  REFUSED(run_create, all.runtime, all.workflow, nullptr, run.out());
  REFUSED(run_resume, all.runtime, all.workflow, all.snapshot, nullptr, run.out());
  REFUSED(workflow_run, all.workflow, all.runtime, nullptr, value.out());
  REFUSED(run_start, all.run, nullptr);
  REFUSED(run_send_event, all.run, all.event, nullptr);
  REFUSED(run_get_value, all.run, BLAZEN_TEXT("k"), value.out(), nullptr);
  REFUSED(run_keys, all.run, BLAZEN_TEXT(""), keys.out());
  REFUSED(run_compare_and_set, all.run, BLAZEN_TEXT("k"), 0, nullptr, nullptr);
  REFUSED(run_apply, all.run, batch);
  REFUSED(run_cancel_invocation, all.run, 1, 1);
  REFUSED(run_pause, all.run, BLAZEN_PAUSE_NOW);
  REFUSED(run_resume_in_place, all.run);
  REFUSED(run_abort, all.run);
  REFUSED(run_close, all.run);
  REFUSED(run_wait, all.run, BLAZEN_FOREVER, nullptr);
  REFUSED(run_wait_until, all.run, 0, BLAZEN_FOREVER, nullptr);
  REFUSED(run_on_done, all.run, [](void*, blazen_run*, blazen_run_state) {}, nullptr, nullptr);
  REFUSED(run_on_state, all.run, 0, [](void*, blazen_run*, blazen_run_state) {}, nullptr, nullptr);
  REFUSED(run_describe, all.run, value.out());
  REFUSED(run_result, all.run, value.out());
  REFUSED(run_elsewhere, all.run, value.out());
  REFUSED(run_dropped, all.run, value.out());
  REFUSED(run_snapshot, all.run, snapshot.out());
  const auto no_piece = [](void*, const void*, size_t, blazen_error**) -> blazen_status { std::abort(); };
  REFUSED(run_snapshot_to, all.run, no_piece, nullptr, nullptr);
  REFUSED(run_respond, all.run, BLAZEN_TEXT("q"), nullptr);
  REFUSED(run_respond_early, all.run, BLAZEN_TEXT("q"), nullptr);
  REFUSED(run_withdraw_question, all.run, BLAZEN_TEXT("q"));
  REFUSED(run_fail_question, all.run, BLAZEN_TEXT("q"), cause);
  REFUSED(run_questions, all.run, value.out());
  REFUSED(run_wants_input, all.run, &number);
  REFUSED(run_subscribe, all.run, stream.out());
  REFUSED(run_subscribe_with, all.run, nullptr, stream.out());
  REFUSED(stream_next, all.stream, BLAZEN_FOREVER, item.out(), nullptr);
  REFUSED(stream_take, all.stream, BLAZEN_FOREVER, item.out(), nullptr, 1, &count);
  REFUSED(stream_on_ready, all.stream, call_token, &all.ready, nullptr);
  REFUSED(stream_cancel_ready, all.stream, &number);
  REFUSED(stream_close, all.stream);
  REFUSED(invocation_complete, all.invocation);
  REFUSED(invocation_fail, all.invocation, cause);
  REFUSED(invocation_finish, blazen_invocation_retain(all.invocation), nullptr);
  REFUSED(context_on_cancel, context, call_token, &all.ready, nullptr);
  REFUSED(context_cancel_descriptor, context, &number);
  REFUSED(context_retry_after, context, 1);
  REFUSED(context_emit_event, context, all.event, nullptr);
  REFUSED(context_send_event, context, all.event, nullptr);
  REFUSED(context_publish, context, all.event);
  REFUSED(context_progress, context, BLAZEN_TEXT("p"), 1, 2);
  REFUSED(context_ask, context, &question, value.out());
  REFUSED(context_set_value, context, BLAZEN_TEXT("k"), nullptr);
  REFUSED(context_set_json, context, BLAZEN_TEXT("k"), BLAZEN_TEXT("1"));
  REFUSED(context_set_bytes, context, BLAZEN_TEXT("k"), "b", 1);
  REFUSED(context_get_value, context, BLAZEN_TEXT("k"), value.out(), nullptr);
  REFUSED(context_read, context, BLAZEN_TEXT("k"), &view);
  REFUSED(context_has_value, context, BLAZEN_TEXT("k"), &number);
  REFUSED(context_remove_value, context, BLAZEN_TEXT("k"), &number);
  REFUSED(context_keys, context, BLAZEN_TEXT(""), keys.out());
  REFUSED(context_clear_values, context);
  REFUSED(context_compare_and_set, context, BLAZEN_TEXT("k"), 0, nullptr, nullptr);
  REFUSED(context_apply, context, batch);
  REFUSED(context_set_session, context, BLAZEN_TEXT("k"), nullptr);
  REFUSED(context_get_session, context, BLAZEN_TEXT("k"), value.out());
  REFUSED(context_has_session, context, BLAZEN_TEXT("k"), &number);
  REFUSED(context_remove_session, context, BLAZEN_TEXT("k"), &number);
  REFUSED(context_session_keys, context, BLAZEN_TEXT(""), keys.out());
#undef REFUSED
  if (blazen_run_state_now(all.run) != BLAZEN_RUN_NONE) wrong += "run_state_now; ";
  if (blazen_run_id(all.run, nullptr) == nullptr) wrong += "run_id; ";
  if (blazen_runtime_close(all.runtime, nullptr) != BLAZEN_OK) wrong += "runtime_close; ";
  return wrong;
}

TEST_F(ForkWithALockHeld, EveryOtherCallSaysThatTheHandleIsTheParents) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Inherited all(clock_);
  const std::string id = blazen_run_id(all.run, nullptr);
  const Child child = in_child_of_a_holder(all, [&] {
    std::string wrong = call_everything(all);
    return id == blazen_run_id(all.run, nullptr) ? wrong : "its id is another";
  });
  EXPECT_EQ(child.fault(), "");
  EXPECT_EQ(child.said, "");
}

// With any lock that there is held at the fork, or none: threads that use everything while others fork.
TEST(Fork, FromAmongThreadsThatUseTheLibraryLeavesReleasesThatReturn) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Watchdog watchdog("FromAmongThreads", 100);
  constexpr int kForks = 60;
  Holding clock;
  Inherited all(clock);
  RuntimeHandle threads(make_runtime(BLAZEN_MODE_THREADS));
  const auto stop = [](void*, blazen_context* context, const blazen_event*, blazen_error** error) {
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  };
  WorkflowHandle workflow(make_workflow(stop));
  std::atomic<bool> over{false};
  std::vector<std::thread> users;
  for (int i = 0; i < 2; ++i) {
    users.emplace_back([&] {
      while (!over) {
        OK(blazen_run_pause(all.run, BLAZEN_PAUSE_NOW, error));
        OK(blazen_run_resume_in_place(all.run, error));
        RunHandle run(make_run(threads, workflow));
        StreamHandle stream;
        OK(blazen_run_subscribe(run, stream.out(), error));
        OK(blazen_run_start(run, nullptr, error));
      }
    });
  }
  for (int i = 0; i < kForks; ++i) {
    const Child child = in_child([&] {
      ::alarm(kPatience_s);
      const std::string wrong = call_everything(all);
      all.release_all();
      threads.reset();
      RuntimeHandle own(make_runtime(BLAZEN_MODE_PUMP));
      ValueHandle result;
      OK(blazen_workflow_run(workflow, own, nullptr, result.out(), error));
      return wrong + std::string(text_of(result));
    });
    ASSERT_EQ(child.fault(), "");
    ASSERT_EQ(child.said, "null");
  }
  over = true;
  for (std::thread& user : users) user.join();
}

// ---- a child that comes back from the callback in which it was forked ----

// Where a callback forks, and what is to happen in the child alone.
struct Forking {
  pid_t parent = ::getpid();
  std::atomic<pid_t> child{0};
  std::atomic<bool> has_forked{false};
  int calls_in_child = 0;

  void fork_once() {
    if (has_forked.exchange(true)) {
      if (::getpid() != parent) ++calls_in_child;
      return;
    }
    const pid_t forked = ::fork();
    if (forked != 0) {
      child = forked;
      return;
    }
    ::alarm(kPatience_s);  // the child comes back, instead of leaving
  }
  // Ends the child: with 0 where it was called for nothing since.
  void leave_where_child(bool is_right) const {
    if (::getpid() != parent) ::_exit(is_right ? calls_in_child : 99);
  }
  void expect_child_ended_well() const {
    ASSERT_GT(child, 0) << "nobody forked";
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_FALSE(WIFSIGNALED(status)) << "signal " << WTERMSIG(status) << " (14: it hung)";
    EXPECT_EQ(WEXITSTATUS(status), 0) << "98: the next step ran in the child; 99: a call did not say so";
  }
};

Forking& forking_of(void* user_data) { return *static_cast<Forking*>(user_data); }

blazen_status fork_in_step(void* self, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
  Forking& forking = forking_of(self);
  if (type_of(event) == "Next") {
    if (::getpid() != forking.parent) ::_exit(98);
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  }
  forking.fork_once();
  return blazen_context_emit(context, BLAZEN_TEXT("Next"), nullptr, error);
}

WorkflowHandle make_forking(Forking& forking) {
  return WorkflowHandle(
      make_workflow(fork_in_step, &forking, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_FAIL, "Next"));
}

void expect_completed(const RunHandle& run) { EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED); }

TEST(ForkInAStep, OnAnEngineThreadEndsTheChildWhereItComesBack) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  static bool exit_handler_ran;  // the child must not run those of its parent
  static const int registered = std::atexit([] {
    if (exit_handler_ran) ::_exit(97);
  });
  ASSERT_EQ(registered, 0);
  exit_handler_ran = true;
  Forking forking;
  WorkflowHandle workflow = make_forking(forking);
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_THREADS));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_start(run, nullptr, error));
  // Not for ever: that would help, on this thread.
  OK(blazen_run_wait(run, 20000, nullptr, error));
  expect_completed(run);
  forking.expect_child_ended_well();
  exit_handler_ran = false;
}

TEST(ForkInAStep, OfAPollComesBackToTheHost) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  Forking forking;
  WorkflowHandle workflow = make_forking(forking);
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_start(run, nullptr, error));
  const blazen_status status = blazen_runtime_poll(runtime, 0, nullptr, nullptr);
  forking.leave_where_child(status == BLAZEN_ERROR_WRONG_STATE &&
                            blazen_run_state_now(run) == BLAZEN_RUN_NONE);
  EXPECT_EQ(status, BLAZEN_OK);
  expect_completed(run);
  forking.expect_child_ended_well();
}

TEST(ForkInAStep, OfAWaitComesBackToTheHost) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  for (const int64_t timeout_ms : {static_cast<int64_t>(BLAZEN_FOREVER), int64_t{20000}}) {
    Forking forking;
    WorkflowHandle workflow = make_forking(forking);
    RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
    RunHandle run(make_run(runtime, workflow));
    OK(blazen_run_start(run, nullptr, error));
    const blazen_status status = blazen_run_wait(run, timeout_ms, nullptr, nullptr);
    forking.leave_where_child(status == BLAZEN_ERROR_WRONG_STATE);
    EXPECT_EQ(status, BLAZEN_OK);
    expect_completed(run);
    forking.expect_child_ended_well();
  }
}

TEST(ForkInAStep, OfAStreamsReaderComesBackToTheHost) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  Forking forking;
  WorkflowHandle workflow = make_forking(forking);
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  RunHandle run(make_run(runtime, workflow));
  StreamHandle stream;
  OK(blazen_run_subscribe(run, stream.out(), error));
  OK(blazen_run_start(run, nullptr, error));
  EventHandle item;
  const blazen_status status = blazen_stream_next(stream, BLAZEN_FOREVER, item.out(), nullptr, nullptr);
  forking.leave_where_child(status == BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(status, BLAZEN_OK);
  forking.expect_child_ended_well();
}

TEST(ForkInAStep, OfAShortRunComesBackToTheHost) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  Forking forking;
  WorkflowHandle workflow = make_forking(forking);
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  ValueHandle result;
  const blazen_status status = blazen_workflow_run(workflow, runtime, nullptr, result.out(), nullptr);
  forking.leave_where_child(status == BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(status, BLAZEN_OK);
  forking.expect_child_ended_well();
}

TEST(ForkInAStep, OfATaskComesBackToTheHost) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  static blazen_task* task;
  Forking forking;
  WorkflowHandle workflow = make_forking(forking);
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.post = [](void*, blazen_task* posted) -> blazen_status {
    task = posted;
    return BLAZEN_OK;
  };
  RuntimeHandle runtime;
  OK(blazen_runtime_create(&options, runtime.out(), error));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_start(run, nullptr, error));
  blazen_task_run(std::exchange(task, nullptr));
  forking.leave_where_child(task == nullptr && blazen_run_state_now(run) == BLAZEN_RUN_NONE);
  blazen_task_run(std::exchange(task, nullptr));
  expect_completed(run);
  forking.expect_child_ended_well();
}

// Other callbacks, on a thread of the host.
TEST(ForkInACallback, ComesBackToTheHostAndCallsNobodyElse) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  Forking forking;
  const auto fork_done = [](void* self, blazen_run*, blazen_run_state) { forking_of(self).fork_once(); };
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  const auto rest = [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
    return BLAZEN_OK;
  };
  WorkflowHandle workflow(make_workflow(rest, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT));
  RunHandle run(make_run(runtime, workflow));
  StreamHandle stream;
  OK(blazen_run_subscribe(run, stream.out(), error));
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_runtime_poll(runtime, 0, nullptr, error));
  for (int i = 0; i < 3; ++i) OK(blazen_run_on_done(run, fork_done, &forking, nullptr, error));
  OK(blazen_stream_on_ready(
      stream, [](void* self) { forking_of(self).fork_once(); }, &forking, nullptr, error));
  (void)blazen_run_abort(run, nullptr);
  forking.leave_where_child(blazen_run_state_now(run) == BLAZEN_RUN_NONE);
  forking.expect_child_ended_well();
}

TEST(ForkInACallback, OfAStreamedSnapshotEndsThereInTheChild) {
  if (HOST_TSAN) GTEST_SKIP() << "the sanitizer does not follow a fork of several threads";
  Forking forking;
  const auto set_big = [](void*, blazen_context* context, const blazen_event*, blazen_error** error) {
    const std::string big(4 << 20, 'b');
    return blazen_context_set_bytes(context, BLAZEN_TEXT("big"), big.data(), big.size(), error);
  };
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  WorkflowHandle workflow(make_workflow(set_big, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_runtime_poll(runtime, 0, nullptr, error));
  const auto fork_once = [](void* self, const void*, size_t, blazen_error**) -> blazen_status {
    forking_of(self).fork_once();
    return BLAZEN_OK;
  };
  const blazen_status status = blazen_run_snapshot_to(run, fork_once, &forking, nullptr, nullptr);
  forking.leave_where_child(status == BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(status, BLAZEN_OK);
  forking.expect_child_ended_well();
}

TEST(ForkInACallback, OnTheThreadThatTellsTheTimeEndsTheChild) {
  SKIP_WHERE_THREADS_CANNOT_FORK();
  Forking forking;
  const auto fork_done = [](void* self, blazen_run*, blazen_run_state) { forking_of(self).fork_once(); };
  BuilderHandle builder;
  WorkflowHandle workflow;
  const auto rest = [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
    return BLAZEN_OK;
  };
  OK(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), error));
  OK(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT(BLAZEN_START_EVENT), rest,
                                      nullptr, nullptr, error));
  OK(blazen_workflow_builder_set_idle(builder, BLAZEN_IDLE_WAIT, error));
  OK(blazen_workflow_builder_set_timeout(builder, 20, error));
  OK(blazen_workflow_builder_build(builder, workflow.out(), error));
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_THREADS));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_on_done(run, fork_done, &forking, nullptr, error));
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_run_wait(run, 20000, nullptr, error));
  OK(blazen_run_close(run, error));
  forking.expect_child_ended_well();
}

}  // namespace
