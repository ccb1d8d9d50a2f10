// Who sleeps until the next timer learns of a nearer one, whoever sets it and by whichever call: threads that
// wait, the descriptor of a pump, the threads of the engine. Time is real here. Nothing is proven by a sleep:
// what fails would come in hours, or never.
#include <array>
#include <fstream>
#include <sstream>

#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

using Steady = std::chrono::steady_clock;

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(Steady::now().time_since_epoch()).count();
}
void nap(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// What waits for steps that are pending: `put` in the body, `take` from another thread.
class Deferred {
 public:
  blazen_status put(Ctx& ctx) {
    std::lock_guard guard(lock_);
    all_.push_back(ctx.defer());
    return BLAZEN_PENDING;
  }
  Invocation take() {
    std::lock_guard guard(lock_);
    if (all_.empty()) return {};
    Invocation first = std::move(all_.front());
    all_.pop_front();
    return first;
  }
  Invocation await() {
    const auto deadline = Steady::now() + kPatience;
    for (;;) {
      if (Invocation found = take(); found.get() != nullptr) return found;
      if (Steady::now() > deadline) return {};
      nap(1);
    }
  }

 private:
  std::mutex lock_;
  std::deque<Invocation> all_;
};

void fail_invocation(const Invocation& invocation) {
  Error error;
  EXPECT_EQ(blazen_error_host(7, BLAZEN_TEXT("try again"), nullptr, error.out()), BLAZEN_ERROR_HOST);
  const blazen_status status = blazen_invocation_fail(invocation, error, nullptr);
  EXPECT_TRUE(status == BLAZEN_OK || status == BLAZEN_ERROR_CANCELLED) << blazen_status_name(status);
}

// -------------------------------------------------------------------------------- one wait, one nearer timer

enum class Sets {
  retry,
  start_of_another_run,
  delay,
  delay_from_a_step,
  step_timeout,
  answer,
  resume_in_place
};

class ASleepingWait : public testing::TestWithParam<std::tuple<Sets, int64_t>> {};
INSTANTIATE_TEST_SUITE_P(Calls, ASleepingWait,
                         testing::Combine(testing::Values(Sets::retry, Sets::start_of_another_run,
                                                          Sets::delay, Sets::delay_from_a_step,
                                                          Sets::step_timeout, Sets::answer,
                                                          Sets::resume_in_place),
                                          testing::Values(int64_t{BLAZEN_FOREVER}, int64_t{3'600'000})));

// The run ends by a timer of 20 ms that another thread sets while this wait is under way in a pump, and
// nobody polls.
TEST_P(ASleepingWait, LearnsOfANearerTimerOfAnotherThread) {
  NEEDS_THREADS();
  const Sets sets = std::get<0>(GetParam());
  // A wait without a deadline on a paused run comes back at once.
  const int64_t timeout_ms = sets == Sets::resume_in_place ? 3'600'000 : std::get<1>(GetParam());
  Engine engine(Way::pump);
  Deferred pending;
  Invocation kept;
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([&](Ctx& ctx) -> blazen_status {
    if (sets == Sets::resume_in_place) ctx.emit_in(20, "End");
    if (sets == Sets::answer) return ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id":"q"})");
    if (sets == Sets::retry || sets == Sets::delay_from_a_step) ctx.emit("Job");
    return ctx.failed;
  });
  spec.step("job", {"Job", "Slow"},
            [&](Ctx& ctx) -> blazen_status { return ctx.attempt() > 1 ? ctx.stop() : pending.put(ctx); });
  spec.retry(retries(2, 20));
  if (sets == Sets::step_timeout) spec.times_out(20);
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.emit_in(20, "End"); });
  spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
  Spec short_lived;
  short_lived.timeout_ms = 20;
  short_lived.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  RunHandle other;
  Told other_ended;
  if (sets == Sets::resume_in_place) {
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  }

  std::atomic<bool> back{false};
  std::thread waiter([&] {
    MUST(blazen_run_wait(run, timeout_ms, nullptr, e));
    back = true;
  });
  nap(30);  // mostly, it sleeps by now
  switch (sets) {
    case Sets::retry: fail_invocation(pending.await()); break;
    case Sets::start_of_another_run:
      // Nobody but this wait is there to tell the other run that its time is up, which then ends this one.
      other_ended.then = [&](blazen_run*) { EXPECT_EQ(send_in(run, 0, "End"), BLAZEN_OK); };
      other = create(engine, short_lived.build());
      other_ended.wait_for(other, BLAZEN_UNTIL_ENDED);
      MUST(blazen_run_start(other, nullptr, e));
      break;
    case Sets::delay: EXPECT_EQ(send_in(run, 20, "End"), BLAZEN_OK); break;
    case Sets::delay_from_a_step: {
      kept = pending.await();
      Ctx ctx(kept);
      blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
      options.delay_ms = 20;
      MUST(blazen_context_send_event(ctx.raw, event("End"), &options, e));
      break;
    }
    case Sets::step_timeout: EXPECT_EQ(send_in(run, 0, "Slow"), BLAZEN_OK); break;
    case Sets::answer: EXPECT_EQ(respond(run, "q"), BLAZEN_OK); break;
    case Sets::resume_in_place: MUST(blazen_run_resume_in_place(run, e)); break;
  }
  const auto deadline = Steady::now() + std::chrono::seconds(10);
  while (!back && Steady::now() < deadline) nap(1);
  EXPECT_TRUE(back) << "the wait sleeps past the timer";
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED);
  MUST(blazen_run_abort(run, e));
  waiter.join();
}

// ---------------------------------------------------------------------------------------------- a descriptor

// In how many milliseconds the operating system will say that the descriptor is readable, from what it tells
// of a timer, or of the timers that an epoll watches. -1: not by a timer.
double timer_of(int32_t descriptor) {
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(descriptor));
  std::stringstream text;
  text << file.rdbuf();
  const std::string info = text.str();
  double found_ms = -1;
  if (const size_t at = info.find("it_value: ("); at != std::string::npos) {
    long long s = 0;
    long long ns = 0;
    std::sscanf(info.c_str() + at, "it_value: (%lld, %lld)", &s, &ns);
    return s == 0 && ns == 0 ? -1 : static_cast<double>(s) * 1e3 + static_cast<double>(ns) / 1e6;
  }
  for (size_t at = info.find("tfd:"); at != std::string::npos; at = info.find("tfd:", at + 1)) {
    const double ms = timer_of(std::atoi(info.c_str() + at + 4));
    if (ms >= 0 && (found_ms < 0 || ms < found_ms)) found_ms = ms;
  }
  return found_ms;
}

#ifdef __linux__
TEST(ADescriptor, IsNeverArmedLaterThanTheNextTimerWhoeverSetsThem) {
  NEEDS_THREADS();
  Engine engine(Way::descriptor);
  int32_t descriptor = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &descriptor, e));
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.timeout_ms = 0;
  spec.step("start", {BLAZEN_START_EVENT, "E"}, [](Ctx&) {});
  const Workflow workflow = spec.build();
  constexpr int kRounds = 3000;
  std::atomic<int> round{0};
  std::atomic<int> done{0};
  RunHandle near;
  std::thread other([&] {
    for (int mine = 1; mine <= kRounds; ++mine) {
      while (round < mine) std::this_thread::yield();
      EXPECT_EQ(send_in(near, 60'000, "E"), BLAZEN_OK);
      done = mine;
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    RunHandle far = start(engine, workflow);
    near = start(engine, workflow);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    round = i;
    EXPECT_EQ(send_in(far, 3'600'000, "E"), BLAZEN_OK);
    while (done < i) std::this_thread::yield();
    const double armed_ms = timer_of(descriptor);
    EXPECT_GE(armed_ms, 0);
    EXPECT_LE(armed_ms, 60'001);
    MUST(blazen_run_abort(far, e));
    MUST(blazen_run_abort(near, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  }
  other.join();
}

// Told once, and not again until something is due: the host does not turn in circles.
TEST(ADescriptor, IsNotReadableAnyMoreWhenWhatWasDueHasBeenTold) {
  Engine engine(Way::pump);
  int32_t descriptor = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &descriptor, e));
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.timeout_ms = 0;
  spec.step("start", {BLAZEN_START_EVENT, "E"}, [](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(send_in(run, 5, "E"), BLAZEN_OK);
  pollfd watched{descriptor, POLLIN, 0};
  do {
    ASSERT_EQ(::poll(&watched, 1, static_cast<int>(kPatience_ms)), 1);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  } while (engine.next_timer() >= 0);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(timer_of(descriptor), -1);
  EXPECT_EQ(::poll(&watched, 1, 10), 0);
}
#endif

// --------------------------------------------------------------------------------- a model, and random calls

// Several runs, several threads that set timers of 0 to 30 ms by every call that can, and a model of what is
// due: every run ends when all of its own has come about, each no earlier than it may and none much later.
class Crowd {
 public:
  enum class Way { pump_with_descriptor, pump_with_waits, threads, executor };

  explicit Crowd(Way way)
      : way_(way),
        engine_(way == Way::threads    ? bt::Way::threads_4
                : way == Way::executor ? bt::Way::pool
                                       : bt::Way::pump) {
    if (way == Way::pump_with_descriptor) MUST(blazen_runtime_descriptor(engine_.runtime(), &descriptor_, e));
    const Workflow workflow = make_spec().build();
    for (int i = 0; i < kRuns; ++i) runs_.push_back(start(engine_, workflow, std::to_string(i)));
  }

  void play() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kSetters; ++i)
      threads.emplace_back([this, i] { set_timers(static_cast<unsigned>(i)); });
    threads.emplace_back([this] { end_attempts(); });
    if (way_ == Way::pump_with_descriptor) {
      poll_by_descriptor();
    } else {
      for (RunHandle& run : runs_) threads.emplace_back([&run] { wait_for(run); });
      const auto deadline = Steady::now() + kPatience;
      while (!all_ended() && Steady::now() < deadline) nap(1);
    }
    EXPECT_TRUE(all_ended()) << "what is due is not told";
    stops_ = true;
    for (RunHandle& run : runs_) MUST(blazen_run_abort(run, e));
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(arrived_, kRuns * kCallsOfARun);
    EXPECT_EQ(early_, 0) << "the earliest by " << -earliest_us_ << " us";
    EXPECT_LT(latest_us_, 10'000'000);
  }

 private:
  static constexpr int kRuns = 6;
  static constexpr int kSetters = 3;
  static constexpr int kCallsOfARun = 30;

  Spec make_spec() {
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx&) {});
    spec.step("arrive", {"Delayed", BLAZEN_INPUT_RESPONSE_EVENT}, [this](Ctx& ctx) {
      if (ctx.type() == "Delayed") note(std::stoll(ctx.input()));
      arrive(ctx);
    });
    // Deferred, failed by another thread, and tried again in 10 ms.
    spec.step("retried", {"Retried"}, [this](Ctx& ctx) -> blazen_status {
      if (ctx.attempt() == 1) return failing_.put(ctx);
      arrive(ctx);
      return ctx.failed;
    });
    spec.retry(retries(2, 10));
    // Its time-out is the second attempt's beginning.
    spec.step("slow", {"Slow"}, [this](Ctx& ctx) -> blazen_status {
      if (ctx.attempt() == 1) return hanging_.put(ctx);
      note(std::stoll(ctx.input()));
      arrive(ctx);
      return ctx.failed;
    });
    spec.times_out(10).retry(retries(2, 0));
    spec.step("asks", {"Asks"}, [](Ctx& ctx) { ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}"); });
    return spec;
  }

  void arrive(Ctx& ctx) {
    ++arrived_;
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (runs_[i].get() == ctx.run() && ++arrived_at_[i] == kCallsOfARun) ctx.stop();
    }
  }

  void note(int64_t due_us) {
    const int64_t late_us = now_us() - due_us;
    if (late_us < 0) ++early_;
    std::lock_guard guard(lock_);
    earliest_us_ = std::min(earliest_us_, late_us);
    latest_us_ = std::max(latest_us_, late_us);
  }

  void set_timers(unsigned seed) {
    for (int i = 0; i < kRuns * kCallsOfARun / kSetters; ++i) {
      seed = seed * 1664525 + 1013904223;
      blazen_run* run = runs_[static_cast<size_t>(i % kRuns)];
      const int64_t delay_ms = (seed >> 10) % 30;
      switch ((seed >> 20) % 4) {
        case 0: EXPECT_EQ(send_in(run, 0, "Retried"), BLAZEN_OK); break;
        case 1: EXPECT_EQ(send_in(run, 0, "Slow", std::to_string(now_us() + 10'000)), BLAZEN_OK); break;
        case 2: EXPECT_EQ(send_in(run, delay_ms, "Asks"), BLAZEN_OK); break;
        default:
          EXPECT_EQ(send_in(run, delay_ms, "Delayed", std::to_string(now_us() + delay_ms * 1000)), BLAZEN_OK);
      }
      if ((seed >> 24) % 8 == 0) {
        (void)blazen_run_pause(run, BLAZEN_PAUSE_NOW, nullptr);
        (void)blazen_run_resume_in_place(run, nullptr);
      }
      ++sent_;
      if ((seed >> 8) % 4 == 0) await_quiet();
    }
  }
  // Until all that was sent has come about: whoever sleeps now sleeps until something else is set.
  void await_quiet() {
    const auto deadline = Steady::now() + kPatience;
    while (arrived_ < sent_ && Steady::now() < deadline) nap(1);
  }
  // Fails the attempts, and answers the questions.
  void end_attempts() {
    while (!stops_) {
      if (const Invocation found = failing_.take(); found.get() != nullptr) fail_invocation(found);
      for (RunHandle& run : runs_) {
        if (blazen_run_state_now(run) != BLAZEN_RUN_CREATED && !is_ended(blazen_run_state_now(run))) {
          for (const Json& question : questions_of(run))
            (void)respond(run, question.at("request_id").get<std::string>());
        }
      }
      nap(1);
    }
    while (failing_.take().get() != nullptr) continue;
    while (hanging_.take().get() != nullptr) continue;
  }

  void poll_by_descriptor() {
    const auto deadline = Steady::now() + kPatience;
    while (!all_ended() && Steady::now() < deadline) {
      pollfd watched{descriptor_, POLLIN, 0};
      EXPECT_EQ(::poll(&watched, 1, 5000), 1) << "nobody says that something is due";
      MUST(blazen_runtime_poll(engine_.runtime(), 0, nullptr, e));
    }
  }
  static void wait_for(const RunHandle& run) {
    MUST(blazen_run_wait_until(run, BLAZEN_UNTIL_ENDED, BLAZEN_FOREVER, nullptr, e));
  }
  bool all_ended() const {
    return std::all_of(runs_.begin(), runs_.end(),
                       [](const RunHandle& run) { return is_ended(blazen_run_state_now(run)); });
  }

  const Way way_;
  Deferred failing_;
  Deferred hanging_;
  std::atomic<bool> stops_{false};
  std::atomic<int> sent_{0};
  std::atomic<int> arrived_{0};
  std::array<std::atomic<int>, kRuns> arrived_at_{};
  std::atomic<int> early_{0};
  std::mutex lock_;
  int64_t earliest_us_ = INT64_MAX;
  int64_t latest_us_ = 0;
  int32_t descriptor_ = -1;
  Engine engine_;
  std::vector<RunHandle> runs_;
};

class Timekeeping : public testing::TestWithParam<Crowd::Way> {};
INSTANTIATE_TEST_SUITE_P(Ways, Timekeeping,
                         testing::Values(Crowd::Way::pump_with_descriptor, Crowd::Way::pump_with_waits,
                                         Crowd::Way::threads, Crowd::Way::executor));

TEST_P(Timekeeping, NothingIsToldMuchLaterThanItIsDueWhoeverSetsIt) {
  NEEDS_THREADS();
  for (int round = 0; round < 2; ++round) Crowd(GetParam()).play();
}

// --------------------------------------------------------------------------------------------- nothing early

// From before the call that begins it until it comes about, each in its own way; the phase against the tick
// of the clocks is another in every round.
Deferred hung;
struct Lasts {
  const char* name;
  void (*configure)(Spec&, int64_t ms);
  void (*begin)(blazen_run*, int64_t ms);  // null: the start
};
const Lasts kLasting[] = {
    {"run", [](Spec& spec, int64_t ms) { spec.timeout_ms = ms; }, nullptr},
    {"delay", [](Spec&, int64_t) {},
     [](blazen_run* run, int64_t ms) { EXPECT_EQ(send_in(run, ms, "End"), BLAZEN_OK); }},
    {"step",
     [](Spec& spec, int64_t ms) {
       spec.step("slow", {"Slow"}, [](Ctx& ctx) { return hung.put(ctx); });
       spec.times_out(ms);
     },
     [](blazen_run* run, int64_t) { EXPECT_EQ(send_in(run, 0, "Slow"), BLAZEN_OK); }},
    {"retry",
     [](Spec& spec, int64_t ms) {
       spec.step("fails", {"Fails"},
                 [](Ctx& ctx) { return ctx.attempt() == 1 ? ctx.fail(1, "once more") : ctx.stop(); });
       spec.retry(retries(2, ms));
     },
     [](blazen_run* run, int64_t) { EXPECT_EQ(send_in(run, 0, "Fails"), BLAZEN_OK); }},
};

class NothingEarly : public testing::TestWithParam<std::tuple<Lasts, bt::Way>> {};
INSTANTIATE_TEST_SUITE_P(Kinds, NothingEarly,
                         testing::Combine(testing::ValuesIn(kLasting),
                                          testing::Values(bt::Way::waiter, bt::Way::descriptor,
                                                          bt::Way::threads_4)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) +
                                  name_of(std::get<1>(info.param));
                         });

TEST_P(NothingEarly, NoTimeIsUpBeforeItHasPassed) {
  const auto& [lasts, way] = GetParam();
  if (is_threaded(way)) NEEDS_THREADS();
  for (const int64_t ms : {1, 2, 5, 11}) {
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx&) {});
    lasts.configure(spec, ms);
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
    const Workflow workflow = spec.build();
    Engine engine(way);
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 137 % 4000));
      std::atomic<int64_t> ended_us{0};
      Told told;
      told.then = [&](blazen_run*) { ended_us = now_us(); };
      RunHandle run = create(engine, workflow);
      told.wait_for(run, BLAZEN_UNTIL_ENDED);
      int64_t began_us = now_us();
      MUST(blazen_run_start(run, nullptr, e));
      if (lasts.begin != nullptr) {
        ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
        began_us = now_us();
        lasts.begin(run, ms);
      }
      ASSERT_TRUE(engine.until(run, [&] { return ended_us != 0; }));
      EXPECT_GE(ended_us - began_us, ms * 1000);
      hung.take();
      MUST(blazen_run_close(run, e));  // its callback writes to told until then
    }
  }
}

TEST(Deadlines, NoWaitEndsBeforeItsDeadline) {
  Engine engine(Way::pump);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  Stream stream = subscribe(run);
  if (!has_threads()) GTEST_SKIP() << "a library without threads does not sleep";
  for (int i = 0; i < 40; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i * 137 % 1000));
    const int64_t began_us = now_us();
    Event item;
    const blazen_status status = i % 2 == 0 ? blazen_run_wait(run, 3, nullptr, nullptr)
                                            : blazen_stream_next(stream, 3, item.out(), nullptr, nullptr);
    EXPECT_EQ(status, BLAZEN_ERROR_TIMEOUT);
    EXPECT_GE(now_us() - began_us, 3000);
  }
}

// ------------------------------------------------------------------------------------------------- very long

int64_t cpu_us() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * 1'000'000 + used.tv_nsec / 1000;
}

// A time-out that ends after the end of time sleeps, and does not turn in circles.
TEST(LongWaits, SleepHoweverLongTheyMayTake) {
  NEEDS_THREADS();
  for (const bt::Way way : {bt::Way::pump, bt::Way::threads_1}) {
    for (const int64_t timeout_ms : {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2, int64_t{922'337'203'685'477},
                                     int64_t{922'337'203'685'478}, INT64_MAX / 1000}) {
      Engine engine(way);
      Spec spec;
      spec.idle = BLAZEN_IDLE_WAIT;
      spec.start([](Ctx&) {});
      RunHandle run = start(engine, spec.build());
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
      Stream stream = subscribe(run);
      std::atomic<int> back{0};
      std::atomic<int64_t> used_us{0};
      std::thread waiter([&, timeout_ms = timeout_ms] {
        const int64_t before_us = cpu_us();
        MUST(blazen_run_wait(run, timeout_ms, nullptr, e));
        used_us += cpu_us() - before_us;
        ++back;
      });
      std::thread reader([&, timeout_ms = timeout_ms] {
        const int64_t before_us = cpu_us();
        Event item;
        MUST(blazen_stream_next(stream, timeout_ms, item.out(), nullptr, e));
        used_us += cpu_us() - before_us;
        ++back;
      });
      nap(50);
      EXPECT_EQ(back, 0);
      MUST(blazen_run_abort(run, e));
      waiter.join();
      reader.join();
      EXPECT_LT(used_us, 25'000) << timeout_ms;
    }
  }
}

// -------------------------------------------------------------------------------------------- slow callbacks

// Callbacks stay in `hold` until the test lets them go, or for so long that it has failed.
class Held {
 public:
  void hold() {
    std::unique_lock guard(lock_);
    ++inside_;
    changed_.wait_for(guard, std::chrono::seconds(10), [this] { return open_; });
    --inside_;
  }
  void open() {
    std::lock_guard guard(lock_);
    open_ = true;
    changed_.notify_all();
  }
  int inside() {
    std::lock_guard guard(lock_);
    return inside_;
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

enum class Calls { done, cancelled, drop };
class ASlowCallback : public testing::TestWithParam<std::tuple<Calls, bt::Way>> {};
INSTANTIATE_TEST_SUITE_P(Kinds, ASlowCallback,
                         testing::Combine(testing::Values(Calls::done, Calls::cancelled, Calls::drop),
                                          testing::Values(bt::Way::threads_1, bt::Way::pool)));

// Several runs, one after the other, have a time-out whose callback does not come back; the time of the next
// one is up all the same. A close waits for them all.
TEST_P(ASlowCallback, StandsInNoOtherRunsTime) {
  NEEDS_THREADS();
  const auto [calls, way] = GetParam();
  Held held;
  blazen_send_options after_all = BLAZEN_SEND_OPTIONS_INIT;
  after_all.delay_ms = 60'000;
  constexpr int kSlow = 3;
  std::vector<RunHandle> runs;
  auto engine = std::make_unique<Engine>(way);
  Spec slow;
  slow.timeout_ms = 20;
  slow.idle = BLAZEN_IDLE_WAIT;
  Deferred pending;
  slow.start([&, calls = calls](Ctx& ctx) -> blazen_status {
    const auto cancelled = [](void* self) { static_cast<Held*>(self)->hold(); };
    if (calls != Calls::cancelled) return BLAZEN_OK;
    const blazen_status status = pending.put(ctx);
    MUST(blazen_context_on_cancel(ctx.raw, cancelled, &held, nullptr, e));
    return status;
  });
  slow.step("never", {"Never"}, [](Ctx&) {});
  const Workflow workflow = slow.build();
  for (int i = 1; i <= kSlow; ++i) {
    RunHandle run = create(*engine, workflow);
    if (calls == Calls::done) {
      MUST(blazen_run_on_done(
          run, [](void* self, blazen_run*, blazen_run_state) { static_cast<Held*>(self)->hold(); }, &held,
          nullptr, e));
    }
    MUST(blazen_run_start(run, nullptr, e));
    if (calls == Calls::drop) {
      // It is to come later than the end of the run, and goes with that.
      Value value;
      const auto drop = [](void* self) { static_cast<Held*>(self)->hold(); };
      MUST(blazen_value_live(&held, nullptr, 0, drop, value.out(), e));
      MUST(blazen_run_send_event(run, event("Never", value.get()), &after_all, e));
    }
    runs.push_back(std::move(run));
    ASSERT_TRUE(engine->until(runs.back(), [&] { return held.inside() == i; }))
        << "the callbacks before this one stand in its way";
  }
  std::thread opener([&] {
    nap(20);
    held.open();
  });
  MUST(blazen_runtime_close(engine->runtime(), e));
  EXPECT_EQ(held.inside(), 0);
  opener.join();
  while (pending.take().get() != nullptr) continue;
  runs.clear();
  engine.reset();
}

}  // namespace
