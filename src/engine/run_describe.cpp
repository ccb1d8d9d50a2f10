// What a run looks like from outside, without stopping it: a copy under the lock, and the words outside it.
#include <optional>
#include <string>

#include "engine/run.hpp"
#include "run/run_description.hpp"

namespace blazen {

std::string Run::describe() const {
  std::optional<RunDescription> picture;  // outlives the lock
  {
    Guard guard(lock_);
    picture.emplace(this->picture());
  }
  return picture->json(workflow());
}

// Under the lock.
RunDescription Run::picture() const {
  RunDescription picture(state_, started_ || has_ended(state_) ? status_of(state_) : RunStatus::created,
                         now_ms(), date_ms());
  if (kept_.load(std::memory_order_relaxed) == 0 && lingering_ == nullptr) return picture;
  std::vector<AbandonedBody> bodies;
  const uint64_t count = put_abandoned(bodies);
  picture.add(std::move(bodies), count);
  return picture;
}

std::string Run::questions() const {
  const int64_t now = now_ms();
  const int64_t date = date_ms();
  std::optional<QuestionList> questions;
  {
    Guard guard(lock_);
    questions.emplace(state_, now, date);
  }
  return questions->json();
}

void Run::count(Runtime::Counters& counters) const noexcept {
  Guard guard(lock_);
  counters.events_routed += state_.event_id_last;
  counters.in_flight += state_.in_flight.size();
  counters.queued += state_.open - state_.in_flight.size() - state_.backing_off.size() - state_.asking.size();
  if (!started_ && !has_ended(state_)) {
    ++counters.created;
    return;
  }
  switch (status_of(state_)) {
    case RunStatus::created: ++counters.created; break;
    case RunStatus::running: ++counters.running; break;
    case RunStatus::waiting: ++counters.waiting; break;
    case RunStatus::elsewhere: ++counters.elsewhere; break;
    case RunStatus::paused: ++counters.paused; break;
    case RunStatus::asking: ++counters.asking; break;
    case RunStatus::completed: ++counters.completed; break;
    case RunStatus::failed: ++counters.failed; break;
    case RunStatus::cancelled: ++counters.cancelled; break;
  }
}

}  // namespace blazen
