#include "run/reduce.hpp"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "run/retry.hpp"
#include "run/run_description.hpp"
#include "run/summary.hpp"

namespace blazen {
namespace {

void write_state(RunState& state, std::span<Write> writes, Commands& commands);
bool expectations_hold(const RunState& state, std::span<const Write> writes, Commands& commands) noexcept;

// ---------------------------------------------------------------------------------------------- end of a run

// Whatever is queued will never run. What is in flight stays until its body has returned.
void drop_queued(RunState& state, Commands& commands) noexcept {
  const bool has_queued = state.open != state.in_flight.size();
  state.in_flight_asking = 0;
  if (state.early_answers) commands.cold().dropped_early = std::move(state.early_answers);
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
  state.permitted.forget();
  state.open = state.in_flight.size();
}

// Nobody waits for their permits any more.
[[gnu::noinline]] void forget_abandoned(RunState& state) noexcept {
  for (StepState& step : state.steps) step.abandoned = 0;
  state.abandoned = 0;
}

[[gnu::noinline]] void finish(RunState& state, Phase phase, Ref<Value> result, Ref<Error> error,
                              Commands& commands) noexcept {
  commands.more = true;
  commands.settled = true;
  state.phase = phase;
  state.pause = Pause::none;
  state.clock.runs = false;
  state.result = std::move(result);
  state.error = std::move(error);
  if (state.abandoned != 0) forget_abandoned(state);
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

[[gnu::noinline]] Ref<Error> queue_limit(const RunState& state, const Event& event) noexcept {
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

// Its detail is what the run looked like.
Ref<Error> with_description(Ref<Error> error, const RunState& state, int64_t now_ms) {
  const int64_t at_ms = std::max(now_ms, state.clock.set_ms);
  const RunDescription picture(state, status_of(state), at_ms, 0, RunDescription::For::its_end);
  return picture.added_to(std::move(error), *state.workflow);
}

Ref<Error> stalled(const RunState& state, int64_t now_ms) noexcept {
  try {
    const std::string& last =
        state.last_type == kUnknownType ? last_unhandled(state) : state.workflow->type_name(state.last_type);
    return with_description(
        Error::make(Status::stalled, std::string("the run can make no progress: nothing is queued or "
                                                 "running, and no StopEvent came; the last event was '")
                                         .append(last)
                                         .append("'")),
        state, now_ms);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_conflict(std::string_view before, std::string_view id, std::string_view after) noexcept {
  try {
    return Error::make(Status::conflict, std::string(before).append(id).append(after));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_is_open(std::string_view id) noexcept {
  return question_conflict("a question '", id, "' is open already: give each its own request_id, or none");
}

Ref<Error> question_was_withdrawn(std::string_view id) noexcept {
  try {
    return Error::make(Status::cancelled,
                       std::string("the question '").append(id).append("' was withdrawn: nobody answers it"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_is_another(std::string_view id) noexcept {
  return question_conflict("this step has asked another question under '", id,
                           "', and an answer to that is none to this: give each its own request_id, or none");
}

// --------------------------------------------------------------------------------------------------- routing

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
  commands.cold().published.reserve(commands.cold().published.size() + outputs.size());
  size_t longest = 0;
  for (const Output& output : outputs) longest = std::max(longest, output.event->type().size());
  if (!state.last_unhandled) state.last_unhandled = std::make_unique<std::string>();
  state.last_unhandled->reserve(longest);
}

[[gnu::noinline]] void reserve_for_questions(RunState& state, size_t count, Commands& commands) {
  state.questions.reserve(count);
  commands.cold().published.reserve(commands.cold().published.size() + count);
}

// For outputs that ask, or are delayed.
[[gnu::noinline]] void reserve_for_special(RunState& state, std::span<const Output> outputs,
                                           Commands& commands) {
  size_t questions = 0;
  size_t delays = 0;
  for (const Output& output : outputs) {
    if (output.type == kInputRequestType) ++questions;
    if (output.delay_ms == 0) continue;
    ++delays;
  }
  state.timers.reserve(delays);
  reserve_for_questions(state, questions, commands);
}

// Room for everything that routing the outputs of a tick will need, so that nothing after it can fail.
void reserve_for(RunState& state, const Tick& tick, size_t deliveries, Commands& commands) {
  state.pool.reserve(deliveries);
  if (tick.is_special) reserve_for_special(state, tick.outputs, commands);
  if (state.workflow->policy().unhandled != Unhandled::fail)
    reserve_for_unhandled(state, tick.outputs, commands);
}

// leaving: an invocation that is done makes room for what it has emitted. What is there already, as after a
// resume under a lower bound, is no reason to refuse a tick that adds nothing.
bool queue_has_room(const RunState& state, size_t deliveries, size_t leaving = 0) noexcept {
  return deliveries == 0 || state.open - leaving + delayed_count(state) + deliveries <=
                                state.workflow->policy().limits.queued_events;
}

// Of a step that needs no permit.
void make_ready(RunState& state, Invocation* invocation) noexcept {
  invocation->place = Place::ready;
  state.ready.push_back(invocation);
  ++state.steps[invocation->step].admitted;
}

// It gets a permit.
void permit(RunState& state, Invocation* invocation) noexcept {
  invocation->place = Place::ready;
  ++state.steps[invocation->step].admitted;
  state.permitted.add(state.steps, invocation);
}

// Whether outputs find room, whoever takes them: then they need not be counted, and nothing can fail.
// leaving: as above.
bool has_room_for_all(const RunState& state, size_t outputs, size_t leaving) noexcept {
  const size_t most = outputs * state.workflow->acceptors_max();
  const WorkflowPolicy& policy = state.workflow->policy();
  return most <= state.pool.available() && policy.unhandled == Unhandled::fail &&
         state.open - leaving + delayed_count(state) + most <= policy.limits.queued_events;
}

// One for somebody more.
bool has_permit(const StepState& step) noexcept {
  return step.permits == 0 || step.admitted + step.abandoned < step.permits;
}

void admit_or_wait(RunState& state, Invocation* invocation) noexcept {
  const StepDefinition& definition = state.workflow->steps()[invocation->step];
  StepState& step = state.steps[invocation->step];
  if (definition.elsewhere()) {
    invocation->place = Place::parked;
    state.rare->parked.push_back(invocation);
    ++step.parked;
  } else if (step.permits == 0) {
    make_ready(state, invocation);
  } else if (has_permit(step)) {
    permit(state, invocation);
  } else {
    invocation->place = Place::waiting;
    step.queues->waiting.push_back(invocation);
  }
}

Invocation* make_invocation(RunState& state, Ref<Event> event, StepIndex step) noexcept {
  Invocation* invocation = state.pool.take();
  invocation->id = ++state.invocation_id_last;
  invocation->step = step;
  invocation->attempt = 1;
  invocation->event = std::move(event);
  ++state.open;
  return invocation;
}

void deliver(RunState& state, Ref<Event> event, StepIndex step) noexcept {
  admit_or_wait(state, make_invocation(state, std::move(event), step));
}

void publish(RunState& state, Ref<Event> event, Commands& commands) noexcept {
  commands.more = true;
  commands.cold().published.push_back({++state.stream_last, std::move(event)});  // reserved
}

// Nobody accepts it. False: that was the end of the run. The event stays with the output, which its owner
// drops.
[[gnu::noinline]] bool route_unhandled(RunState& state, const Output& output, Commands& commands) noexcept {
  const Unhandled policy = state.workflow->policy().unhandled;
  if (policy == Unhandled::fail) {
    fail_run(state, no_handler(*output.event), commands);
    return false;
  }
  state.last_type = kUnknownType;
  *state.last_unhandled = output.event->type();  // reserved
  if (policy == Unhandled::stream) publish(state, output.event, commands);
  return true;
}

// Its event has an id. Reserved.
[[gnu::noinline]] Question& open_question(RunState& state, const Ref<Event>& request, Invocation* asker,
                                          int64_t now_ms, Commands& commands) noexcept {
  publish(state, request, commands);
  commands.asked = true;
  return state.questions.add(request, asker, commands.date_ms, now_ms);
}

Ref<Error> refuse_count(const RunState& state, size_t count) noexcept {
  if (state.questions.size() + count <= state.workflow->policy().limits.questions) return nullptr;
  return Error::make(Status::limit, "BLAZEN_LIMIT_QUESTIONS is reached");
}

// Null, or why this cannot be asked now, where it is a question.
Ref<Error> refuse_question(const RunState& state, const Output& output) noexcept {
  if (output.type != kInputRequestType) return nullptr;
  const std::string_view id = output.event->correlation();
  return state.questions.find(id) != nullptr ? question_is_open(id) : refuse_count(state, 1);
}

// Null, or why these questions cannot be asked: two of one id, or too many.
[[gnu::noinline]] Ref<Error> refuse_questions(const RunState& state, std::span<const Output> outputs) {
  if (outputs.size() == 1) return refuse_question(state, outputs.front());
  std::vector<std::pair<std::string_view, size_t>> asked;  // with their places
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].type == kInputRequestType) asked.emplace_back(outputs[i].event->correlation(), i);
  }
  if (asked.empty()) return nullptr;
  std::sort(asked.begin(), asked.end());
  size_t first = outputs.size();  // of those that are open
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto& [id, place] = asked[i];
    const bool is_repeated = i > 0 && asked[i - 1].first == id;
    if (is_repeated || state.questions.find(id) != nullptr) first = std::min(first, place);
  }
  if (first != outputs.size()) return question_is_open(outputs[first].event->correlation());
  return refuse_count(state, asked.size());
}

// An event that has its id goes where it belongs later.
[[gnu::noinline]] void delay(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  const uint64_t id = output.event->id;
  state.timers.add({add_ms(state.clock.at(now_ms), output.delay_ms), TimerClass::delay, id},
                   {nullptr, std::move(output.event), output.type, output.target});  // reserved
  commands.more = true;
}

// Where does an event go next? To the end of the run, to a human, to one step, to all that accept it in their
// order, or to nobody. False: the run has ended with it.
bool route_now(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  if (is_routed_by_engine(output.type)) {
    if (output.type == kStopType) {
      finish(state, Phase::completed, output.event->take_value(), nullptr, commands);
      return false;
    }
    open_question(state, output.event, nullptr, now_ms, commands);
    if (output.target == kNoStep && state.workflow->acceptors(output.type).empty()) {
      state.last_type = output.type;
      return true;
    }
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

// It gets its id, and goes now or later.
bool route(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept {
  output.event->id = ++state.event_id_last;
  if (output.delay_ms != 0) {
    delay(state, output, now_ms, commands);
    return true;
  }
  return route_now(state, output, now_ms, commands);
}

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

// ------------------------------------------------------------------------------------------------- in flight

// A permit has come free: those that were interrupted come first, then the one that has waited longest.
[[gnu::noinline]] void hand_on_permit(RunState& state, StepIndex index) noexcept {
  StepState& step = state.steps[index];
  if (Invocation* item = rare_queues(state).interrupted_waiting.first_of_step(index)) {
    state.rare->interrupted_waiting.remove(item);
    --state.rare->interrupted_waiting_count;
    item->place = Place::interrupted;
    state.interrupted.insert(item);
    ++step.admitted;
    return;
  }
  Invocation* next = step.queues->waiting.front();
  if (next == nullptr) return;
  step.queues->waiting.remove(next);
  permit(state, next);
}

// Its body is back, and its permit free; or it keeps its permit.
void end_execution(RunState& state, Invocation* invocation, bool keeps_permit = false) noexcept {
  StepState& step = state.steps[invocation->step];
  state.in_flight.remove(invocation);
  --step.admitted;
  if (keeps_permit) {
    ++step.abandoned;
    ++state.abandoned;
  } else if (step.permits != 0 && !has_ended(state)) {
    hand_on_permit(state, invocation->step);
  }
}

// What an invocation has asked nobody needs to answer any more.
void withdraw_questions(RunState& state, Invocation* invocation) noexcept {
  Journal& journal = *invocation->journal;
  const bool was_asking = is_asking_in_flight(*invocation);
  journal.called_back = 0;
  if (has_ended(state)) return;  // they went with the end
  if (was_asking) --state.in_flight_asking;
  state.questions.remove_of(*invocation);
}

// The answers are values of the host: they go outside the lock.
[[gnu::noinline]] void leave_journal(RunState& state, Invocation* invocation, Commands& commands) noexcept {
  withdraw_questions(state, invocation);
  if (invocation->journal->answers().empty()) return state.pool.give_journal(std::move(invocation->journal));
  commands.more = true;
  invocation->journal->next() = std::move(commands.cold().dropped_journals);
  commands.cold().dropped_journals = std::move(invocation->journal);
}

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

// Who holds a permit and has not started is not in a snapshot: on resume the lowest ids get them, and so they
// do here. False: all that hold one come before this invocation, or run.
bool take_permit(RunState& state, const Invocation& invocation) noexcept {
  StepState& step = state.steps[invocation.step];
  Invocation* later = step.queues->ready.last();
  if (later == nullptr || later->id < invocation.id) return false;
  state.permitted.remove(state.steps, later);
  --step.admitted;
  later->place = Place::waiting;
  step.queues->waiting.insert(later);
  return true;
}

// An invocation that has waited, for its time or for an answer, may start again.
void requeue(RunState& state, Invocation* invocation) noexcept {
  const StepDefinition& definition = state.workflow->steps()[invocation->step];
  StepState& step = state.steps[invocation->step];
  if (definition.elsewhere()) {
    invocation->place = Place::parked;
    state.rare->parked.insert(invocation);
    ++step.parked;
  } else if (step.permits == 0) {
    invocation->place = Place::ready;
    state.ready.insert(invocation);
    ++step.admitted;
  } else if (has_permit(step) || take_permit(state, *invocation)) {
    permit(state, invocation);
  } else {
    invocation->place = Place::waiting;
    step.queues->waiting.insert(invocation);
  }
}

Invocation* take_lowest_id(RunState& state) noexcept {
  if (state.permitted.empty()) [[likely]]
    return state.ready.empty() ? nullptr : state.ready.pop_front();
  Invocation* routed = state.ready.front();
  Invocation* permitted = state.permitted.front(state.steps);
  if (permitted != nullptr && (routed == nullptr || permitted->id < routed->id)) {
    state.permitted.remove(state.steps, permitted);
    return permitted;
  }
  if (routed != nullptr) state.ready.remove(routed);
  return routed;
}

void dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept {
  if (state.held || state.pause != Pause::none) return;
  Invocation* next = state.interrupted.front();
  if (next != nullptr) {
    state.interrupted.remove(next);
    state.in_flight.insert(next);
  } else {
    next = take_lowest_id(state);
    if (next == nullptr) return;
    next->start = ++state.start_last;  // an interrupted one keeps its own
    state.in_flight.push_back(next);
  }
  next->place = Place::in_flight;
  next->has_returned = false;
  next->began_ms = static_cast<uint32_t>(now_ms);
  commands.start = next;
}

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

// False: that was the end of it.
[[gnu::noinline]] bool prepare_to_complete(RunState& state, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries, 1)) {
    overflow(state, tick, commands);
    return false;
  }
  reserve_for(state, tick, deliveries, commands);
  return !(tick.is_special || tick.commits) || complete_specially(state, tick, commands);
}

void complete(RunState& state, const Completion& done, Commands& commands) noexcept {
  leave_flight(state, done.invocation, commands);
  route_all(state, done.outputs, done.now_ms, commands);
}

void forget_retry(RunState& state, const Invocation& invocation) noexcept {
  const auto is_it = [&](const auto& timer) { return timer.second.invocation == &invocation; };
  const auto timer = std::find_if(state.timers.begin(), state.timers.end(), is_it);
  if (timer != state.timers.end()) state.timers.extract(timer);
}

// An invocation that is not in flight leaves where it stands, with its permit where it has one.
void leave_queue(RunState& state, Invocation* invocation) noexcept {
  StepState& step = state.steps[invocation->step];
  const auto hand_on = [&] {
    --step.admitted;
    if (step.permits != 0) hand_on_permit(state, invocation->step);
  };
  switch (invocation->place) {
    case Place::ready:
      if (step.permits == 0) {
        state.ready.remove(invocation);
      } else {
        state.permitted.remove(state.steps, invocation);
      }
      return hand_on();
    case Place::waiting: return step.queues->waiting.remove(invocation);
    case Place::parked:
      state.rare->parked.remove(invocation);
      --step.parked;
      return;
    case Place::backing_off: return forget_retry(state, *invocation);
    case Place::asking: return state.asking.remove(invocation);
    case Place::interrupted: state.interrupted.remove(invocation); return hand_on();
    case Place::interrupted_waiting:
      state.rare->interrupted_waiting.remove(invocation);
      --state.rare->interrupted_waiting_count;
      return;
    case Place::interrupted_parked:
      state.rare->interrupted_parked.remove(invocation);
      --step.parked;
      return;
    case Place::in_flight:
    case Place::free: return;
  }
}

// The invocation of a tick that says that it has failed: its place is free.
void leave_place(RunState& state, const Tick& tick) noexcept {
  if (tick.kind == Tick::Kind::cancel) return leave_queue(state, tick.invocation);
  end_execution(state, tick.invocation, tick.keeps_permit);
}

// Will be tried again.
void back_off(RunState& state, Tick& tick, Commands& commands) {
  Invocation* invocation = tick.invocation;
  const RetryPolicy& policy = state.workflow->steps()[invocation->step].retry;
  const int64_t delay_ms = tick.retry_after_ms >= 0
                               ? tick.retry_after_ms
                               : retry_delay_ms(policy, state.id, invocation->id, invocation->attempt);
  // At once is at once: nothing is rounded up.
  const int64_t began_ms = state.clock.at(delay_ms == 0 ? tick.now_ms - tick.rounded_ms : tick.now_ms);
  state.timers.reserve(1);
  leave_place(state, tick);
  state.timers.add({add_ms(began_ms, delay_ms), TimerClass::retry, invocation->id},
                   {.invocation = invocation});
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

// A step has failed: it is tried again, somebody handles it, or that is the end of the run.
void fail(RunState& state, Tick& tick, Commands& commands) {
  const Invocation& invocation = *tick.invocation;
  const RetryPolicy& policy = state.workflow->steps()[invocation.step].retry;
  const Error& cause = tick.error->cause ? *tick.error->cause : *tick.error;
  if (tick.retries && may_retry(policy, invocation.attempt, cause)) return back_off(state, tick, commands);
  const bool is_handled = !tick.outputs.empty() && invocation.event->type() != kStepFailed;
  if (!is_handled) {
    leave_place(state, tick);
    let_go(state, tick.invocation, commands);
    return fail_run(state, std::move(tick.error), commands);
  }
  reserve_for(state, tick, count_deliveries(state, tick.outputs), commands);
  leave_place(state, tick);
  let_go(state, tick.invocation, commands);
  commands.more = true;
  commands.cold().late_error = std::move(tick.error);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// The body of an attempt that was over long before.
void come_back(RunState& state, StepIndex step) noexcept {
  --state.steps[step].abandoned;
  --state.abandoned;
  hand_on_permit(state, step);
}

// ----------------------------------------------------------------------------------------- while a step runs

// An execution that follows another of its invocation compares each effect with the one that the others had
// at its position. The same kind, type and target: it is the repetition, and has no effect again; the first
// one counts, and so does its payload, whatever the attempts after it say. Another kind, type or target: the
// new one counts as well, and is what later executions are compared with. Each position is compared by
// itself: after an effect that others have not had, all behind it are one further on, and diverge where their
// kinds do.

// With a place for it on the stream, beside what is reserved already. Throws std::bad_alloc.
Ref<Event> make_report(std::string_view kind, const Invocation& invocation, const std::string& members,
                       Commands& commands) {
  const std::string report = "{\"kind\":\"" + std::string(kind) +
                             "\",\"invocation_id\":" + std::to_string(invocation.id) + members + "}";
  commands.cold().published.reserve(commands.cold().published.capacity() + 1);
  return Event::make(kLifecycle, Value::copy(Tag::json, report));
}

std::string position_member(const Invocation& invocation) {
  return ",\"position\":" + std::to_string(invocation.journal->repeated);
}

// With room for what is withdrawn.
std::string question_members(std::string_view id, std::string_view instead_of, Commands& commands) {
  commands.cold().dropped_timers.reserve(0);
  return ",\"request_id\":" + nlohmann::json(id).dump() +
         ",\"instead_of\":" + nlohmann::json(instead_of).dump();
}

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

bool refuse(Commands& commands, Status status, const char* limit) noexcept {
  commands.more = true;
  commands.status = status;
  commands.limit = limit;
  return false;
}

bool effect_has_room(const RunState& state, const Invocation& invocation, Commands& commands) noexcept {
  const size_t sent = invocation.journal ? invocation.journal->repeated : 0;
  if (sent < state.workflow->policy().limits.step_sends) return true;
  return refuse(commands, Status::limit, "BLAZEN_LIMIT_STEP_SENDS");
}

// Throws std::bad_alloc.
Journal& journal_of(RunState& state, Invocation& invocation) {
  if (!invocation.journal) invocation.journal = state.pool.take_journal();
  return *invocation.journal;
}

// Another question has taken its place: nobody would use its answer, and no run waits for that. Where nothing
// is open under this id, nothing is left of it but the answer.
[[gnu::noinline]] void withdraw_question(RunState& state, const Invocation& invocation, std::string_view id,
                                         Commands& commands) noexcept {
  if (id.empty()) return;
  Question* open = state.questions.find(id);
  if (open != nullptr && !open->calls_back && (open->asker == nullptr || open->asker == &invocation))
    state.questions.remove(*open);
  const auto is_it = [&](const auto& timer) {
    return timer.second.type == kInputRequestType && timer.second.event->correlation() == id;
  };
  const auto delayed = std::find_if(state.timers.begin(), state.timers.end(), is_it);
  if (delayed == state.timers.end()) return;
  commands.more = true;
  commands.cold().dropped_timers.insert(state.timers.extract(delayed));
}

// One that takes the place of another does not count beside it.
bool refuse_asking(const RunState& state, const Tick& tick, Commands& commands) {
  const bool replaces =
      tick.question != nullptr && state.questions.find(tick.question->instead_of) != nullptr;
  const std::string_view id = tick.outputs.front().event->correlation();
  Ref<Error> error;
  if (!replaces) {
    error = refuse_questions(state, tick.outputs);
  } else if (state.questions.find(id) != nullptr) {
    error = question_is_open(id);
  }
  if (!error) return false;
  refuse(commands, error->status, "BLAZEN_LIMIT_QUESTIONS");
  commands.cold().late_error = std::move(error);
  return true;
}

void send(RunState& state, Tick& tick, Commands& commands) {
  if (is_repetition(state, tick, commands)) return;
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
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
  route_all(state, tick.outputs, tick.now_ms, commands);
}

void publish_from_step(RunState& state, Tick& tick, Commands& commands) {
  if (is_repetition(state, tick, commands)) return;
  if (!effect_has_room(state, *tick.invocation, commands)) return;
  journal_of(state, *tick.invocation).reserve();
  commands.cold().published.reserve(1);
  if (diverges(tick)) publish(state, make_divergence(tick, commands), commands);
  tick.invocation->journal->note(tick.effect);
  publish(state, std::move(tick.outputs.front().event), commands);
}

void post(RunState& state, Tick& tick, Commands& commands) {
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
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// ------------------------------------------------------------------------------------------------- questions

// The answer goes to the body: through a callback, or when it is called again and asks again.
void attach(RunState& state, Question& question, Tick& tick, Commands& commands) noexcept {
  Journal& journal = *tick.invocation->journal;
  refuse(commands, Status::pending, nullptr);
  if (!tick.calls_back) {
    journal.has_asked = true;
    return;
  }
  journal.call = tick.caller;
  if (!std::exchange(question.calls_back, true)) {
    const bool was_asking = is_asking_in_flight(*tick.invocation);
    ++journal.called_back;
    if (!was_asking && is_asking_in_flight(*tick.invocation)) ++state.in_flight_asking;
  }
}

void refuse_with(Commands& commands, Ref<Error> error, Status status = Status::conflict) noexcept {
  refuse(commands, status, nullptr);
  commands.cold().late_error = std::move(error);
}

// One that is not open, and has no answer. Where the invocation has asked another in its place, the stream
// says so; that one may have been withdrawn since.
void ask_anew(RunState& state, Tick& tick, bool is_another, Commands& commands) {
  Invocation& invocation = *tick.invocation;
  const Ref<Event>& request = tick.outputs.front().event;
  const std::string_view id = request->correlation();
  if (refuse_asking(state, tick, commands)) return;
  reserve_for_questions(state, 1, commands);
  const std::string_view instead_of = is_another ? id : tick.question->instead_of;
  Ref<Event> divergence;
  if (!instead_of.empty())
    divergence =
        make_report("send_diverged", invocation, question_members(id, instead_of, commands), commands);
  Questions::NewDeadline deadline;
  if (tick.question->deadline_ms != 0)
    deadline = state.questions.make_deadline(tick.question->deadline_ms, tick.question->default_answer);
  invocation.journal->note_question(id, tick.question->digest);
  withdraw_question(state, invocation, tick.question->instead_of, commands);
  if (divergence) publish(state, std::move(divergence), commands);
  request->id = ++state.event_id_last;
  Question& question = open_question(state, request, &invocation, tick.now_ms, commands);
  if (deadline.deadline)
    state.questions.set_deadline(question, std::move(deadline),
                                 add_ms(tick.now_ms, tick.question->deadline_ms));
  attach(state, question, tick, commands);
}

// False: nobody has answered it yet.
bool take_early_answer(RunState& state, const Tick& tick, Commands& commands) {
  const std::string_view id = tick.outputs.front().event->correlation();
  const auto early = state.early_answers->find(id);
  if (early == state.early_answers->end()) return false;
  Journal& journal = *tick.invocation->journal;
  journal.note_question(id, tick.question->digest);
  journal.add_answer(id, early->second);
  commands.more = true;
  commands.cold().answer = std::move(early->second);
  state.early_answers->erase(early);
  if (state.early_answers->empty()) state.early_answers.reset();
  return true;
}

// An id is that of one question for as long as this one is open or answered: what else is asked under it, by
// whomever, is a conflict.
void ask(RunState& state, Tick& tick, Commands& commands) {
  Invocation& invocation = *tick.invocation;
  const std::string_view id = tick.outputs.front().event->correlation();
  const bool is_another = journal_of(state, invocation).has_asked_another(id, tick.question->digest);
  if (Journal::Answer* answer = invocation.journal->find_answer(id)) {
    if (is_another) return refuse_with(commands, question_is_another(id));
    if (!answer->value) return refuse_with(commands, question_was_withdrawn(id), Status::cancelled);
    answer->is_unseen = false;
    commands.more = true;
    commands.cold().answer = answer->value;
    return;
  }
  Question* known = state.questions.find(id);
  if (known == nullptr) {
    if (!is_another && state.early_answers && take_early_answer(state, tick, commands)) return;
    return ask_anew(state, tick, is_another, commands);
  }
  if (known->asker != &invocation) return refuse_with(commands, question_is_open(id));
  if (is_another) return refuse_with(commands, question_is_another(id));
  attach(state, *known, tick, commands);
}

// The new ones are the last ones.
void hand_out(RunState& state, const Tick& tick) {
  size_t count = 0;
  Question* first = nullptr;
  for (Question* at = state.questions.last(); at != nullptr && !at->handed_out; at = at->previous()) {
    first = at;
    ++count;
  }
  if (count == 0) return;
  tick.requests->reserve(tick.requests->size() + count);
  for (; first != nullptr; first = first->next()) {
    first->handed_out = true;
    tick.requests->push_back(first->request);
  }
}

// An event asked, and an event answers.
void answer_with_event(RunState& state, Question& question, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  reserve_for(state, tick, deliveries, commands);
  state.questions.remove(question);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// value: null: it was withdrawn.
void answer_body(RunState& state, Question& question, const Ref<Value>& value, int64_t now_ms,
                 Commands& commands) {
  Invocation* asker = question.asker;
  Journal& journal = *asker->journal;
  journal.add_answer(question.request->correlation(), value);
  const bool calls_back = question.calls_back;
  state.questions.remove(question);
  if (calls_back) {
    commands.more = true;
    commands.answered = asker;
    asker->began_ms = static_cast<uint32_t>(now_ms);  // its time begins again
    const bool was_asking = is_asking_in_flight(*asker);
    --journal.called_back;
    if (was_asking && !is_asking_in_flight(*asker)) --state.in_flight_asking;
  } else if (asker->place == Place::asking) {
    state.asking.remove(asker);
    requeue(state, asker);
  } else if (asker->place == Place::in_flight) {
    journal.answers().back().is_unseen = true;
  }
}

void respond(RunState& state, Tick& tick, Commands& commands) {
  Question* question = state.questions.find(tick.outputs.front().event->correlation());
  if (question == nullptr) {
    refuse(commands, Status::not_found, nullptr);
    return;
  }
  if (question->asker == nullptr) return answer_with_event(state, *question, tick, commands);
  answer_body(state, *question, tick.value, tick.now_ms, commands);
}

void respond_early(RunState& state, Tick& tick, Commands& commands) {
  const std::string_view id = tick.outputs.front().event->correlation();
  if (state.questions.find(id) != nullptr) return respond(state, tick, commands);
  if (!state.early_answers) state.early_answers = std::make_unique<EarlyAnswers>();
  EarlyAnswers& early = *state.early_answers;
  if (early.find(id) != early.end()) {
    const Ref<Error> known = question_conflict("an answer to '", id, "' is kept already");
    return refuse_with(commands, known);
  }
  if (early.size() >= state.workflow->policy().limits.questions) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUESTIONS");
    return;
  }
  early.emplace(id, tick.value);
}

// Of one that an event asked, nothing is left.
void withdraw(RunState& state, const Tick& tick, Commands& commands) {
  Question* question = state.questions.find(tick.outputs.front().event->correlation());
  if (question == nullptr) {
    refuse(commands, Status::not_found, nullptr);
    return;
  }
  if (question->asker != nullptr) return answer_body(state, *question, nullptr, tick.now_ms, commands);
  state.questions.remove(*question);
}

// The first question whose time is up is answered with its default. One at a time: each has somebody to tell. False:
// there is none.
bool answer_by_default(RunState& state, int64_t now_ms, Commands& commands) {
  if (state.pause != Pause::none || state.questions.first_due_ms() > now_ms) return false;
  Question& question = *state.questions.first_due();
  answer_body(state, question, Ref<Value>(question.deadline()->default_answer), now_ms, commands);
  return true;
}

// The body has returned, and somebody completes it later.
void body_returned(RunState& state, Invocation* invocation) noexcept {
  invocation->has_returned = true;
  if (is_asking_in_flight(*invocation)) ++state.in_flight_asking;
}

// The body has asked and returned.
void suspend(RunState& state, Invocation* invocation) noexcept {
  end_execution(state, invocation);
  if (invocation->journal->begin_again()) return requeue(state, invocation);
  invocation->place = Place::asking;
  state.asking.insert(invocation);
}

// ------------------------------------------------------------------------------------------------------ time

Ref<Error> timed_out(const RunState& state, int64_t now_ms) noexcept {
  try {
    return with_description(
        Error::make(Status::run_timeout, "the run timed out: it did not end within its " +
                                             std::to_string(state.workflow->policy().timeout_ms) +
                                             " ms; open: " + summarize(state)),
        state, now_ms);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

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
    ++events;
  }
  state.pool.reserve(deliveries);
  if (events == 0) return;
  commands.cold().dropped_timers.reserve(0);
  reserve_for_questions(state, events, commands);
  commands.cold().published.reserve(commands.cold().published.size() + events);
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
      commands.more = true;
      commands.cold().dropped_timers.insert(std::move(timer));  // the event is let go of outside the lock
      if (Ref<Error> refused = refuse_question(state, output)) {
        fail_run(state, annotate(std::move(refused), output.event->source()), commands);
      } else {
        route_now(state, output, tick.now_ms, commands);
      }
    }
  }
}

void advance(RunState& state, Tick& tick, Commands& commands) {
  if (state.phase != Phase::running) return;
  if (answer_by_default(state, tick.now_ms, commands) || !state.clock.runs) return;
  const int64_t time_ms = state.clock.at(tick.now_ms);
  if (time_ms - tick.slack_ms >= deadline_of(state))
    return fail_run(state, timed_out(state, tick.now_ms), commands);
  reserve_for_due(state, time_ms, commands);
  fire_due(state, tick, time_ms, commands);
}

// The run comes from a snapshot, and its timers count by the date: what has passed since, they have missed.
void pass_time(RunState& state, int64_t date_ms) {
  const int64_t passed_ms = date_ms - state.clock.set_date_ms;
  if (passed_ms <= 0) return;
  const auto passed = [passed_ms](int64_t due_ms) {
    return due_ms > kDueMin + passed_ms ? due_ms - passed_ms : kDueMin;
  };
  Timers missed;
  missed.reserve(state.timers.count(TimerClass::retry) + state.timers.count(TimerClass::delay));
  for (const auto& [key, timer] : state.timers) missed.add({passed(key.due_ms), key.what, key.id}, timer);
  state.timers = std::move(missed);
}

void resume(RunState& state, const Tick& tick) {
  if (tick.time_has_passed) pass_time(state, tick.date_ms);
  state.questions.shift_deadlines(tick.now_ms - tick.date_ms);
  if (tick.ends_pause) state.pause = Pause::none;
  state.clock.set(tick.now_ms, tick.date_ms, clock_should_run(status_of(state)));
}

void pause(RunState& state, Tick& tick, Commands& commands) noexcept {
  if (state.pause != Pause::now) state.pause = tick.pause;
  if (!tick.clears_session) return;
  commands.more = true;
  commands.cold().dropped_table = std::move(state.session);
}

// ----------------------------------------------------------------------------------------- state and session

// A table that this run may write: its own, and not shared with a snapshot that is being encoded.
KeyTable& writable(Ref<KeyTable>& table, Commands& commands) {
  commands.more = true;
  if (!table) {
    table = Ref<KeyTable>::adopt(new KeyTable);
  } else if (table->shared()) {
    Ref<KeyTable> own = table->clone();
    commands.cold().dropped_table = std::exchange(table, std::move(own));
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

// Writes to a table that can be taken back. A write costs the same however many keys the table has.
class Trial {
 public:
  Trial(KeyTable& table, size_t writes, uint64_t version) : table_(table), version_(version) {
    done_.reserve(writes);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial() {
    while (!done_.empty()) take_back();
  }
  // Throws std::bad_alloc, and has changed nothing then.
  void write(const Write& write) {
    KeyTable::Entry* entry = table_.find(write.key);
    if (write.kind == Write::Kind::remove) {
      if (entry == nullptr) return;
      if (removed_.size() == removed_.capacity()) removed_.reserve(removed_.size() * 2 + 4);
      removed_.push_back(table_.take(*entry));
      done_.push_back({write.key, nullptr, kRemoved});
    } else if (entry != nullptr) {
      const uint64_t before = entry->version;
      Ref<Value> value = table_.replace(*entry, write.value, ++version_);
      done_.push_back({write.key, std::move(value), before});
    } else {
      table_.insert(write.key, write.value, version_ + 1);
      ++version_;
      done_.push_back({write.key, nullptr, kInserted});
    }
  }
  // They stay; what they have replaced goes to `dropped`, which has room. The version of the last one.
  uint64_t keep(std::vector<Ref<Value>>& dropped) noexcept {
    for (Done& done : done_) {
      if (done.value) dropped.push_back(std::move(done.value));
    }
    for (KeyTable::Entry& entry : removed_) dropped.push_back(std::move(entry.value));
    done_.clear();
    return version_;
  }

 private:
  // No versions of a key that is there.
  static constexpr uint64_t kInserted = 0;
  static constexpr uint64_t kRemoved = UINT64_MAX;
  struct Done {
    std::string_view key;
    Ref<Value> value;  // before; of a key that was replaced
    uint64_t version;
  };
  void take_back() noexcept {
    Done& last = done_.back();
    if (last.value) {
      table_.replace(*table_.find(last.key), std::move(last.value), last.version);
    } else if (last.version == kInserted) {
      table_.remove(*table_.find(last.key));
    } else {
      table_.put_back(std::move(removed_.back()));
      removed_.pop_back();
    }
    done_.pop_back();
  }

  KeyTable& table_;
  uint64_t version_;
  std::vector<Done> done_;
  std::vector<KeyTable::Entry> removed_;  // in their order
};

// All or nothing, memory included. What the writes bring goes with them where they are taken back, and is not
// let go of here.
void write_many(RunState& state, std::span<Write> writes, uint64_t bytes_max, const char* limit,
                Commands& commands) {
  commands.cold().dropped_values.reserve(writes.size());
  KeyTable& table = writable(state.state, commands);
  Trial trial(table, writes.size(), state.write_last);
  for (const Write& write : writes) {
    if (write.kind != Write::Kind::expect) trial.write(write);
  }
  if (table.bytes() > bytes_max) {
    refuse(commands, Status::limit, limit);
    return;
  }
  state.write_last = trial.keep(commands.cold().dropped_values);
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

// ------------------------------------------------------------------------------------------------ the phases

// Phase 1: what the tick itself changes.
void apply(RunState& state, Tick& tick, Commands& commands) {
  switch (tick.kind) {
    case Tick::Kind::start:
    case Tick::Kind::post: return post(state, tick, commands);
    case Tick::Kind::resume: return resume(state, tick);
    case Tick::Kind::dispatch: return dispatch(state, tick.now_ms, commands);
    case Tick::Kind::send: return send(state, tick, commands);
    case Tick::Kind::publish: return publish_from_step(state, tick, commands);
    case Tick::Kind::complete:
      if (prepare_to_complete(state, tick, commands))
        complete(state, {tick.invocation, tick.outputs, tick.now_ms, tick.dispatches_next}, commands);
      return;
    case Tick::Kind::ask: return ask(state, tick, commands);
    case Tick::Kind::fail:
    case Tick::Kind::cancel: return fail(state, tick, commands);
    case Tick::Kind::body_returned: return body_returned(state, tick.invocation);
    case Tick::Kind::suspend: return suspend(state, tick.invocation);
    case Tick::Kind::respond: return respond(state, tick, commands);
    case Tick::Kind::respond_early: return respond_early(state, tick, commands);
    case Tick::Kind::withdraw: return withdraw(state, tick, commands);
    case Tick::Kind::pause: return pause(state, tick, commands);
    case Tick::Kind::unpause: state.pause = Pause::none; return;
    case Tick::Kind::time: return advance(state, tick, commands);
    case Tick::Kind::discard: return leave_flight(state, tick.invocation, commands);
    case Tick::Kind::abandoned_returned: return come_back(state, tick.step);
    case Tick::Kind::end: return finish(state, tick.phase, nullptr, std::move(tick.error), commands);
    case Tick::Kind::write: return write_state(state, tick.writes, commands);
    case Tick::Kind::clear:
      commands.more = true;
      commands.cold().dropped_table = std::move(state.state);
      return;
    case Tick::Kind::session:
      return write_one(state, state.session, state.workflow->policy().limits.session_bytes,
                       "BLAZEN_LIMIT_SESSION_BYTES", tick.writes.front(), commands);
    case Tick::Kind::hold: state.held = tick.holds; return;
    case Tick::Kind::watch: state.watched = tick.watches; return;
    case Tick::Kind::hand_out: return hand_out(state, tick);
  }
}

bool is_stalled(const RunState& state) noexcept {
  return state.open == 0 && state.timers.empty() && state.questions.empty() && state.pause == Pause::none &&
         state.workflow->policy().idle == Idle::fail;
}

// Phase 2: has the run come to rest here, or does it move again? One that can make no progress ends, unless
// its workflow lets it wait. No hang, ever.
[[gnu::noinline]] void settle(RunState& state, Tick::Kind kind, int64_t now_ms, Commands& commands) noexcept {
  if (state.phase == Phase::running && is_stalled(state)) fail_run(state, stalled(state, now_ms), commands);
  const RunStatus now = status_of(state);
  if (std::exchange(state.last_status, now) != now) {
    commands.more = true;
    commands.settled = true;
    state.pool.drop_spares();
  }
  if (now == RunStatus::paused) commands.more = true;  // a body that lands changes nothing but who is at work
  // A run that was not started in this process has no time yet.
  const bool knows_time = traits_of(kind).knows_time && now_ms != 0;
  if (state.phase != Phase::running || (state.clock.runs == clock_should_run(now) && !knows_time)) return;
  commands.more = true;
  if (knows_time) {
    state.clock.set(now_ms, commands.date_ms, clock_should_run(now));
  } else {
    commands.clock = true;
  }
}

// It was running, and something is left to run.
bool goes_on(const RunState& state) noexcept {
  return state.last_status == RunStatus::running && state.phase == Phase::running &&
         (busy(state) != 0 || startable(state) != 0);
}

void check([[maybe_unused]] const RunState& state) noexcept {
#ifdef BLAZEN_INVARIANTS
  check_invariants(state);
#endif
}

}  // namespace

// While it lives, a tick makes no report.
class Unwatched {
 public:
  explicit Unwatched(RunState& state) noexcept : state_(state) { state_.watched = false; }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
  ~Unwatched() { state_.watched = true; }

 private:
  RunState& state_;
};

// Whether it goes to the stream when its moment has come.
static bool is_published_later(const RunState& state, const Output& output) noexcept {
  if (output.delay_ms == 0) return false;
  if (output.type == kInputRequestType) return true;
  return state.workflow->policy().unhandled == Unhandled::stream && output.target == kNoStep &&
         (output.type == kUnknownType ||
          (!is_routed_by_engine(output.type) && state.workflow->acceptors(output.type).empty()));
}

// As those get it who want to see every event: a StopEvent loses its value when it ends the run.
static Ref<Event> shown(const RunState& state, const Output& output) {
  if (is_published_later(state, output)) return nullptr;
  if (output.type != kStopType) return output.event;
  const Event& event = *output.event;
  return Event::make(event.type(), event.value(), event.source(), event.correlation());
}

// What the tick has published as well comes to everybody by that, once, and what is behind it comes after it.
static void hide_published(std::span<LifecycleRecord> routed, std::span<const Published> published) noexcept {
  if (routed.empty()) return;
  size_t next = 0;
  uint64_t after = routed.front().after;
  for (LifecycleRecord& record : routed) {
    while (next < published.size() && published[next].event->type() == kLifecycle)
      after = published[next++].sequence;
    record.after = after;
    if (record.shows) record.shows->id = record.event->id;
    if (next == published.size() || published[next].event.get() != record.event.get()) continue;
    record.shows.reset();
    after = published[next++].sequence;
  }
}

// The same as reduce, with a report. What a tick did is seen from outside of it, so that nobody pays who does
// not listen: the number of events that it routed, the invocation that it ended, the one that it started.
[[gnu::noinline]] static void reduce_watched(RunState& state, Tick& tick, Commands& commands) {
  const Unwatched unwatched(state);
  constexpr size_t kOthers = 4;  // that a tick reports beside the events it routes
  std::vector<LifecycleRecord>& lifecycle = commands.cold().lifecycle;
  const size_t before = lifecycle.size();
  const uint64_t events_before = state.event_id_last;
  const uint64_t after = state.stream_last;
  const RunStatus status_before = state.last_status;
  const Pause pause_before = state.pause;
  const size_t published_before = commands.cold().published.size();
  std::vector<LifecycleRecord> events;
  try {
    lifecycle.reserve(before + tick.outputs.size() + kOthers);
    events.reserve(tick.outputs.size());
    for (const Output& output : tick.outputs) {
      events.push_back({LifecycleRecord::Kind::event_routed, after, output.target, 0, 0, -1, output.event,
                        shown(state, output), nullptr});
    }
  } catch (const std::bad_alloc&) {  // a tick that cannot fail does not fail for its report either
    reduce(state, tick, commands);
    commands.unreported = true;
    commands.more = true;
    return;
  }
  const bool completes = tick.kind == Tick::Kind::complete;
  const bool fails = tick.kind == Tick::Kind::fail || tick.kind == Tick::Kind::cancel;
  if (completes || fails) {
    const Invocation& ended = *tick.invocation;
    lifecycle.push_back(
        {completes ? LifecycleRecord::Kind::step_completed : LifecycleRecord::Kind::step_failed, after,
         ended.step, ended.id, ended.attempt, tick.duration_ms, ended.event, nullptr, tick.error});
  }
  Invocation* const start = std::exchange(commands.start, nullptr);
  try {
    reduce(state, tick, commands);
  } catch (const std::bad_alloc&) {
    commands.start = start;
    lifecycle.resize(before);
    throw;
  }
  // Those that were not routed after all: refused, repeated, or behind the StopEvent.
  events.resize(state.event_id_last - events_before);
  const std::vector<Published>& published = commands.cold().published;
  hide_published(events, std::span(published).subspan(std::min(published_before, published.size())));
  for (LifecycleRecord& event : events) lifecycle.push_back(std::move(event));
  if (completes && tick.commits && commands.status != Status::ok) {
    lifecycle.resize(before);  // of an atomic step: it has not completed, but will fail
    return;
  }
  const auto note = [&](LifecycleRecord::Kind kind, const Invocation* item) {  // reserved
    lifecycle.push_back({kind, state.stream_last, item == nullptr ? kNoStep : item->step,
                         item == nullptr ? 0 : item->id, item == nullptr ? 0 : item->attempt, -1,
                         item == nullptr ? nullptr : item->event, nullptr, nullptr});
  };
  if (fails && tick.invocation->place == Place::backing_off)
    note(LifecycleRecord::Kind::step_retrying, tick.invocation);
  if (status_before != RunStatus::paused && state.last_status == RunStatus::paused)
    note(LifecycleRecord::Kind::run_paused, nullptr);
  if (pause_before != Pause::none && state.pause == Pause::none && !has_ended(state))
    note(LifecycleRecord::Kind::run_resumed, nullptr);
  if (commands.start == nullptr) {
    commands.start = start;
  } else {
    note(LifecycleRecord::Kind::step_started, commands.start);
  }
  if (lifecycle.size() != before) commands.more = true;
}

// Most ticks complete an invocation and start the next: everything that this takes is inline here, but for
// what is rare and says noinline. False: there is more to it, and nothing has changed.
[[gnu::flatten]] bool reduce_completion(RunState& state, const Completion& done,
                                        Commands& commands) noexcept {
  if (!has_room_for_all(state, done.outputs.size(), 1)) return false;
  complete(state, done, commands);
  if (!goes_on(state)) settle(state, Tick::Kind::complete, done.now_ms, commands);
  if (done.dispatches_next) dispatch(state, done.now_ms, commands);
  check(state);
  return true;
}

void reduce_dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept {
  dispatch(state, now_ms, commands);
  if (!goes_on(state)) settle(state, Tick::Kind::dispatch, now_ms, commands);
  check(state);
}

void reduce(RunState& state, Tick& tick, Commands& commands) {
  const TickTraits& traits = traits_of(tick.kind);
  if (state.watched && traits.may_move) [[unlikely]]
    return reduce_watched(state, tick, commands);
  commands.date_ms = tick.date_ms;
  apply(state, tick, commands);
  if (!traits.may_move) return check(state);  // nothing that the other phases look at has changed
  if (!goes_on(state) || traits.may_settle) settle(state, tick.kind, tick.now_ms, commands);
  if (tick.dispatches_next)
    dispatch(state, tick.now_ms, commands);  // Phase 3: a free hand takes the next one
  check(state);
}

void restore_queued(RunState& state, Invocation* invocation) noexcept {
  ++state.open;
  admit_or_wait(state, invocation);
}

void restore_asking(RunState& state, Invocation* invocation) noexcept {
  ++state.open;
  invocation->place = Place::asking;
  state.asking.push_back(invocation);
}

void restore_in_flight(RunState& state, Invocation* invocation) noexcept {
  const StepDefinition& definition = state.workflow->steps()[invocation->step];
  StepState& step = state.steps[invocation->step];
  ++state.open;
  invocation->start = ++state.start_last;
  if (definition.elsewhere()) {
    invocation->place = Place::interrupted_parked;
    state.rare->interrupted_parked.push_back(invocation);
    ++step.parked;
  } else if (!has_permit(step)) {
    invocation->place = Place::interrupted_waiting;
    state.rare->interrupted_waiting.insert(invocation);
    ++state.rare->interrupted_waiting_count;
  } else {
    invocation->place = Place::interrupted;
    state.interrupted.push_back(invocation);
    ++step.admitted;
  }
}

}  // namespace blazen
