// Goal: a snapshot that is written piece by piece has the bytes of the other form, whatever the sizes, and its
// callback may do what callbacks may; bytes that are adopted are the snapshot, are not copied, and are dropped once.
#include <stdexcept>
#include <thread>

#include "support/beside.hpp"
#include "support/control.hpp"

namespace bt {
namespace {

constexpr size_t kPieceMax = BLAZEN_PIECE_BYTES_MAX;

// Takes the pieces of one snapshot.
struct Pieces {
  std::string bytes;
  std::vector<std::pair<const char*, size_t>> seen;
  std::function<blazen_status(blazen_error** error)> at_each;  // after it has taken one
  int drops = 0;

  static blazen_status take(void* self, const void* data, size_t length, blazen_error** error) {
    auto& pieces = *static_cast<Pieces*>(self);
    EXPECT_EQ(pieces.drops, 0) << "it is called after its drop";
    EXPECT_TRUE(length >= 1 && length <= kPieceMax) << length;
    pieces.bytes.append(static_cast<const char*>(data), length);
    pieces.seen.emplace_back(static_cast<const char*>(data), length);
    return pieces.at_each ? pieces.at_each(error) : BLAZEN_OK;
  }
  static void drop(void* self) { ++static_cast<Pieces*>(self)->drops; }

  // What the call answers; it has dropped the pieces once when it has returned.
  blazen_status take_all(const blazen_run* run, Error* error = nullptr) {
    drops = 0;
    const blazen_status status =
        blazen_run_snapshot_to(run, take, this, drop, error == nullptr ? nullptr : error->out());
    EXPECT_EQ(drops, 1);
    return status;
  }
};

std::string streamed_bytes(const blazen_run* run) {
  Pieces pieces;
  EXPECT_EQ(pieces.take_all(run), BLAZEN_OK);
  return pieces.bytes;
}

// A run at rest, after its only step has done this.
struct Rested {
  explicit Rested(const std::function<void(Ctx&)>& body) {
    Spec spec("streamed");
    spec.idle = BLAZEN_IDLE_WAIT;
    spec.start([body](Ctx& ctx) { body(ctx); });
    workflow = spec.build();
    run = start(engine, workflow);
    engine.pass(0);
  }
  FakeClock clock;
  Engine engine{Way::pump, &clock};
  Workflow workflow;
  RunHandle run;
};

std::string key_of(size_t number) {
  const std::string digits = std::to_string(number);
  return "key." + std::string(6 - digits.size(), '0') + digits;
}

// Four big values with small ones between them: some twenty pieces.
void set_many(Ctx& ctx) {
  for (size_t i = 0; i < 4; ++i) {
    ctx.set(key_of(i * 1000), bytes(std::string((2 << 20) + i, static_cast<char>('a' + i))));
    for (size_t j = 1; j < 1000; ++j) ctx.set(key_of(i * 1000 + j), "\"" + std::string(j % 90, 'x') + "\"");
  }
}

// ------------------------------------------------------------------------------------------------- the bytes

TEST(Streamed, HasTheSameBytesWhateverTheSizesOfValues) {
  constexpr size_t kKept = 1 << 16;
  std::vector<size_t> sizes = {0, 1, 23, 24, 255, 256};
  for (const size_t around : {kKept, kPieceMax, 2 * kPieceMax}) {
    for (size_t size = around - 12; size <= around + 3; ++size) sizes.push_back(size);
  }
  for (const size_t size : sizes) {
    for (const size_t before : {0, 1, 40}) {
      const Rested rested([&](Ctx& ctx) {
        for (size_t i = 0; i < before; ++i) ctx.set(key_of(i), bytes(std::string(1637, 'b')));
        ctx.set("middle", bytes(std::string(size, 'm')));
        ctx.set("n", native(std::string(size, 'n'), "x/y"));
        ctx.set("z", "1");
      });
      ASSERT_TRUE(streamed_bytes(rested.run) == snapshot_bytes(rested.run)) << size << " after " << before;
    }
  }
}

TEST(Streamed, HasTheSameBytesForManyKeysInAnyOrder) {
  for (const size_t count : {0, 1, 100, 3000}) {
    const Rested rested([&](Ctx& ctx) {
      for (size_t i = 0; i < count; ++i) ctx.set(key_of(i * 7919 % 3001), "\"" + key_of(i) + "\"");
      ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, R"({"request_id": "q", "prompt": "Go on?"})");
    });
    const std::string streamed = streamed_bytes(rested.run);
    ASSERT_TRUE(streamed == snapshot_bytes(rested.run)) << count;
    ASSERT_TRUE(streamed == streamed_bytes(rested.run)) << "nor does it change anything";
    const RunHandle resumed = resume(rested.engine, rested.workflow, streamed);
    ASSERT_TRUE(streamed_bytes(resumed) == streamed) << "and it is a snapshot";
  }
}

TEST(Streamed, HasTheSameBytesBeforeTheStartAndAfterEveryEnd) {
  Engine engine;
  const std::function<void(Ctx&)> bodies[] = {[](Ctx& ctx) { ctx.stop(bytes(std::string(3 << 20, 'r'))); },
                                              [](Ctx& ctx) { ctx.emit("Nobody"); }, [](Ctx&) {}};
  for (const auto& body : bodies) {
    const Workflow workflow = Spec("ends").start([body](Ctx& ctx) { body(ctx); }).build();
    const RunHandle run = create(engine, workflow, json("{\"owner\": 1}").get());
    EXPECT_EQ(streamed_bytes(run), snapshot_bytes(run)) << "created";
    MUST(blazen_run_start(run, nullptr, e));
    EXPECT_TRUE(is_ended(engine.settle(run)));
    EXPECT_TRUE(streamed_bytes(run) == snapshot_bytes(run));
    MUST(blazen_run_close(run, e));
    EXPECT_TRUE(streamed_bytes(run) == snapshot_bytes(run)) << "closed before the call";
  }
}

TEST(Streamed, HandsOutBigValuesFromWhereTheyLie) {
  const std::string big(10 << 20, 'b');
  const Rested rested([&](Ctx& ctx) {
    Value value;
    MUST(blazen_value_adopt(BLAZEN_TAG_BYTES, big.data(), big.size(), nullptr, 0, nullptr, nullptr,
                            value.out(), e));
    ctx.set("big", value);
  });
  Pieces pieces;
  EXPECT_EQ(pieces.take_all(rested.run), BLAZEN_OK);
  size_t from_there = 0;
  for (const auto& [data, length] : pieces.seen) {
    if (data >= big.data() && data < big.data() + big.size()) from_there += length;
  }
  EXPECT_EQ(from_there, big.size());
  EXPECT_LE(pieces.seen.size(), 14U) << "as few as there can be, and the rest before and behind";
}

// ---------------------------------------------------------------------------------------------- it is stopped

TEST(Streamed, ACallbackThatFailsAtAnyPieceGetsNoOther) {
  const Rested rested(set_many);
  Pieces all;
  ASSERT_EQ(all.take_all(rested.run), BLAZEN_OK);
  ASSERT_GE(all.seen.size(), 12U);
  for (size_t n = 1; n <= all.seen.size(); ++n) {
    Pieces pieces;
    pieces.at_each = [&](blazen_error** error) -> blazen_status {
      if (pieces.seen.size() < n) return BLAZEN_OK;
      return blazen_error_host(28, BLAZEN_TEXT("disk is full"), bytes("detail"), error);
    };
    Error error;
    EXPECT_EQ(pieces.take_all(rested.run, &error), BLAZEN_ERROR_HOST);
    EXPECT_EQ(pieces.seen.size(), n);
    EXPECT_TRUE(all.bytes.starts_with(pieces.bytes));
    EXPECT_EQ(blazen_error_host_code(error), 28);
    EXPECT_EQ(error.message(), "disk is full");
    EXPECT_EQ(data_of(blazen_error_detail(error)), "detail");
    EXPECT_EQ(pieces.take_all(rested.run), BLAZEN_ERROR_HOST) << "with no place for the error";
  }
  EXPECT_TRUE(streamed_bytes(rested.run) == all.bytes) << "and the run has lost nothing";
}

TEST(Streamed, WhatACallbackAnswersOrThrowsBecomesTheError) {
  const Rested rested(set_many);
  const auto answer = [&](std::function<blazen_status(blazen_error**)> at_each) {
    Pieces pieces;
    pieces.at_each = std::move(at_each);
    Error error;
    const blazen_status status = pieces.take_all(rested.run, &error);
    EXPECT_EQ(pieces.seen.size(), status == BLAZEN_OK ? pieces.seen.size() : 1U);
    EXPECT_EQ(error ? blazen_error_status(error) : BLAZEN_OK, status);
    return status;
  };
  EXPECT_EQ(answer([](blazen_error**) -> blazen_status { return BLAZEN_ERROR_CONFLICT; }),
            BLAZEN_ERROR_CONFLICT);
  EXPECT_EQ(answer([](blazen_error**) -> blazen_status { return BLAZEN_PENDING; }), BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(answer([](blazen_error**) -> blazen_status { return -12; }), BLAZEN_ERROR_HOST);
  EXPECT_EQ(answer([](blazen_error**) -> blazen_status { throw std::runtime_error("thrown"); }),
            BLAZEN_ERROR_HOST);
  EXPECT_EQ(answer([](blazen_error**) -> blazen_status { throw 7; }), BLAZEN_ERROR_HOST);
  EXPECT_EQ(answer([](blazen_error** error) -> blazen_status {
              (void)blazen_error_host(1, BLAZEN_TEXT("left behind"), nullptr, error);
              return BLAZEN_OK;
            }),
            BLAZEN_OK);
}

TEST(Streamed, OneThatIsRefusedHasNoPiece) {
  const Rested rested([](Ctx& ctx) {
    set_many(ctx);
    static Counted object;
    ctx.emit_in(1000, "Later", "1");
    blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
    later.delay_ms = 1000;
    MUST(blazen_context_emit_event(ctx.raw, event("Later", live(object)), &later, e));
  });
  Pieces pieces;
  Error error;
  EXPECT_EQ(pieces.take_all(rested.run, &error), BLAZEN_ERROR_NOT_SERIALIZABLE);
  EXPECT_NE(error.message().find("Later"), std::string::npos);
  EXPECT_TRUE(pieces.seen.empty());
}

// ------------------------------------------------------------------------------------- the run goes on inside

TEST(Streamed, TheRunGoesOnIsSnapshotAndEndsInside) {
  Rested rested(set_many);
  const std::string before = snapshot_bytes(rested.run);
  Pieces pieces;
  pieces.at_each = [&](blazen_error**) -> blazen_status {
    if (pieces.seen.size() == 1) {
      EXPECT_TRUE(snapshot_bytes(rested.run) == before);
      EXPECT_TRUE(streamed_bytes(rested.run) == before);
      EXPECT_EQ(blazen_run_close(rested.run, nullptr), BLAZEN_ERROR_WRONG_PLACE);
      MUST(blazen_run_send_event(rested.run, event(BLAZEN_START_EVENT), nullptr, e));
      MUST(blazen_run_abort(rested.run, e));
      EXPECT_EQ(blazen_run_state_now(rested.run), BLAZEN_RUN_CANCELLED);
    }
    return BLAZEN_OK;
  };
  EXPECT_EQ(pieces.take_all(rested.run), BLAZEN_OK);
  EXPECT_TRUE(pieces.bytes == before) << "what comes after the cut is not in it";
  EXPECT_TRUE(streamed_bytes(rested.run) == snapshot_bytes(rested.run));
}

TEST(Streamed, TheLastHandleMayGoInside) {
  Rested rested(set_many);
  const std::string before = snapshot_bytes(rested.run);
  Pieces pieces;
  pieces.at_each = [&](blazen_error**) -> blazen_status {
    rested.run.reset();
    rested.workflow.reset();
    return BLAZEN_OK;
  };
  EXPECT_EQ(pieces.take_all(rested.run), BLAZEN_OK);
  EXPECT_TRUE(pieces.bytes == before);
}

// close: of the run, or of its runtime.
void close_meanwhile(Rested& rested, const std::function<void()>& close) {
  Pieces pieces;
  std::optional<Beside> closing;
  pieces.at_each = [&](blazen_error**) -> blazen_status {
    if (pieces.seen.size() != 2) return BLAZEN_OK;
    closing.emplace(close);
    EXPECT_FALSE(closing->returns()) << "while the callback runs";
    return BLAZEN_OK;
  };
  Error error;
  EXPECT_EQ(pieces.take_all(rested.run, &error), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(pieces.seen.size(), 2U);
  ASSERT_TRUE(closing.has_value());
  EXPECT_TRUE(closing->returns());
}

TEST(Streamed, ACloseWaitsForThePieceUnderWayAndEndsIt) {
  NEEDS_THREADS();
  {
    Rested rested(set_many);
    close_meanwhile(rested, [&] { MUST(blazen_run_close(rested.run, e)); });
  }
  Rested rested(set_many);
  close_meanwhile(rested, [&] { MUST(blazen_runtime_close(rested.engine.runtime(), e)); });
}

// -------------------------------------------------------------------------------------------- adopted snapshots

// Bytes that a host keeps until they are dropped.
struct Kept {
  explicit Kept(std::string all) : bytes(std::move(all)) {}
  static void drop(void* self) {
    auto& kept = *static_cast<Kept*>(self);
    ++kept.drops;
    std::fill(kept.bytes.begin(), kept.bytes.end(), '\xee');
  }
  blazen_status adopt(Snapshot& snapshot, blazen_error** error = nullptr) {
    return blazen_snapshot_adopt(bytes.data(), bytes.size(), this, drop, snapshot.out(), error);
  }
  std::string bytes;
  int drops = 0;
};

TEST(Adopted, IsTheSnapshotWithoutACopy) {
  const Rested rested(set_many);
  Kept kept(snapshot_bytes(rested.run));
  const std::string before = kept.bytes;
  Snapshot snapshot;
  ASSERT_EQ(kept.adopt(snapshot), BLAZEN_OK);
  size_t length = 0;
  EXPECT_EQ(blazen_snapshot_data(snapshot, &length), kept.bytes.data());
  EXPECT_EQ(length, kept.bytes.size());
  EXPECT_EQ(info_of(snapshot), info_of(parse(before)));
  for (int i = 0; i < 2; ++i) {
    RunHandle run;
    MUST(blazen_run_resume(rested.engine.runtime(), rested.workflow, snapshot, nullptr, run.out(), e));
    EXPECT_TRUE(snapshot_bytes(run) == before);
  }
  const Snapshot again(blazen_snapshot_retain(snapshot));
  snapshot.reset();
  EXPECT_EQ(kept.drops, 0);
}

TEST(Adopted, IsDroppedOnceWithTheLastReference) {
  const Rested rested(set_many);
  Kept kept(snapshot_bytes(rested.run));
  const std::string before = kept.bytes;
  Snapshot snapshot;
  ASSERT_EQ(kept.adopt(snapshot), BLAZEN_OK);
  RunHandle run;
  MUST(blazen_run_resume(rested.engine.runtime(), rested.workflow, snapshot, nullptr, run.out(), e));
  snapshot.reset();
  EXPECT_EQ(kept.drops, 1) << "no value of it is half of the whole";
  EXPECT_TRUE(snapshot_bytes(run) == before) << "and the run has its own";
}

TEST(Adopted, AValueThatIsMostOfItRefersToIt) {
  const Rested rested([](Ctx& ctx) {
    ctx.set("big", bytes(std::string(1 << 20, 'b')));
    ctx.set("small", bytes("s"));
  });
  Kept kept(snapshot_bytes(rested.run));
  const std::string before = kept.bytes;
  Snapshot snapshot;
  ASSERT_EQ(kept.adopt(snapshot), BLAZEN_OK);
  RunHandle run;
  MUST(blazen_run_resume(rested.engine.runtime(), rested.workflow, snapshot, nullptr, run.out(), e));
  snapshot.reset();
  EXPECT_EQ(kept.drops, 0);
  EXPECT_TRUE(snapshot_bytes(run) == before);
  const Snapshot of_run = bt::snapshot(run);
  run.reset();
  EXPECT_EQ(kept.drops, 1) << "a snapshot of that run has its own bytes";
  EXPECT_TRUE(bytes_of(of_run) == before);
}

TEST(Adopted, JsonAndWhatIsSmallIsCopied) {
  const std::function<void(Ctx&)> bodies[] = {
      [](Ctx& ctx) { ctx.set("json", "\"" + std::string(1 << 20, 'j') + "\""); },
      [](Ctx& ctx) { ctx.set("bytes", bytes(std::string(60'000, 'b'))); }};
  for (const auto& body : bodies) {
    const Rested rested(body);
    Kept kept(snapshot_bytes(rested.run));
    Snapshot snapshot;
    ASSERT_EQ(kept.adopt(snapshot), BLAZEN_OK);
    RunHandle run;
    MUST(blazen_run_resume(rested.engine.runtime(), rested.workflow, snapshot, nullptr, run.out(), e));
    snapshot.reset();
    EXPECT_EQ(kept.drops, 1);
  }
}

TEST(Adopted, WhatIsRefusedIsDroppedToo) {
  const Rested rested([](Ctx& ctx) { ctx.set("a", "1"); });
  const std::string sound = snapshot_bytes(rested.run);
  for (size_t length = 0; length < sound.size(); ++length) {
    Kept kept(sound.substr(0, length));
    Snapshot snapshot;
    Error error;
    EXPECT_EQ(kept.adopt(snapshot, error.out()), BLAZEN_ERROR_SNAPSHOT_INVALID);
    EXPECT_EQ(kept.drops, 1);
    EXPECT_EQ(snapshot.get(), nullptr);
  }
}

}  // namespace
}  // namespace bt
