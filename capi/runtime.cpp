#include "engine/runtime.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "base/scope.hpp"
#include "capi/handle.hpp"
#include "exec/alarm_thread.hpp"
#include "exec/closer_thread.hpp"
#include "exec/polled_alarm.hpp"
#include "exec/pump.hpp"
#include "exec/system_clock.hpp"
#include "exec/system_entropy.hpp"
#include "exec/thread_settings.hpp"
#include "exec/threads.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {
namespace {

Status call_post(const Hooks& hooks, Task& task) noexcept {
  const HostCall host_call;
  try {
    return static_cast<Status>(
        reinterpret_cast<blazen_post_fn>(hooks.post_function)(hooks.user_data, handle_of(&task)));
  } catch (...) {
    return Status::host;
  }
}

Ref<Error> check_options(const blazen_runtime_options& options) noexcept {
  if (options.mode < BLAZEN_MODE_THREADS || options.mode > BLAZEN_MODE_EXECUTOR) {
    return invalid("options.mode is none of the values of blazen_mode");
  }
  if (options.threads > kThreadsMax) return invalid("options.threads is more than 256");
  if (options.threads_max > kThreadsInAllMax) return invalid("options.threads_max is more than 4096");
  if (options.log_level < BLAZEN_LOG_NONE || options.log_level > BLAZEN_LOG_DEBUG)
    return invalid("options.log_level is none of the values of blazen_log_level");
  if (options.mode == BLAZEN_MODE_EXECUTOR && options.post == nullptr) {
    return invalid("options.post is NULL: BLAZEN_MODE_EXECUTOR needs it");
  }
  return nullptr;
}

// Of options that are good otherwise.
Ref<Error> read_thread_settings(const blazen_runtime_options& options, ThreadSettings& settings) {
  std::string_view name;
  if (Ref<Error> failure =
          need_label("options.thread_name", options.thread_name, options.thread_name_length, name))
    return failure;
  if (name.size() > ThreadSettings::kNameBytesMax)
    return invalid("options.thread_name is longer than 15 bytes");
  if (name.find('\0') != std::string_view::npos) return invalid("options.thread_name has a NUL in it");
  if (!name.empty()) settings.name = name;
  settings.stack_bytes = options.thread_stack_bytes;
  if (settings.stack_bytes == 0) return nullptr;
  if (!ThreadSettings::kTakesStackSize)
    return invalid(
        "options.thread_stack_bytes: on this platform, a thread has the stack that the system gives");
  if (settings.stack_bytes < ThreadSettings::kStackBytesMin)
    return invalid("options.thread_stack_bytes is less than 65536");
  return nullptr;
}

class HostClock final : public Clock {
 public:
  HostClock(Ref<Hooks> hooks, blazen_clock_fn now) noexcept
      : Clock(true), hooks_(std::move(hooks)), now_(now) {}

  // A clock that falls stands still, and so does one at the end of time.
  int64_t now_ms() noexcept override {
    int64_t now = 0;
    inside_.fetch_add(1);
    const bool is_stopped = stopped_.load();
    if (!is_stopped) note_host_code(HostCode::any);
    try {
      if (!is_stopped) now = now_(hooks_->user_data);
    } catch (...) {  // NOLINT(bugprone-empty-catch): it stands still
    }
    if (inside_.fetch_sub(1) == 1 && stopped_.load()) inside_.notify_all();
    now = std::min(now, kClockMsMax);
    int64_t last = last_.load(std::memory_order_relaxed);
    while (now > last && !last_.compare_exchange_weak(last, now)) continue;
    return std::max(now, last);
  }
  int64_t date_ms() noexcept override { return now_ms(); }
  // Whoever is asking the host comes back first: either it sees that the clock is stopped, or it is seen
  // here.
  void stop() noexcept override {
    stopped_.store(true);
    for (uint32_t left = inside_.load(); left != 0; left = inside_.load()) inside_.wait(left);
  }

 private:
  const Ref<Hooks> hooks_;
  const blazen_clock_fn now_;
  std::atomic<int64_t> last_{0};
  std::atomic<uint32_t> inside_{0};  // threads that ask the host
  std::atomic<bool> stopped_{false};
};

class HostLog final : public Log {
 public:
  HostLog(Ref<Hooks> hooks, blazen_log_fn log, LogLevel most) noexcept
      : Log(log == nullptr ? LogLevel::none : most),
        hooks_(log == nullptr ? nullptr : std::move(hooks)),
        log_(log) {}

  void write(LogLevel level, std::string_view text) noexcept override {
    if (!hears(level)) return;
    const HostCall host_call;
    const EngineScope scope;
    try {
      log_(hooks_->user_data, static_cast<blazen_log_level>(level), text.data(), text.size());
    } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody else to tell
    }
  }

 private:
  const Ref<Hooks> hooks_;
  const blazen_log_fn log_;
};

std::unique_ptr<Clock> make_clock(const blazen_runtime_options& options, const Ref<Hooks>& hooks) {
  if (options.clock == nullptr) return make_system_clock();
  return std::make_unique<HostClock>(hooks, options.clock);
}

// Who tells a runtime the time.
Result<std::unique_ptr<Alarm>> make_alarm(const blazen_runtime_options& options,
                                          [[maybe_unused]] const ThreadSettings& settings,
                                          [[maybe_unused]] const Ref<Hooks>& hooks, Runtime& runtime) {
#ifndef BLAZEN_NO_THREADS
  if (options.mode != BLAZEN_MODE_PUMP && options.clock == nullptr)
    return make_alarm_thread(runtime.clock(), runtime.log(), settings, hooks, runtime.target());
#endif
  const bool is_pump =
      options.mode != BLAZEN_MODE_EXECUTOR && (options.mode == BLAZEN_MODE_PUMP || !kThreads);
  return is_pump ? make_pump_alarm(runtime.executor(), runtime.clock(), runtime.target())
                 : make_polled_alarm(runtime.clock(), runtime.target());
}

// Null where no thread of the library's has to be joined.
std::unique_ptr<Closer> make_closer([[maybe_unused]] const blazen_runtime_options& options,
                                    [[maybe_unused]] const ThreadSettings& settings) {
#ifndef BLAZEN_NO_THREADS
  if (options.mode != BLAZEN_MODE_PUMP) return make_closer_thread(settings);
#endif
  return nullptr;
}

Ref<Hooks> make_hooks(const blazen_runtime_options& options) {
  Ref<Hooks> hooks = Ref<Hooks>::adopt(new Hooks);
  hooks->user_data = options.user_data;
  hooks->attach = options.attach;
  hooks->detach = options.detach;
  hooks->wake = options.wake;
  hooks->post = call_post;
  hooks->post_function = reinterpret_cast<void (*)()>(options.post);
  return hooks;
}

Result<std::unique_ptr<Executor>> make_executor(const blazen_runtime_options& options,
                                                [[maybe_unused]] const ThreadSettings& settings,
                                                Ref<Hooks> hooks, [[maybe_unused]] Log& log) {
  if (options.mode == BLAZEN_MODE_EXECUTOR) return make_host_executor(std::move(hooks));
#ifndef BLAZEN_NO_THREADS
  if (options.mode == BLAZEN_MODE_THREADS)
    return make_threads({options.threads, options.threads_max}, settings, std::move(hooks), log);
#endif
  return make_pump(std::move(hooks));
}

// steps: how many were run; may be null.
Ref<Error> poll_steps(Runtime& runtime, uint64_t steps_max, uint64_t* steps) noexcept {
  if (EngineScope::inside()) {
    return Error::make(Status::wrong_place,
                       "a poll is not possible inside a callback: it would run inside itself");
  }
  runtime.tell_time();
  if (runtime.is_inherited()) return inherited("runtime");
  const uint64_t ran = runtime.executor().poll(steps_max);
  if (runtime.is_inherited()) return inherited("runtime");
  if (steps != nullptr) *steps = ran;
  return nullptr;
}

// In how many milliseconds; -1: never.
int64_t next_timer(Runtime& runtime) noexcept {
  const int64_t due_ms = runtime.next_timer();
  return due_ms == INT64_MAX ? -1 : std::max<int64_t>(0, due_ms - runtime.clock().now_ms());
}

}  // namespace
}  // namespace blazen::capi

void blazen_runtime_options_init(blazen_runtime_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_runtime_create(const blazen_runtime_options* options, blazen_runtime** runtime,
                                    blazen_error** error) {
  blazen_runtime_options all = BLAZEN_RUNTIME_OPTIONS_INIT;
  Ref<Error> bad_options = read_options(options, all);
  // Options that are refused are dropped all the same, as far as they can be read.
  const bool has_drop = has_field(options, offsetof(blazen_runtime_options, drop) + sizeof(blazen_drop_fn));
  DropGuard guard(has_drop ? options->drop : nullptr, has_drop ? options->user_data : nullptr);
  if (bad_options) return give(std::move(bad_options), error);
  return guarded(error, [&]() -> Ref<Error> {
    if (Ref<Error> failure = need_out("runtime", runtime)) return failure;
    if (Ref<Error> failure = check_options(all)) return failure;
    ThreadSettings settings;
    if (Ref<Error> failure = read_thread_settings(all, settings)) return failure;
    std::unique_ptr<Entropy> entropy = make_system_entropy();
    Ref<Hooks> hooks = make_hooks(all);
    auto log = std::make_unique<HostLog>(hooks, all.log, static_cast<LogLevel>(all.log_level));
    Result<std::unique_ptr<Executor>> executor = make_executor(all, settings, hooks, *log);
    if (!executor) return executor.error();
    Runtime::Ports ports{std::move(log), std::move(*executor), std::move(entropy), make_clock(all, hooks),
                         make_closer(all, settings)};
    Ref<Runtime> made = Ref<Runtime>::adopt(new Runtime(kHostCalls, std::move(ports)));
    Result<std::unique_ptr<Alarm>> alarm = make_alarm(all, settings, hooks, *made);
    if (!alarm) return alarm.error();
    made->set_alarm(std::move(*alarm));
    hooks->drop = all.drop;  // from here on, the runtime's hooks see to it
    guard.taken();
    *runtime = handle_of(made.take());
    return nullptr;
  });
}

blazen_runtime* blazen_runtime_retain(const blazen_runtime* runtime) {
  Runtime* object = object_of<Runtime>(runtime);
  if (object == nullptr) return nullptr;
  object->hold();
  return handle_of(object);
}

void blazen_runtime_release(blazen_runtime* runtime) {
  if (Runtime* object = object_of<Runtime>(runtime)) object->let_go();
}

blazen_status blazen_runtime_close(blazen_runtime* runtime, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Runtime* object = nullptr;
    if (Ref<Error> failure = need("runtime", runtime, object)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a runtime cannot be closed from inside a callback: release it instead");
    }
    const Ref<Runtime> kept = Ref<Runtime>::share(object);  // a callback may release the last handle
    object->close();
    return nullptr;
  });
}

blazen_status blazen_runtime_close_within(blazen_runtime* runtime, int64_t timeout_ms, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Runtime* object = nullptr;
    if (Ref<Error> failure = need("runtime", runtime, object)) return failure;
    if (Ref<Error> failure = check_timeout(timeout_ms)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a runtime cannot be closed from inside a callback: release it instead");
    }
    const Ref<Runtime> kept = Ref<Runtime>::share(object);  // a callback may release the last handle
    return object->close_within(timeout_ms);
  });
}

blazen_status blazen_runtime_begin_close(blazen_runtime* runtime, blazen_closed_fn closed, void* user_data,
                                         blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (closed == nullptr) return bad_pointer("closed");
    guard.taken();
    return object->close_later(make_callback(reinterpret_cast<HostFunction>(closed), user_data, drop));
  });
}

blazen_status blazen_runtime_poll(blazen_runtime* runtime, uint64_t steps_max, uint64_t* steps,
                                  blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    return poll_steps(*object, steps_max, steps);
  });
}

blazen_status blazen_runtime_poll_next(blazen_runtime* runtime, uint64_t steps_max, uint64_t* steps,
                                       int64_t* delay_ms, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (Ref<Error> failure = need_out("delay_ms", delay_ms)) return failure;
    if (Ref<Error> failure = poll_steps(*object, steps_max, steps)) return failure;
    *delay_ms = object->executor().has_work() ? 0 : next_timer(*object);
    return nullptr;
  });
}

blazen_status blazen_runtime_next_timer(blazen_runtime* runtime, int64_t* delay_ms, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (Ref<Error> failure = need_out("delay_ms", delay_ms)) return failure;
    *delay_ms = next_timer(*object);
    return nullptr;
  });
}

void blazen_runtime_counters_init(blazen_runtime_counters* counters, size_t struct_size) {
  init_options(counters, struct_size);
}

blazen_status blazen_runtime_count(blazen_runtime* runtime, blazen_runtime_counters* counters,
                                   blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (Ref<Error> failure = need_out("counters", counters)) return failure;
    if (!has_view_size(counters))
      return invalid("counters.struct_size is not the size of the struct: set it to sizeof");
    const RuntimeCounters now = object->count();
    fill_view(counters, {sizeof *counters, now.created, now.running, now.waiting, now.elsewhere, now.paused,
                         now.asking, now.completed, now.failed, now.cancelled, now.events_routed, now.queued,
                         now.in_flight, now.abandoned, now.hands.threads, now.hands.kept});
    return nullptr;
  });
}

blazen_status blazen_runtime_set_pool(blazen_runtime* runtime, const char* name, size_t name_length,
                                      uint32_t permits, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    std::string_view pool;
    if (Ref<Error> failure = need_name("name", name, name_length, pool)) return failure;
    if (permits == 0) return invalid("permits is 0: nothing that uses the pool could ever run");
    object->set_pool(pool, permits);
    return nullptr;
  });
}

blazen_status blazen_runtime_descriptor(blazen_runtime* runtime, int32_t* descriptor, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    RuntimeStay object;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (Ref<Error> failure = need_out("descriptor", descriptor)) return failure;
    Result<int> number = object->executor().descriptor();
    if (!number) return number.error();
    *descriptor = *number;
    return nullptr;
  });
}

void blazen_task_run(blazen_task* task) {
  Task* object = object_of<Task>(task);
  if (object == nullptr) return;
  if (EngineScope::inside()) {
    object->cancel(Error::make(
        Status::wrong_place,
        "blazen_task_run was called from inside a callback, where steps would pile up on one stack"));
  } else {
    object->run();
  }
}

void blazen_task_cancel(blazen_task* task) {
  Task* object = object_of<Task>(task);
  if (object == nullptr) return;
  object->cancel(Error::make(Status::cancelled, "the host's scheduler cancelled a step of the run"));
}
