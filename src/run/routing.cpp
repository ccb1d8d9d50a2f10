// Where does an event go next? To the end of the run, to a human, to one step, to all that accept it, or to nobody; at once,
// or later. Before anything is routed, its bounds are looked at, and room is made: so routing itself cannot fail.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/growth.hpp"
#include "run/rooms.hpp"

namespace blazen {

// How many invocations the outputs will make, up to the first StopEvent. One that is delayed waits by itself,
// even where nobody will accept it.
size_t count_deliveries(const RunState& state, std::span<const Output> outputs) noexcept {
  size_t count = 0;
  for (const Output& output : outputs) {
    if (output.type == kStopType && output.delay_ms == 0) break;
    if (output.target != kNoStep || output.delay_ms != 0) {
      ++count;
    } else if (output.type != kUnknownType) {
      count += state.workflow->acceptors(output.type).size();
    }
  }
  return count;
}

[[gnu::noinline]] void reserve_for_unhandled(RunState& state, std::span<const Output> outputs,
                                             Commands& commands) {
  reserve_more(commands.cold().published, outputs.size());
  size_t longest = 0;
  for (const Output& output : outputs) longest = std::max(longest, output.event->type().size());
  if (!state.last_unhandled) state.last_unhandled = std::make_unique<std::string>();
  state.last_unhandled->reserve(longest);
}

namespace {

// For outputs that ask, or are delayed.
[[gnu::noinline]] void reserve_for_special(RunState& state, std::span<const Output> outputs,
                                           Commands& commands) {
  size_t questions = 0;
  size_t delays = 0;
  size_t delayed_questions = 0;
  for (const Output& output : outputs) {
    const bool is_question = output.type == kInputRequestType;
    if (is_question) ++questions;
    if (output.delay_ms == 0) continue;
    ++delays;
    if (is_question) ++delayed_questions;
  }
  state.timers.reserve(delays, delayed_questions);
  reserve_for_questions(state, questions, commands);
}

}  // namespace

// Room for everything that routing the outputs of a tick will need, so that nothing after it can fail.
void reserve_for(RunState& state, const Tick& tick, size_t deliveries, Commands& commands) {
  state.pool.reserve(deliveries);
  if (state.scopes) reserve_for_joins(state, deliveries, commands);
  if (tick.is_special) reserve_for_special(state, tick.outputs, commands);
  if (state.workflow->policy().unhandled != Unhandled::fail)
    reserve_for_unhandled(state, tick.outputs, commands);
}

// Events that wait in groups.
uint64_t collected_count(const RunState& state) noexcept {
  return (state.scopes ? state.scopes->collected : 0) + (state.collects ? state.collects->count : 0);
}

// leaving: an invocation that is done makes room for what it has emitted. What is there already, as after a
// resume under a lower bound, is no reason to refuse a tick that adds nothing.
bool queue_has_room(const RunState& state, size_t deliveries, size_t leaving) noexcept {
  const uint64_t collected = collected_count(state);
  return deliveries == 0 || state.open - leaving + delayed_count(state) + collected + deliveries <=
                                state.workflow->policy().limits.queued_events;
}

// Whether outputs find room, whoever takes them: then they need not be counted, and nothing can fail.
// leaving: as above.
bool has_room_for_all(const RunState& state, size_t outputs, size_t leaving) noexcept {
  const size_t most = outputs * state.workflow->acceptors_max();
  const WorkflowPolicy& policy = state.workflow->policy();
  return most <= state.pool.available() && state.workflow->routes_plainly() &&
         state.open - leaving + delayed_count(state) + most <= policy.limits.queued_events;
}

namespace {

void deliver(RunState& state, Ref<Event> event, StepIndex step) noexcept {
  admit_or_wait(state, make_invocation(state, std::move(event), step));
}

}  // namespace

void publish(RunState& state, Ref<Event> event, Commands& commands) noexcept {
  commands.more = true;
  commands.cold().published.push_back({++top_of(state).stream_last, std::move(event)});  // reserved
}

namespace {

// Nobody accepts it. False: that was the end of the run. The event stays with the output, which its owner
// drops.
[[gnu::noinline]] bool route_unhandled(RunState& state, const Output& output, Commands& commands) noexcept {
  const Unhandled policy = state.workflow->policy().unhandled;
  if (policy == Unhandled::fail) {
    fail_run(state, no_handler(*output.event, opener_of_unhandled(state, output)), commands);
    return false;
  }
  state.last_type = kUnknownType;
  *state.last_unhandled = output.event->type();  // reserved
  if (policy == Unhandled::stream) publish(state, output.event, commands);
  return true;
}

// An event that has its id goes where it belongs later.
[[gnu::noinline]] void delay(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  const uint64_t id = output.event->id;
  const int64_t due_ms = add_ms(state.clock.at(now_ms), output.delay_ms);
  const MembershipIndex membership = enter_scope(state, id);
  if (membership != 0) {
    state.scopes->at(membership).delayed = id;
    state.scopes->at(membership).due_ms = due_ms;
  }
  state.timers.add({due_ms, TimerClass::delay, id},
                   {nullptr, std::move(output.event), output.type, output.target, membership});  // reserved
  commands.more = true;
}

}  // namespace

// Where does an event go next? To the end of the run, to a human, to one step, to all that accept it in their
// order, or to nobody. False: the run has ended with it.
bool route_now(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  if (is_routed_by_engine(output.type)) {
    if (output.type == kStopType) {
      finish(state, Phase::completed, output.event->take_value(), nullptr, commands);
      return false;
    }
    Question& question = open_question(state, output.event, nullptr, now_ms, commands);
    question.membership = enter_scope(state, output.event->id);
    if (question.membership != 0) state.scopes->at(question.membership).question = &question;
    if (output.target == kNoStep && state.workflow->acceptors(output.type).empty()) {
      state.last_type = output.type;
      return true;
    }
  }
  if (state.workflow->has_joins()) [[unlikely]] {
    const TypeId type = output.type;
    if (!deliver_in_scopes(state, output, commands)) return route_unhandled(state, output, commands);
    state.last_type = type;
    return true;
  }
  if (output.target != kNoStep) {
    state.last_type = output.type;
    deliver(state, std::move(output.event), output.target);
    return true;
  }
  if (output.type == kUnknownType) return route_unhandled(state, output, commands);
  const std::vector<StepIndex>& steps = state.workflow->acceptors(output.type);
  if (steps.empty()) return route_unhandled(state, output, commands);
  state.last_type = output.type;
  for (size_t i = 0; i + 1 < steps.size(); ++i) deliver(state, output.event, steps[i]);
  deliver(state, std::move(output.event), steps.back());
  return true;
}

namespace {

// It gets its id, and goes now or later.
bool route(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  output.event->id = ++state.event_id_last;
  if (state.scopes && drops_late(state, output, commands)) return true;
  if (output.delay_ms != 0) {
    delay(state, output, now_ms, commands);
    return true;
  }
  return route_now(state, output, now_ms, commands);
}

}  // namespace

// Most outputs go to one step, at once.
void route_all(RunState& state, std::span<Output> outputs, int64_t now_ms, Commands& commands) noexcept {
  const Workflow& workflow = *state.workflow;
  for (Output& output : outputs) {
    const StepIndex step = workflow.plain_acceptor(output.type);
    if (step == kNoStep || output.target != kNoStep || output.delay_ms != 0) [[unlikely]] {
      if (!route(state, output, now_ms, commands)) return;
      continue;
    }
    output.event->id = ++state.event_id_last;
    state.last_type = output.type;
    make_ready(state, make_invocation(state, std::move(output.event), step));
  }
}

// As above, of a run that has scopes: most go to one step, or to one join, at once.
void route_all_in_scopes(RunState& state, std::span<Output> outputs, int64_t now_ms,
                         Commands& commands) noexcept {
  for (Output& output : outputs) {
    if (!deliver_to_the_one(state, output, commands) && !route(state, output, now_ms, commands)) return;
  }
}

void post(RunState& state, Tick& tick, Commands& commands) {
  const bool has_joins = (state.workflow->has_joins() || tick.scope != 0) && tick.kind == Tick::Kind::post;
  if (has_joins) {
    if (Ref<Error> error = refuse_outside(state, tick.outputs.front(), tick.scope))
      return refuse_with(commands, std::move(error), Status::not_found);
    prepare_from_outside(state, tick.outputs.front(), tick.scope);
  }
  if (tick.is_special || !has_room_for_all(state, tick.outputs.size(), 0)) {
    const size_t deliveries = count_deliveries(state, tick.outputs);
    if (!queue_has_room(state, deliveries)) {
      refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
      return;
    }
    reserve_for(state, tick, deliveries, commands);
  }
  if (tick.kind == Tick::Kind::start) {
    state.phase = Phase::running;
    state.clock.set(tick.now_ms, tick.date_ms, true);
  }
  if (has_joins) begin_routing_in(state, tick.scope);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

}  // namespace blazen
