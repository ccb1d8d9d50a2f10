// What the tests of pause, questions, time, retries and atomic steps share.
#pragma once

#include <nlohmann/json.hpp>

#include "support/blazen_test.hpp"

namespace bt {

using Json = nlohmann::json;

// The state that a wait with `until` ends with now; BLAZEN_RUN_NONE: it does not end.
inline blazen_run_state reached(blazen_run* run, uint32_t until) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  const blazen_status status = blazen_run_wait_until(run, until, 0, &state, nullptr);
  EXPECT_TRUE(status == BLAZEN_OK || status == BLAZEN_ERROR_TIMEOUT) << blazen_status_name(status);
  return status == BLAZEN_OK ? state : BLAZEN_RUN_NONE;
}

inline std::string questions_text(const blazen_run* run) {
  Value list;
  MUST(blazen_run_questions(run, list.out(), e));
  return data_of(list);
}
inline Json questions_of(const blazen_run* run) { return Json::parse(questions_text(run)); }
// The ids of the open questions, with commas between.
inline std::string open_ids(const blazen_run* run) {
  std::string ids;
  for (const Json& question : questions_of(run))
    ids += (ids.empty() ? "" : ",") + question.at("request_id").get<std::string>();
  return ids;
}

inline Json describe_run(const blazen_run* run) {
  Value description;
  MUST(blazen_run_describe(run, description.out(), e));
  return Json::parse(data_of(description));
}

inline blazen_status respond(blazen_run* run, std::string_view id, std::string_view answer = "null") {
  return blazen_run_respond(run, id.data(), id.size(), json(answer), nullptr);
}

// What on_state callbacks were told, and how often each was dropped.
struct Told {
  std::mutex lock;
  std::vector<blazen_run_state> states;
  std::atomic<int> drops{0};
  std::function<void(blazen_run*)> then;

  static void call(void* self, blazen_run* run, blazen_run_state state) {
    auto* told = static_cast<Told*>(self);
    {
      std::lock_guard guard(told->lock);
      told->states.push_back(state);
    }
    if (told->then) told->then(run);
  }
  static void drop(void* self) { static_cast<Told*>(self)->drops.fetch_add(1); }
  std::vector<blazen_run_state> all() {
    std::lock_guard guard(lock);
    return states;
  }
  void wait_for(blazen_run* run, uint32_t until) {
    MUST(blazen_run_on_state(run, until, call, this, drop, e));
  }
};

using States = std::vector<blazen_run_state>;

// Engine::until for a run of which nobody has a handle.
inline bool until_without_run(Engine& engine, const std::function<bool()>& done) {
  if (engine.way() != Way::waiter) return engine.until(nullptr, done);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  }
  return true;
}

inline blazen_status send_in(blazen_run* run, int64_t delay_ms, std::string_view type,
                             std::string_view text = "null", std::string_view step = {}) {
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.delay_ms = delay_ms;
  options.step = step.data();
  options.step_length = step.size();
  return blazen_run_send_event(run, event(type, text), &options, nullptr);
}

}  // namespace bt
