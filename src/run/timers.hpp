// What happens to a run by its own clock, and nothing else: attempts that begin again, events that are delayed.
//
// One map, by when an entry is due, what it is, and its id: so what is due is in front, and the order in which
// entries of one moment fire is the same everywhere. Each operation costs the logarithm of their number; the first
// and the counts are there. A delayed question is found by its id too. (The time of a run itself
// is one number, and needs no entry; what goes by the runtime's clock has a map of its own: deadlines.hpp says why.)
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>
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
  // The ids lie in the events.
  using QuestionName = std::pair<std::string_view, TimerKey>;
  using QuestionNames = std::set<QuestionName>;

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

  // The one of this key; end(): there is none.
  Iterator find(const TimerKey& key) noexcept { return table_ ? table_->map.find(key) : end(); }
  // The delayed question of this id, the one first that is due first; end(): there is none. Not among those that were
  // inserted.
  Iterator find_question(std::string_view id) noexcept {
    if (!table_) return end();
    const auto name = table_->questions.lower_bound({id, TimerKey{INT64_MIN}});
    return name == table_->questions.end() || name->first != id ? end() : table_->map.find(name->second);
  }
  size_t question_count() const noexcept { return table_ ? table_->questions.size() : 0; }

  // Makes sure that the next `count` adds, of which so many are questions, and any number of inserts, cannot fail.
  // Throws std::bad_alloc, and has changed nothing then.
  void reserve(size_t count, size_t questions = 0) {
    if (!table_) table_ = std::make_unique<Table>();
    reserve_nodes<Map>(table_->spares, count, std::pair(TimerKey{}, Timer{}));
    reserve_nodes<QuestionNames>(table_->question_spares, questions, QuestionName{});
  }
  // Only after a reserve that covers it.
  void add(const TimerKey& key, Timer timer) noexcept {
    if (is_question(timer)) {
      QuestionNames::node_type name = take_last(table_->question_spares);
      name.value() = {timer.event->correlation(), key};
      table_->questions.insert(std::move(name));
    }
    Node node = take_last(table_->spares);
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
    if (is_question(at->second)) table_->questions.erase({at->second.event->correlation(), at->first});
    return table_->map.extract(at);
  }
  // Takes over all that other has, as if each were inserted; the keys are different ones. Fails never: where this has
  // nothing, it becomes the other.
  void take(Timers& other) noexcept {
    if (other.empty()) return;
    other.table_->questions.clear();
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
    table_->questions.clear();
    table_->map.clear();
    table_->counts = {};
  }

 private:
  // Most runs have none: a pointer until one does.
  struct Table {
    Map map;
    std::array<size_t, 2> counts{};
    std::vector<Node> spares;
    QuestionNames questions;  // of those that were added
    std::vector<QuestionNames::node_type> question_spares;
  };
  static bool is_question(const Timer& timer) noexcept { return timer.type == kInputRequestType; }
  template <class Container, class Node, class Value>
  static void reserve_nodes(std::vector<Node>& spares, size_t count, const Value& any) {
    if (spares.capacity() < count) spares.reserve(count);
    while (spares.size() < count) {
      Container one;
      one.insert(any);
      spares.push_back(one.extract(one.begin()));
    }
  }
  template <class Node>
  static Node take_last(std::vector<Node>& spares) noexcept {
    Node last = std::move(spares.back());
    spares.pop_back();
    return last;
  }
  size_t& count_of(TimerClass what) noexcept { return table_->counts[static_cast<size_t>(what)]; }
  static Map& none() noexcept {
    static Map map;
    return map;
  }
  std::unique_ptr<Table> table_;
};

}  // namespace blazen
