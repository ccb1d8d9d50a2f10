#include "run/workflow_description.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "run/json_writer.hpp"
#include "run/pipeline_parts.hpp"
#include "run/workflow_paths.hpp"

namespace blazen {
namespace {

const char* word_for(Unhandled unhandled) noexcept {
  switch (unhandled) {
    case Unhandled::fail: return "fail";
    case Unhandled::ignore: return "ignore";
    case Unhandled::stream: return "stream";
  }
  return "unknown";
}

const char* word_for(SessionPolicy policy) noexcept {
  switch (policy) {
    case SessionPolicy::pickle_or_error: return "pickle_or_error";
    case SessionPolicy::pickle_or_serialize: return "pickle_or_serialize";
    case SessionPolicy::warn_drop: return "warn_drop";
    case SessionPolicy::hard_error: return "hard_error";
  }
  return "unknown";
}

const char* word_for(JoinDefinition::Mode mode) noexcept {
  switch (mode) {
    case JoinDefinition::Mode::all: return "all";
    case JoinDefinition::Mode::any: return "any";
    case JoinDefinition::Mode::first_n: return "first_n";
  }
  return "unknown";
}

void put_texts(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
  json.key(name);
  json.open('[');
  for (const std::string& text : texts) json.text(text);
  json.close(']');
}

void put_codes(JsonWriter& json, std::string_view name, const std::vector<int64_t>& codes) {
  json.key(name);
  json.open('[');
  for (const int64_t code : codes) json.raw(std::to_string(code));
  json.close(']');
}

void put_retry(JsonWriter& json, const RetryPolicy& retry) {
  json.key("retry");
  json.open('{');
  json.count("max_attempts", retry.attempts_max);
  json.member("initial_delay_ms", retry.delay_ms);
  json.fraction("multiplier", retry.multiplier);
  json.member("max_delay_ms", retry.delay_max_ms);
  json.member("jitter_percent", int64_t{std::lround(retry.jitter * 100)});
  if (retry.only.empty()) {
    json.null("only");
  } else {
    put_codes(json, "only", retry.only);
  }
  put_codes(json, "never", retry.never);
  json.close('}');
}

void put_join(JsonWriter& json, const std::optional<JoinDefinition>& join) {
  if (!join) return json.null("join");
  json.key("join");
  json.open('{');
  json.member("of", join->of);
  json.member("mode", word_for(join->mode));
  json.count("n", join->mode == JoinDefinition::Mode::first_n ? join->wanted : 0);
  json.member("deadline_ms", join->deadline_ms);
  json.member("at_deadline", join->fails_at_deadline ? "fail" : "give");
  json.flag("cancel_rest", join->cancels_rest);
  json.flag("ordered", join->is_ordered);
  json.member("correlation", join->by_event ? "by_event" : "none");
  json.member("empty", join->skips_empty ? "skip" : "invoke");
  json.close('}');
}

void put_opened(JsonWriter& json, const Workflow& workflow, StepIndex step) {
  json.key("opens");
  json.open('[');
  if (const OpenerIndex opener = workflow.opened_by(step); opener != kNoOpener) {
    for (const StepIndex join : workflow.openers()[opener].joins) json.text(workflow.steps()[join].name);
  }
  json.close(']');
}

const char* word_for(StepPart part) noexcept {
  switch (part) {
    case StepPart::body: return "body";
    case StepPart::child: return "child";
    case StepPart::branches: return "branches";
    case StepPart::gather: return "gather";
    case StepPart::input: return "input";
    case StepPart::output: return "output";
    case StepPart::stage_begin: return "begin";
    case StepPart::condition: return "condition";
    case StepPart::until: return "until";
    case StepPart::stage_end: return "end";
  }
  return "unknown";
}

// The workflows that are steps of others, each once, in the order in which they are met.
using Workflows = std::vector<const Workflow*>;

void collect_children(const Workflow& workflow, Workflows& all) {
  for (const StepDefinition& step : workflow.steps()) {
    const Workflow* child = step.child.get();
    if (child == nullptr || std::find(all.begin(), all.end(), child) != all.end()) continue;
    all.push_back(child);
    collect_children(*child, all);
  }
}

void put_child(JsonWriter& json, const StepDefinition& step, const Workflows& children) {
  if (!step.is_child() || step.elsewhere()) return json.null("child");
  json.key("child");
  json.open('{');
  if (step.branch.empty()) {
    json.null("branch");
  } else {
    json.member("branch", step.branch);
  }
  if (step.child.get() == nullptr) {
    json.member("workflow", "self");
    json.null("index");
  } else {
    json.member("workflow", step.child.get()->name());
    json.count("index", static_cast<uint64_t>(std::find(children.begin(), children.end(), step.child.get()) -
                                              children.begin()));
  }
  json.close('}');
}

void put_step(JsonWriter& json, const Workflow& workflow, const WorkflowPaths& paths,
              const Workflows& children, StepIndex index) {
  const StepDefinition& step = workflow.steps()[index];
  json.open('{');
  json.member("name", step.name);
  put_texts(json, "accepts", step.accepts);
  if (step.emits.empty()) {
    json.null("emits");
  } else {
    put_texts(json, "emits", step.emits);
  }
  json.flag("elsewhere", step.elsewhere());
  json.count("max_concurrency", step.concurrency_max);
  json.member("timeout_ms", step.timeout_ms);
  json.flag("atomic", step.atomic);
  json.member("abandoned", step.abandoned_keeps_permit ? "keeps_permit" : "frees_permit");
  put_retry(json, step.retry);
  put_join(json, step.join);
  put_opened(json, workflow, index);
  json.flag("reachable", paths.is_reachable(index));
  if (step.pool.empty()) {
    json.null("pool");
  } else {
    json.member("pool", step.pool);
  }
  json.member("part", word_for(step.part));
  if (step.part_of.empty()) {
    json.null("part_of");
  } else {
    json.member("part_of", step.part_of);
  }
  put_child(json, step, children);
  json.close('}');
}

void put_policies(JsonWriter& json, const WorkflowPolicy& policy) {
  json.key("policies");
  json.open('{');
  json.member("unhandled", word_for(policy.unhandled));
  json.member("idle", policy.idle == Idle::wait ? "wait" : "fail");
  json.member("session", word_for(policy.session));
  json.member("session_on_pause", policy.clears_session ? "clear" : "keep");
  json.member("timeout_ms", policy.timeout_ms);
  json.close('}');
}

// As blazen_limit numbers them.
void put_limits(JsonWriter& json, const Limits& limits) {
  json.key("limits");
  json.open('{');
  json.count("queued_events", limits.queued_events);
  json.count("state_bytes", limits.state_bytes);
  json.count("session_bytes", limits.session_bytes);
  json.count("stream_items", limits.stream_items);
  json.count("subscribers", limits.subscribers);
  json.count("step_sends", limits.step_sends);
  json.count("stream_retained", limits.stream_retained);
  json.count("questions", limits.questions);
  json.count("scopes", limits.scopes);
  json.count("scope_depth", limits.scope_depth);
  json.count("child_depth", limits.child_depth);
  json.count("children", limits.children);
  json.close('}');
}

void put_dead_end(JsonWriter& json, const StepDefinition& step, const char* kind, std::string_view type) {
  json.open('{');
  json.member("step", step.name);
  json.member("kind", kind);
  if (!type.empty()) json.member("event_type", type);
  json.close('}');
}

void put_dead_ends(JsonWriter& json, const Workflow& workflow, const WorkflowPaths& paths) {
  json.key("dead_ends");
  json.open('[');
  for (StepIndex index = 0; index < workflow.steps().size(); ++index) {
    const StepDefinition& step = workflow.steps()[index];
    for (const TypeId type : paths.emitted(index)) {
      if (type == kStopType) continue;
      const TypeId taken = type == kInputRequestType ? kInputResponseType : type;
      if (!paths.is_taken(taken, index)) put_dead_end(json, step, "no_acceptor", workflow.type_name(taken));
    }
    // Where a run waits for events from outside, one of those may lead to the end.
    if (workflow.policy().idle == Idle::fail && !paths.may_stop(index))
      put_dead_end(json, step, "no_stop", {});
  }
  json.close(']');
}

}  // namespace

namespace {

// Of a pipeline.
void put_stages(JsonWriter& json, const Workflow& workflow) {
  json.key("stages");
  json.open('[');
  for (const Stage& stage : workflow.stages()) {
    json.open('{');
    json.member("name", stage.name);
    put_texts(json, "branches", stage.branches);
    json.flag("first_success", stage.takes_first);
    json.count("max_rounds", stage.rounds_max);
    json.close('}');
  }
  json.close(']');
}

void put_workflow(JsonWriter& json, const Workflow& workflow, const Workflows& children) {
  const WorkflowPaths paths(workflow);
  json.member("name", workflow.name());
  json.member("fingerprint", workflow.fingerprint());
  json.key("steps");
  json.open('[');
  for (StepIndex step = 0; step < workflow.steps().size(); ++step)
    put_step(json, workflow, paths, children, step);
  json.close(']');
  put_policies(json, workflow.policy());
  put_limits(json, workflow.policy().limits);
  put_dead_ends(json, workflow, paths);
  put_stages(json, workflow);
}

}  // namespace

std::string describe_workflow(const Workflow& workflow) {
  Workflows children;
  collect_children(workflow, children);
  JsonWriter json;
  json.open('{');
  put_workflow(json, workflow, children);
  json.key("children");
  json.open('[');
  for (const Workflow* child : children) {
    json.open('{');
    put_workflow(json, *child, children);
    json.close('}');
  }
  json.close(']');
  json.close('}');
  return json.take();
}

}  // namespace blazen
