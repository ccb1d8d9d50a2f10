// What happens to a run as a whole: its end, a pause, and that it goes on from a snapshot.
#include <utility>

#include "run/rooms.hpp"

namespace blazen {
namespace {

// Whatever is queued will never run. What is in flight stays until its body has returned.
void drop_queued(RunState& state, Commands& commands) noexcept {
  const bool has_queued = state.open != state.in_flight.size();
  state.in_flight_idle = 0;
  if (early_answers(state) != nullptr) commands.cold().dropped_early = std::move(state.rare->early_answers);
  state.deadlines.clear();
  if (state.collects) commands.cold().dropped_collects = std::move(state.collects);
  if (state.scopes) commands.cold().dropped_scopes = std::move(state.scopes);
  if (!has_queued && state.timers.empty() && state.questions.empty()) return;
  Commands::Cold& cold = commands.cold();
  const auto drop = [&cold](auto& queue) noexcept { queue.leave_to(cold.dropped, cold.dropped_late); };
  drop(state.ready);
  drop(state.interrupted);
  drop(state.asking);
  if (state.rare) {
    drop(state.rare->parked);
    cold.dropped.append(state.rare->interrupted_parked);
    cold.dropped_late.join(state.rare->interrupted_waiting);
    state.rare->interrupted_waiting_count = 0;
  }
  cold.dropped_timers.take(state.timers);
  cold.dropped_questions.take(state.questions);
  for (StepState& step : state.steps) {
    step.parked = 0;
    if (!step.queues) continue;
    drop(step.queues->waiting);
    cold.dropped_late.join(step.queues->ready);
    step.queues->place = 0;
  }
  if (state.permitted.any()) {
    for (PoolState& pool : state.permitted.pools()) drop(pool.interrupted);
    state.permitted.forget();
  }
  state.open = state.in_flight.size();
}

// Nobody waits for their permits any more.
[[gnu::noinline]] void forget_abandoned(RunState& state) noexcept {
  for (StepState& step : state.steps) step.abandoned = 0;
  state.abandoned = 0;
}

}  // namespace

[[gnu::noinline]] void finish(RunState& state, Phase phase, Ref<Value> result, Ref<Error> error,
                              Commands& commands) noexcept {
  commands.more = true;
  commands.settled = true;
  const bool was_cut_off = is_child(state) && state.kin->is_cut_off;
  if (!was_cut_off) {  // else it has ended already, and may have been seen
    state.phase = phase;
    state.pause = Pause::none;
    state.clock.runs = false;
    state.result = std::move(result);
    state.error = std::move(error);
  }
  if (state.abandoned != 0) forget_abandoned(state);
  if (state.permitted.has_pools()) free_abandoned(state);
  if (state.kin) leave_children(state, commands);
  drop_queued(state, commands);
  if (was_cut_off) state.kin->is_finished = true;
}

void fail_run(RunState& state, Ref<Error> error, Commands& commands) noexcept {
  finish(state, Phase::failed, nullptr, std::move(error), commands);
}

namespace {

// The run comes from a snapshot, and its timers count by the date: what has passed since, they have missed.
void pass_time(RunState& state, int64_t date_ms) {
  const int64_t passed_ms = date_ms - state.clock.set_date_ms;
  if (passed_ms <= 0) return;
  const auto passed = [passed_ms](int64_t due_ms) {
    return due_ms > kDueMin + passed_ms ? due_ms - passed_ms : kDueMin;
  };
  Timers missed;
  missed.reserve(state.timers.count(TimerClass::retry) + state.timers.count(TimerClass::delay),
                 state.timers.question_count());
  for (const auto& [key, timer] : state.timers) {
    const int64_t due_ms = passed(key.due_ms);
    if (timer.invocation != nullptr) timer.invocation->set_due_ms(due_ms);
    if (timer.membership != 0) state.scopes->at(timer.membership).due_ms = due_ms;
    missed.add({due_ms, key.what, key.id}, timer);
  }
  state.timers = std::move(missed);
}

}  // namespace

void resume(RunState& state, const Tick& tick) {
  if (tick.time_has_passed) pass_time(state, tick.date_ms);
  if (tick.time_has_passed && state.pause == Pause::none) state.deadlines.pass_until(tick.date_ms);
  if (tick.ends_pause) state.pause = Pause::none;
  // One that stands still has stood since it did in the snapshot.
  const bool runs = clock_should_run(status_of(state));
  const bool keeps_date = !runs && !tick.time_has_passed;
  state.clock.set(tick.now_ms, keeps_date ? state.clock.set_date_ms : tick.date_ms, runs);
  state.deadlines.set_clock(tick.now_ms, state.pause == Pause::none);
}

void pause(RunState& state, Tick& tick, Commands& commands) noexcept {
  if (state.pause != Pause::now) state.pause = tick.pause;
  state.deadlines.set_clock(tick.now_ms, false);
  if (!tick.clears_session) return;
  commands.more = true;
  commands.cold().dropped_table = std::move(state.session);
}

}  // namespace blazen
