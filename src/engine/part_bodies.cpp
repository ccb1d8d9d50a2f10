#include "engine/part_bodies.hpp"

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/quotes.hpp"
#include "engine/nested_json.hpp"

namespace blazen {
namespace {

using Results = std::span<const Event* const>;

std::string quoted_json(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Status status_named(std::string_view name) noexcept {
  for (int32_t number = static_cast<int32_t>(Status::invalid_argument); number < 1000; ++number) {
    if (name == status_name(static_cast<Status>(number))) return static_cast<Status>(number);
  }
  return Status::step_failed;
}

// The error that a branch has failed with, out of the event that says so.
Ref<Error> error_of_branch(const Event& failed) {
  const nlohmann::json what = nlohmann::json::parse(failed.value()->data(), nullptr, false);
  if (!what.is_object()) return Error::make(Status::step_failed, "it failed");
  const Status status = status_named(what.value("status", std::string()));
  Ref<Error> error = Error::make(status, what.value("message", std::string()));
  if (error->status != status) return error;
  error->host_code = what.value("host_code", int64_t{0});
  if (const auto detail = what.find("detail"); detail != what.end())
    error->detail = Value::copy(Tag::json, detail->dump());
  return error;
}

bool has_failed(const Event& arrival, const StepDefinition& gather) noexcept {
  return arrival.type() == gather.accepts.back();
}

// All have failed: the cause is the last failure, and the detail has each.
Ref<Error> all_failed(Results results, const StepDefinition& gather) {
  std::string json = "{";
  const Event* last = nullptr;
  for (const Event* each : results) {
    if (json.size() > 1) json += ",";
    json.append(quoted_json(each->source())).append(":").append(each->value()->data());
    if (last == nullptr || each->id > last->id) last = each;
  }
  json += "}";
  Ref<Error> error = Error::make(Status::step_failed, "all " + std::to_string(results.size()) +
                                                          " branches of " + in_quotes(gather.name) +
                                                          " failed; the last was " + in_quotes(last->source()));
  if (error->status != Status::step_failed) return error;
  Ref<Error> cause = error_of_branch(*last);
  error->host_code = cause->host_code;
  error->message.append(": ").append(cause->message);
  error->cause = std::move(cause);
  if (!check_nested("detail", json)) error->detail = Value::copy(Tag::json, json);
  return error;
}

const char* name_of(Tag tag) noexcept {
  switch (tag) {
    case Tag::bytes: return "BYTES";
    case Tag::native: return "NATIVE";
    case Tag::live: return "LIVE";
    default: return "JSON";
  }
}

// An object by the names of the branches.
Ref<Error> emit_all(Context& context, Results results, const StepDefinition& gather) {
  std::string json = "{";
  for (const Event* each : results) {
    if (each->value()->tag() != Tag::json)
      return Error::make(Status::wrong_tag,
                         "the result of branch " + in_quotes(each->source()) + " is " +
                             name_of(each->value()->tag()) +
                             ", and an object by branch has JSON alone: make something of it with an output "
                             "mapper");
    if (json.size() > 1) json += ",";
    json.append(quoted_json(each->source())).append(":").append(each->value()->data());
    if (json.size() > kValueBytesMax)
      return Error::make(Status::limit, "the results of the branches are more than BLAZEN_VALUE_BYTES_MAX");
  }
  json += "}";
  if (Ref<Error> refused = check_nested("the results of the branches", json)) return refused;
  return context.emit(gather.emits.front(), Value::copy(Tag::json, json));
}

}  // namespace

Ref<Error> open_branches(Context& context, const Call& call) {
  for (const std::string& type : call.step().emits) {
    if (Ref<Error> error = context.emit(type, call.event().value())) return error;
  }
  return nullptr;
}

Ref<Error> gather_branches(Context& context, const Call& call) {
  const StepDefinition& gather = call.step();
  const Event* const* first = nullptr;
  size_t count = 0;
  if (Ref<Error> error = context.events(first, count)) return error;
  const Results results(first, count);
  const Event* success = nullptr;
  for (const Event* each : results) {
    if (!has_failed(*each, gather)) {
      success = each;
    } else if (!gather.takes_first) {
      Ref<Error> cause = error_of_branch(*each);
      return Error::step_failed(branch_step_name(gather.name, each->source()), 1, std::move(cause));
    }
  }
  if (gather.takes_first && success == nullptr && count != 0) return all_failed(results, gather);
  if (gather.body) return nullptr;
  if (gather.takes_first && success != nullptr) return context.emit(gather.emits.front(), success->value());
  return emit_all(context, results, gather);
}

}  // namespace blazen
