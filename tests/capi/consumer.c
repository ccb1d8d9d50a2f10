/* A program in C99 on the main paths: a workflow with a fan-out, its state, its stream, a snapshot and its
 * resume, a failure, a cancellation. Plain checks; the exit code counts those that failed. */
#include <blazen/blazen.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                     \
    }                                                                 \
  } while (0)

/* A call that has to succeed; the error says why it did not. */
#define DO(call)                                                                                        \
  do {                                                                                                  \
    blazen_error* error = NULL;                                                                         \
    if ((call) != BLAZEN_OK) {                                                                          \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, blazen_error_message(error, NULL)); \
      ++failures;                                                                                       \
    }                                                                                                   \
    blazen_error_release(error);                                                                        \
  } while (0)

enum { PARTS = 5 };

struct host {
  int steps;
  int dropped;
  blazen_invocation* waiting;
};

static void drop_host(void* user_data) { ++((struct host*)user_data)->dropped; }

static int is_text(const blazen_value* value, const char* text) {
  size_t length = 0;
  const void* data = blazen_value_data(value, &length);
  return data != NULL && length == strlen(text) && memcmp(data, text, length) == 0;
}

/* One event becomes PARTS of them. */
static blazen_status split(void* user_data, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
  blazen_status status =
      blazen_context_set_value(context, BLAZEN_TEXT("input"), blazen_event_value(event), error);
  int i;
  ++((struct host*)user_data)->steps;
  for (i = 0; i < PARTS && status == BLAZEN_OK; ++i)
    status = blazen_context_emit_json(context, BLAZEN_TEXT("Part"), BLAZEN_TEXT("{}"), error);
  return status;
}

static blazen_status work(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  blazen_event* progress = NULL;
  blazen_status status =
      blazen_event_create(BLAZEN_TEXT("Progress"), blazen_event_value(event), NULL, &progress, error);
  ++((struct host*)user_data)->steps;
  if (status == BLAZEN_OK) status = blazen_context_publish(context, progress, error);
  blazen_event_release(progress);
  return status == BLAZEN_OK ? blazen_context_emit(context, BLAZEN_TEXT("Done"), NULL, error) : status;
}

/* Counts by compare-and-set; after the last one, it leaves the answer to somebody else. */
static blazen_status join(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  struct host* host = user_data;
  (void)event;
  ++host->steps;
  for (;;) {
    blazen_value *count = NULL, *next = NULL;
    uint64_t version = 0;
    char text[2] = "1";
    blazen_status status = blazen_context_get_value(context, BLAZEN_TEXT("count"), &count, &version, error);
    if (status != BLAZEN_OK) return status;
    if (count != NULL) text[0] = (char)(*(const char*)blazen_value_data(count, NULL) + 1);
    blazen_value_release(count);
    status = blazen_value_json(text, 1, &next, error);
    if (status == BLAZEN_OK) {
      status = blazen_context_compare_and_set(context, BLAZEN_TEXT("count"), version, next, NULL, NULL);
    }
    blazen_value_release(next);
    if (status == BLAZEN_ERROR_CONFLICT) continue;
    if (status != BLAZEN_OK || text[0] != '0' + PARTS) return status;
    status = blazen_context_defer(context, &host->waiting, error);
    return status == BLAZEN_OK ? BLAZEN_PENDING : status;
  }
}

static blazen_status fail(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  blazen_value* detail = NULL;
  blazen_status status;
  (void)context, (void)event;
  DO(blazen_value_live(user_data, BLAZEN_TEXT("struct host"), NULL, &detail, &error));
  status = blazen_error_host(7, BLAZEN_TEXT("the disk is gone"), detail, error);
  blazen_value_release(detail);
  return status;
}

static blazen_workflow* build(struct host* host) {
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  DO(blazen_workflow_builder_create(BLAZEN_TEXT("parts"), &builder, &error));
  DO(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("split"), BLAZEN_TEXT(BLAZEN_START_EVENT), split,
                                      host, drop_host, &error));
  DO(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("work"), BLAZEN_TEXT("Part"), work, host, NULL,
                                      &error));
  DO(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("join"), BLAZEN_TEXT("Done"), join, host, NULL,
                                      &error));
  DO(blazen_workflow_builder_step_max_concurrency(builder, BLAZEN_TEXT("work"), 2, &error));
  DO(blazen_workflow_builder_step_max_concurrency(builder, BLAZEN_TEXT("join"), 1, &error));
  DO(blazen_workflow_builder_build(builder, &workflow, &error));
  blazen_workflow_builder_release(builder);
  return workflow;
}

/* The invocation that the last join has left. */
static void answer(struct host* host) {
  blazen_context* context = blazen_invocation_context(host->waiting);
  blazen_value* input = NULL;
  CHECK(host->waiting != NULL);
  DO(blazen_context_get_value(context, BLAZEN_TEXT("input"), &input, NULL, &error));
  DO(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), input, &error));
  DO(blazen_invocation_complete(host->waiting, &error));
  CHECK(blazen_invocation_complete(host->waiting, NULL) == BLAZEN_ERROR_WRONG_STATE);
  blazen_value_release(input);
  blazen_invocation_release(host->waiting);
  host->waiting = NULL;
}

static void expect_result(blazen_run* run, const char* text) {
  blazen_value* result = NULL;
  blazen_run_state state = BLAZEN_RUN_NONE;
  DO(blazen_run_wait(run, BLAZEN_FOREVER, &state, &error));
  CHECK(state == BLAZEN_RUN_COMPLETED);
  DO(blazen_run_result(run, &result, &error));
  CHECK(is_text(result, text));
  blazen_value_release(result);
}

static void read_to_the_end(blazen_stream* stream, int items) {
  uint64_t sequence = 0, last = 0;
  int found = 0;
  for (;;) {
    blazen_event* item = NULL;
    int is_end;
    DO(blazen_stream_next(stream, 0, &item, &sequence, &error));
    is_end = item == NULL || strcmp(blazen_event_type(item, NULL), BLAZEN_STREAM_END) == 0;
    blazen_event_release(item);
    if (is_end) break;
    CHECK(sequence == ++last);
    ++found;
  }
  CHECK(found == items);
}

/* To the point where the run waits, a snapshot there, to its end; and the snapshot's run to the same end. */
static void run_and_resume(blazen_runtime* runtime) {
  struct host host = {0, 0, NULL};
  blazen_workflow* workflow = build(&host);
  blazen_run *run = NULL, *resumed = NULL;
  blazen_stream* stream = NULL;
  blazen_snapshot *snapshot = NULL, *parsed = NULL;
  blazen_value *input = NULL, *info = NULL;
  const void* data;
  size_t length = 0;

  DO(blazen_value_json(BLAZEN_TEXT("[1.0, 1e400]"), &input, &error));
  DO(blazen_run_create(runtime, workflow, NULL, &run, &error));
  DO(blazen_run_subscribe(run, &stream, &error));
  CHECK(blazen_run_state_now(run) == BLAZEN_RUN_CREATED);
  DO(blazen_run_start(run, input, &error));
  DO(blazen_runtime_poll(runtime, 0, NULL, &error));
  CHECK(blazen_run_state_now(run) == BLAZEN_RUN_RUNNING);
  CHECK(host.steps == 1 + 2 * PARTS);
  DO(blazen_run_snapshot(run, &snapshot, &error));
  data = blazen_snapshot_data(snapshot, &length);
  DO(blazen_snapshot_parse(data, length, &parsed, &error));
  DO(blazen_snapshot_info(parsed, &info, &error));
  CHECK(blazen_value_tag(info) == BLAZEN_TAG_JSON);
  answer(&host);
  expect_result(run, "[1.0, 1e400]");
  read_to_the_end(stream, PARTS);

  host.steps = 0;
  DO(blazen_run_resume(runtime, workflow, parsed, NULL, &resumed, &error));
  CHECK(strcmp(blazen_run_id(run, NULL), blazen_run_id(resumed, NULL)) == 0);
  DO(blazen_run_start(resumed, NULL, &error));
  DO(blazen_runtime_poll(runtime, 0, NULL, &error));
  CHECK(host.steps == 1); /* only what was in flight runs again */
  /* It counts once more, to one past PARTS: it is the same invocation, and the state has what it wrote. */
  if (host.waiting != NULL) answer(&host);
  DO(blazen_run_close(resumed, &error));

  blazen_value_release(info);
  blazen_value_release(input);
  blazen_snapshot_release(parsed);
  blazen_snapshot_release(snapshot);
  blazen_stream_release(stream);
  blazen_run_release(resumed);
  blazen_run_release(run);
  CHECK(host.dropped == 0);
  blazen_workflow_release(workflow);
  CHECK(host.dropped == 1);
}

static void fail_and_cancel(blazen_runtime* runtime) {
  struct host host = {0, 0, NULL};
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  blazen_run* run = NULL;
  blazen_value* result = NULL;
  blazen_error* why = NULL;

  DO(blazen_workflow_builder_create(BLAZEN_TEXT("doomed"), &builder, &error));
  CHECK(blazen_workflow_builder_build(builder, &workflow, &why) == BLAZEN_ERROR_INVALID_WORKFLOW);
  CHECK(blazen_error_status(why) == BLAZEN_ERROR_INVALID_WORKFLOW);
  blazen_error_release(why);
  why = NULL;
  DO(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("fail"), BLAZEN_TEXT(BLAZEN_START_EVENT), fail,
                                      &host, NULL, &error));
  DO(blazen_workflow_builder_build(builder, &workflow, &error));
  CHECK(blazen_workflow_run(workflow, runtime, NULL, &result, &why) == BLAZEN_ERROR_STEP_FAILED);
  CHECK(result == NULL);
  CHECK(strcmp(blazen_error_step(why, NULL), "fail") == 0);
  CHECK(blazen_error_attempt(why) == 1);
  CHECK(blazen_error_host_code(why) == 7);
  CHECK(strcmp(blazen_error_message(blazen_error_cause(why), NULL), "the disk is gone") == 0);
  CHECK(blazen_value_object(blazen_error_detail(why)) == &host);
  blazen_error_release(why);
  why = NULL;

  DO(blazen_run_create(runtime, workflow, NULL, &run, &error));
  DO(blazen_run_start(run, NULL, &error));
  DO(blazen_run_close(run, &error));
  CHECK(blazen_run_state_now(run) == BLAZEN_RUN_CANCELLED);
  CHECK(blazen_run_result(run, &result, &why) == BLAZEN_ERROR_CANCELLED);
  blazen_error_release(why);
  blazen_run_release(run);
  blazen_workflow_release(workflow);
  blazen_workflow_builder_release(builder);
}

int main(void) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  blazen_runtime* runtime = NULL;

  CHECK(strcmp(blazen_version(), BLAZEN_VERSION) == 0);
  CHECK(blazen_abi() == BLAZEN_ABI);
  CHECK(blazen_has_feature(BLAZEN_TEXT("threads")) >= 0);
  CHECK(strcmp(blazen_status_name(BLAZEN_ERROR_STALLED), "BLAZEN_ERROR_STALLED") == 0);

  options.mode = BLAZEN_MODE_PUMP;
  DO(blazen_runtime_create(&options, &runtime, &error));
  run_and_resume(runtime);
  fail_and_cancel(runtime);
  DO(blazen_runtime_close(runtime, &error));
  blazen_runtime_release(runtime);
  return failures == 0 ? 0 : 1;
}
