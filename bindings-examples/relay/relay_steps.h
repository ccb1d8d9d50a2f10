/* The steps of the relay that are written in C. Each is a blazen_step_fn, for a host in any language to
 * register.
 *
 * What they keep in the state (N: the number of a part or a file from 1, with six digits or more):
 *
 *   parts                      JSON    how many parts there are
 *   files                      JSON    how many files
 *   file/N/path                BYTES   as the operating system has it
 *   part/N/text                BYTES
 *   part/N/file                JSON    the number of its file
 *   part/N/sha256              JSON    of its text, as it was read
 *   vocabulary                 NATIVE  Python's; C carries it without looking into it
 *   vocabulary/carried_sha256  JSON    of its bytes, while C had them
 */
#ifndef RELAY_STEPS_H
#define RELAY_STEPS_H

#include <blazen/blazen.h>

/* How much has been done. As user_data of the steps, for a host that runs them on one thread; NULL: nobody
 * counts. */
typedef struct relay_counts {
  unsigned files, parts, checked, carried;
} relay_counts;

/* Accepts the start: paths, as BYTES, each ended by a NUL. Splits the files into parts, one event each. */
blazen_status relay_read(void* user_data, blazen_context* context, const blazen_event* event,
                         blazen_error** error);
/* Accepts a part, and fails unless its text still has the hash with which it was read. */
blazen_status relay_check(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error);
/* Takes the vocabulary out of the state into an event. */
blazen_status relay_carry(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error);
/* Puts the vocabulary of the event back into the state. */
blazen_status relay_shelve(void* user_data, blazen_context* context, const blazen_event* event,
                           blazen_error** error);

#endif
