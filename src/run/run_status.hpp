// Where a run stands.
#pragma once

#include <array>
#include <cstdint>

namespace blazen {

// Stored in snapshots: never renumber. (3 and 4 are the public states that are derived: waiting, elsewhere.)
// 8 and 9 too.
enum class Phase : uint32_t { created = 1, running = 2, completed = 5, failed = 6, cancelled = 7 };

// What a caller sees: a phase, or what a running run waits for.
enum class RunStatus : int8_t {
  created = 1,
  running = 2,
  waiting = 3,
  elsewhere = 4,
  completed = 5,
  failed = 6,
  cancelled = 7,
  paused = 8,
  asking = 9,
};

// Stored in snapshots: never renumber.
enum class Pause : uint8_t { none = 0, now = 1, drain = 2 };

using RunId = std::array<uint8_t, 16>;

}  // namespace blazen
