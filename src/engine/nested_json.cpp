#include "engine/nested_json.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "base/limits.hpp"
#include "codec/json_check.hpp"

namespace blazen {

Ref<Error> check_nested(std::string_view what, std::string_view json) {
  // What stands around it: the request, in a list, in the description of a run.
  constexpr uint32_t kDepthMax = kJsonDepthMax - 8;
  constexpr size_t kBytesMax = kValueBytesMax / 4;
  if (json.size() > kBytesMax) {
    return Error::make(Status::limit, std::string(what) + " has " + std::to_string(json.size()) +
                                          " bytes; inside another value, " + std::to_string(kBytesMax) +
                                          " is the most (a quarter of BLAZEN_VALUE_BYTES_MAX)");
  }
  if (!check_json(json.data(), json.size(), kDepthMax)) return nullptr;
  return Error::make(Status::limit, std::string(what) + " is nested too deep; inside another value, " +
                                        std::to_string(kDepthMax) +
                                        " is the most (BLAZEN_JSON_DEPTH_MAX less 8)");
}

namespace {

// As blazen_error_detail finds it: through the causes. Null: there is none.
const Value* find_detail(const Error& error) noexcept {
  for (const Error* each = &error; each != nullptr; each = each->cause.get()) {
    if (each->detail) return each->detail.get();
  }
  return nullptr;
}

// Why it cannot stand inside; empty: it can.
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

std::string detail_member(const Error& error) {
  const Value* detail = find_detail(error.cause ? *error.cause : error);
  if (detail == nullptr) return {};
  const std::string reason = why_not_inside(*detail);
  if (reason.empty()) return std::string(",\"detail\":").append(detail->data());
  return ",\"detail_omitted\":" +
         nlohmann::json(reason).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace blazen
