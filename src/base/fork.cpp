#include "base/fork.hpp"

#include <atomic>

#if defined(__unix__) && !defined(BLAZEN_NO_THREADS)
#include <pthread.h>
#endif

namespace blazen {
namespace {

std::atomic<uint32_t> generation{0};

// The system forgets the handler when the library is unloaded.
bool register_handler() noexcept {
#if defined(__unix__) && !defined(BLAZEN_NO_THREADS)
  return pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1); }) == 0;
#else
  return true;
#endif
}

}  // namespace

uint32_t fork_generation() noexcept {
  [[maybe_unused]] static const bool registered = register_handler();
  return generation.load(std::memory_order_relaxed);
}

}  // namespace blazen
