// Where the system gives no thread that tells the time, somebody hears of it, and no time-out is lost.
#include <sys/resource.h>
#include <unistd.h>

#include "capi/child.hpp"
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

#ifdef __linux__

// A stack that no address space holds. In this mode, the thread that tells the time is the only one.
TEST(WithoutAThread, ARuntimeThatCannotTellTheTimeIsNotMade) {
  NEEDS_THREADS();
  int drops = 0;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.post = [](void*, blazen_task*) -> blazen_status { return BLAZEN_OK; };
  options.user_data = &drops;
  options.drop = [](void* count) { ++*static_cast<int*>(count); };
  options.thread_stack_bytes = size_t{1} << 60;
  Runtime runtime;
  Error error;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), error.out()), BLAZEN_ERROR_SYSTEM);
  EXPECT_NE(error.host_code(), 0);
  EXPECT_EQ(drops, 1);
}

// Two runs end at their times, though no further thread can be had than the runtime has from its creation,
// and the log says what that means.
std::string run_out_of_threads() {
  std::string log;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 1;
  options.user_data = &log;
  options.log = [](void* text, blazen_log_level, const char* message, size_t length) {
    static_cast<std::string*>(text)->append(message, length).append("\n");
  };
  options.log_level = BLAZEN_LOG_WARNING;
  Runtime runtime;
  if (blazen_runtime_create(&options, runtime.out(), nullptr) != BLAZEN_OK) return "no runtime";
  constexpr uid_t kNobody = 65534;
  if (::geteuid() == 0 && ::setuid(kNobody) != 0) return "skip";
  const rlimit none{1, 1};
  if (::setrlimit(RLIMIT_NPROC, &none) != 0) return "skip";
  try {
    std::thread([] {}).join();
    return "skip";
  } catch (const std::system_error&) {
  }
  Spec spec;
  spec.timeout_ms = 20;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  const Workflow workflow = spec.build();
  Told told;
  for (size_t i = 1; i <= 2; ++i) {
    RunHandle run;
    if (blazen_run_create(runtime, workflow, nullptr, run.out(), nullptr) != BLAZEN_OK) return "no run";
    told.wait_for(run, BLAZEN_UNTIL_ENDED);
    if (blazen_run_start(run, nullptr, nullptr) != BLAZEN_OK) return "no start";
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (told.all().size() < i) {
      if (std::chrono::steady_clock::now() > deadline) return "the time-out does not come";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  runtime.reset();
  return log.find("no further thread to tell the time") == std::string::npos ? "the log says: " + log
                                                                             : "well";
}

TEST(WithoutAThread, TimeOutsComeAllTheSameAndTheLogSaysSo) {
  NEEDS_THREADS();
  const host::Child child = host::in_child(run_out_of_threads);
  EXPECT_EQ(child.fault(), "");
  if (child.said == "skip") GTEST_SKIP() << "this user may always have one more thread";
  EXPECT_EQ(child.said, "well");
}

#endif

}  // namespace
