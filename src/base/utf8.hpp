// UTF-8 validation by the Unicode standard's table 3-7: no surrogates, no overlong forms, nothing
// above U+10FFFF.
//
// Invariants:
//   * nothing outside [text, text + length) is read, so exact-size buffers need no padding;
//   * pure functions: no state; safe from any thread. utf8_mended alone allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace blazen {

/// Offset of the first byte of the first ill-formed sequence, or `length` when all of the text is
/// well-formed. A sequence cut short by the end of the text is ill-formed. `text` may be null when
/// `length` is 0.
size_t utf8_valid_prefix(const char* text, size_t length) noexcept;

/// The text with U+FFFD in place of each ill-formed sequence (the longest beginning of a well-formed one, or
/// one byte, as the Unicode standard has it). Throws std::bad_alloc.
std::string utf8_mended(std::string_view text);

/// Length (2 to 4) of the well-formed multi-byte sequence at `at`, or 0 when it is ill-formed or
/// does not end before `end`. Needs at < end; an ASCII byte is no multi-byte sequence: 0.
inline size_t utf8_multibyte_length(const uint8_t* at, const uint8_t* end) noexcept {
  const auto continues = [](uint8_t byte) { return (byte & 0xC0u) == 0x80u; };
  const auto left = static_cast<size_t>(end - at);
  const uint8_t lead = at[0];
  if ((lead & 0xF0u) == 0xE0u) {
    if (left < 3 || !continues(at[1]) || !continues(at[2])) return 0;
    // E0 80..9F would be overlong, ED A0..BF a surrogate.
    if (lead == 0xE0u) return at[1] >= 0xA0u ? 3 : 0;
    if (lead == 0xEDu) return at[1] <= 0x9Fu ? 3 : 0;
    return 3;
  }
  if (lead >= 0xC2u && lead <= 0xDFu) return left >= 2 && continues(at[1]) ? 2 : 0;
  if (lead < 0xF0u || lead > 0xF4u || left < 4) return 0;
  if (!continues(at[1]) || !continues(at[2]) || !continues(at[3])) return 0;
  // F0 80..8F would be overlong, F4 90..BF above U+10FFFF.
  if (lead == 0xF0u) return at[1] >= 0x90u ? 4 : 0;
  if (lead == 0xF4u) return at[1] <= 0x8Fu ? 4 : 0;
  return 4;
}

/// Whether the bytes up to `end` are a well-formed sequence cut short, so that more input could
/// still complete it. Needs at < end. For the cold path: it tells truncation from corruption.
bool utf8_is_cut_short(const uint8_t* at, const uint8_t* end) noexcept;

}  // namespace blazen
