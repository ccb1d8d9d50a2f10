// Who sees to it that the runtime is told the time when something is due. Implementations: exec/.
#pragma once

#include <cstdint>

namespace blazen {

class Alarm {
 public:
  // A function of the runtime, and the runtime.
  struct Target {
    void (*tell_time)(void* runtime) noexcept;
    void* runtime;
  };

  Alarm() = default;
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  virtual ~Alarm() = default;

  // Something is due at due_ms, earlier than what was known; the time is told then, or soon after. Comes
  // without a lock of the engine, from any thread.
  virtual void set(int64_t due_ms) noexcept = 0;
  // When it returns, the time is not told any more.
  virtual void stop() noexcept = 0;
};

}  // namespace blazen
