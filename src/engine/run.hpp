// The loop around the state machine: drain, reduce, commit, dispatch, wait.
//
// A run has one lock. It is held for a tick at a time and never while the host is called: what a tick wants
// done outside comes back as Commands and Notices. Any number of threads may work on a run; each takes the
// next invocation, calls its body, and brings the outcome back together with the request for the next, in one
// hold of the lock.
//
// Invariants: while something can be started, either a thread works on the run and will look again under the
// lock before it leaves, or the run is submitted to the executor. `handles` counts what the host holds; it
// keeps the run alive and the runtime open. A run without handles that only the outside could move on is
// cancelled, unless a callback has it in its hands (`lent_`): whoever brings it back looks again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/lock.hpp"
#include "base/object.hpp"
#include "base/uuid.hpp"
#include "engine/call.hpp"
#include "engine/host.hpp"
#include "engine/runtime.hpp"
#include "engine/stream.hpp"
#include "engine/stuck_bodies.hpp"
#include "port/executor.hpp"
#include "run/picture.hpp"
#include "run/question_name.hpp"
#include "run/reduce.hpp"
#include "snapshot/encode.hpp"

namespace blazen {

class EngineScope;
struct SnapshotDocument;

// For a type that the library itself puts on streams.
Ref<Error> stream_type_refused(std::string_view type);

class Run final : public Object, public Work {
 public:
  // Not started yet. Throws std::bad_alloc.
  // input: who answers the questions of the run; may be null.
  static Result<Ref<Run>> create(Runtime& runtime, Ref<Workflow> workflow, Ref<Value> metadata,
                                 std::unique_ptr<PendingCallback> input);
  struct Resuming {
    bool allow_changed_workflow = false;
    bool time_has_passed = false;  // what is due by the date of the snapshot and the clock is due
    bool keeps_paused = false;     // a pause that is in the snapshot outlives the start
  };
  static Result<Ref<Run>> resume(Runtime& runtime, const Ref<Workflow>& workflow,
                                 const SnapshotDocument& snapshot, const Resuming& how, LiveMaker& maker,
                                 std::unique_ptr<PendingCallback> input);
  static constexpr bool kFoundByOthers = true;  // by the runtime's list
  // In a forked child it stays as it is: what it would have to tell others may be locked for ever.
  static void destroy(Run* run) noexcept {
    if (!run->is_inherited()) delete run;
  }

  // Handles of the host; the first reference of create() is one.
  void hold() noexcept;
  void release_handle() noexcept;

  // submit: false where this thread is about to work on the run itself.
  Ref<Error> start(Ref<Value> input, bool has_input, bool submit);
  Ref<Error> post(const Event& event, const Call::Sending& sending);
  // The event as its sender sends it: a copy of its own, and where it goes.
  Result<Output> address(const Event& event, std::string_view target, std::string_view source) const;
  // until: a bit (1 << status) for each state to wait for, beside the end.
  Result<RunStatus> wait(uint32_t until, int64_t timeout_ms);
  // For a caller that keeps the only handle: a run that only the outside could move on is an error.
  Ref<Error> wait_ended_or_stuck();
  Ref<Error> on_state(std::unique_ptr<PendingCallback> callback) noexcept;
  RunStatus status() const noexcept;
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  Result<Ref<Value>> result() const noexcept;
  std::string elsewhere() const;
  std::string dropped() const;
  // Negative: without a deadline. Throws std::bad_alloc past it.
  Ref<Error> close(int64_t timeout_ms);
  // Its bodies that are at work and count no more. Throws std::bad_alloc.
  void add_stuck(StuckBodies& bodies) const;
  Ref<Error> pause(Pause how) noexcept;
  Ref<Error> unpause() noexcept;
  void abort() noexcept;
  Ref<Error> respond(std::string_view request_id, Ref<Value> answer);
  Ref<Error> fail_question(std::string_view request_id, Ref<Error> cause);
  // As JSON arrays and objects. Throw std::bad_alloc.
  std::string questions() const;
  // Whether one is open that no input handler was given.
  bool wants_input() const noexcept;
  std::string describe() const;
  void count(Runtime::Counters& counters) const noexcept;
  void on_time() noexcept;
  void cancel(std::string_view why) noexcept;
  Result<CborBuffer> snapshot();
  Result<Ref<Stream>> subscribe(StreamOptions options);
  // Whether anybody listens to lifecycle and progress items.
  bool watched() const noexcept { return watched_.load(std::memory_order_relaxed); }
  Ref<Error> progress(const Ref<Event>& item) noexcept;

  std::string_view id() const noexcept;
  const Workflow& workflow() const noexcept { return *state_.workflow; }
  const Ref<Value>& metadata() const noexcept { return state_.metadata; }
  Runtime& runtime() const noexcept { return *runtime_; }
  // In a child of the process that made it: nothing can be done with it.
  bool is_inherited() const noexcept { return runtime_->is_inherited(); }

  // State and session, for a call that is open. May throw std::bad_alloc.
  Ref<Error> write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed);
  Ref<Error> clear_state(Call& call);
  Ref<Error> write_session(Call& call, Write write, bool* removed);
  struct Found {
    Ref<Value> value;
    uint64_t version = 0;
  };
  Found find(Call& call, std::string_view key, bool session) const;
  std::vector<std::string> keys(Call& call, std::string_view prefix, bool session) const;

  // Work.
  uint64_t work(uint64_t steps_max, Hand hand) noexcept override;
  void give_up(Ref<Error> error) noexcept override;
  void keep() noexcept override { retain(static_cast<Object*>(this)); }
  void let_go() noexcept override { Ref<Run>::adopt(this).reset(); }

 private:
  friend class Call;
  friend class EngineScope;
  friend class Runtime;
  friend class Stream;

  // A thread that may call out for this run enters and leaves (EngineScope).
  void enter() noexcept;
  void leave() noexcept;

  // Something for the log.
  struct Remark {
    LogLevel level = LogLevel::none;
    const char* what = nullptr;  // null: there is none. After the message of the error, if there is one
    Ref<Error> error;
  };
  static constexpr const char* kGoesOn = "; the run goes on";
  // What has to be called once the lock is open.
  struct Notices {
    CallbackGroups done;
    CallbackList cancelled;
    Call* cancelled_calls = nullptr;  // whose steps want to hear of it; the list has a reference to each
    CallbackList answered;
    bool cancels = false;  // the run has ended, and those that still work are to be told
    Ref<Call> answered_call;
    std::vector<Ref<Event>> requests;  // questions that the input handler has not seen
    int64_t due_ms = INT64_MAX;        // earlier than the runtime knows
    Stream* ready = nullptr;           // through next_notice_; each holds a reference and counts in calling_
    bool lends_run = false;            // counted in lent_: done and requests are given the run
    bool sets_alarm = false;           // the next moment is earlier than the alarm knows
    RunStatus status = RunStatus::running;
    size_t hands = 0;
    bool ended = false;
    bool kept = false;       // bodies are at work whose outcome counts no more
    bool came_back = false;  // and one of those before is back
    Remark remark;
    Call* spare_call = nullptr;  // of a run that has ended: the runtime gets it
    bool more = false;           // whoever sets one of the others sets it

    bool any() const noexcept { return more; }
    // Whether there is something for the host's callbacks of the run, or of its log.
    bool call_out() const noexcept {
      return lends_run || ended || kept || ready != nullptr || remark.what != nullptr || cancels ||
             !cancelled.empty() || cancelled_calls != nullptr || answered_call;
    }
  };

  // A thread inside work(). Under the lock.
  struct AtWork {
    AtWork(Hand its_hand, const EngineScope& its_scope) noexcept : hand(its_hand), scope(its_scope) {}
    const Hand hand;
    const EngineScope& scope;
    Call* call = nullptr;  // whose body it calls, or has called last
    AtWork* next = nullptr;
    AtWork* previous = nullptr;
  };

  class FirstHandle;
  class Visit;
  class Watch;
  Run(Runtime& runtime, Ref<Workflow> workflow) noexcept;

  // One tick, and what follows from it under the lock. False: no memory, and nothing has changed.
  bool tick(Tick& tick, Commands& commands, Notices& notices) noexcept;
  void after_tick(Commands& commands, Notices& notices) noexcept;
  void after_reduce(Commands& commands, Notices& notices) noexcept;
  // What a tick, or a step, has for those who listen.
  void append_happened(Commands& commands) noexcept;
  // Somebody has subscribed, or gone.
  void look_at_listeners() noexcept;
  // Something was published, or taken: does a subscriber hold the run back? If no more, it goes on.
  void look_at_hold(Notices& notices) noexcept;
  void collect_ready(Notices& notices) noexcept;
  void collect_ready(Stream& stream, Notices& notices) noexcept;
  // Sees to it that whatever can be started will be.
  void offer(Notices& notices) noexcept;
  void offer_rest(Notices& notices) noexcept;
  void offer_from_inside(Notices& notices) noexcept;
  Ref<Event> make_start_event(Ref<Value> input);
  void end(Phase phase, Ref<Error> error) noexcept;
  // A send or a publication of a step that runs.
  Ref<Error> effect(Call& call, Tick& tick) noexcept;
  // Of the question that the body asks next without an id. Throws std::bad_alloc.
  Result<QuestionName> name_question(const Call& call, uint64_t place, uint64_t digest);
  Ref<Error> steer(Tick& tick) noexcept;
  void begin_time(Notices& notices) noexcept;
  // callback: may be empty.
  Ref<Error> ask(Call& call, Tick& tick, AnswerCallbacks::node_type callback, Ref<Value>& answer) noexcept;
  void hand_out_requests(Notices& notices) noexcept;
  void hand_over_answer(const Invocation& invocation, std::string_view request_id, Notices& notices) noexcept;
  void call_input(const Event& request) noexcept;
  // Under the lock: for the log, where it wants to hear it.
  void remark(LogLevel level, const Ref<Error>& error, const char* what, Notices& notices) const noexcept;
  // Without the lock.
  void tell_log(LogLevel level, std::string_view text, std::string_view more = {}) const noexcept;
  void tell_remark(const Remark& remark) const noexcept;
  void tell_log_threw(const Ref<Error>& thrown) const noexcept;
  void tell_log_ended() const noexcept;
  // The next one to call; in a child that was forked in one of them, none.
  template <class List>
  std::unique_ptr<PendingCallback> take_unforked(List& list) const noexcept {
    return is_inherited() ? nullptr : list.take();
  }
  bool notify_unforked(Notices& notices) noexcept;
  void call_back(Notices& notices) noexcept;
  void collect_done(Notices& notices) noexcept;
  // Under the lock: until the callbacks of these notices are back, somebody has the run.
  void lend(Notices& notices) noexcept;
  // The moment of the next thing that is due, for the runtime.
  void rearm(Notices& notices) noexcept;
  void arm(int64_t due_ms, Notices& notices) noexcept;
  int64_t next_due() const noexcept;
  int64_t now_ms() const noexcept { return runtime_->clock().now_ms(); }
  int64_t begin_ms() const noexcept { return runtime_->clock().begin_ms(); }
  int64_t date_ms() const noexcept { return runtime_->clock().date_ms(); }
  int64_t slack_ms() const noexcept;
  // Calls that something outside may have to do with.
  void list(Call& call) noexcept;
  void unlist(Call& call) noexcept;
  // The time of a step's attempt. reserve_timer: no memory, where false.
  bool reserve_timer(Call& call) noexcept;
  void set_timer(Call& call, int64_t now, Notices& notices) noexcept;
  void stop_timer(Call& call) noexcept;
  Call* find_late(int64_t now) noexcept;
  bool expire_step() noexcept;
  int64_t left_of_step(const Invocation& invocation, int64_t now) const noexcept;
  int64_t next_step_due() const noexcept;
  static Ref<Error> step_timed_out(const StepDefinition& step, uint32_t attempt) noexcept;
  void abandon(Call& call, Notices& notices) noexcept;
  void add(AtWork& worker) noexcept;
  void remove(AtWork& worker) noexcept;
  AtWork* find_at_work(const Call& call) const noexcept;
  // Abandoned bodies: run_abandoned.cpp.
  void keep_body(Call& call, Notices& notices) noexcept;
  void keep_bodies(Notices& notices) noexcept;
  void come_back(Call& call, Notices& notices) noexcept;
  void linger(Call& call) noexcept;
  void let_go_abandoned(Call& call, Commands& commands, Notices& notices) noexcept;
  void tell_kept() const noexcept;
  Call* find_untold() const noexcept;
  Picture picture() const;
  // Those whose attempts are over; all are counted.
  uint64_t put_abandoned(std::vector<AbandonedBody>& bodies) const;
  void cancel_call(Call& call, Notices& notices) noexcept;
  // Without the lock.
  void cancel_calls() noexcept;
  void tell_cancelled(Notices& notices) noexcept;
  void notify(Notices& notices) noexcept;

  // Who works: a thread that waits starts only what is known to be quick.
  enum class Worker : uint8_t { anybody, waiter };
  uint64_t work_as(Worker worker, Hand hand, uint64_t steps_max) noexcept;
  bool next_is_quick() const noexcept;
  bool is_quick(const Call& call) const noexcept;
  StepIndex index_of(const StepDefinition& step) const noexcept;
  Status call_slow_body(Call& call, Ref<Error>& error) noexcept;
  void look(Watch& watch, const Call& call) noexcept;
  void dispatch(Commands& commands, Notices& notices) noexcept;
  // The invocation that a tick has dispatched gets its call. False: there is none.
  bool take_next(Call*& call, Call::Leavings& leavings, Commands& commands, Notices& notices) noexcept;
  bool may_be_held() const noexcept { return stream_ && stream_->may_hold(); }
  int64_t dispatch_ms() const noexcept { return times_steps_ ? begin_ms() : looked_ms_; }
  void fail_without_memory(Invocation* invocation, bool hand_free, Commands& commands,
                           Notices& notices) noexcept;
  Call* take_call() noexcept;
  void keep_call(Call* call) noexcept;
  static void clear_left(Ref<Call>& left, bool is_done) noexcept;
  Status call_body(Call& call, Ref<Error>& error) noexcept;
  // The body is back; with a hand free, the next one is dispatched in the same tick. False: it is pending.
  bool bring_back(Call& call, Status status, Ref<Error>& error, bool hand_free, Commands& commands,
                  Notices& notices) noexcept;
  void finish(Call& call, Ref<Error> failure, bool hand_free, Commands& commands, Notices& notices) noexcept;
  void finish_with_growth(Call& call, bool hand_free, Commands& commands, Notices& notices) noexcept;
  void prepare_finish(Call& call, Tick& done) noexcept;
  void fail_step(const Call& call, Tick& tick, Ref<Error> cause, Output& handled) const noexcept;
  void finish_otherwise(Call& call, Ref<Error> failure, bool hand_free, Commands& commands,
                        Notices& notices) noexcept;
  void make_step_failed(const Call& call, Tick& tick, Output& output) const noexcept;
  void rest(Call& call, Commands& commands, Notices& notices) noexcept;
  void suspend(Call& call, bool hand_free, Commands& commands, Notices& notices) noexcept;
  bool leave_abandoned(Call& call, Ref<Error>& error, bool hand_free, Commands& commands,
                       Notices& notices) noexcept;

  // Sleeps and helps until done() holds under the lock, which it looks at between bodies where that can come
  // while there is still work. False: the deadline has passed.
  bool wait_until(Guard& guard, int64_t timeout_ms, bool can_come_early, const std::function<bool()>& done);
  // What a thread that waits has left to others, until when they may come for it, and that they have not.
  struct LeftLying {
    uint64_t id = 0;  // of the invocation; 0: none
    int64_t until_ms = 0;
    bool is_taken = false;
  };
  bool takes_next(LeftLying& left_lying) noexcept;
  void wake_helpers() noexcept;
  bool sleep(Guard& guard, bool help, int64_t deadline_ms);
  bool is_reached(uint32_t until) const noexcept;
  bool rests_in_pause() const noexcept;
  bool sleep_in_pause(Guard& guard, bool& may_tell);
  std::string_view why_too_late() const noexcept;
  bool helps(int64_t timeout_ms) const noexcept;
  Ref<Error> write_draft(Draft& draft, std::span<Write> writes, uint64_t* version, bool* removed);
  std::vector<std::string> kept_keys(std::string_view prefix, bool session) const;
  void wake_waiters() noexcept;
  bool is_lost() const noexcept;
  void cancel_if_lost() noexcept;

  Ref<Runtime> runtime_;
  mutable Lock lock_;
  std::atomic<uint32_t> kept_{0};  // bodies at work whose outcome counts no more
  Condition changed_;
  RunState state_;
  bool started_ = false;              // in this process
  bool enlisted_ = false;             // in the runtime's list, under its lock
  bool delisted_ = false;             // it has ended: nobody finds it there any more
  bool helpers_know_ = false;         // that something can be started
  uint32_t waiters_ = 0;              // threads that sleep on changed_
  uint32_t helpers_ = 0;              // those of them that would rather work
  std::atomic<uint32_t> busy_{0};     // threads that call out for this run, or are about to
  bool owned_ = false;                // started and not ended: the runtime has a reference
  std::atomic<bool> ended_{false};    // has_ended(), for a look without the lock
  std::atomic<bool> closing_{false};  // somebody waits for them to leave
  bool time_has_passed_ = false;
  bool ends_pause_ = false;           // the start does: the pause is that of the snapshot
  bool is_observed_ = false;          // watched, or a subscriber may hold the run back
  std::atomic<bool> watched_{false};  // as state_.watched, for a look without the lock
  bool is_leaving_ = false;           // it has ended, and bodies are at work: the runtime's, under its lock
  uint32_t tasks_ = 0;                // steps that a host's scheduler was told of and has not run yet
  std::atomic<uint32_t> handles_{1};
  bool round_ = false;  // the runtime's, under its lock: as its own, where its last count has seen this run
  uint32_t lent_ = 0;  // rounds of callbacks that have the run meanwhile, and may move it on
  Call* spare_call_ = nullptr;
  // What a host may register many of. Callbacks: an addition, a removal and the end cost the same however
  // many there are. Calls: so does each; those that are told of the end are, so many at a time. Timers: the
  // logarithm of the number of attempts. The stream: see StreamLog.
  std::unique_ptr<StreamLog> stream_;
  CallbackGroups done_;
  std::unique_ptr<PendingCallback> input_;
  Call* calls_ = nullptr;      // listed ones
  Call* lingering_ = nullptr;  // abandoned, and not completed by whoever has their invocations
  AtWork* at_work_ = nullptr;  // threads inside work()
  StepTimers step_timers_;
  int64_t known_due_ms_ = INT64_MAX;  // the runtime will tell the time then at the latest
  int64_t looked_ms_ = 0;             // when a body began last, or little before
  bool has_just_looked_ = false;      // start() has, for the first thread that works
  const bool times_steps_;
  const bool shares_work_;      // as the executor says
  mutable UuidText id_text_{};  // made when somebody asks; empty until then

  std::atomic<int64_t> far_due_ms_{INT64_MAX};  // for the runtime to arm, when it comes nearer

  // The runtime's, under its lock.
  int64_t armed_ms_ = INT64_MAX;
  Run* next_active_ = nullptr;
  Run* previous_active_ = nullptr;

 public:
  ~Run();
};

[[gnu::always_inline]] inline bool Call::emit_again(std::string_view type, Value& value) {
  if (!is_open() || run_->ended() || type.empty() || !same_text(emitted_name_, type) ||
      outputs_.size() >= outputs_max_) [[unlikely]]
    return false;
  outputs_.emplace_back(Event::make_in(stash_, type, Ref<Value>::share(&value), step_->name), emitted_last_,
                        kNoStep);
  return true;
}

// Larger, and the allocators of most systems take twice as long for it.
static_assert(sizeof(void*) != 8 || sizeof(Run) <= 1032);

}  // namespace blazen
