// What a run reports about itself, as events for those who listen: lifecycle and progress items.
#pragma once

#include <cstdint>
#include <string_view>

#include "run/tick.hpp"

namespace blazen {

// All throw std::bad_alloc.
Ref<Event> make_lifecycle(const LifecycleRecord& lifecycle, const Workflow& workflow);
// total 0: not known.
Ref<Event> make_progress(std::string_view label, uint64_t current, uint64_t total, std::string_view run_id,
                         std::string_view source);
// Of a pipeline: so many of its stages are behind it, and it is at this one.
Ref<Event> make_pipeline_progress(std::string_view stage, uint64_t behind, uint64_t total,
                                  std::string_view run_id, std::string_view source);

}  // namespace blazen
