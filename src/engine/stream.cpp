#include "engine/stream.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/scope.hpp"

namespace blazen {

// ------------------------------------------------------------------------------------------------- the log

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
    enter(wants_, stream.wants_);
    if (stream.options_.lifecycle) enter(news_wants_, stream.news_wants_);
  } catch (...) {
    leave_wants(stream);
    throw;
  }
}

void StreamLog::leave_wants(Stream& stream) noexcept {
  for (const Wants::iterator at : std::exchange(stream.wants_, {})) wants_.erase(at);
  for (const Wants::iterator at : std::exchange(stream.news_wants_, {})) news_wants_.erase(at);
}

void StreamLog::add(Stream* stream, uint64_t from) {
  Cursors::make(stream->cursor_);
  Cursors::make(stream->news_);
  if (subscribers_.size() == subscribers_.capacity()) subscribers_.reserve(subscribers_.size() * 2 + 1);
  enter_wants(*stream);
  stream->place_ = subscribers_.size();
  subscribers_.push_back(stream);
  const StreamOptions& options = stream->options_;
  stream->cursor_.bound = stream->news_.bound = options.holds ? items_max_ : options.capacity;
  stream->cursor_.since = end();
  listeners_ += options.lifecycle ? 1 : 0;
  holders_ += options.holds ? 1 : 0;
  stand_at(*stream, from == 0 ? end() : from, news_end());
  count_waiting(*stream);
}

void StreamLog::remove(Stream* stream) noexcept {
  set_waiting(*stream, 0);
  cursors_.rest(stream->cursor_);
  news_cursors_.rest(stream->news_);
  leave_wants(*stream);
  Stream* last = subscribers_.back();
  subscribers_[stream->place_] = last;
  last->place_ = stream->place_;
  subscribers_.pop_back();
  listeners_ -= stream->options_.lifecycle ? 1 : 0;
  holders_ -= stream->options_.holds ? 1 : 0;
}

void StreamLog::wake(Stream& stream) noexcept {
  if (stream.ready_.function == nullptr || std::exchange(stream.is_woken_, true)) return;
  stream.next_woken_ = std::exchange(woken_, &stream);
}

Stream* StreamLog::take_woken() noexcept {
  Stream* stream = woken_;
  if (stream == nullptr) return nullptr;
  woken_ = stream->next_woken_;
  stream->is_woken_ = false;
  return stream;
}

void StreamLog::arrive(Stream& stream, uint64_t at) noexcept {
  if (!stream.cursor_.waits) cursors_.wait_at(stream.cursor_, at);
  wake(stream);
}

void StreamLog::arrive_news(Stream& stream, uint64_t at) noexcept {
  if (!stream.news_.waits) news_cursors_.wait_at(stream.news_, at);
  wake(stream);
}

void StreamLog::set_waiting(Stream& stream, uint64_t waiting) noexcept {
  holding_ -= stream.holds() ? 1 : 0;
  stream.waiting_ = waiting;
  holding_ += stream.holds() ? 1 : 0;
}

// Memory did not suffice for an item: all have lost it.
void StreamLog::miss_one(uint64_t sequence) noexcept {
  for (Stream* stream : subscribers_) arrive(*stream, sequence);
}

void StreamLog::append(const Published& item, EndedEvents& dropped) noexcept {
  if (retained_ == 0 && subscribers_.empty()) {
    first_ = item.sequence + 1;
    return;
  }
  try {
    items_.push_back(item.event);
  } catch (const std::bad_alloc&) {
    while (!items_.empty()) pop(dropped);
    first_ = item.sequence + 1;
    return miss_one(item.sequence);
  }
  for_each_that_wants(wants_, item.event->type(), [&](Stream& stream) {
    if (stream.options_.holds) set_waiting(stream, stream.waiting_ + 1);
    arrive(stream, item.sequence);
  });
  while (items_.size() > total_max_) pop(dropped);
  trim(dropped);
}

void StreamLog::append_news(const Ref<Event>& event, uint64_t after, EndedEvents& dropped) noexcept {
  if (listeners_ == 0) return;
  auto kept = static_cast<bool>(event);
  try {
    if (kept) news_.push_back({event, after});
  } catch (const std::bad_alloc&) {
    kept = false;
  }
  if (!kept) {
    while (!news_.empty()) pop_news(dropped);
    const uint64_t missed = news_first_++;
    for (Stream* stream : subscribers_) {
      if (stream->options_.lifecycle) arrive_news(*stream, missed);
    }
    return;
  }
  for_each_that_wants(news_wants_, event->type(), [&](Stream& stream) {
    if (stream.options_.holds) set_waiting(stream, stream.waiting_ + 1);
    arrive_news(stream, news_end() - 1);
  });
  while (news_.size() > items_max_) pop_news(dropped);
}

bool StreamLog::has_item(const Stream& stream) const noexcept {
  return stream.cursor_.waits || stream.news_.waits;
}

// Both cursors, or behind what the stream does not want, as far as that is there. An item that is passed by
// is looked at once by each subscriber.
void StreamLog::stand_at(Stream& stream, uint64_t at, uint64_t news) noexcept {
  while (at >= first_ && at < end() && !stream.wants(*items_[at - first_])) ++at;
  if (at < end()) {
    cursors_.wait_at(stream.cursor_, at);
  } else {
    cursors_.rest(stream.cursor_);
  }
  if (!stream.options_.lifecycle) return;
  while (news >= news_first_ && news < news_end() && !stream.wants(*news_at(news).event)) ++news;
  if (news < news_end()) {
    news_cursors_.wait_at(stream.news_, news);
  } else {
    news_cursors_.rest(stream.news_);
  }
}

void StreamLog::count_waiting(Stream& stream) noexcept {
  if (!stream.options_.holds) return;
  uint64_t waiting = 0;
  for (uint64_t i = std::max(stream.cursor_.at_or(end()), first_); i < end(); ++i)
    waiting += stream.wants(*items_[i - first_]) ? 1 : 0;
  if (stream.options_.lifecycle) {
    for (uint64_t i = std::max(stream.news_.at_or(news_end()), news_first_); i < news_end(); ++i)
      waiting += stream.wants(*news_at(i).event) ? 1 : 0;
  }
  set_waiting(stream, waiting);
}

// One notice for all that is lost at this point, in both rows.
bool StreamLog::take_gap(Stream& stream, Item& gap) {
  const uint64_t at = stream.cursor_.at_or(end());
  const uint64_t floor = stream.cursor_.floor(first_, end());
  const uint64_t missed = at < floor ? floor - at : 0;
  const uint64_t news_at_first = stream.news_.at_or(news_end());
  uint64_t news = news_at_first;
  if (stream.options_.lifecycle) {
    news = std::max(news, stream.news_.floor(news_first_, news_end()));
    // News from among the items that are lost.
    while (missed != 0 && news < news_end() && news_at(news).sequence + 1 < floor) ++news;
  }
  const uint64_t news_missed = news - news_at_first;
  if (missed == 0 && news_missed == 0) return false;
  std::string text = "{\"missed\":" + std::to_string(missed);
  if (news_missed != 0) text += ",\"lifecycle_missed\":" + std::to_string(news_missed);
  gap.event = Event::make(kStreamGap, Value::copy(Tag::json, text + "}"));
  gap.sequence = at + missed - 1;
  stand_at(stream, at + missed, news);
  count_waiting(stream);
  return true;
}

StreamLog::Item StreamLog::take(Stream& stream, EndedEvents& dropped) {
  const uint64_t at = stream.cursor_.at_or(end());
  const uint64_t news = stream.news_.at_or(news_end());
  const bool news_lost = stream.news_.waits && news < stream.news_.floor(news_first_, news_end());
  const bool news_first = stream.news_.waits && !news_lost && news_at(news).sequence < at;
  Item item;
  if (news_first) {
    item = news_at(news);
    stand_at(stream, at, news + 1);
  } else if (take_gap(stream, item)) {
    trim(dropped);
    return item;
  } else {
    item = {items_[at - first_], at};
    stand_at(stream, at + 1, news);
  }
  if (stream.waiting_ > 0) set_waiting(stream, stream.waiting_ - 1);
  trim(dropped);
  return item;
}

void StreamLog::trim(EndedEvents& dropped) noexcept {
  const uint64_t retained = end() - std::min<uint64_t>(items_.size(), retained_);
  const uint64_t needed = std::min(retained, cursors_.needed(end()));
  const uint64_t news_needed = news_cursors_.needed(news_end());
  while (!items_.empty() && first_ < needed) pop(dropped);
  while (!news_.empty() && news_first_ < news_needed) pop_news(dropped);
}

void StreamLog::pop(EndedEvents& dropped) noexcept {
  dropped.add(std::move(items_.front()));
  items_.pop_front();
  ++first_;
}

void StreamLog::pop_news(EndedEvents& dropped) noexcept {
  dropped.add(std::move(news_.front().event));
  news_.pop_front();
  ++news_first_;
}

// ------------------------------------------------------------------------------------------ a subscription

Stream::Stream(Ref<Run> run, StreamOptions options) noexcept
    : Object(Kind::stream), run_(std::move(run)), options_(std::move(options)) {
  run_->hold();
}

void Stream::destroy(Stream* stream) noexcept {
  if (stream->run_->is_inherited()) return;
  stream->close(false);
  Ref<Run> run = std::move(stream->run_);
  delete stream;
  run->release_handle();
}

bool Stream::wants(const Event& event) const noexcept {
  return options_.types.empty() ||
         std::binary_search(options_.types.begin(), options_.types.end(), event.type(), std::less<>());
}

Result<Stream::Item> Stream::next(int64_t timeout_ms) {
  Item item;
  Result<size_t> taken = take(timeout_ms, {&item, 1});
  if (!taken) return taken.error();
  return item;
}

Result<size_t> Stream::take(int64_t timeout_ms, std::span<Item> room) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  Run& run = *run_;
  EndedEvents dropped;
  Run::Notices notices;
  std::optional<EngineScope> scope;
  Guard guard(run.lock_);
  const bool there = run.wait_until(guard, timeout_ms, true, [&] {
    return closed_ || has_ended(run.state_) || run.stream_->has_item(*this);
  });
  if (run.is_inherited()) return forked_here();
  if (!there) {
    const bool is_paused = status_of(run.state_) == RunStatus::paused;
    guard.unlock();
    return Error::make(
        Status::timeout,
        is_paused ? "the run is paused, and no item was published: blazen_run_resume_in_place lets it go on"
                  : "the deadline passed before an item was published");
  }
  size_t taken = 0;
  try {
    while (taken < room.size() && !closed_ && run.stream_->has_item(*this))
      room[taken++] = run.stream_->take(*this, dropped);
  } catch (const std::bad_alloc&) {
    if (taken == 0) throw;  // else the rest is there for the next call
  }
  const bool is_at_end =
      taken < room.size() && (closed_ || (has_ended(run.state_) && !run.stream_->has_item(*this)));
  const uint64_t last = run.state_.stream_last;
  if (taken != 0 && run.state_.held) {
    scope.emplace(run);
    run.look_at_hold(notices);
  }
  guard.unlock();
  if (notices.any()) run.notify(notices);
  if (is_at_end && add_end(room[taken], last + 1, taken == 0)) ++taken;
  return taken;
}

// False: no memory, and it comes with the next call. must: it is all there is.
bool Stream::add_end(Item& item, uint64_t sequence, bool must) {
  try {
    item = Item{Event::make(kStreamEnd, Value::null()), sequence};
    return true;
  } catch (const std::bad_alloc&) {
    if (must) throw;
    return false;
  }
}

Ref<Error> Stream::on_ready(const HostCallback& callback) noexcept {
  Run& run = *run_;
  EngineScope scope(run);
  Guard guard(run.lock_);
  if (ready_.function != nullptr) {
    guard.unlock();
    call_drop(callback.drop, callback.user_data);
    return Error::make(Status::wrong_state, "this stream has a callback that was not called yet");
  }
  ready_ = callback;
  Run::Notices notices;
  run.collect_ready(*this, notices);
  guard.unlock();
  run.notify(notices);
  return nullptr;
}

// It may be among those that are woken, which look whether there is one.
bool Stream::cancel_ready() noexcept {
  EngineScope scope(*run_);
  HostCallback callback;
  {
    Guard guard(run_->lock_);
    callback = std::exchange(ready_, HostCallback{});
  }
  call_drop(callback.drop, callback.user_data);
  return callback.function != nullptr;
}

void Stream::close(bool tells) noexcept {
  Run& run = *run_;
  EndedEvents dropped;
  Guard guard(run.lock_);
  if (!closed_) {
    closed_ = true;
    run.stream_->remove(this);
    run.stream_->trim(dropped);
    run.look_at_listeners();
  }
  const HostCallback callback = std::exchange(ready_, HostCallback{});
  // From inside its own callback there is nothing to wait for: that one is on this very thread.
  while (calling_ != 0 && !EngineScope::inside()) {
    ++run.waiters_;
    run.changed_.wait(guard, -1);
    --run.waiters_;
  }
  if (run.waiters_ > 0) run.changed_.wake_all();
  Run::Notices notices;
  std::optional<EngineScope> scope;
  if (run.state_.held || callback.function != nullptr) scope.emplace(run);
  run.look_at_hold(notices);
  guard.unlock();
  if (notices.any()) run.notify(notices);
  if (callback.function == nullptr) return;
  if (tells) run.tell_log_threw(run.runtime_->calls().ready(callback));
  call_drop(callback.drop, callback.user_data);
}

}  // namespace blazen
