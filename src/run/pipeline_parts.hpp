// A pipeline is a workflow that is written out of its stages. Of a stage S, with what was not asked for left out:
//
//   S::begin -> S::condition -> S::input -> S (a child, or several at once) -> S::until -> S::output -> S::end
//                    |                        ^________________________________|  once more: a loop
//                    |_________________ skipped __________________________________________^
//
// S::end hands on to the next stage, or ends the run. What begin, until and end do is the engine's (engine/part_bodies.cpp);
// the others are decisions of the host's, or runs of workflows: parts.hpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "run/workflow.hpp"

namespace blazen {

struct StageDefinition {
  std::string name;
  HostDefinition hosts;  // what it runs, and its decisions about that
  HostDefinition::Decision condition;
  HostDefinition::Decision until;
  uint32_t rounds_max = 0;  // of a loop; 0: it is none
  bool done_at_bound = false;
  int64_t timeout_ms = 0;
  RetryPolicy retry;
};

// What the parts of a stage, and who looks at a run, have to know of it.
struct Stage {
  std::string name;
  std::string result_key;  // as those below say
  std::string record_key;
  std::vector<std::string> branches;  // of several at once
  bool takes_first = false;
  uint32_t rounds_max = 0;
  bool done_at_bound = false;
  std::string next_type;  // of the event that begins the next one, or ends the run
};

// Where in the state a stage has its result, its branches theirs, and where it stands. Who is no engine writes no key with
// this prefix.
inline constexpr std::string_view kPipelinePrefix = "blazen/";
std::string result_key(std::string_view stage, std::string_view branch = {});
std::string record_key(std::string_view stage);
inline constexpr std::string_view kInputKey = "blazen/input";

// Empty, or what is wrong with a pipeline of these stages. Throws std::bad_alloc.
std::string find_bad_stages(const std::vector<StageDefinition>& stages);
// Both of as many. Throws std::bad_alloc.
std::vector<StepDefinition> write_out_stages(const std::vector<StageDefinition>& stages);
std::vector<Stage> stages_of(const std::vector<StageDefinition>& stages);

}  // namespace blazen
