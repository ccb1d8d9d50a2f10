#include "simulation/joins_run.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "simulation/fields.hpp"
#include "simulation/random.hpp"
#include "simulation/tally.hpp"
#include "support/control.hpp"
#include "support/streams.hpp"

namespace sim::joins {
namespace {

using namespace bt;  // NOLINT(google-build-using-namespace)

// What the outside is going to do.
struct Action {
  enum class What { end, cancel } what = What::end;
  size_t at = 0;  // the node; of an invocation of a join, nothing
  int64_t due_ms = 0;
  uint64_t invocation = 0;
  bool retries = false;
};

// What the host knows beside the run: it outlives each of its processes.
struct World {
  const Tree& tree;
  int64_t now_ms = 0;                    // without pauses
  uint64_t progress = 0;                 // bodies begun, and what the outside did
  std::map<uint64_t, size_t> node_of{};  // by the invocation
  std::map<size_t, uint64_t> scope_of{};
  std::map<size_t, int64_t> waits_since{};
  std::map<size_t, Invocation> held{};  // in this process
  std::set<size_t> ended{};             // the outside has ended what it waited for
  std::set<uint64_t> closed{};          // scopes of which nothing is taken any more
  std::set<std::pair<size_t, uint64_t>> planned{};
  std::vector<Action> actions{};
  bool is_in_steps = false;  // the body that runs last sends
  std::string problem{};

  const Node& node(size_t at) const { return tree.nodes[at]; }
  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
  // Once for each node or invocation.
  void plan(const Action& action) {
    if (planned.insert({action.at, action.invocation}).second) actions.push_back(action);
  }
};

std::string done_type(size_t scope) { return scope == 0 ? "Done0" : "Done1"; }
size_t node_in(const Ctx& ctx) { return std::stoul(input_of(ctx.trigger())); }

// ---- what bodies do ----

void begin(World& world, Ctx& ctx, size_t at) {
  ++world.progress;
  world.node_of[ctx.id()] = at;
  world.is_in_steps = world.node(at).opens() || world.node(at).kind == Kind::piece;
}

std::string type_for(const Node& node) {
  switch (node.kind) {
    case Kind::opener: return node.scope == 0 ? "Open1" : "Open0";
    case Kind::question: return BLAZEN_INPUT_REQUEST_EVENT;
    case Kind::piece: return "Piece";
    case Kind::direct: return done_type(node.scope);
    default: return node.is_far ? "Far" : node.kind == Kind::holds ? "Hold" : "Leaf";
  }
}

Event event_for(const World& world, size_t at) {
  const Node& node = world.node(at);
  std::string value = std::to_string(at);
  if (node.kind == Kind::question) value = R"({"request_id":"e)" + value + "\"}";
  return event(type_for(node), json(value), node.kind == Kind::question ? "" : node.correlation);
}

void give_child(World& world, Ctx& ctx, size_t at, bool sends) {
  const Node& node = world.node(at);
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = node.delay_ms;
  const auto send = sends ? blazen_context_send_event : blazen_context_emit_event;
  const blazen_status status = send(ctx.raw, event_for(world, at), &later, nullptr);
  if (status != BLAZEN_OK) world.fail("a child cannot be sent: " + std::string(blazen_status_name(status)));
  if (after_each_call != nullptr) (*after_each_call)();
  if (node.kind == Kind::question)
    world.plan({Action::What::end, at, world.now_ms + node.delay_ms + node.after_ms});
}

void give_rest(World& world, Ctx& ctx, const Node& node) {
  for (size_t i = 1; i < node.children.size(); ++i) give_child(world, ctx, node.children[i], false);
}

void give_answer(World& world, Ctx& ctx, size_t at, const std::string& text) {
  const Node& node = world.node(at);
  ctx.emit(event(done_type(node.scope), json(text), node.correlation));
}

void give_answers(World& world, Ctx& ctx, size_t at) {
  for (int i = 0; i < world.node(at).answers; ++i) give_answer(world, ctx, at, std::to_string(at));
}

// Whether the attempt fails before it does anything else, and how.
std::optional<blazen_status> fails_first(World& world, Ctx& ctx, size_t at) {
  const Node& node = world.node(at);
  if (node.fails_once && ctx.attempt() == 1) {
    if (node.back_off != End::done) {
      world.plan({Action::What::cancel, at, world.now_ms + kCancelBackOff_ms, ctx.id(),
                  node.back_off == End::cancelled_once});
    }
    return ctx.fail(1, "once more");
  }
  if (node.fails) return ctx.fail(2, "for good");
  return std::nullopt;
}

// Whether it is deferred now: it was not ended yet.
bool holds(World& world, Ctx& ctx, size_t at) {
  const Node& node = world.node(at);
  if (!node.is_held() || world.ended.contains(at)) return false;
  const auto [since, is_first] = world.waits_since.try_emplace(at, world.now_ms);
  if (!is_first) --world.progress;  // it only waits again
  world.plan({Action::What::end, at, since->second + node.after_ms, 0});
  world.held[at] = ctx.defer();
  count("deferred in a scope");
  return true;
}

blazen_status run_opener(World& world, Ctx& ctx) {
  const size_t at = node_in(ctx);
  const Node& node = world.node(at);
  begin(world, ctx, at);
  if (!node.children.empty()) give_child(world, ctx, node.children[0], true);
  if (const auto failed = fails_first(world, ctx, at)) return *failed;
  if (holds(world, ctx, at)) return BLAZEN_PENDING;
  give_rest(world, ctx, node);
  return ctx.failed;
}

blazen_status run_asking(World& world, Ctx& ctx, size_t at) {
  const Node& node = world.node(at);
  const bool is_by_default = node.end == End::by_default;
  const std::string answer =
      ctx.ask("?", "q" + std::to_string(at), is_by_default ? node.after_ms : 0, "\"by default\"");
  const int64_t since_ms = world.waits_since.try_emplace(at, world.now_ms).first->second;
  if (ctx.failed == BLAZEN_ERROR_CANCELLED) {
    count("questions of a body withdrawn in a scope");
    ctx.failed = BLAZEN_OK;
    give_answer(world, ctx, at, "\"w" + std::to_string(at) + "\"");
    return ctx.failed;
  }
  if (!answer.empty()) {
    if (answer != (is_by_default ? "\"by default\"" : "\"by hand\"")) world.fail("another answer: " + answer);
    if (!is_by_default) return give_answers(world, ctx, at), ctx.failed;
    count("answers by default in a scope");
    if (!node.is_far && world.now_ms != since_ms + node.after_ms)
      world.fail("a default answer is not in time");
    give_answer(world, ctx, at, "\"d" + std::to_string(at) + "\"");
    return ctx.failed;
  }
  if (!is_by_default) world.plan({Action::What::end, at, since_ms + node.after_ms, 0});
  return BLAZEN_PENDING;
}

blazen_status run_leaf(World& world, Ctx& ctx) {
  const size_t at = node_in(ctx);
  begin(world, ctx, at);
  world.scope_of[at] = blazen_context_scope_id(ctx.raw);
  if (const auto failed = fails_first(world, ctx, at)) return *failed;
  const Node& node = world.node(at);
  const bool was_cancelled = world.ended.contains(at) && node.end >= End::cancelled;
  if (node.kind == Kind::asks && !was_cancelled) return run_asking(world, ctx, at);
  if (holds(world, ctx, at)) return BLAZEN_PENDING;
  give_answers(world, ctx, at);
  return ctx.failed;
}

blazen_status run_collector(World& world, Ctx& ctx) {
  const size_t at = node_in(ctx);
  begin(world, ctx, at);
  const blazen_status status = ctx.collect(world.node(at).correlation, {{"Piece", world.tree.pieces}});
  if (world.tree.collector_fails && ctx.attempt() == 1) return ctx.fail(1, "once more");
  if (status == BLAZEN_PENDING) return at % 2 == 0 ? BLAZEN_OK : BLAZEN_PENDING;
  count("groups collected in a scope");
  const blazen_event* const* all = nullptr;
  size_t count = 0;
  MUST(blazen_context_events(ctx.raw, &all, &count, e));
  std::set<size_t> seen;
  for (size_t i = 0; i < count; ++i) {
    const size_t piece = std::stoul(input_of(all[i]));
    seen.insert(piece);
    if (world.node(piece).correlation != world.node(at).correlation) world.fail("a piece of another key");
  }
  if (seen.size() != world.tree.pieces) world.fail("a group is not whole");
  give_answer(world, ctx, at, "\"c\"");
  return ctx.failed;
}

void run_answered(World& world, Ctx& ctx) {
  const std::string id = Json::parse(ctx.input()).at("request_id");
  const size_t at = std::stoul(id.substr(1));
  ++world.progress;
  give_answers(world, ctx, at);
}

// Joins of one kind give to those of the other: theirs are around them. The first scope is the root's.
std::string type_around(const Ctx& ctx, size_t kind) {
  return blazen_context_scope_id(ctx.raw) == 1 ? "Root" : done_type(1 - kind);
}

std::string texts_of(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
  return "[" + all + "]";
}

std::vector<std::string> arrived(Ctx& ctx, bool has_order) {
  const blazen_event* const* all = nullptr;
  size_t count = 0;
  MUST(blazen_context_events(ctx.raw, &all, &count, e));
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.push_back(input_of(all[i]));
  if (!has_order) std::stable_sort(texts.begin(), texts.end());
  return texts;
}

blazen_status run_join(World& world, Ctx& ctx, size_t kind) {
  const How& how = world.tree.how[kind];
  const blazen_join_info info = ctx.joined();
  ++world.progress;
  world.is_in_steps = false;
  if (!how.joins.by_event || info.reason != BLAZEN_JOIN_REASON_CONDITION) world.closed.insert(info.scope_id);
  if (how.fails_once && ctx.attempt() == 1) {
    if (how.back_off != End::done) {
      world.plan({Action::What::cancel, 0, world.now_ms + kCancelBackOff_ms, ctx.id(),
                  how.back_off == End::cancelled_once});
    }
    return ctx.fail(1, "once more");
  }
  static const char* const kReasons[] = {"none", "complete", "condition", "short", "a deadline"};
  count(std::string("joins invoked by: ") + kReasons[info.reason]);
  std::string text = "[" + std::to_string(info.reason) + "," + std::to_string(info.arrived);
  if (info.reason != BLAZEN_JOIN_REASON_CONDITION)
    text += "," + texts_of(arrived(ctx, world.tree.has_order(kind)));
  return ctx.emit(type_around(ctx, kind), text + "]");
}

void mend(World& world, Ctx& ctx) {
  const Json failed = Json::parse(ctx.input());
  const std::string step = failed.at("step");
  ++world.progress;
  if (step == "join0" || step == "join1") {
    const bool is_late = failed.at("status") == "BLAZEN_ERROR_STEP_TIMEOUT";
    count(is_late ? "joins failed by a deadline" : "cancelled joins");
    ctx.emit(type_around(ctx, step == "join0" ? 0 : 1), "\"!\"");
    return;
  }
  const size_t at = world.node_of.at(failed.at("invocation_id"));
  const Node& node = world.node(at);
  // That of an opener belongs to the scope that it opens.
  const size_t scope = node.opens() ? 1 - node.scope : node.scope;
  ctx.emit(event(done_type(scope), json("\"-" + std::to_string(at) + "\""), node.correlation));
}

// ---- the workflow ----

Workflow build(World& world, bool is_far) {
  const Tree& tree = world.tree;
  static const int64_t kCodes[] = {1, 2};
  blazen_retry_options retry = retries(3, kBackOff_ms);
  retry.only = tree.retries_only ? kCodes : nullptr;
  retry.only_count = tree.retries_only ? 1 : 0;
  retry.never = kCodes + 1;
  retry.never_count = 1;
  Spec spec("tree");
  spec.idle = BLAZEN_IDLE_WAIT;
  const auto add = [&](const std::string& name, std::vector<std::string> accepts, Body body,
                       bool is_only_far = false, uint32_t concurrency_max = 0) {
    const bool is_only_near = std::find(tree.near.begin(), tree.near.end(), name) != tree.near.end();
    if (tree.travels && (is_far ? is_only_near && !is_only_far : is_only_far)) {
      spec.elsewhere(name, std::move(accepts), concurrency_max);
    } else {
      spec.step(name, std::move(accepts), std::move(body), concurrency_max);
    }
    spec.retry(retry);
  };
  const auto calls = [&world](auto body) { return [&world, body](Ctx& ctx) { return body(world, ctx); }; };
  spec.start([](Ctx& ctx) { ctx.emit("Open0", "0"); });
  spec.step("root", {"Root"}, [](Ctx& ctx) { ctx.set("root", texts_of(arrived(ctx, false))); })
      .joins({"start"});
  spec.step("finish", {"Finish"}, [](Ctx& ctx) { ctx.stop(ctx.get("root")); });
  for (const size_t kind : {0, 1}) {
    const How& how = tree.how[kind];
    add(how.joins.of, {kind == 0 ? "Open0" : "Open1"}, calls(run_opener), how.opener_is_far);
    add(
        kind == 0 ? "join0" : "join1", {done_type(kind)},
        [&world, kind](Ctx& ctx) { return run_join(world, ctx, kind); }, how.join_is_far);
    spec.joins(how.joins);
    spec.retry(retries(3, kBackOff_ms));
  }
  add("leaf", {"Leaf"}, calls(run_leaf), false, 3);
  add("hold", {"Hold"}, calls(run_leaf));
  add("far", {"Far"}, calls(run_leaf), true);
  add("take", {"Piece"}, calls(run_collector), false, 2);
  add("answer", {BLAZEN_INPUT_RESPONSE_EVENT}, calls(run_answered));
  add("mend", {BLAZEN_STEP_FAILED_EVENT}, calls(mend));
  return spec.build();
}

// ---- the host ----

class Host {
 public:
  Host(const Tree& tree, uint64_t seed, bool cuts, std::string* trace)
      : tree_(tree),
        trace_(trace),
        rng_(mix(seed, 12)),
        cuts_(cuts),
        counts_late_(rng_.percent(40)),
        looks_(rng_.percent(25)),
        world_{tree},
        engine_(Way::pump, &clock_) {
    workflows_[0] = build(world_, false);
    if (tree.travels) workflows_[1] = build(world_, true);
  }
  ~Host() { world_.held.clear(); }
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
    const bool may_cut_inside = cuts_ && !is_late_ && rng_.percent(4);
    is_late_ = false;
    if (!may_cut_inside) {
      MUST(blazen_runtime_poll(engine_.runtime(), 1, &steps, e));
      return steps;
    }
    // A snapshot after a call of a body: what the body does after that does not count.
    hear();
    std::string bytes;
    int calls = rng_.below(3);
    const std::function<void()> cut = [&] {
      if (calls-- == 0 && !(counts_late_ && world_.is_in_steps)) bytes = snapshot_bytes(run_);
    };
    after_each_call = &cut;
    MUST(blazen_runtime_poll(engine_.runtime(), 1, &steps, e));
    after_each_call = nullptr;
    if (bytes.empty()) return steps;
    count("cut inside a body");
    say("cut inside a body");
    stream_ = Stream();
    leave(process_);
    go_on(bytes, 0, false, false);
    return steps;
  }

  // Whatever is the next thing that something is due.
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
    is_late_ = true;
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
    is_late_ = true;
  }

  void cut(int process) {
    const std::string bytes = snapshot_bytes(run_);
    leave(process);
    go_on(bytes, rng_.percent(40) ? rng_.from_to(1, 50) : 0, false, false);
  }

  void interrupt() {
    if (rng_.percent(60)) return cut(process_);
    MUST(blazen_run_pause(run_, BLAZEN_PAUSE_NOW, e));
    count("pauses in a scope");
    say("paused");
    for (int i = rng_.below(3); i >= 0; --i) {
      clock_.now_ms += rng_.from_to(1, 60);  // not for the run
      uint64_t steps = 0;
      MUST(blazen_runtime_poll(engine_.runtime(), 0, &steps, e));
      if (steps != 0) world_.fail("a body runs in a pause");
      (void)act();
    }
    if (blazen_run_state_now(run_) != BLAZEN_RUN_PAUSED) return world_.fail("it is not paused");
    if (rng_.percent(50)) {
      say("goes on in place");
      MUST(blazen_run_resume_in_place(run_, e));
      is_late_ = true;
      return;
    }
    count("resumed from a pause in a scope");
    const std::string bytes = snapshot_bytes(run_);
    const bool stays_paused = rng_.percent(50);
    leave(process_);
    go_on(bytes, rng_.percent(50) ? rng_.from_to(1, 50) : 0, false, stays_paused);
    if (stays_paused) MUST(blazen_run_resume_in_place(run_, e));
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
      } else {
        cancel(action.invocation, action.retries);
        count("cancelled while they back off in a scope");
      }
    }
    return acts;
  }

  void expect(blazen_status status, const char* what) {
    if (status == BLAZEN_OK || (status == BLAZEN_ERROR_NOT_FOUND && tree_.cancels())) return;
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
      if (node.is_held()) complete_in_vain(at);
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
    if (world_.node(at).opens()) {
      give_rest(world_, ctx, world_.node(at));
    } else {
      give_answers(world_, ctx, at);
    }
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

  // Nothing is left of any scope.
  void finish(Outcome& outcome) {
    const Json all = describe_run(run_);
    const Json& counters = all.at("counters");
    if (counters.at("scopes") != 0 || counters.at("queued") != 0 || counters.at("in_flight") != 0 ||
        all.contains("collects"))
      return world_.fail("something is left: " + all.dump());
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
  std::string* const trace_;
  Rng rng_;
  const bool cuts_;
  const bool counts_late_;
  const bool looks_;
  FakeClock clock_;
  World world_;
  Engine engine_;
  Workflow workflows_[2];
  RunHandle run_;
  Stream stream_;
  int process_ = 0;
  size_t late_ = 0;
  int turns_ = 0;
  bool is_idle_ = false;
  bool is_late_ = false;  // what time has brought is not seen yet
  int64_t visited_ms_ = -1;
  uint64_t visited_progress_ = 0;
};

}  // namespace

Outcome run(const Tree& tree, uint64_t seed, bool cuts, std::string* trace) {
  return Host(tree, seed, cuts, trace).drive();
}

}  // namespace sim::joins
