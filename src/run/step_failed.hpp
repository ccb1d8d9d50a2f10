// The event for the step that handles the failures of others.
#pragma once

#include "value/error.hpp"
#include "value/event.hpp"

namespace blazen {

// blazen::StepFailedEvent: {step, attempt, invocation_id, event_type, status, message, host_code, inner_step?,
// inner_attempt?, detail?, cause?}; a cause is {status, message, host_code, step?, attempt?, cause?}.
// error is what the run would have failed with; event what the step was called with; detail, the member for that, with
// its comma, or nothing. Throws std::bad_alloc.
Ref<Event> step_failed_event(std::string_view type, const Error& error, std::string_view step,
                             uint32_t attempt, uint64_t invocation_id, const Event& event,
                             std::string_view detail = {});

}  // namespace blazen
