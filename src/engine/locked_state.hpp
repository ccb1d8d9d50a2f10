// The state of a run, its lock, and the only way in which it changes once others know the run: a tick.
//
// Whoever wants to see every change, to record it, to replay it, or to hold back what follows from it until it is
// stored, has to look nowhere else. What follows from a tick is a value (Commands), and Run::release_effects() is
// where it takes effect.
#pragma once

#include "base/lock.hpp"
#include "run/reduce.hpp"

namespace blazen {

class LockedState {
 public:
  Lock& lock() const noexcept { return lock_; }
  // Under the lock. Without it: what never changes (the id, the workflow, the metadata), and how a run that has
  // ended ended.
  const RunState& read() const noexcept { return state_; }
  // While nobody else knows the run: when it is made, and when it is gone.
  RunState& unshared() noexcept { return state_; }

  // Throws std::bad_alloc, and has changed nothing then.
  void apply(Locked, Tick& tick, Commands& commands) { reduce(state_, tick, commands); }
  // The same for the two kinds that most ticks are, of a run that nobody watches: see reduce.hpp. The first
  // answers false where it is for the one above.
  bool apply(Locked, const Completion& done, Commands& commands) noexcept {
    return reduce_completion(state_, done, commands);
  }
  void apply_dispatch(Locked, int64_t now_ms, Commands& commands) noexcept {
    reduce_dispatch(state_, now_ms, commands);
  }

 private:
  mutable Lock lock_;
  RunState state_;
};

}  // namespace blazen
