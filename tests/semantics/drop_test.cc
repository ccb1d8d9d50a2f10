// Proves that nothing of the host's outlives the run that it was given to, and that none of it is let go of
// while the library holds a lock: the library looks by itself, where it checks its invariants, and ends the
// process. Goal: whatever way a value takes through a run, its drop comes when the run is gone, and may do
// anything.
#include "support/blazen_test.hpp"

namespace bt {
namespace {

blazen_status keep_as_null(void*, blazen_value** kept, blazen_error** error) {
  return blazen_value_json(BLAZEN_TEXT("null"), kept, error);
}

Value keepable(Counted& object) {
  blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
  options.drop = Counted::drop;
  options.serialize = keep_as_null;
  Value value;
  MUST(blazen_value_live_with(&object, BLAZEN_TEXT("counted"), &options, value.out(), e));
  return value;
}

constexpr int kAsked = 6;  // more than a run has room for without memory of its own

// A run that has asked so many questions, and is paused.
RunHandle start_asking(Engine& engine, const Workflow& workflow) {
  RunHandle run = start(engine, workflow);
  EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
  MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
  return run;
}

Workflow asking() {
  return Spec()
      .start([](Ctx& ctx) {
        for (int i = 0; i < kAsked; ++i) ctx.emit("Ask", "\"" + std::to_string(i) + "\"");
      })
      .step("ask", {"Ask"}, [](Ctx& ctx) { ctx.ask("?", "q" + ctx.input().substr(1, 1)); })
      .build();
}

TEST(Drops, OfAnswersThatAResumedRunHeldComeWithItsEnd) {
  Engine engine(Way::pump);
  const Workflow workflow = asking();
  Counted given;
  RunHandle run = start_asking(engine, workflow);
  for (int i = 0; i < kAsked; ++i) {
    const std::string id = "q" + std::to_string(i);
    MUST(blazen_run_respond(run, id.data(), id.size(), keepable(given), e));
  }
  const std::string bytes = snapshot_bytes(run);
  run.reset();
  EXPECT_EQ(given.drops, kAsked);

  Counted made;
  blazen_deserializer maker{};
  maker.label = "counted";
  maker.label_length = 7;
  maker.user_data = &made;
  maker.deserialize = [](void* user_data, const char*, size_t, blazen_value*, blazen_value** value,
                         blazen_error**) -> blazen_status {
    *value = keepable(*static_cast<Counted*>(user_data)).take();
    return BLAZEN_OK;
  };
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.deserializers = &maker;
  options.deserializer_count = 1;
  RunHandle resumed;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(bytes), &options, resumed.out(), e));
  EXPECT_EQ(made.drops, 0);
  resumed.reset();
  EXPECT_EQ(made.drops, kAsked) << "they wait for the next run of the runtime";
  run = start_asking(engine, workflow);
  EXPECT_EQ(made.drops, kAsked);
}

// An input handler that answers a question which somebody else has answered meanwhile: its value is the last
// of its kind, and goes.
TEST(Drops, OfAnAnswerThatComesTooLateComesOutsideTheLock) {
  struct Answerer {
    Counted object;
    static blazen_status answer(void* self, blazen_run* run, const blazen_event*, blazen_value** value,
                                blazen_error**) {
      MUST(blazen_run_respond(run, BLAZEN_TEXT("q0"), json("1"), e));
      return blazen_value_adopt(BLAZEN_TAG_JSON, "2", 1, nullptr, 0, &static_cast<Answerer*>(self)->object,
                                Counted::drop, value, nullptr);
    }
  } answerer;
  Engine engine(Way::pump);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.input = Answerer::answer;
  options.user_data = &answerer;
  const Workflow workflow = Spec()
                                .start([](Ctx& ctx) {
                                  const std::string answer = ctx.ask("?", "q0");
                                  if (!answer.empty()) ctx.stop(answer);
                                })
                                .build();
  RunHandle run;
  MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).text(), "5 json 1");
  EXPECT_EQ(answerer.object.drops, 1);
}

}  // namespace
}  // namespace bt
