// A workflow as a graph, in the text of a program that draws: steps are its nodes, the types of events its edges.
#pragma once

#include <cstdint>
#include <string>

#include "run/workflow.hpp"

namespace blazen {

// As the public header numbers them.
enum class DrawFormat : int32_t { mermaid = 1, dot = 2 };

// The same workflow gives the same text. Status::limit for one that nobody could look at. Throws std::bad_alloc.
Result<std::string> draw_workflow(const Workflow& workflow, DrawFormat format);

}  // namespace blazen
