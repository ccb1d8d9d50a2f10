// Proves that a snapshot is the run: what is restored from it gives the same bytes and goes on as it would
// have, wherever its steps are; that no bytes at all do harm; and that every refusal names the byte and the
// path to it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "allocations.hpp"
#include "base/uuid.hpp"
#include "snapshot_samples.hpp"

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
  const Ref<Error> error = restore_run(decoded(bytes), workflow, allow_changed_workflow, *state);
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
      const std::unique_ptr<RunState> again = restored(taken, sample_workflow(hosting));
      check_invariants(*again);
      EXPECT_EQ(snapshot(*again), taken);
    }
  }
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
    EXPECT_EQ(after->last_unhandled, before.last_unhandled);
    EXPECT_EQ(after->open, has_ended(before) ? 0 : before.open);
    EXPECT_EQ(status_of(*after), status_of(before));
    EXPECT_EQ(after->settled, is_settled(*after));
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
        const KeyTable::Entry* found = now->find(entry.key);
        ASSERT_NE(found, nullptr) << entry.key;
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

TEST(Snapshot, ARepeatedSendHasNoSecondEffectAfterARestore) {
  Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("1"));
  Invocation* split = driver.dispatch();
  driver.send(split, driver.output("Note", samples::json("1"), "split"), 77);
  Driver resumed(restored(snapshot(driver.state), driver.state.workflow));
  Invocation* again = resumed.dispatch();
  ASSERT_EQ(again->id, split->id);
  resumed.send(again, resumed.output("Note", samples::json("1"), "split"), 77);
  EXPECT_EQ(resumed.state.event_id_last, driver.state.event_id_last);
  resumed.send(again, resumed.output("Note", samples::json("2"), "split"), 78);
  EXPECT_EQ(resumed.state.event_id_last, driver.state.event_id_last + 1);
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
  EXPECT_EQ(home.state.interrupted_parked.front()->id, remote->id);
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
  SnapshotCut cut = cut_snapshot(driver.state);
  driver.set("a", samples::json("3"));
  driver.set("c", samples::json("4"));
  driver.send(work, driver.output("Note", samples::json("1"), "work"), 5);
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
  SnapshotCut first = cut_snapshot(driver.state);
  SnapshotCut second = cut_snapshot(driver.state);
  SnapshotCut late = cut_snapshot(driver.state);
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
  EXPECT_TRUE(cut_snapshot(driver.state).state_order_known);
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
            "LIVE values cannot be kept: metadata, session 'cache', session 'db', event 'blazen::StartEvent' "
            "(id 1), "
            "event 'Note' (id 2)");
}

TEST(Snapshot, LiveResultsAndDetailsAreNamedToo) {
  Driver completed(sample_workflow(Hosting::all));
  completed.start(samples::json("1"));
  completed.complete(completed.dispatch(), {completed.output(kStopEvent, samples::live(), "split")});
  EXPECT_EQ(samples::try_snapshot(completed.state).error()->message, "LIVE values cannot be kept: result");

  Driver failed(sample_workflow(Hosting::all));
  failed.start(samples::json("1"));
  Ref<Error> cause = Error::host(1, "m", samples::live());
  cause->cause = Error::host(2, "n", samples::live());
  failed.fail(failed.dispatch(), Error::step_failed("split", 1, cause));
  EXPECT_EQ(samples::try_snapshot(failed.state).error()->message,
            "LIVE values cannot be kept: error.cause.detail, error.cause.cause.detail");
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

// Bytes that are taken for a snapshot are one: a run of them gives those bytes again.
void expect_refused_or_deterministic(const std::string& bytes) {
  Result<SnapshotDocument> document = decode(bytes);
  if (!document) return expect_refused(document.error(), bytes.size());
  EXPECT_TRUE(nlohmann::json::accept(describe_snapshot(*document)));
  RunState state;
  const Ref<Error> error = restore_run(*document, sample_workflow(Hosting::all), false, state);
  if (error) {
    EXPECT_EQ(error->status, Status::snapshot_mismatch);
  } else {
    EXPECT_EQ(snapshot(state, document->engine), bytes);
  }
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
      {2, t("0.1.0")},
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
      {14, a({a({u(2), u(0), u(0), u(1), b("12345678")})})},
      {15, a({a({u(3), u(1), u(0), u(1)})})},
      {16, kNil},
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
  EXPECT_EQ(document->bytes.data.get(), memory);
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
      {{{10, head(60)}}, 10, 0, "state: 60 items, and the bytes left hold at most 15"},
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
      {{{7, a({u(9), u(9), u(UINT64_MAX), u(3)})}, {11, a({a({t("a"), u(2), one})})}},
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
  const auto queued = [](uint64_t id) { return a({u(id), u(0), u(0), u(1)}); };
  expect_faults({
      {{{14, a({a({u(2), u(0), u(0), u(1)})})}}, 14, 1, "in_flight[0]: an array of 4 instead of 5"},
      {{{14, a({flight(0, "")})}}, 14, 2, "in_flight[0].id: 0, and they count from 1"},
      {{{14, a({flight(10, "")})}}, 14, 2, "in_flight[0].id: 10 is more than 9, invocation_id_last"},
      {{{14, a({flight(5, ""), flight(4, "12345678"), flight(5, "")})}},
       14,
       22,
       "in_flight[2].id: 5 is the id of another invocation in flight"},
      {{{7, a({u(9), u(UINT64_MAX), u(9), u(3)})}, {14, a({flight(5, ""), flight(4, ""), flight(5, "")})}},
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
      {{{14, a({flight(2, "1234567")})}}, 14, 6, "in_flight[0].effects: 7 bytes, which is no multiple of 8"},
      {{{14, a({a({u(2), u(0), u(0), u(1), kNil})})}},
       14,
       6,
       "in_flight[0].effects: expected a byte string, found null"},
      {{{14, head(1000000)}}, 14, 0, "in_flight: more items than bytes left"},
      {{{15, head(1)}}, 15, 0, "queued: 1 items, and the bytes left hold at most 0"},
      {{{15, a({queued(4), queued(4)})}}, 15, 7, "queued[1].id: 4 does not come after 4 before it"},
      {{{15, a({queued(4), queued(3)})}}, 15, 7, "queued[1].id: 3 does not come after 4 before it"},
      {{{15, a({queued(1), queued(2)})}}, 15, 7, "queued[1].id: 2 is the id of another invocation in flight"},
      {{{15, a({a({u(3), u(1), u(1), u(1)})})}},
       15,
       4,
       "queued[0].event: index 1, and there are only 1 events"},
      {{{15, a({a({u(3), u(7), u(0), u(1)})})}},
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

TEST(Snapshot, FaultsOfTheMapAreNamed) {
  const std::string sound = Document().bytes();
  const std::string body = sound.substr(4);  // behind the tag and the head of the map
  const auto fault_of = [](const std::string& bytes) {
    const Ref<Error> error = decode(bytes).error();
    return error ? error->message + " at " + std::to_string(error->offset) : "accepted";
  };
  const auto size_text = [](size_t size) { return std::to_string(size); };
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
  EXPECT_EQ(fault_of(tag + "\xb2" + body + u(17) + u(1)),
            "snapshot: key 17 is not one of format 1 at " + size_text(sound.size()));
  EXPECT_EQ(fault_of(sound + u(0)), "snapshot: 1 bytes follow its end at " + size_text(sound.size()));
  EXPECT_EQ(fault_of(tag + "\xb0" + body.substr(0, body.size() - 2)),
            "outcome: missing: the map ends after 16 keys at " + size_text(sound.size() - 2));

  Document lacking;
  lacking.fields.erase(9);
  EXPECT_EQ(fault_of(lacking.bytes()),
            "metadata: key 10 stands where key 9 belongs at " + size_text(lacking.offset(10) - 1));
  Document unknown;
  unknown.fields.erase(16);
  unknown.fields[40] = kNil;
  EXPECT_EQ(fault_of(unknown.bytes()),
            "outcome: key 40 is not one of format 1 at " + size_text(unknown.offset(40) - 2));
}

// A newer format is told before anything that it may have changed.
TEST(Snapshot, ANewerFormatIsToldWithBothVersions) {
  Document newer;
  newer.fields = {{0, t("blazen/run")}, {1, u(2)}, {2, u(7)}, {99, kNil}};
  const Ref<Error> error = decode(newer.bytes()).error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, Status::snapshot_newer);
  EXPECT_EQ(error->message, "the snapshot has format version 2, and this library (0.1.0) knows only up to 1");
  EXPECT_EQ(error->offset, newer.offset(1));
}

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
  const auto counters = a({u(UINT64_MAX), u(UINT64_MAX), u(UINT64_MAX), u(0)});
  for (const uint64_t count : {100U, 1000U, 4096U, 100000U}) {
    Document state;
    state.fields[7] = counters;
    state.fields[10] =
        list_of(count, [&](uint64_t n) { return a({t(short_name(n, count)), u(n + 1), b("")}); });
    state.fields[11] = a({});
    expect_bounded(state.bytes(), true, "state, ascending");

    // Versions that neither ascend nor are small: they have to be sorted.
    state.fields[10] = list_of(
        count, [&](uint64_t n) { return a({t(short_name(n, count)), u(n == 0 ? UINT64_MAX : n), b("")}); });
    expect_bounded(state.bytes(), true, "state, sorted");

    Document events;
    events.fields[7] = counters;
    events.fields[13] = list_of(count, [](uint64_t n) { return a({u(n + 1), t("T"), b(""), kNil, kNil}); });
    events.fields[14] = a({});
    events.fields[15] = list_of(count, [](uint64_t n) { return a({u(n + 1), u(0), u(n), u(1)}); });
    expect_bounded(events.bytes(), true, "events, queued");
    events.fields[14] =
        list_of(count, [&](uint64_t n) { return a({u(count - n), u(0), u(n), u(1), b("")}); });
    events.fields[15] = a({});
    expect_bounded(events.bytes(), true, "events, in flight");

    Document queued;
    queued.fields[7] = counters;
    queued.fields[14] = a({});
    queued.fields[15] = list_of(count, [](uint64_t n) { return a({u(n + 1), u(0), u(0), u(1)}); });
    expect_bounded(queued.bytes(), true, "one event, queued");
    queued.fields[15] = a({});
    queued.fields[14] = list_of(
        count, [&](uint64_t n) { return a({u(n == 0 ? UINT64_MAX : count - n), u(0), u(0), u(1), b("")}); });
    expect_bounded(queued.bytes(), true, "one event, in flight");

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
  for (const uint64_t key : {10, 11, 12, 13, 14, 15}) {
    for (const uint64_t divisor : {1, 2, 5, 6, 7, 8}) {
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
    const Ref<Workflow> workflow = sample_workflow(Hosting::all);
    const size_t before = allocations::in_use();
    const auto nothing_leaks = [&](bool) { EXPECT_EQ(allocations::in_use(), before); };
    allocations::fail_each([&] { EXPECT_EQ(snapshot(sample.state), taken); }, nothing_leaks);
    allocations::fail_each([&] { EXPECT_TRUE(decode_snapshot(bytes_of(taken))); }, nothing_leaks);
    allocations::fail_each(
        [&] {
          RunState state;
          EXPECT_FALSE(restore_run(document, workflow, false, state));
        },
        nothing_leaks);
    allocations::fail_each([&] { describe_snapshot(document); }, nothing_leaks);
  }
}

// ---- the wrong workflow ----

std::string refusal(const std::string& taken, const Ref<Workflow>& workflow, bool allow_changed_workflow) {
  RunState state;
  const Ref<Error> error = restore_run(decoded(taken), workflow, allow_changed_workflow, state);
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
  // Steps for which nothing waits are not needed.
  const Ref<Workflow> enough = samples::build("orders", {all[0], all[1], all[2], all[3]});
  EXPECT_EQ(refusal(snapshot(driver.state), enough, true), "restored");
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
            "{\"format\":1,\"engine\":\"0.1.0\",\"workflow\":\"orders\",\"fingerprint\":\"" +
                driver.state.workflow->fingerprint() +
                "\",\"run_id\":\"00112233-4455-6677-8899-aabbccddeeff\",\"state\":\"running\",\"queued\":6,"
                "\"in_flight\":1,\"steps_needed\":[\"work\",\"check\",\"remote\"],\"state_keys\":2,"
                "\"stream_sequence\":0,\"events_routed\":5}");
}

TEST(Snapshot, EveryPhaseHasItsName) {
  std::map<Phase, std::string> names;
  for (const samples::Sample& sample : samples::make_samples()) {
    names[sample.state.phase] =
        nlohmann::json::parse(describe_snapshot(decoded(snapshot(sample.state))))["state"].get<std::string>();
  }
  EXPECT_EQ(names, (std::map<Phase, std::string>{{Phase::created, "created"},
                                                 {Phase::running, "running"},
                                                 {Phase::completed, "completed"},
                                                 {Phase::failed, "failed"},
                                                 {Phase::cancelled, "cancelled"}}));
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
  Document newer;
  newer.fields[1] = u(2);
  write("newer", newer.bytes());
  Document duplicate;
  duplicate.fields[15] = a({a({u(2), u(0), u(0), u(1)})});
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
