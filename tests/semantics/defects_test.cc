// Goal: defects that other workflow engines have around time, questions and snapshots, each as a test that is
// named after the defect. Time is the test's own.
#include "support/control.hpp"

namespace bt {
namespace {

// What the run is like in another process, a day later.
struct NextProcess {
  NextProcess(FakeClock& clock, const Workflow& workflow, std::string_view bytes)
      : engine(Way::pump, &clock), run(resume(engine, workflow, bytes)) {
    clock.now_ms += 86'400'000;
    MUST(blazen_run_start(run, nullptr, e));
    engine.pass(0);
  }
  Engine engine;
  RunHandle run;
};

std::string snapshot_after(FakeClock& clock, const Workflow& workflow,
                           std::initializer_list<int64_t> passing) {
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, workflow);
  engine.pass(0);
  for (const int64_t ms : passing) engine.pass(ms);
  return snapshot_bytes(run);
}

// The attempt that was to come is lost with the process, comes at once, or counts from 1 again.
TEST(Defects, SnapshotDuringRetryBackOffLosesTheAttempt) {
  FakeClock clock;
  std::vector<uint32_t> attempts;
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) -> blazen_status {
                                  attempts.push_back(ctx.attempt());
                                  return ctx.attempt() < 4 ? ctx.fail(1, "not yet") : ctx.stop("\"done\"");
                                })
                                .retry(retries(4, 100, 2))
                                .build();
  const std::string bytes = snapshot_after(clock, workflow, {100, 30});  // 170 before the third
  EXPECT_NE(info_of(parse(bytes)).find("\"retrying\":1"), std::string::npos);
  ASSERT_EQ(attempts, (std::vector<uint32_t>{1, 2}));
  NextProcess next(clock, workflow, bytes);
  EXPECT_EQ(attempts.size(), 2U) << "the back-off was cut short";
  EXPECT_EQ(blazen_run_state_now(next.run), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(next.engine.next_timer(), 170);
  next.engine.pass(170);
  EXPECT_EQ(next.engine.next_timer(), 400) << "the back-off grows from where it was";
  next.engine.pass(400);
  EXPECT_EQ(attempts, (std::vector<uint32_t>{1, 2, 3, 4}));
  EXPECT_EQ(data_of(outcome(next.run).result), "\"done\"");
}

// Retries are granted anew in each process, for ever.
TEST(Defects, ResumeGrantsTheRetriesAnew) {
  FakeClock clock;
  int calls = 0;
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  ++calls;
                                  return ctx.fail(1, "never");
                                })
                                .retry(retries(3, 100, 1))
                                .build();
  std::string bytes = snapshot_after(clock, workflow, {});
  for (int process = 0; process < 5; ++process) {
    NextProcess next(clock, workflow, bytes);
    if (is_ended(blazen_run_state_now(next.run))) break;
    next.engine.pass(100);
    bytes = snapshot_bytes(next.run);
  }
  EXPECT_EQ(calls, 3);
  EXPECT_NE(info_of(parse(bytes)).find("\"state\":\"failed\""), std::string::npos);
}

// Ids of events, invocations, writes, stream items and questions start at 1 again, and mean two things each;
// the time-out begins anew.
TEST(Defects, CountersAreResetOnResume) {
  FakeClock clock;
  Spec spec;
  spec.timeout_ms = 1000;
  std::vector<uint64_t> events;
  std::vector<uint64_t> invocations;
  std::vector<uint64_t> versions;
  const auto note = [&](Ctx& ctx) {
    events.push_back(ctx.event_id());
    invocations.push_back(ctx.id());
    ctx.set("n", "1");
    versions.push_back(ctx.version("n"));
    ctx.publish("P");
    ctx.emit_in(100, "Again");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
  };
  const Workflow workflow = spec.start(note).step("again", {"Again"}, note).build();
  std::string bytes = snapshot_after(clock, workflow, {});
  std::string questions;
  std::vector<uint64_t> sequences;
  for (int process = 0; process < 3; ++process) {
    Engine engine(Way::pump, &clock);
    RunHandle run = resume(engine, workflow, bytes);
    Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    engine.pass(100);
    for (const Item& item : take(stream)) sequences.push_back(item.sequence);
    bytes = snapshot_bytes(run);
    questions = questions_text(run);
  }
  EXPECT_EQ(events, (std::vector<uint64_t>{1, 2, 4, 6}));
  EXPECT_EQ(invocations, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(versions, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(sequences, (std::vector<uint64_t>{3, 4, 5, 6, 7, 8}));
  for (const char* id : {"\"i1.1\"", "\"i2.1\"", "\"i3.1\"", "\"i4.1\""})
    EXPECT_NE(questions.find(id), std::string::npos) << questions;

  NextProcess last(clock, workflow, bytes);
  last.engine.pass(100);
  while (!is_ended(blazen_run_state_now(last.run))) last.engine.pass(100);
  EXPECT_EQ(outcome(last.run).status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_EQ(events.size(), 10U) << "a time-out of 1000 ms, over all processes";
}

// What a resumed run would store is not what it came from: timers move, questions are renumbered, or vanish.
TEST(Defects, SecondSnapshotDiffersFromTheFirst) {
  FakeClock clock;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Ask");
    ctx.emit("Try");
    ctx.emit_in(500, "Late");
    ctx.emit_in(500, "Late");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"prompt\":\"event\"}");
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    ctx.send("Note");
    const std::string first = ctx.ask("first?", "first");
    const std::string second = ctx.ask("second?", "second");
    return first.empty() || second.empty() ? BLAZEN_PENDING : BLAZEN_OK;
  });
  spec.step("try", {"Try"}, [](Ctx& ctx) { return ctx.fail(1, "no"); }).retry(retries(9, 100));
  spec.step("note", {"Note"}, [](Ctx& ctx) { ctx.set("noted", "1"); });
  spec.step("late", {"Late"}, [](Ctx&) {});
  const Workflow workflow = spec.build();
  for (const bool paused : {false, true}) {
    std::string bytes;
    {
      Engine engine(Way::pump, &clock);
      RunHandle run = start(engine, workflow);
      engine.pass(0);
      engine.pass(130);
      EXPECT_EQ(respond(run, "first", "1"), BLAZEN_OK);
      if (paused) MUST(blazen_run_pause(run, BLAZEN_PAUSE_DRAIN, e));
      bytes = snapshot_bytes(run);
      EXPECT_EQ(snapshot_bytes(run), bytes);
    }
    for (int process = 0; process < 3; ++process) {
      clock.now_ms += 86'400'000;
      Engine engine(Way::pump, &clock);
      RunHandle run = resume(engine, workflow, bytes);
      const std::string again = snapshot_bytes(run);
      EXPECT_TRUE(again == bytes) << info_of(parse(again)) << "\n" << info_of(parse(bytes));
      bytes = again;
    }
  }
}

// Questions that are asked side by side without ids get the same one, and one answer closes them all.
TEST(Defects, ParallelQuestionsWithDefaultIdsCollide) {
  FakeClock clock;
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 3; ++i) ctx.emit("Ask", std::to_string(i));
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("same prompt");
    if (answer.empty()) return BLAZEN_PENDING;
    ctx.set("answer." + ctx.input(), answer);
    if (ctx.count("answer.") == 3)
      ctx.stop("[" + ctx.text("answer.0") + "," + ctx.text("answer.1") + "," + ctx.text("answer.2") + "]");
    return ctx.failed;
  });
  const Workflow workflow = spec.build();
  const std::string bytes = snapshot_after(clock, workflow, {});
  EXPECT_NE(info_of(parse(bytes)).find("\"questions\":3"), std::string::npos);
  NextProcess next(clock, workflow, bytes);
  for (const char* id : {"i3.1", "i2.1", "i4.1"}) {
    EXPECT_EQ(blazen_run_state_now(next.run), BLAZEN_RUN_ASKING);
    EXPECT_EQ(respond(next.run, id, "\"" + std::string(id) + "\""), BLAZEN_OK);
    next.engine.pass(0);
  }
  EXPECT_EQ(data_of(outcome(next.run).result), "[\"i2.1\",\"i3.1\",\"i4.1\"]");
}

// An answer to a question that is unknown, answered, or another run's goes to whoever happens to ask.
TEST(Defects, AnswerIsAcceptedForTheWrongQuestion) {
  FakeClock clock;
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("first?", "first");
    if (answer.empty()) return BLAZEN_PENDING;
    ctx.set_once("first", answer);
    const std::string second = ctx.ask("second?", "second");
    if (second.empty()) return BLAZEN_PENDING;
    return ctx.stop("[" + answer + "," + second + "]");
  });
  const Workflow workflow = spec.build();
  std::string bytes;
  {
    Engine engine(Way::pump, &clock);
    RunHandle run = start(engine, workflow);
    RunHandle other = start(engine, workflow);
    engine.pass(0);
    for (const char* wrong : {"second", "firs", "first ", "First", "i1.1"})
      EXPECT_EQ(respond(run, wrong, "0"), BLAZEN_ERROR_NOT_FOUND) << wrong;
    EXPECT_EQ(respond(run, "first", "1"), BLAZEN_OK);
    EXPECT_EQ(respond(run, "first", "0"), BLAZEN_ERROR_NOT_FOUND) << "answered, and not yet told";
    bytes = snapshot_bytes(run);
    EXPECT_NE(questions_text(other).find("\"first\""), std::string::npos);
    MUST(blazen_run_close(run, e));
    MUST(blazen_run_close(other, e));
  }
  Engine engine(Way::pump, &clock);
  RunHandle run = resume(engine, workflow, bytes);
  EXPECT_EQ(respond(run, "first", "0"), BLAZEN_ERROR_NOT_FOUND) << "answered in another process";
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  EXPECT_EQ(respond(run, "first", "0"), BLAZEN_ERROR_NOT_FOUND) << "answered, and told";
  EXPECT_EQ(respond(run, "second", "2"), BLAZEN_OK);
  engine.pass(0);
  EXPECT_EQ(data_of(outcome(run).result), "[1,2]");
  EXPECT_EQ(respond(run, "second", "0"), BLAZEN_ERROR_CANCELLED) << "after the end";
}

// A run that the host keeps paused starts by itself where it is resumed; or the time that it was paused
// counts.
TEST(Defects, PauseIsLostWithTheProcess) {
  FakeClock clock;
  Spec spec;
  int steps = 0;
  spec.start([](Ctx& ctx) {
    ctx.emit("Next");
    ctx.emit_in(100, "Next");
    MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
  });
  spec.step("next", {"Next"}, [&](Ctx& ctx) {
    if (++steps == 2) ctx.stop();
  });
  const Workflow workflow = spec.build();
  const std::string bytes = snapshot_after(clock, workflow, {50});
  EXPECT_NE(info_of(parse(bytes)).find("\"paused\":true"), std::string::npos);
  clock.now_ms += 86'400'000;
  Engine engine(Way::pump, &clock);
  RunHandle run = resume_paused(engine, workflow, bytes);
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(1000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(steps, 0);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(0);
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(engine.next_timer(), 100);
  engine.pass(100);
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
}

// What became due while no process had the run comes in another order, or all of it but the last is lost.
// What is not due counts on by the date; a paused run moves no sooner for it.
TEST(Defects, TimersThatPassedBetweenTwoProcessesAreLost) {
  for (const bool paused : {false, true}) {
    FakeClock clock;
    Spec spec;
    std::string order;
    spec.start([](Ctx& ctx) {
      ctx.emit_in(300, "Late", "3");
      ctx.emit_in(100, "Late", "1");
      ctx.emit_in(200, "Late", "2");
      ctx.emit("Try");
      ctx.emit_in(1000, BLAZEN_STOP_EVENT, "4");
    });
    spec.step("late", {"Late"}, [&](Ctx& ctx) { order += ctx.input(); });
    spec.step("try", {"Try"},
              [&](Ctx& ctx) -> blazen_status {
                order += "t";
                return ctx.attempt() < 2 ? ctx.fail(1, "not yet") : BLAZEN_OK;
              })
        .retry(retries(2, 200));
    const Workflow workflow = spec.build();
    std::string bytes;
    {
      Engine engine(Way::pump, &clock);
      RunHandle run = start(engine, workflow);
      engine.pass(0);
      if (paused) MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
      bytes = snapshot_bytes(run);
    }
    ASSERT_EQ(order, "t");
    clock.now_ms += 400;
    Engine engine(Way::pump, &clock);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = 1;
    options.keep_paused = 1;
    RunHandle run;
    MUST(blazen_run_resume(engine.runtime(), workflow, parse(bytes), &options, run.out(), e));
    EXPECT_TRUE(snapshot_bytes(run) == bytes) << "time passes when it is started";
    MUST(blazen_run_start(run, nullptr, e));
    if (paused) {
      engine.pass(50);
      EXPECT_EQ(order, "t");
      MUST(blazen_run_resume_in_place(run, e));
    }
    const std::string later = snapshot_bytes(run);
    EXPECT_TRUE(bytes_of(parse(later)) == later) << "moments before the start are moments too";
    engine.pass(0);
    // Of the same moment, the attempt comes first; started they are by their ids, as ever.
    EXPECT_EQ(order, "tt123") << paused;
    EXPECT_EQ(engine.next_timer(), 600);
    engine.pass(600);
    EXPECT_EQ(data_of(outcome(run).result), "4");
  }
}

}  // namespace
}  // namespace bt
