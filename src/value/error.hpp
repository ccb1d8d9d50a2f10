// What went wrong: an error travels as a value inside the engine and becomes a handle outside.
//
// A step that fails with the error of another step wraps it, and so on, as often as a host likes. Invariants:
// a wrap costs the same however many are beneath it: the message names the steps of kErrorDepthMax wraps at
// the most, counts those beneath, and ends with what was said first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/object.hpp"
#include "base/status.hpp"
#include "value/value.hpp"

namespace blazen {

inline constexpr uint64_t kNoOffset = UINT64_MAX;

class Error final : public Object {
 public:
  // Never fails: without memory for the error itself, it is the out-of-memory error.
  static Ref<Error> make(Status status, std::string_view message) noexcept;
  static Ref<Error> at(Status status, std::string_view message, uint64_t offset) noexcept;
  // A message that is not UTF-8 is mended, and says so: code and detail are what counts.
  static Ref<Error> host(int64_t code, std::string_view message, Ref<Value> detail) noexcept;
  static Ref<Error> step_failed(std::string_view step, uint32_t attempt, Ref<Error> cause) noexcept;
  // Made before it is needed, immortal.
  static Ref<Error> out_of_memory() noexcept;

  // However long the chain of its causes.
  static void destroy(Error* error) noexcept;

  explicit Error(Status error_status, uint32_t references = 1) noexcept
      : Object(Kind::error, references), status(error_status) {}

  Status status;
  uint32_t attempt = 0;
  int64_t host_code = 0;
  uint64_t offset = kNoOffset;
  std::string message;
  uint32_t wraps = 0;   // of step_failed: how many of these are beneath one another
  size_t first_at = 0;  // where in the message that begins which was said first
  std::string step;
  Ref<Value> detail;
  Ref<Error> cause;
};

// A T or the error in its place.
template <class T>
class Result {
 public:
  Result(T value) : value_(std::move(value)) {}                    // NOLINT(google-explicit-constructor)
  Result(Ref<Error> error) noexcept : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const noexcept { return !error_; }
  T& operator*() noexcept { return *value_; }
  T* operator->() noexcept { return &*value_; }
  Ref<Error> error() noexcept { return std::move(error_); }

 private:
  std::optional<T> value_;
  Ref<Error> error_;
};

}  // namespace blazen
