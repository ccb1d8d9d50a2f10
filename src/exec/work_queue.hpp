// Runs that have work, first in, first out, each at most once. The queue keeps them alive. Its user holds the
// lock.
#pragma once

#include "port/executor.hpp"

namespace blazen {

class WorkQueue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  // False: it is queued already.
  bool push(Work& work) noexcept {
    if (work.queued.load(std::memory_order_relaxed)) return false;
    work.keep();
    work.queued.store(true, std::memory_order_relaxed);
    work.next_queued = nullptr;
    work.previous_queued = last_;
    (last_ != nullptr ? last_->next_queued : first_) = &work;
    last_ = &work;
    return true;
  }
  // The caller lets go of it, without the lock.
  Work* pop() noexcept {
    Work* work = first_;
    if (work != nullptr) remove(*work);
    return work;
  }
  // The same. False: it was not queued.
  bool remove(Work& work) noexcept {
    if (!work.queued.load(std::memory_order_relaxed)) return false;
    work.queued.store(false, std::memory_order_relaxed);
    (work.previous_queued != nullptr ? work.previous_queued->next_queued : first_) = work.next_queued;
    (work.next_queued != nullptr ? work.next_queued->previous_queued : last_) = work.previous_queued;
    return true;
  }

 private:
  Work* first_ = nullptr;
  Work* last_ = nullptr;
};

}  // namespace blazen
