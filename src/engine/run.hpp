// A run: a state, the ticks that change it, and what follows from them.
//
// Where to look:
//   locked_state.hpp     the state, its lock, and the one way in which it changes
//   run.cpp              from its making to its end; pause, abort, snapshot
//   run_loop.cpp         take an invocation, call its body, bring the outcome back, take the next
//   run_effects.cpp      what follows from a tick: streams, wake-ups, callbacks, the end; and, without the lock,
//                        the callbacks themselves
//   run_commits.cpp      where ticks are recorded: effects that are held until they are committed
//   run_wait.cpp         waiting, and working meanwhile
//   run_time.cpp         timers, time-outs
//   run_questions.cpp    questions and answers
//   run_events.cpp       events from outside and from bodies; subscribers
//   run_values.cpp       state and session, for a body
//   run_calls.cpp        deferred calls, cancel callbacks
//   run_abandoned.cpp    bodies whose attempt or run is over
//   run_pools.cpp        permits that the runs of a runtime share
//   run_children.cpp     the runs of steps that are workflows
//   run_describe.cpp, run_log.cpp
//
// A run has one lock. It is held for a tick at a time and never while the host is called: what a tick wants
// done outside comes back as Commands and Notifications. Any number of threads may work on a run; each takes the
// next invocation, calls its body, and brings the outcome back together with the request for the next, in one
// hold of the lock. A function that needs the lock takes proof of it: Locked.
//
// Invariants: while something can be started, either a thread works on the run and will look again under the
// lock before it leaves, or the run is submitted to the executor. `handles` counts what the host holds; it
// keeps the run alive and the runtime open. A run without handles that only the outside could move on is
// cancelled, unless a callback has it in its hands (`callback_rounds`): whoever brings it back looks again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/lock.hpp"
#include "base/object.hpp"
#include "base/uuid.hpp"
#include "engine/call.hpp"
#include "engine/host.hpp"
#include "engine/kinship.hpp"
#include "engine/locked_state.hpp"
#include "engine/notifications.hpp"
#include "engine/pools.hpp"
#include "engine/runtime.hpp"
#include "engine/stream.hpp"
#include "engine/stuck_bodies.hpp"
#include "port/executor.hpp"
#include "run/question_name.hpp"
#include "run/run_description.hpp"
#include "snapshot/encode.hpp"

namespace blazen {

class CommitLog;
class Commits;
struct SnapshotDocument;

// For a type that the library itself puts on streams.
Ref<Error> stream_type_refused(std::string_view type);

class Run final : public Object, public RunEntry {
 public:
  // Not started yet. Throws std::bad_alloc.
  // input: who answers the questions of the run; may be null.
  // id: that the host gives it; null: one is made.
  static Result<Ref<Run>> create(RuntimeStay&& runtime, Workflow& workflow, const RunId* id,
                                 Ref<Value> metadata, std::unique_ptr<PendingCallback> input);
  struct Resuming {
    bool allow_changed_workflow = false;
    bool time_has_passed = false;    // what is due by the date of the snapshot and the clock is due
    bool keeps_paused = false;       // a pause that is in the snapshot outlives the start
    bool forks = false;              // it is another run, with another id
    const RunId* fork_id = nullptr;  // that the host gives it; null: one is made
  };
  static Result<Ref<Run>> resume(RuntimeStay&& runtime, Workflow& workflow, const SnapshotDocument& snapshot,
                                 const Resuming& how, LiveMaker& maker,
                                 std::unique_ptr<PendingCallback> input);
  static constexpr bool kFoundByOthers = true;  // by the runtime's list
  // In a forked child it stays as it is: what it would have to tell others may be locked for ever.
  static void destroy(Run* run) noexcept {
    if (!run->is_inherited()) delete run;
  }

  // Its ticks go to this log, which outlives it, and what follows from them waits for it: commits.hpp. Before the start,
  // while one thread knows the run. Throws std::bad_alloc.
  void record_in(CommitLog& log);

  // Handles of the host; the first reference of create() is one.
  void hold() noexcept;
  void release_handle() noexcept;

  // submit: false where this thread is about to work on the run itself.
  Ref<Error> start(Ref<Value> input, bool has_input, bool submit);
  Ref<Error> post(const Event& event, const Sending& sending);
  // The event as its sender sends it: a copy of its own, and where it goes. Null: from outside.
  Result<Output> address(const Event& event, std::string_view target, Call* sender) const;
  // until: a bit (1 << status) for each state to wait for, beside the end.
  Result<RunStatus> wait(uint32_t until, int64_t timeout_ms);
  // For a caller that keeps the only handle: a run that only the outside could move on is an error.
  Ref<Error> wait_ended_or_stuck();
  Ref<Error> on_state(std::unique_ptr<PendingCallback> callback) noexcept;
  RunStatus status() const noexcept;
  bool ended() const noexcept override { return life_.ended.load(std::memory_order_acquire); }
  Result<Ref<Value>> result() const noexcept;
  std::string elsewhere() const;
  std::string dropped() const;
  // Negative: without a deadline. Throws std::bad_alloc past it.
  Ref<Error> close(int64_t timeout_ms);
  Ref<Error> pause(Pause how) noexcept;
  Ref<Error> unpause() noexcept;
  void abort() noexcept;
  Ref<Error> cancel_invocation(uint64_t id, bool retries);
  // early: one that is not asked yet is answered when it is.
  Ref<Error> respond(std::string_view request_id, Ref<Value> answer, bool early = false);
  Ref<Error> withdraw_question(std::string_view request_id);
  Ref<Error> fail_question(std::string_view request_id, Ref<Error> cause);
  // As JSON arrays and objects. Throw std::bad_alloc.
  std::string questions() const;
  // Whether one is open that no input handler was given.
  bool wants_input() const noexcept;
  std::string describe() const;
  Result<CborBuffer> snapshot();
  // The same bytes, handed to write in pieces.
  Ref<Error> snapshot_to(std::unique_ptr<PendingCallback> write);
  Result<Ref<Stream>> subscribe(StreamOptions options);
  // Whether anybody listens to lifecycle and progress items.
  bool watched() const noexcept { return listeners_.watched.load(std::memory_order_relaxed); }
  Ref<Error> progress(const Ref<Event>& item) noexcept;

  std::string_view id() const noexcept;
  const Workflow& workflow() const noexcept { return *state().workflow; }
  const Ref<Value>& metadata() const noexcept { return top().state().metadata; }
  Runtime& runtime() const noexcept { return *runtime_; }
  // In a child of the process that made it: nothing can be done with it.
  bool is_inherited() const noexcept { return runtime_->is_inherited(); }

  // State and session, for a call that is open. May throw std::bad_alloc.
  // What a join was invoked with; null: it is the invocation of another step, or is over.
  Ref<Group> find_group(Call& call) noexcept;
  uint64_t scope_id(const Call& call) const noexcept;
  Ref<Error> write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed);
  Ref<Error> clear_state(Call& call);
  Ref<Error> write_session(Call& call, Write write, bool* removed);
  struct Found {
    Ref<Value> value;
    uint64_t version = 0;
  };
  Found find(Call& call, std::string_view key, bool session) const;
  // The state, from outside.
  Found find(std::string_view key) const;
  std::vector<std::string> keys(std::string_view prefix) const { return kept_keys(prefix, false); }
  Ref<Error> write(std::span<Write> writes, uint64_t* version);
  std::vector<std::string> keys(Call& call, std::string_view prefix, bool session) const;

  // What a step does while its body runs, or is pending: see context.hpp. All but the first two may throw
  // std::bad_alloc.
  // Null while the call can do anything; else why it cannot.
  Ref<Error> check_open(const Call& call) const noexcept;
  Ref<Error> defer(Call& call) noexcept;
  // Whoever tells this call that its time is up looks for it under the lock.
  Call::ColdState& cold_state(Call& call);
  // A send or a publication.
  Ref<Error> effect(Call& call, Tick& tick) noexcept;
  // Of the question that the body asks next without an id.
  Result<QuestionName> name_question(const Call& call, uint64_t place, uint64_t digest);
  // callback: may be empty.
  Ref<Error> ask(Call& call, Tick& tick, AnswerCallbacks::node_type callback, Ref<Value>& answer) noexcept;
  Ref<Error> on_cancel(Call& call, std::unique_ptr<PendingCallback> callback);
  Result<int> cancel_descriptor(Call& call);
  // The host's invocation: it is complete, or its last reference is gone.
  Ref<Error> complete(Call& call, Ref<Error> failure) noexcept;
  void let_go_invocation(Call& call) noexcept;

  // A subscription. timeout_ms as in wait().
  // As many items as there are and there is room for, at least one, under one hold of the lock; StreamEnd is the
  // last.
  Result<size_t> take_items(Stream& stream, int64_t timeout_ms, std::span<Stream::Item> room);
  // False: there is no callback, or it is about to be called.
  bool cancel_ready(Stream& stream) noexcept;
  Ref<Error> on_ready(Stream& stream, const HostCallback& callback) noexcept;
  // tells: whoever waits for an item hears that none comes any more.
  void close_stream(Stream& stream, bool tells) noexcept;

  // A thread that may call out for this run enters and leaves (EngineScope).
  void enter() noexcept;
  void leave() noexcept;

  // A run inside this one, by the text of its id.
  Result<Ref<Run>> find_child(std::string_view run_id);
  int64_t date_now_ms() const noexcept { return date_ms(); }
  // Of a pipeline: as a JSON object; an error: it is none. Throws std::bad_alloc.
  Result<std::string> stages() const;
  // Of the tree that it is in; itself, where it is no child. Nothing changes that.
  Run& top() noexcept {
    const Kinship* kin = kinship();
    return kin == nullptr ? *this : top_beside(*kin);
  }
  const Run& top() const noexcept { return const_cast<Run*>(this)->top(); }
  bool is_child() const noexcept { return &top() != this; }
  // Null: it is no child.
  Ref<EventPath> path() const noexcept;
  const EventPath* path_place() const noexcept;

  // For the runtime.
  void on_time() noexcept override;
  void cancel(std::string_view why) noexcept override;
  void wake_waiters() noexcept override;
  void count(RuntimeCounters& counters) const noexcept override;
  void add_stuck(StuckBodies& bodies) const override;
  void grant(PoolSeat& seat) noexcept override;
  bool try_keep() noexcept override { return try_retain(static_cast<Object*>(this)); }

  // For the executor.
  uint64_t work(uint64_t steps_max, Hand hand) noexcept override;
  void give_up(Ref<Error> error) noexcept override;
  void keep() noexcept override { retain(static_cast<Object*>(this)); }
  void let_go() noexcept override { Ref<Run>::adopt(this).reset(); }

 private:
  friend class Commits;
  // A thread inside work().
  struct AtWork {
    AtWork(Hand its_hand, const EngineScope& its_scope) noexcept : hand(its_hand), scope(its_scope) {}
    const Hand hand;
    const EngineScope& scope;
    Call* call = nullptr;  // whose body it calls; while the lock is free, no other
    AtWork* next = nullptr;
    AtWork* previous = nullptr;
  };

  const RunState& state() const noexcept { return locked_state_.read(); }
  // That of its tree.
  Lock& lock() const noexcept { return top().locked_state_.lock(); }
  Kinship* kinship() const noexcept { return kinship_.load(std::memory_order_acquire); }
  Run& top_beside(const Kinship& kin) noexcept;
  Outcome outcome() const noexcept override { return {state().phase, events_routed()}; }
  uint64_t events_routed() const noexcept;  // with those of the runs inside

  static constexpr const char* kGoesOn = "; the run goes on";
  class FirstHandle;
  class Transaction;
  class CoarseClock;
  class Pieces;
  Run(RuntimeStay&& runtime, Workflow& workflow) noexcept;
  Run(Run& parent, Workflow& workflow) noexcept;

  // One tick, and what follows from it. False: no memory, and nothing has changed.
  bool tick(Locked locked, Tick& tick, Commands& commands, Notifications& notifications) noexcept;
  // Without what it means for pools.
  bool apply_tick(Locked locked, Tick& tick, Commands& commands, Notifications& notifications) noexcept;
  void release_effects(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  void set_clock(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  void follow(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  void show(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  // Pools: run_pools.cpp.
  Ref<Error> take_seats();
  PoolQueuer& queuer_of_tree(const Pool& pool);
  Ref<Error> check_inner_pools() const;
  void leave_seats() noexcept;
  void settle_pools(Locked locked, bool dispatches, Commands& commands,
                    Notifications& notifications) noexcept;
  void ask_pools(Locked locked, Notifications& notifications) noexcept;
  Pool::Free settle_seat(Locked locked, PoolSeat& seat, uint64_t wants, bool takes,
                         Notifications& notifications) noexcept;
  bool apply_grant(Locked locked, PoolSeat& seat, bool dispatches, Commands& commands,
                   Notifications& notifications) noexcept;
  void hand_out(Notifications& notifications) noexcept;
  // Children: run_children.cpp.
  Kinship& need_kinship();
  // Null: it is a child, or has none.
  Kinship::Family* family() const noexcept;
  class RestoredInside;
  struct MadeInside {
    Ref<Run> run;
    uint64_t invocation_id;  // that hosts it
  };
  Ref<Run> make_inside(const StepDefinition& step, uint32_t attempt, Workflow& its_workflow);
  void name_inside(Run& child, uint64_t invocation_id) const;
  Result<Ref<Run>> make_child(Locked locked, const Invocation& invocation);
  Ref<Error> restore(const SnapshotDocument& snapshot, const Resuming& how, LiveMaker& maker,
                     std::vector<MadeInside>& inside);
  Ref<Error> settle_inside(std::vector<MadeInside> inside) noexcept;
  void settle_one(MadeInside& made);
  void leave_inside() noexcept;
  void start_below(Locked locked, const Tick& top_start, Notifications& notifications) noexcept;
  static void join_tree(Locked, Ref<Run> child, Invocation& host) noexcept;
  void host(Locked locked, Invocation& invocation, Commands& commands, Notifications& notifications) noexcept;
  void fail_host(Locked locked, Invocation& invocation, Ref<Error> cause, Commands& commands,
                 Notifications& notifications) noexcept;
  void begin_child(Locked locked, Output& first, LeftOver& left, Notifications& notifications) noexcept;
  static void leave_over(LeftOverPointer left, Notifications& notifications) noexcept;
  void note_in_tree(Locked locked) noexcept;
  void count_in_tree(const Kinship::Counts& now) noexcept;
  void stand_in_row(Locked) noexcept;
  bool is_its_turn(Locked locked) noexcept;
  void change_asking(Locked) noexcept;
  void leave_tree(Locked locked) noexcept;
  size_t tree_startable(Locked locked) const noexcept {
    return kinship() == nullptr ? startable_now(state()) : startable_of_tree(locked);
  }
  size_t startable_of_tree(Locked) const noexcept;
  size_t tree_busy(Locked) const noexcept;
  Run* next_of_tree(Locked locked) const noexcept;
  void tell_parent(Locked locked, Notifications& notifications) noexcept;
  void come_back_soon(Locked locked, Notifications& notifications) noexcept;
  LeftOverPointer take_left_over(Locked) noexcept;
  void give_left_over(Locked, LeftOverPointer left, Notifications& notifications) noexcept;
  bool tell_parent_again() noexcept;
  void end_child(Locked locked, LeftOverPointer left, Notifications& notifications) noexcept;
  void cut_off_left(Locked locked, Notifications& notifications) noexcept;
  void cut_off(Locked locked, Notifications& notifications) noexcept;
  void tear_down() noexcept;
  void let_go_of_left_over(Notifications& notifications) noexcept;
  Run* list_below(Locked locked) noexcept;
  void steer_below(Locked locked, const Tick& tick, Notifications& notifications) noexcept;
  void watch_below(Locked locked, bool watched) noexcept;
  void ask_pools_below(Locked locked, Notifications& notifications) noexcept;
  void arm_in_tree(Locked locked, int64_t due_ms, Notifications& notifications) noexcept;
  int64_t first_due_below(Locked) const noexcept;
  void tell_time() noexcept;
  void tell_time_below() noexcept;
  // Where ticks are recorded: run_commits.cpp.
  bool reserve_record(Locked locked, const Tick& tick) noexcept;
  void record(Locked, Commands& commands) noexcept;
  void hold_effects(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  void release_committed(uint64_t number) noexcept;
  void drop_effects() noexcept;
  // As the outside knows it: behind the state, where ticks are recorded.
  RunStatus seen_status(Locked) const noexcept { return commits_ ? committed_status() : status_of(state()); }
  bool is_seen_ended(Locked) const noexcept {
    return commits_ ? is_end(committed_status()) : has_ended(state());
  }
  bool is_recorded() const noexcept { return top().commits_ != nullptr; }
  RunStatus committed_status() const noexcept;
  static bool is_end(RunStatus status) noexcept {
    return status == RunStatus::completed || status == RunStatus::failed || status == RunStatus::cancelled;
  }
  void after_tick(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  // What a tick, or a step, has for those who listen.
  void append_to_streams(Locked locked, Commands& commands, const Run& from) noexcept;
  // Somebody has subscribed, or gone.
  void change_flag(Locked locked, Tick& tick) noexcept;
  void look_at_listeners(Locked) noexcept;
  // Something was published, or taken: does a subscriber hold the run back? If no more, it goes on.
  void look_at_hold(Locked locked, Notifications& notifications) noexcept;
  void collect_ready(Locked locked, Notifications& notifications) noexcept;
  void collect_ready(Locked locked, Stream& stream, Notifications& notifications) noexcept;
  // Sees to it that whatever can be started will be.
  void offer(Locked locked, Notifications& notifications) noexcept;
  void offer_rest(Locked locked, Notifications& notifications) noexcept;
  void offer_from_inside(Locked locked, Notifications& notifications) noexcept;
  WriteBuffer* write_buffer_of(Call& call) const;
  Ref<Event> make_start_event(Locked locked, Ref<Value> input);
  void end(Phase phase, Ref<Error> error) noexcept;
  Ref<Error> steer(Tick& tick) noexcept;
  void begin_time(Locked locked, Notifications& notifications) noexcept;
  void hand_out_requests(Locked locked, Notifications& notifications) noexcept;
  void hand_over_answer(Locked locked, const Invocation& invocation, Notifications& notifications) noexcept;
  Ref<Error> answer_question(Tick& tick, std::string_view request_id);
  Ref<Run> asked_in(std::string_view& request_id);
  void call_input(const Event& request) noexcept;
  // For the log, where it wants to hear it.
  void note_for_log(LogLevel level, const Ref<Error>& error, const char* what,
                    Notifications& notifications) const noexcept;
  // Without the lock.
  SnapshotCut cut_here();
  void after_snapshot(SnapshotCut& cut, bool is_made);
  void tell_log(LogLevel level, std::string_view text, std::string_view more = {}) const noexcept;
  void write_log_record(const LogRecord& record) const noexcept;
  void tell_log_threw(const Ref<Error>& thrown) const noexcept;
  void tell_log_ended() const noexcept;
  // The next one to call; in a child that was forked in one of them, none.
  template <class List>
  std::unique_ptr<PendingCallback> take_unforked(List& list) const noexcept {
    return is_inherited() ? nullptr : list.take();
  }
  bool notify_unforked(Notifications& notifications) noexcept;
  bool notify_others(Notifications& notifications) noexcept;
  void call_back(Notifications& notifications) noexcept;
  void collect_done(Locked locked, Notifications& notifications) noexcept;
  // Until the callbacks of these notifications are back, somebody has the run.
  void begin_callback_round(Locked locked, Notifications& notifications) noexcept;
  // The moment of the next thing that is due, for the runtime.
  void rearm(Locked locked, Notifications& notifications) noexcept;
  void arm(Locked locked, int64_t due_ms, Notifications& notifications) noexcept;
  int64_t next_due(Locked) const noexcept;
  int64_t all_due(Locked locked) const noexcept;
  int64_t now_ms() const noexcept { return runtime_->clock().now_ms(); }
  int64_t begin_ms() const noexcept { return runtime_->clock().begin_ms(); }
  int64_t date_ms() const noexcept { return runtime_->clock().date_ms(); }
  int64_t slack_ms() const noexcept;
  // Calls that something outside may have to do with.
  void list(Locked locked, Call& call) noexcept;
  void unlist(Locked locked, Call& call) noexcept;
  void index_listed(Locked locked, Call& call) noexcept;
  // The time of a step's attempt. give_time, reserve_timer: no memory, where false.
  bool give_time(Locked locked, Call& call, Notifications& notifications) noexcept;
  bool reserve_timer(Locked locked, Call& call) noexcept;
  void set_timer(Locked locked, Call& call, int64_t now, Notifications& notifications) noexcept;
  void stop_timer(Locked locked, Call& call) noexcept;
  Call* find_call(Locked locked, const Invocation& invocation);  // throws std::bad_alloc
  Call* find_late(Locked locked, int64_t now) noexcept;
  bool expire_step() noexcept;
  // Its attempt has failed with this error, which is no outcome of its body. call: of one that is in flight.
  void fail_from_outside(Transaction& transaction, Invocation& failed, Call* call, Ref<Error> error,
                         bool retries) noexcept;
  int64_t left_of_step(Locked locked, const Invocation& invocation, int64_t now) const noexcept;
  int64_t next_step_due(Locked) const noexcept;
  static Ref<Error> step_timed_out(const StepDefinition& step, uint32_t attempt) noexcept;
  void abandon(Locked locked, Call& call, uint32_t began_ms, Notifications& notifications) noexcept;
  void abandon_cancelled(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  void add_worker(Locked locked, AtWork& worker) noexcept;
  void remove_worker(Locked locked, AtWork& worker) noexcept;
  AtWork* find_at_work(Locked locked, const Call& call) const noexcept;
  // Abandoned bodies: run_abandoned.cpp.
  void keep_body(Locked locked, Call& call, Notifications& notifications) noexcept;
  void keep_bodies(Locked locked, Notifications& notifications) noexcept;
  void come_back(Locked locked, Call& call, Notifications& notifications) noexcept;
  void linger(Locked locked, Call& call) noexcept;
  void let_go_abandoned(Locked locked, Call& call, Commands& commands, Notifications& notifications) noexcept;
  void tell_kept() const noexcept;
  Call* find_untold(Locked) const noexcept;
  RunDescription description(Locked) const;
  // Those whose attempts are over; all are counted.
  uint64_t put_abandoned(Locked locked, std::vector<AbandonedBody>& bodies) const;
  void cancel_call(Locked locked, Call& call, Notifications& notifications) noexcept;
  // Without the lock.
  void cancel_calls() noexcept;
  void tell_cancelled(Notifications& notifications) noexcept;
  void notify(Notifications& notifications) noexcept;

  // Whether its parent has to hear of a tick.
  bool has_parent() const noexcept { return kinship() != nullptr && is_child(); }

  // Who works: a thread that waits starts only what is known to be quick.
  enum class Worker : uint8_t { anybody, waiter };
  uint64_t work_as(Worker worker, Hand hand, uint64_t steps_max) noexcept;
  uint64_t work_here(Worker worker, Hand hand, uint64_t steps_max) noexcept;
  uint64_t work_on_tree(Worker worker, Hand hand, uint64_t steps_max) noexcept;
  Status call_part(Call& call, Ref<Error>& error) noexcept;
  bool next_is_quick(Locked) const noexcept;
  bool is_quick(const Call& call) const noexcept;
  StepIndex index_of(const StepDefinition& step) const noexcept;
  Status call_slow_body(Call& call, Ref<Error>& error) noexcept;
  void look(CoarseClock& watch, const Call& call) noexcept;
  void dispatch(Locked locked, Commands& commands, Notifications& notifications) noexcept;
  // The invocation that a tick has dispatched gets its call. False: there is none.
  bool take_next(Locked locked, Call*& call, Call::PendingRelease& pending_release, Commands& commands,
                 Notifications& notifications) noexcept;
  bool hosts(const Commands& commands) const noexcept;
  bool may_be_held(Locked) const noexcept { return listeners_.stream && listeners_.stream->may_hold(); }
  int64_t dispatch_ms() const noexcept { return bodies_.has_timeouts ? begin_ms() : time_.looked_ms; }
  void fail_without_memory(Locked locked, Invocation* invocation, bool dispatches_next, Commands& commands,
                           Notifications& notifications) noexcept;
  Call* take_call(Locked) noexcept;
  void keep_clean_call(Locked, Call*& call) noexcept;
  void keep_call(Call* call) noexcept;
  void clear_left(Ref<Call>& left, bool is_done) noexcept;
  void reuse(Ref<Call> call) noexcept;
  Status call_body(Call& call, Ref<Error>& error) noexcept;
  // The body is back; with a hand free, the next one is dispatched in the same tick. False: it is pending.
  bool bring_back(Locked locked, Call& call, Status status, Ref<Error>& error, bool dispatches_next,
                  Commands& commands, Notifications& notifications) noexcept;
  static Ref<Error> failure_of(const Call& call, Status status, Ref<Error>& error) noexcept;
  void finish(Locked locked, Call& call, Ref<Error> failure, bool dispatches_next, Commands& commands,
              Notifications& notifications) noexcept;
  void finish_with_growth(Locked locked, Call& call, bool dispatches_next, Commands& commands,
                          Notifications& notifications) noexcept;
  void prepare_finish(Call& call, Tick& done) noexcept;
  void fail_step(const Call& call, Tick& tick, Ref<Error> cause, Output& handled) const noexcept;
  void finish_otherwise(Locked locked, Call& call, Ref<Error> failure, bool dispatches_next,
                        Commands& commands, Notifications& notifications) noexcept;
  void make_step_failed(const Invocation& failed, Tick& tick, Output& output) const noexcept;
  void leave_pending(Locked locked, Call& call, Commands& commands, Notifications& notifications) noexcept;
  void suspend(Locked locked, Call& call, bool dispatches_next, Commands& commands,
               Notifications& notifications) noexcept;
  bool leave_abandoned(Locked locked, Call& call, Ref<Error>& error, bool dispatches_next, Commands& commands,
                       Notifications& notifications) noexcept;

  void finish_from_outside(Guard& guard, Call& call, Ref<Error> failure) noexcept;

  // Sleeps and helps until done() holds under the lock, which it looks at between bodies where that can come
  // while there is still work. False: the deadline has passed.
  bool wait_until(Guard& guard, int64_t timeout_ms, bool can_come_early,
                  const std::function<bool(Locked)>& done);
  // What a thread that waits has left to others, until when they may come for it, and that they have not.
  struct LeftLying {
    uint64_t id = 0;  // of the invocation; 0: none
    int64_t until_ms = 0;
    bool is_taken = false;
  };
  bool takes_next(Locked locked, LeftLying& left_lying) noexcept;
  void wake_helpers(Locked) noexcept;
  bool sleep(Guard& guard, bool help, int64_t deadline_ms);
  bool waits_for_others(Locked) const noexcept;
  bool helps_others(Guard& guard) noexcept;
  bool is_reached(Locked locked, uint32_t until) const noexcept;
  bool rests_in_pause(Locked) const noexcept;
  bool sleep_in_pause(Guard& guard, bool& may_tell);
  std::string_view why_too_late(Locked) const noexcept;
  bool helps(int64_t timeout_ms) const noexcept;
  Ref<Error> write_buffered(WriteBuffer& write_buffer, std::span<Write> writes, uint64_t* version,
                            bool* removed);
  std::vector<std::string> kept_keys(std::string_view prefix, bool session) const;
  bool is_lost(Locked) const noexcept;
  void cancel_if_lost() noexcept;

  LockedState locked_state_;
  // Null: it is no child, and has none. Made once, under the lock; of a child, a part of what its state has.
  std::atomic<Kinship*> kinship_{nullptr};
  std::unique_ptr<Commits> commits_;   // null: no log; what a tick leads to takes effect at once
  std::unique_ptr<PoolSeat[]> seats_;  // by the numbers of the workflow's pools; null: it uses none

  // From its making to its end.
  struct Life {
    std::atomic<uint32_t> handles{1};
    std::atomic<uint32_t> busy{0};     // threads that call out for this run, or are about to
    std::atomic<bool> ended{false};    // has_ended(), for a look without the lock
    std::atomic<bool> closing{false};  // somebody waits for them to leave
    bool started = false;              // in this process
    bool owned = false;                // started and not ended: the runtime has a reference
    bool delisted = false;             // it has ended: nobody finds it there any more
    bool time_has_passed = false;      // as Resuming says, for the start
    bool ends_pause = false;
    bool has_just_looked = false;  // start() has, at the clock, for the first thread that works
  } life_;

  // Threads that sleep until something has changed.
  struct Waiting {
    LazyCondition changed;
    uint32_t sleepers = 0;
    uint32_t helpers = 0;  // those of them that would rather work
    // One of them sleeps no more.
    void woke() noexcept {
      if (--sleepers == 0) changed.let_go();
    }
  } waiting_;

  // Who hears of what happens. What a host may register many of: an addition, a removal and the end cost the
  // same however many there are. The stream: see StreamLog.
  struct Listeners {
    std::unique_ptr<StreamLog> stream;
    CallbackGroups done;
    std::unique_ptr<PendingCallback> input;
    uint32_t callback_rounds = 0;      // of callbacks that have the run meanwhile, and may move it on
    std::atomic<bool> watched{false};  // as the state says, for a look without the lock
    bool is_observed = false;          // watched, or a subscriber may hold the run back
  } listeners_;

  // Bodies, and the threads that call them. An addition and a removal cost the same however many there are; at
  // the end, those that are listed are told, so many at a time.
  using CallIndex = std::unordered_map<uint64_t, Call*>;  // by the ids of their invocations
  struct Bodies {
    Call* listed = nullptr;                     // that something outside may have to do with
    std::unique_ptr<CallIndex> listed_index{};  // null until somebody looks for one of them
    Call* lingering = nullptr;   // abandoned, and not completed by whoever has their invocations
    AtWork* at_work = nullptr;   // threads inside work()
    Call* spare_call = nullptr;  // for the next thread
    uint32_t tasks = 0;          // steps that a host's scheduler was told of and has not run yet
    bool helpers_know = false;   // those that sleep and would rather work: that something can be started
    const bool has_timeouts;     // a step has one
    const bool has_parts;        // a step is a workflow, or a part of such a step
    const bool shares_work;      // as the executor says
  } bodies_;

  // Timers: the logarithm of the number of attempts.
  struct Time {
    StepTimers step_timers;
    int64_t known_due_ms = INT64_MAX;  // the runtime will tell the time then at the latest
    int64_t looked_ms = 0;             // when a body began last, or little before
  } time_;
  mutable std::unique_ptr<const UuidText> id_text_;  // made when somebody asks

 public:
  ~Run();
};

// A run that waits for somebody takes 1.5 KB in all, beside its data: tests/bench has a row for it.
static_assert(sizeof(void*) != 8 || sizeof(Run) <= 840);

}  // namespace blazen
