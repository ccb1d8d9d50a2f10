#include "engine/run.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "base/scope.hpp"
#include "base/uuid.hpp"
#include "capi/handle.hpp"
#include "capi/snapshot.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {
namespace {

struct RunOptions {
  Ref<Value> metadata;
  Run::Resuming how;
  std::unique_ptr<PendingCallback> input;
  bool has_id = false;
  RunId id{};
  std::span<const blazen_deserializer> deserializers;
  bool skips_unknown = false;
};

// The user_data of options that are refused is dropped all the same, as far as they can be read.
DropGuard guard_run_options(const blazen_run_options* given) noexcept {
  const bool has_drop = has_field(given, offsetof(blazen_run_options, drop) + sizeof(blazen_drop_fn));
  return {has_drop ? given->drop : nullptr, has_drop ? given->user_data : nullptr};
}

// What the caller gave, whole or not, is dropped at the end of its call.
class DeserializerDrops {
 public:
  explicit DeserializerDrops(const blazen_run_options* options) noexcept {
    constexpr size_t kEnd = offsetof(blazen_run_options, deserializer_count) + sizeof(size_t);
    if (!has_field(options, kEnd) || options->deserializers == nullptr) return;
    if (options->deserializer_count > kDeserializersMax) return;
    all_ = {options->deserializers, options->deserializer_count};
  }
  DeserializerDrops(const DeserializerDrops&) = delete;
  DeserializerDrops& operator=(const DeserializerDrops&) = delete;
  ~DeserializerDrops() {
    for (const blazen_deserializer& each : all_) call_drop(each.drop, each.user_data);
  }

 private:
  std::span<const blazen_deserializer> all_;
};

std::string_view label_of(const blazen_deserializer& deserializer) noexcept {
  return {deserializer.label, deserializer.label_length};
}

Ref<Error> check_deserializer(const blazen_deserializer& deserializer) noexcept {
  std::string_view label;
  if (deserializer.deserialize == nullptr) return bad_pointer("options.deserializers[].deserialize");
  return need_label("options.deserializers[].label", deserializer.label, deserializer.label_length, label);
}

Ref<Error> read_deserializers(const blazen_run_options& all, RunOptions& options) {
  if (all.unknown_label != BLAZEN_UNKNOWN_LABEL_ERROR && all.unknown_label != BLAZEN_UNKNOWN_LABEL_SKIP)
    return invalid("options.unknown_label is none of the values of blazen_unknown_label");
  if (all.deserializer_count > kDeserializersMax) {
    return Error::make(Status::limit,
                       "options.deserializer_count is " + std::to_string(all.deserializer_count) +
                           "; BLAZEN_DESERIALIZERS_MAX is " + std::to_string(kDeserializersMax));
  }
  if (all.deserializers == nullptr && all.deserializer_count != 0)
    return bad_pointer("options.deserializers");
  options.skips_unknown = all.unknown_label == BLAZEN_UNKNOWN_LABEL_SKIP;
  options.deserializers = {all.deserializers, all.deserializer_count};
  std::vector<std::string_view> labels;
  for (const blazen_deserializer& each : options.deserializers) {
    if (Ref<Error> failure = check_deserializer(each)) return failure;
    labels.push_back(label_of(each));
  }
  std::sort(labels.begin(), labels.end());
  if (std::adjacent_find(labels.begin(), labels.end()) == labels.end()) return nullptr;
  return invalid("options.deserializers has two of one label");
}

Ref<Error> read_run_id(const blazen_run_options& all, RunOptions& options) {
  if (all.run_id == nullptr && all.run_id_length == 0) return nullptr;
  options.has_id = all.run_id != nullptr && parse_uuid({all.run_id, all.run_id_length}, options.id);
  if (options.has_id) return nullptr;
  return invalid("options.run_id is no UUID of 36 characters, such as 123e4567-e89b-42d3-a456-426614174000");
}

Ref<Error> read_run_options(const blazen_run_options* given, DropGuard& guard, RunOptions& options) {
  if (given == nullptr) return nullptr;
  blazen_run_options all = BLAZEN_RUN_OPTIONS_INIT;
  if (Ref<Error> failure = read_options(given, all)) return failure;
  options.how.allow_changed_workflow = all.allow_changed_workflow != 0;
  options.how.time_has_passed = all.time_has_passed != 0;
  options.how.keeps_paused = all.keep_paused != 0;
  if (all.fork != 0 && all.fork != 1) return invalid("options.fork is neither 0 nor 1");
  options.how.forks = all.fork == 1;
  if (Ref<Error> failure = read_run_id(all, options)) return failure;
  if (all.input != nullptr) {
    guard.taken();
    options.input = make_callback(reinterpret_cast<HostFunction>(all.input), all.user_data, all.drop);
  }
  if (Ref<Error> failure = read_deserializers(all, options)) return failure;
  if (all.metadata == nullptr) return nullptr;
  Value* metadata = nullptr;
  if (Ref<Error> failure = need("options.metadata", all.metadata, metadata)) return failure;
  if (metadata->tag() == Tag::live) {
    return Error::make(Status::wrong_tag, "options.metadata is LIVE: it goes into snapshots");
  }
  options.metadata = Ref<Value>::share(metadata);
  return nullptr;
}

Ref<Error> read_types(const blazen_stream_options& given, std::vector<std::string>& types) {
  if (given.type_count == 0) return nullptr;
  if (given.types == nullptr) return bad_pointer("options.types");
  if (given.type_lengths == nullptr) return bad_pointer("options.type_lengths");
  if (given.type_count > kAcceptsMax) {
    return Error::make(Status::limit, "options.type_count: BLAZEN_ACCEPTS_MAX is reached");
  }
  for (size_t i = 0; i < given.type_count; ++i) {
    std::string_view type;
    if (Ref<Error> failure = need_name("options.types", given.types[i], given.type_lengths[i], type))
      return failure;
    types.emplace_back(type);
  }
  std::sort(types.begin(), types.end());
  return nullptr;
}

Ref<Error> read_stream_options(const blazen_stream_options* given, StreamOptions& options) {
  blazen_stream_options all = BLAZEN_STREAM_OPTIONS_INIT;
  if (Ref<Error> failure = read_options(given, all)) return failure;
  if (all.overflow != BLAZEN_OVERFLOW_GAP && all.overflow != BLAZEN_OVERFLOW_HOLD)
    return invalid("options.overflow is none of the values of blazen_overflow");
  if (all.lifecycle != 0 && all.lifecycle != 1) return invalid("options.lifecycle is neither 0 nor 1");
  options.from = all.from;
  options.holds = all.overflow == BLAZEN_OVERFLOW_HOLD;
  options.capacity = all.capacity;
  if (all.routed != 0 && all.routed != 1) return invalid("options.routed is neither 0 nor 1");
  if (all.own_level != 0 && all.own_level != 1) return invalid("options.own_level is neither 0 nor 1");
  options.own_level = all.own_level != 0;
  options.lifecycle = all.lifecycle != 0;
  options.routed = all.routed != 0;
  return read_types(all, options.types);
}
// The deserializers of one resume.
class Deserializers final : public LiveMaker {
 public:
  explicit Deserializers(const RunOptions& options) noexcept : options_(options) {}

  bool knows(std::string_view label) const noexcept override { return find(label) != nullptr; }
  bool skips_unknown() const noexcept override { return options_.skips_unknown; }
  Ref<Error> make(std::string_view label, const Ref<Value>& kept, Ref<Value>& live) override {
    const blazen_deserializer& one = *find(label);
    const std::string text(label);  // with a NUL, as every text that is handed out
    blazen_value* answer = nullptr;
    blazen_status status = BLAZEN_OK;
    Ref<Error> failure = failure_of_call([&](blazen_error** error) {
      return status = one.deserialize(one.user_data, text.c_str(), text.size(), handle_of(kept.get()),
                                      &answer, error);
    });
    failure = take_answer(std::move(failure), answer, live);
    if (status == BLAZEN_ERROR_NOT_SERIALIZABLE && options_.skips_unknown) failure.reset();
    return failure;
  }

 private:
  const blazen_deserializer* find(std::string_view label) const noexcept {
    const auto has_label = [&](const blazen_deserializer& each) { return label_of(each) == label; };
    const auto found = std::find_if(options_.deserializers.begin(), options_.deserializers.end(), has_label);
    return found == options_.deserializers.end() ? nullptr : &*found;
  }

  const RunOptions& options_;
};

constexpr uint32_t kUntilAll =
    BLAZEN_UNTIL_WAITING | BLAZEN_UNTIL_ELSEWHERE | BLAZEN_UNTIL_PAUSED | BLAZEN_UNTIL_ASKING;
static_assert(BLAZEN_UNTIL_WAITING == 1 << BLAZEN_RUN_WAITING &&
              BLAZEN_UNTIL_ASKING == 1 << BLAZEN_RUN_ASKING &&
              BLAZEN_UNTIL_PAUSED == 1 << BLAZEN_RUN_PAUSED &&
              BLAZEN_UNTIL_ELSEWHERE == 1 << BLAZEN_RUN_ELSEWHERE);

Ref<Error> check_until(uint32_t until) noexcept {
  return (until & ~kUntilAll) == 0 ? nullptr : invalid("until has a bit that is none of BLAZEN_UNTIL_*");
}

// The handle of a run that the host never sees.
class OnlyHandle {
 public:
  explicit OnlyHandle(Run* run) noexcept : run_(run) {}
  OnlyHandle(const OnlyHandle&) = delete;
  OnlyHandle& operator=(const OnlyHandle&) = delete;
  ~OnlyHandle() { run_->release_handle(); }
  Run& run() const noexcept { return *run_; }

 private:
  Run* run_;
};

Ref<Error> run_to_its_end(Run& run, Ref<Value> input, Ref<Value>& result) {
  EngineScope scope(run);  // one for all that happens here
  const bool helps = run.runtime().executor().helping() != Helping::never;
  if (Ref<Error> failure = run.start(std::move(input), true, !helps)) return failure;
  if (Ref<Error> failure = run.wait_ended_or_stuck()) return failure;
  Result<Ref<Value>> value = run.result();
  if (!value) return value.error();
  result = std::move(*value);
  return nullptr;
}

// Not one exported call through another: the loader may bind that to another copy of the library.
blazen_status wait_until(blazen_run* run, uint32_t until, int64_t timeout_ms, blazen_run_state* state,
                         blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = check_until(until)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    Result<RunStatus> status = object->wait(until, timeout_ms);
    if (!status) return status.error();
    if (state != nullptr) *state = static_cast<blazen_run_state>(*status);
    return nullptr;
  });
}

blazen_status on_state(blazen_run* run, uint32_t until, blazen_run_done_fn done, void* user_data,
                       blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = check_until(until)) return failure;
    if (done == nullptr) return bad_pointer("done");
    guard.taken();
    std::unique_ptr<PendingCallback> callback =
        make_callback(reinterpret_cast<HostFunction>(done), user_data, drop);
    callback->until = until;
    return object->on_state(std::move(callback));
  });
}

}  // namespace
}  // namespace blazen::capi

void blazen_run_options_init(blazen_run_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_run(blazen_workflow* workflow, blazen_runtime* runtime, blazen_value* input,
                                  blazen_value** result, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    RuntimeStay host;
    Ref<Value> value;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need_value_or_null("input", input, value)) return failure;
    if (Ref<Error> failure = need_out("result", result)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a run cannot be waited for inside a callback: start it and go on");
    }
    Result<Ref<Run>> run = Run::create(std::move(host), *definition, nullptr, nullptr, nullptr);
    if (!run) return run.error();
    const OnlyHandle handle(run->take());
    Ref<Value> outcome;
    if (Ref<Error> failure = run_to_its_end(handle.run(), std::move(value), outcome)) {
      handle.run().cancel("the call that waited for it has ended");
      return failure;
    }
    *result = handle_of(outcome.take());
    return nullptr;
  });
}

blazen_status blazen_run_create(blazen_runtime* runtime, blazen_workflow* workflow,
                                const blazen_run_options* options, blazen_run** run, blazen_error** error) {
  DropGuard guard = guard_run_options(options);
  const DeserializerDrops drops(options);
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    RuntimeStay host;
    RunOptions all;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = read_run_options(options, guard, all)) return failure;
    if (Ref<Error> failure = need_out("run", run)) return failure;
    if (!all.deserializers.empty())
      return invalid("options.deserializers: a run that is created has nothing to deserialize");
    if (all.how.forks) return invalid("options.fork: a run that is created has nothing to fork from");
    Result<Ref<Run>> made = Run::create(std::move(host), *definition, all.has_id ? &all.id : nullptr,
                                        std::move(all.metadata), std::move(all.input));
    if (!made) return made.error();
    *run = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_run_resume(blazen_runtime* runtime, blazen_workflow* workflow,
                                const blazen_snapshot* snapshot, const blazen_run_options* options,
                                blazen_run** run, blazen_error** error) {
  DropGuard guard = guard_run_options(options);
  const DeserializerDrops drops(options);
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    RuntimeStay host;
    Snapshot* source = nullptr;
    RunOptions all;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = need("snapshot", snapshot, source)) return failure;
    if (Ref<Error> failure = read_run_options(options, guard, all)) return failure;
    if (Ref<Error> failure = need_out("run", run)) return failure;
    if (all.metadata)
      return invalid("options.metadata: the run that is resumed has its metadata in the snapshot");
    if (all.has_id && !all.how.forks)
      return invalid(
          "options.run_id: the run that is resumed has its id in the snapshot; a fork has another");
    if (all.has_id) all.how.fork_id = &all.id;
    const Ref<Snapshot> kept = Ref<Snapshot>::share(source);  // a deserializer may release it
    Result<const SnapshotDocument*> document = source->document();
    if (!document) return document.error();
    Deserializers maker(all);
    Result<Ref<Run>> made =
        Run::resume(std::move(host), *definition, **document, all.how, maker, std::move(all.input));
    if (!made) return made.error();
    *run = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_run_start(blazen_run* run, blazen_value* input, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    Ref<Value> value;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_value_or_null("input", input, value)) return failure;
    return object->start(std::move(value), input != nullptr, true);
  });
}

blazen_run* blazen_run_retain(const blazen_run* run) {
  Run* object = object_of<Run>(run);
  if (object == nullptr) return nullptr;
  object->hold();
  return handle_of(object);
}

void blazen_run_release(blazen_run* run) {
  if (Run* object = object_of<Run>(run)) object->release_handle();
}

blazen_status blazen_run_close(blazen_run* run, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    return object->close(BLAZEN_FOREVER);
  });
}

blazen_status blazen_run_close_within(blazen_run* run, int64_t timeout_ms, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    return object->close(timeout_ms);
  });
}

blazen_status blazen_run_wait_until(blazen_run* run, uint32_t until, int64_t timeout_ms,
                                    blazen_run_state* state, blazen_error** error) {
  return wait_until(run, until, timeout_ms, state, error);
}

blazen_status blazen_run_wait(blazen_run* run, int64_t timeout_ms, blazen_run_state* state,
                              blazen_error** error) {
  return wait_until(run, BLAZEN_UNTIL_ELSEWHERE, timeout_ms, state, error);
}

blazen_status blazen_run_on_state(blazen_run* run, uint32_t until, blazen_run_done_fn done, void* user_data,
                                  blazen_drop_fn drop, blazen_error** error) {
  return on_state(run, until, done, user_data, drop, error);
}

blazen_status blazen_run_on_done(blazen_run* run, blazen_run_done_fn done, void* user_data,
                                 blazen_drop_fn drop, blazen_error** error) {
  return on_state(run, BLAZEN_UNTIL_ELSEWHERE, done, user_data, drop, error);
}

blazen_status blazen_run_pause(blazen_run* run, blazen_pause_mode mode, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (mode != BLAZEN_PAUSE_NOW && mode != BLAZEN_PAUSE_DRAIN)
      return invalid("mode is none of the values of blazen_pause_mode");
    return object->pause(static_cast<Pause>(mode));
  });
}

blazen_status blazen_run_resume_in_place(blazen_run* run, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    return object->unpause();
  });
}

blazen_status blazen_run_child(blazen_run* run, const char* child_run_id, size_t child_run_id_length,
                               blazen_run** child, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view id;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_name("child_run_id", child_run_id, child_run_id_length, id)) return failure;
    if (Ref<Error> failure = need_out("child", child)) return failure;
    Result<Ref<Run>> found = object->find_child(id);
    if (!found) return found.error();
    (*found)->hold();
    *child = handle_of(found->get());
    return nullptr;
  });
}

blazen_status blazen_run_cancel_invocation(blazen_run* run, uint64_t invocation_id, int32_t retry,
                                           blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (retry != 0 && retry != 1) return invalid("retry is neither 0 nor 1");
    return object->cancel_invocation(invocation_id, retry == 1);
  });
}

blazen_status blazen_run_abort(blazen_run* run, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    object->abort();
    return nullptr;
  });
}

blazen_status blazen_run_describe(const blazen_run* run, blazen_value** description, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_out("description", description)) return failure;
    *description = handle_of(Value::copy(Tag::json, object->describe()).take());
    return nullptr;
  });
}

blazen_status blazen_run_stages(const blazen_run* run, blazen_value** stages, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_out("stages", stages)) return failure;
    Result<std::string> text = object->stages();
    if (!text) return text.error();
    *stages = handle_of(Value::copy(Tag::json, *text).take());
    return nullptr;
  });
}

blazen_run_state blazen_run_state_now(const blazen_run* run) {
  const Run* object = object_of<Run>(run);
  return object == nullptr || object->is_inherited() ? BLAZEN_RUN_NONE
                                                     : static_cast<blazen_run_state>(object->status());
}

blazen_status blazen_run_result(const blazen_run* run, blazen_value** result, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;  // nothing is called, and no lock taken
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (object->is_inherited()) return inherited("run");
    if (Ref<Error> failure = need_out("result", result)) return failure;
    Result<Ref<Value>> value = object->result();
    if (!value) return value.error();
    *result = handle_of(value->take());
    return nullptr;
  });
}

const char* blazen_run_id(const blazen_run* run, size_t* length) {
  const Run* object = object_of<Run>(run);
  return object == nullptr ? no_text(length) : text_out(object->id(), length);
}

blazen_value* blazen_run_metadata(const blazen_run* run) {
  const Run* object = object_of<Run>(run);
  return object == nullptr || !object->metadata() ? nullptr : handle_of(object->metadata().get());
}

blazen_status blazen_run_elsewhere(const blazen_run* run, blazen_value** steps, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_out("steps", steps)) return failure;
    *steps = handle_of(Value::copy(Tag::json, object->elsewhere()).take());
    return nullptr;
  });
}

blazen_status blazen_run_dropped(const blazen_run* run, blazen_value** names, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_out("names", names)) return failure;
    *names = handle_of(Value::copy(Tag::json, object->dropped()).take());
    return nullptr;
  });
}

blazen_status blazen_run_send_event(blazen_run* run, const blazen_event* event,
                                    const blazen_send_options* options, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    Event* sent = nullptr;
    Sending sending;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need("event", event, sent)) return failure;
    if (Ref<Error> failure = read_sending(options, sending)) return failure;
    return object->post(*sent, sending);
  });
}

// --------------------------------------------------------------------------------------------------- streams

blazen_status blazen_run_subscribe(blazen_run* run, blazen_stream** stream, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_out("stream", stream)) return failure;
    Result<Ref<Stream>> made = object->subscribe(StreamOptions{});
    if (!made) return made.error();
    *stream = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_run_subscribe_with(blazen_run* run, const blazen_stream_options* options,
                                        blazen_stream** stream, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    StreamOptions all;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = read_stream_options(options, all)) return failure;
    if (Ref<Error> failure = need_out("stream", stream)) return failure;
    Result<Ref<Stream>> made = object->subscribe(std::move(all));
    if (!made) return made.error();
    *stream = handle_of(made->take());
    return nullptr;
  });
}

void blazen_stream_options_init(blazen_stream_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_stream_next(blazen_stream* stream, int64_t timeout_ms, blazen_event** item,
                                 uint64_t* sequence, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Stream> object;
    if (Ref<Error> failure = need_stream(stream, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    if (Ref<Error> failure = need_out("item", item)) return failure;
    Stream::Item next{};
    Result<size_t> taken = object->run().take_items(*object, timeout_ms, {&next, 1});
    if (!taken) return taken.error();
    *item = handle_of(next.event.take());
    if (sequence != nullptr) *sequence = next.sequence;
    return nullptr;
  });
}

blazen_status blazen_stream_take(blazen_stream* stream, int64_t timeout_ms, blazen_event** items,
                                 uint64_t* sequences, size_t capacity, size_t* count, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Stream> object;
    if (Ref<Error> failure = need_stream(stream, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    if (Ref<Error> failure = need_out("items", items)) return failure;
    if (capacity == 0) return invalid("capacity is 0: there is room for no item");
    if (Ref<Error> failure = need_out("count", count)) return failure;
    std::array<Stream::Item, 64> some{};  // so many under one hold of the lock
    size_t taken = 0;
    for (bool more = true; more;) {
      const std::span<Stream::Item> room(some.data(), std::min(some.size(), capacity - taken));
      Result<size_t> now = object->run().take_items(*object, taken == 0 ? timeout_ms : 0, room);
      if (!now && taken == 0) return now.error();
      const size_t got = now ? *now : 0;
      more = got == some.size() && taken + got < capacity && some[got - 1].event->type() != kStreamEnd;
      for (size_t i = 0; i < got; ++i, ++taken) {
        items[taken] = handle_of(some[i].event.take());
        if (sequences != nullptr) sequences[taken] = some[i].sequence;
      }
    }
    *count = taken;
    return nullptr;
  });
}

blazen_status blazen_stream_cancel_ready(blazen_stream* stream, int32_t* cancelled, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Stream> object;
    if (Ref<Error> failure = need_stream(stream, object)) return failure;
    const bool is_back = object->run().cancel_ready(*object);
    if (cancelled != nullptr) *cancelled = is_back ? 1 : 0;
    return nullptr;
  });
}

blazen_status blazen_stream_on_ready(blazen_stream* stream, blazen_stream_ready_fn ready, void* user_data,
                                     blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Stream> object;
    if (Ref<Error> failure = need_stream(stream, object)) return failure;
    if (ready == nullptr) return bad_pointer("ready");
    guard.taken();
    return object->run().on_ready(*object,
                                  HostCallback{reinterpret_cast<HostFunction>(ready), user_data, drop});
  });
}

blazen_status blazen_stream_close(blazen_stream* stream, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Stream> object;
    if (Ref<Error> failure = need_stream(stream, object)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a stream cannot be closed from inside a callback: release it instead");
    }
    object->run().close_stream(*object, true);
    return nullptr;
  });
}

blazen_stream* blazen_stream_retain(const blazen_stream* stream) { return retain_handle<Stream>(stream); }
void blazen_stream_release(blazen_stream* stream) { release_handle<Stream>(stream); }
