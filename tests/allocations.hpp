// Counts what the operators new hand out, and makes one of them fail. The operators are in
// unit/key_table_test.cc, for all unit tests; memory of malloc is not counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace blazen::allocations {

// Bytes in use and the most there were since reset_peak(), with what malloc adds to a block.
size_t in_use() noexcept;
size_t peak() noexcept;
void reset_peak() noexcept;

// The next `count` allocations of this thread succeed, and the one after them throws std::bad_alloc.
void fail_after(uint64_t count) noexcept;
// Off again. Answers whether it has thrown meanwhile.
bool stop_failing() noexcept;

// Runs attempt() with the first, then the second, ... allocation failing, until it needs no more of them.
// Whatever it throws but std::bad_alloc goes through. after(thrown) runs behind each attempt.
template <class Attempt, class After>
void fail_each(Attempt attempt, After after) {
  for (uint64_t count = 0;; ++count) {
    bool thrown = false;
    fail_after(count);
    try {
      attempt();
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    const bool failed = stop_failing();
    after(thrown);
    if (!failed) return;
  }
}

}  // namespace blazen::allocations
