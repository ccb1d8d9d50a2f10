// A change of a run from outside its own loop: the lock is held from the beginning until leave(). Whoever has
// to call out, or to let go of what the host gave, says so before the lock is open, so that a close waits.
#pragma once

#include <optional>

#include "base/scope.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"

namespace blazen {

class Run::Transaction {
 public:
  explicit Transaction(Run& run) noexcept : run_(run), guard_(run.lock()) {}

  // Opens the lock, lets go of what the ticks let go of, and calls whoever has to be called. What the last
  // tick refused; null: nothing. tells_time: this thread may be the one that sees to the time.
  Ref<Error> leave(bool tells_time = false) noexcept {
    std::optional<EngineScope> scope;
    if (!commands.keeps_nothing() || notifications.call_out()) scope.emplace(run_);
    guard_.unlock();
    if (tells_time && (notifications.call_out() || commands.may_drop())) run_.runtime_->hand_over_time();
    Ref<Error> refused = refused_tick(commands);
    commands.clear();
    run_.notify(notifications);
    return refused;
  }

  Locked locked() const noexcept { return guard_; }

 private:
  Run& run_;

 public:
  Commands commands;
  Notifications notifications;

 private:
  Guard guard_;  // the first to go
};

}  // namespace blazen
