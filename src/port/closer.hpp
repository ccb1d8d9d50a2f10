// Who ends a close that nobody waits for, where there are threads to join: a thread that is none of them.
// Implementation: exec/.
#pragma once

#include "value/error.hpp"

namespace blazen {

class Closer {
 public:
  Closer() = default;
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;
  virtual ~Closer() = default;

  // Calls close(closing) on a thread of its own, which nobody joins: it may outlive this closer.
  virtual Ref<Error> start(void (*close)(void* closing) noexcept, void* closing) noexcept = 0;
};

}  // namespace blazen
