// What the steps of a generated workflow do, and who answers their questions.
#include <algorithm>

#include "simulation/driver.hpp"

namespace sim {
namespace {

std::string path_of(const blazen_event* event, bool relaxed) {
  blazen_value* value = blazen_event_value(event);
  if (blazen_value_tag(value) == BLAZEN_TAG_LIVE)
    return static_cast<Objects::Object*>(blazen_value_object(value))->text;
  const std::string text = bt::data_of(value);
  if (text.size() > 1 && text[0] == '"') return text.substr(1, text.size() - 2);
  if (text[0] != '{') return "start";
  const nlohmann::json object = nlohmann::json::parse(text);
  if (object.contains("response"))
    return "answer " + object["response"].dump() + (relaxed ? "" : object["request_id"].get<std::string>());
  return "failed " + object["step"].get<std::string>() + " " +
         std::to_string(object["invocation_id"].get<uint64_t>());
}

// In the place of an answer.
const char* const kWithdrawn = "withdrawn";

}  // namespace

// Of a plan that diverges, some later attempts ask something else. What the handler answers at once is looked
// for under the id of the first (ask).
std::string Driver::prompt_of(const std::string& own, size_t index, uint32_t attempt) const {
  std::string prompt = "ask " + own + " " + std::to_string(index);
  if (plan_.diverges_percent == 0 || attempt == 1 || mix_text(plan_.seed, prompt) % 100 >= 50) return prompt;
  const std::string other = prompt + " *" + std::to_string(attempt);
  return plan_.handler_percent >= 0 && handle(plan_, other) == Handling::at_once ? prompt : other;
}

bool Driver::Held::is_asking() const {
  return std::any_of(answers.begin(), answers.end(), [](const std::string& each) { return each.empty(); });
}

// What a call of a body may answer: it passes that on.
bool Driver::may_be(blazen_status status) const {
  if (status == BLAZEN_ERROR_CANCELLED) return plan_.withdraws_percent != 0;
  if (status != BLAZEN_ERROR_LIMIT) return status == BLAZEN_OK || status == BLAZEN_ERROR_HOST;
  note_limit("LIMIT");
  return !plan_.limits.empty();
}

void Driver::note_limit(const std::string& text) const {
  static const char* const kNames[] = {
      "",           "queued events",   "state bytes", "session bytes", "stream items", "subscribers",
      "step sends", "stream retained", "questions"};
  if (text.find("LIMIT") == std::string::npos || plan_.limits.empty()) return;
  count(std::string("limit of ") + kNames[plan_.limits[0].first]);
}

bt::Event Driver::event_of(const Send& send) {
  bt::Value value = send.live ? objects_.make(send.path, true) : bt::json("\"" + send.path + "\"");
  return bt::event(send.type, value.get());
}

blazen_send_options Driver::options_of(const Send& send) {
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  if (!send.step.empty()) options = bt::to_step(send.step);
  options.delay_ms = send.delay_ms;
  return options;
}

blazen_status Driver::noted(Ctx& ctx, blazen_status status) {
  if (status != BLAZEN_OK && ctx.failed == BLAZEN_OK) ctx.failed = status;
  if (bt::after_each_call != nullptr) (*bt::after_each_call)();
  return status;
}

void Driver::send(Ctx& ctx, const Send& sent) {
  const blazen_send_options options = options_of(sent);
  noted(ctx, blazen_context_send_event(ctx.raw, event_of(sent), &options, nullptr));
}

void Driver::emit(Ctx& ctx, const Send& sent) {
  const blazen_send_options options = options_of(sent);
  noted(ctx, blazen_context_emit_event(ctx.raw, event_of(sent), &options, nullptr));
}

// Counts the permits that are out: exactly, where bodies begin on several threads.
blazen_status Driver::call_body(size_t index, Ctx& ctx) {
  const StepPlan& step = plan_.steps[index];
  const uint32_t out = ++out_[index];
  if (is_in_crowd_ && step.concurrency_max != 0 && out > step.concurrency_max)
    fail("step " + step.name + " has " + std::to_string(out) + " permits out");
  const uint64_t id = ctx.id();
  std::lock_guard guard(lock_);
  const blazen_status status = body(index, ctx);
  if (!held_.contains(id)) --out_[index];
  return status;
}

blazen_status Driver::body(size_t index, Ctx& ctx) {
  const StepPlan& step = plan_.steps[index];
  const std::string path = path_of(ctx.trigger(), plan_.relaxed);
  const Behaviour b = behave(plan_, index, path);
  const uint64_t id = ctx.id();
  trace("body " + std::to_string(id) + " " + step.name + " " + path + " attempt " +
        std::to_string(ctx.attempt()));
  if (const auto before = now_.completed.find(id); before != now_.completed.end()) {
    // What an atomic step has written may be refused when it completes: it fails after all.
    const bool was_refused = step.atomic && !plan_.limits.empty() && ctx.attempt() == before->second + 1;
    if (!was_refused) fail("invocation " + std::to_string(id) + " runs again after its completion");
    now_.completed.erase(before);
  }
  if (++bodies_ > 1) fail("two bodies run at once");
  ++bodies_run_;
  ++running_[index];
  check_permits(index, id);
  const blazen_status status = first_half(index, ctx, path, b);
  --bodies_;
  --running_[index];
  return status;
}

void Driver::check_permits(size_t index, uint64_t starting) {
  const StepPlan& step = plan_.steps[index];
  uint32_t count = running_[index];
  for (const auto& [id, held] : held_) {
    if (held.step == index && id != starting && !Ctx(held.invocation).cancelled()) ++count;
  }
  if (step.concurrency_max != 0 && count > step.concurrency_max)
    fail("step " + step.name + " has " + std::to_string(count) + " permits out");
}

blazen_status Driver::first_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b) {
  const StepPlan& step = plan_.steps[index];
  for (const Send& sent : b.sends) {
    Send changed = sent;
    if (plan_.diverges_percent > 0 && ctx.attempt() > 1) {
      // Another payload is swallowed; another type counts.
      const uint64_t chance = mix_text(plan_.seed, sent.path) % 100;
      if (chance < 30) changed.path += "*" + std::to_string(ctx.attempt());
      if (chance >= 20 && chance < 50 && sent.step.empty())
        changed.type = sent.type == plan_.types[0] ? "Finish" : plan_.types[0];
    }
    send(ctx, changed);
  }
  for (int i = 0; i < b.publishes; ++i)
    ctx.publish("Pub", "\"" + path + " " + step.name + std::to_string(i) + "\"");
  blazen_status status = ctx.failed;
  if (status == BLAZEN_OK) {
    if (step.deferred) return defer(index, ctx, path, b);
    status = second_half(index, ctx, path, b);
  }
  if (ended()) return status;  // by what it has sent, or by the input handler
  if (status == BLAZEN_PENDING) {
    log("ask", index, ctx.id(), path, ctx.attempt(), "");
    return status;
  }
  if (!may_be(status)) fail(std::string("a call in a body answered ") + blazen_status_name(status));
  landed(index, ctx.id(), path, ctx.attempt(), status == BLAZEN_OK);
  return status;
}

// It counts as in flight when nothing of it can happen any more before the body returns: whoever goes on
// from a snapshot before that calls the body where it was called here.
blazen_status Driver::defer(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b) {
  const uint64_t id = ctx.id();
  const bool is_again = awaited_.erase(id) == 1;
  held_.insert_or_assign(id, Held{ctx.defer(), index, path, ctx.attempt(), b,
                                  std::vector<std::string>(static_cast<size_t>(b.asks)), true});
  for (size_t i = 0; i < static_cast<size_t>(b.asks); ++i) ask_later(ctx, id, i);
  if (ended()) return BLAZEN_PENDING;
  if (b.asks > 0 && !held_.at(id).is_asking()) all_answered(id);
  if (!is_again && !ended()) log("defer", index, id, path, ctx.attempt(), "");
  const auto held = held_.find(id);
  if (held == held_.end()) return BLAZEN_PENDING;
  held->second.is_in_body = false;
  now_.in_flight[id] = ctx.attempt();
  return BLAZEN_PENDING;
}

// Is the same when it runs again.
blazen_status Driver::second_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b) {
  const StepPlan& step = plan_.steps[index];
  const std::string own = path + "." + step.name;
  if (b.late_send) ctx.publish("Late", "\"" + own + "\"");
  if (const blazen_status status = ask(ctx, own, b); status != BLAZEN_OK) return status;
  if (const blazen_status status = write(ctx, own, b); status != BLAZEN_OK) return status;
  if (step.name == "join") join(ctx, path);
  if (step.name == "finish") ctx.stop("\"finished " + std::to_string(ctx.count("")) + " " + path + "\"");
  if (ctx.attempt() <= b.failures) {
    if (b.retry_after_ms >= 0) noted(ctx, blazen_context_retry_after(ctx.raw, b.retry_after_ms, nullptr));
    if (ctx.failed != BLAZEN_OK) return ctx.failed;
    failure_ = own;
    return ctx.error() != nullptr ? ctx.fail(b.code, own) : BLAZEN_ERROR_HOST;
  }
  for (const Send& sent : b.emits) emit(ctx, sent);
  for (int i = 0; i < b.inputs; ++i) {
    const std::string id = b.inputs_named ? "\"request_id\":\"" + own + std::to_string(i) + "\"," : "";
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{" + id + "\"prompt\":\"input " + own + std::to_string(i) + "\"}");
  }
  if (b.stops) ctx.stop("\"stopped by " + own + "\"");
  return ctx.failed;
}

// Emits once, whoever runs again. Two that were in flight in a snapshot both find all parts there afterwards:
// the one that is the last is whoever has said so, and says so again.
void Driver::join(Ctx& ctx, const std::string& path) {
  ctx.set("part." + path, "1");
  if (ctx.failed != BLAZEN_OK || ctx.count("part.") != static_cast<size_t>(plan_.parts)) return;
  ctx.set_once(kJoinedBy, "\"" + path + "\"");
  if (ctx.failed == BLAZEN_OK && ctx.text(kJoinedBy) == "\"" + path + "\"")
    emit(ctx, {plan_.types[0], "joined", "", 0, false});
}

// The answers go into the state; BLAZEN_PENDING: there is one to wait for.
blazen_status Driver::ask(Ctx& ctx, const std::string& own, const Behaviour& b) {
  const auto held = held_.find(ctx.id());
  bool waits = false;
  for (size_t i = 0; i < static_cast<size_t>(b.asks); ++i) {
    const std::string prompt = prompt_of(own, i, ctx.attempt());
    const std::string default_text = default_of(prompt);
    std::string answer = held != held_.end() ? held->second.answers[i]
                                             : ctx.ask(prompt, {}, deadline_of(plan_, prompt), default_text);
    if (answer == kWithdrawn) return BLAZEN_ERROR_CANCELLED;
    if (answer.empty() && ctx.failed == BLAZEN_PENDING && !ended() &&
        handle(plan_, prompt) == Handling::at_once && plan_.handler_percent >= 0) {
      answer = ctx.ask(prompt, "i" + std::to_string(ctx.id()) + "." + std::to_string(i + 1));
      if (answer.empty() && !plan_.has_limit(BLAZEN_LIMIT_QUESTIONS))
        fail("what the input handler answers at once is not there");
      if (!waits && !answer.empty()) ctx.failed = BLAZEN_OK;
    }
    if (answer.empty()) {
      if (ctx.failed != BLAZEN_PENDING) return ctx.failed;
      waits = true;
    } else if (!waits) {
      if (!is_answer(prompt, answer)) fail("'" + prompt + "' got the answer " + answer);
      ctx.set("answer." + own + std::to_string(i), answer);
    }
  }
  return waits ? BLAZEN_PENDING : ctx.failed;
}

blazen_status Driver::write(Ctx& ctx, const std::string& own, const Behaviour& b) {
  for (int i = 0; i < b.sets; ++i) {
    const std::string key = "v." + own + std::to_string(i);
    const uint64_t h = mix_text(plan_.seed, key);
    if (h % 3 == 0) ctx.set(key, bt::json(std::to_string(h)));
    if (h % 3 == 1) ctx.set(key, bt::bytes(key));
    if (h % 3 == 2) ctx.set(key, bt::native(key, "sim/native"));
  }
  if (b.counts) {
    uint64_t version = 0;
    const bt::Value old = ctx.get("count", &version);
    const std::string text = std::to_string((old.get() == nullptr ? 0 : std::stoi(bt::data_of(old))) + 1);
    noted(ctx, blazen_context_compare_and_set(ctx.raw, BLAZEN_TEXT("count"), version, bt::json(text), nullptr,
                                              nullptr));
  }
  if (b.session) {
    const bt::Value object = objects_.make(own, plan_.live == Live::kept);
    const blazen_status status = ctx.set_session(own, object);
    const bt::Value back = ctx.session(own);
    if (status == BLAZEN_OK && !ended() && blazen_value_object(back) != blazen_value_object(object))
      fail("the session gives another object back");
  }
  return ctx.failed;
}

// ------------------------------------------------------------------------------------- questions and answers

std::string Driver::answer_to(const std::string& prompt) const {
  return std::to_string(mix_text(plan_.seed, prompt));
}

std::string Driver::default_of(const std::string& prompt) const { return "[" + answer_to(prompt) + "]"; }

bool Driver::is_answer(const std::string& prompt, const std::string& answer) const {
  if (answer == answer_to(prompt)) return !is_withdrawn(plan_, prompt) || plan_.handler_percent >= 0;
  if (answer == kWithdrawn) return is_withdrawn(plan_, prompt);
  if (answer != default_of(prompt) || deadline_of(plan_, prompt) == 0) return false;
  count("answers by default");
  return true;
}

void Driver::ask_later(Ctx& ctx, uint64_t id, size_t index) {
  const Held& held = held_.at(id);
  const std::string prompt = prompt_of(held.path + "." + plan_.steps[held.step].name, index, held.attempt);
  Asked& asked = asked_.emplace_back(this, id, index, prompt);
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.prompt = prompt.data();
  question.prompt_length = prompt.size();
  question.deadline_ms = deadline_of(plan_, prompt);
  const bt::Value default_answer = bt::json(default_of(prompt));
  if (question.deadline_ms != 0) question.default_answer = default_answer;
  question.user_data = &asked;
  question.drop = [](void* self) { ++static_cast<Asked*>(self)->drops; };
  question.answered = [](void* self, blazen_context*, const char*, size_t, blazen_value* answer) {
    Asked& waiting = *static_cast<Asked*>(self);
    ++waiting.calls;
    if (waiting.drops != 0) waiting.driver->fail("a callback is called after it was dropped");
    waiting.driver->answered(waiting, answer == nullptr ? kWithdrawn : bt::data_of(answer));
  };
  bt::Value answer;
  const blazen_status status = noted(ctx, blazen_context_ask(ctx.raw, &question, answer.out(), nullptr));
  if (status == BLAZEN_OK) {
    count("answers that a deferred body finds");
    if (asked.drops != 1) fail("a callback that is not needed is not dropped at once");
    answered(asked, bt::data_of(answer));
  } else if (status == BLAZEN_ERROR_CANCELLED && is_withdrawn(plan_, prompt) && !ended()) {
    count("withdrawn questions that a deferred body finds");
    answered(asked, kWithdrawn);
  } else if (status != BLAZEN_PENDING && !ended()) {
    fail(std::string("a question of a deferred step answered ") + blazen_status_name(status));
  }
}

// By a callback, or by the question itself.
void Driver::answered(const Asked& asked, const std::string& answer) {
  std::lock_guard guard(lock_);
  const auto at = held_.find(asked.invocation_id);
  if (at == held_.end()) return fail("an answer comes to an invocation that is over");
  Held& held = at->second;
  if (asked.calls == 1) count("answers by callback");
  if (!held.answers[asked.index].empty()) fail("'" + asked.prompt + "' is answered twice");
  if (!is_answer(asked.prompt, answer)) fail("'" + asked.prompt + "' got the answer " + answer);
  held.answers[asked.index] = answer;
  if (!held.is_in_body && !held.is_asking()) all_answered(asked.invocation_id);
}

void Driver::all_answered(uint64_t id) {
  const Held& held = held_.at(id);
  Ctx ctx(held.invocation);
  ctx.publish("Answered", "\"" + held.path + "." + plan_.steps[held.step].name + "\"");
  if (!held.behaviour.completes_when_answered || held.behaviour.fate != Fate::complete || ended()) return;
  count(held.is_in_body ? "completions inside a deferred body" : "completions inside a callback");
  complete(id);
}

// The input handler. It may be called in a body that asks, when a step has completed, and at the start.
blazen_status Driver::handle_request(const blazen_event* request, blazen_value** answer,
                                     blazen_error** error) {
  std::lock_guard guard(lock_);
  const nlohmann::json asked = nlohmann::json::parse(bt::input_of(request));
  const std::string id = asked["request_id"];
  const std::string prompt = asked["prompt"];
  if (bt::correlation_of(request) != id) fail("a request has another correlation");
  if (!handlers_.back().asked.insert(blazen_event_id(request)).second)
    fail("the input handler gets question " + id + " twice");
  handling_ = true;
  if (bt::after_each_call != nullptr) (*bt::after_each_call)();
  handling_ = false;
  switch (handle(plan_, prompt)) {
    case Handling::later: count("the handler says PENDING"); return BLAZEN_PENDING;
    case Handling::at_once: {
      trace("handler answers " + id);
      count("the handler answers at once");
      now_.log.push_back("answer " + (plan_.relaxed ? prompt : id));
      *answer = bt::json(answer_to(prompt)).take();
      return BLAZEN_OK;
    }
    case Handling::fail: break;
  }
  trace("handler fails " + id);
  count("the handler fails");
  return blazen_error_host(5, prompt.data(), prompt.size(), nullptr, error);
}

void Driver::log(const std::string& what, size_t index, uint64_t id, const std::string& path,
                 uint32_t attempt, const std::string& how) {
  now_.log.push_back(what + " " + std::to_string(id) + " " + plan_.steps[index].name + " " + path +
                     " attempt " + std::to_string(attempt) + " " + how);
}

void Driver::landed(size_t index, uint64_t id, const std::string& path, uint32_t attempt, bool is_done) {
  log("land", index, id, path, attempt, is_done ? "done" : "failed");
  now_.done.push_back(plan_.steps[index].name + " " + path + " attempt " + std::to_string(attempt) +
                      (is_done ? " done" : " failed"));
  if (is_done && !now_.completed.emplace(id, attempt).second)
    fail("invocation " + std::to_string(id) + " completes twice");
}

}  // namespace sim
