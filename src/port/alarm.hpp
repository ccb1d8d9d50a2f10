// Who sees to it that the runtime is told the time when something is due. Implementations: exec/.
//
// Invariant: there is one source of the moment, the runtime's next_due. Whoever makes it earlier does so
// before anything else, and then calls set(): an alarm that is armed reads the moment there, under its own
// lock, so that of two who set it at once neither can leave the later one. A thread that sleeps until the
// next moment itself is known to the runtime before it reads it, and is woken (Runtime::Sleeper).
#pragma once

#include <cstdint>

namespace blazen {

class Alarm {
 public:
  // Functions of the runtime, and the runtime. The moment is by its clock; INT64_MAX: nothing is due.
  struct Target {
    void (*tell_time)(void* runtime) noexcept;
    int64_t (*next_due)(const void* runtime) noexcept;
    void* runtime;
  };

  Alarm() = default;
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  virtual ~Alarm() = default;

  // The next moment has changed; the time is told then, or soon after. Comes without a lock of the engine,
  // from any thread.
  virtual void set() noexcept = 0;
  // Whether a thread of its own tells the time. Otherwise, whoever polls or helps does.
  virtual bool has_thread() const noexcept { return false; }
  // From inside tell_time: the host is about to be called, for as long as it likes. Where this thread is the
  // one that sees to the time, another one does so meanwhile.
  virtual void hand_over() noexcept {}
  // When it returns, the time is not told any more.
  virtual void stop() noexcept = 0;
};

}  // namespace blazen
