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
// however many there are; a look at what an invocation of a join was given, the logarithm of their number, or nothing that
// grows, where it is the oldest; cancelling, the number of what is cancelled.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "base/object.hpp"
#include "run/deadlines.hpp"
#include "run/groups.hpp"
#include "run/id_row.hpp"
#include "run/invocation.hpp"
#include "run/questions.hpp"
#include "run/workflow.hpp"
#include "value/event.hpp"

namespace blazen {

// An index of the memberships. 0: none.
using MembershipIndex = uint32_t;

struct Scope;

// One join of a scope.
struct ScopeJoin {
  StepIndex step = kNoStep;
  bool closed = false;         // takes nothing any more
  int64_t due_ms = INT64_MAX;  // by the second counter of the run
  Ref<Group> group;            // all that arrives; by event: what it is invoked with where nothing has
  // By event: one for each correlation; and those that have something, in a row. Null: not by event, or closed.
  std::unique_ptr<KeyedGroups> keyed;
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
  std::span<ScopeJoin> joins;  // as Opener::joins
  // By OpenerIndex: the innermost scope of that opener, from this one outwards, and of what in it this one comes.
  struct Nearest {
    Scope* scope = nullptr;  // null: there is none
    uint64_t origin = 0;
  };
  std::span<Nearest> nearest;

  // The two rows stand behind it, in one piece of memory: there may be as many scopes as events. Throws std::bad_alloc.
  static std::unique_ptr<Scope> make(size_t joins, size_t openers);
  Scope() noexcept = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { std::destroy(joins.begin(), joins.end()); }
  // NOLINTNEXTLINE(misc-new-delete-overloads): make() has more memory than one of these
  static void operator delete(void* memory) noexcept { ::operator delete(memory); }
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
  // For as many, after all that may be prepared.
  void prepare_deliveries() { delivered_.reserve(may_deliver()); }
  // Whether these would find nothing to do: the first for so many arrivals in this tick, of one correlation.
  bool has_room_for_arrivals(Scope& scope, StepIndex join, std::string_view correlation,
                             size_t count) const noexcept;
  bool has_room_for_deliveries() const noexcept { return may_deliver() <= delivered_.room(); }
  bool has_room_for_memberships(size_t count) const noexcept {
    return count <= free_count_ + (memberships_.capacity() - memberships_.size());
  }
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
  Scope* find(uint64_t id) const noexcept { return all_.find(id); }
  size_t size() const noexcept { return all_.size(); }
  // Prepared. within: where its opener belongs.
  // now_ms: by the runtime's clock.
  Scope& open(uint64_t invocation, MembershipIndex within, int64_t now_ms) noexcept;
  // The invocation that has opened it is gone.
  void lose_opener(Scope& scope) noexcept;
  // By their ids.
  const IdRow<std::unique_ptr<Scope>>& all() const noexcept { return all_; }

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

  // To an invocation that is newer than those of all before.
  void deliver(Ref<Group> group, uint64_t invocation) noexcept;
  // Of an invocation of a join; null: of another.
  Group* delivered(uint64_t invocation) const noexcept { return delivered_.find(invocation); }
  Ref<Group> take_delivered(uint64_t invocation) noexcept;
  const IdRow<Ref<Group>>& all_delivered() const noexcept { return delivered_; }

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
  // By ascending invocations.
  void restore_delivered(uint64_t invocation, Ref<Group> group);
  MembershipIndex restore_membership(Scope& scope, uint64_t origin);

 private:
  std::unique_ptr<Scope> make_scope(OpenerIndex opener) const;
  void link(Scope& scope, Scope* parent) noexcept;
  MembershipIndex enter_scope(Scope& scope, MembershipIndex base, uint64_t origin) noexcept;
  MembershipIndex take_membership(Scope& scope, uint64_t origin) noexcept;
  void free_membership(MembershipIndex at) noexcept;
  Ref<Group> finish(const Scope& scope, const ScopeJoin& join, Ref<Group> group, JoinReason reason) noexcept;
  static size_t groups_of(const Scope& scope) noexcept;

  const Workflow& workflow_;
  IdRow<std::unique_ptr<Scope>> all_;
  std::map<uint64_t, Scope*> by_opener_;
  std::vector<Membership> memberships_;  // the first is none
  MembershipIndex free_ = 0;
  size_t free_count_ = 0;
  IdRow<Ref<Group>> delivered_;
  Deadlines& deadlines_;
  std::vector<Scope*> candidates_;  // a heap with room for all, the innermost on top
  size_t open_groups_ = 0;          // that a join may be invoked with, one of a join by event for nothing too
  std::unique_ptr<Scope> spare_;
  std::map<uint64_t, Scope*>::node_type spare_opener_;
  std::vector<Deadlines::Node> spare_deadlines_;
  std::vector<Ref<Event>> copies_;
  size_t next_copy_ = 0;
  uint64_t tick_ = 1;
};

}  // namespace blazen
