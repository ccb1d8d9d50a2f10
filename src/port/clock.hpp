// What time it is, twice: for durations, by a clock that nobody sets, and as the date, which is set when it
// was wrong. Implementations: exec/system_clock.hpp, and the host's own (capi/runtime.cpp).
//
// Invariant: what lasts from a begin_ms() on is over when now_ms() says so, and never before its whole time
// has passed.
#pragma once

#include <cstdint>

namespace blazen {

class Clock {
 public:
  explicit Clock(bool is_hosts) noexcept : is_hosts_(is_hosts) {}
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  // For durations: milliseconds that have passed since some moment, cut, never falling. Not a date. From any
  // thread, under locks of the engine too.
  virtual int64_t now_ms() noexcept = 0;
  // The same, rounded up: the moment of what begins now.
  int64_t begin_ms() noexcept { return now_ms() + rounded_ms(); }
  // By how much.
  int64_t rounded_ms() const noexcept { return is_hosts_ ? 0 : 1; }
  // As now_ms(), quicker and up to kCoarseLagMs behind.
  virtual int64_t coarse_ms() noexcept { return now_ms(); }
  // More than it mostly is: the coarse clock goes with the ticks of a processor, which may be kept away.
  static constexpr int64_t kCoarseLagMs = 100;

  // The date: milliseconds since 1970, at least 0. It may jump, in both directions.
  virtual int64_t date_ms() noexcept = 0;

  // The runtime is closed: nobody asks the host any more when this returns, and time stands still. Not from
  // inside one of the above.
  virtual void stop() noexcept {}

  // True where time is the host's: no sleep of ours can pass it, and its milliseconds are exact.
  bool is_hosts() const noexcept { return is_hosts_; }

 private:
  const bool is_hosts_;
};

}  // namespace blazen
