// What an InputRequestEvent says, and the same under another id.
#pragma once

#include <string>
#include <string_view>

#include "codec/json_members.hpp"

namespace blazen {

// Finds the members of an InputRequestEvent.
class RequestReader {
 public:
  bool is_object = false;
  bool is_empty = false;
  bool has_id = false;
  bool id_is_text = false;
  std::string id;
  std::string_view id_token;  // as it stands there
  std::string_view prompt;    // as it stands there; empty: none
  std::string_view metadata;

  explicit RequestReader(std::string_view json) {
    const JsonMembers members(json);
    is_object = members.is_object();
    if (!is_object) return;
    is_empty = members.is_empty();
    members.for_each([this](std::string_view key, std::string_view value) {
      if (key == "request_id") {
        has_id = true;
        id_token = value;
        id_is_text = value.front() == '"' && unescape_json(value, id);
      } else if (key == "prompt") {
        prompt = value;
      } else if (key == "metadata") {
        metadata = value;
      }
    });
  }
};

// The request of a question, with this id in the place of its own. Throws std::bad_alloc.
std::string with_request_id(std::string_view request, std::string_view id);

}  // namespace blazen
