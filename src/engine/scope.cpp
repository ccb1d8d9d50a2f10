#include "engine/scope.hpp"

#include "engine/run.hpp"
#include "engine/runtime.hpp"

namespace blazen {

thread_local EngineScope* EngineScope::current_ = nullptr;

EngineScope::EngineScope(Run& run, bool works) noexcept
    : run_(&run), outer_(current_), works_(works), counts_(outer_ == nullptr || outer_->run_ != &run) {
  if (counts_) run_->enter();
  current_ = this;
}

EngineScope::EngineScope() noexcept : run_(nullptr), outer_(current_), works_(false), counts_(false) {
  current_ = this;
}

EngineScope::~EngineScope() {
  if (counts_) run_->leave();  // still inside: a close that this ends is for later
  current_ = outer_;
  while (to_finish_ != nullptr) {
    Ref<Runtime> runtime = Ref<Runtime>::adopt(to_finish_);
    to_finish_ = runtime->next_to_finish_;
    runtime->finish_claimed();
  }
}

bool EngineScope::works_on(const Run& run) noexcept {
  for (const EngineScope* scope = current_; scope != nullptr; scope = scope->outer_) {
    if (scope->works_ && scope->run_ == &run) return true;
  }
  return false;
}

bool EngineScope::is_here() const noexcept {
  const EngineScope* scope = current_;
  while (scope != nullptr && scope != this) scope = scope->outer_;
  return scope == this;
}

void EngineScope::finish_later(Runtime* runtime) noexcept {
  EngineScope* outermost = current_;
  while (outermost->outer_ != nullptr) outermost = outermost->outer_;
  runtime->next_to_finish_ = outermost->to_finish_;
  outermost->to_finish_ = runtime;
}

}  // namespace blazen
