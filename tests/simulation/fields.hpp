// The fields of a snapshot, by their numbers.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace sim {

// The top of a snapshot is a map with numbers for keys, which the reader does not take: as an array, it does.
inline nlohmann::json fields_of(std::string bytes) {
  bytes.erase(0, std::min<size_t>(3, bytes.size()));  // the tag
  if (bytes.size() < 2 || static_cast<unsigned char>(bytes[0]) != 0xb8) return nullptr;
  bytes[0] = '\x98';
  bytes[1] = static_cast<char>(bytes[1] * 2);
  const nlohmann::json pairs =
      nlohmann::json::from_cbor(bytes, true, false, nlohmann::json::cbor_tag_handler_t::ignore);
  if (pairs.is_discarded()) return nullptr;
  nlohmann::json fields = nlohmann::json::array();
  for (size_t i = 1; i < pairs.size(); i += 2) fields.push_back(pairs[i]);
  return fields;
}

}  // namespace sim
