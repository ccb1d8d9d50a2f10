// The way of a tick: which room makes it, whether the run has come to rest, and who starts next.
#include "run/reduce.hpp"

#include <utility>

#include "run/rooms.hpp"

namespace blazen {
namespace {

void complete_in_scopes(RunState& state, Invocation& invocation, std::span<Output> outputs, int64_t now_ms,
                        Commands& commands) noexcept {
  begin_routing(state, invocation, true, now_ms, commands);
  leave_flight(state, &invocation, commands);
  route_all_in_scopes(state, outputs, now_ms, commands);
}

// Phase 1: what the tick itself changes.
void apply(RunState& state, Tick& tick, Commands& commands) {
  switch (tick.kind) {
    case Tick::Kind::start:
    case Tick::Kind::post: return post(state, tick, commands);
    case Tick::Kind::resume: return resume(state, tick);
    case Tick::Kind::dispatch: return dispatch(state, tick.now_ms, commands);
    case Tick::Kind::send: return send(state, tick, commands);
    case Tick::Kind::publish: return publish_from_step(state, tick, commands);
    case Tick::Kind::complete:
      if (!prepare_to_complete(state, tick, commands)) return;
      if (state.scopes)
        return complete_in_scopes(state, *tick.invocation, tick.outputs, tick.now_ms, commands);
      return complete(state, {tick.invocation, tick.outputs, tick.now_ms, tick.dispatches_next}, commands);
    case Tick::Kind::collect: return collect(state, tick, commands);
    case Tick::Kind::ask: return ask(state, tick, commands);
    case Tick::Kind::fail:
    case Tick::Kind::cancel: return fail(state, tick, commands);
    case Tick::Kind::defer: journal_of(state, *tick.invocation).call = tick.caller; return;
    case Tick::Kind::body_returned: return body_returned(state, tick.invocation);
    case Tick::Kind::suspend: return suspend(state, tick.invocation);
    case Tick::Kind::respond: return respond(state, tick, commands);
    case Tick::Kind::respond_early: return respond_early(state, tick, commands);
    case Tick::Kind::withdraw: return withdraw(state, tick, commands);
    case Tick::Kind::pause: return pause(state, tick, commands);
    case Tick::Kind::unpause: state.pause = Pause::none; return state.deadlines.set_clock(tick.now_ms, true);
    case Tick::Kind::time: return advance(state, tick, commands);
    case Tick::Kind::discard: return leave_flight(state, tick.invocation, commands);
    case Tick::Kind::abandoned_returned: return come_back(state, tick.step);
    case Tick::Kind::grant: return grant(state, tick.pool);
    case Tick::Kind::end: return finish(state, tick.phase, nullptr, std::move(tick.error), commands);
    case Tick::Kind::write: return write_state(state, tick.writes, commands);
    case Tick::Kind::clear:
      commands.more = true;
      commands.cold().dropped_table = std::move(state.state);
      return;
    case Tick::Kind::session:
      return write_one(state, state.session, state.workflow->policy().limits.session_bytes,
                       "BLAZEN_LIMIT_SESSION_BYTES", tick.writes.front(), commands);
    case Tick::Kind::hold: state.held = tick.holds; return;
    case Tick::Kind::watch: state.watched = tick.watches; return;
    case Tick::Kind::host: return host(state, tick);
    case Tick::Kind::note_child: return note_child(state, tick);
    case Tick::Kind::cut_off: return cut_off(state, tick);
    case Tick::Kind::hand_out: return hand_out(state, tick);
  }
}

bool is_stalled(const RunState& state) noexcept {
  return state.open == 0 && state.timers.empty() && state.questions.empty() && state.pause == Pause::none &&
         (state.workflow->policy().idle == Idle::fail || (is_child(state) && !state.kin->may_wait));
}

// Phase 2: has the run come to rest here, or does it move again? One that can make no progress ends, unless
// its workflow lets it wait. No hang, ever.
[[gnu::noinline]] void settle(RunState& state, Tick::Kind kind, int64_t now_ms, Commands& commands) noexcept {
  if (state.phase == Phase::running && is_stalled(state)) fail_run(state, stalled(state, now_ms), commands);
  const RunStatus now = status_of(state);
  if (std::exchange(state.last_status, now) != now) {
    commands.more = true;
    commands.settled = true;
    state.pool.drop_spares();
  }
  if (now == RunStatus::paused) commands.more = true;  // a body that lands changes nothing but who is at work
  // A run that was not started in this process has no time yet.
  const bool knows_time = traits_of(kind).knows_time && now_ms != 0;
  if (state.phase != Phase::running || (state.clock.runs == clock_should_run(now) && !knows_time)) return;
  commands.more = true;
  if (knows_time) {
    state.clock.set(now_ms, commands.date_ms, clock_should_run(now));
  } else {
    commands.clock = true;
  }
}

// It was running, and something is left to run.
bool goes_on(const RunState& state) noexcept {
  return state.last_status == RunStatus::running && state.phase == Phase::running &&
         (busy(state) != 0 || startable(state) != 0);
}

void check([[maybe_unused]] const RunState& state) noexcept {
#ifdef BLAZEN_INVARIANTS
  if (state.kin && state.kin->is_cut_off) return;  // what is left in it is about to go
  check_invariants(state);
#endif
}

// reduce() of what most ticks of a run with scopes are. False: there is more to it, and nothing has changed. By value: who
// calls it keeps its parts in registers.
[[gnu::noinline, gnu::flatten]] bool reduce_in_scopes(RunState& state, Completion done,
                                                      Commands& commands) noexcept {
  if (!has_room_in_scopes(state, *done.invocation, done.outputs)) return false;
  state.scopes->release();
  complete_in_scopes(state, *done.invocation, done.outputs, done.now_ms, commands);
  if (state.scopes) settle_scopes(state, commands);
  if (state.permitted.has_pools()) return_unused(state);
  if (!goes_on(state)) settle(state, Tick::Kind::complete, done.now_ms, commands);
  if (done.dispatches_next) dispatch(state, done.now_ms, commands);
  if (state.kin) note_turn(state);
  check(state);
  return true;
}

}  // namespace

// Most ticks complete an invocation and start the next: everything that this takes is inline here, but for
// what is rare and says noinline. False: there is more to it, and nothing has changed.
[[gnu::flatten]] bool reduce_completion(RunState& state, const Completion& done,
                                        Commands& commands) noexcept {
  if (!has_room_for_all(state, done.outputs.size(), 1)) return reduce_in_scopes(state, done, commands);
  complete(state, done, commands);
  if (!goes_on(state)) settle(state, Tick::Kind::complete, done.now_ms, commands);
  if (done.dispatches_next) dispatch(state, done.now_ms, commands);
  if (state.kin) note_turn(state);
  check(state);
  return true;
}

void reduce_dispatch(RunState& state, int64_t now_ms, Commands& commands) noexcept {
  dispatch(state, now_ms, commands);
  if (!goes_on(state)) settle(state, Tick::Kind::dispatch, now_ms, commands);
  if (state.kin) note_turn(state);
  check(state);
}

void reduce(RunState& state, Tick& tick, Commands& commands) {
  const TickTraits& traits = traits_of(tick.kind);
  if (state.watched && traits.may_move) [[unlikely]]
    return reduce_watched(state, tick, commands);
  commands.date_ms = tick.date_ms;
  if (state.scopes) state.scopes->release();  // of a tick before, for which there was no memory in the middle
  apply(state, tick, commands);
  if (state.scopes) settle_scopes(state, commands);
  if (state.permitted.has_pools()) return_unused(state);
  if (!traits.may_move) return check(state);  // nothing that the other phases look at has changed
  if (!goes_on(state) || traits.may_settle) settle(state, tick.kind, tick.now_ms, commands);
  if (tick.dispatches_next)
    dispatch(state, tick.now_ms, commands);  // Phase 3: a free hand takes the next one
  if (state.kin) note_turn(state);
  check(state);
}

}  // namespace blazen
