// What a host does with a run that others are inside of: it answers, listens, pauses, cancels, looks and closes.
#include <thread>

#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class ChildrenControl : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(Ways, ChildrenControl, testing::ValuesIn(ways()), way_name);

Json description_of(const blazen_run* run) {
  Value text;
  MUST(blazen_run_describe(run, text.out(), e));
  return Json::parse(data_of(text));
}

// Asks, and ends with the answer.
Spec asker(const std::string& name, const std::string& id = {}) {
  Spec spec(name);
  spec.start([id](Ctx& ctx) -> blazen_status {
    const std::string answer = ctx.ask("who is " + ctx.input() + "?", id);
    return answer.empty() ? BLAZEN_PENDING : ctx.stop(answer);
  });
  return spec;
}

Spec around(const std::string& name, const std::string& step, const Spec& inner) {
  Spec spec(name);
  spec.child(step, {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT);
  return spec;
}

TEST_P(ChildrenControl, AGrandchildsQuestionIsAnsweredThroughTheTop) {
  Engine engine(GetParam());
  const Workflow workflow = around("outer", "middle", around("inner", "leaf", asker("leaf", "q"))).build();
  const RunHandle run = start(engine, workflow, "1");
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const Json all = questions_of(run);
  ASSERT_EQ(all.size(), 1U) << all;
  const std::string id = all[0]["request_id"];
  EXPECT_EQ(id.substr(36), "/q");
  ASSERT_EQ(all[0]["path"].size(), 2U) << all;
  EXPECT_EQ(all[0]["path"][0]["step"], "middle");
  EXPECT_EQ(all[0]["path"][1]["step"], "leaf");
  EXPECT_EQ(all[0]["path"][1]["run_id"].get<std::string>() + "/q", id);
  EXPECT_EQ(all[0]["step"], "middle#1/leaf#1/start");
  EXPECT_EQ(respond(run, "q", "1"), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(respond(run, id, "\"me\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"me\"");
}

TEST_P(ChildrenControl, TheInputHandlerOfTheTopGetsThem) {
  Engine engine(GetParam());
  const Workflow workflow = around("outer", "leaf", asker("leaf")).build();
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  std::atomic<int> asked{0};
  options.user_data = &asked;
  options.input = [](void* count, blazen_run* run, const blazen_event* request, blazen_value** answer,
                     blazen_error**) -> blazen_status {
    EXPECT_EQ(Json::parse(input_of(request))["request_id"], correlation_of(request));
    EXPECT_EQ(correlation_of(request)[36], '/');
    EXPECT_NE(blazen_run_state_now(run), BLAZEN_RUN_NONE);
    ++*static_cast<std::atomic<int>*>(count);
    *answer = json("\"handler\"").take();
    return BLAZEN_OK;
  };
  RunHandle run;
  MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
  MUST(blazen_run_start(run, json("1"), e));
  EXPECT_EQ(finish(engine, run).text(), "5 json \"handler\"");
  EXPECT_EQ(asked, 1);
}

TEST_P(ChildrenControl, ItemsOfChildrenStandOnTheStreamOfTheTopWithTheirPath) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.start([](Ctx& ctx) {
    ctx.publish("News", ctx.input());
    ctx.stop(ctx.input());
  });
  Spec spec("outer");
  spec.start([](Ctx& ctx) {
    ctx.publish("News", "0");
    ctx.emit("Part", "1");
  });
  spec.child("in/ner", {"Part"}, inner);
  spec.step("end", {"in/ner::output"}, [](Ctx& ctx) {
    ctx.publish("News", "2");
    ctx.stop();
  });
  const Workflow workflow = spec.build();
  const RunHandle run = create(engine, workflow);
  const Stream whole = subscribe(run);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.own_level = 1;
  Stream own;
  MUST(blazen_run_subscribe_with(run, &options, own.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  finish(engine, run);
  EXPECT_EQ(text_of(take(whole)), "News=0 News=1 News=2 blazen::StreamEnd=null");
  EXPECT_EQ(text_of(take(own)), "News=0 News=2 blazen::StreamEnd=null");
  Stream again;
  options.own_level = 0;
  options.from = 2;
  MUST(blazen_run_subscribe_with(run, &options, again.out(), e));
  Event item;
  MUST(blazen_stream_next(again, 0, item.out(), nullptr, e));
  blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
  ASSERT_EQ(blazen_event_read(item, &view), 1);
  EXPECT_EQ(source_of(item), "in~1ner#2/start");
  const Json path = Json::parse(text_of(view.path, view.path_length));
  ASSERT_EQ(path.size(), 1U);
  EXPECT_EQ(path[0]["step"], "in/ner");
  EXPECT_EQ(path[0]["invocation_id"], 2);
  EXPECT_EQ(path[0]["run_id"], text_of(view.child_run_id, view.child_run_id_length));
}

TEST_P(ChildrenControl, WhoListensHearsOfTheStepsOfChildren) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.start([](Ctx& ctx) {
    EXPECT_EQ(blazen_context_progress(ctx.raw, BLAZEN_TEXT("half"), 1, 2, nullptr), BLAZEN_OK);
    ctx.stop(ctx.input());
  });
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = create(engine, workflow);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.lifecycle = 1;
  Stream stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  finish(engine, run);
  int steps = 0;
  int progress = 0;
  for (;;) {
    Event item;
    MUST(blazen_stream_next(stream, 0, item.out(), nullptr, e));
    if (type_of(item) == BLAZEN_STREAM_END) break;
    blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
    blazen_event_read(item, &view);
    const Json what = Json::parse(input_of(item));
    if (view.path == nullptr) continue;
    if (what["kind"] == "step_started" || what["kind"] == "step_completed") {
      EXPECT_EQ(what["step_name"], "start");
      ++steps;
    }
    if (type_of(item) == BLAZEN_PROGRESS) ++progress;
  }
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(progress, 1);
}

TEST_P(ChildrenControl, APauseIsOfTheWholeTree) {
  Engine engine(GetParam());
  std::atomic<int> counted{0};
  Spec inner("inner");
  inner.start([](Ctx& ctx) { ctx.emit("Tick"); });
  inner.step("tick", {"Tick"}, [&](Ctx& ctx) {
    const int now = ++counted;
    if (now == 20) MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_DRAIN, e));
    if (now == 40) MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e));
    if (now < 60) {
      ctx.emit("Tick");
    } else {
      ctx.stop(std::to_string(now));
    }
  });
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_PAUSED));
  EXPECT_EQ(counted, 20);
  EXPECT_EQ(description_of(run)["children"][0]["run"]["status"], "paused");
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_resume_in_place(run, e));
  engine.until(run, [&] { return counted == 40 && blazen_run_state_now(run) == BLAZEN_RUN_PAUSED; });
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_CANCELLED);
  const RunHandle again = resume_paused(engine, workflow, bytes);
  MUST(blazen_run_start(again, nullptr, e));
  EXPECT_EQ(blazen_run_state_now(again), BLAZEN_RUN_PAUSED);
  MUST(blazen_run_resume_in_place(again, e));
  EXPECT_EQ(finish(engine, again).text(), "5 json 60");
}

TEST_P(ChildrenControl, CancellingTheStepEndsTheChild) {
  Engine engine(GetParam());
  std::atomic<int> cancelled{0};
  std::atomic<bool> deferred{false};
  Invocation held;
  Spec inner("inner");
  inner.start([&](Ctx& ctx) -> blazen_status {
    MUST(blazen_context_on_cancel(
        ctx.raw, [](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &cancelled, nullptr, e));
    held = ctx.defer();
    deferred = true;
    return BLAZEN_PENDING;
  });
  Spec spec("outer");
  spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT);
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT},
            [](Ctx& ctx) { ctx.stop(Json::parse(ctx.input())["status"].dump()); });
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return deferred && description_of(run)["in_flight"].size() == 1; });
  MUST(blazen_run_cancel_invocation(run, 1, 0, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json \"BLAZEN_ERROR_CANCELLED\"");
  EXPECT_EQ(cancelled, 1);
  Error error;
  EXPECT_EQ(blazen_invocation_complete(held, error.out()), BLAZEN_ERROR_CANCELLED);
  held.reset();
}

// Between the body before and the child: the thread that has called the one begins the other.
TEST_P(ChildrenControl, CancelledAsItsChildBeginsNoBodyIsLeftBehind) {
  struct Listener {
    blazen_run* run;
    blazen_stream* stream;
    std::atomic<int> cancelled{0};
    static void ready(void* self) { static_cast<Listener*>(self)->hear(); }
    void hear() {
      for (Event item; blazen_stream_next(stream, 0, item.out(), nullptr, nullptr) == BLAZEN_OK;
           item.reset()) {
        if (type_of(item) == BLAZEN_STREAM_END) return;
      }
      if (cancelled == 0 && blazen_run_cancel_invocation(run, 2, 0, nullptr) == BLAZEN_OK) ++cancelled;
      blazen_stream_on_ready(stream, ready, this, nullptr, nullptr);
    }
  };
  Engine engine(GetParam());
  Spec spec("outer");
  spec.start([](Ctx& ctx) { ctx.emit("Part"); });
  spec.child("inner", {"Part"}, asker("inner")).output_type(BLAZEN_STOP_EVENT);
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop(); });
  const Workflow workflow = spec.build();
  const RunHandle run = create(engine, workflow);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.lifecycle = 1;
  Stream stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
  Listener listener{run, stream};
  MUST(blazen_stream_on_ready(stream, Listener::ready, &listener, nullptr, e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  EXPECT_EQ(listener.cancelled, 1);
  EXPECT_EQ(description_of(run)["abandoned"], Json::array());
}

TEST_P(ChildrenControl, WhoIsCancelledGivesItsPermitBack) {
  Engine engine(GetParam());
  std::atomic<int> rounds{0};
  Spec fast("fast");
  fast.start([&](Ctx& ctx) { return rounds == 0 ? ctx.stop("\"fast\"") : ctx.fail(1, "no luck"); });
  Spec slow("slow");
  slow.start([&](Ctx& ctx) -> blazen_status {
    if (rounds != 0) return ctx.stop("\"slow\"");
    return ctx.ask("who?").empty() ? BLAZEN_PENDING : BLAZEN_OK;
  });
  Spec spec("outer");
  spec.start([](Ctx& ctx) { ctx.emit("Go"); });
  spec.children("both", {"Go"}, {{"slow", slow}, {"fast", fast}}, true);
  spec.steps.back().concurrency_max = 1;
  spec.step("end", {"both::output"}, [&](Ctx& ctx) {
    if (++rounds == 1) return ctx.emit("Go");
    return ctx.stop(ctx.input());
  });
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  EXPECT_EQ(finish(engine, run).text(), "5 json \"slow\"");
}

TEST_P(ChildrenControl, MoreThanThereArePermitsGoOnAndNoOtherBegins) {
  Engine engine(GetParam());
  const auto outer = [](uint32_t concurrency_max) {
    Spec spec("outer");
    spec.start([](Ctx& ctx) {
      for (int i = 0; i < 6; ++i) ctx.emit("Part", std::to_string(i));
    });
    spec.child("inner", {"Part"}, asker("inner")).output_type("Done");
    spec.steps.back().concurrency_max = concurrency_max;
    spec.step("end", {"Done"}, [](Ctx& ctx) { ctx.stop(ctx.input()); }).joins({"start"});
    return spec.build();
  };
  const Workflow wide = outer(4);
  const Workflow narrow = outer(2);
  const RunHandle first = start(engine, wide);
  ASSERT_TRUE(engine.reach(first, BLAZEN_RUN_ASKING));
  const auto asked = [](const RunHandle& run) { return questions_of(run); };
  engine.until(first, [&] { return asked(first).size() == 4; });
  const RunHandle second = resume(engine, narrow, snapshot_bytes(first));
  MUST(blazen_run_start(second, nullptr, e));
  ASSERT_TRUE(engine.reach(second, BLAZEN_RUN_ASKING));
  std::vector<size_t> open;
  for (int i = 0; i < 6; ++i) {
    open.push_back(asked(second).size());
    EXPECT_EQ(respond(second, asked(second)[0]["request_id"].get<std::string>(), "1"), BLAZEN_OK);
    if (i < 5)
      engine.until(second, [&] { return asked(second).size() == (i < 2 ? 3U - i : i < 4 ? 2U : 1U); });
  }
  EXPECT_EQ(open, (std::vector<size_t>{4, 3, 2, 2, 2, 1}));
  EXPECT_EQ(finish(engine, second).status, BLAZEN_OK);
}

// The section of a run that is kept is as it came: the pause that was of the whole tree has ended since.
TEST_P(ChildrenControl, APauseThatEndedElsewhereHasEndedForWhoWasKept) {
  Engine engine(GetParam());
  const auto outer = [](bool is_here) {
    Spec spec("outer");
    if (is_here) {
      spec.child("inner", {BLAZEN_START_EVENT}, asker("inner"));
    } else {
      spec.elsewhere("inner", {BLAZEN_START_EVENT});
    }
    spec.step("end", {"inner::output"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
    return spec.build();
  };
  const Workflow here = outer(true);
  const Workflow there = outer(false);
  const RunHandle first = start(engine, here);
  ASSERT_TRUE(engine.reach(first, BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(first, BLAZEN_PAUSE_NOW, e));
  ASSERT_TRUE(engine.reach(first, BLAZEN_RUN_PAUSED));
  const RunHandle second = resume(engine, there, snapshot_bytes(first));
  MUST(blazen_run_start(second, nullptr, e));
  EXPECT_EQ(engine.settle(second), BLAZEN_RUN_ELSEWHERE);
  const RunHandle third = resume_paused(engine, here, snapshot_bytes(second));
  MUST(blazen_run_start(third, nullptr, e));
  ASSERT_TRUE(engine.reach(third, BLAZEN_RUN_ASKING));
  EXPECT_EQ(description_of(third)["children"][0]["run"]["status"], "asking");
  EXPECT_EQ(respond(third, questions_of(third)[0]["request_id"].get<std::string>(), "\"me\""), BLAZEN_OK);
  EXPECT_EQ(finish(engine, third).text(), "5 json \"me\"");
}

TEST_P(ChildrenControl, TheEndOfTheRunEndsWhatIsInside) {
  Engine engine(GetParam());
  std::atomic<int> cancelled{0};
  std::atomic<int> deferred{0};
  std::mutex lock;
  std::vector<Invocation> held;
  Spec inner("inner");
  inner.start([&](Ctx& ctx) -> blazen_status {
    MUST(blazen_context_on_cancel(
        ctx.raw, [](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &cancelled, nullptr, e));
    Invocation invocation = ctx.defer();
    const std::lock_guard guard(lock);
    held.push_back(std::move(invocation));
    ++deferred;
    return BLAZEN_PENDING;
  });
  Spec spec("outer");
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 10; ++i) ctx.emit("Part");
  });
  spec.child("middle", {"Part"}, around("middle", "inner", inner)).output_type(BLAZEN_STOP_EVENT);
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return deferred == 10; });
  MUST(blazen_run_close(run, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(cancelled, 10);
  held.clear();
}

TEST_P(ChildrenControl, ARunInsideIsLookedAtThroughItsOwnHandle) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.idle = BLAZEN_IDLE_WAIT;
  inner.start([](Ctx& ctx) { ctx.set("key", "[1]"); });
  inner.step("more", {"More"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  Spec spec = around("outer", "inner", inner);
  spec.idle = BLAZEN_IDLE_WAIT;
  const Workflow workflow = spec.build();
  RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_WAITING));
  const std::string id = description_of(run)["children"][0]["run"]["run_id"];
  RunHandle child;
  MUST(blazen_run_child(run, id.data(), id.size(), child.out(), e));
  EXPECT_EQ(text_of(blazen_run_id(child, nullptr), 36), id);
  EXPECT_EQ(blazen_run_state_now(child), BLAZEN_RUN_WAITING);
  Value value;
  MUST(blazen_run_get_value(child, BLAZEN_TEXT("key"), value.out(), nullptr, e));
  EXPECT_EQ(describe(value.get()), "json [1]");
  Error error;
  Snapshot shot;
  EXPECT_EQ(blazen_run_snapshot(child, shot.out(), error.out()), BLAZEN_ERROR_WRONG_PLACE);
  EXPECT_EQ(blazen_run_pause(child, BLAZEN_PAUSE_NOW, nullptr), BLAZEN_ERROR_WRONG_PLACE);
  EXPECT_EQ(blazen_run_abort(child, nullptr), BLAZEN_ERROR_WRONG_PLACE);
  EXPECT_EQ(blazen_run_close(child, nullptr), BLAZEN_ERROR_WRONG_PLACE);
  EXPECT_EQ(blazen_run_wait(child, 0, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
  RunHandle none;
  EXPECT_EQ(blazen_run_child(child, id.data(), id.size(), none.out(), nullptr), BLAZEN_ERROR_WRONG_PLACE);
  const RunHandle top = std::move(run);  // its handle is one of the top
  MUST(blazen_run_send_event(child, event("More", "7"), nullptr, e));
  EXPECT_EQ(finish(engine, top).text(), "5 json 7");
  EXPECT_EQ(blazen_run_state_now(child), BLAZEN_RUN_COMPLETED);
  RunHandle gone;
  EXPECT_EQ(blazen_run_child(top, id.data(), id.size(), gone.out(), nullptr), BLAZEN_ERROR_NOT_FOUND);
  EXPECT_EQ(blazen_run_child(top, BLAZEN_TEXT("no uuid"), gone.out(), nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
}

TEST_P(ChildrenControl, ARuntimeCountsWhatIsInside) {
  Engine engine(GetParam());
  Invocation held;
  std::atomic<bool> deferred{false};
  Spec inner("inner");
  inner.start([&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    deferred = true;
    return BLAZEN_PENDING;
  });
  inner.elsewhere("far", {BLAZEN_START_EVENT});
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = start(engine, workflow);
  engine.until(run, [&] { return deferred && description_of(run)["in_flight"].size() == 1; });
  const auto count = [&engine] {
    blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
    MUST(blazen_runtime_count(engine.runtime(), &counters, e));
    return std::vector<uint64_t>{counters.running, counters.in_flight, counters.queued,
                                 counters.events_routed};
  };
  engine.until(run, [&] { return count() == std::vector<uint64_t>{1, 1, 1, 2}; });
  MUST(blazen_context_emit(blazen_invocation_context(held), BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, e));
  MUST(blazen_invocation_complete(held, e));
  held.reset();
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  engine.until(run, [&] { return count() == std::vector<uint64_t>{0, 0, 0, 4}; });
}

TEST_P(ChildrenControl, AChildThatStallsFailsItsStep) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.idle = BLAZEN_IDLE_WAIT;  // which the top does not let it
  inner.start([](Ctx&) {});
  const Outcome end = run_to_end(engine, around("outer", "inner", inner));
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_STALLED) << end.error.message();
}

TEST_P(ChildrenControl, ASlowSubscriberHoldsTheWholeTreeBack) {
  Engine engine(GetParam());
  std::atomic<int> published{0};
  Spec inner("inner");
  inner.start([&](Ctx& ctx) {
    ++published;
    ctx.publish("News", std::to_string(published));
    ctx.emit("Next");
  });
  inner.step("next", {"Next"}, [&](Ctx& ctx) {
    ++published;
    ctx.publish("News", std::to_string(published));
    if (published < 50) {
      ctx.emit("Next");
    } else {
      ctx.stop();
    }
  });
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = create(engine, workflow);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.overflow = BLAZEN_OVERFLOW_HOLD;
  options.capacity = 3;
  Stream stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  int turns = 0;
  engine.until(run, [&] { return published >= 3 && ++turns > 5; });
  EXPECT_EQ(published, 3);
  int taken = 0;
  engine.until(run, [&] {
    Event item;
    Error error;
    while (blazen_stream_next(stream, 0, item.out(), nullptr, error.out()) == BLAZEN_OK) {
      if (type_of(item) == BLAZEN_STREAM_END) return true;
      ++taken;
      item = Event();
    }
    return false;
  });
  EXPECT_EQ(taken, 50);
}

TEST_P(ChildrenControl, ASubWorkflowElsewhereIsKeptAsItCame) {
  Engine engine(GetParam());
  const auto outer = [](bool is_here) {
    Spec spec("outer");
    spec.start([](Ctx& ctx) { ctx.emit("Part", "5"); });
    if (is_here) {
      spec.child("inner", {"Part"}, asker("inner", "q"));
    } else {
      spec.elsewhere("inner", {"Part"});
    }
    spec.step("end", {"inner::output"}, [](Ctx& ctx) { ctx.stop("[" + ctx.input() + "]"); });
    return spec.build();
  };
  const Workflow there = outer(false);
  const Workflow here = outer(true);
  const RunHandle first = start(engine, there);
  EXPECT_EQ(engine.settle(first), BLAZEN_RUN_ELSEWHERE);
  const RunHandle second = resume(engine, here, snapshot_bytes(first));
  MUST(blazen_run_start(second, nullptr, e));
  ASSERT_TRUE(engine.reach(second, BLAZEN_RUN_ASKING));
  const std::string asked = snapshot_bytes(second);
  const std::string id = questions_of(second)[0]["request_id"];
  const RunHandle third = resume(engine, there, asked);
  MUST(blazen_run_start(third, nullptr, e));
  EXPECT_EQ(engine.settle(third), BLAZEN_RUN_ELSEWHERE);
  const Json kept = questions_of(third);
  ASSERT_EQ(kept.size(), 1U) << kept;
  EXPECT_EQ(kept[0]["request_id"], id);
  EXPECT_EQ(kept[0]["step"], "inner#2/start");
  Error error;
  EXPECT_EQ(blazen_run_respond(third, id.data(), id.size(), json("1"), error.out()),
            BLAZEN_ERROR_WRONG_STATE);
  EXPECT_TRUE(error.says("inner")) << error.message();
  const RunHandle fourth = resume(engine, here, snapshot_bytes(third));
  MUST(blazen_run_start(fourth, nullptr, e));
  ASSERT_TRUE(engine.reach(fourth, BLAZEN_RUN_ASKING));
  EXPECT_EQ(respond(fourth, id, "9"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, fourth).text(), "5 json [9]");
  for (const RunHandle* left : {&first, &second, &third}) MUST(blazen_run_close(*left, e));
}

TEST_P(ChildrenControl, AStepElsewhereInsideIsNamedWithItsPath) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.start([](Ctx& ctx) { ctx.emit("There"); });
  inner.elsewhere("there", {"There"});
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = start(engine, workflow);
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
  Value steps;
  MUST(blazen_run_elsewhere(run, steps.out(), e));
  EXPECT_EQ(data_of(steps), "[\"inner/there\"]");
  MUST(blazen_run_close(run, e));
}

TEST_P(ChildrenControl, AChildThatNoLongerFitsIsNamedWithItsPlace) {
  Engine engine(GetParam());
  const auto outer = [](bool is_changed) {
    Spec inner("inner");
    inner.start([](Ctx& ctx) -> blazen_status { return ctx.ask("?").empty() ? BLAZEN_PENDING : ctx.stop(); });
    if (is_changed) inner.step("new", {"New"}, [](Ctx&) {});
    return around("outer", "middle", around("middle", "inner", inner)).build();
  };
  const Workflow before = outer(false);
  const RunHandle run = start(engine, before);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const Snapshot taken = snapshot(run);
  RunHandle again;
  Error error;
  EXPECT_EQ(blazen_run_resume(engine.runtime(), outer(true), taken, nullptr, again.out(), error.out()),
            BLAZEN_ERROR_SNAPSHOT_MISMATCH);
  EXPECT_TRUE(error.says("inside step 'middle', invocation 1: inside step 'inner', invocation 1"))
      << error.message();
  MUST(blazen_run_close(run, e));
}

TEST_P(ChildrenControl, AForkHasChildrenOfItsOwn) {
  Engine engine(GetParam());
  const Workflow workflow = around("outer", "inner", asker("inner", "q")).build();
  const RunHandle run = start(engine, workflow, "1");
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.fork = 1;
  RunHandle fork;
  MUST(blazen_run_resume(engine.runtime(), workflow, snapshot(run), &options, fork.out(), e));
  MUST(blazen_run_start(fork, nullptr, e));
  ASSERT_TRUE(engine.reach(fork, BLAZEN_RUN_ASKING));
  const std::string id = questions_of(run)[0]["request_id"];
  const std::string forked = questions_of(fork)[0]["request_id"];
  EXPECT_NE(id, forked);
  EXPECT_EQ(respond(fork, forked, "2"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, fork).text(), "5 json 2");
  EXPECT_EQ(respond(run, id, "3"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, run).text(), "5 json 3");
}

TEST_P(ChildrenControl, AThousandChildrenAreSnapshottedAndGoOn) {
  static constexpr int kCount = kSanitized ? 200 : 1000;
  Engine engine(GetParam());
  Spec spec("outer");
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < kCount; ++i) ctx.emit("Part", std::to_string(i));
  });
  spec.child("inner", {"Part"}, asker("inner", "q"));
  spec.step("end", {"inner::output"}, [](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"inner::output", kCount}}) != BLAZEN_OK) return BLAZEN_PENDING;
    return ctx.stop(std::to_string(Json::parse("[" + ctx.events() + "]").size()));
  });
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const RunHandle again = resume(engine, workflow, snapshot_bytes(run));
  MUST(blazen_run_start(again, nullptr, e));
  ASSERT_TRUE(engine.reach(again, BLAZEN_RUN_ASKING));
  const Json all = questions_of(again);
  ASSERT_EQ(all.size(), static_cast<size_t>(kCount));
  for (const Json& question : all)
    EXPECT_EQ(respond(again, question["request_id"].get<std::string>(), "0"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, again).text(), "5 json " + std::to_string(kCount));
  MUST(blazen_run_close(run, e));
}

TEST_P(ChildrenControl, SixtyFourInsideOneAnotherAreSnapshottedAndGoOn) {
  Engine engine(GetParam());
  Spec spec = asker("leaf", "q");
  for (int depth = 0; depth < 64; ++depth) spec = around("depth" + std::to_string(depth), "in", spec);
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "1");
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const RunHandle again = resume(engine, workflow, snapshot_bytes(run));
  MUST(blazen_run_start(again, nullptr, e));
  ASSERT_TRUE(engine.reach(again, BLAZEN_RUN_ASKING));
  EXPECT_EQ(snapshot_bytes(again), snapshot_bytes(run));
  EXPECT_EQ(respond(again, questions_of(again)[0]["request_id"].get<std::string>(), "8"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, again).text(), "5 json 8");
  MUST(blazen_run_close(run, e));
}

// By the clock of the child, which stands still while a human is asked.
TEST(ChildrenTime, ATimeOutOfTheStepIsByTheClockOfTheChild) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec inner("inner");
  inner.start([](Ctx& ctx) -> blazen_status {
    if (ctx.ask("?", "q").empty()) return BLAZEN_PENDING;
    return ctx.emit_in(5000, "Later");
  });
  inner.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
  Spec spec("outer");
  spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT).times_out(3000);
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  engine.pass(100'000);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ASKING);
  EXPECT_EQ(respond(run, questions_of(run)[0]["request_id"].get<std::string>(), "1"), BLAZEN_OK);
  engine.pass(0);
  engine.pass(2900);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(200);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_STEP_TIMEOUT) << end.error.message();
  EXPECT_TRUE(end.error.says("step 'inner' timed out")) << end.error.message();
}

TEST(ChildrenTime, TheTimeOutOfItsWorkflowIsTheCause) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec inner("inner");
  inner.timeout_ms = 1000;
  inner.start([](Ctx& ctx) { ctx.emit_in(5000, "Later"); });
  inner.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(); });
  const Workflow workflow = around("outer", "inner", inner).build();
  const RunHandle run = start(engine, workflow);
  engine.pass(0);
  engine.pass(1001);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_RUN_TIMEOUT) << end.error.message();
}

TEST(ChildrenValues, WhatIsLiveInsideIsNamedWithItsPath) {
  Engine engine;
  Counted object;
  Spec inner("inner");
  inner.start([&](Ctx& ctx) -> blazen_status {
    if (!ctx.has_session("db")) ctx.set_session("db", live(object));
    return ctx.ask("?", "q").empty() ? BLAZEN_PENDING : ctx.stop();
  });
  Spec spec = around("outer", "inner", inner);
  spec.session = BLAZEN_SESSION_WARN_DROP;
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  const Json info = Json::parse(info_of(snapshot(run)));
  EXPECT_EQ(info["dropped"], Json::parse("[\"inner#1: session 'db'\"]"));
  spec.session = BLAZEN_SESSION_PICKLE_OR_ERROR;
  const Workflow strict = spec.build();
  const RunHandle other = start(engine, strict);
  ASSERT_TRUE(engine.reach(other, BLAZEN_RUN_ASKING));
  Snapshot refused;
  Error error;
  EXPECT_EQ(blazen_run_snapshot(other, refused.out(), error.out()), BLAZEN_ERROR_NOT_SERIALIZABLE);
  EXPECT_TRUE(error.says("inner#1: session 'db'")) << error.message();
  MUST(blazen_run_close(run, e));
  MUST(blazen_run_close(other, e));
}

TEST(ChildrenMappers, AnInputThatAnswersNothingFailsTheStep) {
  Engine engine;
  Spec spec = around("outer", "inner", asker("inner"));
  spec.input([](Ctx&) {});
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_TRUE(end.error.says("inner::input")) << end.error.message();
}

TEST(ChildrenMappers, OneAnswerAndOnlyOfAMapper) {
  Engine engine;
  Spec inner("inner");
  inner.start([](Ctx& ctx) {
    EXPECT_EQ(blazen_context_answer(ctx.raw, json("1"), nullptr), BLAZEN_ERROR_WRONG_PLACE);
    ctx.stop(ctx.input());
  });
  Spec spec = around("outer", "inner", inner);
  spec.input([](Ctx& ctx) {
    ctx.answer("1");
    EXPECT_EQ(blazen_context_answer(ctx.raw, json("2"), nullptr), BLAZEN_ERROR_CONFLICT);
  });
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json 1");
}

}  // namespace
