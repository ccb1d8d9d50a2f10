#include <string>
#include <vector>

#include "capi/builders.hpp"
#include "capi/handle.hpp"
#include "run/pipeline_parts.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {

struct PipelineBuilder final : Object {
  PipelineBuilder() noexcept : Object(Kind::pipeline_builder) { policy.timeout_ms = 0; }
  static void destroy(PipelineBuilder* builder) noexcept { delete builder; }

  std::string name;
  std::vector<StageDefinition> stages;
  WorkflowPolicy policy;
  int64_t stage_timeout_ms = 0;
};

namespace {

struct StageDrops {
  explicit StageDrops(const blazen_stage_options* options) noexcept
      : condition(guard_mapper(options, offsetof(blazen_stage_options, condition))),
        input(guard_mapper(options, offsetof(blazen_stage_options, input))),
        output(guard_mapper(options, offsetof(blazen_stage_options, output))),
        until(guard_mapper(options, offsetof(blazen_stage_options, until))) {}
  DropGuard condition;
  DropGuard input;
  DropGuard output;
  DropGuard until;
};

Ref<Error> read_stage(const blazen_stage_options& all, StageDrops& drops, StageDefinition& stage) {
  if (Ref<Error> failure = read_mapper("condition", all.condition, drops.condition, stage.condition))
    return failure;
  if (Ref<Error> failure = read_mapper("input", all.input, drops.input, stage.hosts.input)) return failure;
  if (Ref<Error> failure = read_mapper("output", all.output, drops.output, stage.hosts.output))
    return failure;
  if (Ref<Error> failure = read_mapper("until", all.until, drops.until, stage.until)) return failure;
  if (stage.until.is_wanted && stage.rounds_max == 0) return invalid("options.until is for a loop");
  if (Ref<Error> failure = check_ms("options.timeout_ms", all.timeout_ms, BLAZEN_STEP_TIMEOUT_MS_MAX))
    return failure;
  stage.timeout_ms = all.timeout_ms;
  if (all.retry != nullptr) {
    if (Ref<Error> failure = read_retry("options.retry", all.retry, stage.retry)) return failure;
  }
  if (all.first_success != 0 && all.first_success != 1)
    return invalid("options.first_success is neither 0 nor 1");
  if (all.first_success == 1 && !stage.hosts.is_parallel)
    return invalid("options.first_success is for several workflows at once");
  if (all.done_at_bound != 0 && all.done_at_bound != 1)
    return invalid("options.done_at_bound is neither 0 nor 1");
  if (all.done_at_bound == 1 && stage.rounds_max == 0) return invalid("options.done_at_bound is for a loop");
  stage.hosts.takes_first = all.first_success == 1;
  stage.done_at_bound = all.done_at_bound == 1;
  return nullptr;
}

// fill(stage): what it runs.
template <class Fill>
blazen_status add_stage(blazen_pipeline_builder* builder, const char* name, size_t name_length,
                        const blazen_stage_options* options, blazen_error** error, Fill fill) {
  StageDrops drops(options);
  return guarded(error, [&]() -> Ref<Error> {
    PipelineBuilder* object = nullptr;
    std::string_view text;
    blazen_stage_options all = BLAZEN_STAGE_OPTIONS_INIT;
    StageDefinition stage;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, text)) return failure;
    if (Ref<Error> failure = check_part_name("name", text)) return failure;
    if (Ref<Error> failure = fill(stage)) return failure;
    if (Ref<Error> failure = read_options(options, all)) return failure;
    if (Ref<Error> failure = read_stage(all, drops, stage)) return failure;
    if (object->stages.size() >= kStepsMax)
      return Error::make(Status::limit, "BLAZEN_STEPS_MAX (" + std::to_string(kStepsMax) + ") is reached");
    stage.name = text;
    object->stages.push_back(std::move(stage));
    return nullptr;
  });
}

Ref<Error> read_workflow(blazen_workflow* workflow, StageDefinition& stage) {
  Workflow* child = nullptr;
  if (Ref<Error> failure = need("workflow", workflow, child)) return failure;
  stage.hosts.branches.emplace_back().workflow = ChildWorkflow(child);
  return nullptr;
}

Ref<Error> read_rounds(uint32_t max_rounds, StageDefinition& stage) {
  if (max_rounds == 0) return invalid("max_rounds is 0: a loop has a bound, 1 or more");
  stage.rounds_max = max_rounds;
  return nullptr;
}

Ref<Error> read_parallel(const blazen_branch* branches, size_t count, StageDefinition& stage) {
  stage.hosts.is_parallel = true;
  return read_branches(branches, count, stage.hosts);
}

template <class Change>
blazen_status change(blazen_pipeline_builder* builder, blazen_error** error, Change change) {
  return guarded(error, [&]() -> Ref<Error> {
    PipelineBuilder* object = nullptr;
    if (Ref<Error> failure = need("builder", builder, object)) return failure;
    return change(*object);
  });
}

}  // namespace
}  // namespace blazen::capi

void blazen_stage_options_init(blazen_stage_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_pipeline_builder_create(const char* name, size_t name_length,
                                             blazen_pipeline_builder** builder, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view text;
    if (Ref<Error> failure = need_out("builder", builder)) return failure;
    if (Ref<Error> failure = need_name("name", name, name_length, text)) return failure;
    Ref<PipelineBuilder> made = Ref<PipelineBuilder>::adopt(new PipelineBuilder);
    made->name = text;
    *builder = handle_of(made.take());
    return nullptr;
  });
}

blazen_pipeline_builder* blazen_pipeline_builder_retain(const blazen_pipeline_builder* builder) {
  return retain_handle<PipelineBuilder>(builder);
}
void blazen_pipeline_builder_release(blazen_pipeline_builder* builder) {
  release_handle<PipelineBuilder>(builder);
}

blazen_status blazen_pipeline_builder_add_stage(blazen_pipeline_builder* builder, const char* name,
                                                size_t name_length, blazen_workflow* workflow,
                                                const blazen_stage_options* options, blazen_error** error) {
  return add_stage(builder, name, name_length, options, error,
                   [&](StageDefinition& stage) { return read_workflow(workflow, stage); });
}

blazen_status blazen_pipeline_builder_add_parallel(blazen_pipeline_builder* builder, const char* name,
                                                   size_t name_length, const blazen_branch* branches,
                                                   size_t branch_count, const blazen_stage_options* options,
                                                   blazen_error** error) {
  return add_stage(builder, name, name_length, options, error,
                   [&](StageDefinition& stage) { return read_parallel(branches, branch_count, stage); });
}

blazen_status blazen_pipeline_builder_add_loop(blazen_pipeline_builder* builder, const char* name,
                                               size_t name_length, blazen_workflow* workflow,
                                               uint32_t max_rounds, const blazen_stage_options* options,
                                               blazen_error** error) {
  return add_stage(builder, name, name_length, options, error, [&](StageDefinition& stage) -> Ref<Error> {
    if (Ref<Error> failure = read_workflow(workflow, stage)) return failure;
    return read_rounds(max_rounds, stage);
  });
}

blazen_status blazen_pipeline_builder_add_parallel_loop(blazen_pipeline_builder* builder, const char* name,
                                                        size_t name_length, const blazen_branch* branches,
                                                        size_t branch_count, uint32_t max_rounds,
                                                        const blazen_stage_options* options,
                                                        blazen_error** error) {
  return add_stage(builder, name, name_length, options, error, [&](StageDefinition& stage) -> Ref<Error> {
    if (Ref<Error> failure = read_parallel(branches, branch_count, stage)) return failure;
    return read_rounds(max_rounds, stage);
  });
}

blazen_status blazen_pipeline_builder_set_timeout(blazen_pipeline_builder* builder, int64_t timeout_ms,
                                                  blazen_error** error) {
  return change(builder, error, [&](PipelineBuilder& object) -> Ref<Error> {
    if (Ref<Error> failure = check_ms("timeout_ms", timeout_ms, kTimeMsMax)) return failure;
    object.policy.timeout_ms = timeout_ms;
    return nullptr;
  });
}

blazen_status blazen_pipeline_builder_set_stage_timeout(blazen_pipeline_builder* builder, int64_t timeout_ms,
                                                        blazen_error** error) {
  return change(builder, error, [&](PipelineBuilder& object) -> Ref<Error> {
    if (Ref<Error> failure = check_ms("timeout_ms", timeout_ms, BLAZEN_STEP_TIMEOUT_MS_MAX)) return failure;
    object.stage_timeout_ms = timeout_ms;
    return nullptr;
  });
}

blazen_status blazen_pipeline_builder_set_session_policy(blazen_pipeline_builder* builder,
                                                         blazen_session_policy policy, blazen_error** error) {
  return change(builder, error,
                [&](PipelineBuilder& object) { return set_session_policy(object.policy, policy); });
}

blazen_status blazen_pipeline_builder_set_limit(blazen_pipeline_builder* builder, blazen_limit limit,
                                                uint64_t bound, blazen_error** error) {
  return change(builder, error,
                [&](PipelineBuilder& object) { return set_limit(object.policy, limit, bound); });
}

blazen_status blazen_pipeline_builder_build(blazen_pipeline_builder* builder, blazen_workflow** workflow,
                                            blazen_error** error) {
  return change(builder, error, [&](PipelineBuilder& object) -> Ref<Error> {
    if (Ref<Error> failure = need_out("workflow", workflow)) return failure;
    std::vector<StageDefinition> stages = object.stages;
    for (StageDefinition& stage : stages) {
      if (stage.timeout_ms == 0) stage.timeout_ms = object.stage_timeout_ms;
    }
    Result<Ref<Workflow>> built = Workflow::build_pipeline(object.name, stages, object.policy);
    if (!built) return built.error();
    *workflow = handle_of(built->take());
    return nullptr;
  });
}
