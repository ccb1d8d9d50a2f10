// A runtime closes without anybody who waits: blazen_runtime_begin_close, and the last release while a
// callback is under way, also one that waits for the very thread that lets go. `closed` comes once, when
// nothing of the host's is called any more; and a close that is waited for waits for that too. What fails
// here hangs.
#include <algorithm>
#include <future>
#include <iterator>
#include <sstream>

#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

// What the host hears of a runtime, in the order in which it comes.
struct Heard {
  std::mutex lock;
  std::string words;
  std::thread::id closed_on;
  std::promise<void> all;   // the drop of `closed`
  std::promise<void> gone;  // the drop of the options
  std::function<void()> in_closed;

  void say(const char* word) {
    const std::lock_guard guard(lock);
    words += (words.empty() ? "" : " ") + std::string(word);
  }
  std::string text() {
    const std::lock_guard guard(lock);
    return words;
  }
  // Threads begin and end when they like.
  std::string sorted() {
    std::istringstream all(text());
    std::vector<std::string> each(std::istream_iterator<std::string>(all), {});
    std::sort(each.begin(), each.end());
    std::string joined;
    for (const std::string& word : each) joined += (joined.empty() ? "" : " ") + word;
    return joined;
  }
  static void closed(void* self) {
    auto* heard = static_cast<Heard*>(self);
    heard->closed_on = std::this_thread::get_id();
    heard->say("closed");
    if (heard->in_closed) heard->in_closed();
  }
  static void drop(void* self) {
    static_cast<Heard*>(self)->say("dropped");
    static_cast<Heard*>(self)->all.set_value();
  }
  void wait() { EXPECT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready) << text(); }
  void wait_until_gone() {
    EXPECT_EQ(gone.get_future().wait_for(kPatience), std::future_status::ready) << text();
  }
};

Runtime make_runtime(blazen_mode mode, Heard& heard, blazen_post_fn post = nullptr,
                     blazen_wake_fn wake = nullptr) {
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = mode;
  options.threads = 2;
  options.user_data = &heard;
  options.drop = [](void* self) { static_cast<Heard*>(self)->gone.set_value(); };
  options.post = post;
  options.wake = wake;
  if (mode == BLAZEN_MODE_THREADS) {
    options.attach = [](void* self) { static_cast<Heard*>(self)->say("attach"); };
    options.detach = [](void* self) { static_cast<Heard*>(self)->say("detach"); };
  }
  Runtime runtime;
  MUST(blazen_runtime_create(&options, runtime.out(), e));
  return runtime;
}

RunHandle start_on(blazen_runtime* runtime, const Workflow& workflow) {
  RunHandle run;
  MUST(blazen_run_create(runtime, workflow, nullptr, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  return run;
}

void begin_close(blazen_runtime* runtime, Heard& heard) {
  MUST(blazen_runtime_begin_close(runtime, Heard::closed, &heard, Heard::drop, e));
}

// A body that is at work until the test lets it go.
struct HeldBody {
  std::promise<void> opened;
  std::shared_future<void> open{opened.get_future()};
  std::atomic<bool> is_inside{false};
  Spec spec() {
    return Spec().start([this](Ctx&) {
      is_inside = true;
      EXPECT_EQ(open.wait_for(kPatience), std::future_status::ready) << "it waits for whoever waits for it";
    });
  }
  void wait_until_inside() {
    while (!is_inside) std::this_thread::yield();
  }
};

TEST(ARuntimeThatBeginsToClose, OfAPumpIsClosedBeforeTheCallReturns) {
  Heard heard;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  const RunHandle run = start_on(runtime, Spec().start([](Ctx&) {}).build());
  begin_close(runtime, heard);
  EXPECT_EQ(heard.text(), "closed dropped");
  EXPECT_EQ(heard.closed_on, std::this_thread::get_id());
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
  RunHandle other;
  EXPECT_EQ(blazen_run_create(runtime, Spec().start([](Ctx&) {}).build(), nullptr, other.out(), nullptr),
            BLAZEN_ERROR_CANCELLED);
}

TEST(ARuntimeThatBeginsToClose, FromInsideABodyIsClosedWhenThatIsBack) {
  Heard heard;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  std::string in_body = "not called";
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) {
                                  begin_close(runtime, heard);
                                  in_body = heard.text();
                                  EXPECT_TRUE(ctx.cancelled());
                                })
                                .build();
  const RunHandle run = start_on(runtime, workflow);
  MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
  EXPECT_EQ(in_body, "");
  EXPECT_EQ(heard.text(), "closed dropped");
}

TEST(ARuntimeThatBeginsToClose, DoesNotWaitForABodyThatWaitsForThisThread) {
  NEEDS_THREADS();
  Heard heard;
  HeldBody held;
  Runtime runtime = make_runtime(BLAZEN_MODE_THREADS, heard);
  const RunHandle run = start_on(runtime, held.spec().build());
  held.wait_until_inside();
  begin_close(runtime, heard);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(heard.text().find("closed"), std::string::npos);
  held.opened.set_value();
  heard.wait();
  EXPECT_TRUE(heard.text().ends_with("detach closed dropped")) << heard.text();
  EXPECT_EQ(heard.sorted(), "attach attach closed detach detach dropped");
  EXPECT_NE(heard.closed_on, std::this_thread::get_id());
}

TEST(ARuntimeThatBeginsToClose, OfAPumpIsClosedByWhoeverComesBackLast) {
  NEEDS_THREADS();
  Heard heard;
  HeldBody held;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  const RunHandle run = start_on(runtime, held.spec().build());
  std::thread other([&] { MUST(blazen_runtime_poll(runtime, 0, nullptr, e)); });
  held.wait_until_inside();
  begin_close(runtime, heard);
  EXPECT_EQ(heard.text(), "");
  held.opened.set_value();
  heard.wait();
  EXPECT_EQ(heard.closed_on, other.get_id());
  other.join();
}

TEST(ARuntimeThatBeginsToClose, WithAnExecutorWhoseTaskIsNeverRunIsClosed) {
  NEEDS_THREADS();
  Heard heard;
  static blazen_task* task = nullptr;
  Runtime runtime =
      make_runtime(BLAZEN_MODE_EXECUTOR, heard, [](void*, blazen_task* posted) -> blazen_status {
        task = posted;
        return BLAZEN_OK;
      });
  const RunHandle run = start_on(runtime, Spec().start([](Ctx&) {}).build());
  begin_close(runtime, heard);
  heard.wait();
  EXPECT_EQ(heard.text(), "closed dropped");
  blazen_task_run(task);
}

TEST(ARuntimeThatBeginsToClose, TellsEveryoneWhoAsksAndAtOnceWhenItIsClosed) {
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
    Heard first;
    Heard second;
    Heard third;
    Runtime runtime = make_runtime(mode, first);
    begin_close(runtime, first);
    begin_close(runtime, second);
    first.wait();
    second.wait();
    MUST(blazen_runtime_close(runtime, e));
    begin_close(runtime, third);
    EXPECT_EQ(third.text(), "closed dropped");
    EXPECT_EQ(third.closed_on, std::this_thread::get_id());
  }
}

// Law 5: no callback when a close has returned.
TEST(ARuntimeThatBeginsToClose, HasCalledClosedWhenACloseReturns) {
  NEEDS_THREADS();
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
    Heard heard;
    HeldBody held;
    heard.in_closed = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
    Runtime runtime = make_runtime(mode, heard);
    const RunHandle run = start_on(runtime, held.spec().build());
    std::thread other;
    if (mode == BLAZEN_MODE_PUMP)
      other = std::thread([&] { MUST(blazen_runtime_poll(runtime, 0, nullptr, e)); });
    held.wait_until_inside();
    begin_close(runtime, heard);
    std::thread opener([&] { held.opened.set_value(); });
    MUST(blazen_runtime_close(runtime, e));
    EXPECT_TRUE(heard.text().ends_with("closed dropped")) << heard.text();
    opener.join();
    if (other.joinable()) other.join();
  }
}

TEST(ARuntimeThatBeginsToClose, MayBeReleasedInClosedWhichMayNotWait) {
  for (const blazen_mode mode : {BLAZEN_MODE_PUMP, BLAZEN_MODE_THREADS}) {
    Heard heard;
    Runtime runtime = make_runtime(mode, heard);
    heard.in_closed = [&] {
      EXPECT_EQ(blazen_runtime_close(runtime, nullptr), BLAZEN_ERROR_WRONG_PLACE);
      EXPECT_EQ(blazen_runtime_poll(runtime, 0, nullptr, nullptr), BLAZEN_ERROR_WRONG_PLACE);
      runtime.reset();
    };
    begin_close(runtime, heard);
    heard.wait();
    heard.wait_until_gone();
  }
}

TEST(ARuntimeThatBeginsToClose, MayBeReleasedAtOnce) {
  NEEDS_THREADS();
  Heard heard;
  HeldBody held;
  Runtime runtime = make_runtime(BLAZEN_MODE_THREADS, heard);
  (void)start_on(runtime, held.spec().build());
  held.wait_until_inside();
  begin_close(runtime, heard);
  runtime.reset();
  held.opened.set_value();
  heard.wait();
  heard.wait_until_gone();
}

TEST(ARuntimeThatBeginsToClose, DropsWhatItIsRefusedWith) {
  Heard heard;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  Error error;
  EXPECT_EQ(blazen_runtime_begin_close(runtime, nullptr, &heard, Heard::drop, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(heard.text(), "dropped");
}

// ------------------------------------------------------------------------------------------ the last release

// What a host with one thread does whose bodies are called there: the body waits for the thread that lets go.
TEST(TheLastRelease, DoesNotWaitForABodyThatWaitsForThisThread) {
  NEEDS_THREADS();
  Heard heard;
  HeldBody held;
  Runtime runtime = make_runtime(BLAZEN_MODE_THREADS, heard);
  RunHandle run = start_on(runtime, held.spec().build());
  held.wait_until_inside();
  run.reset();
  runtime.reset();
  held.opened.set_value();
  heard.wait_until_gone();
  EXPECT_EQ(heard.sorted(), "attach attach detach detach");
}

TEST(TheLastRelease, DoesNotWaitForAnotherThreadThatPolls) {
  NEEDS_THREADS();
  Heard heard;
  HeldBody held;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  RunHandle run = start_on(runtime, held.spec().build());
  blazen_runtime* raw = runtime.get();
  std::thread other([&] { MUST(blazen_runtime_poll(raw, 0, nullptr, e)); });
  held.wait_until_inside();
  run.reset();
  runtime.reset();
  held.opened.set_value();
  heard.wait_until_gone();
  other.join();
}

// The thread on which a run has ended has yet to come out of the engine: no body is at work, and the release
// is as good as a close.
TEST(TheLastRelease, HasClosedWhenItReturnsWhereACallbackTakesAMoment) {
  NEEDS_THREADS();
  const auto done = [](void*, blazen_run*, blazen_run_state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  for (int i = 0; i < 10; ++i) {
    Heard heard;
    Runtime runtime = make_runtime(BLAZEN_MODE_THREADS, heard);
    RunHandle run = start_on(runtime, Spec().start([](Ctx& ctx) { ctx.stop(); }).build());
    MUST(blazen_run_on_done(run, done, nullptr, nullptr, e));
    MUST(blazen_run_wait(run, kPatience_ms, nullptr, e));
    run.reset();
    runtime.reset();
    ASSERT_EQ(heard.gone.get_future().wait_for(std::chrono::seconds(0)), std::future_status::ready) << i;
    ASSERT_EQ(heard.sorted(), "attach attach detach detach");
  }
}

// Of an invocation that was deferred, in the only thread there is.
TEST(TheLastRelease, IsThatOfAnInvocationThatIsPending) {
  Heard heard;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, heard);
  Invocation kept;
  const Workflow workflow = Spec()
                                .start([&](Ctx& ctx) -> blazen_status {
                                  kept = ctx.defer();
                                  return BLAZEN_PENDING;
                                })
                                .build();
  RunHandle run = start_on(runtime, workflow);
  MUST(blazen_runtime_poll(runtime, 0, nullptr, e));
  run.reset();
  runtime.reset();
  kept.reset();
  heard.wait_until_gone();
}

// The wake callback waits for the host's loop, which lets go of the runtime just then.
TEST(TheLastRelease, DoesNotWaitForAWakeThatWaitsForThisThread) {
  NEEDS_THREADS();
  struct Waking : Heard {
    std::promise<void> came;
    std::promise<void> opened;
    static void wake(void* self) {
      auto* waking = static_cast<Waking*>(static_cast<Heard*>(self));
      waking->came.set_value();
      EXPECT_EQ(waking->opened.get_future().wait_for(kPatience), std::future_status::ready);
    }
  } here;
  Runtime runtime = make_runtime(BLAZEN_MODE_PUMP, here, nullptr, Waking::wake);
  RunHandle run;
  MUST(blazen_run_create(runtime, Spec().start([](Ctx&) {}).build(), nullptr, run.out(), e));
  blazen_run* raw = run.get();
  std::thread starter([&] { MUST(blazen_run_start(raw, nullptr, e)); });
  here.came.get_future().wait();
  run.reset();
  runtime.reset();
  here.opened.set_value();
  here.wait_until_gone();
  starter.join();
}

// One thread closes and waits for the callback; that lets go of the last handle.
TEST(TheLastRelease, FromInsideACallbackLeavesTheCloseToWhoWaitsForIt) {
  NEEDS_THREADS();
  for (int i = 0; i < 20; ++i) {
    Heard heard;
    Runtime runtime = make_runtime(BLAZEN_MODE_THREADS, heard);
    blazen_runtime* raw = runtime.get();
    std::atomic<bool> is_inside{false};
    const Workflow workflow = Spec()
                                  .start([&](Ctx& ctx) {
                                    is_inside = true;
                                    while (!ctx.cancelled()) std::this_thread::yield();
                                    std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));
                                    runtime.reset();
                                  })
                                  .build();
    (void)start_on(runtime, workflow);
    while (!is_inside) std::this_thread::yield();
    MUST(blazen_runtime_close(raw, e));
    heard.wait_until_gone();
    EXPECT_EQ(heard.sorted(), "attach attach detach detach");
  }
}

}  // namespace
