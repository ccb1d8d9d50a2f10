// The invariants of reduce.hpp, as one check. It costs a walk over the whole state: debug and test builds run
// it after every tick.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include "run/reduce.hpp"

namespace blazen {
namespace {

void require(bool holds, int invariant, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "blazen: invariant %d does not hold: %s\n", invariant, what);
  std::abort();
}

class Checker {
 public:
  explicit Checker(const RunState& state)
      : state_(state),
        admitted_(state.steps.size()),
        interrupted_waiting_(state.steps.size()),
        parked_(state.steps.size()) {}

  void check() {
    require_size(walk<ById>(state_.ready, Place::ready), state_.ready.size());
    require_size(walk<ById>(rare_queues(state_).parked, Place::parked), rare_queues(state_).parked.size());
    require_size(walk<ByStart>(state_.in_flight, Place::in_flight), state_.in_flight.size());
    require_size(walk<ByStart>(state_.interrupted, Place::interrupted), state_.interrupted.size());
    for (const PoolState& pool : state_.permitted.pools())
      require_size(walk<ByStart>(pool.interrupted, Place::interrupted), pool.interrupted.size());
    require_size(walk<ByStepAndStart>(rare_queues(state_).interrupted_waiting, Place::interrupted_waiting),
                 rare_queues(state_).interrupted_waiting_count);
    walk<ByStart>(rare_queues(state_).interrupted_parked, Place::interrupted_parked);
    require_size(walk<ById>(state_.asking, Place::asking), state_.asking.size());
    std::vector<uint64_t> ready(state_.permitted.pools().size() + 1);  // without a pool; of each pool
    for (const StepState& step : state_.steps) {
      if (!step.queues) continue;
      ready[step.queues->pool + 1] += walk<ById>(step.queues->ready, Place::ready);
      require_size(walk<ById>(step.queues->waiting, Place::waiting), step.queues->waiting.size());
    }
    check_pools(ready);
    for (const auto& [key, timer] : state_.timers) {
      if (key.what != TimerClass::retry) continue;
      const Invocation* item = timer.invocation;
      require(item->place == Place::backing_off && key.id == item->id && key.due_ms == item->due_ms(), 1,
              "an invocation is not where its place says");
      check_invocation(*item);
    }
    require(ids_.size() == state_.open, 1, "open does not count the invocations");
    check_ids();
    check_permits();
    check_phase();
    check_questions();
    check_children();
    check_tables();
    check_scopes();
    check_collects();
  }

 private:
  // What counts in which scope.
  void enter(MembershipIndex at) {
    if (at == 0 || has_ended(state_)) return;  // the scopes went with the end
    require(state_.scopes != nullptr, 11, "a membership without scopes");
    ++counts_[at];
    enter_scope(*state_.scopes->at(at).scope);
  }
  void enter_scope(const Scope& scope) { ++live_[&scope]; }

  void check_collects() {
    if (!state_.collects) return;
    uint64_t events = 0;
    for (const auto& [key, kinds] : state_.collects->groups()) {
      size_t here = 0;
      for (const auto& [type, kind] : kinds) here += kind.events.size();
      require(here != 0, 12, "a group that has collected nothing");
      require(key.scope == 0 || (state_.scopes && state_.scopes->find(key.scope) != nullptr), 12,
              "a group of no scope");
      events += here;
    }
    for (const auto& [at, group] : state_.collects->whole()) {
      require(std::binary_search(ids_.begin(), ids_.end(), at.first), 12, "a whole group of nobody");
      events += group->arrived.size();
    }
    require(events == state_.collects->count, 12, "count does not count what is collected");
  }

  // ready: of the steps without a pool, then of each pool.
  void check_pools(const std::vector<uint64_t>& ready) {
    const std::span<const PoolState> pools = state_.permitted.pools();
    std::vector<uint64_t> used(pools.size());
    state_.in_flight.walk([&](const Invocation* item) {
      const PoolIndex pool = state_.workflow->pool_of(item->step);
      const bool keeps = !has_ended(state_) || state_.workflow->steps()[item->step].abandoned_keeps_permit;
      if (pool != kNoPool && keeps) ++used[pool];
      return true;
    });
    for (StepIndex step = 0; step < state_.steps.size(); ++step) {
      const PoolIndex pool = state_.workflow->pool_of(step);
      if (pool != kNoPool) used[pool] += state_.steps[step].abandoned;
    }
    uint64_t granted = 0;
    for (PoolIndex i = 0; i < pools.size(); ++i) {
      const PoolState& pool = pools[i];
      granted += pool.granted;
      require(pool.ready.size() == ready[i + 1], 1, "a pool lost count");
      require(pool.granted <= (starts_steps(state_) ? pool.wanted() : 0), 13, "a permit that nobody can use");
      // Of attempts that were abandoned before the end, the run keeps no count beyond it.
      require(has_ended(state_) ? pool.used >= used[i] : pool.used == used[i], 13,
              "used does not count the bodies");
    }
    require_size(ready[0] + granted, state_.permitted.size());
  }

  static uint64_t count_arrived(const KeyedGroups& keyed) {
    uint64_t count = 0;
    for (size_t place = 0; place < keyed.size(); ++place) {
      const KeyedGroups::Entry& entry = keyed.entries()[place];
      require(keyed.find(keyed.correlation(entry)) == &entry, 11, "a correlation is not where it is found");
      require(!entry.group || entry.group->place == place, 11, "a group is not in its place");
      count += entry.group ? entry.group->arrived.size() : 0;
    }
    return count;
  }

  // Counted again, from nothing.
  void check_scopes() {
    if (!state_.scopes) return;
    const Scopes& scopes = *state_.scopes;
    for (const auto& [key, timer] : state_.timers) {
      if (key.what == TimerClass::delay) enter(timer.membership);
    }
    for (const Question& question : state_.questions) enter(question.membership);
    uint64_t collected = 0;
    for (const auto& [id, scope] : scopes.all()) {
      require(id == scope->id && id <= scopes.id_last, 11, "a scope without its id");
      require(scope->parent == nullptr || scope->parent->id < id, 11, "a scope before its parent");
      if (scope->in_parent != 0) enter(scope->in_parent);
      require(scope->closed || scope->parent == nullptr || scope->in_parent != 0, 11,
              "an open scope does not count in its parent");
      for (const ScopeJoin& join : scope->joins) {
        require(!join.closed || (join.first == nullptr && !join.keyed), 11, "a closed join has groups");
        if (join.group) collected += join.group->arrived.size();
        if (join.keyed) collected += count_arrived(*join.keyed);
      }
    }
    for (const auto& [invocation, group] : scopes.all_delivered()) {
      require(std::binary_search(ids_.begin(), ids_.end(), invocation), 11, "a group of nobody");
      collected += group->arrived.size();
    }
    require(collected == scopes.collected, 11, "collected does not count the events of groups");
    for (const auto& [id, scope] : scopes.all()) {
      require(scope->live == live_[scope.get()], 11, "live does not count what is in a scope");
      require(scope->live != 0 || (scope->closed && scope->records != 0), 11, "a scope that is over is open");
    }
    for (const auto& [at, count] : counts_)
      require(scopes.at(at).count == count, 11, "a membership does not count who has it");
  }

  // How many there are.
  template <class Order, class Queue>
  size_t walk(const Queue& queue, Place place) {
    size_t count = 0;
    const Invocation* previous = nullptr;
    queue.walk([&](const Invocation* item) {
      require(item->place == place, 1, "an invocation is not where its place says");
      require(previous == nullptr || Order::before(*previous, *item), 2, "a queue is out of order");
      check_invocation(*item);
      previous = item;
      ++count;
      return true;
    });
    return count;
  }

  static void require_size(size_t found, size_t size) noexcept {
    require(found == size, 1, "a queue lost count");
  }

  void check_invocation(const Invocation& item) {
    ids_.push_back(item.id);
    enter(item.event->membership);
    if (state_.scopes && state_.scopes->opened_by(item.id) != nullptr)
      enter_scope(*state_.scopes->opened_by(item.id));
    require(item.event && item.event->id != 0 && item.event->id <= state_.event_id_last, 3,
            "an event without an id");
    const bool is_parked = item.place == Place::parked || item.place == Place::interrupted_parked;
    const bool waits = item.place == Place::backing_off || item.place == Place::asking;
    require(waits || state_.workflow->steps()[item.step].elsewhere() == is_parked, 5,
            "parked, and the step is here");
    if (is_parked) {
      ++parked_[item.step];
    } else if (item.place == Place::interrupted_waiting) {
      ++interrupted_waiting_[item.step];
    } else if (item.place != Place::waiting && !waits) {
      ++admitted_[item.step];
    }
    const size_t repeated = item.journal ? item.journal->repeated : 0;
    require(repeated == 0 || repeated <= item.journal->made.size(), 8,
            "more effects repeated than there are");
    require(repeated == 0 || item.place == Place::in_flight, 8, "effects repeated by one that does not run");
    if (!item.journal) return;
    for (const Journal::Answer& answer : item.journal->answers())
      require(item.journal->asked.find(answer.request_id) != nullptr, 10,
              "an answer to what nobody has asked");
  }

  void check_ids() {
    std::sort(ids_.begin(), ids_.end());
    require(std::adjacent_find(ids_.begin(), ids_.end()) == ids_.end(), 3, "an invocation id twice");
    require(ids_.empty() || (ids_.front() != 0 && ids_.back() <= state_.invocation_id_last), 3,
            "an id not given yet");
  }

  void check_permits() {
    uint64_t abandoned = 0;
    std::vector<uint64_t> hosting(
        state_.steps.size());  // more children than permits may have come from a snapshot
    if (state_.kin) {
      state_.kin->children.each([&hosting](const Kin& child) { ++hosting[child.host->step]; });
    }
    for (StepIndex i = 0; i < state_.steps.size(); ++i) {
      const StepState& step = state_.steps[i];
      const StepDefinition& definition = state_.workflow->steps()[i];
      const bool has_any = definition.concurrency_max != 0 || definition.pool.empty();
      const uint32_t permits = has_any ? definition.concurrency_max : UINT32_MAX;
      const uint64_t given = uint64_t{step.admitted} + step.abandoned;
      abandoned += step.abandoned;
      require(step.permits == permits, 4, "permits is not what the workflow says");
      require(has_ended(state_) || step.admitted == admitted_[i], 4, "admitted does not count the permits");
      require(permits == 0 ? step.abandoned == 0
                           : has_ended(state_) || given <= std::max<uint64_t>(permits, hosting[i]),
              4, "more permits than there are");
      require(step.parked == parked_[i], 5, "parked does not count");
      require((permits != 0) == (step.queues != nullptr), 4, "queues of a step that needs no permits");
      if (!step.queues) {
        require(interrupted_waiting_[i] == 0, 4, "waiting where no permit is needed");
        continue;
      }
      const PermitQueues& queues = *step.queues;
      require((queues.place != 0) == !queues.ready.empty(), 4, "a step is not where its ready ones say");
      const Invocation* later = queues.ready.last();
      const Invocation* waiting = queues.waiting.front();
      require(later == nullptr || waiting == nullptr || later->id < waiting->id, 4,
              "one that waits would come first");
      const bool waits = !queues.waiting.empty() || interrupted_waiting_[i] != 0;
      require(!waits || given >= permits, 4, "waiting beside a free permit");
    }
    require(abandoned == state_.abandoned, 4, "abandoned is not the sum");
    require(abandoned == 0 || state_.phase == Phase::running, 4, "permits kept beyond the end");
  }

  void check_phase() {
    const size_t queued = ids_.size() - state_.in_flight.size();
    const bool running = state_.phase == Phase::running;
    require(running || queued == 0, 6, "queued beyond the end or before the start");
    require(static_cast<bool>(state_.result) == (state_.phase == Phase::completed), 6,
            "result without completion");
    require(static_cast<bool>(state_.error) == (state_.phase > Phase::completed), 6, "error without failure");
    const bool may_move = !ids_.empty() || !state_.timers.empty() || !state_.questions.empty();
    require(
        !running || may_move || state_.pause != Pause::none || state_.workflow->policy().idle == Idle::wait,
        7, "a run that hangs");
    require(running || (state_.timers.empty() && state_.questions.empty() && state_.pause == Pause::none), 6,
            "timers, questions or a pause beyond the end");
  }

  void check_questions() {
    std::vector<std::string_view> ids;
    size_t called_back = 0;
    size_t timed = 0;
    for (const Question& question : state_.questions) {
      ids.push_back(question.request->correlation());
      called_back += question.calls_back ? 1 : 0;
      timed += question.deadline ? 1 : 0;
      require(question.asker == nullptr || question.asker->place != Place::free, 10,
              "nobody asks a question");
      require(question.asker == nullptr || question.asker->place != Place::backing_off, 10,
              "one that failed asks still");
      require(state_.questions.find(question.request->correlation()) == &question, 10,
              "a question is not found");
      require(question.asker == nullptr || question.asker->journal->asked.find(ids.back()) != nullptr, 10,
              "who asks does not know it");
    }
    std::sort(ids.begin(), ids.end());
    require(std::adjacent_find(ids.begin(), ids.end()) == ids.end(), 10, "two questions of one id");
    size_t asking = 0;
    size_t expected = 0;
    state_.in_flight.walk([&](const Invocation* item) {
      if (!item->journal) return true;
      asking += is_asking_in_flight(*item) ? 1 : 0;
      expected += item->journal->called_back;
      return true;
    });
    if (has_ended(state_)) return;
    size_t deadlines = 0;
    state_.deadlines.walk([&](const DeadlineKey& key, const Deadline& deadline) {
      if (key.what == DeadlineClass::join) {
        require(deadline.scope->joins[key.place].due_ms == key.due_ms && deadline.scope->id == key.id, 11,
                "a deadline is not that of its join");
        return;
      }
      require(deadline.question->deadline->due_ms == key.due_ms && deadline.question->request->id == key.id,
              10, "a deadline is not that of its question");
      ++deadlines;
    });
    require(deadlines == timed, 10, "deadlines lost count");
    require(asking + hosting(state_) == state_.in_flight_idle && expected == called_back, 10,
            "in_flight_idle lost count");
  }

  void check_children() {
    if (!state_.kin) return;
    Kin counted;
    size_t children = 0;
    state_.kin->children.each([&](const Kin& child) {
      ++children;
      require(child.host->id == child.host_id && child.host->place == Place::in_flight &&
                  child.host->has_returned,
              14, "a child has no invocation that hosts it");
      require(child.state->kin.get() == &child && child.top == &top_of(state_) &&
                  child.attempt == child.host->attempt,
              14, "a child is that of another");
      if (uint32_t* counter = counted.count_of(child.status)) ++*counter;
    });
    require(children == state_.kin->children.size(), 14, "children lost count");
    require(!has_ended(state_) || (state_.kin->children.empty() && state_.kin->kept.empty()), 14,
            "a run that has ended has children");
    require(counted.running == state_.kin->running && counted.elsewhere == state_.kin->elsewhere &&
                counted.asking == state_.kin->asking,
            14, "children lost count");
  }

  void check_tables() {
    if (!state_.state) return;
    std::vector<uint64_t> versions;
    for (const KeyTable::Entry& entry : state_.state->entries()) {
      require(entry.value->tag() != Tag::live, 9, "a LIVE value in the state");
      versions.push_back(entry.version);
    }
    std::sort(versions.begin(), versions.end());
    require(std::adjacent_find(versions.begin(), versions.end()) == versions.end(), 9, "a version twice");
    require(versions.empty() || versions.back() <= state_.write_last, 9, "a version not given yet");
  }

  const RunState& state_;
  std::map<const Scope*, uint64_t> live_;
  std::map<MembershipIndex, uint32_t> counts_;
  std::vector<uint64_t> ids_;
  std::vector<uint32_t> admitted_;
  std::vector<uint32_t> interrupted_waiting_;
  std::vector<uint32_t> parked_;
};

}  // namespace

// It allocates; where that fails, this tick goes unchecked.
void check_invariants(const RunState& state) noexcept {
  try {
    Checker(state).check();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
  }
}

}  // namespace blazen
