/* The relay, process 1 of 4: reads the files, and hands the run on. `relay_begin SNAPSHOT_OUT FILE...` */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay_host.h"
#include "relay_steps.h"
#include "relay_workflow.h"

/* The paths, each ended by a NUL, as a value that owns them. */
static blazen_status paths_value(char** paths, int count, blazen_value** value, blazen_error** error) {
  size_t length = 0;
  for (int i = 0; i < count; ++i) length += strlen(paths[i]) + 1;
  char* list = malloc(length == 0 ? 1 : length);
  if (list == NULL) return blazen_error_host(0, BLAZEN_TEXT("out of memory"), NULL, error);
  size_t at = 0;
  for (int i = 0; i < count; at += strlen(paths[i]) + 1, ++i)
    memcpy(list + at, paths[i], strlen(paths[i]) + 1);
  return blazen_value_adopt(BLAZEN_TAG_BYTES, list, length, NULL, 0, list, free, value, error);
}

int main(int argc, char** argv) {
  relay_counts counts = {0, 0, 0, 0};
  const relay_body bodies[] = {{"read", relay_read, &counts}};
  blazen_error* error = NULL;
  blazen_workflow* workflow = NULL;
  blazen_runtime* runtime = NULL;
  blazen_run* run = NULL;
  blazen_value* paths = NULL;

  if (argc < 2) {
    fprintf(stderr, "usage: relay_begin SNAPSHOT_OUT FILE...\n");
    return 2;
  }
  blazen_status status = paths_value(argv + 2, argc - 2, &paths, &error);
  if (status == BLAZEN_OK) status = relay_workflow_build(bodies, 1, &workflow, &error);
  if (status == BLAZEN_OK) status = relay_runtime_create(&runtime, &error);
  if (status == BLAZEN_OK) status = blazen_run_create(runtime, workflow, NULL, &run, &error);
  if (status == BLAZEN_OK) status = relay_run_until_parked(run, paths, &error);
  if (status == BLAZEN_OK) {
    printf("[1/4 C]      files read: %u, parts: %u; ", counts.files, counts.parts);
    status = relay_snapshot_write(run, argv[1], &error);
  }
  relay_error_print("relay_begin", error);

  blazen_error_release(error);
  blazen_value_release(paths);
  blazen_run_release(run);
  blazen_workflow_release(workflow);
  blazen_runtime_release(runtime);
  return status != BLAZEN_OK;
}
