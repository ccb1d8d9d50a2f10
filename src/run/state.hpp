// The whole of a run: whatever is not in here is not in a snapshot either.
//
// Plain data. reduce.hpp tells what may change it and which invariants hold; only reduce() and restore()
// write it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "run/invocation.hpp"
#include "run/key_table.hpp"
#include "run/workflow.hpp"
#include "value/error.hpp"
#include "value/event.hpp"

namespace blazen {

// Stored in snapshots: never renumber. (3 and 4 are the public states that are derived: waiting, elsewhere.)
enum class Phase : uint32_t { created = 1, running = 2, completed = 5, failed = 6, cancelled = 7 };

// What a caller sees: a phase, or what a running run waits for.
enum class RunStatus : int32_t {
  created = 1,
  running = 2,
  waiting = 3,
  elsewhere = 4,
  completed = 5,
  failed = 6,
  cancelled = 7,
};

using RunId = std::array<uint8_t, 16>;

struct StepState {
  uint32_t admitted = 0;   // invocations that hold a permit: ready, in flight or interrupted
  uint32_t parked = 0;     // invocations that wait for a host that has the step
  InvocationList waiting;  // those without a permit, by id
};

struct RunState {
  Ref<Workflow> workflow;
  RunId id{};
  Phase phase = Phase::created;

  uint64_t event_id_last = 0;
  uint64_t invocation_id_last = 0;
  uint64_t write_last = 0;   // the version that the last write of the state got
  uint64_t stream_last = 0;  // the sequence number of the last published item
  uint64_t start_last = 0;   // orders the invocations in flight; not stored
  TypeId last_type =
      kUnknownType;  // of the last event, for a stall to name; kUnknownType: see last_unhandled
  std::string last_unhandled;

  Ref<KeyTable> state;    // null: empty
  Ref<KeyTable> session;  // null: empty
  Ref<Value> metadata;    // null: none
  Ref<Value> result;      // of a completed run
  Ref<Error> error;       // of a failed or cancelled run

  std::vector<StepState> steps;
  InvocationList ready;        // routed with a permit, by id
  InvocationList admitted;     // got their permit later, by id
  InvocationList parked;       // of steps elsewhere, by id
  InvocationList in_flight;    // their bodies run, or are pending, in the order of their start
  InvocationList interrupted;  // were in flight in the snapshot that this run comes from, in that order
  InvocationList interrupted_waiting;  // the same, of steps that have fewer permits here
  InvocationList interrupted_parked;   // the same, of steps elsewhere
  uint64_t open = 0;                   // invocations in any of these lists and in `waiting`
  bool settled = false;                // as of the last tick: is_settled()
  InvocationPool pool;
};

inline bool has_ended(const RunState& state) noexcept { return state.phase >= Phase::completed; }

// How many invocations could be started now.
inline size_t startable(const RunState& state) noexcept {
  return state.interrupted.size() + state.ready.size() + state.admitted.size();
}

inline RunStatus status_of(const RunState& state) noexcept {
  if (state.phase != Phase::running) return static_cast<RunStatus>(state.phase);
  if (startable(state) + state.in_flight.size() != 0) return RunStatus::running;
  return state.parked.size() + state.interrupted_parked.size() != 0 ? RunStatus::elsewhere
                                                                    : RunStatus::waiting;
}

// What the three forms of waiting wait for.
inline bool is_settled(const RunState& state) noexcept {
  return has_ended(state) || status_of(state) == RunStatus::elsewhere;
}

}  // namespace blazen
