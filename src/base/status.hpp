// The outcome of an operation. The numbers are those of the public header (capi/ asserts it).
#pragma once

#include <cstdint>

namespace blazen {

// Stored in snapshots: never renumber.
enum class Status : int32_t {
  ok = 0,
  pending = 1,
  invalid_argument = 100,
  wrong_handle = 101,
  invalid_utf8 = 102,
  invalid_json = 103,
  wrong_tag = 104,
  wrong_place = 105,
  wrong_state = 106,
  not_found = 107,
  conflict = 108,
  invalid_workflow = 109,
  out_of_memory = 200,
  limit = 201,
  timeout = 202,
  cancelled = 203,
  system = 204,
  internal = 205,
  host = 300,
  step_failed = 301,
  no_handler = 302,
  stalled = 303,
  run_timeout = 304,
  step_timeout = 305,
  aborted = 306,
  not_serializable = 400,
  snapshot_invalid = 401,
  snapshot_newer = 402,
  snapshot_mismatch = 403,
};

const char* status_name(Status status) noexcept;

}  // namespace blazen
