#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "simulation/tally.hpp"
#include "simulation/trees_world.hpp"

namespace sim::trees {

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

void note_failure(World& world, const Work& work, const std::string& input) {
  ++world.failed[{work.id, input}];
  ++world.failures[work.id];
}

// What all bodies have in common. use: makes something of what it gives.
Body body_of(World* const& world, const Work& work, std::function<std::string(Ctx&)> input_of,
             std::function<void(Ctx&, const std::string&)> use) {
  return [&world, &work, input_of = std::move(input_of), use = std::move(use)](Ctx& ctx) -> blazen_status {
    World& now = *world;
    const std::string input = input_of(ctx);
    ctx.publish("Begun", std::to_string(work.id));
    const bool fails = now.failed[{work.id, input}] < work.failures;
    std::string answer;
    if (work.asks && (!fails || work.fails_late)) {
      answer = ctx.ask(prompt_of(work, input), {}, work.is_by_default ? work.after_ms : 0, kDefaultAnswer);
      if (answer.empty()) return ctx.failed;
    }
    const std::string value = given(work, input, answer);
    if (work.is_deferred) {
      now.held.push_back(std::make_shared<Held>(
          Held{ctx.defer(), work, input, fails, [use, value](Ctx& later) { use(later, value); }}));
      return BLAZEN_PENDING;
    }
    if (fails) {
      note_failure(now, work, input);
      return ctx.fail(code_of(work), "as it has to", json(cause_of(input)));
    }
    use(ctx, value);
    if (ctx.failed == BLAZEN_OK) ++now.done[work.id];
    return ctx.failed;
  };
}

std::string own_input(Ctx& ctx) { return ctx.input(); }
std::string all_inputs(Ctx& ctx) { return ctx.events(); }
// Beside a success, those that had failed before it may stand.
std::string success(Ctx& ctx) {
  const blazen_event* const* all = nullptr;
  size_t count = 0;
  if (blazen_context_events(ctx.raw, &all, &count, nullptr) != BLAZEN_OK) return "no events";
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (type_of(all[i]).find("::failed") == std::string::npos) text += bt::input_of(all[i]);
  }
  return text;
}
void answer(Ctx& ctx, const std::string& value) { ctx.answer(value); }

class Maker {
 public:
  Maker(const Tree& tree, World* const& world, bool is_far) : tree_(tree), world_(world), is_far_(is_far) {}

  Workflow flow(size_t index) const {
    const Flow& flow = tree_.flows[index];
    const std::string name = "f" + std::to_string(index);
    return flow.is_pipeline ? pipeline(name, flow) : steps(name, flow);
  }

 private:
  bool is_away(const Part& part) const { return is_far_ && part.is_far; }

  static blazen_retry_options retry_of(const Part& part) {
    return retries(part.retry.attempts, part.retry.delay_ms, 1);
  }

  // ---- of steps ----

  Workflow steps(const std::string& name, const Flow& flow) const {
    Spec spec(name);
    spec.timeout_ms = flow.timeout_ms;
    std::string failed_items;
    for (size_t i = 0; i < flow.parts.size(); ++i) {
      const Part& part = flow.parts[i];
      const std::string step = "p" + std::to_string(i);
      const std::string accepts = i == 0 ? BLAZEN_START_EVENT : "E" + std::to_string(i);
      const std::string gives = i + 1 == flow.parts.size() ? BLAZEN_STOP_EVENT : "E" + std::to_string(i + 1);
      if (part.kind == Kind::fan) {
        fan(spec, part, step, accepts, gives);
      } else if (part.kind == Kind::again) {
        again(spec, part, step, accepts, gives);
      } else {
        add(spec, part, step, accepts, gives);
      }
    }
    if (takes_pokes(flow)) spec.step("poke", {kPoke}, [&world = world_](Ctx&) { ++world->poked; });
    if (flow.rescue != Rescue::none) rescue(spec, flow.rescue);
    return spec.build();
  }

  // A leaf, or a step that is a flow.
  void add(Spec& spec, const Part& part, const std::string& step, const std::string& accepts,
           const std::string& gives) const {
    // Where there are mappers, those are elsewhere; of several at once, the branches.
    const bool is_one = part.kind == Kind::leaf || (part.kind == Kind::child && !part.input && !part.output);
    if (is_away(part) && is_one) {
      spec.elsewhere(step, {accepts});
      return;
    }
    if (part.kind == Kind::leaf) {
      const Work& work = part.work;
      spec.step(step, {accepts},
                body_of(world_, work, own_input, [&work, gives](Ctx& ctx, const std::string& value) {
                  if (!work.is_silent) ctx.emit_in(delay_of(work, value), gives, value);
                }));
    } else {
      spec.steps.push_back({step, {accepts}, nullptr, 0, {}});
      hosts(spec.steps.back().hosts.emplace(), part, gives);
      if (part.timeout_ms != 0) spec.times_out(part.timeout_ms);
    }
    spec.retry(retry_of(part));
  }

  void again(Spec& spec, const Part& part, const std::string& step, const std::string& accepts,
             const std::string& gives) const {
    spec.step(step, {accepts},
              body_of(world_, part.work, own_input, [step, gives](Ctx& ctx, const std::string& value) {
                if (goes_again(value)) count("runs of a workflow in itself");
                ctx.emit(goes_again(value) ? step + "Again" : gives, value);
              }));
    spec.retry(retry_of(part));
    spec.steps.push_back({step + ".self", {step + "Again"}, nullptr, 0, {}});
    Hosts& self = spec.steps.back().hosts.emplace();
    self.output_type = gives;
    self.branches.emplace_back();
    spec.retry(retry_of(part));
  }

  void hosts(Hosts& hosts, const Part& part, const std::string& gives) const {
    hosts.output_type = gives;
    hosts.parallel = part.kind == Kind::children;
    hosts.first_success = part.first_success;
    const bool is_without = is_away(part) && hosts.parallel;
    for (size_t i = 0; i < part.flows.size(); ++i) {
      Hosts::Branch& branch = hosts.branches.emplace_back("b" + std::to_string(i), nullptr, is_without);
      if (!is_without) branch.workflow = std::make_shared<Workflow>(flow(part.flows[i]));
    }
    hosts.input_elsewhere = part.input && is_away(part);
    hosts.output_elsewhere = part.output && is_away(part);
    if (part.input && !is_away(part)) hosts.input = mapper(*part.input, own_input, answer);
    if (part.output && !is_away(part)) hosts.output = mapper(*part.output, results_of(part), answer);
  }
  std::shared_ptr<Body> mapper(const Work& work, std::function<std::string(Ctx&)> input_of,
                               std::function<void(Ctx&, const std::string&)> use) const {
    return std::make_shared<Body>(body_of(world_, work, std::move(input_of), std::move(use)));
  }
  static std::string (*results_of(const Part& part))(Ctx&) {
    if (part.kind == Kind::child || part.rounds != 0) return own_input;
    return part.first_success ? success : all_inputs;
  }

  void fan(Spec& spec, const Part& part, const std::string& step, const std::string& accepts,
           const std::string& gives) const {
    spec.step(step, {accepts},
              body_of(world_, part.work, own_input, [&part, step](Ctx& ctx, const std::string& value) {
                for (size_t i = 0; i < part.width; ++i) ctx.emit(step + "Item", item_of(value, i));
              }));
    spec.retry(retry_of(part));
    add(spec, part.items.front(), step + ".item", step + "Item", kItemDone);
    spec.steps.back().concurrency_max = part.concurrency;
    const bool is_ordered = part.is_ordered;
    spec.step(step + ".join", {kItemDone}, [is_ordered, gives](Ctx& ctx) {
      std::vector<std::string> values;
      const blazen_event* const* all = nullptr;
      size_t count = 0;
      MUST(blazen_context_events(ctx.raw, &all, &count, e));
      for (size_t i = 0; i < count; ++i) values.push_back(bt::input_of(all[i]));
      if (!is_ordered) std::sort(values.begin(), values.end());
      std::string text;
      for (size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + values[i];
      ctx.emit(gives, trees::joined(text));
    });
    Joins joins{step};
    joins.ordered = is_ordered;
    if (part.wanted != 0) {
      joins.mode = BLAZEN_JOIN_FIRST_N;
      joins.n = part.wanted;
      joins.cancel_rest = true;
    }
    spec.joins(joins);
  }

  static void rescue(Spec& spec, Rescue rescue) {
    spec.step("rescue", {BLAZEN_STEP_FAILED_EVENT}, [rescue](Ctx& ctx) {
      const nlohmann::json failed = nlohmann::json::parse(ctx.input());
      const bool is_item = failed.at("step").get<std::string>().find(".item") != std::string::npos;
      const nlohmann::json detail = failed.value("detail", nlohmann::json());
      const std::string value =
          rescued(failed.at("host_code"), detail.is_number() ? detail.dump() : std::string());
      count("failures rescued");
      ctx.emit(is_item && rescue == Rescue::gives ? kItemDone : BLAZEN_STOP_EVENT, value);
    });
  }

  // ---- of stages ----

  Workflow pipeline(const std::string& name, const Flow& flow) const {
    PipelineSpec spec{name};
    for (size_t i = 0; i < flow.parts.size(); ++i) {
      const Part& part = flow.parts[i];
      PipelineSpec::StageSpec& stage = spec.stages.emplace_back();
      stage.name = "p" + std::to_string(i);
      stage.parallel = part.kind == Kind::children;
      stage.max_rounds = part.rounds;
      stage.first_success = part.first_success;
      stage.done_at_bound = part.done_at_bound;
      stage.timeout_ms = part.timeout_ms;
      stage.retry = retry_of(part);
      stage.elsewhere = is_away(part);
      for (size_t branch = 0; branch < part.flows.size(); ++branch)
        stage.branches.emplace_back("b" + std::to_string(branch),
                                    std::make_shared<Workflow>(this->flow(part.flows[branch])));
      if (part.input) stage.input = mapper(*part.input, own_input, answer);
      if (part.output) stage.output = mapper(*part.output, results_of(part), answer);
      if (part.condition)
        stage.condition = mapper(*part.condition, own_input,
                                 [](Ctx& ctx, const std::string& value) { ctx.answer(condition_of(value)); });
      if (part.until)
        stage.until = mapper(*part.until, own_input,
                             [](Ctx& ctx, const std::string& value) { ctx.answer(until_of(value)); });
    }
    return spec.build();
  }

  static constexpr const char* kItemDone = "ItemDone";

  const Tree& tree_;
  World* const& world_;
  const bool is_far_;
};

}  // namespace

void complete(World& world, const Held& held) {
  Ctx ctx(held.invocation);
  if (ctx.cancelled()) return;
  if (held.fails) {
    note_failure(world, held.work, held.input);
    bt::Error cause;
    const std::string words = "as it has to";
    (void)blazen_error_host(code_of(held.work), words.data(), words.size(), json(cause_of(held.input)),
                            cause.out());
    MUST(blazen_invocation_fail(held.invocation, cause, e));
    return;
  }
  held.give(ctx);
  if (ctx.failed != BLAZEN_OK) return world.fail("a deferred body may not give what it gives");
  ++world.done[held.work.id];
  MUST(blazen_invocation_complete(held.invocation, e));
}

Workflow build(const Tree& tree, World* const& world, bool is_far) {
  return Maker(tree, world, is_far).flow(tree.flows.size() - 1);
}

}  // namespace sim::trees
