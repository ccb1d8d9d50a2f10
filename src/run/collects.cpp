#include "run/collects.hpp"

#include <algorithm>

namespace blazen {
namespace {

// more: the type of one that is about to come.
bool has_all(const Collects::Kinds& kinds, std::span<const Wanted> wanted, std::string_view more) noexcept {
  return std::all_of(wanted.begin(), wanted.end(), [&](const Wanted& each) {
    return kinds.find(each.type)->second.events.size() + (each.type == more ? 1 : 0) >= each.count;
  });
}

bool is_empty(const Collects::Kinds& kinds) noexcept {
  return std::all_of(kinds.begin(), kinds.end(), [](const auto& kind) { return kind.second.events.empty(); });
}

// Of that type, not of this event: an empty list is whole with no event at all.
bool is_wanted(std::span<const Wanted> wanted, std::string_view type) noexcept {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const Wanted& each) { return each.type == type && each.count != 0; });
}

}  // namespace

Ref<Group> Collects::collect(const Key& key, std::span<const Wanted> wanted, const Ref<Event>& event,
                             uint64_t invocation, uint32_t position) {
  const bool takes = is_wanted(wanted, event->type());
  const auto [at, is_new] = groups_.try_emplace(key);
  Kinds& kinds = at->second;
  Ref<Group> group;
  try {
    for (const Wanted& each : wanted) {
      auto kind = kinds.find(each.type);
      if (kind == kinds.end()) kind = kinds.emplace(each.type, Kind{}).first;
      kind->second.wanted = each.count;
    }
    if (has_all(kinds, wanted, takes ? event->type() : std::string_view())) {
      group = Ref<Group>::adopt(new Group);
      size_t events = 0;
      for (const Wanted& each : wanted) events += each.count;
      group->arrived.reserve(events);
    }
    // The last that can fail leaves nothing behind.
    const auto place = group ? whole_.try_emplace({invocation, position}, group).first : whole_.end();
    try {
      if (takes) kinds.find(event->type())->second.events.push_back(event);
    } catch (...) {
      if (group) whole_.erase(place);
      throw;
    }
  } catch (...) {
    if (is_empty(kinds)) groups_.erase(at);
    throw;
  }
  if (takes) ++count;
  if (group) {
    group->reason = JoinReason::complete;
    for (const Wanted& each : wanted) {
      std::deque<Ref<Event>>& events = kinds.find(each.type)->second.events;
      for (uint32_t i = 0; i < each.count; ++i) {
        group->arrived.push_back({std::move(events.front()), 0});
        events.pop_front();
      }
    }
  }
  if (is_empty(kinds)) groups_.erase(at);
  return group;
}

Ref<Group> Collects::take_whole(uint64_t invocation) noexcept {
  const auto first = whole_.lower_bound({invocation, 0});
  if (first == whole_.end() || first->first.first != invocation) return nullptr;
  Ref<Group> group = std::move(first->second);
  whole_.erase(first);
  count -= group->arrived.size();
  return group;
}

Ref<Event> Collects::take_left(uint64_t scope) noexcept {
  for (auto group = groups_.lower_bound(Key{scope, 0, {}});
       group != groups_.end() && group->first.scope == scope; group = groups_.erase(group)) {
    Kinds& kinds = group->second;
    while (!kinds.empty()) {
      std::deque<Ref<Event>>& events = kinds.begin()->second.events;
      if (events.empty()) {
        kinds.erase(kinds.begin());
        continue;
      }
      Ref<Event> event = std::move(events.front());
      events.pop_front();
      --count;
      return event;
    }
  }
  return nullptr;
}

void Collects::restore_group(Key key, std::string_view type, uint32_t wanted, std::deque<Ref<Event>> events) {
  count += events.size();
  groups_[std::move(key)].emplace(type, Kind{wanted, std::move(events)});
}

void Collects::restore_whole(uint64_t invocation, uint32_t position, Ref<Group> group) {
  count += group->arrived.size();
  whole_.emplace(std::pair(invocation, position), std::move(group));
}

}  // namespace blazen
