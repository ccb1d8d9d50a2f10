// What happens to a run by its own clock, and nothing else: attempts that begin again, events that are delayed.
//
// One map, by when an entry is due, what it is, and its id: so what is due is in front, and the order in which
// entries of one moment fire is the same everywhere. Each operation costs the logarithm of their number; the first
// and the counts are there. (The time of a run itself is one number, and needs no entry; the time-outs of attempts,
// whose bodies go on while the clock of the run stands still, are in engine/run_time.cpp, by the runtime's clock.)
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "run/workflow.hpp"
#include "value/event.hpp"

namespace blazen {

struct Invocation;

// At one moment, attempts come before events.
enum class TimerClass : uint8_t { retry, delay };

struct TimerKey {
  int64_t due_ms = 0;  // by the clock of the run
  TimerClass what = TimerClass::retry;
  uint64_t id = 0;  // of the invocation, or of the event
  friend auto operator<=>(const TimerKey&, const TimerKey&) = default;
};

struct Timer {
  Invocation* invocation = nullptr;  // retry
  Ref<Event> event{};                // delay, and where it goes then
  TypeId type = kUnknownType;
  StepIndex target = kNoStep;
  uint32_t membership = 0;  // of a delayed event in a scope (scopes.hpp)
};

class Timers {
  using Map = std::map<TimerKey, Timer>;

 public:
  using Node = Map::node_type;
  using Iterator = Map::iterator;
  using ConstIterator = Map::const_iterator;

  bool empty() const noexcept { return !table_ || table_->map.empty(); }
  size_t count(TimerClass what) const noexcept {
    return table_ ? table_->counts[static_cast<size_t>(what)] : 0;
  }
  // When the first of them is due; INT64_MAX: there is none.
  int64_t first_due_ms() const noexcept { return empty() ? INT64_MAX : table_->map.begin()->first.due_ms; }

  // In the order in which they fire.
  Iterator begin() noexcept { return table_ ? table_->map.begin() : none().begin(); }
  Iterator end() noexcept { return table_ ? table_->map.end() : none().end(); }
  ConstIterator begin() const noexcept { return table_ ? table_->map.begin() : none().begin(); }
  ConstIterator end() const noexcept { return table_ ? table_->map.end() : none().end(); }

  // Only where it is there.
  Iterator find(const TimerKey& key) noexcept { return table_->map.find(key); }

  // Makes sure that the next `count` adds, and any number of inserts, cannot fail. Throws std::bad_alloc, and has
  // changed nothing then.
  void reserve(size_t count) {
    if (!table_) table_ = std::make_unique<Table>();
    std::vector<Node>& spares = table_->spares;
    if (spares.capacity() < count) spares.reserve(count);
    while (spares.size() < count) {
      Map one;
      one.try_emplace(TimerKey{});
      spares.push_back(one.extract(one.begin()));
    }
  }
  // Only after a reserve that covers it.
  void add(const TimerKey& key, Timer timer) noexcept {
    Node node = std::move(table_->spares.back());
    table_->spares.pop_back();
    node.key() = key;
    node.mapped() = std::move(timer);
    insert(std::move(node));
  }
  // Only after a reserve, of however many.
  void insert(Node node) noexcept {
    ++count_of(node.key().what);
    table_->map.insert(std::move(node));
  }
  Node extract(Iterator at) noexcept {
    --count_of(at->first.what);
    return table_->map.extract(at);
  }
  // Takes over all that other has; the keys are different ones. Fails never: where this has nothing, it becomes the
  // other.
  void take(Timers& other) noexcept {
    if (other.empty()) return;
    if (!table_) {
      table_ = std::move(other.table_);
      return;
    }
    for (size_t i = 0; i < table_->counts.size(); ++i)
      table_->counts[i] += std::exchange(other.table_->counts[i], 0);
    table_->map.merge(other.table_->map);
  }
  void clear() noexcept {
    if (!table_) return;
    table_->map.clear();
    table_->counts = {};
  }

 private:
  // Most runs have none: a pointer until one does.
  struct Table {
    Map map;
    std::array<size_t, 2> counts{};
    std::vector<Node> spares;
  };
  size_t& count_of(TimerClass what) noexcept { return table_->counts[static_cast<size_t>(what)]; }
  static Map& none() noexcept {
    static Map map;
    return map;
  }
  std::unique_ptr<Table> table_;
};

}  // namespace blazen
