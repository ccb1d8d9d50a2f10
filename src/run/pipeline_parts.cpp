#include "run/pipeline_parts.hpp"

#include <unordered_set>
#include <utility>

#include "base/quotes.hpp"
#include "base/text_hash.hpp"
#include "run/parts.hpp"
#include "value/event.hpp"

namespace blazen {
namespace {

using Steps = std::vector<StepDefinition>;

std::string enter_type(const std::vector<StageDefinition>& stages, size_t place) {
  if (place == 0) return std::string(kStartEvent);
  return place == stages.size() ? std::string(kStopEvent) : stages[place].name + "::enter";
}

// Writes out one stage, part by part: each accepts what the one before it gives.
class StageWriter {
 public:
  StageWriter(const StageDefinition& stage, uint32_t place, Steps& steps)
      : stage_(stage), place_(place), steps_(steps) {}

  void write(std::string enter, const std::string& next) {
    last_ = std::move(enter);
    add(StepPart::stage_begin, "::begin", "::begun").atomic = true;
    if (stage_.condition.is_wanted) {
      StepDefinition& condition = add_decision(StepPart::condition, stage_.condition, "::condition");
      condition.answers = {type("::chosen"), type("::skipped")};
      last_ = condition.answers.front();
    }
    if (stage_.hosts.input.is_wanted) {
      StepDefinition& input = add_decision(StepPart::input, stage_.hosts.input, "::input");
      input.answers = {type("::input")};
      last_ = input.answers.front();
    }
    add_runs();
    if (is_loop()) add_until();
    if (stage_.hosts.output.is_wanted && (is_loop() || !stage_.hosts.is_parallel)) {
      StepDefinition& output = add_decision(StepPart::output, stage_.hosts.output, "::output");
      output.answers = {type("::output")};
      last_ = output.answers.front();
    }
    StepDefinition& end = add(StepPart::stage_end, "::end", {});
    end.atomic = true;
    if (stage_.condition.is_wanted) end.accepts.push_back(type("::skipped"));
    end.emits = {next};
  }

 private:
  bool is_loop() const noexcept { return stage_.rounds_max != 0; }
  std::string type(std::string_view suffix) const { return std::string(stage_.name).append(suffix); }

  StepDefinition& add(StepPart part, std::string_view suffix, std::string_view gives) {
    StepDefinition& step = steps_.emplace_back();
    step.name = type(suffix);
    step.part = part;
    step.part_of = stage_.name;
    step.stage = place_;
    step.accepts = {last_};
    if (!gives.empty()) step.emits = {last_ = type(gives)};
    return step;
  }

  StepDefinition& add_decision(StepPart part, const HostDefinition::Decision& decision,
                               std::string_view suffix) {
    StepDefinition& step = add(part, suffix, {});
    step.body = decision.body;
    step.retry = stage_.retry;
    return step;
  }

  void add_runs() {
    StepDefinition whole;
    whole.name = stage_.name;
    whole.accepts = {last_};
    if (is_loop()) whole.accepts.push_back(type("::again"));
    whole.timeout_ms = stage_.timeout_ms;
    whole.retry = stage_.retry;
    whole.hosts = stage_.hosts;
    whole.hosts->input = {};
    if (is_loop() || !stage_.hosts.is_parallel) whole.hosts->output = {};
    whole.hosts->output_type = last_ = type(is_loop() ? "::rounded" : "::result");
    const size_t first = steps_.size();
    for (StepDefinition& part : write_out_parts({whole})) steps_.push_back(std::move(part));
    for (size_t i = first; i < steps_.size(); ++i) {
      steps_[i].stage = place_;
      steps_[i].is_round = is_loop();
      if (is_loop() && steps_[i].part == StepPart::branches && steps_[i].emits.empty())
        steps_[i].emits = {type("::done")};  // of no branch: it says in which round it is
    }
  }

  void add_until() {
    StepDefinition& until = add(StepPart::until, "::until", {});
    until.body = stage_.until.body;
    until.is_elsewhere = stage_.until.is_wanted && !stage_.until.body;
    until.retry = stage_.retry;
    until.answers = {type("::again"), type("::result")};
    last_ = until.answers.back();
  }

  const StageDefinition& stage_;
  const uint32_t place_;
  Steps& steps_;
  std::string last_;  // what the part before gives
};

std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name)
    text += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return text;
}

}  // namespace

std::string result_key(std::string_view stage, std::string_view branch) {
  std::string key = "blazen/pipeline/" + escaped(stage);
  return branch.empty() ? key : key.append("/").append(escaped(branch));
}

std::string record_key(std::string_view stage) { return "blazen/stage/" + escaped(stage); }

std::string find_bad_stages(const std::vector<StageDefinition>& stages) {
  if (stages.empty()) return "it has no stage";
  std::unordered_set<std::string_view, TextHash> names;
  for (const StageDefinition& stage : stages) {
    if (!names.insert(stage.name).second) return "two stages are named " + in_quotes(stage.name);
    StepDefinition whole;
    whole.name = stage.name;
    whole.hosts = stage.hosts;
    if (std::string fault = find_bad_parts(whole); !fault.empty()) return fault;
  }
  return {};
}

std::vector<StepDefinition> write_out_stages(const std::vector<StageDefinition>& stages) {
  Steps steps;
  for (size_t place = 0; place < stages.size(); ++place) {
    StageWriter(stages[place], static_cast<uint32_t>(place), steps)
        .write(enter_type(stages, place), enter_type(stages, place + 1));
  }
  return steps;
}

std::vector<Stage> stages_of(const std::vector<StageDefinition>& stages) {
  std::vector<Stage> all;
  for (size_t place = 0; place < stages.size(); ++place) {
    const StageDefinition& given = stages[place];
    Stage& stage = all.emplace_back();
    stage.name = given.name;
    stage.result_key = result_key(given.name);
    stage.record_key = record_key(given.name);
    if (given.hosts.is_parallel) {
      for (const HostDefinition::Branch& branch : given.hosts.branches) stage.branches.push_back(branch.name);
    }
    stage.takes_first = given.hosts.takes_first;
    stage.rounds_max = given.rounds_max;
    stage.done_at_bound = given.done_at_bound;
    stage.next_type = enter_type(stages, place + 1);
  }
  return all;
}

}  // namespace blazen
