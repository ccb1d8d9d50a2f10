#include "engine/runtime.hpp"

#include <cstddef>

#include "capi/handle.hpp"
#include "engine/scope.hpp"
#include "exec/pump.hpp"
#include "exec/system_entropy.hpp"
#include "exec/threads.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {
namespace {

Status call_post(const Hooks& hooks, Task& task) noexcept {
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
  if (options.mode == BLAZEN_MODE_EXECUTOR && options.post == nullptr) {
    return invalid("options.post is NULL: BLAZEN_MODE_EXECUTOR needs it");
  }
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

Result<std::unique_ptr<Executor>> make_executor(const blazen_runtime_options& options, Ref<Hooks> hooks) {
  if (options.mode == BLAZEN_MODE_EXECUTOR) return make_host_executor(std::move(hooks));
#ifndef BLAZEN_NO_THREADS
  if (options.mode == BLAZEN_MODE_THREADS) return make_threads(options.threads, std::move(hooks));
#endif
  return make_pump(std::move(hooks));
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
  const bool has_drop = options != nullptr && options->struct_size > offsetof(blazen_runtime_options, drop);
  DropGuard guard(has_drop ? options->drop : nullptr, has_drop ? options->user_data : nullptr);
  if (bad_options) return give(std::move(bad_options), error);
  return guarded(error, [&]() -> Ref<Error> {
    if (Ref<Error> failure = need_out("runtime", runtime)) return failure;
    if (Ref<Error> failure = check_options(all)) return failure;
    std::unique_ptr<Entropy> entropy = make_system_entropy();
    Ref<Hooks> hooks = make_hooks(all);
    Result<std::unique_ptr<Executor>> executor = make_executor(all, hooks);
    if (!executor) return executor.error();
    Ref<Runtime> made =
        Ref<Runtime>::adopt(new Runtime(kHostCalls, std::move(*executor), std::move(entropy)));
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
    object->close();
    return nullptr;
  });
}

blazen_status blazen_runtime_poll(blazen_runtime* runtime, uint64_t steps_max, uint64_t* steps,
                                  blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Runtime* object = nullptr;
    if (Ref<Error> failure = need_runtime(runtime, object)) return failure;
    if (EngineScope::inside()) {
      return Error::make(Status::wrong_place,
                         "a poll is not possible inside a callback: it would run inside itself");
    }
    const uint64_t ran = object->executor().poll(steps_max);
    if (steps != nullptr) *steps = ran;
    return nullptr;
  });
}

blazen_status blazen_runtime_descriptor(blazen_runtime* runtime, int32_t* descriptor, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Runtime* object = nullptr;
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
