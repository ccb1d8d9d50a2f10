// An event: a type name and a value, and, once it was routed, its id and the step that made it.
//
// Invariants: immutable once anybody else can see it. One allocation: the texts stand behind the object, each with a NUL.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/object.hpp"
#include "value/value.hpp"

namespace blazen {

inline constexpr std::string_view kStartEvent = "blazen::StartEvent";
inline constexpr std::string_view kStopEvent = "blazen::StopEvent";
inline constexpr std::string_view kStreamEnd = "blazen::StreamEnd";
inline constexpr std::string_view kStreamGap = "blazen::StreamGap";
inline constexpr std::string_view kLifecycle = "blazen::lifecycle";

class Event final : public Object {
 public:
  // Throws std::bad_alloc.
  static Ref<Event> make(std::string_view type, Ref<Value> value, std::string_view source = {},
                         std::string_view correlation = {});
  static void destroy(Event* event) noexcept;

  std::string_view type() const noexcept { return {texts(), type_size_}; }
  std::string_view source() const noexcept { return {texts() + type_size_ + 1, source_size_}; }
  std::string_view correlation() const noexcept {
    return {texts() + type_size_ + source_size_ + 2, correlation_size_};
  }
  const Ref<Value>& value() const noexcept { return value_; }

  // Given by the router, before anybody else sees the event. 0: not routed.
  uint64_t id = 0;

 private:
  explicit Event(Ref<Value> value) noexcept : Object(Kind::event), value_(std::move(value)) {}
  const char* texts() const noexcept { return reinterpret_cast<const char*>(this + 1); }

  uint32_t type_size_ = 0;
  uint32_t source_size_ = 0;
  uint32_t correlation_size_ = 0;
  Ref<Value> value_;
};

}  // namespace blazen
