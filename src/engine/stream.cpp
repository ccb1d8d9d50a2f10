#include "engine/stream.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/run.hpp"
#include "engine/scope.hpp"

namespace blazen {

// ------------------------------------------------------------------------------------------------------ the
// log

void StreamLog::add(Stream* stream, uint64_t next_sequence) {
  if (subscribers_.empty()) {
    items_.clear();
    first_ = next_sequence;
  }
  subscribers_.push_back(stream);
}

void StreamLog::remove(Stream* stream) noexcept {
  subscribers_.erase(std::remove(subscribers_.begin(), subscribers_.end(), stream), subscribers_.end());
}

void StreamLog::append(const Published& item, std::vector<Ref<Event>>& dropped) noexcept {
  try {
    items_.push_back(item.event);
  } catch (const std::bad_alloc&) {
    while (!items_.empty()) pop(dropped);
    first_ = item.sequence + 1;
    return;
  }
  while (items_.size() > items_max_) pop(dropped);
}

const Ref<Event>* StreamLog::find(uint64_t sequence) const noexcept {
  const uint64_t index = sequence - first_;
  return index < items_.size() ? &items_[index] : nullptr;
}

void StreamLog::trim(std::vector<Ref<Event>>& dropped) noexcept {
  if (items_.empty()) return;
  uint64_t taken = UINT64_MAX;
  for (const Stream* stream : subscribers_) taken = std::min(taken, stream->cursor_);
  while (!items_.empty() && first_ < taken) pop(dropped);
}

// Without memory for the list, the event goes at once: under the lock, which a value of the host may not
// like, but exactly once.
void StreamLog::pop(std::vector<Ref<Event>>& dropped) noexcept {
  try {
    dropped.reserve(dropped.size() + 1);
    dropped.push_back(std::move(items_.front()));
  } catch (const std::bad_alloc&) {
    items_.front().reset();
  }
  items_.pop_front();
  ++first_;
}

// --------------------------------------------------------------------------------------------- a
// subscription

Stream::Stream(Ref<Run> run) noexcept : Object(Kind::stream), run_(std::move(run)) { run_->hold(); }

void Stream::destroy(Stream* stream) noexcept {
  stream->close();
  Ref<Run> run = std::move(stream->run_);
  delete stream;
  run->release_handle();
}

Result<Stream::Item> Stream::next(int64_t timeout_ms) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  Run& run = *run_;
  std::vector<Ref<Event>> dropped;
  Guard guard(run.lock_);
  const bool there = run.wait_until(guard, timeout_ms, [this] {
    return closed_ || has_ended(run_->state_) || run_->state_.stream_last >= cursor_;
  });
  if (!there) {
    return Error::make(Status::timeout, "the deadline passed before an item was published");
  }
  const uint64_t last = run.state_.stream_last;
  if (closed_ || cursor_ > last) {
    guard.unlock();
    return Item{Event::make(kStreamEnd, Value::null()), last + 1};
  }
  if (cursor_ < run.stream_->first()) {
    const uint64_t missed = run.stream_->first() - cursor_;
    Ref<Event> gap =
        Event::make(kStreamGap, Value::copy(Tag::json, "{\"missed\":" + std::to_string(missed) + "}"));
    cursor_ += missed;
    return Item{std::move(gap), cursor_ - 1};
  }
  Item item{*run.stream_->find(cursor_), cursor_};
  ++cursor_;
  run.stream_->trim(dropped);
  guard.unlock();
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

void Stream::close() noexcept {
  Run& run = *run_;
  std::vector<Ref<Event>> dropped;
  Guard guard(run.lock_);
  if (!closed_) {
    closed_ = true;
    run.stream_->remove(this);
    run.stream_->trim(dropped);
  }
  const HostCallback callback = std::exchange(ready_, HostCallback{});
  // From inside its own callback there is nothing to wait for: that one is on this very thread.
  while (calling_ != 0 && !EngineScope::inside()) {
    ++run.waiters_;
    run.changed_.wait(guard, -1);
    --run.waiters_;
  }
  if (run.waiters_ > 0) run.changed_.wake_all();
  guard.unlock();
  if (callback.function != nullptr) {
    EngineScope scope(run);
    call_drop(callback.drop, callback.user_data);
  }
}

}  // namespace blazen
