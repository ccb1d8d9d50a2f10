#include "value/error.hpp"

#include <new>

namespace blazen {
namespace {

// Runs make(error) and answers what it filled, or the out-of-memory error where it could not.
template <class Fill>
Ref<Error> build(Status status, Fill fill) noexcept {
  try {
    Ref<Error> error = Ref<Error>::adopt(new Error(status));
    fill(*error);
    return error;
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

}  // namespace

Ref<Error> Error::make(Status status, std::string_view message) noexcept {
  return at(status, message, kNoOffset);
}

Ref<Error> Error::at(Status status, std::string_view message, uint64_t offset) noexcept {
  return build(status, [&](Error& error) {
    error.message = message;
    error.offset = offset;
  });
}

Ref<Error> Error::host(int64_t code, std::string_view message, Ref<Value> detail) noexcept {
  return build(Status::host, [&](Error& error) {
    error.message = message;
    error.host_code = code;
    error.detail = std::move(detail);
  });
}

Ref<Error> Error::step_failed(std::string_view step, uint32_t attempt, Ref<Error> cause) noexcept {
  return build(Status::step_failed, [&](Error& error) {
    error.message = std::string("step '").append(step).append("' failed: ").append(cause->message);
    error.step = step;
    error.attempt = attempt;
    error.host_code = cause->host_code;
    error.cause = std::move(cause);
  });
}

Ref<Error> Error::out_of_memory() noexcept {
  // Never destroyed, so that it may be used while the process ends. Its message fits std::string's own
  // buffer.
  alignas(Error) static unsigned char memory[sizeof(Error)];
  static Error* error = [] {
    auto* made = new (memory) Error(Status::out_of_memory, kImmortal);
    made->message = "no memory left";
    return made;
  }();
  return Ref<Error>::share(error);
}

}  // namespace blazen
