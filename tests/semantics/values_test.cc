// Goal: values come back byte for byte, JSON is refused at the very byte at fault, and a workflow that could
// never work is refused in words that say why.
#include <cstring>
#include <iostream>

#include "support/blazen_test.hpp"

namespace bt {
namespace {

TEST(Ways, AreListed) {
  std::cout << "every way to run is tested:";
  for (const Way way : ways()) std::cout << ' ' << name_of(way);
  if (!has_threads()) std::cout << "; not Threads1, Threads4 and Pool: this library is built without threads";
  std::cout << '\n';
  EXPECT_EQ(ways().size(), has_threads() ? 8U : 5U);
}

// --------------------------------------------------------------------------------------------- the four tags

// The value that comes out of a run whose step hands its input on.
Value through_a_run(const Value& input) {
  Engine engine(Way::pump);
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  Value same(blazen_value_retain(blazen_event_value(ctx.trigger())));
                                  ctx.set("kept", same);
                                  ctx.stop(ctx.get("kept"));
                                })
                                .build();
  RunHandle run = create(engine, workflow);
  MUST(blazen_run_start(run, input, e));
  Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_OK) << end.error.message();
  return std::move(end.result);
}

class JsonAsGiven : public testing::TestWithParam<std::string> {};

TEST_P(JsonAsGiven, PassesThroughARunByteForByte) {
  const Value back = through_a_run(json(GetParam()));
  EXPECT_EQ(blazen_value_tag(back), BLAZEN_TAG_JSON);
  EXPECT_EQ(data_of(back), GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Texts, JsonAsGiven,
    testing::Values("1.0", "1", "-0", "1e400", "1E+2", "1234567890123456789012345678901234567890",
                    "0.1234567890123456789012345678901234567890", "\"\\u0000\"", "\"\\ud800\"", "\"\\/\"",
                    " [ 1 ,\n2 ]\t", "{\"b\":1,\"a\":2,\"b\":3}", "null", "true", "\"\xf0\x9f\x98\x80\""));

TEST(Values, BytesPassThroughARunWithEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const Value back = through_a_run(bytes(all));
  EXPECT_EQ(blazen_value_tag(back), BLAZEN_TAG_BYTES);
  EXPECT_EQ(data_of(back), all);
}

TEST(Values, NativePassesThroughARunWithItsCodec) {
  const Value back = through_a_run(native(std::string("\x80\x04\0.", 4), "python/pickle"));
  EXPECT_EQ(describe(back), std::string("native(python/pickle) \x80\x04\0.", 26));
}

TEST(Values, NativeMayHaveNoCodecAndNoBytes) {
  const Value back = through_a_run(native("", ""));
  EXPECT_EQ(blazen_value_tag(back), BLAZEN_TAG_NATIVE);
  EXPECT_EQ(describe(back), "native() ");
}

TEST(Values, LiveKeepsItsIdentityThroughEventsAndSession) {
  Counted object;
  {
    Engine engine(Way::pump);
    const Workflow workflow = Spec()
                                  .start([](Ctx& ctx) {
                                    Value same(blazen_value_retain(blazen_event_value(ctx.trigger())));
                                    ctx.set_session("it", same);
                                    ctx.emit("Next", ctx.session("it"));
                                  })
                                  .step("next", {"Next"}, [](Ctx& ctx) { ctx.stop(ctx.session("it")); })
                                  .build();
    RunHandle run = create(engine, workflow);
    MUST(blazen_run_start(run, live(object, "db"), e));
    const Outcome end = finish(engine, run);
    ASSERT_EQ(end.status, BLAZEN_OK) << end.error.message();
    EXPECT_EQ(blazen_value_object(end.result), &object);
    EXPECT_EQ(codec_of(end.result), "db");
    EXPECT_EQ(blazen_value_data(end.result, nullptr), nullptr);
    EXPECT_EQ(object.drops, 0);
  }
  EXPECT_EQ(object.drops, 1);
}

TEST(Values, StateRefusesLiveAndNamesTheSession) {
  Counted object;
  Engine engine;
  Error error;
  const Outcome end = run_to_end(engine, Spec().start([&](Ctx& ctx) -> blazen_status {
    EXPECT_EQ(blazen_context_set_value(ctx.raw, BLAZEN_TEXT("k"), live(object), error.out()),
              BLAZEN_ERROR_WRONG_TAG);
    Batch batch;
    MUST(blazen_batch_create(batch.out(), e));
    const blazen_status in_batch = blazen_batch_set(batch, BLAZEN_TEXT("k"), live(object), nullptr);
    EXPECT_EQ(in_batch == BLAZEN_OK ? blazen_context_apply(ctx.raw, batch, nullptr) : in_batch,
              BLAZEN_ERROR_WRONG_TAG);
    EXPECT_EQ(blazen_context_compare_and_set(ctx.raw, BLAZEN_TEXT("k"), 0, live(object), nullptr, nullptr),
              BLAZEN_ERROR_WRONG_TAG);
    EXPECT_FALSE(ctx.has("k"));
    return ctx.stop();
  }));
  EXPECT_EQ(end.status, BLAZEN_OK);
  EXPECT_TRUE(error.says("session")) << error.message();
}

TEST(Values, AdoptedPayloadIsReadAtTheVeryAddressThatWasGiven) {
  const std::string big = "\"" + std::string(1 << 20, 'x') + "\"";
  Counted owner;
  {
    Value value;
    MUST(blazen_value_adopt(BLAZEN_TAG_JSON, big.data(), big.size(), nullptr, 0, &owner, Counted::drop,
                            value.out(), e));
    const Value back = through_a_run(value);
    size_t length = 0;
    EXPECT_EQ(blazen_value_data(back, &length), big.data());
    EXPECT_EQ(length, big.size());
    EXPECT_EQ(owner.drops, 0);
  }
  EXPECT_EQ(owner.drops, 1);
}

TEST(Values, EventCarriesJsonNullWhereNoValueIsGiven) {
  EXPECT_EQ(describe(blazen_event_value(event("X"))), "json null");
}

TEST(Values, FailedRegistrationDropsOnce) {
  Counted object;
  Value value;
  EXPECT_EQ(blazen_value_live(&object, "\xff", 1, Counted::drop, value.out(), nullptr),
            BLAZEN_ERROR_INVALID_UTF8);
  EXPECT_EQ(object.drops, 1);
  EXPECT_EQ(blazen_value_live(&object, "l", 1, Counted::drop, nullptr, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(object.drops, 2);
  EXPECT_EQ(
      blazen_value_adopt(BLAZEN_TAG_JSON, "{", 1, nullptr, 0, &object, Counted::drop, value.out(), nullptr),
      BLAZEN_ERROR_INVALID_JSON);
  EXPECT_EQ(object.drops, 3);
  EXPECT_EQ(
      blazen_value_adopt(BLAZEN_TAG_LIVE, "x", 1, nullptr, 0, &object, Counted::drop, value.out(), nullptr),
      BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(object.drops, 4);
  EXPECT_EQ(
      blazen_value_adopt(BLAZEN_TAG_BYTES, "x", 1, "codec", 5, &object, Counted::drop, value.out(), nullptr),
      BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(object.drops, 5);
}

TEST(Values, RetainedValueOutlivesItsFirstHandle) {
  Counted object;
  Value second;
  {
    const Value first = live(object);
    second = Value(blazen_value_retain(first));
  }
  EXPECT_EQ(blazen_value_object(second), &object);
  EXPECT_EQ(object.drops, 0);
  second.reset();
  EXPECT_EQ(object.drops, 1);
}

// ------------------------------------------------------------------------------------------------- refused
// JSON

struct BadJson {
  std::string text;
  uint64_t offset;
};
class JsonRefused : public testing::TestWithParam<BadJson> {};

TEST_P(JsonRefused, AtTheByteAtFault) {
  Value value;
  Error error;
  const std::string& text = GetParam().text;
  EXPECT_EQ(blazen_value_json(text.data(), text.size(), value.out(), error.out()), BLAZEN_ERROR_INVALID_JSON);
  EXPECT_EQ(error.status(), BLAZEN_ERROR_INVALID_JSON);
  EXPECT_EQ(error.offset(), GetParam().offset) << error.message();
  EXPECT_EQ(value.get(), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Texts, JsonRefused,
                         testing::Values(BadJson{"", 0}, BadJson{"{", 1}, BadJson{"[1,]", 3},
                                         BadJson{"{\"a\":1,}", 7}, BadJson{"[1 2]", 3}, BadJson{"01", 1},
                                         BadJson{"1.", 2}, BadJson{"+1", 0}, BadJson{"nul", 3},
                                         BadJson{"NaN", 0}, BadJson{"\"a\nb\"", 2}, BadJson{"\"\\x\"", 2},
                                         BadJson{"\"\xff\"", 1}, BadJson{"1 1", 2}, BadJson{"'a'", 0},
                                         BadJson{"{1:2}", 1},
                                         BadJson{"\xef\xbb\xbf"
                                                 "1",
                                                 0},
                                         BadJson{std::string("1\0", 2), 1}));

TEST(Json, IsAcceptedToItsDepthAndRefusedBeyondWithTheNameOfTheBound) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(data_of(json(nested(BLAZEN_JSON_DEPTH_MAX))), nested(BLAZEN_JSON_DEPTH_MAX));
  const std::string deeper = nested(BLAZEN_JSON_DEPTH_MAX + 1);
  Value value;
  Error error;
  EXPECT_EQ(blazen_value_json(deeper.data(), deeper.size(), value.out(), error.out()), BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says("BLAZEN_JSON_DEPTH_MAX")) << error.message();
}

TEST(Json, IsCheckedInEveryCallThatTakesIt) {
  Engine engine;
  const Outcome end = run_to_end(engine, Spec().start([](Ctx& ctx) {
    Error error;
    EXPECT_EQ(blazen_context_set_json(ctx.raw, BLAZEN_TEXT("k"), BLAZEN_TEXT("[1,"), error.out()),
              BLAZEN_ERROR_INVALID_JSON);
    EXPECT_EQ(error.offset(), 3U);
    EXPECT_EQ(blazen_context_emit_json(ctx.raw, BLAZEN_TEXT("X"), BLAZEN_TEXT("tru"), error.out()),
              BLAZEN_ERROR_INVALID_JSON);
    EXPECT_EQ(error.offset(), 3U);
    ctx.stop(ctx.has("k") ? "true" : "false");
  }));
  EXPECT_EQ(end.text(), "5 json false");
}

// --------------------------------------------------------------------------------------- names and arguments

TEST(Names, AreRefusedWhereEmptyTooLongOrNotUtf8) {
  Event made;
  Error error;
  EXPECT_EQ(blazen_event_create("", 0, nullptr, nullptr, made.out(), error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("type is empty")) << error.message();
  const std::string longest(BLAZEN_NAME_BYTES_MAX, 'n');
  EXPECT_EQ(type_of(event(longest)), longest);
  const std::string longer = longest + "n";
  EXPECT_EQ(blazen_event_create(longer.data(), longer.size(), nullptr, nullptr, made.out(), error.out()),
            BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says("BLAZEN_NAME_BYTES_MAX")) << error.message();
  EXPECT_EQ(blazen_event_create("ab\xc3", 3, nullptr, nullptr, made.out(), error.out()),
            BLAZEN_ERROR_INVALID_UTF8);
  EXPECT_EQ(error.offset(), 2U);
}

TEST(Handles, OfAnotherKindAreRefusedByCallsAndNeutralToGetters) {
  const Value value = json("1");
  auto* wrong = reinterpret_cast<blazen_run*>(value.get());
  Error error;
  EXPECT_EQ(blazen_run_start(wrong, nullptr, error.out()), BLAZEN_ERROR_WRONG_HANDLE);
  EXPECT_TRUE(error.says("not a blazen_run but a blazen_value")) << error.message();
  EXPECT_EQ(blazen_run_start(nullptr, nullptr, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_run_state_now(wrong), BLAZEN_RUN_NONE);
  EXPECT_EQ(blazen_run_id(wrong, nullptr), nullptr);
  EXPECT_EQ(blazen_run_id(nullptr, nullptr), nullptr);
  EXPECT_EQ(blazen_value_tag(nullptr), BLAZEN_TAG_NONE);
  EXPECT_EQ(blazen_error_offset(nullptr), UINT64_MAX);
  EXPECT_EQ(blazen_error_status(nullptr), BLAZEN_OK);
  blazen_run_release(nullptr);
}

TEST(Errors, AreNotWantedWhereThePlaceIsNull) {
  EXPECT_EQ(blazen_value_json("[", 1, nullptr, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  Value value;
  EXPECT_EQ(blazen_value_json("[", 1, value.out(), nullptr), BLAZEN_ERROR_INVALID_JSON);
}

TEST(Errors, OutputsAreWrittenOnSuccessOnly) {
  auto* untouched = reinterpret_cast<blazen_value*>(0x10);
  blazen_value* value = untouched;
  EXPECT_EQ(blazen_value_json("[", 1, &value, nullptr), BLAZEN_ERROR_INVALID_JSON);
  EXPECT_EQ(value, untouched);
  auto* no_error = reinterpret_cast<blazen_error*>(0x10);
  blazen_error* error = no_error;
  EXPECT_EQ(blazen_value_json("[]", 2, &value, &error), BLAZEN_OK);
  EXPECT_EQ(error, no_error);
  blazen_value_release(value);
}

TEST(Errors, HostErrorKeepsCodeMessageAndDetail) {
  Counted object;
  Error error;
  const std::string message("disk \0 gone", 11);
  EXPECT_EQ(blazen_error_host(-7, message.data(), message.size(), live(object), error.out()),
            BLAZEN_ERROR_HOST);
  EXPECT_EQ(error.status(), BLAZEN_ERROR_HOST);
  EXPECT_EQ(error.host_code(), -7);
  EXPECT_EQ(error.message(), message);
  EXPECT_EQ(blazen_value_object(error.detail()), &object);
  EXPECT_EQ(blazen_error_cause(error), nullptr);
  error.reset();
  EXPECT_EQ(object.drops, 1);
}

// ----------------------------------------------------------------------------- workflows that can never work

void nothing(Ctx&) {}

void expect_refused(const Spec& spec, std::string_view words) {
  const int alive = Body::alive;
  {
    Workflow workflow;
    Error error;
    EXPECT_EQ(spec.try_build(workflow, error), BLAZEN_ERROR_INVALID_WORKFLOW);
    EXPECT_TRUE(error.says(words)) << error.message();
    EXPECT_TRUE(error.says("'test'")) << error.message();
    EXPECT_EQ(workflow.get(), nullptr);
  }
  EXPECT_EQ(Body::alive, alive);
}

TEST(Build, RefusesAWorkflowWithoutSteps) { expect_refused(Spec(), "no step"); }

TEST(Build, RefusesAWorkflowThatNothingStarts) {
  expect_refused(Spec().step("a", {"A"}, nothing), "no step accepts blazen::StartEvent");
}

TEST(Build, RefusesTwoStepsOfOneName) {
  expect_refused(Spec().start(nothing).step("start", {"A"}, nothing), "two steps are named 'start'");
}

TEST(Build, RefusesAStepThatAcceptsStopEvent) {
  expect_refused(Spec().start(nothing).step("end", {BLAZEN_STOP_EVENT}, nothing),
                 "'end' accepts blazen::StopEvent");
}

TEST(Build, RefusesADeclaredEmitThatNobodyAccepts) {
  expect_refused(Spec().start(nothing).emits({"A", "B"}).step("a", {"A"}, nothing),
                 "'start' declares that it emits 'B', which no step accepts");
}

TEST(Build, RefusesAStepThatNoEventCanReach) {
  expect_refused(Spec().start(nothing).emits({BLAZEN_STOP_EVENT}).step("lonely", {"A"}, nothing),
                 "reach step 'lonely'");
}

TEST(Build, RefusesACircleThatNoEventCanReach) {
  expect_refused(Spec()
                     .start(nothing)
                     .emits({BLAZEN_STOP_EVENT})
                     .step("a", {"A"}, nothing)
                     .emits({"B"})
                     .step("b", {"B"}, nothing)
                     .emits({"A"}),
                 "reach step 'a'");
}

TEST(Build, TakesAStepThatOnlyTheOutsideReachesWhereTheRunWaits) {
  Spec spec;
  spec.start(nothing).emits({BLAZEN_STOP_EVENT}).step("outside", {"A"}, nothing);
  spec.idle = BLAZEN_IDLE_WAIT;
  EXPECT_NE(spec.build().get(), nullptr);
}

TEST(Build, RefusedBuilderMayGoOnAndBuild) {
  Builder builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  Workflow workflow;
  EXPECT_EQ(blazen_workflow_builder_build(builder, workflow.out(), nullptr), BLAZEN_ERROR_INVALID_WORKFLOW);
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                        Body::call, nullptr, nullptr, e));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), e));
  Workflow other;
  MUST(blazen_workflow_builder_build(builder, other.out(), e));
  EXPECT_EQ(type_of(nullptr), "");
  EXPECT_EQ(text_of(blazen_workflow_name(workflow, nullptr), 1), "w");
}

TEST(Build, RefusedStepDropsItsUserDataOnce) {
  Builder builder;
  Counted data;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  const auto add = [&](const char* name, size_t length, blazen_step_fn body) {
    return blazen_workflow_builder_add_step(builder, name, length, BLAZEN_TEXT("A"), body, &data,
                                            Counted::drop, nullptr);
  };
  EXPECT_EQ(add("", 0, Body::call), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(data.drops, 1);
  EXPECT_EQ(add("s", 1, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(data.drops, 2);
  EXPECT_EQ(add("s", 1, Body::call), BLAZEN_OK);
  EXPECT_EQ(data.drops, 2);
  builder.reset();
  EXPECT_EQ(data.drops, 3);
}

TEST(Build, StepBodiesLiveAsLongAsTheLastWorkflowAndRun) {
  const int alive = Body::alive;
  Engine engine;
  {
    RunHandle run;
    {
      const Workflow workflow = Spec().start([](Ctx& ctx) { ctx.stop(); }).build();
      run = create(engine, workflow);
    }
    EXPECT_EQ(Body::alive, alive + 1);
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  }
  EXPECT_EQ(Body::alive, alive);
}

TEST(Build, NamesUnknownStepsAndRefusesDoubleAccepts) {
  Builder builder;
  Error error;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  EXPECT_EQ(
      blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("nobody"), BLAZEN_TEXT("A"), error.out()),
      BLAZEN_ERROR_NOT_FOUND);
  EXPECT_TRUE(error.says("'nobody'")) << error.message();
  MUST(blazen_workflow_builder_add_elsewhere(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT("A"), e));
  EXPECT_EQ(blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT("A"), nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_workflow_builder_set_unhandled(builder, 9, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_workflow_builder_set_idle(builder, -1, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_workflow_builder_set_limit(builder, 99, 5, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_STREAM_ITEMS, 0, nullptr),
            BLAZEN_ERROR_INVALID_ARGUMENT);
}

TEST(Build, BoundsTheStepsAndTheTypes) {
  Builder builder;
  Error error;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  blazen_status status = BLAZEN_OK;
  int added = 0;
  for (; status == BLAZEN_OK; ++added) {
    const std::string name = "s" + std::to_string(added);
    status = blazen_workflow_builder_add_elsewhere(builder, name.data(), name.size(), BLAZEN_TEXT("A"),
                                                   error.out());
  }
  EXPECT_EQ(status, BLAZEN_ERROR_LIMIT);
  EXPECT_EQ(added, BLAZEN_STEPS_MAX + 1);
  EXPECT_TRUE(error.says("_MAX")) << error.message();
  status = blazen_workflow_builder_step_emits(builder, BLAZEN_TEXT("s0"), BLAZEN_TEXT("B"), error.out());
  EXPECT_EQ(status, BLAZEN_ERROR_LIMIT);
  EXPECT_TRUE(error.says("BLAZEN_ACCEPTS_MAX")) << error.message();
}

TEST(Build, FingerprintTellsStepsAndTypesButNotBodiesApart) {
  const auto fingerprint = [](const Spec& spec) {
    return std::string(blazen_workflow_fingerprint(spec.build(), nullptr));
  };
  const std::string first = fingerprint(Spec().start(nothing).step("a", {"A"}, nothing));
  EXPECT_EQ(first.size(), 16U);
  EXPECT_EQ(first, fingerprint(Spec().start(nothing).elsewhere("a", {"A"}, 3)));
  EXPECT_NE(first, fingerprint(Spec().start(nothing).step("b", {"A"}, nothing)));
  EXPECT_NE(first, fingerprint(Spec().start(nothing).step("a", {"B"}, nothing)));
  EXPECT_NE(first, fingerprint(Spec().step("a", {"A"}, nothing).start(nothing)));
}

}  // namespace
}  // namespace bt
