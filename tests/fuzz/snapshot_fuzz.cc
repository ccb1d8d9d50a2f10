// Any bytes at all: decode_snapshot refuses them, or they are a snapshot, and then they describe themselves,
// and a run restored from them gives the same bytes again.
//
// The corpus was made by: unit_tests --gtest_also_run_disabled_tests --gtest_filter='*WriteCorpus'
#include <cstdint>
#include <cstdio>
#include <cstdlib>

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
    require(error->status == Status::snapshot_mismatch, "an unexpected status of restore_run");
    RunState changed;
    if (!samples::restore(document, workflow, true, changed)) samples::snapshot(changed);
    return;
  }
  const std::string again = samples::snapshot(state, document.engine);
  require(again == samples::text_of(document.bytes.bytes()), "the same run gives other bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Ref<Workflow> workflows[] = {samples::sample_workflow(samples::Hosting::all),
                                            samples::sample_workflow(samples::Hosting::without_remote)};
  Result<SnapshotDocument> document = decode_snapshot({data, size});
  if (!document) {
    check_refusal(*document.error(), size);
    return 0;
  }
  const std::string description = describe_snapshot(*document);
  require(!check_json(description.data(), description.size(), 8), "a description that is no JSON");
  for (const Ref<Workflow>& workflow : workflows) check_restored(*document, workflow);
  return 0;
}
