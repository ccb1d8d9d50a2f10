#include "base/locks_held.hpp"

#ifdef BLAZEN_INVARIANTS

#include <cstdio>
#include <cstdlib>

namespace blazen {

void check_no_lock_held() noexcept {
  if (locks_held == 0) return;
  std::fputs("blazen: invariant does not hold: the host is called under a lock\n", stderr);
  std::abort();
}

}  // namespace blazen

#endif
