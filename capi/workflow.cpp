#include "run/workflow.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/text_index.hpp"
#include "capi/builders.hpp"
#include "capi/handle.hpp"
#include "run/workflow_description.hpp"
#include "run/workflow_drawing.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {

struct WorkflowBuilder final : Object {
  WorkflowBuilder() noexcept : Object(Kind::workflow_builder) {}
  static void destroy(WorkflowBuilder* builder) noexcept { delete builder; }

  std::string name;
  std::vector<StepDefinition> steps;
  TextIndex step_index;  // the latest step of each name
  auto name_at() const noexcept {
    return [this](size_t place) { return std::string_view(steps[place].name); };
  }
  WorkflowPolicy policy;
  size_t types = 0;                          // that the steps accept or emit
  std::set<std::string, std::less<>> pools;  // that they use
};

namespace {

// Whether there is room for so many more.
Ref<Error> check_types(const WorkflowBuilder& builder, size_t count) {
  if (builder.types + count <= kAcceptsMax) return nullptr;
  return Error::make(Status::limit, "BLAZEN_ACCEPTS_MAX (" + std::to_string(kAcceptsMax) + ") is reached");
}

Ref<Error> add_type(WorkflowBuilder& builder, std::vector<std::string>& types, std::string_view type) {
  if (Ref<Error> failure = check_types(builder, 1)) return failure;
  types.emplace_back(type);
  ++builder.types;
  return nullptr;
}

Ref<Error> add_step(WorkflowBuilder& builder, StepDefinition step) {
  if (builder.steps.size() >= kStepsMax) {
    return Error::make(Status::limit, "BLAZEN_STEPS_MAX (" + std::to_string(kStepsMax) + ") is reached");
  }
  const size_t types = step.accepts.size() + step.emits.size();
  if (Ref<Error> failure = check_types(builder, types)) return failure;
  builder.step_index.reserve(1, builder.name_at());
  builder.steps.push_back(std::move(step));
  builder.step_index.put(builder.steps.back().name, builder.steps.size() - 1, builder.name_at());
  builder.types += types;  // only now: nothing above has changed the builder where memory failed
  return nullptr;
}

Ref<Error> add_step(WorkflowBuilder& builder, std::string_view name, std::string_view accepts,
                    Ref<StepBody> body) {
  StepDefinition step;
  step.name = name;
  step.body = std::move(body);
  step.accepts.emplace_back(accepts);
  return add_step(builder, std::move(step));
}

// The latest step of that name: two of one name are the build's to refuse.
Ref<Error> need_step(WorkflowBuilder& builder, const char* text, size_t length, StepDefinition*& step) {
  std::string_view name;
  if (Ref<Error> failure = need_name("step", text, length, name)) return failure;
  const size_t place = builder.step_index.find(name, builder.name_at());
  if (place == TextIndex::kNone) {
    return Error::make(Status::not_found, std::string("step: no step '").append(name).append("' was added"));
  }
  step = &builder.steps[place];
  return nullptr;
}

uint64_t* limit_of(Limits& limits, blazen_limit limit) noexcept {
  switch (limit) {
    case BLAZEN_LIMIT_QUEUED_EVENTS: return &limits.queued_events;
    case BLAZEN_LIMIT_STATE_BYTES: return &limits.state_bytes;
    case BLAZEN_LIMIT_SESSION_BYTES: return &limits.session_bytes;
    case BLAZEN_LIMIT_STREAM_ITEMS: return &limits.stream_items;
    case BLAZEN_LIMIT_SUBSCRIBERS: return &limits.subscribers;
    case BLAZEN_LIMIT_STEP_SENDS: return &limits.step_sends;
    case BLAZEN_LIMIT_STREAM_RETAINED: return &limits.stream_retained;
    case BLAZEN_LIMIT_QUESTIONS: return &limits.questions;
    case BLAZEN_LIMIT_SCOPES: return &limits.scopes;
    case BLAZEN_LIMIT_SCOPE_DEPTH: return &limits.scope_depth;
    case BLAZEN_LIMIT_CHILD_DEPTH: return &limits.child_depth;
    case BLAZEN_LIMIT_CHILDREN: return &limits.children;
    default: return nullptr;
  }
}

Ref<Error> read_codes(const char* name, const int64_t* codes, size_t count, std::vector<int64_t>& out) {
  constexpr size_t kCodesMax = 65536;
  if (codes == nullptr && count != 0) return bad_pointer(name);
  if (count > kCodesMax)
    return Error::make(Status::invalid_argument, std::string(name) + " has more than 65,536 codes");
  out.assign(codes, codes + count);
  return nullptr;
}

// Event types of a step that is being made.
Ref<Error> read_types(const char* name, const char* const* types, const size_t* lengths, size_t count,
                      std::vector<std::string>& out) {
  if (count > kAcceptsMax)
    return Error::make(Status::limit, std::string(name) + ": BLAZEN_ACCEPTS_MAX (" +
                                          std::to_string(kAcceptsMax) + ") is the most");
  if (count != 0 && (types == nullptr || lengths == nullptr)) return bad_pointer(name);
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    std::string_view type;
    if (Ref<Error> failure = need_name(name, types[i], lengths[i], type)) return failure;
    out.emplace_back(type);
  }
  return nullptr;
}

// Whether a number is one of the values of its enum, which begin with 0.
Ref<Error> check_value(const char* field, int32_t value, int32_t last) {
  if (value >= 0 && value <= last) return nullptr;
  return Error::make(Status::invalid_argument,
                     std::string("options.") + field + " is none of the values of blazen_join_" + field);
}

Ref<Error> read_flag(const char* field, int32_t value, bool& out) {
  if (value != 0 && value != 1)
    return Error::make(Status::invalid_argument, std::string("options.") + field + " is neither 0 nor 1");
  out = value != 0;
  return nullptr;
}

Ref<Error> read_join(const blazen_join_options& all, JoinDefinition& join) {
  std::string_view of;
  if (Ref<Error> failure = need_name("options.of", all.of, all.of_length, of)) return failure;
  if (Ref<Error> failure = check_value("mode", all.mode, BLAZEN_JOIN_FIRST_N)) return failure;
  if (all.mode == BLAZEN_JOIN_FIRST_N ? all.n == 0 : all.n != 0)
    return invalid(all.n == 0 ? "options.n is 0: BLAZEN_JOIN_FIRST_N wants 1 at least"
                              : "options.n is for BLAZEN_JOIN_FIRST_N alone");
  if (Ref<Error> failure = check_ms("options.deadline_ms", all.deadline_ms, kTimeMsMax)) return failure;
  if (all.at_deadline != BLAZEN_JOIN_DEADLINE_GIVE && all.at_deadline != BLAZEN_JOIN_DEADLINE_FAIL)
    return invalid("options.at_deadline is none of the values of blazen_join_deadline");
  if (all.at_deadline == BLAZEN_JOIN_DEADLINE_FAIL && all.deadline_ms == 0)
    return invalid(
        "options.at_deadline says that it fails then, and options.deadline_ms is 0: there is none");
  if (Ref<Error> failure = read_flag("cancel_rest", all.cancel_rest, join.cancels_rest)) return failure;
  if (Ref<Error> failure = read_flag("ordered", all.ordered, join.is_ordered)) return failure;
  if (Ref<Error> failure = check_value("correlation", all.correlation, BLAZEN_JOIN_CORRELATION_BY_EVENT))
    return failure;
  if (Ref<Error> failure = check_value("empty", all.empty, BLAZEN_JOIN_EMPTY_SKIP)) return failure;
  if (all.cancel_rest != 0 && all.correlation == BLAZEN_JOIN_CORRELATION_BY_EVENT)
    return invalid(
        "options.cancel_rest: a join by event does not cancel the rest, which may be another group's");
  join.of = of;
  join.mode = static_cast<JoinDefinition::Mode>(all.mode);
  join.wanted = all.mode == BLAZEN_JOIN_ANY ? 1 : all.n;
  join.deadline_ms = all.deadline_ms;
  join.fails_at_deadline = all.at_deadline == BLAZEN_JOIN_DEADLINE_FAIL;
  join.by_event = all.correlation == BLAZEN_JOIN_CORRELATION_BY_EVENT;
  join.skips_empty = all.empty == BLAZEN_JOIN_EMPTY_SKIP;
  return nullptr;
}

Ref<Error> read_step_options(const blazen_step_options& all, StepDefinition& step) {
  if (Ref<Error> failure =
          read_types("options.accepts", all.accepts, all.accept_lengths, all.accept_count, step.accepts))
    return failure;
  std::vector<std::string_view> sorted(step.accepts.begin(), step.accepts.end());
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return invalid("options.accepts: the step accepts one type twice, and would start twice");
  if (Ref<Error> failure =
          read_types("options.emits", all.emits, all.emit_lengths, all.emit_count, step.emits))
    return failure;
  if (all.atomic != 0 && all.atomic != 1) return invalid("options.atomic is neither 0 nor 1");
  if (Ref<Error> failure = check_ms("options.timeout_ms", all.timeout_ms, BLAZEN_STEP_TIMEOUT_MS_MAX))
    return failure;
  if (all.abandoned != BLAZEN_ABANDONED_KEEPS_PERMIT && all.abandoned != BLAZEN_ABANDONED_FREES_PERMIT)
    return invalid("options.abandoned is none of the values of blazen_abandoned");
  if (all.retry != nullptr) {
    if (Ref<Error> failure = read_retry("options.retry", all.retry, step.retry)) return failure;
  }
  if (all.join != nullptr) {
    blazen_join_options how = BLAZEN_JOIN_OPTIONS_INIT;
    if (Ref<Error> failure = read_options(all.join, how, "options.join")) return failure;
    if (Ref<Error> failure = read_join(how, step.join.emplace())) {
      // It names the field as that of the options themselves.
      constexpr std::string_view kOptions = "options.";
      return Error::make(failure->status, std::string("options.join.") +
                                              std::string(failure->message).substr(kOptions.size()));
    }
  }
  step.concurrency_max = all.max_concurrency;
  step.atomic = all.atomic != 0;
  step.timeout_ms = all.timeout_ms;
  step.abandoned_keeps_permit = all.abandoned == BLAZEN_ABANDONED_KEEPS_PERMIT;
  return nullptr;
}

// change(builder, step): of a step that is there.
template <class Change>
blazen_status change_step(blazen_workflow_builder* builder, const char* step, size_t step_length,
                          blazen_error** error, Change change) noexcept {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    StepDefinition* definition = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_step(*object, step, step_length, definition)) return failure;
    return change(*object, *definition);
  });
}

template <class Change>
blazen_status change_policy(blazen_workflow_builder* builder, blazen_error** error, Change change) noexcept {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    return change(object->policy);
  });
}

}  // namespace

Ref<Error> read_retry(const char* what, const blazen_retry_options* given, RetryPolicy& policy) {
  blazen_retry_options all = BLAZEN_RETRY_OPTIONS_INIT;
  const auto field = [what](const char* name) { return std::string(what).append(name); };
  if (Ref<Error> failure = read_options(given, all, what)) return failure;
  if (all.max_attempts > kAttemptsMax)
    return bad_argument(what, ".max_attempts is more than BLAZEN_ATTEMPTS_MAX");
  if (all.jitter_percent > 100) return bad_argument(what, ".jitter_percent is more than 100");
  if (Ref<Error> failure = check_ms(field(".initial_delay_ms").c_str(), all.initial_delay_ms, kTimeMsMax))
    return failure;
  if (Ref<Error> failure = check_ms(field(".max_delay_ms").c_str(), all.max_delay_ms, kTimeMsMax))
    return failure;
  if (!(all.multiplier == 0 || (all.multiplier >= 1 && all.multiplier <= 1e9)))
    return bad_argument(what, ".multiplier is neither 0 nor from 1 to 1,000,000,000");
  RetryPolicy read;
  if (Ref<Error> failure = read_codes(field(".only").c_str(), all.only, all.only_count, read.only))
    return failure;
  if (Ref<Error> failure = read_codes(field(".never").c_str(), all.never, all.never_count, read.never))
    return failure;
  read.attempts_max = all.max_attempts == 0 ? 1 : all.max_attempts;
  read.delay_ms = all.initial_delay_ms;
  if (all.multiplier != 0) read.multiplier = all.multiplier;
  if (all.max_delay_ms != 0) read.delay_max_ms = all.max_delay_ms;
  read.jitter = all.jitter_percent / 100.0;
  policy = std::move(read);
  return nullptr;
}

Ref<Error> read_mapper(const char* name, const blazen_mapper& given, DropGuard& guard,
                       HostDefinition::Decision& decision) {
  const auto fault = [name](const char* what) {
    return Error::make(Status::invalid_argument, std::string("options.").append(name).append(what));
  };
  if (given.elsewhere != 0 && given.elsewhere != 1) return fault(".elsewhere is neither 0 nor 1");
  if (given.elsewhere == 1 && given.body != nullptr) return fault(" has a body, and is elsewhere");
  decision.is_wanted = given.elsewhere == 1 || given.body != nullptr;
  if (given.body == nullptr) return nullptr;
  decision.body = Ref<StepBody>::adopt(
      new StepBody(reinterpret_cast<void (*)()>(given.body), given.user_data, given.drop));
  guard.taken();
  return nullptr;
}

// For the names of its parts, which are longer.
Ref<Error> check_part_name(const char* what, std::string_view name) {
  constexpr size_t kMost = kNameBytesMax / 2 - 16;
  if (name.size() <= kMost) return nullptr;
  return Error::make(Status::limit, std::string(what) + " has " + std::to_string(name.size()) +
                                        " bytes; of a step that is a workflow, and of a branch, " +
                                        std::to_string(kMost) + " are the most");
}

Ref<Error> read_branches(const blazen_branch* branches, size_t count, HostDefinition& hosts) {
  if (branches == nullptr && count != 0) return bad_pointer("branches");
  if (count > kStepsMax)
    return Error::make(Status::limit, "branch_count is " + std::to_string(count) + "; BLAZEN_STEPS_MAX is " +
                                          std::to_string(kStepsMax));
  for (size_t i = 0; i < count; ++i) {
    const std::string what = "branches[" + std::to_string(i) + "]";
    HostDefinition::Branch branch;
    std::string_view name;
    if (Ref<Error> failure =
            need_name((what + ".name").c_str(), branches[i].name, branches[i].name_length, name))
      return failure;
    if (Ref<Error> failure = check_part_name((what + ".name").c_str(), name)) return failure;
    if (branches[i].elsewhere != 0 && branches[i].elsewhere != 1)
      return Error::make(Status::invalid_argument, what + ".elsewhere is neither 0 nor 1");
    if (branches[i].elsewhere == 1 && branches[i].child != nullptr)
      return Error::make(Status::invalid_argument, what + " has a child, and is elsewhere");
    if (branches[i].child != nullptr) {
      Workflow* child = nullptr;
      if (Ref<Error> failure = need((what + ".child").c_str(), branches[i].child, child)) return failure;
      branch.workflow = ChildWorkflow(child);
    }
    branch.name = name;
    branch.is_elsewhere = branches[i].elsewhere == 1;
    hosts.branches.push_back(std::move(branch));
  }
  return nullptr;
}

Ref<Error> set_limit(WorkflowPolicy& policy, blazen_limit limit, uint64_t bound) {
  uint64_t* place = limit_of(policy.limits, limit);
  if (place == nullptr) return invalid("limit is none of the values of blazen_limit");
  if (bound == 0 && limit != BLAZEN_LIMIT_STREAM_RETAINED) return invalid("bound is 0: the least is 1");
  if (limit == BLAZEN_LIMIT_CHILD_DEPTH && bound > kChildDepthMax)
    return Error::make(Status::limit, "bound is " + std::to_string(bound) + "; BLAZEN_CHILD_DEPTH_MAX is " +
                                          std::to_string(kChildDepthMax));
  *place = bound;
  return nullptr;
}

Ref<Error> set_session_policy(WorkflowPolicy& policy, blazen_session_policy session) {
  if (session < BLAZEN_SESSION_PICKLE_OR_ERROR || session > BLAZEN_SESSION_HARD_ERROR)
    return invalid("policy is none of the values of blazen_session_policy");
  policy.session = static_cast<SessionPolicy>(session);
  return nullptr;
}

}  // namespace blazen::capi

blazen_status blazen_workflow_builder_create(const char* name, size_t name_length,
                                             blazen_workflow_builder** builder, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view text;
    if (Ref<Error> failure = need_out("builder", builder)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, text)) return failure;
    Ref<WorkflowBuilder> made = Ref<WorkflowBuilder>::adopt(new WorkflowBuilder);
    made->name = text;
    *builder = handle_of(made.take());
    return nullptr;
  });
}

blazen_workflow_builder* blazen_workflow_builder_retain(const blazen_workflow_builder* builder) {
  return retain_handle<WorkflowBuilder>(builder);
}
void blazen_workflow_builder_release(blazen_workflow_builder* builder) {
  release_handle<WorkflowBuilder>(builder);
}

blazen_status blazen_workflow_builder_add_step(blazen_workflow_builder* builder, const char* name,
                                               size_t name_length, const char* accepts, size_t accepts_length,
                                               blazen_step_fn body, void* user_data, blazen_drop_fn drop,
                                               blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    std::string_view step;
    std::string_view type;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, step)) return failure;
    if (Ref<Error> failure = need_name("accepts", accepts, accepts_length, type)) return failure;
    if (body == nullptr)
      return invalid("body is NULL: a step without one is blazen_workflow_builder_add_elsewhere");
    auto call = reinterpret_cast<void (*)()>(body);
    Ref<StepBody> kept = Ref<StepBody>::adopt(new StepBody(call, user_data, drop));
    guard.taken();
    return add_step(*object, step, type, std::move(kept));
  });
}

void blazen_step_options_init(blazen_step_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_builder_add_step_with(blazen_workflow_builder* builder, const char* name,
                                                    size_t name_length, const blazen_step_options* options,
                                                    blazen_step_fn body, void* user_data, blazen_drop_fn drop,
                                                    blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    std::string_view step;
    blazen_step_options all = BLAZEN_STEP_OPTIONS_INIT;
    StepDefinition definition;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, step)) return failure;
    if (Ref<Error> failure = read_options(options, all)) return failure;
    if (Ref<Error> failure = read_step_options(all, definition)) return failure;
    if (body == nullptr)
      return invalid("body is NULL: a step without one is blazen_workflow_builder_add_elsewhere");
    definition.name = step;
    definition.body = Ref<StepBody>::adopt(new StepBody(reinterpret_cast<void (*)()>(body), user_data, drop));
    guard.taken();
    definition.body->cancelled = reinterpret_cast<void (*)()>(all.cancelled);
    return add_step(*object, std::move(definition));
  });
}

blazen_status blazen_workflow_builder_add_elsewhere(blazen_workflow_builder* builder, const char* name,
                                                    size_t name_length, const char* accepts,
                                                    size_t accepts_length, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    std::string_view step;
    std::string_view type;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, step)) return failure;
    if (Ref<Error> failure = need_name("accepts", accepts, accepts_length, type)) return failure;
    return add_step(*object, step, type, nullptr);
  });
}

namespace blazen::capi {
namespace {

struct MapperDrops {
  explicit MapperDrops(const blazen_child_options* options) noexcept
      : input(guard_mapper(options, offsetof(blazen_child_options, input))),
        output(guard_mapper(options, offsetof(blazen_child_options, output))) {}
  DropGuard input;
  DropGuard output;
};

Ref<Error> add_host(blazen_workflow_builder* builder, const char* name, size_t name_length,
                    const char* accepts, size_t accepts_length, const blazen_child_options* options,
                    MapperDrops& drops, HostDefinition hosts) {
  WorkflowBuilder* object = nullptr;
  std::string_view step;
  std::string_view type;
  blazen_child_options all = BLAZEN_CHILD_OPTIONS_INIT;
  if (Ref<Error> failure = need("builder", builder, object)) return failure;
  if (Ref<Error> failure = need_name("name", name, name_length, step)) return failure;
  if (Ref<Error> failure = check_part_name("name", step)) return failure;
  if (Ref<Error> failure = need_name("accepts", accepts, accepts_length, type)) return failure;
  if (Ref<Error> failure = read_options(options, all)) return failure;
  if (all.output_type != nullptr || all.output_type_length != 0) {
    std::string_view output;
    if (Ref<Error> failure =
            need_name("options.output_type", all.output_type, all.output_type_length, output))
      return failure;
    hosts.output_type = output;
  }
  if (all.first_success != 0 && all.first_success != 1)
    return invalid("options.first_success is neither 0 nor 1");
  if (all.first_success == 1 && !hosts.is_parallel)
    return invalid("options.first_success is for several workflows at once");
  hosts.takes_first = all.first_success == 1;
  if (Ref<Error> failure = read_mapper("input", all.input, drops.input, hosts.input)) return failure;
  if (Ref<Error> failure = read_mapper("output", all.output, drops.output, hosts.output)) return failure;
  StepDefinition definition;
  definition.name = step;
  definition.accepts.emplace_back(type);
  definition.hosts = std::move(hosts);
  return add_step(*object, std::move(definition));
}

}  // namespace
}  // namespace blazen::capi

void blazen_child_options_init(blazen_child_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_builder_add_workflow(blazen_workflow_builder* builder, const char* name,
                                                   size_t name_length, const char* accepts,
                                                   size_t accepts_length, blazen_workflow* child,
                                                   const blazen_child_options* options,
                                                   blazen_error** error) {
  MapperDrops drops(options);
  return guarded(error, [&]() -> Ref<Error> {
    HostDefinition hosts;
    Workflow* workflow = nullptr;
    if (child != nullptr) {
      if (Ref<Error> failure = need("child", child, workflow)) return failure;
    }
    hosts.branches.emplace_back().workflow = ChildWorkflow(workflow);
    return add_host(builder, name, name_length, accepts, accepts_length, options, drops, std::move(hosts));
  });
}

blazen_status blazen_workflow_builder_add_workflows(blazen_workflow_builder* builder, const char* name,
                                                    size_t name_length, const char* accepts,
                                                    size_t accepts_length, const blazen_branch* branches,
                                                    size_t branch_count, const blazen_child_options* options,
                                                    blazen_error** error) {
  MapperDrops drops(options);
  return guarded(error, [&]() -> Ref<Error> {
    HostDefinition hosts;
    hosts.is_parallel = true;
    if (Ref<Error> failure = read_branches(branches, branch_count, hosts)) return failure;
    return add_host(builder, name, name_length, accepts, accepts_length, options, drops, std::move(hosts));
  });
}

blazen_status blazen_workflow_builder_step_accepts(blazen_workflow_builder* builder, const char* step,
                                                   size_t step_length, const char* type, size_t type_length,
                                                   blazen_error** error) {
  return change_step(builder, step, step_length, error,
                     [&](WorkflowBuilder& object, StepDefinition& definition) -> Ref<Error> {
                       std::string_view name;
                       if (Ref<Error> failure = need_name("type", type, type_length, name)) return failure;
                       if (definition.accepts_type(name))
                         return invalid("type: the step accepts it already, and would start twice");
                       return add_type(object, definition.accepts, name);
                     });
}

blazen_status blazen_workflow_builder_step_emits(blazen_workflow_builder* builder, const char* step,
                                                 size_t step_length, const char* type, size_t type_length,
                                                 blazen_error** error) {
  return change_step(
      builder, step, step_length, error,
      [&](WorkflowBuilder& object, StepDefinition& definition) -> Ref<Error> {
        std::string_view name;
        if (Ref<Error> failure = need_name("type", type, type_length, name)) return failure;
        if (definition.hosts)
          return invalid("step: it is a workflow, which emits its output: options.output_type");
        return add_type(object, definition.emits, name);
      });
}

void blazen_join_options_init(blazen_join_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_builder_step_joins(blazen_workflow_builder* builder, const char* step,
                                                 size_t step_length, const blazen_join_options* options,
                                                 blazen_error** error) {
  return change_step(
      builder, step, step_length, error, [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
        blazen_join_options all = BLAZEN_JOIN_OPTIONS_INIT;
        JoinDefinition join;
        if (options == nullptr) return bad_pointer("options");
        if (Ref<Error> failure = read_options(options, all)) return failure;
        if (Ref<Error> failure = read_join(all, join)) return failure;
        if (definition.join)
          return Error::make(Status::invalid_argument, "step: '" + definition.name + "' is a join of '" +
                                                           definition.join->of + "' already");
        definition.join = std::move(join);
        return nullptr;
      });
}

blazen_status blazen_workflow_builder_step_max_concurrency(blazen_workflow_builder* builder, const char* step,
                                                           size_t step_length, uint32_t concurrency_max,
                                                           blazen_error** error) {
  return change_step(builder, step, step_length, error,
                     [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
                       definition.concurrency_max = concurrency_max;
                       return nullptr;
                     });
}

blazen_status blazen_workflow_builder_step_uses_pool(blazen_workflow_builder* builder, const char* step,
                                                     size_t step_length, const char* pool, size_t pool_length,
                                                     blazen_error** error) {
  return change_step(
      builder, step, step_length, error,
      [&](WorkflowBuilder& object, StepDefinition& definition) -> Ref<Error> {
        std::string_view name;
        if (Ref<Error> failure = need_name("pool", pool, pool_length, name)) return failure;
        if (definition.hosts)
          return Error::make(
              Status::invalid_argument,
              "step: '" + definition.name +
                  "' is a workflow: it would hold a permit while what is in it waits for others");
        if (definition.elsewhere())
          return Error::make(
              Status::invalid_argument,
              "step: '" + definition.name + "' is elsewhere: it has no body to run with a permit");
        if (!definition.pool.empty())
          return Error::make(Status::invalid_argument,
                             "step: '" + definition.name + "' uses pool '" + definition.pool + "' already");
        if (object.pools.size() == kPoolsMax && object.pools.find(name) == object.pools.end())
          return Error::make(Status::limit,
                             "BLAZEN_POOLS_MAX (" + std::to_string(kPoolsMax) + ") is reached");
        definition.pool = *object.pools.emplace(name).first;
        return nullptr;
      });
}

blazen_status blazen_workflow_builder_step_timeout(blazen_workflow_builder* builder, const char* step,
                                                   size_t step_length, int64_t timeout_ms,
                                                   blazen_error** error) {
  return change_step(
      builder, step, step_length, error, [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
        if (Ref<Error> failure = check_ms("timeout_ms", timeout_ms, BLAZEN_STEP_TIMEOUT_MS_MAX))
          return failure;
        definition.timeout_ms = timeout_ms;
        return nullptr;
      });
}

blazen_status blazen_workflow_builder_step_abandoned(blazen_workflow_builder* builder, const char* step,
                                                     size_t step_length, blazen_abandoned abandoned,
                                                     blazen_error** error) {
  return change_step(
      builder, step, step_length, error, [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
        if (abandoned != BLAZEN_ABANDONED_KEEPS_PERMIT && abandoned != BLAZEN_ABANDONED_FREES_PERMIT)
          return invalid("abandoned is none of the values of blazen_abandoned");
        definition.abandoned_keeps_permit = abandoned == BLAZEN_ABANDONED_KEEPS_PERMIT;
        return nullptr;
      });
}

void blazen_retry_options_init(blazen_retry_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_builder_step_retry(blazen_workflow_builder* builder, const char* step,
                                                 size_t step_length, const blazen_retry_options* options,
                                                 blazen_error** error) {
  return change_step(builder, step, step_length, error,
                     [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
                       if (Ref<Error> failure = need_out("options", options)) return failure;
                       return read_retry("options", options, definition.retry);
                     });
}

blazen_status blazen_workflow_builder_step_atomic(blazen_workflow_builder* builder, const char* step,
                                                  size_t step_length, int32_t atomic, blazen_error** error) {
  return change_step(builder, step, step_length, error,
                     [&](WorkflowBuilder&, StepDefinition& definition) -> Ref<Error> {
                       if (atomic != 0 && atomic != 1) return invalid("atomic is neither 0 nor 1");
                       if (definition.hosts)
                         return invalid("step: it is a workflow, and has no body to hold back");
                       definition.atomic = atomic != 0;
                       return nullptr;
                     });
}

blazen_status blazen_workflow_builder_set_timeout(blazen_workflow_builder* builder, int64_t timeout_ms,
                                                  blazen_error** error) {
  return change_policy(builder, error, [&](WorkflowPolicy& policy) -> Ref<Error> {
    if (Ref<Error> failure = check_ms("timeout_ms", timeout_ms, kTimeMsMax)) return failure;
    policy.timeout_ms = timeout_ms;
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_session_on_pause(blazen_workflow_builder* builder,
                                                           blazen_session_on_pause session,
                                                           blazen_error** error) {
  return change_policy(builder, error, [&](WorkflowPolicy& policy) -> Ref<Error> {
    if (session < BLAZEN_SESSION_KEEP || session > BLAZEN_SESSION_CLEAR)
      return invalid("session is none of the values of blazen_session_on_pause");
    policy.clears_session = session == BLAZEN_SESSION_CLEAR;
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_unhandled(blazen_workflow_builder* builder,
                                                    blazen_unhandled unhandled, blazen_error** error) {
  return change_policy(builder, error, [&](WorkflowPolicy& policy) -> Ref<Error> {
    if (unhandled < BLAZEN_UNHANDLED_FAIL || unhandled > BLAZEN_UNHANDLED_STREAM) {
      return invalid("unhandled is none of the values of blazen_unhandled");
    }
    policy.unhandled = static_cast<Unhandled>(unhandled);
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_idle(blazen_workflow_builder* builder, blazen_idle idle,
                                               blazen_error** error) {
  return change_policy(builder, error, [&](WorkflowPolicy& policy) -> Ref<Error> {
    if (idle < BLAZEN_IDLE_FAIL || idle > BLAZEN_IDLE_WAIT)
      return invalid("idle is none of the values of blazen_idle");
    policy.idle = static_cast<Idle>(idle);
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_session_policy(blazen_workflow_builder* builder,
                                                         blazen_session_policy policy, blazen_error** error) {
  return change_policy(
      builder, error, [&](WorkflowPolicy& whole) -> Ref<Error> { return set_session_policy(whole, policy); });
}

blazen_status blazen_workflow_builder_set_limit(blazen_workflow_builder* builder, blazen_limit limit,
                                                uint64_t bound, blazen_error** error) {
  return change_policy(builder, error,
                       [&](WorkflowPolicy& policy) -> Ref<Error> { return set_limit(policy, limit, bound); });
}

blazen_status blazen_workflow_builder_build(blazen_workflow_builder* builder, blazen_workflow** workflow,
                                            blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_out("workflow", workflow)) return failure;
    Result<Ref<Workflow>> built = Workflow::build(object->name, object->steps, object->policy);
    if (!built) return built.error();
    *workflow = handle_of(built->take());
    return nullptr;
  });
}

blazen_workflow* blazen_workflow_retain(const blazen_workflow* workflow) {
  return retain_handle<Workflow>(workflow);
}
void blazen_workflow_release(blazen_workflow* workflow) { release_handle<Workflow>(workflow); }

const char* blazen_workflow_name(const blazen_workflow* workflow, size_t* length) {
  const Workflow* object = object_of<Workflow>(workflow);
  return object == nullptr ? no_text(length) : text_out(object->name(), length);
}

const char* blazen_workflow_fingerprint(const blazen_workflow* workflow, size_t* length) {
  const Workflow* object = object_of<Workflow>(workflow);
  return object == nullptr ? no_text(length) : text_out(object->fingerprint(), length);
}

blazen_status blazen_workflow_describe(const blazen_workflow* workflow, blazen_value** description,
                                       blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* object = nullptr;
    if (Ref<Error> failure = need("workflow", workflow, object)) return failure;
    if (Ref<Error> failure = need_out("description", description)) return failure;
    *description = handle_of(Value::copy(Tag::json, describe_workflow(*object)).take());
    return nullptr;
  });
}

blazen_status blazen_workflow_draw(const blazen_workflow* workflow, blazen_draw format,
                                   blazen_value** drawing, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* object = nullptr;
    if (Ref<Error> failure = need("workflow", workflow, object)) return failure;
    if (Ref<Error> failure = need_out("drawing", drawing)) return failure;
    if (format != BLAZEN_DRAW_MERMAID && format != BLAZEN_DRAW_DOT)
      return invalid("format is none of the values of blazen_draw");
    Result<std::string> text = draw_workflow(*object, static_cast<DrawFormat>(format));
    if (!text) return text.error();
    *drawing = handle_of(Value::copy(Tag::bytes, *text).take());
    return nullptr;
  });
}
