#include "run/workflow.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/digest.hpp"
#include "base/quotes.hpp"
#include "base/text_hash.hpp"
#include "run/parts.hpp"
#include "run/pipeline_parts.hpp"
#include "value/event.hpp"

namespace blazen {
namespace {

using Steps = std::vector<StepDefinition>;
using TextSet = std::unordered_set<std::string_view, TextHash>;

// Which steps accept a type.
using Acceptors = std::unordered_map<std::string_view, std::vector<const StepDefinition*>, TextHash>;

Acceptors find_acceptors(const Steps& steps) {
  Acceptors acceptors;
  for (const StepDefinition& step : steps) {
    for (const std::string& type : step.accepts) acceptors[type].push_back(&step);
  }
  return acceptors;
}

std::string find_duplicate_name(const Steps& steps) {
  TextSet seen;
  for (const StepDefinition& step : steps) {
    if (!seen.insert(step.name).second) return "two steps are named " + in_quotes(step.name);
  }
  return {};
}

std::string find_bad_type(const Steps& steps, const Acceptors& acceptors) {
  for (const StepDefinition& step : steps) {
    if (step.accepts_type(kStopEvent)) {
      return "step " + in_quotes(step.name) +
             " accepts blazen::StopEvent, which ends the run and is never delivered";
    }
    for (const std::string& type : step.accepts) {
      if (is_stream_type(type))
        return "step " + in_quotes(step.name) + " accepts " + type + ", which only ever stands on streams";
    }
    for (const std::string& type : step.emits) {
      if (type != kStopEvent && type != kInputRequest && !acceptors.contains(type)) {
        return "step " + in_quotes(step.name) + " declares that it emits " + in_quotes(type) +
               ", which no step accepts";
      }
    }
  }
  return {};
}

// Follows the declared emits from StartEvent. A step that declares none may emit anything, and then every
// step can be reached; so can one that waits for events from outside. A step that can run can fail, and what
// asks is answered.
std::string find_unreachable(const Steps& steps, const Acceptors& acceptors, const WorkflowPolicy& policy) {
  if (policy.idle == Idle::wait) return {};
  TextSet seen{kStartEvent, kStepFailed};
  std::vector<std::string_view> open{kStartEvent, kStepFailed};
  while (!open.empty()) {
    const std::string_view type = open.back();
    open.pop_back();
    const auto found = acceptors.find(type);
    if (found == acceptors.end()) continue;
    for (const StepDefinition* step : found->second) {
      if (step->emits.empty()) return {};
      for (const std::string& emitted : step->emits) {
        if (seen.insert(emitted).second) open.push_back(emitted);
        if (emitted == kInputRequest && seen.insert(kInputResponse).second) open.push_back(kInputResponse);
      }
    }
  }
  for (const StepDefinition& step : steps) {
    if (std::none_of(step.accepts.begin(), step.accepts.end(),
                     [&](const std::string& type) { return seen.contains(type); })) {
      return "no event can reach step " + in_quotes(step.name) +
             ": no step that can run declares that it emits " + in_quotes(step.accepts.front());
    }
  }
  return {};
}

using StepNames = std::unordered_map<std::string_view, const StepDefinition*, TextHash>;

const StepDefinition* find_step(const StepNames& names, std::string_view name) noexcept {
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

// What is wrong with one join by itself.
std::string find_bad_join(const StepNames& names, const StepDefinition& step) {
  const std::string join = "join " + in_quotes(step.name);
  if (step.join->of == step.name) return join + " joins itself";
  if (find_step(names, step.join->of) == nullptr)
    return join + " joins step " + in_quotes(step.join->of) + ", which was not added";
  if (step.accepts_type(kStartEvent))
    return join + " accepts blazen::StartEvent, which comes before any scope is open";
  return {};
}

// Joins of one another, all the way round: nothing could be the first to be invoked. Each step is looked at once.
std::string find_circle(const Steps& steps, const StepNames& names) {
  std::vector<const StepDefinition*> looked_at_from(steps.size());
  for (const StepDefinition& step : steps) {
    const StepDefinition* at = &step;
    const auto mark = [&]() -> const StepDefinition*& {
      return looked_at_from[static_cast<size_t>(at - steps.data())];
    };
    while (at->join && mark() == nullptr) {
      mark() = &step;
      at = find_step(names, at->join->of);
    }
    if (!at->join || mark() != &step) continue;
    std::string way = in_quotes(at->name);
    const StepDefinition* const first = at;
    do {
      at = find_step(names, at->join->of);
      way.append(" of ").append(in_quotes(at->name));
    } while (at != first);
    return "joins in a circle: " + way;
  }
  return {};
}

// The joins of one opener, as far as they were looked at.
struct Siblings {
  const StepDefinition* first = nullptr;
  const StepDefinition* cancels = nullptr;
  std::unordered_map<std::string_view, const StepDefinition*, TextHash> by_type;

  // What is wrong with one more.
  std::string find_fault(const StepDefinition& step) {
    const auto both = [&](const StepDefinition& other) {
      return "joins " + in_quotes(other.name) + " and " + in_quotes(step.name) + " of step " +
             in_quotes(step.join->of);
    };
    if (step.join->cancels_rest) cancels = &step;
    if (first != nullptr && cancels != nullptr)
      return both(cancels == &step ? *first : *cancels) +
             ": one that cancels the rest is the only join of its opener";
    if (first == nullptr) first = &step;
    for (const std::string& type : step.accepts) {
      const StepDefinition* other = by_type.emplace(type, &step).first->second;
      if (other != &step) return both(*other) + " both accept " + in_quotes(type);
    }
    return {};
  }
};

// Where every step that can take part in a scope declares what it emits: whether one of them emits what the
// join accepts. One that can run can fail, and what asks is answered.
std::string find_unmet(const StepNames& names, const Acceptors& acceptors, const StepDefinition& join) {
  const StepDefinition& opener = *find_step(names, join.join->of);
  if (opener.emits.empty()) return {};
  TextSet seen{kStepFailed};
  std::vector<std::string_view> open{kStepFailed};
  const auto follow = [&](const StepDefinition& step) {
    for (const std::string& type : step.emits) {
      if (seen.insert(type).second) open.push_back(type);
      if (type == kInputRequest && seen.insert(kInputResponse).second) open.push_back(kInputResponse);
    }
  };
  follow(opener);
  while (!open.empty()) {
    const std::string_view type = open.back();
    open.pop_back();
    if (join.accepts_type(type)) return {};
    const auto found = acceptors.find(type);
    if (found == acceptors.end()) continue;
    for (const StepDefinition* step : found->second) {
      if (step->emits.empty()) return {};
      follow(*step);
    }
  }
  return "nothing can reach join " + in_quotes(join.name) + ": no step that can run in a scope of " +
         in_quotes(opener.name) + " declares that it emits " + in_quotes(join.accepts.front());
}

std::string find_bad_joins(const Steps& steps, const Acceptors& acceptors) {
  const auto joins = [](const StepDefinition& step) { return step.join.has_value(); };
  if (std::none_of(steps.begin(), steps.end(), joins)) return {};
  StepNames names;
  for (const StepDefinition& step : steps) names.emplace(step.name, &step);
  std::unordered_map<std::string_view, Siblings, TextHash> siblings;
  for (const StepDefinition& step : steps) {
    if (!step.join) continue;
    if (std::string fault = find_bad_join(names, step); !fault.empty()) return fault;
    if (std::string fault = siblings[step.join->of].find_fault(step); !fault.empty()) return fault;
  }
  if (std::string fault = find_circle(steps, names); !fault.empty()) return fault;
  for (const StepDefinition& step : steps) {
    if (!step.join) continue;
    if (std::string fault = find_unmet(names, acceptors, step); !fault.empty()) return fault;
  }
  return {};
}

std::string find_fault(const Steps& steps, const WorkflowPolicy& policy) {
  if (steps.empty()) return "it has no step";
  if (std::string fault = find_duplicate_name(steps); !fault.empty()) return fault;
  const Acceptors acceptors = find_acceptors(steps);
  if (!acceptors.contains(kStartEvent))
    return "no step accepts blazen::StartEvent, so that nothing would start";
  if (std::string fault = find_bad_type(steps, acceptors); !fault.empty()) return fault;
  if (std::string fault = find_bad_joins(steps, acceptors); !fault.empty()) return fault;
  return find_unreachable(steps, acceptors, policy);
}

}  // namespace

void StepBody::destroy(StepBody* body) noexcept {
  const DropFn drop = body->drop;
  void* user_data = body->user_data;
  delete body;
  call_drop(drop, user_data);
}

bool StepDefinition::accepts_type(std::string_view type) const noexcept {
  return std::find(accepts.begin(), accepts.end(), type) != accepts.end();
}

ChildWorkflow::ChildWorkflow(Workflow* workflow) noexcept : workflow_(workflow) {
  if (workflow_ != nullptr) retain(workflow_);
}
ChildWorkflow::ChildWorkflow(const ChildWorkflow& other) noexcept : ChildWorkflow(other.workflow_) {}
ChildWorkflow::~ChildWorkflow() { Ref<Workflow>::adopt(workflow_).reset(); }

Result<Ref<Workflow>> Workflow::build(std::string_view name, const Steps& given,
                                      const WorkflowPolicy& policy) {
  for (const StepDefinition& step : given) {
    if (!step.hosts) continue;
    if (std::string fault = find_bad_parts(step); !fault.empty())
      return Error::make(Status::invalid_workflow,
                         "workflow " + in_quotes(name) + " can never work: " + fault);
  }
  return build_of(name, write_out_parts(given), policy);
}

Workflow::Workflow() noexcept : Object(Kind::workflow) {}
Workflow::~Workflow() = default;

Result<Ref<Workflow>> Workflow::build_pipeline(std::string_view name,
                                               const std::vector<StageDefinition>& stages,
                                               const WorkflowPolicy& policy) {
  if (std::string fault = find_bad_stages(stages); !fault.empty())
    return Error::make(Status::invalid_workflow, "pipeline " + in_quotes(name) + " can never work: " + fault);
  Result<Ref<Workflow>> built = build_of(name, write_out_stages(stages), policy);
  if (built) (*built)->stages_ = stages_of(stages);
  return built;
}

Result<Ref<Workflow>> Workflow::build_of(std::string_view name, Steps steps, const WorkflowPolicy& policy) {
  uint32_t nesting = 1;
  for (const StepDefinition& step : steps) {
    if (step.child.get() != nullptr) nesting = std::max(nesting, step.child.get()->nesting() + 1);
  }
  if (steps.size() > kStepsMax)
    return Error::make(Status::limit, "BLAZEN_STEPS_MAX (" + std::to_string(kStepsMax) +
                                          ") is reached, with the parts of steps that are workflows");
  if (nesting > kChildDepthMax)
    return Error::make(Status::limit, "workflow " + in_quotes(name) +
                                          " has more than BLAZEN_CHILD_DEPTH_MAX (" +
                                          std::to_string(kChildDepthMax) + ") workflows inside one another");
  if (std::string fault = find_fault(steps, policy); !fault.empty()) {
    return Error::make(Status::invalid_workflow, "workflow " + in_quotes(name) + " can never work: " + fault);
  }
  Ref<Workflow> workflow = Ref<Workflow>::adopt(new Workflow);
  workflow->name_ = name;
  workflow->policy_ = policy;
  workflow->nesting_ = nesting;
  workflow->steps_ = std::move(steps);
  workflow->index();
  workflow->fingerprint_ = workflow->compute_fingerprint();
  return workflow;
}

void Workflow::destroy(Workflow* workflow) noexcept {
  if (workflow->accountable_.exchange(true)) return;
  uint32_t surplus = 1;  // that of all others, which are gone
  workflow->holders_.fetch_add(kLanes, std::memory_order_relaxed);
  for (const Lane& lane : workflow->lanes_) {
    if (!lane.runs.account()) ++surplus;
  }
  workflow->let_go_of_whole(surplus);
}

[[gnu::noinline]] void Workflow::hold_whole(uint8_t lane) const noexcept {
  holders_.fetch_add(1, std::memory_order_relaxed);
  if (!lanes_[lane].runs.hold_with_whole()) let_go_of_whole(1);
}

[[gnu::noinline]] void Workflow::let_go_of_whole(uint32_t count) const noexcept {
  if (holders_.fetch_sub(count, std::memory_order_acq_rel) == count) delete this;
}

StepIndex Workflow::find_step(std::string_view name) const noexcept {
  const auto found = step_index_.find(name);
  return found == step_index_.end() ? kNoStep : found->second;
}

TypeId Workflow::intern(std::string_view type) {
  const TypeId id = types_.add(type);
  if (id == acceptors_.size()) acceptors_.emplace_back();
  return id;
}

void Workflow::index() {
  for (const std::string_view type : {kStopEvent, kInputRequest, kStartEvent, kInputResponse, kStepFailed})
    intern(type);
  paces_ = std::make_unique<Pace[]>(steps_.size());
  for (StepIndex step = 0; step < steps_.size(); ++step) {
    const StepDefinition& definition = steps_[step];
    const StepBody* body = definition.body.get();
    step_index_.emplace(definition.name, step);
    has_parts_ = has_parts_ || definition.part != StepPart::body;
    if (body == nullptr) {
      paces_[step].trust();  // what the engine does itself is quick
    } else {
      ++slow_count_;
      times_steps_ = times_steps_ || definition.timeout_ms != 0 || body->cancelled != nullptr;
    }
    for (const std::string& type : definition.accepts) acceptors_[intern(type)].push_back(step);
    for (const std::string& type : definition.emits) intern(type);
    for (const std::string& type : definition.answers) intern(type);
    if (!definition.fails_as.empty()) intern(definition.fails_as);
  }
  index_joins();
  index_pools();
  index_inner_pools();
  routes_plainly_ = !has_joins() && policy_.unhandled == Unhandled::fail;
  plain_acceptors_.assign(acceptors_.size(), kNoStep);
  for (TypeId type = 0; type < acceptors_.size(); ++type) {
    const std::vector<StepIndex>& steps = acceptors_[type];
    acceptors_max_ = std::max(acceptors_max_, steps.size());
    if (has_joins() || is_routed_by_engine(type) || steps.size() != 1) continue;
    const StepDefinition& only = steps_[steps.front()];
    if (!only.elsewhere() && !only.needs_permit()) plain_acceptors_[type] = steps.front();
  }
}

void Workflow::index_joins() {
  const auto joins = [](const StepDefinition& step) { return step.join.has_value(); };
  if (std::none_of(steps_.begin(), steps_.end(), joins)) return;
  opened_by_.assign(steps_.size(), kNoOpener);
  joined_by_.assign(steps_.size(), kNoOpener);
  join_places_.assign(steps_.size(), 0);
  for (StepIndex step = 0; step < steps_.size(); ++step) {
    if (!steps_[step].join) continue;
    const JoinDefinition& join = *steps_[step].join;
    const StepIndex opens = find_step(join.of);
    if (opened_by_[opens] == kNoOpener) {
      opened_by_[opens] = static_cast<OpenerIndex>(openers_.size());
      openers_.emplace_back().step = opens;
    }
    Opener& opener = openers_[opened_by_[opens]];
    joined_by_[step] = opened_by_[opens];
    join_places_[step] = static_cast<uint32_t>(opener.joins.size());
    opener.joins.push_back(step);
    opener.is_ordered = opener.is_ordered || join.is_ordered;
    opener.cancels_rest = opener.cancels_rest || join.cancels_rest;
    cancels_rest_ = cancels_rest_ || join.cancels_rest;
  }
}

void Workflow::index_pools() {
  std::unordered_map<std::string_view, PoolIndex, TextHash> known;
  for (StepIndex step = 0; step < steps_.size(); ++step) {
    needs_permits_ = needs_permits_ || steps_[step].needs_permit();
    const std::string& name = steps_[step].pool;
    if (name.empty()) continue;
    if (pools_.empty()) pool_of_.assign(steps_.size(), kNoPool);
    const auto [found, is_new] = known.try_emplace(name, static_cast<PoolIndex>(pools_.size()));
    if (is_new) pools_.push_back({name, step});
    ++pools_[found->second].steps;
    pool_of_[step] = found->second;
  }
}

void Workflow::index_inner_pools() {
  std::unordered_set<std::string, TextHash, std::equal_to<>> known;
  const auto add = [&](const std::string& pool, const std::string& step) {
    if (known.insert(pool).second) inner_pools_.push_back({pool, step});
  };
  for (const StepDefinition& step : steps_) {
    const Workflow* child = step.child.get();
    if (child == nullptr || step.elsewhere()) continue;
    for (const PoolUse& use : child->pools())
      add(use.name, step.name + "/" + child->steps()[use.first_step].name);
    for (const InnerPool& inner : child->inner_pools()) add(inner.pool, step.name + "/" + inner.step);
  }
}

std::string Workflow::compute_fingerprint() const {
  Digest digest;
  for (const StepDefinition& step : steps_) {
    digest.add_text(step.name).add_number(step.accepts.size());
    for (const std::string& type : step.accepts) digest.add_text(type);
  }
  const uint64_t sum = digest.finish();
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[(sum >> shift) & 15];
  return text;
}

}  // namespace blazen
