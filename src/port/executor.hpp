// Who runs the steps: the interface between the engine, which has work, and whatever has hands.
// Implementations: exec/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/fork.hpp"
#include "value/error.hpp"

namespace blazen {

// Whose thread works: one that the executor has for that, or any other.
enum class Hand : uint8_t { own, guest };

// A run, seen from whoever has a hand free.
class Work {
 public:
  virtual ~Work() = default;
  // Runs up to steps_max steps (0: until none is left) on this thread; answers how many.
  virtual uint64_t work(uint64_t steps_max, Hand hand) noexcept = 0;
  // The executor can run no step of it any more: the run ends with this error.
  virtual void give_up(Ref<Error> error) noexcept = 0;
  virtual void keep() noexcept = 0;
  virtual void let_go() noexcept = 0;

  // The executor's own: its place in a queue, under the executor's lock.
  Work* next_queued = nullptr;
  Work* previous_queued = nullptr;
  std::atomic<bool> queued{false};  // written under the lock; a hint without it
};

// When a thread that waits for a run works on it meanwhile.
enum class Helping : uint8_t { never, without_deadline, always };

class Executor {
 public:
  Executor(Helping helping, bool wants_each_step) noexcept
      : helping_(helping), wants_each_step_(wants_each_step) {}
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  // In a child of the process that made it: its locks may be held for ever.
  bool is_inherited() const noexcept { return generation_ != fork_generation(); }

  Helping helping() const noexcept { return helping_; }
  // True where submit must be told of each step by itself: it makes one task of each.
  bool wants_each_step() const noexcept { return wants_each_step_; }
  // Whether threads of its own may take what another thread would come to later.
  bool shares_work() const noexcept { return helping_ == Helping::without_deadline; }

  // While it calls the host, this thread is inside the runtime, as a close that waits for nobody has to know.
  struct Visits {
    void (*enter)(void* runtime) noexcept;
    void (*leave)(void* runtime) noexcept;  // inside an EngineScope
    void* runtime;
  };
  // Before anything else.
  void set_visits(Visits visits) noexcept { visits_ = visits; }

  // There is work for so many hands more. Comes without a lock of the engine, from any thread.
  virtual void submit(Work& work, size_t hands) noexcept = 0;
  // The work has ended: it leaves the queue, where it is in one.
  virtual void withdraw(Work& work) noexcept = 0;
  // Runs queued work on this thread.
  virtual uint64_t poll(uint64_t steps_max) noexcept = 0;
  // Whether a poll that was to run so many steps and no more has left some, for the next poll.
  virtual bool has_work() noexcept { return false; }
  // A descriptor that is readable while there is work to poll.
  virtual Result<int> descriptor() noexcept = 0;

  // One of its own hands is kept by a body whose outcome counts no more, or has come back from it. May come
  // under the lock of a run.
  virtual void hand_kept() noexcept {}
  virtual void hand_came_back() noexcept {}
  // Some were kept: sees to it that others do their work. Comes without a lock of the engine.
  virtual void replace_hands() noexcept {}
  struct Hands {
    uint32_t threads = 0;  // its own, now
    uint32_t kept = 0;     // of those
  };
  virtual Hands count_hands() noexcept { return {}; }

  // When it returns, no thread of the executor is in the engine or will be; what is queued is let go of.
  virtual void stop() noexcept = 0;

 protected:
  void enter() const noexcept { visits_.enter(visits_.runtime); }
  void leave() const noexcept { visits_.leave(visits_.runtime); }

 private:
  Visits visits_{};
  const Helping helping_;
  const bool wants_each_step_;
  const uint32_t generation_ = fork_generation();
};

}  // namespace blazen
