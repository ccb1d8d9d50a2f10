#include "engine/stuck_bodies.hpp"

#include <nlohmann/json.hpp>

#include "base/quotes.hpp"

namespace blazen {
namespace {

constexpr uint64_t kNamedMax = 8;  // in the message; the detail has 100

std::string member(std::string_view name, std::string_view text) {
  return std::string("\"").append(name).append("\":").append(nlohmann::json(text).dump()).append(",");
}
std::string member(std::string_view name, uint64_t number) {
  return std::string("\"").append(name).append("\":").append(std::to_string(number)).append(",");
}

}  // namespace

void StuckBodies::add(std::string_view run_id, const Workflow& workflow, const AbandonedBody& body) {
  ++count_;
  const std::string& step = workflow.steps()[body.step].name;
  if (count_ <= kNamedMax) {
    words_.append(count_ == 1 ? "step " : "; step ")
        .append(in_quotes(step))
        .append(" of run ")
        .append(run_id);
    words_.append(", attempt ").append(std::to_string(body.attempt)).append(", for ");
    words_.append(std::to_string(body.age_ms)).append(" ms");
  }
  if (count_ > RunDescription::kListedMax) return;
  json_.append(count_ == 1 ? "[{" : ",{").append(member("run_id", run_id));
  json_.append(member("workflow", workflow.name())).append(member("step", step));
  json_.append(member("invocation_id", body.invocation_id)).append(member("attempt", body.attempt));
  json_.append(member("event_type", body.event->type()));
  json_.append("\"age_ms\":").append(std::to_string(body.age_ms)).append("}");
}

Ref<Error> StuckBodies::error(std::string_view what) const {
  std::string message = std::string(what).append(" is not closed yet: ");
  if (count_ == 0) {
    message += "a callback of the host has not returned";
  } else {
    message +=
        std::to_string(count_) + (count_ == 1 ? " body is" : " bodies are") + " still at work: " + words_;
    if (count_ > kNamedMax) message += "; and more";
  }
  Ref<Error> error = Error::make(Status::timeout, message);
  if (count_ != 0 && error->status == Status::timeout) error->detail = Value::copy(Tag::json, json_ + "]");
  return error;
}

}  // namespace blazen
