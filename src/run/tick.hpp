// What comes into the state machine, and what comes out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "run/state.hpp"

namespace blazen {

// An event on its way to the router. type is what the workflow's table says of event->type().
struct Output {
  Ref<Event> event;
  TypeId type = kUnknownType;
  StepIndex target = kNoStep;  // kNoStep: everybody who accepts it
  int64_t delay_ms = 0;        // 0: at once
};

// One write of the state.
struct Write {
  enum class Kind : uint8_t { set, remove, expect };
  Kind kind = Kind::set;
  std::string_view key;
  Ref<Value> value;       // set
  uint64_t expected = 0;  // expect: the version the key must have beforehand; 0: it must not be there
};

// A question, beside the event that asks it.
struct Asked {
  uint64_t digest = 0;               // of what it says
  std::string_view instead_of = {};  // the id of the question that was asked in its place before; empty: none
  int64_t deadline_ms = 0;           // ask: see Question
  Ref<Value> default_answer{};
};

// What a body collects, under a key of its step.
struct Collecting {
  std::string_view key;
  std::span<const Wanted> wanted;
  Ref<Group> group{};  // out: the whole group; null: it is not whole yet
};

struct Tick {
  enum class Kind : uint8_t {
    start,          // outputs: the StartEvent
    resume,         // a run from a snapshot begins to move in this process
    post,           // outputs: an event from outside
    dispatch,       // a hand is free: which invocation starts?
    send,           // invocation sends outputs[0] while it runs; effect tells it apart
    publish,        // invocation publishes outputs[0]; effect tells it apart
    collect,        // invocation collects its event, as collect says; effect tells it apart
    ask,            // invocation asks outputs[0], whose correlation is the id of the question
    defer,          // invocation is completed by somebody else: caller is its call
    body_returned,  // the body of invocation has returned; it completes later
    complete,       // invocation is done; writes and outputs are what it returned
    fail,     // invocation failed with error; outputs: the event for who handles that, where somebody does
    suspend,  // the body of invocation has returned, to be called again when what it asked is answered
    discard,  // invocation is done, and its run has ended before
    abandoned_returned,  // an abandoned body of step is back, and its permit is free
    grant,               // the run gets a permit of pool
    respond,             // the question whose id is the correlation of outputs[0] is answered with value
    respond_early,       // the same; where it is not open, the answer is kept for who asks
    withdraw,            // the question whose id is the correlation of outputs[0] is taken back
    pause,               // nothing starts any more: pause says how
    unpause,             // it goes on
    time,                // what is due by now?
    end,                 // from outside: the run ends with phase and error
    write,               // writes, all or nothing
    clear,               // removes every key of the state
    session,             // writes[0] is a write of the session
    cancel,              // invocation, which is not in flight, has failed with error; outputs as of fail
    hold,                // holds: a subscriber holds the run back, or does so no more
    watch,               // watches: somebody listens to lifecycle items, or does so no more
    host,                // invocation, in flight, hosts child, which stands at child_status
    note_child,          // the child that invocation hosts stands at child_status
    cut_off,             // of a child: its invocation is gone, with error
    hand_out,            // the questions that the input handler has not seen are its
  };
  Kind kind;
  bool dispatches_next =
      false;  // complete, fail, discard, grant: whoever brings it takes the next invocation in the same tick
  Invocation* invocation = nullptr;
  std::span<Output> outputs{};
  std::span<Write> writes{};
  Effect effect{};
  const Asked* question = nullptr;  // ask; send: of an InputRequestEvent
  Collecting* collecting = nullptr;
  Phase phase = Phase::cancelled;
  StepIndex step = kNoStep;  // back
  PoolIndex pool = kNoPool;  // grant
  Ref<Error> error{};
  // The runtime's clock. Of the ticks above, those say when that start, delay, retry, time or ask something.
  // What begins with them begins at a moment that was rounded up; what is over, by one that was cut.
  int64_t now_ms = 0;
  int64_t rounded_ms = 0;        // fail: by how much it was rounded up
  int64_t date_ms = 0;           // of those that ask something, or may stop the clock of the run
  int64_t slack_ms = 0;          // time: by how much the run may have begun later than its clock says
  int64_t retry_after_ms = -1;   // fail: as the step said; -1: as its policy says
  bool retries = true;           // fail, cancel: where the policy of the step says so
  bool keeps_permit = false;     // fail: its body is still at work, and has its permit until it is back
  bool calls_back = false;       // ask: the answer goes to a callback
  bool clears_session = false;   // pause
  bool ends_pause = false;       // resume: a run that was paused in its snapshot goes on
  bool time_has_passed = false;  // resume: timers count by the date; what has passed since, they have missed
  bool holds = false;            // hold
  bool watches = false;          // watch
  std::vector<Ref<Event>>* requests = nullptr;  // hand_out: they are added to these
  Call* caller = nullptr;                       // ask: whose callback gets the answer, where calls_back
  bool is_special = false;                      // one of the outputs is an InputRequestEvent, or delayed
  bool commits = false;                         // complete: of an atomic step, which has written
  bool clears = false;                          // and has removed every key before
  Pause pause = Pause::none;
  Ref<Value> value{};
  int64_t duration_ms = -1;                     // complete, fail: how long the body took; negative: not known
  RunState* child = nullptr;                    // host
  RunStatus child_status = RunStatus::running;  // host, note_child
  uint64_t scope = 0;                           // post: the id of the scope that it belongs to; 0: none
};

// What is true of every tick of a kind: one row for each, in their order.
struct TickTraits {
  Tick::Kind kind;
  const char* name;
  // Something may be routed, start or end: it is reported to those who listen, and the run may come to rest.
  bool may_move;
  // It may change where a run that has something to do stands, or what its clock says: both are looked at.
  bool may_settle;
  // now_ms is what time it is, and the clock of the run may be set to it.
  bool knows_time;
};
inline constexpr TickTraits kTickTraits[] = {
    {Tick::Kind::start, "start", true, false, false},
    {Tick::Kind::resume, "resume", true, false, false},
    {Tick::Kind::post, "post", true, false, false},
    {Tick::Kind::dispatch, "dispatch", true, false, false},
    {Tick::Kind::send, "send", true, false, false},
    {Tick::Kind::publish, "publish", true, false, false},
    {Tick::Kind::collect, "collect", true, false, false},
    {Tick::Kind::ask, "ask", true, false, false},
    {Tick::Kind::defer, "defer", false, false, false},
    {Tick::Kind::body_returned, "body_returned", true, false, false},
    {Tick::Kind::complete, "complete", true, false, false},
    {Tick::Kind::fail, "fail", true, false, false},
    {Tick::Kind::suspend, "suspend", true, false, false},
    {Tick::Kind::discard, "discard", true, false, false},
    {Tick::Kind::abandoned_returned, "abandoned_returned", true, false, false},
    {Tick::Kind::grant, "grant", true, false, false},
    {Tick::Kind::respond, "respond", true, true, true},
    {Tick::Kind::respond_early, "respond_early", true, true, true},
    {Tick::Kind::withdraw, "withdraw", true, true, true},
    {Tick::Kind::pause, "pause", true, true, true},
    {Tick::Kind::unpause, "unpause", true, true, true},
    {Tick::Kind::time, "time", true, true, true},
    {Tick::Kind::end, "end", true, true, false},
    {Tick::Kind::write, "write", false, false, false},
    {Tick::Kind::clear, "clear", false, false, false},
    {Tick::Kind::session, "session", false, false, false},
    {Tick::Kind::cancel, "cancel", true, true, false},
    {Tick::Kind::hold, "hold", false, false, false},
    {Tick::Kind::watch, "watch", false, false, false},
    {Tick::Kind::host, "host", true, false, false},
    {Tick::Kind::note_child, "note_child", true, false, false},
    {Tick::Kind::cut_off, "cut_off", false, false, false},
    {Tick::Kind::hand_out, "hand_out", false, false, false},
};
constexpr const TickTraits& traits_of(Tick::Kind kind) noexcept {
  return kTickTraits[static_cast<size_t>(kind)];
}
constexpr bool tick_traits_are_in_order() noexcept {
  for (size_t i = 0; i < std::size(kTickTraits); ++i) {
    if (static_cast<size_t>(kTickTraits[i].kind) != i) return false;
  }
  return std::size(kTickTraits) == static_cast<size_t>(Tick::Kind::hand_out) + 1;
}
static_assert(tick_traits_are_in_order());

struct Published {
  uint64_t sequence;
  Ref<Event> event;
};

// What happened in a tick, for those who listen to lifecycle items: plain, the engine makes events of it.
struct LifecycleRecord {
  enum class Kind : uint8_t {
    event_routed,  // event
    step_started,
    step_completed,
    step_failed,  // error
    step_retrying,
    late,  // event, scope: it has come after its join was invoked
    run_paused,
    run_resumed,
  };
  Kind kind;
  uint64_t after = 0;  // the sequence number of the item before it
  StepIndex step = kNoStep;
  uint64_t invocation_id = 0;
  uint32_t attempt = 0;
  int64_t duration_ms = -1;  // negative: not known
  Ref<Event> event{};        // routed, or the one that started the step
  Ref<Event> shows{};  // event_routed: as those who want to see every event get it; null: it is published
  Ref<Error> error{};
  uint64_t scope = 0;  // late
};

// What is to be done after a tick. Everything that a tick lets go of is in here too, so that no destructor of
// the host's runs under the lock of the run. One Commands serves many ticks: clear() costs nothing where
// there was nothing.
struct Commands {
  Invocation* start = nullptr;  // the invocation to run next; null for none
  Ref<Event> released;          // the event of the invocation that is done
  int64_t date_ms = 0;          // of the tick, as it says it

  // Whoever sets one of these sets `more`.
  bool more = false;
  bool settled = false;            // the run has ended or come to rest in this tick
  bool unreported = false;         // memory did not suffice for the report of a tick
  bool asked = false;              // questions were opened: the last ones of the state
  bool clock = false;              // the clock of the run has to be stopped or to go on: a time tick is due
  Status status = Status::ok;      // of a tick that may be refused: send, publish, post, write, session
  const char* limit = nullptr;     // with Status::limit: which
  size_t fault = 0;                // with Status::conflict: which write
  size_t appended = 0;             // how many of published the stream has taken already
  size_t reported = 0;             // how many of the lifecycle records the stream has taken already
  bool reports = false;            // somebody listens to what happens in the present tick
  Invocation* started = nullptr;   // by the tick before, while this one is watched
  Invocation* answered = nullptr;  // respond: whose callback gets it
  Ref<Value> replaced;             // the value that a write replaced or removed

  // What most never have: made when it is asked for, and kept.
  struct Cold {
    std::vector<Published> published;        // to append to the stream, in order
    std::vector<LifecycleRecord> lifecycle;  // in order; stays empty unless the run is watched
    std::vector<LifecycleRecord> late;       // of the present tick, on their way there
    EndedEvents dropped_events;              // stream items that everybody has taken, or that nobody will
    std::vector<Ref<Value>> dropped_values;
    Ref<KeyTable> dropped_table;
    Ref<Error> late_error;  // of a step that failed after the end
    Ref<Error> cause;       // what the host gave, whatever becomes of the tick
    Ref<Value> answer;      // ask: it was given already
    Timers dropped_timers;
    Questions dropped_questions;
    std::unique_ptr<EarlyAnswers> dropped_early;
    std::unique_ptr<Journal> dropped_journals;  // a list
    Ref<Group> dropped_groups;                  // a list
    std::unique_ptr<Scopes> dropped_scopes;
    std::unique_ptr<Collects> dropped_collects;
    // In flight, cancelled with the rest of their scope: the engine tells their bodies.
    struct CancelledBody {
      uint64_t invocation_id;
      Call* call;  // of one that was deferred; null: its body is at work
      uint32_t began_ms;
      Ref<Event> event;
    };
    std::vector<CancelledBody> cancelled;
    // Invocations that will never run; their nodes die with the run.
    InvocationList dropped;
    InvocationTree<ById> dropped_late;  // to be drained

    bool may_drop() const noexcept {
      const auto is_last = [](const auto& entry) {
        return entry.second.event && entry.second.event->refs.load(std::memory_order_relaxed) == 1;
      };
      return late_error || answer || dropped_early || dropped_table || dropped_journals || dropped_groups ||
             dropped_scopes || dropped_collects || !dropped_events.empty() || !dropped_values.empty() ||
             dropped.front() != nullptr || std::any_of(dropped_timers.begin(), dropped_timers.end(), is_last);
    }

    bool keeps_nothing() const noexcept {
      return published.empty() && lifecycle.empty() && late.empty() && dropped_events.empty() &&
             dropped_values.empty() && !dropped_table && !late_error && !cause && !answer &&
             dropped_timers.empty() && !dropped_journals && dropped.empty() && dropped_late.empty() &&
             dropped_questions.empty() && !dropped_early && !dropped_groups && !dropped_scopes &&
             !dropped_collects && cancelled.empty();
    }
  };
  Cold& cold() noexcept {
    if (!cold_) cold_.emplace();
    return *cold_;
  }
  bool has_cold() const noexcept { return cold_.has_value(); }

  bool any() const noexcept { return more || released; }
  // Whether clear() may let go of the last reference to something of the host's. Of delayed events that went
  // their way, it does not.
  bool may_drop() const noexcept { return released || replaced || (cold_ && cold_->may_drop()); }
  void clear() noexcept {
    start = nullptr;
    released.reset();
    if (more) clear_more();
  }
  // Nothing of the host's is in here.
  bool keeps_nothing() const noexcept { return !released && !replaced && (!cold_ || cold_->keeps_nothing()); }
  void drop_values() noexcept {
    replaced.reset();
    if (!cold_) return;
    cold_->dropped_values.clear();
    cold_->dropped_table.reset();
  }

 private:
  void clear_more() noexcept {
    more = false;
    settled = false;
    unreported = false;
    asked = false;
    clock = false;
    status = Status::ok;
    limit = nullptr;
    appended = 0;
    reported = 0;
    answered = nullptr;
    replaced.reset();
    if (cold_) clear_cold();
  }
  [[gnu::noinline]] void clear_cold() noexcept {
    cold_->published.clear();
    cold_->lifecycle.clear();
    cold_->late.clear();
    cold_->dropped_events.clear();
    cold_->late_error.reset();
    cold_->cause.reset();
    drop_values();
    const auto let_go = [](Invocation* item) noexcept {
      item->event.reset();
      item->journal.reset();
    };
    for (Invocation* item = cold_->dropped.front(); item != nullptr; item = item->next) let_go(item);
    cold_->dropped = InvocationList{};
    cold_->dropped_late.drain(let_go);
    for (const auto& [key, timer] : cold_->dropped_timers) {
      if (timer.invocation != nullptr) let_go(timer.invocation);
    }
    cold_->answer.reset();
    if (!cold_->dropped_timers.empty()) cold_->dropped_timers.clear();
    cold_->dropped_questions.clear();
    cold_->dropped_early.reset();
    std::unique_ptr<Journal>& journals = cold_->dropped_journals;
    while (journals) journals = std::move(journals->next());
    Ref<Group>& groups = cold_->dropped_groups;
    while (groups) groups = std::move(groups->next);
    cold_->dropped_scopes.reset();
    cold_->dropped_collects.reset();
    cold_->cancelled.clear();
  }

  std::optional<Cold> cold_;
};

}  // namespace blazen
