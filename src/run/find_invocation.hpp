// One open invocation of a run, by its id: looks through all of them.
#pragma once

#include "run/state.hpp"

namespace blazen {

// Null where none of this id is open.
Invocation* find_invocation(const RunState& state, uint64_t id) noexcept;

}  // namespace blazen
