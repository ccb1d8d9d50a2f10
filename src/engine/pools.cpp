#include "engine/pools.hpp"

#include <utility>

#include "engine/runtime.hpp"

namespace blazen {

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
  if (!takes || first_ != &seat) return Free::others;
  unlink(seat);
  ++taken_;
  ++seat.taken;
  return Free::own;
}

// One whose last reference is gone is about to leave: nobody takes a permit for it.
PoolSeat* Pool::take_next() noexcept {
  Guard guard(lock_);
  while (is_free()) {
    PoolSeat& seat = *first_;
    unlink(seat);
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
  seat.next = nullptr;
  seat.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &seat;
  last_ = &seat;
}

void Pool::unlink(PoolSeat& seat) noexcept {
  seat.queued = false;
  (seat.previous != nullptr ? seat.previous->next : first_) = seat.next;
  (seat.next != nullptr ? seat.next->previous : last_) = seat.previous;
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
