#include "snapshot/restore.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "base/uuid.hpp"
#include "run/reduce.hpp"
#include "snapshot/scopes_cut.hpp"

namespace blazen {
namespace {

std::string in_quotes(std::string_view text) { return std::string("'").append(text).append("'"); }

// How many invocations of each step are queued or in flight.
std::vector<uint64_t> count_work(const SnapshotDocument& document) {
  std::vector<uint64_t> work(document.steps.size());
  for (const SnapshotDocument::Queued& item : document.in_flight) ++work[item.step];
  for (const SnapshotDocument::Queued& item : document.queued) ++work[item.step];
  for (const SnapshotDocument::Delayed& item : document.delayed) {
    if (item.step != SnapshotDocument::kNoIndex) ++work[item.step];
  }
  for (const SnapshotDocument::Collect& item : document.collects) ++work[item.step];
  return work;
}

// --------------------------------------------------------------------------------------- may it be restored?

Ref<Error> mismatch(const SnapshotDocument& document, const std::string& why) {
  return Error::make(Status::snapshot_mismatch,
                     "the snapshot of workflow " + in_quotes(document.workflow) + " " + why);
}

// The steps of the document in the workflow, by their names; kNoStep: it lacks the step.
std::vector<StepIndex> find_steps(const SnapshotDocument& document, const Workflow& workflow) {
  std::vector<StepIndex> steps;
  steps.reserve(document.steps.size());
  for (const std::string_view name : document.steps) steps.push_back(workflow.find_step(name));
  return steps;
}

Ref<Error> check_needed_steps(const SnapshotDocument& document, const std::vector<StepIndex>& steps) {
  const std::vector<uint64_t> work = count_work(document);
  std::string lacking;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] != kNoStep || work[i] == 0) continue;
    if (!lacking.empty()) lacking += ", ";
    lacking += in_quotes(document.steps[i]) + " (" + std::to_string(work[i]) +
               (work[i] == 1 ? " event waits for it)" : " events wait for it)");
  }
  if (lacking.empty()) return nullptr;
  return mismatch(document, "needs steps that this workflow lacks: " + lacking +
                                "; add them, with their bodies or as steps elsewhere");
}

// A run that goes on counts on, and its own snapshots have to be sound too.
Ref<Error> check_room(const SnapshotDocument& document) {
  const struct {
    const char* name;
    uint64_t value;
    uint64_t most;
  } all[] = {{"counters.event_id_last", document.event_id_last, kCounterMax / 2},
             {"counters.invocation_id_last", document.invocation_id_last, kCounterMax / 2},
             {"counters.write_last", document.write_last, kCounterMax / 2},
             {"counters.stream_last", document.stream_last, kCounterMax / 2},
             {"scopes.id_last", document.scope_id_last, kCounterMax / 2},
             {"counter.elapsed", static_cast<uint64_t>(document.counter_ms), kElapsedMsRoom},
             {"clock.elapsed", static_cast<uint64_t>(document.elapsed_ms), kElapsedMsRoom}};
  if (document.phase >= Phase::completed) return nullptr;
  const auto no_room = [](const std::string& name, uint64_t value, uint64_t most) {
    return Error::make(Status::snapshot_invalid, name + ": " + std::to_string(value) +
                                                     " leaves no room for a run that goes on; it may be " +
                                                     std::to_string(most) + " at most");
  };
  for (const auto& each : all) {
    if (each.value > each.most) return no_room(each.name, each.value, each.most);
  }
  for (size_t i = 0; i < document.scopes.size(); ++i) {
    if (document.scopes[i].late > kCounterMax / 2)
      return no_room("scopes[" + std::to_string(i) + "].late", document.scopes[i].late, kCounterMax / 2);
  }
  return nullptr;
}

// Goes through the scopes of a document, and says what does not fit this workflow.
class ScopesCheck {
 public:
  ScopesCheck(const SnapshotDocument& document, const Workflow& workflow, const std::vector<StepIndex>& steps)
      : document_(document), workflow_(workflow), steps_(steps) {}

  // Null: each scope has the joins that its opener has now, in their order. After check().
  Ref<Error> check_same() const {
    size_t at = 0;
    for (const SnapshotDocument::Scope& scope : document_.scopes) {
      const Opener& opener = workflow_.openers()[workflow_.opened_by(steps_[scope.opener])];
      bool is_same = opener.joins.size() == scope.joins;
      for (uint32_t i = 0; i < scope.joins; ++i, ++at)
        is_same = is_same && opener.joins[i] == steps_[document_.scope_joins[at].step];
      if (is_same) continue;
      return mismatch(document_, "has scope " + std::to_string(scope.id) + " of step " +
                                     name_of(scope.opener) +
                                     " open, which has other joins in this workflow; set "
                                     "allow_changed_workflow to resume it all the same");
    }
    return nullptr;
  }

  // Null: all does.
  Ref<Error> check() {
    for (const SnapshotDocument::Scope& scope : document_.scopes) {
      for (uint32_t i = 0; i < scope.joins; ++i) {
        if (Ref<Error> error = check_join(scope, document_.scope_joins[join_++])) return error;
      }
    }
    return check_delivered();
  }

 private:
  std::string name_of(uint32_t step) const { return in_quotes(document_.steps[step]); }

  // It joins what it did, and tells apart what it did.
  Ref<Error> check_join(const SnapshotDocument::Scope& scope, const SnapshotDocument::ScopeJoin& join) {
    const StepIndex opener = steps_[scope.opener];
    const StepIndex step = steps_[join.step];
    const bool opens = opener != kNoStep && workflow_.opened_by(opener) != kNoOpener;
    if (!opens || step == kNoStep || workflow_.joined_by(step) != workflow_.opened_by(opener))
      return mismatch(document_, "has scope " + std::to_string(scope.id) + " of step " +
                                     name_of(scope.opener) + " open, which step " + name_of(join.step) +
                                     " joins: in this workflow, it does not");
    const bool by_event = workflow_.steps()[step].join->by_event;
    for (uint32_t i = 0; i < join.groups; ++i) {
      if (fits(document_.scope_groups[group_++], by_event)) continue;
      return mismatch(document_, "has groups of join " + name_of(join.step) +
                                     (by_event ? " of events of any correlation: in this workflow, it tells "
                                                 "them apart"
                                               : " for each correlation of the events: in this workflow, it "
                                                 "takes them together"));
    }
    return nullptr;
  }

  bool fits(const SnapshotDocument::ScopeGroup& group, bool by_event) {
    const size_t end = arrival_ + group.arrivals;
    bool is_of_one = true;
    for (; arrival_ < end; ++arrival_)
      is_of_one =
          is_of_one && document_.events[document_.arrivals[arrival_].event].correlation == group.correlation;
    return by_event ? is_of_one : !group.given && group.correlation.empty();
  }

  Ref<Error> check_delivered() const {
    for (const SnapshotDocument::Delivered& item : document_.delivered) {
      const StepIndex step = steps_[item.step];
      if (step == kNoStep || workflow_.joined_by(step) != kNoOpener) continue;
      return mismatch(document_, "has an invocation of join " + name_of(item.step) +
                                     ", which is no join in this workflow");
    }
    return nullptr;
  }

  const SnapshotDocument& document_;
  const Workflow& workflow_;
  const std::vector<StepIndex>& steps_;
  size_t join_ = 0;
  size_t group_ = 0;
  size_t arrival_ = 0;
};

// The fingerprint is over the steps; comparing their names as well finds a document that was altered.
bool is_same_workflow(const SnapshotDocument& document, const Workflow& workflow) noexcept {
  const auto has_name = [](std::string_view name, const StepDefinition& step) { return name == step.name; };
  return document.fingerprint == workflow.fingerprint() &&
         std::equal(document.steps.begin(), document.steps.end(), workflow.steps().begin(),
                    workflow.steps().end(), has_name);
}

Ref<Error> check_workflow(const SnapshotDocument& document, const Workflow& workflow,
                          const std::vector<StepIndex>& steps, bool allow_changed_workflow) {
  if (document.workflow != workflow.name()) {
    return mismatch(document, "cannot be resumed as workflow " + in_quotes(workflow.name()));
  }
  if (Ref<Error> lacking = check_needed_steps(document, steps)) return lacking;
  ScopesCheck scopes(document, workflow, steps);
  if (Ref<Error> error = scopes.check()) return error;
  if (allow_changed_workflow) return nullptr;
  if (is_same_workflow(document, workflow)) return scopes.check_same();
  return mismatch(document, "was taken with other steps: its fingerprint is " +
                                std::string(document.fingerprint) + ", that of this workflow " +
                                workflow.fingerprint() +
                                "; set allow_changed_workflow to resume it all the same");
}

// Which one of a run's parts it is about.
Ref<Error> inside_of(const SnapshotDocument::Child& child, std::string_view step, const Error& error) {
  const Status status = error.status;
  Ref<Error> whole = Error::make(status, "inside step " + in_quotes(step) + ", invocation " +
                                             std::to_string(child.id) + ": " + error.message);
  if (whole->status == status) whole->cause = error.cause;
  return whole;
}

constexpr size_t kQuestionTextMax = size_t{256} << 20;

// How much text it takes to name the questions of a run that is kept, each with the steps around it.
size_t question_text(const SnapshotDocument& document, size_t path) noexcept {
  size_t size = document.questions.size() * path;
  for (const SnapshotDocument::Child& child : document.children)
    size += question_text(
        *child.run, path + document.steps[child.step].size() + std::numeric_limits<uint64_t>::digits10 + 3);
  return size;
}

// Null: the document, and the runs inside that are hosted here, can go on as runs of their workflows.
Ref<Error> check_tree(const SnapshotDocument& document, const Workflow& workflow,
                      bool allow_changed_workflow) {
  const std::vector<StepIndex> steps = find_steps(document, workflow);
  if (Ref<Error> error = check_room(document)) return error;
  if (Ref<Error> error = check_workflow(document, workflow, steps, allow_changed_workflow)) return error;
  for (const SnapshotDocument::Child& child : document.children) {
    const StepDefinition& step = workflow.steps()[steps[child.step]];
    if (step.elsewhere()) {
      if (question_text(*child.run, step.name.size()) <= kQuestionTextMax) continue;
      return Error::make(Status::snapshot_invalid,
                         "the run inside step " + in_quotes(step.name) +
                             " has more questions than can be listed, with the paths that lead to them");
    }
    if (!step.is_child())
      return mismatch(document, "has a run inside step " + in_quotes(step.name) +
                                    ", which is no workflow in this one, and not elsewhere");
    if (Ref<Error> error =
            check_tree(*child.run, workflow.child_of(steps[child.step]), allow_changed_workflow))
      return inside_of(child, step.name, *error);
  }
  return nullptr;
}

// --------------------------------------------------------------------------------------------- what was LIVE

// Of a whole tree.
struct RevivedNames {
  std::vector<std::string> skipped;  // and what was dropped before
  size_t known = 0;                  // of these, so many were
  std::string unknown;
  Ref<Error> failure;
};

// Makes the values that were LIVE again, in the order of the document. After a failure it makes no more.
class Revival {
 public:
  // prefix: of the places of a run inside another.
  Revival(const SnapshotDocument& document, LiveMaker* maker, RevivedNames& names, std::string prefix = {})
      : document_(document), maker_(maker), names_(names), prefix_(std::move(prefix)) {}

  // Notes every label that is neither known nor skipped.
  void check_labels() {
    if (!document_.has_live || (maker_ != nullptr && maker_->skips_unknown())) return;
    for (const SnapshotDocument::Entry& entry : document_.session)
      check_label(entry.value, [&] { return session_place(entry.key); });
    for (const SnapshotDocument::Event& event : document_.events)
      check_label(event.value, [&] { return event_place(event.type, event.id); });
    for (const SnapshotDocument::Answer& item : document_.answers)
      check_label(item.value, [&] { return answer_place(item.request_id); });
    check_label(document_.result, [] { return std::string(kResultPlace); });
    for (const SnapshotDocument::LiveDetail& detail : document_.live_details)
      check_label(detail.value, [&] { return detail_place(detail.depth); });
  }

  // The value; null: it is left out.
  template <class Place>
  Ref<Value> make(const SnapshotValue& value, Place place) {
    return value.was_live() ? make_live(value, place()) : document_.make(value);
  }

  bool has_failed() const noexcept { return static_cast<bool>(names_.failure); }

 private:
  bool knows(const SnapshotValue& value) const noexcept {
    return maker_ != nullptr && maker_->knows(value.label());
  }

  template <class Place>
  void check_label(const SnapshotValue& value, Place place) {
    if (!value.was_live() || knows(value)) return;
    std::string& unknown = names_.unknown;
    if (!unknown.empty()) unknown += ", ";
    unknown.append(prefix_).append(place()).append(" (label ").append(in_quotes(value.label())).append(")");
  }

  Ref<Value> make_live(const SnapshotValue& value, const std::string& its_place) {
    if (names_.failure) return nullptr;
    const std::string place = prefix_ + its_place;
    if (!knows(value)) {
      names_.skipped.push_back(place);
      return nullptr;
    }
    Ref<Value> live;
    Ref<Error> cause = maker_->make(value.label(), document_.make(value), live);
    if (!cause) {
      if (!live) names_.skipped.push_back(place);
      return live;
    }
    if (cause->status == Status::out_of_memory) throw std::bad_alloc();
    Ref<Error>& failure = names_.failure;
    failure =
        Error::make(Status::not_serializable, place + " cannot be made again: the deserializer of label " +
                                                  in_quotes(value.label()) + " failed: " + cause->message);
    if (failure->status == Status::not_serializable) failure->cause = std::move(cause);
    return nullptr;
  }

  const SnapshotDocument& document_;
  LiveMaker* maker_;
  RevivedNames& names_;
  const std::string prefix_;
};

Ref<KeyTable> restore_session(const std::vector<SnapshotDocument::Entry>& entries, Revival& revival) {
  if (entries.empty()) return nullptr;
  Ref<KeyTable> table = Ref<KeyTable>::adopt(new KeyTable);
  table->reserve(entries.size());
  for (const SnapshotDocument::Entry& entry : entries) {
    Ref<Value> value = revival.make(entry.value, [&] { return session_place(entry.key); });
    if (value) table->insert(entry.key, std::move(value), entry.version);
  }
  return table;
}

Ref<Value> or_null(Ref<Value> value) noexcept { return value ? std::move(value) : Value::null(); }

Ref<Value> restore_result(const SnapshotDocument& document, Revival& revival) {
  if (document.result.tag == Tag::none) return nullptr;
  return or_null(revival.make(document.result, [] { return std::string(kResultPlace); }));
}

// The document's own error, or, where it had LIVE details, a copy with those.
Ref<Error> restore_error(const SnapshotDocument& document, Revival& revival) {
  if (document.live_details.empty()) return document.error;
  Ref<Error> first;
  Ref<Error>* place = &first;
  auto detail = document.live_details.begin();
  uint32_t depth = 0;
  for (const Error* error = document.error.get(); error != nullptr; error = error->cause.get(), ++depth) {
    *place = Ref<Error>::adopt(new Error(error->status));
    Error& copy = **place;
    copy.attempt = error->attempt;
    copy.host_code = error->host_code;
    copy.offset = error->offset;
    copy.message = error->message;
    copy.step = error->step;
    copy.detail = error->detail;
    if (detail != document.live_details.end() && detail->depth == depth) {
      copy.detail = revival.make(detail->value, [&] { return detail_place(depth); });
      ++detail;
    }
    place = &copy.cause;
  }
  return first;
}

// --------------------------------------------------------------------------------------------- the restoring

Ref<KeyTable> restore_state(const SnapshotDocument& document) {
  const std::vector<SnapshotDocument::Entry>& entries = document.state;
  if (entries.empty()) return nullptr;
  Ref<KeyTable> table = Ref<KeyTable>::adopt(new KeyTable);
  table->reserve(entries.size());
  for (const SnapshotDocument::Entry& entry : entries)
    table->insert(entry.key, document.make(entry.value), entry.version);
  return table;
}

std::vector<Ref<Event>> restore_events(const SnapshotDocument& document, Revival& revival) {
  std::vector<Ref<Event>> events;
  events.reserve(document.events.size());
  for (const SnapshotDocument::Event& event : document.events) {
    Ref<Value> value = or_null(revival.make(event.value, [&] { return event_place(event.type, event.id); }));
    events.push_back(Event::make(event.type, std::move(value), event.source, event.correlation));
    events.back()->id = event.id;
  }
  return events;
}

std::vector<Ref<Value>> restore_answers(const SnapshotDocument& document, Revival& revival) {
  std::vector<Ref<Value>> answers;
  answers.reserve(document.answers.size());
  for (const SnapshotDocument::Answer& item : document.answers)
    answers.push_back(or_null(revival.make(item.value, [&] { return answer_place(item.request_id); })));
  return answers;
}

std::unique_ptr<Journal> restore_effects(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return nullptr;
  auto effects = std::make_unique<Journal>();
  std::vector<Effect>& made = effects->made;
  made.resize(bytes.size() / kEffectBytes);
  for (size_t i = 0; i < made.size(); ++i) {
    uint64_t stored[3];
    std::memcpy(stored, bytes.data() + i * kEffectBytes, kEffectBytes);
    made[i] = {cbor::big_endian(stored[0]), cbor::big_endian(stored[1]), cbor::big_endian(stored[2])};
  }
  return effects;
}

void restore_counters(const SnapshotDocument& document, RunState& state) {
  state.id = document.id;
  state.phase = document.phase;
  state.event_id_last = document.event_id_last;
  state.invocation_id_last = document.invocation_id_last;
  state.write_last = document.write_last;
  state.stream_last = document.stream_last;
  state.last_type = state.workflow->find_type(document.last_event);
  if (state.last_type == kUnknownType && !document.last_event.empty())
    state.last_unhandled = std::make_unique<std::string>(document.last_event);
}

// Finds invocations by their ids. Sorted, as all of its kind here: no choice of ids makes it slow.
class Invocations {
 public:
  void reserve(size_t count) { all_.reserve(count); }
  void add(Invocation* invocation) { all_.push_back(invocation); }
  void sort() {
    std::sort(all_.begin(), all_.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  }
  // One that is there: the document says so.
  Invocation* at(uint64_t id) const noexcept {
    const auto by_id = [](const Invocation* item, uint64_t wanted) { return item->id < wanted; };
    return *std::lower_bound(all_.begin(), all_.end(), id, by_id);
  }

 private:
  std::vector<Invocation*> all_;
};

// Who waits for something else than its turn. Asked for ascending ids alone.
class Waiting {
 public:
  explicit Waiting(const SnapshotDocument& document) : backing_off_(document.backing_off) {
    std::sort(backing_off_.begin(), backing_off_.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    due_ = backing_off_.begin();
    asking_ = document.asking.begin();
    asking_end_ = document.asking.end();
  }
  // Null: it does not back off.
  const int64_t* due(uint64_t id) noexcept {
    if (due_ == backing_off_.end() || due_->id != id) return nullptr;
    return &(due_++)->due_ms;
  }
  bool asks(uint64_t id) noexcept {
    if (asking_ == asking_end_ || *asking_ != id) return false;
    ++asking_;
    return true;
  }

 private:
  using BackingOffs = std::vector<SnapshotDocument::BackingOff>;
  BackingOffs backing_off_;
  BackingOffs::const_iterator due_;
  std::vector<uint64_t>::const_iterator asking_;
  std::vector<uint64_t>::const_iterator asking_end_;
};

void restore_queued_or_waiting(RunState& state, Invocation* invocation, Waiting& waiting) {
  if (const int64_t* due_ms = waiting.due(invocation->id)) {
    invocation->place = Place::backing_off;
    state.timers.reserve(1);
    add_retry(state, invocation, *due_ms);
    ++state.open;
  } else if (waiting.asks(invocation->id)) {
    restore_asking(state, invocation);
  } else {
    restore_queued(state, invocation);
  }
}

// The scopes, and what is in them: after the invocations and the questions, before the delayed events.
class ScopeRestoration {
 public:
  ScopeRestoration(const SnapshotDocument& document, const std::vector<StepIndex>& steps,
                   const std::vector<Ref<Event>>& events, const Invocations& invocations, RunState& state)
      : document_(document), steps_(steps), events_(events), invocations_(invocations), state_(state) {}

  void restore() {
    state_.scopes = std::make_unique<Scopes>(*state_.workflow, state_.deadlines);
    state_.scopes->id_last = document_.scope_id_last;
    for (const SnapshotDocument::Scope& scope : document_.scopes) restore_scope(scope);
    for (const SnapshotDocument::Member& member : document_.members) {
      if (member.kind == static_cast<uint64_t>(MemberKind::invocation)) restore_member(member);
    }
    restore_questions();
    restore_delivered();
  }
  // There is one of an event in a snapshot, however many have it. Who belongs somewhere, or will, has one of his own: this
  // one, where nobody has it but the list of events and who gives it.
  static Ref<Event> own(Ref<Event> event) {
    constexpr uint32_t kNobodyElse = 2;
    if (event->refs.load(std::memory_order_relaxed) <= kNobodyElse) return event;
    return Scopes::copy_of(*event);
  }
  // Of one that is in a scope; 0: it is in none.
  static MembershipIndex enter(const SnapshotDocument& document, RunState& state, MemberKind kind,
                               uint64_t id) {
    const auto before = [](const SnapshotDocument::Member& member,
                           const std::pair<uint64_t, uint64_t>& wanted) {
      return std::pair(member.kind, member.id) < wanted;
    };
    const std::pair<uint64_t, uint64_t> wanted(static_cast<uint64_t>(kind), id);
    const auto found = std::lower_bound(document.members.begin(), document.members.end(), wanted, before);
    if (found == document.members.end() || std::pair(found->kind, found->id) != wanted) return 0;
    return state.scopes->restore_membership(*state.scopes->find(found->scope), found->origin);
  }

 private:
  std::vector<Group::Arrival> take_arrivals(uint32_t count) {
    std::vector<Group::Arrival> arrived;
    arrived.reserve(count);
    for (uint32_t i = 0; i < count; ++i, ++arrival_) {
      const SnapshotDocument::Arrival& item = document_.arrivals[arrival_];
      arrived.push_back({own(events_[item.event]), item.origin});
    }
    return arrived;
  }

  void restore_scope(const SnapshotDocument::Scope& item) {
    Scopes& scopes = *state_.scopes;
    const OpenerIndex opener = state_.workflow->opened_by(steps_[item.opener]);
    Scope& scope = scopes.restore_scope(item.id, item.parent == 0 ? nullptr : scopes.find(item.parent),
                                        item.parent_origin, opener, item.opener_invocation);
    scope.late = item.late;
    scope.cancelled = item.cancelled;
    bool is_closed = true;
    for (uint32_t i = 0; i < item.joins; ++i) {
      const SnapshotDocument::ScopeJoin& join = document_.scope_joins[join_++];
      restore_join(scope, scope.joins[state_.workflow->join_place(steps_[join.step])], join);
      is_closed = is_closed && join.closed;
    }
    if (is_closed) {  // for joins that this workflow alone has, too
      for (ScopeJoin& join : scope.joins) scopes.close_join(scope, join);
    }
    scopes.close_if_done(scope);
    if (!scope.closed && scope.parent != nullptr) scopes.restore_inside(scope);
  }

  void restore_join(Scope& scope, ScopeJoin& join, const SnapshotDocument::ScopeJoin& item) {
    Scopes& scopes = *state_.scopes;
    for (uint32_t i = 0; i < item.groups; ++i) {
      const SnapshotDocument::ScopeGroup& group = document_.scope_groups[group_++];
      scopes.restore_group(join, group.correlation, group.given, take_arrivals(group.arrivals));
    }
    if (item.closed) {
      scopes.close_join(scope, join);
    } else if (item.due_ms != INT64_MAX) {
      scopes.restore_deadline(scope, join, item.due_ms);
    }
  }

  void restore_member(const SnapshotDocument::Member& member) {
    Scopes& scopes = *state_.scopes;
    Invocation* invocation = invocations_.at(member.id);
    invocation->event = own(std::move(invocation->event));
    const MembershipIndex at = scopes.restore_membership(*scopes.find(member.scope), member.origin);
    invocation->event->membership = at;
    scopes.at(at).invocation = invocation;
  }

  void restore_questions() {
    for (Question& question : state_.questions) {
      if (question.asker != nullptr) continue;
      question.membership = enter(document_, state_, MemberKind::question, question.request->id);
      if (question.membership != 0) state_.scopes->at(question.membership).question = &question;
    }
  }

  void restore_delivered() {
    size_t at = 0;
    for (const SnapshotDocument::Delivered& item : document_.delivered) {
      Ref<Group> group = Ref<Group>::adopt(new Group);
      group->reason = static_cast<JoinReason>(item.reason);
      group->wanted = item.wanted;
      group->scope_id = item.scope;
      group->arrived.reserve(item.events);
      for (uint32_t i = 0; i < item.events; ++i)
        group->arrived.push_back({events_[document_.delivered_events[at++]], 0});
      state_.scopes->restore_delivered(item.id, std::move(group));
    }
  }

  const SnapshotDocument& document_;
  const std::vector<StepIndex>& steps_;
  const std::vector<Ref<Event>>& events_;
  const Invocations& invocations_;
  RunState& state_;
  size_t join_ = 0;
  size_t group_ = 0;
  size_t arrival_ = 0;
};

// When what was in flight in the runs of a tree had started, and whose turn it was.
class Order {
 public:
  explicit Order(const SnapshotDocument& top) {
    for (const SnapshotDocument::Started& start : top.starts)
      starts_.emplace_back(std::pair(start.run, start.invocation), starts_.size() + 1);
    for (const RunId& id : top.row) row_.emplace_back(id, row_.size() + 1);
    std::sort(starts_.begin(), starts_.end());
    std::sort(row_.begin(), row_.end());
  }
  // 0: that is not known.
  uint64_t start_of(const RunId& run, uint64_t invocation) const {
    return find(starts_, std::pair(run, invocation));
  }
  uint64_t turn_of(const RunId& run) const { return find(row_, run); }
  uint64_t starts() const noexcept { return starts_.size(); }
  uint64_t turns() const noexcept { return row_.size(); }

 private:
  template <class Key>
  static uint64_t find(const std::vector<std::pair<Key, uint64_t>>& all, const Key& key) {
    const auto at = std::lower_bound(all.begin(), all.end(), std::pair(key, uint64_t{0}));
    return at == all.end() || at->first != key ? 0 : at->second;
  }
  std::vector<std::pair<std::pair<RunId, uint64_t>, uint64_t>> starts_;
  std::vector<std::pair<RunId, uint64_t>> row_;
};

// An invocation in flight, and the run that it hosts.
struct Hosted {
  uint64_t id;
  RunState* run;
};

// Those in flight first: they hold their permits already.
void restore_invocations(const SnapshotDocument& document, const std::vector<StepIndex>& steps,
                         const std::vector<Ref<Event>>& events, const std::vector<Ref<Value>>& answers,
                         const std::vector<Hosted>& hosted, const Order& order, RunState& state) {
  Waiting waiting(document);
  Invocations invocations;
  const bool finds = !document.questions.empty() || !document.asked.empty() || document.has_scopes;
  if (finds) invocations.reserve(document.in_flight.size() + document.queued.size());
  const auto take = [&](const SnapshotDocument::Queued& work) {
    std::unique_ptr<Journal> effects = restore_effects(work.effects);
    Invocation* invocation = state.pool.take(work.id);
    invocation->step = steps[work.step];
    invocation->attempt = work.attempt;
    invocation->event = events[work.event];
    invocation->journal = std::move(effects);
    if (finds) invocations.add(invocation);
    return invocation;
  };
  state.pool.reserve(document.in_flight.size() + document.queued.size());
  if (!document.in_flight.empty() && !state.rare) state.rare = std::make_unique<RareQueues>();
  for (const SnapshotDocument::Queued& item : document.in_flight) {
    const auto child = std::lower_bound(hosted.begin(), hosted.end(), item.id,
                                        [](const Hosted& each, uint64_t id) { return each.id < id; });
    Invocation* invocation = take(item);
    invocation->start = order.start_of(document.id, item.id);
    if (child == hosted.end() || child->id != item.id) {
      restore_in_flight(state, invocation);
    } else {
      restore_hosting(state, invocation, *child->run);
    }
  }
  for (const SnapshotDocument::Queued& item : document.queued)
    restore_queued_or_waiting(state, take(item), waiting);
  invocations.sort();
  const auto effects_of = [&](uint64_t id) -> Journal& {
    Invocation* invocation = invocations.at(id);
    if (!invocation->journal) invocation->journal = std::make_unique<Journal>();
    return *invocation->journal;
  };
  for (size_t i = 0; i < answers.size(); ++i) {
    const SnapshotDocument::Answer& item = document.answers[i];
    effects_of(item.id).add_answer(item.request_id, answers[i]);
  }
  for (const SnapshotDocument::Asked& item : document.asked)
    effects_of(item.id).note_question(item.request_id, item.digest);
  for (const SnapshotDocument::Withdrawn& item : document.withdrawn)
    effects_of(item.id).add_answer(item.request_id, nullptr);
  state.questions.reserve(document.questions.size());
  std::vector<Question*> questions;
  questions.reserve(document.deadlines.empty() ? 0 : document.questions.size());
  for (const SnapshotDocument::Question& item : document.questions) {
    Invocation* asker = item.asker == 0 ? nullptr : invocations.at(item.asker);
    Question& question = state.questions.add(events[item.event], asker, item.asked_ms);
    if (!document.deadlines.empty()) questions.push_back(&question);
  }
  if (document.has_counter) state.deadlines.restore_counter(document.counter_ms, document.counter_date_ms);
  for (const SnapshotDocument::Deadline& item : document.deadlines) {
    Question& question = *questions[item.question];
    Deadlines::Node node = state.deadlines.make_node();
    auto deadline = std::make_unique<Question::Deadline>();
    deadline->after_ms = item.deadline_ms;
    deadline->default_answer = item.default_answer.make();
    set_deadline(state, question, item.due_ms, std::move(deadline), std::move(node));
  }
  if (document.has_scopes) ScopeRestoration(document, steps, events, invocations, state).restore();
}

std::unique_ptr<EarlyAnswers> restore_early_answers(const SnapshotDocument& document) {
  if (document.early_answers.empty()) return nullptr;
  auto early = std::make_unique<EarlyAnswers>();
  for (const SnapshotDocument::Early& item : document.early_answers)
    early->emplace_hint(early->end(), item.request_id, item.value.make());
  return early;
}

std::unique_ptr<Collects> restore_collects(const SnapshotDocument& document,
                                           const std::vector<StepIndex>& steps,
                                           const std::vector<Ref<Event>>& events) {
  if (document.collects.empty() && document.whole.empty()) return nullptr;
  auto collects = std::make_unique<Collects>();
  size_t kind = 0;
  size_t event = 0;
  for (const SnapshotDocument::Collect& item : document.collects) {
    for (uint32_t i = 0; i < item.kinds; ++i, ++kind) {
      std::deque<Ref<Event>> kept;
      for (uint32_t k = 0; k < document.collect_kinds[kind].events; ++k)
        kept.push_back(events[document.collect_events[event++]]);
      collects->restore_group({item.scope, steps[item.step], std::string(item.key)},
                              document.collect_kinds[kind].type, document.collect_kinds[kind].wanted,
                              std::move(kept));
    }
  }
  event = 0;
  for (const SnapshotDocument::Whole& item : document.whole) {
    Ref<Group> group = Ref<Group>::adopt(new Group);
    group->reason = JoinReason::complete;
    group->arrived.reserve(item.events);
    for (uint32_t i = 0; i < item.events; ++i)
      group->arrived.push_back({events[document.whole_events[event++]], 0});
    collects->restore_whole(item.id, item.position, std::move(group));
  }
  return collects;
}

void restore_time(const SnapshotDocument& document, const std::vector<StepIndex>& steps,
                  const std::vector<Ref<Event>>& events, RunState& state) {
  state.clock.elapsed_ms = document.elapsed_ms;
  state.clock.set_date_ms = document.taken_ms;
  for (const SnapshotDocument::Delayed& item : document.delayed) {
    Ref<Event> event = events[item.event];
    const StepIndex target = item.step == SnapshotDocument::kNoIndex ? kNoStep : steps[item.step];
    MembershipIndex membership = 0;
    if (state.scopes) {
      event = ScopeRestoration::own(std::move(event));
      membership = ScopeRestoration::enter(document, state, MemberKind::delayed, event->id);
      if (membership != 0) {
        state.scopes->at(membership).delayed = event->id;
        state.scopes->at(membership).due_ms = item.due_ms;
      }
    }
    const TypeId type = state.workflow->find_type(event->type());
    state.timers.reserve(1, type == kInputRequestType ? 1 : 0);
    state.timers.add({item.due_ms, TimerClass::delay, event->id}, {nullptr, event, type, target, membership});
  }
}

const char* state_name(const SnapshotDocument& document) noexcept {
  if (document.pause != Pause::none) return "paused";
  switch (document.phase) {
    case Phase::created: return "created";
    case Phase::running: return "running";
    case Phase::completed: return "completed";
    case Phase::failed: return "failed";
    case Phase::cancelled: return "cancelled";
  }
  return "unknown";
}

std::vector<KeptSection> restore_sections(const SnapshotDocument& document) {
  std::vector<KeptSection> kept;
  kept.reserve(document.kept_sections.size());
  for (const SnapshotDocument::Section& section : document.kept_sections) {
    const auto* content = reinterpret_cast<const char*>(section.content.data());
    kept.push_back({section.key, std::string(section.since), std::string(content, section.content.size())});
  }
  return kept;
}

}  // namespace

namespace {

// The questions of a run that is kept, and of those inside it, as they are known outside.
void keep_questions(const SnapshotDocument& document, const std::string& path, KeptChild& kept) {
  std::shared_ptr<const std::string> around;
  for (const SnapshotDocument::Question& question : document.questions) {
    if (!around) around = std::make_shared<const std::string>(path + "/");
    const SnapshotDocument::Event& request = document.events[question.event];
    kept.questions.push_back(
        {std::string(uuid_text(document.id).data()).append("/").append(request.correlation),
         std::string(request.value.data), around, std::string(request.source), question.asked_ms});
  }
  for (const SnapshotDocument::Child& child : document.children)
    keep_questions(*child.run,
                   path + "/" + std::string(document.steps[child.step]) + "#" + std::to_string(child.id),
                   kept);
}

// Goes through a document and those of the runs inside it.
class TreeRestoration {
 public:
  TreeRestoration(const SnapshotDocument& top, LiveMaker* maker, ChildMaker* children, RevivedNames& names)
      : maker_(maker), children_(children), names_(names), order_(top) {}

  void check_labels(const SnapshotDocument& document, const Workflow& workflow, const std::string& prefix) {
    Revival(document, maker_, names_, prefix).check_labels();
    for (const SnapshotDocument::Child& child : document.children) {
      const StepIndex step = workflow.find_step(document.steps[child.step]);
      if (is_hosted(workflow, step))
        check_labels(*child.run, workflow.child_of(step), prefix_of(prefix, document, child));
    }
  }

  // False: a value could not be made.
  bool restore(const SnapshotDocument& document, RunState& out, const std::string& prefix) {
    const std::vector<StepIndex> steps = find_steps(document, *out.workflow);
    Revival revival(document, maker_, names_, prefix);
    // Whatever the host may refuse comes first.
    Ref<KeyTable> session = restore_session(document.session, revival);
    const std::vector<Ref<Event>> events = restore_events(document, revival);
    const std::vector<Ref<Value>> answers = restore_answers(document, revival);
    Ref<Value> result = restore_result(document, revival);
    Ref<Error> outcome = restore_error(document, revival);
    if (revival.has_failed()) return false;
    make_steps(out);
    restore_counters(document, out);
    out.pause = is_child(out) ? out.kin->top->pause : document.pause;  // one that was kept may have missed it
    if (!is_child(out)) out.start_last = order_.starts();              // what is not among them comes behind
    out.state = restore_state(document);
    out.session = std::move(session);
    out.metadata = document.metadata;
    if (std::unique_ptr<EarlyAnswers> early = restore_early_answers(document)) {
      if (!out.rare) out.rare = std::make_unique<RareQueues>();
      out.rare->early_answers = std::move(early);
    }
    out.collects = restore_collects(document, steps, events);
    out.result = std::move(result);
    out.error = std::move(outcome);
    std::vector<Hosted> hosted;
    for (const SnapshotDocument::Child& child : document.children) {
      if (!restore_child(document, child, steps[child.step], prefix, out, hosted)) return false;
    }
    restore_invocations(document, steps, events, answers, hosted, order_, out);
    if (out.kin) {
      out.kin->turn = order_.turn_of(document.id);
      out.kin->turn_last = order_.turns();
    }
    restore_time(document, steps, events, out);
    if (out.scopes) {
      out.pool.reserve(out.scopes->may_deliver());
      out.scopes->prepare_memberships(out.scopes->may_deliver() + 2);
    }
    if (is_child(out)) {
      out.kin->top->kin->questions += out.questions.size();
      Heritage heritage{{document.dropped.begin(), document.dropped.end()}, restore_sections(document)};
      if (!heritage.dropped.empty() || !heritage.kept_sections.empty())
        out.heritage = std::make_unique<const Heritage>(std::move(heritage));
    }
    out.last_status = status_of(out);
    return true;
  }

 private:
  bool is_hosted(const Workflow& workflow, StepIndex step) const noexcept {
    return children_ != nullptr && step != kNoStep && workflow.steps()[step].is_child() &&
           !workflow.steps()[step].elsewhere();
  }

  static std::string prefix_of(const std::string& prefix, const SnapshotDocument& document,
                               const SnapshotDocument::Child& child) {
    const std::string around = prefix.empty() ? prefix : prefix.substr(0, prefix.size() - 2) + "/";
    return around + std::string(document.steps[child.step]) + "#" + std::to_string(child.id) + ": ";
  }

  bool restore_child(const SnapshotDocument& document, const SnapshotDocument::Child& child, StepIndex step,
                     const std::string& prefix, RunState& out, std::vector<Hosted>& hosted) {
    if (!out.kin) out.kin = std::make_unique<Kin>();
    const std::string its_prefix = prefix_of(prefix, document, child);
    if (!is_hosted(*out.workflow, step)) {
      KeptChild kept;
      kept.bytes.assign(reinterpret_cast<const char*>(child.bytes.data()), child.bytes.size());
      keep_questions(*child.run, its_prefix.substr(0, its_prefix.size() - 2), kept);
      out.kin->kept.emplace(child.id, std::move(kept));
      return true;
    }
    RunState& inner = children_->make(out, out.workflow->steps()[step], child.id, child.attempt,
                                      out.workflow->child_of(step));
    hosted.push_back({child.id, &inner});
    return restore(*child.run, inner, its_prefix);
  }

  LiveMaker* maker_;
  ChildMaker* children_;
  RevivedNames& names_;
  const Order order_;
};

}  // namespace

Ref<Error> restore_run(const SnapshotDocument& document, const Ref<Workflow>& workflow,
                       bool allow_changed_workflow, RunState& out, LiveMaker* maker, ChildMaker* children) {
  if (Ref<Error> error = check_tree(document, *workflow, allow_changed_workflow)) return error;
  RevivedNames names;
  names.skipped.assign(document.dropped.begin(), document.dropped.end());
  TreeRestoration tree(document, maker, children, names);
  tree.check_labels(document, *workflow, {});
  if (!names.unknown.empty())
    return Error::make(Status::not_serializable, "LIVE values have no deserializer: " + names.unknown);
  const bool is_given = !out.workflow;  // else a run has it, and counts it
  if (is_given) out.workflow = workflow;
  if (!tree.restore(document, out, {})) {
    if (is_given) out.workflow.reset();
    return std::move(names.failure);
  }
  if (names.skipped.size() > document.dropped.size()) drop_repeated(names.skipped);
  Heritage heritage{std::move(names.skipped), restore_sections(document)};
  if (!heritage.dropped.empty() || !heritage.kept_sections.empty())
    out.heritage = std::make_unique<const Heritage>(std::move(heritage));
  return nullptr;
}

namespace {

// The steps with work, and behind those that host them those of the runs inside, each of those once and in the order of
// their names. A path has many names, and many steps may be at its end: no more than so much of them is put.
class StepsNeeded {
 public:
  static constexpr size_t kTextMax = size_t{1} << 20;

  explicit StepsNeeded(const SnapshotDocument& document) {
    put(document, {}, [this](std::string name) { names_.push_back(std::move(name)); });
    put_inside(document, {});
    names_.insert(names_.end(), inside_.begin(), inside_.end());
  }
  const std::vector<std::string>& names() const noexcept { return names_; }
  size_t left_out() const noexcept { return left_out_; }
  size_t children() const noexcept { return children_; }

 private:
  template <class Add>
  void put(const SnapshotDocument& document, const std::string& before, Add add) {
    const std::vector<uint64_t> work = count_work(document);
    for (size_t i = 0; i < work.size(); ++i) {
      if (work[i] == 0) continue;
      text_ += before.size() + document.steps[i].size();
      if (text_ > kTextMax) {
        ++left_out_;
      } else {
        add(before + std::string(document.steps[i]));
      }
    }
  }
  void put_inside(const SnapshotDocument& document, const std::string& before) {
    children_ += document.children.size();
    for (const SnapshotDocument::Child& child : document.children) {
      std::string path = before;
      if (text_ <= kTextMax) path.append(document.steps[child.step]).append("/");
      put(*child.run, path, [this](std::string name) {
        const size_t size = name.size();
        if (!inside_.insert(std::move(name)).second) text_ -= size;
      });
      put_inside(*child.run, path);
    }
  }

  std::vector<std::string> names_;
  std::set<std::string> inside_;
  size_t text_ = 0;
  size_t left_out_ = 0;
  size_t children_ = 0;
};

// What a run has to do, and has routed.
struct WorkCounts {
  size_t queued = 0;
  size_t in_flight = 0;
  size_t delayed = 0;
  size_t retrying = 0;
  size_t questions = 0;
  uint64_t events_routed = 0;

  void add(const SnapshotDocument& document) {
    queued += document.queued.size();
    in_flight += document.in_flight.size();
    delayed += document.delayed.size();
    retrying += document.backing_off.size();
    questions += document.questions.size();
    events_routed += document.event_id_last;
  }
  void add_inside(const SnapshotDocument& document) {
    for (const SnapshotDocument::Child& child : document.children) {
      add(*child.run);
      add_inside(*child.run);
    }
  }
  // Members of a JSON object.
  std::string json() const {
    return "\"queued\":" + std::to_string(queued) + ",\"in_flight\":" + std::to_string(in_flight) +
           ",\"delayed\":" + std::to_string(delayed) + ",\"retrying\":" + std::to_string(retrying) +
           ",\"questions\":" + std::to_string(questions) +
           ",\"events_routed\":" + std::to_string(events_routed);
  }
};

}  // namespace

std::string describe_snapshot(const SnapshotDocument& document) {
  // Only the strings are nlohmann's: its arrays and objects allocate when they are destroyed, and a process
  // that runs out of memory there ends.
  const auto text = [](std::string_view content) { return nlohmann::json(content).dump(); };
  const StepsNeeded needed(document);
  WorkCounts own;
  own.add(document);
  WorkCounts inside;
  inside.add_inside(document);
  std::string steps_needed;
  for (const std::string& name : needed.names())
    steps_needed += (steps_needed.empty() ? "" : ",") + text(name);
  std::string dropped;
  for (const std::string_view name : document.dropped) dropped += (dropped.empty() ? "" : ",") + text(name);
  return "{\"format\":" + std::to_string(document.format) + ",\"engine\":" + text(document.engine) +
         ",\"workflow\":" + text(document.workflow) + ",\"fingerprint\":" + text(document.fingerprint) +
         ",\"run_id\":\"" + uuid_text(document.id).data() + "\",\"state\":\"" + state_name(document) + "\"," +
         own.json() + ",\"children\":" + std::to_string(needed.children()) + ",\"inside\":{" + inside.json() +
         "}" + ",\"paused\":" + (document.pause == Pause::none ? "false" : "true") + ",\"steps_needed\":[" +
         steps_needed + "],\"steps_left_out\":" + std::to_string(needed.left_out()) +
         ",\"state_keys\":" + std::to_string(document.state.size()) +
         ",\"stream_sequence\":" + std::to_string(document.stream_last) + ",\"dropped\":[" + dropped + "]}";
}

}  // namespace blazen
