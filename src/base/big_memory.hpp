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

// The same, for the containers of the standard library.
template <class T>
struct BigAllocator {
  using value_type = T;  // NOLINT(readability-identifier-naming): a name of the standard library
  BigAllocator() noexcept = default;
  template <class Other>
  BigAllocator(const BigAllocator<Other>&) noexcept {
  }  // NOLINT(google-explicit-constructor): as it has to be
  T* allocate(size_t count) { return static_cast<T*>(allocate_big(count * sizeof(T))); }
  void deallocate(T* memory, size_t) noexcept { ::operator delete(memory); }
  friend bool operator==(BigAllocator, BigAllocator) noexcept { return true; }
};

}  // namespace blazen
