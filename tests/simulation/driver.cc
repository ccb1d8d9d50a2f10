#include "simulation/driver.hpp"

#include <algorithm>
#include <cstdint>

namespace sim {

Result Driver::drive(const std::string& first) {
  open(first, true, 0);
  for (int rounds = 0; result_.problem.empty() && !ended(); ++rounds) {
    if (rounds > 20'000) fail("the run does not end");
    while (is_interruption_due() && result_.problem.empty() && !ended()) interrupt(schedule_[next_++]);
    if (result_.problem.empty() && !ended()) tick();
  }
  close_up();
  return take_result();
}

bool Driver::is_interruption_due() const {
  return next_ < schedule_.size() && schedule_[next_].tick <= now_.tick;
}

void Driver::fail(const std::string& why) {
  std::lock_guard guard(lock_);
  if (result_.problem.empty()) result_.problem = why;
  trace("PROBLEM " + why);
}

void Driver::trace(const std::string& line) {
  std::lock_guard guard(lock_);
  result_.trace.push_back(std::to_string(now_.tick) + " " + line);
}

void Driver::must(blazen_status status, const char* call) {
  if (status != BLAZEN_OK) fail(std::string(call) + " answered " + blazen_status_name(status));
}

uint64_t Driver::poll() {
  uint64_t steps = 0;
  do {
    poll_held_back();
    must(blazen_runtime_poll(engine_->runtime(), 1, &steps, nullptr), "poll");
    take();
    // What is due may publish, and so hold the run back in the middle of the poll.
  } while (steps == 0 && is_held_back());
  sweep();
  return steps;
}

bool Driver::is_held_back() const { return follower_ && follower_->is_full(now_.items.size()) && !ended(); }

// A subscriber that is full holds the run back, until it takes something.
void Driver::poll_held_back() {
  if (!is_held_back()) return;
  count("held back");
  const uint64_t before = bodies_run_;
  must(blazen_runtime_poll(engine_->runtime(), 1, nullptr, nullptr), "poll");
  if (bodies_run_ != before) fail("a step starts while a subscriber holds the run back");
  take();
  take_follower();
}

// Those whose time is up do not count any more.
void Driver::sweep() {
  for (auto at = held_.begin(); at != held_.end();) {
    if (Ctx(at->second.invocation).cancelled() && !ended()) {
      const StepPlan& step = plan_.steps[at->second.step];
      if (step.concurrency_max != 0)
        count(step.frees_permit ? "abandoned, and free their permits" : "abandoned, and keep their permits");
      if (blazen_invocation_complete(at->second.invocation, nullptr) != BLAZEN_ERROR_CANCELLED)
        fail("a late completion is not refused");
      log("late", at->second.step, at->first, at->second.path, at->second.attempt, "");
      now_.in_flight.erase(at->first);
      at = held_.erase(at);
    } else {
      ++at;
    }
  }
}

void Driver::take() {
  for (bt::Item& item : bt::take(stream_)) {
    if (item.type == BLAZEN_STREAM_END) {
      stream_ended_ = true;
      continue;
    }
    if (item.sequence != now_.items.size() + 1)
      fail("stream item " + std::to_string(item.sequence) + " comes after " +
           std::to_string(now_.items.size()));
    for (const char* kind : {"send_changed", "send_diverged", "instead_of"}) {
      if (item.type == BLAZEN_LIFECYCLE && item.value.find(kind) != std::string::npos) count(kind);
    }
    now_.items.push_back(std::move(item));
  }
}

std::vector<nlohmann::json> Driver::questions() {
  bt::Value list;
  must(blazen_run_questions(run_, list.out(), nullptr), "questions");
  if (bt::data_of(list) == "[]") return {};
  const nlohmann::json parsed = nlohmann::json::parse(bt::data_of(list), nullptr, false);
  if (!parsed.is_array()) fail("questions is no JSON");
  return {parsed.begin(), parsed.end()};
}

// How long until something is due by what the run says of itself, the time-out of the run aside; -1:
// nothing is. blazen_runtime_next_timer may name an earlier moment, never a later one.
int64_t Driver::due() {
  bt::Value text;
  must(blazen_run_describe(run_, text.out(), nullptr), "describe");
  const nlohmann::json all = nlohmann::json::parse(bt::data_of(text), nullptr, false);
  if (!all.is_object()) {
    fail("describe is no JSON: " + bt::data_of(text));
    return -1;
  }
  int64_t least_ms = INT64_MAX;
  for (const char* list : {"retrying", "delayed"}) {
    for (const nlohmann::json& item : all[list])
      least_ms = std::min(least_ms, item["due_in_ms"].get<int64_t>());
  }
  retrying_.clear();
  for (const nlohmann::json& item : all["retrying"]) retrying_.push_back(item["invocation_id"]);
  for (const nlohmann::json& item : all["questions"]) {
    if (item.contains("deadline_ms"))
      least_ms = std::min(least_ms, item["deadline_ms"].get<int64_t>() - clock_->now_ms.load());
  }
  const bool has_stopped = all["status"] != "running" && all["status"] != "waiting";
  for (const nlohmann::json& item : all["in_flight"]) {
    const auto held = held_.find(item["invocation_id"].get<uint64_t>());
    if (held != held_.end() && held->second.is_asking()) continue;  // no time of its own passes
    for (const StepPlan& step : plan_.steps) {
      // Without an age, it has not begun again yet.
      if (item["step"] == step.name && step.timeout_ms != 0 && item.contains("age_ms"))
        least_ms = std::min(least_ms, step.timeout_ms - item["age_ms"].get<int64_t>());
    }
  }
  if (least_ms == INT64_MAX) return -1;
  least_ms = std::max<int64_t>(least_ms, 0);
  const int64_t timer_ms = engine_->next_timer();
  if (!has_stopped && (timer_ms < 0 || timer_ms > least_ms))
    fail("something is due in " + std::to_string(least_ms) + " ms, and the next timer is in " +
         std::to_string(timer_ms));
  return least_ms;
}

void Driver::tick() {
  const uint64_t h = mix(plan_.seed, 0xD, static_cast<uint64_t>(now_.tick));
  bool polled = false;
  if (now_.polling) {
    poll();
    now_.polling = false;
    ++now_.tick;
    return;
  }
  const int64_t timer_ms = engine_->next_timer() == 0 ? due() : -1;
  if (timer_ms == 0 || h % 4 != 0) {
    now_.polling = true;
    const bool ran = poll() != 0;
    now_.polling = false;
    if (ran || ended() || timer_ms == 0) {
      ++now_.tick;
      return;
    }
    polled = true;
  }
  if (act(mix(h), polled)) ++now_.tick;
}

std::vector<uint64_t> Driver::completable() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, held] : held_) {
    const bool may_end =
        held.is_asking() ? held.behaviour.fate == Fate::lose : held.behaviour.fate != Fate::abandon;
    if (may_end) ids.push_back(id);
  }
  return ids;
}

bool Driver::act(uint64_t h, bool polled) {
  int64_t timer_ms = due();
  const std::vector<uint64_t> completable = this->completable();
  const std::vector<nlohmann::json> asked = questions();
  const bool sends = plan_.idle == BLAZEN_IDLE_WAIT && now_.externals < plan_.externals &&
                     (blazen_run_state_now(run_) == BLAZEN_RUN_WAITING || (h >> 40) % 8 == 0);
  const size_t others = completable.size() + asked.size() + (sends ? 1 : 0);
  if (timer_ms < 0 && polled && others == 0) timer_ms = engine_->next_timer();  // the run's time-out, maybe
  const bool times =
      timer_ms > 0 && (others == 0 || (timer_ms < kFar_ms && (!plan_.relaxed || completable.empty())));
  if (timer_ms >= kFar_ms && others == 0) {
    if (!polled && poll_first()) return true;
    if (hands_over()) return false;
  }
  const size_t count = others + (times ? 1 : 0);
  if (count == 0) {
    if (!polled && poll_first()) return true;
    if (ended()) return true;
    if (hands_over()) return false;
    bt::Value text;
    blazen_run_describe(run_, text.out(), nullptr);
    fail("nothing can go on: " + bt::data_of(text));
    return true;
  }
  size_t pick = (h >> 8) % count;
  if (pick < completable.size()) {
    if (!cancels(h, completable[pick])) complete(completable[pick]);
  } else if ((pick -= completable.size()) < asked.size()) {
    if (!cancels(h, asked[pick].value("invocation_id", uint64_t{0}))) answer(asked[pick]);
  } else if (pick == asked.size() && sends) {
    send_external();
  } else if (!retrying_.empty() && cancels(h, retrying_[(h >> 16) % retrying_.size()])) {
    sim::count("cancelled while they are to be tried again");
  } else {
    now_.log.push_back("time");
    trace("time " + std::to_string(timer_ms));
    clock_->now_ms += timer_ms;
    now_.polling = true;
    poll();
    now_.polling = false;
  }
  sweep();
  take();
  return true;
}

bool Driver::poll_first() {
  now_.polling = true;
  const bool ran = poll() != 0;
  now_.polling = false;
  return ran || ended();
}

void Driver::complete(uint64_t id) {
  Held& held = held_.at(id);
  trace("complete " + std::to_string(id));
  Ctx ctx(held.invocation);
  const Fate fate = held.behaviour.fate;
  if (fate != Fate::lose) {
    const blazen_status status = second_half(held.step, ctx, held.path, held.behaviour);
    if (ended()) return;
    now_.in_flight.erase(id);
    if (!held.is_in_body) --out_[held.step];
    if (status == BLAZEN_OK) {
      landed(held.step, id, held.path, held.attempt, true);
      must(blazen_invocation_complete(held.invocation, nullptr), "complete");
      if (blazen_invocation_complete(held.invocation, nullptr) == BLAZEN_OK)
        fail("a second completion is taken");
    } else {
      if (!may_be(status))
        fail(std::string("a call of a deferred step answered ") + blazen_status_name(status));
      landed(held.step, id, held.path, held.attempt, false);
      bt::Error cause;
      const std::string why = status == BLAZEN_ERROR_HOST ? failure_ : blazen_status_name(status);
      blazen_error_host(held.behaviour.code, why.data(), why.size(), nullptr, cause.out());
      must(blazen_invocation_fail(held.invocation, cause, nullptr), "fail");
    }
  } else {
    if (held.is_asking()) count("lost while they ask");
    now_.in_flight.erase(id);
    landed(held.step, id, held.path, held.attempt, false);
  }
  held_.erase(id);
}

void Driver::answer(const nlohmann::json& question) {
  const std::string id = question["request_id"];
  const std::string prompt = question["prompt"];
  if (is_withdrawn(plan_, prompt)) return withdraw(id);
  const bt::Value value = bt::json(answer_to(prompt));
  trace("answer " + id);
  now_.log.push_back("answer " + (plan_.relaxed ? prompt : id));
  answering_ = true;
  const blazen_status status = blazen_run_respond(run_, id.data(), id.size(), value, nullptr);
  answering_ = false;
  if (status == BLAZEN_ERROR_LIMIT && plan_.has_limit(BLAZEN_LIMIT_QUEUED_EVENTS)) {
    count("answers without room");
    return;
  }
  must(status, "respond");
  if (plan_.handler_percent >= 0) count("answers after the handler has said PENDING");
  if (blazen_run_respond(run_, id.data(), id.size(), value, nullptr) == BLAZEN_OK && !ended())
    fail("a question is answered twice");
}

void Driver::withdraw(const std::string& id) {
  trace("withdraw " + id);
  now_.log.push_back("withdraw " + id);
  answering_ = true;
  must(blazen_run_withdraw_question(run_, id.data(), id.size(), nullptr), "withdraw_question");
  answering_ = false;
  count("withdrawn questions");
  if (blazen_run_withdraw_question(run_, id.data(), id.size(), nullptr) == BLAZEN_OK)
    fail("a question is withdrawn twice");
}

// Whether this invocation is cancelled now, by chance. One that is held comes to its end in sweep().
bool Driver::cancels(uint64_t h, uint64_t id) {
  if (id == 0 || static_cast<int>(mix(h, id) % 100) >= plan_.cancels_percent) return false;
  const int32_t retry = static_cast<int32_t>(mix(h, id, 1) % 2);
  trace("cancel " + std::to_string(id));
  now_.log.push_back("cancel " + std::to_string(id));
  must(blazen_run_cancel_invocation(run_, id, retry, nullptr), "cancel_invocation");
  count(retry != 0 ? "cancelled, and tried again where it may be" : "cancelled for good");
  if (retry == 0 && blazen_run_cancel_invocation(run_, id, 0, nullptr) == BLAZEN_OK)
    fail("an invocation is cancelled twice");
  return true;
}

void Driver::send_external() {
  const int k = now_.externals++;
  const bool is_last = now_.externals == plan_.externals;
  trace("external " + std::to_string(k));
  now_.log.push_back("external");
  Send sent{is_last ? "Finish" : plan_.types[static_cast<size_t>(k) % plan_.types.size()],
            "ext" + std::to_string(k)};
  must(blazen_run_send_event(run_, event_of(sent), nullptr, nullptr), "send_event");
}

}  // namespace sim
