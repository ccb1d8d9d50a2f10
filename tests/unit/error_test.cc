// An error may be the cause of another as often as a host likes.
#include "value/error.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/limits.hpp"

namespace {

using namespace blazen;  // NOLINT(google-build-using-namespace)

Ref<Error> wrapped(size_t wraps) {
  Ref<Error> error = Error::host(7, "it broke", nullptr);
  for (size_t i = 1; i <= wraps; ++i)
    error = Error::step_failed("s" + std::to_string(i), 1, std::move(error));
  return error;
}

TEST(ErrorChain, NamesEachStepWhileThereAreFew) {
  EXPECT_EQ(wrapped(2)->message, "step 's2' failed: step 's1' failed: it broke");
  std::string all = "it broke";
  for (size_t i = 1; i <= kErrorDepthMax; ++i) all = "step 's" + std::to_string(i) + "' failed: " + all;
  EXPECT_EQ(wrapped(kErrorDepthMax)->message, all);
}

TEST(ErrorChain, CountsThoseBeneathAndEndsWithWhatWasSaidFirst) {
  EXPECT_EQ(wrapped(kErrorDepthMax + 1)->message, "step 's17' failed: through 16 more steps: it broke");
  EXPECT_EQ(wrapped(kErrorDepthMax + 2)->message, "step 's18' failed: through 17 more steps: it broke");
  EXPECT_EQ(wrapped(1000)->message, "step 's1000' failed: through 999 more steps: it broke");
  EXPECT_EQ(wrapped(1000)->host_code, 7);
}

// A million of them: neither does a message grow, nor is a stack needed to let go of them.
TEST(ErrorChain, MayBeAsLongAsAHostLikes) {
  Ref<Error> error = wrapped(1'000'000);
  EXPECT_LT(error->message.size(), 100U);
  size_t depth = 0;
  for (const Error* at = error.get(); at->cause; at = at->cause.get()) ++depth;
  EXPECT_EQ(depth, 1'000'000U);
  Ref<Error> held = error->cause->cause->cause;  // somebody else has a part of it
  error.reset();
  EXPECT_EQ(held->step, "s999997");
}

}  // namespace
