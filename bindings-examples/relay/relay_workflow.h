/* The pipeline of the relay, as every process in C builds it; relay_workflow.py is the same for those in
 * Python. */
#ifndef RELAY_WORKFLOW_H
#define RELAY_WORKFLOW_H

#include <blazen/blazen.h>

/* The event types that pass between the steps. */
#define RELAY_TEXTS_READ "relay::TextsRead"                 /* null */
#define RELAY_PART "relay::Part"                            /* the number of the part, from 1 */
#define RELAY_ANALYSED "relay::Analysed"                    /* the number of the part */
#define RELAY_CHECKED "relay::Checked"                      /* the number of the part */
#define RELAY_VOCABULARY_MADE "relay::VocabularyMade"       /* null */
#define RELAY_VOCABULARY_CARRIED "relay::VocabularyCarried" /* the vocabulary itself, whatever it is */
#define RELAY_SHELVED "relay::Shelved"                      /* null */
#define RELAY_TITLED "relay::Titled"                        /* null */
#define RELAY_REGISTERED "relay::Registered"                /* null */

/* A step that this process hosts. */
typedef struct relay_body {
  const char* step;
  blazen_step_fn body;
  void* user_data; /* outlives the workflow */
} relay_body;

/* Builds the pipeline with these bodies; every other step of its stages is elsewhere. */
blazen_status relay_workflow_build(const relay_body* bodies, size_t count, blazen_workflow** workflow,
                                   blazen_error** error);

#endif
