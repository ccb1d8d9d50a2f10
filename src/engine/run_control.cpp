// How a run is steered from outside: pause, questions and answers, time, cancellation of what takes too long.
#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/nested_json.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/scope.hpp"
#include "engine/visit.hpp"

namespace blazen {
namespace {

std::string json_text(std::string_view text) { return nlohmann::json(text).dump(); }

// What InputResponseEvent carries: the answer inside an object, where it is JSON.
Ref<Value> response_value(std::string_view request_id, const Ref<Value>& answer) {
  if (answer->tag() != Tag::json) return answer;
  const std::string_view data = answer->data();
  std::string text = "{\"request_id\":" + json_text(request_id) + ",\"response\":";
  return Value::copy(Tag::json, text.append(data).append("}"));
}

Ref<Error> no_question(std::string_view request_id) {
  return Error::make(Status::not_found, "request_id: no question " + in_quotes(request_id) +
                                            " is open: it is unknown, or was answered");
}

}  // namespace

// ---------------------------------------------------------------------------------------------- pause, abort

void Run::abort() noexcept { end(Phase::cancelled, Error::make(Status::aborted, "the run was aborted")); }

Ref<Error> Run::pause(Pause how) noexcept {
  Tick tick{Tick::Kind::pause};
  tick.pause = how;
  tick.clears_session = workflow().policy().clears_session;
  return steer(tick);
}

Ref<Error> Run::unpause() noexcept {
  Tick tick{Tick::Kind::unpause};
  return steer(tick);
}

Ref<Error> Run::steer(Tick& tick) noexcept {
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (state_.phase == Phase::created) return Error::make(Status::wrong_state, "the run was not started yet");
  if (tick.kind == Tick::Kind::unpause && state_.pause == Pause::none) return nullptr;
  if (started_) tick.now_ms = tick.kind == Tick::Kind::pause ? now_ms() : begin_ms();
  tick.date_ms = date_ms();
  ends_pause_ = false;  // what the host says since the resume holds
  this->tick(tick, visit.commands, visit.notices);
  if (started_ && !has_ended(state_)) rearm(visit.notices);
  offer(visit.notices);
  visit.leave();
  return nullptr;
}

// ------------------------------------------------------------------------------------------------- questions

Result<QuestionName> Run::name_question(const Call& call, uint64_t place, uint64_t digest) {
  Guard guard(lock_);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  return blazen::name_question(*call.invocation_, place, digest);
}

Ref<Error> Run::ask(Call& call, Tick& tick, AnswerCallbacks::node_type callback,
                    Ref<Value>& answer) noexcept {
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (call.abandoned_) return call.check_open();
  tick.invocation = call.invocation_;
  tick.now_ms = begin_ms();
  tick.date_ms = date_ms();
  if (!this->tick(tick, visit.commands, visit.notices)) return Error::out_of_memory();
  if (visit.commands.status == Status::pending && !callback.empty()) {
    call.extras_->on_answer.insert(std::move(callback));
    call.invocation_->effects->call = &call;
    if (call.timed_) set_timer(call, tick.now_ms, visit.notices);
    list(call);
  }
  answer = visit.commands.rare().answer;
  offer(visit.notices);
  return visit.leave();
}

Ref<Error> Run::respond(std::string_view request_id, Ref<Value> answer) {
  if (answer->tag() == Tag::json) {
    if (Ref<Error> error = check_nested("answer", answer->data())) return error;
  }
  Output response{Event::make(kInputResponse, response_value(request_id, answer), {}, request_id),
                  kInputResponseType};
  Tick tick{Tick::Kind::respond, false, nullptr, {&response, 1}};
  tick.value = std::move(answer);
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  tick.now_ms = started_ ? begin_ms() : 0;
  tick.date_ms = date_ms();
  if (!this->tick(tick, visit.commands, visit.notices)) return Error::out_of_memory();
  if (visit.commands.status == Status::not_found) return no_question(request_id);
  if (visit.commands.answered != nullptr)
    hand_over_answer(*visit.commands.answered, request_id, visit.notices);
  offer(visit.notices);
  return visit.leave();
}

Ref<Error> Run::fail_question(std::string_view request_id, Ref<Error> cause) {
  Tick last{Tick::Kind::end};
  last.phase = Phase::failed;
  last.error = std::move(cause);
  Visit visit(*this);
  if (has_ended(state_)) return ended_before();
  if (state_.questions.find(request_id) == nullptr) return no_question(request_id);
  tick(last, visit.commands, visit.notices);
  return visit.leave();
}

// Those that a handler was not given are the last ones.
bool Run::wants_input() const noexcept {
  Guard guard(lock_);
  if (has_ended(state_) || (input_ && !started_)) return false;  // the start hands them out
  const Question* last = state_.questions.last();
  return last != nullptr && !last->handed_out;
}

// Under the lock: the callback of the body that waits for it.
void Run::hand_over_answer(const Invocation& invocation, std::string_view request_id,
                           Notices& notices) noexcept {
  Call* call = invocation.effects->call;
  if (call == nullptr) return;
  const auto& answers = invocation.effects->answers;
  const auto [first, last] = call->extras_->on_answer.equal_range(request_id);
  for (auto waiting = first; waiting != last; ++waiting) {
    waiting->second->answer = answers.back().value;
    notices.answered.add(std::move(waiting->second));
  }
  call->extras_->on_answer.erase(first, last);
  if (call->step_->timeout_ms != 0) set_timer(*call, begin_ms(), notices);  // its time begins again
  notices.answered_call = Ref<Call>::share(call);
  notices.more = true;
}

// Under the lock: what was asked in this tick, or all of it where the run has just begun in this process.
void Run::hand_out_requests(Notices& notices) noexcept {
  if (!input_ || !started_) return;
  // The new ones are the last ones.
  size_t count = 0;
  Question* first = nullptr;
  for (Question* at = state_.questions.last(); at != nullptr && !at->handed_out; at = at->previous()) {
    first = at;
    ++count;
  }
  try {
    notices.requests.reserve(notices.requests.size() + count);
  } catch (const std::bad_alloc&) {
    return;  // they stay open, and are handed out with the next one
  }
  for (; first != nullptr; first = first->next()) {
    first->handed_out = true;
    notices.requests.push_back(first->request);
  }
  if (!notices.requests.empty()) lend(notices);
  notices.more = true;
}

// Without a lock.
void Run::call_input(const Event& request) noexcept {
  Ref<Value> answer;
  Ref<Error> error;
  const Status status = runtime_->calls().input(input_->callback, *this, request, answer, error);
  if (status == Status::pending) return;
  if (status != Status::ok) {
    if (error) end(Phase::failed, std::move(error));
    return;
  }
  if (!answer) return;
  try {
    if (Ref<Error> refused = respond(request.correlation(), std::move(answer)))
      tell_log(LogLevel::warning, "an answer of the input handler came to nothing: ", refused->message);
  } catch (const std::bad_alloc&) {
    end(Phase::failed, Error::out_of_memory());
  }
}

// ------------------------------------------------------------------------------------------------------ time

// The time-out is mostly far away, and mostly the run has ended long before: it is for the runtime to find.
// Under the lock.
void Run::begin_time(Notices& notices) noexcept {
  const int64_t due_ms = next_due();
  if (due_ms == INT64_MAX) return;
  if (due_ms < state_.clock.set_ms + Runtime::kFarMs) return rearm(notices);
  known_due_ms_ = due_ms;
  far_due_ms_.store(due_ms);
  if (!runtime_->arm_far(due_ms)) return;
  notices.sets_alarm = true;
  notices.more = true;
}

// The moment of the next thing that is due by the clock of the run; INT64_MAX: none. Under the lock.
int64_t Run::next_due() const noexcept {
  int64_t due_ms = INT64_MAX;
  if (state_.clock.runs) {
    int64_t at_ms = add_ms(deadline_of(state_), slack_ms());
    if (!state_.delayed.empty()) at_ms = std::min(at_ms, state_.delayed.begin()->first.first);
    if (!state_.backing_off.empty()) at_ms = std::min(at_ms, state_.backing_off.begin()->first.first);
    if (at_ms != INT64_MAX) due_ms = add_ms(state_.clock.set_ms, at_ms - state_.clock.elapsed_ms);
  }
  return due_ms;
}

// A run whose time-out is far away begins by the coarse clock, and its time is up so much later.
int64_t Run::slack_ms() const noexcept {
  const bool is_far = workflow().policy().timeout_ms >= Runtime::kFarMs;
  return is_far && !runtime_->clock().is_hosts() ? Clock::kCoarseLagMs : 0;
}

// When the time of an attempt began, by the whole clock: began_ms is its lower half.
int64_t Run::left_of_step(const Invocation& invocation, int64_t now) const noexcept {
  const int64_t timeout_ms = workflow().steps()[invocation.step].timeout_ms;
  if (timeout_ms == 0 || is_asking_in_flight(invocation)) return INT64_MAX;
  return timeout_ms - int64_t{passed_since(invocation.began_ms, now)};
}

int64_t Run::next_step_due() const noexcept {
  return step_timers_.empty() ? INT64_MAX : step_timers_.begin()->first.first;
}

// Before the call begins, so that nothing can fail once the attempt is in flight.
bool Run::reserve_timer(Call& call) noexcept {
  try {
    step_timers_.reserve();
    if (call.timer_.empty()) call.timer_ = StepTimers::make_node();
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

// As much time as its attempt has left; while it waits for an answer in flight, none passes.
void Run::set_timer(Call& call, int64_t now, Notices& notices) noexcept {
  if (call.timed_) stop_timer(call);
  const int64_t left_ms = left_of_step(*call.invocation_, now);
  if (left_ms == INT64_MAX) return;
  call.timer_.key() = {now + left_ms, call.invocation_->start};
  call.timer_.mapped() = &call;
  call.timer_at_ = step_timers_.insert(std::move(call.timer_));
  call.timed_ = true;
  arm(now + left_ms, notices);
}

void Run::stop_timer(Call& call) noexcept {
  call.timer_ = step_timers_.extract(call.timer_at_);
  call.timed_ = false;
}

// Whose time is up, the one first that was up first; null: nobody's.
Call* Run::find_late(int64_t now) noexcept {
  if (step_timers_.empty()) return nullptr;
  const auto first = step_timers_.begin();
  return first->first.first <= now ? first->second : nullptr;
}

// The time-outs of steps were armed when they began: these are for on_time() to find again.
void Run::rearm(Notices& notices) noexcept { arm(next_due(), notices); }

void Run::arm(int64_t due_ms, Notices& notices) noexcept {
  if (due_ms >= known_due_ms_) return;
  known_due_ms_ = due_ms;
  notices.due_ms = due_ms;
  notices.more = true;
}

// The clock is read under the lock, so that no step has begun after what it says.
void Run::on_time() noexcept {
  const EngineScope scope(*this);
  while (times_steps_ && !is_inherited() && expire_step()) continue;
  if (is_inherited()) return;
  Visit visit(*this);
  known_due_ms_ = INT64_MAX;
  far_due_ms_.store(INT64_MAX, std::memory_order_relaxed);
  if (!started_ || has_ended(state_)) return;
  Tick tick{Tick::Kind::time};
  const int64_t now = tick.now_ms = now_ms();
  tick.date_ms = date_ms();
  tick.slack_ms = slack_ms();
  if (!this->tick(tick, visit.commands, visit.notices)) {
    // Without memory now, once more in a while.
    constexpr int64_t kOnceMoreMs = 100;
    visit.notices.due_ms = known_due_ms_ = now + kOnceMoreMs;
    visit.notices.more = true;
  }
  if (!has_ended(state_))
    arm(std::min(next_due(), times_steps_ ? next_step_due() : INT64_MAX), visit.notices);
  offer(visit.notices);
  visit.leave(true);
  if (handles_.load(std::memory_order_relaxed) == 0) runtime_->hand_over_time();
  cancel_if_lost();
}

// An attempt whose time is up has failed, and its body is left to itself. One at a time: what each lets go of
// goes outside the lock. False: there is none.
bool Run::expire_step() noexcept {
  Visit visit(*this);
  if (!started_ || has_ended(state_)) return false;
  const int64_t now = now_ms();
  Call* call = find_late(now);
  if (call == nullptr) return false;
  Invocation* late = call->invocation_;
  Tick tick{Tick::Kind::fail};
  tick.invocation = late;
  tick.now_ms = begin_ms();
  tick.rounded_ms = runtime_->clock().rounded_ms();
  tick.error = step_timed_out(workflow().steps()[late->step], late->attempt);
  Output handled;
  make_step_failed(*call, tick, handled);
  abandon(*call, visit.notices);
  tick.keeps_permit = call->keeps_permit_;
  if (!this->tick(tick, visit.commands, visit.notices)) {
    tick.error = Error::out_of_memory();
    tick.outputs = {};
    this->tick(tick, visit.commands, visit.notices);
  }
  if (visit.commands.has_rare() && visit.commands.rare().late_error)
    remark(LogLevel::info, visit.commands.rare().late_error, kGoesOn, visit.notices);
  offer(visit.notices);
  visit.leave(true);
  return true;
}

Ref<Error> Run::step_timed_out(const StepDefinition& step, uint32_t attempt) noexcept {
  try {
    Ref<Error> error =
        Error::make(Status::step_timeout,
                    "step " + in_quotes(step.name) + " timed out: it did not end within its " +
                        std::to_string(step.timeout_ms) + " ms, attempt " + std::to_string(attempt));
    if (error->status != Status::step_timeout) return error;
    error->step = step.name;
    error->attempt = attempt;
    return error;
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

// ---------------------------------------------------------------------------------------- calls, from
// outside

void Run::list(Call& call) noexcept {
  if (std::exchange(call.listed_, true)) return;
  call.is_special_ = true;
  call.previous_listed_ = nullptr;
  call.next_listed_ = calls_;
  if (calls_ != nullptr) calls_->previous_listed_ = &call;
  calls_ = &call;
}

void Run::unlist(Call& call) noexcept {
  if (!std::exchange(call.listed_, false)) return;
  (call.previous_listed_ != nullptr ? call.previous_listed_->next_listed_ : calls_) = call.next_listed_;
  if (call.next_listed_ != nullptr) call.next_listed_->previous_listed_ = call.previous_listed_;
}

// Under the lock. Its body goes on, and nothing that it does counts any more; what it can see of its event
// stays.
void Run::abandon(Call& call, Notices& notices) noexcept {
  if (!call.event_kept_) call.event_kept_ = Ref<Event>::share(call.event_);
  call.leaves_ = true;
  call.began_ms_ = call.invocation_->began_ms;
  call.keeps_permit_ = call.step_->concurrency_max != 0 && call.step_->abandoned_keeps_permit;
  if (call.timed_) stop_timer(call);
  if (Effects* effects = call.invocation_->effects.get()) effects->call = nullptr;
  call.invocation_ = nullptr;
  call.abandoned_.store(true, std::memory_order_release);
  call.open_.store(false, std::memory_order_release);
  cancel_call(call, notices);
  unlist(call);
  if (call.returned_) {
    linger(call);
  } else {
    keep_body(call, notices);
  }
}

void Run::cancel_call(Call& call, Notices& notices) noexcept {
  if (call.step_->body->cancelled != nullptr && !call.completed_) {
    retain(&call);
    call.is_shared_ = true;
    call.next_cancelled_ = std::exchange(notices.cancelled_calls, &call);
    notices.more = true;
  }
  if (!call.extras_) return;
  call.extras_->signal.raise();
  if (call.extras_->on_cancel.empty()) return;
  notices.cancelled.take_all(call.extras_->on_cancel);
  notices.more = true;
}

// The run has ended, and those that still work are told: so many at a time, with the lock free between. One
// whose body comes back meanwhile takes its own.
void Run::cancel_calls() noexcept {
  constexpr size_t kAtOnce = 64;
  for (bool more = true; more && !is_inherited();) {
    Notices notices;
    {
      Guard guard(lock_);
      for (size_t i = 0; i < kAtOnce && calls_ != nullptr; ++i) {
        Call& call = *calls_;
        cancel_call(call, notices);
        unlist(call);
      }
      more = calls_ != nullptr;
    }
    tell_cancelled(notices);
  }
}

// Without the lock.
void Run::tell_cancelled(Notices& notices) noexcept {
  const HostCalls& calls = runtime_->calls();
  while (const auto waiting = take_unforked(notices.cancelled))
    tell_log_threw(calls.cancelled(waiting->callback));
  while (notices.cancelled_calls != nullptr && !is_inherited()) {
    const Ref<Call> call = Ref<Call>::adopt(notices.cancelled_calls);
    notices.cancelled_calls = std::exchange(call->next_cancelled_, nullptr);
    tell_log_threw(calls.step_cancelled(*call->step_->body, *call));
  }
}

}  // namespace blazen
