// One invocation: one delivery of one event to one step, from its routing to its completion; the lists it
// stands in; the pool it comes from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/big_memory.hpp"
#include "run/journal.hpp"
#include "run/workflow.hpp"
#include "value/event.hpp"

namespace blazen {

// Where an invocation stands; reduce.hpp draws the ways between.
enum class Place : uint8_t {
  free,
  ready,
  waiting,
  parked,
  backing_off,
  asking,
  in_flight,
  interrupted,
  interrupted_waiting,
  interrupted_parked,
};

// How long ago a moment was, of which the lower half is known: less than 49 days. One that was rounded up may
// still be to come.
inline uint32_t passed_since(uint32_t began_ms, int64_t now_ms) noexcept {
  constexpr uint32_t kAheadMs = 1000;
  const uint32_t passed_ms = static_cast<uint32_t>(now_ms) - began_ms;
  return passed_ms > UINT32_MAX - kAheadMs ? 0 : passed_ms;
}

// One cache line: a fan-out is as many of these.
struct Invocation {
  Invocation* next = nullptr;
  Invocation* previous = nullptr;
  uint64_t id = 0;  // the idempotency key within the run; given at routing, in that order
  // The order in which invocations in flight were started. Of one that is backing off, which has none: when it is due.
  uint64_t start = 0;
  StepIndex step = 0;
  uint32_t attempt = 1;
  Place place = Place::free;
  bool has_returned = false;  // its body is back, and it completes later
  uint8_t level = 0;          // of the tree that it stands in (invocation_queue.hpp)
  uint32_t began_ms = 0;      // when its body was called, by the lower half of the clock
  Ref<Event> event;
  std::unique_ptr<Journal> journal;  // null until it sends or publishes something while it runs

  // Its key among the timers, while it is backing off.
  int64_t due_ms() const noexcept { return static_cast<int64_t>(start); }
  void set_due_ms(int64_t due_ms) noexcept { start = static_cast<uint64_t>(due_ms); }
};

// In its present execution, to be called again with the answer.
inline bool has_asked(const Invocation& invocation) noexcept {
  return invocation.journal && invocation.journal->has_asked;
}

// Nobody is at work on it: it waits for an answer, in flight.
inline bool is_asking_in_flight(const Invocation& invocation) noexcept {
  return invocation.has_returned && invocation.journal && invocation.journal->called_back != 0;
}

static_assert(sizeof(void*) != 8 || sizeof(Invocation) == 64);

// A doubly linked list through the invocations themselves: nothing to allocate, nothing that can fail.
class InvocationList {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  Invocation* front() const noexcept { return first_; }
  Invocation* back() const noexcept { return last_; }

  void push_back(Invocation* item) noexcept {
    item->next = nullptr;
    item->previous = last_;
    (last_ != nullptr ? last_->next : first_) = item;
    last_ = item;
  }
  // Only where there is one.
  Invocation* pop_front() noexcept {
    Invocation* item = first_;
    first_ = item->next;
    (first_ != nullptr ? first_->previous : last_) = nullptr;
    return item;
  }
  void remove(Invocation* item) noexcept {
    (item->previous != nullptr ? item->previous->next : first_) = item->next;
    (item->next != nullptr ? item->next->previous : last_) = item->previous;
  }
  // In order, until `each` answers false, or throws.
  template <class Each>
  void walk(Each each) const {
    for (Invocation* item = first_; item != nullptr && each(item); item = item->next) continue;
  }
  void append(InvocationList& other) noexcept {
    if (other.empty()) return;
    other.first_->previous = last_;
    (last_ != nullptr ? last_->next : first_) = other.first_;
    last_ = other.last_;
    other = InvocationList{};
  }

 private:
  Invocation* first_ = nullptr;
  Invocation* last_ = nullptr;
};

// Invocations in blocks that grow with the run and are reused in it: routing allocates nothing in the long
// run. The first block is part of the pool, so that a short run allocates none; a run that has ended can
// leave the others to the next.
class InvocationPool {
 public:
  using Block = std::vector<Invocation, BigAllocator<Invocation>>;
  // By its id, the place of the last invocation that each was taken for.
  using Index = std::unordered_map<uint64_t, Invocation*>;
  struct Blocks {
    std::vector<Block> row;
    size_t opened = 0;             // so many of them were taken from
    std::unique_ptr<Index> index;  // null until somebody looks for one
  };

  InvocationPool() noexcept = default;
  InvocationPool(const InvocationPool&) = delete;
  InvocationPool& operator=(const InvocationPool&) = delete;

  // Makes sure that the next `count` takes cannot fail. Throws std::bad_alloc.
  void reserve(size_t count) {
    if (available_ < count) add_block(count - available_);
  }
  size_t available() const noexcept { return available_; }
  // For the invocation of this id. Only after a reserve that covers it.
  Invocation* take(uint64_t id) noexcept {
    Invocation* item = take_any();
    if (indexed_) [[unlikely]]
      index_again(item, id);
    item->id = id;
    return item;
  }
  // The one of this id, of a run that has not ended; null: none is open. Whoever asks first pays for all that there
  // are, and the pool keeps an index from then on. Throws std::bad_alloc.
  Invocation* find(uint64_t id) const;
  // Without event and journal.
  void give(Invocation* item) noexcept {
    item->place = Place::free;
    item->next = free_;
    free_ = item;
    ++available_;
  }

  // A journal that is as new; throws std::bad_alloc. One that was given back costs the next nothing.
  std::unique_ptr<Journal> take_journal() {
    return spare_journal_ ? std::move(spare_journal_) : std::make_unique<Journal>();
  }
  void give_journal(std::unique_ptr<Journal> journal) noexcept {
    if (spare_journal_ || !journal->forget_effects()) return;
    spare_journal_ = std::move(journal);
  }
  // The run rests, and may do so for long.
  void drop_spares() noexcept { spare_journal_.reset(); }

  // The blocks of a run that is gone, for one that has not begun.
  void adopt(std::unique_ptr<Blocks> blocks) noexcept {
    blocks_ = std::move(blocks);
    for (const Block& block : blocks_->row) available_ += static_cast<uint32_t>(block.size());
  }
  // As new: nothing of the host's goes with them, nor where they stood. A run that never started has had no
  // end, and its invocations stand in their queues still.
  std::unique_ptr<Blocks> hand_on() noexcept {
    blocks_->index.reset();
    indexed_ = false;
    for (Invocation* end = unused_; blocks_->opened > 0; --blocks_->opened, end = nullptr) {
      Block& block = blocks_->row[blocks_->opened - 1];
      // Of the last one, those that were taken.
      for (Invocation *item = block.data(), *last = end != nullptr ? end : item + block.size(); item != last;
           ++item)
        *item = Invocation{};
    }
    return std::move(blocks_);
  }
  bool has_blocks() const noexcept { return blocks_ != nullptr; }

 private:
  static constexpr size_t kFirstBlock = 2;
  static constexpr size_t kSecondBlock = 4;
  static constexpr size_t kBlockMax = 4096;

  Invocation* take_any() noexcept {
    --available_;
    if (Invocation* item = free_; item != nullptr) {
      free_ = item->next;
      return item;
    }
    if (unused_ == unused_end_) open_block();
    return unused_++;
  }
  [[gnu::cold]] void index_again(Invocation* item, uint64_t id) noexcept;
  // Of so many at least: a fan-out stands side by side.
  void add_block(size_t least) {
    if (!blocks_) blocks_ = std::make_unique<Blocks>();
    std::vector<Block>& row = blocks_->row;
    const size_t usual = row.empty() ? kSecondBlock : std::min(row.back().size() * 4, kBlockMax);
    const size_t size = std::max(usual, least);
    row.reserve(row.size() + 1);
    row.emplace_back(size);
    available_ += static_cast<uint32_t>(size);
  }
  void open_block() noexcept {
    Block& block = blocks_->row[blocks_->opened++];
    unused_ = block.data();
    unused_end_ = unused_ + block.size();
  }

  Invocation* free_ = nullptr;
  Invocation* unused_ = first_;
  Invocation* unused_end_ = first_ + kFirstBlock;
  // Free ones, and those in blocks that were never taken: there is no memory for 2^32.
  uint32_t available_ = kFirstBlock;
  mutable bool indexed_ = false;    // the blocks have an index
  std::unique_ptr<Blocks> blocks_;  // null until one is needed
  std::unique_ptr<Journal> spare_journal_;
  Invocation first_[kFirstBlock];
};

}  // namespace blazen
