// Goal: a body that is called again and asks something else in the same place never gets the answer to what
// it asked there before. The new question is asked under an id of its own, the stream says so, and the first
// one is withdrawn where it is open: no run waits for an answer that nobody will use. The same holds after a
// failure, after an answer and after a resume, and for events that ask.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class DivergingQuestion : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, DivergingQuestion, testing::ValuesIn(ways()), way_name);

// The digests behind the ids, of prompts that the tests use in second place.
constexpr const char* kMore = "i1.1.ef8b5604e45de30e";
constexpr const char* kMoreInSecondPlace = "i1.2.ef8b5604e45de30e";

std::string diverged(std::string_view id, std::string_view instead_of) {
  return "blazen::lifecycle={\"kind\":\"send_diverged\",\"invocation_id\":1,\"request_id\":\"" +
         std::string(id) + "\",\"instead_of\":\"" + std::string(instead_of) + "\"}";
}

std::string request(std::string_view id, std::string_view prompt) {
  return std::string(BLAZEN_INPUT_REQUEST_EVENT) + "={\"request_id\":\"" + std::string(id) +
         "\",\"prompt\":\"" + std::string(prompt) + "\"}";
}

// Asks; the answer, or that there is none yet, or why not.
std::string asked(Ctx& ctx, std::string_view prompt, std::string_view id = {},
                  std::string_view metadata = {}) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = id.data();
  question.request_id_length = id.size();
  question.prompt = prompt.data();
  question.prompt_length = prompt.size();
  const Value value = metadata.empty() ? Value() : json(metadata);
  question.metadata = value;
  Value answer;
  Error error;
  const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), error.out());
  if (status == BLAZEN_OK) return data_of(answer);
  return status == BLAZEN_PENDING ? "pending" : std::string(blazen_status_name(status));
}

// A body that asks prompts[n] when it is called for the n-th time, and stops with the first answer but one to
// "100?".
struct Asker {
  std::vector<std::string> prompts;
  std::string id{};
  std::atomic<size_t> calls{0};

  blazen_status operator()(Ctx& ctx) {
    const std::string& prompt = prompts[std::min(calls++, prompts.size() - 1)];
    const std::string answer = asked(ctx, prompt, id);
    if (answer == "pending") return BLAZEN_PENDING;
    return ctx.stop("[\"" + prompt + "\"," + answer + "]");
  }
  Body body() {
    return [this](Ctx& ctx) { return (*this)(ctx); };
  }
};

// ------------------------------------------------------------------------------------------- after an answer

TEST_P(DivergingQuestion, AfterItsAnswerIsAskedAnewAndReported) {
  Engine engine(GetParam(), &clock_);
  Asker asker{.prompts = {"100?", "900?"}};
  RunHandle run = create(engine, Spec().start(asker.body()).build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "i1.1");
  EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return asker.calls == 2; }));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING)) << "it has taken the other question's answer";
  EXPECT_EQ(open_ids(run), kMore);
  EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, kMore, "\"no\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [\"900?\",\"no\"]");
  EXPECT_EQ(text_of(take(stream)), request("i1.1", "100?") + " " + diverged(kMore, "i1.1") + " " +
                                       request(kMore, "900?") + " blazen::StreamEnd=null");
}

// It asks the first one again: that was answered, and this is its answer.
TEST_P(DivergingQuestion, WhatIsAskedOnceMoreHasItsOwnAnswer) {
  Engine engine(GetParam(), &clock_);
  Asker asker{.prompts = {"100?", "900?", "100?"}};
  RunHandle run = start(engine, Spec().start(asker.body()).build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return asker.calls == 2; }));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, kMore, "\"no\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [\"100?\",\"yes\"]");
}

// The prompt alone, or the metadata alone, makes another question.
TEST_P(DivergingQuestion, IsToldByItsPromptAndByItsMetadata) {
  for (const auto& [prompt, metadata, is_same] :
       {std::tuple("a?", "1", true), std::tuple("b?", "1", false), std::tuple("a?", "2", false),
        std::tuple("a?", "", false)}) {
    SCOPED_TRACE(std::string(prompt) + " " + metadata);
    Engine engine(GetParam(), &clock_);
    std::atomic<int> calls{0};
    std::string got;
    Spec spec;
    spec.start([&](Ctx& ctx) -> blazen_status {
      got = ++calls == 1 ? asked(ctx, "a?", {}, "1") : asked(ctx, prompt, {}, metadata);
      return got == "pending" ? BLAZEN_PENDING : ctx.stop(got);
    });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(respond(run, "i1.1", "5"), BLAZEN_OK);
    if (is_same) {
      EXPECT_EQ(finish(engine, run).text(), "5 json 5");
      continue;
    }
    ASSERT_TRUE(engine.until(run, [&] { return calls == 2; }));
    ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(open_ids(run).substr(0, 5), "i1.1.");
    MUST(blazen_run_abort(run, e));
  }
}

// ------------------------------------------------------------------------------------------- after a failure

// The first one was open when its attempt failed, and late answers to it go nowhere.
TEST_P(DivergingQuestion, OfALaterAttemptGetsNoLateAnswer) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        const std::string answer = asked(ctx, ctx.attempt() == 1 ? "100?" : "900?");
        if (ctx.attempt() == 1) return ctx.fail(1, "no");
        return answer == "pending" ? BLAZEN_PENDING : ctx.stop(answer);
      })
      .retry(retries(2, 10));
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(10);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), kMore);
  EXPECT_EQ(respond(run, "i1.1", "\"late\""), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, kMore, "\"no\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"no\"");
  EXPECT_NE(text_of(take(stream)).find(diverged(kMore, "i1.1")), std::string::npos);
}

TEST_P(DivergingQuestion, OfALaterAttemptGetsNoEarlierAnswer) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        const std::string answer = asked(ctx, ctx.attempt() == 1 ? "100?" : "900?");
        if (answer == "pending") return BLAZEN_PENDING;
        return ctx.attempt() == 1 ? ctx.fail(1, "no") : ctx.stop(answer);
      })
      .retry(retries(2, 10));
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("retrying").size() == 1; }));
  engine.pass(10);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), kMore);
  EXPECT_EQ(respond(run, kMore, "\"no\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"no\"");
}

// ------------------------------------------------------------------------------------------- several at once

// What was asked in second place is asked in first place now: places are compared as they stand, and the one
// that another took is withdrawn although it was never answered.
TEST_P(DivergingQuestion, WithdrawsWhatStoodInItsPlaceAndIsOpen) {
  Engine engine(GetParam(), &clock_);
  std::atomic<int> calls{0};
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    const int call = ++calls;
    const std::string first = asked(ctx, "100?");
    const std::string second = asked(ctx, call == 1 ? "200?" : "900?");
    if (first == "pending" || second == "pending") return BLAZEN_PENDING;
    return ctx.stop("[" + first + "," + second + "]");
  });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), "i1.1,i1.2");
  EXPECT_EQ(respond(run, "i1.1", "1"), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return calls == 2; }));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), kMoreInSecondPlace) << "nobody would use the answer to i1.2";
  EXPECT_EQ(respond(run, "i1.2", "2"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, kMoreInSecondPlace, "9"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [1,9]");
}

// -------------------------------------------------------------------------------------------- after a resume

// The answer was given and not delivered yet, when the snapshot was taken.
TEST_P(DivergingQuestion, AfterAResumeGetsNoAnswerThatTheSnapshotHolds) {
  std::string bytes;
  {
    Engine engine(GetParam(), &clock_);
    Asker asker{.prompts = {"100?"}};
    RunHandle run = start(engine, Spec().start(asker.body()).build());
    ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
    EXPECT_EQ(respond(run, "i1.1", "\"yes\""), BLAZEN_OK);
    bytes = snapshot_bytes(run);
    MUST(blazen_run_abort(run, e));
  }
  for (const bool is_same : {true, false}) {
    Engine engine(GetParam(), &clock_);
    Asker asker{.prompts = {is_same ? "100?" : "900?"}};
    RunHandle run = resume(engine, Spec().start(asker.body()).build(), bytes);
    EXPECT_EQ(snapshot_bytes(run), bytes);
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    if (is_same) {
      EXPECT_EQ(finish(engine, run).text(), "5 json [\"100?\",\"yes\"]");
      continue;
    }
    ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(open_ids(run), kMore);
    EXPECT_EQ(respond(run, kMore, "\"no\""), BLAZEN_OK);
    EXPECT_EQ(finish(engine, run).text(), "5 json [\"900?\",\"no\"]");
    EXPECT_NE(text_of(take(stream)).find(diverged(kMore, "i1.1")), std::string::npos);
  }
}

// The body was at work, and its question open. There may not be two: the other one goes.
TEST_P(DivergingQuestion, AfterAResumeWithdrawsTheOneThatIsOpen) {
  std::string bytes;
  {
    Engine engine(GetParam(), &clock_);
    RunHandle run = start(engine, Spec()
                                      .start([&](Ctx& ctx) {
                                        EXPECT_EQ(asked(ctx, "100?"), "pending");
                                        bytes = snapshot_bytes(ctx.run());
                                        ctx.stop();
                                      })
                                      .build());
    finish(engine, run);
  }
  Engine engine(GetParam(), &clock_);
  Asker asker{.prompts = {"900?"}};
  const Workflow one_question = Spec().limit(BLAZEN_LIMIT_QUESTIONS, 1).start(asker.body()).build();
  RunHandle run = resume(engine, one_question, bytes);
  EXPECT_EQ(open_ids(run), "i1.1");
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] { return asker.calls == 1; }));
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open_ids(run), kMore);
  // The snapshot of a run that has diverged knows both.
  const std::string again = snapshot_bytes(run);
  RunHandle third = resume(engine, one_question, again);
  EXPECT_EQ(snapshot_bytes(third), again);
  EXPECT_EQ(respond(third, kMore, "\"no\""), BLAZEN_OK);
  MUST(blazen_run_start(third, nullptr, e));
  EXPECT_EQ(finish(engine, third).text(), "5 json [\"900?\",\"no\"]");
  MUST(blazen_run_abort(run, e));
}

// --------------------------------------------------------------------------------- under an id of the host's

// Whoever chose the id said that it is one question: neither its answer, nor one that is under way to it, is
// given to another.
TEST_P(DivergingQuestion, UnderTheSameGivenIdIsAConflict) {
  Engine engine(GetParam(), &clock_);
  std::atomic<int> calls{0};
  std::string open;
  std::string answered;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    if (++calls == 1) {
      EXPECT_EQ(asked(ctx, "100?", "pay"), "pending");
      open =
          asked(ctx, "900?", "pay") + " " + asked(ctx, "100?", "pay", "1") + " " + asked(ctx, "100?", "pay");
      return BLAZEN_PENDING;
    }
    answered =
        asked(ctx, "900?", "pay") + " " + asked(ctx, "100?", "pay", "1") + " " + asked(ctx, "100?", "pay");
    return ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(open, "BLAZEN_ERROR_CONFLICT BLAZEN_ERROR_CONFLICT pending");
  EXPECT_EQ(open_ids(run), "pay");
  EXPECT_EQ(respond(run, "pay", "5"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(answered, "BLAZEN_ERROR_CONFLICT BLAZEN_ERROR_CONFLICT 5");
}

// One that was withdrawn has no answer: the other one is asked, and that is said.
TEST_P(DivergingQuestion, UnderAGivenIdThatWasWithdrawnIsAskedAndReported) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        const std::string answer = asked(ctx, ctx.attempt() == 1 ? "100?" : "900?", "pay");
        if (ctx.attempt() == 1) return ctx.fail(1, "no");
        return answer == "pending" ? BLAZEN_PENDING : ctx.stop(answer);
      })
      .retry(retries(2));
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] {
    engine.pass(1);
    return blazen_run_state_now(run) == BLAZEN_RUN_ASKING;
  }));
  EXPECT_EQ(open_ids(run), "pay");
  EXPECT_EQ(respond(run, "pay", "5"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json 5");
  EXPECT_NE(text_of(take(stream)).find(diverged("pay", "pay")), std::string::npos);
}

// ------------------------------------------------------------------------------------------------- as events

// What an attempt sends as an InputRequestEvent, and another instead of it.
struct Sent {
  std::string open;
  std::string stream;
};
Sent send_requests(const std::string& first, const std::string& second, int64_t delay_ms = 0) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([&](Ctx& ctx) -> blazen_status {
        blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
        options.delay_ms = ctx.attempt() == 1 ? delay_ms : 0;
        const Event sent = event(BLAZEN_INPUT_REQUEST_EVENT, ctx.attempt() == 1 ? first : second);
        MUST(blazen_context_send_event(ctx.raw, sent, &options, e));
        return ctx.attempt() == 1 ? ctx.fail(1, "no") : BLAZEN_OK;
      })
      .retry(retries(2));
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  for (int i = 0; i < 50; ++i) engine.pass(1);
  Sent sent{open_ids(run), text_of(take(stream))};
  MUST(blazen_run_abort(run, e));
  return sent;
}

TEST(DivergingRequestEvent, IsRoutedReportedAndTakesTheOpenOnesPlace) {
  const Sent sent = send_requests("{\"prompt\":\"100?\"}", "{\"prompt\":\"900?\"}");
  EXPECT_EQ(sent.open.substr(0, 5), "i1.1.") << sent.open;
  EXPECT_EQ(sent.open.find(','), std::string::npos) << "the run would wait for both";
  EXPECT_NE(
      sent.stream.find("{\"kind\":\"send_diverged\",\"invocation_id\":1,\"position\":0,\"request_id\":\"" +
                       sent.open + "\",\"instead_of\":\"i1.1\"}"),
      std::string::npos)
      << sent.stream;
}

TEST(DivergingRequestEvent, TakesThePlaceOfOneThatIsDelayed) {
  EXPECT_EQ(send_requests("{\"prompt\":\"100?\"}", "{\"prompt\":\"100?\"}", 20).open, "i1.1");
  const Sent sent = send_requests("{\"prompt\":\"100?\"}", "{\"prompt\":\"900?\"}", 20);
  EXPECT_EQ(sent.open.substr(0, 5), "i1.1.") << sent.open;
  EXPECT_EQ(sent.open.find(','), std::string::npos) << sent.open;
}

TEST(DivergingRequestEvent, IsToldByItsPromptAndByItsMetadata) {
  const std::string first = "{\"prompt\":\"a?\",\"metadata\":{\"n\":1}}";
  EXPECT_EQ(send_requests(first, first).open, "i1.1");
  EXPECT_EQ(send_requests(first, first).stream.find("send_"), std::string::npos);
  EXPECT_NE(send_requests(first, "{\"prompt\":\"a?\",\"metadata\":{\"n\":2}}").open, "i1.1");
  EXPECT_NE(send_requests(first, "{\"prompt\":\"a?\"}").open, "i1.1");
  EXPECT_NE(send_requests(first, "{\"metadata\":{\"n\":1}}").open, "i1.1");
}

// Space, other members and the host's own id make no other question: it is the repetition, and has changed.
TEST(DivergingRequestEvent, OfTheSameQuestionIsARepetition) {
  for (const auto& [first, second] :
       {std::pair("{\"prompt\":\"a?\"}", "{ \"prompt\" : \"a?\" }"),
        std::pair("{\"prompt\":\"a?\"}", "{\"prompt\":\"a?\",\"urgent\":true}"),
        std::pair("{\"request_id\":\"x\",\"prompt\":\"a?\"}", "{\"request_id\":\"y\",\"prompt\":\"a?\"}")}) {
    const Sent sent = send_requests(first, second);
    EXPECT_EQ(sent.open, first[2] == 'r' ? "x" : "i1.1");
    EXPECT_NE(sent.stream.find("\"send_changed\""), std::string::npos) << sent.stream;
    EXPECT_EQ(sent.stream.find("\"send_diverged\""), std::string::npos) << sent.stream;
  }
}

// A body has asked there, and an event asks there now: the body's answer is none to it.
TEST_P(DivergingQuestion, ThatIsEmittedInItsPlaceHasAnIdOfItsOwn) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        if (ctx.attempt() == 2) return ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"prompt\":\"100?\"}");
        EXPECT_EQ(asked(ctx, "100?"), "pending");
        return ctx.fail(1, "no");
      })
      .retry(retries(2));
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] {
    engine.pass(1);
    return blazen_run_state_now(run) == BLAZEN_RUN_ASKING;
  }));
  EXPECT_EQ(open_ids(run).substr(0, 5), "i1.1.");
  EXPECT_EQ(respond(run, open_ids(run)), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

}  // namespace
