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
    resume,    // a run from a snapshot begins to move in this process
    post,      // outputs: an event from outside
    dispatch,  // a hand is free: which invocation starts?
    send,      // invocation sends outputs[0] while it runs; digest tells it apart
    publish,   // invocation publishes outputs[0]; digest tells it apart
    complete,  // invocation is done; outputs are what it returned
    fail,      // invocation failed with error
    discard,   // invocation is done, and its run has ended before
    end,       // from outside: the run ends with phase and error
    // From here on, ticks that change the tables and nothing else.
    write,    // writes, all or nothing
    clear,    // removes every key of the state
    session,  // writes[0] is a write of the session
  };
  Kind kind;
  bool hand_free =
      false;  // complete, fail, discard: whoever brings it takes the next invocation in the same tick
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

// What is to be done after a tick. Everything that a tick lets go of is in here too, so that no destructor of
// the host's runs under the lock of the run. One Commands serves many ticks: clear() costs nothing where
// there was nothing.
struct Commands {
  Invocation* start = nullptr;  // the invocation to run next; null for none
  Ref<Event> released;          // the event of the invocation that is done

  // Whoever sets one of these sets `more`.
  bool more = false;
  bool settled = false;              // the run has ended or parked in this tick
  Status status = Status::ok;        // of a tick that may be refused: send, publish, post, write, session
  const char* limit = nullptr;       // with Status::limit: which
  size_t fault = 0;                  // with Status::conflict: which write
  std::vector<Published> published;  // to append to the stream, in order
  size_t appended = 0;               // how many of them the stream has taken already
  std::vector<Ref<Event>> dropped_events;  // stream items that everybody has taken, or that nobody will
  Ref<Value> replaced;                     // the value that a write replaced or removed
  std::vector<Ref<Value>> dropped_values;
  Ref<KeyTable> dropped_table;
  Ref<Error> late_error;   // of a step that failed after the end
  InvocationList dropped;  // invocations that will never run; their nodes die with the run

  void clear() noexcept {
    start = nullptr;
    released.reset();
    if (more) clear_more();
  }
  void drop_values() noexcept {
    dropped_values.clear();
    dropped_table.reset();
  }

 private:
  void clear_more() noexcept {
    more = false;
    settled = false;
    status = Status::ok;
    limit = nullptr;
    published.clear();
    appended = 0;
    dropped_events.clear();
    replaced.reset();
    late_error.reset();
    drop_values();
    for (Invocation* item = dropped.front(); item != nullptr; item = item->next) item->event.reset();
    dropped = InvocationList{};
  }
};

}  // namespace blazen
