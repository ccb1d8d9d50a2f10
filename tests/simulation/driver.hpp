// Drives one run of a generated workflow, tick by tick, through the public header: one step at a time, time
// that only the driver moves, answers and completions in an order drawn from the seed; with interruptions, or
// without.
//
// Invariants: what the driver does at logical tick n is a function of the seed, n and the run; an
// interruption leaves the number of logical ticks as it was. So a run that is interrupted does the same as
// one that is not.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/generator.hpp"

namespace sim {

using bt::Ctx;

// LIVE objects, and how often each was dropped.
class Objects {
 public:
  struct Object {
    std::string text;
    Objects* owner;
    int drops = 0;
  };
  bt::Value make(const std::string& text, bool is_kept) {
    Object& object = all_.emplace_back(text, this);
    bt::Value value;
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.drop = [](void* self) { ++static_cast<Object*>(self)->drops; };
    if (is_kept) options.serialize = serialize;
    MUST(blazen_value_live_with(&object, BLAZEN_TEXT("sim/object"), &options, value.out(), e));
    return value;
  }
  static blazen_status serialize(void* self, blazen_value** value, blazen_error** error) {
    const std::string text = "\"" + static_cast<Object*>(self)->text + "\"";
    return blazen_value_json(text.data(), text.size(), value, error);
  }
  static blazen_status deserialize(void* self, const char*, size_t, blazen_value* kept, blazen_value** live,
                                   blazen_error**) {
    const std::string text = bt::data_of(kept);
    *live = static_cast<Objects*>(self)->make(text.substr(1, text.size() - 2), true).take();
    return BLAZEN_OK;
  }
  std::string problem() const {
    for (const Object& object : all_) {
      if (object.drops != 1)
        return "LIVE '" + object.text + "' was dropped " + std::to_string(object.drops) + " times";
    }
    return {};
  }

 private:
  std::deque<Object> all_;
};

inline std::string path_of(const blazen_event* event, bool relaxed) {
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

// What has really happened in all runs of this process, by name.
inline std::map<std::string, uint64_t>& tally() {
  static std::map<std::string, uint64_t> counts;
  return counts;
}

// How a run was, to be compared.
struct Result {
  std::string problem;
  std::string outcome;
  bt::Outcome end;
  std::vector<std::string> log;   // what has had its effect, in order
  std::vector<std::string> done;  // completions, without what depends on the order
  std::vector<bt::Item> items;
  nlohmann::json last;  // the snapshot at the end
  std::vector<std::string> trace;
  int ticks = 0;
};

// The top of a snapshot is a map with numbers for keys, which the reader does not take: as an array, it does.
inline nlohmann::json fields_of(std::string bytes) {
  bytes.erase(0, std::min<size_t>(3, bytes.size()));  // the tag
  if (bytes.size() < 2 || static_cast<unsigned char>(bytes[0]) != 0xb8) return nullptr;
  bytes[0] = '\x98';
  bytes[1] = static_cast<char>(bytes[1] * 2);
  const nlohmann::json pairs =
      nlohmann::json::from_cbor(bytes, true, false, nlohmann::json::cbor_tag_handler_t::ignore);
  if (pairs.is_discarded()) return nullptr;
  nlohmann::json fields = nlohmann::json::array();
  for (size_t i = 1; i < pairs.size(); i += 2) fields.push_back(pairs[i]);
  return fields;
}

class Driver {
 public:
  Driver(const Plan& plan, const std::vector<Interruption>& schedule, Objects& objects)
      : plan_(plan), schedule_(schedule), objects_(objects), running_(plan.steps.size()) {}

  Result drive(const std::string& first) {
    open(first, true);
    size_t next = 0;
    for (int rounds = 0; result_.problem.empty() && !ended(); ++rounds) {
      if (rounds > 20'000) fail("the run does not end");
      while (next < schedule_.size() && schedule_[next].tick <= now_.tick && result_.problem.empty() &&
             !ended())
        interrupt(schedule_[next++]);
      if (result_.problem.empty() && !ended()) tick();
    }
    close_up();
    return std::move(result_);
  }

  static bt::Workflow build(const Plan& plan, Driver* driver, int host);

 private:
  struct Held {
    bt::Invocation invocation;
    size_t step = 0;
    std::string path;
    uint32_t attempt = 0;
    Behaviour behaviour;
  };
  // What is rolled back with the run.
  struct Progress {
    int tick = 0;
    bool polling = false;  // within the tick, its decision was made: a step is to run
    int externals = 0;
    std::vector<std::string> log, done;
    std::vector<bt::Item> items;
    std::set<uint64_t> completed;
    std::map<uint64_t, uint32_t> in_flight;  // deferred ones, with their attempts
  };

  void fail(const std::string& why) {
    if (result_.problem.empty()) result_.problem = why;
    trace("PROBLEM " + why);
  }
  void trace(const std::string& line) { result_.trace.push_back(std::to_string(now_.tick) + " " + line); }
  void must(blazen_status status, const char* call) {
    if (status != BLAZEN_OK) fail(std::string(call) + " answered " + blazen_status_name(status));
  }
  bool ended() const { return bt::is_ended(blazen_run_state_now(run_)); }

  // ------------------------------------------------------------------------------------------ bodies

  bt::Event event_of(const Send& send) {
    bt::Value value = send.live ? objects_.make(send.path, true) : bt::json("\"" + send.path + "\"");
    return bt::event(send.type, value.get());
  }
  static blazen_send_options options_of(const Send& send) {
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    if (!send.step.empty()) options = bt::to_step(send.step);
    options.delay_ms = send.delay_ms;
    return options;
  }
  blazen_status noted(Ctx& ctx, blazen_status status) {
    if (status != BLAZEN_OK && ctx.failed == BLAZEN_OK) ctx.failed = status;
    if (bt::after_each_call != nullptr) (*bt::after_each_call)();
    return status;
  }
  void send(Ctx& ctx, const Send& sent) {
    const blazen_send_options options = options_of(sent);
    noted(ctx, blazen_context_send_event(ctx.raw, event_of(sent), &options, nullptr));
  }
  void emit(Ctx& ctx, const Send& sent) {
    const blazen_send_options options = options_of(sent);
    noted(ctx, blazen_context_emit_event(ctx.raw, event_of(sent), &options, nullptr));
  }

  blazen_status body(size_t index, Ctx& ctx) {
    const StepPlan& step = plan_.steps[index];
    const std::string path = path_of(ctx.trigger(), plan_.relaxed);
    const Behaviour b = behave(plan_, index, path);
    const uint64_t id = ctx.id();
    trace("body " + std::to_string(id) + " " + step.name + " " + path + " attempt " +
          std::to_string(ctx.attempt()));
    if (now_.completed.contains(id))
      fail("invocation " + std::to_string(id) + " runs again after its completion");
    if (++bodies_ > 1) fail("two bodies run at once");
    ++running_[index];
    check_permits(index, id);
    const blazen_status status = first_half(index, ctx, path, b);
    --bodies_;
    --running_[index];
    return status;
  }

  void check_permits(size_t index, uint64_t starting) {
    const StepPlan& step = plan_.steps[index];
    uint32_t count = running_[index];
    for (const auto& [id, held] : held_) {
      if (held.step == index && id != starting && !Ctx(held.invocation).cancelled()) ++count;
    }
    if (step.concurrency_max != 0 && count > step.concurrency_max)
      fail("step " + step.name + " has " + std::to_string(count) + " permits out");
  }

  blazen_status first_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b) {
    const StepPlan& step = plan_.steps[index];
    for (const Send& sent : b.sends) {
      Send changed = sent;
      if (plan_.diverges_percent > 0 && ctx.attempt() > 1 && mix_text(plan_.seed, sent.path) % 100 < 30)
        changed.path += "*" + std::to_string(ctx.attempt());
      send(ctx, changed);
    }
    for (int i = 0; i < b.publishes; ++i)
      ctx.publish("Pub", "\"" + path + " " + step.name + std::to_string(i) + "\"");
    if (step.deferred) {
      bt::Invocation invocation = ctx.defer();
      const bool again = awaited_.erase(ctx.id()) == 1;
      if (!again) log("defer", index, ctx.id(), path, ctx.attempt(), "");
      now_.in_flight[ctx.id()] = ctx.attempt();
      held_.insert_or_assign(ctx.id(), Held{std::move(invocation), index, path, ctx.attempt(), b});
      return BLAZEN_PENDING;
    }
    const blazen_status status = second_half(index, ctx, path, b);
    if (status == BLAZEN_PENDING) {
      log("ask", index, ctx.id(), path, ctx.attempt(), "");
      return status;
    }
    if (ended()) return status;  // by what it has sent
    if (status != BLAZEN_OK && status != BLAZEN_ERROR_HOST)
      fail(std::string("a call in a body answered ") + blazen_status_name(status));
    landed(index, ctx.id(), path, ctx.attempt(), status == BLAZEN_OK);
    return status;
  }

  // Is the same when it runs again.
  blazen_status second_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b) {
    const StepPlan& step = plan_.steps[index];
    const std::string own = path + "." + step.name;
    if (b.late_send) ctx.publish("Late", "\"" + own + "\"");
    bool waits = false;
    for (int i = 0; i < b.asks; ++i) {
      const std::string answer = ctx.ask("ask " + own + " " + std::to_string(i));
      if (answer.empty()) {
        if (ctx.failed != BLAZEN_PENDING) return ctx.failed;
        waits = true;
      } else if (!waits) {
        ctx.set("answer." + own + std::to_string(i), answer);
      }
    }
    if (waits) return BLAZEN_PENDING;
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
      noted(ctx, blazen_context_compare_and_set(ctx.raw, BLAZEN_TEXT("count"), version, bt::json(text),
                                                nullptr, nullptr));
    }
    if (b.session) {
      const bt::Value object = objects_.make(own, plan_.live == Live::kept);
      ctx.set_session(own, object);
      const bt::Value back = ctx.session(own);
      if (!ended() && blazen_value_object(back) != blazen_value_object(object))
        fail("the session gives another object back");
    }
    if (step.name == "join") {
      ctx.set("part." + path, "1");
      if (ctx.count("part.") == static_cast<size_t>(plan_.parts))
        emit(ctx, {plan_.types[0], "joined", "", 0, false});
    }
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
      ctx.emit(BLAZEN_INPUT_REQUEST_EVENT,
               "{" + id + "\"prompt\":\"input " + own + std::to_string(i) + "\"}");
    }
    if (b.stops) ctx.stop("\"stopped by " + own + "\"");
    return ctx.failed;
  }

  void log(const std::string& what, size_t index, uint64_t id, const std::string& path, uint32_t attempt,
           const std::string& how) {
    now_.log.push_back(what + " " + std::to_string(id) + " " + plan_.steps[index].name + " " + path +
                       " attempt " + std::to_string(attempt) + " " + how);
  }
  void landed(size_t index, uint64_t id, const std::string& path, uint32_t attempt, bool is_done) {
    log("land", index, id, path, attempt, is_done ? "done" : "failed");
    now_.done.push_back(plan_.steps[index].name + " " + path + " attempt " + std::to_string(attempt) +
                        (is_done ? " done" : " failed"));
    if (is_done && !now_.completed.insert(id).second)
      fail("invocation " + std::to_string(id) + " completes twice");
  }

  // -------------------------------------------------------------------------------------------- ticks

  uint64_t poll() {
    uint64_t steps = 0;
    must(blazen_runtime_poll(engine_->runtime(), 1, &steps, nullptr), "poll");
    sweep();
    take();
    return steps;
  }
  // Those whose time is up do not count any more.
  void sweep() {
    for (auto at = held_.begin(); at != held_.end();) {
      if (Ctx(at->second.invocation).cancelled() && !ended()) {
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
  void take() {
    for (bt::Item& item : bt::take(stream_)) {
      if (item.type == BLAZEN_STREAM_END) {
        stream_ended_ = true;
        continue;
      }
      if (item.sequence != now_.items.size() + 1)
        fail("stream item " + std::to_string(item.sequence) + " comes after " +
             std::to_string(now_.items.size()));
      now_.items.push_back(std::move(item));
    }
  }

  std::vector<nlohmann::json> questions() {
    bt::Value list;
    must(blazen_run_questions(run_, list.out(), nullptr), "questions");
    const nlohmann::json parsed = nlohmann::json::parse(bt::data_of(list), nullptr, false);
    if (!parsed.is_array()) fail("questions is no JSON");
    return {parsed.begin(), parsed.end()};
  }

  // How long until something is due by what the run says of itself, the time-out of the run aside; -1:
  // nothing is. blazen_runtime_next_timer may name an earlier moment, never a later one.
  int64_t due() {
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
    const bool has_stopped = all["status"] != "running" && all["status"] != "waiting";
    for (const nlohmann::json& item : all["in_flight"]) {
      for (const StepPlan& step : plan_.steps) {
        if (item["step"] == step.name && step.timeout_ms != 0)
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

  void tick() {
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

  bool act(uint64_t h, bool polled) {
    int64_t timer_ms = due();
    std::vector<uint64_t> completable;
    for (const auto& [id, held] : held_) {
      if (held.behaviour.fate != Fate::abandon) completable.push_back(id);
    }
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
      complete(completable[pick]);
    } else if ((pick -= completable.size()) < asked.size()) {
      answer(asked[pick]);
    } else if (pick == asked.size() && sends) {
      send_external();
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
  bool poll_first() {
    now_.polling = true;
    const bool ran = poll() != 0;
    now_.polling = false;
    return ran || ended();
  }

  void complete(uint64_t id) {
    Held& held = held_.at(id);
    trace("complete " + std::to_string(id));
    Ctx ctx(held.invocation);
    const Fate fate = held.behaviour.fate;
    if (fate != Fate::lose) {
      const blazen_status status = second_half(held.step, ctx, held.path, held.behaviour);
      if (status == BLAZEN_OK) {
        landed(held.step, id, held.path, held.attempt, true);
        must(blazen_invocation_complete(held.invocation, nullptr), "complete");
        if (blazen_invocation_complete(held.invocation, nullptr) == BLAZEN_OK)
          fail("a second completion is taken");
      } else {
        if (status != BLAZEN_ERROR_HOST)
          fail(std::string("a call of a deferred step answered ") + blazen_status_name(status));
        landed(held.step, id, held.path, held.attempt, false);
        bt::Error cause;
        blazen_error_host(held.behaviour.code, failure_.data(), failure_.size(), nullptr, cause.out());
        must(blazen_invocation_fail(held.invocation, cause, nullptr), "fail");
      }
    } else {
      landed(held.step, id, held.path, held.attempt, false);
    }
    now_.in_flight.erase(id);
    held_.erase(id);
  }

  void answer(const nlohmann::json& question) {
    const std::string id = question["request_id"];
    const std::string prompt = question["prompt"];
    trace("answer " + id);
    now_.log.push_back("answer " + (plan_.relaxed ? prompt : id));
    const std::string text = std::to_string(mix_text(plan_.seed, prompt));
    must(blazen_run_respond(run_, id.data(), id.size(), bt::json(text), nullptr), "respond");
    if (blazen_run_respond(run_, id.data(), id.size(), bt::json(text), nullptr) == BLAZEN_OK && !ended())
      fail("a question is answered twice");
  }

  void send_external() {
    const int k = now_.externals++;
    const bool is_last = now_.externals == plan_.externals;
    trace("external " + std::to_string(k));
    now_.log.push_back("external");
    Send sent{is_last ? "Finish" : plan_.types[static_cast<size_t>(k) % plan_.types.size()],
              "ext" + std::to_string(k)};
    must(blazen_run_send_event(run_, event_of(sent), nullptr, nullptr), "send_event");
  }

  // ------------------------------------------------------------------------------------ interruptions

  void open(const std::string& bytes, bool is_first) {
    clock_ = std::make_unique<bt::FakeClock>();
    clock_->now_ms += ++opened_ * 1'000'000'000;
    engine_ = std::make_unique<bt::Engine>(bt::Way::pump, clock_.get());
    workflow_ = build(plan_, this, is_first || !plan_.relaxed ? (schedule_.empty() ? 0 : host_) : host_);
    blazen_deserializer deserializer{"sim/object", 10, Objects::deserialize, &objects_, nullptr};
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.deserializers = &deserializer;
    options.deserializer_count = 1;
    bt::Error error;
    if (blazen_run_resume(engine_->runtime(), workflow_, bt::parse(bytes), &options, run_.out(),
                          error.out()) != BLAZEN_OK)
      return fail("the resume is refused: " + error.message());
    stream_ = bt::subscribe(run_);
    stream_ended_ = false;
    if (!is_first && bt::snapshot_bytes(run_) != bytes) fail("a snapshot of the resumed run has other bytes");
    must(blazen_run_start(run_, is_first ? bt::json("\"start\"").get() : nullptr, nullptr), "start");
  }
  void close() {
    held_.clear();
    stream_.reset();
    if (run_.get() != nullptr) MUST(blazen_run_close(run_, e));
    run_.reset();
    engine_.reset();
    workflow_.reset();
  }
  // The run goes on somewhere else.
  void move(const std::string& bytes, Progress progress, bool unpause = false) {
    close();
    now_ = std::move(progress);
    host_ = plan_.relaxed ? 3 - host_ : 0;
    trace("resume");
    ++tally()["resumes"];
    tally()["invocations that run again"] += now_.in_flight.size();
    open(bytes, false);
    if (unpause && result_.problem.empty())
      must(blazen_run_resume_in_place(run_, nullptr), "resume_in_place");
    // What was in flight runs again, before anything else.
    awaited_.clear();
    for (const auto& [id, attempt] : now_.in_flight) awaited_.insert(id);
    restoring_ = true;
    size_t left = plan_.relaxed ? 0 : awaited_.size();
    while (left-- > 0 && !awaited_.empty() && result_.problem.empty()) {
      if (poll() != 1) fail("an invocation in flight does not run again");
    }
    if (!plan_.relaxed && !awaited_.empty()) fail("an invocation in flight has not run again, first");
    restoring_ = plan_.relaxed;
  }

  std::string snapshot(bool is_needed = true) {
    bt::Snapshot taken;
    bt::Error error;
    const blazen_status status = blazen_run_snapshot(run_, taken.out(), error.out());
    if (status == BLAZEN_OK) return bt::bytes_of(taken);
    if (is_needed && !(status == BLAZEN_ERROR_NOT_SERIALIZABLE && plan_.live == Live::plain &&
                       plan_.policy == BLAZEN_SESSION_PICKLE_OR_ERROR))
      fail("no snapshot: " + error.message());
    return {};
  }
  // A time-out begins again with a resume: the order of moments is another one then.
  bool may_move() const { return plan_.relaxed || !has_timed(); }
  bool has_timed() const {
    return std::any_of(held_.begin(), held_.end(),
                       [&](const auto& each) { return plan_.steps[each.second.step].timeout_ms != 0; });
  }
  void twice(const std::string& bytes) {
    if (snapshot(false) != bytes) fail("a second snapshot has other bytes");
  }

  bool hands_over() {
    if (!plan_.relaxed || schedule_.empty()) return false;
    bt::Value list;
    must(blazen_run_elsewhere(run_, list.out(), nullptr), "elsewhere");
    if (bt::data_of(list) == "[]") return false;
    ++tally()["handed over"];
    trace("hand over " + bt::data_of(list));
    const std::string bytes = snapshot();
    if (!bytes.empty()) move(bytes, now_);
    return true;
  }

  void interrupt(const Interruption& at) {
    // What is due now comes first: it has to be the same with what an interruption polls.
    for (int i = 0; i < 1000 && !ended() && engine_->next_timer() == 0 && due() == 0; ++i) tick();
    if (ended() || !result_.problem.empty()) return;
    ++tally()[name_of(at.kind)];
    trace(std::string("-- ") + name_of(at.kind) + " " + std::to_string(at.extra));
    switch (at.kind) {
      case Kind::pause:
      case Kind::drain: pause(at, false); break;
      case Kind::pause_snapshot: pause(at, true); break;
      case Kind::snapshot: {
        if (!may_move()) break;
        const std::string bytes = snapshot();
        if (bytes.empty()) break;
        twice(bytes);
        move(bytes, now_);
        break;
      }
      case Kind::crash: {
        if (!may_move()) break;
        const std::string bytes = snapshot();
        if (bytes.empty()) break;
        const Progress then = now_;
        for (int i = 0; i <= at.extra && !ended() && result_.problem.empty(); ++i) {
          tick();
        }
        trace("crashes");
        move(bytes, then);
        break;
      }
      case Kind::inside: inside(at); break;
      case Kind::observe: observe(); break;
      case Kind::abort: abort(); break;
    }
  }

  void pause(const Interruption& at, bool moves) {
    const int64_t due_ms = due();
    const size_t before = result_.trace.size();
    must(blazen_run_pause(run_, at.kind == Kind::drain ? BLAZEN_PAUSE_DRAIN : BLAZEN_PAUSE_NOW, nullptr),
         "pause");
    const bool is_paused = blazen_run_state_now(run_) == BLAZEN_RUN_PAUSED;
    if (!is_paused && at.kind != Kind::drain) fail("a pause is not complete at once");
    // The time of an attempt goes on in a pause; that of the run does not.
    if (is_paused && !has_timed()) clock_->now_ms += at.extra * 1000;
    if (poll() != 0 || result_.trace.size() != before) fail("a step runs in a pause");
    if (ended()) return;
    if (moves && may_move()) {
      const std::string bytes = snapshot();
      if (!bytes.empty()) {
        twice(bytes);
        return move(bytes, now_, true);
      }
    }
    must(blazen_run_resume_in_place(run_, nullptr), "resume_in_place");
    const int64_t after_ms = due();
    if (due_ms != after_ms)
      fail("something was due in " + std::to_string(due_ms) + " ms before the pause, and in " +
           std::to_string(after_ms) + " after it");
  }

  // A snapshot from inside whatever runs in the next tick, after one of its calls.
  void inside(const Interruption& at) {
    if (!may_move()) return;
    std::string bytes;
    Progress then;
    int left = at.extra;
    const std::function<void()> hook = [&] {
      if (left-- != 0) return;
      bytes = snapshot();
      then = now_;
      trace("snapshot inside");
      ++tally()["snapshots inside"];
    };
    const bool was_restoring = restoring_;
    bt::after_each_call = &hook;
    tick();
    bt::after_each_call = nullptr;
    if (bytes.empty() || !result_.problem.empty()) return;
    restoring_ = was_restoring;
    trace("crashes");
    // Items that were published before the snapshot, and taken after it.
    bt::Value info;
    must(blazen_snapshot_info(bt::parse(bytes), info.out(), nullptr), "info");
    then.items = now_.items;
    then.items.resize(
        std::min<size_t>(then.items.size(), nlohmann::json::parse(bt::data_of(info))["stream_sequence"]));
    move(bytes, then);
  }

  void observe() {
    bt::Value text;
    must(blazen_run_describe(run_, text.out(), nullptr), "describe");
    const nlohmann::json all = nlohmann::json::parse(bt::data_of(text), nullptr, false);
    if (!all.is_object()) return fail("describe is no JSON: " + bt::data_of(text));
    questions();
    blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
    must(blazen_runtime_count(engine_->runtime(), &counters, nullptr), "count");
    const uint64_t runs = counters.created + counters.running + counters.waiting + counters.elsewhere +
                          counters.paused + counters.asking + counters.completed + counters.failed +
                          counters.cancelled;
    if (runs != 1) fail("the counters know " + std::to_string(runs) + " runs");
    // It lists 100 at most.
    if (std::min<uint64_t>(counters.in_flight, 100) != all["in_flight"].size())
      fail("the counters say another number in flight");
    if (!restoring_ && counters.in_flight != held_.size())
      fail("in flight: " + std::to_string(counters.in_flight) + ", not " + std::to_string(held_.size()));
  }

  void abort() {
    must(blazen_run_abort(run_, nullptr), "abort");
    must(blazen_run_abort(run_, nullptr), "abort again");
    if (bt::outcome(run_).status != BLAZEN_ERROR_ABORTED) fail("an aborted run has another end");
    for (const auto& [id, held] : held_) {
      if (!Ctx(held.invocation).cancelled()) fail("an aborted invocation is not told");
      if (blazen_invocation_complete(held.invocation, nullptr) != BLAZEN_ERROR_CANCELLED)
        fail("an aborted run takes a completion");
    }
    poll();
  }

  void close_up() {
    if (run_.get() != nullptr && result_.problem.empty()) {
      held_.clear();
      take();
      if (!stream_ended_) fail("the stream has no end");
      result_.end = bt::outcome(run_);
      result_.outcome = result_.end.text();
      ++tally()[std::string("ended with ") + blazen_status_name(result_.end.status)];
      blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
      must(blazen_runtime_count(engine_->runtime(), &counters, nullptr), "count");
      if (counters.queued + counters.in_flight != 0) fail("an ended run has work");
      result_.last = fields_of(snapshot());
    }
    close();
    result_.ticks = now_.tick;
    result_.log = std::move(now_.log);
    result_.done = std::move(now_.done);
    result_.items = std::move(now_.items);
  }

  const Plan& plan_;
  const std::vector<Interruption>& schedule_;
  Objects& objects_;
  std::vector<uint32_t> running_;
  int bodies_ = 0;
  int64_t opened_ = 0;
  int host_ = 1;
  bool restoring_ = false;
  bool stream_ended_ = false;
  std::set<uint64_t> awaited_;
  std::string failure_;
  Progress now_;
  Result result_;
  std::unique_ptr<bt::FakeClock> clock_;
  std::unique_ptr<bt::Engine> engine_;
  bt::Workflow workflow_;
  bt::RunHandle run_;
  bt::Stream stream_;
  std::map<uint64_t, Held> held_;
};

// host 0: every step is here; 1 and 2: those of A, of B.
inline bt::Workflow Driver::build(const Plan& plan, Driver* driver, int host) {
  bt::Spec spec("sim");
  spec.unhandled = plan.unhandled;
  spec.idle = plan.idle;
  spec.timeout_ms = plan.timeout_ms;
  spec.session = plan.policy;
  spec.session_on_pause = plan.session_on_pause;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const StepPlan& step = plan.steps[i];
    const bool is_elsewhere = plan.relaxed && host != 0 && step.is_there != (host == 2);
    if (is_elsewhere) {
      spec.elsewhere(step.name, step.accepts);
      continue;
    }
    spec.step(
        step.name, step.accepts, [driver, i](Ctx& ctx) -> blazen_status { return driver->body(i, ctx); },
        step.concurrency_max);
    if (step.timeout_ms != 0) spec.times_out(step.timeout_ms);
    if (step.atomic) spec.atomic();
    if (step.attempts_max > 1) {
      blazen_retry_options retry = bt::retries(step.attempts_max, step.delay_ms);
      retry.jitter_percent = step.jitter_percent;
      retry.only = step.only.data();
      retry.only_count = step.only.size();
      retry.never = step.never.data();
      retry.never_count = step.never.size();
      spec.retry(retry);
    }
  }
  return spec.build();
}

}  // namespace sim
