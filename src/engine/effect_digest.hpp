// What tells the effects of an invocation apart, when it runs again: digests that snapshots keep.
//
// Invariant: a digest is the same on every platform, and for ever: what it is made of, and in which order,
// does not change.
#pragma once

#include <cstdint>
#include <string_view>

#include "run/invocation.hpp"

namespace blazen {

// target: the step that it is sent to; empty: everybody who accepts it.
Effect digest_of_send(const Event& event, std::string_view target, int64_t delay_ms) noexcept;
Effect digest_of_publication(const Event& event) noexcept;

}  // namespace blazen
