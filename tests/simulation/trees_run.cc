#include "simulation/trees_run.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "simulation/random.hpp"
#include "simulation/tally.hpp"
#include "support/control.hpp"

namespace sim::trees {

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// Of one run. What it does is a function of the tree and the seed.
class Host {
 public:
  Host(const Workflow* workflows, World& world, uint64_t seed, const Cuts& cuts, std::string* trace)
      : tree_(world.tree),
        workflows_(workflows),
        world_(world),
        trace_(trace),
        rng_(mix(seed, 78)),
        cuts_(cuts) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  Outcome drive() {
    open();
    run_ = create(*engine_, workflows_[0]);
    stream_ = subscribe(run_);
    MUST(blazen_run_start(run_, json("0"), e));
    while (world_.problem.empty() && !is_over()) turn();
    Outcome outcome;
    if (world_.problem.empty()) finish(outcome);
    outcome.problem = world_.problem;
    MUST(blazen_run_abort(run_, e));
    return outcome;
  }

 private:
  void say(const std::string& what) const {
    if (trace_ != nullptr) *trace_ += "  " + std::to_string(now_ms_) + ": " + what + "\n";
  }
  blazen_run_state state() const { return blazen_run_state_now(run_); }

  // ---- a turn ----

  bool is_over() {
    if (is_ended(state())) return true;
    if (++turns_ > 100'000) world_.fail("it does not end");
    return false;
  }

  void turn() {
    const uint64_t steps = poll();
    hear(UINT64_MAX);
    if (is_ended(state())) return;
    const bool answers = answer() || complete_one(steps == 0);
    if (is_ended(state())) return;
    const bool is_idle = steps == 0 && !answers;
    // Twice in a row only where something is to be done.
    if (!(is_idle && was_idle_) && rng_.percent(cuts_.percent)) {
      was_idle_ = is_idle;
      return interrupt();
    }
    was_idle_ = false;
    if (is_idle && world_.problem.empty()) advance();
  }

  // Of those that are deferred, in whatever order.
  bool complete_one(bool must) {
    if (world_.held.empty() || !(must || rng_.percent(30))) return false;
    const size_t at = static_cast<size_t>(rng_.below(static_cast<int>(world_.held.size())));
    const std::shared_ptr<Held> held = world_.held[at];
    world_.held.erase(world_.held.begin() + static_cast<ptrdiff_t>(at));
    say("completes body " + std::to_string(held->work.id));
    complete(world_, *held);
    count("deferred bodies of a tree");
    return true;
  }

  uint64_t poll() {
    uint64_t steps = 0;
    if (cuts_.percent == 0 || !rng_.percent(4)) {
      MUST(blazen_runtime_poll(engine_->runtime(), 1, &steps, e));
      return steps;
    }
    // A snapshot after a call of a body: what the body does after that does not count.
    std::string bytes;
    uint64_t published = 0;
    int calls = rng_.below(3);
    const std::function<void()> cut = [&] {
      if (calls-- != 0) return;
      const Snapshot taken = snapshot(run_);
      bytes = bytes_of(taken);
      published = Json::parse(info_of(taken)).at("stream_sequence");
    };
    const World before = world_;
    after_each_call = &cut;
    MUST(blazen_runtime_poll(engine_->runtime(), 1, &steps, e));
    after_each_call = nullptr;
    if (bytes.empty()) return steps;
    count("cut inside a body of a tree");
    say("cut inside a body");
    world_.failed = before.failed;
    world_.failures = before.failures;
    world_.done = before.done;
    world_.poked = before.poked;
    hear(published);
    leave();
    go_on(bytes, {});
    return 1;
  }

  // To the next moment at which something is due, or to one before it.
  void advance() {
    int64_t ahead_ms = engine_->next_timer();
    for (const auto& [prompt, due_ms] : due_) {
      if (ahead_ms < 0 || due_ms - now_ms_ < ahead_ms) ahead_ms = due_ms - now_ms_;
    }
    if (ahead_ms < 0) return world_.fail("nothing is due, and its state is " + std::to_string(state()));
    if (ahead_ms < 1 || rng_.percent(20)) ahead_ms = 1;
    if (cuts_.leaps && rng_.percent(30)) ahead_ms += rng_.from_to(1, 60);
    if (cuts_.percent != 0 && cuts_.is_dated && rng_.percent(10)) {
      count("time has passed between two processes of a tree");
      const std::string bytes = snapshot_bytes(run_);
      leave();
      return go_on(bytes, {.gap_ms = ahead_ms, .counts_gap = true});
    }
    clock_.now_ms += ahead_ms;
    now_ms_ += ahead_ms;
  }

  // ---- what it publishes ----

  // Up to that item: what is after it did not count.
  void hear(uint64_t until) {
    for (const Item& item : take(stream_)) {
      if (item.type == BLAZEN_STREAM_END || item.sequence > until) return;
      if (item.sequence != ++heard_)
        world_.fail("item " + std::to_string(item.sequence) + " is not number " + std::to_string(heard_));
      if (item.type == "Begun") ++begun_[std::stoul(item.value.substr(item.value.find(' ')))];
      if (item.type == BLAZEN_INPUT_REQUEST_EVENT) {
        const std::string prompt = Json::parse(item.value.substr(item.value.find('{'))).at("prompt");
        ++asked_[std::stoul(prompt)];
      }
      if (item.type == BLAZEN_LIFECYCLE) world_.fail("it has diverged: " + item.value);
    }
  }

  // ---- questions ----

  // Answers those whose time has come, through the top.
  bool answer() {
    if (!tree_.asks || process_ == 1) return false;
    bool answers = false;
    std::map<std::string, int64_t> due;
    for (const Json& question : questions_of(run_)) {
      const std::string prompt = question.at("prompt");
      const Work& work = tree_.works[std::stoul(prompt)];
      if (work.is_by_default) continue;
      const auto [at, is_new] = due.try_emplace(prompt, now_ms_ + work.after_ms);
      if (!is_new) continue;  // of another item: in the next turn
      if (const auto known = due_.find(prompt); known != due_.end()) at->second = known->second;
      if (at->second > now_ms_) continue;
      const std::string id = question.at("request_id");
      due.erase(at);
      say("answers " + prompt);
      if (respond(run_, id, answer_to(prompt)) != BLAZEN_OK) world_.fail("it cannot be answered: " + id);
      if (respond(run_, id, "1") == BLAZEN_OK) world_.fail("it is answered twice: " + id);
      count("questions of a tree answered");
      answers = true;
    }
    due_ = std::move(due);
    return answers;
  }

  // ---- interruptions ----

  // Between two processes.
  struct Gap {
    int64_t gap_ms = 0;
    bool counts_gap = false;
    bool stays_paused = false;
    bool forks = false;
  };

  void open() { engine_ = std::make_unique<Engine>(Way::pump, &clock_); }

  void leave() {
    hear(UINT64_MAX);
    MUST(blazen_run_abort(run_, e));
    world_.held.clear();
    stream_.reset();
  }

  void go_on(const std::string& bytes, const Gap& gap) {
    say("goes on in process " + std::to_string(process_) + " after " + std::to_string(gap.gap_ms) +
        (gap.counts_gap ? ", counted" : "") + (gap.stays_paused ? ", paused" : "") +
        (gap.forks ? ", forked" : ""));
    clock_.now_ms += gap.gap_ms;
    if (gap.counts_gap) now_ms_ += gap.gap_ms;
    RunHandle next;
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.time_has_passed = gap.counts_gap ? 1 : 0;
    options.keep_paused = gap.stays_paused ? 1 : 0;
    options.fork = gap.forks ? 1 : 0;
    std::unique_ptr<Engine> before = std::exchange(engine_, nullptr);
    open();
    MUST(blazen_run_resume(engine_->runtime(), workflows_[process_], parse(bytes), &options, next.out(), e));
    run_ = std::move(next);
    if (run_ == nullptr) return world_.fail("it does not go on");
    // Which runs inside could start something is another matter in another process.
    const bool is_same = gap.gap_ms == 0 && !gap.forks && process_ == written_by_;
    if (is_same && snapshot_bytes(run_) != bytes) world_.fail("another snapshot");
    written_by_ = process_;
    stream_ = subscribe(run_);
    MUST(blazen_run_start(run_, nullptr, e));
  }

  void cut(const Gap& gap) {
    std::string bytes = snapshot_bytes(run_);
    if (cuts_.is_broken && rng_.percent(30)) std::swap(bytes, old_);
    if (bytes.empty()) bytes = old_;
    leave();
    go_on(bytes, gap);
    count("cuts of a tree");
  }

  // Time passes, but not for the run.
  void stand_still() {
    for (int i = rng_.below(3); i >= 0; --i) {
      clock_.now_ms += rng_.from_to(1, 60);
      uint64_t steps = 0;
      MUST(blazen_runtime_poll(engine_->runtime(), 0, &steps, e));
      if (steps != 0) world_.fail("a body runs in a pause");
    }
    if (state() != BLAZEN_RUN_PAUSED) world_.fail("it is not paused");
  }

  int64_t gap() { return rng_.percent(40) ? rng_.from_to(1, 50) : 0; }

  void interrupt() {
    if (cuts_.is_broken) return cut({});
    const int chance = rng_.below(100);
    if (rng_.percent(25)) poke();
    if (is_ended(state())) return;
    if (chance < 20 && tree_.travels) return visit();
    if (chance < 60) return cut({.gap_ms = gap()});
    if (chance < 70) {
      count("forks of a tree");
      return cut({.gap_ms = gap(), .forks = true});
    }
    const bool drains = world_.held.empty() && rng_.percent(50);
    MUST(blazen_run_pause(run_, drains ? BLAZEN_PAUSE_DRAIN : BLAZEN_PAUSE_NOW, e));
    say("paused");
    stand_still();
    if (rng_.percent(50)) {
      count("pauses of a tree");
      say("goes on in place");
      MUST(blazen_run_resume_in_place(run_, e));
      return;
    }
    count("resumed from a pause of a tree");
    const bool stays_paused = rng_.percent(50);
    cut({.gap_ms = gap(), .stays_paused = stays_paused, .forks = rng_.percent(20)});
    if (!stays_paused || run_ == nullptr) return;
    stand_still();
    MUST(blazen_run_resume_in_place(run_, e));
  }

  // An event for one of the runs inside, through a handle of its own.
  void poke() {
    std::vector<std::string> ids;
    find_flows(describe_run(run_), ids);
    if (ids.empty()) return;
    const std::string& id = ids[static_cast<size_t>(rng_.below(static_cast<int>(ids.size())))];
    RunHandle child;
    MUST(blazen_run_child(run_, id.data(), id.size(), child.out(), e));
    MUST(blazen_run_send_event(child, event(kPoke), nullptr, e));
    ++pokes_;
    count("events for a run inside");
    say("pokes " + id);
  }
  void find_flows(const Json& description, std::vector<std::string>& ids) const {
    if (!description.contains("children")) return;
    for (const Json& child : description.at("children")) {
      const Json& run = child.at("run");
      const std::string name = run.at("workflow");
      if (takes_pokes(tree_.flows[std::stoul(name.substr(1))])) ids.push_back(run.at("run_id"));
      find_flows(run, ids);
    }
  }

  // In the other process, some steps are elsewhere: what they host is kept as it came.
  void visit() {
    process_ = 1;
    cut({});
    for (int i = rng_.below(6); i > 0 && !is_ended(state()) && world_.problem.empty(); --i) {
      MUST(blazen_runtime_poll(engine_->runtime(), 1, nullptr, e));
      hear(UINT64_MAX);
      if (rng_.percent(20)) cut({});  // no fork: what is kept has the id that it came with
    }
    if (state() == BLAZEN_RUN_ELSEWHERE) count("parked elsewhere in a tree");
    process_ = 0;
    if (is_ended(state())) return;
    count("visits to a process without some steps");
    cut({.gap_ms = gap()});
  }

  // ---- the end ----

  // By its words: of the failure of a branch, no cause is kept.
  static std::string innermost(const Error& error) {
    static constexpr std::pair<const char*, blazen_status> kWords[] = {
        {"as it has to", BLAZEN_ERROR_HOST},
        {"can make no progress", BLAZEN_ERROR_STALLED},
        {"the run timed out", BLAZEN_ERROR_RUN_TIMEOUT},
        {"timed out", BLAZEN_ERROR_STEP_TIMEOUT},
        {"rounds", BLAZEN_ERROR_LIMIT},
        {"said to have failed", BLAZEN_ERROR_STEP_FAILED},
    };
    for (const auto& [words, status] : kWords) {
      if (error.says(words)) return blazen_status_name(status);
    }
    return error.message();
  }

  void finish(Outcome& outcome) {
    hear(UINT64_MAX);
    const bt::Outcome end = bt::outcome(run_);
    if (end.status == BLAZEN_OK) {
      outcome.end = data_of(end.result);
    } else {
      outcome.end = innermost(end.error) + " " + std::to_string(end.error.host_code());
    }
    say(end.text());
    outcome.counts[static_cast<size_t>(What::begun)] = begun_;
    outcome.counts[static_cast<size_t>(What::asked)] = asked_;
    outcome.counts[static_cast<size_t>(What::done)] = world_.done;
    outcome.counts[static_cast<size_t>(What::failed)] = world_.failures;
    if (world_.poked > pokes_) world_.fail("an event from outside is taken twice");
    const Json info = Json::parse(info_of(snapshot(run_)));
    if (info.at("children") != 0 || info.at("questions") != 0 || questions_text(run_) != "[]")
      world_.fail("something is left: " + info.dump());
  }

  const Tree& tree_;
  const Workflow* const workflows_;  // of the two processes
  World& world_;
  std::string* const trace_;
  Rng rng_;
  const Cuts cuts_;
  FakeClock clock_;
  std::unique_ptr<Engine> engine_;
  RunHandle run_;
  Stream stream_;
  int process_ = 0;
  int written_by_ = 0;  // the process of the snapshot that it goes on from
  int64_t now_ms_ = 0;  // without pauses
  uint64_t heard_ = 0;
  int turns_ = 0;
  int pokes_ = 0;
  bool was_idle_ = false;
  std::map<size_t, int> begun_, asked_;
  std::map<std::string, int64_t> due_;  // the answer to an open question, by its prompt
  std::string old_;                     // a snapshot that is not the last one
};

}  // namespace

Runner::Runner(const Tree& tree) : tree_(tree) {
  workflows_[0] = build(tree, world_, false);
  if (tree.travels) workflows_[1] = build(tree, world_, true);
}

Outcome Runner::run(uint64_t seed, const Cuts& cuts, std::string* trace) {
  World world{tree_};
  world_ = &world;
  return Host(workflows_, world, seed, cuts, trace).drive();
}

}  // namespace sim::trees
