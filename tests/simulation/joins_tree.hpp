// A random tree of scopes: what each of its nodes does, and what the outside does to it. A function of the seed.
//
// A node is one event that its opener, or the outside, puts into a scope. Its number is the event's value. Openers of two
// kinds stand in turn within one another, each with a join of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/blazen_test.hpp"

namespace sim::joins {

// Where it begins: what an answer may come of.
enum class Kind {
  leaf,      // a body that answers at once
  asks,      // a body that asks first
  holds,     // a body that is deferred
  question,  // an event that asks
  piece,     // one that a body collects with others
  direct,    // one that the join takes as it is
  opener
};
// How what a body has asked, or its deferral, ends; or how its back-off does.
enum class End { done, withdrawn, by_default, cancelled, cancelled_once };

inline constexpr int64_t kNeverReached_ms = 1'000'000;

struct Node {
  Kind kind = Kind::leaf;
  size_t scope = 0;              // in: 0 or 1, which kind of opener has opened it
  std::vector<size_t> children;  // of an opener: in the order in which they are sent
  std::vector<size_t>
      outside;  // what the outside sends into the scope before it ends the question or the deferral
  int answers = 1;
  bool fails_once = false;
  bool fails = false;        // for good
  bool waits = false;        // an opener is deferred, too
  bool is_other = false;     // its answers are for the second join of its scope
  bool is_shared = false;    // its answers are for the join of the scope around, too
  bool calls_back = false;   // one that asks is deferred, and its answer comes by callback
  bool is_far = false;       // its step is in the other process
  End back_off = End::done;  // done: it goes on by itself
  End parked = End::done;    // before it was begun, where its step is elsewhere
  End end = End::done;
  int64_t after_ms = 0;  // it ends so long after it began to wait
  int64_t delay_ms = 0;
  std::string correlation;

  bool opens() const { return kind == Kind::opener; }
  bool has_body() const { return kind <= Kind::holds || opens(); }
  bool is_held() const { return kind == Kind::holds || (opens() && waits); }
};

// Of the joins of one kind.
struct How {
  bt::Joins joins;
  std::optional<bt::Joins> second{};  // of the same openers: it takes other events
  bool fails_once = false;
  End back_off = End::done;
  bool join_is_far = false;
  bool opener_is_far = false;

  bool may_close_early() const { return joins.mode != BLAZEN_JOIN_ALL || passes(); }
  bool passes() const { return joins.deadline_ms != 0 && joins.deadline_ms < kNeverReached_ms; }
};

struct Tree {
  std::vector<Node> nodes;
  How how[2];
  bool travels = false;       // there are two processes, and some steps are in one of them alone
  bool retries_only = false;  // what is cancelled is not tried again: of another code than those that are
  uint32_t pieces = 2;        // of one group
  bool collector_fails = false;
  int pieces_percent = 0;
  std::vector<std::string> near;  // steps that only the first process has

  // By event, the groups come in an order that only time tells; so do those of two joins inside.
  bool has_order(size_t kind) const {
    return how[kind].joins.ordered && !how[0].joins.by_event && !how[1].joins.by_event &&
           !how[1 - kind].second;
  }
  bool cancels() const { return how[0].joins.cancel_rest || how[1].joins.cancel_rest; }
};

// What a body of the far process waits for, at least: the run is there at these moments.
inline constexpr int64_t kVisits_ms = 10;
inline constexpr int64_t kBackOff_ms = 4;
inline constexpr int64_t kCancelBackOff_ms = 2;

Tree make_tree(uint64_t seed);
std::string say(const Tree& tree);

}  // namespace sim::joins
