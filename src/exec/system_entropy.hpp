// Unpredictable bytes from the operating system, fetched a page at a time: a run id costs nanoseconds, not a
// system call.
#pragma once

#include <memory>

#include "port/entropy.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::unique_ptr<Entropy> make_system_entropy();

}  // namespace blazen
