// The time of a run: when it is told what time it is next, and whose time is up then.
#include <algorithm>
#include <new>
#include <utility>

#include "base/quotes.hpp"
#include "base/scope.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/transaction.hpp"

namespace blazen {

// The time-out is mostly far away, and mostly the run has ended long before: it is for the runtime to find.
// Under the lock.
void Run::begin_time(Locked locked, Notifications& notifications) noexcept {
  const int64_t due_ms = next_due(locked);
  if (due_ms == INT64_MAX) return;
  if (due_ms < state().clock.set_ms + Runtime::kFarMs) return rearm(locked, notifications);
  time_.known_due_ms = due_ms;
  far_due_ms_.store(due_ms);
  if (!runtime_->arm_far(*this, due_ms)) return;
  notifications.sets_alarm = true;
  notifications.more = true;
}

// The moment of the next thing that is due by the clock of the run; INT64_MAX: none. Under the lock.
int64_t Run::next_due(Locked) const noexcept {
  int64_t due_ms = INT64_MAX;
  if (state().clock.runs) {
    int64_t at_ms = add_ms(deadline_of(state()), slack_ms());
    at_ms = std::min(at_ms, state().timers.first_due_ms());
    if (at_ms != INT64_MAX) due_ms = add_ms(state().clock.set_ms, at_ms - state().clock.elapsed_ms);
  }
  if (!state().deadlines.empty()) due_ms = std::min(due_ms, state().deadlines.first_due_ms());
  return due_ms;
}

// The same, of its steps too.
int64_t Run::all_due(Locked locked) const noexcept {
  return std::min(next_due(locked), bodies_.has_timeouts ? next_step_due(locked) : INT64_MAX);
}

// A run whose time-out is far away begins by the coarse clock, and its time is up so much later.
int64_t Run::slack_ms() const noexcept {
  if (is_child()) return 0;
  const bool is_far = workflow().policy().timeout_ms >= Runtime::kFarMs;
  return is_far && !runtime_->clock().is_hosts() ? Clock::kCoarseLagMs : 0;
}

// When the time of an attempt began, by the whole clock: began_ms is its lower half.
int64_t Run::left_of_step(Locked, const Invocation& invocation, int64_t now) const noexcept {
  const int64_t timeout_ms = workflow().steps()[invocation.step].timeout_ms;
  if (timeout_ms == 0 || is_asking_in_flight(invocation)) return INT64_MAX;
  return timeout_ms - int64_t{passed_since(invocation.began_ms, now)};
}

int64_t Run::next_step_due(Locked) const noexcept {
  return time_.step_timers.empty() ? INT64_MAX : time_.step_timers.begin()->first.first;
}

// Before the call begins, so that nothing can fail once the attempt is in flight.
bool Run::reserve_timer(Locked, Call& call) noexcept {
  try {
    time_.step_timers.reserve();
    if (call.timer_.empty()) call.timer_ = StepTimers::make_node();
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

// As much time as its attempt has left; while it waits for an answer in flight, none passes.
void Run::set_timer(Locked locked, Call& call, int64_t now, Notifications& notifications) noexcept {
  if (call.timed_) stop_timer(locked, call);
  const int64_t left_ms = left_of_step(locked, *call.invocation_, now);
  if (left_ms == INT64_MAX) return;
  call.timer_.key() = {now + left_ms, call.invocation_->start};
  call.timer_.mapped() = &call;
  call.timer_at_ = time_.step_timers.insert(std::move(call.timer_));
  call.timed_ = true;
  arm(locked, now + left_ms, notifications);
}

void Run::stop_timer(Locked, Call& call) noexcept {
  call.timer_ = time_.step_timers.extract(call.timer_at_);
  call.timed_ = false;
}

// Whose time is up, the one first that was up first; null: nobody's.
Call* Run::find_late(Locked, int64_t now) noexcept {
  if (time_.step_timers.empty()) return nullptr;
  const auto first = time_.step_timers.begin();
  return first->first.first <= now ? first->second : nullptr;
}

// The time-outs of steps were armed when they began: these are for on_time() to find again.
void Run::rearm(Locked locked, Notifications& notifications) noexcept {
  arm(locked, next_due(locked), notifications);
}

void Run::arm(Locked locked, int64_t due_ms, Notifications& notifications) noexcept {
  if (has_parent()) return arm_in_tree(locked, due_ms, notifications);
  if (due_ms >= time_.known_due_ms) return;
  time_.known_due_ms = due_ms;
  notifications.due_ms = due_ms;
  notifications.more = true;
}

// The clock is read under the lock, so that no step has begun after what it says.
void Run::on_time() noexcept {
  const EngineScope scope(*this);
  while (bodies_.has_timeouts && !is_inherited() && expire_step()) continue;
  if (is_inherited()) return;
  if (is_child() && tell_parent_again()) return;
  tell_time();
  if (is_inherited() || is_child()) return;
  if (kinship() != nullptr) tell_time_below();
  if (is_inherited()) return;
  if (life_.handles.load(std::memory_order_relaxed) == 0) runtime_->hand_over_time();
  cancel_if_lost();
}

// Of this run alone.
void Run::tell_time() noexcept {
  Transaction transaction(*this);
  time_.known_due_ms = INT64_MAX;
  far_due_ms_.store(INT64_MAX, std::memory_order_relaxed);
  if (!life_.started || has_ended(state())) return;
  Tick tick{Tick::Kind::time};
  const int64_t now = tick.now_ms = now_ms();
  tick.date_ms = date_ms();
  tick.slack_ms = slack_ms();
  if (!this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications)) {
    // Without memory now, once more in a while.
    constexpr int64_t kOnceMoreMs = 100;
    transaction.notifications.due_ms = time_.known_due_ms = now + kOnceMoreMs;
    transaction.notifications.more = true;
  }
  if (!has_ended(state())) {
    arm(transaction.locked(), all_due(transaction.locked()), transaction.notifications);
  }
  offer(transaction.locked(), transaction.notifications);
  transaction.leave(true);
}

// An attempt whose time is up has failed, and its body is left to itself. One at a time: what each lets go of
// goes outside the lock. False: there is none.
bool Run::expire_step() noexcept {
  Transaction transaction(*this);
  if (!life_.started || has_ended(state())) return false;
  const int64_t now = now_ms();
  Call* const call = find_late(transaction.locked(), now);
  if (call == nullptr) return false;
  Invocation& late = *call->invocation_;
  fail_from_outside(transaction, late, call, step_timed_out(workflow().steps()[late.step], late.attempt),
                    true);
  transaction.leave(true);
  return true;
}

void Run::fail_from_outside(Transaction& transaction, Invocation& failed, Call* call, Ref<Error> error,
                            bool retries) noexcept {
  const Locked locked = transaction.locked();
  // One in flight has a call, or hosts a child.
  Tick tick{failed.place == Place::in_flight ? Tick::Kind::fail : Tick::Kind::cancel};
  tick.invocation = &failed;
  tick.now_ms = begin_ms();
  tick.rounded_ms = runtime_->clock().rounded_ms();
  tick.retries = retries;
  tick.error = std::move(error);
  Output handled;
  make_step_failed(failed, tick, handled);
  if (call != nullptr) {
    abandon(locked, *call, failed.began_ms, transaction.notifications);
    tick.keeps_permit = call->keeps_permit_;
  }
  if (!this->tick(locked, tick, transaction.commands, transaction.notifications)) {
    tick.error = Error::out_of_memory();
    tick.outputs = {};
    this->tick(locked, tick, transaction.commands, transaction.notifications);
  }
  if (transaction.commands.has_cold() && transaction.commands.cold().late_error)
    note_for_log(LogLevel::info, transaction.commands.cold().late_error, kGoesOn, transaction.notifications);
  offer(locked, transaction.notifications);
}

// Of an invocation in flight: its body is at work, or has returned and left it to somebody else. As many are
// looked at as threads are at work; of those that are listed, an index is made by whoever asks first.
Call* Run::find_call(Locked, const Invocation& invocation) {
  for (const AtWork* worker = top().bodies_.at_work; worker != nullptr; worker = worker->next) {
    if (worker->call != nullptr && worker->call->invocation_ == &invocation) return worker->call;
  }
  if (!bodies_.listed_index) {
    auto made = std::make_unique<CallIndex>();
    for (Call* call = bodies_.listed; call != nullptr; call = call->next_listed_)
      made->insert_or_assign(call->invocation_id_, call);
    bodies_.listed_index = std::move(made);
  }
  const auto known = bodies_.listed_index->find(invocation.id);
  return known == bodies_.listed_index->end() ? nullptr : known->second;
}

Ref<Error> Run::cancel_invocation(uint64_t id, bool retries) {
  Ref<Error> cause = Error::make(Status::cancelled, "it was cancelled from outside");
  if (cause->status != Status::cancelled) return cause;  // without memory, nothing has changed
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (!life_.started) return Error::make(Status::wrong_state, "the run was not started yet");
  Invocation* invocation = state().pool.find(id);
  if (invocation == nullptr)
    return Error::make(Status::not_found, "invocation_id: no invocation " + std::to_string(id) + " is open");
  fail_from_outside(
      transaction, *invocation,
      invocation->place == Place::in_flight ? find_call(transaction.locked(), *invocation) : nullptr,
      Error::step_failed(workflow().steps()[invocation->step].name, invocation->attempt, std::move(cause)),
      retries);
  return transaction.leave();
}

Ref<Error> Run::step_timed_out(const StepDefinition& step, uint32_t attempt) noexcept {
  try {
    Ref<Error> error =
        Error::make(Status::step_timeout,
                    "step " + in_quotes(step.name) + " timed out: it did not end within its " +
                        std::to_string(step.timeout_ms) + " ms, attempt " + std::to_string(attempt));
    if (error->status != Status::step_timeout) return error;
    error->step = step.name;
    error->attempt = attempt;
    return error;
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

// Their invocations are gone with the rest of their scope. Whoever has deferred is known; the others are at work, or were
// about to begin.
void Run::abandon_cancelled(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  for (Commands::Cold::CancelledBody& body : commands.cold().cancelled) {
    Call* call = body.call;
    for (const AtWork* worker = top().bodies_.at_work; call == nullptr && worker != nullptr;
         worker = worker->next) {
      if (worker->call != nullptr && worker->call->run_ == this &&
          worker->call->invocation_id_ == body.invocation_id && worker->call->is_open())
        call = worker->call;
    }
    if (call != nullptr) abandon(locked, *call, body.began_ms, notifications);
    commands.cold().dropped_events.add(std::move(body.event));
  }
  commands.cold().cancelled.clear();
}

// Under the lock. Its body goes on, and nothing that it does counts any more; what it can see of its event
// stays.
void Run::abandon(Locked locked, Call& call, uint32_t began_ms, Notifications& notifications) noexcept {
  if (!call.event_kept_) call.event_kept_ = Ref<Event>::share(call.event_);
  call.leaves_ = true;
  call.began_ms_ = began_ms;
  call.keeps_permit_ = call.step_->needs_permit() && call.step_->abandoned_keeps_permit;
  if (call.timed_) stop_timer(locked, call);
  call.invocation_ = nullptr;
  call.abandoned_.store(true, std::memory_order_release);
  call.open_.store(false, std::memory_order_release);
  cancel_call(locked, call, notifications);
  unlist(locked, call);
  if (call.returned_) {
    linger(locked, call);
  } else {
    keep_body(locked, call, notifications);
  }
}

}  // namespace blazen
