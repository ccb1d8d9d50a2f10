// What comes into the state machine, and what comes out.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "run/state.hpp"

namespace blazen {

// An event on its way to the router. type is what the workflow's table says of event->type().
struct Output {
  Ref<Event> event;
  TypeId type = kUnknownType;
  StepIndex target = kNoStep;  // kNoStep: everybody who accepts it
};

// One write of the state.
struct Write {
  enum class Kind : uint8_t { set, remove, expect };
  Kind kind = Kind::set;
  std::string_view key;
  Ref<Value> value;       // set
  uint64_t expected = 0;  // expect: the version the key must have beforehand; 0: it must not be there
};

struct Tick {
  enum class Kind : uint8_t {
    start,     // outputs: the StartEvent
    post,      // outputs: an event from outside
    dispatch,  // a hand is free: which invocation starts?
    send,      // invocation sends outputs[0] while it runs; digest tells it apart
    publish,   // invocation publishes outputs[0]; digest tells it apart
    complete,  // invocation is done; outputs are what it returned
    fail,      // invocation failed with error
    discard,   // invocation is done, and its run has ended before
    end,       // from outside: the run ends with phase and error
    write,     // writes, all or nothing
    clear,     // removes every key of the state
    session,   // writes[0] is a write of the session
  };
  Kind kind;
  Invocation* invocation = nullptr;
  std::span<Output> outputs{};
  std::span<Write> writes{};
  uint64_t digest = 0;
  Phase phase = Phase::cancelled;
  Ref<Error> error{};
};

struct Published {
  uint64_t sequence;
  Ref<Event> event;
};

// What is to be done after a tick. Everything that a tick lets go of is in here too, so that no destructor of the host's
// runs under the lock of the run. One Commands may be used again after clear().
struct Commands {
  Status status = Status::ok;         // of a tick that may be refused: send, publish, post, write, session
  const char* limit = nullptr;        // with Status::limit: which
  size_t fault = 0;                   // with Status::conflict: which write
  Invocation* start = nullptr;        // dispatch: the one to run, null for none
  std::vector<Published> published;   // to append to the stream, in order
  std::vector<Ref<Event>> dropped_events;  // stream items that everybody has taken, or that nobody will
  Ref<Event> released;                // the event of the invocation that is done
  Ref<Value> replaced;                // the value that a write replaced or removed
  std::vector<Ref<Value>> dropped_values;
  Ref<KeyTable> dropped_table;
  InvocationList dropped;             // invocations that will never run; their nodes die with the run
  bool settled = false;               // the run has ended or parked in this tick

  void clear() noexcept {
    status = Status::ok;
    limit = nullptr;
    start = nullptr;
    settled = false;
    if (!published.empty()) published.clear();
    released.reset();
    replaced.reset();
    if (!dropped_values.empty()) dropped_values.clear();
    if (!dropped_events.empty()) dropped_events.clear();
    dropped_table.reset();
    for (Invocation* item = dropped.front(); item != nullptr; item = item->next) item->event.reset();
    dropped = InvocationList{};
  }
};

}  // namespace blazen
