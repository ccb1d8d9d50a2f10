// What a step does while it runs: it sends and publishes; and whether it has done so before.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/growth.hpp"
#include "run/rooms.hpp"

namespace blazen {
namespace {

// An execution that follows another of its invocation compares each effect with the one that the others had
// at its position. The same kind, type and target: it is the repetition, and has no effect again; the first
// one counts, and so does its payload, whatever the attempts after it say. Another kind, type or target: the
// new one counts as well, and is what later executions are compared with. Each position is compared by
// itself: after an effect that others have not had, all behind it are one further on, and diverge where their
// kinds do.

}  // namespace

// With a place for it on the stream, and for the one event that the tick of an effect publishes. Throws
// std::bad_alloc.
Ref<Event> make_report(std::string_view kind, const Invocation& invocation, const std::string& members,
                       Commands& commands) {
  const std::string report = "{\"kind\":\"" + std::string(kind) +
                             "\",\"invocation_id\":" + std::to_string(invocation.id) + members + "}";
  reserve_more(commands.cold().published, 2);
  return Event::make(kLifecycle, Value::copy(Tag::json, report));
}

namespace {

std::string position_member(const Invocation& invocation) {
  return ",\"position\":" + std::to_string(invocation.journal->repeated);
}

}  // namespace

// With room for what is withdrawn.
std::string question_members(std::string_view id, std::string_view instead_of, Commands& commands) {
  commands.cold().dropped_timers.reserve(0);
  return ",\"request_id\":" + nlohmann::json(id).dump() +
         ",\"instead_of\":" + nlohmann::json(instead_of).dump();
}

namespace {

// Then there is nothing to do, whatever the limits say by now, but to say where it is not an exact one: once
// for each attempt that says the same.
bool is_repetition(RunState& state, const Tick& tick, Commands& commands) {
  const Invocation& invocation = *tick.invocation;
  Effect* earlier = invocation.journal ? invocation.journal->earlier() : nullptr;
  if (earlier == nullptr || earlier->identity != tick.effect.identity) return false;
  const uint64_t reported = tick.effect.payload + invocation.attempt;
  if (earlier->payload != tick.effect.payload && earlier->reported != reported) {
    publish(state, make_report("send_changed", invocation, position_member(invocation), commands), commands);
    earlier->reported = reported;
  }
  ++tick.invocation->journal->repeated;
  return true;
}

bool diverges(const Tick& tick) noexcept {
  return tick.invocation->journal->earlier() != nullptr ||
         (tick.question != nullptr && !tick.question->instead_of.empty());
}

[[gnu::noinline]] Ref<Event> make_divergence(const Tick& tick, Commands& commands) {
  const Invocation& invocation = *tick.invocation;
  const std::string_view instead_of = tick.question == nullptr ? "" : tick.question->instead_of;
  std::string members = position_member(invocation);
  if (!instead_of.empty())
    members += question_members(tick.outputs.front().event->correlation(), instead_of, commands);
  return make_report("send_diverged", invocation, members, commands);
}

bool effect_has_room(const RunState& state, const Invocation& invocation, Commands& commands) noexcept {
  const size_t sent = invocation.journal ? invocation.journal->repeated : 0;
  if (sent < state.workflow->policy().limits.step_sends) return true;
  return refuse(commands, Status::limit, "BLAZEN_LIMIT_STEP_SENDS");
}

}  // namespace

// Throws std::bad_alloc.
Journal& journal_of(RunState& state, Invocation& invocation) {
  if (!invocation.journal) invocation.journal = state.pool.take_journal();
  return *invocation.journal;
}

void send(RunState& state, Tick& tick, Commands& commands) {
  if (is_repetition(state, tick, commands)) return;
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  const bool has_joins = state.workflow->has_joins();
  if (has_joins) {
    if (Ref<Error> error = prepare_scopes(state, *tick.invocation, tick.outputs))
      return refuse_with(commands, std::move(error), Status::limit);
  }
  journal_of(state, *tick.invocation).reserve();
  reserve_for(state, tick, deliveries, commands);
  if (tick.is_special && refuse_asking(state, tick, commands)) return;
  Ref<Event> divergence = diverges(tick) ? make_divergence(tick, commands) : nullptr;
  if (tick.question != nullptr) {
    tick.invocation->journal->note_question(tick.outputs.front().event->correlation(), tick.question->digest);
    withdraw_question(state, *tick.invocation, tick.question->instead_of, commands);
  }
  if (divergence) publish(state, std::move(divergence), commands);
  tick.invocation->journal->note(tick.effect);
  if (has_joins) begin_routing(state, *tick.invocation, false, tick.now_ms, commands);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// Its answer stands in the groups that are whole: whoever runs again at this position is given the same.
void collect(RunState& state, Tick& tick, Commands& commands) {
  Invocation& invocation = *tick.invocation;
  Collecting& collecting = *tick.collecting;
  const uint32_t position = invocation.journal ? invocation.journal->repeated : 0;
  if (is_repetition(state, tick, commands)) {
    if (state.collects) collecting.group = state.collects->find(invocation.id, position);
    return;
  }
  if (!effect_has_room(state, invocation, commands)) return;
  if (!queue_has_room(state, 1)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  journal_of(state, invocation).reserve();
  Ref<Event> divergence = diverges(tick) ? make_divergence(tick, commands) : nullptr;
  if (!state.collects) state.collects = std::make_unique<Collects>();
  const Scope* scope = state.scopes ? state.scopes->scope_of(invocation.event->membership) : nullptr;
  collecting.group = state.collects->collect(
      {scope == nullptr ? 0 : scope->id, invocation.step, std::string(collecting.key)}, collecting.wanted,
      invocation.event, invocation.id, position);
  if (divergence) publish(state, std::move(divergence), commands);
  invocation.journal->note(tick.effect);
}

void leave_collects(RunState& state, const Invocation& invocation, Commands& commands) noexcept {
  while (Ref<Group> group = state.collects->take_whole(invocation.id)) {
    group->next = std::move(commands.cold().dropped_groups);
    commands.cold().dropped_groups = std::move(group);
    commands.more = true;
  }
}

void publish_from_step(RunState& state, Tick& tick, Commands& commands) {
  if (is_repetition(state, tick, commands)) return;
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  journal_of(state, *tick.invocation).reserve();
  reserve_more(commands.cold().published, 1);
  if (diverges(tick)) publish(state, make_divergence(tick, commands), commands);
  tick.invocation->journal->note(tick.effect);
  publish(state, std::move(tick.outputs.front().event), commands);
}

}  // namespace blazen
