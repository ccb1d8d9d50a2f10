// Proves that several host threads may use one runtime at once, each with runs of its own and with those of
// others: its counters are exact while they do and when they are done, and it closes once, with whatever handle
// goes last.
#include <gtest/gtest.h>

#include <random>

#include "capi/world.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

// More than there are lanes in a runtime, so that some share one.
constexpr int kHosts = 10;

blazen_status stops(void*, blazen_context* context, const blazen_event*, blazen_error** error) {
  return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
}
blazen_status fails(void*, blazen_context*, const blazen_event*, blazen_error**) { return BLAZEN_ERROR_HOST; }
blazen_status rests(void*, blazen_context*, const blazen_event*, blazen_error**) { return BLAZEN_OK; }

blazen_runtime_counters count(blazen_runtime* runtime) {
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  OK(blazen_runtime_count(runtime, &counters, error));
  return counters;
}

template <class Function>
void on_hosts(int hosts, Function function) {
  std::vector<std::thread> threads;
  for (int host = 0; host < hosts; ++host) threads.emplace_back([&function, host] { function(host); });
  for (std::thread& thread : threads) thread.join();
}

// What the hosts know to have come about.
struct Tally {
  std::atomic<uint64_t> completed{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> cancelled{0};
  std::atomic<uint64_t> waiting{0};
  std::atomic<uint64_t> created{0};
};

class Hosts : public testing::TestWithParam<blazen_mode> {
 protected:
  void SetUp() override {
    if (!kThreads) GTEST_SKIP() << "a library without threads";
    runtime = RuntimeHandle(make_runtime(GetParam()));
    that_stops = WorkflowHandle(make_workflow(stops));
    that_fails = WorkflowHandle(make_workflow(fails));
    that_rests = WorkflowHandle(make_workflow(rests, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT));
  }
  // A run at rest. The host waits, and helps.
  blazen_run* make_waiting() const {
    blazen_run* run = make_run(runtime, that_rests);
    OK(blazen_run_start(run, nullptr, error));
    blazen_run_state state = BLAZEN_RUN_NONE;
    OK(blazen_run_wait_until(run, BLAZEN_UNTIL_WAITING, -1, &state, error));
    EXPECT_EQ(state, BLAZEN_RUN_WAITING);
    return run;
  }
  void run_to_its_end(blazen_workflow* workflow, blazen_status wanted) const {
    ValueHandle result;
    EXPECT_EQ(blazen_workflow_run(workflow, runtime, nullptr, result.out(), nullptr), wanted);
  }

  RuntimeHandle runtime;
  WorkflowHandle that_stops;
  WorkflowHandle that_fails;
  WorkflowHandle that_rests;
};

// Runs are ended, and let go of, by other threads than those that made them.
TEST_P(Hosts, AreCountedExactlyByWhatEachHasDone) {
  Watchdog watchdog("AreCountedExactly", 100);
  constexpr int kPlaces = 16;
  const int turns = kSanitized ? 400 : 4000;
  Tally tally;
  std::mutex lock;
  RunHandle waiting[kPlaces];
  RunHandle created[kPlaces];
  on_hosts(kHosts, [&](int host) {
    std::mt19937 random(static_cast<uint32_t>(host));
    for (int turn = 0; turn < turns; ++turn) {
      const size_t place = random() % kPlaces;
      switch (random() % 6) {
        case 0:
        case 1:
          run_to_its_end(that_stops, BLAZEN_OK);
          ++tally.completed;
          break;
        case 2:
          run_to_its_end(that_fails, BLAZEN_ERROR_STEP_FAILED);
          ++tally.failed;
          break;
        case 3: {
          RunHandle run(make_waiting());
          const std::lock_guard guard(lock);
          std::swap(run, waiting[place]);
          // That which stood there goes with its last handle, and is cancelled by that.
          run.get() != nullptr ? ++tally.cancelled : ++tally.waiting;
          break;
        }
        case 4: {
          RunHandle run(make_run(runtime, that_rests));
          const std::lock_guard guard(lock);
          std::swap(run, created[place]);
          if (run.get() == nullptr) ++tally.created;
          break;
        }
        default: {
          const uint64_t completed = tally.completed;
          EXPECT_GE(count(runtime).completed, completed);
        }
      }
    }
  });
  const blazen_runtime_counters counters = count(runtime);
  EXPECT_EQ(counters.completed, tally.completed);
  EXPECT_EQ(counters.failed, tally.failed);
  EXPECT_EQ(counters.cancelled, tally.cancelled);
  EXPECT_EQ(counters.waiting, tally.waiting);
  EXPECT_EQ(counters.created, tally.created);
  EXPECT_EQ(counters.running + counters.elsewhere + counters.paused + counters.asking, 0U);
  OK(blazen_runtime_close(runtime, error));
  const blazen_runtime_counters closed = count(runtime);
  EXPECT_EQ(closed.completed, tally.completed);
  EXPECT_EQ(closed.failed, tally.failed);
  EXPECT_EQ(closed.cancelled, tally.cancelled + tally.waiting + tally.created);
  EXPECT_EQ(closed.waiting + closed.created, 0U);
}

// Two hosts take turns: one makes a run that completes, the other one that fails. Whoever counts meanwhile sees
// as many, or one more that completed.
TEST_P(Hosts, AreCountedAsOfOneMoment) {
  Watchdog watchdog("AreCountedAsOfOneMoment", 100);
  const uint64_t turns = kSanitized ? 300 : 3000;
  std::atomic<uint64_t> turn{0};
  on_hosts(4, [&](int host) {
    if (host < 2) {
      for (uint64_t mine = static_cast<uint64_t>(host); mine < 2 * turns; mine += 2) {
        while (turn.load() != mine) std::this_thread::yield();
        host == 0 ? run_to_its_end(that_stops, BLAZEN_OK)
                  : run_to_its_end(that_fails, BLAZEN_ERROR_STEP_FAILED);
        turn.store(mine + 1);
      }
      return;
    }
    while (turn.load() < 2 * turns) {
      const blazen_runtime_counters counters = count(runtime);
      ASSERT_LE(counters.failed, counters.completed);
      ASSERT_LE(counters.completed, counters.failed + 1);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  const blazen_runtime_counters counters = count(runtime);
  EXPECT_EQ(counters.completed, turns);
  EXPECT_EQ(counters.failed, turns);
}

// A close comes while others make runs, start them, wait for them and count: each run is refused, or ends.
TEST_P(Hosts, AreClosedUnderTheirRuns) {
  Watchdog watchdog("AreClosedUnderTheirRuns", 100);
  for (int round = 0; round < (kSanitized ? 20 : 100); ++round) {
    runtime = RuntimeHandle(make_runtime(GetParam()));
    Tally tally;
    std::atomic<int> ready{0};
    on_hosts(6, [&](int host) {
      ++ready;
      if (host == 0) {
        while (ready.load() < 6) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::microseconds(round * 20));
        OK(blazen_runtime_close(runtime, error));
        return;
      }
      for (;;) {
        blazen_run* made = nullptr;
        if (blazen_run_create(runtime, that_stops, nullptr, &made, nullptr) != BLAZEN_OK) break;
        RunHandle run(made);
        (void)blazen_run_start(run, nullptr, nullptr);
        blazen_run_state state = BLAZEN_RUN_NONE;
        OK(blazen_run_wait(run, -1, &state, error));
        ++(state == BLAZEN_RUN_COMPLETED ? tally.completed : tally.cancelled);
        if (host == 1) (void)count(runtime);
      }
    });
    const blazen_runtime_counters counters = count(runtime);
    ASSERT_EQ(counters.completed, tally.completed);
    ASSERT_EQ(counters.cancelled, tally.cancelled);
  }
}

// Handles of a runtime and of its runs go from many threads at once: it closes, and drops what it had, once.
TEST_P(Hosts, LetGoOfTheLastHandleOnWhateverThread) {
  Watchdog watchdog("LetGoOfTheLastHandle", 100);
  constexpr int kMost = 5;
  static std::atomic<int> drops;
  for (int round = 0; round < (kSanitized ? 40 : 400); ++round) {
    drops = 0;
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = GetParam();
    options.threads = 1;
    options.user_data = &drops;
    options.drop = [](void* user_data) { ++*static_cast<std::atomic<int>*>(user_data); };
    OK(blazen_runtime_create(&options, runtime.out(), error));
    std::atomic<int> ready{0};
    RuntimeHandle handles[kMost];
    for (RuntimeHandle& handle : handles) handle = RuntimeHandle(blazen_runtime_retain(runtime));
    runtime.reset();
    on_hosts(kMost, [&](int host) {
      std::mt19937 random(static_cast<uint32_t>(round * kMost + host));
      RunHandle runs[3];
      for (RunHandle& run : runs) run = RunHandle(make_run(handles[host], that_rests));
      ++ready;
      while (ready.load() < kMost) continue;
      if (random() % 2 == 0) handles[host].reset();
      for (RunHandle& run : runs) {
        RunHandle another(blazen_run_retain(run));
        run.reset();
      }
      handles[host].reset();
    });
    // Whoever was the last on its way out of the engine has closed it.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (drops.load() == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    ASSERT_EQ(drops, 1) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Hosts, testing::Values(BLAZEN_MODE_THREADS, BLAZEN_MODE_PUMP),
                         [](const auto& info) {
                           return info.param == BLAZEN_MODE_PUMP ? "Pump" : "Threads";
                         });

}  // namespace
