// Words out of bytes that need not be aligned, in the order of the machine.
#pragma once

#include <cstdint>
#include <cstring>

namespace blazen {

inline uint32_t load_4(const void* at) noexcept {
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

inline uint64_t load_8(const void* at) noexcept {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace blazen
