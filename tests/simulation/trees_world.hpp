// What the host of a tree of workflows knows beside the run, and the workflows whose bodies do what the tree says.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "simulation/trees.hpp"
#include "support/blazen_test.hpp"

namespace sim::trees {

// An event that comes from outside at any time, for flows that have bodies of their own.
inline constexpr const char* kPoke = "Poke";
inline bool takes_pokes(const Flow& flow) {
  return !flow.is_pipeline && std::any_of(flow.parts.begin(), flow.parts.end(), [](const Part& part) {
    return part.kind != Kind::child && part.kind != Kind::children;
  });
}

// A body that has returned, and is completed by the host: in its process, or never.
struct Held {
  bt::Invocation invocation;
  const Work& work;
  std::string input;
  bool fails;
  std::function<void(bt::Ctx&)> give;
};

// It outlives each of the processes of a run.
struct World {
  const Tree& tree;
  std::map<std::pair<size_t, std::string>, uint32_t> failed{};  // runs of a body, by its input
  std::map<size_t, int> done{}, failures{};                     // by the body
  int poked = 0;                                                // events from outside that were taken inside
  std::vector<std::shared_ptr<Held>> held{};
  std::string problem{};

  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
};

// What the host of a deferred body does, in the end.
void complete(World& world, const Held& held);

// The top. world: of the run that there is at the time. is_far: as the other process has it.
bt::Workflow build(const Tree& tree, World* const& world, bool is_far);

}  // namespace sim::trees
