// Why a run does not do what it was asked.
#pragma once

#include <string>
#include <string_view>

#include "base/quotes.hpp"
#include "run/tick.hpp"
#include "value/error.hpp"

namespace blazen {

// Of a call that was inside when a callback forked: this is the child, on its way back to the host.
inline Ref<Error> forked_here() noexcept {
  return Error::make(Status::wrong_state,
                     "this process was forked in a callback: what it has inherited belongs to its parent");
}

inline Ref<Error> ended_before() noexcept {
  return Error::make(Status::cancelled, "the run has already ended");
}

inline Ref<Error> closed_runtime() noexcept {
  return Error::make(Status::cancelled, "the runtime is closed");
}

inline Ref<Error> limit_reached(const char* limit) noexcept {
  try {
    return Error::make(Status::limit, std::string(limit).append(" is reached"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

inline Ref<Error> version_conflict(const Write& write) noexcept {
  try {
    return Error::make(Status::conflict, "key " + in_quotes(write.key) + " does not have version " +
                                             std::to_string(write.expected));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

// Of a write that the state did not take.
inline Ref<Error> refused_write(const Commands& commands, std::span<const Write> writes) noexcept {
  return commands.status == Status::limit ? limit_reached(commands.limit)
                                          : version_conflict(writes[commands.fault]);
}

// Of a tick that a step or the outside asked for; null: it was not refused.
inline Ref<Error> refused_tick(Commands& commands) noexcept {
  if (commands.status == Status::ok || commands.status == Status::pending) return nullptr;
  if (commands.has_cold() && commands.cold().late_error) return std::move(commands.cold().late_error);
  return limit_reached(commands.limit);
}

}  // namespace blazen
