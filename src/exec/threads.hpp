// Threads of the engine, which take runs from one queue.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <memory>

#include "exec/hooks.hpp"
#include "exec/thread_settings.hpp"
#include "port/executor.hpp"

namespace blazen {

// The error is the operating system's, where it has no more threads or does not take the settings. Throws
// std::bad_alloc.
Result<std::unique_ptr<Executor>> make_threads(uint32_t count, const ThreadSettings& settings,
                                               Ref<Hooks> hooks);

}  // namespace blazen

#endif
