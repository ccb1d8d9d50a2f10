// The library about itself; and the proof that its numbers are the header's.
#include <iterator>

#include "capi/handle.hpp"
#include "exec/pump.hpp"
#include "snapshot/format.hpp"

namespace blazen::capi {
namespace {

constexpr bool same(Status status, int32_t number) { return static_cast<int32_t>(status) == number; }

static_assert(same(Status::ok, BLAZEN_OK) && same(Status::pending, BLAZEN_PENDING));
static_assert(same(Status::invalid_argument, BLAZEN_ERROR_INVALID_ARGUMENT));
static_assert(same(Status::wrong_handle, BLAZEN_ERROR_WRONG_HANDLE));
static_assert(same(Status::invalid_utf8, BLAZEN_ERROR_INVALID_UTF8));
static_assert(same(Status::invalid_json, BLAZEN_ERROR_INVALID_JSON));
static_assert(same(Status::wrong_tag, BLAZEN_ERROR_WRONG_TAG));
static_assert(same(Status::wrong_place, BLAZEN_ERROR_WRONG_PLACE));
static_assert(same(Status::wrong_state, BLAZEN_ERROR_WRONG_STATE));
static_assert(same(Status::not_found, BLAZEN_ERROR_NOT_FOUND));
static_assert(same(Status::conflict, BLAZEN_ERROR_CONFLICT));
static_assert(same(Status::invalid_workflow, BLAZEN_ERROR_INVALID_WORKFLOW));
static_assert(same(Status::out_of_memory, BLAZEN_ERROR_OUT_OF_MEMORY));
static_assert(same(Status::limit, BLAZEN_ERROR_LIMIT) && same(Status::timeout, BLAZEN_ERROR_TIMEOUT));
static_assert(same(Status::cancelled, BLAZEN_ERROR_CANCELLED) && same(Status::system, BLAZEN_ERROR_SYSTEM));
static_assert(same(Status::internal, BLAZEN_ERROR_INTERNAL) && same(Status::host, BLAZEN_ERROR_HOST));
static_assert(same(Status::step_failed, BLAZEN_ERROR_STEP_FAILED));
static_assert(same(Status::no_handler, BLAZEN_ERROR_NO_HANDLER) &&
              same(Status::stalled, BLAZEN_ERROR_STALLED));
static_assert(same(Status::not_serializable, BLAZEN_ERROR_NOT_SERIALIZABLE));
static_assert(same(Status::snapshot_invalid, BLAZEN_ERROR_SNAPSHOT_INVALID));
static_assert(same(Status::snapshot_newer, BLAZEN_ERROR_SNAPSHOT_NEWER));
static_assert(same(Status::snapshot_mismatch, BLAZEN_ERROR_SNAPSHOT_MISMATCH));

static_assert(int{BLAZEN_TAG_NONE} == static_cast<int>(Tag::none) &&
              int{BLAZEN_TAG_JSON} == static_cast<int>(Tag::json));
static_assert(int{BLAZEN_TAG_BYTES} == static_cast<int>(Tag::bytes));
static_assert(int{BLAZEN_TAG_NATIVE} == static_cast<int>(Tag::native));
static_assert(int{BLAZEN_TAG_LIVE} == static_cast<int>(Tag::live));

static_assert(int{BLAZEN_RUN_CREATED} == static_cast<int>(RunStatus::created));
static_assert(int{BLAZEN_RUN_RUNNING} == static_cast<int>(RunStatus::running));
static_assert(int{BLAZEN_RUN_WAITING} == static_cast<int>(RunStatus::waiting));
static_assert(int{BLAZEN_RUN_ELSEWHERE} == static_cast<int>(RunStatus::elsewhere));
static_assert(int{BLAZEN_RUN_COMPLETED} == static_cast<int>(RunStatus::completed));
static_assert(int{BLAZEN_RUN_FAILED} == static_cast<int>(RunStatus::failed));
static_assert(int{BLAZEN_RUN_CANCELLED} == static_cast<int>(RunStatus::cancelled));

// By blazen_known_event, from 1.
constexpr const char* kKnownEvents[] = {
    BLAZEN_START_EVENT,          BLAZEN_STOP_EVENT,        BLAZEN_INPUT_REQUEST_EVENT,
    BLAZEN_INPUT_RESPONSE_EVENT, BLAZEN_STEP_FAILED_EVENT, BLAZEN_STREAM_END,
    BLAZEN_STREAM_GAP,           BLAZEN_LIFECYCLE,         BLAZEN_PROGRESS,
    BLAZEN_EMPTY_JOIN_EVENT,
};
static_assert(std::size(kKnownEvents) == BLAZEN_EVENT_EMPTY_JOIN);

static_assert(BLAZEN_NAME_BYTES_MAX == kNameBytesMax && BLAZEN_VALUE_BYTES_MAX == kValueBytesMax);
static_assert(BLAZEN_JSON_DEPTH_MAX == kJsonDepthMax && BLAZEN_STEPS_MAX == kStepsMax);
static_assert(BLAZEN_ACCEPTS_MAX == kAcceptsMax && BLAZEN_DESERIALIZERS_MAX == kDeserializersMax);
static_assert(BLAZEN_POOLS_MAX == kPoolsMax);
static_assert(std::string_view(BLAZEN_START_EVENT) == kStartEvent &&
              std::string_view(BLAZEN_STOP_EVENT) == kStopEvent);
static_assert(std::string_view(BLAZEN_STREAM_END) == kStreamEnd &&
              std::string_view(BLAZEN_STREAM_GAP) == kStreamGap);
static_assert(std::string_view(BLAZEN_LIFECYCLE) == kLifecycle &&
              std::string_view(BLAZEN_VERSION) == kEngineVersion);
static_assert(BLAZEN_VERSION_NUMBER ==
              BLAZEN_VERSION_MAJOR * 10000 + BLAZEN_VERSION_MINOR * 100 + BLAZEN_VERSION_PATCH);

}  // namespace
}  // namespace blazen::capi

const char* blazen_version(void) { return BLAZEN_VERSION; }

uint32_t blazen_abi(void) { return BLAZEN_ABI; }

const char* blazen_event_name(blazen_known_event which, size_t* length) {
  if (which < BLAZEN_EVENT_START || which > BLAZEN_EVENT_PROGRESS) return blazen::capi::no_text(length);
  return blazen::capi::text_out(blazen::capi::kKnownEvents[which - BLAZEN_EVENT_START], length);
}

int32_t blazen_has_feature(const char* feature, size_t feature_length) {
  if (feature == nullptr) return 0;
  const std::string_view name(feature, feature_length);
  if (name == "threads") return blazen::kThreads ? 1 : 0;
  if (name == "descriptor") return blazen::pump_has_descriptor() ? 1 : 0;
  return 0;
}
