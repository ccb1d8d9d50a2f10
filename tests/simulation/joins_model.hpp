// What a run of a tree comes to, by a model that shares nothing with the engine: it knows of no tick, queue or snapshot, but
// of what each node does, and when.
#pragma once

#include <optional>
#include <string>

#include "simulation/joins_tree.hpp"

namespace sim::joins {

struct Expected {
  std::string root;            // what comes to the root, as text
  bool is_open = false;        // or something else: it depends on the order within a moment
  std::optional<size_t> late;  // how many events come late; none: it depends on the order within a moment
};

Expected expect(const Tree& tree);

}  // namespace sim::joins
