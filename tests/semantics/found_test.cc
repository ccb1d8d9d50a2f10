// What the simulator has found (tests/simulation), each as the smallest case that shows it.
#include "support/blazen_test.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Which invocation comes by a permit first is no part of a snapshot: of those that have not started, the
// lowest ids hold the permits, with a snapshot and without one.
TEST(Found, TheOrderOfPermitsIsTheSameAfterAResume) {
  std::string order;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Job", "\"first\"");
    ctx.emit("Gate");
  });
  spec.step(
      "job", {"Job"},
      [&](Ctx& ctx) -> blazen_status {
        if (ctx.input() == "\"first\"" && ctx.ask("Well?", "q").empty()) return BLAZEN_PENDING;
        order += ctx.input();
        return ctx.input() == "\"second\"" ? ctx.emit_in(10, BLAZEN_STOP_EVENT) : BLAZEN_OK;
      },
      1);
  spec.step("gate", {"Gate"}, [](Ctx& ctx) { ctx.emit("Job", "\"second\""); });
  const Workflow workflow = spec.build();
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  RunHandle run = start(engine, workflow);
  for (int i = 0; i < 3; ++i) MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  MUST(blazen_run_respond(run, BLAZEN_TEXT("q"), json("1"), e));
  const std::string bytes = snapshot_bytes(run);
  engine.pass(0);
  EXPECT_EQ(order, "\"first\"\"second\"");
  order.clear();
  Engine other(Way::pump, &clock);
  RunHandle resumed = resume(other, workflow, bytes);
  MUST(blazen_run_start(resumed, nullptr, e));
  other.pass(0);
  EXPECT_EQ(order, "\"first\"\"second\"");
}

}  // namespace
