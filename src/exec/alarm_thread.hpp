// An alarm with a thread of its own, which starts when the first one is set: a body that takes for ever keeps
// a worker, and not the time.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <memory>

#include "exec/hooks.hpp"
#include "exec/thread_settings.hpp"
#include "port/alarm.hpp"
#include "port/clock.hpp"

namespace blazen {

// clock outlives it. Throws std::bad_alloc.
std::unique_ptr<Alarm> make_alarm_thread(Clock& clock, const ThreadSettings& settings, Ref<Hooks> hooks,
                                         Alarm::Target target);

}  // namespace blazen

#endif
