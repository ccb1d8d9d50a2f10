// A thread that waits for a run and works on it meanwhile is neither late nor lossy: it comes back when what
// it waits for is there, whatever other bodies do. A body that would keep it is held by the test until the
// wait is over, or for so long that the wait has failed.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

using Steady = std::chrono::steady_clock;
constexpr std::chrono::seconds kTooLong{10};

// Bodies stay in `hold` until the test opens it.
class Gate {
 public:
  void hold() {
    std::unique_lock guard(lock_);
    ++inside_;
    changed_.notify_all();
    changed_.wait_for(guard, kTooLong, [this] { return open_; });
    --inside_;
  }
  void open() {
    std::lock_guard guard(lock_);
    open_ = true;
    changed_.notify_all();
  }
  bool await_somebody() {
    std::unique_lock guard(lock_);
    return changed_.wait_for(guard, kTooLong, [this] { return inside_ != 0; });
  }
  int inside() {
    std::lock_guard guard(lock_);
    return inside_;
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

// Each waits for ever, in its own form. Answers the state in which the run is then.
using Waits = blazen_run_state (*)(blazen_run*);
blazen_run_state by_wait(blazen_run* run) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  MUST(blazen_run_wait(run, BLAZEN_FOREVER, &state, e));
  return state;
}
blazen_run_state by_stream(blazen_run* run) {
  Stream stream = subscribe(run);
  for (;;) {
    Event item;
    MUST(blazen_stream_next(stream, BLAZEN_FOREVER, item.out(), nullptr, e));
    if (item.get() == nullptr || type_of(item) == BLAZEN_STREAM_END) return blazen_run_state_now(run);
  }
}

class Helping : public testing::TestWithParam<Waits> {};
INSTANTIATE_TEST_SUITE_P(Forms, Helping, testing::Values(by_wait, by_stream));

// The body outlives the time-out of its run.
TEST_P(Helping, AWaitEndsWithTheTimeOfTheRunWhateverItsBodyDoes) {
  NEEDS_THREADS();
  Gate gate;
  Spec spec;
  spec.timeout_ms = 20;
  spec.start([&](Ctx& ctx) {
    gate.hold();
    ctx.stop();
  });
  Engine engine(Way::threads_4);
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(GetParam()(run), BLAZEN_RUN_FAILED);
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_EQ(gate.inside(), 1) << "the wait came back with the body";
  gate.open();
}

TEST_P(Helping, AWaitEndsWithAnAbortWhateverTheBodyDoes) {
  NEEDS_THREADS();
  Gate gate;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    gate.hold();
    ctx.stop();
  });
  Engine engine(Way::threads_4);
  RunHandle run = start(engine, spec.build());
  std::thread other([&] {
    EXPECT_TRUE(gate.await_somebody());
    MUST(blazen_run_abort(run, e));
  });
  EXPECT_EQ(GetParam()(run), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(gate.inside(), 1) << "the wait came back with the body";
  gate.open();
  other.join();
}

// One branch ends the run while the other one's body goes on. With one engine thread, which is busy with the
// first, the waiter is tempted to begin the second.
TEST_P(Helping, AWaitEndsWithTheRunWhateverOtherBodiesDo) {
  NEEDS_THREADS();
  for (int round = 0; round < 10; ++round) {
    Gate gate;
    Spec spec;
    spec.start([](Ctx& ctx) {
      ctx.emit("Quick");
      ctx.emit("Slow");
    });
    spec.step("quick", {"Quick"}, [](Ctx& ctx) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ctx.stop();
    });
    spec.step("slow", {"Slow"}, [&](Ctx&) { gate.hold(); });
    Engine engine(Way::threads_1);
    const auto began = Steady::now();
    RunHandle run = start(engine, spec.build());
    EXPECT_EQ(GetParam()(run), BLAZEN_RUN_COMPLETED);
    EXPECT_LT(Steady::now() - began, kTooLong);
    gate.open();
  }
}

TEST(HelpingOtherwise, TheShortPathEndsWithTheTimeOfItsRun) {
  NEEDS_THREADS();
  Gate gate;
  Spec spec;
  spec.timeout_ms = 20;
  spec.start([&](Ctx& ctx) {
    gate.hold();
    ctx.stop();
  });
  Engine engine(Way::threads_4);
  Value result;
  EXPECT_EQ(blazen_workflow_run(spec.build(), engine.runtime(), nullptr, result.out(), nullptr),
            BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_EQ(gate.inside(), 1) << "the call came back with the body";
  gate.open();
}

// In a pump, the only thread that works is the one that reads: it takes each item as soon as it is there, and
// none is lost to the bound of its subscription.
TEST(HelpingOtherwise, AReaderThatWaitsForEverGetsEveryItemAtOnce) {
  constexpr int kItems = 500;
  for (const int64_t timeout_ms : {int64_t{BLAZEN_FOREVER}, kPatience_ms}) {
    Spec spec;
    spec.limit(BLAZEN_LIMIT_STREAM_ITEMS, 4);
    int published = 0;
    spec.step("publish", {BLAZEN_START_EVENT, "Next"}, [&](Ctx& ctx) {
      ctx.publish("Item", std::to_string(++published));
      published == kItems ? ctx.stop() : ctx.emit("Next");
    });
    Engine engine(Way::pump);
    RunHandle run = create(engine, spec.build());
    Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    for (int i = 1; i <= kItems; ++i) {
      Event item;
      uint64_t sequence = 0;
      MUST(blazen_stream_next(stream, timeout_ms, item.out(), &sequence, e));
      ASSERT_EQ(type_of(item), "Item");
      ASSERT_EQ(sequence, static_cast<uint64_t>(i));
      ASSERT_EQ(published, i) << "the body after it was begun first";
    }
    Event end;
    MUST(blazen_stream_next(stream, timeout_ms, end.out(), nullptr, e));
    EXPECT_EQ(type_of(end), BLAZEN_STREAM_END);
  }
}

// Whoever works tells the time where no thread of the engine does: a run that never comes to rest ends in
// time, and so does another one beside it.
TEST(HelpingOtherwise, WorkWithoutAnEndStandsInNobodysTime) {
  for (const bool polls : {false, true}) {
    Engine engine(Way::pump);
    const auto deadline = Steady::now() + kTooLong;
    Spec spec;
    spec.timeout_ms = 50;
    spec.step("again", {BLAZEN_START_EVENT, "Again"},
              [&](Ctx& ctx) { Steady::now() > deadline ? ctx.stop() : ctx.emit("Again"); });
    RunHandle run = start(engine, spec.build());
    if (polls) {
      MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    } else {
      MUST(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, e));
    }
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_RUN_TIMEOUT);
  }
}

// What is known to be quick, the waiter does itself: that saves it a sleep.
TEST(HelpingOtherwise, AWaiterRunsQuickBodiesItself) {
  NEEDS_THREADS();
  const std::thread::id mine = std::this_thread::get_id();
  std::atomic<int> here{0};
  Spec spec;
  spec.start([&](Ctx& ctx) {
    here += std::this_thread::get_id() == mine ? 1 : 0;
    ctx.stop();
  });
  const Workflow workflow = spec.build();
  Engine engine(Way::threads_4);
  for (int i = 0; i < 10'000 && here == 0; ++i)
    MUST(blazen_workflow_run(workflow, engine.runtime(), nullptr, Value().out(), e));
  EXPECT_NE(here, 0);
}

// All threads of the engine wait for a run that nobody but a waiter could move on.
TEST(HelpingOtherwise, AWaiterTakesWhatNoThreadOfTheEngineComesFor) {
  NEEDS_THREADS();
  Gate gate;
  Engine engine(Way::threads_1);
  Spec waits;
  waits.start([&](Ctx& ctx) {
    gate.hold();
    ctx.stop();
  });
  RunHandle run = start(engine, waits.build());
  EXPECT_TRUE(gate.await_somebody());
  Spec other;
  other.start([](Ctx& ctx) { ctx.stop(); });
  EXPECT_EQ(blazen_workflow_run(other.build(), engine.runtime(), nullptr, Value().out(), nullptr), BLAZEN_OK);
  EXPECT_EQ(gate.inside(), 1) << "the other run had to wait for this body";
  gate.open();
}

}  // namespace
