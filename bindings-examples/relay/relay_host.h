/* What the two C hosts of the relay have in common: files, waiting, and saying what happened. */
#ifndef RELAY_HOST_H
#define RELAY_HOST_H

#include <blazen/blazen.h>

/* A runtime without threads: the host runs the steps while it waits. */
blazen_status relay_runtime_create(blazen_runtime** runtime, blazen_error** error);

/* Starts a run (input NULL: it goes on from a snapshot), and waits until it parks. A run that ends instead
 * has failed. */
blazen_status relay_run_until_parked(blazen_run* run, blazen_value* input, blazen_error** error);

/* Snapshots a run into a file, and prints how large it is and what stands in it, as the end of a line. */
blazen_status relay_snapshot_write(const blazen_run* run, const char* path, blazen_error** error);

/* A snapshot from a file. */
blazen_status relay_snapshot_read(const char* path, blazen_snapshot** snapshot, blazen_error** error);

/* Prints what went wrong; the message of a failed step has its cause in it. NULL: nothing went wrong. */
void relay_error_print(const char* program, const blazen_error* error);

#endif
