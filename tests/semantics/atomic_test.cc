// Atomic steps: what they write and send counts with their completion, or not at all.
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

// None of these is a failure, whatever the step has written before.
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

// It clears the state and sets too much: nothing of it counts, and what was there stays, for the next attempt
// and for whoever handles the failure.
TEST_P(AtomicStep, WhatARefusedClearRemovedIsThereAgain) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STATE_BYTES, 12);
  spec.start([](Ctx& ctx) {
    ctx.set("old", "1");
    ctx.emit("A");
  });
  std::atomic<int> attempts{0};
  spec.step("a", {"A"},
            [&](Ctx& ctx) {
              ++attempts;
              EXPECT_EQ(ctx.keys(), "old") << "in attempt " << attempts;
              ctx.clear();
              ctx.set("new", "1");
              ctx.set("much", "\"0123456789\"");
            })
      .atomic()
      .retry(retries(2));
  spec.step("rescue", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop("\"" + ctx.keys() + "\""); });
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json \"old\"");
  EXPECT_EQ(attempts, 2);
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

}  // namespace
