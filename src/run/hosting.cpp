// Children: invocations that host them, and the end of a child with its invocation.
#include <utility>

#include "run/rooms.hpp"

namespace blazen {

// At the end, where it could not start anything before. Those that were interrupted have no turn: they come before.
[[gnu::noinline]] void note_turn(RunState& state) noexcept {
  Kin& kin = *state.kin;
  if (state.phase != Phase::running || startable(state) == state.interrupted.size()) {
    kin.turn = 0;
  } else if (kin.turn == 0) {
    take_turn(state);
  }
}

// It starts something, and the others have their turn before it starts the next.
[[gnu::noinline]] void take_turn(RunState& state) noexcept {
  state.kin->turn = ++top_of(state).kin->turn_last;
}

namespace {

void forget_questions(RunState& child) noexcept {
  if (is_child(child)) child.kin->top->kin->questions -= child.questions.size();
}

void count(Kin& kin, RunStatus status, uint32_t change) noexcept {
  if (uint32_t* counter = kin.count_of(status)) *counter += change;
}

}  // namespace

// Nobody is at work on it from now on.
void host(RunState& state, const Tick& tick) {
  if (!state.kin) state.kin = std::make_unique<Kin>();
  Kin& kin = *state.kin;
  Kin& child = *tick.child->kin;
  child.host_id = tick.invocation->id;
  child.host = tick.invocation;
  child.status = tick.child_status;
  kin.children.insert(child);
  count(kin, tick.child_status, 1);
  tick.invocation->has_returned = true;
  ++state.in_flight_idle;
}

void restore_hosting(RunState& state, Invocation* invocation, RunState& child) {
  Tick hosting{Tick::Kind::host, false, invocation};
  hosting.child = &child;
  hosting.child_status = status_of(child);
  host(state, hosting);
  ++state.open;
  ++state.steps[invocation->step].admitted;
  if (invocation->start == 0) invocation->start = ++top_of(state).start_last;
  invocation->place = Place::in_flight;
  state.in_flight.push_back(invocation);
}

void note_child(RunState& state, const Tick& tick) noexcept {
  Kin& kin = *state.kin;
  Kin& child = *kin.children.find(tick.invocation->id);
  count(kin, std::exchange(child.status, tick.child_status), UINT32_MAX);
  count(kin, tick.child_status, 1);
}

// Its invocation is about to leave the flight. One that has ended by itself the engine knows already.
[[gnu::noinline]] void leave_child(RunState& state, const Invocation& host) noexcept {
  if (!state.kin) return;
  Kin& kin = *state.kin;
  Kin* const child = kin.children.find(host.id);
  if (child == nullptr) return;
  --state.in_flight_idle;
  count(kin, child->status, UINT32_MAX);
  kin.children.remove(*child);
  if (!child->has_left) kin.left.insert(*child);
}

// The run has ended, and what hosts its children with it.
[[gnu::noinline]] void leave_children(RunState& state, Commands& commands) noexcept {
  if (is_child(state) && !state.kin->is_cut_off) forget_questions(state);
  while (!state.kin->children.empty()) {
    Invocation* const host = state.kin->children.first()->host;
    leave_child(state, *host);
    state.in_flight.remove(host);
    --state.steps[host->step].admitted;
    --state.open;
    host->place = Place::free;
    commands.cold().dropped.push_back(host);
  }
  state.kin->kept.clear();
}

// The invocation of this child is gone: nothing that is done in it counts any more, and it ends when the lock was free.
void cut_off(RunState& state, Tick& tick) noexcept {
  forget_questions(state);
  state.kin->is_cut_off = true;
  state.phase = Phase::cancelled;
  state.pause = Pause::none;
  state.clock.runs = false;
  state.error = std::move(tick.error);
}

}  // namespace blazen
