#include "base/fork.hpp"

#if defined(__unix__) && !defined(BLAZEN_NO_THREADS)
#include <pthread.h>
#endif

namespace blazen {

std::atomic<uint32_t> fork_count{0};

namespace {

// The system forgets the handler when the library is unloaded.
bool register_handler() noexcept {
#if defined(__unix__) && !defined(BLAZEN_NO_THREADS)
  return pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1); }) == 0;
#else
  return true;
#endif
}

}  // namespace

void watch_forks() noexcept { [[maybe_unused]] static const bool registered = register_handler(); }

}  // namespace blazen
