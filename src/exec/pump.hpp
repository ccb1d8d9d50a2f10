// No thread of the engine: the host polls, told by a descriptor or a wake callback that there is work.
#pragma once

#include <memory>

#include "exec/hooks.hpp"
#include "port/alarm.hpp"
#include "port/clock.hpp"
#include "port/executor.hpp"

namespace blazen {

// Throws std::bad_alloc.
std::unique_ptr<Executor> make_pump(Ref<Hooks> hooks);

// pump is one of make_pump(). Both outlive the alarm. Throws std::bad_alloc.
std::unique_ptr<Alarm> make_pump_alarm(Executor& pump, Clock& clock, Alarm::Target target);
// Whether this platform has the descriptor.
bool pump_has_descriptor() noexcept;

}  // namespace blazen
