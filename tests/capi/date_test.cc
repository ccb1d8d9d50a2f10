// The date is set while a runtime lives: what is a date follows it, and what lasts does not notice. This
// program has the operating system's clock pass through its hands.
#include <dlfcn.h>

#include <ctime>

#include "support/control.hpp"

#ifdef __linux__

namespace {
std::atomic<int64_t> date_set_by_s{0};
}  // namespace

// Whoever is linked to this program asks here.
extern "C" int clock_gettime(clockid_t which, timespec* time) noexcept {
  using Function = int (*)(clockid_t, timespec*);
  static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(which, time);
  if (which == CLOCK_REALTIME) time->tv_sec += date_set_by_s.load();
  return result;
}

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kHour_ms = 3'600'000;
constexpr int64_t kMinute_ms = 60'000;

int64_t date_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

class TheDate : public testing::TestWithParam<int64_t> {
 protected:
  ~TheDate() override { date_set_by_s = 0; }
  // The run asks, and has an event to come in an hour.
  static Spec spec() {
    Spec spec;
    spec.timeout_ms = 0;
    spec.start([](Ctx& ctx) {
      ctx.emit_in(kHour_ms, "Later");
      ctx.emit("Asks");
    });
    spec.step("asks", {"Asks"}, [](Ctx& ctx) -> blazen_status {
      return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : BLAZEN_OK;
    });
    spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
    return spec;
  }
  static int64_t due_in_ms(blazen_run* run) {
    return describe_run(run).at("delayed").at(0).at("due_in_ms").get<int64_t>();
  }
};
INSTANTIATE_TEST_SUITE_P(ByHours, TheDate, testing::Values(8, -8));

TEST_P(TheDate, IsTheOneThatIsSetAndWhatLastsDoesNotNotice) {
  Engine engine(Way::pump);
  date_set_by_s = GetParam() * 3600;
  RunHandle run = start(engine, spec().build());
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run) == "q"; }));
  const Json question = questions_of(run).at(0);
  EXPECT_NEAR(question.at("asked_ms").get<double>(), static_cast<double>(date_ms()), kMinute_ms);
  EXPECT_LE(engine.next_timer(), kHour_ms + 1);
  EXPECT_GE(engine.next_timer(), kHour_ms - kMinute_ms);
  // Once more, while it waits.
  date_set_by_s = 0;
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_GE(engine.next_timer(), kHour_ms - kMinute_ms);
  EXPECT_GE(due_in_ms(run), kHour_ms - kMinute_ms);
  EXPECT_LT(questions_of(run).at(0).at("age_ms").get<int64_t>(), kMinute_ms);
  EXPECT_EQ(questions_of(run).at(0).at("asked_ms"), question.at("asked_ms"));
}

// From one process to the next, the date alone says how much time has passed.
TEST_P(TheDate, OfASnapshotIsTheDateWhenItWasTaken) {
  Engine engine(Way::pump);
  date_set_by_s = GetParam() * 3600;  // the runtime has its clock from before
  const Workflow workflow = spec().build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.until(run, [&] { return open_ids(run) == "q"; }));
  const Snapshot taken = snapshot(run);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.time_has_passed = 1;
  for (const int64_t later_ms : {int64_t{0}, kHour_ms / 2}) {
    date_set_by_s = GetParam() * 3600 + later_ms / 1000;
    Engine other(Way::pump);
    RunHandle resumed;
    MUST(blazen_run_resume(other.runtime(), workflow, taken, &options, resumed.out(), e));
    MUST(blazen_run_start(resumed, nullptr, e));
    EXPECT_NEAR(static_cast<double>(due_in_ms(resumed)), static_cast<double>(kHour_ms - later_ms),
                kMinute_ms);
    EXPECT_NEAR(questions_of(resumed).at(0).at("age_ms").get<double>(), static_cast<double>(later_ms),
                kMinute_ms);
  }
}

// The clock of a paused run stands: what passes counts from then on.
TEST(ADate, OfASnapshotOfAPausedRunIsThatOfThePause) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.timeout_ms = 0;
  spec.start([](Ctx& ctx) { ctx.emit_in(kHour_ms, "Later"); });
  spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = start(engine, spec.build());
  engine.pass(1000);
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  const std::string first = snapshot_bytes(run);
  engine.pass(5000);
  EXPECT_EQ(snapshot_bytes(run), first);
}

}  // namespace

#endif
