#include "exec/thread.hpp"

#ifndef BLAZEN_NO_THREADS

#include <memory>
#include <system_error>

#include "base/host_call.hpp"

#ifdef BLAZEN_PTHREADS
#include <unistd.h>

#include <csignal>
#endif

namespace blazen {
namespace {

// One thread on its way.
struct Start {
  std::string name;
  std::function<void()> body;
};

std::string name_of(const ThreadSettings& settings, std::string_view role) {
  std::string name = settings.name;
  if (!role.empty()) name.append("-").append(role);
  return name.substr(0, ThreadSettings::kNameBytesMax);
}

#ifdef BLAZEN_PTHREADS

void take_name([[maybe_unused]] const std::string& name) noexcept {
#if defined(__linux__)
  (void)::pthread_setname_np(::pthread_self(), name.c_str());
#elif defined(__APPLE__)
  (void)::pthread_setname_np(name.c_str());
#endif
}

void* run_start(void* given) noexcept {
  const std::unique_ptr<Start> start(static_cast<Start*>(given));
  mark_own_thread();
  take_name(start->name);
  start->body();
  return nullptr;
}

// A thread that is started meanwhile inherits the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    // Blocked, these would end the process instead of coming to their handler.
    for (const int raised_by_itself : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
      ::sigdelset(&all, raised_by_itself);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

void must(int code) {
  if (code != 0) throw std::system_error(code, std::generic_category());
}

class Attributes {
 public:
  Attributes() { must(::pthread_attr_init(&all)); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { ::pthread_attr_destroy(&all); }
  // Whole pages: some systems refuse others.
  void set_stack(size_t bytes) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t rest = bytes % page;
    must(::pthread_attr_setstacksize(&all, rest == 0 ? bytes : bytes + (page - rest)));
  }

  pthread_attr_t all;
};

#endif

}  // namespace

#ifdef BLAZEN_PTHREADS

Thread::Thread(const ThreadSettings& settings, std::string_view role, std::function<void()> body) {
  auto start = std::make_unique<Start>(Start{name_of(settings, role), std::move(body)});
  Attributes attributes;
  if (settings.stack_bytes != 0) attributes.set_stack(settings.stack_bytes);
  const SignalsBlocked blocked;
  must(::pthread_create(&thread_, &attributes.all, run_start, start.get()));
  start.release();  // NOLINT(bugprone-unused-return-value): the thread has it
  joinable_ = true;
}

Thread::Thread(Thread&& other) noexcept
    : thread_(other.thread_), joinable_(std::exchange(other.joinable_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  thread_ = other.thread_;
  joinable_ = std::exchange(other.joinable_, false);
  return *this;
}

bool Thread::joinable() const noexcept { return joinable_; }
bool Thread::is_current() const noexcept {
  return joinable_ && ::pthread_equal(thread_, ::pthread_self()) != 0;
}
void Thread::join() noexcept {
  ::pthread_join(thread_, nullptr);
  joinable_ = false;
}
void Thread::detach() noexcept {
  ::pthread_detach(thread_);
  joinable_ = false;
}

#else

// Here threads have neither signals nor names, and whoever sets a stack size was refused before.
Thread::Thread(const ThreadSettings&, std::string_view, std::function<void()> body)
    : thread_(std::move(body)) {}

Thread::Thread(Thread&& other) noexcept = default;
Thread& Thread::operator=(Thread&& other) noexcept = default;

bool Thread::joinable() const noexcept { return thread_.joinable(); }
bool Thread::is_current() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }
void Thread::join() noexcept { thread_.join(); }
void Thread::detach() noexcept { thread_.detach(); }

#endif

}  // namespace blazen

#endif
