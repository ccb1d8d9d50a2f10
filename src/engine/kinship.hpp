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
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/linked_tree.hpp"
#include "base/object.hpp"
#include "engine/notifications.hpp"
#include "engine/pools.hpp"
#include "run/kin.hpp"
#include "run/run_status.hpp"
#include "run/tick.hpp"

namespace blazen {

class Run;

// What a tick of one run of the tree has let go of because of another run's: it goes with the next opening of the lock.
struct LeftOver {
  Commands commands;
  Run* run = nullptr;  // a child that has ended, with its reference; null: none
  LeftOverPointer next;
};

struct Kinship;

// The runs of a tree. They are put in the order of their ids when somebody looks for one: most trees are never asked. An
// addition costs the same however many there are; a look-up and a removal cost the logarithm of their number, and the look-up,
// beside, what those cost that have come since the last.
class RunsInside {
 public:
  size_t size() const noexcept { return size_; }
  void insert(Kinship& kin) noexcept;
  void remove(Kinship& kin) noexcept;
  // Null: it is not in the tree.
  Run* find(const RunId& id) noexcept;
  // All of them, through next_below.
  Run* list() const noexcept;

 private:
  struct ById {
    static TreeLink<Kinship>& link(Kinship& kin) noexcept;
    static bool before(const Kinship& a, const Kinship& b) noexcept;
  };
  LinkedTree<Kinship, ById> sorted_;
  Kinship* unsorted_ = nullptr;
  size_t size_ = 0;
};

struct Kinship {
  // By their paths: in the same order in each process.
  struct ByPath {
    static TreeLink<Kinship>& link(Kinship& kin) noexcept { return kin.asking; }
    static bool before(const Kinship& a, const Kinship& b) noexcept;
  };
  struct ByDue {
    static TreeLink<Kinship>& link(Kinship& kin) noexcept { return kin.due; }
    static bool before(const Kinship& a, const Kinship& b) noexcept {
      return a.due_ms != b.due_ms ? a.due_ms < b.due_ms : ByPath::before(a, b);
    }
  };
  // Which is the next to start something: those that were interrupted come first, in the order in which they had started;
  // then, whose turn it is.
  struct Turn {
    bool is_interrupted = false;
    uint64_t number = 0;
    bool operator==(const Turn&) const noexcept = default;
  };
  struct ByTurn {
    static TreeLink<Kinship>& link(Kinship& kin) noexcept { return kin.row; }
    static bool before(const Kinship& a, const Kinship& b) noexcept {
      return a.turn.is_interrupted != b.turn.is_interrupted ? a.turn.is_interrupted
                                                            : a.turn.number < b.turn.number;
    }
  };

  // What there is to do in a run, and how many events it has routed: of those that have ended too.
  struct Counts {
    size_t startable = 0;
    size_t busy = 0;  // in flight, and somebody is at work on it
    size_t queued = 0;
    size_t in_flight = 0;  // but for what hosts runs
    uint64_t events = 0;
  };
  explicit Kinship(Run& its_run) noexcept : run(&its_run) {}
  Kinship(const Kinship&) = delete;
  Kinship& operator=(const Kinship&) = delete;

  Run* const run;
  // ---- of a child ----
  Run* top = nullptr;     // it has a reference; null: this is the top
  Run* parent = nullptr;  // null: it has ended, or its invocation is gone
  Invocation* host = nullptr;
  RunStatus told = RunStatus::running;  // as its parent knows
  bool is_untold = false;               // without memory: its parent is told in a while how it stands
  Counts counted;                       // in that of the family
  Turn turn;                            // in the row; a number of 0: it is not there
  Run* next_cut_off = nullptr;          // in Notifications
  Run* next_below = nullptr;            // of Run::list_below, while the lock is held
  int64_t due_ms = INT64_MAX;           // in `due`; INT64_MAX: it is not there
  RunId id{};                           // once somebody has looked for one of the tree
  // In the trees of the family.
  TreeLink<Kinship> by_id;
  TreeLink<Kinship> due;
  TreeLink<Kinship> row;
  TreeLink<Kinship> asking;

  // ---- of a top; null of a child ----
  // A look-up, an addition and a removal cost the logarithm of the number of children.
  struct Family {
    RunsInside runs;
    LinkedTree<Kinship, ByDue> due;
    LinkedTree<Kinship, ByTurn> row;
    LinkedTree<Kinship, ByPath> asking;
    Counts counts;                              // of the runs below the top
    bool has_seats = false;                     // some run below has used a pool
    std::map<const Pool*, PoolQueuer> queuers;  // of pools that the top does not use
    LeftOverPointer spare;                      // so that what becomes of one child needs no memory
  };
  std::unique_ptr<Family> family;
};

inline TreeLink<Kinship>& RunsInside::ById::link(Kinship& kin) noexcept { return kin.by_id; }
// No two ids are equal but by a chance that nobody has; the order holds then too.
inline bool RunsInside::ById::before(const Kinship& a, const Kinship& b) noexcept {
  return a.id != b.id ? a.id < b.id : std::less<>()(&a, &b);
}

// Of a child, both in one.
struct KinOfChild final : Kin {
  explicit KinOfChild(Run& child) noexcept : kinship(child) {}
  Kinship kinship;
};

}  // namespace blazen
