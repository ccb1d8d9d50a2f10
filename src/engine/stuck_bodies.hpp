// What a close says that has come to its deadline: which bodies are still at work.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "run/run_description.hpp"
#include "value/error.hpp"

namespace blazen {

class StuckBodies {
 public:
  // Throw std::bad_alloc.
  void add(std::string_view run_id, const Workflow& workflow, const AbandonedBody& body);
  // what: that is not closed.
  Ref<Error> error(std::string_view what) const;

 private:
  uint64_t count_ = 0;
  std::string words_;
  std::string json_;
};

}  // namespace blazen
