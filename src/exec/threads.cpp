// Invariants: a worker sleeps only while the queue is empty; whoever queues a run wakes one sleeper. What the
// threads share outlives the executor, for the one thread that closes its own runtime.
//
// A thread that calls a body whose outcome counts no more is kept until the body returns, if it ever does.
// `at_hand` are the others, but for those that stand by: never more than `count`. While there is work that
// nobody is free to take, and fewer are at hand, one that stands by is called up, or one is made, until there
// are `most`. A thread that comes back and is one too many stands by for a while, and then leaves.
//
//   made --> at hand <--> kept (hand_kept, hand_came_back)
//             |    ^ called up
//             v    |
//            stands by --a while--> leaving --detached--> gone, for somebody to join
#include "exec/threads.hpp"

#ifndef BLAZEN_NO_THREADS

#include <list>
#include <string>
#include <system_error>
#include <thread>

#include "base/lock.hpp"
#include "base/scope.hpp"
#include "base/steady.hpp"
#include "exec/thread.hpp"
#include "exec/work_queue.hpp"

namespace blazen {
namespace {

// How many steps of one run a thread runs before it looks at the others.
constexpr uint64_t kStepsPerTurn = 256;
// How long a thread too many stands by: it is sooner called up than made, and bodies that take a moment
// longer than their runs are common.
constexpr int64_t kStandsByMs = 100;

using ThreadList = std::list<Thread>;

struct Shared {
  Lock lock;
  Condition work_came;
  Condition called;
  Condition quiet;
  WorkQueue queue;
  const ThreadCounts counts;
  const ThreadSettings settings;
  Log* const log;    // only while somebody is in `telling`, and not stopped
  Ref<Hooks> hooks;  // until it is stopped; each thread has its own
  ThreadList threads;
  ThreadList leaving;
  ThreadList gone;
  std::atomic<uint32_t> kept{0};
  uint32_t made = 0;  // so far
  uint32_t stand_by = 0;
  uint32_t called_up = 0;  // of those that stand by no more, and have not seen it yet
  uint32_t idle = 0;
  uint32_t working = 0;  // have taken work, kept ones too
  uint32_t telling = 0;
  bool is_short = false;  // no more could be made, and the log knows
  bool stopped = false;
  const uint32_t generation = fork_generation();

  Shared(ThreadCounts its_counts, const ThreadSettings& its_settings, Ref<Hooks> its_hooks, Log& its_log)
      : counts(its_counts), settings(its_settings), log(&its_log), hooks(std::move(its_hooks)) {}
  uint32_t at_hand() const noexcept {
    const uint32_t away = kept.load(std::memory_order_relaxed) + stand_by;
    const auto all = static_cast<uint32_t>(threads.size());
    return all > away ? all - away : 0;
  }
  // Whoever is idle, or about to look at the queue.
  bool has_free() const noexcept { return threads.size() > working + stand_by; }
};

// What the log has to be told.
struct HandsReport {
  enum class Kind : uint8_t { none, brought, bound, refused };
  Kind kind = Kind::none;
  uint32_t threads = 0;
  uint32_t kept = 0;
  std::string why{};
};

void run_worker(const std::shared_ptr<Shared>& shared, const Ref<Hooks>& hooks,
                ThreadList::iterator self) noexcept;

// Throws std::system_error and std::bad_alloc.
void start_thread(const std::shared_ptr<Shared>& shared) {
  ThreadList made(1);
  const ThreadList::iterator self = made.begin();
  *self = Thread(shared->settings, std::to_string(shared->made),
                 [shared, hooks = shared->hooks, self] { run_worker(shared, hooks, self); });
  ++shared->made;
  shared->threads.splice(shared->threads.end(), made);
}

// Under the lock. There is work that nobody is free to take, while threads are kept: another comes.
[[gnu::noinline]] HandsReport bring_one(const std::shared_ptr<Shared>& shared) noexcept {
  HandsReport news;
  news.kept = shared->kept.load(std::memory_order_relaxed);
  if (shared->stopped || shared->at_hand() >= shared->counts.count) return news;
  if (shared->stand_by > 0) {
    --shared->stand_by;
    ++shared->called_up;
    shared->called.wake_one();
    return news;
  }
  if (shared->threads.size() >= shared->counts.most) {
    news.kind = HandsReport::Kind::bound;
  } else {
    try {
      start_thread(shared);
      news.kind = HandsReport::Kind::brought;
    } catch (const std::system_error& failure) {
      news.kind = HandsReport::Kind::refused;
      news.why = failure.what();
    } catch (const std::bad_alloc&) {
      news.kind = HandsReport::Kind::refused;
    }
  }
  news.threads = static_cast<uint32_t>(shared->threads.size());
  const bool is_known = std::exchange(shared->is_short, news.kind != HandsReport::Kind::brought);
  if (news.kind != HandsReport::Kind::brought && is_known) news.kind = HandsReport::Kind::none;
  if (news.kind != HandsReport::Kind::none) ++shared->telling;
  return news;
}

HandsReport bring_if_short(const std::shared_ptr<Shared>& shared) noexcept {
  if (shared->kept.load(std::memory_order_relaxed) == 0) {
    shared->is_short = false;
    return {};
  }
  return !shared->queue.empty() && !shared->has_free() ? bring_one(shared) : HandsReport{};
}

std::string words_for(const HandsReport& news) {
  const std::string kept = std::to_string(news.kept) + " of " + std::to_string(news.threads) +
                           " engine threads are kept by bodies that were abandoned";
  if (news.kind == HandsReport::Kind::brought) return "one engine thread more was made: " + kept + " now";
  const std::string why = news.kind == HandsReport::Kind::bound
                              ? "options.threads_max is reached"
                              : "the operating system refused one more " + news.why;
  return kept + ", and work waits for the others: " + why;
}

// Without the lock, whose holder has counted this in `telling`: a close waits for it.
void tell(Shared& shared, const HandsReport& news) noexcept {
  if (news.kind == HandsReport::Kind::none) return;
  const EngineScope scope;  // whoever lets go of the runtime in there closes it after that
  const LogLevel level = news.kind == HandsReport::Kind::brought ? LogLevel::warning : LogLevel::error;
  try {
    if (shared.log->hears(level)) shared.log->write(level, words_for(news));
  } catch (const std::bad_alloc&) {
    shared.log->write(level, "engine threads are kept by bodies that were abandoned");
  }
  if (shared.generation != fork_generation()) return;  // a child, in which the log was told
  Guard guard(shared.lock);
  if (--shared.telling == 0 && shared.stopped) shared.quiet.wake_all();
}

// Under the lock. False: nobody wants it, and it leaves.
bool stand_by(Shared& shared, Guard& guard, ThreadList::iterator self) noexcept {
  const int64_t until_ms = steady_ms() + kStandsByMs;
  ++shared.stand_by;
  while (shared.called_up == 0 && !shared.stopped) {
    if (shared.called.wait(guard, until_ms) || shared.called_up != 0 || shared.stopped) continue;
    --shared.stand_by;
    shared.leaving.splice(shared.leaving.end(), shared.threads, self);
    return false;
  }
  if (shared.called_up != 0) --shared.called_up;
  return true;
}

// Null: it leaves.
Work* wait_for_work(const std::shared_ptr<Shared>& shared, ThreadList::iterator self, bool has_worked,
                    HandsReport& news) noexcept {
  Guard guard(shared->lock);
  if (has_worked) --shared->working;
  while (!shared->stopped) {
    if (shared->at_hand() > shared->counts.count) {
      if (!stand_by(*shared, guard, self)) return nullptr;
    } else if (Work* work = shared->queue.pop()) {
      ++shared->working;
      news = bring_if_short(shared);
      return work;
    } else {
      ++shared->idle;
      shared->work_came.wait(guard, -1);
      --shared->idle;
    }
  }
  return nullptr;
}

void run_worker(const std::shared_ptr<Shared>& shared, const Ref<Hooks>& hooks,
                ThreadList::iterator self) noexcept {
  hooks->call_as_engine(hooks->attach);
  HandsReport news;
  bool has_worked = false;
  while (Work* work = wait_for_work(shared, self, has_worked, news)) {
    tell(*shared, std::exchange(news, {}));
    work->work(kStepsPerTurn, Hand::own);
    work->let_go();
    has_worked = true;
  }
  hooks->call_as_engine(hooks->detach);
  Guard guard(shared->lock);
  if (!shared->stopped) shared->gone.splice(shared->gone.end(), shared->leaving, self);
}

class Threads final : public Executor {
 public:
  Threads(ThreadCounts counts, const ThreadSettings& settings, Ref<Hooks> hooks, Log& log)
      : Executor(Helping::without_deadline, false),
        shared_(std::make_shared<Shared>(counts, settings, std::move(hooks), log)) {}
  ~Threads() override { stop(); }

  // Throws std::system_error and std::bad_alloc.
  void start() {
    Guard guard(shared_->lock);
    for (uint32_t i = 0; i < shared_->counts.count; ++i) start_thread(shared_);
  }

  void submit(Work& work, size_t) noexcept override {
    bool wake = false;
    HandsReport news;
    {
      Guard guard(shared_->lock);
      if (shared_->stopped || !shared_->queue.push(work)) return;
      wake = shared_->idle != 0;
      news = bring_if_short(shared_);
    }
    if (wake) shared_->work_came.wake_one();
    tell(*shared_, news);
  }

  void withdraw(Work& work) noexcept override {
    bool removed = false;
    {
      Guard guard(shared_->lock);
      removed = shared_->queue.remove(work);
    }
    if (removed) work.let_go();
  }

  uint64_t poll(uint64_t steps_max) noexcept override {
    uint64_t steps = 0;
    while (steps_max == 0 || steps < steps_max) {
      Work* work = take();
      if (work == nullptr) break;
      steps += work->work(steps_max == 0 ? 0 : steps_max - steps, Hand::guest);
      if (is_inherited()) return steps;
      work->let_go();
    }
    return steps;
  }

  Result<int> descriptor() noexcept override {
    return Error::make(
        Status::wrong_state,
        "a runtime with threads has nothing to poll: a descriptor belongs to BLAZEN_MODE_PUMP");
  }

  void hand_kept() noexcept override { shared_->kept.fetch_add(1, std::memory_order_relaxed); }
  void hand_came_back() noexcept override { shared_->kept.fetch_sub(1, std::memory_order_relaxed); }
  void replace_hands() noexcept override {
    HandsReport news;
    ThreadList gone;
    {
      Guard guard(shared_->lock);
      news = bring_if_short(shared_);
      gone.splice(gone.end(), shared_->gone);
    }
    join(gone);
    tell(*shared_, news);
  }
  Hands count_hands() noexcept override {
    Guard guard(shared_->lock);
    return {static_cast<uint32_t>(shared_->threads.size()), shared_->kept.load(std::memory_order_relaxed)};
  }

  void stop() noexcept override {
    ThreadList all;
    Ref<Hooks> last;
    {
      Guard guard(shared_->lock);
      shared_->stopped = true;
      shared_->work_came.wake_all();
      shared_->called.wake_all();
      all.splice(all.end(), shared_->threads);
      all.splice(all.end(), shared_->leaving);
      all.splice(all.end(), shared_->gone);
      last = std::move(shared_->hooks);
    }
    join(all);
    while (Work* work = take()) work->let_go();
    Guard guard(shared_->lock);
    while (shared_->telling != 0) shared_->quiet.wait(guard, -1);
  }

 private:
  static void join(ThreadList& threads) noexcept {
    for (Thread& thread : threads) {
      if (thread.is_current()) {
        thread.detach();  // it closes its own runtime, and ends as soon as it has left the engine
      } else {
        thread.join();
      }
    }
    threads.clear();
  }
  Work* take() noexcept {
    Guard guard(shared_->lock);
    return shared_->queue.pop();
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace

Result<std::unique_ptr<Executor>> make_threads(ThreadCounts counts, const ThreadSettings& settings,
                                               Ref<Hooks> hooks, Log& log) {
  if (counts.count == 0) counts.count = std::max(1U, std::thread::hardware_concurrency());
  if (counts.most == 0) counts.most = counts.count + kThreadsMore;
  auto threads = std::make_unique<Threads>(counts, settings, std::move(hooks), log);
  try {
    threads->start();
  } catch (const std::system_error& failure) {
    Ref<Error> error =
        Error::make(Status::system, "threads: the operating system refused to start " +
                                        std::to_string(counts.count) + " threads: " + failure.what());
    if (error->status == Status::system) error->host_code = failure.code().value();
    return error;
  }
  return std::unique_ptr<Executor>(std::move(threads));
}

}  // namespace blazen

#endif
