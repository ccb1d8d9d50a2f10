#include "engine/part_bodies.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/quotes.hpp"
#include "codec/json_members.hpp"
#include "engine/lifecycle.hpp"
#include "engine/nested_json.hpp"
#include "engine/rounds.hpp"
#include "run/pipeline_parts.hpp"

namespace blazen {
namespace {

using Results = std::span<const Event* const>;

std::string quoted_json(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Status status_named(std::string_view name) noexcept {
  for (int32_t number = static_cast<int32_t>(Status::invalid_argument); number < 1000; ++number) {
    if (name == status_name(static_cast<Status>(number))) return static_cast<Status>(number);
  }
  return Status::step_failed;
}

bool is_text(std::string_view token) noexcept { return token.front() == '"'; }

template <class Number>
void read_number(std::string_view token, Number& number) noexcept {
  std::from_chars(token.data(), token.data() + token.size(), number);
}

// The error that a branch has failed with, out of the event that says so, or out of a cause in it. Whoever is outside may
// have sent that, too.
Ref<Error> error_of(std::string_view json, uint32_t beneath) {
  std::string status_text;
  std::string message;
  std::string step;
  int64_t host_code = 0;
  uint32_t attempt = 0;
  std::string_view detail;
  std::string_view cause;
  // The step of the event itself is the branch, which is named around it.
  const std::string_view step_member = beneath == 0 ? "inner_step" : "step";
  const std::string_view attempt_member = beneath == 0 ? "inner_attempt" : "attempt";
  const JsonMembers what(json);
  if (!what.is_object()) return Error::make(Status::step_failed, "it failed");
  what.for_each([&](std::string_view name, std::string_view value) {
    if (name == "status" && is_text(value)) {
      if (!unescape_json(value, status_text)) status_text.clear();
    } else if (name == "message" && is_text(value)) {
      if (!unescape_json(value, message)) message.clear();
    } else if (name == step_member && is_text(value)) {
      if (!unescape_json(value, step)) step.clear();
    } else if (name == attempt_member) {
      read_number(value, attempt);
    } else if (name == "host_code") {
      read_number(value, host_code);
    } else if (name == "detail") {
      detail = value;
    } else if (name == "cause") {
      cause = value;
    }
  });
  Ref<Value> kept = detail.data() == nullptr ? nullptr : Value::copy(Tag::json, detail);
  const Status status = status_named(status_text);
  Ref<Error> below = cause.empty() || beneath >= kErrorDepthMax ? nullptr : error_of(cause, beneath + 1);
  const bool is_of_step = below && status == Status::step_failed && !step.empty();
  Ref<Error> error = is_of_step ? Error::step_failed(step, attempt, below) : Error::make(status, message);
  if (error.get() == Error::out_of_memory().get()) return error;
  error->host_code = host_code;
  error->detail = std::move(kept);
  if (!is_of_step) error->cause = std::move(below);
  return error;
}

Ref<Error> error_of_branch(const Event& failed) {
  return error_of(failed.value()->tag() == Tag::json ? failed.value()->data() : std::string_view("null"), 0);
}

uint32_t attempt_in(std::string_view failed) {
  uint32_t attempt = 0;
  const std::string_view token = find_json_member(failed, "attempt");
  std::from_chars(token.data(), token.data() + token.size(), attempt);
  return attempt;
}

bool has_failed(const Event& arrival, const StepDefinition& gather) noexcept {
  return arrival.type() == gather.accepts.back();
}

// All have failed: the cause is the last failure, and the detail has each.
Ref<Error> all_failed(Results results, const StepDefinition& gather) {
  std::string json = "{";
  const Event* last = nullptr;
  for (const Event* each : results) {
    if (json.size() > 1) json += ",";
    json.append(quoted_json(each->source())).append(":").append(each->value()->data());
    if (last == nullptr || each->id > last->id) last = each;
  }
  json += "}";
  Ref<Error> error = Error::make(
      Status::step_failed, "all " + std::to_string(results.size()) + " branches of " +
                               in_quotes(gather.name) + " failed; the last was " + in_quotes(last->source()));
  if (error->status != Status::step_failed) return error;
  Ref<Error> cause = error_of_branch(*last);
  error->host_code = cause->host_code;
  error->message.append(": ").append(cause->message);
  error->cause = std::move(cause);
  if (!check_nested("detail", json)) error->detail = Value::copy(Tag::json, json);
  return error;
}

const char* word_for(Tag tag) noexcept {
  switch (tag) {
    case Tag::bytes: return "BYTES";
    case Tag::native: return "NATIVE";
    case Tag::live: return "LIVE";
    default: return "JSON";
  }
}

// An object by the names of the branches.
Ref<Error> emit_all(Context& context, Results results, const StepDefinition& gather,
                    const std::string& correlation) {
  std::string json = "{";
  for (const Event* each : results) {
    if (each->value()->tag() != Tag::json)
      return Error::make(Status::wrong_tag,
                         "the result of branch " + in_quotes(each->source()) + " is " +
                             word_for(each->value()->tag()) +
                             ", and an object by branch has JSON alone: make something of it with an output "
                             "mapper");
    if (json.size() > 1) json += ",";
    json.append(quoted_json(each->source())).append(":").append(each->value()->data());
    if (json.size() > kValueBytesMax)
      return Error::make(Status::limit, "the results of the branches are more than BLAZEN_VALUE_BYTES_MAX");
  }
  json += "}";
  if (Ref<Error> refused = check_nested("the results of the branches", json)) return refused;
  return context.emit_as(gather.emits.front(), Value::copy(Tag::json, json), correlation);
}

}  // namespace

Ref<Error> open_branches(Context& context, const Call& call) {
  for (const std::string& type : call.step().emits) {
    if (Ref<Error> error = context.emit_as(type, call.event().value(), call.event().correlation()))
      return error;
  }
  return nullptr;
}

namespace {

const Stage& stage_of(const Call& call) { return call.run().workflow().stages()[call.step().stage]; }

// A write of the pipeline's own: into the session where the value is LIVE. What stands there already is not written again:
// this may be the repetition of an invocation that a snapshot has had in flight.
Ref<Error> keep(Call& call, const std::string& key, Ref<Value> value) {
  const bool is_live = value->tag() == Tag::live;
  const Ref<Value> known = call.run().find(call, key, is_live).value;
  if (known && known->tag() == value->tag() &&
      (is_live ? known.get() == value.get()
               : known->data() == value->data() && known->codec() == value->codec()))
    return nullptr;
  Write write{Write::Kind::set, key, std::move(value)};
  return is_live ? call.run().write_session(call, std::move(write), nullptr)
                 : call.run().write(call, {&write, 1}, nullptr, nullptr);
}

// Where a stage stands, as blazen_run_stages reads it.
struct StageRecord {
  std::string_view status;
  int64_t started_ms = 0;
  int64_t took_ms = -1;
  uint32_t round = 0;
  std::string branch{};  // the first that succeeded

  std::string json() const {
    std::string text;
    text.reserve(96 + branch.size());
    text.append("{\"status\":\"").append(status).append("\",\"started_ms\":");
    text += std::to_string(started_ms);
    if (took_ms >= 0) text.append(",\"took_ms\":").append(std::to_string(took_ms));
    if (round != 0) text.append(",\"round\":").append(std::to_string(round));
    if (!branch.empty()) text.append(",\"branch\":").append(quoted_json(branch));
    text += '}';
    return text;
  }
};

// What stands in the state of this stage, with another status; of what does not stand there, the default.
StageRecord record_of(Call& call, std::string_view status) {
  StageRecord record{status};
  const Ref<Value> known = call.run().find(call, stage_of(call).record_key, false).value;
  if (!known || known->tag() != Tag::json) return record;
  JsonMembers(known->data()).for_each([&record](std::string_view name, std::string_view value) {
    if (name == "started_ms") {
      read_number(value, record.started_ms);
    } else if (name == "round") {
      read_number(value, record.round);
    } else if (name == "branch" && is_text(value)) {
      if (!unescape_json(value, record.branch)) record.branch.clear();
    }
  });
  return record;
}

Ref<Error> put_record(Call& call, const StageRecord& record) {
  return keep(call, stage_of(call).record_key, Value::copy(Tag::json, record.json()));
}

// Of the whole pipeline: so many of its stages are behind it.
Ref<Error> report(Context& context, Call& call, uint64_t behind) {
  Run& run = call.run();
  if (!run.watched()) return nullptr;
  return context.report(make_pipeline_progress(stage_of(call).name, behind, run.workflow().stages().size(),
                                               run.id(), call.step().name));
}

// In a loop that runs several at once, the event has what each of them has used, and the most counts.
std::string correlation_of_all(Results results) {
  Round last;
  for (const Event* each : results) {
    const Round round = Round::of(each->correlation());
    last.number = round.number;
    last.used_ms = std::max(last.used_ms, round.used_ms);
  }
  return last.text();
}

// Of a stage that runs several at once. winner: the first success; null: all have to succeed.
Ref<Error> keep_branches(Call& call, Results results, const Event* winner) {
  const Stage& stage = stage_of(call);
  for (const Event* each : results) {
    if (winner != nullptr && each != winner) continue;
    if (Ref<Error> error = keep(call, result_key(stage.name, each->source()), each->value())) return error;
  }
  if (winner == nullptr) return nullptr;
  StageRecord record = record_of(call, "running");
  record.branch = winner->source();
  return put_record(call, record);
}

}  // namespace

Ref<Error> begin_stage(Context& context, Call& call) {
  const StepDefinition& step = call.step();
  const Ref<Value>& input = call.event().value();
  if (step.stage == 0) {
    if (Ref<Error> error = keep(call, std::string(kInputKey), input)) return error;
  }
  if (Ref<Error> error = put_record(call, {"running", call.run().date_now_ms()})) return error;
  if (Ref<Error> error = report(context, call, step.stage)) return error;
  return context.emit(step.emits.front(), input);
}

Ref<Error> end_stage(Context& context, Call& call) {
  const StepDefinition& step = call.step();
  const Stage& stage = stage_of(call);
  const bool is_skipped = call.event().type() != step.accepts.front();
  StageRecord record = record_of(call, is_skipped ? "skipped" : "completed");
  record.took_ms = std::max<int64_t>(0, call.run().date_now_ms() - record.started_ms);
  if (!is_skipped) {
    if (Ref<Error> error = keep(call, stage.result_key, call.event().value())) return error;
  }
  if (Ref<Error> error = put_record(call, record)) return error;
  if (Ref<Error> error = report(context, call, step.stage + 1)) return error;
  return context.emit(step.emits.front(), call.event().value());
}

Ref<Error> end_round(Context& context, Call& call) {
  const Stage& stage = stage_of(call);
  const Round round = Round::of(call.event().correlation());
  StageRecord record = record_of(call, "running");
  record.round = round.number;
  if (Ref<Error> error = put_record(call, record)) return error;
  if (call.step().body) return nullptr;
  return context.end_round(round.number < stage.rounds_max);
}

Ref<Error> gather_branches(Context& context, Call& call) {
  const StepDefinition& gather = call.step();
  const Event* const* first = nullptr;
  size_t count = 0;
  if (Ref<Error> error = context.events(first, count)) return error;
  const bool has_none = gather.is_round && count == 1 && first[0]->source() == gather.join->of;
  const Results results(first, has_none ? 0 : count);
  const Event* success = nullptr;
  for (const Event* each : results) {
    if (!has_failed(*each, gather)) {
      success = each;
    } else if (!gather.takes_first) {
      Ref<Error> cause = error_of_branch(*each);
      return Error::step_failed(branch_step_name(gather.name, each->source()),
                                attempt_in(each->value()->data()), std::move(cause));
    }
  }
  if (gather.takes_first && success == nullptr && !results.empty()) return all_failed(results, gather);
  if (gather.stage != UINT32_MAX) {
    if (Ref<Error> error = keep_branches(call, results, gather.takes_first ? success : nullptr)) return error;
  }
  if (gather.body) return nullptr;
  const std::string correlation = has_none          ? std::string(first[0]->correlation())
                                  : gather.is_round ? correlation_of_all(results)
                                                    : std::string();
  if (gather.takes_first && success != nullptr)
    return context.emit_as(gather.emits.front(), success->value(), correlation);
  return emit_all(context, results, gather, correlation);
}

}  // namespace blazen
