// The one short lock of a run or a queue, and the sleep beside it. In a build without threads both are empty.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#ifndef BLAZEN_NO_THREADS
#include <atomic>
#include <condition_variable>
#include <mutex>
#endif

#include "base/locks_held.hpp"

namespace blazen {

#ifdef BLAZEN_NO_THREADS

inline constexpr bool kThreads = false;

class Lock {
 public:
  void lock() noexcept { note_lock(1); }
  void unlock() noexcept { note_lock(-1U); }
};

#else

inline constexpr bool kThreads = true;

// One atomic write to take it and one to let it go, both inline: nearly every lock here is free when it is
// wanted. Whoever finds it taken says so, and sleeps.
class Lock {
 public:
  Lock() noexcept = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() noexcept {
    uint32_t free = kFree;
    if (!state_.compare_exchange_strong(free, kTaken, std::memory_order_acquire, std::memory_order_relaxed))
      lock_taken();
    note_lock(1);
  }
  // The lock may be gone as soon as it is free: after the write, only its address is used.
  void unlock() noexcept {
    note_lock(-1U);
    if (state_.exchange(kFree, std::memory_order_release) == kContended) wake();
  }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kTaken = 1;
  static constexpr uint32_t kContended = 2;  // taken, and somebody may sleep until it is free

  void lock_taken() noexcept;
  void wake() noexcept;

  std::atomic<uint32_t> state_{kFree};
};

#endif

// Proof that the caller holds the lock that a function needs: only who has one can call it. Empty, so that it
// costs nothing to hand on.
class Locked {
 private:
  friend class Guard;
  Locked() noexcept = default;
};

class Guard {
 public:
  explicit Guard(Lock& lock) noexcept : lock_(lock) { lock_.lock(); }
  // NOLINTNEXTLINE(google-explicit-constructor): whoever has the guard has the proof
  operator Locked() const noexcept {
    check_held();
    return {};
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    if (held_) lock_.unlock();
  }
  void lock() noexcept {
    lock_.lock();
    held_ = true;
  }
  void unlock() noexcept {
    held_ = false;
    lock_.unlock();
  }

 private:
  void check_held() const noexcept {
#ifdef BLAZEN_INVARIANTS
    if (!held_) std::abort();
#endif
  }

  Lock& lock_;
  bool held_ = true;
};

// While it lives, the lock of a guard is free.
class Unlocked {
 public:
  explicit Unlocked(Guard& guard) noexcept : guard_(guard) { guard_.unlock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() { guard_.lock(); }

 private:
  Guard& guard_;
};

#ifdef BLAZEN_NO_THREADS

// Nobody else could wake us: a sleep ends at once, as if its deadline had passed.
class Condition {
 public:
  bool wait(Guard&, int64_t) noexcept { return false; }
  void wake_one() noexcept {}
  void wake_all() noexcept {}
};

#else

// Its own mutex is taken after the Lock that goes with it, so that whoever changes something under that Lock
// wakes only those who sleep already.
class Condition {
 public:
  // Sleeps until woken or until deadline_ms of the steady clock (negative: none), a day at the most. False
  // when the deadline has passed.
  bool wait(Guard& guard, int64_t deadline_ms);
  void wake_one() noexcept;
  void wake_all() noexcept;

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
};

#endif

// One that takes memory only while somebody sleeps on it: mostly, nobody does. Used under the Lock that goes with it.
class LazyCondition {
 public:
  LazyCondition() noexcept = default;
  LazyCondition(const LazyCondition&) = delete;
  LazyCondition& operator=(const LazyCondition&) = delete;
  ~LazyCondition() { let_go(); }
  bool wait(Guard& guard, int64_t deadline_ms) { return get().wait(guard, deadline_ms); }
  // Nobody sleeps where nobody ever has.
  void wake_all() noexcept {
    if (used_ != nullptr) used_->wake_all();
  }
  // Nobody sleeps any more.
  void let_go() noexcept {
    if (used_ != nullptr && used_ != &shared()) delete used_;
    used_ = nullptr;
  }

 private:
  // Without memory, it shares one with others in the same need: who sleeps looks again when woken.
  static Condition& shared() noexcept {
    static Condition condition;
    return condition;
  }
  Condition& get() noexcept {
    if (used_ == nullptr) used_ = new (std::nothrow) Condition;
    if (used_ == nullptr) used_ = &shared();
    return *used_;
  }

  Condition* used_ = nullptr;  // its own, or the shared one
};

}  // namespace blazen
