// What the engine does itself in the place of a body: the parts of a step that is several workflows at once (run/parts.hpp).
// Both throw std::bad_alloc.
#pragma once

#include "engine/context.hpp"

namespace blazen {

// Opens the scope: an event for each branch.
Ref<Error> open_branches(Context& context, const Call& call);
// What the branches have come to. Null: they have succeeded, and what was made of it is emitted, unless the host has a body
// for that. An error: they have failed.
Ref<Error> gather_branches(Context& context, const Call& call);

}  // namespace blazen
