// Proves that a call keeps what it needs: every function that can lead to a callback of the host, and a
// callback that releases the last handle of everything, in this thread or in another, while that function is
// still inside.
//
// What was freed too soon is filled with rubbish where the C library can do that, and seen by the sanitizer
// of memory in any case.
#include <gtest/gtest.h>
#include <malloc.h>

#include "capi/callers.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

class LastHandle : public testing::TestWithParam<Row> {
 protected:
  static void fill_what_is_freed(int with) {
#ifdef M_PERTURB
    if (!kSanitized) ::mallopt(M_PERTURB, with);
#else
    (void)with;
#endif
  }
  void SetUp() override { fill_what_is_freed(0x5A); }
  void TearDown() override { fill_what_is_freed(0); }
};

TEST_P(LastHandle, IsReleasedByACallbackWhileTheCallIsInside) {
  Watchdog watchdog(GetParam().function, 60);
  Holder holder;
  GetParam().prepare(holder);
  holder.is_armed = true;
  EXPECT_EQ(GetParam().call(holder), BLAZEN_OK);
  EXPECT_EQ(holder.called, 1) << "no callback came, and the test would prove nothing";
  blazen_task_cancel(holder.task);
}

INSTANTIATE_TEST_SUITE_P(Of, LastHandle, testing::ValuesIn(kRows),
                         [](const auto& info) { return std::string(info.param.function); });

// The same from another thread: the post waits until the host's scheduler has run the step to its end, and
// with it the callback that releases.
TEST_F(LastHandle, IsReleasedOnAnotherThreadBeforeThePostReturns) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("IsReleasedOnAnotherThread", 60);
  Holder holder;
  holder.begin = stop;
  make_world(holder);
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_EXECUTOR;
  options.post = [](void*, blazen_task* task) -> blazen_status {
    std::thread([task] { blazen_task_run(task); }).join();
    return BLAZEN_OK;
  };
  holder.run.reset();
  OK(blazen_runtime_create(&options, holder.runtime.out(), error));
  OK(blazen_run_create(holder.runtime, holder.workflow, nullptr, holder.run.out(), error));
  on_done(holder);
  // A close would wait for the post, which waits for the thread that releases: that one waits for nobody.
  holder.is_armed = true;
  OK(blazen_run_start(holder.run, nullptr, error));
  EXPECT_EQ(holder.called, 1);
}

}  // namespace
