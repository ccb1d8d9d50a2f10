// A runtime: the ports, and the runs that are under way.
//
// Invariants: `handles` counts what the host holds (the runtime's own handles, and those of its runs, streams
// and invocations); when it falls to zero, the runtime closes. Every run that may still move is in `active`;
// one that has started is kept alive until it ends. Once closed, nothing of the host is called any more, and
// no run starts.
#pragma once

#include <cstdint>
#include <memory>

#include "base/fork.hpp"
#include "base/lock.hpp"
#include "base/object.hpp"
#include "engine/host.hpp"
#include "port/entropy.hpp"
#include "port/executor.hpp"

namespace blazen {

class Run;

class Runtime final : public Object {
 public:
  Runtime(const HostCalls& calls, std::unique_ptr<Executor> executor,
          std::unique_ptr<Entropy> entropy) noexcept;
  ~Runtime();
  static void destroy(Runtime* runtime) noexcept { delete runtime; }

  const HostCalls& calls() const noexcept { return calls_; }
  Executor& executor() noexcept { return *executor_; }
  Entropy& entropy() noexcept { return *entropy_; }

  // In a child of the process that made it: nothing can be done with it but to forget it.
  bool is_inherited() const noexcept { return generation_ != fork_generation(); }

  void hold() noexcept {
    if (handles_.fetch_add(1, std::memory_order_relaxed) == 0) retain(this);
  }
  void let_go() noexcept;

  // Not from inside a callback. Waits until nothing of it is being called.
  void close() noexcept;

  // False: the runtime is closed.
  bool enlist(Run& run) noexcept;
  // Where it is listed. spare_call: which the run needs no more; may be null.
  void delist(Run& run, Call* spare_call = nullptr) noexcept;

  // What a run that is gone leaves to the next: its call, which may be null, and its invocations.
  void keep_spares(Call* call, InvocationPool::Blocks blocks) noexcept;

  // A thread enters the engine for a run of this runtime, and leaves it.
  void enter() noexcept { inside_.fetch_add(1, std::memory_order_acq_rel); }
  void leave() noexcept;

 private:
  friend class EngineScope;
  void keep_call(Call*& call) noexcept;
  void unlink(Run& run) noexcept;
  void begin_close() noexcept;
  void finish_close() noexcept;

  const HostCalls calls_;
  const uint32_t generation_ = fork_generation();
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Entropy> entropy_;
  std::atomic<uint32_t> handles_{1};
  std::atomic<uint32_t> inside_{0};
  Lock lock_;
  Condition quiet_;
  Run* active_ = nullptr;
  // Bounded, so that it is a matter of speed and not of memory.
  static constexpr size_t kSparesMax = 4;
  size_t spare_call_count_ = 0;
  Call* spare_calls_[kSparesMax] = {};
  size_t spare_blocks_count_ = 0;
  InvocationPool::Blocks spare_blocks_[kSparesMax];
  std::atomic<bool> closing_{false};
  bool finishing_ = false;
  bool closed_ = false;
  Runtime* next_to_finish_ = nullptr;
};

}  // namespace blazen
