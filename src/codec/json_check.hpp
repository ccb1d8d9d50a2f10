// Decides whether a text is exactly one JSON value (RFC 8259), and where it stops being one.
//
// Invariants:
//   * accepted means: the grammar holds, the text is UTF-8, nesting is within the limit. Whitespace
//     may stand around the value; a byte order mark may not;
//   * numbers are never converted (1e400 and forty digits are fine), escapes never decoded (a lone
//     \ud800 and \u0000 are fine), keys never compared (duplicates are fine);
//   * everything before a fault's offset could still have become valid JSON;
//   * pure: no allocation, no state, no exception, no recursion; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blazen {

/// The deepest nesting the checker can follow: deeper limits are clamped to it. The engine's own bound,
/// kJsonDepthMax, is below it.
inline constexpr uint32_t kJsonCheckDepthCapacity = 1024;

/// The reason for which a text within the grammar is refused: the pointer itself tells it apart.
inline constexpr char kJsonTooDeep[] = "nested deeper than the limit";

/// Why a text is not JSON. True when there is a fault.
struct JsonFault {
  const char* reason = nullptr;  ///< a static string for humans; null: the text is valid
  size_t offset = 0;             ///< byte of the fault; the length when the text ends too soon
  explicit operator bool() const { return reason != nullptr; }
};

/// Checks that `text` is exactly one JSON value, at most `depth_max` arrays and objects deep (a
/// scalar is 0 deep, `[]` is 1). Offset of a bad UTF-8 sequence: its first byte. Reads nothing
/// outside [text, text + length); `text` may be null when `length` is 0.
JsonFault check_json(const char* text, size_t length, uint32_t depth_max) noexcept;

}  // namespace blazen
