// A subscription to what a run publishes, and the log that all subscriptions of a run share.
//
// Invariants: the log holds what the slowest subscriber has not taken yet, at most BLAZEN_LIMIT_STREAM_ITEMS
// of it; a subscriber whose cursor fell out of the log gets one gap with the count. Sequence numbers have no
// holes. All of it is under the lock of the run.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/object.hpp"
#include "engine/host.hpp"
#include "run/tick.hpp"

namespace blazen {

class Run;
class Stream;

class StreamLog {
 public:
  // Throws std::bad_alloc.
  explicit StreamLog(uint64_t items_max) : items_max_(items_max) {}

  bool has_subscribers() const noexcept { return !subscribers_.empty(); }
  const std::vector<Stream*>& subscribers() const noexcept { return subscribers_; }
  // Throws std::bad_alloc.
  void add(Stream* stream, uint64_t next_sequence);
  void remove(Stream* stream) noexcept;
  // Never fails: an item that memory does not suffice for is missed by all, and they are told. Items that
  // leave the log go to `dropped`, to be let go of outside the lock.
  void append(const Published& item, std::vector<Ref<Event>>& dropped) noexcept;
  // The item with this number; null where it is past the end. sequence is not before first().
  const Ref<Event>* find(uint64_t sequence) const noexcept;
  uint64_t first() const noexcept { return first_; }
  // Lets go of what every subscriber has taken.
  void trim(std::vector<Ref<Event>>& dropped) noexcept;

 private:
  void pop(std::vector<Ref<Event>>& dropped) noexcept;

  const uint64_t items_max_;
  uint64_t first_ = 1;  // the number of the first item in the log, or of the next one to come
  std::deque<Ref<Event>> items_;
  std::vector<Stream*> subscribers_;
};

class Stream final : public Object {
 public:
  explicit Stream(Ref<Run> run) noexcept;
  static constexpr bool kFoundByOthers = true;  // by the run's log
  static void destroy(Stream* stream) noexcept;

  // Item, its number. timeout_ms as in Run::wait.
  struct Item {
    Ref<Event> event;
    uint64_t sequence;
  };
  Result<Item> next(int64_t timeout_ms);
  Ref<Error> on_ready(const HostCallback& callback) noexcept;
  void close() noexcept;

 private:
  friend class Run;
  friend class StreamLog;

  Ref<Run> run_;
  uint64_t cursor_ = 1;   // the number of the next item
  bool closed_ = true;    // until the run has taken it into its log
  uint32_t calling_ = 0;  // callbacks of this stream that are under way
  HostCallback ready_;
  HostCallback notice_;            // what is about to be called
  Stream* next_notice_ = nullptr;  // in Run::Notices
};

}  // namespace blazen
