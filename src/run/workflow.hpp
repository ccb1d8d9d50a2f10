// The definition of a workflow: its steps, and for each event type the steps that accept it.
//
// Invariants: immutable once built, but for the hints of its steps' pace, and shared by any number of runs.
// Names are interned here, so that routing is an index: a TypeId counts the event types that some step
// accepts or declares, a StepIndex the steps, in the order in which they were added.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/apart.hpp"
#include "base/lanes.hpp"
#include "base/limits.hpp"
#include "base/object.hpp"
#include "run/pace.hpp"
#include "run/type_table.hpp"
#include "value/error.hpp"
#include "value/event_path.hpp"

namespace blazen {

using StepIndex = uint32_t;
// Interned first in every workflow, in this order.
inline constexpr TypeId kStopType = 0;
inline constexpr TypeId kInputRequestType = 1;
inline constexpr TypeId kStartType = 2;
inline constexpr TypeId kInputResponseType = 3;
inline constexpr TypeId kStepFailedType = 4;
// What these two do is more than to go to whoever accepts them: one ends the run, the other asks.
constexpr bool is_routed_by_engine(TypeId type) noexcept {
  return type == kStopType || type == kInputRequestType;
}
inline constexpr StepIndex kNoStep = UINT32_MAX;

enum class Unhandled : int32_t { fail = 0, ignore = 1, stream = 2 };
enum class Idle : int32_t { fail = 0, wait = 1 };
// What a snapshot does with the session, and with LIVE values anywhere: src/snapshot/live.hpp.
enum class SessionPolicy : int32_t {
  pickle_or_error = 0,
  pickle_or_serialize = 1,
  warn_drop = 2,
  hard_error = 3
};

// The host's body of a step, opaque here: the engine calls it through a port. `drop` runs with the last
// workflow that has it.
struct StepBody final : Object {
  StepBody(void (*body_call)(), void* data, DropFn drop_data) noexcept
      : Object(Kind::dead), call(body_call), user_data(data), drop(drop_data) {}
  static void destroy(StepBody* body) noexcept;

  void (*call)();
  void (*cancelled)() = nullptr;  // for each invocation that is cancelled; null: nobody wants to hear of it
  void* user_data;
  DropFn drop;
};

// How often, and when, a step that failed is tried again. Pure: see retry.hpp.
struct RetryPolicy {
  uint32_t attempts_max = 1;  // with the first one
  int64_t delay_ms = 0;       // before the second attempt
  double multiplier = 2;      // from one delay to the next
  int64_t delay_max_ms = 60'000;
  double jitter = 0;           // at most this part of a delay is taken off, 0 to 1
  std::vector<int64_t> only;   // host codes; empty: every failure
  std::vector<int64_t> never;  // host codes
};

// How a step joins what has come of one invocation of another step, its opener: see scopes.hpp.
struct JoinDefinition {
  // As the public header numbers them.
  enum class Mode : int32_t { all = 0, any = 1, first_n = 2 };
  std::string of;  // the name of the opener
  Mode mode = Mode::all;
  uint32_t wanted = 0;  // how many arrivals are enough; 0: all there are
  int64_t deadline_ms = 0;
  bool fails_at_deadline = false;
  bool cancels_rest = false;
  bool is_ordered = false;
  bool by_event = false;  // one group for each correlation
  bool skips_empty = false;
  std::string enough_at{};  // an arrival of this type is enough; empty: none is by its type
};

class Workflow;
// A reference to a workflow that a step of another one is.
class ChildWorkflow {
 public:
  ChildWorkflow() noexcept = default;
  explicit ChildWorkflow(Workflow* workflow) noexcept;
  ChildWorkflow(const ChildWorkflow& other) noexcept;
  ChildWorkflow(ChildWorkflow&& other) noexcept : workflow_(std::exchange(other.workflow_, nullptr)) {}
  ChildWorkflow& operator=(ChildWorkflow other) noexcept {
    std::swap(workflow_, other.workflow_);
    return *this;
  }
  ~ChildWorkflow();
  // Null: the workflow that the step is a part of.
  Workflow* get() const noexcept { return workflow_; }

 private:
  Workflow* workflow_ = nullptr;
};

// A step that is a workflow, or several at once: as the host says it. parts.hpp writes it out.
struct HostDefinition {
  struct Branch {
    std::string name;  // empty: it is the only one
    ChildWorkflow workflow;
    bool is_elsewhere = false;
  };
  // A body of the host's that answers with one value. Without a body: elsewhere.
  struct Decision {
    bool is_wanted = false;
    Ref<StepBody> body;
  };
  bool is_parallel = false;
  bool takes_first = false;  // the first success is enough; else all have to succeed
  std::vector<Branch> branches;
  std::string output_type;  // empty: <name>::output
  Decision input;
  Decision output;
};
std::string branch_step_name(std::string_view step, std::string_view branch);

// What a step is, or which part of one.
enum class StepPart : uint8_t {
  body,      // a step of the host's
  child,     // its invocations host runs of a workflow
  branches,  // opens the scope in which children run at once
  gather,    // joins them
  input,     // decides what the child is given
  output,    // decides what is made of its result
  // Of a stage of a pipeline (pipeline_parts.hpp).
  stage_begin,
  condition,  // decides whether it is skipped
  until,      // decides whether its loop goes on; without a body of the host's, it goes on to its bound
  stage_end,
};

struct StepDefinition {
  std::string name;
  Ref<StepBody> body;  // null: elsewhere
  uint32_t concurrency_max = 0;
  int64_t timeout_ms = 0;              // of an attempt; 0: none
  bool atomic = false;                 // writes and sends count when it completes
  bool abandoned_keeps_permit = true;  // an attempt that is over has its permit until its body is back
  RetryPolicy retry;
  std::vector<std::string> accepts;
  std::vector<std::string> emits;
  std::optional<JoinDefinition> join;   // none: each event that it accepts starts it
  std::string pool;                     // a body of it runs only with a permit of that; empty: it uses none
  std::optional<HostDefinition> hosts;  // before parts.hpp has written it out
  // And as it is written out.
  StepPart part = StepPart::body;
  std::string part_of;        // the name of the step that it is a part of; empty: it stands for itself
  ChildWorkflow child;        // StepPart::child
  std::string branch;         // the same, of several at once
  Ref<PathNames> path_names;  // the same: of the paths of its runs
  std::string fails_as;  // the type of the event that its failure is, for its join; empty: StepFailedEvent
  std::vector<std::string> answers;  // of a decision: the type of the event that its answer is
  bool takes_first = false;          // StepPart::gather
  bool is_elsewhere = false;         // of a part: it has nothing here
  bool is_round = false;             // of a part: what it does is done again in each round of a loop
  uint32_t stage = UINT32_MAX;       // of a pipeline: the number of the stage that it is a part of

  // Of whatever kind.
  bool needs_permit() const noexcept { return concurrency_max != 0 || !pool.empty(); }
  bool elsewhere() const noexcept {
    return part == StepPart::body ? !body : is_elsewhere || (is_decision() && !body);
  }
  // That the host has to make.
  bool is_decision() const noexcept {
    return part == StepPart::input || part == StepPart::output || part == StepPart::condition;
  }
  bool is_child() const noexcept { return part == StepPart::child; }
  bool accepts_type(std::string_view type) const noexcept;
};

struct WorkflowPolicy {
  Unhandled unhandled = Unhandled::fail;
  Idle idle = Idle::fail;
  int64_t timeout_ms = 300'000;  // of a run; 0: none
  bool clears_session = false;   // when a run is paused
  SessionPolicy session = SessionPolicy::pickle_or_error;
  Limits limits;
};

// The steps whose invocations open scopes, by their numbers, in the order of their indices.
using OpenerIndex = uint32_t;
inline constexpr OpenerIndex kNoOpener = UINT32_MAX;
struct Opener {
  StepIndex step = kNoStep;
  std::vector<StepIndex> joins;  // in the order in which they were added
  bool is_ordered = false;       // one of them is
  bool cancels_rest = false;
};

// A pool that steps use, and the first of them, for whoever has to name one.
using PoolIndex = uint32_t;
inline constexpr PoolIndex kNoPool = UINT32_MAX;
struct PoolUse {
  std::string name;
  StepIndex first_step = kNoStep;
  uint32_t steps = 0;  // how many use it
};

struct Stage;
struct StageDefinition;

class Workflow final : public Object {
 public:
  // The same of a pipeline.
  static Result<Ref<Workflow>> build_pipeline(std::string_view name,
                                              const std::vector<StageDefinition>& stages,
                                              const WorkflowPolicy& policy);
  // Of a pipeline; empty: it is none.
  const std::vector<Stage>& stages() const noexcept { return stages_; }
  bool is_pipeline() const noexcept { return !stages_.empty(); }

  // Checks that the workflow can work at all; the error says why it cannot. Throws std::bad_alloc.
  static Result<Ref<Workflow>> build(std::string_view name, const std::vector<StepDefinition>& steps,
                                     const WorkflowPolicy& policy);
  // Its last reference is gone, but for those of runs, which are counted in lanes. A run may lend its own to
  // others meanwhile, as to a snapshot that is taken of it: when those go, it comes here once more.
  static void destroy(Workflow* workflow) noexcept;

  // A reference of a run of this lane.
  void hold(uint8_t lane) const noexcept {
    if (!lanes_[lane].runs.try_hold()) [[unlikely]]
      hold_whole(lane);
  }
  void let_go(uint8_t lane) const noexcept {
    if (lanes_[lane].runs.let_go()) [[unlikely]]
      let_go_of_whole(1);
  }

  const std::string& name() const noexcept { return name_; }
  const std::string& fingerprint() const noexcept { return fingerprint_; }
  const WorkflowPolicy& policy() const noexcept { return policy_; }
  const std::vector<StepDefinition>& steps() const noexcept { return steps_; }

  StepIndex find_step(std::string_view name) const noexcept;
  TypeId find_type(std::string_view type) const noexcept { return types_.find(type); }
  const std::string& type_name(TypeId type) const noexcept { return types_.name(type); }
  size_t type_count() const noexcept { return types_.size(); }
  // Whether invocations of some step have something to do with the outside while they run: a time-out, or
  // somebody who hears of their being cancelled.
  bool times_steps() const noexcept { return times_steps_; }
  // Whether a thread that waits may run a body of this step; whether that holds for every step.
  bool is_quick(StepIndex step) const noexcept { return paces_[step].is_quick(); }
  bool is_quick() const noexcept { return slow_count_.load(std::memory_order_relaxed) == 0; }
  // A body of this step took so long.
  void note_pace(StepIndex step, bool was_quick) const noexcept {
    if (const int change = paces_[step].note(was_quick); change != 0)
      slow_count_.fetch_sub(change, std::memory_order_relaxed);
  }
  // The steps that accept a type, in the order in which they were added.
  const std::vector<StepIndex>& acceptors(TypeId type) const noexcept { return acceptors_[type]; }
  // Whether some step is a workflow, or a part of such a step.
  bool has_parts() const noexcept { return has_parts_; }
  // That a step runs.
  Workflow& child_of(StepIndex step) const noexcept {
    Workflow* child = steps_[step].child.get();
    return child == nullptr ? const_cast<Workflow&>(*this) : *child;
  }
  // How many workflows are inside one another here, without those that are themselves.
  uint32_t nesting() const noexcept { return nesting_; }
  // Whether there are scopes at all; what follows is for workflows that have.
  bool has_joins() const noexcept { return !openers_.empty(); }
  const std::vector<Opener>& openers() const noexcept { return openers_; }
  // kNoOpener: it opens none, and it joins none.
  OpenerIndex opened_by(StepIndex step) const noexcept { return has_joins() ? opened_by_[step] : kNoOpener; }
  OpenerIndex joined_by(StepIndex step) const noexcept { return has_joins() ? joined_by_[step] : kNoOpener; }
  // Of a join: its place among those of its opener.
  uint32_t join_place(StepIndex step) const noexcept { return join_places_[step]; }
  bool cancels_rest() const noexcept { return cancels_rest_; }
  // Whether some step needs a permit.
  bool needs_permits() const noexcept { return needs_permits_; }
  // The pools that steps use, by their numbers.
  const std::vector<PoolUse>& pools() const noexcept { return pools_; }
  // The pools that workflows inside it use, each once, with the workflow and the step that do.
  struct InnerPool {
    std::string pool;
    std::string step;
  };
  const std::vector<InnerPool>& inner_pools() const noexcept { return inner_pools_; }
  // kNoPool: it uses none.
  PoolIndex pool_of(StepIndex step) const noexcept { return pools_.empty() ? kNoPool : pool_of_[step]; }
  // Whether every event that a step accepts goes its way at once, and one that none accepts ends the run.
  bool routes_plainly() const noexcept { return routes_plainly_; }
  // How many steps accept one event, at most; at least 1.
  size_t acceptors_max() const noexcept { return acceptors_max_; }
  // The step that an event of this type goes to, where that is all there is to say: it is the only one that
  // accepts it, runs here, and needs no permit. kNoStep: there is more to it.
  StepIndex plain_acceptor(TypeId type) const noexcept {
    return type < plain_acceptors_.size() ? plain_acceptors_[type] : kNoStep;
  }

 private:
  using Names = std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>>;

  Workflow() noexcept;
  ~Workflow();
  static Result<Ref<Workflow>> build_of(std::string_view name, std::vector<StepDefinition> steps,
                                        const WorkflowPolicy& policy);
  TypeId intern(std::string_view type);
  void index();
  void index_joins();
  void index_pools();
  void index_inner_pools();
  std::string compute_fingerprint() const;

  // Nothing here changes once it is built, but the paces. Finding a step or a type by its name costs the same
  // however many there are; by its index, one look. A delivery costs the number of steps that accept its
  // type, each of which gets it. What is built costs the steps with their types, and the sort of their names.
  std::string name_;
  std::string fingerprint_;
  WorkflowPolicy policy_;
  bool times_steps_ = false;
  bool has_parts_ = false;
  uint32_t nesting_ = 1;
  std::vector<StepDefinition> steps_;
  std::vector<Stage> stages_;
  std::unique_ptr<Pace[]> paces_;               // of each step
  mutable std::atomic<int32_t> slow_count_{0};  // steps that have a body here and are not known to be quick
  Names step_index_;
  TypeTable types_;
  std::vector<std::vector<StepIndex>> acceptors_;
  std::vector<StepIndex> plain_acceptors_;
  size_t acceptors_max_ = 1;
  bool routes_plainly_ = true;
  bool cancels_rest_ = false;
  bool needs_permits_ = false;
  std::vector<Opener> openers_;
  std::vector<OpenerIndex> opened_by_;  // of each step, as what follows; empty where nothing joins
  std::vector<OpenerIndex> joined_by_;
  std::vector<uint32_t> join_places_;
  std::vector<PoolUse> pools_;
  std::vector<InnerPool> inner_pools_;
  std::vector<PoolIndex> pool_of_;  // of each step; empty where none uses one

  // The whole of LaneCount: one for all other references, and one for each lane that is accountable and has runs.
  void hold_whole(uint8_t lane) const noexcept;
  void let_go_of_whole(uint32_t count) const noexcept;
  mutable std::atomic<uint32_t> holders_{1};
  std::atomic<bool> accountable_{false};
  struct Lane {
    char gap[kApart];
    mutable LaneCount runs;
  };
  Lane lanes_[kLanes];
  [[maybe_unused]] char gap_[kApart];
};

}  // namespace blazen
