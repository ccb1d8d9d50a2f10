#include "simulation/joins_model.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace sim::joins {
namespace {

// A moment is a millisecond of the second counter, and in which part of it something is: first what was delayed is routed,
// then questions are answered by default, then deadlines of joins pass, and then bodies run, and the outside acts.
using Moment = int64_t;
constexpr Moment kNever = INT64_MAX;
Moment routed_at(int64_t ms) { return 4 * ms; }
Moment closed_at(int64_t ms) { return 4 * ms + 2; }
Moment done_at(int64_t ms) { return 4 * ms + 3; }
int64_t ms_of(Moment at) { return at / 4; }
int64_t visited_at(int64_t ms, bool is_far) {
  return is_far ? (ms + kVisits_ms - 1) / kVisits_ms * kVisits_ms : ms;
}

struct Arrival {
  Moment at = 0;
  std::string correlation;
  std::string text;
  size_t order = 0;  // which of the opener's outputs it comes of
  bool is_shared = false;
  bool is_other = false;
  bool is_loose = false;  // from a scope inside that was closed, and so keeps this one open no more
  bool is_told = false;   // a default answer by callback: before a deadline of that moment, or behind it
};

// As std::stable_sort, of which compilers warn. The lists are short.
template <class Less>
void sort_stably(std::vector<Arrival>& list, Less less) {
  for (auto next = list.begin(); next != list.end(); ++next)
    std::rotate(std::upper_bound(list.begin(), next, *next, less), next, next + 1);
}

// What comes of one node, or of several: to the scope that they are in.
struct Line {
  std::vector<Arrival> arrivals;
  std::vector<Arrival> around;  // to the scope around that
  std::vector<Arrival> pieces;
  Moment last_piece = -1;
  std::vector<Moment> late;  // in scopes inside
  size_t dropped = 0;        // and what bodies had collected there when it was cancelled
  Moment over = 0;           // nothing is left of it in the scope
  bool is_vague = false;     // how many come late depends on the order within a moment
};

// What a body does: its attempts, and what it waits for.
struct Course {
  int64_t began_ms = 0;  // the first attempt
  int64_t gate_ms = -1;  // when its question, or its deferral, was ended; -1: it never was
  int64_t over_ms = 0;
  End how = End::done;
  bool failed = false;
};

std::string quoted(const std::string& sign, size_t at) { return "\"" + sign + std::to_string(at) + "\""; }

class Model {
 public:
  explicit Model(const Tree& tree) : tree_(tree) {}

  Expected expect() {
    Line line = line_of(0, 0, kNever);
    std::erase_if(line.arrivals,
                  [](const Arrival& arrival) { return arrival.is_shared; });  // not for the root
    Expected expected;
    expected.root = texts_of(line.arrivals, false);
    expected.is_open = is_open_;
    if (!line.is_vague) expected.late = line.late.size() + line.dropped;
    return expected;
  }

 private:
  // ---- a body ----

  Course course_of(const Node& node, int64_t sent_ms) const {
    const bool is_far = node.opens() ? tree_.how[1 - node.scope].opener_is_far : node.is_far;
    Course course;
    int64_t at_ms = visited_at(sent_ms, is_far);
    uint32_t attempt = 1;
    const auto fail = [&](int64_t ms) {
      course.failed = true;
      course.over_ms = ms;
      return course;
    };
    // Whether one that is cancelled is tried again; then, when.
    const auto is_retried = [&](End how, int64_t ms) {
      if (how != End::cancelled_once || tree_.retries_only || attempt == 3) return false;
      at_ms = visited_at(ms + (kBackOff_ms << (attempt - 1)), is_far);
      ++attempt;
      return true;
    };
    if (node.parked != End::done && at_ms != sent_ms && !is_retried(node.parked, sent_ms))
      return fail(sent_ms);
    course.began_ms = at_ms;
    if (node.fails_once && attempt == 1) {
      ++attempt;
      const int64_t cancelled_ms = at_ms + kCancelBackOff_ms;
      if (node.back_off == End::done) {
        at_ms = visited_at(at_ms + kBackOff_ms, is_far);
      } else if (!is_retried(node.back_off, cancelled_ms)) {
        return fail(cancelled_ms);
      }
    }
    if (node.fails) return fail(at_ms);
    if (node.kind == Kind::asks || node.is_held()) {
      course.gate_ms = at_ms + node.after_ms;
      course.how = node.end;
      if (node.end == End::cancelled || node.end == End::cancelled_once) {
        if (!is_retried(node.end, course.gate_ms)) return fail(course.gate_ms);
      } else {
        at_ms = visited_at(course.gate_ms, is_far);
      }
    }
    course.over_ms = at_ms;
    return course;
  }

  // ---- a node ----

  // No further than the bound: then all of it is cancelled.
  Line line_of(size_t at, int64_t sent_ms, Moment bound) const {
    const Node& node = tree_.nodes[at];
    const int64_t ms = sent_ms + node.delay_ms;
    if (node.opens()) return scope_of(at, ms, bound);
    Line line;
    switch (node.kind) {
      case Kind::direct: line.over = node.delay_ms != 0 ? routed_at(ms) : done_at(ms); break;
      case Kind::piece:
        line.over = done_at(tree_.collector_fails ? ms + kBackOff_ms : ms);
        line.pieces.push_back({done_at(ms), node.correlation, {}, 0});
        return line;
      case Kind::question: line.over = done_at(ms + node.after_ms); break;
      default: {
        const Course course = course_of(node, ms);
        line.over = done_at(course.over_ms);
        if (course.failed) return one(line, {line.over, node.correlation, quoted("-", at), 0});
        if (course.how == End::withdrawn) return one(line, {line.over, node.correlation, quoted("w", at), 0});
        if (course.how == End::by_default)
          return one(line,
                     {line.over, node.correlation, quoted("d", at), 0, false, false, false, node.calls_back});
      }
    }
    if (node.kind == Kind::question && node.end == End::withdrawn) return line;
    for (int i = 0; i < node.answers; ++i)
      line.arrivals.push_back(
          {line.over, node.correlation, std::to_string(at), 0, node.is_shared, node.is_other});
    if (node.is_shared) line.around = line.arrivals;
    return line;
  }

  static Line one(Line& line, Arrival arrival) {
    line.arrivals.push_back(std::move(arrival));
    return std::move(line);
  }

  // ---- a scope ----

  // All of what its opener, and the outside, put into it. limit: what is later is cancelled; closed: nothing is let in from
  // outside any more.
  struct Inside {
    const Node& opener;
    const Course& course;
    Moment limit;
    Moment closed;
    Line line{};

    bool is_within(Moment at) {
      if (at == limit) line.is_vague = true;
      return at <= limit;
    }
  };

  void add(Inside& inside, size_t at, int64_t sent_ms, size_t order) const {
    if (!inside.is_within(done_at(sent_ms))) return;
    Line line = line_of(at, sent_ms, inside.limit);
    for (Arrival& arrival : line.arrivals) {
      arrival.order = order;
      if (arrival.at <= inside.limit) inside.line.arrivals.push_back(std::move(arrival));
    }
    for (Arrival& arrival : line.around) {
      if (arrival.at == inside.limit) is_open_ = true;  // is it cancelled, or not yet?
      if (arrival.at <= inside.limit) inside.line.around.push_back(std::move(arrival));
    }
    for (const Arrival& piece : line.pieces) {
      if (!inside.is_within(piece.at)) continue;
      inside.line.pieces.push_back(piece);
      inside.line.last_piece = std::max(inside.line.last_piece, piece.at);
    }
    for (const Moment late : line.late) {
      if (inside.is_within(late)) inside.line.late.push_back(late);
    }
    inside.line.dropped += line.dropped;
    inside.line.is_vague = inside.line.is_vague || line.is_vague;
    inside.line.over = std::max(inside.line.over, line.over);
    const Node& node = tree_.nodes[at];
    if (node.outside.empty()) return;
    const Course course = course_of(node, sent_ms + node.delay_ms);
    if (course.gate_ms < 0) return;
    const Moment gate = done_at(course.gate_ms);
    if (gate == inside.closed) {  // is it refused, or late?
      inside.line.is_vague = true;
      for (const size_t sent : node.outside) is_open_ = is_open_ || tree_.nodes[sent].is_shared;
    }
    if (gate > inside.closed) return;  // it is refused
    for (size_t i = 0; i < node.outside.size(); ++i)
      add(inside, node.outside[i], course.gate_ms, inside.opener.children.size() + 1 + i);
  }

  Line gather(size_t at, const Course& course, Moment limit, Moment closed) const {
    const Node& opener = tree_.nodes[at];
    Inside inside{opener, course, limit, closed};
    for (size_t i = 0; i < opener.children.size(); ++i) {
      if (i > 0 && course.failed) break;
      add(inside, opener.children[i], i == 0 ? course.began_ms : course.over_ms, i);
    }
    Line& line = inside.line;
    line.over = std::max(line.over, done_at(course.over_ms));
    if (course.failed && inside.is_within(done_at(course.over_ms))) {
      line.arrivals.push_back(
          {done_at(course.over_ms), opener.correlation, quoted("-", at), opener.children.size()});
    }
    collect(line);
    std::erase_if(line.arrivals, [limit](const Arrival& arrival) { return arrival.at > limit; });
    sort_stably(line.arrivals, [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
    return std::move(inside.line);
  }

  // Groups of pieces, by their correlation. What is left are those that are in none.
  void collect(Line& line) const {
    std::map<std::string, std::vector<Arrival>> kinds;
    for (Arrival& piece : line.pieces) kinds[piece.correlation].push_back(std::move(piece));
    line.pieces.clear();
    for (auto& [correlation, pieces] : kinds) {
      sort_stably(pieces, [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
      size_t next = 0;
      for (; next + tree_.pieces <= pieces.size(); next += tree_.pieces) {
        const int64_t ms = ms_of(pieces[next + tree_.pieces - 1].at);
        line.arrivals.push_back(
            {done_at(tree_.collector_fails ? ms + kBackOff_ms : ms), correlation, "\"c\"", 0});
      }
      for (; next < pieces.size(); ++next) line.pieces.push_back(std::move(pieces[next]));
    }
  }

  // When a scope closes, and why: as blazen_join_reason says.
  struct Closing {
    Moment at = 0;
    int reason = BLAZEN_JOIN_REASON_COMPLETE;
  };

  static size_t wanted_by(const bt::Joins& joins) { return joins.mode == BLAZEN_JOIN_ANY ? 1 : joins.n; }

  // What one of the joins of a scope has to do with it.
  struct Part {
    const bt::Joins& joins;
    bool is_second;
    Closing closing{};

    std::vector<Arrival> arrivals_of(const Line& line) const {
      std::vector<Arrival> arrivals;
      std::copy_if(line.arrivals.begin(), line.arrivals.end(), std::back_inserter(arrivals),
                   [&](const Arrival& arrival) { return arrival.is_other == is_second; });
      return arrivals;
    }
    bool is_early() const {
      return closing.reason == BLAZEN_JOIN_REASON_CONDITION || closing.reason == BLAZEN_JOIN_REASON_DEADLINE;
    }
  };

  Closing closing_of(const Part& part, const Line& line, int64_t opened_ms) const {
    const size_t wanted = wanted_by(part.joins);
    Closing closing{line.over, wanted == 0 ? BLAZEN_JOIN_REASON_COMPLETE : BLAZEN_JOIN_REASON_SHORT};
    if (part.joins.deadline_ms != 0) {
      const int64_t due_ms = opened_ms + part.joins.deadline_ms;
      for (const Arrival& arrival : line.arrivals)
        is_open_ = is_open_ || (arrival.is_told && ms_of(arrival.at) == due_ms);
      // At one moment, the outer scope comes first.
      if (closed_at(due_ms) <= closing.at) closing = {closed_at(due_ms), BLAZEN_JOIN_REASON_DEADLINE};
    }
    for (const Arrival& arrival : line.arrivals) {
      if (arrival.is_loose && arrival.at == closing.at) is_open_ = true;  // is it there before the end?
    }
    const std::vector<Arrival> arrivals = part.arrivals_of(line);
    if (part.joins.by_event || wanted == 0 || arrivals.size() < wanted) return closing;
    const Moment enough = arrivals[wanted - 1].at;
    return enough <= closing.at ? Closing{enough, BLAZEN_JOIN_REASON_CONDITION} : closing;
  }

  // What a join is invoked with.
  struct Group {
    Moment at = 0;
    int reason = 0;
    std::vector<Arrival> arrivals;
  };

  // The groups of a scope. What comes late to them is noted.
  static std::vector<Group> groups_of(const Part& part, Line& line) {
    const bt::Joins& joins = part.joins;
    const Closing& closing = part.closing;
    std::map<std::string, std::vector<Arrival>> sorted;
    for (const Arrival& arrival : part.arrivals_of(line))
      sorted[joins.by_event ? arrival.correlation : ""].push_back(arrival);
    const size_t wanted = wanted_by(joins);
    std::vector<Group> groups;
    for (auto& [correlation, arrivals] : sorted) {
      Group group{closing.at, closing.reason, {}};
      if (wanted != 0 && arrivals.size() >= wanted && arrivals[wanted - 1].at <= closing.at)
        group = {arrivals[wanted - 1].at, BLAZEN_JOIN_REASON_CONDITION, {}};
      for (Arrival& arrival : arrivals) {
        const bool is_taken = group.reason == BLAZEN_JOIN_REASON_CONDITION ? group.arrivals.size() < wanted
                                                                           : arrival.at <= closing.at;
        if (is_taken) {
          group.arrivals.push_back(arrival);
        } else {
          line.late.push_back(arrival.at);
        }
      }
      if (!group.arrivals.empty()) groups.push_back(std::move(group));
    }
    if (groups.empty()) groups.push_back({closing.at, closing.reason, {}});
    return groups;
  }

  Line scope_of(size_t at, int64_t ms, Moment bound) const {
    const Node& opener = tree_.nodes[at];
    const How& how = tree_.how[1 - opener.scope];
    const Course course = course_of(opener, ms);
    const bool sends = !opener.children.empty();
    std::vector<Part> parts{{how.joins, false}};
    if (how.second) parts.push_back({*how.second, true});
    Line line = gather(at, course, bound, kNever);
    Moment closed = 0;  // by the last of them
    bool is_early = true;
    bool is_tie = false;
    for (Part& part : parts) {
      part.closing = closing_of(part, line, sends ? course.began_ms : course.over_ms);
      is_tie = is_tie || part.closing.at == bound;
      if (part.closing.at > bound)
        part.closing = {bound, BLAZEN_JOIN_REASON_NONE};  // it was cancelled before
      is_early = is_early && part.is_early();
      closed = std::max(closed, part.closing.at);
    }
    const bool is_cancelled = std::any_of(parts.begin(), parts.end(), [](const Part& part) {
      return part.closing.reason == BLAZEN_JOIN_REASON_NONE;
    });
    const bool cancels = is_early && how.joins.cancel_rest;
    line = gather(at, course, cancels ? closed : bound, is_early ? closed : kNever);
    line.is_vague = line.is_vague || is_tie;
    const size_t late_before = line.late.size();
    std::vector<std::vector<Group>> groups;
    for (const Part& part : parts) groups.push_back(groups_of(part, line));
    if (cancels && line.late.size() != late_before) line.is_vague = true;  // or are they cancelled?
    // What was collected in vain; what comes later begins another group.
    if (is_early && line.last_piece >= closed) line.is_vague = true;
    if (is_cancelled) {
      line.dropped += line.pieces.size();
    } else {
      line.late.insert(line.late.end(), line.pieces.size(), closed);
    }
    line.pieces.clear();
    const Moment done = done_at(course.over_ms);
    if (cancels && done == closed) line.is_vague = true;
    if (cancels && done > closed) {
      const size_t more = course.failed ? 1 : sends ? opener.children.size() - 1 : 0;
      line.late.insert(line.late.end(), more, done);
    }
    for (Arrival& arrival : line.around) arrival.is_loose = is_early && arrival.at >= closed;
    line.arrivals = std::move(line.around);
    line.around.clear();
    line.over = std::max(done, closed);
    for (size_t i = 0; i < parts.size(); ++i) give(how, parts[i], groups[i], line);
    return line;
  }

  // What the join makes of its groups.
  void give(const How& how, const Part& part, const std::vector<Group>& groups, Line& line) const {
    const bt::Joins& joins = part.joins;
    const auto add = [&](int64_t ms, std::string text) {
      line.over = std::max(line.over, done_at(ms));
      line.arrivals.push_back({done_at(ms), "", std::move(text), 0});
    };
    const bool fails =
        part.closing.reason == BLAZEN_JOIN_REASON_DEADLINE && joins.at_deadline == BLAZEN_JOIN_DEADLINE_FAIL;
    if (fails) add(ms_of(part.closing.at), "\"!\"");
    for (const Group& group : groups) {
      if (fails && group.reason != BLAZEN_JOIN_REASON_CONDITION) continue;
      if (group.reason == BLAZEN_JOIN_REASON_NONE) continue;
      if (group.arrivals.empty() && joins.skip_empty) continue;
      int64_t ms = visited_at(ms_of(group.at), how.join_is_far);
      if (how.fails_once) {
        if (how.back_off == End::cancelled) {
          add(ms + kCancelBackOff_ms, "\"!\"");
          continue;
        }
        ms += how.back_off == End::done ? kBackOff_ms : kCancelBackOff_ms + 2 * kBackOff_ms;
        ms = visited_at(ms, how.join_is_far);
      }
      std::string text = (part.is_second ? "[\"second\"," : "[") + std::to_string(group.reason) + "," +
                         std::to_string(group.arrivals.size());
      // Which ones are first, nobody knows.
      if (group.reason != BLAZEN_JOIN_REASON_CONDITION)
        text +=
            "," + texts_of(group.arrivals, !part.is_second && tree_.has_order(&how == &tree_.how[0] ? 0 : 1));
      add(ms, text + "]");
    }
  }

  static std::string texts_of(std::vector<Arrival> arrivals, bool has_order) {
    sort_stably(arrivals, [has_order](const Arrival& a, const Arrival& b) {
      return has_order ? a.order < b.order : a.text < b.text;
    });
    std::string text;
    for (const Arrival& arrival : arrivals) text += (text.empty() ? "" : ",") + arrival.text;
    return "[" + text + "]";
  }

  const Tree& tree_;
  mutable bool is_open_ = false;  // what the root gets depends on the order within a moment
};

}  // namespace

Expected expect(const Tree& tree) { return Model(tree).expect(); }

}  // namespace sim::joins
