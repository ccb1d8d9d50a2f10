// Time-outs, delays, retries and cancellation. Time is the test's own, except where the engine's own threads
// have to wake up.
#include <poll.h>

#include "support/beside.hpp"
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Timers : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Timers, testing::ValuesIn(ways()), way_name);

bool within_patience(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A step that is pending until the test lets it go.
struct Holder {
  std::mutex lock;
  std::vector<Invocation> held;
  std::atomic<int> count{0};
  blazen_status operator()(Ctx& ctx) {
    std::lock_guard guard(lock);
    held.push_back(ctx.defer());
    ++count;
    return BLAZEN_PENDING;
  }
};

// ------------------------------------------------------------------------------------------------ of the run

TEST_P(Timers, TheTimeOfARun) {
  for (const int64_t timeout_ms : {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{BLAZEN_TIME_MS_MAX}}) {
    Engine engine(GetParam(), &clock_);
    Holder holder;
    Spec spec;
    spec.timeout_ms = timeout_ms;
    spec.start([&](Ctx& ctx) { return holder(ctx); });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
    const int64_t wanted_ms = timeout_ms == -1 ? 300'000 : timeout_ms;
    EXPECT_EQ(engine.next_timer(), wanted_ms == 0 ? -1 : wanted_ms);
    if (wanted_ms == 0) {
      engine.pass(BLAZEN_TIME_MS_MAX);
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
      MUST(blazen_run_abort(run, e));
    } else {
      engine.pass(wanted_ms - 1);
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
      engine.pass(1);
      const Outcome end = outcome(run);
      EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT) << end.text();
      EXPECT_TRUE(end.error.says(std::to_string(wanted_ms) + " ms")) << end.text();
      EXPECT_TRUE(end.error.says("in flight: 'start'")) << end.text();
    }
    EXPECT_EQ(blazen_invocation_complete(holder.held[0], nullptr), BLAZEN_ERROR_CANCELLED);
    holder.held.clear();
  }
}

TEST_P(Timers, ARunThatWaitsForAnEventHasItsTimeToo) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.timeout_ms = 50;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  engine.pass(50);
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_RUN_TIMEOUT);
}

TEST_P(Timers, ElsewhereAndAskingStandStill) {
  Engine engine(GetParam(), &clock_);
  for (const bool asks : {true, false}) {
    Spec spec;
    spec.timeout_ms = 50;
    spec.start([&](Ctx& ctx) { asks ? ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}") : ctx.emit("Far"); });
    spec.elsewhere("far", {"Far"});
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.reach(run, asks ? BLAZEN_RUN_ASKING : BLAZEN_RUN_ELSEWHERE));
    engine.pass(1'000'000);
    EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
    EXPECT_EQ(describe_run(run).at("counters").at("elapsed_ms"), 0);
    // An event with a time of its own sets it going again.
    EXPECT_EQ(send_in(run, 49, "Far"), BLAZEN_OK);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
    engine.pass(49);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ELSEWHERE));
    EXPECT_EQ(describe_run(run).at("counters").at("timeout_in_ms"), 1);
    engine.pass(1'000'000);
    EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
  }
}

TEST_P(Timers, AClockThatJumpsBackStandsStill) {
  Engine engine(GetParam(), &clock_);
  Holder holder;
  Spec spec;
  spec.timeout_ms = 1000;
  spec.start([&](Ctx& ctx) { return holder(ctx); }).times_out(500);
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
  engine.pass(100);
  clock_.now_ms -= 1'000'000;
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(describe_run(run).at("in_flight").at(0).at("age_ms"), 100);
  EXPECT_EQ(engine.next_timer(), 400);
  engine.pass(1'000'000 + 399);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(1);
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_STEP_TIMEOUT);
  holder.held.clear();
}

// ------------------------------------------------------------------------------------------------- of a step

TEST_P(Timers, AnAbandonedStepCanDoNothingMore) {
  Told cancelled;
  Told at_once;
  Engine engine(GetParam(), &clock_);
  Holder holder;
  int32_t descriptor = -1;
  Spec spec;
  std::atomic<int> handled{0};
  spec.start([&](Ctx& ctx) -> blazen_status {
        holder(ctx);
        MUST(blazen_context_cancel_descriptor(ctx.raw, &descriptor, e));
        MUST(blazen_context_on_cancel(
            ctx.raw, [](void* self) { Told::call(self, nullptr, BLAZEN_RUN_NONE); }, &cancelled, Told::drop,
            e));
        ctx.set("before", "1");
        return BLAZEN_PENDING;
      })
      .times_out(50);
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) {
    const Json failure = Json::parse(ctx.input());
    EXPECT_EQ(failure.at("status"), "BLAZEN_ERROR_STEP_TIMEOUT");
    EXPECT_EQ(failure.at("step"), "start");
    EXPECT_EQ(ctx.text("before"), "1");
    ++handled;
  });
  RunHandle run = start(engine, spec.build(), "\"the input\"");
  ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("state_keys") == 1; }));
  pollfd waited{descriptor, POLLIN, 0};
  EXPECT_EQ(::poll(&waited, 1, 0), 0);
  engine.pass(49);
  EXPECT_TRUE(cancelled.all().empty());
  engine.pass(1);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(::poll(&waited, 1, 0), 1);
  EXPECT_EQ(cancelled.all().size(), 1U);
  EXPECT_EQ(cancelled.drops, 1);
  Ctx late(holder.held[0]);
  EXPECT_TRUE(late.cancelled());
  EXPECT_EQ(late.emit("X"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.emit_in(5, "X"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.send("X"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.publish("X"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.set("k", "1"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.clear(), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(late.set_session("k", json("1")), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_context_retry_after(late.raw, 1, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_context_progress(late.raw, "", 0, 1, 2, nullptr), BLAZEN_ERROR_CANCELLED);
  blazen_question question = BLAZEN_QUESTION_INIT;
  Value answer;
  EXPECT_EQ(blazen_context_ask(late.raw, &question, answer.out(), nullptr), BLAZEN_ERROR_CANCELLED);
  Invocation second;
  EXPECT_EQ(blazen_context_defer(late.raw, second.out(), nullptr), BLAZEN_ERROR_CANCELLED);
  MUST(blazen_context_on_cancel(
      late.raw, [](void* self) { Told::call(self, nullptr, BLAZEN_RUN_NONE); }, &at_once, Told::drop, e));
  EXPECT_EQ(at_once.all().size(), 1U);
  EXPECT_EQ(at_once.drops, 1);
  int32_t again = -1;
  MUST(blazen_context_cancel_descriptor(late.raw, &again, e));
  pollfd told{again, POLLIN, 0};
  EXPECT_EQ(::poll(&told, 1, 0), 1);
  // What it can read stays.
  EXPECT_EQ(input_of(blazen_invocation_event(holder.held[0])), "\"the input\"");
  EXPECT_EQ(late.step(), "start");
  EXPECT_EQ(late.id(), 1U);
  EXPECT_EQ(blazen_invocation_complete(holder.held[0], nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_invocation_complete(holder.held[0], nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_WAITING);
  holder.held.clear();
  EXPECT_EQ(cancelled.all().size(), 1U);
}

// The value of its event is let go of when its body is back, and not when the runtime ends.
// The host may take its clock away when the runtime is closed.
TEST(RealTime, ACloseWaitsForWhoeverAsksTheClock) {
  NEEDS_THREADS();
  struct SlowClock {
    std::atomic<bool> holds{false};
    std::atomic<bool> inside{false};
    std::atomic<bool> is_closed{false};
    std::atomic<int> late{0};
    static int64_t tell(void* self) {
      auto* clock = static_cast<SlowClock*>(self);
      if (clock->is_closed) ++clock->late;
      if (clock->holds) clock->inside = true;
      while (clock->holds) std::this_thread::yield();
      return 1'000'000;
    }
  } clock;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  options.user_data = &clock;
  options.clock = SlowClock::tell;
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  RunHandle run;
  MUST(blazen_run_create(runtime, Spec().start([](Ctx&) {}).build(), nullptr, run.out(), e));
  clock.holds = true;
  std::thread asker([&] { describe_run(run); });
  while (!clock.inside) std::this_thread::yield();
  Beside closer([&] {
    MUST(blazen_runtime_close(runtime, e));
    clock.is_closed = true;
  });
  EXPECT_FALSE(closer.returns());
  clock.holds = false;
  asker.join();
  closer.join();
  EXPECT_TRUE(clock.is_closed);
  describe_run(run);
  EXPECT_EQ(clock.late, 0);
}

TEST(RealTime, AnAbandonedBodyLetsGoOfItsEvent) {
  NEEDS_THREADS();
  FakeClock clock;
  Counted input;
  Engine engine(Way::threads_4, &clock);
  std::atomic<bool> inside{false};
  std::atomic<bool> may_leave{false};
  std::string seen;
  {
    Spec spec;
    spec.start([&](Ctx& ctx) {
          inside = true;
          while (!may_leave) std::this_thread::yield();
          seen = describe(blazen_event_value(ctx.trigger()));
        })
        .times_out(50);
    RunHandle run = create(engine, spec.build());
    MUST(blazen_run_start(run, live(input), e));
    ASSERT_TRUE(within_patience([&] { return inside.load(); }));
    engine.pass(50);
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_STEP_TIMEOUT);
    EXPECT_EQ(input.drops, 0);
    may_leave = true;
    MUST(blazen_run_close(run, e));
  }
  EXPECT_TRUE(within_patience([&] { return input.drops == 1; }));
  EXPECT_EQ(seen, "live(test/counted) ");
}

TEST_P(Timers, CancelledByAnAbortACloseAndTheEnd) {
  for (const int how : {0, 1, 2, 3}) {
    Told cancelled;
    Told never;
    Engine engine(GetParam(), &clock_);
    Holder holder;
    int32_t descriptor = -1;
    std::atomic<bool> ready{false};
    Spec spec;
    spec.timeout_ms = 100;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([&](Ctx& ctx) -> blazen_status {
      holder(ctx);
      MUST(blazen_context_cancel_descriptor(ctx.raw, &descriptor, e));
      int32_t again = -1;
      MUST(blazen_context_cancel_descriptor(ctx.raw, &again, e));
      EXPECT_EQ(again, descriptor);
      for (int i = 0; i < 2; ++i) {
        MUST(blazen_context_on_cancel(
            ctx.raw, [](void* self) { Told::call(self, nullptr, BLAZEN_RUN_NONE); }, &cancelled, Told::drop,
            e));
      }
      ready = true;
      return BLAZEN_PENDING;
    });
    spec.step("end", {"End"}, [&](Ctx& ctx) {
      MUST(blazen_context_on_cancel(
          ctx.raw, [](void* self) { Told::call(self, nullptr, BLAZEN_RUN_NONE); }, &never, Told::drop, e));
      ctx.stop();
    });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] { return ready.load(); }));
    if (how == 0) MUST(blazen_run_abort(run, e));
    if (how == 1) MUST(blazen_run_close(run, e));
    if (how == 2) engine.pass(100);
    if (how == 3) {
      MUST(blazen_run_send_event(run, event("End"), nullptr, e));
      EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
    }
    EXPECT_TRUE(engine.until(run, [&] { return cancelled.drops == 2; })) << how;
    EXPECT_EQ(cancelled.all().size(), 2U);
    pollfd waited{descriptor, POLLIN, 0};
    EXPECT_EQ(::poll(&waited, 1, 0), 1);
    EXPECT_TRUE(Ctx(holder.held[0]).cancelled());
    EXPECT_EQ(blazen_invocation_complete(holder.held[0], nullptr), BLAZEN_ERROR_CANCELLED);
    holder.held.clear();
    if (how == 3) EXPECT_TRUE(engine.until(run, [&] { return never.drops == 1; }));
    EXPECT_TRUE(never.all().empty()) << "a step that ended was not cancelled";
  }
}

// Who asks for the descriptor, or for a call, only after the end is told at once.
TEST_P(Timers, AskedAfterTheEndACancellationIsThereAtOnce) {
  for (const bool times_out : {false, true}) {
    Told cancelled;
    Engine engine(GetParam(), &clock_);
    Holder holder;
    Spec spec;
    spec.start([&](Ctx& ctx) { return holder(ctx); }).times_out(100);
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
    if (times_out) engine.pass(100);
    if (!times_out) MUST(blazen_run_abort(run, e));
    ASSERT_TRUE(engine.until(run, [&] { return is_ended(blazen_run_state_now(run)); }));
    blazen_context* context = blazen_invocation_context(holder.held[0]);
    int32_t descriptor = -1;
    MUST(blazen_context_cancel_descriptor(context, &descriptor, e));
    pollfd waited{descriptor, POLLIN, 0};
    EXPECT_EQ(::poll(&waited, 1, 0), 1);
    MUST(blazen_context_on_cancel(
        context, [](void* self) { Told::call(self, nullptr, BLAZEN_RUN_NONE); }, &cancelled, Told::drop, e));
    EXPECT_EQ(cancelled.all().size(), 1U);
    EXPECT_EQ(cancelled.drops, 1);
    holder.held.clear();
  }
}

// A context that has ended is not told anything any more, and nobody looks for it.
TEST_P(Timers, ACompletedInvocationHasNothingToCancel) {
  Engine engine(GetParam(), &clock_);
  Holder holder;
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([&](Ctx& ctx) { return holder(ctx); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
  MUST(blazen_invocation_complete(holder.held[0], e));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  Counted data;
  int32_t descriptor = -1;
  blazen_context* context = blazen_invocation_context(holder.held[0]);
  EXPECT_EQ(blazen_context_cancel_descriptor(context, &descriptor, nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(blazen_context_on_cancel(
                context, [](void*) {}, &data, Counted::drop, nullptr),
            BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(data.drops, 1);
  holder.held.clear();
  MUST(blazen_run_abort(run, e));
}

TEST_P(Timers, TimeWaitedForAPermitDoesNotCount) {
  Engine engine(GetParam(), &clock_);
  Holder holder;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Work");
    ctx.emit("Work");
  });
  spec.step("work", {"Work"}, [&](Ctx& ctx) { return holder(ctx); }, 1).times_out(50);
  spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return holder.count == 1; }));
  engine.pass(40);
  MUST(blazen_invocation_complete(holder.held[0], e));
  ASSERT_TRUE(engine.until(run, [&] { return holder.count == 2; }));
  engine.pass(49);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(1);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  holder.held.clear();
}

// The reason for a thread that does nothing but to tell the time.
TEST(RealTime, ABlockedBodyIsAbandonedWhileEveryWorkerIsBusy) {
  NEEDS_THREADS();
  for (const Way way : {Way::threads_1, Way::threads_4}) {
    std::atomic<bool> may_leave{false};
    Engine engine(way);
    Spec spec;
    const int workers = way == Way::threads_1 ? 1 : 4;
    spec.start([&](Ctx& ctx) {
      for (int i = 0; i < workers; ++i) ctx.emit("Block");
    });
    spec.step("block", {"Block"},
              [&](Ctx& ctx) {
                while (!may_leave) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                EXPECT_EQ(ctx.stop("\"too late\""), BLAZEN_ERROR_CANCELLED);
              })
        .times_out(30);
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(within_patience([&] { return is_ended(blazen_run_state_now(run)); }));
    const Outcome end = outcome(run);
    EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_TIMEOUT) << end.text();
    EXPECT_TRUE(end.error.says("'block'") && end.error.says("30 ms")) << end.text();
    may_leave = true;
    MUST(blazen_run_close(run, e));
  }
}

TEST(RealTime, TheDescriptorIsReadableWhenSomethingIsDue) {
  Engine engine(Way::pump);
  int32_t descriptor = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &descriptor, e));
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit_in(20, BLAZEN_STOP_EVENT, "1"); });
  RunHandle run = start(engine, spec.build());
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_GE(engine.next_timer(), 0);
  EXPECT_LE(engine.next_timer(), 21);  // the beginning is rounded up
  while (!is_ended(blazen_run_state_now(run))) {
    pollfd waited{descriptor, POLLIN, 0};
    ASSERT_EQ(::poll(&waited, 1, static_cast<int>(kPatience_ms)), 1);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(10));
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
}

TEST(RealTime, AWaitTellsTheTimeByItself) {
  if (!has_threads()) GTEST_SKIP() << "a library without threads does not sleep";
  // With a wake callback and no descriptor, the host asks blazen_runtime_next_timer, which this one does not.
  for (const Way way : ways_but({Way::wake})) {
    Engine engine(way);
    Spec spec;
    spec.start([](Ctx& ctx) -> blazen_status {
          return ctx.attempt() < 3 ? ctx.fail(1, "no") : ctx.emit_in(5, BLAZEN_STOP_EVENT, "1");
        })
        .retry(retries(3, 5));
    RunHandle run = start(engine, spec.build());
    EXPECT_EQ(finish(engine, run).text(), "5 json 1") << name_of(way);
  }
}

// ---------------------------------------------------------------------------------------------------- delays

TEST_P(Timers, EqualMomentsInTheirOrder) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::mutex lock;
  std::string order;
  spec.start([](Ctx& ctx) {
    ctx.emit("Try");
    for (int i = 0; i < 5; ++i) ctx.emit_in(10, "Late", std::to_string(i));
  });
  const auto note = [&](const std::string& what) {
    std::lock_guard guard(lock);
    order += what;
  };
  spec.step(
          "try", {"Try"},
          [&](Ctx& ctx) -> blazen_status {
            if (ctx.attempt() == 1) return ctx.fail(1, "no");
            note("t");
            return BLAZEN_OK;
          },
          1)
      .retry(retries(2, 10));
  spec.step("late", {"Late"}, [&](Ctx& ctx) { note(ctx.input()); }, 1);
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(10);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  order.erase(std::remove(order.begin(), order.end(), 't'), order.end());
  EXPECT_EQ(order, "01234");
}

// A delay counts from the moment at which the event is sent, or its step is done, and not from when the
// engine looked at the clock last.
TEST_P(Timers, ADelayCountsFromWhenItsEventWasGiven) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) {
    clock_.now_ms += 30;
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    options.delay_ms = 100;
    MUST(blazen_context_send_event(ctx.raw, event("Sent"), &options, e));
    clock_.now_ms += 4;
    ctx.emit_in(100, "Emitted");
    clock_.now_ms += 2;
  });
  spec.step("late", {"Sent", "Emitted", "Posted"}, [](Ctx&) {});
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 2; }));
  clock_.now_ms += 7;
  MUST(send_in(run, 100, "Posted"));
  std::string dues;
  const Json description = describe_run(run);
  for (const Json& item : description.at("delayed")) {
    dues += item.at("event_type").get<std::string>() + " in " + item.at("due_in_ms").dump() + " ";
  }
  EXPECT_EQ(dues, "Sent in 87 Emitted in 93 Posted in 100 ");
  EXPECT_EQ(engine.next_timer(), 87);
}

TEST_P(Timers, ADelayedEventToANamedStep) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> wrong{0};
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  spec.step("a", {"Late"}, [&](Ctx&) { ++wrong; });
  spec.step("b", {"Late"}, [&](Ctx& ctx) { ctx.stop(ctx.input()); });
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(send_in(run, 10, "Late", "1", "nobody"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(send_in(run, 10, "Late", "1", "start"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(send_in(run, 10, "Late", "1", "b"), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == 0; }));
  engine.pass(10);
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
  EXPECT_EQ(wrong, 0);
}

// Whatever waits has a bound, also where nobody will take it.
TEST_P(Timers, DelayedEventsHaveABound) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 10);
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  for (const char* type : {"Nobody", BLAZEN_STOP_EVENT}) {
    int sent = 0;
    while (sent < 50 && send_in(run, 1000 + sent, type) == BLAZEN_OK) ++sent;
    EXPECT_LE(sent, 10) << type;
  }
  EXPECT_LE(describe_run(run).at("counters").at("delayed").get<int>(), 10);
}

// It is moved on by time, not from outside.
TEST_P(Timers, ARunWithoutHandlesWaitsForItsTimers) {
  for (const bool retry : {true, false}) {
    Told told;
    Engine engine(GetParam(), &clock_);
    std::atomic<int> starts{0};
    {
      Spec spec;
      spec.start([&](Ctx& ctx) -> blazen_status {
            if (++starts == 1 && retry) return ctx.fail(1, "no");
            return retry ? ctx.stop() : ctx.emit_in(10, BLAZEN_STOP_EVENT);
          })
          .retry(retries(2, 10));
      RunHandle run = create(engine, spec.build());
      told.wait_for(run, BLAZEN_UNTIL_ENDED);
      MUST(blazen_run_start(run, nullptr, e));
    }
    ASSERT_TRUE(until_without_run(engine, [&] { return starts == 1; }));
    ASSERT_TRUE(until_without_run(engine, [&] { return engine.next_timer() <= 10; }));
    EXPECT_TRUE(told.all().empty());
    engine.pass(10);
    ASSERT_TRUE(until_without_run(engine, [&] { return told.drops == 1; }));
    EXPECT_EQ(told.all(), States{BLAZEN_RUN_COMPLETED});
  }
}

// And is cancelled where the last timer leaves nothing but the outside.
TEST_P(Timers, ARunWithoutHandlesIsCancelledAfterItsLastTimer) {
  Told told;
  Engine engine(GetParam(), &clock_);
  std::atomic<bool> started{false};
  {
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
    spec.timeout_ms = 0;
    spec.start([&](Ctx& ctx) {
      ctx.emit_in(10, "Nobody");
      started = true;
    });
    RunHandle run = create(engine, spec.build());
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    MUST(blazen_run_start(run, nullptr, e));
  }
  ASSERT_TRUE(until_without_run(engine, [&] { return started.load() && engine.next_timer() == 10; }));
  engine.pass(10);
  ASSERT_TRUE(until_without_run(engine, [&] { return told.drops == 1; }));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_CANCELLED});
}

TEST_P(Timers, TimeHasPassedOrStoodStill) {
  Spec spec;
  spec.timeout_ms = 1000;
  spec.start([](Ctx& ctx) {
    ctx.emit_in(500, "Late");
    ctx.emit("Try");
  });
  spec.step("try", {"Try"}, [](Ctx& ctx) { return ctx.attempt() == 1 ? ctx.fail(1, "no") : ctx.failed; })
      .retry(retries(2, 300));
  spec.step("late", {"Late"}, [](Ctx& ctx) { ctx.stop(); });
  const Workflow workflow = spec.build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
    engine.pass(100);
    taken = snapshot_bytes(run);
  }
  for (const bool passed : {false, true}) {
    clock_.now_ms += 250;
    Engine engine(GetParam(), &clock_);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = passed ? 1 : 0;
    RunHandle run;
    MUST(blazen_run_resume(engine.runtime(), workflow, parse(taken), &options, run.out(), e));
    MUST(blazen_run_start(run, nullptr, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    if (passed) {  // 500 since the snapshot
      EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
    } else {
      EXPECT_EQ(describe_run(run).at("retrying").at(0).at("due_in_ms"), 200);
      EXPECT_EQ(describe_run(run).at("delayed").at(0).at("due_in_ms"), 400);
      engine.pass(400);
      EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
    }
  }
}

// A date that was set back between two processes makes nothing later: no time has passed, as far as anybody
// can tell.
TEST_P(Timers, ADateThatWentBackIsNoTime) {
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) {
    ctx.emit_in(500, "Late");
    ctx.emit("Try");
  });
  spec.step("try", {"Try"}, [](Ctx& ctx) { return ctx.attempt() == 1 ? ctx.fail(1, "no") : ctx.failed; })
      .retry(retries(2, 300));
  spec.step("late", {"Late"}, [](Ctx&) {});
  const Workflow workflow = spec.build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
    engine.pass(100);
    taken = snapshot_bytes(run);
  }
  clock_.now_ms -= 3'600'000;
  Engine engine(GetParam(), &clock_);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.time_has_passed = 1;
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(taken), &options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(describe_run(run).at("retrying").at(0).at("due_in_ms"), 200);
  EXPECT_EQ(describe_run(run).at("delayed").at(0).at("due_in_ms"), 400);
  EXPECT_EQ(engine.next_timer(), 200);
}

// --------------------------------------------------------------------------------------------------- retries

// The delays between the attempts of a step that always fails.
std::vector<int64_t> delays_of(const blazen_retry_options& policy) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.timeout_ms = 0;
  spec.start([](Ctx& ctx) { return ctx.fail(1, "no"); }).retry(policy);
  RunHandle run = start(engine, spec.build());
  std::vector<int64_t> delays;
  engine.pass(0);
  while (!is_ended(blazen_run_state_now(run)) && delays.size() < 50) {
    delays.push_back(engine.next_timer());
    engine.pass(delays.back());
  }
  EXPECT_EQ(outcome(run).error.attempt(), policy.max_attempts);
  return delays;
}

TEST(RetryPolicy, GrowsUpToItsCap) {
  blazen_retry_options policy = retries(7, 100);
  EXPECT_EQ(delays_of(policy), (std::vector<int64_t>{100, 200, 400, 800, 1600, 3200}));
  policy.max_delay_ms = 500;
  EXPECT_EQ(delays_of(policy), (std::vector<int64_t>{100, 200, 400, 500, 500, 500}));
  policy.multiplier = 1;
  EXPECT_EQ(delays_of(policy), (std::vector<int64_t>{100, 100, 100, 100, 100, 100}));
  policy.multiplier = 1e9;
  policy.max_delay_ms = 0;
  EXPECT_EQ(delays_of(policy), (std::vector<int64_t>{100, 60000, 60000, 60000, 60000, 60000}));
  policy.initial_delay_ms = 1000;
  policy.max_delay_ms = 10;
  EXPECT_EQ(delays_of(policy), (std::vector<int64_t>{10, 10, 10, 10, 10, 10}));
  policy.jitter_percent = 100;
  policy.max_delay_ms = 1000;
  for (const int64_t delay : delays_of(policy)) EXPECT_TRUE(delay >= 0 && delay <= 1000) << delay;
  policy.jitter_percent = 10;
  for (const int64_t delay : delays_of(policy)) EXPECT_TRUE(delay >= 900 && delay <= 1000) << delay;
}

TEST_P(Timers, OnlyAndNever) {
  const int64_t kOnly[] = {7, 8};
  const int64_t kNever[] = {8};
  for (const int64_t code : {7, 8, 9}) {
    Engine engine(GetParam(), &clock_);
    Spec spec;
    blazen_retry_options policy = retries(3);
    policy.only = kOnly;
    policy.only_count = 2;
    policy.never = kNever;
    policy.never_count = 1;
    std::atomic<int> attempts{0};
    spec.start([&](Ctx& ctx) {
          ++attempts;
          return ctx.fail(code, "no");
        })
        .retry(policy);
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] {
      engine.pass(0);
      return is_ended(blazen_run_state_now(run));
    }));
    const Outcome end = outcome(run);
    EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
    EXPECT_EQ(attempts, code == 7 ? 3 : 1) << code;
    EXPECT_EQ(end.error.attempt(), code == 7 ? 3U : 1U);
    EXPECT_EQ(end.error.cause().host_code(), code);
  }
}

// Whichever attempt it was, its error says so by itself, and not in its message alone.
TEST_P(Timers, ATimeOutNamesItsStepAndItsAttempt) {
  Engine engine(GetParam(), &clock_);
  Holder holder;
  Spec spec;
  spec.step("slow", {BLAZEN_START_EVENT}, [&](Ctx& ctx) { return holder(ctx); })
      .times_out(50)
      .retry(retries(2));
  RunHandle run = start(engine, spec.build());
  for (const int attempt : {1, 2}) {
    ASSERT_TRUE(engine.until(run, [&] {
      engine.pass(0);
      return holder.count == attempt;
    }));
    engine.pass(50);
  }
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_TIMEOUT);
  EXPECT_EQ(end.error.step(), "slow");
  EXPECT_EQ(end.error.attempt(), 2U);
  holder.held.clear();
}

TEST_P(Timers, RetryAfterGoesBeforeThePolicy) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> attempts{0};
  spec.start([&](Ctx& ctx) -> blazen_status {
        ++attempts;
        if (ctx.attempt() == 1) MUST(blazen_context_retry_after(ctx.raw, 7, e));
        if (ctx.attempt() == 2) MUST(blazen_context_retry_after(ctx.raw, 0, e));
        return ctx.fail(1, "no");
      })
      .retry(retries(4, 1000));
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(6);
  EXPECT_EQ(attempts, 1);
  engine.pass(1);
  ASSERT_TRUE(engine.until(run, [&] {
    engine.pass(0);
    return attempts == 3 && describe_run(run).at("retrying").size() == 1;
  }));
  EXPECT_EQ(describe_run(run).at("retrying").at(0).at("due_in_ms"), 4000)
      << "of the third attempt: the policy again";
  engine.pass(4000);
  EXPECT_EQ(finish(engine, run).error.attempt(), 4U);
}

TEST_P(Timers, AnAttemptThatTimedOutIsTriedAgain) {
  Engine engine(GetParam(), &clock_);
  Holder holder;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status { return ctx.attempt() < 3 ? holder(ctx) : ctx.stop(); })
      .times_out(50)
      .retry(retries(3, 10, 1));
  RunHandle run = start(engine, spec.build());
  for (int attempt = 1; attempt < 3; ++attempt) {
    ASSERT_TRUE(engine.until(run, [&] { return holder.count == attempt; }));
    engine.pass(50);
    EXPECT_EQ(describe_run(run).at("retrying").size(), 1U);
    engine.pass(10);
  }
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  for (Invocation& each : holder.held)
    EXPECT_EQ(blazen_invocation_complete(each, nullptr), BLAZEN_ERROR_CANCELLED);
  holder.held.clear();
}

TEST_P(Timers, WhatWasSentIsNotSentTwice) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> notes{0};
  std::atomic<int> returned{0};
  spec.start([](Ctx& ctx) -> blazen_status {
        ctx.send("Note", "1");
        ctx.publish("Item", "1");
        if (ctx.attempt() > 1) ctx.send("Note", "2");
        ctx.emit("Returned");
        return ctx.attempt() < 3 ? ctx.fail(1, "no") : ctx.emit("End");
      })
      .retry(retries(3, 10));
  spec.step("note", {"Note"}, [&](Ctx&) { ++notes; });
  spec.step("returned", {"Returned"}, [&](Ctx&) { ++returned; });
  spec.step("end", {"End"}, [&](Ctx& ctx) { ctx.emit_in(5, BLAZEN_STOP_EVENT); });
  RunHandle run = create(engine, spec.build());
  Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] {
    engine.pass(5);
    return is_ended(blazen_run_state_now(run));
  }));
  EXPECT_EQ(notes, 2);
  EXPECT_EQ(returned, 1);
  EXPECT_EQ(text_of(take(stream)), "Item=1 blazen::StreamEnd=null");
}

TEST_P(Timers, AHandlerThatFailsItselfFailsTheRun) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { return ctx.fail(1, "first"); });
  std::atomic<int> calls{0};
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) {
    ++calls;
    return ctx.fail(2, "second");
  });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(end.error.step(), "handler");
  EXPECT_EQ(end.error.cause().host_code(), 2);
  EXPECT_EQ(calls, 1);
}

TEST_P(Timers, OutOfMemoryIsNeverTriedAgain) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> attempts{0};
  spec.start([&](Ctx&) -> blazen_status {
        ++attempts;
        return BLAZEN_ERROR_OUT_OF_MEMORY;
      })
      .retry(retries(5));
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(attempts, 1);
}

}  // namespace
