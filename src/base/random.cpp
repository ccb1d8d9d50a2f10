#include "base/random.hpp"

#if defined(__linux__)
#include <sys/random.h>
#include <sys/types.h>

#include <cerrno>
#else
#include <random>
#endif

namespace blazen {

#if defined(__linux__)

int fill_random(void* bytes, size_t size) noexcept {
  auto* to = static_cast<unsigned char*>(bytes);
  while (size > 0) {
    const ssize_t got = ::getrandom(to, size, 0);
    if (got > 0) {
      to += got;
      size -= static_cast<size_t>(got);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

#else

int fill_random(void* bytes, size_t size) noexcept {
  try {
    std::random_device device;
    auto* to = static_cast<unsigned char*>(bytes);
    for (size_t i = 0; i < size; ++i) to[i] = static_cast<unsigned char>(device());
    return 0;
  } catch (...) {
    return -1;
  }
}

#endif

}  // namespace blazen
