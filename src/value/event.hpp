// An event: a type name and a value, and, once it was routed, its id and the step that made it.
//
// Invariants: immutable once anybody else can see it. One allocation: the texts stand behind the object, each
// with a NUL.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.hpp"
#include "base/object.hpp"
#include "value/event_path.hpp"
#include "value/value.hpp"

namespace blazen {

inline constexpr std::string_view kStartEvent = "blazen::StartEvent";
inline constexpr std::string_view kStopEvent = "blazen::StopEvent";
inline constexpr std::string_view kInputRequest = "blazen::InputRequestEvent";
inline constexpr std::string_view kInputResponse = "blazen::InputResponseEvent";
inline constexpr std::string_view kStepFailed = "blazen::StepFailedEvent";
inline constexpr std::string_view kEmptyJoin = "blazen::EmptyJoinEvent";
inline constexpr std::string_view kStreamEnd = "blazen::StreamEnd";
inline constexpr std::string_view kStreamGap = "blazen::StreamGap";
inline constexpr std::string_view kLifecycle = "blazen::lifecycle";
inline constexpr std::string_view kProgress = "blazen::ProgressEvent";

// What the library itself puts on streams: nobody else may.
inline bool is_stream_type(std::string_view type) noexcept {
  return type == kStreamEnd || type == kStreamGap || type == kLifecycle || type == kProgress;
}

class Event;

// Memory of events that are gone, for the next ones of the same thread: what a step consumes pays for what it
// emits.
class EventCache {
 public:
  // Every event of at most this size has a block of it, so that any of them can be used again. With the 8 bytes that
  // most allocators put before a block, whole units of 16.
  static constexpr size_t kBlockBytes = 88;

  EventCache() noexcept = default;
  EventCache(const EventCache&) = delete;
  EventCache& operator=(const EventCache&) = delete;
  ~EventCache() {
    while (count_ > 0) ::operator delete(blocks_[--count_]);
  }
  // Throws std::bad_alloc.
  void* take(size_t bytes) {
    if (bytes > kBlockBytes) return ::operator new(bytes);
    return count_ > 0 ? blocks_[--count_] : ::operator new(kBlockBytes);
  }
  // Lets go of an event; keeps its memory where this was the last reference.
  void put(Ref<Event> event) noexcept;

 private:
  static constexpr size_t kBlocksMax = 1024;
  bool grow() noexcept;

  size_t count_ = 0;
  std::vector<void*> blocks_;  // the first count_ are memory
};

class Event final : public Object {
 public:
  // Throws std::bad_alloc.
  static Ref<Event> make(std::string_view type, Ref<Value> value, std::string_view source = {},
                         std::string_view correlation = {}) {
    const size_t bytes = bytes_of(type, source, correlation);
    void* memory = ::operator new(bytes > EventCache::kBlockBytes ? bytes : EventCache::kBlockBytes);
    return Ref<Event>::adopt(new (memory) Event(bytes, type, std::move(value), source, correlation));
  }
  [[gnu::always_inline]] static Ref<Event> make_in(EventCache& cache, std::string_view type, Ref<Value> value,
                                                   std::string_view source,
                                                   std::string_view correlation = {}) {
    const size_t bytes = bytes_of(type, source, correlation);
    void* memory = cache.take(bytes);
    return Ref<Event>::adopt(new (memory) Event(bytes, type, std::move(value), source, correlation));
  }
  // One that comes from a run inside another. Throws std::bad_alloc.
  static Ref<Event> make_at(std::string_view type, Ref<Value> value, std::string_view source,
                            std::string_view correlation, Ref<EventPath> path);
  static void destroy(Event* event) noexcept;
  // Null: it comes from the run itself.
  const EventPath* path() const noexcept { return has_path_ ? path_place()->get() : nullptr; }

  std::string_view type() const noexcept { return {texts(), type_size_}; }
  std::string_view source() const noexcept { return {texts() + type_size_ + 1, source_size_}; }
  std::string_view correlation() const noexcept {
    return {texts() + type_size_ + source_size_ + 2, correlation_size_};
  }
  const Ref<Value>& value() const noexcept { return value_; }
  // For who is done with the event: nobody else may have it then, and the value is moved.
  Ref<Value> take_value() noexcept {
    if (refs.load(std::memory_order_acquire) != 1) return value_;
    return std::move(value_);
  }

  // Given by the router, before anybody else sees the event. 0: not routed.
  uint64_t id = 0;
  // The router's alone, under the lock of the run: its membership in a scope (run/scopes.hpp). 0: it is in none.
  uint32_t membership = 0;

 private:
  friend class EventCache;
  friend class EndedEvents;
  [[gnu::always_inline]] Event(size_t bytes, std::string_view type, Ref<Value> value, std::string_view source,
                               std::string_view correlation) noexcept
      : Object(Kind::event),
        has_block_(bytes <= EventCache::kBlockBytes),
        type_size_(static_cast<uint16_t>(type.size())),
        source_size_(static_cast<uint16_t>(source.size())),
        correlation_size_(static_cast<uint16_t>(correlation.size())),
        value_(std::move(value)) {
    char* to = reinterpret_cast<char*>(this + 1);
    put_text(put_text(put_text(to, type), source), correlation);
  }
  static size_t bytes_of(std::string_view type, std::string_view source,
                         std::string_view correlation) noexcept {
    return sizeof(Event) + type.size() + source.size() + correlation.size() + 3;
  }
  // The texts are short: whole words are quicker than a call of memcpy. The last word may overlap the one
  // before.
  [[gnu::always_inline]] static char* put_text(char* to, std::string_view text) noexcept {
    const char* from = text.data();
    const size_t size = text.size();
    if (size >= 8) {
      std::memcpy(to, from, 8);
      for (size_t at = 8; at + 8 < size; at += 8) std::memcpy(to + at, from + at, 8);
      std::memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
      std::memcpy(to, from, 4);
      std::memcpy(to + size - 4, from + size - 4, 4);
    } else {
      for (size_t at = 0; at < size; ++at) to[at] = from[at];
    }
    to[size] = '\0';
    return to + size + 1;
  }
  const char* texts() const noexcept { return reinterpret_cast<const char*>(this + 1); }
  // Behind the texts.
  Ref<EventPath>* path_place() const noexcept;

  bool has_block_;         // its memory is of kBlockBytes, and not of more
  bool has_path_ = false;  // has no block then
  static_assert(kNameBytesMax <= UINT16_MAX);
  uint16_t type_size_ = 0;
  uint16_t source_size_ = 0;
  uint16_t correlation_size_ = 0;
  Ref<Value> value_;
};

// Events to let go of later, where no lock is held. The list goes through those that nobody else has any
// more, in the place of their ids: it needs no memory, and so it cannot fail.
class EndedEvents {
 public:
  EndedEvents() noexcept = default;
  EndedEvents(EndedEvents&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
  EndedEvents& operator=(const EndedEvents&) = delete;
  ~EndedEvents() { clear(); }

  bool empty() const noexcept { return first_ == nullptr; }
  void add(Ref<Event> event) noexcept {
    Event* ended = event.take();
    if (ended == nullptr || !drop_reference(ended)) return;
    ended->id = reinterpret_cast<uintptr_t>(first_);
    first_ = ended;
  }
  void clear() noexcept {
    while (first_ != nullptr) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): add() has put it there
      auto* next = reinterpret_cast<Event*>(static_cast<uintptr_t>(first_->id));
      Event::destroy(std::exchange(first_, next));
    }
  }

 private:
  Event* first_ = nullptr;
};

inline void EventCache::put(Ref<Event> event) noexcept {
  Event* object = event.take();
  if (object == nullptr || !drop_reference(object)) return;
  if (object->has_block_ && (count_ < blocks_.size() || grow())) {
    object->~Event();
    blocks_[count_++] = object;
  } else {
    Event::destroy(object);
  }
}

}  // namespace blazen
