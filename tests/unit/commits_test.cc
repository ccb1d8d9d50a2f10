// Goal: where the ticks of a run are recorded, nobody hears of what follows from one before it is committed: nothing is
// published, nobody is woken or called back, and the run has not ended. Then all of it comes, in its order; or, where it is
// refused or the run is closed before, none of it, and nothing is left.
//
// The log is one in memory: it commits when the test says so, one tick at a time, in groups, late, or never.
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "capi/handle.hpp"
#include "port/commit.hpp"
#include "support/control.hpp"

namespace held {

using bt::Ctx;
using bt::Engine;
using bt::has_threads;
using bt::RunHandle;
using bt::Spec;
using bt::Told;

class LateLog final : public blazen::CommitLog {
 public:
  void record(blazen::CommitSink& run, uint64_t number) noexcept override {
    std::lock_guard guard(lock_);
    run_ = &run;
    is_gapless_ = is_gapless_ && number == recorded_ + 1;
    recorded_ = number;
  }
  void forget(blazen::CommitSink& run) noexcept override {
    std::lock_guard guard(lock_);
    EXPECT_TRUE(run_ == nullptr || run_ == &run);
    run_ = nullptr;
    ++forgotten_;
  }

  // False: there is no other tick.
  bool commit_one() {
    if (committed_ == recorded()) return false;
    sink()->committed(++committed_);
    return true;
  }
  void commit_all() {
    committed_ = recorded();
    if (blazen::CommitSink* run = sink()) run->committed(committed_);
  }
  void refuse() { sink()->refused(); }
  uint64_t recorded() {
    std::lock_guard guard(lock_);
    return recorded_;
  }
  blazen::CommitSink* sink() {
    std::lock_guard guard(lock_);
    return run_;
  }
  bool is_gapless_ = true;
  int forgotten_ = 0;

 private:
  std::mutex lock_;
  blazen::CommitSink* run_ = nullptr;
  uint64_t recorded_ = 0;
  uint64_t committed_ = 0;
};

// The log outlives the runtime.
struct World {
  explicit World(bt::Way way = bt::Way::pump) : engine(way) {}

  void make(const Spec& spec, blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT) {
    workflow = spec.build();
    MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
    blazen::capi::object_of<blazen::Run>(run.get())->record_in(log);
    stream = bt::subscribe(run);
    MUST(blazen_run_on_done(run, Told::call, &told, Told::drop, e));
  }
  void start() { MUST(blazen_run_start(run, bt::json("0"), e)); }
  void poll() {
    for (int i = 0; i < 50; ++i) MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  }
  // All that can be seen of it.
  std::string seen() {
    if (items.empty() || items.back().type != BLAZEN_STREAM_END) {
      for (bt::Item& item : bt::take(stream)) items.push_back(std::move(item));
    }
    std::string text = std::to_string(blazen_run_state_now(run)) + " [" + bt::text_of(items) + "]";
    for (const blazen_run_state state : told.all()) text += " told " + std::to_string(state);
    return text;
  }

  LateLog log;
  Told told;
  Engine engine;
  bt::Workflow workflow;
  RunHandle run;
  bt::Stream stream;
  std::vector<bt::Item> items;
};

Spec three_steps() {
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.publish("P", "1");
    ctx.emit("Next");
  });
  spec.step("next", {"Next"}, [](Ctx& ctx) {
    ctx.publish("P", "2");
    ctx.set("key", "7");
    ctx.emit("Last");
  });
  spec.step("last", {"Last"}, [](Ctx& ctx) {
    ctx.publish("P", "3");
    ctx.stop("\"done\"");
  });
  return spec;
}

TEST(HeldEffects, NothingIsSeenBeforeItsCommitAndThenAllInOrder) {
  World world;
  world.make(three_steps());
  world.start();
  world.poll();
  EXPECT_EQ(world.seen(), "1 []") << "the run is over, and nobody knows";
  EXPECT_EQ(bt::outcome(world.run).status, BLAZEN_ERROR_WRONG_STATE);
  EXPECT_EQ(bt::reached(world.run, 0), BLAZEN_RUN_NONE);
  EXPECT_GE(world.log.recorded(), 6U);
  EXPECT_TRUE(world.log.is_gapless_);
  std::vector<std::string> steps;
  while (world.log.commit_one()) {
    if (steps.empty() || steps.back() != world.seen()) steps.push_back(world.seen());
  }
  const std::vector<std::string> expected = {"2 []", "2 [P=1]", "2 [P=1 P=2]", "2 [P=1 P=2 P=3]",
                                             "5 [P=1 P=2 P=3 blazen::StreamEnd=null] told 5"};
  EXPECT_EQ(steps, expected);
  EXPECT_EQ(bt::outcome(world.run).text(), "5 json \"done\"");
  EXPECT_EQ(world.told.drops, 1);
}

TEST(HeldEffects, OfAGroupComeAtOnceAndInOrder) {
  World world;
  world.make(three_steps());
  world.start();
  world.poll();
  world.log.commit_all();
  EXPECT_EQ(world.seen(), "5 [P=1 P=2 P=3 blazen::StreamEnd=null] told 5");
  EXPECT_EQ(world.told.all(), std::vector<blazen_run_state>{BLAZEN_RUN_COMPLETED});
}

// Asked, answered, told to its body.
TEST(HeldEffects, OfQuestionsAreHeldToo) {
  static std::atomic<int> asked;
  static std::atomic<int> answered;
  asked = answered = 0;
  World world;
  bt::Invocation held;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    held = ctx.defer();
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = "q";
    question.request_id_length = 1;
    question.answered = [](void*, blazen_context*, const char*, size_t, blazen_value*) { ++answered; };
    bt::Value answer;
    EXPECT_EQ(blazen_context_ask(ctx.raw, &question, answer.out(), nullptr), BLAZEN_PENDING);
    return BLAZEN_PENDING;
  });
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.input = [](void*, blazen_run*, const blazen_event*, blazen_value**,
                     blazen_error**) -> blazen_status {
    ++asked;
    return BLAZEN_PENDING;
  };
  world.make(spec, options);
  world.start();
  world.poll();
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(world.seen(), "1 []");
  world.log.commit_all();
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(world.seen().substr(0, 3), "9 [");
  EXPECT_EQ(bt::respond(world.run, "q", "1"), BLAZEN_OK);
  EXPECT_EQ(answered, 0);
  world.log.commit_all();
  EXPECT_EQ(answered, 1);
  {
    Ctx ctx(held);
    ctx.stop("4");
    MUST(blazen_invocation_complete(held, e));
  }
  held.reset();
  world.poll();
  EXPECT_EQ(world.seen().substr(0, 3), "2 [");
  world.log.commit_all();
  EXPECT_EQ(bt::outcome(world.run).text(), "5 json 4");
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(answered, 1);
}

// Its state is that after all ticks, whatever is held.
TEST(HeldEffects, ASnapshotIsOfTheStateAsItIs) {
  World world;
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.set("key", "7");
    ctx.publish("P", "1");
    ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"request_id\":\"q\",\"prompt\":\"?\"}");
  });
  spec.step("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.stop("5"); });
  world.make(spec);
  world.start();
  world.poll();
  EXPECT_EQ(world.seen(), "1 []");
  const std::string cut = bt::snapshot_bytes(world.run);
  RunHandle resumed = bt::resume(world.engine, world.workflow, cut);
  EXPECT_EQ(bt::open_ids(resumed), "q");
  MUST(blazen_run_abort(world.run, e));
  EXPECT_EQ(bt::describe_run(resumed).at("counters").at("published"), 2);
  MUST(blazen_run_start(resumed, nullptr, e));
  EXPECT_EQ(bt::respond(resumed, "q"), BLAZEN_OK);
  EXPECT_EQ(bt::finish(world.engine, resumed).text(), "5 json 5");
}

// Who closes, or lets the runtime go, hears nothing of what was not committed; and nothing is left.
TEST(HeldEffects, OfARunThatIsClosedAreDropped) {
  for (const bool ends : {false, true}) {
    for (const bool commits_some : {false, true}) {
      int forgotten = 0;
      {
        World world;
        Spec spec;
        spec.idle = BLAZEN_IDLE_WAIT;
        spec.start([&](Ctx& ctx) {
          ctx.publish("P", "1");
          ctx.set("object", bt::json("1"));
          if (ends) ctx.stop("\"unknown\"");
        });
        world.make(spec);
        MUST(blazen_run_on_done(world.run, Told::call, &world.told, Told::drop, e));
        world.start();
        world.poll();
        if (commits_some) world.log.commit_one();
        MUST(blazen_run_close(world.run, e));
        EXPECT_EQ(blazen_run_state_now(world.run), BLAZEN_RUN_CANCELLED);
        const std::vector<blazen_run_state> both(2, BLAZEN_RUN_CANCELLED);
        EXPECT_EQ(world.told.all(), both);
        EXPECT_EQ(world.told.drops, 2);
        EXPECT_EQ(bt::outcome(world.run).text().find("unknown"), std::string::npos);
        EXPECT_EQ(bt::outcome(world.run).status, BLAZEN_ERROR_CANCELLED);
        EXPECT_EQ(world.seen().find("P=1"), std::string::npos);
        world.log.commit_all();  // it comes too late
        EXPECT_EQ(world.seen().find("P=1"), std::string::npos);
        world.stream.reset();
        world.run.reset();
        forgotten = world.log.forgotten_;
      }
      EXPECT_EQ(forgotten, 1) << "the run is still there";
    }
  }
}

TEST(HeldEffects, ARefusalEndsTheRunHere) {
  World world;
  world.make(three_steps());
  world.start();
  world.poll();
  for (int i = 0; i < 2; ++i) world.log.commit_one();
  world.log.refuse();
  EXPECT_EQ(world.told.all(), std::vector<blazen_run_state>{BLAZEN_RUN_CANCELLED});
  EXPECT_EQ(world.seen().find("P=3"), std::string::npos) << world.seen();
  EXPECT_EQ(bt::outcome(world.run).status, BLAZEN_ERROR_CANCELLED);
  world.log.commit_all();
  EXPECT_EQ(world.seen().find("P=3"), std::string::npos) << world.seen();
}

// A runtime that closes waits for no commit.
TEST(HeldEffects, OfARuntimeThatClosesAreDropped) {
  LateLog log;
  Told told;
  {
    Engine engine;
    const bt::Workflow workflow = three_steps().build();
    RunHandle run;
    MUST(blazen_run_create(engine.runtime(), workflow, nullptr, run.out(), e));
    blazen::capi::object_of<blazen::Run>(run.get())->record_in(log);
    MUST(blazen_run_on_done(run, Told::call, &told, Told::drop, e));
    MUST(blazen_run_start(run, bt::json("0"), e));
    for (int i = 0; i < 20; ++i) MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    run.reset();
  }
  EXPECT_EQ(told.drops, 1);
  EXPECT_EQ(log.forgotten_, 1);
}

// Several threads commit while several work.
TEST(HeldEffects, ComeInOrderWhoeverCommits) {
  if (!has_threads()) GTEST_SKIP() << "without threads, there is one";
  constexpr int kItems = 300;
  for (int round = 0; round < 5; ++round) {
    World world(bt::Way::threads_4);
    Spec spec;
    spec.limit(BLAZEN_LIMIT_STREAM_ITEMS, 10'000);
    spec.start([](Ctx& ctx) { ctx.emit("Link", "0"); });
    spec.step("link", {"Link"}, [](Ctx& ctx) {
      const int number = std::stoi(ctx.input());
      ctx.publish("P", std::to_string(number));
      return number == kItems ? ctx.stop() : ctx.emit("Link", std::to_string(number + 1));
    });
    world.make(spec);
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (!over) {
          const uint64_t number = world.log.recorded();
          if (blazen::CommitSink* sink = number == 0 ? nullptr : world.log.sink()) sink->committed(number);
          std::this_thread::yield();
        }
      });
    }
    world.start();
    blazen_run_state state = BLAZEN_RUN_NONE;
    MUST(blazen_run_wait(world.run, 60'000, &state, e));
    EXPECT_EQ(state, BLAZEN_RUN_COMPLETED);
    over = true;
    for (std::thread& thread : threads) thread.join();
    std::string expected;
    for (int i = 0; i <= kItems; ++i) expected += "P=" + std::to_string(i) + " ";
    EXPECT_EQ(bt::text_of(bt::take(world.stream)).substr(0, expected.size()), expected);
    EXPECT_EQ(world.told.all(), std::vector<blazen_run_state>{BLAZEN_RUN_COMPLETED});
  }
}

}  // namespace held
