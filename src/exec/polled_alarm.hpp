// Whoever polls tells the time. What is due when it is set is told at once: that poll has come already.
#pragma once

#include <memory>

#include "port/alarm.hpp"
#include "port/clock.hpp"

namespace blazen {

class PolledAlarm final : public Alarm {
 public:
  // The clock outlives it.
  PolledAlarm(Clock& clock, Target target) noexcept : clock_(clock), target_(target) {}
  void set() noexcept override {
    const int64_t due_ms = target_.next_due(target_.runtime);
    if (due_ms != INT64_MAX && due_ms <= clock_.now_ms()) target_.tell_time(target_.runtime);
  }
  void stop() noexcept override {}

 private:
  Clock& clock_;
  const Target target_;
};

inline std::unique_ptr<Alarm> make_polled_alarm(Clock& clock, Alarm::Target target) {
  return std::make_unique<PolledAlarm>(clock, target);
}

}  // namespace blazen
