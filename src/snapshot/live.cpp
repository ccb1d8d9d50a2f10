#include "snapshot/live.hpp"

#include <unordered_set>
#include <utility>

#include "base/text_hash.hpp"

namespace blazen {

std::string session_place(std::string_view key) { return std::string("session '").append(key).append("'"); }

std::string answer_place(std::string_view request_id) {
  return std::string("answer to '").append(request_id).append("'");
}

std::string event_place(std::string_view type, uint64_t id) {
  return std::string("event '").append(type).append("' (id ") + std::to_string(id) + ")";
}

std::string detail_place(uint32_t depth) {
  std::string place = "error";
  for (; depth > 0; --depth) place += ".cause";
  return place + ".detail";
}

void drop_repeated(std::vector<std::string>& names) {
  std::unordered_set<std::string_view, TextHash> seen;
  std::vector<std::string> unique;
  seen.reserve(names.size());
  unique.reserve(names.size());  // the texts stay where they are: `seen` looks into them
  for (std::string& name : names) {
    if (seen.contains(name)) continue;
    unique.push_back(std::move(name));
    seen.insert(unique.back());
  }
  names = std::move(unique);
}

}  // namespace blazen
