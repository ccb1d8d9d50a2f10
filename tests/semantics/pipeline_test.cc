// Pipelines: stages one behind the other, at once, in rounds; conditions and mappers; where they stand.
#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Pipelines : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(Ways, Pipelines, testing::ValuesIn(ways()), way_name);

// Ends with what the body makes of its input.
Spec ending(const std::string& name, Body body) {
  Spec spec(name);
  spec.start(std::move(body));
  return spec;
}

Spec adding(int number) {
  return ending("adding", [number](Ctx& ctx) { ctx.stop(std::to_string(std::stoi(ctx.input()) + number)); });
}

Json stages_of(const blazen_run* run) {
  Value text;
  MUST(blazen_run_stages(run, text.out(), e));
  return Json::parse(data_of(text));
}

// "name status" of each.
std::string statuses_of(const blazen_run* run) {
  std::string text;
  const Json all = stages_of(run);
  for (const Json& stage : all["stages"])
    text += stage["name"].get<std::string>() + " " + stage["status"].get<std::string>() + ", ";
  return text;
}

TEST_P(Pipelines, EachStageGetsTheResultOfTheOneBefore) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1)).stage("two", adding(10)).stage("three", adding(100));
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "5");
  EXPECT_EQ(finish(engine, run).text(), "5 json 116");
  EXPECT_EQ(statuses_of(run), "one completed, two completed, three completed, ");
  const Json all = stages_of(run);
  EXPECT_EQ(all["percent"], 100.0);
  EXPECT_EQ(all["stages"][1]["tag"], "json");
  Value value;
  MUST(blazen_run_get_value(run, BLAZEN_TEXT("blazen/pipeline/two"), value.out(), nullptr, e));
  EXPECT_EQ(describe(value.get()), "json 16");
  MUST(blazen_run_get_value(run, BLAZEN_TEXT("blazen/input"), value.out(), nullptr, e));
  EXPECT_EQ(describe(value.get()), "json 5");
}

TEST_P(Pipelines, AConditionSkipsAStage) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.stage("two", adding(10)).condition([](Ctx& ctx) {
    ctx.answer(ctx.input() == "6" ? "false" : "true");
  });
  spec.stage("three", adding(100)).condition([](Ctx& ctx) { ctx.answer("true"); });
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "5");
  EXPECT_EQ(finish(engine, run).text(), "5 json 106");
  EXPECT_EQ(statuses_of(run), "one completed, two skipped, three completed, ");
  EXPECT_EQ(stages_of(run)["stages"][1]["tag"], "none");
  Value result;
  MUST(blazen_run_get_value(run, BLAZEN_TEXT("blazen/pipeline/two"), result.out(), nullptr, e));
  EXPECT_EQ(result.get(), nullptr) << describe(result.get());
}

TEST_P(Pipelines, MappersReadWhatStagesHaveGiven) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.stage("two", adding(10))
      .input([](Ctx& ctx) {
        EXPECT_EQ(ctx.text("blazen/pipeline/one"), ctx.input());
        ctx.set("shared", ctx.text("blazen/input"));
        ctx.answer("20");
      })
      .output([](Ctx& ctx) { ctx.answer("[" + ctx.input() + "," + ctx.text("shared") + "]"); });
  const Workflow workflow = spec.build();
  EXPECT_EQ(run_to_end(engine, workflow, "5").text(), "5 json [30,5]");
}

TEST_P(Pipelines, SeveralAtOnce) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.parallel("both", {{"a/b", adding(10)}, {"c", adding(20)}});
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "5");
  EXPECT_EQ(finish(engine, run).text(), "5 json {\"a/b\":16,\"c\":26}");
  Value value;
  MUST(blazen_run_get_value(run, BLAZEN_TEXT("blazen/pipeline/both/a~1b"), value.out(), nullptr, e));
  EXPECT_EQ(describe(value.get()), "json 16");
  const Json branches = stages_of(run)["stages"][1]["branches"];
  EXPECT_EQ(branches[0]["name"], "a/b");
  EXPECT_EQ(branches[1]["status"], "completed");
}

TEST_P(Pipelines, TheFirstSuccessOfSeveral) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.parallel("any",
                {{"bad", ending("bad", [](Ctx& ctx) -> blazen_status { return ctx.fail(1, "no"); })},
                 {"good", ending("good", [](Ctx& ctx) { ctx.stop(bytes("abc")); })}},
                true);
  spec.stage("end", ending("end", [](Ctx& ctx) {
               EXPECT_EQ(describe(blazen_event_value(ctx.trigger())), "bytes abc");
               ctx.stop();
             }));
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "5");
  EXPECT_EQ(finish(engine, run).text(), "5 json null");
  const Json any = stages_of(run)["stages"][0];
  EXPECT_EQ(any["branch"], "good");
  EXPECT_EQ(any["branches"][1]["status"], "completed");
  EXPECT_EQ(any["branches"][0]["status"], "cancelled");
}

TEST_P(Pipelines, ALoopGoesOnUntilItIsSaidToBeDone) {
  Engine engine(GetParam());
  std::atomic<int> asked{0};
  PipelineSpec spec;
  spec.stage("double",
             ending("double", [](Ctx& ctx) { ctx.stop(std::to_string(2 * std::stoi(ctx.input()))); }), 20)
      .until([&](Ctx& ctx) {
        ++asked;
        ctx.answer(std::stoi(ctx.input()) > 100 ? "\"done\"" : "\"again\"");
      })
      .output([](Ctx& ctx) { ctx.answer("[" + ctx.input() + "]"); });
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "5");
  EXPECT_EQ(finish(engine, run).text(), "5 json [160]");
  EXPECT_EQ(asked, 5);
  EXPECT_EQ(stages_of(run)["stages"][0]["round"], 5);
}

TEST_P(Pipelines, ALoopEndsAtItsBound) {
  Engine engine(GetParam());
  const auto again = [](Ctx& ctx) { ctx.answer("\"again\""); };
  PipelineSpec spec;
  spec.stage("count", adding(1), 7);
  EXPECT_EQ(run_to_end(engine, spec.build(), "0").text(), "5 json 7");
  spec.until(again);
  const Outcome end = run_to_end(engine, spec.build(), "0");
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_LIMIT) << end.error.message();
  EXPECT_TRUE(end.error.says("stage 'count' has had its 7 rounds")) << end.error.message();
  spec.stages.back().done_at_bound = true;
  EXPECT_EQ(run_to_end(engine, spec.build(), "0").text(), "5 json 7");
  spec.until([](Ctx& ctx) { ctx.answer("\"fail\""); });
  EXPECT_TRUE(run_to_end(engine, spec.build(), "0").error.says("said to have failed after round 1"));
}

TEST_P(Pipelines, ALoopOfSeveralAtOnce) {
  Engine engine(GetParam());
  const auto add = [](const std::string& name, int number) {
    return ending(name, [number](Ctx& ctx) {
      const Json input = Json::parse(ctx.input());
      ctx.stop(std::to_string(
          (input.is_object() ? input["a"].get<int>() + input["b"].get<int>() : input.get<int>()) + number));
    });
  };
  PipelineSpec spec;
  spec.parallel("both", {{"a", add("a", 1)}, {"b", add("b", 2)}}, false, 3);
  EXPECT_EQ(run_to_end(engine, spec.build(), "0").text(), "5 json {\"a\":10,\"b\":11}");
}

TEST_P(Pipelines, AStageIsAPipelineAndAPipelineIsAStep) {
  Engine engine(GetParam());
  PipelineSpec inner;
  inner.stage("one", adding(1)).stage("two", adding(2));
  PipelineSpec outer;
  outer.stage("first", inner.build()).stage("second", adding(10));
  Spec spec;
  spec.child("pipe", {BLAZEN_START_EVENT}, outer.build()).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "0").text(), "5 json 13");
}

TEST_P(Pipelines, AStageThatFailsIsTriedAgainAndThenFailsThePipeline) {
  Engine engine(GetParam());
  std::atomic<int> tries{0};
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.stage("two", ending("two", [&](Ctx& ctx) -> blazen_status {
               return ++tries < 3 ? ctx.fail(1, "not yet") : ctx.stop("\"at last\"");
             }));
  spec.stages.back().retry = retries(3);
  EXPECT_EQ(run_to_end(engine, spec.build(), "0").text(), "5 json \"at last\"");
  tries = 0;
  spec.stages.back().retry = retries(2);
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "0");
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_TRUE(end.error.says("step 'two' failed")) << end.error.message();
  EXPECT_EQ(statuses_of(run), "one completed, two failed, ");
  EXPECT_EQ(stages_of(run)["percent"], 50.0);
}

TEST_P(Pipelines, SnapshottedInRoundThreeOfALoopInStageTwoItGoesOnThere) {
  Engine engine(GetParam());
  std::atomic<int> rounds{0};
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.stage("two",
             ending("two",
                    [&](Ctx& ctx) -> blazen_status {
                      ++rounds;
                      if (ctx.input() == "3" && ctx.ask("?", "q").empty()) return BLAZEN_PENDING;
                      return ctx.stop(std::to_string(std::stoi(ctx.input()) + 1));
                    }),
             5)
      .until([](Ctx& ctx) {
        EXPECT_EQ(correlation_of(ctx.trigger()).substr(0, 1), std::to_string(std::stoi(ctx.input()) - 1));
        ctx.answer("\"again\"");
      });
  spec.stages.back().done_at_bound = true;
  spec.stage("three", adding(100));
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow, "0");
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  EXPECT_EQ(statuses_of(run), "one completed, two running, three pending, ");
  EXPECT_EQ(stages_of(run)["stages"][1]["round"], 2);  // behind it
  const std::string bytes = snapshot_bytes(run);
  MUST(blazen_run_close(run, e));
  const RunHandle again = resume(engine, workflow, bytes);
  MUST(blazen_run_start(again, nullptr, e));
  ASSERT_TRUE(engine.reach(again, BLAZEN_RUN_ASKING));
  rounds = 0;
  EXPECT_EQ(respond(again, questions_of(again)[0]["request_id"].get<std::string>(), "1"), BLAZEN_OK);
  EXPECT_EQ(finish(engine, again).text(), "5 json 106");
  EXPECT_EQ(rounds, 3);  // the third once more, and two more
}

TEST_P(Pipelines, ItsKeysAreItsOwn) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1)).output([](Ctx& ctx) {
    Error error;
    EXPECT_EQ(
        blazen_context_set_json(ctx.raw, BLAZEN_TEXT("blazen/pipeline/one"), BLAZEN_TEXT("1"), error.out()),
        BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_TRUE(error.says("blazen/pipeline/one")) << error.message();
    EXPECT_EQ(blazen_context_clear_values(ctx.raw, nullptr), BLAZEN_ERROR_WRONG_PLACE);
    ctx.set("mine", "1");
    ctx.answer(ctx.input());
  });
  EXPECT_EQ(run_to_end(engine, spec.build(), "0").text(), "5 json 1");
}

TEST_P(Pipelines, WhoListensSeesItsProgress) {
  Engine engine(GetParam());
  PipelineSpec spec;
  spec.stage("one", adding(1));
  spec.stage("two", adding(1)).condition([](Ctx& ctx) { ctx.answer("false"); });
  spec.stage("three", adding(1), 3);
  spec.stage("four", adding(1));
  const Workflow workflow = spec.build();
  const RunHandle run = create(engine, workflow);
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.lifecycle = 1;
  options.own_level = 1;
  Stream stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
  MUST(blazen_run_start(run, json("0"), e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 5");
  std::string seen;
  for (const Item& item : take(stream)) {
    if (item.type != BLAZEN_PROGRESS) continue;
    const Json progress = Json::parse(item.value.substr(item.value.find('{')));
    EXPECT_EQ(progress["kind"], "pipeline");
    EXPECT_EQ(progress["total"], 4);
    seen += progress["label"].get<std::string>() + " " + progress["percent"].dump() + ", ";
  }
  EXPECT_EQ(seen, "one 0, one 25, two 25, two 50, three 50, three 75, four 75, four 100, ");
}

TEST(PipelinesTime, AStageTimesOutWithAllItsRounds) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec slow("slow");
  slow.start([](Ctx& ctx) { ctx.emit_in(1000, "Later", ctx.input()); });
  slow.step("later", {"Later"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  PipelineSpec spec;
  spec.stage("loop", slow, 10);
  spec.stages.back().timeout_ms = 3500;
  const Workflow workflow = spec.build();
  const RunHandle run = start(engine, workflow);
  for (int i = 0; i < 3; ++i) {
    engine.pass(0);
    engine.pass(1000);
  }
  engine.pass(0);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  engine.pass(500);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_STEP_TIMEOUT) << end.error.message();
}

TEST(PipelinesBadInput, EachHasItsOwnWords) {
  Workflow workflow;
  Error error;
  PipelineSpec spec;
  EXPECT_EQ(spec.try_build(workflow, error), BLAZEN_ERROR_INVALID_WORKFLOW);
  EXPECT_TRUE(error.says("it has no stage")) << error.message();
  spec.stage("one", adding(1)).stage("one", adding(1));
  EXPECT_EQ(spec.try_build(workflow, error), BLAZEN_ERROR_INVALID_WORKFLOW);
  EXPECT_TRUE(error.says("two stages are named 'one'")) << error.message();
  Owned<blazen_pipeline_builder, blazen_pipeline_builder_release> builder;
  MUST(blazen_pipeline_builder_create(BLAZEN_TEXT("x"), builder.out(), e));
  const Workflow inner = adding(1).build();
  EXPECT_EQ(blazen_pipeline_builder_add_loop(builder, BLAZEN_TEXT("loop"), inner, 0, nullptr, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("max_rounds is 0")) << error.message();
}

TEST(PipelinesBadInput, AConditionThatAnswersSomethingElseIsNamed) {
  Engine engine;
  PipelineSpec spec;
  spec.stage("one", adding(1)).condition([](Ctx& ctx) -> blazen_status {
    Error error;
    EXPECT_EQ(blazen_context_answer(ctx.raw, json("1"), error.out()), BLAZEN_ERROR_WRONG_TAG);
    EXPECT_TRUE(error.says("true or false")) << error.message();
    return BLAZEN_OK;
  });
  const Outcome end = run_to_end(engine, spec.build(), "0");
  EXPECT_TRUE(end.error.says("one::condition")) << end.error.message();
  EXPECT_EQ(end.error.cause().status(), BLAZEN_ERROR_WRONG_STATE);
}

}  // namespace
