// The boundary: handles to objects and back, arguments checked, exceptions stopped, errors handed out.
//
// Every entry that can fail runs inside guarded(). The checks name the argument as the header does.
#pragma once

#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "base/host_call.hpp"
#include "base/limits.hpp"
#include "base/scope.hpp"
#include "base/utf8.hpp"
#include "blazen/blazen.h"
#include "engine/run.hpp"
#include "exec/host_executor.hpp"
#include "value/error.hpp"
#include "value/event.hpp"
#include "value/name.hpp"
#include "value/value.hpp"

namespace blazen::capi {

// --------------------------------------------------------------------------------------- handles and objects

struct Keys;
struct Batch;
struct WorkflowBuilder;
struct PipelineBuilder;
struct Snapshot;

template <class T>
struct HandleOf;
#define BLAZEN_HANDLE(Type, handle_type, kind_name)    \
  template <>                                          \
  struct HandleOf<Type> {                              \
    using Handle = handle_type;                        \
    static constexpr Kind kKind = Kind::kind_name;     \
    static constexpr const char* kName = #handle_type; \
  }
BLAZEN_HANDLE(Error, blazen_error, error);
BLAZEN_HANDLE(Value, blazen_value, value);
BLAZEN_HANDLE(Event, blazen_event, event);
BLAZEN_HANDLE(WorkflowBuilder, blazen_workflow_builder, workflow_builder);
BLAZEN_HANDLE(PipelineBuilder, blazen_pipeline_builder, pipeline_builder);
BLAZEN_HANDLE(Workflow, blazen_workflow, workflow);
BLAZEN_HANDLE(Runtime, blazen_runtime, runtime);
BLAZEN_HANDLE(Task, blazen_task, task);
BLAZEN_HANDLE(Run, blazen_run, run);
BLAZEN_HANDLE(Call, blazen_context, context);
BLAZEN_HANDLE(Keys, blazen_keys, keys);
BLAZEN_HANDLE(Batch, blazen_batch, batch);
BLAZEN_HANDLE(InvocationHandle, blazen_invocation, invocation);
BLAZEN_HANDLE(Stream, blazen_stream, stream);
BLAZEN_HANDLE(Snapshot, blazen_snapshot, snapshot);
#undef BLAZEN_HANDLE

// The object behind a handle; null for NULL and for another kind.
template <class T>
T* object_of(const typename HandleOf<T>::Handle* handle) noexcept {
  auto* object = reinterpret_cast<Object*>(const_cast<typename HandleOf<T>::Handle*>(handle));
  if (object == nullptr || object->kind != HandleOf<T>::kKind) return nullptr;
  return static_cast<T*>(object);
}

template <class T>
typename HandleOf<T>::Handle* handle_of(T* object) noexcept {
  return reinterpret_cast<typename HandleOf<T>::Handle*>(static_cast<Object*>(object));
}

template <class T>
typename HandleOf<T>::Handle* retain_handle(const typename HandleOf<T>::Handle* handle) noexcept {
  T* object = object_of<T>(handle);
  if (object == nullptr) return nullptr;
  retain(object);
  return handle_of(object);
}

template <class T>
void release_handle(typename HandleOf<T>::Handle* handle) noexcept {
  if (T* object = object_of<T>(handle)) Ref<T>::adopt(object).reset();
}

// ------------------------------------------------------------------------------------------------- the guard

// Hands a failure out, and answers its status.
inline blazen_status give(Ref<Error> failure, blazen_error** error) noexcept {
  const auto status = static_cast<blazen_status>(failure->status);
  if (error != nullptr) *error = handle_of(failure.take());
  return status;
}

// Runs body, which answers null or the failure. Nothing thrown passes.
template <class Body>
blazen_status guarded(blazen_error** error, Body body) noexcept {
  try {
    Ref<Error> failure = body();
    return failure ? give(std::move(failure), error) : BLAZEN_OK;
  } catch (const std::bad_alloc&) {
    return give(Error::out_of_memory(), error);
  } catch (const std::exception& unexpected) {
    return give(Error::make(Status::internal, unexpected.what()), error);
  } catch (...) {
    return give(Error::make(Status::internal, "an unknown exception inside the library"), error);
  }
}

// ------------------------------------------------------------------------------------------------- arguments

Ref<Error> bad_handle(const char* argument, const char* type, const void* handle) noexcept;
Ref<Error> bad_pointer(const char* argument) noexcept;
Ref<Error> invalid(const char* message) noexcept;
// The same, of an argument that is named.
Ref<Error> bad_argument(const char* argument, const char* what) noexcept;

template <class T>
[[gnu::always_inline]] inline Ref<Error> need(const char* argument,
                                              const typename HandleOf<T>::Handle* handle,
                                              T*& object) noexcept {
  object = object_of<T>(handle);
  if (object == nullptr) [[unlikely]]
    return bad_handle(argument, HandleOf<T>::kName, handle);
  return nullptr;
}

// What a call works on that calls out or takes a lock. The call keeps it until it returns: a callback, in
// this thread or another one, may release the last handle meanwhile. And it belongs to this process.
Ref<Error> inherited(const char* argument) noexcept;

[[gnu::always_inline]] inline Ref<Error> need_runtime(const blazen_runtime* handle,
                                                      RuntimeStay& runtime) noexcept {
  Runtime* object = nullptr;
  if (Ref<Error> error = need("runtime", handle, object)) return error;
  if (object->is_inherited()) [[unlikely]]
    return inherited("runtime");
  runtime = RuntimeStay(*object);
  return nullptr;
}

[[gnu::always_inline]] inline Ref<Error> need_run(const blazen_run* handle, Ref<Run>& run) noexcept {
  Run* object = nullptr;
  if (Ref<Error> error = need("run", handle, object)) return error;
  if (object->is_inherited()) [[unlikely]]
    return inherited("run");
  run = Ref<Run>::share(object);
  return nullptr;
}

// What is for the whole tree of runs.
[[gnu::always_inline]] inline Ref<Error> need_top(const blazen_run* handle, Ref<Run>& run) noexcept {
  if (Ref<Error> failure = need_run(handle, run)) return failure;
  if (!run || !run->is_child()) return nullptr;  // it is there: this says so to the compiler
  return Error::make(Status::wrong_place,
                     "run is inside another run: what concerns the whole is for the handle of the top");
}

inline Ref<Error> need_stream(const blazen_stream* handle, Ref<Stream>& stream) noexcept {
  Stream* object = nullptr;
  if (Ref<Error> error = need("stream", handle, object)) return error;
  if (object->run().is_inherited()) [[unlikely]]
    return inherited("stream");
  stream = Ref<Stream>::share(object);
  return nullptr;
}

// The call behind a context or an invocation. While its body runs, whoever called it keeps it, and that costs
// nothing here, on the thread of the body; one that is deferred is kept by the handle of its invocation too, which
// others may release.
class KeptCall {
 public:
  KeptCall() noexcept = default;
  KeptCall(const KeptCall&) = delete;
  KeptCall& operator=(const KeptCall&) = delete;
  ~KeptCall() {
    if (keeps_) [[unlikely]]
      let_go();
  }
  Call* operator->() const noexcept { return call_; }
  Call& operator*() const noexcept { return *call_; }
  void keep(Call* call) noexcept {
    call_ = call;
    if (!call->is_deferred() || EngineScope::keeps(call)) return;
    retain(&call->run());
    retain(call);
    keeps_ = true;
  }

 private:
  void let_go() noexcept;
  Call* call_ = nullptr;
  bool keeps_ = false;
};

[[gnu::always_inline]] inline Ref<Error> need_context(const blazen_context* handle, KeptCall& call) noexcept {
  Call* object = nullptr;
  if (Ref<Error> error = need("context", handle, object)) return error;
  if (object->run().is_inherited()) [[unlikely]]
    return inherited("context");
  call.keep(object);
  return nullptr;
}

inline Ref<Error> need_invocation(const blazen_invocation* handle, KeptCall& call) noexcept {
  InvocationHandle* object = nullptr;
  if (Ref<Error> error = need("invocation", handle, object)) return error;
  if (object->call.run().is_inherited()) [[unlikely]]
    return inherited("invocation");
  call.keep(&object->call);
  return nullptr;
}

inline Ref<Error> need_out(const char* argument, const void* out) noexcept {
  return out != nullptr ? nullptr : bad_pointer(argument);
}

// A pointer and a length that belong together.
inline Ref<Error> need_data(const char* argument, const void* data, size_t length,
                            std::string_view& view) noexcept {
  if (data == nullptr && length != 0) return bad_pointer(argument);
  view = {static_cast<const char*>(data), length};
  return nullptr;
}

// A name, a type, an id: not empty, UTF-8, without a NUL, not too long.
inline Ref<Error> need_name(const char* argument, const char* text, size_t length,
                            std::string_view& view) noexcept {
  if (Ref<Error> error = need_data(argument, text, length, view)) return error;
  return check_name(argument, view);
}

// A key of the state or the session.
inline Ref<Error> need_key(const char* text, size_t length, std::string_view& view) noexcept {
  if (Ref<Error> error = need_data("key", text, length, view)) return error;
  return check_key("key", view);
}

// A text that may be missing.
inline Ref<Error> need_label(const char* argument, const char* text, size_t length,
                             std::string_view& view) noexcept {
  if (Ref<Error> error = need_data(argument, text, length, view)) return error;
  return check_label(argument, view);
}

// The value given, or JSON null for NULL.
inline Ref<Error> need_value_or_null(const char* argument, const blazen_value* handle,
                                     Ref<Value>& value) noexcept {
  if (handle == nullptr) {
    value = Value::null();
    return nullptr;
  }
  Value* object = nullptr;
  if (Ref<Error> error = need(argument, handle, object)) return error;
  value = Ref<Value>::share(object);
  return nullptr;
}

Result<Ref<Value>> make_json(const char* argument, const char* text, size_t length);
Ref<Error> check_json_value(const char* argument, std::string_view text);
Ref<Error> check_value_size(const char* argument, size_t size) noexcept;

inline constexpr size_t kOptionsBytesMax = 4096;

// Whether a field that ends at `end` can be read of options, even where they are refused.
template <class Options>
bool has_field(const Options* given, size_t end) noexcept {
  return given != nullptr && given->struct_size >= end && given->struct_size <= kOptionsBytesMax;
}

// Copies what the caller's header knows of an option struct over the defaults. Fields that this library does
// not know must be zero: nothing asked for is ignored.
template <class Options>
Ref<Error> read_options(const Options* given, Options& options, const char* argument = "options") noexcept {
  if (given == nullptr) return nullptr;
  if (given->struct_size < sizeof(size_t) || given->struct_size > kOptionsBytesMax ||
      given->struct_size % alignof(Options) != 0) {
    return bad_argument(argument,
                        ".struct_size is not the size of the struct: set it to sizeof, or use _INIT");
  }
  const size_t known = given->struct_size < sizeof(Options) ? given->struct_size : sizeof(Options);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = known; i < given->struct_size; ++i) {
    if (bytes[i] != 0)
      return bad_argument(argument,
                          " has a field set that this library does not know: it is older than the header");
  }
  std::memcpy(&options, given, known);
  options.struct_size = sizeof(Options);
  return nullptr;
}

// Milliseconds from 0 up to a bound.
Ref<Error> check_ms(const char* argument, int64_t ms, int64_t most) noexcept;
// For a call that waits.
Ref<Error> check_timeout(int64_t timeout_ms) noexcept;

inline Ref<Error> read_sending(const blazen_send_options* given, Sending& sending) noexcept {
  blazen_send_options all = BLAZEN_SEND_OPTIONS_INIT;
  if (Ref<Error> failure = read_options(given, all)) return failure;
  if (Ref<Error> failure = check_ms("options.delay_ms", all.delay_ms, kTimeMsMax)) return failure;
  sending.delay_ms = all.delay_ms;
  sending.scope = all.scope;
  return need_label("options.step", all.step, all.step_length, sending.target);
}

// A callback of the host that waits for its moment; where there is no memory for it, user_data is dropped.
std::unique_ptr<PendingCallback> make_callback(HostFunction function, void* user_data, blazen_drop_fn drop);

template <class Options>
void init_options(Options* options, size_t struct_size) noexcept {
  if (options == nullptr || struct_size < sizeof(size_t)) return;
  std::memset(static_cast<void*>(options), 0, struct_size);
  options->struct_size = struct_size;
}

// Whether the caller's header can have a struct of this size. counters and views: the library writes them.
template <class View>
bool has_view_size(const View* view) noexcept {
  const size_t size = view->struct_size;
  return size >= sizeof(size_t) && size <= kOptionsBytesMax && size % alignof(View) == 0;
}

// As much of it as the caller's header knows; what this library does not know is zero.
template <class View>
void fill_view(View* view, View all) noexcept {
  const size_t size = view->struct_size;
  all.struct_size = size;
  if (size > sizeof all) std::memset(static_cast<void*>(view), 0, size);
  std::memcpy(static_cast<void*>(view), &all, size < sizeof all ? size : sizeof all);
}

// A text of an object as a getter answers it.
inline const char* text_out(std::string_view text, size_t* length) noexcept {
  if (length != nullptr) *length = text.size();
  return text.data();
}
inline const char* no_text(size_t* length) noexcept { return text_out({}, length); }

// Drops what the host gave, unless it was taken over.
class DropGuard {
 public:
  DropGuard(blazen_drop_fn drop, void* user_data) noexcept : drop_(drop), user_data_(user_data) {}
  DropGuard(const DropGuard&) = delete;
  DropGuard& operator=(const DropGuard&) = delete;
  ~DropGuard();
  DropGuard(DropGuard&& other) noexcept
      : drop_(std::exchange(other.drop_, nullptr)), user_data_(other.user_data_) {}
  void taken() noexcept { drop_ = nullptr; }

 private:
  blazen_drop_fn drop_;
  void* user_data_;
};

// ----------------------------------------------------------------------------------- callbacks that may fail

Ref<Error> failure_of(blazen_status status, blazen_error* given) noexcept;
Ref<Error> thrown_by_host(std::string_view what) noexcept;
// Takes over what a callback answered where it did not fail. Null: `value` is it, and not null.
Ref<Error> take_answer(Ref<Error> failure, blazen_value* answer, Ref<Value>& value) noexcept;

// Runs callback, which gets a place for its error. Null, or why it failed; what it threw included.
template <class Callback>
Ref<Error> failure_of_call(Callback callback) noexcept {
  const HostCall host_call;
  blazen_error* given = nullptr;
  Ref<Error> thrown;
  blazen_status status = BLAZEN_OK;
  try {
    status = callback(&given);
  } catch (const std::exception& exception) {
    thrown = thrown_by_host(exception.what());
  } catch (...) {
    thrown = Error::host(0, "an exception that is no std::exception", nullptr);
  }
  if (status == BLAZEN_PENDING)
    thrown = Error::make(Status::wrong_state, "only a step may answer BLAZEN_PENDING");
  if (!thrown && status != BLAZEN_OK) return failure_of(status, given);
  if (given != nullptr) release_handle<Error>(given);
  return thrown;
}

// How the engine calls the host.
extern const HostCalls kHostCalls;

}  // namespace blazen::capi
