// What the trees of the simulator (tests/simulation/trees_test.cc) have found in runs inside runs: each failed, or damaged the
// heap, before it was mended.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

Spec asking() {
  Spec spec("asking");
  spec.start([](Ctx& ctx) -> blazen_status {
    return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : ctx.stop(ctx.input());
  });
  return spec;
}

void poll_often(const Engine& engine) {
  for (int i = 0; i < 50; ++i) MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
}

// The end of the inner one ends the one around: what a tick of that has dropped is let go of after the run itself.
TEST(FoundInside, AChildWhoseFailureEndsItsParentWhileMoreOfThatIsUnderWay) {
  Engine engine;
  Spec bad("bad");
  bad.start([](Ctx& ctx) -> blazen_status { return ctx.fail(1, "no luck"); });
  Spec middle("middle");
  middle.start([](Ctx& ctx) {
    ctx.emit("Slow");
    ctx.emit("Bad");
    ctx.emit_in(1000, "Later");
  });
  middle.child("slow", {"Slow"}, asking());
  middle.child("bad", {"Bad"}, bad);
  middle.step("end", {"slow::output", "bad::output", "Later"}, [](Ctx& ctx) { ctx.stop(); });
  Spec top;
  top.child("middle", {BLAZEN_START_EVENT}, middle).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, top).error.host_code(), 1);
}

// Where its step is elsewhere, its invocation is not in flight: its end takes what is kept along.
TEST(FoundInside, AChildThatIsKeptGoesWithItsInvocation) {
  Engine engine;
  const auto build = [](bool is_here) {
    Spec spec;
    spec.start([](Ctx& ctx) {
      ctx.emit("Slow");
      ctx.emit("Quick");
    });
    if (is_here) {
      spec.child("slow", {"Slow"}, asking()).output_type("Done").elsewhere("quick", {"Quick"});
    } else {
      spec.elsewhere("slow", {"Slow"}).step("quick", {"Quick"}, [](Ctx& ctx) { ctx.emit("Done"); });
    }
    spec.step("join", {"Done"}, [](Ctx& ctx) { ctx.emit_in(1000, "End"); });
    spec.joins({.of = "start", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true});
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
    return spec.build();
  };
  const RunHandle run = start(engine, build(true));
  poll_often(engine);
  const RunHandle away = resume(engine, build(false), snapshot_bytes(run));
  MUST(blazen_run_start(away, nullptr, e));
  poll_often(engine);
  EXPECT_EQ(questions_text(away), "[]");
  const RunHandle back = resume(engine, build(true), snapshot_bytes(away));
  EXPECT_NE(back.get(), nullptr);
}

// What is kept has the id that it has in the run from which it comes.
TEST(FoundInside, ARunWithAChildThatIsKeptIsNotForkedThere) {
  Engine engine;
  Spec here;
  here.child("inner", {BLAZEN_START_EVENT}, asking()).output_type(BLAZEN_STOP_EVENT);
  Spec there;
  there.elsewhere("inner", {BLAZEN_START_EVENT});
  const Workflow workflow_here = here.build();
  const Workflow workflow_there = there.build();
  const RunHandle run = start(engine, workflow_here);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  RunHandle forked;
  Error error;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.fork = 1;
  EXPECT_EQ(
      blazen_run_resume(engine.runtime(), workflow_there, snapshot(run), &options, forked.out(), error.out()),
      BLAZEN_ERROR_SNAPSHOT_MISMATCH);
  EXPECT_TRUE(error.says("fork it where the workflows of all its runs are")) << error.message();
  MUST(blazen_run_resume(engine.runtime(), workflow_here, snapshot(run), &options, forked.out(), e));
}

// A round is counted by the correlation of what comes of it, and nothing does.
TEST(FoundInside, ALoopOfNoBranchesEnds) {
  Engine engine;
  PipelineSpec spec;
  spec.parallel("none", {}, false, 2);
  const RunHandle run = start(engine, spec.build(), "0");
  poll_often(engine);
  EXPECT_EQ(outcome(run).text(), "5 json {}");
}

// It is the body of the step that gathers the branches.
TEST(FoundInside, TheOutputMapperOfSeveralIsTriedAgain) {
  Engine engine;
  int tries = 0;
  Spec inner("inner");
  inner.start([](Ctx& ctx) { ctx.stop("1"); });
  Spec spec;
  spec.children("several", {BLAZEN_START_EVENT}, {{"a", inner}});
  spec.output(
          [&](Ctx& ctx) -> blazen_status { return ++tries < 2 ? ctx.fail(7, "once more") : ctx.answer("2"); })
      .output_type(BLAZEN_STOP_EVENT)
      .retry(retries(3));
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json 2");
}

}  // namespace
