// What the host of a tree knows beside the run, and the workflow whose bodies do what the nodes say.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/joins_tree.hpp"

namespace sim::joins {

// What the outside is going to do.
struct Action {
  enum class What { end, cancel } what = What::end;
  size_t at = 0;  // the node; of an invocation of a join, nothing
  int64_t due_ms = 0;
  uint64_t invocation = 0;
  bool retries = false;
};

// What the host knows beside the run: it outlives each of its processes.
struct World {
  const Tree& tree;
  int64_t now_ms = 0;                     // without pauses
  uint64_t progress = 0;                  // bodies begun, and what the outside did
  std::map<uint64_t, size_t> node_of{};   // by the invocation
  std::map<size_t, uint64_t> scope_of{};  // by the node, from here on
  std::map<size_t, int64_t> waits_since{};
  std::map<size_t, bt::Invocation> held{};          // in this process
  std::set<size_t> ended{};                         // the outside has ended what it waited for
  std::set<uint64_t> closed{};                      // scopes of which nothing is taken any more
  std::set<std::pair<size_t, uint64_t>> planned{};  // and what was done since
  std::vector<Action> actions{};
  bool is_sending = false;  // what the body that was begun last does is there before it has returned
  bool leaps = false;       // moments are missed
  std::string problem{};

  const Node& node(size_t at) const { return tree.nodes[at]; }
  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
  // Once for each node or invocation.
  void plan(const Action& action) {
    if (planned.insert({action.at, action.invocation}).second) actions.push_back(action);
  }
};

// A join takes this of a scope of that kind.
std::string done_type(size_t scope);
// What stands for a node.
bt::Event event_for(const World& world, size_t at);
// What the deferred body of a node gives in the end.
void give_held(World& world, bt::Ctx& ctx, size_t at);

// world: of the run that there is at the time. is_far: as the other process has it.
bt::Workflow build(const Tree& tree, World* const& world, bool is_far);

}  // namespace sim::joins
