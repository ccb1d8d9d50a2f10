// The bodies of the steps of a tree: each does what its node says, and tells the host what it waits for.
#include <algorithm>
#include <optional>

#include "simulation/joins_world.hpp"
#include "simulation/tally.hpp"
#include "support/control.hpp"

namespace sim::joins {

using namespace bt;  // NOLINT(google-build-using-namespace)

std::string done_type(size_t scope) { return scope == 0 ? "Done0" : "Done1"; }

namespace {

size_t node_in(const Ctx& ctx) { return std::stoul(input_of(ctx.trigger())); }

void begin(World& world, Ctx& ctx, size_t at) {
  ++world.progress;
  world.node_of[ctx.id()] = at;
  world.is_sending = world.node(at).opens() || world.node(at).kind == Kind::piece;
}

// Joins of both kinds take what is shared, each of the innermost scope of its own.
std::string answer_type(const Node& node) {
  if (node.is_other) return node.scope == 0 ? "Other0" : "Other1";
  return node.is_shared ? "Shared" : done_type(node.scope);
}

std::string type_for(const Node& node) {
  switch (node.kind) {
    case Kind::opener: return node.scope == 0 ? "Open1" : "Open0";
    case Kind::question: return BLAZEN_INPUT_REQUEST_EVENT;
    case Kind::piece: return "Piece";
    case Kind::direct: return answer_type(node);
    default: return node.is_far ? "Far" : node.kind == Kind::holds || node.calls_back ? "Hold" : "Leaf";
  }
}

}  // namespace

Event event_for(const World& world, size_t at) {
  const Node& node = world.node(at);
  std::string value = std::to_string(at);
  if (node.kind == Kind::question) value = R"({"request_id":"e)" + value + "\"}";
  return event(type_for(node), json(value), node.kind == Kind::question ? "" : node.correlation);
}

namespace {

void give_child(World& world, Ctx& ctx, size_t at, bool sends) {
  const Node& node = world.node(at);
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = node.delay_ms;
  const auto send = sends ? blazen_context_send_event : blazen_context_emit_event;
  const blazen_status status = send(ctx.raw, event_for(world, at), &later, nullptr);
  // What it has sent may have closed the scope around, which has cancelled it.
  if (status != BLAZEN_OK && !ctx.cancelled())
    world.fail("a child cannot be sent: " + std::string(blazen_status_name(status)));
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
  const Node& node = world.node(at);
  for (int i = 0; i < node.answers; ++i)
    ctx.emit(event(answer_type(node), json(std::to_string(at)), node.correlation));
}

}  // namespace

void give_held(World& world, Ctx& ctx, size_t at) {
  if (!world.node(at).opens()) return give_answers(world, ctx, at);
  give_rest(world, ctx, world.node(at));
}

namespace {

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

// The answer has come; empty: the question was withdrawn.
blazen_status use_answer(World& world, Ctx& ctx, size_t at, const std::string& answer) {
  const Node& node = world.node(at);
  if (answer.empty()) {
    count("questions of a body withdrawn in a scope");
    give_answer(world, ctx, at, "\"w" + std::to_string(at) + "\"");
  } else if (answer == "\"by hand\"" && node.end != End::by_default) {
    give_answers(world, ctx, at);
  } else if (answer == "\"by default\"" && node.end == End::by_default) {
    count("answers by default in a scope");
    if (!node.is_far && !world.leaps && world.now_ms != world.waits_since[at] + node.after_ms)
      world.fail("a default answer is not in time");
    give_answer(world, ctx, at, "\"d" + std::to_string(at) + "\"");
  } else {
    world.fail("another answer: " + answer);
  }
  return ctx.failed;
}

struct Asked {
  World& world;
  size_t at;
};

// The body has returned, and is told now.
void hear_answer(void* self, blazen_context*, const char*, size_t, blazen_value* answer) {
  const Asked& asked = *static_cast<Asked*>(self);
  Invocation held = std::move(asked.world.held[asked.at]);
  if (held == nullptr) return asked.world.fail("an answer to nobody");
  count("answers by callback in a scope");
  Ctx ctx(held);
  (void)use_answer(asked.world, ctx, asked.at, answer == nullptr ? "" : data_of(answer));
  MUST(blazen_invocation_complete(held, e));
}

blazen_status run_asking(World& world, Ctx& ctx, size_t at) {
  const Node& node = world.node(at);
  const bool is_by_default = node.end == End::by_default;
  const std::string id = "q" + std::to_string(at);
  const Value default_answer = json("\"by default\"");
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = id.data();
  question.request_id_length = id.size();
  if (is_by_default) question.deadline_ms = node.after_ms;
  if (is_by_default) question.default_answer = default_answer;
  if (node.calls_back) {
    world.held[at] = ctx.defer();
    question.answered = hear_answer;
    question.user_data = new Asked{world, at};
    question.drop = [](void* self) { delete static_cast<Asked*>(self); };
  }
  Value answer;
  const blazen_status status = blazen_context_ask(ctx.raw, &question, answer.out(), nullptr);
  if (after_each_call != nullptr) (*after_each_call)();
  const auto [since, is_first] = world.waits_since.try_emplace(at, world.now_ms);
  if (status == BLAZEN_OK || status == BLAZEN_ERROR_CANCELLED) {
    const blazen_status used = use_answer(world, ctx, at, answer == nullptr ? "" : data_of(answer));
    if (!node.calls_back) return used;
    const Invocation held = std::move(world.held[at]);
    MUST(blazen_invocation_complete(held, e));
    return BLAZEN_PENDING;
  }
  if (status != BLAZEN_PENDING) world.fail("it cannot ask: " + std::string(blazen_status_name(status)));
  if (!is_by_default) world.plan({Action::What::end, at, since->second + node.after_ms, 0});
  if (node.calls_back && !is_first) --world.progress;  // it only waits again
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
  if (!has_order) std::sort(texts.begin(), texts.end());
  return texts;
}

blazen_status run_join(World& world, Ctx& ctx, size_t kind, bool is_second) {
  const How& how = world.tree.how[kind];
  const blazen_join_info info = ctx.joined();
  const size_t count_of_events = arrived(ctx, false).size();
  if (count_of_events != info.arrived || (info.arrived == 0) != (ctx.type() == BLAZEN_EMPTY_JOIN_EVENT))
    world.fail("a join is told of " + std::to_string(info.arrived) + " events, with " + ctx.type());
  ++world.progress;
  world.is_sending = false;
  if (!how.second && (!how.joins.by_event || info.reason != BLAZEN_JOIN_REASON_CONDITION))
    world.closed.insert(info.scope_id);
  if (how.fails_once && ctx.attempt() == 1) {
    if (how.back_off != End::done) {
      world.plan({Action::What::cancel, 0, world.now_ms + kCancelBackOff_ms, ctx.id(),
                  how.back_off == End::cancelled_once});
    }
    return ctx.fail(1, "once more");
  }
  static const char* const kReasons[] = {"none", "complete", "condition", "short", "a deadline"};
  count(std::string("joins invoked by: ") + kReasons[info.reason]);
  if (is_second) count("second joins of a scope");
  std::string text =
      (is_second ? "[\"second\"," : "[") + std::to_string(info.reason) + "," + std::to_string(info.arrived);
  if (info.reason != BLAZEN_JOIN_REASON_CONDITION)
    text += "," + texts_of(arrived(ctx, !is_second && world.tree.has_order(kind)));
  return ctx.emit(type_around(ctx, kind), text + "]");
}

void mend(World& world, Ctx& ctx) {
  const Json failed = Json::parse(ctx.input());
  const std::string step = failed.at("step");
  ++world.progress;
  if (step.starts_with("join") || step.starts_with("second")) {
    const bool is_late = failed.at("status") == "BLAZEN_ERROR_STEP_TIMEOUT";
    count(is_late ? "joins failed by a deadline" : "cancelled joins");
    ctx.emit(type_around(ctx, step.ends_with("0") ? 0 : 1), "\"!\"");
    return;
  }
  const size_t at = world.node_of.at(failed.at("invocation_id"));
  const Node& node = world.node(at);
  // That of an opener belongs to the scope that it opens.
  const size_t scope = node.opens() ? 1 - node.scope : node.scope;
  ctx.emit(event(done_type(scope), json("\"-" + std::to_string(at) + "\""), node.correlation));
}

}  // namespace

// ---- the workflow ----

Workflow build(const Tree& tree, World* const& world, bool is_far) {
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
  const auto calls = [&world](auto body) { return [&world, body](Ctx& ctx) { return body(*world, ctx); }; };
  spec.start([](Ctx& ctx) { ctx.emit("Open0", "0"); });
  spec.step("root", {"Root"}, [](Ctx& ctx) { ctx.set("root", texts_of(arrived(ctx, false))); })
      .joins({"start"});
  spec.step("finish", {"Finish"}, [](Ctx& ctx) { ctx.stop(ctx.get("root")); });
  for (const size_t kind : {0, 1}) {
    const How& how = tree.how[kind];
    add(how.joins.of, {kind == 0 ? "Open0" : "Open1"}, calls(run_opener), how.opener_is_far);
    add(
        kind == 0 ? "join0" : "join1", {done_type(kind), "Shared"},
        [&world, kind](Ctx& ctx) { return run_join(*world, ctx, kind, false); }, how.join_is_far);
    spec.joins(how.joins);
    spec.retry(retries(3, kBackOff_ms));
    if (!how.second) continue;
    add(
        kind == 0 ? "second0" : "second1", {kind == 0 ? "Other0" : "Other1"},
        [&world, kind](Ctx& ctx) { return run_join(*world, ctx, kind, true); }, how.join_is_far);
    spec.joins(*how.second);
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

}  // namespace sim::joins
