// What a run looks like from outside, without stopping it: a copy under the lock, and the words outside it.
#include <optional>
#include <string>

#include "engine/run.hpp"
#include "run/run_description.hpp"

namespace blazen {

std::string Run::describe() const {
  std::optional<RunDescription> description;  // outlives the lock
  {
    Guard guard(lock());
    description.emplace(this->description(guard));
  }
  return description->json(workflow());
}

RunDescription Run::description(Locked locked) const {
  RunDescription description(state(),
                             life_.started || has_ended(state()) ? status_of(state()) : RunStatus::created,
                             now_ms(), date_ms());
  if (kept_.load(std::memory_order_relaxed) == 0 && bodies_.lingering == nullptr) return description;
  std::vector<AbandonedBody> bodies;
  const uint64_t count = put_abandoned(locked, bodies);
  description.add(std::move(bodies), count);
  return description;
}

namespace {

// Of runs that are kept for elsewhere, wherever in the tree.
void add_kept(const RunState& state, int64_t date_ms, QuestionList& questions) {
  if (!state.kin) return;
  for (const auto& [id, kept] : state.kin->kept) questions.add_kept(kept, date_ms);
  state.kin->children.each([&](const Kin& child) { add_kept(*child.state, date_ms, questions); });
}

}  // namespace

std::string Run::questions() const {
  const int64_t now = now_ms();
  const int64_t date = date_ms();
  std::optional<QuestionList> questions;
  {
    Guard guard(lock());
    questions.emplace(state(), now, date);
    const Kinship::Family* family = this->family();
    if (family != nullptr) {
      family->asking.walk([&](const Kinship* asking) {
        questions->add(asking->run->state(), now, date);
        return true;
      });
    }
    add_kept(state(), date, *questions);
  }
  return questions->json();
}

uint64_t Run::events_routed() const noexcept {
  const Kinship::Family* family = this->family();
  return state().event_id_last + (family == nullptr ? 0 : family->counts.events);
}

void Run::count(RuntimeCounters& counters) const noexcept {
  Guard guard(lock());
  counters.events_routed += events_routed();
  // One that has ended may be in the list a moment longer: what is in flight there counts no more.
  if (!has_ended(state())) counters.in_flight += state().in_flight.size() - hosting(state());
  counters.queued += waiting_work(state());
  if (const Kinship::Family* family = this->family()) {
    counters.in_flight += family->counts.in_flight;
    counters.queued += family->counts.queued;
  }
  if (!life_.started && !has_ended(state())) {
    ++counters.created;
    return;
  }
  switch (status_of(state())) {
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
