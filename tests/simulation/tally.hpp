// What has really happened in all the runs of this process, by name: a feature that never occurs is not
// tested, however often it could have.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace sim {

inline std::map<std::string, uint64_t>& tally() {
  static std::map<std::string, uint64_t> counts;
  return counts;
}

}  // namespace sim
