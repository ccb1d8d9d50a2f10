// What the engine does itself in the place of a body: the parts of a step that is several workflows at once (run/parts.hpp),
// and of a stage (run/pipeline_parts.hpp).
// All throw std::bad_alloc.
#pragma once

#include "engine/context.hpp"

namespace blazen {

// Opens the scope: an event for each branch.
Ref<Error> open_branches(Context& context, const Call& call);
// What the branches have come to. Null: they have succeeded, and what was made of it is emitted, unless the host has a body
// for that. An error: they have failed.
Ref<Error> gather_branches(Context& context, Call& call);
// Of a stage of a pipeline: it begins; it has a result, or was skipped; a round of its loop is done. The last where the host
// decides whether there is another: what has to be known of it before.
Ref<Error> begin_stage(Context& context, Call& call);
Ref<Error> end_stage(Context& context, Call& call);
Ref<Error> end_round(Context& context, Call& call);

}  // namespace blazen
