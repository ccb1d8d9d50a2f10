// A run of a tree of workflows, a step at a time, by a host that answers its questions in time and, where it cuts, takes it
// through pauses, snapshots and processes at random moments.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "simulation/trees_model.hpp"
#include "simulation/trees_world.hpp"

namespace sim::trees {

struct Outcome {
  std::string end;  // as Expected has it
  std::map<size_t, int> counts[4]{};
  std::string problem;  // empty, or what went wrong on the way
};

// What is done to a run.
struct Cuts {
  int percent = 0;         // of the polls after which it is interrupted
  bool leaps = false;      // moments are missed: not where it matters when things happen
  bool is_dated = true;    // time may pass between two processes, and counts
  bool is_broken = false;  // the host goes on from an old snapshot, once: the simulator has to notice
};

// Runs one tree, one run after another.
class Runner {
 public:
  explicit Runner(const Tree& tree);
  // trace: what the host does, and when; null: nobody wants to know.
  Outcome run(uint64_t seed, const Cuts& cuts, std::string* trace = nullptr);

 private:
  const Tree& tree_;
  World* world_ = nullptr;  // of the run that there is now
  bt::Workflow workflows_[2];
};

}  // namespace sim::trees
