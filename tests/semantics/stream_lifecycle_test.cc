// Goal: who listens hears what happens, in its place among what is published; and neither the numbers of the
// stream nor the snapshots know whether anybody does.
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "support/blazen_test.hpp"
#include "support/streams.hpp"

namespace bt {
namespace {

using StreamLifecycle = EveryWay;
INSTANTIATE_TEST_SUITE_P(All, StreamLifecycle, testing::ValuesIn(ways()), way_name);

// sequence, and the value without its duration.
std::vector<std::string> lines_of(const std::vector<Item>& items) {
  static const std::regex duration(",\"duration_ms\":[0-9]+");
  std::vector<std::string> lines;
  for (const Item& item : items) {
    const bool plain = item.type != BLAZEN_LIFECYCLE && item.type != BLAZEN_PROGRESS;
    lines.push_back(std::to_string(item.sequence) + " " + (plain ? item.type + " " : "") +
                    std::regex_replace(item.value.substr(item.value.find(' ') + 1), duration, ""));
  }
  return lines;
}

Spec two_steps() {
  return Spec()
      .start([](Ctx& ctx) {
        ctx.publish("P", "1");
        ctx.send("N", "1");
        ctx.publish("P", "2");
      })
      .step(
          "next", {"N"},
          [](Ctx& ctx) {
            ctx.publish("P", "3");
            ctx.stop();
          },
          1);
}

std::string step_line(const char* kind, const char* step, const char* type, int invocation) {
  return std::string("{\"kind\":\"") + kind + "\",\"step_name\":\"" + step + "\",\"event_type\":\"" + type +
         "\",\"invocation_id\":" + std::to_string(invocation) + ",\"attempt\":1}";
}
std::string routed_line(const char* type) {
  return std::string("{\"kind\":\"event_routed\",\"event_type\":\"") + type + "\"}";
}

// In one thread, the order of everything is known.
TEST(StreamLifecycleOrder, ItemsStandWhereTheyHappenedBetweenThePublishedOnes) {
  Engine engine(Way::pump);
  const RunHandle run = create(engine, two_steps().build());
  const Stream stream = subscribe_with(run, {.lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  EXPECT_EQ(lines_of(take(stream)),
            (std::vector<std::string>{"0 " + routed_line("blazen::StartEvent"),
                                      "0 " + step_line("step_started", "start", "blazen::StartEvent", 1),
                                      "1 P 1", "1 " + routed_line("N"), "2 P 2",
                                      "2 " + step_line("step_completed", "start", "blazen::StartEvent", 1),
                                      "2 " + step_line("step_started", "next", "N", 2), "3 P 3",
                                      "3 " + step_line("step_completed", "next", "N", 2),
                                      "3 " + routed_line("blazen::StopEvent"), "4 blazen::StreamEnd null"}));
}

// What BLAZEN_LIFECYCLE says in the header: each kind, and the members that it has, in their order.
TEST(StreamLifecycleKinds, EachHasItsMembersAndNoOther) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Try");
    ctx.emit_to("named", "To");
  });
  spec.step("named", {"To"}, [](Ctx& ctx) { MUST(blazen_run_pause(ctx.run(), BLAZEN_PAUSE_NOW, e)); });
  spec.step("note", {"Note"}, [](Ctx&) {});
  spec.step("try", {"Try"},
            [](Ctx& ctx) -> blazen_status {
              const bool is_first = ctx.attempt() == 1;
              ctx.send("Note", is_first ? "1" : "2");
              is_first ? ctx.send("Note", "3") : ctx.publish("Other", "3");
              return is_first ? ctx.fail(1, "not yet") : ctx.stop();
            })
      .retry(retries(2, 10, 1));
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  MUST(blazen_run_resume_in_place(run, e));
  engine.pass(0);
  engine.pass(10);
  ASSERT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  std::set<std::string> seen;
  for (const Item& item : take(stream)) {
    if (item.type != BLAZEN_LIFECYCLE) continue;
    const auto members = nlohmann::ordered_json::parse(item.value.substr(item.value.find(' ') + 1));
    std::string line;
    for (const auto& [key, value] : members.items())
      line += key == "kind" ? value.get<std::string>() : " " + key;
    seen.insert(line);
    if (members.at("kind") == "step_retrying") EXPECT_EQ(members.at("attempt"), 2);
  }
  const std::string of_step = " step_name event_type invocation_id attempt";
  EXPECT_EQ(seen,
            (std::set<std::string>{
                "event_routed event_type", "event_routed step_name event_type", "run_paused", "run_resumed",
                "send_changed invocation_id position", "send_diverged invocation_id position",
                "step_completed" + of_step + " duration_ms", "step_failed" + of_step + " duration_ms error",
                "step_retrying" + of_step, "step_started" + of_step}));
}

// What has completed is reported before what its tick publishes, and that before what its tick starts.
TEST_P(StreamLifecycle, CompletionIsReportedBeforeWhatItsTickPublishes) {
  Engine engine(GetParam());
  Spec spec;
  spec.unhandled = BLAZEN_UNHANDLED_STREAM;
  spec.start([](Ctx& ctx) {
        ctx.emit("Nobody", "1");
        ctx.emit("N");
      })
      .step("next", {"N"}, [](Ctx& ctx) { ctx.stop(); });
  const RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  const std::string text = text_of(take(stream));
  const size_t completed = text.find("step_completed");
  const size_t published = text.find("Nobody=1");
  const size_t started = text.find("\"kind\":\"step_started\",\"step_name\":\"next\"");
  ASSERT_NE(published, std::string::npos) << text;
  EXPECT_LT(completed, published) << text;
  EXPECT_LT(published, started) << text;
}

TEST_P(StreamLifecycle, DurationOfAStepIsThatOfItsBody) {
  FakeClock clock;
  Engine engine(GetParam(), &clock);
  const RunHandle run = create(engine, Spec()
                                           .start([&](Ctx& ctx) {
                                             clock.now_ms += 40;
                                             ctx.emit("N");
                                           })
                                           .step("next", {"N"},
                                                 [&](Ctx& ctx) {
                                                   clock.now_ms += 7;
                                                   return ctx.fail(1, "no");
                                                 })
                                           .build());
  const Stream stream = subscribe_with(run, {.lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  const std::string text = text_of(take(stream));
  EXPECT_NE(text.find("\"attempt\":1,\"duration_ms\":40}"), std::string::npos) << text;
  EXPECT_NE(text.find("\"attempt\":1,\"duration_ms\":7,\"error\""), std::string::npos) << text;
}

TEST_P(StreamLifecycle, NumbersAreTheSameWithAndWithoutAListener) {
  const Spec spec = Spec()
                        .start([](Ctx& ctx) {
                          ctx.publish("P", "1");
                          ctx.publish("P", "2");
                          ctx.emit("N");
                        })
                        .step("next", {"N"}, [](Ctx& ctx) {
                          ctx.publish("P", "3");
                          ctx.stop();
                        });
  std::vector<Item> plain[2];
  for (const bool listens : {false, true}) {
    Engine engine(GetParam());
    const RunHandle run = create(engine, spec.build());
    Stream listener;
    if (listens) listener = subscribe_with(run, {.lifecycle = true});
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    engine.settle(run);
    plain[listens] = take(stream);
    if (listens) EXPECT_GE(take(listener).size(), 11U);
  }
  EXPECT_EQ(plain[0].size(), 4U);
  EXPECT_EQ(plain[0], plain[1]);
}

TEST_P(StreamLifecycle, SnapshotsAreByteIdenticalWithAndWithoutAListener) {
  PendingStep step;
  FakeClock clock;  // a snapshot says how much time the run has had
  Engine engine(GetParam(), &clock);
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  step.publish(1, 2);
  const std::string before = snapshot_bytes(run);
  {
    const Stream listener = subscribe_with(run, {.hold = true, .capacity = 1, .lifecycle = true});
    MUST(blazen_context_progress(step.ctx().raw, BLAZEN_TEXT("half"), 1, 2, e));
    EXPECT_EQ(snapshot_bytes(run), before);
    EXPECT_EQ(take(listener).size(), 1U);
  }
  EXPECT_EQ(snapshot_bytes(run), before);
  step.stop();
  engine.settle(run);
}

TEST_P(StreamLifecycle, FailedStepIsReportedWithItsAttemptAndError) {
  Engine engine(GetParam());
  const RunHandle run =
      create(engine, Spec().start([](Ctx& ctx) { return ctx.fail(7, "disk \"is\" gone"); }).build());
  const Stream stream = subscribe_with(run, {.lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(engine.settle(run), BLAZEN_RUN_FAILED);
  const std::vector<Item> items = take(stream);
  ASSERT_EQ(items.size(), 4U);
  EXPECT_NE(items[2].value.find("\"kind\":\"step_failed\""), std::string::npos) << items[2].value;
  EXPECT_NE(items[2].value.find("\"attempt\":1,\"duration_ms\":"), std::string::npos) << items[2].value;
  EXPECT_NE(items[2].value.find("\"error\":\"disk \\\"is\\\" gone\""), std::string::npos) << items[2].value;
  EXPECT_EQ(items[3].type, BLAZEN_STREAM_END);
}

TEST_P(StreamLifecycle, ListenerThatComesInTheMiddleHearsTheRestWithoutADuration) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  step.publish(1, 1);
  const Stream stream = subscribe_with(run, {.from = 1, .lifecycle = true});
  step.publish(2, 2);
  step.stop();
  engine.settle(run);
  const std::vector<Item> items = take(stream);
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(text_of({items[0], items[1]}), "P=1 P=2");
  EXPECT_EQ(items[2], (Item{2, BLAZEN_LIFECYCLE,
                            "json " + step_line("step_completed", "start", "blazen::StartEvent", 1)}));
}

TEST_P(StreamLifecycle, ProgressIsSeenByListenersOnlyAndChecked) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Ctx ctx = step.ctx();
  MUST(blazen_context_progress(ctx.raw, BLAZEN_TEXT("nobody"), 1, 2, e));
  const Stream plain = subscribe(run);
  const Stream stream = subscribe_with(run, {.types = {BLAZEN_PROGRESS}, .lifecycle = true});
  step.publish(1, 1);
  MUST(blazen_context_progress(ctx.raw, BLAZEN_TEXT("a \"b\""), 1, 3, e));
  MUST(blazen_context_progress(ctx.raw, BLAZEN_TEXT(""), 5, 0, e));
  MUST(blazen_context_progress(ctx.raw, BLAZEN_TEXT("end"), UINT64_MAX, UINT64_MAX, e));
  Error error;
  EXPECT_EQ(blazen_context_progress(ctx.raw, BLAZEN_TEXT("over"), 4, 3, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_TRUE(error.says("current")) << error.message();
  const std::string id = ",\"run_id\":\"" + std::string(blazen_run_id(run, nullptr)) + "\"}";
  EXPECT_EQ(
      lines_of(take(stream)),
      (std::vector<std::string>{
          "1 {\"kind\":\"step\",\"current\":1,\"total\":3,\"percent\":33.33,\"label\":\"a \\\"b\\\"\"" + id,
          "1 {\"kind\":\"step\",\"current\":5,\"label\":\"\"" + id,
          "1 {\"kind\":\"step\",\"current\":18446744073709551615,\"total\":18446744073709551615,\"percent\":"
          "100,\"label\":\"end\"" +
              id}));
  step.stop();
  engine.settle(run);
  EXPECT_EQ(text_of(take(plain)), "P=1 blazen::StreamEnd=null");
}

// What is nearly all is not all: percents are cut, and never rounded up.
TEST_P(StreamLifecycle, OnlyTheEndIsAHundredPercent) {
  Engine engine(GetParam());
  const RunHandle run =
      create(engine, Spec()
                         .start([](Ctx& ctx) {
                           MUST(blazen_context_progress(ctx.raw, "l", 1, 999999, 1000000, e));
                           MUST(blazen_context_progress(ctx.raw, "l", 1, UINT64_MAX - 1, UINT64_MAX, e));
                           MUST(blazen_context_progress(ctx.raw, "l", 1, 2, 3, e));
                           MUST(blazen_context_progress(ctx.raw, "l", 1, 7, 7, e));
                           ctx.stop();
                         })
                         .build());
  const Stream stream = subscribe_with(run, {.types = {BLAZEN_PROGRESS}, .lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.settle(run);
  std::string percents;
  for (const Item& item : take(stream)) {
    const size_t at = item.value.find("\"percent\":");
    if (at == std::string::npos) continue;
    percents += item.value.substr(at + 10, item.value.find(',', at) - at - 10) + " ";
  }
  EXPECT_EQ(percents, "99.99 99.99 66.66 100 ");
}

TEST_P(StreamLifecycle, SlowListenerIsToldHowMuchItMissedOfBothKinds) {
  PendingStep step;
  Engine engine(GetParam());
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Stream slow = subscribe_with(run, {.capacity = 2, .lifecycle = true});
  for (int i = 1; i <= 5; ++i) {
    step.publish(i, i);
    MUST(blazen_context_progress(step.ctx().raw, BLAZEN_TEXT("p"), 0, 0, e));
  }
  const std::vector<Item> items = take(slow);
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(items[0], (Item{3, BLAZEN_STREAM_GAP, "json {\"missed\":3,\"lifecycle_missed\":3}"}));
  EXPECT_EQ(items[1], (Item{4, "P", "json 4"}));
  EXPECT_EQ(items[2].type, BLAZEN_PROGRESS);
  EXPECT_EQ(items[3], (Item{5, "P", "json 5"}));
  EXPECT_EQ(items[4].sequence, 5U);
  step.stop();
  engine.settle(run);
}

}  // namespace
}  // namespace bt
