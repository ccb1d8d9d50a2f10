// The scopes of a run, as a snapshot has them: what encode.cpp takes under the lock, and what is made of it again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "run/state.hpp"

namespace blazen {

// Stored: what a membership is of.
enum class MemberKind : uint64_t { invocation = 0, delayed = 1, question = 2 };

struct ScopesCut {
  struct Scope {
    uint64_t id;
    uint64_t parent;  // 0: none
    uint64_t parent_origin;
    StepIndex opener;
    uint64_t opener_invocation;  // 0: it is gone
    uint64_t late;
    bool cancelled;
    size_t joins;
  };
  struct Join {
    StepIndex step;
    bool closed;
    int64_t due_ms;  // INT64_MAX: none
    size_t groups;
  };
  struct Group {
    std::string correlation;
    bool given;
    size_t arrivals;
  };
  struct Arrival {
    Ref<Event> event;
    uint64_t origin;
  };
  struct Member {
    MemberKind kind;
    uint64_t id;  // of the invocation, or of the event
    uint64_t scope;
    uint64_t origin;
  };
  struct Delivered {
    uint64_t invocation;
    JoinReason reason;
    uint32_t wanted;
    uint64_t scope;
    size_t events;
  };

  uint64_t id_last = 0;
  // One row each: a scope has so many joins, which follow those of the scope before it, and so on.
  std::vector<Scope> scopes;
  std::vector<Join> joins;
  std::vector<Group> groups;
  std::vector<Arrival> arrivals;
  std::vector<Member> members;
  std::vector<Delivered> delivered;
  std::vector<Ref<Event>> delivered_events;

  // Of one that is in no scope, nothing.
  void add_member(const Scopes& from, MemberKind kind, uint64_t id, MembershipIndex at) {
    if (at != 0) members.push_back({kind, id, from.at(at).scope->id, from.at(at).origin});
  }
};

struct CollectsCut {
  struct Kind {
    std::string type;
    uint32_t wanted;
    size_t events;
  };
  struct Group {
    Collects::Key key;
    size_t kinds;
  };
  struct Whole {
    uint64_t invocation;
    uint32_t position;
    size_t events;
  };
  std::vector<Group> groups;
  std::vector<Kind> kinds;
  std::vector<Ref<Event>> events;
  std::vector<Whole> whole;
  std::vector<Ref<Event>> whole_events;
};

// Under the lock of the run. Throws std::bad_alloc.
void cut_collects(const Collects& collects, CollectsCut& cut);

// Under the lock of the run, but for the members that are invocations. Throws std::bad_alloc.
void cut_scopes(const RunState& state, ScopesCut& cut);

}  // namespace blazen
