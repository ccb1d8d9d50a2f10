// One thread at a time sleeps until something is due, and then tells the time: it leads. Before it calls the
// host for that, whose callback may take as long as it likes, it hands the lead over to a spare one, or to a
// new one; when it is back, it is a spare itself. So there are as many threads as callbacks were under way at
// once, and one more.
//
// Invariants: whoever leads tells the time at the next moment, and not before. It reads it under the lock,
// and whoever makes it earlier wakes it under the same lock. `is_led` is false only while a spare is on its
// way.
#include "exec/alarm_thread.hpp"

#ifndef BLAZEN_NO_THREADS

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/lock.hpp"
#include "base/steady.hpp"
#include "exec/thread.hpp"

namespace blazen {
namespace {

constexpr size_t kThreadsMax = 64;

// What the threads need outlives the alarm, for the one that closes its own runtime from here.
struct Timekeepers {
  Lock lock;
  Condition changed;  // what is due next
  Condition vacant;   // the lead
  bool is_led = false;
  size_t spares = 0;
  bool stopped = false;
};

// This thread tells the time of an alarm. Once it has handed the lead over, others do.
struct Telling {
  const Timekeepers* of;
  bool leads = true;
};
thread_local Telling* telling = nullptr;

// Under the lock, as one that leads, until something is due. False: stopped.
bool sleep_until_due(Timekeepers& shared, Guard& guard, Clock& clock, Alarm::Target target) noexcept {
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

// Under the lock, until this thread leads. False: stopped.
bool take_lead(Timekeepers& shared, Guard& guard) noexcept {
  ++shared.spares;
  while (shared.is_led && !shared.stopped) shared.vacant.wait(guard, -1);
  --shared.spares;
  if (shared.stopped) return false;
  return shared.is_led = true;
}

// Callbacks of the host come from here: a thread attaches itself before its first.
void run_alarm(const std::shared_ptr<Timekeepers>& shared, Clock& clock, const Ref<Hooks>& hooks,
               Alarm::Target target) noexcept {
  bool is_attached = false;
  Guard guard(shared->lock);
  while (take_lead(*shared, guard) && sleep_until_due(*shared, guard, clock, target)) {
    guard.unlock();
    if (!std::exchange(is_attached, true)) hooks->call_as_engine(hooks->attach);
    Telling mine{shared.get()};
    telling = &mine;
    target.tell_time(target.runtime);
    telling = nullptr;
    guard.lock();
    if (mine.leads) shared->is_led = false;
  }
  guard.unlock();
  if (is_attached) hooks->call_as_engine(hooks->detach);
}

class AlarmThread final : public Alarm {
 public:
  AlarmThread(Clock& clock, Log& log, const ThreadSettings& settings, Ref<Hooks> hooks, Target target)
      : clock_(clock),
        log_(log),
        settings_(settings),
        hooks_(std::move(hooks)),
        target_(target),
        shared_(std::make_shared<Timekeepers>()) {
    threads_.reserve(kThreadsMax);
  }
  ~AlarmThread() override { stop(); }

  // Under the lock, or before anything else. Throws std::system_error and std::bad_alloc.
  void start_thread() {
    threads_.emplace_back(settings_, "time",
                          [shared = shared_, &clock = clock_, hooks = hooks_, target = target_] {
                            run_alarm(shared, clock, hooks, target);
                          });
  }

  void set() noexcept override {
    Guard guard(shared_->lock);
    if (!shared_->stopped) shared_->changed.wake_one();
  }

  bool has_thread() const noexcept override { return true; }

  void hand_over() noexcept override {
    if (telling == nullptr || telling->of != shared_.get() || !telling->leads) return;
    if (has_next()) {
      telling->leads = false;
    } else if (!std::exchange(has_told_, true)) {
      log_.write(
          LogLevel::warning,
          "no further thread to tell the time: while a callback is under way on this one, time-outs of "
          "other runs are late");
    }
  }

  void stop() noexcept override {
    Guard guard(shared_->lock);
    shared_->stopped = true;
    shared_->changed.wake_all();
    shared_->vacant.wake_all();
    std::vector<Thread> threads = std::move(threads_);
    const Ref<Hooks> last = std::move(hooks_);
    guard.unlock();
    for (Thread& thread : threads) {
      if (thread.is_current()) {
        thread.detach();  // it closes its own runtime, and ends as soon as it has left the engine
      } else {
        thread.join();
      }
    }
  }

 private:
  // Whether another thread leads from now on.
  bool has_next() noexcept {
    Guard guard(shared_->lock);
    if (shared_->stopped) return true;
    if (shared_->spares == 0) {
      if (threads_.size() == kThreadsMax) return false;
      try {
        start_thread();
      } catch (const std::exception&) {
        return false;
      }
    }
    shared_->is_led = false;
    shared_->vacant.wake_one();
    return true;
  }

  Clock& clock_;
  Log& log_;
  const ThreadSettings settings_;
  Ref<Hooks> hooks_;
  const Target target_;
  std::shared_ptr<Timekeepers> shared_;
  std::vector<Thread> threads_;
  bool has_told_ = false;  // whoever leads knows it
};

}  // namespace

Result<std::unique_ptr<Alarm>> make_alarm_thread(Clock& clock, Log& log, const ThreadSettings& settings,
                                                 Ref<Hooks> hooks, Alarm::Target target) {
  auto alarm = std::make_unique<AlarmThread>(clock, log, settings, std::move(hooks), target);
  try {
    alarm->start_thread();
  } catch (const std::system_error& failure) {
    Ref<Error> error =
        Error::make(Status::system,
                    std::string("the operating system refused to start the thread that tells the time: ") +
                        failure.what());
    if (error->status == Status::system) error->host_code = failure.code().value();
    return error;
  }
  return std::unique_ptr<Alarm>(std::move(alarm));
}

}  // namespace blazen

#endif
