// A run of a tree, a step at a time, by a host that does to it what the tree says and, where it cuts, takes it through
// pauses, snapshots and processes at random moments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "simulation/joins_tree.hpp"

namespace sim::joins {

struct Outcome {
  std::string root;            // what came to the root, as text
  std::optional<size_t> late;  // where it was counted
  std::string problem;         // empty, or what went wrong on the way
};

// trace: what the host does, and when; null: nobody wants to know.
Outcome run(const Tree& tree, uint64_t seed, bool cuts, std::string* trace = nullptr);

}  // namespace sim::joins
