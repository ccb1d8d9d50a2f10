// The clock of a run.
#pragma once

#include <cstdint>

#include "base/milliseconds.hpp"

namespace blazen {

// Time stands still for a run that is paused, parked elsewhere, or waits for a human: it has a clock of its
// own, which the ticks that know the time set. Timers are due by it; the time-outs of steps, whose bodies run
// all the same, by the runtime's.
struct RunClock {
  int64_t elapsed_ms = 0;   // when it was set last
  int64_t set_ms = 0;       // that moment, by the runtime's clock
  int64_t set_date_ms = 0;  // that moment, as a date; of a clock that runs, it means nothing
  bool runs = false;

  int64_t at(int64_t now_ms) const noexcept {
    return runs && now_ms > set_ms ? add_ms(elapsed_ms, now_ms - set_ms) : elapsed_ms;
  }
  // One that runs, and goes on, keeps a moment that was rounded up.
  void set(int64_t now_ms, int64_t date_ms, bool running) noexcept {
    if (runs && running && now_ms < set_ms) return;
    elapsed_ms = at(now_ms);
    set_ms = now_ms;
    set_date_ms = date_ms;
    runs = running;
  }
};

}  // namespace blazen
