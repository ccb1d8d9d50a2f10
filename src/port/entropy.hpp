// Where ids come from. Implementations: exec/.
#pragma once

#include <cstddef>

#include "base/lanes.hpp"
#include "value/error.hpp"

namespace blazen {

class Entropy {
 public:
  virtual ~Entropy() = default;
  // Fills with unpredictable bytes; never the same in two processes, a fork included. One thread at a time for
  // each lane.
  virtual Ref<Error> fill(size_t lane, void* bytes, size_t size) noexcept = 0;
};

}  // namespace blazen
