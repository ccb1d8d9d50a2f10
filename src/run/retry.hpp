// Whether a step that failed is tried again, and when: a pure function of its policy, the run, the invocation
// and the attempt, so that every process comes to the same moment.
#pragma once

#include <cstdint>

#include "run/state.hpp"

namespace blazen {

// cause is what the step said, or the time-out of its attempt.
bool may_retry(const RetryPolicy& policy, uint32_t attempt, const Error& cause) noexcept;

// From the failure of this attempt to the next one. Exponential, with a cap, less a part that is spread by a
// digest ("decorrelated by identity"): two invocations that fail together do not come back together.
int64_t retry_delay_ms(const RetryPolicy& policy, const RunId& run, uint64_t invocation_id,
                       uint32_t attempt) noexcept;

}  // namespace blazen
