// Steps that are workflows: what comes of a child, of several at once, of children in children.
#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Children : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(Ways, Children, testing::ValuesIn(ways()), way_name);

// Ends with what the body makes of its input.
Spec ending(const std::string& name, Body body) {
  Spec spec(name);
  spec.start(std::move(body));
  return spec;
}

Spec doubling() {
  return ending("doubling", [](Ctx& ctx) { ctx.stop(std::to_string(std::stoi(ctx.input()) * 2)); });
}

Spec failing(const std::string& name) {
  return ending(name, [](Ctx& ctx) -> blazen_status { return ctx.fail(7, "no luck with " + ctx.input()); });
}

TEST_P(Children, AStepThatIsAWorkflowGivesItsResult) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("double", {BLAZEN_START_EVENT}, doubling());
  spec.step("end", {"double::output"}, [](Ctx& ctx) { ctx.stop("[" + ctx.input() + "]"); });
  EXPECT_EQ(run_to_end(engine, spec, "21").text(), "5 json [42]");
}

TEST_P(Children, ManyAtOnce) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 300; ++i) ctx.emit("Number", std::to_string(i));
  });
  spec.child("double", {"Number"}, doubling());
  spec.step("end", {"double::output"}, [](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"double::output", 300}}) != BLAZEN_OK) return BLAZEN_PENDING;
    int64_t sum = 0;
    for (const Json& each : Json::parse("[" + ctx.events() + "]")) sum += each.get<int64_t>();
    return ctx.stop(std::to_string(sum));
  });
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json 89700");
}

TEST_P(Children, TheResultOfAnyTagIsTheOutput) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("inner", {BLAZEN_START_EVENT},
             ending("inner", [](Ctx& ctx) { ctx.stop(native("\x01\x02", "test/codec")); }));
  spec.step("end", {"inner::output"},
            [](Ctx& ctx) { ctx.stop(Value(blazen_value_retain(blazen_event_value(ctx.trigger())))); });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.text(), "5 native(test/codec) \x01\x02") << end.text();
}

TEST_P(Children, ItsOutputMayEndTheRun) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("double", {BLAZEN_START_EVENT}, doubling()).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "4").text(), "5 json 8");
}

TEST_P(Children, MappersDecideWhatGoesInAndComesOut) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("double", {BLAZEN_START_EVENT}, doubling())
      .input([](Ctx& ctx) { ctx.answer(std::to_string(std::stoi(ctx.input()) + 1)); })
      .output([](Ctx& ctx) { ctx.answer("{\"twice\":" + ctx.input() + "}"); });
  spec.step("end", {"double::output"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  EXPECT_EQ(run_to_end(engine, spec, "4").text(), "5 json {\"twice\":10}");
}

TEST_P(Children, AChildHasItsOwnStateAndId) {
  Engine engine(GetParam());
  Spec inner("inner");
  inner.start([](Ctx& ctx) {
    EXPECT_FALSE(ctx.has("key"));
    ctx.set("key", "\"inner\"");
    ctx.emit("Next");
  });
  inner.step("next", {"Next"}, [](Ctx& ctx) {
    size_t length = 0;
    const char* id = blazen_context_run_id(ctx.raw, &length);
    const char* top = blazen_run_id(ctx.run(), nullptr);
    EXPECT_NE(text_of(id, length), top);
    EXPECT_EQ(id[14], '8');  // a UUID of version 8
    ctx.stop(ctx.text("key"));
  });
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.set("key", "\"outer\"");
    ctx.emit("Go");
  });
  spec.child("inner", {"Go"}, inner);
  spec.step("end", {"inner::output"},
            [](Ctx& ctx) { ctx.stop("[" + ctx.input() + "," + ctx.text("key") + "]"); });
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json [\"inner\",\"outer\"]");
}

TEST_P(Children, ItsFailureIsTheFailureOfTheStep) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("inner", {BLAZEN_START_EVENT}, failing("inner")).output_type(BLAZEN_STOP_EVENT);
  const Outcome end = run_to_end(engine, spec, "5");
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_NE(end.error.message().find("step 'inner' failed: step 'start' failed: no luck with 5"),
            std::string::npos)
      << end.error.message();
}

TEST_P(Children, AHandlerTakesItsFailure) {
  Engine engine(GetParam());
  Spec spec;
  spec.child("inner", {BLAZEN_START_EVENT}, failing("inner")).output_type(BLAZEN_STOP_EVENT);
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) {
    const Json failed = Json::parse(ctx.input());
    ctx.stop("[" + failed["step"].dump() + "," + failed["host_code"].dump() + "]");
  });
  EXPECT_EQ(run_to_end(engine, spec, "5").text(), "5 json [\"inner\",7]");
}

TEST_P(Children, ARetryBeginsAnotherChild) {
  Engine engine(GetParam());
  std::atomic<int> begun{0};
  std::mutex lock;
  std::set<std::string> ids;
  Spec spec;
  spec.child("inner", {BLAZEN_START_EVENT},
             ending("inner",
                    [&](Ctx& ctx) -> blazen_status {
                      size_t length = 0;
                      const char* id = blazen_context_run_id(ctx.raw, &length);
                      {
                        const std::lock_guard guard(lock);
                        ids.insert(text_of(id, length));
                      }
                      EXPECT_FALSE(ctx.has("seen"));
                      ctx.set("seen", "true");
                      if (++begun < 3) return ctx.fail(1, "not yet");
                      return ctx.stop(ctx.input());
                    }))
      .output_type(BLAZEN_STOP_EVENT)
      .retry(retries(3));
  EXPECT_EQ(run_to_end(engine, spec, "9").text(), "5 json 9");
  EXPECT_EQ(begun, 3);
  EXPECT_EQ(ids.size(), 3U);
}

TEST_P(Children, ChildrenInChildren) {
  Engine engine(GetParam());
  Spec spec = doubling();
  for (int depth = 0; depth < 20; ++depth) {
    Spec outer("depth" + std::to_string(depth));
    outer.child("inner", {BLAZEN_START_EVENT}, spec).output_type(BLAZEN_STOP_EVENT);
    spec = outer;
  }
  EXPECT_EQ(run_to_end(engine, spec, "3").text(), "5 json 6");
}

TEST_P(Children, AWorkflowThatContainsItselfEndsByItsDepth) {
  Engine engine(GetParam());
  Spec spec("self");
  spec.start([](Ctx& ctx) {
    const int left = std::stoi(ctx.input());
    if (left == 0) {
      ctx.stop("\"bottom\"");
    } else {
      ctx.emit("Deeper", std::to_string(left - 1));
    }
  });
  spec.itself("deeper", {"Deeper"}).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "64").text(), "5 json \"bottom\"");
  const Outcome deep = run_to_end(engine, spec, "65");
  EXPECT_EQ(deep.state, BLAZEN_RUN_FAILED);
  EXPECT_NE(deep.error.message().find("BLAZEN_LIMIT_CHILD_DEPTH (64)"), std::string::npos)
      << deep.error.message();
}

TEST_P(Children, AllOfSeveralAtOnce) {
  Engine engine(GetParam());
  Spec spec;
  spec.children("both", {BLAZEN_START_EVENT},
                {{"left", doubling()},
                 {"right", ending("right", [](Ctx& ctx) { ctx.stop("\"r" + ctx.input() + "\""); })}});
  spec.step("end", {"both::output"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  EXPECT_EQ(run_to_end(engine, spec, "3").text(), "5 json {\"left\":6,\"right\":\"r3\"}");
}

TEST_P(Children, NoBranchesAreDoneAtOnce) {
  Engine engine(GetParam());
  Spec spec;
  spec.children("none", {BLAZEN_START_EVENT}, {}).output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "3").text(), "5 json {}");
}

TEST_P(Children, WhereTheBranchesCannotBeginTheStepFailsAndGivesNothing) {
  Engine engine(GetParam());
  Spec spec;
  spec.children("all", {BLAZEN_START_EVENT}, {{"a", doubling()}, {"b", doubling()}, {"c", doubling()}});
  spec.limits.emplace_back(BLAZEN_LIMIT_QUEUED_EVENTS, 2);
  spec.step("end", {"all::output", BLAZEN_STEP_FAILED_EVENT}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
  const Outcome end = run_to_end(engine, spec, "3");
  EXPECT_EQ(end.text().find("5 json {\"step\":\"all"), 0U) << end.text();
  EXPECT_NE(end.text().find("BLAZEN_ERROR_LIMIT"), std::string::npos) << end.text();
}

TEST_P(Children, TheFirstBranchThatFailsFailsAll) {
  Engine engine(GetParam());
  Spec waiting("waiting");
  waiting.start([](Ctx& ctx) { ctx.ask("never"); });
  Spec spec;
  spec.children("all", {BLAZEN_START_EVENT},
                {{"good", doubling()}, {"slow", waiting}, {"bad", failing("bad")}})
      .output_type(BLAZEN_STOP_EVENT);
  const Outcome end = run_to_end(engine, spec, "3");
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_NE(end.error.message().find("step 'all' failed: step 'all[bad]' failed"), std::string::npos)
      << end.error.message();
}

TEST_P(Children, ABranchThatFailsSaysAtWhichAttempt) {
  Engine engine(GetParam());
  Spec spec;
  spec.children("all", {BLAZEN_START_EVENT}, {{"good", doubling()}, {"bad", failing("bad")}})
      .output_type(BLAZEN_STOP_EVENT)
      .retry(retries(3));
  const Outcome end = run_to_end(engine, spec, "3");
  EXPECT_EQ(end.error.cause().step(), "all[bad]");
  EXPECT_EQ(end.error.cause().attempt(), 3U);
}

TEST_P(Children, TheFirstSuccessIsEnough) {
  Engine engine(GetParam());
  Spec waiting("waiting");
  waiting.start([](Ctx& ctx) { ctx.ask("never"); });
  Spec spec;
  spec.children("any", {BLAZEN_START_EVENT},
                {{"slow", waiting}, {"bad", failing("bad")}, {"good", doubling()}}, true)
      .output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "3").text(), "5 json 6");
}

TEST_P(Children, WhereAllFailEachIsNamed) {
  Engine engine(GetParam());
  Spec spec;
  spec.children("any", {BLAZEN_START_EVENT}, {{"one", failing("one")}, {"two", failing("two")}}, true)
      .output_type(BLAZEN_STOP_EVENT);
  const Outcome end = run_to_end(engine, spec, "3");
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_NE(end.error.message().find("all 2 branches of 'any' failed"), std::string::npos)
      << end.error.message();
  EXPECT_NE(data_of(end.error.detail()).find("\"one\":{"), std::string::npos) << data_of(end.error.detail());
  EXPECT_NE(data_of(end.error.detail()).find("\"two\":{"), std::string::npos) << data_of(end.error.detail());
}

TEST_P(Children, AnOutputMapperGetsEachResultWithItsOwnTag) {
  Engine engine(GetParam());
  Spec spec;
  spec.children(
          "both", {BLAZEN_START_EVENT},
          {{"first", ending("first", [](Ctx& ctx) { ctx.stop(bytes("abc")); })}, {"second", doubling()}})
      .output([](Ctx& ctx) -> blazen_status {
        const blazen_event* const* all = nullptr;
        size_t count = 0;
        MUST(blazen_context_events(ctx.raw, &all, &count, e));
        std::string text = "[";
        for (size_t i = 0; i < count; ++i)
          text +=
              (i == 0 ? "\"" : ",\"") + source_of(all[i]) + " " + describe(blazen_event_value(all[i])) + "\"";
        return ctx.answer(text + "]");
      })
      .output_type(BLAZEN_STOP_EVENT);
  EXPECT_EQ(run_to_end(engine, spec, "3").text(), "5 json [\"first bytes abc\",\"second json 6\"]");
}

TEST_P(Children, AResultThatIsNotJsonIsNamed) {
  Engine engine(GetParam());
  Spec spec;
  spec.children(
          "both", {BLAZEN_START_EVENT},
          {{"first", ending("first", [](Ctx& ctx) { ctx.stop(bytes("abc")); })}, {"second", doubling()}})
      .output_type(BLAZEN_STOP_EVENT);
  const Outcome end = run_to_end(engine, spec, "3");
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_NE(end.error.message().find("branch 'first' is BYTES"), std::string::npos) << end.error.message();
}

}  // namespace
