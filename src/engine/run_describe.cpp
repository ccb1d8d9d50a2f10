// What a run looks like from outside, without stopping it: a copy under the lock, and the words outside it.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/uuid.hpp"
#include "engine/run.hpp"

namespace blazen {
namespace {

// Only the strings are nlohmann's: its arrays and objects do not stand a failed allocation.
std::string text(std::string_view content) { return nlohmann::json(content).dump(); }

// Writes members and items, with the commas between them.
class JsonWriter {
 public:
  void open(char bracket) {
    comma();
    json_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    json_ += bracket;
    first_ = false;
  }
  void key(std::string_view name) {
    comma();
    json_.append("\"").append(name).append("\":");
    first_ = true;
  }
  void raw(std::string_view value) {
    comma();
    json_ += value;
  }
  void member(std::string_view name, std::string_view value) {
    key(name);
    raw(text(value));
  }
  void member(std::string_view name, int64_t value) {
    key(name);
    raw(std::to_string(value));
  }
  void count(std::string_view name, uint64_t value) {
    key(name);
    raw(std::to_string(value));
  }
  std::string take() { return std::move(json_); }

 private:
  void comma() {
    if (!first_) json_ += ",";
    first_ = false;
  }
  std::string json_;
  bool first_ = true;
};

const char* name_of(RunStatus status) noexcept {
  switch (status) {
    case RunStatus::created: return "created";
    case RunStatus::running: return "running";
    case RunStatus::waiting: return "waiting";
    case RunStatus::elsewhere: return "elsewhere";
    case RunStatus::completed: return "completed";
    case RunStatus::failed: return "failed";
    case RunStatus::cancelled: return "cancelled";
    case RunStatus::paused: return "paused";
    case RunStatus::asking: return "asking";
  }
  return "unknown";
}

// So many of each kind are listed; all are counted.
constexpr size_t kListedMax = 100;

struct Work {
  uint64_t id;
  StepIndex step;
  uint32_t attempt;
  Ref<Event> event;
  int64_t ms;  // age, or until it is due; -1: not known
};

struct Timer {
  Ref<Event> event;
  int64_t due_in_ms;
};

struct Asked {
  Ref<Event> request;
  uint64_t invocation_id;
  int64_t asked_ms;
  int64_t age_ms;
};

// The members of the request, without the braces.
std::string_view members_of(const Event& request) noexcept {
  const std::string_view json = request.value()->data();
  const size_t first = json.find('{') + 1;
  return json.substr(first, json.rfind('}') - first);
}

void put_question(JsonWriter& json, const Asked& question) {
  json.open('{');
  json.raw(members_of(*question.request));
  json.member("step", question.request->source());
  if (question.invocation_id != 0) json.count("invocation_id", question.invocation_id);
  json.member("asked_ms", question.asked_ms);
  json.member("age_ms", question.age_ms);
  json.close('}');
}

std::vector<Asked> copy_questions(const RunState& state, int64_t now_ms) {
  std::vector<Asked> questions;
  questions.reserve(state.questions.size());
  for (const Question& question : state.questions) {
    questions.push_back({question.request, question.asker == nullptr ? 0 : question.asker->id,
                         question.asked_ms, now_ms - question.asked_ms});
  }
  return questions;
}

class Picture {
 public:
  Picture(const RunState& state, RunStatus status, int64_t now_ms) : status_(status), now_ms_(now_ms) {
    elapsed_ms_ = state.clock.at(now_ms);
    copy_work(state);
    questions_ = copy_questions(state, now_ms);
    for (const auto& [key, delayed] : state.delayed) {
      if (timers_.size() == kListedMax) break;
      timers_.push_back({delayed.event, std::max<int64_t>(0, key.first - elapsed_ms_)});
    }
    delayed_count_ = state.delayed.size();
    in_flight_count_ = state.in_flight.size();
    queued_count_ = state.open - state.in_flight.size() - state.backing_off.size() - state.asking.size();
    retry_count_ = state.backing_off.size();
    asking_count_ = state.asking.size();
    pause_ = state.pause;
    events_ = state.event_id_last;
    invocations_ = state.invocation_id_last;
    published_ = state.stream_last;
    for (StepIndex step = 0; step < state.steps.size(); ++step) {
      if (state.steps[step].parked != 0) elsewhere_.push_back(step);
    }
    if (state.state) {
      keys_ = state.state->size();
      bytes_ = state.state->bytes();
    }
    timeout_ms_ = state.workflow->policy().timeout_ms;
    error_ = state.error;
  }

  void put(const Workflow& workflow, std::string_view run_id, JsonWriter& json) const {
    json.open('{');
    json.member("run_id", run_id);
    json.member("workflow", workflow.name());
    json.member("status", name_of(status_));
    if (pause_ != Pause::none) json.member("pause", pause_ == Pause::now ? "now" : "drain");
    if (error_) json.member("error", error_->message);
    put_list(workflow, json, "in_flight", in_flight_, "age_ms");
    put_list(workflow, json, "queued", queued_, nullptr);
    put_list(workflow, json, "retrying", retrying_, "due_in_ms");
    put_timers(json);
    json.key("questions");
    json.open('[');
    for (const Asked& question : questions_) put_question(json, question);
    json.close(']');
    json.key("elsewhere");
    json.open('[');
    for (const StepIndex step : elsewhere_) json.raw(text(workflow.steps()[step].name));
    json.close(']');
    put_counters(json);
    json.close('}');
  }

 private:
  static void copy_list(const InvocationList& list, std::vector<Work>& to) {
    for (const Invocation* item = list.front(); item != nullptr && to.size() < kListedMax; item = item->next)
      to.push_back({item->id, item->step, item->attempt, item->event, -1});
  }
  void copy_work(const RunState& state) {
    for (const Invocation* item = state.in_flight.front(); item != nullptr && in_flight_.size() < kListedMax;
         item = item->next) {
      const auto passed_ms = static_cast<uint32_t>(now_ms_) - item->began_ms;
      in_flight_.push_back({item->id, item->step, item->attempt, item->event,
                            item->began_ms == 0 ? -1 : static_cast<int64_t>(passed_ms)});
    }
    for (const InvocationList* list :
         {&state.interrupted, &state.interrupted_waiting, &state.interrupted_parked, &state.ready,
          &state.admitted, &state.parked})
      copy_list(*list, queued_);
    for (const StepState& step : state.steps) copy_list(step.waiting, queued_);
    for (const auto& [key, item] : state.backing_off) {
      if (retrying_.size() == kListedMax) break;
      retrying_.push_back(
          {item->id, item->step, item->attempt, item->event, std::max<int64_t>(0, key.first - elapsed_ms_)});
    }
  }
  static void put_list(const Workflow& workflow, JsonWriter& json, std::string_view name,
                       const std::vector<Work>& list, const char* ms_name) {
    json.key(name);
    json.open('[');
    for (const Work& work : list) {
      json.open('{');
      json.member("step", workflow.steps()[work.step].name);
      json.count("invocation_id", work.id);
      json.count("attempt", work.attempt);
      json.member("event_type", work.event->type());
      if (ms_name != nullptr && work.ms >= 0) json.member(ms_name, work.ms);
      json.close('}');
    }
    json.close(']');
  }
  void put_timers(JsonWriter& json) const {
    json.key("delayed");
    json.open('[');
    for (const Timer& timer : timers_) {
      json.open('{');
      json.member("event_type", timer.event->type());
      json.count("event_id", timer.event->id);
      json.member("due_in_ms", timer.due_in_ms);
      json.close('}');
    }
    json.close(']');
  }
  void put_counters(JsonWriter& json) const {
    json.key("counters");
    json.open('{');
    json.count("in_flight", in_flight_count_);
    json.count("queued", queued_count_);
    json.count("retrying", retry_count_);
    json.count("asking", asking_count_);
    json.count("delayed", delayed_count_);
    json.count("events_routed", events_);
    json.count("invocations", invocations_);
    json.count("published", published_);
    json.count("state_keys", keys_);
    json.count("state_bytes", bytes_);
    json.member("elapsed_ms", elapsed_ms_);
    if (timeout_ms_ != 0) json.member("timeout_in_ms", std::max<int64_t>(0, timeout_ms_ - elapsed_ms_));
    json.close('}');
  }

  RunStatus status_;
  int64_t now_ms_;
  int64_t elapsed_ms_ = 0;
  int64_t timeout_ms_ = 0;
  Pause pause_ = Pause::none;
  std::vector<Work> in_flight_;
  std::vector<Work> queued_;
  std::vector<Work> retrying_;
  std::vector<Timer> timers_;
  std::vector<Asked> questions_;
  std::vector<StepIndex> elsewhere_;
  uint64_t delayed_count_ = 0;
  uint64_t in_flight_count_ = 0;
  uint64_t queued_count_ = 0;
  uint64_t retry_count_ = 0;
  uint64_t asking_count_ = 0;
  uint64_t events_ = 0;
  uint64_t invocations_ = 0;
  uint64_t published_ = 0;
  uint64_t keys_ = 0;
  uint64_t bytes_ = 0;
  Ref<Error> error_;
};

}  // namespace

std::string Run::describe() const {
  const int64_t now = now_ms();
  const std::string run_id(id());
  std::optional<Picture> picture;  // outlives the lock: it may have the last reference to an event
  {
    Guard guard(lock_);
    picture.emplace(state_, started_ || has_ended(state_) ? status_of(state_) : RunStatus::created, now);
  }
  JsonWriter json;
  picture->put(workflow(), run_id, json);
  return json.take();
}

std::string Run::questions() const {
  const int64_t now = now_ms();
  std::vector<Asked> questions;
  {
    Guard guard(lock_);
    questions = copy_questions(state_, now);
  }
  JsonWriter json;
  json.open('[');
  for (const Asked& question : questions) put_question(json, question);
  json.close(']');
  return json.take();
}

void Run::count(Runtime::Counters& counters) const noexcept {
  Guard guard(lock_);
  counters.events_routed += state_.event_id_last;
  counters.in_flight += state_.in_flight.size();
  counters.queued += state_.open - state_.in_flight.size();
  if (!started_ && !has_ended(state_)) {
    ++counters.created;
    return;
  }
  switch (status_of(state_)) {
    case RunStatus::created: ++counters.created; break;
    case RunStatus::running: ++counters.running; break;
    case RunStatus::waiting: ++counters.waiting; break;
    case RunStatus::elsewhere: ++counters.elsewhere; break;
    case RunStatus::paused: ++counters.paused; break;
    case RunStatus::asking: ++counters.asking; break;
    case RunStatus::completed: ++counters.completed; break;
    case RunStatus::failed: ++counters.failed; break;
    case RunStatus::cancelled: ++counters.cancelled; break;
  }
}

}  // namespace blazen
