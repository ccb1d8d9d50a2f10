// What a run looks like from outside: a copy that is taken at once, and put into words whenever there is
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "run/state.hpp"

namespace blazen {

class JsonWriter;

// The open questions.
class QuestionList {
 public:
  // The first `most` of them. Throws std::bad_alloc.
  // Times as in RunDescription.
  QuestionList(const RunState& state, int64_t now_ms, int64_t date_ms, size_t most = SIZE_MAX);
  // Those of a run inside it, as they are known outside, and those of runs that are kept for elsewhere.
  void add(const RunState& state, int64_t now_ms, int64_t date_ms);
  void add_kept(const KeptChild& child, int64_t date_ms);
  // A JSON array. Throws std::bad_alloc.
  std::string json() const;
  void put(JsonWriter& json, bool dates) const;

 private:
  struct Asked {
    Ref<Event> request;
    uint64_t invocation_id;
    int64_t asked_ms;
    int64_t age_ms;
    int64_t deadline_ms;  // the date; 0: none
    Ref<EventPath> path;  // null: it is the run's own
  };
  struct Kept {
    KeptChild::Question question;
    int64_t age_ms;
  };
  void take(const RunState& state, int64_t now_ms, int64_t date_ms, size_t most);
  static void put_kept(const Kept& kept, JsonWriter& json, bool dates);

  std::vector<Asked> questions_;
  std::vector<Kept> kept_;
};

// What is done for an attempt that is over: by a body at work, or by whoever has its invocation.
struct AbandonedBody {
  uint64_t invocation_id;
  StepIndex step;
  uint32_t attempt;
  Ref<Event> event;
  int64_t age_ms;
  bool is_at_work;
  bool keeps_permit;
};

// All of it. It may have the last reference to an event: it outlives the lock under which it is taken.
class RunDescription {
 public:
  // In the error with which a run ends: only what is the same for each run of the same course, interrupted or
  // not. Which run it is, its holder knows; bodies begin again after a resume, and clocks stand still
  // between.
  enum class For { anybody, its_end };
  // status: as its callers see it. now_ms: of the runtime's clock, and date_ms, for ages.
  // nested_left: so many runs inside others are described; null: kListedMax. Throws std::bad_alloc.
  RunDescription(const RunState& state, RunStatus status, int64_t now_ms, int64_t date_ms,
                 For whom = For::anybody, size_t* nested_left = nullptr);
  ~RunDescription();
  RunDescription(RunDescription&& other) noexcept;
  // What the state does not know, since their attempts are over: of so many bodies, the first. Throws
  // std::bad_alloc.
  void add(std::vector<AbandonedBody> bodies, uint64_t count);
  static constexpr size_t kListedMax = 100;  // so many of each kind are listed; all are counted
  // A JSON object. Throws std::bad_alloc.
  std::string json(const Workflow& workflow) const;
  // As its detail. Throws std::bad_alloc.
  Ref<Error> added_to(Ref<Error> error, const Workflow& workflow) const;

 private:
  struct Work {
    uint64_t id;
    StepIndex step;
    uint32_t attempt;
    Ref<Event> event;
    int64_t ms;  // age, or until it is due; -1: not known
  };
  struct Timer {
    Ref<Event> event;
    int64_t due_in_ms;
  };
  // Of a pool.
  struct PoolPart {
    uint64_t permits = 0;          // that the run has
    uint64_t waiting = 0;          // invocations
    std::vector<StepIndex> steps;  // whose invocations wait
  };
  // What bodies have collected of one type, and is not whole.
  struct Collected {
    Collects::Key key;
    std::string type;
    uint64_t count;
    uint32_t wanted;
  };
  using WorkList = std::vector<Work>;
  struct ScopePicture {
    struct Join {
      StepIndex step;
      bool closed;
      uint64_t arrived;
      int64_t due_in_ms;  // -1: it has no deadline, or that is not told
    };
    uint64_t id = 0;
    uint64_t parent = 0;  // 0: none
    OpenerIndex opener = kNoOpener;
    uint64_t opener_invocation = 0;  // 0: it is gone
    uint64_t live = 0;
    uint64_t late = 0;
    std::vector<Join> joins;
  };

  static uint64_t arrived_at(const ScopeJoin& join) noexcept;
  void copy_children(const RunState& state, int64_t date_ms, size_t& nested_left);
  void put_children(const Workflow& workflow, JsonWriter& json) const;
  void put(const Workflow& workflow, JsonWriter& json) const;
  void copy_scopes(const RunState& state);
  void copy_work(const RunState& state);
  void copy_left(const RunState& state);
  void copy_pools(const RunState& state);
  void copy_collects(const RunState& state);
  static void put_list(const Workflow& workflow, JsonWriter& json, std::string_view name,
                       const WorkList& list, const char* ms_name);
  void put_abandoned(const Workflow& workflow, JsonWriter& json) const;
  void put_timers(JsonWriter& json) const;
  void put_scopes(const Workflow& workflow, JsonWriter& json) const;
  void put_pools(const Workflow& workflow, JsonWriter& json) const;
  void put_collects(const Workflow& workflow, JsonWriter& json) const;
  void put_counters(JsonWriter& json) const;

  For whom_;
  RunId id_;
  RunStatus status_;
  int64_t now_ms_;
  int64_t elapsed_ms_ = 0;
  int64_t timeout_ms_ = 0;
  Pause pause_ = Pause::none;
  WorkList in_flight_;
  std::vector<AbandonedBody> abandoned_;
  WorkList queued_;
  WorkList retrying_;
  std::vector<Timer> timers_;
  QuestionList questions_;
  std::vector<StepIndex> elsewhere_;
  std::vector<ScopePicture> scopes_;
  std::vector<PoolPart> pools_;  // as the workflow numbers them
  std::vector<Collected> collects_;
  struct ChildPart;
  std::vector<ChildPart> children_;  // of all that are inside it, so many in all
  uint64_t child_count_ = 0;
  uint64_t delayed_count_ = 0;
  uint64_t scope_count_ = 0;
  uint64_t in_flight_count_ = 0;
  uint64_t abandoned_count_ = 0;
  uint64_t queued_count_ = 0;
  uint64_t retry_count_ = 0;
  uint64_t asking_count_ = 0;
  uint64_t question_count_ = 0;
  uint64_t events_ = 0;
  uint64_t invocations_ = 0;
  uint64_t published_ = 0;
  uint64_t keys_ = 0;
  uint64_t bytes_ = 0;
  Ref<Error> error_;
};

}  // namespace blazen
