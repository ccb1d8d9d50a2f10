// The call of a step's body: what the host knows as a context, and, where it completes later, as an
// invocation.
//
// States: open (the body runs, or is pending) --finished--> closed. `deferred` says that the host has an
// invocation handle; `completed`, that somebody has said how it ends; `returned`, that the body is back. It
// finishes when the last two hold, once. A call whose time is up is abandoned: nothing that it does counts
// any more, and what it can reach stays valid until its body has returned. The outputs belong to the one
// thread that uses the context; the rest is under the lock of the run.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/lazy_map.hpp"
#include "base/object.hpp"
#include "base/text_hash.hpp"
#include "engine/effect_digest.hpp"
#include "engine/host.hpp"
#include "engine/write_buffer.hpp"
#include "run/tick.hpp"

namespace blazen {

class Call;
class Run;

// A descriptor that becomes readable once. -1: none.
class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal();
  Result<int> open() noexcept;
  void raise() const noexcept;

 private:
  int number_ = -1;
};

// What the host's invocation handle points to: counted by itself, since its last release has a meaning.
struct InvocationHandle final : Object {
  explicit InvocationHandle(Call& owner) noexcept : Object(Kind::invocation, 0), call(owner) {}
  Call& call;
};

// Those that wait for answers, by the ids of their questions; of one question, in the order in which they
// came.
using AnswerCallbacks = std::multimap<std::string_view, std::unique_ptr<PendingCallback>>;

// Attempts of steps that have a time-out, by when it is up, and the order in which they were started.
using StepTimers = LazyMap<std::pair<int64_t, uint64_t>, Call*>;

// How an event is sent.
struct Sending {
  std::string_view target;  // empty: to everybody who accepts it
  int64_t delay_ms = 0;
  uint64_t scope = 0;  // from outside: the id of the scope that it belongs to; 0: none
};

class Call final : public Object {
 public:
  Call() noexcept : Object(Kind::context), handle_(*this) {}
  static void destroy(Call* call) noexcept { delete call; }

  Run& run() const noexcept { return *run_; }
  const StepDefinition& step() const noexcept { return *step_; }
  const Event& event() const noexcept { return *event_; }
  uint64_t invocation_id() const noexcept { return invocation_id_; }
  uint32_t attempt() const noexcept { return attempt_; }
  bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
  // For whoever uses the context: somebody has a handle of the invocation.
  bool is_deferred() const noexcept { return deferred_; }
  InvocationHandle& handle() noexcept { return handle_; }
  // A value that the host borrows: until the next one, or until this call is over. For whoever uses the
  // context.
  const Value* lend(Ref<Value> value) noexcept {
    lent_value_ = std::move(value);
    return lent_value_.get();
  }

 private:
  friend class Context;
  friend struct HeldEffects;
  friend class Run;
  friend class Runtime;

 public:
  // What most calls never need.
  struct ColdState {
    int64_t retry_after_ms = -1;
    uint32_t questions = 0;   // that were given no id
    Ref<Error> verdict;       // of a decision that the step has failed
    bool collects = false;    // it was told to wait for the rest of a group: it is done when it returns
    bool is_special = false;  // one of the outputs is an InputRequestEvent, or delayed
    size_t sends = 0;         // of an atomic step: so many of the outputs come first
    WriteBuffer write_buffer;
    CallbackList on_cancel;     // taken out at once, however many
    AnswerCallbacks on_answer;  // the logarithm of the number of open questions of this call
    Signal signal;
    Ref<Group> group;                   // of a join, once somebody has asked
    Ref<Group> collected;               // what it has collected last
    std::vector<Ref<Event>> branches;   // of the results of several workflows, once somebody has asked
    std::vector<const Event*> arrived;  // of one of these, or of the join
  };

 private:
  // What it leaves behind when it has ended: taken under the lock, let go of without it.
  struct PendingRelease {
    std::unique_ptr<ColdState> cold;
    Ref<Event> event;
    bool any = false;
    void let_go() noexcept {
      if (!std::exchange(any, false)) return;
      cold.reset();
      event.reset();
    }
  };
  // Under the lock.
  void spend_cold() noexcept {
    spent_ = std::move(cold_);
    leaves_ = true;
  }
  [[gnu::noinline]] void leave(PendingRelease& pending_release) noexcept {
    leaves_ = false;
    pending_release.any = true;
    pending_release.cold = std::move(spent_);
    pending_release.event = std::move(event_kept_);
  }

  void begin(Run& run, const Workflow& workflow, Invocation* invocation) noexcept;
  // Where invariants are checked: a call that nobody uses keeps nothing of the host's.
#ifdef BLAZEN_INVARIANTS
  void check_keeps_nothing() const noexcept;
#else
  void check_keeps_nothing() const noexcept {}
#endif
  // The number of a type that it sends.
  TypeId find_sent_type(std::string_view type) noexcept {
    if (same_text(sent_name_, type)) [[likely]]
      return sent_last_;
    const TypeId id = workflow_->find_type(type);
    if (id == kUnknownType) return id;
    sent_last_ = id;
    sent_name_ = workflow_->type_name(id);
    has_sent_identity_ = false;
    return id;
  }
  // What it emitted and nobody has taken, and what the host has borrowed.
  [[gnu::always_inline]] void clear_outputs() noexcept {
    if (lent_value_) [[unlikely]]
      lent_value_.reset();
    for (Output& output : outputs_) {
      if (output.event) event_cache_.put(std::move(output.event));
    }
    outputs_.clear();
  }
  // Of one that was deferred, and is complete: the host has let go of it too.
  bool is_ours_alone() noexcept {
    leaves_ = true;  // event_kept_
    return refs.load(std::memory_order_acquire) == 1 && !failure_ && !cold_;
  }
  // It has nothing to let go of, though it has been used.
  bool is_clean() const noexcept { return outputs_.empty() && !lent_value_ && !leaves_; }
  // It has emitted one event, which ends the run.
  bool stops() const noexcept { return outputs_.size() == 1 && outputs_.front().type == kStopType; }
  Run* run_ = nullptr;  // between two runs: none
  const Workflow* workflow_ = nullptr;
  InvocationHandle handle_;
  Invocation* invocation_ = nullptr;
  const StepDefinition* step_ = nullptr;
  const Event* event_ = nullptr;
  Ref<Event> event_kept_;  // of a deferred or abandoned call, whose event outlives the invocation
  uint64_t invocation_id_ = 0;
  uint32_t attempt_ = 1;
  int64_t started_ms_ = -1;  // negative: nobody watched
  std::atomic<bool> open_{false};
  std::atomic<bool> abandoned_{false};
  bool deferred_ = false;
  bool completed_ = false;
  bool returned_ = false;
  bool is_special_ = false;  // it has a cold state, or a time-out
  bool is_shared_ = false;   // others have references: it is not used for another body
  bool leaves_ = false;      // spent_, or event_kept_ of an abandoned one
  bool timed_ = false;       // in the run's step timers, at timer_at_
  bool listed_ = false;      // in the run's list of calls that something outside may have to do with
  // While its body is at work, and what it does counts no more: it is counted, keeps a thread of the
  // executor, and the log knows.
  bool is_kept_ = false;
  bool engine_writes_ = false;  // in the place of the host's body, or before it
  bool keeps_hand_ = false;
  bool is_told_ = false;
  bool keeps_permit_ = false;  // abandoned, and its step counts it still
  bool lingers_ = false;       // abandoned, its body is back, and somebody may still complete it
  uint32_t began_ms_ = 0;      // of an abandoned one: as its invocation said
  Ref<Error> failure_;
  // A step often emits one type many times: its number and, where it has one, its name.
  TypeId emitted_last_ = kUnknownType;
  std::string_view emitted_name_;
  // The same for one that is sent, with the digest that tells it apart where it goes to whoever accepts it.
  TypeId sent_last_ = kUnknownType;
  std::string_view sent_name_;
  bool has_sent_identity_ = false;
  uint64_t sent_identity_ = 0;
  size_t outputs_max_ = 0;
  std::vector<Output> outputs_;
  Ref<Value> lent_value_;
  EventCache event_cache_;
  Commands commands_;  // of its writes
  std::unique_ptr<ColdState> cold_;
  std::unique_ptr<ColdState> spent_;  // goes outside the lock
  StepTimers::NodeType timer_;        // empty while it is there, and until a step with a time-out is called
  StepTimers::iterator timer_at_{};
  Call* next_listed_ = nullptr;
  Call* previous_listed_ = nullptr;
  Call* next_cancelled_ = nullptr;  // in Notifications
};

}  // namespace blazen
