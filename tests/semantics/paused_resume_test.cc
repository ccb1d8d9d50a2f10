// A run that was paused when its snapshot was taken goes on where it is started again, its clock too, unless
// the host keeps it paused; and whoever waits on a paused run is told that it is.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class PausedResume : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, PausedResume, testing::ValuesIn(ways()), way_name);

constexpr int64_t kTimeoutMs = 1000;

// Waits for a moment that is further away than its time-out.
Workflow late() {
  Spec spec;
  spec.timeout_ms = kTimeoutMs;
  spec.start([](Ctx& ctx) { ctx.emit_in(2 * kTimeoutMs, BLAZEN_STOP_EVENT); });
  return spec.build();
}

// The bytes of a run that was paused after so many milliseconds, with its first step done.
std::string paused_bytes(const Workflow& workflow, blazen_pause_mode mode = BLAZEN_PAUSE_NOW,
                         int64_t after_ms = 400) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, workflow);
  MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  engine.pass(0);
  clock.now_ms += after_ms;
  MUST(blazen_run_pause(run, mode, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
  return snapshot_bytes(run);
}

Workflow queued() {
  Spec spec;
  spec.timeout_ms = kTimeoutMs;
  spec.start([](Ctx& ctx) {
    MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_DRAIN, e));
    ctx.emit("Last");
  });
  spec.step("last", {"Last"}, [](Ctx& ctx) { ctx.stop("\"ended\""); });
  return spec.build();
}

TEST_P(PausedResume, GoesOnWhenItIsStarted) {
  const Workflow workflow = queued();
  for (const blazen_pause_mode mode : {BLAZEN_PAUSE_NOW, BLAZEN_PAUSE_DRAIN}) {
    const std::string taken = paused_bytes(workflow, mode);
    Engine engine(GetParam(), &clock_);
    RunHandle run = resume(engine, workflow, taken);
    EXPECT_EQ(snapshot_bytes(run), taken);  // before its start, it is as it was
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_EQ(finish(engine, run).text(), "5 json \"ended\"");
  }
}

TEST_P(PausedResume, StaysPausedWhereTheHostWantsIt) {
  const Workflow workflow = queued();
  const std::string taken = paused_bytes(workflow);
  for (const bool by_option : {true, false}) {
    Engine engine(GetParam(), &clock_);
    RunHandle run = by_option ? resume_paused(engine, workflow, taken) : resume(engine, workflow, taken);
    if (!by_option) MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
    engine.pass(10 * kTimeoutMs);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_PAUSED);
    MUST(blazen_run_resume_in_place(run, e));
    EXPECT_EQ(finish(engine, run).text(), "5 json \"ended\"");
  }
}

TEST_P(PausedResume, ItsClockGoesOnFromWhereItStood) {
  const Workflow workflow = late();
  const std::string taken = paused_bytes(workflow);
  Engine engine(GetParam(), &clock_);
  RunHandle run = resume(engine, workflow, taken);
  clock_.now_ms += 10 * kTimeoutMs;
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(kTimeoutMs - 401);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(1);
  const Outcome ended = finish(engine, run);
  EXPECT_EQ(ended.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_TRUE(ended.error.says("timed out") && ended.error.says("'blazen::StopEvent'"))
      << ended.error.message();
}

// Its pause hid that nothing was left to do.
TEST_P(PausedResume, OneThatCanMakeNoProgressFails) {
  Spec spec;
  spec.start([](Ctx& ctx) { MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e)); });
  const Workflow workflow = spec.build();
  const std::string taken = paused_bytes(workflow);
  Engine engine(GetParam(), &clock_);
  RunHandle run = resume(engine, workflow, taken);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).status, BLAZEN_ERROR_STALLED);
}

TEST(PausedSnapshot, SaysSoInItsInfo) {
  for (const blazen_pause_mode mode : {BLAZEN_PAUSE_NOW, BLAZEN_PAUSE_DRAIN}) {
    const Json info = Json::parse(info_of(parse(paused_bytes(queued(), mode))));
    EXPECT_EQ(info.at("state"), "paused");
    EXPECT_EQ(info.at("paused"), true);
  }
  Engine engine;
  RunHandle run = start(engine, late());
  const Json info = Json::parse(info_of(snapshot(run)));
  EXPECT_EQ(info.at("state"), "running");
  EXPECT_EQ(info.at("paused"), false);
}

TEST(PausedSnapshot, TheStreamHearsThatItGoesOn) {
  const Workflow workflow = queued();
  for (const bool is_kept : {false, true}) {
    Engine engine;
    const std::string taken = paused_bytes(workflow);
    RunHandle run = is_kept ? resume_paused(engine, workflow, taken) : resume(engine, workflow, taken);
    blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
    options.lifecycle = 1;
    Stream stream;
    MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
    MUST(blazen_run_start(run, nullptr, e));
    const std::string heard = text_of(take(stream));
    EXPECT_EQ(heard.find("run_resumed") != std::string::npos, !is_kept) << heard;
  }
}

// --------------------------------------------------------------------------------------------- waiting on it

// What it says where it comes to nothing.
std::string told_by(blazen_status status, const Error& error) {
  EXPECT_EQ(status, BLAZEN_ERROR_TIMEOUT) << error.message();
  return error.message();
}

TEST_P(PausedResume, ATimeOutSaysThatTheRunIsPaused) {
  const Workflow workflow = queued();
  Engine engine(GetParam(), &clock_);
  RunHandle run = resume_paused(engine, workflow, paused_bytes(workflow));
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  for (const int64_t timeout_ms : {0, 1}) {
    Error of_run;
    Error of_stream;
    EXPECT_NE(
        told_by(blazen_run_wait(run, timeout_ms, nullptr, of_run.out()), of_run).find("the run is paused"),
        std::string::npos);
    Event item;
    EXPECT_NE(told_by(blazen_stream_next(stream, timeout_ms, item.out(), nullptr, of_stream.out()), of_stream)
                  .find("the run is paused"),
              std::string::npos);
  }
  MUST(blazen_run_resume_in_place(run, e));
  EXPECT_TRUE(is_ended(engine.settle(run)));
}

// There, the thread that waits is the one that would have to let it go on.
TEST(WaitOnAPausedRun, WithoutADeadlineInAPumpComesBack) {
  const Workflow workflow = queued();
  Engine engine(Way::pump);
  RunHandle run = resume_paused(engine, workflow, paused_bytes(workflow));
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  Error of_run;
  Error of_stream;
  Event item;
  EXPECT_NE(told_by(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, of_run.out()), of_run).find("is paused"),
            std::string::npos);
  EXPECT_NE(
      told_by(blazen_stream_next(stream, BLAZEN_FOREVER, item.out(), nullptr, of_stream.out()), of_stream)
          .find("is paused"),
      std::string::npos);
  blazen_run_state state = BLAZEN_RUN_NONE;
  MUST(blazen_run_wait_until(run, BLAZEN_UNTIL_PAUSED, BLAZEN_FOREVER, &state, e));
  EXPECT_EQ(state, BLAZEN_RUN_PAUSED);
}

// A body pauses its run and defers: whoever completes it later cannot let the run go on.
TEST(WaitOnAPausedRun, WithoutADeadlineInAPumpDoesNotWaitForADeferredStep) {
  Spec spec;
  Invocation kept;
  spec.start([&](Ctx& ctx) -> blazen_status {
    MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    kept = ctx.defer();
    return BLAZEN_PENDING;
  });
  Engine engine(Way::pump);
  RunHandle run = start(engine, spec.build());
  Error error;
  EXPECT_NE(told_by(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, error.out()), error).find("is paused"),
            std::string::npos);
  EXPECT_TRUE(error.says("'start'")) << error.message();
  MUST(blazen_run_abort(run, e));
}

// The body is at work on another thread when the wait begins, and lets the run go on, or does not.
TEST(WaitOnAPausedRun, WithoutADeadlineInAPumpHopesForTheBodiesAtWork) {
  NEEDS_THREADS();
  for (const bool goes_on : {true, false}) {
    std::atomic<bool> is_inside{false};
    std::atomic<bool> may_leave{false};
    Spec spec;
    spec.start([&](Ctx& ctx) {
      MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
      is_inside = true;
      while (!may_leave) std::this_thread::yield();
      if (goes_on) MUST(blazen_run_resume_in_place(ctx.run(), e));
      ctx.emit("Last");
    });
    spec.step("last", {"Last"}, [](Ctx& ctx) { ctx.stop(); });
    Engine engine(Way::pump);
    RunHandle run = start(engine, spec.build());
    std::thread poller([&] { MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e)); });
    while (!is_inside) std::this_thread::yield();
    std::atomic<bool> is_back{false};
    std::thread waiter([&] {
      Error error;
      const blazen_status status = blazen_run_wait(run, BLAZEN_FOREVER, nullptr, error.out());
      EXPECT_EQ(status, goes_on ? BLAZEN_OK : BLAZEN_ERROR_TIMEOUT) << error.message();
      EXPECT_TRUE(goes_on || error.says("is paused")) << error.message();
      is_back = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // most likely, it sleeps by now
    EXPECT_FALSE(is_back);
    may_leave = true;
    waiter.join();
    poller.join();
  }
}

TEST(WaitOnAPausedRun, WithThreadsItGoesOnAndTheLogHearsOfIt) {
  NEEDS_THREADS();
  struct Log {
    std::mutex lock;
    std::string text;
    std::atomic<int> lines{0};
  } log;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 1;
  options.user_data = &log;
  options.log_level = BLAZEN_LOG_WARNING;
  options.log = [](void* self, blazen_log_level, const char* message, size_t length) {
    auto* to = static_cast<Log*>(self);
    const std::lock_guard guard(to->lock);
    to->text += text_of(message, length) + "\n";
    ++to->lines;
  };
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  const Workflow workflow = queued();
  RunHandle run;
  MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  blazen_run_state state = BLAZEN_RUN_NONE;
  std::thread waiter([&] { MUST(blazen_run_wait(run, BLAZEN_FOREVER, &state, e)); });
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (log.lines == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  MUST(blazen_run_resume_in_place(run, e));
  waiter.join();
  EXPECT_EQ(state, BLAZEN_RUN_COMPLETED);
  const std::lock_guard guard(log.lock);
  EXPECT_EQ(log.lines, 1);
  EXPECT_NE(log.text.find("paused"), std::string::npos) << log.text;
}

// The call has the only handle.
TEST_P(PausedResume, TheShortPathSaysThatItsRunIsPaused) {
  if (GetParam() == Way::queue) return;  // nobody would run the body
  Engine engine(GetParam(), &clock_);
  Value result;
  Error error;
  EXPECT_EQ(blazen_workflow_run(queued(), engine.runtime(), nullptr, result.out(), error.out()),
            BLAZEN_ERROR_WRONG_STATE);
  EXPECT_TRUE(error.says("paused")) << error.message();
}

TEST_P(PausedResume, TheShortPathWaitsForABodyThatEndsItsPause) {
  if (GetParam() == Way::queue) return;  // nobody would run the body
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) {
    MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // time for the waiter to look
    MUST(blazen_run_resume_in_place(ctx.run(), e));
    ctx.emit(BLAZEN_STOP_EVENT, "1");
  });
  Value result;
  MUST(blazen_workflow_run(spec.build(), engine.runtime(), nullptr, result.out(), e));
  EXPECT_EQ(data_of(result), "1");
}

}  // namespace
