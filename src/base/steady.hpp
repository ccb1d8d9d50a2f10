// The clock that deadlines are measured by.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/milliseconds.hpp"

namespace blazen {

inline int64_t steady_ms() noexcept {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

inline int64_t steady_ns() noexcept {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

// No earlier than so long from now; a deadline beyond the end of time is as good as none.
inline int64_t deadline_after(int64_t timeout_ms) noexcept { return add_ms(steady_ms() + 1, timeout_ms); }

}  // namespace blazen
