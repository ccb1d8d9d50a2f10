// Where what a workflow's steps emit can lead, by what they declare: for descriptions and drawings, not for runs.
//
// A step that declares nothing may emit anything, and so lead everywhere. A step that can run can fail, and what asks is
// answered. A join is led to by its opener alone: it is invoked when the scope is over, whatever has arrived.
//
// What it costs: for each opener, the steps and what they declare.
#pragma once

#include <cstddef>
#include <vector>

#include "run/workflow.hpp"

namespace blazen {

class WorkflowPaths {
 public:
  // The workflow outlives it. Throws std::bad_alloc.
  explicit WorkflowPaths(const Workflow& workflow);

  // Whether a run can come from its StartEvent to this step; else only an event from outside can start it.
  bool is_reachable(StepIndex step) const { return reachable_[step]; }
  // Whether it, or what it leads to, may emit the StopEvent; its failure, and events from outside, are not looked at.
  bool may_stop(StepIndex step) const { return stops_[step]; }
  // Whether what a step emits, or sends, can be of a scope of this opener.
  bool is_in_scope(StepIndex step, OpenerIndex opener) const {
    return step == workflow_.openers()[opener].step || inside_[opener][step];
  }
  // Whether a step takes an event of a type that it accepts, where another one emits it.
  bool takes(StepIndex taker, StepIndex from) const {
    const OpenerIndex opener = workflow_.joined_by(taker);
    return opener == kNoOpener || is_in_scope(from, opener);
  }
  // The types that it declares to emit, each of them once.
  const std::vector<TypeId>& emitted(StepIndex step) const { return emitted_[step]; }
  // Whether any step takes it.
  bool is_taken(TypeId type, StepIndex from) const;

 private:
  void find_emitted();
  void find_stopping();

  const Workflow& workflow_;
  std::vector<std::vector<TypeId>> emitted_;
  std::vector<bool> reachable_;
  std::vector<bool> stops_;
  std::vector<std::vector<bool>> inside_;  // of each opener: the steps that may run in a scope of it
};

}  // namespace blazen
