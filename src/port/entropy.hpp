// Where ids come from. Implementations: exec/.
#pragma once

#include <cstddef>

#include "value/error.hpp"

namespace blazen {

class Entropy {
 public:
  virtual ~Entropy() = default;
  // Fills with unpredictable bytes; never the same in two processes, a fork included. One thread at a time.
  virtual Ref<Error> fill(void* bytes, size_t size) noexcept = 0;
};

}  // namespace blazen
