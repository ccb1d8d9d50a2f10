// Where in a tree of runs an event comes from: the steps that host one another down to the run in which it was published.
//
// Immutable; made once for each run that is a part of another, and shared by all that it publishes.
#pragma once

#include <string>

#include "base/object.hpp"

namespace blazen {

struct EventPath final : Object {
  EventPath() noexcept : Object(Kind::dead) {}
  static void destroy(EventPath* path) noexcept { delete path; }

  std::string run_id;  // of the run, as a UUID
  std::string text;    // "step#7/inner#3": names escaped as in a JSON Pointer, with the ids of their invocations
  std::string json;    // an array of objects: step, invocation_id, branch where there is one, run_id
};

}  // namespace blazen
