// What follows from the ticks of a run is held until they are committed: only where a log records them.
//
// Each tick gets a number, and an entry of this queue; with the number committed, Run::release_committed() lets the entry take
// effect, in the order of the numbers, one thread at a time. Held are: stream items, wake-ups, callbacks, the end, and the
// status that the outside sees. Not held are: what the tick lets go of, the moment that the runtime has to know, and the
// start of a body. A snapshot and a description are of the state as it is, whatever is held.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "engine/notifications.hpp"
#include "port/commit.hpp"
#include "run/tick.hpp"

namespace blazen {

class Run;

struct HeldEffects {
  HeldEffects() = default;
  HeldEffects(const HeldEffects&) = delete;
  HeldEffects& operator=(const HeldEffects&) = delete;
  ~HeldEffects();

  uint64_t number = 0;
  Run* run = nullptr;                     // whose tick it was: it has a reference
  RunStatus status = RunStatus::created;  // of the run, or of the top of its tree, after the tick
  Commands shows;                         // of what the tick wants done, what others see
  Notifications notifications;            // and who is called
  std::unique_ptr<HeldEffects> next;
};

class Commits final : public CommitSink {
 public:
  Commits(Run& its_run, CommitLog& its_log, RunStatus now) noexcept
      : run(its_run), log(its_log), status_last(now), seen(now) {}
  ~Commits() {
    free_all(first_);
    free_all(spares_);
  }

  void committed(uint64_t number) noexcept override;
  void refused() noexcept override;

  // Entries for what a tick may lead to. False: there is no memory. One that must not fail finds what the others have
  // left: more than it needs.
  bool reserve(bool must_not_fail) noexcept;
  // Reserved.
  std::unique_ptr<HeldEffects> take() noexcept {
    std::unique_ptr<HeldEffects> entry = std::move(spares_);
    spares_ = std::move(entry->next);
    --spare_count_;
    return entry;
  }
  void push(std::unique_ptr<HeldEffects> entry) noexcept {
    HeldEffects* added = entry.get();
    (last_ != nullptr ? last_->next : first_) = std::move(entry);
    last_ = added;
  }
  bool has_committed() const noexcept { return first_ && first_->number <= committed_last; }
  // Null: there is none.
  std::unique_ptr<HeldEffects> pop() noexcept {
    std::unique_ptr<HeldEffects> entry = std::move(first_);
    if (!entry) return entry;
    first_ = std::move(entry->next);
    if (!first_) last_ = nullptr;
    return entry;
  }

  Run& run;
  CommitLog& log;
  // Under the lock of the run.
  uint64_t number_last = 0;
  uint64_t committed_last = 0;
  RunStatus status_last;      // after the last tick
  RunStatus seen;             // what the outside knows
  bool is_releasing = false;  // a thread is, and looks again before it leaves
  // Nothing takes effect any more.
  std::atomic<bool> is_dropped{false};

 private:
  static void free_all(std::unique_ptr<HeldEffects>& list) noexcept {
    while (list) list = std::move(list->next);
  }
  std::unique_ptr<HeldEffects> first_;
  HeldEffects* last_ = nullptr;
  std::unique_ptr<HeldEffects> spares_;
  size_t spare_count_ = 0;
};

}  // namespace blazen
