// The rule for every name, event type, key and label that comes in.
#pragma once

#include <string_view>

#include "base/limits.hpp"
#include "base/utf8.hpp"
#include "value/error.hpp"

namespace blazen {

// The error for a text that breaks the rule; it names the argument.
Ref<Error> name_fault(std::string_view argument, std::string_view text) noexcept;

// A NUL would be a terminator that was counted in: another name, which looks the same.
inline bool is_label(std::string_view text) noexcept {
  return text.size() <= kNameBytesMax && utf8_valid_prefix(text.data(), text.size()) == text.size() &&
         text.find('\0') == std::string_view::npos;
}

// Null when text is non-empty UTF-8 of at most kNameBytesMax bytes, without a NUL.
inline Ref<Error> check_name(std::string_view argument, std::string_view text) noexcept {
  if (!text.empty() && is_label(text)) return nullptr;
  return name_fault(argument, text);
}

// The same, but it may be empty.
inline Ref<Error> check_label(std::string_view argument, std::string_view text) noexcept {
  if (is_label(text)) return nullptr;
  return name_fault(argument, text);
}

// The same for a key of the state or the session, which may be made of parts with a NUL between: only the
// last byte is none.
inline Ref<Error> check_key(std::string_view argument, std::string_view text) noexcept {
  if (!text.empty() && text.size() <= kNameBytesMax && text.back() != '\0' &&
      utf8_valid_prefix(text.data(), text.size()) == text.size())
    return nullptr;
  return name_fault(argument, text);
}

// And for the beginning of one, which may be anything that a key can begin with.
inline Ref<Error> check_prefix(std::string_view argument, std::string_view text) noexcept {
  if (text.size() <= kNameBytesMax && utf8_valid_prefix(text.data(), text.size()) == text.size())
    return nullptr;
  return name_fault(argument, text);
}

}  // namespace blazen
