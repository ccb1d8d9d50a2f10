#include "base/host_code.hpp"

#ifdef BLAZEN_INVARIANTS

#include <cstdio>
#include <cstdlib>

namespace blazen {
namespace {

thread_local Entry* innermost = nullptr;

}  // namespace

Entry::Entry(const char* function, HostCode allowed) noexcept
    : function_(function), allowed_(allowed), outer_(innermost) {
  innermost = this;
}

Entry::~Entry() { innermost = outer_; }

void Entry::note(HostCode code) noexcept {
  // A thread of the library calls the host by itself.
  if (innermost == nullptr || code <= innermost->allowed_) return;
  std::fprintf(stderr, "blazen: invariant does not hold: %s has called %s, and its tag `calls` says: %s\n",
               innermost->function_, code == HostCode::drop ? "a drop" : "the host",
               innermost->allowed_ == HostCode::none ? "none" : "drop");
  std::abort();
}

}  // namespace blazen

#endif
