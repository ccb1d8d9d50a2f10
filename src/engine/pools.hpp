// Permits that the runs of a runtime share: so many bodies at once, of whatever runs, and no more.
//
// A run has a seat at each pool that its workflow uses. What the run has of the pool is in its state (PoolState), and the
// pool knows the sum; so each tick of the run is followed by settle(), under the lock of the run:
//
//   it has fewer permits than before   they are free
//   somebody in it waits               the seat comes to the end of the queue, unless it stands there
//   nobody does                        it leaves the queue: the run is paused, held, has ended, or has all that it needs
//
// Who settles and finds a permit free beside a queue hands it on. A seat that is at the front itself gets it at once; the
// permits of others are handed out by Runtime::hand_out(), once no lock is held. Either way, a grant is a tick of the run
// that gets it, and is followed by settle(): so a run gets one permit, and goes to the end. Where it has no use for it
// any more, that tick leaves it unused, and settle() gives it back.
//
// A run and those inside it stand in the queue as one (PoolQueuer), and in that in turn: a tree that has a thousand runs
// gets one permit, and goes to the end, as a run does that has none inside.
//
// Invariants: `taken` is the sum of what the seats have and of what is on its way to them (`coming`). While a permit is
// free and a seat is queued, some thread is about to hand out. A seat is queued while its run waits for a permit beside
// those that are on their way, but for a run without the memory for a tick, which asks again in a while.
// The lock of a pool is taken last, under that of a run or under none.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/lock.hpp"

namespace blazen {

class Pool;
class RunEntry;

struct PoolSeat;

// Those of the runs of one tree that wait for one pool. Under the lock of the pool.
struct PoolQueuer {
  PoolSeat* first = nullptr;  // null: it is not in the queue
  PoolSeat* last = nullptr;
  PoolQueuer* next = nullptr;
  PoolQueuer* previous = nullptr;
};

// Of one run at one pool.
struct PoolSeat {
  Pool* pool = nullptr;
  RunEntry* run = nullptr;
  uint32_t place = 0;            // the number of the pool in the workflow of the run
  PoolQueuer* queuer = nullptr;  // of its tree; goes when that does
  PoolQueuer alone;              // where no run around it has one
  // Under the lock of the run, as the pool knows: permits that it has, and how many more it wants.
  uint32_t taken = 0;
  uint64_t wants = 0;
  // Under the lock of the pool.
  uint32_t coming = 0;  // permits on their way to it
  bool queued = false;  // in its queuer, as what follows
  PoolSeat* next = nullptr;
  PoolSeat* previous = nullptr;
};

class Pool {
 public:
  std::string_view name;  // set when it is made

  // More, or fewer: those that are too many go as bodies return. True: there is something to hand out.
  bool set(uint32_t permits) noexcept;

  // What becomes of a free permit.
  enum class Free : uint8_t { none, own, others };
  // Under the lock of the run. has: so many permits; wants: so many more. takes: this seat may get one at once; it has it
  // where the answer is own. Others, or this one without takes: somebody has to hand out.
  Free settle(PoolSeat& seat, uint32_t has, uint64_t wants, bool takes) noexcept;
  // Takes a permit for the seat whose turn it is, and that out of the queue. Null: none is free, or nobody waits.
  // The run has one reference more. To be followed by arrived(), under the lock of the run.
  PoolSeat* take_next() noexcept;
  void arrived(PoolSeat& seat) noexcept;
  // The run is gone.
  void leave(PoolSeat& seat) noexcept;

 private:
  bool is_free() const noexcept { return queue_.first != nullptr && taken_ < permits_; }
  void push_back(PoolSeat& seat) noexcept;
  void unlink(PoolSeat& seat) noexcept;
  void take_turn(PoolSeat& seat) noexcept;

  Lock lock_;
  uint64_t permits_ = 0;
  uint64_t taken_ = 0;
  struct {
    PoolQueuer* first = nullptr;
    PoolQueuer* last = nullptr;
  } queue_;
};

// By their names. None goes before its runtime does: the logarithm of their number.
class Pools {
 public:
  // Null: nobody has set it.
  Pool* find(std::string_view name) noexcept;
  // The one of this name, which is made where there is none. Throws std::bad_alloc.
  Pool& get(std::string_view name);
  // The one behind this one, by their names; null: there is none. Of null, the first.
  Pool* next(const Pool* pool) noexcept;

 private:
  Lock lock_;
  std::map<std::string, Pool, std::less<>> pools_;
};

}  // namespace blazen
