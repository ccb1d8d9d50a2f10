#include "exec/system_clock.hpp"

#include <chrono>
#include <ctime>

#include "base/steady.hpp"

namespace blazen {
namespace {

int64_t to_ms(const timespec& time) noexcept {
  return static_cast<int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

class SystemClock final : public Clock {
 public:
  SystemClock() noexcept : Clock(false), base_ms_(date_ms() - steady_ms()) {}

  int64_t now_ms() noexcept override { return base_ms_ + steady_ms(); }
#ifdef CLOCK_MONOTONIC_COARSE
  int64_t coarse_ms() noexcept override {
    timespec now{};
    return clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0 ? base_ms_ + to_ms(now) : now_ms();
  }
#endif

 private:
  static int64_t date_ms() noexcept {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  }

  const int64_t base_ms_;
};

}  // namespace

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace blazen
