// What a step does with its context: emit, send, publish, ask, write. The errors are for its caller; all may throw
// std::bad_alloc. The call itself, with what it has emitted so far, is in call.hpp; what it asks of its run, in
// run.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "engine/run.hpp"

namespace blazen {

class Context {
 public:
  explicit Context(Call& call) noexcept : call_(call) {}

  bool is_cancelled() const noexcept {
    return call_.abandoned_.load(std::memory_order_acquire) || run().ended();
  }
  Ref<Error> check_open() const noexcept { return run().check_open(call_); }

  Ref<Error> emit(std::string_view type, Ref<Value> value);
  // The same for an event of the type that was emitted last, which is the everyday case. False: it is
  // another, or there is an error, and nothing was done.
  [[gnu::always_inline]] bool emit_again(std::string_view type, Value& value) {
    if (!call_.is_open() || run().ended() || type.empty() || !same_text(call_.emitted_name_, type) ||
        call_.outputs_.size() >= call_.outputs_max_) [[unlikely]]
      return false;
    call_.outputs_.push_back(
        Output{Event::make_in(call_.event_cache_, type, Ref<Value>::share(&value), call_.step_->name),
               call_.emitted_last_, kNoStep});
    return true;
  }
  // With a correlation; of a part that the engine runs.
  Ref<Error> emit_as(std::string_view type, Ref<Value> value, std::string_view correlation);
  // Of a decision: the one value that it has to give.
  Ref<Error> answer(Ref<Value> value);
  // Of a loop: another round with its result, or that is what it comes to.
  Ref<Error> end_round(bool again);
  // A progress item that is there already.
  Ref<Error> report(const Ref<Event>& item) { return run().progress(item); }
  Ref<Error> emit_event(const Event& event, const Sending& sending);
  Ref<Error> send_event(const Event& event, const Sending& sending);
  Ref<Error> publish(const Event& event);
  Ref<Error> progress(std::string_view label, uint64_t current, uint64_t total);
  Ref<Error> retry_after(int64_t delay_ms);

  // What the step was invoked with: of a join, what has arrived; of the results of several workflows at once, each. Valid as
  // long as the call.
  Ref<Error> events(const Event* const*& first, size_t& count);
  // Status::ok: the group is whole, and events() gives it. Status::pending: not yet, and the body is done.
  Result<Status> collect(std::string_view key, std::span<const Wanted> wanted);
  struct Joined {
    JoinReason reason = JoinReason::none;
    uint32_t wanted = 0;
    uint64_t arrived = 0;
    uint64_t scope_id = 0;
  };
  Result<Joined> joined();

  // Status::ok: *answer is there. Status::pending: it was asked. The callback may be null.
  struct Asking {
    std::string_view request_id;  // empty: one is made
    std::string_view prompt;
    Ref<Value> metadata;
    int64_t deadline_ms = 0;    // 0: none
    Ref<Value> default_answer;  // where there is one; the engine's own copy
  };
  Result<Status> ask(const Asking& asking, std::unique_ptr<PendingCallback> callback, Ref<Value>& answer);

 private:
  // An InputRequestEvent as it goes out: with an id.
  struct Request {
    Ref<Event> event;
    uint64_t digest = 0;
    std::string instead_of{};  // see QuestionName
  };
  Run& run() const noexcept { return call_.run(); }
  Ref<Error> answer_condition(const Value& value);
  Ref<Error> answer_until(const Value& value);
  Ref<Error> need_group(const Group*& group);
  void show_group(const Group& group);
  bool show_branches();
  Ref<Error> outputs_full(std::string_view type) const;
  Ref<Error> emit_output(Output output, const Sending& sending, bool at_once);
  uint64_t identity_of_send(const Output& output, std::string_view target) noexcept;
  Ref<Error> send_request(Tick& tick, const Sending& sending);
  Result<Request> make_request(Asks how, std::string_view correlation, const Value& value);

  Call& call_;
};

}  // namespace blazen
