#include "run/run_description.hpp"

#include <algorithm>
#include <utility>

#include "base/growth.hpp"
#include "base/uuid.hpp"
#include "run/json_writer.hpp"
#include "run/request_reader.hpp"

namespace blazen {
namespace {

const char* name_of(RunStatus status) noexcept {
  switch (status) {
    case RunStatus::created: return "created";
    case RunStatus::running: return "running";
    case RunStatus::waiting: return "waiting";
    case RunStatus::elsewhere: return "elsewhere";
    case RunStatus::completed: return "completed";
    case RunStatus::failed: return "failed";
    case RunStatus::cancelled: return "cancelled";
    case RunStatus::paused: return "paused";
    case RunStatus::asking: return "asking";
  }
  return "unknown";
}

// The members of the request, without the braces.
std::string_view members_of(std::string_view json) noexcept {
  const size_t first = json.find('{') + 1;
  return json.substr(first, json.rfind('}') - first);
}

}  // namespace

QuestionList::QuestionList(const RunState& state, int64_t now_ms, int64_t date_ms, size_t most) {
  take(state, now_ms, date_ms, most);
}

void QuestionList::add(const RunState& state, int64_t now_ms, int64_t date_ms) {
  take(state, now_ms, date_ms, SIZE_MAX);
}

void QuestionList::add_kept(const KeptChild& child, int64_t date_ms) {
  for (const KeptChild::Question& question : child.questions)
    kept_.push_back({question, std::max<int64_t>(0, date_ms - question.asked_ms)});
}

void QuestionList::take(const RunState& state, int64_t now_ms, int64_t date_ms, size_t most) {
  reserve_more(questions_, std::min(most, state.questions.size()));
  most += questions_.size() < SIZE_MAX - most ? questions_.size() : 0;
  const Ref<EventPath> path = is_child(state) ? state.kin->path : nullptr;
  for (const Question& question : state.questions) {
    if (questions_.size() == most) break;
    questions_.push_back(
        {question.request, question.asker == nullptr ? 0 : question.asker->id, question.asked_ms,
         question.age_ms(now_ms, date_ms),
         question.deadline ? add_ms(date_ms, question.deadline->due_ms - state.deadlines.at(now_ms)) : 0,
         path});
  }
}

std::string QuestionList::json() const {
  JsonWriter json;
  put(json, true);
  return json.take();
}

void QuestionList::put(JsonWriter& json, bool dates) const {
  json.open('[');
  for (const Asked& question : questions_) {
    json.open('{');
    const std::string_view request = question.request->value()->data();
    if (question.path) {
      const std::string id =
          question.path->texts().run_id + "/" + std::string(question.request->correlation());
      json.raw(members_of(with_request_id(request, id)));
      json.member("step", question.path->texts().text + "/" + std::string(question.request->source()));
      json.key("path");
      json.raw(question.path->texts().json);
    } else {
      json.raw(members_of(request));
      json.member("step", question.request->source());
    }
    if (question.invocation_id != 0) json.count("invocation_id", question.invocation_id);
    if (dates) {
      json.member("asked_ms", question.asked_ms);
      json.member("age_ms", question.age_ms);
      if (question.deadline_ms != 0) json.member("deadline_ms", question.deadline_ms);
    }
    json.close('}');
  }
  for (const Kept& kept : kept_) put_kept(kept, json, dates);
  json.close(']');
}

void QuestionList::put_kept(const Kept& kept, JsonWriter& json, bool dates) {
  json.open('{');
  json.raw(members_of(with_request_id(kept.question.request, kept.question.request_id)));
  json.member("step", kept.question.step());
  if (dates) {
    json.member("asked_ms", kept.question.asked_ms);
    json.member("age_ms", kept.age_ms);
  }
  json.close('}');
}

// What is in a run that one of its invocations hosts.
struct RunDescription::ChildPart {
  StepIndex step;
  uint64_t invocation_id;
  const Workflow* workflow;  // that of the run around it has a reference
  std::unique_ptr<RunDescription> run;
};

RunDescription::~RunDescription() = default;
RunDescription::RunDescription(RunDescription&& other) noexcept = default;

RunDescription::RunDescription(const RunState& state, RunStatus status, int64_t now_ms, int64_t date_ms,
                               For whom, size_t* nested_left)
    : whom_(whom),
      id_(id_of_run(state)),
      status_(status),
      now_ms_(now_ms),
      questions_(state, now_ms, date_ms, kListedMax) {
  elapsed_ms_ = state.clock.at(now_ms);
  if (state.scopes) copy_scopes(state);
  if (state.collects) copy_collects(state);
  if (whom == For::its_end) elapsed_ms_ = std::min(elapsed_ms_, deadline_of(state));
  copy_work(state);
  if (has_ended(state)) copy_left(state);
  for (const auto& [key, timer] : state.timers) {
    if (timers_.size() == kListedMax) break;
    if (timer.event) timers_.push_back({timer.event, std::max<int64_t>(0, key.due_ms - elapsed_ms_)});
  }
  delayed_count_ = delayed_count(state);
  if (!has_ended(state)) in_flight_count_ = state.in_flight.size();
  if (whom == For::its_end) {
    in_flight_count_ += state.interrupted.size() + rare_queues(state).interrupted_waiting_count;
    for (const PoolState& pool : state.permitted.pools()) in_flight_count_ += pool.interrupted.size();
  }
  if (!has_ended(state))
    queued_count_ = state.open - in_flight_count_ - retrying_count(state) - state.asking.size();
  retry_count_ = retrying_count(state);
  asking_count_ = state.asking.size();
  question_count_ = state.questions.size();
  pause_ = state.pause;
  events_ = state.event_id_last;
  invocations_ = state.invocation_id_last;
  published_ = state.stream_last;
  for (StepIndex step = 0; step < state.steps.size(); ++step) {
    if (state.steps[step].parked != 0) elsewhere_.push_back(step);
  }
  if (whom == For::anybody) copy_pools(state);
  if (state.state) {
    keys_ = state.state->size();
    bytes_ = state.state->bytes();
  }
  timeout_ms_ = state.workflow->policy().timeout_ms;
  error_ = state.error;
  size_t left = kListedMax;
  if (state.kin) copy_children(state, date_ms, nested_left == nullptr ? left : *nested_left);
}

void RunDescription::copy_children(const RunState& state, int64_t date_ms, size_t& nested_left) {
  child_count_ = state.kin->children.size();
  state.kin->children.walk([&](const Kin* child) {
    if (nested_left == 0) return false;
    --nested_left;
    children_.push_back({child->host->step, child->host_id, child->state->workflow.get(),
                         std::unique_ptr<RunDescription>(new RunDescription(
                             *child->state, child->status, now_ms_, date_ms, whom_, &nested_left))});
    return true;
  });
}

void RunDescription::put_children(const Workflow& workflow, JsonWriter& json) const {
  json.key("children");
  json.open('[');
  for (const ChildPart& child : children_) {
    const StepDefinition& step = workflow.steps()[child.step];
    json.open('{');
    json.member("step", step.part_of.empty() ? step.name : step.part_of);
    json.count("invocation_id", child.invocation_id);
    if (!step.branch.empty()) json.member("branch", step.branch);
    json.key("run");
    child.run->put(*child.workflow, json);
    json.close('}');
  }
  json.close(']');
  json.count("child_count", child_count_);
}

std::string RunDescription::json(const Workflow& workflow) const {
  JsonWriter json;
  put(workflow, json);
  return json.take();
}

void RunDescription::put(const Workflow& workflow, JsonWriter& json) const {
  json.open('{');
  if (whom_ == For::anybody) json.member("run_id", std::string_view(uuid_text(id_).data(), kUuidTextLength));
  json.member("workflow", workflow.name());
  json.member("status", name_of(status_));
  if (pause_ != Pause::none) json.member("pause", pause_ == Pause::now ? "now" : "drain");
  if (error_) json.member("error", error_->message);
  put_list(workflow, json, "in_flight", in_flight_, "age_ms");
  if (whom_ == For::anybody) put_abandoned(workflow, json);
  put_list(workflow, json, "queued", queued_, nullptr);
  put_list(workflow, json, "retrying", retrying_, "due_in_ms");
  put_timers(json);
  json.key("questions");
  questions_.put(json, whom_ == For::anybody);
  json.key("elsewhere");
  json.open('[');
  for (const StepIndex step : elsewhere_) json.text(workflow.steps()[step].name);
  json.close(']');
  put_scopes(workflow, json);
  if (!pools_.empty()) put_pools(workflow, json);
  if (!collects_.empty()) put_collects(workflow, json);
  if (child_count_ != 0) put_children(workflow, json);
  put_counters(json);
  json.close('}');
}

Ref<Error> RunDescription::added_to(Ref<Error> error, const Workflow& workflow) const {
  const bool is_shared = error->status == Status::out_of_memory;  // there is one for everybody
  if (!is_shared) error->detail = Value::copy(Tag::json, json(workflow));
  return error;
}

void RunDescription::copy_work(const RunState& state) {
  std::vector<const Invocation*> found;
  const auto add_first = [&found](const auto& queue, size_t most = kListedMax) {
    found.reserve(found.size() + std::min(most, kListedMax));
    size_t count = 0;
    queue.walk([&](const Invocation* item) {
      found.push_back(item);
      return ++count < most;
    });
  };
  // They are not in the order of their start.
  const auto add_interrupted = [&] {
    add_first(state.interrupted);
    for (const PoolState& pool : state.permitted.pools()) add_first(pool.interrupted);
    add_first(rare_queues(state).interrupted_waiting, SIZE_MAX);
  };
  // At the end of a run, those that were in flight in a snapshot and have not begun again are in flight too.
  const bool is_end = whom_ == For::its_end;
  add_first(state.in_flight);
  if (is_end) add_interrupted();
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->start < b->start; });
  found.resize(std::min(found.size(), kListedMax));
  for (const Invocation* item : found) {
    const bool is_known = !is_end && item->began_ms != 0;
    const uint32_t age_ms = passed_since(item->began_ms, now_ms_);
    in_flight_.push_back({item->id, item->step, item->attempt, item->event, is_known ? int64_t{age_ms} : -1});
  }
  found.clear();
  if (!is_end) add_interrupted();
  add_first(rare_queues(state).interrupted_parked);
  add_first(state.ready);
  add_first(rare_queues(state).parked);
  for (const StepState& step : state.steps) {
    if (!step.queues) continue;
    if (!step.queues->ready.empty()) add_first(step.queues->ready);
    if (!step.queues->waiting.empty()) add_first(step.queues->waiting);
  }
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  found.resize(std::min(found.size(), kListedMax));
  for (const Invocation* item : found)
    queued_.push_back({item->id, item->step, item->attempt, item->event, -1});
  for (const auto& [key, timer] : state.timers) {
    if (retrying_.size() == kListedMax) break;
    if (timer.invocation == nullptr) continue;
    const Invocation& item = *timer.invocation;
    retrying_.push_back(
        {item.id, item.step, item.attempt, item.event, std::max<int64_t>(0, key.due_ms - elapsed_ms_)});
  }
}

// How many events a join has, and was not invoked with.
uint64_t RunDescription::arrived_at(const ScopeJoin& join) noexcept {
  uint64_t arrived = join.group ? join.group->arrived.size() : 0;
  for (const Group* group = join.first; group != nullptr; group = group->after)
    arrived += group->arrived.size();
  return arrived;
}

void RunDescription::copy_scopes(const RunState& state) {
  const Scopes& scopes = *state.scopes;
  scope_count_ = scopes.size();
  scopes_.reserve(std::min(kListedMax, scopes.size()));
  const int64_t elapsed_ms = state.deadlines.at(now_ms_);
  for (const auto& [id, scope] : scopes.all()) {
    if (scopes_.size() == kListedMax) break;
    ScopePicture& made = scopes_.emplace_back();
    made.id = id;
    made.parent = scope->parent == nullptr ? 0 : scope->parent->id;
    made.opener = scope->opener;
    made.opener_invocation = scope->opener_invocation;
    made.live = scope->live;
    made.late = scope->late;
    made.joins.reserve(scope->joins.size());
    for (const ScopeJoin& join : scope->joins) {
      const bool is_timed = join.due_ms != INT64_MAX && whom_ == For::anybody;
      made.joins.push_back({join.step, join.closed, arrived_at(join),
                            is_timed ? std::max<int64_t>(0, join.due_ms - elapsed_ms) : -1});
    }
  }
}

void RunDescription::put_list(const Workflow& workflow, JsonWriter& json, std::string_view name,
                              const WorkList& list, const char* ms_name) {
  json.key(name);
  json.open('[');
  for (const Work& work : list) {
    json.open('{');
    json.member("step", workflow.steps()[work.step].name);
    json.count("invocation_id", work.id);
    json.count("attempt", work.attempt);
    json.member("event_type", work.event->type());
    if (ms_name != nullptr && work.ms >= 0) json.member(ms_name, work.ms);
    json.close('}');
  }
  json.close(']');
}

// The run has ended: what is in flight still counts no more.
void RunDescription::copy_left(const RunState& state) {
  in_flight_.clear();
  abandoned_count_ = state.in_flight.size();
  state.in_flight.walk([this](const Invocation* item) {
    if (abandoned_.size() == kListedMax) return false;
    abandoned_.push_back({item->id, item->step, item->attempt, item->event,
                          static_cast<uint32_t>(now_ms_) - item->began_ms, !item->has_returned, false});
    return true;
  });
}

void RunDescription::add(std::vector<AbandonedBody> bodies, uint64_t count) {
  abandoned_count_ += count;
  const size_t room = std::min(bodies.size(), kListedMax - abandoned_.size());
  abandoned_.insert(abandoned_.end(), bodies.begin(), bodies.begin() + static_cast<ptrdiff_t>(room));
}

void RunDescription::put_abandoned(const Workflow& workflow, JsonWriter& json) const {
  json.key("abandoned");
  json.open('[');
  for (const AbandonedBody& body : abandoned_) {
    json.open('{');
    json.member("step", workflow.steps()[body.step].name);
    json.count("invocation_id", body.invocation_id);
    json.count("attempt", body.attempt);
    json.member("event_type", body.event->type());
    json.member("age_ms", body.age_ms);
    json.flag("at_work", body.is_at_work);
    json.flag("keeps_permit", body.keeps_permit);
    json.close('}');
  }
  json.close(']');
}

void RunDescription::put_timers(JsonWriter& json) const {
  json.key("delayed");
  json.open('[');
  for (const Timer& timer : timers_) {
    json.open('{');
    json.member("event_type", timer.event->type());
    json.count("event_id", timer.event->id);
    json.member("due_in_ms", timer.due_in_ms);
    json.close('}');
  }
  json.close(']');
}

void RunDescription::put_scopes(const Workflow& workflow, JsonWriter& json) const {
  json.key("scopes");
  json.open('[');
  for (const ScopePicture& scope : scopes_) {
    json.open('{');
    json.count("scope_id", scope.id);
    json.member("opener", workflow.steps()[workflow.openers()[scope.opener].step].name);
    if (scope.opener_invocation != 0) json.count("opener_invocation_id", scope.opener_invocation);
    if (scope.parent != 0) json.count("parent", scope.parent);
    json.count("live", scope.live);
    json.count("late", scope.late);
    json.key("joins");
    json.open('[');
    for (const ScopePicture::Join& join : scope.joins) {
      const StepDefinition& step = workflow.steps()[join.step];
      json.open('{');
      json.member("join", step.name);
      json.flag("closed", join.closed);
      json.count("arrived", join.arrived);
      if (step.join->wanted != 0) json.count("wanted", step.join->wanted);
      if (join.due_in_ms >= 0) json.member("due_in_ms", join.due_in_ms);
      json.close('}');
    }
    json.close(']');
    json.close('}');
  }
  json.close(']');
}

// For each pool: what the run has of it, and who waits for it.
void RunDescription::copy_pools(const RunState& state) {
  const std::span<const PoolState> pools = state.permitted.pools();
  if (pools.empty()) return;
  pools_.reserve(pools.size());
  std::vector<bool> is_listed(state.steps.size());
  for (const PoolState& pool : pools) {
    PoolPart& part = pools_.emplace_back();
    part.permits = uint64_t{pool.granted} + pool.used;
    part.waiting = pool.wanted() - pool.granted;
    part.steps.reserve(std::min(state.steps.size(), kListedMax));
    pool.interrupted.walk([&](const Invocation* item) {
      if (part.steps.size() == kListedMax) return false;
      if (!is_listed[item->step]) part.steps.push_back(item->step);
      is_listed[item->step] = true;
      return true;
    });
  }
  for (StepIndex step = 0; step < is_listed.size(); ++step) {
    const PoolIndex pool = state.workflow->pool_of(step);
    if (pool == kNoPool || is_listed[step] || state.steps[step].queues->ready.empty()) continue;
    if (pools_[pool].steps.size() != kListedMax) pools_[pool].steps.push_back(step);
  }
}

// A list for each type of a group: of those that have collected something, or want it.
void RunDescription::copy_collects(const RunState& state) {
  for (const auto& [key, kinds] : state.collects->groups()) {
    for (const auto& [type, kind] : kinds) {
      if (collects_.size() == kListedMax) return;
      collects_.push_back({key, type, kind.events.size(), kind.wanted});
    }
  }
}

void RunDescription::put_collects(const Workflow& workflow, JsonWriter& json) const {
  json.key("collects");
  json.open('[');
  for (const Collected& part : collects_) {
    json.open('{');
    json.member("step", workflow.steps()[part.key.step].name);
    if (!part.key.key.empty()) json.member("key", part.key.key);
    if (part.key.scope != 0) json.count("scope_id", part.key.scope);
    json.member("event_type", part.type);
    json.count("count", part.count);
    json.count("wanted", part.wanted);
    json.close('}');
  }
  json.close(']');
}

void RunDescription::put_pools(const Workflow& workflow, JsonWriter& json) const {
  json.key("pools");
  json.open('[');
  for (size_t i = 0; i < pools_.size(); ++i) {
    json.open('{');
    json.member("pool", workflow.pools()[i].name);
    json.count("permits", pools_[i].permits);
    json.count("waiting", pools_[i].waiting);
    json.key("steps");
    json.open('[');
    for (const StepIndex step : pools_[i].steps) json.text(workflow.steps()[step].name);
    json.close(']');
    json.close('}');
  }
  json.close(']');
}

void RunDescription::put_counters(JsonWriter& json) const {
  json.key("counters");
  json.open('{');
  json.count("in_flight", in_flight_count_);
  if (whom_ == For::anybody) json.count("abandoned", abandoned_count_);
  json.count("queued", queued_count_);
  json.count("retrying", retry_count_);
  json.count("asking", asking_count_);
  json.count("questions", question_count_);
  json.count("delayed", delayed_count_);
  json.count("scopes", scope_count_);
  json.count("events_routed", events_);
  json.count("invocations", invocations_);
  json.count("published", published_);
  json.count("state_keys", keys_);
  json.count("state_bytes", bytes_);
  if (whom_ == For::anybody) {
    json.member("elapsed_ms", elapsed_ms_);
    if (timeout_ms_ != 0) json.member("timeout_in_ms", std::max<int64_t>(0, timeout_ms_ - elapsed_ms_));
  }
  json.close('}');
}

}  // namespace blazen
