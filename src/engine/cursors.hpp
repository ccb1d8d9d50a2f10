// Where the subscribers of a run stand in a row of items, and what of the row they need.
//
// A subscriber that has nothing to take needs nothing, and costs nothing while others have. One that has
// needs the row from its cursor on; once it has fallen behind its bound, it needs the last `bound` items, and
// no more. Both kinds are ordered, the first by their cursors, the second by their bounds: what all of them
// need is at the front, whatever their number. Invariant: a cursor that waits is in one of the two sets; its
// node is its own otherwise, so that nothing fails after make().
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

namespace blazen {

class Stream;

struct Cursor {
  using Set = std::set<std::pair<uint64_t, Cursor*>>;

  uint64_t at = 0;     // the next item, while it waits
  uint64_t since = 0;  // what was there before that does not count as fallen behind
  uint64_t bound = 0;
  bool waits = false;  // else it stands at the end, wherever that is
  bool is_behind = false;
  Set::node_type node{};
  Set::iterator place{};

  uint64_t at_or(uint64_t end) const noexcept { return waits ? at : end; }
  bool has_fallen_behind(uint64_t end) const noexcept {
    const uint64_t from = std::max(at, since);
    return waits && end > from && end - from > bound;
  }
  // The first item that it can have, of a row that begins with first.
  uint64_t floor(uint64_t first, uint64_t end) const noexcept {
    return has_fallen_behind(end) ? std::max(first, end - bound) : first;
  }
};

class Cursors {
 public:
  // Throws std::bad_alloc.
  static void make(Cursor& cursor) {
    Cursor::Set one;
    one.emplace(0, &cursor);
    cursor.node = one.extract(one.begin());
  }
  // It has something to take from `at` on.
  void wait_at(Cursor& cursor, uint64_t at) noexcept {
    stand_at_end(cursor);
    cursor.at = at;
    cursor.waits = true;
    put(cursor, waiting_, at);
  }
  void stand_at_end(Cursor& cursor) noexcept {
    if (!cursor.waits) return;
    cursor.node = (cursor.is_behind ? behind_ : waiting_).extract(cursor.place);
    cursor.waits = false;
    cursor.is_behind = false;
  }
  // The first item that anybody needs; end: nobody needs any.
  uint64_t needed(uint64_t end) noexcept {
    // Of those that are not first, it does not matter whether they have fallen behind.
    while (!waiting_.empty() && waiting_.begin()->second->has_fallen_behind(end)) {
      Cursor& cursor = *waiting_.begin()->second;
      cursor.node = waiting_.extract(cursor.place);
      cursor.is_behind = true;
      put(cursor, behind_, cursor.bound);
    }
    const uint64_t first = waiting_.empty() ? end : waiting_.begin()->first;
    return behind_.empty() ? first : std::min(first, end - behind_.rbegin()->first);
  }

 private:
  static void put(Cursor& cursor, Cursor::Set& set, uint64_t key) noexcept {
    cursor.node.value() = {key, &cursor};
    // Mostly, it is the last one.
    cursor.place = set.insert(set.end(), std::move(cursor.node));
  }

  Cursor::Set waiting_;  // by their cursors
  Cursor::Set behind_;   // by their bounds
};

}  // namespace blazen
