#include "simulation/trees_model.hpp"

#include <algorithm>

#include "support/blazen_test.hpp"

namespace sim::trees {

namespace {

// What a part, or a flow, comes to.
struct Given {
  bool is_done = true;
  std::string value;                 // of its success
  blazen_status status = BLAZEN_OK;  // of the innermost cause of its failure
  int64_t code = 0;
  int64_t at = 0;
  bool is_step = true;  // of a failure: some step has failed, so that it can be rescued
  std::string cause{};  // of a failure
};

Given failed(blazen_status status, int64_t code, int64_t at, std::string cause = {}) {
  return {false, "", status, code, at, true, std::move(cause)};
}

struct Entry {
  What what;
  size_t work;
  std::string input;
  int64_t at;
  bool is_maybe = false;  // it happens where a race ends
};

class Model {
 public:
  Model(const Tree& tree, Fault fault) : tree_(tree), fault_(fault) {}

  Expected expect() {
    const Given end = flow(tree_.flows.size() - 1, "0", 0);
    Expected expected;
    expected.end = end.is_done ? end.value
                               : std::string(blazen_status_name(end.status)) + " " + std::to_string(end.code);
    expected.is_open = is_open_;
    expected.is_timed = is_timed_;
    for (const Entry& entry : log_) {
      Range& range = expected.counts[static_cast<size_t>(entry.what)][entry.work];
      range.least += entry.is_maybe ? 0 : 1;
      ++range.most;
    }
    return expected;
  }

 private:
  // ---- bodies ----

  uint32_t failures(const Work& work, const std::string& input) {
    uint32_t count = 0;
    for (const Entry& entry : log_) {
      if (entry.what != What::failed || entry.work != work.id || entry.input != input) continue;
      if (entry.is_maybe) is_open_ = true;
      ++count;
    }
    return count;
  }
  void log(What what, const Work& work, const std::string& input, int64_t at) {
    log_.push_back({what, work.id, input, at});
  }

  Given body(const Work& work, const Retry& retry, const std::string& input, int64_t at) {
    log(What::begun, work, input, at);
    std::string answer;
    for (uint32_t attempt = 1;; ++attempt) {
      const bool fails = failures(work, input) < work.failures;
      if (work.asks && answer.empty() && (!fails || work.fails_late)) {
        log(What::asked, work, input, at);
        answer = work.is_by_default ? kDefaultAnswer : answer_to(prompt_of(work, input));
        at += work.after_ms;
      }
      if (!fails) {
        log(What::done, work, input, at);
        return {true, given(work, input, answer), BLAZEN_OK, 0, at};
      }
      log(What::failed, work, input, at);
      if (attempt == retry.attempts) return failed(BLAZEN_ERROR_HOST, code_of(work), at, cause_of(input));
      at += retry.delay_ms;
    }
  }

  // ---- races ----

  // What was logged since `from`, but not by the winner, ends at that moment.
  void cut(size_t from, size_t until, int64_t at) {
    if (fault_ == Fault::never_cancels) return;
    for (size_t i = from; i < until; ++i) {
      if (log_[i].at < at) continue;
      is_timed_ = true;
      if (is_loose_) is_open_ = true;
      if (log_[i].at == at) {
        log_[i].is_maybe = true;
      } else {
        log_[i].at = kGone;
      }
    }
  }
  void sweep(size_t from) {
    log_.erase(std::remove_if(log_.begin() + static_cast<ptrdiff_t>(from), log_.end(),
                              [](const Entry& entry) { return entry.at == kGone; }),
               log_.end());
  }

  Given within(int64_t timeout_ms, blazen_status status, size_t from, int64_t began, Given given) {
    if (timeout_ms == 0 || timeout_ms == kNeverReached_ms) return given;
    is_timed_ = true;
    if (is_loose_) is_open_ = true;
    const int64_t bound = began + timeout_ms;
    if (given.at < bound) return given;
    if (given.at == bound) is_open_ = true;
    cut(from, log_.size(), bound);
    sweep(from);
    Given late = failed(status, 0, bound);
    late.is_step = status != BLAZEN_ERROR_RUN_TIMEOUT;
    return late;
  }

  // ---- steps that are flows ----

  Given hosted(const Part& part, size_t index, const std::string& input, int64_t at) {
    for (uint32_t attempt = 1;; ++attempt) {
      const size_t from = log_.size();
      Given end = within(part.rounds == 0 ? part.timeout_ms : 0, BLAZEN_ERROR_STEP_TIMEOUT, from, at,
                         flow(index, input, at));
      end.is_step = true;
      if (end.is_done || attempt == part.retry.attempts) return end;
      if (fault_ == Fault::keeps_child) {
        for (size_t i = from; i < log_.size(); ++i) {
          if (log_[i].what == What::done) log_[i].at = kGone;
        }
        sweep(from);
      }
      at = end.at + part.retry.delay_ms;
    }
  }

  struct Lane {
    size_t from, until;  // of the log
    Given end;
  };

  // Of several ends, the one that decides: the least, by `before`; it is open where two of them differ.
  template <class Before>
  size_t decide(const std::vector<Lane>& lanes, bool is_done, Before before) {
    size_t found = lanes.size();
    bool has_tie = false;
    for (size_t i = 0; i < lanes.size(); ++i) {
      const Given& end = lanes[i].end;
      if (end.is_done != is_done) continue;
      if (found == lanes.size() || before(end.at, lanes[found].end.at)) {
        found = i;
        has_tie = false;
      } else if (end.at == lanes[found].end.at) {
        has_tie = true;
      }
    }
    if (has_tie || (is_loose_ && found != lanes.size())) is_open_ = true;
    return found;
  }
  void cut_others(const std::vector<Lane>& lanes, size_t winner, int64_t at) {
    for (size_t i = 0; i < lanes.size(); ++i) {
      if (i == winner) continue;
      if (lanes[i].end.at >= at) is_timed_ = true;
      cut(lanes[i].from, lanes[i].until, at);
    }
    if (!lanes.empty()) sweep(lanes.front().from);
  }

  // values: of each branch, for a mapper.
  Given several(const Part& part, const std::string& input, int64_t at, std::string& values) {
    std::vector<Lane> lanes;
    for (const size_t index : part.flows) {
      const size_t from = log_.size();
      Given end = hosted(part, index, input, at);
      lanes.push_back({from, log_.size(), end});
    }
    if (part.first_success && !lanes.empty()) {
      size_t winner = decide(lanes, true, std::less<>());
      if (winner != lanes.size()) {
        is_timed_ = is_timed_ || lanes.size() > 1;
        if (fault_ == Fault::first_declared) {
          for (winner = 0; !lanes[winner].end.is_done;) ++winner;
        }
        const Given end = lanes[winner].end;
        cut_others(lanes, winner, end.at);
        values = end.value;
        return end;
      }
      is_timed_ = is_timed_ || lanes.size() > 1;
      Given last = lanes[decide(lanes, false, std::greater<>())].end;
      last.cause.clear();  // there is one for each branch
      return last;
    }
    const size_t failing = decide(lanes, false, std::less<>());
    if (failing != lanes.size()) {
      is_timed_ = is_timed_ || lanes.size() > 1;
      const Given end = lanes[failing].end;
      cut_others(lanes, failing, end.at);
      return end;
    }
    Given all;
    all.at = at;
    for (size_t i = 0; i < lanes.size(); ++i) {
      all.at = std::max(all.at, lanes[i].end.at);
      all.value += (i == 0 ? "\"b" : ",\"b") + std::to_string(i) + "\":" + lanes[i].end.value;
      values += (i == 0 ? "" : ",") + lanes[i].end.value;
    }
    all.value = "{" + all.value + "}";
    return all;
  }

  // permits: when each is free, where there are so many.
  Given hosting(const Part& part, const std::string& input, int64_t at,
                std::vector<int64_t>* permits = nullptr) {
    Given now{true, input, BLAZEN_OK, 0, at};
    if (part.input) now = body(*part.input, part.retry, now.value, now.at);
    if (!now.is_done) return now;
    std::string values;
    const size_t from = log_.size();
    int64_t since = now.at;
    const bool is_any = since != at || (part.input && part.input->is_deferred);
    if (permits != nullptr && is_any) is_loose_ = true;  // who is first
    const auto permit = permits == nullptr ? std::vector<int64_t>::iterator()
                                           : std::min_element(permits->begin(), permits->end());
    if (permits != nullptr) since = std::max(since, *permit);
    now = rounds(part, now.value, since, values);
    if (permits != nullptr) *permit = now.at;
    if (part.rounds != 0) now = within(part.timeout_ms, BLAZEN_ERROR_STEP_TIMEOUT, from, since, now);
    if (!now.is_done || !part.output) return now;
    const bool is_group = part.kind == Kind::children && part.rounds == 0;
    return body(*part.output, part.retry, is_group ? values : now.value, now.at);
  }

  Given rounds(const Part& part, const std::string& input, int64_t at, std::string& values) {
    const auto once = [&](const std::string& value, int64_t since) {
      return part.kind == Kind::child ? hosted(part, part.flows.front(), value, since)
                                      : several(part, value, since, values);
    };
    if (part.rounds == 0) return once(input, at);
    Given now{true, input, BLAZEN_OK, 0, at};
    for (uint32_t round = 1;; ++round) {
      now = once(fault_ == Fault::repeats_input ? input : now.value, now.at);
      if (!now.is_done) return now;
      if (!part.until) {
        if (round == part.rounds) return now;
        continue;
      }
      const Given until = body(*part.until, part.retry, now.value, now.at);
      if (!until.is_done) return until;
      now.at = until.at;
      const std::string answer = until_of(until.value);
      if (answer == "\"fail\"") return failed(BLAZEN_ERROR_STEP_FAILED, 0, now.at);
      if (answer == "\"done\"") return now;
      if (round == part.rounds) return part.done_at_bound ? now : failed(BLAZEN_ERROR_LIMIT, 0, now.at);
    }
  }

  Given rescue(const Given& end) {
    // Two items may be the same from there on.
    if (end.cause.empty() && fans_ != 0) is_open_ = true;
    return {true, rescued(end.code, end.cause), BLAZEN_OK, 0, end.at};
  }

  // ---- fan-outs ----

  // Of a step: what it gives, and when that comes.
  Given step(const Part& part, const std::string& input, int64_t at) {
    if (part.kind != Kind::leaf) return hosting(part, input, at);
    Given end = body(part.work, part.retry, input, at);
    if (end.is_done) end.at += delay_of(part.work, end.value);
    return end;
  }

  Given fan(const Flow& flow, const Part& part, const std::string& input, int64_t at) {
    Given opened = body(part.work, part.retry, input, at);
    if (!opened.is_done) return opened;
    const size_t from = log_.size();
    std::vector<int64_t> permits(part.concurrency, opened.at);
    std::vector<Lane> lanes;
    const Part& item = part.items.front();
    ++fans_;
    for (size_t i = 0; i < part.width; ++i) {
      const size_t begin = log_.size();
      const std::string value = item_of(opened.value, i);
      Given end = permits.empty() ? step(item, value, opened.at) : hosting(item, value, opened.at, &permits);
      // An item that waits to be tried again has no permit: its place is not known.
      if (!permits.empty() && item.retry.attempts > 1) is_loose_ = true;
      if (!end.is_done && flow.rescue == Rescue::gives) end = rescue(end);
      lanes.push_back({begin, log_.size(), end});
    }
    --fans_;
    const size_t failing = decide(lanes, false, std::less<>());
    const Given joins = join(part, lanes, opened.at);
    if (failing != lanes.size()) {
      const Given end = lanes[failing].end;
      is_timed_ = true;
      if (end.at == joins.at) is_open_ = true;
      if (!joins.is_done || end.at <= joins.at) {
        cut_others(lanes, failing, end.at);
        return end;
      }
    }
    if (part.wanted == 0) return joins;
    for (const Lane& lane : lanes) {
      if (lane.end.at > joins.at) cut(lane.from, lane.until, joins.at);
    }
    sweep(from);
    return joins;
  }

  // is_done false: so many do not come.
  Given join(const Part& part, const std::vector<Lane>& lanes, int64_t at) {
    std::vector<Given> came;
    for (const Lane& lane : lanes) {
      if (lane.end.is_done) came.push_back(lane.end);
    }
    const bool is_whole = came.size() == lanes.size();
    const size_t wanted = part.wanted == 0 ? lanes.size() : std::min<size_t>(part.wanted, lanes.size());
    if (came.size() < wanted) return failed(BLAZEN_ERROR_INTERNAL, 0, -1);
    if (!is_whole || wanted < came.size()) is_timed_ = true;
    std::vector<int64_t> times;
    for (const Given& each : came) times.push_back(each.at);
    std::sort(times.begin(), times.end());
    const int64_t last = wanted == 0 ? at : times[wanted - 1];
    if (wanted < times.size() && (times[wanted] == last || is_loose_)) is_open_ = true;
    std::vector<std::string> values;
    for (const Given& each : came) {
      if (each.at <= last && values.size() < wanted) values.push_back(each.value);
    }
    if (fault_ == Fault::loses_one && !values.empty()) values.pop_back();
    if (!part.is_ordered) std::sort(values.begin(), values.end());
    std::string text;
    for (size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : ",") + values[i];
    return {true, trees::joined(text), BLAZEN_OK, 0, last};
  }

  // ---- flows ----

  Given flow(size_t index, const std::string& input, int64_t at) {
    const Flow& flow = tree_.flows[index];
    const size_t from = log_.size();
    const Given end = flow.is_pipeline ? pipeline(flow, input, at) : chain(index, input, at);
    return within(flow.timeout_ms, BLAZEN_ERROR_RUN_TIMEOUT, from, at, end);
  }

  Given again(size_t index, const Part& part, const std::string& input, int64_t at) {
    const Given end = body(part.work, part.retry, input, at);
    return end.is_done && goes_again(end.value) ? hosted(part, index, end.value, end.at) : end;
  }

  Given chain(size_t index, const std::string& input, int64_t at) {
    const Flow& flow = tree_.flows[index];
    Given now{true, input, BLAZEN_OK, 0, at};
    for (const Part& part : flow.parts) {
      now = part.kind == Kind::fan     ? fan(flow, part, now.value, now.at)
            : part.kind == Kind::again ? again(index, part, now.value, now.at)
                                       : step(part, now.value, now.at);
      if (now.is_done && part.kind == Kind::leaf && part.work.is_silent) {
        now = failed(BLAZEN_ERROR_STALLED, 0, now.at);
        now.is_step = false;
      }
      if (now.is_done) continue;
      if (flow.rescue == Rescue::none || !now.is_step) return now;
      return rescue(now);
    }
    return now;
  }

  Given pipeline(const Flow& flow, const std::string& input, int64_t at) {
    Given now{true, input, BLAZEN_OK, 0, at};
    for (const Part& part : flow.parts) {
      if (part.condition) {
        const Given answer = body(*part.condition, part.retry, now.value, now.at);
        if (!answer.is_done) return answer;
        now.at = answer.at;
        if (condition_of(answer.value) == "false") {
          if (fault_ == Fault::skips_to_null) now.value = "null";
          continue;
        }
      }
      now = hosting(part, now.value, now.at);
      if (!now.is_done) return now;
    }
    return now;
  }

  static constexpr int64_t kGone = INT64_MAX;

  const Tree& tree_;
  const Fault fault_;
  std::vector<Entry> log_;
  int fans_ = 0;  // around
  bool is_open_ = false;
  bool is_timed_ = false;
  bool is_loose_ = false;  // when things happen is not known any more
};

}  // namespace

Expected expect(const Tree& tree, Fault fault) { return Model(tree, fault).expect(); }

}  // namespace sim::trees
