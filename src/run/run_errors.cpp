// The errors that the state machine itself makes: those that end a run, and those that refuse a question. Where there is no
// memory for one, it is that there is no memory.
#include <algorithm>
#include <new>
#include <string>

#include "base/quotes.hpp"
#include "run/rooms.hpp"
#include "run/run_description.hpp"
#include "run/summary.hpp"

namespace blazen {

Ref<Error> annotate(Ref<Error> error, std::string_view step) noexcept {
  if (error->status == Status::out_of_memory) return error;  // there is one for everybody
  try {
    error->step = step;
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
  return error;
}

// opener: whose joins would take it in their scopes; empty: no join accepts it.
Ref<Error> no_handler(const Event& event, std::string_view opener) noexcept {
  try {
    std::string message = std::string("no step accepts event '").append(event.type()).append("'");
    if (!event.source().empty()) message.append(", which step '").append(event.source()).append("' sent");
    if (!opener.empty())
      message.append(": joins take it, in the scopes that step '")
          .append(opener)
          .append("' opens, and it is in none");
    Ref<Error> error = Error::make(Status::no_handler, message);
    return event.source().empty() ? error : annotate(std::move(error), event.source());
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

[[gnu::noinline]] Ref<Error> queue_limit(const RunState& state, const Event& event) noexcept {
  try {
    std::string message = std::string("BLAZEN_LIMIT_QUEUED_EVENTS (")
                              .append(std::to_string(state.workflow->policy().limits.queued_events))
                              .append(") reached by event '")
                              .append(event.type())
                              .append("'");
    if (!event.source().empty()) message.append(" of step '").append(event.source()).append("'");
    return annotate(Error::make(Status::limit, message), event.source());
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

namespace {

// Its detail is what the run looked like.
Ref<Error> with_description(Ref<Error> error, const RunState& state, int64_t now_ms) {
  const int64_t at_ms = std::max(now_ms, state.clock.set_ms);
  const RunDescription picture(state, status_of(state), at_ms, 0, RunDescription::For::its_end);
  return picture.added_to(std::move(error), *state.workflow);
}

}  // namespace

Ref<Error> stalled(const RunState& state, int64_t now_ms) noexcept {
  try {
    const std::string& last =
        state.last_type == kUnknownType ? last_unhandled(state) : state.workflow->type_name(state.last_type);
    std::string what =
        "the run can make no progress: nothing is queued or running, and no StopEvent came; the last event "
        "was '";
    what.append(last).append("'");
    if (const std::string collects = summarize_collects(state); !collects.empty())
      what.append("; collected, and not whole: ").append(collects);
    return with_description(Error::make(Status::stalled, what), state, now_ms);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> timed_out(const RunState& state, int64_t now_ms) noexcept {
  try {
    if (step_deadline_of(state) <= state.clock.at(now_ms)) {
      const StepDefinition& step = *state.kin->step;
      Ref<Error> error =
          Error::make(Status::step_timeout,
                      "step " + in_quotes(step.name) + " timed out: its workflow did not end within its " +
                          std::to_string(step.timeout_ms) + " ms, attempt " +
                          std::to_string(state.kin->attempt) + "; open: " + summarize(state));
      return with_description(std::move(error), state, now_ms);
    }
    return with_description(
        Error::make(Status::run_timeout, "the run timed out: it did not end within its " +
                                             std::to_string(state.workflow->policy().timeout_ms) +
                                             " ms; open: " + summarize(state)),
        state, now_ms);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_conflict(std::string_view before, std::string_view id, std::string_view after) noexcept {
  try {
    return Error::make(Status::conflict, std::string(before).append(id).append(after));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_is_open(std::string_view id) noexcept {
  return question_conflict("a question '", id, "' is open already: give each its own request_id, or none");
}

Ref<Error> question_was_withdrawn(std::string_view id) noexcept {
  try {
    return Error::make(Status::cancelled,
                       std::string("the question '").append(id).append("' was withdrawn: nobody answers it"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> question_is_another(std::string_view id) noexcept {
  return question_conflict("this step has asked another question under '", id,
                           "', and an answer to that is none to this: give each its own request_id, or none");
}

}  // namespace blazen
