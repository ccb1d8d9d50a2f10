// Random trees of scopes, whose joins must get what a model says that shares nothing with the engine: it knows of no event,
// scope or tick, but of what each node of the tree does, and when.
//
// Children answer not at all, once or thrice, late, after retries, after a question (answered, withdrawn, or by default), or
// in another process; they fail, or are cancelled wherever they are, and are handled; bodies collect; deadlines pass; the
// outside sends into open scopes, and is refused by others; openers stand within openers; a run is paused, and cut, and goes
// on from its snapshot at any moment.
//
// BLAZEN_JOIN_SEEDS (2,000, or BLAZEN_SEEDS where that is more) trees from BLAZEN_FIRST_SEED (1) on.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "simulation/joins_model.hpp"
#include "simulation/joins_run.hpp"
#include "simulation/last_words.hpp"
#include "simulation/tally.hpp"

namespace {

using sim::joins::Expected;
using sim::joins::Outcome;
using sim::joins::Tree;

// Everything that the trees can do.
const char* const kJoinFeatures[] = {
    "answers by callback in a scope",
    "answers by default in a scope",
    "cancelled joins",
    "cancelled while they back off in a scope",
    "cancelled while they wait in a scope",
    "cancelled where they were parked",
    "cut inside a body",
    "deferred in a scope",
    "groups collected in a scope",
    "joins failed by a deadline",
    "joins invoked by: a deadline",
    "joins invoked by: complete",
    "joins invoked by: condition",
    "joins invoked by: short",
    "journeys to the other process",
    "late events",
    "late events counted",
    "leaps of time",
    "pauses in a scope",
    "questions of a body withdrawn in a scope",
    "questions of an event withdrawn in a scope",
    "refused by a scope that is over",
    "refused from outside",
    "resumed from a pause in a scope",
    "second joins of a scope",
    "sent from outside into a scope",
    "time has passed between two processes",
};

// Empty, or how the outcome is another one.
std::string compare(const Expected& expected, const Outcome& outcome) {
  if (expected.is_open) sim::count("trees of which the model does not tell");
  if (outcome.leapt) sim::count("leaps of time");
  if (!outcome.problem.empty() || expected.is_open || outcome.leapt) return outcome.problem;
  if (outcome.root != expected.root)
    return "the root has " + outcome.root + "\n  instead of " + expected.root;
  if (!outcome.late || !expected.late) return {};
  sim::count("late events", *outcome.late);
  sim::count("late events counted");
  if (*outcome.late == *expected.late) return {};
  return std::to_string(*outcome.late) + " events came late, and not " + std::to_string(*expected.late);
}

std::string how_to_repeat(uint64_t seed) {
  return "again: BLAZEN_JOIN_SEEDS=1 BLAZEN_FIRST_SEED=" + std::to_string(seed) +
         " build/simulate/tests/simulation_tests --gtest_filter=SimulatedJoins.*\n";
}

constexpr uint64_t kUncut = 6;  // one in so many trees is run without cuts, too

// Empty, or what to print.
std::string simulate_tree(sim::joins::Machine& machine, uint64_t seed) {
  const Tree tree = sim::joins::make_tree(seed);
  const Expected expected = sim::joins::expect(tree);
  sim::joins::Runner runner(machine, tree);
  for (const bool cuts : {false, true}) {
    if (!cuts && seed % kUncut != 0) continue;
    const std::string problem = compare(expected, runner.run(seed, cuts));
    if (problem.empty()) continue;
    std::string trace;
    (void)runner.run(seed, cuts, &trace);
    const std::string uncut = !cuts ? "" : compare(expected, runner.run(seed, false));
    return "tree " + std::to_string(seed) + (cuts ? ", cut: " : ": ") + problem + "\n" +
           (cuts ? uncut.empty() ? "(uncut, it is right)\n" : "(uncut, it is wrong too)\n" : "") +
           sim::joins::say(tree) + trace + how_to_repeat(seed);
  }
  return {};
}

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(SimulatedJoins, GetWhatTheModelSays) {
  constexpr uint64_t kEnough = 2000;  // from the first on, for each feature to occur
  const uint64_t seeds =
      number_of("BLAZEN_JOIN_SEEDS", std::max(kEnough, number_of("BLAZEN_SEEDS", kEnough)));
  const uint64_t first = number_of("BLAZEN_FIRST_SEED", 1);
  const uint64_t failures_max = number_of("BLAZEN_FAILURES", 1);
  sim::joins::Machine machine;
  const sim::LastWords last_words;
  uint64_t failures = 0;
  for (uint64_t i = 0; i < seeds && failures < failures_max; ++i) {
    const auto* const result = testing::UnitTest::GetInstance()->current_test_info()->result();
    const int before = result->total_part_count();
    sim::LastWords::set("tree " + std::to_string(first + i) + " ends the process; " +
                        how_to_repeat(first + i));
    const std::string problem = simulate_tree(machine, first + i);
    if (problem.empty() && result->total_part_count() == before) continue;
    ADD_FAILURE() << (problem.empty() ? "tree " + std::to_string(first + i) + "; " + how_to_repeat(first + i)
                                      : problem);
    ++failures;
  }
  for (const auto& [name, times] : sim::tally().counts)
    std::printf("%s: %llu\n", name.c_str(), static_cast<unsigned long long>(times));
  if (first != 1 || seeds < kEnough || failures != 0) return;
  for (const char* feature : kJoinFeatures)
    EXPECT_NE(sim::tally().counts[feature], 0U) << feature << ": it never occurs in " << seeds << " trees";
}

}  // namespace
