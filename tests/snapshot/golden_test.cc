// Goal: what one version has written, every later one reads, resumes and ends as that one would have:
// fingerprints, the digests by which repetitions are known, and runs with something in every part of their
// snapshot.
//
// The snapshots are in tests/snapshot/golden. They are never written anew for a change to pass: that is the
// change which they are there to find. Where the format changes before its first release, this writes them:
//
//   build/dev/tests/snapshot_tests --gtest_also_run_disabled_tests --gtest_filter=Golden.DISABLED_Write
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/control.hpp"
#include "support/streams.hpp"

namespace bt {
namespace {

// ------------------------------------------------------------------------------- what must outlive a version

const char* const kFingerprints[] = {"ef25d11f9f0adb71", "173a97e77e9bc117", "fdd066da783a9537",
                                     "e26008a11ebcf772", "42a7626804e392f9"};
const char* const kBusyFingerprint = "d834b28971c83084";
const std::string kBusyResult =
    std::string("native(test/text) bytes: bytes ") + std::string("\0\xff", 2) +
    " v2; done.answered: json {\"request_id\":\"direct\",\"response\":true} v15; "
    "done.ask: json [\"one\",\"two\"] v14; done.flaky: json 3 v16; done.late: json \"5 s\" v17; "
    "done.work1: json 2 v8; done.work2: json 3 v10; done.work3: json 4 v12; done.work4: json 5 v13; "
    "json: json [1.0, 1e400] v1; native: native(python/pickle) n v3; notes: json 4 v11; ";
const char* const kFailedText =
    "6 BLAZEN_ERROR_STEP_FAILED[step 'broken' failed: it broke] step broken attempt 1 code 4711 <- "
    "BLAZEN_ERROR_HOST[it broke] code 4711 detail native(test/why) why";

// ------------------------------------------------------------------------------------------------- the files

std::filesystem::path file_of(const char* name) { return std::filesystem::path(BLAZEN_GOLDEN_FOLDER) / name; }

std::string read_golden(const char* name) {
  std::ifstream file(file_of(name), std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  EXPECT_FALSE(bytes.str().empty()) << file_of(name);
  return bytes.str();
}

void write_golden(const char* name, const std::string& bytes) {
  std::ofstream file(file_of(name), std::ios::binary);
  file << bytes;
  EXPECT_TRUE(file.good()) << file_of(name);
}

// An object of the host, which is kept as the text it has.
struct Connection {
  std::string text;
  static blazen_status serialize(void* self, blazen_value** value, blazen_error** error) {
    const std::string& text = static_cast<Connection*>(self)->text;
    return blazen_value_json(text.data(), text.size(), value, error);
  }
  static blazen_status deserialize(void* self, const char*, size_t, blazen_value* kept, blazen_value** value,
                                   blazen_error** error) {
    auto* connection = static_cast<Connection*>(self);
    connection->text = data_of(kept);
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.serialize = serialize;
    return blazen_value_live_with(self, BLAZEN_TEXT("test/connection"), &options, value, error);
  }
};

// ------------------------------------------------------------------------------------- a run with everything

// What the bodies of the busy run share with the test.
struct Busy {
  Connection connection{"{\"dsn\": \"there\"}"};
  std::deque<Invocation> held;  // works in flight
  std::string log;              // which bodies ran, in order

  Workflow build() {
    Spec spec("golden busy");
    spec.timeout_ms = 600'000;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([this](Ctx& ctx) { plan(ctx); });
    spec.step("work", {"Work"}, [this](Ctx& ctx) { return work(ctx); }, 2);
    spec.step("note", {"Note"}, [this](Ctx& ctx) {
      log += "note ";
      const std::string notes = ctx.has("notes") ? ctx.text("notes") : "0";
      ctx.set("notes", std::to_string(std::stoi(notes) + 1));
    });
    spec.step("ask", {"Ask"}, [this](Ctx& ctx) { return ask(ctx); });
    spec.step("flaky", {"Flaky"},
              [this](Ctx& ctx) -> blazen_status {
                log += "flaky" + std::to_string(ctx.attempt()) + " ";
                if (ctx.attempt() < 3) return ctx.fail(4711, "not yet");
                return ctx.set("done.flaky", std::to_string(ctx.attempt()));
              })
        .retry(retries(3, 700, 2));
    spec.step("late", {"Later"}, [this](Ctx& ctx) {
      log += "late ";
      ctx.set("done.late", ctx.input());
    });
    spec.step("other", {"Later"}, [](Ctx&) { ADD_FAILURE() << "the event was for another step"; });
    spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, [this](Ctx& ctx) {
      log += "answered ";
      ctx.set("done.answered", ctx.input());
    });
    spec.step("end", {"End"}, [](Ctx& ctx) {
      std::string all;
      Keys keys;
      MUST(blazen_context_keys(ctx.raw, "", 0, keys.out(), e));
      for (size_t i = 0; i < blazen_keys_count(keys); ++i) {
        const std::string key = blazen_keys_at(keys, i, nullptr);
        all += key + ": " + describe(ctx.get(key)) + " v" + std::to_string(ctx.version(key)) + "; ";
      }
      ctx.stop(native(all, "test/text"));
    });
    return spec.build();
  }

 private:
  void plan(Ctx& ctx) {
    log += "plan ";
    ctx.set("json", "[1.0, 1e400]");
    ctx.set("bytes", bytes(std::string("\0\xff", 2)));
    ctx.set("native", native("n", "python/pickle"));
    ctx.set_session("plain", json("{\"a\": 1}"));
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.serialize = Connection::serialize;
    Value object;
    MUST(blazen_value_live_with(&connection, BLAZEN_TEXT("test/connection"), &options, object.out(), e));
    ctx.set_session("connection", object);
    ctx.publish("P", "\"planned\"");
    ctx.emit(event("Work", json("1"), "order-7"));
    for (const char* text : {"2", "3", "4"}) ctx.emit("Work", text);
    ctx.emit("Ask");
    ctx.emit("Flaky");
    blazen_send_options later = to_step("late");
    later.delay_ms = 5000;
    MUST(blazen_context_emit_event(ctx.raw, event("Later", "\"5 s\""), &later, e));
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\": \"direct\", \"prompt\": \"Go on?\"}");
  }
  blazen_status work(Ctx& ctx) {
    log += "work" + ctx.input() + " ";
    ctx.send(event("Note", json(ctx.input()), "of " + correlation_of(ctx.trigger())));
    ctx.publish("P", ctx.input());
    held.push_back(ctx.defer());
    return BLAZEN_PENDING;
  }
  blazen_status ask(Ctx& ctx) {
    log += "ask ";
    const std::string first = ctx.ask("First?");
    const std::string second = ctx.ask("Second?", "named");
    if (first.empty() || second.empty()) return BLAZEN_PENDING;
    return ctx.set("done.ask", "[" + first + "," + second + "]");
  }
};

// 100 ms after its start: two works in flight that have sent and published, two queued, one in back-off, an
// answer that its asker has not seen, two open questions, and a delayed event.
std::string make_busy() {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Busy busy;
  RunHandle run = create(engine, busy.build(), json("{\"owner\": \"test\"}").get());
  MUST(blazen_run_start(run, json("\"input\""), e));
  engine.pass(0);
  engine.pass(100);
  EXPECT_EQ(respond(run, "i6.1", "\"one\""), BLAZEN_OK);
  EXPECT_EQ(busy.log, "plan work1 work2 ask flaky1 note note ");
  const std::string bytes = snapshot_bytes(run);
  busy.held.clear();
  return bytes;
}

std::string make_failed() {
  Engine engine;
  Spec spec("golden failed");
  spec.step("broken", {BLAZEN_START_EVENT},
            [](Ctx& ctx) -> blazen_status { return ctx.fail(4711, "it broke", native("why", "test/why")); });
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(finish(engine, run).status, BLAZEN_ERROR_STEP_FAILED);
  return snapshot_bytes(run);
}

// --------------------------------------------------------------------------------- scopes, joins and collects

struct Joining {
  std::deque<Invocation> held;  // in flight
  std::string log;              // which bodies ran, in order

  Workflow build() {
    Spec spec("golden joining");
    spec.timeout_ms = 600'000;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx& ctx) {
      ctx.emit("Open");
      ctx.emit("Item", "1");
      for (const char* text : {"2", "3"}) ctx.emit("Pair", text);
      for (const char* id : {"dated", "withdrawn"}) ctx.emit("Ask", "\"" + std::string(id) + "\"");
    });
    spec.step("ask", {"Ask"}, [this](Ctx& ctx) { return ask(ctx); });
    spec.step("open", {"Open"}, [this](Ctx& ctx) { open(ctx); });
    spec.step("work", {"Work"}, [this](Ctx& ctx) { return hold(ctx, "work"); });
    spec.step("late", {"Later"}, [this](Ctx& ctx) {
      log += "late ";
      ctx.emit("Done", "\"late\"");
    });
    spec.step("nest", {"Nest"}, [this](Ctx& ctx) {
      log += "nest ";
      for (const char* text : {"10", "11", "12"}) ctx.emit("Piece", text);
    });
    spec.step("piece", {"Piece"}, [this](Ctx& ctx) { return piece(ctx); });
    spec.step("first", {"PieceDone"}, [this](Ctx& ctx) { return hold(ctx, "first"); });
    spec.joins({.of = "nest", .mode = BLAZEN_JOIN_FIRST_N, .n = 1});
    spec.step("groups", {"Note"}, [this](Ctx& ctx) {
      log += "groups(" + ctx.events() + ") ";
      ctx.emit("Grouped");
    });
    spec.joins({.of = "open", .by_event = true});
    spec.step("all", {"Done"}, [this](Ctx& ctx) {
      log += "all(" + ctx.events() + ") " + std::to_string(ctx.joined().reason) + " ";
    });
    spec.joins({.of = "open", .deadline_ms = 60'000, .ordered = true});
    spec.step("items", {"Item"}, [this](Ctx& ctx) -> blazen_status {
      if (ctx.collect("k", {{"Item", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
      log += "items(" + ctx.events() + ") ";
      return BLAZEN_OK;
    });
    spec.step("pairs", {"Pair"}, [this](Ctx& ctx) -> blazen_status {
      if (ctx.collect("", {{"Pair", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
      return hold(ctx, "pairs(" + ctx.events() + ")");
    });
    spec.step("grouped", {"Grouped"}, [this](Ctx&) { log += "grouped "; });
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop("\"joined\""); });
    return spec.build();
  }

  // What is held ends, in order of its start.
  void complete(Engine& engine, size_t place, const char* type = nullptr, const char* text = "null") {
    const Invocation one = std::move(held.at(place));
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(place));
    if (type != nullptr) Ctx(one).emit(type, text);
    MUST(blazen_invocation_complete(one, e));
    engine.pass(0);
  }

 private:
  void open(Ctx& ctx) {
    log += "open ";
    ctx.emit_in(5000, "Later");
    ctx.emit("Nest");
    ctx.emit("Work", "1");
    ctx.emit(event("Note", json("1"), "left"));
    ctx.emit(event("Note", json("2"), "right"));
    ctx.emit(event("Note", json("3"), "left"));
    ctx.emit("Done", "\"at once\"");
  }
  blazen_status ask(Ctx& ctx) {
    const std::string id = Json::parse(ctx.input());
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = id.data();
    question.request_id_length = id.size();
    const Value by_default = json("\"nobody\"");
    if (id == "dated") question.deadline_ms = 90'000, question.default_answer = by_default;
    Value answer;
    const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), nullptr);
    if (status == BLAZEN_PENDING) return status;
    log += id + (status == BLAZEN_OK ? ": " + data_of(answer) : " " + std::to_string(status)) + " ";
    return BLAZEN_OK;
  }
  blazen_status piece(Ctx& ctx) {
    log += "piece" + ctx.input() + " ";
    if (ctx.input() == "11" && ctx.ask("Which?", "which").empty()) return BLAZEN_PENDING;
    return ctx.emit("PieceDone", ctx.input());
  }
  blazen_status hold(Ctx& ctx, const std::string& name) {
    log += name + (name == "first" ? "(" + ctx.events() + ") " : " ");
    held.push_back(ctx.defer());
    return BLAZEN_PENDING;
  }
};

// A scope with one inside; arrivals and groups of its joins; a member that is delayed, one that asks, one in flight; a
// join and a body that has collected in flight; what waits for one more; a question with a deadline, one that was
// withdrawn, and an answer to one that is not asked yet.
std::string make_joining() {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Joining joining;
  const RunHandle run = start(engine, joining.build());
  engine.pass(0);
  engine.pass(100);
  EXPECT_EQ(joining.log, "open pairs(2,3) nest work piece10 piece11 piece12 first(10) ");
  MUST(blazen_run_withdraw_question(run, BLAZEN_TEXT("withdrawn"), e));
  MUST(blazen_run_respond_early(run, BLAZEN_TEXT("early"), json("\"at once\""), e));
  const std::string bytes = snapshot_bytes(run);
  joining.held.clear();
  return bytes;
}

TEST(Golden, JoinsGoOnToTheirEnd) {
  const std::string bytes = read_golden("joining.cbor");
  FakeClock clock;
  clock.now_ms += 86'400'000;
  Engine engine(Way::pump, &clock);
  Joining joining;
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), joining.build(), parse(bytes), nullptr, run.out(), e));
  if (Json::parse(info_of(parse(bytes))).at("engine") == BLAZEN_VERSION)
    EXPECT_EQ(snapshot_bytes(run), bytes) << "and that again is the same";
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  EXPECT_EQ(std::exchange(joining.log, ""), "pairs(2,3) work first(10) withdrawn 203 ");
  ASSERT_EQ(joining.held.size(), 3U);
  joining.complete(engine, 0);
  joining.complete(engine, 0, "Done", "\"work\"");
  joining.complete(engine, 0, "Done", "\"of the scope inside\"");
  MUST(blazen_run_send_event(run, event("Item", "2"), nullptr, e));
  engine.pass(0);
  EXPECT_EQ(std::exchange(joining.log, ""), "items(1,2) ");
  engine.pass(4899);
  EXPECT_EQ(std::exchange(joining.log, ""), "");
  engine.pass(1);
  EXPECT_EQ(
      std::exchange(joining.log, ""),
      R"(late groups(1,3) groups(2) all("late","of the scope inside","work","at once") 1 grouped grouped )");
  EXPECT_EQ(respond(run, "which", "true"), BLAZEN_OK);
  engine.pass(0);
  EXPECT_EQ(std::exchange(joining.log, ""), "piece11 ") << "the scope inside is closed: nobody waits for it";
  MUST(blazen_run_send_event(run, event("Ask", "\"early\""), nullptr, e));
  engine.pass(0);
  EXPECT_EQ(std::exchange(joining.log, ""), "early: \"at once\" ");
  engine.pass(84'999);
  EXPECT_EQ(joining.log, "");
  engine.pass(1);
  EXPECT_EQ(joining.log, "dated: \"nobody\" ");
  MUST(blazen_run_send_event(run, event("End"), nullptr, e));
  engine.pass(0);
  EXPECT_EQ(describe(outcome(run).result), "json \"joined\"");
}

// ------------------------------------------------------------------------------------------- runs inside a run

struct Nested {
  std::deque<Invocation> held;  // in flight, of runs inside
  std::string log;              // which bodies ran, in order
  int flaky = 0;

  Workflow build() {
    Spec spec("golden children");
    spec.timeout_ms = 600'000;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx& ctx) {
      for (const char* type : {"Hold", "Ask", "Both", "Flaky"}) ctx.emit(type, "1");
    });
    spec.child("hold", {"Hold"}, holding("hold"))
        .input([this](Ctx& ctx) {
          log += "input ";
          ctx.answer("[" + ctx.input() + "]");
        })
        .output([this](Ctx& ctx) {
          log += "output(" + ctx.input() + ") ";
          ctx.answer(ctx.input());
        });
    spec.child("ask", {"Ask"}, around(asking()));
    spec.children("both", {"Both"}, {{"held", holding("both")}, {"quick", doubling()}});
    spec.child("flaky", {"Flaky"}, failing()).retry(retries(3, 700, 2));
    spec.step("done", {"hold::output", "ask::output", "both::output", "flaky::output"},
              [this](Ctx& ctx) { log += "done(" + ctx.input() + ") "; });
    spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop("\"nested\""); });
    return spec.build();
  }

  // What is held ends, in order of its start, and its run with it.
  void complete(Engine& engine, const char* text) {
    const Invocation one = std::move(held.front());
    held.pop_front();
    Ctx(one).stop(text);
    MUST(blazen_invocation_complete(one, e));
    engine.pass(0);
  }

 private:
  Spec holding(const std::string& name) {
    Spec spec(name);
    spec.start([this, name](Ctx& ctx) -> blazen_status {
      log += name + "(" + ctx.input() + ") ";
      ctx.set("k", "\"of " + name + "\"");
      ctx.publish("P", ctx.input());
      held.push_back(ctx.defer());
      return BLAZEN_PENDING;
    });
    return spec;
  }
  Spec asking() {
    Spec spec("asks");
    spec.start([this](Ctx& ctx) -> blazen_status {
      log += "ask ";
      const std::string answer = ctx.ask("Who?", "who");
      return answer.empty() ? BLAZEN_PENDING : ctx.stop(answer);
    });
    return spec;
  }
  Spec around(const Spec& inner) {
    Spec spec("around");
    spec.child("inner", {BLAZEN_START_EVENT}, inner).output_type(BLAZEN_STOP_EVENT);
    return spec;
  }
  Spec doubling() {
    Spec spec("doubles");
    spec.start([this](Ctx& ctx) {
      log += "double ";
      ctx.stop(std::to_string(2 * std::stoi(ctx.input())));
    });
    return spec;
  }
  Spec failing() {
    Spec spec("fails");
    spec.start([this](Ctx& ctx) -> blazen_status {
      log += "flaky" + std::to_string(++flaky) + " ";
      return flaky < 3 ? ctx.fail(4711, "not yet") : ctx.stop(std::to_string(flaky));
    });
    return spec;
  }
};

// A run inside in flight, one within another that asks, one of two branches, and a step whose run has failed in its
// back-off.
std::string make_nested() {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Nested nested;
  const RunHandle run = start(engine, nested.build());
  engine.pass(0);
  engine.pass(100);
  EXPECT_EQ(nested.log, "input ask flaky1 hold([1]) both(1) double ");
  const std::string bytes = snapshot_bytes(run);
  nested.held.clear();
  return bytes;
}

TEST(Golden, RunsInsideGoOnToTheirEnd) {
  const std::string bytes = read_golden("children.cbor");
  const Json info = Json::parse(info_of(parse(bytes)));
  EXPECT_EQ(info.at("children"), 4);
  EXPECT_EQ(info.at("inside"),
            Json::parse(R"({"queued":1,"in_flight":3,"delayed":0,"retrying":0,"questions":1,)"
                        R"("events_routed":5})"));
  FakeClock clock;
  clock.now_ms += 86'400'000;
  Engine engine(Way::pump, &clock);
  Nested nested;
  nested.flaky = 1;
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), nested.build(), parse(bytes), nullptr, run.out(), e));
  if (info.at("engine") == BLAZEN_VERSION)
    EXPECT_EQ(snapshot_bytes(run), bytes) << "and that again is the same";
  const Stream stream = subscribe_with(run, {.types = {"P"}});
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  EXPECT_EQ(std::exchange(nested.log, ""), "hold([1]) both(1) ") << "what they have published is not again";
  ASSERT_EQ(nested.held.size(), 2U);
  nested.complete(engine, "\"held\"");
  EXPECT_EQ(std::exchange(nested.log, ""), "output(\"held\") done(\"held\") ");
  nested.complete(engine, "3");
  EXPECT_EQ(std::exchange(nested.log, ""), "done({\"held\":3,\"quick\":2}) ");
  const Json questions = questions_of(run);
  ASSERT_EQ(questions.size(), 1U);
  EXPECT_EQ(questions[0]["step"], "ask#3/inner#1/start");
  const std::string id = questions[0]["request_id"];
  EXPECT_EQ(id.substr(36), "/who");
  EXPECT_EQ(respond(run, id, "\"me\""), BLAZEN_OK);
  engine.pass(0);
  EXPECT_EQ(std::exchange(nested.log, ""), "ask done(\"me\") ");
  engine.pass(599);
  EXPECT_EQ(std::exchange(nested.log, ""), "");
  engine.pass(1);
  EXPECT_EQ(std::exchange(nested.log, ""), "flaky2 ");
  engine.pass(1399);
  EXPECT_EQ(nested.log, "");
  engine.pass(1);
  EXPECT_EQ(nested.log, "flaky3 done(3) ");
  MUST(blazen_run_send_event(run, event("End"), nullptr, e));
  engine.pass(0);
  EXPECT_EQ(describe(outcome(run).result), "json \"nested\"");
  EXPECT_EQ(text_of(take(stream)), "blazen::StreamEnd=null");
}

TEST(Golden, DISABLED_Write) {
  write_golden("children.cbor", make_nested());
  write_golden("busy.cbor", make_busy());
  write_golden("joining.cbor", make_joining());
  write_golden("failed.cbor", make_failed());
}

// What stays the same from run to run.
Json info_without_id(const std::string& bytes) {
  Json info = Json::parse(info_of(parse(bytes)));
  info.erase("run_id");
  info.erase("engine");
  return info;
}

// The run of today is in the same situation: what follows is no dead letter.
TEST(Golden, IsWhatARunOfTodayWouldGive) {
  for (const auto& [name, made] :
       {std::pair("busy.cbor", make_busy()), std::pair("joining.cbor", make_joining()),
        std::pair("children.cbor", make_nested()), std::pair("failed.cbor", make_failed())}) {
    const std::string kept = read_golden(name);
    EXPECT_EQ(info_without_id(kept), info_without_id(made)) << name;
  }
}

RunHandle resume_busy(const Engine& engine, Busy& busy, const std::string& bytes) {
  blazen_deserializer one = {BLAZEN_TEXT("test/connection"), Connection::deserialize, &busy.connection,
                             nullptr};
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.deserializers = &one;
  options.deserializer_count = 1;
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), busy.build(), parse(bytes), &options, run.out(), e));
  return run;
}

TEST(Golden, SaysWhatItHolds) {
  const std::string bytes = read_golden("busy.cbor");
  const Json info = Json::parse(info_of(parse(bytes)));
  EXPECT_EQ(info.at("format"), 1);
  EXPECT_EQ(info.at("workflow"), "golden busy");
  EXPECT_EQ(info.at("fingerprint").get<std::string>(), kBusyFingerprint);
  EXPECT_EQ(info.at("state"), "running");
  EXPECT_EQ(info.at("in_flight"), 2);
  EXPECT_EQ(info.at("queued"), 4) << "two works, one that was answered, one in back-off";
  EXPECT_EQ(info.at("stream_sequence"), 6);
  FakeClock clock;
  clock.now_ms += 86'400'000;
  Engine engine(Way::pump, &clock);
  Busy busy;
  busy.connection.text.clear();
  const RunHandle run = resume_busy(engine, busy, bytes);
  EXPECT_EQ(busy.connection.text, "{\"dsn\": \"there\"}");
  EXPECT_EQ(open_ids(run), "direct,named");
  for (const Json& question : questions_of(run)) EXPECT_EQ(question.at("asked_ms"), 1'700'000'000'000);
  EXPECT_EQ(data_of(blazen_snapshot_metadata(parse(bytes))), "{\"owner\": \"test\"}");
  const Json description = describe_run(run);
  EXPECT_EQ(description.at("retrying").at(0).at("due_in_ms"), 600);
  EXPECT_EQ(description.at("retrying").at(0).at("attempt"), 2);
  EXPECT_EQ(description.at("delayed").at(0).at("due_in_ms"), 4900);
  if (info.at("engine") == BLAZEN_VERSION)
    EXPECT_EQ(snapshot_bytes(run), bytes) << "and that again is the same";
}

TEST(Golden, GoesOnToItsEnd) {
  const std::string bytes = read_golden("busy.cbor");
  FakeClock clock;
  clock.now_ms += 86'400'000;
  Engine engine(Way::pump, &clock);
  Busy busy;
  const RunHandle run = resume_busy(engine, busy, bytes);
  const Stream stream = subscribe_with(run, {.types = {BLAZEN_LIFECYCLE, "P"}, .lifecycle = true});
  MUST(blazen_run_start(run, nullptr, e));
  engine.pass(0);
  EXPECT_EQ(std::exchange(busy.log, ""), "work1 work2 ask ") << "what they had sent is not sent again";
  EXPECT_EQ(busy.held.size(), 2U);
  EXPECT_EQ(correlation_of(blazen_invocation_event(busy.held[0])), "order-7");
  EXPECT_EQ(source_of(blazen_invocation_event(busy.held[0])), "start");
  while (!busy.held.empty()) {
    const Invocation one = std::move(busy.held.front());
    busy.held.pop_front();
    Ctx(one).set("done.work" + input_of(blazen_invocation_event(one)), std::to_string(Ctx(one).id()));
    MUST(blazen_invocation_complete(one, e));
    engine.pass(0);
  }
  EXPECT_EQ(std::exchange(busy.log, ""), "work3 note work4 note ");
  EXPECT_EQ(respond(run, "direct", "true"), BLAZEN_OK);
  EXPECT_EQ(respond(run, "named", "\"two\""), BLAZEN_OK);
  engine.pass(599);
  EXPECT_EQ(std::exchange(busy.log, ""), "ask answered ");
  engine.pass(1);
  EXPECT_EQ(std::exchange(busy.log, ""), "flaky2 ");
  EXPECT_EQ(engine.next_timer(), 1400) << "its back-off has doubled";
  engine.pass(1400);
  EXPECT_EQ(std::exchange(busy.log, ""), "flaky3 ");
  engine.pass(2899);
  EXPECT_EQ(busy.log, "");
  engine.pass(1);
  EXPECT_EQ(busy.log, "late ");
  MUST(blazen_run_send_event(run, event("End"), nullptr, e));
  engine.pass(0);
  EXPECT_EQ(describe(outcome(run).result), kBusyResult);
  std::string published;
  for (const Item& item : take(stream)) {
    EXPECT_EQ(item.value.find("send_"), std::string::npos)
        << "the stream says that it diverged: " << item.value;
    if (item.type == "P") published += std::to_string(item.sequence) + item.value + " ";
  }
  EXPECT_EQ(published, "7json 3 8json 4 ");
}

TEST(Golden, OfAFailedRunHasItsErrorWithCauseAndDetail) {
  Engine engine;
  const Workflow workflow = Spec("golden failed").step("broken", {BLAZEN_START_EVENT}, [](Ctx&) {}).build();
  const RunHandle run = resume(engine, workflow, read_golden("failed.cbor"));
  const Outcome end = outcome(run);
  EXPECT_EQ(end.state, BLAZEN_RUN_FAILED);
  EXPECT_EQ(end.text(), kFailedText);
  EXPECT_EQ(describe(end.error.cause().detail()), "native(test/why) why");
}

// A workflow that was built by an earlier version, or by another language, has the fingerprint that it had.
TEST(Golden, FingerprintsStayWhatTheyWere) {
  const auto fingerprint = [](const Spec& spec) {
    return std::string(blazen_workflow_fingerprint(spec.build(), nullptr));
  };
  const auto nothing = [](Ctx&) {};
  EXPECT_EQ(fingerprint(Spec().start(nothing)), kFingerprints[0]);
  EXPECT_EQ(fingerprint(Spec().start(nothing).step("a", {"A"}, nothing)), kFingerprints[1]);
  EXPECT_EQ(fingerprint(Spec().start(nothing).step("a", {"A", "B"}, nothing).step("b", {"C"}, nothing)),
            kFingerprints[2]);
  EXPECT_EQ(fingerprint(Spec().start(nothing).step("a", {"A"}, nothing).step("b", {"B", "C"}, nothing)),
            kFingerprints[3])
      << "where a list of types ends counts";
  EXPECT_EQ(fingerprint(Spec().start(nothing).elsewhere("\xc3\xa9t\xc3\xa9", {"\xe2\x82\xac"})),
            kFingerprints[4]);
}

}  // namespace
}  // namespace bt
