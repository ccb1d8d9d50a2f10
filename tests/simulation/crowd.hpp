// Several runs at once in one runtime: one step of one of them at a time, in an order drawn from the seed, or
// on engine threads. Each may be paused, and go on from a snapshot in the same runtime, while the others go
// on.
//
// Invariants: what is compared does not depend on the order in which steps run. Time passes only when no run
// has anything else to do, so that no time-out of a step comes into it.
#pragma once

#include <string>
#include <vector>

#include "simulation/driver.hpp"

namespace sim {

// first: the snapshot that each begins with. One result for each plan.
std::vector<Result> run_crowd(uint64_t seed, bool has_threads, const std::vector<Plan>& plans,
                              const std::vector<std::string>& first, Objects& objects);

}  // namespace sim
