#include "base/fork.hpp"

// A library without threads is forked too: the child has no part in what its parent's host polls.
#if (defined(__unix__) || defined(__APPLE__)) && !defined(__EMSCRIPTEN__)
#define BLAZEN_FORKS 1
#include <pthread.h>
#endif

namespace blazen {

std::atomic<uint32_t> fork_count{0};

namespace {

// The system forgets the handler when the library is unloaded.
bool register_handler() noexcept {
#ifdef BLAZEN_FORKS
  return pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1); }) == 0;
#else
  return true;
#endif
}

}  // namespace

void watch_forks() noexcept { [[maybe_unused]] static const bool registered = register_handler(); }

}  // namespace blazen
