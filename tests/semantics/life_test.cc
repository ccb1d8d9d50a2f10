// Goal: streams end on every path, waits end in every form, and a close or a release leaves nothing behind:
// no callback, no object that is dropped twice or never, no hang.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/beside.hpp"
#include "support/blazen_test.hpp"

namespace bt {
namespace {

using Life = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, Life, testing::ValuesIn(ways()), way_name);

// Where the test's own thread may sleep while the run goes on: all but the queue that this very thread
// drains.
class LifeAsleep : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(All, LifeAsleep, testing::ValuesIn(ways_but({Way::queue})), way_name);

// Where steps run on other threads. A library without threads has none of these.
class LifeOnThreads : public EveryWay {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LifeOnThreads);
INSTANTIATE_TEST_SUITE_P(
    All, LifeOnThreads,
    testing::ValuesIn(ways_but({Way::pump, Way::descriptor, Way::wake, Way::waiter, Way::queue})), way_name);

// Where a run needs no host that holds the runtime.
class LifeByItself : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(All, LifeByItself,
                         testing::ValuesIn(ways_but({Way::pool, Way::queue, Way::descriptor, Way::wake})),
                         way_name);

// All but the threads of the test's own pool, which a forked child would miss.
class LifeForked : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(All, LifeForked, testing::ValuesIn(ways_but({Way::pool})), way_name);

// Where each turn of the host is bounded, so that a run without an end does not keep it.
class LifeInTurns : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(All, LifeInTurns, testing::ValuesIn(ways_but({Way::pump})), way_name);

// --------------------------------------------------------------------------------------------------- helpers

// A callback that counts its calls and its drops.
struct Callback {
  std::atomic<int> calls{0};
  std::atomic<int> drops{0};
  std::atomic<int> late{0};  // calls after the drop
  std::atomic<blazen_run_state> state{BLAZEN_RUN_NONE};

  static void done(void* self, blazen_run*, blazen_run_state state) {
    auto* callback = static_cast<Callback*>(self);
    callback->state = state;
    ready(self);
  }
  static void ready(void* self) {
    auto* callback = static_cast<Callback*>(self);
    if (callback->drops != 0) ++callback->late;
    ++callback->calls;
  }
  static void drop(void* self) { ++static_cast<Callback*>(self)->drops; }

  blazen_status on_done(blazen_run* run) { return blazen_run_on_done(run, done, this, drop, nullptr); }
  blazen_status on_ready(blazen_stream* stream) {
    return blazen_stream_on_ready(stream, ready, this, drop, nullptr);
  }
  // Called once, dropped once, in that order.
  void expect_called(const char* what = "") const {
    EXPECT_EQ(calls, 1) << what;
    EXPECT_EQ(drops, 1) << what;
    EXPECT_EQ(late, 0) << what;
  }
};

// Publishes 1 to count, and stops.
Spec publishing(int count) {
  return Spec().start([count](Ctx& ctx) {
    for (int i = 1; i <= count; ++i) ctx.publish("P", std::to_string(i));
    ctx.stop();
  });
}

// A run whose only step waits for the test.
struct Held {
  std::mutex lock;
  Invocation invocation;
  Spec spec() {
    return Spec().start([this](Ctx& ctx) -> blazen_status {
      std::lock_guard guard(lock);
      invocation = ctx.defer();
      return BLAZEN_PENDING;
    });
  }
  bool is_there() {
    std::lock_guard guard(lock);
    return invocation.get() != nullptr;
  }
  void stop(std::string_view text = "1") {
    Ctx(invocation).stop(text);
    MUST(blazen_invocation_complete(invocation, e));
  }
};

const std::string kEnd = "blazen::StreamEnd=null";

// --------------------------------------------------------------------------------------------------- streams

TEST_P(Life, StreamGivesEveryItemInOrderWithItsNumber) {
  Engine engine(GetParam());
  const RunHandle run = create(engine, publishing(3).build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  EXPECT_EQ(
      take(stream),
      (std::vector<Item>{
          {1, "P", "json 1"}, {2, "P", "json 2"}, {3, "P", "json 3"}, {4, BLAZEN_STREAM_END, "json null"}}));
  // The end again, for as long as one asks.
  EXPECT_EQ(text_of(take(stream)), kEnd);
}

TEST_P(Life, ItemOfAStreamNamesItsStepAndItsCorrelation) {
  Engine engine(GetParam());
  const RunHandle run = create(engine, Spec()
                                           .start([](Ctx& ctx) {
                                             ctx.publish(event("P", json("1"), "c-9"));
                                             ctx.stop();
                                           })
                                           .build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  Event item;
  MUST(blazen_stream_next(stream, 0, item.out(), nullptr, e));
  EXPECT_EQ(source_of(item), "start");
  EXPECT_EQ(correlation_of(item), "c-9");
}

TEST_P(Life, PublishedEventIsNeverRouted) {
  std::atomic<int> routed{0};
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               ctx.publish("A");
                                               ctx.publish(BLAZEN_STOP_EVENT, "1");
                                               ctx.emit("B");
                                             })
                                             .step("a", {"A"}, [&](Ctx&) { ++routed; })
                                             .step("b", {"B"}, [](Ctx& ctx) { ctx.stop("2"); }));
  EXPECT_EQ(end.text(), "5 json 2");
  EXPECT_EQ(routed, 0);
}

TEST_P(Life, LaterSubscriberSeesWhatIsPublishedFromThenOn) {
  Held held;
  Engine engine(GetParam());
  Spec spec = held.spec();
  const RunHandle run = create(engine, spec.build());
  const Stream early = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return held.is_there(); });
  Ctx ctx(held.invocation);
  ctx.publish("P", "1");
  const Stream later = subscribe(run);
  ctx.publish("P", "2");
  held.stop();
  engine.settle(run);
  const Stream last = subscribe(run);
  EXPECT_EQ(take(early),
            (std::vector<Item>{{1, "P", "json 1"}, {2, "P", "json 2"}, {3, BLAZEN_STREAM_END, "json null"}}));
  EXPECT_EQ(take(later), (std::vector<Item>{{2, "P", "json 2"}, {3, BLAZEN_STREAM_END, "json null"}}));
  EXPECT_EQ(take(last), (std::vector<Item>{{3, BLAZEN_STREAM_END, "json null"}}));
}

TEST_P(Life, StreamEndsOnEveryPath) {
  Engine engine(GetParam());
  const auto ends = [&](const Workflow& workflow, bool close) {
    const RunHandle run = create(engine, workflow);
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    if (close) MUST(blazen_run_close(run, e));
    if (!close) engine.settle(run);
    return text_of(take(stream));
  };
  Held held;
  EXPECT_EQ(ends(publishing(0).build(), false), kEnd) << "completed";
  EXPECT_EQ(ends(Spec().start([](Ctx& ctx) { return ctx.fail(1, "x"); }).build(), false), kEnd) << "failed";
  EXPECT_EQ(ends(Spec().start([](Ctx&) { throw 1; }).build(), false), kEnd) << "thrown";
  EXPECT_EQ(ends(Spec().start([](Ctx&) {}).build(), false), kEnd) << "stalled";
  EXPECT_EQ(ends(Spec().start([](Ctx& ctx) { ctx.emit("Nobody"); }).build(), false), kEnd) << "no handler";
  EXPECT_EQ(ends(held.spec().build(), true), kEnd) << "closed";
}

TEST_P(Life, StreamOfARunThatWasNeverStartedEndsWhenItIsClosed) {
  Engine engine(GetParam());
  const RunHandle run = create(engine, publishing(1).build());
  const Stream stream = subscribe(run);
  EXPECT_EQ(text_of(take(stream)), "");
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(text_of(take(stream)), kEnd);
}

// Law 5 for a runtime: a run that was created and never started is pending too.
TEST_P(Life, CloseOfTheRuntimeEndsRunsThatWereNeverStarted) {
  Callback callback;
  Engine engine(GetParam());
  const RunHandle run = create(engine, publishing(1).build());
  const Stream stream = subscribe(run);
  MUST(callback.on_done(run));
  MUST(blazen_runtime_close(engine.runtime(), e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(blazen_run_wait(run, 0, nullptr, nullptr), BLAZEN_OK) << "with no deadline, this wait would hang";
  EXPECT_EQ(text_of(take(stream)), kEnd);
  callback.expect_called();
}

TEST_P(Life, ClosedStreamGivesStreamEndAndTheRunGoesOn) {
  Held held;
  Engine engine(GetParam());
  const RunHandle run = start(engine, held.spec().build());
  engine.until(run, [&] { return held.is_there(); });
  const Stream closed = subscribe(run);
  const Stream open = subscribe(run);
  Ctx(held.invocation).publish("P", "1");
  MUST(blazen_stream_close(closed, e));
  MUST(blazen_stream_close(closed, e));
  EXPECT_EQ(text_of(take(closed)), kEnd);
  held.stop();
  engine.settle(run);
  EXPECT_EQ(text_of(take(closed)), kEnd);
  EXPECT_EQ(text_of(take(open)), "P=1 " + kEnd);
}

TEST_P(Life, SeveralSubscribersEachHaveTheirOwnCursor) {
  Engine engine(GetParam());
  const RunHandle run = create(engine, publishing(4).build());
  std::vector<Stream> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(subscribe(run));
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  Event item;
  MUST(blazen_stream_next(streams[1], 0, item.out(), nullptr, e));
  EXPECT_EQ(input_of(item), "1");
  EXPECT_EQ(text_of(take(streams[0])), "P=1 P=2 P=3 P=4 " + kEnd);
  EXPECT_EQ(text_of(take(streams[1])), "P=2 P=3 P=4 " + kEnd);
  streams[1].reset();
  EXPECT_EQ(text_of(take(streams[2])), "P=1 P=2 P=3 P=4 " + kEnd);
}

TEST_P(Life, SlowSubscriberGetsOneGapWithTheCountAndThenTheRest) {
  Engine engine(GetParam());
  Spec spec = publishing(10);
  spec.limit(BLAZEN_LIMIT_STREAM_ITEMS, 4);
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  EXPECT_EQ(take(stream), (std::vector<Item>{{6, BLAZEN_STREAM_GAP, "json {\"missed\":6}"},
                                             {7, "P", "json 7"},
                                             {8, "P", "json 8"},
                                             {9, "P", "json 9"},
                                             {10, "P", "json 10"},
                                             {11, BLAZEN_STREAM_END, "json null"}}));
}

TEST_P(Life, QuickSubscriberMissesNothingBesideASlowOne) {
  Held held;
  Engine engine(GetParam());
  Spec spec = held.spec();
  spec.limit(BLAZEN_LIMIT_STREAM_ITEMS, 2);
  const RunHandle run = create(engine, spec.build());
  const Stream slow = subscribe(run);
  const Stream quick = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return held.is_there(); });
  for (int i = 1; i <= 6; ++i) {
    Ctx(held.invocation).publish("P", std::to_string(i));
    EXPECT_EQ(text_of(take(quick)), "P=" + std::to_string(i));
  }
  held.stop();
  engine.settle(run);
  EXPECT_EQ(text_of(take(quick)), kEnd);
  EXPECT_EQ(text_of(take(slow)), "blazen::StreamGap={\"missed\":4} P=5 P=6 " + kEnd);
}

TEST_P(Life, ItemsThatEverybodyHasTakenAreLetGo) {
  Counted object;
  Held held;
  Engine engine(GetParam());
  Spec spec = held.spec();
  spec.limit(BLAZEN_LIMIT_STREAM_RETAINED, 0);
  const RunHandle run = create(engine, spec.build());
  const Stream first = subscribe(run);
  const Stream second = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return held.is_there(); });
  Ctx(held.invocation).publish(event("P", live(object).get()));
  EXPECT_EQ(take(first).size(), 1U);
  EXPECT_EQ(object.drops, 0);
  EXPECT_EQ(take(second).size(), 1U);
  EXPECT_EQ(object.drops, 1);
  held.stop();
  engine.settle(run);
}

TEST_P(Life, StreamOutlivesTheHandlesOfItsRunAndRuntime) {
  Stream stream;
  {
    Engine engine(GetParam());
    RunHandle run = create(engine, publishing(2).build());
    stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    engine.settle(run);
  }
  EXPECT_EQ(text_of(take(stream)), "P=1 P=2 " + kEnd);
}

TEST_P(Life, ReadyCallbackComesOnceWhenThereIsAnItem) {
  Callback first;
  Callback second;
  Callback third;
  Held held;
  Engine engine(GetParam());
  const RunHandle run = create(engine, held.spec().build());
  const Stream stream = subscribe(run);
  MUST(first.on_ready(stream));
  EXPECT_EQ(second.on_ready(stream), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(second.drops, 1);
  EXPECT_EQ(second.calls, 0);
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return held.is_there(); });
  EXPECT_EQ(first.calls, 0);
  Ctx(held.invocation).publish("P", "1");
  Ctx(held.invocation).publish("P", "2");
  first.expect_called();
  second.drops = 0;
  MUST(second.on_ready(stream));
  second.expect_called("there is one already");
  EXPECT_EQ(text_of(take(stream)), "P=1 P=2");
  MUST(third.on_ready(stream));
  EXPECT_EQ(third.calls, 0);
  held.stop();
  engine.settle(run);
  engine.until(run, [&] { return third.drops == 1; });
  third.expect_called("the end");
}

TEST_P(Life, ReadyCallbackOfAClosedStreamIsCalledOrDroppedButNeverLost) {
  Callback pending;
  Callback after;
  Held held;
  Engine engine(GetParam());
  const RunHandle run = start(engine, held.spec().build());
  const Stream stream = subscribe(run);
  MUST(pending.on_ready(stream));
  MUST(blazen_stream_close(stream, e));
  EXPECT_EQ(pending.drops, 1);
  // StreamEnd is there to take: the header says that the callback comes then.
  MUST(after.on_ready(stream));
  after.expect_called("after the close");
}

TEST_P(Life, ReadyCallbackMayTakeItemsAndRegisterAgain) {
  Engine engine(GetParam());
  struct Reader {
    blazen_stream* stream;
    std::mutex lock;
    std::string text;
    std::atomic<bool> ended{false};
    static void ready(void* self) {
      auto* reader = static_cast<Reader*>(self);
      const std::vector<Item> items = take(reader->stream);
      {
        std::lock_guard guard(reader->lock);
        reader->text += (reader->text.empty() ? "" : " ") + text_of(items);
      }
      if (!items.empty() && items.back().type == BLAZEN_STREAM_END) {
        reader->ended = true;
      } else {
        MUST(blazen_stream_on_ready(reader->stream, ready, self, nullptr, e));
      }
    }
  } reader;
  const RunHandle run = create(engine, publishing(20).build());
  const Stream stream = subscribe(run);
  reader.stream = stream;
  MUST(blazen_stream_on_ready(stream, Reader::ready, &reader, nullptr, e));
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return reader.ended.load(); });
  std::string expected;
  for (int i = 1; i <= 20; ++i) expected += "P=" + std::to_string(i) + " ";
  EXPECT_EQ(reader.text, expected + kEnd);
}

TEST_P(LifeAsleep, NextWithADeadlineAnswersTimeoutAndThenTheItem) {
  Held held;
  Engine engine(GetParam());
  const RunHandle run = start(engine, held.spec().build());
  const Stream stream = subscribe(run);
  engine.until(run, [&] { return held.is_there(); });
  Event item;
  EXPECT_EQ(blazen_stream_next(stream, 0, item.out(), nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
  EXPECT_EQ(blazen_stream_next(stream, 1, item.out(), nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
  EXPECT_EQ(blazen_stream_next(stream, -2, item.out(), nullptr, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  Ctx(held.invocation).publish("P", "1");
  MUST(blazen_stream_next(stream, BLAZEN_FOREVER, item.out(), nullptr, e));
  EXPECT_EQ(input_of(item), "1");
  held.stop();
  MUST(blazen_stream_next(stream, BLAZEN_FOREVER, item.out(), nullptr, e));
  EXPECT_EQ(type_of(item), BLAZEN_STREAM_END);
}

// ----------------------------------------------------------------------------------------------------- waits

TEST_P(Life, WaitHasADeadlineAndTheRunGoesOn) {
  Held held;
  Engine engine(GetParam());
  const RunHandle run = start(engine, held.spec().build());
  engine.until(run, [&] { return held.is_there(); });
  blazen_run_state state = BLAZEN_RUN_NONE;
  EXPECT_EQ(blazen_run_wait(run, 0, &state, nullptr), BLAZEN_ERROR_TIMEOUT);
  EXPECT_EQ(blazen_run_wait(run, 1, &state, nullptr), BLAZEN_ERROR_TIMEOUT);
  EXPECT_EQ(state, BLAZEN_RUN_NONE);
  EXPECT_EQ(blazen_run_wait(run, -5, &state, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  held.stop();
  MUST(blazen_run_wait(run, BLAZEN_FOREVER, &state, e));
  EXPECT_EQ(state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Life, WaitEndsWhenAnotherThreadCompletesTheStep) {
  NEEDS_THREADS();
  Held held;
  Engine engine(GetParam());
  const RunHandle run = start(engine, held.spec().build());
  engine.until(run, [&] { return held.is_there(); });
  std::thread completer([&] { held.stop("7"); });
  blazen_run_state state = BLAZEN_RUN_NONE;
  MUST(blazen_run_wait(run, kPatience_ms, &state, e));
  completer.join();
  EXPECT_EQ(outcome(run).text(), "5 json 7");
}

TEST_P(LifeAsleep, SeveralThreadsMayWaitForOneRun) {
  NEEDS_THREADS();
  Engine engine(GetParam());
  const RunHandle run = create(engine, Spec()
                                           .step("s", {BLAZEN_START_EVENT, "Again"},
                                                 [](Ctx& ctx) {
                                                   const int round =
                                                       ctx.input() == "null" ? 0 : std::stoi(ctx.input());
                                                   if (round == 200) ctx.stop();
                                                   if (round < 200)
                                                     ctx.emit("Again", std::to_string(round + 1));
                                                 })
                                           .build());
  std::vector<std::thread> threads;
  std::atomic<int> completed{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      blazen_run_state state = BLAZEN_RUN_NONE;
      MUST(blazen_run_wait(run, kPatience_ms, &state, e));
      if (state == BLAZEN_RUN_COMPLETED) ++completed;
    });
  }
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(completed, 4);
}

TEST_P(Life, DoneCallbackComesOnceWithTheState) {
  Callback before;
  Callback during;
  Callback after;
  Held held;
  Engine engine(GetParam());
  const RunHandle run = create(engine, held.spec().build());
  MUST(before.on_done(run));
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return held.is_there(); });
  MUST(during.on_done(run));
  EXPECT_EQ(before.calls, 0);
  held.stop();
  engine.settle(run);
  engine.until(run, [&] { return before.drops == 1 && during.drops == 1; });
  MUST(after.on_done(run));
  for (const Callback* callback : {&before, &during, &after}) {
    callback->expect_called();
    EXPECT_EQ(callback->state, BLAZEN_RUN_COMPLETED);
  }
}

TEST_P(Life, DoneCallbackComesWhenTheRunParksElsewhere) {
  Callback callback;
  Engine engine(GetParam());
  const RunHandle run =
      create(engine, Spec().start([](Ctx& ctx) { ctx.emit("Far"); }).elsewhere("far", {"Far"}).build());
  MUST(callback.on_done(run));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
  engine.until(run, [&] { return callback.drops == 1; });
  callback.expect_called();
  EXPECT_EQ(callback.state, BLAZEN_RUN_ELSEWHERE);
}

TEST_P(Life, RefusedCallbackIsDroppedAndNotCalled) {
  Callback callback;
  Engine engine(GetParam());
  EXPECT_EQ(callback.on_done(nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(callback.drops, 1);
  const RunHandle run = create(engine, publishing(0).build());
  EXPECT_EQ(blazen_run_on_done(run, nullptr, &callback, Callback::drop, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(callback.drops, 2);
  const Stream stream = subscribe(run);
  EXPECT_EQ(blazen_stream_on_ready(stream, nullptr, &callback, Callback::drop, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(callback.drops, 3);
  EXPECT_EQ(callback.calls, 0);
}

TEST_P(Life, UncalledCallbackIsDroppedWithItsRun) {
  Callback callback;
  {
    Engine engine(GetParam());
    const RunHandle run = create(engine, publishing(0).build());
    MUST(callback.on_done(run));
  }
  EXPECT_EQ(callback.drops, 1);
}

// ----------------------------------------------------------------------------------------------------- close

TEST_P(Life, CloseCancelsWhatIsPendingAndNoCallbackComesAfterIt) {
  Callback done;
  Callback ready;
  Counted state;
  Counted queued;
  {
    Engine engine(GetParam());
    Held held;
    Spec spec = held.spec();
    spec.step("never", {"Never"}, [](Ctx&) { ADD_FAILURE() << "ran after the close"; }, 1);
    spec.steps.back().accepts.push_back("Block");
    const RunHandle run = start(engine, spec.build());
    engine.until(run, [&] { return held.is_there(); });
    Ctx(held.invocation).set_session("live", live(state));
    const Stream stream = subscribe(run);
    MUST(done.on_done(run));
    MUST(ready.on_ready(stream));
    MUST(blazen_run_close(run, e));
    done.expect_called();
    ready.expect_called();
    EXPECT_EQ(done.state, BLAZEN_RUN_CANCELLED);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(text_of(take(stream)), kEnd);
    EXPECT_TRUE(Ctx(held.invocation).cancelled());
    EXPECT_EQ(blazen_run_send_event(run, event("Never"), nullptr, nullptr), BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(blazen_invocation_complete(held.invocation, nullptr), BLAZEN_ERROR_CANCELLED);
    MUST(blazen_run_close(run, e));
  }
  EXPECT_EQ(state.drops, 1);
  EXPECT_EQ(queued.drops, 0);
}

TEST_P(Life, CloseOfTheRuntimeCancelsItsRunsOnce) {
  Callback callbacks[3];
  Held held[3];
  Engine engine(GetParam());
  std::vector<RunHandle> runs;
  for (int i = 0; i < 3; ++i) {
    runs.push_back(start(engine, held[i].spec().build()));
    MUST(callbacks[i].on_done(runs[i]));
  }
  for (int i = 0; i < 3; ++i) engine.until(runs[i], [&] { return held[i].is_there(); });
  MUST(blazen_runtime_close(engine.runtime(), e));
  for (const Callback& callback : callbacks) {
    callback.expect_called();
    EXPECT_EQ(callback.state, BLAZEN_RUN_CANCELLED);
  }
  MUST(blazen_runtime_close(engine.runtime(), e));
  RunHandle late;
  EXPECT_EQ(blazen_run_create(engine.runtime(), publishing(0).build(), nullptr, late.out(), nullptr),
            BLAZEN_ERROR_CANCELLED);
}

// What is queued is dropped with the run, each object once, and not before.
TEST_P(Life, ClosedRunLetsGoOfEverythingItHeldExactlyOnce) {
  Counted objects[5];
  {
    Engine engine(GetParam());
    Held held;
    Spec spec = held.spec();
    spec.step("busy", {"Busy"}, [](Ctx&) {}, 1).elsewhere("far", {"Far"});
    const RunHandle run = create(engine, spec.build());
    MUST(blazen_run_start(run, live(objects[0]), e));
    engine.until(run, [&] { return held.is_there(); });
    Ctx ctx(held.invocation);
    const Stream stream = subscribe(run);
    ctx.emit("Busy", live(objects[1]));
    ctx.set_session("s", live(objects[2]));
    ctx.publish(event("P", live(objects[3]).get()));
    MUST(blazen_run_send_event(run, event("Far", live(objects[4]).get()), nullptr, e));
    for (const Counted& object : objects) EXPECT_EQ(object.drops, 0);
    MUST(blazen_run_close(run, e));
  }
  for (const Counted& object : objects) EXPECT_EQ(object.drops, 1);
}

TEST_P(LifeOnThreads, CloseWaitsForABodyThatRuns) {
  std::atomic<int> stage{0};
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  stage = 1;
                                  while (!ctx.cancelled()) std::this_thread::yield();
                                  stage = 2;
                                })
                                .build();
  const RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return stage == 1; });
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(stage, 2);
}

// A callback that stays inside until the test lets it go.
struct Stay {
  std::atomic<bool> is_inside{false};
  std::atomic<bool> may_leave{false};
  std::atomic<bool> has_left{false};
  void here() {
    is_inside = true;
    while (!may_leave) std::this_thread::yield();
    has_left = true;
  }
  static void callback(void* self) { static_cast<Stay*>(self)->here(); }
  static void done(void* self, blazen_run*, blazen_run_state) { callback(self); }
};

// Law 5: what is closed has waited for whoever is inside a callback of it, on whatever thread.
void expect_close_waits(blazen_runtime* runtime, const std::function<void()>& work) {
  enum Place { body, ready, ended };
  enum What { run_itself, stream_itself, all };
  for (const auto& [place, what] :
       {std::pair(body, run_itself), std::pair(ready, run_itself), std::pair(ready, stream_itself),
        std::pair(ended, run_itself), std::pair(ready, all)}) {
    SCOPED_TRACE(std::to_string(place) + " " + std::to_string(what));
    Stay stay;
    RunHandle run;
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([&, where = place](Ctx& ctx) {
      ctx.publish("P");
      if (where == body) stay.here();
      if (where == ended) ctx.stop();
    });
    MUST(blazen_run_create(runtime, spec.build(), nullptr, run.out(), e));
    const Stream stream = subscribe(run);
    if (place == ready) MUST(blazen_stream_on_ready(stream, Stay::callback, &stay, nullptr, e));
    if (place == ended) MUST(blazen_run_on_done(run, Stay::done, &stay, nullptr, e));
    MUST(blazen_run_start(run, nullptr, e));
    Beside worker(work);
    while (!stay.is_inside) std::this_thread::yield();
    bool left_first = false;
    Beside closer([&, kind = what] {
      MUST(kind == run_itself      ? blazen_run_close(run, e)
           : kind == stream_itself ? blazen_stream_close(stream, e)
                                   : blazen_runtime_close(runtime, e));
      left_first = stay.has_left;
    });
    EXPECT_FALSE(closer.returns()) << "the close has returned while a callback is inside";
    stay.may_leave = true;
    closer.join();
    EXPECT_TRUE(left_first);
    worker.join();
    MUST(blazen_run_close(run, e));
  }
}

TEST_P(LifeOnThreads, CloseWaitsForWhoeverIsInsideACallback) {
  Engine engine(GetParam());
  expect_close_waits(engine.runtime(), [] {});
}

TEST(Runtimes, CloseWaitsForTheBodyAndTheCallbacksThatAnotherThreadPolls) {
  NEEDS_THREADS();
  Runtime runtime;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  expect_close_waits(runtime, [&] { MUST(blazen_runtime_poll(runtime, 0, nullptr, e)); });
  // The runtime is closed by now; the body of a run of its own, for that close.
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  Stay stay;
  RunHandle run;
  MUST(blazen_run_create(runtime, Spec().start([&](Ctx&) { stay.here(); }).build(), nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  Beside poller([&] { MUST(blazen_runtime_poll(runtime, 0, nullptr, e)); });
  while (!stay.is_inside) std::this_thread::yield();
  Beside closer([&] { MUST(blazen_runtime_close(runtime, e)); });
  EXPECT_FALSE(closer.returns()) << "the close has returned while a body runs";
  stay.may_leave = true;
}

// Closed at any moment of a run that publishes, sends and writes: each callback is called and dropped once,
// and none later.
TEST_P(LifeOnThreads, CloseAtAnyMomentLeavesNoCallbackBehind) {
  for (int round = 0; round < 40; ++round) {
    Callback done;
    Callback ready;
    std::atomic<int> steps{0};
    Counted object;
    {
      Engine engine(GetParam());
      Spec spec;
      spec.step("again", {BLAZEN_START_EVENT, "Again"}, [&](Ctx& ctx) {
        ++steps;
        ctx.publish("P");
        ctx.set("k", "1");
        ctx.send(event("Beside", live(object).get()));
        ctx.emit("Again");
      });
      spec.step("beside", {"Beside"}, [](Ctx& ctx) { ctx.publish("P"); }, 2);
      const RunHandle run = create(engine, spec.build());
      const Stream stream = subscribe(run);
      MUST(done.on_done(run));
      MUST(ready.on_ready(stream));
      MUST(blazen_run_start(run, nullptr, e));
      engine.until(run, [&] { return steps > round * 3; });
      MUST(blazen_run_close(run, e));
      done.expect_called();
      ready.expect_called();
      const int steps_at_close = steps;
      EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
      const std::vector<Item> items = take(stream);
      ASSERT_FALSE(items.empty());
      EXPECT_EQ(items.back().type, BLAZEN_STREAM_END);
      EXPECT_EQ(steps, steps_at_close);
    }
    EXPECT_EQ(object.drops, steps);
  }
}

// ------------------------------------------------------------------------------------ releases, in any order

TEST_P(Life, HandlesMayBeReleasedInAnyOrder) {
  // Six handles of one completed run, in all 720 orders.
  const int alive = Body::alive;
  std::vector<int> order = {0, 1, 2, 3, 4, 5};
  int count = 0;
  do {
    if (is_threaded(GetParam()) && ++count % 24 != 0) continue;
    Counted object;
    {
      Runtime extra;
      Engine engine(GetParam());
      extra = Runtime(blazen_runtime_retain(engine.runtime()));
      Workflow workflow = Spec()
                              .start([](Ctx& ctx) {
                                ctx.stop(Value(blazen_value_retain(blazen_event_value(ctx.trigger()))));
                              })
                              .build();
      RunHandle run = create(engine, workflow);
      Stream stream = subscribe(run);
      MUST(blazen_run_start(run, live(object), e));
      engine.settle(run);
      Value result;
      MUST(blazen_run_result(run, result.out(), e));
      Event item;
      MUST(blazen_stream_next(stream, 0, item.out(), nullptr, e));
      for (const int which : order) {
        if (which == 0) extra.reset();
        if (which == 1) workflow.reset();
        if (which == 2) run.reset();
        if (which == 3) stream.reset();
        if (which == 4) result.reset();
        if (which == 5) item.reset();
      }
    }
    ASSERT_EQ(object.drops, 1);
    ASSERT_EQ(Body::alive, alive);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(LifeByItself, RuntimeHandleGoesFirstAndItsRunGoesOn) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = is_threaded(GetParam()) ? BLAZEN_MODE_THREADS : BLAZEN_MODE_PUMP;
  options.threads = 2;
  Counted data;
  options.user_data = &data;
  options.drop = Counted::drop;
  {
    Runtime runtime;
    MUST(blazen_runtime_create(&options, runtime.out(), e));
    RunHandle run;
    MUST(blazen_run_create(runtime, publishing(1).build(), nullptr, run.out(), e));
    runtime.reset();
    MUST(blazen_run_start(run, nullptr, e));
    blazen_run_state state = BLAZEN_RUN_NONE;
    MUST(blazen_run_wait(run, kPatience_ms, &state, e));
    EXPECT_EQ(state, BLAZEN_RUN_COMPLETED);
    EXPECT_EQ(data.drops, 0);
  }
  EXPECT_EQ(data.drops, 1);
}

// The last handle of everything goes away inside a step: the close ends when the body has returned.
TEST(Release, LastReleaseInsideAStepOnAnEngineThread) {
  NEEDS_THREADS();
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> drops{0};
    struct Shared {
      std::mutex lock;
      Runtime runtime;
      RunHandle run;
      std::atomic<bool> returned{false};
    } shared;
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.threads = 3;
    options.user_data = &drops;
    options.drop = [](void* data) { ++*static_cast<std::atomic<int>*>(data); };
    {
      std::lock_guard guard(shared.lock);
      MUST(blazen_runtime_create(&options, shared.runtime.out(), e));
      const Workflow workflow = Spec()
                                    .start([&](Ctx& ctx) {
                                      std::lock_guard hold(shared.lock);
                                      shared.run.reset();
                                      shared.runtime.reset();
                                      EXPECT_EQ(drops, 0);
                                      ctx.stop();
                                    })
                                    .build();
      MUST(blazen_run_create(shared.runtime, workflow, nullptr, shared.run.out(), e));
      MUST(blazen_run_start(shared.run, nullptr, e));
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (drops == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_EQ(drops, 1);
  }
}

TEST(Release, LastReleaseInsideATaskOfTheHostsExecutor) {
  std::deque<blazen_task*> tasks;
  struct Host {
    std::deque<blazen_task*>* tasks;
    int drops = 0;
  } host{&tasks};
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.user_data = &host;
  options.post = [](void* data, blazen_task* task) -> blazen_status {
    static_cast<Host*>(data)->tasks->push_back(task);
    return BLAZEN_OK;
  };
  options.drop = [](void* data) { ++static_cast<Host*>(data)->drops; };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  RunHandle run;
  Workflow workflow = Spec()
                          .start([&](Ctx& ctx) {
                            run.reset();
                            runtime.reset();
                            ctx.stop();
                          })
                          .build();
  MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_EQ(tasks.size(), 1U);
  blazen_task_run(tasks.front());
  EXPECT_EQ(host.drops, 1);
}

// -------------------------------------------------------------------------------------------------- one call

TEST_P(LifeAsleep, ShortPathRunsFromInputToResult) {
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) { ctx.emit("A", ctx.input()); })
                                .step("a", {"A"}, [](Ctx& ctx) { ctx.stop(ctx.input()); })
                                .build();
  Value result;
  MUST(blazen_workflow_run(workflow, engine.runtime(), json("1.0"), result.out(), e));
  EXPECT_EQ(describe(result), "json 1.0");
  MUST(blazen_workflow_run(workflow, engine.runtime(), nullptr, result.out(), e));
  EXPECT_EQ(describe(result), "json null");
}

TEST_P(LifeAsleep, ShortPathAnswersTheErrorOfTheRun) {
  Engine engine(GetParam());
  const auto fails = [&](const Spec& spec) {
    Value result;
    Error error;
    const blazen_status status =
        blazen_workflow_run(spec.build(), engine.runtime(), nullptr, result.out(), error.out());
    EXPECT_EQ(status, error.status());
    EXPECT_EQ(result.get(), nullptr);
    return error;
  };
  const Error failed = fails(Spec().start([](Ctx& ctx) { return ctx.fail(5, "x"); }));
  EXPECT_EQ(failed.status(), BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(failed.host_code(), 5);
  EXPECT_EQ(fails(Spec().start([](Ctx&) {})).status(), BLAZEN_ERROR_STALLED);
  EXPECT_EQ(fails(Spec().start([](Ctx& ctx) { ctx.emit("Nobody"); })).status(), BLAZEN_ERROR_NO_HANDLER);
  EXPECT_EQ(fails(Spec().start([](Ctx& ctx) { ctx.emit("Far"); }).elsewhere("far", {"Far"})).status(),
            BLAZEN_ERROR_WRONG_STATE);
}

// A run that only the outside could move on, with nobody who holds it, must not be waited for.
TEST_P(LifeAsleep, ShortPathRefusesARunThatWaitsForTheOutside) {
  Engine engine(GetParam());
  Spec waits;
  waits.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow = waits.start([](Ctx&) {}).build();
  Value result;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(blazen_workflow_run(workflow, engine.runtime(), nullptr, result.out(), nullptr),
              BLAZEN_ERROR_WRONG_STATE);
  }
}

TEST_P(Life, ShortPathOnAClosedRuntimeIsCancelled) {
  Engine engine(GetParam());
  MUST(blazen_runtime_close(engine.runtime(), e));
  Value result;
  EXPECT_EQ(blazen_workflow_run(publishing(0).build(), engine.runtime(), nullptr, result.out(), nullptr),
            BLAZEN_ERROR_CANCELLED);
}

// ----------------------------------------------------------------------------------------------- wrong place

// Every call that is `outside` answers WRONG_PLACE, from wherever a callback calls it.
struct Outside {
  blazen_runtime* runtime = nullptr;
  blazen_run* run = nullptr;
  blazen_stream* stream = nullptr;
  blazen_workflow* workflow = nullptr;
  std::atomic<int> calls{0};
  std::atomic<int> closed{0};

  void check(const char* where) {
    const auto expect = [&](blazen_status status, const char* call) {
      EXPECT_EQ(status, BLAZEN_ERROR_WRONG_PLACE)
          << call << " in " << where << " answered " << blazen_status_name(status);
    };
    Value result;
    Event item;
    if (run != nullptr) expect(blazen_run_close(run, nullptr), "blazen_run_close");
    if (run != nullptr && !is_settled(blazen_run_state_now(run))) {
      expect(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, nullptr), "blazen_run_wait");
      expect(blazen_run_wait(run, 5, nullptr, nullptr), "blazen_run_wait");
    }
    if (stream != nullptr) expect(blazen_stream_close(stream, nullptr), "blazen_stream_close");
    if (stream != nullptr)
      expect(blazen_stream_next(stream, 5, item.out(), nullptr, nullptr), "blazen_stream_next");
    expect(blazen_runtime_poll(runtime, 1, nullptr, nullptr), "blazen_runtime_poll");
    if (workflow != nullptr)
      expect(blazen_workflow_run(workflow, runtime, nullptr, result.out(), nullptr), "blazen_workflow_run");
    expect(blazen_runtime_close(runtime, nullptr), "blazen_runtime_close");
    ++calls;
  }
};

TEST_P(Life, OutsideCallsFromInsideACallbackAnswerWrongPlace) {
  Outside outside;
  Engine engine(GetParam());
  const Workflow other = publishing(0).build();
  const RunHandle run = create(engine, Spec()
                                           .start([&](Ctx& ctx) {
                                             outside.check("a step");
                                             ctx.publish("P");
                                             ctx.stop();
                                           })
                                           .build());
  const Stream stream = subscribe(run);
  outside.runtime = engine.runtime();
  outside.run = run;
  outside.stream = stream;
  outside.workflow = other;
  MUST(blazen_stream_on_ready(
      stream, [](void* self) { static_cast<Outside*>(self)->check("a ready callback"); }, &outside, nullptr,
      e));
  MUST(blazen_run_on_done(
      run,
      [](void* self, blazen_run*, blazen_run_state) {
        static_cast<Outside*>(self)->check("a done callback");
      },
      &outside, [](void* self) { static_cast<Outside*>(self)->check("the drop of a callback"); }, e));
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  engine.until(run, [&] { return outside.calls == 4; });
  EXPECT_EQ(outside.calls, 4);
}

TEST_P(Life, WaitsWithADeadlineOfZeroArePossibleInsideAStep) {
  Engine engine(GetParam());
  const RunHandle run =
      create(engine, Spec()
                         .start([&](Ctx& ctx) {
                           EXPECT_EQ(blazen_run_wait(ctx.run(), 0, nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
                           Stream stream = subscribe(ctx.run());
                           ctx.publish("P");
                           EXPECT_EQ(take(stream).size(), 1U);
                           ctx.stop();
                         })
                         .build());
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

TEST(WrongPlace, PollFromTheWakeCallback) {
  struct Host {
    blazen_runtime* runtime = nullptr;
    std::vector<blazen_status> answers;
  } host;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  options.user_data = &host;
  options.wake = [](void* self) {
    auto* h = static_cast<Host*>(self);
    h->answers.push_back(blazen_runtime_poll(h->runtime, 1, nullptr, nullptr));
  };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  host.runtime = runtime;
  const Workflow workflow =
      Spec()
          .step("s", {BLAZEN_START_EVENT, "Again"},
                [](Ctx& ctx) {
                  if (ctx.input() == "3") ctx.stop();
                  if (ctx.input() != "3")
                    ctx.emit("Again",
                             ctx.input() == "null" ? "1" : std::to_string(std::stoi(ctx.input()) + 1));
                })
          .build();
  RunHandle run;
  MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  for (int i = 0; i < 10; ++i) MUST(blazen_runtime_poll(runtime, 1, nullptr, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED);
  EXPECT_FALSE(host.answers.empty());
  for (const blazen_status answer : host.answers)
    EXPECT_EQ(answer, BLAZEN_ERROR_WRONG_PLACE) << blazen_status_name(answer);
}

// The same from attach and detach, on a thread of the engine: a close there would wait for its own thread.
TEST(WrongPlace, PollFromAttachAndDetach) {
  NEEDS_THREADS();
  struct Host {
    Runtime helper;
    std::mutex lock;
    std::vector<blazen_status> answers;
    static void call(void* self) {
      auto* host = static_cast<Host*>(self);
      const blazen_status answer = blazen_runtime_poll(host->helper, 1, nullptr, nullptr);
      std::lock_guard guard(host->lock);
      host->answers.push_back(answer);
    }
  } host;
  blazen_runtime_options pump = BLAZEN_RUNTIME_OPTIONS_INIT;
  pump.mode = BLAZEN_MODE_PUMP;
  MUST(blazen_runtime_create(&pump, host.helper.out(), e));
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 2;
  options.user_data = &host;
  options.attach = Host::call;
  options.detach = Host::call;
  {
    Runtime runtime;
    MUST(blazen_runtime_create(&options, runtime.out(), e));
  }
  EXPECT_EQ(host.answers.size(), 4U);
  for (const blazen_status answer : host.answers)
    EXPECT_EQ(answer, BLAZEN_ERROR_WRONG_PLACE) << blazen_status_name(answer);
}

// -------------------------------------------------------------------------------------------------- runtimes

TEST(Runtimes, TwoOfThemRunOneWorkflowSideBySide) {
  const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(ctx.input()); }).build();
  Engine pump(Way::pump);
  {
    Engine queue(Way::queue);
    RunHandle in_pump = start(pump, workflow, "1");
    RunHandle in_queue = start(queue, workflow, "2");
    EXPECT_EQ(finish(queue, in_queue).text(), "5 json 2");
    EXPECT_EQ(blazen_run_state_now(in_pump), BLAZEN_RUN_RUNNING);
    MUST(blazen_runtime_close(queue.runtime(), e));
    EXPECT_EQ(finish(pump, in_pump).text(), "5 json 1");
  }
  EXPECT_EQ(run_to_end(pump, workflow, "3").text(), "5 json 3");
}

// Runs share the threads: one that never ends does not keep another from its turn.
TEST_P(LifeInTurns, EndlessRunsStarveNobody) {
  Engine engine(GetParam());
  std::vector<RunHandle> endless;
  const Workflow spin = Spec("spin")
                            .start([](Ctx& ctx) { ctx.emit("L"); })
                            .step("l", {"L"}, [](Ctx& ctx) { ctx.emit("L"); })
                            .build();
  for (int i = 0; i < 4; ++i) endless.push_back(start(engine, spin));
  EXPECT_EQ(run_to_end(engine, Spec("other").start([](Ctx& ctx) { ctx.stop(); })).state,
            BLAZEN_RUN_COMPLETED);
  for (const RunHandle& run : endless) MUST(blazen_run_close(run, e));
}

TEST(Runtimes, EachThreadIsAttachedOnceBeforeItsFirstStepAndDetachedAfterItsLast) {
  NEEDS_THREADS();
  struct Host {
    std::mutex lock;
    std::vector<std::thread::id> attached;
    std::vector<std::thread::id> detached;
    bool dropped_early = false;
  } host;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 3;
  options.user_data = &host;
  options.attach = [](void* self) {
    auto* h = static_cast<Host*>(self);
    std::lock_guard guard(h->lock);
    h->attached.push_back(std::this_thread::get_id());
  };
  options.detach = [](void* self) {
    auto* h = static_cast<Host*>(self);
    std::lock_guard guard(h->lock);
    h->detached.push_back(std::this_thread::get_id());
  };
  {
    Runtime runtime;
    MUST(blazen_runtime_create(&options, runtime.out(), e));
    const auto is_attached = [&] {
      std::lock_guard guard(host.lock);
      return std::find(host.attached.begin(), host.attached.end(), std::this_thread::get_id()) !=
             host.attached.end();
    };
    const std::thread::id main = std::this_thread::get_id();
    const Workflow workflow = Spec()
                                  .step("s", {BLAZEN_START_EVENT, "A"},
                                        [&](Ctx& ctx) {
                                          EXPECT_TRUE(is_attached() || std::this_thread::get_id() == main);
                                          ctx.stop();
                                        })
                                  .build();
    for (int i = 0; i < 10; ++i) {
      RunHandle run;
      MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
      MUST(blazen_run_start(run, nullptr, e));
      MUST(blazen_run_wait(run, kPatience_ms, nullptr, e));
    }
  }
  std::sort(host.attached.begin(), host.attached.end());
  std::sort(host.detached.begin(), host.detached.end());
  EXPECT_EQ(host.attached.size(), 3U);
  EXPECT_EQ(host.attached, host.detached);
}

TEST(Runtimes, RefusedOptionsDropTheUserDataOnce) {
  Counted data;
  Runtime runtime;
  Error error;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.user_data = &data;
  options.drop = Counted::drop;
  options.mode = 17;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(data.drops, 1);
  options.mode = BLAZEN_MODE_EXECUTOR;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("options.post")) << error.message();
  EXPECT_EQ(data.drops, 2);
  options.mode = BLAZEN_MODE_THREADS;
  options.threads = 257;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(data.drops, 3);
  options.struct_size = 3;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
}

TEST(Runtimes, PollRunsAsManyStepsAsItIsToldAndSaysHowMany) {
  Engine engine(Way::pump);
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  for (int i = 0; i < 9; ++i) ctx.emit("A");
                                })
                                .step("a", {"A"}, [](Ctx&) {})
                                .build();
  const RunHandle run = start(engine, workflow);
  const RunHandle other = start(engine, workflow);
  uint64_t steps = 99;
  MUST(blazen_runtime_poll(engine.runtime(), 1, &steps, e));
  EXPECT_EQ(steps, 1U);
  MUST(blazen_runtime_poll(engine.runtime(), 4, &steps, e));
  EXPECT_EQ(steps, 4U);
  MUST(blazen_runtime_poll(engine.runtime(), 0, &steps, e));
  EXPECT_EQ(steps, 15U);
  MUST(blazen_runtime_poll(engine.runtime(), 0, &steps, e));
  EXPECT_EQ(steps, 0U);
}

TEST(Runtimes, WakeComesAtMostOnceBetweenTwoPolls) {
  std::atomic<int> wakes{0};
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  options.user_data = &wakes;
  options.wake = [](void* self) { ++*static_cast<std::atomic<int>*>(self); };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow = spec.start([](Ctx&) {}).step("a", {"A"}, [](Ctx&) {}).build();
  RunHandle run;
  MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  for (int i = 0; i < 5; ++i) MUST(blazen_run_send_event(run, event("A"), nullptr, e));
  EXPECT_EQ(wakes, 1);
  MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
  EXPECT_EQ(wakes, 1);
  MUST(blazen_run_send_event(run, event("A"), nullptr, e));
  EXPECT_EQ(wakes, 2);
}

TEST(Runtimes, DescriptorIsReadableExactlyWhileThereIsWork) {
  Engine engine(Way::pump);
  int32_t descriptor = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &descriptor, e));
  const auto readable = [&] {
    pollfd waited{descriptor, POLLIN, 0};
    return ::poll(&waited, 1, 0) == 1;
  };
  EXPECT_FALSE(readable());
  const RunHandle run = start(
      engine,
      Spec().start([](Ctx& ctx) { ctx.emit("A"); }).step("a", {"A"}, [](Ctx& ctx) { ctx.stop(); }).build());
  EXPECT_TRUE(readable());
  MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  EXPECT_TRUE(readable());
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_FALSE(readable());
  int32_t same = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &same, e));
  EXPECT_EQ(same, descriptor);
}

TEST(Runtimes, PollFromSeveralThreadsAtOnce) {
  NEEDS_THREADS();
  Engine engine(Way::pump);
  const Workflow workflow = Spec()
                                .step("s", {BLAZEN_START_EVENT, "Again"},
                                      [](Ctx& ctx) {
                                        const int round = ctx.input() == "null" ? 0 : std::stoi(ctx.input());
                                        if (round == 100) ctx.stop();
                                        if (round < 100) ctx.emit("Again", std::to_string(round + 1));
                                      })
                                .build();
  std::vector<RunHandle> runs;
  for (int i = 0; i < 20; ++i) runs.push_back(start(engine, workflow));
  std::atomic<uint64_t> all{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (const RunHandle& run : runs) {
        while (!is_ended(blazen_run_state_now(run))) {
          uint64_t steps = 0;
          MUST(blazen_runtime_poll(engine.runtime(), 7, &steps, e));
          all += steps;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(all, 20U * 101U);
}

TEST(Runtimes, SchedulerThatDoesNotTakeATaskFailsTheRun) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.post = [](void*, blazen_task*) -> blazen_status { return -3; };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  RunHandle run;
  MUST(blazen_run_create(runtime, publishing(0).build(), nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_FAILED);
  EXPECT_EQ(outcome(run).error.host_code(), -3);
}

// A task for each step that can start, and none for what has a task already: the host's queue does not fill
// with nothing.
TEST(Runtimes, SchedulerGetsOneTaskForEachStep) {
  struct Scheduler {
    std::deque<blazen_task*> tasks;
    size_t posted = 0;
    static blazen_status post(void* self, blazen_task* task) {
      auto* scheduler = static_cast<Scheduler*>(self);
      scheduler->tasks.push_back(task);
      ++scheduler->posted;
      return BLAZEN_OK;
    }
  } scheduler;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.user_data = &scheduler;
  options.post = Scheduler::post;
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  size_t bodies = 0;
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([&](Ctx& ctx) {
    ++bodies;
    for (int i = 0; i < 10; ++i) ctx.send("A");
    for (int i = 0; i < 10; ++i) ctx.emit("A");
  });
  spec.step("a", {"A"}, [&](Ctx& ctx) {
    ++bodies;
    ctx.emit("B");
  });
  spec.step("b", {"B"}, [&](Ctx&) { ++bodies; }, 3);
  RunHandle run;
  MUST(blazen_run_create(runtime, spec.build(), nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  for (int i = 0; i < 5; ++i) MUST(blazen_run_send_event(run, event("A"), nullptr, e));
  while (!scheduler.tasks.empty()) {
    blazen_task* task = scheduler.tasks.front();
    scheduler.tasks.pop_front();
    blazen_task_run(task);
  }
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_WAITING);
  EXPECT_EQ(bodies, 1U + 25 + 25);
  EXPECT_EQ(scheduler.posted, bodies);
}

TEST(Runtimes, CancelledTaskCancelsItsRun) {
  std::deque<blazen_task*> tasks;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.user_data = &tasks;
  options.post = [](void* self, blazen_task* task) -> blazen_status {
    static_cast<std::deque<blazen_task*>*>(self)->push_back(task);
    return BLAZEN_OK;
  };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  RunHandle run;
  MUST(blazen_run_create(runtime, publishing(0).build(), nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_EQ(tasks.size(), 1U);
  blazen_task_cancel(tasks.front());
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
  MUST(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, e));
}

TEST(Runtimes, TaskOfAClosedRunDoesNothing) {
  std::deque<blazen_task*> tasks;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.user_data = &tasks;
  options.post = [](void* self, blazen_task* task) -> blazen_status {
    static_cast<std::deque<blazen_task*>*>(self)->push_back(task);
    return BLAZEN_OK;
  };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  RunHandle run;
  MUST(blazen_run_create(runtime, Spec().start([](Ctx&) { ADD_FAILURE() << "ran after the close"; }).build(),
                         nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_runtime_close(runtime, e));
  run.reset();
  runtime.reset();
  ASSERT_EQ(tasks.size(), 1U);
  blazen_task_run(tasks.front());
}

// ------------------------------------------------------------------------------------------------------ fork

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kThreadSanitizer = false;
#endif

TEST_P(LifeForked, ForkedChildReleasesWhatItInheritedAndMakesItsOwn) {
  if (kThreadSanitizer) GTEST_SKIP() << "the thread sanitizer does not follow a fork of several threads";
  auto engine = std::make_unique<Engine>(GetParam());
  auto run = std::make_unique<RunHandle>(create(*engine, publishing(1).build()));
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);  // a hang is a failure
    run.reset();
    blazen_runtime* inherited = engine->runtime();
    blazen_runtime_release(inherited);
    Engine own(Way::pump);
    const bool right = run_to_end(own, Spec().start([](Ctx& ctx) { ctx.stop("1"); })).text() == "5 json 1";
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child ended with " << status;
}

}  // namespace
}  // namespace bt
