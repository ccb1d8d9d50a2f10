// Runs one shape a given number of times in pump mode, for tools/instructions to count its instructions:
//
//   blazen_instructions SHAPE COUNT
//   blazen_instructions --list      the shapes, and for each the two counts whose difference is one item's
//   cost
#include <cstring>

#include "bench/growth.hpp"
#include "bench/shapes.hpp"

namespace {

using namespace blazen::bench;  // NOLINT(google-build-using-namespace)

constexpr size_t kKeys = 1000;

void chain(blazen_runtime* runtime, uint64_t count, blazen_step_fn body) {
  Chain(count, body).run(runtime, By::poll);
}

void fan_out(blazen_runtime* runtime, uint64_t count) {
  FanOut shape(1000);
  for (uint64_t i = 0; i < count; i += 1000) shape.run(runtime, By::poll);
}

void join(blazen_runtime* runtime, uint64_t count) {
  JoinedFanOut shape(1000);
  for (uint64_t i = 0; i < count; i += 1000) shape.run(runtime, By::poll);
}

void short_run(blazen_runtime* runtime, uint64_t count) {
  ShortRun shape;
  for (uint64_t i = 0; i < count; ++i) shape.run(runtime, By::poll);
}

void short_run_at_once(blazen_runtime* runtime, uint64_t count) {
  ShortRun shape;
  for (uint64_t i = 0; i < count; ++i) shape.run_at_once(runtime);
}

// Rounds over all keys, after they were set once.
template <class Function>
void state(blazen_runtime* runtime, uint64_t count, Function function) {
  const std::vector<std::string> keys = make_keys(kKeys);
  const Value value = make_json("12345678");
  const Run run = run_inside(runtime, [&](blazen_context* context) {
    set_all(context, keys, value.get());
    for (uint64_t i = 0; i < count; i += kKeys) function(context, keys, value.get());
  });
  check(blazen_run_close(run.get(), nullptr));
}

// A parsed document of JSON, a unit of 1,024 bytes each.
void json_check(blazen_runtime*, uint64_t count) {
  std::string text = "[";
  while (text.size() < 1022) text += R"({"name":"a text with words","n":-12.5e3,"on":true},)";
  text.resize(1022);
  text.back() = ' ';
  const size_t last = text.rfind("},");
  std::fill(text.begin() + static_cast<std::ptrdiff_t>(last) + 1, text.end(), ' ');
  text += " ]";
  for (uint64_t i = 0; i < count; ++i) {
    make<Value>(blazen_value_adopt, BLAZEN_TAG_JSON, text.data(), text.size(), nullptr, size_t{0}, nullptr,
                nullptr);
  }
}

// Snapshots of a run with 1,000 keys; an item is a key. The first one, which sorts the keys, cancels out.
void snapshot_out(blazen_runtime* runtime, uint64_t count) {
  const Run run = make_run_with_state(runtime, make_shuffled_keys(kKeys));
  for (uint64_t i = 0; i < count; i += kKeys) snapshot_of(run.get());
  check(blazen_run_close(run.get(), nullptr));
}

void snapshot_in(blazen_runtime* runtime, uint64_t count) {
  const Workflow workflow = make_workflow({{"inside", BLAZEN_START_EVENT, bench_nothing}}, BLAZEN_IDLE_WAIT);
  const Run run = make_run_with_state(runtime, make_shuffled_keys(kKeys));
  const Snapshot snapshot = snapshot_of(run.get());
  const std::string_view bytes = bytes_of(snapshot.get());
  for (uint64_t i = 0; i < count; i += kKeys) {
    const Snapshot parsed = make<Snapshot>(blazen_snapshot_parse, bytes.data(), bytes.size());
    make<Run>(blazen_run_resume, runtime, workflow.get(), parsed.get(), nullptr);
  }
  check(blazen_run_close(run.get(), nullptr));
}

struct Shape {
  const char* name;
  uint64_t few;
  uint64_t many;
  void (*run)(blazen_runtime* runtime, uint64_t count);
};

// The two counts are both past what a run sets up once, such as the growth of its tables.
constexpr Shape kShapes[] = {
    {"chain", 1000, 11'000, [](blazen_runtime* r, uint64_t n) { chain(r, n, bench_chain); }},
    {"fan_out", 1000, 6000, fan_out},
    {"join", 1000, 6000, join},
    {"short_run", 100, 2100, short_run},
    {"short_run_at_once", 100, 2100, short_run_at_once},
    {"deferred", 1000, 6000, [](blazen_runtime* r, uint64_t n) { chain(r, n, bench_deferred_chain); }},
    {"send_event", 1000, 6000, [](blazen_runtime* r, uint64_t n) { chain(r, n, bench_send_chain); }},
    {"state_set", 1000, 11'000,
     [](blazen_runtime* r, uint64_t n) {
       state(r, n,
             [](blazen_context* c, const std::vector<std::string>& k, blazen_value* v) { set_all(c, k, v); });
     }},
    {"state_get", 1000, 11'000,
     [](blazen_runtime* r, uint64_t n) {
       state(r, n,
             [](blazen_context* c, const std::vector<std::string>& k, blazen_value*) { get_all(c, k); });
     }},
    {"json_check", 100, 1100, json_check},
    {"snapshot_out", 1000, 11'000, snapshot_out},
    {"snapshot_in", 1000, 6000, snapshot_in},
};

// Of what a host may register many of: the counts are so many that a cost which grows would show.
constexpr uint64_t kGrowthFew = 1000;
constexpr uint64_t kGrowthMany = 6000;

int list() {
  for (const Shape& shape : kShapes) {
    std::printf("%s %llu %llu\n", shape.name, static_cast<unsigned long long>(shape.few),
                static_cast<unsigned long long>(shape.many));
  }
  for (const Growth& growth : kGrowths) {
    std::printf("%s %llu %llu\n", growth.name, static_cast<unsigned long long>(kGrowthFew),
                static_cast<unsigned long long>(kGrowthMany));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return list();
  const uint64_t count = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  for (const Shape& shape : kShapes) {
    if (count == 0 || std::strcmp(shape.name, argv[1]) != 0) continue;
    const Runtime runtime = make_runtime(BLAZEN_MODE_PUMP);
    shape.run(runtime.get(), count);
    return 0;
  }
  for (const Growth& growth : kGrowths) {
    if (count == 0 || std::strcmp(growth.name, argv[1]) != 0) continue;
    growth.run(count);
    return 0;
  }
  std::fprintf(stderr, "usage: blazen_instructions SHAPE COUNT | --list\n");
  return 2;
}
