// The steps that a step is made of: one that is a workflow, or several, and whose input or output a decision of the host
// makes, is written out as steps of its own when the workflow is built. So routing, retries, time-outs, scopes, permits and
// snapshots know nothing of it.
//
//   one child         <name>::input -> <name> -> <name>::output
//   several at once   <name>::input -> <name>::branches -> <name>[<branch>] ... -> <name>, which joins them
//
// A decision that was not asked for is not there.
#pragma once

#include <string>
#include <vector>

#include "run/workflow.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::vector<StepDefinition> write_out_parts(const std::vector<StepDefinition>& steps);
// Empty, or what is wrong with such a step by itself. Throws std::bad_alloc.
std::string find_bad_parts(const StepDefinition& step);

}  // namespace blazen
