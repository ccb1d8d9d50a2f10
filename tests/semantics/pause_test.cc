// Pause, resume in place, abort and close, in every way to run: who is told when, and what does not start.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Pause : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Pause, testing::ValuesIn(ways()), way_name);

// A run whose first step is pending until the test says so, and then gives Next.
struct Held {
  explicit Held(Engine& engine_used, uint32_t permits = 0) : engine(engine_used) {
    Spec spec;
    spec.start([this](Ctx& ctx) -> blazen_status {
      {
        std::lock_guard guard(lock);
        invocation = ctx.defer();
      }
      is_held = true;
      return BLAZEN_PENDING;
    });
    spec.step(
        "next", {"Next"},
        [this](Ctx& ctx) {
          const int now = ++nexts;
          if (then) then(ctx, now);
        },
        permits);
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop("\"ended\""); });
    spec.idle = BLAZEN_IDLE_WAIT;
    workflow = spec.build();
    run = start(engine, workflow);
    EXPECT_TRUE(engine.until(run, [this] { return is_held.load(); }));
    // The body has to be back, or a DRAIN would have to wait for it.
  }
  void let_go(int nexts_given = 1) {
    std::lock_guard guard(lock);
    for (int i = 0; i < nexts_given; ++i) Ctx(invocation).emit("Next");
    MUST(blazen_invocation_complete(invocation, e));
  }

  Engine& engine;
  std::function<void(Ctx&, int)> then;
  std::atomic<int> nexts{0};
  std::atomic<bool> is_held{false};
  std::mutex lock;
  Invocation invocation;
  Workflow workflow;
  RunHandle run;
};

TEST_P(Pause, NowIsCompleteAtOnceAndEverybodyIsTold) {
  Told told;
  Told ended;
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  told.wait_for(held.run, BLAZEN_UNTIL_PAUSED);
  ended.wait_for(held.run, BLAZEN_UNTIL_ENDED);
  EXPECT_EQ(reached(held.run, BLAZEN_UNTIL_PAUSED), BLAZEN_RUN_NONE);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(reached(held.run, BLAZEN_UNTIL_PAUSED), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(reached(held.run, BLAZEN_UNTIL_ELSEWHERE | BLAZEN_UNTIL_ASKING | BLAZEN_UNTIL_WAITING),
            BLAZEN_RUN_NONE);
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_PAUSED});
  EXPECT_EQ(told.drops, 1);
  held.let_go(3);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(held.nexts, 0);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_resume_in_place(held.run, e));
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 3);
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_PAUSED});
  EXPECT_TRUE(ended.all().empty());
  MUST(blazen_run_send_event(held.run, event("End"), nullptr, e));
  EXPECT_EQ(finish(engine, held.run).text(), "5 json \"ended\"");
  EXPECT_TRUE(engine.until(held.run, [&] { return ended.drops == 1; }));
  EXPECT_EQ(ended.all(), States{BLAZEN_RUN_COMPLETED});
  for (const blazen_pause_mode mode : {BLAZEN_PAUSE_NOW, BLAZEN_PAUSE_DRAIN})
    EXPECT_EQ(blazen_run_pause(held.run, mode, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_run_resume_in_place(held.run, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_run_abort(held.run, nullptr), BLAZEN_OK);
  EXPECT_EQ(finish(engine, held.run).text(), "5 json \"ended\"");
}

TEST_P(Pause, DrainIsCompleteWhenNoBodyIsAtWork) {
  Told told;
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  told.wait_for(held.run, BLAZEN_UNTIL_PAUSED);
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(describe_run(held.run).at("pause"), "drain");
  held.let_go();
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_PAUSED));
  EXPECT_TRUE(engine.until(held.run, [&] { return told.drops == 1; }));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_PAUSED});
  EXPECT_EQ(held.nexts, 0);
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 1);
}

TEST_P(Pause, NowCompletesADrain) {
  Told told;
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  told.wait_for(held.run, BLAZEN_UNTIL_PAUSED);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_TRUE(told.all().empty());
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_PAUSED});
  held.let_go();
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 1);
}

// Nobody is at work on a step that waits for a human.
TEST_P(Pause, ADrainDoesNotWaitForHumans) {
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = "q";
  question.request_id_length = 1;
  question.answered = [](void*, blazen_context*, const char*, size_t, blazen_value*) {};
  Value unused;
  blazen_context* context = blazen_invocation_context(held.invocation);
  EXPECT_EQ(blazen_context_ask(context, &question, unused.out(), nullptr), BLAZEN_PENDING);
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  // Once there is an answer, its body is at work again.
  EXPECT_EQ(respond(held.run, "q"), BLAZEN_OK);
  EXPECT_NE(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  held.let_go();
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_PAUSED));
  EXPECT_EQ(held.nexts, 0);
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 1);
}

// It may be given an event while it is paused: it stalls when it goes on without one.
TEST_P(Pause, APausedRunDoesNotStall) {
  for (const bool is_helped : {false, true}) {
    Engine engine(GetParam(), &clock_);
    std::atomic<bool> is_held{false};
    std::mutex lock;
    Invocation held;
    Spec spec;
    spec.start([&](Ctx& ctx) -> blazen_status {
      std::lock_guard guard(lock);
      held = ctx.defer();
      is_held = true;
      return BLAZEN_PENDING;
    });
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] { return is_held.load(); }));
    MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
    {
      std::lock_guard guard(lock);
      MUST(blazen_invocation_complete(held, e));
    }
    held.reset();
    ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("in_flight").empty(); }));
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
    if (is_helped) MUST(blazen_run_send_event(run, event("End"), nullptr, e));
    MUST(blazen_run_resume_in_place(run, e));
    EXPECT_EQ(finish(engine, run).status, is_helped ? BLAZEN_OK : BLAZEN_ERROR_STALLED);
  }
}

// The pause stays complete, while a body is at work, and after it.
TEST_P(Pause, ADrainDoesNotUndoAPauseNow) {
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(describe_run(held.run).at("pause"), "now");
  held.let_go();
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(describe_run(held.run).at("pause"), "now");
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 1);
}

TEST_P(Pause, ADrainThatIsTakenBackIsNone) {
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  MUST(blazen_run_resume_in_place(held.run, e));
  held.let_go();
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 1);
}

TEST_P(Pause, StepsThatWaitForAPermitDoNotStart) {
  Engine engine(GetParam(), &clock_);
  Held held(engine, 1);
  std::atomic<bool> went_on{false};
  held.then = [&](Ctx& ctx, int which) {
    if (which == 1) MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    if (which != 1) EXPECT_TRUE(went_on);
  };
  held.let_go(5);
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_PAUSED));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_TRUE(
      engine.until(held.run, [&] { return describe_run(held.run).at("counters").at("in_flight") == 0; }));
  EXPECT_EQ(held.nexts, 1);
  EXPECT_EQ(describe_run(held.run).at("counters").at("queued"), 4);
  went_on = true;
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 5);
}

TEST_P(Pause, EventsFromOutsideQueue) {
  Told waiting;
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  held.let_go(0);
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_send_event(held.run, event("Next"), nullptr, e));
  EXPECT_EQ(send_in(held.run, 5, "Next"), BLAZEN_OK);
  engine.pass(1000);
  EXPECT_EQ(held.nexts, 0);
  EXPECT_EQ(blazen_run_state_now(held.run), BLAZEN_RUN_PAUSED);
  waiting.wait_for(held.run, BLAZEN_UNTIL_WAITING);
  MUST(blazen_run_resume_in_place(held.run, e));
  EXPECT_TRUE(engine.until(held.run, [&] { return held.nexts == 1; }));
  engine.pass(4);
  EXPECT_EQ(held.nexts, 1);
  engine.pass(1);
  EXPECT_TRUE(engine.reach(held.run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(held.nexts, 2);
  EXPECT_TRUE(engine.until(held.run, [&] { return waiting.drops == 1; }));
}

TEST_P(Pause, AbortFromABodyADoneCallbackAndADrop) {
  for (const int where : {0, 1, 2}) {
    Told told;
    Told ended;
    Engine engine(GetParam(), &clock_);
    Held held(engine);
    struct Aborter {
      blazen_run* run;
      std::atomic<int> drops{0};
    } aborter{held.run};
    ended.wait_for(held.run, BLAZEN_UNTIL_ENDED);
    if (where == 0) {
      held.then = [](Ctx& ctx, int) {
        MUST(blazen_run_abort(ctx.run(), e));
        EXPECT_TRUE(ctx.cancelled());
        EXPECT_EQ(ctx.stop(), BLAZEN_ERROR_CANCELLED);
        EXPECT_EQ(ctx.set("k", "1"), BLAZEN_ERROR_CANCELLED);
        EXPECT_EQ(ctx.send("Next"), BLAZEN_ERROR_CANCELLED);
      };
      held.let_go();
    } else if (where == 1) {
      told.then = [](blazen_run* run) { MUST(blazen_run_abort(run, e)); };
      told.wait_for(held.run, BLAZEN_UNTIL_PAUSED);
      MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
    } else {
      MUST(blazen_run_on_state(
          held.run, BLAZEN_UNTIL_PAUSED, [](void*, blazen_run*, blazen_run_state) {}, &aborter,
          [](void* self) {
            auto* mine = static_cast<Aborter*>(self);
            MUST(blazen_run_abort(mine->run, e));
            ++mine->drops;
          },
          e));
      MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
      EXPECT_EQ(aborter.drops, 1);
    }
    const Outcome end = finish(engine, held.run);
    EXPECT_EQ(end.state, BLAZEN_RUN_CANCELLED);
    EXPECT_EQ(end.status, BLAZEN_ERROR_ABORTED);
    EXPECT_TRUE(engine.until(held.run, [&] { return ended.drops == 1; }));
    EXPECT_EQ(ended.all(), States{BLAZEN_RUN_CANCELLED});
    MUST(blazen_run_abort(held.run, e));
    MUST(blazen_run_close(held.run, e));
    EXPECT_EQ(outcome(held.run).status, BLAZEN_ERROR_ABORTED) << "the first end counts";
  }
}

TEST_P(Pause, ARunThatWasNotStarted) {
  Told told;
  Told never;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.stop(); });
  const Workflow workflow = spec.build();
  RunHandle run = create(engine, workflow);
  EXPECT_EQ(blazen_run_pause(run, BLAZEN_PAUSE_NOW, nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(blazen_run_resume_in_place(run, nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(respond(run, "q"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(describe_run(run).at("status"), "created");
  EXPECT_EQ(reached(run, 8 | 16 | 256 | 512), BLAZEN_RUN_NONE);
  told.wait_for(run, BLAZEN_UNTIL_PAUSED);
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_CANCELLED});
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_ABORTED);
  EXPECT_EQ(blazen_run_start(run, nullptr, nullptr), BLAZEN_ERROR_CANCELLED);
  {
    RunHandle other = create(engine, workflow);
    never.wait_for(other, BLAZEN_UNTIL_PAUSED);
  }
  EXPECT_EQ(never.drops, 1) << "with the run";
  EXPECT_TRUE(never.all().empty());
}

TEST_P(Pause, CloseWhilePaused) {
  Told told;
  Engine engine(GetParam(), &clock_);
  Held held(engine);
  told.wait_for(held.run, BLAZEN_UNTIL_WAITING);
  MUST(blazen_run_pause(held.run, BLAZEN_PAUSE_NOW, e));
  held.let_go();
  MUST(blazen_run_close(held.run, e));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_CANCELLED});
  EXPECT_EQ(told.drops, 1);
  EXPECT_EQ(outcome(held.run).status, BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(held.nexts, 0);
  EXPECT_EQ(blazen_run_resume_in_place(held.run, nullptr), BLAZEN_ERROR_CANCELLED);
}

// Nobody can ever resume it: it is cancelled, and lets go of everything.
TEST_P(Pause, TheLastHandleOfAPausedRunCancelsIt) {
  Told told;
  Engine engine(GetParam(), &clock_);
  Counted input;
  {
    Spec spec;
    spec.start(
        [](Ctx& ctx) { ctx.emit("Next", Value(blazen_value_retain(blazen_event_value(ctx.trigger())))); });
    spec.step("next", {"Next"}, [](Ctx& ctx) { ctx.stop(); });
    RunHandle run = create(engine, spec.build());
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    MUST(blazen_run_start(run, live(input), e));
    const blazen_status status = blazen_run_pause(run, BLAZEN_PAUSE_NOW, nullptr);
    EXPECT_TRUE(status == BLAZEN_OK || (is_threaded(GetParam()) && status == BLAZEN_ERROR_CANCELLED))
        << status;
  }
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (told.drops == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  ASSERT_EQ(told.drops, 1);
  EXPECT_TRUE(told.all() == States{BLAZEN_RUN_CANCELLED} || is_threaded(GetParam()));
}

TEST_P(Pause, TheClockOfTheRunStandsStill) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.timeout_ms = 100;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) {
    ctx.emit_in(50, "Late");
    ctx.emit("Try");
  });
  std::atomic<int> tries{0};
  std::atomic<int> lates{0};
  spec.step("try", {"Try"}, [&](Ctx& ctx) { return ++tries < 3 ? ctx.fail(1, "no") : ctx.failed; })
      .retry(retries(3, 40, 1));
  spec.step("late", {"Late"}, [&](Ctx&) { ++lates; });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(20);
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(describe_run(run).at("retrying").at(0).at("due_in_ms"), 20);
  EXPECT_EQ(describe_run(run).at("delayed").at(0).at("due_in_ms"), 30);
  for (int i = 0; i < 3; ++i) engine.pass(1'000'000);
  EXPECT_EQ(describe_run(run).at("retrying").at(0).at("due_in_ms"), 20);
  EXPECT_EQ(describe_run(run).at("counters").at("elapsed_ms"), 20);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(19);
  EXPECT_EQ(tries, 1);
  engine.pass(1);
  EXPECT_TRUE(engine.until(run, [&] { return tries == 2; }));
  engine.pass(10);
  EXPECT_TRUE(engine.until(run, [&] { return lates == 1; }));
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(49);
  EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
  engine.pass(1);
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_RUN_TIMEOUT);
}

// What was due just before the pause, and nobody had seen to it: it waits, too.
TEST_P(Pause, NothingThatWasDueEndsAPausedRun) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.timeout_ms = 100;
  spec.start([](Ctx& ctx) { ctx.emit_in(50, BLAZEN_STOP_EVENT, "1"); });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 1; }));
  clock_.now_ms += 100;
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  engine.pass(0);
  engine.pass(1000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED) << outcome(run).text();
}

TEST_P(Pause, EachBitOfUntil) {
  Engine engine(GetParam(), &clock_);
  const struct {
    blazen_run_state state;
    uint32_t bit;
  } kAll[] = {{BLAZEN_RUN_WAITING, BLAZEN_UNTIL_WAITING},
              {BLAZEN_RUN_ELSEWHERE, BLAZEN_UNTIL_ELSEWHERE},
              {BLAZEN_RUN_PAUSED, BLAZEN_UNTIL_PAUSED},
              {BLAZEN_RUN_ASKING, BLAZEN_UNTIL_ASKING}};
  for (const auto& wanted : kAll) {
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([&](Ctx& ctx) {
      if (wanted.state == BLAZEN_RUN_ELSEWHERE) ctx.emit("Far");
      if (wanted.state == BLAZEN_RUN_ASKING) ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
    });
    spec.elsewhere("far", {"Far"});
    RunHandle run = create(engine, spec.build());
    std::deque<Told> told(std::size(kAll));
    for (size_t i = 0; i < std::size(kAll); ++i) told[i].wait_for(run, kAll[i].bit);
    MUST(blazen_run_start(run, nullptr, e));
    if (wanted.state == BLAZEN_RUN_PAUSED) {
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
      MUST(blazen_run_pause(run, BLAZEN_PAUSE_DRAIN, e));
    }
    EXPECT_TRUE(engine.reach(run, wanted.state));
    for (size_t i = 0; i < std::size(kAll); ++i) {
      const bool is_it = kAll[i].state == wanted.state;
      const bool was_it = wanted.state == BLAZEN_RUN_PAUSED && kAll[i].state == BLAZEN_RUN_WAITING;
      EXPECT_EQ(reached(run, kAll[i].bit), is_it ? wanted.state : BLAZEN_RUN_NONE);
      if (is_it || was_it) EXPECT_TRUE(engine.until(run, [&] { return told[i].drops == 1; }));
      EXPECT_EQ(told[i].all().size(), is_it || was_it ? 1U : 0U);
    }
    EXPECT_EQ(reached(run, 0), BLAZEN_RUN_NONE);
    MUST(blazen_run_abort(run, e));
    EXPECT_EQ(reached(run, 0), BLAZEN_RUN_CANCELLED);
    for (Told& each : told) EXPECT_EQ(each.drops, 1);
    for (Told& each : told) EXPECT_EQ(each.all().size(), 1U);
  }
}

TEST_P(Pause, TheSessionIsKeptOrCleared) {
  for (const bool clears : {false, true}) {
    Engine engine(GetParam(), &clock_);
    Counted object;
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.session_on_pause = clears ? BLAZEN_SESSION_CLEAR : BLAZEN_SESSION_KEEP;
    spec.start([&](Ctx& ctx) {
      ctx.set_session("live", live(object));
      ctx.set("state", "1");
    });
    spec.step("end", {"End"}, [](Ctx& ctx) {
      ctx.stop(std::string("[") + (ctx.has_session("live") ? "1" : "0") + "," + ctx.text("state") + "]");
    });
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
    MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
    EXPECT_EQ(object.drops, clears ? 1 : 0);
    MUST(blazen_run_resume_in_place(run, e));
    MUST(blazen_run_send_event(run, event("End"), nullptr, e));
    EXPECT_EQ(data_of(finish(engine, run).result), clears ? "[0,1]" : "[1,1]");
  }
}

}  // namespace
