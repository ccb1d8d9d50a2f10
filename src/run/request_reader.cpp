#include "run/request_reader.hpp"

#include <nlohmann/json.hpp>

namespace blazen {

namespace {

// The text of a JSON string, which stands between its quotes. False: it has half of a surrogate pair, which
// no text has.
bool unescape(std::string_view token, std::string& text) {
  if (token.find('\\') == std::string_view::npos) {
    text = token.substr(1, token.size() - 2);
    return true;
  }
  const nlohmann::json value = nlohmann::json::parse(token, nullptr, false);
  if (!value.is_string()) return false;
  text = value.get_ref<const std::string&>();
  return true;
}

}  // namespace

size_t RequestReader::read_member(size_t at) {
  std::string key;
  if (!unescape(string_at(at), key)) key.clear();
  const size_t value = skip_space(skip_space(end_of_string(at) + 1) + 1);
  const size_t end = skip_value(value);
  if (key == "request_id") {
    has_id = true;
    id_token = trimmed(value, end);
    id_is_text = json_[value] == '"' && unescape(string_at(value), id);
  } else if (key == "prompt") {
    prompt = trimmed(value, end);
  } else if (key == "metadata") {
    metadata = trimmed(value, end);
  }
  return json_[end] == ',' ? skip_space(end + 1) : end;
}

std::string with_request_id(std::string_view request, std::string_view id) {
  const RequestReader reader(request);
  const size_t at = static_cast<size_t>(reader.id_token.data() - request.data());
  std::string text(request.substr(0, at));
  text += nlohmann::json(id).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.append(request.substr(at + reader.id_token.size()));
}

}  // namespace blazen
