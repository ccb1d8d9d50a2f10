// Goal: back-pressure holds the run back and nothing else: no thread blocks, nothing is lost, and the run
// goes on, or ends, as soon as it may.
#include "support/blazen_test.hpp"
#include "support/streams.hpp"

namespace bt {
namespace {

using StreamHold = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, StreamHold, testing::ValuesIn(ways()), way_name);

// Twenty steps in a row, each of which publishes once.
struct Chain {
  std::atomic<int> steps{0};
  Spec spec() {
    return Spec().start([](Ctx& ctx) { ctx.emit("N", "1"); }).step("next", {"N"}, [this](Ctx& ctx) {
      const int n = std::stoi(ctx.input());
      ctx.publish("P", ctx.input());
      ++steps;
      n == 20 ? ctx.stop() : ctx.emit("N", std::to_string(n + 1));
    });
  }
};

// Lets whatever could still start do so.
void let_it_run(Engine& engine, const RunHandle& run) {
  for (int i = 0; i < 5; ++i) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
    engine.until(run, [&] { return std::chrono::steady_clock::now() > end; });
  }
}

TEST_P(StreamHold, RunStartsNoStepWhileTheSubscriberIsFullAndGoesOnWhenItTakes) {
  Chain chain;
  Engine engine(GetParam());
  const RunHandle run = create(engine, chain.spec().build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 3});
  MUST(blazen_run_start(run, nullptr, e));
  int taken = 0;
  while (taken < 18) {
    engine.until(run, [&] { return chain.steps == taken + 3; });
    let_it_run(engine, run);
    ASSERT_EQ(chain.steps, taken + 3);
    EXPECT_EQ(blazen_run_state_now(run), taken == 17 ? BLAZEN_RUN_COMPLETED : BLAZEN_RUN_RUNNING);
    Event item;
    uint64_t sequence = 0;
    MUST(blazen_stream_next(stream, 0, item.out(), &sequence, e));
    EXPECT_EQ(input_of(item), std::to_string(++taken));
    EXPECT_EQ(sequence, static_cast<uint64_t>(taken));
    if (taken == 18) break;
  }
  EXPECT_EQ(text_of(take(stream)), "P=19 P=20 blazen::StreamEnd=null");
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
}

TEST_P(StreamHold, WaitWithADeadlineEndsWithIt) {
  Chain chain;
  Engine engine(GetParam());
  const RunHandle run = create(engine, chain.spec().build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 1});
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return chain.steps == 1; });
  EXPECT_EQ(blazen_run_wait(run, 20, nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
  EXPECT_EQ(chain.steps, 1);
  MUST(blazen_stream_close(stream, e));
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(chain.steps, 20);
}

TEST_P(StreamHold, CloseAndReleaseOfTheStreamLetTheRunGoOn) {
  for (const bool closes : {true, false}) {
    Chain chain;
    Engine engine(GetParam());
    const RunHandle run = create(engine, chain.spec().build());
    Stream stream = subscribe_with(run, {.hold = true, .capacity = 2});
    MUST(blazen_run_start(run, nullptr, e));
    engine.until(run, [&] { return chain.steps == 2; });
    if (closes) MUST(blazen_stream_close(stream, e));
    if (!closes) stream.reset();
    EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
    EXPECT_EQ(chain.steps, 20);
    if (closes) EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
  }
}

TEST_P(StreamHold, HeldRunThatIsClosedEndsAtOnceAndItsStreamToo) {
  Chain chain;
  Engine engine(GetParam());
  const RunHandle run = create(engine, chain.spec().build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 2});
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return chain.steps == 2; });
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(text_of(take(stream)), "P=1 P=2 blazen::StreamEnd=null");
}

TEST_P(StreamHold, BodyUnderWayGoesOnAndNothingItPublishesIsLost) {
  Engine engine(GetParam());
  std::atomic<int> later{0};
  const RunHandle run = create(engine, Spec()
                                           .start([](Ctx& ctx) {
                                             for (int i = 1; i <= 9; ++i) ctx.publish("P", std::to_string(i));
                                             ctx.emit("N");
                                           })
                                           .step("next", {"N"},
                                                 [&](Ctx& ctx) {
                                                   ++later;
                                                   ctx.stop();
                                                 })
                                           .build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 2});
  const Stream other = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  const Stream again = subscribe_with(run, {.from = 1});
  engine.until(run,
               [&] { return info_of(snapshot(run)).find("\"stream_sequence\":9") != std::string::npos; });
  let_it_run(engine, run);
  EXPECT_EQ(later, 0);
  EXPECT_GE(take(stream).size(), 9U);  // and the end, where the run is quick
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(take(other).size(), 10U);
  EXPECT_EQ(take(again).size(), 10U);
}

// A body may publish more than is kept for a subscriber that holds. What is lost is told, and counts no more
// against its capacity: once it has taken the rest, the run goes on.
TEST_P(StreamHold, OneThatABodyHasOverrunLetsTheRunGoOn) {
  Engine engine(GetParam());
  std::atomic<int> later{0};
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STREAM_ITEMS, 3);
  spec.start([](Ctx& ctx) {
        for (int i = 1; i <= 10; ++i) ctx.publish("P", std::to_string(i));
        ctx.emit("N");
      })
      .step("next", {"N"}, [&](Ctx& ctx) {
        ++later;
        ctx.stop();
      });
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 2});
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run,
               [&] { return info_of(snapshot(run)).find("\"stream_sequence\":10") != std::string::npos; });
  let_it_run(engine, run);
  EXPECT_EQ(later, 0);
  std::vector<Item> all;
  engine.until(run, [&] {
    for (Item& item : take(stream)) all.push_back(std::move(item));
    return !all.empty() && all.back().type == BLAZEN_STREAM_END;
  });
  EXPECT_EQ(later, 1);
  EXPECT_EQ(text_of(all), "blazen::StreamGap={\"missed\":7} P=8 P=9 P=10 blazen::StreamEnd=null");
}

TEST_P(StreamHold, OnlyWhatTheSubscriberWantsCountsAgainstItsCapacity) {
  Chain chain;
  Engine engine(GetParam());
  const RunHandle run = create(engine, chain.spec().build());
  const Stream stream = subscribe_with(run, {.types = {"Q"}, .hold = true, .capacity = 1});
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
}

TEST_P(StreamHold, LifecycleItemsHoldTheRunBackToo) {
  Chain chain;
  Engine engine(GetParam());
  const RunHandle run = create(engine, chain.spec().build());
  const Stream stream = subscribe_with(run, {.hold = true, .capacity = 1, .lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  let_it_run(engine, run);
  EXPECT_EQ(chain.steps, 0);
  std::vector<Item> all;
  engine.until(run, [&] {
    for (Item& item : take(stream)) all.push_back(std::move(item));
    return !all.empty() && all.back().type == BLAZEN_STREAM_END;
  });
  EXPECT_EQ(chain.steps, 20);
  EXPECT_EQ(all.size(), 22U + 21 + 21 + 20 + 1);  // routed, started, completed, published, the end
}

TEST(StreamHoldOnThreads, ReaderThatSleepsAndRunThatWaitsForItComeToTheEnd) {
  NEEDS_THREADS();
  for (int round = 0; round < 20; ++round) {
    Chain chain;
    Engine engine(Way::threads_4);
    const RunHandle run = create(engine, chain.spec().build());
    const Stream stream = subscribe_with(run, {.hold = true, .capacity = 1});
    const Stream gone = subscribe_with(run, {.hold = true, .capacity = 2, .lifecycle = true});
    std::thread closer([&] { MUST(blazen_stream_close(gone, e)); });
    std::atomic<uint64_t> last{0};
    std::thread reader([&] {
      for (;;) {
        Event item;
        uint64_t sequence = 0;
        MUST(blazen_stream_next(stream, kPatience_ms, item.out(), &sequence, e));
        last = sequence;
        if (item.get() == nullptr || type_of(item) == BLAZEN_STREAM_END) return;
      }
    });
    MUST(blazen_run_start(run, nullptr, e));
    MUST(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, e));
    reader.join();
    closer.join();
    EXPECT_EQ(last, 21U);
  }
}

}  // namespace
}  // namespace bt
