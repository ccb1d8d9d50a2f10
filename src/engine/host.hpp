// How the engine calls the host. The functions themselves belong to another language: they are kept as they
// came, and the interface that took them (capi/) knows how to call them.
#pragma once

#include "run/state.hpp"
#include "value/error.hpp"
#include "value/event.hpp"

namespace blazen {

class Call;
class Run;

using HostFunction = void (*)();

// A one-shot callback. `drop` runs after the call, or instead of it.
struct HostCallback {
  HostFunction function = nullptr;
  void* user_data = nullptr;
  DropFn drop = nullptr;
};

// Neither throws: what the host threw has become a status, or nothing.
struct HostCalls {
  Status (*step)(const StepBody& body, Call& call, const Event& event, Ref<Error>& error) noexcept;
  void (*done)(const HostCallback& callback, Run& run, RunStatus status) noexcept;
  void (*ready)(const HostCallback& callback) noexcept;
};

}  // namespace blazen
