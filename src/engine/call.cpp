#include "engine/call.hpp"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/eventfd.h>
#include <unistd.h>
#endif

#include "engine/lifecycle.hpp"
#include "engine/nested_json.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/scope.hpp"
#include "value/name.hpp"

namespace blazen {
namespace {

Ref<Error> bad_request(const char* why) noexcept { return Error::make(Status::invalid_argument, why); }

// The text of a JSON string, which stands between its quotes. False: it has half of a surrogate pair, which
// no text has.
bool unescape(std::string_view token, std::string& text) {
  if (token.find('\\') == std::string_view::npos) {
    text = token.substr(1, token.size() - 2);
    return true;
  }
  const nlohmann::json value = nlohmann::json::parse(token, nullptr, false);
  if (!value.is_string()) return false;
  text = value.get_ref<const std::string&>();
  return true;
}

// Finds the members of an InputRequestEvent: those of the object itself, and the last of several of one name,
// as readers of JSON do. What is read was checked before; it is not parsed, since there are numbers that no
// parser can hold.
class RequestReader {
 public:
  bool is_object = false;
  bool is_empty = false;
  bool has_id = false;
  bool id_is_text = false;
  std::string id;
  std::string_view prompt;  // as it stands there; empty: none
  std::string_view metadata;

  explicit RequestReader(std::string_view json) : json_(json) {
    is_object = json_[skip_space(0)] == '{';
    if (!is_object) return;
    size_t at = skip_space(skip_space(0) + 1);
    is_empty = json_[at] == '}';
    while (json_[at] != '}') at = skip_space(read_member(at));
  }

 private:
  size_t skip_space(size_t at) const noexcept { return json_.find_first_not_of(" \t\r\n", at); }
  // The quote that ends the string which begins at `at`.
  size_t end_of_string(size_t at) const noexcept {
    for (++at; json_[at] != '"'; ++at) {
      if (json_[at] == '\\') ++at;
    }
    return at;
  }
  // One behind the value: at the comma or the bracket that ends it.
  size_t skip_value(size_t at) const noexcept {
    size_t depth = 0;
    for (;; ++at) {
      const char c = json_[at];
      if (c == '"') {
        at = end_of_string(at);
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (depth == 0 && (c == ',' || c == '}')) {
        return at;
      } else if (c == '}' || c == ']') {
        --depth;
      }
    }
  }
  std::string_view string_at(size_t at) const noexcept {
    return json_.substr(at, end_of_string(at) + 1 - at);
  }
  // Without the space behind it.
  std::string_view trimmed(size_t at, size_t end) const noexcept {
    return json_.substr(at, json_.find_last_not_of(" \t\r\n", end - 1) + 1 - at);
  }
  // Where the next member begins, or the bracket that ends the object.
  size_t read_member(size_t at) {
    std::string key;
    if (!unescape(string_at(at), key)) key.clear();
    const size_t value = skip_space(skip_space(end_of_string(at) + 1) + 1);
    const size_t end = skip_value(value);
    if (key == "request_id") {
      has_id = true;
      id_is_text = json_[value] == '"' && unescape(string_at(value), id);
    } else if (key == "prompt") {
      prompt = trimmed(value, end);
    } else if (key == "metadata") {
      metadata = trimmed(value, end);
    }
    return json_[end] == ',' ? skip_space(end + 1) : end;
  }

  std::string_view json_;
};

}  // namespace

// -------------------------------------------------------------------------------------------------- a signal

#ifdef __linux__
Signal::~Signal() {
  if (number_ >= 0) ::close(number_);
}
Result<int> Signal::open() noexcept {
  if (number_ < 0) number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (number_ >= 0) return number_;
  const int code = errno;
  Ref<Error> error = Error::make(Status::system, "the operating system refused an event descriptor");
  if (error->status == Status::system) error->host_code = code;
  return error;
}
void Signal::raise() const noexcept {
  const uint64_t one = 1;
  if (number_ >= 0 && ::write(number_, &one, sizeof one) < 0) return;  // full is readable too
}
#else
Signal::~Signal() = default;
Result<int> Signal::open() noexcept {
  return Error::make(Status::system, "this platform has no descriptor: use the callback");
}
void Signal::raise() const noexcept {}
#endif

// ---------------------------------------------------------------------------------------------- from begin
// to end

void Call::begin(Run& run, Invocation* invocation) noexcept {
  if (run_ != &run) {
    run_ = &run;
    workflow_ = &run.workflow();
    outputs_max_ = workflow_->policy().limits.queued_events;
    emitted_name_ = {};
  }
  invocation_ = invocation;
  step_ = &workflow_->steps()[invocation->step];
  event_ = invocation->event.get();
  invocation_id_ = invocation->id;
  attempt_ = invocation->attempt;
  deferred_ = false;
  is_special_ = false;
  completed_ = false;
  returned_ = false;
  abandoned_.store(false, std::memory_order_relaxed);
  open_.store(true, std::memory_order_relaxed);
}

Ref<Error> Call::check_open() const noexcept {
  if (abandoned_.load(std::memory_order_acquire))
    return Error::make(Status::cancelled,
                       "the time of this attempt is up: nothing that it does counts any more");
  if (!is_open()) {
    return Error::make(Status::wrong_state, "this invocation is complete: its context can do nothing more");
  }
  if (run_->ended()) return Error::make(Status::cancelled, "the run has already ended");
  return nullptr;
}

Ref<Error> Call::outputs_full(std::string_view type) const {
  return Error::make(Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS (" +
                                        std::to_string(workflow_->policy().limits.queued_events) +
                                        ") reached by event " + in_quotes(type) + " of step " +
                                        in_quotes(step_->name));
}

Ref<Error> Call::emit(std::string_view type, Ref<Value> value) {
  if (!is_open() || run_->ended()) return check_open();
  if (type.size() > kNameBytesMax) return name_fault("type", type);
  const TypeId id = workflow_->find_type(type);
  if (id == kUnknownType) {
    if (Ref<Error> error = check_name("type", type)) return error;
    if (is_stream_type(type)) return stream_type_refused(type);
  } else if (id == kInputRequestType) {
    return emit_event(*Event::make(type, std::move(value)), {});
  } else {
    emitted_last_ = id;
    emitted_name_ = workflow_->type_name(id);
  }
  if (outputs_.size() >= outputs_max_) return outputs_full(type);
  Ref<Event> event = Event::make_in(stash_, type, std::move(value), step_->name);
  outputs_.emplace_back(std::move(event), id, kNoStep);
  return nullptr;
}

Result<Call::Request> Call::make_request(Asks how, std::string_view correlation, const Value& value) {
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
      Result<QuestionName> name = run_->name_question(*this, ++extras().questions, request.digest);
      if (!name) return name.error();
      id = std::move(name->id);
      request.instead_of = std::move(name->instead_of);
    }
    text.insert(text.find('{') + 1,
                "\"request_id\":" + nlohmann::json(id).dump() + (reader.is_empty ? "" : ","));
  }
  if (Ref<Error> error = check_name("value: request_id", id)) return error;
  request.event = Event::make(kInputRequest, Value::copy(Tag::json, text), step_->name, id);
  return request;
}

Ref<Error> Call::emit_output(Output output, const Sending& sending, bool at_once) {
  output.delay_ms = sending.delay_ms;
  if (sending.delay_ms != 0) extras().is_special = true;
  if (outputs_.size() >= outputs_max_) return outputs_full(output.event->type());
  if (output.type == kInputRequestType) {
    Result<Request> request = make_request(Asks::emit, output.event->correlation(), *output.event->value());
    if (!request) return request.error();
    output.event = std::move(request->event);
    extras().is_special = true;
  }
  if (at_once) {
    outputs_.insert(outputs_.begin() + static_cast<ptrdiff_t>(extras().sends), std::move(output));
    ++extras_->sends;
  } else {
    outputs_.push_back(std::move(output));
  }
  return nullptr;
}

Ref<Error> Call::emit_event(const Event& event, const Sending& sending) {
  if (Ref<Error> error = check_open()) return error;
  Result<Output> output = run_->address(event, sending.target, step_->name);
  if (!output) return output.error();
  return emit_output(std::move(*output), sending, false);
}

Ref<Error> Call::send_event(const Event& event, const Sending& sending) {
  if (Ref<Error> error = check_open()) return error;
  Result<Output> output = run_->address(event, sending.target, step_->name);
  if (!output) return output.error();
  if (step_->atomic) return emit_output(std::move(*output), sending, true);
  Tick tick{Tick::Kind::send, false, nullptr, {&*output, 1}};
  output->delay_ms = sending.delay_ms;
  tick.is_special = sending.delay_ms != 0;
  if (output->type == kInputRequestType) return send_request(tick, sending);
  tick.effect = digest_of_send(*output->event, sending.target, sending.delay_ms);
  return run_->effect(*this, tick);
}

Ref<Error> Call::send_request(Tick& tick, const Sending& sending) {
  Output& output = tick.outputs.front();
  Result<Request> request = make_request(Asks::send, output.event->correlation(), *output.event->value());
  if (!request) return request.error();
  output.event = std::move(request->event);
  const Asked question{request->digest, request->instead_of};
  tick.question = &question;
  tick.is_special = true;
  tick.effect = digest_of_request(*output.event, sending.target, sending.delay_ms, question.digest);
  return run_->effect(*this, tick);
}

Ref<Error> Call::publish(const Event& event) {
  if (Ref<Error> error = check_open()) return error;
  if (event.type() == kInputRequest)
    return bad_request("event: an InputRequestEvent is emitted or sent; the engine publishes it");
  if (is_stream_type(event.type())) return stream_type_refused(event.type());
  Output output{Event::make(event.type(), event.value(), step_->name, event.correlation())};
  Tick tick{Tick::Kind::publish, false, nullptr, {&output, 1}};
  tick.effect = digest_of_publication(event);
  return run_->effect(*this, tick);
}

// Whoever tells this call that its time is up looks for them under the lock.
Call::Extras& Call::extras() {
  if (extras_) return *extras_;
  auto made = std::make_unique<Extras>();
  Guard guard(run_->lock_);
  extras_ = std::move(made);
  is_special_ = true;
  return *extras_;
}

Draft* Call::draft() { return step_->atomic ? &extras().draft : nullptr; }

// ------------------------------------------------------------------------------------- questions, failures,
// ends

Result<Status> Call::ask(const Asking& asking, std::unique_ptr<PendingCallback> callback,
                         Ref<Value>& answer) {
  if (Ref<Error> error = check_open()) return error;
  if (callback && !deferred_) {
    return Error::make(Status::wrong_state,
                       "question.answered: a step that is called back has to be deferred first");
  }
  Asked question{digest_of_question(Asks::body, asking.prompt,
                                    asking.metadata ? asking.metadata->data() : std::string_view())};
  QuestionName name{std::string(asking.request_id), {}};
  if (name.id.empty()) {
    Result<QuestionName> made = run_->name_question(*this, ++extras().questions, question.digest);
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
  Output request{Event::make(kInputRequest, Value::copy(Tag::json, text), step_->name, id),
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
    extras();
  }
  if (Ref<Error> error = run_->ask(*this, tick, std::move(waiting), answer)) return error;
  return answer ? Status::ok : Status::pending;
}

Ref<Error> Call::retry_after(int64_t delay_ms) {
  if (Ref<Error> error = check_open()) return error;
  extras().retry_after_ms = delay_ms;
  return nullptr;
}

// Called at once where it is cancelled already.
Ref<Error> Call::on_cancel(std::unique_ptr<PendingCallback> callback) {
  Extras& mine = extras();
  Guard guard(run_->lock_);
  if (!is_open() && !abandoned_) return check_open();
  if (abandoned_ || has_ended(run_->state_)) {
    guard.unlock();
    EngineScope scope(*run_);
    const std::unique_ptr<PendingCallback> now = std::move(callback);  // dropped before the scope ends
    run_->tell_log_threw(run_->runtime_->calls().cancelled(now->callback));
    return nullptr;
  }
  mine.on_cancel.add(std::move(callback));
  run_->list(*this);
  return nullptr;
}

Result<int> Call::cancel_descriptor() {
  Extras& mine = extras();
  Guard guard(run_->lock_);
  if (!is_open() && !abandoned_) return check_open();
  Result<int> number = mine.signal.open();
  if (!number) return number;
  if (abandoned_ || has_ended(run_->state_)) {
    mine.signal.raise();
  } else {
    run_->list(*this);  // only one that is still to end leaves the list again
  }
  return number;
}

bool Call::is_cancelled() const noexcept {
  return abandoned_.load(std::memory_order_acquire) || run_->ended();
}

Ref<Error> Call::progress(std::string_view label, uint64_t current, uint64_t total) {
  if (total != 0 && current > total) {
    return Error::make(Status::invalid_argument, "current is more than total: give a total of 0 for unknown");
  }
  if (!is_open() || run_->ended()) return check_open();
  if (!run_->watched()) return nullptr;
  return run_->progress(make_progress(label, current, total, run_->id(), step_->name));
}

Ref<Error> Call::defer() noexcept {
  if (Ref<Error> error = check_open()) return error;
  Guard guard(run_->lock_);
  if (deferred_ || returned_) {
    return Error::make(Status::wrong_state,
                       "this invocation was already deferred: there is one handle of it");
  }
  if (abandoned_) return check_open();
  deferred_ = true;
  is_shared_ = true;
  run_->list(*this);
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
  } else if (!abandoned_) {
    run_->finish(*this, std::move(failure), false, commands, notices);
    run_->offer(notices);
  }
  const bool finished = returned_;
  const bool was_abandoned = abandoned_;
  if (finished && was_abandoned) {
    run_->let_go_abandoned(*this, commands, notices);
    run_->offer(notices);
  }
  std::unique_ptr<Extras> spent = finished ? std::move(was_abandoned ? extras_ : spent_) : nullptr;
  guard.unlock();
  if (finished) {
    outputs_.clear();
    lent_value_.reset();
  }
  spent.reset();
  commands.clear();
  run_->notify(notices);
  if (was_abandoned) return check_open();
  if (too_late)
    return Error::make(Status::cancelled, "the run has ended before: what this step did is dropped");
  return nullptr;
}

void Call::abandon() noexcept {
  Run& run = *run_;
  if (run.is_inherited()) return;
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
