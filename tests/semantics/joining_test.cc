// Scopes and joins: the engine knows when a fan-out is over, whatever became of its children.
#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Joining : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Joining, testing::ValuesIn(ways()), way_name);

void fan_out(Ctx& ctx, int count) {
  for (int i = 0; i < count; ++i) ctx.emit("Part", std::to_string(i));
}

std::string sorted(std::string text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(parts.begin(), parts.end());
  std::string joined;
  for (const std::string& part : parts) joined += (joined.empty() ? "" : ",") + part;
  return joined;
}

// Answers the events of the join and why it was invoked.
void stop_joined(Ctx& ctx) {
  const blazen_join_info info = ctx.joined();
  ctx.stop("[\"" + sorted(ctx.events()) + "\"," + std::to_string(info.reason) + "," +
           std::to_string(info.arrived) + "," + std::to_string(info.wanted) + "]");
}

Spec fan(int count, Body part, Joins how = {"start"}) {
  return Spec()
      .start([count](Ctx& ctx) { fan_out(ctx, count); })
      .step("work", {"Part"}, std::move(part))
      .step("join", {"Done"}, stop_joined)
      .joins(std::move(how));
}

TEST_P(Joining, AllThatComesOfAFanOutIsJoinedOnce) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, fan(5, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); }));
  EXPECT_EQ(end.text(), R"(5 json ["0,1,2,3,4",1,5,0])");
}

TEST_P(Joining, WhateverBecomesOfTheChildren) {
  Engine engine(GetParam());
  std::atomic<int> failures{0};
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.send("Part", "0");  // one that is sent belongs to the scope too
    for (int i = 1; i < 6; ++i) ctx.emit("Part", std::to_string(i));
  });
  spec.step("work", {"Part"}, [&](Ctx& ctx) -> blazen_status {
    const int part = std::stoi(ctx.input());
    if (part == 1) return BLAZEN_OK;  // no answer at all
    if (part == 2) {                  // three answers
      for (int i = 20; i < 23; ++i) ctx.emit("Done", std::to_string(i));
      return ctx.failed;
    }
    if (part == 3 && ctx.attempt() < 3) {
      ++failures;
      return ctx.fail(1, "once more");
    }
    if (part == 4) return ctx.fail(2, "for good");
    if (part == 5) {
      ctx.emit("Further", "50");
      return ctx.failed;
    }
    return ctx.emit("Done", ctx.input());
  });
  blazen_retry_options retry = retries(3);
  const int64_t only[] = {1};
  retry.only = only;
  retry.only_count = 1;
  spec.retry(retry);
  spec.step("further", {"Further"}, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); });
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.emit("Done", "40"); });
  spec.step("join", {"Done"}, stop_joined).joins({"start"});
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["0,20,21,22,3,40,50",1,7,0])");
  EXPECT_EQ(failures, 2);
}

TEST_P(Joining, AFanOutOfNothingIsJoinedEmpty) {
  Engine engine(GetParam());
  std::string type;
  Spec spec;
  spec.start([](Ctx&) {});
  spec.step("work", {"Part"}, [](Ctx& ctx) { ctx.emit("Done"); });
  spec.step("join", {"Done"}, [&](Ctx& ctx) {
    type = ctx.type();
    EXPECT_NE(ctx.event_id(), 0U);
    EXPECT_EQ(blazen_context_event(ctx.raw), ctx.trigger());
    stop_joined(ctx);
  });
  spec.joins({"start"});
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["",1,0,0])");
  EXPECT_EQ(type, BLAZEN_EMPTY_JOIN_EVENT);
  spec.steps.back().joins->skip_empty = true;
  EXPECT_EQ(run_to_end(engine, spec).status, BLAZEN_ERROR_STALLED);
}

TEST_P(Joining, TheFirstAndTheFirstFew) {
  Engine engine(GetParam());
  const Outcome any =
      run_to_end(engine, fan(1, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); }, {"start", BLAZEN_JOIN_ANY}));
  EXPECT_EQ(any.text(), R"(5 json ["0",2,1,1])");
  // Fewer than were wanted: what came.
  const Outcome few = run_to_end(
      engine, fan(3, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); }, {"start", BLAZEN_JOIN_FIRST_N, 7}));
  EXPECT_EQ(few.text(), R"(5 json ["0,1,2",3,3,7])");
  Spec spec = fan(9, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); }, {"start", BLAZEN_JOIN_FIRST_N, 4});
  const Outcome four = run_to_end(engine, spec);
  EXPECT_NE(four.text().find(",2,4,4]"), std::string::npos) << four.text();
}

TEST_P(Joining, TheRestIsCancelled) {
  Engine engine(GetParam());
  std::atomic<int> cancelled{0};
  std::atomic<int> begun{0};
  std::vector<Invocation> held(8);
  std::atomic<int> holds{0};
  std::atomic<bool> has_begun_to_win{false};
  Spec spec;
  spec.start([](Ctx& ctx) {
    fan_out(ctx, 4);
    ctx.emit_in(1'000'000, "Part", "99");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"q"})");
    ctx.emit("Wins");
  });
  // Deferred, and so in flight until they are told.
  spec.step("work", {"Part"}, [&](Ctx& ctx) -> blazen_status {
    MUST(blazen_context_on_cancel(
        ctx.raw, [](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &cancelled, nullptr, e));
    held[static_cast<size_t>(holds++)] = ctx.defer();
    ++begun;
    return BLAZEN_PENDING;
  });
  spec.step("asks", {"Ask"}, [&](Ctx& ctx) -> blazen_status {
    return ctx.ask("?", "b").empty() ? BLAZEN_PENDING : ctx.emit("Done", "7");
  });
  spec.step("wins", {"Wins"}, [&](Ctx& ctx) -> blazen_status {
    held[7] = ctx.defer();
    has_begun_to_win = true;
    return BLAZEN_PENDING;
  });
  spec.step("join", {"Done"}, [&](Ctx& ctx) { ctx.emit("After", sorted(ctx.events())); })
      .joins({.of = "start", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true});
  spec.step("after", {"After"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return begun == 4 && has_begun_to_win; }));
  ASSERT_EQ(open_ids(run), "q");
  Ctx winner(held[7]);
  winner.emit("Done", "7");
  MUST(blazen_invocation_complete(held[7], e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 7");
  EXPECT_EQ(cancelled, 4);
  EXPECT_EQ(blazen_invocation_complete(held[0], nullptr), BLAZEN_ERROR_CANCELLED);
}

TEST_P(Joining, WhatTheRestHadIsGoneFromTheRun) {
  Engine engine(GetParam(), &clock_);
  std::vector<Invocation> held(3);
  std::atomic<int> count{0};
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) { ctx.emit("Open"); });
  spec.step("open", {"Open"}, [](Ctx& ctx) {
    fan_out(ctx, 2);
    ctx.emit("Ask");
    ctx.emit("Far");
    ctx.emit_in(1000, "Part", "99");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"q"})");
    ctx.emit("Fails");
  });
  spec.step("work", {"Part"}, [&](Ctx& ctx) -> blazen_status {
    held[static_cast<size_t>(count++)] = ctx.defer();
    return BLAZEN_PENDING;
  });
  spec.step("asks", {"Ask"}, [&](Ctx& ctx) -> blazen_status {
    return ctx.ask("?", "b").empty() ? BLAZEN_PENDING : ctx.emit("Done", "7");
  });
  spec.step("fails", {"Fails"}, [&](Ctx& ctx) { return ctx.fail(1, "no"); }).retry(retries(9, 5000));
  spec.elsewhere("far", {"Far"});
  spec.step("join", {"Done"}, [](Ctx&) {})
      .joins({.of = "open", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] {
    const Json now = describe_run(run);
    return count == 2 && open_ids(run) == "q,b" && now.at("retrying").size() == 1;
  }));
  Ctx winner(held[0]);
  winner.emit("Done", "1");
  MUST(blazen_invocation_complete(held[0], e));
  ASSERT_TRUE(engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; }));
  const Json left = describe_run(run);
  EXPECT_EQ(left.at("in_flight").size(), 0U) << left;
  EXPECT_EQ(left.at("delayed").size(), 0U) << left;
  EXPECT_EQ(left.at("retrying").size(), 0U) << left;
  EXPECT_EQ(left.at("elsewhere").size(), 0U) << left;
  EXPECT_EQ(open_ids(run), "");
  EXPECT_EQ(respond(run, "b"), BLAZEN_ERROR_NOT_FOUND);
  held.clear();
  MUST(blazen_run_abort(run, e));
}

TEST_P(Joining, InTheOrderOfTheOpenersOutputs) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.send("Part", "0");
    for (int i = 1; i < 5; ++i) ctx.emit("Part", std::to_string(i));
  });
  // The later, the sooner.
  spec.step("work", {"Part"},
            [](Ctx& ctx) { ctx.emit_in(100 - 10 * std::stoi(ctx.input()), "Slow", ctx.input()); });
  spec.step("slow", {"Slow"}, [](Ctx& ctx) {
    ctx.emit("Done", ctx.input());
    if (ctx.input() == "2") ctx.emit("Done", "2");
  });
  spec.step("join", {"Done"}, [](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); })
      .joins({.of = "start", .ordered = true});
  RunHandle run = start(engine, spec.build());
  for (int i = 0; i < 12; ++i) {
    engine.until(run, [&] {
      return describe_run(run).at("counters").at("in_flight") == 0 &&
             describe_run(run).at("counters").at("queued") == 0;
    });
    engine.pass(10);
  }
  EXPECT_EQ(finish(engine, run).text(), "5 json [0,1,2,2,3,4]");
}

TEST_P(Joining, OneGroupForEachCorrelation) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("All"); });
  spec.step("open", {"All"}, [](Ctx& ctx) { fan_out(ctx, 6); });
  spec.step("work", {"Part"}, [](Ctx& ctx) {
    const std::string key(1, static_cast<char>('a' + std::stoi(ctx.input()) % 3));
    ctx.emit(event("Done", json(ctx.input()), key));
  });
  spec.step("join", {"Done"}, [](Ctx& ctx) {
    std::string all = sorted(ctx.events());
    std::replace(all.begin(), all.end(), ',', '+');
    ctx.emit("Sum", "\"" + correlation_of(ctx.trigger()) + all + "\"");
  });
  spec.joins({.of = "open", .by_event = true});
  spec.step("outer", {"Sum"}, [](Ctx& ctx) { ctx.stop("[" + sorted(ctx.events()) + "]"); }).joins({"start"});
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["a0+3","b1+4","c2+5"])");
  // Each of them with its first one; what comes behind is late.
  spec.steps[3].joins->mode = BLAZEN_JOIN_ANY;
  spec.steps[2].concurrency_max = 1;
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["a0","b1","c2"])");
  // Where nothing arrives, one that is empty.
  spec.steps[1].body = std::make_shared<Body>([](Ctx&) {});
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["<none>"])");
}

TEST_P(Joining, ScopesWithinScopes) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 3; ++i) ctx.emit("Chapter", std::to_string(i));
  });
  spec.step("chapter", {"Chapter"}, [](Ctx& ctx) {
    const int chapter = std::stoi(ctx.input());
    for (int i = 0; i < chapter; ++i) ctx.emit("Page", std::to_string(10 * chapter + i));
  });
  spec.step("page", {"Page"}, [](Ctx& ctx) { ctx.emit("Read", ctx.input()); });
  spec.step("chapter_is_read", {"Read"},
            [](Ctx& ctx) { ctx.emit("Summary", "\"" + sorted(ctx.events()) + "\""); })
      .joins({"chapter"});
  spec.step("book_is_read", {"Summary"}, [](Ctx& ctx) { ctx.stop("[" + sorted(ctx.events()) + "]"); })
      .joins({"start"});
  EXPECT_EQ(run_to_end(engine, spec).text(), R"(5 json ["","10","20,21"])");
}

// A step that opens scopes within its own, and a join that emits what it accepts, for the scope around.
TEST_P(Joining, ATreeIsReduced) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("Node", "4"); });
  spec.step("split", {"Node"}, [](Ctx& ctx) {
    const int depth = std::stoi(ctx.input());
    if (depth == 0) {
      ctx.emit("Sum", "1");
      return;
    }
    ctx.emit("Node", std::to_string(depth - 1));
    ctx.emit("Node", std::to_string(depth - 1));
  });
  spec.step("add", {"Sum"},
            [](Ctx& ctx) {
              int sum = 0;
              const blazen_event* const* all = nullptr;
              size_t count = 0;
              MUST(blazen_context_events(ctx.raw, &all, &count, e));
              for (size_t i = 0; i < count; ++i) sum += std::stoi(input_of(all[i]));
              ctx.emit(sum == 16 ? BLAZEN_STOP_EVENT : "Sum", std::to_string(sum));
            })
      .joins({"split"});
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json 16");
}

TEST_P(Joining, ADeadlineGivesWhatHasCome) {
  Engine engine(GetParam(), &clock_);
  std::vector<Invocation> held(3);
  std::atomic<size_t> count{0};
  Spec spec = fan(3,
                  [&](Ctx& ctx) -> blazen_status {
                    if (ctx.input() == "0") return ctx.emit("Done", "0");
                    held[count++] = ctx.defer();
                    return BLAZEN_PENDING;
                  },
                  {.of = "start", .deadline_ms = 100});
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(
      engine.until(run, [&] { return count == 2 && describe_run(run).at("counters").at("in_flight") == 2; }));
  EXPECT_EQ(engine.next_timer(), 100);
  engine.pass(60);
  // It stands still in a pause.
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  engine.pass(1000);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(39);
  EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
  EXPECT_EQ(engine.next_timer(), 1);
  engine.pass(1);
  EXPECT_EQ(finish(engine, run).text(), R"(5 json ["0",4,1,0])");
  held.clear();
}

// However many moments have passed at once; at the same one, an event comes before a deadline.
TEST_P(Joining, WhatIsOverdueComesInTheOrderOfItsMoments) {
  Engine engine(GetParam(), &clock_);
  for (const auto& [delay_ms, joined] :
       {std::pair(9, R"(["7",1,1,0])"), std::pair(10, R"(["7",1,1,0])"), std::pair(11, R"(["",4,0,0])")}) {
    Spec spec;
    spec.start([delay = delay_ms](Ctx& ctx) { ctx.emit_in(delay, "Done", "7"); });
    spec.step("join", {"Done"}, stop_joined).joins({.of = "start", .deadline_ms = 10});
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 1; }));
    engine.pass(30);
    EXPECT_EQ(finish(engine, run).text(), std::string("5 json ") + joined) << delay_ms;
  }
}

TEST_P(Joining, ADeadlineFailsTheJoin) {
  Engine engine(GetParam(), &clock_);
  for (const bool is_handled : {false, true}) {
    std::vector<Invocation> held(2);
    std::atomic<size_t> count{0};
    Spec spec = fan(2,
                    [&](Ctx& ctx) -> blazen_status {
                      held[count++] = ctx.defer();
                      return BLAZEN_PENDING;
                    },
                    {.of = "start", .deadline_ms = 100, .at_deadline = BLAZEN_JOIN_DEADLINE_FAIL});
    if (is_handled) spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.until(
        run, [&] { return count == 2 && describe_run(run).at("counters").at("in_flight") == 2; }));
    engine.pass(100);
    const Outcome end = finish(engine, run);
    if (is_handled) {
      EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
      const Json failed = Json::parse(data_of(end.result));
      EXPECT_EQ(failed.at("step"), "join");
      EXPECT_EQ(failed.at("status"), "BLAZEN_ERROR_STEP_TIMEOUT");
    } else {
      EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_TIMEOUT) << end.text();
      EXPECT_EQ(end.error.step(), "join");
      EXPECT_TRUE(end.error.says("join 'join' timed out: scope 1 of step 'start'")) << end.text();
    }
    held.clear();
  }
}

TEST_P(Joining, WhatComesLateIsDroppedAndSaid) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { fan_out(ctx, 3); });
  spec.step("work", {"Part"}, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); }, 1);
  spec.step("join", {"Done"}, [](Ctx& ctx) { ctx.emit("Joined", ctx.events()); })
      .joins({"start", BLAZEN_JOIN_ANY});
  spec.step("end", {"Joined"}, [](Ctx& ctx) { ctx.emit_in(1, "End", ctx.input()); });
  spec.step("stop", {"End"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.types = {BLAZEN_LIFECYCLE}, .lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 1; }));
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == 0; }));
  engine.pass(1);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  int late = 0;
  for (const Item& item : take(stream)) {
    if (item.value.find(R"("kind":"late")") == std::string::npos) continue;
    ++late;
    const Json said = Json::parse(item.value.substr(5));
    EXPECT_EQ(said.at("step_name"), "join");
    EXPECT_EQ(said.at("event_type"), "Done");
    EXPECT_EQ(said.at("scope_id"), 1);
    EXPECT_GT(said.at("event_id"), 0);
  }
  EXPECT_EQ(late, 2);
}

TEST_P(Joining, FromOutsideIntoAScope) {
  Engine engine(GetParam());
  std::atomic<uint64_t> scope{0};
  std::vector<Invocation> held(1);
  Spec spec = fan(1, [&](Ctx& ctx) -> blazen_status {
    held[0] = ctx.defer();
    scope = blazen_context_scope_id(ctx.raw);
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return scope != 0; }));
  Error error;
  EXPECT_EQ(blazen_run_send_event(run, event("Done", "1"), nullptr, error.out()), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_TRUE(error.says("options.scope")) << error.message();
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.scope = 99;
  EXPECT_EQ(blazen_run_send_event(run, event("Done", "1"), &options, error.out()), BLAZEN_ERROR_NOT_FOUND);
  options.scope = scope;
  MUST(blazen_run_send_event(run, event("Done", "8"), &options, e));
  Ctx ctx(held[0]);
  EXPECT_EQ(blazen_context_emit_event(ctx.raw, event("Done", "1"), &options, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  ctx.emit("Done", "9");
  MUST(blazen_invocation_complete(held[0], e));
  EXPECT_EQ(finish(engine, run).text(), R"(5 json ["8,9",1,2,0])");
}

TEST_P(Joining, AJoinOutsideOfItsScopeTakesNothing) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("Done", "1"); });
  spec.step("opens", {"Never"}, [](Ctx&) {});
  spec.step("join", {"Done"}, [](Ctx& ctx) { ctx.stop(); }).joins({"opens"});
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_NO_HANDLER);
  EXPECT_TRUE(end.error.says("in the scopes that step 'opens' opens")) << end.error.message();
}

TEST_P(Joining, AQuestionKeepsItsScopeOpen) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"q"})");
    ctx.emit("Ask");
  });
  spec.step("asks", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("?", "b");
    return answer.empty() ? BLAZEN_PENDING : ctx.emit("Done", answer);
  });
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.emit("Done", "1"); });
  spec.step("join", {"Done"}, stop_joined).joins({"start"});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run).size() == 3; }));
  EXPECT_EQ(respond(run, "b", "2"), BLAZEN_OK);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "q", "0"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), R"(5 json ["1,2",1,2,0])");
}

// A scope that a send opens is as old as that send.
TEST_P(Joining, ADeadlineCountsFromTheSendThatOpensTheScope) {
  Engine engine(GetParam(), &clock_);
  std::vector<Invocation> held(2);
  std::atomic<size_t> count{0};
  Spec spec;
  const auto opens = [&](Ctx& ctx) -> blazen_status {
    ctx.send("Part");
    held[count++] = ctx.defer();
    return BLAZEN_PENDING;
  };
  spec.start([](Ctx& ctx) {
    ctx.emit("First");
    ctx.emit_in(60, "Second");
  });
  spec.step("first", {"First"}, opens);
  spec.step("second", {"Second"}, opens);
  spec.step("work", {"Part"}, [](Ctx& ctx) { ctx.emit("Done"); });
  spec.step("join_first", {"Done"}, [](Ctx&) {}).joins({.of = "first", .deadline_ms = 100});
  spec.step("join_second", {"Done"}, [](Ctx& ctx) { ctx.stop(); })
      .joins({.of = "second", .deadline_ms = 100});
  RunHandle run = start(engine, spec.build());
  const auto rests = [&](size_t opened) {
    return engine.until(run, [&] {
      const Json counters = describe_run(run).at("counters");
      return count == opened && counters.at("queued") == 0 && counters.at("in_flight") == opened;
    });
  };
  ASSERT_TRUE(rests(1));
  EXPECT_EQ(engine.next_timer(), 60);
  engine.pass(60);
  ASSERT_TRUE(rests(2));
  EXPECT_EQ(engine.next_timer(), 40);
  engine.pass(40);
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("queued") == 0; }));
  EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
  EXPECT_EQ(engine.next_timer(), 60);
  engine.pass(60);
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  held.clear();
}

// In a snapshot there is one of an event, however many have it; whoever belongs to another scope has a copy again.
// A body that was deferred may open it while the run is paused.
TEST_P(Joining, ADeadlineDoesNotBeginInAPause) {
  Engine engine(GetParam(), &clock_);
  Invocation held;
  std::atomic<bool> is_held{false};
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("Open"); });
  spec.step("open", {"Open"}, [&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    is_held = true;
    return BLAZEN_PENDING;
  });
  spec.elsewhere("far", {"Part"});
  spec.step("join", {"Done"}, stop_joined).joins({.of = "open", .deadline_ms = 100});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return is_held.load(); }));
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  Ctx ctx(held);
  ctx.emit("Part");
  MUST(blazen_invocation_complete(held, e));
  const auto left_ms = [&] { return describe_run(run).at("scopes").at(0).at("joins").at(0).at("due_in_ms"); };
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("scopes").size() == 1; }));
  engine.pass(1000);
  EXPECT_EQ(left_ms(), 100);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(99);
  EXPECT_EQ(left_ms(), 1);
  engine.pass(1);
  ASSERT_TRUE(engine.until(run, [&] { return is_ended(blazen_run_state_now(run)); }));
  EXPECT_EQ(outcome(run).text(), R"(5 json ["",4,0,0])");
}

TEST_P(Joining, AnEventThatTwoJoinsTookBelongsToEachAfterAResume) {
  Engine engine(GetParam());
  std::vector<Invocation> outer(2);
  std::vector<Invocation> inner(2);
  std::vector<Invocation> parts(2);
  std::atomic<size_t> life{0};
  std::atomic<int> holds{0};
  const auto hold = [&](std::vector<Invocation>& held) {
    return [&](Ctx& ctx) -> blazen_status {
      held[life] = ctx.defer();
      ++holds;
      return BLAZEN_PENDING;
    };
  };
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) { ctx.emit("Outer"); });
  spec.step("outer", {"Outer"}, [](Ctx& ctx) { ctx.emit("Inner"); });
  spec.step("inner", {"Inner"}, [](Ctx& ctx) {
    ctx.emit("Part");
    ctx.emit("Done", "1");
  });
  spec.step("part", {"Part"}, hold(parts));
  spec.step("any", {"Done"}, hold(outer)).joins({.of = "outer", .mode = BLAZEN_JOIN_ANY});
  spec.step("all", {"Done"}, hold(inner)).joins({"inner"});
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.until(run, [&] { return holds == 2; }));
  const std::string bytes = snapshot_bytes(run);
  outer.front().reset();
  parts.front().reset();
  MUST(blazen_run_abort(run, e));
  life = 1;
  holds = 0;
  RunHandle again = resume(engine, workflow, bytes);
  MUST(blazen_run_start(again, nullptr, e));
  ASSERT_TRUE(engine.until(again, [&] { return holds == 2; }));
  MUST(blazen_invocation_complete(parts[1], e));
  ASSERT_TRUE(engine.until(again, [&] { return holds == 3; }));
  MUST(blazen_invocation_complete(outer[1], e));
  ASSERT_TRUE(engine.until(again, [&] { return describe_run(again).at("counters").at("in_flight") == 1; }));
  Ctx ctx(inner[1]);
  EXPECT_EQ(ctx.events(), "1");
  ctx.stop("2");
  MUST(blazen_invocation_complete(inner[1], e));
  EXPECT_EQ(finish(engine, again).text(), "5 json 2");
}

TEST_P(Joining, NoScopeIsOpenWhereNothingJoins) {
  Engine engine(GetParam());
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.scope = 1;
  Error error;
  EXPECT_EQ(blazen_run_send_event(run, event(BLAZEN_STOP_EVENT), &options, error.out()),
            BLAZEN_ERROR_NOT_FOUND);
  EXPECT_TRUE(error.says("options.scope: no scope 1 is open")) << error.message();
  MUST(blazen_run_abort(run, e));
}

// What a question has been in has nothing to do with the next one that takes its place.
TEST_P(Joining, AQuestionOfABodyBelongsWhereTheBodyDoes) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"q"})");
    ctx.emit("Hold");
  });
  Invocation held;
  std::atomic<bool> is_held{false};
  spec.step("hold", {"Hold"}, [&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    is_held = true;
    return BLAZEN_PENDING;
  });
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.emit("Ask"); });
  spec.step("asks", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("?", "b");
    return answer.empty() ? BLAZEN_PENDING : ctx.emit("Done", answer);
  });
  spec.step("join", {"Done"}, stop_joined).joins({.of = "start", .ordered = true});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run) == "q" && is_held; }));
  EXPECT_EQ(respond(run, "q", "0"), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run) == "b"; }));
  EXPECT_EQ(respond(run, "b", "2"), BLAZEN_OK);
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == 1; }));
  EXPECT_FALSE(is_ended(blazen_run_state_now(run)));
  MUST(blazen_invocation_complete(held, e));
  EXPECT_EQ(finish(engine, run).text(), R"(5 json ["2",1,1,0])");
}

// Of a body that is at work, and not deferred.
TEST(JoiningThreads, WhoIsCancelledAtWorkSeesItsEventToTheEnd) {
  NEEDS_THREADS();
  for (int round = 0; round < 20; ++round) {
    Engine engine(Way::threads_1);
    Invocation held;
    std::atomic<bool> is_at_work{false};
    std::atomic<bool> is_back{false};
    std::string seen;
    Spec spec;
    spec.start([](Ctx& ctx) {
      ctx.emit("Wins");
      ctx.emit("Part", "\"a value that is longer than a short one\"");
    });
    spec.step("wins", {"Wins"}, [&](Ctx& ctx) -> blazen_status {
      held = ctx.defer();
      return BLAZEN_PENDING;
    });
    spec.step("part", {"Part"}, [&](Ctx& ctx) {
      is_at_work = true;
      while (blazen_context_is_cancelled(ctx.raw) == 0) std::this_thread::yield();
      seen = ctx.input();
      is_back = true;
    });
    spec.step("join", {"Done"}, [](Ctx& ctx) { ctx.stop(ctx.events()); })
        .joins({.of = "start", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true});
    RunHandle run = start(engine, spec.build());
    while (!is_at_work) std::this_thread::yield();
    Ctx winner(held);
    winner.emit("Done", "7");
    MUST(blazen_invocation_complete(held, e));
    EXPECT_EQ(finish(engine, run).text(), "5 json 7");
    while (!is_back) std::this_thread::yield();
    EXPECT_EQ(seen, "\"a value that is longer than a short one\"");
  }
}

TEST(JoinDefinitions, WhatCanNeverWorkIsRefusedByName) {
  const auto refused = [](const Spec& spec) {
    Workflow workflow;
    Error error;
    EXPECT_EQ(spec.try_build(workflow, error), BLAZEN_ERROR_INVALID_WORKFLOW);
    return error.message();
  };
  const auto nothing = [](Ctx&) {};
  const auto base = [&] { return Spec().start(nothing).step("join", {"Done"}, nothing); };
  EXPECT_NE(refused(base().joins({"join"})).find("join 'join' joins itself"), std::string::npos);
  EXPECT_NE(refused(base().joins({"nobody"})).find("step 'nobody', which was not added"), std::string::npos);
  EXPECT_NE(refused(Spec().start(nothing).step("join", {BLAZEN_START_EVENT}, nothing).joins({"start"}))
                .find("accepts blazen::StartEvent"),
            std::string::npos);
  EXPECT_NE(refused(base().joins({"other"}).step("other", {"Other"}, nothing).joins({"join"}))
                .find("joins in a circle: 'join' of 'other' of 'join'"),
            std::string::npos);
  EXPECT_NE(refused(base().joins({"start"}).step("other", {"Done"}, nothing).joins({"start"}))
                .find("both accept 'Done'"),
            std::string::npos);
  Joins cancels{"start"};
  cancels.cancel_rest = true;
  EXPECT_NE(refused(base().joins({"start"}).step("other", {"Other"}, nothing).joins(cancels))
                .find("only join of its opener"),
            std::string::npos);
  EXPECT_NE(refused(Spec()
                        .start(nothing)
                        .emits({"Part"})
                        .step("work", {"Part"}, nothing)
                        .emits({BLAZEN_STOP_EVENT})
                        .step("join", {"Done"}, nothing)
                        .joins({"start"}))
                .find("nothing can reach join 'join'"),
            std::string::npos);
}

// Joins of joins, and many joins of one step: as many as there can be, in no time.
TEST(JoinDefinitions, AsManyAsThereCanBeAreBuiltInNoTime) {
  const auto nothing = [](Ctx&) {};
  Spec chain;
  Spec star;
  chain.start(nothing);
  star.start(nothing);
  for (int i = 1; i < BLAZEN_ACCEPTS_MAX; ++i) {
    const std::string name = "s" + std::to_string(i);
    const std::string before = i == 1 ? "start" : "s" + std::to_string(i - 1);
    chain.step(name, {name}, nothing).joins({before});
    star.step(name, {name}, nothing).joins({"start"});
  }
  for (const Spec* spec : {&chain, &star}) {
    const auto begun = std::chrono::steady_clock::now();
    Workflow workflow;
    Error error;
    EXPECT_EQ(spec->try_build(workflow, error), BLAZEN_OK) << error.message();
    const auto took = std::chrono::steady_clock::now() - begun;
    EXPECT_LT(std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), 2000)
        << (spec == &chain ? "chain" : "star") << ": " << error.message();
  }
}

TEST(JoinDefinitions, AStepIsAddedAsAJoinAtOnce) {
  Builder builder;
  MUST(blazen_workflow_builder_create("w", 1, builder.out(), e));
  const auto emit_two = [](void*, blazen_context* context, const blazen_event*, blazen_error** error) {
    const blazen_status status = blazen_context_emit_json(context, "Done", 4, "1", 1, error);
    return status == BLAZEN_OK ? blazen_context_emit_json(context, "Done", 4, "2", 1, error) : status;
  };
  MUST(blazen_workflow_builder_add_step(builder, "start", 5, BLAZEN_TEXT(BLAZEN_START_EVENT), emit_two,
                                        nullptr, nullptr, e));
  const Joins how{"start"};
  blazen_join_options join = how.options();
  const char* const accepts[] = {"Done"};
  const size_t lengths[] = {4};
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.accepts = accepts;
  options.accept_lengths = lengths;
  options.accept_count = 1;
  options.join = &join;
  const auto count = [](void*, blazen_context* context, const blazen_event*, blazen_error** error) {
    const blazen_event* const* events = nullptr;
    size_t arrived = 0;
    const blazen_status status = blazen_context_events(context, &events, &arrived, error);
    if (status != BLAZEN_OK) return status;
    const std::string text = std::to_string(arrived);
    return blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), text.data(), text.size(), error);
  };
  join.mode = 9;
  Error error;
  EXPECT_EQ(blazen_workflow_builder_add_step_with(builder, "join", 4, &options, count, nullptr, nullptr,
                                                  error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("options.join.mode")) << error.message();
  join.mode = BLAZEN_JOIN_ALL;
  MUST(blazen_workflow_builder_add_step_with(builder, "join", 4, &options, count, nullptr, nullptr, e));
  Workflow workflow;
  MUST(blazen_workflow_builder_build(builder, workflow.out(), e));
  Engine engine;
  EXPECT_EQ(run_to_end(engine, workflow).text(), "5 json 2");
}

TEST(JoinDefinitions, BadOptionsAreNamed) {
  Builder builder;
  MUST(blazen_workflow_builder_create("w", 1, builder.out(), e));
  MUST(blazen_workflow_builder_add_elsewhere(builder, "join", 4, "Done", 4, e));
  const auto refused = [&](const blazen_join_options* options) {
    Error error;
    EXPECT_EQ(blazen_workflow_builder_step_joins(builder, "join", 4, options, error.out()),
              BLAZEN_ERROR_INVALID_ARGUMENT);
    return error.message();
  };
  const Joins good{"start"};
  const auto with = [&](const std::function<void(blazen_join_options&)>& change) {
    blazen_join_options options = good.options();
    change(options);
    return refused(&options);
  };
  EXPECT_NE(refused(nullptr).find("options"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.of = nullptr; }).find("options.of"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.mode = 3; }).find("options.mode"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.n = 1; }).find("options.n"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.mode = BLAZEN_JOIN_FIRST_N; }).find("options.n is 0"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.deadline_ms = -1; }).find("options.deadline_ms"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.at_deadline = 1; }).find("options.deadline_ms is 0"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.cancel_rest = 2; }).find("options.cancel_rest"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.ordered = -1; }).find("options.ordered"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.correlation = 2; }).find("options.correlation"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.empty = 2; }).find("options.empty"), std::string::npos);
  EXPECT_NE(with([](auto& o) {
              o.cancel_rest = 1;
              o.correlation = 1;
            }).find("options.cancel_rest"),
            std::string::npos);
  const blazen_join_options options = good.options();
  MUST(blazen_workflow_builder_step_joins(builder, "join", 4, &options, e));
  EXPECT_NE(refused(&options).find("is a join of 'start' already"), std::string::npos);
}

}  // namespace
