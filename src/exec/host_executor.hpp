// The host's own scheduler: each step that can be started becomes one task that is posted to it.
#pragma once

#include <memory>

#include "exec/hooks.hpp"
#include "port/executor.hpp"

namespace blazen {

// One step of one run. The host runs or cancels it once, on any thread; either ends it.
class Task final : public Object {
 public:
  explicit Task(Work& work) noexcept : Object(Kind::task), work_(work) { work_.keep(); }
  void run() noexcept;
  void cancel(Ref<Error> why) noexcept;
  // Never posted, or refused: nothing has lifecycle.
  void discard() noexcept;

 private:
  Work& work_;
};

// Throws std::bad_alloc.
std::unique_ptr<Executor> make_host_executor(Ref<Hooks> hooks);

}  // namespace blazen
