#include "base/host_call.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace blazen {
namespace {

thread_local bool is_own_thread = false;

}  // namespace

void mark_own_thread() noexcept { is_own_thread = true; }

// Without exit handlers: they are the parent's, and may wait for threads that are not here.
void HostCall::come_back_forked() noexcept {
#if defined(__unix__) || defined(__APPLE__)
  if (is_own_thread) ::_exit(0);
#endif
}

}  // namespace blazen
