// Memory that is reached at random, in big pages where the system has them: a table of millions of keys lies on
// so many small ones that finding the page takes longer than the read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace blazen {

inline constexpr size_t kBigPageBytes = size_t{2} << 20;

// As operator new; given back by operator delete. Throws std::bad_alloc.
inline void* allocate_big(size_t bytes) {
  void* memory = ::operator new(bytes);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= 2 * kBigPageBytes) {
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kBigPageBytes - 1) & ~(kBigPageBytes - 1);
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) & ~(kBigPageBytes - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): whole pages of it; and it is only advice
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
#endif
  return memory;
}

}  // namespace blazen
