// A balanced tree that links what stands in it through itself, so that nothing is allocated, and nothing can fail: each
// operation costs the logarithm of the number. (Arne Andersson, Balanced search trees made simple, 1993: a node's left child is
// one level below it, its right child at most as high, its right grandchild lower.)
//
// Invariant: the level of one that stands in no tree is 0; `previous` is what comes before it and `next` what comes after.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace blazen {

template <class Item>
struct TreeLink {
  Item* previous = nullptr;
  Item* next = nullptr;
  uint8_t level = 0;
};

// link: the link of an item, with the members of a TreeLink. before(a, b): whether a comes first; no two are equal.
template <class Item, class Order>
class LinkedTree {
 public:
  bool empty() const noexcept { return root_ == nullptr; }
  [[gnu::noinline]] Item* first() const noexcept { return root_ == nullptr ? nullptr : first_of(root_); }
  Item* last() const noexcept {
    Item* item = root_;
    while (item != nullptr && link(item).next != nullptr) item = link(item).next;
    return item;
  }
  static bool has(Item& item) noexcept { return Order::link(item).level != 0; }
  // The first one for which is_before answers false, as it does for all that come after; null: there is none.
  template <class IsBefore>
  Item* find_first(IsBefore is_before) const noexcept {
    Item* found = nullptr;
    for (Item* item = root_; item != nullptr;) {
      if (is_before(*item)) {
        item = link(item).next;
      } else {
        found = item;
        item = link(item).previous;
      }
    }
    return found;
  }
  [[gnu::noinline]] void insert(Item* item) noexcept {
    link(item).next = link(item).previous = nullptr;
    link(item).level = 1;
    root_ = insert_into(root_, item);
  }
  [[gnu::noinline]] void remove(Item* item) noexcept {
    root_ = remove_from(root_, item);
    link(item).level = 0;
  }
  // In order, until `each` answers false, or throws.
  template <class Each>
  bool walk(Each each) const {
    return walk(root_, each);
  }

  // All of another, in whatever order: what is left of it is for drain() alone.
  template <class Other>
  void join(LinkedTree<Item, Other>& other) noexcept {
    Item* its_root = std::exchange(other.root_, nullptr);
    if (root_ == nullptr) {
      root_ = its_root;
    } else if (its_root != nullptr) {
      link(first_of(root_)).previous = its_root;
    }
  }
  // Hands each over, in whatever order, and keeps none.
  template <class Each>
  void drain(Each each) noexcept {
    while (Item* item = root_) {
      if (Item* left = link(item).previous; left != nullptr) {
        link(item).previous = std::exchange(link(left).next, item);
        root_ = left;
      } else {
        root_ = link(item).next;
        link(item).level = 0;
        each(item);
      }
    }
  }

 private:
  template <class, class>
  friend class LinkedTree;

  static auto& link(Item* item) noexcept { return Order::link(*item); }
  static Item* first_of(Item* item) noexcept {
    while (link(item).previous != nullptr) item = link(item).previous;
    return item;
  }
  static unsigned level_of(Item* item) noexcept { return item == nullptr ? 0 : link(item).level; }

  // A left child is lower.
  static Item* skew(Item* item) noexcept {
    if (item == nullptr || link(item).previous == nullptr ||
        link(link(item).previous).level != link(item).level)
      return item;
    Item* left = link(item).previous;
    link(item).previous = std::exchange(link(left).next, item);
    return left;
  }
  // A right grandchild is lower.
  static Item* split(Item* item) noexcept {
    if (item == nullptr || link(item).next == nullptr ||
        level_of(link(link(item).next).next) != link(item).level)
      return item;
    Item* right = link(item).next;
    link(item).next = std::exchange(link(right).previous, item);
    ++link(right).level;
    return right;
  }
  static Item* insert_into(Item* root, Item* item) noexcept {
    if (root == nullptr) return item;
    Item*& side = Order::before(*item, *root) ? link(root).previous : link(root).next;
    side = insert_into(side, item);
    return split(skew(root));
  }
  static Item* remove_from(Item* root, Item* item) noexcept {
    if (root != item) {
      Item*& side = Order::before(*item, *root) ? link(root).previous : link(root).next;
      side = remove_from(side, item);
    } else if (link(root).previous == nullptr) {
      return link(root).next;  // which is one leaf, or nothing
    } else {
      // The one before it takes its place.
      Item* heir = link(root).previous;
      while (link(heir).next != nullptr) heir = link(heir).next;
      Item* left = remove_from(link(root).previous, heir);
      link(heir).previous = left;
      link(heir).next = link(root).next;
      link(heir).level = link(root).level;
      root = heir;
    }
    return rebalance(root);
  }
  static Item* rebalance(Item* root) noexcept {
    const unsigned fit = std::min(level_of(link(root).previous), level_of(link(root).next)) + 1;
    if (fit < link(root).level) {
      link(root).level = static_cast<uint8_t>(fit);
      if (level_of(link(root).next) > fit) link(link(root).next).level = static_cast<uint8_t>(fit);
    }
    root = skew(root);
    link(root).next = skew(link(root).next);
    if (link(root).next != nullptr) link(link(root).next).next = skew(link(link(root).next).next);
    root = split(root);
    link(root).next = split(link(root).next);
    return root;
  }
  template <class Each>
  static bool walk(Item* item, Each& each) {
    for (; item != nullptr; item = link(item).next) {
      if (!walk(link(item).previous, each) || !each(item)) return false;
    }
    return true;
  }

  Item* root_ = nullptr;
};

}  // namespace blazen
