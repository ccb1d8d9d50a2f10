// How a run is steered: pause, questions, time, retries, cancellation, atomic steps. Time is the test's own.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

blazen_run_state wait_for(blazen_run* run, uint32_t until) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  MUST(blazen_run_wait_until(run, until, 0, &state, e));
  return state;
}

std::string description_of(blazen_run* run) {
  Value description;
  MUST(blazen_run_describe(run, description.out(), e));
  return data_of(description);
}

// --------------------------------------------------------------------------------------------------- retries

TEST(Retries, FailTwiceThenSucceed) {
  FakeClock clock;
  Spec spec;
  std::vector<uint32_t> attempts;
  spec.start([&](Ctx& ctx) -> blazen_status {
        attempts.push_back(ctx.attempt());
        if (ctx.attempt() < 3) return ctx.fail(7, "not yet");
        return ctx.stop("\"done\"");
      })
      .retry(retries(5, 100, 2));
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  EXPECT_EQ(attempts.size(), 1U);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(engine.next_timer(), 100);
  engine.pass(99);
  EXPECT_EQ(attempts.size(), 1U);
  engine.pass(1);
  EXPECT_EQ(attempts.size(), 2U);
  EXPECT_EQ(engine.next_timer(), 200);
  engine.pass(200);
  EXPECT_EQ(attempts, (std::vector<uint32_t>{1, 2, 3}));
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
}

TEST(Retries, ExhaustedSurfacesWithTheCountAndTheLastCause) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) { return ctx.fail(ctx.attempt(), "again"); }).retry(retries(3));
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  for (int i = 0; i < 5; ++i) engine.pass(0);
  Outcome end = outcome(run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(blazen_error_attempt(end.error), 3U);
  EXPECT_EQ(blazen_error_host_code(blazen_error_cause(end.error)), 3);
}

// ------------------------------------------------------------------------------------------------- questions

TEST(Questions, AStepAsksAndIsCalledAgainWithTheAnswer) {
  FakeClock clock;
  Spec spec;
  int calls = 0;
  spec.start([&](Ctx& ctx) -> blazen_status {
    ++calls;
    ctx.send("Note");
    const std::string answer = ctx.ask("Deploy?");
    if (answer.empty()) return BLAZEN_PENDING;
    return ctx.stop(answer);
  });
  spec.step("note", {"Note"}, [](Ctx& ctx) { ctx.set("notes " + std::to_string(ctx.id()), "1"); });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  EXPECT_EQ(wait_for(run, BLAZEN_UNTIL_ASKING), BLAZEN_RUN_ASKING);
  engine.pass(1'000'000);
  EXPECT_EQ(questions_text(run),
            "[{\"request_id\":\"i1.1\",\"prompt\":\"Deploy?\",\"step\":\"start\",\"invocation_id\":1,"
            "\"asked_ms\":1700000000000,\"age_ms\":1000000}]");
  EXPECT_EQ(respond(run, "i1.2", "1"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_OK);
  EXPECT_EQ(respond(run, "i1.1", "\"no\""), BLAZEN_ERROR_NOT_FOUND);
  engine.pass(0);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(data_of(outcome(run).result), "\"yes\"");
}

TEST(Questions, AnEventAsksAndAnEventAnswers) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    for (int i = 0; i < 3; ++i)
      ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"prompt\":\"" + std::to_string(i) + "\"}");
  });
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [&](Ctx& ctx) {
    ctx.set("answer " + std::to_string(ctx.id()), ctx.input());
    if (ctx.count("answer ") == 3) ctx.stop(ctx.input());
  });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_OK);
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  EXPECT_EQ(respond(run, "i1.3", "{\"a\":3}"), BLAZEN_OK);
  engine.pass(0);
  EXPECT_EQ(data_of(outcome(run).result), "{\"request_id\":\"i1.3\",\"response\":{\"a\":3}}");
}

// ------------------------------------------------------------------------------------------------------ time

TEST(Time, ARunTimesOutAndSaysWhatItWaitedFor) {
  FakeClock clock;
  Spec spec;
  spec.timeout_ms = 1000;
  Invocation held;
  spec.start([&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    return BLAZEN_PENDING;
  });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(999);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(1);
  Outcome end = outcome(run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_TRUE(end.error.says("in flight: 'start'")) << end.error.message();
}

TEST(Time, AStepThatTakesTooLongIsLeftToItself) {
  FakeClock clock;
  Spec spec;
  std::vector<Invocation> held;
  spec.start([&](Ctx& ctx) -> blazen_status {
        held.push_back(ctx.defer());
        return BLAZEN_PENDING;
      })
      .times_out(50)
      .retry(retries(2));
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(Ctx(held[0]).cancelled(), false);
  engine.pass(50);
  ASSERT_EQ(held.size(), 2U);
  EXPECT_TRUE(Ctx(held[0]).cancelled());
  EXPECT_EQ(Ctx(held[0]).stop(), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_invocation_complete(held[0], nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(Ctx(held[1]).stop("5"), BLAZEN_OK);
  EXPECT_EQ(blazen_invocation_complete(held[1], nullptr), BLAZEN_OK);
  EXPECT_EQ(data_of(outcome(run).result), "5");
}

TEST(Time, DelayedEventsComeInTheOrderOfTheirMoments) {
  FakeClock clock;
  Spec spec;
  std::string order;
  spec.start([&](Ctx& ctx) {
    ctx.emit_in(30, "Late", "3");
    ctx.emit_in(10, "Late", "1");
    ctx.emit_in(20, "Late", "2");
    ctx.emit_in(10, "Late", "11");
    ctx.emit_in(40, BLAZEN_STOP_EVENT, "4");
  });
  spec.step("late", {"Late"}, [&](Ctx& ctx) { order += ctx.input() + " "; });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  engine.pass(25);
  EXPECT_EQ(order, "1 11 2 ");
  engine.pass(100);
  EXPECT_EQ(order, "1 11 2 ");
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
}

// ----------------------------------------------------------------------------------------------------- pause

TEST(Pauses, NothingStartsUntilItGoesOn) {
  FakeClock clock;
  Spec spec;
  int steps = 0;
  Invocation held;
  spec.start([&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    return BLAZEN_PENDING;
  });
  spec.step("next", {"Next"}, [&](Ctx& ctx) {
    ++steps;
    ctx.stop();
  });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  Ctx(held).emit("Next");
  MUST(blazen_invocation_complete(held, e));
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(steps, 0);
  engine.pass(10'000'000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(0);
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(blazen_run_pause(run, BLAZEN_PAUSE_NOW, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_run_abort(run, nullptr), BLAZEN_OK);
}

TEST(Pauses, AbortIsPromptWhilePaused) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) { ctx.emit("Next"); });
  spec.step("next", {"Next"}, [&](Ctx& ctx) { ctx.stop(); });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_abort(run, e));
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_ABORTED);
  EXPECT_TRUE(description_of(run).find("\"status\":\"cancelled\"") != std::string::npos)
      << description_of(run);
}

// ------------------------------------------------------------------------------------------------- snapshots

TEST(Snapshots, HoldTimersQuestionsAndBackOff) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    ctx.emit("Ask");
    ctx.emit("Try");
    ctx.emit_in(500, "Late");
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("Well?", "q");
    if (answer.empty()) return BLAZEN_PENDING;
    return ctx.set("answer", answer);
  });
  spec.step("try", {"Try"},
            [](Ctx& ctx) -> blazen_status {
              if (ctx.attempt() < 3) return ctx.fail(1, "not yet");
              return ctx.set("tried", std::to_string(ctx.attempt()));
            })
      .retry(retries(3, 100));
  spec.step("late", {"Late"}, [](Ctx& ctx) -> blazen_status {
    if (!ctx.has("answer")) return ctx.emit_in(10, "Late");
    return ctx.stop(ctx.text("answer"));
  });
  const Workflow workflow = spec.build();
  Snapshot snapshot;
  {
    Engine engine(Way::pump, &clock);
    RunHandle run = start(engine, workflow);
    engine.pass(0);
    engine.pass(150);
    MUST(blazen_run_snapshot(run, snapshot.out(), e));
  }
  const std::string bytes = bytes_of(snapshot);
  Engine engine(Way::pump, &clock);
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, snapshot, nullptr, run.out(), e));
  clock.now_ms += 1'000'000;
  Snapshot again;
  MUST(blazen_run_snapshot(run, again.out(), e));
  EXPECT_TRUE(bytes_of(again) == bytes);
  EXPECT_EQ(respond(run, "q", "42"), BLAZEN_OK);
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  EXPECT_EQ(engine.next_timer(), 200) << description_of(run);
  engine.pass(200);
  EXPECT_TRUE(description_of(run).find("\"due_in_ms\":150") != std::string::npos) << description_of(run);
  engine.pass(150);
  EXPECT_EQ(data_of(outcome(run).result), "42");
}

// ---------------------------------------------------------------------------------------------------- atomic

TEST(Atomic, WritesAndSendsCountWithItsCompletionOnly) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        ctx.set("a", std::to_string(ctx.attempt()));
        ctx.send("Seen");
        EXPECT_EQ(ctx.text("a"), std::to_string(ctx.attempt()));
        EXPECT_EQ(ctx.keys(), "a");
        return ctx.attempt() < 2 ? ctx.fail(1, "no") : ctx.failed;
      })
      .atomic()
      .retry(retries(2));
  int seen = 0;
  spec.step("seen", {"Seen"}, [&](Ctx& ctx) {
    ++seen;
    EXPECT_EQ(ctx.text("a"), "2");
    ctx.stop();
  });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  for (int i = 0; i < 3; ++i) engine.pass(0);
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(seen, 1);
}

TEST(Failures, AHandlerStepTakesThem) {
  FakeClock clock;
  Spec spec;
  spec.start([&](Ctx& ctx) { return ctx.fail(9, "broken"); });
  spec.step("rescue", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) { ctx.stop(ctx.input()); });
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, spec.build());
  engine.pass(0);
  EXPECT_EQ(data_of(outcome(run).result),
            "{\"step\":\"start\",\"attempt\":1,\"invocation_id\":1,\"event_type\":\"blazen::StartEvent\","
            "\"status\":\"BLAZEN_ERROR_HOST\",\"message\":\"broken\",\"host_code\":9}");
}

// Who handles a failure can tell which conversation it belongs to, after a snapshot of the queue too.
TEST(Failures, AFailureKeepsTheCorrelationOfItsEvent) {
  std::string seen;
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.send(event("A", json("1"), "order-7")); });
  spec.step("a", {"A"}, [](Ctx& ctx) -> blazen_status { return ctx.fail(1, "no"); });
  spec.step("rescue", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) {
    seen = correlation_of(ctx.trigger()) + " of " + source_of(ctx.trigger());
    ctx.stop();
  });
  const Workflow workflow = spec.build();
  Engine engine(Way::pump);
  RunHandle run = start(engine, workflow);
  for (int i = 0; i < 2; ++i) MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  const std::string bytes = snapshot_bytes(run);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(std::exchange(seen, ""), "order-7 of a");
  RunHandle again = resume(engine, workflow, bytes);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(finish(engine, again).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(seen, "order-7 of a");
}

}  // namespace
