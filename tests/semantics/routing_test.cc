// Goal: events go where the workflow says, in order, and a run ends for the right reason, whoever runs its
// steps.
#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "support/blazen_test.hpp"

namespace bt {
namespace {

// Lines that bodies write, from any thread.
class Log {
 public:
  void add(std::string line) {
    std::lock_guard guard(lock_);
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> lines() const {
    std::lock_guard guard(lock_);
    return lines_;
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines()) all += (all.empty() ? "" : " ") + line;
    return all;
  }
  size_t size() const { return lines().size(); }

 private:
  mutable std::mutex lock_;
  std::vector<std::string> lines_;
};

using Routing = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, Routing, testing::ValuesIn(ways()), way_name);

// ----------------------------------------------------------------------------------------- from step to step

TEST_P(Routing, InputGoesToStartEventAndStopEventsValueIsTheResult) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) {
    EXPECT_EQ(ctx.type(), BLAZEN_START_EVENT);
    EXPECT_EQ(source_of(ctx.trigger()), "<none>");
    ctx.stop(ctx.input());
  }),
                                 "{\"n\": 1.0}");
  EXPECT_EQ(end.text(), "5 json {\"n\": 1.0}");
}

TEST_P(Routing, NullInputIsJsonNull) {
  Engine engine(GetParam());
  const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(ctx.input()); }).build();
  RunHandle run = create(engine, workflow);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
}

TEST_P(Routing, EventNamesItsSourceItsCorrelationAndCountsFromOne) {
  Log log;
  Engine engine(GetParam());
  const Outcome end =
      run_to_end(engine, Spec()
                             .start([](Ctx& ctx) { ctx.emit(event("A", json("1"), "order-7")); })
                             .step("a", {"A"}, [&](Ctx& ctx) {
                               log.add(source_of(ctx.trigger()));
                               log.add(correlation_of(ctx.trigger()));
                               log.add(std::to_string(ctx.event_id()));
                               ctx.stop();
                             }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(log.text(), "start order-7 2");
}

TEST_P(Routing, ListOfEventsIsRoutedInItsOrder) {
  Log log;
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               for (int i = 0; i < 20; ++i) ctx.emit("A", std::to_string(i));
                                               ctx.emit("End");
                                             })
                                             .step(
                                                 "a", {"A", "End"},
                                                 [&](Ctx& ctx) {
                                                   if (ctx.type() == "End") {
                                                     ctx.stop();
                                                   } else {
                                                     log.add(ctx.input());
                                                   }
                                                 },
                                                 1));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(log.text(), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
}

TEST_P(Routing, EventStartsEachAcceptorOnceWithIdsInRegistrationOrder) {
  std::mutex lock;
  std::map<std::string, std::vector<uint64_t>> ids;
  Engine engine(GetParam());
  const auto note = [&](Ctx& ctx) {
    {
      std::lock_guard guard(lock);
      ids[ctx.step()].push_back(ctx.id());
    }
    ctx.emit("Done");
  };
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) { ctx.emit("A"); })
                                             .step("z", {"A"}, note)
                                             .step("m", {"X", "A"}, note)
                                             .step("a", {"A"}, note)
                                             .step(
                                                 "join", {"Done"},
                                                 [](Ctx& ctx) {
                                                   ctx.set("done." + std::to_string(ctx.event_id()), "1");
                                                   if (ctx.count("done.") == 3) ctx.stop();
                                                 },
                                                 1));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
  ASSERT_EQ(ids.size(), 3U);
  EXPECT_EQ(ids["z"], std::vector<uint64_t>{2});
  EXPECT_EQ(ids["m"], std::vector<uint64_t>{3});
  EXPECT_EQ(ids["a"], std::vector<uint64_t>{4});
}

TEST_P(Routing, TargetedEventReachesThatStepAlone) {
  Log log;
  Engine engine(GetParam());
  const auto note = [&](Ctx& ctx) {
    log.add(ctx.step() + ctx.input());
    if (ctx.input() == "3") ctx.stop();
  };
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               ctx.send_to("b", "A", "1");
                                               ctx.emit_to("b", "A", "2");
                                               ctx.emit_to("b", "A", "3");
                                             })
                                             .step("a", {"A"}, note)
                                             .step("b", {"A"}, note, 1));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(log.text(), "b1 b2 b3");
}

// Names of which one is the beginning of another, or differs in its last byte or its case alone, are as
// different as any: types, steps, questions, and what a stream wants.
TEST_P(Routing, NamesThatBeginWithOthersAreOthers) {
  Engine engine(GetParam());
  const std::vector<std::string> names = {"n", "n1", "n10", "n1 ", "N1", "n1\xc3\xa9"};
  std::mutex lock;
  std::map<std::string, std::string> seen;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    for (const std::string& name : names) {
      ctx.emit("type " + name, "\"" + name + "\"");
      ctx.emit_to("step " + name, "All", "\"" + name + "\"");
      ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"" + name + "\"}");
      ctx.publish("item " + name);
    }
  });
  for (const std::string& name : names) {
    spec.step("step " + name, {"type " + name, "All"}, [&, name](Ctx& ctx) {
      std::lock_guard guard(lock);
      seen[name] += ctx.input();
    });
  }
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [&](Ctx& ctx) {
    std::lock_guard guard(lock);
    const std::string id = correlation_of(ctx.trigger());
    seen[id] +=
        ctx.input().find("\"response\":\"" + id + "\"") != std::string::npos ? "answered" : ctx.input();
  });
  spec.idle = BLAZEN_IDLE_WAIT;
  const RunHandle run = create(engine, spec.build());
  std::map<std::string, Stream> streams;
  for (const std::string& name : names) {
    const std::string type = "item " + name;
    const char* data = type.data();
    const size_t length = type.size();
    blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
    options.types = &data;
    options.type_lengths = &length;
    options.type_count = 1;
    MUST(blazen_run_subscribe_with(run, &options, streams[name].out(), e));
  }
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_ASKING; });
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    MUST(blazen_run_respond(run, name->data(), name->size(), json("\"" + *name + "\""), e));
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; });
  for (const std::string& name : names) {
    const std::string json_name = "\"" + name + "\"";
    EXPECT_EQ(seen[name], json_name + json_name + "answered");
    EXPECT_EQ(text_of(take(streams[name])), "item " + name + "=null");
  }
  MUST(blazen_run_close(run, e));
}

TEST_P(Routing, TargetThatIsUnknownOrDoesNotAcceptIsAnErrorToTheSender) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(
      engine, Spec()
                  .start([](Ctx& ctx) {
                    const blazen_send_options nobody = to_step("nobody");
                    const blazen_send_options deaf = to_step("deaf");
                    Error error;
                    for (const auto call : {blazen_context_emit_event, blazen_context_send_event}) {
                      EXPECT_EQ(call(ctx.raw, event("A"), &nobody, error.out()), BLAZEN_ERROR_NOT_FOUND);
                      EXPECT_TRUE(error.says("has no step 'nobody'")) << error.message();
                      EXPECT_EQ(call(ctx.raw, event("A"), &deaf, error.out()), BLAZEN_ERROR_NOT_FOUND);
                      EXPECT_TRUE(error.says("'deaf' does not accept event 'A'")) << error.message();
                    }
                    ctx.stop();
                  })
                  .step("a", {"A"}, [](Ctx&) {})
                  .step("deaf", {"B"}, [](Ctx&) {}));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Routing, SentEventIsRoutedWhileItsStepRunsAndEmittedOneWhenItIsDone) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(
      engine,
      Spec()
          .start([](Ctx& ctx) {
            ctx.emit("Emitted");
            ctx.send("Sent");
          })
          .step(
              "both", {"Emitted", "Sent"},
              [](Ctx& ctx) { ctx.stop("\"" + ctx.type() + " " + std::to_string(ctx.event_id()) + "\""); },
              1));
  EXPECT_EQ(end.text(), "5 json \"Sent 2\"");
}

TEST_P(Routing, WhatAFailedStepEmittedIsNotRouted) {
  std::atomic<bool> routed{false};
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               ctx.emit("A");
                                               return ctx.fail(1, "no");
                                             })
                                             .step("a", {"A"}, [&](Ctx&) { routed = true; }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_FALSE(routed);
}

// ------------------------------------------------------------------------------------------------- unhandled

Spec with_unhandled(blazen_unhandled unhandled) {
  Spec spec;
  spec.unhandled = unhandled;
  return spec
      .start([](Ctx& ctx) {
        ctx.emit("Nobody", "7");
        ctx.emit("A");
      })
      .step("a", {"A"}, [](Ctx& ctx) { ctx.stop(); });
}

TEST_P(Routing, UnhandledEventFailsTheRunNamingItAndItsSender) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, with_unhandled(BLAZEN_UNHANDLED_FAIL));
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.status, BLAZEN_ERROR_NO_HANDLER);
  EXPECT_TRUE(end.error.says("'Nobody'")) << end.error.message();
  EXPECT_TRUE(end.error.says("'start'")) << end.error.message();
  EXPECT_EQ(end.error.step(), "start");
}

TEST_P(Routing, UnhandledEventFromOutsideFailsTheRunToo) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx&) {});
  spec.idle = BLAZEN_IDLE_WAIT;
  const RunHandle run = start(engine, spec.build());
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; });
  MUST(blazen_run_send_event(run, event("Nobody"), nullptr, e));
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_NO_HANDLER) << end.text();
  EXPECT_TRUE(end.error.says("'Nobody'")) << end.error.message();
  EXPECT_EQ(end.error.step(), "");
}

TEST_P(Routing, UnhandledEventIsDroppedWhereIgnored) {
  Engine engine(GetParam());
  const Workflow workflow = with_unhandled(BLAZEN_UNHANDLED_IGNORE).build();
  RunHandle run = create(engine, workflow);
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
}

TEST_P(Routing, UnhandledEventIsPublishedWhereStreamed) {
  Engine engine(GetParam());
  const Workflow workflow = with_unhandled(BLAZEN_UNHANDLED_STREAM).build();
  RunHandle run = create(engine, workflow);
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(text_of(take(stream)), "Nobody=7 blazen::StreamEnd=null");
}

// ----------------------------------------------------------------------------------------------- stop, stall

TEST_P(Routing, FirstStopEventWinsAndWhatFollowsItIsDropped) {
  std::atomic<bool> ran{false};
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               ctx.stop("1");
                                               ctx.emit("A");
                                               ctx.stop("2");
                                             })
                                             .step("a", {"A"}, [&](Ctx&) { ran = true; }));
  EXPECT_EQ(end.text(), "5 json 1");
  EXPECT_FALSE(ran);
}

TEST_P(Routing, ResultHasTheTagThatStopEventCarried) {
  Counted object;
  {
    Engine engine(GetParam());
    const auto result = [&](const std::function<void(Ctx&)>& body) {
      return run_to_end(engine, Spec().start(body));
    };
    EXPECT_EQ(result([](Ctx& ctx) { ctx.stop(bytes("\x01\x02")); }).text(), "5 bytes \x01\x02");
    EXPECT_EQ(result([](Ctx& ctx) { ctx.stop(native("n", "c")); }).text(), "5 native(c) n");
    EXPECT_EQ(blazen_value_object(result([&](Ctx& ctx) { ctx.stop(live(object)); }).result), &object);
  }
  EXPECT_EQ(object.drops, 1);
}

TEST_P(Routing, StopSentMidStepTellsTheStepThatItIsCancelledAndDropsTheRest) {
  std::atomic<int> checked{0};
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  EXPECT_FALSE(ctx.cancelled());
                                  ctx.set("k", "1");
                                  ctx.send(BLAZEN_STOP_EVENT, "9");
                                  EXPECT_TRUE(ctx.cancelled());
                                  EXPECT_EQ(ctx.publish("Late"), BLAZEN_ERROR_CANCELLED);
                                  EXPECT_EQ(ctx.send("A"), BLAZEN_ERROR_CANCELLED);
                                  EXPECT_EQ(ctx.set("k", "2"), BLAZEN_ERROR_CANCELLED);
                                  EXPECT_EQ(ctx.set_session("k", json("2")), BLAZEN_ERROR_CANCELLED);
                                  checked = 1;
                                })
                                .step("a", {"A"}, [&](Ctx&) { checked = 100; })
                                .build();
  RunHandle run = create(engine, workflow);
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 9");
  engine.until(run, [&] { return checked != 0; });
  EXPECT_EQ(checked, 1);
  EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
}

// A context lives on after the end of its run, and says so in every call.
TEST_P(Routing, EveryContextCallAfterTheEndOfTheRunAnswersCancelled) {
  std::mutex lock;
  std::map<std::string, blazen_status> answers;
  std::atomic<bool> checked{false};
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  ctx.set("k", "1");
                                  ctx.send(BLAZEN_STOP_EVENT);
                                  std::lock_guard guard(lock);
                                  answers["emit"] = ctx.emit("A");
                                  answers["emit_event"] = ctx.emit(event("A"));
                                  answers["clear"] = ctx.clear();
                                  ctx.failed = BLAZEN_OK;
                                  ctx.get("k");
                                  answers["get"] = std::exchange(ctx.failed, BLAZEN_OK);
                                  ctx.has("k");
                                  answers["has"] = std::exchange(ctx.failed, BLAZEN_OK);
                                  ctx.keys();
                                  answers["keys"] = std::exchange(ctx.failed, BLAZEN_OK);
                                  ctx.remove("k");
                                  answers["remove"] = std::exchange(ctx.failed, BLAZEN_OK);
                                  ctx.session("k");
                                  answers["get_session"] = std::exchange(ctx.failed, BLAZEN_OK);
                                  checked = true;
                                })
                                .step("a", {"A"}, [](Ctx&) {})
                                .build();
  RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return checked.load(); });
  for (const auto& [call, status] : answers) {
    EXPECT_EQ(status, BLAZEN_ERROR_CANCELLED) << call << " answered " << blazen_status_name(status);
  }
}

TEST_P(Routing, RunThatCanMakeNoProgressFailsAtOnceNamingTheLastEvent) {
  Engine engine(GetParam());
  const Outcome end =
      run_to_end(engine, Spec().start([](Ctx& ctx) { ctx.emit("Dead"); }).step("a", {"Dead"}, [](Ctx&) {}));
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STALLED);
  EXPECT_TRUE(end.error.says("'Dead'")) << end.error.message();
}

TEST_P(Routing, StallNamesAnEventThatWasIgnored) {
  Engine engine(GetParam());
  Spec spec;
  spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
  const Outcome end = run_to_end(engine, spec.start([](Ctx& ctx) { ctx.emit("Unknown"); }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STALLED);
  EXPECT_TRUE(end.error.says("'Unknown'")) << end.error.message();
}

TEST_P(Routing, IdleRunWaitsForEventsFromOutside) {
  Engine engine(GetParam());
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow = spec.start([](Ctx&) {})
                                .step("add", {"Add"},
                                      [](Ctx& ctx) {
                                        EXPECT_EQ(source_of(ctx.trigger()), "<none>");
                                        if (ctx.input() == "2") ctx.stop(ctx.input());
                                      })
                                .build();
  RunHandle run = create(engine, workflow);
  EXPECT_EQ(blazen_run_send_event(run, event("Add", "0"), nullptr, nullptr), BLAZEN_ERROR_WRONG_STATE);
  MUST(blazen_run_start(run, nullptr, e));
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; });
  EXPECT_EQ(blazen_run_wait(run, 0, nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
  MUST(blazen_run_send_event(run, event("Add", "1"), nullptr, e));
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; });
  const blazen_send_options target = to_step("add");
  MUST(blazen_run_send_event(run, event("Add", "2"), &target, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 2");
  EXPECT_EQ(blazen_run_send_event(run, event("Add", "3"), nullptr, nullptr), BLAZEN_ERROR_CANCELLED);
}

TEST_P(Routing, StopEventFromOutsideEndsTheRun) {
  Engine engine(GetParam());
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.start([](Ctx&) {}).build());
  engine.until(run, [&] { return blazen_run_state_now(run) == BLAZEN_RUN_WAITING; });
  MUST(blazen_run_send_event(run, event(BLAZEN_STOP_EVENT, "5"), nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 5");
}

// -------------------------------------------------------------------------------------------------- failures

TEST_P(Routing, FailingStepGivesItsNameCodeMessageAndItsVeryObjectBack) {
  Counted object;
  {
    Engine engine(GetParam());
    const Outcome end =
        run_to_end(engine, Spec().start([](Ctx& ctx) { ctx.emit("A"); }).step("broken", {"A"}, [&](Ctx& ctx) {
          return ctx.fail(-42, "disk is gone", live(object, "python/exception"));
        }));
    EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
    EXPECT_EQ(end.error.status(), BLAZEN_ERROR_STEP_FAILED);
    EXPECT_EQ(end.error.step(), "broken");
    EXPECT_EQ(end.error.attempt(), 1U);
    EXPECT_EQ(end.error.host_code(), -42);
    EXPECT_TRUE(end.error.says("'broken'")) << end.error.message();
    EXPECT_TRUE(end.error.says("disk is gone")) << end.error.message();
    EXPECT_EQ(blazen_value_object(end.error.detail()), &object);
    const Error cause = end.error.cause();
    EXPECT_EQ(cause.status(), BLAZEN_ERROR_HOST);
    EXPECT_EQ(cause.host_code(), -42);
    EXPECT_EQ(cause.message(), "disk is gone");
    EXPECT_EQ(object.drops, 0);
  }
  EXPECT_EQ(object.drops, 1);
}

TEST_P(Routing, ErrorOfACallIsPassedOnAsItIs) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) -> blazen_status {
    return blazen_context_emit_json(ctx.raw, BLAZEN_TEXT("A"), BLAZEN_TEXT("[1"), ctx.error());
  }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  const Error cause = end.error.cause();
  EXPECT_EQ(cause.status(), BLAZEN_ERROR_INVALID_JSON);
  EXPECT_EQ(cause.offset(), 2U);
}

TEST_P(Routing, StatusWithoutAnErrorFailsTheStepToo) {
  Engine engine(GetParam());
  const Outcome known =
      run_to_end(engine, Spec().start([](Ctx&) -> blazen_status { return BLAZEN_ERROR_TIMEOUT; }));
  EXPECT_EQ(known.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(known.error.cause().status(), BLAZEN_ERROR_TIMEOUT);
  const Outcome unknown = run_to_end(engine, Spec().start([](Ctx&) -> blazen_status { return -5; }));
  EXPECT_EQ(unknown.error.cause().status(), BLAZEN_ERROR_HOST);
  EXPECT_EQ(unknown.error.host_code(), -5);
}

TEST_P(Routing, ErrorThatCameWithOkIsReleasedAndCountsNot) {
  Counted object;
  {
    Engine engine(GetParam());
    const Outcome end = run_to_end(engine, Spec().start([&](Ctx& ctx) -> blazen_status {
      (void)ctx.fail(1, "not meant", live(object));
      Error mine(*ctx.error());
      *ctx.error() = nullptr;
      (void)ctx.fail(2, "not meant either");
      return ctx.stop("1");
    }));
    EXPECT_EQ(end.text(), "5 json 1");
  }
  EXPECT_EQ(object.drops, 1);
}

TEST_P(Routing, ExceptionOutOfAStepFailsItInsteadOfHangingTheRun) {
  Engine engine(GetParam());
  const Outcome known = run_to_end(engine, Spec().start([](Ctx&) { throw std::runtime_error("boom"); }));
  EXPECT_EQ(known.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(known.error.cause().status(), BLAZEN_ERROR_HOST);
  EXPECT_EQ(known.error.cause().message(), "boom");
  const Outcome unknown = run_to_end(engine, Spec().start([](Ctx&) { throw 7; }));
  EXPECT_EQ(unknown.status, BLAZEN_ERROR_STEP_FAILED);
}

TEST_P(Routing, FailureWinsOverWhatIsStillQueued) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               for (int i = 0; i < 5; ++i) ctx.emit("A", std::to_string(i));
                                             })
                                             .step(
                                                 "a", {"A"},
                                                 [](Ctx& ctx) -> blazen_status {
                                                   if (ctx.input() == "0") return ctx.fail(0, "first");
                                                   return ctx.stop("\"too late\"");
                                                 },
                                                 1));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(end.error.cause().message(), "first");
}

TEST_P(Routing, EveryQuestionAfterTheEndHasTheSameAnswerAgain) {
  Engine engine(GetParam());
  RunHandle run = start(engine, Spec().start([](Ctx& ctx) { return ctx.fail(3, "no"); }).build());
  const std::string first = finish(engine, run).text();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(outcome(run).text(), first);
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_FAILED);
    MUST(blazen_run_wait(run, BLAZEN_FOREVER, nullptr, e));
    MUST(blazen_run_close(run, e));
  }
}

TEST_P(Routing, RunIsStartedOnce) {
  Engine engine(GetParam());
  const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(); }).build();
  RunHandle run = create(engine, workflow);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CREATED);
  Value early;
  EXPECT_EQ(blazen_run_result(run, early.out(), nullptr), BLAZEN_ERROR_WRONG_STATE);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(blazen_run_start(run, nullptr, nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(blazen_run_start(run, nullptr, nullptr), BLAZEN_ERROR_WRONG_STATE);
}

// ------------------------------------------------------------------------------------------- max_concurrency

// Invocations that were deferred and wait for the test.
class Pending {
 public:
  void add(Invocation invocation) {
    std::lock_guard guard(lock_);
    all_.push_back(std::move(invocation));
  }
  size_t size() const {
    std::lock_guard guard(lock_);
    return all_.size();
  }
  Invocation pop() {
    std::lock_guard guard(lock_);
    Invocation first = std::move(all_.front());
    all_.pop_front();
    return first;
  }

 private:
  mutable std::mutex lock_;
  std::deque<Invocation> all_;
};

blazen_status pend(Ctx& ctx, Pending& pending) {
  pending.add(ctx.defer());
  return BLAZEN_PENDING;
}

TEST_P(Routing, OverflowOfMaxConcurrencyWaitsFirstInFirstOut) {
  Pending pending;
  Log log;
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  for (int i = 0; i < 6; ++i) ctx.emit("A", std::to_string(i));
                                })
                                .step(
                                    "a", {"A"},
                                    [&](Ctx& ctx) -> blazen_status {
                                      log.add(ctx.input());
                                      return pend(ctx, pending);
                                    },
                                    2)
                                .build();
  RunHandle run = start(engine, workflow);
  std::string order;
  for (int done = 0; done < 6; ++done) {
    engine.until(run, [&] {
      return log.size() == std::min<size_t>(6, 2 + done) && pending.size() == std::min<size_t>(2, 6 - done);
    });
    EXPECT_EQ(log.size(), std::min<size_t>(6, 2 + done));
    const Invocation next = pending.pop();
    order += input_of(blazen_invocation_event(next));
    MUST(blazen_invocation_complete(next, e));
  }
  EXPECT_EQ(finish(engine, run).status, BLAZEN_ERROR_STALLED);
  std::vector<std::string> started = log.lines();
  // Two of them start together, in any order on several threads.
  for (size_t i = 0; i < started.size(); ++i) EXPECT_NEAR(std::stoi(started[i]), static_cast<int>(i), 1);
  EXPECT_EQ(order.size(), 6U);
}

TEST_P(Routing, MaxConcurrencyIsPerRunAndNotShared) {
  Pending pending;
  Engine engine(GetParam());
  const Workflow workflow =
      Spec().step("a", {BLAZEN_START_EVENT}, [&](Ctx& ctx) { return pend(ctx, pending); }, 1).build();
  std::vector<RunHandle> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(start(engine, workflow));
  // A waiter helps its own run alone.
  for (const RunHandle& run : runs) {
    if (GetParam() == Way::waiter) EXPECT_EQ(blazen_run_wait(run, 1, nullptr, nullptr), BLAZEN_ERROR_TIMEOUT);
  }
  engine.until(runs[0], [&] { return pending.size() == 3; });
  EXPECT_EQ(pending.size(), 3U);
  while (pending.size() != 0) {
    const Invocation next = pending.pop();
    Ctx(next).stop();
    MUST(blazen_invocation_complete(next, e));
  }
  for (const RunHandle& run : runs) EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Routing, PermitOfAStepIsNotTakenByAnother) {
  Pending pending;
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.emit("A");
                                  ctx.emit("A");
                                  ctx.emit("B");
                                })
                                .step(
                                    "a", {"A"}, [&](Ctx& ctx) { return pend(ctx, pending); }, 1)
                                .step(
                                    "b", {"B"}, [](Ctx& ctx) { ctx.stop("\"b\""); }, 1)
                                .build();
  RunHandle run = start(engine, workflow);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"b\"");
}

// ------------------------------------------------------------------------------------------------- elsewhere

TEST_P(Routing, RunParksWhenItCanGoOnOnlyElsewhere) {
  std::atomic<int> here{0};
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.emit("Far");
                                  ctx.emit("Near");
                                  ctx.emit("Farther");
                                })
                                .elsewhere("y", {"Farther"})
                                .elsewhere("x", {"Far"})
                                .elsewhere("unused", {"Nothing"})
                                .step("near", {"Near"}, [&](Ctx&) { ++here; })
                                .build();
  RunHandle run = start(engine, workflow);
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
  EXPECT_EQ(here, 1);
  Value steps;
  MUST(blazen_run_elsewhere(run, steps.out(), e));
  EXPECT_EQ(data_of(steps), "[\"y\",\"x\"]");
  EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_WRONG_STATE);
  // An event that a step here takes moves it on, and it parks again.
  MUST(blazen_run_send_event(run, event("Near"), nullptr, e));
  engine.until(run, [&] { return here == 2; });
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
}

// ---------------------------------------------------------------------------------------------------- bounds

void expect_limit(const Error& error, std::string_view name) {
  EXPECT_EQ(error.status(), BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says(name)) << error.message();
}

TEST_P(Routing, RunawayFanOutEndsAsALimitError) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 1000);
  const Outcome end = run_to_end(engine, spec.step("double", {BLAZEN_START_EVENT, "A"}, [](Ctx& ctx) {
    ctx.emit("A");
    ctx.emit("A");
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  expect_limit(end.error, "BLAZEN_LIMIT_QUEUED_EVENTS");
  EXPECT_TRUE(end.error.says("'A'")) << end.error.message();
  EXPECT_EQ(end.error.step(), "double");
}

TEST_P(Routing, ChainNeedsRoomForOneEventOnly) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 1);
  const Outcome end = run_to_end(
      engine, spec.start([](Ctx& ctx) { ctx.emit("A"); }).step("a", {"A"}, [](Ctx& ctx) { ctx.stop(); }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

// The same where room for all that it emits, whoever takes it, could not be had: what is done makes room for
// what it gives.
TEST_P(Routing, ChainNeedsRoomForOneEventOnlyWhereAnotherHasSeveralAcceptors) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 1);
  spec.start([](Ctx& ctx) { ctx.emit("A", "1"); });
  spec.step("a", {"A"}, [](Ctx& ctx) {
    const int n = std::stoi(ctx.input());
    n == 50 ? ctx.stop() : ctx.emit("A", std::to_string(n + 1));
  });
  for (const char* name : {"x", "y", "z"}) spec.step(name, {"Several"}, [](Ctx&) {});
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

// What follows a StopEvent is dropped, and needs no room.
TEST_P(Routing, WhatFollowsAStopEventDoesNotCountForTheBoundOfTheQueue) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 4);
  spec.start([](Ctx& ctx) {
    ctx.stop("\"first\"");
    for (int i = 0; i < 3; ++i) ctx.emit("Two");
  });
  for (const char* name : {"x", "y"}) spec.step(name, {"Two"}, [](Ctx&) {});
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json \"first\"");
}

TEST_P(Routing, EmitSendAndPostAnswerTheBoundOfTheQueue) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 3);
  spec.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow =
      spec.start([](Ctx& ctx) {
            Error error;
            const auto emit = [&] {
              return blazen_context_emit(ctx.raw, BLAZEN_TEXT("A"), nullptr, error.out());
            };
            EXPECT_EQ(emit(), BLAZEN_OK);
            EXPECT_EQ(emit(), BLAZEN_OK);
            EXPECT_EQ(emit(), BLAZEN_OK);
            EXPECT_EQ(emit(), BLAZEN_ERROR_LIMIT);
            expect_limit(error, "BLAZEN_LIMIT_QUEUED_EVENTS");
            blazen_run* run = ctx.run();
            EXPECT_EQ(blazen_run_send_event(run, event("B"), nullptr, nullptr), BLAZEN_OK);
            EXPECT_EQ(blazen_context_send_event(ctx.raw, event("B"), nullptr, nullptr), BLAZEN_OK);
            EXPECT_EQ(blazen_run_send_event(run, event("B"), nullptr, error.out()), BLAZEN_ERROR_LIMIT);
            expect_limit(error, "BLAZEN_LIMIT_QUEUED_EVENTS");
            EXPECT_EQ(blazen_context_send_event(ctx.raw, event("B"), nullptr, error.out()),
                      BLAZEN_ERROR_LIMIT);
            expect_limit(error, "BLAZEN_LIMIT_QUEUED_EVENTS");
          })
          .elsewhere("b", {"B"})
          .step("a", {"A"}, [](Ctx&) {})
          .build();
  RunHandle run = start(engine, workflow);
  const Outcome end = finish(engine, run);
  expect_limit(end.error, "BLAZEN_LIMIT_QUEUED_EVENTS");
}

TEST_P(Routing, SendsOfOneInvocationAreBounded) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STEP_SENDS, 2);
  const Outcome end = run_to_end(
      engine, spec.start([](Ctx& ctx) {
                    Error error;
                    EXPECT_EQ(ctx.publish("P"), BLAZEN_OK);
                    EXPECT_EQ(ctx.send("A"), BLAZEN_OK);
                    EXPECT_EQ(blazen_context_send_event(ctx.raw, event("A"), nullptr, error.out()),
                              BLAZEN_ERROR_LIMIT);
                    expect_limit(error, "BLAZEN_LIMIT_STEP_SENDS");
                    EXPECT_EQ(blazen_context_publish(ctx.raw, event("P"), error.out()), BLAZEN_ERROR_LIMIT);
                    expect_limit(error, "BLAZEN_LIMIT_STEP_SENDS");
                    ctx.stop();
                  })
                  .step("a", {"A"}, [](Ctx&) {}));
  EXPECT_TRUE(end.state == BLAZEN_RUN_COMPLETED) << end.text();
}

TEST_P(Routing, StateAndSessionAreBoundedEachByItsOwnBound) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STATE_BYTES, 10).limit(BLAZEN_LIMIT_SESSION_BYTES, 20);
  const Outcome end = run_to_end(engine, spec.start([](Ctx& ctx) {
    Error error;
    const auto set = [&](std::string_view key, const Value& value) {
      return blazen_context_set_value(ctx.raw, key.data(), key.size(), value, error.out());
    };
    EXPECT_EQ(set("a", bytes("123456789")), BLAZEN_OK);
    EXPECT_EQ(set("b", bytes("")), BLAZEN_ERROR_LIMIT);
    expect_limit(error, "BLAZEN_LIMIT_STATE_BYTES");
    EXPECT_EQ(set("a", bytes("1234567890")), BLAZEN_ERROR_LIMIT);
    EXPECT_EQ(describe(ctx.get("a")), "bytes 123456789");
    EXPECT_EQ(set("a", bytes("1")), BLAZEN_OK);
    EXPECT_EQ(set("b", bytes("1234567")), BLAZEN_OK);
    EXPECT_EQ(ctx.set_session("s", bytes(std::string(19, 'x'))), BLAZEN_OK);
    EXPECT_EQ(blazen_context_set_session(ctx.raw, BLAZEN_TEXT("t"), bytes(""), error.out()),
              BLAZEN_ERROR_LIMIT);
    expect_limit(error, "BLAZEN_LIMIT_SESSION_BYTES");
    EXPECT_TRUE(ctx.remove("b"));
    EXPECT_EQ(set("c", bytes("1234567")), BLAZEN_OK);
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

TEST_P(Routing, SubscribersAreBounded) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_SUBSCRIBERS, 2);
  const Workflow workflow = spec.start([](Ctx& ctx) { ctx.stop(); }).build();
  const RunHandle run = create(engine, workflow);
  Stream first = subscribe(run);
  const Stream second = subscribe(run);
  Stream third;
  Error error;
  EXPECT_EQ(blazen_run_subscribe(run, third.out(), error.out()), BLAZEN_ERROR_LIMIT);
  expect_limit(error, "BLAZEN_LIMIT_SUBSCRIBERS");
  first.reset();
  MUST(blazen_run_subscribe(run, third.out(), e));
}

// A bound is not in the fingerprint: a run may go on under a lower one, and its full queue drains.
TEST_P(Routing, ResumeUnderALowerBoundDrainsTheQueue) {
  Engine engine(GetParam());
  const auto spec = [](uint64_t bound) {
    Spec all;
    all.limit(BLAZEN_LIMIT_QUEUED_EVENTS, bound);
    return all
        .start([](Ctx& ctx) {
          for (int i = 0; i < 10; ++i) ctx.emit("A");
        })
        .step("a", {"A"}, [](Ctx&) {}, 1);
  };
  Engine first(Way::pump);
  RunHandle cut = start(first, spec(100).build());
  MUST(blazen_runtime_poll(first.runtime(), 1, nullptr, e));
  RunHandle run = resume(engine, spec(5).build(), snapshot_bytes(cut));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).status, BLAZEN_ERROR_STALLED);
}

TEST_P(Routing, RunsOfOneWorkflowShareNothing) {
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.set("mine", ctx.input());
                                  ctx.set_session("mine", json(ctx.input()));
                                  ctx.publish("P", ctx.input());
                                  ctx.emit("A");
                                })
                                .step("a", {"A"},
                                      [](Ctx& ctx) {
                                        EXPECT_EQ(ctx.keys(), "mine");
                                        EXPECT_EQ(data_of(ctx.session("mine")), ctx.text("mine"));
                                        EXPECT_EQ(ctx.event_id(), 2U);
                                        EXPECT_EQ(ctx.id(), 2U);
                                        ctx.stop(ctx.text("mine"));
                                      })
                                .build();
  std::vector<RunHandle> runs;
  std::vector<Stream> streams;
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    runs.push_back(create(engine, workflow));
    streams.push_back(subscribe(runs.back()));
    ids.insert(text_of(blazen_run_id(runs.back(), nullptr), 36));
    MUST(blazen_run_start(runs.back(), json(std::to_string(i)), e));
  }
  EXPECT_EQ(ids.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(finish(engine, runs[i]).text(), "5 json " + std::to_string(i));
    EXPECT_EQ(text_of(take(streams[i])), "P=" + std::to_string(i) + " blazen::StreamEnd=null");
  }
}

TEST_P(Routing, RunGoesOnWithoutItsHandles) {
  std::atomic<bool> done{false};
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) { ctx.emit("A"); })
                                .step("a", {"A"},
                                      [&](Ctx& ctx) {
                                        ctx.stop();
                                        done = true;
                                      })
                                .build();
  const RunHandle other = start(engine, workflow);
  start(engine, workflow).reset();
  engine.settle(other);
  engine.until(other, [&] {
    // A waiter helps its own run alone.
    if (GetParam() == Way::waiter) MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    return done.load();
  });
}

// -------------------------------------------------------------------------------------------- context, state

TEST_P(Routing, ContextTellsWhoAndWhereItIs) {
  Engine engine(GetParam());
  const Workflow workflow =
      Spec("orders")
          .step("first step", {BLAZEN_START_EVENT},
                [](Ctx& ctx) {
                  size_t length = 0;
                  const char* id = blazen_context_run_id(ctx.raw, &length);
                  EXPECT_EQ(length, 36U);
                  EXPECT_EQ(text_of(id, length), text_of(blazen_run_id(ctx.run(), nullptr), 36));
                  EXPECT_STREQ(blazen_context_workflow_name(ctx.raw, nullptr), "orders");
                  EXPECT_STREQ(blazen_context_step_name(ctx.raw, nullptr), "first step");
                  EXPECT_EQ(blazen_context_invocation_id(ctx.raw), 1U);
                  EXPECT_EQ(blazen_context_attempt(ctx.raw), 1U);
                  EXPECT_EQ(blazen_context_is_cancelled(ctx.raw), 0);
                  EXPECT_EQ(blazen_run_state_now(ctx.run()), BLAZEN_RUN_RUNNING);
                  ctx.stop();
                })
          .build();
  EXPECT_EQ(run_to_end(engine, workflow).state, BLAZEN_RUN_COMPLETED);
}

TEST_P(Routing, StateVerbs) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec()
                                             .start([](Ctx& ctx) {
                                               EXPECT_EQ(ctx.get("a").get(), nullptr);
                                               EXPECT_EQ(ctx.version("a"), 0U);
                                               EXPECT_FALSE(ctx.has("a"));
                                               EXPECT_FALSE(ctx.remove("a"));
                                               ctx.set("b.2", bytes("2"));
                                               ctx.set("b.10", native("10", "c"));
                                               ctx.set("a", " 1.0 ");
                                               ctx.set("b", "3");
                                               ctx.set("\xc3\xa9", "4");
                                               EXPECT_EQ(ctx.keys(), "a,b,b.10,b.2,\xc3\xa9");
                                               EXPECT_EQ(ctx.keys("b."), "b.10,b.2");
                                               EXPECT_EQ(ctx.keys("zz"), "");
                                               EXPECT_EQ(describe(ctx.get("a")), "json  1.0 ");
                                               EXPECT_EQ(describe(ctx.get("b.10")), "native(c) 10");
                                               EXPECT_TRUE(ctx.remove("b.2"));
                                               EXPECT_FALSE(ctx.has("b.2"));
                                               ctx.emit("A");
                                             })
                                             .step("a", {"A"}, [](Ctx& ctx) {
                                               EXPECT_EQ(ctx.keys(), "a,b,b.10,\xc3\xa9");
                                               const uint64_t before = ctx.version("a");
                                               ctx.set("a", "2");
                                               EXPECT_GT(ctx.version("a"), before);
                                               ctx.clear();
                                               EXPECT_EQ(ctx.keys(), "");
                                               ctx.set("a", "3");
                                               EXPECT_GT(ctx.version("a"), before + 1);
                                               ctx.stop();
                                             }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

TEST_P(Routing, WriteIsSeenAtOnceByAStepThatRunsBesideIt) {
  Pending pending;
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.emit("Wait");
                                  ctx.emit("Write");
                                })
                                .step("wait", {"Wait"}, [&](Ctx& ctx) { return pend(ctx, pending); })
                                .step("write", {"Write"},
                                      [&](Ctx& ctx) {
                                        ctx.set("k", "\"written\"");
                                        return pend(ctx, pending);
                                      })
                                .build();
  RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return pending.size() == 2; });
  const Invocation first = pending.pop();
  const Invocation second = pending.pop();
  EXPECT_EQ(Ctx(first).text("k"), "\"written\"");
  EXPECT_EQ(Ctx(second).text("k"), "\"written\"");
}

TEST_P(Routing, CompareAndSetWritesOnlyOverTheVersionExpected) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) {
    uint64_t version = 0;
    Error error;
    const auto cas = [&](uint64_t expected, const Value& value) {
      return blazen_context_compare_and_set(ctx.raw, BLAZEN_TEXT("k"), expected, value, &version,
                                            error.out());
    };
    EXPECT_EQ(cas(1, json("0")), BLAZEN_ERROR_CONFLICT);
    EXPECT_TRUE(error.says("'k'")) << error.message();
    EXPECT_FALSE(ctx.has("k"));
    EXPECT_EQ(cas(0, json("1")), BLAZEN_OK);
    EXPECT_EQ(version, ctx.version("k"));
    const uint64_t first = version;
    EXPECT_EQ(cas(0, json("2")), BLAZEN_ERROR_CONFLICT);
    EXPECT_EQ(cas(first, json("3")), BLAZEN_OK);
    EXPECT_GT(version, first);
    EXPECT_EQ(cas(first, json("4")), BLAZEN_ERROR_CONFLICT);
    EXPECT_EQ(ctx.text("k"), "3");
    EXPECT_EQ(cas(version, Value()), BLAZEN_OK);
    EXPECT_FALSE(ctx.has("k"));
    EXPECT_EQ(version, 0U);
    EXPECT_EQ(cas(0, Value()), BLAZEN_OK);
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED);
}

struct BatchOf {
  Batch batch;
  BatchOf() { MUST(blazen_batch_create(batch.out(), e)); }
  BatchOf& set(std::string_view key, const Value& value) {
    MUST(blazen_batch_set(batch, key.data(), key.size(), value, e));
    return *this;
  }
  BatchOf& remove(std::string_view key) {
    MUST(blazen_batch_remove(batch, key.data(), key.size(), e));
    return *this;
  }
  BatchOf& expect(std::string_view key, uint64_t version) {
    MUST(blazen_batch_expect(batch, key.data(), key.size(), version, e));
    return *this;
  }
  blazen_status apply(Ctx& ctx, Error& error) { return blazen_context_apply(ctx.raw, batch, error.out()); }
};

TEST_P(Routing, BatchAppliesAllOrNothing) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STATE_BYTES, 100);
  const Outcome end = run_to_end(engine, spec.start([](Ctx& ctx) {
    Error error;
    ctx.set("a", "1");
    ctx.set("b", "2");
    const uint64_t a = ctx.version("a");
    EXPECT_EQ(BatchOf().set("a", json("9")).remove("b").set("c", json("3")).expect("c", 7).apply(ctx, error),
              BLAZEN_ERROR_CONFLICT);
    EXPECT_TRUE(error.says("'c'")) << error.message();
    EXPECT_EQ(BatchOf().set("d", json("3")).set("e", bytes(std::string(200, 'x'))).apply(ctx, error),
              BLAZEN_ERROR_LIMIT);
    EXPECT_TRUE(error.says("BLAZEN_LIMIT_STATE_BYTES")) << error.message();
    EXPECT_EQ(ctx.keys(), "a,b");
    EXPECT_EQ(ctx.version("a"), a);
    BatchOf batch;
    batch.expect("a", a).expect("c", 0).set("a", json("9")).remove("b").set("c", json("3"));
    EXPECT_EQ(batch.apply(ctx, error), BLAZEN_OK);
    EXPECT_EQ(ctx.keys(), "a,c");
    EXPECT_EQ(ctx.text("a") + ctx.text("c"), "93");
    EXPECT_EQ(batch.apply(ctx, error), BLAZEN_ERROR_CONFLICT);
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

// The bound is on what the state holds after the batch.
TEST_P(Routing, BatchIsMeasuredByWhatItLeavesBehind) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STATE_BYTES, 100);
  const Outcome end = run_to_end(engine, spec.start([](Ctx& ctx) {
    Error error;
    const std::string big(90, 'x');
    ctx.set("a", bytes(big));
    EXPECT_EQ(BatchOf().set("a", bytes("1")).set("a", bytes("2")).apply(ctx, error), BLAZEN_OK)
        << error.message();
    EXPECT_EQ(describe(ctx.get("a")), "bytes 2");
    ctx.set("a", bytes(big));
    EXPECT_EQ(BatchOf().remove("a").set("b", bytes(big)).apply(ctx, error), BLAZEN_OK) << error.message();
    EXPECT_EQ(ctx.keys(), "b");
    EXPECT_EQ(
        BatchOf().set("x", bytes(std::string(60, 'x'))).set("x", bytes("1")).remove("b").apply(ctx, error),
        BLAZEN_OK)
        << error.message();
    EXPECT_EQ(ctx.keys(), "x");
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

// To the byte: what fills the state is taken, and one byte more is not.
TEST_P(Routing, StateMayBeFilledToItsLastByte) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STATE_BYTES, 8);
  const Outcome end = run_to_end(engine, spec.start([](Ctx& ctx) {
    Error error;
    EXPECT_EQ(BatchOf().set("a", json("111")).set("b", json("2222")).apply(ctx, error), BLAZEN_ERROR_LIMIT);
    EXPECT_EQ(BatchOf().set("a", json("111")).set("b", json("222")).apply(ctx, error), BLAZEN_OK)
        << error.message();
    EXPECT_EQ(blazen_context_set_json(ctx.raw, "b", 1, "2222", 4, nullptr), BLAZEN_ERROR_LIMIT);
    EXPECT_EQ(ctx.text("a") + ctx.text("b"), "111222");
    EXPECT_TRUE(ctx.remove("b"));
    EXPECT_EQ(blazen_context_set_json(ctx.raw, "cc", 2, "222", 3, nullptr), BLAZEN_ERROR_LIMIT);
    EXPECT_EQ(blazen_context_set_json(ctx.raw, "cc", 2, "22", 2, nullptr), BLAZEN_OK);
    ctx.stop();
  }));
  EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
}

// Those of a prefix are the key that is the prefix itself and those that begin with it, of the state and of
// the session, and in what an atomic step writes too; its neighbours are none.
TEST_P(Routing, KeysOfAPrefixAreNoOthers) {
  for (const bool atomic : {false, true}) {
    Engine engine(GetParam());
    Spec spec;
    spec.start([](Ctx& ctx) {
      for (const char* key : {"a", "a.", "a.1", "a.2", "a/", "ab", "b"}) {
        ctx.set(key, "1");
        ctx.set_session(key, json("1"));
      }
      ctx.emit("Look");
    });
    spec.step("look", {"Look"}, [atomic](Ctx& ctx) {
      if (atomic) {
        ctx.set("a.0", "1");
        ctx.set("a-", "1");
        EXPECT_TRUE(ctx.remove("a.1"));
      }
      EXPECT_EQ(ctx.keys("a."), atomic ? "a.,a.0,a.2" : "a.,a.1,a.2");
      EXPECT_EQ(ctx.session_keys("a."), "a.,a.1,a.2");
      EXPECT_EQ(ctx.keys("b"), "b");
      EXPECT_EQ(ctx.session_keys("c"), "");
      ctx.stop();
    });
    if (atomic) spec.atomic();
    EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
  }
}

TEST_P(Routing, SessionVerbsKeepTheIdentityOfLiveObjects) {
  Counted object;
  Counted other;
  {
    Engine engine(GetParam());
    const Outcome end = run_to_end(engine, Spec()
                                               .start([&](Ctx& ctx) {
                                                 EXPECT_EQ(ctx.session("db").get(), nullptr);
                                                 ctx.set_session("db", live(object));
                                                 ctx.set_session("db.log", live(other));
                                                 ctx.set_session("cfg", json("1"));
                                                 ctx.set("db", "\"the state's own\"");
                                                 ctx.emit("A");
                                               })
                                               .step("a", {"A"}, [&](Ctx& ctx) {
                                                 EXPECT_EQ(blazen_value_object(ctx.session("db")), &object);
                                                 EXPECT_EQ(describe(ctx.session("cfg")), "json 1");
                                                 EXPECT_EQ(ctx.session_keys(), "cfg,db,db.log");
                                                 EXPECT_EQ(ctx.session_keys("db"), "db,db.log");
                                                 EXPECT_EQ(ctx.keys(), "db");
                                                 EXPECT_TRUE(ctx.has_session("db"));
                                                 EXPECT_TRUE(ctx.remove_session("db"));
                                                 EXPECT_FALSE(ctx.remove_session("db"));
                                                 EXPECT_FALSE(ctx.has_session("db"));
                                                 EXPECT_EQ(object.drops, 1);
                                                 EXPECT_EQ(ctx.text("db"), "\"the state's own\"");
                                                 ctx.stop();
                                               }));
    EXPECT_EQ(end.state, BLAZEN_RUN_COMPLETED) << end.text();
    EXPECT_EQ(object.drops, 1);
  }
  EXPECT_EQ(other.drops, 1);
}

// -------------------------------------------------------------------------------------------------- deferred

using Deferred = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, Deferred, testing::ValuesIn(ways()), way_name);

TEST_P(Deferred, StepCompletesLaterWithAllThatABodyCanDo) {
  Pending pending;
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  ctx.emit("A", "1");
                                  return pend(ctx, pending);
                                })
                                .step(
                                    "a", {"A"},
                                    [](Ctx& ctx) {
                                      if (ctx.input() == "2") ctx.stop(ctx.text("k"));
                                    },
                                    1)
                                .build();
  RunHandle run = start(engine, workflow, "\"in\"");
  engine.until(run, [&] { return pending.size() == 1; });
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  const Invocation invocation = pending.pop();
  Ctx ctx(invocation);
  EXPECT_EQ(ctx.input(), "\"in\"");
  EXPECT_EQ(ctx.step(), "start");
  EXPECT_EQ(ctx.id(), 1U);
  ctx.set("k", "\"kept\"");
  ctx.emit("A", "2");
  MUST(blazen_invocation_complete(invocation, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json \"kept\"");
}

TEST_P(Deferred, CompletesFromAnotherThread) {
  NEEDS_THREADS();
  std::vector<std::thread> threads;
  std::mutex lock;
  Engine engine(GetParam());
  const Workflow workflow =
      Spec()
          .start([](Ctx& ctx) {
            for (int i = 0; i < 8; ++i) ctx.emit("A", std::to_string(i));
          })
          .step("a", {"A"},
                [&](Ctx& ctx) -> blazen_status {
                  std::lock_guard guard(lock);
                  threads.emplace_back([invocation = std::make_shared<Invocation>(ctx.defer())] {
                    Ctx later(*invocation);
                    later.emit("Done", later.input());
                    MUST(blazen_invocation_complete(*invocation, e));
                  });
                  return BLAZEN_PENDING;
                })
          .step(
              "join", {"Done"},
              [](Ctx& ctx) {
                ctx.set("d." + ctx.input(), "1");
                if (ctx.count("d.") == 8) ctx.stop("8");
              },
              1)
          .build();
  RunHandle run = start(engine, workflow);
  EXPECT_EQ(finish(engine, run).text(), "5 json 8");
  for (std::thread& thread : threads) thread.join();
}

TEST_P(Deferred, SecondCompletionIsWrongStateToItsCallerAlone) {
  Pending pending;
  Engine engine(GetParam());
  RunHandle run = start(engine, Spec()
                                    .start([&](Ctx& ctx) { return pend(ctx, pending); })
                                    .step("a", {"A"}, [&](Ctx& ctx) { return pend(ctx, pending); })
                                    .build());
  engine.until(run, [&] { return pending.size() == 1; });
  const Invocation first = pending.pop();
  Ctx(first).emit("A");
  MUST(blazen_invocation_complete(first, e));
  Error cause;
  (void)blazen_error_host(1, BLAZEN_TEXT("late"), nullptr, cause.out());
  EXPECT_EQ(blazen_invocation_complete(first, nullptr), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(blazen_invocation_fail(first, cause, nullptr), BLAZEN_ERROR_WRONG_STATE);
  engine.until(run, [&] { return pending.size() == 1; });
  const Invocation second = pending.pop();
  Ctx(second).stop("1");
  MUST(blazen_invocation_complete(second, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
}

TEST_P(Deferred, ContextOfACompletedInvocationAnswersWrongState) {
  Pending pending;
  Engine engine(GetParam());
  RunHandle run = start(engine, Spec()
                                    .start([&](Ctx& ctx) { return pend(ctx, pending); })
                                    .step("a", {"A"}, [&](Ctx& ctx) { return pend(ctx, pending); })
                                    .build());
  engine.until(run, [&] { return pending.size() == 1; });
  const Invocation first = pending.pop();
  Ctx ctx(first);
  ctx.emit("A");
  MUST(blazen_invocation_complete(first, e));
  engine.until(run, [&] { return pending.size() == 1; });
  EXPECT_EQ(ctx.emit("A"), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(ctx.send("A"), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(ctx.publish("A"), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(ctx.set("a", "1"), BLAZEN_ERROR_WRONG_STATE);
  ctx.failed = BLAZEN_OK;
  ctx.get("a");
  EXPECT_EQ(ctx.failed, BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(ctx.input(), "null");
  EXPECT_EQ(ctx.step(), "start");
}

TEST_P(Deferred, CompletionBeforeTheBodyReturnedTakesEffectWithItsReturn) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) -> blazen_status {
    const Invocation invocation = ctx.defer();
    MUST(blazen_invocation_complete(invocation, e));
    EXPECT_EQ(blazen_run_state_now(ctx.run()), BLAZEN_RUN_RUNNING);
    ctx.stop("\"said after the completion\"");
    return BLAZEN_PENDING;
  }));
  EXPECT_EQ(end.text(), "5 json \"said after the completion\"");
}

TEST_P(Deferred, FailureBeforeTheBodyReturnedTakesEffectWithItsReturn) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) -> blazen_status {
    const Invocation invocation = ctx.defer();
    Error cause;
    (void)blazen_error_host(5, BLAZEN_TEXT("early"), nullptr, cause.out());
    MUST(blazen_invocation_fail(invocation, cause, e));
    ctx.stop("1");
    return BLAZEN_PENDING;
  }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(end.error.host_code(), 5);
}

TEST_P(Deferred, FailsWithItsCauseAndItsObject) {
  Counted object;
  {
    Engine engine(GetParam());
    Pending pending;
    RunHandle run = start(engine, Spec().start([&](Ctx& ctx) { return pend(ctx, pending); }).build());
    engine.until(run, [&] { return pending.size() == 1; });
    Error cause;
    (void)blazen_error_host(5, BLAZEN_TEXT("promise rejected"), live(object), cause.out());
    EXPECT_EQ(blazen_invocation_fail(nullptr, cause, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
    const Invocation invocation = pending.pop();
    EXPECT_EQ(blazen_invocation_fail(invocation, nullptr, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
    MUST(blazen_invocation_fail(invocation, cause, e));
    const Outcome end = finish(engine, run);
    EXPECT_EQ(end.error.step(), "start");
    EXPECT_EQ(end.error.cause().message(), "promise rejected");
    EXPECT_EQ(blazen_value_object(end.error.detail()), &object);
  }
  EXPECT_EQ(object.drops, 1);
}

TEST_P(Deferred, LastReleaseWithoutCompletionFailsTheStepInsteadOfHangingTheRun) {
  Pending pending;
  Engine engine(GetParam());
  RunHandle run = start(engine, Spec().start([&](Ctx& ctx) { return pend(ctx, pending); }).build());
  engine.until(run, [&] { return pending.size() == 1; });
  Invocation first = pending.pop();
  Invocation second(blazen_invocation_retain(first));
  first.reset();
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  second.reset();
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_TRUE(end.error.says("never completed")) << end.error.message();
}

TEST_P(Deferred, ReleaseBeforeTheBodyReturnedFailsTheStepToo) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) -> blazen_status {
    ctx.defer().reset();
    return BLAZEN_PENDING;
  }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
}

TEST_P(Deferred, PendingWithoutDeferFailsTheStep) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([](Ctx&) -> blazen_status { return BLAZEN_PENDING; }));
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_TRUE(end.error.says("blazen_context_defer")) << end.error.message();
}

TEST_P(Deferred, OkAfterDeferCompletesTheStepAtOnce) {
  Pending pending;
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([&](Ctx& ctx) {
    pending.add(ctx.defer());
    ctx.stop("1");
  }));
  EXPECT_EQ(end.text(), "5 json 1");
  const blazen_status late = blazen_invocation_complete(pending.pop(), nullptr);
  EXPECT_TRUE(late == BLAZEN_ERROR_WRONG_STATE || late == BLAZEN_ERROR_CANCELLED) << late;
}

TEST_P(Deferred, InvocationIsDeferredOnce) {
  Engine engine(GetParam());
  const Outcome end = run_to_end(engine, Spec().start([&](Ctx& ctx) -> blazen_status {
    const Invocation first = ctx.defer();
    Invocation second;
    EXPECT_EQ(blazen_context_defer(ctx.raw, second.out(), nullptr), BLAZEN_ERROR_WRONG_STATE);
    ctx.stop("1");
    MUST(blazen_invocation_complete(first, e));
    return BLAZEN_PENDING;
  }));
  EXPECT_EQ(end.text(), "5 json 1");
}

TEST_P(Deferred, CompletionAfterTheEndOfTheRunIsCancelled) {
  Pending pending;
  Engine engine(GetParam());
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  ctx.emit("Slow");
                                  ctx.emit("Fast");
                                })
                                .step("slow", {"Slow"}, [&](Ctx& ctx) { return pend(ctx, pending); })
                                .step("fast", {"Fast"}, [&](Ctx& ctx) { return pend(ctx, pending); })
                                .build();
  RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return pending.size() == 2; });
  Invocation slow = pending.pop();
  Invocation fast = pending.pop();
  if (Ctx(slow).step() == "fast") std::swap(slow, fast);
  Ctx(fast).stop("1");
  MUST(blazen_invocation_complete(fast, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
  EXPECT_TRUE(Ctx(slow).cancelled());
  EXPECT_EQ(Ctx(slow).publish("Late"), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(blazen_invocation_complete(slow, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(outcome(run).text(), "5 json 1");
}

TEST_P(Deferred, HeldInvocationOutlivesRunAndRuntimeHandles) {
  Pending pending;
  {
    Engine engine(GetParam());
    RunHandle run = start(engine, Spec().start([&](Ctx& ctx) { return pend(ctx, pending); }).build());
    engine.until(run, [&] { return pending.size() == 1; });
  }
  const Invocation invocation = pending.pop();
  EXPECT_EQ(input_of(blazen_invocation_event(invocation)), "null");
  EXPECT_TRUE(Ctx(invocation).cancelled());
  EXPECT_EQ(blazen_invocation_complete(invocation, nullptr), BLAZEN_ERROR_CANCELLED);
}

// ---------------------------------------------------------------------------------------------- side by side

// Steps of one run that block on each other: each must get a thread of its own while there is one that
// sleeps.
TEST(Threads, StepsOfOneRunRunSideBySideFromTheFirstMoment) {
  NEEDS_THREADS();
  for (int round = 0; round < 100; ++round) {
    std::mutex lock;
    std::condition_variable came;
    int met = 0;
    Engine engine(Way::threads_4);
    const auto meet = [&](Ctx& ctx) {
      std::unique_lock guard(lock);
      ++met;
      came.notify_all();
      if (!came.wait_for(guard, std::chrono::seconds(5), [&] { return met >= 3; }))
        return ctx.fail(met, "was left alone");
      return ctx.emit("Done");
    };
    const Workflow workflow = Spec()
                                  .start([](Ctx& ctx) {
                                    for (int i = 0; i < 3; ++i) ctx.emit("A");
                                  })
                                  .step("a", {"A"}, meet)
                                  .step("join", {"Done"}, [](Ctx& ctx) { ctx.stop(); })
                                  .build();
    const Outcome end = run_to_end(engine, workflow);
    ASSERT_EQ(end.state, BLAZEN_RUN_COMPLETED) << "round " << round << ": " << end.text();
  }
}

// The same where a step sends and then waits for what the event's step does.
TEST(Threads, StepThatWaitsForWhatItSentIsNotLeftAlone) {
  NEEDS_THREADS();
  for (int round = 0; round < 100; ++round) {
    std::mutex lock;
    std::condition_variable came;
    bool answered = false;
    Engine engine(Way::threads_4);
    const Workflow workflow =
        Spec()
            .start([&](Ctx& ctx) {
              ctx.send("Ask");
              std::unique_lock guard(lock);
              if (!came.wait_for(guard, std::chrono::seconds(5), [&] { return answered; })) {
                return ctx.fail(0, "nobody answered");
              }
              return ctx.stop();
            })
            .step("answer", {"Ask"},
                  [&](Ctx&) {
                    std::lock_guard guard(lock);
                    answered = true;
                    came.notify_all();
                  })
            .build();
    const Outcome end = run_to_end(engine, workflow);
    ASSERT_EQ(end.state, BLAZEN_RUN_COMPLETED) << "round " << round << ": " << end.text();
  }
}

}  // namespace
// The run is as it was, and its caller knows why.
TEST_P(Routing, AStartThatTheQueueCannotTakeIsRefused) {
  Engine engine(GetParam());
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 1);
  spec.start([](Ctx& ctx) { ctx.stop(); });
  spec.step("too", {BLAZEN_START_EVENT}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = create(engine, spec.build());
  for (int i = 0; i < 2; ++i) {
    Error error;
    EXPECT_EQ(blazen_run_start(run, nullptr, error.out()), BLAZEN_ERROR_LIMIT);
    EXPECT_TRUE(error.says("BLAZEN_LIMIT_QUEUED_EVENTS")) << error.message();
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CREATED);
  }
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
}

}  // namespace bt
