#include "engine/call.hpp"

#include <string>
#include <utility>

#include "base/digest.hpp"
#include "engine/run.hpp"
#include "engine/scope.hpp"
#include "value/name.hpp"

namespace blazen {
namespace {

std::string quoted(std::string_view text) { return std::string("'").append(text).append("'"); }

// Tells one effect of an invocation from another: see reduce.cpp, is_repetition.
uint64_t digest_of(std::string_view kind, const Event& event, std::string_view target) noexcept {
  const Value& value = *event.value();
  Digest digest;
  digest.add_text(kind).add_text(event.type()).add_text(target).add_text(event.correlation());
  digest.add_number(static_cast<uint64_t>(value.tag())).add_text(value.codec()).add_text(value.data());
  return digest.finish();
}

}  // namespace

void Call::begin(Run& run, Invocation* invocation) noexcept {
  if (run_ != &run) {
    run_ = &run;
    workflow_ = &run.workflow();
    emitted_last_ = kUnknownType;
  }
  invocation_ = invocation;
  step_ = &workflow_->steps()[invocation->step];
  event_ = invocation->event.get();
  invocation_id_ = invocation->id;
  attempt_ = invocation->attempt;
  deferred_ = false;
  completed_ = false;
  returned_ = false;
  open_.store(true, std::memory_order_relaxed);
}

Ref<Error> Call::check_open() const noexcept {
  if (!is_open()) {
    return Error::make(Status::wrong_state, "this invocation is complete: its context can do nothing more");
  }
  if (run_->ended()) return Error::make(Status::cancelled, "the run has already ended");
  return nullptr;
}

Ref<Error> Call::outputs_full(std::string_view type) const {
  return Error::make(Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS (" +
                                        std::to_string(workflow_->policy().limits.queued_events) +
                                        ") reached by event " + quoted(type) + " of step " +
                                        quoted(step_->name));
}

Ref<Error> Call::emit(std::string_view type, Ref<Value> value) {
  if (!is_open() || run_->ended()) return check_open();
  if (type.size() > kNameBytesMax) return name_fault("type", type);
  TypeId id = emitted_last_;
  if (id == kUnknownType || !same_text(workflow_->type_name(id), type)) {
    id = emitted_last_ = workflow_->find_type(type);
    if (id == kUnknownType) {
      if (Ref<Error> error = check_name("type", type)) return error;
    }
  }
  if (outputs_.size() >= workflow_->policy().limits.queued_events) return outputs_full(type);
  Ref<Event> event = Event::make_in(stash_, type, std::move(value), step_->name);
  outputs_.emplace_back(std::move(event), id, kNoStep);
  return nullptr;
}

Ref<Error> Call::emit_event(const Event& event, std::string_view target) {
  if (Ref<Error> error = check_open()) return error;
  if (outputs_.size() >= workflow_->policy().limits.queued_events) return outputs_full(event.type());
  Result<Output> output = run_->address(event, target, step_->name);
  if (!output) return output.error();
  outputs_.push_back(std::move(*output));
  return nullptr;
}

Ref<Error> Call::send_event(const Event& event, std::string_view target) {
  if (Ref<Error> error = check_open()) return error;
  Result<Output> output = run_->address(event, target, step_->name);
  if (!output) return output.error();
  Tick tick{Tick::Kind::send, false, invocation_, {&*output, 1}};
  tick.digest = digest_of("send", event, target);
  return run_->effect(tick);
}

Ref<Error> Call::publish(const Event& event) {
  if (Ref<Error> error = check_open()) return error;
  Output output{Event::make(event.type(), event.value(), step_->name, event.correlation())};
  Tick tick{Tick::Kind::publish, false, invocation_, {&output, 1}};
  tick.digest = digest_of("publish", event, {});
  return run_->effect(tick);
}

Ref<Error> Call::defer() noexcept {
  if (Ref<Error> error = check_open()) return error;
  Guard guard(run_->lock_);
  if (deferred_ || returned_) {
    return Error::make(Status::wrong_state,
                       "this invocation was already deferred: there is one handle of it");
  }
  deferred_ = true;
  event_kept_ = Ref<Event>::share(event_);
  handle_.kind = Kind::invocation;
  handle_.refs.store(1, std::memory_order_relaxed);
  retain(this);
  run_->hold();
  return nullptr;
}

Ref<Error> Call::complete(Ref<Error> failure) noexcept {
  EngineScope scope(*run_);
  Commands commands;
  Run::Notices notices;
  Guard guard(run_->lock_);
  if (completed_) return Error::make(Status::wrong_state, "this invocation was already completed");
  completed_ = true;
  const bool too_late = has_ended(run_->state_);
  if (!returned_) {
    failure_ = std::move(failure);
  } else {
    run_->finish(*this, std::move(failure), false, commands, notices);
    run_->offer(notices);
  }
  const bool finished = returned_;
  guard.unlock();
  if (finished) outputs_.clear();
  commands.clear();
  run_->notify(notices);
  if (too_late)
    return Error::make(Status::cancelled, "the run has ended before: what this step did is dropped");
  return nullptr;
}

void Call::abandon() noexcept {
  Run& run = *run_;
  bool lost = false;
  {
    Guard guard(run.lock_);
    lost = !completed_;
  }
  if (lost)
    (void)complete(Error::make(Status::wrong_state, "its invocation was released and never completed"));
  Ref<Call>::adopt(this).reset();
  run.release_handle();
}

}  // namespace blazen
