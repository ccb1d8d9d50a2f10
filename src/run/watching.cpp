// The report of a tick, for a run that somebody watches.
#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "base/growth.hpp"
#include "run/rooms.hpp"

namespace blazen {
namespace {

// While it lives, a tick makes no report.
class Unwatched {
 public:
  explicit Unwatched(RunState& state) noexcept : state_(state) { state_.watched = false; }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
  ~Unwatched() { state_.watched = true; }

 private:
  RunState& state_;
};

// Whether it goes to the stream when its moment has come.
bool is_published_later(const RunState& state, const Output& output) noexcept {
  if (output.delay_ms == 0) return false;
  if (output.type == kInputRequestType) return true;
  return state.workflow->policy().unhandled == Unhandled::stream && output.target == kNoStep &&
         (output.type == kUnknownType ||
          (!is_routed_by_engine(output.type) && state.workflow->acceptors(output.type).empty()));
}

// As those get it who want to see every event: a StopEvent loses its value when it ends the run.
Ref<Event> shown(const RunState& state, const Output& output) {
  if (is_published_later(state, output)) return nullptr;
  if (output.type != kStopType) return output.event;
  const Event& event = *output.event;
  return Event::make(event.type(), event.value(), event.source(), event.correlation());
}

// What the tick has published as well comes to everybody by that, once, and what is behind it comes after it.
void hide_published(std::span<LifecycleRecord> routed, std::span<const Published> published) noexcept {
  if (routed.empty()) return;
  size_t next = 0;
  uint64_t after = routed.front().after;
  for (LifecycleRecord& record : routed) {
    while (next < published.size() && published[next].event->type() == kLifecycle)
      after = published[next++].sequence;
    record.after = after;
    if (record.shows) record.shows->id = record.event->id;
    if (next == published.size() || published[next].event.get() != record.event.get()) continue;
    record.shows.reset();
    after = published[next++].sequence;
  }
}

// Behind the events that were routed, with room for as many others.
void put_late(const RunState& state, Commands& commands, size_t others) noexcept {
  std::vector<LifecycleRecord>& lifecycle = commands.cold().lifecycle;
  std::vector<LifecycleRecord>& late = commands.cold().late;
  try {
    reserve_more(lifecycle, late.size() + others);
    for (LifecycleRecord& record : late) {
      record.after = top_of(state).stream_last;
      lifecycle.push_back(std::move(record));
    }
  } catch (const std::bad_alloc&) {
    commands.unreported = true;
  }
  late.clear();
}

}  // namespace

// The same as reduce, with a report. What a tick did is seen from outside of it, so that nobody pays who does
// not listen: the number of events that it routed, the invocation that it ended, the one that it started.
[[gnu::noinline]] void reduce_watched(RunState& state, Tick& tick, Commands& commands) {
  const Unwatched unwatched(state);
  constexpr size_t kOthers = 4;  // that a tick reports beside the events it routes
  std::vector<LifecycleRecord>& lifecycle = commands.cold().lifecycle;
  const size_t before = lifecycle.size();
  const uint64_t events_before = state.event_id_last;
  const uint64_t after = top_of(state).stream_last;
  const RunStatus status_before = state.last_status;
  const Pause pause_before = state.pause;
  const size_t published_before = commands.cold().published.size();
  std::vector<LifecycleRecord> events;
  try {
    lifecycle.reserve(before + tick.outputs.size() + kOthers);
    events.reserve(tick.outputs.size());
    for (const Output& output : tick.outputs) {
      events.push_back({LifecycleRecord::Kind::event_routed, after, output.target, 0, 0, -1, output.event,
                        shown(state, output), nullptr});
    }
  } catch (const std::bad_alloc&) {  // a tick that cannot fail does not fail for its report either
    reduce(state, tick, commands);
    commands.unreported = true;
    commands.more = true;
    return;
  }
  const bool completes = tick.kind == Tick::Kind::complete;
  const bool fails = tick.kind == Tick::Kind::fail || tick.kind == Tick::Kind::cancel;
  if (completes || fails) {
    const Invocation& ended = *tick.invocation;
    lifecycle.push_back(
        {completes ? LifecycleRecord::Kind::step_completed : LifecycleRecord::Kind::step_failed, after,
         ended.step, ended.id, ended.attempt, tick.duration_ms, ended.event, nullptr, tick.error});
  }
  Invocation*& start = commands.started;  // if it is cancelled by this tick, none
  start = std::exchange(commands.start, nullptr);
  commands.reports = true;
  try {
    reduce(state, tick, commands);
    commands.reports = false;
  } catch (const std::bad_alloc&) {
    commands.reports = false;
    commands.start = std::exchange(start, nullptr);
    lifecycle.resize(before);
    throw;
  }
  // Those that were not routed after all: refused, repeated, or behind the StopEvent.
  events.resize(std::min<uint64_t>(events.size(), state.event_id_last - events_before));
  const std::vector<Published>& published = commands.cold().published;
  hide_published(events, std::span(published).subspan(std::min(published_before, published.size())));
  for (LifecycleRecord& event : events) lifecycle.push_back(std::move(event));
  if (!commands.cold().late.empty()) put_late(state, commands, kOthers);
  if (completes && tick.commits && commands.status != Status::ok) {
    lifecycle.resize(before);  // of an atomic step: it has not completed, but will fail
    return;
  }
  const auto note = [&](LifecycleRecord::Kind kind, const Invocation* item) {  // reserved
    lifecycle.push_back({kind, top_of(state).stream_last, item == nullptr ? kNoStep : item->step,
                         item == nullptr ? 0 : item->id, item == nullptr ? 0 : item->attempt, -1,
                         item == nullptr ? nullptr : item->event, nullptr, nullptr});
  };
  if (fails && tick.invocation->place == Place::backing_off)
    note(LifecycleRecord::Kind::step_retrying, tick.invocation);
  const bool is_top = !is_child(state);  // a pause is that of the whole tree
  if (is_top && status_before != RunStatus::paused && state.last_status == RunStatus::paused)
    note(LifecycleRecord::Kind::run_paused, nullptr);
  if (is_top && pause_before != Pause::none && state.pause == Pause::none && !has_ended(state))
    note(LifecycleRecord::Kind::run_resumed, nullptr);
  Invocation* const begun = std::exchange(start, nullptr);
  if (commands.start == nullptr) {
    commands.start = begun;
  } else {
    note(LifecycleRecord::Kind::step_started, commands.start);
  }
  if (lifecycle.size() != before) commands.more = true;
}

}  // namespace blazen
