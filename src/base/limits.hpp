// Every bound of the engine, by name. Past one, the caller gets Status::limit with the name of the bound.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blazen {

// Bounds that are the same for everybody (the public header names them too).
inline constexpr size_t kNameBytesMax = 1024;
inline constexpr size_t kValueBytesMax = size_t{1} << 30;
inline constexpr uint32_t kJsonDepthMax = 512;
inline constexpr uint32_t kStepsMax = 4096;
inline constexpr uint32_t kAcceptsMax = 4096;
inline constexpr uint32_t kPoolsMax = 64;  // each tick of a run that uses pools looks at all of them
inline constexpr size_t kDeserializersMax = 4096;
inline constexpr uint32_t kThreadsMax = 256;
inline constexpr uint32_t kThreadsInAllMax = 4096;
inline constexpr int64_t kTimeMsMax = 3'155'760'000'000;  // a hundred years
inline constexpr int64_t kClockMsMax = INT64_MAX / 4;     // further, nothing could be due later
inline constexpr uint32_t kAttemptsMax = 1'000'000;
inline constexpr uint32_t kErrorDepthMax = 16;  // causes beneath causes in a snapshot

inline constexpr uint32_t kChildDepthMax = 256;  // runs within runs: each is a few frames of a thread's stack

// Bounds that a workflow sets for its runs, with their defaults.
struct Limits {
  uint64_t queued_events = uint64_t{1} << 22;
  uint64_t state_bytes = uint64_t{1} << 30;
  uint64_t session_bytes = uint64_t{1} << 30;
  uint64_t stream_items = 65536;
  uint64_t stream_retained = 1024;
  uint64_t subscribers = 1024;
  uint64_t step_sends = uint64_t{1} << 20;
  uint64_t questions = 65536;
  uint64_t scopes = 65536;
  uint64_t scope_depth = 65536;
  uint64_t child_depth = 64;
  uint64_t children = 65536;
};

}  // namespace blazen
