#include "run/scopes.hpp"

#include <algorithm>
#include <utility>

#include "base/growth.hpp"

namespace blazen {
namespace {

// The innermost comes first, and of those equally deep the one that was opened first.
bool comes_later(const Scope* a, const Scope* b) noexcept {
  return a->depth != b->depth ? a->depth < b->depth : a->id > b->id;
}

const JoinDefinition& definition_of(const Workflow& workflow, const ScopeJoin& join) noexcept {
  return *workflow.steps()[join.step].join;
}

template <class Map>
typename Map::node_type make_node() {
  Map one;
  one.try_emplace(typename Map::key_type{});
  return one.extract(one.begin());
}

}  // namespace

Scopes::Scopes(const Workflow& workflow, Deadlines& deadlines)
    : workflow_(workflow), memberships_(1), deadlines_(deadlines) {}

// ------------------------------------------------------------------------------------------------- preparing

namespace {

Ref<Group> make_group() { return Ref<Group>::adopt(new Group); }

}  // namespace

std::unique_ptr<Scope> Scope::make(size_t joins, size_t openers) {
  static_assert(sizeof(Scope) % alignof(ScopeJoin) == 0 && sizeof(ScopeJoin) % alignof(Nearest) == 0);
  const size_t bytes = sizeof(Scope) + joins * sizeof(ScopeJoin) + openers * sizeof(Nearest);
  std::unique_ptr<Scope> scope(new (::operator new(bytes)) Scope);
  auto* const first_join = reinterpret_cast<ScopeJoin*>(scope.get() + 1);
  std::uninitialized_value_construct_n(first_join, joins);
  scope->joins = {first_join, joins};
  auto* const first_nearest = reinterpret_cast<Nearest*>(first_join + joins);
  std::uninitialized_value_construct_n(first_nearest, openers);
  scope->nearest = {first_nearest, openers};
  return scope;
}

std::unique_ptr<Scope> Scopes::make_scope(OpenerIndex opener) const {
  const Opener& definition = workflow_.openers()[opener];
  std::unique_ptr<Scope> scope = Scope::make(definition.joins.size(), workflow_.openers().size());
  scope->opener = opener;
  scope->is_ordered = definition.is_ordered;
  for (size_t i = 0; i < definition.joins.size(); ++i) {
    ScopeJoin& join = scope->joins[i];
    join.step = definition.joins[i];
    join.group = make_group();
    if (definition_of(workflow_, join).by_event) join.keyed = std::make_unique<KeyedGroups>();
    join.group->empty_event = Event::make(kEmptyJoin, Value::null(), workflow_.steps()[definition.step].name);
  }
  return scope;
}

void Scopes::prepare_open(OpenerIndex opener) {
  prepare_memberships(2);
  if (candidates_.capacity() <= all_.size())
    candidates_.reserve(std::max<size_t>(16, candidates_.capacity() * 2));
  if (!spare_ || spare_->opener != opener) spare_ = make_scope(opener);
  all_.reserve(1);
  if (spare_opener_.empty()) spare_opener_ = make_node<decltype(by_opener_)>();
  spare_deadlines_.reserve(spare_->joins.size());
  while (spare_deadlines_.size() < spare_->joins.size()) spare_deadlines_.push_back(deadlines_.make_node());
}

void Scopes::prepare_memberships(size_t count) {
  if (count > free_count_) reserve_more(memberships_, count - free_count_);
}

void Scopes::prepare_arrival(Scope* scope, StepIndex step, std::string_view correlation) {
  ScopeJoin& join = join_of(scope == nullptr ? *spare_ : *scope, step);
  if (join.closed) return;
  Group* group = join.group.get();
  if (join.keyed) {
    if (const KeyedGroups::Entry* known = join.keyed->find(correlation)) {
      group = known->group.get();
      if (group == nullptr) return;  // it was given
    } else {
      group = join.keyed->add(correlation, make_group());
      if (scope != nullptr) ++open_groups_;
    }
  }
  if (std::exchange(group->prepared_in, tick_) != tick_) group->prepared = 0;
  group->arrived.reserve(group->arrived.size() + ++group->prepared);
}

bool Scopes::has_room_for_arrivals(Scope& scope, StepIndex step, std::string_view correlation,
                                   size_t count) const noexcept {
  const ScopeJoin& join = join_of(scope, step);
  if (join.closed) return true;
  const Group* group = join.group.get();
  if (join.keyed) {
    const KeyedGroups::Entry* known = join.keyed->find(correlation);
    if (known == nullptr) return false;
    group = known->group.get();
  }
  return group == nullptr || group->arrived.room() >= count;
}

size_t Scopes::groups_of(const Scope& scope) noexcept {
  size_t count = scope.joins.size();
  for (const ScopeJoin& join : scope.joins) count += join.keyed ? join.keyed->size() : 0;
  return count;
}

size_t Scopes::may_deliver() const noexcept { return open_groups_ + (spare_ ? groups_of(*spare_) : 0); }

Ref<Event> Scopes::copy_of(const Event& event) {
  Ref<Event> copy = Event::make(event.type(), event.value(), event.source(), event.correlation());
  copy->id = event.id;
  return copy;
}

// ------------------------------------------------------------------------------------------------ memberships

MembershipIndex Scopes::take_membership(Scope& scope, uint64_t origin) noexcept {
  MembershipIndex at = free_;
  if (at != 0) {
    free_ = memberships_[at].next;
    --free_count_;
  } else {
    at = static_cast<MembershipIndex>(memberships_.size());
    memberships_.emplace_back();
  }
  Membership& made = memberships_[at];
  made = Membership{};
  made.scope = &scope;
  made.origin = origin;
  if (!scope.tracks) return at;
  made.next = scope.first;
  if (scope.first != 0) memberships_[scope.first].previous = at;
  scope.first = at;
  return at;
}

void Scopes::free_membership(MembershipIndex index) noexcept {
  Membership& gone = memberships_[index];
  if (gone.scope->tracks) {
    (gone.previous != 0 ? memberships_[gone.previous].next : gone.scope->first) = gone.next;
    if (gone.next != 0) memberships_[gone.next].previous = gone.previous;
  }
  gone = Membership{};
  gone.next = free_;
  free_ = index;
  ++free_count_;
}

MembershipIndex Scopes::enter_scope(Scope& scope, MembershipIndex base, uint64_t origin) noexcept {
  MembershipIndex index = base;
  if (scope.tracks || base == 0) {
    const bool is_own = scope.tracks || scope.is_ordered;
    if (!is_own && scope.shared == 0) scope.shared = take_membership(scope, 0);
    index = is_own ? take_membership(scope, scope.is_ordered ? origin : 0) : scope.shared;
  }
  ++memberships_[index].count;
  ++scope.live;
  return index;
}

MembershipIndex Scopes::enter(uint64_t event_id) noexcept {
  if (routing.scope == nullptr) return 0;
  return enter_scope(*routing.scope, routing.base,
                     routing.base == 0 ? event_id : memberships_[routing.base].origin);
}

MembershipIndex Scopes::enter_parent(const Scope& scope) noexcept {
  if (scope.in_parent == 0) return 0;
  return enter_scope(*scope.parent, scope.in_parent, scope.parent_origin);
}

void Scopes::leave(MembershipIndex index) noexcept {
  if (index == 0) return;
  Membership& membership = memberships_[index];
  Scope& scope = *membership.scope;
  if (--membership.count == 0 && index != scope.shared) free_membership(index);
  if (--scope.live == 0) consider(scope);
}

void Scopes::hold(const Routing& by) noexcept {
  routing = by;
  if (by.base == 0) return;
  ++memberships_[by.base].count;
  ++by.scope->live;
}

void Scopes::unhold() noexcept { leave(std::exchange(routing, Routing{}).base); }

void Scopes::release() noexcept {
  unhold();
  copies_.clear();
  next_copy_ = 0;
  ++tick_;
}

// ----------------------------------------------------------------------------------------------------- scopes

Scope* Scopes::opened_by(uint64_t invocation) const noexcept {
  const auto found = by_opener_.find(invocation);
  return found == by_opener_.end() ? nullptr : found->second;
}

void Scopes::link(Scope& scope, Scope* parent) noexcept {
  scope.parent = parent;
  scope.tracks = workflow_.openers()[scope.opener].cancels_rest || (parent != nullptr && parent->tracks);
  if (parent != nullptr) {
    scope.depth = parent->depth + 1;
    for (size_t i = 0; i < scope.nearest.size(); ++i) {
      scope.nearest[i] = parent->nearest[i];
      if (scope.nearest[i].scope == parent) scope.nearest[i].origin = scope.parent_origin;
    }
    ++parent->records;
    scope.next_sibling = parent->first_inside;
    if (parent->first_inside != nullptr) parent->first_inside->previous_sibling = &scope;
    parent->first_inside = &scope;
  }
  scope.nearest[scope.opener].scope = &scope;
  open_groups_ += groups_of(scope);
}

Scope& Scopes::open(uint64_t invocation, MembershipIndex within, int64_t now_ms) noexcept {
  Scope& scope = *spare_;
  scope.id = ++id_last;
  scope.opener_invocation = invocation;
  all_.add(scope.id, std::move(spare_));
  spare_opener_.key() = invocation;
  spare_opener_.mapped() = &scope;
  by_opener_.insert(std::move(spare_opener_));
  Scope* const parent = scope_of(within);
  if (parent != nullptr) scope.parent_origin = memberships_[within].origin;
  link(scope, parent);
  ++scope.live;  // its opener
  if (parent != nullptr) scope.in_parent = enter_scope(*parent, within, scope.parent_origin);
  for (uint32_t place = 0; place < scope.joins.size(); ++place) {
    ScopeJoin& join = scope.joins[place];
    const int64_t deadline_ms = definition_of(workflow_, join).deadline_ms;
    if (deadline_ms == 0) continue;
    join.due_ms = add_ms(deadlines_.at(now_ms), deadline_ms);
    Deadlines::Node node = std::move(spare_deadlines_.back());
    spare_deadlines_.pop_back();
    deadlines_.add({join.due_ms, DeadlineClass::join, scope.id, place}, {nullptr, &scope}, std::move(node));
  }
  return scope;
}

void Scopes::lose_opener(Scope& scope) noexcept {
  auto opener = by_opener_.extract(std::exchange(scope.opener_invocation, 0));
  if (spare_opener_.empty()) spare_opener_ = std::move(opener);
  if (--scope.live == 0) consider(scope);
}

void Scopes::close_join(Scope& scope, ScopeJoin& join) noexcept {
  if (std::exchange(join.closed, true)) return;
  --open_groups_;
  if (join.keyed) {
    for (const KeyedGroups::Entry& entry : join.keyed->entries()) {
      if (entry.group) --open_groups_;  // made for an arrival that did not come
    }
    join.keyed.reset();
  }
  if (join.due_ms != INT64_MAX)
    deadlines_.remove({std::exchange(join.due_ms, INT64_MAX), DeadlineClass::join, scope.id,
                       static_cast<uint32_t>(&join - scope.joins.data())});
}

void Scopes::close_if_done(Scope& scope) noexcept {
  if (scope.closed) return;
  for (const ScopeJoin& join : scope.joins) {
    if (!join.closed) return;
  }
  scope.closed = true;
  leave(std::exchange(scope.in_parent, 0));
}

void Scopes::forget_if_over(Scope* scope) noexcept {
  while (scope != nullptr && scope->closed && scope->live == 0 && scope->records == 0 &&
         !scope->is_candidate) {
    Scope* const parent = scope->parent;
    if (parent != nullptr) {
      --parent->records;
      (scope->previous_sibling != nullptr ? scope->previous_sibling->next_sibling : parent->first_inside) =
          scope->next_sibling;
      if (scope->next_sibling != nullptr) scope->next_sibling->previous_sibling = scope->previous_sibling;
    }
    if (scope->shared != 0) free_membership(scope->shared);
    all_.take(scope->id);
    scope = parent;
  }
}

void Scopes::consider(Scope& scope) noexcept {
  if (std::exchange(scope.is_candidate, true)) return;
  candidates_.push_back(&scope);
  std::push_heap(candidates_.begin(), candidates_.end(), comes_later);
}

Scope* Scopes::take_candidate() noexcept {
  if (candidates_.empty()) return nullptr;
  std::pop_heap(candidates_.begin(), candidates_.end(), comes_later);
  Scope* const scope = candidates_.back();
  candidates_.pop_back();
  scope->is_candidate = false;
  return scope;
}

// --------------------------------------------------------------------------------------------------- arrivals

Scopes::Arrived Scopes::arrive(Scope& scope, ScopeJoin& join, Ref<Event>& event) noexcept {
  const JoinDefinition& definition = definition_of(workflow_, join);
  Group* group = join.group.get();
  if (join.keyed) group = join.keyed->find(event->correlation())->group.get();
  if (join.closed || group == nullptr) {
    ++scope.late;
    return Arrived::late;
  }
  if (join.keyed && group->arrived.empty()) {
    group->before = join.last;
    (join.last != nullptr ? join.last->after : join.first) = group;
    join.last = group;
  }
  uint64_t origin = 0;
  if (scope.is_ordered) {
    origin = &scope != routing.scope ? routing.scope->nearest[scope.opener].origin
             : routing.base == 0     ? event->id
                                     : memberships_[routing.base].origin;
  }
  const bool is_enough = (definition.wanted != 0 && group->arrived.size() + 1 >= definition.wanted) ||
                         (!definition.enough_at.empty() && event->type() == definition.enough_at);
  group->arrived.push_back({std::move(event), origin});
  ++collected;
  return is_enough ? Arrived::enough : Arrived::collected;
}

namespace {

// By origin, and those of one in the order in which they came: a stable sort, but one that needs no memory. What has
// arrived belongs to nothing, so that its place stands in its membership meanwhile.
void sort_arrivals(Arrivals& arrived) noexcept {
  for (size_t i = 0; i < arrived.size(); ++i) arrived[i].event->membership = static_cast<MembershipIndex>(i);
  std::sort(arrived.begin(), arrived.end(), [](const Group::Arrival& a, const Group::Arrival& b) {
    return a.origin != b.origin ? a.origin < b.origin : a.event->membership < b.event->membership;
  });
  for (const Group::Arrival& arrival : arrived) arrival.event->membership = 0;
}

}  // namespace

Ref<Group> Scopes::finish(const Scope& scope, const ScopeJoin& join, Ref<Group> group,
                          JoinReason reason) noexcept {
  const JoinDefinition& definition = definition_of(workflow_, join);
  group->reason = reason;
  group->wanted = definition.wanted;
  group->scope_id = scope.id;
  if (!group->arrived.empty()) group->last = group->arrived.back().event;
  if (definition.is_ordered) sort_arrivals(group->arrived);
  return group;
}

Ref<Group> Scopes::take_enough(Scope& scope, ScopeJoin& join, std::string_view correlation) noexcept {
  if (!join.keyed) {
    close_join(scope, join);
    return finish(scope, join, std::move(join.group), JoinReason::condition);
  }
  Ref<Group> group = join.keyed->take(*join.keyed->find(correlation)->group);
  --open_groups_;
  (group->before != nullptr ? group->before->after : join.first) = group->after;
  (group->after != nullptr ? group->after->before : join.last) = group->before;
  return finish(scope, join, std::move(group), JoinReason::condition);
}

Ref<Group> Scopes::take_rest(Scope& scope, ScopeJoin& join, JoinReason reason) noexcept {
  if (!join.keyed) return join.group ? finish(scope, join, std::move(join.group), reason) : nullptr;
  if (join.first == nullptr) {
    if (join.keyed->has_given() || !join.group) return nullptr;
    return finish(scope, join, std::move(join.group), reason);
  }
  Group* const first = join.first;
  join.first = first->after;
  (join.first != nullptr ? join.first->before : join.last) = nullptr;
  --open_groups_;
  join.group.reset();  // it is not invoked with nothing
  return finish(scope, join, join.keyed->take(*first), reason);
}

void Scopes::deliver(Ref<Group> group, uint64_t invocation) noexcept {
  group->empty_event.reset();
  delivered_.add(invocation, std::move(group));
}

Ref<Group> Scopes::take_delivered(uint64_t invocation) noexcept {
  Ref<Group> group = delivered_.take(invocation);
  if (group) collected -= group->arrived.size();
  return group;
}

// --------------------------------------------------------------------------------------------- from a snapshot

Scope& Scopes::restore_scope(uint64_t id, Scope* parent, uint64_t parent_origin, OpenerIndex opener,
                             uint64_t opener_invocation) {
  prepare_open(opener);
  std::unique_ptr<Scope> made = std::exchange(spare_, nullptr);
  Scope& scope = *made;
  scope.id = id;
  scope.parent_origin = parent_origin;
  if (opener_invocation != 0) by_opener_.emplace(opener_invocation, &scope);
  all_.add(id, std::move(made));
  link(scope, parent);
  prepare_deliveries();
  scope.opener_invocation = opener_invocation;
  if (opener_invocation != 0) ++scope.live;
  return scope;
}

void Scopes::restore_inside(Scope& scope) {
  prepare_memberships(2);
  scope.in_parent = enter_scope(*scope.parent, 0, scope.parent_origin);
}

void Scopes::restore_deadline(Scope& scope, ScopeJoin& join, int64_t due_ms) {
  const auto place = static_cast<uint32_t>(&join - scope.joins.data());
  deadlines_.add({due_ms, DeadlineClass::join, scope.id, place}, {nullptr, &scope}, deadlines_.make_node());
  join.due_ms = due_ms;
}

void Scopes::restore_group(ScopeJoin& join, std::string_view correlation, bool is_given,
                           std::vector<Group::Arrival> arrived) {
  collected += arrived.size();
  if (!join.keyed && is_given) return join.group.reset();
  Ref<Group> made = join.keyed && !is_given ? make_group() : nullptr;
  Group* group = join.keyed ? join.keyed->add(correlation, std::move(made)) : join.group.get();
  if (group == nullptr) return;
  group->arrived.reserve(arrived.size());
  for (Arrival& arrival : arrived) group->arrived.push_back(std::move(arrival));
  if (!join.keyed) return;
  group->before = join.last;
  (join.last != nullptr ? join.last->after : join.first) = group;
  join.last = group;
  ++open_groups_;
  prepare_deliveries();
}

void Scopes::restore_delivered(uint64_t invocation, Ref<Group> group) {
  collected += group->arrived.size();
  delivered_.reserve(1);
  delivered_.add(invocation, std::move(group));
  prepare_deliveries();
}

// An origin is kept also where the workflow does not ask for one now.
MembershipIndex Scopes::restore_membership(Scope& scope, uint64_t origin) {
  prepare_memberships(2);
  if (origin == 0) return enter_scope(scope, 0, 0);
  const MembershipIndex index = take_membership(scope, origin);
  ++memberships_[index].count;
  ++scope.live;
  return index;
}

}  // namespace blazen
