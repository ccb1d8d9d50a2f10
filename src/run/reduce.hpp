// The state machine of a run: reduce(state, tick) -> commands. Pure: no clock, no chance, no thread, no
// callback. Time, ids and decisions that are not a function of the state come in with the tick.
//
// A run:
//
//   created --start--> running --complete with StopEvent--> completed
//                         |------fail, NO_HANDLER, LIMIT, stall, time--> failed
//                         '------end (closed, aborted)--> cancelled   (created --end--> cancelled too)
//
// A running run may be paused: nothing starts then; what is in flight lands, and what it gives is queued.
//
// An invocation, from its routing to its completion:
//
//            route                      dispatch               complete, fail
//   (event) -------> ready ------------------------> in_flight ---------------> gone
//              |       ^  permit free                    |
//              +--> waiting (the step has no permit)     | snapshot, then resume
//              |                                         v
//              '--> parked (the step is elsewhere)   interrupted --dispatch--> in_flight, same id
//                                                    (interrupted_parked where the step is elsewhere,
//                                                    interrupted_waiting where it has fewer permits than it
//                                                    had)
//
//   in_flight --fail, and attempts are left--> backing_off --its time--> ready or waiting, same id
//   in_flight --suspend--> asking --respond--> ready or waiting, same id
//
// Where the time of an attempt is up, its body may still be at work: abandoned. It is no invocation any more,
// and has the permit of its step until it comes back (Tick::Kind::abandoned_returned), unless the step says otherwise. A
// snapshot knows nothing of it: a run that goes on elsewhere has all its permits.
//
// Of those that could start, interrupted ones come first, in the order in which they had started; then the
// lowest id. So the order is a function of ids and permits alone, and a snapshot needs no list but "queued"
// and "in flight".
//
// Invariants, checked after every tick in debug and test builds (invariants.cpp):
//   1. An invocation stands in exactly one list, the one that its place names; `open` counts them all.
//   2. ready, parked, asking and what a step has ready and waiting have ascending ids; in_flight and
//   interrupted ascending starts.
//   3. Ids are unique and at most invocation_id_last; an invocation's event has an id of at most
//   event_id_last.
//   4. A step's `admitted` is the number of its invocations that hold a permit; with its `abandoned`, the
//   bodies that keep one, it is at most concurrency_max if that is set;
//      a step has waiting ones, interrupted or not, only while it has no permit left. The run's `abandoned`
//      is the sum, and 0 when it has ended.
//   5. Invocations of steps elsewhere are parked or interrupted_parked, and only they.
//   6. A run that was not started, and one that has ended, has nothing queued. An ended one has a result or
//   an error, the
//      one that its phase asks for, and no other run has either.
//   7. A running run has something open, timed or asked, unless it is paused or its workflow lets it wait.
//   8. An invocation has repeated at most as many effects as it has; one that is not in flight has repeated
//   none.
//   9. Versions of state keys are unique and at most write_last; LIVE values stand in the session only.
//   10. Ids of open questions are unique; who asked one is in flight, asking, or queued again, and knows what
//   it has asked under each id.
//   in_flight_asking counts those in flight that have called_back, and whose bodies have returned.
#pragma once

#include "run/tick.hpp"

namespace blazen {

// Throws std::bad_alloc, and has changed nothing then.
void reduce(RunState& state, Tick& tick, Commands& commands);

// What most ticks are: a Tick::complete that neither asks, nor delays, nor writes, of a run that nobody
// watches.
struct Completion {
  Invocation* invocation;
  std::span<Output> outputs;
  int64_t now_ms;
  bool dispatches_next;
};
// The same as reduce() with it, but sooner done. False: there may be no room for its outputs without more
// memory; nothing has changed, and it is for reduce().
bool reduce_completion(RunState& state, const Completion& done, Commands& commands) noexcept;
// The same as reduce() with a Tick::dispatch, of a run that nobody watches.
void reduce_dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept;

// Puts an invocation that a snapshot holds back to where it belongs in a workflow of this process: queued
// ones by ascending id, those in flight by their start. Never fails; the node comes from the state's own
// pool.
void restore_queued(RunState& state, Invocation* invocation) noexcept;
void restore_in_flight(RunState& state, Invocation* invocation) noexcept;
void restore_asking(RunState& state, Invocation* invocation) noexcept;

// Aborts with the number of the invariant that does not hold.
void check_invariants(const RunState& state) noexcept;

}  // namespace blazen
