// Invariants: a worker sleeps only while the queue is empty; whoever queues a run wakes one sleeper. What the
// threads share outlives the executor, for the one thread that closes its own runtime.
#include "exec/threads.hpp"

#ifndef BLAZEN_NO_THREADS

#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/lock.hpp"
#include "exec/thread.hpp"
#include "exec/work_queue.hpp"

namespace blazen {
namespace {

// How many steps of one run a thread runs before it looks at the others.
constexpr uint64_t kStepsPerTurn = 256;

struct Shared {
  Lock lock;
  Condition work_came;
  WorkQueue queue;
  uint32_t idle = 0;
  bool stopped = false;
};

Work* wait_for_work(Shared& shared) noexcept {
  Guard guard(shared.lock);
  while (!shared.stopped && shared.queue.empty()) {
    ++shared.idle;
    shared.work_came.wait(guard, -1);
    --shared.idle;
  }
  return shared.stopped ? nullptr : shared.queue.pop();
}

void run_worker(const std::shared_ptr<Shared>& shared, const Ref<Hooks>& hooks) noexcept {
  hooks->call_as_engine(hooks->attach);
  while (Work* work = wait_for_work(*shared)) {
    work->work(kStepsPerTurn);
    work->let_go();
  }
  hooks->call_as_engine(hooks->detach);
}

class Threads final : public Executor {
 public:
  explicit Threads(Ref<Hooks> hooks)
      : Executor(Helping::without_deadline, false),
        shared_(std::make_shared<Shared>()),
        hooks_(std::move(hooks)) {}
  ~Threads() override { stop(); }

  // Throws std::system_error and std::bad_alloc.
  void start(uint32_t count, const ThreadSettings& settings) {
    threads_.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      threads_.emplace_back(settings, std::to_string(i),
                            [shared = shared_, hooks = hooks_] { run_worker(shared, hooks); });
    }
  }

  void submit(Work& work, size_t) noexcept override {
    bool wake = false;
    {
      Guard guard(shared_->lock);
      if (shared_->stopped || !shared_->queue.push(work)) return;
      wake = shared_->idle != 0;
    }
    if (wake) shared_->work_came.wake_one();
  }

  void withdraw(Work& work) noexcept override {
    bool removed = false;
    {
      Guard guard(shared_->lock);
      removed = shared_->queue.remove(work);
    }
    if (removed) work.let_go();
  }

  uint64_t poll(uint64_t steps_max) noexcept override {
    uint64_t steps = 0;
    while (steps_max == 0 || steps < steps_max) {
      Work* work = take();
      if (work == nullptr) break;
      steps += work->work(steps_max == 0 ? 0 : steps_max - steps);
      if (is_inherited()) return steps;
      work->let_go();
    }
    return steps;
  }

  Result<int> descriptor() noexcept override {
    return Error::make(
        Status::wrong_state,
        "a runtime with threads has nothing to poll: a descriptor belongs to BLAZEN_MODE_PUMP");
  }

  void stop() noexcept override {
    {
      Guard guard(shared_->lock);
      shared_->stopped = true;
    }
    shared_->work_came.wake_all();
    for (Thread& thread : threads_) {
      if (thread.is_current()) {
        thread.detach();  // it closes its own runtime, and ends as soon as it has left the engine
      } else {
        thread.join();
      }
    }
    threads_.clear();
    while (Work* work = take()) work->let_go();
    hooks_.reset();
  }

 private:
  Work* take() noexcept {
    Guard guard(shared_->lock);
    return shared_->queue.pop();
  }

  std::shared_ptr<Shared> shared_;
  Ref<Hooks> hooks_;
  std::vector<Thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Executor>> make_threads(uint32_t count, const ThreadSettings& settings,
                                               Ref<Hooks> hooks) {
  if (count == 0) count = std::max(1U, std::thread::hardware_concurrency());
  auto threads = std::make_unique<Threads>(std::move(hooks));
  try {
    threads->start(count, settings);
  } catch (const std::system_error& failure) {
    Ref<Error> error = Error::make(Status::system, "threads: the operating system refused to start " +
                                                       std::to_string(count) + " threads: " + failure.what());
    if (error->status == Status::system) error->host_code = failure.code().value();
    return error;
  }
  return std::unique_ptr<Executor>(std::move(threads));
}

}  // namespace blazen

#endif
