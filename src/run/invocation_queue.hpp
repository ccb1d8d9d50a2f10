// The orders in which invocations wait: ascending by id, or by start. Both link them through themselves, so
// that nothing is allocated, and nothing can fail.
//
// Invariant: `level` is 0 for one that stands in a list, and its height for one that stands in a tree, where
// `previous` is what comes before it and `next` what comes after.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "run/invocation.hpp"

namespace blazen {

struct ById {
  static bool before(const Invocation& a, const Invocation& b) noexcept { return a.id < b.id; }
};
struct ByStart {
  static bool before(const Invocation& a, const Invocation& b) noexcept { return a.start < b.start; }
};
struct ByStepAndStart {
  static bool before(const Invocation& a, const Invocation& b) noexcept {
    return a.step != b.step ? a.step < b.step : a.start < b.start;
  }
};

// A balanced tree, which stays out of the way of those who mostly need none: each operation costs the
// logarithm of the number. (Arne Andersson, Balanced search trees made simple, 1993: a node's left child is
// one level below it, its right child at most as high, its right grandchild lower.)
template <class Order>
class InvocationTree {
 public:
  bool empty() const noexcept { return root_ == nullptr; }
  [[gnu::noinline]] Invocation* first() const noexcept {
    return root_ == nullptr ? nullptr : first_of(root_);
  }
  Invocation* last() const noexcept {
    Invocation* item = root_;
    while (item != nullptr && item->next != nullptr) item = item->next;
    return item;
  }
  // The first of a step, where the order is by step.
  Invocation* first_of_step(StepIndex step) const noexcept {
    Invocation* found = nullptr;
    for (Invocation* item = root_; item != nullptr;) {
      if (item->step == step) found = item;
      item = item->step >= step ? item->previous : item->next;
    }
    return found;
  }
  [[gnu::noinline]] void insert(Invocation* item) noexcept {
    item->next = item->previous = nullptr;
    item->level = 1;
    root_ = insert_into(root_, item);
  }
  [[gnu::noinline]] void remove(Invocation* item) noexcept {
    root_ = remove_from(root_, item);
    item->level = 0;
  }
  // In order, until `each` answers false, or throws.
  template <class Each>
  bool walk(Each each) const {
    return walk(root_, each);
  }

  // All of another, in whatever order: what is left of it is for drain() alone.
  template <class Other>
  void join(InvocationTree<Other>& other) noexcept {
    Invocation* its_root = std::exchange(other.root_, nullptr);
    if (root_ == nullptr) {
      root_ = its_root;
    } else if (its_root != nullptr) {
      first_of(root_)->previous = its_root;
    }
  }
  // Hands each over, in whatever order, and keeps none.
  template <class Each>
  void drain(Each each) noexcept {
    while (Invocation* item = root_) {
      if (Invocation* left = item->previous; left != nullptr) {
        item->previous = std::exchange(left->next, item);
        root_ = left;
      } else {
        root_ = item->next;
        item->level = 0;
        each(item);
      }
    }
  }

 private:
  template <class Other>
  friend class InvocationTree;

  static Invocation* first_of(Invocation* item) noexcept {
    while (item->previous != nullptr) item = item->previous;
    return item;
  }
  static unsigned level_of(const Invocation* item) noexcept { return item == nullptr ? 0 : item->level; }

  // A left child is lower.
  static Invocation* skew(Invocation* item) noexcept {
    if (item == nullptr || item->previous == nullptr || item->previous->level != item->level) return item;
    Invocation* left = item->previous;
    item->previous = std::exchange(left->next, item);
    return left;
  }
  // A right grandchild is lower.
  static Invocation* split(Invocation* item) noexcept {
    if (item == nullptr || item->next == nullptr || level_of(item->next->next) != item->level) return item;
    Invocation* right = item->next;
    item->next = std::exchange(right->previous, item);
    ++right->level;
    return right;
  }
  static Invocation* insert_into(Invocation* root, Invocation* item) noexcept {
    if (root == nullptr) return item;
    Invocation*& side = Order::before(*item, *root) ? root->previous : root->next;
    side = insert_into(side, item);
    return split(skew(root));
  }
  static Invocation* remove_from(Invocation* root, Invocation* item) noexcept {
    if (root != item) {
      Invocation*& side = Order::before(*item, *root) ? root->previous : root->next;
      side = remove_from(side, item);
    } else if (root->previous == nullptr) {
      return root->next;  // which is one leaf, or nothing
    } else {
      // The one before it takes its place.
      Invocation* heir = root->previous;
      while (heir->next != nullptr) heir = heir->next;
      Invocation* left = remove_from(root->previous, heir);
      heir->previous = left;
      heir->next = root->next;
      heir->level = root->level;
      root = heir;
    }
    return rebalance(root);
  }
  static Invocation* rebalance(Invocation* root) noexcept {
    const unsigned fit = std::min(level_of(root->previous), level_of(root->next)) + 1;
    if (fit < root->level) {
      root->level = static_cast<uint8_t>(fit);
      if (level_of(root->next) > fit) root->next->level = static_cast<uint8_t>(fit);
    }
    root = skew(root);
    root->next = skew(root->next);
    if (root->next != nullptr) root->next->next = skew(root->next->next);
    root = split(root);
    root->next = split(root->next);
    return root;
  }
  template <class Each>
  static bool walk(Invocation* item, Each& each) {
    for (; item != nullptr; item = item->next) {
      if (!walk(item->previous, each) || !each(item)) return false;
    }
    return true;
  }

  Invocation* root_ = nullptr;
};

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
