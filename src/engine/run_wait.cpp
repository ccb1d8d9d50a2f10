// Waiting for a run: a thread that waits works on it meanwhile, where it may.
#include <algorithm>
#include <new>
#include <utility>

#include "base/scope.hpp"
#include "base/steady.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "run/summary.hpp"

namespace blazen {

bool Run::helps(int64_t timeout_ms) const noexcept {
  switch (runtime_->executor().helping()) {
    case Helping::never: return false;
    case Helping::without_deadline: return timeout_ms < 0;
    case Helping::always: return timeout_ms != 0;
  }
  return false;
}

bool Run::wait_until(Guard& guard, int64_t timeout_ms, bool can_come_early,
                     const std::function<bool(Locked)>& done) {
  const int64_t deadline_ms = timeout_ms < 0 ? -1 : deadline_after(timeout_ms);
  const uint64_t steps_max = timeout_ms < 0 && !can_come_early ? 0 : 1;
  bool may_tell = timeout_ms < 0;
  LeftLying left_lying;
  while (!done(guard)) {
    if (timeout_ms == 0) return false;
    const bool help = helps(timeout_ms);
    if (help && takes_next(guard, left_lying)) {
      guard.unlock();
      work_as(bodies_.shares_work && !left_lying.is_taken ? Worker::waiter : Worker::anybody, Hand::guest,
              left_lying.is_taken ? 1 : steps_max);
      if (is_inherited()) return false;
      guard.lock();
      left_lying = {};
    } else if (timeout_ms < 0 && rests_in_pause(guard)) {
      if (!sleep_in_pause(guard, may_tell)) return false;
    } else if (help && waits_for_others(guard) && helps_others(guard)) {
      if (is_inherited()) return false;
    } else if (!sleep(guard, help, left_lying.id != 0 ? left_lying.until_ms : deadline_ms)) {
      return !is_inherited() && done(guard);
    }
    if (timeout_ms > 0 && !done(guard) && steady_ms() >= deadline_ms) return false;
  }
  return true;
}

// Whether a thread that waits starts the next invocation itself. Where others can, it leaves to them what may
// take long, unless none of them has come in a while: then they may all be waiting for this one.
bool Run::takes_next(Locked locked, LeftLying& left_lying) noexcept {
  const Run* run = life_.started ? next_of_tree(locked) : nullptr;
  const Invocation* next = run == nullptr ? nullptr : next_startable(run->state());
  bodies_.helpers_know = next != nullptr;
  if (next == nullptr) {
    left_lying = {};
    return false;
  }
  if (!bodies_.shares_work || run->workflow().is_quick(next->step)) return true;
  if (left_lying.id != next->id) {
    constexpr int64_t kLongMs = 1000;
    left_lying = {next->id, deadline_after(kLongMs), false};
    return false;
  }
  return left_lying.is_taken = steady_ms() >= left_lying.until_ms;
}

// For a permit that bodies of other runs have. In a pump, this may be the only thread that would call them.
bool Run::waits_for_others(Locked) const noexcept {
  return seats_ != nullptr && life_.started && runtime_->executor().helping() == Helping::always &&
         starts_steps(state()) && waits_for_pool(state());
}

// False: there is nothing to do.
bool Run::helps_others(Guard& guard) noexcept {
  const Unlocked others(guard);
  return runtime_->executor().poll(1) != 0;
}

void Run::wake_waiters() noexcept {
  Guard guard(lock());
  waiting_.changed.wake_all();
}

// Until something has changed, something is due, or the deadline. Who helps tells the time too, where no
// thread of the runtime does. False: nobody could ever end this sleep.
bool Run::sleep(Guard& guard, bool help, int64_t deadline_ms) {
  int64_t until_ms = deadline_ms;
  bool is_due = false;
  const bool tells_time = help && !runtime_->has_timekeeper();
  if (help && waits_for_others(guard)) {  // and nobody tells this thread of what they have to do
    constexpr int64_t kLookMs = 10;
    const int64_t look_ms = deadline_after(kLookMs);
    if (until_ms < 0 || look_ms < until_ms) until_ms = look_ms;
  }
  Runtime::Sleeper sleeper(runtime(), *this);
  if (tells_time) {
    sleeper.list();
    Clock& clock = runtime_->clock();
    const int64_t due_ms = runtime_->next_due();
    const int64_t left_ms = due_ms == INT64_MAX ? INT64_MAX : due_ms - clock.now_ms();
    is_due = left_ms <= 0;
    if (!is_due && clock.is_hosts() &&
        (has_timers(state()) || !state().deadlines.empty() || first_due_below(guard) != INT64_MAX) &&
        tree_startable(guard) == 0 && tree_busy(guard) == 0 && bodies_.at_work == nullptr)
      return false;
    if (!is_due && !clock.is_hosts() && left_ms != INT64_MAX) {
      const int64_t wake_ms = add_ms(steady_ms(), left_ms);
      if (until_ms < 0 || wake_ms < until_ms) until_ms = wake_ms;
    }
  }
  if (!is_due) {
    ++waiting_.sleepers;
    waiting_.helpers += help ? 1 : 0;
    const bool may_come = waiting_.changed.wait(guard, until_ms);
    waiting_.helpers -= help ? 1 : 0;
    waiting_.woke();
    if (!kThreads && !may_come) return false;
  }
  if (tells_time) {
    guard.unlock();
    runtime_->tell_time();
    if (is_inherited()) return false;
    guard.lock();
  }
  return true;
}

// Whether this pause is for the outside alone to end: no body is at work, and none has a time-out.
bool Run::rests_in_pause(Locked locked) const noexcept {
  if (status_of(state()) != RunStatus::paused) return false;
  for (const AtWork* worker = bodies_.at_work; worker != nullptr; worker = worker->next) {
    if (worker->call != nullptr && worker->call->invocation_ != nullptr) return false;
  }
  if (first_due_below(locked) != INT64_MAX) return false;
  return !bodies_.has_timeouts || next_step_due(locked) == INT64_MAX;
}

// Until another thread ends the pause. When that takes long, the log hears of it, once; in a pump, whose host
// may have no other thread, the wait comes back instead. False: it does.
bool Run::sleep_in_pause(Guard& guard, bool& may_tell) {
  constexpr int64_t kLongMs = 1000;
  if (!kThreads) return false;
  ++waiting_.sleepers;
  const bool is_woken = waiting_.changed.wait(guard, may_tell ? deadline_after(kLongMs) : -1);
  waiting_.woke();
  if (is_woken || !rests_in_pause(guard)) return true;
  if (runtime_->executor().helping() == Helping::always) return false;
  may_tell = false;
  guard.unlock();
  {
    const EngineScope scope(*this);
    tell_log(LogLevel::warning, "a wait without a deadline sleeps on a run that is paused",
             "; blazen_run_resume_in_place lets it go on");
  }
  guard.lock();
  return true;
}

Result<RunStatus> Run::wait(uint32_t until, int64_t timeout_ms) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  Guard guard(lock());
  if (wait_until(guard, timeout_ms, false,
                 [this, until](Locked locked) { return is_reached(locked, until); }))
    return seen_status(guard);
  if (is_inherited()) return forked_here();
  const std::string_view why = why_too_late(guard);
  if (timeout_ms == 0) return Error::make(Status::timeout, why);
  const std::string open = summarize(state());
  const RunDescription description = this->description(guard);
  guard.unlock();
  Ref<Error> error = Error::make(Status::timeout, std::string(why) + "; open: " + open);
  return description.added_to(std::move(error), workflow());
}

// Under the lock: of a wait that has come to nothing.
std::string_view Run::why_too_late(Locked) const noexcept {
  if (life_.started && status_of(state()) == RunStatus::paused)
    return "the run is paused, and has not come to what was waited for: blazen_run_resume_in_place lets it "
           "go on";
  return "the deadline passed before the run came to what was waited for";
}

bool Run::is_reached(Locked locked, uint32_t until) const noexcept {
  return is_seen_ended(locked) ||
         (life_.started && ((until >> static_cast<uint32_t>(seen_status(locked))) & 1) != 0);
}

Ref<Error> Run::wait_ended_or_stuck() {
  if (helps(-1)) work_as(bodies_.shares_work ? Worker::waiter : Worker::anybody, Hand::guest, 0);
  if (is_inherited()) return forked_here();
  Guard guard(lock());
  const auto is_over = [this](Locked locked) {
    const RunStatus now = seen_status(locked);
    return now == RunStatus::paused ? rests_in_pause(locked) : now != RunStatus::running;
  };
  if (!wait_until(guard, -1, false, is_over)) {
    if (is_inherited()) return forked_here();
    return Error::make(Status::timeout,
                       "a step is pending, and nobody in this library could complete it meanwhile");
  }
  if (is_seen_ended(guard)) return nullptr;
  switch (seen_status(guard)) {
    case RunStatus::elsewhere:
      return Error::make(Status::wrong_state,
                         "the run waits for a step elsewhere: such a run wants a handle");
    case RunStatus::asking:
      return Error::make(Status::wrong_state, "the run waits for an answer: such a run wants a handle");
    case RunStatus::paused:
      return Error::make(Status::wrong_state, "the run is paused: such a run wants a handle");
    default:
      return Error::make(Status::wrong_state,
                         "the run waits for an event from outside: such a run wants a handle");
  }
}

Ref<Error> Run::on_state(std::unique_ptr<PendingCallback> callback) noexcept {
  EngineScope scope(*this);
  Notifications notifications;
  {
    Guard guard(lock());
    // Those that came before it were told when the run came to where it is.
    if (is_reached(guard, callback->until)) {
      notifications.status = seen_status(guard);
      notifications.done.add(std::move(callback));
      begin_callback_round(guard, notifications);
      notifications.more = true;
    } else {
      listeners_.done.add(std::move(callback));
    }
  }
  notify(notifications);
  return nullptr;
}

}  // namespace blazen
