// Random workflows, interrupted at random moments, end as they do uninterrupted. BLAZEN_SEEDS (2,000) seeds
// from BLAZEN_FIRST_SEED (1) on; tools/simulate runs more.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "simulation/crowd.hpp"

namespace {

using sim::Interruption;
using sim::Plan;
using sim::Result;

std::string first_difference(const std::string& what, const std::vector<std::string>& a,
                             const std::vector<std::string>& b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string& left = i < a.size() ? a[i] : "(nothing)";
    const std::string& right = i < b.size() ? b[i] : "(nothing)";
    if (left != right)
      return what + " " + std::to_string(i) + ": uninterrupted '" + left + "', interrupted '" + right + "'";
  }
  return {};
}

std::vector<std::string> texts_of(const std::vector<bt::Item>& items) {
  std::vector<std::string> texts;
  for (const bt::Item& item : items) texts.push_back(item.type + "=" + item.value);
  return texts;
}

std::vector<std::string> entries_of(const nlohmann::json& table, bool is_relaxed) {
  std::vector<std::string> entries;
  for (const nlohmann::json& entry : table) {
    // Which part is the last one depends on the order.
    const bool is_joined = is_relaxed && entry[0] == sim::kJoinedBy;
    entries.push_back(entry[0].dump() + "=" + (is_joined ? "one of them" : entry[2].dump()));
  }
  return entries;
}

std::string compare(const Plan& plan, bool has_dates, Result& base, Result& other) {
  if (other.end.status == BLAZEN_ERROR_ABORTED) return {};
  std::string found;
  const auto same = [&](const std::string& what, std::vector<std::string> a, std::vector<std::string> b) {
    if (plan.relaxed) {
      std::sort(a.begin(), a.end());
      std::sort(b.begin(), b.end());
    }
    if (found.empty()) found = first_difference(what, a, b);
  };
  if (!plan.relaxed) same("log", base.log, other.log);
  same("completion", base.done, other.done);
  std::vector<std::string> a = texts_of(base.items), b = texts_of(other.items);
  if (plan.relaxed) {  // ids of questions depend on the order
    std::erase_if(a, [](const std::string& item) {
      return item.find("i") == 0 || item.find("InputRequest") != std::string::npos;
    });
    std::erase_if(b, [](const std::string& item) {
      return item.find("i") == 0 || item.find("InputRequest") != std::string::npos;
    });
  }
  same("item", a, b);
  same("outcome", {base.outcome}, {other.outcome});
  if (plan.live == sim::Live::plain) return found;
  if (base.last.size() < 25 || other.last.size() < 25)
    return found.empty() ? "the last snapshot is not read" : found;
  same("state", entries_of(base.last[10], plan.relaxed), entries_of(other.last[10], plan.relaxed));
  if (plan.session_on_pause == BLAZEN_SESSION_KEEP && plan.live == sim::Live::kept)
    same("session", entries_of(base.last[11], plan.relaxed), entries_of(other.last[11], plan.relaxed));
  const auto number = [](const Result& result, size_t i) { return result.last[7][i].dump(); };
  for (const size_t i : {0U, 1U, 3U})
    same("counter " + std::to_string(i), {number(base, i)}, {number(other, i)});
  if (!plan.relaxed && !has_dates) same("elapsed", {base.last[18][0].dump()}, {other.last[18][0].dump()});
  return found;
}

void keep_each_once(std::vector<std::string>& all) {
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
}

// The first bytes: of a run that was not started, so that both have one id.
std::string created(const Plan& plan) {
  bt::FakeClock clock;
  bt::Engine engine(bt::Way::pump, &clock);
  const bt::Workflow workflow = sim::Driver::build(plan, nullptr, 0);
  return bt::snapshot_bytes(bt::create(engine, workflow));
}

Result run(const Plan& plan, const std::vector<Interruption>& schedule, bool is_interrupted,
           const std::string& first) {
  sim::Objects objects;
  Result result = sim::Driver(plan, schedule, is_interrupted, objects).drive(first);
  result.end.result.reset();
  result.end.error.reset();
  if (result.problem.empty()) result.problem = objects.problem();
  if (result.problem.empty() && bt::Body::alive.load() != 0) result.problem = "a body was not dropped";
  return result;
}

bool has_dates(const Plan& plan, const std::vector<Interruption>& schedule) {
  return !plan.relaxed && std::any_of(schedule.begin(), schedule.end(),
                                      [](const Interruption& each) { return each.kind == sim::Kind::dated; });
}

// base: of no schedule. Where time passes by the schedule, it does so in what is compared too.
std::string check(const Plan& plan, const std::vector<Interruption>& schedule, const std::string& first,
                  Result& base, Result& other) {
  other = run(plan, schedule, true, first);
  if (!other.problem.empty()) return other.problem;
  if (!has_dates(plan, schedule)) return compare(plan, false, base, other);
  Result dated = run(plan, schedule, false, first);
  return dated.problem.empty() ? compare(plan, true, dated, other) : dated.problem;
}

// Empty, or what to print.
std::string simulate(uint64_t seed) {
  const Plan plan = sim::make_plan(seed);
  const std::string first = created(plan);
  const auto report = [&](const std::string& problem, const std::vector<Interruption>& schedule,
                          const Result& result) {
    std::string text =
        "seed " + std::to_string(seed) + ": " + problem + "\n" + sim::text_of(plan) + sim::text_of(schedule);
    for (const std::string& line : result.trace) text += "  " + line + "\n";
    return text;
  };
  Result base = run(plan, {}, false, first);
  if (!base.problem.empty()) return report(base.problem, {}, base);
  std::vector<Interruption> schedule = sim::make_schedule(plan, base.ticks);
  Result other;
  std::string problem = check(plan, schedule, first, base, other);
  if (problem.empty()) return {};
  for (size_t i = 0; i < schedule.size();) {
    std::vector<Interruption> fewer = schedule;
    fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
    Result result;
    const std::string still = fewer.empty() && !plan.relaxed ? "" : check(plan, fewer, first, base, result);
    if (still.empty()) {
      ++i;
      continue;
    }
    schedule = fewer;
    problem = still;
    other = std::move(result);
  }
  return report(problem, schedule, other);
}

// Several runs at once, each with its own uninterrupted run. Empty, or what to print.
std::string simulate_crowd(uint64_t seed, bool has_threads) {
  std::vector<Plan> plans;
  std::vector<std::string> first;
  for (uint64_t i = 0; i < 2 + seed % 3; ++i) {
    plans.push_back(sim::make_relaxed_plan(sim::mix(seed, 0xB, i)));
    first.push_back(created(plans.back()));
  }
  sim::Objects objects;
  std::vector<Result> results = sim::run_crowd(seed, has_threads, plans, first, objects);
  for (Result& result : results) {
    result.end.result.reset();
    result.end.error.reset();
  }
  sim::count(has_threads ? "runs with threads" : "runs in a crowd", plans.size());
  const auto report = [&](size_t i, const std::string& problem) {
    std::string text = "seed " + std::to_string(seed) + ", run " + std::to_string(i) + " of a crowd" +
                       (has_threads ? " with threads: " : ": ") + problem + "\n" + sim::text_of(plans[i]);
    for (const std::string& line : results[i].trace) text += "  " + line + "\n";
    return text;
  };
  for (size_t i = 0; i < plans.size(); ++i) {
    if (!results[i].problem.empty()) return report(i, results[i].problem);
  }
  if (const std::string problem = objects.problem(); !problem.empty()) return report(0, problem);
  for (size_t i = 0; i < plans.size(); ++i) {
    Result base = run(plans[i], {}, false, first[i]);
    if (has_threads) {  // what is rolled back with a snapshot nobody can tell
      for (Result* each : {&base, &results[i]}) keep_each_once(each->done);
    }
    const std::string problem =
        base.problem.empty() ? compare(plans[i], false, base, results[i]) : base.problem;
    if (!problem.empty()) return report(i, problem);
  }
  return bt::Body::alive.load() == 0 ? "" : "seed " + std::to_string(seed) + ": a body was not dropped\n";
}

std::string simulate_either(uint64_t seed) {
  if (seed % 20 == 0) return simulate_crowd(seed, false);
  if (seed % 50 == 7 && bt::has_threads()) return simulate_crowd(seed, true);
  return simulate(seed);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSeeds = 100;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kSeeds = 100;
#else
constexpr uint64_t kSeeds = 2000;
#endif
#else
constexpr uint64_t kSeeds = 2000;
#endif

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Everything that the generator can make.
const char* const kFeatures[] = {
    "abort",
    "answers after the handler has said PENDING",
    "answers by callback",
    "answers by default",
    "answers that a deferred body finds",
    "answers without room",
    "callbacks dropped uncalled",
    "cancelled for good",
    "cancelled while they are to be tried again",
    "cancelled, and tried again where it may be",
    "completions inside a callback",
    "completions inside a deferred body",
    "crash",
    "drain",
    "ended with BLAZEN_ERROR_ABORTED",
    "ended with BLAZEN_ERROR_HOST",
    "ended with BLAZEN_ERROR_LIMIT",
    "ended with BLAZEN_ERROR_NO_HANDLER",
    "ended with BLAZEN_ERROR_RUN_TIMEOUT",
    "ended with BLAZEN_ERROR_STALLED",
    "ended with BLAZEN_ERROR_STEP_FAILED",
    "ended with BLAZEN_ERROR_STEP_TIMEOUT",
    "ended with BLAZEN_OK",
    "follow",
    "followers of the lifecycle",
    "followers that hold",
    "gaps of a stream",
    "handed over",
    "held back",
    "inside",
    "invocations that run again",
    "items replayed",
    "lifecycle items",
    "limit of queued events",
    "limit of questions",
    "limit of session bytes",
    "limit of state bytes",
    "limit of step sends",
    "lost while they ask",
    "observe",
    "pause",
    "pause_snapshot",
    "pauses kept by a resume",
    "pauses in a crowd",
    "resumes in a crowd",
    "runs in a crowd",
    "questions handed out again",
    "resumes",
    "routed events",
    "instead_of",
    "send_changed",
    "send_diverged",
    "slow followers",
    "snapshot",
    "snapshots inside",
    "snapshots inside a callback",
    "snapshots inside the handler",
    "snapshots inside the handler, inside a body",
    "the handler answers at once",
    "the handler fails",
    "the handler says PENDING",
    "time has passed",
    "withdrawn questions",
    "withdrawn questions that a deferred body finds",
};

TEST(Simulation, InterruptedRunsEndAsUninterruptedOnes) {
  const uint64_t count = number_from("BLAZEN_SEEDS", kSeeds);
  const uint64_t first = number_from("BLAZEN_FIRST_SEED", 1);
  const uint64_t failures_max = number_from("BLAZEN_FAILURES", 1);
  uint64_t failures = 0;
  for (uint64_t i = 0; i < count && failures < failures_max; ++i) {
    const auto* const result = testing::UnitTest::GetInstance()->current_test_info()->result();
    const int before = result->total_part_count();
    const std::string problem = simulate_either(first + i);
    if (problem.empty() && result->total_part_count() == before) continue;
    if (problem.empty()) ADD_FAILURE() << "seed " << first + i;
    if (!problem.empty()) ADD_FAILURE() << problem;
    ++failures;
  }
  for (const auto& [name, times] : sim::tally().counts)
    std::printf("%s: %llu\n", name.c_str(), static_cast<unsigned long long>(times));
  constexpr uint64_t kEnough = 2000;  // from the first on, for each feature to occur
  if (first != 1 || count < kEnough || failures != 0) return;
  std::vector<const char*> features(std::begin(kFeatures), std::end(kFeatures));
  if (bt::has_threads()) features.insert(features.end(), {"runs with threads", "resumes with threads"});
  for (const char* feature : features)
    EXPECT_NE(sim::tally().counts[feature], 0U) << feature << ": it never occurs in " << count << " seeds";
}

}  // namespace
