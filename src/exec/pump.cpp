// Invariants: `signalled` says that the host was told and has not begun a poll since; while runs are queued
// and no poll is under way, it is set. The descriptor is readable while it is set, and from the next moment
// on at which something is due. Its timer goes off then, or earlier, which a poll finds out: to set it costs
// more than all the rest, so it is left alone unless the moment has become earlier, or it has gone off
// (`armed_ms`, by the clock of the runtime, which is the timer's).
#include "exec/pump.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#endif

#include "base/lock.hpp"
#include "base/scope.hpp"
#include "exec/work_queue.hpp"

namespace blazen {
namespace {

// What the host watches: an epoll over an event, which says that there is work, and a timer. Made when
// somebody asks for it.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
#ifdef __linux__
  ~Descriptor() { close_all(); }
  // All three, or none.
  Result<int> open() noexcept {
    if (epoll_ >= 0) return epoll_;
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (event_ >= 0 && timer_ >= 0 && epoll_ >= 0 && watch(event_) && watch(timer_)) return epoll_;
    const int code = errno;
    close_all();
    Ref<Error> error = Error::make(Status::system, "the operating system refused a descriptor");
    if (error->status == Status::system) error->host_code = code;
    return error;
  }
  bool is_open() const noexcept { return epoll_ >= 0; }
  // Readable, until lower().
  void raise() noexcept {
    const uint64_t one = 1;
    if (is_open() && !std::exchange(is_raised_, true)) is_raised_ = ::write(event_, &one, sizeof one) > 0;
  }
  void lower() noexcept {
    uint64_t count = 0;
    if (std::exchange(is_raised_, false) && ::read(event_, &count, sizeof count) < 0) return;
  }
  // Readable in so many milliseconds, until it is set again; negative: not.
  void set_timer(int64_t ms) const noexcept {
    itimerspec when{};
    if (ms >= 0) {
      when.it_value.tv_sec = static_cast<time_t>(ms / 1000);
      when.it_value.tv_nsec = static_cast<long>(ms % 1000 * 1'000'000 + 1);
    }
    ::timerfd_settime(timer_, 0, &when, nullptr);
  }

 private:
  bool watch(int descriptor) const noexcept {
    epoll_event readable{};
    readable.events = EPOLLIN;
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &readable) == 0;
  }
  void close_all() noexcept {
    for (int* descriptor : {&epoll_, &timer_, &event_}) {
      if (*descriptor >= 0) ::close(*descriptor);
      *descriptor = -1;
    }
  }
  int event_ = -1;
  int timer_ = -1;
  int epoll_ = -1;
  bool is_raised_ = false;
#else
  Result<int> open() noexcept {
    return Error::make(Status::system, "this platform has no descriptor: use the wake callback");
  }
  bool is_open() const noexcept { return false; }
  void raise() noexcept {}
  void lower() noexcept {}
  void set_timer(int64_t) const noexcept {}
#endif
};

class Pump final : public Executor {
 public:
  explicit Pump(Ref<Hooks> hooks) noexcept : Executor(Helping::always, false), hooks_(std::move(hooks)) {}
  ~Pump() override { stop(); }

  void submit(Work& work, size_t) noexcept override {
    Guard guard(lock_);
    if (stopped_ || !queue_.push(work)) return;
    pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    signal(guard);
  }

  void withdraw(Work& work) noexcept override {
    bool removed = false;
    {
      Guard guard(lock_);
      removed = queue_.remove(work);
    }
    if (removed) work.let_go();
  }

  uint64_t poll(uint64_t steps_max) noexcept override {
    const EngineScope scope;
    uint64_t steps = 0;
    Guard guard(lock_);
    signalled_ = false;
    due_told_ = false;
    descriptor_.lower();
    await_due();
    while (steps_max == 0 || steps < steps_max) {
      Work* work = queue_.pop();
      if (work == nullptr) break;
      const bool was_last = queue_.empty();
      const uint64_t pushed = pushed_.load(std::memory_order_relaxed);
      guard.unlock();
      steps += work->work(steps_max == 0 ? 0 : steps_max - steps, Hand::guest);
      if (is_inherited()) return steps;
      work->let_go();
      // Whatever comes from now on signals by itself.
      if (was_last && pushed_.load(std::memory_order_acquire) == pushed) return steps;
      guard.lock();
    }
    if (!queue_.empty()) signal(guard);
    return steps;
  }

  bool has_work() noexcept override {
    Guard guard(lock_);
    return !queue_.empty();
  }

  Result<int> descriptor() noexcept override {
    Guard guard(lock_);
    Result<int> number = descriptor_.open();
    if (!number) return number;
    if (signalled_) descriptor_.raise();
    await_due();
    return number;
  }

  // Where it reads when something is due. Before anything else; both outlive this pump's use of them.
  void set_target(Alarm::Target target, Clock& clock) noexcept {
    target_ = target;
    clock_ = &clock;
  }
  // What is due next has changed.
  void look_at_due() noexcept {
    Guard guard(lock_);
    if (stopped_ || signalled_) return;
    await_due();
    if (next_due() != INT64_MAX && !std::exchange(due_told_, true)) tell_host(guard);
  }

  void stop() noexcept override {
    Guard guard(lock_);
    stopped_ = true;
    while (Work* work = queue_.pop()) {
      guard.unlock();
      work->let_go();
      guard.lock();
    }
    while (calling_ != 0 && !EngineScope::inside()) quiet_.wait(guard, -1);
    Ref<Hooks> last = std::move(hooks_);
    guard.unlock();
  }

 private:
  // The last that its caller does.
  void signal(Guard& guard) noexcept {
    if (signalled_ || stopped_) return;
    signalled_ = true;
    descriptor_.raise();
    tell_host(guard);
  }

  // Under the lock: the timer goes off when something is due. What the host's clock says, no timer knows.
  void await_due() noexcept {
    if (!descriptor_.is_open() || clock_->is_hosts()) return;
    const int64_t due_ms = next_due();
    const bool is_earlier = due_ms < armed_ms_;
    if (!is_earlier && armed_ms_ == INT64_MAX) return;
    const int64_t now = clock_->now_ms();
    if (!is_earlier && now < armed_ms_) return;
    constexpr int64_t kLongestMs = 86'400'000;
    const int64_t wait_ms = due_ms == INT64_MAX ? -1 : std::clamp<int64_t>(due_ms - now, 0, kLongestMs);
    descriptor_.set_timer(wait_ms);
    armed_ms_ = wait_ms < 0 ? INT64_MAX : now + wait_ms;
  }
  int64_t next_due() const noexcept { return target_.next_due(target_.runtime); }

  // The last that its caller does: where the host has let go of the runtime in the callback, the close ends
  // with the scope, and this pump may be gone.
  void tell_host(Guard& guard) noexcept {
    if (!hooks_ || hooks_->wake == nullptr) return;
    const EngineScope scope;
    Ref<Hooks> hooks = hooks_;
    ++calling_;
    guard.unlock();
    enter();
    hooks->call(hooks->wake);
    if (is_inherited()) return;
    hooks.reset();
    guard.lock();
    if (--calling_ == 0 && stopped_) quiet_.wake_all();
    guard.unlock();
    leave();
  }

  Lock lock_;
  Condition quiet_;
  WorkQueue queue_;
  Descriptor descriptor_;
  Ref<Hooks> hooks_;
  Clock* clock_ = nullptr;
  Alarm::Target target_{};
  int64_t armed_ms_ = INT64_MAX;  // when the descriptor's timer goes off; INT64_MAX: never
  uint32_t calling_ = 0;
  std::atomic<uint64_t> pushed_{0};  // how often a run was queued
  bool signalled_ = false;
  bool due_told_ = false;  // of what is due, since the last poll
  bool stopped_ = false;
};

class PumpAlarm final : public Alarm {
 public:
  PumpAlarm(Pump& pump, Clock& clock, Target target) noexcept : pump_(pump) {
    pump_.set_target(target, clock);
  }
  void set() noexcept override { pump_.look_at_due(); }
  void stop() noexcept override {}

 private:
  Pump& pump_;
};

}  // namespace

std::unique_ptr<Alarm> make_pump_alarm(Executor& pump, Clock& clock, Alarm::Target target) {
  return std::make_unique<PumpAlarm>(static_cast<Pump&>(pump), clock, target);
}

std::unique_ptr<Executor> make_pump(Ref<Hooks> hooks) { return std::make_unique<Pump>(std::move(hooks)); }

bool pump_has_descriptor() noexcept {
#ifdef __linux__
  return true;
#else
  return false;
#endif
}

}  // namespace blazen
