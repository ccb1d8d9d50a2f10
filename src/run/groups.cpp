#include "run/groups.hpp"

#include <algorithm>

#include "base/big_memory.hpp"

namespace blazen {

// --------------------------------------------------------------------------------------------------- arrivals

namespace {

// Events lie anywhere: each is on its way before it is looked at.
void fetch(const Event* event) noexcept { __builtin_prefetch(event, 1); }

// Events to let go of, that nobody else has any more. Each knows the next of its list in the place of its id, so that no
// memory is needed; and while one is let go of, the next ones of the other lists are on their way.
class LeavingEvents {
 public:
  void add(size_t number, Event* event) noexcept {
    Event*& first = first_[number % kLists];
    event->id = reinterpret_cast<uintptr_t>(std::exchange(first, event));
  }
  void clear() noexcept {
    for (bool is_left = true; is_left;) {
      is_left = false;
      for (Event*& first : first_) is_left = clear_one(first) || is_left;
    }
  }

 private:
  static constexpr size_t kLists = 16;

  static bool clear_one(Event*& first) noexcept {
    if (first == nullptr) return false;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): add() has put it there
    auto* next = reinterpret_cast<Event*>(static_cast<uintptr_t>(first->id));
    fetch(next);
    Event::destroy(std::exchange(first, next));
    return true;
  }

  Event* first_[kLists] = {};
};

constexpr uint32_t kAhead = 8;

}  // namespace

void Arrivals::let_go() noexcept {
  for (uint32_t i = 0; i < size_; ++i) {
    if (i + kAhead < size_) fetch(first_[i + kAhead].event.get());
    first_[i].~Arrival();
  }
  if (is_elsewhere()) ::operator delete(first_);
}

// Where much memory comes free, allocators look at what is free around it, and may give all of that back to the system,
// from where it has to come again page by page. So a long row goes before its events.
void Arrivals::let_go_of_many() noexcept {
  LeavingEvents leaving;
  for (uint32_t i = 0; i < size_; ++i) {
    if (i + kAhead < size_) fetch(first_[i + kAhead].event.get());
    Event* event = first_[i].event.take();
    if (event != nullptr && drop_reference(event)) leaving.add(i, event);
  }
  ::operator delete(first_);
  leaving.clear();
}

// To twice as many at least.
void Arrivals::grow(size_t count) {
  const size_t capacity = std::max({count, size_t{capacity_} * 2, size_t{4}});
  auto* to = static_cast<Arrival*>(allocate_big(capacity * sizeof(Arrival)));
  for (uint32_t i = 0; i < size_; ++i) {
    new (to + i) Arrival(std::move(first_[i]));
    first_[i].~Arrival();
  }
  if (is_elsewhere()) ::operator delete(first_);
  first_ = to;
  capacity_ = static_cast<uint32_t>(capacity);
}

// ---------------------------------------------------------------------------------------------- by correlation

const KeyedGroups::Entry* KeyedGroups::find(std::string_view text) const noexcept {
  const size_t at = index_.find(text, [&](size_t place) { return correlation(entries_[place]); });
  return at == TextIndex::kNone ? nullptr : &entries_[at];
}

Group* KeyedGroups::add(std::string_view text, Ref<Group> group) {
  const auto text_at = [&](size_t place) { return correlation(entries_[place]); };
  index_.reserve(1, text_at);
  if (entries_.size() == entries_.capacity()) entries_.reserve(std::max<size_t>(8, entries_.size() * 2));
  const size_t begin = texts_.size();
  texts_.append(text);
  // Nothing below can fail.
  const size_t place = entries_.size();
  has_given_ = has_given_ || !group;
  if (group) group->place = static_cast<uint32_t>(place);
  entries_.push_back({std::move(group), begin, static_cast<uint32_t>(text.size())});
  index_.put(text, place, text_at);
  return entries_.back().group.get();
}

}  // namespace blazen
