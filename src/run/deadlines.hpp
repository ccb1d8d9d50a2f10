// What is due by the second counter of a run: the default answers of questions, and the deadlines of joins.
//
// One map beside that of the timers (timers.hpp), since the two counters have no order between them: a timer stands still
// while the run waits for a human or is elsewhere, and a deadline is there to end just that; it stands still in a pause
// alone. The time-outs of attempts go by the runtime's clock, in a pause too, since bodies do: they are of calls, which no
// snapshot knows, and stand in a map of the engine (StepTimers). Each operation costs the logarithm of the number.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "run/clock.hpp"

namespace blazen {

struct Question;
struct Scope;

// Of those that are due at one moment, the classes come in this order.
enum class DeadlineClass : uint8_t { question, join };

struct DeadlineKey {
  int64_t due_ms = 0;  // by the second counter
  DeadlineClass what = DeadlineClass::question;
  uint64_t id = 0;     // of the event that asks, or of the scope
  uint32_t place = 0;  // of the join among those of its scope
  friend auto operator<=>(const DeadlineKey&, const DeadlineKey&) = default;
};

struct Deadline {
  Question* question = nullptr;
  Scope* scope = nullptr;
};

class Deadlines {
  using Map = std::map<DeadlineKey, Deadline>;

 public:
  using Node = Map::node_type;

  bool empty() const noexcept { return !table_ || table_->map.empty(); }
  // Only where it is not empty.
  const DeadlineKey& first_key() const noexcept { return table_->map.begin()->first; }
  const Deadline& first() const noexcept { return table_->map.begin()->second; }

  // ---- the second counter: begins with the first deadline ----

  int64_t at(int64_t now_ms) const noexcept { return table_ ? table_->clock.at(now_ms) : 0; }
  // What time it is, by the runtime's clock; and whether the counter goes from now on.
  void set_clock(int64_t now_ms, bool runs) noexcept {
    if (table_) table_->clock.set(now_ms, 0, runs);
  }
  // The date of what at() says: of a counter that stands, that of the snapshot which it comes from, or 0 in a pause.
  int64_t date_at(int64_t date_ms) const noexcept {
    return !table_ || table_->clock.runs ? date_ms : table_->clock.set_date_ms;
  }
  bool has_counter() const noexcept { return table_ != nullptr; }
  // From a snapshot of that date.
  void restore_counter(int64_t elapsed_ms, int64_t date_ms) {
    reserve();
    table_->clock.elapsed_ms = elapsed_ms;
    table_->clock.set_date_ms = date_ms;
  }
  // What has passed since then.
  void pass_until(int64_t date_ms) noexcept {
    if (table_ && date_ms > table_->clock.set_date_ms)
      table_->clock.elapsed_ms = add_ms(table_->clock.elapsed_ms, date_ms - table_->clock.set_date_ms);
  }
  bool runs() const noexcept { return table_ && table_->clock.runs; }
  // By how much the first is over; negative: none is.
  int64_t lateness(int64_t now_ms) const noexcept {
    return empty() || !runs() ? -1 : at(now_ms) - first_key().due_ms;
  }
  // When the first is due, by the runtime's clock; INT64_MAX: never, as it stands.
  int64_t first_due_ms() const noexcept {
    if (empty() || !runs()) return INT64_MAX;
    return add_ms(table_->clock.set_ms, first_key().due_ms - table_->clock.elapsed_ms);
  }

  // ---- the map ----

  // So that there is a counter. Throws std::bad_alloc.
  void reserve() {
    if (!table_) table_ = std::make_unique<Table>();
  }
  // What add() takes. Throws std::bad_alloc.
  Node make_node() {
    reserve();
    Map one;
    one.try_emplace(DeadlineKey{});
    return one.extract(one.begin());
  }
  void add(const DeadlineKey& key, Deadline deadline, Node node) noexcept {
    node.key() = key;
    node.mapped() = deadline;
    table_->map.insert(std::move(node));
  }
  void remove(const DeadlineKey& key) noexcept { table_->map.erase(key); }
  template <class Each>
  void walk(Each each) const {
    if (!table_) return;
    for (const auto& [key, deadline] : table_->map) each(key, deadline);
  }
  void clear() noexcept { table_.reset(); }

 private:
  // Most runs have none.
  struct Table {
    Map map;
    RunClock clock;
  };
  std::unique_ptr<Table> table_;
};

}  // namespace blazen
