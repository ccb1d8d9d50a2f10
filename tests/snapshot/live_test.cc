// Goal: LIVE values go through a snapshot as their workflow's session policy says: kept as what their
// serializer gives and made again by the deserializer of their label, or left out under their name, or named
// in the refusal; whatever the host's callbacks answer, nothing leaks and every object is dropped once.
#include <stdexcept>

#include "support/beside.hpp"
#include "support/blazen_test.hpp"

namespace bt {
namespace {

// --------------------------------------------------------------------------------------------------- objects

// An object of the host. How its serializer behaves is a word.
struct Object {
  explicit Object(std::string text_, std::string how_ = "json")
      : text(std::move(text_)), how(std::move(how_)) {}

  std::string text;
  std::string how;
  std::function<void()> inside;  // runs in its serializer
  std::atomic<int> serialized{0};
  std::atomic<int> drops{0};

  static void drop(void* self) { static_cast<Object*>(self)->drops.fetch_add(1); }
  static blazen_status serialize(void* self, blazen_value** value, blazen_error** error) {
    return static_cast<Object*>(self)->answer(value, error);
  }

 private:
  blazen_status answer(blazen_value** value, blazen_error** error) {
    serialized.fetch_add(1);
    if (inside) inside();
    if (how == "json") return blazen_value_json(text.data(), text.size(), value, error);
    if (how == "bytes") return blazen_value_bytes(text.data(), text.size(), value, error);
    if (how == "native") return blazen_value_native(text.data(), text.size(), "x/y", 3, value, error);
    if (how == "fails") return blazen_error_host(7, BLAZEN_TEXT("disk is gone"), nullptr, error);
    if (how == "fails after all") {
      (void)blazen_value_json("1", 1, value, nullptr);
      return blazen_error_host(7, BLAZEN_TEXT("disk is gone"), nullptr, error);
    }
    if (how == "status") return BLAZEN_ERROR_CONFLICT;
    if (how == "unknown status") return -12;
    if (how == "pending") return BLAZEN_PENDING;
    if (how == "throws") throw std::runtime_error("thrown");
    if (how == "throws a number") throw 7;
    if (how == "throws after all") {
      (void)blazen_value_json("1", 1, value, nullptr);
      (void)blazen_error_host(7, BLAZEN_TEXT("unread"), nullptr, error);
      throw std::runtime_error("thrown");
    }
    if (how == "nothing") return BLAZEN_OK;
    if (how == "an event") {
      static const Event stray = event("Stray");
      *value = reinterpret_cast<blazen_value*>(stray.get());
      return BLAZEN_OK;
    }
    if (how == "live") return blazen_value_live(nullptr, "l", 1, nullptr, value, error);
    if (how == "no memory") return BLAZEN_ERROR_OUT_OF_MEMORY;
    ADD_FAILURE() << how;
    return BLAZEN_ERROR_INTERNAL;
  }
};

Value live(Object& object, std::string_view label = "test/object") {
  blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
  options.drop = Object::drop;
  options.serialize = object.how == "never" ? nullptr : Object::serialize;
  Value value;
  MUST(blazen_value_live_with(&object, label.data(), label.size(), &options, value.out(), e));
  return value;
}

Object* object_of(const blazen_value* value) { return static_cast<Object*>(blazen_value_object(value)); }

// --------------------------------------------------------------------------------------------- deserializers

// Makes objects again. How it behaves is a word.
struct Maker {
  explicit Maker(std::string label_, std::string how_ = "makes")
      : label(std::move(label_)), how(std::move(how_)) {}

  std::string label;
  std::string how;
  std::function<void()> inside;   // runs in it
  std::vector<std::string> kept;  // what it was given, in order
  std::vector<std::unique_ptr<Object>> made;
  std::atomic<int> drops{0};

  blazen_deserializer entry() {
    return {label.data(), label.size(), deserialize, this,
            [](void* self) { static_cast<Maker*>(self)->drops.fetch_add(1); }};
  }
  // How often each object that it made was dropped.
  std::string drops_of_made() const {
    std::string text;
    for (const auto& object : made) text += std::to_string(object->drops.load());
    return text;
  }

 private:
  static blazen_status deserialize(void* self, const char* label, size_t label_length, blazen_value* kept,
                                   blazen_value** value, blazen_error** error) {
    auto& maker = *static_cast<Maker*>(self);
    EXPECT_EQ(std::string(label), maker.label) << "it ends with a NUL";
    EXPECT_EQ(std::string_view(label, label_length), maker.label);
    maker.kept.push_back(describe(kept));
    if (maker.inside) maker.inside();
    if (maker.how == "makes" || (maker.how == "fails at the second" && maker.kept.size() == 1))
      return maker.make(kept, value);
    if (maker.how == "json") return blazen_value_json(BLAZEN_TEXT("\"plain\""), value, error);
    if (maker.how == "gives it back") {
      *value = blazen_value_retain(kept);
      return BLAZEN_OK;
    }
    if (maker.how == "fails" || maker.how == "fails at the second")
      return blazen_error_host(9, BLAZEN_TEXT("no server"), nullptr, error);
    if (maker.how == "fails after all") {
      (void)maker.make(kept, value);
      return blazen_error_host(9, BLAZEN_TEXT("no server"), nullptr, error);
    }
    if (maker.how == "cannot") return BLAZEN_ERROR_NOT_SERIALIZABLE;
    if (maker.how == "cannot, and says why") {
      (void)maker.make(kept, value);
      (void)blazen_error_host(9, BLAZEN_TEXT("no such class"), nullptr, error);
      return BLAZEN_ERROR_NOT_SERIALIZABLE;
    }
    if (maker.how == "unknown status") return 4711;
    if (maker.how == "pending") return BLAZEN_PENDING;
    if (maker.how == "throws") throw std::runtime_error("thrown");
    if (maker.how == "throws a number") throw 7;
    if (maker.how == "throws after all") {
      (void)maker.make(kept, value);
      throw std::runtime_error("thrown");
    }
    if (maker.how == "nothing") return BLAZEN_OK;
    if (maker.how == "an event") {
      static const Event stray = event("Stray");
      *value = reinterpret_cast<blazen_value*>(stray.get());
      return BLAZEN_OK;
    }
    if (maker.how == "no memory") return BLAZEN_ERROR_OUT_OF_MEMORY;
    ADD_FAILURE() << maker.how;
    return BLAZEN_ERROR_INTERNAL;
  }
  blazen_status make(blazen_value* from, blazen_value** value) {
    static const char* const kHow[] = {"", "json", "bytes", "native"};
    made.push_back(std::make_unique<Object>(data_of(from), kHow[blazen_value_tag(from)]));
    *value = live(*made.back(), label).take();
    return BLAZEN_OK;
  }
};

struct Resumed {
  blazen_status status = BLAZEN_OK;
  RunHandle run;
  Error error;
};

Resumed try_resume(const Engine& engine, const Workflow& workflow, std::string_view data,
                   const std::vector<Maker*>& makers,
                   blazen_unknown_label unknown = BLAZEN_UNKNOWN_LABEL_ERROR) {
  std::vector<blazen_deserializer> entries;
  for (Maker* maker : makers) entries.push_back(maker->entry());
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.deserializers = entries.data();
  options.deserializer_count = entries.size();
  options.unknown_label = unknown;
  const Snapshot parsed = parse(data);
  Resumed resumed;
  std::vector<int> before;
  for (Maker* maker : makers) before.push_back(maker->drops);
  resumed.status =
      blazen_run_resume(engine.runtime(), workflow, parsed, &options, resumed.run.out(), resumed.error.out());
  EXPECT_EQ(resumed.run.get() != nullptr, resumed.status == BLAZEN_OK);
  for (size_t i = 0; i < makers.size(); ++i) EXPECT_EQ(makers[i]->drops, before[i] + 1);
  return resumed;
}

RunHandle must_resume(const Engine& engine, const Workflow& workflow, std::string_view data,
                      const std::vector<Maker*>& makers,
                      blazen_unknown_label unknown = BLAZEN_UNKNOWN_LABEL_ERROR) {
  Resumed resumed = try_resume(engine, workflow, data, makers, unknown);
  EXPECT_EQ(resumed.status, BLAZEN_OK) << resumed.error.message();
  return std::move(resumed.run);
}

std::string dropped_of(const blazen_run* run) {
  Value names;
  MUST(blazen_run_dropped(run, names.out(), e));
  return data_of(names);
}
std::string dropped_of(const Snapshot& snapshot) {
  const std::string info = info_of(snapshot);
  const size_t at = info.find("\"dropped\":");
  return at == std::string::npos ? "missing" : info.substr(at + 10, info.size() - at - 11);
}

// ------------------------------------------------------------------------------------------------- workflows

using Entries = std::vector<std::pair<std::string, Object*>>;

// Its start fills the session; a Look tells what is in it and what the event holds.
Spec keeping(const Entries& entries, blazen_session_policy policy = BLAZEN_SESSION_PICKLE_OR_ERROR,
             std::string* seen = nullptr) {
  Spec spec("keeping");
  spec.session = policy;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.start([entries](Ctx& ctx) {
        for (const auto& [key, object] : entries) ctx.set_session(key, live(*object, "test/" + key));
      })
      .step("look", {"Look"}, [seen](Ctx& ctx) {
        if (seen == nullptr) return;
        *seen = ctx.session_keys() + "; " + describe(blazen_event_value(ctx.trigger()));
      });
  spec.elsewhere("far", {"Far"});
  return spec;
}

// A run whose start is done.
RunHandle started(const Engine& engine, const Workflow& workflow) {
  RunHandle run = start(engine, workflow);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  return run;
}

struct Taken {
  blazen_status status = BLAZEN_OK;
  Snapshot snapshot;
  Error error;
};
Taken try_snapshot(const blazen_run* run) {
  Taken taken;
  taken.status = blazen_run_snapshot(run, taken.snapshot.out(), taken.error.out());
  EXPECT_EQ(taken.snapshot.get() != nullptr, taken.status == BLAZEN_OK);
  return taken;
}

// -------------------------------------------------------------------------------------------- there and back

TEST(Live, OptionsMayBeMissingZeroedOrOfTheirFirstFieldAlone) {
  Object object("1");
  for (const size_t size :
       {size_t{0}, sizeof(blazen_live_options), offsetof(blazen_live_options, serialize)}) {
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.struct_size = size;
    Value value;
    MUST(blazen_value_live_with(&object, "l", 1, size == 0 ? nullptr : &options, value.out(), e));
    EXPECT_EQ(blazen_value_tag(value), BLAZEN_TAG_LIVE);
    EXPECT_EQ(blazen_value_object(value), &object);
    EXPECT_EQ(codec_of(value), "l");
    EXPECT_EQ(data_of(value), "");
  }
  EXPECT_EQ(object.drops, 0);
  {
    const Value value = live(object, "");
  }
  EXPECT_EQ(object.drops, 1);
  EXPECT_EQ(object.serialized, 0);
}

// Session entries of every tag that a serializer may give, and of every tag that needs none.
TEST(Live, SessionEntriesAreKeptAndMadeAgainInTheOrderOfTheirKeys) {
  Object a("{\"dsn\": 1.0}"), b(std::string("\0\xff", 2), "bytes"), c("pickled", "native");
  Maker maker_a("test/a"), maker_b("test/b"), maker_c("test/c");
  {
    Engine engine;
    Spec spec = keeping({{"c", &c}, {"a", &a}, {"b", &b}});
    spec.step("more", {"More"}, [](Ctx& ctx) {
      ctx.set_session("plain", json("[1]"));
      ctx.set_session("raw", bytes("\x01"));
      ctx.set_session("pickle", native("p", "python/pickle"));
    });
    spec.step("check", {"Check"}, [&](Ctx& ctx) {
      // The very pointer that was set here, or that the maker made.
      const bool is_first = maker_a.made.empty();
      EXPECT_EQ(object_of(ctx.session("a")), is_first ? &a : maker_a.made[0].get());
      EXPECT_EQ(object_of(ctx.session("b")), is_first ? &b : maker_b.made[0].get());
      EXPECT_EQ(codec_of(ctx.session("c")), "test/c");
      EXPECT_EQ(describe(ctx.session("plain")), "json [1]");
      EXPECT_EQ(describe(ctx.session("pickle")), "native(python/pickle) p");
      ctx.stop("\"" + ctx.session_keys() + "\"");
    });
    const Workflow workflow = spec.build();
    RunHandle run = started(engine, workflow);
    MUST(blazen_run_send_event(run, event("More"), nullptr, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    const std::string taken = snapshot_bytes(run);
    EXPECT_EQ(a.serialized + b.serialized + c.serialized, 3);
    EXPECT_EQ(a.drops + b.drops + c.drops, 0) << "the run keeps its objects";

    std::vector<std::string> order;
    for (Maker* maker : {&maker_a, &maker_b, &maker_c})
      maker->inside = [&, maker] { order.push_back(maker->label); };
    Engine other;
    RunHandle again = must_resume(other, workflow, taken, {&maker_c, &maker_b, &maker_a});
    EXPECT_EQ(order, (std::vector<std::string>{"test/a", "test/b", "test/c"}));
    EXPECT_EQ(maker_a.kept, (std::vector<std::string>{"json {\"dsn\": 1.0}"}));
    EXPECT_EQ(maker_b.kept, (std::vector<std::string>{"bytes " + std::string("\0\xff", 2)}));
    EXPECT_EQ(maker_c.kept, (std::vector<std::string>{"native(x/y) pickled"}));
    EXPECT_EQ(dropped_of(again), "[]");
    EXPECT_EQ(snapshot_bytes(again), taken) << "without running: identical bytes";
    MUST(blazen_run_start(again, nullptr, e));
    MUST(blazen_run_send_event(again, event("Check"), nullptr, e));
    EXPECT_EQ(finish(other, again).text(), "5 json \"a,b,c,pickle,plain,raw\"");
    EXPECT_EQ(a.drops + b.drops + c.drops, 0);
  }
  EXPECT_EQ(a.drops, 1);
  EXPECT_EQ(b.drops, 1);
  EXPECT_EQ(c.drops, 1);
  EXPECT_EQ(maker_a.drops_of_made() + maker_b.drops_of_made() + maker_c.drops_of_made(), "111");
}

// One event in flight, one that waits for a permit, one that is parked: each with an object.
TEST(Live, EventsInFlightAndQueuedKeepTheirObjects) {
  Object first("1"), second("2"), third("3");
  Maker maker("test/object");
  std::string bytes;
  std::vector<std::string> worked;
  Invocation held;
  const auto spec = [&](bool hold) {
    Spec all("events");
    all.idle = BLAZEN_IDLE_WAIT;
    all.start([&](Ctx& ctx) {
         ctx.emit("Job", live(first));
         ctx.emit("Job", live(second));
         ctx.emit("Far", live(third));
       })
        .step(
            "work", {"Job"},
            [&, hold](Ctx& ctx) -> blazen_status {
              if (hold) {
                held = ctx.defer();
                return BLAZEN_PENDING;
              }
              worked.push_back(object_of(blazen_event_value(ctx.trigger()))->text + " " +
                               codec_of(blazen_event_value(ctx.trigger())));
              return BLAZEN_OK;
            },
            1)
        .elsewhere("far", {"Far"});
    return all.build();
  };
  {
    Engine engine;
    RunHandle run = started(engine, spec(true));
    EXPECT_EQ(worked.size(), 0U);
    bytes = snapshot_bytes(run);
    EXPECT_EQ(first.serialized + second.serialized + third.serialized, 3);
    MUST(blazen_run_close(run, e));
    held.reset();
  }
  EXPECT_EQ(first.drops + second.drops + third.drops, 3);
  {
    Engine engine;
    RunHandle run = must_resume(engine, spec(false), bytes, {&maker});
    EXPECT_EQ(maker.kept, (std::vector<std::string>{"json 1", "json 2", "json 3"}));
    EXPECT_EQ(snapshot_bytes(run), bytes);
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
    EXPECT_EQ(worked, (std::vector<std::string>{"1 test/object", "2 test/object"}));
    EXPECT_EQ(maker.drops_of_made(), "110") << "the third waits for its step";
  }
  EXPECT_EQ(maker.drops_of_made(), "111");
}

TEST(Live, AResultAndTheDetailOfAnErrorKeepTheirObjects) {
  Object result("{}"), detail("\"trace\"");
  Maker maker("test/object");
  {
    Engine engine;
    const Workflow completing = Spec().start([&](Ctx& ctx) { ctx.stop(live(result)); }).build();
    const Workflow failing = Spec().start([&](Ctx& ctx) { return ctx.fail(1, "x", live(detail)); }).build();
    RunHandle completed = start(engine, completing);
    RunHandle failed = start(engine, failing);
    finish(engine, completed);
    finish(engine, failed);
    const std::string completed_bytes = snapshot_bytes(completed);
    const std::string failed_bytes = snapshot_bytes(failed);

    RunHandle completed_again = must_resume(engine, completing, completed_bytes, {&maker});
    EXPECT_EQ(object_of(outcome(completed_again).result), maker.made.at(0).get());
    EXPECT_EQ(snapshot_bytes(completed_again), completed_bytes);
    RunHandle failed_again = must_resume(engine, failing, failed_bytes, {&maker});
    const Outcome end = outcome(failed_again);
    EXPECT_EQ(end.text(), outcome(failed).text()) << "all of the error but the object is the same";
    EXPECT_EQ(object_of(end.error.detail()), maker.made.at(1).get());
    EXPECT_EQ(snapshot_bytes(failed_again), failed_bytes);
    // The document is shared: another resume of it has its own object.
    RunHandle third = must_resume(engine, failing, failed_bytes, {&maker});
    EXPECT_EQ(object_of(outcome(third).error.detail()), maker.made.at(2).get());
    EXPECT_EQ(result.drops + detail.drops, 0);
  }
  EXPECT_EQ(result.drops, 1);
  EXPECT_EQ(detail.drops, 1);
  EXPECT_EQ(maker.drops_of_made(), "111");
}

TEST(Live, AnObjectInManyPlacesIsKeptInEach) {
  Object object("\"" + std::string(5000, 'x') + "\"");
  Maker maker("");
  {
    Engine engine;
    Spec spec("many");
    spec.idle = BLAZEN_IDLE_WAIT;
    const Workflow workflow = spec.start([&](Ctx& ctx) {
                                    const Value one = live(object, "");
                                    for (int i = 0; i < 300; ++i)
                                      ctx.set_session("k" + std::to_string(i), one);
                                    ctx.emit("Far", one);
                                  })
                                  .elsewhere("far", {"Far"})
                                  .build();
    RunHandle run = started(engine, workflow);
    const std::string bytes = snapshot_bytes(run);
    EXPECT_EQ(snapshot_bytes(run), bytes) << "the same state, the same bytes";
    RunHandle again = must_resume(engine, workflow, bytes, {&maker});
    EXPECT_EQ(maker.made.size(), 301U);
    EXPECT_EQ(snapshot_bytes(again), bytes);
  }
  EXPECT_EQ(object.drops, 1);
  EXPECT_EQ(maker.drops_of_made(), std::string(301, '1'));
}

// -------------------------------------------------------------------------------------------------- policies

TEST(LivePolicy, PickleOrErrorNamesEveryoneWithItsReasonAndTakesNothing) {
  Object good("1"), never("", "never"), failing("", "fails"), throwing("", "throws"), far("", "never");
  {
    Engine engine;
    RunHandle run = started(
        engine, keeping({{"good", &good}, {"never", &never}, {"failing", &failing}, {"throwing", &throwing}})
                    .build());
    MUST(blazen_run_send_event(run, event("Far", live(far).get()), nullptr, e));
    const Taken taken = try_snapshot(run);
    EXPECT_EQ(taken.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
    EXPECT_EQ(
        taken.error.message(),
        "LIVE values cannot be kept: session 'failing' (its serializer failed: disk is gone), session "
        "'never' "
        "(it has no serializer), session 'throwing' (its serializer failed: thrown), event 'Far' (id 2) (it "
        "has no serializer)");
    EXPECT_EQ(taken.error.cause().status(), BLAZEN_ERROR_HOST) << "of the first that failed";
    EXPECT_EQ(taken.error.cause().host_code(), 7);
    EXPECT_EQ(good.serialized, 1);
    EXPECT_EQ(dropped_of(run), "[]");
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_ELSEWHERE) << "the run goes on";
  }
  for (Object* object : {&good, &never, &failing, &throwing, &far}) EXPECT_EQ(object->drops, 1);
}

TEST(LivePolicy, PickleOrSerializeDropsWhatItCannotKeepAndRecordsIt) {
  Object good("1"), never("", "never"), failing("", "fails"), far("", "never"), near("\"n\"");
  Maker maker_good("test/good"), maker("test/object");
  std::string seen;
  {
    Engine engine;
    const Workflow workflow = keeping({{"good", &good}, {"never", &never}, {"failing", &failing}},
                                      BLAZEN_SESSION_PICKLE_OR_SERIALIZE, &seen)
                                  .build();
    RunHandle run = started(engine, workflow);
    MUST(blazen_run_send_event(run, event("Far", live(far).get()), nullptr, e));
    MUST(blazen_run_send_event(run, event("Far", live(near).get()), nullptr, e));
    const Snapshot taken = snapshot(run);
    const std::string names = "[\"session 'failing'\",\"session 'never'\",\"event 'Far' (id 2)\"]";
    EXPECT_EQ(dropped_of(taken), names);
    // The run itself has lost nothing, and says so.
    EXPECT_EQ(dropped_of(run), "[]");
    EXPECT_EQ(never.drops + failing.drops + far.drops, 0);
    EXPECT_EQ(bytes_of(snapshot(run)), bytes_of(taken));

    Engine other;
    RunHandle again = must_resume(other, workflow, bytes_of(taken), {&maker_good, &maker});
    EXPECT_EQ(dropped_of(again), names);
    EXPECT_EQ(snapshot_bytes(again), bytes_of(taken)) << "without running: identical bytes";
    MUST(blazen_run_start(again, nullptr, e));
    MUST(blazen_run_send_event(again, event("Look", "1"), nullptr, e));
    MUST(blazen_runtime_poll(other.runtime(), 0, nullptr, e));
    EXPECT_EQ(seen, "good; json 1");
    // The step that is elsewhere there is here now: it finds null in place of the object.
    std::vector<std::string> values;
    Spec spec = keeping({}, BLAZEN_SESSION_PICKLE_OR_SERIALIZE);
    spec.steps.back().body = std::make_shared<Body>(
        [&](Ctx& ctx) { values.push_back(describe(blazen_event_value(ctx.trigger()))); });
    RunHandle here = must_resume(other, spec.build(), bytes_of(taken), {&maker_good, &maker});
    MUST(blazen_run_start(here, nullptr, e));
    MUST(blazen_runtime_poll(other.runtime(), 0, nullptr, e));
    EXPECT_EQ(values, (std::vector<std::string>{"json null", "live(test/object) "}));
  }
  for (Object* object : {&good, &never, &failing, &far, &near}) EXPECT_EQ(object->drops, 1);
  EXPECT_EQ(maker_good.drops_of_made() + maker.drops_of_made(), "1111");
}

TEST(LivePolicy, WarnDropDropsTheWholeSessionAndEveryLiveValueUnasked) {
  Object good("1"), far("2"), result("3");
  {
    Engine engine;
    Spec spec = keeping({{"good", &good}}, BLAZEN_SESSION_WARN_DROP);
    spec.step("more", {"More"}, [&](Ctx& ctx) {
      ctx.set_session("plain", json("1"));
      ctx.set("state", "1");
    });
    const Workflow workflow = spec.build();
    RunHandle run = started(engine, workflow);
    MUST(blazen_run_send_event(run, event("More"), nullptr, e));
    MUST(blazen_run_send_event(run, event("Far", live(far).get()), nullptr, e));
    MUST(blazen_run_send_event(run, event("Far", "7"), nullptr, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    const Snapshot taken = snapshot(run);
    const std::string names = "[\"session 'good'\",\"session 'plain'\",\"event 'Far' (id 3)\"]";
    EXPECT_EQ(dropped_of(taken), names);
    RunHandle again = must_resume(engine, workflow, bytes_of(taken), {});
    EXPECT_EQ(dropped_of(again), names);
    EXPECT_EQ(snapshot_bytes(again), bytes_of(taken));

    Spec completing = Spec().start([&](Ctx& ctx) { ctx.stop(live(result)); });
    completing.session = BLAZEN_SESSION_WARN_DROP;
    const Workflow completes = completing.build();
    RunHandle completed = start(engine, completes);
    finish(engine, completed);
    EXPECT_EQ(dropped_of(snapshot(completed)), "[\"result\"]");
    EXPECT_EQ(outcome(must_resume(engine, completes, snapshot_bytes(completed), {})).text(), "5 json null");
    EXPECT_EQ(good.serialized + far.serialized + result.serialized, 0);
    EXPECT_EQ(object_of(outcome(completed).result), &result);
  }
  for (Object* object : {&good, &far, &result}) EXPECT_EQ(object->drops, 1);
}

TEST(LivePolicy, HardErrorRefusesAnyEntryOfTheSessionAndAnyLiveValue) {
  Object good("1"), far("2");
  {
    Engine engine;
    Spec spec = keeping({}, BLAZEN_SESSION_HARD_ERROR);
    spec.step("more", {"More"}, [&](Ctx& ctx) {
      ctx.set_session("plain", json("1"));
      ctx.set_session("good", live(good));
    });
    spec.step("less", {"Less"}, [&](Ctx& ctx) {
      ctx.remove_session("plain");
      ctx.remove_session("good");
    });
    RunHandle run = started(engine, spec.build());
    snapshot(run);  // there is nothing to refuse
    MUST(blazen_run_send_event(run, event("More"), nullptr, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    EXPECT_EQ(
        try_snapshot(run).error.message(),
        "the session policy is BLAZEN_SESSION_HARD_ERROR, and there are: session 'good', session 'plain'");
    MUST(blazen_run_send_event(run, event("Less"), nullptr, e));
    MUST(blazen_run_send_event(run, event("Far", live(far).get()), nullptr, e));
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    const Taken taken = try_snapshot(run);
    EXPECT_EQ(taken.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
    EXPECT_EQ(taken.error.message(),
              "the session policy is BLAZEN_SESSION_HARD_ERROR, and there are: event 'Far' (id 4)");
    EXPECT_EQ(good.serialized + far.serialized, 0);
  }
  EXPECT_EQ(good.drops, 1);
  EXPECT_EQ(far.drops, 1);
}

TEST(LivePolicy, ADroppedDetailIsNone) {
  Object detail("", "never");
  {
    Engine engine;
    Spec spec = Spec().start([&](Ctx& ctx) { return ctx.fail(3, "x", live(detail)); });
    spec.session = BLAZEN_SESSION_PICKLE_OR_SERIALIZE;
    const Workflow workflow = spec.build();
    RunHandle run = start(engine, workflow);
    finish(engine, run);
    const Snapshot taken = snapshot(run);
    EXPECT_EQ(dropped_of(taken), "[\"error.cause.detail\"]");
    const Outcome end = outcome(must_resume(engine, workflow, bytes_of(taken), {}));
    EXPECT_EQ(end.error.detail(), nullptr);
    EXPECT_EQ(end.error.cause().host_code(), 3);
  }
  EXPECT_EQ(detail.drops, 1);
}

// A name is there once, however often what it names is dropped; order is kept; texts of names are JSON.
TEST(LivePolicy, NamesAreKeptThroughManySnapshotsEachOnce) {
  Object never("", "never");
  {
    Engine engine;
    Spec spec("names");
    spec.session = BLAZEN_SESSION_PICKLE_OR_SERIALIZE;
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([](Ctx&) {}).step("put", {"Put"}, [&](Ctx& ctx) {
      ctx.set_session(std::string("z\"\0\n", 4), live(never));
      if (ctx.input() == "2") ctx.set_session("a", live(never));
    });
    const Workflow workflow = spec.build();
    RunHandle run = started(engine, workflow);
    const std::string z = "\"session 'z\\\"\\u0000\\n'\"";
    const std::string expected[] = {"[]", "[" + z + "]", "[" + z + ",\"session 'a'\"]",
                                    "[" + z + ",\"session 'a'\"]"};
    for (int round = 1; round <= 3; ++round) {
      EXPECT_EQ(dropped_of(run), expected[round - 1]) << round;
      MUST(blazen_run_send_event(run, event("Put", std::to_string(round)), nullptr, e));
      MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
      const Snapshot taken = snapshot(run);
      EXPECT_EQ(dropped_of(taken), expected[round]) << round;
      run = must_resume(engine, workflow, bytes_of(taken), {});
      MUST(blazen_run_start(run, nullptr, e));
    }
  }
  EXPECT_EQ(never.drops, 4);
}

// ------------------------------------------------------------------------------------------ serializers fail

TEST(LiveSerializer, WhateverItAnswersIsKeptOrIsAReason) {
  const std::pair<const char*, const char*> table[] = {
      {"never", "it has no serializer"},
      {"fails", "its serializer failed: disk is gone"},
      {"fails after all", "its serializer failed: disk is gone"},
      {"status", "its serializer failed: BLAZEN_ERROR_CONFLICT"},
      {"unknown status", "its serializer failed: it answered a status that this library does not know"},
      {"pending", "its serializer failed: only a step may answer BLAZEN_PENDING"},
      {"throws", "its serializer failed: thrown"},
      {"throws a number", "its serializer failed: an exception that is no std::exception"},
      {"throws after all", "its serializer failed: thrown"},
      {"nothing", "its serializer failed: it answered BLAZEN_OK and no value"},
      {"an event", "its serializer failed: it answered BLAZEN_OK and what is no blazen_value"},
      {"live", "its serializer failed: its answer is LIVE itself"},
  };
  for (const auto& [how, reason] : table) {
    SCOPED_TRACE(how);
    Object object("", how);
    for (const blazen_session_policy policy :
         {BLAZEN_SESSION_PICKLE_OR_ERROR, BLAZEN_SESSION_PICKLE_OR_SERIALIZE}) {
      Engine engine;
      RunHandle run = started(engine, keeping({{"key", &object}}, policy).build());
      const Taken taken = try_snapshot(run);
      if (policy == BLAZEN_SESSION_PICKLE_OR_ERROR) {
        EXPECT_EQ(taken.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
        EXPECT_EQ(taken.error.message(),
                  std::string("LIVE values cannot be kept: session 'key' (").append(reason).append(")"));
        EXPECT_EQ(taken.error.cause().get() != nullptr, std::string(how) != "never");
      } else {
        EXPECT_EQ(taken.status, BLAZEN_OK) << taken.error.message();
        EXPECT_EQ(dropped_of(taken.snapshot), "[\"session 'key'\"]");
      }
    }
    EXPECT_EQ(object.drops, 2);
  }
}

// What memory alone kept from being serialized is not dropped: the snapshot is not taken.
TEST(LiveSerializer, OneThatRanOutOfMemoryIsNotDropped) {
  Object object("", "no memory");
  for (const blazen_session_policy policy :
       {BLAZEN_SESSION_PICKLE_OR_ERROR, BLAZEN_SESSION_PICKLE_OR_SERIALIZE}) {
    Engine engine;
    RunHandle run = started(engine, keeping({{"key", &object}}, policy).build());
    EXPECT_EQ(try_snapshot(run).status, BLAZEN_ERROR_OUT_OF_MEMORY);
    object.how = "json";
    object.text = "1";
    EXPECT_EQ(try_snapshot(run).status, BLAZEN_OK) << "the same call succeeds with memory";
    object.how = "no memory";
  }
  EXPECT_EQ(object.drops, 2);
}

// No lock is held: it may ask the run, and send to it; it may not wait for it.
TEST(LiveSerializer, MayUseTheRunAndMayNotWaitForIt) {
  Object object("1");
  {
    Engine engine;
    RunHandle run = started(engine, keeping({{"key", &object}}).build());
    object.inside = [&] {
      EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_WAITING);
      MUST(blazen_run_send_event(run, event("Far"), nullptr, e));
      EXPECT_EQ(dropped_of(run), "[]");
      EXPECT_EQ(blazen_run_close(run, nullptr), BLAZEN_ERROR_WRONG_PLACE);
      EXPECT_EQ(blazen_run_wait(run, 1, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
      EXPECT_EQ(blazen_runtime_poll(engine.runtime(), 0, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
    };
    const std::string info = info_of(snapshot(run));
    EXPECT_NE(info.find("\"queued\":0"), std::string::npos) << "the cut was made before: " << info;
    EXPECT_EQ(object.serialized, 1);
  }
  EXPECT_EQ(object.drops, 1);
}

// Law 5: when the close has returned, the serializer does not run any more.
TEST(LiveSerializer, IsWaitedForByTheCloseOfItsRun) {
  NEEDS_THREADS();
  Object object("1");
  {
    Engine engine;
    RunHandle run = started(engine, keeping({{"key", &object}}).build());
    std::atomic<bool> entered{false}, may_leave{false};
    object.inside = [&] {
      entered = true;
      while (!may_leave) std::this_thread::yield();
    };
    Beside taker([&] { snapshot(run); });
    while (!entered) std::this_thread::yield();
    Beside closer([&] { MUST(blazen_run_close(run, e)); });
    EXPECT_FALSE(closer.returns());
    may_leave = true;
  }
  EXPECT_EQ(object.drops, 1);
}

// Snapshots from several threads, while steps replace the very entries that they serialize.
TEST(LiveSerializer, RunsBesideStepsAndOtherSnapshots) {
  NEEDS_THREADS();
  std::deque<Object> objects;
  for (int i = 0; i < 200; ++i) objects.emplace_back(std::to_string(i));
  std::atomic<int> next{1};
  {
    Engine engine(Way::threads_4);
    Spec spec("beside");
    const Workflow workflow = spec.start([&](Ctx& ctx) {
                                    ctx.set_session("key", live(objects[0]));
                                    ctx.emit("Go");
                                  })
                                  .step("go", {"Go"},
                                        [&](Ctx& ctx) {
                                          const int index = next.fetch_add(1);
                                          if (index >= 200) return (void)ctx.stop();
                                          const auto at = static_cast<size_t>(index);
                                          ctx.set_session("key", live(objects[at]));
                                          ctx.emit("Go");
                                        })
                                  .build();
    RunHandle run = start(engine, workflow);
    std::vector<std::thread> takers;
    for (int i = 0; i < 2; ++i) {
      takers.emplace_back([&] {
        for (int n = 0; n < 50; ++n) snapshot(run);
      });
    }
    for (std::thread& taker : takers) taker.join();
    EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  }
  for (const Object& object : objects) ASSERT_EQ(object.drops, 1) << object.text;
}

// ---------------------------------------------------------------------------------------- deserializers fail

// Two session entries and an event with an object each, by three labels; the run itself is gone.
struct Kept {
  Object a{"1"}, b{"2"}, far{"3"};
  Engine engine;
  Workflow workflow = keeping({{"a", &a}, {"b", &b}}).build();
  std::string bytes;

  Kept() {
    RunHandle run = started(engine, workflow);
    MUST(blazen_run_send_event(run, event("Far", live(far, "test/far").get()), nullptr, e));
    bytes = snapshot_bytes(run);
    run.reset();
    EXPECT_EQ(a.drops + b.drops + far.drops, 3) << "parked elsewhere, it is lost without its handle";
  }
};

// Of two labels one may begin with the other, or differ in case alone: neither gets the other's, in whatever
// order they are given, and the beginning of a known one is unknown.
TEST(LiveDeserializer, EachLabelHasItsOwn) {
  Object a("1"), b("2"), c("3");
  const Entries entries = {{"db", &a}, {"db.pool", &b}, {"DB", &c}};
  const Workflow workflow = keeping(entries).build();
  Engine engine;
  const std::string bytes = snapshot_bytes(started(engine, workflow));
  for (const bool shorter_first : {true, false}) {
    Maker shorter("test/db"), longer("test/db.pool"), upper("test/DB");
    const std::vector<Maker*> makers =
        shorter_first ? std::vector{&shorter, &longer, &upper} : std::vector{&upper, &longer, &shorter};
    {
      const RunHandle run = must_resume(engine, workflow, bytes, makers);
    }
    EXPECT_EQ(shorter.kept, std::vector<std::string>{"json 1"});
    EXPECT_EQ(longer.kept, std::vector<std::string>{"json 2"});
    EXPECT_EQ(upper.kept, std::vector<std::string>{"json 3"});
    const Resumed resumed = try_resume(engine, workflow, bytes, {&longer, &upper});
    EXPECT_EQ(resumed.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
    EXPECT_TRUE(resumed.error.says("(label 'test/db')")) << resumed.error.message();
  }
}

TEST(LiveDeserializer, AnUnknownLabelNamesEveryOneBeforeAnyIsMade) {
  Kept kept;
  Maker maker("test/a");
  const Resumed resumed = try_resume(kept.engine, kept.workflow, kept.bytes, {&maker});
  EXPECT_EQ(resumed.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
  EXPECT_EQ(resumed.error.message(),
            "LIVE values have no deserializer: session 'b' (label 'test/b'), event 'Far' (id 2) (label "
            "'test/far')");
  EXPECT_TRUE(maker.made.empty());
  RunHandle run;
  EXPECT_EQ(
      blazen_run_resume(kept.engine.runtime(), kept.workflow, parse(kept.bytes), nullptr, run.out(), nullptr),
      BLAZEN_ERROR_NOT_SERIALIZABLE)
      << "without options there are no deserializers";
}

TEST(LiveDeserializer, AnUnknownLabelIsSkippedAndReportedWhereThatWasChosen) {
  Kept kept;
  Maker maker("test/a");
  {
    RunHandle run = must_resume(kept.engine, kept.workflow, kept.bytes, {&maker}, BLAZEN_UNKNOWN_LABEL_SKIP);
    EXPECT_EQ(dropped_of(run), "[\"session 'b'\",\"event 'Far' (id 2)\"]");
    const Snapshot taken = snapshot(run);
    EXPECT_EQ(dropped_of(taken), dropped_of(run));
    RunHandle again = must_resume(kept.engine, kept.workflow, bytes_of(taken), {&maker});
    EXPECT_EQ(snapshot_bytes(again), bytes_of(taken));
    RunHandle none = must_resume(kept.engine, kept.workflow, kept.bytes, {}, BLAZEN_UNKNOWN_LABEL_SKIP);
    EXPECT_EQ(dropped_of(none), "[\"session 'a'\",\"session 'b'\",\"event 'Far' (id 2)\"]");
  }
  EXPECT_EQ(maker.drops_of_made(), "11");
}

TEST(LiveDeserializer, WhatItCannotMakeIsSkippedAndReportedWhereThatWasChosen) {
  for (const char* how : {"cannot", "cannot, and says why"}) {
    SCOPED_TRACE(how);
    Kept kept;
    Maker a("test/a"), b("test/b", how), far("test/far", how);
    {
      RunHandle run =
          must_resume(kept.engine, kept.workflow, kept.bytes, {&a, &b, &far}, BLAZEN_UNKNOWN_LABEL_SKIP);
      EXPECT_EQ(dropped_of(run), "[\"session 'b'\",\"event 'Far' (id 2)\"]");
      EXPECT_EQ(dropped_of(snapshot(run)), dropped_of(run));
    }
    EXPECT_EQ(a.drops_of_made(), "1");
    EXPECT_EQ(b.drops_of_made(), std::string(b.made.size(), '1'));
  }
}

TEST(LiveDeserializer, WhatItFailsToMakeForAnotherReasonIsNotSkipped) {
  for (const char* how : {"fails", "unknown status", "throws"}) {
    Kept kept;
    Maker a("test/a"), b("test/b", how), far("test/far");
    EXPECT_EQ(
        try_resume(kept.engine, kept.workflow, kept.bytes, {&a, &b, &far}, BLAZEN_UNKNOWN_LABEL_SKIP).status,
        BLAZEN_ERROR_NOT_SERIALIZABLE)
        << how;
  }
}

TEST(LiveDeserializer, ASkippedResultIsNullAndASkippedDetailNone) {
  Object result("1"), detail("2");
  Engine engine;
  const Workflow completing = Spec().start([&](Ctx& ctx) { ctx.stop(live(result)); }).build();
  const Workflow failing = Spec().start([&](Ctx& ctx) { return ctx.fail(1, "x", live(detail)); }).build();
  RunHandle completed = start(engine, completing);
  RunHandle failed = start(engine, failing);
  finish(engine, completed);
  finish(engine, failed);
  RunHandle run = must_resume(engine, completing, snapshot_bytes(completed), {}, BLAZEN_UNKNOWN_LABEL_SKIP);
  EXPECT_EQ(outcome(run).text(), "5 json null");
  EXPECT_EQ(dropped_of(run), "[\"result\"]");
  run = must_resume(engine, failing, snapshot_bytes(failed), {}, BLAZEN_UNKNOWN_LABEL_SKIP);
  EXPECT_EQ(outcome(run).error.detail(), nullptr);
  EXPECT_EQ(dropped_of(run), "[\"error.cause.detail\"]");
  EXPECT_EQ(try_resume(engine, failing, snapshot_bytes(failed), {}).error.message(),
            "LIVE values have no deserializer: error.cause.detail (label 'test/object')");
}

TEST(LiveDeserializer, WhateverItAnswersTheResumeSaysSoAndNothingLeaks) {
  struct Row {
    const char* how;
    blazen_status cause;
    const char* reason;
  };
  const Row table[] = {
      {"fails", BLAZEN_ERROR_HOST, "no server"},
      {"fails after all", BLAZEN_ERROR_HOST, "no server"},
      {"cannot", BLAZEN_ERROR_NOT_SERIALIZABLE, "BLAZEN_ERROR_NOT_SERIALIZABLE"},
      {"cannot, and says why", BLAZEN_ERROR_HOST, "no such class"},
      {"unknown status", BLAZEN_ERROR_HOST, "it answered a status that this library does not know"},
      {"pending", BLAZEN_ERROR_WRONG_STATE, "only a step may answer BLAZEN_PENDING"},
      {"throws", BLAZEN_ERROR_HOST, "thrown"},
      {"throws a number", BLAZEN_ERROR_HOST, "an exception that is no std::exception"},
      {"throws after all", BLAZEN_ERROR_HOST, "thrown"},
      {"nothing", BLAZEN_ERROR_INVALID_ARGUMENT, "it answered BLAZEN_OK and no value"},
      {"an event", BLAZEN_ERROR_WRONG_HANDLE, "it answered BLAZEN_OK and what is no blazen_value"},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.how);
    Kept kept;
    Maker good("test/a"), bad("test/b", row.how), later("test/far");
    const Resumed resumed = try_resume(kept.engine, kept.workflow, kept.bytes, {&good, &bad, &later});
    EXPECT_EQ(resumed.status, BLAZEN_ERROR_NOT_SERIALIZABLE);
    EXPECT_EQ(resumed.error.message(),
              std::string("session 'b' cannot be made again: the deserializer of label 'test/b' failed: ") +
                  row.reason);
    EXPECT_EQ(resumed.error.cause().status(), row.cause);
    EXPECT_EQ(good.drops_of_made(), "1") << "what was made before is dropped again";
    EXPECT_TRUE(later.kept.empty()) << "after a failure, no more are made";
    EXPECT_EQ(bad.drops_of_made(), std::string(bad.made.size(), '1'));
  }
}

TEST(LiveDeserializer, OneThatRanOutOfMemorySaysThat) {
  Kept kept;
  Maker good("test/a"), bad("test/b", "no memory"), later("test/far");
  EXPECT_EQ(try_resume(kept.engine, kept.workflow, kept.bytes, {&good, &bad, &later}).status,
            BLAZEN_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(good.drops_of_made(), "1");
}

TEST(LiveDeserializer, AFailureInTheMiddleOfEventsLeaksNothing) {
  Object object("1");
  Maker maker("test/object", "fails at the second");
  {
    Engine engine;
    const Workflow workflow = keeping({}).build();
    RunHandle run = started(engine, workflow);
    for (int i = 0; i < 3; ++i)
      MUST(blazen_run_send_event(run, event("Far", live(object).get()), nullptr, e));
    const Resumed resumed = try_resume(engine, workflow, snapshot_bytes(run), {&maker});
    EXPECT_TRUE(resumed.error.says("event 'Far' (id 3) cannot be made again")) << resumed.error.message();
    EXPECT_EQ(resumed.error.cause().host_code(), 9);
    EXPECT_EQ(maker.kept.size(), 2U);
    EXPECT_EQ(maker.drops_of_made(), "1");
  }
  EXPECT_EQ(object.drops, 3);
}

// An answer of another tag is taken as it is; and it is no LIVE value from then on.
TEST(LiveDeserializer, MayAnswerAValueOfAnyTag) {
  Kept kept;
  Maker a("test/a", "json"), b("test/b", "gives it back"), far("test/far", "gives it back");
  RunHandle run = must_resume(kept.engine, kept.workflow, kept.bytes, {&a, &b, &far});
  RunHandle again = must_resume(kept.engine, kept.workflow, snapshot_bytes(run), {});
  EXPECT_EQ(snapshot_bytes(again), snapshot_bytes(run));
  EXPECT_EQ(dropped_of(again), "[]");
}

TEST(LiveDeserializer, IsNotCalledForASnapshotThatIsRefusedOtherwise) {
  Kept kept;
  Maker a("test/a"), b("test/b"), far("test/far");
  const Workflow other = Spec("other").start([](Ctx&) {}).build();
  EXPECT_EQ(try_resume(kept.engine, other, kept.bytes, {&a, &b, &far}).status,
            BLAZEN_ERROR_SNAPSHOT_MISMATCH);
  EXPECT_TRUE(a.kept.empty() && b.kept.empty() && far.kept.empty());
}

// No lock is held: it may make runs and values of its own; it may not wait.
TEST(LiveDeserializer, MayUseTheRuntimeAndMayNotWaitForIt) {
  Kept kept;
  Maker a("test/a"), b("test/b"), far("test/far");
  a.inside = [&] {
    RunHandle another = start(kept.engine, kept.workflow);
    MUST(blazen_run_snapshot(another, Snapshot().out(), e));
    EXPECT_EQ(blazen_run_wait(another, 1, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
    EXPECT_EQ(blazen_runtime_close(kept.engine.runtime(), nullptr), BLAZEN_ERROR_WRONG_PLACE);
    EXPECT_EQ(blazen_runtime_poll(kept.engine.runtime(), 0, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
  };
  {
    RunHandle run = must_resume(kept.engine, kept.workflow, kept.bytes, {&a, &b, &far});
  }
  EXPECT_EQ(a.drops_of_made() + b.drops_of_made() + far.drops_of_made(), "111");
}

TEST(LiveDeserializer, OfAClosedRuntimeMakesNothingThatStays) {
  Kept kept;
  Maker a("test/a"), b("test/b"), far("test/far");
  MUST(blazen_runtime_close(kept.engine.runtime(), e));
  EXPECT_EQ(try_resume(kept.engine, kept.workflow, kept.bytes, {&a, &b, &far}).status,
            BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(a.drops_of_made(), std::string(a.made.size(), '1'));
  EXPECT_EQ(kept.a.drops + kept.b.drops + kept.far.drops, 3);
}

// ---------------------------------------------------------------------------------------------- in every way

class LiveEveryWay : public EveryWay {};

// start -> Job x 4, each with an object, and one object in the session that all count in.
TEST_P(LiveEveryWay, ObjectsTravelWithARunThatIsCutAtItsStart) {
  std::deque<Object> objects;
  for (int i = 0; i < 4; ++i) objects.emplace_back(std::to_string(i + 1));
  Object sum("0");
  Maker jobs("test/object"), sums("test/sum");
  std::string bytes;
  {
    Engine engine(GetParam());
    Spec spec("travel");
    spec.start([&](Ctx& ctx) {
          ctx.set_session("sum", live(sum, "test/sum"));
          for (Object& object : objects) ctx.emit("Job", live(object));
        })
        .step(
            "job", {"Job"},
            [](Ctx& ctx) {
              Object* total = object_of(ctx.session("sum"));
              Object* mine = object_of(blazen_event_value(ctx.trigger()));
              total->text = std::to_string(std::stoi(total->text) + std::stoi(mine->text));
              ctx.set_once("done." + mine->text, "true");
              if (ctx.count("done.") == 4) ctx.stop(total->text);
            },
            1);
    Spec parked = spec;
    parked.steps.back().body = nullptr;
    RunHandle run = start(engine, parked.build());
    EXPECT_EQ(engine.settle(run), BLAZEN_RUN_ELSEWHERE);
    bytes = snapshot_bytes(run);
    RunHandle again = must_resume(engine, spec.build(), bytes, {&jobs, &sums});
    MUST(blazen_run_start(again, nullptr, e));
    EXPECT_EQ(finish(engine, again).text(), "5 json 10");
  }
  EXPECT_EQ(jobs.drops_of_made() + sums.drops_of_made(), "11111");
  EXPECT_EQ(sum.drops, 1);
  for (const Object& object : objects) EXPECT_EQ(object.drops, 1);
}

INSTANTIATE_TEST_SUITE_P(Ways, LiveEveryWay, testing::ValuesIn(ways()), way_name);

}  // namespace
}  // namespace bt
