// What joins collect: groups of events; those of one join may be told apart by their correlations.
//
// Nothing that is noexcept allocates: what it takes was reserved. What an operation costs: an arrival, a look-up by
// correlation, the same however many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/object.hpp"
#include "base/text_index.hpp"
#include "value/event.hpp"

namespace blazen {

// Why a join was invoked: as the public header numbers it, and stored in snapshots.
enum class JoinReason : int32_t { none = 0, complete = 1, condition = 2, shortfall = 3, deadline = 4 };

struct Arrival {
  Ref<Event> event;
  uint64_t origin = 0;  // where its scope is ordered
};

// Arrivals in a row, of which the first stands in the group itself: there may be as many groups as events.
class Arrivals {
 public:
  Arrivals() noexcept { first_ = &here_; }
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  ~Arrivals() { size_ < kMany ? let_go() : let_go_of_many(); }

  bool empty() const noexcept { return size_ == 0; }
  size_t size() const noexcept { return size_; }
  size_t room() const noexcept { return capacity_ - size_; }
  Arrival* begin() noexcept { return first_; }
  Arrival* end() noexcept { return first_ + size_; }
  const Arrival* begin() const noexcept { return first_; }
  const Arrival* end() const noexcept { return first_ + size_; }
  Arrival& operator[](size_t at) noexcept { return first_[at]; }
  const Arrival& front() const noexcept { return *first_; }
  const Arrival& back() const noexcept { return first_[size_ - 1]; }

  // Room for so many in all. Throws std::bad_alloc.
  void reserve(size_t count) {
    if (count > capacity_) grow(count);
  }
  // There is room.
  void push_back(Arrival arrival) noexcept { new (first_ + size_++) Arrival(std::move(arrival)); }

 private:
  static constexpr uint32_t kMany = 4096;
  bool is_elsewhere() const noexcept { return first_ != &here_; }
  void grow(size_t count);
  void let_go() noexcept;
  void let_go_of_many() noexcept;

  Arrival* first_;
  // There is no memory for 2^32.
  uint32_t size_ = 0;
  uint32_t capacity_ = 1;
  union {
    Arrival here_;
  };
};

// What one join has collected of one scope, and of one correlation where it tells those apart. It is given to the join
// whole, and belongs to its invocation until that is gone.
struct Group final : Object {
  using Arrival = blazen::Arrival;

  Group() noexcept : Object(Kind::dead) {}
  static void destroy(Group* group) noexcept { delete group; }

  Arrivals arrived;
  Ref<Event> last;                       // to arrive, once it takes no more; null: none has
  JoinReason reason = JoinReason::none;  // none: it collects still
  uint32_t wanted = 0;
  uint64_t scope_id = 0;
  // By event, in the row of its join, in the order of the first arrivals; and its place among all of them.
  Group* after = nullptr;
  Group* before = nullptr;
  uint32_t place = 0;
  uint32_t prepared = 0;  // how many more may arrive in the tick of that number
  uint64_t prepared_in = 0;
  Ref<Event> empty_event;  // what it is given with, where none has arrived: prepared. Null: one has, for sure
  Ref<Group> next;         // in Commands
};

// The groups of one join by event. Each correlation stays here until the join closes, also when its group was given: it
// gets no other.
class KeyedGroups {
 public:
  struct Entry {
    Ref<Group> group;  // null: it was given
    size_t text;       // where its correlation begins
    uint32_t text_size;
  };

  size_t size() const noexcept { return entries_.size(); }
  bool has_given() const noexcept { return has_given_; }
  std::string_view correlation(const Entry& entry) const noexcept {
    return std::string_view(texts_).substr(entry.text, entry.text_size);
  }
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  // Null: there is none.
  const Entry* find(std::string_view correlation) const noexcept;
  // Of a correlation that is not here. Null: as one that was given. Throws std::bad_alloc, and has changed nothing then.
  Group* add(std::string_view correlation, Ref<Group> group);
  Ref<Group> take(const Group& group) noexcept {
    has_given_ = true;
    return std::move(entries_[group.place].group);
  }

 private:
  std::vector<Entry> entries_;
  std::string texts_;  // side by side
  TextIndex index_;
  bool has_given_ = false;
};

}  // namespace blazen
