// Where does an invocation stand, and which one starts next? The permits of the steps and of pools, and the order of
// reduce.hpp.
#include <utility>

#include "run/rooms.hpp"

namespace blazen {

// Of a step that needs no permit.
void make_ready(RunState& state, Invocation* invocation) noexcept {
  invocation->place = Place::ready;
  state.ready.push_back(invocation);
  ++state.steps[invocation->step].admitted;
}

namespace {

// It gets a permit.
void permit(RunState& state, Invocation* invocation) noexcept {
  invocation->place = Place::ready;
  ++state.steps[invocation->step].admitted;
  state.permitted.add(state.steps, invocation);
}

// One for somebody more.
bool has_permit(const StepState& step) noexcept {
  return step.permits == 0 || step.admitted + step.abandoned < step.permits;
}

}  // namespace

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
  Invocation* invocation = state.pool.take(++state.invocation_id_last);
  invocation->step = step;
  invocation->attempt = 1;
  invocation->event = std::move(event);
  ++state.open;
  return invocation;
}

namespace {

// Where the interrupted ones of a step stand that have its permit.
InvocationQueue<ByStart>& interrupted_of(RunState& state, StepIndex step) noexcept {
  const std::unique_ptr<PermitQueues>& queues = state.steps[step].queues;
  return !queues || queues->pool == kNoPool ? state.interrupted
                                            : state.permitted.pools()[queues->pool].interrupted;
}

// A permit has come free: those that were interrupted come first, then the one that has waited longest. Where more children
// go on from a snapshot than there are permits here, it was one too many.
void hand_on_permit(RunState& state, StepIndex index) noexcept {
  StepState& step = state.steps[index];
  if (!has_permit(step)) return;
  if (Invocation* item = first_of_step(rare_queues(state).interrupted_waiting, index)) {
    state.rare->interrupted_waiting.remove(item);
    --state.rare->interrupted_waiting_count;
    item->place = Place::interrupted;
    interrupted_of(state, index).insert(item);
    ++step.admitted;
    return;
  }
  Invocation* next = step.queues->waiting.front();
  if (next == nullptr) return;
  step.queues->waiting.remove(next);
  permit(state, next);
}

// A body of this step is back, and what it had is free. What a body had that was abandoned by the end of the run,
// finish() has seen to.
[[gnu::noinline]] void free_permits(RunState& state, StepIndex step) noexcept {
  const PoolIndex pool = state.steps[step].queues->pool;
  const bool is_finished =
      has_ended(state) && !(state.kin && state.kin->is_cut_off && !state.kin->is_finished);
  if (pool != kNoPool && (!is_finished || state.workflow->steps()[step].abandoned_keeps_permit))
    --state.permitted.pools()[pool].used;
  if (!has_ended(state)) hand_on_permit(state, step);
}

}  // namespace

// Its body is back, and its permit free; or it keeps its permit.
void end_execution(RunState& state, Invocation* invocation, bool keeps_permit) noexcept {
  StepState& step = state.steps[invocation->step];
  if (invocation->has_returned) [[unlikely]]
    leave_child(state, *invocation);
  state.in_flight.remove(invocation);
  --step.admitted;
  if (keeps_permit) {
    ++step.abandoned;
    ++state.abandoned;
  } else if (step.permits != 0) {
    free_permits(state, invocation->step);
  }
}

namespace {

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

}  // namespace

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

namespace {

// Where nobody was interrupted, and no permit of a pool is there.
Invocation* take_lowest_id(RunState& state) noexcept {
  if (state.permitted.size() == 0) [[likely]]
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

// Where it is started for the first time, it gets its place among those that were started.
void put_in_flight(RunState& state, Invocation* invocation) noexcept {
  invocation->start = ++top_of(state).start_last;
  state.in_flight.push_back(invocation);
  if (state.kin) take_turn(state);
}

// The same, of all there are, and in flight. Null: nobody can start.
[[gnu::noinline]] Invocation* take_startable(RunState& state) noexcept {
  const Startable next = find_startable(state);
  if (next.invocation == nullptr) return nullptr;
  PoolState* const pool = next.pool == kNoPool ? nullptr : &state.permitted.pools()[next.pool];
  if (pool != nullptr) state.permitted.use(*pool);
  if (next.is_interrupted) {  // it keeps its place
    interrupted_of(state, next.invocation->step).remove(next.invocation);
    state.in_flight.insert(next.invocation);
    return next.invocation;
  }
  if (state.steps[next.invocation->step].permits == 0) {
    state.ready.remove(next.invocation);
  } else {
    state.permitted.remove(state.steps, next.invocation);
  }
  put_in_flight(state, next.invocation);
  return next.invocation;
}

}  // namespace

void dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept {
  if (is_held(state) || state.pause != Pause::none) return;
  Invocation* next = nullptr;
  if (state.interrupted.empty() && state.permitted.granted() == 0) [[likely]] {
    next = take_lowest_id(state);
    if (next == nullptr) return;
    put_in_flight(state, next);
  } else {
    next = take_startable(state);
    if (next == nullptr) return;
  }
  next->place = Place::in_flight;
  next->has_returned = false;
  next->began_ms = static_cast<uint32_t>(now_ms);
  commands.start = next;
}

// The run gets a permit of a pool, where somebody waits for it still.
void grant(RunState& state, PoolIndex pool) noexcept {
  if (wanted_of(state, pool) != 0) state.permitted.grant(state.permitted.pools()[pool]);
}

// What it was granted and cannot use, when a tick is over.
void return_unused(RunState& state) noexcept {
  const bool starts = starts_steps(state);
  for (PoolState& pool : state.permitted.pools()) {
    const uint64_t needed = starts ? pool.wanted() : 0;
    if (pool.granted > needed) state.permitted.take_back(pool, pool.granted - static_cast<uint32_t>(needed));
  }
}

// The run is about to end. Bodies that it abandons keep what they have of pools, or do not, as their steps say.
void free_abandoned(RunState& state) noexcept {
  state.in_flight.walk([&state](const Invocation* item) {
    const PoolIndex pool = state.workflow->pool_of(item->step);
    if (pool != kNoPool && !state.workflow->steps()[item->step].abandoned_keeps_permit)
      --state.permitted.pools()[pool].used;
    return true;
  });
}

namespace {

void forget_retry(RunState& state, const Invocation& invocation) noexcept {
  state.timers.extract(state.timers.find({invocation.due_ms(), TimerClass::retry, invocation.id}));
}

// The run that was kept for it, where its step is a workflow elsewhere.
void forget_kept(RunState& state, const Invocation& invocation) noexcept {
  if (state.kin) state.kin->kept.erase(invocation.id);
}

}  // namespace

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
      return forget_kept(state, *invocation);
    case Place::backing_off: return forget_retry(state, *invocation);
    case Place::asking: return state.asking.remove(invocation);
    case Place::interrupted: interrupted_of(state, invocation->step).remove(invocation); return hand_on();
    case Place::interrupted_waiting:
      state.rare->interrupted_waiting.remove(invocation);
      --state.rare->interrupted_waiting_count;
      return;
    case Place::interrupted_parked:
      state.rare->interrupted_parked.remove(invocation);
      --step.parked;
      return forget_kept(state, *invocation);
    case Place::in_flight:
    case Place::free: return;
  }
}

// The body of an attempt that was over long before.
void come_back(RunState& state, StepIndex step) noexcept {
  if (!has_ended(state)) {
    --state.steps[step].abandoned;
    --state.abandoned;
  }
  free_permits(state, step);
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
  if (invocation->start == 0) invocation->start = ++top_of(state).start_last;
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
    interrupted_of(state, invocation->step).push_back(invocation);
    ++step.admitted;
  }
}

}  // namespace blazen
