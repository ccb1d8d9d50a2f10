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

bool StreamLog::holds() const noexcept {
  if (holders_ == 0) return false;
  return std::any_of(subscribers_.begin(), subscribers_.end(), [](const Stream* stream) {
    return stream->options_.holds && stream->waiting_ >= stream->options_.capacity;
  });
}

void StreamLog::add(Stream* stream, uint64_t from) {
  subscribers_.push_back(stream);
  stream->cursor_ = from == 0 ? end() : from;
  stream->joined_ = end() - 1;
  stream->news_ = news_end();
  skip_unwanted(*stream);
  count_waiting(*stream);
  listeners_ += stream->options_.lifecycle ? 1 : 0;
  holders_ += stream->options_.holds ? 1 : 0;
}

void StreamLog::remove(Stream* stream) noexcept {
  subscribers_.erase(std::remove(subscribers_.begin(), subscribers_.end(), stream), subscribers_.end());
  listeners_ -= stream->options_.lifecycle ? 1 : 0;
  holders_ -= stream->options_.holds ? 1 : 0;
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
    return;
  }
  for (Stream* stream : subscribers_) {
    const bool wanted = stream->wants(*item.event);
    stream->waiting_ += wanted ? 1 : 0;
    if (!wanted && stream->cursor_ == item.sequence) ++stream->cursor_;
  }
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
    ++news_first_;
    return;
  }
  for (Stream* stream : subscribers_) {
    if (!stream->options_.lifecycle) continue;
    const bool wanted = stream->wants(*event);
    stream->waiting_ += wanted ? 1 : 0;
    if (!wanted && stream->news_ + 1 == news_end()) ++stream->news_;
  }
  while (news_.size() > items_max_) pop_news(dropped);
}

bool StreamLog::has_item(const Stream& stream) const noexcept {
  return stream.cursor_ < end() || (stream.options_.lifecycle && stream.news_ < news_end());
}

// What was there when it came does not count: that is bounded by what is retained.
uint64_t StreamLog::floor_of(const Stream& stream) const noexcept {
  const uint64_t bound = stream.options_.holds ? items_max_ : stream.options_.capacity;
  const uint64_t last = end() - 1;
  const uint64_t taken = std::max(stream.cursor_ - 1, stream.joined_);
  return last > taken && last - taken > bound ? last + 1 - bound : first_;
}

uint64_t StreamLog::news_floor_of(const Stream& stream) const noexcept {
  const uint64_t bound = stream.options_.holds ? items_max_ : stream.options_.capacity;
  return news_.size() > bound ? news_end() - bound : news_first_;
}

void StreamLog::skip_unwanted(Stream& stream) const noexcept {
  if (stream.options_.types.empty()) return;
  while (stream.cursor_ >= first_ && stream.cursor_ < end() &&
         !stream.wants(*items_[stream.cursor_ - first_])) {
    ++stream.cursor_;
  }
  if (!stream.options_.lifecycle) return;
  while (stream.news_ >= news_first_ && stream.news_ < news_end() &&
         !stream.wants(*news_at(stream.news_).event)) {
    ++stream.news_;
  }
}

void StreamLog::count_waiting(Stream& stream) const noexcept {
  if (!stream.options_.holds) return;
  stream.waiting_ = 0;
  for (uint64_t i = std::max(stream.cursor_, first_); i < end(); ++i)
    stream.waiting_ += stream.wants(*items_[i - first_]) ? 1 : 0;
  if (!stream.options_.lifecycle) return;
  for (uint64_t i = std::max(stream.news_, news_first_); i < news_end(); ++i)
    stream.waiting_ += stream.wants(*news_at(i).event) ? 1 : 0;
}

// One notice for all that is lost at this point, in both rows.
bool StreamLog::take_gap(Stream& stream, Item& gap) const {
  const uint64_t floor = std::max(floor_of(stream), first_);
  const uint64_t missed = stream.cursor_ < floor ? floor - stream.cursor_ : 0;
  uint64_t news = stream.news_;
  if (stream.options_.lifecycle) {
    news = std::max(news, news_floor_of(stream));
    // News from among the items that are lost.
    while (missed != 0 && news < news_end() && news_at(news).sequence + 1 < floor) ++news;
  }
  const uint64_t news_missed = news - stream.news_;
  if (missed == 0 && news_missed == 0) return false;
  std::string text = "{\"missed\":" + std::to_string(missed);
  if (news_missed != 0) text += ",\"lifecycle_missed\":" + std::to_string(news_missed);
  gap.event = Event::make(kStreamGap, Value::copy(Tag::json, text + "}"));
  stream.cursor_ += missed;
  stream.news_ = news;
  gap.sequence = stream.cursor_ - 1;
  skip_unwanted(stream);
  count_waiting(stream);
  return true;
}

StreamLog::Item StreamLog::take(Stream& stream, EndedEvents& dropped) {
  const bool news_lost = stream.options_.lifecycle && stream.news_ < news_floor_of(stream);
  const bool news_first = stream.options_.lifecycle && !news_lost && stream.news_ < news_end() &&
                          news_at(stream.news_).sequence < stream.cursor_;
  Item item;
  if (news_first) {
    item = news_at(stream.news_);
    ++stream.news_;
  } else if (take_gap(stream, item)) {
    trim(dropped);
    return item;
  } else {
    item = {items_[stream.cursor_ - first_], stream.cursor_};
    ++stream.cursor_;
  }
  if (stream.waiting_ > 0) --stream.waiting_;
  skip_unwanted(stream);
  trim(dropped);
  return item;
}

void StreamLog::trim(EndedEvents& dropped) noexcept {
  uint64_t needed = end() - std::min<uint64_t>(items_.size(), retained_);
  uint64_t news_needed = news_end();
  for (const Stream* stream : subscribers_) {
    needed = std::min(needed, std::max(stream->cursor_, floor_of(*stream)));
    if (stream->options_.lifecycle)
      news_needed = std::min(news_needed, std::max(stream->news_, news_floor_of(*stream)));
  }
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
  if (closed_ || !run.stream_->has_item(*this)) {
    const uint64_t last = run.state_.stream_last;
    guard.unlock();
    return Item{Event::make(kStreamEnd, Value::null()), last + 1};
  }
  Item item = run.stream_->take(*this, dropped);
  if (run.state_.held) {
    scope.emplace(run);
    run.look_at_hold(notices);
  }
  guard.unlock();
  if (notices.any()) run.notify(notices);
  return item;
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
