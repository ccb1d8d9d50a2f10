#include "engine/stream.hpp"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "base/utf8.hpp"
#include "run/request_reader.hpp"

namespace blazen {

Ref<Event> seen_from_outside(const Event& event, const Ref<EventPath>& path) {
  const EventPath::Texts& place = path->texts();
  std::string source = place.text;
  if (!event.source().empty()) source.append("/").append(event.source());
  if (source.size() > UINT16_MAX)
    source.resize(utf8_valid_prefix(source.data(), UINT16_MAX));  // the path itself is whole
  Ref<Value> value = event.value();
  std::string id(event.correlation());
  if (event.type() == kInputRequest) {
    id = place.run_id + "/" + id;
    value = Value::copy(Tag::json, with_request_id(value->data(), id));
  }
  Ref<Event> seen = Event::make_at(event.type(), std::move(value), source, id, path);
  seen->id = event.id;
  return seen;
}

template <class Each>
void StreamLog::for_each_that_wants(const Wants& wants, std::string_view type, Each each) noexcept {
  const auto call = [&](std::string_view key) {
    const auto [first, last] = wants.equal_range(key);
    for (auto at = first; at != last; ++at) each(*at->second);
  };
  call({});
  call(type);
}

// All or nothing.
void StreamLog::enter_wants(Stream& stream) {
  const std::vector<std::string>& types = stream.options_.types;
  const auto enter = [&](Wants& wants, std::vector<Wants::iterator>& places) {
    places.reserve(types.size() + 1);
    if (types.empty()) places.push_back(wants.emplace(std::string_view(), &stream));
    for (size_t i = 0; i < types.size(); ++i) {
      if (i == 0 || types[i] != types[i - 1]) places.push_back(wants.emplace(types[i], &stream));
    }
  };
  try {
    enter(readers_->wants, stream.wants_);
    if (stream.options_.lifecycle) enter(readers_->lifecycle_wants, stream.lifecycle_wants_);
    if (stream.options_.routed) enter(readers_->routed_wants, stream.routed_wants_);
  } catch (...) {
    leave_wants(stream);
    throw;
  }
}

void StreamLog::leave_wants(Stream& stream) noexcept {
  for (const Wants::iterator at : std::exchange(stream.wants_, {})) readers_->wants.erase(at);
  for (const Wants::iterator at : std::exchange(stream.lifecycle_wants_, {}))
    readers_->lifecycle_wants.erase(at);
  for (const Wants::iterator at : std::exchange(stream.routed_wants_, {})) readers_->routed_wants.erase(at);
}

void StreamLog::add(Stream* stream, uint64_t from, const Limits& limits) {
  if (!readers_) readers_ = std::make_unique<Readers>();
  readers_->items_max = limits.stream_items;
  Cursors::make(stream->cursor_);
  Cursors::make(stream->lifecycle_);
  if (readers_->subscribers.size() == readers_->subscribers.capacity())
    readers_->subscribers.reserve(readers_->subscribers.size() * 2 + 1);
  enter_wants(*stream);
  stream->place_ = readers_->subscribers.size();
  readers_->subscribers.push_back(stream);
  const StreamOptions& options = stream->options_;
  stream->cursor_.bound = stream->lifecycle_.bound = options.holds ? items_max() : options.capacity;
  stream->cursor_.since = end();
  readers_->listeners += options.listens() ? 1 : 0;
  readers_->holders += options.holds ? 1 : 0;
  stand_at(*stream, from == 0 ? end() : from, lifecycle_end());
  count_waiting(*stream);
}

void StreamLog::remove(Stream* stream) noexcept {
  set_waiting(*stream, 0);
  readers_->cursors.stand_at_end(stream->cursor_);
  readers_->lifecycle_cursors.stand_at_end(stream->lifecycle_);
  leave_wants(*stream);
  Stream* last = readers_->subscribers.back();
  readers_->subscribers[stream->place_] = last;
  last->place_ = stream->place_;
  readers_->subscribers.pop_back();
  readers_->listeners -= stream->options_.listens() ? 1 : 0;
  readers_->holders -= stream->options_.holds ? 1 : 0;
}

void StreamLog::wake(Stream& stream) noexcept {
  if (stream.ready_.function == nullptr || std::exchange(stream.is_woken_, true)) return;
  stream.next_woken_ = std::exchange(readers_->woken, &stream);
}

Stream* StreamLog::take_woken() noexcept {
  if (!readers_) return nullptr;
  Stream* stream = readers_->woken;
  if (stream == nullptr) return nullptr;
  readers_->woken = stream->next_woken_;
  stream->is_woken_ = false;
  return stream;
}

void StreamLog::arrive(Stream& stream, uint64_t at) noexcept {
  if (!stream.cursor_.waits) readers_->cursors.wait_at(stream.cursor_, at);
  wake(stream);
}

void StreamLog::arrive_lifecycle(Stream& stream, uint64_t at) noexcept {
  if (!stream.lifecycle_.waits) readers_->lifecycle_cursors.wait_at(stream.lifecycle_, at);
  wake(stream);
}

void StreamLog::set_waiting(Stream& stream, uint64_t waiting) noexcept {
  readers_->holding -= stream.holds() ? 1 : 0;
  stream.waiting_ = waiting;
  readers_->holding += stream.holds() ? 1 : 0;
}

// Memory did not suffice for an item: all have lost it.
void StreamLog::miss_one(uint64_t sequence) noexcept {
  for (Stream* stream : subscribers()) arrive(*stream, sequence);
}

void StreamLog::append(const Published& item, const Ref<EventPath>& path, EndedEvents& dropped) noexcept {
  if (retained_max() == 0 && subscribers().empty()) {
    first_ = item.sequence + 1;
    return;
  }
  try {
    items_.push_back({item.event, path});
  } catch (const std::bad_alloc&) {
    while (!items_.empty()) pop(dropped);
    first_ = item.sequence + 1;
    return miss_one(item.sequence);
  }
  if (readers_) {
    for_each_that_wants(readers_->wants, item.event->type(), [&](Stream& stream) {
      if (path && stream.options_.own_level) return;
      if (stream.options_.holds) set_waiting(stream, stream.waiting_ + 1);
      arrive(stream, item.sequence);
    });
  }
  while (items_.size() > items_max() && items_.size() - items_max() > retained_max()) pop(dropped);
  trim(dropped);
}

void StreamLog::append_lifecycle(const Ref<Event>& event, uint64_t after, const Ref<EventPath>& path,
                                 EndedEvents& dropped, bool is_routed) noexcept {
  if (readers_->listeners == 0) return;
  auto kept = static_cast<bool>(event);
  try {
    if (kept) readers_->lifecycle.push_back({event, after, is_routed, path});
  } catch (const std::bad_alloc&) {
    kept = false;
  }
  if (!kept) {
    while (!readers_->lifecycle.empty()) pop_lifecycle(dropped);
    const uint64_t missed = readers_->lifecycle_first++;
    for (Stream* stream : readers_->subscribers) {
      if (stream->options_.listens()) arrive_lifecycle(*stream, missed);
    }
    return;
  }
  for_each_that_wants(is_routed ? readers_->routed_wants : readers_->lifecycle_wants, event->type(),
                      [&](Stream& stream) {
                        if (path && stream.options_.own_level) return;
                        if (stream.options_.holds) set_waiting(stream, stream.waiting_ + 1);
                        arrive_lifecycle(stream, lifecycle_end() - 1);
                      });
  while (readers_->lifecycle.size() > items_max()) pop_lifecycle(dropped);
}

bool StreamLog::has_item(const Stream& stream) const noexcept {
  return stream.cursor_.waits || stream.lifecycle_.waits;
}

// Both cursors, or behind what the stream does not want, as far as that is there. An item that is passed by
// is looked at once by each subscriber.
void StreamLog::stand_at(Stream& stream, uint64_t at, uint64_t lifecycle) noexcept {
  while (at >= first_ && at < end() &&
         !stream.wants(*items_[at - first_].event, items_[at - first_].path.get()))
    ++at;
  if (at < end()) {
    readers_->cursors.wait_at(stream.cursor_, at);
  } else {
    readers_->cursors.stand_at_end(stream.cursor_);
  }
  if (!stream.options_.listens()) return;
  while (lifecycle >= readers_->lifecycle_first && lifecycle < lifecycle_end() &&
         !stream.wants_unnumbered(lifecycle_at(lifecycle)))
    ++lifecycle;
  if (lifecycle < lifecycle_end()) {
    readers_->lifecycle_cursors.wait_at(stream.lifecycle_, lifecycle);
  } else {
    readers_->lifecycle_cursors.stand_at_end(stream.lifecycle_);
  }
}

void StreamLog::count_waiting(Stream& stream) noexcept {
  if (!stream.options_.holds) return;
  uint64_t waiting = 0;
  for (uint64_t i = std::max(stream.cursor_.at_or(end()), first_); i < end(); ++i)
    waiting += stream.wants(*items_[i - first_].event, items_[i - first_].path.get()) ? 1 : 0;
  if (stream.options_.listens()) {
    for (uint64_t i = std::max(stream.lifecycle_.at_or(lifecycle_end()), readers_->lifecycle_first);
         i < lifecycle_end(); ++i)
      waiting += stream.wants_unnumbered(lifecycle_at(i)) ? 1 : 0;
  }
  set_waiting(stream, waiting);
}

// One notice for all that is lost at this point, in both rows.
bool StreamLog::take_gap(Stream& stream, Item& gap) {
  const uint64_t at = stream.cursor_.at_or(end());
  const uint64_t floor = stream.cursor_.floor(first_, end());
  const uint64_t missed = at < floor ? floor - at : 0;
  const uint64_t lifecycle_at_first = stream.lifecycle_.at_or(lifecycle_end());
  uint64_t lifecycle = lifecycle_at_first;
  if (stream.options_.listens()) {
    lifecycle = std::max(lifecycle, stream.lifecycle_.floor(readers_->lifecycle_first, lifecycle_end()));
    // Lifecycle items from among the items that are lost.
    while (missed != 0 && lifecycle < lifecycle_end() && lifecycle_at(lifecycle).sequence + 1 < floor)
      ++lifecycle;
  }
  const uint64_t lifecycle_missed = lifecycle - lifecycle_at_first;
  if (missed == 0 && lifecycle_missed == 0) return false;
  std::string text = "{\"missed\":" + std::to_string(missed);
  if (lifecycle_missed != 0) text += ",\"lifecycle_missed\":" + std::to_string(lifecycle_missed);
  gap.event = Event::make(kStreamGap, Value::copy(Tag::json, text + "}"));
  gap.sequence = at + missed - 1;
  // The cursor of the numbered row may have passed what nobody wants here: the lifecycle items before that come yet.
  if (stream.options_.listens() && lifecycle < lifecycle_end())
    gap.sequence = std::min(gap.sequence, lifecycle_at(lifecycle).sequence);
  stand_at(stream, at + missed, lifecycle);
  count_waiting(stream);
  return true;
}

StreamLog::Item StreamLog::take(Stream& stream, EndedEvents& dropped) {
  const uint64_t at = stream.cursor_.at_or(end());
  const uint64_t lifecycle = stream.lifecycle_.at_or(lifecycle_end());
  const bool lifecycle_lost = stream.lifecycle_.waits &&
                              lifecycle < stream.lifecycle_.floor(readers_->lifecycle_first, lifecycle_end());
  const bool lifecycle_first =
      stream.lifecycle_.waits && !lifecycle_lost && lifecycle_at(lifecycle).sequence < at;
  Item item;
  if (lifecycle_first) {
    item = lifecycle_at(lifecycle);
    if (item.path) item.event = seen_from_outside(*item.event, item.path);
    stand_at(stream, at, lifecycle + 1);
  } else if (take_gap(stream, item)) {
    trim(dropped);
    return item;
  } else {
    const Entry& entry = items_[at - first_];
    item = {entry.path ? seen_from_outside(*entry.event, entry.path) : entry.event, at};
    stand_at(stream, at + 1, lifecycle);
  }
  if (stream.waiting_ > 0) set_waiting(stream, stream.waiting_ - 1);
  trim(dropped);
  return item;
}

void StreamLog::trim(EndedEvents& dropped) noexcept {
  const uint64_t retained = end() - std::min<uint64_t>(items_.size(), retained_max());
  const uint64_t needed = readers_ ? std::min(retained, readers_->cursors.needed(end())) : retained;
  while (!items_.empty() && first_ < needed) pop(dropped);
  if (!readers_) return;
  const uint64_t lifecycle_needed = readers_->lifecycle_cursors.needed(lifecycle_end());
  while (!readers_->lifecycle.empty() && readers_->lifecycle_first < lifecycle_needed) pop_lifecycle(dropped);
}

void StreamLog::pop(EndedEvents& dropped) noexcept {
  dropped.add(std::move(items_.front().event));
  items_.pop_front();
  ++first_;
}

void StreamLog::pop_lifecycle(EndedEvents& dropped) noexcept {
  dropped.add(std::move(readers_->lifecycle.front().event));
  readers_->lifecycle.pop_front();
  ++readers_->lifecycle_first;
}

bool Stream::wants(const Event& event, const EventPath* path) const noexcept {
  if (path != nullptr && options_.own_level) return false;
  return options_.types.empty() ||
         std::binary_search(options_.types.begin(), options_.types.end(), event.type(), std::less<>());
}

}  // namespace blazen
