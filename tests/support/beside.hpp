// A call on a thread beside that of the test, which the test can see return, or wait: so that a call which
// has to wait is seen to wait, instead of being given some time in which it does not return.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bt {

class Beside {
 public:
  explicit Beside(std::function<void()> call) : thread_([this, call = std::move(call)] { run(call); }) {}
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  ~Beside() { join(); }

  void join() {
    if (thread_.joinable()) thread_.join();
  }
  bool has_returned() const { return returned_; }
  // Looks until the call has returned (true), or sleeps in the operating system for good (false): a thread
  // that only has not had its turn does not sleep, however busy the machine is.
  bool returns() const {
    constexpr int kInARow = 20;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (int asleep = 0; asleep < kInARow;) {
      if (returned_) return true;
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "the thread neither returns nor sleeps";
        return false;
      }
      asleep = is_asleep() ? asleep + 1 : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return returned_;
  }

 private:
  void run(const std::function<void()>& call) {
#ifdef __linux__
    id_ = static_cast<long>(::syscall(SYS_gettid));
#endif
    call();
    returned_ = true;
  }
  // Where nothing tells, it counts as asleep: then returns() is a look after some time.
  bool is_asleep() const {
#ifdef __linux__
    if (id_ == 0) return false;
    std::ifstream file("/proc/self/task/" + std::to_string(id_) + "/stat");
    std::string text;
    std::getline(file, text);
    const size_t name_end = text.rfind(')');
    return name_end != std::string::npos && text.substr(name_end, 3) == ") S";
#else
    return true;
#endif
  }

  std::atomic<long> id_{0};
  std::atomic<bool> returned_{false};
  std::thread thread_;  // the last: what it uses is there before it
};

}  // namespace bt
