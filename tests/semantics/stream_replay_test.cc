// Goal: a subscriber gets exactly what it asked for: from any number on, of some types, with the exact count
// of what it cannot have, and always an end; and nothing of the run depends on who listens.
#include "support/blazen_test.hpp"
#include "support/streams.hpp"

namespace bt {
namespace {

using StreamReplay = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, StreamReplay, testing::ValuesIn(ways()), way_name);

constexpr auto kStreamEnd = BLAZEN_STREAM_END;
constexpr auto kGap = BLAZEN_STREAM_GAP;

TEST_P(StreamReplay, LateSubscriberGetsEveryItemFromTheNumberItNames) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  step.publish(1, 5);
  const Stream all = subscribe_with(run, {.from = 1});
  const Stream some = subscribe_with(run, {.from = 4});
  const Stream next = subscribe_with(run, {.from = 6});
  const Stream now = subscribe(run);
  step.publish(6, 6);
  step.stop();
  engine.settle(run);
  EXPECT_EQ(take(all), (std::vector<Item>{{1, "P", "json 1"},
                                          {2, "P", "json 2"},
                                          {3, "P", "json 3"},
                                          {4, "P", "json 4"},
                                          {5, "P", "json 5"},
                                          {6, "P", "json 6"},
                                          {7, kStreamEnd, "json null"}}));
  EXPECT_EQ(text_of(take(some)), "P=4 P=5 P=6 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(next)), "P=6 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(now)), "P=6 blazen::StreamEnd=null");
}

TEST_P(StreamReplay, WhatIsNotRetainedIsOneGapWithTheExactCount) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().limit(BLAZEN_LIMIT_STREAM_RETAINED, 3).build());
  step.wait_until_there(engine, run);
  step.publish(1, 10);
  const Stream all = subscribe_with(run, {.from = 1});
  const Stream some = subscribe_with(run, {.from = 7});
  const Stream kept = subscribe_with(run, {.from = 8});
  EXPECT_EQ(
      take(all),
      (std::vector<Item>{
          {7, kGap, "json {\"missed\":7}"}, {8, "P", "json 8"}, {9, "P", "json 9"}, {10, "P", "json 10"}}));
  EXPECT_EQ(text_of(take(some)), "blazen::StreamGap={\"missed\":1} P=8 P=9 P=10");
  EXPECT_EQ(text_of(take(kept)), "P=8 P=9 P=10");
  step.stop();
  engine.settle(run);
}

TEST_P(StreamReplay, RetainsTheDefaultNumberOfItemsAndNoMore) {
  Engine engine(GetParam());
  const RunHandle run = start(engine, publishing_spec(1030).build());
  engine.settle(run);
  const std::vector<Item> items = take(subscribe_with(run, {.from = 1}));
  ASSERT_EQ(items.size(), 1026U);
  EXPECT_EQ(items.front(), (Item{6, kGap, "json {\"missed\":6}"}));
  EXPECT_EQ(items[1], (Item{7, "P", "json 7"}));
}

TEST_P(StreamReplay, WorkflowThatRetainsNothingHasAGapForEverythingBefore) {
  Engine engine(GetParam());
  const RunHandle run = start(engine, publishing_spec(3).limit(BLAZEN_LIMIT_STREAM_RETAINED, 0).build());
  engine.settle(run);
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 1}))),
            "blazen::StreamGap={\"missed\":3} blazen::StreamEnd=null");
}

TEST_P(StreamReplay, SubscriberOfAnEndedRunGetsWhatIsRetainedAndTheEnd) {
  Engine engine(GetParam());
  const RunHandle run = start(engine, publishing_spec(2).build());
  engine.settle(run);
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 1}))), "P=1 P=2 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 2}))), "P=2 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 3}))), "blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(subscribe_with(run, {.lifecycle = true}))), "blazen::StreamEnd=null");
}

TEST_P(StreamReplay, CursorFromTheFutureIsRefusedAndNothingChanges) {
  Engine engine(GetParam());
  const RunHandle run = start(engine, publishing_spec(2).build());
  engine.settle(run);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  for (const uint64_t from : {uint64_t{4}, UINT64_MAX}) {
    options.from = from;
    blazen_stream* stream = nullptr;
    Error error;
    EXPECT_EQ(blazen_run_subscribe_with(run, &options, &stream, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_TRUE(error.says("options.from")) << error.message();
    EXPECT_EQ(stream, nullptr);
  }
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 1}))), "P=1 P=2 blazen::StreamEnd=null");
}

TEST_P(StreamReplay, ResumedRunHasAGapForWhatWasBeforeItsSnapshot) {
  PendingStep step;
  Engine engine(GetParam());
  const Workflow workflow = step.spec().build();
  std::string cut;
  {
    const RunHandle run = start(engine, workflow);
    step.wait_until_there(engine, run);
    step.publish(1, 3);
    cut = snapshot_bytes(run);
    MUST(blazen_run_close(run, e));
    step.forget();
  }
  const RunHandle run = resume(engine, workflow, cut);
  const Stream all = subscribe_with(run, {.from = 1});
  const Stream last = subscribe_with(run, {.from = 3});
  const Stream next = subscribe_with(run, {.from = 4});
  MUST(blazen_run_start(run, nullptr, e));
  step.wait_until_there(engine, run);
  step.publish(1, 4);  // the first three are repetitions
  step.stop();
  engine.settle(run);
  EXPECT_EQ(take(all),
            (std::vector<Item>{
                {3, kGap, "json {\"missed\":3}"}, {4, "P", "json 4"}, {5, kStreamEnd, "json null"}}));
  EXPECT_EQ(text_of(take(last)), "blazen::StreamGap={\"missed\":1} P=4 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(next)), "P=4 blazen::StreamEnd=null");
}

TEST_P(StreamReplay, TwoSubscribersHaveTheirOwnCursorsAndFilters) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Stream odd = subscribe_with(run, {.types = {"Odd"}});
  step.publish_pairs(1, 4);
  const Stream even = subscribe_with(run, {.from = 2, .types = {"Even", "Nothing"}});
  const Stream none = subscribe_with(run, {.from = 1, .types = {"Nothing"}});
  EXPECT_EQ(take(odd), (std::vector<Item>{{1, "Odd", "json 1"}, {3, "Odd", "json 3"}}));
  EXPECT_EQ(take(even), (std::vector<Item>{{2, "Even", "json 2"}, {4, "Even", "json 4"}}));
  EXPECT_EQ(take(none), std::vector<Item>{});
  step.publish_pairs(5, 6);
  step.stop();
  engine.settle(run);
  EXPECT_EQ(text_of(take(odd)), "Odd=5 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(even)), "Even=6 blazen::StreamEnd=null");
  EXPECT_EQ(take(none), (std::vector<Item>{{7, kStreamEnd, "json null"}}));
}

TEST_P(StreamReplay, FilteredOutItemsNeverMakeAStreamReady) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Stream stream = subscribe_with(run, {.types = {"Even"}});
  std::atomic<int> calls{0};
  MUST(blazen_stream_on_ready(
      stream, [](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &calls, nullptr, e));
  step.publish_pairs(1, 1);
  EXPECT_EQ(calls, 0);
  step.publish_pairs(2, 2);
  EXPECT_EQ(calls, 1);
  step.stop();
  engine.settle(run);
}

TEST_P(StreamReplay, GapOfAFilteredStreamCountsTheItemsOfTheRun) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().limit(BLAZEN_LIMIT_STREAM_RETAINED, 4).build());
  step.wait_until_there(engine, run);
  const Stream slow = subscribe_with(run, {.types = {"Even"}, .capacity = 4});
  step.publish_pairs(1, 10);
  EXPECT_EQ(
      take(slow),
      (std::vector<Item>{{6, kGap, "json {\"missed\":5}"}, {8, "Even", "json 8"}, {10, "Even", "json 10"}}));
  EXPECT_EQ(text_of(take(subscribe_with(run, {.from = 1, .types = {"Odd"}}))),
            "blazen::StreamGap={\"missed\":6} Odd=7 Odd=9");
  step.stop();
  engine.settle(run);
}

TEST_P(StreamReplay, CapacityIsTheSubscribersOwnAndSparesWhatItReplays) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  step.publish(1, 4);
  const Stream small = subscribe_with(run, {.from = 1, .capacity = 2});
  const Stream large = subscribe_with(run, {.from = 1});
  step.publish(5, 6);
  EXPECT_EQ(text_of(take(small)), "P=1 P=2 P=3 P=4 P=5 P=6");
  step.publish(7, 10);
  EXPECT_EQ(text_of(take(small)), "blazen::StreamGap={\"missed\":2} P=9 P=10");
  EXPECT_EQ(take(large).size(), 10U);
  step.stop();
  engine.settle(run);
}

TEST(StreamOptions, BadOptionsAreRefusedByName) {
  Engine engine;
  const RunHandle run = create(engine, publishing_spec(1).limit(BLAZEN_LIMIT_STREAM_ITEMS, 8).build());
  const auto refused = [&](const blazen_stream_options& options, blazen_status status, const char* name) {
    blazen_stream* stream = nullptr;
    Error error;
    EXPECT_EQ(blazen_run_subscribe_with(run, &options, &stream, error.out()), status) << name;
    EXPECT_TRUE(error.says(name)) << error.message();
    EXPECT_EQ(stream, nullptr);
  };
  const blazen_stream_options fine = BLAZEN_STREAM_OPTIONS_INIT;
  const char* types[] = {"P", ""};
  const char* no_text[] = {nullptr};
  const char* not_utf8[] = {"\xff"};
  const size_t lengths[] = {1, 0};
  blazen_stream_options bad = fine;
  bad.struct_size = 3;
  refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "struct_size");
  bad = fine;
  bad.type_count = 1;
  refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.types");
  bad.types = types;
  refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.type_lengths");
  bad.type_lengths = lengths;
  bad.type_count = 2;
  refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.types");
  bad.type_count = SIZE_MAX;
  refused(bad, BLAZEN_ERROR_LIMIT, "BLAZEN_ACCEPTS_MAX");
  bad.type_count = 1;
  bad.types = no_text;
  refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.types");
  bad.types = not_utf8;
  refused(bad, BLAZEN_ERROR_INVALID_UTF8, "options.types");
  for (const int32_t value : {-1, 2, INT32_MIN, INT32_MAX}) {
    bad = fine;
    bad.overflow = value;
    refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.overflow");
    bad = fine;
    bad.lifecycle = value;
    refused(bad, BLAZEN_ERROR_INVALID_ARGUMENT, "options.lifecycle");
  }
  bad = fine;
  bad.capacity = 9;
  refused(bad, BLAZEN_ERROR_LIMIT, "BLAZEN_LIMIT_STREAM_ITEMS");
  // None of them counts as a subscriber, and none of them is in the way.
  Stream stream;
  MUST(blazen_run_subscribe_with(run, nullptr, stream.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  EXPECT_EQ(text_of(take(stream)), "P=1 blazen::StreamEnd=null");
}

TEST(StreamOptions, TypesOfTheStreamItselfAreRefusedFromStepsAndHosts) {
  Engine engine;
  int refusals = 0;
  Spec spec = Spec().start([&](Ctx& ctx) -> blazen_status {
    for (const char* type : {BLAZEN_STREAM_END, BLAZEN_STREAM_GAP, BLAZEN_LIFECYCLE, BLAZEN_PROGRESS}) {
      const Event fake = event(type);
      Error error;
      refusals += blazen_context_publish(ctx.raw, fake, error.out()) == BLAZEN_ERROR_INVALID_ARGUMENT;
      EXPECT_TRUE(error.says(type)) << error.message();
      refusals += blazen_context_emit_event(ctx.raw, fake, nullptr, nullptr) == BLAZEN_ERROR_INVALID_ARGUMENT;
      refusals += blazen_context_send_event(ctx.raw, fake, nullptr, nullptr) == BLAZEN_ERROR_INVALID_ARGUMENT;
      refusals +=
          blazen_context_emit(ctx.raw, type, strlen(type), nullptr, nullptr) == BLAZEN_ERROR_INVALID_ARGUMENT;
      refusals += blazen_run_send_event(ctx.run(), fake, nullptr, nullptr) == BLAZEN_ERROR_INVALID_ARGUMENT;
    }
    return ctx.stop();
  });
  spec.unhandled = BLAZEN_UNHANDLED_STREAM;
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  EXPECT_EQ(refusals, 20);
  EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
}

TEST(StreamOptions, WorkflowThatAcceptsATypeOfTheStreamIsRefused) {
  for (const char* type : {BLAZEN_STREAM_END, BLAZEN_STREAM_GAP, BLAZEN_LIFECYCLE, BLAZEN_PROGRESS}) {
    Workflow workflow;
    Error error;
    const Spec spec = Spec().step("s", {BLAZEN_START_EVENT, type}, [](Ctx& ctx) { ctx.stop(); });
    EXPECT_EQ(spec.try_build(workflow, error), BLAZEN_ERROR_INVALID_WORKFLOW);
    EXPECT_TRUE(error.says(type)) << error.message();
  }
}

}  // namespace
// Whoever waits by callback hears of the end of its subscription, as of the end of the run.
TEST(Streams, ClosingCallsWhoeverWaitsForAnItem) {
  struct Waiting {
    int calls = 0;
    int drops = 0;
  } waiting;
  Engine engine;
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.start([](Ctx&) {}).build());
  Stream stream = subscribe(run);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  MUST(blazen_stream_on_ready(
      stream, [](void* self) { ++static_cast<Waiting*>(self)->calls; }, &waiting,
      [](void* self) { ++static_cast<Waiting*>(self)->drops; }, e));
  EXPECT_EQ(waiting.calls, 0);
  MUST(blazen_stream_close(stream, e));
  EXPECT_EQ(waiting.calls, 1);
  EXPECT_EQ(waiting.drops, 1);
  Event item;
  MUST(blazen_stream_next(stream, 0, item.out(), nullptr, e));
  EXPECT_EQ(type_of(item), BLAZEN_STREAM_END);
}

}  // namespace bt
