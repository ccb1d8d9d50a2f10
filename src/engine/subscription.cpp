// A subscription: its items are taken, its callback comes, it ends.
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "base/scope.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"

namespace blazen {

Stream::Stream(Ref<Run> run, StreamOptions options) noexcept
    : Object(Kind::stream), run_(std::move(run)), options_(std::move(options)) {
  run_->hold();
}

void Stream::destroy(Stream* stream) noexcept {
  if (stream->run_->is_inherited()) return;
  stream->run_->close_stream(*stream, false);
  Ref<Run> run = std::move(stream->run_);
  delete stream;
  run->release_handle();
}

namespace {

// False: no memory, and it comes with the next call. must: it is all there is.
bool add_end(Stream::Item& item, uint64_t sequence, bool must) {
  try {
    item = Stream::Item{Event::make(kStreamEnd, Value::null()), sequence};
    return true;
  } catch (const std::bad_alloc&) {
    if (must) throw;
    return false;
  }
}

}  // namespace

Result<size_t> Run::take_items(Stream& stream, int64_t timeout_ms, std::span<Stream::Item> room) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  EndedEvents dropped;
  Notifications notifications;
  std::optional<EngineScope> scope;
  Guard guard(lock());
  const bool there = wait_until(guard, timeout_ms, true, [&](Locked locked) {
    return stream.closed_ || is_seen_ended(locked) || listeners_.stream->has_item(stream);
  });
  if (is_inherited()) return forked_here();
  if (!there) {
    const bool is_paused = seen_status(guard) == RunStatus::paused;
    guard.unlock();
    return Error::make(
        Status::timeout,
        is_paused ? "the run is paused, and no item was published: blazen_run_resume_in_place lets it go on"
                  : "the deadline passed before an item was published");
  }
  size_t taken = 0;
  try {
    while (taken < room.size() && !stream.closed_ && listeners_.stream->has_item(stream))
      room[taken++] = listeners_.stream->take(stream, dropped);
  } catch (const std::bad_alloc&) {
    if (taken == 0) throw;  // else the rest is there for the next call
  }
  const bool is_at_end = taken < room.size() &&
                         (stream.closed_ || (is_seen_ended(guard) && !listeners_.stream->has_item(stream)));
  const uint64_t last = state().stream_last;
  if (taken != 0 && state().held) {
    scope.emplace(*this);
    look_at_hold(guard, notifications);
  }
  guard.unlock();
  if (notifications.any()) notify(notifications);
  if (is_at_end && add_end(room[taken], last + 1, taken == 0)) ++taken;
  return taken;
}

// It may be among those that are woken, which look whether there is one.
bool Run::cancel_ready(Stream& stream) noexcept {
  EngineScope scope(*this);
  HostCallback callback;
  {
    Guard guard(lock());
    callback = std::exchange(stream.ready_, HostCallback{});
  }
  call_drop(callback.drop, callback.user_data);
  return callback.function != nullptr;
}

Ref<Error> Run::on_ready(Stream& stream, const HostCallback& callback) noexcept {
  EngineScope scope(*this);
  Guard guard(lock());
  if (stream.ready_.function != nullptr) {
    guard.unlock();
    call_drop(callback.drop, callback.user_data);
    return Error::make(Status::wrong_state, "this stream has a callback that was not called yet");
  }
  stream.ready_ = callback;
  Notifications notifications;
  collect_ready(guard, stream, notifications);
  guard.unlock();
  notify(notifications);
  return nullptr;
}

void Run::close_stream(Stream& stream, bool tells) noexcept {
  EndedEvents dropped;
  Guard guard(lock());
  if (!stream.closed_) {
    stream.closed_ = true;
    listeners_.stream->remove(&stream);
    listeners_.stream->trim(dropped);
    look_at_listeners(guard);
  }
  const HostCallback callback = std::exchange(stream.ready_, HostCallback{});
  // From inside its own callback there is nothing to wait for: that one is on this very thread.
  while (stream.calling_ != 0 && !EngineScope::inside()) {
    ++waiting_.sleepers;
    waiting_.changed.wait(guard, -1);
    waiting_.woke();
  }
  if (waiting_.sleepers > 0) waiting_.changed.wake_all();
  Notifications notifications;
  std::optional<EngineScope> scope;
  if (state().held || callback.function != nullptr) scope.emplace(*this);
  look_at_hold(guard, notifications);
  guard.unlock();
  if (notifications.any()) notify(notifications);
  if (callback.function == nullptr) return;
  if (tells) tell_log_threw(runtime_->calls().ready(callback));
  call_drop(callback.drop, callback.user_data);
}

}  // namespace blazen
