// What is due by the runtime's clock, whether the clock of the run goes or not, and only while the run is not paused: the
// default answers of questions.
//
// One map beside that of the timers (timers.hpp), since the two clocks have no order between them: a timer stands still
// while the run waits for a human, and a deadline is there to end just that. One that passes in a pause is due when the run
// goes on. The time-outs of attempts go by the runtime's clock as well, but in a pause too, since bodies do: they are of
// calls, which no snapshot knows, and stand in a map of the engine (StepTimers). Each operation costs the logarithm of
// the number.
#pragma once

#include <compare>
#include <cstdint>
#include <utility>

#include "base/lazy_map.hpp"
#include "base/milliseconds.hpp"

namespace blazen {

struct Question;

// Of those that are due at one moment, the classes come in this order.
enum class DeadlineClass : uint8_t { question };

struct DeadlineKey {
  // By the runtime's clock; of a run that comes from a snapshot and has not begun to move, by the date.
  int64_t due_ms = 0;
  DeadlineClass what = DeadlineClass::question;
  uint64_t id = 0;  // of the event that asks
  friend auto operator<=>(const DeadlineKey&, const DeadlineKey&) = default;
};

struct Deadline {
  Question* question = nullptr;
};

class Deadlines {
  using Map = LazyMap<DeadlineKey, Deadline>;

 public:
  using Node = Map::NodeType;

  bool empty() const noexcept { return map_.empty(); }
  // Null: there is none.
  const Deadline* first() const noexcept { return empty() ? nullptr : &map_.begin()->second; }
  // INT64_MAX: there is none.
  int64_t first_due_ms() const noexcept { return empty() ? INT64_MAX : map_.begin()->first.due_ms; }

  // What add() takes. Throws std::bad_alloc.
  Node make_node() {
    map_.reserve();
    return Map::make_node();
  }
  void add(const DeadlineKey& key, Deadline deadline, Node node) noexcept {
    node.key() = key;
    node.mapped() = deadline;
    map_.insert(std::move(node));
  }
  void remove(const DeadlineKey& key) noexcept { map_.reserve().erase(key); }
  // All of them are so much later: their order stays as it is. moved: is told of each, and its new moment.
  template <class Moved>
  void shift(int64_t by_ms, Moved moved) noexcept {
    if (empty()) return;
    Map::Map& map = map_.reserve();
    Map::Map earlier;
    earlier.swap(map);
    while (!earlier.empty()) {
      Node node = earlier.extract(earlier.begin());
      node.key().due_ms = add_ms(node.key().due_ms, by_ms);
      moved(node.mapped(), node.key().due_ms);
      map.insert(std::move(node));
    }
  }
  template <class Each>
  void walk(Each each) const {
    for (const auto& [key, deadline] : map_) each(key, deadline);
  }
  void take(Deadlines& other) noexcept { map_.take(other.map_); }
  void clear() noexcept { map_.clear(); }

 private:
  Map map_;
};

}  // namespace blazen
