// What a run has to do with the pools of its runtime: its seats there, and what follows for them from a tick. See pools.hpp.
#include <memory>
#include <string>
#include <utility>

#include "base/quotes.hpp"
#include "engine/run.hpp"
#include "engine/transaction.hpp"

namespace blazen {

namespace {

Ref<Error> pool_not_set(std::string_view step, std::string_view pool) {
  return Error::make(Status::not_found,
                     "step " + in_quotes(step) + " uses pool " + in_quotes(pool) +
                         ", which was not set: blazen_runtime_set_pool says how many permits it has");
}

}  // namespace

// While nobody else knows the run. Throws std::bad_alloc.
Ref<Error> Run::take_seats() {
  const std::vector<PoolUse>& pools = workflow().pools();
  auto seats = std::make_unique<PoolSeat[]>(pools.size());
  for (PoolIndex place = 0; place < pools.size(); ++place) {
    Pool* const pool = runtime_->find_pool(pools[place].name);
    if (pool == nullptr)
      return pool_not_set(workflow().steps()[pools[place].first_step].name, pools[place].name);
    seats[place].pool = pool;
    seats[place].run = this;
    seats[place].place = place;
    seats[place].queuer = is_child() ? &queuer_of_tree(*pool) : &seats[place].alone;
  }
  seats_ = std::move(seats);
  if (is_child()) top().family()->has_seats = true;
  listeners_.is_observed = true;
  return nullptr;
}

// That of the top, where it has one, so that those inside it stand with it. Throws std::bad_alloc.
PoolQueuer& Run::queuer_of_tree(const Pool& pool) {
  Run& top = this->top();
  for (size_t i = 0; top.seats_ && i < top.workflow().pools().size(); ++i) {
    if (top.seats_[i].pool == &pool) return top.seats_[i].alone;
  }
  return top.family()->queuers[&pool];
}

// Throws std::bad_alloc.
Ref<Error> Run::check_inner_pools() const {
  for (const Workflow::InnerPool& inner : workflow().inner_pools()) {
    if (runtime_->find_pool(inner.pool) == nullptr) return pool_not_set(inner.step, inner.pool);
  }
  return nullptr;
}

void Run::leave_seats() noexcept {
  for (PoolIndex place = 0; place < workflow().pools().size(); ++place)
    seats_[place].pool->leave(seats_[place]);
}

// What the run has of each pool after a tick, and what it wants. dispatches: the first permit that it gets goes to a body
// at once, and this thread calls it.
[[gnu::cold]] void Run::settle_pools(Locked locked, bool dispatches, Commands& commands,
                                     Notifications& notifications) noexcept {
  if (!life_.started) return;  // it waits for nothing yet
  for (PoolIndex place = 0; place < workflow().pools().size(); ++place) {
    PoolSeat& seat = seats_[place];
    const auto settle = [&] {
      return settle_seat(locked, seat, wanted_of(state(), place), true, notifications);
    };
    while (settle() == Pool::Free::own) {
      if (!apply_grant(locked, seat, dispatches && commands.start == nullptr, commands, notifications)) break;
    }
  }
}

// The same, for who has no place for what a tick leaves to be done: the run gets its permits as others do.
[[gnu::cold]] void Run::ask_pools(Locked locked, Notifications& notifications) noexcept {
  if (!life_.started) return;
  for (PoolIndex place = 0; place < workflow().pools().size(); ++place)
    settle_seat(locked, seats_[place], wanted_of(state(), place), false, notifications);
}

Pool::Free Run::settle_seat(Locked, PoolSeat& seat, uint64_t wants, bool takes,
                            Notifications& notifications) noexcept {
  const PoolState& its = state().permitted.pools()[seat.place];
  const uint32_t has = its.granted + its.used;
  if (has == seat.taken && wants == seat.wants) return Pool::Free::none;  // the pool knows
  seat.wants = wants;
  const Pool::Free free = seat.pool->settle(seat, has, wants, takes);
  if (free == Pool::Free::others) {
    notifications.hands_all_out |= notifications.hands_out != nullptr && notifications.hands_out != seat.pool;
    notifications.hands_out = seat.pool;
    notifications.more = true;
  }
  return free;
}

// False: there is no memory. The permit is free then, and the run asks for it again in a while.
bool Run::apply_grant(Locked locked, PoolSeat& seat, bool dispatches, Commands& commands,
                      Notifications& notifications) noexcept {
  Tick grant{Tick::Kind::grant, dispatches};
  grant.pool = seat.place;
  grant.now_ms = dispatch_ms();
  if (apply_tick(locked, grant, commands, notifications)) return true;
  constexpr int64_t kOnceMoreMs = 100;
  settle_seat(locked, seat, 0, false, notifications);
  arm(locked, now_ms() + kOnceMoreMs, notifications);
  notifications.more = true;
  return false;
}

// From the queue of the pool. Whoever hands out looks for more after it.
void Run::grant(PoolSeat& seat) noexcept {
  Transaction transaction(*this);
  const Locked locked = transaction.locked();
  seat.pool->arrived(seat);
  if (apply_grant(locked, seat, false, transaction.commands, transaction.notifications))
    settle_pools(locked, false, transaction.commands, transaction.notifications);
  offer(locked, transaction.notifications);
  if (transaction.notifications.hands_out == seat.pool) transaction.notifications.hands_out = nullptr;
  transaction.leave();
}

// Without the lock.
void Run::hand_out(Notifications& notifications) noexcept {
  Pool* const pool = std::exchange(notifications.hands_out, nullptr);
  if (!std::exchange(notifications.hands_all_out, false)) return runtime_->hand_out(*pool);
  runtime_->hand_all_out();
}

}  // namespace blazen
