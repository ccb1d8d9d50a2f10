// A body that outlives its attempt or its run hangs nobody else: it is counted as what it is, others get its
// thread, and a close has a deadline. In each of the three ways to run, with more hands than one; time is the
// system's, and nothing is proved by waiting for it: every hung body hangs until the test opens its gate.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Whoever enters stays until it is open.
class Gate {
 public:
  void enter() {
    std::unique_lock guard(lock_);
    ++at_work_;
    most_ = std::max(most_, at_work_);
    ++entered_;
    changed_.notify_all();
    EXPECT_TRUE(changed_.wait_for(guard, kPatience, [&] { return is_open_; })) << "the gate is never opened";
    --at_work_;
  }
  void open() {
    std::lock_guard guard(lock_);
    is_open_ = true;
    changed_.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock guard(lock_);
    EXPECT_TRUE(changed_.wait_for(guard, kPatience, [&] { return entered_ >= count; }))
        << entered_ << " of " << count << " bodies have begun";
  }
  int entered() {
    std::lock_guard guard(lock_);
    return entered_;
  }
  int most() {
    std::lock_guard guard(lock_);
    return most_;
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  int at_work_ = 0;
  int most_ = 0;
  int entered_ = 0;
  bool is_open_ = false;
};

bool comes_true(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A runtime with some hands: threads of the engine, threads that poll, or threads that run tasks.
class Host {
 public:
  explicit Host(blazen_mode mode, uint32_t hands = 4, uint32_t threads_max = 0) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = mode;
    options.threads = hands;
    options.threads_max = threads_max;
    options.user_data = this;
    options.log = [](void* self, blazen_log_level level, const char* text, size_t length) {
      auto* host = static_cast<Host*>(self);
      std::lock_guard guard(host->lock_);
      host->log_ += std::to_string(level) + " " + std::string(text, length) + "\n";
    };
    options.log_level = BLAZEN_LOG_INFO;
    options.attach = [](void* self) { ++static_cast<Host*>(self)->attached; };
    options.detach = [](void* self) { ++static_cast<Host*>(self)->detached; };
    if (mode == BLAZEN_MODE_EXECUTOR) options.post = post;
    MUST(blazen_runtime_create(&options, runtime_.out(), e));
    for (uint32_t i = 0; i < hands && mode != BLAZEN_MODE_THREADS; ++i)
      threads_.emplace_back([this, mode] { mode == BLAZEN_MODE_PUMP ? poll() : run_tasks(); });
  }
  ~Host() {
    MUST(blazen_runtime_close(runtime_, e));
    stopped_ = true;
    for (std::thread& thread : threads_) thread.join();
    while (blazen_task* task = take()) blazen_task_cancel(task);
  }

  blazen_runtime* runtime() const { return runtime_; }
  RunHandle start(const Workflow& workflow) const {
    RunHandle run;
    MUST(blazen_run_create(runtime_, workflow, nullptr, run.out(), e));
    MUST(blazen_run_start(run, nullptr, e));
    return run;
  }
  // Its hands do the work.
  static Outcome finish(const RunHandle& run) {
    EXPECT_TRUE(comes_true([&] { return is_ended(blazen_run_state_now(run)); })) << describe_run(run).dump();
    return outcome(run);
  }
  blazen_runtime_counters count() const {
    blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
    MUST(blazen_runtime_count(runtime_, &counters, e));
    return counters;
  }
  std::string log() {
    std::lock_guard guard(lock_);
    return log_;
  }
  bool has_heard(std::string_view text) { return log().find(text) != std::string::npos; }

  std::atomic<int> attached{0};
  std::atomic<int> detached{0};

 private:
  static blazen_status post(void* self, blazen_task* task) {
    auto* host = static_cast<Host*>(self);
    std::lock_guard guard(host->lock_);
    host->tasks_.push_back(task);
    return BLAZEN_OK;
  }
  blazen_task* take() {
    std::lock_guard guard(lock_);
    if (tasks_.empty()) return nullptr;
    blazen_task* task = tasks_.front();
    tasks_.pop_front();
    return task;
  }
  void run_tasks() {
    while (!stopped_) {
      if (blazen_task* task = take()) {
        blazen_task_run(task);
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    }
  }
  void poll() {
    while (!stopped_) {
      blazen_runtime_poll(runtime_, 1, nullptr, nullptr);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  std::mutex lock_;
  std::string log_;
  std::deque<blazen_task*> tasks_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopped_{false};
  Runtime runtime_;
};

// For a body that hangs. One that does not has to be back in that time.
constexpr int64_t kTimeout_ms = 100;

// A step that hangs in its first attempt, and stops the run in the second.
Spec hangs_once(Gate& gate, blazen_abandoned abandoned = BLAZEN_ABANDONED_KEEPS_PERMIT) {
  Spec spec;
  spec.step(
      "s", {BLAZEN_START_EVENT},
      [&gate](Ctx& ctx) -> blazen_status {
        if (ctx.attempt() == 1) {
          gate.enter();
          return BLAZEN_OK;
        }
        return ctx.stop(std::to_string(ctx.attempt()));
      },
      1);
  return spec.times_out(kTimeout_ms).retry(retries(2)).abandoned(abandoned);
}
Spec hangs(Gate& gate) {
  return Spec().start([&gate](Ctx&) { gate.enter(); });
}
Workflow quick() {
  return Spec("quick").start([](Ctx& ctx) { ctx.stop("1"); }).build();
}

class Abandoned : public testing::TestWithParam<blazen_mode> {
 protected:
  void SetUp() override { NEEDS_THREADS(); }
  Gate gate_;  // outlives its host
};
std::string mode_name(const testing::TestParamInfo<blazen_mode>& info) {
  static const char* const kNames[] = {"Threads", "Pump", "Executor"};
  return kNames[info.param];
}
INSTANTIATE_TEST_SUITE_P(Modes, Abandoned,
                         testing::Values(BLAZEN_MODE_THREADS, BLAZEN_MODE_PUMP, BLAZEN_MODE_EXECUTOR),
                         mode_name);

// --------------------------------------------------------------------------------------------------- permits

TEST_P(Abandoned, KeepsItsPermitUntilItIsBack) {
  Host host(GetParam());
  RunHandle run = host.start(hangs_once(gate_).build());
  gate_.wait_for(1);
  Json all;  // once the next attempt has had its back-off, of no time, and waits for the permit
  ASSERT_TRUE(comes_true([&] {
    all = describe_run(run);
    return all.at("counters").at("abandoned") == 1 && !all.at("queued").empty();
  }));
  EXPECT_EQ(all.at("status"), "running");
  EXPECT_TRUE(all.at("in_flight").empty());
  EXPECT_EQ(all.at("queued").at(0).at("attempt"), 2);
  ASSERT_EQ(all.at("abandoned").size(), 1U) << all.dump();
  const Json body = all.at("abandoned").at(0);
  EXPECT_EQ(body.at("step"), "s");
  EXPECT_EQ(body.at("attempt"), 1);
  EXPECT_EQ(body.at("event_type"), BLAZEN_START_EVENT);
  EXPECT_GE(body.at("age_ms"), kTimeout_ms);
  EXPECT_EQ(body.at("at_work"), true);
  EXPECT_EQ(body.at("keeps_permit"), true);
  EXPECT_EQ(all.at("counters").at("abandoned"), 1);
  blazen_runtime_counters counters = host.count();
  EXPECT_EQ(counters.in_flight, 0U);
  EXPECT_EQ(counters.queued, 1U);
  EXPECT_EQ(counters.abandoned, 1U);
  EXPECT_EQ(counters.running, 1U);
  gate_.open();
  EXPECT_EQ(Host::finish(run).text(), "5 json 2");
  EXPECT_EQ(gate_.most(), 1);
  EXPECT_EQ(host.count().abandoned, 0U);
  EXPECT_TRUE(describe_run(run).at("abandoned").empty());
}

TEST_P(Abandoned, FreesItsPermitWhereItsStepSaysSo) {
  Host host(GetParam());
  RunHandle run = host.start(hangs_once(gate_, BLAZEN_ABANDONED_FREES_PERMIT).build());
  EXPECT_EQ(Host::finish(run).text(), "5 json 2");
  EXPECT_EQ(host.count().abandoned, 1U);
  const Json left = describe_run(run).at("abandoned");
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left.at(0).at("keeps_permit"), false);
  EXPECT_EQ(left.at(0).at("at_work"), true);
  gate_.open();
  EXPECT_TRUE(comes_true([&] { return host.count().abandoned == 0; }));
}

TEST_P(Abandoned, NeverMoreBodiesAtOnceThanTheStepAllows) {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  Host host(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 4; ++i) ctx.emit("Work");
  });
  // Each attempt takes a moment longer than it may.
  spec.step(
      "work", {"Work"},
      [&](Ctx& ctx) {
        const int at_once = ++now;
        int known = most;
        while (at_once > known && !most.compare_exchange_weak(known, at_once)) continue;
        while (!ctx.cancelled()) std::this_thread::sleep_for(std::chrono::microseconds(100));
        for (int i = 0; i < 20; ++i) std::this_thread::yield();
        --now;
      },
      2);
  spec.times_out(2).retry(retries(3));
  RunHandle run = host.start(spec.build());
  EXPECT_EQ(Host::finish(run).status, BLAZEN_ERROR_STEP_TIMEOUT);
  EXPECT_TRUE(comes_true([&] { return host.count().abandoned == 0; }));
  EXPECT_EQ(most, 2);
}

TEST_P(Abandoned, TheTimeOfTheRunEndsWhatWaitsForThePermit) {
  Host host(GetParam());
  Spec spec = hangs_once(gate_);
  spec.timeout_ms = 3 * kTimeout_ms;
  RunHandle run = host.start(spec.build());
  const Outcome end = Host::finish(run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_TRUE(end.error.says("queued: 's'; abandoned and still at work: 's'")) << end.text();
  EXPECT_EQ(gate_.entered(), 1);
  EXPECT_EQ(describe_run(run).at("abandoned").size(), 1U);
  gate_.open();
}

TEST_P(Abandoned, APauseAndAnAbortDoNotWaitForIt) {
  Host host(GetParam());
  RunHandle run = host.start(hangs_once(gate_).build());
  ASSERT_TRUE(comes_true([&] { return describe_run(run).at("counters").at("abandoned") == 1; }));
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_DRAIN, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_resume_in_place(run, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_ABORTED);
  EXPECT_EQ(host.count().abandoned, 1U);
  gate_.open();
}

// Nobody has a handle of it, and it is not lost: the body will come back.
TEST_P(Abandoned, ARunWithoutHandlesWaitsForThePermit) {
  Told told;
  Host host(GetParam());
  {
    RunHandle run = host.start(hangs_once(gate_).build());
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    ASSERT_TRUE(comes_true([&] { return describe_run(run).at("counters").at("abandoned") == 1; }));
  }
  EXPECT_EQ(host.count().running, 1U);
  gate_.open();
  EXPECT_TRUE(comes_true([&] { return !told.all().empty(); }));
  EXPECT_EQ(told.all(), States{BLAZEN_RUN_COMPLETED});
}

TEST_P(Abandoned, ASnapshotKnowsNothingOfItAndGoesOnWithAllPermits) {
  Host host(GetParam());
  const Workflow workflow = hangs_once(gate_).build();
  RunHandle run = host.start(workflow);
  ASSERT_TRUE(comes_true([&] { return describe_run(run).at("counters").at("abandoned") == 1; }));
  const std::string bytes = snapshot_bytes(run);
  Host other(GetParam());
  RunHandle again;
  MUST(blazen_run_resume(other.runtime(), workflow, parse(bytes), nullptr, again.out(), e));
  EXPECT_EQ(snapshot_bytes(again), bytes);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(Host::finish(again).text(), "5 json 2");
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  gate_.open();
  EXPECT_EQ(Host::finish(run).text(), "5 json 2");
}

// ---------------------------------------------------------------------------------- permits of deferred ones

class AbandonedDeferred : public EveryWay {
 protected:
  // Defers in its first attempt, and stops the run in the second.
  Spec spec() {
    Spec spec;
    spec.step(
        "s", {BLAZEN_START_EVENT},
        [this](Ctx& ctx) -> blazen_status {
          if (ctx.attempt() == 2) return ctx.stop("2");
          std::lock_guard guard(lock_);
          held_ = ctx.defer();
          deferred_ = true;
          return BLAZEN_PENDING;
        },
        1);
    return spec.times_out(50).retry(retries(2));
  }
  // Its time is up, and the next attempt waits.
  void let_time_pass(Engine& engine, const RunHandle& run) {
    ASSERT_TRUE(engine.until(run, [&] { return deferred_ && !describe_run(run).at("in_flight").empty(); }));
    engine.pass(50);
    const Json all = describe_run(run);
    EXPECT_EQ(all.at("status"), "running");
    EXPECT_EQ(all.at("queued").size(), 1U);
    ASSERT_EQ(all.at("abandoned").size(), 1U) << all.dump();
    EXPECT_EQ(all.at("abandoned").at(0).at("at_work"), false);
    EXPECT_EQ(all.at("abandoned").at(0).at("keeps_permit"), true);
    EXPECT_EQ(all.at("abandoned").at(0).at("age_ms"), 50);
    blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
    MUST(blazen_runtime_count(engine.runtime(), &counters, e));
    EXPECT_EQ(counters.abandoned, 0U) << "nobody is at work";
  }
  std::mutex lock_;
  std::atomic<bool> deferred_{false};
  Invocation held_;
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, AbandonedDeferred, testing::ValuesIn(ways()), way_name);

TEST_P(AbandonedDeferred, KeepsItsPermitUntilItIsCompleted) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, spec().build());
  let_time_pass(engine, run);
  EXPECT_EQ(blazen_invocation_complete(held_, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_TRUE(describe_run(run).at("abandoned").empty());
  EXPECT_EQ(finish(engine, run).text(), "5 json 2");
}

TEST_P(AbandonedDeferred, KeepsItsPermitUntilItIsReleased) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, spec().build());
  let_time_pass(engine, run);
  held_.reset();
  EXPECT_EQ(finish(engine, run).text(), "5 json 2");
}

TEST_P(AbandonedDeferred, LeavesNothingBehindWhereTheRunEndsBefore) {
  Engine engine(GetParam(), &clock_);
  RunHandle run = start(engine, spec().build());
  let_time_pass(engine, run);
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(describe_run(run).at("abandoned").size(), 1U);
  held_.reset();
  EXPECT_TRUE(describe_run(run).at("abandoned").empty());
}

// Its invocation was completed before the body returns: the body has the permit until it is back.
TEST_P(Abandoned, ADeferredBodyHasItsPermitUntilItIsBackToo) {
  Host host(GetParam());
  std::atomic<int> second{0};
  Spec spec;
  spec.step(
      "s", {BLAZEN_START_EVENT},
      [&](Ctx& ctx) -> blazen_status {
        if (ctx.attempt() == 2) {
          ++second;
          return ctx.stop("2");
        }
        Invocation mine = ctx.defer();
        while (!ctx.cancelled()) std::this_thread::sleep_for(std::chrono::microseconds(100));
        EXPECT_EQ(blazen_invocation_complete(mine, nullptr), BLAZEN_ERROR_CANCELLED);
        mine.reset();
        gate_.enter();
        return BLAZEN_PENDING;
      },
      1);
  spec.times_out(kTimeout_ms).retry(retries(2));
  RunHandle run = host.start(spec.build());
  gate_.wait_for(1);
  ASSERT_TRUE(comes_true([&] { return describe_run(run).at("counters").at("abandoned") == 1; }));
  EXPECT_EQ(describe_run(run).at("abandoned").at(0).at("at_work"), true);
  EXPECT_EQ(second, 0);
  gate_.open();
  EXPECT_EQ(Host::finish(run).text(), "5 json 2");
}

// --------------------------------------------------------------------------------------------------- threads

enum class Cause { step_timeout, run_timeout, abort, close };

class Replaced : public testing::TestWithParam<Cause> {
 protected:
  void SetUp() override { NEEDS_THREADS(); }
  // A run whose body hangs, and is abandoned as the test says.
  RunHandle hang(Host& host) {
    Spec spec = hangs(gate_);
    if (GetParam() == Cause::step_timeout) spec.times_out(kTimeout_ms);
    if (GetParam() == Cause::run_timeout) spec.timeout_ms = 3 * kTimeout_ms;
    RunHandle run = host.start(spec.build());
    gate_.wait_for(++hung_);
    if (GetParam() == Cause::abort) MUST(blazen_run_abort(run, e));
    if (GetParam() == Cause::close) {
      EXPECT_EQ(blazen_run_close_within(run, 0, nullptr), BLAZEN_ERROR_TIMEOUT);
    }
    EXPECT_TRUE(is_ended(Host::finish(run).state));
    return run;
  }
  int hung_ = 0;
  Gate gate_;
};
std::string cause_name(const testing::TestParamInfo<Cause>& info) {
  static const char* const kNames[] = {"StepTimeout", "RunTimeout", "Abort", "Close"};
  return kNames[static_cast<int>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Causes, Replaced,
                         testing::Values(Cause::step_timeout, Cause::run_timeout, Cause::abort, Cause::close),
                         cause_name);

TEST_P(Replaced, HungBodiesOnEveryThreadHangNobodyElse) {
  Host host(BLAZEN_MODE_THREADS, 4);
  std::vector<RunHandle> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(hang(host));
  blazen_runtime_counters counters = host.count();
  EXPECT_EQ(counters.abandoned, 4U);
  EXPECT_EQ(counters.threads_kept, 4U);
  EXPECT_EQ(counters.in_flight, 0U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Host::finish(host.start(quick())).text(), "5 json 1");
  counters = host.count();
  EXPECT_EQ(counters.threads, 5U) << "one is enough";
  EXPECT_EQ(counters.threads_kept, 4U);
  EXPECT_TRUE(host.has_heard("2 one engine thread more was made: 4 of 5 engine threads are kept"))
      << host.log();
  EXPECT_TRUE(host.has_heard("2 run ")) << host.log();
  EXPECT_TRUE(host.has_heard("step 'start', attempt 1, is still at work")) << host.log();
  for (const RunHandle& run : runs) EXPECT_EQ(describe_run(run).at("abandoned").size(), 1U);
  gate_.open();
  EXPECT_TRUE(comes_true([&] { return host.count().abandoned == 0; }));
  EXPECT_EQ(host.count().threads_kept, 0U);
  EXPECT_TRUE(comes_true([&] { return host.count().threads == 4; })) << "the one too many leaves";
  EXPECT_TRUE(comes_true([&] { return host.has_heard("attempt 1, has returned at last"); })) << host.log();
  for (const RunHandle& run : runs) EXPECT_TRUE(describe_run(run).at("abandoned").empty());
  EXPECT_EQ(Host::finish(host.start(quick())).text(), "5 json 1");
}

TEST_P(Replaced, OnlyUpToABound) {
  Host host(BLAZEN_MODE_THREADS, 1, 3);
  std::vector<RunHandle> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(hang(host));
  RunHandle last = host.start(quick());
  EXPECT_TRUE(comes_true([&] { return host.has_heard("options.threads_max is reached"); })) << host.log();
  EXPECT_TRUE(host.has_heard("1 3 of 3 engine threads are kept")) << host.log();
  EXPECT_EQ(host.count().threads, 3U);
  EXPECT_EQ(host.count().threads_kept, 3U);
  EXPECT_EQ(blazen_run_state_now(last), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(host.count().queued, 1U);
  gate_.open();
  EXPECT_EQ(Host::finish(last).text(), "5 json 1");
}

TEST_P(Replaced, NotAtAllWhereTheHostWantsNoMoreThreads) {
  Host host(BLAZEN_MODE_THREADS, 2, 1);
  std::vector<RunHandle> runs;
  for (int i = 0; i < 2; ++i) runs.push_back(hang(host));
  RunHandle last = host.start(quick());
  EXPECT_TRUE(comes_true([&] { return host.has_heard("1 2 of 2 engine threads are kept"); })) << host.log();
  EXPECT_EQ(host.count().threads, 2U);
  gate_.open();
  EXPECT_EQ(Host::finish(last).text(), "5 json 1");
}

// What was queued before they hung is served too.
TEST_P(Replaced, WhatIsQueuedBehindThemIsServed) {
  Host host(BLAZEN_MODE_THREADS, 1);
  Spec spec = hangs(gate_);
  if (GetParam() == Cause::step_timeout) spec.times_out(3 * kTimeout_ms);
  if (GetParam() == Cause::run_timeout) spec.timeout_ms = 3 * kTimeout_ms;
  RunHandle run = host.start(spec.build());
  gate_.wait_for(1);
  RunHandle behind = host.start(quick());
  if (GetParam() == Cause::abort) MUST(blazen_run_abort(run, e));
  if (GetParam() == Cause::close) {
    EXPECT_EQ(blazen_run_close_within(run, 0, nullptr), BLAZEN_ERROR_TIMEOUT);
  }
  EXPECT_EQ(Host::finish(behind).text(), "5 json 1");
  gate_.open();
}

// Bodies that need a moment longer than their runs are common: no thread is made for each of them.
TEST(ReplacedThreads, AreNotMadeWhereNobodyWaits) {
  NEEDS_THREADS();
  Host host(BLAZEN_MODE_THREADS, 2);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Slow");
    ctx.emit("Stop");
  });
  std::atomic<int> back{0};
  std::atomic<int> slow{0};
  spec.step("slow", {"Slow"}, [&](Ctx& ctx) {
    ++slow;
    while (!ctx.cancelled()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    ++back;
  });
  spec.step("stop", {"Stop"}, [&](Ctx& ctx) {
    const int before = back;
    while (slow == before) std::this_thread::yield();
    ctx.stop();
  });
  const Workflow workflow = spec.build();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Host::finish(host.start(workflow)).state, BLAZEN_RUN_COMPLETED);
    ASSERT_TRUE(comes_true([&] { return back == i + 1 && host.count().abandoned == 0; }));
  }
  EXPECT_EQ(host.attached, 2 + (host.has_heard("one engine thread more") ? 1 : 0));
}

TEST(ReplacedThreads, AreAttachedAndDetachedOnce) {
  NEEDS_THREADS();
  Gate gate;
  auto host = std::make_unique<Host>(BLAZEN_MODE_THREADS, 2);
  std::vector<RunHandle> runs;
  for (int i = 0; i < 2; ++i) runs.push_back(host->start(hangs(gate).build()));
  gate.wait_for(2);
  for (const RunHandle& run : runs) MUST(blazen_run_abort(run, e));
  EXPECT_EQ(Host::finish(host->start(quick())).text(), "5 json 1");
  EXPECT_EQ(host->attached, 3);
  EXPECT_EQ(host->detached, 0);
  gate.open();
  EXPECT_TRUE(comes_true([&] { return host->detached == 1; })) << "the one too many leaves";
  MUST(blazen_runtime_close(host->runtime(), e));
  EXPECT_EQ(host->attached, 3);
  EXPECT_EQ(host->detached, 3);
}

// Its own run is served too, on the only thread there is.
TEST(ReplacedThreads, GoOnWithTheRunWhoseBodyHangs) {
  NEEDS_THREADS();
  Gate gate;
  Host host(BLAZEN_MODE_THREADS, 1);
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit("Hang"); });
  spec.step("hang", {"Hang"}, [&](Ctx&) { gate.enter(); }).times_out(kTimeout_ms);
  spec.step("failed", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop("\"failed\""); });
  EXPECT_EQ(Host::finish(host.start(spec.build())).text(), "5 json \"failed\"");
  gate.open();
}

// A body that sends to its own run as anybody would, and goes on: the event does not wait for it.
TEST_P(Abandoned, WhatABodySendsThroughItsHandleDoesNotWaitForTheBody) {
  Host host(GetParam());
  Spec spec;
  spec.start([&](Ctx& ctx) {
    MUST(blazen_run_send_event(ctx.run(), event("Open"), nullptr, e));
    gate_.enter();
    ctx.stop("1");
  });
  spec.step("open", {"Open"}, [&](Ctx&) { gate_.open(); });
  EXPECT_EQ(Host::finish(host.start(spec.build())).text(), "5 json 1");
}

// ----------------------------------------------------------------------------------------------------- close

TEST_P(Abandoned, ACloseHasADeadlineAndSaysWhoIsAtWork) {
  Host host(GetParam());
  RunHandle run = host.start(hangs_once(gate_).build());
  gate_.wait_for(1);
  size_t length = 0;
  const char* id = blazen_run_id(run, &length);
  Error error;
  for (const int64_t timeout_ms : {0, 20}) {
    EXPECT_EQ(blazen_runtime_close_within(host.runtime(), timeout_ms, error.out()), BLAZEN_ERROR_TIMEOUT);
    EXPECT_TRUE(error.says("the runtime is not closed yet: 1 body is still at work: step 's' of run " +
                           std::string(id, length) + ", attempt 1, for "))
        << error.message();
    const Json bodies = Json::parse(data_of(error.detail()));
    ASSERT_EQ(bodies.size(), 1U);
    EXPECT_EQ(bodies.at(0).at("run_id"), std::string(id, length));
    EXPECT_EQ(bodies.at(0).at("workflow"), "test");
    EXPECT_EQ(bodies.at(0).at("step"), "s");
    EXPECT_EQ(bodies.at(0).at("attempt"), 1);
    EXPECT_EQ(bodies.at(0).at("event_type"), BLAZEN_START_EVENT);
    EXPECT_TRUE(bodies.at(0).contains("age_ms"));
  }
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(host.count().abandoned, 1U);
  RunHandle refused;
  EXPECT_EQ(blazen_run_create(host.runtime(), quick(), nullptr, refused.out(), nullptr),
            BLAZEN_ERROR_CANCELLED);
  gate_.open();
  MUST(blazen_runtime_close_within(host.runtime(), kPatience_ms, e));
  MUST(blazen_runtime_close_within(host.runtime(), 0, e));
  EXPECT_EQ(host.count().abandoned, 0U);
}

TEST_P(Abandoned, SoHasTheCloseOfARun) {
  Host host(GetParam());
  RunHandle run = host.start(hangs(gate_).build());
  gate_.wait_for(1);
  Error error;
  EXPECT_EQ(blazen_run_close_within(run, 20, error.out()), BLAZEN_ERROR_TIMEOUT);
  EXPECT_TRUE(error.says("the run is not closed yet: 1 body is still at work: step 'start'"))
      << error.message();
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
  gate_.open();
  MUST(blazen_run_close_within(run, kPatience_ms, e));
  MUST(blazen_run_close_within(run, 0, e));
  MUST(blazen_run_close(run, e));
}

// Of many, eight are named in the message.
TEST(CloseWithin, NamesSomeOfMany) {
  NEEDS_THREADS();
  Gate gate;
  Host host(BLAZEN_MODE_THREADS, 12);
  const Workflow workflow = hangs(gate).build();
  std::vector<RunHandle> runs;
  for (int i = 0; i < 12; ++i) runs.push_back(host.start(workflow));
  gate.wait_for(12);
  Error error;
  EXPECT_EQ(blazen_runtime_close_within(host.runtime(), 0, error.out()), BLAZEN_ERROR_TIMEOUT);
  EXPECT_TRUE(error.says("12 bodies are still at work: step 'start'")) << error.message();
  EXPECT_TRUE(error.says("; and more")) << error.message();
  EXPECT_EQ(Json::parse(data_of(error.detail())).size(), 12U);
  gate.open();
}

// Another callback than a body: nobody knows its name.
TEST(CloseWithin, SaysThatACallbackIsUnderWay) {
  NEEDS_THREADS();
  Gate gate;
  Host host(BLAZEN_MODE_THREADS, 1);
  RunHandle run;
  MUST(blazen_run_create(host.runtime(), quick(), nullptr, run.out(), e));
  MUST(blazen_run_on_done(
      run, [](void* data, blazen_run*, blazen_run_state) { static_cast<Gate*>(data)->enter(); }, &gate,
      nullptr, e));
  MUST(blazen_run_start(run, nullptr, e));
  gate.wait_for(1);
  Error error;
  EXPECT_EQ(blazen_runtime_close_within(host.runtime(), 20, error.out()), BLAZEN_ERROR_TIMEOUT);
  EXPECT_TRUE(error.says("a callback of the host has not returned")) << error.message();
  EXPECT_EQ(error.detail(), nullptr);
  gate.open();
  MUST(blazen_runtime_close_within(host.runtime(), BLAZEN_FOREVER, e));
}

TEST(CloseWithin, ClosesAtOnceWhereNobodyIsAtWork) {
  for (const Way way : ways()) {
    Engine engine(way);
    RunHandle run = start(engine, Spec()
                                      .start([](Ctx& ctx) { ctx.emit_in(1'000'000, "Late"); })
                                      .step("late", {"Late"}, [](Ctx&) {})
                                      .build());
    MUST(blazen_run_close_within(run, kPatience_ms, e));
    MUST(blazen_runtime_close_within(engine.runtime(), kPatience_ms, e));
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_CANCELLED);
  }
}

}  // namespace
