// What an InputRequestEvent says, and the same under another id.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace blazen {

// Finds the members of an InputRequestEvent: those of the object itself, and the last of several of one name,
// as readers of JSON do. What is read was checked before; it is not parsed, since there are numbers that no
// parser can hold.
class RequestReader {
 public:
  bool is_object = false;
  bool is_empty = false;
  bool has_id = false;
  bool id_is_text = false;
  std::string id;
  std::string_view id_token;  // as it stands there
  std::string_view prompt;  // as it stands there; empty: none
  std::string_view metadata;

  explicit RequestReader(std::string_view json) : json_(json) {
    is_object = json_[skip_space(0)] == '{';
    if (!is_object) return;
    size_t at = skip_space(skip_space(0) + 1);
    is_empty = json_[at] == '}';
    while (json_[at] != '}') at = skip_space(read_member(at));
  }

 private:
  size_t skip_space(size_t at) const noexcept { return json_.find_first_not_of(" \t\r\n", at); }
  // The quote that ends the string which begins at `at`.
  size_t end_of_string(size_t at) const noexcept {
    for (++at; json_[at] != '"'; ++at) {
      if (json_[at] == '\\') ++at;
    }
    return at;
  }
  // One behind the value: at the comma or the bracket that ends it.
  size_t skip_value(size_t at) const noexcept {
    size_t depth = 0;
    for (;; ++at) {
      const char c = json_[at];
      if (c == '"') {
        at = end_of_string(at);
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (depth == 0 && (c == ',' || c == '}')) {
        return at;
      } else if (c == '}' || c == ']') {
        --depth;
      }
    }
  }
  std::string_view string_at(size_t at) const noexcept {
    return json_.substr(at, end_of_string(at) + 1 - at);
  }
  // Without the space behind it.
  std::string_view trimmed(size_t at, size_t end) const noexcept {
    return json_.substr(at, json_.find_last_not_of(" \t\r\n", end - 1) + 1 - at);
  }
  // Where the next member begins, or the bracket that ends the object.
  size_t read_member(size_t at);

  std::string_view json_;
};

// The request of a question, with this id in the place of its own. Throws std::bad_alloc.
std::string with_request_id(std::string_view request, std::string_view id);

}  // namespace blazen
