// What a workflow says of itself: its description, and its drawings.
#include <cstdio>
#include <random>
#include <set>

#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

std::string description_text(const Workflow& workflow) {
  Value description;
  MUST(blazen_workflow_describe(workflow, description.out(), e));
  EXPECT_EQ(blazen_value_tag(description), BLAZEN_TAG_JSON);
  return data_of(description);
}
Json described(const Workflow& workflow) { return Json::parse(description_text(workflow)); }
Json described(const Spec& spec) { return described(spec.build()); }

std::string drawn(const Workflow& workflow, blazen_draw format) {
  Value drawing;
  MUST(blazen_workflow_draw(workflow, format, drawing.out(), e));
  EXPECT_EQ(blazen_value_tag(drawing), BLAZEN_TAG_BYTES);
  return data_of(drawing);
}
std::string mermaid(const Spec& spec) { return drawn(spec.build(), BLAZEN_DRAW_MERMAID); }
std::string dot(const Spec& spec) { return drawn(spec.build(), BLAZEN_DRAW_DOT); }

const Body kNothing([](Ctx&) {});

// The names of the steps that no run comes to.
std::string unreachable(const Spec& spec) {
  std::string names;
  const Json all = described(spec);
  for (const Json& step : all.at("steps")) {
    if (!step.at("reachable").get<bool>()) names += step.at("name").get<std::string>() + " ";
  }
  return names;
}
std::string dead_ends(const Spec& spec) {
  std::string text;
  const Json all = described(spec);
  for (const Json& end : all.at("dead_ends")) {
    text += end.at("step").get<std::string>() + ": " + end.at("kind").get<std::string>();
    if (end.contains("event_type")) text += " " + end.at("event_type").get<std::string>();
    text += "; ";
  }
  return text;
}

// Everything that can be told is not as it is by default.
Spec all_of_it() {
  Spec spec("all \"of\" it");
  spec.unhandled = BLAZEN_UNHANDLED_STREAM;
  spec.session = BLAZEN_SESSION_WARN_DROP;
  spec.session_on_pause = BLAZEN_SESSION_CLEAR;
  spec.timeout_ms = 1234;
  const blazen_limit limits[] = {
      BLAZEN_LIMIT_QUEUED_EVENTS,   BLAZEN_LIMIT_STATE_BYTES, BLAZEN_LIMIT_SESSION_BYTES,
      BLAZEN_LIMIT_STREAM_ITEMS,    BLAZEN_LIMIT_SUBSCRIBERS, BLAZEN_LIMIT_STEP_SENDS,
      BLAZEN_LIMIT_STREAM_RETAINED, BLAZEN_LIMIT_QUESTIONS,   BLAZEN_LIMIT_SCOPES,
      BLAZEN_LIMIT_SCOPE_DEPTH,     BLAZEN_LIMIT_CHILD_DEPTH, BLAZEN_LIMIT_CHILDREN};
  for (const blazen_limit limit : limits) spec.limit(limit, limit == 3 ? UINT64_MAX : 100 + uint64_t(limit));
  spec.start(kNothing).emits({"Part", BLAZEN_INPUT_REQUEST_EVENT});
  static const int64_t kOnly[] = {7, -1};
  static const int64_t kNever[] = {INT64_MIN};
  blazen_retry_options retry = retries(4, 50, 1.5);
  retry.jitter_percent = 29;
  retry.max_delay_ms = 1000;
  retry.only = kOnly;
  retry.only_count = 2;
  retry.never = kNever;
  retry.never_count = 1;
  spec.step("work", {"Part", "More"}, kNothing, 3)
      .times_out(99)
      .atomic()
      .abandoned(BLAZEN_ABANDONED_FREES_PERMIT);
  spec.retry(retry);
  spec.elsewhere("far", {"Far"});
  spec.step("join", {"Done"}, kNothing)
      .joins({"start", BLAZEN_JOIN_FIRST_N, 5, 60, BLAZEN_JOIN_DEADLINE_FAIL, true, true, false, true});
  spec.emits({BLAZEN_STOP_EVENT});
  return spec;
}

// The text is part of the promise: the members, and their order.
TEST(Describing, AllOfIt) {
  EXPECT_EQ(
      description_text(all_of_it().build()),
      R"({"name":"all \"of\" it","fingerprint":")" +
          std::string(blazen_workflow_fingerprint(all_of_it().build(), nullptr)) +
          R"(","steps":[)"
          R"({"name":"start","accepts":["blazen::StartEvent"],"emits":["Part","blazen::InputRequestEvent"],)"
          R"("elsewhere":false,"max_concurrency":0,"timeout_ms":0,"atomic":false,"abandoned":"keeps_permit",)"
          R"("retry":{"max_attempts":1,"initial_delay_ms":0,"multiplier":2.0,"max_delay_ms":60000,)"
          R"("jitter_percent":0,"only":null,"never":[]},"join":null,"opens":["join"],"reachable":true,"pool":null,"part":"body","part_of":null,"child":null},)"
          R"({"name":"work","accepts":["Part","More"],"emits":null,)"
          R"("elsewhere":false,"max_concurrency":3,"timeout_ms":99,"atomic":true,"abandoned":"frees_permit",)"
          R"("retry":{"max_attempts":4,"initial_delay_ms":50,"multiplier":1.5,"max_delay_ms":1000,)"
          R"("jitter_percent":29,"only":[7,-1],"never":[-9223372036854775808]},)"
          R"("join":null,"opens":[],"reachable":true,"pool":null,"part":"body","part_of":null,"child":null},)"
          R"({"name":"far","accepts":["Far"],"emits":null,)"
          R"("elsewhere":true,"max_concurrency":0,"timeout_ms":0,"atomic":false,"abandoned":"keeps_permit",)"
          R"("retry":{"max_attempts":1,"initial_delay_ms":0,"multiplier":2.0,"max_delay_ms":60000,)"
          R"("jitter_percent":0,"only":null,"never":[]},"join":null,"opens":[],"reachable":true,"pool":null,"part":"body","part_of":null,"child":null},)"
          R"({"name":"join","accepts":["Done"],"emits":["blazen::StopEvent"],)"
          R"("elsewhere":false,"max_concurrency":0,"timeout_ms":0,"atomic":false,"abandoned":"keeps_permit",)"
          R"("retry":{"max_attempts":1,"initial_delay_ms":0,"multiplier":2.0,"max_delay_ms":60000,)"
          R"("jitter_percent":0,"only":null,"never":[]},)"
          R"("join":{"of":"start","mode":"first_n","n":5,"deadline_ms":60,"at_deadline":"fail",)"
          R"("cancel_rest":true,"ordered":true,"correlation":"none","empty":"skip"},)"
          R"("opens":[],"reachable":true,"pool":null,"part":"body","part_of":null,"child":null}],)"
          R"("policies":{"unhandled":"stream","idle":"fail","session":"warn_drop","session_on_pause":"clear",)"
          R"("timeout_ms":1234},)"
          R"("limits":{"queued_events":101,"state_bytes":102,"session_bytes":18446744073709551615,)"
          R"("stream_items":104,"subscribers":105,"step_sends":106,"stream_retained":107,"questions":108,)"
          R"("scopes":109,"scope_depth":110,"child_depth":111,"children":112},)"
          R"("dead_ends":[{"step":"start","kind":"no_acceptor","event_type":"blazen::InputResponseEvent"}],"stages":[],"children":[]})");
}

TEST(Describing, EachWord) {
  const auto one = [](Joins join) {
    Spec spec;
    spec.start(kNothing).step("join", {"Done"}, kNothing).joins(std::move(join));
    return described(spec).at("steps").at(1).at("join");
  };
  EXPECT_EQ(one({"start"}).dump(),
            R"({"at_deadline":"give","cancel_rest":false,"correlation":"none","deadline_ms":0,)"
            R"("empty":"invoke","mode":"all","n":0,"of":"start","ordered":false})");
  EXPECT_EQ(one({"start", BLAZEN_JOIN_ANY}).at("mode"), "any");
  EXPECT_EQ(one({"start", BLAZEN_JOIN_ANY}).at("n"), 0);
  EXPECT_EQ(one({.of = "start", .by_event = true}).at("correlation"), "by_event");
  Spec spec;
  spec.start(kNothing);
  const auto policy = [&spec](const char* name) { return described(spec).at("policies").at(name); };
  EXPECT_EQ(described(spec).at("policies").dump(),
            R"({"idle":"fail","session":"pickle_or_error","session_on_pause":"keep","timeout_ms":300000,)"
            R"("unhandled":"fail"})");
  spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
  spec.idle = BLAZEN_IDLE_WAIT;
  EXPECT_EQ(policy("unhandled"), "ignore");
  EXPECT_EQ(policy("idle"), "wait");
  spec.session = BLAZEN_SESSION_PICKLE_OR_SERIALIZE;
  EXPECT_EQ(policy("session"), "pickle_or_serialize");
  spec.session = BLAZEN_SESSION_HARD_ERROR;
  EXPECT_EQ(policy("session"), "hard_error");
  EXPECT_EQ(
      described(spec).at("limits").dump(),
      R"({"child_depth":64,"children":65536,"questions":65536,"queued_events":4194304,"scope_depth":65536,"scopes":65536,)"
      R"("session_bytes":1073741824,"state_bytes":1073741824,"step_sends":1048576,)"
      R"("stream_items":65536,"stream_retained":1024,"subscribers":1024})");
}

TEST(Describing, TheSameWorkflowSaysTheSame) {
  const Workflow first = all_of_it().build();
  const Workflow second = all_of_it().build();
  EXPECT_EQ(description_text(first), description_text(first));
  EXPECT_EQ(description_text(first), description_text(second));
  for (const blazen_draw format : {BLAZEN_DRAW_MERMAID, BLAZEN_DRAW_DOT})
    EXPECT_EQ(drawn(first, format), drawn(second, format));
}

TEST(Describing, WhatIsNotDeclaredIsNotKnown) {
  Spec spec;
  spec.start(kNothing).step("work", {"Part"}, kNothing);
  EXPECT_EQ(unreachable(spec), "");
  EXPECT_EQ(dead_ends(spec), "");
}

// The build lets such a step be where events come from outside, or where types alone do not show it.
TEST(Describing, StepsThatNoRunComesTo) {
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start(kNothing).emits({"Part", BLAZEN_INPUT_REQUEST_EVENT});
  spec.step("work", {"Part"}, kNothing).emits({BLAZEN_STOP_EVENT});
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, kNothing).emits({"Mended"});
  spec.step("mended", {"Mended"}, kNothing).emits({BLAZEN_STOP_EVENT});
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, kNothing).emits({BLAZEN_STOP_EVENT});
  spec.step("tick", {"Tick"}, kNothing).emits({"Tock"});
  spec.step("tock", {"Tock"}, kNothing);
  EXPECT_EQ(unreachable(spec), "tick tock ");
  spec.steps[4].emits.clear();  // it may emit anything
  EXPECT_EQ(unreachable(spec), "");
  // What starts it arrives only where its opener has opened a scope, and that waits for it.
  Spec circle;
  circle.start(kNothing).emits({"Done", "Out"});
  circle.step("out", {"Out"}, kNothing).emits({BLAZEN_STOP_EVENT});
  circle.step("join", {"Done"}, kNothing).joins({"open"}).emits({"Again"});
  circle.step("open", {"Again"}, kNothing).emits({"Done"});
  EXPECT_EQ(unreachable(circle), "join open ");
}

TEST(Describing, TypesThatNobodyTakes) {
  Spec spec;
  spec.start(kNothing).emits({"Part", "Done"});
  spec.step("open", {"Part"}, kNothing).emits({"Work"});
  spec.step("work", {"Work"}, kNothing).emits({"Done", "Done"});
  spec.step("join", {"Done"}, kNothing).joins({"open"}).emits({"Done", BLAZEN_STOP_EVENT});
  // A join takes nothing outside its scopes; of the start, and of itself, it is not.
  EXPECT_EQ(dead_ends(spec), "start: no_acceptor Done; join: no_acceptor Done; ");
  spec.step("also", {"Done"}, kNothing).emits({BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(spec), "");
  // A scope within a scope of the same opener is joined in the one around it.
  spec.steps.pop_back();
  spec.steps[2].emits = {"Done", "Part"};
  EXPECT_EQ(dead_ends(spec), "start: no_acceptor Done; ");
  // Where a step that may emit anything is in the scope, any step may be.
  spec.steps[2].emits.clear();
  EXPECT_EQ(dead_ends(spec), "");
}

TEST(Describing, AnAnswerThatNobodyTakes) {
  Spec spec;
  spec.start(kNothing).emits({BLAZEN_INPUT_REQUEST_EVENT, BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(spec), "start: no_acceptor blazen::InputResponseEvent; ");
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, kNothing).emits({BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(spec), "");
}

TEST(Describing, StepsFromWhichNothingLeadsToTheEnd) {
  Spec spec;
  spec.start(kNothing).emits({"Left", "Right"});
  spec.step("left", {"Left"}, kNothing).emits({"Left"});
  spec.step("right", {"Right"}, kNothing).emits({BLAZEN_STOP_EVENT, "Left"});
  EXPECT_EQ(dead_ends(spec), "left: no_stop; ");
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, kNothing).emits({BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(spec), "left: no_stop; ");
  // With the answer, or the join of its scope, there is a way.
  Spec asks = spec;
  asks.steps[1].emits.push_back(BLAZEN_INPUT_REQUEST_EVENT);
  asks.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, kNothing).emits({BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(asks), "");
  Spec joined = spec;
  joined.step("join", {"Left"}, kNothing).joins({"start"}).emits({BLAZEN_STOP_EVENT});
  EXPECT_EQ(dead_ends(joined), "");
  // One that waits may be ended by any event from outside.
  spec.idle = BLAZEN_IDLE_WAIT;
  EXPECT_EQ(dead_ends(spec), "");
}

// ---- the law: what it says is true of every run ----

// Steps that declare what they emit, and in each run emit some of it, now and then fail, and join.
struct Random {
  explicit Random(unsigned seed) : random(seed) {}
  int below(int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); }
  bool is_so(int percent) { return below(100) < percent; }

  Spec spec() {
    Spec spec;
    spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
    spec.idle = is_so(50) ? BLAZEN_IDLE_WAIT : BLAZEN_IDLE_FAIL;
    const int count = 3 + below(4);
    std::vector<std::string> types;
    for (int i = 0; i < count; ++i) {
      std::vector<std::string> accepts{i == 0 ? BLAZEN_START_EVENT : "Type" + std::to_string(below(count))};
      if (i != 0 && is_so(10)) accepts[0] = BLAZEN_STEP_FAILED_EVENT;
      if (i != 0) types.push_back(accepts[0]);
      spec.step("step" + std::to_string(i), accepts,
                [this, i](Ctx& ctx) { return run(ctx, static_cast<size_t>(i)); });
      if (i != 0 && is_so(30)) spec.joins({.of = "step" + std::to_string(below(count)), .mode = below(2)});
    }
    for (Step& step : spec.steps) {
      const int emits = 1 + below(3);
      for (int i = 0; i < emits; ++i)
        step.emits.push_back(is_so(10) ? BLAZEN_STOP_EVENT : types[static_cast<size_t>(below(count - 1))]);
    }
    return spec;
  }

  blazen_status run(Ctx& ctx, size_t index) {
    const blazen_event* const* all = nullptr;
    size_t count = 0;
    MUST(blazen_context_events(ctx.raw, &all, &count, e));
    for (size_t i = 0; i < count; ++i) taken.insert(source_of(all[i]) + " " + type_of(all[i]));
    started.insert(ctx.step());
    if (++bodies > 100) return BLAZEN_OK;
    if (is_so(5)) return ctx.fail(1, "no");
    for (const std::string& type : emits[index]) {
      if (is_so(70)) ctx.emit(type);
    }
    return ctx.failed;
  }

  std::mt19937 random;
  std::vector<std::vector<std::string>> emits;
  std::set<std::string> started;
  std::set<std::string> taken;  // "source type"
  int bodies = 0;
};

TEST(Describing, IsTrueOfEveryRun) {
  Engine engine(Way::pump);
  int built = 0;
  int unreached = 0;
  int dead = 0;
  int completed = 0;
  for (unsigned seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Random all(seed);
    const Spec spec = all.spec();
    for (const Step& step : spec.steps) all.emits.push_back(step.emits);
    Workflow workflow;
    Error error;
    if (spec.try_build(workflow, error) != BLAZEN_OK) continue;
    ++built;
    const Json said = described(workflow);
    bool start_stops = true;
    std::set<std::string> nobody;
    for (const Json& end : said.at("dead_ends")) {
      if (end.at("kind") == "no_acceptor")
        nobody.insert(end.at("step").get<std::string>() + " " + end.at("event_type").get<std::string>());
      else if (end.at("step") == "step0")
        start_stops = false;
      ++dead;
    }
    for (int repeats = 0; repeats < 3; ++repeats) {
      all.bodies = 0;
      RunHandle run = start(engine, workflow);
      ASSERT_TRUE(engine.until(run, [&] {
        const blazen_run_state state = blazen_run_state_now(run);
        return is_ended(state) || state == BLAZEN_RUN_WAITING;
      }));
      if (blazen_run_state_now(run) == BLAZEN_RUN_COMPLETED) {
        ++completed;
        // Failures aside: where one is handled, that may lead to the end.
        const bool handles = std::any_of(spec.steps.begin(), spec.steps.end(), [](const Step& step) {
          return step.accepts[0] == BLAZEN_STEP_FAILED_EVENT;
        });
        EXPECT_TRUE(start_stops || handles) << said;
      }
    }
    for (const Json& step : said.at("steps")) {
      if (step.at("reachable").get<bool>()) continue;
      ++unreached;
      EXPECT_FALSE(all.started.contains(step.at("name"))) << step.at("name") << " was started: " << said;
    }
    for (const std::string& pair : nobody)
      EXPECT_FALSE(all.taken.contains(pair)) << pair << " was taken: " << said;
  }
  std::printf("of %d workflows: %d steps not reachable, %d dead ends; %d runs completed\n", built, unreached,
              dead, completed);
  EXPECT_GT(built, 300);
  EXPECT_GT(unreached, 100);
  EXPECT_GT(dead, 100);
  EXPECT_GT(completed, 100);
}

// ---- drawings ----

// One of each kind of step, and of line.
Spec to_draw() {
  Spec spec("orders");
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start(kNothing).emits({"Part", BLAZEN_INPUT_REQUEST_EVENT, "Done"});
  spec.step("work", {"Part"}, kNothing).emits({"Done", "Far"});
  spec.elsewhere("far", {"Far"}).emits({"Done"});
  spec.step("join", {"Done"}, kNothing).joins({"start"}).emits({BLAZEN_STOP_EVENT, "Done"});
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, kNothing).emits({"Done"});
  spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, kNothing).emits({"Done"});
  spec.step("tick", {"Tick"}, kNothing).emits({BLAZEN_STOP_EVENT});
  return spec;
}

TEST(Describing, AsMermaid) {
  EXPECT_EQ(mermaid(to_draw()), R"(---
title: "orders"
---
flowchart TD
  n0["start"]
  n1["work"]
  n2[["far"]]
  n3{{"join"}}
  n4["mend"]
  n5["answered"]
  n6["tick"]
  begin(["start"])
  failed(["a step fails"])
  human(["a human"])
  outside(["outside"])
  nobody(["no step"])
  stop(["end"])
  begin -- "blazen::StartEvent" --> n0
  n0 -- "Part" --> n1
  n0 -- "blazen::InputRequestEvent" --> human
  n0 -- "Done" --> n3
  n0 -. "scope" .- n3
  n1 -- "Done" --> n3
  n1 -- "Far" --> n2
  n2 -- "Done" --> n3
  n3 -- "blazen::StopEvent" --> stop
  n3 -- "Done" --> nobody
  n4 -- "Done" --> n3
  n5 -- "Done" --> n3
  n6 -- "blazen::StopEvent" --> stop
  failed -- "blazen::StepFailedEvent" --> n4
  human -- "blazen::InputResponseEvent" --> n5
  outside -- "Tick" --> n6
  classDef elsewhere stroke-width:4px
  class n2 elsewhere
  classDef unreachable stroke-dasharray:5
  class n6 unreachable
)");
}

TEST(Describing, AsDot) {
  EXPECT_EQ(dot(to_draw()), R"(digraph {
  label="orders";
  node [shape=box];
  n0 [label="start"];
  n1 [label="work"];
  n2 [label="far", peripheries=2];
  n3 [label="join", shape=hexagon];
  n4 [label="mend"];
  n5 [label="answered"];
  n6 [label="tick", style=dashed];
  begin [label="start", shape=oval];
  failed [label="a step fails", shape=oval];
  human [label="a human", shape=oval];
  outside [label="outside", shape=oval];
  nobody [label="no step", shape=oval];
  stop [label="end", shape=oval];
  begin -> n0 [label="blazen::StartEvent"];
  n0 -> n1 [label="Part"];
  n0 -> human [label="blazen::InputRequestEvent"];
  n0 -> n3 [label="Done"];
  n0 -> n3 [label="scope", style=dashed, dir=none];
  n1 -> n3 [label="Done"];
  n1 -> n2 [label="Far"];
  n2 -> n3 [label="Done"];
  n3 -> stop [label="blazen::StopEvent"];
  n3 -> nobody [label="Done"];
  n4 -> n3 [label="Done"];
  n5 -> n3 [label="Done"];
  n6 -> stop [label="blazen::StopEvent"];
  failed -> n4 [label="blazen::StepFailedEvent"];
  human -> n5 [label="blazen::InputResponseEvent"];
  outside -> n6 [label="Tick"];
}
)");
}

// Where nothing is declared, what is accepted comes from "?".
Spec undeclared() {
  Spec spec;
  spec.start(kNothing);
  spec.step("work", {"Part", "More"}, kNothing).emits({"Done"});
  spec.step("join", {"Done"}, kNothing).joins({"start"});
  return spec;
}

TEST(Describing, WhatIsNotDeclaredIsDrawnAsNotKnown) {
  EXPECT_EQ(mermaid(undeclared()), R"(---
title: "test"
---
flowchart TD
  n0["start"]
  n1["work"]
  n2{{"join"}}
  begin(["start"])
  unknown(["?"])
  begin -- "blazen::StartEvent" --> n0
  n0 -.-> unknown
  n0 -. "scope" .- n2
  n1 -- "Done" --> n2
  n2 -.-> unknown
  unknown -. "Part" .-> n1
  unknown -. "More" .-> n1
)");
  EXPECT_EQ(dot(undeclared()), R"(digraph {
  label="test";
  node [shape=box];
  n0 [label="start"];
  n1 [label="work"];
  n2 [label="join", shape=hexagon];
  begin [label="start", shape=oval];
  unknown [label="?", shape=oval];
  begin -> n0 [label="blazen::StartEvent"];
  n0 -> unknown [style=dashed];
  n0 -> n2 [label="scope", style=dashed, dir=none];
  n1 -> n2 [label="Done"];
  n2 -> unknown [style=dashed];
  unknown -> n1 [label="Part", style=dashed];
  unknown -> n1 [label="More", style=dashed];
}
)");
}

TEST(Describing, NamesMeanNothingToWhoDraws) {
  Spec spec("a\"b\\c:#\xC3\xA9\xF0\x9F\x98\x80");
  spec.step("\"];\\\n#35;`%%{$$\t\x7F", {BLAZEN_START_EVENT}, kNothing);
  spec.elsewhere("fetch-page_2 of 3 -x_ 1. \xC3\xA9\xC2\xB6\xEF\xAC\x82\xC2\xB0", {"style:a&amp;<b>"});
  EXPECT_EQ(mermaid(spec), R"(---
title: "a\u0022b\u005cc\u003a\u0023\u00e9\U0001f600"
---
flowchart TD
  n0["#34;#93;#59;#92;␊#35;35#59;#96;#37;#37;#123;#36;#36;␉␡"]
  n1[["fetch-page_2 of 3#32;#45;x#95;#32;1#46;#32;é¶⁠ﬂ⁠°"]]
  begin(["start"])
  unknown(["?"])
  begin -- "blazen::StartEvent" --> n0
  n0 -.-> unknown
  n1 -.-> unknown
  unknown -. "style#58;a#38;amp#59;#60;b#62;" .-> n1
  classDef elsewhere stroke-width:4px
  class n1 elsewhere
)");
  EXPECT_EQ(dot(spec), R"(digraph {
  label="a\"b\\c:#é😀";
  node [shape=box];
  n0 [label="\"];\\␊#35;`%%{$$␉␡"];
  n1 [label="fetch-page_2 of 3 -x_ 1. é¶ﬂ°", peripheries=2];
  begin [label="start", shape=oval];
  unknown [label="?", shape=oval];
  begin -> n0 [label="blazen::StartEvent"];
  n0 -> unknown [style=dashed];
  n1 -> unknown [style=dashed];
  unknown -> n1 [label="style:a&amp;amp;<b>", style=dashed];
}
)");
}

TEST(Describing, ADrawingThatNobodyCouldLookAtIsRefused) {
  Spec spec;
  spec.start(kNothing).emits({"Part"});
  for (int i = 0; i < 300; ++i) spec.step("work" + std::to_string(i), {"Part"}, kNothing).emits({"Part"});
  const Workflow workflow = spec.build();
  Value drawing;
  Error error;
  EXPECT_EQ(blazen_workflow_draw(workflow, BLAZEN_DRAW_DOT, drawing.out(), error.out()), BLAZEN_ERROR_LIMIT);
  EXPECT_NE(error.message().find("65536"), std::string::npos);
  EXPECT_EQ(drawing.get(), nullptr);
  EXPECT_EQ(described(workflow).at("steps").size(), 301U);
}

// As many of each as a workflow can have: what it says takes no longer than a look at each pair of them.
TEST(Describing, TheLargestWorkflow) {
  Spec spec;
  spec.start(kNothing).emits({"Type0"});
  for (int i = 0; i < 600; ++i) {
    const std::string number = std::to_string(i);
    spec.step("open" + number, {"Type" + number}, kNothing)
        .emits({"Type" + std::to_string(i + 1), "Done" + number});
    spec.step("join" + number, {"Done" + number}, kNothing).joins({"open" + number});
  }
  spec.step("last", {"Type600"}, kNothing).emits({BLAZEN_STOP_EVENT});
  const Workflow workflow = spec.build();
  EXPECT_EQ(described(workflow).at("dead_ends").size(), 0U);
  EXPECT_GT(drawn(workflow, BLAZEN_DRAW_MERMAID).size(), 10'000U);
}

}  // namespace
