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
  bool leapt = false;          // several moments have passed at once: that it ends is all that one can say
};

// Serves all the trees.
struct Machine {
  bt::FakeClock clock;
  bt::Engine engine{bt::Way::pump, &clock};
};

struct World;

// Runs one tree, one run after another.
class Runner {
 public:
  Runner(Machine& machine, const Tree& tree);
  // trace: what the host does, and when; null: nobody wants to know.
  Outcome run(uint64_t seed, bool cuts, std::string* trace = nullptr);

 private:
  Machine& machine_;
  const Tree& tree_;
  World* world_ = nullptr;  // of the run that there is now
  bt::Workflow workflows_[2];
};

}  // namespace sim::joins
