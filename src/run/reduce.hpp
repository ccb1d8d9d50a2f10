// The state machine of a run: reduce(state, tick) -> commands. Pure: no clock, no chance, no thread, no callback. Time,
// ids and decisions that are not a function of the state come in with the tick.
//
// Beside each transition stands the tick that brings it, and the function that makes it: rooms.hpp says in which file.
//
// A run:
//
//   created   --start-->                           running     post()
//   running   --complete, with a StopEvent-->      completed   route_now(), finish()
//   running   --fail, NO_HANDLER, LIMIT, stall-->  failed      fail(), route_unhandled(), overflow(), settle()
//   running   --time-->                            failed      advance(): its time is up
//   any open  --end (closed, aborted)-->           cancelled   finish()
//
// A running run may be paused (pause, unpause): nothing starts then; bodies under way go on, and what they give is
// queued.
//
// An invocation, from its routing to its end (`place` says where it stands):
//
//   (event)      --any tick that routes-->       ready        deliver(), admit_or_wait(), permit()
//                                                waiting      the same: its step has no permit left
//                                                parked       the same: its step is elsewhere
//   waiting      --a permit comes free-->        ready        hand_on_permit()
//   ready        --dispatch-->                   in_flight    dispatch()
//   in_flight    --complete-->                   gone         complete(), leave_flight()
//   in_flight    --fail, attempts are left-->    backing_off  back_off()
//   in_flight    --fail, none is-->              gone         fail(), leave_place(), let_go()
//   in_flight    --suspend-->                    asking       suspend(): its body has asked, and returned
//   asking       --respond, withdraw, time-->    ready        answer_body(), requeue(): or waiting, parked; same id
//   backing_off  --time-->                       ready        fire_due(), requeue(): the same
//   any but in_flight  --cancel-->               backing_off, or gone   fail(), leave_queue()
//   in_flight    --snapshot, resume-->           interrupted  restore_in_flight(): or interrupted_waiting, where its step
//                                                             has fewer permits, or interrupted_parked, where it is elsewhere
//   interrupted  --dispatch-->                   in_flight    dispatch(): same id, same start
//
// Where the time of an attempt is up, its body may still be at work: abandoned. It is no invocation any more, and has
// the permit of its step until it comes back (abandoned_returned, come_back()), unless the step says otherwise. A
// snapshot knows nothing of it: a run that goes on elsewhere has all its permits.
//
// A step may use a pool, which runs share. Then a ready one, or an interrupted one, has the permit of its step, and is
// dispatched once the run has one of the pool: --grant-->, grant(). The permit goes when the body is left: end_execution(),
// come_back(). A snapshot knows nothing of it either.
//
// Of those that could start, interrupted ones come first, in the order in which they had started; then the lowest id.
// So the order is a function of ids and permits alone, and a snapshot needs no list but "queued" and "in flight".
//
// Invariants, checked after every tick in debug and test builds (invariants.cpp):
//   1. An invocation stands in exactly one list, the one that its place names; `open` counts them all.
//   2. ready, parked, asking and what a step has ready and waiting have ascending ids; in_flight and interrupted
//      ascending starts.
//   3. Ids are unique and at most invocation_id_last; an invocation's event has an id of at most event_id_last.
//   4. A step's `admitted` is the number of its invocations that hold a permit; with its `abandoned`, the bodies that
//      keep one, it is at most concurrency_max if that is set; a step has waiting ones, interrupted or not, only while
//      it has no permit left. The run's `abandoned` is the sum, and 0 when it has ended.
//   5. Invocations of steps elsewhere are parked or interrupted_parked, and only they.
//   6. A run that was not started, and one that has ended, has nothing queued. An ended one has a result or an error,
//      the one that its phase asks for, and no other run has either.
//   7. A running run has something open, timed or asked, unless it is paused or its workflow lets it wait.
//   8. An invocation has repeated at most as many effects as it has; one that is not in flight has repeated none.
//   9. Versions of state keys are unique and at most write_last; LIVE values stand in the session only.
//  10. Ids of open questions are unique; who asked one is in flight, asking, or queued again, and knows what it has
//      asked under each id. in_flight_idle counts those in flight that have called_back, and whose bodies have
//      returned.
//  11. What scopes.hpp says of scopes; `collected` is the number of events in their groups, delivered ones too.
//  12. What is collected has an event and its scope; what is whole, its invocation; `count` is the number of all these.
//  14. A child is that of the attempt of an invocation in flight, which hosts it; `running`, `elsewhere` and `asking` count
//      the children that stand there; a run that has ended has none. in_flight_idle counts these invocations too.
//  13. The permits of a pool that a run has and nobody uses are no more than the invocations that wait for one, and none
//      while it starts nothing; the others are as many as bodies of such steps are in flight, or abandoned with a permit.
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
// One that was in flight, and hosts this run, which is restored. Throws std::bad_alloc.
void restore_hosting(RunState& state, Invocation* invocation, RunState& child);

// Aborts with the number of the invariant that does not hold.
void check_invariants(const RunState& state) noexcept;

}  // namespace blazen
