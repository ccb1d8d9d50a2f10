#include "engine/run.hpp"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/scope.hpp"
#include "base/steady.hpp"
#include "engine/commits.hpp"
#include "engine/refusals.hpp"
#include "engine/transaction.hpp"
#include "snapshot/restore.hpp"

namespace blazen {

namespace {

// The steps elsewhere that have something to do, each once, of the run and of what is inside it.
void put_elsewhere(const RunState& state, const std::string& before, std::vector<std::string>& names) {
  const std::vector<StepDefinition>& steps = state.workflow->steps();
  for (StepIndex step = 0; step < state.steps.size(); ++step) {
    if (state.steps[step].parked != 0) names.push_back(before + steps[step].name);
  }
  if (!state.kin || state.kin->elsewhere == 0) return;
  const size_t first = names.size();
  state.kin->children.each([&](const Kin& child) {
    if (child.status == RunStatus::elsewhere)
      put_elsewhere(*child.state, before + steps[child.host->step].name + "/", names);
  });
  const auto begin = names.begin() + static_cast<ptrdiff_t>(first);
  std::sort(begin, names.end());
  names.erase(std::unique(begin, names.end()), names.end());
}

// Of nlohmann's, only the strings: its arrays do not stand a failed allocation.
std::string json_names(const std::vector<std::string>& names) {
  std::string json = "[";
  for (const std::string& name : names) {
    if (json.size() > 1) json += ",";
    json += nlohmann::json(name).dump();
  }
  return json + "]";
}

bool keeps_runs(const RunState& state) noexcept {
  if (!state.kin) return false;
  bool keeps = !state.kin->kept.empty();
  state.kin->children.each([&keeps](const Kin& child) { keeps = keeps || keeps_runs(*child.state); });
  return keeps;
}

}  // namespace

Run::Run(RuntimeStay&& runtime, Workflow& workflow) noexcept
    : Object(Kind::run),
      RunEntry(std::move(runtime), workflow),
      bodies_{.has_timeouts = workflow.times_steps(),
              .has_parts = workflow.has_parts(),
              .shares_work = runtime_->executor().shares_work()} {
  locked_state_.unshared().workflow = Ref<Workflow>::adopt(&workflow);  // counted by the entry
  runtime_->hold(lane_);
}

Run::~Run() {
  if (seats_) leave_seats();
  if (commits_) commits_->log.forget(*commits_);
  if (!life_.delisted) runtime_->delist(*this);
  runtime_->keep_spares(*this, locked_state_.unshared().pool, bodies_.spare_call);
  (void)locked_state_.unshared().workflow.take();
  Kinship* const kin = kinship_.load(std::memory_order_relaxed);
  if (kin == nullptr) return;
  if (kin->top == nullptr) {
    delete kin;
  } else {
    Ref<Run>::adopt(kin->top).reset();  // its own is a part of what its state has
  }
}

Run& Run::top_beside(const Kinship& kin) noexcept { return kin.top == nullptr ? *this : *kin.top; }

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

namespace {

// RFC 9562: version 4, variant 10.
void mark_as_uuid(RunId& id) noexcept {
  id[6] = static_cast<uint8_t>((id[6] & 0x0f) | 0x40);
  id[8] = static_cast<uint8_t>((id[8] & 0x3f) | 0x80);
}

}  // namespace

Result<Ref<Run>> Run::create(RuntimeStay&& runtime, Workflow& workflow, const RunId* id, Ref<Value> metadata,
                             std::unique_ptr<PendingCallback> input) {
  FirstHandle run(new Run(std::move(runtime), workflow));
  RunState& state = run->locked_state_.unshared();
  if (Ref<Error> error = run->check_inner_pools()) return error;
  make_steps(state);
  if (state.permitted.has_pools()) {
    if (Ref<Error> error = run->take_seats()) return error;
  }
  state.metadata = std::move(metadata);
  run->listeners_.input = std::move(input);
  if (id != nullptr) state.id = *id;
  RunId* const made = id == nullptr ? &state.id : nullptr;
  if (Ref<Error> error = run->runtime_->enlist(*run, made, state.pool, run->bodies_.spare_call)) return error;
  if (made != nullptr) mark_as_uuid(*made);
  return run.take();
}

Result<Ref<Run>> Run::resume(RuntimeStay&& runtime, Workflow& workflow, const SnapshotDocument& snapshot,
                             const Resuming& how, LiveMaker& maker, std::unique_ptr<PendingCallback> input) {
  FirstHandle run(new Run(std::move(runtime), workflow));
  EngineScope scope(*run);  // deserializers are called
  if (Ref<Error> error = run->check_inner_pools()) return error;
  std::vector<MadeInside> inside;
  if (Ref<Error> error = run->restore(snapshot, how, maker, inside)) return error;
  if (how.forks && keeps_runs(run->state()))
    return Error::make(
        Status::snapshot_mismatch,
        "options.fork: a run inside is kept for a step that is elsewhere here, and a fork gives it "
        "another id: fork it where the workflows of all its runs are");
  if (run->is_inherited()) return forked_here();
  if (run->state().permitted.has_pools()) {
    if (Ref<Error> error = run->take_seats()) return error;
  }
  run->listeners_.input = std::move(input);
  run->life_.time_has_passed = how.time_has_passed;
  run->life_.ends_pause = !how.keeps_paused;
  run->life_.ended.store(has_ended(run->state()));
  RunState& state = run->locked_state_.unshared();
  if (how.fork_id != nullptr) state.id = *how.fork_id;
  if (how.forks && how.fork_id == nullptr) {
    if (Ref<Error> error = run->runtime_->make_id(*run, state.id)) return error;
    mark_as_uuid(state.id);
  }
  if (Ref<Error> error = run->settle_inside(std::move(inside))) return error;
  if (Ref<Error> error = run->runtime_->enlist(*run, nullptr, state.pool, run->bodies_.spare_call)) {
    run->leave_inside();
    return error;
  }
  if (!dropped_of(run->state()).empty())
    run->tell_log(LogLevel::warning, "resumed without what could not be kept: ", run->dropped());
  return run.take();
}

// Without memory, or in a forked child, whose lock may be held for ever, the text is this thread's, until it asks again.
std::string_view Run::id() const noexcept {
  if (!is_inherited()) {
    Guard guard(lock());
    if (!id_text_) id_text_.reset(new (std::nothrow) UuidText(uuid_text(id_of_run(state()))));
    if (id_text_) return {id_text_->data(), kUuidTextLength};
  }
  static thread_local UuidText mine;
  mine = uuid_text(id_of_run(state()));
  return {mine.data(), kUuidTextLength};
}

// A handle of a child is one of its top, which ends with it.
void Run::hold() noexcept {
  if (is_child()) {
    keep();
    return top().hold();
  }
  if (life_.handles.fetch_add(1, std::memory_order_relaxed) != 0) return;
  keep();
  runtime_->hold(lane_);
}

void Run::release_handle() noexcept {
  if (is_inherited()) return;
  if (is_child()) {
    Run& top = this->top();
    Ref<Run> kept = Ref<Run>::adopt(this);
    return top.release_handle();
  }
  if (life_.handles.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  bool lost = false;
  if (!life_.ended.load(std::memory_order_relaxed)) {
    Guard guard(lock());
    lost = is_lost(guard);
  }
  if (lost) cancel("its last handle was released while it waited for the outside");
  Runtime* const runtime = runtime_;  // what hold() took keeps it, when this run is gone
  const uint8_t lane = lane_;
  let_go();
  runtime->let_go(lane);
}

// Nobody could ever move on a run that waits for the outside, has no handle, and is in no callback's hands.
bool Run::is_lost(Locked locked) const noexcept {
  return life_.handles.load(std::memory_order_relaxed) == 0 && listeners_.callback_rounds == 0 &&
         life_.started && state().phase == Phase::running &&
         startable(state()) + state().in_flight.size() - hosting(state()) == 0 &&
         (kinship() == nullptr || bodies_.at_work == nullptr) &&
         (state().pause != Pause::none ||
          (!is_moving(state()) && state().deadlines.empty() && first_due_below(locked) == INT64_MAX));
}

// Without the lock, when all that the last tick wanted has been done.
void Run::cancel_if_lost() noexcept {
  if (is_child()) return top().cancel_if_lost();
  if (life_.handles.load(std::memory_order_relaxed) != 0 || ended() || is_inherited()) return;
  bool lost = false;
  {
    Guard guard(lock());
    lost = is_lost(guard);
  }
  if (lost) cancel("it waits for the outside, and nobody holds a handle of it");
}

Ref<Error> Run::start(Ref<Value> input, bool has_input, bool submit) {
  Output first;  // let go of outside the lock
  Transaction transaction(*this);
  if (life_.started) return Error::make(Status::wrong_state, "the run was already started");
  if (has_ended(state()) && state().phase == Phase::cancelled) return ended_before();
  if (state().phase != Phase::created && has_input) {
    return Error::make(Status::invalid_argument, "input: the run that is resumed had its input; give NULL");
  }
  const bool is_new = state().phase == Phase::created;
  if (is_new) first = {make_start_event(transaction.locked(), std::move(input)), kStartType};
  Tick start{is_new ? Tick::Kind::start : Tick::Kind::resume, false, nullptr, {&first, 1}};
  // Most time-outs are far away, and do not mind that the coarse clock is behind.
  const int64_t timeout_ms = workflow().policy().timeout_ms;
  const bool is_near = !is_new || (timeout_ms != 0 && timeout_ms < Runtime::kFarMs);
  start.now_ms = is_near ? begin_ms() : runtime_->clock().coarse_ms();
  if (!is_new) start.date_ms = date_ms();
  start.ends_pause = life_.ends_pause;
  start.time_has_passed = !is_new && life_.time_has_passed;
  const bool will_move = !has_ended(state());
  if (!tick(transaction.locked(), start, transaction.commands, transaction.notifications))
    return Error::out_of_memory();
  if (transaction.commands.status != Status::ok) return transaction.leave();
  life_.started = true;
  if (seats_) settle_pools(transaction.locked(), false, transaction.commands, transaction.notifications);
  life_.time_has_passed = false;
  time_.looked_ms = start.now_ms;
  life_.has_just_looked = true;
  if (is_new && !has_ended(state())) begin_time(transaction.locked(), transaction.notifications);
  if (will_move) {
    life_.owned = true;
    keep();
  }
  if (!is_new) {
    transaction.commands.settled = state().last_status != RunStatus::running;
    transaction.commands.more = true;
    transaction.commands.asked = !state().questions.empty();
    release_effects(transaction.locked(), transaction.commands, transaction.notifications);
    if (kinship() != nullptr) start_below(transaction.locked(), start, transaction.notifications);
  }
  if (submit) offer(transaction.locked(), transaction.notifications);
  note_for_log(LogLevel::debug, nullptr, is_new ? "started" : "goes on from a snapshot",
               transaction.notifications);
  return transaction.leave();
}

// In the memory of an event that is gone, where the call that the run was given has some.
Ref<Event> Run::make_start_event(Locked, Ref<Value> input) {
  if (bodies_.spare_call == nullptr) return Event::make(kStartEvent, std::move(input));
  return Event::make_in(bodies_.spare_call->event_cache_, kStartEvent, std::move(input), {});
}

void Run::end(Phase phase, Ref<Error> error) noexcept {
  if (is_inherited()) return;
  Tick last{Tick::Kind::end};
  last.phase = phase;
  last.error = std::move(error);
  Transaction transaction(*this);
  if (has_ended(state())) return;
  tick(transaction.locked(), last, transaction.commands, transaction.notifications);
  transaction.leave();
}

void Run::cancel(std::string_view why) noexcept {
  Ref<Error> error;
  try {
    error = Error::make(Status::cancelled, std::string("the run was cancelled: ").append(why));
  } catch (const std::bad_alloc&) {
    error = Error::out_of_memory();
  }
  end(Phase::cancelled, std::move(error));
  if (commits_) drop_effects();
}

Ref<Error> Run::close(int64_t timeout_ms) {
  if (EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a run cannot be closed from inside a callback: it would wait for itself");
  }
  cancel("it was closed");
  if (is_inherited()) return forked_here();
  life_.closing.store(true);
  const int64_t deadline_ms = timeout_ms < 0 ? -1 : deadline_after(timeout_ms);
  bool in_time = true;
  {
    Guard guard(lock());
    ++waiting_.sleepers;
    while (life_.busy.load() != 0 && in_time) in_time = waiting_.changed.wait(guard, deadline_ms);
    waiting_.woke();
  }
  if (in_time || life_.busy.load() == 0) return nullptr;
  StuckBodies bodies;
  add_stuck(bodies);
  return bodies.error("the run");
}

void Run::enter() noexcept {
  if (is_child()) return top().enter();
  life_.busy.fetch_add(1);
  runtime_->enter(lane_);
}

// Whoever entered holds a reference to the run, which is therefore still there after the count has fallen.
void Run::leave() noexcept {
  if (is_inherited()) return;
  if (is_child()) return top().leave();
  if (life_.busy.fetch_sub(1) == 1 && life_.closing.load()) {
    Guard guard(lock());
    waiting_.changed.wake_all();
  }
  runtime_->leave(lane_);
}

void Run::give_up(Ref<Error> error) noexcept {
  const bool cancelled = error->status == Status::cancelled;
  end(cancelled ? Phase::cancelled : Phase::failed, std::move(error));
}

void Run::abort() noexcept { end(Phase::cancelled, Error::make(Status::aborted, "the run was aborted")); }

Ref<Error> Run::pause(Pause how) noexcept {
  Tick tick{Tick::Kind::pause};
  tick.pause = how;
  tick.clears_session = workflow().policy().clears_session;
  return steer(tick);
}

Ref<Error> Run::unpause() noexcept {
  Tick tick{Tick::Kind::unpause};
  return steer(tick);
}

[[gnu::noinline]] Ref<Error> Run::steer(Tick& tick) noexcept {
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (state().phase == Phase::created) return Error::make(Status::wrong_state, "the run was not started yet");
  if (tick.kind == Tick::Kind::unpause && state().pause == Pause::none) return nullptr;
  if (life_.started) tick.now_ms = tick.kind == Tick::Kind::pause ? now_ms() : begin_ms();
  tick.date_ms = date_ms();
  life_.ends_pause = false;  // what the host says since the resume holds
  this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications);
  if (life_.started && !has_ended(state())) rearm(transaction.locked(), transaction.notifications);
  if (kinship() != nullptr) steer_below(transaction.locked(), tick, transaction.notifications);
  offer(transaction.locked(), transaction.notifications);
  transaction.leave();
  return nullptr;
}

RunStatus Run::status() const noexcept {
  Guard guard(lock());
  if (!life_.started && !has_ended(state())) return RunStatus::created;
  return seen_status(guard);
}

// Without the lock: how a run ended does not change any more.
Result<Ref<Value>> Run::result() const noexcept {
  if (!ended()) return Error::make(Status::wrong_state, "the run has not ended yet");
  if (commits_ && commits_->seen != static_cast<RunStatus>(state().phase))
    return Error::make(Status::cancelled, "how the run ended was not stored, and came to nothing");
  if (state().phase == Phase::completed) return state().result;
  return state().error;
}

std::string Run::elsewhere() const {
  std::vector<std::string> names;
  {
    Guard guard(lock());
    put_elsewhere(state(), {}, names);
  }
  return json_names(names);
}

// Nothing changes it once the run can be seen.
std::string Run::dropped() const { return json_names(dropped_of(state())); }

Result<CborBuffer> Run::snapshot() {
  const EngineScope scope(*this);  // serializers are called
  SnapshotCut cut = cut_here();
  Result<CborBuffer> bytes = encode_snapshot(cut, runtime_->calls().serialize);
  if (is_inherited()) return forked_here();
  after_snapshot(cut, static_cast<bool>(bytes));
  return bytes;
}

// The pieces of one snapshot on their way to the host. A close that began meanwhile waits for the piece under way
// alone.
class Run::Pieces final : public CborSink {
 public:
  Pieces(const Run& run, const HostCallback& write) noexcept
      : run_(run), write_(write), was_closing_(is_closing()) {}

  bool take(std::span<const uint8_t> piece) override {
    if (run_.is_inherited()) {
      failure = forked_here();
    } else if (is_closing() && !was_closing_) {
      failure = Error::make(Status::cancelled, "the run was closed while its snapshot was written");
    } else {
      failure = run_.runtime_->calls().write(write_, piece);
    }
    return !failure;
  }

  Ref<Error> failure;  // null: it was given all so far

 private:
  bool is_closing() const noexcept { return run_.life_.closing.load() || run_.runtime_->is_closing(); }

  const Run& run_;
  const HostCallback& write_;
  const bool was_closing_;
};

Ref<Error> Run::snapshot_to(std::unique_ptr<PendingCallback> write) {
  const EngineScope scope(*this);
  const std::unique_ptr<PendingCallback> callback = std::move(write);  // dropped before a close goes on
  SnapshotCut cut = cut_here();
  Pieces pieces(*this, callback->callback);
  Ref<Error> failure = encode_snapshot_to(pieces, cut, runtime_->calls().serialize);
  if (is_inherited()) return forked_here();
  if (pieces.failure) failure = std::move(pieces.failure);
  after_snapshot(cut, !failure);
  return failure;
}

SnapshotCut Run::cut_here() {
  Guard guard(lock());
  return cut_snapshot(state(), now_ms(), date_ms());
}

void Run::after_snapshot(SnapshotCut& cut, bool is_made) {
  {
    Guard guard(lock());
    keep_orders(cut, state());
  }
  if (is_made && cut.dropped.size() > dropped_of(state()).size())
    tell_log(LogLevel::warning, "a snapshot leaves out what cannot be kept: ", json_names(cut.dropped));
}

}  // namespace blazen
