// A document -> the state of a run that goes on from it, and its description for people and tools.
#pragma once

#include <string>

#include "run/state.hpp"
#include "snapshot/decode.hpp"
#include "snapshot/live.hpp"

namespace blazen {

// Fills `out`, which is fresh, with the run of the document as a run of `workflow`. Null: it is. Otherwise
// `out` is as it was, and the error is Status::snapshot_mismatch: the workflow has another name; it lacks a
// step for which events wait; or its steps are not those of the snapshot, and allow_changed_workflow is not
// set; or Status::snapshot_invalid: a counter leaves no room. Then maker makes what was LIVE again, after a
// look whether it knows every label (null: it knows none): Status::not_serializable names all that it does
// not know and does not skip, or the one that it failed to make, with its failure as the cause. The limits of
// the workflow are not checked, and an event goes to its step even where that does not accept the type any
// more. Throws std::bad_alloc; `out` is good for nothing but its destructor then.
Ref<Error> restore_run(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                       bool allow_changed_workflow, RunState& out, LiveMaker* maker = nullptr);

// A JSON object: format, engine, workflow, fingerprint, run_id, state (created, running, paused, completed,
// failed, cancelled), queued, in_flight, delayed, retrying, questions (counts), paused (true, false),
// steps_needed (names of those with queued events or events in flight, in the order of the workflow),
// state_keys, stream_sequence, events_routed, dropped (names). Throws std::bad_alloc.
std::string describe_snapshot(const SnapshotDocument& document);

}  // namespace blazen
