/* All processes add the same steps in the same order: so their workflows have the same fingerprint. */
#include "relay_workflow.h"

#include <string.h>

enum { ACCEPTS_MAX = 5 };

typedef struct relay_step {
  const char* name;
  const char* accepts[ACCEPTS_MAX];
  uint32_t concurrency_max;
} relay_step;

static const relay_step steps[] = {
    {"read", {BLAZEN_START_EVENT}, 0},         /* C:      files into parts */
    {"survey", {RELAY_TEXTS_READ}, 0},         /* Python: all parts into a vocabulary */
    {"analyse", {RELAY_PART}, 4},              /* Python: a part into notes */
    {"check", {RELAY_PART}, 0},                /* C:      is a part as it was read? */
    {"carry", {RELAY_VOCABULARY_MADE}, 0},     /* C:      the vocabulary into an event, */
    {"shelve", {RELAY_VOCABULARY_CARRIED}, 0}, /* C:      and back into the state */
    {"title", {RELAY_TEXTS_READ}, 0},          /* Python: asks a human */
    {"register", {RELAY_TEXTS_READ}, 0},       /* Python: fails twice, and is tried again */
    {"tally", {RELAY_ANALYSED, RELAY_CHECKED, RELAY_SHELVED, RELAY_TITLED, RELAY_REGISTERED}, 1}, /* Python */
    {"finish", {RELAY_ALL_DONE}, 0}, /* Python: the digest */
};

static const relay_body* find_body(const relay_body* bodies, size_t count, const char* step) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(bodies[i].step, step) == 0) return &bodies[i];
  }
  return NULL;
}

static blazen_status add_step(blazen_workflow_builder* builder, const relay_step* step,
                              const relay_body* body, blazen_error** error) {
  const char *name = step->name, *accepts = step->accepts[0];
  blazen_status status =
      body == NULL ? blazen_workflow_builder_add_elsewhere(builder, name, strlen(name), accepts,
                                                           strlen(accepts), error)
                   : blazen_workflow_builder_add_step(builder, name, strlen(name), accepts, strlen(accepts),
                                                      body->body, body->user_data, NULL, error);
  for (int i = 1; status == BLAZEN_OK && i < ACCEPTS_MAX && step->accepts[i] != NULL; ++i) {
    accepts = step->accepts[i];
    status =
        blazen_workflow_builder_step_accepts(builder, name, strlen(name), accepts, strlen(accepts), error);
  }
  if (status != BLAZEN_OK) return status;
  return blazen_workflow_builder_step_max_concurrency(builder, name, strlen(name), step->concurrency_max,
                                                      error);
}

blazen_status relay_workflow_build(const relay_body* bodies, size_t count, blazen_workflow** workflow,
                                   blazen_error** error) {
  blazen_workflow_builder* builder = NULL;
  blazen_status status = blazen_workflow_builder_create(BLAZEN_TEXT("relay"), &builder, error);
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof steps / sizeof steps[0]; ++i) {
    status = add_step(builder, &steps[i], find_body(bodies, count, steps[i].name), error);
  }
  if (status == BLAZEN_OK) status = blazen_workflow_builder_build(builder, workflow, error);
  blazen_workflow_builder_release(builder);
  return status;
}
