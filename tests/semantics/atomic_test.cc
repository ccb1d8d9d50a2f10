// Atomic steps: what they write and send counts with their completion, or not at all. And what a run says of
// itself.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class AtomicStep : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, AtomicStep, testing::ValuesIn(ways()), way_name);

blazen_status compare_and_set(Ctx& ctx, std::string_view key, uint64_t expected, std::string_view text,
                              uint64_t* version = nullptr) {
  return blazen_context_compare_and_set(ctx.raw, key.data(), key.size(), expected,
                                        text.empty() ? nullptr : json(text).get(), version, nullptr);
}

// Runs `body` as an atomic step on {a: 1, b: 2}, and answers all keys and values after it, or its error.
std::string after(Way way, const std::function<blazen_status(Ctx&)>& body,
                  const std::function<void(Spec&)>& change = {}) {
  Engine engine(way);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx& ctx) {
    ctx.set("a", "1");
    ctx.set("b", "2");
    ctx.emit("Work");
  });
  spec.step("work", {"Work"}, body).atomic();
  spec.step("end", {"End"}, [](Ctx& ctx) {
    std::string all;
    Keys keys;
    MUST(blazen_context_keys(ctx.raw, "", 0, keys.out(), e));
    for (size_t i = 0; i < blazen_keys_count(keys); ++i) {
      const std::string key = blazen_keys_at(keys, i, nullptr);
      all += key + "=" + ctx.text(key) + " ";
    }
    ctx.stop("\"" + all + "\"");
  });
  if (change) change(spec);
  RunHandle run = start(engine, spec.build());
  engine.until(run, [&] {
    const blazen_run_state state = blazen_run_state_now(run);
    return is_ended(state) || state == BLAZEN_RUN_WAITING;
  });
  if (!is_ended(blazen_run_state_now(run))) MUST(blazen_run_send_event(run, event("End"), nullptr, e));
  const Outcome end = finish(engine, run);
  return end.status == BLAZEN_OK ? data_of(end.result) : end.text();
}

TEST_P(AtomicStep, AllVerbsInADraft) {
  const std::string all = after(GetParam(), [](Ctx& ctx) {
    EXPECT_EQ(ctx.keys(), "a,b");
    ctx.set("c", "3");
    ctx.set("a", "10");
    EXPECT_EQ(ctx.text("a"), "10");
    EXPECT_TRUE(ctx.remove("b"));
    EXPECT_FALSE(ctx.remove("b"));
    EXPECT_FALSE(ctx.has("b"));
    EXPECT_EQ(ctx.version("b"), 0U);
    EXPECT_EQ(ctx.keys(), "a,c");
    EXPECT_EQ(ctx.keys("c"), "c");
    Batch batch;
    MUST(blazen_batch_create(batch.out(), e));
    MUST(blazen_batch_set(batch, "d", 1, json("4"), e));
    MUST(blazen_batch_remove(batch, "c", 1, e));
    MUST(blazen_context_apply(ctx.raw, batch, e));
    EXPECT_EQ(ctx.keys(), "a,d");
    return ctx.failed;
  });
  EXPECT_EQ(all, "\"a=10 d=4 \"");
}

TEST_P(AtomicStep, ClearAndWriteAgain) {
  EXPECT_EQ(after(GetParam(),
                  [](Ctx& ctx) {
                    ctx.set("c", "3");
                    ctx.clear();
                    EXPECT_EQ(ctx.keys(), "");
                    EXPECT_FALSE(ctx.has("a"));
                    ctx.set("b", "5");
                    EXPECT_EQ(ctx.keys(), "b");
                    return ctx.failed;
                  }),
            "\"b=5 \"");
  EXPECT_EQ(after(GetParam(), [](Ctx& ctx) { return ctx.clear(); }), "\"\"");
}

// None of these is a failure, whatever the draft is made of.
TEST_P(AtomicStep, ToRemoveWhatIsNotThereIsNoFailure) {
  EXPECT_EQ(after(GetParam(),
                  [](Ctx& ctx) {
                    EXPECT_FALSE(ctx.remove("z"));
                    return ctx.failed;
                  }),
            "\"a=1 b=2 \"");
  EXPECT_EQ(after(GetParam(),
                  [](Ctx& ctx) {
                    ctx.set("z", "1");
                    EXPECT_TRUE(ctx.remove("z"));
                    return ctx.failed;
                  }),
            "\"a=1 b=2 \"");
  EXPECT_EQ(after(GetParam(),
                  [](Ctx& ctx) {
                    ctx.set("z", "1");
                    return ctx.clear();
                  }),
            "\"\"");
}

TEST_P(AtomicStep, CompareAndSetInItsOwnDraft) {
  EXPECT_EQ(after(GetParam(),
                  [](Ctx& ctx) {
                    uint64_t version = 99;
                    EXPECT_EQ(compare_and_set(ctx, "new", 0, "1", &version), BLAZEN_OK);
                    EXPECT_EQ(compare_and_set(ctx, "new", version, "2", &version), BLAZEN_OK);
                    EXPECT_EQ(ctx.text("new"), "2");
                    const uint64_t of_a = ctx.version("a");
                    EXPECT_EQ(compare_and_set(ctx, "a", of_a + 1, "5"), BLAZEN_ERROR_CONFLICT);
                    EXPECT_EQ(compare_and_set(ctx, "a", of_a, "5", &version), BLAZEN_OK);
                    EXPECT_EQ(compare_and_set(ctx, "a", version, "6"), BLAZEN_OK);
                    // One that it has removed is not there.
                    EXPECT_EQ(compare_and_set(ctx, "b", ctx.version("b"), ""), BLAZEN_OK);
                    EXPECT_EQ(ctx.version("b"), 0U);
                    EXPECT_EQ(compare_and_set(ctx, "b", 0, "7"), BLAZEN_OK);
                    return ctx.failed;
                  }),
            "\"a=6 b=7 new=2 \"");
}

TEST_P(AtomicStep, NothingCountsWhereItFails) {
  std::atomic<int> sent{0};
  const std::string all = after(
      GetParam(),
      [](Ctx& ctx) {
        ctx.set("a", "9");
        ctx.clear();
        ctx.set("z", "9");
        ctx.send("Sent");
        ctx.emit("Sent");
        return ctx.fail(1, "no");
      },
      [&](Spec& spec) {
        spec.step("sent", {"Sent"}, [&](Ctx&) { ++sent; });
        spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx&) {});
      });
  EXPECT_EQ(all, "\"a=1 b=2 \"");
  EXPECT_EQ(sent, 0);
}

// Another writes between the comparison and the commit: the attempt has failed, and the next one sees what is
// there.
TEST_P(AtomicStep, AConflictAtTheCommit) {
  for (const uint32_t attempts : {1U, 2U}) {
    Engine engine(GetParam(), &clock_);
    std::mutex lock;
    Invocation held;
    std::atomic<int> held_count{0};
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx& ctx) { ctx.set("n", "1"); });
    spec.step("add", {"Add"},
              [&](Ctx& ctx) -> blazen_status {
                uint64_t version = 0;
                const int n = std::stoi(data_of(ctx.get("n", &version)));
                EXPECT_EQ(compare_and_set(ctx, "n", version, std::to_string(n + 100)), BLAZEN_OK);
                ctx.set("written", "true");
                ctx.send("Sent");
                std::lock_guard guard(lock);
                held = ctx.defer();
                ++held_count;
                return BLAZEN_PENDING;
              })
        .atomic()
        .retry(retries(attempts));
    spec.step("other", {"Other"}, [](Ctx& ctx) { ctx.set("n", "5"); });
    spec.step("sent", {"Sent"}, [](Ctx& ctx) { ctx.stop(ctx.text("n")); });
    RunHandle run = start(engine, spec.build());
    ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
    MUST(blazen_run_send_event(run, event("Add"), nullptr, e));
    ASSERT_TRUE(engine.until(run, [&] { return held_count == 1; }));
    MUST(blazen_run_send_event(run, event("Other"), nullptr, e));
    ASSERT_TRUE(engine.until(run, [&] {
      return describe_run(run).at("counters").at("queued") == 0 &&
             describe_run(run).at("in_flight").size() == 1;
    }));
    {
      std::lock_guard guard(lock);
      MUST(blazen_invocation_complete(held, e));
    }
    if (attempts == 2) {
      ASSERT_TRUE(engine.until(run, [&] {
        engine.pass(0);
        return held_count == 2;
      }));
      std::lock_guard guard(lock);
      MUST(blazen_invocation_complete(held, e));
    }
    const Outcome end = finish(engine, run);
    if (attempts == 2) {
      EXPECT_EQ(end.text(), "5 json 105");
    } else {
      EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED) << end.text();
      EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_CONFLICT) << end.text();
      EXPECT_TRUE(end.error.cause().says("'n'")) << end.text();
    }
    held.reset();
  }
}

TEST_P(AtomicStep, SendsComeBeforeWhatItEmitsInTheirOrder) {
  Engine engine(GetParam());
  std::mutex lock;
  std::string order;
  Spec spec;
  spec.start([](Ctx& ctx) {
        ctx.emit("N", "3");
        ctx.send("N", "1");
        ctx.emit("N", "4");
        ctx.send("N", "2");
      })
      .atomic();
  spec.step(
      "n", {"N"},
      [&](Ctx& ctx) {
        std::lock_guard guard(lock);
        order += ctx.input();
        if (order.size() == 4) ctx.stop();
      },
      1);
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(order, "1234");
}

TEST_P(AtomicStep, BoundsHoldAtTheCommit) {
  const std::string all = after(
      GetParam(),
      [](Ctx& ctx) {
        ctx.set("a", "\"" + std::string(200, 'x') + "\"");
        return ctx.failed;
      },
      [](Spec& spec) { spec.limit(BLAZEN_LIMIT_STATE_BYTES, 100); });
  EXPECT_NE(all.find("BLAZEN_LIMIT_STATE_BYTES"), std::string::npos) << all;
  const std::string sends = after(
      GetParam(),
      [](Ctx& ctx) {
        for (int i = 0; i < 20 && ctx.send("Work") == BLAZEN_OK; ++i) continue;
        return ctx.failed;
      },
      [](Spec& spec) { spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 5); });
  EXPECT_NE(sends.find("BLAZEN_LIMIT_QUEUED_EVENTS"), std::string::npos) << sends;
}

// ------------------------------------------------------------------------------------------- what a run says
// of itself

TEST_P(AtomicStep, TheDescriptionIsJsonWhateverTheNamesAre) {
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

TEST_P(AtomicStep, AtMostAHundredAreListed) {
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

TEST_P(AtomicStep, CountersTellEachStateOnce) {
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

// -------------------------------------------------------------------------------------------------------------
// log

struct Heard {
  std::mutex lock;
  std::vector<std::pair<blazen_log_level, std::string>> all;
};

TEST(Log, HearsWhatCameToNothingAndNothingAtNone) {
  for (const blazen_log_level level :
       {BLAZEN_LOG_NONE, BLAZEN_LOG_ERROR, BLAZEN_LOG_WARNING, BLAZEN_LOG_DEBUG}) {
    Heard heard;
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_PUMP;
    options.user_data = &heard;
    options.log_level = level;
    options.log = [](void* self, blazen_log_level how, const char* message, size_t length) {
      auto* mine = static_cast<Heard*>(self);
      std::lock_guard guard(mine->lock);
      mine->all.emplace_back(how, std::string(message, length));
    };
    Runtime runtime;
    MUST(blazen_runtime_create(&options, runtime.out(), e));
    Spec spec;
    spec.start([](Ctx& ctx) -> blazen_status {
      const std::string answer = ctx.ask("?", "q");
      return answer.empty() ? BLAZEN_PENDING : ctx.stop(answer);
    });
    blazen_run_options about = BLAZEN_RUN_OPTIONS_INIT;
    about.input = [](void*, blazen_run* run, const blazen_event*, blazen_value** answer,
                     blazen_error** error) -> blazen_status {
      EXPECT_EQ(respond(run, "q", "1"), BLAZEN_OK);
      return blazen_value_json(BLAZEN_TEXT("2"), answer, error);  // too late
    };
    RunHandle run;
    MUST(blazen_run_create(runtime, spec.build(), &about, run.out(), e));
    MUST(blazen_run_start(run, nullptr, e));
    MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
    EXPECT_EQ(outcome(run).text(), "5 json 1");
    EXPECT_EQ(heard.all.size(), level >= BLAZEN_LOG_WARNING ? 1U : 0U);
    for (const auto& [how, message] : heard.all) {
      EXPECT_EQ(how, BLAZEN_LOG_WARNING);
      EXPECT_NE(message.find("'q'"), std::string::npos) << message;
    }
  }
}

}  // namespace
