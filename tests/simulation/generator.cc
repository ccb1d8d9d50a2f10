#include "simulation/generator.hpp"

#include <algorithm>

namespace sim {

bool Plan::has_limit(blazen_limit limit) const {
  return std::any_of(limits.begin(), limits.end(), [&](const auto& each) { return each.first == limit; });
}

// One that some runs come to, and some do not.
static void choose_limit(Rng& rng, Plan& plan) {
  const auto bound = [&](int low, int high) { return static_cast<uint64_t>(rng.from_to(low, high)); };
  switch (rng.below(5)) {
    case 0:
      // Where an answer has no room, the handler would be asked again after a resume, and never without one.
      if (plan.externals != 0 || plan.handler_percent >= 0) return;
      plan.input_percent *= 5;
      plan.limits.emplace_back(BLAZEN_LIMIT_QUEUED_EVENTS,
                               behave(plan, 0, "start").emits.size() + bound(0, 2));
      break;
    case 1: plan.limits.emplace_back(BLAZEN_LIMIT_STATE_BYTES, bound(100, 1500)); break;
    case 2:
      // What a pause or a snapshot has dropped has room again.
      if (plan.live != Live::kept || plan.session_on_pause != BLAZEN_SESSION_KEEP) return;
      plan.limits.emplace_back(BLAZEN_LIMIT_SESSION_BYTES, bound(10, 100));
      break;
    case 3: plan.limits.emplace_back(BLAZEN_LIMIT_STEP_SENDS, bound(1, 3)); break;
    default:
      for (StepPlan& step : plan.steps) step.calls_back = false;
      plan.limits.emplace_back(BLAZEN_LIMIT_QUESTIONS, bound(1, 2));
  }
}

static Plan make_plan(uint64_t seed, int relaxed_percent) {
  Rng rng(mix(seed, 1));
  Plan plan;
  plan.seed = seed;
  plan.relaxed = rng.percent(relaxed_percent);
  const bool strict = !plan.relaxed;
  const int types = rng.from_to(1, 4);
  for (int i = 0; i < types; ++i) plan.types.push_back("T" + std::to_string(i));
  plan.steps.push_back({.name = "start", .accepts = {BLAZEN_START_EVENT}, .is_special = true});
  const int count = rng.from_to(types, types + 3);
  for (int i = 0; i < count; ++i) {
    StepPlan step{.name = "s" + std::to_string(i), .accepts = {plan.types[static_cast<size_t>(i % types)]}};
    if (types > 1 && rng.percent(15))
      step.accepts.push_back(plan.types[static_cast<size_t>((i + 1) % types)]);
    if (rng.percent(50)) step.concurrency_max = static_cast<uint32_t>(rng.from_to(1, 3));
    if (rng.percent(40)) {
      step.attempts_max = static_cast<uint32_t>(rng.from_to(2, 4));
      step.delay_ms = rng.percent(30) ? 0 : rng.from_to(1, 4) * 50;
      step.jitter_percent = rng.percent(40) ? 50 : 0;
      if (rng.percent(20)) step.only = {1, 2, 3};
      if (rng.percent(20)) step.never = {3};
    }
    step.atomic = rng.percent(25);
    step.deferred = rng.percent(30);
    step.asks = !step.deferred && rng.percent(20);
    step.calls_back = step.deferred && rng.percent(35);
    if (rng.percent(step.deferred ? 40 : 10)) step.timeout_ms = rng.from_to(1, 6) * 50;
    step.frees_permit = mix(plan.seed, 3, static_cast<uint64_t>(i)) % 3 == 0;
    step.is_there = rng.percent(50);
    plan.steps.push_back(step);
  }
  plan.parts = rng.percent(40) ? rng.from_to(2, 5) : 0;
  if (plan.parts > 0) {
    plan.steps.push_back({.name = "join",
                          .accepts = {"Part"},
                          .concurrency_max = static_cast<uint32_t>(rng.from_to(0, 2)),
                          .is_special = true,
                          .is_there = rng.percent(50)});
  }
  plan.fails_percent = rng.percent(50) ? 25 : 0;
  if (rng.percent(plan.relaxed ? 0 : 50)) {
    plan.steps.push_back({.name = "rescue", .accepts = {BLAZEN_STEP_FAILED_EVENT}, .is_special = true});
    plan.fails_percent = 30;
  }
  if (rng.percent(40)) {
    plan.input_percent = 20;
    plan.steps.push_back({.name = "answered",
                          .accepts = {BLAZEN_INPUT_RESPONSE_EVENT},
                          .concurrency_max = static_cast<uint32_t>(rng.from_to(0, 1)),
                          .is_special = true});
  }
  plan.steps.push_back({.name = "finish", .accepts = {"Finish"}, .is_special = true});
  if (rng.percent(50)) {
    plan.unhandled = rng.percent(70) ? BLAZEN_UNHANDLED_STREAM : BLAZEN_UNHANDLED_IGNORE;
    plan.lost_percent = 15;
  } else if (strict && rng.percent(10)) {
    plan.lost_percent = 3;
  }
  if (strict && rng.percent(25)) {
    plan.idle = BLAZEN_IDLE_WAIT;
    plan.externals = rng.from_to(1, 4);
    plan.ends_late = false;
  }
  if (strict && plan.externals == 0 && rng.percent(30)) plan.ends_late = false;  // it will stall
  if (strict && rng.percent(25)) plan.stops_percent = 8;
  if (strict && rng.percent(15)) plan.timeout_ms = rng.from_to(1, 20) * 100;
  if (strict && rng.percent(10)) plan.diverges_percent = 30;
  if (rng.percent(60)) plan.live = strict && rng.percent(25) ? Live::plain : Live::kept;
  if (plan.live == Live::plain)
    plan.policy = rng.percent(50) ? BLAZEN_SESSION_PICKLE_OR_ERROR : BLAZEN_SESSION_PICKLE_OR_SERIALIZE;
  if (rng.percent(15)) plan.session_on_pause = BLAZEN_SESSION_CLEAR;
  if (rng.percent(30)) {
    plan.handler_percent = rng.below(3) * 50;
    if (strict && rng.percent(20)) plan.handler_fails_percent = 10;
  }
  if (strict && rng.percent(25)) choose_limit(rng, plan);
  if (rng.percent(20)) plan.limits.emplace_back(BLAZEN_LIMIT_STREAM_RETAINED, rng.below(6));
  // From a seed of their own, so that what is above stays the same.
  Rng outside(mix(seed, 4));
  if (strict && outside.percent(20)) plan.cancels_percent = 25;
  if (strict && outside.percent(20)) plan.withdraws_percent = 30;
  if (strict && outside.percent(20)) plan.deadlines_percent = 50;
  return plan;
}

Plan make_plan(uint64_t seed) { return make_plan(seed, 25); }

Plan make_relaxed_plan(uint64_t seed) {
  Plan plan = make_plan(seed, 100);
  // Two of them at once are a conflict when the second one completes.
  for (StepPlan& step : plan.steps) step.atomic = false;
  return plan;
}

static int depth_of(const std::string& path) {
  int depth = 0;
  for (const char c : path) depth += c == '/' ? 1 : 0;
  return depth;
}

Behaviour behave(const Plan& plan, size_t index, const std::string& path) {
  const StepPlan& step = plan.steps[index];
  Rng rng(mix(mix_text(plan.seed, path), index, 7));
  Behaviour b;
  const int depth = depth_of(path);
  int child = 0;
  const auto make = [&](bool may_be_live) {
    const size_t type = static_cast<size_t>(rng.below(static_cast<int>(plan.types.size())));
    Send send{plan.types[type], path + "/" + std::to_string(index) + ":" + std::to_string(child++), "", 0,
              false};
    if (rng.percent(20)) {
      for (const StepPlan& other : plan.steps) {
        for (const std::string& accepted : other.accepts) {
          if (accepted == send.type && (send.step.empty() || rng.percent(50))) send.step = other.name;
        }
      }
    } else if (rng.percent(plan.lost_percent)) {
      send.type = "Lost";
    }
    if (rng.percent(25)) send.delay_ms = rng.from_to(1, 4) * 50;
    send.live = may_be_live && plan.live == Live::kept && rng.percent(25);
    return send;
  };
  if (step.name == "start") {
    const int count = rng.from_to(1, 4);
    for (int i = 0; i < count; ++i) b.emits.push_back(make(true));
    for (int i = 0; i < plan.parts; ++i)
      b.emits.push_back({"Part", "part" + std::to_string(i), "", rng.percent(30) ? 100 : 0, false});
    if (plan.ends_late) b.emits.push_back({"Finish", "late", "", kLate_ms, false});
    return b;
  }
  if (step.is_special) {
    b.sets = 1;
    return b;
  }
  if (depth < 3) {
    const int width = depth < 2 ? 2 : 1;
    if (rng.percent(35)) b.sends.push_back(make(false));
    if (rng.percent(10)) b.sends.push_back(make(false));
    const int emits = rng.below(width + 1);
    for (int i = 0; i < emits; ++i) b.emits.push_back(make(true));
    b.late_send = step.deferred && rng.percent(30);
  }
  b.publishes = rng.percent(30) ? rng.from_to(1, 2) : 0;
  b.asks = (step.asks || step.calls_back) && rng.percent(60) ? rng.from_to(1, 2) : 0;
  b.completes_when_answered = step.calls_back && rng.percent(50);
  b.sets = rng.from_to(0, 2);
  b.counts = step.atomic && rng.percent(60);
  b.session = plan.live != Live::none && rng.percent(40);
  b.code = rng.from_to(1, 4);
  if (rng.percent(plan.fails_percent)) {
    b.failures = static_cast<uint32_t>(rng.from_to(1, 4));
    // In a relaxed one, each comes through in the end.
    if (plan.relaxed) {
      b.failures = std::min(b.failures, step.attempts_max - 1);
      b.code = 1;
    }
    if (rng.percent(30)) b.retry_after_ms = rng.below(3) * 40;
  }
  if (plan.input_percent > 0 && rng.percent(plan.input_percent)) b.inputs = rng.from_to(1, 2);
  b.inputs_named = plan.relaxed || rng.percent(50);
  b.stops = rng.percent(plan.stops_percent);
  if (step.deferred && !plan.relaxed && rng.percent(15))
    b.fate = step.timeout_ms > 0 ? Fate::abandon : Fate::lose;
  return b;
}

Handling handle(const Plan& plan, const std::string& prompt) {
  const uint64_t h = mix_text(plan.seed ^ 0xA5, prompt);
  if ((h >> 32) % 100 < static_cast<uint64_t>(plan.handler_fails_percent)) return Handling::fail;
  return static_cast<int>(h % 100) < plan.handler_percent ? Handling::at_once : Handling::later;
}

bool is_withdrawn(const Plan& plan, const std::string& prompt) {
  return static_cast<int>(mix_text(plan.seed ^ 0xB6, prompt) % 100) < plan.withdraws_percent;
}

int64_t deadline_of(const Plan& plan, const std::string& prompt) {
  const uint64_t h = mix_text(plan.seed ^ 0xC7, prompt);
  if (static_cast<int>(h % 100) >= plan.deadlines_percent) return 0;
  return static_cast<int64_t>(1 + (h >> 32) % 4) * 60;
}

const char* name_of(Kind kind) {
  static const char* const kNames[] = {"pause",          "drain",   "snapshot", "crash",  "inside",
                                       "pause_snapshot", "observe", "dated",    "follow", "abort"};
  return kNames[static_cast<int>(kind)];
}

std::vector<Interruption> make_schedule(const Plan& plan, int ticks) {
  Rng rng(mix(plan.seed, 2));
  std::vector<Interruption> schedule;
  const int count = rng.from_to(1, 6);
  for (int i = 0; i < count; ++i)
    schedule.push_back({rng.below(ticks + 1), static_cast<Kind>(rng.below(kKinds)), rng.below(8)});
  if (rng.percent(10)) schedule.push_back({rng.below(ticks + 1), Kind::abort, 0});
  // Stable; std::stable_sort is one that clang warns of in this standard library.
  const auto by_tick = [](const auto& a, const auto& b) { return a.tick < b.tick; };
  for (auto at = schedule.begin(); at != schedule.end(); ++at)
    std::rotate(std::upper_bound(schedule.begin(), at, *at, by_tick), at, at + 1);
  return schedule;
}

std::string text_of(const Plan& plan) {
  std::string text =
      "workflow: " + std::string(plan.relaxed ? "relaxed" : "strict") + ", unhandled " +
      std::to_string(plan.unhandled) + ", idle " + std::to_string(plan.idle) + ", policy " +
      std::to_string(plan.policy) + ", live " + std::to_string(static_cast<int>(plan.live)) + ", timeout " +
      std::to_string(plan.timeout_ms) + ", session on pause " + std::to_string(plan.session_on_pause) +
      ", externals " + std::to_string(plan.externals) + ", handler " + std::to_string(plan.handler_percent) +
      ", cancels " + std::to_string(plan.cancels_percent) + ", withdraws " +
      std::to_string(plan.withdraws_percent) + ", deadlines " + std::to_string(plan.deadlines_percent) + "\n";
  for (const auto& [limit, bound] : plan.limits)
    text += "  limit " + std::to_string(limit) + ": " + std::to_string(bound) + "\n";
  for (const StepPlan& step : plan.steps) {
    text += "  step " + step.name + " <-";
    for (const std::string& type : step.accepts) text += " " + type;
    if (step.concurrency_max != 0) text += ", at most " + std::to_string(step.concurrency_max);
    if (step.attempts_max > 1)
      text += ", attempts " + std::to_string(step.attempts_max) + " after " + std::to_string(step.delay_ms) +
              " ms, jitter " + std::to_string(step.jitter_percent) +
              (step.only.empty() ? "" : ", only 1 2 3") + (step.never.empty() ? "" : ", never 3");
    if (step.timeout_ms != 0) text += ", time-out " + std::to_string(step.timeout_ms);
    if (step.timeout_ms != 0 && step.frees_permit) text += ", frees its permit then";
    if (step.atomic) text += ", atomic";
    if (step.deferred) text += ", deferred";
    if (step.asks) text += ", asks";
    if (step.calls_back) text += ", asks with a callback";
    if (plan.relaxed) text += step.is_there ? ", of B" : ", of A";
    text += "\n";
  }
  return text;
}

std::string text_of(const std::vector<Interruption>& schedule) {
  std::string text = "schedule:";
  for (const Interruption& at : schedule)
    text +=
        std::string(" ") + name_of(at.kind) + "(" + std::to_string(at.extra) + ")@" + std::to_string(at.tick);
  return text + "\n";
}

}  // namespace sim
