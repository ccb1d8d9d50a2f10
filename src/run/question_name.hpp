// The ids of questions that were given none.
#pragma once

#include <cstdint>
#include <string>

#include "run/invocation.hpp"

namespace blazen {

struct QuestionName {
  std::string id;
  std::string instead_of;  // the id of another question, which stands in its place; empty: none does
};

// place: the number of this question among those that an execution of the invocation gives no id, from 1. The
// first one asked there is "i3.1", of invocation 3; any other that is asked there later has its digest behind
// that, so that no answer goes to another question than the one it was given to. Throws std::bad_alloc.
QuestionName name_question(const Invocation& invocation, uint64_t place, uint64_t digest);

}  // namespace blazen
