// The loop of a run: take the next invocation, call its body, bring the outcome back.
#include <algorithm>
#include <new>
#include <utility>

#include "base/scope.hpp"
#include "base/steady.hpp"
#include "engine/nested_json.hpp"
#include "engine/part_bodies.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "run/step_failed.hpp"

namespace blazen {

// What time it is for a thread that runs one body after the other, so that each has an age. Bodies that take
// milliseconds are timed one by one; of those that take nanoseconds, it looks at the clock for every
// sixteenth.
class Run::CoarseClock {
 public:
  // known_ms: that it was read just now; 0: it was not.
  CoarseClock(Clock& clock, int64_t known_ms) noexcept
      : clock_(clock), now_ms_(known_ms != 0 ? known_ms : clock.coarse_ms()) {}
  int64_t now() const noexcept { return now_ms_; }
  // One more body is done: is it time to look? It stays so until somebody does.
  bool is_time() noexcept {
    if (left_ > 1) --left_;
    return left_ == 1;
  }
  [[gnu::noinline]] void look() noexcept {
    passed_ms_ = -std::exchange(now_ms_, clock_.coarse_ms());
    passed_ms_ += now_ms_;
    was_for_one_ = std::exchange(is_for_one_, passed_ms_ != 0);
    left_ = is_for_one_ ? 1 : 17;
  }
  // What the last look saw: how much time has passed since the one before, and whether that was one body's.
  int64_t passed_ms() const noexcept { return passed_ms_; }
  bool was_for_one() const noexcept { return was_for_one_; }

 private:
  Clock& clock_;
  int64_t now_ms_;
  int64_t passed_ms_ = 0;
  uint32_t left_ = 1;
  bool is_for_one_ = true;  // the next look is, too
  bool was_for_one_ = false;
};

uint64_t Run::work(uint64_t steps_max, Hand hand) noexcept {
  return work_as(Worker::anybody, hand, steps_max);
}

uint64_t Run::work_as(Worker worker, Hand hand, uint64_t steps_max) noexcept {
  return bodies_.has_parts ? work_on_tree(worker, hand, steps_max) : work_here(worker, hand, steps_max);
}

// On this run alone, whatever there is inside it.
uint64_t Run::work_here(Worker worker, Hand hand, uint64_t steps_max) noexcept {
  if (is_inherited()) return 0;
  EngineScope scope(*this, true);
  Commands commands;
  Notifications notifications;
  const bool is_in_tree = bodies_.has_parts || has_parent();  // whose thread offers what is left
  notifications.works_on = is_in_tree;
  Call* call = nullptr;  // the one that this thread uses for one body after the other
  Ref<Call> left;        // one that somebody else completes, or has completed
  Call::PendingRelease pending_release;
  bool left_is_done = false;
  uint64_t steps = 0;
  AtWork at_work(hand, scope);
  Guard guard(lock());
  add_worker(guard, at_work);
  if (bodies_.tasks > 0 && !is_in_tree) --bodies_.tasks;
  bool dispatches_next = life_.started;
  CoarseClock watch(runtime_->clock(), std::exchange(life_.has_just_looked, false) ? time_.looked_ms : 0);
  time_.looked_ms = watch.now();
  const auto is_its = [&] { return !is_in_tree || is_its_turn(guard); };  // to start something
  if (dispatches_next && is_its() && (worker == Worker::anybody || next_is_quick(guard)))
    dispatch(guard, commands, notifications);
  for (;;) {
    if (bodies_.has_parts && hosts(commands)) [[unlikely]] {
      at_work.call = nullptr;  // its last body is done, and whoever looks for one meanwhile does not find it
      host(guard, *std::exchange(commands.start, nullptr), commands, notifications);
      // A task of its own for each step of it, but the one that is next here.
      if (runtime_->executor().wants_each_step()) {
        ++top().bodies_.tasks;
        offer(guard, notifications);
        --top().bodies_.tasks;
      }
      guard.unlock();
      pending_release.let_go();
      commands.clear();
      if (notifications.any() && !notify_unforked(notifications)) break;
      guard.lock();
      if (is_its() && (worker == Worker::anybody || next_is_quick(guard)))
        dispatch(guard, commands, notifications);
      continue;
    }
    if (!take_next(guard, call, pending_release, commands, notifications)) break;
    at_work.call = call;
    guard.unlock();
    // Call out, with nothing of the last tick left behind.
    if (left) clear_left(left, left_is_done);
    call->clear_outputs();
    pending_release.let_go();
    call->event_cache_.put(std::move(commands.released));
    commands.clear();
    if (notifications.any() && !notify_unforked(notifications)) break;
    Ref<Error> error;
    scope.keep(call);
    const Status status = bodies_.has_parts && call->step_->part != StepPart::body ? call_part(*call, error)
                          : bodies_.shares_work && !is_quick(*call) ? call_slow_body(*call, error)
                                                                    : call_body(*call, error);
    scope.keep(nullptr);
    ++steps;
    dispatches_next = steps_max == 0 || steps < steps_max;
    // Not after the last one, unless somebody waits for it.
    if (watch.is_time() &&
        (worker == Worker::waiter || status != Status::ok || call->deferred_ || !call->stops()))
      look(watch, *call);
    // Bring back, and take the next: one that waits takes those that are quick.
    const bool picks = is_in_tree || (worker == Worker::waiter && !workflow().is_quick());
    if (is_inherited()) {  // forked by the body, and this is the child: it leaves all as it is
      (void)error.take();
      break;
    }
    guard.lock();
    time_.looked_ms = watch.now();
    left_is_done =
        bring_back(guard, *call, status, error, dispatches_next && !picks, commands, notifications);
    if (!left_is_done || (call->is_shared_ && !call->is_ours_alone()))
      left = Ref<Call>::adopt(std::exchange(call, nullptr));
    if (picks ? dispatches_next && is_its() && (worker == Worker::anybody || next_is_quick(guard))
              : !left_is_done && dispatches_next)
      dispatch(guard, commands, notifications);
  }
  if (is_inherited()) return steps;  // without the lock, which may be held for ever
  remove_worker(guard, at_work);
  if (!is_in_tree) offer(guard, notifications);
  if (call != nullptr && call->is_clean() && !notifications.ended) keep_clean_call(guard, call);
  guard.unlock();
  if (left) clear_left(left, left_is_done);
  if (call != nullptr) {
    call->clear_outputs();
    call->leave(pending_release);  // nobody else knows it now
    pending_release.let_go();
  }
  commands.clear();
  if (call != nullptr && notifications.ended) notifications.spare_call = std::exchange(call, nullptr);
  notify(notifications);
  if (is_inherited()) return steps;
  if (call != nullptr) keep_call(call);
  if (!is_in_tree) cancel_if_lost();
  return steps;
}

// Under the lock.
bool Run::next_is_quick(Locked) const noexcept {
  const Invocation* next = next_startable(state());
  return next != nullptr && workflow().is_quick(next->step);
}

bool Run::is_quick(const Call& call) const noexcept { return workflow().is_quick(index_of(*call.step_)); }

StepIndex Run::index_of(const StepDefinition& step) const noexcept {
  return static_cast<StepIndex>(&step - workflow().steps().data());
}

// Of one that is not known to be quick: it is measured.
[[gnu::noinline]] Status Run::call_slow_body(Call& call, Ref<Error>& error) noexcept {
  const StepIndex step = index_of(*call.step_);
  const int64_t began_ns = steady_ns();
  const Status status = call_body(call, error);
  workflow().note_pace(step, steady_ns() - began_ns <= Pace::kQuickNs);
  return status;
}

// Between two bodies, without the lock. Where nobody else tells the time, whoever works does.
[[gnu::noinline]] void Run::look(CoarseClock& watch, const Call& call) noexcept {
  watch.look();
  if (watch.passed_ms() == 0) return;
  constexpr int64_t kSlowMs = 10;  // by a coarse clock
  if (bodies_.shares_work && watch.was_for_one() && watch.passed_ms() >= kSlowMs && is_quick(call))
    workflow().note_pace(index_of(*call.step_), false);
  if (!runtime_->clock().is_hosts() && !runtime_->has_timekeeper()) runtime_->tell_time();
}

void Run::clear_left(Ref<Call>& left, bool is_done) noexcept {
  if (!is_done) return left.reset();
  left->clear_outputs();
  left->spent_.reset();
  reuse(std::move(left));
}

void Run::dispatch(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  const int64_t at_ms = dispatch_ms();
  if (!state().watched && !is_recorded()) {
    locked_state_.apply_dispatch(locked, at_ms, commands);
    return after_tick(locked, commands, notifications);
  }
  Tick next{Tick::Kind::dispatch};
  next.now_ms = at_ms;
  tick(locked, next, commands, notifications);
}

[[gnu::always_inline]] inline bool Run::take_next(Locked locked, Call*& call,
                                                  Call::PendingRelease& pending_release, Commands& commands,
                                                  Notifications& notifications) noexcept {
  Invocation* invocation = commands.start;
  if (invocation == nullptr) return false;
  if (call == nullptr) call = take_call(locked);
  if (call != nullptr) {
    if (call->leaves_) call->leave(pending_release);
    call->begin(*this, workflow(), invocation);
  }
  if (call == nullptr || (bodies_.has_timeouts && !give_time(locked, *call, notifications))) {
    commands.start = nullptr;
    fail_without_memory(locked, invocation, false, commands, notifications);
    return false;
  }
  call->started_ms_ = state().watched ? now_ms() : -1;
  if (bodies_.shares_work) offer_rest(locked, notifications);
  return true;
}

// In a workflow with step time-outs. False: there is no memory, and the call is closed.
[[gnu::noinline]] bool Run::give_time(Locked locked, Call& call, Notifications& notifications) noexcept {
  if (call.step_->timeout_ms != 0) {
    if (!reserve_timer(locked, call)) {
      call.open_.store(false, std::memory_order_release);
      call.returned_ = true;  // no body of it is at work
      return false;
    }
    call.is_special_ = true;
    set_timer(locked, call, begin_ms(), notifications);
  }
  if (call.step_->body && call.step_->body->cancelled != nullptr) list(locked, call);
  return true;
}

[[gnu::noinline]] void Run::fail_without_memory(Locked locked, Invocation* invocation, bool dispatches_next,
                                                Commands& commands, Notifications& notifications) noexcept {
  Tick out_of_memory{Tick::Kind::fail, dispatches_next, invocation};
  out_of_memory.error = Error::out_of_memory();
  tick(locked, out_of_memory, commands, notifications);
}

// Those of a tree take that of its top.
Call* Run::take_call(Locked) noexcept {
  Call*& spare = top().bodies_.spare_call;
  if (spare != nullptr) return std::exchange(spare, nullptr);
  return new (std::nothrow) Call;
}

// As keep_call() does, in the hold of the lock that there is, where the call has nothing to let go of.
void Run::keep_clean_call(Locked, Call*& call) noexcept {
  Run& top = this->top();
  if (top.bodies_.spare_call != nullptr || top.state().last_status == RunStatus::asking) return;
  call->check_keeps_nothing();
  if (&top != this) call->run_ = nullptr;  // it may be gone before the next one has it
  top.bodies_.spare_call = std::exchange(call, nullptr);
}

// For the next thread that works on this run, unless another was quicker. A run that waits for an answer may do
// so for long: other runs get what it does not need meanwhile.
void Run::keep_call(Call* call) noexcept {
  call->check_keeps_nothing();
  Run& top = this->top();
  if (&top != this) call->run_ = nullptr;
  Call* unneeded = nullptr;
  {
    Guard guard(lock());
    Call*& spare = top.bodies_.spare_call;
    if (spare == nullptr) spare = std::exchange(call, nullptr);
    if (top.state().last_status == RunStatus::asking) unneeded = std::exchange(spare, nullptr);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
  if (unneeded != nullptr) runtime_->keep_spare(*this, unneeded);
}

// What the engine does itself, or what the host decides.
[[gnu::noinline]] Status Run::call_part(Call& call, Ref<Error>& error) noexcept {
  const StepPart part = call.step_->part;
  call.is_special_ = true;
  if (!call.step_->is_decision()) {
    call.engine_writes_ = true;
    try {
      Context context(call);
      switch (part) {
        case StepPart::branches: error = open_branches(context, call); break;
        case StepPart::gather:
          error = gather_branches(context, call);
          if (error)
            cold_state(call).verdict =
                error;  // its mapper may be tried again, and what the branches came to not
          break;
        case StepPart::stage_begin: error = begin_stage(context, call); break;
        case StepPart::stage_end: error = end_stage(context, call); break;
        default: error = end_round(context, call); break;
      }
    } catch (const std::bad_alloc&) {
      error = Error::out_of_memory();
    }
    call.engine_writes_ = false;
    if (error) return error->status;
    if (!call.step_->body) return Status::ok;
  }
  return bodies_.shares_work && !is_quick(call) ? call_slow_body(call, error) : call_body(call, error);
}

// What this tick has dispatched is a step that is a workflow.
bool Run::hosts(const Commands& commands) const noexcept {
  return commands.start != nullptr && workflow().steps()[commands.start->step].is_child();
}

Status Run::call_body(Call& call, Ref<Error>& error) noexcept {
  return runtime_->calls().step(*call.step_->body, call, *call.event_, error);
}

// Of a body that has not answered OK, and is not deferred. Null: it is done all the same, as one that has collected.
[[gnu::noinline]] Ref<Error> Run::failure_of(const Call& call, Status status, Ref<Error>& error) noexcept {
  if (status != Status::pending) return std::move(error);
  if (call.cold_ && call.cold_->collects) return nullptr;
  return Error::make(Status::wrong_state, "it answered BLAZEN_PENDING without blazen_context_defer");
}

// Once for each invocation: everything that it calls is inline in it, but for what is rare and says noinline.
[[gnu::flatten]] bool Run::bring_back(Locked locked, Call& call, Status status, Ref<Error>& error,
                                      bool dispatches_next, Commands& commands,
                                      Notifications& notifications) noexcept {
  call.returned_ = true;
  if (call.abandoned_.load(std::memory_order_relaxed))
    return leave_abandoned(locked, call, error, dispatches_next, commands, notifications);
  Ref<Error> failure;
  if (status == Status::pending && !call.deferred_ && !has_ended(state()) && has_asked(*call.invocation_)) {
    suspend(locked, call, dispatches_next, commands, notifications);
    return true;
  }
  if (call.deferred_ && (status == Status::ok || status == Status::pending)) {
    if (status == Status::pending && !call.completed_) {
      leave_pending(locked, call, commands, notifications);
      if (call.is_kept_) come_back(locked, call, notifications);
      return false;
    }
    failure = std::move(call.failure_);
  } else if (status != Status::ok) [[unlikely]] {
    failure = failure_of(call, status, error);
  }
  call.completed_ = true;
  finish(locked, call, std::move(failure), dispatches_next, commands, notifications);
  return true;
}

// Its body is back, and nothing that it did counts. False: the host has a handle of it still.
[[gnu::noinline]] bool Run::leave_abandoned(Locked locked, Call& call, Ref<Error>& error,
                                            bool dispatches_next, Commands& commands,
                                            Notifications& notifications) noexcept {
  if (call.is_kept_) come_back(locked, call, notifications);
  if (error)
    note_for_log(LogLevel::warning, error, ": too late, the time of that attempt was up", notifications);
  commands.cold().late_error = std::move(error);
  commands.more = true;
  if (call.deferred_ && !call.completed_) {
    linger(locked, call);
    return false;
  }
  let_go_abandoned(locked, call, commands, notifications);
  if (call.deferred_) return false;
  call.completed_ = true;
  call.spend_cold();
  if (dispatches_next) dispatch(locked, commands, notifications);
  return true;
}

// Somebody completes it later.
[[gnu::noinline]] void Run::leave_pending(Locked locked, Call& call, Commands& commands,
                                          Notifications& notifications) noexcept {
  Tick tick{Tick::Kind::body_returned, false, call.invocation_};
  this->tick(locked, tick, commands, notifications);
  if (call.timed_) set_timer(locked, call, begin_ms(), notifications);
}

// It will be called again, with the answer.
[[gnu::noinline]] void Run::suspend(Locked locked, Call& call, bool dispatches_next, Commands& commands,
                                    Notifications& notifications) noexcept {
  call.open_.store(false, std::memory_order_release);
  call.completed_ = true;
  call.spend_cold();
  if (call.listed_) unlist(locked, call);
  if (call.timed_) stop_timer(locked, call);
  Tick tick{Tick::Kind::suspend, dispatches_next, call.invocation_};
  tick.now_ms = dispatch_ms();
  this->tick(locked, tick, commands, notifications);
}

void Run::finish(Locked locked, Call& call, Ref<Error> failure, bool dispatches_next, Commands& commands,
                 Notifications& notifications) noexcept {
  call.open_.store(false, std::memory_order_release);
  if (failure || call.is_special_ || listeners_.is_observed || has_ended(state()))
    return finish_otherwise(locked, call, std::move(failure), dispatches_next, commands, notifications);
  if (call.listed_) unlist(locked, call);
  if (!locked_state_.apply(locked, {call.invocation_, call.outputs_, dispatch_ms(), dispatches_next},
                           commands))
    return finish_with_growth(locked, call, dispatches_next, commands, notifications);
  after_tick(locked, commands, notifications);
}

// Its outputs may need more memory.
[[gnu::noinline]] void Run::finish_with_growth(Locked locked, Call& call, bool dispatches_next,
                                               Commands& commands, Notifications& notifications) noexcept {
  Tick done{Tick::Kind::complete, dispatches_next, call.invocation_, call.outputs_};
  done.now_ms = workflow().opened_by(index_of(*call.step_)) == kNoOpener ? dispatch_ms() : begin_ms();
  if (!tick(locked, done, commands, notifications))
    fail_without_memory(locked, call.invocation_, dispatches_next, commands, notifications);
}

// It has failed, or comes too late, or did what most never do.
[[gnu::noinline]] void Run::finish_otherwise(Locked locked, Call& call, Ref<Error> failure,
                                             bool dispatches_next, Commands& commands,
                                             Notifications& notifications) noexcept {
  // A subscriber that may hold the run back has to see what this tick publishes before the next step starts;
  // and the tick of an atomic step may be refused.
  const bool apart = dispatches_next && (may_be_held(locked) || call.cold_);
  Tick done{Tick::Kind::complete, dispatches_next && !apart, call.invocation_};
  done.now_ms = begin_ms();
  done.rounded_ms = runtime_->clock().rounded_ms();
  if (state().watched && call.started_ms_ >= 0) done.duration_ms = done.now_ms - call.started_ms_;
  if (call.cold_) prepare_finish(call, done);
  if (done.is_special) done.date_ms = date_ms();
  if (call.listed_) {
    if (has_ended(state())) cancel_call(locked, call, notifications);  // nobody else has come to it yet
    unlist(locked, call);
  }
  if (call.timed_) stop_timer(locked, call);
  Output handled;
  if (call.cold_ && call.cold_->verdict) {
    if (!failure) failure = std::move(call.cold_->verdict);
    done.retries = false;
  }
  const StepPart part = call.step_->part;
  const bool has_to_answer =
      part == StepPart::input || part == StepPart::condition || part == StepPart::until;
  if (!failure && has_to_answer && call.outputs_.empty() && !has_ended(state()))
    failure = Error::make(Status::wrong_state, "it has to answer with a value: blazen_context_answer");
  if (has_ended(state())) {
    if (call.is_kept_) come_back(locked, call, notifications);
    done.kind = Tick::Kind::discard;
    if (failure) note_for_log(LogLevel::warning, failure, ": too late, the run had ended", notifications);
    commands.cold().late_error = std::move(failure);
    commands.more = true;
  } else if (failure) {
    commands.cold().cause = failure;  // without memory, it would be let go of under the lock
    commands.more = true;
    fail_step(call, done, std::move(failure), handled);
  } else {
    done.outputs = call.outputs_;
  }
  bool is_done = tick(locked, done, commands, notifications);
  if (is_done && done.kind == Tick::Kind::complete && done.commits && commands.status != Status::ok) {
    // An atomic step whose writes the state does not take: it has failed, and nothing of it counts.
    Ref<Error> refused = refused_write(commands, done.writes);
    commands.status = Status::ok;
    fail_step(call, done, std::move(refused), handled);
    is_done = tick(locked, done, commands, notifications);
  }
  if (done.kind == Tick::Kind::fail && commands.has_cold() && commands.cold().late_error)
    note_for_log(LogLevel::info, commands.cold().late_error, kGoesOn, notifications);
  if (call.cold_) call.spend_cold();
  if (!is_done)
    fail_without_memory(locked, call.invocation_, dispatches_next && !apart, commands, notifications);
  if (apart) dispatch(locked, commands, notifications);
}

// What the step asked for beside its outputs.
void Run::prepare_finish(Call& call, Tick& done) noexcept {
  Call::ColdState& cold = *call.cold_;
  done.retry_after_ms = cold.retry_after_ms;
  done.is_special = cold.is_special;
  done.commits = !cold.write_buffer.empty();
  done.clears = cold.write_buffer.clears();
  if (done.commits) done.writes = cold.write_buffer.writes();
}

// handled: for the event of who handles that.
void Run::fail_step(const Call& call, Tick& tick, Ref<Error> cause, Output& handled) const noexcept {
  tick.kind = Tick::Kind::fail;
  tick.outputs = {};
  tick.writes = {};
  tick.error = Error::step_failed(call.step_->name, call.attempt_, std::move(cause));
  make_step_failed(*call.invocation_, tick, handled);
}

// The event for the step that handles failures, where the workflow has one; or for the join of the branches that it is one
// of.
void Run::make_step_failed(const Invocation& failed, Tick& tick, Output& output) const noexcept {
  const StepDefinition& step = workflow().steps()[failed.step];
  const std::string_view type = step.fails_as.empty() ? kStepFailed : std::string_view(step.fails_as);
  const TypeId number = step.fails_as.empty() ? kStepFailedType : workflow().find_type(type);
  if (workflow().acceptors(number).empty() || !tick.error) return;
  try {
    output.event = step_failed_event(type, *tick.error, step.branch.empty() ? step.name : step.branch,
                                     failed.attempt, failed.id, *failed.event, detail_member(*tick.error));
    output.type = number;
    tick.outputs = {&output, 1};
  } catch (const std::bad_alloc&) {
    tick.error = Error::out_of_memory();
  }
}

}  // namespace blazen
