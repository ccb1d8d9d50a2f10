// One invocation: one delivery of one event to one step, from its routing to its completion; the lists it stands in; the
// pool it comes from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "run/workflow.hpp"
#include "value/event.hpp"

namespace blazen {

// Where an invocation stands; reduce.hpp draws the ways between.
enum class Place : uint8_t { free, ready, waiting, parked, in_flight, interrupted, interrupted_parked };

struct Invocation {
  Invocation* next = nullptr;
  Invocation* previous = nullptr;
  uint64_t id = 0;     // the idempotency key within the run; given at routing, in that order
  uint64_t start = 0;  // the order in which invocations in flight were started
  StepIndex step = 0;
  uint32_t attempt = 1;
  Place place = Place::free;
  Ref<Event> event;
  // A digest of each thing it has sent or published so far, in order; and how many of them this execution has repeated.
  std::vector<uint64_t> effects;
  size_t effects_repeated = 0;
};

// A doubly linked list through the invocations themselves: nothing to allocate, nothing that can fail.
class InvocationList {
 public:
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  Invocation* front() const noexcept { return first_; }
  Invocation* back() const noexcept { return last_; }

  void push_back(Invocation* item) noexcept { insert_after(last_, item); }
  // Keeps ids ascending; quick where item belongs near the end.
  void insert_by_id(Invocation* item) noexcept {
    Invocation* before = last_;
    while (before != nullptr && before->id > item->id) before = before->previous;
    insert_after(before, item);
  }
  void remove(Invocation* item) noexcept {
    (item->previous != nullptr ? item->previous->next : first_) = item->next;
    (item->next != nullptr ? item->next->previous : last_) = item->previous;
    --size_;
  }
  void append(InvocationList& other) noexcept {
    if (other.empty()) return;
    other.first_->previous = last_;
    (last_ != nullptr ? last_->next : first_) = other.first_;
    last_ = other.last_;
    size_ += other.size_;
    other = InvocationList{};
  }

 private:
  void insert_after(Invocation* before, Invocation* item) noexcept {
    item->previous = before;
    item->next = before != nullptr ? before->next : first_;
    (item->next != nullptr ? item->next->previous : last_) = item;
    (before != nullptr ? before->next : first_) = item;
    ++size_;
  }

  Invocation* first_ = nullptr;
  Invocation* last_ = nullptr;
  size_t size_ = 0;
};

// Invocations in blocks that grow with the run and are reused in it: routing allocates nothing in the long run.
class InvocationPool {
 public:
  // Makes sure that the next `count` takes cannot fail. Throws std::bad_alloc.
  void reserve(size_t count) {
    while (free_count_ < count) add_block();
  }
  // Only after a reserve that covers it.
  Invocation* take() noexcept {
    Invocation* item = free_;
    free_ = item->next;
    --free_count_;
    return item;
  }
  void give(Invocation* item) noexcept {
    item->place = Place::free;
    item->attempt = 1;
    item->effects_repeated = 0;
    if (item->effects.capacity() != 0) std::vector<uint64_t>().swap(item->effects);
    item->next = free_;
    free_ = item;
    ++free_count_;
  }

 private:
  static constexpr size_t kFirstBlock = 8;
  static constexpr size_t kBlockMax = 4096;

  void add_block() {
    const size_t count = block_size_;
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back(std::make_unique<Invocation[]>(count));
    for (size_t i = count; i > 0; --i) give(&blocks_.back()[i - 1]);
    if (block_size_ < kBlockMax) block_size_ *= 4;
  }

  Invocation* free_ = nullptr;
  size_t free_count_ = 0;
  size_t block_size_ = kFirstBlock;
  std::vector<std::unique_ptr<Invocation[]>> blocks_;
};

}  // namespace blazen
