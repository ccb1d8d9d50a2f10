#include "run/request_reader.hpp"

#include <nlohmann/json.hpp>

namespace blazen {

std::string with_request_id(std::string_view request, std::string_view id) {
  const RequestReader reader(request);
  const size_t at = static_cast<size_t>(reader.id_token.data() - request.data());
  std::string text(request.substr(0, at));
  text += nlohmann::json(id).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.append(request.substr(at + reader.id_token.size()));
}

}  // namespace blazen
