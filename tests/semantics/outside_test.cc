// Goal: whoever holds a run reads and writes its state, cancels one invocation of it, gives it an id, forks it
// and watches its events, and what the steps see of that is what they would see of each other.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Outside : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Outside, testing::ValuesIn(ways()), way_name);

// ---- state ----

// Its bytes and its version; "-" where it is not there.
std::string read(const blazen_run* run, std::string_view key, uint64_t* version = nullptr) {
  Value value;
  uint64_t found = 77;
  MUST(blazen_run_get_value(run, key.data(), key.size(), value.out(), &found, e));
  EXPECT_EQ(found == 0, value.get() == nullptr);
  if (version != nullptr) *version = found;
  return value.get() == nullptr ? "-" : describe(value.get());
}
std::string keys_of(const blazen_run* run, std::string_view prefix = {}) {
  Keys list;
  MUST(blazen_run_keys(run, prefix.data(), prefix.size(), list.out(), e));
  return Ctx::joined(list);
}
blazen_status swap(blazen_run* run, std::string_view key, uint64_t expected, blazen_value* value,
                   uint64_t* version = nullptr) {
  return blazen_run_compare_and_set(run, key.data(), key.size(), expected, value, version, nullptr);
}
Batch batch_of(const std::vector<std::pair<std::string, std::string>>& values) {
  Batch batch;
  MUST(blazen_batch_create(batch.out(), e));
  for (const auto& [key, text] : values) MUST(blazen_batch_set(batch, key.data(), key.size(), json(text), e));
  return batch;
}

TEST_P(Outside, TheStateIsReadBeforeDuringAndAfterARun) {
  PendingStep step;
  Engine engine(GetParam());
  RunHandle run = create(engine, step.spec().build());
  EXPECT_EQ(read(run, "a"), "-");
  EXPECT_EQ(keys_of(run), "");
  MUST(blazen_run_start(run, nullptr, e));
  step.wait_until_there(engine, run);
  step.ctx().set("a", "1");
  step.ctx().set("ab", bytes("2"));
  step.ctx().set("b", native("3", "c"));
  uint64_t seen = 0;
  EXPECT_EQ(read(run, "a", &seen), "json 1");
  EXPECT_EQ(seen, step.ctx().version("a"));
  EXPECT_EQ(read(run, "ab"), "bytes 2");
  EXPECT_EQ(read(run, "b"), "native(c) 3");
  EXPECT_EQ(keys_of(run), "a,ab,b");
  EXPECT_EQ(keys_of(run, "a"), "a,ab");
  EXPECT_EQ(keys_of(run, "x"), "");
  step.ctx().remove("ab");
  EXPECT_EQ(read(run, "ab"), "-");
  step.stop();
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(read(run, "a"), "json 1");
  EXPECT_EQ(keys_of(run), "a,b");
}

TEST_P(Outside, WhatAnAtomicStepHasNotCommittedIsNotSeen) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.set("old", "1");
    ctx.emit("Next");
  });
  std::string inside;
  spec.step("next", {"Next"},
            [&](Ctx& ctx) {
              ctx.set("old", "2");
              ctx.set("new", "3");
              inside = read(ctx.run(), "old") + " " + read(ctx.run(), "new") + " " + keys_of(ctx.run());
              ctx.stop();
            })
      .atomic();
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(inside, "json 1 - old");
  EXPECT_EQ(read(run, "old") + " " + read(run, "new"), "json 2 json 3");
}

// A write from outside between the look of an atomic step and its commit is a conflict of the step's.
TEST_P(Outside, AnAtomicStepFailsWhereItsExpectationIsBrokenFromOutside) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
        const blazen_status status = blazen_context_compare_and_set(
            ctx.raw, BLAZEN_TEXT("k"), ctx.version("k"), json("\"step\""), nullptr, ctx.error());
        if (ctx.attempt() == 1)
          EXPECT_EQ(swap(ctx.run(), "k", ctx.version("k"), json("\"outside\"")), BLAZEN_OK);
        ctx.stop();
        return status;
      })
      .atomic()
      .retry(retries(2));
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  EXPECT_EQ(read(run, "k"), "json \"step\"");
}

TEST_P(Outside, CompareAndSetHoldsForTheVersionGivenAlone) {
  PendingStep step;
  Engine engine(GetParam());
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  uint64_t first = 0;
  EXPECT_EQ(swap(run, "k", 0, json("1"), &first), BLAZEN_OK);
  EXPECT_GT(first, 0U);
  EXPECT_EQ(step.ctx().version("k"), first);
  EXPECT_EQ(step.ctx().text("k"), "1");
  uint64_t untouched = 77;
  for (const uint64_t wrong : {uint64_t{0}, first - 1, first + 1, UINT64_MAX}) {
    if (wrong == first) continue;
    EXPECT_EQ(swap(run, "k", wrong, json("9"), &untouched), BLAZEN_ERROR_CONFLICT) << wrong;
  }
  EXPECT_EQ(untouched, 77U);
  // The step writes, and what the outside knew is old.
  step.ctx().set("k", "2");
  EXPECT_EQ(swap(run, "k", first, json("9")), BLAZEN_ERROR_CONFLICT);
  const uint64_t second = step.ctx().version("k");
  EXPECT_GT(second, first);
  // The outside writes, and what the step knew is old.
  uint64_t third = 0;
  EXPECT_EQ(swap(run, "k", second, json("3"), &third), BLAZEN_OK);
  EXPECT_GT(third, second);
  EXPECT_EQ(
      blazen_context_compare_and_set(step.ctx().raw, BLAZEN_TEXT("k"), second, nullptr, nullptr, nullptr),
      BLAZEN_ERROR_CONFLICT);
  // NULL removes it, and its version is 0 then.
  uint64_t gone = 77;
  EXPECT_EQ(swap(run, "k", third, nullptr, &gone), BLAZEN_OK);
  EXPECT_EQ(gone, 0U);
  EXPECT_FALSE(step.ctx().has("k"));
  EXPECT_EQ(swap(run, "k", 0, nullptr), BLAZEN_OK) << "what is not there can be removed";
  EXPECT_EQ(swap(run, "k", third, json("9")), BLAZEN_ERROR_CONFLICT);
  Error error;
  EXPECT_EQ(blazen_run_compare_and_set(run, BLAZEN_TEXT("k"), 5, nullptr, nullptr, error.out()),
            BLAZEN_ERROR_CONFLICT);
  EXPECT_TRUE(error.says("k")) << error.message();
  step.stop();
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Outside, ABatchAppliesWhollyOrNotAtAll) {
  PendingStep step;
  Engine engine(GetParam());
  RunHandle run = start(engine, step.spec().limit(BLAZEN_LIMIT_STATE_BYTES, 100).build());
  step.wait_until_there(engine, run);
  Batch good = batch_of({{"a", "1"}, {"b", "2"}});
  MUST(blazen_batch_expect(good, BLAZEN_TEXT("a"), 0, e));
  MUST(blazen_batch_remove(good, BLAZEN_TEXT("not there"), e));
  MUST(blazen_run_apply(run, good, e));
  EXPECT_EQ(keys_of(run), "a,b");
  EXPECT_EQ(blazen_run_apply(run, good, nullptr), BLAZEN_ERROR_CONFLICT) << "a is there now";
  Batch late = batch_of({{"a", "9"}, {"c", "9"}});
  MUST(blazen_batch_expect(late, BLAZEN_TEXT("b"), 0, e));
  EXPECT_EQ(blazen_run_apply(run, late, nullptr), BLAZEN_ERROR_CONFLICT);
  const Batch big = batch_of({{"a", "9"}, {"c", "\"" + std::string(100, 'x') + "\""}});
  EXPECT_EQ(blazen_run_apply(run, big, nullptr), BLAZEN_ERROR_LIMIT);
  EXPECT_EQ(keys_of(run), "a,b");
  EXPECT_EQ(step.ctx().text("a") + step.ctx().text("b"), "12");
  step.stop();
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Outside, WhatIsWrittenBeforeTheStartIsWhatTheStateBeginsWith) {
  Engine engine(GetParam());
  const Workflow workflow =
      Spec().start([](Ctx& ctx) { ctx.stop("\"" + ctx.text("a") + " " + ctx.text("b") + "\""); }).build();
  RunHandle run = create(engine, workflow);
  uint64_t version = 0;
  EXPECT_EQ(swap(run, "a", 0, json("1"), &version), BLAZEN_OK);
  EXPECT_EQ(swap(run, "a", version, json("2")), BLAZEN_OK);
  MUST(blazen_run_apply(run, batch_of({{"b", "3"}}), e));
  EXPECT_EQ(read(run, "a"), "json 2");
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CREATED);
  const std::string before = snapshot_bytes(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json \"2 3\"");
  RunHandle resumed = resume(engine, workflow, before);
  EXPECT_EQ(keys_of(resumed), "a,b");
  uint64_t kept = 0;
  EXPECT_EQ(read(resumed, "b", &kept), "json 3");
  EXPECT_EQ(swap(resumed, "b", kept, json("4")), BLAZEN_OK);
  MUST(blazen_run_start(resumed, nullptr, e));
  EXPECT_EQ(finish(engine, resumed).text(), "5 json \"2 4\"");
}

TEST_P(Outside, AfterTheEndNothingIsWritten) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.set("k", "1");
    ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  uint64_t version = 0;
  read(run, "k", &version);
  EXPECT_EQ(swap(run, "k", version, json("2")), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(swap(run, "k", version + 1, json("2")), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_run_apply(run, batch_of({{"k", "2"}}), nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_run_cancel_invocation(run, 1, 0, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(read(run, "k"), "json 1");
  RunHandle aborted = create(engine, spec.build());
  MUST(blazen_run_abort(aborted, e));
  EXPECT_EQ(swap(aborted, "k", 0, json("2")), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(read(aborted, "k"), "-");
}

// ---- ids and forks ----

constexpr std::string_view kId = "123e4567-e89b-42d3-a456-426614174abc";
constexpr std::string_view kUpperId = "123E4567-E89B-42D3-A456-426614174ABC";

std::string id_of(const blazen_run* run) {
  size_t length = 0;
  const char* text = blazen_run_id(run, &length);
  return text_of(text, length);
}
RunHandle create_as(const Engine& engine, const Workflow& workflow, std::string_view id) {
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.run_id = id.data();
  options.run_id_length = id.size();
  RunHandle run;
  MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
  return run;
}
RunHandle fork_of(const Engine& engine, const Workflow& workflow, std::string_view data,
                  std::string_view id = {}) {
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.fork = 1;
  options.run_id = id.data();
  options.run_id_length = id.size();
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(data), &options, run.out(), e));
  return run;
}

TEST_P(Outside, ARunHasTheIdThatItWasGivenAndKeepsIt) {
  Engine engine(GetParam());
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  std::string seen;
  spec.start([](Ctx&) {});
  spec.step("next", {"Next"}, [&](Ctx& ctx) {
    size_t length = 0;
    const char* id = blazen_context_run_id(ctx.raw, &length);
    seen = text_of(id, length);
    ctx.stop();
  });
  const Workflow workflow = spec.build();
  for (const std::string_view given : {kId, kUpperId}) {
    RunHandle run = create_as(engine, workflow, given);
    EXPECT_EQ(id_of(run), kId);
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
    EXPECT_EQ(describe_run(run).at("run_id"), kId);
    const Snapshot taken = snapshot(run);
    EXPECT_EQ(Json::parse(info_of(taken)).at("run_id"), kId);
    MUST(blazen_run_close(run, e));
    RunHandle resumed = resume(engine, workflow, bytes_of(taken));
    EXPECT_EQ(id_of(resumed), kId);
    MUST(blazen_run_start(resumed, nullptr, e));
    MUST(blazen_run_send_event(resumed, event("Next"), nullptr, e));
    EXPECT_EQ(finish(engine, resumed).state, BLAZEN_RUN_COMPLETED);
    EXPECT_EQ(seen, kId);
  }
}

TEST_P(Outside, AForkAndItsOriginalBothGoOnAndHaveIdempotencyKeysOfTheirOwn) {
  Engine engine(GetParam());
  Spec spec;
  std::mutex lock;
  std::vector<std::string> idempotency;
  spec.start([](Ctx& ctx) {
    ctx.set("before", "1");
    ctx.emit("Ask");
  });
  spec.step("ask", {"Ask"}, [&](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("?", "q");
    if (answer.empty()) return BLAZEN_PENDING;
    const std::string key =
        std::string(blazen_context_run_id(ctx.raw, nullptr)) + "/" + std::to_string(ctx.id());
    std::lock_guard guard(lock);
    idempotency.push_back(key);
    return ctx.stop(answer);
  });
  const Workflow workflow = spec.build();
  RunHandle run = create_as(engine, workflow, kId);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const std::string cut = snapshot_bytes(run);
  RunHandle made = fork_of(engine, workflow, cut);
  RunHandle given = fork_of(engine, workflow, cut, "FFFFFFFF-0000-4000-8000-000000000001");
  EXPECT_NE(id_of(made), kId);
  EXPECT_EQ(id_of(made).size(), 36U);
  EXPECT_EQ(id_of(made)[14], '4');
  EXPECT_NE(std::string("89ab").find(id_of(made)[19]), std::string::npos);
  EXPECT_EQ(id_of(given), "ffffffff-0000-4000-8000-000000000001");
  EXPECT_EQ(id_of(run), kId);
  RunHandle another = fork_of(engine, workflow, cut);
  EXPECT_NE(id_of(another), id_of(made));
  int number = 0;
  for (const RunHandle* each : {&given, &run, &made}) {
    if (each != &run) MUST(blazen_run_start(*each, nullptr, e));
    EXPECT_EQ(open_ids(*each), "q");
    EXPECT_EQ(Json::parse(info_of(snapshot(*each))).at("run_id"), id_of(*each));
    EXPECT_EQ(read(*each, "before"), "json 1");
    EXPECT_EQ(respond(*each, "q", std::to_string(++number)), BLAZEN_OK);
    EXPECT_EQ(finish(engine, *each).text(), "5 json " + std::to_string(number));
  }
  EXPECT_EQ(idempotency,
            (std::vector<std::string>{id_of(given) + "/2", id_of(run) + "/2", id_of(made) + "/2"}));
}

// Nothing but the id is another: a fork of the same id has the same bytes.
TEST_P(Outside, AForkDiffersFromItsOriginalInTheIdAlone) {
  Engine engine(GetParam(), &clock_);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    ctx.set("k", "1");
    ctx.emit_in(1000, "Later");
    return ctx.failed;
  });
  spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(ctx.text("k")); });
  const Workflow workflow = spec.build();
  RunHandle run = create_as(engine, workflow, kId);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("delayed") == 1; }));
  EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == 0; }));
  const std::string cut = snapshot_bytes(run);
  EXPECT_EQ(snapshot_bytes(fork_of(engine, workflow, cut, kId)), cut);
  std::string other = snapshot_bytes(fork_of(engine, workflow, cut));
  ASSERT_EQ(other.size(), cut.size());
  EXPECT_NE(other, cut);
  RunHandle fork = fork_of(engine, workflow, cut);
  MUST(blazen_run_start(fork, nullptr, e));
  engine.pass(1000);
  EXPECT_EQ(finish(engine, fork).text(), "5 json 1");
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
  // One that was not started yet, too.
  RunHandle created = create(engine, workflow);
  RunHandle its_fork = fork_of(engine, workflow, snapshot_bytes(created));
  EXPECT_NE(id_of(its_fork), id_of(created));
  MUST(blazen_run_start(its_fork, json("null"), e));
  EXPECT_EQ(blazen_run_state_now(its_fork), BLAZEN_RUN_RUNNING);
}

// ---- one invocation is cancelled ----

enum class Where {
  in_a_thread,
  by_itself,
  deferred,
  asking_in_flight,
  asking,
  queued,
  waiting,
  backing_off,
  elsewhere,
  interrupted,
  interrupted_asking,
  interrupted_elsewhere
};
constexpr Where kWheres[] = {Where::in_a_thread,
                             Where::by_itself,
                             Where::deferred,
                             Where::asking_in_flight,
                             Where::asking,
                             Where::queued,
                             Where::waiting,
                             Where::backing_off,
                             Where::elsewhere,
                             Where::interrupted,
                             Where::interrupted_asking,
                             Where::interrupted_elsewhere};
const char* name_of(Where where) {
  static const char* const kNames[] = {"in a thread",
                                       "by itself",
                                       "deferred",
                                       "asking in flight",
                                       "asking",
                                       "queued",
                                       "waiting",
                                       "backing off",
                                       "elsewhere",
                                       "interrupted",
                                       "interrupted and asking",
                                       "interrupted elsewhere"};
  return kNames[static_cast<int>(where)];
}

void count_call(void* counter) { static_cast<std::atomic<int>*>(counter)->fetch_add(1); }

// A run with an invocation of "job" in that place, and what becomes of it.
class Cancelled {
 public:
  Cancelled(Way way, FakeClock* clock, Where where, bool handles)
      : where_(where), engine_(way, where == Where::backing_off ? clock : nullptr) {
    Spec spec;
    spec.start([this](Ctx& ctx) {
      if (where_ == Where::waiting) ctx.emit("Job");
      ctx.emit("Job");
      if (where_ == Where::queued) MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    });
    if (where == Where::elsewhere) {
      spec.elsewhere("job", {"Job"});
    } else {
      spec.step("job", {"Job"}, [this](Ctx& ctx) { return job(ctx); }, where == Where::waiting ? 1 : 0);
    }
    spec.retry(retries(where == Where::backing_off ? 3 : 2, where == Where::backing_off ? 1000 : 0, 1));
    if (handles) {
      spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) {
        const Json failed = Json::parse(ctx.input());
        ctx.stop(Json{{"step", failed.at("step")},
                      {"id", failed.at("invocation_id")},
                      {"attempt", failed.at("attempt")},
                      {"type", failed.at("event_type")},
                      {"status", failed.at("status")}}
                     .dump());
      });
    }
    workflow_ = spec.build();
    if (where == Where::interrupted_elsewhere) {
      spec.steps[1].body = nullptr;
      there_ = spec.build();
    }
    run_ = bt::start(engine_, workflow_);
  }
  ~Cancelled() {
    calm_ = true;
    open_gate();
    held_.reset();
    first_.reset();
  }

  uint64_t id() const { return where_ == Where::waiting ? 3 : 2; }
  uint32_t attempt() const { return where_ == Where::backing_off ? 2 : 1; }
  Json counters() const { return describe_run(run_).at("counters"); }
  bool is(const char* counter, int count) const { return counters().at(counter) == count; }

  // The run is where it should be, and is paused, so that it stays there.
  void bring_there() {
    const auto until = [&](const std::function<bool()>& done) { EXPECT_TRUE(engine_.until(run_, done)); };
    switch (where_) {
      case Where::in_a_thread: until([&] { return entered_.load(); }); break;
      case Where::by_itself: return;
      case Where::deferred:
      case Where::interrupted:
      case Where::interrupted_elsewhere: until([&] { return is("in_flight", 1) && is_held(); }); break;
      case Where::asking_in_flight:
      case Where::interrupted_asking:
      case Where::asking: EXPECT_TRUE(engine_.reach(run_, BLAZEN_RUN_ASKING)); break;
      case Where::queued: EXPECT_TRUE(engine_.reach(run_, BLAZEN_RUN_PAUSED)); break;
      case Where::waiting: until([&] { return is("in_flight", 1) && is("queued", 1) && is_held(); }); break;
      case Where::backing_off: until([&] { return is("retrying", 1); }); break;
      case Where::elsewhere: EXPECT_TRUE(engine_.reach(run_, BLAZEN_RUN_ELSEWHERE)); break;
    }
    MUST(blazen_run_pause(run_, BLAZEN_PAUSE_NOW, e));
    if (!is_interrupted()) return;
    const std::string cut = snapshot_bytes(run_);
    calm_ = true;
    MUST(blazen_run_abort(run_, e));
    calm_ = false;
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.keep_paused = 1;
    options.allow_changed_workflow = 1;
    const Workflow& there = where_ == Where::interrupted_elsewhere ? there_ : workflow_;
    RunHandle resumed;
    MUST(blazen_run_resume(engine_.runtime(), there, parse(cut), &options, resumed.out(), e));
    MUST(blazen_run_start(resumed, nullptr, e));
    run_ = std::move(resumed);
    was_told_ = 0;
    EXPECT_EQ(blazen_run_state_now(run_), BLAZEN_RUN_PAUSED);
    if (where_ == Where::interrupted_asking) EXPECT_EQ(open_ids(run_), "q");
  }
  bool is_interrupted() const {
    return where_ == Where::interrupted || where_ == Where::interrupted_asking ||
           where_ == Where::interrupted_elsewhere;
  }
  bool stays_elsewhere() const {
    return where_ == Where::elsewhere || where_ == Where::interrupted_elsewhere;
  }
  bool has_body() const {
    return where_ == Where::in_a_thread || where_ == Where::by_itself || where_ == Where::deferred ||
           where_ == Where::asking_in_flight;
  }

  void cancel(bool retries) {
    retries_ = retries;
    if (where_ == Where::by_itself) {
      may_begin_ = true;
      EXPECT_TRUE(engine_.until(run_, [&] { return has_cancelled_.load(); }));
      return;
    }
    EXPECT_EQ(blazen_run_cancel_invocation(run_, id(), retries ? 1 : 0, nullptr), BLAZEN_OK);
  }
  // What the body may still do, and which counts no more.
  void try_to_go_on() {
    open_gate();
    if (where_ != Where::deferred && where_ != Where::asking_in_flight) return;
    Ctx ctx(held_);
    EXPECT_TRUE(ctx.cancelled());
    EXPECT_EQ(ctx.stop("\"too late\""), BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(ctx.set("late", "1"), BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(ctx.send("Job"), BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(ctx.publish("P"), BLAZEN_ERROR_CANCELLED);
    EXPECT_EQ(blazen_invocation_complete(held_, nullptr), BLAZEN_ERROR_CANCELLED);
  }
  std::string go_on() {
    (void)blazen_run_resume_in_place(run_, nullptr);  // it may have ended
    calm_ = true;
    if (first_.get() != nullptr && !is_ended(blazen_run_state_now(run_)))
      MUST(blazen_invocation_complete(first_, e));
    return to_its_end(run_);
  }
  // A host that is woken looks at the timer itself, as does one with an executor of a library without threads.
  bool reach_by_timers(const RunHandle& run, const std::function<bool()>& done) {
    const bool looks = engine_.way() == Way::wake || !has_threads();
    return engine_.until(run, [&] {
      if (looks && engine_.next_timer() == 0) MUST(blazen_runtime_poll(engine_.runtime(), 0, nullptr, e));
      return done();
    });
  }
  std::string to_its_end(const RunHandle& run) {
    if (where_ == Where::backing_off && retries_) {
      EXPECT_TRUE(engine_.until(run, [&] {
        engine_.pass(250);
        return is_ended(blazen_run_state_now(run));
      }));
    }
    EXPECT_TRUE(reach_by_timers(run, [&] { return is_ended(blazen_run_state_now(run)); }));
    return finish(engine_, run).text();
  }

  Where where_;
  std::atomic<bool> calm_{false};
  std::atomic<bool> entered_{false};
  std::atomic<bool> may_begin_{false};
  std::atomic<bool> has_cancelled_{false};
  std::atomic<int> was_told_{0};
  std::atomic<int> answered_{0};
  std::atomic<bool> retries_{false};
  std::mutex lock_;
  std::condition_variable changed_;
  bool is_open_ = false;
  Invocation held_;
  Invocation first_;
  Workflow workflow_;
  Workflow there_;
  Engine engine_;
  RunHandle run_;

 private:
  bool is_held() {
    std::lock_guard guard(lock_);
    return held_.get() != nullptr || first_.get() != nullptr;
  }
  void open_gate() {
    std::lock_guard guard(lock_);
    is_open_ = true;
    changed_.notify_all();
  }
  blazen_status job(Ctx& ctx) {
    if (where_ == Where::backing_off && ctx.attempt() == 1) return ctx.fail(1, "not yet");
    if (ctx.attempt() > 1) return ctx.stop("\"again\"");
    if (calm_) return BLAZEN_OK;
    if (has_body()) MUST(blazen_context_on_cancel(ctx.raw, count_call, &was_told_, nullptr, e));
    switch (where_) {
      case Where::in_a_thread: {
        std::unique_lock guard(lock_);
        entered_ = true;
        changed_.wait_for(guard, kPatience, [&] { return is_open_; });
        EXPECT_TRUE(ctx.cancelled());
        EXPECT_EQ(ctx.set("late", "1"), BLAZEN_ERROR_CANCELLED);
        return ctx.stop("\"too late\"");
      }
      case Where::by_itself: {
        std::this_thread::yield();
        const int32_t retry = retries_ ? 1 : 0;
        EXPECT_FALSE(ctx.cancelled());
        ctx.stop("\"too late\"");
        EXPECT_EQ(blazen_run_cancel_invocation(ctx.run(), ctx.id(), retry, nullptr), BLAZEN_OK);
        EXPECT_TRUE(ctx.cancelled());
        EXPECT_EQ(ctx.set("late", "1"), BLAZEN_ERROR_CANCELLED);
        has_cancelled_ = true;
        return BLAZEN_OK;
      }
      case Where::asking:
        if (!ctx.ask("?", "q").empty()) return ctx.stop("\"answered\"");
        return BLAZEN_PENDING;
      case Where::asking_in_flight:
      case Where::interrupted_asking: {
        std::lock_guard guard(lock_);
        held_ = ctx.defer();
        blazen_question question = BLAZEN_QUESTION_INIT;
        question.request_id = "q";
        question.request_id_length = 1;
        question.user_data = &answered_;
        question.answered = [](void* counter, blazen_context*, const char*, size_t, blazen_value*) {
          count_call(counter);
        };
        Value answer;
        EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), nullptr), BLAZEN_PENDING);
        return BLAZEN_PENDING;
      }
      case Where::deferred:
      case Where::interrupted:
      case Where::interrupted_elsewhere: {
        std::lock_guard guard(lock_);
        held_ = ctx.defer();
        return BLAZEN_PENDING;
      }
      case Where::waiting: {
        std::lock_guard guard(lock_);
        first_ = ctx.defer();
        return BLAZEN_PENDING;
      }
      case Where::queued:
      case Where::backing_off:
      case Where::elsewhere: break;
    }
    return BLAZEN_OK;
  }
};

// One that is queued has its permit, and who waits for one gets it.
TEST_P(Outside, ThePermitOfACancelledOneGoesOn) {
  for (const bool starts : {false, true}) {
    SCOPED_TRACE(starts ? "in flight" : "queued");
    std::mutex lock;
    std::vector<Invocation> held;
    Engine engine(GetParam());
    Spec spec;
    spec.start([&](Ctx& ctx) {
      for (int i = 0; i < 3; ++i) ctx.emit("Job", std::to_string(i));
      if (!starts) MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    });
    spec.step(
            "job", {"Job"},
            [&](Ctx& ctx) -> blazen_status {
              if (starts && ctx.input() == "0") {
                std::lock_guard guard(lock);
                held.push_back(ctx.defer());
                return BLAZEN_PENDING;
              }
              return ctx.input() == "2" ? ctx.stop(ctx.input()) : BLAZEN_OK;
            },
            1)
        .abandoned(BLAZEN_ABANDONED_FREES_PERMIT);
    spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.set("handled", "1"); });
    const RunHandle run = start(engine, spec.build());
    if (starts) {
      EXPECT_TRUE(engine.until(run, [&] {
        std::lock_guard guard(lock);
        return !held.empty();
      }));
    } else {
      EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_PAUSED));
      EXPECT_TRUE(engine.until(run, [&] { return describe_run(run).at("counters").at("in_flight") == 0; }));
    }
    EXPECT_EQ(blazen_run_cancel_invocation(run, 2, 0, nullptr), BLAZEN_OK);
    const blazen_status again = blazen_run_cancel_invocation(run, 2, 0, nullptr);
    EXPECT_TRUE(again == BLAZEN_ERROR_NOT_FOUND || (starts && again == BLAZEN_ERROR_CANCELLED))
        << again << ": the others may have ended the run";
    if (!starts) MUST(blazen_run_resume_in_place(run, e));
    EXPECT_EQ(finish(engine, run).text(), "5 json 2");
    std::lock_guard guard(lock);
    held.clear();
  }
}

class CancelsOne : public testing::TestWithParam<std::tuple<Way, Where>> {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, CancelsOne,
                         testing::Combine(testing::ValuesIn(ways()), testing::ValuesIn(kWheres)),
                         [](const auto& info) {
                           std::string name = bt::name_of(std::get<0>(info.param));
                           name += std::string("_") + name_of(std::get<1>(info.param));
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

// Wherever it is, its step fails, and the run goes on, also from a snapshot; or it ends by that.
TEST_P(CancelsOne, WhereverItIs) {
  const auto [way, where] = GetParam();
  if (where == Where::in_a_thread && !is_threaded(way)) GTEST_SKIP() << "the body would keep the only thread";
  for (const bool retries : {false, true}) {
    for (const bool handles : {false, true}) {
      SCOPED_TRACE(std::string(retries ? "retry" : "no retry") + (handles ? ", handled" : ""));
      Cancelled one(way, &clock_, where, handles);
      one.retries_ = retries;
      one.bring_there();
      one.cancel(retries);
      const bool goes_on = retries || handles;
      if (where != Where::by_itself) {
        EXPECT_EQ(blazen_run_state_now(one.run_), goes_on ? BLAZEN_RUN_PAUSED : BLAZEN_RUN_FAILED);
        if (goes_on) {
          EXPECT_TRUE(one.is("in_flight", where == Where::waiting ? 1 : 0)) << one.counters();
          EXPECT_TRUE(one.is("retrying", retries ? 1 : 0)) << one.counters();
          EXPECT_TRUE(one.is("questions", 0)) << one.counters();
          EXPECT_EQ(open_ids(one.run_), "");
          EXPECT_EQ(respond(one.run_, "q"), BLAZEN_ERROR_NOT_FOUND);
        }
        if (!retries)
          EXPECT_EQ(blazen_run_cancel_invocation(one.run_, one.id(), 0, nullptr),
                    goes_on ? BLAZEN_ERROR_NOT_FOUND : BLAZEN_ERROR_CANCELLED);
      }
      const std::string cut = where == Where::by_itself ? "" : snapshot_bytes(one.run_);
      one.try_to_go_on();
      std::string expected = "5 json \"again\"";
      if (!retries && handles)
        expected = "5 json " + Json{{"step", "job"},
                                    {"id", one.id()},
                                    {"attempt", one.attempt()},
                                    {"type", "Job"},
                                    {"status", "BLAZEN_ERROR_CANCELLED"}}
                                   .dump();
      if (retries && one.stays_elsewhere()) {
        MUST(blazen_run_resume_in_place(one.run_, e));
        EXPECT_TRUE(one.reach_by_timers(
            one.run_, [&] { return blazen_run_state_now(one.run_) == BLAZEN_RUN_ELSEWHERE; }));
        EXPECT_EQ(describe_run(one.run_).at("elsewhere").dump(), "[\"job\"]");
        continue;
      }
      const std::string end = one.go_on();
      if (goes_on) {
        EXPECT_EQ(end, expected);
      } else {
        EXPECT_TRUE(end.starts_with("6 BLAZEN_ERROR_STEP_FAILED")) << end;
        EXPECT_NE(end.find("step job attempt " + std::to_string(one.attempt())), std::string::npos) << end;
        EXPECT_NE(end.find("<- BLAZEN_ERROR_CANCELLED["), std::string::npos) << end;
      }
      EXPECT_EQ(one.was_told_.load(), one.has_body() ? 1 : 0);
      EXPECT_EQ(one.answered_.load(), 0);
      EXPECT_EQ(read(one.run_, "late"), "-");
      if (cut.empty()) continue;
      const Workflow& there = where == Where::interrupted_elsewhere ? one.there_ : one.workflow_;
      RunHandle resumed = resume(one.engine_, there, cut);
      MUST(blazen_run_start(resumed, nullptr, e));
      EXPECT_EQ(one.to_its_end(resumed), end);
    }
  }
}

// Whatever was cancelled before, and however many have come since: each id is that of one invocation.
TEST_P(Outside, EachOfManyIsCancelledByItsId) {
  constexpr uint64_t kMany = 40;
  FakeClock clock;
  std::mutex lock;
  std::map<uint64_t, Invocation> held;
  std::vector<uint64_t> told;
  Engine engine(GetParam(), &clock);
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  spec.step("emit", {"More"}, [](Ctx& ctx) {
    for (uint64_t i = 0; i < kMany; ++i) ctx.emit("Job");
  });
  spec.step("job", {"Job"},
            [&](Ctx& ctx) -> blazen_status {
              if (ctx.id() % 3 == 0) return ctx.fail(1, "not yet");  // and backs off
              if (ctx.id() % 3 == 1) {
                if (ctx.ask("?").empty()) return BLAZEN_PENDING;
                return BLAZEN_OK;
              }
              std::lock_guard guard(lock);
              held[ctx.id()] = ctx.defer();
              return BLAZEN_PENDING;
            })
      .retry(retries(2, 1'000'000, 1));
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) {
    const Json failed = Json::parse(ctx.input());
    std::lock_guard guard(lock);
    told.push_back(failed.at("invocation_id").get<uint64_t>());
  });
  const RunHandle run = start(engine, spec.build());
  const auto open = [&] {
    const Json counters = describe_run(run).at("counters");
    return std::array<uint64_t, 4>{
        counters.at("in_flight").get<uint64_t>(), counters.at("questions").get<uint64_t>(),
        counters.at("retrying").get<uint64_t>(), counters.at("queued").get<uint64_t>()};
  };
  const auto open_count = [&] {
    const auto [in_flight, questions, retrying, queued] = open();
    return in_flight + questions + retrying + queued;
  };
  const auto rests = [&] {
    const auto [in_flight, questions, retrying, queued] = open();
    std::lock_guard guard(lock);
    return queued == 0 && in_flight == held.size();
  };
  EXPECT_TRUE(engine.until(run, [&] { return open_count() == 0; }));
  std::vector<uint64_t> cancelled;
  for (int round = 0; round < 3; ++round) {
    MUST(blazen_run_send_event(run, event("More"), nullptr, e));
    EXPECT_TRUE(engine.until(run, [&] { return rests() && open_count() == kMany; })) << open_count();
    uint64_t found = 0;
    for (uint64_t id = 1000; id-- > 0;) {  // unknown ones, those that are gone, and those that are there
      const blazen_status status = blazen_run_cancel_invocation(run, id, 0, nullptr);
      if (status == BLAZEN_ERROR_NOT_FOUND) continue;
      EXPECT_EQ(status, BLAZEN_OK) << id;
      cancelled.push_back(id);
      ++found;
      std::lock_guard guard(lock);
      held.erase(id);
    }
    EXPECT_EQ(found, kMany) << "in round " << round;
    EXPECT_TRUE(engine.until(run, [&] {
      std::lock_guard guard(lock);
      return told.size() == cancelled.size();
    }));
    EXPECT_TRUE(engine.until(run, [&] { return open_count() == 0; })) << open_count();
  }
  std::lock_guard guard(lock);
  std::sort(cancelled.begin(), cancelled.end());
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, cancelled);
  EXPECT_EQ(std::adjacent_find(told.begin(), told.end()), told.end());
}

// ---- every event that is routed ----

// number:type=value, without StreamEnd and what lifecycle says but its kind.
std::string shown_of(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items) {
    if (item.type == BLAZEN_STREAM_END) continue;
    std::string value = item.value.substr(item.value.find(' ') + 1);
    std::string type = item.type;
    if (type.starts_with("blazen::")) type = type.substr(8);
    if (item.type == BLAZEN_LIFECYCLE) value = Json::parse(value).at("kind");
    text += (text.empty() ? "" : " ") + std::to_string(item.sequence) + ":" + type + "=" + value;
  }
  return text;
}

// Sends, emits, publishes, asks; gets an event from outside; delays one; nobody accepts one.
Spec of_every_kind() {
  Spec spec;
  spec.unhandled = BLAZEN_UNHANDLED_STREAM;
  spec.start([](Ctx& ctx) {
    ctx.publish("P", "1");
    ctx.send("Sent", "2");
    ctx.publish("P", "3");
    ctx.send("Nobody", "4");
    ctx.emit("Emitted", "5");
    ctx.emit("Nobody", "6");
    ctx.emit("Emitted", "7");
    ctx.emit_in(1000, "Later", "8");
  });
  spec.step("take", {"Sent", "Emitted"}, [](Ctx&) {});
  spec.step("later", {"Later"}, [](Ctx& ctx) {
    ctx.publish("P", "9");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"q\",\"prompt\":\"?\"}");
  });
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.send("Last", "10"); });
  spec.step("last", {"Last"}, [](Ctx& ctx) {
    ctx.stop("[11]");
    ctx.emit("Sent", "12");  // behind the StopEvent
  });
  return spec;
}

// What comes in between.
void see_through(Engine& engine, const RunHandle& run) {
  MUST(blazen_run_start(run, json("0"), e));
  EXPECT_TRUE(engine.until(run, [&] {
    const Json counters = describe_run(run).at("counters");
    return counters.at("delayed") == 1 && counters.at("in_flight") == 0 && counters.at("queued") == 0;
  }));
  MUST(blazen_run_send_event(run, event("Sent", "\"outside\""), nullptr, e));
  engine.pass(1000);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(run, "q", "13"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json [11]");
}

const char* const kPublished =
    "1:P=1 2:P=3 3:Nobody=4 4:Nobody=6 5:P=9 6:InputRequestEvent={\"request_id\":\"q\",\"prompt\":\"?\"}";

// In one thread, the order of everything is known.
TEST(OutsideRouted, EachEventStandsWhereItWasRouted) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  const RunHandle run = create(engine, of_every_kind().build());
  const Stream stream = subscribe_with(run, {.routed = true});
  see_through(engine, run);
  EXPECT_EQ(shown_of(take(stream)),
            "0:StartEvent=0 1:P=1 1:Sent=2 2:P=3 3:Nobody=4 3:Emitted=5 4:Nobody=6 4:Emitted=7 4:Later=8 "
            "4:Sent=\"outside\" 5:P=9 6:InputRequestEvent={\"request_id\":\"q\",\"prompt\":\"?\"} "
            "6:InputResponseEvent={\"request_id\":\"q\",\"response\":13} 6:Last=10 6:StopEvent=[11]");
}

// Nobody else notices: neither the numbers nor the snapshots know of it.
TEST_P(Outside, WhoWatchesEveryEventChangesNothing) {
  std::string cuts[2];
  std::string ends[2];
  for (const bool watches : {false, true}) {
    Engine engine(GetParam(), &clock_);
    clock_.now_ms = 1'700'000'000'000;
    const RunHandle run = create_as(engine, of_every_kind().build(), kId);
    const Stream plain = subscribe(run);
    Stream watcher;
    if (watches) watcher = subscribe_with(run, {.routed = true});
    see_through(engine, run);
    EXPECT_EQ(shown_of(take(plain)), kPublished);
    if (watches) {
      // Every published item, in order, among the others.
      std::vector<Item> items = take(watcher);
      EXPECT_EQ(items.back().type, BLAZEN_STREAM_END);
      std::multiset<std::string> seen;
      uint64_t last = 0;
      for (const Item& item : items) {
        EXPECT_GE(item.sequence, last);
        last = item.sequence;
        seen.insert(item.type);
      }
      EXPECT_EQ(seen, (std::multiset<std::string>{"P", "P", "P", "Nobody", "Nobody", "Sent", "Sent",
                                                  "Emitted", "Emitted", "Later", "Last", BLAZEN_START_EVENT,
                                                  BLAZEN_STOP_EVENT, BLAZEN_INPUT_REQUEST_EVENT,
                                                  BLAZEN_INPUT_RESPONSE_EVENT, BLAZEN_STREAM_END}));
    }
    cuts[watches ? 1 : 0] = snapshot_bytes(run);
    ends[watches ? 1 : 0] = std::to_string(describe_run(run).at("counters").at("events_routed").get<int>());
  }
  EXPECT_EQ(ends[0], ends[1]);
  // With threads, the order in which the steps are started is not always the same.
  if (!is_threaded(GetParam())) EXPECT_EQ(cuts[0], cuts[1]);
}

TEST(OutsideRouted, TypesHoldForThemToo) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  const RunHandle run = create(engine, of_every_kind().build());
  const Stream some = subscribe_with(run, {.types = {"Emitted", BLAZEN_STOP_EVENT, "P"}, .routed = true});
  const Stream none = subscribe_with(run, {.types = {"Unknown"}, .routed = true});
  const Stream plain = subscribe_with(run, {.types = {"Emitted", "P"}});
  see_through(engine, run);
  EXPECT_EQ(shown_of(take(some)), "1:P=1 2:P=3 3:Emitted=5 4:Emitted=7 5:P=9 6:StopEvent=[11]");
  EXPECT_EQ(shown_of(take(none)), "");
  EXPECT_EQ(shown_of(take(plain)), "1:P=1 2:P=3 5:P=9");
}

TEST(OutsideRouted, LifecycleComesToWhoWantsItAlone) {
  Engine engine(Way::pump);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Next", "1");
    MUST(blazen_context_progress(ctx.raw, BLAZEN_TEXT("p"), 1, 2, e));
  });
  spec.step("next", {"Next"}, [](Ctx& ctx) { ctx.stop("2"); });
  const RunHandle run = create(engine, spec.build());
  const Stream routed = subscribe_with(run, {.routed = true});
  const Stream lifecycle = subscribe_with(run, {.lifecycle = true});
  const Stream both = subscribe_with(run, {.lifecycle = true, .routed = true});
  const Stream plain = subscribe(run);
  MUST(blazen_run_start(run, json("0"), e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(shown_of(take(routed)), "0:StartEvent=0 0:Next=1 0:StopEvent=2");
  EXPECT_EQ(shown_of(take(plain)), "");
  const auto kinds = [](const std::vector<Item>& items, bool with_routed) {
    std::string text;
    for (const Item& item : items) {
      const bool is_lifecycle = item.type == BLAZEN_LIFECYCLE;
      if (item.type == BLAZEN_STREAM_END || (!is_lifecycle && !with_routed && item.type != BLAZEN_PROGRESS))
        continue;
      text += (text.empty() ? "" : " ") +
              (is_lifecycle ? Json::parse(item.value.substr(5)).at("kind").get<std::string>() : item.type);
    }
    return text;
  };
  const std::vector<Item> all = take(both);
  EXPECT_EQ(
      kinds(all, true),
      "blazen::StartEvent event_routed step_started blazen::ProgressEvent step_completed Next event_routed "
      "step_started step_completed blazen::StopEvent event_routed");
  EXPECT_EQ(kinds(all, false), kinds(take(lifecycle), true));
}

// The value of the StopEvent is the result itself, and both have it.
TEST_P(Outside, TheStopEventIsShownWithItsValue) {
  Counted object;
  {
    Engine engine(GetParam());
    Spec spec;
    spec.start([&](Ctx& ctx) {
      ctx.stop(live(object));
      ctx.stop("\"the second one\"");
    });
    const RunHandle run = create(engine, spec.build());
    const Stream stream = subscribe_with(run, {.types = {BLAZEN_STOP_EVENT}, .routed = true});
    MUST(blazen_run_start(run, nullptr, e));
    const Outcome end = finish(engine, run);
    Event item;
    uint64_t sequence = 77;
    MUST(blazen_stream_next(stream, 0, item.out(), &sequence, e));
    EXPECT_EQ(type_of(item), BLAZEN_STOP_EVENT);
    EXPECT_EQ(source_of(item), "start");
    EXPECT_EQ(blazen_event_id(item), 2U);
    EXPECT_EQ(sequence, 0U);
    EXPECT_EQ(blazen_value_object(blazen_event_value(item)), &object);
    EXPECT_EQ(blazen_value_object(end.result), &object);
    EXPECT_EQ(shown_of(take(stream)), "");
  }
  EXPECT_EQ(object.drops.load(), 1);
}

// What is delayed and published when it is due comes once, then; and a question that is asked by a body, as ever.
TEST(OutsideRouted, WhatIsPublishedComesOnceAlsoWhereItIsDelayed) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.unhandled = BLAZEN_UNHANDLED_STREAM;
  spec.start([](Ctx& ctx) -> blazen_status {
    ctx.emit_in(100, "Nobody", "1");
    ctx.emit_in(200, BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"a\"}");
    ctx.emit("Ask");
    return BLAZEN_OK;
  });
  spec.step("ask", {"Ask"}, [](Ctx& ctx) -> blazen_status {
    return ctx.ask("?", "b").empty() ? BLAZEN_PENDING : ctx.stop();
  });
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.routed = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  engine.pass(100);
  engine.pass(100);
  EXPECT_EQ(respond(run, "b", "1"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  std::vector<std::string> types;
  for (const Item& item : take(stream)) types.push_back(std::to_string(item.sequence) + item.type);
  EXPECT_EQ(types, (std::vector<std::string>{"0blazen::StartEvent", "0Ask", "1blazen::InputRequestEvent",
                                             "2Nobody", "3blazen::InputRequestEvent", "3blazen::StopEvent",
                                             "4blazen::StreamEnd"}));
}

TEST(OutsideRouted, WhoIsTooSlowGetsAGap) {
  Engine engine(Way::pump);
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 1; i <= 5; ++i) ctx.emit("N", std::to_string(i));
  });
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.step("next", {"N"}, [](Ctx&) {});
  const RunHandle run = create(engine, spec.build());
  const Stream slow = subscribe_with(run, {.capacity = 2, .routed = true});
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  EXPECT_EQ(shown_of(take(slow)), "0:StreamGap={\"missed\":0,\"lifecycle_missed\":4} 0:N=4 0:N=5");
  MUST(blazen_run_send_event(run, event("N", "6"), nullptr, e));
  EXPECT_EQ(shown_of(take(slow)), "0:N=6");
  MUST(blazen_run_abort(run, e));
}

// It goes on as it is where a subscriber comes or goes in the middle.
TEST_P(Outside, WhoComesLaterSeesWhatIsRoutedFromThenOn) {
  Engine engine(GetParam());
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  spec.step("next", {"N"}, [](Ctx&) {});
  const RunHandle run = start(engine, spec.build());
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  const Stream stream = subscribe_with(run, {.from = 1, .routed = true});
  MUST(blazen_run_send_event(run, event("N", "1"), nullptr, e));
  EXPECT_EQ(shown_of(take(stream)), "0:N=1");
  MUST(blazen_stream_close(stream, e));
  MUST(blazen_run_send_event(run, event("N", "2"), nullptr, e));
  const Stream again = subscribe_with(run, {.routed = true});
  MUST(blazen_run_send_event(run, event("N", "3"), nullptr, e));
  EXPECT_EQ(shown_of(take(again)), "0:N=3");
  MUST(blazen_run_abort(run, e));
}

// ---- time that a pause has moved ----

// The run is told the time at the moment that was armed before the pause, which is too early now; whether a body
// of it is at work or not.
TEST_P(Outside, WhatAPauseHasMovedLaterStillComes) {
  for (const bool is_retry : {false, true}) {
    for (const bool is_busy : {false, true}) {
      SCOPED_TRACE(std::string(is_retry ? "a back-off" : "a delayed event") + (is_busy ? ", busy" : ""));
      std::mutex lock;
      Invocation busy;
      Engine engine(GetParam(), &clock_);
      Spec spec;
      spec.start([&](Ctx& ctx) -> blazen_status {
        if (is_busy) ctx.emit("Hang");
        ctx.emit("Wait");
        return ctx.failed;
      });
      spec.step("hang", {"Hang"}, [&](Ctx& ctx) -> blazen_status {
        std::lock_guard guard(lock);
        busy = ctx.defer();
        return BLAZEN_PENDING;
      });
      spec.step("wait", {"Wait"},
                [&](Ctx& ctx) -> blazen_status {
                  if (ctx.attempt() == 2) return ctx.stop();
                  return is_retry ? ctx.fail(1, "not yet") : ctx.emit_in(100, "Later");
                })
          .retry(retries(2, 100, 1));
      spec.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
      const RunHandle run = start(engine, spec.build());
      const char* const what = is_retry ? "retrying" : "delayed";
      EXPECT_TRUE(engine.until(run, [&] {
        const Json counters = describe_run(run).at("counters");
        return counters.at(what) == 1 && counters.at("queued") == 0 &&
               counters.at("in_flight") == (is_busy ? 1 : 0);
      })) << describe_run(run).dump();
      engine.pass(40);
      MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
      engine.pass(30);
      MUST(blazen_run_resume_in_place(run, e));
      engine.pass(30);  // where it was due without the pause
      EXPECT_EQ(describe_run(run).at("counters").at(what), 1);
      EXPECT_EQ(engine.next_timer(), 30);
      engine.pass(29);
      EXPECT_EQ(describe_run(run).at("counters").at(what), 1);
      engine.pass(1);
      EXPECT_EQ(finish(engine, run).text(), "5 json null");
      std::lock_guard guard(lock);
      busy.reset();
    }
  }
}

}  // namespace
