// Where runs inside meet something else: a time-out beside them, a cancel in the middle of what the engine does itself, values
// that go while the tree is changed, pools and a stream that holds, and whoever waits.
#include <semaphore>
#include <thread>

#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class ChildrenCorners : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(Ways, ChildrenCorners, testing::ValuesIn(ways()), way_name);

Spec echoing(const std::string& name) {
  Spec spec(name);
  spec.start([](Ctx& ctx) { ctx.stop(ctx.input()); });
  return spec;
}

Json description_of(const blazen_run* run) {
  Value text;
  MUST(blazen_run_describe(run, text.out(), e));
  return Json::parse(data_of(text));
}

Spec around(const Spec& inner) {
  Spec spec("outer");
  spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT);
  return spec;
}

TEST_P(ChildrenCorners, AStepWithATimeOutBesideSeveralAtOnce) {
  Engine engine(GetParam());
  Spec spec("outer");
  spec.start([](Ctx& ctx) { ctx.emit("Part", ctx.input()); }).times_out(60'000);
  spec.children("both", {"Part"}, {{"a", echoing("a")}, {"b", echoing("b")}}).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "1").text(), "5 json {\"a\":1,\"b\":1}");
}

// What has failed is known down to the host's own error, and by the names of all steps on the way.
TEST_P(ChildrenCorners, TheFailureOfABranchHasItsCauses) {
  Engine engine(GetParam());
  Spec deep("deep");
  deep.start([](Ctx& ctx) { return ctx.fail(42, "no room"); });
  Spec bad("bad");
  bad.child("below", {BLAZEN_START_EVENT}, deep).output_type(BLAZEN_STOP_EVENT);
  for (const bool first_success : {false, true}) {
    Spec spec("outer");
    spec.children("both", {BLAZEN_START_EVENT}, {{"a", bad}, {"b", bad}}, first_success)
        .output_type(BLAZEN_STOP_EVENT);
    const Outcome end = run_to_end(engine, spec, "1");
    ASSERT_EQ(end.state, BLAZEN_RUN_FAILED);
    const std::string branch =
        "BLAZEN_ERROR_STEP_FAILED[step 'below' failed: step 'start' failed: no room] step below attempt 1 "
        "code 42 <- "
        "BLAZEN_ERROR_STEP_FAILED[step 'start' failed: no room] step start attempt 1 code 42 <- "
        "BLAZEN_ERROR_HOST[no room] code 42";
    const std::string text = end.text();
    EXPECT_EQ(text.substr(std::min(text.size(), text.find("BLAZEN_ERROR_STEP_FAILED[step 'below'"))), branch)
        << text;
  }
}

TEST_P(ChildrenCorners, SoManyRunsAreInsideAndNoMore) {
  Engine engine(GetParam());
  Spec asks("asks");
  asks.start([](Ctx& ctx) { ctx.ask("q"); });
  for (const int count : {2, 3}) {
    Spec spec("outer");
    spec.limits.emplace_back(BLAZEN_LIMIT_CHILDREN, 2);
    spec.start([count](Ctx& ctx) {
      for (int i = 0; i < count; ++i) ctx.emit("Part", "1");
    });
    spec.child("inner", {"Part"}, asks).output_type(BLAZEN_STOP_EVENT);
    const RunHandle run = start(engine, spec.build());
    if (count == 2) {
      ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
      EXPECT_EQ(questions_of(run).size(), 2U);
      MUST(blazen_run_close(run, e));
    } else {
      const std::string text = finish(engine, run).text();
      EXPECT_NE(text.find("BLAZEN_LIMIT_CHILDREN (2) is reached"), std::string::npos) << text;
    }
  }
}

TEST_P(ChildrenCorners, WhoeverTakesTheResultsOfSeveralReadsThemLikeAJoin) {
  Engine engine(GetParam());
  Spec spec("outer");
  spec.children("both", {BLAZEN_START_EVENT}, {{"b", echoing("b")}, {"a\"", echoing("a")}});
  spec.step("end", {"both::output"}, [](Ctx& ctx) {
    const blazen_event* const* events = nullptr;
    size_t count = 0;
    for (int i = 0; i < 2; ++i) MUST(blazen_context_events(ctx.raw, &events, &count, e));
    std::string all;
    for (size_t i = 0; i < count; ++i)
      all += source_of(events[i]) + "=" + data_of(blazen_event_value(events[i])) + ";";
    ctx.stop(Json(all).dump());
  });
  EXPECT_EQ(run_to_end(engine, spec, "{\"x\": [1, 2]}").text(),
            R"(5 json "b={\"x\": [1, 2]};a\"={\"x\": [1, 2]};")");
  Spec none("none");
  none.children("both", {BLAZEN_START_EVENT}, {});
  none.step("end", {"both::output"}, [](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); });
  EXPECT_EQ(run_to_end(engine, none, "1").text(), "5 json []");
}

// What the engine does itself between the stages has no body that could hear of it.
TEST(ChildrenThreads, AnInvocationIsCancelledAtAnyMoment) {
  PipelineSpec pipeline;
  pipeline.stage("one", echoing("one"));
  pipeline.parallel("two", {{"a", echoing("a")}, {"b", echoing("b")}});
  pipeline.stage("three", echoing("three"), 3);
  const Workflow workflow = pipeline.build();
  for (const Way way : ways()) {
    if (!is_threaded(way)) continue;  // nothing comes between two steps
    const Engine engine(way);
    int cancelled = 0;
    for (int i = 0; i < 100; ++i) {
      const RunHandle run = start(engine, workflow, "1");
      while (blazen_run_state_now(run) == BLAZEN_RUN_RUNNING) {
        for (uint64_t id = 1; id < 30; ++id)
          cancelled += blazen_run_cancel_invocation(run, id, 0, nullptr) == BLAZEN_OK ? 1 : 0;
      }
    }
    EXPECT_GT(cancelled, 0);
  }
}

// A child that stands still lets go of what it has collected: outside every lock, where its drop may ask for the run.
TEST_P(ChildrenCorners, WhatAChildLetsGoOfIsDroppedOutsideTheLock) {
  struct Asks {
    blazen_run* run = nullptr;
    std::atomic<int> dropped{0};
    static void drop(void* self) {
      auto& asks = *static_cast<Asks*>(self);
      EXPECT_NE(blazen_run_state_now(asks.run), BLAZEN_RUN_NONE);
      Value description;
      MUST(blazen_run_describe(asks.run, description.out(), e));
      ++asks.dropped;
    }
  };
  for (const bool pauses : {false, true}) {
    Asks asks;
    Engine engine(GetParam());
    std::atomic<bool> collects{false};
    Spec inner("inner");
    inner.start([&](Ctx& ctx) {
      Value value;
      MUST(blazen_value_live(&asks, BLAZEN_TEXT("asks"), Asks::drop, value.out(), e));
      MUST(blazen_context_emit(ctx.raw, BLAZEN_TEXT("T"), value, e));
    });
    inner.step("collect", {"T"}, [&](Ctx& ctx) {
      if (pauses) MUST(blazen_run_pause(blazen_context_run(ctx.raw), BLAZEN_PAUSE_NOW, e));
      const blazen_status status = ctx.collect("k", {{"T", 2}});
      collects = true;
      return status;
    });
    const Workflow workflow = around(inner).build();
    const RunHandle run = create(engine, workflow);
    asks.run = run;
    MUST(blazen_run_start(run, nullptr, e));
    if (pauses) {
      ASSERT_TRUE(engine.until(
          run, [&] { return collects && description_of(run)["children"][0]["run"]["in_flight"].empty(); }));
      MUST(blazen_run_resume_in_place(run, e));
    }
    const Outcome end = finish(engine, run);
    EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
    EXPECT_TRUE(collects);
    MUST(blazen_run_close(run, e));  // then no drop is under way
    EXPECT_EQ(asks.dropped, 1);
  }
}

// A task of a host's executor begins a child: each step of it has a task, though this one goes on with the next body.
TEST(ChildrenThreads, BodiesOfAChildAndBesideItMayWaitForOneAnother) {
  for (const Way way : ways()) {
    if (way != Way::pool && way != Way::threads_4) continue;  // one body at a time
    Engine engine(way);
    std::counting_semaphore<8> came(0);
    const auto wait = [&came] {
      EXPECT_TRUE(came.try_acquire_for(kPatience));
      came.release();
    };
    Spec inner("inner");
    inner.start([&](Ctx& ctx) {
      wait();
      ctx.stop();
    });
    inner.step("comes", {BLAZEN_START_EVENT}, [&](Ctx&) { came.release(); });
    Spec spec("outer");
    spec.child("inner", {BLAZEN_START_EVENT}, inner);
    spec.step("waits", {BLAZEN_START_EVENT}, [&](Ctx&) { wait(); });
    spec.step("end", {"inner::output"}, [](Ctx& ctx) { ctx.stop(); });
    EXPECT_EQ(run_to_end(engine, spec).text(), "5 json null");
  }
}

// ---- whoever waits ----

TEST(ChildrenWaiting, AChildsTimeThatStandsStillIsNoReasonToWait) {
  for (const Way way : ways()) {
    if (way != Way::pump && way != Way::threads_1) continue;
    FakeClock clock;  // no time passes: what is due never comes
    const Engine engine(way, &clock);
    Spec inner("inner");
    inner.start([](Ctx& ctx) {
      MUST(blazen_run_pause(blazen_context_run(ctx.raw), BLAZEN_PAUSE_NOW, e));
      ctx.emit("Next");
    });
    inner.step("next", {"Next"}, [](Ctx& ctx) { ctx.stop(); });
    Spec spec("outer");
    spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT).times_out(8000);
    const Workflow workflow = spec.build();
    Value result;
    Error error;
    EXPECT_EQ(blazen_workflow_run(workflow, engine.runtime(), nullptr, result.out(), error.out()),
              BLAZEN_ERROR_WRONG_STATE);
    EXPECT_TRUE(error.says("the run is paused")) << error.message();
  }
}

TEST(ChildrenWaiting, ATreeThatNobodyHoldsAndThatAsksIsLost) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec inner("inner");
  inner.start([](Ctx& ctx) -> blazen_status { return ctx.ask("who?").empty() ? BLAZEN_PENDING : BLAZEN_OK; });
  Spec spec("outer");
  spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT).times_out(8000);
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  run.reset();
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  MUST(blazen_runtime_count(engine.runtime(), &counters, e));
  EXPECT_EQ(counters.cancelled, 1U);
}

TEST(ChildrenWaiting, AnotherThreadMayCompleteAStepOfAChildMeanwhile) {
  if (!has_threads()) GTEST_SKIP() << "without threads nothing happens meanwhile";
  for (const int64_t timeout_ms : {int64_t{20'000}, int64_t{-1}}) {
    FakeClock clock;
    const Engine engine(Way::pump, &clock);
    std::thread other;
    Spec inner("inner");
    inner.start([&](Ctx& ctx) -> blazen_status {
      other = std::thread([held = ctx.defer()]() mutable {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        MUST(
            blazen_context_emit(blazen_invocation_context(held), BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, e));
        MUST(blazen_invocation_complete(held, e));
        held.reset();
      });
      return BLAZEN_PENDING;
    });
    const Workflow workflow = around(inner).build();
    const RunHandle run = start(engine, workflow);
    blazen_run_state state = BLAZEN_RUN_NONE;
    Error error;
    EXPECT_EQ(blazen_run_wait(run, timeout_ms, &state, error.out()), BLAZEN_OK) << error.message();
    EXPECT_EQ(state, BLAZEN_RUN_COMPLETED);
    other.join();
  }
}

// ---- pools ----

// The permit that it has got and not used is the next one's, while a stream that has no room holds it.
TEST(ChildrenPools, WhoIsHeldGivesBackWhatItDoesNotUse) {
  for (const bool is_inside : {false, true}) {
    Engine engine(Way::pump);
    engine.set_pool("pool", 1);
    Invocation held;
    Spec defers("defers");
    defers.start([&](Ctx& ctx) -> blazen_status {
      held = ctx.defer();
      return BLAZEN_PENDING;
    });
    defers.uses_pool("pool");
    Spec works("works");
    works.start([](Ctx& ctx) {
      for (int i = 0; i < 3; ++i) ctx.publish("News");
      ctx.emit("Part");
    });
    works.step("work", {"Part"}, [](Ctx& ctx) { ctx.stop(); }).uses_pool("pool");
    const Workflow deferring = defers.build();
    const Workflow plain = works.build();
    const Workflow nested = around(works).build();
    const RunHandle first = start(engine, deferring);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    const RunHandle second = start(engine, is_inside ? nested : plain);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    const RunHandle third = start(engine, plain);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    MUST(blazen_context_emit(blazen_invocation_context(held), BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, e));
    MUST(blazen_invocation_complete(held, e));
    held.reset();
    blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
    options.overflow = BLAZEN_OVERFLOW_HOLD;
    options.capacity = 1;
    options.from = 1;
    Stream stream;
    MUST(blazen_run_subscribe_with(second, &options, stream.out(), e));
    EXPECT_TRUE(engine.reach(third, BLAZEN_RUN_COMPLETED));
    EXPECT_EQ(blazen_run_state_now(second), BLAZEN_RUN_RUNNING);
    stream.reset();
    EXPECT_TRUE(engine.reach(second, BLAZEN_RUN_COMPLETED));
  }
}

}  // namespace
