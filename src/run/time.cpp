// What is due by the clock of the run: the end of its time, attempts that begin again, events that were delayed.
#include <algorithm>
#include <utility>

#include "base/growth.hpp"
#include "run/rooms.hpp"

namespace blazen {
namespace {

// So many things that are due are one tick: what is left is due at once, with the lock free in between.
constexpr size_t kDueAtOnce = 256;

// Room for the delayed events that are due.
void reserve_for_due(RunState& state, int64_t time_ms, Commands& commands) {
  size_t deliveries = 0;
  size_t events = 0;
  size_t fires = 0;
  for (auto at = state.timers.begin();
       at != state.timers.end() && at->first.due_ms <= time_ms && fires < kDueAtOnce; ++at, ++fires) {
    if (at->first.what != TimerClass::delay) continue;
    Output output{at->second.event, at->second.type, at->second.target};
    deliveries += count_deliveries(state, {&output, 1});
    if (state.workflow->policy().unhandled != Unhandled::fail)
      reserve_for_unhandled(state, {&output, 1}, commands);
    if (state.scopes) prepare_in_scope(state, at->second.membership, output);
    ++events;
  }
  state.pool.reserve(deliveries);
  if (state.scopes) reserve_for_joins(state, deliveries, commands);
  if (events == 0) return;
  commands.cold().dropped_timers.reserve(0);
  reserve_for_questions(state, events, commands);
  reserve_more(commands.cold().published, events);
}

// Whatever is due, in the order of the moments; at the same one, attempts come before events, and the lower
// id first.
void fire_due(RunState& state, const Tick& tick, int64_t time_ms, Commands& commands) noexcept {
  for (size_t left = kDueAtOnce; left > 0 && !has_ended(state); --left) {
    if (state.timers.first_due_ms() > time_ms) return;
    Timers::Node timer = state.timers.extract(state.timers.begin());
    if (timer.key().what == TimerClass::retry) {
      requeue(state, timer.mapped().invocation);
    } else {
      Output output{timer.mapped().event, timer.mapped().type, timer.mapped().target};
      const MembershipIndex membership = timer.mapped().membership;
      begin_routing_at(state, membership);
      leave_scope(state, membership);
      commands.more = true;
      commands.cold().dropped_timers.insert(std::move(timer));  // the event is let go of outside the lock
      if (Ref<Error> refused = refuse_question(state, output)) {
        fail_run(state, annotate(std::move(refused), output.event->source()), commands);
      } else {
        route_now(state, output, tick.now_ms, commands);
      }
      if (state.scopes) state.scopes->unhold();
    }
  }
}

}  // namespace

// The time of the run is up before anything else is; then, what was due first; at one moment, attempts, events, questions,
// joins.
void advance(RunState& state, Tick& tick, Commands& commands) {
  if (state.phase != Phase::running) return;
  const int64_t time_ms = state.clock.at(tick.now_ms);
  if (state.clock.runs && time_ms - tick.slack_ms >= deadline_of(state))
    return fail_run(state, timed_out(state, tick.now_ms), commands);
  const int64_t lateness_ms = state.deadlines.lateness(tick.now_ms);
  const int64_t until_ms = time_ms - std::max<int64_t>(lateness_ms, 0);
  if (state.clock.runs && state.timers.first_due_ms() <= until_ms) {
    reserve_for_due(state, until_ms, commands);
    fire_due(state, tick, until_ms, commands);
  } else if (lateness_ms >= 0 && state.deadlines.first_key().what == DeadlineClass::question) {
    answer_by_default(state, tick.now_ms, commands);
  } else if (lateness_ms >= 0) {
    close_at_deadline(state, tick.now_ms, commands);
  }
}

}  // namespace blazen
