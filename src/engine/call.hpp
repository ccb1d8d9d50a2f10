// The call of a step's body: what the host knows as a context, and, where it completes later, as an
// invocation.
//
// States: open (the body runs, or is pending) --finished--> closed. `deferred` says that the host has an
// invocation handle; `completed`, that somebody has said how it ends; `returned`, that the body is back. It
// finishes when the last two hold, once. The outputs belong to the one thread that uses the context; the rest
// is under the lock of the run.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/object.hpp"
#include "run/tick.hpp"

namespace blazen {

class Call;
class Run;

// What the host's invocation handle points to: counted by itself, since its last release has a meaning.
struct InvocationHandle final : Object {
  explicit InvocationHandle(Call& owner) noexcept : Object(Kind::invocation, 0), call(owner) {}
  Call& call;
};

class Call final : public Object {
 public:
  Call() noexcept : Object(Kind::context), handle_(*this) {}
  static void destroy(Call* call) noexcept { delete call; }

  Run& run() const noexcept { return *run_; }
  const StepDefinition& step() const noexcept { return *step_; }
  const Event& event() const noexcept { return *event_; }
  uint64_t invocation_id() const noexcept { return invocation_id_; }
  uint32_t attempt() const noexcept { return attempt_; }
  bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
  InvocationHandle& handle() noexcept { return handle_; }

  // Null while the call can do anything; else why it cannot.
  Ref<Error> check_open() const noexcept;

  // What a step does; the errors are for its caller. May throw std::bad_alloc.
  Ref<Error> emit(std::string_view type, Ref<Value> value);
  Ref<Error> emit_event(const Event& event, std::string_view target);
  Ref<Error> send_event(const Event& event, std::string_view target);
  Ref<Error> publish(const Event& event);
  Ref<Error> defer() noexcept;
  Ref<Error> complete(Ref<Error> failure) noexcept;
  // The host's last reference to the invocation is gone.
  void abandon() noexcept;

 private:
  friend class Run;
  friend class Runtime;

  Ref<Error> outputs_full(std::string_view type) const;
  void begin(Run& run, Invocation* invocation) noexcept;

  Run* run_ = nullptr;  // between two runs: none
  const Workflow* workflow_ = nullptr;
  InvocationHandle handle_;
  Invocation* invocation_ = nullptr;
  const StepDefinition* step_ = nullptr;
  const Event* event_ = nullptr;
  Ref<Event> event_kept_;  // of a deferred call, whose event outlives the invocation
  uint64_t invocation_id_ = 0;
  uint32_t attempt_ = 1;
  std::atomic<bool> open_{false};
  bool deferred_ = false;
  bool completed_ = false;
  bool returned_ = false;
  Ref<Error> failure_;
  TypeId emitted_last_ = kUnknownType;  // a step often emits one type many times
  std::vector<Output> outputs_;
  EventStash stash_;
  Commands commands_;  // of its writes
};

}  // namespace blazen
