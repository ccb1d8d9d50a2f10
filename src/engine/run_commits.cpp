// A run whose ticks are recorded: what follows from one waits until it is committed. See commits.hpp.
#include <new>
#include <utility>

#include "base/scope.hpp"
#include "engine/commits.hpp"
#include "engine/run.hpp"

namespace blazen {

HeldEffects::~HeldEffects() {
  Ref<Run>::adopt(run).reset();
  while (notifications.cancelled_calls != nullptr) {
    const Ref<Call> call = Ref<Call>::adopt(notifications.cancelled_calls);
    notifications.cancelled_calls = std::exchange(call->next_cancelled_, nullptr);
  }
}

void Commits::committed(uint64_t number) noexcept { run.release_committed(number); }
void Commits::refused() noexcept { run.cancel("what it did last could not be stored"); }

bool Commits::reserve(bool must_not_fail) noexcept {
  constexpr size_t kForOne = 2;  // a tick, and the one that sets its clock
  while (spare_count_ < 2 * kForOne) {
    std::unique_ptr<HeldEffects> made(new (std::nothrow) HeldEffects);
    if (!made) return must_not_fail && spare_count_ >= kForOne;
    made->next = std::move(spares_);
    spares_ = std::move(made);
    ++spare_count_;
  }
  return true;
}

void Run::record_in(CommitLog& log) {
  auto made = std::make_unique<Commits>(*this, log, status_of(state()));
  if (!made->reserve(false)) throw std::bad_alloc();
  commits_ = std::move(made);
  listeners_.is_observed = true;
}

// Of a tree, its top has all ticks in one row.
[[gnu::cold]] bool Run::reserve_record(Locked, const Tick& tick) noexcept {
  return top().commits_->reserve(tick.kind == Tick::Kind::end ||
                                 (tick.error && tick.error->status == Status::out_of_memory));
}

[[gnu::cold]] RunStatus Run::committed_status() const noexcept { return commits_->seen; }

// Its number. Where the run has another state by it, others will see that.
[[gnu::cold]] void Run::record(Locked, Commands& commands) noexcept {
  Commits& commits = *top().commits_;
  ++commits.number_last;
  const RunStatus now = status_of(top().state());
  if (std::exchange(commits.status_last, now) != now) commands.more = true;
  commits.log.record(commits, commits.number_last);
}

// In the place of release_effects(): what only this process has to know is done now.
[[gnu::cold]] void Run::hold_effects(Locked locked, Commands& commands,
                                     Notifications& notifications) noexcept {
  Commits& commits = *top().commits_;
  const bool settled = commands.settled;
  follow(locked, commands, notifications);
  std::unique_ptr<HeldEffects> entry = commits.take();
  entry->number = commits.number_last;
  entry->run = this;
  retain(static_cast<Object*>(this));
  entry->status = status_of(top().state());
  Commands& shows = entry->shows;
  shows.more = true;
  shows.settled = std::exchange(commands.settled, false);
  shows.unreported = std::exchange(commands.unreported, false);
  if (commands.has_cold()) {
    shows.cold().published = std::move(commands.cold().published);
    shows.cold().lifecycle = std::move(commands.cold().lifecycle);
    commands.cold().published.clear();
    commands.cold().lifecycle.clear();
  }
  entry->notifications.take_callbacks(notifications);
  commits.push(std::move(entry));
  if (std::exchange(commands.clock, false) && life_.started) set_clock(locked, commands, notifications);
  if (settled && has_parent()) tell_parent(locked, notifications);
}

// One thread at a time, so that they come in order; without the lock where the host is called.
void Run::release_committed(uint64_t number) noexcept {
  if (is_inherited()) return;
  const Ref<Run> kept = Ref<Run>::share(this);
  const EngineScope scope(*this);
  {
    Guard guard(lock());
    if (number > commits_->committed_last) commits_->committed_last = number;
    if (std::exchange(commits_->is_releasing, true)) return;
  }
  for (;;) {
    std::unique_ptr<HeldEffects> entry;
    {
      Guard guard(lock());
      if (!commits_->has_committed() || commits_->is_dropped) {
        commits_->is_releasing = false;
        return;
      }
      entry = commits_->pop();
      commits_->seen = entry->status;
      entry->run->show(guard, entry->shows, entry->notifications);
    }
    entry->shows.clear();
    notify(entry->notifications);
    if (is_inherited()) return;
  }
}

// The run is over in this process, and of what is held nobody hears: it has come to nothing.
void Run::drop_effects() noexcept {
  if (is_inherited()) return;
  const EngineScope scope(*this);
  std::unique_ptr<HeldEffects> held;
  Commands end;
  Notifications notifications;
  {
    Guard guard(lock());
    if (commits_->is_dropped.exchange(true)) return;
    while (std::unique_ptr<HeldEffects> entry = commits_->pop()) {
      if (entry->notifications.is_callback_round) --listeners_.callback_rounds;
      entry->next = std::move(held);
      held = std::move(entry);
    }
    if (!life_.ended.load(std::memory_order_relaxed)) {
      commits_->seen = RunStatus::cancelled;
      end.more = end.settled = true;
      show(guard, end, notifications);
    }
  }
  while (held) held = std::move(held->next);
  notify(notifications);
}

}  // namespace blazen
