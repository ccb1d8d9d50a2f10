// What time it is. Implementations: exec/system_clock.hpp, and the host's own (capi/runtime.cpp).
#pragma once

#include <cstdint>

namespace blazen {

class Clock {
 public:
  explicit Clock(bool is_hosts) noexcept : is_hosts_(is_hosts) {}
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  // Milliseconds since 1970, never falling. From any thread, under locks of the engine too.
  virtual int64_t now_ms() noexcept = 0;
  // The same, quicker and up to some milliseconds behind.
  virtual int64_t coarse_ms() noexcept { return now_ms(); }

  // The runtime is closed: nobody asks the host any more when this returns, and time stands still. Not from
  // inside now_ms().
  virtual void stop() noexcept {}

  // True where time is the host's: no sleep of ours can pass it.
  bool is_hosts() const noexcept { return is_hosts_; }

 private:
  const bool is_hosts_;
};

}  // namespace blazen
