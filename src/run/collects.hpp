// What the bodies of steps collect: events that wait, by scope, step and key, until there are as many of each type as the
// body wants. A group that is whole belongs to the invocation that made it so, until that is gone.
//
// What an operation costs: the logarithm of the number of groups, and the number of types that are wanted; taking a whole
// group, the number of its events. Nothing that is noexcept allocates.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "run/scopes.hpp"
#include "value/event.hpp"

namespace blazen {

struct Wanted {
  std::string_view type;
  uint32_t count = 0;
};

class Collects {
 public:
  // Of one type, in the order of arrival; and how many the last body that asked wanted.
  struct Kind {
    uint32_t wanted = 0;
    std::deque<Ref<Event>> events;
  };
  using Kinds = std::map<std::string, Kind, std::less<>>;
  struct Key {
    uint64_t scope = 0;
    StepIndex step = kNoStep;
    std::string key;
    // libc++ 14 compares strings by < and == alone.
    friend bool operator<(const Key& a, const Key& b) noexcept {
      return std::tie(a.scope, a.step, a.key) < std::tie(b.scope, b.step, b.key);
    }
    friend bool operator==(const Key&, const Key&) = default;
  };
  using Groups = std::map<Key, Kinds>;
  using Whole = std::map<std::pair<uint64_t, uint32_t>,
                         Ref<Group>>;  // by the invocation, and the position of the effect

  uint64_t count = 0;  // events in groups, whole ones too

  const Groups& groups() const noexcept { return groups_; }
  const Whole& whole() const noexcept { return whole_; }

  // The event joins its group, where it is of a type that is wanted. The group, where that is whole with it, in the order
  // of `wanted`; null: not yet. Throws std::bad_alloc, and has changed nothing then that can be seen.
  Ref<Group> collect(const Key& key, std::span<const Wanted> wanted, const Ref<Event>& event,
                     uint64_t invocation, uint32_t position);
  // What the same body was given at this position before; null: it was told to wait.
  Ref<Group> find(uint64_t invocation, uint32_t position) const noexcept {
    const auto found = whole_.find({invocation, position});
    return found == whole_.end() ? nullptr : found->second;
  }
  // The next group that the invocation has; null: it has none.
  Ref<Group> take_whole(uint64_t invocation) noexcept;
  // The next event that waits in this scope; null: none does.
  Ref<Event> take_left(uint64_t scope) noexcept;

  void restore_group(Key key, std::string_view type, uint32_t wanted, std::deque<Ref<Event>> events);
  void restore_whole(uint64_t invocation, uint32_t position, Ref<Group> group);

 private:
  Groups groups_;
  Whole whole_;
};

}  // namespace blazen
