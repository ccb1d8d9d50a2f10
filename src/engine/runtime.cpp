#include "engine/runtime.hpp"

#include "engine/run.hpp"
#include "engine/scope.hpp"

namespace blazen {

Runtime::Runtime(const HostCalls& calls, std::unique_ptr<Executor> executor, std::unique_ptr<Entropy> entropy) noexcept
    : Object(Kind::runtime), calls_(calls), executor_(std::move(executor)), entropy_(std::move(entropy)) {}

void Runtime::let_go() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  begin_close();
  if (EngineScope::inside()) {
    EngineScope::finish_later(this);
    return;
  }
  finish_close();
  Ref<Runtime>::adopt(this).reset();
}

void Runtime::close() noexcept {
  begin_close();
  finish_close();
}

// Cancels what is under way. Whoever ends a run takes it off the list; here it is taken off first.
void Runtime::begin_close() noexcept {
  closing_.store(true);
  for (;;) {
    Ref<Run> run;
    {
      Guard guard(lock_);
      if (active_ == nullptr) return;
      run = Ref<Run>::share(active_);
    }
    run->cancel("its runtime was closed");
    delist(*run);
  }
}

void Runtime::finish_close() noexcept {
  {
    Guard guard(lock_);
    while (finishing_ && !closed_) quiet_.wait(guard, -1);
    if (closed_) return;
    finishing_ = true;
  }
  executor_->stop();
  Guard guard(lock_);
  while (inside_.load(std::memory_order_acquire) != 0) quiet_.wait(guard, -1);
  closed_ = true;
  quiet_.wake_all();
}

bool Runtime::enlist(Run& run) noexcept {
  Guard guard(lock_);
  if (closing_.load()) return false;
  run.keep();
  run.enlisted_ = true;
  run.next_active_ = active_;
  if (active_ != nullptr) active_->previous_active_ = &run;
  active_ = &run;
  return true;
}

void Runtime::delist(Run& run) noexcept {
  {
    Guard guard(lock_);
    if (!run.enlisted_) return;
    run.enlisted_ = false;
    (run.previous_active_ != nullptr ? run.previous_active_->next_active_ : active_) = run.next_active_;
    if (run.next_active_ != nullptr) run.next_active_->previous_active_ = run.previous_active_;
  }
  run.let_go();
}

void Runtime::leave() noexcept {
  if (inside_.fetch_sub(1, std::memory_order_acq_rel) != 1 || !closing_.load()) return;
  Guard guard(lock_);
  quiet_.wake_all();
}

}  // namespace blazen
