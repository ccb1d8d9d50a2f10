// What the engine has to say without being asked: to the host's log, if it has one. The engine prints
// nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace blazen {

// The numbers of the public header (capi/ asserts it).
enum class LogLevel : int32_t { none = 0, error = 1, warning = 2, info = 3, debug = 4 };

class Log {
 public:
  explicit Log(LogLevel most) noexcept : most_(most) {}
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  virtual ~Log() = default;

  // Nothing need be put into words for a level that nobody reads.
  bool hears(LogLevel level) const noexcept { return level <= most_; }
  // Calls the host: never under a lock.
  virtual void write(LogLevel level, std::string_view text) noexcept = 0;

 private:
  const LogLevel most_;
};

}  // namespace blazen
