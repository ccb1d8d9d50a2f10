// The text of a UUID (RFC 9562, section 4): 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

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

// Upper-case digits too. False: the text is none.
inline bool parse_uuid(std::string_view text, std::array<uint8_t, 16>& bytes) noexcept {
  if (text.size() != kUuidTextLength) return false;
  size_t digits = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (c != '-') return false;
      continue;
    }
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    uint8_t& byte = bytes[digits / 2];
    byte = static_cast<uint8_t>(digits % 2 == 0 ? digit << 4 : byte | digit);
    ++digits;
  }
  return true;
}

}  // namespace blazen
