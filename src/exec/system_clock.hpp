// The clocks of the operating system: the steady one, and the date.
#pragma once

#include <memory>

#include "port/clock.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::unique_ptr<Clock> make_system_clock();

}  // namespace blazen
