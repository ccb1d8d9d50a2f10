// Steps that may run so many invocations at once, and no more: who of them holds a permit, and who waits for
// one.
//
// Invariants: those that hold a permit and were not started are the ones of the lowest ids of their step;
// they are in the step's `ready`, and the steps that have some are in a heap by the lowest id of each. An
// operation costs the logarithm of the number of invocations, and of the number of such steps.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "run/invocation_queue.hpp"

namespace blazen {

// Of a step with permits.
struct PermitQueues {
  uint32_t place = 0;             // in the heap, counted from 1; 0: it is not there
  uint64_t first_id = 0;          // of ready, while it is there
  InvocationTree<ById> ready;     // those that have one
  InvocationQueue<ById> waiting;  // those without
};

struct StepState {
  uint32_t admitted = 0;  // invocations that hold a permit: ready, in flight or interrupted; while the run
                          // goes on
  uint32_t parked = 0;    // invocations that wait for a host that has the step
  uint32_t permits = 0;   // concurrency_max of its definition, beside the count
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

// The ready ones of all steps that have permits.
class Permitted {
 public:
  // Room for so many steps. Throws std::bad_alloc.
  void make_room(size_t steps) {
    heap_ = std::make_unique<Heap>();
    heap_->at.resize(steps);
  }

  size_t size() const noexcept { return heap_ ? heap_->size : 0; }
  bool empty() const noexcept { return size() == 0; }
  // Of the lowest id; null: there is none.
  [[gnu::noinline]] Invocation* front(const StepStates& steps) const noexcept {
    return empty() ? nullptr : steps[heap_->at[0]].queues->ready.first();
  }
  [[gnu::noinline]] void add(StepStates& steps, Invocation* item) noexcept {
    PermitQueues& step = *steps[item->step].queues;
    const bool is_first = step.ready.empty() || item->id < step.first_id;
    step.ready.insert(item);
    ++heap_->size;
    if (!is_first) return;
    step.first_id = item->id;
    if (step.place == 0) {
      heap_->at[heap_->steps] = item->step;
      step.place = ++heap_->steps;
    }
    rise(steps, step.place - 1);
  }
  [[gnu::noinline]] void remove(StepStates& steps, Invocation* item) noexcept {
    PermitQueues& step = *steps[item->step].queues;
    step.ready.remove(item);
    --heap_->size;
    if (item->id != step.first_id) return;
    const uint32_t at = step.place - 1;
    if (const Invocation* first = step.ready.first()) {
      step.first_id = first->id;
    } else {
      step.place = 0;
      if (at == --heap_->steps) return;
      put(steps, at, heap_->at[heap_->steps]);
      rise(steps, at);
    }
    sink(steps, at);
  }
  // All of them, at once: the steps are told one by one.
  void forget() noexcept {
    if (!heap_) return;
    heap_->size = 0;
    heap_->steps = 0;
  }

 private:
  uint64_t first_at(const StepStates& steps, uint32_t at) const noexcept {
    return steps[heap_->at[at]].queues->first_id;
  }
  void put(StepStates& steps, uint32_t at, StepIndex step) noexcept {
    heap_->at[at] = step;
    steps[step].queues->place = at + 1;
  }
  void swap(StepStates& steps, uint32_t a, uint32_t b) noexcept {
    const StepIndex moved = heap_->at[a];
    put(steps, a, heap_->at[b]);
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
        if (child < heap_->steps && first_at(steps, child) < first_at(steps, least)) least = child;
      }
      if (least == at) return;
      swap(steps, at, least);
      at = least;
    }
  }

  struct Heap {
    std::vector<StepIndex> at;  // room for all steps
    uint32_t steps = 0;         // so many are in it
    uint64_t size = 0;          // so many invocations
  };
  std::unique_ptr<Heap> heap_;  // null: no step has permits
};

}  // namespace blazen
