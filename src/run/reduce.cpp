#include "run/reduce.hpp"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

namespace blazen {
namespace {

// ------------------------------------------------------------------------------------------------ end of a
// run

// Whatever is queued will never run. What is in flight stays until its body has returned.
void drop_queued(RunState& state, Commands& commands) noexcept {
  for (InvocationList* list : {&state.ready, &state.admitted, &state.parked, &state.interrupted,
                               &state.interrupted_waiting, &state.interrupted_parked}) {
    commands.dropped.append(*list);
  }
  for (StepState& step : state.steps) {
    commands.dropped.append(step.waiting);
    step.parked = 0;
    step.admitted = 0;
  }
  for (Invocation* item = state.in_flight.front(); item != nullptr; item = item->next)
    ++state.steps[item->step].admitted;
  state.open = state.in_flight.size();
}

void finish(RunState& state, Phase phase, Ref<Value> result, Ref<Error> error, Commands& commands) noexcept {
  commands.more = true;
  commands.settled = true;
  state.phase = phase;
  state.result = std::move(result);
  state.error = std::move(error);
  drop_queued(state, commands);
}

void fail_run(RunState& state, Ref<Error> error, Commands& commands) noexcept {
  finish(state, Phase::failed, nullptr, std::move(error), commands);
}

Ref<Error> annotate(Ref<Error> error, std::string_view step) noexcept {
  if (error->status == Status::out_of_memory) return error;  // there is one for everybody
  try {
    error->step = step;
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
  return error;
}

Ref<Error> no_handler(const Event& event) noexcept {
  try {
    std::string message = std::string("no step accepts event '").append(event.type()).append("'");
    if (!event.source().empty()) message.append(", which step '").append(event.source()).append("' sent");
    Ref<Error> error = Error::make(Status::no_handler, message);
    return event.source().empty() ? error : annotate(std::move(error), event.source());
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> queue_limit(const RunState& state, const Event& event) noexcept {
  try {
    std::string message = std::string("BLAZEN_LIMIT_QUEUED_EVENTS (")
                              .append(std::to_string(state.workflow->policy().limits.queued_events))
                              .append(") reached by event '")
                              .append(event.type())
                              .append("'");
    if (!event.source().empty()) message.append(" of step '").append(event.source()).append("'");
    return annotate(Error::make(Status::limit, message), event.source());
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> stalled(const RunState& state) noexcept {
  try {
    const std::string& last =
        state.last_type == kUnknownType ? state.last_unhandled : state.workflow->type_name(state.last_type);
    return Error::make(Status::stalled,
                       std::string("the run can make no progress: nothing is queued or running, and no "
                                   "StopEvent came; the last event was '")
                           .append(last)
                           .append("'"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

// ----------------------------------------------------------------------------------------------------
// routing

// How many invocations the outputs will make, up to the first StopEvent.
size_t count_deliveries(const RunState& state, std::span<const Output> outputs) noexcept {
  size_t count = 0;
  for (const Output& output : outputs) {
    if (output.type == kStopType) break;
    if (output.target != kNoStep) {
      ++count;
    } else if (output.type != kUnknownType) {
      count += state.workflow->acceptors(output.type).size();
    }
  }
  return count;
}

void reserve_for_unhandled(RunState& state, std::span<const Output> outputs, Commands& commands) {
  commands.published.reserve(commands.published.size() + outputs.size());
  size_t longest = 0;
  for (const Output& output : outputs) longest = std::max(longest, output.event->type().size());
  state.last_unhandled.reserve(longest);
}

// Room for everything that routing these outputs will need, so that nothing after it can fail.
void reserve_for(RunState& state, std::span<const Output> outputs, size_t deliveries, Commands& commands) {
  state.pool.reserve(deliveries);
  if (state.workflow->policy().unhandled != Unhandled::fail) reserve_for_unhandled(state, outputs, commands);
}

// leaving: an invocation that is done makes room for what it has emitted. What is there already, as after a
// resume under a lower bound, is no reason to refuse a tick that adds nothing.
bool queue_has_room(const RunState& state, size_t deliveries, size_t leaving = 0) noexcept {
  return deliveries == 0 ||
         state.open - leaving + deliveries <= state.workflow->policy().limits.queued_events;
}

void admit_or_wait(RunState& state, Invocation* invocation) noexcept {
  const StepDefinition& definition = state.workflow->steps()[invocation->step];
  StepState& step = state.steps[invocation->step];
  if (definition.elsewhere()) {
    invocation->place = Place::parked;
    state.parked.push_back(invocation);
    ++step.parked;
  } else if (definition.concurrency_max != 0 && step.admitted >= definition.concurrency_max) {
    invocation->place = Place::waiting;
    step.waiting.push_back(invocation);
  } else {
    invocation->place = Place::ready;
    state.ready.push_back(invocation);
    ++step.admitted;
  }
}

void deliver(RunState& state, Ref<Event> event, StepIndex step) noexcept {
  Invocation* invocation = state.pool.take();
  invocation->id = ++state.invocation_id_last;
  invocation->step = step;
  invocation->attempt = 1;
  invocation->event = std::move(event);
  ++state.open;
  admit_or_wait(state, invocation);
}

void publish(RunState& state, Ref<Event> event, Commands& commands) noexcept {
  commands.more = true;
  commands.published.push_back({++state.stream_last, std::move(event)});  // reserved
}

// Nobody accepts it. False: that was the end of the run. The event stays with the output, which its owner
// drops.
bool route_unhandled(RunState& state, const Output& output, Commands& commands) noexcept {
  const Unhandled policy = state.workflow->policy().unhandled;
  if (policy == Unhandled::fail) {
    fail_run(state, no_handler(*output.event), commands);
    return false;
  }
  state.last_type = kUnknownType;
  state.last_unhandled = output.event->type();  // reserved
  if (policy == Unhandled::stream) publish(state, output.event, commands);
  return true;
}

// Where does an event go next? To the end of the run, to one step, to all that accept it in their order, or
// to nobody. False: the run has ended with it.
bool route(RunState& state, Output& output, Commands& commands) noexcept {
  output.event->id = ++state.event_id_last;
  if (output.type == kStopType) {
    finish(state, Phase::completed, output.event->value(), nullptr, commands);
    return false;
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

void route_all(RunState& state, std::span<Output> outputs, Commands& commands) noexcept {
  for (Output& output : outputs) {
    if (!route(state, output, commands)) return;
  }
}

// ---------------------------------------------------------------------------------------------- in flight

// A permit has come free: those that were interrupted come first, then the one that has waited longest.
void hand_on_permit(RunState& state, StepIndex index) noexcept {
  StepState& step = state.steps[index];
  for (Invocation* item = state.interrupted_waiting.front(); item != nullptr; item = item->next) {
    if (item->step != index) continue;
    state.interrupted_waiting.remove(item);
    item->place = Place::interrupted;
    state.interrupted.insert_by_start(item);
    ++step.admitted;
    return;
  }
  Invocation* next = step.waiting.front();
  if (next == nullptr) return;
  step.waiting.remove(next);
  next->place = Place::ready;
  state.admitted.insert_by_id(next);
  ++step.admitted;
}

// The invocation is done.
void leave_flight(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  StepState& step = state.steps[invocation->step];
  const uint32_t permits = state.workflow->steps()[invocation->step].concurrency_max;
  state.in_flight.remove(invocation);
  --state.open;
  --step.admitted;
  if (permits != 0 && !has_ended(state)) hand_on_permit(state, invocation->step);
  commands.released = std::move(invocation->event);
  state.pool.give(invocation);
}

Invocation* take_lowest_id(RunState& state) noexcept {
  Invocation* routed = state.ready.front();
  Invocation* admitted = state.admitted.front();
  if (routed == nullptr && admitted == nullptr) return nullptr;
  if (admitted == nullptr || (routed != nullptr && routed->id < admitted->id)) {
    state.ready.remove(routed);
    return routed;
  }
  state.admitted.remove(admitted);
  return admitted;
}

void dispatch(RunState& state, Commands& commands) noexcept {
  Invocation* next = state.interrupted.front();
  if (next != nullptr) {
    state.interrupted.remove(next);
  } else {
    next = take_lowest_id(state);
    if (next == nullptr) return;
    next->start = ++state.start_last;  // an interrupted one keeps its own
  }
  next->place = Place::in_flight;
  state.in_flight.insert_by_start(next);
  commands.start = next;
}

void complete(RunState& state, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries, 1)) {
    Ref<Error> error = queue_limit(state, *tick.outputs.front().event);
    leave_flight(state, tick.invocation, commands);
    fail_run(state, std::move(error), commands);
    return;
  }
  reserve_for(state, tick.outputs, deliveries, commands);
  leave_flight(state, tick.invocation, commands);
  route_all(state, tick.outputs, commands);
}

// ------------------------------------------------------------------------------------- while a step runs

std::string divergence_report(const Invocation& invocation) {
  return "{\"kind\":\"send_diverged\",\"invocation_id\":" + std::to_string(invocation.id) +
         ",\"position\":" + std::to_string(invocation.effects->repeated) + "}";
}

// Is this effect the repetition of one that had its effect before the snapshot? If so, there is nothing to
// do. If another stands at its position, the step did not repeat itself: the new one counts, and the stream
// says so.
bool is_repetition(RunState& state, Tick& tick, Commands& commands) {
  Effects& effects = *tick.invocation->effects;
  if (effects.repeated == effects.digests.size()) return false;
  if (effects.digests[effects.repeated] == tick.digest) {
    ++effects.repeated;
    return true;
  }
  Ref<Event> report = Event::make(kLifecycle, Value::copy(Tag::json, divergence_report(*tick.invocation)));
  commands.published.reserve(commands.published.size() + 2);
  publish(state, std::move(report), commands);
  return false;
}

void note_effect(Effects& effects, uint64_t digest) noexcept {
  if (effects.repeated < effects.digests.size()) {
    effects.digests[effects.repeated] = digest;
  } else {
    effects.digests.push_back(digest);  // reserved
  }
  ++effects.repeated;
}

bool refuse(Commands& commands, Status status, const char* limit) noexcept {
  commands.more = true;
  commands.status = status;
  commands.limit = limit;
  return false;
}

bool effect_has_room(const RunState& state, const Invocation& invocation, Commands& commands) noexcept {
  const size_t sent = invocation.effects ? invocation.effects->repeated : 0;
  if (sent < state.workflow->policy().limits.step_sends) return true;
  return refuse(commands, Status::limit, "BLAZEN_LIMIT_STEP_SENDS");
}

void reserve_effect(Invocation& invocation) {
  if (!invocation.effects) invocation.effects = std::make_unique<Effects>();
  std::vector<uint64_t>& digests = invocation.effects->digests;
  if (digests.size() == digests.capacity()) digests.reserve(digests.size() * 2 + 4);
}

void send(RunState& state, Tick& tick, Commands& commands) {
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  reserve_effect(*tick.invocation);
  reserve_for(state, tick.outputs, deliveries, commands);
  if (is_repetition(state, tick, commands)) return;
  note_effect(*tick.invocation->effects, tick.digest);
  route_all(state, tick.outputs, commands);
}

void publish_from_step(RunState& state, Tick& tick, Commands& commands) {
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  reserve_effect(*tick.invocation);
  commands.published.reserve(2);
  if (is_repetition(state, tick, commands)) return;
  note_effect(*tick.invocation->effects, tick.digest);
  publish(state, std::move(tick.outputs.front().event), commands);
}

void post(RunState& state, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  reserve_for(state, tick.outputs, deliveries, commands);
  if (tick.kind == Tick::Kind::start) state.phase = Phase::running;
  route_all(state, tick.outputs, commands);
}

// ------------------------------------------------------------------------------------------ state and
// session

// A table that this run may write: its own, and not shared with a snapshot that is being encoded.
KeyTable& writable(Ref<KeyTable>& table, Commands& commands) {
  commands.more = true;
  if (!table) {
    table = Ref<KeyTable>::adopt(new KeyTable);
  } else if (table->shared()) {
    Ref<KeyTable> own = table->clone();
    commands.dropped_table = std::exchange(table, std::move(own));
  }
  return *table;
}

// One write can do without the preparation below: it is the everyday case.
void write_one(RunState& state, Ref<KeyTable>& place, uint64_t bytes_max, const char* limit, Write& write,
               Commands& commands) {
  KeyTable* known = place.get();
  KeyTable::Entry* entry = known == nullptr ? nullptr : known->find(write.key);
  if (write.kind == Write::Kind::remove) {
    if (entry == nullptr) {
      refuse(commands, Status::not_found, nullptr);
      return;
    }
    KeyTable& table = writable(place, commands);
    commands.replaced = table.remove(*table.find(write.key));
    return;
  }
  const uint64_t bytes = (known == nullptr ? 0 : known->bytes()) + write.value->data().size() +
                         (entry == nullptr ? write.key.size() : 0) -
                         (entry == nullptr ? 0 : entry->value->data().size());
  if (bytes > bytes_max) {
    refuse(commands, Status::limit, limit);
    return;
  }
  KeyTable& table = writable(place, commands);
  if (entry != nullptr) {
    if (&table != known) entry = table.find(write.key);
    commands.replaced = table.replace(*entry, std::move(write.value), ++state.write_last);
  } else {
    table.insert(write.key, std::move(write.value), state.write_last + 1);
    ++state.write_last;
  }
}

bool expectations_hold(const RunState& state, std::span<const Write> writes, Commands& commands) noexcept {
  for (size_t i = 0; i < writes.size(); ++i) {
    if (writes[i].kind != Write::Kind::expect) continue;
    const KeyTable::Entry* entry = state.state ? state.state->find(writes[i].key) : nullptr;
    if ((entry == nullptr ? 0 : entry->version) != writes[i].expected) {
      commands.fault = i;
      return refuse(commands, Status::conflict, nullptr);
    }
  }
  return true;
}

// All or nothing, memory included: the new table is made beside the old one, and measured as it will be.
void write_many(RunState& state, std::span<Write> writes, uint64_t bytes_max, const char* limit,
                Commands& commands) {
  Ref<KeyTable> table = state.state ? state.state->clone() : Ref<KeyTable>::adopt(new KeyTable);
  uint64_t version = state.write_last;
  commands.more = true;
  commands.dropped_values.reserve(writes.size());
  for (Write& write : writes) {
    if (write.kind == Write::Kind::expect) continue;
    KeyTable::Entry* entry = table->find(write.key);
    if (write.kind == Write::Kind::remove) {
      if (entry != nullptr) commands.dropped_values.push_back(table->remove(*entry));
    } else if (entry != nullptr) {
      commands.dropped_values.push_back(table->replace(*entry, write.value, ++version));
    } else {
      table->insert(write.key, write.value, ++version);
    }
  }
  if (table->bytes() > bytes_max) {
    commands.dropped_table = std::move(table);
    refuse(commands, Status::limit, limit);
    return;
  }
  state.write_last = version;
  commands.dropped_table = std::exchange(state.state, std::move(table));
}

void write_state(RunState& state, std::span<Write> writes, Commands& commands) {
  const uint64_t bytes_max = state.workflow->policy().limits.state_bytes;
  const char* limit = "BLAZEN_LIMIT_STATE_BYTES";
  if (!expectations_hold(state, writes, commands)) return;
  Write* only = nullptr;
  size_t changes = 0;
  for (Write& write : writes) {
    if (write.kind == Write::Kind::expect) continue;
    only = &write;
    ++changes;
  }
  if (changes == 0) return;
  if (changes == 1) return write_one(state, state.state, bytes_max, limit, *only, commands);
  write_many(state, writes, bytes_max, limit, commands);
}

// ----------------------------------------------------------------------------------------------- the phases

// Phase 1: what the tick itself changes.
void apply(RunState& state, Tick& tick, Commands& commands) {
  switch (tick.kind) {
    case Tick::Kind::start:
    case Tick::Kind::post: return post(state, tick, commands);
    case Tick::Kind::resume: return;  // what there is to do, the phases after this one do
    case Tick::Kind::dispatch: return dispatch(state, commands);
    case Tick::Kind::send: return send(state, tick, commands);
    case Tick::Kind::publish: return publish_from_step(state, tick, commands);
    case Tick::Kind::complete: return complete(state, tick, commands);
    case Tick::Kind::fail:
      leave_flight(state, tick.invocation, commands);
      return fail_run(state, std::move(tick.error), commands);
    case Tick::Kind::discard: return leave_flight(state, tick.invocation, commands);
    case Tick::Kind::end: return finish(state, tick.phase, nullptr, std::move(tick.error), commands);
    case Tick::Kind::write: return write_state(state, tick.writes, commands);
    case Tick::Kind::clear:
      commands.more = true;
      commands.dropped_table = std::move(state.state);
      return;
    case Tick::Kind::session:
      return write_one(state, state.session, state.workflow->policy().limits.session_bytes,
                       "BLAZEN_LIMIT_SESSION_BYTES", tick.writes.front(), commands);
  }
}

// Phase 2: has the run come to rest here? One that can make no progress ends, unless its workflow lets it
// wait. No hang, ever.
void settle(RunState& state, Commands& commands) noexcept {
  if (state.phase == Phase::running && state.open == 0 && state.workflow->policy().idle == Idle::fail) {
    fail_run(state, stalled(state), commands);
  }
  const bool was_settled = std::exchange(state.settled, is_settled(state));
  if (!state.settled || was_settled) return;
  commands.more = true;
  commands.settled = true;
}

void check([[maybe_unused]] const RunState& state) noexcept {
#ifdef BLAZEN_INVARIANTS
  check_invariants(state);
#endif
}

}  // namespace

void reduce(RunState& state, Tick& tick, Commands& commands) {
  apply(state, tick, commands);
  if (tick.kind >= Tick::Kind::write)
    return check(state);  // nothing that the other phases look at has changed
  const bool goes_on = state.phase == Phase::running && startable(state) + state.in_flight.size() != 0;
  if (goes_on) {
    state.settled = false;
  } else {
    settle(state, commands);
  }
  if (tick.hand_free) dispatch(state, commands);  // Phase 3: a free hand takes the next one
  check(state);
}

void restore_queued(RunState& state, Invocation* invocation) noexcept {
  ++state.open;
  admit_or_wait(state, invocation);
}

void restore_in_flight(RunState& state, Invocation* invocation) noexcept {
  const StepDefinition& definition = state.workflow->steps()[invocation->step];
  StepState& step = state.steps[invocation->step];
  ++state.open;
  invocation->start = ++state.start_last;
  if (definition.elsewhere()) {
    invocation->place = Place::interrupted_parked;
    state.interrupted_parked.push_back(invocation);
    ++step.parked;
  } else if (definition.concurrency_max != 0 && step.admitted >= definition.concurrency_max) {
    invocation->place = Place::interrupted_waiting;
    state.interrupted_waiting.push_back(invocation);
  } else {
    invocation->place = Place::interrupted;
    state.interrupted.push_back(invocation);
    ++step.admitted;
  }
}

}  // namespace blazen
