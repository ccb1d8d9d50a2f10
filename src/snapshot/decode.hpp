// The bytes of a snapshot -> a document that is known to be sound: every law of format.hpp holds in it.
//
// Invariants: the document owns the bytes, or shares those that the host keeps for it; its texts and values are views into them: nothing is allocated
// for a single entry, so that memory stays under a small multiple of the bytes whatever they say
// (decode_snapshot). Immutable; any number of runs are restored from one document.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "codec/cbor.hpp"
#include "run/state.hpp"
#include "snapshot/format.hpp"

namespace blazen {

// A value as it stands in the bytes. Tag::none: there is none. What was LIVE is what was kept of it, with its
// label: somebody else makes the object again.
struct SnapshotValue {
  Tag tag = Tag::none;
  uint32_t label_size = 0;
  std::string_view data;
  std::string_view codec;
  const char* label_data = nullptr;  // null: it was not LIVE

  bool was_live() const noexcept { return label_data != nullptr; }
  std::string_view label() const noexcept { return {label_data, label_size}; }
  // Throws std::bad_alloc.
  Ref<Value> make() const { return tag == Tag::none ? nullptr : Value::copy(tag, data, codec); }
};

// Bytes that the host keeps where they are, until drop(user_data) says that nobody refers to them any more.
class HostBytes final : public Object {
 public:
  // Throws std::bad_alloc, and has not taken anything over then.
  static Ref<HostBytes> adopt(std::span<const uint8_t> bytes, void* user_data, DropFn drop) {
    return Ref<HostBytes>::adopt(new HostBytes(bytes, user_data, drop));
  }
  static void destroy(HostBytes* bytes) noexcept {
    const DropFn drop = bytes->drop_;
    void* user_data = bytes->user_data_;
    delete bytes;
    call_drop(drop, user_data);
  }
  std::span<const uint8_t> bytes() const noexcept { return bytes_; }
  // Whether a value may refer to this much of them, and keep them all: it is half of them, and no small thing.
  bool may_be_kept_by(size_t size) const noexcept {
    return size >= kSharedValueBytesMin && size >= bytes_.size() / 2;
  }

 private:
  static constexpr size_t kSharedValueBytesMin = size_t{64} << 10;

  HostBytes(std::span<const uint8_t> bytes, void* user_data, DropFn drop) noexcept
      : Object(Kind::dead), bytes_(bytes), user_data_(user_data), drop_(drop) {}

  const std::span<const uint8_t> bytes_;
  void* const user_data_;
  const DropFn drop_;
};

struct SnapshotDocument {
  struct Entry {
    std::string_view key;
    uint64_t version;
    SnapshotValue value;
  };
  struct Event {
    uint64_t id;
    std::string_view type;
    SnapshotValue value;
    std::string_view source;       // empty: none
    std::string_view correlation;  // empty: none
  };
  struct Queued {
    uint64_t id;
    uint32_t step;   // index into steps
    uint32_t event;  // index into events
    uint32_t attempt;
    std::span<const uint8_t> effects;  // kEffectBytes each: see Effect, big-endian
  };
  struct Delayed {
    int64_t due_ms;
    uint32_t event;
    uint32_t step;  // kNoIndex: none
  };
  struct BackingOff {
    int64_t due_ms;
    uint64_t id;
  };
  struct Question {
    uint64_t asker;  // 0: an event asks
    int64_t asked_ms;
    uint32_t event;
  };
  struct Answer {
    uint64_t id;
    std::string_view request_id;
    SnapshotValue value;
  };
  struct Asked {
    uint64_t id;
    std::string_view request_id;
    uint64_t digest;
  };
  static constexpr uint32_t kNoIndex = UINT32_MAX;

  // The detail of an error, where it was LIVE.
  struct LiveDetail {
    uint32_t depth;  // causes above it
    SnapshotValue value;
  };

  CborBuffer own_bytes;       // as they came in; or
  Ref<HostBytes> host_bytes;  // not null: as the host keeps them
  std::span<const uint8_t> bytes() const noexcept {
    return host_bytes ? host_bytes->bytes() : own_bytes.bytes();
  }
  // The value, which may refer to the bytes of the host. Throws std::bad_alloc.
  Ref<Value> make(const SnapshotValue& value) const;

  uint64_t format = 0;
  std::string_view engine;
  std::string_view workflow;
  std::string_view fingerprint;
  RunId id{};
  Phase phase = Phase::created;
  uint64_t event_id_last = 0;
  uint64_t invocation_id_last = 0;
  uint64_t write_last = 0;
  uint64_t stream_last = 0;
  std::string_view last_event;  // empty: none
  Ref<Value> metadata;          // null: none
  std::vector<Entry> state;
  std::vector<Entry> session;
  std::vector<std::string_view> steps;
  std::vector<Event> events;
  std::vector<Queued> in_flight;
  std::vector<Queued> queued;
  SnapshotValue result;  // of a completed run
  Ref<Error> error;      // of a failed or cancelled run; without the details that were LIVE
  std::vector<LiveDetail> live_details;
  std::vector<std::string_view> dropped;
  bool has_live = false;  // some value was LIVE
  int64_t elapsed_ms = 0;
  int64_t taken_ms = 0;
  std::vector<Delayed> delayed;
  std::vector<BackingOff> backing_off;
  std::vector<uint64_t> asking;
  std::vector<Question> questions;
  std::vector<Answer> answers;
  std::vector<Asked> asked;
  Pause pause = Pause::none;
  struct Section {
    uint64_t key;
    std::string_view since;
    std::span<const uint8_t> content;
  };
  struct Deadline {
    uint64_t question;  // its place in questions
    int64_t deadline_ms;
    int64_t due_ms;
    SnapshotValue default_answer;
  };
  std::vector<Deadline> deadlines;
  struct Withdrawn {
    uint64_t id;
    std::string_view request_id;
  };
  std::vector<Withdrawn> withdrawn;
  struct Early {
    std::string_view request_id;
    SnapshotValue value;
  };
  std::vector<Early> early_answers;
  // As ScopesCut has them: so many joins of a scope follow those of the one before it, and so on.
  struct Scope {
    uint64_t id;
    uint64_t parent;
    uint64_t parent_origin;
    uint64_t opener_invocation;
    uint64_t late;
    size_t at;  // its first byte
    uint32_t opener;
    uint32_t joins;
    bool cancelled;
    bool closed;  // all its joins are
  };
  struct ScopeJoin {
    int64_t due_ms;  // INT64_MAX: none
    uint32_t step;
    uint32_t groups;
    bool closed;
  };
  struct ScopeGroup {
    std::string_view correlation;  // empty: none
    uint32_t arrivals;
    bool given;
  };
  struct Arrival {
    uint64_t origin;
    uint32_t event;
  };
  struct Member {
    uint64_t kind;
    uint64_t id;
    uint64_t scope;
    uint64_t origin;
  };
  struct Delivered {
    uint64_t id;
    uint64_t scope;
    uint32_t reason;
    uint32_t wanted;
    uint32_t events;
    uint32_t step;  // of the invocation
  };
  struct Collect {
    uint64_t scope;
    std::string_view key;  // empty: none
    uint32_t step;
    uint32_t kinds;
  };
  struct CollectKind {
    std::string_view type;
    uint32_t wanted;
    uint32_t events;
  };
  struct Whole {
    uint64_t id;
    uint32_t position;
    uint32_t events;
  };
  std::vector<Collect> collects;
  std::vector<CollectKind> collect_kinds;
  std::vector<uint32_t> collect_events;
  std::vector<Whole> whole;
  std::vector<uint32_t> whole_events;
  bool has_scopes = false;  // whether there ever was one
  uint64_t scope_id_last = 0;
  int64_t counter_ms = 0;
  int64_t counter_date_ms = 0;
  bool has_counter = false;
  std::vector<Scope> scopes;
  std::vector<ScopeJoin> scope_joins;
  std::vector<ScopeGroup> scope_groups;
  std::vector<Arrival> arrivals;
  std::vector<Member> members;
  std::vector<Delivered> delivered;
  std::vector<uint32_t> delivered_events;
  // A run inside this one, and the invocation that hosts it.
  struct Child {
    uint64_t id;
    uint32_t step;  // of the invocation, and its attempt
    uint32_t attempt;
    std::unique_ptr<SnapshotDocument> run;
    std::span<const uint8_t> bytes;
  };
  std::vector<Child> children;  // ascending
  struct Started {
    RunId run;
    uint64_t invocation;
  };
  std::vector<RunId> row;  // of a top
  std::vector<Started> starts;
  std::vector<Section> kept_sections;  // optional ones, which this library does not know
};

// Copies the bytes and checks them field by field. Status::snapshot_invalid with the offset of the byte at
// fault and the path to it, such as "queued[3].event: index 9, and there are only 4 events";
// Status::snapshot_newer for a format that is not known yet. Memory stays under 24 times the bytes, and 64
// KiB; time in proportion to the bytes (format.hpp). Throws std::bad_alloc.
Result<SnapshotDocument> decode_snapshot(std::span<const uint8_t> bytes);
// The same without the copy: takes the bytes over, such as those that encode_snapshot made. They stay with
// the caller where it fails.
Result<SnapshotDocument> decode_snapshot(CborBuffer&& bytes);
Result<SnapshotDocument> decode_snapshot(Ref<HostBytes> bytes);

}  // namespace blazen
