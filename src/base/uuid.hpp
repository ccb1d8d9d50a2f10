// The text of a UUID (RFC 9562, section 4): 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace blazen {

inline constexpr size_t kUuidTextLength = 36;

// 36 characters and a NUL.
using UuidText = std::array<char, kUuidTextLength + 1>;

inline UuidText uuid_text(const std::array<uint8_t, 16>& bytes) noexcept {
  constexpr char kDigits[] = "0123456789abcdef";
  UuidText text{};
  size_t at = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
    text[at++] = kDigits[bytes[i] >> 4];
    text[at++] = kDigits[bytes[i] & 15];
  }
  return text;
}

}  // namespace blazen
