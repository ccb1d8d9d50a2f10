// A runtime: the ports, and the runs that are under way.
//
// Invariants: `handles` counts what the host holds (the runtime's own handles, and those of its runs, streams
// and invocations); when it falls to zero, the runtime closes. Every run that may still move is in `active`;
// one that has started is kept alive until it ends. One that has ended, and whose bodies are still at work,
// is in `leaving` until the last is back; they keep it alive. Once closed, nothing of the host is called any
// more, and no run starts.
//
// Lanes: a run belongs to the lane of the thread that makes it, and what every run writes to is the lane's: the
// lists, the spares, the outcomes, who is inside, and the counts of the handles of its runs and of the
// references that they have to the runtime. So threads that each make runs of their own do not meet here.
// What holds for the runtime is found by going over the lanes, which are few:
//   a count of runs    begins with all lanes locked at once, and then takes one after the other
//   nobody is inside   each lane counts who has entered and who has left, for ever; where so many had left as
//                      have entered, read in that order, there was a moment in between with nobody inside
//   no handle is left  the runtime's own handles are counted in `handles`; the last of them makes the lanes
//                      accountable before it goes (see LaneCount), for handles and for references
// Locks are taken in this order: `lock`, those of lanes by number, `time_lock`. Those of pools: see there.
//
// A close begins with the runs, which end. It is finished once, by whoever claims that (`finishing`):
//   a thread that waits for it                       close(), close_within(), a closer's thread
//   nobody waits (`unattended`), nobody is inside    the thread that let go, or began to close
//   nobody waits, and somebody is inside             the last to leave, when it is out of the engine
// So no thread waits for a callback that it was not asked to wait for, and none for one that joins it.
//
// Time: a run that has something due is in `armed`, by the moment; a time-out that is far away, as every run
// has one by default, costs less: the run keeps it, and `arm_by` is the earliest of its lane, when those that
// are still there are armed. `next_due` is the earliest of all of these. Whoever makes it earlier, by whatever
// call, first does that, and then, without a lock, sets the alarm and wakes the threads that sleep until the
// next moment (set_alarm); one of those is listed before it reads next_due. So nobody sleeps past a moment
// that was set.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/apart.hpp"
#include "base/fork.hpp"
#include "base/lanes.hpp"
#include "base/lock.hpp"
#include "base/object.hpp"
#include "base/scope.hpp"
#include "engine/call.hpp"
#include "engine/host.hpp"
#include "engine/pools.hpp"
#include "engine/stuck_bodies.hpp"
#include "port/alarm.hpp"
#include "port/clock.hpp"
#include "port/closer.hpp"
#include "port/entropy.hpp"
#include "port/executor.hpp"
#include "port/log.hpp"

namespace blazen {

struct RuntimeCounters {
  uint64_t created = 0;
  uint64_t running = 0;
  uint64_t waiting = 0;
  uint64_t elsewhere = 0;
  uint64_t paused = 0;
  uint64_t asking = 0;
  uint64_t completed = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
  uint64_t events_routed = 0;
  uint64_t queued = 0;
  uint64_t in_flight = 0;
  uint64_t abandoned = 0;
  Executor::Hands hands;
};

class Runtime;

// A reference to a runtime, counted in the lane of the thread that makes it: of a call of the host's, or of a
// run.
class RuntimeStay {
 public:
  RuntimeStay() noexcept = default;
  explicit RuntimeStay(Runtime& runtime) noexcept;
  RuntimeStay(RuntimeStay&& other) noexcept
      : runtime_(std::exchange(other.runtime_, nullptr)), lane_(other.lane_) {}
  RuntimeStay& operator=(RuntimeStay&& other) noexcept {
    std::swap(runtime_, other.runtime_);
    std::swap(lane_, other.lane_);
    return *this;
  }
  ~RuntimeStay();
  Runtime* operator->() const noexcept { return runtime_; }
  Runtime& operator*() const noexcept { return *runtime_; }
  uint8_t lane() const noexcept { return lane_; }
  Runtime* take() noexcept { return std::exchange(runtime_, nullptr); }

 private:
  Runtime* runtime_ = nullptr;
  uint8_t lane_ = 0;
};

// A run, as its runtime knows it.
class RunEntry : public Work {
 public:
  // False where its last reference is gone, and it is about to go itself.
  virtual bool try_keep() noexcept = 0;
  virtual bool ended() const noexcept = 0;
  virtual void on_time() noexcept = 0;
  virtual void cancel(std::string_view why) noexcept = 0;
  virtual void wake_waiters() noexcept = 0;
  virtual void count(RuntimeCounters& counters) const noexcept = 0;
  // Its bodies that are at work and count no more. Throws std::bad_alloc.
  virtual void add_stuck(StuckBodies& bodies) const = 0;
  // A permit of this pool, on its way to it, has come.
  virtual void grant(PoolSeat& seat) noexcept = 0;

 protected:
  // Takes over the reference, and belongs to its lane; there, it counts one of the workflow too.
  RunEntry(RuntimeStay&& runtime, const Workflow& workflow) noexcept;
  RunEntry(const RunEntry&) = delete;
  RunEntry& operator=(const RunEntry&) = delete;
  ~RunEntry() override;

  // Of one that has ended: how, and how many events it routed.
  struct Outcome {
    Phase phase;
    uint64_t events_routed;
  };
  virtual Outcome outcome() const noexcept = 0;

  std::atomic<uint32_t> kept_{0};  // bodies at work whose outcome counts no more
  Runtime* const runtime_;
  const Workflow& workflow_;
  std::atomic<int64_t> far_due_ms_{INT64_MAX};  // for the runtime to arm, when it comes nearer

 private:
  friend class Runtime;
  // Written under the time_lock of the runtime. While it is not INT64_MAX, the run is in `armed`, or whoever
  // has taken it from there is about to keep it.
  std::atomic<int64_t> armed_ms_{INT64_MAX};
  // Under the lock of its lane.
  RunEntry* next_active_ = nullptr;
  RunEntry* previous_active_ = nullptr;
  bool enlisted_ = false;
  bool is_leaving_ = false;  // it has ended, and bodies are at work
  bool is_closed_ = false;   // a close of the runtime has come to it
  bool round_ = false;       // as the lane's, where its last count has seen it

 protected:
  const uint8_t lane_;
};

// A reference to a run, as a list of them holds it.
template <class T>
class Kept {
 public:
  Kept() noexcept = default;
  // Takes over a reference.
  explicit Kept(T* kept) noexcept : kept_(kept) {}
  Kept(Kept&& other) noexcept : kept_(std::exchange(other.kept_, nullptr)) {}
  Kept& operator=(Kept&& other) noexcept {
    std::swap(kept_, other.kept_);
    return *this;
  }
  ~Kept() {
    if (kept_ != nullptr) kept_->let_go();
  }
  T* operator->() const noexcept { return kept_; }
  explicit operator bool() const noexcept { return kept_ != nullptr; }

 private:
  T* kept_ = nullptr;
};

class Runtime final : public Object, private EngineScope::Later {
 public:
  struct Ports {
    std::unique_ptr<Log> log;  // outlives the executor
    std::unique_ptr<Executor> executor;
    std::unique_ptr<Entropy> entropy;
    std::unique_ptr<Clock> clock;
    std::unique_ptr<Closer> closer;  // null: there is no thread to wait for
  };
  Runtime(const HostCalls& calls, Ports ports) noexcept;
  // Before anything else; target() is what it tells the time.
  void set_alarm(std::unique_ptr<Alarm> alarm) noexcept { alarm_ = std::move(alarm); }
  Alarm::Target target() noexcept;
  ~Runtime();
  static void destroy(Runtime* runtime) noexcept {
    if (!runtime->is_inherited()) delete runtime;
  }

  const HostCalls& calls() const noexcept { return calls_; }
  Executor& executor() noexcept { return *ports_.executor; }
  Clock& clock() noexcept { return *ports_.clock; }
  Log& log() noexcept { return *ports_.log; }

  // In a child of the process that made it: nothing can be done with it but to forget it.
  // Most processes are nobody's child, and look no further.
  bool is_inherited() const noexcept {
    const uint32_t generation = fork_generation();
    if (generation == 0) [[likely]]
      return false;
    return generation_ != generation;
  }

  // A handle of its own.
  void hold() noexcept {
    if (handles_.fetch_add(1, std::memory_order_relaxed) == 0) retain(this);
  }
  void let_go() noexcept;
  // One of a run of this lane.
  void hold(uint8_t lane) noexcept {
    if (!lanes_[lane].handles.try_hold()) [[unlikely]]
      hold_for(lanes_[lane]);
  }
  void let_go(uint8_t lane) noexcept {
    if (is_inherited()) return;
    if (lanes_[lane].handles.let_go()) [[unlikely]]
      drop_handle();
  }

  // References that are counted in a lane: see RuntimeStay.
  void keep(uint8_t lane) noexcept {
    if (!lanes_[lane].references.try_hold()) [[unlikely]]
      keep_for(lanes_[lane]);
  }
  void drop(uint8_t lane) noexcept {
    if (lanes_[lane].references.let_go()) [[unlikely]]
      Ref<Runtime>::adopt(this).reset();
  }

  // Not from inside a callback. Waits until nothing of it is being called.
  void close() noexcept;
  bool is_closing() const noexcept { return closing_.load(); }
  // The same, for so long (negative: for ever). Past it, the error names the bodies that are still at work,
  // and it is not closed yet. Throws std::bad_alloc then.
  Ref<Error> close_within(int64_t timeout_ms);
  // Without waiting, and from anywhere; closed is called when it is done. Throws std::bad_alloc, and then has
  // changed nothing.
  Ref<Error> close_later(std::unique_ptr<PendingCallback> closed);

  // new_id: that the run gets; may be null. It gets what a run before it has left: a call, or null, and
  // invocations, where its pool has no blocks. Refused where the runtime is closed.
  Ref<Error> enlist(RunEntry& run, RunId* new_id, InvocationPool& pool, Call*& spare_call) noexcept;
  // The id of one that is enlisted later.
  Ref<Error> make_id(RunEntry& run, RunId& id) noexcept;
  // Where it is listed. spare_call: which the run needs no more; may be null.
  void delist(RunEntry& run, Call* spare_call = nullptr) noexcept;
  // What a run that is gone leaves to the next: its call, which may be null, and its invocations.
  void keep_spares(const RunEntry& run, InvocationPool& pool, Call* call) noexcept;
  // A call that its run does not need for now.
  void keep_spare(const RunEntry& run, Call* call) noexcept;

  // Without a lock of the engine. The run is told the time then, or earlier, if it is still listed.
  void arm(RunEntry& run, int64_t due_ms) noexcept;
  // The run has stored its far due time. Under the lock of the run; true: set_alarm() has to follow.
  bool arm_far(const RunEntry& run, int64_t due_ms) noexcept;
  static constexpr int64_t kFarMs = 10'000;
  // The next moment is earlier than it was. Without a lock of the engine.
  void set_alarm() noexcept;
  // When tell_time() will have something to do; INT64_MAX: never.
  int64_t next_due() const noexcept { return next_due_.load(); }
  // Whoever tells the time is about to call the host, or may be.
  void hand_over_time() noexcept { alarm_->hand_over(); }
  // Whether a thread of the runtime's own sees to tell_time().
  bool has_timekeeper() const noexcept { return alarm_->has_thread(); }

  // A thread that waits for a run, and will not sleep past the next moment. Listed under the lock of its run,
  // before it reads next_due(), until it goes; whoever makes that earlier wakes it through its run.
  class Sleeper {
   public:
    Sleeper(Runtime& runtime, RunEntry& run) noexcept : runtime_(runtime), run_(run) {}
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;
    ~Sleeper();
    void list() noexcept;

   private:
    friend class Runtime;
    Runtime& runtime_;
    RunEntry& run_;
    bool counts_ = false;
    bool listed_ = false;
    Sleeper* next_ = nullptr;
    Sleeper* previous_ = nullptr;
  };
  // The same, for the host: without what has come about otherwise, as far as that is known.
  int64_t next_timer() noexcept;
  // Tells the runs whose time has come.
  void tell_time() noexcept;

  // Throws std::bad_alloc.
  RuntimeCounters count();

  // Permits that the runs share: pools.hpp. Throws std::bad_alloc.
  void set_pool(std::string_view name, uint32_t permits);
  // Null: it was not set.
  Pool* find_pool(std::string_view name) noexcept { return pools_.find(name); }
  // Whatever is free goes to those that wait for it. Without a lock of the engine.
  void hand_out(Pool& pool) noexcept;
  void hand_all_out() noexcept;

  // Under the lock of a run: one body more, or less, is at work whose outcome counts no more.
  void count_kept(int32_t change) noexcept {
    kept_.fetch_add(static_cast<uint32_t>(change), std::memory_order_relaxed);
  }
  // One of them is back: the run may be out of `leaving`.
  void look_at_leaving(RunEntry& run) noexcept;

  // A thread enters the engine for a run of this runtime, whose lane that is, and leaves it, unless it has
  // come to be in a child; without a run, it is the lane of the thread.
  void enter(uint8_t lane) noexcept { lanes_[lane].entered.fetch_add(1); }
  void leave(uint8_t lane) noexcept {
    lanes_[lane].left.fetch_add(1);
    if (closing_.load()) [[unlikely]]
      look_who_is_inside();
  }
  void enter() noexcept { enter(Lanes::here()); }
  void leave() noexcept {
    if (!is_inherited()) leave(Lanes::here());
  }

 private:
  class Walk;
  class Count;
  class AllLanes;
  static constexpr size_t kAtOnce = 64;
  // Of runs that are not listed any more.
  struct Outcomes {
    uint64_t completed = 0;
    uint64_t failed = 0;
    uint64_t cancelled = 0;
    uint64_t events_routed = 0;
    [[gnu::always_inline]] void add(const RunEntry& run) noexcept {
      const RunEntry::Outcome outcome = run.outcome();
      ++(outcome.phase == Phase::completed ? completed : outcome.phase == Phase::failed ? failed : cancelled);
      events_routed += outcome.events_routed;
    }
    void add_to(RuntimeCounters& counters) const noexcept;
  };
  struct LaneContent {
    LaneCount handles;
    LaneCount references;
    // Who has entered, and who has left. They only grow, and 64 bits do not come round.
    std::atomic<uint64_t> entered{0};
    std::atomic<uint64_t> left{0};
    std::atomic<int64_t> arm_by{INT64_MAX};
    // Below, under its lock. Lists: to come and to go costs the same however many there are. A count, and the
    // moment at which those that were far away come near, go over all that are active, with the lock free
    // after every kAtOnce.
    Lock lock;
    // Turned over by each count: a run that it has seen, or that came later, has the same.
    bool round = false;
    RunEntry* active = nullptr;
    RunEntry* leaving = nullptr;
    Walk* walks = nullptr;       // under way
    Outcomes* unseen = nullptr;  // of a count that is under way, and has not been through here
    Outcomes ended;
    // Bounded, so that it is a matter of speed and not of memory.
    static constexpr size_t kSparesMax = 4;
    size_t spare_call_count = 0;
    size_t spare_blocks_count = 0;
    Call* spare_calls[kSparesMax] = {};
    std::unique_ptr<InvocationPool::Blocks> spare_blocks[kSparesMax];
  };
  // A power of two: it is found by shifting.
  struct Lane : LaneContent {
    [[maybe_unused]] char gap[512 - sizeof(LaneContent)];
  };
  static_assert(sizeof(Lane) - sizeof(LaneContent) >= kApart);
  Lane& lane_of(const RunEntry& run) noexcept { return lanes_[run.lane_]; }
  void hold_for(Lane& lane) noexcept;
  void keep_for(Lane& lane) noexcept;
  void make_accountable() noexcept;
  void drop_handle() noexcept;
  bool is_inside() const noexcept;
  void look_who_is_inside() noexcept;
  static void keep_call(Lane& lane, Call*& call) noexcept;
  static void keep_blocks(Lane& lane, std::unique_ptr<InvocationPool::Blocks> blocks) noexcept;
  static void take_out(RunEntry*& list, RunEntry& run) noexcept;
  static void put_in(RunEntry*& list, RunEntry& run) noexcept;
  void unlink(Lane& lane, RunEntry& run) noexcept;
  void disarm(RunEntry& run) noexcept;
  void unlist(Sleeper& sleeper) noexcept;
  void wake_sleepers() noexcept;
  Kept<RunEntry> take_sleeper() noexcept;
  static void see_off(Lane& lane, RunEntry& run) noexcept;
  RuntimeCounters count_runs();
  static void count_ended(Lane& lane, const RunEntry& run) noexcept;
  bool arm_listed(RunEntry& run, int64_t due_ms) noexcept;
  bool arm_listed_alone(RunEntry& run, int64_t due_ms) noexcept;
  void arm_those_far(Lane& lane) noexcept;
  int64_t next_far() const noexcept;
  Kept<RunEntry> take_due(int64_t now_ms) noexcept;
  void begin_close() noexcept;
  Kept<RunEntry> take_active(Lane& lane) noexcept;
  bool wait_quiet(int64_t timeout_ms) noexcept;
  std::vector<Kept<RunEntry>> find_stuck();
  void finish_close() noexcept;
  void finish_claimed() noexcept;
  void finish_unattended() noexcept;
  void wait_for_closers() noexcept;
  struct Closing;
  Ref<Error> close_elsewhere(std::unique_ptr<Closing> closing) noexcept;
  void close_on_this_thread(Closing& closing) noexcept;
  void tell_closed(const PendingCallback& closed) noexcept;

  const HostCalls calls_;
  const uint32_t generation_ = fork_generation();
  Ports ports_;
  std::unique_ptr<Alarm> alarm_;
  // Read for every run, and seldom written to; what is written to more often comes after the lanes.
  std::atomic<bool> closing_{false};
  std::atomic<int64_t> next_due_{INT64_MAX};
  std::atomic<uint32_t> sleeper_count_{0};  // listed, or woken and not gone yet
  [[maybe_unused]] char gap_[kApart];
  Lane lanes_[kLanes];
  // The runtime's own, and one for each lane that is accountable and has some.
  std::atomic<uint32_t> handles_{1};
  std::atomic<uint32_t> kept_{0};
  Pools pools_;
  Lock time_lock_;
  // The logarithm of the number of runs that have something due.
  std::set<std::pair<int64_t, RunEntry*>> armed_;
  // Below, under lock_.
  Lock lock_;
  Condition quiet_;
  bool accountable_ = false;  // the lanes are
  bool counting_ = false;     // a count is under way: one at a time
  Sleeper* sleepers_ = nullptr;
  bool finishing_ = false;   // somebody has taken it upon them
  bool unattended_ = false;  // nobody waits for it: who finishes it lets go of a reference
  bool closed_ = false;
  uint32_t closers_ = 0;    // threads of the closer that have not called back yet
  CallbackList on_closed_;  // where there is no closer
};

inline RuntimeStay::RuntimeStay(Runtime& runtime) noexcept : runtime_(&runtime), lane_(Lanes::here()) {
  runtime.keep(lane_);
}
inline RuntimeStay::~RuntimeStay() {
  if (runtime_ != nullptr) runtime_->drop(lane_);
}

inline RunEntry::RunEntry(RuntimeStay&& runtime, const Workflow& workflow) noexcept
    : runtime_(runtime.take()), workflow_(workflow), lane_(runtime.lane()) {
  workflow.hold(lane_);
}
inline RunEntry::~RunEntry() {
  workflow_.let_go(lane_);
  runtime_->drop(lane_);
}

}  // namespace blazen
