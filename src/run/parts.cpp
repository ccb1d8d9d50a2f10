#include "run/parts.hpp"

#include <unordered_set>
#include <utility>

#include "base/quotes.hpp"
#include "base/text_hash.hpp"

namespace blazen {
namespace {

using Steps = std::vector<StepDefinition>;

// One part of a step; what it accepts is for who adds it.
StepDefinition part_of(const StepDefinition& whole, std::string name, StepPart part) {
  StepDefinition step;
  step.name = std::move(name);
  step.part = part;
  step.part_of = whole.name;
  return step;
}

// What a decision has of the step: it is tried again as that is.
StepDefinition decision_of(const StepDefinition& whole, const HostDefinition::Decision& decision,
                           std::string name, StepPart part) {
  StepDefinition step = part_of(whole, std::move(name), part);
  step.body = decision.body;
  step.retry = whole.retry;
  return step;
}

// Runs the child of a branch.
StepDefinition child_of(const StepDefinition& whole, const HostDefinition::Branch& branch, std::string name) {
  StepDefinition step = part_of(whole, std::move(name), StepPart::child);
  step.child = branch.workflow;
  step.branch = branch.name;
  step.path_names = Ref<PathNames>::adopt(new PathNames);
  step.path_names->step = step.name;
  step.path_names->part_of = step.part_of;
  step.path_names->branch = branch.name;
  step.is_elsewhere = branch.is_elsewhere;
  step.concurrency_max = whole.concurrency_max;
  step.timeout_ms = whole.timeout_ms;
  step.retry = whole.retry;
  return step;
}

std::string output_type_of(const StepDefinition& whole) {
  return whole.hosts->output_type.empty() ? whole.name + "::output" : whole.hosts->output_type;
}

// In the place of one step, its parts, in the order in which an event goes through them.
void add_parts(const StepDefinition& whole, Steps& steps) {
  const HostDefinition& hosts = *whole.hosts;
  const std::string& name = whole.name;
  const std::string output_type = output_type_of(whole);
  std::vector<std::string> accepts = whole.accepts;
  const size_t first = steps.size();
  if (hosts.input.is_wanted) {
    StepDefinition& input =
        steps.emplace_back(decision_of(whole, hosts.input, name + "::input", StepPart::input));
    input.accepts = std::exchange(accepts, {name + "::input"});
    input.emits = input.answers = {name + "::input"};
  }
  if (!hosts.is_parallel) {
    StepDefinition& child = steps.emplace_back(child_of(whole, hosts.branches.front(), name));
    child.part_of.clear();
    child.accepts = std::move(accepts);
    child.emits = {hosts.output.is_wanted ? name + "::result" : output_type};
    if (hosts.output.is_wanted) {
      StepDefinition& output =
          steps.emplace_back(decision_of(whole, hosts.output, name + "::output", StepPart::output));
      output.accepts = {name + "::result"};
      output.answers = {output_type};
    }
  } else {
    StepDefinition& opener = steps.emplace_back(part_of(whole, name + "::branches", StepPart::branches));
    opener.accepts = std::move(accepts);
    for (const HostDefinition::Branch& branch : hosts.branches)
      opener.emits.push_back(branch_step_name(name, branch.name));
    for (const HostDefinition::Branch& branch : hosts.branches) {
      StepDefinition& child =
          steps.emplace_back(child_of(whole, branch, branch_step_name(name, branch.name)));
      child.accepts = {child.name};
      child.emits = {name + "::done"};
      child.fails_as = name + "::failed";
    }
    StepDefinition& gather = steps.emplace_back(part_of(whole, name, StepPart::gather));
    gather.part_of.clear();
    gather.body = hosts.output.body;
    if (gather.body) gather.retry = whole.retry;
    gather.is_elsewhere = hosts.output.is_wanted && !hosts.output.body;
    gather.accepts = {name + "::done", name + "::failed"};
    gather.takes_first = hosts.takes_first;
    gather.join.emplace();
    gather.join->of = name + "::branches";
    gather.join->cancels_rest = true;
    gather.join->is_ordered = true;
    gather.join->skips_empty = !hosts.branches.empty();  // the opener has failed, and that is told
    gather.join->enough_at = hosts.takes_first ? name + "::done" : name + "::failed";
    if (hosts.output.is_wanted) {
      gather.answers = {output_type};
    } else {
      gather.emits = {output_type};
    }
  }
  steps[first].join = whole.join;
}

}  // namespace

std::string branch_step_name(std::string_view step, std::string_view branch) {
  return std::string(step).append("[").append(branch).append("]");
}

std::vector<StepDefinition> write_out_parts(const Steps& steps) {
  Steps all;
  all.reserve(steps.size());
  // Where what comes of a step comes from a part of it, that is the opener.
  std::unordered_set<std::string_view, TextHash> with_output;
  for (const StepDefinition& step : steps) {
    if (!step.hosts) {
      all.push_back(step);
      continue;
    }
    add_parts(step, all);
    if (!step.hosts->is_parallel && step.hosts->output.is_wanted) with_output.insert(step.name);
  }
  if (with_output.empty()) return all;
  for (StepDefinition& step : all) {
    if (step.join && with_output.contains(step.join->of)) step.join->of += "::output";
  }
  return all;
}

std::string find_bad_parts(const StepDefinition& step) {
  std::unordered_set<std::string_view, TextHash> names;
  for (const HostDefinition::Branch& branch : step.hosts->branches) {
    if (!names.insert(branch.name).second)
      return "two branches of step " + in_quotes(step.name) + " are named " + in_quotes(branch.name);
  }
  return {};
}

}  // namespace blazen
