// The id of a run inside another: the same for the same attempt of the same invocation of the same run, so that what is done
// again has the same.
#pragma once

#include <array>
#include <cstdint>

#include "base/digest.hpp"

namespace blazen {

// RFC 9562: version 8, variant 10.
inline std::array<uint8_t, 16> id_of_child(const std::array<uint8_t, 16>& parent, uint64_t invocation_id,
                                           uint32_t attempt) noexcept {
  std::array<uint8_t, 16> id{};
  Digest invocation;
  invocation.add(parent.data(), parent.size()).add_number(invocation_id).add_number(attempt);
  for (uint64_t half = 0; half < 2; ++half) {
    Digest digest = invocation;
    const uint64_t sum = digest.add_number(half).finish();
    for (size_t i = 0; i < 8; ++i) id[half * 8 + i] = static_cast<uint8_t>(sum >> (8 * i));
  }
  id[6] = static_cast<uint8_t>((id[6] & 0x0f) | 0x80);
  id[8] = static_cast<uint8_t>((id[8] & 0x3f) | 0x80);
  return id;
}

}  // namespace blazen
