// Proves that a snapshot whose counters, clock or moments leave no room is refused, and that a run resumed
// from the highest ones that are accepted goes on, its own snapshots sound, its stream heard.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kCounterMax = uint64_t{1} << 63;
constexpr uint64_t kResumedMax = kCounterMax / 2;
constexpr int64_t kMillisecondsMax = INT64_MAX / 2;
constexpr int64_t kElapsedMax = INT64_MAX / 8;
constexpr int64_t kDueMin = INT64_MIN / 2;

// ---- bytes by hand ----

std::string head(unsigned major, uint64_t number) {
  const auto first = [&](unsigned low) { return std::string(1, static_cast<char>(major << 5 | low)); };
  const auto big_endian = [&](int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(number >> (8 * i));
    return text;
  };
  if (number < 24) return first(static_cast<unsigned>(number));
  if (number <= UINT8_MAX) return first(24) + big_endian(1);
  if (number <= UINT16_MAX) return first(25) + big_endian(2);
  if (number <= UINT32_MAX) return first(26) + big_endian(4);
  return first(27) + big_endian(8);
}
std::string u(uint64_t number) { return head(0, number); }
std::string i(int64_t number) {
  return number >= 0 ? u(static_cast<uint64_t>(number)) : head(1, static_cast<uint64_t>(-(number + 1)));
}
std::string t(std::string_view text) { return head(3, text.size()) + std::string(text); }
std::string a(const std::vector<std::string>& items) {
  std::string array = head(4, items.size());
  for (const std::string& item : items) array += item;
  return array;
}
const std::string kNull = "\xf6";

// A running run: `go` has one event, and so has a timer.
struct Numbers {
  uint64_t event_id = kResumedMax;
  uint64_t invocation_id = kResumedMax;
  uint64_t version = kResumedMax;
  uint64_t sequence = kResumedMax;
  uint32_t attempt = 1;
  int64_t elapsed_ms = 0;
  int64_t taken_ms = 0;
  int64_t due_ms = kMillisecondsMax;
};

std::string bytes_with(const Numbers& numbers, const Workflow& workflow, std::vector<std::string> steps) {
  Engine engine;
  RunHandle created = create(engine, workflow);
  const Json info = Json::parse(info_of(snapshot(created)));
  for (std::string& name : steps) name = t(name);
  const std::string event = a({u(numbers.event_id), t("Go"), t("1"), kNull, kNull});
  const std::string fields[] = {
      t("blazen/run"),
      u(1),
      t("0.2.0"),
      t("test"),
      t(info.at("fingerprint").get<std::string>()),
      head(2, 16) + std::string(16, 'i'),
      u(2),
      a({u(numbers.event_id), u(numbers.invocation_id), u(numbers.version), u(numbers.sequence)}),
      kNull,
      kNull,
      a({a({t("key"), u(numbers.version), t("1")})}),
      a({}),
      a(steps),
      a({event}),
      a({}),
      a({a({u(numbers.invocation_id), u(1), u(0), u(numbers.attempt), head(2, 0)})}),
      kNull,
      a({}),
      a({i(numbers.elapsed_ms), i(numbers.taken_ms)}),
      a({a({i(numbers.due_ms), u(0), kNull})}),
      a({}),
      a({}),
      a({}),
      a({}),
      u(0),
      a({})};
  std::string bytes = "\xd9\xd9\xf7" + head(5, std::size(fields));
  for (size_t key = 0; key < std::size(fields); ++key) bytes += u(key) + fields[key];
  return bytes;
}

Spec with_go(Body body) {
  Spec spec;
  spec.timeout_ms = 0;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([](Ctx&) {});
  spec.step("go", {"Go"}, std::move(body));
  return spec;
}
const std::vector<std::string> kSteps = {"start", "go"};

blazen_status parsed(std::string_view bytes, Error& error) {
  Snapshot snapshot;
  return blazen_snapshot_parse(bytes.data(), bytes.size(), snapshot.out(), error.out());
}

// ---- the tests ----

TEST(Counters, BeyondTheirBoundAreRefusedByName) {
  const Workflow workflow = with_go([](Ctx&) {}).build();
  const struct {
    const char* name;
    uint64_t Numbers::* counter;
  } kAll[] = {{"counters.event_id_last", &Numbers::event_id},
              {"counters.invocation_id_last", &Numbers::invocation_id},
              {"counters.write_last", &Numbers::version},
              {"counters.stream_last", &Numbers::sequence}};
  for (const auto& each : kAll) {
    for (const uint64_t number : {kCounterMax + 1, UINT64_MAX - 1, UINT64_MAX}) {
      Numbers numbers;
      numbers.*each.counter = number;
      Error error;
      EXPECT_EQ(parsed(bytes_with(numbers, workflow, kSteps), error), BLAZEN_ERROR_SNAPSHOT_INVALID);
      EXPECT_TRUE(error.says(each.name)) << error.message();
    }
    // A run may have come to it; but none can go on from there.
    for (const uint64_t number : {kResumedMax + 1, kCounterMax}) {
      Numbers numbers;
      numbers.*each.counter = number;
      const std::string bytes = bytes_with(numbers, workflow, kSteps);
      Error error;
      ASSERT_EQ(parsed(bytes, error), BLAZEN_OK) << error.message();
      Engine engine;
      RunHandle run;
      EXPECT_EQ(blazen_run_resume(engine.runtime(), workflow, parse(bytes), nullptr, run.out(), error.out()),
                BLAZEN_ERROR_SNAPSHOT_INVALID);
      EXPECT_TRUE(error.says(each.name) && error.says("no room")) << error.message();
    }
  }
}

TEST(Counters, FromTheHighestThatAreAcceptedARunGoesOn) {
  std::vector<std::string> taken;
  const Workflow workflow = with_go([&](Ctx& ctx) -> blazen_status {
                              if (ctx.input() == "2") return ctx.stop("\"ended\"");
                              EXPECT_EQ(ctx.id(), kResumedMax);
                              ctx.set("key", "2");
                              ctx.set("other", "3");
                              EXPECT_EQ(ctx.version("other"), kResumedMax + 2);
                              ctx.publish("Seen");
                              ctx.send("Go", "2");
                              ctx.emit_in(BLAZEN_TIME_MS_MAX, "Go", "3");
                              ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
                              taken.push_back(snapshot_bytes(ctx.run()));
                              return ctx.failed;
                            }).build();
  Engine engine;
  RunHandle run = resume(engine, workflow, bytes_with({}, workflow, kSteps));
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  taken.push_back(snapshot_bytes(run));
  const std::vector<Item> items = take(stream);
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0].sequence, kResumedMax + 1);
  EXPECT_EQ(items[0].type, "Seen");
  EXPECT_EQ(finish(engine, run).text(), "5 json \"ended\"");
  taken.push_back(snapshot_bytes(run));
  for (const std::string& bytes : taken) EXPECT_EQ(bytes_of(parse(bytes)), bytes);
}

// More than a policy may allow: it is the last one.
TEST(Counters, TheHighestAttemptIsNotFollowedByTheLowest) {
  std::vector<uint32_t> attempts;
  const auto body = [&](Ctx& ctx) {
    attempts.push_back(ctx.attempt());
    return ctx.fail(1, "no");
  };
  FakeClock clock;
  const Workflow workflow = with_go(body).retry(retries(BLAZEN_ATTEMPTS_MAX, 1, 1)).build();
  const std::vector<std::pair<uint32_t, std::vector<uint32_t>>> kAll = {
      {UINT32_MAX, {UINT32_MAX}},
      {BLAZEN_ATTEMPTS_MAX - 1, {BLAZEN_ATTEMPTS_MAX - 1, BLAZEN_ATTEMPTS_MAX}},
  };
  for (const auto& [first, all] : kAll) {
    attempts.clear();
    Engine engine(Way::pump, &clock);
    Numbers numbers;
    numbers.attempt = first;
    RunHandle run = resume(engine, workflow, bytes_with(numbers, workflow, kSteps));
    MUST(blazen_run_start(run, nullptr, e));
    engine.pass(0);
    const std::string taken = snapshot_bytes(run);
    EXPECT_EQ(bytes_of(parse(taken)), taken);
    engine.pass(1000);
    EXPECT_EQ(attempts, all);
    EXPECT_EQ(outcome(run).status, BLAZEN_ERROR_STEP_FAILED);
  }
}

// At the ends of time, and with all that a clock and a delay may add.
TEST(Moments, AtTheirBoundsARunGoesOn) {
  const Workflow workflow = with_go([&](Ctx& ctx) {
                              ctx.emit_in(BLAZEN_TIME_MS_MAX, "Go", "2");
                              ctx.emit_in(1, BLAZEN_INPUT_REQUEST_EVENT, "{}");
                            }).build();
  for (const bool has_passed : {false, true}) {
    for (const int64_t due_ms : {kDueMin, kDueMin + 1, int64_t{0}, kMillisecondsMax}) {
      for (const int64_t taken_ms : {int64_t{0}, kMillisecondsMax}) {
        FakeClock clock;
        Numbers numbers;
        numbers.elapsed_ms = kElapsedMax;
        numbers.taken_ms = taken_ms;
        numbers.due_ms = due_ms;
        const std::string bytes = bytes_with(numbers, workflow, kSteps);
        Engine engine(Way::pump, &clock);
        blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
        options.time_has_passed = has_passed ? 1 : 0;
        RunHandle run;
        MUST(blazen_run_resume(engine.runtime(), workflow, parse(bytes), &options, run.out(), e));
        clock.now_ms = 1;
        MUST(blazen_run_start(run, nullptr, e));
        for (const int64_t now_ms : {int64_t{2}, INT64_MAX / 8, INT64_MAX}) {
          clock.now_ms = now_ms;
          for (int round = 0; round < 3; ++round) {
            MUST(blazen_runtime_poll(engine.runtime(), 3, nullptr, e));
            engine.next_timer();
            describe_run(run);
            questions_text(run);
            const std::string taken = snapshot_bytes(run);
            ASSERT_EQ(bytes_of(parse(taken)), taken);
          }
        }
        MUST(blazen_run_abort(run, e));
      }
    }
  }
}

TEST(Moments, TimePassesAgainAndAgainBetweenProcesses) {
  const Workflow workflow = with_go([](Ctx& ctx) { ctx.emit_in(BLAZEN_TIME_MS_MAX, "Go", "2"); }).build();
  Numbers numbers;
  numbers.due_ms = kDueMin + 5;
  std::string bytes = bytes_with(numbers, workflow, kSteps);
  for (int round = 0; round < 4; ++round) {
    FakeClock clock;
    clock.now_ms = INT64_MAX / 4;
    Engine engine(Way::pump, &clock);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = 1;
    options.keep_paused = 1;
    RunHandle run;
    MUST(blazen_run_resume(engine.runtime(), workflow, parse(bytes), &options, run.out(), e));
    MUST(blazen_run_pause(run, BLAZEN_PAUSE_NOW, e));
    MUST(blazen_run_start(run, nullptr, e));
    const std::string taken = snapshot_bytes(run);
    ASSERT_EQ(bytes_of(parse(taken)), taken);
  }
}

TEST(Moments, BeyondTheirBoundsAreRefused) {
  const Workflow workflow = with_go([](Ctx&) {}).build();
  for (const int64_t wrong : {kMillisecondsMax + 1, INT64_MAX, int64_t{-1}, INT64_MIN}) {
    for (const auto field : {&Numbers::elapsed_ms, &Numbers::taken_ms, &Numbers::due_ms}) {
      if (field == &Numbers::due_ms && wrong == -1) continue;
      Numbers numbers;
      numbers.*field = wrong;
      Error error;
      EXPECT_EQ(parsed(bytes_with(numbers, workflow, kSteps), error), BLAZEN_ERROR_SNAPSHOT_INVALID);
    }
  }
  Numbers numbers;
  numbers.elapsed_ms = kElapsedMax + 1;
  const std::string bytes = bytes_with(numbers, workflow, kSteps);
  Engine engine;
  RunHandle run;
  Error error;
  EXPECT_EQ(blazen_run_resume(engine.runtime(), workflow, parse(bytes), nullptr, run.out(), error.out()),
            BLAZEN_ERROR_SNAPSHOT_INVALID);
  EXPECT_TRUE(error.says("clock.elapsed")) << error.message();
}

}  // namespace
