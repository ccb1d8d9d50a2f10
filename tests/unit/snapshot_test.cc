// Proves that a snapshot is the run: what is restored from it gives the same bytes and goes on as it would
// have, wherever its steps are; that no bytes at all do harm; and that every refusal names the byte and the
// path to it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "allocations.hpp"
#include "base/uuid.hpp"
#include "snapshot_samples.hpp"
#include "value/child_id.hpp"

namespace blazen {
namespace {

using samples::bytes_of;
using samples::Driver;
using samples::Hosting;
using samples::sample_workflow;
using samples::snapshot;

Result<SnapshotDocument> decode(std::string_view bytes) {
  // A block of its own and of the exact size: a sanitizer then sees the first byte read beyond it.
  const std::vector<uint8_t> block(bytes.begin(), bytes.end());
  return decode_snapshot(block);
}

SnapshotDocument decoded(std::string_view bytes) {
  Result<SnapshotDocument> document = decode(bytes);
  if (!document) {
    ADD_FAILURE() << document.error()->message;
    std::abort();
  }
  return std::move(*document);
}

std::unique_ptr<RunState> restored(std::string_view bytes, const Ref<Workflow>& workflow,
                                   bool allow_changed_workflow = false) {
  auto state = std::make_unique<RunState>();
  const Ref<Error> error = samples::restore(decoded(bytes), workflow, allow_changed_workflow, *state);
  EXPECT_FALSE(error) << error->message;
  return state;
}

// ---- round trips ----

TEST(Snapshot, RestoringGivesTheSameBytesWhereverTheStepsAre) {
  for (const samples::Sample& sample : samples::make_samples()) {
    SCOPED_TRACE(sample.name);
    const std::string taken = snapshot(sample.state);
    EXPECT_EQ(snapshot(sample.state), taken) << "the same state, twice";
    for (const Hosting hosting : {Hosting::all, Hosting::without_remote}) {
      const std::unique_ptr<RunState> again =
          restored(taken, samples::workflow_named(sample.state.workflow->name(), hosting));
      check_invariants(*again);
      EXPECT_EQ(snapshot(*again), taken);
    }
  }
}

// Whatever is proved of all samples is proved of each section and of what may stand in it.
TEST(Snapshot, TheSamplesHaveSomethingInEverySection) {
  std::map<std::string, SnapshotDocument> documents;
  for (const samples::Sample& sample : samples::make_samples())
    documents.emplace(sample.name, decoded(snapshot(sample.state)));
  const SnapshotDocument& waiting = documents.at("waiting");
  EXPECT_EQ(waiting.elapsed_ms, 48);
  EXPECT_EQ(waiting.taken_ms, 1'700'000'000'048);
  ASSERT_EQ(waiting.delayed.size(), 3U);
  EXPECT_EQ(waiting.delayed[1].due_ms, waiting.delayed[2].due_ms);
  EXPECT_EQ(waiting.delayed[2].step, 1U);
  EXPECT_EQ(waiting.backing_off.size(), 2U);
  EXPECT_EQ(waiting.asking.size(), 1U);
  EXPECT_EQ(waiting.questions.size(), 3U);
  ASSERT_EQ(waiting.answers.size(), 2U);
  EXPECT_TRUE(waiting.answers[1].value.was_live());
  EXPECT_FALSE(waiting.queued.front().effects.empty());
  const SnapshotDocument& asking = documents.at("asking");
  EXPECT_EQ(asking.in_flight.size(), 3U);
  EXPECT_EQ(asking.in_flight.front().attempt, 2U);
  EXPECT_EQ(asking.questions.back().asker, asking.in_flight.front().id);
  EXPECT_EQ(documents.at("paused").pause, Pause::now);
  EXPECT_EQ(documents.at("draining").pause, Pause::drain);
  const SnapshotDocument& scopes = documents.at("scopes");
  ASSERT_EQ(scopes.scopes.size(), 3U);
  EXPECT_EQ(scopes.scopes[1].parent, 1U);
  EXPECT_NE(scopes.scopes[1].parent_origin, 0U);
  EXPECT_TRUE(scopes.scopes[2].cancelled && scopes.scopes[2].closed);
  EXPECT_EQ(scopes.scopes[2].late, 1U);
  EXPECT_NE(scopes.scopes[2].opener_invocation, 0U);
  EXPECT_EQ(scopes.scope_joins.size(), 4U);
  EXPECT_EQ(scopes.scope_joins[0].due_ms, 1000);
  EXPECT_EQ(scopes.scope_groups.size(), 6U);
  EXPECT_EQ(std::count_if(scopes.scope_groups.begin(), scopes.scope_groups.end(),
                          [](const auto& group) { return group.given; }),
            2);
  std::map<uint64_t, int> kinds;
  for (const SnapshotDocument::Member& member : scopes.members) ++kinds[member.kind];
  EXPECT_EQ(kinds.size(), 3U);
  EXPECT_EQ(scopes.delivered.size(), 3U);
  EXPECT_TRUE(documents.at("scopes-over").has_scopes && documents.at("scopes-over").scopes.empty());
  EXPECT_FALSE(documents.at("scopes-closed").scopes.empty());
  EXPECT_TRUE(documents.at("scopes-closed").scope_joins.front().closed);
}

// Whose is due when.
std::vector<TimerKey> timers_of(const RunState& state) {
  std::vector<TimerKey> timers;
  for (const auto& [key, timer] : state.timers) timers.push_back(key);
  return timers;
}

void expect_same_timers(const RunState& before, const RunState& after) {
  EXPECT_EQ(timers_of(after), timers_of(before));
  std::vector<StepIndex> targets[2];
  for (const auto& [key, timer] : before.timers) targets[0].push_back(timer.target);
  for (const auto& [key, timer] : after.timers) targets[1].push_back(timer.target);
  EXPECT_EQ(targets[0], targets[1]);
}

TEST(Snapshot, RestoresEverythingThatTheRunHad) {
  for (const samples::Sample& sample : samples::make_samples()) {
    SCOPED_TRACE(sample.name);
    const RunState& before = sample.state;
    const std::unique_ptr<RunState> after = restored(snapshot(before), before.workflow);
    EXPECT_EQ(after->id, before.id);
    EXPECT_EQ(after->phase, before.phase);
    EXPECT_EQ(after->event_id_last, before.event_id_last);
    EXPECT_EQ(after->invocation_id_last, before.invocation_id_last);
    EXPECT_EQ(after->write_last, before.write_last);
    EXPECT_EQ(after->stream_last, before.stream_last);
    EXPECT_EQ(after->last_type, before.last_type);
    EXPECT_EQ(last_unhandled(*after), last_unhandled(before));
    EXPECT_EQ(after->open, has_ended(before) ? 0 : before.open);
    EXPECT_EQ(after->pause, before.pause);
    EXPECT_EQ(after->questions.size(), before.questions.size());
    if (!has_ended(before)) EXPECT_EQ(after->clock.elapsed_ms, before.clock.elapsed_ms);
    expect_same_timers(before, *after);
    // What was in flight waits for its turn again: a pause is complete then.
    if (before.in_flight.empty() || before.pause == Pause::none)
      EXPECT_EQ(status_of(*after), status_of(before));
    EXPECT_EQ(after->last_status, status_of(*after));
  }
}

TEST(Snapshot, KeepsValuesOfEveryTagBitForBit) {
  for (const samples::Sample& sample : samples::make_samples()) {
    if (sample.name != "tables") continue;
    const std::unique_ptr<RunState> after = restored(snapshot(sample.state), sample.state.workflow);
    for (const auto& [before, now] :
         {std::pair(sample.state.state, after->state), {sample.state.session, after->session}}) {
      ASSERT_EQ(before->size(), now->size());
      for (const KeyTable::Entry& entry : before->entries()) {
        const KeyTable::Entry* found = now->find(entry.key());
        ASSERT_NE(found, nullptr) << entry.key();
        EXPECT_EQ(found->version, entry.version);
        EXPECT_EQ(found->value->tag(), entry.value->tag());
        EXPECT_EQ(found->value->data(), entry.value->data());
        EXPECT_EQ(found->value->codec(), entry.value->codec());
      }
    }
    EXPECT_EQ(after->metadata->tag(), Tag::bytes);
    EXPECT_EQ(after->metadata->data(), "m");
  }
}

TEST(Snapshot, KeepsAnErrorWithItsCauses) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  driver.fail(driver.dispatch(), samples::nested_error());
  const std::unique_ptr<RunState> after = restored(snapshot(driver.state), driver.state.workflow);
  ASSERT_TRUE(after->error && after->error->cause && after->error->cause->cause);
  EXPECT_EQ(after->error->status, Status::step_failed);
  EXPECT_EQ(after->error->step, "work");
  EXPECT_EQ(after->error->attempt, 3U);
  EXPECT_EQ(after->error->cause->offset, 17U);
  const Error& bottom = *after->error->cause->cause;
  EXPECT_EQ(bottom.status, Status::host);
  EXPECT_EQ(bottom.message, "disk is gone");
  EXPECT_EQ(bottom.host_code, -7);
  EXPECT_EQ(bottom.offset, kNoOffset);
  EXPECT_EQ(bottom.detail->codec(), "python/pickle");
  EXPECT_FALSE(bottom.cause);
}

// 20 errors beneath one another: 16 causes fit, and the last of them is what the host said.
TEST(Snapshot, AChainOfErrorsTooLongKeepsItsBottom) {
  Ref<Error> error = Error::host(42, "bottom", samples::json("\"detail\""));
  for (int i = 0; i < 19; ++i) error = Error::step_failed("s" + std::to_string(i), 1, std::move(error));
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  driver.fail(driver.dispatch(), error);
  const std::string taken = snapshot(driver.state);
  const std::unique_ptr<RunState> after = restored(taken, driver.state.workflow);
  std::vector<std::string> steps;
  const Error* last = after->error.get();
  for (; last->cause; last = last->cause.get()) steps.push_back(last->step);
  EXPECT_EQ(steps.size(), kErrorDepthMax);
  EXPECT_EQ(steps.front(), "s18");
  EXPECT_EQ(steps.back(), "s3");
  EXPECT_EQ(last->host_code, 42);
  EXPECT_EQ(last->detail->data(), "\"detail\"");
  EXPECT_EQ(snapshot(*after), taken);
}

// The out-of-memory error is one for the whole process; a restored one is like any other.
TEST(Snapshot, TheOutOfMemoryErrorIsRestoredAsAnOrdinaryOne) {
  Driver driver(sample_workflow(Hosting::all));
  driver.end(Phase::cancelled, Error::out_of_memory());
  const std::string taken = snapshot(driver.state);
  const std::unique_ptr<RunState> after = restored(taken, driver.state.workflow);
  EXPECT_EQ(after->error->status, Status::out_of_memory);
  EXPECT_EQ(after->error->message, "no memory left");
  EXPECT_EQ(snapshot(*after), taken);
}

TEST(Snapshot, AnEventOfSeveralInvocationsIsThereOnceAndSharedAfterwards) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(3);
  driver.dispatch();
  const SnapshotDocument document = decoded(snapshot(driver.state));
  EXPECT_EQ(document.events.size(), 3U);
  EXPECT_EQ(document.in_flight.size() + document.queued.size(), 6U);
  const std::unique_ptr<RunState> after = restored(snapshot(driver.state), driver.state.workflow);
  // The first event went to `work`, in flight, and to `check`.
  EXPECT_EQ(after->interrupted.front()->event.get(), after->ready.front()->event.get());
}

TEST(Snapshot, AnEndedRunKeepsNothingOfWhatStillRuns) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(3);
  Invocation* running = driver.dispatch();
  driver.end(Phase::cancelled, Error::make(Status::cancelled, "closed"));
  const std::string taken = snapshot(driver.state);
  const SnapshotDocument document = decoded(taken);
  EXPECT_TRUE(document.events.empty() && document.in_flight.empty() && document.queued.empty());
  driver.apply({.kind = Tick::Kind::discard, .invocation = running});
  EXPECT_EQ(snapshot(driver.state), taken);
}

TEST(Snapshot, AnEmptyTableIsTheSameAsNone) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  driver.set("a", samples::json("1"));
  driver.remove("a");
  ASSERT_TRUE(driver.state.state);
  const std::unique_ptr<RunState> after = restored(snapshot(driver.state), driver.state.workflow);
  EXPECT_FALSE(after->state);
  EXPECT_EQ(after->write_last, 1U);
}

// ---- going on from it ----

std::vector<uint64_t> ids_in_order_of_start(Driver& driver) {
  std::vector<uint64_t> ids;
  while (Invocation* started = driver.dispatch()) ids.push_back(started->id);
  return ids;
}

// Interrupted ones first, as they had started; then by id; a step of two permits has no more than two.
TEST(Snapshot, ARestoredRunStartsWhatWasInFlightFirst) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(3);  // ids 2, 4, 6 to `work`; 3, 5, 7 to `check`
  for (int i = 0; i < 4; ++i) driver.dispatch();
  Driver resumed(restored(snapshot(driver.state), driver.state.workflow));
  EXPECT_EQ(ids_in_order_of_start(resumed), (std::vector<uint64_t>{2, 3, 4, 5, 7}));
  resumed.complete(resumed.state.in_flight.front(), {});
  EXPECT_EQ(ids_in_order_of_start(resumed), (std::vector<uint64_t>{6}));
}

// An attempt that comes due has a lower id than one that got its permit meanwhile and has not started.
TEST(Snapshot, ARestoredRunStartsRetriesInTheSameOrder) {
  Driver driver(samples::retrying_workflow());
  driver.now_ms = 1'700'000'000'000;
  driver.fan_out(4);  // ids 2, 4, 6, 8 to `work`, of two permits
  Invocation* first = driver.dispatch();
  ASSERT_EQ(first->id, 2U);
  driver.fail(first, Error::host(1, "no", nullptr));
  driver.pass(100);
  const std::string taken = snapshot(driver.state);
  Driver resumed(restored(taken, driver.state.workflow));
  std::vector<uint64_t> orders[2];
  for (Driver* run : {&driver, &resumed}) {
    std::vector<uint64_t>& order = orders[run == &resumed];
    while (Invocation* started = run->dispatch()) {
      order.push_back(started->id);
      run->complete(started, {});
    }
  }
  EXPECT_EQ(orders[0], orders[1]);
}

// A random life of a run: what it does depends on the numbers and on the run alone.
class Life {
 public:
  Life(Driver driver, std::mt19937 random) : driver_(std::move(driver)), random_(random) {}

  Driver& driver() { return driver_; }
  const std::mt19937& random() const { return random_; }
  std::string taken() const { return snapshot(driver_.state, kEngineVersion, driver_.now_ms); }

  void act() {
    switch (below(9)) {
      case 0:
      case 1:
      case 2: driver_.dispatch(); break;
      case 3:
      case 4:
        if (Invocation* one = pick()) driver_.complete(one, outputs(below(4)));
        break;
      case 5: fail(); break;
      case 6: ask(); break;
      case 7: respond(); break;
      default: driver_.pass(10 * below(12)); break;
    }
    if (driver_.commands.clock) driver_.pass(0);
  }

 private:
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  Invocation* pick() {
    const auto& list = driver_.state.in_flight;
    if (list.empty()) return nullptr;
    Invocation* one = nullptr;
    uint32_t left = below(static_cast<uint32_t>(list.size()));
    list.walk([&](Invocation* item) {
      one = item;
      return left-- > 0;
    });
    return one;
  }
  std::vector<Output> outputs(uint32_t count) {
    std::vector<Output> all;
    const size_t open = driver_.state.open + delayed_count(driver_.state);
    for (uint32_t i = 0; i < (open > 12 ? count / 3 : count); ++i) {
      Output output =
          below(6) == 0
              ? driver_.request("e" + std::to_string(driver_.state.event_id_last) + std::to_string(i))
              : driver_.output(below(3) == 0 ? "Note" : "Work", samples::json("1"));
      all.push_back(driver_.later(below(3) == 0 ? 10 * (1 + below(3)) : 0, std::move(output)));
    }
    return all;
  }
  void fail() {
    Invocation* one = pick();
    if (one != nullptr && one->step == 1 && one->attempt < 9)
      driver_.fail(one, Error::host(1, "no", nullptr));
  }
  // One question, or two, and perhaps the first answer before the body is back.
  void ask() {
    Invocation* one = pick();
    if (one == nullptr) return;
    const std::string id = "q" + std::to_string(driver_.state.event_id_last);
    driver_.ask(one, id);
    if (below(3) == 0) driver_.ask(one, id + "b");
    if (below(3) == 0) driver_.respond(id, samples::json("2"));
    driver_.suspend(one);
  }
  void respond() {
    const Questions& questions = driver_.state.questions;
    if (questions.empty()) return;
    const Question* at = questions.first();
    for (uint32_t steps = below(static_cast<uint32_t>(questions.size())); steps > 0; --steps) at = at->next();
    const Question& one = *at;
    // Whose body is at work would be called once more than that of the twin, which finds the answer.
    if (one.asker != nullptr && one.asker->place == Place::in_flight) return;
    driver_.respond(std::string(one.request->correlation()), samples::json("3"));
  }

  Driver driver_;
  std::mt19937 random_;
};

// Restored at any moment, a run takes the same steps as the one that was not interrupted, tick by tick.
TEST(Snapshot, ARestoredRunIsTheTwinOfTheRun) {
  const Ref<Workflow> workflow = samples::retrying_workflow();
  for (uint32_t seed = 1; seed <= 400; ++seed) {
    Driver first(workflow);
    first.now_ms = 1'700'000'000'000;
    first.fan_out(4);
    Life life(std::move(first), std::mt19937(seed));
    for (uint32_t i = seed % 60; i > 0; --i) life.act();
    Driver second(restored(life.taken(), workflow));
    second.now_ms = life.driver().now_ms;
    second.apply({.kind = Tick::Kind::resume});
    while (!second.state.interrupted.empty()) second.dispatch();
    Life twin(std::move(second), life.random());
    for (int i = 0; i < 60; ++i) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", tick " + std::to_string(i));
      ASSERT_EQ(twin.taken(), life.taken());
      life.act();
      twin.act();
    }
  }
}

TEST(Snapshot, ARepeatedSendHasNoSecondEffectAfterARestore) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.output("Note", samples::json("1"), "split"), {77, 1});
  Driver resumed(restored(snapshot(driver.state), driver.state.workflow));
  Invocation* again = resumed.dispatch();
  ASSERT_EQ(again->id, split->id);
  resumed.send(again, resumed.output("Note", samples::json("1"), "split"), {77, 1});
  EXPECT_EQ(resumed.state.event_id_last, driver.state.event_id_last);
  EXPECT_EQ(resumed.state.stream_last, driver.state.stream_last);
  resumed.send(again, resumed.output("Note", samples::json("2"), "split"), {78, 1});
  EXPECT_EQ(resumed.state.event_id_last, driver.state.event_id_last + 1);
}

TEST(Snapshot, ARepetitionWithAnotherPayloadIsReportedAfterARestore) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.output("Note", samples::json("1"), "split"), {UINT64_MAX, UINT64_MAX - 1});
  Driver resumed(restored(snapshot(driver.state), driver.state.workflow));
  resumed.send(resumed.dispatch(), resumed.output("Note", samples::json("2"), "split"),
               {UINT64_MAX, UINT64_MAX - 2});
  EXPECT_EQ(resumed.state.event_id_last, driver.state.event_id_last);
  EXPECT_EQ(resumed.state.stream_last, driver.state.stream_last + 1);
}

TEST(Snapshot, WhatIsParkedGoesOnWhereTheStepIs) {
  Driver driver(sample_workflow(Hosting::without_remote));
  driver.start(samples::json("1"));
  driver.complete(driver.dispatch(), {driver.output("Remote", samples::json("1"), "split")});
  ASSERT_EQ(status_of(driver.state), RunStatus::elsewhere);
  Driver resumed(restored(snapshot(driver.state), sample_workflow(Hosting::all)));
  EXPECT_EQ(status_of(resumed.state), RunStatus::running);
  Invocation* remote = resumed.dispatch();
  ASSERT_NE(remote, nullptr);
  const std::string in_flight = snapshot(resumed.state);
  // And back again, while it is in flight there.
  Driver home(restored(in_flight, sample_workflow(Hosting::without_remote)));
  EXPECT_EQ(status_of(home.state), RunStatus::elsewhere);
  EXPECT_EQ(home.dispatch(), nullptr);
  EXPECT_EQ(home.state.rare->interrupted_parked.front()->id, remote->id);
  EXPECT_EQ(snapshot(home.state), in_flight);
}

// ---- the cut, and orders ----

// Writes after the cut go to a clone; the snapshot is of the moment of the cut.
TEST(Snapshot, TheRunGoesOnWhileItsSnapshotIsEncoded) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(2);
  Invocation* work = driver.dispatch();
  driver.set("b", samples::json("1"));
  driver.set("a", samples::json("2"));
  const std::string expected = snapshot(driver.state);
  SnapshotCut cut = cut_snapshot(driver.state, 0, 0);
  driver.set("a", samples::json("3"));
  driver.set("c", samples::json("4"));
  driver.send(work, driver.output("Note", samples::json("1"), "work"), {5, 1});
  driver.complete(work, {driver.output(kStopEvent, samples::json("9"), "work")});
  Result<CborBuffer> encoded = encode_snapshot(cut);
  ASSERT_TRUE(encoded);
  EXPECT_EQ(samples::text_of(encoded->bytes()), expected);
  EXPECT_NE(snapshot(driver.state), expected);
}

TEST(Snapshot, TheOrderThatAnEncodingMadeIsKept) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  for (const char* key : {"c", "a", "b"}) driver.set(key, samples::json("1"));
  SnapshotCut first = cut_snapshot(driver.state, 0, 0);
  SnapshotCut second = cut_snapshot(driver.state, 0, 0);
  SnapshotCut late = cut_snapshot(driver.state, 0, 0);
  EXPECT_FALSE(first.state_order_known);
  ASSERT_TRUE(encode_snapshot(first) && encode_snapshot(second) && encode_snapshot(late));
  ASSERT_TRUE(first.state_order && second.state_order);
  keep_orders(first, driver.state);
  const KeyTable::Order* kept = driver.state.state->order();
  ASSERT_NE(kept, nullptr);
  const uint32_t* memory = kept->data();
  // Somebody may be reading the kept one by now: it stays where it is.
  keep_orders(second, driver.state);
  EXPECT_EQ(driver.state.state->order()->data(), memory);
  EXPECT_TRUE(cut_snapshot(driver.state, 0, 0).state_order_known);
  // The run has another table by now.
  driver.set("d", samples::json("1"));
  driver.remove("a");
  keep_orders(late, driver.state);
  EXPECT_EQ(driver.state.state->order(), nullptr);
}

// Values of LIVE objects cannot be kept, and the refusal names every place where one stands.
TEST(Snapshot, EveryLiveValueIsNamed) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::live());
  driver.dispatch();
  driver.post(driver.output("Note", samples::live()));
  driver.post(driver.output("Work", samples::json("1")));
  driver.set_session("db", samples::live());
  driver.set_session("name", samples::json("1"));
  driver.set_session("cache", samples::live());
  driver.state.metadata = samples::live();
  const Ref<Error> error = samples::try_snapshot(driver.state).error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, Status::not_serializable);
  EXPECT_EQ(error->message,
            "LIVE values cannot be kept: session 'cache' (it has no serializer), session 'db' (it has no "
            "serializer), a LIVE value where none may stand, event 'blazen::StartEvent' (id 1) (it has no "
            "serializer), event 'Note' (id 2) (it has no serializer)");
}

TEST(Snapshot, LiveResultsAndDetailsAreNamedToo) {
  Driver completed(sample_workflow(Hosting::all));
  completed.start(samples::json("1"));
  completed.complete(completed.dispatch(), {completed.output(kStopEvent, samples::live(), "split")});
  EXPECT_EQ(samples::try_snapshot(completed.state).error()->message,
            "LIVE values cannot be kept: result (it has no serializer)");

  Driver failed(sample_workflow(Hosting::all));
  failed.start(samples::json("1"));
  Ref<Error> cause = Error::host(1, "m", samples::live());
  cause->cause = Error::host(2, "n", samples::live());
  failed.fail(failed.dispatch(), Error::step_failed("split", 1, cause));
  EXPECT_EQ(samples::try_snapshot(failed.state).error()->message,
            "LIVE values cannot be kept: error.cause.detail (it has no serializer), error.cause.cause.detail "
            "(it has no serializer)");
}

// An answer that nobody has taken yet, and a delayed event.
TEST(Snapshot, LiveAnswersAndDelayedEventsAreNamedToo) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.later(10, driver.output("Note", samples::live())), {1, 1});
  driver.ask(split, "q");
  driver.respond("q", samples::live());
  EXPECT_EQ(
      samples::try_snapshot(driver.state).error()->message,
      "LIVE values cannot be kept: event 'Note' (id 2) (it has no serializer), answer to 'q' (it has no "
      "serializer)");
}

// ---- damaged bytes ----

void expect_refused(const Ref<Error>& error, size_t size) {
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->status == Status::snapshot_invalid || error->status == Status::snapshot_newer);
  EXPECT_LE(error->offset, size);
  EXPECT_FALSE(error->message.empty());
}

TEST(Snapshot, TruncatedAnywhereItIsRefused) {
  for (const samples::Sample& sample : samples::make_samples()) {
    const std::string taken = snapshot(sample.state);
    for (size_t size = 0; size < taken.size(); ++size) {
      SCOPED_TRACE(sample.name + " cut at " + std::to_string(size));
      Result<SnapshotDocument> document = decode(std::string_view(taken).substr(0, size));
      ASSERT_FALSE(document);
      const Ref<Error> error = document.error();
      ASSERT_EQ(error->status, Status::snapshot_invalid);
      expect_refused(error, size);
    }
  }
}

// Whatever may happen to it happens, and every invariant holds after each tick.
void expect_goes_on(Driver driver) {
  driver.now_ms = driver.state.clock.set_date_ms;
  driver.apply({.kind = Tick::Kind::resume});
  driver.apply({.kind = Tick::Kind::unpause});
  for (int round = 0; round < 3 && !has_ended(driver.state); ++round) {
    for (int i = 0; i < 20 && driver.dispatch() != nullptr; ++i) continue;
    while (!driver.state.in_flight.empty() && !has_ended(driver.state))
      driver.complete(driver.state.in_flight.front(), {});
    driver.pass(1000);
    while (!driver.state.questions.empty() && !has_ended(driver.state)) {
      const std::string id(driver.state.questions.first()->request->correlation());
      driver.respond(id, samples::json("1"));
    }
  }
  EXPECT_TRUE(decode(snapshot(driver.state)));
}

// Bytes that are taken for a snapshot are one: a run of them gives those bytes again.
void expect_refused_or_deterministic(const std::string& bytes) {
  Result<SnapshotDocument> document = decode(bytes);
  if (!document) return expect_refused(document.error(), bytes.size());
  EXPECT_TRUE(nlohmann::json::accept(describe_snapshot(*document)));
  auto state = std::make_unique<RunState>();
  const Ref<Workflow> workflow = samples::workflow_named(document->workflow, Hosting::all);
  const Ref<Error> error = samples::restore(*document, workflow, false, *state);
  if (error) {
    EXPECT_EQ(error->status, Status::snapshot_mismatch);
    EXPECT_FALSE(state->workflow);
    return;
  }
  EXPECT_EQ(snapshot(*state, document->engine), bytes);
  check_invariants(*state);
  if (state->phase == Phase::running) expect_goes_on(Driver(std::move(state)));
}

TEST(Snapshot, WithAnyBitFlippedItIsRefusedOrDeterministic) {
  for (const samples::Sample& sample : samples::make_samples()) {
    const std::string taken = snapshot(sample.state);
    for (size_t bit = 0; bit < taken.size() * 8; ++bit) {
      SCOPED_TRACE(sample.name + " with bit " + std::to_string(bit));
      std::string altered = taken;
      altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
      expect_refused_or_deterministic(altered);
      if (HasFailure()) return;
    }
  }
}

TEST(Snapshot, WithBytesPutInOrTakenOutItIsRefusedOrDeterministic) {
  std::mt19937 random(7);
  for (const samples::Sample& sample : samples::make_samples()) {
    const std::string taken = snapshot(sample.state);
    for (int round = 0; round < 2000; ++round) {
      std::string altered = taken;
      for (unsigned edits = 1 + random() % 3; edits > 0; --edits) {
        const size_t at = random() % altered.size();
        switch (random() % 3) {
          case 0: altered[at] = static_cast<char>(random()); break;
          case 1: altered.erase(at, 1 + random() % 4); break;
          default: altered.insert(at, 1 + random() % 4, static_cast<char>(random())); break;
        }
        if (altered.empty()) break;
      }
      SCOPED_TRACE(sample.name + " in round " + std::to_string(round));
      expect_refused_or_deterministic(altered);
      if (HasFailure()) return;
    }
  }
}

// ---- hostile documents ----

// CBOR by hand.
template <class Write>
std::string item(Write write) {
  CborWriter writer;
  write(writer);
  return {reinterpret_cast<const char*>(writer.data()), writer.size()};
}
std::string u(uint64_t number) {
  return item([&](CborWriter& writer) { writer.unsigned_int(number); });
}
std::string i(int64_t number) {
  return item([&](CborWriter& writer) { writer.signed_int(number); });
}
std::string t(std::string_view text) {
  return item([&](CborWriter& writer) { writer.text(text); });
}
std::string b(std::string_view data) {
  return item([&](CborWriter& writer) { writer.bytes(data.data(), data.size()); });
}
std::string head(uint64_t count) {
  return item([&](CborWriter& writer) { writer.array(count); });
}
std::string a(std::initializer_list<std::string> items) {
  std::string array = head(items.size());
  for (const std::string& content : items) array += content;
  return array;
}
const std::string kNil = "\xf6";

// A small run of the sample workflow: event 1 in flight at `split` and queued at `work`.
struct Document {
  std::map<uint64_t, std::string> fields = {
      {0, t("blazen/run")},
      {1, u(1)},
      {2, t("0.2.0")},
      {3, t("orders")},
      {4, t(sample_workflow(Hosting::all)->fingerprint())},
      {5, b("0123456789abcdef")},
      {6, u(2)},
      {7, a({u(9), u(9), u(9), u(3)})},
      {8, kNil},
      {9, kNil},
      {10, a({a({t("a"), u(1), t("1")}), a({t("b"), u(2), b("x")})})},
      {11, a({a({t("a"), u(3), a({t("c"), b("x")})})})},
      {12, a({t("split"), t("work"), t("check"), t("remote"), t("join")})},
      {13, a({a({u(1), t("T"), t("1"), kNil, kNil})})},
      {14, a({a({u(2), u(0), u(0), u(1), b("123456781234567812345678")})})},
      {15, a({a({u(3), u(1), u(0), u(1), b("")})})},
      {16, kNil},
      {17, a({})},
      {18, a({u(0), u(0)})},
      {19, a({})},
      {20, a({})},
      {21, a({})},
      {22, a({})},
      {23, a({})},
      {24, u(0)},
      {25, a({})},
  };

  std::string head() const {
    return "\xd9\xd9\xf7" + item([&](CborWriter& writer) { writer.map(fields.size()); });
  }
  std::string bytes() const {
    std::string all = head();
    for (const auto& [key, value] : fields) all += u(key) + value;
    return all;
  }
  // Where the value of a key stands.
  size_t offset(uint64_t key) const {
    size_t at = head().size();
    for (const auto& [other, value] : fields) {
      if (other == key) return at + u(key).size();
      at += u(other).size() + value.size();
    }
    return at;
  }
};

TEST(Snapshot, TheDocumentThatTheHostileOnesAreMadeOfIsSound) {
  const std::string bytes = Document().bytes();
  EXPECT_EQ(snapshot(*restored(bytes, sample_workflow(Hosting::all))), bytes);
}

struct Hostile {
  std::map<uint64_t, std::string> fields;  // in place of those of the sound document; empty: without this key
  uint64_t key;                            // of the value with the fault
  size_t offset;                           // in that value
  std::string message;
};

void expect_faults(const std::vector<Hostile>& documents) {
  for (const Hostile& hostile : documents) {
    SCOPED_TRACE(hostile.message);
    Document document;
    for (const auto& [key, value] : hostile.fields) {
      document.fields[key] = value;
      if (value.empty()) document.fields.erase(key);
    }
    Result<SnapshotDocument> result = decode(document.bytes());
    EXPECT_FALSE(result);
    if (result) continue;
    const Ref<Error> error = result.error();
    EXPECT_EQ(error->status, Status::snapshot_invalid);
    EXPECT_EQ(error->message, hostile.message);
    EXPECT_EQ(error->offset, document.offset(hostile.key) + hostile.offset);
  }
}

const std::string kLongName(kNameBytesMax + 1, 'n');

// What could not be decoded is still the caller's.
TEST(Snapshot, BytesAreTakenOverOnlyWhereTheyAreDecoded) {
  CborWriter writer;
  writer.encoded(bytes_of(Document().bytes()));
  CborBuffer bytes = writer.take();
  const uint8_t* memory = bytes.data.get();
  bytes.data[0] = 0;
  EXPECT_FALSE(decode_snapshot(std::move(bytes)));
  ASSERT_EQ(bytes.data.get(), memory);  // NOLINT(bugprone-use-after-move): that is what it promises
  bytes.data[0] = kFormatHead[0];
  Result<SnapshotDocument> document = decode_snapshot(std::move(bytes));
  ASSERT_TRUE(document);
  EXPECT_EQ(document->own_bytes.data.get(), memory);
}

TEST(Snapshot, FaultsOfTheHeadAreNamed) {
  expect_faults({
      {{{0, t("other")}}, 0, 0, "magic: this is CBOR, and not of a run: expected 'blazen/run' here"},
      {{{0, u(1)}}, 0, 0, "magic: expected text, found an unsigned integer"},
      {{{1, u(0)}}, 1, 0, "format: there is no format version 0"},
      {{{1, t("1")}}, 1, 0, "format: expected an unsigned integer, found text"},
      {{{1, "\x18\x01"}}, 1, 0, "format: not the shortest length"},
      {{{2, t("")}}, 2, 0, "engine: empty"},
      {{{3, t(kLongName)}}, 3, 0, "workflow: 1025 bytes, and a name has at most 1024"},
      {{{3, "\x61\xff"}}, 3, 0, "workflow: text is not UTF-8"},
      {{{4, t("0123456789ABCDEF")}}, 4, 0, "fingerprint: not 16 hexadecimal digits"},
      {{{4, t("0123")}}, 4, 0, "fingerprint: not 16 hexadecimal digits"},
      {{{5, b("123")}}, 5, 0, "run_id: 3 bytes instead of 16"},
      {{{5, t("0123456789abcdef")}}, 5, 0, "run_id: expected a byte string, found text"},
      {{{6, u(3)}}, 6, 0, "phase: 3 is none of 1, 2, 5, 6, 7"},
      {{{6, u(UINT64_MAX)}}, 6, 0, "phase: 18446744073709551615 is none of 1, 2, 5, 6, 7"},
      {{{6, u((uint64_t{1} << 32) + 2)}}, 6, 0, "phase: 4294967298 is none of 1, 2, 5, 6, 7"},
      {{{7, a({u(1), u(1), u(1)})}}, 7, 0, "counters: an array of 3 instead of 4"},
      {{{7, a({u(1), u(1), u(1), i(-1)})}},
       7,
       4,
       "counters.stream_last: expected an unsigned integer, found a negative "
       "integer"},
      {{{8, a({})}}, 8, 0, "last_event: an array of 0 instead of 1"},
      {{{8, a({t("")})}}, 8, 1, "last_event.type: empty"},
      {{{8, t("T")}}, 8, 0, "last_event: expected an array, found text"},
      {{{9, u(1)}}, 9, 0, "metadata: expected a value: text, a byte string or an array of two"},
      {{{9, t("{\"a\":}")}}, 9, 6, "metadata: not JSON: expected a value"},
      {{{9, a({t("c"), b("x"), b("y")})}}, 9, 0, "metadata: an array of 3 instead of 2"},
      {{{9, a({t(kLongName), b("x")})}}, 9, 1, "metadata.codec: 1025 bytes, and a name has at most 1024"},
      {{{9, a({t("c"), t("x")})}}, 9, 3, "metadata.data: expected a byte string, found text"},
      {{{9, "\xfb" + std::string(8, '\0')}}, 9, 0, "metadata: floating point is not allowed"},
      {{{9,
         "\x7f\x61"
         "1\xff"}},
       9,
       0,
       "metadata: indefinite length is not allowed"},
  });
}

TEST(Snapshot, FaultsOfTheTablesAreNamed) {
  const std::string one = t("1");
  expect_faults({
      {{{10, u(1)}}, 10, 0, "state: expected an array, found an unsigned integer"},
      {{{10, head(60)}}, 10, 0, "state: 60 items, and the bytes left hold at most 23"},
      {{{10, head(UINT64_MAX)}}, 10, 0, "state: more items than bytes left"},
      {{{10, a({a({t("a"), u(1)})})}}, 10, 1, "state[0]: an array of 2 instead of 3"},
      {{{10, a({a({t(""), u(1), one})})}}, 10, 2, "state[0].key: empty"},
      {{{10, a({a({t(kLongName), u(1), one})})}},
       10,
       2,
       "state[0].key: 1025 bytes, and a name has at most 1024"},
      {{{10, a({a({t("b"), u(1), one}), a({t("a"), u(2), one})})}},
       10,
       8,
       "state[1].key: does not come after the key before it, by the bytes of both"},
      {{{10, a({a({t("a"), u(1), one}), a({t("a"), u(2), one})})}},
       10,
       8,
       "state[1].key: does not come after the key before it, by the bytes of both"},
      {{{10, a({a({t("a"), u(0), one})})}}, 10, 4, "state[0].version: 0, and they count from 1"},
      {{{10, a({a({t("a"), u(10), one})})}}, 10, 4, "state[0].version: 10 is more than 9, write_last"},
      {{{10, a({a({t("a"), u(2), one}), a({t("b"), u(2), one})})}},
       10,
       10,
       "state[1].version: 2 stands at another key too"},
      {{{11, a({a({t("a"), u(2), one})})}}, 11, 4, "session[0].version: 2 stands at another key too"},
      {{{7, a({u(9), u(9), u(kCounterMax), u(3)})}, {11, a({a({t("a"), u(2), one})})}},
       11,
       4,
       "session[0].version: 2 stands at another key too"},
      {{{10, a({a({t("a"), u(1), t("")})})}},
       10,
       6,
       "state[0].value: not JSON: ends where a value is expected"},
      {{{10, a({a({t("a"), u(1), kNil})})}},
       10,
       5,
       "state[0].value: expected a value: text, a byte string or an array "
       "of two"},
      {{{10, a({a({t("a"), u(1), a({u(1), b("")})})})}},
       10,
       6,
       "state[0].value.codec: expected text, found an unsigned integer"},
      {{{11, a({a({t("a"), u(3), t(std::string(513, '['))})})}},
       11,
       5 + 3 + 512,
       "session[0].value: not JSON: nested deeper than the limit"},
  });
}

TEST(Snapshot, FaultsOfStepsAndEventsAreNamed) {
  const std::string value = t("1");
  std::string steps = head(kStepsMax + 1);
  for (uint64_t n = 0; n <= kStepsMax; ++n) steps += t("s" + std::to_string(n));
  expect_faults({
      {{{12, a({})}}, 12, 0, "steps: 0 steps; a workflow has 1 to 4096"},
      {{{12, steps}}, 12, 0, "steps: 4097 steps; a workflow has 1 to 4096"},
      {{{12, a({t("a"), t("b"), t("a")})}}, 12, 5, "steps[2]: has the name of steps[0]"},
      {{{12, a({t("a"), t("")})}}, 12, 3, "steps[1]: empty"},
      {{{13, a({a({u(0), t("T"), value, kNil, kNil})})}}, 13, 2, "events[0].id: 0, and they count from 1"},
      {{{13, a({a({u(10), t("T"), value, kNil, kNil})})}},
       13,
       2,
       "events[0].id: 10 is more than 9, event_id_last"},
      {{{13, a({a({u(2), t("T"), value, kNil, kNil}), a({u(2), t("T"), value, kNil, kNil})})}},
       13,
       10,
       "events[1].id: 2 does not come after 2 before it"},
      {{{13, a({a({u(3), t("T"), value, kNil, kNil}), a({u(2), t("T"), value, kNil, kNil})})}},
       13,
       10,
       "events[1].id: 2 does not come after 3 before it"},
      {{{13, a({a({u(1), t(""), value, kNil, kNil})})}}, 13, 3, "events[0].type: empty"},
      {{{13, a({a({u(1), t("T"), kNil, kNil, kNil})})}},
       13,
       5,
       "events[0].value: expected a value: text, a byte string or an array of two"},
      {{{13, a({a({u(1), t("T"), value, t(""), kNil})})}}, 13, 7, "events[0].source: empty"},
      {{{13, a({a({u(1), t("T"), value, kNil, u(1)})})}},
       13,
       8,
       "events[0].correlation: expected text, found an unsigned integer"},
      {{{13, a({a({u(1), t("T"), value, kNil, kNil}), a({u(2), t("T"), value, kNil, kNil})})}},
       13,
       11,
       "events[1]: no invocation has this event"},
      {{{13, a({})}}, 14, 4, "in_flight[0].event: index 0, and there are only 0 events"},
  });
}

TEST(Snapshot, FaultsOfInvocationsAreNamed) {
  const auto flight = [](uint64_t id, std::string_view effects) {
    return a({u(id), u(0), u(0), u(1), b(effects)});
  };
  const auto queued = [](uint64_t id) { return a({u(id), u(0), u(0), u(1), b("")}); };
  expect_faults({
      {{{14, a({a({u(2), u(0), u(0), u(1)})})}}, 14, 1, "in_flight[0]: an array of 4 instead of 5"},
      {{{14, a({flight(0, "")})}}, 14, 2, "in_flight[0].id: 0, and they count from 1"},
      {{{14, a({flight(10, "")})}}, 14, 2, "in_flight[0].id: 10 is more than 9, invocation_id_last"},
      {{{14, a({flight(5, ""), flight(4, "123456781234567812345678"), flight(5, "")})}},
       14,
       39,
       "in_flight[2].id: 5 is the id of another invocation in flight"},
      {{{7, a({u(9), u(kCounterMax), u(9), u(3)})}, {14, a({flight(5, ""), flight(4, ""), flight(5, "")})}},
       14,
       14,
       "in_flight[2].id: 5 is the id of another invocation in flight"},
      {{{14, a({a({u(2), u(5), u(0), u(1), b("")})})}},
       14,
       3,
       "in_flight[0].step: index 5, and there are only 5 steps"},
      {{{14, a({a({u(2), u(0), u(UINT64_MAX), u(1), b("")})})}},
       14,
       4,
       "in_flight[0].event: index 18446744073709551615, and there are only 1 events"},
      {{{14, a({a({u(2), u(0), u(0), u(0), b("")})})}},
       14,
       5,
       "in_flight[0].attempt: 0, and they count from 1"},
      {{{14, a({a({u(2), u(0), u(0), u(uint64_t{1} << 32), b("")})})}},
       14,
       5,
       "in_flight[0].attempt: 4294967296 is more than 4294967295, 32 bits"},
      {{{14, a({flight(2, "1234567")})}}, 14, 6, "in_flight[0].effects: 7 bytes, which is no multiple of 24"},
      {{{14, a({a({u(2), u(0), u(0), u(1), kNil})})}},
       14,
       6,
       "in_flight[0].effects: expected a byte string, found null"},
      {{{14, head(1000000)}}, 14, 0, "in_flight: more items than bytes left"},
      {{{15, head(5)}}, 15, 0, "queued: 5 items, and the bytes left hold at most 4"},
      {{{15, a({a({u(3), u(1), u(0), u(1)})})}}, 15, 1, "queued[0]: an array of 4 instead of 5"},
      {{{15, a({a({u(3), u(1), u(0), u(1), b("123456789")})})}},
       15,
       6,
       "queued[0].effects: 9 bytes, which is no multiple of 24"},
      {{{15, a({queued(4), queued(4)})}}, 15, 8, "queued[1].id: 4 does not come after 4 before it"},
      {{{15, a({queued(4), queued(3)})}}, 15, 8, "queued[1].id: 3 does not come after 4 before it"},
      {{{15, a({queued(1), queued(2)})}}, 15, 8, "queued[1].id: 2 is the id of another invocation in flight"},
      {{{15, a({a({u(3), u(1), u(1), u(1), b("")})})}},
       15,
       4,
       "queued[0].event: index 1, and there are only 1 events"},
      {{{15, a({a({u(3), u(7), u(0), u(1), b("")})})}},
       15,
       3,
       "queued[0].step: index 7, and there are only 5 steps"},
  });
}

// The sound document without anything queued, in another phase.
std::map<uint64_t, std::string> ended(Phase phase, std::string outcome) {
  return {
      {6, u(static_cast<uint64_t>(phase))}, {13, a({})}, {14, a({})}, {15, a({})}, {16, std::move(outcome)}};
}

std::string error_item(std::string cause) {
  return a({u(300), t("m"), kNil, u(0), i(-1), kNil, kNil, std::move(cause)});
}

TEST(Snapshot, FaultsOfTheOutcomeAreNamed) {
  const auto failed = [](std::string outcome) { return ended(Phase::failed, std::move(outcome)); };
  std::string deep = kNil;
  for (int depth = 0; depth < 18; ++depth) deep = error_item(std::move(deep));
  const size_t one_error = error_item(kNil).size() - 1;
  expect_faults({
      {{{6, u(1)}}, 13, 0, "events: 1 items, and only a running run has any"},
      {{{6, u(5)}, {13, a({})}, {14, head(1)}}, 14, 0, "in_flight: 1 items, and only a running run has any"},
      {{{6, u(7)}, {13, a({})}, {14, a({})}}, 15, 0, "queued: 1 items, and only a running run has any"},
      {{{16, a({t("1")})}}, 16, 0, "outcome: expected null, found an array"},
      {ended(Phase::created, error_item(kNil)), 16, 0, "outcome: expected null, found an array"},
      {ended(Phase::completed, kNil), 16, 0, "outcome: expected an array, found null"},
      {ended(Phase::completed, a({kNil})), 16, 1,
       "outcome.value: expected a value: text, a byte string or an array of two"},
      {ended(Phase::completed, error_item(kNil)), 16, 0, "outcome: an array of 8 instead of 1"},
      {failed(kNil), 16, 0, "outcome: expected an array, found null"},
      {failed(a({t("1")})), 16, 0, "outcome: an array of 1 instead of 8"},
      {failed(a({u(0), t("m"), kNil, u(0), u(0), kNil, kNil, kNil})), 16, 1,
       "outcome.status: 0 is not the number of an error"},
      {failed(a({u(110), t("m"), kNil, u(0), u(0), kNil, kNil, kNil})), 16, 1,
       "outcome.status: 110 is not the number of an error"},
      {failed(a({u(UINT64_MAX), t("m"), kNil, u(0), u(0), kNil, kNil, kNil})), 16, 1,
       "outcome.status: 18446744073709551615 is not the number of an error"},
      {failed(a({u(300), b("m"), kNil, u(0), u(0), kNil, kNil, kNil})), 16, 4,
       "outcome.message: expected text, found a byte string"},
      {failed(a({u(300), t("m"), t(""), u(0), u(0), kNil, kNil, kNil})), 16, 6, "outcome.step: empty"},
      {failed(a({u(300), t("m"), kNil, u(uint64_t{1} << 32), u(0), kNil, kNil, kNil})), 16, 7,
       "outcome.attempt: 4294967296 is more than 4294967295, 32 bits"},
      {failed(a({u(300), t("m"), kNil, u(0), u(UINT64_MAX), kNil, kNil, kNil})), 16, 8,
       "outcome.host_code: integer is out of range"},
      {failed(a({u(300), t("m"), kNil, u(0), u(0), u(UINT64_MAX), kNil, kNil})), 16, 9,
       "outcome.offset: 18446744073709551615 is more than 18446744073709551614, 64 bits but one, which is "
       "written as "
       "null"},
      {failed(a({u(300), t("m"), kNil, u(0), u(0), kNil, t("x"), kNil})), 16, 11,
       "outcome.detail: not JSON: expected a value"},
      {failed(a({u(300), t("m"), kNil, u(0), u(0), kNil, kNil, u(1)})), 16, 11,
       "outcome.cause: expected an array, found an unsigned integer"},
      {failed(error_item(error_item(a({u(9)})))), 16, 2 * one_error,
       "outcome.cause.cause: an array of 1 instead of 8"},
      {failed(deep), 16, 17 * one_error,
       "outcome.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause."
       "cause.cause: "
       "more than 16 causes beneath one another"},
  });
}

// What was LIVE: [label, value] in the tag 45474.
std::string l(std::initializer_list<std::string> items) {
  return item([](CborWriter& writer) { writer.tag(kCborTagLive); }) + a(items);
}

TEST(Snapshot, FaultsOfLiveValuesAreNamed) {
  const std::string sound = l({t("db"), t("1")});
  const auto session = [](const std::string& value) { return a({a({t("a"), u(3), value})}); };
  const auto event = [](const std::string& value) { return a({a({u(1), t("T"), value, kNil, kNil})}); };
  const std::string foreign = item([](CborWriter& writer) { writer.tag(45475); });
  const std::string no_value = "expected a value: text, a byte string or an array of two";
  expect_faults({
      {{{9, sound}}, 9, 0, "metadata: " + no_value},
      {{{10, a({a({t("a"), u(1), sound})})}}, 10, 5, "state[0].value: " + no_value},
      {{{11, session(l({t("db")}))}}, 11, 8, "session[0].value: an array of 1 instead of 2"},
      {{{11, session(l({t("db"), t("1"), t("2")}))}}, 11, 8, "session[0].value: an array of 3 instead of 2"},
      {{{11, session(foreign + a({t("db"), t("1")}))}},
       11,
       5,
       "session[0].value: tag 45475, and only 45474 is one of format 1"},
      {{{11, session("\xda" + std::string("\0\0\xb1\xa2", 4) + a({t("db"), t("1")}))}},
       11,
       5,
       "session[0].value: not the shortest length"},
      {{{11, session(l({b("db"), t("1")}))}},
       11,
       9,
       "session[0].value.label: expected text, found a byte string"},
      {{{11, session(l({t(kLongName), t("1")}))}},
       11,
       9,
       "session[0].value.label: 1025 bytes, and a name has at most 1024"},
      {{{11, session(l({t("db"), kNil}))}}, 11, 12, "session[0].value.kept: " + no_value},
      {{{11, session(l({t("db"), sound}))}}, 11, 12, "session[0].value.kept: " + no_value},
      {{{11, session(l({t("db"), t("[1")}))}},
       11,
       15,
       "session[0].value.kept: not JSON: ends inside an array"},
      {{{11, session(l({t("db"), a({t("c"), t("x")})}))}},
       11,
       15,
       "session[0].value.kept.data: expected a byte string, found text"},
      {{{13, event(l({t("db"), kNil}))}}, 13, 12, "events[0].value.kept: " + no_value},
      {ended(Phase::completed, a({l({t("db"), u(1)})})), 16, 8, "outcome.value.kept: " + no_value},
  });
}

TEST(Snapshot, FaultsOfTheDroppedNamesAreNamed) {
  expect_faults({
      {{{17, kNil}}, 17, 0, "dropped: expected an array, found null"},
      {{{17, head(1000)}}, 17, 0, "dropped: more items than bytes left"},
      {{{17, a({u(256)})}}, 17, 1, "dropped[0]: expected text, found an unsigned integer"},
      {{{17, a({t("abc"), t("")})}}, 17, 5, "dropped[1]: empty"},
      {{{17, a({t(std::string(kDroppedBytesMax + 1, 'n'))})}},
       17,
       1,
       "dropped[0]: 4097 bytes, and there may be 4096"},
      {{{17, a({t("a"), t("b"), t("a")})}}, 17, 5, "dropped[2]: has the name of dropped[0]"},
  });
  Document sound;
  sound.fields[17] = a({t(std::string(kDroppedBytesMax, 'n')), t("b")});
  EXPECT_EQ(snapshot(*restored(sound.bytes(), sample_workflow(Hosting::all))), sound.bytes());
}

// A question of an event, and an invocation that waits for its answer.
std::string request_item(uint64_t id, std::string_view correlation, std::string_view value = "{}") {
  return a({u(id), t(kInputRequest), t(value), kNil, t(correlation)});
}
std::string queued_item(uint64_t id) { return a({u(id), u(0), u(0), u(1), b("")}); }

TEST(Snapshot, FaultsOfTheClockAndThePauseAreNamed) {
  const auto ended_with = [](uint64_t key, std::string value) {
    std::map<uint64_t, std::string> fields = ended(Phase::completed, a({t("1")}));
    fields[key] = std::move(value);
    return fields;
  };
  const int64_t most = INT64_MAX / 2;
  expect_faults({
      {{{18, kNil}}, 18, 0, "clock: expected an array, found null"},
      {{{18, a({u(0)})}}, 18, 0, "clock: an array of 1 instead of 2"},
      {{{18, a({i(-1), u(0)})}}, 18, 1, "clock.elapsed: -1 is no number of milliseconds"},
      {{{18, a({u(0), i(-1)})}}, 18, 2, "clock.taken: -1 is no number of milliseconds"},
      {{{18, a({i(most + 1), u(0)})}},
       18,
       1,
       "clock.elapsed: 4611686018427387904 is no number of milliseconds"},
      {{{18, a({u(0), i(most + 1)})}},
       18,
       2,
       "clock.taken: 4611686018427387904 is no number of milliseconds"},
      {{{18, a({t("0"), u(0)})}}, 18, 1, "clock.elapsed: expected an integer, found text"},
      {ended_with(18, a({u(5), u(0)})), 18, 1, "clock.elapsed: 5, and only a running run has a clock"},
      {ended_with(18, a({u(0), u(5)})), 18, 2, "clock.taken: 5, and only a running run has a clock"},
      {{{6, u(1)}, {13, a({})}, {14, a({})}, {15, a({})}, {18, a({u(0), u(5)})}},
       18,
       2,
       "clock.taken: 5, and only a running run has a clock"},
      {{{24, u(3)}}, 24, 0, "pause: 3 is none of 0, 1, 2"},
      {{{24, u(UINT64_MAX)}}, 24, 0, "pause: 18446744073709551615 is none of 0, 1, 2"},
      {{{24, kNil}}, 24, 0, "pause: expected an unsigned integer, found null"},
      {{{25, ""}}, 25, 0, "asked: missing: the map ends after 25 keys"},
      {ended_with(24, u(1)), 24, 0, "pause: only a running run is paused"},
      {ended_with(24, u(2)), 24, 0, "pause: only a running run is paused"},
  });
  Document sound;
  sound.fields[18] = a({i(kElapsedMsRoom), i(most)});
  sound.fields[24] = u(2);
  EXPECT_EQ(snapshot(*restored(sound.bytes(), sample_workflow(Hosting::all))), sound.bytes());
}

TEST(Snapshot, FaultsOfTimersAreNamed) {
  const auto delayed = [](int64_t due, uint64_t event) { return a({i(due), u(event), kNil}); };
  const std::string two = a({a({u(1), t("T"), t("1"), kNil, kNil}), a({u(2), t("T"), t("1"), kNil, kNil})});
  const auto request = [](const std::string& event) {
    return a({a({u(1), t("T"), t("1"), kNil, kNil}), event});
  };
  const std::string three = a({queued_item(3), queued_item(4), queued_item(5)});
  const int64_t least = INT64_MIN / 2;
  expect_faults({
      {{{19, u(0)}}, 19, 0, "delayed: expected an array, found an unsigned integer"},
      {{{19, head(100)}}, 19, 0, "delayed: more items than bytes left"},
      {{{19, head(4)}}, 19, 0, "delayed: 4 items, and the bytes left hold at most 3"},
      {{{19, a({a({u(1), u(0)})})}}, 19, 1, "delayed[0]: an array of 2 instead of 3"},
      {{{19, a({a({t("1"), u(0), kNil})})}}, 19, 2, "delayed[0].due: expected an integer, found text"},
      {{{19, a({delayed(least - 1, 0)})}},
       19,
       2,
       "delayed[0].due: -4611686018427387905 is no number of milliseconds"},
      {{{19, a({delayed(INT64_MAX, 0)})}},
       19,
       2,
       "delayed[0].due: 9223372036854775807 is no number of milliseconds"},
      {{{19, a({delayed(1, 1)})}}, 19, 3, "delayed[0].event: index 1, and there are only 1 events"},
      {{{19, a({a({u(1), u(0), u(5)})})}}, 19, 4, "delayed[0].step: index 5, and there are only 5 steps"},
      {{{19, a({a({u(1), u(0), t("x")})})}},
       19,
       4,
       "delayed[0].step: expected an unsigned integer, found text"},
      {{{19, a({delayed(1, 0), delayed(1, 0)})}},
       19,
       5,
       "delayed[1]: does not come after the one before it, by due and event"},
      {{{13, two}, {19, a({delayed(1, 1), delayed(1, 0)})}},
       19,
       5,
       "delayed[1]: does not come after the one before it, by due and event"},
      {{{13, two}, {19, a({delayed(1, 0), delayed(0, 1)})}},
       19,
       5,
       "delayed[1]: does not come after the one before it, by due and event"},
      {{{6, u(5)}, {13, a({})}, {14, a({})}, {15, a({})}, {16, a({t("1")})}, {19, a({delayed(1, 0)})}},
       19,
       0,
       "delayed: 1 items, and only a running run has any"},
      {{{13, request(a({u(2), t(kInputRequest), t("{}"), kNil, kNil}))}, {19, a({delayed(1, 1)})}},
       19,
       3,
       "delayed[0].event: is no InputRequestEvent with an id"},
      {{{13, request(request_item(2, "q", "1"))}, {19, a({delayed(1, 1)})}},
       19,
       3,
       "delayed[0].event: its value is no JSON object"},
      {{{20, kNil}}, 20, 0, "backing_off: expected an array, found null"},
      {{{20, head(5)}}, 20, 0, "backing_off: 5 items, and the bytes left hold at most 4"},
      {{{20, a({a({u(1)})})}}, 20, 1, "backing_off[0]: an array of 1 instead of 2"},
      {{{20, a({a({i(least - 1), u(3)})})}},
       20,
       2,
       "backing_off[0].due: -4611686018427387905 is no number of milliseconds"},
      {{{20, a({a({u(1), u(2)})})}}, 20, 3, "backing_off[0].id: 2 is no queued invocation"},
      {{{20, a({a({u(1), u(9)})})}}, 20, 3, "backing_off[0].id: 9 is no queued invocation"},
      {{{15, three}, {20, a({a({u(1), u(4)}), a({u(1), u(3)})})}},
       20,
       4,
       "backing_off[1]: does not come after the one before it, by due and id"},
      {{{15, three}, {20, a({a({u(1), u(3)}), a({u(2), u(3)})})}},
       20,
       7,
       "backing_off[1].id: 3 backs off twice"},
      {{{6, u(5)}, {13, a({})}, {14, a({})}, {15, a({})}, {16, a({t("1")})}, {20, a({a({u(1), u(3)})})}},
       20,
       0,
       "backing_off: 1 items, and only a running run has any"},
  });
  Document sound;
  sound.fields[13] = two;
  sound.fields[15] = three;
  sound.fields[19] = a({delayed(least, 1), delayed(0, 0), a({i(INT64_MAX / 2), u(1), u(4)})});
  sound.fields[20] = a({a({i(-5), u(5)}), a({u(0), u(3)}), a({u(0), u(4)})});
  EXPECT_EQ(snapshot(*restored(sound.bytes(), sample_workflow(Hosting::all))), sound.bytes());
}

TEST(Snapshot, FaultsOfQuestionsAndAnswersAreNamed) {
  const auto question = [](uint64_t event, uint64_t asker) { return a({u(event), u(asker), u(7)}); };
  const std::string requests =
      a({a({u(1), t("T"), t("1"), kNil, kNil}), request_item(2, "p"), request_item(3, "q")});
  const auto events = [](const std::string& second) {
    return a({a({u(1), t("T"), t("1"), kNil, kNil}), second});
  };
  const std::string three = a({queued_item(3), queued_item(4), queued_item(5)});
  const std::string both = a({question(1, 3), question(2, 0)});
  const size_t first = 1 + 8;  // where the second event stands
  const auto asked = [](uint64_t id, std::string_view name) { return a({u(id), t(name), u(7)}); };
  expect_faults({
      {{{21, kNil}}, 21, 0, "asking: expected an array, found null"},
      {{{21, a({u(2)})}}, 21, 1, "asking[0].id: 2 is no queued invocation"},
      {{{21, a({t("3")})}}, 21, 1, "asking[0].id: expected an unsigned integer, found text"},
      {{{15, three}, {21, a({u(4), u(3)})}}, 21, 2, "asking[1]: 3 does not come after 4 before it"},
      {{{15, three}, {21, a({u(3), u(3)})}}, 21, 2, "asking[1]: 3 does not come after 3 before it"},
      {{{20, a({a({u(1), u(3)})})}, {21, a({u(3)})}},
       21,
       1,
       "asking[0]: 3 backs off, and cannot ask at the same time"},
      {{{21, a({u(3)})}}, 22, 1, "asking[0]: 3 waits for an answer and has asked nothing"},
      {{{15, three}, {13, requests}, {21, a({u(3), u(4)})}, {22, both}},
       22,
       9,
       "asking[1]: 4 waits for an answer and has asked nothing"},
      {{{22, u(0)}}, 22, 0, "questions: expected an array, found an unsigned integer"},
      {{{22, a({a({u(0), u(0)})})}}, 22, 1, "questions[0]: an array of 2 instead of 3"},
      {{{22, a({question(4, 0)})}}, 22, 2, "questions[0].event: index 4, and there are only 1 events"},
      {{{22, a({question(0, 0)})}}, 22, 2, "questions[0].event: is no InputRequestEvent with an id"},
      {{{13, events(a({u(2), t(kInputRequest), t("{}"), kNil, kNil}))}, {22, a({question(1, 0)})}},
       22,
       2,
       "questions[0].event: is no InputRequestEvent with an id"},
      {{{13, events(a({u(2), t(kInputRequest), b("{}"), kNil, t("q")}))}, {22, a({question(1, 0)})}},
       22,
       2,
       "questions[0].event: is no InputRequestEvent with an id"},
      {{{13, events(a({u(2), t(kInputRequest), l({t("db"), t("{}")}), kNil, t("q")}))},
        {22, a({question(1, 0)})}},
       22,
       2,
       "questions[0].event: is no InputRequestEvent with an id"},
      {{{13, events(request_item(2, "q", "[]"))}, {22, a({question(1, 0)})}},
       22,
       2,
       "questions[0].event: its value is no JSON object"},
      {{{13, requests}, {22, a({question(1, 9), question(2, 0)})}},
       22,
       3,
       "questions[0].asker: 9 is no invocation"},
      {{{13, requests}, {20, a({a({u(1), u(3)})})}, {22, both}},
       22,
       3,
       "questions[0].asker: 3 backs off, and asks nothing"},
      {{{13, requests}, {22, a({a({u(1), u(0), i(-1)}), question(2, 0)})}},
       22,
       4,
       "questions[0].asked: -1 is no number of milliseconds"},
      {{{13, a({a({u(1), t("T"), t("1"), kNil, kNil}), request_item(2, "q"), request_item(3, "q")})},
        {22, a({question(2, 0), question(1, 0)})}},
       13,
       first + request_item(2, "q").size() - 2,
       "questions[1]: has the name of questions[0]"},
      {{{13, requests}, {22, a({question(2, 0), question(2, 0)})}},
       13,
       first + request_item(2, "p").size() + request_item(3, "q").size() - 2,
       "questions[1]: has the name of questions[0]"},
      {{{13, requests}}, 13, first + 2, "events[1]: no invocation has this event"},
      {{{6, u(5)}, {13, a({})}, {14, a({})}, {15, a({})}, {16, a({t("1")})}, {22, both}},
       22,
       0,
       "questions: 2 items, and only a running run has any"},
      {{{23, kNil}}, 23, 0, "answers: expected an array, found null"},
      {{{23, a({a({u(3), t("q")})})}}, 23, 1, "answers[0]: an array of 2 instead of 3"},
      {{{23, a({a({u(1), t("q"), t("1")})})}}, 23, 2, "answers[0].id: 1 is no invocation"},
      {{{23, a({a({u(3), t("q"), t("1")}), a({u(2), t("q"), t("1")})})}},
       23,
       8,
       "answers[1].id: 2 comes before the one before it"},
      {{{23, a({a({u(3), t(""), t("1")})})}}, 23, 3, "answers[0].request_id: empty"},
      {{{23, a({a({u(3), t(kLongName), t("1")})})}},
       23,
       3,
       "answers[0].request_id: 1025 bytes, and a name has at most 1024"},
      {{{23, a({a({u(3), t("q"), kNil})})}},
       23,
       5,
       "answers[0].value: expected a value: text, a byte string or an array of two"},
      {{{23, a({a({u(3), t("q"), l({t("db"), kNil})})})}},
       23,
       12,
       "answers[0].value.kept: expected a value: text, a byte string or an array of two"},
      {{{23, a({a({u(3), t("q"), t("{")})})}}, 23, 7, "answers[0].value: not JSON: ends inside an object"},
      {{{25, kNil}}, 25, 0, "asked: expected an array, found null"},
      {{{25, head(1)}}, 25, 0, "asked: more items than bytes left"},
      {{{25, a({a({u(3), t("long enough")})})}}, 25, 1, "asked[0]: an array of 2 instead of 3"},
      {{{25, a({a({u(1), t("q"), u(7)})})}}, 25, 2, "asked[0].id: 1 is no invocation"},
      {{{25, a({a({u(3), t(""), u(UINT64_MAX)})})}}, 25, 3, "asked[0].request_id: empty"},
      {{{25, a({a({u(3), t("q"), i(-1)})})}},
       25,
       5,
       "asked[0].digest: expected an unsigned integer, found a negative integer"},
      {{{25, a({asked(3, "q"), asked(3, "q")})}}, 25, 7, "asked[1]: does not come after the one before it"},
      {{{25, a({asked(3, "q"), asked(3, "p")})}}, 25, 7, "asked[1]: does not come after the one before it"},
      {{{25, a({asked(3, "p"), asked(2, "q")})}}, 25, 7, "asked[1]: does not come after the one before it"},
      {{{6, u(5)}, {13, a({})}, {14, a({})}, {15, a({})}, {16, a({t("1")})}, {25, a({asked(3, "q")})}},
       25,
       0,
       "asked: 1 items, and only a running run has any"},
      // Who does not know what it has asked would take the answer to another question.
      {{{23, a({a({u(3), t("q"), t("1")})})}, {25, a({asked(2, "q"), asked(3, "p"), asked(3, "r")})}},
       25,
       16,
       "asked: 3 has an open question, or an answer, that is not here"},
      {{{13, requests}, {22, both}, {25, a({asked(3, "q")})}},
       25,
       6,
       "asked: 3 has an open question, or an answer, that is not here"},
  });
  Document sound;
  sound.fields[13] = requests;
  sound.fields[15] = three;
  sound.fields[21] = a({u(4)});
  sound.fields[22] = a({question(2, 4), question(1, 2)});
  sound.fields[23] =
      a({a({u(2), t("b"), t("1")}), a({u(2), t("a"), b("1")}), a({u(3), t("a"), l({t(""), t("1")})})});
  sound.fields[25] = a({asked(2, "a"), asked(2, "b"), asked(2, "p"), asked(3, "a"), asked(3, "withdrawn"),
                        a({u(4), t("q"), u(UINT64_MAX)})});
  EXPECT_EQ(snapshot(*restored(sound.bytes(), sample_workflow(Hosting::all))), sound.bytes());
}

std::string fault_of(const std::string& bytes) {
  const Ref<Error> error = decode(bytes).error();
  return error ? error->message + " at " + std::to_string(error->offset) : "accepted";
}
std::string size_text(size_t size) { return std::to_string(size); }

TEST(Snapshot, FaultsOfTheMapAreNamed) {
  const std::string sound = Document().bytes();
  const std::string body = sound.substr(5);  // behind the tag and the head of the map
  const std::string tag = "\xd9\xd9\xf7";
  EXPECT_EQ(fault_of(""), "snapshot: there are no bytes at 0");
  EXPECT_EQ(
      fault_of("{\"format\": 1}"),
      "snapshot: these bytes are something else: a snapshot begins with d9 d9 f7, the CBOR tag 55799 at 0");
  EXPECT_EQ(fault_of("\xd9\xd9"), "snapshot: truncated at 0");
  EXPECT_EQ(fault_of(tag), "snapshot: truncated at 3");
  EXPECT_EQ(fault_of(tag + a({})), "snapshot: expected a map, found an array at 3");
  EXPECT_EQ(fault_of(tag + "\xbf"), "snapshot: indefinite length is not allowed at 3");
  EXPECT_EQ(fault_of(tag + "\xa0"), "magic: missing: the map ends after 0 keys at 4");
  EXPECT_EQ(fault_of(tag + "\xb9\xff\xff"), "snapshot: more items than bytes left at 3");
  EXPECT_EQ(fault_of(tag + "\xb8\x1b" + body + u(26) + u(1)),
            "snapshot: key 26 is not one of format 1 at " + size_text(sound.size()));
  EXPECT_EQ(fault_of(sound + u(0)), "snapshot: 1 bytes follow its end at " + size_text(sound.size()));
  EXPECT_EQ(fault_of(tag + "\xb8\x19" + body.substr(0, body.size() - 3)),
            "asked: missing: the map ends after 25 keys at " + size_text(sound.size() - 3));

  Document lacking;
  lacking.fields.erase(9);
  EXPECT_EQ(fault_of(lacking.bytes()),
            "metadata: key 10 stands where key 9 belongs at " + size_text(lacking.offset(10) - 1));
  Document unknown;
  unknown.fields.erase(25);
  unknown.fields[40] = kNil;
  EXPECT_EQ(fault_of(unknown.bytes()),
            "asked: key 40 is not one of format 1 at " + size_text(unknown.offset(40) - 2));
}

// What a newer library has added and this one can do without, goes into the next snapshot as it came.
TEST(Snapshot, OptionalSectionsOfANewerLibraryAreKept) {
  Document newer;
  newer.fields[60] = a({t("0.3.0"), u(0), a({u(1), t("anything")})});
  newer.fields[77] = a({t("1.0.0"), u(0), b("")});
  const std::string bytes = newer.bytes();
  const auto state = restored(bytes, sample_workflow(Hosting::all));
  ASSERT_TRUE(state->heritage);
  EXPECT_EQ(snapshot(*state), bytes);
}

// What the run could not go on without is refused, with the version that knows it.
TEST(Snapshot, RequiredSectionsOfANewerLibraryAreRefused) {
  Document newer;
  newer.fields[60] = a({t("0.3.0"), u(0), b("")});
  newer.fields[61] = a({t("0.4.0"), u(1), a({kNil})});
  const Ref<Error> error = decode(newer.bytes()).error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, Status::snapshot_newer);
  EXPECT_EQ(
      error->message,
      "the snapshot has section 61, which came with version 0.4.0 and without which the run cannot go on; "
      "this library is 0.2.0");
  EXPECT_EQ(error->offset, newer.offset(61) - u(61).size());
}

TEST(Snapshot, SectionsAreChecked) {
  const auto fault_with = [](uint64_t key, const std::string& content) {
    Document document;
    document.fields[key] = content;
    return fault_of(document.bytes());
  };
  const std::string at = size_text(Document().bytes().size() + 2);
  EXPECT_EQ(fault_with(31, kNil),
            "snapshot: key 31 is not one of format 1 at " + size_text(Document().bytes().size()));
  EXPECT_EQ(fault_with(50, kNil), "section[50]: expected an array, found null at " + at);
  EXPECT_EQ(fault_with(50, a({t("1"), u(0)})), "section[50]: an array of 2 instead of 3 at " + at);
  EXPECT_EQ(fault_with(50, a({t(""), u(0), b("")})).substr(0, 17), "section[50].since");
  EXPECT_EQ(fault_with(50, a({t("1"), u(2), b("")})).substr(0, 20), "section[50].required");
  EXPECT_EQ(fault_with(50, a({t("1"), u(0), std::string("\x1c")})).substr(0, 19), "section[50].content");
  EXPECT_EQ(fault_with(UINT64_MAX, a({t("1"), u(0), b("")})).substr(0, 37),
            "snapshot: no section has this key at ");
  const std::string twice = u(50) + a({t("1"), u(0), b("")});
  std::string bytes = Document().bytes();
  bytes.replace(3, 2, std::string("\xb8\x1c", 2));
  EXPECT_EQ(fault_of(bytes + twice + twice),
            "snapshot: key 50 does not ascend at " + size_text(bytes.size() + twice.size()));
}

// A newer format is told before anything that it may have changed.
TEST(Snapshot, ANewerFormatIsToldWithBothVersions) {
  Document newer;
  newer.fields = {{0, t("blazen/run")}, {1, u(2)}, {2, u(7)}, {99, kNil}};
  const Ref<Error> error = decode(newer.bytes()).error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, Status::snapshot_newer);
  EXPECT_EQ(error->message, "the snapshot has format version 2, and this library (0.2.0) knows only up to 1");
  EXPECT_EQ(error->offset, newer.offset(1));
}

// ---- scopes: the document ----

constexpr uint64_t kScopes = 35;
constexpr uint64_t kMembers = 36;
constexpr uint64_t kDelivered = 37;
constexpr uint64_t kCounter = 40;

std::string a_head(uint64_t count) { return head(count); }

// A document with sections in pieces, to put others in their place.
struct PiecewiseDocument : Document {
  void put() {
    for (const auto& [key, list] : pieces) {
      std::string all;
      for (const std::string& piece : list) all += piece;
      fields[key] = all;
      if (all.empty()) fields.erase(key);
    }
  }
  // Where a piece of a section stands.
  size_t offset_of(uint64_t key, size_t piece) const {
    size_t at = offset(key);
    for (size_t i = 0; i < piece; ++i) at += pieces.at(key)[i].size();
    return at;
  }

  std::map<uint64_t, std::vector<std::string>> pieces;
};

// A run of the workflow of the samples with scopes: split (2) in flight has opened scope 1, and something of that has
// opened scope 2, in which work (3) is queued; won (4) is invoked with what a scope had that is gone.
struct ScopesDocument : PiecewiseDocument {
  ScopesDocument() {
    const auto event = [](uint64_t id, std::string_view type, const std::string& correlation) {
      return a({u(id), t(type), t("1"), kNil, correlation});
    };
    fields[3] = t("joined");
    fields[4] = t(samples::joined_workflow(Hosting::all)->fingerprint());
    fields[12] = a({t("split"), t("work"), t("open"), t("race"), t("join"), t("count"), t("group"), t("won"),
                    t("remote")});
    fields[13] =
        a({event(1, "T", kNil), event(2, "Done", kNil), event(3, "Item", t("a")), event(4, "Won", kNil)});
    fields[15] = a({a({u(3), u(1), u(0), u(1), b("")}), a({u(4), u(7), u(3), u(1), b("")})});
    pieces[kScopes] = {
        head_of(3), t("0.2.0"), u(1), head_of(2), u(5), "", head_of(2),
        // 7: a scope: id, parent, origin, opener, who has opened it, late, cancelled, joins
        head_of(8), u(1), u(0), u(0), u(0), u(2), u(0), u(0), head_of(2),
        // 16: a join: step, closed, due, groups; 21: a group: correlation, given, arrivals: event, origin
        head_of(4), u(4), u(0), u(1000), head_of(1), head_of(3), kNil, u(0), head_of(1), head_of(2), u(1),
        u(1),
        // 28
        head_of(4), u(5), u(0), kNil, head_of(0),
        // 33
        head_of(8), u(2), u(1), u(1), u(2), u(0), u(4), u(0), head_of(1),
        // 42
        head_of(4), u(6), u(0), kNil, head_of(2), head_of(3), t("a"), u(0), head_of(1), head_of(2), u(2),
        u(0),
        // 54
        head_of(3), t("b"), u(1), head_of(0)};
    // 4: kind, id, scope, origin
    pieces[kMembers] = {head_of(3), t("0.2.0"), u(1), head_of(1), head_of(4), u(0), u(3), u(2), u(0)};
    // 4: id, reason, wanted, scope, events
    pieces[kDelivered] = {head_of(3), t("0.2.0"), u(1), head_of(1), head_of(5), u(4),
                          u(2),       u(1),       u(3), head_of(1), u(3)};
    // 4: elapsed, date
    pieces[kCounter] = {head_of(3), t("0.2.0"), u(1), head_of(2), u(7), u(1000)};
    put();
  }
  static std::string head_of(uint64_t count) { return a_head(count); }
};

// A run of the sample workflow with two inside: that of remote (2) in flight has one inside, too.
struct ChildrenDocument : PiecewiseDocument {
  static constexpr uint64_t kChildren = static_cast<uint64_t>(SectionKey::children);
  static constexpr uint64_t kTurns = static_cast<uint64_t>(SectionKey::turns);

  static RunId id_of(const Document& document) {
    RunId id{};
    std::memcpy(id.data(), document.fields.at(5).data() + 1, id.size());
    return id;
  }
  static std::string bytes_of_id(const RunId& id) {
    return b({reinterpret_cast<const char*>(id.data()), id.size()});
  }
  // The run of invocation 2 of this one.
  static Document inside_of(const Document& outer) {
    Document inside;
    inside.fields[5] = bytes_of_id(id_of_child(id_of(outer), 2, 1));
    inside.fields[7] = a({u(9), u(9), u(9), u(0)});
    return inside;
  }
  static std::string section_of(const std::string& child) {
    return a({t("0.2.0"), u(1), a({a({u(2), child})})});
  }

  ChildrenDocument() : inner(inside_of(*this)), innermost(inside_of(inner)) {
    fields[14] = a({a({u(2), u(3), u(0), u(1), b("")})});
    inner.fields[kChildren] = section_of(innermost.bytes());
    // 4: id of the invocation, its run
    pieces[kChildren] = {a_head(3), t("0.2.0"), u(1), a_head(1), a_head(2), u(2), ""};
    // 4: the row; 7: what was started: run, invocation
    pieces[kTurns] = {a_head(3),           t("0.2.0"), u(1),      a_head(2),           a_head(2), fields[5],
                      innermost.fields[5], a_head(3),  a_head(2), fields[5],           u(2),      a_head(2),
                      inner.fields[5],     u(2),       a_head(2), innermost.fields[5], u(2)};
    put();
  }
  void put() {
    if (!pieces[kChildren].empty() && pieces[kChildren][6].empty()) pieces[kChildren][6] = inner.bytes();
    PiecewiseDocument::put();
  }
  Document inner;
  Document innermost;
};

// ---- memory ----

// Decodes while counting; the bytes themselves are copied by malloc, which nobody counts.
void expect_bounded(const std::string& bytes, bool sound, const char* what) {
  const size_t before = allocations::in_use();
  allocations::reset_peak();
  Result<SnapshotDocument> document = decode_snapshot(bytes_of(bytes));
  const size_t used = allocations::peak() - before + bytes.size();
  EXPECT_EQ(static_cast<bool>(document), sound) << what;
  EXPECT_LE(used, 24 * bytes.size() + 64 * 1024) << what << ": " << bytes.size() << " bytes";
  if (std::getenv("BLAZEN_SHOW_MEMORY") != nullptr) {
    std::printf("%-28s %9zu bytes: %5.2f times\n", what, bytes.size(), double(used) / double(bytes.size()));
  }
}

std::string list_of(uint64_t count, const std::function<std::string(uint64_t)>& make) {
  std::string list = head(count);
  for (uint64_t n = 0; n < count; ++n) list += make(n);
  return list;
}

// The names from 0 to count - 1, as short as they can be while they ascend.
std::string short_name(uint64_t number, uint64_t count) {
  std::string name;
  for (uint64_t left = count - 1; name.empty() || left > 0; left /= 128, number /= 128) {
    name.insert(name.begin(), static_cast<char>(number % 128));
  }
  return name;
}

TEST(Snapshot, MemoryOfDecodingIsBoundedByItsBytes) {
  const auto counters = a({u(kCounterMax), u(kCounterMax), u(kCounterMax), u(0)});
  for (const uint64_t count : {100U, 1000U, 4096U, 100000U}) {
    Document state;
    state.fields[7] = counters;
    state.fields[10] =
        list_of(count, [&](uint64_t n) { return a({t(short_name(n, count)), u(n + 1), b("")}); });
    state.fields[11] = a({});
    expect_bounded(state.bytes(), true, "state, ascending");

    // Versions that neither ascend nor are small: they have to be sorted.
    state.fields[10] = list_of(
        count, [&](uint64_t n) { return a({t(short_name(n, count)), u(n == 0 ? kCounterMax : n), b("")}); });
    expect_bounded(state.bytes(), true, "state, sorted");

    Document live;
    live.fields[7] = counters;
    live.fields[10] = a({});
    live.fields[11] =
        list_of(count, [&](uint64_t n) { return a({t(short_name(n, count)), u(n + 1), l({t(""), b("")})}); });
    expect_bounded(live.bytes(), true, "session, all LIVE");

    Document dropped;
    dropped.fields[17] = list_of(count, [&](uint64_t n) { return t(short_name(count - 1 - n, count)); });
    expect_bounded(dropped.bytes(), true, "dropped");

    Document events;
    events.fields[7] = counters;
    events.fields[13] = list_of(count, [](uint64_t n) { return a({u(n + 1), t("T"), b(""), kNil, kNil}); });
    events.fields[14] = a({});
    events.fields[15] = list_of(count, [](uint64_t n) { return a({u(n + 1), u(0), u(n), u(1), b("")}); });
    expect_bounded(events.bytes(), true, "events, queued");
    events.fields[14] =
        list_of(count, [&](uint64_t n) { return a({u(count - n), u(0), u(n), u(1), b("")}); });
    events.fields[15] = a({});
    expect_bounded(events.bytes(), true, "events, in flight");

    Document queued;
    queued.fields[7] = counters;
    queued.fields[14] = a({});
    queued.fields[15] = list_of(count, [](uint64_t n) { return a({u(n + 1), u(0), u(0), u(1), b("")}); });
    expect_bounded(queued.bytes(), true, "one event, queued");
    queued.fields[15] = a({});
    queued.fields[14] = list_of(
        count, [&](uint64_t n) { return a({u(n == 0 ? kCounterMax : count - n), u(0), u(0), u(1), b("")}); });
    expect_bounded(queued.bytes(), true, "one event, in flight");

    // Of one event, queued and delayed as often as there is a moment.
    Document timers;
    timers.fields[7] = counters;
    timers.fields[14] = a({});
    timers.fields[19] = list_of(count, [](uint64_t n) { return a({i(int64_t(n)), u(0), kNil}); });
    expect_bounded(timers.bytes(), true, "delayed");
    timers.fields[15] = list_of(count, [](uint64_t n) { return queued_item(n + 1); });
    timers.fields[20] = list_of(count, [&](uint64_t n) { return a({i(int64_t(n)), u(count - n)}); });
    expect_bounded(timers.bytes(), true, "delayed, backing off");

    Document questions;
    questions.fields[7] = counters;
    questions.fields[14] = a({});
    questions.fields[15] = list_of(count, [](uint64_t n) { return queued_item(n + 1); });
    questions.fields[13] =
        list_of(count, [](uint64_t n) { return request_item(n + 1, "q" + std::to_string(n)); });
    questions.fields[21] = list_of(count, [](uint64_t n) { return u(n + 1); });
    questions.fields[22] = list_of(count, [&](uint64_t n) { return a({u(count - 1 - n), u(n + 1), u(0)}); });
    questions.fields[23] = list_of(count, [](uint64_t n) { return a({u(n + 1), t("a"), b("")}); });
    questions.fields[25] = list_of(2 * count, [&](uint64_t n) {
      return a({u(n / 2 + 1), t(n % 2 == 0 ? "a" : "q" + std::to_string(count - 1 - n / 2)), u(n)});
    });
    expect_bounded(questions.bytes(), true, "questions and answers");
    questions.fields[13] = a({request_item(1, "q")});
    questions.fields[15] = a({queued_item(1)});
    questions.fields[21] = questions.fields[22] = a({});
    questions.fields[23] = list_of(count, [](uint64_t) { return a({u(1), t("a"), b("")}); });
    questions.fields[25] = a({a({u(1), t("a"), u(0)})});
    expect_bounded(questions.bytes(), true, "answers to one");

    // Many groups of one join, many arrivals of one group, many scopes, and many in them.
    ScopesDocument scopes;
    scopes.fields[7] = counters;
    const auto scopes_of = [&](const std::vector<std::string>& content) {
      scopes.pieces[kScopes] = {head(3), t("0.2.0"), u(1), head(2), u(kCounterMax), ""};
      for (const std::string& piece : content) scopes.pieces[kScopes].push_back(piece);
      scopes.put();
      return scopes.bytes();
    };
    scopes.pieces[kMembers].clear();
    const std::string split = u(0) + u(2) + u(0) + u(0);  // of step 0, opened by 2
    scopes.fields[13] = a({a({u(1), t("T"), t("1"), kNil, kNil}), a({u(4), t("Won"), t("1"), kNil, kNil})});
    scopes.fields[15] = a({a({u(3), u(1), u(0), u(1), b("")}), a({u(4), u(7), u(1), u(1), b("")})});
    scopes.pieces[kDelivered][10] = u(1);
    scopes.pieces[kDelivered][8] = u(1);
    expect_bounded(
        scopes_of({head(1), head(8) + u(1) + u(0) + u(0) + split + head(1), head(4) + u(4) + u(0) + kNil,
                   list_of(count, [&](uint64_t n) { return a({t(short_name(n, count)), u(1), a({})}); })}),
        true, "groups that were given");
    expect_bounded(
        scopes_of(
            {head(1), head(8) + u(1) + u(0) + u(0) + split + head(1), head(4) + u(4) + u(0) + kNil,
             list_of(count,
                     [&](uint64_t n) { return a({t(short_name(n, count)), u(0), a({a({u(0), u(0)})})}); })}),
        true, "groups of one");
    expect_bounded(
        scopes_of({head(1), head(8) + u(1) + u(0) + u(0) + split + head(1), head(4) + u(4) + u(0) + kNil,
                   a({head(3) + kNil + u(0) + list_of(count, [](uint64_t) { return a({u(0), u(0)}); })})}),
        true, "arrivals");
    expect_bounded(scopes_of({list_of(count,
                                      [](uint64_t n) {
                                        return head(8) + u(n + 1) + u(n) + u(0) + u(0) + u(n == 0 ? 2 : 0) +
                                               u(0) + u(0) + a({a({u(4), u(1), kNil, a({})})});
                                      })}),
                   false, "scopes within scopes, and nothing in them");
    scopes.fields[15] = list_of(
        count, [](uint64_t n) { return a({u(n + 3), u(n == 1 ? 7 : 1), u(n == 1 ? 1 : 0), u(1), b("")}); });
    scopes.pieces[kMembers] = {head(3), t("0.2.0"), u(1), list_of(count, [](uint64_t n) {
                                 return a({u(0), u(n + 3), u(n + 1), u(0)});
                               })};
    expect_bounded(scopes_of({list_of(count,
                                      [](uint64_t n) {
                                        return head(8) + u(n + 1) + u(n) + u(0) + u(0) + u(n == 0 ? 2 : 0) +
                                               u(0) + u(0) + a({a({u(4), u(1), kNil, a({})})});
                                      })}),
                   true, "scopes within scopes, members");
    scopes.pieces[kMembers].clear();
    scopes.pieces[kDelivered] = {head(3), t("0.2.0"), u(1), list_of(count, [](uint64_t n) {
                                   return a({u(n + 3), u(1), u(0), u(1), a({u(0)})});
                                 })};
    scopes.fields[13] = a({a({u(1), t("T"), t("1"), kNil, kNil})});
    scopes.fields[15] = list_of(count, [](uint64_t n) { return a({u(n + 3), u(1), u(0), u(1), b("")}); });
    expect_bounded(scopes_of({head(0)}), true, "delivered");

    Document steps;
    if (count <= kStepsMax) {
      steps.fields[12] = list_of(count, [&](uint64_t n) { return t(short_name(count - 1 - n, count)); });
      expect_bounded(steps.bytes(), true, "steps");
    }
  }
  Document metadata;
  metadata.fields[9] = b(std::string(1 << 20, 'x'));
  expect_bounded(metadata.bytes(), true, "large metadata");
}

// Counts that promise more than the bytes hold cost no memory, or a bounded one.
TEST(Snapshot, MemoryOfARefusalIsBoundedByItsBytes) {
  const std::string filler(100000, '\0');
  for (const uint64_t key : {10, 11, 12, 13, 14, 15, 17, 19, 20, 21, 22, 23, 25}) {
    for (const uint64_t divisor : {1, 2, 3, 4, 5, 6, 7, 8}) {
      Document document;
      std::string bytes = document.bytes().substr(0, document.offset(key));
      bytes += head(filler.size() / divisor) + filler;
      expect_bounded(bytes, false, "a count that lies");
    }
  }
  std::string deep = "\xd9\xd9\xf7\xb1";
  expect_bounded(deep + std::string(100000, '\x81'), false, "deep nesting");
  Document nested;
  nested.fields[9] = std::string(100000, '\x82');
  expect_bounded(nested.bytes(), false, "deep nesting in a value");
}

// Whichever allocation fails, it is told by std::bad_alloc or by the out-of-memory error, nothing leaks, and
// the run that was to be filled is untouched.
TEST(Snapshot, RunningOutOfMemoryIsToldAndHarmless) {
  for (const samples::Sample& sample : samples::make_samples()) {
    SCOPED_TRACE(sample.name);
    const std::string taken = snapshot(sample.state);
    const SnapshotDocument document = decoded(taken);
    const Ref<Workflow> workflow = samples::workflow_named(document.workflow, Hosting::all);
    const size_t before = allocations::in_use();
    const auto nothing_leaks = [&](bool) { EXPECT_EQ(allocations::in_use(), before); };
    allocations::fail_each([&] { EXPECT_EQ(snapshot(sample.state), taken); }, nothing_leaks);
    allocations::fail_each([&] { EXPECT_TRUE(decode_snapshot(bytes_of(taken))); }, nothing_leaks);
    allocations::fail_each(
        [&] {
          RunState state;
          EXPECT_FALSE(samples::restore(document, workflow, false, state));
        },
        nothing_leaks);
    allocations::fail_each([&] { describe_snapshot(document); }, nothing_leaks);
  }
}

// ---- the wrong workflow ----

std::string refusal(const std::string& taken, const Ref<Workflow>& workflow, bool allow_changed_workflow) {
  RunState state;
  const Ref<Error> error = samples::restore(decoded(taken), workflow, allow_changed_workflow, state);
  if (!error) return "restored";
  EXPECT_EQ(error->status, Status::snapshot_mismatch);
  EXPECT_FALSE(state.workflow);
  return error->message;
}

TEST(Snapshot, AnotherWorkflowIsRefusedByName) {
  Driver driver(sample_workflow(Hosting::all));
  const Ref<Workflow> other = samples::build("refunds", samples::sample_steps(Hosting::all));
  for (const bool allow : {false, true}) {
    EXPECT_EQ(refusal(snapshot(driver.state), other, allow),
              "the snapshot of workflow 'orders' cannot be resumed as workflow 'refunds'");
  }
}

TEST(Snapshot, AChangedWorkflowIsRefusedUnlessAllowed) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(2);
  std::vector<StepDefinition> steps = samples::sample_steps(Hosting::all);
  std::swap(steps[0], steps[4]);
  steps.push_back(samples::step("audit", {"Work"}));
  const Ref<Workflow> changed = samples::build("orders", steps);
  const std::string taken = snapshot(driver.state);
  EXPECT_EQ(refusal(taken, changed, false),
            "the snapshot of workflow 'orders' was taken with other steps: its fingerprint is " +
                driver.state.workflow->fingerprint() + ", that of this workflow " + changed->fingerprint() +
                "; set allow_changed_workflow to resume it all the same");
  Driver resumed(restored(taken, changed, true));
  check_invariants(resumed.state);
  // By name, not by number.
  EXPECT_EQ(changed->steps()[resumed.dispatch()->step].name, "work");
}

// An event goes to its step although that does not accept its type any more: it was routed before.
TEST(Snapshot, AnAllowedChangeStillDeliversWhatWasRouted) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(1);
  std::vector<StepDefinition> steps = samples::sample_steps(Hosting::all);
  steps[1].accepts = {"Task"};
  Driver resumed(restored(snapshot(driver.state), samples::build("orders", steps), true));
  Invocation* started = resumed.dispatch();
  ASSERT_NE(started, nullptr);
  EXPECT_EQ(started->event->type(), "Work");
  EXPECT_EQ(started->step, 1U);
}

TEST(Snapshot, StepsThatAreNeededAndLackingAreNamed) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(3);
  driver.dispatch();
  driver.post(driver.output("Remote", samples::json("1")));
  const std::vector<StepDefinition> all = samples::sample_steps(Hosting::all);
  const Ref<Workflow> lacking = samples::build("orders", {all[0], all[2], all[4]});
  for (const bool allow : {false, true}) {
    EXPECT_EQ(refusal(snapshot(driver.state), lacking, allow),
              "the snapshot of workflow 'orders' needs steps that this workflow lacks: 'work' (3 events wait "
              "for it), "
              "'remote' (1 event waits for it); add them, with their bodies or as steps elsewhere");
  }
  // What comes later to one step needs it too.
  Driver delayed(sample_workflow(Hosting::all));
  delayed.start(samples::json("1"));
  delayed.complete(delayed.dispatch(),
                   {delayed.later(10, delayed.to(delayed.output("Done", samples::json("1")), "join"))});
  const Ref<Workflow> without_join = samples::build("orders", {all[0], all[1], all[2], all[3]});
  EXPECT_EQ(
      refusal(snapshot(delayed.state), without_join, true),
      "the snapshot of workflow 'orders' needs steps that this workflow lacks: 'join' (1 event waits for "
      "it); add them, with their bodies or as steps elsewhere");
  // Steps for which nothing waits are not needed.
  const Ref<Workflow> enough = samples::build("orders", {all[0], all[1], all[2], all[3]});
  EXPECT_EQ(refusal(snapshot(driver.state), enough, true), "restored");
}

// ---- scopes ----

TEST(Snapshot, TheDocumentWithScopesIsSound) {
  const std::string bytes = ScopesDocument().bytes();
  for (const Hosting hosting : {Hosting::all, Hosting::without_remote}) {
    const auto state = restored(bytes, samples::joined_workflow(hosting));
    check_invariants(*state);
    EXPECT_EQ(snapshot(*state), bytes);
    expect_goes_on(Driver(restored(bytes, samples::joined_workflow(hosting))));
  }
}

struct Piece {
  uint64_t key;
  size_t at;
  std::string now;
};
// The first piece is the one with the fault, unless another is named.
struct HostileScopes {
  std::vector<Piece> pieces;
  std::string message;
  size_t fault = SIZE_MAX;
};

void expect_faults(const std::vector<HostileScopes>& documents) {
  for (const HostileScopes& hostile : documents) {
    SCOPED_TRACE(hostile.message);
    ScopesDocument document;
    for (const Piece& piece : hostile.pieces) document.pieces[piece.key][piece.at] = piece.now;
    document.put();
    const Ref<Error> error = decode(document.bytes()).error();
    EXPECT_TRUE(error);
    if (!error) continue;
    EXPECT_EQ(error->status, Status::snapshot_invalid);
    EXPECT_EQ(error->message, hostile.message);
    const size_t fault = hostile.fault == SIZE_MAX ? hostile.pieces.front().at : hostile.fault;
    EXPECT_EQ(error->offset, document.offset_of(hostile.pieces.front().key, fault));
  }
}

TEST(Snapshot, FaultsOfScopesAreNamed) {
  const auto at = [](size_t piece, const std::string& now) { return Piece{kScopes, piece, now}; };
  const std::string most = u(kCounterMax + 1);
  const std::string two = head(2);
  expect_faults(std::vector<HostileScopes>{
      {{at(1, t("0.3.0"))}, "section[35]: this section came with 0.2.0, and is required", 2},
      {{at(2, u(0))}, "section[35]: this section came with 0.2.0, and is required"},
      {{at(3, kNil)}, "scopes: expected an array, found null"},
      {{at(3, head(3))}, "scopes: an array of 3 instead of 2"},
      {{at(4, kNil)}, "scopes.id_last: expected an unsigned integer, found null"},
      {{at(4, most)},
       "scopes.id_last: 9223372036854775809 is more than 9223372036854775808, the most that a counter may "
       "have "
       "come to"},
      {{at(4, u(1))}, "scopes[1].id: 2 is more than 1, id_last", 34},
      {{{kCounter, 3, head(3)}}, "counter: an array of 3 instead of 2"},
      {{{kCounter, 4, i(-1)}}, "counter.elapsed: -1 is no number of milliseconds"},
      {{{kCounter, 4, i(INT64_MAX)}}, "counter.elapsed: 9223372036854775807 is no number of milliseconds"},
      {{{kCounter, 5, i(-1)}}, "counter.date: -1 is no number of milliseconds"},
      {{at(6, u(1))}, "scopes: expected an array, found an unsigned integer"},
      {{at(6, head(1000))}, "scopes: more items than bytes left"},
      {{at(7, head(7))}, "scopes[0]: an array of 7 instead of 8"},
      {{at(8, u(0))}, "scopes[0].id: 0, and they count from 1"},
      {{at(8, u(6))}, "scopes[0].id: 6 is more than 5, id_last"},
      {{at(34, u(1))}, "scopes[1].id: 1 does not come after 1 before it"},
      {{at(9, u(1))}, "scopes[0].parent: 1 is no scope that stands before it"},
      {{at(9, u(2))}, "scopes[0].parent: 2 is no scope that stands before it"},
      {{at(35, u(2))}, "scopes[1].parent: 2 is no scope that stands before it"},
      {{at(35, u(UINT64_MAX))}, "scopes[1].parent: 18446744073709551615 is no scope that stands before it"},
      {{at(36, u(10))}, "scopes[1].parent_origin: 10 is more than 9, event_id_last"},
      {{at(11, u(9))}, "scopes[0].opener: index 9, and there are only 9 steps"},
      {{at(12, u(5))}, "scopes[0].opener_invocation: 5 is the id of no invocation in flight or queued"},
      {{at(12, u(1))}, "scopes[0].opener_invocation: 1 is the id of no invocation in flight or queued"},
      {{at(12, u(3))}, "scopes[0].opener_invocation: 3 is of another step"},
      {{at(38, u(2)), at(37, u(0))}, "scopes.opener_invocation: 2 has opened two scopes"},
      {{at(39, most)},
       "scopes[1].late: 9223372036854775809 is more than 9223372036854775808, the most that a counter may "
       "have "
       "come to"},
      {{at(40, u(2))}, "scopes[1].cancelled: 2 is more than 1, which a flag is at most"},
      {{at(41, head(0))}, "scopes[1].joins: a scope has a join"},
      {{at(41, head(100))}, "scopes[1].joins: more items than bytes left"},
      {{at(16, head(3))}, "scopes[0].joins: an array of 3 instead of 4"},
      {{at(17, u(9))}, "scopes[0].joins.step: index 9, and there are only 9 steps"},
      {{at(29, u(4))}, "scopes[0].joins: step 4 is there twice", 15},
      {{at(18, u(2))}, "scopes[0].joins.closed: 2 is more than 1, which a flag is at most"},
      {{at(18, u(1))}, "scopes[0].joins.due: a join that is closed has none", 19},
      {{at(44, u(1))}, "scopes[1].joins.groups: a join that is closed has none", 46},
      {{at(19, i(INT64_MAX))}, "scopes[0].joins.due: 9223372036854775807 is no number of milliseconds"},
      {{at(19, i(INT64_MIN))}, "scopes[0].joins.due: -9223372036854775808 is no number of milliseconds"},
      {{at(19, t("x"))}, "scopes[0].joins.due: expected an integer, found text"},
      {{at(21, head(4))}, "scopes[0].joins.groups: an array of 4 instead of 3"},
      {{at(48, t(""))}, "scopes[1].joins.groups.correlation: empty"},
      {{at(48, t(kLongName))}, "scopes[1].joins.groups.correlation: 1025 bytes, and a name has at most 1024"},
      {{at(55, t("a"))}, "scopes[1].joins.groups: two have one correlation", 46},
      {{at(49, u(1))},
       "scopes[1].joins.groups.arrivals: a group has some until it is given, and then none",
       50},
      {{at(56, u(0))},
       "scopes[1].joins.groups.arrivals: a group has some until it is given, and then none",
       57},
      {{at(49, u(2))}, "scopes[1].joins.groups.given: 2 is more than 1, which a flag is at most"},
      {{at(25, head(3))}, "scopes[0].joins.groups.arrivals: an array of 3 instead of 2"},
      {{at(26, u(4))}, "scopes[0].joins.groups.arrivals.event: index 4, and there are only 4 events"},
      {{at(27, u(10))}, "scopes[0].joins.groups.arrivals.origin: 10 is more than 9, event_id_last"},
  });
  // Those that were given, before the others, and not by their correlations.
  ScopesDocument order;
  std::vector<std::string>& pieces = order.pieces[kScopes];
  std::rotate(pieces.begin() + 47, pieces.begin() + 54, pieces.end());
  order.put();
  EXPECT_EQ(decode(order.bytes()).error()->message,
            "scopes[1].joins.groups: does not come after the one before it");
  EXPECT_EQ(decode(order.bytes()).error()->offset, order.offset_of(kScopes, 51));
  ScopesDocument unsorted;
  unsorted.pieces[kScopes][46] = head(3);
  for (const std::string& piece : {head(3), t("aa"), u(1), head(0)})
    unsorted.pieces[kScopes].push_back(piece);
  unsorted.put();
  EXPECT_EQ(decode(unsorted.bytes()).error()->message,
            "scopes[1].joins.groups: does not come after the one before it");
  EXPECT_EQ(decode(unsorted.bytes()).error()->offset, unsorted.offset_of(kScopes, 58));
}

TEST(Snapshot, FaultsOfWhatIsInScopesAreNamed) {
  const auto at = [](size_t piece, const std::string& now) { return Piece{kMembers, piece, now}; };
  const auto given = [](size_t piece, const std::string& now) { return Piece{kDelivered, piece, now}; };
  expect_faults(std::vector<HostileScopes>{
      {{at(3, head(0))}, "members: a section that is there is not empty"},
      {{at(3, head(1000))}, "members: more items than bytes left"},
      {{at(4, head(3))}, "members[0]: an array of 3 instead of 4"},
      {{at(5, u(3))}, "members[0].kind: 3 is more than 2, the last kind"},
      {{at(6, u(5))}, "members[0].id: 5 is not there, or not once"},
      {{at(6, t("3"))}, "members[0].id: expected an unsigned integer, found text"},
      {{at(6, u(1)), at(5, u(1))}, "members[0].id: 1 is not there, or not once"},
      {{at(6, u(1)), at(5, u(2))}, "members[0].id: 1 is not there, or not once"},
      {{at(7, u(3))}, "members[0].scope: 3 is the id of no scope"},
      {{at(7, u(0))}, "members[0].scope: 0 is the id of no scope"},
      {{at(7, u(UINT64_MAX))}, "members[0].scope: 18446744073709551615 is the id of no scope"},
      {{at(8, u(10))}, "members[0].origin: 10 is more than 9, event_id_last"},
      {{given(3, head(0))}, "delivered: a section that is there is not empty"},
      {{given(4, head(6))}, "delivered[0]: an array of 6 instead of 5"},
      {{given(5, u(0))}, "delivered[0].id: 0, and they count from 1"},
      {{given(5, u(10))}, "delivered[0].id: 10 is more than 9, invocation_id_last"},
      {{given(5, u(5))}, "delivered[0].id: 5 is the id of no invocation in flight or queued"},
      {{given(6, u(0))}, "delivered[0].reason: 0, and they count from 1"},
      {{given(6, u(5))}, "delivered[0].reason: 5 is more than 4, the last reason"},
      {{given(7, u(uint64_t{1} << 32))}, "delivered[0].wanted: 4294967296 is more than 4294967295, 32 bits"},
      {{given(8, u(0))}, "delivered[0].scope: 0, and they count from 1"},
      {{given(8, u(6))}, "delivered[0].scope: 6 is more than 5, id_last"},
      {{given(9, head(99))}, "delivered[0].events: more items than bytes left"},
      {{given(10, u(4))}, "delivered[0].events: index 4, and there are only 4 events"},
  });
  // The same twice, and without scopes.
  for (const auto& [key, item, message] :
       {std::tuple(kMembers, std::pair<size_t, size_t>(4, 9),
                   "members[1]: does not come after the one before it, by kind and id"),
        std::tuple(kDelivered, std::pair<size_t, size_t>(4, 11),
                   "delivered[1].id: 4 does not come after 4 before it")}) {
    ScopesDocument twice;
    std::vector<std::string>& pieces = twice.pieces[key];
    pieces[3] = head(2);
    const std::vector<std::string> again(pieces.begin() + static_cast<ptrdiff_t>(item.first),
                                         pieces.begin() + static_cast<ptrdiff_t>(item.second));
    pieces.insert(pieces.end(), again.begin(), again.end());
    twice.put();
    EXPECT_EQ(decode(twice.bytes()).error()->message, message);
    EXPECT_EQ(decode(twice.bytes()).error()->offset,
              twice.offset_of(key, item.second + (key == kDelivered ? 1 : 0)));
  }
  ScopesDocument without;
  without.pieces[kScopes].clear();
  without.put();
  EXPECT_EQ(decode(without.bytes()).error()->message, "members[0].scope: 2 is the id of no scope");
  without.pieces[kMembers].clear();
  without.put();
  EXPECT_EQ(decode(without.bytes()).error()->message, "delivered[0].scope: 3 is more than 0, id_last");
  // An event that is delayed more than once belongs nowhere.
  ScopesDocument delayed;
  delayed.fields[19] = a({a({u(1), u(0), kNil}), a({u(2), u(0), kNil})});
  delayed.pieces[kMembers][5] = u(1);
  delayed.pieces[kMembers][6] = u(1);
  delayed.put();
  EXPECT_EQ(decode(delayed.bytes()).error()->message, "members[0].id: 1 is not there, or not once");
}

// Where the steps are no workflows here, what is inside goes from one snapshot into the next as it came.
TEST(Snapshot, RunsInsideAreKeptAsTheyCame) {
  const std::string bytes = ChildrenDocument().bytes();
  const SnapshotDocument document = decoded(bytes);
  ASSERT_EQ(document.children.size(), 1U);
  EXPECT_EQ(document.children[0].run->children.size(), 1U);
  EXPECT_EQ(nlohmann::json::parse(describe_snapshot(document)).at("children"), 2);
  EXPECT_EQ(
      nlohmann::json::parse(describe_snapshot(document)).at("steps_needed"),
      nlohmann::json::parse(R"(["work","remote","remote/split","remote/split/split","remote/split/work",)"
                            R"("remote/work"])"));
  const std::string again = snapshot(*restored(bytes, sample_workflow(Hosting::without_remote)));
  const SnapshotDocument kept = decoded(again);
  ASSERT_EQ(kept.children.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(kept.children[0].bytes, document.children[0].bytes));
  EXPECT_EQ(snapshot(*restored(again, sample_workflow(Hosting::without_remote))), again);
}

TEST(Snapshot, FaultsOfRunsInsideAreNamed) {
  constexpr uint64_t kChildren = ChildrenDocument::kChildren;
  constexpr uint64_t kTurns = ChildrenDocument::kTurns;
  const ChildrenDocument sound;
  const std::string top = sound.fields.at(5);
  const std::string inner = sound.inner.fields.at(5);
  const std::string other = b("fedcba9876543210");
  struct Fault {
    std::vector<Piece> pieces;
    std::string message;
    size_t piece = SIZE_MAX;  // where the fault is; else, in the first of those
  };
  const auto child = [&](size_t at, const std::string& now) { return Piece{kChildren, at, now}; };
  const auto turn = [&](size_t at, const std::string& now) { return Piece{kTurns, at, now}; };
  const auto altered = [&](uint64_t key, const std::string& now) {
    Document inside = ChildrenDocument::inside_of(sound);
    inside.fields[key] = now;
    return child(6, inside.bytes());
  };
  const std::string no_row = "turns.row: each is a run of the tree, once";
  const std::string no_starts = "turns.starts: each run has what it has in flight, in its own order";
  const std::string not_all = "turns.starts: of a run that is among them, all that is in flight is";
  const auto of_phase = [&](uint64_t phase) {
    Document inside = ChildrenDocument::inside_of(sound);
    inside.fields[6] = u(phase);
    for (const uint64_t key : {13U, 14U, 15U}) inside.fields[key] = a({});
    if (phase == 5) inside.fields[16] = a({t("1")});
    return child(6, inside.bytes());
  };
  const std::vector<Fault> faults = {
      {{child(1, t("0.3.0"))}, "section[41]: this section came with 0.2.0, and is required", 2},
      {{child(2, u(0))}, "section[41]: this section came with 0.2.0, and is required"},
      {{child(3, kNil)}, "children: expected an array, found null"},
      {{child(3, head(1000))}, "children: more items than bytes left"},
      {{child(4, head(3))}, "children[0]: an array of 3 instead of 2"},
      {{child(5, u(0))}, "children[0].id: 0, and they count from 1"},
      {{child(5, u(10))}, "children[0].id: 10 is more than 9, invocation_id_last"},
      {{child(5, u(3))}, "children[0].id: 3 is no invocation in flight"},
      {{child(6, kNil)},
       "children[0].run: snapshot: these bytes are something else: a snapshot begins with d9 d9 f7, the CBOR "
       "tag 55799"},
      {{altered(5, other)},
       "children[0].run: its id is not that of the run of this attempt of its invocation"},
      {{altered(7, a({u(9), u(9), u(9), u(1)}))},
       "children[0].run: it was started, and neither publishes by itself nor has metadata"},
      {{altered(9, t("1"))},
       "children[0].run: it was started, and neither publishes by itself nor has metadata"},
      {{of_phase(1)}, "children[0].run: it was started, and neither publishes by itself nor has metadata"},
      {{turn(1, t("0.3.0"))}, "section[42]: this section came with 0.2.0, and is required", 2},
      {{turn(2, u(0))}, "section[42]: this section came with 0.2.0, and is required"},
      {{turn(3, head(3))}, "turns: an array of 3 instead of 2"},
      {{turn(4, kNil)}, "turns.row: expected an array, found null"},
      {{turn(4, head(1000))}, "turns.row: more items than bytes left"},
      {{turn(5, u(1))}, "turns.row: expected a byte string, found an unsigned integer"},
      {{turn(5, b("short"))}, "turns.row: 5 bytes instead of 16"},
      {{turn(7, head(1000))}, "turns.starts: more items than bytes left"},
      {{turn(8, head(3))}, "turns.starts: an array of 3 instead of 2"},
      {{turn(9, b("seventeen bytes ..."))}, "turns.starts.run: 19 bytes instead of 16"},
      {{turn(10, t("2"))}, "turns.starts.invocation: expected an unsigned integer, found text"},
      {{turn(5, other)}, no_row, 3},
      {{turn(6, top)}, no_row, 3},
      {{turn(9, other)}, no_starts, 3},
      {{turn(10, u(3))}, no_starts, 3},
      {{turn(12, top)}, no_starts, 3},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.message);
    ChildrenDocument document;
    for (const Piece& piece : fault.pieces) document.pieces[piece.key][piece.at] = piece.now;
    document.put();
    const Ref<Error> error = decode(document.bytes()).error();
    EXPECT_TRUE(error);
    if (!error) continue;
    EXPECT_EQ(error->status, Status::snapshot_invalid);
    EXPECT_EQ(error->message, fault.message);
    const Piece& first = fault.pieces.front();
    EXPECT_EQ(error->offset, document.offset_of(first.key, fault.piece == SIZE_MAX ? first.at : fault.piece));
  }
  EXPECT_TRUE(decode(sound.bytes()));
  // One that has ended, and whose parent does not know it yet, is sound.
  for (const uint64_t phase : {5U}) {
    ChildrenDocument over;
    over.pieces[kChildren][6] = of_phase(phase).now;
    over.pieces[kTurns] = {head(3), t("0.2.0"), u(1), head(2), head(0), head(1), head(2), top, u(2)};
    over.put();
    EXPECT_EQ(decode(over.bytes()).error() ? decode(over.bytes()).error()->message : "", "");
  }
  // Those that are missing.
  ChildrenDocument missing;
  missing.fields[14] = a({a({u(2), u(0), u(0), u(1), b("")}), a({u(1), u(0), u(0), u(1), b("")})});
  EXPECT_EQ(decode(missing.bytes()).error()->message, not_all);
  // Two at once, not in their order.
  ChildrenDocument twice;
  twice.pieces[kChildren][3] = head(2);
  twice.pieces[kChildren].insert(twice.pieces[kChildren].end(), {head(2), u(2), twice.inner.bytes()});
  twice.put();
  EXPECT_EQ(decode(twice.bytes()).error()->message, "children[1].id: 2 does not come after 2 before it");
  EXPECT_EQ(decode(twice.bytes()).error()->offset, twice.offset_of(kChildren, 8));
  // Where nobody is inside, and not at the top.
  Document alone;
  alone.fields[kTurns] = sound.fields.at(kTurns);
  EXPECT_EQ(decode(alone.bytes()).error()->message, "turns: only a run that others are inside of has turns");
  EXPECT_EQ(decode(alone.bytes()).error()->offset,
            alone.offset(kTurns) + (head(3) + t("0.2.0") + u(1)).size());
  ChildrenDocument deep;
  deep.inner.fields[kTurns] = sound.fields.at(kTurns);
  deep.pieces[kChildren][6].clear();
  deep.put();
  EXPECT_EQ(decode(deep.bytes()).error()->message,
            "children[0].run: turns: only a run that others are inside of has turns");
  EXPECT_EQ(decode(deep.bytes()).error()->offset,
            deep.offset_of(kChildren, 6) + deep.inner.offset(kTurns) + (head(3) + t("0.2.0") + u(1)).size());
  ChildrenDocument without;
  without.fields[kChildren] = a({t("0.2.0"), u(1), a({})});
  EXPECT_EQ(decode(without.bytes()).error()->message, "children: a section that is there is not empty");
  ChildrenDocument over;
  for (const auto& [key, value] : ended(Phase::completed, a({t("[1]")}))) over.fields[key] = value;
  EXPECT_EQ(decode(over.bytes()).error()->message.substr(0, 9), "children:");
}

// As many inside one another as a limit allows, and one more.
TEST(Snapshot, RunsAreInsideOneAnotherToABound) {
  std::vector<Document> runs(1);
  for (uint32_t depth = 0; depth < kChildDepthMax + 1; ++depth)
    runs.push_back(ChildrenDocument::inside_of(runs.back()));
  for (const bool is_more : {false, true}) {
    std::string inside = runs[kChildDepthMax + (is_more ? 1 : 0)].bytes();
    for (size_t depth = kChildDepthMax + (is_more ? 1 : 0); depth-- > 0;) {
      Document around = runs[depth];
      around.fields[ChildrenDocument::kChildren] = ChildrenDocument::section_of(inside);
      if (depth == 0) around.fields[ChildrenDocument::kTurns] = a({t("0.2.0"), u(1), a({a({}), a({})})});
      inside = around.bytes();
    }
    const Ref<Error> error = decode(inside).error();
    EXPECT_EQ(error.get() != nullptr, is_more) << (error ? error->message : "");
    if (!error) continue;
    EXPECT_NE(error->message.find("more than 256 runs are inside one another"), std::string::npos)
        << error->message.substr(error->message.size() - 200);
  }
}

// Nobody would ever close it.
TEST(Snapshot, AScopeInWhichNothingIsLeftIsRefused) {
  ScopesDocument empty;
  empty.pieces[kMembers].clear();
  empty.put();
  EXPECT_EQ(decode(empty.bytes()).error()->message, "scopes[1]: nothing is left in it");
  EXPECT_EQ(decode(empty.bytes()).error()->offset, empty.offset_of(kScopes, 33));
  // The outer one is open, and the inner one is closed and no more counts in it.
  ScopesDocument outer;
  outer.pieces[kScopes][12] = u(0);
  outer.pieces[kScopes][44] = u(1);
  outer.pieces[kScopes][46] = head(0);
  outer.pieces[kScopes].resize(47);
  outer.fields[13] = a({a({u(1), t("T"), t("1"), kNil, kNil}), a({u(2), t("Done"), t("1"), kNil, kNil}),
                        a({u(4), t("Won"), t("1"), kNil, kNil})});
  outer.fields[15] = a({a({u(3), u(1), u(0), u(1), b("")}), a({u(4), u(7), u(2), u(1), b("")})});
  outer.pieces[kDelivered][10] = u(2);
  outer.put();
  EXPECT_EQ(decode(outer.bytes()).error()->message, "scopes[0]: nothing is left in it");
  EXPECT_EQ(decode(outer.bytes()).error()->offset, outer.offset_of(kScopes, 7));
  // With its opener it is sound; and closed itself, it stays for what is inside.
  outer.pieces[kScopes][12] = u(2);
  outer.put();
  EXPECT_EQ(snapshot(*restored(outer.bytes(), samples::joined_workflow(Hosting::all))), outer.bytes());
}

TEST(Snapshot, CountersOfScopesLeaveRoomForARunThatGoesOn) {
  for (const auto& [key, piece, most, name] :
       {std::tuple(kScopes, 4, kCounterMax / 2, "scopes.id_last"),
        std::tuple(kCounter, 4, uint64_t{kElapsedMsRoom}, "counter.elapsed"),
        std::tuple(kScopes, 39, kCounterMax / 2, "scopes[1].late")}) {
    for (const uint64_t value : {most, most + 1}) {
      ScopesDocument document;
      document.pieces[key][static_cast<size_t>(piece)] = u(value);
      document.put();
      RunState state;
      const Ref<Error> error =
          samples::restore(decoded(document.bytes()), samples::joined_workflow(Hosting::all), false, state);
      EXPECT_EQ(static_cast<bool>(error), value > most) << name;
      if (!error) continue;
      EXPECT_EQ(error->status, Status::snapshot_invalid);
      EXPECT_EQ(error->message, std::string(name) + ": " + std::to_string(value) +
                                    " leaves no room for a run that goes on; it may be " +
                                    std::to_string(most) + " at most");
      EXPECT_FALSE(state.workflow);
    }
  }
}

// Of whatever is wrong with the joins of this workflow, the join is named.
TEST(Snapshot, ScopesOfOtherJoinsAreRefusedByName) {
  const std::string taken = ScopesDocument().bytes();
  const Ref<Workflow> all = samples::joined_workflow(Hosting::all);
  const auto changed = [&](size_t step, const std::function<void(std::optional<JoinDefinition>&)>& change) {
    std::vector<StepDefinition> steps = all->steps();
    change(steps[step].join);
    return samples::build("joined", steps);
  };
  constexpr size_t kCount = 5;
  constexpr size_t kGroup = 6;
  constexpr size_t kWon = 7;
  const Ref<Workflow> without = changed(kCount, [](auto& join) { join.reset(); });
  const Ref<Workflow> of_another = changed(kGroup, [](auto& join) { join->of = "work"; });
  const Ref<Workflow> together = changed(kGroup, [](auto& join) { join->by_event = false; });
  const Ref<Workflow> apart = changed(4, [](auto& join) { join->by_event = true; });
  const Ref<Workflow> not_won = changed(kWon, [](auto& join) { join.reset(); });
  for (const bool allow : {false, true}) {
    EXPECT_EQ(refusal(taken, without, allow),
              "the snapshot of workflow 'joined' has scope 1 of step 'split' open, which step 'count' joins: "
              "in this "
              "workflow, it does not");
    EXPECT_EQ(refusal(taken, of_another, allow),
              "the snapshot of workflow 'joined' has scope 2 of step 'open' open, which step 'group' joins: "
              "in this "
              "workflow, it does not");
    EXPECT_EQ(refusal(taken, together, allow),
              "the snapshot of workflow 'joined' has groups of join 'group' for each correlation of the "
              "events: in this "
              "workflow, it takes them together");
    EXPECT_EQ(refusal(taken, not_won, allow),
              "the snapshot of workflow 'joined' has an invocation of join 'won', which is no join in this "
              "workflow");
    // Events without a correlation are a group too.
    EXPECT_EQ(refusal(taken, apart, allow), "restored");
  }
  // What arrived is of the correlation that the group is said to have.
  ScopesDocument wrong;
  wrong.pieces[kScopes][48] = t("x");
  wrong.pieces[kScopes][55] = t("y");
  wrong.put();
  EXPECT_EQ(refusal(wrong.bytes(), all, false),
            "the snapshot of workflow 'joined' has groups of join 'group' of events of any correlation: in "
            "this workflow, "
            "it tells them apart");
  // A join that was not there when the scope was opened.
  const Ref<Workflow> one_more = changed(8, [](auto& join) { join = JoinDefinition{.of = "open"}; });
  EXPECT_EQ(refusal(taken, one_more, false),
            "the snapshot of workflow 'joined' has scope 2 of step 'open' open, which has other joins in "
            "this workflow; "
            "set allow_changed_workflow to resume it all the same");
  expect_goes_on(Driver(restored(taken, one_more, true)));
}

// A document that claims the fingerprint and has other steps was altered.
TEST(Snapshot, TheFingerprintAloneIsNotBelieved) {
  Document document;
  document.fields[12] = a({t("split"), t("work"), t("check"), t("remote"), t("joint")});
  const Ref<Workflow> workflow = sample_workflow(Hosting::all);
  EXPECT_NE(refusal(document.bytes(), workflow, false).find("other steps"), std::string::npos);
  EXPECT_EQ(refusal(document.bytes(), workflow, true), "restored");
}

// ---- description ----

TEST(Snapshot, DescribesItself) {
  Driver driver(sample_workflow(Hosting::all));
  driver.fan_out(3);
  driver.dispatch();
  driver.post(driver.output("Remote", samples::json("1")));
  driver.set("a", samples::json("1"));
  driver.set("b", samples::json("1"));
  EXPECT_EQ(describe_snapshot(decoded(snapshot(driver.state))),
            "{\"format\":1,\"engine\":\"0.2.0\",\"workflow\":\"orders\",\"fingerprint\":\"" +
                driver.state.workflow->fingerprint() +
                "\",\"run_id\":\"00112233-4455-6677-8899-aabbccddeeff\",\"state\":\"running\",\"queued\":6,"
                "\"in_flight\":1,\"delayed\":0,\"retrying\":0,\"questions\":0,\"events_routed\":5,"
                "\"children\":0,\"inside\":{\"queued\":0,\"in_flight\":0,\"delayed\":0,\"retrying\":0,"
                "\"questions\":0,\"events_routed\":0},\"paused\":false,"
                "\"steps_needed\":[\"work\",\"check\",\"remote\"],\"steps_left_out\":0,\"state_keys\":2,"
                "\"stream_sequence\":0,\"dropped\":[]}");
}

TEST(Snapshot, EveryPhaseHasItsName) {
  std::map<Phase, std::string> names;
  for (const samples::Sample& sample : samples::make_samples()) {
    if (sample.state.pause != Pause::none) continue;
    names[sample.state.phase] =
        nlohmann::json::parse(describe_snapshot(decoded(snapshot(sample.state))))["state"].get<std::string>();
  }
  EXPECT_EQ(names, (std::map<Phase, std::string>{{Phase::created, "created"},
                                                 {Phase::running, "running"},
                                                 {Phase::completed, "completed"},
                                                 {Phase::failed, "failed"},
                                                 {Phase::cancelled, "cancelled"}}));
}

// What a run that is paused, or that waits for its time or for a human, waits for.
TEST(Snapshot, CountsTimersRetriesAndQuestionsAndSaysThatItIsPaused) {
  bool has_paused = false;
  for (const samples::Sample& sample : samples::make_samples()) {
    const auto info = nlohmann::json::parse(describe_snapshot(decoded(snapshot(sample.state))));
    const bool is_paused = sample.state.pause != Pause::none;
    has_paused |= is_paused;
    EXPECT_EQ(info.at("paused"), is_paused) << sample.name;
    EXPECT_EQ(info.at("state") == "paused", is_paused) << sample.name;
    EXPECT_EQ(info.at("delayed"), delayed_count(sample.state)) << sample.name;
    EXPECT_EQ(info.at("retrying"), retrying_count(sample.state)) << sample.name;
    EXPECT_EQ(info.at("questions"), sample.state.questions.size()) << sample.name;
  }
  EXPECT_TRUE(has_paused);
}

TEST(Uuid, HasItsGroupsAndANul) {
  const UuidText text = uuid_text(
      {0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6});
  EXPECT_STREQ(text.data(), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
}

// Writes the corpus of tests/fuzz/snapshot_fuzz.cc into the folder that BLAZEN_CORPUS names.
TEST(Snapshot, DISABLED_WriteCorpus) {
  const char* folder = std::getenv("BLAZEN_CORPUS");
  ASSERT_NE(folder, nullptr);
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(std::string(folder) + "/" + name, std::ios::binary) << bytes;
  };
  for (const samples::Sample& sample : samples::make_samples()) write(sample.name, snapshot(sample.state));
  write("small", Document().bytes());
  write("truncated", Document().bytes().substr(0, 100));
  const ChildrenDocument children;
  write("children", children.bytes());
  write("child-alone", [&] {
    ChildrenDocument one;
    one.pieces[ChildrenDocument::kChildren][6] = ChildrenDocument::inside_of(one).bytes();
    one.pieces[ChildrenDocument::kTurns] = {a({t("0.2.0"), u(1), a({a({}), a({})})})};
    one.put();
    return one.bytes();
  }());
  write("children-twice-in-the-row", [&] {
    ChildrenDocument twice;
    twice.pieces[ChildrenDocument::kTurns][6] = twice.fields[5];
    twice.put();
    return twice.bytes();
  }());
  Document newer;
  newer.fields[1] = u(2);
  write("newer", newer.bytes());
  Document duplicate;
  duplicate.fields[15] = a({a({u(2), u(0), u(0), u(1), b("")})});
  write("duplicate-id", duplicate.bytes());
  Document huge;
  huge.fields[10] = head(uint64_t{1} << 40);
  write("huge-count", huge.bytes());
  Document completed;
  for (const auto& [key, value] : ended(Phase::completed, a({t("[1]")}))) completed.fields[key] = value;
  write("small-completed", completed.bytes());
  Document failed;
  for (const auto& [key, value] : ended(Phase::failed, error_item(error_item(kNil))))
    failed.fields[key] = value;
  write("small-failed", failed.bytes());
  Document newer_engine;
  newer_engine.fields[2] = t("0.1.9");
  write("other-engine", newer_engine.bytes());
}

}  // namespace
}  // namespace blazen
