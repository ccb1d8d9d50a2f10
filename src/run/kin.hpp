// What a run has to do with others: a step that is a workflow has a run for each of its invocations, which is a part of
// this one. The invocation hosts it: it is in flight, and nobody is at work on it, until its child has ended.
//
// A child is a run like any other, with a state and counters of its own. Of the whole tree there is one numbering of what is
// published, one pause and one back-pressure: those of the top. What a parent has to know of what is in a child is where it
// stands (RunStatus), so that where the parent stands is found without a look at more than one level.
//
// Invariants: a child is here for as long as its invocation is in flight and hosts it; `count` says how many of them stand
// where. Those in `left` have lost their invocation: the engine ends them in the same hold of the lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/linked_tree.hpp"
#include "run/run_status.hpp"
#include "value/error.hpp"
#include "value/event_path.hpp"

namespace blazen {

class Run;
struct Invocation;
struct RunState;
struct StepDefinition;

// Of a snapshot, where the step is not hosted here: it goes into the next one as it came, and its time stands still.
struct KeptChild {
  struct Question {
    std::string request_id;                     // as it is known outside
    std::string request;                        // JSON
    std::shared_ptr<const std::string> around;  // the steps around it, each with a slash behind it
    std::string source;                         // who asks
    int64_t asked_ms = 0;                       // a date
    std::string step() const { return *around + source; }
  };
  std::string bytes;
  std::vector<Question> questions;
};

struct Kin;

// By the ids of their invocations. An addition and a removal cost the logarithm of their number.
class Children {
 public:
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  // Null: there is none.
  Kin* find(uint64_t invocation_id) const noexcept;
  Kin* first() const noexcept { return tree_.first(); }
  void insert(Kin& child) noexcept {
    tree_.insert(&child);
    ++size_;
  }
  void remove(Kin& child) noexcept {
    tree_.remove(&child);
    --size_;
  }
  // In order, until `each` answers false.
  template <class Each>
  bool walk(Each each) const {
    return tree_.walk(each);
  }
  // In order.
  template <class Each>
  void each(Each each) const {
    walk([&each](Kin* child) {
      each(*child);
      return true;
    });
  }

 private:
  struct ByHost {
    static TreeLink<Kin>& link(Kin& kin) noexcept;
    static bool before(const Kin& a, const Kin& b) noexcept;
  };
  LinkedTree<Kin, ByHost> tree_;
  size_t size_ = 0;
};

struct Kin {
  virtual ~Kin() = default;

  // Of a child.
  RunState* state = nullptr;              // its own: the engine keeps it for as long as its parent has it
  RunState* top = nullptr;                // null: it is none
  TreeLink<Kin> siblings;                 // in the children of its parent
  uint64_t host_id = 0;                   // of its invocation
  Invocation* host = nullptr;             // valid as long as its parent has it
  RunStatus status = RunStatus::created;  // as its parent knows
  Run* run = nullptr;                     // the engine's
  const StepDefinition* step = nullptr;   // that it is
  Ref<EventPath> path;
  uint32_t attempt = 1;      // of its invocation
  int64_t used_ms = 0;       // of the time of its step, in rounds before
  uint32_t depth = 0;        // how many are around it
  bool may_wait = false;     // for the outside, where its workflow lets it
  bool is_cut_off = false;   // its invocation is gone, and it is about to end
  bool is_finished = false;  // that, and all in it is gone
  bool has_left = false;     // the engine has taken it out of the tree

  // Of a run that could start something: its place in the row of the tree, where each has its turn for one invocation; 0: it
  // could not. So which one is next is a function of the states, and a snapshot has it.
  uint64_t turn = 0;
  uint64_t turn_last = 0;  // of a top

  // Of its own children.
  Children children;
  Children left;
  std::map<uint64_t, KeptChild> kept;  // by the ids of their invocations
  uint64_t questions = 0;              // of a top: that are open in the runs below it
  uint32_t running = 0;                // of the children, those that stand there
  uint32_t elsewhere = 0;
  uint32_t asking = 0;

  uint32_t* count_of(RunStatus where) noexcept {
    switch (where) {
      case RunStatus::created:
      case RunStatus::running: return &running;
      case RunStatus::elsewhere: return &elsewhere;
      case RunStatus::asking: return &asking;
      default: return nullptr;
    }
  }
};

inline TreeLink<Kin>& Children::ByHost::link(Kin& kin) noexcept { return kin.siblings; }
inline bool Children::ByHost::before(const Kin& a, const Kin& b) noexcept { return a.host_id < b.host_id; }
inline Kin* Children::find(uint64_t invocation_id) const noexcept {
  Kin* found = tree_.find_first([=](const Kin& kin) { return kin.host_id < invocation_id; });
  return found != nullptr && found->host_id == invocation_id ? found : nullptr;
}

}  // namespace blazen
