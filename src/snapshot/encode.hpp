// A run -> its snapshot, in two halves: a cut under the lock of the run, which takes references only, and the
// encoding, outside every lock, while the run goes on.
//
//   { lock; cut = cut_snapshot(state); }
//   Result<CborBuffer> bytes = encode_snapshot(cut, serialize);  // or encode_snapshot_to(sink, ...)
//   { lock; keep_orders(cut, state); }
//   and only then, outside the lock again, let go of the cut.
//
// Invariants: nothing that a cut refers to changes any more: events and values are immutable, a run clones a
// table that is shared before it writes to it. A cut is destroyed outside the lock, as it may hold the last
// reference to a value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/cbor.hpp"
#include "run/state.hpp"
#include "snapshot/format.hpp"
#include "snapshot/live.hpp"
#include "snapshot/scopes_cut.hpp"

namespace blazen {

struct SnapshotCut {
  struct Queued {
    uint64_t id;
    Ref<Event> event;
    StepIndex step;
    uint32_t attempt;
    std::vector<Effect> effects;
  };
  struct InFlight {
    uint64_t start;
    Queued work;
  };
  struct Delayed {
    int64_t due_ms;
    Ref<Event> event;
    StepIndex target;
  };
  struct BackingOff {
    int64_t due_ms;
    uint64_t id;
  };
  struct Question {
    Ref<Event> request;
    uint64_t asker;
    int64_t asked_ms;
  };
  struct Answer {
    uint64_t id;
    uint64_t position;  // among those of its invocation
    std::string request_id;
    Ref<Value> value;
    Ref<Value> kept;  // what it was serialized to, where it is LIVE
  };

  std::string_view engine = kEngineVersion;  // a text that outlives the cut
  Ref<Workflow> workflow;
  RunId id{};
  Phase phase = Phase::created;
  uint64_t event_id_last = 0;
  uint64_t invocation_id_last = 0;
  uint64_t write_last = 0;
  uint64_t stream_last = 0;
  std::string last_event;  // its type; empty: none
  Ref<Value> metadata;
  Ref<KeyTable> state;    // null: empty
  Ref<KeyTable> session;  // null: empty
  bool state_order_known =
      false;  // under the lock of the cut: only then may table->order() be read outside it
  bool session_order_known = false;
  Ref<Value> result;
  Ref<Error> error;
  std::vector<InFlight> in_flight;  // encode_snapshot sorts them
  std::vector<Queued> queued;
  int64_t elapsed_ms = 0;
  int64_t taken_ms = 0;
  std::vector<Delayed> delayed;
  std::vector<BackingOff> backing_off;
  std::vector<uint64_t> asking;
  std::vector<Question> questions;
  std::vector<Answer> answers;
  struct Asked {
    uint64_t id;
    std::string request_id;
    uint64_t digest;
  };
  std::vector<Asked> asked;
  struct Withdrawn {
    uint64_t id;  // of the invocation
    std::string request_id;
  };
  std::vector<Withdrawn> withdrawn;
  struct Early {
    std::string request_id;
    Ref<Value> value;
  };
  std::vector<Early> early_answers;
  struct Deadline {
    uint64_t question;  // its place among the questions
    int64_t deadline_ms;
    int64_t due_ms;
    Ref<Value> default_answer;
  };
  std::vector<Deadline> deadlines;
  int64_t counter_ms = 0;  // of the deadlines and the scopes, and its date
  int64_t counter_date_ms = 0;
  std::optional<CollectsCut> collects;    // none: nothing is collected
  std::optional<ScopesCut> scopes;        // null: the run has none
  const Scopes* scopes_of_run = nullptr;  // while the cut is taken
  Pause pause = Pause::none;
  const std::vector<KeptSection>* kept_sections = nullptr;  // of the run, for as long as it lives

  // Of the runs inside it, by the ids of their invocations, ascending: a cut of what is hosted here, or what was kept.
  struct Child {
    uint64_t id;
    std::unique_ptr<SnapshotCut> run;  // null: it was kept
    std::string kept;
  };
  std::vector<Child> children;
  Ref<EventPath> path;  // of a run inside another
  uint64_t turn = 0;    // as Kin has it

  // Names; encode_snapshot adds those of what it leaves out, here and inside.
  std::vector<std::string> dropped;

  // Made by encode_snapshot where the order was not known.
  std::optional<KeyTable::Order> state_order;
  std::optional<KeyTable::Order> session_order;
};

// Under the lock of the run. now_ms: by the clock of the runtime. Throws std::bad_alloc.
SnapshotCut cut_snapshot(const RunState& state, int64_t now_ms, int64_t date_ms);

// Outside every lock; once for a cut. Status::not_serializable names everything that the session policy of
// the workflow does not let pass, with the first serializer's failure as its cause. serialize: null where no
// value has a serializer. Throws std::bad_alloc.
Result<CborBuffer> encode_snapshot(SnapshotCut& cut, SerializeCall serialize = nullptr);
// The same bytes, handed to the sink; big values from where they lie. Null: it had them all, or has stopped them. Where
// the session policy refuses it, it had none.
Ref<Error> encode_snapshot_to(CborSink& sink, SnapshotCut& cut, SerializeCall serialize = nullptr);

// Under the lock of the run: gives it the orders that the encoding had to make, where it still has those very
// tables and nobody was quicker.
void keep_orders(SnapshotCut& cut, const RunState& state) noexcept;

}  // namespace blazen
