// Where in a tree of runs an event comes from: the steps that host one another down to the run in which it was published.
//
// One for each run that is a part of another, shared by all that it publishes. Immutable, but for its texts, which are made when
// somebody asks for them first: most runs publish nothing that anybody reads.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <string>

#include "base/object.hpp"
#include "value/child_id.hpp"

namespace blazen {

// Of the step that hosts a run: shared by all of them.
struct PathNames final : Object {
  PathNames() noexcept : Object(Kind::dead) {}
  static void destroy(PathNames* names) noexcept { delete names; }

  std::string step;     // its name, with the branch
  std::string part_of;  // of a branch: the step that it is one of
  std::string branch;
};

struct EventPath final : Object {
  EventPath() noexcept : Object(Kind::dead) {}
  ~EventPath() { delete texts_.load(std::memory_order_relaxed); }
  static void destroy(EventPath* path) noexcept;

  struct Texts {
    std::string run_id;  // of the run, as a UUID
    std::string
        text;  // "step#7/inner#3": names escaped as in a JSON Pointer, with the ids of their invocations
    std::string json;  // an array of objects: step, invocation_id, branch where there is one, run_id
  };
  // The id of the run, which is made anew each time: most are asked for none.
  std::array<uint8_t, 16> run_id() const noexcept { return id_of_child(parent, invocation_id, attempt); }
  // Live as long as this. Throws std::bad_alloc.
  const Texts& texts() const;

  Ref<EventPath> around;  // of the run that hosts it; null: that is the top
  uint32_t depth = 1;
  uint64_t invocation_id = 0;
  std::array<uint8_t, 16> parent{};  // the id of the run around it
  uint32_t attempt = 1;              // of the invocation
  Ref<PathNames> names;

  // By the ids of the invocations, from the outermost: the same in each process. Null comes first.
  static bool comes_before(const EventPath* a, const EventPath* b) noexcept { return order(a, b) < 0; }

 private:
  static std::strong_ordering order(const EventPath* a, const EventPath* b) noexcept;
  mutable std::atomic<const Texts*> texts_{nullptr};
};

}  // namespace blazen
