// Grows trees, and says them in words.
#include "simulation/trees.hpp"

#include <algorithm>

namespace sim::trees {

namespace {

// What there is room for, where a flow or a part is grown.
struct Room {
  int depth = 0;
  int times = 1;         // that it may be run
  bool asks = true;      // within a time-out that may pass, nobody asks: its clock stands still meanwhile
  bool races = false;    // when it ends makes a difference
  bool is_item = false;  // of a fan-out: two of them must not be given the same
};

class Grower {
 public:
  explicit Grower(uint64_t seed) : rng_(mix(seed, 77)) {}

  Tree grow() {
    tree_.travels = rng_.percent(40);
    depth_max_ = rng_.from_to(1, 6);
    works_max_ = static_cast<size_t>(rng_.percent(15) ? 40 : rng_.from_to(3, 16));
    fails_percent_ = rng_.percent(40) ? 0 : rng_.from_to(5, 25);
    flow({});
    return std::move(tree_);
  }

 private:
  static constexpr int kTimes_max = 8;

  bool is_full(const Room& room) const {
    return room.depth >= depth_max_ || room.times > kTimes_max || tree_.works.size() > works_max_;
  }

  size_t flow(Room room) {
    Flow flow;
    flow.is_pipeline = !is_full(room) && rng_.percent(35);
    if (!flow.is_pipeline && rng_.percent(30)) flow.rescue = rng_.percent(60) ? Rescue::stops : Rescue::gives;
    if (!flow.is_pipeline && rng_.percent(10)) flow.timeout_ms = timeout(room);
    const int parts = is_full(room) ? rng_.from_to(1, 2) : rng_.from_to(1, 3);
    // The first part: what it is given is another value in each run, so that there is an end.
    if (!flow.is_pipeline && !is_full(room) && rng_.percent(12)) flow.parts.push_back(again(room));
    for (int i = 0; i < parts; ++i) flow.parts.push_back(flow.is_pipeline ? stage(room) : part(room, false));
    tree_.flows.push_back(std::move(flow));
    return tree_.flows.size() - 1;
  }

  Part again(const Room& room) {
    Part part;
    part.kind = Kind::again;
    part.work = work(room);
    part.retry = retry();
    return part;
  }

  Part part(const Room& room, bool is_item) {
    Part part;
    const int chance = rng_.below(100);
    if (is_full(room) || chance < 20) {
      part.kind = Kind::leaf;
    } else if (chance < 50) {
      part.kind = Kind::child;
    } else if (chance < 75 || is_item) {
      part.kind = Kind::children;
    } else {
      part.kind = Kind::fan;
    }
    part.is_far = tree_.travels && rng_.percent(25);
    part.retry = retry();
    if (part.kind == Kind::leaf) {
      part.work = work(room);
      // Of things that happen at one moment, the model does not know which is first.
      part.work.delay_ms = rng_.percent(50) ? rng_.from_to(1, 30) : 0;
      if (room.races && rng_.percent(80)) part.work.spread_ms = 200;
      part.work.is_silent = !is_item && rng_.percent(2);
      if (part.work.is_silent) part.work.delay_ms = part.work.spread_ms = 0;
    } else if (part.kind == Kind::fan) {
      fan(part, room);
    } else {
      host(part, room);
    }
    return part;
  }

  void fan(Part& part, Room room) {
    part.work = work(room);
    part.is_far = false;
    part.width = static_cast<size_t>(rng_.from_to(room.is_item ? 1 : 0, 4));
    part.is_ordered = rng_.percent(40);
    if (rng_.percent(30)) part.wanted = static_cast<uint32_t>(rng_.from_to(1, 3));
    ++room.depth;
    room.times *= std::max(1, static_cast<int>(part.width));
    room.races = true;
    room.is_item = true;
    part.items.push_back(this->part(room, true));
    const Part& item = part.items.front();
    if (item.kind == Kind::child && rng_.percent(50))
      part.concurrency = static_cast<uint32_t>(rng_.from_to(1, 3));
  }

  // What it is given beside its flows, and those.
  void host(Part& part, Room room) {
    if (rng_.percent(30)) part.input = work(room);
    if (rng_.percent(30)) part.output = work(room);
    part.first_success = part.kind == Kind::children && rng_.percent(50);
    if (rng_.percent(15)) part.timeout_ms = timeout(room);
    ++room.depth;
    const bool may_be_none = !room.is_item;
    const int count = part.kind == Kind::child ? 1 : may_be_none && rng_.percent(8) ? 0 : rng_.from_to(1, 3);
    if (count > 1) room.times += 2;
    room.races = room.races || count > 1;
    for (int i = 0; i < count; ++i) part.flows.push_back(flow(room));
  }

  Part stage(Room room) {
    Part part;
    part.kind = rng_.percent(65) ? Kind::child : Kind::children;
    part.is_far = tree_.travels && rng_.percent(25);
    part.retry = retry();
    if (rng_.percent(35)) part.condition = work(room);
    if (rng_.percent(30)) part.rounds = static_cast<uint32_t>(rng_.from_to(1, 3));
    if (part.rounds != 0) {
      if (rng_.percent(60)) part.until = work(room);
      part.done_at_bound = rng_.percent(70);
      room.times *= static_cast<int>(part.rounds);
    }
    host(part, room);
    // The time-out of a loop is by the clocks of its runs, all together.
    const bool is_plain =
        part.kind == Kind::child && part.retry.attempts == 1 && !(part.until && part.until->asks);
    if (part.rounds != 0 && !is_plain && part.timeout_ms != 0) part.timeout_ms = kNeverReached_ms;
    return part;
  }

  Work work(const Room& room) {
    Work work;
    work.id = tree_.works.size();
    if (rng_.percent(fails_percent_))
      work.failures = rng_.percent(20) ? kAlways : static_cast<uint32_t>(rng_.from_to(1, 2));
    work.fails_late = rng_.percent(50);
    work.asks = room.asks && rng_.percent(20);
    work.is_deferred = rng_.percent(15);
    work.is_by_default = rng_.percent(25);
    work.after_ms = rng_.percent(15) && !work.is_by_default ? 0 : rng_.from_to(1, 30);
    tree_.asks = tree_.asks || work.asks;
    tree_.works.push_back(work);
    return work;
  }

  Retry retry() {
    if (!rng_.percent(45)) return {};
    return {static_cast<uint32_t>(rng_.from_to(2, 3)), rng_.percent(50) ? rng_.from_to(1, 20) : 0};
  }

  int64_t timeout(Room& room) {
    if (rng_.percent(40)) return kNeverReached_ms;
    room.asks = false;
    tree_.has_timeouts = true;
    return rng_.from_to(1, 60);
  }

  Rng rng_;
  Tree tree_;
  int depth_max_ = 0;
  size_t works_max_ = 0;
  int fails_percent_ = 0;
};

// ---- in words ----

class Teller {
 public:
  explicit Teller(const Tree& tree) : tree_(tree) {}

  std::string tell() {
    flow(tree_.flows.size() - 1, 1);
    return text_;
  }

 private:
  void line(int depth, const std::string& words) {
    text_ += std::string(static_cast<size_t>(depth) * 2, ' ') + words + "\n";
  }

  static std::string say(const Work& work) {
    std::string text = "body " + std::to_string(work.id);
    if (work.failures == kAlways)
      text += " always fails";
    else if (work.failures != 0)
      text += " fails " + std::to_string(work.failures) + " times";
    if (work.failures != 0 && work.fails_late && work.asks) text += " when it was answered";
    if (work.asks)
      text += (work.is_by_default ? " asks, by default after " : " asks, answered after ") +
              std::to_string(work.after_ms);
    if (work.is_deferred) text += " is deferred";
    if (work.is_silent) text += " gives nothing";
    if (work.delay_ms != 0) text += " gives after " + std::to_string(work.delay_ms);
    if (work.spread_ms != 0) text += " and up to " + std::to_string(work.spread_ms);
    return text;
  }
  static std::string say(const Retry& retry) {
    if (retry.attempts == 1) return "";
    return "; " + std::to_string(retry.attempts) + " attempts, " + std::to_string(retry.delay_ms) + " apart";
  }
  static std::string say(const char* name, const std::optional<Work>& work) {
    return work ? std::string("; ") + name + ": " + say(*work) : "";
  }

  void flow(size_t index, int depth) {
    const Flow& flow = tree_.flows[index];
    static const char* const kRescues[] = {"", ", failures end it", ", failures are answers"};
    std::string words = (flow.is_pipeline ? "pipeline f" : "workflow f") + std::to_string(index) +
                        kRescues[static_cast<int>(flow.rescue)];
    if (flow.timeout_ms != 0) words += ", within " + std::to_string(flow.timeout_ms);
    line(depth, words);
    for (size_t i = 0; i < flow.parts.size(); ++i) part("p" + std::to_string(i), flow.parts[i], depth + 1);
  }

  void part(const std::string& name, const Part& part, int depth) {
    std::string words = name + (part.is_far ? " (far): " : ": ");
    switch (part.kind) {
      case Kind::leaf: words += say(part.work); break;
      case Kind::again: words += say(part.work) + ", and maybe all of it again"; break;
      case Kind::child: words += "a child"; break;
      case Kind::children: words += part.first_success ? "first success of several" : "all of several"; break;
      case Kind::fan: words += say(part.work) + ", sends " + std::to_string(part.width); break;
    }
    if (part.kind == Kind::fan) {
      words += part.wanted == 0 ? ", joined" : ", the first " + std::to_string(part.wanted) + " joined";
      if (part.is_ordered) words += " in order";
      if (part.concurrency != 0) words += ", " + std::to_string(part.concurrency) + " at once";
    }
    words += say(part.retry);
    if (part.timeout_ms != 0) words += "; within " + std::to_string(part.timeout_ms);
    if (part.rounds != 0)
      words +=
          "; " + std::to_string(part.rounds) + " rounds" + (part.done_at_bound ? " at most" : " or it fails");
    words += say("condition", part.condition) + say("input", part.input) + say("output", part.output) +
             say("until", part.until);
    line(depth, words);
    for (const size_t index : part.flows) flow(index, depth + 1);
    for (const Part& item : part.items) this->part(name + ".item", item, depth + 1);
  }

  const Tree& tree_;
  std::string text_;
};

}  // namespace

Tree make_tree(uint64_t seed) { return Grower(seed).grow(); }

std::string say(const Tree& tree) { return Teller(tree).tell(); }

}  // namespace sim::trees
