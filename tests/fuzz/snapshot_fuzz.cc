// Any bytes at all: decode_snapshot refuses them, or they are a snapshot, and then they describe themselves,
// and a run restored from them gives the same bytes again. All of that in a time that is in proportion to
// their number.
//
// The corpus was made by: unit_tests --gtest_also_run_disabled_tests --gtest_filter='*WriteCorpus'
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "codec/json_check.hpp"
#include "snapshot_samples.hpp"

namespace {

using namespace blazen;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "snapshot_fuzz: %s\n", what);
  std::abort();
}

void check_refusal(const Error& error, size_t size) {
  require(error.status == Status::snapshot_invalid || error.status == Status::snapshot_newer,
          "an unexpected status");
  require(error.offset <= size && !error.message.empty(), "a refusal without a place");
}

void check_restored(const SnapshotDocument& document, const Ref<Workflow>& workflow) {
  RunState state;
  if (Ref<Error> error = samples::restore(document, workflow, false, state)) {
    const bool has_no_room = error->status == Status::snapshot_invalid;
    require(has_no_room || error->status == Status::snapshot_mismatch, "an unexpected status of restore_run");
    RunState changed;
    if (!samples::restore(document, workflow, true, changed)) samples::snapshot(changed);
    return;
  }
  const std::string again = samples::snapshot(state, document.engine);
  if (document.children.empty()) {
    require(again == samples::text_of(document.bytes()), "the same run gives other bytes");
    return;
  }
  // Who has not the steps of those inside says nothing of their turns: from there on, it is the same.
  Result<SnapshotDocument> kept =
      decode_snapshot({reinterpret_cast<const uint8_t*>(again.data()), again.size()});
  RunState once_more;
  require(kept && kept->children.size() == document.children.size(), "runs inside are lost");
  require(!samples::restore(*kept, workflow, false, once_more), "its own snapshot is refused");
  require(samples::snapshot(once_more, document.engine) == again, "the same run gives other bytes");
}

void check(const uint8_t* data, size_t size) {
  static const Ref<Workflow> workflows[] = {samples::sample_workflow(samples::Hosting::all),
                                            samples::sample_workflow(samples::Hosting::without_remote),
                                            samples::joined_workflow(samples::Hosting::all),
                                            samples::joined_workflow(samples::Hosting::without_remote)};
  Result<SnapshotDocument> document = decode_snapshot({data, size});
  if (!document) {
    check_refusal(*document.error(), size);
    return;
  }
  const std::string description = describe_snapshot(*document);
  require(!check_json(description.data(), description.size(), 8), "a description that is no JSON");
  for (const Ref<Workflow>& workflow : workflows) check_restored(*document, workflow);
}

// Of this thread's processor: how busy the machine is does not count.
uint64_t nanoseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A sanitizer makes it slower, bytes are read, restored and written more than once here, and little of
// anything takes its time. What takes the square of 4096 bytes is far beyond it.
constexpr uint64_t kSlower = 10;
constexpr uint64_t kNanosecondsMin = 50'000'000;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool is_warm = (check(nullptr, 0), true);  // the workflows are made
  require(is_warm, "");
  const uint64_t begin = nanoseconds_now();
  check(data, size);
  const uint64_t took = nanoseconds_now() - begin;
  require(took <= kNanosecondsMin + size * kSlower * kReadNanosecondsPerByteMax, "too slow for so few bytes");
  return 0;
}
