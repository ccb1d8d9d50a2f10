#include "simulation/joins_tree.hpp"

#include <utility>

#include "simulation/random.hpp"

namespace sim::joins {
namespace {

class Grower {
 public:
  explicit Grower(uint64_t seed) : rng_(mix(seed, 11)) {}

  Tree grow() {
    tree_.travels = rng_.percent(20);
    tree_.retries_only = rng_.percent(30);
    tree_.pieces = static_cast<uint32_t>(rng_.from_to(2, 3));
    tree_.collector_fails = rng_.percent(30);
    tree_.pieces_percent = rng_.percent(30) ? 45 : 0;
    for (size_t kind : {0, 1}) tree_.how[kind] = make_how(kind);
    if (tree_.travels) {
      for (const char* step :
           {"open0", "open1", "join0", "join1", "leaf", "hold", "take", "answer", "mend"}) {
        if (rng_.percent(20)) tree_.near.emplace_back(step);
      }
    }
    tree_.nodes.emplace_back();
    tree_.nodes[0].kind = Kind::opener;
    tree_.nodes[0].scope = 1;  // of neither: its joins' events go to the root
    open(0, 0);
    return std::move(tree_);
  }

 private:
  How make_how(size_t kind) {
    How how;
    how.joins = make_joins(kind);
    if (rng_.percent(15)) {
      how.second = make_joins(kind);
      how.second->by_event = false;
      for (bt::Joins* joins : {&how.joins, &*how.second}) joins->cancel_rest = false;
    }
    how.fails_once = rng_.percent(20);
    if (how.fails_once && rng_.percent(40)) how.back_off = either_cancelled();
    how.join_is_far = tree_.travels && rng_.percent(20);
    how.opener_is_far = tree_.travels && rng_.percent(20);
    return how;
  }

  bt::Joins make_joins(size_t kind) {
    bt::Joins joins;
    joins.of = "open" + std::to_string(kind);
    joins.mode = rng_.percent(45) ? BLAZEN_JOIN_ALL : rng_.from_to(1, 2);
    joins.n = joins.mode == BLAZEN_JOIN_FIRST_N ? static_cast<uint32_t>(rng_.from_to(1, 3)) : 0;
    joins.by_event = rng_.percent(20);
    if (rng_.percent(10)) joins.deadline_ms = kNeverReached_ms;  // and always kept
    if (rng_.percent(40)) {
      joins.deadline_ms = rng_.from_to(1, 60);
      if (rng_.percent(35)) joins.at_deadline = BLAZEN_JOIN_DEADLINE_FAIL;
    }
    const bool may_close_early = joins.mode != BLAZEN_JOIN_ALL || joins.deadline_ms != 0;
    joins.cancel_rest = may_close_early && !joins.by_event && rng_.percent(50);
    joins.ordered = rng_.percent(50);
    joins.skip_empty = rng_.percent(25);
    return joins;
  }

  End either_cancelled() { return rng_.percent(50) ? End::cancelled : End::cancelled_once; }

  // depth: of the scope that it opens.
  void open(size_t at, int depth) {
    const size_t kind = 1 - tree_.nodes[at].scope;
    const int count = rng_.below(depth == 0 ? 5 : 4);
    bool has_gate = false;
    bool has_shared = false;
    for (int i = 0; i < count; ++i) {
      const size_t child = add(kind, depth, false);
      limit_shared(child, has_shared);
      tree_.nodes[at].children.push_back(child);
      Node& node = tree_.nodes[child];
      // In an ordered scope, what comes from outside stands behind all that its opener gives.
      const bool may_gate = !tree_.has_order(kind) || (i > 0 && !has_gate);
      const bool waits = node.kind == Kind::asks || node.kind == Kind::holds;
      if (!waits || node.end == End::by_default || !may_gate || !rng_.percent(35)) continue;
      has_gate = true;
      for (int more = rng_.from_to(1, 2); more > 0; --more) {
        const size_t sent = add(kind, depth, true);
        limit_shared(sent, has_shared);
        tree_.nodes[child].outside.push_back(sent);
      }
    }
  }

  // For an ordered join around, all that comes of one scope is one: what comes of it at one moment has no order.
  void limit_shared(size_t at, bool& has_shared) {
    Node& node = tree_.nodes[at];
    if (!node.is_shared || !tree_.has_order(1 - node.scope)) return;
    node.is_shared = !has_shared && !tree_.how[node.scope].may_close_early();
    has_shared = has_shared || node.is_shared;
  }

  size_t add(size_t kind, int depth, bool from_outside) {
    const size_t at = tree_.nodes.size();
    Node node;
    node.scope = kind;
    node.kind = depth < 4 && rng_.percent(from_outside ? 25 : 40) ? Kind::opener : make_kind(kind);
    if (from_outside && node.kind == Kind::question) node.kind = Kind::leaf;  // only steps ask
    node.answers = node.kind == Kind::direct || rng_.percent(70) ? 1 : rng_.below(4);
    node.waits = node.opens() && rng_.percent(10);
    node.is_other =
        (node.kind == Kind::leaf || node.kind == Kind::direct) && tree_.how[kind].second && rng_.percent(50);
    node.is_shared =
        !node.is_other && (node.kind == Kind::leaf || node.kind == Kind::direct) && rng_.percent(10);
    node.calls_back = node.kind == Kind::asks && rng_.percent(30);
    if (node.has_body()) {
      node.fails_once = rng_.percent(15);
      node.fails = rng_.percent(7);
      if (node.fails_once && rng_.percent(40)) node.back_off = either_cancelled();
      node.is_far = tree_.travels && !node.opens() && rng_.percent(30);
      if (node.is_far && rng_.percent(30)) node.parked = either_cancelled();
    }
    node.end = make_end(node);
    node.after_ms = rng_.percent(40) ? rng_.from_to(1, 3) : rng_.from_to(1, 40);
    if (node.kind == Kind::asks && node.end != End::by_default && rng_.percent(20)) node.after_ms = 0;
    node.delay_ms = rng_.percent(25) ? rng_.from_to(1, 30) : 0;
    // At the moment of the deadline, where its opener sends it at once.
    if (node.kind == Kind::direct && tree_.how[kind].passes() && rng_.percent(50))
      node.delay_ms = tree_.how[kind].joins.deadline_ms;
    node.correlation = rng_.percent(node.kind == Kind::piece ? 25 : 50)
                           ? std::string(1, static_cast<char>('a' + rng_.below(2)))
                           : "";
    tree_.nodes.push_back(std::move(node));
    if (tree_.nodes[at].opens()) open(at, depth + 1);
    return at;
  }

  Kind make_kind(size_t scope) {
    const int chance = rng_.below(100);
    // Which of them makes a group whole, time tells.
    if (chance < tree_.pieces_percent && !tree_.has_order(scope)) return Kind::piece;
    if (chance < 50) return Kind::leaf;
    if (chance < 67) return Kind::asks;
    if (chance < 78) return Kind::holds;
    return chance < 89 ? Kind::question : Kind::direct;
  }

  End make_end(const Node& node) {
    const int chance = rng_.below(100);
    if (node.kind == Kind::question) return chance < 65 ? End::done : End::withdrawn;
    if (node.is_held()) return chance < 60 ? End::done : either_cancelled();
    if (node.kind != Kind::asks || chance < 35) return End::done;
    if (chance < 60) return End::by_default;
    return chance < 80 ? End::withdrawn : either_cancelled();
  }

  Rng rng_;
  Tree tree_;
};

const char* name_of(End end) {
  static const char* const kNames[] = {"done", "withdrawn", "by default", "cancelled", "cancelled once"};
  return kNames[static_cast<int>(end)];
}

std::string say(const bt::Joins& joins) {
  std::string text = "mode " + std::to_string(joins.mode) + " n " + std::to_string(joins.n);
  if (joins.deadline_ms != 0) {
    text += " within " + std::to_string(joins.deadline_ms) +
            (joins.at_deadline == BLAZEN_JOIN_DEADLINE_FAIL ? " or fails" : " or gives");
  }
  return text + (joins.cancel_rest ? ", cancels" : "") + (joins.ordered ? ", ordered" : "") +
         (joins.by_event ? ", by event" : "") + (joins.skip_empty ? ", skips" : "");
}

std::string say(const How& how) {
  std::string text = say(how.joins);
  if (how.second) text += "; and " + say(*how.second);
  text += std::string(how.join_is_far ? "; far" : "") + (how.opener_is_far ? "; of a far opener" : "");
  if (how.fails_once) text += std::string("; retried: ") + name_of(how.back_off);
  return text + "\n";
}

}  // namespace

Tree make_tree(uint64_t seed) { return Grower(seed).grow(); }

std::string say(const Tree& tree) {
  static const char* const kKinds[] = {"leaf", "asks", "holds", "question", "piece", "direct", "opener"};
  std::string text = "joins of 0: " + say(tree.how[0]) + "joins of 1: " + say(tree.how[1]);
  text += "groups of " + std::to_string(tree.pieces) + (tree.collector_fails ? ", retried" : "") +
          (tree.retries_only ? "; the cancelled are not retried" : "") + "; near:";
  for (const std::string& step : tree.near) text += " " + step;
  text += "\n";
  for (size_t at = 0; at < tree.nodes.size(); ++at) {
    const Node& node = tree.nodes[at];
    text += std::to_string(at) + " " + kKinds[static_cast<int>(node.kind)];
    if (node.opens()) text += std::to_string(1 - node.scope);
    if (node.answers != 1) text += ", answers " + std::to_string(node.answers);
    if (node.fails_once) text += std::string(", retried: ") + name_of(node.back_off);
    if (node.is_far) text += std::string(", far: ") + name_of(node.parked);
    if (node.fails) text += ", fails";
    if (node.is_other) text += ", other";
    if (node.is_shared) text += ", shared";
    if (node.calls_back) text += ", by callback";
    if (node.kind == Kind::asks || node.kind == Kind::question || node.is_held())
      text += std::string(", waits: ") + name_of(node.end) + " after " + std::to_string(node.after_ms);
    if (node.delay_ms != 0) text += ", delayed " + std::to_string(node.delay_ms);
    if (!node.correlation.empty()) text += ", '" + node.correlation + "'";
    for (const size_t child : node.children) text += " " + std::to_string(child);
    if (!node.outside.empty()) text += "; from outside:";
    for (const size_t child : node.outside) text += " " + std::to_string(child);
    text += "\n";
  }
  return text;
}

}  // namespace sim::joins
