#include "relay_host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 512 };

blazen_status relay_runtime_create(blazen_runtime** runtime, blazen_error** error) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = BLAZEN_MODE_PUMP;
  return blazen_runtime_create(&options, runtime, error);
}

static blazen_status not_parked(const blazen_run* run, blazen_error** error) {
  blazen_value* result = NULL;
  blazen_status status = blazen_run_result(run, &result, error);
  if (status != BLAZEN_OK) return status;
  blazen_value_release(result);
  return blazen_error_host(0, BLAZEN_TEXT("the run has ended instead of parking"), NULL, error);
}

blazen_status relay_run_until_parked(blazen_run* run, blazen_value* input, blazen_error** error) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  blazen_status status = blazen_run_start(run, input, error);
  if (status == BLAZEN_OK) status = blazen_run_wait(run, BLAZEN_FOREVER, &state, error);
  if (status != BLAZEN_OK || state == BLAZEN_RUN_ELSEWHERE) return status;
  return not_parked(run, error);
}

/* ---- files ---- */

static blazen_status fail_for_file(const char* verb, const char* path, blazen_error** error) {
  char message[MESSAGE_BYTES];
  int code = errno;
  int length = snprintf(message, sizeof message, "cannot %s %.300s: %s", verb, path, strerror(code));
  return blazen_error_host(code, message, (size_t)length, NULL, error);
}

static int write_file(const char* path, const void* data, size_t length) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return -1;
  size_t written = fwrite(data, 1, length, file);
  return fclose(file) == 0 && written == length ? 0 : -1;
}

/* The whole of a file, to be freed; NULL: errno says why. */
static void* read_file(const char* path, size_t* length) {
  FILE* file = fopen(path, "rb");
  long size = 0;
  void* data = NULL;
  if (file == NULL) return NULL;
  if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
    data = malloc(size == 0 ? 1 : (size_t)size);
  }
  if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
    free(data);
    data = NULL;
  }
  *length = (size_t)size;
  (void)fclose(file);
  return data;
}

/* ---- snapshots ---- */

/* Of the runs inside, a number in the JSON object of blazen_snapshot_info: it has them in an object of their own.
 * `name` is quoted and has its colon: "\"queued\":". */
static uint64_t number_inside(const blazen_value* info, const char* name) {
  uint64_t number = 0;
  const char* at = strstr(blazen_value_data(info, NULL), "\"inside\":{");
  if (at != NULL) at = strstr(at, name);
  if (at != NULL) (void)sscanf(at + strlen(name), "%" SCNu64, &number);
  return number;
}

static blazen_status print_snapshot(const blazen_snapshot* snapshot, blazen_error** error) {
  blazen_value* info = NULL;
  size_t length;
  blazen_status status = blazen_snapshot_info(snapshot, &info, error);
  if (status != BLAZEN_OK) return status;
  (void)blazen_snapshot_data(snapshot, &length);
  printf("snapshot of %.1f KiB with %" PRIu64 " events queued, %" PRIu64 " steps in flight\n",
         (double)length / 1024, number_inside(info, "\"queued\":"), number_inside(info, "\"in_flight\":"));
  blazen_value_release(info);
  return BLAZEN_OK;
}

blazen_status relay_snapshot_write(const blazen_run* run, const char* path, blazen_error** error) {
  blazen_snapshot* snapshot = NULL;
  size_t length;
  blazen_status status = blazen_run_snapshot(run, &snapshot, error);
  if (status != BLAZEN_OK) return status;
  const void* data = blazen_snapshot_data(snapshot, &length);
  if (write_file(path, data, length) != 0) status = fail_for_file("write", path, error);
  if (status == BLAZEN_OK) status = print_snapshot(snapshot, error);
  blazen_snapshot_release(snapshot);
  return status;
}

blazen_status relay_snapshot_read(const char* path, blazen_snapshot** snapshot, blazen_error** error) {
  size_t length = 0;
  void* data = read_file(path, &length);
  if (data == NULL) return fail_for_file("read", path, error);
  blazen_status status = blazen_snapshot_parse(data, length, snapshot, error);
  free(data);
  return status;
}

/* ---- errors ---- */

void relay_error_print(const char* program, const blazen_error* error) {
  if (error != NULL) fprintf(stderr, "%s: %s\n", program, blazen_error_message(error, NULL));
}
