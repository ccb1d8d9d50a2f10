// What has really lifecycle in all the runs of this process, by name: a feature that never occurs is not
// tested, however often it could have.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace sim {

struct Tally {
  std::mutex lock;
  std::map<std::string, uint64_t> counts;
};
inline Tally& tally() {
  static Tally all;
  return all;
}
inline void count(const std::string& name, uint64_t times = 1) {
  Tally& all = tally();
  std::lock_guard guard(all.lock);
  all.counts[name] += times;
}

}  // namespace sim
