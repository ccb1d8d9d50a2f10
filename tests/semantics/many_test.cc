// Many of what a host can register: each is told once, in order, and the run can be looked at meanwhile.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Many : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Many, testing::ValuesIn(ways()), way_name);

// Writes down who was called, in their order.
struct Calls {
  struct One {
    Calls* calls;
    int number;
  };
  std::vector<std::unique_ptr<One>> made;
  std::mutex lock;
  std::vector<int> called;
  std::vector<int> dropped;
  std::function<void(int)> then;

  One* next() {
    made.push_back(std::make_unique<One>(this, static_cast<int>(made.size())));
    return made.back().get();
  }
  static void cancelled(void* data) { static_cast<One*>(data)->calls->call(static_cast<One*>(data)->number); }
  static void done(void* data, blazen_run*, blazen_run_state) { cancelled(data); }
  static void drop(void* data) {
    Calls& calls = *static_cast<One*>(data)->calls;
    std::lock_guard guard(calls.lock);
    calls.dropped.push_back(static_cast<One*>(data)->number);
  }
  size_t drops() {
    std::lock_guard guard(lock);
    return dropped.size();
  }

 private:
  void call(int number) {
    {
      std::lock_guard guard(lock);
      called.push_back(number);
    }
    if (then) then(number);
  }
};

int delayed_of(const blazen_run* run) { return describe_run(run).at("counters").at("delayed"); }

std::vector<int> first_numbers(int count) {
  std::vector<int> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// They wait for different states, and the end is all of theirs.
TEST_P(Many, CallbacksOfARunComeInTheOrderInWhichTheyCame) {
  constexpr int kCount = 1000;
  const uint32_t untils[] = {BLAZEN_UNTIL_ENDED, BLAZEN_UNTIL_ASKING, BLAZEN_UNTIL_ELSEWHERE,
                             BLAZEN_UNTIL_ASKING | BLAZEN_UNTIL_ELSEWHERE};
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  Calls calls;
  calls.then = [&](int) { EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED); };
  std::mt19937 random(1);
  for (int i = 0; i < kCount; ++i)
    MUST(blazen_run_on_state(run, untils[random() % 4], Calls::done, calls.next(), Calls::drop, e));
  EXPECT_TRUE(calls.called.empty());
  MUST(blazen_run_abort(run, e));
  EXPECT_TRUE(engine.until(run, [&] { return calls.drops() == kCount; }));
  EXPECT_EQ(calls.called, first_numbers(kCount));
  EXPECT_EQ(calls.dropped, first_numbers(kCount));
}

// Only those that wait for where the run came to are called; the others stay, in their order.
TEST_P(Many, CallbacksOfOtherStatesStay) {
  constexpr int kCount = 300;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start(
      [](Ctx& ctx) -> blazen_status { return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : BLAZEN_OK; });
  const Workflow workflow = spec.build();
  RunHandle run = create(engine, workflow);
  Calls calls;
  for (int i = 0; i < kCount; ++i) {
    const uint32_t until = i % 3 == 0 ? BLAZEN_UNTIL_ASKING : i % 3 == 1 ? BLAZEN_UNTIL_WAITING : 0;
    MUST(blazen_run_on_state(run, until, Calls::done, calls.next(), Calls::drop, e));
  }
  std::vector<int> expected;
  const auto expect_those = [&](int rest) {
    for (int i = rest; i < kCount; i += 3) expected.push_back(i);
    EXPECT_TRUE(engine.until(run, [&] { return calls.drops() == expected.size(); }));
    std::lock_guard guard(calls.lock);
    EXPECT_EQ(calls.called, expected);
  };
  MUST(blazen_run_start(run, nullptr, e));
  expect_those(0);
  EXPECT_EQ(respond(run, "q"), BLAZEN_OK);
  expect_those(1);
  MUST(blazen_run_abort(run, e));
  expect_those(2);
}

// Those of each call in their order, each once; meanwhile the run says where it is, and a call that comes
// back by itself is told too.
TEST_P(Many, CallsAreToldOfTheEndOnceEach) {
  constexpr int kCalls = 300;
  Engine engine(GetParam(), &clock_);
  Calls calls;
  std::mutex lock;
  std::vector<Invocation> invocations;
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < kCalls; ++i) ctx.emit("Job");
  });
  spec.step("job", {"Job"}, [&](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(lock);
    invocations.push_back(ctx.defer());
    for (int i = 0; i < 2; ++i)
      MUST(blazen_context_on_cancel(ctx.raw, Calls::cancelled, calls.next(), Calls::drop, e));
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == kCalls; }));
  EXPECT_TRUE(engine.until(run, [&] {
    std::lock_guard guard(lock);
    return invocations.size() == kCalls;
  }));
  std::atomic<bool> is_first{true};
  calls.then = [&](int) {
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
    if (!is_first.exchange(false)) return;
    // Most were not told yet.
    for (size_t i = 0; i < kCalls; i += 2)
      EXPECT_EQ(blazen_invocation_complete(invocations[i], nullptr), BLAZEN_ERROR_CANCELLED);
  };
  MUST(blazen_run_abort(run, e));
  EXPECT_TRUE(engine.until(run, [&] { return calls.drops() == 2 * kCalls; }));
  std::vector<int> at(2 * kCalls, -1);
  for (size_t i = 0; i < calls.called.size(); ++i) {
    int& place = at[static_cast<size_t>(calls.called[i])];
    EXPECT_EQ(place, -1) << "called twice";
    place = static_cast<int>(i);
  }
  for (size_t i = 0; i < at.size(); i += 2) {
    EXPECT_GE(at[i], 0) << "not called";
    EXPECT_LT(at[i], at[i + 1]);
  }
}

// Each answer finds the callback of its question, whatever the order.
TEST_P(Many, AnswersFindTheirCallbacks) {
  constexpr int kCount = 200;
  struct Asker {
    std::mutex lock;
    std::map<std::string, std::string> answers;
    Invocation invocation;
    int left = kCount;
    static void answered(void* self, blazen_context*, const char* id, size_t length, blazen_value* answer) {
      auto& asker = *static_cast<Asker*>(self);
      std::lock_guard guard(asker.lock);
      asker.answers[text_of(id, length)] = data_of(answer);
      --asker.left;
    }
  } asker;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(asker.lock);
    asker.invocation = ctx.defer();
    for (int i = 0; i < kCount; ++i) {
      const std::string id = "q" + std::to_string(i);
      blazen_question question = BLAZEN_QUESTION_INIT;
      question.request_id = id.data();
      question.request_id_length = id.size();
      question.answered = Asker::answered;
      question.user_data = &asker;
      Value none;
      EXPECT_EQ(blazen_context_ask(ctx.raw, &question, none.out(), nullptr), BLAZEN_PENDING);
    }
    return BLAZEN_PENDING;
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  std::vector<int> order = first_numbers(kCount);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  for (const int number : order)
    EXPECT_EQ(respond(run, "q" + std::to_string(number), std::to_string(number * 10)), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] {
    std::lock_guard guard(asker.lock);
    return asker.left == 0;
  }));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(asker.answers["q" + std::to_string(i)], std::to_string(i * 10));
  MUST(blazen_run_abort(run, e));
}

// All time-outs are up at one moment: the attempts fail in the order in which they were started, and are
// tried again.
TEST_P(Many, TimeOutsAtOnceComeInTheOrderOfTheirStart) {
  constexpr int kCount = 200;
  Engine engine(GetParam(), &clock_);
  std::mutex lock;
  std::vector<Invocation> invocations;
  std::vector<std::string> tried_again;
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < kCount; ++i) ctx.emit("Job", std::to_string(i));
  });
  spec.step("job", {"Job"}, [&](Ctx& ctx) -> blazen_status {
    std::lock_guard guard(lock);
    if (blazen_context_attempt(ctx.raw) == 1) {
      invocations.push_back(ctx.defer());
      return BLAZEN_PENDING;
    }
    tried_again.push_back(ctx.input());
    return tried_again.size() == kCount ? ctx.stop() : BLAZEN_OK;
  });
  spec.retry(retries(2, 1000)).times_out(50);
  RunHandle run = start(engine, spec.build());
  Stream stream = subscribe_with(run, {.lifecycle = true});
  EXPECT_TRUE(engine.until(run, [&] {
    std::lock_guard guard(lock);
    return invocations.size() == kCount;
  }));
  engine.pass(60);
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("retrying") == kCount; }));
  engine.pass(1000);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(tried_again.size(), kCount);
  uint64_t before = 0;
  int failed = 0;
  for (const Item& item : take(stream)) {
    const Json event = Json::parse(item.value.substr(item.value.find(' ') + 1), nullptr, false);
    if (!event.is_object() || event.value("kind", "") != "step_failed") continue;
    ++failed;
    EXPECT_GT(event.at("invocation_id").get<uint64_t>(), before);
    before = event.at("invocation_id").get<uint64_t>();
  }
  EXPECT_EQ(failed, kCount);
}

// What one run leaves to the next has no time-out of its own any more.
TEST_P(Many, RunsWithTimeOutsFollowOneAnother) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("Job"); });
  spec.step("job", {"Job"}, [](Ctx& ctx) { ctx.stop(); }).times_out(50);
  const Workflow workflow = spec.build();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(run_to_end(engine, workflow).state, BLAZEN_RUN_COMPLETED);
    engine.pass(1000);
  }
}

// Each takes what it wants, from where it stands, however many there are; what nobody needs is let go of.
TEST_P(Many, SubscribersTakeWhatEachWants) {
  constexpr int kItems = 200;
  Engine engine(GetParam(), &clock_);
  PendingStep step;
  RunHandle run = start(engine, step.spec().limit(BLAZEN_LIMIT_STREAM_RETAINED, 0).build());
  step.wait_until_there(engine, run);
  struct One {
    Stream stream;
    int modulus;  // it wants the items of this kind: 0 all, 1 odd, 2 even ones
    std::vector<std::string> taken;
  };
  std::vector<One> all;
  std::mt19937 random(3);
  for (int i = 0; i < 60; ++i) {
    const int kind = i % 3;
    const std::vector<std::string> types =
        kind == 0 ? std::vector<std::string>{} : std::vector<std::string>{kind == 1 ? "Odd" : "Even"};
    all.push_back({subscribe_with(run, {.types = types}), kind, {}});
  }
  Counted object;
  for (int i = 1; i <= kItems; ++i) {
    step.publish_pairs(i, i);
    for (int k = 0; k < 30; ++k) {
      One& one = all[random() % all.size()];
      Event item;
      const blazen_status status = blazen_stream_next(one.stream, 0, item.out(), nullptr, nullptr);
      if (status == BLAZEN_OK) one.taken.push_back(input_of(item));
    }
  }
  Event last = event("Odd", live(object).get());
  step.ctx().publish(last);
  last.reset();
  for (One& one : all) {
    for (const Item& item : take(one.stream))
      one.taken.push_back(item.value.substr(item.value.find(' ') + 1));
    std::vector<std::string> expected;
    for (int i = 1; i <= kItems; ++i) {
      if (one.modulus == 0 || i % 2 == one.modulus % 2) expected.push_back(std::to_string(i));
    }
    if (one.modulus != 2) one.taken.pop_back();  // the last one
    EXPECT_EQ(one.taken, expected);
  }
  EXPECT_EQ(object.drops, 1);
  step.stop();
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

// More than one tick takes: they come in the order of their moments, and at one moment in that of their ids.
TEST_P(Many, WhatIsDueAtOnceComesInItsOrder) {
  constexpr int kCount = 2000;
  Engine engine(GetParam(), &clock_);
  std::vector<int> came;  // one body at a time
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < kCount; ++i) ctx.emit_in(100 + (kCount - i) / 100, "Job", std::to_string(i));
  });
  spec.step(
      "job", {"Job"},
      [&](Ctx& ctx) {
        came.push_back(std::stoi(ctx.input()));
        if (came.size() == kCount) ctx.stop();
      },
      1);
  RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.until(run, [&] { return delayed_of(run) == kCount; }));
  engine.pass(1000);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  std::vector<int> expected = first_numbers(kCount);
  const auto moment = [](int number) { return (kCount - number) / 100; };
  std::sort(expected.begin(), expected.end(),
            [&](int a, int b) { return moment(a) != moment(b) ? moment(a) < moment(b) : a < b; });
  EXPECT_EQ(came, expected);
}

// Each time-out is far away, and comes for each.
TEST_P(Many, FarTimeOutsOfManyRunsAllCome) {
  constexpr int kRuns = 300;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.timeout_ms = 60'000;
  spec.start([](Ctx&) {});
  const Workflow workflow = spec.build();
  std::vector<RunHandle> runs;
  for (int i = 0; i < kRuns; ++i) {
    runs.push_back(start(engine, workflow));
    EXPECT_TRUE(engine.reach(runs.back(), BLAZEN_RUN_WAITING));
  }
  engine.pass(59'000);
  for (const RunHandle& run : runs) EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_WAITING);
  engine.pass(2'000);
  for (const RunHandle& run : runs) {
    const Outcome end = finish(engine, run);
    EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  }
}

// A count goes over many runs, and meanwhile some of them end: each is counted once.
TEST_P(Many, CountsAreExactWhileRunsEnd) {
  if (!has_threads()) GTEST_SKIP() << "without threads nothing happens meanwhile";
  constexpr size_t kRuns = 1000;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  const Workflow workflow = spec.build();
  std::vector<RunHandle> runs;
  for (size_t i = 0; i < kRuns; ++i) runs.push_back(create(engine, workflow));
  std::atomic<bool> all_ended{false};
  std::thread other([&] {
    for (size_t i = 0; i < kRuns; ++i) MUST(blazen_run_abort(runs[(i * 7) % kRuns], e));
    all_ended = true;
  });
  uint64_t cancelled = 0;
  for (bool last = false; !last;) {
    last = all_ended;
    blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
    MUST(blazen_runtime_count(engine.runtime(), &counters, e));
    EXPECT_EQ(counters.created + counters.cancelled, kRuns);
    EXPECT_GE(counters.cancelled, cancelled);
    cancelled = counters.cancelled;
  }
  EXPECT_EQ(cancelled, kRuns);
  other.join();
}

// Two counts at once are both exact.
TEST_P(Many, CountsBesideOneAnotherAreExact) {
  if (!has_threads()) GTEST_SKIP() << "without threads nothing happens meanwhile";
  constexpr size_t kRuns = 500;
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx&) {});
  const Workflow workflow = spec.build();
  std::vector<RunHandle> runs;
  for (size_t i = 0; i < kRuns; ++i) runs.push_back(create(engine, workflow));
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) {
        blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
        MUST(blazen_runtime_count(engine.runtime(), &counters, e));
        EXPECT_EQ(counters.created + counters.cancelled, kRuns);
      }
    });
  }
  for (size_t i = 0; i < kRuns; i += 2) MUST(blazen_run_abort(runs[i], e));
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
