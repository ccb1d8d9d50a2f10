#include "run/find_invocation.hpp"

namespace blazen {

Invocation* find_invocation(const RunState& state, uint64_t id) noexcept {
  Invocation* found = nullptr;
  const auto look_through = [&](const auto& queue) {
    if (found != nullptr) return;
    queue.walk([&](const Invocation* item) {
      if (item->id == id) found = const_cast<Invocation*>(item);
      return found == nullptr;
    });
  };
  look_through(state.in_flight);
  look_through(state.interrupted);
  look_through(rare_queues(state).interrupted_waiting);
  look_through(rare_queues(state).interrupted_parked);
  look_through(state.ready);
  look_through(rare_queues(state).parked);
  look_through(state.asking);
  for (const StepState& step : state.steps) {
    if (!step.queues) continue;
    look_through(step.queues->ready);
    look_through(step.queues->waiting);
  }
  for (const auto& [key, timer] : state.timers) {
    if (found != nullptr) break;
    if (timer.invocation != nullptr && timer.invocation->id == id) found = timer.invocation;
  }
  return found;
}

}  // namespace blazen
