// What the host of a tree of workflows knows beside the run, and the workflows whose bodies do what the tree says.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "simulation/trees.hpp"
#include "support/blazen_test.hpp"

namespace sim::trees {

// It outlives each of the processes of a run.
struct World {
  const Tree& tree;
  std::map<std::pair<size_t, std::string>, uint32_t> failed{};  // runs of a body, by its input
  std::map<size_t, int> done{}, failures{};                     // by the body
  std::string problem{};

  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
};

// The top. world: of the run that there is at the time. is_far: as the other process has it.
bt::Workflow build(const Tree& tree, World* const& world, bool is_far);

}  // namespace sim::trees
