// The host's callbacks that belong to a runtime, with the user_data that they share. Counted: every thread
// that may call one has a reference, so that drop runs after the last call, once.
#pragma once

#include "base/host_call.hpp"
#include "base/object.hpp"
#include "base/status.hpp"
#include "value/value.hpp"

namespace blazen {

class Task;

struct Hooks final : Object {
  using Function = void (*)(void* user_data);
  using Post = Status (*)(const Hooks& hooks, Task& task) noexcept;

  Hooks() noexcept : Object(Kind::dead) {}
  static void destroy(Hooks* hooks) noexcept {
    const DropFn drop = hooks->drop;
    void* user_data = hooks->user_data;
    delete hooks;
    call_drop(drop, user_data);
  }
  // What the host throws ends here.
  void call(Function function) const noexcept {
    if (function == nullptr) return;
    const HostCall host_call;
    try {
      function(user_data);
    } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody to tell
    }
  }
  // The same, from a thread that belongs to no run: what waits is refused meanwhile.
  void call_as_engine(Function function) const noexcept;

  void* user_data = nullptr;
  DropFn drop = nullptr;
  Function attach = nullptr;
  Function detach = nullptr;
  Function wake = nullptr;
  Post post = nullptr;                // knows how to call
  void (*post_function)() = nullptr;  // the host's own
};

}  // namespace blazen
