// Where invariants are checked, each thread counts the locks that it holds, and whoever is about to call the
// host looks.
#pragma once

#include <cstdint>

namespace blazen {

#ifdef BLAZEN_INVARIANTS
inline thread_local uint32_t locks_held = 0;
// Ends the process where this thread holds a lock.
void check_no_lock_held() noexcept;
#else
inline void check_no_lock_held() noexcept {}
#endif

inline void note_lock(uint32_t taken) noexcept {
#ifdef BLAZEN_INVARIANTS
  locks_held += taken;
#else
  (void)taken;
#endif
}

}  // namespace blazen
