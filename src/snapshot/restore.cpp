#include "snapshot/restore.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/uuid.hpp"
#include "run/reduce.hpp"

namespace blazen {
namespace {

std::string in_quotes(std::string_view text) { return std::string("'").append(text).append("'"); }

// How many invocations of each step are queued or in flight.
std::vector<uint64_t> count_work(const SnapshotDocument& document) {
  std::vector<uint64_t> work(document.steps.size());
  for (const SnapshotDocument::InFlight& item : document.in_flight) ++work[item.work.step];
  for (const SnapshotDocument::Queued& item : document.queued) ++work[item.step];
  return work;
}

// ---------------------------------------------------------------------------------- may it be restored?

Ref<Error> mismatch(const SnapshotDocument& document, const std::string& why) {
  return Error::make(Status::snapshot_mismatch,
                     "the snapshot of workflow " + in_quotes(document.workflow) + " " + why);
}

// The steps of the document in the workflow, by their names; kNoStep: it lacks the step.
std::vector<StepIndex> find_steps(const SnapshotDocument& document, const Workflow& workflow) {
  std::vector<StepIndex> steps;
  steps.reserve(document.steps.size());
  for (const std::string_view name : document.steps) steps.push_back(workflow.find_step(name));
  return steps;
}

Ref<Error> check_needed_steps(const SnapshotDocument& document, const std::vector<StepIndex>& steps) {
  const std::vector<uint64_t> work = count_work(document);
  std::string lacking;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] != kNoStep || work[i] == 0) continue;
    if (!lacking.empty()) lacking += ", ";
    lacking += in_quotes(document.steps[i]) + " (" + std::to_string(work[i]) +
               (work[i] == 1 ? " event waits for it)" : " events wait for it)");
  }
  if (lacking.empty()) return nullptr;
  return mismatch(document, "needs steps that this workflow lacks: " + lacking +
                                "; add them, with their bodies or as steps elsewhere");
}

// The fingerprint is over the steps; comparing their names as well finds a document that was altered.
bool is_same_workflow(const SnapshotDocument& document, const Workflow& workflow) noexcept {
  const auto has_name = [](std::string_view name, const StepDefinition& step) { return name == step.name; };
  return document.fingerprint == workflow.fingerprint() &&
         std::equal(document.steps.begin(), document.steps.end(), workflow.steps().begin(),
                    workflow.steps().end(), has_name);
}

Ref<Error> check_workflow(const SnapshotDocument& document, const Workflow& workflow,
                          const std::vector<StepIndex>& steps, bool allow_changed_workflow) {
  if (document.workflow != workflow.name()) {
    return mismatch(document, "cannot be resumed as workflow " + in_quotes(workflow.name()));
  }
  if (Ref<Error> lacking = check_needed_steps(document, steps)) return lacking;
  if (allow_changed_workflow || is_same_workflow(document, workflow)) return nullptr;
  return mismatch(document, "was taken with other steps: its fingerprint is " +
                                std::string(document.fingerprint) + ", that of this workflow " +
                                workflow.fingerprint() +
                                "; set allow_changed_workflow to resume it all the same");
}

// ----------------------------------------------------------------------------------------- the restoring

Ref<KeyTable> restore_table(const std::vector<SnapshotDocument::Entry>& entries) {
  if (entries.empty()) return nullptr;
  Ref<KeyTable> table = Ref<KeyTable>::adopt(new KeyTable);
  table->reserve(entries.size());
  for (const SnapshotDocument::Entry& entry : entries)
    table->insert(entry.key, entry.value.make(), entry.version);
  return table;
}

std::vector<Ref<Event>> restore_events(const SnapshotDocument& document) {
  std::vector<Ref<Event>> events;
  events.reserve(document.events.size());
  for (const SnapshotDocument::Event& event : document.events) {
    events.push_back(Event::make(event.type, event.value.make(), event.source, event.correlation));
    events.back()->id = event.id;
  }
  return events;
}

std::unique_ptr<Effects> restore_effects(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return nullptr;
  auto effects = std::make_unique<Effects>();
  std::vector<uint64_t>& digests = effects->digests;
  digests.resize(bytes.size() / kEffectBytes);
  for (size_t i = 0; i < digests.size(); ++i) {
    uint64_t stored;
    std::memcpy(&stored, bytes.data() + i * kEffectBytes, kEffectBytes);
    digests[i] = cbor::big_endian(stored);
  }
  return effects;
}

void restore_counters(const SnapshotDocument& document, RunState& state) {
  state.id = document.id;
  state.phase = document.phase;
  state.event_id_last = document.event_id_last;
  state.invocation_id_last = document.invocation_id_last;
  state.write_last = document.write_last;
  state.stream_last = document.stream_last;
  state.last_type = state.workflow->find_type(document.last_event);
  if (state.last_type == kUnknownType) state.last_unhandled = document.last_event;
}

// Those in flight first: they hold their permits already.
void restore_invocations(const SnapshotDocument& document, const std::vector<StepIndex>& steps,
                         RunState& state) {
  const std::vector<Ref<Event>> events = restore_events(document);
  const auto take = [&](const SnapshotDocument::Queued& work) {
    Invocation* invocation = state.pool.take();
    invocation->id = work.id;
    invocation->step = steps[work.step];
    invocation->attempt = work.attempt;
    invocation->event = events[work.event];
    return invocation;
  };
  state.pool.reserve(document.in_flight.size() + document.queued.size());
  for (const SnapshotDocument::InFlight& item : document.in_flight) {
    std::unique_ptr<Effects> effects = restore_effects(item.effects);
    Invocation* invocation = take(item.work);
    invocation->effects = std::move(effects);
    restore_in_flight(state, invocation);
  }
  for (const SnapshotDocument::Queued& item : document.queued) restore_queued(state, take(item));
}

const char* phase_name(Phase phase) noexcept {
  switch (phase) {
    case Phase::created: return "created";
    case Phase::running: return "running";
    case Phase::completed: return "completed";
    case Phase::failed: return "failed";
    case Phase::cancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace

Ref<Error> restore_run(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                       bool allow_changed_workflow, RunState& out) {
  const std::vector<StepIndex> steps = find_steps(document, *workflow);
  if (Ref<Error> error = check_workflow(document, *workflow, steps, allow_changed_workflow)) return error;
  out.workflow = workflow;
  out.steps.resize(workflow->steps().size());
  restore_counters(document, out);
  out.state = restore_table(document.state);
  out.session = restore_table(document.session);
  out.metadata = document.metadata;
  out.result = document.result;
  out.error = document.error;
  restore_invocations(document, steps, out);
  out.settled = is_settled(out);
  return nullptr;
}

std::string describe_snapshot(const SnapshotDocument& document) {
  // Only the strings are nlohmann's: its arrays and objects allocate when they are destroyed, and a process
  // that runs out of memory there ends.
  const auto text = [](std::string_view content) { return nlohmann::json(content).dump(); };
  const std::vector<uint64_t> work = count_work(document);
  std::string steps_needed;
  for (size_t i = 0; i < work.size(); ++i) {
    if (work[i] == 0) continue;
    if (!steps_needed.empty()) steps_needed += ",";
    steps_needed += text(document.steps[i]);
  }
  return "{\"format\":" + std::to_string(document.format) + ",\"engine\":" + text(document.engine) +
         ",\"workflow\":" + text(document.workflow) + ",\"fingerprint\":" + text(document.fingerprint) +
         ",\"run_id\":\"" + uuid_text(document.id).data() + "\",\"state\":\"" + phase_name(document.phase) +
         "\",\"queued\":" + std::to_string(document.queued.size()) +
         ",\"in_flight\":" + std::to_string(document.in_flight.size()) + ",\"steps_needed\":[" +
         steps_needed + "],\"state_keys\":" + std::to_string(document.state.size()) +
         ",\"stream_sequence\":" + std::to_string(document.stream_last) +
         ",\"events_routed\":" + std::to_string(document.event_id_last) + "}";
}

}  // namespace blazen
