// What a run has open, in words for an error message.
#pragma once

#include <string>

#include "run/state.hpp"

namespace blazen {

// "in flight: 'fetch' (2); queued: 'join' (1); open questions: 'i3.1'; open scopes of: 'start'". Throws std::bad_alloc.
std::string summarize(const RunState& state);

// "'Item' 1 of 2 by 'take'": what bodies have collected and is not whole. Empty: nothing. Throws std::bad_alloc.
std::string summarize_collects(const RunState& state);

}  // namespace blazen
