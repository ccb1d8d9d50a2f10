// Sums of milliseconds that stop at the ends of time instead of wrapping: a moment that is past what can be
// counted is as good as never.
#pragma once

#include <cstdint>

namespace blazen {

inline int64_t add_ms(int64_t a, int64_t b) noexcept {
  if (b > 0 && a > INT64_MAX - b) return INT64_MAX;
  if (b < 0 && a < INT64_MIN - b) return INT64_MIN;
  return a + b;
}

}  // namespace blazen
