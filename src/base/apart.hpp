// How far what some thread writes to all the time stands from what others read, or write, meanwhile.
#pragma once

#include <cstddef>

namespace blazen {

// In bytes: processors fetch lines of 64 in pairs, or have lines of 128.
inline constexpr size_t kApart = 128;

}  // namespace blazen
