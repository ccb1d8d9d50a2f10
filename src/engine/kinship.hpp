// What a run has to do with the other runs of its tree, beside what their states say (run/kin.hpp).
//
// A tree has one lock, that of its top, and one place in the executor, in the clock of the runtime and in the streams: the
// top's. So a thread that works on the top takes invocations of whichever run has some, and whoever tells the top what time
// it is tells the others.
//
// Invariants, under the lock: a child is in the family's `runs` from its beginning until it has ended, or its invocation is gone; then
// nobody finds it any more. `startable` is the sum of what the children could start; those that could start something are in
// the row, as is the top. Those that have something due are in `due`, and those that ask in `asking`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/object.hpp"
#include "engine/notifications.hpp"
#include "engine/pools.hpp"
#include "run/run_status.hpp"
#include "run/tick.hpp"

namespace blazen {

class Run;

// What a tick of one run of the tree has let go of because of another run's: it goes with the next opening of the lock.
struct LeftOver {
  Commands commands;
  Run* run = nullptr;  // a child that has ended, with its reference; null: none
  std::unique_ptr<LeftOver> next;
};

struct Kinship {
  using Runs = std::map<RunId, Run*>;
  // By their paths: in the same order in each process.
  struct ByPath {
    bool operator()(const Run* a, const Run* b) const noexcept;
  };
  struct DueOrder {
    bool operator()(const std::pair<int64_t, Run*>& a, const std::pair<int64_t, Run*>& b) const noexcept {
      return a.first != b.first ? a.first < b.first : ByPath{}(a.second, b.second);
    }
  };
  using Due = std::set<std::pair<int64_t, Run*>, DueOrder>;
  using Asking = std::set<Run*, ByPath>;
  // Which is the next to start something: those that were interrupted come first, in the order in which they had started;
  // then, whose turn it is.
  struct Turn {
    bool is_interrupted = false;
    uint64_t number = 0;
    Run* run = nullptr;
    bool operator<(const Turn& other) const noexcept {
      return is_interrupted != other.is_interrupted ? is_interrupted : number < other.number;
    }
  };
  using Row = std::set<Turn>;

  // What there is to do in a run, and how many events it has routed: of those that have ended too.
  struct Counts {
    size_t startable = 0;
    size_t busy = 0;  // in flight, and somebody is at work on it
    size_t queued = 0;
    size_t in_flight = 0;  // but for what hosts runs
    uint64_t events = 0;
  };
  // Throws std::bad_alloc.
  void make_row_node();

  // ---- of a child ----
  Run* top = nullptr;     // it has a reference; null: this is the top
  Run* parent = nullptr;  // null: it has ended, or its invocation is gone
  Invocation* host = nullptr;
  RunStatus told = RunStatus::running;  // as its parent knows
  bool is_untold = false;               // without memory: its parent is told in a while how it stands
  Counts counted;                       // in that of the family
  Turn turn;                            // in the row; a number of 0: it is not there
  Row::node_type row_node;              // while it is not, as what follows
  Asking::node_type asking_node;
  Run* next_cut_off = nullptr;  // in Notifications
  Run* next_below = nullptr;    // of Run::list_below, while the lock is held
  int64_t due_ms = INT64_MAX;   // in `due`; INT64_MAX: it is not there
  Due::node_type due_node;      // while it is not
  Runs::node_type run_node;

  // ---- of a top; null of a child ----
  // A look-up, an addition and a removal cost the logarithm of the number of children.
  struct Family {
    Runs runs;
    Due due;
    Row row;
    Asking asking;
    Counts counts;                              // of the runs below the top
    bool has_seats = false;                     // some run below has used a pool
    std::map<const Pool*, PoolQueuer> queuers;  // of pools that the top does not use
    std::unique_ptr<LeftOver> spare;            // so that what becomes of one child needs no memory
  };
  std::unique_ptr<Family> family;
};

}  // namespace blazen
