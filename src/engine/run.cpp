#include "engine/run.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/uuid.hpp"
#include "engine/scope.hpp"
#include "snapshot/restore.hpp"

namespace blazen {
namespace {

int64_t now_ms() noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string in_quotes(std::string_view text) { return std::string("'").append(text).append("'"); }

// Saturates: a deadline beyond the end of time is as good as none.
int64_t deadline_after(int64_t timeout_ms) noexcept {
  const int64_t now = now_ms();
  return timeout_ms > INT64_MAX / 2 ? INT64_MAX / 2 : now + timeout_ms;
}

Ref<Error> ended_before() noexcept { return Error::make(Status::cancelled, "the run has already ended"); }

Ref<Error> closed_runtime() noexcept { return Error::make(Status::cancelled, "the runtime is closed"); }

Ref<Error> limit_reached(const char* limit) noexcept {
  try {
    return Error::make(Status::limit, std::string(limit).append(" is reached"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

}  // namespace

// --------------------------------------------------------------------------------------------- from birth to
// end

Run::Run(Runtime& runtime, Ref<Workflow> workflow) noexcept
    : Object(Kind::run), runtime_(Ref<Runtime>::share(&runtime)) {
  state_.workflow = std::move(workflow);
  runtime_->hold();
}

Run::~Run() {
  runtime_->delist(*this);
  for (const HostCallback& callback : done_) call_drop(callback.drop, callback.user_data);
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

Result<Ref<Run>> Run::create(Runtime& runtime, Ref<Workflow> workflow, Ref<Value> metadata) {
  FirstHandle run(new Run(runtime, std::move(workflow)));
  RunState& state = run->state_;
  state.steps.resize(state.workflow->steps().size());
  state.metadata = std::move(metadata);
  if (Ref<Error> error = runtime.entropy().fill(state.id.data(), state.id.size())) return error;
  state.id[6] = static_cast<uint8_t>((state.id[6] & 0x0f) | 0x40);  // RFC 9562: version 4,
  state.id[8] = static_cast<uint8_t>((state.id[8] & 0x3f) | 0x80);  // variant 10
  if (!runtime.enlist(*run)) return closed_runtime();
  return run.take();
}

Result<Ref<Run>> Run::resume(Runtime& runtime, const Ref<Workflow>& workflow,
                             const SnapshotDocument& snapshot, bool allow_changed_workflow) {
  FirstHandle run(new Run(runtime, workflow));
  if (Ref<Error> error = restore_run(snapshot, workflow, allow_changed_workflow, run->state_)) return error;
  run->ended_.store(has_ended(run->state_));
  if (!runtime.enlist(*run)) return closed_runtime();
  return run.take();
}

std::string_view Run::id() const noexcept {
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
  if (runtime_->is_inherited()) return;
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  bool lost = false;
  if (!ended_.load(std::memory_order_relaxed)) {
    Guard guard(lock_);
    lost = is_lost();
  }
  if (lost) cancel("its last handle was released while it waited for the outside");
  Ref<Runtime> runtime = runtime_;
  let_go();
  runtime->let_go();
}

// Nobody could ever move on a run that waits for the outside and has no handle.
bool Run::is_lost() const noexcept {
  return handles_.load(std::memory_order_relaxed) == 0 && started_ && state_.phase == Phase::running &&
         startable(state_) + state_.in_flight.size() == 0;
}

Ref<Error> Run::start(Ref<Value> input, bool has_input, bool submit) {
  Output first{Event::make(kStartEvent, std::move(input)), kStartType, kNoStep};
  EngineScope scope(*this);
  Commands commands;
  Notices notices;
  Guard guard(lock_);
  if (started_) return Error::make(Status::wrong_state, "the run was already started");
  if (has_ended(state_) && state_.phase == Phase::cancelled) return ended_before();
  if (state_.phase != Phase::created && has_input) {
    return Error::make(Status::invalid_argument, "input: the run that is resumed had its input; give NULL");
  }
  Tick start{
      state_.phase == Phase::created ? Tick::Kind::start : Tick::Kind::resume, false, nullptr, {&first, 1}};
  const bool will_move = !has_ended(state_);
  if (!tick(start, commands, notices)) return Error::out_of_memory();
  started_ = true;
  if (will_move) {
    owned_.store(true);
    keep();
  }
  commands.settled = is_settled(state_);
  commands.more = true;
  after_tick(commands, notices);
  if (submit) offer(notices);
  guard.unlock();
  commands.clear();
  notify(notices);
  return nullptr;
}

void Run::end(Phase phase, Ref<Error> error) noexcept {
  EngineScope scope(*this);
  Commands commands;
  Notices notices;
  Guard guard(lock_);
  if (has_ended(state_)) return;
  Tick last{Tick::Kind::end};
  last.phase = phase;
  last.error = std::move(error);
  tick(last, commands, notices);
  guard.unlock();
  commands.clear();
  notify(notices);
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

Ref<Error> Run::close() noexcept {
  if (EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a run cannot be closed from inside a callback: it would wait for itself");
  }
  cancel("it was closed");
  closing_.store(true);
  Guard guard(lock_);
  ++waiters_;
  while (busy_.load() != 0) changed_.wait(guard, -1);
  --waiters_;
  return nullptr;
}

void Run::enter() noexcept {
  busy_.fetch_add(1);
  runtime_->enter();
}

// Whoever entered holds a reference to the run, which is therefore still there after the count has fallen.
void Run::leave() noexcept {
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

uint64_t Run::work(uint64_t steps_max) noexcept {
  EngineScope scope(*this, true);
  Commands commands;
  Notices notices;
  Call* call = nullptr;  // the one that this thread uses for one body after the other
  Ref<Call> left;        // one that somebody else completes, or has completed
  bool left_is_done = false;
  uint64_t steps = 0;
  Guard guard(lock_);
  if (tasks_ > 0) --tasks_;
  bool hand_free = started_;
  if (hand_free) dispatch(commands, notices);
  while (take_next(call, commands, notices)) {
    guard.unlock();
    // Call out, with nothing of the last tick left behind.
    if (left) clear_left(left, left_is_done);
    call->outputs_.clear();
    call->stash_.put(std::move(commands.released));
    commands.clear();
    if (notices.any()) notify(notices);
    Ref<Error> error;
    const Status status = call_body(*call, error);
    ++steps;
    hand_free = steps_max == 0 || steps < steps_max;
    // Bring back, and take the next.
    guard.lock();
    left_is_done = bring_back(*call, status, error, hand_free, commands, notices);
    if (left_is_done && !call->deferred_) continue;
    left = Ref<Call>::adopt(std::exchange(call, nullptr));
    if (!left_is_done && hand_free) dispatch(commands, notices);
  }
  offer(notices);
  const bool lost = is_lost();
  guard.unlock();
  if (left) clear_left(left, left_is_done);
  if (call != nullptr) call->outputs_.clear();
  commands.clear();
  if (call != nullptr && notices.ended) notices.spare_call = std::exchange(call, nullptr);
  notify(notices);
  if (call != nullptr) keep_call(call);
  if (lost) cancel("it waits for the outside, and nobody holds a handle of it");
  return steps;
}

void Run::clear_left(Ref<Call>& left, bool is_done) noexcept {
  if (is_done) left->outputs_.clear();
  left.reset();
}

void Run::dispatch(Commands& commands, Notices& notices) noexcept {
  Tick next{Tick::Kind::dispatch};
  tick(next, commands, notices);
}

bool Run::take_next(Call*& call, Commands& commands, Notices& notices) noexcept {
  Invocation* invocation = commands.start;
  if (invocation == nullptr) return false;
  if (call == nullptr) call = take_call();
  if (call == nullptr) {
    commands.start = nullptr;
    Tick out_of_memory{Tick::Kind::fail};
    out_of_memory.invocation = invocation;
    out_of_memory.error = Error::out_of_memory();
    tick(out_of_memory, commands, notices);
    return false;
  }
  call->begin(*this, invocation);
  offer_rest(notices);
  return true;
}

Call* Run::take_call() noexcept {
  if (spare_call_ != nullptr) return std::exchange(spare_call_, nullptr);
  return new (std::nothrow) Call;
}

// For the next thread that works on this run, unless another was quicker.
void Run::keep_call(Call* call) noexcept {
  {
    Guard guard(lock_);
    if (spare_call_ == nullptr) spare_call_ = std::exchange(call, nullptr);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
}

Status Run::call_body(Call& call, Ref<Error>& error) noexcept {
  return runtime_->calls().step(*call.step_->body, call, *call.event_, error);
}

bool Run::bring_back(Call& call, Status status, Ref<Error>& error, bool hand_free, Commands& commands,
                     Notices& notices) noexcept {
  call.returned_ = true;
  Ref<Error> failure;
  if (call.deferred_ && (status == Status::ok || status == Status::pending)) {
    if (status == Status::pending && !call.completed_) return false;
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

void Run::finish(Call& call, Ref<Error> failure, bool hand_free, Commands& commands,
                 Notices& notices) noexcept {
  call.open_.store(false, std::memory_order_release);
  Tick done{Tick::Kind::complete, hand_free, call.invocation_};
  if (has_ended(state_)) {
    done.kind = Tick::Kind::discard;
    commands.late_error = std::move(failure);
    commands.more = true;
  } else if (failure) {
    done.kind = Tick::Kind::fail;
    done.error = Error::step_failed(call.step_->name, call.attempt_, std::move(failure));
  } else {
    done.outputs = call.outputs_;
  }
  if (tick(done, commands, notices)) return;
  done.kind = Tick::Kind::fail;
  done.error = Error::out_of_memory();
  tick(done, commands, notices);
}

bool Run::tick(Tick& tick, Commands& commands, Notices& notices) noexcept {
  try {
    reduce(state_, tick, commands);
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (commands.more) after_tick(commands, notices);
  if (helpers_ != 0 && startable(state_) != 0) changed_.wake_all();
  // A run that waits for the outside has not settled, but some who wait want to know.
  if (waiters_ != 0 && startable(state_) + state_.in_flight.size() == 0) changed_.wake_all();
  return true;
}

void Run::after_tick(Commands& commands, Notices& notices) noexcept {
  const bool news = commands.settled || commands.appended < commands.published.size();
  const bool heard = stream_ && stream_->has_subscribers();
  for (; commands.appended < commands.published.size(); ++commands.appended) {
    if (heard) stream_->append(commands.published[commands.appended], commands.dropped_events);
  }
  if (commands.settled) {
    notices.more = true;
    notices.status = status_of(state_);
    if (notices.done.empty()) notices.done.swap(done_);
    notices.ended = has_ended(state_);
    if (notices.ended) ended_.store(true, std::memory_order_relaxed);
  }
  if (!news) return;
  collect_ready(notices);
  if (waiters_ != 0) changed_.wake_all();
}

void Run::collect_ready(Notices& notices) noexcept {
  if (!stream_) return;
  for (Stream* stream : stream_->subscribers()) collect_ready(*stream, notices);
}

// One callback of a stream at a time: whoever makes it looks again after it.
void Run::collect_ready(Stream& stream, Notices& notices) noexcept {
  const bool there = stream.closed_ || has_ended(state_) || state_.stream_last >= stream.cursor_;
  if (!there || stream.ready_.function == nullptr || stream.calling_ != 0 || !try_retain(&stream)) return;
  ++stream.calling_;
  stream.notice_ = std::exchange(stream.ready_, HostCallback{});
  stream.next_notice_ = std::exchange(notices.ready, &stream);
  notices.more = true;
}

void Run::offer(Notices& notices) noexcept {
  const size_t startable_now = started_ ? startable(state_) : 0;
  if (startable_now == 0) return;
  if (runtime_->executor().wants_each_step()) {
    if (startable_now <= tasks_) return;
    notices.hands = startable_now - tasks_;
    tasks_ = startable_now;
  } else {
    notices.hands = startable_now;
  }
  notices.more = true;
}

// This thread goes on with one invocation, which may take long: the others are for whoever has a hand free.
// Whoever takes the run off the queue looks under the lock after that, so that nothing is missed while the
// run is still queued.
void Run::offer_rest(Notices& notices) noexcept {
  if (startable(state_) == 0 || !runtime_->executor().shares_work()) return;
  if (queued.load(std::memory_order_relaxed)) return;
  notices.hands = 1;
  notices.more = true;
}

void Run::notify(Notices& notices) noexcept {
  if (!std::exchange(notices.more, false)) return;
  for (const HostCallback& callback : notices.done) {
    runtime_->calls().done(callback, *this, notices.status);
    call_drop(callback.drop, callback.user_data);
  }
  notices.done.clear();
  while (notices.ready != nullptr) {
    Ref<Stream> stream = Ref<Stream>::adopt(notices.ready);
    notices.ready = stream->next_notice_;
    const HostCallback callback = stream->notice_;
    runtime_->calls().ready(callback);
    call_drop(callback.drop, callback.user_data);
    Guard guard(lock_);
    --stream->calling_;
    if (waiters_ != 0) changed_.wake_all();
    collect_ready(*stream, notices);
  }
  if (std::exchange(notices.ended, false)) {
    if (queued.load(std::memory_order_relaxed)) runtime_->executor().withdraw(*this);
    runtime_->delist(*this, std::exchange(notices.spare_call, nullptr));
    if (owned_.exchange(false)) let_go();
  }
  if (const size_t hands = std::exchange(notices.hands, 0)) runtime_->executor().submit(*this, hands);
}

// --------------------------------------------------------------------------------------- events, in and out

Result<Output> Run::address(const Event& event, std::string_view target, std::string_view source) const {
  Output output;
  output.type = workflow().find_type(event.type());
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

Ref<Error> Run::post(const Event& event, std::string_view target) {
  Result<Output> output = address(event, target, {});
  if (!output) return output.error();
  EngineScope scope(*this);
  Commands commands;
  Notices notices;
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (!started_) return Error::make(Status::wrong_state, "the run was not started yet");
  Tick tick{Tick::Kind::post, false, nullptr, {&*output, 1}};
  if (!this->tick(tick, commands, notices)) return Error::out_of_memory();
  if (!EngineScope::works_on(*this)) offer(notices);
  guard.unlock();
  Ref<Error> refused = commands.status == Status::ok ? nullptr : limit_reached(commands.limit);
  commands.clear();
  notify(notices);
  return refused;
}

Ref<Error> Run::effect(Tick& tick) noexcept {
  EngineScope scope(*this);
  Commands commands;
  Notices notices;
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (!this->tick(tick, commands, notices)) return Error::out_of_memory();
  if (EngineScope::works_on(*this) && !runtime_->executor().wants_each_step()) {
    offer_rest(notices);
  } else {
    offer(notices);
  }
  guard.unlock();
  Ref<Error> refused = commands.status == Status::ok ? nullptr : limit_reached(commands.limit);
  commands.clear();
  notify(notices);
  return refused;
}

Result<Ref<Stream>> Run::subscribe() {
  Ref<Stream> stream = Ref<Stream>::adopt(new Stream(Ref<Run>::share(this)));
  Guard guard(lock_);
  const Limits& limits = workflow().policy().limits;
  if (!stream_) stream_ = std::make_unique<StreamLog>(limits.stream_items);
  if (stream_->subscribers().size() >= limits.subscribers) {
    guard.unlock();
    stream.reset();
    return limit_reached("BLAZEN_LIMIT_SUBSCRIBERS");
  }
  stream->cursor_ = state_.stream_last + 1;
  stream_->add(stream.get(), stream->cursor_);
  stream->closed_ = false;
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

bool Run::wait_until(Guard& guard, int64_t timeout_ms, const std::function<bool()>& done) {
  const int64_t deadline_ms = timeout_ms < 0 ? -1 : deadline_after(timeout_ms);
  while (!done()) {
    if (timeout_ms == 0) return false;
    const bool help = helps(timeout_ms);
    if (help && started_ && startable(state_) != 0) {
      guard.unlock();
      work(timeout_ms < 0 ? 0 : 1);
      guard.lock();
    } else {
      ++waiters_;
      helpers_ += help ? 1 : 0;
      const bool may_come = changed_.wait(guard, deadline_ms);
      helpers_ -= help ? 1 : 0;
      --waiters_;
      if (!kThreads && !may_come) return done();
    }
    if (timeout_ms > 0 && !done() && now_ms() >= deadline_ms) return false;
  }
  return true;
}

Result<RunStatus> Run::wait(int64_t timeout_ms) {
  if (timeout_ms != 0 && EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a wait is not possible inside a callback: give a timeout_ms of 0");
  }
  Guard guard(lock_);
  if (!wait_until(guard, timeout_ms,
                  [this] { return has_ended(state_) || (started_ && is_settled(state_)); })) {
    return Error::make(Status::timeout, "the deadline passed before the run ended");
  }
  return status_of(state_);
}

Ref<Error> Run::wait_ended_or_stuck() {
  if (helps(-1)) work(0);
  Guard guard(lock_);
  if (!wait_until(guard, -1, [this] { return status_of(state_) != RunStatus::running; })) {
    return Error::make(Status::timeout,
                       "a step is pending, and nobody in this library could complete it meanwhile");
  }
  if (has_ended(state_)) return nullptr;
  return Error::make(Status::wrong_state,
                     status_of(state_) == RunStatus::elsewhere
                         ? "the run waits for a step elsewhere: such a run wants a handle"
                         : "the run waits for an event from outside: such a run wants a handle");
}

Ref<Error> Run::on_done(const HostCallback& callback) noexcept {
  EngineScope scope(*this);
  Notices notices;
  try {
    Guard guard(lock_);
    done_.push_back(callback);
    if (has_ended(state_) || (started_ && is_settled(state_))) {
      notices.status = status_of(state_);
      notices.done.swap(done_);
      notices.more = true;
    }
  } catch (const std::bad_alloc&) {
    call_drop(callback.drop, callback.user_data);
    return Error::out_of_memory();
  }
  notify(notices);
  return nullptr;
}

RunStatus Run::status() const noexcept {
  Guard guard(lock_);
  if (!started_ && !has_ended(state_)) return RunStatus::created;
  return status_of(state_);
}

Result<Ref<Value>> Run::result() const noexcept {
  Guard guard(lock_);
  if (state_.phase == Phase::completed) return state_.result;
  if (has_ended(state_)) return state_.error;
  return Error::make(Status::wrong_state, "the run has not ended yet");
}

std::string Run::elsewhere() const {
  std::string names = "[";
  Guard guard(lock_);
  for (StepIndex step = 0; step < state_.steps.size(); ++step) {
    if (state_.steps[step].parked == 0) continue;
    if (names.size() > 1) names += ",";
    // Of nlohmann's, only the strings: its arrays do not stand a failed allocation.
    names += nlohmann::json(workflow().steps()[step].name).dump();
  }
  return names + "]";
}

Result<CborBuffer> Run::snapshot() const {
  SnapshotCut cut;
  {
    Guard guard(lock_);
    cut = cut_snapshot(state_);
  }
  Result<CborBuffer> bytes = encode_snapshot(cut);
  Guard guard(lock_);
  keep_orders(cut, state_);
  return bytes;
}

// -------------------------------------------------------------------------------------------- state and
// session

Ref<Error> Run::write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed) {
  Commands& commands = call.commands_;
  commands.clear();
  Tick tick{Tick::Kind::write};
  tick.writes = writes;
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  reduce(state_, tick, commands);
  if (version != nullptr) *version = state_.write_last;
  guard.unlock();
  commands.replaced.reset();
  if (!commands.dropped_values.empty() || commands.dropped_table) commands.drop_values();
  if (commands.status == Status::ok) {
    if (removed != nullptr) *removed = true;
    return nullptr;
  }
  if (removed != nullptr) *removed = false;
  if (commands.status == Status::not_found) return nullptr;
  if (commands.status == Status::limit) return limit_reached(commands.limit);
  return Error::make(Status::conflict, "key " + in_quotes(writes[commands.fault].key) +
                                           " does not have version " +
                                           std::to_string(writes[commands.fault].expected));
}

Ref<Error> Run::clear_state() {
  Commands commands;
  Tick tick{Tick::Kind::clear};
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  reduce(state_, tick, commands);
  guard.unlock();
  return nullptr;
}

Ref<Error> Run::write_session(Write write, bool* removed) {
  Commands commands;
  Tick tick{Tick::Kind::session};
  tick.writes = {&write, 1};
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  reduce(state_, tick, commands);
  guard.unlock();
  if (removed != nullptr) *removed = commands.status != Status::not_found;
  return commands.status == Status::limit ? limit_reached(commands.limit) : nullptr;
}

Run::Found Run::find(std::string_view key, bool session) const noexcept {
  Guard guard(lock_);
  const Ref<KeyTable>& table = session ? state_.session : state_.state;
  const KeyTable::Entry* entry = table ? table->find(key) : nullptr;
  return entry == nullptr ? Found{} : Found{entry->value, entry->version};
}

std::vector<std::string> Run::keys(std::string_view prefix, bool session) const {
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
