// Answers that come by themselves, too early, or never: deadlines with a default, answers to questions that are not
// asked yet, questions that are withdrawn.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Answers : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Answers, testing::ValuesIn(ways()), way_name);

struct Asking {
  std::string_view id = "q";
  int64_t deadline_ms = 0;
  std::string_view default_answer = {};  // JSON; empty: none
  blazen_answer_fn answered = nullptr;
  void* data = nullptr;
};

blazen_status ask(blazen_context* context, const Asking& asking, std::string* answer,
                  Error* error = nullptr) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = asking.id.data();
  question.request_id_length = asking.id.size();
  question.deadline_ms = asking.deadline_ms;
  const Value given = asking.default_answer.empty() ? Value() : json(asking.default_answer);
  question.default_answer = given;
  question.answered = asking.answered;
  question.user_data = asking.data;
  Value value;
  const blazen_status status =
      blazen_context_ask(context, &question, value.out(), error == nullptr ? nullptr : error->out());
  if (status == BLAZEN_OK && answer != nullptr) *answer = data_of(value);
  return status;
}

// A step that asks, and gives the answer, or the status of its question where that is no answer.
Spec asker(const Asking& asking) {
  Spec spec;
  spec.start([asking](Ctx& ctx) -> blazen_status {
    std::string answer;
    const blazen_status status = ask(ctx.raw, asking, &answer);
    if (status == BLAZEN_PENDING) return BLAZEN_PENDING;
    return ctx.stop(status == BLAZEN_OK ? answer : std::to_string(status));
  });
  return spec;
}

std::string result_of(Engine& engine, const RunHandle& run) {
  const Outcome end = finish(engine, run);
  return end.state == BLAZEN_RUN_COMPLETED ? data_of(end.result) : end.text();
}

blazen_status respond_early(blazen_run* run, std::string_view id, std::string_view answer,
                            Error* error = nullptr) {
  return blazen_run_respond_early(run, id.data(), id.size(), json(answer),
                                  error == nullptr ? nullptr : error->out());
}
blazen_status withdraw(blazen_run* run, std::string_view id) {
  return blazen_run_withdraw_question(run, id.data(), id.size(), nullptr);
}

// ---- deadlines ----

TEST_P(Answers, TheDefaultComesAtTheDeadlineAndNotBefore) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({.deadline_ms = 1000, .default_answer = "\"later\""}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  Value questions;
  MUST(blazen_run_questions(run, questions.out(), e));
  const auto described = nlohmann::json::parse(data_of(questions)).at(0);
  EXPECT_EQ(described.at("deadline_ms").get<int64_t>() - described.at("asked_ms").get<int64_t>(), 1000);
  engine.pass(999);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  engine.pass(1);
  EXPECT_EQ(result_of(engine, run), "\"later\"");
}

TEST_P(Answers, WithoutADefaultItIsNull) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({.deadline_ms = 5}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  engine.pass(5);
  EXPECT_EQ(result_of(engine, run), "null");
}

TEST_P(Answers, AnAnswerBeforeTheDeadlineWins) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({.deadline_ms = 1000, .default_answer = "1"}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  engine.pass(999);
  EXPECT_EQ(respond(run, "q", "2"), BLAZEN_OK);
  engine.pass(1000);
  EXPECT_EQ(result_of(engine, run), "2");
}

// The run is paused by people: they take their time, and a deadline stands still meanwhile.
TEST_P(Answers, ADeadlineStandsStillInAPause) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({.deadline_ms = 1000, .default_answer = "1"}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  engine.pass(5000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  EXPECT_EQ(describe_run(run).at("questions").size(), 1U);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(999);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  engine.pass(1);
  EXPECT_EQ(result_of(engine, run), "1");
}

// Many at once, each with its own, in the order of their moments.
TEST_P(Answers, EachQuestionHasItsOwnDeadline) {
  constexpr int kCount = 20;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    std::string all;
    bool open = false;
    for (int i = 0; i < kCount; ++i) {
      const std::string id = "q" + std::to_string(i);
      std::string answer;
      const std::string later = std::to_string(i);
      open = ask(ctx.raw, {.id = id, .deadline_ms = 100 + i % 7, .default_answer = later}, &answer) !=
                 BLAZEN_OK ||
             open;
      all += (all.empty() ? "" : ",") + answer;
    }
    return open ? BLAZEN_PENDING : ctx.stop("[" + all + "]");
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  for (int i = 0; i < 7; ++i) {
    engine.pass(i == 0 ? 100 : 1);
    const int left = kCount - [i] {
      int due = 0;
      for (int k = 0; k < kCount; ++k) due += k % 7 <= i ? 1 : 0;
      return due;
    }();
    EXPECT_TRUE(engine.until(run, [&] {
      return is_ended(blazen_run_state_now(run)) || describe_run(run).at("counters").at("questions") == left;
    }));
  }
  std::string expected;
  for (int i = 0; i < kCount; ++i) expected += (i == 0 ? "" : ",") + std::to_string(i);
  EXPECT_EQ(result_of(engine, run), "[" + expected + "]");
}

// Where the host says that time has passed.
TEST_P(Answers, ADeadlinePassesBetweenTwoProcesses) {
  const Asking asking{.deadline_ms = 1000, .default_answer = "[1]"};
  for (const int64_t away_ms : {int64_t{400}, int64_t{5000}, int64_t{-1}}) {
    std::string bytes;
    {
      Engine engine(GetParam(), &clock_);
      RunHandle run = start(engine, asker(asking).build());
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
      engine.pass(300);
      bytes = snapshot_bytes(run);
    }
    const bool stands_still = away_ms < 0;
    clock_.now_ms += stands_still ? 5000 : away_ms;
    Engine engine(GetParam(), &clock_);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = stands_still ? 0 : 1;
    RunHandle run;
    MUST(blazen_run_resume(engine.runtime(), asker(asking).build(), parse(bytes), &options, run.out(), e));
    if (stands_still) {
      MUST(blazen_run_start(run, nullptr, e));
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
      engine.pass(699);
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
      engine.pass(1);
      EXPECT_EQ(result_of(engine, run), "[1]");
      continue;
    }
    MUST(blazen_run_start(run, nullptr, e));
    if (away_ms < 700) {
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
      engine.pass(299);
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
      engine.pass(1);
    } else {
      engine.pass(0);
    }
    EXPECT_EQ(result_of(engine, run), "[1]");
  }
}

TEST_P(Answers, TheDefaultComesToACallbackToo) {
  Engine engine(GetParam(), &clock_);
  struct Pending {
    std::mutex lock;
    Invocation invocation;
  } pending;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(pending.lock);
    pending.invocation = ctx.defer();
    const auto answered = [](void* data, blazen_context* context, const char*, size_t, blazen_value* answer) {
      MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), answer, e));
      auto* waiting = static_cast<Pending*>(data);
      std::lock_guard until_returned(waiting->lock);
      MUST(blazen_invocation_complete(waiting->invocation, e));
    };
    EXPECT_EQ(ask(ctx.raw, {.deadline_ms = 50, .default_answer = "7", .answered = answered, .data = &pending},
                  nullptr),
              BLAZEN_PENDING);
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  engine.pass(50);
  EXPECT_EQ(result_of(engine, run), "7");
}

// With the attempt, its questions go, and their deadlines.
TEST_P(Answers, AFailedAttemptLeavesNoDeadline) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
        if (ctx.attempt() > 1) return ctx.stop("\"second\"");
        (void)ask(ctx.raw, {.deadline_ms = 10, .default_answer = "1"}, nullptr);
        return ctx.fail(1, "no");
      })
      .retry(retries(2, 100));
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(50);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(50);
  EXPECT_EQ(result_of(engine, run), "\"second\"");
}

// Nobody has a handle any more, and the run goes on all the same: its deadline comes.
TEST_P(Answers, ARunWithADeadlineNeedsNoHandle) {
  Engine engine(GetParam(), &clock_);
  std::atomic<bool> answered{false};
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    if (ask(ctx.raw, {.deadline_ms = 1000}, nullptr) == BLAZEN_PENDING) return BLAZEN_PENDING;
    answered = true;
    return ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  run.reset();
  engine.pass(1000);
  EXPECT_TRUE(until_without_run(engine, [&] { return answered.load(); }));
}

// ---- questions that are withdrawn ----

TEST_P(Answers, WhoAskedWhatIsWithdrawnIsTold) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({.deadline_ms = 1000}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(withdraw(run, "another"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(withdraw(run, "q"), BLAZEN_OK);
  EXPECT_EQ(result_of(engine, run), std::to_string(BLAZEN_ERROR_CANCELLED));
  EXPECT_EQ(withdraw(run, "q"), BLAZEN_ERROR_CANCELLED) << "the run has ended";
}

TEST_P(Answers, AResumedRunKnowsWhatWasWithdrawn) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(withdraw(run, "q"), BLAZEN_OK);
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_abort(run, e));
  RunHandle again = resume(engine, asker({}).build(), bytes);
  EXPECT_EQ(snapshot_bytes(again), bytes);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(result_of(engine, again), std::to_string(BLAZEN_ERROR_CANCELLED));
}

TEST_P(Answers, ACallbackIsToldByNoAnswer) {
  Engine engine(GetParam(), &clock_);
  std::atomic<int> told{0};
  std::mutex lock;
  Invocation invocation;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(lock);
    invocation = ctx.defer();
    const auto answered = [](void* data, blazen_context*, const char*, size_t, blazen_value* answer) {
      *static_cast<std::atomic<int>*>(data) = answer == nullptr ? 1 : 2;
    };
    (void)ask(ctx.raw, {.answered = answered, .data = &told}, nullptr);
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(withdraw(run, "q"), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] { return told != 0; }));
  EXPECT_EQ(told, 1);
  MUST(blazen_run_abort(run, e));
}

TEST_P(Answers, NothingIsLeftOfAnEventThatAsked) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"e"})"); });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(withdraw(run, "e"), BLAZEN_OK);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_WAITING);
  EXPECT_EQ(respond(run, "e"), BLAZEN_ERROR_NOT_FOUND);
  MUST(blazen_run_abort(run, e));
}

// ---- answers that come too early ----

TEST_P(Answers, AnAnswerIsThereBeforeTheQuestion) {
  Engine engine(GetParam(), &clock_);
  const Workflow workflow = asker({}).build();
  RunHandle run = create(engine, workflow);
  EXPECT_EQ(respond_early(run, "q", "\"early\""), BLAZEN_OK);
  EXPECT_EQ(respond_early(run, "other", "1"), BLAZEN_OK);
  Error error;
  EXPECT_EQ(respond_early(run, "q", "2", &error), BLAZEN_ERROR_CONFLICT);
  EXPECT_NE(describe(error).find("'q'"), std::string::npos);
  // A copy of it, before its start, knows both.
  const std::string bytes = snapshot_bytes(run);
  RunHandle copy = resume(engine, workflow, bytes);
  EXPECT_EQ(snapshot_bytes(copy), bytes);
  for (const RunHandle* each : {&run, &copy}) {
    MUST(blazen_run_start(*each, nullptr, e));
    EXPECT_EQ(result_of(engine, *each), "\"early\"");
  }
}

TEST_P(Answers, AQuestionThatIsOpenIsAnsweredAtOnce) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker({}).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond_early(run, "q", "3"), BLAZEN_OK);
  EXPECT_EQ(result_of(engine, run), "3");
}

TEST_P(Answers, NoMoreAreKeptThanQuestionsMayBeOpen) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = create(engine, asker({}).limit(BLAZEN_LIMIT_QUESTIONS, 3).build());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(respond_early(run, "a" + std::to_string(i), "1"), BLAZEN_OK);
  EXPECT_EQ(respond_early(run, "a3", "1"), BLAZEN_ERROR_LIMIT);
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(respond_early(run, "a4", "1"), BLAZEN_ERROR_CANCELLED);
}

// A value of the host that nobody asked for is let go of with the end of the run.
TEST_P(Answers, AnAnswerThatNobodyAsksForIsDropped) {
  Engine engine(GetParam(), &clock_);
  int drops = 0;
  RunHandle run = create(engine, asker({}).build());
  {
    Value value;
    MUST(blazen_value_adopt(
        BLAZEN_TAG_BYTES, "x", 1, nullptr, 0, &drops, [](void* count) { ++*static_cast<int*>(count); },
        value.out(), e));
    MUST(blazen_run_respond_early(run, BLAZEN_TEXT("never"), value, e));
  }
  EXPECT_EQ(drops, 0);
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(drops, 1);
}

}  // namespace
