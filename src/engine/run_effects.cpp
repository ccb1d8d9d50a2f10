// What follows from a tick: under the lock, what it published goes to the stream, and who has to be called is
// noted; without it, they are called.
#include <algorithm>
#include <new>
#include <utility>

#include "base/scope.hpp"
#include "engine/commits.hpp"
#include "engine/lifecycle.hpp"
#include "engine/run.hpp"

namespace blazen {

bool Run::tick(Locked locked, Tick& tick, Commands& commands, Notifications& notifications) noexcept {
  if (!apply_tick(locked, tick, commands, notifications)) return false;
  if (seats_) [[unlikely]]
    settle_pools(locked, tick.dispatches_next, commands, notifications);
  return true;
}

inline bool Run::apply_tick(Locked locked, Tick& tick, Commands& commands,
                            Notifications& notifications) noexcept {
  const bool is_recorded = commits_ != nullptr || (kinship() != nullptr && this->is_recorded());
  if (is_recorded && !reserve_record(locked, tick)) [[unlikely]]
    return false;
  try {
    locked_state_.apply(locked, tick, commands);
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (is_recorded) [[unlikely]]
    record(locked, commands);
  after_tick(locked, commands, notifications);
  return true;
}

inline void Run::after_tick(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  if (commands.more) release_effects(locked, commands, notifications);
  if (kinship() != nullptr) [[unlikely]]
    note_in_tree(locked);
  if (waiting_.helpers != 0) [[unlikely]]
    wake_helpers(locked);
}

// Those who would start what can be started now, or would look after a while whether others have.
[[gnu::noinline]] void Run::wake_helpers(Locked locked) noexcept {
  const Run* next = next_of_tree(locked);
  if (next == nullptr || (bodies_.shares_work && bodies_.helpers_know && !next->next_is_quick(locked)))
    return;
  bodies_.helpers_know = true;
  waiting_.changed.wake_all();
}

[[gnu::noinline]] void Run::release_effects(Locked locked, Commands& commands,
                                            Notifications& notifications) noexcept {
  if (is_recorded()) [[unlikely]]
    return hold_effects(locked, commands, notifications);
  if (std::exchange(commands.clock, false) && life_.started) set_clock(locked, commands, notifications);
  const bool settled = commands.settled;
  follow(locked, commands, notifications);
  show(locked, commands, notifications);
  if (settled && has_parent()) tell_parent(locked, notifications);
}

// The clock of the run stops, or goes on.
void Run::set_clock(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  Tick time{Tick::Kind::time};
  time.now_ms = clock_should_run(status_of(state())) ? begin_ms() : now_ms();
  time.date_ms = date_ms();
  time.slack_ms = slack_ms();
  tick(locked, time, commands, notifications);
}

// What this process has to know at once, and who is called because of a question.
inline void Run::follow(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  if (commands.has_cold() && !commands.cold().cancelled.empty())
    abandon_cancelled(locked, commands, notifications);
  if (commands.asked) hand_out_requests(locked, notifications);
  if (const Invocation* answered = std::exchange(commands.answered, nullptr))
    hand_over_answer(locked, *answered, notifications);
  if (state().kin && !state().kin->left.empty()) cut_off_left(locked, notifications);
  if (life_.started && !has_ended(state())) rearm(locked, notifications);
}

// What others see: the stream, the status, the end. They see the top alone.
inline void Run::show(Locked locked, Commands& commands, Notifications& notifications) noexcept {
  Run& top = this->top();
  const bool appended =
      commands.unreported || (commands.has_cold() && (commands.appended < commands.cold().published.size() ||
                                                      commands.reported < commands.cold().lifecycle.size()));
  const bool is_seen = commands.settled || appended;
  if (appended) {
    top.append_to_streams(locked, commands, *this);
    top.look_at_hold(locked, notifications);
  }
  if (commands.settled && &top != this) {
    if (has_ended(state())) {
      life_.ended.store(true, std::memory_order_release);
      keep_bodies(locked, notifications);
    }
  } else if (commands.settled) {
    notifications.more = true;
    notifications.status = seen_status(locked);
    notifications.ended = is_seen_ended(locked);
    if (notifications.ended) life_.ended.store(true, std::memory_order_release);
    if (!listeners_.done.empty()) collect_done(locked, notifications);
    if (notifications.ended && bodies_.listed != nullptr) notifications.cancels = true;
    if (notifications.ended) keep_bodies(locked, notifications);
  }
  if (!is_seen) {
    // A body of a paused run is back: was it the last one that a wait had hopes of?
    if (top.waiting_.sleepers != 0 && state().last_status == RunStatus::paused)
      top.waiting_.changed.wake_all();
    return;
  }
  top.collect_ready(locked, notifications);
  if (top.waiting_.sleepers != 0) top.waiting_.changed.wake_all();
}

// Both rows, each lifecycle item in its place among what was published. from: this, or a run inside it.
void Run::append_to_streams(Locked, Commands& commands, const Run& from) noexcept {
  Commands::Cold& cold = commands.cold();
  const Ref<EventPath> path = from.path();
  if (!listeners_.stream) {
    const Limits& limits = workflow().policy().limits;
    try {
      if (limits.stream_retained != 0 && commands.appended < cold.published.size())
        listeners_.stream = std::make_unique<StreamLog>(limits, cold.published[commands.appended].sequence);
    } catch (const std::bad_alloc&) {
      listeners_.stream.reset();  // these are not retained, and later ones may be
    }
  }
  if (listeners_.stream) {
    for (size_t i = commands.appended; i < cold.published.size(); ++i)
      listeners_.stream->append(cold.published[i], path, cold.dropped_events);
  }
  commands.appended = cold.published.size();
  if (state().watched) {
    for (size_t i = commands.reported; i < cold.lifecycle.size(); ++i) {
      const LifecycleRecord& record = cold.lifecycle[i];
      if (record.shows && listeners_.stream->shows_routed())
        listeners_.stream->append_lifecycle(record.shows, record.after, path, cold.dropped_events, true);
      if (!listeners_.stream->shows_lifecycle()) continue;
      Ref<Event> item;
      try {
        item = make_lifecycle(record, from.workflow());
      } catch (const std::bad_alloc&) {
        item.reset();  // missed, and the listeners are told
      }
      listeners_.stream->append_lifecycle(item, record.after, path, cold.dropped_events);
    }
    // Behind what was reported: the row never goes back.
    if (std::exchange(commands.unreported, false))
      listeners_.stream->append_lifecycle(nullptr, state().stream_last, nullptr, cold.dropped_events);
  }
  commands.reported = cold.lifecycle.size();
}

// A tick that only says who listens: nothing in it can fail, and nothing follows from it.
void Run::change_flag(Locked locked, Tick& tick) noexcept {
  Commands none;
  locked_state_.apply(locked, tick, none);
}

void Run::look_at_listeners(Locked locked) noexcept {
  const bool watched = listeners_.stream->watched();
  if (watched != state().watched) {
    Tick tick{Tick::Kind::watch};
    tick.watches = watched;
    change_flag(locked, tick);
    if (kinship() != nullptr) watch_below(locked, watched);
  }
  listeners_.is_observed =
      watched || listeners_.stream->may_hold() || commits_ != nullptr || seats_ != nullptr;
  listeners_.watched.store(watched, std::memory_order_relaxed);
}

void Run::look_at_hold(Locked locked, Notifications& notifications) noexcept {
  if (!listeners_.stream) return;
  const bool was_held = state().held;
  if (was_held != listeners_.stream->holds()) {
    Tick tick{Tick::Kind::hold};
    tick.holds = !was_held;
    change_flag(locked, tick);
    if (seats_) ask_pools(locked, notifications);
    if (family() != nullptr && family()->has_seats) ask_pools_below(locked, notifications);
  }
  if (!was_held || state().held || tree_startable(locked) == 0) return;
  if (waiting_.helpers != 0) wake_helpers(locked);
  if (EngineScope::works_on(this) && !runtime_->executor().wants_each_step()) {
    if (bodies_.shares_work) offer_rest(locked, notifications);
  } else {
    offer(locked, notifications);
  }
}

void Run::collect_ready(Locked locked, Notifications& notifications) noexcept {
  if (!listeners_.stream) return;
  if (is_seen_ended(locked)) {
    while (listeners_.stream->take_woken() != nullptr) continue;  // they are among all
    for (Stream* stream : listeners_.stream->subscribers()) collect_ready(locked, *stream, notifications);
  } else {
    while (Stream* stream = listeners_.stream->take_woken()) collect_ready(locked, *stream, notifications);
  }
}

// One callback of a stream at a time: whoever makes it looks again after it.
void Run::collect_ready(Locked locked, Stream& stream, Notifications& notifications) noexcept {
  const bool there = stream.closed_ || is_seen_ended(locked) || listeners_.stream->has_item(stream);
  if (!there || stream.ready_.function == nullptr || stream.calling_ != 0 || !try_retain(&stream)) return;
  ++stream.calling_;
  stream.notified_callback_ = std::exchange(stream.ready_, HostCallback{});
  stream.next_notified_ = std::exchange(notifications.ready, &stream);
  notifications.more = true;
}

void Run::collect_done(Locked locked, Notifications& notifications) noexcept {
  listeners_.done.move_to(notifications.done, [&](uint32_t until) { return is_reached(locked, until); });
  begin_callback_round(locked, notifications);
  notifications.more = true;
}

void Run::begin_callback_round(Locked, Notifications& notifications) noexcept {
  if (!std::exchange(notifications.is_callback_round, true)) ++top().listeners_.callback_rounds;
}

void Run::offer(Locked locked, Notifications& notifications) noexcept {
  if (has_parent()) return top().offer(locked, notifications);
  const size_t hands = life_.started ? tree_startable(locked) : 0;
  if (hands == 0) return;
  if (runtime_->executor().wants_each_step()) {
    if (hands <= bodies_.tasks) return;
    notifications.hands = hands - bodies_.tasks;
    bodies_.tasks = static_cast<uint32_t>(hands);
  } else {
    notifications.hands = hands;
  }
  notifications.more = true;
}

// This thread goes on with one invocation, which may take long: the others are for whoever has a hand free.
// Whoever takes the run off the queue looks under the lock after that, so that nothing is missed while the
// run is still queued.
void Run::offer_rest(Locked locked, Notifications& notifications) noexcept {
  if (has_parent()) return top().offer_rest(locked, notifications);
  if (tree_startable(locked) == 0) return;
  if (queued.load(std::memory_order_relaxed)) return;
  notifications.hands = 1;
  notifications.more = true;
}

// The same from wherever it comes: maybe a body of this run, whose thread will look for more work when the
// body is back, and that may take for ever.
void Run::offer_from_inside(Locked locked, Notifications& notifications) noexcept {
  if (EngineScope::works_on(this) && !runtime_->executor().wants_each_step()) {
    offer_rest(locked, notifications);
  } else {
    offer(locked, notifications);
  }
}

// Of all that the lock was held for: whichever run it was, its top has to do with it.
void Run::notify(Notifications& notifications) noexcept {
  if (!std::exchange(notifications.more, false)) return;
  if (has_parent()) {
    notifications.more = true;
    return top().notify(notifications);
  }
  // First, so that whoever is called back finds what there is to do, and when.
  if (const size_t hands = std::exchange(notifications.hands, 0)) runtime_->executor().submit(*this, hands);
  if (is_inherited()) return;
  if (const int64_t due_ms = std::exchange(notifications.due_ms, INT64_MAX); due_ms != INT64_MAX)
    runtime_->arm(*this, due_ms);
  if (std::exchange(notifications.sets_alarm, false)) runtime_->set_alarm();
  if (is_inherited()) return;
  if (notifications.left_over || notifications.cut_off != nullptr) let_go_of_left_over(notifications);
  if (is_inherited()) return;
  if ((notifications.came_back || notifications.kept || notifications.hands_out != nullptr) &&
      !notify_others(notifications))
    return;
  if (notifications.log_record.what != nullptr) write_log_record(std::exchange(notifications.log_record, {}));
  if (notifications.is_callback_round || notifications.answered_call || notifications.cancels ||
      !notifications.cancelled.empty() || notifications.cancelled_calls != nullptr)
    call_back(notifications);
  if (is_inherited()) return;
  while (notifications.ready != nullptr) {
    Ref<Stream> stream = Ref<Stream>::adopt(notifications.ready);
    notifications.ready = stream->next_notified_;
    const HostCallback callback = stream->notified_callback_;
    tell_log_threw(runtime_->calls().ready(callback));
    call_drop(callback.drop, callback.user_data);
    if (is_inherited()) return;
    Guard guard(lock());
    --stream->calling_;
    if (waiting_.sleepers != 0) waiting_.changed.wake_all();
    collect_ready(guard, *stream, notifications);
  }
  if (std::exchange(notifications.ended, false)) {
    if (runtime_->log().hears(LogLevel::info)) tell_log_ended();
    if (queued.load(std::memory_order_relaxed)) runtime_->executor().withdraw(*this);
    runtime_->delist(*this, std::exchange(notifications.spare_call, nullptr));
    life_.delisted = true;
    if (std::exchange(life_.owned, false)) let_go();
  }
}

// What is for the runtime to see to, or for other runs. False: this is a child that was forked in a callback.
[[gnu::noinline]] bool Run::notify_others(Notifications& notifications) noexcept {
  if (notifications.hands_out != nullptr) hand_out(notifications);
  if (is_inherited()) return false;
  if (std::exchange(notifications.came_back, false)) runtime_->look_at_leaving(*this);
  if (!std::exchange(notifications.kept, false)) return true;
  runtime_->executor().replace_hands();
  if (runtime_->log().hears(LogLevel::info)) tell_kept();
  return !is_inherited();
}

// Between two bodies. False: this is a child that was forked in a callback.
[[gnu::noinline]] bool Run::notify_unforked(Notifications& notifications) noexcept {
  notify(notifications);
  return !is_inherited();
}

void Run::call_back(Notifications& notifications) noexcept {
  const HostCalls& calls = runtime_->calls();
  while (const auto waiting = take_unforked(notifications.done))
    tell_log_threw(calls.done(waiting->callback, *this, notifications.status));
  tell_cancelled(notifications);
  if (std::exchange(notifications.cancels, false)) cancel_calls();
  if (notifications.answered_call) {
    while (const auto waiting = take_unforked(notifications.answered))
      tell_log_threw(calls.answered(waiting->callback, *notifications.answered_call, waiting->request_id,
                                    waiting->answer));
    notifications.answered_call.reset();
  }
  const std::vector<Ref<Event>> requests = std::move(notifications.requests);
  notifications.requests.clear();
  for (const Ref<Event>& request : requests) {
    if (is_inherited()) return;
    call_input(*request);
  }
  if (is_inherited() || !std::exchange(notifications.is_callback_round, false)) return;
  {
    Guard guard(lock());
    --listeners_.callback_rounds;
  }
  cancel_if_lost();
}

void Run::cancel_call(Locked, Call& call, Notifications& notifications) noexcept {
  const StepBody* const body = call.step_->body.get();  // null: what is at work is the engine's own
  if (body != nullptr && body->cancelled != nullptr && !call.completed_) {
    retain(&call);
    call.is_shared_ = true;
    call.next_cancelled_ = std::exchange(notifications.cancelled_calls, &call);
    notifications.more = true;
  }
  if (!call.cold_) return;
  call.cold_->signal.raise();
  if (call.cold_->on_cancel.empty()) return;
  notifications.cancelled.take_all(call.cold_->on_cancel);
  notifications.more = true;
}

// The run has ended, and those that still work are told: so many at a time, with the lock free between. One
// whose body comes back meanwhile takes its own.
void Run::cancel_calls() noexcept {
  constexpr size_t kAtOnce = 64;
  for (bool more = true; more && !is_inherited();) {
    Notifications notifications;
    {
      Guard guard(lock());
      for (size_t i = 0; i < kAtOnce && bodies_.listed != nullptr; ++i) {
        Call& call = *bodies_.listed;
        cancel_call(guard, call, notifications);
        unlist(guard, call);
      }
      more = bodies_.listed != nullptr;
    }
    tell_cancelled(notifications);
  }
}

// Without the lock.
void Run::tell_cancelled(Notifications& notifications) noexcept {
  const HostCalls& calls = runtime_->calls();
  while (const auto waiting = take_unforked(notifications.cancelled))
    tell_log_threw(calls.cancelled(waiting->callback));
  while (notifications.cancelled_calls != nullptr && !is_inherited()) {
    const Ref<Call> call = Ref<Call>::adopt(notifications.cancelled_calls);
    notifications.cancelled_calls = std::exchange(call->next_cancelled_, nullptr);
    tell_log_threw(calls.step_cancelled(*call->step_->body, *call));
  }
}

}  // namespace blazen
