// The one short lock of a run or a queue, and the sleep beside it. In a build without threads both are empty.
#pragma once

#include <cstdint>

#ifndef BLAZEN_NO_THREADS
#include <chrono>
#include <condition_variable>
#include <mutex>
#endif

namespace blazen {

#ifdef BLAZEN_NO_THREADS

inline constexpr bool kThreads = false;

class Lock {
 public:
  void lock() noexcept {}
  void unlock() noexcept {}
};

class Guard {
 public:
  explicit Guard(Lock&) noexcept {}
  void lock() noexcept {}
  void unlock() noexcept {}
};

// Nobody else could wake us: a sleep ends at once, as if its deadline had passed.
class Condition {
 public:
  bool wait(Guard&, int64_t) noexcept { return false; }
  void wake_one() noexcept {}
  void wake_all() noexcept {}
};

#else

inline constexpr bool kThreads = true;

using Lock = std::mutex;
using Guard = std::unique_lock<std::mutex>;

class Condition {
 public:
  // Sleeps until woken or until deadline_ms of the steady clock (negative: none). False when the deadline has
  // passed.
  bool wait(Guard& guard, int64_t deadline_ms) {
    if (deadline_ms < 0) {
      condition_.wait(guard);
      return true;
    }
    const std::chrono::steady_clock::time_point deadline{std::chrono::milliseconds(deadline_ms)};
    return condition_.wait_until(guard, deadline) == std::cv_status::no_timeout;
  }
  void wake_one() noexcept { condition_.notify_one(); }
  void wake_all() noexcept { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

#endif

}  // namespace blazen
