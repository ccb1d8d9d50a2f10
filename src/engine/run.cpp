#include "engine/run.hpp"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/quotes.hpp"
#include "base/steady.hpp"
#include "base/uuid.hpp"
#include "engine/lifecycle.hpp"
#include "engine/refusals.hpp"
#include "engine/scope.hpp"
#include "engine/step_failed.hpp"
#include "engine/visit.hpp"
#include "run/picture.hpp"
#include "run/summary.hpp"
#include "snapshot/restore.hpp"

namespace blazen {
namespace {

// No earlier than so long from now; a deadline beyond the end of time is as good as none.
int64_t deadline_after(int64_t timeout_ms) noexcept { return add_ms(steady_ms() + 1, timeout_ms); }

// Of nlohmann's, only the strings: its arrays do not stand a failed allocation.
std::string json_names(const std::vector<std::string>& names) {
  std::string json = "[";
  for (const std::string& name : names) {
    if (json.size() > 1) json += ",";
    json += nlohmann::json(name).dump();
  }
  return json + "]";
}

}  // namespace

Ref<Error> stream_type_refused(std::string_view type) {
  return Error::make(Status::invalid_argument,
                     "event: " + in_quotes(type) + " is a type that the library itself puts on streams");
}

// --------------------------------------------------------------------------------------------- from birth to
// end

Run::Run(Runtime& runtime, Ref<Workflow> workflow) noexcept
    : Object(Kind::run),
      runtime_(Ref<Runtime>::share(&runtime)),
      times_steps_(workflow->times_steps()),
      shares_work_(runtime.executor().shares_work()) {
  state_.workflow = std::move(workflow);
  runtime_->hold();
}

Run::~Run() {
  if (!delisted_) runtime_->delist(*this);
  if (spare_call_ != nullptr || state_.pool.has_blocks())
    runtime_->keep_spares(spare_call_, state_.pool.hand_on());
}

// The host's first handle of a run that is being made; without take(), it goes again.
class Run::FirstHandle {
 public:
  explicit FirstHandle(Run* run) noexcept : run_(run) {}
  FirstHandle(const FirstHandle&) = delete;
  FirstHandle& operator=(const FirstHandle&) = delete;
  ~FirstHandle() {
    if (run_ != nullptr) run_->release_handle();
  }
  Run* operator->() const noexcept { return run_; }
  Run& operator*() const noexcept { return *run_; }
  Ref<Run> take() noexcept { return Ref<Run>::adopt(std::exchange(run_, nullptr)); }

 private:
  Run* run_;
};

Result<Ref<Run>> Run::create(Runtime& runtime, Ref<Workflow> workflow, Ref<Value> metadata,
                             std::unique_ptr<PendingCallback> input) {
  FirstHandle run(new Run(runtime, std::move(workflow)));
  RunState& state = run->state_;
  make_steps(state);
  state.metadata = std::move(metadata);
  run->input_ = std::move(input);
  if (Ref<Error> error = runtime.enlist(*run, &state.id)) return error;
  state.id[6] = static_cast<uint8_t>((state.id[6] & 0x0f) | 0x40);  // RFC 9562: version 4,
  state.id[8] = static_cast<uint8_t>((state.id[8] & 0x3f) | 0x80);  // variant 10
  return run.take();
}

Result<Ref<Run>> Run::resume(Runtime& runtime, const Ref<Workflow>& workflow,
                             const SnapshotDocument& snapshot, const Resuming& how, LiveMaker& maker,
                             std::unique_ptr<PendingCallback> input) {
  FirstHandle run(new Run(runtime, workflow));
  EngineScope scope(*run);  // deserializers are called
  if (Ref<Error> error = restore_run(snapshot, workflow, how.allow_changed_workflow, run->state_, &maker))
    return error;
  if (run->is_inherited()) return forked_here();
  run->input_ = std::move(input);
  run->time_has_passed_ = how.time_has_passed;
  run->ends_pause_ = !how.keeps_paused;
  run->ended_.store(has_ended(run->state_));
  if (Ref<Error> error = runtime.enlist(*run, nullptr)) return error;
  if (!run->state_.dropped.empty())
    run->tell_log(LogLevel::warning, "resumed without what could not be kept: ", run->dropped());
  return run.take();
}

std::string_view Run::id() const noexcept {
  if (is_inherited()) {
    id_text_ = uuid_text(state_.id);
    return {id_text_.data(), kUuidTextLength};
  }
  Guard guard(lock_);
  if (id_text_[0] == '\0') id_text_ = uuid_text(state_.id);
  return {id_text_.data(), kUuidTextLength};
}

void Run::hold() noexcept {
  if (handles_.fetch_add(1, std::memory_order_relaxed) != 0) return;
  keep();
  runtime_->hold();
}

void Run::release_handle() noexcept {
  if (is_inherited()) return;
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  bool lost = false;
  if (!ended_.load(std::memory_order_relaxed)) {
    Guard guard(lock_);
    lost = is_lost();
  }
  if (lost) cancel("its last handle was released while it waited for the outside");
  Runtime* runtime = runtime_.get();  // what hold() took keeps it, when this run is gone
  let_go();
  runtime->let_go();
}

// Nobody could ever move on a run that waits for the outside, has no handle, and is in no callback's hands.
bool Run::is_lost() const noexcept {
  return handles_.load(std::memory_order_relaxed) == 0 && lent_ == 0 && started_ &&
         state_.phase == Phase::running && startable(state_) + state_.in_flight.size() == 0 &&
         (state_.pause != Pause::none || !is_moving(state_));
}

// Without the lock, when all that the last tick wanted has been done.
void Run::cancel_if_lost() noexcept {
  if (handles_.load(std::memory_order_relaxed) != 0 || ended() || is_inherited()) return;
  bool lost = false;
  {
    Guard guard(lock_);
    lost = is_lost();
  }
  if (lost) cancel("it waits for the outside, and nobody holds a handle of it");
}

Ref<Error> Run::start(Ref<Value> input, bool has_input, bool submit) {
  Output first;  // let go of outside the lock
  Visit visit(*this);
  if (started_) return Error::make(Status::wrong_state, "the run was already started");
  if (has_ended(state_) && state_.phase == Phase::cancelled) return ended_before();
  if (state_.phase != Phase::created && has_input) {
    return Error::make(Status::invalid_argument, "input: the run that is resumed had its input; give NULL");
  }
  const bool is_new = state_.phase == Phase::created;
  if (is_new) first = {make_start_event(std::move(input)), kStartType};
  Tick start{is_new ? Tick::Kind::start : Tick::Kind::resume, false, nullptr, {&first, 1}};
  // Most time-outs are far away, and do not mind that the coarse clock is behind.
  const int64_t timeout_ms = workflow().policy().timeout_ms;
  const bool is_near = !is_new || (timeout_ms != 0 && timeout_ms < Runtime::kFarMs);
  start.now_ms = is_near ? begin_ms() : runtime_->clock().coarse_ms();
  if (!is_new) start.date_ms = date_ms();
  start.ends_pause = ends_pause_;
  if (!is_new && time_has_passed_) pass_time(state_, start.date_ms);
  time_has_passed_ = false;  // a second try, after a first without memory, does not let it pass twice
  const bool will_move = !has_ended(state_);
  if (!tick(start, visit.commands, visit.notices)) return Error::out_of_memory();
  if (visit.commands.status != Status::ok) return visit.leave();
  started_ = true;
  looked_ms_ = start.now_ms;
  has_just_looked_ = true;
  if (will_move && !has_ended(state_)) begin_time(visit.notices);
  if (will_move) {
    owned_ = true;
    keep();
  }
  if (!is_new) {
    visit.commands.settled = state_.rest != RunStatus::running;
    visit.commands.more = true;
    visit.commands.asked = !state_.questions.empty();
    after_tick(visit.commands, visit.notices);
  }
  if (submit) offer(visit.notices);
  remark(LogLevel::debug, nullptr, is_new ? "started" : "goes on from a snapshot", visit.notices);
  return visit.leave();
}

// In the memory of an event that is gone, where the call that the run was given has some.
Ref<Event> Run::make_start_event(Ref<Value> input) {
  if (spare_call_ == nullptr) return Event::make(kStartEvent, std::move(input));
  return Event::make_in(spare_call_->stash_, kStartEvent, std::move(input), {});
}

void Run::end(Phase phase, Ref<Error> error) noexcept {
  if (is_inherited()) return;
  Tick last{Tick::Kind::end};
  last.phase = phase;
  last.error = std::move(error);
  Visit visit(*this);
  if (has_ended(state_)) return;
  tick(last, visit.commands, visit.notices);
  visit.leave();
}

void Run::cancel(std::string_view why) noexcept {
  Ref<Error> error;
  try {
    error = Error::make(Status::cancelled, std::string("the run was cancelled: ").append(why));
  } catch (const std::bad_alloc&) {
    error = Error::out_of_memory();
  }
  end(Phase::cancelled, std::move(error));
}

Ref<Error> Run::close(int64_t timeout_ms) {
  if (EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a run cannot be closed from inside a callback: it would wait for itself");
  }
  cancel("it was closed");
  if (is_inherited()) return forked_here();
  closing_.store(true);
  const int64_t deadline_ms = timeout_ms < 0 ? -1 : deadline_after(timeout_ms);
  bool in_time = true;
  {
    Guard guard(lock_);
    ++waiters_;
    while (busy_.load() != 0 && in_time) in_time = changed_.wait(guard, deadline_ms);
    --waiters_;
  }
  if (in_time || busy_.load() == 0) return nullptr;
  StuckBodies bodies;
  add_stuck(bodies);
  return bodies.error("the run");
}

void Run::enter() noexcept {
  busy_.fetch_add(1);
  runtime_->enter();
}

// Whoever entered holds a reference to the run, which is therefore still there after the count has fallen.
void Run::leave() noexcept {
  if (is_inherited()) return;
  if (busy_.fetch_sub(1) == 1 && closing_.load()) {
    Guard guard(lock_);
    changed_.wake_all();
  }
  runtime_->leave();
}

void Run::give_up(Ref<Error> error) noexcept {
  const bool cancelled = error->status == Status::cancelled;
  end(cancelled ? Phase::cancelled : Phase::failed, std::move(error));
}

// ------------------------------------------------------------------------------------------------------ the
// loop

// What time it is for a thread that runs one body after the other, so that each has an age. Bodies that take
// milliseconds are timed one by one; of those that take nanoseconds, it looks at the clock for every
// sixteenth.
class Run::Watch {
 public:
  // known_ms: that it was read just now; 0: it was not.
  Watch(Clock& clock, int64_t known_ms) noexcept
      : clock_(clock), now_ms_(known_ms != 0 ? known_ms : clock.coarse_ms()) {}
  int64_t now() const noexcept { return now_ms_; }
  // One more body is done: is it time to look? It stays so until somebody does.
  bool is_time() noexcept {
    if (left_ > 1) --left_;
    return left_ == 1;
  }
  [[gnu::noinline]] void look() noexcept {
    passed_ms_ = -std::exchange(now_ms_, clock_.coarse_ms());
    passed_ms_ += now_ms_;
    was_for_one_ = std::exchange(is_for_one_, passed_ms_ != 0);
    left_ = is_for_one_ ? 1 : 17;
  }
  // What the last look saw: how much time has passed since the one before, and whether that was one body's.
  int64_t passed_ms() const noexcept { return passed_ms_; }
  bool was_for_one() const noexcept { return was_for_one_; }

 private:
  Clock& clock_;
  int64_t now_ms_;
  int64_t passed_ms_ = 0;
  uint32_t left_ = 1;
  bool is_for_one_ = true;  // the next look is, too
  bool was_for_one_ = false;
};

uint64_t Run::work(uint64_t steps_max, Hand hand) noexcept {
  return work_as(Worker::anybody, hand, steps_max);
}

uint64_t Run::work_as(Worker worker, Hand hand, uint64_t steps_max) noexcept {
  if (is_inherited()) return 0;
  EngineScope scope(*this, true);
  Commands commands;
  Notices notices;
  Call* call = nullptr;  // the one that this thread uses for one body after the other
  Ref<Call> left;        // one that somebody else completes, or has completed
  Call::Leavings leavings;
  bool left_is_done = false;
  uint64_t steps = 0;
  AtWork at_work(hand, scope);
  Guard guard(lock_);
  add(at_work);
  if (tasks_ > 0) --tasks_;
  bool hand_free = started_;
  Watch watch(runtime_->clock(), std::exchange(has_just_looked_, false) ? looked_ms_ : 0);
  looked_ms_ = watch.now();
  if (hand_free && (worker == Worker::anybody || next_is_quick())) dispatch(commands, notices);
  while (take_next(call, leavings, commands, notices)) {
    at_work.call = call;
    guard.unlock();
    // Call out, with nothing of the last tick left behind.
    if (left) clear_left(left, left_is_done);
    call->clear_outputs();
    leavings.let_go();
    call->stash_.put(std::move(commands.released));
    commands.clear();
    if (notices.any() && !notify_unforked(notices)) break;
    Ref<Error> error;
    const Status status =
        shares_work_ && !is_quick(*call) ? call_slow_body(*call, error) : call_body(*call, error);
    ++steps;
    hand_free = steps_max == 0 || steps < steps_max;
    // Not after the last one, unless somebody waits for it.
    if (watch.is_time() &&
        (worker == Worker::waiter || status != Status::ok || call->deferred_ || !call->stops()))
      look(watch, *call);
    // Bring back, and take the next: one that waits takes those that are quick.
    const bool picks = worker == Worker::waiter && !workflow().is_quick();
    if (is_inherited()) {  // forked by the body, and this is the child: it leaves all as it is
      (void)error.take();
      break;
    }
    guard.lock();
    looked_ms_ = watch.now();
    left_is_done = bring_back(*call, status, error, hand_free && !picks, commands, notices);
    if (!left_is_done || call->is_shared_) left = Ref<Call>::adopt(std::exchange(call, nullptr));
    if (picks ? hand_free && next_is_quick() : !left_is_done && hand_free) dispatch(commands, notices);
  }
  if (is_inherited()) return steps;  // without the lock, which may be held for ever
  remove(at_work);
  offer(notices);
  guard.unlock();
  if (left) clear_left(left, left_is_done);
  if (call != nullptr) {
    call->clear_outputs();
    call->leave(leavings);  // nobody else knows it now
    leavings.let_go();
  }
  commands.clear();
  if (call != nullptr && notices.ended) notices.spare_call = std::exchange(call, nullptr);
  notify(notices);
  if (is_inherited()) return steps;
  if (call != nullptr) keep_call(call);
  cancel_if_lost();
  return steps;
}

// Under the lock.
bool Run::next_is_quick() const noexcept {
  const Invocation* next = next_startable(state_);
  return next != nullptr && workflow().is_quick(next->step);
}

bool Run::is_quick(const Call& call) const noexcept { return workflow().is_quick(index_of(*call.step_)); }

StepIndex Run::index_of(const StepDefinition& step) const noexcept {
  return static_cast<StepIndex>(&step - workflow().steps().data());
}

// Of one that is not known to be quick: it is measured.
[[gnu::noinline]] Status Run::call_slow_body(Call& call, Ref<Error>& error) noexcept {
  const StepIndex step = index_of(*call.step_);
  const int64_t began_ns = steady_ns();
  const Status status = call_body(call, error);
  workflow().note_pace(step, steady_ns() - began_ns <= Pace::kQuickNs);
  return status;
}

// Between two bodies, without the lock. Where nobody else tells the time, whoever works does.
[[gnu::noinline]] void Run::look(Watch& watch, const Call& call) noexcept {
  watch.look();
  if (watch.passed_ms() == 0) return;
  constexpr int64_t kSlowMs = 10;  // by a coarse clock
  if (shares_work_ && watch.was_for_one() && watch.passed_ms() >= kSlowMs && is_quick(call))
    workflow().note_pace(index_of(*call.step_), false);
  if (!runtime_->clock().is_hosts() && !runtime_->has_timekeeper()) runtime_->tell_time();
}

void Run::clear_left(Ref<Call>& left, bool is_done) noexcept {
  if (is_done) {
    left->clear_outputs();
    left->spent_.reset();
  }
  left.reset();
}

void Run::dispatch(Commands& commands, Notices& notices) noexcept {
  const int64_t at_ms = dispatch_ms();
  if (!state_.watched) {
    reduce_dispatch(state_, at_ms, commands);
    return after_reduce(commands, notices);
  }
  Tick next{Tick::Kind::dispatch};
  next.now_ms = at_ms;
  tick(next, commands, notices);
}

[[gnu::always_inline]] inline bool Run::take_next(Call*& call, Call::Leavings& leavings, Commands& commands,
                                                  Notices& notices) noexcept {
  Invocation* invocation = commands.start;
  if (invocation == nullptr) return false;
  if (call == nullptr) call = take_call();
  const bool is_timed = times_steps_ && workflow().steps()[invocation->step].timeout_ms != 0;
  if (call == nullptr || (is_timed && !reserve_timer(*call))) {
    commands.start = nullptr;
    fail_without_memory(invocation, false, commands, notices);
    return false;
  }
  if (call->leaves_) call->leave(leavings);
  call->begin(*this, invocation);
  if (is_timed) {
    call->is_special_ = true;
    set_timer(*call, begin_ms(), notices);
  }
  if (times_steps_ && call->step_->body->cancelled != nullptr) list(*call);
  call->started_ms_ = state_.watched ? now_ms() : -1;
  if (shares_work_) offer_rest(notices);
  return true;
}

[[gnu::noinline]] void Run::fail_without_memory(Invocation* invocation, bool hand_free, Commands& commands,
                                                Notices& notices) noexcept {
  Tick out_of_memory{Tick::Kind::fail, hand_free, invocation};
  out_of_memory.error = Error::out_of_memory();
  tick(out_of_memory, commands, notices);
}

Call* Run::take_call() noexcept {
  if (spare_call_ != nullptr) return std::exchange(spare_call_, nullptr);
  return new (std::nothrow) Call;
}

// For the next thread that works on this run, unless another was quicker.
void Run::keep_call(Call* call) noexcept {
  call->check_keeps_nothing();
  {
    Guard guard(lock_);
    if (spare_call_ == nullptr) spare_call_ = std::exchange(call, nullptr);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
}

Status Run::call_body(Call& call, Ref<Error>& error) noexcept {
  return runtime_->calls().step(*call.step_->body, call, *call.event_, error);
}

// Once for each invocation: everything that it calls is inline in it, but for what is rare and says noinline.
[[gnu::flatten]] bool Run::bring_back(Call& call, Status status, Ref<Error>& error, bool hand_free,
                                      Commands& commands, Notices& notices) noexcept {
  call.returned_ = true;
  if (call.abandoned_.load(std::memory_order_relaxed))
    return leave_abandoned(call, error, hand_free, commands, notices);
  Ref<Error> failure;
  if (status == Status::pending && !call.deferred_ && !has_ended(state_) && has_asked(*call.invocation_)) {
    suspend(call, hand_free, commands, notices);
    return true;
  }
  if (call.deferred_ && (status == Status::ok || status == Status::pending)) {
    if (status == Status::pending && !call.completed_) {
      rest(call, commands, notices);
      if (call.is_kept_) come_back(call, notices);
      return false;
    }
    failure = std::move(call.failure_);
  } else if (status == Status::pending) {
    failure = Error::make(Status::wrong_state, "it answered BLAZEN_PENDING without blazen_context_defer");
  } else if (status != Status::ok) {
    failure = std::move(error);
  }
  call.completed_ = true;
  finish(call, std::move(failure), hand_free, commands, notices);
  return true;
}

// Its body is back, and nothing that it did counts. False: the host has a handle of it still.
[[gnu::noinline]] bool Run::leave_abandoned(Call& call, Ref<Error>& error, bool hand_free, Commands& commands,
                                            Notices& notices) noexcept {
  if (call.is_kept_) come_back(call, notices);
  if (error) remark(LogLevel::warning, error, ": too late, the time of that attempt was up", notices);
  commands.rare().late_error = std::move(error);
  commands.more = true;
  if (call.deferred_ && !call.completed_) {
    linger(call);
    return false;
  }
  let_go_abandoned(call, commands, notices);
  if (call.deferred_) return false;
  call.completed_ = true;
  call.spend_extras();
  if (hand_free) dispatch(commands, notices);
  return true;
}

// Somebody completes it later.
[[gnu::noinline]] void Run::rest(Call& call, Commands& commands, Notices& notices) noexcept {
  Tick tick{Tick::Kind::rest, false, call.invocation_};
  this->tick(tick, commands, notices);
  if (call.timed_) set_timer(call, begin_ms(), notices);
}

// It will be called again, with the answer.
[[gnu::noinline]] void Run::suspend(Call& call, bool hand_free, Commands& commands,
                                    Notices& notices) noexcept {
  call.open_.store(false, std::memory_order_release);
  call.completed_ = true;
  call.spend_extras();
  if (call.listed_) unlist(call);
  if (call.timed_) stop_timer(call);
  Tick tick{Tick::Kind::suspend, hand_free, call.invocation_};
  tick.now_ms = dispatch_ms();
  this->tick(tick, commands, notices);
}

void Run::finish(Call& call, Ref<Error> failure, bool hand_free, Commands& commands,
                 Notices& notices) noexcept {
  call.open_.store(false, std::memory_order_release);
  if (failure || call.is_special_ || is_observed_ || has_ended(state_))
    return finish_otherwise(call, std::move(failure), hand_free, commands, notices);
  if (!reduce_plainly(state_, {call.invocation_, call.outputs_, dispatch_ms(), hand_free}, commands))
    return finish_with_growth(call, hand_free, commands, notices);
  after_reduce(commands, notices);
}

// Its outputs may need more memory.
[[gnu::noinline]] void Run::finish_with_growth(Call& call, bool hand_free, Commands& commands,
                                               Notices& notices) noexcept {
  Tick done{Tick::Kind::complete, hand_free, call.invocation_, call.outputs_};
  done.now_ms = dispatch_ms();
  if (!tick(done, commands, notices)) fail_without_memory(call.invocation_, hand_free, commands, notices);
}

// It has failed, or comes too late, or did what most never do.
[[gnu::noinline]] void Run::finish_otherwise(Call& call, Ref<Error> failure, bool hand_free,
                                             Commands& commands, Notices& notices) noexcept {
  // A subscriber that may hold the run back has to see what this tick publishes before the next step starts;
  // and the tick of an atomic step may be refused.
  const bool apart = hand_free && (may_be_held() || call.extras_);
  Tick done{Tick::Kind::complete, hand_free && !apart, call.invocation_};
  done.now_ms = begin_ms();
  done.rounded_ms = runtime_->clock().rounded_ms();
  if (state_.watched && call.started_ms_ >= 0) done.duration_ms = done.now_ms - call.started_ms_;
  if (call.extras_) prepare_finish(call, done);
  if (done.is_special) done.date_ms = date_ms();
  if (call.listed_) {
    if (has_ended(state_)) cancel_call(call, notices);  // nobody else has come to it yet
    unlist(call);
  }
  if (call.timed_) stop_timer(call);
  Output handled;
  if (has_ended(state_)) {
    if (call.is_kept_) come_back(call, notices);
    done.kind = Tick::Kind::discard;
    if (failure) remark(LogLevel::warning, failure, ": too late, the run had ended", notices);
    commands.rare().late_error = std::move(failure);
    commands.more = true;
  } else if (failure) {
    commands.rare().cause = failure;  // without memory, it would be let go of under the lock
    commands.more = true;
    fail_step(call, done, std::move(failure), handled);
  } else {
    done.outputs = call.outputs_;
  }
  bool is_done = tick(done, commands, notices);
  if (is_done && done.kind == Tick::Kind::complete && done.commits && commands.status != Status::ok) {
    // An atomic step whose writes the state does not take: it has failed, and nothing of it counts.
    Ref<Error> refused = refused_write(commands, done.writes);
    commands.status = Status::ok;
    fail_step(call, done, std::move(refused), handled);
    is_done = tick(done, commands, notices);
  }
  if (done.kind == Tick::Kind::fail && commands.has_rare() && commands.rare().late_error)
    remark(LogLevel::info, commands.rare().late_error, kGoesOn, notices);
  if (call.extras_) call.spend_extras();
  if (!is_done) fail_without_memory(call.invocation_, hand_free && !apart, commands, notices);
  if (apart) dispatch(commands, notices);
}

// What the step asked for beside its outputs.
void Run::prepare_finish(Call& call, Tick& done) noexcept {
  Call::Extras& extras = *call.extras_;
  done.retry_after_ms = extras.retry_after_ms;
  done.is_special = extras.is_special;
  done.commits = !extras.draft.empty();
  done.clears = extras.draft.clears();
  if (done.commits) done.writes = extras.draft.writes();
}

// handled: for the event of who handles that.
void Run::fail_step(const Call& call, Tick& tick, Ref<Error> cause, Output& handled) const noexcept {
  tick.kind = Tick::Kind::fail;
  tick.outputs = {};
  tick.writes = {};
  tick.error = Error::step_failed(call.step_->name, call.attempt_, std::move(cause));
  make_step_failed(call, tick, handled);
}

// The event for the step that handles failures, where the workflow has one.
void Run::make_step_failed(const Call& call, Tick& tick, Output& output) const noexcept {
  if (workflow().acceptors(kStepFailedType).empty() || !tick.error) return;
  try {
    output.event =
        step_failed_event(*tick.error, call.step_->name, call.attempt_, call.invocation_id_, call.event());
    output.type = kStepFailedType;
    tick.outputs = {&output, 1};
  } catch (const std::bad_alloc&) {
    tick.error = Error::out_of_memory();
  }
}

bool Run::tick(Tick& tick, Commands& commands, Notices& notices) noexcept {
  try {
    reduce(state_, tick, commands);
  } catch (const std::bad_alloc&) {
    return false;
  }
  after_reduce(commands, notices);
  return true;
}

inline void Run::after_reduce(Commands& commands, Notices& notices) noexcept {
  if (commands.more) after_tick(commands, notices);
  if (helpers_ != 0) [[unlikely]]
    wake_helpers();
}

// Those who would start what can be started now, or would look after a while whether others have.
[[gnu::noinline]] void Run::wake_helpers() noexcept {
  if (startable_now(state_) == 0 || (shares_work_ && helpers_know_ && !next_is_quick())) return;
  helpers_know_ = true;
  changed_.wake_all();
}

[[gnu::noinline]] void Run::after_tick(Commands& commands, Notices& notices) noexcept {
  if (std::exchange(commands.clock, false) && started_) {
    Tick time{Tick::Kind::time};
    time.now_ms = clock_should_run(status_of(state_)) ? begin_ms() : now_ms();
    time.date_ms = date_ms();
    time.slack_ms = slack_ms();
    this->tick(time, commands, notices);
  }
  if (commands.asked) hand_out_requests(notices);
  if (started_ && !has_ended(state_)) rearm(notices);
  const bool appended =
      commands.unreported || (commands.has_rare() && (commands.appended < commands.rare().published.size() ||
                                                      commands.reported < commands.rare().happened.size()));
  const bool news = commands.settled || appended;
  if (appended) {
    append_happened(commands);
    look_at_hold(notices);
  }
  if (commands.settled) {
    notices.more = true;
    notices.status = status_of(state_);
    notices.ended = has_ended(state_);
    if (notices.ended) ended_.store(true, std::memory_order_release);
    if (!done_.empty()) collect_done(notices);
    if (notices.ended && calls_ != nullptr) notices.cancels = true;
    if (notices.ended) keep_bodies(notices);
  }
  if (!news) {
    // A body of a paused run is back: was it the last one that a wait had hopes of?
    if (waiters_ != 0 && state_.rest == RunStatus::paused) changed_.wake_all();
    return;
  }
  collect_ready(notices);
  if (waiters_ != 0) changed_.wake_all();
}

// Both rows, each piece of news in its place among what was published.
void Run::append_happened(Commands& commands) noexcept {
  Commands::Rare& rare = commands.rare();
  if (!stream_) {
    const Limits& limits = workflow().policy().limits;
    try {
      if (limits.stream_retained != 0 && commands.appended < rare.published.size())
        stream_ = std::make_unique<StreamLog>(limits, rare.published[commands.appended].sequence);
    } catch (const std::bad_alloc&) {
      stream_.reset();  // these are not retained, and later ones may be
    }
  }
  if (stream_) {
    for (size_t i = commands.appended; i < rare.published.size(); ++i)
      stream_->append(rare.published[i], rare.dropped_events);
  }
  commands.appended = rare.published.size();
  if (state_.watched) {
    if (std::exchange(commands.unreported, false))
      stream_->append_news(nullptr, state_.stream_last, rare.dropped_events);
    for (size_t i = commands.reported; i < rare.happened.size(); ++i) {
      Ref<Event> item;
      try {
        item = make_lifecycle(rare.happened[i], workflow());
      } catch (const std::bad_alloc&) {
        item.reset();  // missed, and the listeners are told
      }
      stream_->append_news(item, rare.happened[i].after, rare.dropped_events);
    }
  }
  commands.reported = rare.happened.size();
}

void Run::look_at_listeners() noexcept {
  state_.watched = stream_->watched();
  is_observed_ = state_.watched || stream_->may_hold();
  watched_.store(state_.watched, std::memory_order_relaxed);
}

void Run::look_at_hold(Notices& notices) noexcept {
  if (!stream_) return;
  const bool was_held = std::exchange(state_.held, stream_->holds());
  if (!was_held || state_.held || startable_now(state_) == 0) return;
  if (helpers_ != 0) wake_helpers();
  if (EngineScope::works_on(*this) && !runtime_->executor().wants_each_step()) {
    if (shares_work_) offer_rest(notices);
  } else {
    offer(notices);
  }
}

void Run::collect_ready(Notices& notices) noexcept {
  if (!stream_) return;
  if (has_ended(state_)) {
    while (stream_->take_woken() != nullptr) continue;  // they are among all
    for (Stream* stream : stream_->subscribers()) collect_ready(*stream, notices);
  } else {
    while (Stream* stream = stream_->take_woken()) collect_ready(*stream, notices);
  }
}

// One callback of a stream at a time: whoever makes it looks again after it.
void Run::collect_ready(Stream& stream, Notices& notices) noexcept {
  const bool there = stream.closed_ || has_ended(state_) || stream_->has_item(stream);
  if (!there || stream.ready_.function == nullptr || stream.calling_ != 0 || !try_retain(&stream)) return;
  ++stream.calling_;
  stream.notice_ = std::exchange(stream.ready_, HostCallback{});
  stream.next_notice_ = std::exchange(notices.ready, &stream);
  notices.more = true;
}

void Run::offer(Notices& notices) noexcept {
  const size_t hands = started_ ? startable_now(state_) : 0;
  if (hands == 0) return;
  if (runtime_->executor().wants_each_step()) {
    if (hands <= tasks_) return;
    notices.hands = hands - tasks_;
    tasks_ = static_cast<uint32_t>(hands);
  } else {
    notices.hands = hands;
  }
  notices.more = true;
}

// This thread goes on with one invocation, which may take long: the others are for whoever has a hand free.
// Whoever takes the run off the queue looks under the lock after that, so that nothing is missed while the
// run is still queued.
void Run::offer_rest(Notices& notices) noexcept {
  if (startable_now(state_) == 0) return;
  if (queued.load(std::memory_order_relaxed)) return;
  notices.hands = 1;
  notices.more = true;
}

// The same from wherever it comes: maybe a body of this run, whose thread will look for more work when the
// body is back, and that may take for ever.
void Run::offer_from_inside(Notices& notices) noexcept {
  if (EngineScope::works_on(*this) && !runtime_->executor().wants_each_step()) {
    offer_rest(notices);
  } else {
    offer(notices);
  }
}

void Run::notify(Notices& notices) noexcept {
  if (!std::exchange(notices.more, false)) return;
  // First, so that whoever is called back finds what there is to do, and when.
  if (const size_t hands = std::exchange(notices.hands, 0)) runtime_->executor().submit(*this, hands);
  if (is_inherited()) return;
  if (const int64_t due_ms = std::exchange(notices.due_ms, INT64_MAX); due_ms != INT64_MAX)
    runtime_->arm(*this, due_ms);
  if (std::exchange(notices.sets_alarm, false)) runtime_->set_alarm();
  if (is_inherited()) return;
  if (std::exchange(notices.came_back, false)) runtime_->look_at_leaving(*this);
  if (std::exchange(notices.kept, false)) {
    runtime_->executor().replace_hands();
    if (runtime_->log().hears(LogLevel::info)) tell_kept();
    if (is_inherited()) return;
  }
  if (notices.remark.what != nullptr) tell_remark(std::exchange(notices.remark, {}));
  if (notices.lends_run || notices.answered_call || notices.cancels || !notices.cancelled.empty() ||
      notices.cancelled_calls != nullptr)
    call_back(notices);
  if (is_inherited()) return;
  while (notices.ready != nullptr) {
    Ref<Stream> stream = Ref<Stream>::adopt(notices.ready);
    notices.ready = stream->next_notice_;
    const HostCallback callback = stream->notice_;
    tell_log_threw(runtime_->calls().ready(callback));
    call_drop(callback.drop, callback.user_data);
    if (is_inherited()) return;
    Guard guard(lock_);
    --stream->calling_;
    if (waiters_ != 0) changed_.wake_all();
    collect_ready(*stream, notices);
  }
  if (std::exchange(notices.ended, false)) {
    if (runtime_->log().hears(LogLevel::info)) tell_log_ended();
    if (queued.load(std::memory_order_relaxed)) runtime_->executor().withdraw(*this);
    runtime_->delist(*this, std::exchange(notices.spare_call, nullptr));
    delisted_ = true;
    if (std::exchange(owned_, false)) let_go();
  }
}

// Between two bodies. False: this is a child that was forked in a callback.
[[gnu::noinline]] bool Run::notify_unforked(Notices& notices) noexcept {
  notify(notices);
  return !is_inherited();
}

void Run::call_back(Notices& notices) noexcept {
  const HostCalls& calls = runtime_->calls();
  while (const auto waiting = take_unforked(notices.done))
    tell_log_threw(calls.done(waiting->callback, *this, notices.status));
  tell_cancelled(notices);
  if (std::exchange(notices.cancels, false)) cancel_calls();
  if (notices.answered_call) {
    while (const auto waiting = take_unforked(notices.answered))
      tell_log_threw(
          calls.answered(waiting->callback, *notices.answered_call, waiting->request_id, waiting->answer));
    notices.answered_call.reset();
  }
  const std::vector<Ref<Event>> requests = std::move(notices.requests);
  notices.requests.clear();
  for (const Ref<Event>& request : requests) {
    if (is_inherited()) return;
    call_input(*request);
  }
  if (is_inherited() || !std::exchange(notices.lends_run, false)) return;
  {
    Guard guard(lock_);
    --lent_;
  }
  cancel_if_lost();
}

// --------------------------------------------------------------------------------------- events, in and out

Result<Output> Run::address(const Event& event, std::string_view target, std::string_view source) const {
  Output output;
  output.type = workflow().find_type(event.type());
  if (output.type == kUnknownType && is_stream_type(event.type())) return stream_type_refused(event.type());
  if (!target.empty()) {
    output.target = workflow().find_step(target);
    if (output.target == kNoStep) {
      return Error::make(Status::not_found, "step: workflow " + in_quotes(workflow().name()) +
                                                " has no step " + in_quotes(target));
    }
    if (!workflow().steps()[output.target].accepts_type(event.type())) {
      return Error::make(Status::not_found,
                         "step: " + in_quotes(target) + " does not accept event " + in_quotes(event.type()));
    }
  }
  output.event = Event::make(event.type(), event.value(), source, event.correlation());
  return output;
}

Ref<Error> Run::post(const Event& event, const Call::Sending& sending) {
  Result<Output> output = address(event, sending.target, {});
  if (!output) return output.error();
  if (output->type == kInputRequestType) {
    return Error::make(
        Status::invalid_argument,
        "event: an InputRequestEvent comes from a step; from outside, nobody would get the answer");
  }
  output->delay_ms = sending.delay_ms;
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (!started_) return Error::make(Status::wrong_state, "the run was not started yet");
  Tick tick{Tick::Kind::post, false, nullptr, {&*output, 1}};
  tick.is_special = sending.delay_ms != 0;
  if (tick.is_special) tick.now_ms = begin_ms();
  if (!this->tick(tick, visit.commands, visit.notices)) return Error::out_of_memory();
  offer_from_inside(visit.notices);
  return visit.leave();
}

Ref<Error> Run::effect(Call& call, Tick& tick) noexcept {
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  tick.invocation = call.invocation_;
  if (tick.is_special) {
    tick.now_ms = begin_ms();
    tick.date_ms = date_ms();
  }
  if (!this->tick(tick, visit.commands, visit.notices)) return Error::out_of_memory();
  offer_from_inside(visit.notices);
  return visit.leave();
}

// An item of a step that is between its body's start and end, so that nothing but the streams has to know.
Ref<Error> Run::progress(const Ref<Event>& item) noexcept {
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (!state_.watched) return nullptr;
  stream_->append_news(item, state_.stream_last, visit.commands.rare().dropped_events);
  look_at_hold(visit.notices);
  collect_ready(visit.notices);
  if (waiters_ != 0) changed_.wake_all();
  visit.commands.more = true;
  return visit.leave();
}

Result<Ref<Stream>> Run::subscribe(StreamOptions options) {
  const Limits& limits = workflow().policy().limits;
  if (options.capacity > limits.stream_items) {
    return Error::make(Status::limit, "options.capacity: BLAZEN_LIMIT_STREAM_ITEMS (" +
                                          std::to_string(limits.stream_items) + ") is the most");
  }
  if (options.capacity == 0) options.capacity = limits.stream_items;
  const uint64_t from = options.from;
  Ref<Stream> stream = Ref<Stream>::adopt(new Stream(Ref<Run>::share(this), std::move(options)));
  Guard guard(lock_);
  if (from > state_.stream_last + 1) {
    const uint64_t next = state_.stream_last + 1;
    guard.unlock();
    stream.reset();
    return Error::make(Status::invalid_argument, "options.from is " + std::to_string(from) +
                                                     ", and the next item of the run is " +
                                                     std::to_string(next));
  }
  if (!stream_) stream_ = std::make_unique<StreamLog>(limits, state_.stream_last + 1);
  if (stream_->subscribers().size() >= limits.subscribers) {
    guard.unlock();
    stream.reset();
    return limit_reached("BLAZEN_LIMIT_SUBSCRIBERS");
  }
  stream_->add(stream.get(), from);
  stream->closed_ = false;
  look_at_listeners();
  Notices none;  // a newcomer lets nothing go
  look_at_hold(none);
  guard.unlock();
  return stream;
}

// -----------------------------------------------------------------------------------------------------
// waiting

bool Run::helps(int64_t timeout_ms) const noexcept {
  switch (runtime_->executor().helping()) {
    case Helping::never: return false;
    case Helping::without_deadline: return timeout_ms < 0;
    case Helping::always: return timeout_ms != 0;
  }
  return false;
}

bool Run::wait_until(Guard& guard, int64_t timeout_ms, bool can_come_early,
                     const std::function<bool()>& done) {
  const int64_t deadline_ms = timeout_ms < 0 ? -1 : deadline_after(timeout_ms);
  const uint64_t steps_max = timeout_ms < 0 && !can_come_early ? 0 : 1;
  bool may_tell = timeout_ms < 0;
  LeftLying left_lying;
  while (!done()) {
    if (timeout_ms == 0) return false;
    const bool help = helps(timeout_ms);
    if (help && takes_next(left_lying)) {
      guard.unlock();
      work_as(shares_work_ && !left_lying.is_taken ? Worker::waiter : Worker::anybody, Hand::guest,
              left_lying.is_taken ? 1 : steps_max);
      if (is_inherited()) return false;
      guard.lock();
      left_lying = {};
    } else if (timeout_ms < 0 && rests_in_pause()) {
      if (!sleep_in_pause(guard, may_tell)) return false;
    } else if (!sleep(guard, help, left_lying.id != 0 ? left_lying.until_ms : deadline_ms)) {
      return !is_inherited() && done();
    }
    if (timeout_ms > 0 && !done() && steady_ms() >= deadline_ms) return false;
  }
  return true;
}

// Whether a thread that waits starts the next invocation itself. Where others can, it leaves to them what may
// take long, unless none of them has come in a while: then they may all be waiting for this one.
bool Run::takes_next(LeftLying& left_lying) noexcept {
  const Invocation* next = started_ ? next_startable(state_) : nullptr;
  helpers_know_ = next != nullptr;
  if (next == nullptr) {
    left_lying = {};
    return false;
  }
  if (!shares_work_ || workflow().is_quick(next->step)) return true;
  if (left_lying.id != next->id) {
    constexpr int64_t kLongMs = 1000;
    left_lying = {next->id, deadline_after(kLongMs), false};
    return false;
  }
  return left_lying.is_taken = steady_ms() >= left_lying.until_ms;
}

void Run::wake_waiters() noexcept {
  Guard guard(lock_);
  changed_.wake_all();
}

// Until something has changed, something is due, or the deadline. Who helps tells the time too, where no
// thread of the runtime does. False: nobody could ever end this sleep.
bool Run::sleep(Guard& guard, bool help, int64_t deadline_ms) {
  int64_t until_ms = deadline_ms;
  bool is_due = false;
  const bool tells_time = help && !runtime_->has_timekeeper();
  Runtime::Sleeper sleeper(*this);
  if (tells_time) {
    sleeper.list();
    Clock& clock = runtime_->clock();
    const int64_t due_ms = runtime_->next_due();
    const int64_t left_ms = due_ms == INT64_MAX ? INT64_MAX : due_ms - clock.now_ms();
    is_due = left_ms <= 0;
    if (!is_due && clock.is_hosts() && has_timers(state_) && busy(state_) == 0) return false;
    if (!is_due && !clock.is_hosts() && left_ms != INT64_MAX) {
      const int64_t wake_ms = add_ms(steady_ms(), left_ms);
      if (until_ms < 0 || wake_ms < until_ms) until_ms = wake_ms;
    }
  }
  if (!is_due) {
    ++waiters_;
    helpers_ += help ? 1 : 0;
    const bool may_come = changed_.wait(guard, until_ms);
    helpers_ -= help ? 1 : 0;
    --waiters_;
    if (!kThreads && !may_come) return false;
  }
  if (tells_time) {
    guard.unlock();
    runtime_->tell_time();
    if (is_inherited()) return false;
    guard.lock();
  }
  return true;
}

// Whether this pause is for the outside alone to end: no body is at work, and none has a time-out.
bool Run::rests_in_pause() const noexcept {
  if (status_of(state_) != RunStatus::paused) return false;
  for (const AtWork* worker = at_work_; worker != nullptr; worker = worker->next) {
    if (worker->call != nullptr && worker->call->invocation_ != nullptr) return false;
  }
  return !times_steps_ || next_step_due() == INT64_MAX;
}

// Until another thread ends the pause. When that takes long, the log hears of it, once; in a pump, whose host
// may have no other thread, the wait comes back instead. False: it does.
bool Run::sleep_in_pause(Guard& guard, bool& may_tell) {
  constexpr int64_t kLongMs = 1000;
  if (!kThreads) return false;
  ++waiters_;
  const bool is_woken = changed_.wait(guard, may_tell ? deadline_after(kLongMs) : -1);
  --waiters_;
  if (is_woken || !rests_in_pause()) return true;
  if (runtime_->executor().helping() == Helping::always) return false;
  may_tell = false;
  guard.unlock();
  {
    const EngineScope scope(*this);
    tell_log(LogLevel::warning, "a wait without a deadline sleeps on a run that is paused",
             "; blazen_run_resume_in_place lets it go on");
  }
  guard.lock();
  return true;
}

Result<RunStatus> Run::wait(uint32_t until, int64_t timeout_ms) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  Guard guard(lock_);
  if (wait_until(guard, timeout_ms, false, [this, until] { return is_reached(until); }))
    return status_of(state_);
  if (is_inherited()) return forked_here();
  const std::string_view why = why_too_late();
  if (timeout_ms == 0) return Error::make(Status::timeout, why);
  const std::string open = summarize(state_);
  const Picture picture = this->picture();
  guard.unlock();
  Ref<Error> error = Error::make(Status::timeout, std::string(why) + "; open: " + open);
  return picture.added_to(std::move(error), workflow());
}

// Under the lock: of a wait that has come to nothing.
std::string_view Run::why_too_late() const noexcept {
  if (started_ && status_of(state_) == RunStatus::paused)
    return "the run is paused, and has not come to what was waited for: blazen_run_resume_in_place lets it "
           "go on";
  return "the deadline passed before the run came to what was waited for";
}

bool Run::is_reached(uint32_t until) const noexcept {
  return has_ended(state_) || (started_ && ((until >> static_cast<uint32_t>(status_of(state_))) & 1) != 0);
}

Ref<Error> Run::wait_ended_or_stuck() {
  if (helps(-1)) work_as(shares_work_ ? Worker::waiter : Worker::anybody, Hand::guest, 0);
  if (is_inherited()) return forked_here();
  Guard guard(lock_);
  const auto is_over = [this] {
    const RunStatus now = status_of(state_);
    return now == RunStatus::paused ? rests_in_pause() : now != RunStatus::running;
  };
  if (!wait_until(guard, -1, false, is_over)) {
    if (is_inherited()) return forked_here();
    return Error::make(Status::timeout,
                       "a step is pending, and nobody in this library could complete it meanwhile");
  }
  if (has_ended(state_)) return nullptr;
  switch (status_of(state_)) {
    case RunStatus::elsewhere:
      return Error::make(Status::wrong_state,
                         "the run waits for a step elsewhere: such a run wants a handle");
    case RunStatus::asking:
      return Error::make(Status::wrong_state, "the run waits for an answer: such a run wants a handle");
    case RunStatus::paused:
      return Error::make(Status::wrong_state, "the run is paused: such a run wants a handle");
    default:
      return Error::make(Status::wrong_state,
                         "the run waits for an event from outside: such a run wants a handle");
  }
}

Ref<Error> Run::on_state(std::unique_ptr<PendingCallback> callback) noexcept {
  EngineScope scope(*this);
  Notices notices;
  {
    Guard guard(lock_);
    // Those that came before it were told when the run came to where it is.
    if (is_reached(callback->until)) {
      notices.status = status_of(state_);
      notices.done.add(std::move(callback));
      lend(notices);
      notices.more = true;
    } else {
      done_.add(std::move(callback));
    }
  }
  notify(notices);
  return nullptr;
}

void Run::collect_done(Notices& notices) noexcept {
  done_.move_to(notices.done, [this](uint32_t until) { return is_reached(until); });
  lend(notices);
  notices.more = true;
}

void Run::lend(Notices& notices) noexcept {
  if (!std::exchange(notices.lends_run, true)) ++lent_;
}

RunStatus Run::status() const noexcept {
  Guard guard(lock_);
  if (!started_ && !has_ended(state_)) return RunStatus::created;
  return status_of(state_);
}

// Without the lock: how a run ended does not change any more.
Result<Ref<Value>> Run::result() const noexcept {
  if (!ended()) return Error::make(Status::wrong_state, "the run has not ended yet");
  if (state_.phase == Phase::completed) return state_.result;
  return state_.error;
}

std::string Run::elsewhere() const {
  std::vector<std::string> names;
  {
    Guard guard(lock_);
    for (StepIndex step = 0; step < state_.steps.size(); ++step) {
      if (state_.steps[step].parked != 0) names.push_back(workflow().steps()[step].name);
    }
  }
  return json_names(names);
}

// Nothing changes it once the run can be seen.
std::string Run::dropped() const { return json_names(state_.dropped); }

Result<CborBuffer> Run::snapshot() {
  EngineScope scope(*this);  // serializers are called
  SnapshotCut cut;
  {
    Guard guard(lock_);
    cut = cut_snapshot(state_, now_ms(), date_ms());
  }
  Result<CborBuffer> bytes = encode_snapshot(cut, runtime_->calls().serialize);
  if (is_inherited()) return forked_here();
  {
    Guard guard(lock_);
    keep_orders(cut, state_);
  }
  if (bytes && cut.dropped.size() > state_.dropped.size())
    tell_log(LogLevel::warning, "a snapshot leaves out what cannot be kept: ", json_names(cut.dropped));
  return bytes;
}

// -------------------------------------------------------------------------------------------- state and
// session

// What was replaced goes when the lock is open, also where memory did not suffice.
class LetGoOfValues {
 public:
  explicit LetGoOfValues(Commands& commands) noexcept : commands_(commands) {}
  LetGoOfValues(const LetGoOfValues&) = delete;
  LetGoOfValues& operator=(const LetGoOfValues&) = delete;
  ~LetGoOfValues() { commands_.drop_values(); }

 private:
  Commands& commands_;
};

Ref<Error> Run::write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed) {
  if (Draft* draft = call.draft()) return write_draft(*draft, writes, version, removed);
  Commands& commands = call.commands_;
  commands.clear();
  const LetGoOfValues after(commands);
  Tick tick{Tick::Kind::write};
  tick.writes = writes;
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  reduce(state_, tick, commands);
  if (version != nullptr) *version = state_.write_last;
  guard.unlock();
  if (commands.status == Status::ok) {
    commands.more = false;  // that was all
    if (removed != nullptr) *removed = true;
    return nullptr;
  }
  if (removed != nullptr) *removed = false;
  if (commands.status == Status::not_found) return nullptr;
  return refused_write(commands, writes);
}

// What the run has must be as expected now, and again when the step commits. Until then, a key keeps the
// version that the run has.
Ref<Error> Run::write_draft(Draft& draft, std::span<Write> writes, uint64_t* version, bool* removed) {
  {
    Guard guard(lock_);
    if (has_ended(state_)) return ended_before();
    for (Write& write : writes) {
      const KeyTable::Entry* entry = state_.state ? state_.state->find(write.key) : nullptr;
      const uint64_t kept = entry == nullptr ? 0 : entry->version;
      Ref<Value> value;
      const Draft::Says says = draft.find(write.key, value);
      if (write.kind == Write::Kind::expect) {
        // As find() tells the step: one that it has removed is not there.
        if (write.expected != (says == Draft::Says::removed ? 0 : kept)) return version_conflict(write);
        write.expected = kept;
      }
      if (version != nullptr) *version = kept;
      if (removed != nullptr)
        *removed = says == Draft::Says::set || (says == Draft::Says::nothing && entry != nullptr);
    }
  }
  draft.add(writes);
  return nullptr;
}

Ref<Error> Run::clear_state(Call& call) {
  if (Draft* draft = call.draft()) {
    draft->clear();
    return nullptr;
  }
  Commands commands;
  Tick tick{Tick::Kind::clear};
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  reduce(state_, tick, commands);
  guard.unlock();
  return nullptr;
}

Ref<Error> Run::write_session(Call& call, Write write, bool* removed) {
  Commands commands;
  Tick tick{Tick::Kind::session};
  tick.writes = {&write, 1};
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  reduce(state_, tick, commands);
  guard.unlock();
  if (removed != nullptr) *removed = commands.status != Status::not_found;
  return commands.status == Status::limit ? limit_reached(commands.limit) : nullptr;
}

Run::Found Run::find(Call& call, std::string_view key, bool session) const {
  Found own;
  Draft::Says says = Draft::Says::nothing;
  if (Draft* draft = session ? nullptr : call.draft()) says = draft->find(key, own.value);
  if (says == Draft::Says::removed) return {};
  Guard guard(lock_);
  if (says == Draft::Says::set) {
    const KeyTable::Entry* known = state_.state ? state_.state->find(key) : nullptr;
    own.version = known == nullptr ? 0 : known->version;
    return own;
  }
  const Ref<KeyTable>& table = session ? state_.session : state_.state;
  const KeyTable::Entry* entry = table ? table->find(key) : nullptr;
  return entry == nullptr ? Found{} : Found{entry->value, entry->version};
}

std::vector<std::string> Run::keys(Call& call, std::string_view prefix, bool session) const {
  std::vector<std::string> keys;
  Draft* draft = session ? nullptr : call.draft();
  if (draft == nullptr || !draft->clears()) keys = kept_keys(prefix, session);
  if (draft == nullptr || draft->empty()) return keys;
  std::set<std::string> merged(keys.begin(), keys.end());
  for (const std::string& key : draft->keys()) {
    Ref<Value> value;
    if (!std::string_view(key).starts_with(prefix)) continue;
    const Draft::Says says = draft->find(key, value);
    if (says == Draft::Says::set) merged.insert(key);
    if (says == Draft::Says::removed) merged.erase(key);
  }
  return {merged.begin(), merged.end()};
}

std::vector<std::string> Run::kept_keys(std::string_view prefix, bool session) const {
  std::vector<std::string> keys;
  Guard guard(lock_);
  const Ref<KeyTable>& table = session ? state_.session : state_.state;
  if (!table) return keys;
  if (table->order() == nullptr) table->keep_order(table->make_order());
  const auto& entries = table->entries();
  const KeyTable::Order& order = *table->order();
  auto at = std::lower_bound(
      order.begin(), order.end(), prefix,
      [&](uint32_t position, std::string_view text) { return entries[position].key < text; });
  for (; at != order.end() && std::string_view(entries[*at].key).starts_with(prefix); ++at) {
    keys.push_back(entries[*at].key);
  }
  return keys;
}

}  // namespace blazen
