#include "engine/pools.hpp"

#include <utility>

#include "engine/runtime.hpp"

namespace blazen {
namespace {

// Of what has next and previous, as what has first and last.
template <class List, class Item>
void append(List& list, Item& item) noexcept {
  item.next = nullptr;
  item.previous = list.last;
  (list.last != nullptr ? list.last->next : list.first) = &item;
  list.last = &item;
}

template <class List, class Item>
void remove(List& list, Item& item) noexcept {
  (item.previous != nullptr ? item.previous->next : list.first) = item.next;
  (item.next != nullptr ? item.next->previous : list.last) = item.previous;
}

}  // namespace

bool Pool::set(uint32_t permits) noexcept {
  Guard guard(lock_);
  permits_ = permits;
  return is_free();
}

Pool::Free Pool::settle(PoolSeat& seat, uint32_t has, uint64_t wants, bool takes) noexcept {
  Guard guard(lock_);
  taken_ -= seat.taken - has;  // a run gets no permit but by a grant
  seat.taken = has;
  const bool waits = wants > seat.coming;
  if (waits && !seat.queued) push_back(seat);
  if (!waits && seat.queued) unlink(seat);
  if (!is_free()) return Free::none;
  if (!takes || queue_.first->first != &seat) return Free::others;
  take_turn(seat);
  ++taken_;
  ++seat.taken;
  return Free::own;
}

// One whose last reference is gone is about to leave: nobody takes a permit for it.
PoolSeat* Pool::take_next() noexcept {
  Guard guard(lock_);
  while (is_free()) {
    PoolSeat& seat = *queue_.first->first;
    take_turn(seat);
    if (!seat.run->try_keep()) continue;
    ++taken_;
    ++seat.coming;
    return &seat;
  }
  return nullptr;
}

void Pool::arrived(PoolSeat& seat) noexcept {
  Guard guard(lock_);
  --seat.coming;
  ++seat.taken;
}

void Pool::leave(PoolSeat& seat) noexcept {
  Guard guard(lock_);
  if (seat.queued) unlink(seat);
  taken_ -= seat.taken;
}

void Pool::push_back(PoolSeat& seat) noexcept {
  seat.queued = true;
  if (seat.queuer->first == nullptr) append(queue_, *seat.queuer);
  append(*seat.queuer, seat);
}

void Pool::unlink(PoolSeat& seat) noexcept {
  seat.queued = false;
  remove(*seat.queuer, seat);
  if (seat.queuer->first == nullptr) remove(queue_, *seat.queuer);
}

// It leaves the queue, and others of its tree come after those of others.
void Pool::take_turn(PoolSeat& seat) noexcept {
  unlink(seat);
  if (seat.queuer->first == nullptr) return;
  remove(queue_, *seat.queuer);
  append(queue_, *seat.queuer);
}

Pool* Pools::find(std::string_view name) noexcept {
  Guard guard(lock_);
  const auto found = pools_.find(name);
  return found == pools_.end() ? nullptr : &found->second;
}

Pool* Pools::next(const Pool* pool) noexcept {
  Guard guard(lock_);
  const auto at = pool == nullptr ? pools_.begin() : pools_.upper_bound(pool->name);
  return at == pools_.end() ? nullptr : &at->second;
}

Pool& Pools::get(std::string_view name) {
  Guard guard(lock_);
  const auto [at, is_new] = pools_.try_emplace(std::string(name));
  if (is_new) at->second.name = at->first;  // which stays where it is
  return at->second;
}

}  // namespace blazen
