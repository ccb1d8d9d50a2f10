// Proves what a thread of the library is to the process of its host: it takes no signals, and has the stack
// and the name that the host asked for. Goal: whatever the host does with signals, it need not know of these
// threads.
#include <pthread.h>
#include <signal.h>

#include <cstring>

#include "support/blazen_test.hpp"

namespace bt {
namespace {

// What a thread finds of itself.
struct Self {
  std::mutex lock;
  std::vector<std::string> wrong;  // signals that are not as they should be
  std::vector<std::string> names;
  size_t stack_bytes = 0;
  int looked = 0;

  void look() {
    sigset_t blocked;
    ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &blocked), 0);
    char name[16] = "";
    ASSERT_EQ(::pthread_getname_np(::pthread_self(), name, sizeof name), 0);
    pthread_attr_t attributes;
    ASSERT_EQ(::pthread_getattr_np(::pthread_self(), &attributes), 0);
    const std::lock_guard guard(lock);
    ASSERT_EQ(::pthread_attr_getstacksize(&attributes, &stack_bytes), 0);
    ::pthread_attr_destroy(&attributes);
    names.emplace_back(name);
    ++looked;
    for (int number = 1; number <= SIGRTMAX; ++number) {
      if (number == SIGKILL || number == SIGSTOP || (number >= 32 && number < SIGRTMIN)) continue;
      const bool is_own = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
                          number == SIGTRAP || number == SIGSYS;
      if ((::sigismember(&blocked, number) == 1) == is_own) wrong.push_back(std::to_string(number));
    }
  }
  bool has_name(const std::string& name) {
    const std::lock_guard guard(lock);
    return std::find(names.begin(), names.end(), name) != names.end();
  }
};

void look(void* self) { static_cast<Self*>(self)->look(); }

Runtime make(Self& self, blazen_runtime_options options) {
  options.user_data = &self;
  options.attach = look;
  options.detach = look;
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  return runtime;
}

blazen_runtime_options one_thread() {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 1;
  return options;
}

// A run that looks from a body on a worker, and, when its time is up, from a callback on the thread of the
// time.
void run_into_its_timeout(const Runtime& runtime, Self& self) {
  Spec spec;
  spec.timeout_ms = 1;
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run;
  MUST(blazen_run_create(runtime, spec.start([&](Ctx&) { self.look(); }).build(), nullptr, run.out(), e));
  const auto done = [](void* user_data, blazen_run*, blazen_run_state) { look(user_data); };
  MUST(blazen_run_on_done(run, done, &self, nullptr, e));
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_run_wait(run, kPatience_ms, nullptr, e));
  MUST(blazen_run_close(run, e));
}

TEST(EngineThreads, BlockEverySignalButThoseThatTheyRaiseThemselves) {
  NEEDS_THREADS();
  Self self;
  Runtime runtime = make(self, one_thread());
  run_into_its_timeout(runtime, self);
  MUST(blazen_runtime_close(runtime, e));
  EXPECT_GE(self.looked, 4) << "attach, body, callback of the time-out, detach";
  EXPECT_EQ(self.wrong, std::vector<std::string>());
}

std::atomic<int> handled{0};

TEST(EngineThreads, LeaveASignalThatTheHostHasBlockedPendingForIt) {
  NEEDS_THREADS();
  struct sigaction count{};
  struct sigaction before{};
  count.sa_handler = [](int) { ++handled; };
  ASSERT_EQ(::sigaction(SIGUSR1, &count, &before), 0);
  handled = 0;
  Self self;
  Runtime runtime = make(self, one_thread());  // before the host blocks it
  run_into_its_timeout(runtime, self);
  sigset_t usr1;
  sigset_t mask_before;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &usr1, &mask_before), 0);
  ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
  run_into_its_timeout(runtime, self);  // its threads have worked since
  sigset_t pending;
  ASSERT_EQ(::sigpending(&pending), 0);
  EXPECT_EQ(::sigismember(&pending, SIGUSR1), 1);
  EXPECT_EQ(handled, 0) << "a handler of the host ran on a thread of the engine";
  const timespec at_once{};
  EXPECT_EQ(::sigtimedwait(&usr1, nullptr, &at_once), SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr), 0);
  ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST(EngineThreads, LeaveTheMaskOfWhoMakesThemAsItWas) {
  NEEDS_THREADS();
  sigset_t before;
  sigset_t after;
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &before), 0);
  Self self;
  Runtime runtime = make(self, one_thread());
  run_into_its_timeout(runtime, self);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &after), 0);
  for (int number = 1; number <= SIGRTMAX; ++number)
    EXPECT_EQ(::sigismember(&before, number), ::sigismember(&after, number)) << number;
}

TEST(EngineThreads, HaveTheNameThatTheHostGave) {
  NEEDS_THREADS();
  Self self;
  blazen_runtime_options options = one_thread();
  options.thread_name = "orders and more";
  options.thread_name_length = 6;
  Runtime named = make(self, options);
  run_into_its_timeout(named, self);
  named.reset();
  EXPECT_TRUE(self.has_name("orders-0")) << self.names.front();
  EXPECT_TRUE(self.has_name("orders-time"));
  options.thread_name_length = 15;
  make(self, options).reset();
  EXPECT_TRUE(self.has_name("orders and more")) << "all of it, and no more";
  make(self, one_thread()).reset();
  EXPECT_TRUE(self.has_name("blazen-0")) << "as long as the host gives none";
}

TEST(EngineThreads, HaveTheStackThatTheHostAskedFor) {
  NEEDS_THREADS();
  constexpr size_t kAsked =
      64'000'001;  // no whole number of pages, and more than a stack that was used before
  Self self;
  blazen_runtime_options options = one_thread();
  options.thread_stack_bytes = kAsked;
  make(self, options).reset();
  EXPECT_GE(self.stack_bytes, kAsked);
  EXPECT_LT(self.stack_bytes, kAsked + 1'000'000);
  options.thread_stack_bytes = size_t{1} << 60;  // more than there can be
  Runtime runtime;
  Error error;
  options.user_data = nullptr;
  EXPECT_EQ(blazen_runtime_create(&options, runtime.out(), error.out()), BLAZEN_ERROR_SYSTEM);
  EXPECT_TRUE(error.says("refused to start 1 threads")) << error.message();
}

}  // namespace
}  // namespace bt
