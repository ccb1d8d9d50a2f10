// Nobody tells the time by itself: whoever polls does.
#pragma once

#include <memory>

#include "port/alarm.hpp"

namespace blazen {

class NoAlarm final : public Alarm {
 public:
  void set(int64_t) noexcept override {}
  void stop() noexcept override {}
};

inline std::unique_ptr<Alarm> make_no_alarm() { return std::make_unique<NoAlarm>(); }

}  // namespace blazen
