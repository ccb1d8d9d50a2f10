// Random trees of workflows and pipelines, which must come to what a model says that shares nothing with the engine, in one
// go and cut at random moments: the result or the innermost cause of the failure, how often each body was begun, has asked,
// failed and was done.
//
// Steps are flows, several at once (all of them, or the first success), fan-outs with a join; pipelines have stages, loops,
// conditions, mappers; all of it within one another. Bodies fail, ask, are late, or say nothing; steps are tried again, and
// time out. A run is snapshotted between and inside bodies, goes on in new runtimes, is forked, is paused, and visits a process
// in which some steps are elsewhere.
//
// BLAZEN_TREE_SEEDS (2,000, or BLAZEN_SEEDS where that is more) trees from BLAZEN_FIRST_SEED (1) on.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "simulation/last_words.hpp"
#include "simulation/tally.hpp"
#include "simulation/trees_model.hpp"
#include "simulation/trees_run.hpp"

namespace sim::trees {

namespace {

// Everything that the trees can do.
const char* const kTreeFeatures[] = {
    "cut inside a body of a tree",
    "cuts of a tree",
    "deferred bodies of a tree",
    "events for a run inside",
    "failures rescued",
    "forks of a tree",
    "leaps of time in a tree",
    "parked elsewhere in a tree",
    "pauses of a tree",
    "questions of a tree answered",
    "resumed from a pause of a tree",
    "runs of a workflow in itself",
    "time has passed between two processes of a tree",
    "trees cut at each poll",
    "trees of which the model tells all",
    "trees that fail",
    "trees that time out",
    "visits to a process without some steps",
};

// Empty, or how the outcome is another one.
std::string compare(const Expected& expected, const Outcome& outcome) {
  if (!outcome.problem.empty() || expected.is_open) return outcome.problem;
  if (outcome.end != expected.end) return "it comes to " + outcome.end + "\n  instead of " + expected.end;
  static const char* const kWhat[] = {"begun", "done", "asked", "failed"};
  for (size_t what = 0; what < std::size(kWhat); ++what) {
    std::map<size_t, int> counts = outcome.counts[what];
    for (const auto& [work, range] : expected.counts[what]) {
      const int count = counts[work];
      counts.erase(work);
      if (count >= range.least && count <= range.most) continue;
      return "body " + std::to_string(work) + " was " + kWhat[what] + " " + std::to_string(count) +
             " times, and not " + std::to_string(range.least) + " to " + std::to_string(range.most);
    }
    for (const auto& [work, count] : counts) {
      if (count != 0) return "body " + std::to_string(work) + " was " + kWhat[what] + ", and should not be";
    }
  }
  return {};
}

std::string how_to_repeat(uint64_t seed) {
  return "again: BLAZEN_TREE_SEEDS=1 BLAZEN_FIRST_SEED=" + std::to_string(seed) +
         " build/simulate/tests/simulation_tests --gtest_filter=SimulatedTrees.*Says\n";
}

constexpr uint64_t kOften = 8;  // one in so many trees is cut at each poll

Cuts cuts_of(uint64_t seed, const Tree& tree, const Expected& expected) {
  Cuts cuts;
  cuts.percent = seed % kOften == 0 ? 100 : 20;
  const bool is_timed = expected.is_timed || expected.is_open;
  cuts.leaps = !is_timed && seed % 3 == 0;
  cuts.is_dated = !tree.has_timeouts;
  return cuts;
}

void count_features(const Expected& expected, const Cuts& cuts) {
  if (cuts.percent == 100) count("trees cut at each poll");
  if (cuts.leaps) count("leaps of time in a tree");
  count(expected.is_open ? "trees of which the model does not tell" : "trees of which the model tells all");
  if (expected.end.find("TIMEOUT") != std::string::npos) count("trees that time out");
  if (expected.end.find("ERROR") != std::string::npos) count("trees that fail");
}

// Empty, or what to print.
std::string simulate_tree(uint64_t seed) {
  const Tree tree = make_tree(seed);
  const Expected expected = expect(tree);
  Runner runner(tree);
  const Cuts often = cuts_of(seed, tree, expected);
  count_features(expected, often);
  for (const Cuts& cuts : {Cuts(), often}) {
    const std::string problem = compare(expected, runner.run(seed, cuts));
    if (problem.empty()) continue;
    std::string trace;
    (void)runner.run(seed, cuts, &trace);
    const bool is_cut = cuts.percent != 0;
    return "tree " + std::to_string(seed) + (is_cut ? ", cut (uncut, it is right): " : ": ") + problem +
           "\n" + say(tree) + trace + how_to_repeat(seed);
  }
  return {};
}

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(SimulatedTrees, ComeToWhatTheModelSays) {
  constexpr uint64_t kEnough = 2000;  // from the first on, for each feature to occur
  const uint64_t seeds =
      number_of("BLAZEN_TREE_SEEDS", std::max(kEnough, number_of("BLAZEN_SEEDS", kEnough)));
  const uint64_t first = number_of("BLAZEN_FIRST_SEED", 1);
  const uint64_t failures_max = number_of("BLAZEN_FAILURES", 1);
  const LastWords last_words;
  if (seeds == 1) std::printf("%s", say(make_tree(first)).c_str()), std::fflush(stdout);
  uint64_t failures = 0;
  for (uint64_t seed = first; seed < first + seeds && failures < failures_max; ++seed) {
    const auto* const result = testing::UnitTest::GetInstance()->current_test_info()->result();
    const int before = result->total_part_count();
    const std::string words = "tree " + std::to_string(seed) + "; " + how_to_repeat(seed);
    LastWords::set("the process ends in " + words);
    std::string problem = simulate_tree(seed);
    if (problem.empty() && bt::Body::alive.load() != 0) problem = "a body was not dropped in " + words;
    if (problem.empty() && result->total_part_count() == before) continue;
    ADD_FAILURE() << (problem.empty() ? words + say(make_tree(seed)) : problem);
    ++failures;
  }
  for (const auto& [name, times] : tally().counts)
    std::printf("%s: %llu\n", name.c_str(), static_cast<unsigned long long>(times));
  if (first != 1 || seeds < kEnough || failures != 0) return;
  for (const char* feature : kTreeFeatures)
    EXPECT_NE(tally().counts[feature], 0U) << feature << ": it never occurs in " << seeds << " trees";
}

// A model that is wrong in one place is found out by the first of these seeds.
constexpr uint64_t kFewSeeds = 150;

TEST(SimulatedTrees, FindOutAModelThatIsWrong) {
  std::map<Fault, int> found;
  for (uint64_t seed = 1; seed <= kFewSeeds; ++seed) {
    const Tree tree = make_tree(seed);
    const Outcome outcome = Runner(tree).run(seed, {});
    for (const Fault fault : kFaults) {
      if (!compare(expect(tree, fault), outcome).empty()) ++found[fault];
    }
  }
  for (const Fault fault : kFaults) {
    std::printf("fault %d: found by %d seeds\n", static_cast<int>(fault), found[fault]);
    EXPECT_GT(found[fault], 0) << "fault " << static_cast<int>(fault);
  }
}

// What has happened since that snapshot happens twice then: bodies are done once more, and questions asked.
TEST(SimulatedTrees, FindOutAHostThatGoesOnFromAnOldSnapshot) {
  int found = 0;
  for (uint64_t seed = 1; seed <= kFewSeeds; ++seed) {
    const Tree tree = make_tree(seed);
    Cuts cuts;
    cuts.percent = 30;
    cuts.is_broken = true;
    if (!compare(expect(tree), Runner(tree).run(seed, cuts)).empty()) ++found;
  }
  std::printf("found by %d seeds\n", found);
  EXPECT_GT(found, 0);
}

}  // namespace

}  // namespace sim::trees
