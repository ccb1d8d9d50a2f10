// How the engine calls the host. The functions themselves belong to another language: they are kept as they
// came, and the interface that took them (capi/) knows how to call them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
  Ref<Error> (*step_cancelled)(const StepBody& body, Call& call) noexcept;
  Ref<Error> (*closed)(const HostCallback& callback) noexcept;
  Ref<Error> (*answered)(const HostCallback& callback, Call& call, std::string_view request_id,
                         const Ref<Value>& answer) noexcept;
  // Status::ok with an answer, or without one where it comes later; else why the question cannot be answered.
  Status (*input)(const HostCallback& callback, Run& run, const Event& request, Ref<Value>& answer,
                  Ref<Error>& error) noexcept;
  SerializeCall serialize;
  // Null: it goes on; else why not.
  Ref<Error> (*write)(const HostCallback& callback, std::span<const uint8_t> piece) noexcept;
};

// A callback that waits for its moment. The list that it is in owns it.
class PendingCallback {
 public:
  HostCallback callback;
  uint32_t until = 0;      // of a run: which states it waits for
  std::string request_id;  // of an answer: to which question
  Ref<Value> answer;

  PendingCallback() = default;
  PendingCallback(const PendingCallback&) = delete;
  PendingCallback& operator=(const PendingCallback&) = delete;
  ~PendingCallback() { call_drop(callback.drop, callback.user_data); }

 private:
  friend class CallbackList;
  friend class CallbackGroups;
  PendingCallback* next_ = nullptr;   // owned by the list
  PendingCallback* last_ = nullptr;   // of the first of a list: its last one
  PendingCallback* group_ = nullptr;  // of the first of a group: the first of the next group
  uint64_t order_ = 0;                // in which they came to the groups
};

// First in, first out. Each operation costs the same however many there are.
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
    callback->last_ = callback.get();
    append(callback.release());
  }
  // Null where there is none.
  std::unique_ptr<PendingCallback> take() noexcept {
    std::unique_ptr<PendingCallback> first(first_);
    if (first) first_ = without_first(*first);
    return first;
  }
  // Takes over all of them, behind its own.
  void take_all(CallbackList& other) noexcept {
    if (other.first_ != nullptr) append(std::exchange(other.first_, nullptr));
  }

 private:
  friend class CallbackGroups;
  // What is left of a list without its first one.
  static PendingCallback* without_first(PendingCallback& first) noexcept {
    PendingCallback* rest = std::exchange(first.next_, nullptr);
    if (rest != nullptr) rest->last_ = first.last_;
    return rest;
  }
  static void join(PendingCallback& list, PendingCallback& other) noexcept {
    list.last_->next_ = &other;
    list.last_ = other.last_;
  }
  void append(PendingCallback* list) noexcept {
    if (first_ == nullptr) {
      first_ = list;
    } else {
      join(*first_, *list);
    }
  }
  [[gnu::noinline]] void drop_all() noexcept {
    while (take()) continue;
  }
  PendingCallback* first_ = nullptr;  // owned
};

// Callbacks of a run, those that wait for the same states together, so that all that a state concerns are
// taken out at once, however many there are. What an operation costs grows with the number of groups alone:
// a host has a few, and there are no more of them than sets of states.
class CallbackGroups {
 public:
  CallbackGroups() = default;
  CallbackGroups(const CallbackGroups&) = delete;
  CallbackGroups& operator=(const CallbackGroups&) = delete;
  ~CallbackGroups() {
    if (first_ != nullptr) drop_all();
  }

  bool empty() const noexcept { return first_ == nullptr; }
  void add(std::unique_ptr<PendingCallback> callback) noexcept {
    callback->last_ = callback.get();
    callback->order_ = ++order_last_;
    add_list(callback.release());
  }
  // Takes out those whose states `which` holds for.
  template <class Which>
  void move_to(CallbackGroups& other, Which which) noexcept {
    PendingCallback** at = &first_;
    while (*at != nullptr) {
      if (!which((*at)->until)) {
        at = &(*at)->group_;
        continue;
      }
      PendingCallback* found = *at;
      *at = std::exchange(found->group_, nullptr);
      other.add_list(found);
    }
  }
  // The one that came first; null where there is none.
  std::unique_ptr<PendingCallback> take() noexcept {
    PendingCallback** earliest = &first_;
    if (*earliest == nullptr) return nullptr;
    for (PendingCallback** at = &first_; *at != nullptr; at = &(*at)->group_) {
      if ((*at)->order_ < (*earliest)->order_) earliest = at;
    }
    std::unique_ptr<PendingCallback> first(*earliest);
    PendingCallback* next_group = std::exchange(first->group_, nullptr);
    PendingCallback* rest = CallbackList::without_first(*first);
    if (rest != nullptr) rest->group_ = next_group;
    *earliest = rest != nullptr ? rest : next_group;
    return first;
  }

 private:
  void add_list(PendingCallback* list) noexcept {
    for (PendingCallback* at = first_; at != nullptr; at = at->group_) {
      if (at->until == list->until) return CallbackList::join(*at, *list);
    }
    list->group_ = std::exchange(first_, list);
  }
  [[gnu::noinline]] void drop_all() noexcept {
    while (take()) continue;
  }

  PendingCallback* first_ = nullptr;  // of the first group; owned
  uint64_t order_last_ = 0;
};

}  // namespace blazen
