// JSON of the host's that the engine puts inside some of its own: an answer, a question's metadata, a
// failure's detail. What comes out is a value like any other, and keeps the bounds of values.
#pragma once

#include <string>
#include <string_view>

#include "value/error.hpp"

namespace blazen {

// Null: it may be put inside. what: how the caller knows it. Throws std::bad_alloc.
Ref<Error> check_nested(std::string_view what, std::string_view json);
// The detail of a failure as a member of a StepFailedEvent, with a comma before it; of one that cannot stand there, why.
// Empty: it has none. Throws std::bad_alloc.
std::string detail_member(const Error& error);

}  // namespace blazen
