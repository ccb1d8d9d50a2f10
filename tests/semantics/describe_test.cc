// What a run and a runtime say of themselves: descriptions, the details of errors, counters, the log.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Described : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Described, testing::ValuesIn(ways()), way_name);

TEST_P(Described, TheDescriptionIsJsonWhateverTheNamesAre) {
  Engine engine(GetParam(), &clock_);
  const std::string odd = "o\"d\\d\n\x01\xc3\xa9";
  Spec spec(odd);
  spec.unhandled = BLAZEN_UNHANDLED_IGNORE;  // the answer to an event
  spec.start([&](Ctx& ctx) {
    ctx.emit("Ask" + odd);
    ctx.emit("Try" + odd);
    ctx.emit("Far" + odd);
    ctx.emit_in(1000, "Late" + odd);
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, " { \"prompt\" : 1234567890123456789012 } ");
  });
  spec.step("ask" + odd, {"Ask" + odd}, [&](Ctx& ctx) -> blazen_status {
    return ctx.ask(odd, odd).empty() ? BLAZEN_PENDING : BLAZEN_OK;
  });
  spec.step("try" + odd, {"Try" + odd}, [&](Ctx& ctx) { return ctx.fail(1, odd); }).retry(retries(2, 100));
  spec.step("late" + odd, {"Late" + odd}, [](Ctx&) {});
  spec.elsewhere("far" + odd, {"Far" + odd});
  RunHandle run = create(engine, spec.build());
  EXPECT_EQ(describe_run(run).at("status"), "created");
  MUST(blazen_run_start(run, nullptr, e));
  ASSERT_TRUE(engine.until(run, [&] {
    return describe_run(run).at("retrying").size() == 1 && describe_run(run).at("counters").at("asking") == 1;
  }));
  Value text;
  MUST(blazen_run_describe(run, text.out(), e));
  EXPECT_TRUE(data_of(text).find("1234567890123456789012") != std::string::npos);
  MUST(blazen_run_respond(run, BLAZEN_TEXT("i1.1"), nullptr, e));
  const Json all = describe_run(run);
  EXPECT_EQ(all.at("workflow"), odd);
  EXPECT_EQ(all.at("questions").at(0).at("prompt"), odd);
  EXPECT_EQ(all.at("questions").at(0).at("request_id"), odd);
  EXPECT_EQ(all.at("elsewhere").at(0), "far" + odd);
  EXPECT_EQ(all.at("delayed").at(0).at("event_type"), "Late" + odd);
  EXPECT_EQ(all.at("retrying").at(0).at("step"), "try" + odd);
  EXPECT_EQ(all.at("retrying").at(0).at("attempt"), 2);
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  EXPECT_EQ(describe_run(run).at("status"), "paused");
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(100);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(describe_run(run).at("status"), "failed");
  EXPECT_TRUE(describe_run(run).contains("error"));
  EXPECT_TRUE(describe_run(run).at("questions").empty());
}

TEST_P(Described, AtMostAHundredAreListed) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 250; ++i) {
      ctx.emit_in(1000, "Late");
      ctx.emit("Far");
    }
  });
  spec.elsewhere("far", {"Far", "Late"});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("delayed") == 250; }));
  const Json all = describe_run(run);
  EXPECT_EQ(all.at("delayed").size(), 100U);
  EXPECT_EQ(all.at("queued").size(), 100U);
  EXPECT_EQ(all.at("counters").at("queued"), 250);
  engine.pass(1000);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ELSEWHERE));
  EXPECT_EQ(describe_run(run).at("counters").at("queued"), 500);
}

TEST_P(Described, CountersTellEachStateOnce) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    if (ctx.input() == "1") return ctx.stop();
    if (ctx.input() == "2") return ctx.fail(1, "no");
    if (ctx.input() == "3") return ctx.emit("Far");
    if (ctx.input() == "4") return ctx.emit_in(100000, "Far");
    return ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
  });
  spec.elsewhere("far", {"Far"});
  const Workflow workflow = spec.build();
  std::deque<RunHandle> runs;
  runs.push_back(create(engine, workflow));
  for (const char* input : {"1", "2", "3", "4", "5", "5", "5"})
    runs.push_back(start(engine, workflow, input));
  ASSERT_TRUE(engine.reach(runs[1], BLAZEN_RUN_COMPLETED));
  ASSERT_TRUE(engine.reach(runs[2], BLAZEN_RUN_FAILED));
  ASSERT_TRUE(engine.reach(runs[3], BLAZEN_RUN_ELSEWHERE));
  ASSERT_TRUE(engine.until(runs[4], [&] { return describe_run(runs[4]).at("delayed").size() == 1; }));
  for (int i = 5; i < 8; ++i) ASSERT_TRUE(engine.reach(runs[i], BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(runs[6], BLAZEN_PAUSE_NOW, e));
  MUST(blazen_run_abort(runs[7], e));
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  const auto text = [&] {
    MUST(blazen_runtime_count(engine.runtime(), &counters, e));
    return std::to_string(counters.created) + std::to_string(counters.running) +
           std::to_string(counters.waiting) + std::to_string(counters.elsewhere) +
           std::to_string(counters.paused) + std::to_string(counters.asking) + " " +
           std::to_string(counters.completed) + std::to_string(counters.failed) +
           std::to_string(counters.cancelled);
  };
  ASSERT_TRUE(engine.until(runs[0], [&] { return text() == "110111 111"; })) << text();
  EXPECT_EQ(counters.queued, 1U);
  const uint64_t routed = counters.events_routed;
  runs.clear();
  ASSERT_TRUE(until_without_run(engine, [&] { return text().starts_with("010000 "); })) << text();
  EXPECT_EQ(counters.completed, 1U);
  EXPECT_EQ(counters.failed, 1U);
  EXPECT_EQ(counters.cancelled, 4U);
  EXPECT_EQ(counters.events_routed, routed);
}

TEST_P(Described, CountersAndADescriptionAgree) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Ask");
    ctx.emit("Fail");
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : ctx.stop();
  });
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  policy.max_attempts = 2;
  policy.initial_delay_ms = 50;
  spec.step("fail", {"Fail"}, [](Ctx& ctx) { return ctx.attempt() == 1 ? ctx.fail(1, "once") : BLAZEN_OK; })
      .retry(policy);
  RunHandle run = start(engine, spec.build());
  const auto counter = [&run](const char* name) { return describe_run(run).at("counters").at(name); };
  ASSERT_TRUE(engine.until(run, [&] { return counter("asking") == 1 && counter("retrying") == 1; }));
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  MUST(blazen_runtime_count(engine.runtime(), &counters, e));
  EXPECT_EQ(counters.queued, 0U);
  EXPECT_EQ(counter("queued"), 0);
  EXPECT_EQ(counters.in_flight, 0U);
  ASSERT_TRUE(engine.until(run, [&] { return engine.next_timer() == 50; }));
  engine.pass(50);
  EXPECT_EQ(respond(run, "q"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  // Those that have ended are no reason to poll.
  ASSERT_TRUE(engine.until(run, [&] { return engine.next_timer() == -1; }));
}

// The age of a body is its own, however long the one before it took.
TEST_P(Described, ABodyIsAsOldAsItIs) {
  Engine engine(GetParam(), &clock_);
  std::vector<Invocation> held(2);
  Spec spec;
  spec.start([&](Ctx& ctx) {
    clock_.now_ms += 5000;
    ctx.emit("First");
  });
  spec.step("first", {"First"}, [&](Ctx& ctx) -> blazen_status {
    held[0] = ctx.defer();
    clock_.now_ms += 300;
    ctx.send("Second");
    return BLAZEN_PENDING;
  });
  spec.step("second", {"Second"}, [&](Ctx& ctx) -> blazen_status {
    held[1] = ctx.defer();
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  const auto in_flight = [&run] { return describe_run(run).at("in_flight"); };
  ASSERT_TRUE(engine.until(run, [&] { return in_flight().size() == 2; }));
  clock_.now_ms += 7;
  EXPECT_EQ(in_flight().at(0).at("age_ms"), 307);
  EXPECT_EQ(in_flight().at(1).at("age_ms"), 7);
  MUST(blazen_run_close(run, e));
}

// What a run had open is the detail of the error.
Json detail_of(const blazen_error* error) {
  const blazen_value* detail = blazen_error_detail(error);
  return detail == nullptr ? Json() : Json::parse(data_of(detail));
}

TEST_P(Described, AStalledRunSaysWhatItHadDone) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.set("key", "1"); });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STALLED);
  const Json detail = detail_of(end.error);
  EXPECT_EQ(detail.at("status"), "waiting");
  EXPECT_EQ(detail.at("workflow"), spec.name);
  EXPECT_EQ(detail.at("counters").at("invocations"), 1);
  EXPECT_EQ(detail.at("counters").at("state_keys"), 1);
  EXPECT_EQ(detail.at("in_flight"), Json::array());
}

TEST_P(Described, ARunWhoseTimeIsUpSaysWhatItHadOpen) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.timeout_ms = 1000;
  spec.start([](Ctx& ctx) {
    ctx.emit_in(5000, "Later");
    ctx.emit("Ask");
  });
  spec.step("asker", {"Ask"},
            [](Ctx& ctx) -> blazen_status { return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : BLAZEN_OK; });
  spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run) == "q"; }));
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("in_flight").empty(); }));
  engine.pass(1000);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_TRUE(end.error.says("delayed events: 'Later'; open questions: 'q'")) << end.error.message();
  const Json detail = detail_of(end.error);
  EXPECT_EQ(detail.at("delayed").at(0).at("event_type"), "Later");
  EXPECT_EQ(detail.at("delayed").at(0).at("due_in_ms"), 4000);
  EXPECT_EQ(detail.at("questions").at(0).at("request_id"), "q");
}

// One that only looks is told nothing that costs.
TEST_P(Described, AWaitThatIsOverSaysWhatTheRunHasOpen) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit_in(3'600'000, "Later"); });
  spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return describe_run(run).at("delayed").size() == 1; }));
  for (const int64_t timeout_ms : {0, 1}) {
    Error error;
    EXPECT_EQ(blazen_run_wait(run, timeout_ms, nullptr, error.out()), BLAZEN_ERROR_TIMEOUT);
    EXPECT_EQ(error.says("open: delayed events: 'Later'"), timeout_ms != 0) << error.message();
    EXPECT_EQ(detail_of(error).is_object(), timeout_ms != 0);
  }
}

// ------------------------------------------------------------------------------------------------------- log

struct Heard {
  std::mutex lock;
  std::string all;  // "2 text\n", without the run's id

  // A pumped runtime that logs into it.
  Runtime runtime(blazen_log_level level) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_PUMP;
    options.user_data = this;
    options.log_level = level;
    options.log = [](void* self, blazen_log_level how, const char* message, size_t length) {
      auto* mine = static_cast<Heard*>(self);
      std::string text(message, length);
      EXPECT_TRUE(text.starts_with("run ")) << text;
      text.erase(0, text.find("of workflow "));
      std::lock_guard guard(mine->lock);
      mine->all += std::to_string(how) + " " + text + "\n";
    };
    Runtime made;
    MUST(blazen_runtime_create(&options, made.out(), e));
    return made;
  }
  // Those lines up to that level.
  static std::string up_to(blazen_log_level level, const std::string& lines) {
    std::string heard;
    std::istringstream all(lines);
    for (std::string line; std::getline(all, line);) {
      if (line[0] - '0' <= level) heard += line + "\n";
    }
    return heard;
  }
};

RunHandle start_in(blazen_runtime* runtime, const Workflow& workflow,
                   const blazen_run_options* options = nullptr) {
  RunHandle run;
  MUST(blazen_run_create(runtime, workflow, options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  while (!is_ended(blazen_run_state_now(run))) MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
  return run;
}

constexpr blazen_log_level kLevels[] = {BLAZEN_LOG_NONE, BLAZEN_LOG_ERROR, BLAZEN_LOG_WARNING,
                                        BLAZEN_LOG_INFO, BLAZEN_LOG_DEBUG};

TEST(Log, HearsAnAnswerThatCameTooLate) {
  for (const blazen_log_level level : kLevels) {
    Heard heard;
    Runtime runtime = heard.runtime(level);
    Spec spec;
    spec.start([](Ctx& ctx) -> blazen_status {
      const std::string answer = ctx.ask("?", "q");
      return answer.empty() ? BLAZEN_PENDING : ctx.stop(answer);
    });
    blazen_run_options about = BLAZEN_RUN_OPTIONS_INIT;
    about.input = [](void*, blazen_run* run, const blazen_event*, blazen_value** answer,
                     blazen_error** error) -> blazen_status {
      EXPECT_EQ(respond(run, "q", "1"), BLAZEN_OK);
      return blazen_value_json(BLAZEN_TEXT("2"), answer, error);
    };
    const RunHandle run = start_in(runtime, spec.build(), &about);
    EXPECT_EQ(outcome(run).text(), "5 json 1");
    EXPECT_EQ(heard.all, Heard::up_to(level,
                                      "4 of workflow 'test': started\n"
                                      "2 of workflow 'test': an answer of the input handler came to nothing: "
                                      "request_id: no question 'q' is open: it is unknown, or was answered\n"
                                      "4 of workflow 'test': completed\n"));
  }
}

TEST(Log, HearsFailuresRetriesAndWhatCameTooLate) {
  for (const blazen_log_level level : kLevels) {
    Heard heard;
    Runtime runtime = heard.runtime(level);
    blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
    policy.max_attempts = 2;
    policy.initial_delay_ms = 0;
    Spec spec;
    spec.start([](Ctx& ctx) {
          if (ctx.attempt() == 1) return ctx.fail(1, "not yet");
          ctx.emit("Late");
          return ctx.emit("Bad");
        })
        .retry(policy);
    spec.step("late", {"Late"}, [](Ctx& ctx) {
      MUST(blazen_run_abort(blazen_context_run(ctx.raw), e));
      return ctx.fail(2, "late");
    });
    spec.step("bad", {"Bad"}, [](Ctx& ctx) { return ctx.fail(3, "never seen"); });
    const RunHandle run = start_in(runtime, spec.build());
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_ABORTED);
    EXPECT_EQ(heard.all, Heard::up_to(level,
                                      "4 of workflow 'test': started\n"
                                      "3 of workflow 'test': step 'start' failed: not yet; the run goes on\n"
                                      "3 of workflow 'test': cancelled: the run was aborted\n"
                                      "2 of workflow 'test': late: too late, the run had ended\n"));
  }
}

TEST(Log, HearsWhatACallbackThrew) {
  for (const blazen_log_level level : kLevels) {
    Heard heard;
    Runtime runtime = heard.runtime(level);
    Spec spec;
    spec.start([](Ctx& ctx) { return ctx.fail(1, "a failure"); });
    RunHandle run;
    MUST(blazen_run_create(runtime, spec.build(), nullptr, run.out(), e));
    MUST(blazen_run_on_done(
        run, [](void*, blazen_run*, blazen_run_state) { throw std::runtime_error("thrown by done"); },
        nullptr, nullptr, e));
    MUST(blazen_run_start(run, nullptr, e));
    MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
    EXPECT_EQ(heard.all, Heard::up_to(level,
                                      "4 of workflow 'test': started\n"
                                      "1 of workflow 'test': a callback of the host threw: thrown by done\n"
                                      "3 of workflow 'test': failed: step 'start' failed: a failure\n"));
  }
}

}  // namespace
