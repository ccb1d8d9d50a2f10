// A random tree of workflows: steps that are workflows, several of them at once, fan-outs of them, and pipelines, within one
// another; and what each of their bodies does. A function of the seed.
//
// A flow is a workflow: parts one behind the other, each of which takes a value and gives one, or fails. Values are JSON
// texts: what a body gives is a digest of what it was given, so that nothing can be lost, doubled or mistaken unseen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simulation/random.hpp"

namespace sim::trees {

inline constexpr uint32_t kAlways = UINT32_MAX;
inline constexpr int64_t kNeverReached_ms = 1'000'000;

// What a body does before it gives what it gives.
struct Work {
  size_t id = 0;            // of all the bodies of the tree
  uint32_t failures = 0;    // so many of its runs fail, for each input
  bool fails_late = false;  // after it has the answer to its question
  bool asks = false;
  bool is_by_default = false;  // nobody answers but the deadline
  int64_t after_ms = 0;        // so long after it has asked, the answer comes
  int64_t delay_ms = 0;        // of a step: what it gives comes so much later
  int64_t spread_ms = 0;       // and, by what it is, up to so much later than that
  bool is_silent = false;      // of a step: it gives nothing
  bool is_deferred = false;    // the host completes it, a while later in the same moment
};

struct Retry {
  uint32_t attempts = 1;
  int64_t delay_ms = 0;
};

enum class Kind {
  leaf,      // a step with a body
  child,     // a step that is a flow; in a pipeline, a stage
  children,  // several at once
  fan,       // a step that sends many, a step for each of them, and a join
  again      // a step with a body, which gives to a run of the whole flow again, or to what comes behind
};

struct Part {
  Kind kind = Kind::leaf;
  Work work;                  // of a leaf, or again; of a fan: of the step that sends
  std::vector<size_t> flows;  // of a child: one
  bool first_success = false;
  Retry retry;
  int64_t timeout_ms = 0;
  std::optional<Work> input, output;     // mappers
  std::optional<Work> condition, until;  // of a stage
  uint32_t rounds = 0;                   // of a loop: at most
  bool done_at_bound = false;
  size_t width = 0;          // of a fan
  std::vector<Part> items;   // of a fan: the one step that takes what is sent
  uint32_t concurrency = 0;  // of that
  uint32_t wanted = 0;       // that the join waits for; 0: all
  bool is_ordered = false;
  bool is_far = false;  // the other process has it not: the step, its decisions, its branches
};

// What takes the failures of the steps of a flow.
enum class Rescue {
  none,
  stops,
  gives
};  // gives: to the join where an item has failed; else it ends the flow

struct Flow {
  bool is_pipeline = false;
  std::vector<Part> parts;
  Rescue rescue = Rescue::none;
  int64_t timeout_ms = 0;
};

struct Tree {
  std::vector<Flow> flows;  // the last one is the top
  std::vector<Work> works;  // by their ids
  bool travels = false;
  bool asks = false;
  bool has_timeouts = false;
};

Tree make_tree(uint64_t seed);
std::string say(const Tree& tree);

// ---- what bodies give ----

inline std::string digest(uint64_t salt, const std::string& text) {
  return std::to_string(mix_text(salt, text) >> 12);
}
inline std::string given(const Work& work, const std::string& input, const std::string& answer) {
  return digest(work.id, input + answer);
}
inline int64_t delay_of(const Work& work, const std::string& value) {
  if (work.spread_ms == 0) return work.delay_ms;
  return work.delay_ms + static_cast<int64_t>(std::stoull(value) % static_cast<uint64_t>(work.spread_ms));
}
inline std::string prompt_of(const Work& work, const std::string& input) {
  return std::to_string(work.id) + " " + digest(1001, input);
}
inline std::string answer_to(const std::string& prompt) { return digest(1002, prompt); }
inline constexpr const char* kDefaultAnswer = "\"by default\"";
inline std::string item_of(const std::string& value, size_t at) { return digest(2000 + at, value); }
inline std::string joined(const std::string& values) { return digest(1003, values); }
// cause: what the body that has failed says of it, a digest of what it was given; empty: no body has.
inline std::string cause_of(const std::string& input) { return digest(1005, input); }
inline std::string rescued(int64_t code, const std::string& cause) {
  return digest(1004, std::to_string(code) + cause);
}
inline int64_t code_of(const Work& work) { return static_cast<int64_t>(work.id) + 1; }
// What a step of Kind::again makes of what it has given.
inline bool goes_again(const std::string& value) { return std::stoull(value) % 3 == 0; }
// What decisions make of what is given.
inline std::string condition_of(const std::string& value) {
  return std::stoull(value) % 3 == 0 ? "false" : "true";
}
inline std::string until_of(const std::string& value) {
  const uint64_t number = std::stoull(value) % 8;
  return number == 0 ? "\"fail\"" : number < 3 ? "\"done\"" : "\"again\"";
}

}  // namespace sim::trees
