// Steps that may run so many invocations at once, and no more: who of them holds a permit, and who waits for
// one. And steps that use a pool: a body of theirs runs only with a permit of the pool, beside the step's own.
//
// Invariants: those that hold a permit and were not started are the ones of the lowest ids of their step;
// they are in the step's `ready`, and the steps that have some are in a heap by the lowest id of each: that of
// their pool, or that of the steps without one. An operation costs the logarithm of the number of invocations,
// and of the number of such steps; to find the next one costs the number of pools that the workflow uses, which kPoolsMax
// bounds.
//
// A pool belongs to the runtime, and so does the queue of the runs that wait for it; here is what the run has of
// it: the permits that it was granted, and the bodies that use one. It has no more granted ones than it has
// invocations that wait for them, and none while it starts nothing: what is too many is gone by the end of the tick,
// and whoever made the tick gives it back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "run/invocation_queue.hpp"

namespace blazen {

// Of a step with permits, or with a pool.
struct PermitQueues {
  PoolIndex pool = kNoPool;
  uint32_t place = 0;             // in the heap, counted from 1; 0: it is not there
  uint64_t first_id = 0;          // of ready, while it is there
  InvocationTree<ById> ready;     // those that have one
  InvocationQueue<ById> waiting;  // those without
};

struct StepState {
  uint32_t admitted = 0;  // invocations that hold a permit: ready, in flight or interrupted; while the run
                          // goes on
  uint32_t parked = 0;    // invocations that wait for a host that has the step
  // concurrency_max of its definition, beside the count; UINT32_MAX: it needs none of its own, but uses a pool.
  uint32_t permits = 0;
  // Permits that bodies have whose attempts are over, and which are still at work. They exist in this process
  // alone: not stored.
  uint32_t abandoned = 0;
  std::unique_ptr<PermitQueues> queues;  // null: the step needs no permits
};

// One for each step, and nothing beside them: whoever makes an array of them with `new` pays for its length too.
class StepStates {
 public:
  StepStates() noexcept = default;
  StepStates(const StepStates&) = delete;
  StepStates& operator=(const StepStates&) = delete;
  ~StepStates() {
    std::destroy(begin(), end());
    ::operator delete(steps_);
  }
  // Once. Throws std::bad_alloc.
  void make(size_t count) {
    steps_ = static_cast<StepState*>(::operator new(count * sizeof(StepState)));
    std::uninitialized_value_construct_n(steps_, count);
    count_ = static_cast<uint32_t>(count);
  }
  size_t size() const noexcept { return count_; }
  const StepState* data() const noexcept { return steps_; }
  StepState& operator[](size_t step) noexcept { return steps_[step]; }
  const StepState& operator[](size_t step) const noexcept { return steps_[step]; }
  StepState* begin() noexcept { return steps_; }
  StepState* end() noexcept { return steps_ + count_; }
  const StepState* begin() const noexcept { return steps_; }
  const StepState* end() const noexcept { return steps_ + count_; }

 private:
  StepState* steps_ = nullptr;
  uint32_t count_ = 0;
};

// The ready ones of some steps.
class PermitHeap {
 public:
  // Room for so many steps. Throws std::bad_alloc.
  void make_room(size_t steps) { at_.resize(steps); }

  uint64_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  // Of the lowest id; null: there is none.
  Invocation* front(const StepStates& steps) const noexcept {
    return empty() ? nullptr : steps[at_[0]].queues->ready.first();
  }
  void add(StepStates& steps, Invocation* item) noexcept {
    PermitQueues& step = *steps[item->step].queues;
    const bool is_first = step.ready.empty() || item->id < step.first_id;
    step.ready.insert(item);
    ++size_;
    if (!is_first) return;
    step.first_id = item->id;
    if (step.place == 0) {
      at_[steps_] = item->step;
      step.place = ++steps_;
    }
    rise(steps, step.place - 1);
  }
  void remove(StepStates& steps, Invocation* item) noexcept {
    PermitQueues& step = *steps[item->step].queues;
    step.ready.remove(item);
    --size_;
    if (item->id != step.first_id) return;
    const uint32_t at = step.place - 1;
    if (const Invocation* first = step.ready.first()) {
      step.first_id = first->id;
    } else {
      step.place = 0;
      if (at == --steps_) return;
      put(steps, at, at_[steps_]);
      rise(steps, at);
    }
    sink(steps, at);
  }
  // All of them, at once: the steps are told one by one.
  void forget() noexcept {
    size_ = 0;
    steps_ = 0;
  }

 private:
  uint64_t first_at(const StepStates& steps, uint32_t at) const noexcept {
    return steps[at_[at]].queues->first_id;
  }
  void put(StepStates& steps, uint32_t at, StepIndex step) noexcept {
    at_[at] = step;
    steps[step].queues->place = at + 1;
  }
  void swap(StepStates& steps, uint32_t a, uint32_t b) noexcept {
    const StepIndex moved = at_[a];
    put(steps, a, at_[b]);
    put(steps, b, moved);
  }
  void rise(StepStates& steps, uint32_t at) noexcept {
    for (; at > 0 && first_at(steps, at) < first_at(steps, (at - 1) / 2); at = (at - 1) / 2)
      swap(steps, at, (at - 1) / 2);
  }
  void sink(StepStates& steps, uint32_t at) noexcept {
    for (;;) {
      uint32_t least = at;
      for (const uint32_t child : {at * 2 + 1, at * 2 + 2}) {
        if (child < steps_ && first_at(steps, child) < first_at(steps, least)) least = child;
      }
      if (least == at) return;
      swap(steps, at, least);
      at = least;
    }
  }

  std::vector<StepIndex> at_;  // room for all steps
  uint32_t steps_ = 0;         // so many are in it
  uint64_t size_ = 0;          // so many invocations
};

// What a run has to do with one pool.
struct PoolState {
  PermitHeap ready;  // of its steps; they have the permit of their step, where it has any
  // The same, in flight in the snapshot that this run comes from.
  InvocationQueue<ByStart> interrupted;
  uint32_t granted = 0;  // permits that the run has, and nobody uses
  uint32_t used = 0;     // permits that bodies have, abandoned ones too
  // So many would use a permit.
  uint64_t wanted() const noexcept { return ready.size() + interrupted.size(); }
};

// The ready ones of all steps that have permits, and what the run has of pools.
class Permitted {
 public:
  // Room for so many steps without a pool; of pools, each its own. Throws std::bad_alloc.
  void make_room(size_t steps, size_t pools) {
    contents_ = std::make_unique<Contents>();
    contents_->plain.make_room(steps);
    contents_->pools = std::vector<PoolState>(pools);
  }

  // Whether some step has permits, or uses a pool.
  bool any() const noexcept { return contents_ != nullptr; }
  // How many could start now.
  size_t size() const noexcept { return contents_ ? contents_->plain.size() + contents_->granted : 0; }
  // Of the lowest id, among steps without a pool; null: there is none.
  [[gnu::noinline]] Invocation* front(const StepStates& steps) const noexcept {
    return contents_ ? contents_->plain.front(steps) : nullptr;
  }
  [[gnu::noinline]] void add(StepStates& steps, Invocation* item) noexcept {
    heap_of(*steps[item->step].queues).add(steps, item);
  }
  [[gnu::noinline]] void remove(StepStates& steps, Invocation* item) noexcept {
    heap_of(*steps[item->step].queues).remove(steps, item);
  }
  // All of them, at once: the steps are told one by one.
  void forget() noexcept {
    if (!contents_) return;
    contents_->plain.forget();
    for (PoolState& pool : contents_->pools) {
      pool.ready.forget();
      pool.granted = 0;
    }
    contents_->granted = 0;
  }

  bool has_pools() const noexcept { return contents_ && !contents_->pools.empty(); }
  // By their numbers; empty: no step uses any.
  std::span<PoolState> pools() noexcept {
    return contents_ ? std::span(contents_->pools) : std::span<PoolState>();
  }
  std::span<const PoolState> pools() const noexcept {
    return contents_ ? std::span<const PoolState>(contents_->pools) : std::span<const PoolState>();
  }
  // Of all pools.
  uint64_t granted() const noexcept { return contents_ ? contents_->granted : 0; }
  // The run gets a permit of this pool.
  void grant(PoolState& pool) noexcept {
    ++pool.granted;
    ++contents_->granted;
  }
  // It has so many too many.
  void take_back(PoolState& pool, uint32_t count) noexcept {
    pool.granted -= count;
    contents_->granted -= count;
  }
  // A body uses one.
  void use(PoolState& pool) noexcept {
    take_back(pool, 1);
    ++pool.used;
  }

 private:
  struct Contents {
    PermitHeap plain;  // of steps without a pool
    std::vector<PoolState> pools;
    uint64_t granted = 0;
  };
  PermitHeap& heap_of(const PermitQueues& step) noexcept {
    return step.pool == kNoPool ? contents_->plain : contents_->pools[step.pool].ready;
  }

  std::unique_ptr<Contents> contents_;  // null: no step has permits
};

}  // namespace blazen
