// Lanes: what threads would write to all the time, each for itself, is kept once for each lane, so that their
// processors do not take the memory from each other. A thread has one lane for all its life; where there are
// more threads than lanes, some share one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace blazen {

#ifdef BLAZEN_NO_THREADS
inline constexpr size_t kLanes = 1;
#else
inline constexpr size_t kLanes = 8;
#endif

class Lanes {
 public:
  // Of this thread.
  static uint8_t here() noexcept {
    if constexpr (kLanes == 1) return 0;
    return mine_ != 0 ? static_cast<uint8_t>(mine_ - 1) : choose();
  }

 private:
  // Round robin, so that those that come one after the other do not meet.
  [[gnu::noinline]] static uint8_t choose() noexcept {
    const auto lane = static_cast<uint8_t>(next_.fetch_add(1, std::memory_order_relaxed) % kLanes);
    mine_ = static_cast<uint8_t>(lane + 1);
    return lane;
  }
  static inline std::atomic<uint32_t> next_{0};
  static inline constinit thread_local uint8_t mine_ = 0;  // and one; 0: it has none yet
};

// What one lane has of a count that ends something with its last reference: the whole, which is counted in one
// place.
//
// States: covered --account()--> accountable, for ever. While somebody else is known to hold the whole, a lane
// counts for itself, and nobody has to hear of it. Before the last of those lets go, all lanes become
// accountable: from then on a lane that counts any holds the whole once, and lets go of it after its last.
class LaneCount {
 public:
  // False: the caller holds the whole first, and then calls hold_with_whole().
  bool try_hold() noexcept {
    uint32_t seen = count_.load(std::memory_order_relaxed);
    while (seen != kAccountable) {
      if (count_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  // False: another was quicker, and the caller lets go of the whole again.
  bool hold_with_whole() noexcept { return count_.fetch_add(1, std::memory_order_relaxed) == kAccountable; }
  // True: that was the last, and the caller lets go of the whole. Where not, it may be gone already.
  bool let_go() noexcept { return count_.fetch_sub(1, std::memory_order_acq_rel) == kAccountable + 1; }
  // Once; the caller has held the whole for this lane. False: the lane counts none, and the caller lets go of
  // that again.
  bool account() noexcept { return count_.fetch_or(kAccountable, std::memory_order_acq_rel) != 0; }

 private:
  static constexpr uint32_t kAccountable = 0x80000000;
  std::atomic<uint32_t> count_{0};
};

}  // namespace blazen
