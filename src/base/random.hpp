// Unpredictable bytes from the operating system.
#pragma once

#include <cstddef>

namespace blazen {

// 0; or the number of the system's error, -1 where it has none.
int fill_random(void* bytes, size_t size) noexcept;

}  // namespace blazen
