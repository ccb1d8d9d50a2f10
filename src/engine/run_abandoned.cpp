// Bodies whose outcome counts no more: the time of their attempt is up, or their run has ended, and the host
// has not returned from them. Nobody can end them, so they are counted as what they are: each is at work, has
// a thread, and maybe a permit of its step, until it is back.
//
// Invariants: `kept_` counts the calls of this run with is_kept_, each the call of one of the workers; the
// runtime counts them all. A run that has ended with some is in the runtime's list until the last is back.
// `bodies_.lingering` are abandoned calls whose bodies are back and which their host has deferred: they keep no
// thread, and maybe a permit, until they are completed or their invocation is released.
#include <new>
#include <string>

#include "base/quotes.hpp"
#include "base/scope.hpp"
#include "engine/run.hpp"

namespace blazen {

namespace {

std::string words_for(const StepDefinition& step, uint32_t attempt) {
  return "step " + in_quotes(step.name) + ", attempt " + std::to_string(attempt);
}

}  // namespace

void Run::add_worker(Locked, AtWork& worker) noexcept {
  AtWork*& first = top().bodies_.at_work;  // those of a tree are together
  worker.next = first;
  if (first != nullptr) first->previous = &worker;
  first = &worker;
}

void Run::remove_worker(Locked, AtWork& worker) noexcept {
  (worker.previous != nullptr ? worker.previous->next : top().bodies_.at_work) = worker.next;
  if (worker.next != nullptr) worker.next->previous = worker.previous;
}

Run::AtWork* Run::find_at_work(Locked, const Call& call) const noexcept {
  AtWork* worker = top().bodies_.at_work;
  while (worker != nullptr && worker->call != &call) worker = worker->next;
  return worker;
}

// Under the lock. From now on, what this body does counts no more.
void Run::keep_body(Locked locked, Call& call, Notifications& notifications) noexcept {
  const AtWork* worker = find_at_work(locked, call);
  if (worker == nullptr || call.is_kept_) return;
  call.is_kept_ = true;
  top().kept_.fetch_add(1, std::memory_order_relaxed);
  runtime_->count_kept(1);
  call.keeps_hand_ = worker->hand == Hand::own;
  if (call.keeps_hand_) runtime_->executor().hand_kept();
  notifications.kept = true;
  notifications.more = true;
}

// Under the lock: the run has ended.
void Run::keep_bodies(Locked locked, Notifications& notifications) noexcept {
  for (AtWork* worker = top().bodies_.at_work; worker != nullptr; worker = worker->next) {
    Call* const call = worker->call;
    if (call != nullptr && call->run_ == this && !call->returned_) keep_body(locked, *call, notifications);
  }
}

// Under the lock: the body has returned.
void Run::come_back(Locked, Call& call, Notifications& notifications) noexcept {
  call.is_kept_ = false;
  top().kept_.fetch_sub(1, std::memory_order_relaxed);
  runtime_->count_kept(-1);
  if (std::exchange(call.keeps_hand_, false)) runtime_->executor().hand_came_back();
  notifications.came_back = true;
  notifications.more = true;
  if (!std::exchange(call.is_told_, false) || !runtime_->log().hears(LogLevel::info)) return;
  try {
    note_for_log(LogLevel::info, Error::make(Status::cancelled, words_for(*call.step_, call.attempt_)),
                 ", has returned at last", notifications);
  } catch (const std::bad_alloc&) {
    note_for_log(LogLevel::info, nullptr, "an abandoned body has returned at last", notifications);
  }
}

// Under the lock: somebody may complete it, which will come to nothing.
void Run::linger(Locked, Call& call) noexcept {
  if (std::exchange(call.lingers_, true)) return;
  call.previous_listed_ = nullptr;
  call.next_listed_ = bodies_.lingering;
  if (bodies_.lingering != nullptr) bodies_.lingering->previous_listed_ = &call;
  bodies_.lingering = &call;
}

// Under the lock: an abandoned call whose body is back, and that nobody completes any more. Its permit is
// free.
void Run::let_go_abandoned(Locked locked, Call& call, Commands& commands,
                           Notifications& notifications) noexcept {
  if (std::exchange(call.lingers_, false)) {
    (call.previous_listed_ != nullptr ? call.previous_listed_->next_listed_ : bodies_.lingering) =
        call.next_listed_;
    if (call.next_listed_ != nullptr) call.next_listed_->previous_listed_ = call.previous_listed_;
  }
  // Beyond the end, nobody waits for a permit of its step, but others may for one of its pool.
  if (!std::exchange(call.keeps_permit_, false) || (has_ended(state()) && call.step_->pool.empty())) return;
  Tick tick{Tick::Kind::abandoned_returned};
  tick.step = index_of(*call.step_);
  this->tick(locked, tick, commands, notifications);
}

// Without the lock, from body to body; that of this thread, which has ended its run itself, does not hang.
// Who was told to stop should stop; who is cut short by an ordinary end of the run may need a moment.
void Run::tell_kept() const noexcept {
  for (;;) {
    const StepDefinition* step = nullptr;
    Ref<Run> run;  // its workflow has the step
    uint32_t attempt = 0;
    bool is_late = false;
    bool is_told_to_stop = false;
    {
      Guard guard(lock());
      Call* const call = find_untold(guard);
      if (call == nullptr) return;
      call->is_told_ = true;
      step = call->step_;
      run = Ref<Run>::share(call->run_);
      attempt = call->attempt_;
      is_late = call->abandoned_.load(std::memory_order_relaxed);
      const RunState& its = run->state();
      is_told_to_stop =
          is_late || its.phase == Phase::cancelled || (its.error && its.error->status == Status::run_timeout);
    }
    const LogLevel level = is_told_to_stop ? LogLevel::warning : LogLevel::info;
    try {
      tell_log(level, words_for(*step, attempt),
               is_late ? ", is still at work, its attempt counts no more, and it keeps its thread"
                       : ", is still at work, the run has ended, and it keeps its thread");
    } catch (const std::bad_alloc&) {
      tell_log(level, "an abandoned body is still at work, and keeps its thread");
    }
    if (is_inherited()) return;
  }
}

// Under the lock.
Call* Run::find_untold(Locked) const noexcept {
  for (const AtWork* worker = bodies_.at_work; worker != nullptr; worker = worker->next) {
    Call* const call = worker->call;
    if (call != nullptr && call->is_kept_ && !call->is_told_ && !worker->scope.is_here()) return call;
  }
  return nullptr;
}

void Run::add_stuck(StuckBodies& bodies) const {
  struct Stuck {
    Ref<Run> run;
    AbandonedBody body;
  };
  std::vector<Stuck> mine;
  {
    Guard guard(lock());
    const int64_t now = now_ms();
    for (const AtWork* worker = bodies_.at_work; worker != nullptr; worker = worker->next) {
      if (worker->call == nullptr || !worker->call->is_kept_) continue;
      const Call& call = *worker->call;
      const uint32_t began_ms = call.invocation_ == nullptr ? call.began_ms_ : call.invocation_->began_ms;
      mine.push_back(
          {Ref<Run>::share(call.run_),
           {call.invocation_id_, call.run_->index_of(*call.step_), call.attempt_,
            Ref<Event>::share(call.event_), passed_since(began_ms, now), true, call.keeps_permit_}});
    }
  }
  for (const Stuck& stuck : mine) bodies.add(stuck.run->id(), stuck.run->workflow(), stuck.body);
}

// Under the lock.
uint64_t Run::put_abandoned(Locked, std::vector<AbandonedBody>& bodies) const {
  uint64_t count = 0;
  const int64_t now = now_ms();
  const auto put = [&](const Call& call, bool is_at_work) {
    if (++count > RunDescription::kListedMax) return;
    bodies.push_back({call.invocation_id_, index_of(*call.step_), call.attempt_, call.event_kept_,
                      passed_since(call.began_ms_, now), is_at_work, call.keeps_permit_});
  };
  for (const AtWork* worker = top().bodies_.at_work; worker != nullptr; worker = worker->next) {
    if (worker->call == nullptr || !worker->call->is_kept_ || worker->call->run_ != this) continue;
    if (worker->call->abandoned_.load(std::memory_order_relaxed)) put(*worker->call, true);
  }
  for (const Call* call = bodies_.lingering; call != nullptr; call = call->next_listed_) put(*call, false);
  return count;
}

}  // namespace blazen
