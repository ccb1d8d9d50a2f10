// Goal: what a body sends or publishes when it is called again, after a failure or a resume, is told from
// what it did before. The same kind, type and target at the same position is the repetition: it has no
// effect, the first one counts, and the stream says send_changed where the payload is another. Another kind,
// type or target counts as well, and the stream says send_diverged. Each dimension is tried by itself.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Repetition : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Repetition, testing::ValuesIn(ways()), way_name);

// One send or publication, in all its dimensions.
struct Act {
  bool publishes = false;
  std::string type = "A";
  blazen_tag tag = BLAZEN_TAG_JSON;
  std::string data = "1";
  std::string codec = "";
  std::string correlation = "";
  int64_t delay_ms = 0;
  std::string target = "";

  Value value() const {
    Value made;
    if (tag == BLAZEN_TAG_JSON) made = json(data);
    if (tag == BLAZEN_TAG_BYTES) made = bytes(data);
    if (tag == BLAZEN_TAG_NATIVE) made = native(data, codec);
    if (tag == BLAZEN_TAG_LIVE) {
      blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
      options.serialize = [](void*, blazen_value** kept, blazen_error** error) {
        return blazen_value_json("1", 1, kept, error);
      };
      static std::atomic<int> objects[64];
      static std::atomic<size_t> last{0};  // each is another object
      MUST(
          blazen_value_live_with(&objects[last++ % 64], codec.data(), codec.size(), &options, made.out(), e));
    }
    return made;
  }
  void perform(Ctx& ctx) const {
    const Event made = event(type, value(), correlation);
    blazen_send_options options = to_step(target);
    options.delay_ms = delay_ms;
    if (publishes) {
      MUST(blazen_context_publish(ctx.raw, made, e));
    } else {
      MUST(blazen_context_send_event(ctx.raw, made, &options, e));
    }
  }
};

enum class Is { the_same, changed, diverged };

struct Pair {
  std::string name;
  Act first;
  Act second;
  Is is;
};

const std::vector<Pair>& pairs() {
  const auto kTagBytes = BLAZEN_TAG_BYTES;
  const auto kTagNative = BLAZEN_TAG_NATIVE;
  const auto kTagLive = BLAZEN_TAG_LIVE;
  static const std::vector<Pair> all = {
      {"the same", {.data = "\"ab\""}, {.data = "\"ab\""}, Is::the_same},
      {"the same publication", {.publishes = true}, {.publishes = true}, Is::the_same},
      {"the same in every dimension",
       {.tag = kTagNative, .data = "x", .codec = "c", .correlation = "k", .delay_ms = 5, .target = "a"},
       {.tag = kTagNative, .data = "x", .codec = "c", .correlation = "k", .delay_ms = 5, .target = "a"},
       Is::the_same},
      {"another LIVE object of one label",
       {.tag = kTagLive, .codec = "db"},
       {.tag = kTagLive, .codec = "db"},
       Is::the_same},
      {"content of equal length", {.data = "\"ab\""}, {.data = "\"ac\""}, Is::changed},
      {"content that goes on", {.data = "1"}, {.data = "1 "}, Is::changed},
      {"bytes of equal length",
       {.tag = kTagBytes, .data = "12345678x"},
       {.tag = kTagBytes, .data = "12345678y"},
       Is::changed},
      {"tag", {.data = "1"}, {.tag = kTagBytes, .data = "1"}, Is::changed},
      {"tag of opaque bytes", {.tag = kTagBytes}, {.tag = kTagNative}, Is::changed},
      {"codec of equal length",
       {.tag = kTagNative, .codec = "ab"},
       {.tag = kTagNative, .codec = "ac"},
       Is::changed},
      {"codec that is a beginning",
       {.tag = kTagNative, .codec = "ab"},
       {.tag = kTagNative, .codec = "a"},
       Is::changed},
      {"border between codec and data",
       {.tag = kTagNative, .data = "b1", .codec = "a"},
       {.tag = kTagNative, .data = "1", .codec = "ab"},
       Is::changed},
      {"label", {.tag = kTagLive, .codec = "db"}, {.tag = kTagLive, .codec = "dc"}, Is::changed},
      {"correlation", {}, {.correlation = "k"}, Is::changed},
      {"correlation of equal length", {.correlation = "k1"}, {.correlation = "k2"}, Is::changed},
      {"border between data and correlation",
       {.tag = kTagBytes, .data = "1k", .correlation = "x"},
       {.tag = kTagBytes, .data = "1", .correlation = "kx"},
       Is::changed},
      {"delay", {}, {.delay_ms = 5}, Is::changed},
      {"delay and none", {.delay_ms = 5}, {}, Is::changed},
      {"another delay", {.delay_ms = 5}, {.delay_ms = 6}, Is::changed},
      {"payload of a publication", {.publishes = true}, {.publishes = true, .data = "2"}, Is::changed},
      {"correlation of a publication",
       {.publishes = true},
       {.publishes = true, .correlation = "k"},
       Is::changed},
      {"type of equal length", {.type = "A"}, {.type = "B"}, Is::diverged},
      {"type that goes on", {.type = "A"}, {.type = "AB"}, Is::diverged},
      {"type of a publication", {.publishes = true}, {.publishes = true, .type = "B"}, Is::diverged},
      {"target", {.target = "a"}, {.target = "b"}, Is::diverged},
      {"target and everybody", {.target = "a"}, {}, Is::diverged},
      {"everybody and target", {}, {.target = "a"}, Is::diverged},
      {"border between type and target", {.type = "AB", .target = "b"}, {.target = "b"}, Is::diverged},
      {"kind", {}, {.publishes = true}, Is::diverged},
      {"kind, the other way", {.publishes = true}, {}, Is::diverged},
  };
  return all;
}

// What an Act that counts leaves behind: a delivery, or an item. As the receivers note it: not in an order.
void add_receivers(Spec& spec, std::atomic<int>& deliveries, std::mutex& lock, std::string& got) {
  const auto take = [&](Ctx& ctx) {
    std::lock_guard guard(lock);
    got += ctx.step() + ":" + describe(blazen_event_value(ctx.trigger())) + "/" +
           correlation_of(ctx.trigger()) + " ";
    ++deliveries;
  };
  spec.step("a", {"A", "B", "AB"}, take).step("b", {"A", "B", "AB"}, take);
}

size_t count_of(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The lifecycle items of a stream, without their type, and how many others there are.
struct Reports {
  std::string text;
  size_t others = 0;
  explicit Reports(blazen_stream* stream) {
    for (const Item& item : take(stream)) {
      if (item.type == BLAZEN_LIFECYCLE) {
        text += item.value.substr(item.value.find('{')) + " ";
      } else if (item.type != BLAZEN_STREAM_END) {
        ++others;
      }
    }
  }
};

void expect_reports(const Reports& reports, Is is, const std::string& what) {
  EXPECT_EQ(count_of(reports.text, "send_changed"), is == Is::changed ? 1U : 0U) << what << reports.text;
  EXPECT_EQ(count_of(reports.text, "send_diverged"), is == Is::diverged ? 1U : 0U) << what << reports.text;
}

size_t deliveries_of(const Act& act) { return act.publishes ? 0 : act.target.empty() ? 2 : 1; }

// -------------------------------------------------------------------------------------------- each dimension

TEST_P(Repetition, OfARetryIsToldFromTheFirstInEachDimension) {
  for (const Pair& pair : pairs()) {
    SCOPED_TRACE(pair.name);
    Engine engine(GetParam(), &clock_);
    std::mutex lock;
    std::string got;
    std::atomic<int> deliveries{0};
    Spec spec;
    spec.start([&](Ctx& ctx) -> blazen_status {
          (ctx.attempt() == 1 ? pair.first : pair.second).perform(ctx);
          return ctx.attempt() == 1 ? ctx.fail(1, "no") : BLAZEN_OK;
        })
        .retry(retries(2));
    add_receivers(spec, deliveries, lock, got);
    spec.idle = BLAZEN_IDLE_WAIT;
    RunHandle run = create(engine, spec.build());
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    ASSERT_TRUE(engine.until(run, [&] {
      engine.pass(1);
      return blazen_run_state_now(run) == BLAZEN_RUN_WAITING;  // nothing more can come
    }));
    const Reports reports(stream);
    expect_reports(reports, pair.is, "");
    const bool counts = pair.is == Is::diverged;
    EXPECT_EQ(static_cast<size_t>(deliveries),
              deliveries_of(pair.first) + (counts ? deliveries_of(pair.second) : 0));
    EXPECT_EQ(reports.others, (pair.first.publishes ? 1U : 0U) + (counts && pair.second.publishes ? 1U : 0U));
    if (pair.is != Is::changed || pair.first.publishes) continue;
    const std::string first = describe(pair.first.value()) + "/" +
                              (pair.first.correlation.empty() ? "<none>" : pair.first.correlation);
    EXPECT_NE(got.find("a:" + first), std::string::npos) << "the first one counts: " << got;
  }
}

TEST(RepetitionResumed, IsToldFromTheFirstInEachDimension) {
  for (const Pair& pair : pairs()) {
    SCOPED_TRACE(pair.name);
    bool again = false;
    std::string bytes;
    std::mutex lock;
    std::string got;
    std::atomic<int> deliveries{0};
    const auto spec = [&] {
      Spec made;
      made.session = BLAZEN_SESSION_PICKLE_OR_SERIALIZE;
      made.start([&](Ctx& ctx) {
        (again ? pair.second : pair.first).perform(ctx);
        if (!again) bytes = snapshot_bytes(ctx.run());
      });
      add_receivers(made, deliveries, lock, got);
      made.idle = BLAZEN_IDLE_WAIT;
      return made;
    };
    FakeClock clock;
    {
      Engine first(Way::pump, &clock);
      RunHandle run = start(first, spec().build());
      MUST(blazen_runtime_poll(first.runtime(), 1, nullptr, e));
      MUST(blazen_run_close(run, e));
    }
    again = true;
    Engine second(Way::pump, &clock);
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.unknown_label = BLAZEN_UNKNOWN_LABEL_SKIP;
    RunHandle run;
    MUST(blazen_run_resume(second.runtime(), spec().build(), parse(bytes), &options, run.out(), e));
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    ASSERT_TRUE(second.until(run, [&] {
      second.pass(1);
      return blazen_run_state_now(run) == BLAZEN_RUN_WAITING;  // nothing more can come
    }));
    const Reports reports(stream);
    expect_reports(reports, pair.is, "");
    EXPECT_EQ(static_cast<size_t>(deliveries),
              deliveries_of(pair.first) + (pair.is == Is::diverged ? deliveries_of(pair.second) : 0));
  }
}

// ------------------------------------------------------------------------------------------- many executions

// What each attempt sends, and what became of it.
struct Attempts {
  std::string got;      // by the receiver, in its order
  std::string reports;  // on the stream
};
using Sends = std::vector<std::pair<std::string, std::string>>;  // type and JSON

Attempts run_attempts(const std::vector<Sends>& attempts, bool atomic = false) {
  Engine engine;
  Attempts all;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        for (const auto& [type, text] : attempts[ctx.attempt() - 1]) ctx.send(type, text);
        return ctx.attempt() < attempts.size() ? ctx.fail(1, "no") : ctx.emit("End");
      })
      .retry(retries(static_cast<uint32_t>(attempts.size())));
  if (atomic) spec.atomic();
  spec.step("all", {"A", "B", "C"}, [&](Ctx& ctx) { all.got += ctx.type() + ctx.input() + " "; });
  spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  all.reports = Reports(stream).text;
  return all;
}

std::string report(std::string_view kind, int position) {
  return "{\"kind\":\"" + std::string(kind) +
         "\",\"invocation_id\":1,\"position\":" + std::to_string(position) + "} ";
}

// Each attempt is compared with the first, whatever those between have said.
TEST(RepetitionOfAttempts, TheFirstPayloadStaysTheOneThatCounts) {
  const Attempts all = run_attempts({{{"A", "1"}}, {{"A", "2"}}, {{"A", "1"}}, {{"A", "2"}}});
  EXPECT_EQ(all.got, "A1 ");
  EXPECT_EQ(all.reports, report("send_changed", 0) + report("send_changed", 0));
}

// An attempt that is called again says it once: after an answer, or a resume, it does the same as before.
TEST(RepetitionOfAttempts, AnAttemptThatSaysTheSameAgainIsReportedOnce) {
  Engine engine;
  std::string bytes;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        ctx.publish("P", std::to_string(ctx.attempt()));
        if (ctx.attempt() == 1) return ctx.fail(1, "no");
        if (bytes.empty()) bytes = snapshot_bytes(ctx.run());
        return ctx.ask("?").empty() ? BLAZEN_PENDING : ctx.stop();
      })
      .retry(retries(2));
  const Workflow workflow = spec.build();
  const auto end_of = [&](const RunHandle& run) {
    const Stream stream = subscribe(run);
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_TRUE(engine.reach(run, BLAZEN_RUN_ASKING));
    EXPECT_EQ(respond(run, "i1.1"), BLAZEN_OK);
    EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
    return Reports(stream).text;
  };
  EXPECT_EQ(end_of(create(engine, workflow)), report("send_changed", 0));
  EXPECT_EQ(end_of(resume(engine, workflow, bytes)), "") << "it was said before the snapshot";
}

// What has diverged has counted: from then on it is what others are compared with.
TEST(RepetitionOfAttempts, WhatHasDivergedIsRepeatedInItsTurn) {
  const Attempts all = run_attempts({{{"A", "1"}}, {{"B", "2"}}, {{"B", "2"}}, {{"B", "3"}}, {{"A", "1"}}});
  EXPECT_EQ(all.got, "A1 B2 A1 ");
  EXPECT_EQ(all.reports, report("send_diverged", 0) + report("send_changed", 0) + report("send_diverged", 0));
}

// Each position is compared by itself: behind an effect that was not there before, all are one further on.
TEST(RepetitionOfAttempts, PositionsAfterADivergenceAreComparedAsTheyStand) {
  const Attempts all =
      run_attempts({{{"A", "1"}, {"B", "2"}, {"B", "3"}}, {{"C", "0"}, {"A", "1"}, {"B", "2"}, {"B", "3"}}});
  EXPECT_EQ(all.got, "A1 B2 B3 C0 A1 B3 ");
  EXPECT_EQ(all.reports, report("send_diverged", 0) + report("send_diverged", 1) + report("send_changed", 2));
}

// One that sends less and then more again repeats what it had sent.
TEST(RepetitionOfAttempts, WhatAShorterAttemptHasNotComeToIsStillRepeated) {
  const Attempts all =
      run_attempts({{{"A", "1"}, {"A", "2"}}, {{"A", "1"}}, {{"A", "1"}, {"A", "2"}, {"A", "3"}}});
  EXPECT_EQ(all.got, "A1 A2 A3 ");
  EXPECT_EQ(all.reports, "");
}

// What an atomic step sends is held back, and goes with its failure: there is nothing to repeat.
TEST(RepetitionOfAttempts, OfAnAtomicStepTheLastAttemptAloneCounts) {
  const Attempts all = run_attempts({{{"A", "1"}}, {{"B", "2"}}, {{"A", "3"}}}, true);
  EXPECT_EQ(all.got, "A3 ");
  EXPECT_EQ(all.reports, "");
}

// A report is an item like those that a step publishes: numbered, for every subscriber, and kept.
TEST(RepetitionOfAttempts, TheReportIsANumberedItem) {
  Engine engine;
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
        ctx.publish("P", "1");
        ctx.publish("P", ctx.attempt() == 1 ? "2" : "3");
        ctx.publish("P", "4");
        return ctx.attempt() == 1 ? ctx.fail(1, "no") : ctx.stop();
      })
      .retry(retries(2));
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe(run);
  MUST(blazen_run_start(run, nullptr, e));
  finish(engine, run);
  const std::vector<Item> items = take(stream);
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(items[3].type, BLAZEN_LIFECYCLE);
  EXPECT_EQ(items[3].sequence, 4U);
  EXPECT_EQ(items[3].value, "json {\"kind\":\"send_changed\",\"invocation_id\":1,\"position\":1}");
}

// The first one counts, and so does its moment.
TEST(RepetitionOfAttempts, ADelayedSendComesWhenTheFirstOneSaid) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  int64_t came_ms = -1;
  int64_t begun_ms = 0;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
        blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
        options.delay_ms = ctx.attempt() == 1 ? 30 : 10;
        if (ctx.attempt() == 1) begun_ms = clock.now_ms;
        MUST(blazen_context_send_event(ctx.raw, event("A"), &options, e));
        return ctx.attempt() == 1 ? ctx.fail(1, "no") : BLAZEN_OK;
      })
      .retry(retries(2, 5));
  spec.step("a", {"A"}, [&](Ctx& ctx) {
    came_ms = clock.now_ms - begun_ms;
    ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] {
    engine.pass(1);
    return is_ended(blazen_run_state_now(run));
  }));
  EXPECT_EQ(came_ms, 30);
}

// A repetition is none of the bounds' business.
TEST(RepetitionOfAttempts, ABoundThatIsReachedDoesNotRefuseARepetition) {
  Engine engine;
  Spec spec;
  spec.limit(BLAZEN_LIMIT_STEP_SENDS, 2);
  spec.start([](Ctx& ctx) -> blazen_status {
        for (int i = 0; i < 2; ++i) ctx.publish("P", std::to_string(ctx.attempt()));
        EXPECT_EQ(ctx.failed, BLAZEN_OK);
        return ctx.attempt() == 1 ? ctx.fail(1, "no") : ctx.stop();
      })
      .retry(retries(2));
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
}

}  // namespace
