/* The relay, process 3 of 4: answers the question that a step in Python has asked, checks every part, and
 * carries the vocabulary, which it cannot read; then hands the run on.
 * `relay_check SNAPSHOT_IN SNAPSHOT_OUT ANSWER`, the answer as JSON. */
#include <stdio.h>
#include <string.h>

#include "relay_host.h"
#include "relay_steps.h"
#include "relay_workflow.h"

/* The input handler of the run: whatever a step of any stage has asked. That step is elsewhere, and gets its answer
 * there. */
static blazen_status answer(void* json, blazen_run* run, const blazen_event* request, blazen_value** value,
                            blazen_error** error) {
  (void)run;
  (void)request;
  return blazen_value_json(json, strlen(json), value, error);
}

int main(int argc, char** argv) {
  relay_counts counts = {0, 0, 0, 0};
  const relay_body bodies[] = {
      {"check", relay_check, &counts}, {"carry", relay_carry, &counts}, {"shelve", relay_shelve, &counts}};
  blazen_error* error = NULL;
  blazen_workflow* workflow = NULL;
  blazen_runtime* runtime = NULL;
  blazen_snapshot* snapshot = NULL;
  blazen_run* run = NULL;

  if (argc != 4) {
    fprintf(stderr, "usage: relay_check SNAPSHOT_IN SNAPSHOT_OUT ANSWER\n");
    return 2;
  }
  blazen_status status = relay_workflow_build(bodies, 3, &workflow, &error);
  if (status == BLAZEN_OK) status = relay_runtime_create(&runtime, &error);
  if (status == BLAZEN_OK) status = relay_snapshot_read(argv[1], &snapshot, &error);
  if (status == BLAZEN_OK) {
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.user_data = argv[3];
    options.input = answer;
    status = blazen_run_resume(runtime, workflow, snapshot, &options, &run, &error);
  }
  if (status == BLAZEN_OK) status = relay_run_until_parked(run, NULL, &error);
  if (status == BLAZEN_OK) {
    printf("[3/4 C]      question answered; parts checked: %u, Python objects carried unread: %u; ",
           counts.checked, counts.carried);
    status = relay_snapshot_write(run, argv[2], &error);
  }
  relay_error_print("relay_check", error);

  blazen_error_release(error);
  blazen_run_release(run);
  blazen_snapshot_release(snapshot);
  blazen_workflow_release(workflow);
  blazen_runtime_release(runtime);
  return status != BLAZEN_OK;
}
