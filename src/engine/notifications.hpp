// What a change of a run leaves to be done once its lock is open: callbacks of the host, words for its log, and
// what the runtime has to know. Collected under the lock by those who change something, done by Run::notify().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/call.hpp"
#include "engine/host.hpp"
#include "engine/stream.hpp"
#include "port/log.hpp"

namespace blazen {

class Pool;
class Run;

// Something for the log.
struct LogRecord {
  LogLevel level = LogLevel::none;
  const char* what = nullptr;  // null: there is none. After the message of the error, if there is one
  Ref<Error> error;
};

struct LeftOver;
// Known where kinship.hpp is; so what most never have costs a look, and no call.
struct LeftOverDelete {
  void operator()(LeftOver* left_over) const noexcept;
};
using LeftOverPointer = std::unique_ptr<LeftOver, LeftOverDelete>;

struct Notifications {
  Notifications() noexcept = default;
  Notifications(const Notifications&) = delete;
  Notifications& operator=(const Notifications&) = delete;

  CallbackGroups done;
  CallbackList cancelled;
  Call* cancelled_calls = nullptr;  // whose steps want to hear of it; the list has a reference to each
  CallbackList answered;
  bool cancels = false;  // the run has ended, and those that still work are to be told
  Ref<Call> answered_call;
  std::vector<Ref<Event>> requests;  // questions that the input handler has not seen
  int64_t due_ms = INT64_MAX;        // earlier than the runtime knows
  Stream* ready = nullptr;           // through next_notified_; each holds a reference and counts in calling_
  bool is_callback_round = false;    // counted in callback_rounds: done and requests are given the run
  bool sets_alarm = false;           // the next moment is earlier than the alarm knows
  RunStatus status = RunStatus::running;
  size_t hands = 0;
  bool ended = false;
  bool kept = false;           // bodies are at work whose outcome counts no more
  bool came_back = false;      // and one of those before is back
  Pool* hands_out = nullptr;   // it has a permit for another run
  bool hands_all_out = false;  // several of them have
  LogRecord log_record;
  bool works_on = false;   // this thread looks for more to do in the tree before it leaves
  Run* cut_off = nullptr;  // children that are to end, or have: through next_cut_off; each with a reference
  LeftOverPointer left_over;   // of ticks that followed from one of a child: a list
  Call* spare_call = nullptr;  // of a run that has ended: the runtime gets it
  bool more = false;           // whoever sets one of the others sets it

  bool any() const noexcept { return more; }
  // What another has for callbacks of bodies, of the input handler, and of the log. This one has none yet.
  void take_callbacks(Notifications& other) noexcept {
    cancelled.take_all(other.cancelled);
    cancelled_calls = std::exchange(other.cancelled_calls, nullptr);
    answered.take_all(other.answered);
    answered_call = std::move(other.answered_call);
    requests = std::move(other.requests);
    other.requests.clear();
    is_callback_round = std::exchange(other.is_callback_round, false);
    log_record = std::exchange(other.log_record, {});
    more = true;
  }
  // Whether there is something for the host's callbacks of the run, or of its log.
  bool call_out() const noexcept {
    return is_callback_round || ended || kept || ready != nullptr || log_record.what != nullptr || cancels ||
           !cancelled.empty() || cut_off != nullptr || left_over || cancelled_calls != nullptr ||
           answered_call;
  }
};

}  // namespace blazen
