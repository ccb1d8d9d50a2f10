// Runs that have work, first in, first out, each at most once. The queue keeps them alive. Its user holds the lock.
#pragma once

#include "port/executor.hpp"

namespace blazen {

class WorkQueue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  // False: it is queued already.
  bool push(Work& work) noexcept {
    if (work.queued) return false;
    work.keep();
    work.queued = true;
    work.next_queued = nullptr;
    (last_ != nullptr ? last_->next_queued : first_) = &work;
    last_ = &work;
    return true;
  }
  // The caller lets go of it, without the lock.
  Work* pop() noexcept {
    Work* work = first_;
    if (work == nullptr) return nullptr;
    first_ = work->next_queued;
    if (first_ == nullptr) last_ = nullptr;
    work->queued = false;
    return work;
  }

 private:
  Work* first_ = nullptr;
  Work* last_ = nullptr;
};

}  // namespace blazen
