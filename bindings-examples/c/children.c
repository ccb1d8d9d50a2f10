/* Steps that are workflows: one, and two at once, each a run inside the run; and a decision that makes something of what
 * they give. */
#include <blazen/blazen.h>
#include <stdio.h>
#include <string.h>

static int number_of(const blazen_event* event) {
  int number = 0;
  return sscanf(blazen_value_data(blazen_event_value(event), NULL), "%d", &number) == 1 ? number : 0;
}

/* The only step of each workflow inside: its result is its input, times what user_data says. */
static blazen_status multiply(void* user_data, blazen_context* context, const blazen_event* event,
                              blazen_error** error) {
  char json[16];
  const size_t length = (size_t)snprintf(json, sizeof json, "%d", number_of(event) * *(const int*)user_data);
  return blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), json, length, error);
}

/* The output mapper: is called with one event for each branch, in their order, and answers with the value of the output. */
static blazen_status add_up(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  const blazen_event* const* results = NULL;
  size_t count = 0;
  int sum = 0;
  char json[16];
  (void)user_data, (void)event;
  blazen_status status = blazen_context_events(context, &results, &count, error);
  if (status != BLAZEN_OK) return status;
  for (size_t i = 0; i < count; ++i) sum += number_of(results[i]);
  blazen_value* value = NULL;
  status = blazen_value_json(json, (size_t)snprintf(json, sizeof json, "%d", sum), &value, error);
  if (status == BLAZEN_OK) status = blazen_context_answer(context, value, error);
  blazen_value_release(value);
  return status;
}

/* A workflow that multiplies: NULL, and the error, where it cannot be made. */
static blazen_workflow* make_inner(const char* name, int* factor, blazen_error** error) {
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  if (blazen_workflow_builder_create(name, strlen(name), &builder, error) == BLAZEN_OK &&
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("multiply"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                       multiply, factor, NULL, error) == BLAZEN_OK)
    (void)blazen_workflow_builder_build(builder, &workflow, error);
  blazen_workflow_builder_release(builder);
  return workflow;
}

/* "first" gives its result as "first::output"; the branches of "both" take that, and their sum ends the run. */
static blazen_workflow* make_outer(blazen_workflow* twice, blazen_workflow* thrice, blazen_error** error) {
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
  const blazen_branch branches[] = {{BLAZEN_TEXT("twice"), twice, 0}, {BLAZEN_TEXT("thrice"), thrice, 0}};
  options.output_type = BLAZEN_STOP_EVENT, options.output_type_length = strlen(BLAZEN_STOP_EVENT);
  options.output.body = add_up;
  if (blazen_workflow_builder_create(BLAZEN_TEXT("outer"), &builder, error) == BLAZEN_OK &&
      blazen_workflow_builder_add_workflow(builder, BLAZEN_TEXT("first"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                           twice, NULL, error) == BLAZEN_OK &&
      blazen_workflow_builder_add_workflows(builder, BLAZEN_TEXT("both"), BLAZEN_TEXT("first::output"),
                                            branches, 2, &options, error) == BLAZEN_OK)
    (void)blazen_workflow_builder_build(builder, &workflow, error);
  blazen_workflow_builder_release(builder);
  return workflow;
}

int main(void) {
  static int two = 2, three = 3;
  blazen_error* error = NULL;
  blazen_runtime* runtime = NULL;
  blazen_value *input = NULL, *result = NULL;
  blazen_workflow* twice = make_inner("twice", &two, &error);
  blazen_workflow* thrice = twice == NULL ? NULL : make_inner("thrice", &three, &error);
  blazen_workflow* outer = thrice == NULL ? NULL : make_outer(twice, thrice, &error);
  blazen_workflow_release(twice), blazen_workflow_release(thrice); /* outer has references of its own */
  if (outer == NULL || blazen_runtime_create(NULL, &runtime, &error) ||
      blazen_value_json(BLAZEN_TEXT("5"), &input, &error) ||
      blazen_workflow_run(outer, runtime, input, &result, &error))
    fprintf(stderr, "%s\n", blazen_error_message(error, NULL));
  else
    printf("5 is 10, and 2 and 3 times that are %s together\n", (const char*)blazen_value_data(result, NULL));
  blazen_error_release(error), blazen_value_release(result), blazen_value_release(input); /* NULL is fine */
  blazen_runtime_release(runtime), blazen_workflow_release(outer);
  return result == NULL;
}
