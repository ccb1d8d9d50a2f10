// Whether the bodies of a step are known to be quick. A hint, and never more: a thread that waits for a run
// may run quick ones itself meanwhile, and leaves the others to threads that nobody waits for.
//
// A step has to show it first. One that was trusted and then was slow has to show it sixteen times as often
// as the last time, so that a processor that was taken away at the wrong moment is soon forgiven, and a step
// that is slow now and then is not trusted again and again.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace blazen {

class Pace {
 public:
  static constexpr int64_t kQuickNs = 1'000'000;

  bool is_quick() const noexcept { return left_.load(std::memory_order_relaxed) == 0; }
  // Of one that has no body of the host's. Before others know it.
  void trust() noexcept { left_.store(0, std::memory_order_relaxed); }
  // What a body took. 1: the step has become quick by it; -1: it is so no more; 0: as it was.
  int note(bool was_quick) noexcept {
    uint32_t left = left_.load(std::memory_order_relaxed);
    if (!was_quick) {
      price_ = std::min(price_.load(std::memory_order_relaxed) * 16, kPriceMax);
      return left_.exchange(price_, std::memory_order_relaxed) == 0 ? -1 : 0;
    }
    while (left != 0) {
      if (left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) return left == 1 ? 1 : 0;
    }
    return 0;
  }

 private:
  static constexpr uint32_t kFirstPrice = 4;
  static constexpr uint32_t kPriceMax = 1U << 20;
  std::atomic<uint32_t> left_{kFirstPrice};   // quick bodies to show before it is trusted
  std::atomic<uint32_t> price_{kFirstPrice};  // how many that were, the last time
};

}  // namespace blazen
