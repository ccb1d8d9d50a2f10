// The rule for every name, event type, key and label that comes in.
#pragma once

#include <string_view>

#include "value/error.hpp"

namespace blazen {

// Null when text is non-empty UTF-8 of at most kNameBytesMax bytes; else the error, which names the argument.
Ref<Error> check_name(std::string_view argument, std::string_view text) noexcept;
// The same, but it may be empty.
Ref<Error> check_label(std::string_view argument, std::string_view text) noexcept;

}  // namespace blazen
