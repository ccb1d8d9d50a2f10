// UTF-8 validation: ASCII in strides of 64, 16 and 8 bytes, everything else a sequence at a time.
//
// Invariant: each stride is taken only when that many bytes are left; the tail is read by a stride
// that overlaps bytes already known to be ASCII.
#include "base/utf8.hpp"

#include <cstring>
#include <initializer_list>

#include "base/load.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace blazen {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080u;

// Passes over 64 ASCII bytes at a time; stops within 64 bytes before the first other byte or `end`.
const uint8_t* skip_ascii_blocks(const uint8_t* at, const uint8_t* end) noexcept {
  for (; end - at >= 64; at += 64) {
#if defined(__SSE2__)
    const auto* block = reinterpret_cast<const __m128i*>(at);
    const __m128i low = _mm_or_si128(_mm_loadu_si128(block), _mm_loadu_si128(block + 1));
    const __m128i high = _mm_or_si128(_mm_loadu_si128(block + 2), _mm_loadu_si128(block + 3));
    if (_mm_movemask_epi8(_mm_or_si128(low, high)) != 0) break;
#else
    uint64_t all = 0;
    for (size_t i = 0; i < 64; i += 8) all |= load_8(at + i);
    if ((all & kHighBits) != 0) break;
#endif
  }
  return at;
}

// The first byte at or after `at` that is not ASCII, or `end`.
const uint8_t* skip_ascii(const uint8_t* at, const uint8_t* end) noexcept {
  if (end - at >= 64) at = skip_ascii_blocks(at, end);
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const int high = _mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    if (high != 0) return at + __builtin_ctz(static_cast<unsigned>(high));
  }
#endif
  while (end - at >= 8 && (load_8(at) & kHighBits) == 0) at += 8;
  while (at != end && *at < 0x80u) ++at;
  return at;
}

// Whether a text of 4 to 16 bytes is ASCII, by two loads that may overlap.
bool is_short_ascii(const uint8_t* begin, const uint8_t* end) noexcept {
  if (end - begin < 8) return ((load_4(begin) | load_4(end - 4)) & kHighBits) == 0;
  return ((load_8(begin) | load_8(end - 8)) & kHighBits) == 0;
}

}  // namespace

size_t utf8_valid_prefix(const char* text, size_t length) noexcept {
  const auto* const begin = reinterpret_cast<const uint8_t*>(text);
  const auto* const end = begin + length;
  // Type names and keys, mostly.
  if (length >= 4 && length <= 16 && is_short_ascii(begin, end)) return length;
  const uint8_t* at = begin;
  while ((at = skip_ascii(at, end)) != end) {
    // Other scripts come in runs: stay with them instead of starting an ASCII stride each time.
    do {
      const size_t step = utf8_multibyte_length(at, end);
      if (step == 0) return static_cast<size_t>(at - begin);
      at += step;
    } while (at != end && *at >= 0x80u);
  }
  return length;
}

std::string utf8_mended(std::string_view text) {
  std::string mended;
  mended.reserve(text.size() + 2);
  while (!text.empty()) {
    const size_t valid = utf8_valid_prefix(text.data(), text.size());
    mended.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    mended += "\xef\xbf\xbd";
    const auto* at = reinterpret_cast<const uint8_t*>(text.data());
    size_t bad = text.size() < 3 ? text.size() : 3;
    while (bad > 1 && !utf8_is_cut_short(at, at + bad)) --bad;
    text.remove_prefix(bad);
  }
  return mended;
}

bool utf8_is_cut_short(const uint8_t* at, const uint8_t* end) noexcept {
  const auto left = static_cast<size_t>(end - at);
  if (left >= 4) return false;
  // What follows a valid start may be all lowest or all highest continuation bytes: leads that
  // narrow their second byte (E0, ED, F0, F4) take one of the two.
  for (const int filler : {0x80, 0xBF}) {
    uint8_t sequence[4];
    std::memset(sequence, filler, sizeof sequence);
    std::memcpy(sequence, at, left);
    if (utf8_multibyte_length(sequence, sequence + 4) > left) return true;
  }
  return false;
}

}  // namespace blazen
