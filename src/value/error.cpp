#include "value/error.hpp"

#include <new>

#include "base/limits.hpp"
#include "base/utf8.hpp"

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
    const size_t valid = utf8_valid_prefix(message.data(), message.size());
    if (valid == message.size()) {
      error.message = message;
    } else {
      error.message =
          utf8_mended(message) + " (mended: it was not UTF-8 from byte " + std::to_string(valid) + ")";
      error.offset = valid;
    }
    error.host_code = code;
    error.detail = std::move(detail);
  });
}

void Error::destroy(Error* error) noexcept {
  Ref<Error> cause = std::move(error->cause);
  delete error;
  // The last reference to a cause: nobody else can find it now.
  while (cause && cause->refs.load(std::memory_order_acquire) == 1) {
    Ref<Error> next = std::move(cause->cause);
    cause = std::move(next);
  }
}

Ref<Error> Error::step_failed(std::string_view step, uint32_t attempt, Ref<Error> cause) noexcept {
  return build(Status::step_failed, [&](Error& error) {
    error.message = std::string("step '").append(step).append("' failed: ");
    error.wraps = cause->wraps == UINT32_MAX ? UINT32_MAX : cause->wraps + 1;
    std::string_view said = cause->message;
    if (cause->wraps >= kErrorDepthMax) {
      said.remove_prefix(cause->first_at);
      error.message.append("through ").append(std::to_string(cause->wraps)).append(" more steps: ");
      error.first_at = error.message.size();
    } else {
      error.first_at = error.message.size() + cause->first_at;
    }
    error.message.append(said);
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
