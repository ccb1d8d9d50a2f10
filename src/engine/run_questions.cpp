// The questions of a run: asked by its bodies, handed to the input handler, answered from outside.
#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/growth.hpp"
#include "base/quotes.hpp"
#include "base/uuid.hpp"
#include "engine/nested_json.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/transaction.hpp"

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

// The step of this run, or of one inside it, that is elsewhere and whose run has asked it; empty: there is none.
std::string find_kept(const RunState& state, std::string_view request_id, const std::string& before) {
  if (!state.kin) return {};
  for (const auto& [id, kept] : state.kin->kept) {
    for (const KeptChild::Question& question : kept.questions) {
      if (question.request_id == request_id) return before + question.step();
    }
  }
  std::string found;
  state.kin->children.each([&](const Kin& child) {
    if (found.empty()) found = find_kept(*child.state, request_id, child.path->texts().text + "/");
  });
  return found;
}

Ref<Error> no_question(std::string_view request_id, const RunState& state) {
  if (const std::string step = find_kept(state, request_id, {}); !step.empty())
    return Error::make(Status::wrong_state,
                       "request_id: " + in_quotes(request_id) + " was asked by " + in_quotes(step) +
                           ", inside a step that is elsewhere: who has that workflow answers it");
  return Error::make(Status::not_found, "request_id: no question " + in_quotes(request_id) +
                                            " is open: it is unknown, or was answered");
}

}  // namespace

Result<QuestionName> Run::name_question(const Call& call, uint64_t place, uint64_t digest) {
  Guard guard(lock());
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  return blazen::name_question(*call.invocation_, place, digest);
}

Ref<Error> Run::ask(Call& call, Tick& tick, AnswerCallbacks::node_type callback,
                    Ref<Value>& answer) noexcept {
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  tick.invocation = call.invocation_;
  tick.caller = &call;
  tick.now_ms = begin_ms();
  tick.date_ms = date_ms();
  if (!this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications))
    return Error::out_of_memory();
  if (transaction.commands.status == Status::pending && !callback.empty()) {
    call.cold_->on_answer.insert(std::move(callback));
    if (call.timed_) set_timer(transaction.locked(), call, tick.now_ms, transaction.notifications);
    list(transaction.locked(), call);
  }
  answer = transaction.commands.cold().answer;
  offer(transaction.locked(), transaction.notifications);
  return transaction.leave();
}

// A question of a run inside this one has the id of that run, a slash, and its own id. Null: it is one of this run's own.
Ref<Run> Run::asked_in(std::string_view& request_id) {
  RunId id;
  if (is_child() || request_id.size() <= kUuidTextLength || request_id[kUuidTextLength] != '/' ||
      !parse_uuid(request_id.substr(0, kUuidTextLength), id))
    return nullptr;
  Guard guard(lock());
  Kinship::Family* const family = this->family();
  if (family == nullptr) return nullptr;
  Run* const known = family->runs.find(id);
  if (known == nullptr) return nullptr;
  request_id.remove_prefix(kUuidTextLength + 1);
  return Ref<Run>::share(known);
}

Ref<Error> Run::respond(std::string_view request_id, Ref<Value> answer, bool early) {
  if (const Ref<Run> child = asked_in(request_id))
    return child->respond(request_id, std::move(answer), early);
  if (answer->tag() == Tag::json) {
    if (Ref<Error> error = check_nested("answer", answer->data())) return error;
  }
  Output response{Event::make(kInputResponse, response_value(request_id, answer), {}, request_id),
                  kInputResponseType};
  Tick tick{early ? Tick::Kind::respond_early : Tick::Kind::respond, false, nullptr, {&response, 1}};
  tick.value = std::move(answer);
  return answer_question(tick, request_id);
}

Ref<Error> Run::withdraw_question(std::string_view request_id) {
  if (const Ref<Run> child = asked_in(request_id)) return child->withdraw_question(request_id);
  Output question{Event::make(kInputResponse, Value::null(), {}, request_id), kInputResponseType};
  Tick tick{Tick::Kind::withdraw, false, nullptr, {&question, 1}};
  return answer_question(tick, request_id);
}

Ref<Error> Run::answer_question(Tick& tick, std::string_view request_id) {
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  tick.now_ms = life_.started ? begin_ms() : 0;
  tick.date_ms = date_ms();
  if (!this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications))
    return Error::out_of_memory();
  if (transaction.commands.status == Status::not_found) return no_question(request_id, state());
  offer(transaction.locked(), transaction.notifications);
  return transaction.leave();
}

Ref<Error> Run::fail_question(std::string_view request_id, Ref<Error> cause) {
  if (const Ref<Run> child = asked_in(request_id)) return child->fail_question(request_id, std::move(cause));
  Tick last{Tick::Kind::end};
  last.phase = Phase::failed;
  last.error = std::move(cause);
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (state().questions.find(request_id) == nullptr) return no_question(request_id, state());
  tick(transaction.locked(), last, transaction.commands, transaction.notifications);
  return transaction.leave();
}

// Those that a handler was not given are the last ones.
bool Run::wants_input() const noexcept {
  Guard guard(lock());
  if (has_ended(state()) || (listeners_.input && !life_.started)) return false;  // the start hands them out
  const auto wants = [](const Run& run) {
    const Question* last = run.state().questions.last();
    return last != nullptr && !last->handed_out;
  };
  if (wants(*this)) return true;
  const Kinship::Family* family = this->family();
  return family != nullptr && !family->asking.walk([&](const Kinship* kin) { return !wants(*kin->run); });
}

// The callback of the body that waits for it.
void Run::hand_over_answer(Locked locked, const Invocation& invocation,
                           Notifications& notifications) noexcept {
  Call* call = invocation.journal->call;
  if (call == nullptr) return;
  const Journal::Answer& answer = invocation.journal->answers().back();
  const auto [first, last] = call->cold_->on_answer.equal_range(answer.request_id);
  for (auto waiting = first; waiting != last; ++waiting) {
    waiting->second->answer = answer.value;
    notifications.answered.add(std::move(waiting->second));
  }
  call->cold_->on_answer.erase(first, last);
  if (call->step_->timeout_ms != 0)
    set_timer(locked, *call, begin_ms(), notifications);  // its time begins again
  notifications.answered_call = Ref<Call>::share(call);
  notifications.more = true;
}

// What was asked in this tick, or all of it where the run has just begun in this process.
void Run::hand_out_requests(Locked locked, Notifications& notifications) noexcept {
  if (!top().listeners_.input || !life_.started) return;
  std::vector<Ref<Event>>& requests = notifications.requests;
  Tick tick{Tick::Kind::hand_out};
  std::vector<Ref<Event>> here;
  tick.requests = is_child() ? &here : &requests;
  Commands none;
  try {
    if (is_child()) {  // as they are known outside, and room for them
      const Ref<EventPath> path = this->path();
      for (const Question* at = state().questions.last(); at != nullptr && !at->handed_out;
           at = at->previous())
        here.push_back(seen_from_outside(*at->request, path));
      std::reverse(here.begin(), here.end());
      reserve_more(requests, here.size());
      const size_t count = here.size();
      here.reserve(2 * count);
      locked_state_.apply(locked, tick, none);
      for (size_t i = 0; i < count; ++i) requests.push_back(std::move(here[i]));
    } else {
      locked_state_.apply(locked, tick, none);
    }
  } catch (const std::bad_alloc&) {
    return;  // they stay open, and are handed out with the next one
  }
  if (!requests.empty()) begin_callback_round(locked, notifications);
  notifications.more = true;
}

// Without a lock.
void Run::call_input(const Event& request) noexcept {
  Ref<Value> answer;
  Ref<Error> error;
  const Status status = runtime_->calls().input(listeners_.input->callback, *this, request, answer, error);
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

}  // namespace blazen
