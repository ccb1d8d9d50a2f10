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
// cancelled.
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
#include "port/executor.hpp"
#include "run/reduce.hpp"
#include "snapshot/encode.hpp"

namespace blazen {

struct SnapshotDocument;

class Run final : public Object, public Work {
 public:
  // Not started yet. Throws std::bad_alloc.
  static Result<Ref<Run>> create(Runtime& runtime, Ref<Workflow> workflow, Ref<Value> metadata);
  static Result<Ref<Run>> resume(Runtime& runtime, const Ref<Workflow>& workflow,
                                 const SnapshotDocument& snapshot, bool allow_changed_workflow);
  static constexpr bool kFoundByOthers = true;  // by the runtime's list
  static void destroy(Run* run) noexcept { delete run; }

  // Handles of the host; the first reference of create() is one.
  void hold() noexcept;
  void release_handle() noexcept;

  // submit: false where this thread is about to work on the run itself.
  Ref<Error> start(Ref<Value> input, bool has_input, bool submit);
  Ref<Error> post(const Event& event, std::string_view target);
  // The event as its sender sends it: a copy of its own, and where it goes.
  Result<Output> address(const Event& event, std::string_view target, std::string_view source) const;
  Result<RunStatus> wait(int64_t timeout_ms);
  // For a caller that keeps the only handle: a run that only the outside could move on is an error.
  Ref<Error> wait_ended_or_stuck();
  Ref<Error> on_done(const HostCallback& callback) noexcept;
  RunStatus status() const noexcept;
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  Result<Ref<Value>> result() const noexcept;
  std::string elsewhere() const;
  Ref<Error> close() noexcept;
  void cancel(std::string_view why) noexcept;
  Result<CborBuffer> snapshot() const;
  Result<Ref<Stream>> subscribe();

  std::string_view id() const noexcept;
  const Workflow& workflow() const noexcept { return *state_.workflow; }
  const Ref<Value>& metadata() const noexcept { return state_.metadata; }
  Runtime& runtime() const noexcept { return *runtime_; }

  // State and session, for a call that is open. May throw std::bad_alloc.
  Ref<Error> write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed);
  Ref<Error> clear_state();
  Ref<Error> write_session(Write write, bool* removed);
  struct Found {
    Ref<Value> value;
    uint64_t version = 0;
  };
  Found find(std::string_view key, bool session) const noexcept;
  std::vector<std::string> keys(std::string_view prefix, bool session) const;

  // Work.
  uint64_t work(uint64_t steps_max) noexcept override;
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

  // What has to be called once the lock is open.
  struct Notices {
    std::vector<HostCallback> done;
    Stream* ready = nullptr;  // through next_notice_; each holds a reference and counts in calling_
    RunStatus status = RunStatus::running;
    size_t hands = 0;
    bool ended = false;
    Call* spare_call = nullptr;  // of a run that has ended: the runtime gets it
    bool more = false;           // whoever sets one of the others sets it

    bool any() const noexcept { return more; }
  };

  class FirstHandle;
  Run(Runtime& runtime, Ref<Workflow> workflow) noexcept;

  // One tick, and what follows from it under the lock. False: no memory, and nothing has changed.
  bool tick(Tick& tick, Commands& commands, Notices& notices) noexcept;
  void after_tick(Commands& commands, Notices& notices) noexcept;
  void collect_ready(Notices& notices) noexcept;
  void collect_ready(Stream& stream, Notices& notices) noexcept;
  // Sees to it that whatever can be started will be.
  void offer(Notices& notices) noexcept;
  void offer_rest(Notices& notices) noexcept;
  void end(Phase phase, Ref<Error> error) noexcept;
  // A send or a publication of a step that runs.
  Ref<Error> effect(Tick& tick) noexcept;
  // Without the lock.
  void notify(Notices& notices) noexcept;

  void dispatch(Commands& commands, Notices& notices) noexcept;
  // The invocation that a tick has dispatched gets its call. False: there is none.
  bool take_next(Call*& call, Commands& commands, Notices& notices) noexcept;
  Call* take_call() noexcept;
  void keep_call(Call* call) noexcept;
  static void clear_left(Ref<Call>& left, bool is_done) noexcept;
  Status call_body(Call& call, Ref<Error>& error) noexcept;
  // The body is back; with a hand free, the next one is dispatched in the same tick. False: it is pending.
  bool bring_back(Call& call, Status status, Ref<Error>& error, bool hand_free, Commands& commands,
                  Notices& notices) noexcept;
  void finish(Call& call, Ref<Error> failure, bool hand_free, Commands& commands, Notices& notices) noexcept;

  // Sleeps and helps until done() holds under the lock. False: the deadline has passed.
  bool wait_until(Guard& guard, int64_t timeout_ms, const std::function<bool()>& done);
  bool helps(int64_t timeout_ms) const noexcept;
  bool is_lost() const noexcept;

  Ref<Runtime> runtime_;
  mutable Lock lock_;
  Condition changed_;
  RunState state_;
  bool started_ = false;              // in this process
  bool enlisted_ = false;             // in the runtime's list, under its lock
  uint32_t waiters_ = 0;              // threads that sleep on changed_
  uint32_t helpers_ = 0;              // those of them that would rather work
  std::atomic<uint32_t> busy_{0};     // threads that call out for this run, or are about to
  std::atomic<bool> owned_{false};    // started and not ended: the runtime has a reference
  std::atomic<bool> ended_{false};    // has_ended(), for a look without the lock
  std::atomic<bool> closing_{false};  // somebody waits for them to leave
  size_t tasks_ = 0;                  // steps that a host's scheduler was told of and has not run yet
  std::atomic<uint32_t> handles_{1};
  Call* spare_call_ = nullptr;
  std::unique_ptr<StreamLog> stream_;
  std::vector<HostCallback> done_;
  mutable UuidText id_text_{};  // made when somebody asks; empty until then

  // The runtime's list.
  Run* next_active_ = nullptr;
  Run* previous_active_ = nullptr;

 public:
  ~Run();
};

}  // namespace blazen
