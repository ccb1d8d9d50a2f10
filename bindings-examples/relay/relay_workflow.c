/* Two stages: the analysis of the texts, and the digest of what that has found. All processes add the same
 * stages, and in them the same steps in the same order: so their workflows have the same fingerprints. And all
 * say what `finish` joins, also those that have it elsewhere: what arrives for it while they have the run is
 * collected there and then. */
#include "relay_workflow.h"

#include <string.h>

enum { ACCEPTS_MAX = 5 };

typedef struct relay_step {
  const char* name;
  const char* accepts[ACCEPTS_MAX];
  uint32_t concurrency_max;
  const char* joins; /* a step; NULL: it does not join */
} relay_step;

static const relay_step analysis[] = {
    {"read", {BLAZEN_START_EVENT}, 0, NULL},         /* C:      files into parts */
    {"survey", {RELAY_TEXTS_READ}, 0, NULL},         /* Python: all parts into a vocabulary */
    {"analyse", {RELAY_PART}, 4, NULL},              /* Python: a part into notes */
    {"check", {RELAY_PART}, 0, NULL},                /* C:      is a part as it was read? */
    {"carry", {RELAY_VOCABULARY_MADE}, 0, NULL},     /* C:      the vocabulary into an event, */
    {"shelve", {RELAY_VOCABULARY_CARRIED}, 0, NULL}, /* C:      and back into the state */
    {"title", {RELAY_TEXTS_READ}, 0, NULL},          /* Python: asks a human */
    {"register", {RELAY_TEXTS_READ}, 0, NULL},       /* Python: fails twice, and is tried again */
    /* Python: puts it together, once nothing that came of the reading is left */
    {"finish", {RELAY_ANALYSED, RELAY_CHECKED, RELAY_SHELVED, RELAY_TITLED, RELAY_REGISTERED}, 0, "read"},
};

static const relay_step digest[] = {
    {"compose", {BLAZEN_START_EVENT}, 0, NULL}, /* Python: for people */
};

typedef struct relay_stage {
  const char* name;
  const relay_step* steps;
  size_t count;
} relay_stage;

static const relay_stage stages[] = {
    {"analysis", analysis, sizeof analysis / sizeof analysis[0]},
    {"digest", digest, sizeof digest / sizeof digest[0]},
};

static const relay_body* find_body(const relay_body* bodies, size_t count, const char* step) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(bodies[i].step, step) == 0) return &bodies[i];
  }
  return NULL;
}

/* Called once, with all that has come of one invocation of the other step: nobody counts. */
static blazen_status join(blazen_workflow_builder* builder, const char* name, const char* of,
                          blazen_error** error) {
  blazen_join_options options = BLAZEN_JOIN_OPTIONS_INIT;
  options.of = of;
  options.of_length = strlen(of);
  return blazen_workflow_builder_step_joins(builder, name, strlen(name), &options, error);
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
  if (status == BLAZEN_OK && step->joins != NULL) status = join(builder, name, step->joins, error);
  if (status != BLAZEN_OK) return status;
  return blazen_workflow_builder_step_max_concurrency(builder, name, strlen(name), step->concurrency_max,
                                                      error);
}

static blazen_status build_stage(const relay_stage* stage, const relay_body* bodies, size_t count,
                                 blazen_workflow** workflow, blazen_error** error) {
  blazen_workflow_builder* builder = NULL;
  blazen_status status = blazen_workflow_builder_create(stage->name, strlen(stage->name), &builder, error);
  for (size_t i = 0; status == BLAZEN_OK && i < stage->count; ++i) {
    const relay_step* step = &stage->steps[i];
    status = add_step(builder, step, find_body(bodies, count, step->name), error);
  }
  if (status == BLAZEN_OK) status = blazen_workflow_builder_build(builder, workflow, error);
  blazen_workflow_builder_release(builder);
  return status;
}

blazen_status relay_workflow_build(const relay_body* bodies, size_t count, blazen_workflow** workflow,
                                   blazen_error** error) {
  blazen_pipeline_builder* builder = NULL;
  blazen_status status = blazen_pipeline_builder_create(BLAZEN_TEXT("relay"), &builder, error);
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof stages / sizeof stages[0]; ++i) {
    const char* name = stages[i].name;
    blazen_workflow* stage = NULL;
    status = build_stage(&stages[i], bodies, count, &stage, error);
    if (status == BLAZEN_OK)
      status = blazen_pipeline_builder_add_stage(builder, name, strlen(name), stage, NULL, error);
    blazen_workflow_release(stage); /* the builder has its own reference */
  }
  if (status == BLAZEN_OK) status = blazen_pipeline_builder_build(builder, workflow, error);
  blazen_pipeline_builder_release(builder);
  return status;
}
