// Reads a snapshot in the order of its bytes and believes none of them.
//
// Invariants: no count makes memory larger before the bytes left were found to suffice for it; nothing
// recurses but runs inside runs, whose depth is looked at before; the first fault ends the reading, with the byte and the
// path to it.
#include "snapshot/decode.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <tuple>
#include <utility>

#include "base/limits.hpp"
#include "codec/json_check.hpp"
#include "snapshot/scopes_cut.hpp"
#include "value/child_id.hpp"

namespace blazen {
namespace {

constexpr uint64_t kNoIndex = UINT64_MAX;
constexpr size_t kNone = SIZE_MAX;

// The keys of the map as paths name them.
constexpr const char* kSections[kSnapshotKeyCount] = {
    "magic",     "format",     "engine",   "workflow", "fingerprint", "run_id",  "phase",
    "counters",  "last_event", "metadata", "state",    "session",     "steps",   "events",
    "in_flight", "queued",     "outcome",  "dropped",  "clock",       "delayed", "backing_off",
    "asking",    "questions",  "answers",  "pause",    "asked"};

std::string to_text(uint64_t number) { return std::to_string(number); }

// The index of the first number that stands at a lower index too; kNone where all are different. Sorting is
// slow, and rarely needed: numbers ascend, or they are small enough for one bit each. None is above max.
size_t find_repeated(const std::vector<uint64_t>& numbers, uint64_t max) {
  if (std::adjacent_find(numbers.begin(), numbers.end(), std::greater_equal<>()) == numbers.end())
    return kNone;
  if (max / 64 <= numbers.size()) {
    std::vector<uint64_t> seen(max / 64 + 1);
    for (size_t i = 0; i < numbers.size(); ++i) {
      uint64_t& word = seen[numbers[i] / 64];
      const uint64_t bit = uint64_t{1} << (numbers[i] % 64);
      if ((word & bit) != 0) return i;
      word |= bit;
    }
    return kNone;
  }
  std::vector<uint64_t> sorted = numbers;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return kNone;
  const auto first = std::find(numbers.begin(), numbers.end(), *twice);
  return static_cast<size_t>(std::find(first + 1, numbers.end(), *twice) - numbers.begin());
}

bool is_error_status(uint64_t status) noexcept {
  if (status < static_cast<uint64_t>(Status::invalid_argument) || status > INT32_MAX) return false;
  return std::strcmp(status_name(static_cast<Status>(status)), "BLAZEN_UNKNOWN") != 0;
}

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> bytes) noexcept
      : bytes_(bytes), whole_(bytes), reader_(whole_), start_(0) {}
  // Of a run inside another, where the reader of that stands. path: to it.
  Decoder(const Decoder& outer, CborReader& reader, std::string path)
      : bytes_(outer.bytes_),
        whole_(bytes_),
        reader_(reader),
        start_(reader.offset()),
        depth_(outer.depth_ + 1),
        path_(std::move(path)) {}

  // The document, with views into the bytes; it does not own them yet.
  Result<SnapshotDocument> decode() {
    const bool sound = read_head() && read_identity() && read_counters() && read_metadata() &&
                       read_tables() && read_steps() && read_events() && read_in_flight() && read_queued() &&
                       read_outcome() && read_dropped() && read_waiting() && read_sections() &&
                       check_scopes_live() && check_events_used() &&
                       (depth_ != 0 || (check_turns() && read_end()));
    if (!sound) return std::move(error_);
    return std::move(document_);
  }

 private:
  using Key = SnapshotKey;
  using Document = SnapshotDocument;
  // Whether a value that was LIVE may stand there.
  enum class Live : bool { refused, allowed };

  // ------------------------------------------------------------------------------------------ the sections

  bool read_head() {
    const std::span<const uint8_t> here = bytes_.subspan(start_);
    if (here.empty()) return refuse(start_, "", "there are no bytes");
    if (std::memcmp(here.data(), kFormatHead, std::min(here.size(), sizeof kFormatHead)) != 0) {
      return refuse(start_, "",
                    "these bytes are something else: a snapshot begins with d9 d9 f7, the CBOR tag 55799");
    }
    uint64_t tag = 0;
    if (!reader_.tag(tag) || !reader_.map(keys_)) return fault("");
    std::string_view magic;
    if (!key(Key::magic) || !text("", magic)) return false;
    if (magic != kFormatMagic) {
      return refuse(text_offset(magic), "", "this is CBOR, and not of a run: expected 'blazen/run' here");
    }
    return read_format();
  }

  // Before anything else: what stands behind it is a newer format's own business.
  bool read_format() {
    if (!key(Key::format)) return false;
    const size_t at = reader_.offset();
    if (!number("", document_.format)) return false;
    if (document_.format > kFormatVersion) {
      error_ =
          Error::at(Status::snapshot_newer,
                    "the snapshot has format version " + to_text(document_.format) + ", and this library (" +
                        std::string(kEngineVersion) + ") knows only up to " + to_text(kFormatVersion),
                    at);
      return false;
    }
    return document_.format == kFormatVersion || refuse(at, "", "there is no format version 0");
  }

  bool read_identity() {
    return key(Key::engine) && name("", document_.engine) && key(Key::workflow) &&
           name("", document_.workflow) && key(Key::fingerprint) && read_fingerprint() && key(Key::run_id) &&
           read_run_id() && key(Key::phase) && read_phase();
  }

  bool read_fingerprint() {
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    const size_t at = reader_.offset();
    std::string_view digits;
    if (!text("", digits)) return false;
    document_.fingerprint = digits;
    return (digits.size() == kFingerprintDigits && std::all_of(digits.begin(), digits.end(), is_digit)) ||
           refuse(at, "", "not 16 hexadecimal digits");
  }

  bool read_run_id() {
    const size_t at = reader_.offset();
    std::span<const uint8_t> id;
    if (!reader_.bytes(id)) return fault("");
    if (id.size() != kRunIdBytes) return refuse(at, "", to_text(id.size()) + " bytes instead of 16");
    std::copy(id.begin(), id.end(), document_.id.begin());
    return true;
  }

  bool read_phase() {
    const size_t at = reader_.offset();
    uint64_t number_of_phase = 0;
    if (!number("", number_of_phase)) return false;
    switch (static_cast<Phase>(std::min<uint64_t>(number_of_phase, UINT32_MAX))) {
      case Phase::created:
      case Phase::running:
      case Phase::completed:
      case Phase::failed:
      case Phase::cancelled: document_.phase = static_cast<Phase>(number_of_phase); return true;
    }
    return refuse(at, "", to_text(number_of_phase) + " is none of 1, 2, 5, 6, 7");
  }

  bool read_counters() {
    if (!key(Key::counters) || !fields("", kCounterFields)) return false;
    if (!counter("event_id_last", document_.event_id_last)) return false;
    if (!counter("invocation_id_last", document_.invocation_id_last)) return false;
    if (!counter("write_last", document_.write_last) || !counter("stream_last", document_.stream_last))
      return false;
    if (!key(Key::last_event)) return false;
    if (reader_.peek_null()) return reader_.null();
    return fields("", kLastEventFields) && name("type", document_.last_event);
  }

  bool read_metadata() {
    SnapshotValue metadata;
    if (!key(Key::metadata) || !optional_value("", metadata)) return false;
    document_.metadata = metadata.make();
    return true;
  }

  bool read_tables() {
    if (!key(Key::state) || !read_table(document_.state, Live::refused)) return false;
    if (!key(Key::session) || !read_table(document_.session, Live::allowed)) return false;
    return check_versions();
  }

  bool read_table(std::vector<Document::Entry>& table, Live live) {
    uint64_t count = 0;
    if (!list(kEntryBytesMin, count)) return false;
    table.reserve(count);
    versions_.reserve(versions_.size() + count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Entry entry;
      if (!fields("", kEntryFields) || !name("key", entry.key)) return false;
      if (index_ > 0 && entry.key <= table.back().key) {
        return refuse(text_offset(entry.key), "key",
                      "does not come after the key before it, by the bytes of both");
      }
      if (!number_in("version", 1, document_.write_last, "write_last", entry.version)) return false;
      if (!value("value", entry.value, live)) return false;
      table.push_back(entry);
      versions_.push_back(entry.version);
    }
    index_ = kNoIndex;
    return true;
  }

  bool check_versions() {
    const size_t repeated = find_repeated(versions_, document_.write_last);
    const bool in_state = repeated < document_.state.size();
    std::vector<uint64_t>().swap(versions_);
    if (repeated == kNone) return true;
    section_ = kSections[static_cast<size_t>(in_state ? Key::state : Key::session)];
    index_ = in_state ? repeated : repeated - document_.state.size();
    const Document::Entry& entry = (in_state ? document_.state : document_.session)[index_];
    return refuse(offset_of(entry.key) + entry.key.size(), "version",
                  to_text(entry.version) + " stands at another key too");
  }

  bool read_steps() {
    uint64_t count = 0;
    if (!key(Key::steps)) return false;
    const size_t at = reader_.offset();
    if (!list(kStepBytesMin, count)) return false;
    if (count == 0 || count > kStepsMax)
      return refuse(at, "", to_text(count) + " steps; a workflow has 1 to 4096");
    document_.steps.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      if (!name("", document_.steps.emplace_back())) return false;
    }
    return check_unique("steps", document_.steps);
  }

  bool check_unique(const char* section, const std::vector<std::string_view>& names) {
    std::vector<std::string_view> sorted = names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice == sorted.end()) return true;
    const auto first = std::find(names.begin(), names.end(), *twice);
    const auto second = std::find(first + 1, names.end(), *twice);
    index_ = static_cast<uint64_t>(second - names.begin());
    return refuse(
        text_offset(*second), "",
        std::string("has the name of ") + section + "[" + to_text(uint64_t(first - names.begin())) + "]");
  }

  bool read_events() {
    uint64_t count = 0;
    if (!key(Key::events) || !list_of_running(kEventBytesMin, count)) return false;
    document_.events.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Event& event = document_.events.emplace_back();
      const uint64_t id_min = index_ == 0 ? 1 : document_.events[index_ - 1].id + 1;
      if (!fields("", kEventFields)) return false;
      if (!number_in("id", id_min, document_.event_id_last, "event_id_last", event.id)) return false;
      if (!name("type", event.type) || !value("value", event.value, Live::allowed)) return false;
      if (!optional_name("source", event.source) || !optional_name("correlation", event.correlation))
        return false;
    }
    event_is_used_.resize(count);
    event_is_request_.resize(count);
    return true;
  }

  bool read_in_flight() {
    uint64_t count = 0;
    if (!key(Key::in_flight) || !list_of_running(kInFlightBytesMin, count)) return false;
    document_.in_flight.reserve(count);
    in_flight_ids_.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Queued& item = document_.in_flight.emplace_back();
      if (!fields("", kInFlightFields) || !work(1, item)) return false;
      in_flight_ids_.push_back(item.id);
    }
    return check_in_flight_ids();
  }

  bool effects(std::span<const uint8_t>& out) {
    const size_t at = reader_.offset();
    if (!reader_.bytes(out)) return fault("effects");
    return out.size() % kEffectBytes == 0 ||
           refuse(at, "effects", to_text(out.size()) + " bytes, which is no multiple of 24");
  }

  bool check_in_flight_ids() {
    const size_t repeated = find_repeated(in_flight_ids_, document_.invocation_id_last);
    if (repeated != kNone) {
      // The invocation begins where the effects of the one before it end, with one byte for the array.
      const std::span<const uint8_t> before = document_.in_flight[repeated - 1].effects;
      index_ = repeated;
      return refuse(offset_of(before.data()) + before.size() + 1, "id",
                    repeated_id(in_flight_ids_[repeated]));
    }
    std::sort(in_flight_ids_.begin(), in_flight_ids_.end());
    return true;
  }

  bool read_queued() {
    uint64_t count = 0;
    if (!key(Key::queued) || !list_of_running(kQueuedBytesMin, count)) return false;
    document_.queued.reserve(count);
    auto in_flight = in_flight_ids_.begin();
    for (index_ = 0; index_ < count; ++index_) {
      Document::Queued& item = document_.queued.emplace_back();
      if (!fields("", kQueuedFields)) return false;
      const size_t at = reader_.offset();
      if (!work(index_ == 0 ? 1 : document_.queued[index_ - 1].id + 1, item)) return false;
      while (in_flight != in_flight_ids_.end() && *in_flight < item.id) ++in_flight;
      if (in_flight != in_flight_ids_.end() && *in_flight == item.id)
        return refuse(at, "id", repeated_id(item.id));
    }
    return true;
  }

  static std::string repeated_id(uint64_t id) {
    return to_text(id) + " is the id of another invocation in flight";
  }

  bool work(uint64_t id_min, Document::Queued& out) {
    uint64_t step = 0;
    uint64_t event = 0;
    uint64_t attempt = 0;
    if (!number_in("id", id_min, document_.invocation_id_last, "invocation_id_last", out.id)) return false;
    if (!item_of("step", document_.steps.size(), "steps", step)) return false;
    if (!item_of("event", document_.events.size(), "events", event)) return false;
    if (!number_in("attempt", 1, UINT32_MAX, "32 bits", attempt)) return false;
    out.step = static_cast<uint32_t>(step);
    out.event = static_cast<uint32_t>(event);
    out.attempt = static_cast<uint32_t>(attempt);
    event_is_used_[event] = true;
    return effects(out.effects);
  }

  // ------------------------------------------------------------------------------- timers, questions, the
  // pause

  bool read_waiting() {
    return read_clock() && read_delayed() && read_backing_off() && read_asking() && read_questions() &&
           read_answers() && read_pause() && read_asked() && check_asked();
  }

  bool milliseconds(const char* field, int64_t min, int64_t& out) {
    const size_t at = reader_.offset();
    if (!reader_.signed_int(out)) return fault(field);
    if (out >= min && out <= kMillisecondsMax) return true;
    return refuse(at, field, std::to_string(out) + " is no number of milliseconds");
  }

  bool read_clock() {
    return key(Key::clock) && fields("", kClockFields) && time_of_running("elapsed", document_.elapsed_ms) &&
           time_of_running("taken", document_.taken_ms);
  }

  bool time_of_running(const char* field, int64_t& out) {
    const size_t at = reader_.offset();
    if (!milliseconds(field, 0, out)) return false;
    if (out == 0 || document_.phase == Phase::running) return true;
    return refuse(at, field, std::to_string(out) + ", and only a running run has a clock");
  }

  bool event_of(uint32_t& out, const char* field = "event") {
    uint64_t event = 0;
    if (!item_of(field, document_.events.size(), "events", event)) return false;
    event_is_used_[event] = true;
    out = static_cast<uint32_t>(event);
    return true;
  }

  bool read_delayed() {
    uint64_t count = 0;
    if (!key(Key::delayed) || !list_of_running(kDelayedBytesMin, count)) return false;
    document_.delayed.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Delayed& item = document_.delayed.emplace_back();
      uint64_t step = 0;
      const size_t at = reader_.offset();
      if (!fields("", kDelayedFields) || !milliseconds("due", kDueMin, item.due_ms)) return false;
      const size_t event_at = reader_.offset();
      if (!event_of(item.event)) return false;
      // It will be a question.
      if (document_.events[item.event].type == kInputRequest && !check_request(event_at, item.event))
        return false;
      if (index_ > 0) {
        const Document::Delayed& before = document_.delayed[index_ - 1];
        if (std::pair(item.due_ms, item.event) <= std::pair(before.due_ms, before.event))
          return refuse(at, "", "does not come after the one before it, by due and event");
      }
      item.step = Document::kNoIndex;
      if (reader_.peek_null()) {
        if (!reader_.null()) return fault("step");
        continue;
      }
      if (!item_of("step", document_.steps.size(), "steps", step)) return false;
      item.step = static_cast<uint32_t>(step);
    }
    return true;
  }

  const Document::Queued* find_queued(uint64_t id) const noexcept {
    const auto by_id = [](const Document::Queued& item, uint64_t wanted) { return item.id < wanted; };
    const auto found = std::lower_bound(document_.queued.begin(), document_.queued.end(), id, by_id);
    return found != document_.queued.end() && found->id == id ? &*found : nullptr;
  }
  bool is_queued(uint64_t id) const noexcept { return find_queued(id) != nullptr; }
  bool is_in_flight(uint64_t id) const noexcept {
    return std::binary_search(in_flight_ids_.begin(), in_flight_ids_.end(), id);
  }

  bool queued_id(uint64_t& id) {
    const size_t at = reader_.offset();
    if (!number("id", id)) return false;
    return is_queued(id) || refuse(at, "id", to_text(id) + " is no queued invocation");
  }

  bool read_backing_off() {
    uint64_t count = 0;
    if (!key(Key::backing_off) || !list_of_running(kBackingOffBytesMin, count)) return false;
    document_.backing_off.reserve(count);
    waiting_ids_.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::BackingOff& item = document_.backing_off.emplace_back();
      const size_t at = reader_.offset();
      if (!fields("", kBackingOffFields) || !milliseconds("due", kDueMin, item.due_ms) || !queued_id(item.id))
        return false;
      if (index_ > 0) {
        const Document::BackingOff& before = document_.backing_off[index_ - 1];
        if (std::pair(item.due_ms, item.id) <= std::pair(before.due_ms, before.id))
          return refuse(at, "", "does not come after the one before it, by due and id");
      }
      waiting_ids_.push_back(item.id);
    }
    const size_t repeated = find_repeated(waiting_ids_, document_.invocation_id_last);
    if (repeated != kNone) {
      index_ = repeated;
      return refuse(reader_.offset(), "id", to_text(waiting_ids_[repeated]) + " backs off twice");
    }
    std::sort(waiting_ids_.begin(), waiting_ids_.end());
    return true;
  }

  bool read_asking() {
    uint64_t count = 0;
    if (!key(Key::asking) || !list_of_running(kAskingBytesMin, count)) return false;
    document_.asking.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      const size_t at = reader_.offset();
      uint64_t id = 0;
      if (!queued_id(id)) return false;
      if (index_ > 0 && id <= document_.asking.back())
        return refuse(
            at, "", to_text(id) + " does not come after " + to_text(document_.asking.back()) + " before it");
      if (std::binary_search(waiting_ids_.begin(), waiting_ids_.end(), id))
        return refuse(at, "", to_text(id) + " backs off, and cannot ask at the same time");
      document_.asking.push_back(id);
    }
    return true;
  }

  bool read_questions() {
    uint64_t count = 0;
    if (!key(Key::questions) || !list_of_running(kQuestionBytesMin, count)) return false;
    document_.questions.reserve(count);
    std::vector<uint64_t> askers;
    std::vector<std::string_view> ids;
    event_is_asked_.resize(document_.events.size());
    for (index_ = 0; index_ < count; ++index_) {
      Document::Question& item = document_.questions.emplace_back();
      if (!fields("", kQuestionFields)) return false;
      const size_t at = reader_.offset();
      if (!event_of(item.event)) return false;
      if (!check_request(at, item.event)) return false;
      const size_t asker_at = reader_.offset();
      if (!number("asker", item.asker) || !milliseconds("asked", 0, item.asked_ms)) return false;
      if (item.asker != 0 && !is_queued(item.asker) && !is_in_flight(item.asker))
        return refuse(asker_at, "asker", to_text(item.asker) + " is no invocation");
      if (item.asker != 0 && std::binary_search(waiting_ids_.begin(), waiting_ids_.end(), item.asker))
        return refuse(asker_at, "asker", to_text(item.asker) + " backs off, and asks nothing");
      if (event_is_asked_[item.event]) return refuse_asked_twice();
      event_is_asked_[item.event] = true;
      askers.push_back(item.asker);
      ids.push_back(document_.events[item.event].correlation);
    }
    if (!check_unique("questions", ids)) return false;
    std::sort(askers.begin(), askers.end());
    for (size_t i = 0; i < document_.asking.size(); ++i) {
      const uint64_t id = document_.asking[i];
      if (std::binary_search(askers.begin(), askers.end(), id)) continue;
      section_ = kSections[static_cast<size_t>(Key::asking)];
      index_ = i;
      return refuse(reader_.offset(), "", to_text(id) + " waits for an answer and has asked nothing");
    }
    return true;
  }

  // Found at once: to compare what is the same text in thousands of places takes more time than there are
  // bytes.
  bool refuse_asked_twice() {
    const uint32_t event = document_.questions.back().event;
    const auto is_it = [&](const Document::Question& question) { return question.event == event; };
    const auto first = std::find_if(document_.questions.begin(), document_.questions.end(), is_it);
    const auto place = static_cast<uint64_t>(first - document_.questions.begin());
    return refuse(text_offset(document_.events[event].correlation), "",
                  "has the name of questions[" + to_text(place) + "]");
  }

  // Once for each event, however many wait for it.
  bool check_request(size_t at, uint32_t event) {
    if (event_is_request_[event]) return true;
    const Document::Event& request = document_.events[event];
    if (request.type != kInputRequest || request.correlation.empty() || request.value.tag != Tag::json ||
        request.value.was_live())
      return refuse(at, "event", "is no InputRequestEvent with an id");
    if (!is_json_object(request.value.data)) return refuse(at, "event", "its value is no JSON object");
    event_is_request_[event] = true;
    return true;
  }

  static bool is_json_object(std::string_view json) noexcept {
    const size_t first = json.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos && json[first] == '{';
  }

  bool read_answers() {
    uint64_t count = 0;
    if (!key(Key::answers) || !list_of_running(kAnswerBytesMin, count)) return false;
    document_.answers.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Answer& item = document_.answers.emplace_back();
      if (!fields("", kAnswerFields)) return false;
      const size_t at = reader_.offset();
      if (!number("id", item.id)) return false;
      if (!is_queued(item.id) && !is_in_flight(item.id))
        return refuse(at, "id", to_text(item.id) + " is no invocation");
      if (index_ > 0 && item.id < document_.answers[index_ - 1].id)
        return refuse(at, "id", to_text(item.id) + " comes before the one before it");
      if (!name("request_id", item.request_id) || !value("value", item.value, Live::allowed)) return false;
    }
    return true;
  }

  bool read_pause() {
    if (!key(Key::pause)) return false;
    const size_t at = reader_.offset();
    uint64_t pause = 0;
    if (!number("", pause)) return false;
    if (pause > static_cast<uint64_t>(Pause::drain))
      return refuse(at, "", to_text(pause) + " is none of 0, 1, 2");
    if (pause != 0 && document_.phase != Phase::running)
      return refuse(at, "", "only a running run is paused");
    document_.pause = static_cast<Pause>(pause);
    return true;
  }

  bool read_asked() {
    uint64_t count = 0;
    if (!key(Key::asked) || !list_of_running(kAskedBytesMin, count)) return false;
    document_.asked.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Asked& item = document_.asked.emplace_back();
      if (!fields("", kAskedFields)) return false;
      const size_t at = reader_.offset();
      if (!number("id", item.id)) return false;
      if (!is_queued(item.id) && !is_in_flight(item.id))
        return refuse(at, "id", to_text(item.id) + " is no invocation");
      if (!name("request_id", item.request_id) || !number("digest", item.digest)) return false;
      if (index_ > 0 && !comes_before(document_.asked[index_ - 1], item))
        return refuse(at, "", "does not come after the one before it");
    }
    return true;
  }

  static bool comes_before(const Document::Asked& a, const Document::Asked& b) noexcept {
    return a.id != b.id ? a.id < b.id : a.request_id < b.request_id;
  }

  // Who does not know what it has asked would take an answer for another question's.
  bool check_asked() {
    const auto was_asked = [this](uint64_t id, std::string_view request_id) {
      return std::binary_search(document_.asked.begin(), document_.asked.end(),
                                Document::Asked{id, request_id, 0}, comes_before);
    };
    for (const Document::Question& item : document_.questions) {
      const std::string_view request_id = document_.events[item.event].correlation;
      if (item.asker != 0 && !was_asked(item.asker, request_id)) return refuse_unasked(item.asker);
    }
    for (const Document::Answer& item : document_.answers) {
      if (!was_asked(item.id, item.request_id)) return refuse_unasked(item.id);
    }
    return true;
  }

  bool refuse_unasked(uint64_t id) {
    index_ = kNoIndex;
    return refuse(reader_.offset(), "",
                  to_text(id) + " has an open question, or an answer, that is not here");
  }

  bool check_events_used() {
    const auto unused = std::find(event_is_used_.begin(), event_is_used_.end(), false);
    if (unused == event_is_used_.end()) return true;
    section_ = kSections[static_cast<size_t>(Key::events)];
    index_ = static_cast<uint64_t>(unused - event_is_used_.begin());
    return refuse(text_offset(document_.events[index_].type), "", "no invocation has this event");
  }

  bool read_outcome() {
    if (!key(Key::outcome)) return false;
    if (document_.phase < Phase::completed) return reader_.null() || fault("");
    if (document_.phase > Phase::completed) return read_error();
    return fields("", kResultFields) && value("value", document_.result, Live::allowed);
  }

  bool read_error() {
    Ref<Error>* place = &document_.error;
    for (uint32_t depth = 0; depth == 0 || !reader_.peek_null(); ++depth) {
      if (depth > kErrorDepthMax)
        return refuse(reader_.offset(), "", "more than 16 causes beneath one another");
      *place = Ref<Error>::adopt(new Error(Status::internal));
      if (!fields("", kErrorFields) || !read_error_fields(**place, depth)) return false;
      place = &(*place)->cause;
      causes_ += ".cause";
    }
    return reader_.null();
  }

  // All but the cause, which follows.
  bool read_error_fields(Error& error, uint32_t depth) {
    const size_t at = reader_.offset();
    uint64_t status = 0;
    if (!number("status", status)) return false;
    if (!is_error_status(status))
      return refuse(at, "status", to_text(status) + " is not the number of an error");
    std::string_view message;
    std::string_view step;
    uint64_t attempt = 0;
    SnapshotValue detail;
    if (!text("message", message) || !optional_name("step", step)) return false;
    if (!number_in("attempt", 0, UINT32_MAX, "32 bits", attempt)) return false;
    if (!reader_.signed_int(error.host_code)) return fault("host_code");
    if (!read_error_offset(error) || !optional_value("detail", detail, Live::allowed)) return false;
    error.status = static_cast<Status>(status);
    error.message = message;
    error.step = step;
    error.attempt = static_cast<uint32_t>(attempt);
    if (detail.was_live()) {
      document_.live_details.push_back({depth, detail});
    } else {
      error.detail = detail.make();
    }
    return true;
  }

  bool read_error_offset(Error& error) {
    if (reader_.peek_null()) return reader_.null();
    return number_in("offset", 0, kNoOffset - 1, "64 bits but one, which is written as null", error.offset);
  }

  bool read_dropped() {
    uint64_t count = 0;
    causes_.clear();
    if (!key(Key::dropped) || !list(kDroppedBytesMin, count)) return false;
    document_.dropped.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      std::string_view& place = document_.dropped.emplace_back();
      if (!text("", place)) return false;
      if (place.empty()) return refuse(text_offset(place), "", "empty");
      if (place.size() > kDroppedBytesMax)
        return refuse(text_offset(place), "", to_text(place.size()) + " bytes, and there may be 4096");
    }
    return check_unique("dropped", document_.dropped);
  }

  bool read_sections() {
    uint64_t least = kSectionKeyMin;
    for (uint64_t i = kSnapshotKeyCount; i < keys_; ++i) {
      section_ = "snapshot";
      index_ = kNoIndex;
      const size_t at = reader_.offset();
      uint64_t found = 0;
      if (!number("", found)) return false;
      if (found < kSectionKeyMin) return refuse(at, "", "key " + to_text(found) + " is not one of format 1");
      if (found < least) return refuse(at, "", "key " + to_text(found) + " does not ascend");
      if (found == UINT64_MAX) return refuse(at, "", "no section has this key");
      least = found + 1;
      section_ = "section";
      index_ = found;
      if (!read_section(at, found)) return false;
    }
    if (document_.has_counter || (document_.deadlines.empty() && !document_.has_scopes)) return true;
    section_ = "counter";
    index_ = kNoIndex;
    return refuse(reader_.offset(), "", "deadlines and scopes need section 40, and it is not there");
  }

  bool read_section(size_t key_at, uint64_t found) {
    Document::Section section{found, {}, {}};
    uint64_t required = 0;
    if (!fields("", kSectionFields) || !name("since", section.since)) return false;
    const size_t at = reader_.offset();
    if (!number_in("required", 0, 1, "a section is required, or it is not", required)) return false;
    const bool is_known = found <= static_cast<uint64_t>(SectionKey::turns);
    if (is_known) return read_known_section(at, static_cast<SectionKey>(found), section.since, required);
    if (required == 1) {
      error_ = Error::at(Status::snapshot_newer,
                         "the snapshot has section " + to_text(found) + ", which came with version " +
                             std::string(section.since) +
                             " and without which the run cannot go on; this library is " +
                             std::string(kEngineVersion),
                         key_at);
      return false;
    }
    if (!reader_.skip(section.content)) return fault("content");
    document_.kept_sections.push_back(section);
    return true;
  }

  bool read_known_section(size_t at, SectionKey section, std::string_view since, uint64_t required) {
    if (since != kSectionsSince || required != 1)
      return refuse(at, "", "this section came with " + std::string(kSectionsSince) + ", and is required");
    switch (section) {
      case SectionKey::deadlines: return read_deadlines();
      case SectionKey::withdrawn: return read_withdrawn();
      case SectionKey::early_answers: return read_early_answers();
      case SectionKey::scopes: return read_scopes();
      case SectionKey::members: return read_members();
      case SectionKey::delivered: return read_delivered();
      case SectionKey::collects: return read_collects();
      case SectionKey::whole: return read_whole();
      case SectionKey::counter: return read_counter();
      case SectionKey::children: return read_children();
      case SectionKey::turns: return read_turns();
    }
    return false;
  }

  bool read_children() {
    uint64_t count = 0;
    if (!section_list("children", kChildBytesMin, count)) return false;
    document_.children.reserve(count);
    std::vector<std::pair<uint64_t, size_t>> flying;  // by id
    flying.reserve(document_.in_flight.size());
    for (size_t i = 0; i < document_.in_flight.size(); ++i) flying.emplace_back(document_.in_flight[i].id, i);
    std::sort(flying.begin(), flying.end());
    for (index_ = 0; index_ < count; ++index_) {
      Document::Child& child = document_.children.emplace_back();
      if (!fields("", kChildFields)) return false;
      const size_t at = reader_.offset();
      if (!number_in("id", index_ == 0 ? 1 : document_.children[index_ - 1].id + 1,
                     document_.invocation_id_last, "invocation_id_last", child.id))
        return false;
      const auto host = std::lower_bound(flying.begin(), flying.end(), std::pair(child.id, size_t{0}));
      if (host == flying.end() || host->first != child.id)
        return refuse(at, "id", to_text(child.id) + " is no invocation in flight");
      const Document::Queued& invocation = document_.in_flight[host->second];
      child.step = invocation.step;
      child.attempt = invocation.attempt;
      if (!read_child(child, invocation.attempt)) return false;
    }
    return true;
  }

  // attempt: of the invocation.
  bool read_child(Document::Child& child, uint32_t attempt) {
    const size_t at = reader_.offset();
    if (depth_ + 1 > kChildDepthMax)
      return refuse(at, "run", "more than " + to_text(kChildDepthMax) + " runs are inside one another");
    const auto inside = std::make_unique<Decoder>(*this, reader_, path_of("run") + ": ");
    Result<SnapshotDocument> run = inside->decode();
    if (!run) {
      error_ = run.error();
      return false;
    }
    if (run->id != id_of_child(document_.id, child.id, attempt))
      return refuse(at, "run", "its id is not that of the run of this attempt of its invocation");
    if (run->phase == Phase::created || run->metadata || run->stream_last != 0)
      return refuse(at, "run", "it was started, and neither publishes by itself nor has metadata");
    child.bytes = bytes_.subspan(at, reader_.offset() - at);
    child.run = std::make_unique<SnapshotDocument>(std::move(*run));
    return true;
  }

  bool run_id(const char* field, RunId& out) {
    const size_t at = reader_.offset();
    std::span<const uint8_t> id;
    if (!reader_.bytes(id)) return fault(field);
    if (id.size() != kRunIdBytes) return refuse(at, field, to_text(id.size()) + " bytes instead of 16");
    std::copy(id.begin(), id.end(), out.begin());
    return true;
  }

  bool read_turns() {
    section_ = "turns";
    index_ = kNoIndex;
    uint64_t count = 0;
    turns_at_ = reader_.offset();
    if (depth_ != 0 || document_.children.empty())
      return refuse(turns_at_, "", "only a run that others are inside of has turns");
    if (!fields("", kTurnsFields) || !list(kTurnBytesMin, count, "row")) return false;
    document_.row.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      if (!run_id("row", document_.row.emplace_back())) return false;
    }
    if (!list(kStartBytesMin, count, "starts")) return false;
    document_.starts.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      Document::Started& start = document_.starts.emplace_back();
      if (!fields("starts", kStartFields) || !run_id("starts.run", start.run) ||
          !number("starts.invocation", start.invocation))
        return false;
    }
    return true;
  }

  // A run of the tree, and how many of what it has in flight were found among the starts.
  struct Member {
    RunId id;
    const Document* run;
    size_t started = 0;
    bool stands = false;
  };
  static void collect_members(const Document& document, std::vector<Member>& members) {
    members.push_back({document.id, &document});
    for (const Document::Child& child : document.children) collect_members(*child.run, members);
  }

  bool check_turns() {
    if (document_.children.empty()) return true;
    section_ = "turns";
    index_ = kNoIndex;
    std::vector<Member> members;
    collect_members(document_, members);
    const auto by_id = [](const Member& a, const Member& b) { return a.id < b.id; };
    std::sort(members.begin(), members.end(), by_id);
    for (size_t i = 1; i < members.size(); ++i) {
      if (members[i - 1].id == members[i].id)
        return refuse(turns_at_, "", "two runs of the tree have one id");
    }
    const auto find = [&](const RunId& id) -> Member* {
      const auto at = std::lower_bound(members.begin(), members.end(), Member{id, nullptr}, by_id);
      return at == members.end() || at->id != id ? nullptr : &*at;
    };
    for (const RunId& id : document_.row) {
      Member* member = find(id);
      if (member == nullptr || std::exchange(member->stands, true))
        return refuse(turns_at_, "row", "each is a run of the tree, once");
    }
    for (const Document::Started& start : document_.starts) {
      Member* member = find(start.run);
      if (member == nullptr || member->started == member->run->in_flight.size() ||
          member->run->in_flight[member->started++].id != start.invocation)
        return refuse(turns_at_, "starts", "each run has what it has in flight, in its own order");
    }
    for (const Member& member : members) {
      if (member.started != 0 && member.started != member.run->in_flight.size())
        return refuse(turns_at_, "starts", "of a run that is among them, all that is in flight is");
    }
    return true;
  }

  // A section that is there is not empty.
  bool section_list(const char* path, size_t bytes_min, uint64_t& count) {
    section_ = path;
    index_ = kNoIndex;
    const size_t at = reader_.offset();
    if (!list_of_running(bytes_min, count)) return false;
    return count != 0 || refuse(at, "", "a section that is there is not empty");
  }

  // ------------------------------------------------------------------------------------------------- scopes

  bool flag(const char* field, bool& out) {
    uint64_t number_of_flag = 0;
    if (!number_in(field, 0, 1, "which a flag is at most", number_of_flag)) return false;
    out = number_of_flag == 1;
    return true;
  }

  bool read_scopes() {
    section_ = "scopes";
    index_ = kNoIndex;
    document_.has_scopes = true;
    uint64_t count = 0;
    if (!fields("", kScopesFields) || !counter("id_last", document_.scope_id_last)) return false;
    if (!list_of_running(kScopeBytesMin, count)) return false;
    document_.scopes.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      index_ = i;
      if (!read_scope(document_.scopes.emplace_back())) return false;
    }
    return check_openers();
  }

  // Of an invocation in flight or queued.
  bool step_of(uint64_t id, const char* field, size_t at, uint32_t& step) {
    if (const Document::Queued* queued = find_queued(id)) {
      step = queued->step;
      return true;
    }
    if (flying_.size() != document_.in_flight.size()) {
      flying_.reserve(document_.in_flight.size());
      for (const Document::Queued& item : document_.in_flight) flying_.emplace_back(item.id, item.step);
      std::sort(flying_.begin(), flying_.end());
    }
    const auto found = std::lower_bound(flying_.begin(), flying_.end(), std::pair(id, uint32_t{0}));
    if (found == flying_.end() || found->first != id)
      return refuse(at, field, to_text(id) + " is the id of no invocation in flight or queued");
    step = found->second;
    return true;
  }

  const Document::Scope* find_scope(uint64_t id) const noexcept {
    const auto by_id = [](const Document::Scope& scope, uint64_t wanted) { return scope.id < wanted; };
    const auto found = std::lower_bound(document_.scopes.begin(), document_.scopes.end(), id, by_id);
    return found == document_.scopes.end() || found->id != id ? nullptr : &*found;
  }

  bool read_scope(Document::Scope& scope) {
    uint64_t opener = 0;
    uint64_t joins = 0;
    scope.at = reader_.offset();
    scope.closed = true;
    const uint64_t id_min = index_ == 0 ? 1 : document_.scopes[index_ - 1].id + 1;
    scope.id = UINT64_MAX;  // not found while it is read
    uint64_t id = 0;
    if (!fields("", kScopeFields) || !number_in("id", id_min, document_.scope_id_last, "id_last", id))
      return false;
    size_t at = reader_.offset();
    if (!number("parent", scope.parent)) return false;
    if (scope.parent != 0 && (scope.parent >= id || find_scope(scope.parent) == nullptr))
      return refuse(at, "parent", to_text(scope.parent) + " is no scope that stands before it");
    if (!origin("parent_origin", scope.parent_origin)) return false;
    if (!item_of("opener", document_.steps.size(), "steps", opener)) return false;
    if (!opener_of(scope, opener)) return false;
    if (!counter("late", scope.late) || !flag("cancelled", scope.cancelled)) return false;
    at = reader_.offset();
    if (!list(kScopeJoinBytesMin, joins, "joins")) return false;
    if (joins == 0) return refuse(at, "joins", "a scope has a join");
    scope.opener = static_cast<uint32_t>(opener);
    scope.joins = static_cast<uint32_t>(joins);
    for (uint64_t i = 0; i < joins; ++i) {
      const Document::ScopeJoin& join = document_.scope_joins.emplace_back();
      if (!read_scope_join(document_.scope_joins.back())) return false;
      scope.closed = scope.closed && join.closed;
    }
    scope.id = id;
    return check_joins(at, joins);
  }

  bool opener_of(Document::Scope& scope, uint64_t opener) {
    const size_t at = reader_.offset();
    uint32_t step = 0;
    if (!number("opener_invocation", scope.opener_invocation)) return false;
    if (scope.opener_invocation == 0) return true;
    if (!step_of(scope.opener_invocation, "opener_invocation", at, step)) return false;
    openers_.emplace_back(scope.opener_invocation, at);
    return step == opener ||
           refuse(at, "opener_invocation", to_text(scope.opener_invocation) + " is of another step");
  }

  // No join twice.
  bool check_joins(size_t at, size_t count) {
    std::vector<uint32_t> steps;
    steps.reserve(count);
    for (size_t i = document_.scope_joins.size() - count; i < document_.scope_joins.size(); ++i)
      steps.push_back(document_.scope_joins[i].step);
    std::sort(steps.begin(), steps.end());
    const auto twice = std::adjacent_find(steps.begin(), steps.end());
    return twice == steps.end() || refuse(at, "joins", "step " + to_text(*twice) + " is there twice");
  }

  bool origin(const char* field, uint64_t& out) {
    return number_in(field, 0, document_.event_id_last, "event_id_last", out);
  }

  bool read_scope_join(Document::ScopeJoin& join) {
    uint64_t step = 0;
    uint64_t groups = 0;
    if (!fields("joins", kScopeJoinFields) || !item_of("joins.step", document_.steps.size(), "steps", step))
      return false;
    if (!flag("joins.closed", join.closed)) return false;
    join.due_ms = INT64_MAX;
    size_t at = reader_.offset();
    if (reader_.peek_null()) {
      if (!reader_.null()) return fault("joins.due");
    } else if (join.closed) {
      return refuse(at, "joins.due", "a join that is closed has none");
    } else if (!milliseconds("joins.due", kDueMin, join.due_ms)) {
      return false;
    }
    at = reader_.offset();
    if (!list(kGroupBytesMin, groups, "joins.groups")) return false;
    if (join.closed && groups != 0) return refuse(at, "joins.groups", "a join that is closed has none");
    join.step = static_cast<uint32_t>(step);
    join.groups = static_cast<uint32_t>(groups);
    const size_t first = document_.scope_groups.size();
    for (uint64_t i = 0; i < groups; ++i) {
      const size_t group_at = reader_.offset();
      document_.scope_groups.emplace_back();
      if (!read_group(document_.scope_groups.back())) return false;
      if (i != 0 && !check_order(group_at)) return false;
    }
    return check_groups(at, first);
  }

  bool read_group(Document::ScopeGroup& group) {
    uint64_t arrivals = 0;
    if (!fields("joins.groups", kGroupFields) ||
        !optional_name("joins.groups.correlation", group.correlation))
      return false;
    if (!flag("joins.groups.given", group.given)) return false;
    const size_t at = reader_.offset();
    if (!list(kArrivalBytesMin, arrivals, "joins.groups.arrivals")) return false;
    if (group.given != (arrivals == 0))
      return refuse(at, "joins.groups.arrivals", "a group has some until it is given, and then none");
    group.arrivals = static_cast<uint32_t>(arrivals);
    for (uint64_t i = 0; i < arrivals; ++i) {
      Document::Arrival& arrival = document_.arrivals.emplace_back();
      if (!fields("joins.groups.arrivals", kArrivalFields) ||
          !event_of(arrival.event, "joins.groups.arrivals.event"))
        return false;
      if (!origin("joins.groups.arrivals.origin", arrival.origin)) return false;
    }
    return true;
  }

  // Those that were given stand behind the others, by their correlations.
  bool check_order(size_t at) {
    const Document::ScopeGroup& group = document_.scope_groups.back();
    const Document::ScopeGroup& before = document_.scope_groups[document_.scope_groups.size() - 2];
    if (!before.given || (group.given && before.correlation < group.correlation)) return true;
    return refuse(at, "joins.groups", "does not come after the one before it");
  }

  // No correlation twice.
  bool check_groups(size_t at, size_t first) {
    std::vector<std::string_view> correlations;
    correlations.reserve(document_.scope_groups.size() - first);
    for (size_t i = first; i < document_.scope_groups.size(); ++i)
      correlations.push_back(document_.scope_groups[i].correlation);
    std::sort(correlations.begin(), correlations.end());
    const auto twice = std::adjacent_find(correlations.begin(), correlations.end());
    return twice == correlations.end() || refuse(at, "joins.groups", "two have one correlation");
  }

  // Nobody has opened two.
  bool check_openers() {
    std::sort(openers_.begin(), openers_.end());
    const auto same = [](const auto& x, const auto& y) { return x.first == y.first; };
    const auto twice = std::adjacent_find(openers_.begin(), openers_.end(), same);
    index_ = kNoIndex;
    return twice == openers_.end() || refuse(std::next(twice)->second, "opener_invocation",
                                             to_text(twice->first) + " has opened two scopes");
  }

  // Something is left in a scope that is there: what is in it, its opener, an open scope inside; where it is closed, a
  // scope inside that is closed too.
  bool check_scopes_live() {
    std::vector<bool> lives(document_.scopes.size());
    const auto mark = [&](uint64_t id) {
      lives[static_cast<size_t>(find_scope(id) - document_.scopes.data())] = true;
    };
    for (const Document::Member& member : document_.members) mark(member.scope);
    for (size_t i = document_.scopes.size(); i > 0; --i) {  // those inside stand behind
      const Document::Scope& scope = document_.scopes[i - 1];
      if (scope.opener_invocation != 0) lives[i - 1] = true;
      if (!lives[i - 1]) {
        section_ = "scopes";
        index_ = i - 1;
        return refuse(scope.at, "", "nothing is left in it");
      }
      if (scope.parent != 0 && (!scope.closed || find_scope(scope.parent)->closed)) mark(scope.parent);
    }
    return true;
  }

  bool scope_id(uint64_t& out) {
    const size_t at = reader_.offset();
    if (!number("scope", out)) return false;
    return find_scope(out) != nullptr || refuse(at, "scope", to_text(out) + " is the id of no scope");
  }

  bool is_member(const Document::Member& member) const noexcept {
    switch (static_cast<MemberKind>(member.kind)) {
      case MemberKind::invocation: return is_queued(member.id) || is_in_flight(member.id);
      case MemberKind::delayed: {
        const auto [first, last] = std::equal_range(delayed_ids_.begin(), delayed_ids_.end(), member.id);
        return last - first == 1;
      }
      case MemberKind::question: break;
    }
    return std::binary_search(question_ids_.begin(), question_ids_.end(), member.id);
  }

  bool read_members() {
    uint64_t count = 0;
    if (!section_list("members", kMemberBytesMin, count)) return false;
    for (const Document::Delayed& item : document_.delayed)
      delayed_ids_.push_back(document_.events[item.event].id);
    for (const Document::Question& item : document_.questions) {
      if (item.asker == 0) question_ids_.push_back(document_.events[item.event].id);
    }
    std::sort(delayed_ids_.begin(), delayed_ids_.end());
    std::sort(question_ids_.begin(), question_ids_.end());
    document_.members.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Member& member = document_.members.emplace_back();
      const size_t begin = reader_.offset();
      if (!fields("", kMemberFields) || !number_in("kind", 0, 2, "the last kind", member.kind)) return false;
      const size_t at = reader_.offset();
      if (!number("id", member.id) || !scope_id(member.scope) || !origin("origin", member.origin))
        return false;
      if (!is_member(member)) return refuse(at, "id", to_text(member.id) + " is not there, or not once");
      if (index_ == 0) continue;
      const Document::Member& before = document_.members[index_ - 1];
      if (std::pair(before.kind, before.id) >= std::pair(member.kind, member.id))
        return refuse(begin, "", "does not come after the one before it, by kind and id");
    }
    return true;
  }

  bool read_delivered() {
    uint64_t count = 0;
    if (!section_list("delivered", kDeliveredBytesMin, count)) return false;
    document_.delivered.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Delivered& item = document_.delivered.emplace_back();
      uint64_t reason = 0;
      uint64_t wanted = 0;
      const uint64_t id_min = index_ == 0 ? 1 : document_.delivered[index_ - 1].id + 1;
      if (!fields("", kDeliveredFields)) return false;
      const size_t at = reader_.offset();
      if (!number_in("id", id_min, document_.invocation_id_last, "invocation_id_last", item.id) ||
          !step_of(item.id, "id", at, item.step))
        return false;
      if (!number_in("reason", 1, 4, "the last reason", reason)) return false;
      if (!number_in("wanted", 0, UINT32_MAX, "32 bits", wanted)) return false;
      if (!number_in("scope", 1, document_.scope_id_last, "id_last", item.scope)) return false;
      if (!event_list(document_.delivered_events, item.events)) return false;
      item.reason = static_cast<uint32_t>(reason);
      item.wanted = static_cast<uint32_t>(wanted);
    }
    return true;
  }

  bool event_list(std::vector<uint32_t>& events, uint32_t& out) {
    uint64_t count = 0;
    if (!list(1, count, "events")) return false;
    for (uint64_t i = 0; i < count; ++i) {
      if (!event_of(events.emplace_back(), "events")) return false;
    }
    out = static_cast<uint32_t>(count);
    return true;
  }

  bool read_counter() {
    section_ = "counter";
    index_ = kNoIndex;
    document_.has_counter = true;
    const size_t at = reader_.offset();
    if (!fields("", kCounterClockFields) || !milliseconds("elapsed", 0, document_.counter_ms) ||
        !milliseconds("date", 0, document_.counter_date_ms))
      return false;
    return !document_.deadlines.empty() || document_.has_scopes ||
           refuse(at, "", "there is nothing that it counts for");
  }

  bool read_collects() {
    uint64_t count = 0;
    if (!section_list("collects", kCollectBytesMin, count)) return false;
    document_.collects.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Collect& item = document_.collects.emplace_back();
      uint64_t step = 0;
      uint64_t kinds = 0;
      const size_t at = reader_.offset();
      if (!fields("", kCollectFields) || !number("scope", item.scope)) return false;
      if (item.scope != 0 && find_scope(item.scope) == nullptr)
        return refuse(at, "scope", to_text(item.scope) + " is the id of no scope");
      if (!item_of("step", document_.steps.size(), "steps", step) || !optional_name("key", item.key))
        return false;
      item.step = static_cast<uint32_t>(step);
      if (index_ > 0) {
        const Document::Collect& before = document_.collects[index_ - 1];
        if (std::tie(before.scope, before.step, before.key) >= std::tie(item.scope, item.step, item.key))
          return refuse(at, "", "does not come after the one before it, by scope, step and key");
      }
      if (!list(kCollectKindBytesMin, kinds)) return false;
      item.kinds = static_cast<uint32_t>(kinds);
      if (!read_collect_kinds(kinds)) return false;
    }
    return true;
  }

  bool read_collect_kinds(uint64_t count) {
    const size_t events_before = document_.collect_events.size();
    const size_t first = document_.collect_kinds.size();
    const size_t list_at = reader_.offset();
    for (uint64_t i = 0; i < count; ++i) {
      Document::CollectKind& kind = document_.collect_kinds.emplace_back();
      uint64_t wanted = 0;
      const size_t at = reader_.offset();
      if (!fields("kinds", kCollectKindFields) || !name("kinds.type", kind.type)) return false;
      if (i > 0 && document_.collect_kinds[first + i - 1].type >= kind.type)
        return refuse(at, "kinds.type", "does not come after the type before it");
      if (!number_in("kinds.wanted", 0, UINT32_MAX, "32 bits", wanted)) return false;
      if (!event_list(document_.collect_events, kind.events)) return false;
      kind.wanted = static_cast<uint32_t>(wanted);
    }
    return document_.collect_events.size() != events_before ||
           refuse(list_at, "kinds", "it has collected nothing");
  }

  bool read_whole() {
    uint64_t count = 0;
    if (!section_list("whole", kWholeBytesMin, count)) return false;
    document_.whole.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Whole& item = document_.whole.emplace_back();
      uint64_t position = 0;
      const size_t at = reader_.offset();
      if (!fields("", kWholeFields) ||
          !number_in("id", 1, document_.invocation_id_last, "invocation_id_last", item.id))
        return false;
      if (!is_queued(item.id) && !is_in_flight(item.id))
        return refuse(at, "id", to_text(item.id) + " is the id of no invocation in flight or queued");
      if (!number_in("position", 0, UINT32_MAX, "32 bits", position)) return false;
      item.position = static_cast<uint32_t>(position);
      if (index_ > 0) {
        const Document::Whole& before = document_.whole[index_ - 1];
        if (std::tie(before.id, before.position) >= std::tie(item.id, item.position))
          return refuse(at, "", "does not come after the one before it, by id and position");
      }
      if (!event_list(document_.whole_events, item.events)) return false;
    }
    return true;
  }

  bool read_deadlines() {
    uint64_t count = 0;
    if (!section_list("deadlines", kDeadlineBytesMin, count)) return false;
    document_.deadlines.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Deadline& item = document_.deadlines.emplace_back();
      if (!fields("", kDeadlineFields)) return false;
      const size_t at = reader_.offset();
      if (!item_of("question", document_.questions.size(), "questions", item.question)) return false;
      if (index_ > 0 && item.question <= document_.deadlines[index_ - 1].question)
        return refuse(at, "question", to_text(item.question) + " does not come after the one before it");
      if (document_.questions[item.question].asker == 0)
        return refuse(at, "question", to_text(item.question) + " was asked by an event, and has no deadline");
      const size_t deadline_at = reader_.offset();
      if (!milliseconds("deadline", 1, item.deadline_ms)) return false;
      if (item.deadline_ms > kTimeMsMax)
        return refuse(deadline_at, "deadline",
                      std::to_string(item.deadline_ms) + " is more than a hundred years");
      if (!milliseconds("due", kDueMin, item.due_ms)) return false;
      if (!value("default", item.default_answer)) return false;
    }
    return true;
  }

  bool read_withdrawn() {
    uint64_t count = 0;
    if (!section_list("withdrawn", kWithdrawnBytesMin, count)) return false;
    document_.withdrawn.reserve(count);
    const auto in_order = [](const auto& a, const auto& b) {
      return std::tie(a.id, a.request_id) < std::tie(b.id, b.request_id);
    };
    // What was answered, and what is open: neither is withdrawn.
    std::vector<Document::Withdrawn> others;
    others.reserve(document_.answers.size() + document_.questions.size());
    for (const Document::Answer& item : document_.answers) others.push_back({item.id, item.request_id});
    for (const Document::Question& item : document_.questions)
      others.push_back({item.asker, document_.events[item.event].correlation});
    std::sort(others.begin(), others.end(), in_order);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Withdrawn& item = document_.withdrawn.emplace_back();
      if (!fields("", kWithdrawnFields)) return false;
      const size_t at = reader_.offset();
      if (!number("id", item.id) || !name("request_id", item.request_id)) return false;
      if (index_ > 0 && !in_order(document_.withdrawn[index_ - 1], item))
        return refuse(at, "", "does not come after the one before it");
      if (!std::binary_search(document_.asked.begin(), document_.asked.end(),
                              Document::Asked{item.id, item.request_id, 0}, comes_before))
        return refuse(at, "", "invocation " + to_text(item.id) + " has not asked it");
      if (std::binary_search(others.begin(), others.end(), item, in_order))
        return refuse(at, "", "it is open, or was answered");
    }
    return true;
  }

  bool read_early_answers() {
    section_ = "early_answers";
    index_ = kNoIndex;
    uint64_t count = 0;
    const size_t list_at = reader_.offset();
    if (!list(kEarlyAnswerBytesMin, count)) return false;
    if (count == 0 || (document_.phase != Phase::created && document_.phase != Phase::running))
      return refuse(list_at, "", "only a run that goes on has this section, and it is not empty");
    document_.early_answers.reserve(count);
    for (index_ = 0; index_ < count; ++index_) {
      Document::Early& item = document_.early_answers.emplace_back();
      if (!fields("", kEarlyAnswerFields)) return false;
      const size_t at = reader_.offset();
      if (!name("request_id", item.request_id)) return false;
      if (index_ > 0 && item.request_id <= document_.early_answers[index_ - 1].request_id)
        return refuse(at, "request_id", "does not come after the one before it");
      if (!value("answer", item.value)) return false;
    }
    return true;
  }

  bool read_end() {
    section_ = "snapshot";
    index_ = kNoIndex;
    const size_t left = bytes_left();
    return left == 0 || refuse(reader_.offset(), "", to_text(left) + " bytes follow its end");
  }

  // --------------------------------------------------------------------------------------- parts of sections

  // The next key of the map, which has to be this one.
  bool key(Key expected) {
    const auto wanted = static_cast<uint64_t>(expected);
    section_ = kSections[wanted];
    index_ = kNoIndex;
    const size_t at = reader_.offset();
    if (wanted >= keys_) return refuse(at, "", "missing: the map ends after " + to_text(keys_) + " keys");
    uint64_t found = 0;
    if (!number("", found)) return false;
    if (found == wanted) return true;
    const std::string name_of_found = "key " + to_text(found);
    if (found >= kSnapshotKeyCount) return refuse(at, "", name_of_found + " is not one of format 1");
    return refuse(at, "", name_of_found + " stands where key " + to_text(wanted) + " belongs");
  }

  bool counter(const char* field, uint64_t& out) {
    return number_in(field, 0, kCounterMax, "the most that a counter may have come to", out);
  }

  bool number(const char* field, uint64_t& out) { return reader_.unsigned_int(out) || fault(field); }

  // max_name says where the upper bound comes from.
  bool number_in(const char* field, uint64_t min, uint64_t max, const char* max_name, uint64_t& out) {
    const size_t at = reader_.offset();
    if (!number(field, out)) return false;
    if (out >= min && out <= max) [[likely]]
      return true;
    if (out > max) return refuse(at, field, to_text(out) + " is more than " + to_text(max) + ", " + max_name);
    if (min == 1) return refuse(at, field, "0, and they count from 1");
    return refuse(at, field, to_text(out) + " does not come after " + to_text(min - 1) + " before it");
  }

  bool item_of(const char* field, size_t count, const char* what, uint64_t& out) {
    const size_t at = reader_.offset();
    if (!number(field, out)) return false;
    if (out < count) [[likely]]
      return true;
    return refuse(at, field, "index " + to_text(out) + ", and there are only " + to_text(count) + " " + what);
  }

  bool text(const char* field, std::string_view& out) { return reader_.text(out) || fault(field); }

  bool name(const char* field, std::string_view& out) {
    if (!text(field, out)) return false;
    if (!out.empty() && out.size() <= kNameBytesMax) [[likely]]
      return true;
    if (out.empty()) return refuse(reader_.offset() - 1, field, "empty");
    return refuse_long_name(field, out);
  }

  bool optional_name(const char* field, std::string_view& out) {
    return reader_.peek_null() ? reader_.null() : name(field, out);
  }

  bool value(const char* field, SnapshotValue& out, Live live = Live::refused) {
    switch (reader_.peek_type()) {
      case CborType::kText: return json_value(field, out);
      case CborType::kBytes: return binary_value(field, Tag::bytes, out);
      case CborType::kArray: return native_value(field, out);
      case CborType::kNone: return text(field, out.data);  // for what is wrong with it
      default:
        if (live == Live::allowed && reader_.peek_type() == CborType::kTag) return live_value(field, out);
        return refuse(reader_.offset(), field, "expected a value: text, a byte string or an array of two");
    }
  }

  bool optional_value(const char* field, SnapshotValue& out, Live live = Live::refused) {
    return reader_.peek_null() ? reader_.null() : value(field, out, live);
  }

  // What was LIVE, in its tag: [label, value].
  bool live_value(const char* field, SnapshotValue& out) {
    const size_t at = reader_.offset();
    uint64_t tag = 0;
    std::string_view label;
    if (!reader_.tag(tag)) return fault(field);
    if (tag != kCborTagLive)
      return refuse(at, field, "tag " + to_text(tag) + ", and only 45474 is one of format 1");
    if (!fields(field, kLiveFields)) return false;
    kept_ = ".label";
    if (!text(field, label)) return false;
    if (label.size() > kNameBytesMax) return refuse_long_name(field, label);
    kept_ = ".kept";
    if (!value(field, out)) return false;
    kept_ = "";
    out.label_data = label.data();
    out.label_size = static_cast<uint32_t>(label.size());
    document_.has_live = true;
    return true;
  }

  bool json_value(const char* field, SnapshotValue& out) {
    if (!text(field, out.data) || !value_size(field, out.data)) return false;
    out.tag = Tag::json;
    const JsonFault json = check_json(out.data.data(), out.data.size(), kJsonDepthMax);
    if (!json) [[likely]]
      return true;
    return refuse(offset_of(out.data) + json.offset, field, std::string("not JSON: ") + json.reason);
  }

  bool binary_value(const char* field, Tag tag, SnapshotValue& out) {
    std::span<const uint8_t> data;
    if (!reader_.bytes(data)) return fault(field);
    out.tag = tag;
    out.data = {reinterpret_cast<const char*>(data.data()), data.size()};
    return value_size(field, out.data);
  }

  bool native_value(const char* field, SnapshotValue& out) {
    if (!fields(field, kNativeFields)) return false;
    part_ = ".codec";
    if (!text(field, out.codec)) return false;
    if (out.codec.size() > kNameBytesMax) return refuse_long_name(field, out.codec);
    part_ = ".data";
    if (!binary_value(field, Tag::native, out)) return false;
    part_ = "";
    return true;
  }

  bool value_size(const char* field, std::string_view data) {
    if (data.size() <= kValueBytesMax) [[likely]]
      return true;
    return refuse(offset_of(data), field, to_text(data.size()) + " bytes, more than a value may have");
  }

  bool refuse_long_name(const char* field, std::string_view found) {
    return refuse(text_offset(found), field, to_text(found.size()) + " bytes, and a name has at most 1024");
  }

  // An array that is a record.
  bool fields(const char* field, uint64_t expected) {
    const size_t at = reader_.offset();
    uint64_t count = 0;
    if (!reader_.array(count)) return fault(field);
    if (count == expected) [[likely]]
      return true;
    return refuse(at, field, "an array of " + to_text(count) + " instead of " + to_text(expected));
  }

  // An array of records: no more of them than the bytes left can hold.
  bool list(size_t item_bytes_min, uint64_t& count, const char* field = "") {
    const size_t at = reader_.offset();
    if (!reader_.array(count)) return fault(field);
    const uint64_t most = std::min<uint64_t>(bytes_left() / item_bytes_min, kItemsMax);
    if (count <= most) return true;
    return refuse(at, field, to_text(count) + " items, and the bytes left hold at most " + to_text(most));
  }

  bool list_of_running(size_t item_bytes_min, uint64_t& count) {
    const size_t at = reader_.offset();
    if (!list(item_bytes_min, count)) return false;
    if (count == 0 || document_.phase == Phase::running) return true;
    return refuse(at, "", to_text(count) + " items, and only a running run has any");
  }

  // ------------------------------------------------------------------------------------------------- faults

  size_t bytes_left() const noexcept { return bytes_.size() - reader_.offset(); }
  size_t offset_of(const void* at) const noexcept {
    return static_cast<size_t>(static_cast<const uint8_t*>(at) - bytes_.data());
  }
  size_t offset_of(std::string_view content) const noexcept { return offset_of(content.data()); }
  // Where the head of a text stands whose content this is: heads are the shortest there are.
  size_t text_offset(std::string_view content) const noexcept {
    uint8_t head[cbor::kHeadSizeMax];
    return offset_of(content) - static_cast<size_t>(cbor::put_head(head, cbor::kText, content.size()) - head);
  }

  // What the reader found.
  bool fault(const char* field) { return refuse(reader_.offset(), field, reader_.reason()); }

  bool refuse(size_t offset, const char* field, const std::string& what) {
    error_ = Error::at(Status::snapshot_invalid, path_of(field) + ": " + what, offset);
    return false;
  }

  std::string path_of(const char* field) const {
    std::string path = path_ + section_;
    if (index_ != kNoIndex) path += "[" + to_text(index_) + "]";
    path += causes_;
    if (*field != '\0') path.append(".").append(field);
    return path.append(kept_).append(part_);
  }

  std::span<const uint8_t> bytes_;
  CborReader whole_;
  CborReader& reader_;  // that of the outermost
  const size_t start_;
  const uint32_t depth_ = 0;
  const std::string path_;  // to a run inside another
  SnapshotDocument document_;
  Ref<Error> error_;
  size_t turns_at_ = 0;
  uint64_t keys_ = 0;  // how many the map says it has
  std::vector<uint64_t> versions_;
  std::vector<bool> event_is_used_;
  std::vector<bool> event_is_request_;  // known to be a question
  std::vector<bool> event_is_asked_;
  std::vector<std::pair<uint64_t, uint32_t>> flying_;  // in flight, with their steps, by id; for scopes
  std::vector<std::pair<uint64_t, size_t>> openers_;   // with the byte where they stand
  std::vector<uint64_t> delayed_ids_;                  // of events, ascending; for members
  std::vector<uint64_t> question_ids_;                 // the same, of questions that events asked
  std::vector<uint64_t> in_flight_ids_;                // ascending, once they are known to be unique
  std::vector<uint64_t> waiting_ids_;                  // of those that back off

  // The path to what is being read: section[index].cause.field.codec
  const char* section_ = "snapshot";
  uint64_t index_ = kNoIndex;
  std::string causes_;
  const char* kept_ = "";  // of what was LIVE
  const char* part_ = "";
};

}  // namespace

Result<SnapshotDocument> decode_snapshot(std::span<const uint8_t> bytes) {
  CborBuffer copy;
  if (!bytes.empty()) {
    copy.data.reset(static_cast<uint8_t*>(std::malloc(bytes.size())));
    if (!copy.data) throw std::bad_alloc();
    std::memcpy(copy.data.get(), bytes.data(), bytes.size());
    copy.size = bytes.size();
  }
  return decode_snapshot(std::move(copy));
}

Result<SnapshotDocument> decode_snapshot(CborBuffer&& bytes) {
  Result<SnapshotDocument> document = Decoder(bytes.bytes()).decode();
  if (document) document->own_bytes = std::move(bytes);
  return document;
}

Result<SnapshotDocument> decode_snapshot(Ref<HostBytes> bytes) {
  Result<SnapshotDocument> document = Decoder(bytes->bytes()).decode();
  if (document) document->host_bytes = std::move(bytes);
  return document;
}

// JSON is text, and every text of ours ends with a NUL: that one is copied.
Ref<Value> SnapshotDocument::make(const SnapshotValue& value) const {
  const bool is_binary = value.tag == Tag::bytes || value.tag == Tag::native;
  if (!is_binary || !host_bytes || !host_bytes->may_be_kept_by(value.data.size())) return value.make();
  const auto let_go = [](void* kept) { Ref<HostBytes>::adopt(static_cast<HostBytes*>(kept)).reset(); };
  Ref<HostBytes> kept = host_bytes;
  Ref<Value> made =
      Value::adopt(value.tag, value.data.data(), value.data.size(), value.codec, kept.get(), let_go);
  static_cast<void>(kept.take());  // the value's from here on
  return made;
}

}  // namespace blazen
