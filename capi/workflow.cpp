#include "run/workflow.hpp"

#include <algorithm>
#include <vector>

#include "capi/handle.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {

struct WorkflowBuilder final : Object {
  WorkflowBuilder() noexcept : Object(Kind::workflow_builder) {}
  static void destroy(WorkflowBuilder* builder) noexcept { delete builder; }

  std::string name;
  std::vector<StepDefinition> steps;
  WorkflowPolicy policy;
  size_t types = 0;  // that the steps accept or emit
};

namespace {

Ref<Error> check_types(const WorkflowBuilder& builder) {
  if (builder.types < kAcceptsMax) return nullptr;
  return Error::make(Status::limit, "BLAZEN_ACCEPTS_MAX (" + std::to_string(kAcceptsMax) + ") is reached");
}

Ref<Error> add_type(WorkflowBuilder& builder, std::vector<std::string>& types, std::string_view type) {
  if (Ref<Error> failure = check_types(builder)) return failure;
  types.emplace_back(type);
  ++builder.types;
  return nullptr;
}

Ref<Error> add_step(WorkflowBuilder& builder, std::string_view name, std::string_view accepts,
                    Ref<StepBody> body) {
  if (builder.steps.size() >= kStepsMax) {
    return Error::make(Status::limit, "BLAZEN_STEPS_MAX (" + std::to_string(kStepsMax) + ") is reached");
  }
  if (Ref<Error> failure = check_types(builder)) return failure;
  StepDefinition step;
  step.name = name;
  step.body = std::move(body);
  step.accepts.emplace_back(accepts);
  builder.steps.push_back(std::move(step));
  ++builder.types;  // only now: nothing above has changed the builder where memory failed
  return nullptr;
}

// The latest step of that name: two of one name are the build's to refuse.
Ref<Error> need_step(WorkflowBuilder& builder, const char* text, size_t length, StepDefinition*& step) {
  std::string_view name;
  if (Ref<Error> failure = need_name("step", text, length, name)) return failure;
  const auto found = std::find_if(builder.steps.rbegin(), builder.steps.rend(),
                                  [&](const StepDefinition& candidate) { return candidate.name == name; });
  if (found == builder.steps.rend()) {
    return Error::make(Status::not_found, std::string("step: no step '").append(name).append("' was added"));
  }
  step = &*found;
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
    default: return nullptr;
  }
}

}  // namespace
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

blazen_status blazen_workflow_builder_step_accepts(blazen_workflow_builder* builder, const char* step,
                                                   size_t step_length, const char* type, size_t type_length,
                                                   blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    StepDefinition* definition = nullptr;
    std::string_view name;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_step(*object, step, step_length, definition)) return failure;
    if (Ref<Error> failure = need_name("type", type, type_length, name)) return failure;
    if (definition->accepts_type(name))
      return invalid("type: the step accepts it already, and would start twice");
    return add_type(*object, definition->accepts, name);
  });
}

blazen_status blazen_workflow_builder_step_emits(blazen_workflow_builder* builder, const char* step,
                                                 size_t step_length, const char* type, size_t type_length,
                                                 blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    StepDefinition* definition = nullptr;
    std::string_view name;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_step(*object, step, step_length, definition)) return failure;
    if (Ref<Error> failure = need_name("type", type, type_length, name)) return failure;
    return add_type(*object, definition->emits, name);
  });
}

blazen_status blazen_workflow_builder_step_max_concurrency(blazen_workflow_builder* builder, const char* step,
                                                           size_t step_length, uint32_t concurrency_max,
                                                           blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    StepDefinition* definition = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_step(*object, step, step_length, definition)) return failure;
    definition->concurrency_max = concurrency_max;
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_unhandled(blazen_workflow_builder* builder,
                                                    blazen_unhandled unhandled, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (unhandled < BLAZEN_UNHANDLED_FAIL || unhandled > BLAZEN_UNHANDLED_STREAM) {
      return invalid("unhandled is none of the values of blazen_unhandled");
    }
    object->policy.unhandled = static_cast<Unhandled>(unhandled);
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_idle(blazen_workflow_builder* builder, blazen_idle idle,
                                               blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (idle < BLAZEN_IDLE_FAIL || idle > BLAZEN_IDLE_WAIT)
      return invalid("idle is none of the values of blazen_idle");
    object->policy.idle = static_cast<Idle>(idle);
    return nullptr;
  });
}

blazen_status blazen_workflow_builder_set_limit(blazen_workflow_builder* builder, blazen_limit limit,
                                                uint64_t bound, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    WorkflowBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    uint64_t* place = limit_of(object->policy.limits, limit);
    if (place == nullptr) return invalid("limit is none of the values of blazen_limit");
    if (bound == 0) return invalid("bound is 0: the least is 1");
    *place = bound;
    return nullptr;
  });
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
