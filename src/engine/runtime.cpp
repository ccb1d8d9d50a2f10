#include "engine/runtime.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/scope.hpp"
#include "base/steady.hpp"
#include "engine/refusals.hpp"

namespace blazen {
namespace {

// False: it was that low already.
bool lower(std::atomic<int64_t>& moment, int64_t due_ms) noexcept {
  int64_t known = moment.load();
  while (due_ms < known) {
    if (moment.compare_exchange_weak(known, due_ms)) return true;
  }
  return false;
}

#ifdef BLAZEN_INVARIANTS
// A spare keeps nothing of the host's: that would be let go of by another run, whenever there is one.
void check_keeps_nothing(bool holds, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "blazen: invariant does not hold: %s keeps something of the host's\n", what);
  std::abort();
}
#endif

}  // namespace

// A place in the list of active runs, for who goes over them some at a time. Runs that come after it has
// begun are not in it. Made, used and gone under the lock, but for the time between two next().
class Runtime::Walk {
 public:
  explicit Walk(Runtime& runtime) noexcept
      : runtime_(runtime), at_(runtime.active_), below_(std::exchange(runtime.walks_, this)) {}
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() {
    Walk** place = &runtime_.walks_;
    while (*place != this) place = &(*place)->below_;
    *place = below_;
  }
  // Null: that was the last.
  RunEntry* next() noexcept {
    RunEntry* run = at_;
    if (run != nullptr) at_ = run->next_active_;
    return run;
  }
  bool is_over() const noexcept { return at_ == nullptr; }
  // It leaves the list.
  static void pass_by(Walk* walks, const RunEntry& run) noexcept {
    for (Walk* walk = walks; walk != nullptr; walk = walk->below_) {
      if (walk->at_ == &run) walk->at_ = run.next_active_;
    }
  }

 private:
  Runtime& runtime_;
  RunEntry* at_;
  Walk* below_;
};

// Exact, though the lock is free in between: each run is counted where it is met, or where it went before.
class Runtime::Count {
 public:
  // Waits until the one before is done.
  Count(Runtime& runtime, Guard& guard) noexcept : runtime_(runtime) {
    while (runtime.count_ != nullptr) runtime.quiet_.wait(guard, -1);
    runtime.count_ = this;
    runtime.round_ = !runtime.round_;
  }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
  ~Count() {
    runtime_.count_ = nullptr;
    runtime_.quiet_.wake_all();
  }
  RuntimeCounters& unseen() noexcept { return unseen_; }

 private:
  Runtime& runtime_;
  RuntimeCounters unseen_;
};

#ifdef BLAZEN_INVARIANTS
void Call::check_keeps_nothing() const noexcept {
  blazen::check_keeps_nothing(!event_kept_ && !failure_ && outputs_.empty() && !lent_value_ && !cold_ &&
                                  !spent_ && commands_.keeps_nothing(),
                              "a call between two bodies");
}
#endif

Runtime::Runtime(const HostCalls& calls, Ports ports) noexcept
    : Object(Kind::runtime),
      Later([](Later* later) noexcept {
        Ref<Runtime> self = Ref<Runtime>::adopt(static_cast<Runtime*>(later));
        self->finish_claimed();
      }),
      calls_(calls),
      ports_(std::move(ports)) {
  watch_forks();
  ports_.executor->set_visits({[](void* runtime) noexcept { static_cast<Runtime*>(runtime)->enter(); },
                               [](void* runtime) noexcept { static_cast<Runtime*>(runtime)->leave(); },
                               this});
}

Runtime::~Runtime() {
  while (spare_call_count_ > 0) Ref<Call>::adopt(spare_calls_[--spare_call_count_]).reset();
}

void Runtime::let_go() noexcept {
  if (is_inherited()) return;
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  begin_close();
  if (is_inherited()) return;
  // Those that are only on their way out, as whoever has just ended a run, are waited for: so the library may
  // be unloaded after that. A body, and a callback that does not come back, are not.
  constexpr int64_t kOnTheirWayMs = 1000;
  if (!EngineScope::inside() && kept_.load(std::memory_order_relaxed) == 0) wait_quiet(kOnTheirWayMs);
  finish_unattended();
}

void Runtime::close() noexcept {
  if (is_inherited()) return;
  begin_close();
  finish_close();
  wait_for_closers();
}

Ref<Error> Runtime::close_within(int64_t timeout_ms) {
  if (is_inherited()) return nullptr;
  begin_close();
  if (is_inherited()) return nullptr;
  if (timeout_ms >= 0 && !wait_quiet(timeout_ms)) {
    StuckBodies bodies;
    for (const Kept<RunEntry>& run : find_stuck()) run->add_stuck(bodies);
    return bodies.error("the runtime");
  }
  finish_close();
  wait_for_closers();
  return nullptr;
}

// What a thread of the closer has to do.
struct Runtime::Closing {
  Ref<Runtime> runtime;
  std::unique_ptr<PendingCallback> closed;
};

Ref<Error> Runtime::close_later(std::unique_ptr<PendingCallback> closed) {
  const PendingCallback& callback = *closed;
  std::unique_ptr<Closing> closing;
  if (ports_.closer) closing.reset(new Closing{Ref<Runtime>::share(this), nullptr});
  bool is_closed = false;
  {
    Guard guard(lock_);
    is_closed = closed_;
    if (!is_closed && !closing) on_closed_.add(std::move(closed));
    if (!is_closed && closing) ++closers_;
  }
  if (is_closed) {
    tell_closed(callback);
    return nullptr;
  }
  if (closing) {
    closing->closed = std::move(closed);
    return close_elsewhere(std::move(closing));
  }
  begin_close();
  if (is_inherited()) return nullptr;
  retain(this);
  finish_unattended();
  return nullptr;
}

// Its thread is made first, since that may be refused, and waits until this one is out of here.
Ref<Error> Runtime::close_elsewhere(std::unique_ptr<Closing> closing) noexcept {
  const EngineScope scope;
  enter();
  const auto close = [](void* its_closing) noexcept {
    const std::unique_ptr<Closing> mine(static_cast<Closing*>(its_closing));
    mine->runtime->close_on_this_thread(*mine);
  };
  Ref<Error> refused = ports_.closer->start(close, closing.get());
  if (!refused) {
    closing.release();  // NOLINT(bugprone-unused-return-value): its thread has it
    begin_close();
  } else {
    Guard guard(lock_);
    --closers_;
    quiet_.wake_all();
  }
  leave();
  return refused;
}

void Runtime::close_on_this_thread(Closing& closing) noexcept {
  {
    Guard guard(lock_);
    while (inside_.load() != 0) quiet_.wait(guard, -1);
  }
  finish_close();
  tell_closed(*closing.closed);
  if (is_inherited()) return (void)closing.closed.release();
  closing.closed.reset();
  Guard guard(lock_);
  --closers_;
  quiet_.wake_all();
}

// It is the last that is heard of the runtime: where it throws, nobody is told.
void Runtime::tell_closed(const PendingCallback& closed) noexcept {
  const EngineScope scope;
  (void)calls_.closed(closed.callback);
}

void Runtime::wait_for_closers() noexcept {
  if (is_inherited()) return;
  Guard guard(lock_);
  while (closers_ != 0) quiet_.wait(guard, -1);
}

// No run moves any more: who is inside comes out, and nobody enters for long.
bool Runtime::wait_quiet(int64_t timeout_ms) noexcept {
  const int64_t now = steady_ms();
  const int64_t deadline_ms = timeout_ms > INT64_MAX / 2 ? INT64_MAX / 2 : now + timeout_ms;
  Guard guard(lock_);
  while (inside_.load() != 0 && !closed_) {
    if (!quiet_.wait(guard, deadline_ms)) return inside_.load() == 0;
  }
  return true;
}

// The runs with bodies at work that count no more.
std::vector<Kept<RunEntry>> Runtime::find_stuck() {
  std::vector<Kept<RunEntry>> runs;
  Guard guard(lock_);
  for (RunEntry* list : {active_, leaving_}) {
    for (RunEntry* run = list; run != nullptr; run = run->next_active_) {
      if (run->kept_.load(std::memory_order_relaxed) == 0) continue;
      if (runs.size() == runs.capacity()) runs.reserve(runs.size() * 2 + 8);
      if (run->try_keep()) runs.emplace_back(run);
    }
  }
  return runs;
}

// Cancels whatever may still move.
void Runtime::begin_close() noexcept {
  closing_.store(true);
  for (;;) {
    Kept<RunEntry> run;
    {
      Guard guard(lock_);
      RunEntry* next = active_;
      if (next == nullptr) return;
      unlink(*next);
      if (!next->try_keep()) continue;  // its last reference went just now
      run = Kept<RunEntry>(next);
    }
    run->cancel("its runtime was closed");
    if (is_inherited()) return;
  }
}

// For a thread that waits until it is done, whoever does it.
void Runtime::finish_close() noexcept {
  if (is_inherited()) return;
  bool has_reference = false;
  {
    Guard guard(lock_);
    while (finishing_ && !closed_) quiet_.wait(guard, -1);
    if (closed_) return;
    finishing_ = true;
    has_reference = unattended_;
  }
  finish_claimed();
  if (has_reference && !is_inherited()) Ref<Runtime>::adopt(this).reset();
}

// For a thread that has let go, and waits for no callback. Takes over one reference.
void Runtime::finish_unattended() noexcept {
  Ref<Runtime> self = Ref<Runtime>::adopt(this);
  {
    Guard guard(lock_);
    if (finishing_ || closed_ || unattended_ || closers_ != 0) {
      return;  // somebody sees to it
    }
    unattended_ = true;
    if (inside_.load() != 0) {  // the last to leave: it has the reference now
      (void)self.take();
      return;
    }
    finishing_ = true;
  }
  if (EngineScope::inside()) return EngineScope::finish_later(*self.take());
  finish_claimed();
}

void Runtime::finish_claimed() noexcept {
  if (is_inherited()) return;
  alarm_->stop();
  ports_.executor->stop();
  Guard guard(lock_);
  while (inside_.load() != 0) quiet_.wait(guard, -1);
  ports_.clock->stop();
  while (std::unique_ptr<PendingCallback> closed = on_closed_.take()) {
    guard.unlock();
    tell_closed(*closed);
    if (is_inherited()) return (void)closed.release();
    closed.reset();
    guard.lock();
  }
  closed_ = true;
  quiet_.wake_all();
}

Ref<Error> Runtime::enlist(RunEntry& run, RunId* new_id, InvocationPool& pool, Call*& spare_call) noexcept {
  Guard guard(lock_);
  if (closing_.load()) return closed_runtime();
  if (new_id != nullptr) {
    if (Ref<Error> error = ports_.entropy->fill(new_id->data(), new_id->size())) return error;
  }
  if (spare_call_count_ > 0) spare_call = spare_calls_[--spare_call_count_];
  if (spare_blocks_count_ > 0 && !pool.has_blocks())
    pool.adopt(std::move(spare_blocks_[--spare_blocks_count_]));
  run.enlisted_ = true;
  run.round_ = round_;
  put_in(active_, run);
  return nullptr;
}

void Runtime::delist(RunEntry& run, Call* spare_call) noexcept {
  {
    Guard guard(lock_);
    keep_call(spare_call);
    unlink(run);
    if (run.kept_.load(std::memory_order_relaxed) != 0) see_off(run);
  }
  if (spare_call != nullptr) Ref<Call>::adopt(spare_call).reset();
}

// Under the lock, as what follows.
void Runtime::put_in(RunEntry*& list, RunEntry& run) noexcept {
  run.previous_active_ = nullptr;
  run.next_active_ = list;
  if (list != nullptr) list->previous_active_ = &run;
  list = &run;
}

void Runtime::take_out(RunEntry*& list, RunEntry& run) noexcept {
  (run.previous_active_ != nullptr ? run.previous_active_->next_active_ : list) = run.next_active_;
  if (run.next_active_ != nullptr) run.next_active_->previous_active_ = run.previous_active_;
}

void Runtime::unlink(RunEntry& run) noexcept {
  if (!std::exchange(run.enlisted_, false)) return;
  if (run.armed_ms_ != INT64_MAX) armed_.erase({std::exchange(run.armed_ms_, INT64_MAX), &run});
  count_ended(run);
  if (walks_ != nullptr) [[unlikely]]
    Walk::pass_by(walks_, run);
  take_out(active_, run);
}

// The run has ended, and some of its bodies are at work.
void Runtime::see_off(RunEntry& run) noexcept {
  if (!std::exchange(run.is_leaving_, true)) put_in(leaving_, run);
}

// Either delist() comes later, and sees that none is left, or the run is in the list.
void Runtime::look_at_leaving(RunEntry& run) noexcept {
  if (run.kept_.load(std::memory_order_relaxed) != 0) return;
  Guard guard(lock_);
  if (std::exchange(run.is_leaving_, false)) take_out(leaving_, run);
}

void Runtime::keep_spare(Call* call) noexcept {
  {
    Guard guard(lock_);
    keep_call(call);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
}

void Runtime::keep_spares(InvocationPool& pool, Call* call) noexcept {
  if (call != nullptr) keep_spare(call);
  if (pool.has_blocks()) keep_blocks(pool.hand_on());
}

[[gnu::noinline]] void Runtime::keep_blocks(std::unique_ptr<InvocationPool::Blocks> blocks) noexcept {
#ifdef BLAZEN_INVARIANTS
  for (const InvocationPool::Block& block : blocks->row) {
    for (const Invocation& item : block)
      check_keeps_nothing(!item.event && !item.journal && item.level == 0, "an invocation between two runs");
  }
#endif
  Guard guard(lock_);
  if (spare_blocks_count_ < kSparesMax) spare_blocks_[spare_blocks_count_++] = std::move(blocks);
}

// Under the lock. Takes the call, or leaves it to the caller where there are enough.
void Runtime::keep_call(Call*& call) noexcept {
  if (call == nullptr || spare_call_count_ == kSparesMax) return;
  call->check_keeps_nothing();
  call->run_ = nullptr;
  spare_calls_[spare_call_count_++] = std::exchange(call, nullptr);
}

// ------------------------------------------------------------------------------------------------------ time

Alarm::Target Runtime::target() noexcept {
  return {[](void* runtime) noexcept { static_cast<Runtime*>(runtime)->tell_time(); },
          [](const void* runtime) noexcept { return static_cast<const Runtime*>(runtime)->next_due(); },
          this};
}

// Under the lock. False: no memory.
bool Runtime::arm_listed(RunEntry& run, int64_t due_ms) noexcept {
  if (!run.enlisted_ || due_ms >= run.armed_ms_) return true;
  try {
    armed_.emplace(due_ms, &run);
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (run.armed_ms_ != INT64_MAX) armed_.erase({run.armed_ms_, &run});
  run.armed_ms_ = due_ms;
  return true;
}

// Without memory to arm it, it is as one that is far away.
void Runtime::arm(RunEntry& run, int64_t due_ms) noexcept {
  bool earlier = false;
  {
    Guard guard(lock_);
    if (!arm_listed(run, due_ms)) {
      run.far_due_ms_.store(due_ms);
      lower(arm_by_, due_ms);
    }
    earlier = lower(next_due_, due_ms);
  }
  if (earlier) set_alarm();
}

// Either arm_those_far() sees the run's due time, or this sees that arm_by_ is not set to it any more. Where
// find_next_due() saw it in between, and lowered next_due_ itself, the alarm does not know yet all the same.
bool Runtime::arm_far(int64_t due_ms) noexcept {
  if (!lower(arm_by_, due_ms)) return false;
  lower(next_due_, due_ms);
  return next_due_.load() == due_ms;
}

void Runtime::set_alarm() noexcept {
  alarm_->set();
  if (sleeper_count_.load() != 0) wake_sleepers();
}

// Where time is the host's, no sleep of ours ends by it, unless it has come already.
void Runtime::wake_sleepers() noexcept {
  if (ports_.clock->is_hosts() && next_due() > ports_.clock->now_ms()) return;
  const EngineScope scope;
  enter();
  while (const Kept<RunEntry> run = take_sleeper()) run->wake_waiters();
  leave();
}

// The run of one that is listed, and is not any more; null: there is none.
Kept<RunEntry> Runtime::take_sleeper() noexcept {
  Guard guard(lock_);
  if (sleepers_ == nullptr) return {};
  RunEntry& run = sleepers_->run_;  // whoever sleeps has a reference
  unlist(*sleepers_);
  run.keep();
  return Kept<RunEntry>(&run);
}

void Runtime::Sleeper::list() noexcept {
  counts_ = true;
  runtime_.sleeper_count_.fetch_add(1);
  Guard guard(runtime_.lock_);
  listed_ = true;
  next_ = runtime_.sleepers_;
  if (next_ != nullptr) next_->previous_ = this;
  runtime_.sleepers_ = this;
}

Runtime::Sleeper::~Sleeper() {
  if (!counts_) return;
  {
    Guard guard(runtime_.lock_);
    if (listed_) runtime_.unlist(*this);
  }
  runtime_.sleeper_count_.fetch_sub(1);
}

// Under the lock.
void Runtime::unlist(Sleeper& sleeper) noexcept {
  sleeper.listed_ = false;
  (sleeper.previous_ != nullptr ? sleeper.previous_->next_ : sleepers_) = sleeper.next_;
  if (sleeper.next_ != nullptr) sleeper.next_->previous_ = sleeper.previous_;
}

// A run that comes meanwhile lowers arm_by_ itself.
void Runtime::arm_those_far() noexcept {
  Guard guard(lock_);
  arm_by_.store(INT64_MAX);
  Walk walk(*this);
  for (size_t met = 0; RunEntry* run = walk.next(); ++met) {
    const int64_t due_ms = run->far_due_ms_.load();
    if (due_ms != INT64_MAX && !arm_listed(*run, due_ms)) {
      constexpr int64_t kOnceMoreMs = 1000;
      lower(arm_by_, ports_.clock->now_ms() + kOnceMoreMs);
      return;
    }
    if (met % kAtOnce == kAtOnce - 1) const Unlocked others(guard);
  }
}

// The one that is due first; null: none is. One at a time: others may tell the time too, and may arm it anew.
Kept<RunEntry> Runtime::take_due(int64_t now_ms) noexcept {
  Guard guard(lock_);
  while (!armed_.empty() && armed_.begin()->first <= now_ms) {
    RunEntry* run = armed_.begin()->second;
    armed_.erase(armed_.begin());
    run->armed_ms_ = INT64_MAX;
    if (run->try_keep()) return Kept<RunEntry>(run);
  }
  return {};
}

// Under the lock.
int64_t Runtime::find_next_due() noexcept {
  if (active_ == nullptr) arm_by_.store(INT64_MAX);  // those that were far away have ended
  const int64_t armed_ms = armed_.empty() ? INT64_MAX : armed_.begin()->first;
  for (;;) {
    const int64_t next_ms = std::min(armed_ms, arm_by_.load());
    next_due_.store(next_ms);
    if (arm_by_.load() >= next_ms) return next_ms;  // else arm_far() came in between
  }
}

void Runtime::tell_time() noexcept {
  if (next_due() == INT64_MAX || is_inherited()) return;
  if (ports_.clock->coarse_ms() < next_due() - Clock::kCoarseLagMs) return;
  const int64_t now_ms = ports_.clock->now_ms();
  if (now_ms < next_due() || !try_retain(this)) return;
  const Ref<Runtime> self = Ref<Runtime>::adopt(this);  // a callback may let go of the last handle
  const EngineScope scope;
  enter();
  if (arm_by_.load() <= now_ms) arm_those_far();
  while (const Kept<RunEntry> run = take_due(now_ms)) {
    run->on_time();
    if (is_inherited()) return;
    if (run->ended()) hand_over_time();  // this may be its last reference
  }
  next_timer();
  alarm_->set();
  leave();
}

// -------------------------------------------------------------------------------------------------- counters

// Under the lock.
void Runtime::count_ended(const RunEntry& run) noexcept {
  if (!run.ended()) return;
  count_outcome(run, ended_);
  if (count_ != nullptr && run.round_ != round_) [[unlikely]]
    count_outcome(run, count_->unseen());
}

void Runtime::count_outcome(const RunEntry& run, RuntimeCounters& counters) noexcept {
  const RunEntry::Outcome outcome = run.outcome();
  ++(outcome.phase == Phase::completed ? counters.completed
     : outcome.phase == Phase::failed  ? counters.failed
                                       : counters.cancelled);
  counters.events_routed += outcome.events_routed;
}

RuntimeCounters Runtime::count() {
  RuntimeCounters counters = count_runs();
  counters.abandoned = kept_.load(std::memory_order_relaxed);
  counters.hands = ports_.executor->count_hands();
  return counters;
}

RuntimeCounters Runtime::count_runs() {
  std::vector<Kept<RunEntry>> runs;  // let go of when the count is over: that may call the host
  Guard guard(lock_);
  Count count(*this, guard);
  Walk walk(*this);
  RuntimeCounters counters = ended_;
  while (!walk.is_over()) {
    const size_t counted = runs.size();
    if (runs.capacity() - counted < kAtOnce) {
      const Unlocked others(guard);
      runs.reserve(counted * 2 + kAtOnce);
    }
    for (size_t met = 0; met < kAtOnce; ++met) {
      RunEntry* run = walk.next();
      if (run == nullptr) break;
      if (!run->try_keep()) continue;
      run->round_ = round_;
      runs.emplace_back(run);
    }
    const Unlocked others(guard);
    for (size_t i = counted; i < runs.size(); ++i) runs[i]->count(counters);
  }
  const RuntimeCounters& unseen = count.unseen();
  counters.completed += unseen.completed;
  counters.failed += unseen.failed;
  counters.cancelled += unseen.cancelled;
  counters.events_routed += unseen.events_routed;
  return counters;
}

void Runtime::leave() noexcept {
  if (is_inherited()) return;
  if (inside_.fetch_sub(1) != 1 || !closing_.load()) return;
  bool is_last = false;
  {
    Guard guard(lock_);
    quiet_.wake_all();
    is_last = unattended_ && !finishing_ && inside_.load() == 0;
    if (is_last) finishing_ = true;
  }
  if (is_last) EngineScope::finish_later(*this);
}

}  // namespace blazen
