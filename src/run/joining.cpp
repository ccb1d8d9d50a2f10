// Where what a tick routes belongs, and what the joins take of it: scopes are opened and left here, and when the tick is
// over, those that are over are joined. Only for workflows with joins; scopes.hpp says what a scope is.
//
// A tick that routes first prepares (prepare_scopes, which may fail), and then begins (begin_routing); settle_scopes ends
// every tick of a run that has scopes. Between ticks there is room for each invocation of a join that may come: so those
// need none.
#include <algorithm>
#include <string>
#include <utility>

#include "base/growth.hpp"
#include "run/rooms.hpp"
#include "run/step_failed.hpp"

namespace blazen {
namespace {

bool is_opener(const RunState& state, const Invocation& invocation) noexcept {
  return state.workflow->opened_by(invocation.step) != kNoOpener;
}

// ----------------------------------------------------------------------------------------------- who takes it

// Whether a step takes an event of this scope: a join outside of its scopes takes none.
bool takes(const RunState& state, StepIndex step, Scope* scope, OpenerIndex opened_now) noexcept {
  const OpenerIndex opener = state.workflow->joined_by(step);
  return opener == kNoOpener || opener == opened_now || Scopes::nearest(scope, opener) != nullptr;
}

// Who accepts an output, of whom `takes` has the last word.
std::span<const StepIndex> acceptors_of(const RunState& state, const Output& output) noexcept {
  if (output.target != kNoStep) return {&output.target, 1};
  if (output.type == kUnknownType || output.type == kStopType) return {};
  return state.workflow->acceptors(output.type);
}

// --------------------------------------------------------------------------------------------------- preparing

// Where a tick's outputs will belong. opened_now: the opener whose scope it opens; kNoOpener: none.
struct Plan {
  Scope* scope = nullptr;
  OpenerIndex opened_now = kNoOpener;
  bool tracks = false;
};

void prepare_output(RunState& state, const Plan& plan, const Output& output) {
  Scopes& scopes = *state.scopes;
  const std::span<const StepIndex> steps = acceptors_of(state, output);
  if (steps.size() == 1 && state.workflow->joined_by(steps.front()) == kNoOpener) return;
  size_t takers = 0;
  bool is_joined = false;
  for (const StepIndex step : steps) {
    if (!takes(state, step, plan.scope, plan.opened_now)) continue;
    ++takers;
    const OpenerIndex opener = state.workflow->joined_by(step);
    if (opener == kNoOpener) continue;
    is_joined = true;
    scopes.prepare_arrival(opener == plan.opened_now ? nullptr : Scopes::nearest(plan.scope, opener), step,
                           output.event->correlation());
  }
  // Each but the last gets a copy of its own where it has a place of its own.
  for (size_t i = 1; i < takers && (is_joined || plan.tracks); ++i) scopes.prepare_copy(*output.event);
}

void prepare_outputs(RunState& state, const Plan& plan, std::span<const Output> outputs) {
  for (const Output& output : outputs) {
    if (output.delay_ms == 0) prepare_output(state, plan, output);
  }
}

Ref<Error> no_room(const RunState& state, const Invocation& opener, const char* limit, uint64_t most) {
  return annotate(Error::make(Status::limit, std::string(limit) + " (" + std::to_string(most) +
                                                 ") reached by the scope that step '" +
                                                 state.workflow->steps()[opener.step].name + "' opens"),
                  state.workflow->steps()[opener.step].name);
}

Scopes& scopes_of(RunState& state) {
  if (!state.scopes) {
    state.scopes = std::make_unique<Scopes>(*state.workflow, state.deadlines);
  }
  return *state.scopes;
}

}  // namespace

Ref<Error> prepare_scopes(RunState& state, const Invocation& from, std::span<const Output> outputs) {
  Plan plan;
  const OpenerIndex opener = state.workflow->opened_by(from.step);
  if (opener != kNoOpener) {
    Scopes& scopes = scopes_of(state);
    plan.scope = scopes.opened_by(from.id);
    if (plan.scope == nullptr) {
      const Limits& limits = state.workflow->policy().limits;
      plan.scope = scopes.scope_of(from.event->membership);
      plan.opened_now = opener;
      if (scopes.size() >= limits.scopes) return no_room(state, from, "BLAZEN_LIMIT_SCOPES", limits.scopes);
      if (plan.scope != nullptr && plan.scope->depth >= limits.scope_depth)
        return no_room(state, from, "BLAZEN_LIMIT_SCOPE_DEPTH", limits.scope_depth);
      scopes.prepare_open(opener);
    }
  } else if (state.scopes) {
    plan.scope = state.scopes->scope_of(from.event->membership);
  }
  if (!state.scopes) return nullptr;
  plan.tracks = (plan.scope != nullptr && plan.scope->tracks) ||
                (plan.opened_now != kNoOpener && state.workflow->openers()[plan.opened_now].cancels_rest);
  prepare_outputs(state, plan, outputs);
  return nullptr;
}

void prepare_in_scope(RunState& state, MembershipIndex base, const Output& output) {
  if (!state.scopes) return;
  Plan plan;
  plan.scope = state.scopes->scope_of(base);
  plan.tracks = plan.scope != nullptr && plan.scope->tracks;
  prepare_output(state, plan, output);
}

// After the deliveries are reserved: what the joins may need in this tick, and in those after it that prepare nothing.
void reserve_for_joins(RunState& state, size_t deliveries, Commands& commands) {
  if (!state.scopes) return;
  const size_t joins = state.scopes->may_deliver();
  state.scopes->prepare_deliveries();
  state.pool.reserve(deliveries + joins);
  state.scopes->prepare_memberships(deliveries + joins + 2);
  if (!state.workflow->cancels_rest()) return;
  reserve_more(commands.cold().cancelled, state.in_flight.size() + 1);
  commands.cold().dropped_timers.reserve(0);
}

Ref<Error> refuse_outside(RunState& state, const Output& output, uint64_t scope_id) {
  Scope* const scope = state.scopes && scope_id != 0 ? state.scopes->find(scope_id) : nullptr;
  if (scope_id != 0 && (scope == nullptr || scope->closed))
    return Error::make(Status::not_found, "options.scope: no scope " + std::to_string(scope_id) + " is open");
  const std::span<const StepIndex> steps = acceptors_of(state, output);
  for (const StepIndex step : steps) {
    if (takes(state, step, scope, kNoOpener)) return nullptr;
  }
  if (steps.empty()) return nullptr;  // what becomes of it, the policy of the workflow says
  const JoinDefinition& join = *state.workflow->steps()[steps.front()].join;
  return Error::make(Status::not_found, "event: only joins accept '" + std::string(output.event->type()) +
                                            "', and from outside it belongs to no scope of step '" + join.of +
                                            "': set options.scope to the id of one that is open");
}

void prepare_from_outside(RunState& state, const Output& output, uint64_t scope_id) {
  if (!state.scopes || scope_id == 0) return;
  Plan plan;
  plan.scope = state.scopes->find(scope_id);
  plan.tracks = plan.scope->tracks;
  prepare_output(state, plan, output);
}

bool is_taken(const RunState& state, const Invocation& from, const Output& output) noexcept {
  OpenerIndex opener = state.workflow->opened_by(from.step);
  Scope* scope = nullptr;
  if (state.scopes) {
    scope = state.scopes->opened_by(from.id);
    if (scope == nullptr) scope = state.scopes->scope_of(from.event->membership);
  }
  const std::span<const StepIndex> steps = acceptors_of(state, output);
  return std::any_of(steps.begin(), steps.end(),
                     [&](StepIndex step) { return takes(state, step, scope, opener); });
}

namespace {

// Whether prepare_output() would find nothing to do, where so many arrive.
bool is_prepared(RunState& state, Scope* scope, const Output& output, size_t count) noexcept {
  const std::span<const StepIndex> steps = acceptors_of(state, output);
  if (steps.empty()) return true;
  const OpenerIndex opener = state.workflow->joined_by(steps.front());
  Scope* const joined = opener == kNoOpener ? nullptr : Scopes::nearest(scope, opener);
  return steps.size() == 1 &&
         (joined == nullptr ||
          state.scopes->has_room_for_arrivals(*joined, steps.front(), output.event->correlation(), count));
}

}  // namespace

bool has_room_in_scopes(RunState& state, const Invocation& from, std::span<const Output> outputs) noexcept {
  if (!state.scopes || is_opener(state, from) || state.workflow->cancels_rest()) return false;
  const Scopes& scopes = *state.scopes;
  const WorkflowPolicy& policy = state.workflow->policy();
  const size_t count = outputs.size();
  const size_t most = count + scopes.may_deliver();
  const uint64_t waiting = state.open + delayed_count(state) + collected_count(state);
  if (policy.unhandled != Unhandled::fail || most > state.pool.available() ||
      !scopes.has_room_for_deliveries() || !scopes.has_room_for_memberships(most + 2) ||
      waiting + count > policy.limits.queued_events)
    return false;
  Scope* const scope = scopes.scope_of(from.event->membership);
  return std::all_of(outputs.begin(), outputs.end(),
                     [&](const Output& output) { return is_prepared(state, scope, output, count); });
}

// ----------------------------------------------------------------------------------------------------- routing

namespace {

// Of an invocation that is gone, or about to be.
void leave_scopes(RunState& state, const Invocation& invocation, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  scopes.leave(invocation.event->membership);
  if (is_opener(state, invocation)) {
    if (Scope* opened = scopes.opened_by(invocation.id)) scopes.lose_opener(*opened);
  }
  if (state.workflow->joined_by(invocation.step) == kNoOpener) return;
  if (Ref<Group> group = scopes.take_delivered(invocation.id)) {
    group->next = std::move(commands.cold().dropped_groups);
    commands.cold().dropped_groups = std::move(group);
    commands.more = true;
  }
}

}  // namespace

void begin_routing(RunState& state, const Invocation& from, bool is_done, int64_t now_ms,
                   Commands& commands) noexcept {
  if (!state.scopes) return;
  Scopes& scopes = *state.scopes;
  Scopes::Routing routing;
  if (is_opener(state, from)) {
    routing.scope = scopes.opened_by(from.id);
    if (routing.scope == nullptr) {
      if (now_ms != 0) state.deadlines.set_clock(now_ms, state.pause == Pause::none);
      routing.scope = &scopes.open(from.id, from.event->membership, now_ms);
      if (!state.deadlines.empty()) commands.more = true;  // the moment of the next one is looked at
    }
    routing.drops = routing.scope->cancelled;
  } else {
    routing.base = from.event->membership;
    routing.scope = scopes.scope_of(routing.base);
  }
  scopes.hold(routing);
  if (is_done) leave_scopes(state, from, commands);
}

void begin_routing_at(RunState& state, MembershipIndex base) noexcept {
  if (!state.scopes) return;
  state.scopes->hold({state.scopes->scope_of(base), base, false});
}

void begin_routing_in(RunState& state, uint64_t scope_id) noexcept {
  if (state.scopes && scope_id != 0) state.scopes->hold({state.scopes->find(scope_id), 0, false});
}

namespace {

void report_late(const Event& event, const Scope& scope, StepIndex join, Commands& commands) noexcept {
  if (!commands.reports) return;
  try {
    LifecycleRecord record{LifecycleRecord::Kind::late};
    record.step = join;
    record.event = Ref<Event>::share(&event);
    record.scope = scope.id;
    commands.cold().late.push_back(std::move(record));
  } catch (const std::bad_alloc&) {
    commands.unreported = true;
  }
  commands.more = true;
}

void invoke(RunState& state, const Scope& scope, StepIndex join, Ref<Group> group) noexcept {
  Scopes& scopes = *state.scopes;
  Ref<Event> event = std::move(group->last);
  if (!event) {
    event = std::move(group->empty_event);
    event->id = ++state.event_id_last;
  }
  event->membership = scopes.enter_parent(scope);
  const MembershipIndex membership = event->membership;
  Invocation* invocation = make_invocation(state, std::move(event), join);
  if (membership != 0) scopes.at(membership).invocation = invocation;
  scopes.deliver(std::move(group), invocation->id);
  admit_or_wait(state, invocation);
}

void drop_group(Scopes& scopes, Ref<Group> group, Commands& commands) noexcept {
  scopes.collected -= group->arrived.size();
  group->next = std::move(commands.cold().dropped_groups);
  commands.cold().dropped_groups = std::move(group);
  commands.more = true;
}

// The join takes no more of this scope: it is invoked with what it has.
void give_rest(RunState& state, Scope& scope, ScopeJoin& join, JoinReason reason,
               Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  if (join.closed) return;
  const bool skips = state.workflow->steps()[join.step].join->skips_empty;
  while (Ref<Group> group = scopes.take_rest(scope, join, reason)) {
    if (group->arrived.empty() && skips) {
      drop_group(scopes, std::move(group), commands);
    } else {
      invoke(state, scope, join.step, std::move(group));
    }
  }
  scopes.close_join(scope, join);
}

void arrive(RunState& state, Scope& scope, StepIndex step, Ref<Event> event, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  ScopeJoin& join = scopes.join_of(scope, step);
  const Event& arrived = *event;
  switch (scopes.arrive(scope, join, event)) {
    case Scopes::Arrived::collected: return;
    case Scopes::Arrived::late:
      report_late(arrived, scope, step, commands);
      commands.cold().dropped_events.add(std::move(event));
      commands.more = true;
      return;
    case Scopes::Arrived::enough: break;
  }
  invoke(state, scope, step, scopes.take_enough(scope, join, arrived.correlation()));
  if (state.workflow->steps()[step].join->cancels_rest) scope.cancels_now = true;
  scopes.consider(scope);
}

void deliver_in_scope(RunState& state, Ref<Event> event, StepIndex step) noexcept {
  Scopes* const scopes = state.scopes.get();
  const MembershipIndex membership = scopes == nullptr ? 0 : scopes->enter(event->id);
  event->membership = membership;
  Invocation* invocation = make_invocation(state, std::move(event), step);
  if (membership != 0) scopes->at(membership).invocation = invocation;
  admit_or_wait(state, invocation);
}

// Most have one who accepts them.
bool deliver_to_one(RunState& state, Output& output, StepIndex step, Scope* scope,
                    Commands& commands) noexcept {
  const OpenerIndex opener = state.workflow->joined_by(step);
  if (opener == kNoOpener) {
    deliver_in_scope(state, std::move(output.event), step);
    return true;
  }
  Scope* const joined = Scopes::nearest(scope, opener);
  if (joined != nullptr) arrive(state, *joined, step, std::move(output.event), commands);
  return joined != nullptr;
}

}  // namespace

bool deliver_to_the_one(RunState& state, Output& output, Commands& commands) noexcept {
  const Workflow& workflow = *state.workflow;
  if (output.target != kNoStep || output.delay_ms != 0 || output.type == kUnknownType ||
      is_routed_by_engine(output.type) || state.scopes->routing.drops)
    return false;
  const std::vector<StepIndex>& steps = workflow.acceptors(output.type);
  if (steps.size() != 1) return false;
  const StepIndex step = steps.front();
  const OpenerIndex opener = workflow.joined_by(step);
  Scope* const joined = opener == kNoOpener ? nullptr : Scopes::nearest(state.scopes->routing.scope, opener);
  if (opener != kNoOpener && joined == nullptr) return false;
  output.event->id = ++state.event_id_last;
  state.last_type = output.type;
  if (joined != nullptr) {
    arrive(state, *joined, step, std::move(output.event), commands);
  } else {
    deliver_in_scope(state, std::move(output.event), step);
  }
  return true;
}

[[gnu::noinline]] bool drops_late(RunState& state, const Output& output, Commands& commands) noexcept {
  if (!state.scopes || !state.scopes->routing.drops || output.type == kStopType) return false;
  Scope& scope = *state.scopes->routing.scope;
  ++scope.late;
  report_late(*output.event, scope, scope.joins.front().step, commands);
  return true;
}

[[gnu::noinline]] MembershipIndex enter_scope(RunState& state, uint64_t event_id) noexcept {
  return state.scopes ? state.scopes->enter(event_id) : 0;
}

[[gnu::noinline]] void leave_scope(RunState& state, MembershipIndex membership) noexcept {
  if (state.scopes) state.scopes->leave(membership);
}

[[gnu::noinline]] bool deliver_in_scopes(RunState& state, Output& output, Commands& commands) noexcept {
  Scopes* const scopes = state.scopes.get();
  Scope* const scope = scopes == nullptr ? nullptr : scopes->routing.scope;
  const std::span<const StepIndex> steps = acceptors_of(state, output);
  if (steps.size() == 1) return deliver_to_one(state, output, steps.front(), scope, commands);
  size_t takers = 0;
  bool is_joined = false;
  for (const StepIndex step : steps) {
    if (!takes(state, step, scope, kNoOpener)) continue;
    ++takers;
    is_joined = is_joined || state.workflow->joined_by(step) != kNoOpener;
  }
  if (takers == 0) return false;
  const bool copies = is_joined || (scope != nullptr && scope->tracks);
  for (const StepIndex step : steps) {
    if (!takes(state, step, scope, kNoOpener)) continue;
    Ref<Event> event;
    if (--takers == 0) {
      event = std::move(output.event);
    } else if (copies) {
      event = scopes->take_copy();
      event->id = output.event->id;
    } else {
      event = output.event;
    }
    const OpenerIndex opener = state.workflow->joined_by(step);
    if (opener == kNoOpener) {
      deliver_in_scope(state, std::move(event), step);
    } else {
      arrive(state, *Scopes::nearest(scope, opener), step, std::move(event), commands);
    }
  }
  return true;
}

[[gnu::noinline]] std::string_view opener_of_unhandled(const RunState& state, const Output& output) noexcept {
  for (const StepIndex step : acceptors_of(state, output)) {
    if (state.workflow->joined_by(step) != kNoOpener) return state.workflow->steps()[step].join->of;
  }
  return {};
}

// -------------------------------------------------------------------------------------------- the end of a tick

namespace {

// The invocation is gone from the state; the body of one in flight is the engine's to tell.
void cancel_invocation(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  Commands::Cold& cold = commands.cold();
  leave_scopes(state, *invocation, commands);
  if (invocation->place == Place::in_flight) {
    const StepDefinition& step = state.workflow->steps()[invocation->step];
    Call* const call = invocation->journal ? invocation->journal->call : nullptr;
    // Its body looks at the event yet: until the engine has told it, that is kept.
    cold.cancelled.push_back({invocation->id, call, invocation->began_ms, invocation->event});  // reserved
    const bool was_to_begin = commands.start == invocation;
    if (was_to_begin) commands.start = nullptr;
    if (commands.started == invocation) commands.started = nullptr;
    // Where there is no body, none comes back to give the permit back.
    const bool has_body = !was_to_begin && !step.is_child();
    end_execution(state, invocation, has_body && step.needs_permit() && step.abandoned_keeps_permit);
  } else {
    leave_queue(state, invocation);
  }
  Ref<Event> released = std::exchange(commands.released, nullptr);
  let_go(state, invocation, commands);
  cold.dropped_events.add(std::exchange(commands.released, std::move(released)));
  commands.more = true;
}

void cancel_delayed(RunState& state, const Membership& membership, Commands& commands) noexcept {
  const TimerKey key{membership.due_ms, TimerClass::delay, membership.delayed};
  commands.cold().dropped_timers.insert(state.timers.extract(state.timers.find(key)));
  commands.more = true;
}

void cancel_members(RunState& state, Scope& scope, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  for (MembershipIndex next = 0, at = scope.first; at != 0; at = next) {
    const Membership member = scopes.at(at);
    next = member.next;
    if (member.invocation != nullptr) {
      cancel_invocation(state, member.invocation, commands);
    } else if (member.question != nullptr) {
      close_question(state, *member.question);
    } else if (member.delayed != 0) {
      cancel_delayed(state, member, commands);
      scopes.leave(at);
    }  // else a scope inside, or what the tick holds
  }
}

void drop_joins(RunState& state, Scope& scope, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  for (ScopeJoin& join : scope.joins) {
    if (join.closed) continue;
    while (Ref<Group> group = scopes.take_rest(scope, join, JoinReason::none))
      drop_group(scopes, std::move(group), commands);
    scopes.close_join(scope, join);
  }
}

// What is left of the scope, and of those inside, innermost last; but not its opener, which belongs around it.
void cancel_rest(RunState& state, Scope& scope, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  scope.cancelled = true;
  Scope* at = &scope;
  while (at != nullptr) {
    at->cancels_now = false;
    if (at != &scope) drop_joins(state, *at, commands);
    at->cancelled = true;
    cancel_members(state, *at, commands);
    scopes.consider(*at);
    if (at->first_inside != nullptr) {
      at = at->first_inside;
      continue;
    }
    while (at != &scope && at->next_sibling == nullptr) at = at->parent;
    at = at == &scope ? nullptr : at->next_sibling;
  }
}

}  // namespace

void drop_collected(RunState& state, const Scope& scope, Commands& commands) noexcept {
  while (Ref<Event> event = state.collects->take_left(scope.id)) {
    report_late(*event, scope, kNoStep, commands);
    commands.cold().dropped_events.add(std::move(event));
    commands.more = true;
  }
}

// The innermost first; joins of one scope in their order.
void settle_scopes(RunState& state, Commands& commands) noexcept {
  Scopes& scopes = *state.scopes;
  scopes.release();
  while (Scope* scope = scopes.take_candidate()) {
    if (std::exchange(scope->cancels_now, false)) cancel_rest(state, *scope, commands);
    if (scope->live == 0) {
      for (ScopeJoin& join : scope->joins) {
        const bool is_all = state.workflow->steps()[join.step].join->mode == JoinDefinition::Mode::all;
        give_rest(state, *scope, join, is_all ? JoinReason::complete : JoinReason::shortfall, commands);
      }
    }
    scopes.close_if_done(*scope);
    if (scope->closed && state.collects) drop_collected(state, *scope, commands);
    scopes.forget_if_over(scope);
  }
}

// -------------------------------------------------------------------------------------------------------- time

namespace {

Ref<Error> deadline_passed(const RunState& state, const Scope& scope, const ScopeJoin& join) {
  const StepDefinition& step = state.workflow->steps()[join.step];
  size_t arrived = join.group ? join.group->arrived.size() : 0;
  for (const Group* group = join.first; group != nullptr; group = group->after)
    arrived += group->arrived.size();
  return annotate(Error::make(Status::step_timeout,
                              "join '" + step.name + "' timed out: scope " + std::to_string(scope.id) +
                                  " of step '" + step.join->of + "' was not over within its " +
                                  std::to_string(step.join->deadline_ms) + " ms; " + std::to_string(arrived) +
                                  (step.join->wanted == 0 ? "" : " of " + std::to_string(step.join->wanted)) +
                                  (arrived == 1 ? " event has" : " events have") + " arrived"),
                  step.name);
}

// In the scope around, as any failure of a step there.
void fail_join(RunState& state, Scope& scope, ScopeJoin& join, int64_t now_ms, Commands& commands) {
  Scopes& scopes = *state.scopes;
  const StepDefinition& step = state.workflow->steps()[join.step];
  Ref<Error> error = deadline_passed(state, scope, join);
  Output output;
  bool is_handled = false;
  if (error->status == Status::step_timeout && !state.workflow->acceptors(kStepFailedType).empty()) {
    output.event = step_failed_event(kStepFailed, *error, step.name, 1, 0, *join.group->empty_event);
    output.type = kStepFailedType;
    for (const StepIndex handler : state.workflow->acceptors(kStepFailedType))
      is_handled = is_handled || takes(state, handler, scope.parent, kNoOpener);
    prepare_in_scope(state, scope.in_parent, output);
    const size_t deliveries = count_deliveries(state, {&output, 1});
    state.pool.reserve(deliveries);
    reserve_for_joins(state, deliveries, commands);
  }
  while (Ref<Group> group = scopes.take_rest(scope, join, JoinReason::none))
    drop_group(scopes, std::move(group), commands);
  scopes.close_join(scope, join);
  if (!is_handled) return fail_run(state, std::move(error), commands);
  commands.more = true;
  commands.cold().late_error = std::move(error);
  begin_routing_at(state, scope.in_parent);
  route_all(state, {&output, 1}, now_ms, commands);
}

}  // namespace

void close_at_deadline(RunState& state, int64_t now_ms, Commands& commands) {
  Scopes& scopes = *state.scopes;
  const DeadlineKey key = state.deadlines.first_key();
  Scope& scope = *state.deadlines.first().scope;
  ScopeJoin& join = scope.joins[key.place];
  const JoinDefinition& definition = *state.workflow->steps()[join.step].join;
  reserve_for_joins(state, 0, commands);
  if (definition.fails_at_deadline) {
    fail_join(state, scope, join, now_ms, commands);
  } else {
    give_rest(state, scope, join, JoinReason::deadline, commands);
  }
  if (!state.scopes) return;
  if (definition.cancels_rest) scope.cancels_now = true;
  scopes.consider(scope);
  commands.more = true;
}

}  // namespace blazen
