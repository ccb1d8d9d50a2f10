// Where the ticks of a run are recorded before anybody hears of what follows from them. Implementation: a store.
#pragma once

#include <cstdint>

namespace blazen {

// A run, as whoever records its ticks knows it.
class CommitSink {
 public:
  CommitSink() = default;
  CommitSink(const CommitSink&) = delete;
  CommitSink& operator=(const CommitSink&) = delete;

  // All ticks up to this number are safe: what follows from them takes effect, in their order, in this call or in one
  // that another thread is in. Calls out to the host. From any thread, but not inside record().
  virtual void committed(uint64_t number) noexcept = 0;
  // None after the last committed one ever will be: what is held is dropped, and the run is over in this process. The
  // same threads.
  virtual void refused() noexcept = 0;

 protected:
  ~CommitSink() = default;
};

class CommitLog {
 public:
  CommitLog() = default;
  CommitLog(const CommitLog&) = delete;
  CommitLog& operator=(const CommitLog&) = delete;
  virtual ~CommitLog() = default;

  // The tick of this number was made; each run counts from 1, without holes. Under the lock of the run.
  virtual void record(CommitSink& run, uint64_t number) noexcept = 0;
  // The run goes: it is not to be called any more, and when this is back, no other thread is inside it. Inside a call of
  // this run, too: then that one returns without touching it.
  virtual void forget(CommitSink& run) noexcept = 0;
};

}  // namespace blazen
