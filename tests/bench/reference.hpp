// The yardstick: the least code that does the same work, built with the same flags and run in the same
// process. Every figure of the engine is quoted as a ratio to this.
//
// It routes events on one thread: a ring of events, a pair of lock and unlock for each event, a hash of the
// type's name, an indirect call. It has no handles, errors, limits, snapshots, streams or waits, and no
// second thread may use it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace blazen::bench {

// --------------------------------------------------------------------------------------------------- routing

struct ReferenceEvent {
  std::string_view type;
  uint64_t value;
};

class ReferenceRun;

struct ReferenceStep {
  void (*body)(void* user_data, ReferenceRun& run, const ReferenceEvent& event);
  void* user_data;
};

// Event types and the step that each starts. An own table, since std::unordered_map does not hash where it is
// small.
class ReferenceWorkflow {
 public:
  ReferenceWorkflow(std::initializer_list<std::pair<std::string_view, ReferenceStep>> steps) {
    for (const auto& [type, step] : steps) slots_[slot_of(type)] = {type, step};
  }
  // Null where nothing is started, as for the StopEvent.
  const ReferenceStep* find(std::string_view type) const noexcept {
    const Slot& slot = slots_[slot_of(type)];
    return slot.type.empty() ? nullptr : &slot.step;
  }

 private:
  struct Slot {
    std::string_view type;
    ReferenceStep step;
  };
  static constexpr size_t kSlots = 16;  // and fewer steps than that

  size_t slot_of(std::string_view type) const noexcept {
    size_t slot = std::hash<std::string_view>{}(type) % kSlots;
    while (!slots_[slot].type.empty() && slots_[slot].type != type) slot = (slot + 1) % kSlots;
    return slot;
  }

  std::array<Slot, kSlots> slots_{};
};

// First in, first out; grows by doubling.
class ReferenceRing {
 public:
  bool empty() const noexcept { return first_ == last_; }
  void push(const ReferenceEvent& event) {
    if (last_ - first_ == events_.size()) grow();
    events_[last_++ & (events_.size() - 1)] = event;
  }
  ReferenceEvent pop() noexcept { return events_[first_++ & (events_.size() - 1)]; }

 private:
  void grow() {
    std::vector<ReferenceEvent> events(events_.empty() ? 8 : events_.size() * 2);
    for (size_t i = first_; i != last_; ++i) events[i - first_] = events_[i & (events_.size() - 1)];
    last_ -= first_;
    first_ = 0;
    events_.swap(events);
  }

  std::vector<ReferenceEvent> events_;
  size_t first_ = 0;
  size_t last_ = 0;
};

class ReferenceRun {
 public:
  explicit ReferenceRun(const ReferenceWorkflow& workflow) : workflow_(workflow) {}

  void emit(std::string_view type, uint64_t value) { ring_.push({type, value}); }

  // Routes from the input until an event that no step accepts, and answers what that carries.
  uint64_t run(std::string_view start, uint64_t input) {
    emit(start, input);
    while (!ring_.empty()) {
      lock_.lock();
      const ReferenceEvent event = ring_.pop();
      lock_.unlock();
      const ReferenceStep* step = workflow_.find(event.type);
      if (step == nullptr) return event.value;
      step->body(step->user_data, *this, event);
    }
    return 0;
  }

 private:
  const ReferenceWorkflow& workflow_;
  std::mutex lock_;
  ReferenceRing ring_;
};

// ----------------------------------------------------------------------------------------------------- state

class ReferenceState {
 public:
  void set(std::string_view key, uint64_t value) {
    const std::lock_guard guard(lock_);
    const auto found = values_.find(key);
    if (found != values_.end()) {
      found->second = value;
    } else {
      values_.emplace(key, value);
    }
  }
  bool get(std::string_view key, uint64_t& value) {
    const std::lock_guard guard(lock_);
    const auto found = values_.find(key);
    if (found == values_.end()) return false;
    value = found->second;
    return true;
  }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::mutex lock_;
  std::unordered_map<std::string, uint64_t, Hash, std::equal_to<>> values_;
};

// -------------------------------------------------------------------------------------------------- snapshot

struct ReferenceEntry {
  std::string value;
  uint64_t version;
};
using ReferenceTable = std::unordered_map<std::string, ReferenceEntry>;

// What somebody would write by hand for this table and nothing else: CBOR, an array of [key, version, value],
// in the order of the table.
class ReferenceWriter {
 public:
  static std::vector<uint8_t> write(const ReferenceTable& table) {
    ReferenceWriter writer;
    writer.bytes_.reserve(table.size() * 32);  // a guess, as one would make: most entries are small
    writer.head(4, table.size());
    for (const auto& [key, entry] : table) {
      writer.head(4, 3);
      writer.text(key);
      writer.head(0, entry.version);
      writer.text(entry.value);
    }
    return std::move(writer.bytes_);
  }

 private:
  void text(std::string_view text) {
    head(3, text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }
  void head(unsigned major, uint64_t number) {
    const auto kind = static_cast<uint8_t>(major << 5);
    if (number < 24) {
      bytes_.push_back(static_cast<uint8_t>(kind | number));
      return;
    }
    const unsigned log = number <= 0xff ? 0 : number <= 0xffff ? 1 : number <= 0xffffffff ? 2 : 3;
    uint8_t head[9] = {static_cast<uint8_t>(kind | (24 + log))};
    for (unsigned i = 0; i < 1U << log; ++i)
      head[1 + i] = static_cast<uint8_t>(number >> (8 * ((1U << log) - 1 - i)));
    bytes_.insert(bytes_.end(), head, head + 1 + (1U << log));
  }

  std::vector<uint8_t> bytes_;
};

// Trusts what it reads, apart from its length.
class ReferenceReader {
 public:
  // An empty table where the bytes are not what the writer writes.
  static ReferenceTable read(std::span<const uint8_t> bytes) {
    ReferenceReader reader{bytes};
    ReferenceTable table;
    const uint64_t count = reader.head();
    if (count > bytes.size()) return {};
    table.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      reader.head();
      const std::string_view key = reader.text();
      const uint64_t version = reader.head();
      table.emplace(key, ReferenceEntry{std::string(reader.text()), version});
    }
    return reader.failed_ ? ReferenceTable{} : std::move(table);
  }

 private:
  explicit ReferenceReader(std::span<const uint8_t> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool has(uint64_t count) {
    failed_ = failed_ || count > static_cast<uint64_t>(end_ - at_);
    return !failed_;
  }
  uint64_t head() {
    if (!has(1)) return 0;
    const unsigned low = *at_++ & 31;
    if (low < 24) return low;
    const unsigned size = 1U << (low - 24);
    if (low > 27 || !has(size)) return 0;
    uint64_t number = 0;
    for (unsigned i = 0; i < size; ++i) number = number << 8 | *at_++;
    return number;
  }
  std::string_view text() {
    const uint64_t size = head();
    if (!has(size)) return {};
    const auto* begin = reinterpret_cast<const char*>(at_);
    at_ += size;
    return {begin, size};
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool failed_ = false;
};

}  // namespace blazen::bench
