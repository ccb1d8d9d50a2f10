#include "run/step_failed.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "base/limits.hpp"

namespace blazen {
namespace {

// Only the strings are nlohmann's: its objects do not stand a failed allocation.
std::string text(std::string_view content) {
  return nlohmann::json(content).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string what_failed(const Error& error) {
  return std::string("\"status\":\"")
      .append(status_name(error.status))
      .append("\",\"message\":")
      .append(text(error.message))
      .append(",\"host_code\":")
      .append(std::to_string(error.host_code));
}

// Which step it is the failure of, where it is one.
std::string failed_step(const Error& error, const std::string& prefix) {
  if (error.step.empty()) return {};
  return ",\"" + prefix + "step\":" + text(error.step) + ",\"" + prefix +
         "attempt\":" + std::to_string(error.attempt);
}

// As a member of what failed by it, with its comma: as many of them as a snapshot keeps of an error, and as there is room
// for. Nothing where there is none.
std::string cause_member(const Error* cause) {
  constexpr size_t kBytesMax = size_t{1} << 20;
  std::string json;
  uint32_t open = 0;
  for (; cause != nullptr && open < kErrorDepthMax; cause = cause->cause.get(), ++open) {
    std::string what = ",\"cause\":{" + what_failed(*cause);
    what.append(failed_step(*cause, ""));
    if (json.size() + what.size() > kBytesMax) break;
    json.append(what);
  }
  return json.append(open, '}');
}

}  // namespace

Ref<Event> step_failed_event(std::string_view type, const Error& error, std::string_view step,
                             uint32_t attempt, uint64_t invocation_id, const Event& event,
                             std::string_view detail) {
  const Error& cause = error.cause ? *error.cause : error;
  std::string json = "{\"step\":" + text(step) + ",\"attempt\":" + std::to_string(attempt) +
                     ",\"invocation_id\":" + std::to_string(invocation_id) +
                     ",\"event_type\":" + text(event.type()) + "," + what_failed(cause);
  if (error.cause) json.append(failed_step(cause, "inner_"));
  json.append(detail).append(cause_member(cause.cause.get()));
  return Event::make(type, Value::copy(Tag::json, json + "}"), step, event.correlation());
}

}  // namespace blazen
