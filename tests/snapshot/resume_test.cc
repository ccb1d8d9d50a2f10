// Goal: what a snapshot says, holds and refuses; and the ways in which other engines lose work here, each as
// a test.
#include <unistd.h>

#include <cstdio>
#include <set>

#include "support/blazen_test.hpp"

namespace bt {
namespace {

blazen_status poll_one(const Engine& engine, uint64_t* steps = nullptr) {
  return blazen_runtime_poll(engine.runtime(), 1, steps, nullptr);
}

RunHandle resume_started(const Engine& engine, const Workflow& workflow, std::string_view bytes) {
  RunHandle run = resume(engine, workflow, bytes);
  MUST(blazen_run_start(run, nullptr, e));
  return run;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string at(const std::string& bytes, size_t place, uint8_t value) {
  std::string changed = bytes;
  changed[place] = static_cast<char>(value);
  return changed;
}

// start -> A, A, A -> each joins; the third ends.
Spec joining() {
  return Spec("joining")
      .start([](Ctx& ctx) {
        for (int i = 0; i < 3; ++i) ctx.emit("A", std::to_string(i));
      })
      .step("a", {"A"}, [](Ctx& ctx) {
        ctx.set_once("a." + ctx.input(), "true");
        if (ctx.count("a.") == 3) ctx.stop("\"" + ctx.keys() + "\"");
      });
}

// --------------------------------------------------------------------------------------------- what is in it

TEST(Snapshot, InfoDescribesTheRun) {
  Engine engine;
  Spec spec = joining();
  spec.elsewhere("far", {"Far"});
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  MUST(poll_one(engine));
  MUST(poll_one(engine));
  MUST(blazen_run_send_event(run, event("Far"), nullptr, e));
  const std::string info = info_of(snapshot(run));
  EXPECT_TRUE(has(info, "\"format\":1")) << info;
  EXPECT_TRUE(has(info, "\"engine\":\"" BLAZEN_VERSION "\"")) << info;
  EXPECT_TRUE(has(info, "\"workflow\":\"joining\"")) << info;
  EXPECT_TRUE(
      has(info, "\"fingerprint\":\"" + std::string(blazen_workflow_fingerprint(workflow, nullptr)) + "\""))
      << info;
  EXPECT_TRUE(has(info, "\"run_id\":\"" + std::string(blazen_run_id(run, nullptr)) + "\"")) << info;
  EXPECT_TRUE(has(info, "\"state\":\"running\"")) << info;
  EXPECT_TRUE(has(info, "\"queued\":3")) << info;
  EXPECT_TRUE(has(info, "\"in_flight\":0")) << info;
  EXPECT_TRUE(has(info, "\"state_keys\":1")) << info;
  EXPECT_TRUE(has(info, "\"stream_sequence\":0")) << info;
  EXPECT_TRUE(has(info, "\"events_routed\":5")) << info;
}

// A path of many long names, at whose end many steps have work: what is listed of them has a bound, and the rest is counted.
TEST(Snapshot, InfoListsNoMoreThanAMebibyteOfNames) {
  constexpr size_t kSteps = 100;
  constexpr size_t kDepth = 60;
  Spec spec("leaf");
  for (size_t i = 0; i < kSteps; ++i) spec.elsewhere("e" + std::to_string(i), {BLAZEN_START_EVENT});
  Workflow workflow = spec.build();
  for (size_t i = 0; i < kDepth; ++i) {
    Spec outer("outer");
    outer.child(std::string(490, 'n'), {BLAZEN_START_EVENT}, std::move(workflow))
        .output_type(BLAZEN_STOP_EVENT);
    workflow = outer.build();
  }
  Engine engine;
  const RunHandle run = start(engine, workflow);
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
  const std::string text = info_of(snapshot(run));
  const Json info = Json::parse(text);
  EXPECT_LT(text.size(), size_t{2} << 20);
  EXPECT_GT(info.at("steps_needed").size(), 20U);
  EXPECT_EQ(info.at("steps_needed").size() + info.at("steps_left_out").get<size_t>(), kSteps + kDepth);
  EXPECT_EQ(info.at("inside").at("queued"), kSteps);
}

// Every name that the header promises is there.
TEST(Snapshot, InfoHasEveryFieldThatTheHeaderNames) {
  Engine engine;
  RunHandle run = start(engine, joining().build());
  const std::string info = info_of(snapshot(run));
  std::set<std::string> missing;
  for (const char* field : {"format", "engine", "workflow", "fingerprint", "run_id", "state", "queued",
                            "in_flight", "steps_needed", "state_keys", "stream_sequence", "events_routed",
                            "children", "inside", "steps_left_out"}) {
    if (!has(info, "\"" + std::string(field) + "\":")) missing.insert(field);
  }
  EXPECT_TRUE(missing.empty()) << *missing.begin() << " is not in " << info;
}

TEST(Snapshot, KeepsMetadataAndTheRunsId) {
  Engine engine;
  const Workflow workflow = joining().build();
  const Value metadata = native("meta", "python/pickle");
  RunHandle run = create(engine, workflow, metadata);
  const std::string bytes = snapshot_bytes(run);
  EXPECT_EQ(describe(blazen_snapshot_metadata(parse(bytes))), "native(python/pickle) meta");
  const RunHandle again = resume(engine, workflow, bytes);
  EXPECT_EQ(describe(blazen_run_metadata(again)), "native(python/pickle) meta");
  EXPECT_STREQ(blazen_run_id(again, nullptr), blazen_run_id(run, nullptr));
  const RunHandle without = create(engine, workflow);
  EXPECT_EQ(blazen_run_metadata(without), nullptr);
  EXPECT_EQ(blazen_snapshot_metadata(snapshot(without)), nullptr);
}

TEST(Snapshot, MetadataMayNotBeLive) {
  Counted object;
  Engine engine;
  const Workflow workflow = joining().build();
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  const Value metadata = live(object);
  options.metadata = metadata;
  RunHandle run;
  EXPECT_EQ(blazen_run_create(engine.runtime(), workflow, &options, run.out(), nullptr),
            BLAZEN_ERROR_WRONG_TAG);
}

TEST(Snapshot, OutlivesItsRunAndItsRuntime) {
  Snapshot taken;
  {
    Engine engine;
    taken = snapshot(start(engine, joining().build()));
  }
  EXPECT_TRUE(has(info_of(taken), "\"queued\":1"));
  EXPECT_EQ(bytes_of(parse(bytes_of(taken))), bytes_of(taken));
}

TEST(Snapshot, OfACreatedRunIsResumedAndThenGivenItsInput) {
  Engine engine;
  const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(ctx.input()); }).build();
  const std::string bytes = snapshot_bytes(create(engine, workflow));
  EXPECT_TRUE(has(info_of(parse(bytes)), "\"state\":\"created\""));
  RunHandle run = resume(engine, workflow, bytes);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CREATED);
  MUST(blazen_run_start(run, json("7"), e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 7");
}

TEST(Snapshot, ResumedRunThatHadItsInputTakesNoOther) {
  Engine engine;
  const Workflow workflow = joining().build();
  RunHandle first = start(engine, workflow);
  RunHandle run = resume(engine, workflow, snapshot_bytes(first));
  EXPECT_EQ(blazen_run_start(run, json("7"), nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

TEST(Snapshot, ResumeTakesNoOtherMetadata) {
  Engine engine;
  const Workflow workflow = joining().build();
  const Snapshot taken = snapshot(start(engine, workflow));
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  const Value metadata = json("1");
  options.metadata = metadata;
  RunHandle run;
  EXPECT_EQ(blazen_run_resume(engine.runtime(), workflow, taken, &options, run.out(), nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
}

TEST(Snapshot, OfACompletedRunGivesItsResultAgain) {
  Engine engine;
  const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(native("r", "c")); }).build();
  RunHandle run = start(engine, workflow);
  const std::string end = finish(engine, run).text();
  const std::string bytes = snapshot_bytes(run);
  Engine other;
  const RunHandle again = resume(other, workflow, bytes);
  EXPECT_EQ(outcome(again).text(), end);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(other.settle(again), BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(outcome(again).text(), end);
  EXPECT_EQ(snapshot_bytes(again), bytes);
}

TEST(Snapshot, OfAFailedRunGivesItsErrorAgainWithCauseAndDetail) {
  Engine engine;
  const Workflow workflow =
      Spec().start([](Ctx& ctx) { return ctx.fail(-3, "gone", native("tb", "python/pickle")); }).build();
  RunHandle run = start(engine, workflow);
  const std::string end = finish(engine, run).text();
  EXPECT_TRUE(has(end, "native(python/pickle) tb")) << end;
  const RunHandle again = resume(engine, workflow, snapshot_bytes(run));
  EXPECT_EQ(outcome(again).text(), end);
  EXPECT_EQ(blazen_run_state_now(again), BLAZEN_RUN_FAILED);
}

TEST(Snapshot, OfACancelledRunStaysCancelled) {
  Engine engine;
  const Workflow workflow = joining().build();
  RunHandle run = start(engine, workflow);
  MUST(blazen_run_close(run, e));
  const RunHandle again = resume(engine, workflow, snapshot_bytes(run));
  EXPECT_EQ(outcome(again).text(), outcome(run).text());
  EXPECT_EQ(blazen_run_state_now(again), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(blazen_run_start(again, nullptr, nullptr), BLAZEN_ERROR_CANCELLED);
}

TEST(Snapshot, SameStateGivesTheSameBytes) {
  FakeClock clock;  // its time is in there too
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, joining().build());
  MUST(poll_one(engine));
  const std::string first = snapshot_bytes(run);
  EXPECT_EQ(snapshot_bytes(run), first);
  EXPECT_EQ(snapshot_bytes(run), first);
}

// ------------------------------------------------------------------------------- LIVE values cannot be in it

TEST(Snapshot, NamesEveryLiveValueThatKeepsItFromBeingTaken) {
  Counted object;
  {
    Engine engine;
    Spec spec;
    spec.idle = BLAZEN_IDLE_WAIT;
    RunHandle run = start(engine, spec.start([&](Ctx& ctx) {
                                        ctx.set_session("db", live(object));
                                        ctx.set_session("gpu", live(object));
                                        ctx.set_session("plain", json("1"));
                                      })
                                      .elsewhere("far", {"Far"})
                                      .build());
    MUST(poll_one(engine));
    MUST(blazen_run_send_event(run, event("Far", live(object).get()), nullptr, e));
    Snapshot taken;
    Error error;
    EXPECT_EQ(blazen_run_snapshot(run, taken.out(), error.out()), BLAZEN_ERROR_NOT_SERIALIZABLE);
    EXPECT_TRUE(error.says("'db'")) << error.message();
    EXPECT_TRUE(error.says("'gpu'")) << error.message();
    EXPECT_TRUE(error.says("'Far'")) << error.message();
    EXPECT_FALSE(error.says("plain")) << error.message();
    EXPECT_EQ(taken.get(), nullptr);
  }
  EXPECT_EQ(object.drops, 3);
}

TEST(Snapshot, NamesALiveResultAndALiveDetail) {
  Counted object;
  Engine engine;
  RunHandle completed = start(engine, Spec().start([&](Ctx& ctx) { ctx.stop(live(object)); }).build());
  RunHandle failed =
      start(engine, Spec().start([&](Ctx& ctx) { return ctx.fail(1, "x", live(object)); }).build());
  finish(engine, completed);
  finish(engine, failed);
  Snapshot taken;
  Error error;
  EXPECT_EQ(blazen_run_snapshot(completed, taken.out(), error.out()), BLAZEN_ERROR_NOT_SERIALIZABLE);
  EXPECT_TRUE(error.says("result")) << error.message();
  EXPECT_EQ(blazen_run_snapshot(failed, taken.out(), error.out()), BLAZEN_ERROR_NOT_SERIALIZABLE);
  EXPECT_TRUE(error.says("detail")) << error.message();
}

TEST(Snapshot, IsTakenAgainOnceTheLiveValueIsGone) {
  Counted object;
  Engine engine;
  std::string bytes;
  const Outcome end = run_to_end(engine, Spec().start([&](Ctx& ctx) {
    ctx.set_session("db", live(object));
    Snapshot taken;
    EXPECT_EQ(blazen_run_snapshot(ctx.run(), taken.out(), nullptr), BLAZEN_ERROR_NOT_SERIALIZABLE);
    ctx.remove_session("db");
    EXPECT_EQ(object.drops, 1);
    MUST(blazen_run_snapshot(ctx.run(), taken.out(), e));
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
}

// ---------------------------------------------------------------------------------- where other engines fail

TEST(WorkIsNotLost, QueuedEventsAreInTheSnapshotInTheirOrder) {
  Engine first;
  std::string order;
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  for (int i = 0; i < 5; ++i) ctx.emit("A", std::to_string(i));
                                })
                                .step(
                                    "a", {"A"},
                                    [&](Ctx& ctx) {
                                      order += ctx.input();
                                      if (order.size() == 5) ctx.stop();
                                    },
                                    1)
                                .build();
  RunHandle run = start(first, workflow);
  MUST(poll_one(first));
  MUST(poll_one(first));
  MUST(poll_one(first));
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_close(run, e));
  Engine second;
  EXPECT_EQ(finish(second, resume_started(second, workflow, bytes)).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(order, "01234");
}

// Everything that an event says of itself, wherever it waited.
TEST(WorkIsNotLost, EventsKeepWhoMadeThemAndTheirCorrelation) {
  std::string seen;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.send(event("A", json("1"), "order-7"));
    ctx.emit("A", "2");
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    options.delay_ms = 10;
    MUST(blazen_context_emit_event(ctx.raw, event("A", json("3"), "order-8"), &options, e));
  });
  spec.step(
      "a", {"A"},
      [&](Ctx& ctx) {
        seen += ctx.input() + " " + source_of(ctx.trigger()) + " " + correlation_of(ctx.trigger()) + " " +
                std::to_string(ctx.event_id()) + ", ";
      },
      1);
  spec.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow = spec.build();
  FakeClock clock;
  Engine first(Way::pump, &clock);
  RunHandle run = start(first, workflow);
  MUST(poll_one(first));
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(std::exchange(seen, ""), "");
  Engine second(Way::pump, &clock);
  RunHandle resumed = resume_started(second, workflow, bytes);
  MUST(blazen_runtime_poll(second.runtime(), 0, nullptr, e));
  second.pass(10);
  MUST(blazen_runtime_poll(second.runtime(), 0, nullptr, e));
  EXPECT_EQ(seen, "1 start order-7 2, 2 start <none> 3, 3 start order-8 4, ");
}

TEST(WorkIsNotLost, TriggerInFlightRunsAgainUnderItsInvocationId) {
  std::vector<uint64_t> ids;
  std::vector<uint32_t> attempts;
  std::vector<std::string> inputs;
  std::string bytes;
  Invocation held;
  const auto spec = [&] {
    return Spec()
        .start([](Ctx& ctx) { ctx.emit("A", "{\"order\":7}"); })
        .step("a", {"A"}, [&](Ctx& ctx) -> blazen_status {
          ids.push_back(ctx.id());
          attempts.push_back(blazen_context_attempt(ctx.raw));
          inputs.push_back(ctx.input());
          if (!bytes.empty()) return ctx.stop(ctx.input());
          held = ctx.defer();
          return BLAZEN_PENDING;
        });
  };
  Engine first;
  RunHandle run = start(first, spec().build());
  MUST(blazen_runtime_poll(first.runtime(), 0, nullptr, e));
  bytes = snapshot_bytes(run);
  EXPECT_TRUE(has(info_of(parse(bytes)), "\"in_flight\":1"));
  Engine second;
  EXPECT_EQ(finish(second, resume_started(second, spec().build(), bytes)).text(), "5 json {\"order\":7}");
  EXPECT_EQ(ids, (std::vector<uint64_t>{2, 2}));
  EXPECT_EQ(inputs, (std::vector<std::string>{"{\"order\":7}", "{\"order\":7}"}));
  EXPECT_EQ(attempts[0], attempts[1]);
}

TEST(WorkIsNotLost, CountersGoOnAfterAResume) {
  std::vector<uint64_t> events;
  std::vector<uint64_t> invocations;
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.publish("P");
                                  ctx.set("k", "1");
                                  ctx.emit("A");
                                })
                                .step("a", {"A"},
                                      [&](Ctx& ctx) {
                                        events.push_back(ctx.event_id());
                                        invocations.push_back(ctx.id());
                                        const uint64_t before = ctx.version("k");
                                        ctx.set("k", "2");
                                        EXPECT_GT(ctx.version("k"), before);
                                        ctx.publish("P");
                                        if (events.size() == 2) ctx.stop();
                                        if (events.size() == 1) ctx.emit("A");
                                      })
                                .build();
  Engine first;
  RunHandle run = start(first, workflow);
  MUST(poll_one(first));
  MUST(poll_one(first));
  Engine second;
  RunHandle again = resume(second, workflow, snapshot_bytes(run));
  const Stream stream = subscribe(again);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(finish(second, again).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(events, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(invocations, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(take(stream), (std::vector<Item>{{3, "P", "json null"}, {4, BLAZEN_STREAM_END, "json null"}}));
}

TEST(WorkIsNotLost, CompletedStepsNeverRunAgain) {
  std::atomic<int> runs{0};
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  ++runs;
                                  ctx.emit("A");
                                })
                                .step("a", {"A"}, [](Ctx& ctx) { ctx.stop(); })
                                .build();
  Engine first;
  RunHandle run = start(first, workflow);
  MUST(poll_one(first));
  Engine second;
  EXPECT_EQ(finish(second, resume_started(second, workflow, snapshot_bytes(run))).state,
            BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(runs, 1);
}

// Two deferred steps; the process dies after the first of them has begun again.
TEST(WorkIsNotLost, SecondResumeFindsTheStepsInFlightInTheirFirstOrder) {
  std::string started;
  std::deque<Invocation> held;
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  for (int i = 1; i <= 3; ++i) ctx.emit("A", std::to_string(i));
                                })
                                .step("a", {"A"},
                                      [&](Ctx& ctx) -> blazen_status {
                                        started += ctx.input();
                                        held.push_back(ctx.defer());
                                        return BLAZEN_PENDING;
                                      })
                                .build();
  Engine engine;
  RunHandle first = start(engine, workflow);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(started, "123");
  Engine two;
  RunHandle second = resume_started(two, workflow, snapshot_bytes(first));
  started.clear();
  MUST(poll_one(two));
  EXPECT_EQ(started, "1");
  Engine three;
  RunHandle third = resume_started(three, workflow, snapshot_bytes(second));
  started.clear();
  MUST(blazen_runtime_poll(three.runtime(), 0, nullptr, e));
  EXPECT_EQ(started, "123");
}

// And so it is where one of them has to wait for its permit: the place that it had keeps it before what
// started later.
TEST(WorkIsNotLost, FirstOrderIsKeptUnderFewerPermits) {
  std::string started;
  std::vector<Invocation> held;
  bool again = false;
  const auto spec = [&](uint32_t permits) {
    const auto body = [&](Ctx& ctx) -> blazen_status {
      started += ctx.input();
      if (again) return BLAZEN_OK;
      held.push_back(ctx.defer());
      return BLAZEN_PENDING;
    };
    Spec all;
    all.start([](Ctx& ctx) {
      ctx.emit("A", "1");
      ctx.emit("A", "2");
      ctx.emit("B", "3");
      ctx.emit("B", "4");
    });
    all.step("a", {"A"}, body, permits).step("b", {"B"}, body);
    all.idle = BLAZEN_IDLE_WAIT;
    return all;
  };
  Engine first;
  RunHandle run = start(first, spec(2).build());
  MUST(blazen_runtime_poll(first.runtime(), 0, nullptr, e));
  ASSERT_EQ(started, "1234");
  const std::string bytes = snapshot_bytes(run);
  again = true;
  started.clear();
  Engine second;
  RunHandle resumed = resume_started(second, spec(1).build(), bytes);
  MUST(blazen_runtime_poll(second.runtime(), 0, nullptr, e));
  EXPECT_EQ(started, "1234");
  MUST(blazen_run_close(run, e));
}

TEST(WorkIsNotLost, MaxConcurrencyHoldsAfterAResumeWithAnother) {
  std::deque<Invocation> held;
  const auto spec = [&](uint32_t concurrency_max) {
    return Spec()
        .start([](Ctx& ctx) {
          for (int i = 0; i < 6; ++i) ctx.emit("A");
        })
        .step(
            "a", {"A"},
            [&](Ctx& ctx) -> blazen_status {
              held.push_back(ctx.defer());
              return BLAZEN_PENDING;
            },
            concurrency_max);
  };
  Engine first;
  RunHandle run = start(first, spec(3).build());
  MUST(blazen_runtime_poll(first.runtime(), 0, nullptr, e));
  EXPECT_EQ(held.size(), 3U);
  const std::string bytes = snapshot_bytes(run);
  held.clear();
  Engine second;
  RunHandle again = resume_started(second, spec(1).build(), bytes);
  for (int done = 0; done < 6; ++done) {
    MUST(blazen_runtime_poll(second.runtime(), 0, nullptr, e));
    ASSERT_EQ(held.size(), 1U) << "after " << done << " of them";
    MUST(blazen_invocation_complete(held.front(), e));
    held.pop_front();
  }
  EXPECT_EQ(outcome(again).status, BLAZEN_ERROR_STALLED);
}

// Two in flight and two queued of a step, resumed under one permit.
TEST(WorkIsNotLost, InFlightComesBeforeQueuedUnderALowerBound) {
  std::string order;
  std::vector<Invocation> held;
  bool again = false;
  const auto spec = [&](uint32_t permits) {
    Spec all;
    all.start([](Ctx& ctx) {
      for (const char* text : {"1", "2", "3", "4"}) ctx.emit("A", text);
    });
    all.step(
        "a", {"A"},
        [&](Ctx& ctx) -> blazen_status {
          order += ctx.input();
          if (again) return BLAZEN_OK;
          held.push_back(ctx.defer());
          return BLAZEN_PENDING;
        },
        permits);
    all.idle = BLAZEN_IDLE_WAIT;
    return all;
  };
  Engine first;
  RunHandle run = start(first, spec(2).build());
  MUST(blazen_runtime_poll(first.runtime(), 0, nullptr, e));
  ASSERT_EQ(held.size(), 2U);
  const std::string bytes = snapshot_bytes(run);
  again = true;
  order.clear();
  Engine second;
  RunHandle resumed = resume_started(second, spec(1).build(), bytes);
  MUST(blazen_runtime_poll(second.runtime(), 0, nullptr, e));
  EXPECT_EQ(order, "1234");
  MUST(blazen_run_close(run, e));
}

TEST(WorkIsNotLost, EventsForAStepElsewhereGoWithTheSnapshotToWhoeverHasIt) {
  const auto spec = [](bool has_far) {
    Spec all("move");
    all.start([](Ctx& ctx) {
      ctx.emit("Far", native("n", "python/pickle"));
      ctx.emit("Far", "2");
    });
    if (!has_far)
      return all.elsewhere("far", {"Far"}).step("end", {"End"}, [](Ctx& ctx) {
        ctx.stop("\"" + ctx.keys() + "\"");
      });
    return all
        .step("far", {"Far"},
              [](Ctx& ctx) {
                ctx.set("far." + std::to_string(ctx.event_id()),
                        Value(blazen_value_retain(blazen_event_value(ctx.trigger()))));
                if (ctx.count("far.") == 2) ctx.emit("End");
              })
        .elsewhere("end", {"End"});
  };
  Engine here;
  RunHandle run = start(here, spec(false).build());
  EXPECT_EQ(here.settle(run), BLAZEN_RUN_ELSEWHERE);
  Engine there;
  RunHandle moved = resume_started(there, spec(true).build(), snapshot_bytes(run));
  EXPECT_EQ(there.settle(moved), BLAZEN_RUN_ELSEWHERE);
  Value steps;
  MUST(blazen_run_elsewhere(moved, steps.out(), e));
  EXPECT_EQ(data_of(steps), "[\"end\"]");
  RunHandle back = resume_started(here, spec(false).build(), snapshot_bytes(moved));
  EXPECT_EQ(finish(here, back).text(), "5 json \"far.2,far.3\"");
}

// A step that does not repeat itself: where kind, type and target are others, the new send counts, and the
// stream says so. (tests/semantics/repetition_test.cc has the dimensions one by one.)
TEST(Diverged, SendThatDiffersIsRoutedAndReported) {
  Engine first;
  std::string bytes;
  bool again = false;
  std::string got;
  const auto spec = [&] {
    return Spec()
        .start([&](Ctx& ctx) {
          ctx.send("A", again ? "11" : "1");
          ctx.send(again ? "B" : "A", "2");
          ctx.publish("P", "3");
          if (!again) bytes = snapshot_bytes(ctx.run());
        })
        .step("a", {"A", "B"}, [&](Ctx& ctx) {
          got += ctx.type() + ctx.input() + " ";
          if (got.size() >= 9) ctx.stop();
        });
  };
  RunHandle run = start(first, spec().build());
  MUST(poll_one(first));
  MUST(blazen_run_close(run, e));
  again = true;
  Engine second;
  const Workflow workflow = spec().build();
  RunHandle resumed = resume(second, workflow, bytes);
  const Stream stream = subscribe(resumed);
  MUST(blazen_run_start(resumed, nullptr, e));
  EXPECT_EQ(finish(second, resumed).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(got, "A1 A2 B2 ");
  EXPECT_EQ(text_of(take(stream)),
            "blazen::lifecycle={\"kind\":\"send_changed\",\"invocation_id\":1,\"position\":0} "
            "blazen::lifecycle={\"kind\":\"send_diverged\",\"invocation_id\":1,\"position\":1} "
            "blazen::StreamEnd=null");
}

TEST(Diverged, SendToAnotherStepDiffersAndAnotherPayloadIsNoOtherSend) {
  std::string bytes;
  int life = 0;
  const auto spec = [&] {
    return Spec()
        .start([&](Ctx& ctx) {
          if (life == 0) ctx.send_to("a", "A", "1");
          if (life == 1) ctx.send_to("b", "A", "1");
          if (life == 2) ctx.send_to("a", "A", "2");
          if (life == 3) ctx.send_to("a", "A", "1");
          if (life == 0) bytes = snapshot_bytes(ctx.run());
          ctx.stop();
        })
        .step("a", {"A"}, [](Ctx&) {})
        .step("b", {"A"}, [](Ctx&) {});
  };
  Engine engine;
  run_to_end(engine, spec());
  const Workflow workflow = spec().build();
  for (life = 1; life <= 3; ++life) {
    RunHandle run = resume(engine, workflow, bytes);
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    finish(engine, run);
    const std::string text = text_of(take(stream));
    EXPECT_EQ(has(text, "send_diverged"), life == 1) << life;
    EXPECT_EQ(has(text, "send_changed"), life == 2) << life;
  }
}

// -------------------------------------------------------------------------------------------------- refusals

struct Refusal {
  blazen_status status;
  Error error;
};
Refusal try_resume(const Workflow& workflow, std::string_view bytes, bool allow_changed = false) {
  Engine engine;
  Refusal refusal;
  RunHandle run;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.allow_changed_workflow = allow_changed ? 1 : 0;
  refusal.status =
      blazen_run_resume(engine.runtime(), workflow, parse(bytes), &options, run.out(), refusal.error.out());
  EXPECT_EQ(run.get() != nullptr, refusal.status == BLAZEN_OK);
  return refusal;
}

std::string snapshot_of_joining() {
  Engine engine;
  RunHandle run = start(engine, joining().build());
  MUST(poll_one(engine));
  return snapshot_bytes(run);
}

TEST(Refused, WorkflowOfAnotherName) {
  Spec other = joining();
  other.name = "other";
  for (const bool allow : {false, true}) {
    const Refusal refusal = try_resume(other.build(), snapshot_of_joining(), allow);
    EXPECT_EQ(refusal.status, BLAZEN_ERROR_SNAPSHOT_MISMATCH);
    EXPECT_TRUE(refusal.error.says("'joining'")) << refusal.error.message();
    EXPECT_TRUE(refusal.error.says("'other'")) << refusal.error.message();
  }
}

TEST(Refused, ChangedWorkflowUnlessAllowed) {
  const std::string bytes = snapshot_of_joining();
  const Workflow changed = joining().step("more", {"More"}, [](Ctx&) {}).build();
  const Refusal refusal = try_resume(changed, bytes);
  EXPECT_EQ(refusal.status, BLAZEN_ERROR_SNAPSHOT_MISMATCH);
  EXPECT_TRUE(refusal.error.says("allow_changed_workflow")) << refusal.error.message();
  EXPECT_EQ(try_resume(changed, bytes, true).status, BLAZEN_OK);
}

TEST(Refused, WorkflowThatLacksAStepWithQueuedWorkEvenWhereChangesAreAllowed) {
  const Workflow lacking = Spec("joining").start([](Ctx&) {}).build();
  for (const bool allow : {false, true}) {
    const Refusal refusal = try_resume(lacking, snapshot_of_joining(), allow);
    EXPECT_EQ(refusal.status, BLAZEN_ERROR_SNAPSHOT_MISMATCH);
    EXPECT_TRUE(refusal.error.says("'a'")) << refusal.error.message();
  }
}

TEST(Refused, ChangedWorkflowThatIsAllowedGoesOnByTheNamesOfItsSteps) {
  Engine engine;
  Spec changed("joining");
  changed.step("new", {"New"}, [](Ctx&) {});
  for (const Step& step : joining().steps) changed.steps.push_back(step);
  RunHandle run;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.allow_changed_workflow = 1;
  MUST(blazen_run_resume(engine.runtime(), changed.build(), parse(snapshot_of_joining()), &options, run.out(),
                         e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json \"a.0,a.1,a.2\"");
}

TEST(Refused, EveryTruncationWithAnOffsetInside) {
  const std::string bytes = snapshot_of_joining();
  for (size_t length = 0; length < bytes.size(); ++length) {
    Snapshot parsed;
    Error error;
    const blazen_status status = blazen_snapshot_parse(bytes.data(), length, parsed.out(), error.out());
    ASSERT_EQ(status, BLAZEN_ERROR_SNAPSHOT_INVALID) << length << ": " << error.message();
    ASSERT_LE(error.offset(), length);
  }
}

TEST(Refused, TrailingBytes) {
  const std::string bytes = snapshot_of_joining() + '\0';
  Snapshot parsed;
  Error error;
  EXPECT_EQ(blazen_snapshot_parse(bytes.data(), bytes.size(), parsed.out(), error.out()),
            BLAZEN_ERROR_SNAPSHOT_INVALID);
  EXPECT_EQ(error.offset(), bytes.size() - 1);
}

// No flip crashes, hangs or passes as something whose bytes differ.
TEST(Refused, FlippedBytesNeverCrashAndNeverPassAsTheSame) {
  const std::string bytes = snapshot_of_joining();
  const Workflow workflow = joining().build();
  size_t refused = 0;
  for (size_t place = 0; place < bytes.size(); ++place) {
    for (const uint8_t mask : {0x01, 0x80, 0xff}) {
      const std::string flipped = at(bytes, place, static_cast<uint8_t>(bytes[place]) ^ mask);
      Snapshot parsed;
      Error error;
      const blazen_status status =
          blazen_snapshot_parse(flipped.data(), flipped.size(), parsed.out(), error.out());
      if (status != BLAZEN_OK) {
        EXPECT_TRUE(status == BLAZEN_ERROR_SNAPSHOT_INVALID || status == BLAZEN_ERROR_SNAPSHOT_NEWER)
            << status;
        if (status == BLAZEN_ERROR_SNAPSHOT_INVALID) EXPECT_LE(error.offset(), flipped.size());
        ++refused;
        continue;
      }
      EXPECT_EQ(bytes_of(parsed), flipped);
      Engine engine;
      RunHandle run;
      if (blazen_run_resume(engine.runtime(), workflow, parsed, nullptr, run.out(), nullptr) != BLAZEN_OK)
        continue;
      MUST(blazen_run_start(run, nullptr, e));
      if (blazen_run_state_now(run) == BLAZEN_RUN_PAUSED) MUST(blazen_run_resume_in_place(run, e));
      EXPECT_TRUE(is_ended(engine.settle(run)));
    }
  }
  EXPECT_GT(refused, bytes.size());
}

TEST(Refused, NewerFormatInItsOwnWords) {
  // d9d9f7 b1 00 6a "blazen/run" 01 01: the number of the format follows the key 1.
  const std::string bytes = snapshot_of_joining();
  const size_t place = bytes.find("blazen/run") + 11;
  ASSERT_EQ(bytes[place - 1], 1);
  ASSERT_EQ(bytes[place], 1);
  Snapshot parsed;
  Error error;
  const std::string newer = at(bytes, place, 2);
  EXPECT_EQ(blazen_snapshot_parse(newer.data(), newer.size(), parsed.out(), error.out()),
            BLAZEN_ERROR_SNAPSHOT_NEWER);
  EXPECT_TRUE(error.says("2")) << error.message();
  const std::string older = at(bytes, place, 0);
  EXPECT_EQ(blazen_snapshot_parse(older.data(), older.size(), parsed.out(), nullptr),
            BLAZEN_ERROR_SNAPSHOT_INVALID);
}

TEST(Refused, WhatIsNoSnapshotAtAll) {
  Snapshot parsed;
  for (const std::string& data :
       {std::string(), std::string("{}"), std::string("hello"), std::string(1000, '\xff')}) {
    EXPECT_EQ(blazen_snapshot_parse(data.data(), data.size(), parsed.out(), nullptr),
              BLAZEN_ERROR_SNAPSHOT_INVALID);
  }
  EXPECT_EQ(blazen_snapshot_parse(nullptr, 5, parsed.out(), nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
}

// ---------------------------------------------------------------------------- from another thread, in motion

TEST(Moving, SnapshotsOfARunThatGoesOnAllEndAsItDoes) {
  NEEDS_THREADS();
  const auto spec = [] {
    return Spec("moving")
        .start([](Ctx& ctx) {
          for (int i = 0; i < 40; ++i) ctx.emit("Work", std::to_string(i));
        })
        .step(
            "work", {"Work"},
            [](Ctx& ctx) {
              ctx.set_once("work." + ctx.input(), ctx.input());
              ctx.send("Done", ctx.input());
              ctx.publish("P", ctx.input());
            },
            3)
        .step(
            "join", {"Done"},
            [](Ctx& ctx) {
              ctx.set_once("done." + ctx.input(), "true");
              if (ctx.count("done.") == 40) ctx.stop("\"" + ctx.keys() + "\"");
            },
            1);
  };
  for (int round = 0; round < 5; ++round) {
    Engine engine(Way::threads_4);
    RunHandle run = start(engine, spec().build());
    std::vector<std::string> taken;
    while (!is_ended(blazen_run_state_now(run)) && taken.size() < 200) taken.push_back(snapshot_bytes(run));
    const std::string end = finish(engine, run).text();
    EXPECT_EQ(end.substr(0, 2), "5 ") << end;
    const Workflow workflow = spec().build();
    for (const std::string& bytes : taken) {
      Engine other(Way::pump);
      RunHandle again = resume(other, workflow, bytes);
      MUST(blazen_run_start(again, nullptr, e));
      ASSERT_EQ(finish(other, again).text(), end);
    }
  }
}

TEST(Moving, SnapshotsFromSeveralThreadsBesideWritersAreWhole) {
  NEEDS_THREADS();
  Engine engine(Way::threads_4);
  const Workflow workflow = Spec()
                                .step("write", {BLAZEN_START_EVENT, "Again"},
                                      [](Ctx& ctx) {
                                        const int round = ctx.input() == "null" ? 0 : std::stoi(ctx.input());
                                        // Both or neither: a cut between them would show.
                                        Batch batch;
                                        const Value value = json(std::to_string(round));
                                        MUST(blazen_batch_create(batch.out(), e));
                                        MUST(blazen_batch_set(batch, BLAZEN_TEXT("x"), value, e));
                                        MUST(blazen_batch_set(batch, BLAZEN_TEXT("y"), value, e));
                                        MUST(blazen_context_apply(ctx.raw, batch, e));
                                        ctx.set("k" + std::to_string(round % 50), value);
                                        if (round == 3000) {
                                          ctx.stop();
                                        } else {
                                          ctx.emit("Again", std::to_string(round + 1));
                                        }
                                      })
                                .build();
  RunHandle run = start(engine, workflow);
  std::vector<std::thread> threads;
  std::atomic<int> torn{0};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      const Workflow reading = Spec()
                                   .step("write", {BLAZEN_START_EVENT, "Again"},
                                         [&](Ctx& ctx) {
                                           if (ctx.text("x") != ctx.text("y")) ++torn;
                                           ctx.stop();
                                         })
                                   .build();
      while (!is_ended(blazen_run_state_now(run))) {
        const std::string bytes = snapshot_bytes(run);
        if (has(info_of(parse(bytes)), "completed")) break;
        Engine other(Way::pump);
        RunHandle again = resume(other, reading, bytes);
        MUST(blazen_run_start(again, nullptr, e));
        other.settle(again);
      }
    });
  }
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(torn, 0);
}

// ----------------------------------------------------------------------------------------- memory stays flat

size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long total = 0;
  unsigned long resident = 0;
  if (std::fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(Memory, ChainOfAMillionEventsDoesNotGrowIt) {
  const uint64_t count = kSanitized ? 20000 : 1000000;
  Engine engine;
  uint64_t left = count;
  size_t before = 0;
  const Outcome end = run_to_end(engine, Spec().step("next", {BLAZEN_START_EVENT, "Next"}, [&](Ctx& ctx) {
    if (left == count - count / 10) before = resident_bytes();
    if (--left == 0) {
      ctx.stop();
    } else {
      (void)blazen_context_emit(ctx.raw, BLAZEN_TEXT("Next"), nullptr, nullptr);
    }
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
  const size_t after = resident_bytes();
  if (!kSanitized) EXPECT_LT(after, before + (4U << 20)) << "grew by " << (after - before) / 1024 << " KiB";
}

// A host that starts and waits, and never polls, is told to do so by the header: what has ended must not pile
// up.
TEST(Memory, RunsThatWereWaitedForAreLetGoWithTheirHandles) {
  for (const Way way : ways()) {
    Counted object;
    Engine engine(way);
    const Workflow workflow =
        Spec()
            .start([](Ctx& ctx) { ctx.stop(Value(blazen_value_retain(blazen_event_value(ctx.trigger())))); })
            .build();
    for (int i = 0; i < 3; ++i) {
      RunHandle run = create(engine, workflow);
      MUST(blazen_run_start(run, live(object), e));
      EXPECT_EQ(engine.settle(run), BLAZEN_RUN_COMPLETED);
      MUST(blazen_run_close(run, e));
    }
    if (is_threaded(way)) continue;  // their last touch of a run comes a little later
    EXPECT_EQ(object.drops, 3) << name_of(way);
  }
}

}  // namespace
// A run that was resumed and never started leaves its invocations to the next run, which must not find them
// where they stood: those that were in flight wait in a tree where the step has fewer permits now.
TEST(ResumedAndNeverStarted, LeavesNothingOfItsQueuesToTheNextRun) {
  constexpr int kMany = 40;
  std::vector<Invocation> held;
  bool holds = true;
  int done = 0;
  const auto spec = [&](uint32_t permits) {
    Spec made;
    made.start([](Ctx& ctx) {
      for (int i = 0; i < kMany; ++i) ctx.emit("A", std::to_string(i));
    });
    made.step(
        "a", {"A"},
        [&](Ctx& ctx) -> blazen_status {
          if (holds) {
            held.push_back(ctx.defer());
            return BLAZEN_PENDING;
          }
          if (++done == kMany) ctx.stop();
          return BLAZEN_OK;
        },
        permits);
    made.idle = BLAZEN_IDLE_WAIT;
    return made;
  };
  Engine first(Way::pump);
  RunHandle run = start(first, spec(kMany).build());
  MUST(blazen_runtime_poll(first.runtime(), 0, nullptr, e));
  ASSERT_EQ(held.size(), static_cast<size_t>(kMany));
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_close(run, e));
  held.clear();

  holds = false;
  Engine other(Way::pump);
  {
    const RunHandle never_started = resume(other, spec(1).build(), bytes);
  }
  RunHandle next = start(other, spec(1).build());
  finish(other, next);
  EXPECT_EQ(done, kMany);
}

}  // namespace bt
