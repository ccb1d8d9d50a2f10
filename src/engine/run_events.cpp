// Events that come to a run while it runs, from outside and from its bodies, and who listens to it.
#include <algorithm>
#include <new>
#include <utility>

#include "base/quotes.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/transaction.hpp"

namespace blazen {

Ref<Error> stream_type_refused(std::string_view type) {
  return Error::make(Status::invalid_argument,
                     "event: " + in_quotes(type) + " is a type that the library itself puts on streams");
}

Result<Output> Run::address(const Event& event, std::string_view target, Call* sender) const {
  Output output;
  output.type = sender == nullptr ? workflow().find_type(event.type()) : sender->find_sent_type(event.type());
  if (output.type == kUnknownType && is_stream_type(event.type())) return stream_type_refused(event.type());
  if (!target.empty()) {
    output.target = workflow().find_step(target);
    if (output.target == kNoStep) {
      return Error::make(Status::not_found, "step: workflow " + in_quotes(workflow().name()) +
                                                " has no step " + in_quotes(target));
    }
    if (!workflow().steps()[output.target].accepts_type(event.type())) {
      return Error::make(Status::not_found,
                         "step: " + in_quotes(target) + " does not accept event " + in_quotes(event.type()));
    }
  }
  output.event = sender == nullptr ? Event::make(event.type(), event.value(), {}, event.correlation())
                                   : Event::make_in(sender->event_cache_, event.type(), event.value(),
                                                    sender->step_->name, event.correlation());
  return output;
}

Ref<Error> Run::post(const Event& event, const Sending& sending) {
  Result<Output> output = address(event, sending.target, nullptr);
  if (!output) return output.error();
  if (output->type == kInputRequestType) {
    return Error::make(
        Status::invalid_argument,
        "event: an InputRequestEvent comes from a step; from outside, nobody would get the answer");
  }
  output->delay_ms = sending.delay_ms;
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (!life_.started) return Error::make(Status::wrong_state, "the run was not started yet");
  Tick tick{Tick::Kind::post, false, nullptr, {&*output, 1}};
  tick.is_special = sending.delay_ms != 0;
  tick.scope = sending.scope;
  if (tick.is_special) tick.now_ms = begin_ms();
  if (!this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications))
    return Error::out_of_memory();
  offer_from_inside(transaction.locked(), transaction.notifications);
  return transaction.leave();
}

Ref<Error> Run::effect(Call& call, Tick& tick) noexcept {
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  tick.invocation = call.invocation_;
  // What opens a scope is the moment from which its deadlines count.
  if (tick.is_special || workflow().opened_by(index_of(*call.step_)) != kNoOpener) {
    tick.now_ms = begin_ms();
    tick.date_ms = date_ms();
  }
  if (!this->tick(transaction.locked(), tick, transaction.commands, transaction.notifications))
    return Error::out_of_memory();
  offer_from_inside(transaction.locked(), transaction.notifications);
  return transaction.leave();
}

// An item of a step that is between its body's start and end, so that nothing but the streams has to know.
Ref<Error> Run::progress(const Ref<Event>& item) noexcept {
  Transaction transaction(*this);
  if (has_ended(state())) return ended_before();
  if (!state().watched) return nullptr;
  Run& top = this->top();
  top.listeners_.stream->append_lifecycle(item, top.state().stream_last, path(),
                                          transaction.commands.cold().dropped_events);
  top.look_at_hold(transaction.locked(), transaction.notifications);
  top.collect_ready(transaction.locked(), transaction.notifications);
  if (top.waiting_.sleepers != 0) top.waiting_.changed.wake_all();
  transaction.commands.more = true;
  return transaction.leave();
}

Result<Ref<Stream>> Run::subscribe(StreamOptions options) {
  const Limits& limits = workflow().policy().limits;
  if (options.capacity > limits.stream_items) {
    return Error::make(Status::limit, "options.capacity: BLAZEN_LIMIT_STREAM_ITEMS (" +
                                          std::to_string(limits.stream_items) + ") is the most");
  }
  if (options.capacity == 0) options.capacity = limits.stream_items;
  const uint64_t from = options.from;
  Ref<Stream> stream = Ref<Stream>::adopt(new Stream(Ref<Run>::share(this), std::move(options)));
  Guard guard(lock());
  if (from > state().stream_last + 1) {
    const uint64_t next = state().stream_last + 1;
    guard.unlock();
    stream.reset();
    return Error::make(Status::invalid_argument, "options.from is " + std::to_string(from) +
                                                     ", and the next item of the run is " +
                                                     std::to_string(next));
  }
  if (!listeners_.stream) listeners_.stream = std::make_unique<StreamLog>(limits, state().stream_last + 1);
  if (listeners_.stream->subscribers().size() >= limits.subscribers) {
    guard.unlock();
    stream.reset();
    return limit_reached("BLAZEN_LIMIT_SUBSCRIBERS");
  }
  listeners_.stream->add(stream.get(), from, limits);
  stream->closed_ = false;
  look_at_listeners(guard);
  Notifications notifications;
  look_at_hold(guard, notifications);  // one that has no room holds the run at once
  guard.unlock();
  if (notifications.any()) {
    const EngineScope scope(*this);
    notify(notifications);
  }
  return stream;
}

}  // namespace blazen
