// The names of the statuses, as the public header spells them.
#include "base/status.hpp"

namespace blazen {

const char* status_name(Status status) noexcept {
  switch (status) {
    case Status::ok: return "BLAZEN_OK";
    case Status::pending: return "BLAZEN_PENDING";
    case Status::invalid_argument: return "BLAZEN_ERROR_INVALID_ARGUMENT";
    case Status::wrong_handle: return "BLAZEN_ERROR_WRONG_HANDLE";
    case Status::invalid_utf8: return "BLAZEN_ERROR_INVALID_UTF8";
    case Status::invalid_json: return "BLAZEN_ERROR_INVALID_JSON";
    case Status::wrong_tag: return "BLAZEN_ERROR_WRONG_TAG";
    case Status::wrong_place: return "BLAZEN_ERROR_WRONG_PLACE";
    case Status::wrong_state: return "BLAZEN_ERROR_WRONG_STATE";
    case Status::not_found: return "BLAZEN_ERROR_NOT_FOUND";
    case Status::conflict: return "BLAZEN_ERROR_CONFLICT";
    case Status::invalid_workflow: return "BLAZEN_ERROR_INVALID_WORKFLOW";
    case Status::out_of_memory: return "BLAZEN_ERROR_OUT_OF_MEMORY";
    case Status::limit: return "BLAZEN_ERROR_LIMIT";
    case Status::timeout: return "BLAZEN_ERROR_TIMEOUT";
    case Status::cancelled: return "BLAZEN_ERROR_CANCELLED";
    case Status::system: return "BLAZEN_ERROR_SYSTEM";
    case Status::internal: return "BLAZEN_ERROR_INTERNAL";
    case Status::host: return "BLAZEN_ERROR_HOST";
    case Status::step_failed: return "BLAZEN_ERROR_STEP_FAILED";
    case Status::no_handler: return "BLAZEN_ERROR_NO_HANDLER";
    case Status::stalled: return "BLAZEN_ERROR_STALLED";
    case Status::run_timeout: return "BLAZEN_ERROR_RUN_TIMEOUT";
    case Status::step_timeout: return "BLAZEN_ERROR_STEP_TIMEOUT";
    case Status::aborted: return "BLAZEN_ERROR_ABORTED";
    case Status::not_serializable: return "BLAZEN_ERROR_NOT_SERIALIZABLE";
    case Status::snapshot_invalid: return "BLAZEN_ERROR_SNAPSHOT_INVALID";
    case Status::snapshot_newer: return "BLAZEN_ERROR_SNAPSHOT_NEWER";
    case Status::snapshot_mismatch: return "BLAZEN_ERROR_SNAPSHOT_MISMATCH";
  }
  return "BLAZEN_UNKNOWN";
}

}  // namespace blazen
