// In which round of a loop an event is, and how much of the time of its stage the rounds before have used: it stands in the
// correlation of the events of the loop, "round used", so that it goes where they go, into snapshots too.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/limits.hpp"

namespace blazen {

struct Round {
  uint32_t number = 1;
  int64_t used_ms = 0;

  // An event that has none is of the first.
  static Round of(std::string_view correlation) noexcept {
    Round round;
    const char* const end = correlation.data() + correlation.size();
    const auto [at, error] = std::from_chars(correlation.data(), end, round.number);
    if (error != std::errc() || round.number == 0) return Round{};
    if (at != end) std::from_chars(at + 1, end, round.used_ms);
    round.used_ms = std::clamp<int64_t>(round.used_ms, 0, kTimeMsMax);
    return round;
  }
  std::string text() const { return std::to_string(number) + " " + std::to_string(used_ms); }
};

}  // namespace blazen
