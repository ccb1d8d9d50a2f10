#include "exec/host_executor.hpp"

#include <new>
#include <string>

#include "base/lock.hpp"
#include "base/scope.hpp"

namespace blazen {

void Task::run() noexcept {
  work_.work(1, Hand::guest);
  discard();
}

void Task::cancel(Ref<Error> why) noexcept {
  work_.give_up(std::move(why));
  discard();
}

void Task::discard() noexcept {
  Work& work = work_;
  kind = Kind::dead;
  delete this;
  work.let_go();
}

namespace {

// Invariant: while a post is under way, `calling` counts it, so that stop() waits for it.
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(Ref<Hooks> hooks) noexcept
      : Executor(Helping::never, true), hooks_(std::move(hooks)) {}
  ~HostExecutor() override { stop(); }

  void submit(Work& work, size_t hands) noexcept override {
    // The last to go: where the host has let go of the runtime in the callback, the close ends with it, and
    // this executor may be gone.
    const EngineScope scope;
    Guard guard(lock_);
    if (stopped_) return;
    Ref<Hooks> hooks = hooks_;
    ++calling_;
    guard.unlock();
    enter();
    for (size_t i = 0; i < hands; ++i) {
      if (!post(*hooks, work)) break;
    }
    if (is_inherited()) return;
    hooks.reset();
    guard.lock();
    if (--calling_ == 0 && stopped_) quiet_.wake_all();
    guard.unlock();
    leave();
  }

  void withdraw(Work&) noexcept override {}  // a task of a run that has ended does nothing
  uint64_t poll(uint64_t) noexcept override { return 0; }
  Result<int> descriptor() noexcept override {
    return Error::make(
        Status::wrong_state,
        "a runtime with an executor has nothing to poll: a descriptor belongs to BLAZEN_MODE_PUMP");
  }

  void stop() noexcept override {
    Guard guard(lock_);
    stopped_ = true;
    while (calling_ != 0 && !EngineScope::inside()) quiet_.wait(guard, -1);
    Ref<Hooks> last = std::move(hooks_);
    guard.unlock();
  }

 private:
  static bool post(const Hooks& hooks, Work& work) noexcept {
    Task* task = new (std::nothrow) Task(work);
    if (task == nullptr) {
      work.give_up(Error::out_of_memory());
      return false;
    }
    const Status status = hooks.post(hooks, *task);
    if (status == Status::ok) return true;
    task->discard();
    Ref<Error> error = Error::make(Status::host, "the host's scheduler did not take a task");
    if (error->status == Status::host) error->host_code = static_cast<int64_t>(status);
    work.give_up(std::move(error));
    return false;
  }

  Lock lock_;
  Condition quiet_;
  Ref<Hooks> hooks_;
  uint32_t calling_ = 0;
  bool stopped_ = false;
};

}  // namespace

std::unique_ptr<Executor> make_host_executor(Ref<Hooks> hooks) {
  return std::make_unique<HostExecutor>(std::move(hooks));
}

}  // namespace blazen
