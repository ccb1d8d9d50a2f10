#include "snapshot/scopes_cut.hpp"

#include <algorithm>

namespace blazen {
namespace {

void cut_group(const std::string& correlation, const Group* group, ScopesCut& cut) {
  cut.groups.push_back({correlation, group == nullptr, group == nullptr ? 0 : group->arrived.size()});
  if (group == nullptr) return;
  for (const Group::Arrival& arrival : group->arrived)
    cut.arrivals.push_back({arrival.event, arrival.origin});
}

// By event: those that collect, in the order of their first arrivals; then those that were given, by their correlations.
void cut_join(const JoinDefinition& definition, const ScopeJoin& join, ScopesCut& cut) {
  ScopesCut::Join made{join.step, join.closed, join.due_ms, 0};
  const size_t before = cut.groups.size();
  if (!join.closed && !definition.by_event) {
    if (!join.group->arrived.empty()) cut_group({}, join.group.get(), cut);
  } else if (!join.closed) {
    for (const Group* group = join.first; group != nullptr; group = group->after)
      cut_group(std::string(group->arrived.front().event->correlation()), group, cut);
    std::vector<std::string_view> given;
    for (const KeyedGroups::Entry& entry : join.keyed->entries()) {
      if (!entry.group) given.push_back(join.keyed->correlation(entry));
    }
    std::sort(given.begin(), given.end());
    for (const std::string_view correlation : given) cut_group(std::string(correlation), nullptr, cut);
  }
  made.groups = cut.groups.size() - before;
  cut.joins.push_back(made);
}

}  // namespace

void cut_collects(const Collects& collects, CollectsCut& cut) {
  for (const auto& [key, kinds] : collects.groups()) {
    cut.groups.push_back({key, kinds.size()});
    for (const auto& [type, kind] : kinds) {
      cut.kinds.push_back({type, kind.wanted, kind.events.size()});
      cut.events.insert(cut.events.end(), kind.events.begin(), kind.events.end());
    }
  }
  for (const auto& [at, group] : collects.whole()) {
    cut.whole.push_back({at.first, at.second, group->arrived.size()});
    for (const Group::Arrival& arrival : group->arrived) cut.whole_events.push_back(arrival.event);
  }
}

void cut_scopes(const RunState& state, ScopesCut& cut) {
  const Scopes& scopes = *state.scopes;
  const Workflow& workflow = *state.workflow;
  cut.id_last = scopes.id_last;
  for (const auto& [id, scope] : scopes.all()) {
    cut.scopes.push_back({id, scope->parent == nullptr ? 0 : scope->parent->id, scope->parent_origin,
                          workflow.openers()[scope->opener].step, scope->opener_invocation, scope->late,
                          scope->cancelled, scope->joins.size()});
    for (const ScopeJoin& join : scope->joins) cut_join(*workflow.steps()[join.step].join, join, cut);
  }
  for (const auto& [key, timer] : state.timers) {
    if (key.what == TimerClass::delay) cut.add_member(scopes, MemberKind::delayed, key.id, timer.membership);
  }
  for (const Question& question : state.questions) {
    if (question.asker == nullptr)
      cut.add_member(scopes, MemberKind::question, question.request->id, question.membership);
  }
  for (const auto& [invocation, group] : scopes.all_delivered()) {
    cut.delivered.push_back(
        {invocation, group->reason, group->wanted, group->scope_id, group->arrived.size()});
    for (const Group::Arrival& arrival : group->arrived) cut.delivered_events.push_back(arrival.event);
  }
}

}  // namespace blazen
