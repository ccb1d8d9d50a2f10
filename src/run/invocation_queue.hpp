// The orders in which invocations wait: ascending by id, or by start. Both link them through themselves, so
// that nothing is allocated, and nothing can fail.
//
// Invariant: `level` is 0 for one that stands in a list.
#pragma once

#include <cstddef>

#include "base/linked_tree.hpp"
#include "run/invocation.hpp"

namespace blazen {

struct InvocationOrder {
  static Invocation& link(Invocation& item) noexcept { return item; }
};
struct ById : InvocationOrder {
  static bool before(const Invocation& a, const Invocation& b) noexcept { return a.id < b.id; }
};
struct ByStart : InvocationOrder {
  static bool before(const Invocation& a, const Invocation& b) noexcept { return a.start < b.start; }
};
struct ByStepAndStart : InvocationOrder {
  static bool before(const Invocation& a, const Invocation& b) noexcept {
    return a.step != b.step ? a.step < b.step : a.start < b.start;
  }
};

// Which stays out of the way of those who mostly need none.
template <class Order>
using InvocationTree = LinkedTree<Invocation, Order>;

// Null: none of this step is there.
inline Invocation* first_of_step(const InvocationTree<ByStepAndStart>& tree, StepIndex step) noexcept {
  Invocation* found = tree.find_first([step](const Invocation& item) { return item.step < step; });
  return found != nullptr && found->step == step ? found : nullptr;
}

// Mostly, each comes behind all others, and that costs what a list costs; one that belongs between others
// goes into a tree.
template <class Order>
class InvocationQueue {
 public:
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  // Which comes first; null: none is there.
  Invocation* front() const noexcept {
    Invocation* in_row = row_.front();
    if (late_.empty()) [[likely]]
      return in_row;
    Invocation* late = late_.first();
    return in_row == nullptr || Order::before(*late, *in_row) ? late : in_row;
  }
  // Comes behind all others.
  void push_back(Invocation* item) noexcept {
    row_.push_back(item);
    ++size_;
  }
  void insert(Invocation* item) noexcept {
    const Invocation* last = row_.back();
    if (last == nullptr || Order::before(*last, *item)) {
      row_.push_back(item);
    } else {
      late_.insert(item);
    }
    ++size_;
  }
  // Only where there is one.
  Invocation* pop_front() noexcept {
    if (late_.empty()) [[likely]] {
      --size_;
      return row_.pop_front();
    }
    Invocation* item = front();
    remove(item);
    return item;
  }
  void remove(Invocation* item) noexcept {
    --size_;
    if (item->level == 0) [[likely]]
      return row_.remove(item);
    late_.remove(item);
  }
  // In order, until `each` answers false, or throws.
  template <class Each>
  void walk(Each each) const {
    Invocation* item = row_.front();
    const bool all = late_.walk([&](Invocation* late) {
      for (; item != nullptr && Order::before(*item, *late); item = item->next) {
        if (!each(item)) return false;
      }
      return each(late);
    });
    while (all && item != nullptr && each(item)) item = item->next;
  }
  // All of it, at once.
  template <class Other>
  void leave_to(InvocationList& row, InvocationTree<Other>& late) noexcept {
    row.append(row_);
    late.join(late_);
    size_ = 0;
  }

 private:
  InvocationList row_;
  InvocationTree<Order> late_;
  size_t size_ = 0;
};

}  // namespace blazen
