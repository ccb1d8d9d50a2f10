#include "run/nested_json.hpp"

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

}  // namespace blazen
