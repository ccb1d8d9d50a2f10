#include "exec/system_clock.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/steady.hpp"

namespace blazen {
namespace {

class SystemClock final : public Clock {
 public:
  SystemClock() noexcept : Clock(false) {}

  int64_t now_ms() noexcept override { return steady_ms(); }
#ifdef CLOCK_MONOTONIC_COARSE
  int64_t coarse_ms() noexcept override {
    timespec now{};
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) != 0) return now_ms();
    return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
  }
#endif
  int64_t date_ms() noexcept override {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
  }
};

}  // namespace

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace blazen
