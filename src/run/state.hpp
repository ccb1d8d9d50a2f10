// The whole of a run: whatever is not in here is not in a snapshot either.
//
// Plain data. reduce.hpp tells what may change it and which invariants hold; only reduce() and restore()
// write it: engine/locked_state.hpp sees to that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "run/clock.hpp"
#include "run/collects.hpp"
#include "run/deadlines.hpp"
#include "run/invocation.hpp"
#include "run/key_table.hpp"
#include "run/kin.hpp"
#include "run/permits.hpp"
#include "run/questions.hpp"
#include "run/run_status.hpp"
#include "run/scopes.hpp"
#include "run/timers.hpp"
#include "run/workflow.hpp"
#include "value/error.hpp"
#include "value/event.hpp"

namespace blazen {

// What a newer library has put into the snapshot that this run comes from, and this one does not know: it goes into
// the next one as it came.
struct KeptSection {
  uint64_t key;
  std::string since;  // the version that knows it
  std::string content;
};

// What a run has of the snapshot that it comes from, beside its state.
struct Heritage {
  std::vector<std::string> dropped;        // the names of what its snapshots and its resume have left out
  std::vector<KeptSection> kept_sections;  // ascending
};

// By the ids of the questions. The logarithm of their number.
using EarlyAnswers = std::map<std::string, Ref<Value>, std::less<>>;

// Queues in which nothing ever stands in most runs: of workflows with steps elsewhere, of runs that come from a
// snapshot with invocations in flight, and what was answered early.
struct RareQueues {
  InvocationQueue<ById> parked;  // of steps elsewhere
  // In flight in the snapshot that this run comes from, of steps that have fewer permits here.
  InvocationTree<ByStepAndStart> interrupted_waiting;
  InvocationList interrupted_parked;  // the same, of steps elsewhere, by start
  uint32_t interrupted_waiting_count = 0;
  std::unique_ptr<EarlyAnswers> early_answers;  // for questions that are not asked yet; null: none
};

// Small members lie side by side: there may be a million runs that wait for somebody.
struct RunState {
  Ref<Workflow> workflow;
  RunId id{};  // of a top; see id_of_run()
  Phase phase = Phase::created;
  TypeId last_type =
      kUnknownType;  // of the last event, for a stall to name; kUnknownType: see last_unhandled

  uint64_t event_id_last = 0;
  uint64_t invocation_id_last = 0;
  uint64_t write_last = 0;   // the version that the last write of the state got
  uint64_t stream_last = 0;  // the sequence number of the last published item
  uint64_t start_last = 0;   // orders the invocations in flight; not stored
  std::unique_ptr<std::string> last_unhandled;

  Ref<KeyTable> state;    // null: empty
  Ref<KeyTable> session;  // null: empty
  Ref<Value> metadata;    // null: none
  Ref<Value> result;      // of a completed run
  Ref<Error> error;       // of a failed or cancelled run

  std::unique_ptr<const Heritage> heritage;  // restore() alone sets it; null: nothing

  // What an operation costs: behind all others, nothing that grows; between others, the logarithm of their
  // number. Maps and sets, the logarithm too; what is not ordered, nothing that grows (see each).
  StepStates steps;
  InvocationQueue<ById> ready;         // of steps that need no permit
  Permitted permitted;                 // of the others: ready, with a permit; and what there is of pools
  InvocationQueue<ByStart> in_flight;  // their bodies run, or are pending
  // Were in flight in the snapshot that this run comes from; those of steps that use a pool stand with that.
  InvocationQueue<ByStart> interrupted;
  InvocationQueue<ById> asking;      // left the body to wait for an answer
  std::unique_ptr<RareQueues> rare;  // null: see rare_queues()
  uint64_t open = 0;                 // invocations in any of these lists and in `waiting`
  uint32_t in_flight_idle = 0;       // of those in flight, which wait for an answer, or host a child
  uint32_t abandoned = 0;            // the sum over the steps; not stored
  Timers timers;                     // attempts that begin again, and events that are delayed
  Questions questions;
  Deadlines deadlines;             // of open questions and of joins
  std::unique_ptr<Scopes> scopes;  // of a workflow with joins, from the first that is opened on; null: none
  std::unique_ptr<Collects> collects;  // what bodies collect; null: nothing was
  std::unique_ptr<Kin> kin;            // null: it is no child, and never had one
  [[no_unique_address]] RunClock clock;
  // The engine's, and not stored: no step is started while a subscriber holds the run back; what happens is
  // reported while somebody listens.
  bool held = false;
  bool watched = false;
  Pause pause = Pause::none;
  RunStatus last_status =
      RunStatus::running;  // as of the last tick: status_of(), or running where nobody asked
  InvocationPool pool;
};

// Of the tree that it is in.
inline RunState& top_of(RunState& state) noexcept {
  return state.kin && state.kin->top != nullptr ? *state.kin->top : state;
}
inline const RunState& top_of(const RunState& state) noexcept { return top_of(const_cast<RunState&>(state)); }
inline bool is_child(const RunState& state) noexcept { return state.kin && state.kin->top != nullptr; }
inline RunId id_of_run(const RunState& state) noexcept {
  return is_child(state) ? state.kin->path->run_id() : state.id;
}
// How many of its invocations host one.
inline size_t hosting(const RunState& state) noexcept { return state.kin ? state.kin->children.size() : 0; }
// A subscriber holds the tree back.
inline bool is_held(const RunState& state) noexcept { return top_of(state).held; }

// After a tick: where it stands in the row of its tree.
[[gnu::noinline]] void note_turn(RunState& state) noexcept;

// Of a workflow in which some step has permits, or uses a pool.
[[gnu::noinline]] inline void make_permits(RunState& state) {
  const std::vector<StepDefinition>& definitions = state.workflow->steps();
  const std::vector<PoolUse>& pools = state.workflow->pools();
  state.permitted.make_room(definitions.size(), pools.size());
  for (PoolIndex pool = 0; pool < pools.size(); ++pool)
    state.permitted.pools()[pool].ready.make_room(pools[pool].steps);
  for (StepIndex step = 0; step < definitions.size(); ++step) {
    if (!definitions[step].needs_permit()) continue;
    state.steps[step].queues = std::make_unique<PermitQueues>();
    state.steps[step].queues->pool = state.workflow->pool_of(step);
    if (definitions[step].concurrency_max == 0) state.steps[step].permits = UINT32_MAX;
  }
}

[[gnu::always_inline]] inline void make_steps(RunState& state) {
  const std::vector<StepDefinition>& definitions = state.workflow->steps();
  state.steps.make(definitions.size());
  for (size_t i = 0; i < definitions.size(); ++i) {
    state.steps[i].permits = definitions[i].concurrency_max;
    if (definitions[i].elsewhere() && !state.rare) state.rare = std::make_unique<RareQueues>();
  }
  if (state.workflow->needs_permits()) make_permits(state);
}

// Where there are none, empty ones.
inline const RareQueues& rare_queues(const RunState& state) noexcept {
  static constinit const RareQueues none;
  return state.rare ? *state.rare : none;
}

// Null: none was given.
inline EarlyAnswers* early_answers(const RunState& state) noexcept {
  return state.rare ? state.rare->early_answers.get() : nullptr;
}

inline const std::vector<std::string>& dropped_of(const RunState& state) noexcept {
  static const std::vector<std::string> none;
  return state.heritage ? state.heritage->dropped : none;
}

// Empty: there was none.
inline const std::string& last_unhandled(const RunState& state) noexcept {
  static const std::string none;
  return state.last_unhandled ? *state.last_unhandled : none;
}

inline bool has_ended(const RunState& state) noexcept { return state.phase >= Phase::completed; }

// How many invocations could be started now.
inline size_t startable(const RunState& state) noexcept {
  if (state.pause != Pause::none) return 0;
  return state.interrupted.size() + state.ready.size() + state.permitted.size();
}

// The same, for whoever would start them.
inline size_t startable_now(const RunState& state) noexcept { return is_held(state) ? 0 : startable(state); }
// The one that is started next, and the pool whose permit it gets.
struct Startable {
  Invocation* invocation = nullptr;  // null: there is none
  PoolIndex pool = kNoPool;          // kNoPool: it needs none
  bool is_interrupted = false;
};
// Pools that may start something.
inline std::span<const PoolState> granting_pools(const RunState& state) noexcept {
  return state.permitted.any() && state.permitted.granted() != 0 ? state.permitted.pools()
                                                                 : std::span<const PoolState>();
}
// Of a run that may start something: none, or what comes before all others.
inline Startable find_interrupted(const RunState& state) noexcept {
  const std::span<const PoolState> pools = granting_pools(state);
  Startable next{state.interrupted.front(), kNoPool, true};
  for (PoolIndex pool = 0; pool < pools.size(); ++pool) {
    Invocation* first = pools[pool].granted == 0 ? nullptr : pools[pool].interrupted.front();
    if (first != nullptr && (next.invocation == nullptr || first->start < next.invocation->start))
      next = {first, pool, true};
  }
  return next;
}
// Of a run that may start something.
[[gnu::noinline]] inline Startable find_startable(const RunState& state) noexcept {
  Startable next = find_interrupted(state);
  if (next.invocation != nullptr) return next;
  const std::span<const PoolState> pools = granting_pools(state);
  next = {state.ready.front(), kNoPool, false};
  const auto prefer = [&next](Invocation* other, PoolIndex pool) {
    if (other != nullptr && (next.invocation == nullptr || other->id < next.invocation->id))
      next = {other, pool, false};
  };
  prefer(state.permitted.front(state.steps), kNoPool);
  for (PoolIndex pool = 0; pool < pools.size(); ++pool) {
    if (pools[pool].granted != 0) prefer(pools[pool].ready.front(state.steps), pool);
  }
  return next;
}
inline const Invocation* next_startable(const RunState& state) noexcept {
  return startable_now(state) == 0 ? nullptr : find_startable(state).invocation;
}
// How many bodies are at work.
inline size_t busy(const RunState& state) noexcept { return state.in_flight.size() - state.in_flight_idle; }

inline size_t delayed_count(const RunState& state) noexcept { return state.timers.count(TimerClass::delay); }
// Of the invocations that are open: those that wait for their next attempt.
inline size_t retrying_count(const RunState& state) noexcept { return state.timers.count(TimerClass::retry); }
// Invocations that wait for a hand, a permit, or somebody elsewhere.
inline size_t waiting_work(const RunState& state) noexcept {
  return state.open - state.in_flight.size() - retrying_count(state) - state.asking.size();
}

// Its next attempt begins then. Reserved.
inline void add_retry(RunState& state, Invocation* invocation, int64_t due_ms) noexcept {
  invocation->set_due_ms(due_ms);
  state.timers.add({due_ms, TimerClass::retry, invocation->id}, {.invocation = invocation});
}

// node: of its deadlines.
inline void set_deadline(RunState& state, Question& question, int64_t due_ms,
                         std::unique_ptr<Question::Deadline> deadline, Deadlines::Node node) noexcept {
  question.deadline = std::move(deadline);
  question.deadline->due_ms = due_ms;
  state.deadlines.add({due_ms, DeadlineClass::question, question.request->id}, {&question}, std::move(node));
}

inline bool has_timers(const RunState& state) noexcept { return !state.timers.empty(); }

// Somebody waits for a permit that an abandoned body has. It will come when the body is back.
[[gnu::noinline]] inline bool waits_for_abandoned(const RunState& state) noexcept {
  for (const StepState& step : state.steps) {
    if (step.abandoned == 0) continue;
    const auto index = static_cast<StepIndex>(&step - state.steps.data());
    if (!step.queues->waiting.empty() ||
        first_of_step(rare_queues(state).interrupted_waiting, index) != nullptr)
      return true;
  }
  return false;
}

// Somebody waits for a permit of a pool. It will come when other bodies are back.
[[gnu::noinline]] inline bool waits_for_pool(const RunState& state) noexcept {
  for (const PoolState& pool : state.permitted.pools()) {
    if (pool.wanted() != 0) return true;
  }
  return false;
}

// Something will move by itself, sooner or later.
inline bool is_moving(const RunState& state) noexcept {
  return startable(state) + busy(state) != 0 || has_timers(state) || (state.kin && state.kin->running != 0) ||
         (state.abandoned != 0 && waits_for_abandoned(state)) ||
         (state.permitted.any() && waits_for_pool(state));
}

// Whether the run starts whatever it has a permit for.
inline bool starts_steps(const RunState& state) noexcept {
  return state.phase == Phase::running && state.pause == Pause::none && !is_held(state);
}

// How many permits of a pool it waits for, beside those that it was granted.
inline uint64_t wanted_of(const RunState& state, PoolIndex pool) noexcept {
  if (!starts_steps(state)) return 0;
  const PoolState& its = state.permitted.pools()[pool];
  return its.wanted() - its.granted;
}

inline RunStatus status_of(const RunState& state) noexcept {
  if (state.phase != Phase::running) return static_cast<RunStatus>(state.phase);
  const Kin* kin = state.kin.get();
  if (state.pause == Pause::now ||
      (state.pause == Pause::drain && busy(state) == 0 && (kin == nullptr || kin->running == 0)))
    return RunStatus::paused;
  if (is_moving(state)) return RunStatus::running;
  if ((state.rare && (!state.rare->parked.empty() || !state.rare->interrupted_parked.empty())) ||
      (kin != nullptr && kin->elsewhere != 0))
    return RunStatus::elsewhere;
  return state.questions.empty() && (kin == nullptr || kin->asking == 0) ? RunStatus::waiting
                                                                         : RunStatus::asking;
}

inline bool clock_should_run(RunStatus status) noexcept {
  return status == RunStatus::running || status == RunStatus::waiting;
}

// The same, when that of the step is that a child is.
inline int64_t step_deadline_of(const RunState& state) noexcept {
  if (!is_child(state) || state.kin->step->timeout_ms == 0) return INT64_MAX;
  return std::max<int64_t>(0, state.kin->step->timeout_ms - state.kin->used_ms);
}

// By the clock of the run, when its time is up; INT64_MAX: never.
inline int64_t deadline_of(const RunState& state) noexcept {
  const int64_t timeout_ms = state.workflow->policy().timeout_ms;
  const int64_t own_ms = timeout_ms == 0 ? INT64_MAX : timeout_ms;
  return std::min(own_ms, step_deadline_of(state));
}

// Nothing is due further back: so far, it is all the same.
inline constexpr int64_t kDueMin = INT64_MIN / 2;

}  // namespace blazen
