// The rooms of the state machine: what the files of reduce() call of one another, by the file where it stands. Nobody else
// includes this; the one entry is reduce.hpp.
//
//   reduce.cpp        the tick's way: which function makes it, whether the run comes to rest, who starts next
//   routing.cpp       where does an event go next?
//   places.cpp        where does an invocation stand, and which one starts next?
//   outcomes.cpp      what becomes of one that was started?
//   joining.cpp       which scope does it belong to, and what do the joins take?
//   hosting.cpp       the runs that are parts of it
//   step_effects.cpp  what does a step do while it runs?
//   asking.cpp        questions and answers
//   time.cpp          what is due?
//   values.cpp        the state and the session
//   control.cpp       end, pause, resume
//   watching.cpp      the report of a tick
//   run_errors.cpp    the errors of all these
//
// As in reduce(): what is not noexcept throws std::bad_alloc, and has changed nothing then; what is noexcept has its room
// reserved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "run/reduce.hpp"

namespace blazen {

// A tick that may be refused is. False, for whoever returns that.
inline bool refuse(Commands& commands, Status status, const char* limit) noexcept {
  commands.more = true;
  commands.status = status;
  commands.limit = limit;
  return false;
}

// The same, with the words for whoever asked.
inline void refuse_with(Commands& commands, Ref<Error> error, Status status = Status::conflict) noexcept {
  refuse(commands, status, nullptr);
  commands.cold().late_error = std::move(error);
}

// ---- routing.cpp ----

size_t count_deliveries(const RunState& state, std::span<const Output> outputs) noexcept;
void reserve_for_unhandled(RunState& state, std::span<const Output> outputs, Commands& commands);
void reserve_for(RunState& state, const Tick& tick, size_t deliveries, Commands& commands);
uint64_t collected_count(const RunState& state) noexcept;
bool queue_has_room(const RunState& state, size_t deliveries, size_t leaving = 0) noexcept;
bool has_room_for_all(const RunState& state, size_t outputs, size_t leaving) noexcept;
void publish(RunState& state, Ref<Event> event, Commands& commands) noexcept;
bool route_now(RunState& state, Output& output, int64_t now_ms, Commands& commands) noexcept;
void route_all(RunState& state, std::span<Output> outputs, int64_t now_ms, Commands& commands) noexcept;
void route_all_in_scopes(RunState& state, std::span<Output> outputs, int64_t now_ms,
                         Commands& commands) noexcept;
void post(RunState& state, Tick& tick, Commands& commands);

// ---- places.cpp ----

void make_ready(RunState& state, Invocation* invocation) noexcept;
void admit_or_wait(RunState& state, Invocation* invocation) noexcept;
Invocation* make_invocation(RunState& state, Ref<Event> event, StepIndex step) noexcept;
void end_execution(RunState& state, Invocation* invocation, bool keeps_permit = false) noexcept;
void requeue(RunState& state, Invocation* invocation) noexcept;
void dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept;
void leave_queue(RunState& state, Invocation* invocation) noexcept;
void come_back(RunState& state, StepIndex step) noexcept;
void grant(RunState& state, PoolIndex pool) noexcept;
void return_unused(RunState& state) noexcept;
void free_abandoned(RunState& state) noexcept;

// ---- outcomes.cpp ----

void let_go(RunState& state, Invocation* invocation, Commands& commands) noexcept;
void leave_flight(RunState& state, Invocation* invocation, Commands& commands) noexcept;
bool prepare_to_complete(RunState& state, Tick& tick, Commands& commands);
void complete(RunState& state, const Completion& done, Commands& commands) noexcept;
void fail(RunState& state, Tick& tick, Commands& commands);
void body_returned(RunState& state, Invocation* invocation) noexcept;
void suspend(RunState& state, Invocation* invocation) noexcept;

// ---- joining.cpp ----

// Before a tick routes outputs: of an invocation, or where something else belongs. The first: null, or the limit that is
// reached.
Ref<Error> prepare_scopes(RunState& state, const Invocation& from, std::span<const Output> outputs);
void prepare_in_scope(RunState& state, MembershipIndex base, const Output& output);
// After the room for the deliveries.
void reserve_for_joins(RunState& state, size_t deliveries, Commands& commands);
// Whether all of this would find nothing to do, and nothing to refuse, for outputs that are plain, of an invocation that is
// done; false: it may.
bool has_room_in_scopes(RunState& state, const Invocation& from, std::span<const Output> outputs) noexcept;
// What comes from outside: null, or why nobody takes it.
Ref<Error> refuse_outside(RunState& state, const Output& output, uint64_t scope_id);
void prepare_from_outside(RunState& state, const Output& output, uint64_t scope_id);
// Whether anybody takes what an invocation gives.
bool is_taken(const RunState& state, const Invocation& from, const Output& output) noexcept;
// What is routed now belongs there. is_done: the invocation is about to go.
void begin_routing(RunState& state, const Invocation& from, bool is_done, int64_t now_ms,
                   Commands& commands) noexcept;
void begin_routing_at(RunState& state, MembershipIndex base) noexcept;
void begin_routing_in(RunState& state, uint64_t scope_id) noexcept;
// Where it does not go its way because its scope was cancelled.
bool drops_late(RunState& state, const Output& output, Commands& commands) noexcept;
// For what is no invocation: a question that an event asks, a delayed event.
MembershipIndex enter_scope(RunState& state, uint64_t event_id) noexcept;
void leave_scope(RunState& state, MembershipIndex membership) noexcept;
// To all that take it; false: nobody does.
bool deliver_in_scopes(RunState& state, Output& output, Commands& commands) noexcept;
// What most outputs are in a run with scopes: one step accepts it, and takes it at once. It gets its id. False: there is
// more to it, and nothing has changed.
bool deliver_to_the_one(RunState& state, Output& output, Commands& commands) noexcept;
// Of an event that nobody takes, and joins would in a scope: the opener of that. Empty: no join accepts it.
std::string_view opener_of_unhandled(const RunState& state, const Output& output) noexcept;
// What was collected in a scope that has closed.
void drop_collected(RunState& state, const Scope& scope, Commands& commands) noexcept;
// When a tick is over.
void settle_scopes(RunState& state, Commands& commands) noexcept;
// The deadline that is first is that of a join, and is over.
void close_at_deadline(RunState& state, int64_t now_ms, Commands& commands);

// ---- hosting.cpp ----

void host(RunState& state, const Tick& tick);
void take_turn(RunState& state) noexcept;
void note_child(RunState& state, const Tick& tick) noexcept;
// Of an invocation that may host one.
void leave_child(RunState& state, const Invocation& host) noexcept;
void leave_children(RunState& state, Commands& commands) noexcept;
void cut_off(RunState& state, Tick& tick) noexcept;

// ---- step_effects.cpp ----

Ref<Event> make_report(std::string_view kind, const Invocation& invocation, const std::string& members,
                       Commands& commands);
std::string question_members(std::string_view id, std::string_view instead_of, Commands& commands);
Journal& journal_of(RunState& state, Invocation& invocation);
void send(RunState& state, Tick& tick, Commands& commands);
void collect(RunState& state, Tick& tick, Commands& commands);
// Of an invocation that is about to go.
void leave_collects(RunState& state, const Invocation& invocation, Commands& commands) noexcept;
void publish_from_step(RunState& state, Tick& tick, Commands& commands);

// ---- asking.cpp ----

void reserve_for_questions(RunState& state, size_t count, Commands& commands);
Question& open_question(RunState& state, const Ref<Event>& request, Invocation* asker, int64_t now_ms,
                        Commands& commands) noexcept;
void close_question(RunState& state, Question& question) noexcept;
Ref<Error> refuse_question(const RunState& state, const Output& output) noexcept;
Ref<Error> refuse_questions(const RunState& state, std::span<const Output> outputs);
void withdraw_question(RunState& state, const Invocation& invocation, std::string_view id,
                       Commands& commands) noexcept;
bool refuse_asking(const RunState& state, const Tick& tick, Commands& commands);
void ask(RunState& state, Tick& tick, Commands& commands);
void hand_out(RunState& state, const Tick& tick);
void respond(RunState& state, Tick& tick, Commands& commands);
void respond_early(RunState& state, Tick& tick, Commands& commands);
void withdraw(RunState& state, const Tick& tick, Commands& commands);
void answer_by_default(RunState& state, int64_t now_ms, Commands& commands);

// ---- time.cpp ----

void advance(RunState& state, Tick& tick, Commands& commands);

// ---- values.cpp ----

void write_one(RunState& state, Ref<KeyTable>& place, uint64_t bytes_max, const char* limit, Write& write,
               Commands& commands);
bool expectations_hold(const RunState& state, std::span<const Write> writes, Commands& commands) noexcept;
void write_state(RunState& state, std::span<Write> writes, Commands& commands);

// ---- control.cpp ----

void finish(RunState& state, Phase phase, Ref<Value> result, Ref<Error> error, Commands& commands) noexcept;
void fail_run(RunState& state, Ref<Error> error, Commands& commands) noexcept;
void resume(RunState& state, const Tick& tick);
void pause(RunState& state, Tick& tick, Commands& commands) noexcept;

// ---- watching.cpp ----

void reduce_watched(RunState& state, Tick& tick, Commands& commands);

// ---- run_errors.cpp ----

Ref<Error> annotate(Ref<Error> error, std::string_view step) noexcept;
Ref<Error> no_handler(const Event& event, std::string_view opener) noexcept;
Ref<Error> queue_limit(const RunState& state, const Event& event) noexcept;
Ref<Error> stalled(const RunState& state, int64_t now_ms) noexcept;
Ref<Error> timed_out(const RunState& state, int64_t now_ms) noexcept;
Ref<Error> question_conflict(std::string_view before, std::string_view id, std::string_view after) noexcept;
Ref<Error> question_is_open(std::string_view id) noexcept;
Ref<Error> question_was_withdrawn(std::string_view id) noexcept;
Ref<Error> question_is_another(std::string_view id) noexcept;

}  // namespace blazen
