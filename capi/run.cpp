#include "engine/run.hpp"

#include "capi/handle.hpp"
#include "capi/snapshot.hpp"
#include "engine/scope.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {
namespace {

struct RunOptions {
  Ref<Value> metadata;
  bool allow_changed_workflow = false;
};

Ref<Error> read_run_options(const blazen_run_options* given, RunOptions& options) noexcept {
  blazen_run_options all = BLAZEN_RUN_OPTIONS_INIT;
  if (Ref<Error> failure = read_options(given, all)) return failure;
  options.allow_changed_workflow = all.allow_changed_workflow != 0;
  if (all.metadata == nullptr) return nullptr;
  Value* metadata = nullptr;
  if (Ref<Error> failure = need("options.metadata", all.metadata, metadata)) return failure;
  if (metadata->tag() == Tag::live) {
    return Error::make(Status::wrong_tag, "options.metadata is LIVE: it goes into snapshots");
  }
  options.metadata = Ref<Value>::share(metadata);
  return nullptr;
}

Ref<Error> check_timeout(int64_t timeout_ms) noexcept {
  if (timeout_ms >= 0 || timeout_ms == BLAZEN_FOREVER) return nullptr;
  return invalid("timeout_ms is negative: give 0 to look, or BLAZEN_FOREVER");
}

// What the host's callback needs of it is registered, or dropped, before anything else can fail.
HostCallback callback_of(void (*function)(), void* user_data, blazen_drop_fn drop) noexcept {
  return HostCallback{function, user_data, drop};
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

}  // namespace
}  // namespace blazen::capi

void blazen_run_options_init(blazen_run_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_workflow_run(blazen_workflow* workflow, blazen_runtime* runtime, blazen_value* input,
                                  blazen_value** result, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    Runtime* host = nullptr;
    Ref<Value> value;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need_value_or_null("input", input, value)) return failure;
    if (Ref<Error> failure = need_out("result", result)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a run cannot be waited for inside a callback: start it and go on");
    }
    Result<Ref<Run>> run = Run::create(*host, Ref<Workflow>::share(definition), nullptr);
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
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    Runtime* host = nullptr;
    RunOptions all;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = read_run_options(options, all)) return failure;
    if (Ref<Error> failure = need_out("run", run)) return failure;
    Result<Ref<Run>> made = Run::create(*host, Ref<Workflow>::share(definition), std::move(all.metadata));
    if (!made) return made.error();
    *run = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_run_resume(blazen_runtime* runtime, blazen_workflow* workflow,
                                const blazen_snapshot* snapshot, const blazen_run_options* options,
                                blazen_run** run, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Workflow* definition = nullptr;
    Runtime* host = nullptr;
    Snapshot* source = nullptr;
    RunOptions all;
    if (Ref<Error> failure = need_runtime(runtime, host)) return failure;
    if (Ref<Error> failure = need("workflow", workflow, definition)) return failure;
    if (Ref<Error> failure = need("snapshot", snapshot, source)) return failure;
    if (Ref<Error> failure = read_run_options(options, all)) return failure;
    if (Ref<Error> failure = need_out("run", run)) return failure;
    if (all.metadata)
      return invalid("options.metadata: the run that is resumed has its metadata in the snapshot");
    Result<const SnapshotDocument*> document = source->document();
    if (!document) return document.error();
    Result<Ref<Run>> made =
        Run::resume(*host, Ref<Workflow>::share(definition), **document, all.allow_changed_workflow);
    if (!made) return made.error();
    *run = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_run_start(blazen_run* run, blazen_value* input, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    Ref<Value> value;
    if (Ref<Error> failure = need("run", run, object)) return failure;
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
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    return object->close();
  });
}

blazen_status blazen_run_wait(blazen_run* run, int64_t timeout_ms, blazen_run_state* state,
                              blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    Result<RunStatus> status = object->wait(timeout_ms);
    if (!status) return status.error();
    if (state != nullptr) *state = static_cast<blazen_run_state>(*status);
    return nullptr;
  });
}

blazen_status blazen_run_on_done(blazen_run* run, blazen_run_done_fn done, void* user_data,
                                 blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (done == nullptr) return bad_pointer("done");
    guard.taken();
    return object->on_done(callback_of(reinterpret_cast<HostFunction>(done), user_data, drop));
  });
}

blazen_run_state blazen_run_state_now(const blazen_run* run) {
  const Run* object = object_of<Run>(run);
  return object == nullptr ? BLAZEN_RUN_NONE : static_cast<blazen_run_state>(object->status());
}

blazen_status blazen_run_result(const blazen_run* run, blazen_value** result, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
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
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (Ref<Error> failure = need_out("steps", steps)) return failure;
    *steps = handle_of(Value::copy(Tag::json, object->elsewhere()).take());
    return nullptr;
  });
}

blazen_status blazen_run_send_event(blazen_run* run, const blazen_event* event,
                                    const blazen_send_options* options, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    Event* sent = nullptr;
    std::string_view target;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (Ref<Error> failure = need("event", event, sent)) return failure;
    if (Ref<Error> failure = read_target(options, target)) return failure;
    return object->post(*sent, target);
  });
}

// ------------------------------------------------------------------------------------------------------
// streams

blazen_status blazen_run_subscribe(blazen_run* run, blazen_stream** stream, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run* object = nullptr;
    if (Ref<Error> failure = need("run", run, object)) return failure;
    if (Ref<Error> failure = need_out("stream", stream)) return failure;
    Result<Ref<Stream>> made = object->subscribe();
    if (!made) return made.error();
    *stream = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_stream_next(blazen_stream* stream, int64_t timeout_ms, blazen_event** item,
                                 uint64_t* sequence, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Stream* object = nullptr;
    if (Ref<Error> failure = need("stream", stream, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    if (Ref<Error> failure = need_out("item", item)) return failure;
    Result<Stream::Item> next = object->next(timeout_ms);
    if (!next) return next.error();
    *item = handle_of(next->event.take());
    if (sequence != nullptr) *sequence = next->sequence;
    return nullptr;
  });
}

blazen_status blazen_stream_on_ready(blazen_stream* stream, blazen_stream_ready_fn ready, void* user_data,
                                     blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    Stream* object = nullptr;
    if (Ref<Error> failure = need("stream", stream, object)) return failure;
    if (ready == nullptr) return bad_pointer("ready");
    guard.taken();
    return object->on_ready(callback_of(reinterpret_cast<HostFunction>(ready), user_data, drop));
  });
}

blazen_status blazen_stream_close(blazen_stream* stream, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Stream* object = nullptr;
    if (Ref<Error> failure = need("stream", stream, object)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a stream cannot be closed from inside a callback: release it instead");
    }
    object->close();
    return nullptr;
  });
}

blazen_stream* blazen_stream_retain(const blazen_stream* stream) { return retain_handle<Stream>(stream); }
void blazen_stream_release(blazen_stream* stream) { release_handle<Stream>(stream); }
