// What a workflow looks like from outside, as JSON.
#pragma once

#include <string>

#include "run/workflow.hpp"

namespace blazen {

// All that was declared, and what follows of it, as the public header says. The same workflow gives the same text.
// Throws std::bad_alloc.
std::string describe_workflow(const Workflow& workflow);

}  // namespace blazen
