#include "run/summary.hpp"

#include <string_view>
#include <vector>

namespace blazen {
namespace {

constexpr size_t kNamesMax = 8;  // the rest is counted

class Part {
 public:
  Part(std::string& text, std::string_view title) : text_(text), title_(title) {}
  void add(std::string_view name, uint64_t count) {
    if (++names_ > kNamesMax) {
      if (names_ == kNamesMax + 1) text_ += ", and more";
      return;
    }
    if (names_ == 1) {
      text_.append(text_.empty() ? "" : "; ").append(title_).append(": ");
    } else {
      text_ += ", ";
    }
    text_.append("'").append(name).append("'");
    if (count > 1) text_.append(" (").append(std::to_string(count)).append(")");
  }

 private:
  std::string& text_;
  std::string_view title_;
  size_t names_ = 0;
};

using Counts = std::vector<uint64_t>;

void add_steps(const RunState& state, const Counts& counts, std::string_view title, std::string& text) {
  Part part(text, title);
  for (StepIndex step = 0; step < counts.size(); ++step) {
    if (counts[step] != 0) part.add(state.workflow->steps()[step].name, counts[step]);
  }
}

template <class Queue>
void count(const Queue& queue, Counts& counts) noexcept {
  queue.walk([&](const Invocation* item) noexcept {
    ++counts[item->step];
    return true;
  });
}

}  // namespace

std::string summarize(const RunState& state) {
  std::string text;
  Counts counts(state.steps.size());
  const auto take = [&](std::string_view title) {
    add_steps(state, counts, title, text);
    counts.assign(counts.size(), 0);
  };
  count(state.in_flight, counts);
  count(state.interrupted, counts);
  for (const PoolState& pool : state.permitted.pools()) count(pool.interrupted, counts);
  count(rare_queues(state).interrupted_waiting, counts);
  take("in flight");
  count(state.ready, counts);
  for (const StepState& step : state.steps) {
    if (!step.queues) continue;
    count(step.queues->ready, counts);
    count(step.queues->waiting, counts);
  }
  take("queued");
  for (StepIndex step = 0; step < counts.size(); ++step) counts[step] = state.steps[step].abandoned;
  take("abandoned and still at work");
  for (const auto& [key, timer] : state.timers) {
    if (timer.invocation != nullptr) ++counts[timer.invocation->step];
  }
  take("to be tried again");
  count(rare_queues(state).parked, counts);
  count(rare_queues(state).interrupted_parked, counts);
  take("elsewhere");
  Part delayed(text, "delayed events");
  for (const auto& [key, timer] : state.timers) {
    if (timer.event) delayed.add(timer.event->type(), 1);
  }
  Part questions(text, "open questions");
  for (const Question& question : state.questions) questions.add(question.request->correlation(), 1);
  if (state.scopes) {
    for (const auto& [id, scope] : state.scopes->all()) {
      if (!scope->closed) ++counts[state.workflow->openers()[scope->opener].step];
    }
    take("open scopes of");
  }
  if (const std::string collects = summarize_collects(state); !collects.empty())
    text.append(text.empty() ? "" : "; ").append("collected: ").append(collects);
  return text.empty() ? "nothing" : text;
}

std::string summarize_collects(const RunState& state) {
  std::string text;
  size_t parts = 0;
  if (!state.collects) return text;
  for (const auto& [key, kinds] : state.collects->groups()) {
    for (const auto& [type, kind] : kinds) {
      if (++parts > kNamesMax) return text + ", and more";
      if (parts != 1) text += ", ";
      text.append("'").append(type).append("' ").append(std::to_string(kind.events.size()));
      text.append(" of ").append(std::to_string(kind.wanted)).append(" by '");
      text.append(state.workflow->steps()[key.step].name).append("'");
      if (!key.key.empty()) text.append(" under '").append(key.key).append("'");
    }
  }
  return text;
}

}  // namespace blazen
