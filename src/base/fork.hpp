// Tells a forked child that what it has inherited is not its own: the threads and the holders of locks stayed
// behind.
#pragma once

#include <atomic>
#include <cstdint>

namespace blazen {

// Whoever is about to make something that a child must not use. The first call registers a handler with the
// system.
void watch_forks() noexcept;

extern std::atomic<uint32_t> fork_count;

// Changes with every fork that this process is the child of, once somebody watches.
inline uint32_t fork_generation() noexcept { return fork_count.load(std::memory_order_relaxed); }

}  // namespace blazen
