// The delay between two attempts is the same in every process, whoever resumes the run: these numbers never
// change.
#include "run/retry.hpp"

#include <gtest/gtest.h>

namespace {

using namespace blazen;  // NOLINT(google-build-using-namespace)

TEST(RetryDelay, IsTheSameInEveryProcess) {
  RetryPolicy policy;
  policy.attempts_max = 10;
  policy.delay_ms = 1000;
  policy.multiplier = 2;
  policy.delay_max_ms = 60000;
  policy.jitter = 0.5;
  RunId run{};
  for (size_t i = 0; i < run.size(); ++i) run[i] = static_cast<uint8_t>(i * 17);
  std::vector<int64_t> delays;
  for (const uint64_t invocation : {1U, 2U}) {
    for (uint32_t attempt = 1; attempt <= 4; ++attempt)
      delays.push_back(retry_delay_ms(policy, run, invocation, attempt));
  }
  EXPECT_EQ(delays, (std::vector<int64_t>{932, 1682, 3346, 5318, 500, 1861, 2223, 4474}));
}

}  // namespace
