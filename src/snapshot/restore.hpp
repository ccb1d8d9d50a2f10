// A document -> the state of a run that goes on from it, and its description for people and tools.
#pragma once

#include <string>

#include "run/state.hpp"
#include "snapshot/decode.hpp"

namespace blazen {

// Fills `out`, which is fresh, with the run of the document as a run of `workflow`. Null: it is. Otherwise
// `out` is as it was, and the error is Status::snapshot_mismatch: the workflow has another name; it lacks a
// step for which events wait; or its steps are not those of the snapshot, and allow_changed_workflow is not
// set. The limits of the workflow are not checked, and an event goes to its step even where that does not
// accept the type any more. Throws std::bad_alloc; `out` is good for nothing but its destructor then.
Ref<Error> restore_run(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                       bool allow_changed_workflow, RunState& out);

// A JSON object: format, engine, workflow, fingerprint, run_id, state (created, running, completed, failed,
// cancelled), queued, in_flight, steps_needed (names of those with queued events or events in flight, in the
// order of the workflow), state_keys, stream_sequence, events_routed. Throws std::bad_alloc.
std::string describe_snapshot(const SnapshotDocument& document);

}  // namespace blazen
