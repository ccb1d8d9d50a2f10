// What a step does with its context.
#include "engine/context.hpp"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "codec/json_members.hpp"
#include "engine/lifecycle.hpp"
#include "engine/nested_json.hpp"
#include "engine/refusals.hpp"
#include "engine/rounds.hpp"
#include "run/pipeline_parts.hpp"
#include "run/request_reader.hpp"
#include "value/name.hpp"

namespace blazen {

namespace {

Ref<Error> bad_request(const char* why) noexcept { return Error::make(Status::invalid_argument, why); }

}  // namespace

Ref<Error> Context::outputs_full(std::string_view type) const {
  return Error::make(Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS (" +
                                        std::to_string(call_.workflow_->policy().limits.queued_events) +
                                        ") reached by event " + in_quotes(type) + " of step " +
                                        in_quotes(call_.step_->name));
}

Ref<Error> Context::emit(std::string_view type, Ref<Value> value) {
  if (!call_.is_open() || run().ended()) return check_open();
  if (type.size() > kNameBytesMax) return name_fault("type", type);
  const TypeId id = call_.workflow_->find_type(type);
  if (id == kUnknownType) {
    if (Ref<Error> error = check_name("type", type)) return error;
    if (is_stream_type(type)) return stream_type_refused(type);
  } else if (id == kInputRequestType) {
    return emit_event(*Event::make(type, std::move(value)), {});
  } else {
    call_.emitted_last_ = id;
    call_.emitted_name_ = call_.workflow_->type_name(id);
  }
  if (call_.outputs_.size() >= call_.outputs_max_) return outputs_full(type);
  Ref<Event> event = Event::make_in(call_.event_cache_, type, std::move(value), call_.step_->name);
  call_.outputs_.push_back(Output{std::move(event), id, kNoStep});
  return nullptr;
}

Ref<Error> Context::answer(Ref<Value> value) {
  if (call_.step_->answers.empty())
    return Error::make(Status::wrong_place, "only a decision of the host's answers: a step emits events");
  if (Ref<Error> error = check_open()) return error;
  for (const Output& output : call_.outputs_) {
    for (const std::string& type : call_.step_->answers) {
      if (output.event->type() == type) return Error::make(Status::conflict, "it has answered already");
    }
  }
  if (call_.cold_ && call_.cold_->verdict) return Error::make(Status::conflict, "it has answered already");
  if (call_.step_->part == StepPart::condition) return answer_condition(*value);
  if (call_.step_->part == StepPart::until) return answer_until(*value);
  return emit(call_.step_->answers.front(), std::move(value));
}

Ref<Error> Context::emit_as(std::string_view type, Ref<Value> value, std::string_view correlation) {
  if (correlation.empty()) return emit(type, std::move(value));
  return emit_event(*Event::make(type, std::move(value), {}, correlation), {});
}

// What it was invoked with goes on, to the stage or past it.
Ref<Error> Context::answer_condition(const Value& value) {
  const bool is_true = value.tag() == Tag::json && value.data() == "true";
  if (!is_true && (value.tag() != Tag::json || value.data() != "false"))
    return Error::make(Status::wrong_tag, "value: a condition answers with JSON true or false");
  return emit(call_.step_->answers[is_true ? 0 : 1], call_.event_->value());
}

Ref<Error> Context::answer_until(const Value& value) {
  const std::string_view word = value.tag() == Tag::json ? value.data() : std::string_view();
  if (word == "\"done\"") return end_round(false);
  const Stage& stage = run().workflow().stages()[call_.step_->stage];
  const uint32_t round = Round::of(call_.event_->correlation()).number;
  Ref<Error> verdict;
  if (word == "\"fail\"") {
    verdict =
        Error::make(Status::step_failed, "stage " + in_quotes(stage.name) +
                                             " was said to have failed after round " + std::to_string(round));
  } else if (word != "\"again\"") {
    return Error::make(Status::wrong_tag,
                       "value: a loop is answered with JSON \"again\", \"done\" or \"fail\"");
  } else if (round < stage.rounds_max || stage.done_at_bound) {
    return end_round(round < stage.rounds_max);
  } else {
    verdict = Error::make(Status::limit, "stage " + in_quotes(stage.name) + " has had its " +
                                             std::to_string(stage.rounds_max) + " rounds, and was to go on");
  }
  run().cold_state(call_).verdict = std::move(verdict);
  return nullptr;
}

Ref<Error> Context::end_round(bool again) {
  Round round = Round::of(call_.event_->correlation());
  if (!again) return emit(call_.step_->answers.back(), call_.event_->value());
  ++round.number;
  return emit_as(call_.step_->answers.front(), call_.event_->value(), round.text());
}

Result<Context::Request> Context::make_request(Asks how, std::string_view correlation, const Value& value) {
  if (value.tag() != Tag::json)
    return bad_request("value: an InputRequestEvent has a JSON object {request_id, prompt, metadata}");
  const RequestReader reader(value.data());
  if (!reader.is_object)
    return bad_request("value: an InputRequestEvent has a JSON object {request_id, prompt, metadata}");
  if (reader.has_id && !reader.id_is_text) return bad_request("value: request_id is not a text");
  if (Ref<Error> error = check_nested("value", value.data())) return error;
  std::string id = reader.has_id ? reader.id : std::string(correlation);
  std::string text(value.data());
  Request request;
  request.digest = digest_of_question(how, reader.prompt, reader.metadata);
  if (!reader.has_id) {
    if (id.empty()) {
      Result<QuestionName> name =
          run().name_question(call_, ++run().cold_state(call_).questions, request.digest);
      if (!name) return name.error();
      id = std::move(name->id);
      request.instead_of = std::move(name->instead_of);
    }
    text.insert(text.find('{') + 1,
                "\"request_id\":" + nlohmann::json(id).dump() + (reader.is_empty ? "" : ","));
  }
  if (Ref<Error> error = check_name("value: request_id", id)) return error;
  request.event = Event::make(kInputRequest, Value::copy(Tag::json, text), call_.step_->name, id);
  return request;
}

Ref<Error> Context::emit_output(Output output, const Sending& sending, bool at_once) {
  output.delay_ms = sending.delay_ms;
  if (sending.delay_ms != 0) run().cold_state(call_).is_special = true;
  if (call_.outputs_.size() >= call_.outputs_max_) return outputs_full(output.event->type());
  if (output.type == kInputRequestType) {
    Result<Request> request = make_request(Asks::emit, output.event->correlation(), *output.event->value());
    if (!request) return request.error();
    output.event = std::move(request->event);
    run().cold_state(call_).is_special = true;
  }
  if (at_once) {
    call_.outputs_.insert(call_.outputs_.begin() + static_cast<ptrdiff_t>(run().cold_state(call_).sends),
                          std::move(output));
    ++call_.cold_->sends;
  } else {
    call_.outputs_.push_back(std::move(output));
  }
  return nullptr;
}

Ref<Error> Context::emit_event(const Event& event, const Sending& sending) {
  if (Ref<Error> error = check_open()) return error;
  Result<Output> output = run().address(event, sending.target, &call_);
  if (!output) return output.error();
  return emit_output(std::move(*output), sending, false);
}

Ref<Error> Context::send_event(const Event& event, const Sending& sending) {
  if (Ref<Error> error = check_open()) return error;
  Result<Output> output = run().address(event, sending.target, &call_);
  if (!output) return output.error();
  if (call_.step_->atomic) return emit_output(std::move(*output), sending, true);
  Tick tick{Tick::Kind::send, false, nullptr, {&*output, 1}};
  output->delay_ms = sending.delay_ms;
  tick.is_special = sending.delay_ms != 0;
  if (output->type == kInputRequestType) return send_request(tick, sending);
  tick.effect = {identity_of_send(*output, sending.target), payload_digest(*output->event, sending.delay_ms)};
  return run().effect(call_, tick);
}

// A step often sends one type many times, to whoever accepts it.
uint64_t Context::identity_of_send(const Output& output, std::string_view target) noexcept {
  if (!target.empty() || output.type == kUnknownType) return send_identity_digest(*output.event, target);
  if (!std::exchange(call_.has_sent_identity_, true))
    call_.sent_identity_ = send_identity_digest(*output.event, {});
  return call_.sent_identity_;
}

Ref<Error> Context::send_request(Tick& tick, const Sending& sending) {
  Output& output = tick.outputs.front();
  Result<Request> request = make_request(Asks::send, output.event->correlation(), *output.event->value());
  if (!request) return request.error();
  output.event = std::move(request->event);
  const Asked question{request->digest, request->instead_of};
  tick.question = &question;
  tick.is_special = true;
  tick.effect = digest_of_request(*output.event, sending.target, sending.delay_ms, question.digest);
  return run().effect(call_, tick);
}

Ref<Error> Context::publish(const Event& event) {
  if (Ref<Error> error = check_open()) return error;
  if (event.type() == kInputRequest)
    return bad_request("event: an InputRequestEvent is emitted or sent; the engine publishes it");
  if (is_stream_type(event.type())) return stream_type_refused(event.type());
  Output output{Event::make(event.type(), event.value(), call_.step_->name, event.correlation())};
  Tick tick{Tick::Kind::publish, false, nullptr, {&output, 1}};
  tick.effect = digest_of_publication(event);
  return run().effect(call_, tick);
}

Result<Status> Context::ask(const Asking& asking, std::unique_ptr<PendingCallback> callback,
                            Ref<Value>& answer) {
  if (Ref<Error> error = check_open()) return error;
  if (callback && !call_.deferred_) {
    return Error::make(Status::wrong_state,
                       "question.answered: a step that is called back has to be deferred first");
  }
  Asked question{digest_of_question(Asks::body, asking.prompt,
                                    asking.metadata ? asking.metadata->data() : std::string_view())};
  question.deadline_ms = asking.deadline_ms;
  question.default_answer = asking.default_answer;
  QuestionName name{std::string(asking.request_id), {}};
  if (name.id.empty()) {
    Result<QuestionName> made =
        run().name_question(call_, ++run().cold_state(call_).questions, question.digest);
    if (!made) return made.error();
    name = std::move(*made);
    question.instead_of = name.instead_of;
  }
  const std::string& id = name.id;
  std::string text =
      "{\"request_id\":" + nlohmann::json(id).dump() + ",\"prompt\":" + nlohmann::json(asking.prompt).dump();
  if (asking.metadata) text.append(",\"metadata\":").append(asking.metadata->data());
  text += "}";
  if (Ref<Error> error = check_nested("question", text)) return error;
  Output request{Event::make(kInputRequest, Value::copy(Tag::json, text), call_.step_->name, id),
                 kInputRequestType};
  Tick tick{Tick::Kind::ask, false, nullptr, {&request, 1}};
  tick.question = &question;
  tick.calls_back = callback != nullptr;
  AnswerCallbacks::node_type waiting;
  if (callback) {
    callback->request_id = id;
    AnswerCallbacks one;
    one.emplace(callback->request_id, std::move(callback));
    waiting = one.extract(one.begin());
    run().cold_state(call_);
  }
  if (Ref<Error> error = run().ask(call_, tick, std::move(waiting), answer)) return error;
  return answer ? Status::ok : Status::pending;
}

// Null: the step is no join.
Ref<Error> Context::need_group(const Group*& group) {
  group = nullptr;
  if (!call_.step_->join) return nullptr;
  Call::ColdState& cold = run().cold_state(call_);
  if (!cold.group) {
    if (Ref<Error> error = check_open()) return error;
    Ref<Group> found = run().find_group(call_);
    if (!found) return check_open();
    if (!cold.collected) show_group(*found);
    cold.group = std::move(found);
  }
  group = cold.group.get();
  return nullptr;
}

// From now on, these are the events of the context.
void Context::show_group(const Group& group) {
  std::vector<const Event*> arrived;
  arrived.reserve(group.arrived.size());
  for (const Group::Arrival& arrival : group.arrived) arrived.push_back(arrival.event.get());
  run().cold_state(call_).arrived = std::move(arrived);
}

Result<Status> Context::collect(std::string_view key, std::span<const Wanted> wanted) {
  if (Ref<Error> error = check_open()) return error;
  if (call_.step_->atomic)
    return Error::make(Status::wrong_place,
                       "a step that is atomic collects nothing: what it does is held back");
  run().cold_state(call_);
  Collecting collecting{key, wanted};
  Tick tick{Tick::Kind::collect};
  tick.collecting = &collecting;
  tick.effect = digest_of_collect(key, wanted);
  if (Ref<Error> error = run().effect(call_, tick)) return error;
  if (!collecting.group) {
    call_.cold_->collects = true;
    return Status::pending;
  }
  show_group(*collecting.group);
  call_.cold_->collected = std::move(collecting.group);
  return Status::ok;
}

// The event has the results of several workflows at once, an object by branch: these are its events. False: it has not.
// Throws std::bad_alloc.
bool Context::show_branches() {
  const Event& event = *call_.event_;
  const StepIndex maker = run().workflow().find_step(event.source());
  if (maker == kNoStep || event.value()->tag() != Tag::json) return false;
  const StepDefinition& gather = run().workflow().steps()[maker];
  if (gather.part != StepPart::gather || gather.takes_first || gather.emits.empty() ||
      gather.emits.front() != event.type())
    return false;
  const JsonMembers results(event.value()->data());
  if (!results.is_object()) return false;
  std::vector<Ref<Event>> branches;
  results.for_each([&](std::string_view branch, std::string_view result) {
    branches.push_back(Event::make(gather.accepts.front(), Value::copy(Tag::json, result), branch));
    branches.back()->id = event.id;
  });
  std::vector<const Event*> arrived;
  arrived.reserve(branches.size());
  for (const Ref<Event>& each : branches) arrived.push_back(each.get());
  Call::ColdState& cold = run().cold_state(call_);
  cold.branches = std::move(branches);
  cold.arrived = std::move(arrived);
  return true;
}

Ref<Error> Context::events(const Event* const*& first, size_t& count) {
  const Group* group = nullptr;
  if (Ref<Error> error = need_group(group)) return error;
  const bool is_own = group == nullptr && !(call_.cold_ && call_.cold_->collected);
  const bool is_one = is_own && !(call_.cold_ && !call_.cold_->branches.empty()) && !show_branches();
  first = is_one ? &call_.event_ : call_.cold_->arrived.data();
  count = is_one ? 1 : call_.cold_->arrived.size();
  return nullptr;
}

Result<Context::Joined> Context::joined() {
  const Group* group = nullptr;
  if (Ref<Error> error = need_group(group)) return error;
  if (group == nullptr) return Joined{};
  return Joined{group->reason, group->wanted, group->arrived.size(), group->scope_id};
}

Ref<Error> Context::retry_after(int64_t delay_ms) {
  if (Ref<Error> error = check_open()) return error;
  run().cold_state(call_).retry_after_ms = delay_ms;
  return nullptr;
}

Ref<Error> Context::progress(std::string_view label, uint64_t current, uint64_t total) {
  if (total != 0 && current > total) {
    return Error::make(Status::invalid_argument, "current is more than total: give a total of 0 for unknown");
  }
  if (!call_.is_open() || run().ended()) return check_open();
  if (!run().watched()) return nullptr;
  return run().progress(make_progress(label, current, total, run().id(), call_.step_->name));
}

}  // namespace blazen
