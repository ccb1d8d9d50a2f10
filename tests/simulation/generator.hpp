// Random workflows, from a seed: what the steps are like, what each does with each event, and where a run is
// interrupted.
//
// Invariants: what a step does is a function of the seed, its index, the path of its event and its attempt,
// so that an invocation that runs again repeats itself. A path is never given to two events. Every workflow
// comes to an end.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simulation/random.hpp"
#include "support/blazen_test.hpp"

namespace sim {

enum class Live { none, kept, plain };

struct StepPlan {
  std::string name;
  std::vector<std::string> accepts;
  uint32_t concurrency_max = 0;
  uint32_t attempts_max = 1;
  int64_t delay_ms = 0;
  uint32_t jitter_percent = 0;
  std::vector<int64_t> only{}, never{};
  int64_t timeout_ms = 0;
  bool frees_permit = false;  // an abandoned one
  bool atomic = false;
  bool deferred = false;
  bool asks = false;        // the body is called again with the answer
  bool calls_back = false;  // a deferred one asks, and a callback gets the answer
  bool is_special = false;  // has a part of its own: start, finish, join, rescue, answered
  bool is_there = false;    // of the host B; else of A
};

struct Plan {
  uint64_t seed = 0;
  bool relaxed =
      false;  // its end does not depend on the order in which steps run, and it is served by two hosts
  std::vector<StepPlan> steps;
  std::vector<std::string> types;  // that the ordinary steps accept
  blazen_unhandled unhandled = BLAZEN_UNHANDLED_FAIL;
  blazen_idle idle = BLAZEN_IDLE_FAIL;
  blazen_session_on_pause session_on_pause = BLAZEN_SESSION_KEEP;
  blazen_session_policy policy = BLAZEN_SESSION_PICKLE_OR_ERROR;
  Live live = Live::none;
  int64_t timeout_ms = 0;
  int parts = 0;      // that the join waits for
  int externals = 0;  // events from outside, the last of which ends the run
  bool ends_late = true;
  int fails_percent = 0;
  int stops_percent = 0;
  int lost_percent = 0;
  int input_percent = 0;
  int diverges_percent = 0;
  int cancels_percent = 0;    // of the invocations that could go on: cancelled from outside instead
  int withdraws_percent = 0;  // of the questions
  int deadlines_percent = 0;  // of the questions that a body asks
  int handler_percent = -1;   // of the questions, which the input handler answers at once; -1: there is none
  int handler_fails_percent = 0;
  std::vector<std::pair<blazen_limit, uint64_t>> limits;

  bool has_limit(blazen_limit limit) const;
  bool is_dated() const { return timeout_ms == 0; }  // what a run has of its time is no date
};

inline constexpr int64_t kLate_ms = 10'000'000;
inline constexpr int64_t kFar_ms = 500'000;
// The key under which a join notes which part was the last.
inline constexpr const char* kJoinedBy = "joined.by";

struct Send {
  std::string type;
  std::string path;
  std::string step{};  // empty: to all
  int64_t delay_ms = 0;
  bool live = false;
};

enum class Fate { complete, fail, lose, abandon };

struct Behaviour {
  std::vector<Send> sends;  // while it runs
  int publishes = 0;
  int asks = 0;
  bool completes_when_answered = false;  // in the callback
  int sets = 0;
  bool counts = false;
  bool session = false;
  uint32_t failures = 0;  // that many attempts
  int64_t code = 0;
  int64_t retry_after_ms = -1;
  bool late_send = false;
  std::vector<Send> emits;
  int inputs = 0;
  bool inputs_named = true;
  bool stops = false;
  Fate fate = Fate::complete;
};

// Where a run is interrupted: before the logical tick of that number.
enum class Kind { pause, drain, snapshot, crash, inside, pause_snapshot, observe, dated, follow, abort };
inline constexpr int kKinds = static_cast<int>(Kind::abort);  // but abort

struct Interruption {
  int tick = 0;
  Kind kind = Kind::observe;
  int extra = 0;
};

const char* name_of(Kind kind);

Plan make_plan(uint64_t seed);
// Of which only the end is determined.
Plan make_relaxed_plan(uint64_t seed);
// What the input handler does with a question: answers at once, fails, or leaves it to somebody else.
enum class Handling { at_once, fail, later };
Handling handle(const Plan& plan, const std::string& prompt);
// Whether it is withdrawn instead of answered.
bool is_withdrawn(const Plan& plan, const std::string& prompt);
// What a body gives the question for a deadline; 0: none.
int64_t deadline_of(const Plan& plan, const std::string& prompt);
// What a step does with the event of that path.
Behaviour behave(const Plan& plan, size_t index, const std::string& path);
std::vector<Interruption> make_schedule(const Plan& plan, int ticks);

std::string text_of(const Plan& plan);
std::string text_of(const std::vector<Interruption>& schedule);

}  // namespace sim
