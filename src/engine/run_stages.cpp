// Where the stages of a pipeline stand: a copy under the lock, and the words outside it.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "codec/json_members.hpp"
#include "engine/run.hpp"
#include "run/json_writer.hpp"
#include "run/pipeline_parts.hpp"

namespace blazen {
namespace {

const char* tag_word(Tag tag) noexcept {
  switch (tag) {
    case Tag::json: return "json";
    case Tag::bytes: return "bytes";
    case Tag::native: return "native";
    case Tag::live: return "live";
    case Tag::none: return "none";
  }
  return "none";
}

Ref<Value> find_in(const Ref<KeyTable>& table, std::string_view key) noexcept {
  const KeyTable::Entry* entry = table ? table->find(key) : nullptr;
  return entry == nullptr ? nullptr : entry->value;
}

// Whether an invocation of the step is open.
bool is_open(const RunState& state, StepIndex step) noexcept {
  const StepState& its = state.steps[step];
  if (its.admitted != 0 || its.parked != 0 || (its.queues && !its.queues->waiting.empty())) return true;
  return std::any_of(state.timers.begin(), state.timers.end(), [step](const auto& timer) {
    return timer.second.invocation != nullptr && timer.second.invocation->step == step;
  });
}

// What the state has of a stage.
struct StagePicture {
  Ref<Value> record;
  Tag tag = Tag::none;
  std::vector<bool> open;  // of its branches
};

// As it stands there; empty: there is none. A snapshot may say anything in the place of a record.
std::string_view member_of(const Value& record, std::string_view name) {
  return record.tag() == Tag::json ? find_json_member(record.data(), name) : std::string_view();
}

// The word, without its quotes; of a run that has ended, a stage that was running has ended with it.
std::string_view status_of_stage(const StagePicture& stage, Phase phase) {
  if (!stage.record) return "pending";
  const std::string_view word = member_of(*stage.record, "status");
  for (const std::string_view known : {"pending", "skipped", "completed"}) {
    if (word.size() == known.size() + 2 && word.substr(1, known.size()) == known) return known;
  }
  if (phase <= Phase::running) return "running";
  return phase == Phase::failed ? "failed" : "cancelled";
}

std::string_view status_of_branch(const Stage& stage, const StagePicture& picture, size_t place,
                                  std::string_view status) {
  if (status == "pending" || status == "skipped") return status;
  if (status == "running" && picture.open[place]) return status;
  const std::string_view winner = member_of(*picture.record, "branch");
  if (!stage.takes_first) return status == "completed" || status == "running" ? "completed" : "cancelled";
  if (winner == nlohmann::json(stage.branches[place]).dump()) return "completed";
  return status == "running" && winner.empty() ? "failed" : "cancelled";
}

}  // namespace

Result<std::string> Run::stages() const {
  const std::vector<Stage>& stages = workflow().stages();
  if (stages.empty())
    return Error::make(Status::wrong_state, "run: workflow '" + workflow().name() + "' is no pipeline");
  std::vector<StagePicture> pictures(stages.size());
  Phase phase = Phase::created;
  {
    Guard guard(lock());
    phase = state().phase;
    for (size_t i = 0; i < stages.size(); ++i) {
      pictures[i].record = find_in(state().state, stages[i].record_key);
      const std::string& key = stages[i].result_key;
      Ref<Value> result = find_in(state().state, key);
      if (!result) result = find_in(state().session, key);
      if (result) pictures[i].tag = result->tag();
      for (const std::string& branch : stages[i].branches) {
        const StepIndex step = workflow().find_step(branch_step_name(stages[i].name, branch));
        pictures[i].open.push_back(phase == Phase::running && is_open(state(), step));
      }
    }
  }
  uint64_t behind = 0;
  JsonWriter json;
  json.open('{');
  json.key("stages");
  json.open('[');
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string_view status = status_of_stage(pictures[i], phase);
    behind += status == "completed" || status == "skipped" ? 1 : 0;
    json.open('{');
    json.member("name", stages[i].name);
    json.member("status", status);
    if (pictures[i].record) {
      for (const char* name : {"round", "branch", "started_ms", "took_ms"}) {
        const std::string_view member = member_of(*pictures[i].record, name);
        if (member.empty()) continue;
        json.key(name);
        json.raw(member);
      }
    }
    json.member("tag", tag_word(status == "completed" ? pictures[i].tag : Tag::none));
    if (!stages[i].branches.empty()) {
      json.key("branches");
      json.open('[');
      for (size_t place = 0; place < stages[i].branches.size(); ++place) {
        json.open('{');
        json.member("name", stages[i].branches[place]);
        json.member("status", status_of_branch(stages[i], pictures[i], place, status));
        json.close('}');
      }
      json.close(']');
    }
    json.close('}');
  }
  json.close(']');
  json.count("current", behind);
  json.count("total", stages.size());
  const uint64_t hundredths = behind * 10000 / stages.size();  // of a percent
  json.fraction("percent", static_cast<double>(hundredths) / 100);
  json.close('}');
  return json.take();
}

}  // namespace blazen
