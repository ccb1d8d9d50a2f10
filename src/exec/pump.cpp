// Invariants: `signalled` says that the host was told and has not begun a poll since; while runs are queued
// and no poll is under way, it is set. The descriptor is readable exactly while it is set.
#include "exec/pump.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#ifdef __linux__
#include <sys/eventfd.h>
#include <unistd.h>
#endif

#include "base/lock.hpp"
#include "engine/scope.hpp"
#include "exec/work_queue.hpp"

namespace blazen {
namespace {

// An eventfd, made when somebody asks for it.
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
    if (number_ < 0) number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (number_ >= 0) return number_;
    const int code = errno;
    Ref<Error> error = Error::make(Status::system, "the operating system refused an event descriptor");
    if (error->status == Status::system) error->host_code = code;
    return error;
  }
  void set() const noexcept {
    const uint64_t one = 1;
    if (number_ >= 0 && ::write(number_, &one, sizeof one) < 0) return;  // full is readable too
  }
  void clear() const noexcept {
    uint64_t count = 0;
    if (number_ >= 0 && ::read(number_, &count, sizeof count) < 0) return;  // it was clear
  }

 private:
  int number_ = -1;
#else
  Result<int> open() noexcept {
    return Error::make(Status::system, "this platform has no descriptor: use the wake callback");
  }
  void set() const noexcept {}
  void clear() const noexcept {}
#endif
};

class Pump final : public Executor {
 public:
  explicit Pump(Ref<Hooks> hooks) noexcept : Executor(Helping::always, false), hooks_(std::move(hooks)) {}
  ~Pump() override { stop(); }

  void submit(Work& work, size_t) noexcept override {
    Guard guard(lock_);
    if (!stopped_ && queue_.push(work)) signal(guard);
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
    const EngineScope scope;  // the wake callback at the end is one, too
    uint64_t steps = 0;
    Guard guard(lock_);
    signalled_ = false;
    descriptor_.clear();
    while (steps_max == 0 || steps < steps_max) {
      Work* work = queue_.pop();
      if (work == nullptr) break;
      guard.unlock();
      steps += work->work(steps_max == 0 ? 0 : steps_max - steps);
      work->let_go();
      guard.lock();
    }
    if (!queue_.empty()) signal(guard);
    return steps;
  }

  Result<int> descriptor() noexcept override {
    Guard guard(lock_);
    Result<int> number = descriptor_.open();
    if (number && signalled_) descriptor_.set();
    return number;
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
  void signal(Guard& guard) noexcept {
    if (signalled_ || stopped_) return;
    signalled_ = true;
    descriptor_.set();
    if (!hooks_ || hooks_->wake == nullptr) return;
    Ref<Hooks> hooks = hooks_;
    ++calling_;
    guard.unlock();
    hooks->call(hooks->wake);
    hooks.reset();
    guard.lock();
    if (--calling_ == 0 && stopped_) quiet_.wake_all();
  }

  Lock lock_;
  Condition quiet_;
  WorkQueue queue_;
  Descriptor descriptor_;
  Ref<Hooks> hooks_;
  uint32_t calling_ = 0;
  bool signalled_ = false;
  bool stopped_ = false;
};

}  // namespace

std::unique_ptr<Executor> make_pump(Ref<Hooks> hooks) { return std::make_unique<Pump>(std::move(hooks)); }

bool pump_has_descriptor() noexcept {
#ifdef __linux__
  return true;
#else
  return false;
#endif
}

}  // namespace blazen
