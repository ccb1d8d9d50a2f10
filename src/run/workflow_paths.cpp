#include "run/workflow_paths.hpp"

#include <algorithm>
#include <utility>

namespace blazen {
namespace {

// From one beginning forwards: the steps that may be invoked.
class Walk {
 public:
  Walk(const Workflow& workflow, const std::vector<std::vector<TypeId>>& declared)
      : workflow_(workflow),
        declared_(declared),
        met_(workflow.steps().size()),
        emitted_(workflow.type_count()) {}

  void emit(TypeId type) {
    if (emitted_[type]) return;
    emitted_[type] = true;
    for (const StepIndex step : workflow_.acceptors(type)) {
      if (workflow_.joined_by(step) == kNoOpener) meet(step);
    }
    if (type == kInputRequestType) emit(kInputResponseType);
  }
  void emit_all_of(StepIndex step) {
    emit(kStepFailedType);
    for (const TypeId type : declared_[step]) emit(type);
    if (!declared_[step].empty() || std::exchange(anything_, true)) return;
    for (TypeId type = 0; type < workflow_.type_count(); ++type) emit(type);
  }
  std::vector<bool> to_the_end() {
    while (!open_.empty()) {
      const StepIndex step = open_.back();
      open_.pop_back();
      emit_all_of(step);
      const OpenerIndex opener = workflow_.opened_by(step);
      if (opener == kNoOpener) continue;
      for (const StepIndex join : workflow_.openers()[opener].joins) meet(join);
    }
    return std::move(met_);
  }

 private:
  void meet(StepIndex step) {
    if (met_[step]) return;
    met_[step] = true;
    open_.push_back(step);
  }

  const Workflow& workflow_;
  const std::vector<std::vector<TypeId>>& declared_;  // by each step
  std::vector<bool> met_;
  std::vector<bool> emitted_;
  bool anything_ = false;  // of every type
  std::vector<StepIndex> open_;
};

}  // namespace

WorkflowPaths::WorkflowPaths(const Workflow& workflow) : workflow_(workflow) {
  find_emitted();
  Walk walk(workflow, emitted_);
  walk.emit(kStartType);
  reachable_ = walk.to_the_end();
  inside_.reserve(workflow.openers().size());
  for (const Opener& opener : workflow.openers()) {
    Walk inside(workflow, emitted_);
    inside.emit_all_of(opener.step);
    inside_.push_back(inside.to_the_end());
  }
  find_stopping();
}

void WorkflowPaths::find_emitted() {
  const std::vector<StepDefinition>& steps = workflow_.steps();
  std::vector<StepIndex> by(workflow_.type_count(), kNoStep);  // whose they were last
  emitted_.resize(steps.size());
  for (StepIndex step = 0; step < steps.size(); ++step) {
    const auto add = [&](const std::string& name) {
      const TypeId type = workflow_.find_type(name);
      if (std::exchange(by[type], step) != step) emitted_[step].push_back(type);
    };
    for (const std::string& name : steps[step].emits) add(name);
    if (!steps[step].fails_as.empty()) add(steps[step].fails_as);
    // What a decision answers is all that comes of it, but of an output, which may emit what it likes.
    if (steps[step].part == StepPart::output || steps[step].part == StepPart::gather) continue;
    for (const std::string& name : steps[step].answers) add(name);
  }
}

bool WorkflowPaths::is_taken(TypeId type, StepIndex from) const {
  const std::vector<StepIndex>& takers = workflow_.acceptors(type);
  return std::any_of(takers.begin(), takers.end(), [&](StepIndex taker) { return takes(taker, from); });
}

// From the StopEvent backwards.
void WorkflowPaths::find_stopping() {
  const std::vector<StepDefinition>& steps = workflow_.steps();
  stops_.resize(steps.size());
  std::vector<std::vector<StepIndex>> emitters(workflow_.type_count());
  std::vector<StepIndex> open;
  const auto stop = [&](StepIndex step) {
    if (stops_[step]) return;
    stops_[step] = true;
    open.push_back(step);
  };
  for (StepIndex step = 0; step < steps.size(); ++step) {
    for (const TypeId type : emitted_[step]) {
      emitters[type].push_back(step);
      if (type == kInputRequestType) emitters[kInputResponseType].push_back(step);
    }
    if (emitted_[step].empty()) stop(step);
  }
  for (const StepIndex step : emitters[kStopType]) stop(step);
  while (!open.empty()) {
    const StepIndex step = open.back();
    open.pop_back();
    const OpenerIndex opener = workflow_.joined_by(step);
    if (opener == kNoOpener) {
      for (const std::string& type : steps[step].accepts) {
        for (const StepIndex emitter : emitters[workflow_.find_type(type)]) stop(emitter);
      }
      continue;
    }
    for (StepIndex inside = 0; inside < steps.size(); ++inside) {
      if (is_in_scope(inside, opener)) stop(inside);
    }
  }
}

}  // namespace blazen
