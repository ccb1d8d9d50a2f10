// Drives one run of a generated workflow, tick by tick, through the public header: one step at a time, time
// that only the driver moves, answers and completions in an order drawn from the seed; with interruptions, or
// without.
//
// Invariants: what the driver does at logical tick n is a function of the seed, n and the run; an
// interruption leaves the number of logical ticks as it was. So a run that is interrupted does the same as
// one that is not.
//
// driver.cc has the ticks, bodies.cc what steps do, interruptions.cc how a run is interrupted and moves,
// crowd.cc how it is one of several.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/follower.hpp"
#include "simulation/generator.hpp"
#include "simulation/objects.hpp"
#include "simulation/tally.hpp"

namespace sim {

using bt::Ctx;

// How a run was, to be compared.
struct Result {
  std::string problem;
  std::string outcome;
  bt::Outcome end;
  std::vector<std::string> log;   // what has had its effect, in order
  std::vector<std::string> done;  // completions, without what depends on the order
  std::vector<bt::Item> items;
  nlohmann::json last;  // the snapshot at the end
  std::vector<std::string> trace;
  int ticks = 0;
};

class Driver {
 public:
  // is_interrupted false: of the schedule, only the time that passes counts.
  Driver(const Plan& plan, const std::vector<Interruption>& schedule, bool is_interrupted, Objects& objects)
      : plan_(plan),
        schedule_(schedule),
        is_interrupted_(is_interrupted),
        objects_(objects),
        running_(plan.steps.size()),
        out_(plan.steps.size()),
        host_(plan.relaxed && is_interrupted ? 1 : 0) {}

  Result drive(const std::string& first);

  // As one of several in a runtime: see crowd.hpp.
  void enter(const std::shared_ptr<bt::FakeClock>& clock, const std::shared_ptr<bt::Engine>& engine,
             bool has_threads, const std::string& first);
  // Does what only the outside can; false: there is nothing of that kind.
  bool turn(uint64_t h);
  // Pauses it, or lets it go on from a snapshot.
  void disturb(uint64_t h);
  // How long until something is due, where nothing else can happen; -1: it is at work.
  int64_t idle_ms();
  bool is_over() const { return ended() || has_failed(); }
  bool has_failed() const;
  void leave(bool is_late);
  // When the runtime is gone too.
  Result take_result();

  // host 0: every step is here; 1 and 2: those of A, of B.
  static bt::Workflow build(const Plan& plan, Driver* driver, int host);

 private:
  // A deferred invocation.
  struct Held {
    bt::Invocation invocation;
    size_t step = 0;
    std::string path;
    uint32_t attempt = 0;
    Behaviour behaviour;
    std::vector<std::string> answers{};  // to its questions; empty: not yet
    bool is_in_body = false;

    bool is_asking() const;
  };
  // Who waits for an answer.
  struct Asked {
    Driver* driver;
    uint64_t invocation_id;
    size_t index;
    std::string prompt;
    std::atomic<int> calls{0};
    std::atomic<int> drops{0};

    Asked(Driver* its_driver, uint64_t id, size_t its_index, std::string its_prompt)
        : driver(its_driver), invocation_id(id), index(its_index), prompt(std::move(its_prompt)) {}
  };
  // The input handler of one run in one process.
  struct Handler {
    Driver* driver;
    std::set<uint64_t> asked{};  // the ids of their events
    std::atomic<int> drops{0};

    explicit Handler(Driver* its_driver) : driver(its_driver) {}
  };
  // What is rolled back with the run.
  struct Progress {
    int tick = 0;
    bool polling = false;  // within the tick, its decision was made: a step is to run
    int externals = 0;
    int64_t date_ms = 0;  // of the last snapshot
    std::vector<std::string> log, done;
    std::vector<bt::Item> items;
    std::map<uint64_t, uint32_t> completed;  // with their attempts
    std::map<uint64_t, uint32_t> in_flight;  // deferred ones, with their attempts
  };

  void fail(const std::string& why);
  void trace(const std::string& line);
  void must(blazen_status status, const char* call);
  bool is_interruption_due() const;
  bool ended() const { return bt::is_ended(blazen_run_state_now(run_)); }
  bool may_be(blazen_status status) const;
  void note_limit(const std::string& text) const;

  // bodies.cc
  bt::Event event_of(const Send& send);
  static blazen_send_options options_of(const Send& send);
  blazen_status noted(Ctx& ctx, blazen_status status);
  void send(Ctx& ctx, const Send& sent);
  void emit(Ctx& ctx, const Send& sent);
  blazen_status call_body(size_t index, Ctx& ctx);
  blazen_status body(size_t index, Ctx& ctx);
  void check_permits(size_t index, uint64_t starting);
  blazen_status first_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b);
  blazen_status defer(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b);
  blazen_status second_half(size_t index, Ctx& ctx, const std::string& path, const Behaviour& b);
  blazen_status ask(Ctx& ctx, const std::string& own, const Behaviour& b);
  void join(Ctx& ctx, const std::string& path);
  blazen_status write(Ctx& ctx, const std::string& own, const Behaviour& b);
  void ask_later(Ctx& ctx, uint64_t id, size_t index);
  void answered(const Asked& asked, const std::string& answer);
  void all_answered(uint64_t id);
  blazen_status handle_request(const blazen_event* request, blazen_value** answer, blazen_error** error);
  void log(const std::string& what, size_t index, uint64_t id, const std::string& path, uint32_t attempt,
           const std::string& how);
  void landed(size_t index, uint64_t id, const std::string& path, uint32_t attempt, bool is_done);
  std::string prompt_of(const std::string& own, size_t index, uint32_t attempt) const;
  std::string answer_to(const std::string& prompt) const;
  std::string default_of(const std::string& prompt) const;
  bool is_answer(const std::string& prompt, const std::string& answer) const;

  // driver.cc
  uint64_t poll();
  bool is_held_back() const;
  void poll_held_back();
  void sweep();
  void take();
  std::vector<nlohmann::json> questions();
  int64_t due();
  void tick();
  bool act(uint64_t h, bool polled);
  bool poll_first();
  std::vector<uint64_t> completable() const;
  void complete(uint64_t id);
  void answer(const nlohmann::json& question);
  void withdraw(const std::string& id);
  bool cancels(uint64_t h, uint64_t id);
  void send_external();

  // interruptions.cc
  void open(const std::string& bytes, bool is_first, int64_t now_ms, bool has_passed = false,
            bool keeps_paused = false);
  void close();
  void move(const std::string& bytes, Progress progress, bool unpause = false, int64_t passed_ms = -1);
  std::string snapshot(bool is_needed = true);
  bool may_move() const { return plan_.relaxed || !has_timed(); }
  bool has_timed() const;
  bool has_deadline();
  void twice(const std::string& bytes);
  bool hands_over();
  void interrupt(const Interruption& at);
  void pause(const Interruption& at, bool moves);
  Progress progress_inside() const;
  void inside(const Interruption& at);
  void let_time_pass(const Interruption& at);
  void follow(const Interruption& at);
  void take_follower();
  void replay(uint64_t from);
  void observe(const Interruption& at);
  void abort();
  void close_up();
  void look_at_end();
  void check_drops();

  // Of what bodies change; held while a body of this run works, where there are threads.
  mutable std::recursive_mutex lock_;
  const Plan& plan_;
  const std::vector<Interruption>& schedule_;
  const bool is_interrupted_;
  size_t next_ = 0;  // of the schedule
  Objects& objects_;
  std::vector<uint32_t> running_;
  std::vector<std::atomic<uint32_t>> out_;  // permits of each step, in a crowd
  int bodies_ = 0;
  uint64_t bodies_run_ = 0;
  int64_t opened_ = 0;
  int host_;  // 0: every step is here
  bool restoring_ = false;
  bool answering_ = false;
  bool handling_ = false;
  bool stream_ended_ = false;
  bool is_in_crowd_ = false;
  bool has_threads_ = false;
  bool is_paused_ = false;
  std::vector<uint64_t> retrying_;  // invocations, when due() has looked
  uint64_t published_before_ = 0;   // items that another process has published
  std::set<uint64_t> awaited_;
  std::string failure_;
  Progress now_;
  Result result_;
  std::deque<Asked> asked_;
  std::deque<Handler> handlers_;
  std::shared_ptr<bt::FakeClock> clock_;
  std::shared_ptr<bt::Engine> engine_;
  bt::Workflow workflow_;
  bt::RunHandle run_;
  bt::Stream stream_;
  std::optional<Follower> follower_;
  uint64_t follower_since_ = 0;  // bodies that had run when it came
  std::map<uint64_t, Held> held_;
};

}  // namespace sim
