// The clock of the operating system: steady, with the date that it had when it was made.
#pragma once

#include <memory>

#include "port/clock.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::unique_ptr<Clock> make_system_clock();

}  // namespace blazen
