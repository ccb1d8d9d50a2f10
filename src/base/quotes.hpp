// How messages name what their reader wrote.
#pragma once

#include <string>
#include <string_view>

namespace blazen {

inline std::string in_quotes(std::string_view text) { return std::string("'").append(text).append("'"); }

}  // namespace blazen
