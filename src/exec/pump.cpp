// Invariants: `signalled` says that the host was told and has not begun a poll since; while runs are queued
// and no poll is under way, it is set. The descriptor, a timer of the operating system, is readable while it
// is set, and from the next moment on at which something is due.
#include "exec/pump.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/timerfd.h>
#include <unistd.h>
#endif

#include "base/lock.hpp"
#include "base/scope.hpp"
#include "exec/work_queue.hpp"

namespace blazen {
namespace {

// A timerfd, made when somebody asks for it.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
#ifdef __linux__
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Result<int> open() noexcept {
    if (number_ < 0) number_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (number_ >= 0) return number_;
    const int code = errno;
    Ref<Error> error = Error::make(Status::system, "the operating system refused a timer descriptor");
    if (error->status == Status::system) error->host_code = code;
    return error;
  }
  bool is_open() const noexcept { return number_ >= 0; }
  void set() const noexcept { set_timer(0, 1); }
  // Readable in so many milliseconds; negative: not.
  void set_in(int64_t ms) const noexcept {
    if (ms < 0) return set_timer(0, 0);
    constexpr int64_t kLongest = 86'400'000;
    const int64_t wait_ms = ms < kLongest ? ms : kLongest;
    set_timer(wait_ms / 1000, wait_ms % 1000 * 1'000'000 + 1);
  }

 private:
  void set_timer(int64_t s, int64_t ns) const noexcept {
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(s);
    when.it_value.tv_nsec = static_cast<long>(ns);
    if (number_ >= 0) ::timerfd_settime(number_, 0, &when, nullptr);
  }
  int number_ = -1;
#else
  Result<int> open() noexcept {
    return Error::make(Status::system, "this platform has no descriptor: use the wake callback");
  }
  bool is_open() const noexcept { return false; }
  void set() const noexcept {}
  void set_in(int64_t) const noexcept {}
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

  Result<int> descriptor() noexcept override {
    Guard guard(lock_);
    Result<int> number = descriptor_.open();
    if (number) signalled_ ? descriptor_.set() : await_due();
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
    descriptor_.set();
    tell_host(guard);
  }

  // Under the lock: the descriptor is for what is due.
  void await_due() noexcept {
    if (!descriptor_.is_open()) return;
    const int64_t due_ms = clock_->is_hosts() ? INT64_MAX : next_due();
    descriptor_.set_in(due_ms == INT64_MAX ? -1 : std::max<int64_t>(0, due_ms - clock_->now_ms()));
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
    hooks->call(hooks->wake);
    if (is_inherited()) return;
    hooks.reset();
    guard.lock();
    if (--calling_ == 0 && stopped_) quiet_.wake_all();
    guard.unlock();
  }

  Lock lock_;
  Condition quiet_;
  WorkQueue queue_;
  Descriptor descriptor_;
  Ref<Hooks> hooks_;
  Clock* clock_ = nullptr;
  Alarm::Target target_{};
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
