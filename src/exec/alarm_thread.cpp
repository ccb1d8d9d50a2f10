// Invariants: the thread tells the time at the next moment, and not before. It reads it under the lock, and
// whoever makes it earlier wakes the thread under the same lock.
#include "exec/alarm_thread.hpp"

#ifndef BLAZEN_NO_THREADS

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/lock.hpp"
#include "base/steady.hpp"
#include "exec/thread.hpp"

namespace blazen {
namespace {

// What the thread needs outlives the alarm, for the one that closes its own runtime from here.
struct Sleeper {
  Lock lock;
  Condition changed;
  bool stopped = false;
};

// Until something is due. False: stopped.
bool sleep_until_due(Sleeper& shared, Clock& clock, Alarm::Target target) noexcept {
  Guard guard(shared.lock);
  while (!shared.stopped) {
    const int64_t due_ms = target.next_due(target.runtime);
    if (due_ms == INT64_MAX) {
      shared.changed.wait(guard, -1);
      continue;
    }
    const int64_t left_ms = due_ms - clock.now_ms();
    if (left_ms <= 0) return true;
    constexpr int64_t kLongest = 3'600'000;
    shared.changed.wait(guard, steady_ms() + std::min(left_ms, kLongest));
  }
  return false;
}

// Callbacks of the host come from this thread too: it attaches itself before the first.
void run_alarm(const std::shared_ptr<Sleeper>& shared, Clock& clock, const Ref<Hooks>& hooks,
               Alarm::Target target) noexcept {
  bool is_attached = false;
  while (sleep_until_due(*shared, clock, target)) {
    if (!std::exchange(is_attached, true)) hooks->call_as_engine(hooks->attach);
    target.tell_time(target.runtime);
  }
  if (is_attached) hooks->call_as_engine(hooks->detach);
}

class AlarmThread final : public Alarm {
 public:
  AlarmThread(Clock& clock, const ThreadSettings& settings, Ref<Hooks> hooks, Target target)
      : clock_(clock),
        settings_(settings),
        hooks_(std::move(hooks)),
        target_(target),
        shared_(std::make_shared<Sleeper>()) {}
  ~AlarmThread() override { stop(); }

  void set() noexcept override {
    Guard guard(shared_->lock);
    if (shared_->stopped) return;
    if (thread_.joinable()) {
      shared_->changed.wake_one();
      return;
    }
    try {
      thread_ =
          Thread(settings_, "time", [shared = shared_, &clock = clock_, hooks = hooks_, target = target_] {
            run_alarm(shared, clock, hooks, target);
          });
    } catch (const std::exception&) {
      // Without a thread, whoever polls tells the time; the next set() tries again.
    }
  }

  bool has_thread() const noexcept override { return true; }

  void stop() noexcept override {
    Guard guard(shared_->lock);
    shared_->stopped = true;
    shared_->changed.wake_all();
    Thread thread = std::move(thread_);
    const Ref<Hooks> last = std::move(hooks_);
    guard.unlock();
    if (!thread.joinable()) return;
    if (thread.is_current()) {
      thread.detach();  // it closes its own runtime, and ends as soon as it has left the engine
    } else {
      thread.join();
    }
  }

 private:
  Clock& clock_;
  const ThreadSettings settings_;
  Ref<Hooks> hooks_;
  const Target target_;
  std::shared_ptr<Sleeper> shared_;
  Thread thread_;
};

}  // namespace

std::unique_ptr<Alarm> make_alarm_thread(Clock& clock, const ThreadSettings& settings, Ref<Hooks> hooks,
                                         Alarm::Target target) {
  return std::make_unique<AlarmThread>(clock, settings, std::move(hooks), target);
}

}  // namespace blazen

#endif
