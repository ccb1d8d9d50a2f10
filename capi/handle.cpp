#include "capi/handle.hpp"

#include "codec/json_check.hpp"

namespace blazen::capi {
namespace {

const char* kind_name(Kind kind) noexcept {
  switch (kind) {
    case Kind::dead: return "a handle that was released";
    case Kind::error: return "a blazen_error";
    case Kind::value: return "a blazen_value";
    case Kind::event: return "a blazen_event";
    case Kind::workflow_builder: return "a blazen_workflow_builder";
    case Kind::workflow: return "a blazen_workflow";
    case Kind::runtime: return "a blazen_runtime";
    case Kind::task: return "a blazen_task";
    case Kind::run: return "a blazen_run";
    case Kind::context: return "a blazen_context";
    case Kind::keys: return "a blazen_keys";
    case Kind::batch: return "a blazen_batch";
    case Kind::invocation: return "a blazen_invocation";
    case Kind::stream: return "a blazen_stream";
    case Kind::snapshot: return "a blazen_snapshot";
    case Kind::pipeline_builder: return "a blazen_pipeline_builder";
  }
  return "no handle of this library";
}

// Of a callback that answers nothing: what it threw, or null.
template <class Callback>
Ref<Error> shielded(Callback callback) noexcept {
  const HostCall host_call;
  try {
    callback();
    return nullptr;
  } catch (const std::exception& thrown) {
    return thrown_by_host(thrown.what());
  } catch (...) {
    return Error::host(0, "an exception that is no std::exception", nullptr);
  }
}

Status call_step(const StepBody& body, Call& call, const Event& event, Ref<Error>& failure) noexcept {
  const HostCall host_call;
  blazen_error* given = nullptr;
  blazen_status status = BLAZEN_OK;
  try {
    status = reinterpret_cast<blazen_step_fn>(body.call)(body.user_data, handle_of(&call),
                                                         handle_of(const_cast<Event*>(&event)), &given);
  } catch (const std::exception& thrown) {
    status = BLAZEN_ERROR_HOST;
    failure = thrown_by_host(thrown.what());
  } catch (...) {
    status = BLAZEN_ERROR_HOST;
    failure = Error::host(0, "an exception that is no std::exception", nullptr);
  }
  if (status == BLAZEN_OK || status == BLAZEN_PENDING || failure) {
    if (given != nullptr) release_handle<Error>(given);
  } else {
    failure = failure_of(status, given);
  }
  return failure ? failure->status : static_cast<Status>(status);
}

Ref<Error> call_done(const HostCallback& callback, Run& run, RunStatus status) noexcept {
  return shielded([&] {
    reinterpret_cast<blazen_run_done_fn>(callback.function)(callback.user_data, handle_of(&run),
                                                            static_cast<blazen_run_state>(status));
  });
}

Ref<Error> call_ready(const HostCallback& callback) noexcept {
  return shielded([&] { reinterpret_cast<blazen_stream_ready_fn>(callback.function)(callback.user_data); });
}

Ref<Error> call_cancelled(const HostCallback& callback) noexcept {
  return shielded([&] { reinterpret_cast<blazen_cancel_fn>(callback.function)(callback.user_data); });
}

Ref<Error> call_step_cancelled(const StepBody& body, Call& call) noexcept {
  return shielded(
      [&] { reinterpret_cast<blazen_step_cancel_fn>(body.cancelled)(body.user_data, handle_of(&call)); });
}

Ref<Error> call_closed(const HostCallback& callback) noexcept {
  return shielded([&] { reinterpret_cast<blazen_closed_fn>(callback.function)(callback.user_data); });
}

Ref<Error> call_answered(const HostCallback& callback, Call& call, std::string_view request_id,
                         const Ref<Value>& answer) noexcept {
  return shielded([&] {
    reinterpret_cast<blazen_answer_fn>(callback.function)(
        callback.user_data, handle_of(&call), request_id.data(), request_id.size(), handle_of(answer.get()));
  });
}

Status call_input(const HostCallback& callback, Run& run, const Event& request, Ref<Value>& answer,
                  Ref<Error>& failure) noexcept {
  const HostCall host_call;
  blazen_error* given = nullptr;
  blazen_value* value = nullptr;
  blazen_status status = BLAZEN_ERROR_HOST;
  try {
    status = reinterpret_cast<blazen_input_fn>(callback.function)(
        callback.user_data, handle_of(&run), handle_of(const_cast<Event*>(&request)), &value, &given);
  } catch (const std::exception& thrown) {
    failure = thrown_by_host(thrown.what());
  } catch (...) {
    failure = Error::host(0, "an exception that is no std::exception", nullptr);
  }
  if (Value* object = object_of<Value>(value)) answer = Ref<Value>::adopt(object);
  if (status == BLAZEN_OK || status == BLAZEN_PENDING || failure) {
    if (given != nullptr) release_handle<Error>(given);
  } else {
    failure = failure_of(status, given);
  }
  return failure ? failure->status : static_cast<Status>(status);
}

Ref<Error> call_serialize(const Value& live, Ref<Value>& kept) noexcept {
  blazen_value* answer = nullptr;
  Ref<Error> failure = failure_of_call([&](blazen_error** error) {
    return reinterpret_cast<blazen_serialize_fn>(live.serialize())(live.object(), &answer, error);
  });
  failure = take_answer(std::move(failure), answer, kept);
  if (failure || kept->tag() != Tag::live) return failure;
  kept.reset();
  return Error::make(Status::wrong_tag, "its answer is LIVE itself");
}

Ref<Error> call_write(const HostCallback& callback, std::span<const uint8_t> piece) noexcept {
  return failure_of_call([&](blazen_error** error) {
    return reinterpret_cast<blazen_write_fn>(callback.function)(callback.user_data, piece.data(),
                                                                piece.size(), error);
  });
}

}  // namespace

const HostCalls kHostCalls{call_step,   call_done,     call_ready, call_cancelled, call_step_cancelled,
                           call_closed, call_answered, call_input, call_serialize, call_write};

Ref<Error> failure_of(blazen_status status, blazen_error* given) noexcept {
  if (Error* error = object_of<Error>(given)) return Ref<Error>::adopt(error);
  if (std::strcmp(status_name(static_cast<Status>(status)), "BLAZEN_UNKNOWN") != 0) {
    return Error::make(static_cast<Status>(status), status_name(static_cast<Status>(status)));
  }
  return Error::host(status, "it answered a status that this library does not know", nullptr);
}

Ref<Error> thrown_by_host(std::string_view what) noexcept { return Error::host(0, what, nullptr); }

Ref<Error> take_answer(Ref<Error> failure, blazen_value* answer, Ref<Value>& value) noexcept {
  Ref<Value> given = Ref<Value>::adopt(object_of<Value>(answer));
  if (failure) return failure;
  if (answer == nullptr) return invalid("it answered BLAZEN_OK and no value");
  if (!given) return Error::make(Status::wrong_handle, "it answered BLAZEN_OK and what is no blazen_value");
  value = std::move(given);
  return nullptr;
}

Ref<Error> bad_handle(const char* argument, const char* type, const void* handle) noexcept {
  try {
    if (handle == nullptr)
      return Error::make(Status::invalid_argument, std::string(argument).append(" is NULL"));
    return Error::make(Status::wrong_handle,
                       std::string(argument)
                           .append(" is not a ")
                           .append(type)
                           .append(" but ")
                           .append(kind_name(static_cast<const Object*>(handle)->kind)));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

void KeptCall::let_go() noexcept {
  const Ref<Run> run = Ref<Run>::adopt(&call_->run());  // the last to go
  Ref<Call>::adopt(call_).reset();
}

Ref<Error> inherited(const char* argument) noexcept {
  try {
    return Error::make(
        Status::wrong_state,
        std::string(argument).append(" was made before a fork: this process needs a runtime of its own"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> bad_pointer(const char* argument) noexcept {
  try {
    return Error::make(Status::invalid_argument, std::string(argument).append(" is NULL"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> bad_argument(const char* argument, const char* what) noexcept {
  try {
    return Error::make(Status::invalid_argument, std::string(argument).append(what));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> check_timeout(int64_t timeout_ms) noexcept {
  if (timeout_ms >= 0 || timeout_ms == BLAZEN_FOREVER) return nullptr;
  return invalid("timeout_ms is negative: give 0 to look, or BLAZEN_FOREVER");
}

Ref<Error> check_ms(const char* argument, int64_t ms, int64_t most) noexcept {
  if (ms >= 0 && ms <= most) return nullptr;
  try {
    return Error::make(Status::invalid_argument,
                       std::string(argument)
                               .append(" is ")
                               .append(std::to_string(ms))
                               .append(ms < 0 ? ": a time is not negative" : ", more than ") +
                           (ms < 0 ? "" : std::to_string(most) + " milliseconds"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

std::unique_ptr<PendingCallback> make_callback(HostFunction function, void* user_data, blazen_drop_fn drop) {
  DropGuard guard(drop, user_data);
  auto callback = std::make_unique<PendingCallback>();
  callback->callback = {function, user_data, drop};
  guard.taken();
  return callback;
}

Ref<Error> invalid(const char* message) noexcept { return Error::make(Status::invalid_argument, message); }

Result<Ref<Value>> make_json(const char* argument, const char* text, size_t length) {
  std::string_view view;
  if (Ref<Error> error = need_data(argument, text, length, view)) return error;
  if (Ref<Error> error = check_json_value(argument, view)) return error;
  return Value::copy(Tag::json, view);
}

Ref<Error> check_json_value(const char* argument, std::string_view text) {
  if (Ref<Error> error = check_value_size(argument, text.size())) return error;
  const JsonFault fault = check_json(text.data(), text.size(), kJsonDepthMax);
  if (!fault) return nullptr;
  if (fault.reason == kJsonTooDeep) {
    return Error::at(Status::limit,
                     std::string(argument) + " is nested too deep at byte " + std::to_string(fault.offset) +
                         "; BLAZEN_JSON_DEPTH_MAX is " + std::to_string(kJsonDepthMax),
                     fault.offset);
  }
  return Error::at(
      Status::invalid_json,
      std::string(argument) + " is not JSON at byte " + std::to_string(fault.offset) + ": " + fault.reason,
      fault.offset);
}

Ref<Error> check_value_size(const char* argument, size_t size) noexcept {
  if (size <= kValueBytesMax) return nullptr;
  try {
    return Error::make(Status::limit, std::string(argument) + " has " + std::to_string(size) +
                                          " bytes; BLAZEN_VALUE_BYTES_MAX is " +
                                          std::to_string(kValueBytesMax));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

DropGuard::~DropGuard() { call_drop(drop_, user_data_); }

}  // namespace blazen::capi
