// Random trees of scopes, whose joins must get what a model says that shares nothing with the engine: it counts the tree,
// and knows of no event, scope or tick. Children answer not at all, once or thrice, late, after retries, after a question,
// or fail and are handled; openers stand within openers; a run is cut and goes on from its snapshot at any moment.
#include <algorithm>
#include <cstdlib>

#include "simulation/random.hpp"
#include "support/blazen_test.hpp"
#include "support/control.hpp"

namespace {

using namespace bt;  // NOLINT(google-build-using-namespace)
using sim::mix;
using sim::Rng;

struct Node {
  bool opens = false;            // else it is a leaf
  std::vector<size_t> children;  // in the order in which they are sent
  int answers = 1;
  uint32_t failures = 0;  // attempts that fail and are tried again
  bool fails = false;     // for good
  bool asks = false;
  int64_t delay_ms = 0;
  std::string correlation;
};

struct Tree {
  std::vector<Node> nodes{1};
  Joins how;
};

void grow(Rng& rng, Tree& tree, size_t at, int depth) {
  const int count = rng.below(depth == 0 ? 5 : 4);
  for (int i = 0; i < count; ++i) {
    const size_t child = tree.nodes.size();
    tree.nodes[at].children.push_back(child);
    Node node;
    node.opens = depth < 4 && rng.percent(40);
    node.answers = rng.percent(70) ? 1 : rng.below(4);
    node.failures = rng.percent(15) ? 1 : 0;
    node.fails = !node.opens && rng.percent(10);
    node.asks = !node.opens && rng.percent(10);
    node.delay_ms = rng.percent(25) ? rng.from_to(1, 30) : 0;
    node.correlation = rng.percent(50) ? std::string(1, static_cast<char>('a' + rng.below(2))) : "";
    tree.nodes.push_back(std::move(node));
    if (tree.nodes[child].opens) grow(rng, tree, child, depth + 1);
  }
}

Joins any_join(Rng& rng) {
  Joins how{"open"};
  how.mode = rng.below(3);
  how.n = how.mode == BLAZEN_JOIN_FIRST_N ? static_cast<uint32_t>(rng.from_to(1, 3)) : 0;
  how.by_event = rng.percent(25);
  how.cancel_rest = how.mode != BLAZEN_JOIN_ALL && !how.by_event && rng.percent(50);
  how.ordered = rng.percent(50);
  how.skip_empty = rng.percent(25);
  if (rng.percent(20)) how.deadline_ms = 1'000'000;  // never reached, and always kept
  return how;
}

Tree make_tree(uint64_t seed) {
  Rng rng(mix(seed, 11));
  Tree tree;
  tree.how = any_join(rng);
  tree.nodes[0].opens = true;
  grow(rng, tree, 0, 0);
  return tree;
}

// ---- the model ----

// The groups of one scope come in the order of their first arrivals, which only time tells.
bool is_ordered(const Joins& how) { return how.ordered && !how.by_event; }

// What comes to the join around a node, in order: the correlation and the text of each.
using Arrivals = std::vector<std::pair<std::string, std::string>>;

std::string text_of(Arrivals arrivals, bool keeps_order) {
  if (!keeps_order)
    std::sort(arrivals.begin(), arrivals.end(), [](auto& a, auto& b) { return a.second < b.second; });
  std::string text;
  for (const auto& [correlation, value] : arrivals) text += (text.empty() ? "" : ",") + value;
  return "[" + text + "]";
}

Arrivals expected_of(const Tree& tree, size_t at);

// What a join makes of those of its scope: one or more events for the scope around.
Arrivals joined(const Joins& how, const Arrivals& arrived) {
  const size_t wanted = how.mode == BLAZEN_JOIN_ANY ? 1 : how.n;
  std::map<std::string, Arrivals> groups;
  for (const auto& each : arrived) groups[how.by_event ? each.first : ""].push_back(each);
  if (groups.empty() && !how.skip_empty) groups[""];
  Arrivals made;
  for (const auto& [correlation, group] : groups) {
    // Which ones are first, nobody knows; how many, and why, one does.
    if (wanted == 0)
      made.emplace_back("", text_of(group, is_ordered(how)));
    else
      made.emplace_back("", "[" + std::to_string(std::min(wanted, group.size())) + "," +
                                (group.size() >= wanted ? "2" : "3") + "]");
  }
  return made;
}

Arrivals expected_of(const Tree& tree, size_t at) {
  const Node& node = tree.nodes[at];
  Arrivals arrivals;
  if (node.opens) {
    for (const size_t child : node.children) {
      const Arrivals more = expected_of(tree, child);
      arrivals.insert(arrivals.end(), more.begin(), more.end());
    }
    return joined(tree.how, arrivals);
  }
  if (node.fails) return {{node.correlation, "-" + std::to_string(at)}};
  for (int i = 0; i < node.answers; ++i) arrivals.emplace_back(node.correlation, std::to_string(at));
  return arrivals;
}

// ---- the workflow ----

void emit_child(const Tree& tree, Ctx& ctx, size_t child, bool sends) {
  const Node& node = tree.nodes[child];
  const std::string type = node.opens ? "Open" : "Leaf";
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = node.delay_ms;
  const Event made = event(type, json(std::to_string(child)), node.correlation);
  const auto send = sends ? blazen_context_send_event : blazen_context_emit_event;
  (void)send(ctx.raw, made, &later, nullptr);  // its scope may be cancelled
}

// By the values alone: a join is told what it joins by what comes to it, and one that is empty by its scope.
std::string joined_text(Ctx& ctx, const Joins& how) {
  const blazen_join_info info = ctx.joined();
  if (how.mode != BLAZEN_JOIN_ALL)
    return "[" + std::to_string(info.arrived) + "," + std::to_string(info.reason) + "]";
  const blazen_event* const* all = nullptr;
  size_t count = 0;
  MUST(blazen_context_events(ctx.raw, &all, &count, e));
  Arrivals arrivals;
  for (size_t i = 0; i < count; ++i) arrivals.emplace_back("", input_of(all[i]));
  return text_of(arrivals, is_ordered(how));
}

Workflow build(const Tree& tree) {
  Spec spec("tree");
  spec.start([](Ctx& ctx) { ctx.emit("Open", "0"); });
  spec.step("root", {"Root"},
            [&tree](Ctx& ctx) {
              const blazen_event* const* all = nullptr;
              size_t count = 0;
              MUST(blazen_context_events(ctx.raw, &all, &count, e));
              Arrivals arrivals;
              for (size_t i = 0; i < count; ++i) arrivals.emplace_back("", input_of(all[i]));
              ctx.stop(text_of(arrivals, is_ordered(tree.how)));
            })
      .joins({.of = "start", .ordered = tree.how.ordered});
  spec.step("open", {"Open"},
            [&tree](Ctx& ctx) -> blazen_status {
              const Node& node = tree.nodes[std::stoul(ctx.input())];
              if (!node.children.empty()) emit_child(tree, ctx, node.children[0], true);
              if (ctx.attempt() <= node.failures) return ctx.fail(1, "once more");
              for (size_t i = 1; i < node.children.size(); ++i)
                emit_child(tree, ctx, node.children[i], false);
              return ctx.failed;
            })
      .retry(retries(3, 5));
  // The scope of the start is the first one.
  spec.step("join", {"Done"},
            [&tree](Ctx& ctx) {
              ctx.emit(blazen_context_scope_id(ctx.raw) == 1 ? "Root" : "Done", joined_text(ctx, tree.how));
            })
      .joins(tree.how);
  blazen_retry_options retry = retries(3, 5);
  static const int64_t kOnly[] = {1};
  retry.only = kOnly;
  retry.only_count = 1;
  spec.step(
          "leaf", {"Leaf"},
          [&tree](Ctx& ctx) -> blazen_status {
            const size_t at = std::stoul(ctx.input());
            const Node& node = tree.nodes[at];
            if (ctx.attempt() <= node.failures) return ctx.fail(1, "once more");
            if (node.fails) return ctx.fail(2, "n" + std::to_string(at));
            if (node.asks && ctx.ask("?", "q" + std::to_string(at)).empty()) return BLAZEN_PENDING;
            for (int i = 0; i < node.answers; ++i)
              ctx.emit(event("Done", json(std::to_string(at)), node.correlation));
            return ctx.failed;
          },
          3)
      .retry(retry);
  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, [&tree](Ctx& ctx) {
    const std::string message = Json::parse(ctx.input()).at("message");
    const size_t at = std::stoul(message.substr(message.rfind('n') + 1));
    ctx.emit(event("Done", json("-" + std::to_string(at)), tree.nodes[at].correlation));
  });
  return spec.build();
}

std::string say(const Tree& tree) {
  const Joins& how = tree.how;
  std::string text = "mode " + std::to_string(how.mode) + " n " + std::to_string(how.n) +
                     (how.cancel_rest ? " cancels" : "") + (how.ordered ? " ordered" : "") +
                     (how.by_event ? " by event" : "") + (how.skip_empty ? " skips" : "") + "\n";
  for (size_t at = 0; at < tree.nodes.size(); ++at) {
    const Node& node = tree.nodes[at];
    text +=
        std::to_string(at) + (node.opens ? " opens" : " answers " + std::to_string(node.answers)) +
        (node.failures != 0 ? " retried" : "") + (node.fails ? " fails" : "") + (node.asks ? " asks" : "") +
        (node.delay_ms != 0 ? " after " + std::to_string(node.delay_ms) : "") + " '" + node.correlation + "'";
    for (const size_t child : node.children) text += " " + std::to_string(child);
    text += "\n";
  }
  return text;
}

// ---- a run, a step at a time, cut where the seed says ----

std::string run(const Tree& tree, uint64_t seed, bool cuts) {
  Rng rng(mix(seed, 12));
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  const Workflow workflow = build(tree);
  RunHandle run = start(engine, workflow);
  for (int round = 0; round < 100'000 && !is_ended(blazen_run_state_now(run)); ++round) {
    uint64_t steps = 0;
    MUST(blazen_runtime_poll(engine.runtime(), 1, &steps, e));
    if (cuts && rng.percent(20)) {
      const std::string bytes = snapshot_bytes(run);
      if (is_ended(blazen_run_state_now(run))) break;
      MUST(blazen_run_abort(run, e));
      run = resume(engine, workflow, bytes);
      if (snapshot_bytes(run) != bytes) return "another snapshot";
      MUST(blazen_run_start(run, nullptr, e));
    }
    if (steps != 0) continue;
    if (const std::string ids = open_ids(run); !ids.empty()) {
      MUST(blazen_run_respond(run, ids.data(), std::min(ids.find(','), ids.size()), nullptr, e));
    } else {
      clock.now_ms += 1;
    }
  }
  return finish(engine, run).text();
}

TEST(SimulatedJoins, GetWhatTheModelSays) {
  const char* wanted = std::getenv("BLAZEN_JOIN_SEEDS");
  const uint64_t seeds = wanted == nullptr ? 2000 : std::strtoull(wanted, nullptr, 10);
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const Tree tree = make_tree(seed);
    const std::string expected = "5 json " + text_of(expected_of(tree, 0), is_ordered(tree.how));
    for (const bool cuts : {false, true})
      ASSERT_EQ(run(tree, seed, cuts), expected) << "seed " << seed << (cuts ? ", cut\n" : "\n") << say(tree);
  }
}

}  // namespace
