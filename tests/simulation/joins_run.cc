#include "simulation/joins_run.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "simulation/fields.hpp"
#include "simulation/joins_world.hpp"
#include "simulation/random.hpp"
#include "simulation/tally.hpp"
#include "support/control.hpp"
#include "support/streams.hpp"

namespace sim::joins {

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Of one run. What it does is a function of the tree and the seed.
class Host {
 public:
  Host(Machine& machine, const Workflow* workflows, World& world, uint64_t seed, bool cuts,
       std::string* trace)
      : tree_(world.tree),
        clock_(machine.clock),
        engine_(machine.engine),
        workflows_(workflows),
        world_(world),
        trace_(trace),
        rng_(mix(seed, 12)),
        cuts_(cuts),
        counts_late_(rng_.percent(40)),
        looks_(rng_.percent(25)),
        leaps_(cuts && rng_.percent(5)) {
    world_.leaps = leaps_;
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  Outcome drive() {
    run_ = create(engine_, workflows_[0]);
    listen();
    MUST(blazen_run_start(run_, json("null"), e));
    while (world_.problem.empty() && !is_over()) turn();
    Outcome outcome;
    if (world_.problem.empty()) finish(outcome);
    outcome.problem = world_.problem;
    outcome.leapt = leaps_;
    MUST(blazen_run_abort(run_, e));
    return outcome;
  }

 private:
  void say(const std::string& what) const {
    if (trace_ != nullptr) *trace_ += "  " + std::to_string(world_.now_ms) + ": " + what + "\n";
  }

  // ---- a turn ----

  bool is_over() {
    const blazen_run_state state = blazen_run_state_now(run_);
    if (is_ended(state)) world_.fail("it has ended: " + bt::outcome(run_).text());
    if (++turns_ > 100'000) world_.fail("it does not end");
    return is_idle_ && state == BLAZEN_RUN_WAITING;
  }

  void turn() {
    is_idle_ = false;
    const uint64_t steps = poll();
    if (is_ended(blazen_run_state_now(run_))) return;
    if (cuts_ && rng_.percent(15)) return interrupt();
    const bool acts = act();
    if (looks_ && rng_.percent(10)) look_in_vain();
    if (steps != 0 || acts || !world_.problem.empty()) return;
    if (tree_.travels && travel()) return;
    is_idle_ = true;
    if (blazen_run_state_now(run_) != BLAZEN_RUN_WAITING) advance();
  }

  uint64_t poll() {
    uint64_t steps = 0;
    const bool may_cut_inside = cuts_ && !time_came_ && rng_.percent(4);
    time_came_ = false;
    if (!may_cut_inside) {
      MUST(blazen_runtime_poll(engine_.runtime(), 1, &steps, e));
      return steps;
    }
    // A snapshot after a call of a body: what the body does after that does not count.
    hear();
    std::string bytes;
    int calls = rng_.below(3);
    const std::function<void()> cut = [&] {
      if (calls-- == 0 && !(counts_late_ && world_.is_sending)) bytes = snapshot_bytes(run_);
    };
    const auto planned = world_.planned;
    const auto actions = world_.actions;
    after_each_call = &cut;
    MUST(blazen_runtime_poll(engine_.runtime(), 1, &steps, e));
    after_each_call = nullptr;
    if (bytes.empty()) return steps;
    count("cut inside a body");
    say("cut inside a body");
    world_.planned = planned;
    world_.actions = actions;
    stream_ = Stream();
    leave(process_);
    go_on(bytes, 0, false, false);
    return steps;
  }

  // To the next moment at which something is due, or to one before it.
  void advance() {
    int64_t ahead_ms = engine_.next_timer();
    for (const Action& action : world_.actions) {
      const int64_t left_ms = std::max<int64_t>(action.due_ms - world_.now_ms, 1);
      if (ahead_ms < 0 || left_ms < ahead_ms) ahead_ms = left_ms;
    }
    if (tree_.travels) {
      const int64_t left_ms = kVisits_ms - world_.now_ms % kVisits_ms;
      if (ahead_ms < 0 || left_ms < ahead_ms) ahead_ms = left_ms;
    }
    if (ahead_ms < 0)
      return world_.fail("nothing is due, and its state is " + std::to_string(blazen_run_state_now(run_)));
    if (ahead_ms < 1 || rng_.percent(20)) ahead_ms = 1;
    if (leaps_ && rng_.percent(30)) ahead_ms += rng_.from_to(1, 80);
    time_came_ = true;
    if (cuts_ && rng_.percent(15)) {
      count("time has passed between two processes");
      const std::string bytes = snapshot_bytes(run_);
      leave(process_);
      return go_on(bytes, ahead_ms, true, false);
    }
    clock_.now_ms += ahead_ms;
    world_.now_ms += ahead_ms;
  }

  // ---- late events ----

  void listen() {
    if (counts_late_) stream_ = subscribe_with(run_, {.types = {BLAZEN_LIFECYCLE}, .lifecycle = true});
  }
  void hear() {
    if (stream_ == nullptr) return;
    for (const Item& item : take(stream_)) {
      if (item.value.find(R"("kind":"late")") != std::string::npos) ++late_;
    }
  }

  // ---- interruptions ----

  void leave(int process) {
    hear();
    process_ = process;
    world_.held.clear();
    MUST(blazen_run_abort(run_, e));
  }

  // Of what was left. gap_ms: between the two processes.
  void go_on(const std::string& bytes, int64_t gap_ms, bool counts_gap, bool stays_paused) {
    say("goes on in process " + std::to_string(process_) + " after " + std::to_string(gap_ms) +
        (counts_gap ? ", counted" : "") + (stays_paused ? ", paused" : ""));
    clock_.now_ms += gap_ms;
    if (counts_gap) world_.now_ms += gap_ms;
    RunHandle next;
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = counts_gap ? 1 : 0;
    options.keep_paused = stays_paused ? 1 : 0;
    MUST(blazen_run_resume(engine_.runtime(), workflows_[process_], parse(bytes), &options, next.out(), e));
    run_ = std::move(next);
    if (gap_ms == 0 && snapshot_bytes(run_) != bytes) world_.fail("another snapshot");
    listen();
    MUST(blazen_run_start(run_, nullptr, e));
    time_came_ = true;
  }

  void cut(int process) {
    const std::string bytes = snapshot_bytes(run_);
    leave(process);
    go_on(bytes, rng_.percent(40) ? rng_.from_to(1, 50) : 0, false, false);
  }

  // Time passes, but not for the run.
  void stand_still() {
    for (int i = rng_.below(3); i >= 0; --i) {
      clock_.now_ms += rng_.from_to(1, 60);
      uint64_t steps = 0;
      MUST(blazen_runtime_poll(engine_.runtime(), 0, &steps, e));
      if (steps != 0) world_.fail("a body runs in a pause");
      (void)act();
    }
    if (blazen_run_state_now(run_) != BLAZEN_RUN_PAUSED) world_.fail("it is not paused");
  }

  void interrupt() {
    if (rng_.percent(60)) return cut(process_);
    MUST(blazen_run_pause(
        run_, world_.held.empty() && rng_.percent(50) ? BLAZEN_PAUSE_DRAIN : BLAZEN_PAUSE_NOW, e));
    count("pauses in a scope");
    say("paused");
    stand_still();
    if (rng_.percent(50)) {
      say("goes on in place");
      MUST(blazen_run_resume_in_place(run_, e));
      time_came_ = true;
      return;
    }
    count("resumed from a pause in a scope");
    const std::string bytes = snapshot_bytes(run_);
    const bool stays_paused = rng_.percent(50);
    leave(process_);
    go_on(bytes, rng_.percent(50) ? rng_.from_to(1, 50) : 0, false, stays_paused);
    if (!stays_paused) return;
    stand_still();
    MUST(blazen_run_resume_in_place(run_, e));
  }

  // ---- the other process ----

  // It is there at certain moments, as long as there is something to do, and is back before time passes.
  bool travel() {
    if (process_ == 1) {
      count("journeys from the other process");
      cut(0);
      return true;
    }
    Value list;
    MUST(blazen_run_elsewhere(run_, list.out(), e));
    if (data_of(list) == "[]") return false;
    if (world_.now_ms % kVisits_ms != 0) return cancel_parked();
    if (visited_ms_ == world_.now_ms && visited_progress_ == world_.progress) return false;
    count("journeys to the other process");
    cut(1);
    visited_ms_ = world_.now_ms;
    visited_progress_ = world_.progress;
    return true;
  }
  // Those that were never begun: nobody but a snapshot knows of them.
  bool cancel_parked() {
    const auto is_marked = [](const Node& node) { return node.parked != End::done; };
    if (std::none_of(tree_.nodes.begin(), tree_.nodes.end(), is_marked)) return false;
    const Json all = fields_of(snapshot_bytes(run_));
    bool found = false;
    for (const Json& queued : all.at(15)) {
      const Json& event = all.at(13).at(queued.at(2).get<size_t>());
      if (event.at(1) != "Far") continue;
      const size_t at = std::stoul(event.at(2).get<std::string>());
      const uint64_t id = queued.at(0);
      const Node& node = world_.node(at);
      if (node.parked == End::done || world_.node_of.contains(id)) continue;
      world_.node_of[id] = at;
      count("cancelled where they were parked");
      MUST(blazen_run_cancel_invocation(run_, id, node.parked == End::cancelled_once ? 1 : 0, e));
      found = true;
    }
    return found;
  }

  // ---- what the outside does ----

  // Whatever is due. What stands in a scope that was cancelled is not there any more.
  bool act() {
    bool acts = false;
    for (size_t i = 0; i < world_.actions.size();) {
      if (world_.actions[i].due_ms > world_.now_ms) {
        ++i;
        continue;
      }
      const Action action = world_.actions[i];
      world_.actions.erase(world_.actions.begin() + static_cast<ptrdiff_t>(i));
      acts = true;
      ++world_.progress;
      if (action.what == Action::What::end) {
        end(action.at);
      } else if (action.due_ms == world_.now_ms) {  // else it was begun again since
        cancel(action.invocation, action.retries);
        count("cancelled while they back off in a scope");
      }
    }
    return acts;
  }

  void expect(blazen_status status, const char* what) {
    if (status == BLAZEN_OK || (status == BLAZEN_ERROR_NOT_FOUND && (leaps_ || tree_.cancels()))) return;
    world_.fail(std::string(what) + ": " + blazen_status_name(status));
  }
  void cancel(uint64_t invocation, bool retries) {
    say("cancels invocation " + std::to_string(invocation));
    expect(blazen_run_cancel_invocation(run_, invocation, retries ? 1 : 0, nullptr),
           "it cannot be cancelled");
  }

  void end(size_t at) {
    say("ends the waiting of " + std::to_string(at));
    const Node& node = world_.node(at);
    const std::string id = (node.kind == Kind::question ? "e" : "q") + std::to_string(at);
    for (const size_t child : node.outside) send_into(world_.scope_of[at], child);
    world_.ended.insert(at);
    if (node.end >= End::cancelled) {
      count("cancelled while they wait in a scope");
      for (const auto& [invocation, its] : world_.node_of) {
        if (its != at) continue;
        cancel(invocation, node.end == End::cancelled_once);
        break;
      }
      if (node.is_held() || node.calls_back) complete_in_vain(at);
    } else if (node.is_held()) {
      complete(at);
    } else if (node.end == End::withdrawn) {
      if (node.kind == Kind::question) count("questions of an event withdrawn in a scope");
      expect(blazen_run_withdraw_question(run_, id.data(), id.size(), nullptr), "it cannot be withdrawn");
    } else {
      expect(respond(run_, id, "\"by hand\""), "it cannot be answered");
    }
  }

  // Where it is not in this process, its body is called again, and does it.
  void complete(size_t at) {
    Invocation held = std::move(world_.held[at]);
    if (held == nullptr) return;
    Ctx ctx(held);
    if (blazen_context_is_cancelled(ctx.raw) == 1) return;
    give_held(world_, ctx, at);
    MUST(blazen_invocation_complete(held, e));
  }
  // What it does after it was cancelled counts for nothing.
  void complete_in_vain(size_t at) {
    Invocation held = std::move(world_.held[at]);
    if (held == nullptr) return;
    Ctx ctx(held);
    (void)blazen_context_send_event(ctx.raw, event(done_type(0), "\"in vain\""), nullptr, nullptr);
    (void)blazen_context_emit_event(ctx.raw, event(done_type(1), "\"in vain\""), nullptr, nullptr);
    (void)blazen_invocation_complete(held, nullptr);
  }

  void send_into(uint64_t scope, size_t child) {
    const Node& node = world_.node(child);
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    options.scope = scope;
    options.delay_ms = node.delay_ms;
    const blazen_status status = blazen_run_send_event(run_, event_for(world_, child), &options, nullptr);
    const bool is_closed = world_.closed.contains(scope);
    const bool may_be_closed = tree_.how[node.scope].may_close_early() || tree_.cancels();
    count(status == BLAZEN_OK ? "sent from outside into a scope" : "refused by a scope that is over");
    if (status == BLAZEN_OK ? is_closed : status != BLAZEN_ERROR_NOT_FOUND || !may_be_closed)
      world_.fail("from outside into a scope: " + std::string(blazen_status_name(status)));
  }

  // What is refused changes nothing.
  void look_in_vain() {
    const bool compares = rng_.percent(10);
    const std::string before = compares ? snapshot_bytes(run_) : "";
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    const int kind = rng_.below(3);
    if (kind == 1) options.scope = 1'000'000;
    if (kind == 2 && !world_.closed.empty()) options.scope = *world_.closed.begin();
    const blazen_status status = blazen_run_send_event(
        run_, event(done_type(rng_.below(2) == 0 ? 0 : 1), "\"outside\""), &options, nullptr);
    if (status != BLAZEN_ERROR_NOT_FOUND)
      world_.fail("an event of no scope is taken: " + std::string(blazen_status_name(status)));
    if (compares && snapshot_bytes(run_) != before) world_.fail("what is refused has changed the run");
    count("refused from outside");
  }

  // ---- the end ----

  static bool has_anything(const Json& all) {
    const Json& counters = all.at("counters");
    return counters.at("scopes") != 0 || counters.at("queued") != 0 || counters.at("in_flight") != 0 ||
           all.contains("collects");
  }

  // Nothing is left of any scope.
  void finish(Outcome& outcome) {
    const Json all = rng_.percent(50) ? describe_run(run_) : Json();
    if (!all.is_null() && has_anything(all)) return world_.fail("something is left: " + all.dump());
    hear();
    if (counts_late_) outcome.late = late_;
    MUST(blazen_run_send_event(run_, event("Finish"), nullptr, e));
    while (!is_ended(blazen_run_state_now(run_))) {
      MUST(blazen_runtime_poll(engine_.runtime(), 0, nullptr, e));
    }
    const bt::Outcome end = bt::outcome(run_);
    outcome.root = end.status == BLAZEN_OK ? data_of(end.result) : end.text();
  }

  const Tree& tree_;
  FakeClock& clock_;
  Engine& engine_;
  const Workflow* const workflows_;  // of the two processes
  World& world_;
  std::string* const trace_;
  Rng rng_;
  const bool cuts_;
  const bool counts_late_;
  const bool looks_;
  const bool leaps_;
  RunHandle run_;
  Stream stream_;
  int process_ = 0;
  size_t late_ = 0;
  int turns_ = 0;
  bool is_idle_ = false;
  bool time_came_ = false;  // what time has brought is not seen yet
  int64_t visited_ms_ = -1;
  uint64_t visited_progress_ = 0;
};

}  // namespace

Runner::Runner(Machine& machine, const Tree& tree) : machine_(machine), tree_(tree) {
  workflows_[0] = build(tree, world_, false);
  if (tree.travels) workflows_[1] = build(tree, world_, true);
}

Outcome Runner::run(uint64_t seed, bool cuts, std::string* trace) {
  World world{tree_};
  world_ = &world;
  return Host(machine_, workflows_, world, seed, cuts, trace).drive();
}

}  // namespace sim::joins
