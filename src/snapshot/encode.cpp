#include "snapshot/encode.hpp"

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

namespace blazen {
namespace {

using cbor::kHeadSizeMax;

// --------------------------------------------------------------------------------------------------- the cut

SnapshotCut::Queued work_of(const Invocation& invocation) noexcept {
  return {invocation.id, invocation.event, invocation.step, invocation.attempt, {}};
}

// The same with what it has done and been told so far.
SnapshotCut::Queued work_and_effects_of(const Invocation& invocation, SnapshotCut& cut) {
  SnapshotCut::Queued work = work_of(invocation);
  if (cut.scopes)
    cut.scopes->add_member(*cut.scopes_of_run, MemberKind::invocation, invocation.id,
                           invocation.event->membership);
  if (!invocation.journal) return work;
  work.effects = invocation.journal->made;
  uint64_t position = 0;
  for (const Journal::Answer& answer : invocation.journal->answers()) {
    if (answer.value) {
      cut.answers.push_back({invocation.id, position++, answer.request_id, answer.value, nullptr});
    } else {
      cut.withdrawn.push_back({invocation.id, answer.request_id});
    }
  }
  invocation.journal->asked.walk([&](const std::string& request_id, uint64_t digest) {
    cut.asked.push_back({invocation.id, request_id, digest});
  });
  return work;
}

void cut_in_flight(const RunState& state, SnapshotCut& cut) {
  cut.in_flight.reserve(state.interrupted.size() + rare_queues(state).interrupted_waiting_count +
                        state.in_flight.size());
  const auto take = [&cut](const Invocation* item) {
    cut.in_flight.push_back({item->start, work_and_effects_of(*item, cut)});
    return true;
  };
  state.interrupted.walk(take);
  for (const PoolState& pool : state.permitted.pools()) pool.interrupted.walk(take);
  rare_queues(state).interrupted_waiting.walk(take);
  rare_queues(state).interrupted_parked.walk(take);
  state.in_flight.walk(take);
}

template <class Queue>
void cut_queue(const Queue& queue, SnapshotCut& cut) {
  queue.walk([&cut](const Invocation* item) {
    cut.queued.push_back(work_and_effects_of(*item, cut));  // reserved
    return true;
  });
}

void cut_queued(const RunState& state, SnapshotCut& cut) {
  cut.queued.reserve(state.open - cut.in_flight.size());
  cut_queue(state.ready, cut);
  cut_queue(rare_queues(state).parked, cut);
  for (const StepState& step : state.steps) {
    if (!step.queues) continue;
    cut_queue(step.queues->ready, cut);
    cut_queue(step.queues->waiting, cut);
  }
  cut_queue(state.asking, cut);
  for (const auto& [key, timer] : state.timers) {
    if (timer.invocation != nullptr) cut.queued.push_back(work_and_effects_of(*timer.invocation, cut));
  }
}

void cut_waiting(const RunState& state, SnapshotCut& cut) {
  for (const auto& [key, timer] : state.timers) {
    switch (key.what) {
      case TimerClass::retry: cut.backing_off.push_back({key.due_ms, key.id}); break;
      case TimerClass::delay: cut.delayed.push_back({key.due_ms, timer.event, timer.target}); break;
    }
  }
  state.asking.walk([&cut](const Invocation* item) {
    cut.asking.push_back(item->id);
    return true;
  });
  for (const Question& question : state.questions) {
    if (const Question::Deadline* deadline = question.deadline.get())
      cut.deadlines.push_back(
          {cut.questions.size(), deadline->after_ms, deadline->due_ms, deadline->default_answer});
    cut.questions.push_back(
        {question.request, question.asker == nullptr ? 0 : question.asker->id, question.asked_ms});
  }
  cut.pause = state.pause;
}

// An empty table is the same as none, and one that is not shared need not be cloned.
Ref<KeyTable> cut_table(const Ref<KeyTable>& table, bool& order_known) noexcept {
  if (!table || table->size() == 0) return nullptr;
  order_known = table->order() != nullptr;
  return table;
}

// ---------------------------------------------------------------------------------------------- upper bounds

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

// ---------------------------------------------------------------------------------------------- the encoding

class Encoder {
 public:
  Encoder(CborWriter& writer, SnapshotCut& cut, SerializeCall serialize) noexcept
      : cut_(cut),
        policy_(cut.workflow->policy().session),
        serialize_(serialize),
        writer_(writer),
        top_(*this) {}
  // Of a run inside: the policy is that of the top, which has what is refused and what is dropped.
  Encoder(SnapshotCut& cut, Encoder& top)
      : cut_(cut),
        policy_(top.policy_),
        serialize_(top.serialize_),
        writer_(top.writer_),
        top_(top),
        prefix_(cut.path->texts().text + ": ") {}

  // Null: all of it is written, or the writer has stopped.
  Ref<Error> encode() {
    prepare();
    if (!inside_.empty()) collect_turns(cut_);
    if (has_dropped_) drop_repeated(cut_.dropped);
    if (!refused_.empty()) return refusal();
    writer_.reserve(bound());
    put();
    if (!refused_.empty()) return refusal();
    writer_.flush();
    return nullptr;
  }

 private:
  // Everything that may be refused, here and inside, before a byte is written.
  void prepare() {
    sort_invocations();
    collect_events();
    make_orders();
    choose_session();
    keep_live();
    for (SnapshotCut::Child& child : cut_.children) {
      if (child.run) inside_.emplace_back(std::make_unique<Encoder>(*child.run, top_))->prepare();
    }
  }

  // Of the whole tree.
  void collect_turns(const SnapshotCut& cut) {
    if (cut.turn != 0) row_.push_back({cut.turn, &cut, 0});
    for (const SnapshotCut::InFlight& item : cut.in_flight)
      starts_.push_back({item.start, &cut, item.work.id});
    for (const SnapshotCut::Child& child : cut.children) {
      if (child.run) collect_turns(*child.run);
    }
    if (&cut != &cut_) return;
    const auto in_order = [](const Turn& a, const Turn& b) { return a.number < b.number; };
    std::sort(row_.begin(), row_.end(), in_order);
    std::sort(starts_.begin(), starts_.end(), in_order);
  }

  void put() {
    put_head();
    put_table(SnapshotKey::state, cut_.state, cut_.state_order);
    put_session();
    put_steps();
    put_events();
    put_in_flight();
    put_queued();
    put_outcome();
    put_dropped();
    put_waiting();
    put_sections();
  }

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

  // -------------------------------------------------------------------------------------------- LIVE values

  bool keeps_what_it_can() const noexcept {
    return policy_ == SessionPolicy::pickle_or_error || policy_ == SessionPolicy::pickle_or_serialize;
  }

  // Which entries of the session are in the snapshot, where that is not simply all as they are.
  void choose_session() {
    const auto entry_is_live = [](const KeyTable::Entry& entry) { return is_live(entry.value); };
    if (!cut_.session) return;
    const KeyEntries& entries = cut_.session->entries();
    if (keeps_what_it_can() && std::none_of(entries.begin(), entries.end(), entry_is_live)) return;
    chosen_.emplace();
    for (const uint32_t position : order_of(cut_.session, cut_.session_order)) {
      const KeyTable::Entry& entry = entries[position];
      Ref<Value> kept = keeps_what_it_can() && !is_live(entry.value)
                            ? entry.value
                            : keep(*entry.value, session_place(entry.key()));
      if (kept) chosen_->push_back({&entry, std::move(kept)});
    }
  }

  // What is kept of a value that cannot stay as it is; null: nothing.
  Ref<Value> keep(const Value& value, const std::string& place) {
    if (policy_ == SessionPolicy::hard_error) return refuse(place, {});
    if (policy_ == SessionPolicy::warn_drop) return drop(place);
    Ref<Value> kept;
    Ref<Error> failure;
    const bool has_serializer = value.serialize() != nullptr && serialize_ != nullptr;
    if (has_serializer) failure = serialize_(value, kept);
    if (kept) return kept;
    // Nobody meant this one to be left out.
    if (failure && failure->status == Status::out_of_memory) throw std::bad_alloc();
    if (policy_ == SessionPolicy::pickle_or_serialize) return drop(place);
    refuse(place, has_serializer ? "its serializer failed: " + failure->message : "it has no serializer");
    if (!top_.cause_) top_.cause_ = std::move(failure);
    return nullptr;
  }

  // Where the run lets none stand.
  static constexpr std::string_view kMisplaced = "a LIVE value where none may stand";

  // Of all that is LIVE outside the session, before a byte is written: a snapshot that is refused has none.
  void keep_live() {
    if (is_live(cut_.metadata)) refuse(kMisplaced, {});
    for (const Event* event : events_) {
      const Value& value = *event->value();
      if (value.tag() == Tag::live) [[unlikely]]
        kept_.push_back(keep(value, event_place(event->type(), event->id)));
    }
    if (cut_.error) {
      each_error([this](const Error& error, uint32_t depth) {
        if (is_live(error.detail)) kept_.push_back(keep(*error.detail, detail_place(depth)));
      });
    } else if (is_live(cut_.result)) {
      kept_.push_back(keep(*cut_.result, std::string(kResultPlace)));
    }
    for (SnapshotCut::Answer& item : cut_.answers) {
      if (is_live(item.value)) item.kept = keep(*item.value, answer_place(item.request_id));
    }
  }

  static bool is_live(const Ref<Value>& value) noexcept { return value && value->tag() == Tag::live; }

  std::nullptr_t drop(const std::string& place) {
    top_.cut_.dropped.push_back(prefix_ + place);
    top_.has_dropped_ = true;
    return nullptr;
  }

  std::nullptr_t refuse(std::string_view place, std::string_view reason) {
    std::string& refused = top_.refused_;
    if (!refused.empty()) refused += ", ";
    refused.append(prefix_).append(place);
    if (!reason.empty()) refused.append(" (").append(reason).append(")");
    return nullptr;
  }

  Ref<Error> refusal() {
    const char* why = policy_ == SessionPolicy::hard_error
                          ? "the session policy is BLAZEN_SESSION_HARD_ERROR, and there are: "
                          : "LIVE values cannot be kept: ";
    Ref<Error> error = Error::make(Status::not_serializable, why + refused_);
    if (cause_ && error->status == Status::not_serializable) error->cause = std::move(cause_);
    return error;
  }

  // ---------------------------------------------------------------------------------------------- the parts

  // Every event once, by id. Invocations of one event stand beside each other, and mostly in the order of the
  // events.
  void collect_events() {
    const auto add = [this](const Ref<Event>& event) {
      if (events_.empty() || events_.back() != event.get()) events_.push_back(event.get());
    };
    const auto by_id = [](const Event* a, const Event* b) { return a->id < b->id; };
    const auto same_id = [](const Event* a, const Event* b) { return a->id == b->id; };
    events_.reserve(cut_.in_flight.size() + cut_.queued.size() + cut_.delayed.size() + cut_.questions.size());
    for (const SnapshotCut::InFlight& item : cut_.in_flight) add(item.work.event);
    for (const SnapshotCut::Queued& item : cut_.queued) add(item.event);
    for (const SnapshotCut::Delayed& item : cut_.delayed) add(item.event);
    for (const SnapshotCut::Question& item : cut_.questions) add(item.request);
    if (cut_.collects) {
      for (const Ref<Event>& item : cut_.collects->events) add(item);
      for (const Ref<Event>& item : cut_.collects->whole_events) add(item);
    }
    if (cut_.scopes) {
      for (const ScopesCut::Arrival& item : cut_.scopes->arrivals) add(item.event);
      for (const Ref<Event>& item : cut_.scopes->delivered_events) add(item);
    }
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
    if (chosen_) {
      for (const Chosen& item : *chosen_) bytes += value_bound(item.kept) + value_bound(item.entry->value);
    }
    for (const Ref<Value>& kept : kept_) bytes += value_bound(kept);
    for (const std::string& name : cut_.dropped) bytes += text_bound(name);
    for (const SnapshotCut::Deadline& item : cut_.deadlines)
      bytes += 4 * kHeadSizeMax + value_bound(item.default_answer);
    for (const SnapshotCut::Withdrawn& item : cut_.withdrawn)
      bytes += 3 * kHeadSizeMax + text_bound(item.request_id);
    for (const SnapshotCut::Early& item : cut_.early_answers)
      bytes += 2 * kHeadSizeMax + text_bound(item.request_id) + value_bound(item.value);
    bytes += size_t{64} * kHeadSizeMax;  // the heads of sections
    if (cut_.collects) {
      const CollectsCut& all = *cut_.collects;
      bytes += kHeadSizeMax * (5 * all.groups.size() + 4 * all.kinds.size() + all.events.size() +
                               4 * all.whole.size() + all.whole_events.size());
      for (const CollectsCut::Group& group : all.groups) bytes += group.key.key.size();
      for (const CollectsCut::Kind& kind : all.kinds) bytes += kind.type.size();
    }
    if (cut_.scopes) {
      const ScopesCut& all = *cut_.scopes;
      bytes += kHeadSizeMax * (10 * all.scopes.size() + 6 * all.joins.size() + 5 * all.groups.size() +
                               3 * all.arrivals.size() + 5 * all.members.size() + 7 * all.delivered.size() +
                               all.delivered_events.size());
      for (const ScopesCut::Group& group : all.groups) bytes += group.correlation.size();
    }
    for (const SnapshotCut::Child& child : cut_.children) bytes += 3 * kHeadSizeMax + child.kept.size();
    for (const std::unique_ptr<Encoder>& inside : inside_) bytes += inside->bound();
    bytes += 4 * kHeadSizeMax + (kRunIdBytes + 3 * kHeadSizeMax) * (row_.size() + starts_.size());
    if (cut_.kept_sections != nullptr) {
      for (const KeptSection& section : *cut_.kept_sections)
        bytes += 4 * kHeadSizeMax + text_bound(section.since) + section.content.size();
    }
    bytes += value_bound(cut_.metadata) + value_bound(cut_.result) + error_bound(cut_.error.get());
    bytes += table_bound(cut_.state, cut_.write_last) + table_bound(cut_.session, cut_.write_last);
    for (const StepDefinition& step : workflow.steps()) bytes += text_bound(step.name);
    for (const Event* event : events_) bytes += event_bound(*event);
    for (const SnapshotCut::InFlight& item : cut_.in_flight) {
      bytes += 6 * kHeadSizeMax + item.work.effects.size() * kEffectBytes;
    }
    for (const SnapshotCut::Answer& item : cut_.answers)
      bytes +=
          2 * kHeadSizeMax + text_bound(item.request_id) + value_bound(item.value) + value_bound(item.kept);
    for (const SnapshotCut::Asked& item : cut_.asked) bytes += 3 * kHeadSizeMax + text_bound(item.request_id);
    bytes += 4 * kHeadSizeMax *
             (cut_.delayed.size() + cut_.backing_off.size() + cut_.asking.size() + cut_.questions.size());
    for (const SnapshotCut::Queued& item : cut_.queued) bytes += item.effects.size() * kEffectBytes;
    return bytes + cut_.queued.size() * (6 + head_size(cut_.invocation_id_last) + 3 * head_size(UINT32_MAX));
  }

  void key(SnapshotKey key) { writer_.unsigned_int(static_cast<uint64_t>(key)); }

  void put_head() {
    writer_.tag(kCborTagSelfDescribed);
    writer_.map(kSnapshotKeyCount + section_count());
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
    put_value(cut_.metadata);  // LIVE it cannot be, nor can a value of the state
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
  void put_table(SnapshotKey at, const Ref<KeyTable>& table, const std::optional<KeyTable::Order>& made) {
    key(at);
    writer_.array(table ? table->size() : 0);
    if (!table) return;
    for (const uint32_t position : order_of(table, made)) {
      if (writer_.stopped()) [[unlikely]]
        return;
      const KeyTable::Entry& entry = table->entries()[position];
      writer_.array(kEntryFields);
      writer_.text(entry.key());
      writer_.unsigned_int(entry.version);
      put_value(entry.value);
    }
  }

  static const KeyTable::Order& order_of(const Ref<KeyTable>& table,
                                         const std::optional<KeyTable::Order>& made) noexcept {
    return made ? *made : *table->order();
  }

  void put_session() {
    if (!chosen_) return put_table(SnapshotKey::session, cut_.session, cut_.session_order);
    key(SnapshotKey::session);
    writer_.array(chosen_->size());
    for (const Chosen& item : *chosen_) {
      writer_.array(kEntryFields);
      writer_.text(item.entry->key());
      writer_.unsigned_int(item.entry->version);
      if (item.entry->value->tag() == Tag::live) {
        put_kept(*item.entry->value, item.kept);
      } else {
        put_value(item.kept);
      }
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
      if (event->value()->tag() == Tag::live) [[unlikely]] {
        put_live(*event->value());
      } else {
        put_value(event->value());
      }
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
    put_effects(work.effects);
  }

  void put_effects(const std::vector<Effect>& effects) {
    bytes_.resize(effects.size() * kEffectBytes);
    for (size_t i = 0; i < effects.size(); ++i) {
      const uint64_t stored[] = {cbor::big_endian(effects[i].identity), cbor::big_endian(effects[i].payload),
                                 cbor::big_endian(effects[i].reported)};
      std::memcpy(bytes_.data() + i * kEffectBytes, stored, kEffectBytes);
    }
    writer_.bytes(bytes_.data(), bytes_.size());
  }

  // Timers, questions, and the pause.
  void put_waiting() {
    key(SnapshotKey::clock);
    writer_.array(kClockFields);
    writer_.signed_int(cut_.elapsed_ms);
    writer_.signed_int(cut_.taken_ms);
    key(SnapshotKey::delayed);
    writer_.array(cut_.delayed.size());
    for (const SnapshotCut::Delayed& item : cut_.delayed) {
      writer_.array(kDelayedFields);
      writer_.signed_int(item.due_ms);
      writer_.unsigned_int(find_event(*item.event));
      item.target == kNoStep ? writer_.null() : writer_.unsigned_int(item.target);
    }
    key(SnapshotKey::backing_off);
    writer_.array(cut_.backing_off.size());
    for (const SnapshotCut::BackingOff& item : cut_.backing_off) {
      writer_.array(kBackingOffFields);
      writer_.signed_int(item.due_ms);
      writer_.unsigned_int(item.id);
    }
    key(SnapshotKey::asking);
    writer_.array(cut_.asking.size());
    for (const uint64_t id : cut_.asking) writer_.unsigned_int(id);
    put_questions();
    put_answers();
    key(SnapshotKey::pause);
    writer_.unsigned_int(static_cast<uint64_t>(cut_.pause));
    put_asked();
  }

  bool has_counter() const noexcept { return !cut_.deadlines.empty() || cut_.scopes; }

  void put_counter() {
    begin_section(SectionKey::counter);
    writer_.array(kCounterClockFields);
    writer_.signed_int(cut_.counter_ms);
    writer_.signed_int(cut_.counter_date_ms);
  }

  uint64_t section_count() const noexcept {
    return (has_counter() ? 1 : 0) + (cut_.children.empty() ? 0 : 1) + (starts_.empty() ? 0 : 1) +
           (cut_.deadlines.empty() ? 0 : 1) + (cut_.withdrawn.empty() ? 0 : 1) +
           (cut_.early_answers.empty() ? 0 : 1) + (cut_.scopes ? 1 : 0) +
           (cut_.collects && !cut_.collects->groups.empty() ? 1 : 0) +
           (cut_.collects && !cut_.collects->whole.empty() ? 1 : 0) +
           (cut_.scopes && !cut_.scopes->members.empty() ? 1 : 0) +
           (cut_.scopes && !cut_.scopes->delivered.empty() ? 1 : 0) +
           (cut_.kept_sections == nullptr ? 0 : cut_.kept_sections->size());
  }

  // False: there is nothing for it.
  template <class List>
  bool begin_section(SectionKey section, const List& list) {
    if (list.empty()) return false;
    begin_section(section);
    writer_.array(list.size());
    return true;
  }

  void begin_section(SectionKey section) {
    writer_.unsigned_int(static_cast<uint64_t>(section));
    writer_.array(kSectionFields);
    writer_.text(kSectionsSince);
    writer_.unsigned_int(1);
  }

  void put_sections() {
    put_deadlines();
    put_withdrawn();
    put_early_answers();
    if (cut_.scopes) put_scopes(*cut_.scopes);
    if (cut_.collects) put_collects(*cut_.collects);
    if (has_counter()) put_counter();
    put_children();
    if (!starts_.empty()) put_turns();
    if (cut_.kept_sections == nullptr) return;
    for (const KeptSection& section : *cut_.kept_sections) {
      writer_.unsigned_int(section.key);
      writer_.array(kSectionFields);
      writer_.text(section.since);
      writer_.unsigned_int(0);
      writer_.encoded({reinterpret_cast<const uint8_t*>(section.content.data()), section.content.size()});
    }
  }

  void put_children() {
    if (!begin_section(SectionKey::children, cut_.children)) return;
    auto inside = inside_.begin();
    for (const SnapshotCut::Child& child : cut_.children) {
      writer_.array(kChildFields);
      writer_.unsigned_int(child.id);
      if (child.run) {
        (*inside++)->put();
      } else {
        writer_.encoded({reinterpret_cast<const uint8_t*>(child.kept.data()), child.kept.size()});
      }
    }
  }

  void put_turns() {
    begin_section(SectionKey::turns);
    writer_.array(kTurnsFields);
    writer_.array(row_.size());
    for (const Turn& turn : row_) writer_.bytes(turn.run->id.data(), turn.run->id.size());
    writer_.array(starts_.size());
    for (const Turn& start : starts_) {
      writer_.array(kStartFields);
      writer_.bytes(start.run->id.data(), start.run->id.size());
      writer_.unsigned_int(start.invocation);
    }
  }

  void put_deadlines() {
    if (!begin_section(SectionKey::deadlines, cut_.deadlines)) return;
    for (const SnapshotCut::Deadline& item : cut_.deadlines) {
      writer_.array(kDeadlineFields);
      writer_.unsigned_int(item.question);
      writer_.signed_int(item.deadline_ms);
      writer_.signed_int(item.due_ms);
      put_value(item.default_answer);
    }
  }

  void put_withdrawn() {
    std::sort(cut_.withdrawn.begin(), cut_.withdrawn.end(), [](const auto& a, const auto& b) {
      return std::tie(a.id, a.request_id) < std::tie(b.id, b.request_id);
    });
    if (!begin_section(SectionKey::withdrawn, cut_.withdrawn)) return;
    for (const SnapshotCut::Withdrawn& item : cut_.withdrawn) {
      writer_.array(kWithdrawnFields);
      writer_.unsigned_int(item.id);
      writer_.text(item.request_id);
    }
  }

  void put_early_answers() {
    if (!begin_section(SectionKey::early_answers, cut_.early_answers)) return;
    for (const SnapshotCut::Early& item : cut_.early_answers) {
      writer_.array(kEarlyAnswerFields);
      writer_.text(item.request_id);
      put_value(item.value);
    }
  }

  void put_scopes(ScopesCut& all) {
    begin_section(SectionKey::scopes);
    writer_.array(kScopesFields);
    writer_.unsigned_int(all.id_last);
    writer_.array(all.scopes.size());
    auto join = all.joins.begin();
    auto group = all.groups.begin();
    auto arrival = all.arrivals.begin();
    for (const ScopesCut::Scope& scope : all.scopes) {
      writer_.array(kScopeFields);
      for (const uint64_t number : {scope.id, scope.parent, scope.parent_origin, uint64_t{scope.opener},
                                    scope.opener_invocation, scope.late, uint64_t{scope.cancelled}})
        writer_.unsigned_int(number);
      writer_.array(scope.joins);
      for (const auto join_end = join + static_cast<ptrdiff_t>(scope.joins); join != join_end; ++join) {
        writer_.array(kScopeJoinFields);
        writer_.unsigned_int(join->step);
        writer_.unsigned_int(join->closed ? 1 : 0);
        join->due_ms == INT64_MAX ? writer_.null() : writer_.signed_int(join->due_ms);
        writer_.array(join->groups);
        for (const auto group_end = group + static_cast<ptrdiff_t>(join->groups); group != group_end;
             ++group) {
          writer_.array(kGroupFields);
          put_optional_text(group->correlation);
          writer_.unsigned_int(group->given ? 1 : 0);
          writer_.array(group->arrivals);
          for (size_t i = 0; i < group->arrivals; ++i, ++arrival) {
            writer_.array(kArrivalFields);
            writer_.unsigned_int(find_event(*arrival->event));
            writer_.unsigned_int(arrival->origin);
          }
        }
      }
    }
    put_members(all);
    put_delivered(all);
  }

  void put_collects(const CollectsCut& all) {
    auto kind = all.kinds.begin();
    auto event = all.events.begin();
    if (begin_section(SectionKey::collects, all.groups)) {
      for (const CollectsCut::Group& group : all.groups) {
        writer_.array(kCollectFields);
        writer_.unsigned_int(group.key.scope);
        writer_.unsigned_int(group.key.step);
        put_optional_text(group.key.key);
        writer_.array(group.kinds);
        for (const auto end = kind + static_cast<ptrdiff_t>(group.kinds); kind != end; ++kind) {
          writer_.array(kCollectKindFields);
          writer_.text(kind->type);
          writer_.unsigned_int(kind->wanted);
          writer_.array(kind->events);
          for (size_t i = 0; i < kind->events; ++i, ++event) writer_.unsigned_int(find_event(**event));
        }
      }
    }
    if (!begin_section(SectionKey::whole, all.whole)) return;
    event = all.whole_events.begin();
    for (const CollectsCut::Whole& item : all.whole) {
      writer_.array(kWholeFields);
      writer_.unsigned_int(item.invocation);
      writer_.unsigned_int(item.position);
      writer_.array(item.events);
      for (size_t i = 0; i < item.events; ++i, ++event) writer_.unsigned_int(find_event(**event));
    }
  }

  void put_members(ScopesCut& all) {
    std::sort(all.members.begin(), all.members.end(),
              [](const auto& a, const auto& b) { return std::tie(a.kind, a.id) < std::tie(b.kind, b.id); });
    if (!begin_section(SectionKey::members, all.members)) return;
    for (const ScopesCut::Member& member : all.members) {
      writer_.array(kMemberFields);
      writer_.unsigned_int(static_cast<uint64_t>(member.kind));
      writer_.unsigned_int(member.id);
      writer_.unsigned_int(member.scope);
      writer_.unsigned_int(member.origin);
    }
  }

  void put_delivered(const ScopesCut& all) {
    if (!begin_section(SectionKey::delivered, all.delivered)) return;
    auto event = all.delivered_events.begin();
    for (const ScopesCut::Delivered& item : all.delivered) {
      writer_.array(kDeliveredFields);
      writer_.unsigned_int(item.invocation);
      writer_.unsigned_int(static_cast<uint64_t>(item.reason));
      writer_.unsigned_int(item.wanted);
      writer_.unsigned_int(item.scope);
      writer_.array(item.events);
      for (size_t i = 0; i < item.events; ++i, ++event) writer_.unsigned_int(find_event(**event));
    }
  }

  void put_questions() {
    key(SnapshotKey::questions);
    writer_.array(cut_.questions.size());
    for (const SnapshotCut::Question& item : cut_.questions) {
      writer_.array(kQuestionFields);
      writer_.unsigned_int(find_event(*item.request));
      writer_.unsigned_int(item.asker);
      writer_.signed_int(item.asked_ms);
    }
  }

  void put_answers() {
    const auto by_id = [](const auto& a, const auto& b) {
      return std::pair(a.id, a.position) < std::pair(b.id, b.position);
    };
    std::sort(cut_.answers.begin(), cut_.answers.end(), by_id);
    key(SnapshotKey::answers);
    writer_.array(cut_.answers.size());
    for (const SnapshotCut::Answer& item : cut_.answers) {
      writer_.array(kAnswerFields);
      writer_.unsigned_int(item.id);
      writer_.text(item.request_id);
      if (item.value->tag() != Tag::live) {
        put_value(item.value);
      } else {
        item.kept ? put_kept(*item.value, item.kept) : put_value(Value::null());
      }
    }
  }

  // By invocation, and those of one by their own ids.
  void put_asked() {
    const auto by_id = [](const auto& a, const auto& b) {
      return a.id != b.id ? a.id < b.id : a.request_id < b.request_id;
    };
    std::sort(cut_.asked.begin(), cut_.asked.end(), by_id);
    key(SnapshotKey::asked);
    writer_.array(cut_.asked.size());
    for (const SnapshotCut::Asked& item : cut_.asked) {
      writer_.array(kAskedFields);
      writer_.unsigned_int(item.id);
      writer_.text(item.request_id);
      writer_.unsigned_int(item.digest);
    }
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
    if (cut_.error) {
      each_error([this](const Error& error, uint32_t) { put_error_fields(error); });
      return writer_.null();
    }
    if (!cut_.result) return writer_.null();
    writer_.array(kResultFields);
    if (cut_.result->tag() != Tag::live) return put_value(cut_.result);
    put_live(*cut_.result);
  }

  // The outcome and its causes. Of a chain that is too long, the last one stays: what the host said stands there.
  template <class Visit>
  void each_error(Visit visit) {
    const Error* error = cut_.error.get();
    for (uint32_t depth = 0; error != nullptr; ++depth) {
      visit(*error, depth);
      error = error->cause.get();
      while (depth + 1 == kErrorDepthMax && error != nullptr && error->cause) error = error->cause.get();
    }
  }

  // All but the cause, which follows.
  void put_error_fields(const Error& error) {
    writer_.array(kErrorFields);
    writer_.unsigned_int(static_cast<uint64_t>(error.status));
    writer_.text(error.message);
    put_optional_text(error.step);
    writer_.unsigned_int(error.attempt);
    writer_.signed_int(error.host_code);
    error.offset == kNoOffset ? writer_.null() : writer_.unsigned_int(error.offset);
    if (!is_live(error.detail)) return put_value(error.detail);
    const Ref<Value>& kept = kept_[kept_put_++];
    kept ? put_kept(*error.detail, kept) : writer_.null();
  }

  void put_dropped() {
    key(SnapshotKey::dropped);
    writer_.array(cut_.dropped.size());
    for (const std::string& name : cut_.dropped) writer_.text(name);
  }

  // An empty name is no name.
  void put_optional_text(std::string_view text) { text.empty() ? writer_.null() : writer_.text(text); }

  // A LIVE value where there has to be one.
  void put_live(const Value& live) {
    const Ref<Value>& kept = kept_[kept_put_++];
    kept ? put_kept(live, kept) : put_value(Value::null());
  }

  void put_kept(const Value& live, const Ref<Value>& kept) {
    writer_.tag(kCborTagLive);
    writer_.array(kLiveFields);
    writer_.text(live.codec());
    put_value(kept);
  }

  // Of a LIVE value there is nothing to write: it stands where the run lets none stand. Inline: a table may
  // have a million.
  [[gnu::always_inline]] void put_value(const Ref<Value>& value) {
    if (!value) return writer_.null();
    switch (value->tag()) {
      case Tag::json: return writer_.text(value->data());
      case Tag::bytes: return writer_.bytes(value->data().data(), value->data().size());
      case Tag::native:
        writer_.array(kNativeFields);
        writer_.text(value->codec());
        return writer_.bytes(value->data().data(), value->data().size());
      case Tag::live: return put_misplaced();
      case Tag::none: return writer_.null();
    }
  }

  [[gnu::noinline]] void put_misplaced() {
    refuse(kMisplaced, {});
    writer_.null();
  }

  struct Chosen {
    const KeyTable::Entry* entry;
    Ref<Value> kept;
  };

  SnapshotCut& cut_;
  const SessionPolicy policy_;
  const SerializeCall serialize_;
  CborWriter& writer_;
  Encoder& top_;
  const std::string prefix_;  // of what is inside: before the names of its places
  std::vector<std::unique_ptr<Encoder>> inside_;
  struct Turn {
    uint64_t number;
    const SnapshotCut* run;
    uint64_t invocation;
  };
  std::vector<Turn> row_;  // of a top with runs inside: whose turn it is
  std::vector<Turn> starts_;
  std::vector<const Event*> events_;  // by id, each once
  size_t found_ = 0;                  // where find_event was last
  std::vector<uint8_t> bytes_;        // effects on their way to the writer

  // Of the session; none: all, as they are.
  std::optional<std::vector<Chosen>> chosen_;
  // What is kept of the LIVE values of events and of the outcome, in the order of the bytes; null: nothing.
  std::vector<Ref<Value>> kept_;
  size_t kept_put_ = 0;  // how many of them are written
  bool has_dropped_ = false;
  std::string refused_;  // places and reasons
  Ref<Error> cause_;     // what the first serializer that failed said
};

void keep_order(const Ref<KeyTable>& cut, const Ref<KeyTable>& now,
                std::optional<KeyTable::Order>& made) noexcept {
  // Where the order is known by now, another snapshot gave it, and a third may be reading it.
  if (made && cut.get() == now.get() && now->order() == nullptr)
    now->keep_order(*std::exchange(made, std::nullopt));
}

}  // namespace

namespace {

void cut_children(const RunState& state, int64_t now_ms, int64_t date_ms, SnapshotCut& cut) {
  cut.children.reserve(state.kin->children.size() + state.kin->kept.size());
  state.kin->children.each([&](const Kin& child) {
    cut.children.push_back(
        {child.host_id, std::make_unique<SnapshotCut>(cut_snapshot(*child.state, now_ms, date_ms)), {}});
  });
  for (const auto& [id, kept] : state.kin->kept) cut.children.push_back({id, nullptr, kept.bytes});
  std::sort(cut.children.begin(), cut.children.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
}

}  // namespace

SnapshotCut cut_snapshot(const RunState& state, int64_t now_ms, int64_t date_ms) {
  SnapshotCut cut;
  if (is_child(state)) cut.path = state.kin->path;
  cut.workflow = state.workflow;
  cut.id = id_of_run(state);
  cut.phase = state.phase;
  cut.event_id_last = state.event_id_last;
  cut.invocation_id_last = state.invocation_id_last;
  cut.write_last = state.write_last;
  cut.stream_last = state.stream_last;
  cut.last_event =
      state.last_type == kUnknownType ? last_unhandled(state) : state.workflow->type_name(state.last_type);
  cut.metadata = state.metadata;
  cut.state = cut_table(state.state, cut.state_order_known);
  cut.session = cut_table(state.session, cut.session_order_known);
  cut.result = state.result;
  cut.error = state.error;
  cut.dropped = dropped_of(state);
  if (state.heritage) cut.kept_sections = &state.heritage->kept_sections;
  // What a body still does after the end of its run counts no more.
  if (has_ended(state)) return cut;
  if (const EarlyAnswers* early = early_answers(state)) {
    for (const auto& [request_id, value] : *early) cut.early_answers.push_back({request_id, value});
  }
  cut.elapsed_ms = state.clock.at(now_ms);
  cut.taken_ms = state.clock.runs ? date_ms : state.clock.set_date_ms;
  if (state.collects && state.collects->count + state.collects->whole().size() != 0) {
    cut.collects.emplace();
    cut_collects(*state.collects, *cut.collects);
  }
  if (state.scopes) {
    cut.scopes.emplace();
    cut.scopes_of_run = state.scopes.get();
    cut_scopes(state, *cut.scopes);
  }
  cut_in_flight(state, cut);
  cut_queued(state, cut);
  cut_waiting(state, cut);
  cut.counter_ms = state.deadlines.at(now_ms);
  cut.counter_date_ms = state.deadlines.date_at(date_ms);
  if (!state.kin) return cut;
  cut.turn = state.kin->turn;
  cut_children(state, now_ms, date_ms, cut);
  return cut;
}

Result<CborBuffer> encode_snapshot(SnapshotCut& cut, SerializeCall serialize) {
  CborWriter writer(nullptr);
  if (Ref<Error> refused = Encoder(writer, cut, serialize).encode()) return refused;
  return writer.take();
}

Ref<Error> encode_snapshot_to(CborSink& sink, SnapshotCut& cut, SerializeCall serialize) {
  CborWriter writer(&sink);
  return Encoder(writer, cut, serialize).encode();
}

void keep_orders(SnapshotCut& cut, const RunState& state) noexcept {
  keep_order(cut.state, state.state, cut.state_order);
  keep_order(cut.session, state.session, cut.session_order);
  for (SnapshotCut::Child& child : cut.children) {
    if (!child.run || !state.kin) continue;
    const Kin* const now = state.kin->children.find(child.id);
    if (now != nullptr && id_of_run(*now->state) == child.run->id) keep_orders(*child.run, *now->state);
  }
}

}  // namespace blazen
