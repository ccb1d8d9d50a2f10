// What the hostile tests of the C ABI share: tokens that count their drops, a watchdog, handles that release
// themselves, and a probe that tells whether a run's lock is free.
//
// Nothing in here allocates while a test runs, so that the fault tests may use it too.
#pragma once

#include <blazen/blazen.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HOST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_TSAN 1
#endif
#endif
#ifndef HOST_ASAN
#define HOST_ASAN 0
#endif
#ifndef HOST_TSAN
#define HOST_TSAN 0
#endif

namespace host {

inline constexpr bool kSanitized = HOST_ASAN || HOST_TSAN;
#ifdef BLAZEN_NO_THREADS
inline constexpr bool kThreads = false;
#else
inline constexpr bool kThreads = true;
#endif

// ---- a handle that is released at the end of its scope ----

template <class T, void (*kRelease)(T*)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T* handle) : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Handle() { reset(); }
  void reset() { kRelease(std::exchange(handle_, nullptr)); }
  T* get() const { return handle_; }
  T* take() { return std::exchange(handle_, nullptr); }
  operator T*() const { return handle_; }  // NOLINT(google-explicit-constructor): reads as the handle it is
  T** out() {
    reset();
    return &handle_;
  }

 private:
  T* handle_ = nullptr;
};

using ErrorHandle = Handle<blazen_error, blazen_error_release>;
using ValueHandle = Handle<blazen_value, blazen_value_release>;
using EventHandle = Handle<blazen_event, blazen_event_release>;
using BuilderHandle = Handle<blazen_workflow_builder, blazen_workflow_builder_release>;
using PipelineBuilderHandle = Handle<blazen_pipeline_builder, blazen_pipeline_builder_release>;
using WorkflowHandle = Handle<blazen_workflow, blazen_workflow_release>;
using RuntimeHandle = Handle<blazen_runtime, blazen_runtime_release>;
using RunHandle = Handle<blazen_run, blazen_run_release>;
using StreamHandle = Handle<blazen_stream, blazen_stream_release>;
using SnapshotHandle = Handle<blazen_snapshot, blazen_snapshot_release>;
using KeysHandle = Handle<blazen_keys, blazen_keys_release>;
using BatchHandle = Handle<blazen_batch, blazen_batch_release>;
using InvocationHandle = Handle<blazen_invocation, blazen_invocation_release>;

inline std::string_view text_of(const blazen_value* value) {
  size_t length = 0;
  const void* data = blazen_value_data(value, &length);
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), length);
}
inline std::string_view message_of(const blazen_error* error) {
  size_t length = 0;
  const char* text = blazen_error_message(error, &length);
  return {text, length};
}
inline std::string_view type_of(const blazen_event* event) {
  size_t length = 0;
  const char* text = blazen_event_type(event, &length);
  return text == nullptr ? std::string_view() : std::string_view(text, length);
}

// ---- a watchdog: no test may hang ----

class Watchdog {
 public:
  // Ends the process with what(), unless it is destroyed before.
  explicit Watchdog(const char* name, int seconds, void (*what)() = nullptr) {
    thread_ = std::thread([this, name, seconds, what] {
      std::unique_lock guard(lock_);
      if (done_.wait_for(guard, std::chrono::seconds(seconds), [this] { return over_; })) return;
      std::fprintf(stderr, "watchdog: %s hangs after %d s\n", name, seconds);
      if (what != nullptr) what();
      std::fflush(stderr);
      std::_Exit(99);
    });
  }
  ~Watchdog() {
    {
      std::lock_guard guard(lock_);
      over_ = true;
    }
    done_.notify_all();
    thread_.join();
  }

 private:
  std::mutex lock_;
  std::condition_variable done_;
  bool over_ = false;
  std::thread thread_;
};

// ---- is a lock of the engine held? ----

// A thread of its own asks the run for its state, which takes the run's lock for a moment. Where the answer
// does not come, the asker holds that lock.
class LockProbe {
 public:
  LockProbe() : thread_([this] { serve(); }) {}
  ~LockProbe() {
    {
      std::lock_guard guard(lock_);
      over_ = true;
    }
    asked_.notify_all();
    thread_.join();
  }
  // Which run to ask for; nullptr while there is none.
  void watch(blazen_run* run) { run_.store(run); }
  // Called from drop functions.
  bool is_free() {
    blazen_run* run = run_.load();
    if (run == nullptr || !kThreads) return true;
    std::unique_lock guard(lock_);
    if (stuck_) return true;  // one report is enough
    const uint64_t question = ++asked_count_;
    question_ = run;
    asked_.notify_all();
    stuck_ = !done_.wait_for(guard, std::chrono::seconds(2), [&] { return answered_count_ >= question; });
    return !stuck_;
  }

 private:
  void serve() {
    std::unique_lock guard(lock_);
    for (;;) {
      asked_.wait(guard, [this] { return over_ || question_ != nullptr; });
      if (over_) return;
      blazen_run* run = std::exchange(question_, nullptr);
      const uint64_t question = asked_count_;  // another thread may ask meanwhile
      guard.unlock();
      (void)blazen_run_state_now(run);
      guard.lock();
      stuck_ = false;
      answered_count_ = question;
      done_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable asked_;
  std::condition_variable done_;
  std::atomic<blazen_run*> run_{nullptr};
  blazen_run* question_ = nullptr;
  uint64_t asked_count_ = 0;
  uint64_t answered_count_ = 0;
  bool stuck_ = false;
  bool over_ = false;
  std::thread thread_;
};

// ---- tokens: a user_data whose drops and calls are counted ----

struct Token {
  std::atomic<int> drops{0};
  std::atomic<int> calls{0};
  std::atomic<int> calls_after_drop{0};
  const char* name = "";
};

inline std::atomic<LockProbe*> lock_probe{nullptr};
inline std::atomic<int> drops_under_lock{0};
inline std::atomic<const char*> dropped_under_lock{""};

inline void drop_token(void* user_data) {
  if (user_data == nullptr) return;
  auto* token = static_cast<Token*>(user_data);
  token->drops.fetch_add(1);
  LockProbe* probe = lock_probe.load();
  if (probe != nullptr && !probe->is_free()) {
    drops_under_lock.fetch_add(1);
    dropped_under_lock.store(token->name);
  }
}

inline void call_token(void* user_data) {
  auto* token = static_cast<Token*>(user_data);
  token->calls.fetch_add(1);
  if (token->drops.load() != 0) token->calls_after_drop.fetch_add(1);
}

// A fixed number of tokens, each given out once.
template <size_t kCount>
class Tokens {
 public:
  Token* take(const char* name) {
    const size_t at = used_.fetch_add(1);
    if (at >= kCount) std::abort();
    tokens_[at].name = name;
    return &tokens_[at];
  }
  size_t used() const { return used_.load(); }
  const Token& operator[](size_t at) const { return tokens_[at]; }
  // "" where every token given out was dropped exactly once, and never called after that.
  std::string fault() const {
    std::string all;
    for (size_t i = 0; i < used(); ++i) {
      const Token& token = tokens_[i];
      if (token.drops == 1 && token.calls_after_drop == 0) continue;
      if (all.size() > 500) return all + "...";
      all += std::string(token.name) + ": " + std::to_string(token.drops) + " drops, " +
             std::to_string(token.calls_after_drop) + " calls after it; ";
    }
    return all;
  }
  void reset() {
    for (size_t i = 0; i < used(); ++i) {
      tokens_[i].drops = 0;
      tokens_[i].calls = 0;
      tokens_[i].calls_after_drop = 0;
    }
    used_ = 0;
  }

 private:
  Token tokens_[kCount];
  std::atomic<size_t> used_{0};
};

}  // namespace host
