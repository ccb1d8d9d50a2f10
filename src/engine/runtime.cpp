#include "engine/runtime.hpp"

#include <utility>

#include "engine/run.hpp"
#include "engine/scope.hpp"

namespace blazen {

Runtime::Runtime(const HostCalls& calls, std::unique_ptr<Executor> executor,
                 std::unique_ptr<Entropy> entropy) noexcept
    : Object(Kind::runtime), calls_(calls), executor_(std::move(executor)), entropy_(std::move(entropy)) {}

Runtime::~Runtime() {
  while (spare_call_count_ > 0) Ref<Call>::adopt(spare_calls_[--spare_call_count_]).reset();
}

void Runtime::let_go() noexcept {
  if (is_inherited()) return;
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
  if (is_inherited()) return;
  begin_close();
  finish_close();
}

// Cancels whatever may still move.
void Runtime::begin_close() noexcept {
  closing_.store(true);
  for (;;) {
    Ref<Run> run;
    {
      Guard guard(lock_);
      Run* next = active_;
      if (next == nullptr) return;
      unlink(*next);
      if (!try_retain(next)) continue;  // its last reference went just now
      run = Ref<Run>::adopt(next);
    }
    run->cancel("its runtime was closed");
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
  if (spare_call_count_ > 0) run.spare_call_ = spare_calls_[--spare_call_count_];
  if (spare_blocks_count_ > 0 && !run.state_.pool.has_blocks()) {
    run.state_.pool.adopt(std::move(spare_blocks_[--spare_blocks_count_]));
  }
  run.enlisted_ = true;
  run.next_active_ = active_;
  if (active_ != nullptr) active_->previous_active_ = &run;
  active_ = &run;
  return true;
}

void Runtime::delist(Run& run, Call* spare_call) noexcept {
  {
    Guard guard(lock_);
    keep_call(spare_call);
    unlink(run);
  }
  if (spare_call != nullptr) Ref<Call>::adopt(spare_call).reset();
}

void Runtime::unlink(Run& run) noexcept {
  if (!std::exchange(run.enlisted_, false)) return;
  (run.previous_active_ != nullptr ? run.previous_active_->next_active_ : active_) = run.next_active_;
  if (run.next_active_ != nullptr) run.next_active_->previous_active_ = run.previous_active_;
}

void Runtime::keep_spares(Call* call, InvocationPool::Blocks blocks) noexcept {
  {
    Guard guard(lock_);
    keep_call(call);
    if (!blocks.empty() && spare_blocks_count_ < kSparesMax)
      spare_blocks_[spare_blocks_count_++] = std::move(blocks);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
}

// Under the lock. Takes the call, or leaves it to the caller where there are enough.
void Runtime::keep_call(Call*& call) noexcept {
  if (call == nullptr || spare_call_count_ == kSparesMax) return;
  call->run_ = nullptr;
  spare_calls_[spare_call_count_++] = std::exchange(call, nullptr);
}

void Runtime::leave() noexcept {
  if (inside_.fetch_sub(1, std::memory_order_acq_rel) != 1 || !closing_.load()) return;
  Guard guard(lock_);
  quiet_.wake_all();
}

}  // namespace blazen
