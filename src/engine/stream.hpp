// A subscription to what a run publishes, and the log that all subscriptions of a run share.
//
// Two rows of items: the published ones, numbered without holes, and the lifecycle items (with progress, and with
// the events that were routed), which have no numbers, since numbers must not depend on who listens. Each lifecycle item knows the number of the
// item before it, and so its place among them.
//
// Invariants: the log holds the last `retained` published items, and beside them what some subscriber has not
// taken yet, at most BLAZEN_LIMIT_STREAM_ITEMS more; of the lifecycle items, what some listener has not taken, with the
// same bound. A subscriber that falls behind that, or behind its own capacity, gets one gap with the count.
// Both cursors of a subscriber stand at the end, on an item that it wants, or on one that it has lost. All of
// it is under the lock of the run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/object.hpp"
#include "base/ring.hpp"
#include "engine/cursors.hpp"
#include "engine/host.hpp"
#include "run/tick.hpp"

namespace blazen {

class Run;
class Stream;

struct StreamOptions {
  uint64_t from = 0;               // 0: from now on
  std::vector<std::string> types;  // sorted; empty: all
  bool holds = false;              // back-pressure instead of a gap
  uint64_t capacity = 0;           // 0: the workflow's bound
  bool lifecycle = false;
  bool routed = false;
  bool own_level = false;  // nothing of runs inside the run

  // Whether it gets anything of the row that has no numbers.
  bool listens() const noexcept { return lifecycle || routed; }
};

// An event of a run inside another, as the outside knows it: with its path, and a question with the id that it has there.
// Throws std::bad_alloc.
Ref<Event> seen_from_outside(const Event& event, const Ref<EventPath>& path);

class StreamLog {
 public:
  // limits: those of the workflow. next_sequence: of the item that will be published next.
  StreamLog(const Limits& limits, uint64_t next_sequence)
      : first_(next_sequence),
        retained_max_(static_cast<uint32_t>(std::min<uint64_t>(limits.stream_retained, UINT32_MAX))) {}

  // A published event, and the run inside that it comes from; null: the run itself.
  struct Entry {
    Ref<Event> event;
    Ref<EventPath> path;
  };
  struct Item {
    Ref<Event> event;
    uint64_t sequence;
    bool is_routed = false;  // an event that went its way, for those who want to see them all
    Ref<EventPath> path{};   // until it is taken, and then the event has it
  };

  std::span<Stream* const> subscribers() const noexcept {
    return readers_ ? std::span<Stream* const>(readers_->subscribers) : std::span<Stream* const>();
  }
  // One of those that have got an item since they were asked for, and have a callback; null: there is none.
  Stream* take_woken() noexcept;
  // Whether anybody listens to lifecycle items, or to events that are routed; whether to the latter.
  bool watched() const noexcept { return readers_ && readers_->listeners != 0; }
  bool shows_routed() const noexcept { return readers_ && !readers_->routed_wants.empty(); }
  bool shows_lifecycle() const noexcept { return readers_ && !readers_->lifecycle_wants.empty(); }
  // Whether a subscriber with back-pressure could hold the run back; whether one does.
  bool may_hold() const noexcept { return readers_ && readers_->holders != 0; }
  bool holds() const noexcept { return readers_ && readers_->holding != 0; }

  // Its cursors are set here. limits: those of the workflow. Throws std::bad_alloc, and has changed nothing then.
  void add(Stream* stream, uint64_t from, const Limits& limits);
  void remove(Stream* stream) noexcept;
  // Neither fails: an item that memory does not suffice for is missed by all, and they are told. Items that
  // leave the log go to `dropped`, to be let go of outside the lock. No event: that memory failed already.
  // path: null where the run itself publishes.
  void append(const Published& item, const Ref<EventPath>& path, EndedEvents& dropped) noexcept;
  void append_lifecycle(const Ref<Event>& event, uint64_t after, const Ref<EventPath>& path,
                        EndedEvents& dropped, bool is_routed = false) noexcept;
  bool has_item(const Stream& stream) const noexcept;
  // The next item, or gap, of a stream that has one. Throws std::bad_alloc, and has changed nothing then.
  Item take(Stream& stream, EndedEvents& dropped);
  // Lets go of what nobody needs any more.
  void trim(EndedEvents& dropped) noexcept;

 private:
  friend class Stream;
  uint64_t end() const noexcept { return first_ + items_.size(); }
  // Where there are readers.
  uint64_t lifecycle_end() const noexcept { return readers_->lifecycle_first + readers_->lifecycle.size(); }
  const Item& lifecycle_at(uint64_t position) const noexcept {
    return readers_->lifecycle[position - readers_->lifecycle_first];
  }
  // Those that want a type of item: those that want all are under the empty one.
  using Wants = std::multimap<std::string_view, Stream*>;
  template <class Each>
  static void for_each_that_wants(const Wants& wants, std::string_view type, Each each) noexcept;
  void enter_wants(Stream& stream);
  void leave_wants(Stream& stream) noexcept;
  // It has an item of either row from there on.
  void arrive(Stream& stream, uint64_t at) noexcept;
  void arrive_lifecycle(Stream& stream, uint64_t at) noexcept;
  void wake(Stream& stream) noexcept;
  void set_waiting(Stream& stream, uint64_t waiting) noexcept;
  void stand_at(Stream& stream, uint64_t at, uint64_t lifecycle) noexcept;
  void count_waiting(Stream& stream) noexcept;
  bool take_gap(Stream& stream, Item& gap);
  void miss_one(uint64_t sequence) noexcept;
  void pop(EndedEvents& dropped) noexcept;
  void pop_lifecycle(EndedEvents& dropped) noexcept;

  // Without readers, nothing is kept for them.
  uint64_t items_max() const noexcept { return readers_ ? readers_->items_max : 0; }
  uint64_t retained_max() const noexcept { return retained_max_; }

  uint64_t first_;  // the number of the first item in the log, or of the next one to come
  [[no_unique_address]] Ring<Entry> items_;
  const uint32_t retained_max_;
  // Of those that subscribe; most logs only retain.
  struct Readers {
    uint64_t lifecycle_first = 0;  // counts them; a position, not a number that anybody sees
    Ring<Item> lifecycle;          // sequence: of the item before it
    // What an item costs grows with those that want it; what one that takes it costs, with the logarithm of the
    // number of subscribers.
    std::vector<Stream*> subscribers;  // each knows its place
    Wants wants;
    Wants lifecycle_wants;
    Wants routed_wants;
    Cursors cursors;
    Cursors lifecycle_cursors;
    Stream* woken = nullptr;
    size_t listeners = 0;
    size_t holders = 0;
    size_t holding = 0;  // that hold the run back
    uint64_t items_max = 0;
  };
  std::unique_ptr<Readers> readers_;  // null until the first one comes; then it stays
};

class Stream final : public Object {
 public:
  // capacity is set.
  Stream(Ref<Run> run, StreamOptions options) noexcept;
  static constexpr bool kFoundByOthers = true;  // by the run's log
  static void destroy(Stream* stream) noexcept;

  Run& run() const noexcept { return *run_; }

  // An item, and its number.
  using Item = StreamLog::Item;

 private:
  friend class Run;
  friend class StreamLog;

  bool wants(const Event& event, const EventPath* path) const noexcept;
  // Of the row that has no numbers.
  bool wants_unnumbered(const StreamLog::Item& item) const noexcept {
    return (item.is_routed ? options_.routed : options_.lifecycle) && wants(*item.event, item.path.get());
  }
  bool holds() const noexcept { return options_.holds && waiting_ >= options_.capacity; }

  Ref<Run> run_;
  const StreamOptions options_;
  Cursor cursor_;         // among the published items
  Cursor lifecycle_;      // among the lifecycle items
  uint64_t waiting_ = 0;  // with back-pressure: items to take
  size_t place_ = 0;      // among the subscribers
  std::vector<StreamLog::Wants::iterator> wants_;
  std::vector<StreamLog::Wants::iterator> lifecycle_wants_;
  std::vector<StreamLog::Wants::iterator> routed_wants_;
  bool is_woken_ = false;
  Stream* next_woken_ = nullptr;
  bool closed_ = true;    // until the run has taken it into its log
  uint32_t calling_ = 0;  // callbacks of this stream that are under way
  HostCallback ready_;
  HostCallback notified_callback_;   // what is about to be called
  Stream* next_notified_ = nullptr;  // in Run::Notifications
};

}  // namespace blazen
