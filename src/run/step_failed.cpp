#include "run/step_failed.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "run/nested_json.hpp"

namespace blazen {
namespace {

// As blazen_error_detail finds it: through the causes. Null: there is none.
const Value* find_detail(const Error& error) noexcept {
  for (const Error* each = &error; each != nullptr; each = each->cause.get()) {
    if (each->detail) return each->detail.get();
  }
  return nullptr;
}

// Why it cannot stand in the event; empty: it can.
std::string why_not_inside(const Value& detail) {
  switch (detail.tag()) {
    case Tag::json: break;
    case Tag::bytes: return "detail is BYTES; only JSON can stand inside another value";
    case Tag::native: return "detail is NATIVE; only JSON can stand inside another value";
    default: return "detail is LIVE; only JSON can stand inside another value";
  }
  const Ref<Error> refused = check_nested("detail", detail.data());
  return refused ? refused->message : std::string();
}

}  // namespace

Ref<Event> step_failed_event(const Error& error, std::string_view step, uint32_t attempt,
                             uint64_t invocation_id, const Event& event) {
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
  if (const Value* detail = find_detail(cause)) {
    const std::string reason = why_not_inside(*detail);
    if (reason.empty()) {
      json.append(",\"detail\":").append(detail->data());
    } else {
      json.append(",\"detail_omitted\":").append(text(reason));
    }
  }
  return Event::make(kStepFailed, Value::copy(Tag::json, json + "}"), step, event.correlation());
}

}  // namespace blazen
