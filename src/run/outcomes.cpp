// What becomes of an invocation that was started: it has completed, it has failed and is tried again or is not, it waits for
// an answer, or nobody wants it any more.
#include <utility>

#include "run/retry.hpp"
#include "run/rooms.hpp"

namespace blazen {
namespace {

// What an invocation has asked nobody needs to answer any more.
void withdraw_questions(RunState& state, Invocation* invocation) noexcept {
  Journal& journal = *invocation->journal;
  const bool was_asking = is_asking_in_flight(*invocation);
  journal.called_back = 0;
  if (has_ended(state)) return;  // they went with the end
  if (was_asking) --state.in_flight_idle;
  while (Question* newest = journal.questions) close_question(state, *newest);
}

// The answers are values of the host: they go outside the lock.
[[gnu::noinline]] void leave_journal(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  withdraw_questions(state, invocation);
  if (state.collects) leave_collects(state, *invocation, commands);
  if (invocation->journal->answers().empty()) return state.pool.give_journal(std::move(invocation->journal));
  commands.more = true;
  invocation->journal->next() = std::move(commands.cold().dropped_journals);
  commands.cold().dropped_journals = std::move(invocation->journal);
}

}  // namespace

// The invocation is done, and stands nowhere.
void let_go(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  --state.open;
  if (invocation->journal) leave_journal(state, invocation, commands);
  commands.released = std::move(invocation->event);
  state.pool.give(invocation);
}

// The invocation is done.
void leave_flight(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  end_execution(state, invocation);
  let_go(state, invocation, commands);
}

namespace {

// To remove a key that is not there is no failure.
bool committed(Commands& commands) noexcept {
  if (commands.status == Status::not_found) commands.status = Status::ok;
  return commands.status == Status::ok;
}

// What an atomic step has written, all or nothing. False: nothing of the step counts, and it fails.
[[gnu::noinline]] bool commit(RunState& state, Tick& tick, Commands& commands) {
  if (!tick.clears) {
    write_state(state, tick.writes, commands);
    return committed(commands);
  }
  if (!expectations_hold(state, tick.writes, commands)) return false;
  Ref<KeyTable> before = std::move(state.state);
  try {
    write_state(state, tick.writes, commands);
  } catch (...) {
    state.state = std::move(before);
    throw;
  }
  if (committed(commands)) {
    commands.cold().dropped_table = std::move(before);
    return true;
  }
  state.state = std::move(before);
  return false;
}

// What most steps do not do: they ask, or are atomic. False: that was the end of it.
[[gnu::noinline]] bool complete_specially(RunState& state, Tick& tick, Commands& commands) {
  if (Ref<Error> error = tick.is_special ? refuse_questions(state, tick.outputs) : nullptr) {
    error = annotate(std::move(error), state.workflow->steps()[tick.invocation->step].name);
    leave_flight(state, tick.invocation, commands);
    fail_run(state, std::move(error), commands);
    return false;
  }
  return !tick.commits || commit(state, tick, commands);
}

[[gnu::noinline]] void overflow(RunState& state, const Tick& tick, Commands& commands) noexcept {
  Ref<Error> error = queue_limit(state, *tick.outputs.front().event);
  leave_flight(state, tick.invocation, commands);
  fail_run(state, std::move(error), commands);
}

}  // namespace

// False: that was the end of it.
[[gnu::noinline]] bool prepare_to_complete(RunState& state, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries, 1)) {
    overflow(state, tick, commands);
    return false;
  }
  if (state.workflow->has_joins()) {
    if (Ref<Error> error = prepare_scopes(state, *tick.invocation, tick.outputs)) {
      leave_flight(state, tick.invocation, commands);
      fail_run(state, std::move(error), commands);
      return false;
    }
  }
  reserve_for(state, tick, deliveries, commands);
  return !(tick.is_special || tick.commits) || complete_specially(state, tick, commands);
}

void complete(RunState& state, const Completion& done, Commands& commands) noexcept {
  leave_flight(state, done.invocation, commands);
  route_all(state, done.outputs, done.now_ms, commands);
}

namespace {

// The invocation of a tick that says that it has failed: its place is free.
void leave_place(RunState& state, const Tick& tick) noexcept {
  if (tick.kind == Tick::Kind::cancel) return leave_queue(state, tick.invocation);
  end_execution(state, tick.invocation, tick.keeps_permit);
}

// Will be tried again.
void back_off(RunState& state, Tick& tick, Commands& commands) {
  Invocation* invocation = tick.invocation;
  const RetryPolicy& policy = state.workflow->steps()[invocation->step].retry;
  const int64_t delay_ms = tick.retry_after_ms >= 0 ? tick.retry_after_ms
                                                    : retry_delay_ms(policy, id_of_run(state), invocation->id,
                                                                     invocation->attempt);
  // At once is at once: nothing is rounded up.
  const int64_t began_ms = state.clock.at(delay_ms == 0 ? tick.now_ms - tick.rounded_ms : tick.now_ms);
  state.timers.reserve(1);
  leave_place(state, tick);
  add_retry(state, invocation, add_ms(began_ms, delay_ms));
  invocation->place = Place::backing_off;
  ++invocation->attempt;
  if (invocation->journal) {
    withdraw_questions(state, invocation);
    invocation->journal->begin_again();
    invocation->journal->call = nullptr;
  }
  commands.more = true;
  commands.cold().late_error = std::move(tick.error);
}

}  // namespace

// A step has failed: it is tried again, somebody handles it, or that is the end of the run.
void fail(RunState& state, Tick& tick, Commands& commands) {
  const Invocation& invocation = *tick.invocation;
  const RetryPolicy& policy = state.workflow->steps()[invocation.step].retry;
  const Error* said = tick.error->cause ? tick.error->cause.get() : tick.error.get();
  // Of a step that is a workflow: by what was said inside.
  while (state.workflow->steps()[invocation.step].is_child() && said->cause) said = said->cause.get();
  const Error& cause = *said;
  if (tick.retries && may_retry(policy, invocation.attempt, cause)) return back_off(state, tick, commands);
  const bool has_joins = state.workflow->has_joins();
  const bool is_handler =
      invocation.event->type() == kStepFailed && state.workflow->joined_by(invocation.step) == kNoOpener;
  const bool is_handled = !tick.outputs.empty() && !is_handler &&
                          (!has_joins || is_taken(state, invocation, tick.outputs.front()));
  Ref<Error> no_room = is_handled && has_joins ? prepare_scopes(state, invocation, tick.outputs) : nullptr;
  if (!is_handled || no_room) {
    if (no_room) tick.error = std::move(no_room);
    leave_place(state, tick);
    let_go(state, tick.invocation, commands);
    return fail_run(state, std::move(tick.error), commands);
  }
  reserve_for(state, tick, count_deliveries(state, tick.outputs), commands);
  if (has_joins) begin_routing(state, invocation, true, tick.now_ms, commands);
  leave_place(state, tick);
  let_go(state, tick.invocation, commands);
  commands.more = true;
  commands.cold().late_error = std::move(tick.error);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// The body has returned, and somebody completes it later.
void body_returned(RunState& state, Invocation* invocation) noexcept {
  invocation->has_returned = true;
  if (is_asking_in_flight(*invocation)) ++state.in_flight_idle;
}

// The body has asked and returned.
void suspend(RunState& state, Invocation* invocation) noexcept {
  end_execution(state, invocation);
  if (invocation->journal->begin_again()) return requeue(state, invocation);
  invocation->place = Place::asking;
  state.asking.insert(invocation);
}

}  // namespace blazen
