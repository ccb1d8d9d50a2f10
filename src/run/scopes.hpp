// The scopes of a run. A scope is what comes of one invocation of an opener (a step that a join names): its sends and
// outputs, their invocations, what those give, and so on, until a join takes it. So the engine knows when a fan-out is
// over, whatever became of its children, and nobody counts.
//
// What belongs to a scope has a membership, which its event names: an invocation, a delayed event, or a question that an
// event asked. Where the scope is ordered, all that descends from one output of the opener shares a membership, which
// knows that output (origin); where a join of it, or of a scope around it, cancels the rest, each has its own, in the list
// of its scope, so that it can be found. Else the whole scope has one.
//
// Invariants:
//   1. `live` of a scope is the number of its invocations, delayed events and questions without an asker, plus one for
//      its opener while that is there, plus one for each scope inside that is not closed.
//   2. A scope is closed when none of its joins takes anything any more; it counts in its parent until then. Its record
//      goes when it is closed, live is 0, and no record of a scope inside is left.
//   3. The id of a scope is above that of its parent, and at most id_last.
//
// Nothing that is noexcept allocates: what it takes was prepared. What an operation costs: an opening and a closing, the
// logarithm of the number of open scopes, and the number of openers of the workflow; an arrival, a membership, the same
// however many there are (by event: the logarithm of the number of groups); cancelling, the number of what is cancelled.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/object.hpp"
#include "run/deadlines.hpp"
#include "run/invocation.hpp"
#include "run/questions.hpp"
#include "run/workflow.hpp"
#include "value/event.hpp"

namespace blazen {

// An index of the memberships. 0: none.
using MembershipIndex = uint32_t;

// Why a join was invoked: as the public header numbers it, and stored in snapshots.
enum class JoinReason : int32_t { none = 0, complete = 1, condition = 2, shortfall = 3, deadline = 4 };

struct Scope;

// What one join has collected of one scope, and of one correlation where it tells those apart. It is given to the join
// whole, and belongs to its invocation until that is gone.
struct Group final : Object {
  struct Arrival {
    Ref<Event> event;
    uint64_t origin;
  };
  using Delivered = std::map<uint64_t, Ref<Group>>;  // by the invocation

  Group() noexcept : Object(Kind::dead) {}
  static void destroy(Group* group) noexcept { delete group; }

  std::vector<Arrival> arrived;
  Ref<Event> last;                       // to arrive; null: none has
  JoinReason reason = JoinReason::none;  // none: it collects still
  uint32_t wanted = 0;
  uint64_t scope_id = 0;
  // By event, in the row of its join, in the order of the first arrivals.
  Group* after = nullptr;
  Group* before = nullptr;
  size_t prepared = 0;  // how many more may arrive in the tick of that number
  uint64_t prepared_in = 0;
  // Prepared for its delivery.
  Ref<Event> empty_event;
  Delivered::node_type node;
  Ref<Group> next;  // in Commands
};

// One join of a scope.
struct ScopeJoin {
  StepIndex step = kNoStep;
  bool closed = false;         // takes nothing any more
  int64_t due_ms = INT64_MAX;  // by the second counter of the run
  Ref<Group> group;            // all that arrives; by event: what it is invoked with where nothing has
  // By event: one for each correlation, null where it was given already; and those that have something, in a row.
  std::map<std::string, Ref<Group>, std::less<>> keyed;
  Group* first = nullptr;
  Group* last = nullptr;
};

struct Membership {
  Scope* scope = nullptr;  // null: free
  uint64_t origin = 0;     // the id of the opener's send or output that it comes of; 0: not told apart
  uint32_t count = 0;      // of what has it
  // In the list of its scope, where that tracks what it has. One of the three.
  MembershipIndex next = 0;  // of a free one: the next
  MembershipIndex previous = 0;
  Invocation* invocation = nullptr;
  Question* question = nullptr;
  uint64_t delayed = 0;  // the id of the event, and when it is due
  int64_t due_ms = 0;
};

struct Scope {
  uint64_t id = 0;
  Scope* parent = nullptr;
  MembershipIndex in_parent = 0;  // 0: of no scope, or not counted there
  uint64_t parent_origin = 0;
  OpenerIndex opener = kNoOpener;
  uint64_t opener_invocation = 0;  // 0: it is gone
  uint32_t depth = 1;
  uint64_t live = 0;
  uint64_t late = 0;     // what was dropped
  uint32_t records = 0;  // of scopes right inside
  bool is_ordered = false;
  bool tracks = false;
  bool closed = false;
  bool cancelled = false;      // the rest of it was: its opener's later outputs are dropped
  bool is_candidate = false;   // it is looked at when the tick is over
  bool cancels_now = false;    // when the tick is over
  MembershipIndex shared = 0;  // where all have the same
  MembershipIndex first = 0;   // of the list
  Scope* first_inside = nullptr;
  Scope* next_sibling = nullptr;
  Scope* previous_sibling = nullptr;
  std::vector<ScopeJoin> joins;  // as Opener::joins
  // By OpenerIndex: the innermost scope of that opener, from this one outwards, and of what in it this one comes.
  struct Nearest {
    Scope* scope = nullptr;  // null: there is none
    uint64_t origin = 0;
  };
  std::vector<Nearest> nearest;
};

class Scopes {
 public:
  Scopes(const Workflow& workflow, Deadlines& deadlines);
  Scopes(const Scopes&) = delete;
  Scopes& operator=(const Scopes&) = delete;

  uint64_t id_last = 0;
  uint64_t collected = 0;  // events in groups, delivered ones too
  // Where what the present tick routes belongs: the tick's, and not stored.
  struct Routing {
    Scope* scope = nullptr;    // null: to none
    MembershipIndex base = 0;  // of whoever sends it; 0: of an opener, each of whose outputs is an origin
    bool drops = false;        // the scope was cancelled, and takes nothing from its opener
  };
  Routing routing;

  // ---- preparing: throws std::bad_alloc, and changes nothing that can be seen ----

  // For the next open().
  void prepare_open(OpenerIndex opener);
  // For so many more memberships.
  void prepare_memberships(size_t count);
  // For one more arrival in this tick. scope: null: the one that is about to be opened.
  void prepare_arrival(Scope* scope, StepIndex join, std::string_view correlation);
  // How many invocations of joins may come of one tick at most.
  size_t may_deliver() const noexcept;
  // What take_copy() gives next but so many.
  void prepare_copy(const Event& event) { copies_.push_back(copy_of(event)); }
  static Ref<Event> copy_of(const Event& event);

  // ---- scopes ----

  Scope* scope_of(MembershipIndex at) const noexcept { return at == 0 ? nullptr : memberships_[at].scope; }
  // The innermost scope of that opener around a scope; null: there is none.
  static Scope* nearest(Scope* scope, OpenerIndex opener) noexcept {
    return scope == nullptr ? nullptr : scope->nearest[opener].scope;
  }
  // Null: it has opened none.
  Scope* opened_by(uint64_t invocation) const noexcept;
  Scope* find(uint64_t id) const noexcept;
  size_t size() const noexcept { return all_.size(); }
  // Prepared. within: where its opener belongs.
  // now_ms: by the runtime's clock.
  Scope& open(uint64_t invocation, MembershipIndex within, int64_t now_ms) noexcept;
  // The invocation that has opened it is gone.
  void lose_opener(Scope& scope) noexcept;
  // By their ids.
  const std::map<uint64_t, std::unique_ptr<Scope>>& all() const noexcept { return all_; }

  // ---- what belongs to a scope ----

  // For something that is routed now, prepared. 0: it belongs to none.
  MembershipIndex enter(uint64_t event_id) noexcept;
  // For what joins the scope around one, as one of its joins that is invoked.
  MembershipIndex enter_parent(const Scope& scope) noexcept;
  void leave(MembershipIndex at) noexcept;
  // While the tick routes, what its routing is based on stays.
  void hold(const Routing& by) noexcept;
  void unhold() noexcept;
  // The tick is over.
  void release() noexcept;
  Membership& at(MembershipIndex at) noexcept { return memberships_[at]; }
  const Membership& at(MembershipIndex at) const noexcept { return memberships_[at]; }
  Ref<Event> take_copy() noexcept { return std::move(copies_[next_copy_++]); }

  // ---- arrivals ----

  enum class Arrived : uint8_t { collected, enough, late };
  // The event is taken over, where it is not late. Prepared.
  Arrived arrive(Scope& scope, ScopeJoin& join, Ref<Event>& event) noexcept;
  ScopeJoin& join_of(Scope& scope, StepIndex step) const noexcept {
    return scope.joins[workflow_.join_place(step)];
  }
  // What one that has enough is invoked with; this group takes no more.
  Ref<Group> take_enough(Scope& scope, ScopeJoin& join, std::string_view correlation) noexcept;
  // What one that is over is invoked with, group by group; null: that was the last. Where nothing has arrived, one that is
  // empty.
  Ref<Group> take_rest(Scope& scope, ScopeJoin& join, JoinReason reason) noexcept;
  // It takes nothing any more, and has nothing.
  void close_join(Scope& scope, ScopeJoin& join) noexcept;
  // Where none of its joins takes anything, it counts in its parent no more.
  void close_if_done(Scope& scope) noexcept;
  // The record goes where it is over, and those around it that were waiting for that.
  void forget_if_over(Scope* scope) noexcept;

  void deliver(Ref<Group> group, uint64_t invocation) noexcept;
  // Of an invocation of a join; null: of another.
  Group* delivered(uint64_t invocation) const noexcept;
  Ref<Group> take_delivered(uint64_t invocation) noexcept;
  const Group::Delivered& all_delivered() const noexcept { return delivered_; }

  // ---- the end of a tick ----

  void consider(Scope& scope) noexcept;
  // The innermost of those that were considered; null: none is left.
  Scope* take_candidate() noexcept;

  // ---- from a snapshot: each throws std::bad_alloc ----

  Scope& restore_scope(uint64_t id, Scope* parent, uint64_t parent_origin, OpenerIndex opener,
                       uint64_t opener_invocation);
  // One that is not closed counts in its parent.
  void restore_inside(Scope& scope);
  void restore_deadline(Scope& scope, ScopeJoin& join, int64_t due_ms);
  void restore_group(ScopeJoin& join, std::string_view correlation, bool is_given,
                     std::vector<Group::Arrival> arrived);
  void restore_delivered(uint64_t invocation, Ref<Group> group);
  MembershipIndex restore_membership(Scope& scope, uint64_t origin);

 private:
  static Ref<Group> make_group();
  std::unique_ptr<Scope> make_scope(OpenerIndex opener) const;
  void link(Scope& scope, Scope* parent) noexcept;
  MembershipIndex enter_scope(Scope& scope, MembershipIndex base, uint64_t origin) noexcept;
  MembershipIndex take_membership(Scope& scope, uint64_t origin) noexcept;
  void free_membership(MembershipIndex at) noexcept;
  Ref<Group> finish(const Scope& scope, const ScopeJoin& join, Ref<Group> group, JoinReason reason) noexcept;
  static size_t groups_of(const Scope& scope) noexcept;

  const Workflow& workflow_;
  std::map<uint64_t, std::unique_ptr<Scope>> all_;
  std::map<uint64_t, Scope*> by_opener_;
  std::vector<Membership> memberships_;  // the first is none
  MembershipIndex free_ = 0;
  size_t free_count_ = 0;
  Group::Delivered delivered_;
  Deadlines& deadlines_;
  std::vector<Scope*> candidates_;  // a heap with room for all, the innermost on top
  size_t open_groups_ = 0;          // that a join may be invoked with, one of a join by event for nothing too
  std::unique_ptr<Scope> spare_;
  std::map<uint64_t, std::unique_ptr<Scope>>::node_type spare_node_;
  std::map<uint64_t, Scope*>::node_type spare_opener_;
  std::vector<Deadlines::Node> spare_deadlines_;
  std::vector<Ref<Event>> copies_;
  size_t next_copy_ = 0;
  uint64_t tick_ = 1;
};

}  // namespace blazen
