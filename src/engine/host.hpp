// How the engine calls the host. The functions themselves belong to another language: they are kept as they
// came, and the interface that took them (capi/) knows how to call them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "run/state.hpp"
#include "snapshot/live.hpp"
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

// None throws: what the host threw has become an error.
struct HostCalls {
  Status (*step)(const StepBody& body, Call& call, const Event& event, Ref<Error>& error) noexcept;
  Ref<Error> (*done)(const HostCallback& callback, Run& run, RunStatus status) noexcept;
  Ref<Error> (*ready)(const HostCallback& callback) noexcept;
  Ref<Error> (*cancelled)(const HostCallback& callback) noexcept;
  Ref<Error> (*answered)(const HostCallback& callback, Call& call, std::string_view request_id,
                         const Ref<Value>& answer) noexcept;
  // Status::ok with an answer, or without one where it comes later; else why the question cannot be answered.
  Status (*input)(const HostCallback& callback, Run& run, const Event& request, Ref<Value>& answer,
                  Ref<Error>& error) noexcept;
  SerializeCall serialize;
};

// A callback that waits for its moment. The list that it is in owns it.
struct PendingCallback {
  HostCallback callback;
  uint32_t until = 0;      // of a run: which states it waits for
  std::string request_id;  // of an answer: to which question
  Ref<Value> answer;
  PendingCallback* next = nullptr;  // owned by the list

  PendingCallback() = default;
  PendingCallback(const PendingCallback&) = delete;
  PendingCallback& operator=(const PendingCallback&) = delete;
  ~PendingCallback() { call_drop(callback.drop, callback.user_data); }
};

// First in, first out.
class CallbackList {
 public:
  CallbackList() = default;
  CallbackList(const CallbackList&) = delete;
  CallbackList& operator=(const CallbackList&) = delete;
  ~CallbackList() {
    if (first_ != nullptr) drop_all();
  }

  bool empty() const noexcept { return first_ == nullptr; }
  void add(std::unique_ptr<PendingCallback> callback) noexcept {
    PendingCallback** end = &first_;
    while (*end != nullptr) end = &(*end)->next;
    *end = callback.release();
  }
  // Null where there is none.
  std::unique_ptr<PendingCallback> take() noexcept {
    std::unique_ptr<PendingCallback> first(first_);
    if (first) first_ = std::exchange(first->next, nullptr);
    return first;
  }
  // Takes out all that `which` holds for, in their order.
  template <class Which>
  void move_to(CallbackList& other, Which which) noexcept {
    PendingCallback** at = &first_;
    while (*at != nullptr) {
      if (!which(**at)) {
        at = &(*at)->next;
        continue;
      }
      std::unique_ptr<PendingCallback> found(*at);
      *at = std::exchange(found->next, nullptr);
      other.add(std::move(found));
    }
  }

 private:
  [[gnu::noinline]] void drop_all() noexcept {
    while (take()) continue;
  }
  PendingCallback* first_ = nullptr;  // owned
};

}  // namespace blazen
