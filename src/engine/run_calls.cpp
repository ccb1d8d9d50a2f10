// Calls of a run that something outside may have to do with: deferred ones, and those that want to hear of the
// end.
#include <memory>
#include <new>
#include <utility>

#include "base/scope.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"

namespace blazen {

void Run::list(Locked locked, Call& call) noexcept {
  if (std::exchange(call.listed_, true)) return;
  call.previous_listed_ = nullptr;
  call.next_listed_ = bodies_.listed;
  if (bodies_.listed != nullptr) bodies_.listed->previous_listed_ = &call;
  bodies_.listed = &call;
  if (bodies_.listed_index) index_listed(locked, call);
}

// Without memory, there is no index until somebody looks for one of them again.
[[gnu::noinline, gnu::cold]] void Run::index_listed(Locked, Call& call) noexcept {
  try {
    bodies_.listed_index->insert_or_assign(call.invocation_id_, &call);
  } catch (const std::bad_alloc&) {
    bodies_.listed_index.reset();
  }
}

void Run::unlist(Locked, Call& call) noexcept {
  if (!std::exchange(call.listed_, false)) return;
  (call.previous_listed_ != nullptr ? call.previous_listed_->next_listed_ : bodies_.listed) =
      call.next_listed_;
  if (call.next_listed_ != nullptr) call.next_listed_->previous_listed_ = call.previous_listed_;
  if (bodies_.listed_index) bodies_.listed_index->erase(call.invocation_id_);
}

Ref<Error> Run::check_open(const Call& call) const noexcept {
  if (call.abandoned_.load(std::memory_order_acquire))
    return Error::make(
        Status::cancelled,
        "this attempt is over, its time is up or it was cancelled: nothing that it does counts any more");
  if (!call.is_open()) {
    return Error::make(Status::wrong_state, "this invocation is complete: its context can do nothing more");
  }
  if (ended()) return Error::make(Status::cancelled, "the run has already ended");
  return nullptr;
}

Call::ColdState& Run::cold_state(Call& call) {
  if (call.cold_) return *call.cold_;
  auto made = std::make_unique<Call::ColdState>();
  Guard guard(lock());
  call.cold_ = std::move(made);
  call.is_special_ = true;
  return *call.cold_;
}

// Called at once where it is cancelled already.
Ref<Error> Run::on_cancel(Call& call, std::unique_ptr<PendingCallback> callback) {
  Call::ColdState& cold = cold_state(call);
  Guard guard(lock());
  if (!call.is_open() && !call.abandoned_) return check_open(call);
  if (call.abandoned_ || has_ended(state())) {
    guard.unlock();
    EngineScope scope(*this);
    const std::unique_ptr<PendingCallback> now = std::move(callback);  // dropped before the scope ends
    tell_log_threw(runtime_->calls().cancelled(now->callback));
    return nullptr;
  }
  cold.on_cancel.add(std::move(callback));
  list(guard, call);
  return nullptr;
}

Result<int> Run::cancel_descriptor(Call& call) {
  Call::ColdState& cold = cold_state(call);
  Guard guard(lock());
  if (!call.is_open() && !call.abandoned_) return check_open(call);
  Result<int> number = cold.signal.open();
  if (!number) return number;
  if (call.abandoned_ || has_ended(state())) {
    cold.signal.raise();
  } else {
    list(guard, call);  // only one that is still to end leaves the list again
  }
  return number;
}

Ref<Group> Run::find_group(Call& call) noexcept {
  if (workflow().joined_by(index_of(*call.step_)) == kNoOpener) return nullptr;
  Guard guard(lock());
  if (call.abandoned_ || !state().scopes) return nullptr;
  return Ref<Group>::share(state().scopes->delivered(call.invocation_id_));
}

uint64_t Run::scope_id(const Call& call) const noexcept {
  if (!workflow().has_joins()) return 0;
  Guard guard(lock());
  if (call.abandoned_ || !call.is_open() || !state().scopes) return 0;
  const Scope* scope = state().scopes->scope_of(call.event_->membership);
  return scope == nullptr ? 0 : scope->id;
}

Ref<Error> Run::defer(Call& call) noexcept {
  if (Ref<Error> error = check_open(call)) return error;
  Guard guard(lock());
  if (call.deferred_ || call.returned_) {
    return Error::make(Status::wrong_state,
                       "this invocation was already deferred: there is one handle of it");
  }
  if (call.abandoned_) return check_open(call);
  if (workflow().cancels_rest()) {  // it is found by it, if it is cancelled
    Tick tick{Tick::Kind::defer, false, call.invocation_};
    Commands none;
    tick.caller = &call;
    try {
      locked_state_.apply(guard, tick, none);
    } catch (const std::bad_alloc&) {
      return Error::out_of_memory();
    }
  }
  call.deferred_ = true;
  call.is_shared_ = true;
  list(guard, call);
  call.event_kept_ = Ref<Event>::share(call.event_);
  call.handle_.kind = Kind::invocation;
  call.handle_.refs.store(1, std::memory_order_relaxed);
  retain(&call);
  hold();
  return nullptr;
}

Ref<Error> Run::complete(Call& call, Ref<Error> failure) noexcept {
  Guard guard(lock());
  if (call.completed_) return Error::make(Status::wrong_state, "this invocation was already completed");
  call.completed_ = true;
  const bool too_late = has_ended(state());
  const bool was_abandoned = call.abandoned_;
  if (call.returned_) {
    finish_from_outside(guard, call, std::move(failure));
  } else {
    call.failure_ = std::move(failure);  // its body is at work, and whoever called it brings this back
    guard.unlock();
  }
  if (was_abandoned) return check_open(call);
  if (too_late)
    return Error::make(Status::cancelled, "the run has ended before: what this step did is dropped");
  return nullptr;
}

// Its body has returned before. The lock is free when it comes back.
void Run::finish_from_outside(Guard& guard, Call& call, Ref<Error> failure) noexcept {
  const EngineScope scope(*this);
  Commands commands;
  Notifications notifications;
  std::unique_ptr<Call::ColdState> spent;
  if (call.abandoned_) {
    let_go_abandoned(guard, call, commands, notifications);
    spent = std::move(call.cold_);
  } else {
    time_.looked_ms = runtime_->clock().coarse_ms();
    finish(guard, call, std::move(failure), false, commands, notifications);
    spent = std::move(call.spent_);
  }
  offer(guard, notifications);
  guard.unlock();
  call.clear_outputs();
  spent.reset();
  commands.clear();
  notify(notifications);
}

// A call that somebody else has completed: where nobody knows it any more, it is for the next thread.
void Run::reuse(Ref<Call> call) noexcept {
  if (call->refs.load(std::memory_order_acquire) != 1 || call->abandoned_ || ended()) return;
  call->clear_outputs();
  call->spent_.reset();
  call->cold_.reset();  // of a context that was used after its end
  call->failure_.reset();
  call->event_cache_.put(std::move(call->event_kept_));
  keep_call(call.take());
}

void Run::let_go_invocation(Call& call) noexcept {
  if (is_inherited()) return;
  bool lost = false;
  {
    Guard guard(lock());
    lost = !call.completed_;
  }
  if (lost)
    (void)complete(call, Error::make(Status::wrong_state, "its invocation was released and never completed"));
  reuse(Ref<Call>::adopt(&call));
  release_handle();
}

}  // namespace blazen
