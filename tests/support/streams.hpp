// What tests of streams share: subscriptions with options, and a step that publishes when the test says so.
#pragma once

#include <cstring>

#include "support/blazen_test.hpp"

namespace bt {

struct Wants {
  uint64_t from = 0;
  std::vector<std::string> types{};
  bool hold = false;
  uint64_t capacity = 0;
  bool lifecycle = false;
  bool routed = false;
};

inline Stream subscribe_with(blazen_run* run, const Wants& wants) {
  std::vector<const char*> types;
  std::vector<size_t> lengths;
  for (const std::string& type : wants.types) {
    types.push_back(type.data());
    lengths.push_back(type.size());
  }
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.from = wants.from;
  options.types = types.data();
  options.type_lengths = lengths.data();
  options.type_count = types.size();
  options.overflow = wants.hold ? BLAZEN_OVERFLOW_HOLD : BLAZEN_OVERFLOW_GAP;
  options.capacity = wants.capacity;
  options.lifecycle = wants.lifecycle ? 1 : 0;
  options.routed = wants.routed ? 1 : 0;
  Stream stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), e));
  return stream;
}

// Publishes 1 to count, and stops.
inline Spec publishing_spec(int count) {
  return Spec().start([count](Ctx& ctx) {
    for (int i = 1; i <= count; ++i) ctx.publish("P", std::to_string(i));
    ctx.stop();
  });
}

// A step that is pending until the test ends it, and does meanwhile what the test tells it.
class PendingStep {
 public:
  Spec spec() {
    return Spec().start([this](Ctx& ctx) -> blazen_status {
      std::lock_guard guard(lock_);
      invocation_ = ctx.defer();
      return BLAZEN_PENDING;
    });
  }
  void wait_until_there(Engine& engine, const RunHandle& run) {
    engine.until(run, [this] {
      std::lock_guard guard(lock_);
      return invocation_.get() != nullptr;
    });
  }
  Ctx ctx() { return Ctx(invocation_); }
  blazen_invocation* handle() const { return invocation_; }
  void publish(int first, int last) {
    for (int i = first; i <= last; ++i) ctx().publish("P", std::to_string(i));
  }
  void publish_pairs(int first, int last) {
    for (int i = first; i <= last; ++i) ctx().publish(i % 2 == 1 ? "Odd" : "Even", std::to_string(i));
  }
  void complete() {
    MUST(blazen_invocation_complete(invocation_, e));
    forget();
  }
  void stop() {
    ctx().stop();
    complete();
  }
  // Lets go of it.
  void forget() {
    std::lock_guard guard(lock_);
    invocation_.reset();
  }

 private:
  std::mutex lock_;
  Invocation invocation_;
};

}  // namespace bt
