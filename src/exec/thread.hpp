// A thread of the library. All of them are made here.
//
// Invariant: a thread of the library takes no signal of the host's. It starts with every signal blocked but
// those that its own instructions raise (a fault of memory or arithmetic, a trap), so that one that the host
// has blocked stays pending for the host, and no handler of the host runs here.
#pragma once

#ifndef BLAZEN_NO_THREADS

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "exec/thread_settings.hpp"

#ifdef BLAZEN_PTHREADS
#include <pthread.h>
#else
#include <thread>
#endif

namespace blazen {

class Thread {
 public:
  Thread() noexcept = default;
  // Runs body, which does not throw. role: what ends the name, as far as there is room. Throws
  // std::system_error, where the system has no more threads or does not take the settings, and
  // std::bad_alloc.
  Thread(const ThreadSettings& settings, std::string_view role, std::function<void()> body);
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  // Joined or detached before.
  ~Thread() = default;

  bool joinable() const noexcept;
  bool is_current() const noexcept;
  void join() noexcept;
  void detach() noexcept;

 private:
#ifdef BLAZEN_PTHREADS
  pthread_t thread_{};
  bool joinable_ = false;
#else
  std::thread thread_;
#endif
};

}  // namespace blazen

#endif
