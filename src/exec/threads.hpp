// Threads of the engine, which take runs from one queue.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <memory>

#include "exec/hooks.hpp"
#include "exec/thread_settings.hpp"
#include "port/executor.hpp"
#include "port/log.hpp"

namespace blazen {

// count: how many work; 0: one for each processor. most: so many in all, with those in place of threads that
// abandoned bodies keep; 0: kThreadsMore more than count.
struct ThreadCounts {
  uint32_t count = 0;
  uint32_t most = 0;
};
inline constexpr uint32_t kThreadsMore = 64;

// The log outlives it. The error is the operating system's, where it has no more threads or does not take
// the settings. Throws std::bad_alloc.
Result<std::unique_ptr<Executor>> make_threads(ThreadCounts counts, const ThreadSettings& settings,
                                               Ref<Hooks> hooks, Log& log);

}  // namespace blazen

#endif
