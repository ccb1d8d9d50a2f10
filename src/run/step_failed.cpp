#include "run/step_failed.hpp"

#include <nlohmann/json.hpp>
#include <string>

namespace blazen {

Ref<Event> step_failed_event(std::string_view type, const Error& error, std::string_view step,
                             uint32_t attempt, uint64_t invocation_id, const Event& event,
                             std::string_view detail) {
  // Only the strings are nlohmann's: its objects do not stand a failed allocation.
  const auto text = [](std::string_view content) {
    return nlohmann::json(content).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  const Error& cause = error.cause ? *error.cause : error;
  std::string json = "{\"step\":" + text(step) + ",\"attempt\":" + std::to_string(attempt) +
                     ",\"invocation_id\":" + std::to_string(invocation_id) +
                     ",\"event_type\":" + text(event.type()) + ",\"status\":\"" + status_name(cause.status) +
                     "\",\"message\":" + text(cause.message) +
                     ",\"host_code\":" + std::to_string(cause.host_code);
  json.append(detail);
  return Event::make(type, Value::copy(Tag::json, json + "}"), step, event.correlation());
}

}  // namespace blazen
