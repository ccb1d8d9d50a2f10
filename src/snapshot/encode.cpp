#include "snapshot/encode.hpp"

#include <algorithm>
#include <utility>

namespace blazen {
namespace {

using cbor::kHeadSizeMax;

// ------------------------------------------------------------------------------------------------- the cut

SnapshotCut::Queued work_of(const Invocation& invocation) noexcept {
  return {invocation.id, invocation.event, invocation.step, invocation.attempt};
}

void cut_in_flight(const RunState& state, SnapshotCut& cut) {
  const auto lists = {&state.interrupted, &state.interrupted_waiting, &state.interrupted_parked,
                      &state.in_flight};
  size_t count = 0;
  for (const InvocationList* list : lists) count += list->size();
  cut.in_flight.reserve(count);
  for (const InvocationList* list : lists) {
    for (const Invocation* item = list->front(); item != nullptr; item = item->next) {
      cut.in_flight.push_back(
          {item->start, work_of(*item), item->effects ? item->effects->digests : std::vector<uint64_t>{}});
    }
  }
}

void cut_queue(const InvocationList& list, SnapshotCut& cut) noexcept {
  for (const Invocation* item = list.front(); item != nullptr; item = item->next) {
    cut.queued.push_back(work_of(*item));  // reserved
  }
}

void cut_queued(const RunState& state, SnapshotCut& cut) {
  cut.queued.reserve(state.open - cut.in_flight.size());
  cut_queue(state.ready, cut);
  cut_queue(state.admitted, cut);
  cut_queue(state.parked, cut);
  for (const StepState& step : state.steps) cut_queue(step.waiting, cut);
}

// An empty table is the same as none, and one that is not shared need not be cloned.
Ref<KeyTable> cut_table(const Ref<KeyTable>& table, bool& order_known) noexcept {
  if (!table || table->size() == 0) return nullptr;
  order_known = table->order() != nullptr;
  return table;
}

// -------------------------------------------------------------------------------------------- upper bounds

// A snapshot is written into one block that is large enough from the start. Only where codecs of values in a
// table need more than their share does it grow.
size_t text_bound(std::string_view text) noexcept { return text.size() + kHeadSizeMax; }

size_t value_bound(const Ref<Value>& value) noexcept {
  return value ? value->data().size() + value->codec().size() + 3 * kHeadSizeMax : 1;
}

size_t head_size(uint64_t number) noexcept {
  uint8_t head[kHeadSizeMax];
  return static_cast<size_t>(cbor::put_head(head, cbor::kUnsigned, number) - head);
}

// A string of n bytes has a head of at most 1 + n / 24 bytes.
size_t table_bound(const Ref<KeyTable>& table, uint64_t write_last) noexcept {
  if (!table) return kHeadSizeMax;
  return kHeadSizeMax + table->size() * (3 + head_size(write_last)) + table->bytes() + table->bytes() / 24;
}

size_t event_bound(const Event& event) noexcept {
  return 2 * kHeadSizeMax + text_bound(event.type()) + value_bound(event.value()) +
         text_bound(event.source()) + text_bound(event.correlation());
}

size_t error_bound(const Error* error) noexcept {
  size_t bound = 1;
  for (; error != nullptr; error = error->cause.get()) {
    bound +=
        6 * kHeadSizeMax + text_bound(error->message) + text_bound(error->step) + value_bound(error->detail);
  }
  return bound;
}

// --------------------------------------------------------------------------------------------- the encoding

class Encoder {
 public:
  explicit Encoder(SnapshotCut& cut) noexcept : cut_(cut) {}

  Result<CborBuffer> encode() {
    sort_invocations();
    collect_events();
    make_orders();
    writer_.reserve(bound());
    put_head();
    put_table(SnapshotKey::state, "state", cut_.state, cut_.state_order);
    put_table(SnapshotKey::session, "session", cut_.session, cut_.session_order);
    put_steps();
    put_events();
    put_in_flight();
    put_queued();
    put_outcome();
    if (!live_.empty()) return Error::make(Status::not_serializable, "LIVE values cannot be kept: " + live_);
    return writer_.take();
  }

 private:
  // The lists that a cut comes from are ascending each, and mostly only one of them has many.
  void sort_invocations() {
    const auto by_start = [](const auto& a, const auto& b) { return a.start < b.start; };
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    if (!std::is_sorted(cut_.in_flight.begin(), cut_.in_flight.end(), by_start)) {
      std::sort(cut_.in_flight.begin(), cut_.in_flight.end(), by_start);
    }
    if (!std::is_sorted(cut_.queued.begin(), cut_.queued.end(), by_id)) {
      std::sort(cut_.queued.begin(), cut_.queued.end(), by_id);
    }
  }

  // Every event once, by id. Invocations of one event stand beside each other, and mostly in the order of the
  // events.
  void collect_events() {
    const auto add = [this](const SnapshotCut::Queued& work) {
      if (events_.empty() || events_.back() != work.event.get()) events_.push_back(work.event.get());
    };
    const auto by_id = [](const Event* a, const Event* b) { return a->id < b->id; };
    const auto same_id = [](const Event* a, const Event* b) { return a->id == b->id; };
    events_.reserve(cut_.in_flight.size() + cut_.queued.size());
    for (const SnapshotCut::InFlight& item : cut_.in_flight) add(item.work);
    for (const SnapshotCut::Queued& item : cut_.queued) add(item);
    if (!std::is_sorted(events_.begin(), events_.end(), by_id))
      std::sort(events_.begin(), events_.end(), by_id);
    events_.erase(std::unique(events_.begin(), events_.end(), same_id), events_.end());
  }

  void make_orders() {
    if (cut_.state && !cut_.state_order_known) cut_.state_order = cut_.state->make_order();
    if (cut_.session && !cut_.session_order_known) cut_.session_order = cut_.session->make_order();
  }

  size_t bound() const noexcept {
    const Workflow& workflow = *cut_.workflow;
    size_t bytes = (kSnapshotKeyCount + 16) * kHeadSizeMax + kFormatMagic.size() + cut_.engine.size() +
                   workflow.name().size() + workflow.fingerprint().size() + kRunIdBytes +
                   cut_.last_event.size();
    bytes += value_bound(cut_.metadata) + value_bound(cut_.result) + error_bound(cut_.error.get());
    bytes += table_bound(cut_.state, cut_.write_last) + table_bound(cut_.session, cut_.write_last);
    for (const StepDefinition& step : workflow.steps()) bytes += text_bound(step.name);
    for (const Event* event : events_) bytes += event_bound(*event);
    for (const SnapshotCut::InFlight& item : cut_.in_flight) {
      bytes += 6 * kHeadSizeMax + item.effects.size() * kEffectBytes;
    }
    return bytes + cut_.queued.size() * (1 + head_size(cut_.invocation_id_last) + 3 * head_size(UINT32_MAX));
  }

  void key(SnapshotKey key) { writer_.unsigned_int(static_cast<uint64_t>(key)); }

  void put_head() {
    writer_.tag(kCborTagSelfDescribed);
    writer_.map(kSnapshotKeyCount);
    key(SnapshotKey::magic);
    writer_.text(kFormatMagic);
    key(SnapshotKey::format);
    writer_.unsigned_int(kFormatVersion);
    key(SnapshotKey::engine);
    writer_.text(cut_.engine);
    key(SnapshotKey::workflow);
    writer_.text(cut_.workflow->name());
    key(SnapshotKey::fingerprint);
    writer_.text(cut_.workflow->fingerprint());
    key(SnapshotKey::run_id);
    writer_.bytes(cut_.id.data(), cut_.id.size());
    key(SnapshotKey::phase);
    writer_.unsigned_int(static_cast<uint64_t>(cut_.phase));
    put_counters();
    key(SnapshotKey::metadata);
    put_value(cut_.metadata, [] { return std::string("metadata"); });
  }

  void put_counters() {
    key(SnapshotKey::counters);
    writer_.array(kCounterFields);
    writer_.unsigned_int(cut_.event_id_last);
    writer_.unsigned_int(cut_.invocation_id_last);
    writer_.unsigned_int(cut_.write_last);
    writer_.unsigned_int(cut_.stream_last);
    key(SnapshotKey::last_event);
    if (cut_.last_event.empty()) return writer_.null();
    writer_.array(kLastEventFields);
    writer_.text(cut_.last_event);
  }

  // The hot loop: a state may have a million keys.
  void put_table(SnapshotKey at, const char* name, const Ref<KeyTable>& table,
                 const std::optional<KeyTable::Order>& made) {
    key(at);
    writer_.array(table ? table->size() : 0);
    if (!table) return;
    for (const uint32_t position : made ? *made : *table->order()) {
      const KeyTable::Entry& entry = table->entries()[position];
      writer_.array(kEntryFields);
      writer_.text(entry.key);
      writer_.unsigned_int(entry.version);
      put_value(entry.value, [&] { return std::string(name).append(" '").append(entry.key).append("'"); });
    }
  }

  void put_steps() {
    key(SnapshotKey::steps);
    writer_.array(cut_.workflow->steps().size());
    for (const StepDefinition& step : cut_.workflow->steps()) writer_.text(step.name);
  }

  void put_events() {
    key(SnapshotKey::events);
    writer_.array(events_.size());
    for (const Event* event : events_) {
      writer_.array(kEventFields);
      writer_.unsigned_int(event->id);
      writer_.text(event->type());
      put_value(event->value(), [&] {
        return std::string("event '").append(event->type()).append("' (id ") + std::to_string(event->id) +
               ")";
      });
      put_optional_text(event->source());
      put_optional_text(event->correlation());
    }
  }

  void put_in_flight() {
    key(SnapshotKey::in_flight);
    writer_.array(cut_.in_flight.size());
    for (const SnapshotCut::InFlight& item : cut_.in_flight) {
      writer_.array(kInFlightFields);
      put_work(item.work);
      bytes_.resize(item.effects.size() * kEffectBytes);
      for (size_t i = 0; i < item.effects.size(); ++i) {
        const uint64_t stored = cbor::big_endian(item.effects[i]);
        std::memcpy(bytes_.data() + i * kEffectBytes, &stored, kEffectBytes);
      }
      writer_.bytes(bytes_.data(), bytes_.size());
    }
  }

  void put_queued() {
    key(SnapshotKey::queued);
    writer_.array(cut_.queued.size());
    for (const SnapshotCut::Queued& item : cut_.queued) {
      writer_.array(kQueuedFields);
      put_work(item);
    }
  }

  void put_work(const SnapshotCut::Queued& work) {
    writer_.unsigned_int(work.id);
    writer_.unsigned_int(work.step);
    writer_.unsigned_int(find_event(*work.event));
    writer_.unsigned_int(work.attempt);
  }

  // Invocations come mostly in the order of their events: the last one found, or the next, is mostly the one.
  size_t find_event(const Event& event) noexcept {
    if (events_[found_]->id != event.id && (++found_ == events_.size() || events_[found_]->id != event.id)) {
      const auto by_id = [](const Event* a, uint64_t id) { return a->id < id; };
      const auto place = std::lower_bound(events_.begin(), events_.end(), event.id, by_id);
      found_ = static_cast<size_t>(place - events_.begin());
    }
    return found_;
  }

  void put_outcome() {
    key(SnapshotKey::outcome);
    if (cut_.error) return put_error(*cut_.error);
    if (!cut_.result) return writer_.null();
    writer_.array(kResultFields);
    put_value(cut_.result, [] { return std::string("result"); });
  }

  // Of a chain that is too long, the last one stays: what the host said stands there.
  void put_error(const Error& top) {
    std::string path = "error";
    const Error* error = &top;
    for (uint32_t depth = 0; error != nullptr; ++depth) {
      put_error_fields(*error, path);
      path += ".cause";
      error = error->cause.get();
      while (depth + 1 == kErrorDepthMax && error != nullptr && error->cause) error = error->cause.get();
    }
    writer_.null();
  }

  // All but the cause, which follows.
  void put_error_fields(const Error& error, const std::string& path) {
    writer_.array(kErrorFields);
    writer_.unsigned_int(static_cast<uint64_t>(error.status));
    writer_.text(error.message);
    put_optional_text(error.step);
    writer_.unsigned_int(error.attempt);
    writer_.signed_int(error.host_code);
    error.offset == kNoOffset ? writer_.null() : writer_.unsigned_int(error.offset);
    put_value(error.detail, [&] { return path + ".detail"; });
  }

  // An empty name is no name.
  void put_optional_text(std::string_view text) { text.empty() ? writer_.null() : writer_.text(text); }

  // where() names the value, should it be LIVE. What is written in its place then does not matter.
  template <class Where>
  void put_value(const Ref<Value>& value, Where where) {
    if (!value) return writer_.null();
    switch (value->tag()) {
      case Tag::json: return writer_.text(value->data());
      case Tag::bytes: return writer_.bytes(value->data().data(), value->data().size());
      case Tag::native:
        writer_.array(kNativeFields);
        writer_.text(value->codec());
        return writer_.bytes(value->data().data(), value->data().size());
      case Tag::live:
        if (!live_.empty()) live_ += ", ";
        live_ += where();
        return;
      case Tag::none: return writer_.null();
    }
  }

  SnapshotCut& cut_;
  CborWriter writer_;
  std::vector<const Event*> events_;  // by id, each once
  size_t found_ = 0;                  // where find_event was last
  std::vector<uint8_t> bytes_;        // effects on their way to the writer
  std::string live_;                  // the LIVE values met so far
};

void keep_order(const Ref<KeyTable>& cut, const Ref<KeyTable>& now,
                std::optional<KeyTable::Order>& made) noexcept {
  // Where the order is known by now, another snapshot gave it, and a third may be reading it.
  if (made && cut.get() == now.get() && now->order() == nullptr)
    now->keep_order(*std::exchange(made, std::nullopt));
}

}  // namespace

SnapshotCut cut_snapshot(const RunState& state) {
  SnapshotCut cut;
  cut.workflow = state.workflow;
  cut.id = state.id;
  cut.phase = state.phase;
  cut.event_id_last = state.event_id_last;
  cut.invocation_id_last = state.invocation_id_last;
  cut.write_last = state.write_last;
  cut.stream_last = state.stream_last;
  cut.last_event =
      state.last_type == kUnknownType ? state.last_unhandled : state.workflow->type_name(state.last_type);
  cut.metadata = state.metadata;
  cut.state = cut_table(state.state, cut.state_order_known);
  cut.session = cut_table(state.session, cut.session_order_known);
  cut.result = state.result;
  cut.error = state.error;
  // What a body still does after the end of its run counts no more.
  if (has_ended(state)) return cut;
  cut_in_flight(state, cut);
  cut_queued(state, cut);
  return cut;
}

Result<CborBuffer> encode_snapshot(SnapshotCut& cut) { return Encoder(cut).encode(); }

void keep_orders(SnapshotCut& cut, const RunState& state) noexcept {
  keep_order(cut.state, state.state, cut.state_order);
  keep_order(cut.session, state.session, cut.session_order);
}

}  // namespace blazen
