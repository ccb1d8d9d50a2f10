// What the simulator has found (tests/simulation), each as the smallest case that shows it.
#include "support/blazen_test.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Which invocation comes by a permit first is no part of a snapshot: of those that have not started, the
// lowest ids hold the permits, with a snapshot and without one.
TEST(Found, TheOrderOfPermitsIsTheSameAfterAResume) {
  std::string order;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Job", "\"first\"");
    ctx.emit("Gate");
  });
  spec.step(
      "job", {"Job"},
      [&](Ctx& ctx) -> blazen_status {
        if (ctx.input() == "\"first\"" && ctx.ask("Well?", "q").empty()) return BLAZEN_PENDING;
        order += ctx.input();
        return ctx.input() == "\"second\"" ? ctx.emit_in(10, BLAZEN_STOP_EVENT) : BLAZEN_OK;
      },
      1);
  spec.step("gate", {"Gate"}, [](Ctx& ctx) { ctx.emit("Job", "\"second\""); });
  const Workflow workflow = spec.build();
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, workflow);
  for (int i = 0; i < 3; ++i) MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  MUST(blazen_run_respond(run, BLAZEN_TEXT("q"), json("1"), e));
  const std::string bytes = snapshot_bytes(run);
  engine.pass(0);
  EXPECT_EQ(order, "\"first\"\"second\"");
  order.clear();
  Engine other(Way::pump, &clock);
  RunHandle resumed = resume(other, workflow, bytes);
  MUST(blazen_run_start(resumed, nullptr, e));
  other.pass(0);
  EXPECT_EQ(order, "\"first\"\"second\"");
}

// An answer that the body has got already is no reason to call it once more.
TEST(Found, AnAnswerThatTheBodyHasSeenDoesNotCallItAgain) {
  int calls = 0;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    if (++calls == 2) MUST(blazen_run_respond(ctx.run(), BLAZEN_TEXT("b"), json("2"), e));
    const std::string answers = ctx.ask("?", "a") + ctx.ask("?", "b") + ctx.ask("?", "c");
    return answers.size() < 3 ? BLAZEN_PENDING : ctx.stop(answers);
  });
  Engine engine(Way::pump);
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_respond(run, BLAZEN_TEXT("a"), json("1"), e));
  EXPECT_TRUE(engine.until(run, [&] { return calls == 2; }));
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(calls, 2);
  MUST(blazen_run_respond(run, BLAZEN_TEXT("c"), json("3"), e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 123");
  EXPECT_EQ(calls, 3);
}

// What is sent already needs no room in the queue: a step that sends it once more is not refused.
TEST(Found, ARepeatedSendNeedsNoRoom) {
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 2).limit(BLAZEN_LIMIT_STEP_SENDS, 1);
  spec.start([](Ctx& ctx) -> blazen_status {
    blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
    later.delay_ms = 10;
    EXPECT_EQ(blazen_context_send_event(ctx.raw, event("Job"), &later, nullptr), BLAZEN_OK);
    return ctx.attempt() == 1 ? ctx.fail(1, "once more") : ctx.failed;
  });
  spec.retry(retries(2));
  spec.step("job", {"Job"}, [](Ctx& ctx) { ctx.stop("1"); });
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  engine.pass(10);
  EXPECT_EQ(outcome(run).text(), "5 json 1");
}

}  // namespace
