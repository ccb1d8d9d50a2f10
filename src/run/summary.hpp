// What a run has open, in words for an error message.
#pragma once

#include <string>

#include "run/state.hpp"

namespace blazen {

// "in flight: 'fetch' (2); queued: 'join' (1); open questions: 'i3.1'; open scopes of: 'start'". Throws std::bad_alloc.
std::string summarize(const RunState& state);

}  // namespace blazen
