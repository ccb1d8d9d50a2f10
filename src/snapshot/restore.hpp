// A document -> the state of a run that goes on from it, and its description for people and tools.
#pragma once

#include <string>

#include "run/state.hpp"
#include "snapshot/decode.hpp"
#include "snapshot/live.hpp"

namespace blazen {

// Makes the runs inside a run that is restored.
class ChildMaker {
 public:
  // The state of a run that an invocation of parent is to host, at this step of its workflow: fresh, but for its kin. Throws
  // std::bad_alloc.
  virtual RunState& make(RunState& parent, const StepDefinition& step, uint64_t invocation_id,
                         uint32_t attempt, Workflow& workflow) = 0;

 protected:
  ~ChildMaker() = default;
};

// Fills `out`, which is fresh, with the run of the document as a run of `workflow`. Null: it is. Otherwise
// `out` is as it was, and the error is Status::snapshot_mismatch: the workflow has another name; it lacks a
// step for which events wait; or its steps are not those of the snapshot, and allow_changed_workflow is not
// set; or Status::snapshot_invalid: a counter leaves no room. Then maker makes what was LIVE again, after a
// look whether it knows every label (null: it knows none): Status::not_serializable names all that it does
// not know and does not skip, or the one that it failed to make, with its failure as the cause. The limits of
// the workflow are not checked, and an event goes to its step even where that does not accept the type any
// more. A run inside it is restored where its step is a workflow here, which is checked first; where it is elsewhere, or
// children is null, it is kept as it came. Throws std::bad_alloc; `out` is good for nothing but its destructor then, as
// where a value of a run inside could not be made.
Ref<Error> restore_run(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                       bool allow_changed_workflow, RunState& out, LiveMaker* maker = nullptr,
                       ChildMaker* children = nullptr);

// A JSON object: format, engine, workflow, fingerprint, run_id, state (created, running, paused, completed,
// failed, cancelled), queued, in_flight, delayed, retrying, questions, events_routed (counts), children (how many), inside
// (those counts of all of them), paused (true, false), steps_needed (names of those with queued events or events in
// flight, in the order of the workflow), steps_left_out (how many of them), state_keys, stream_sequence, dropped (names). Throws std::bad_alloc.
std::string describe_snapshot(const SnapshotDocument& document);

}  // namespace blazen
