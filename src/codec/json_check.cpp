// A single forward pass over the text: one loop of values and closings, a byte per open container
// in place of recursion, and a scanner for each kind of token.
//
// Invariants:
//   * a scanner takes the position of its token and gives the position behind it, or the fault;
//   * no byte at or behind `end` is read: wide strides are taken only when they fit, and the last
//     bytes of a text go through narrower ones;
//   * strings, where most bytes are, pass in strides of 16 (SSE2) or 8 up to a byte that needs a
//     decision: the closing quote, an escape, a control character or a byte outside ASCII.
#include "codec/json_check.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "base/load.hpp"
#include "base/utf8.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#define BLAZEN_HOT inline __attribute__((always_inline))
#else
#define BLAZEN_HOT inline
#endif

namespace blazen {
namespace {

using Byte = uint8_t;

// Where a scanner stopped: behind its token, or at the fault when there is a reason.
struct Scan {
  const Byte* at;
  const char* reason;
};

enum class Container : uint8_t { kArray, kObject };

Scan scan_document(const Byte* at, const Byte* end, uint32_t depth_max) noexcept;
Scan scan_scalar(const Byte* at, const Byte* end) noexcept;
Scan scan_key(const Byte* at, const Byte* end, const char* missing) noexcept;
Scan scan_string(const Byte* at, const Byte* end) noexcept;
Scan scan_escape(const Byte* at, const Byte* end) noexcept;
Scan scan_multibyte(const Byte* at, const Byte* end) noexcept;
Scan scan_number(const Byte* at, const Byte* end) noexcept;
Scan scan_digits(const Byte* at, const Byte* end, const char* missing) noexcept;
Scan scan_literal(const Byte* at, const Byte* end, const char* name, size_t length) noexcept;
const Byte* skip_digits(const Byte* at, const Byte* end) noexcept;
const Byte* skip_space(const Byte* at, const Byte* end) noexcept;
const Byte* skip_plain(const Byte* at, const Byte* end) noexcept;

}  // namespace

JsonFault check_json(const char* text, size_t length, uint32_t depth_max) noexcept {
  const auto* const begin = reinterpret_cast<const Byte*>(text);
  const Scan scan = scan_document(begin, begin + length, std::min(depth_max, kJsonCheckDepthCapacity));
  if (scan.reason == nullptr) return {};
  return {scan.reason, static_cast<size_t>(scan.at - begin)};
}

namespace {

bool is_digit(Byte byte) noexcept { return static_cast<Byte>(byte - '0') <= 9; }

// Eight bytes in one word: what the strides below share. A mark is the high bit of a byte. Carries
// and borrows run upwards, so the lowest mark is always true and the ones above it may not be;
// hence a word's first byte must be its lowest, and a big-endian machine looks again byte by byte.
// Source: Bit Twiddling Hacks, "haszero" and "hasless".
constexpr uint64_t kOnes = 0x0101010101010101u;
constexpr uint64_t kMarks = kOnes * 0x80;

int lowest_mark(uint64_t marks) noexcept { return std::countr_zero(marks) >> 3; }

uint64_t mark_other_than_digits(uint64_t word) noexcept {
  return ((word + kOnes * (0x7F - '9')) | (word - kOnes * '0')) & kMarks;
}

// Bytes that need a decision inside a string: '"', '\\', controls, anything outside ASCII.
uint64_t mark_special(uint64_t word) noexcept {
  const auto zeros = [](uint64_t x) { return (x - kOnes) & ~x; };
  const uint64_t control = (word - kOnes * 0x20) & ~word;
  return (zeros(word ^ (kOnes * '"')) | zeros(word ^ (kOnes * '\\')) | control | word) & kMarks;
}

const char* ends_inside(Container container) noexcept {
  return container == Container::kObject ? "ends inside an object" : "ends inside an array";
}

// Each turn: a value starts at `at`; then containers close until a ',' announces the next value.
Scan scan_document(const Byte* at, const Byte* end, uint32_t depth_max) noexcept {
  std::array<Container, kJsonCheckDepthCapacity> open;  // left uninitialised: only [0, depth) is read
  uint32_t depth = 0;
  at = skip_space(at, end);
  for (;;) {
    if (at == end) return {end, "ends where a value is expected"};
    if (*at == '{' || *at == '[') {
      if (depth == depth_max) return {at, kJsonTooDeep};
      const Container container = *at == '{' ? Container::kObject : Container::kArray;
      open[depth++] = container;
      at = skip_space(at + 1, end);
      if (at == end) return {end, ends_inside(container)};
      if (container == Container::kArray) {
        if (*at != ']') continue;
      } else if (*at != '}') {
        const Scan key = scan_key(at, end, "expected a key or '}'");
        if (key.reason != nullptr) return key;
        at = key.at;
        continue;
      }
    } else {
      const Scan scalar = scan_scalar(at, end);
      if (scalar.reason != nullptr) return scalar;
      at = scalar.at;
    }
    for (;;) {
      at = skip_space(at, end);
      if (depth == 0) return {at, at == end ? nullptr : "text after the value"};
      const Container container = open[depth - 1];
      if (at == end) return {end, ends_inside(container)};
      if (*at == ',') {
        at = skip_space(at + 1, end);
        if (container == Container::kArray) break;
        const Scan key = scan_key(at, end, "expected a key after ','");
        if (key.reason != nullptr) return key;
        at = key.at;
        break;
      }
      if (container == Container::kArray) {
        if (*at != ']') return {at, "expected ',' or ']'"};
      } else {
        if (*at != '}') return {at, "expected ',' or '}'"};
      }
      ++at;
      --depth;
    }
  }
}

// A string, number or literal; needs at < end.
BLAZEN_HOT Scan scan_scalar(const Byte* at, const Byte* end) noexcept {
  const Byte first = *at;
  if (first == '"') return scan_string(at + 1, end);
  if (is_digit(first) || first == '-') return scan_number(at, end);
  if (first == 't') return scan_literal(at, end, "true", 4);
  if (first == 'f') return scan_literal(at, end, "false", 5);
  if (first == 'n') return scan_literal(at, end, "null", 4);
  const bool is_mark = end - at >= 3 && std::memcmp(at, "\xEF\xBB\xBF", 3) == 0;
  return {at, is_mark ? "byte order mark before a value" : "expected a value"};
}

// A key, its ':' and the space around them: gives the position where the member's value starts.
BLAZEN_HOT Scan scan_key(const Byte* at, const Byte* end, const char* missing) noexcept {
  if (at == end) return {end, "ends inside an object"};
  if (*at != '"') return {at, missing};
  const Scan key = scan_string(at + 1, end);
  if (key.reason != nullptr) return key;
  at = skip_space(key.at, end);
  if (at == end) return {end, "ends inside an object"};
  if (*at != ':') return {at, "expected ':' after the key"};
  return {skip_space(at + 1, end), nullptr};
}

// The rest of a string whose opening quote lies before `at`.
BLAZEN_HOT Scan scan_string(const Byte* at, const Byte* end) noexcept {
  for (;;) {
    at = skip_plain(at, end);
    if (at == end) return {end, "ends inside a string"};
    if (*at == '"') return {at + 1, nullptr};
    if (*at < 0x20) return {at, "control character in a string"};
    const Scan special = *at == '\\' ? scan_escape(at + 1, end) : scan_multibyte(at, end);
    if (special.reason != nullptr) return special;
    at = special.at;
  }
}

// The rest of an escape whose backslash lies before `at`.
Scan scan_escape(const Byte* at, const Byte* end) noexcept {
  if (at == end) return {end, "ends inside a string"};
  switch (*at) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return {at + 1, nullptr};
    case 'u': break;
    default: return {at, "unknown escape in a string"};
  }
  for (int digits = 0; digits < 4; ++digits) {
    if (++at == end) return {end, "ends inside a string"};
    const auto letter = static_cast<Byte>((*at | 0x20u) - 'a');
    if (!is_digit(*at) && letter > 5) return {at, "\\u needs four hexadecimal digits"};
  }
  return {at + 1, nullptr};
}

// A run of sequences outside ASCII; needs at < end.
Scan scan_multibyte(const Byte* at, const Byte* end) noexcept {
  do {
    const size_t step = utf8_multibyte_length(at, end);
    if (step == 0) {
      if (utf8_is_cut_short(at, end)) return {end, "ends inside a string"};
      return {at, "not UTF-8"};
    }
    at += step;
  } while (at != end && *at >= 0x80);
  return {at, nullptr};
}

// A number; needs at < end and a digit or '-' there.
Scan scan_number(const Byte* at, const Byte* end) noexcept {
  if (*at == '-') ++at;
  if (at == end) return {end, "ends inside a number"};
  if (*at == '0') {
    ++at;
    if (at != end && is_digit(*at)) return {at, "number has a leading zero"};
  } else {
    const Scan whole = scan_digits(at, end, "expected a digit after '-'");
    if (whole.reason != nullptr) return whole;
    at = whole.at;
  }
  if (at != end && *at == '.') {
    const Scan fraction = scan_digits(at + 1, end, "expected a digit after '.'");
    if (fraction.reason != nullptr) return fraction;
    at = fraction.at;
  }
  if (at == end || (*at | 0x20) != 'e') return {at, nullptr};
  ++at;
  if (at != end && (*at == '+' || *at == '-')) ++at;
  return scan_digits(at, end, "expected a digit in the exponent");
}

// One digit or more, inside a number.
BLAZEN_HOT Scan scan_digits(const Byte* at, const Byte* end, const char* missing) noexcept {
  if (at == end) return {end, "ends inside a number"};
  if (!is_digit(*at)) return {at, missing};
  return {skip_digits(at + 1, end), nullptr};
}

// The first byte at or after `at` that is not a digit, or `end`. Eight at a time because lengths of
// numbers are hard to predict: a mispredicted branch costs more than finding the end by arithmetic.
BLAZEN_HOT const Byte* skip_digits(const Byte* at, const Byte* end) noexcept {
  if (at == end || !is_digit(*at)) return at;  // single digits are common enough to predict
  for (; end - at >= 8; at += 8) {
    const uint64_t marks = mark_other_than_digits(load_8(at));
    if (marks == 0) continue;
    if constexpr (std::endian::native != std::endian::little) break;
    return at + lowest_mark(marks);
  }
  while (at != end && is_digit(*at)) ++at;
  return at;
}

// `name`, whose first byte is known to match.
BLAZEN_HOT Scan scan_literal(const Byte* at, const Byte* end, const char* name, size_t length) noexcept {
  const auto left = static_cast<size_t>(end - at);
  if (left >= length && std::memcmp(at, name, length) == 0) return {at + length, nullptr};
  for (; at != end; ++at, ++name) {
    if (*at != static_cast<Byte>(*name)) return {at, "misspelt true, false or null"};
  }
  return {end, "ends inside a literal"};
}

bool is_space(Byte byte) noexcept { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

const Byte* skip_space_run(const Byte* at, const Byte* end) noexcept {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto is = [bytes](char byte) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte)); };
    const __m128i space = _mm_or_si128(_mm_or_si128(is(' '), is('\n')), _mm_or_si128(is('\r'), is('\t')));
    const unsigned other = ~static_cast<unsigned>(_mm_movemask_epi8(space)) & 0xFFFFu;
    if (other != 0) return at + std::countr_zero(other);
  }
#endif
  while (at != end && is_space(*at)) ++at;
  return at;
}

// The first byte at or after `at` that is not whitespace, or `end`. Compact text has no space and
// most other text has one at a time: the call is for line ends with their indents.
BLAZEN_HOT const Byte* skip_space(const Byte* at, const Byte* end) noexcept {
  if (at == end || *at > ' ') return at;
  if (*at == ' ') ++at;
  if (at == end || *at > ' ') return at;
  return skip_space_run(at, end);
}

bool is_special(Byte byte) noexcept { return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\'; }

// The first byte at or after `at` that needs a decision inside a string, or `end`.
BLAZEN_HOT const Byte* skip_plain(const Byte* at, const Byte* end) noexcept {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    // Signed: bytes from 0x80 up are negative, so one comparison finds them and the controls.
    const __m128i control_or_high = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    const __m128i special = _mm_or_si128(_mm_or_si128(quote, backslash), control_or_high);
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    if (mask != 0) return at + std::countr_zero(mask);
  }
#endif
  for (; end - at >= 8; at += 8) {
    const uint64_t marks = mark_special(load_8(at));
    if (marks == 0) continue;
    if constexpr (std::endian::native != std::endian::little) break;
    return at + lowest_mark(marks);
  }
  while (at != end && !is_special(*at)) ++at;
  return at;
}

}  // namespace
}  // namespace blazen
