#include "engine/lifecycle.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace blazen {
namespace {

const char* name_of(LifecycleRecord::Kind kind) noexcept {
  switch (kind) {
    case LifecycleRecord::Kind::event_routed: return "event_routed";
    case LifecycleRecord::Kind::step_started: return "step_started";
    case LifecycleRecord::Kind::step_completed: return "step_completed";
    case LifecycleRecord::Kind::step_failed: return "step_failed";
    case LifecycleRecord::Kind::step_retrying: return "step_retrying";
    case LifecycleRecord::Kind::late: return "late";
    case LifecycleRecord::Kind::run_paused: return "run_paused";
    case LifecycleRecord::Kind::run_resumed: return "run_resumed";
  }
  return "";
}

// An object, member by member: the keys are our own, the texts may be anybody's.
class Members {
 public:
  Members& text(const char* key, std::string_view text) {
    // Of nlohmann's, only the strings: its objects do not stand a failed allocation.
    return raw(key, nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  Members& number(const char* key, uint64_t number) { return raw(key, std::to_string(number)); }
  Members& raw(const char* key, std::string_view value) {
    json_.append(json_.empty() ? "{\"" : ",\"").append(key).append("\":").append(value);
    return *this;
  }
  Ref<Value> value() { return Value::copy(Tag::json, json_.append("}")); }

 private:
  std::string json_;
};

// With two places at most: 33.33, 50, 66.67 is cut to 66.66, so that only the end is 100: also where a
// quotient so near to it has no room in a floating number.
std::string percent_of(uint64_t current, uint64_t total) {
  constexpr uint64_t kEnd = 10000;
  const auto cut = static_cast<uint64_t>(static_cast<long double>(kEnd) * static_cast<long double>(current) /
                                         static_cast<long double>(total));
  const uint64_t hundredths = current == total ? kEnd : std::min(cut, kEnd - 1);
  std::string text = std::to_string(hundredths / 100);
  const uint64_t rest = hundredths % 100;
  if (rest == 0) return text;
  text.append(rest < 10 ? ".0" : ".").append(std::to_string(rest % 10 == 0 ? rest / 10 : rest));
  return text;
}

}  // namespace

Ref<Event> make_lifecycle(const LifecycleRecord& lifecycle, const Workflow& workflow) {
  Members members;
  members.text("kind", name_of(lifecycle.kind));
  if (lifecycle.step != kNoStep) members.text("step_name", workflow.steps()[lifecycle.step].name);
  if (lifecycle.event) members.text("event_type", lifecycle.event->type());
  if (lifecycle.invocation_id != 0) {
    members.number("invocation_id", lifecycle.invocation_id).number("attempt", lifecycle.attempt);
  }
  if (lifecycle.scope != 0)
    members.number("event_id", lifecycle.event->id).number("scope_id", lifecycle.scope);
  if (lifecycle.duration_ms >= 0) members.number("duration_ms", static_cast<uint64_t>(lifecycle.duration_ms));
  if (lifecycle.error) {
    const Error& error = lifecycle.error->cause ? *lifecycle.error->cause : *lifecycle.error;
    members.text("error", error.message);
  }
  return Event::make(kLifecycle, members.value());
}

namespace {

Ref<Event> make_progress_of(std::string_view kind, std::string_view label, uint64_t current, uint64_t total,
                            std::string_view run_id, std::string_view source) {
  Members members;
  members.text("kind", kind).number("current", current);
  if (total != 0) members.number("total", total).raw("percent", percent_of(current, total));
  members.text("label", label).text("run_id", run_id);
  return Event::make(kProgress, members.value(), source);
}

}  // namespace

Ref<Event> make_progress(std::string_view label, uint64_t current, uint64_t total, std::string_view run_id,
                         std::string_view source) {
  return make_progress_of("step", label, current, total, run_id, source);
}

Ref<Event> make_pipeline_progress(std::string_view stage, uint64_t behind, uint64_t total,
                                  std::string_view run_id, std::string_view source) {
  return make_progress_of("pipeline", stage, behind, total, run_id, source);
}

}  // namespace blazen
