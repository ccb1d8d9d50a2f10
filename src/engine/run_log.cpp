// What a run has to say to the host's log.
#include <new>
#include <string>

#include "engine/run.hpp"

namespace blazen {

void Run::note_for_log(LogLevel level, const Ref<Error>& error, const char* what,
                       Notifications& notifications) const noexcept {
  if (!runtime_->log().hears(level)) return;
  notifications.log_record = {level, what, error};
  notifications.more = true;
}

void Run::tell_log(LogLevel level, std::string_view text, std::string_view more) const noexcept {
  Log& log = runtime_->log();
  if (!log.hears(level)) return;
  try {
    log.write(level, std::string("run ")
                         .append(id())
                         .append(" of workflow '")
                         .append(workflow().name())
                         .append("': ")
                         .append(text)
                         .append(more));
  } catch (const std::bad_alloc&) {
    log.write(LogLevel::error, "no memory left for what the log should be told");
  }
}

void Run::write_log_record(const LogRecord& record) const noexcept {
  if (!record.error) return tell_log(record.level, record.what);
  tell_log(record.level, record.error->message, record.what);
}

void Run::tell_log_threw(const Ref<Error>& thrown) const noexcept {
  if (thrown) tell_log(LogLevel::error, "a callback of the host threw: ", thrown->message);
}

void Run::tell_log_ended() const noexcept {
  if (state().phase == Phase::completed) return tell_log(LogLevel::debug, "completed");
  const std::string_view why = state().error ? std::string_view(state().error->message) : std::string_view();
  tell_log(LogLevel::info, state().phase == Phase::failed ? "failed: " : "cancelled: ", why);
}

}  // namespace blazen
