// Tells a forked child that what it has inherited is not its own: the threads and the holders of locks stayed
// behind.
#pragma once

#include <cstdint>

namespace blazen {

// Changes with every fork that this process is the child of. The first call may register a handler with the
// system.
uint32_t fork_generation() noexcept;

}  // namespace blazen
