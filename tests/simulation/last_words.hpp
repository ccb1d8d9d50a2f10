// What to print where the process ends on the way: the engine aborts where an invariant is broken.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

namespace sim {

class LastWords {
 public:
  LastWords() {
    for (const int signal : kSignals) {
      const auto before = std::signal(signal, say);
      if (before != SIG_DFL) std::signal(signal, before);  // a sanitizer's
    }
  }
  ~LastWords() {
    for (const int signal : kSignals) {
      const auto before = std::signal(signal, SIG_DFL);
      if (before != say) std::signal(signal, before);
    }
  }
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
  static void set(const std::string& text) {
    length_ = std::min(text.size(), sizeof(text_));
    text.copy(text_, length_);
  }

 private:
  static void say(int signal) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text_, length_);
    std::signal(signal, SIG_DFL);
  }

  static constexpr int kSignals[] = {SIGABRT, SIGSEGV};
  static inline char text_[256];
  static inline size_t length_ = 0;
};

}  // namespace sim
