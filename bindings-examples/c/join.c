/* A fan-out and its join, and a step that collects: nobody counts what is still to come. */
#include <blazen/blazen.h>
#include <stdio.h>
#include <string.h>

/* The opener: whatever comes of what it emits belongs to one scope. */
static blazen_status deal(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  static const char* const cards[] = {"5", "3", "8", "1", "7", "6"};
  blazen_status status = BLAZEN_OK;
  (void)user_data, (void)event;
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof cards / sizeof cards[0]; ++i)
    status = blazen_context_emit_json(context, BLAZEN_TEXT("Card"), cards[i], strlen(cards[i]), error);
  return status;
}

/* Emits the sum of the events that the body was given, or has collected. They are the context's. */
static blazen_status emit_sum(blazen_context* context, const char* type, blazen_error** error) {
  const blazen_event* const* events = NULL;
  size_t count = 0;
  int sum = 0, number = 0;
  char json[16];
  blazen_status status = blazen_context_events(context, &events, &count, error);
  for (size_t i = 0; i < count; ++i)
    if (sscanf(blazen_value_data(blazen_event_value(events[i]), NULL), "%d", &number) == 1) sum += number;
  if (status != BLAZEN_OK) return status;
  return blazen_context_emit_json(context, type, strlen(type), json,
                                  (size_t)snprintf(json, sizeof json, "%d", sum), error);
}

/* Is called for each card, and keeps it until there are two. */
static blazen_status pair(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  const char* type = "Card";
  const size_t length = strlen(type);
  const uint32_t count = 2;
  (void)user_data, (void)event;
  blazen_status status = blazen_context_collect(context, NULL, 0, &type, &length, &count, 1, error);
  return status == BLAZEN_OK ? emit_sum(context, "Pair", error) : status; /* BLAZEN_PENDING: not yet */
}

/* The join: is called once, with every Pair, when nothing of the scope is left. */
static blazen_status total(void* user_data, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
  (void)user_data, (void)event;
  return emit_sum(context, BLAZEN_STOP_EVENT, error);
}

int main(void) {
  blazen_error* error = NULL;
  blazen_workflow_builder* builder = NULL;
  blazen_workflow* workflow = NULL;
  blazen_runtime* runtime = NULL;
  blazen_value* result = NULL;
  blazen_join_options join = BLAZEN_JOIN_OPTIONS_INIT;
  join.of = "deal", join.of_length = strlen(join.of);
  if (blazen_workflow_builder_create(BLAZEN_TEXT("cards"), &builder, &error) ||
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("deal"), BLAZEN_TEXT(BLAZEN_START_EVENT), deal,
                                       NULL, NULL, &error) ||
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("pair"), BLAZEN_TEXT("Card"), pair, NULL, NULL,
                                       &error) ||
      blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("total"), BLAZEN_TEXT("Pair"), total, NULL, NULL,
                                       &error) ||
      blazen_workflow_builder_step_joins(builder, BLAZEN_TEXT("total"), &join, &error) ||
      blazen_workflow_builder_build(builder, &workflow, &error) ||
      blazen_runtime_create(NULL, &runtime, &error) ||
      blazen_workflow_run(workflow, runtime, NULL, &result, &error))
    fprintf(stderr, "%s\n", blazen_error_message(error, NULL));
  else
    printf("%s in all\n", (const char*)blazen_value_data(result, NULL));
  blazen_error_release(error), blazen_value_release(result); /* NULL is fine */
  blazen_runtime_release(runtime), blazen_workflow_release(workflow);
  blazen_workflow_builder_release(builder);
  return result == NULL;
}
