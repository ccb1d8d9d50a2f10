// A change of a run from outside its own loop: the lock is held from the beginning until leave().
#pragma once

#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "engine/scope.hpp"

namespace blazen {

class Run::Visit {
 public:
  explicit Visit(Run& run) noexcept : run_(run), scope_(run), guard_(run.lock_) {}

  // Opens the lock, lets go of what the ticks let go of, and calls whoever has to be called. What the last
  // tick refused; null: nothing.
  Ref<Error> leave() noexcept {
    guard_.unlock();
    Ref<Error> refused = refused_tick(commands);
    commands.clear();
    run_.notify(notices);
    return refused;
  }

 private:
  Run& run_;
  EngineScope scope_;

 public:
  Commands commands;
  Notices notices;

 private:
  Guard guard_;  // the first to go
};

}  // namespace blazen
