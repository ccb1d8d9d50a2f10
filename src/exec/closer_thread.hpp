// A thread for each close that nobody waits for.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <memory>

#include "exec/thread_settings.hpp"
#include "port/closer.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::unique_ptr<Closer> make_closer_thread(const ThreadSettings& settings);

}  // namespace blazen

#endif
