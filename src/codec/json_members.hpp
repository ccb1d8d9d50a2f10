// The members of a JSON object, as they stand there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace blazen {

// The text of a JSON string, which stands between its quotes. False: it has half of a surrogate pair, which no text has.
// Throws std::bad_alloc.
bool unescape_json(std::string_view token, std::string& text);

// Goes through the members of the object itself. What is read was checked before; it is not parsed, since there are numbers
// that no parser can hold, and since nlohmann's objects do not stand a failed allocation.
class JsonMembers {
 public:
  explicit JsonMembers(std::string_view json) noexcept : json_(json), first_(skip_space(0)) {}

  bool is_object() const noexcept { return json_[first_] == '{'; }
  bool is_empty() const noexcept { return json_[skip_space(first_ + 1)] == '}'; }

  // each(key, value): of one name several times, the last one counts, as readers of JSON have it. The value is its token,
  // without the space around it. Throws std::bad_alloc.
  template <class Each>
  void for_each(const Each& each) const {
    if (!is_object()) return;
    std::string key;
    for (size_t at = skip_space(first_ + 1); json_[at] != '}';) {
      if (!unescape_json(string_at(at), key)) key.clear();
      const size_t value = skip_space(skip_space(end_of_string(at) + 1) + 1);
      const size_t end = skip_value(value);
      each(std::string_view(key), trimmed(value, end));
      at = json_[end] == ',' ? skip_space(end + 1) : end;
    }
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
  std::string_view trimmed(size_t at, size_t end) const noexcept {
    return json_.substr(at, json_.find_last_not_of(" \t\r\n", end - 1) + 1 - at);
  }

  std::string_view json_;
  size_t first_;
};

// The token of this member; empty: there is none, or it is no object. Throws std::bad_alloc.
std::string_view find_json_member(std::string_view json, std::string_view name);

}  // namespace blazen
