#include "exec/hooks.hpp"

#include "base/scope.hpp"

namespace blazen {

void Hooks::call_as_engine(Function function) const noexcept {
  const EngineScope scope;
  call(function);
}

}  // namespace blazen
