// What a run of a tree of workflows comes to, by a model that shares nothing with the engine: it knows of no run, event,
// scope or tick, but evaluates each flow in terms of its parts, and says when.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "simulation/trees.hpp"

namespace sim::trees {

// How often something happens; not the same where it depends on the order within a moment.
struct Range {
  int least = 0;
  int most = 0;
};

// By the ids of the bodies.
enum class What { begun, done, asked, failed };

struct Expected {
  std::string end;        // the result, or the innermost cause
  bool is_open = false;   // or something else: it depends on the order within a moment
  bool is_timed = false;  // it depends on when things happen, at all
  std::map<size_t, Range> counts[4]{};
};

// Models that are wrong: the simulator has to notice.
enum class Fault {
  none,
  keeps_child,     // a step that is tried again goes on with its child
  first_declared,  // the first success is the one that was declared first
  skips_to_null,   // a stage that is skipped gives null
  repeats_input,   // each round of a loop gets what the first one got
  loses_one,       // a join misses an event
  never_cancels    // what has lost goes on
};
inline constexpr Fault kFaults[] = {Fault::keeps_child,   Fault::first_declared, Fault::skips_to_null,
                                    Fault::repeats_input, Fault::loses_one,      Fault::never_cancels};

Expected expect(const Tree& tree, Fault fault = Fault::none);

}  // namespace sim::trees
