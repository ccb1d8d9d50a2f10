// Runs in every state that a snapshot can find them in, made by driving reduce() as the engine does. Unit
// tests and the fuzz target share them.
#pragma once

#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run/reduce.hpp"
#include "snapshot/decode.hpp"
#include "snapshot/encode.hpp"
#include "snapshot/restore.hpp"

namespace blazen::samples {

// ---- the workflow: a fan-out to two steps, one with two permits; a step that may be elsewhere; a join ----

inline StepDefinition step(std::string name, std::vector<std::string> accepts, uint32_t concurrency_max = 0,
                           bool here = true) {
  StepDefinition definition;
  definition.name = std::move(name);
  definition.accepts = std::move(accepts);
  definition.concurrency_max = concurrency_max;
  if (here) definition.body = Ref<StepBody>::adopt(new StepBody(nullptr, nullptr, nullptr));
  return definition;
}

enum class Hosting { all, without_remote };

inline std::vector<StepDefinition> sample_steps(Hosting hosting) {
  return {step("split", {std::string(kStartEvent)}), step("work", {"Work"}, 2),
          step("check", {"Work", "Note"}), step("remote", {"Remote"}, 0, hosting == Hosting::all),
          step("join", {"Done"})};
}

inline Ref<Workflow> build(std::string_view name, const std::vector<StepDefinition>& steps,
                           Unhandled unhandled = Unhandled::ignore) {
  WorkflowPolicy policy;
  policy.unhandled = unhandled;
  policy.idle = Idle::wait;
  Result<Ref<Workflow>> workflow = Workflow::build(name, steps, policy);
  if (!workflow) std::abort();
  return *workflow;
}

inline Ref<Workflow> sample_workflow(Hosting hosting, Unhandled unhandled = Unhandled::ignore) {
  return build("orders", sample_steps(hosting), unhandled);
}

inline Ref<Value> json(std::string_view text) { return Value::copy(Tag::json, text); }
inline Ref<Value> bytes(std::string_view data) { return Value::copy(Tag::bytes, data); }
inline Ref<Value> native(std::string_view data, std::string_view codec) {
  return Value::copy(Tag::native, data, codec);
}
// No snapshot can keep it.
inline Ref<Value> live() { return Value::live(nullptr, "db", nullptr); }

// ---- LIVE values whose object is the very value that is kept of them ----

inline Ref<Value> kept_live(Ref<Value> kept, std::string_view label = "db") {
  const auto drop = [](void* object) { Ref<Value>::adopt(static_cast<Value*>(object)).reset(); };
  const auto serialize = reinterpret_cast<SerializeFn>(+[] {});
  Ref<Value> value = Value::live(kept.get(), label, drop, serialize);
  kept.take();
  return value;
}

inline Ref<Error> serialize(const Value& live, Ref<Value>& kept) noexcept {
  kept = Ref<Value>::share(static_cast<const Value*>(live.object()));
  return nullptr;
}

// Knows every label.
class Maker final : public LiveMaker {
 public:
  bool knows(std::string_view) const noexcept override { return true; }
  bool skips_unknown() const noexcept override { return false; }
  Ref<Error> make(std::string_view label, const Ref<Value>& kept, Ref<Value>& live) override {
    live = kept_live(kept, label);
    return nullptr;
  }
};

inline Ref<Error> restore(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                          bool allow_changed_workflow, RunState& state) {
  Maker maker;
  return restore_run(document, workflow, allow_changed_workflow, state, &maker);
}

// ---- the workflow of the samples with scopes: openers within openers, joins of every kind ----

inline StepDefinition join(StepDefinition step, JoinDefinition how) {
  step.join = std::move(how);
  return step;
}

inline Ref<Workflow> joined_workflow(Hosting hosting) {
  std::vector<StepDefinition> steps = {
      step("split", {std::string(kStartEvent)}),
      step("work", {"Work"}, 2),
      step("open", {"Open"}),
      step("race", {"Race"}),
      join(step("join", {"Done"}), {.of = "split", .deadline_ms = 1000, .is_ordered = true}),
      join(step("count", {"Count"}), {.of = "split", .mode = JoinDefinition::Mode::first_n, .wanted = 2}),
      join(step("group", {"Item"}),
           {.of = "open", .mode = JoinDefinition::Mode::first_n, .wanted = 2, .by_event = true}),
      join(step("won", {"Won"}),
           {.of = "race", .mode = JoinDefinition::Mode::any, .wanted = 1, .cancels_rest = true}),
      step("remote", {"Remote"}, 0, hosting == Hosting::all)};
  return build("joined", steps);
}

// The one that a snapshot was taken of.
inline Ref<Workflow> workflow_named(std::string_view name, Hosting hosting) {
  return name == "joined" ? joined_workflow(hosting) : sample_workflow(hosting);
}

// ---- a run, one tick at a time ----

class Driver {
 public:
  explicit Driver(const Ref<Workflow>& workflow) : holder(std::make_unique<RunState>()), state(*holder) {
    state.workflow = workflow;
    make_steps(state);
    for (size_t i = 0; i < state.id.size(); ++i) state.id[i] = static_cast<uint8_t>(17 * i);
  }
  explicit Driver(std::unique_ptr<RunState> restored) : holder(std::move(restored)), state(*holder) {}
  // Between two ticks: there is nothing in the commands.
  Driver(Driver&& other) noexcept : holder(std::move(other.holder)), state(*holder), now_ms(other.now_ms) {}

  Output output(std::string_view type, Ref<Value> value, std::string_view source = {},
                std::string_view correlation = {}) {
    return {Event::make(type, std::move(value), source, correlation), state.workflow->find_type(type),
            kNoStep};
  }
  Output to(Output output, std::string_view name) {
    output.target = state.workflow->find_step(name);
    return output;
  }

  void apply(Tick tick) {
    tick.now_ms = now_ms;
    tick.date_ms = now_ms;
    for (const Output& output : tick.outputs)
      tick.is_special |= output.delay_ms != 0 || output.type == kInputRequestType;
    commands.clear();
    reduce(state, tick, commands);
    check_invariants(state);
  }
  void start(Ref<Value> input) {
    Output outputs[] = {output(kStartEvent, std::move(input))};
    apply({.kind = Tick::Kind::start, .outputs = outputs});
  }
  void post(Output event) { apply({.kind = Tick::Kind::post, .outputs = {&event, 1}}); }
  Invocation* dispatch() {
    apply({.kind = Tick::Kind::dispatch});
    return commands.start;
  }
  void send(Invocation* invocation, Output event, Effect effect) {
    apply({.kind = Tick::Kind::send, .invocation = invocation, .outputs = {&event, 1}, .effect = effect});
  }
  void publish(Invocation* invocation, Output event, Effect effect) {
    apply({.kind = Tick::Kind::publish, .invocation = invocation, .outputs = {&event, 1}, .effect = effect});
  }
  void complete(Invocation* invocation, std::vector<Output> outputs) {
    apply({.kind = Tick::Kind::complete, .invocation = invocation, .outputs = outputs});
  }
  void fail(Invocation* invocation, Ref<Error> error) {
    apply({.kind = Tick::Kind::fail, .invocation = invocation, .error = std::move(error)});
  }
  // What an event or a body asks.
  Output request(std::string_view id, std::string_view source = {}) {
    return output(kInputRequest, json("{\"request_id\":\"" + std::string(id) + "\",\"prompt\":\"?\"}"),
                  source, id);
  }
  Output later(int64_t delay_ms, Output output) {
    output.delay_ms = delay_ms;
    return output;
  }
  // deadline_ms: 0: none.
  void ask(Invocation* invocation, std::string_view id, bool calls_back = false, uint64_t digest = 7,
           int64_t deadline_ms = 0, Ref<Value> default_answer = nullptr) {
    Output question = request(id, state.workflow->steps()[invocation->step].name);
    const Asked asked{digest, {}, deadline_ms, std::move(default_answer)};
    apply({.kind = Tick::Kind::ask,
           .invocation = invocation,
           .outputs = {&question, 1},
           .question = &asked,
           .calls_back = calls_back});
  }
  void suspend(Invocation* invocation) { apply({.kind = Tick::Kind::suspend, .invocation = invocation}); }
  void respond(std::string_view id, Ref<Value> answer) {
    Output response = output(kInputResponse, answer, {}, id);
    apply({.kind = Tick::Kind::respond, .outputs = {&response, 1}, .value = std::move(answer)});
  }
  void respond_early(std::string_view id, Ref<Value> answer) {
    Output response = output(kInputResponse, answer, {}, id);
    apply({.kind = Tick::Kind::respond_early, .outputs = {&response, 1}, .value = std::move(answer)});
  }
  void withdraw(std::string_view id) {
    Output question = output(kInputResponse, json("null"), {}, id);
    apply({.kind = Tick::Kind::withdraw, .outputs = {&question, 1}});
  }
  void pause(Pause how) { apply({.kind = Tick::Kind::pause, .pause = how}); }
  // So much later, and whatever is due then.
  void pass(int64_t ms) {
    now_ms += ms;
    apply({.kind = Tick::Kind::time});
  }
  void end(Phase phase, Ref<Error> error) {
    apply({.kind = Tick::Kind::end, .phase = phase, .error = std::move(error)});
  }
  void set(std::string_view key, Ref<Value> value, Tick::Kind place = Tick::Kind::write) {
    Write writes[] = {{.kind = Write::Kind::set, .key = key, .value = std::move(value)}};
    apply({.kind = place, .writes = writes});
  }
  void remove(std::string_view key) {
    Write writes[] = {{.kind = Write::Kind::remove, .key = key, .value = nullptr}};
    apply({.kind = Tick::Kind::write, .writes = writes});
  }
  void set_session(std::string_view key, Ref<Value> value) {
    set(key, std::move(value), Tick::Kind::session);
  }

  // A started run with `count` Work events: `work` and `check` get each.
  void fan_out(int count) {
    start(json("{}"));
    std::vector<Output> outputs;
    for (int i = 0; i < count; ++i) outputs.push_back(output("Work", json(std::to_string(i)), "split"));
    complete(dispatch(), std::move(outputs));
  }

  std::unique_ptr<RunState> holder;
  RunState& state;
  Commands commands;
  int64_t now_ms = 0;
};

// ---- snapshots ----

inline std::string text_of(std::span<const uint8_t> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}
inline std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The pieces of a snapshot, together.
struct PieceText final : CborSink {
  std::string text;
  bool take(std::span<const uint8_t> piece) override {
    text += text_of(piece);
    return true;
  }
};

// Whether the form that is written in pieces has these bytes, or was refused as this one was.
inline bool is_streamed_alike(SnapshotCut cut, const CborBuffer& whole, const Error* refusal) {
  PieceText pieces;
  const Ref<Error> refused = encode_snapshot_to(pieces, cut, serialize);
  if (refusal != nullptr) return refused && refused->message == refusal->message && pieces.text.empty();
  return !refused && pieces.text == text_of(whole.bytes());
}

// The snapshot, as the engine takes it. engine: who is said to have written it.
inline Result<std::string> try_snapshot(const RunState& state, std::string_view engine = kEngineVersion,
                                        int64_t now_ms = 0) {
  const auto make_cut = [&] {
    SnapshotCut made = cut_snapshot(state, now_ms, now_ms != 0 ? now_ms : state.clock.set_date_ms);
    made.engine = engine;
    return made;
  };
  SnapshotCut cut = make_cut();
  SnapshotCut same = make_cut();
  Result<CborBuffer> encoded = encode_snapshot(cut, serialize);
  keep_orders(cut, state);
  if (!encoded) {
    const Ref<Error> refusal = encoded.error();
    if (!is_streamed_alike(std::move(same), {}, refusal.get())) std::abort();
    return refusal;
  }
  if (!is_streamed_alike(std::move(same), *encoded, nullptr)) std::abort();
  return text_of(encoded->bytes());
}

inline std::string snapshot(const RunState& state, std::string_view engine = kEngineVersion,
                            int64_t now_ms = 0) {
  Result<std::string> taken = try_snapshot(state, engine, now_ms);
  if (!taken) std::abort();
  return *taken;
}

// ---- the samples ----

struct Sample {
  std::string name;
  std::unique_ptr<RunState> holder;
  const RunState& state = *holder;
};

inline Ref<Error> nested_error() {
  Ref<Error> bottom = Error::host(-7, "disk is gone", native("\x80\x04.", "python/pickle"));
  Ref<Error> middle = Error::at(Status::invalid_json, "not JSON", 17);
  middle->cause = std::move(bottom);
  return Error::step_failed("work", 3, std::move(middle));
}

inline void add_created(std::vector<Sample>& samples) {
  Driver plain(sample_workflow(Hosting::all));
  samples.push_back({"created", std::move(plain.holder)});
  Driver given(sample_workflow(Hosting::all));
  given.state.metadata = json("{\"tenant\": 7}");
  samples.push_back({"created-metadata", std::move(given.holder)});
}

inline void add_running(std::vector<Sample>& samples) {
  const Ref<Workflow> all = sample_workflow(Hosting::all);
  Driver started(all);
  started.start(json("[1, 2]"));
  samples.push_back({"started", std::move(started.holder)});

  Driver idle(all);
  idle.start(json("null"));
  idle.complete(idle.dispatch(), {});
  samples.push_back({"idle", std::move(idle.holder)});

  Driver unhandled(all);
  unhandled.start(json("null"));
  unhandled.post(unhandled.output("Nobody", json("1")));
  samples.push_back({"unhandled", std::move(unhandled.holder)});

  Driver permits(all);
  permits.fan_out(5);
  samples.push_back({"fan-out", std::move(permits.holder)});

  Driver busy(all);
  busy.fan_out(5);
  for (int i = 0; i < 5; ++i) busy.dispatch();
  busy.complete(busy.state.in_flight.front(), {busy.output("Done", bytes({"\0\xff", 2}), "work", "group-1")});
  samples.push_back({"busy", std::move(busy.holder)});
}

inline void add_effects(std::vector<Sample>& samples) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(json("null"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.output("Work", native("\x01\x02", "java/serial"), "split", "c-1"),
              {0x0102030405060708, 0x1112131415161718});
  driver.publish(split, driver.output("Progress", json("0.5"), "split"), {UINT64_MAX, 0});
  driver.send(split, driver.to(driver.output("Work", native("", ""), "split"), "check"), {0, UINT64_MAX});
  Invocation* work = driver.dispatch();
  work->attempt = 3;
  samples.push_back({"effects", std::move(driver.holder)});
}

inline void add_elsewhere(std::vector<Sample>& samples) {
  Driver parked(sample_workflow(Hosting::without_remote));
  parked.start(json("null"));
  parked.complete(parked.dispatch(),
                  {parked.output("Remote", json("1"), "split"), parked.output("Work", json("2"), "split"),
                   parked.output("Remote", json("3"), "split")});
  samples.push_back({"parked", std::move(parked.holder)});

  // In flight where the step is, and then resumed where it is not.
  Driver remote(sample_workflow(Hosting::all));
  remote.fan_out(2);
  remote.post(remote.output("Remote", json("1")));
  for (int i = 0; i < 5; ++i) remote.dispatch();
  const std::string taken = snapshot(remote.state);
  Result<SnapshotDocument> document = decode_snapshot(bytes_of(taken));
  auto moved = std::make_unique<RunState>();
  if (!document || restore_run(*document, sample_workflow(Hosting::without_remote), false, *moved))
    std::abort();
  Driver resumed(std::move(moved));
  resumed.dispatch();
  resumed.post(resumed.output("Remote", json("2")));
  samples.push_back({"interrupted", std::move(resumed.holder)});
}

inline void add_tables(std::vector<Sample>& samples) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(json("null"));
  driver.set("b", json("  {\"a\": [1.0, 1e400]} "));
  driver.set_session("user", bytes("u"));
  driver.set("a", bytes(std::string(300, 'x')));
  driver.set("\xc3\xa9", native("\xff", "python/pickle"));
  driver.set("ab", native("no codec", ""));
  driver.set("B", json("\"\\u0000\""));
  driver.set_session("cache", native("1", "node/v8"));
  driver.set("b", json("2"));
  driver.set(std::string(kNameBytesMax, 'k'), bytes(""));
  driver.state.metadata = bytes("m");
  samples.push_back({"tables", std::move(driver.holder)});
}

inline void add_ended(std::vector<Sample>& samples) {
  for (const auto& [name, result] :
       {std::pair("completed-json", json("{\"sum\":3}")), std::pair("completed-bytes", bytes("")),
        std::pair("completed-native", native("\x80", "python/pickle"))}) {
    Driver driver(sample_workflow(Hosting::all));
    driver.fan_out(4);
    Invocation* first = driver.dispatch();
    driver.dispatch();  // its body still runs at the end
    driver.set("sum", json("3"));
    driver.complete(first, {driver.output(kStopEvent, result, "work")});
    samples.push_back({name, std::move(driver.holder)});
  }
  Driver failed(sample_workflow(Hosting::all));
  failed.fan_out(1);
  failed.fail(failed.dispatch(), nested_error());
  samples.push_back({"failed-nested", std::move(failed.holder)});

  Driver refused(sample_workflow(Hosting::all, Unhandled::fail));
  refused.start(json("null"));
  refused.complete(refused.dispatch(), {refused.output("Nobody", json("1"), "split")});
  samples.push_back({"failed-no-handler", std::move(refused.holder)});

  Driver cancelled(sample_workflow(Hosting::all));
  cancelled.fan_out(3);
  cancelled.end(Phase::cancelled, Error::make(Status::cancelled, "the run was closed"));
  samples.push_back({"cancelled", std::move(cancelled.holder)});

  Driver unstarted(sample_workflow(Hosting::all));
  unstarted.end(Phase::cancelled, Error::make(Status::cancelled, "the run was closed"));
  samples.push_back({"cancelled-unstarted", std::move(unstarted.holder)});
}

// LIVE in every place where it may be, and names of what is gone.
inline void add_live(std::vector<Sample>& samples) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(kept_live(json("{\"dsn\": \"x\"}"), "python/Connection"));
  driver.dispatch();
  driver.set_session("db", kept_live(native("\x80\x04", "python/pickle")));
  driver.set_session("name", json("\"n\""));
  driver.set_session("unlabelled", kept_live(bytes(std::string(300, 'x')), ""));
  driver.post(driver.output("Note", kept_live(bytes("")), {}, "c-1"));
  driver.state.heritage = std::make_unique<const Heritage>(
      Heritage{.dropped = {"session 'gpu'", "event 'Note' (id 7)"}, .kept_sections = {}});
  samples.push_back({"live", std::move(driver.holder)});

  Driver completed(sample_workflow(Hosting::all));
  completed.start(json("1"));
  completed.complete(completed.dispatch(), {completed.output(kStopEvent, kept_live(json("[]")), "split")});
  samples.push_back({"completed-live", std::move(completed.holder)});

  Driver failed(sample_workflow(Hosting::all));
  failed.start(json("1"));
  Ref<Error> cause = nested_error();
  cause->detail = kept_live(json("1"), "a");
  cause->cause->cause->detail = kept_live(native("", ""), "b");
  failed.fail(failed.dispatch(), std::move(cause));
  samples.push_back({"failed-live", std::move(failed.holder)});
}

// As the sample workflow; `work` is tried again after 100, 200, ... ms.
inline Ref<Workflow> retrying_workflow() {
  std::vector<StepDefinition> steps = sample_steps(Hosting::all);
  steps[1].retry.attempts_max = 9;
  steps[1].retry.delay_ms = 100;
  return build("orders", steps);
}

// A run that began in 2023, in which nothing can happen but by the time or by a human: events that come
// later, two of them in one moment and one to one step; two attempts that back off, one with effects; one
// question of an event, one of a body that left, and one of a body that waits for three, of which two are
// answered.
inline std::unique_ptr<RunState> waiting_run() {
  Driver driver(retrying_workflow());
  driver.now_ms = 1'700'000'000'000;
  driver.start(json("{}"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.later(30, driver.output("Note", json("1"), "split")), {5, 6});
  std::vector<Output> outputs;
  for (int i = 0; i < 2; ++i) outputs.push_back(driver.output("Work", json(std::to_string(i)), "split"));
  outputs.push_back(driver.output("Remote", json("0"), "split"));
  outputs.push_back(driver.later(500, driver.output("Note", json("2"), "split")));
  outputs.push_back(driver.later(500, driver.to(driver.output("Work", bytes("3"), "split"), "work")));
  outputs.push_back(driver.later(70, driver.request("later", "split")));
  outputs.push_back(driver.request("of an event", "split"));
  driver.complete(split, std::move(outputs));
  driver.pass(40);
  while (Invocation* started = driver.dispatch()) {
    const std::string& step = driver.state.workflow->steps()[started->step].name;
    const std::string id = std::to_string(started->id);
    if (step == "work") {
      driver.send(started, driver.output("Done", json("1"), "work"), {11 * started->id, 1});
      driver.fail(started, nested_error());
    } else if (step == "remote") {
      for (const char* question : {"a", "b", "c"}) driver.ask(started, question);
      driver.suspend(started);
    } else if (started->event->type() == "Note") {
      driver.ask(started, "of a body");
      driver.suspend(started);
    } else {
      driver.complete(started, {});
    }
    driver.pass(1);
  }
  driver.respond("b", json("\"yes\""));
  driver.respond("a", kept_live(bytes("no"), "answer"));
  return std::move(driver.holder);
}

// The same with bodies at work: an attempt that is not the first, one that has asked and not left, one whose
// answers go to callbacks.
inline std::unique_ptr<RunState> asking_run() {
  Driver driver(waiting_run());
  driver.now_ms = driver.state.clock.set_date_ms;
  driver.pass(100);  // the attempts are due
  Invocation* remote = nullptr;
  while (Invocation* started = driver.dispatch()) {
    const std::string& step = driver.state.workflow->steps()[started->step].name;
    if (step == "remote") remote = started;
    if (step == "work") driver.publish(started, driver.output("Progress", json("1"), "work"), {9, 10});
  }
  driver.ask(remote, "c");
  driver.ask(driver.state.in_flight.front(), "calls back", true);
  return std::move(driver.holder);
}

inline void add_waiting(std::vector<Sample>& samples) {
  samples.push_back({"waiting", waiting_run()});
  samples.push_back({"asking", asking_run()});
  Driver answers(asking_run());
  answers.now_ms = answers.state.clock.set_date_ms + 7;
  Invocation* at_work = answers.state.in_flight.front();
  answers.ask(at_work, "until then", true, 8, 1000, bytes("default"));
  answers.ask(at_work, "a minute", true, 8, 60'000, native("d", "codec"));
  answers.ask(at_work, "taken back", true, 9, 5, json("1"));
  answers.withdraw("taken back");
  answers.withdraw("calls back");
  answers.respond_early("not asked yet", json("[1]"));
  answers.respond_early("nor this", bytes(""));
  samples.push_back({"answers", std::move(answers.holder)});
  for (const Pause how : {Pause::now, Pause::drain}) {
    Driver paused(asking_run());
    paused.now_ms = paused.state.clock.set_date_ms + 7;
    paused.pause(how);
    samples.push_back({how == Pause::now ? "paused" : "draining", std::move(paused.holder)});
  }
  Driver moment(sample_workflow(Hosting::all));
  moment.now_ms = 1;
  moment.start(json("1"));
  moment.complete(moment.dispatch(), {moment.later(INT64_MAX / 4, moment.output("Note", json("1")))});
  moment.pause(Pause::drain);
  samples.push_back({"far-away", std::move(moment.holder)});
}

// A scope with all that may be in one: its opener, arrivals, memberships of each kind, a scope inside with groups that
// collect and one that was given, and a scope that was cancelled while its opener goes on.
inline std::unique_ptr<RunState> scopes_run() {
  Driver driver(joined_workflow(Hosting::all));
  driver.now_ms = 1'700'000'000'000;
  driver.start(json("{}"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.output("Work", json("0"), "split"), {1, 2});
  driver.pass(10);
  std::vector<Output> outputs;
  for (const char* type : {"Work", "Count", "Open", "Race", "Remote"})
    outputs.push_back(driver.output(type, json("1"), "split"));
  outputs.push_back(driver.later(500, driver.output("Work", bytes("2"), "split")));
  outputs.push_back(driver.request("of an event", "split"));
  driver.complete(split, std::move(outputs));
  while (Invocation* started = driver.dispatch()) {
    const std::string& step = driver.state.workflow->steps()[started->step].name;
    if (step == "work" && started->event->value()->data() == "0") {
      driver.complete(started, {driver.output("Done", json("0"), "work"), driver.output("Work", json("3"))});
    } else if (step == "open") {
      std::vector<Output> items;
      for (const char* correlation : {"b", "a", "a", "", "c", "c"})
        items.push_back(driver.output("Item", json("1"), "open", correlation));
      items.push_back(driver.output("Work", json("4"), "open"));
      items.push_back(driver.later(70, driver.output("Item", json("5"), "open", "a")));
      driver.complete(started, std::move(items));
    } else if (step == "race") {
      driver.send(started, driver.output("Work", json("6"), "race"), {3, 4});
      driver.send(started, driver.later(70, driver.output("Won", json("7"), "race")), {5, 6});
      driver.send(started, driver.output("Won", json("8"), "race"), {7, 8});
      driver.send(started, driver.output("Won", json("late"), "race"), {9, 10});
    }
    if (driver.state.in_flight.size() == 6) break;
  }
  return std::move(driver.holder);
}

inline void add_scopes(std::vector<Sample>& samples) {
  samples.push_back({"scopes", scopes_run()});
  Driver paused(scopes_run());
  paused.now_ms = 1'700'000'000'400;
  paused.pause(Pause::now);
  samples.push_back({"scopes-paused", std::move(paused.holder)});
  // The deadline has passed: its join is invoked, and what comes then is late.
  Driver later(scopes_run());
  later.now_ms = 1'700'000'000'000;
  for (int i = 0; i < 12; ++i) later.pass(100);
  samples.push_back({"scopes-closed", std::move(later.holder)});
  Driver over(joined_workflow(Hosting::all));
  over.now_ms = 1;
  over.start(json("1"));
  over.complete(over.dispatch(), {});
  while (Invocation* started = over.dispatch()) over.complete(started, {});
  samples.push_back({"scopes-over", std::move(over.holder)});
}

inline std::vector<Sample> make_samples() {
  std::vector<Sample> samples;
  add_created(samples);
  add_running(samples);
  add_effects(samples);
  add_elsewhere(samples);
  add_tables(samples);
  add_ended(samples);
  add_live(samples);
  add_waiting(samples);
  add_scopes(samples);
  return samples;
}

}  // namespace blazen::samples
