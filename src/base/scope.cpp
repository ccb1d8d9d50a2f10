#include "base/scope.hpp"

namespace blazen {

thread_local EngineScope* EngineScope::current_ = nullptr;

void EngineScope::finish() noexcept {
  while (Later* later = to_finish_) {
    to_finish_ = later->next_;
    later->finish_(later);
  }
}

bool EngineScope::works_on(const void* place) noexcept {
  for (const EngineScope* scope = current_; scope != nullptr; scope = scope->outer_) {
    if (scope->works_ && scope->place_ == place) return true;
  }
  return false;
}

bool EngineScope::keeps(const void* what) noexcept {
  const EngineScope* scope = current_;
  while (scope != nullptr && scope->kept_ != what) scope = scope->outer_;
  return scope != nullptr;
}

bool EngineScope::is_here() const noexcept {
  const EngineScope* scope = current_;
  while (scope != nullptr && scope != this) scope = scope->outer_;
  return scope == this;
}

void EngineScope::finish_later(Later& later) noexcept {
  EngineScope* outermost = current_;
  while (outermost->outer_ != nullptr) outermost = outermost->outer_;
  later.next_ = outermost->to_finish_;
  outermost->to_finish_ = &later;
}

}  // namespace blazen
