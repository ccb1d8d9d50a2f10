// How the host wants the threads of the library.
#pragma once

#include <cstddef>
#include <string>

#if !defined(BLAZEN_NO_THREADS) && (defined(__unix__) || defined(__APPLE__))
#define BLAZEN_PTHREADS
#endif

namespace blazen {

struct ThreadSettings {
  // As much as the systems show, without the NUL.
  static constexpr size_t kNameBytesMax = 15;
  // Without pthreads, nobody can say how large a stack is.
#if defined(BLAZEN_PTHREADS) || defined(BLAZEN_NO_THREADS)
  static constexpr bool kTakesStackSize = true;
#else
  static constexpr bool kTakesStackSize = false;
#endif
  // Less than that does not hold the library's own frames and a callback's.
  static constexpr size_t kStackBytesMin = 65536;

  size_t stack_bytes = 0;  // 0: the system's
  std::string name = "blazen";
};

}  // namespace blazen
