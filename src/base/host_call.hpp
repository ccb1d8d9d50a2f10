// One call of the host, from before to after.
//
// Invariant: a thread that calls the host holds no lock of the library; the clock alone may be asked under
// one. A process that was forked in the call is a copy in which nobody else goes on. Where it comes back to a
// thread of the library, there is nothing to come back to, and it ends; on a thread of the host, the library
// only finds its way back to the host, and whoever took a lock next looks at Runtime::is_inherited() instead.
#pragma once

#include "base/fork.hpp"
#include "base/host_code.hpp"
#include "base/locks_held.hpp"

namespace blazen {

// This thread belongs to the library: it has nothing of the host's below its first frame.
void mark_own_thread() noexcept;

class HostCall {
 public:
  explicit HostCall(HostCode code = HostCode::any) noexcept {
    check_no_lock_held();
    note_host_code(code);
  }
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;
  ~HostCall() {
    if (fork_generation() != generation_) [[unlikely]]
      come_back_forked();
  }

 private:
  static void come_back_forked() noexcept;
  const uint32_t generation_ = fork_generation();
};

}  // namespace blazen
