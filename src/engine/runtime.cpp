#include "engine/runtime.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
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

// A place in the list of active runs of a lane, for who goes over them some at a time. Runs that come after it
// has begun are not in it. Made, used and gone under the lock of the lane, but for the time between two next().
class Runtime::Walk {
 public:
  explicit Walk(Lane& lane) noexcept
      : lane_(lane), at_(lane.active), below_(std::exchange(lane.walks, this)) {}
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() {
    Walk** place = &lane_.walks;
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
  Lane& lane_;
  RunEntry* at_;
  Walk* below_;
};

// Holds the locks of all lanes.
class Runtime::AllLanes {
 public:
  explicit AllLanes(Runtime& runtime) noexcept : runtime_(runtime) {
    for (Lane& lane : runtime_.lanes_) lane.lock.lock();
  }
  AllLanes(const AllLanes&) = delete;
  AllLanes& operator=(const AllLanes&) = delete;
  ~AllLanes() {
    for (Lane& lane : runtime_.lanes_) lane.lock.unlock();
  }

 private:
  Runtime& runtime_;
};

// Exact, as of when it begins, though the locks are free in between: each run is counted where it is met, or
// where it went before.
class Runtime::Count {
 public:
  // Waits until the one before is done.
  explicit Count(Runtime& runtime) noexcept : runtime_(runtime) {
    {
      Guard guard(runtime.lock_);
      while (runtime.counting_) runtime.quiet_.wait(guard, -1);
      runtime.counting_ = true;
    }
    const AllLanes locked(runtime);
    for (size_t i = 0; i < kLanes; ++i) {
      Lane& lane = runtime.lanes_[i];
      lane.round = !lane.round;
      lane.unseen = &outcomes_[i];
      outcomes_[i] = lane.ended;
      walks_[i].emplace(lane);
    }
  }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
  ~Count() {
    for (size_t i = 0; i < kLanes; ++i) {
      if (walks_[i]) leave(i);
    }
    Guard guard(runtime_.lock_);
    runtime_.counting_ = false;
    runtime_.quiet_.wake_all();
  }
  // Adds those of one lane. met: keeps them until the count is over: to let go of one may call the host. Throws
  // std::bad_alloc.
  void add_lane(size_t i, RuntimeCounters& counters, std::vector<Kept<RunEntry>>& met) {
    Lane& lane = runtime_.lanes_[i];
    Guard guard(lane.lock);
    while (!walks_[i]->is_over()) {
      const size_t counted = met.size();
      if (met.capacity() - counted < kAtOnce) {
        const Unlocked others(guard);
        met.reserve(counted * 2 + kAtOnce);
      }
      for (size_t more = 0; more < kAtOnce; ++more) {
        RunEntry* run = walks_[i]->next();
        if (run == nullptr) break;
        if (!run->try_keep()) continue;
        run->round_ = lane.round;
        met.emplace_back(run);
      }
      const Unlocked others(guard);
      for (size_t each = counted; each < met.size(); ++each) met[each]->count(counters);
    }
    guard.unlock();
    leave(i);
    outcomes_[i].add_to(counters);
  }

 private:
  void leave(size_t i) noexcept {
    Lane& lane = runtime_.lanes_[i];
    Guard guard(lane.lock);
    lane.unseen = nullptr;
    walks_[i].reset();
  }

  Runtime& runtime_;
  std::optional<Walk> walks_[kLanes];
  Outcomes outcomes_[kLanes];  // those from before it, and of runs that go before they are met
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
  for (Lane& lane : lanes_) {
    while (lane.spare_call_count > 0) Ref<Call>::adopt(lane.spare_calls[--lane.spare_call_count]).reset();
  }
}

// A handle of a run that comes where the lane has none, and nobody is known to have one of the runtime's.
[[gnu::noinline]] void Runtime::hold_for(Lane& lane) noexcept {
  hold();
  if (!lane.handles.hold_with_whole()) drop_handle();
}

[[gnu::noinline]] void Runtime::keep_for(Lane& lane) noexcept {
  retain(this);
  if (!lane.references.hold_with_whole()) Ref<Runtime>::adopt(this).reset();
}

// By somebody with a handle, which holds both wholes meanwhile.
void Runtime::make_accountable() noexcept {
  Guard guard(lock_);
  if (std::exchange(accountable_, true)) return;
  handles_.fetch_add(kLanes, std::memory_order_relaxed);
  refs.fetch_add(kLanes, std::memory_order_relaxed);
  for (Lane& lane : lanes_) {
    if (!lane.handles.account()) handles_.fetch_sub(1, std::memory_order_acq_rel);
    if (!lane.references.account()) refs.fetch_sub(1, std::memory_order_acq_rel);
  }
}

// It makes no difference to the lanes unless it is the last: then they are accountable before it goes.
void Runtime::let_go() noexcept {
  if (is_inherited()) return;
  uint32_t left = handles_.load();
  while (left != 1) {
    if (handles_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel)) return;
  }
  make_accountable();
  drop_handle();
}

void Runtime::drop_handle() noexcept {
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
    while (is_inside()) quiet_.wait(guard, -1);
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
  while (is_inside() && !closed_) {
    if (!quiet_.wait(guard, deadline_ms)) return !is_inside();
  }
  return true;
}

// The runs with bodies at work that count no more.
std::vector<Kept<RunEntry>> Runtime::find_stuck() {
  std::vector<Kept<RunEntry>> runs;
  for (Lane& lane : lanes_) {
    Guard guard(lane.lock);
    for (RunEntry* list : {lane.active, lane.leaving}) {
      for (RunEntry* run = list; run != nullptr; run = run->next_active_) {
        if (run->kept_.load(std::memory_order_relaxed) == 0) continue;
        if (runs.size() == runs.capacity()) runs.reserve(runs.size() * 2 + 8);
        if (run->try_keep()) runs.emplace_back(run);
      }
    }
  }
  return runs;
}

// Cancels whatever may still move. Whoever enlists a run looks at closing_ under the lock of its lane.
void Runtime::begin_close() noexcept {
  closing_.store(true);
  for (Lane& lane : lanes_) {
    while (const Kept<RunEntry> run = take_active(lane)) {
      run->cancel("its runtime was closed");
      if (is_inherited()) return;
    }
  }
}

// One that nobody has taken yet; null: there is none. It stays in the list until it has ended, so that it is
// counted: those that are passed over are few, and others are about to end them.
Kept<RunEntry> Runtime::take_active(Lane& lane) noexcept {
  Guard guard(lane.lock);
  for (RunEntry* run = lane.active; run != nullptr;) {
    RunEntry& next = *std::exchange(run, run->next_active_);
    if (next.ended()) {
      unlink(lane, next);
    } else if (!std::exchange(next.is_closed_, true)) {
      if (next.try_keep()) return Kept<RunEntry>(&next);
      unlink(lane, next);  // its last reference went just now
    }
  }
  return {};
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
    if (is_inside()) {  // the last to leave: it has the reference now
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
  while (is_inside()) quiet_.wait(guard, -1);
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
  Lane& lane = lane_of(run);
  Guard guard(lane.lock);
  if (closing_.load()) return closed_runtime();
  if (new_id != nullptr) {
    if (Ref<Error> error = ports_.entropy->fill(run.lane_, new_id->data(), new_id->size())) return error;
  }
  if (lane.spare_call_count > 0) spare_call = lane.spare_calls[--lane.spare_call_count];
  if (lane.spare_blocks_count > 0 && !pool.has_blocks())
    pool.adopt(std::move(lane.spare_blocks[--lane.spare_blocks_count]));
  run.enlisted_ = true;
  run.round_ = lane.round;
  put_in(lane.active, run);
  return nullptr;
}

Ref<Error> Runtime::make_id(RunEntry& run, RunId& id) noexcept {
  Guard guard(lane_of(run).lock);
  return ports_.entropy->fill(run.lane_, id.data(), id.size());
}

void Runtime::delist(RunEntry& run, Call* spare_call) noexcept {
  Lane& lane = lane_of(run);
  {
    Guard guard(lane.lock);
    keep_call(lane, spare_call);
    unlink(lane, run);
    if (run.kept_.load(std::memory_order_relaxed) != 0) see_off(lane, run);
  }
  if (spare_call != nullptr) Ref<Call>::adopt(spare_call).reset();
}

// Under the lock of the lane, as what follows.
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

inline void Runtime::count_ended(Lane& lane, const RunEntry& run) noexcept {
  if (!run.ended()) return;
  lane.ended.add(run);
  if (lane.unseen != nullptr && run.round_ != lane.round) [[unlikely]]
    lane.unseen->add(run);
}

void Runtime::unlink(Lane& lane, RunEntry& run) noexcept {
  if (!std::exchange(run.enlisted_, false)) return;
  if (run.armed_ms_.load(std::memory_order_acquire) != INT64_MAX) disarm(run);
  count_ended(lane, run);
  if (lane.walks != nullptr) [[unlikely]]
    Walk::pass_by(lane.walks, run);
  take_out(lane.active, run);
}

// The run has ended, and some of its bodies are at work.
void Runtime::see_off(Lane& lane, RunEntry& run) noexcept {
  if (!std::exchange(run.is_leaving_, true)) put_in(lane.leaving, run);
}

// Either delist() comes later, and sees that none is left, or the run is in the list.
void Runtime::look_at_leaving(RunEntry& run) noexcept {
  if (run.kept_.load(std::memory_order_relaxed) != 0) return;
  Lane& lane = lane_of(run);
  Guard guard(lane.lock);
  if (std::exchange(run.is_leaving_, false)) take_out(lane.leaving, run);
}

void Runtime::keep_spare(const RunEntry& run, Call* call) noexcept {
  Lane& lane = lane_of(run);
  {
    Guard guard(lane.lock);
    keep_call(lane, call);
  }
  if (call != nullptr) Ref<Call>::adopt(call).reset();
}

void Runtime::keep_spares(const RunEntry& run, InvocationPool& pool, Call* call) noexcept {
  if (call != nullptr) keep_spare(run, call);
  if (pool.has_blocks()) keep_blocks(lane_of(run), pool.hand_on());
}

[[gnu::noinline]] void Runtime::keep_blocks(Lane& lane,
                                            std::unique_ptr<InvocationPool::Blocks> blocks) noexcept {
#ifdef BLAZEN_INVARIANTS
  for (const InvocationPool::Block& block : blocks->row) {
    for (const Invocation& item : block)
      check_keeps_nothing(!item.event && !item.journal && item.level == 0, "an invocation between two runs");
  }
#endif
  Guard guard(lane.lock);
  if (lane.spare_blocks_count < Lane::kSparesMax)
    lane.spare_blocks[lane.spare_blocks_count++] = std::move(blocks);
}

// Under the lock. Takes the call, or leaves it to the caller where there are enough.
void Runtime::keep_call(Lane& lane, Call*& call) noexcept {
  if (call == nullptr || lane.spare_call_count == Lane::kSparesMax) return;
  call->check_keeps_nothing();
  call->run_ = nullptr;
  lane.spare_calls[lane.spare_call_count++] = std::exchange(call, nullptr);
}

// ------------------------------------------------------------------------------------------------------ time

Alarm::Target Runtime::target() noexcept {
  return {[](void* runtime) noexcept { static_cast<Runtime*>(runtime)->tell_time(); },
          [](const void* runtime) noexcept { return static_cast<const Runtime*>(runtime)->next_due(); },
          this};
}

// Under the lock of the lane and time_lock_. False: no memory.
bool Runtime::arm_listed(RunEntry& run, int64_t due_ms) noexcept {
  const int64_t armed_ms = run.armed_ms_.load(std::memory_order_relaxed);
  if (!run.enlisted_ || due_ms >= armed_ms) return true;
  try {
    armed_.emplace(due_ms, &run);
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (armed_ms != INT64_MAX) armed_.erase({armed_ms, &run});
  run.armed_ms_.store(due_ms, std::memory_order_relaxed);
  return true;
}

// The run leaves the list: nobody arms it any more, and whoever takes it from there has done with it.
[[gnu::noinline]] void Runtime::disarm(RunEntry& run) noexcept {
  Guard guard(time_lock_);
  const int64_t armed_ms = run.armed_ms_.exchange(INT64_MAX, std::memory_order_relaxed);
  if (armed_ms != INT64_MAX) armed_.erase({armed_ms, &run});
}

// Without memory to arm it, it is as one that is far away.
void Runtime::arm(RunEntry& run, int64_t due_ms) noexcept {
  bool earlier = false;
  {
    Lane& lane = lane_of(run);
    Guard guard(lane.lock);
    Guard time_guard(time_lock_);
    if (!arm_listed(run, due_ms)) {
      run.far_due_ms_.store(due_ms);
      lower(lane.arm_by, due_ms);
    }
    earlier = lower(next_due_, due_ms);
  }
  if (earlier) set_alarm();
}

// Either arm_those_far() sees the run's due time, or this sees that arm_by is not set to it any more. Where
// next_timer() saw it in between, and lowered next_due_ itself, the alarm does not know yet all the same.
bool Runtime::arm_far(const RunEntry& run, int64_t due_ms) noexcept {
  if (!lower(lane_of(run).arm_by, due_ms)) return false;
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

// A run that comes meanwhile lowers arm_by itself.
void Runtime::arm_those_far(Lane& lane) noexcept {
  Guard guard(lane.lock);
  lane.arm_by.store(INT64_MAX);
  Walk walk(lane);
  for (size_t met = 0; RunEntry* run = walk.next(); ++met) {
    const int64_t due_ms = run->far_due_ms_.load();
    if (due_ms != INT64_MAX && !arm_listed_alone(*run, due_ms)) {
      constexpr int64_t kOnceMoreMs = 1000;
      lower(lane.arm_by, ports_.clock->now_ms() + kOnceMoreMs);
      return;
    }
    if (met % kAtOnce == kAtOnce - 1) const Unlocked others(guard);
  }
}

// Under the lock of the lane alone.
bool Runtime::arm_listed_alone(RunEntry& run, int64_t due_ms) noexcept {
  Guard guard(time_lock_);
  return arm_listed(run, due_ms);
}

// The one that is due first; null: none is. One at a time: others may tell the time too, and may arm it anew.
// That it is not armed any more is written last: a run that sees it may be gone after that.
Kept<RunEntry> Runtime::take_due(int64_t now_ms) noexcept {
  Guard guard(time_lock_);
  while (!armed_.empty() && armed_.begin()->first <= now_ms) {
    RunEntry* run = armed_.begin()->second;
    armed_.erase(armed_.begin());
    const bool is_kept = run->try_keep();
    run->armed_ms_.store(INT64_MAX, std::memory_order_release);
    if (is_kept) return Kept<RunEntry>(run);
  }
  return {};
}

int64_t Runtime::next_far() const noexcept {
  int64_t far_ms = INT64_MAX;
  for (const Lane& lane : lanes_) far_ms = std::min(far_ms, lane.arm_by.load());
  return far_ms;
}

int64_t Runtime::next_timer() noexcept {
  for (Lane& lane : lanes_) {
    if (lane.arm_by.load() == INT64_MAX) continue;
    Guard guard(lane.lock);
    if (lane.active == nullptr) lane.arm_by.store(INT64_MAX);  // those that were far away have ended
  }
  Guard guard(time_lock_);
  const int64_t armed_ms = armed_.empty() ? INT64_MAX : armed_.begin()->first;
  for (;;) {
    const int64_t next_ms = std::min(armed_ms, next_far());
    next_due_.store(next_ms);
    if (next_far() >= next_ms) return next_ms;  // else arm_far() came in between
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
  for (Lane& lane : lanes_) {
    if (lane.arm_by.load() <= now_ms) arm_those_far(lane);
  }
  while (const Kept<RunEntry> run = take_due(now_ms)) {
    run->on_time();
    if (is_inherited()) return;
    if (run->ended()) hand_over_time();  // this may be its last reference
  }
  next_timer();
  alarm_->set();
  leave();
}

// ----------------------------------------------------------------------------------------------------- pools

void Runtime::set_pool(std::string_view name, uint32_t permits) {
  Pool& pool = pools_.get(name);
  if (pool.set(permits)) hand_out(pool);
}

void Runtime::hand_out(Pool& pool) noexcept {
  const EngineScope scope;
  enter();
  while (PoolSeat* seat = pool.take_next()) {
    const Kept<RunEntry> run(seat->run);
    run->grant(*seat);
    if (is_inherited()) return;
    if (run->ended()) hand_over_time();  // this may be its last reference
  }
  leave();
}

void Runtime::hand_all_out() noexcept {
  for (Pool* pool = pools_.next(nullptr); pool != nullptr && !is_inherited(); pool = pools_.next(pool))
    hand_out(*pool);
}

// -------------------------------------------------------------------------------------------------- counters

void Runtime::Outcomes::add_to(RuntimeCounters& counters) const noexcept {
  counters.completed += completed;
  counters.failed += failed;
  counters.cancelled += cancelled;
  counters.events_routed += events_routed;
}

RuntimeCounters Runtime::count() {
  RuntimeCounters counters = count_runs();
  counters.abandoned = kept_.load(std::memory_order_relaxed);
  counters.hands = ports_.executor->count_hands();
  return counters;
}

RuntimeCounters Runtime::count_runs() {
  std::vector<Kept<RunEntry>> met;
  RuntimeCounters counters;
  Count count(*this);
  for (size_t i = 0; i < kLanes; ++i) count.add_lane(i, counters, met);
  return counters;
}

// --------------------------------------------------------------------------------------------- who is inside

// Read in this order: at the moment between the two, at least so many had left as the first sum says, and at
// most so many had entered as the second.
bool Runtime::is_inside() const noexcept {
  uint64_t left = 0;
  uint64_t entered = 0;
  for (const Lane& lane : lanes_) left += lane.left.load();
  for (const Lane& lane : lanes_) entered += lane.entered.load();
  return entered != left;
}

// Somebody has left a runtime that closes.
[[gnu::noinline]] void Runtime::look_who_is_inside() noexcept {
  if (is_inside()) return;
  bool is_last = false;
  {
    Guard guard(lock_);
    quiet_.wake_all();
    is_last = unattended_ && !finishing_ && !is_inside();
    if (is_last) finishing_ = true;
  }
  if (is_last) EngineScope::finish_later(*this);
}

}  // namespace blazen
