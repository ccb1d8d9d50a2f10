// Questions to a human: who asks, who answers, from where, and when nobody wants the answer any more.
#include <barrier>
#include <numeric>
#include <random>

#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Question : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Question, testing::ValuesIn(ways()), way_name);

// Asks with a callback.
blazen_status ask_later(blazen_context* context, std::string_view id, blazen_answer_fn answered, void* data,
                        blazen_drop_fn drop, blazen_value** answer = nullptr) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = id.data();
  question.request_id_length = id.size();
  question.answered = answered;
  question.user_data = data;
  question.drop = drop;
  Value unused;
  return blazen_context_ask(context, &question, answer == nullptr ? unused.out() : answer, nullptr);
}

// A step that asks `count` questions and gives their answers.
Spec asker(int count, std::atomic<int>* calls = nullptr) {
  Spec spec;
  spec.start([count, calls](Ctx& ctx) -> blazen_status {
    if (calls != nullptr) ++*calls;
    std::string answers;
    bool open = false;
    for (int i = 0; i < count; ++i) {
      const std::string answer = ctx.ask("Which?");
      open = open || answer.empty();
      answers += (answers.empty() ? "" : ",") + answer;
    }
    return open ? BLAZEN_PENDING : ctx.stop("[" + answers + "]");
  });
  return spec;
}

TEST_P(Question, SeveralAtOnceInAnyOrder) {
  Told told;
  Engine engine(GetParam(), &clock_);
  std::atomic<int> calls{0};
  RunHandle run = start(engine, asker(3, &calls).build());
  told.wait_for(run, BLAZEN_UNTIL_ASKING);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_TRUE(engine.until(run, [&] { return told.drops == 1; }));
  EXPECT_EQ(open_ids(run), "i1.1,i1.2,i1.3");
  engine.pass(1'000'000'000);  // the run's clock stands still
  EXPECT_EQ(respond(run, "i1.3", "3"), BLAZEN_OK);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "i1.1,i1.2");
  EXPECT_EQ(respond(run, "i1.3", "33"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
  EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [1,2,3]");
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(questions_text(run), "[]");
}

// However many are open: the order is that of asking, each is found by its id, and an answered one is gone.
TEST_P(Question, ManyKeepTheirOrderWhicheverAreAnswered) {
  constexpr int kCount = 60;
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, asker(kCount).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  std::vector<int> open(kCount);
  std::iota(open.begin(), open.end(), 1);
  std::mt19937 random(1);
  const auto ids = [&] {
    std::string text;
    for (const int id : open) text += (text.empty() ? "i1." : ",i1.") + std::to_string(id);
    return text;
  };
  std::string answers = "[";
  for (int id = 1; id <= kCount; ++id) answers += (id == 1 ? "" : ",") + std::to_string(id);
  while (!open.empty()) {
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    ASSERT_EQ(open_ids(run), ids());
    const size_t place = random() % open.size();
    const std::string number = std::to_string(open[place]);
    EXPECT_EQ(respond(run, "i1." + number, number), BLAZEN_OK);
    // After the last one, the run may have ended.
    if (open.size() > 1) EXPECT_EQ(respond(run, "i1." + number, number), BLAZEN_ERROR_NOT_FOUND);
    open.erase(open.begin() + static_cast<ptrdiff_t>(place));
  }
  EXPECT_EQ(finish(engine, run).text(), "5 json " + answers + "]");
}

// One that fails takes its questions with it, and those of the others stay.
TEST_P(Question, AnAskerWithdrawsItsOwnAlone) {
  constexpr int kAskers = 20;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < kAskers; ++i) ctx.emit("Ask", std::to_string(i));
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    const std::string first = ctx.ask("?", "a" + ctx.input());
    ctx.ask("?", "b" + ctx.input());
    return first.empty() ? BLAZEN_PENDING : BLAZEN_OK;
  });
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_TRUE(
      engine.until(run, [&] { return describe_run(run).at("counters").at("questions") == 2 * kAskers; }));
  for (int i = 0; i < kAskers; i += 2) EXPECT_EQ(respond(run, "a" + std::to_string(i), "1"), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("questions") == kAskers; }));
  for (int i = 0; i < kAskers; ++i) {
    const blazen_status expected = i % 2 == 0 ? BLAZEN_ERROR_NOT_FOUND : BLAZEN_OK;
    EXPECT_EQ(respond(run, "b" + std::to_string(i), "1"), expected);
  }
}

TEST_P(Question, OtherBranchesGoOn) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> others{0};
  spec.start([](Ctx& ctx) {
    ctx.emit("Ask");
    ctx.emit("Other");
  });
  spec.step(
      "ask", {"Ask"},
      [](Ctx& ctx) -> blazen_status {
        const std::string answer = ctx.ask("?");
        return answer.empty() ? BLAZEN_PENDING : ctx.stop(answer);
      },
      1);
  spec.step("other", {"Other"}, [&](Ctx& ctx) {
    if (++others < 20) ctx.emit("Other");
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(others, 20);
  EXPECT_EQ(respond(run, "i2.1", "7"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json 7");
}

// Who asks holds no permit.
TEST_P(Question, AnAskerLetsOthersPass) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 4; ++i) ctx.emit("Ask", std::to_string(i));
  });
  spec.step(
      "ask", {"Ask"},
      [](Ctx& ctx) -> blazen_status {
        const std::string answer = ctx.ask("?", "q" + ctx.input());
        if (answer.empty()) return BLAZEN_PENDING;
        ctx.set(ctx.input(), answer);
        return ctx.count("") == 4 ? ctx.stop(ctx.text("1") + ctx.text("3")) : BLAZEN_OK;
      },
      1);
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "q0,q1,q2,q3");
  for (const char* id : {"q2", "q0", "q3", "q1"})
    EXPECT_EQ(respond(run, id, std::string(1, id[1])), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json 13");
}

TEST_P(Question, AnsweredFromACallback) {
  Told told;
  Engine engine(GetParam(), &clock_);
  RunHandle run = create(engine, asker(1).build());
  told.then = [](blazen_run* asking) { EXPECT_EQ(respond(asking, "i1.1", "\"inside\""), BLAZEN_OK); };
  told.wait_for(run, BLAZEN_UNTIL_ASKING);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json [\"inside\"]");
}

TEST_P(Question, AnsweredFromTheBodyThatAsked) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  std::atomic<int> calls{0};
  spec.start([&](Ctx& ctx) -> blazen_status {
    ++calls;
    std::string answer = ctx.ask("?");
    if (!answer.empty()) return ctx.stop(answer);
    EXPECT_EQ(respond(ctx.run(), "i1.1", "5"), BLAZEN_OK);
    return BLAZEN_PENDING;  // it is called again all the same
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(finish(engine, run).text(), "5 json 5");
  EXPECT_EQ(calls, 2);
}

TEST_P(Question, OneOfManyThreadsIsTheOneThatAnswered) {
  if (!has_threads()) GTEST_SKIP() << "a library without threads";
  for (int round = 0; round < 20; ++round) {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, asker(1).build());
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    std::atomic<int> won{0};
    std::atomic<int> lost{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const blazen_status status = respond(run, "i1.1", std::to_string(i));
        if (status == BLAZEN_OK) ++won;
        if (status == BLAZEN_ERROR_NOT_FOUND || status == BLAZEN_ERROR_CANCELLED) ++lost;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, 3);
    EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  }
}

TEST_P(Question, AnsweredBeforeAResumedRunIsStarted) {
  const Workflow workflow = asker(2).build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_OK);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    taken = snapshot_bytes(run);
  }
  Engine engine(GetParam(), &clock_);
  RunHandle run = resume(engine, workflow, taken);
  EXPECT_EQ(open_ids(run), "i1.1");
  EXPECT_EQ(respond(run, "i1.2", "9"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
  const std::string answered = snapshot_bytes(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json [1,2]");
  RunHandle again = resume(engine, workflow, answered);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(finish(engine, again).text(), "5 json [1,2]");
}

// ------------------------------------------------------------------------------- callbacks of deferred steps

struct Later {
  std::mutex lock;
  Invocation invocation;
  std::vector<std::string> answers;
  std::atomic<int> drops{0};
  size_t wanted = 2;
  bool asks_more = false;

  static void answered(void* self, blazen_context* context, const char* id, size_t id_length,
                       blazen_value* answer) {
    auto* later = static_cast<Later*>(self);
    std::lock_guard guard(later->lock);
    later->answers.push_back(text_of(id, id_length) + "=" + data_of(answer));
    if (later->asks_more) {
      later->asks_more = false;
      EXPECT_EQ(ask_later(context, "more", answered, self, drop), BLAZEN_PENDING);
    }
    if (later->answers.size() < later->wanted) return;
    std::string all;
    for (const std::string& each : later->answers) all += each + " ";
    Ctx(later->invocation).stop(json("\"" + all + "\""));
    MUST(blazen_invocation_complete(later->invocation, e));
  }
  static void drop(void* self) { ++static_cast<Later*>(self)->drops; }
};

Spec deferred_asker(Later& later) {
  Spec spec;
  spec.start([&later](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(later.lock);
    later.invocation = ctx.defer();
    EXPECT_EQ(ask_later(ctx.raw, "a", Later::answered, &later, Later::drop), BLAZEN_PENDING);
    EXPECT_EQ(ask_later(ctx.raw, "b", Later::answered, &later, Later::drop), BLAZEN_PENDING);
    return BLAZEN_PENDING;
  });
  return spec;
}

TEST_P(Question, ADeferredStepIsCalledBack) {
  Engine engine(GetParam(), &clock_);
  Later later;
  later.wanted = 3;
  later.asks_more = true;
  Spec spec = deferred_asker(later);
  spec.timeout_ms = 1000;
  spec.steps.back().timeout_ms = 100;
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  engine.pass(1'000'000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING) << "neither the run's time nor the step's goes on";
  EXPECT_EQ(respond(run, "b", "2"), BLAZEN_OK);
  EXPECT_EQ(later.drops, 1);
  EXPECT_EQ(respond(run, "b", "2"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(open_ids(run), "a,more");
  EXPECT_EQ(respond(run, "more", "3"), BLAZEN_OK);
  EXPECT_EQ(respond(run, "a", "1"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"b=2 more=3 a=1 \"");
  EXPECT_EQ(later.drops, 3);
}

TEST_P(Question, CallbacksAreDroppedWhereTheRunEndsFirst) {
  Engine engine(GetParam(), &clock_);
  Later later;
  RunHandle run = start(engine, deferred_asker(later).build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(questions_text(run), "[]");
  EXPECT_EQ(respond(run, "a"), BLAZEN_ERROR_CANCELLED);
  later.invocation.reset();
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(later.drops, 2);
  EXPECT_TRUE(later.answers.empty());
}

TEST_P(Question, ADeferredStepOfASnapshotAsksAgain) {
  Later later;
  const Workflow workflow = deferred_asker(later).build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    taken = snapshot_bytes(run);
    MUST(blazen_run_abort(run, e));
    later.invocation.reset();
  }
  EXPECT_EQ(later.drops, 2);
  Engine engine(GetParam(), &clock_);
  Spec again;
  again.start([&](Ctx& ctx) -> blazen_status {
    Value known;
    EXPECT_EQ(ask_later(ctx.raw, "a", nullptr, nullptr, nullptr, known.out()), BLAZEN_OK);
    EXPECT_EQ(data_of(known), "1");
    std::lock_guard guard(later.lock);
    later.invocation = ctx.defer();
    EXPECT_EQ(ask_later(ctx.raw, "b", Later::answered, &later, Later::drop), BLAZEN_PENDING);
    return BLAZEN_PENDING;
  });
  RunHandle run = resume(engine, again.build(), taken);
  EXPECT_EQ(respond(run, "a", "1"), BLAZEN_OK);
  later.wanted = 1;
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "b", "2"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"b=2 \"");
  EXPECT_EQ(later.drops, 3);
}

TEST_P(Question, AnsweredCallbacksNeedADeferredStep) {
  Engine engine(GetParam(), &clock_);
  Counted data;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.answered = Later::answered;
    question.user_data = &data;
    question.drop = Counted::drop;
    Value answer;
    Error error;
    EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), error.out()), BLAZEN_ERROR_WRONG_STATE);
    EXPECT_TRUE(error.says("question.answered")) << error.message();
    ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(data.drops, 1);
}

// ------------------------------------------------------------------------------------------------- conflicts

TEST_P(Question, TwoInvocationsCannotAskUnderOneId) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Ask", "1");
    ctx.emit("Ask", "2");
  });
  std::atomic<int> conflicts{0};
  spec.step("ask", {"Ask"}, [&](Ctx& ctx) -> blazen_status {
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = "same";
    question.request_id_length = 4;
    Value answer;
    Error error;
    const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), error.out());
    if (status == BLAZEN_ERROR_CONFLICT) {
      EXPECT_TRUE(error.says("'same'")) << error.message();
      ++conflicts;
      return BLAZEN_OK;
    }
    return status == BLAZEN_PENDING ? status : ctx.stop(answer);
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(conflicts, 1);
  EXPECT_EQ(respond(run, "same", "1"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
}

TEST_P(Question, EventsOfOneIdFailTheRunWithItsName) {
  for (const bool later : {false, true}) {
    Engine engine(GetParam(), &clock_);
    Spec spec;
    spec.start([&](Ctx& ctx) {
      ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"dup\"}");
      if (later) {
        ctx.emit_in(10, BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"dup2\"}");
        ctx.emit_in(20, BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"dup2\"}");
      } else {
        ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"dup\"}");
      }
    });
    RunHandle run = start(engine, spec.build());
    if (later) {
      // Two of one tick are refused at once, delayed or not.
      engine.until(run, [&] { return is_ended(blazen_run_state_now(run)); });
    }
    const Outcome end = finish(engine, run);
    EXPECT_EQ(end.status, BLAZEN_ERROR_CONFLICT) << end.text();
    EXPECT_TRUE(end.error.says("'dup")) << end.text();
  }
}

TEST_P(Question, TheirNumberHasABound) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUESTIONS, 2);
  spec.start([](Ctx& ctx) -> blazen_status {
    Ctx inner(ctx.raw, ctx.trigger(), nullptr);
    inner.ask("1", "1");
    inner.ask("2", "2");
    blazen_question question = BLAZEN_QUESTION_INIT;
    Value answer;
    Error error;
    EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), error.out()), BLAZEN_ERROR_LIMIT);
    EXPECT_TRUE(error.says("BLAZEN_LIMIT_QUESTIONS")) << error.message();
    EXPECT_EQ(ctx.send(BLAZEN_INPUT_REQUEST_EVENT, "{}"), BLAZEN_ERROR_LIMIT);
    ctx.failed = BLAZEN_OK;
    Error ignored(*ctx.error());
    *ctx.error() = nullptr;
    return ctx.emit("Next");
  });
  spec.step("next", {"Next"}, [](Ctx& ctx) {
    for (int i = 0; i < 3; ++i) ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
  });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_LIMIT) << end.text();
  EXPECT_TRUE(end.error.says("BLAZEN_LIMIT_QUESTIONS")) << end.text();
  // And those that come later.
  Spec delayed;
  delayed.limit(BLAZEN_LIMIT_QUESTIONS, 1);
  delayed.start([](Ctx& ctx) {
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
    ctx.emit("Next");
  });
  delayed.step("next", {"Next"}, [](Ctx& ctx) {
    EXPECT_EQ(blazen_context_retry_after(ctx.raw, 0, nullptr), BLAZEN_OK);
    ctx.emit_in(5, "Third");
  });
  delayed.step("third", {"Third"}, [](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}"); });
  RunHandle run = start(engine, delayed.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 1; }));
  engine.pass(5);
  const Outcome late = finish(engine, run);
  EXPECT_EQ(late.status, BLAZEN_ERROR_LIMIT) << late.text();
}

// --------------------------------------------------------------------------------- what a request looks like

// What a step that emits this request gets, and what the engine makes of it.
struct Asked {
  blazen_status status = BLAZEN_OK;
  std::string message;
  std::string id;
  std::string item;
};
Asked ask_with(const Event& request, bool sends = false) {
  Asked asked;
  Engine engine(Way::pump);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    Error error;
    asked.status = sends ? blazen_context_send_event(ctx.raw, request, nullptr, error.out())
                         : blazen_context_emit_event(ctx.raw, request, nullptr, error.out());
    if (asked.status == BLAZEN_OK) return BLAZEN_OK;
    asked.message = error.message();
    return ctx.stop();
  });
  RunHandle run = create(engine, spec.build());
  Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  for (const Item& item : take(stream)) {
    if (item.type == BLAZEN_INPUT_REQUEST_EVENT) asked.item = item.value.substr(5);
  }
  if (asked.status != BLAZEN_OK) return asked;
  EXPECT_NE(questions_text(run), "[]");
  // The id that answers it, whatever the text says.
  for (const std::string& candidate : {std::string("q"), std::string("i1.1"), correlation_of(request),
                                       std::string("a\"b"), std::string("last")}) {
    if (respond(run, candidate, "0") == BLAZEN_OK) asked.id = candidate;
  }
  return asked;
}
Asked ask_with(std::string_view text, bool sends = false) {
  return ask_with(event(BLAZEN_INPUT_REQUEST_EVENT, text), sends);
}

TEST(QuestionForm, IdsAreFoundWhereverTheyStand) {
  for (const bool sends : {false, true}) {
    EXPECT_EQ(ask_with("{}", sends).id, "i1.1");
    EXPECT_EQ(ask_with("{}", sends).item, "{\"request_id\":\"i1.1\"}");
    EXPECT_EQ(ask_with(" { } ", sends).item, " {\"request_id\":\"i1.1\" } ");
    EXPECT_EQ(ask_with("{\"prompt\":\"x\"}", sends).item, "{\"request_id\":\"i1.1\",\"prompt\":\"x\"}");
    EXPECT_EQ(ask_with("{\"request_id\":\"q\"}", sends).id, "q");
    EXPECT_EQ(ask_with("{\"request_id\" : \"q\" , \"prompt\": 1}", sends).item,
              "{\"request_id\" : \"q\" , \"prompt\": 1}");
    // Escapes, in the key and in the id.
    EXPECT_EQ(ask_with("{\"request\\u005fid\":\"\\u0071\"}", sends).id, "q");
    EXPECT_EQ(ask_with("{\"request_id\":\"a\\\"b\"}", sends).id, "a\"b");
    // Those of others are none.
    EXPECT_EQ(ask_with("{\"metadata\":{\"request_id\":\"q\"}}", sends).id, "i1.1");
    EXPECT_EQ(ask_with("{\"metadata\":[{\"request_id\":\"q\"}],\"x\":\"request_id\"}", sends).id, "i1.1");
    EXPECT_EQ(ask_with("{\"metadata\":{\"request_id\":\"no\"},\"request_id\":\"q\"}", sends).id, "q");
    EXPECT_EQ(ask_with("{\"request_id\":\"q\",\"metadata\":{\"request_id\":\"no\"}}", sends).id, "q");
    // The last of two is the one that a reader of JSON sees.
    EXPECT_EQ(ask_with("{\"request_id\":\"first\",\"request_id\":\"last\"}", sends).id, "last");
  }
}

TEST(QuestionForm, WhatNoDoubleCanHoldDoesNotHideTheId) {
  EXPECT_EQ(ask_with("{\"metadata\":1e400,\"request_id\":\"q\"}").id, "q");
  EXPECT_EQ(ask_with("{\"metadata\":1e400,\"request_id\":\"q\"}").item,
            "{\"metadata\":1e400,\"request_id\":\"q\"}");
  EXPECT_EQ(ask_with("{\"metadata\":[1e400]}").id, "i1.1");
  EXPECT_EQ(ask_with("{\"metadata\":123456789012345678901234567890,\"request_id\":\"q\"}").id, "q");
  EXPECT_EQ(ask_with("{\"a\":1e400,\"request_id\":5}").status, BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(ask_with("[1e400]").status, BLAZEN_ERROR_INVALID_ARGUMENT);
}

TEST(QuestionForm, WhatIsNoRequestIsRefused) {
  for (const bool sends : {false, true}) {
    for (const char* text : {"null", "1", "\"x\"", "[]", "[{}]", "[{\"request_id\":\"q\"}]", "true"}) {
      const Asked asked = ask_with(text, sends);
      EXPECT_EQ(asked.status, BLAZEN_ERROR_INVALID_ARGUMENT) << text;
      EXPECT_NE(asked.message.find("value"), std::string::npos) << asked.message;
      EXPECT_EQ(asked.item, "") << text;
    }
    for (const char* text : {"{\"request_id\":1}", "{\"request_id\":null}", "{\"request_id\":[\"q\"]}",
                             "{\"request_id\":{\"request_id\":\"q\"}}", "{\"request_id\":true}",
                             "{\"request_id\":\"q\",\"request_id\":5}", "{\"request_id\":\"\"}"}) {
      const Asked asked = ask_with(text, sends);
      EXPECT_EQ(asked.status, BLAZEN_ERROR_INVALID_ARGUMENT) << text;
      EXPECT_NE(asked.message.find("request_id"), std::string::npos) << asked.message;
      EXPECT_EQ(asked.item, "") << text;
    }
    const std::string endless = "{\"request_id\":\"" + std::string(BLAZEN_NAME_BYTES_MAX + 1, 'x') + "\"}";
    EXPECT_EQ(ask_with(endless, sends).status, BLAZEN_ERROR_LIMIT);
    EXPECT_EQ(ask_with(event(BLAZEN_INPUT_REQUEST_EVENT, bytes("{}").get()), sends).status,
              BLAZEN_ERROR_INVALID_ARGUMENT);
  }
}

TEST(QuestionForm, ACorrelationIsAnIdToo) {
  EXPECT_EQ(ask_with(event(BLAZEN_INPUT_REQUEST_EVENT, json("{}").get(), "mine")).id, "mine");
  EXPECT_EQ(ask_with(event(BLAZEN_INPUT_REQUEST_EVENT, json("{}").get(), "a\"b")).item,
            "{\"request_id\":\"a\\\"b\"}");
  EXPECT_EQ(ask_with(event(BLAZEN_INPUT_REQUEST_EVENT, json("{\"request_id\":\"q\"}").get(), "mine")).id,
            "q");
}

TEST(QuestionForm, NotFromOutside) {
  Engine engine(Way::pump);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(blazen_run_send_event(run, event(BLAZEN_INPUT_REQUEST_EVENT, "{}"), nullptr, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
}

// -------------------------------------------------------------------------------------------- withdrawn ones

TEST_P(Question, WithdrawnWhenTheAskerFailsOrGoesOn) {
  Engine engine(GetParam(), &clock_);
  for (const bool fails : {true, false}) {
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([&](Ctx& ctx) -> blazen_status {
      Ctx(ctx.raw, ctx.trigger(), nullptr).ask("?", "q");
      EXPECT_EQ(open_ids(ctx.run()), "q");
      return fails ? ctx.fail(1, "changed my mind") : BLAZEN_OK;
    });
    spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx&) {});
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
    EXPECT_EQ(questions_text(run), "[]");
    EXPECT_EQ(respond(run, "q"), BLAZEN_ERROR_NOT_FOUND);
  }
}

TEST_P(Question, WithdrawnBetweenTwoAttemptsAndAskedAgain) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
        const std::string first = ctx.ask("?", "first");
        if (first.empty()) return BLAZEN_PENDING;
        Ctx quiet(ctx.raw, ctx.trigger(), nullptr);
        const std::string second = quiet.ask("?", "second");
        if (ctx.attempt() == 1) return ctx.fail(1, "no");
        return second.empty() ? BLAZEN_PENDING : ctx.stop("[" + first + "," + second + "]");
      })
      .retry(retries(2, 10));
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "first", "1"), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  EXPECT_EQ(questions_text(run), "[]");
  EXPECT_EQ(respond(run, "second"), BLAZEN_ERROR_NOT_FOUND);
  engine.pass(10);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "second") << "the answer to the first is kept";
  EXPECT_EQ(respond(run, "second", "2"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [1,2]");
}

// A question that is delayed is opened when it is due: by then, another may have its id.
TEST_P(Question, ADelayedOneOfAnOpenIdFailsTheRunWithItsName) {
  for (const bool is_answered : {false, true}) {
    Engine engine(GetParam(), &clock_);
    Spec spec;
    spec.start([](Ctx& ctx) {
      ctx.emit_in(10, BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"q\"}");
      ctx.emit("Ask");
    });
    spec.step("ask", {"Ask"},
              [](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"q\"}"); });
    spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx&) {});
    spec.idle = BLAZEN_IDLE_WAIT;
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.until(run, [&] { return open_ids(run) == "q"; }));
    if (is_answered) EXPECT_EQ(respond(run, "q"), BLAZEN_OK);
    EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("queued").empty(); }));
    engine.pass(10);
    EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").empty(); }));
    if (is_answered) {
      EXPECT_EQ(open_ids(run), "q") << "the first one is no longer open";
      MUST(blazen_run_abort(run, e));
    } else {
      const Outcome end = finish(engine, run);
      EXPECT_EQ(end.status, BLAZEN_ERROR_CONFLICT) << end.text();
      EXPECT_TRUE(end.error.says("'q'")) << end.text();
      EXPECT_EQ(end.error.step(), "start");
    }
  }
}

// A step may accept the events that ask, whoever asks: it gets them, and the question is open all the same.
TEST_P(Question, AStepMayAcceptTheEventsThatAsk) {
  Engine engine(GetParam(), &clock_);
  std::mutex lock;
  std::string seen;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"all\"}");
    ctx.emit_to("watch", BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"one\"}");
  });
  spec.step(
      "watch", {BLAZEN_INPUT_REQUEST_EVENT},
      [&](Ctx& ctx) {
        std::lock_guard guard(lock);
        seen += correlation_of(ctx.trigger()) + " ";
      },
      1);
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [&](Ctx& ctx) {
    if (ctx.set(correlation_of(ctx.trigger()), "1"); ctx.count("") == 2) ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "all,one");
  EXPECT_EQ(seen, "all one ");
  EXPECT_EQ(respond(run, "one"), BLAZEN_OK);
  EXPECT_EQ(respond(run, "all"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

// The time-out of a step that is called back counts anew from the answer, and somebody waits for it: also
// where the moment has long passed at which it would have been up.
TEST_P(Question, AnAnswerGivesADeferredStepItsTimeAnew) {
  for (const int64_t asks_ms : {70, 1000}) {
    Engine engine(GetParam(), &clock_);
    Later later;
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([&](Ctx& ctx) -> blazen_status {
          std::lock_guard guard(later.lock);
          later.invocation = ctx.defer();
          EXPECT_EQ(ask_later(ctx.raw, "a", Later::answered, &later, Later::drop), BLAZEN_PENDING);
          return BLAZEN_PENDING;
        })
        .times_out(100);
    spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop("\"timed out\""); });
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    engine.pass(asks_ms);
    EXPECT_EQ(respond(run, "a", "1"), BLAZEN_OK);
    EXPECT_TRUE(engine.until(run, [&] { return later.drops == 1; }));
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
    if (asks_ms == 1000) EXPECT_EQ(engine.next_timer(), 100);
    engine.pass(99);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING) << "it has a millisecond left";
    engine.pass(1);
    EXPECT_EQ(finish(engine, run).text(), "5 json \"timed out\"");
  }
}

TEST_P(Question, WithdrawnWhenTheAskerTimesOut) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  Invocation held;
  std::atomic<bool> is_held{false};
  Later later;
  spec.start([&](Ctx& ctx) -> blazen_status {
        held = ctx.defer();
        EXPECT_EQ(ask_later(ctx.raw, "q", nullptr, nullptr, nullptr), BLAZEN_PENDING);
        is_held = true;
        return BLAZEN_PENDING;
      })
      .times_out(50);
  spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return is_held.load(); }));
  EXPECT_EQ(open_ids(run), "q");
  engine.pass(50);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(questions_text(run), "[]");
  EXPECT_EQ(respond(run, "q"), BLAZEN_ERROR_NOT_FOUND);
}

// -------------------------------------------------------------------------------------------------- handlers

struct Handler {
  enum class Does { answers, later, fails, throws, nothing, twice };
  Does does = Does::answers;
  std::mutex lock;
  std::vector<std::string> asked;
  std::atomic<int> calls{0};
  std::atomic<int> drops{0};

  static blazen_status call(void* self, blazen_run* run, const blazen_event* request, blazen_value** answer,
                            blazen_error** error) {
    auto* handler = static_cast<Handler*>(self);
    const std::string id = correlation_of(request);
    {
      std::lock_guard guard(handler->lock);
      handler->asked.push_back(id + " " + type_of(request));
    }
    ++handler->calls;
    EXPECT_NE(blazen_run_state_now(run), BLAZEN_RUN_NONE);
    EXPECT_NE(describe_run(run).at("run_id"), "");
    switch (handler->does) {
      case Does::answers: return blazen_value_json(BLAZEN_TEXT("\"handled\""), answer, error);
      case Does::later: return BLAZEN_PENDING;
      case Does::fails: return blazen_error_host(9, BLAZEN_TEXT("nobody home"), nullptr, error);
      case Does::throws: throw std::runtime_error("from the handler");
      case Does::nothing: return BLAZEN_OK;
      case Does::twice:
        EXPECT_EQ(respond(run, id, "\"first\""), BLAZEN_OK);
        return blazen_value_json(BLAZEN_TEXT("\"second\""), answer, error);
    }
    return BLAZEN_OK;
  }
  static void drop(void* self) { ++static_cast<Handler*>(self)->drops; }
  blazen_run_options options() {
    blazen_run_options all = BLAZEN_RUN_OPTIONS_INIT;
    all.input = call;
    all.user_data = this;
    all.drop = drop;
    return all;
  }
};

RunHandle start_with(Engine& engine, const Workflow& workflow, Handler& handler) {
  RunHandle run;
  const blazen_run_options options = handler.options();
  MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  return run;
}

TEST_P(Question, AHandlerAnswersInline) {
  Handler handler;
  Engine engine(GetParam(), &clock_);
  {
    RunHandle run = start_with(engine, asker(3).build(), handler);
    EXPECT_EQ(finish(engine, run).text(), "5 json [\"handled\",\"handled\",\"handled\"]");
    EXPECT_EQ(handler.calls, 3);
    MUST(blazen_run_close(run, e));
    EXPECT_EQ(handler.drops, 0);
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (handler.drops == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(handler.drops, 1);
}

TEST_P(Question, AHandlerThatAnswersLaterOrNotAtAll) {
  for (const Handler::Does does : {Handler::Does::later, Handler::Does::nothing}) {
    Handler handler;
    Engine engine(GetParam(), &clock_);
    handler.does = does;
    RunHandle run = start_with(engine, asker(2).build(), handler);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(open_ids(run), "i1.1,i1.2");
    EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_OK);
    EXPECT_EQ(finish(engine, run).text(), "5 json [1,2]");
    EXPECT_EQ(handler.calls, 2) << "once for each question";
  }
}

TEST_P(Question, AHandlerThatFailsFailsTheRun) {
  for (const Handler::Does does : {Handler::Does::fails, Handler::Does::throws}) {
    Handler handler;
    Engine engine(GetParam(), &clock_);
    handler.does = does;
    RunHandle run = start_with(engine, asker(1).build(), handler);
    const Outcome end = finish(engine, run);
    EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
    EXPECT_EQ(end.status, BLAZEN_ERROR_HOST) << end.text();
    EXPECT_EQ(end.error.host_code(), does == Handler::Does::fails ? 9 : 0);
    EXPECT_TRUE(end.error.says(does == Handler::Does::fails ? "nobody home" : "from the handler"))
        << end.text();
  }
}

// It has said that it answers later, and now it cannot.
TEST_P(Question, AHandlerThatFailsLater) {
  Handler handler;
  handler.does = Handler::Does::later;
  Counted object;
  Engine engine(GetParam(), &clock_);
  RunHandle run = start_with(engine, asker(2).build(), handler);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const auto fail = [&](std::string_view id, blazen_error* why) {
    return blazen_run_fail_question(run, id.data(), id.size(), why, nullptr);
  };
  blazen_error* why = nullptr;
  EXPECT_EQ(blazen_error_host(9, BLAZEN_TEXT("nobody home"), live(object), &why), BLAZEN_ERROR_HOST);
  EXPECT_EQ(fail("unknown", why), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
  EXPECT_EQ(fail("i1.1", why), BLAZEN_ERROR_NOT_FOUND) << "it was answered";
  EXPECT_EQ(open_ids(run), "i1.2");
  EXPECT_EQ(fail("i1.2", why), BLAZEN_OK);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.text(), "6 BLAZEN_ERROR_HOST[nobody home] code 9 detail live(test/counted) ");
  EXPECT_EQ(fail("i1.2", why), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(questions_text(run), "[]");
  blazen_error_release(why);
}

TEST_P(Question, AHandlerMayFailItsQuestionFromInside) {
  struct Failing {
    std::atomic<int> refused{0};
    static blazen_status call(void* self, blazen_run* run, const blazen_event* request, blazen_value** answer,
                              blazen_error** error) {
      const std::string id = correlation_of(request);
      blazen_error* why = nullptr;
      EXPECT_EQ(blazen_error_host(3, BLAZEN_TEXT("inside"), nullptr, &why), BLAZEN_ERROR_HOST);
      EXPECT_EQ(blazen_run_fail_question(run, id.data(), id.size(), why, nullptr), BLAZEN_OK);
      static_cast<Failing*>(self)->refused +=
          blazen_run_fail_question(run, id.data(), id.size(), why, nullptr) == BLAZEN_ERROR_CANCELLED;
      blazen_error_release(why);
      return blazen_value_json(BLAZEN_TEXT("1"), answer, error);  // comes to nothing
    }
  } failing;
  Engine engine(GetParam(), &clock_);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.input = Failing::call;
  options.user_data = &failing;
  RunHandle run;
  MUST(blazen_run_create(engine.runtime(), asker(1).build(), &options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "6 BLAZEN_ERROR_HOST[inside] code 3");
  EXPECT_TRUE(engine.until(run, [&] { return failing.refused == 1; }));  // the run ends while it is inside
}

// The question is open in the snapshot; the run that is resumed from it was not started yet.
TEST_P(Question, OfAResumedRunMayFailBeforeItIsStarted) {
  const Workflow workflow = asker(1).build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    taken = snapshot_bytes(run);
  }
  Told ended;
  Engine engine(GetParam(), &clock_);
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(taken), nullptr, run.out(), e));
  ended.wait_for(run, BLAZEN_UNTIL_ENDED);
  blazen_error* why = nullptr;
  EXPECT_EQ(blazen_error_host(3, BLAZEN_TEXT("early"), nullptr, &why), BLAZEN_ERROR_HOST);
  EXPECT_EQ(blazen_run_fail_question(run, BLAZEN_TEXT("i1.1"), why, nullptr), BLAZEN_OK);
  blazen_error_release(why);
  EXPECT_EQ(ended.all(), States{BLAZEN_RUN_FAILED});
  EXPECT_EQ(blazen_run_start(run, nullptr, nullptr), BLAZEN_OK)
      << "as one that comes from a snapshot of its end";
  EXPECT_EQ(finish(engine, run).text(), "6 BLAZEN_ERROR_HOST[early] code 3");
  EXPECT_EQ(ended.all(), States{BLAZEN_RUN_FAILED});
  EXPECT_EQ(ended.drops, 1);
}

TEST_P(Question, TheFirstAnswerCounts) {
  Handler handler;
  Engine engine(GetParam(), &clock_);
  handler.does = Handler::Does::twice;
  RunHandle run = start_with(engine, asker(1).build(), handler);
  EXPECT_EQ(finish(engine, run).text(), "5 json [\"first\"]");
}

TEST_P(Question, AHandlerIsCalledForEventsThatAsk) {
  Handler handler;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.send(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"a\"}");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"b\"}");
    ctx.emit_in(10, BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"c\"}");
  });
  std::atomic<int> answers{0};
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [&](Ctx& ctx) {
    EXPECT_EQ(Json::parse(ctx.input()).at("response"), "handled");
    EXPECT_EQ(Json::parse(ctx.input()).at("request_id"), correlation_of(ctx.trigger()));
    if (++answers == 3) ctx.stop();
  });
  RunHandle run = start_with(engine, spec.build(), handler);
  EXPECT_TRUE(engine.until(run, [&] { return answers == 2; }));
  engine.pass(10);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(handler.calls, 3);
}

// Nobody holds a handle, and nobody needs to: the handler answers.
TEST_P(Question, ARunWithoutHandlesGoesOnWithItsHandler) {
  Handler handler;
  Told told;
  Engine engine(GetParam(), &clock_);
  {
    Spec spec;
    spec.start([](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}"); });
    spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [&](Ctx& ctx) { ctx.stop(); });
    RunHandle run;
    const blazen_run_options options = handler.options();
    MUST(blazen_run_create(engine.runtime(), spec.build(), &options, run.out(), e));
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    MUST(blazen_run_start(run, nullptr, e));
  }
  EXPECT_TRUE(until_without_run(engine, [&] { return told.drops == 1; }));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_COMPLETED});
}

// The last handle goes while a callback has the run: it is not lost, for an answer may still come.
TEST_P(Question, TheLastHandleMayGoWhileACallbackHasTheRun) {
  for (const bool by_handler : {true, false}) {
    struct Host {
      RunHandle run;
      std::atomic<bool> is_started{false};  // and nobody else uses the handle any more
      void let_go() {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!is_started && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
        run.reset();
      }
      static blazen_status answer(void* self, blazen_run*, const blazen_event*, blazen_value** answer,
                                  blazen_error** error) {
        static_cast<Host*>(self)->let_go();
        return blazen_value_json(BLAZEN_TEXT("4"), answer, error);
      }
    } host;
    Told ended;
    Told asked;
    asked.then = [&](blazen_run* asking) {
      host.let_go();
      EXPECT_EQ(respond(asking, "i1.1", "4"), BLAZEN_OK);
    };
    Engine engine(GetParam(), &clock_);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.input = by_handler ? Host::answer : nullptr;
    options.user_data = &host;
    MUST(blazen_run_create(engine.runtime(), asker(1).build(), &options, host.run.out(), e));
    ended.wait_for(host.run, BLAZEN_UNTIL_ENDED);
    if (!by_handler) asked.wait_for(host.run, BLAZEN_UNTIL_ASKING);
    MUST(blazen_run_start(host.run, nullptr, e));
    host.is_started = true;
    EXPECT_TRUE(
        until_without_run(engine, [&] { return ended.drops == 1 && (by_handler || asked.drops == 1); }));
    EXPECT_EQ(ended.all(), States{BLAZEN_RUN_COMPLETED}) << by_handler;
  }
}

// It gives no answer, and nobody else can.
TEST_P(Question, ARunThatItsHandlerLeavesAloneIsCancelled) {
  Handler handler;
  handler.does = Handler::Does::nothing;
  Told told;
  Engine engine(GetParam(), &clock_);
  {
    RunHandle run;
    const blazen_run_options options = handler.options();
    MUST(blazen_run_create(engine.runtime(), asker(1).build(), &options, run.out(), e));
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    MUST(blazen_run_start(run, nullptr, e));
  }
  EXPECT_TRUE(until_without_run(engine, [&] { return told.drops == 1; }));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_CANCELLED});
}

TEST_P(Question, AHandlerIsCalledForWhatIsOpenInASnapshot) {
  const Workflow workflow = asker(3).build();
  std::string taken;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, workflow);
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    taken = snapshot_bytes(run);
  }
  Handler handler;
  Engine engine(GetParam(), &clock_);
  const blazen_run_options options = handler.options();
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(taken), &options, run.out(), e));
  EXPECT_EQ(handler.calls, 0) << "not before the start";
  EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_OK);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json [\"handled\",2,\"handled\"]");
  EXPECT_EQ(handler.calls, 2);
}

// The handler may take as long as it likes.
TEST_P(Question, AHandlerThatBlocksBlocksNobody) {
  NEEDS_THREADS();
  if (!is_threaded(GetParam())) GTEST_SKIP() << "the handler is called on the only thread";
  for (const int how : {0, 1, 2}) {
    std::atomic<bool> inside{false};
    std::atomic<bool> may_leave{false};
    struct Gate {
      std::atomic<bool>& inside;
      std::atomic<bool>& may_leave;
    } gate{inside, may_leave};
    FakeClock clock;
    Engine engine(GetParam(), &clock);
    Spec spec = asker(1);
    spec.timeout_ms = 1000;
    spec.steps.back().concurrency_max = 1;
    spec.start([](Ctx& ctx) { ctx.emit("Wait"); });
    spec.steps.back().name = "other";
    Invocation held;
    std::atomic<bool> is_held{false};
    spec.step("wait", {"Wait"}, [&](Ctx& ctx) -> blazen_status {
      held = ctx.defer();  // else the clock of the run would stand still
      is_held = true;
      return BLAZEN_PENDING;
    });
    RunHandle run;
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.user_data = &gate;
    options.input = [](void* self, blazen_run*, const blazen_event*, blazen_value** answer,
                       blazen_error** error) -> blazen_status {
      auto* mine = static_cast<Gate*>(self);
      mine->inside = true;
      while (!mine->may_leave) std::this_thread::yield();
      return blazen_value_json(BLAZEN_TEXT("1"), answer, error);
    };
    MUST(blazen_run_create(engine.runtime(), spec.build(), &options, run.out(), e));
    MUST(blazen_run_start(run, nullptr, e));
    ASSERT_TRUE(engine.until(run, [&] { return inside.load(); }));
    if (how == 0) {
      MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
      MUST(blazen_run_abort(run, e));
    } else if (how == 1) {
      MUST(blazen_run_abort(run, e));
    } else {
      engine.pass(1000);
    }
    EXPECT_TRUE(is_ended(blazen_run_state_now(run)));
    EXPECT_EQ(outcome(run).status, how == 2 ? BLAZEN_ERROR_RUN_TIMEOUT : BLAZEN_ERROR_ABORTED);
    may_leave = true;
    MUST(blazen_run_close(run, e));
    held.reset();
  }
}

// ------------------------------------------------------------------------------------- answers that are LIVE

TEST_P(Question, AnAnswerMayBeAnyValue) {
  Engine engine(GetParam(), &clock_);
  Counted object;
  {
    Spec spec;
    spec.start([](Ctx& ctx) -> blazen_status {
      blazen_question question = BLAZEN_QUESTION_INIT;
      Value answer;
      const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), nullptr);
      return status == BLAZEN_OK ? ctx.stop(answer) : status;
    });
    RunHandle run = start(engine, spec.build());
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    MUST(blazen_run_respond(run, BLAZEN_TEXT("i1.1"), live(object), e));
    const Outcome end = finish(engine, run);
    EXPECT_EQ(blazen_value_object(end.result), &object);
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (object.drops == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(object.drops, 1);
}

TEST_P(Question, AnAnswerThatIsNoJsonIsTheEventsValue) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"a\\\"b\"}"); });
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) {
    EXPECT_EQ(correlation_of(ctx.trigger()), "a\"b");
    ctx.stop(Value(blazen_value_retain(blazen_event_value(ctx.trigger()))));
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_respond(run, BLAZEN_TEXT("a\"b"), native("xyz", "p"), e));
  EXPECT_EQ(finish(engine, run).text(), "5 native(p) xyz");
  RunHandle second = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(second, BLAZEN_RUN_ASKING));
  MUST(blazen_run_respond(second, BLAZEN_TEXT("a\"b"), nullptr, e));
  EXPECT_EQ(finish(engine, second).text(), "5 json {\"request_id\":\"a\\\"b\",\"response\":null}");
}

// What goes inside a request or a response has to leave room for what stands around it: what comes out is a
// value that everything takes, a snapshot too.
std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST_P(Question, NestedAsDeepAsAQuestionMayBe) {
  constexpr size_t kMost = BLAZEN_JSON_DEPTH_MAX - 8;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = "deep";
    question.request_id_length = 4;
    Value answer;
    Error error;
    const Value too_deep = json(nested(kMost));  // and one more around it
    question.metadata = too_deep;
    EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), error.out()), BLAZEN_ERROR_LIMIT);
    EXPECT_TRUE(error.says("question is nested too deep")) << error.message();
    EXPECT_EQ(ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"a\":" + nested(kMost) + "}"), BLAZEN_ERROR_LIMIT);
    const Value metadata = json(nested(kMost - 1));
    question.metadata = metadata;
    const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), nullptr);
    return status == BLAZEN_OK ? ctx.stop(answer) : status;
  });
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const std::string described = describe_run(run).dump();
  EXPECT_EQ(json(described).get() != nullptr, true);
  Error error;
  const std::string deep = nested(kMost + 1);
  EXPECT_EQ(blazen_run_respond(run, "deep", 4, json(deep), error.out()), BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says("answer is nested too deep")) << error.message();
  EXPECT_EQ(open_ids(run), "deep");
  run = resume(engine, workflow, snapshot_bytes(run));
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "deep", nested(kMost)), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json " + nested(kMost));
}

}  // namespace
