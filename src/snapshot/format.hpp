// The format of a snapshot, version 1, for its reader and its writer. snapshot.cddl is the same as a grammar.
//
// Deterministic CBOR (RFC 8949, section 4.2.1: shortest heads, definite lengths, no floats): tag 55799 around
// one map, whose keys are the numbers below, every one there, ascending; behind them, the sections. So one state has one encoding: what
// was decoded and is encoded again gives the same bytes. Nothing in it depends on the process: which steps it
// hosts, who holds a permit and where an invocation stands follow from the workflow on resume
// (run/reduce.hpp, restore_queued and restore_in_flight).
//
// Laws beyond the grammar, checked by decode.cpp:
//   1. Names (workflow, steps, keys, event types, sources, correlations, steps of errors) are UTF-8, of 1 to
//      kNameBytesMax bytes; a codec or a label may be empty. A value has at most kValueBytesMax bytes, and
//      JSON is JSON.
//   2. Keys ascend strictly by their bytes. Versions are unique across state and session, up to write_last.
//   3. Events ascend strictly by id, up to event_id_last. Each is there once, and an invocation, a timer or a
//   question has it.
//   4. Invocation ids are unique across in_flight and queued, up to invocation_id_last. Queued ones ascend
//      strictly; those in flight stand in the order of their start.
//   5. Only a running run has events, invocations in flight or queued, timers, questions, a pause, or a
//   clock,
//      which is 0 otherwise: what still runs of one that has ended does not count.
//   6. The outcome is null before the end, the result of a completed run, the error of any other.
//   7. Delayed events and those that back off ascend strictly by (due, id). Those that back off or ask are
//      queued, none is both, and each that asks has an open question. A question, and an InputRequestEvent
//      that is delayed, has a correlation, which is its id, and a JSON object. Ids of open questions are
//      unique; who asked and who was answered is in flight or queued. What an invocation has asked, with the
//      question's digest, ascends strictly by (id, request id); its open questions and its answers are
//      among it.
//   8. A value that was LIVE stands in the session, an event, an answer, the result or a detail, and nowhere
//      else.
//   9. Names of what was dropped are there once, and have 1 to kDroppedBytesMax bytes.
//   10. No counter is above kCounterMax, no clock or date above kMillisecondsMax, no due before kDueMin. A
//   run that is to go on from it (restore.cpp) has room for as many again: its counters are at most
//   kCounterMax / 2, and its clock is at most kElapsedMsRoom, so that what it comes to stays within these
//   bounds and its own snapshots are sound.
//   13. What is collected ascends strictly by (scope, step, key), and within one by its types; there is an event in each.
//   What is whole ascends strictly by (id, position), and its invocation is in flight or queued.
//   14. Children ascend strictly by the ids of their invocations, which are in flight. A child is a snapshot of a run that
//   was started; what it has published and what it was given as metadata is its top's; there are at most kChildDepthMax
//   inside one another.
//   15. Turns are there where a run is inside, and at the top alone. Each run stands in the row once; of each run of which
//   something stands among what was started, all that is in flight does, in its own order.
//   11. Keys from kSectionKeyMin on are sections: what came after this format was fixed, each with the version of
//      the library that brought it. A run that has nothing for a section has none. A reader that does not know
//      one refuses the snapshot where the section is required, since the run could not go on as it was; an
//      optional one it keeps, and writes back as it came.
//   12. Ids of scopes ascend strictly, up to id_last; a parent stands before what is inside. A scope has joins of its
//      opener, each once; one that is closed has no group and no due. Groups that were given have no arrivals, and stand
//      behind the others, by their correlations; none of these is there twice. Who has opened a scope has opened one, is in
//      flight or queued, and at its opener's step. Members ascend strictly by (kind, id); each is there, once, and its scope
//      too. Something is left in a scope that is there: a member, its opener, an open scope inside; where it is closed, a
//      scope inside that is closed too. Who has a group that was delivered is in flight or queued.
//
// Whatever the bytes are, reading them and restoring a run from them is in proportion to how many there are:
// in memory (decode.hpp), and in time, at most kReadNanosecondsPerByteMax each. Ids and names are sorted,
// never hashed by themselves; what an event has to be is looked at once, however many refer to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/limits.hpp"

namespace blazen {

// The public header's BLAZEN_VERSION; capi/ asserts that they agree.
inline constexpr std::string_view kEngineVersion = "0.2.0";

// Stored: a reader refuses what is newer.
inline constexpr uint64_t kFormatVersion = 1;

// What every snapshot begins with: the tag that marks CBOR, in its one encoding.
inline constexpr uint8_t kFormatHead[] = {0xd9, 0xd9, 0xf7};

// Key 0 says which kind of document it is.
inline constexpr std::string_view kFormatMagic = "blazen/run";

// The keys of the map, in the order of the bytes. Stored: never renumber.
enum class SnapshotKey : uint64_t {
  magic = 0,        // kFormatMagic
  format = 1,       // kFormatVersion
  engine = 2,       // kEngineVersion of the writer
  workflow = 3,     // its name
  fingerprint = 4,  // 16 hexadecimal digits
  run_id = 5,       // 16 bytes
  phase = 6,        // Phase
  counters = 7,     // [event_id_last, invocation_id_last, write_last, stream_last]
  last_event = 8,   // [type] of the event routed last, for a stall to name; or null
  metadata = 9,     // value or null
  state = 10,       // [* [key, version, value]]
  session = 11,     // the same
  steps = 12,       // [* name], all of the workflow, in its order
  events = 13,      // [* [id, type, value, source or null, correlation or null]]
  in_flight = 14,   // [* [id, step, event, attempt, effects]]: indices into 12 and 13
  queued = 15,      // [* [id, step, event, attempt, effects]]
  outcome = 16,     // null, [value] or error
  dropped = 17,     // [* name], of values that snapshots of this run left out, or a resume, in that order
  clock = 18,    // [milliseconds that the run has had, date in milliseconds since 1970: of the snapshot, or
                 // since when the clock stands]
  delayed = 19,  // [* [due, event, step or null]], by the clock of the run
  backing_off = 20,  // [* [due, id]] of queued invocations
  asking = 21,       // [* id] of queued invocations, ascending
  questions = 22,    // [* [event, id of the invocation that asks or 0, date]], in the order of asking
  answers = 23,      // [* [id, request id, value]], which an invocation was given
  pause = 24,        // Pause
  asked = 25,        // [* [id, request id, digest]], what each invocation has asked, by id and the bytes
};
inline constexpr uint64_t kSnapshotKeyCount = 26;
// Keys of sections. Stored: never renumber.
inline constexpr uint64_t kSectionKeyMin = 32;
inline constexpr uint64_t kSectionFields = 3;  // [since, 1 where it is required or 0, content: any item]
// Those that this library knows: all came with 0.2.0, and are required.
enum class SectionKey : uint64_t {
  // [* [index into 22, milliseconds that it was given, due by 40, value]], of questions that have a deadline
  deadlines = 32,
  withdrawn = 33,      // [* [id, request id]], what an invocation has asked and nobody answers
  early_answers = 34,  // [* [request id, value]], to questions that are not asked yet
  // [id_last, [* [id, id of the parent or 0, origin in it, opener, id of the invocation that
  // opened it or 0, late, 1 where the rest was cancelled, joins]]], where joins are [* [step, 1 where it is closed, due or
  // null, groups]], groups [* [correlation or null, 1 where it was given, [* [event, origin]]]]: see run/scopes.hpp
  scopes = 35,
  members = 36,    // [* [MemberKind, id, id of the scope, origin]], by kind and id
  delivered = 37,  // [* [id of the invocation, JoinReason, wanted, id of the scope, [* event]]], by id
  collects = 38,   // [* [id of the scope or 0, step, key or null, [* [type, wanted, [* event]]]]], ascending
  whole = 39,      // [* [id of the invocation, position, [* event]]], ascending
  counter = 40,    // [milliseconds, date of the snapshot], of the second counter: where 32 or 35 is there
  children =
      41,  // [* [id of the invocation in flight that hosts it, a snapshot]], by id: the run of a step that is a workflow
  // of the top of a tree: [[* run id], [* [run id, id of an invocation in flight]]]: the runs that could start something, in
  // the order of their turns; and what was started, in that order
  turns = 42,
};
inline constexpr std::string_view kSectionsSince = "0.2.0";
inline constexpr uint64_t kDeadlineFields = 4;
inline constexpr uint64_t kWithdrawnFields = 2;
inline constexpr uint64_t kEarlyAnswerFields = 2;
inline constexpr uint64_t kScopesFields = 2;
inline constexpr uint64_t kCounterClockFields = 2;
inline constexpr uint64_t kScopeFields = 8;
inline constexpr uint64_t kScopeJoinFields = 4;
inline constexpr uint64_t kGroupFields = 3;
inline constexpr uint64_t kArrivalFields = 2;
inline constexpr uint64_t kMemberFields = 4;
inline constexpr uint64_t kDeliveredFields = 5;
inline constexpr uint64_t kCollectFields = 4;
inline constexpr uint64_t kCollectKindFields = 3;
inline constexpr uint64_t kWholeFields = 3;
inline constexpr uint64_t kChildFields = 2;
inline constexpr uint64_t kTurnsFields = 2;
inline constexpr uint64_t kStartFields = 2;
inline constexpr size_t kChildBytesMin = 64;
inline constexpr size_t kCollectBytesMin = 5;
inline constexpr size_t kCollectKindBytesMin = 5;
inline constexpr size_t kWholeBytesMin = 4;
inline constexpr size_t kScopeBytesMin = 14;
inline constexpr size_t kScopeJoinBytesMin = 5;
inline constexpr size_t kGroupBytesMin = 4;
inline constexpr size_t kArrivalBytesMin = 3;
inline constexpr size_t kMemberBytesMin = 5;
inline constexpr size_t kDeliveredBytesMin = 6;
inline constexpr size_t kDeadlineBytesMin = 5;
inline constexpr size_t kWithdrawnBytesMin = 4;
inline constexpr size_t kEarlyAnswerBytesMin = 4;

// Around what a LIVE value was serialized to. Stored; not registered with IANA: 0xb1a2, as in "blaz".
inline constexpr uint64_t kCborTagLive = 45474;

// How many items each array has.
inline constexpr uint64_t kCounterFields = 4;
inline constexpr uint64_t kLastEventFields = 1;
inline constexpr uint64_t kEntryFields = 3;
inline constexpr uint64_t kEventFields = 5;
inline constexpr uint64_t kInFlightFields = 5;
inline constexpr uint64_t kQueuedFields = 5;
inline constexpr uint64_t kClockFields = 2;
inline constexpr uint64_t kDelayedFields = 3;
inline constexpr uint64_t kBackingOffFields = 2;
inline constexpr uint64_t kQuestionFields = 3;
inline constexpr uint64_t kAnswerFields = 3;
inline constexpr uint64_t kAskedFields = 3;
inline constexpr uint64_t kResultFields = 1;
inline constexpr uint64_t kErrorFields =
    8;  // [status, message, step, attempt, host_code, offset, detail, cause]
inline constexpr uint64_t kNativeFields = 2;  // [codec, bytes]; JSON is a text, BYTES a byte string
inline constexpr uint64_t kLiveFields = 2;    // [label, value], in kCborTagLive

// The fewest bytes that each can take: a count that the bytes left cannot hold is refused, before memory is
// asked for.
inline constexpr size_t kEntryBytesMin = 5;
inline constexpr size_t kStepBytesMin = 2;
inline constexpr size_t kEventBytesMin = 7;
inline constexpr size_t kInFlightBytesMin = 6;
inline constexpr size_t kQueuedBytesMin = 6;
inline constexpr size_t kDelayedBytesMin = 4;
inline constexpr size_t kBackingOffBytesMin = 3;
inline constexpr size_t kAskingBytesMin = 1;
inline constexpr size_t kQuestionBytesMin = 4;
inline constexpr size_t kAnswerBytesMin = 5;
inline constexpr size_t kAskedBytesMin = 5;
inline constexpr size_t kDroppedBytesMin = 2;

inline constexpr size_t kDroppedBytesMax = 4096;  // a name has others in it
inline constexpr size_t kFingerprintDigits = 16;
inline constexpr size_t kRunIdBytes = 16;
inline constexpr size_t kTurnBytesMin = kRunIdBytes + 1;
inline constexpr size_t kStartBytesMin = kRunIdBytes + 3;
inline constexpr size_t kEffectBytes = 24;  // identity, payload and reported, each big-endian

// Of a release build on a processor of 2020: tens of nanoseconds are usual. The sorting is in it, since there
// are fewer than 2^32 items.
inline constexpr uint64_t kReadNanosecondsPerByteMax = 1000;

// Nobody counts so far: at one in a nanosecond, the half takes 146 years.
inline constexpr uint64_t kCounterMax = uint64_t{1} << 63;
// Sums and differences of any two do not overflow.
inline constexpr int64_t kMillisecondsMax = INT64_MAX / 2;
// The clock of the runtime, which is at most kClockMsMax, may add so much to the clock of a run, and a delay
// kTimeMsMax.
inline constexpr int64_t kElapsedMsRoom = INT64_MAX / 8;
static_assert(kElapsedMsRoom + kClockMsMax + kTimeMsMax <= kMillisecondsMax);

// Entries and events are counted in 32 bits.
inline constexpr uint64_t kItemsMax = UINT32_MAX - 1;

}  // namespace blazen
