// Where a run begins, is interrupted, goes on from its snapshot somewhere else, and ends.
#include <algorithm>
#include <functional>

#include "simulation/driver.hpp"
#include "simulation/fields.hpp"

namespace sim {

// now_ms: the date; 0: another day. has_passed: since the snapshot, for the run too.
void Driver::open(const std::string& bytes, bool is_first, int64_t now_ms, bool has_passed,
                  bool keeps_paused) {
  if (!is_in_crowd_) {
    clock_ = std::make_shared<bt::FakeClock>();
    clock_->now_ms += ++opened_ * 1'000'000'000;
    if (now_ms != 0) clock_->now_ms = now_ms;
    engine_ = std::make_shared<bt::Engine>(bt::Way::pump, clock_.get());
  }
  workflow_ = build(plan_, this, host_);
  blazen_deserializer deserializer{"sim/object", 10, Objects::deserialize, &objects_, nullptr};
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.deserializers = &deserializer;
  options.deserializer_count = 1;
  options.time_has_passed = has_passed ? 1 : 0;
  options.keep_paused = keeps_paused ? 1 : 0;
  if (plan_.handler_percent >= 0) {
    options.input = [](void* self, blazen_run*, const blazen_event* request, blazen_value** answer,
                       blazen_error** error) {
      return static_cast<Handler*>(self)->driver->handle_request(request, answer, error);
    };
    options.user_data = &handlers_.emplace_back(this);
    options.drop = [](void* self) { ++static_cast<Handler*>(self)->drops; };
  }
  bt::Error error;
  if (blazen_run_resume(engine_->runtime(), workflow_, bt::parse(bytes), &options, run_.out(), error.out()) !=
      BLAZEN_OK)
    return fail("the resume is refused: " + error.message());
  published_before_ = now_.items.size();
  stream_ = bt::subscribe_with(run_, {.from = is_first ? 0 : now_.items.size() + 1});
  stream_ended_ = false;
  if (!is_first && bt::snapshot_bytes(run_) != bytes) fail("a snapshot of the resumed run has other bytes");
  const size_t asked = is_first || plan_.handler_percent < 0 ? 0 : questions().size();
  must(blazen_run_start(run_, is_first ? bt::json("\"start\"").get() : nullptr, nullptr), "start");
  if (asked == 0 || ended()) return;
  count("questions handed out again");
  std::lock_guard guard(lock_);
  if (handlers_.back().asked.size() < asked) fail("the input handler does not get what was asked before");
}

// First the run: on threads, it would make something of what is let go of.
void Driver::close() {
  if (run_.get() != nullptr) MUST(blazen_run_close(run_, e));
  for (std::atomic<uint32_t>& out : out_) out = 0;
  follower_.reset();
  held_.clear();
  stream_.reset();
  run_.reset();
  if (!is_in_crowd_) engine_.reset();
  workflow_.reset();
}

// When nothing of the engine is left.
void Driver::check_drops() {
  for (const Asked& asked : asked_) {
    if (asked.calls > 1 || asked.drops != 1)
      fail("the callback of '" + asked.prompt + "' is not dropped once");
    if (asked.calls == 0) count("callbacks dropped uncalled");
  }
  for (const Handler& handler : handlers_) {
    if (handler.drops != 1) fail("an input handler is not dropped once");
  }
}

// The run goes on somewhere else. passed_ms: by the date, so much later; -1: it does not count, and where a question
// has a deadline, which is a date, it is that of the snapshot.
void Driver::move(const std::string& bytes, Progress progress, bool unpause, int64_t passed_ms) {
  const int64_t same_ms = plan_.deadlines_percent != 0 ? progress.date_ms : 0;
  const int64_t date_ms = passed_ms < 0 ? same_ms : clock_->now_ms + passed_ms;
  close();
  now_ = std::move(progress);
  if (host_ != 0) host_ = 3 - host_;
  trace("resume");
  count("resumes");
  count("invocations that run again", now_.in_flight.size());
  awaited_.clear();
  for (const auto& [id, attempt] : now_.in_flight) awaited_.insert(id);
  // A paused one goes on by its start, or when it is told to.
  const bool keeps_paused = unpause && bytes.size() % 2 == 0;
  if (keeps_paused) count("pauses kept by a resume");
  open(bytes, false, date_ms, passed_ms >= 0, keeps_paused);
  if (keeps_paused && result_.problem.empty() && !ended())
    must(blazen_run_resume_in_place(run_, nullptr), "resume_in_place");
  // What was in flight runs again, before anything else.
  restoring_ = true;
  size_t left = plan_.relaxed ? 0 : awaited_.size();
  while (left-- > 0 && !awaited_.empty() && result_.problem.empty() && !ended()) {
    if (poll() != 1) fail("an invocation in flight does not run again");
  }
  if (!plan_.relaxed && !awaited_.empty() && !ended())
    fail("an invocation in flight has not run again, first");
  restoring_ = plan_.relaxed;
}

std::string Driver::snapshot(bool is_needed) {
  bt::Snapshot taken;
  bt::Error error;
  const blazen_status status = blazen_run_snapshot(run_, taken.out(), error.out());
  now_.date_ms = clock_->now_ms;
  if (status == BLAZEN_OK) return bt::bytes_of(taken);
  if (is_needed && !(status == BLAZEN_ERROR_NOT_SERIALIZABLE && plan_.live == Live::plain &&
                     plan_.policy == BLAZEN_SESSION_PICKLE_OR_ERROR))
    fail("no snapshot: " + error.message());
  return {};
}

// A time-out begins again with a resume: the order of moments is another one then.
bool Driver::has_timed() const {
  return std::any_of(held_.begin(), held_.end(), [&](const auto& each) {
    return plan_.steps[each.second.step].timeout_ms != 0 && !each.second.is_asking();
  });
}

bool Driver::has_deadline() {
  const std::vector<nlohmann::json> asked = questions();
  return std::any_of(asked.begin(), asked.end(),
                     [](const auto& each) { return each.contains("deadline_ms"); });
}

void Driver::twice(const std::string& bytes) {
  if (snapshot(false) != bytes) fail("a second snapshot has other bytes");
  std::string pieces;
  const auto take = [](void* all, const void* data, size_t length, blazen_error**) -> blazen_status {
    static_cast<std::string*>(all)->append(static_cast<const char*>(data), length);
    return BLAZEN_OK;
  };
  (void)blazen_run_snapshot_to(run_, take, &pieces, nullptr, nullptr);
  if (pieces != bytes) fail("a snapshot in pieces has other bytes");
}

bool Driver::hands_over() {
  if (!plan_.relaxed || !is_interrupted_) return false;
  bt::Value list;
  must(blazen_run_elsewhere(run_, list.out(), nullptr), "elsewhere");
  if (bt::data_of(list) == "[]") return false;
  count("handed over");
  trace("hand over " + bt::data_of(list));
  const std::string bytes = snapshot();
  if (!bytes.empty()) move(bytes, now_);
  return true;
}

void Driver::interrupt(const Interruption& at) {
  // What is due now comes first: it has to be the same with what an interruption polls.
  for (int i = 0; i < 1000 && !ended() && engine_->next_timer() == 0 && due() == 0; ++i) tick();
  if (ended() || !result_.problem.empty()) return;
  if (at.kind == Kind::dated) return let_time_pass(at);
  if (!is_interrupted_) return;
  count(name_of(at.kind));
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
    case Kind::observe: observe(at); break;
    case Kind::follow: follow(at); break;
    case Kind::dated: break;
    case Kind::abort: abort(); break;
  }
}

void Driver::pause(const Interruption& at, bool moves) {
  const int64_t due_ms = due();
  const size_t before = result_.trace.size();
  must(blazen_run_pause(run_, at.kind == Kind::drain ? BLAZEN_PAUSE_DRAIN : BLAZEN_PAUSE_NOW, nullptr),
       "pause");
  const bool is_paused = blazen_run_state_now(run_) == BLAZEN_RUN_PAUSED;
  if (!is_paused && at.kind != Kind::drain) fail("a pause is not complete at once");
  // The time of an attempt, and of a question, goes on in a pause; that of the run does not.
  if (is_paused && !has_timed() && !has_deadline()) clock_->now_ms += at.extra * 1000;
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

// What is rolled back to from here: where no body is at work, what is left of this tick happens by itself
// after the resume.
Driver::Progress Driver::progress_inside() const {
  Progress then = now_;
  if (bodies_ != 0 || !(handling_ || answering_)) return then;
  then.polling = false;
  ++then.tick;
  return then;
}

// A snapshot from inside whatever runs in the next ticks, after one of its calls.
void Driver::inside(const Interruption& at) {
  constexpr int kTicks = 12;
  if (!may_move() || is_interruption_due()) return;
  std::string bytes;
  Progress then;
  int left = at.extra < 4 ? at.extra : at.extra % 2;
  const std::function<void()> hook = [&] {
    const bool is_wanted = at.extra < 4 || ((handling_ || answering_) && bodies_ == 0);
    if (!bytes.empty() || !is_wanted || left-- > 0 || !may_move()) return;
    bytes = snapshot();
    then = progress_inside();
    trace("snapshot inside");
    const bool is_body = bodies_ != 0;
    count(is_body && handling_ ? "snapshots inside the handler, inside a body"
          : handling_          ? "snapshots inside the handler"
          : answering_         ? "snapshots inside a callback"
                               : "snapshots inside");
  };
  const bool was_restoring = restoring_;
  bt::after_each_call = &hook;
  tick();
  for (int i = 1; i < kTicks && bytes.empty() && result_.problem.empty(); ++i) {
    if (ended() || is_interruption_due() || !may_move()) break;
    tick();
  }
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

// Time passes, without anything being due before what was in flight runs again; where it does so between two
// processes, the date tells.
void Driver::let_time_pass(const Interruption& at) {
  if (!plan_.is_dated() || blazen_run_state_now(run_) == BLAZEN_RUN_PAUSED) return;
  const int64_t due_ms = due();
  int64_t passed_ms = at.extra * 50;
  if (!plan_.relaxed && due_ms >= 0)
    passed_ms = now_.in_flight.empty() ? due_ms * at.extra / 4 : due_ms * (at.extra % 4) / 4;
  trace("passes " + std::to_string(passed_ms));
  if (!is_interrupted_ && plan_.relaxed) return;
  if (is_interrupted_ && may_move()) {
    const std::string bytes = snapshot();
    if (!bytes.empty()) {
      count("time has passed");
      return move(bytes, now_, false, passed_ms);
    }
  }
  if (!plan_.relaxed) clock_->now_ms += passed_ms;
}

// ----------------------------------------------------------------------------------------- other subscribers

void Driver::follow(const Interruption& at) {
  take();
  take_follower();
  follower_.reset();
  const uint64_t published = now_.items.size();
  bt::Wants wants;
  wants.hold = at.extra % 2 == 1;
  wants.lifecycle = at.extra == 6;
  wants.routed = at.extra == 6;
  if (at.extra != 6) wants.capacity = static_cast<uint64_t>(1 + at.extra / 2);
  count(wants.hold        ? "followers that hold"
        : wants.lifecycle ? "followers of the lifecycle"
                          : "slow followers");
  follower_.emplace(run_, wants, published, published_before_);
  follower_since_ = bodies_run_;
}

void Driver::take_follower() {
  if (!follower_) return;
  const std::string problem = follower_->take(now_.items);
  if (!problem.empty()) fail(problem);
  if (follower_->listens() && follower_->started() != bodies_run_ - follower_since_)
    fail("a follower was told of " + std::to_string(follower_->started()) + " steps, and " +
         std::to_string(bodies_run_ - follower_since_) + " have run");
}

// What is kept, from an item on.
void Driver::replay(uint64_t from) {
  if (follower_) return;
  take();
  uint64_t kept_since = published_before_;
  for (const auto& [limit, bound] : plan_.limits) {
    if (limit == BLAZEN_LIMIT_STREAM_RETAINED && now_.items.size() > bound)
      kept_since = std::max<uint64_t>(kept_since, now_.items.size() - bound);
  }
  Follower late(run_, {.from = from}, now_.items.size(), kept_since);
  const std::string problem = late.take(now_.items);
  if (!problem.empty()) fail(problem);
}

void Driver::observe(const Interruption& at) {
  take_follower();
  replay(1 + now_.items.size() * static_cast<uint64_t>(at.extra) / 7);
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

void Driver::abort() {
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

void Driver::close_up() {
  if (run_.get() != nullptr && result_.problem.empty()) look_at_end();
  close();
}

void Driver::look_at_end() {
  std::lock_guard guard(lock_);
  held_.clear();
  take();
  take_follower();
  if (!stream_ended_) fail("the stream has no end");
  result_.end = bt::outcome(run_);
  result_.outcome = result_.end.text();
  note_limit(result_.outcome);
  count(std::string("ended with ") + blazen_status_name(result_.end.status));
  result_.last = fields_of(snapshot());
  if (is_in_crowd_) return;
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  must(blazen_runtime_count(engine_->runtime(), &counters, nullptr), "count");
  if (counters.queued + counters.in_flight != 0) fail("an ended run has work");
}

Result Driver::take_result() {
  check_drops();
  result_.ticks = now_.tick;
  result_.log = std::move(now_.log);
  result_.done = std::move(now_.done);
  result_.items = std::move(now_.items);
  return std::move(result_);
}

bt::Workflow Driver::build(const Plan& plan, Driver* driver, int host) {
  bt::Spec spec("sim");
  spec.unhandled = plan.unhandled;
  spec.idle = plan.idle;
  spec.timeout_ms = plan.timeout_ms;
  spec.session = plan.policy;
  spec.session_on_pause = plan.session_on_pause;
  spec.limits = plan.limits;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const StepPlan& step = plan.steps[i];
    const bool is_elsewhere = plan.relaxed && host != 0 && step.is_there != (host == 2);
    if (is_elsewhere) {
      spec.elsewhere(step.name, step.accepts);
      continue;
    }
    spec.step(
        step.name, step.accepts, [driver, i](Ctx& ctx) -> blazen_status { return driver->call_body(i, ctx); },
        step.concurrency_max);
    if (step.timeout_ms != 0) spec.times_out(step.timeout_ms);
    if (step.frees_permit) spec.abandoned(BLAZEN_ABANDONED_FREES_PERMIT);
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
