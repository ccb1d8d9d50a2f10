// What tells the effects of an invocation apart, when it runs again: digests that snapshots keep.
//
// Invariant: a digest is the same on every platform, and for ever: what it is made of, and in which order,
// does not change.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "run/collects.hpp"
#include "run/invocation.hpp"

namespace blazen {

// Of an event that is sent, the two halves of its effect: what makes another a repetition of it, and whether the
// repetition is an exact one. target: the step that it is sent to; empty: everybody who accepts it.
uint64_t send_identity_digest(const Event& event, std::string_view target) noexcept;
uint64_t payload_digest(const Event& event, int64_t delay_ms) noexcept;
inline Effect digest_of_send(const Event& event, std::string_view target, int64_t delay_ms) noexcept {
  return {send_identity_digest(event, target), payload_digest(event, delay_ms)};
}
// question: of the InputRequestEvent that is sent. Another one is another effect.
Effect digest_of_request(const Event& event, std::string_view target, int64_t delay_ms,
                         uint64_t question) noexcept;
Effect digest_of_publication(const Event& event) noexcept;
// What is wanted is its payload.
Effect digest_of_collect(std::string_view key, std::span<const Wanted> wanted) noexcept;

// How a question is asked. What is asked in another way is another question.
enum class Asks : uint64_t { body = 1, send = 2, emit = 3 };
// Of what it says; whatever the id. metadata: JSON, as it was given; empty: none.
uint64_t digest_of_question(Asks how, std::string_view prompt, std::string_view metadata) noexcept;

}  // namespace blazen
