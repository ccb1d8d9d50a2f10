// Marks that this thread is inside the engine for a run, with callbacks of the host above or below: calls
// that wait are refused here, since they could wait for themselves. While a scope is open, the close of its
// run and runtime waits.
#pragma once

namespace blazen {

class Run;
class Runtime;

class EngineScope {
 public:
  // works: this thread will look for more work of the run before it leaves.
  explicit EngineScope(Run& run, bool works = false) noexcept;
  // For a callback that belongs to no run: those of an executor.
  EngineScope() noexcept;
  ~EngineScope();
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;

  static bool inside() noexcept { return current_ != nullptr; }
  // Whether it was opened on this thread.
  bool is_here() const noexcept;
  // Is this thread working on run, so that it will come back to it by itself?
  static bool works_on(const Run& run) noexcept;
  // This thread is the one that ends the close of runtime, and does so when it has left the engine. Takes
  // over one reference.
  static void finish_later(Runtime* runtime) noexcept;

 private:
  static thread_local EngineScope* current_;
  Run* run_;  // null: no run's
  EngineScope* outer_;
  const bool works_;
  const bool counts_;  // false where the scope around it is of the same run: that one counts
  Runtime* to_finish_ = nullptr;
};

}  // namespace blazen
