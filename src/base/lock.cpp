#include "base/lock.hpp"

#ifndef BLAZEN_NO_THREADS

#include <algorithm>
#include <chrono>

#include "base/steady.hpp"

namespace blazen {

// Whoever has slept takes it as contended, since others may sleep too: at worst, one wake too many.
void Lock::lock_taken() noexcept {
  while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
    state_.wait(kContended, std::memory_order_relaxed);
  }
}

void Lock::wake() noexcept { state_.notify_one(); }

bool Condition::wait(Guard& guard, int64_t deadline_ms) {
  std::unique_lock asleep(mutex_);
  guard.unlock();
  bool in_time = true;
  if (deadline_ms < 0) {
    condition_.wait(asleep);
  } else {
    // The clock counts smaller units, of which it has fewer than there are milliseconds.
    constexpr int64_t kLongestMs = 86'400'000;
    const int64_t latest_ms = steady_ms() + kLongestMs;
    const std::chrono::steady_clock::time_point until{
        std::chrono::milliseconds(std::min(deadline_ms, latest_ms))};
    in_time = condition_.wait_until(asleep, until) == std::cv_status::no_timeout || deadline_ms > latest_ms;
  }
  asleep.unlock();
  guard.lock();
  return in_time;
}

// A thread on its way to sleep holds the mutex until it sleeps.
void Condition::wake_one() noexcept {
  {
    const std::lock_guard awake(mutex_);
  }
  condition_.notify_one();
}

void Condition::wake_all() noexcept {
  {
    const std::lock_guard awake(mutex_);
  }
  condition_.notify_all();
}

}  // namespace blazen

#endif
