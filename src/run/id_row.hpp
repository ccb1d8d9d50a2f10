// Owned things by ids of which each is above all before it: a row in their order, which can be gone through, and memory that
// is gone through in one direction.
//
// What an operation costs: an addition at the end and a removal, nothing that grows; finding, the logarithm of their number,
// but of the oldest, nothing that grows. Nothing that is noexcept allocates: what add() takes was reserved.
//
// Invariants: ids ascend. What is gone leaves its place behind; the first place, where there is one from first_ on, is of
// one that is there. No more than half of the places, or kFew, are of those that are gone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace blazen {

// Owner: a pointer that owns.
template <class Owner>
class IdRow {
 public:
  struct Entry {
    uint64_t id;
    Owner owner;  // null: it is gone
  };
  class Iterator {
   public:
    Iterator(const Entry* at, const Entry* end) noexcept : at_(at), end_(end) {}
    const Entry& operator*() const noexcept { return *at_; }
    Iterator& operator++() noexcept {
      do ++at_;
      while (at_ != end_ && !at_->owner);
      return *this;
    }
    bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

   private:
    const Entry* at_;
    const Entry* end_;
  };

  size_t size() const noexcept { return count_; }
  Iterator begin() const noexcept { return {row_.data() + first_, row_.data() + row_.size()}; }
  Iterator end() const noexcept { return {row_.data() + row_.size(), row_.data() + row_.size()}; }

  // How many adds cannot fail.
  size_t room() const noexcept { return row_.capacity() - row_.size(); }
  // Makes sure that the next `count` adds cannot fail. Throws std::bad_alloc.
  void reserve(size_t count) {
    if (count > room()) row_.reserve(std::max(row_.size() + count, row_.capacity() * 2));
  }
  void add(uint64_t id, Owner owner) noexcept {
    row_.push_back({id, std::move(owner)});
    ++count_;
  }
  // Null: there is none.
  auto* find(uint64_t id) const noexcept {
    const size_t at = place_of(id);
    return at == row_.size() ? nullptr : row_[at].owner.get();
  }
  Owner take(uint64_t id) noexcept {
    const size_t at = place_of(id);
    if (at == row_.size() || !row_[at].owner) return nullptr;
    Owner taken = std::move(row_[at].owner);
    leave();
    return taken;
  }

 private:
  static constexpr size_t kFew = 16;

  // The end: none is there.
  size_t place_of(uint64_t id) const noexcept {
    if (first_ < row_.size() && row_[first_].id == id) return first_;
    const auto found =
        std::lower_bound(row_.begin() + static_cast<std::ptrdiff_t>(first_), row_.end(), id,
                         [](const Entry& entry, uint64_t wanted) { return entry.id < wanted; });
    return found == row_.end() || found->id != id ? row_.size() : static_cast<size_t>(found - row_.begin());
  }
  // One is gone. The others close up where half of the places are empty: as many went before.
  void leave() noexcept {
    if (--count_ == 0) {
      row_.clear();
      first_ = 0;
      return;
    }
    while (!row_[first_].owner) ++first_;
    if (row_.size() <= kFew || count_ * 2 > row_.size()) return;
    std::erase_if(row_, [](const Entry& entry) { return !entry.owner; });
    first_ = 0;
  }

  std::vector<Entry> row_;
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace blazen
