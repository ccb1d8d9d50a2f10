// Questions: who asks one, who answers it, and when one is refused or taken back. The table of the open ones is in
// questions.hpp.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/growth.hpp"
#include "run/rooms.hpp"

namespace blazen {

[[gnu::noinline]] void reserve_for_questions(RunState& state, size_t count, Commands& commands) {
  state.questions.reserve(count);
  reserve_more(commands.cold().published, count);
}

// Its event has an id. Reserved.
[[gnu::noinline]] Question& open_question(RunState& state, const Ref<Event>& request, Invocation* asker,
                                          int64_t now_ms, Commands& commands) noexcept {
  publish(state, request, commands);
  if (is_child(state)) ++top_of(state).kin->questions;
  commands.asked = true;
  return state.questions.add(request, asker, commands.date_ms, now_ms);
}

// And from its scope, and the deadlines.
void close_question(RunState& state, Question& question) noexcept {
  leave_scope(state, question.membership);
  if (question.deadline)
    state.deadlines.remove({question.deadline->due_ms, DeadlineClass::question, question.request->id});
  if (is_child(state)) --top_of(state).kin->questions;
  state.questions.remove(question);
}

namespace {

Ref<Error> refuse_count(const RunState& state, size_t count) noexcept {
  const RunState& top = top_of(state);
  const uint64_t open = top.questions.size() + (top.kin ? top.kin->questions : 0);
  if (open + count <= top.workflow->policy().limits.questions) return nullptr;
  return Error::make(Status::limit, "BLAZEN_LIMIT_QUESTIONS is reached");
}

}  // namespace

// Null, or why this cannot be asked now, where it is a question.
Ref<Error> refuse_question(const RunState& state, const Output& output) noexcept {
  if (output.type != kInputRequestType) return nullptr;
  const std::string_view id = output.event->correlation();
  return state.questions.find(id) != nullptr ? question_is_open(id) : refuse_count(state, 1);
}

// Null, or why these questions cannot be asked: two of one id, or too many.
[[gnu::noinline]] Ref<Error> refuse_questions(const RunState& state, std::span<const Output> outputs) {
  if (outputs.size() == 1) return refuse_question(state, outputs.front());
  std::vector<std::pair<std::string_view, size_t>> asked;  // with their places
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].type == kInputRequestType) asked.emplace_back(outputs[i].event->correlation(), i);
  }
  if (asked.empty()) return nullptr;
  std::sort(asked.begin(), asked.end());
  size_t first = outputs.size();  // of those that are open
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto& [id, place] = asked[i];
    const bool is_repeated = i > 0 && asked[i - 1].first == id;
    if (is_repeated || state.questions.find(id) != nullptr) first = std::min(first, place);
  }
  if (first != outputs.size()) return question_is_open(outputs[first].event->correlation());
  return refuse_count(state, asked.size());
}

// Another question has taken its place: nobody would use its answer, and no run waits for that. Where nothing
// is open under this id, nothing is left of it but the answer.
[[gnu::noinline]] void withdraw_question(RunState& state, const Invocation& invocation, std::string_view id,
                                         Commands& commands) noexcept {
  if (id.empty()) return;
  Question* open = state.questions.find(id);
  if (open != nullptr && !open->calls_back && (open->asker == nullptr || open->asker == &invocation))
    close_question(state, *open);
  const auto delayed = state.timers.find_question(id);
  if (delayed == state.timers.end()) return;
  leave_scope(state, delayed->second.membership);
  commands.more = true;
  commands.cold().dropped_timers.insert(state.timers.extract(delayed));
}

// One that takes the place of another does not count beside it.
bool refuse_asking(const RunState& state, const Tick& tick, Commands& commands) {
  const bool replaces =
      tick.question != nullptr && state.questions.find(tick.question->instead_of) != nullptr;
  const std::string_view id = tick.outputs.front().event->correlation();
  Ref<Error> error;
  if (!replaces) {
    error = refuse_questions(state, tick.outputs);
  } else if (state.questions.find(id) != nullptr) {
    error = question_is_open(id);
  }
  if (!error) return false;
  refuse(commands, error->status, "BLAZEN_LIMIT_QUESTIONS");
  commands.cold().late_error = std::move(error);
  return true;
}

namespace {

// The answer goes to the body: through a callback, or when it is called again and asks again.
void attach(RunState& state, Question& question, Tick& tick, Commands& commands) noexcept {
  Journal& journal = *tick.invocation->journal;
  refuse(commands, Status::pending, nullptr);
  if (!tick.calls_back) {
    journal.has_asked = true;
    return;
  }
  journal.call = tick.caller;
  if (!std::exchange(question.calls_back, true)) {
    const bool was_asking = is_asking_in_flight(*tick.invocation);
    ++journal.called_back;
    if (!was_asking && is_asking_in_flight(*tick.invocation)) ++state.in_flight_idle;
  }
}

// One that is not open, and has no answer. Where the invocation has asked another in its place, the stream
// says so; that one may have been withdrawn since.
void ask_anew(RunState& state, Tick& tick, bool is_another, Commands& commands) {
  Invocation& invocation = *tick.invocation;
  const Ref<Event>& request = tick.outputs.front().event;
  const std::string_view id = request->correlation();
  if (refuse_asking(state, tick, commands)) return;
  reserve_for_questions(state, 1, commands);
  const std::string_view instead_of = is_another ? id : tick.question->instead_of;
  Ref<Event> divergence;
  if (!instead_of.empty())
    divergence =
        make_report("send_diverged", invocation, question_members(id, instead_of, commands), commands);
  Deadlines::Node node;
  std::unique_ptr<Question::Deadline> deadline;
  if (tick.question->deadline_ms != 0) {
    node = state.deadlines.make_node();
    deadline = std::make_unique<Question::Deadline>();
    deadline->after_ms = tick.question->deadline_ms;
    deadline->default_answer = tick.question->default_answer;
  }
  invocation.journal->note_question(id, tick.question->digest);
  withdraw_question(state, invocation, tick.question->instead_of, commands);
  if (divergence) publish(state, std::move(divergence), commands);
  request->id = ++state.event_id_last;
  Question& question = open_question(state, request, &invocation, tick.now_ms, commands);
  if (deadline) {
    state.deadlines.set_clock(tick.now_ms, state.pause == Pause::none);
    set_deadline(state, question, add_ms(state.deadlines.at(tick.now_ms), tick.question->deadline_ms),
                 std::move(deadline), std::move(node));
  }
  attach(state, question, tick, commands);
}

// False: nobody has answered it yet.
bool take_early_answer(RunState& state, const Tick& tick, Commands& commands) {
  const std::string_view id = tick.outputs.front().event->correlation();
  EarlyAnswers& all = *early_answers(state);
  const auto early = all.find(id);
  if (early == all.end()) return false;
  Journal& journal = *tick.invocation->journal;
  journal.note_question(id, tick.question->digest);
  journal.add_answer(id, early->second);
  commands.more = true;
  commands.cold().answer = std::move(early->second);
  all.erase(early);
  if (all.empty()) state.rare->early_answers.reset();
  return true;
}

}  // namespace

// An id is that of one question for as long as this one is open or answered: what else is asked under it, by
// whomever, is a conflict.
void ask(RunState& state, Tick& tick, Commands& commands) {
  Invocation& invocation = *tick.invocation;
  const std::string_view id = tick.outputs.front().event->correlation();
  const bool is_another = journal_of(state, invocation).has_asked_another(id, tick.question->digest);
  if (Journal::Answer* answer = invocation.journal->find_answer(id)) {
    if (is_another) return refuse_with(commands, question_is_another(id));
    if (!answer->value) return refuse_with(commands, question_was_withdrawn(id), Status::cancelled);
    answer->is_unseen = false;
    commands.more = true;
    commands.cold().answer = answer->value;
    return;
  }
  Question* known = state.questions.find(id);
  if (known == nullptr) {
    if (!is_another && early_answers(state) != nullptr && take_early_answer(state, tick, commands)) return;
    return ask_anew(state, tick, is_another, commands);
  }
  if (known->asker != &invocation) return refuse_with(commands, question_is_open(id));
  if (is_another) return refuse_with(commands, question_is_another(id));
  attach(state, *known, tick, commands);
}

// The new ones are the last ones.
void hand_out(RunState& state, const Tick& tick) {
  size_t count = 0;
  Question* first = nullptr;
  for (Question* at = state.questions.last(); at != nullptr && !at->handed_out; at = at->previous()) {
    first = at;
    ++count;
  }
  if (count == 0) return;
  reserve_more(*tick.requests, count);
  for (; first != nullptr; first = first->next()) {
    first->handed_out = true;
    tick.requests->push_back(first->request);
  }
}

namespace {

// An event asked, and an event answers.
void answer_with_event(RunState& state, Question& question, Tick& tick, Commands& commands) {
  const size_t deliveries = count_deliveries(state, tick.outputs);
  if (!queue_has_room(state, deliveries)) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUEUED_EVENTS");
    return;
  }
  if (state.scopes) prepare_in_scope(state, question.membership, tick.outputs.front());
  reserve_for(state, tick, deliveries, commands);
  begin_routing_at(state, question.membership);
  close_question(state, question);
  route_all(state, tick.outputs, tick.now_ms, commands);
}

// value: null: it was withdrawn.
void answer_body(RunState& state, Question& question, const Ref<Value>& value, int64_t now_ms,
                 Commands& commands) {
  Invocation* asker = question.asker;
  Journal& journal = *asker->journal;
  journal.add_answer(question.request->correlation(), value);
  const bool calls_back = question.calls_back;
  close_question(state, question);
  if (calls_back) {
    commands.more = true;
    commands.answered = asker;
    asker->began_ms = static_cast<uint32_t>(now_ms);  // its time begins again
    const bool was_asking = is_asking_in_flight(*asker);
    --journal.called_back;
    if (was_asking && !is_asking_in_flight(*asker)) --state.in_flight_idle;
  } else if (asker->place == Place::asking) {
    state.asking.remove(asker);
    requeue(state, asker);
  } else if (asker->place == Place::in_flight) {
    journal.answers().back().is_unseen = true;
  }
}

}  // namespace

void respond(RunState& state, Tick& tick, Commands& commands) {
  Question* question = state.questions.find(tick.outputs.front().event->correlation());
  if (question == nullptr) {
    refuse(commands, Status::not_found, nullptr);
    return;
  }
  if (question->asker == nullptr) return answer_with_event(state, *question, tick, commands);
  answer_body(state, *question, tick.value, tick.now_ms, commands);
}

void respond_early(RunState& state, Tick& tick, Commands& commands) {
  const std::string_view id = tick.outputs.front().event->correlation();
  if (state.questions.find(id) != nullptr) return respond(state, tick, commands);
  if (!state.rare) state.rare = std::make_unique<RareQueues>();
  if (!state.rare->early_answers) state.rare->early_answers = std::make_unique<EarlyAnswers>();
  EarlyAnswers& early = *state.rare->early_answers;
  if (early.find(id) != early.end()) {
    const Ref<Error> known = question_conflict("an answer to '", id, "' is kept already");
    return refuse_with(commands, known);
  }
  if (early.size() >= state.workflow->policy().limits.questions) {
    refuse(commands, Status::limit, "BLAZEN_LIMIT_QUESTIONS");
    return;
  }
  early.emplace(id, tick.value);
}

// Of one that an event asked, nothing is left.
void withdraw(RunState& state, const Tick& tick, Commands& commands) {
  Question* question = state.questions.find(tick.outputs.front().event->correlation());
  if (question == nullptr) {
    refuse(commands, Status::not_found, nullptr);
    return;
  }
  if (question->asker != nullptr) return answer_body(state, *question, nullptr, tick.now_ms, commands);
  close_question(state, *question);
}

// The deadline that is first is that of a question, and is over. One at a time: each has somebody to tell.
void answer_by_default(RunState& state, int64_t now_ms, Commands& commands) {
  Question& question = *state.deadlines.first().question;
  answer_body(state, question, Ref<Value>(question.deadline->default_answer), now_ms, commands);
}

}  // namespace blazen
