// A subscriber beside the one of the driver: one that is slow, that holds the run back, that comes late, or
// that listens to the lifecycle. What it gets is compared with what the run has published.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "simulation/tally.hpp"
#include "support/streams.hpp"

namespace sim {

class Follower {
 public:
  // from: as in blazen_stream_options; published: items of the run so far; since: those before this process.
  Follower(blazen_run* run, const bt::Wants& wants, uint64_t published, uint64_t since)
      : stream_(bt::subscribe_with(run, wants)),
        wants_(wants),
        next_(wants.from == 0 ? published + 1 : wants.from),
        joined_(published),
        since_(since) {}

  bool listens() const { return wants_.lifecycle; }
  // Whether the run waits for it.
  bool is_full(uint64_t published) const { return wants_.hold && published + 1 >= next_ + wants_.capacity; }
  uint64_t started() const { return started_; }

  // Takes what is there. Empty, or what is wrong with it.
  std::string take(const std::vector<bt::Item>& published) {
    const uint64_t lost = lost_of(published.size());
    for (const bt::Item& item : bt::take(stream_)) {
      std::string problem;
      if (item.type == BLAZEN_STREAM_END) {
        if (next_ != published.size() + 1) problem = "it ends too early";
      } else if (item.type == BLAZEN_LIFECYCLE && !is_numbered(item)) {
        problem = take_news(item);
      } else if (item.type == BLAZEN_STREAM_GAP) {
        problem = take_gap(item, lost);
      } else if (wants_.routed && item.sequence + 1 == next_) {
        count("routed events");
      } else {
        problem = take_item(item, published);
      }
      if (!problem.empty())
        return "a follower got " + std::to_string(item.sequence) + " " + item.type + " " + item.value +
               ", and " + std::to_string(next_) + " was next: " + problem;
    }
    if (next_ != published.size() + 1)
      return "a follower has not got all: " + std::to_string(next_) + " was next";
    return {};
  }

 private:
  // Published by the run itself, and no news of the lifecycle.
  static bool is_numbered(const bt::Item& item) {
    return item.value.find("send_diverged") != std::string::npos ||
           item.value.find("send_changed") != std::string::npos;
  }
  // The first item that it gets, where some are lost; of a late one, where nobody else keeps them.
  uint64_t lost_of(uint64_t published) const {
    uint64_t first = std::max(next_, since_ + 1);
    if (wants_.hold || wants_.capacity == 0) return first;
    const uint64_t taken = std::max(next_ - 1, joined_);
    if (published > taken && published - taken > wants_.capacity)
      first = std::max(first, published + 1 - wants_.capacity);
    return first;
  }
  std::string take_gap(const bt::Item& item, uint64_t first) {
    count("gaps of a stream");
    const nlohmann::json gap = nlohmann::json::parse(item.value.substr(item.value.find('{')));
    const uint64_t missed = gap["missed"];
    next_ += missed;
    if (item.sequence != next_ - 1) return "the number of the gap is wrong";
    if (next_ != first) return "up to " + std::to_string(first) + " should be missed";
    return {};
  }
  std::string take_news(const bt::Item& item) {
    if (!wants_.lifecycle) return "it has not asked for that";
    count("lifecycle items");
    if (item.sequence != next_ - 1) return "it does not stand where it lifecycle";
    if (item.value.find("step_started") != std::string::npos) ++started_;
    return {};
  }
  std::string take_item(const bt::Item& item, const std::vector<bt::Item>& published) {
    if (item.sequence != next_ || item.sequence > published.size()) return "it is not the next one";
    if (!(published[item.sequence - 1] == item)) return "the first subscriber got another one";
    if (item.sequence <= joined_) count("items replayed");
    ++next_;
    return {};
  }

  bt::Stream stream_;
  bt::Wants wants_;
  uint64_t next_;
  uint64_t joined_;
  uint64_t since_;
  uint64_t started_ = 0;
};

}  // namespace sim
