// Children: the runs of steps that are workflows, and how the runs of a tree work, wait and end together. See kinship.hpp.
#include <algorithm>
#include <new>
#include <utility>

#include "base/quotes.hpp"
#include "base/scope.hpp"
#include "base/uuid.hpp"
#include "engine/commits.hpp"
#include "engine/refusals.hpp"
#include "engine/rounds.hpp"
#include "engine/run.hpp"
#include "engine/transaction.hpp"
#include "snapshot/restore.hpp"

namespace blazen {

void LeftOverDelete::operator()(LeftOver* left_over) const noexcept { delete left_over; }

namespace {

Ref<EventPath> path_of_child(Ref<EventPath> around, const RunId& parent, const StepDefinition& step,
                             uint64_t invocation_id, uint32_t attempt) {
  Ref<EventPath> path = Ref<EventPath>::adopt(new EventPath);
  path->depth = around ? around->depth + 1 : 1;
  path->around = std::move(around);
  path->invocation_id = invocation_id;
  path->parent = parent;
  path->attempt = attempt;
  path->names = step.path_names;
  return path;
}

// Of the step whose run it was.
Ref<Error> error_of_child(const RunState& child) noexcept {
  if (child.error) return child.error;
  return Error::make(Status::cancelled, "its run was cancelled");
}

}  // namespace

// A child. Nobody holds a handle of it, and the runtime does not list it.
Run::Run(Run& parent, Workflow& workflow) noexcept
    : Object(Kind::run),
      RunEntry(RuntimeStay(*parent.runtime_), workflow),
      bodies_{.has_timeouts = workflow.times_steps(),
              .has_parts = workflow.has_parts(),
              .shares_work = parent.bodies_.shares_work} {
  locked_state_.unshared().workflow = Ref<Workflow>::adopt(&workflow);  // counted by the entry
  life_.handles.store(0, std::memory_order_relaxed);
  life_.delisted = true;
  listeners_.is_observed = true;
}

// Under the lock of a top. Throws std::bad_alloc.
Kinship& Run::need_kinship() {
  if (Kinship* known = kinship()) return *known;
  auto made = std::make_unique<Kinship>(*this);
  made->family = std::make_unique<Kinship::Family>();
  if (!state().kin) locked_state_.unshared().kin = std::make_unique<Kin>();
  kinship_.store(made.get(), std::memory_order_release);
  return *made.release();
}

Kinship::Family* Run::family() const noexcept {
  const Kinship* kin = kinship();
  return kin == nullptr ? nullptr : kin->family.get();
}

Ref<EventPath> Run::path() const noexcept { return is_child() ? state().kin->path : nullptr; }

// As a part of this one: its state, but for its id and its path. Throws std::bad_alloc.
Ref<Run> Run::make_inside(const StepDefinition& step, uint32_t attempt, Workflow& its_workflow) {
  Run& top = this->top();
  top.need_kinship();
  Ref<Run> child = Ref<Run>::adopt(new Run(*this, its_workflow));
  auto kin = std::make_unique<KinOfChild>(*child);
  RunState& inner = child->locked_state_.unshared();
  kin->state = &inner;
  kin->top = &top.locked_state_.unshared();
  kin->run = child.get();
  kin->step = &step;
  kin->attempt = attempt;
  kin->depth = blazen::is_child(state()) ? state().kin->depth + 1 : 1;
  kin->may_wait = top.workflow().policy().idle == Idle::wait;
  kin->kinship.top = &top;
  kin->kinship.parent = this;
  retain(static_cast<Object*>(&top));
  child->kinship_.store(&kin->kinship, std::memory_order_release);
  inner.kin = std::move(kin);
  return child;
}

// Throws std::bad_alloc.
void Run::name_inside(Run& child, uint64_t invocation_id) const {
  Kin& kin = *child.locked_state_.unshared().kin;
  kin.path = path_of_child(path(), id_of_run(state()), *kin.step, invocation_id, kin.attempt);
}

// The run of the step of this invocation, which knows its place in the tree, and is not in it yet.
Result<Ref<Run>> Run::make_child(Locked, const Invocation& invocation) {
  Run& top = this->top();
  Kinship::Family& family = *top.need_kinship().family;
  const Limits& limits = top.workflow().policy().limits;
  const StepDefinition& step = workflow().steps()[invocation.step];
  const uint32_t depth = blazen::is_child(state()) ? state().kin->depth + 1 : 1;
  if (depth > limits.child_depth)
    return Error::make(Status::limit, "BLAZEN_LIMIT_CHILD_DEPTH (" + std::to_string(limits.child_depth) +
                                          ") is reached: so many workflows are inside one another");
  if (family.runs.size() >= limits.children)
    return Error::make(Status::limit, "BLAZEN_LIMIT_CHILDREN (" + std::to_string(limits.children) +
                                          ") is reached: so many runs of workflows are inside this one");
  Ref<Run> child = make_inside(step, invocation.attempt, workflow().child_of(invocation.step));
  child->locked_state_.unshared().watched = top.state().watched;
  if (step.is_round)
    child->locked_state_.unshared().kin->used_ms = Round::of(invocation.event->correlation()).used_ms;
  child->listeners_.watched.store(top.state().watched, std::memory_order_relaxed);
  name_inside(*child, invocation.id);
  return child;
}

// The tree has its reference from now on, until it has left.
void Run::join_tree(Locked, Ref<Run> child, Invocation& host) noexcept {
  Kinship& kin = *child->kinship();
  kin.host = &host;
  kin.top->family()->runs.insert(kin);
  (void)child.take();
}

// The step of this invocation, in flight, is a workflow, and its run begins.
void Run::host(Locked locked, Invocation& invocation, Commands& commands,
               Notifications& notifications) noexcept {
  LeftOverPointer left;
  Ref<Run> child;
  Output first;
  Ref<Error> failure;
  try {
    top().need_kinship();
    left = take_left_over(locked);
    if (!left) throw std::bad_alloc();
    Result<Ref<Run>> made = make_child(locked, invocation);
    if (made) {
      child = std::move(*made);
      make_steps(child->locked_state_.unshared());
      if (child->state().permitted.has_pools()) failure = child->take_seats();
      first = {Event::make(kStartEvent, invocation.event->value()), kStartType};
    } else {
      failure = made.error();
    }
  } catch (const std::bad_alloc&) {
    failure = Error::out_of_memory();
  }
  if (!failure) {
    Tick host{Tick::Kind::host, false, &invocation};
    host.child = &child->locked_state_.unshared();
    if (!tick(locked, host, commands, notifications)) failure = Error::out_of_memory();
  }
  if (!failure) {
    Run& begun = *child;
    join_tree(locked, std::move(child), invocation);
    begun.begin_child(locked, first, *left, notifications);
  } else {
    commands.more = true;
    commands.cold().dropped_events.add(std::move(commands.released));
    fail_host(locked, invocation, std::move(failure), commands, notifications);
    if (left) left->run = child.take();
  }
  if (left && (left->run != nullptr || left->commands.any() || !left->commands.keeps_nothing())) {
    leave_over(std::move(left), notifications);
  } else if (left) {
    left->commands.clear();
    top().family()->spare = std::move(left);
  }
}

// What is made of its result, or of its failure, is routed.
void Run::fail_host(Locked locked, Invocation& invocation, Ref<Error> cause, Commands& commands,
                    Notifications& notifications) noexcept {
  const StepDefinition& step = workflow().steps()[invocation.step];
  Tick failed{Tick::Kind::fail, false, &invocation};
  failed.now_ms = begin_ms();
  failed.date_ms = date_ms();
  failed.rounded_ms = runtime_->clock().rounded_ms();
  failed.error = Error::step_failed(step.name, invocation.attempt, std::move(cause));
  Output handled;
  make_step_failed(invocation, failed, handled);
  if (!tick(locked, failed, commands, notifications))
    fail_without_memory(locked, &invocation, false, commands, notifications);
  if (commands.has_cold() && commands.cold().late_error)
    note_for_log(LogLevel::info, commands.cold().late_error, kGoesOn, notifications);
}

void Run::begin_child(Locked locked, Output& first, LeftOver& left, Notifications& notifications) noexcept {
  life_.started = true;
  Tick start{Tick::Kind::start, false, nullptr, {&first, 1}};
  start.now_ms = begin_ms();
  start.date_ms = date_ms();
  if (!tick(locked, start, left.commands, notifications)) {
    Tick end{Tick::Kind::end};
    end.phase = Phase::failed;
    end.error = Error::out_of_memory();
    tick(locked, end, left.commands, notifications);
  }
  if (!has_ended(state())) rearm(locked, notifications);
}

void Run::leave_over(LeftOverPointer left, Notifications& notifications) noexcept {
  left->next = std::move(notifications.left_over);
  notifications.left_over = std::move(left);
  notifications.more = true;
}

bool Kinship::ByPath::before(const Kinship& a, const Kinship& b) noexcept {
  return EventPath::comes_before(a.run->path_place(), b.run->path_place());
}

void RunsInside::insert(Kinship& kin) noexcept {
  kin.by_id = {nullptr, unsorted_, 0};
  if (unsorted_ != nullptr) unsorted_->by_id.previous = &kin;
  unsorted_ = &kin;
  ++size_;
}

void RunsInside::remove(Kinship& kin) noexcept {
  --size_;
  if (sorted_.has(kin)) return sorted_.remove(&kin);
  const auto& [previous, next, level] = kin.by_id;
  (previous == nullptr ? unsorted_ : previous->by_id.next) = next;
  if (next != nullptr) next->by_id.previous = previous;
}

Run* RunsInside::find(const RunId& id) noexcept {
  while (unsorted_ != nullptr) {
    Kinship& kin = *unsorted_;
    unsorted_ = kin.by_id.next;
    kin.id = kin.run->path_place()->run_id();
    sorted_.insert(&kin);
  }
  const Kinship* found = sorted_.find_first([&id](const Kinship& kin) { return kin.id < id; });
  return found != nullptr && found->id == id ? found->run : nullptr;
}

Run* RunsInside::list() const noexcept {
  Run* first = nullptr;
  const auto put = [&first](Kinship& kin) { kin.next_below = std::exchange(first, kin.run); };
  for (Kinship* kin = unsorted_; kin != nullptr; kin = kin->by_id.next) put(*kin);
  sorted_.walk([&put](Kinship* kin) {
    put(*kin);
    return true;
  });
  return first;
}

const EventPath* Run::path_place() const noexcept { return is_child() ? state().kin->path.get() : nullptr; }

namespace {

Kinship::Counts counts_of(const RunState& state) noexcept {
  if (has_ended(state)) return {.events = state.event_id_last};
  return {startable(state), busy(state), waiting_work(state), state.in_flight.size() - hosting(state),
          state.event_id_last};
}

}  // namespace

void Run::count_in_tree(const Kinship::Counts& now) noexcept {
  Kinship& kin = *kinship();
  Kinship::Counts& all = kin.top->family()->counts;
  all.startable += now.startable - kin.counted.startable;
  all.busy += now.busy - kin.counted.busy;
  all.queued += now.queued - kin.counted.queued;
  all.in_flight += now.in_flight - kin.counted.in_flight;
  all.events += now.events - kin.counted.events;
  kin.counted = now;
}

// A child, or a top with children, after a tick: what the tree has of it.
[[gnu::noinline]] void Run::note_in_tree(Locked locked) noexcept {
  Kinship& kin = *kinship();
  Run& top = this->top();
  if (&top != this && kin.parent == nullptr) return;  // it has left
  if (&top != this) {
    count_in_tree(counts_of(state()));
    if (kin.top->family()->asking.has(kin) == state().questions.empty()) change_asking(locked);
  }
  stand_in_row(locked);
  if (top.waiting_.helpers != 0) top.wake_helpers(locked);
}

// Where the state says.
void Run::stand_in_row(Locked) noexcept {
  Kinship& kin = *kinship();
  auto& row = top().family()->row;
  Kinship::Turn now{false, state().kin ? state().kin->turn : 0};
  if (startable(state()) != 0 && !has_ended(state())) {
    if (const Invocation* next = find_interrupted(state()).invocation) now = {true, next->start};
  }
  if (now == kin.turn) return;
  if (kin.turn.number != 0) row.remove(&kin);
  kin.turn = now;
  if (now.number != 0) row.insert(&kin);
}

void Run::change_asking(Locked) noexcept {
  Kinship& kin = *kinship();
  auto& asking = kin.top->family()->asking;
  if (asking.has(kin)) {
    asking.remove(&kin);
  } else {
    asking.insert(&kin);
  }
}

// Nobody finds it any more.
void Run::leave_tree(Locked locked) noexcept {
  Kinship& kin = *kinship();
  Kinship::Family& family = *kin.top->family();
  count_in_tree({.events = state().event_id_last});
  if (kin.turn.number != 0) family.row.remove(&kin);
  kin.turn = {};
  if (family.asking.has(kin)) change_asking(locked);
  if (kin.due_ms != INT64_MAX) family.due.remove(&kin);
  kin.due_ms = INT64_MAX;
  family.runs.remove(kin);
  locked_state_.unshared().kin->has_left = true;
  kin.parent = nullptr;
  kin.host = nullptr;
}

// Of what the runs of the tree could start now.
size_t Run::startable_of_tree(Locked) const noexcept {
  const Kinship::Family* family = this->family();
  if (family == nullptr) return startable_now(state());
  if (is_held(state()) || state().pause != Pause::none) return 0;
  return startable(state()) + family->counts.startable;
}

// Invocations of the tree that somebody is at work on.
size_t Run::tree_busy(Locked) const noexcept {
  const Kinship::Family* family = this->family();
  return busy(state()) + (family == nullptr ? 0 : family->counts.busy);
}

// Who starts something next. Null: nobody can.
Run* Run::next_of_tree(Locked locked) const noexcept {
  if (tree_startable(locked) == 0) return nullptr;
  const Kinship::Family* family = this->family();
  if (family == nullptr) return const_cast<Run*>(this);
  const Kinship* const first = family->row.first();
  return first == nullptr ? nullptr : first->run;
}

// Whether what this one of a tree starts is what comes next.
bool Run::is_its_turn(Locked locked) noexcept { return top().next_of_tree(locked) == this; }

// One invocation of one run, then one of the next: where there is no other, it goes on.
[[gnu::noinline]] uint64_t Run::work_on_tree(Worker worker, Hand hand, uint64_t steps_max) noexcept {
  if (is_inherited()) return 0;
  {
    Guard guard(lock());
    if (bodies_.tasks > 0) --bodies_.tasks;
  }
  uint64_t steps = 0;
  while (!is_inherited() && (steps_max == 0 || steps < steps_max)) {
    Ref<Run> next;
    {
      Guard guard(lock());
      Run* const first = next_of_tree(guard);
      if (first == nullptr || (worker == Worker::waiter && !first->next_is_quick(guard))) break;
      next = Ref<Run>::share(first);
    }
    steps += next->work_here(worker, hand, steps_max == 0 ? 0 : steps_max - steps);
  }
  if (is_inherited()) return steps;
  Notifications notifications;
  {
    Guard guard(lock());
    offer(guard, notifications);
  }
  if (notifications.any()) {
    const EngineScope scope(*this);
    notify(notifications);
  }
  if (!is_inherited()) cancel_if_lost();
  return steps;
}

// Where what is in this child stands has changed: its parent hears of it, in the same hold of the lock.
[[gnu::noinline]] void Run::tell_parent(Locked locked, Notifications& notifications) noexcept {
  Kinship& kin = *kinship();
  if (kin.parent == nullptr) return;
  const bool is_end = has_ended(state());
  const RunStatus now = status_of(state());
  if (!is_end && kin.told == now) return;
  LeftOverPointer left = take_left_over(locked);
  if (!left) return come_back_soon(locked, notifications);
  if (is_end) return end_child(locked, std::move(left), notifications);
  Tick moved{Tick::Kind::note_child, false, kin.host};
  moved.child_status = now;
  if (kin.parent->tick(locked, moved, left->commands, notifications)) {
    kin.told = now;
  } else {
    come_back_soon(locked, notifications);
  }
  give_left_over(locked, std::move(left), notifications);
}

// Without memory now, its parent is told in a while.
void Run::come_back_soon(Locked locked, Notifications& notifications) noexcept {
  constexpr int64_t kOnceMoreMs = 100;
  kinship()->is_untold = true;
  time_.known_due_ms = INT64_MAX;
  arm(locked, now_ms() + kOnceMoreMs, notifications);
}

// For what a tick of another run of the tree lets go of, which goes outside the lock. Null: there is no memory.
LeftOverPointer Run::take_left_over(Locked) noexcept {
  LeftOverPointer& spare = top().family()->spare;
  if (spare) return std::move(spare);
  return LeftOverPointer(new (std::nothrow) LeftOver);
}

void Run::give_left_over(Locked, LeftOverPointer left, Notifications& notifications) noexcept {
  if (!left->commands.keeps_nothing()) return leave_over(std::move(left), notifications);
  left->commands.clear();
  top().family()->spare = std::move(left);
}

// It has ended by itself: its step has, with its result or its error.
void Run::end_child(Locked locked, LeftOverPointer left, Notifications& notifications) noexcept {
  Kinship& kin = *kinship();
  Run& top = *kin.top;
  Run& parent = *kin.parent;
  Invocation& host = *kin.host;
  leave_tree(locked);
  left->run = this;
  Commands& commands = left->commands;
  const StepDefinition& step = *state().kin->step;
  Ref<Error> failure = state().phase == Phase::completed ? nullptr : error_of_child(state());
  Output output;
  if (!failure) {
    try {
      std::string correlation(host.event->correlation());
      if (step.is_round) {  // its clock ran until now: it has completed
        Round round = Round::of(correlation);
        round.used_ms += state().clock.elapsed_ms + std::max<int64_t>(0, now_ms() - state().clock.set_ms);
        correlation = round.text();
      }
      output.event = Event::make(step.emits.front(), state().result ? state().result : Value::null(),
                                 step.branch.empty() ? step.name : step.branch, correlation);
      output.type = parent.workflow().find_type(step.emits.front());
    } catch (const std::bad_alloc&) {
      failure = Error::out_of_memory();
    }
  }
  if (failure) {
    parent.fail_host(locked, host, std::move(failure), commands, notifications);
  } else {
    Tick done{Tick::Kind::complete, false, &host, {&output, 1}};
    done.now_ms = parent.begin_ms();
    done.date_ms = parent.date_ms();
    if (!parent.tick(locked, done, commands, notifications))
      parent.fail_without_memory(locked, &host, false, commands, notifications);
  }
  leave_over(std::move(left), notifications);
  if (!notifications.works_on) top.offer_from_inside(locked, notifications);
}

// Those whose invocations are gone with a tick. They are told when the lock is open.
[[gnu::noinline]] void Run::cut_off_left(Locked locked, Notifications& notifications) noexcept {
  Kin& kin = *locked_state_.unshared().kin;
  while (!kin.left.empty()) {
    Kin& child = *kin.left.first();
    kin.left.remove(child);
    child.run->cut_off(locked, notifications);
  }
}

void Run::cut_off(Locked locked, Notifications& notifications) noexcept {
  leave_tree(locked);
  if (!has_ended(state())) {  // else its parent could not be told
    Tick gone{Tick::Kind::cut_off};
    gone.error = Error::make(Status::cancelled, "the step whose run this is was cancelled, or has ended");
    Commands none;
    tick(locked, gone, none, notifications);
    life_.ended.store(true, std::memory_order_release);
    keep_bodies(locked, notifications);
  }
  kinship()->next_cut_off = std::exchange(notifications.cut_off, this);
  notifications.more = true;
  // What is in it, too.
  Kin& kin = *locked_state_.unshared().kin;
  while (!kin.children.empty()) {
    Kin& child = *kin.children.first();
    kin.children.remove(child);
    child.run->cut_off(locked, notifications);
  }
}

// Without the lock: it lets go of all that is in it.
void Run::tear_down() noexcept {
  Ref<Run> kept = Ref<Run>::adopt(this);
  const EngineScope scope(*this);
  if (state().kin->is_cut_off) {
    Tick last{Tick::Kind::end};
    last.phase = Phase::cancelled;
    Transaction transaction(*this);
    last.error = state().error;
    tick(transaction.locked(), last, transaction.commands, transaction.notifications);
    transaction.leave();
  }
  if (!is_inherited()) cancel_calls();
}

// Without the lock, in the order in which it came.
[[gnu::noinline]] void Run::let_go_of_left_over(Notifications& notifications) noexcept {
  const EngineScope scope(*this);
  LeftOverPointer first;
  while (notifications.left_over) {
    LeftOverPointer next = std::move(notifications.left_over->next);
    notifications.left_over->next = std::move(first);
    first = std::move(notifications.left_over);
    notifications.left_over = std::move(next);
  }
  // What a run has dropped goes before it does, whichever tick of the tree has dropped it.
  for (LeftOver* each = first.get(); each != nullptr && !is_inherited(); each = each->next.get())
    each->commands.clear();
  while (first && !is_inherited()) {
    if (first->run != nullptr) {
      first->run->cancel_calls();
      Ref<Run>::adopt(first->run).reset();
    }
    first = std::move(first->next);
  }
  while (notifications.cut_off != nullptr && !is_inherited()) {
    Run* const child = notifications.cut_off;
    notifications.cut_off = std::exchange(child->kinship()->next_cut_off, nullptr);
    child->tear_down();
  }
}

// The runs of the tree below this one, parents before their children, through next_below. What is done with one may take
// others out of the tree, which are there all the same until the lock is open: they have no parent then.
Run* Run::list_below(Locked) noexcept {
  Run* first = nullptr;
  Run** end = &first;
  const auto put_children = [&end](const Run& parent) {
    if (!parent.state().kin) return;
    parent.state().kin->children.each([&end](const Kin& child) {
      Kinship& kin = *child.run->kinship();
      kin.next_below = nullptr;
      *end = child.run;
      end = &kin.next_below;
    });
  };
  put_children(*this);
  for (Run* each = first; each != nullptr; each = each->kinship()->next_below) put_children(*each);
  return first;
}

// A pause, or its end, of the whole tree.
void Run::steer_below(Locked locked, const Tick& tick, Notifications& notifications) noexcept {
  for (Run* child = list_below(locked); child != nullptr; child = child->kinship()->next_below) {
    if (child->kinship()->parent == nullptr || blazen::has_ended(child->state())) continue;
    Tick same{tick.kind};
    same.pause = tick.pause;
    same.now_ms = tick.now_ms;
    same.date_ms = tick.date_ms;
    LeftOverPointer left = take_left_over(locked);
    Commands none;
    same.clears_session = tick.clears_session && left;
    child->tick(locked, same, left ? left->commands : none, notifications);
    if (left) give_left_over(locked, std::move(left), notifications);
    if (!blazen::has_ended(child->state())) child->rearm(locked, notifications);
  }
}

void Run::watch_below(Locked locked, bool watched) noexcept {
  for (Run* child = list_below(locked); child != nullptr; child = child->kinship()->next_below) {
    Tick tick{Tick::Kind::watch};
    tick.watches = watched;
    child->change_flag(locked, tick);
    child->listeners_.watched.store(watched, std::memory_order_relaxed);
  }
}

void Run::ask_pools_below(Locked locked, Notifications& notifications) noexcept {
  for (Run* child = list_below(locked); child != nullptr; child = child->kinship()->next_below) {
    if (child->kinship()->parent == nullptr || !child->seats_) continue;
    Tick tick{Tick::Kind::hold};  // in which it gives back what it cannot use now
    tick.holds = child->state().held;
    child->change_flag(locked, tick);
    child->ask_pools(locked, notifications);
  }
}

// What is due in the tree. Under the lock.
void Run::arm_in_tree(Locked locked, int64_t due_ms, Notifications& notifications) noexcept {
  Kinship& kin = *kinship();
  if (kin.parent == nullptr || due_ms >= time_.known_due_ms) return;
  Kinship::Family& family = *kin.top->family();
  if (kin.due_ms != INT64_MAX) family.due.remove(&kin);
  kin.due_ms = time_.known_due_ms = due_ms;
  family.due.insert(&kin);
  kin.top->arm(locked, due_ms, notifications);
}

// Whoever comes to be due earlier says so; whose time has stopped, or is later, is found here. So each entry is moved once
// for each time that it was set.
int64_t Run::first_due_below(Locked locked) const noexcept {
  Kinship::Family* const family = this->family();
  while (family != nullptr && !family->due.empty()) {
    Kinship& kin = *family->due.first();
    const int64_t now_due_ms = kin.is_untold ? kin.due_ms : kin.run->all_due(locked);
    if (now_due_ms <= kin.due_ms) return kin.due_ms;
    family->due.remove(&kin);
    kin.due_ms = kin.run->time_.known_due_ms = now_due_ms;
    if (now_due_ms != INT64_MAX) family->due.insert(&kin);
  }
  return INT64_MAX;
}

// Those whose time has come are told. Without the lock.
[[gnu::noinline]] void Run::tell_time_below() noexcept {
  while (!is_inherited()) {
    Ref<Run> late;
    {
      Guard guard(lock());
      Kinship::Family& family = *this->family();
      Kinship* const first = family.due.first();
      if (first == nullptr || first->due_ms > now_ms()) break;
      family.due.remove(first);
      first->due_ms = INT64_MAX;
      late = Ref<Run>::share(first->run);
    }
    late->on_time();
  }
  if (is_inherited()) return;
  Notifications notifications;
  {
    Guard guard(lock());
    if (!has_ended(state())) arm(guard, first_due_below(guard), notifications);
  }
  if (notifications.any()) notify(notifications);
}

// Its parent could not be told that it has ended. False: it could.
bool Run::tell_parent_again() noexcept {
  Transaction transaction(*this);
  if (!std::exchange(kinship()->is_untold, false)) return false;
  tell_parent(transaction.locked(), transaction.notifications);
  transaction.leave();
  return true;
}

// The runs inside one that is restored, in the order in which they are made: parents first.
class Run::RestoredInside final : public ChildMaker {
 public:
  explicit RestoredInside(Run& top) noexcept : top_(top) {}

  RunState& make(RunState& parent, const StepDefinition& step, uint64_t invocation_id, uint32_t attempt,
                 Workflow& workflow) override {
    Run& around = parent.kin && parent.kin->run != nullptr ? *parent.kin->run : top_;
    made.push_back({around.make_inside(step, attempt, workflow), invocation_id});
    return made.back().run->locked_state_.unshared();
  }

  std::vector<MadeInside> made;

 private:
  Run& top_;
};

Ref<Error> Run::restore(const SnapshotDocument& snapshot, const Resuming& how, LiveMaker& maker,
                        std::vector<MadeInside>& inside) {
  RestoredInside children(*this);
  Ref<Error> error = restore_run(snapshot, state().workflow, how.allow_changed_workflow,
                                 locked_state_.unshared(), &maker, &children);
  inside = std::move(children.made);
  return error;
}

// The id of this run is known, and with it those of the runs inside; nobody else knows the run. Where it fails, this run is
// good for nothing but its destructor.
Ref<Error> Run::settle_inside(std::vector<MadeInside> inside) noexcept {
  Ref<Error> failure;
  try {
    for (MadeInside& made : inside) {
      RunState& inner = made.run->locked_state_.unshared();
      if (inner.permitted.has_pools()) failure = made.run->take_seats();
      if (failure) break;
      settle_one(made);
    }
  } catch (const std::bad_alloc&) {
    failure = Error::out_of_memory();
  }
  if (failure) leave_inside();
  return failure;
}

// The tree has it from now on. Throws std::bad_alloc.
void Run::settle_one(MadeInside& made) {
  Run& child = *made.run;
  Run& parent = *child.kinship()->parent;
  RunState& inner = child.locked_state_.unshared();
  const Kin& place = *inner.kin;
  parent.name_inside(child, place.host->id);
  if (inner.kin->step->is_round) inner.kin->used_ms = Round::of(place.host->event->correlation()).used_ms;
  child.kinship()->told = place.status;
  child.life_.ended.store(has_ended(inner));
  Guard guard(lock());
  join_tree(guard, std::move(made.run), *place.host);
  child.note_in_tree(guard);
}

// What has joined the tree of a run that comes to nothing.
void Run::leave_inside() noexcept {
  if (kinship() == nullptr) return;
  Run* first = nullptr;
  {
    Guard guard(lock());
    first = family()->runs.list();
    for (Run* each = first; each != nullptr; each = each->kinship()->next_below) each->leave_tree(guard);
  }
  while (first != nullptr) {
    Run* const next = first->kinship()->next_below;
    Ref<Run>::adopt(first).reset();
    first = next;
  }
}

// The whole tree goes on, with its top.
void Run::start_below(Locked locked, const Tick& top_start, Notifications& notifications) noexcept {
  Run* const first = list_below(locked);
  for (Run* child = first; child != nullptr; child = child->kinship()->next_below) {
    if (child->kinship()->parent == nullptr) continue;
    Tick start{Tick::Kind::resume};
    start.now_ms = top_start.now_ms;
    start.date_ms = top_start.date_ms;
    start.ends_pause = top_start.ends_pause;
    start.time_has_passed = top_start.time_has_passed;
    LeftOverPointer left = take_left_over(locked);
    Commands none;
    Commands& commands = left ? left->commands : none;
    child->life_.started = true;
    child->tick(locked, start, commands, notifications);
    if (!blazen::has_ended(child->state())) {
      commands.asked = !child->state().questions.empty();
      commands.more = true;
      child->release_effects(locked, commands, notifications);
      child->rearm(locked, notifications);
    }
    if (left) give_left_over(locked, std::move(left), notifications);
  }
  // Those that had ended, and whose parents did not know.
  for (Run* child = first; child != nullptr; child = child->kinship()->next_below) {
    if (child->kinship()->parent != nullptr && blazen::has_ended(child->state()))
      child->tell_parent(locked, notifications);
  }
}

Result<Ref<Run>> Run::find_child(std::string_view run_id) {
  RunId id;
  if (!parse_uuid(run_id, id))
    return Error::make(
        Status::invalid_argument,
        "child_run_id is no UUID of 36 characters, such as 123e4567-e89b-82d3-a456-426614174000");
  Guard guard(lock());
  Kinship::Family* const family = this->family();
  Run* const known = family == nullptr ? nullptr : family->runs.find(id);
  if (known == nullptr)
    return Error::make(Status::not_found, "child_run_id: no run " + in_quotes(run_id) +
                                              " is inside this one: it has ended, or never was");
  return Ref<Run>::share(known);
}

}  // namespace blazen
