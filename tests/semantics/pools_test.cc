// Goal: so many bodies at once, of whatever runs, and no more; and of the runs that wait for one, each gets its turn. Bodies
// that are to keep a permit are deferred, so that the test says when each is done, in every way to run; time is the test's.
#include <algorithm>
#include <map>

#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Bodies that were called and are not done, in the order in which they came, each with what it was called with.
class Bodies {
 public:
  Body body() {
    return [this](Ctx& ctx) -> blazen_status {
      Invocation invocation = ctx.defer();
      std::lock_guard guard(lock_);
      came_.push_back(ctx.input());
      open_.emplace_back(ctx.input(), std::move(invocation));
      return BLAZEN_PENDING;
    };
  }
  size_t open() {
    std::lock_guard guard(lock_);
    return open_.size();
  }
  std::vector<std::string> came() {
    std::lock_guard guard(lock_);
    return came_;
  }
  Invocation take() {
    std::lock_guard guard(lock_);
    Invocation first = std::move(open_.front().second);
    open_.pop_front();
    return first;
  }
  // The one that came first is done, without an output.
  void complete() { MUST(blazen_invocation_complete(take(), e)); }

 private:
  std::mutex lock_;
  std::vector<std::string> came_;
  std::deque<std::pair<std::string, Invocation>> open_;
};

// Fans out to so many bodies of "work", which use the pool, each with the name of the run and its number.
Spec fan(Body work) {
  return Spec()
      .start([](Ctx& ctx) {
        const Json input = Json::parse(ctx.input());
        for (int i = 0; i < input.at(1).get<int>(); ++i)
          ctx.emit("Part", Json(input.at(0).get<std::string>() + std::to_string(i)).dump());
      })
      .step("work", {"Part"}, std::move(work))
      .uses_pool("pool")
      .step("join", {"Done"}, [](Ctx& ctx) { ctx.stop(); })
      .joins({"start"});
}

std::string part(std::string_view name, int count) { return Json::array({name, count}).dump(); }

Json pool_of(const blazen_run* run) { return describe_run(run).at("pools").at(0); }

class Pooled : public EveryWay {
 protected:
  // Moves on until as many bodies are open, and lets whatever else could start do so.
  void open(size_t count) {
    EXPECT_TRUE(until_without_run(*engine_, [&] { return bodies_.open() >= count; }));
    for (int i = 0; i < 3; ++i) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
      until_without_run(*engine_, [&] { return std::chrono::steady_clock::now() > end; });
    }
    EXPECT_EQ(bodies_.open(), count);
  }
  bool until(const std::function<bool()>& done) { return until_without_run(*engine_, done); }
  RunHandle begin(const Workflow& workflow, std::string_view name, int count) {
    return start(*engine_, workflow, part(name, count));
  }
  void complete_all(const RunHandle& run) {
    EXPECT_TRUE(until([&] {
      while (bodies_.open() != 0) bodies_.complete();
      return is_ended(blazen_run_state_now(run));
    }));
  }
  // Done one by one, whoever it is, until all have ended.
  std::vector<std::string> complete_in_turn(const std::vector<const RunHandle*>& runs) {
    EXPECT_TRUE(until([&] {
      if (bodies_.open() != 0) bodies_.complete();
      return std::all_of(runs.begin(), runs.end(),
                         [](const RunHandle* run) { return is_ended(blazen_run_state_now(*run)); });
    }));
    return bodies_.came();
  }

  FakeClock clock_;
  Bodies bodies_;
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>(GetParam(), &clock_);
};
INSTANTIATE_TEST_SUITE_P(Ways, Pooled, testing::ValuesIn(ways()), way_name);

// ---- how many ----

TEST_P(Pooled, NeverMoreBodiesThanPermitsAcrossManyRuns) {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  std::atomic<int> calls{0};
  engine_->set_pool("pool", 3);
  const Workflow workflow = fan([&](Ctx&) {
                              const int here = ++now;
                              for (int seen = most; here > seen && !most.compare_exchange_weak(seen, here);)
                                continue;
                              std::this_thread::yield();
                              ++calls;
                              --now;
                            }).build();
  std::vector<RunHandle> runs;
  for (int i = 0; i < 20; ++i) runs.push_back(begin(workflow, "r", 10));
  for (const RunHandle& run : runs) EXPECT_EQ(engine_->settle(run), BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(calls, 200);
  EXPECT_LE(most, 3);
}

TEST_P(Pooled, AsManyBodiesAsPermitsAndNoMore) {
  engine_->set_pool("pool", 3);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 4);
  const RunHandle b = begin(workflow, "b", 4);
  for (int done = 0; done < 6; ++done) {
    open(3);
    bodies_.complete();
  }
  open(2);
  complete_all(a);
  complete_all(b);
  EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_COMPLETED);
}

TEST_P(Pooled, APoolIsOfAllStepsAndWorkflowsThatNameIt) {
  engine_->set_pool("pool", 1);
  engine_->set_pool("other", 1);
  Spec spec = fan(bodies_.body());
  spec.steps[0].body = std::make_shared<Body>([](Ctx& ctx) {
    ctx.emit("Part", "1");
    ctx.emit("Also", "2");
    ctx.emit("Other", "3");
  });
  spec.step("also", {"Also"}, bodies_.body()).uses_pool("pool");
  spec.step("other", {"Other"}, bodies_.body()).uses_pool("other");
  const RunHandle a = begin(spec.build(), "a", 0);
  open(2);  // one of each pool
  spec.name = "another";
  const RunHandle b = begin(spec.build(), "b", 0);
  open(2);
  complete_all(a);
  complete_all(b);
}

TEST_P(Pooled, ThePermitOfAPoolComesBesideThoseOfTheStep) {
  engine_->set_pool("pool", 4);
  Spec spec = fan(bodies_.body());
  spec.steps[1].concurrency_max = 2;
  const RunHandle a = begin(spec.build(), "a", 5);
  open(2);
  const RunHandle b = begin(spec.build(), "b", 5);
  open(4);
  complete_all(a);
  complete_all(b);
}

TEST_P(Pooled, WithinARunTheLowestIdComesFirst) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  spec.steps[0].body = std::make_shared<Body>([](Ctx& ctx) {
    for (int i = 0; i < 3; ++i) {
      ctx.emit("Part", std::to_string(2 * i));
      ctx.emit("Also", std::to_string(2 * i + 1));
    }
  });
  spec.step("also", {"Also"}, bodies_.body(), 2).uses_pool("pool");
  const RunHandle run = begin(spec.build(), "a", 0);
  EXPECT_EQ(complete_in_turn({&run}), (std::vector<std::string>{"0", "1", "2", "3", "4", "5"}));
}

// ---- whose turn ----

TEST_P(Pooled, ARunWithAThousandWaitingStepsDoesNotStarveOneWithOne) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle many = begin(workflow, "many", 1000);
  open(1);
  const RunHandle one = begin(workflow, "one", 1);
  until([&] { return pool_of(one).at("waiting") == 1; });
  const std::vector<std::string> came = complete_in_turn({&one, &many});
  const auto turn = std::find(came.begin(), came.end(), "\"one0\"") - came.begin();
  EXPECT_LE(turn, 2);
  EXPECT_EQ(came.size(), 1001U);
}

TEST_P(Pooled, RunsComeInTurn) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 3);
  open(1);
  const RunHandle b = begin(workflow, "b", 3);
  until([&] { return pool_of(b).at("waiting") == 3; });
  const RunHandle c = begin(workflow, "c", 2);
  until([&] { return pool_of(c).at("waiting") == 2; });
  EXPECT_EQ(complete_in_turn({&a, &b, &c}),
            (std::vector<std::string>{"\"a0\"", "\"a1\"", "\"b0\"", "\"c0\"", "\"a2\"", "\"b1\"", "\"c1\"",
                                      "\"b2\""}));
}

// However many of its runs wait, and whether the top has a step that does or not.
TEST_P(Pooled, ATreeComesInTurnAsOneRunDoes) {
  for (const bool top_waits : {false, true}) {
    engine_->set_pool("pool", 1);
    Spec spec("outer");
    spec.start([](Ctx& ctx) {
      for (int i = 0; i < 5; ++i) ctx.emit("Go", part("child" + std::to_string(i), 1));
      ctx.emit("Part", "\"top\"");
    });
    spec.child("inner", {"Go"}, fan(bodies_.body())).output_type("Done");
    if (top_waits) {
      spec.step("work", {"Part"}, bodies_.body()).uses_pool("pool");
    } else {
      spec.step("work", {"Part"}, [](Ctx&) {});
    }
    spec.step("end", {"Done"}, [](Ctx& ctx) { ctx.stop(); }).joins({"start"});
    const Workflow tree = spec.build();
    const Workflow flat = fan(bodies_.body()).build();
    const size_t before = bodies_.came().size();
    const RunHandle first = begin(flat, "first", 1);
    open(1);
    const RunHandle many = start(*engine_, tree);
    until([&] {
      const Json children = describe_run(many).value("children", Json::array());
      return children.size() == 5 && std::all_of(children.begin(), children.end(), [](const Json& child) {
               return child.at("run").at("pools").at(0).at("waiting") == 1;
             });
    });
    if (top_waits) until([&] { return pool_of(many).at("waiting") == 1; });
    const RunHandle one = begin(flat, "one", 1);
    until([&] { return pool_of(one).at("waiting") == 1; });
    const std::vector<std::string> came = complete_in_turn({&first, &many, &one});
    ASSERT_EQ(came.size() - before, top_waits ? 8U : 7U);
    EXPECT_EQ(came[before], "\"first0\"");
    EXPECT_EQ(came[before + 2], "\"one0\"");
  }
}

// ---- who is passed over ----

TEST_P(Pooled, APausedRunGetsNoPermitAndGoesToTheEndWhenItGoesOn) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  const RunHandle b = begin(workflow, "b", 1);
  until([&] { return pool_of(b).at("waiting") == 1; });
  const RunHandle c = begin(workflow, "c", 2);
  until([&] { return pool_of(c).at("waiting") == 2; });
  MUST(blazen_run_pause(b, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(blazen_run_state_now(b), BLAZEN_RUN_PAUSED);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"c0\"");
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"c1\"");
  MUST(blazen_run_resume_in_place(b, e));
  EXPECT_EQ(blazen_run_state_now(b), BLAZEN_RUN_RUNNING);
  bodies_.complete();
  complete_all(b);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
}

TEST_P(Pooled, APausedRunKeepsThePermitsOfItsBodiesAlone) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 2);
  open(1);
  MUST(blazen_run_pause(a, BLAZEN_PAUSE_NOW, e));
  const RunHandle b = begin(workflow, "b", 1);
  open(1);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  bodies_.complete();
  open(0);
  EXPECT_EQ(pool_of(a).at("permits"), 0);
  MUST(blazen_run_resume_in_place(a, e));
  complete_all(a);
}

TEST_P(Pooled, ARunThatASubscriberHoldsBackIsNotInTheQueue) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  const Body first = *spec.steps[0].body;
  spec.steps[0].body = std::make_shared<Body>([first](Ctx& ctx) mutable {
    ctx.publish("P", "1");
    return first.run(ctx);
  });
  const Workflow workflow = spec.build();
  const RunHandle a = create(*engine_, workflow);
  const Stream stream = subscribe_with(a, {.hold = true, .capacity = 1});
  MUST(blazen_run_start(a, json(part("a", 2)), e));
  open(0);
  const RunHandle b = begin(workflow, "b", 1);
  open(1);
  EXPECT_EQ(bodies_.came().front(), "\"b0\"");
  EXPECT_EQ(text_of(take(stream)), "P=1");
  open(1);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"a0\"");
  complete_all(a);
}

TEST_P(Pooled, ARunThatIsAbortedOrClosedLeavesTheQueue) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  const RunHandle aborted = begin(workflow, "aborted", 2);
  const RunHandle closed = begin(workflow, "closed", 2);
  {
    const RunHandle released = begin(workflow, "released", 1);
    until([&] { return pool_of(released).at("waiting") == 1; });
    MUST(blazen_run_abort(released, e));
  }
  until([&] { return pool_of(aborted).at("waiting") == 2 && pool_of(closed).at("waiting") == 2; });
  const RunHandle b = begin(workflow, "b", 1);
  MUST(blazen_run_abort(aborted, e));
  MUST(blazen_run_close(closed, e));
  EXPECT_EQ(blazen_run_state_now(aborted), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(blazen_run_state_now(closed), BLAZEN_RUN_CANCELLED);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  complete_all(b);
}

TEST_P(Pooled, ARuntimeClosesWhileRunsWait) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 3);
  open(1);
  const RunHandle b = begin(workflow, "b", 3);
  until([&] { return pool_of(b).at("waiting") == 3; });
  MUST(blazen_runtime_close(engine_->runtime(), e));
  EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(blazen_run_state_now(b), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(blazen_invocation_complete(bodies_.take(), nullptr), BLAZEN_ERROR_CANCELLED);
}

// A run without handles that waits is not lost: it is moved on when bodies of others are back.
TEST_P(Pooled, ARunThatNobodyHoldsGetsItsPermit) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  {
    const RunHandle b = begin(workflow, "b", 1);
  }
  open(1);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  bodies_.complete();
}

// ---- when it goes back ----

TEST_P(Pooled, ABodyThatFailsAndBacksOffGivesItsPermitBack) {
  engine_->set_pool("pool", 1);
  Bodies& bodies = bodies_;
  Spec spec = fan([later = bodies_.body()](Ctx& ctx) mutable -> blazen_status {
    if (ctx.input() == "\"a0\"" && ctx.attempt() == 1) return ctx.fail(1, "once more");
    return later.run(ctx);
  });
  spec.steps[1].retry = retries(2, 1000);
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 1);
  until([&] { return describe_run(a).at("counters").at("retrying") == 1; });
  EXPECT_EQ(pool_of(a).at("permits"), 0);
  const RunHandle b = begin(workflow, "b", 1);
  open(1);
  EXPECT_EQ(bodies.came().back(), "\"b0\"");
  engine_->pass(1000);
  until([&] { return pool_of(a).at("waiting") == 1; });
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies.came().back(), "\"a0\"");
  complete_all(a);
}

TEST_P(Pooled, ABodyThatAsksGivesItsPermitBack) {
  engine_->set_pool("pool", 1);
  Spec spec = fan([later = bodies_.body()](Ctx& ctx) mutable -> blazen_status {
    if (ctx.input() != "\"a0\"") return later.run(ctx);
    if (ctx.ask("?", "q").empty()) return BLAZEN_PENDING;
    return later.run(ctx);
  });
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 1);
  until([&] { return blazen_run_state_now(a) == BLAZEN_RUN_ASKING; });
  const RunHandle b = begin(workflow, "b", 1);
  open(1);
  MUST(respond(a, "q"));
  until([&] { return pool_of(a).at("waiting") == 1; });
  EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_RUNNING);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"a0\"");
  complete_all(a);
}

TEST_P(Pooled, ADeferredBodyThatWaitsForAnAnswerKeepsItsPermit) {
  engine_->set_pool("pool", 1);
  std::atomic<int> answers{0};
  Spec spec = fan([&answers, later = bodies_.body()](Ctx& ctx) mutable -> blazen_status {
    const blazen_status status = later.run(ctx);
    if (ctx.input() != "\"a0\"") return status;
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = "q";
    question.request_id_length = 1;
    question.answered = [](void* count, blazen_context*, const char*, size_t, blazen_value*) {
      ++*static_cast<std::atomic<int>*>(count);
    };
    question.user_data = &answers;
    Value answer;
    EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), nullptr), BLAZEN_PENDING);
    return status;
  });
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  const RunHandle b = begin(workflow, "b", 1);
  open(1);
  EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_ASKING);
  EXPECT_EQ(pool_of(a).at("permits"), 1);
  MUST(respond(a, "q"));
  until([&] { return answers == 1; });
  open(1);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  complete_all(b);
}

TEST_P(Pooled, AnAbandonedBodyKeepsItsPermitOrNotAsItsStepSays) {
  for (const bool keeps : {true, false}) {
    engine_->set_pool("pool", 1);
    Spec spec = fan(bodies_.body());
    spec.steps[1].timeout_ms = 1000;
    spec.steps[1].retry = retries(2);
    spec.steps[1].abandoned = keeps ? BLAZEN_ABANDONED_KEEPS_PERMIT : BLAZEN_ABANDONED_FREES_PERMIT;
    const RunHandle a = begin(spec.build(), "a", 1);
    open(1);
    engine_->pass(1000);
    open(keeps ? 1 : 2);
    EXPECT_EQ(describe_run(a).at("abandoned").at(0).at("keeps_permit"), keeps);
    EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_RUNNING);
    EXPECT_EQ(blazen_invocation_complete(bodies_.take(), nullptr), BLAZEN_ERROR_CANCELLED);
    open(1);
    complete_all(a);
    EXPECT_EQ(blazen_run_state_now(a), BLAZEN_RUN_COMPLETED);
  }
}

TEST_P(Pooled, ABodyWhoseRunHasEndedKeepsItsPermitOrNotAsItsStepSays) {
  for (const bool keeps : {true, false}) {
    engine_->set_pool("pool", 1);
    Spec spec = fan(bodies_.body());
    spec.steps[1].abandoned = keeps ? BLAZEN_ABANDONED_KEEPS_PERMIT : BLAZEN_ABANDONED_FREES_PERMIT;
    const Workflow workflow = spec.build();
    const RunHandle a = begin(workflow, "a", 1);
    open(1);
    const RunHandle b = begin(workflow, "b", 1);
    until([&] { return pool_of(b).at("waiting") == 1; });
    MUST(blazen_run_abort(a, e));
    open(keeps ? 1 : 2);
    EXPECT_EQ(blazen_invocation_complete(bodies_.take(), nullptr), BLAZEN_ERROR_CANCELLED);
    open(1);
    EXPECT_EQ(bodies_.came().back(), "\"b0\"");
    complete_all(b);
  }
}

TEST_P(Pooled, AnAbandonedBodyOfARunThatHasEndedKeepsItsPermitStill) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  spec.steps[1].timeout_ms = 1000;
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  const RunHandle b = begin(workflow, "b", 1);
  engine_->pass(1000);  // which ends a
  until([&] { return blazen_run_state_now(a) == BLAZEN_RUN_FAILED; });
  open(1);
  EXPECT_EQ(blazen_invocation_complete(bodies_.take(), nullptr), BLAZEN_ERROR_CANCELLED);
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  complete_all(b);
}

TEST_P(Pooled, AnInvocationThatIsCancelledWhileItWaitsLeavesThePermitToOthers) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx&) {});
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 2);
  open(1);
  const Json queued = describe_run(a).at("queued");
  ASSERT_EQ(queued.size(), 1U);
  MUST(blazen_run_cancel_invocation(a, queued.at(0).at("invocation_id").get<uint64_t>(), 0, e));
  const RunHandle b = begin(workflow, "b", 1);
  bodies_.complete();
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  complete_all(b);
  EXPECT_TRUE(until([&] { return blazen_run_state_now(a) == BLAZEN_RUN_COMPLETED; }));
}

TEST_P(Pooled, TheRestOfAScopeThatIsCancelledGivesBackWhatItHas) {
  engine_->set_pool("pool", 2);
  Spec spec = fan(bodies_.body());
  spec.steps[2].joins = Joins{.of = "start", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true};
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 5);
  open(2);
  const RunHandle b = begin(workflow, "b", 2);
  until([&] { return pool_of(b).at("waiting") == 2; });
  {
    const Invocation first = bodies_.take();
    Ctx(first).emit("Done");
    MUST(blazen_invocation_complete(first, e));
  }
  EXPECT_TRUE(until([&] { return blazen_run_state_now(a) == BLAZEN_RUN_COMPLETED; }));
  open(2);  // the abandoned one of a, and one of b
  EXPECT_EQ(blazen_invocation_complete(bodies_.take(), nullptr), BLAZEN_ERROR_CANCELLED);
  open(2);
  complete_all(b);
}

// ---- time ----

TEST_P(Pooled, WaitingCountsInTheTimeOfTheRunAndNotOfTheStep) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  const RunHandle a = begin(spec.build(), "a", 1);
  open(1);
  spec.steps[1].timeout_ms = 1000;
  spec.timeout_ms = 20'000;
  const RunHandle b = begin(spec.build(), "b", 2);
  until([&] { return pool_of(b).at("waiting") == 2; });
  engine_->pass(5000);
  EXPECT_EQ(blazen_run_state_now(b), BLAZEN_RUN_RUNNING);
  bodies_.complete();
  open(1);
  engine_->pass(999);
  open(1);
  EXPECT_EQ(bodies_.came().back(), "\"b0\"");
  bodies_.complete();
  open(1);
  bodies_.complete();
  EXPECT_TRUE(until([&] { return blazen_run_state_now(b) == BLAZEN_RUN_COMPLETED; }));
  const RunHandle c = begin(fan(bodies_.body()).build(), "c", 1);
  open(1);
  const RunHandle d = begin(spec.build(), "d", 1);
  until([&] { return pool_of(d).at("waiting") == 1; });
  engine_->pass(20'001);
  EXPECT_TRUE(until([&] { return blazen_run_state_now(d) == BLAZEN_RUN_FAILED; }));
  EXPECT_EQ(outcome(d).status, BLAZEN_ERROR_RUN_TIMEOUT) << outcome(d).text();
  complete_all(c);
}

// ---- more, and fewer ----

TEST_P(Pooled, MorePermitsTakeEffectAtOnceAndFewerAsBodiesReturn) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 6);
  open(1);
  const RunHandle b = begin(workflow, "b", 6);
  until([&] { return pool_of(b).at("waiting") == 6; });
  engine_->set_pool("pool", 4);
  open(4);
  engine_->set_pool("pool", 2);
  open(4);
  bodies_.complete();
  open(3);
  bodies_.complete();
  open(2);
  bodies_.complete();
  open(2);
  complete_all(a);
  complete_all(b);
}

// ---- snapshots ----

TEST_P(Pooled, ASnapshotWhileItWaitsGoesOnElsewhereAsAnyOther) {
  engine_->set_pool("pool", 1);
  Spec spec = fan(bodies_.body());
  const Workflow workflow = spec.build();
  const RunHandle a = begin(workflow, "a", 1);
  open(1);
  const RunHandle b = begin(workflow, "b", 3);
  until([&] { return pool_of(b).at("waiting") == 3; });
  const std::string waiting = snapshot_bytes(b);
  bodies_.complete();
  open(1);
  const std::string at_work = snapshot_bytes(b);
  complete_all(b);
  const std::string end = outcome(b).text();
  for (const std::string& bytes : {waiting, at_work}) {
    Engine elsewhere(GetParam(), &clock_);
    Bodies bodies;
    spec.steps[1].body = std::make_shared<Body>(bodies.body());
    const Workflow same = spec.build();
    RunHandle run;
    Error error;
    EXPECT_EQ(blazen_run_resume(elsewhere.runtime(), same, parse(bytes), nullptr, run.out(), error.out()),
              BLAZEN_ERROR_NOT_FOUND);
    EXPECT_TRUE(error.says("'work'") && error.says("'pool'")) << error.message();
    elsewhere.set_pool("pool", 1);
    run = resume(elsewhere, same, bytes);
    EXPECT_EQ(snapshot_bytes(run), bytes);
    MUST(blazen_run_start(run, nullptr, e));
    size_t most = 0;
    EXPECT_TRUE(until_without_run(elsewhere, [&] {
      most = std::max(most, bodies.open());
      if (bodies.open() != 0) bodies.complete();
      return is_ended(blazen_run_state_now(run));
    }));
    EXPECT_EQ(most, 1U);
    EXPECT_EQ(bodies.came(), (std::vector<std::string>{"\"b0\"", "\"b1\"", "\"b2\""}));
    EXPECT_EQ(outcome(run).text(), end);
  }
}

// Of several that were in flight, those that had begun first come first, one by one where the pool is smaller here.
TEST_P(Pooled, WhatWasInFlightWaitsForThePoolOfWhereItGoesOn) {
  engine_->set_pool("pool", 3);
  Spec spec = fan(bodies_.body());
  const RunHandle a = begin(spec.build(), "a", 5);
  open(3);
  const std::string bytes = snapshot_bytes(a);
  Engine elsewhere(GetParam(), &clock_);
  elsewhere.set_pool("pool", 1);
  Bodies bodies;
  spec.steps[1].body = std::make_shared<Body>(bodies.body());
  const RunHandle run = resume(elsewhere, spec.build(), bytes);
  EXPECT_EQ(snapshot_bytes(run), bytes);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(pool_of(run).at("steps"), Json::array({"work"}));
  std::vector<std::string> in_flight = bodies_.came();
  EXPECT_TRUE(until_without_run(elsewhere, [&] {
    EXPECT_LE(bodies.open(), 1U);
    if (bodies.open() != 0) bodies.complete();
    return is_ended(blazen_run_state_now(run));
  }));
  const std::vector<std::string> came = bodies.came();
  ASSERT_EQ(came.size(), 5U);
  std::vector<std::string> first(came.begin(), came.begin() + 3);
  std::sort(first.begin(), first.end());
  std::sort(in_flight.begin(), in_flight.end());
  EXPECT_EQ(first, in_flight);
  complete_all(a);
}

// ---- what is seen, and what is refused ----

TEST_P(Pooled, ADescriptionNamesTheStepsThatWait) {
  engine_->set_pool("pool", 1);
  const Workflow workflow = fan(bodies_.body()).build();
  const RunHandle a = begin(workflow, "a", 3);
  open(1);
  EXPECT_EQ(describe_run(a).at("pools"),
            Json::parse(R"([{"pool":"pool","permits":1,"waiting":2,"steps":["work"]}])"));
  EXPECT_EQ(describe_run(a).at("counters").at("queued"), 2);
  complete_all(a);
  EXPECT_EQ(describe_run(a).at("pools"),
            Json::parse(R"([{"pool":"pool","permits":0,"waiting":0,"steps":[]}])"));
  const RunHandle without = start(*engine_, Spec().start([](Ctx& ctx) { ctx.stop(); }).build());
  EXPECT_FALSE(describe_run(without).contains("pools"));
}

TEST_P(Pooled, APoolThatNobodyHasSetIsRefused) {
  Value result;
  const Workflow workflow = fan(bodies_.body()).build();
  RunHandle run;
  Error error;
  EXPECT_EQ(blazen_run_create(engine_->runtime(), workflow, nullptr, run.out(), error.out()),
            BLAZEN_ERROR_NOT_FOUND);
  EXPECT_TRUE(error.says("'work'") && error.says("'pool'")) << error.message();
  EXPECT_EQ(blazen_workflow_run(workflow, engine_->runtime(), nullptr, result.out(), error.out()),
            BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(blazen_runtime_set_pool(engine_->runtime(), BLAZEN_TEXT("pool"), 0, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_run_create(engine_->runtime(), workflow, nullptr, run.out(), nullptr),
            BLAZEN_ERROR_NOT_FOUND);
  engine_->set_pool("pool", 1);
  run = begin(workflow, "a", 1);
  complete_all(run);
}

TEST(PoolBuilding, AStepUsesOnePoolAndHasABody) {
  Builder builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  MUST(blazen_workflow_builder_add_elsewhere(builder, BLAZEN_TEXT("away"), BLAZEN_TEXT("E"), e));
  MUST(blazen_workflow_builder_add_step(
      builder, BLAZEN_TEXT("here"), BLAZEN_TEXT("E"),
      [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status { return BLAZEN_OK; },
      nullptr, nullptr, e));
  Error error;
  const auto uses = [&](std::string_view step, std::string_view pool) {
    return blazen_workflow_builder_step_uses_pool(builder, step.data(), step.size(), pool.data(), pool.size(),
                                                  error.out());
  };
  EXPECT_EQ(uses("away", "p"), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("elsewhere")) << error.message();
  EXPECT_EQ(uses("here", ""), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(uses("nobody", "p"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(uses("here", "p"), BLAZEN_OK);
  EXPECT_EQ(uses("here", "q"), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("'p'")) << error.message();
  EXPECT_EQ(uses("here", "p"), BLAZEN_ERROR_INVALID_ARGUMENT);
}

// Each tick of such a run looks at all its pools.
TEST(PoolBuilding, TheStepsOfAWorkflowUseSoManyPoolsAndNoMore) {
  Builder builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  Error error;
  const auto uses = [&](int number) {
    const std::string name = std::to_string(number);
    MUST(blazen_workflow_builder_add_step(
        builder, name.data(), name.size(), BLAZEN_TEXT(BLAZEN_START_EVENT),
        [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
          return BLAZEN_OK;
        },
        nullptr, nullptr, e));
    return [&, name](const std::string& pool) {
      return blazen_workflow_builder_step_uses_pool(builder, name.data(), name.size(), pool.data(),
                                                    pool.size(), error.out());
    };
  };
  for (int i = 0; i < BLAZEN_POOLS_MAX; ++i) EXPECT_EQ(uses(i)("pool " + std::to_string(i)), BLAZEN_OK);
  const auto another = uses(BLAZEN_POOLS_MAX);
  EXPECT_EQ(another("one more"), BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says("BLAZEN_POOLS_MAX (64)")) << error.message();
  EXPECT_EQ(another("pool 7"), BLAZEN_OK) << "one that is there already";
  Engine engine(Way::pump);
  for (int i = 0; i < BLAZEN_POOLS_MAX; ++i) engine.set_pool("pool " + std::to_string(i), 1);
  Workflow workflow;
  MUST(blazen_workflow_builder_build(builder, workflow.out(), e));
  RunHandle run = start(engine, workflow);
  EXPECT_EQ(finish(engine, run).status, BLAZEN_ERROR_STALLED) << "all of them ran, and nobody has stopped it";
}

// ---- who waits for such a run ----

// In a pump, the thread that waits may be the only one: it sees to the runs that have the permits.
TEST(PoolWaiting, AWaitInAPumpMovesOnTheRunsThatHaveThePermits) {
  Engine engine(Way::waiter);
  engine.set_pool("pool", 1);
  const Workflow workflow = fan([](Ctx&) {}).build();
  const RunHandle a = start(engine, workflow, part("a", 3));
  const RunHandle b = start(engine, workflow, part("b", 3));
  MUST(blazen_run_wait(b, BLAZEN_FOREVER, nullptr, e));
  MUST(blazen_run_wait(a, BLAZEN_FOREVER, nullptr, e));
}

// ---- many threads ----

// Runs of several workflows share two pools, while other threads make them larger and smaller, pause runs, abort them and
// close them, and let go of them; and the runtime closes in the middle of it, or when all is done.
TEST(PoolStress, RunsAndPoolsUnderManyThreads) {
  NEEDS_THREADS();
  constexpr int kMost = 4;
  for (int round = 0; round < 12; ++round) {
    FakeClock clock;
    std::atomic<int> now[2] = {0, 0};
    std::atomic<int> calls{0};
    std::atomic<bool> is_over{false};
    const bool closes = round % 2 == 0;
    {
      Engine engine(Way::threads_4, &clock);
      engine.set_pool("pool", 2);
      engine.set_pool("other", 2);
      const auto body = [&](int pool, bool asks) -> Body {
        return [&, pool, asks](Ctx& ctx) -> blazen_status {
          EXPECT_LE(++now[pool], kMost);
          ++calls;
          std::this_thread::yield();
          const bool fails = ctx.attempt() == 1 && ctx.id() % 5 == 0;
          const bool defers = ctx.id() % 3 == 0 && !fails && !asks;
          Invocation later;
          if (defers) later = ctx.defer();
          --now[pool];
          if (fails) return ctx.fail(1, "once more");
          if (defers) {
            (void)blazen_invocation_complete(later, nullptr);
            return BLAZEN_PENDING;
          }
          return BLAZEN_OK;
        };
      };
      Spec spec = fan(body(0, false));
      spec.steps[0].body = std::make_shared<Body>([](Ctx& ctx) {
        for (int i = 0; i < 8; ++i) ctx.emit(i % 2 == 0 ? "Part" : "Also", std::to_string(i));
      });
      spec.steps[1].retry = retries(3);
      spec.step("also", {"Also"}, body(1, true), 3).uses_pool("other");
      spec.steps.back().retry = retries(3);
      const Workflow workflow = spec.build();
      std::vector<std::thread> threads;
      std::atomic<int> left{3};
      for (int thread = 0; thread < 3; ++thread) {
        threads.emplace_back([&, thread] {
          for (int i = 0; i < 60; ++i) {
            RunHandle run;
            if (blazen_run_create(engine.runtime(), workflow, nullptr, run.out(), nullptr) != BLAZEN_OK)
              break;
            if (blazen_run_start(run, nullptr, nullptr) != BLAZEN_OK) break;
            switch ((i + thread) % 6) {
              case 0: break;  // goes on without a handle
              case 1: (void)blazen_run_abort(run, nullptr); break;
              case 2:
                (void)blazen_run_pause(run, BLAZEN_PAUSE_NOW, nullptr);
                std::this_thread::yield();
                (void)blazen_run_resume_in_place(run, nullptr);
                (void)blazen_run_wait(run, kPatience_ms, nullptr, nullptr);
                break;
              case 3: (void)blazen_run_close(run, nullptr); break;
              case 4: {
                Snapshot taken;
                (void)blazen_run_snapshot(run, taken.out(), nullptr);
                (void)describe_run(run);
                break;
              }
              default: {
                const blazen_status status = blazen_run_wait(run, kPatience_ms, nullptr, nullptr);
                EXPECT_EQ(status, BLAZEN_OK) << describe_run(run).dump();
              }
            }
          }
          --left;
        });
      }
      threads.emplace_back([&] {
        for (uint32_t i = 0; !is_over; ++i) {
          const std::string_view name = i % 2 == 0 ? "pool" : "other";
          (void)blazen_runtime_set_pool(engine.runtime(), name.data(), name.size(), 1 + i % kMost, nullptr);
          std::this_thread::yield();
        }
      });
      const auto deadline = std::chrono::steady_clock::now() + kPatience;
      while (closes ? calls < 100 && left != 0 : left != 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        std::this_thread::yield();
      }
      if (closes) MUST(blazen_runtime_close(engine.runtime(), e));
      while (left != 0) std::this_thread::yield();
      is_over = true;
      for (std::thread& thread : threads) thread.join();
    }
    EXPECT_EQ(now[0] + now[1], 0);
  }
}

}  // namespace
