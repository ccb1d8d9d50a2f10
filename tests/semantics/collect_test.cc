// Collecting events in a body: all or nothing, by key, at most once for each group.
#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class Collecting : public EveryWay {};
INSTANTIATE_TEST_SUITE_P(Ways, Collecting, testing::ValuesIn(ways()), way_name);

using Wanted = std::vector<std::pair<std::string, uint32_t>>;

TEST_P(Collecting, AWholeGroupComesInTheDeclaredOrder) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("B", "1");
    ctx.emit("C", "2");  // of no group
    ctx.emit("A", "3");
    ctx.emit("B", "4");
  });
  spec.step(
      "take", {"A", "B", "C"},
      [](Ctx& ctx) -> blazen_status {
        if (ctx.collect("", {{"A", 1}, {"B", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
        return ctx.stop("[" + ctx.events() + "]");
      },
      1);
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json [3,1,4]");
}

TEST_P(Collecting, EachGroupIsGivenOnceHoweverTheyArrive) {
  Engine engine(GetParam());
  std::atomic<int> groups{0};
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 300; ++i) ctx.emit("A", std::to_string(i));
  });
  spec.step("take", {"A"}, [&](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"A", 3}}) != BLAZEN_OK) return BLAZEN_OK;
    ++groups;
    return ctx.emit("Group", "[" + ctx.events() + "]");
  });
  spec.step("all", {"Group"}, [](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"Group", 100}}) != BLAZEN_OK) return BLAZEN_PENDING;
    std::vector<bool> seen(300);
    const blazen_event* const* all = nullptr;
    size_t count = 0;
    MUST(blazen_context_events(ctx.raw, &all, &count, e));
    for (size_t i = 0; i < count; ++i) {
      for (const Json& part : Json::parse(input_of(all[i]))) {
        EXPECT_FALSE(seen[part.get<size_t>()]);
        seen[part.get<size_t>()] = true;
      }
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 300);
    return ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json null");
  EXPECT_EQ(groups, 100);
}

TEST_P(Collecting, ByKeyAndByStep) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 6; ++i) ctx.emit("A", std::to_string(i));
  });
  const auto take = [](Ctx& ctx) -> blazen_status {
    const std::string key = std::to_string(std::stoi(ctx.input()) % 2);
    if (ctx.collect(key, {{"A", 3}}) != BLAZEN_OK) return BLAZEN_PENDING;
    return ctx.emit("Group", "\"" + ctx.step() + key + "\"");
  };
  spec.step("x", {"A"}, take, 1).step("y", {"A"}, take, 1);
  spec.step("end", {"Group"}, [](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"Group", 4}}) != BLAZEN_OK) return BLAZEN_PENDING;
    return ctx.stop("[" + ctx.events() + "]");
  });
  const Outcome end = run_to_end(engine, spec);
  for (const char* group : {"x0", "x1", "y0", "y1"})
    EXPECT_NE(end.text().find(group), std::string::npos) << end.text();
}

// Whoever waits for what never comes is named, and so is what came.
TEST_P(Collecting, ARunThatStallsSaysWhatItHasCollected) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (const char* text : {"1", "2"}) ctx.emit("A", text);
  });
  spec.step("take", {"A", "B"}, [](Ctx& ctx) -> blazen_status {
    return ctx.collect("k", {{"A", 3}, {"B", 1}}) == BLAZEN_OK ? ctx.stop() : BLAZEN_PENDING;
  });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STALLED);
  EXPECT_TRUE(end.error.says(
      "collected, and not whole: 'A' 2 of 3 by 'take' under 'k', 'B' 0 of 1 by 'take' under 'k'"))
      << end.error.message();
  EXPECT_EQ(Json::parse(data_of(end.error.detail())).at("collects"),
            Json::parse(R"([{"step":"take","key":"k","event_type":"A","count":2,"wanted":3},)"
                        R"({"step":"take","key":"k","event_type":"B","count":0,"wanted":1}])"));
}

TEST_P(Collecting, AnEmptyListIsWholeAtOnce) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    EXPECT_EQ(ctx.collect("k", {}), BLAZEN_OK);
    EXPECT_EQ(ctx.events(), "");
    EXPECT_EQ(ctx.collect("k", {{"Other", 0}}), BLAZEN_OK);
    EXPECT_EQ(ctx.collect("k", {{BLAZEN_START_EVENT, 1}}), BLAZEN_OK);
    EXPECT_EQ(ctx.events(), "7");
    EXPECT_EQ(ctx.joined().reason, BLAZEN_JOIN_REASON_NONE);  // it is no join, whatever it collects
    return ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec, "7").text(), "5 json null");
}

TEST_P(Collecting, WhoeverMadeItWholeKeepsItThroughItsRetries) {
  Engine engine(GetParam());
  std::atomic<int> attempts{0};
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 4; ++i) ctx.emit("A", std::to_string(i));
  });
  spec.step(
          "take", {"A"},
          [&](Ctx& ctx) -> blazen_status {
            const blazen_status status = ctx.collect("", {{"A", 2}});
            if (ctx.attempt() == 1) return ctx.fail(1, "after it");  // who was told to wait fails too
            if (status != BLAZEN_OK) return BLAZEN_PENDING;
            ++attempts;
            return ctx.emit("Group", "[" + ctx.events() + "]");
          },
          1)
      .retry(retries(2));
  spec.step(
      "end", {"Group"},
      [](Ctx& ctx) -> blazen_status {
        if (ctx.collect("", {{"Group", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
        return ctx.stop("[" + ctx.events() + "]");
      },
      1);  // one after the other, so that they collect in the order of their groups
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json [[0,1],[2,3]]");
  EXPECT_EQ(attempts, 2);
}

TEST_P(Collecting, EachScopeCollectsByItself) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 2; ++i) ctx.emit("Open", std::to_string(i));
  });
  spec.step("open", {"Open"}, [](Ctx& ctx) {
    for (int i = 0; i < 3; ++i) ctx.emit("A", std::to_string(10 * (std::stoi(ctx.input()) + 1) + i));
  });
  spec.step("take", {"A"}, [](Ctx& ctx) -> blazen_status {
    if (ctx.collect("", {{"A", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
    const blazen_event* const* all = nullptr;
    size_t count = 0;
    MUST(blazen_context_events(ctx.raw, &all, &count, e));
    EXPECT_EQ(input_of(all[0])[0], input_of(all[1])[0]);
    return ctx.emit("Pair", input_of(all[0]).substr(0, 1));
  });
  // The third of each is left: the scope closes all the same.
  spec.step("join", {"Pair"}, [](Ctx& ctx) { ctx.emit("Joined", ctx.events()); }).joins({"open"});
  spec.step("end", {"Joined"}, [](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); }).joins({"start"});
  RunHandle run = create(engine, spec.build());
  const Stream stream = subscribe_with(run, {.types = {BLAZEN_LIFECYCLE}, .lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  const Outcome end = finish(engine, run);
  EXPECT_TRUE(end.text() == "5 json [1,2]" || end.text() == "5 json [2,1]") << end.text();
  int late = 0;
  for (const Item& item : take(stream))
    late += item.value.find(R"("kind":"late")") != std::string::npos ? 1 : 0;
  EXPECT_EQ(late, 2);
}

TEST(CollectInput, WhatIsBadIsNamed) {
  Engine engine;
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    const char* const types[] = {"A", "A"};
    const size_t lengths[] = {1, 1};
    const uint32_t counts[] = {1, 1};
    const auto refused = [&](blazen_status status, const Error& error, blazen_status wanted,
                             const char* words) {
      EXPECT_EQ(status, wanted);
      EXPECT_TRUE(error.says(words)) << error.message();
    };
    Error error;
    refused(blazen_context_collect(ctx.raw, "", 0, types, lengths, counts, 2, error.out()), error,
            BLAZEN_ERROR_INVALID_ARGUMENT, "twice");
    refused(blazen_context_collect(ctx.raw, "", 0, nullptr, lengths, counts, 1, error.out()), error,
            BLAZEN_ERROR_INVALID_ARGUMENT, "types");
    refused(blazen_context_collect(ctx.raw, "", 0, types, nullptr, counts, 1, error.out()), error,
            BLAZEN_ERROR_INVALID_ARGUMENT, "type_lengths");
    refused(blazen_context_collect(ctx.raw, "", 0, types, lengths, nullptr, 1, error.out()), error,
            BLAZEN_ERROR_INVALID_ARGUMENT, "counts");
    refused(blazen_context_collect(ctx.raw, "", 0, types, lengths, counts, 5000, error.out()), error,
            BLAZEN_ERROR_LIMIT, "BLAZEN_ACCEPTS_MAX");
    return ctx.emit("Atomic");
  });
  spec.step("atomic", {"Atomic"},
            [](Ctx& ctx) -> blazen_status {
              Error error;
              EXPECT_EQ(blazen_context_collect(ctx.raw, "", 0, nullptr, nullptr, nullptr, 0, error.out()),
                        BLAZEN_ERROR_WRONG_PLACE);
              return ctx.stop();
            })
      .atomic();
  EXPECT_EQ(run_to_end(engine, spec).text(), "5 json null");
}

TEST(CollectInput, KeptEventsCountAsQueued) {
  Engine engine;
  Spec spec;
  spec.limit(BLAZEN_LIMIT_QUEUED_EVENTS, 3);
  spec.start([](Ctx& ctx) { ctx.emit("A", "0"); });
  spec.step("take", {"A"}, [](Ctx& ctx) -> blazen_status {
    const blazen_status status = ctx.collect("", {{"A", 9}});
    if (status != BLAZEN_PENDING) return status;
    return ctx.emit("A", "1");
  });
  const Outcome end = run_to_end(engine, spec);
  EXPECT_EQ(end.status, BLAZEN_ERROR_STEP_FAILED) << end.text();
  EXPECT_TRUE(end.error.says("BLAZEN_LIMIT_QUEUED_EVENTS")) << end.text();
}

}  // namespace
