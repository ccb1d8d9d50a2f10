/* The smallest whole program: two steps, one run, its result. */
#include <blazen/blazen.h>
#include <stdio.h>

static blazen_status greet(void* user_data, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
  (void)user_data;
  blazen_status status =
      blazen_context_set_value(context, BLAZEN_TEXT("name"), blazen_event_value(event), error);
  if (status != BLAZEN_OK) return status; /* the step fails, with that error as its cause */
  return blazen_context_emit_json(context, BLAZEN_TEXT("Greeted"), BLAZEN_TEXT("{\"times\": 1}"), error);
}

static blazen_status finish(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  (void)user_data, (void)event;
  blazen_value* name = NULL; /* the value of the StopEvent is the result of the run */
  blazen_status status = blazen_context_get_value(context, BLAZEN_TEXT("name"), &name, NULL, error);
  if (status == BLAZEN_OK) status = blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), name, error);
  blazen_value_release(name);
  return status;
}

int main(void) {
  blazen_error* error = NULL;
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  blazen_runtime* runtime = NULL;
  blazen_value *input = NULL, *result = NULL;
  if (blazen_workflow_builder_create(BLAZEN_TEXT("hello"), &builder, &error) ||
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("greet"), BLAZEN_TEXT(BLAZEN_START_EVENT), greet,
                                       NULL, NULL, &error) ||
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("finish"), BLAZEN_TEXT("Greeted"), finish, NULL,
                                       NULL, &error) ||
      blazen_workflow_builder_build(builder, &workflow, &error) ||
      blazen_runtime_create(NULL, &runtime, &error) ||
      blazen_value_json(BLAZEN_TEXT("\"world\""), &input, &error) ||
      blazen_workflow_run(workflow, runtime, input, &result, &error))
    fprintf(stderr, "%s\n", blazen_error_message(error, NULL));
  else
    printf("hello, %s\n", (const char*)blazen_value_data(result, NULL));
  blazen_error_release(error), blazen_value_release(result), blazen_value_release(input); /* NULL is fine */
  blazen_runtime_release(runtime), blazen_workflow_release(workflow),
      blazen_workflow_builder_release(builder);
  return result == NULL;
}
