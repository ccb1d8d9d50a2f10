#include "simulation/crowd.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

namespace sim {

void Driver::enter(const std::shared_ptr<bt::FakeClock>& clock, const std::shared_ptr<bt::Engine>& engine,
                   bool has_threads, const std::string& first) {
  is_in_crowd_ = true;
  has_threads_ = has_threads;
  clock_ = clock;
  engine_ = engine;
  open(first, true, 0);
}

bool Driver::has_failed() const {
  std::lock_guard guard(lock_);
  return !result_.problem.empty();
}

bool Driver::turn(uint64_t h) {
  std::lock_guard guard(lock_);
  if (ended()) return false;
  take();
  if (is_paused_) {
    is_paused_ = false;
    must(blazen_run_resume_in_place(run_, nullptr), "resume_in_place");
    return true;
  }
  const std::vector<uint64_t> ids = completable();
  std::vector<nlohmann::json> asked = questions();
  std::erase_if(asked, [&](const nlohmann::json& each) {  // which somebody else is about to answer
    return plan_.handler_percent >= 0 && handle(plan_, each["prompt"]) != Handling::later;
  });
  if (ids.empty() && asked.empty()) return false;
  const size_t pick = h % (ids.size() + asked.size());
  if (pick < ids.size()) {
    complete(ids[pick]);
  } else {
    answer(asked[pick - ids.size()]);
  }
  return true;
}

void Driver::disturb(uint64_t h) {
  if (is_over()) return;
  if (!is_paused_ && h % 3 == 0) {
    count("pauses in a crowd");
    trace("-- pause");
    is_paused_ = true;
    const blazen_status status =
        blazen_run_pause(run_, BLAZEN_PAUSE_NOW + static_cast<int>(h / 3 % 2), nullptr);
    if (!ended()) must(status, "pause");
    return;
  }
  const std::string bytes = snapshot();
  bt::Value info;
  must(blazen_snapshot_info(bt::parse(bytes), info.out(), nullptr), "info");
  Progress then;
  {
    std::lock_guard guard(lock_);
    take();
    then = now_;
  }
  then.items.resize(nlohmann::json::parse(bt::data_of(info))["stream_sequence"]);
  // What had completed by then, and what has since, nobody can tell.
  if (has_threads_) then.completed.clear();
  if (has_threads_) then.in_flight.clear();
  count(has_threads_ ? "resumes with threads" : "resumes in a crowd");
  move(bytes, then, std::exchange(is_paused_, false));
}

int64_t Driver::idle_ms() {
  std::lock_guard guard(lock_);
  if (ended()) return INT64_MAX;
  bt::Value text;
  must(blazen_run_describe(run_, text.out(), nullptr), "describe");
  const nlohmann::json all = nlohmann::json::parse(bt::data_of(text));
  if (is_paused_ || !all["queued"].empty() || !all["in_flight"].empty() || !all["questions"].empty())
    return -1;
  int64_t least_ms = INT64_MAX;
  for (const char* list : {"retrying", "delayed"}) {
    for (const nlohmann::json& item : all[list])
      least_ms = std::min(least_ms, item["due_in_ms"].get<int64_t>());
  }
  return std::max<int64_t>(least_ms, 0);
}

void Driver::leave(bool is_late) {
  if (ended()) {
    close_up();
  } else {
    if (is_late) fail("nothing more happens");
    close();
  }
  engine_.reset();
}

namespace {

class Crowd {
 public:
  Crowd(uint64_t seed, bool has_threads) : seed_(seed), has_threads_(has_threads) {
    const bt::Way way = !has_threads    ? bt::Way::pump
                        : seed % 2 == 0 ? bt::Way::threads_1
                                        : bt::Way::threads_4;
    engine_ = std::make_shared<bt::Engine>(way, clock_.get());
  }

  std::vector<Result> run(const std::vector<Plan>& plans, const std::vector<std::string>& first,
                          Objects& objects) {
    static const std::vector<Interruption> kNone;
    for (size_t i = 0; i < plans.size(); ++i) {
      drivers_.push_back(std::make_unique<Driver>(plans[i], kNone, false, objects));
      drivers_.back()->enter(clock_, engine_, has_threads_, first[i]);
    }
    using Clock = std::chrono::steady_clock;
    auto deadline = Clock::now() + bt::kPatience;
    bool is_late = false;
    for (uint64_t round = 0; goes_on() && !is_late; ++round) {
      if (step(mix(seed_, 0xC, round))) deadline = Clock::now() + bt::kPatience;
      is_late = Clock::now() > deadline;
    }
    for (const auto& driver : drivers_) driver->leave(is_late);
    engine_.reset();
    std::vector<Result> results;
    for (const auto& driver : drivers_) results.push_back(driver->take_result());
    return results;
  }

 private:
  bool goes_on() const {
    const auto is_over = [](const auto& driver) { return driver->is_over(); };
    const auto has_failed = [](const auto& driver) { return driver->has_failed(); };
    return !std::all_of(drivers_.begin(), drivers_.end(), is_over) &&
           std::none_of(drivers_.begin(), drivers_.end(), has_failed);
  }
  uint64_t poll() {
    uint64_t steps = 0;
    MUST(blazen_runtime_poll(engine_->runtime(), 1, &steps, e));
    return steps;
  }

  // False: nothing has lifecycle here, though maybe on other threads.
  bool step(uint64_t h) {
    Driver& one = *drivers_[h % drivers_.size()];
    if ((h >> 8) % 16 == 0 && disturbances_ < 4 * drivers_.size()) {
      ++disturbances_;
      one.disturb(h >> 16);
    }
    if (!has_threads_ && (h >> 24) % 4 != 0 && poll() != 0) return true;
    if (one.turn(h >> 32)) return true;
    for (const auto& driver : drivers_) {
      if (driver->turn(h >> 32)) return true;
    }
    if (!has_threads_ && poll() != 0) return true;
    return let_time_pass();
  }

  bool let_time_pass() {
    int64_t least_ms = INT64_MAX;
    for (const auto& driver : drivers_) least_ms = std::min(least_ms, driver->idle_ms());
    if (least_ms == INT64_MAX) return false;
    if (least_ms < 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      return false;
    }
    clock_->now_ms += least_ms;
    poll();
    return true;
  }

  const uint64_t seed_;
  const bool has_threads_;
  std::shared_ptr<bt::FakeClock> clock_ = std::make_shared<bt::FakeClock>();
  std::shared_ptr<bt::Engine> engine_;
  std::vector<std::unique_ptr<Driver>> drivers_;
  uint64_t disturbances_ = 0;
};

}  // namespace

std::vector<Result> run_crowd(uint64_t seed, bool has_threads, const std::vector<Plan>& plans,
                              const std::vector<std::string>& first, Objects& objects) {
  return Crowd(seed, has_threads).run(plans, first, objects);
}

}  // namespace sim
