// An alarm with a thread of its own, and with more where callbacks of the host keep that one: neither a body
// nor a callback that takes for ever keeps the time.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <memory>

#include "exec/hooks.hpp"
#include "exec/thread_settings.hpp"
#include "port/alarm.hpp"
#include "port/clock.hpp"
#include "port/log.hpp"
#include "value/error.hpp"

namespace blazen {

// clock and log outlive it. The first thread starts here, where somebody hears that it cannot. Throws
// std::bad_alloc.
Result<std::unique_ptr<Alarm>> make_alarm_thread(Clock& clock, Log& log, const ThreadSettings& settings,
                                                 Ref<Hooks> hooks, Alarm::Target target);

}  // namespace blazen

#endif
