#include "codec/json_members.hpp"

#include <nlohmann/json.hpp>

namespace blazen {

bool unescape_json(std::string_view token, std::string& text) {
  if (token.find('\\') == std::string_view::npos) {
    text = token.substr(1, token.size() - 2);
    return true;
  }
  const nlohmann::json value = nlohmann::json::parse(token, nullptr, false);
  if (!value.is_string()) return false;
  text = value.get_ref<const std::string&>();
  return true;
}

std::string_view find_json_member(std::string_view json, std::string_view name) {
  std::string_view found;
  JsonMembers(json).for_each([&](std::string_view key, std::string_view value) {
    if (key == name) found = value;
  });
  return found;
}

}  // namespace blazen
