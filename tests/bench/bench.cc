// Measures the engine through the C ABI, beside the reference of reference.hpp. tools/bench runs it and
// prints the table.
//
// Each row times the engine and its reference in turn, within the same iteration, so that noise of the
// machine meets both alike. The label of a row says what an item is. Its counters: ns and reference_ns for
// each item, their ratio, bytes where the heap is watched, and the budget, of which 0 means that there is
// none: ratio_max, ns_max, bytes_max. Rows that prove that two threads do more than one quote the throughput of
// two to that of one, and have a ratio_min.
#include <benchmark/benchmark.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bench/growth.hpp"
#include "bench/json_sample.hpp"
#include "bench/reference.hpp"
#include "bench/shapes.hpp"

namespace {

using namespace blazen::bench;  // NOLINT(google-build-using-namespace)

struct Budget {
  double ratio_max = 0;
  double ns_max = 0;
  double bytes_max = 0;
};

// ------------------------------------------------------------------------------------------------- measuring

double now_s(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// What this thread alone does is measured in its own time: other programs on the machine take none of it.
// Where the engine's threads take part, it is the time on the wall.
template <class Function>
double seconds(const Function& function, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  const double begin_s = now_s(clock);
  function();
  return now_s(clock) - begin_s;
}

constexpr clockid_t clock_of(By by) { return by == By::poll ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC; }

// ours and reference each do `items` items and answer the seconds it took.
template <class Ours, class Reference>
void compare(benchmark::State& state, const char* item, double items, Budget budget, Ours ours,
             Reference reference) {
  double ours_s = 0;
  double reference_s = 0;
  for (auto _ : state) {
    const double one_s = ours();
    state.SetIterationTime(one_s);
    ours_s += one_s;
    reference_s += reference();
  }
  state.SetLabel(item);
  const double ns = 1e9 / (items * static_cast<double>(state.iterations()));
  state.counters["ns"] = ours_s * ns;
  state.counters["reference_ns"] = reference_s * ns;
  state.counters["ratio"] = ours_s / reference_s;
  state.counters["ratio_max"] = budget.ratio_max;
  state.counters["ns_max"] = budget.ns_max;
  state.counters["bytes_max"] = budget.bytes_max;
}

// The same work by two threads and by one, in turn; each answers the seconds it took.
template <class Two, class One>
void compare_threads(benchmark::State& state, const char* item, double items, double ratio_min, Two two,
                     One one) {
  double two_s = 0;
  double one_s = 0;
  for (auto _ : state) {
    const double ours_s = two();
    state.SetIterationTime(ours_s);
    two_s += ours_s;
    one_s += one();
  }
  state.SetLabel(item);
  const double ns = 1e9 / (items * static_cast<double>(state.iterations()));
  state.counters["ns"] = two_s * ns;
  state.counters["reference_ns"] = one_s * ns;
  state.counters["ratio"] = one_s / two_s;
  state.counters["ratio_min"] = ratio_min;
}

template <class Function>
void row(const std::string& name, Function function) {
  benchmark::RegisterBenchmark(name.c_str(), function)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

// One of each for the whole process, made before anything is measured: the engine's threads sleep meanwhile.
blazen_runtime* pump() {
  static const Runtime runtime = make_runtime(BLAZEN_MODE_PUMP);
  return runtime.get();
}
blazen_runtime* threads() {
  static const Runtime runtime = make_runtime(BLAZEN_MODE_THREADS);
  return runtime.get();
}

blazen_runtime* runtime_of(By by) { return by == By::poll ? pump() : threads(); }

// ------------------------------------------------------------------------------------ the reference's shapes

double reference_chain(uint64_t length, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  uint64_t left = length;
  const ReferenceStep link{[](void* data, ReferenceRun& run, const ReferenceEvent& event) {
                             auto& left = *static_cast<uint64_t*>(data);
                             run.emit(left-- == 0 ? BLAZEN_STOP_EVENT : kLink, event.value);
                           },
                           &left};
  const ReferenceWorkflow workflow{{BLAZEN_START_EVENT, link}, {kLink, link}};
  return seconds([&] { benchmark::DoNotOptimize(ReferenceRun(workflow).run(BLAZEN_START_EVENT, 1)); }, clock);
}

double reference_runs(const ReferenceWorkflow& workflow, uint64_t runs, clockid_t clock) {
  const auto run_all = [&] {
    for (uint64_t i = 0; i < runs; ++i)
      benchmark::DoNotOptimize(ReferenceRun(workflow).run(BLAZEN_START_EVENT, 1));
  };
  return seconds(run_all, clock);
}

double reference_fan_out(uint64_t width, uint64_t runs, clockid_t clock) {
  struct Plan {
    uint64_t width;
    uint64_t left;
  } plan{width, 0};
  const ReferenceWorkflow workflow{
      {BLAZEN_START_EVENT,
       {[](void* data, ReferenceRun& run, const ReferenceEvent& event) {
          auto& plan = *static_cast<Plan*>(data);
          plan.left = plan.width;
          for (uint64_t i = 0; i < plan.width; ++i) run.emit(kChild, event.value);
        },
        &plan}},
      {kChild,
       {[](void*, ReferenceRun& run, const ReferenceEvent& event) { run.emit(kDone, event.value); },
        nullptr}},
      {kDone,
       {[](void* data, ReferenceRun& run, const ReferenceEvent& event) {
          if (--static_cast<Plan*>(data)->left == 0) run.emit(BLAZEN_STOP_EVENT, event.value);
        },
        &plan}}};
  return reference_runs(workflow, runs, clock);
}

double reference_short_runs(uint64_t runs, clockid_t clock) {
  const ReferenceWorkflow workflow{{BLAZEN_START_EVENT,
                                    {[](void*, ReferenceRun& run, const ReferenceEvent& event) {
                                       run.emit(BLAZEN_STOP_EVENT, event.value);
                                     },
                                     nullptr}}};
  return reference_runs(workflow, runs, clock);
}

ReferenceTable reference_table(const std::vector<std::string>& keys) {
  ReferenceTable table;
  for (size_t i = 0; i < keys.size(); ++i) table[keys[i]] = {std::to_string(10'000'000 + i), i + 1};
  return table;
}

// --------------------------------------------------------------------------------------------------- routing

void add_chain(const std::string& name, uint64_t length, By by, Budget budget,
               blazen_step_fn body = bench_chain) {
  row(name, [=](benchmark::State& state) {
    Chain chain(length, body);
    compare(
        state, "event", static_cast<double>(length), budget,
        [&] { return seconds([&] { chain.run(runtime_of(by), by); }, clock_of(by)); },
        [&] { return reference_chain(length, clock_of(by)); });
    if (chain.plan().heap_at_end == 0) return;
    const auto kept = static_cast<int64_t>(chain.plan().heap_at_end - chain.plan().heap_after_tenth);
    state.counters["bytes"] = static_cast<double>(kept);
  });
}

void add_fan_out(const std::string& name, uint64_t width, By by, Budget budget) {
  row(name, [=](benchmark::State& state) {
    constexpr uint64_t kRuns = 10;
    FanOut fan_out(width);
    compare(
        state, "child", static_cast<double>(width * kRuns), budget,
        [&] {
          const auto run_all = [&] {
            for (uint64_t i = 0; i < kRuns; ++i) fan_out.run(runtime_of(by), by);
          };
          return seconds(run_all, clock_of(by));
        },
        [&] { return reference_fan_out(width, kRuns, clock_of(by)); });
  });
}

// Against the same fan-out, whose children are counted.
void add_join(const std::string& name, uint64_t width, Budget budget) {
  row(name, [=](benchmark::State& state) {
    JoinedFanOut joined(width);
    FanOut counted(width);
    compare(
        state, "child", static_cast<double>(width), budget,
        [&] { return seconds([&] { joined.run(pump(), By::poll); }, clock_of(By::poll)); },
        [&] { return seconds([&] { counted.run(pump(), By::poll); }, clock_of(By::poll)); });
  });
}

template <class Function>
void add_short_run(const std::string& name, By by, Budget budget, Function function) {
  row(name, [=](benchmark::State& state) {
    constexpr uint64_t kRuns = 1000;
    ShortRun short_run;
    compare(
        state, "run", kRuns, budget,
        [&] {
          const auto run_all = [&] {
            for (uint64_t i = 0; i < kRuns; ++i) function(short_run);
          };
          return seconds(run_all, clock_of(by));
        },
        [&] { return reference_short_runs(kRuns, clock_of(by)); });
  });
}

// Against as many short runs.
void add_children(const std::string& name, uint64_t width, Budget budget) {
  row(name, [=](benchmark::State& state) {
    ChildFanOut children(width);
    ShortRun short_run;
    compare(
        state, "child", static_cast<double>(width), budget,
        [&] { return seconds([&] { children.run(pump(), By::poll); }, clock_of(By::poll)); },
        [&] {
          const auto run_all = [&] {
            for (uint64_t i = 0; i < width; ++i) short_run.run(pump(), By::poll);
          };
          return seconds(run_all, clock_of(By::poll));
        });
  });
}

void add_pipeline(const std::string& name, uint32_t stages, Budget budget) {
  row(name, [=](benchmark::State& state) {
    constexpr uint64_t kRuns = 200;
    PipelineRun pipeline(stages, 0);
    ShortRun short_run;
    const auto time_of = [](auto& run) {
      const auto run_all = [&] {
        for (uint64_t i = 0; i < kRuns; ++i) run.run(pump(), By::poll);
      };
      return seconds(run_all, clock_of(By::poll));
    };
    compare(
        state, "pipeline", kRuns, budget, [&] { return time_of(pipeline); },
        [&] { return time_of(short_run); });
  });
}

// An event from outside into a run that waits for it, each of them pumped.
void add_post(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kEvents = 1000;
    const Workflow workflow = make_workflow(
        {{"begin", BLAZEN_START_EVENT, bench_nothing}, {"take", kLink, bench_nothing}}, BLAZEN_IDLE_WAIT);
    const Run run = start_run(pump(), workflow.get());
    poll(pump());
    const Event event = make<Event>(blazen_event_create, kLink.data(), kLink.size(), nullptr, nullptr);
    compare(
        state, "event", kEvents, {},
        [&] {
          return seconds([&] {
            for (uint64_t i = 0; i < kEvents; ++i) {
              check(blazen_run_send_event(run.get(), event.get(), nullptr, nullptr));
              poll(pump());
            }
          });
        },
        [] { return reference_chain(kEvents); });
    check(blazen_run_close(run.get(), nullptr));
  });
}

// Short runs of one workflow, submitted and waited for one by one, from so many host threads, each with an input
// of its own; all are there before it begins.
double run_on_hosts(ShortRun& workflow, size_t count, uint64_t runs) {
  struct Host {
    std::thread thread;
    double begin_s;
    double end_s;
  };
  std::vector<Host> hosts(count);
  std::atomic<size_t> ready{0};
  for (Host& host : hosts) {
    host.thread = std::thread([&] {
      const ShortRun input;
      ++ready;
      while (ready.load() < count) std::this_thread::yield();
      host.begin_s = now_s(CLOCK_MONOTONIC);
      for (uint64_t i = 0; i < runs; ++i) workflow.run_at_once(threads(), input);
      host.end_s = now_s(CLOCK_MONOTONIC);
    });
  }
  for (Host& host : hosts) host.thread.join();
  double begin_s = hosts.front().begin_s;
  double end_s = hosts.front().end_s;
  for (const Host& host : hosts) {
    begin_s = std::min(begin_s, host.begin_s);
    end_s = std::max(end_s, host.end_s);
  }
  return end_s - begin_s;
}

// The least of several times: where the machine has more to do, it takes a processor from two threads sooner than
// from one, but not each time.
void add_hosts(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kRuns = 20'000;
    ShortRun workflow;
    const auto least = [&](size_t hosts) {
      double least_s = run_on_hosts(workflow, hosts, kRuns / hosts);
      for (int i = 0; i < 9; ++i) least_s = std::min(least_s, run_on_hosts(workflow, hosts, kRuns / hosts));
      return least_s;
    };
    compare_threads(state, "run", kRuns, 1.6, [&] { return least(2); }, [&] { return least(1); });
  });
}

// Steps of one run that work for so long, on engine threads alone: the host sleeps until the run ends.
class Work {
 public:
  explicit Work(uint64_t steps)
      : plan_{steps, {}, turns_in(10e-6)},
        workflow_(
            make_workflow({{"begin", BLAZEN_START_EVENT, begin, &plan_}, {"work", kChild, work, &plan_}})) {}
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  double run(blazen_runtime* runtime) {
    return seconds(
        [&] {
          const Run run = start_run(runtime, workflow_.get());
          constexpr int64_t kLong_ms = 600'000;  // who waits with a deadline does not help
          blazen_run_state state = BLAZEN_RUN_NONE;
          check(blazen_run_wait(run.get(), kLong_ms, &state, nullptr));
        },
        CLOCK_MONOTONIC);
  }

 private:
  struct Plan {
    uint64_t steps;
    std::atomic<uint64_t> left;
    uint64_t turns;
  };
  // What no compiler shortens, and no memory slows down.
  static void turn(uint64_t turns) {
    uint64_t number = turns;
    for (uint64_t i = 0; i < turns; ++i)
      benchmark::DoNotOptimize(number = number * 6'364'136'223'846'793'005U + 1);
  }
  static uint64_t turns_in(double wanted_s) {
    constexpr uint64_t kTurns = 100'000;
    double least_s = seconds([] { turn(kTurns); });
    for (int i = 0; i < 20; ++i) least_s = std::min(least_s, seconds([] { turn(kTurns); }));
    return static_cast<uint64_t>(wanted_s / least_s * kTurns);
  }
  static blazen_status begin(void* data, blazen_context* context, const blazen_event* event,
                             blazen_error** error) {
    auto& plan = *static_cast<Plan*>(data);
    plan.left.store(plan.steps);
    for (uint64_t i = 0; i < plan.steps; ++i) check(emit(context, kChild, event, error));
    return BLAZEN_OK;
  }
  static blazen_status work(void* data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
    auto& plan = *static_cast<Plan*>(data);
    turn(plan.turns);
    return plan.left.fetch_sub(1) == 1 ? stop(context, event, error) : BLAZEN_OK;
  }

  Plan plan_;
  Workflow workflow_;
};

void add_work(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kSteps = 20'000;
    const Runtime one = make_runtime(BLAZEN_MODE_THREADS, 1);
    const Runtime two = make_runtime(BLAZEN_MODE_THREADS, 2);
    Work work(kSteps);
    compare_threads(
        state, "step of 10 µs", kSteps, 1.8, [&] { return work.run(two.get()); },
        [&] { return work.run(one.get()); });
  });
}

#ifdef __linux__
// A loop of the host that sleeps on descriptors: from the event that is sent over the descriptor that says so
// to the poll that runs its step and clears it, and round again. Beside it, what the system takes for the
// least of that: an event descriptor that is written, waited for and read.
void add_wake(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kWakes = 1000;
    const Runtime runtime = make_runtime(BLAZEN_MODE_PUMP);
    int32_t descriptor = -1;
    check(blazen_runtime_descriptor(runtime.get(), &descriptor, nullptr));
    const Workflow workflow = make_workflow(
        {{"begin", BLAZEN_START_EVENT, bench_nothing}, {"take", kLink, bench_nothing}}, BLAZEN_IDLE_WAIT);
    const Run run = start_run(runtime.get(), workflow.get());
    poll(runtime.get());
    const Event event = make<Event>(blazen_event_create, kLink.data(), kLink.size(), nullptr, nullptr);
    const int bare = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const auto watch = [](int watched) {
      const int loop = ::epoll_create1(EPOLL_CLOEXEC);
      epoll_event readable{};
      readable.events = EPOLLIN;
      if (::epoll_ctl(loop, EPOLL_CTL_ADD, watched, &readable) != 0) std::abort();
      return loop;
    };
    const auto wait = [](int loop) {
      epoll_event readable{};
      if (::epoll_wait(loop, &readable, 1, 1000) != 1) std::abort();
    };
    const int ours = watch(descriptor);
    const int reference = watch(bare);
    compare(
        state, "wake", kWakes, {.ns_max = 2000},
        [&] {
          return seconds([&] {
            for (uint64_t i = 0; i < kWakes; ++i) {
              check(blazen_run_send_event(run.get(), event.get(), nullptr, nullptr));
              wait(ours);
              poll(runtime.get());
            }
          });
        },
        [&] {
          return seconds([&] {
            for (uint64_t i = 0; i < kWakes; ++i) {
              uint64_t count = 1;
              if (::write(bare, &count, sizeof count) < 0) std::abort();
              wait(reference);
              if (::read(bare, &count, sizeof count) < 0) std::abort();
            }
          });
        });
    check(blazen_run_close(run.get(), nullptr));
    for (const int each : {ours, reference, bare}) ::close(each);
  });
}
#endif

// A step asks, the host answers, and the step is called again with the answer and goes on to the next
// question.
void add_question(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kQuestions = 1000;
    const auto ask = [](void*, blazen_context* context, const blazen_event* event, blazen_error**) {
      blazen_question question = BLAZEN_QUESTION_INIT;
      question.prompt = "Go on?";
      question.prompt_length = 6;
      question.request_id = "q";
      question.request_id_length = 1;
      blazen_value* answer = nullptr;
      const blazen_status status = blazen_context_ask(context, &question, &answer, nullptr);
      if (status != BLAZEN_OK) return status;
      blazen_value_release(answer);
      return emit(context, kLink, event, nullptr);
    };
    const Workflow workflow = make_workflow({{"begin", BLAZEN_START_EVENT, ask}, {"ask", kLink, ask}});
    const Run run = start_run(pump(), workflow.get());
    const Value yes = make_json("true");
    poll(pump());
    compare(
        state, "question", kQuestions, {.ns_max = 5000},
        [&] {
          return seconds([&] {
            for (uint64_t i = 0; i < kQuestions; ++i) {
              check(blazen_run_respond(run.get(), "q", 1, yes.get(), nullptr));
              poll(pump());
            }
          });
        },
        [] { return reference_chain(kQuestions); });
    check(blazen_run_close(run.get(), nullptr));
  });
}

// Begins so many runs of the workflow inside it; 0: that workflow itself.
Workflow make_parent(uint32_t children, blazen_step_fn begin, blazen_workflow* inner) {
  if (children == 0) return Workflow(blazen_workflow_retain(inner));
  const Builder builder = make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("bench"));
  blazen_error* error = nullptr;
  blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
  options.output_type = BLAZEN_STOP_EVENT;
  options.output_type_length = std::strlen(BLAZEN_STOP_EVENT);
  check(blazen_workflow_builder_add_step(builder.get(), BLAZEN_TEXT("begin"), BLAZEN_TEXT(BLAZEN_START_EVENT),
                                         begin, nullptr, nullptr, &error),
        error);
  for (uint32_t i = 0; i < children; ++i) {
    const std::string name = "child" + std::to_string(i);
    check(blazen_workflow_builder_add_workflow(builder.get(), name.data(), name.size(), kLink.data(),
                                               kLink.size(), inner, &options, &error),
          error);
  }
  return make<Workflow>(blazen_workflow_builder_build, builder.get());
}

// Runs that wait for a human, each with 1 KiB of input: the step that was given it has asked a question. The bytes
// are what malloc has given out for one of them, without its input.
// children: so many of its steps that are workflows do so instead; 0: a step of its own.
void add_parked(const std::string& name, By by, uint32_t children = 0) {
  row(name, [by, children](benchmark::State& state) {
    constexpr uint64_t kRuns = 1000;
    const auto ask = [](void*, blazen_context* context, const blazen_event*, blazen_error** error) {
      blazen_question question = BLAZEN_QUESTION_INIT;
      question.prompt = "Go on?";
      question.prompt_length = 6;
      blazen_value* answer = nullptr;
      const blazen_status status = blazen_context_ask(context, &question, &answer, error);
      blazen_value_release(answer);
      return status;
    };
    const auto go_on = [](void*, blazen_context* context, const blazen_event* event, blazen_error** error) {
      return emit(context, kLink, event, error);
    };
    const Workflow asking = make_workflow({{"begin", BLAZEN_START_EVENT, go_on}, {"ask", kLink, ask}});
    const Workflow workflow = make_parent(children, go_on, asking.get());
    const std::string input = '"' + std::string(1022, 'x') + '"';
    std::vector<Run> runs(kRuns);
    std::vector<Value> inputs(kRuns);
    size_t bytes = 0;
    const auto park_all = [&] {
      const size_t before = heap_bytes();
      for (Value& value : inputs) value = make_json(input);
      const size_t with_inputs = heap_bytes();
      for (size_t i = 0; i < kRuns; ++i) {
        runs[i] = start_run(runtime_of(by), workflow.get(), inputs[i].get());
        if (by == By::poll) {
          poll(runtime_of(by));
        } else {
          check(blazen_run_wait_until(runs[i].get(), BLAZEN_UNTIL_ASKING, BLAZEN_FOREVER, nullptr, nullptr));
        }
      }
      if (with_inputs > before) bytes = heap_bytes() - with_inputs;
    };
    compare(
        state, "run", kRuns, {.bytes_max = children == 0 ? 1536.0 : 1536.0 * (children + 1)},
        [&] {
          const double park_s = seconds(park_all, clock_of(by));
          for (Run& run : runs) {
            close(run);
            run.reset();
          }
          for (Value& value : inputs) value.reset();
          return park_s;
        },
        [] { return reference_chain(2 * kRuns); });
    state.counters["bytes"] = static_cast<double>(bytes) / kRuns;
  });
}

// The call alone, within a body; what becomes of the events is not in the figure.
void add_emit(const std::string& name) {
  row(name, [](benchmark::State& state) {
    constexpr uint64_t kEvents = 1000;
    double emit_s = 0;
    const auto emit_all = [](void* data, blazen_context* context, const blazen_event* event) {
      *static_cast<double*>(data) = seconds([&] {
        for (uint64_t i = 0; i < kEvents; ++i) check(emit(context, kLink, event, nullptr));
      });
      check(stop(context, event, nullptr));
    };
    InsidePlan plan{emit_all, &emit_s};
    const Workflow workflow =
        make_workflow({{"begin", BLAZEN_START_EVENT, bench_inside, &plan}, {"take", kLink, bench_nothing}});
    const Value input = make_json(R"({"n":1})");
    compare(
        state, "event", kEvents, {},
        [&] {
          run_once(pump(), workflow.get(), input.get(), By::poll);
          return emit_s;
        },
        [] { return reference_chain(kEvents); });
  });
}

void add_routing() {
  add_chain("chain/100000", 100'000, By::poll, {.ratio_max = 2.5});
  add_chain("chain/1000000", 1'000'000, By::poll, {.ratio_max = 2.5, .bytes_max = 4096}, bench_watched_chain);
  add_fan_out("fan_out/1000", 1000, By::poll, {.ratio_max = 2.5});
  add_join("join/100000", 100'000, {.ratio_max = 1.3});
  const Budget short_run{.ratio_max = 10};
  add_short_run("short_run/pump", By::poll, short_run, [](ShortRun& run) { run.run(pump(), By::poll); });
  add_short_run("short_run/pump_at_once", By::poll, short_run,
                [](ShortRun& run) { run.run_at_once(pump()); });
  add_short_run("short_run/helps", By::wait, short_run, [](ShortRun& run) { run.run_at_once(threads()); });
  add_short_run("short_run/threads", By::wait, {}, [](ShortRun& run) { run.run(threads(), By::wait); });
  add_hosts("two_hosts/short_run");
  add_work("two_threads/work/20000");
  add_chain("chain_threads/100000", 100'000, By::wait, {});
  add_fan_out("fan_out_threads/1000", 1000, By::wait, {});
  add_chain("deferred/100000", 100'000, By::poll, {}, bench_deferred_chain);
  add_chain("send_event/100000", 100'000, By::poll, {}, bench_send_chain);
  add_post("send_event_outside");
#ifdef __linux__
  add_wake("wake_descriptor");
#endif
  add_emit("emit");
  add_question("question");
  add_children("children/1000", 1000, {.ratio_max = 2});
  add_pipeline("pipeline/10", 10, {.ratio_max = 12});
  add_parked("parked_children/3", By::poll, 3);
  add_parked("parked/pump", By::poll);
  add_parked("parked/threads", By::wait);
}

// ----------------------------------------------------------------------------------------------------- state

constexpr size_t kStateKeys = 1000;
constexpr size_t kStateRounds = 20;

template <class Ours, class Reference>
void add_state(const std::string& name, Ours ours, Reference reference) {
  row(name, [=](benchmark::State& state) {
    const std::vector<std::string> keys = make_keys(kStateKeys);
    const Value value = make_json("12345678");
    ReferenceState table;
    for (const std::string& key : keys) table.set(key, 1);
    compare(
        state, "call", kStateKeys * kStateRounds, {.ratio_max = 3},
        [&] {
          double body_s = 0;
          const Run run = run_inside(pump(), [&](blazen_context* context) {
            set_all(context, keys, value.get());
            body_s = seconds([&] {
              for (size_t i = 0; i < kStateRounds; ++i) ours(context, keys, value.get());
            });
          });
          check(blazen_run_close(run.get(), nullptr));
          return body_s;
        },
        [&] {
          return seconds([&] {
            for (size_t i = 0; i < kStateRounds; ++i) {
              for (const std::string& key : keys) reference(table, key);
            }
          });
        });
  });
}

void add_states() {
  add_state(
      "state_set",
      [](blazen_context* context, const std::vector<std::string>& keys, blazen_value* value) {
        set_all(context, keys, value);
      },
      [](ReferenceState& table, const std::string& key) { table.set(key, 2); });
  add_state(
      "state_get",
      [](blazen_context* context, const std::vector<std::string>& keys, blazen_value*) {
        get_all(context, keys);
      },
      [](ReferenceState& table, const std::string& key) {
        uint64_t value = 0;
        benchmark::DoNotOptimize(table.get(key, value));
        benchmark::DoNotOptimize(value);
      });
}

// ------------------------------------------------------------------------------------------------------------
// JSON

// 1 ns a byte is 1 GB/s.
void add_json(const std::string& name, size_t size) {
  row(name, [=](benchmark::State& state) {
    const std::string text = make_json_sample(size);
    compare(
        state, "byte", static_cast<double>(text.size()), {.ns_max = 1},
        [&] {
          return seconds([&] {
            make<Value>(blazen_value_adopt, BLAZEN_TAG_JSON, text.data(), text.size(), nullptr, size_t{0},
                        nullptr, nullptr);
          });
        },
        [&] { return seconds([&] { benchmark::DoNotOptimize(nlohmann::json::accept(text)); }); });
  });
}

// -------------------------------------------------------------------------------------------------- snapshot

constexpr size_t kSnapshotKeys = 10'000;

// What is made is destroyed outside the time, on both sides.
double reference_out(const ReferenceTable& table) {
  std::vector<uint8_t> bytes;
  const double time_s = seconds([&] { bytes = ReferenceWriter::write(table); });
  benchmark::DoNotOptimize(bytes.data());
  return time_s;
}

// A run at rest with 64 MiB of bytes, and memory for a copy of its snapshot.
struct BigState {
  BigState()
      : bytes(64 << 20, 'b'),
        copy(bytes.size() + 4096, 'c'),
        run(run_inside(pump(), [&](blazen_context* context) {
          check(blazen_context_set_bytes(context, BLAZEN_TEXT("blob"), bytes.data(), bytes.size(), nullptr));
        })) {}
  BigState(const BigState&) = delete;
  BigState& operator=(const BigState&) = delete;
  ~BigState() { check(blazen_run_close(run.get(), nullptr)); }

  double reference() {
    return seconds([&] {
      std::memcpy(copy.data(), bytes.data(), bytes.size());
      benchmark::ClobberMemory();
    });
  }

  std::string bytes;
  std::string copy;
  size_t written = 0;
  Run run;
};

extern "C" blazen_status bench_write_piece(void* user_data, const void* data, size_t length, blazen_error**) {
  auto* big = static_cast<BigState*>(user_data);
  std::memcpy(big->copy.data() + big->written, data, length);
  big->written += length;
  return BLAZEN_OK;
}

void add_snapshots() {
  row("snapshot_out/10000", [](benchmark::State& state) {
    const std::vector<std::string> keys = make_shuffled_keys(kSnapshotKeys);
    const ReferenceTable table = reference_table(keys);
    const Run run = make_run_with_state(pump(), keys);
    snapshot_of(run.get());  // the order of the keys is known from here on
    compare(
        state, "snapshot", 1, {.ratio_max = 2},
        [&] {
          Snapshot snapshot;
          return seconds([&] { snapshot = snapshot_of(run.get()); });
        },
        [&] { return reference_out(table); });
    check(blazen_run_close(run.get(), nullptr));
  });
  row("snapshot_first/10000", [](benchmark::State& state) {
    const std::vector<std::string> keys = make_shuffled_keys(kSnapshotKeys);
    const ReferenceTable table = reference_table(keys);
    compare(
        state, "snapshot", 1, {.ratio_max = 2},
        [&] {
          const Run run = make_run_with_state(pump(), keys);
          Snapshot snapshot;
          const double time_s = seconds([&] { snapshot = snapshot_of(run.get()); });
          check(blazen_run_close(run.get(), nullptr));
          return time_s;
        },
        [&] { return reference_out(table); });
  });
  row("snapshot_in/10000", [](benchmark::State& state) {
    const std::vector<std::string> keys = make_shuffled_keys(kSnapshotKeys);
    const std::vector<uint8_t> written = ReferenceWriter::write(reference_table(keys));
    const Workflow workflow =
        make_workflow({{"inside", BLAZEN_START_EVENT, bench_nothing}}, BLAZEN_IDLE_WAIT);
    const Run run = make_run_with_state(pump(), keys);
    const Snapshot snapshot = snapshot_of(run.get());
    const std::string_view bytes = bytes_of(snapshot.get());
    compare(
        state, "snapshot", 1, {.ratio_max = 2},
        [&] {
          Snapshot parsed;
          Run resumed;
          return seconds([&] {
            parsed = make<Snapshot>(blazen_snapshot_parse, bytes.data(), bytes.size());
            resumed = make<Run>(blazen_run_resume, pump(), workflow.get(), parsed.get(), nullptr);
          });
        },
        [&] {
          ReferenceTable table;
          const double time_s = seconds([&] { table = ReferenceReader::read(written); });
          if (table.size() != kSnapshotKeys) std::abort();
          return time_s;
        });
    check(blazen_run_close(run.get(), nullptr));
  });
  row("snapshot_out/64MiB", [](benchmark::State& state) {
    BigState big;
    compare(
        state, "snapshot", 1, {},
        [&] {
          Snapshot snapshot;
          return seconds([&] { snapshot = snapshot_of(big.run.get()); });
        },
        [&] { return big.reference(); });
  });
  // The callback copies the pieces, into memory that is warm.
  row("snapshot_to/64MiB", [](benchmark::State& state) {
    BigState big;
    compare(
        state, "snapshot", 1, {.ratio_max = 1.3},
        [&] {
          big.written = 0;
          return seconds([&] {
            check(blazen_run_snapshot_to(big.run.get(), bench_write_piece, &big, nullptr, nullptr));
          });
        },
        [&] { return big.reference(); });
  });
  row("snapshot_in/64MiB", [](benchmark::State& state) {
    const Workflow workflow =
        make_workflow({{"inside", BLAZEN_START_EVENT, bench_nothing}}, BLAZEN_IDLE_WAIT);
    BigState big;
    const Snapshot snapshot = snapshot_of(big.run.get());
    const std::string_view bytes = bytes_of(snapshot.get());
    compare(
        state, "snapshot", 1, {.ratio_max = 1.3},
        [&] {
          return seconds([&] {
            const Snapshot adopted =
                make<Snapshot>(blazen_snapshot_adopt, bytes.data(), bytes.size(), nullptr, nullptr);
            make<Run>(blazen_run_resume, pump(), workflow.get(), adopted.get(), nullptr);
          });
        },
        [&] { return big.reference(); });
  });
}

// ---------------------------------------------------------------------------------------------------- growth

// Four sizes of each, whose figures tools/bench compares; none is quoted against the reference.
void add_growth(const std::string& kind, const Growth& growth) {
  uint64_t count = growth.least;
  for (int size = 0; size < 4; ++size, count *= growth.step) {
    const std::string name = kind + "/" + growth.name + "/" + std::to_string(count);
    row(name, [growth, count](benchmark::State& state) {
      compare(
          state, growth.item, static_cast<double>(count), {}, [&] { return growth.run(count); },
          [&] {
            return growth.floor != nullptr
                       ? growth.floor(count)
                       : reference_fan_out(std::min<uint64_t>(count, 100'000), 1, CLOCK_THREAD_CPUTIME_ID);
          });
    });
  }
}

// keys: those of a state as well, which take long.
void add_growths(bool keys) {
  for (const Growth& growth : kGrowths) add_growth("growth", growth);
  if (!keys) return;
  for (const Growth& growth : kStateGrowths) add_growth("growth_keys", growth);
}

}  // namespace

int main(int argc, char** argv) {
  // Nine repetitions of each row, in a random order across the rows; the caller's own flags win.
  char repetitions[] = "--benchmark_repetitions=9";
  char interleaving[] = "--benchmark_enable_random_interleaving=true";
  char time[] = "--benchmark_min_time=0.02";
  char aggregates[] = "--benchmark_report_aggregates_only=true";
  std::vector<char*> arguments{argv[0], repetitions, interleaving, time, aggregates};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  // From the first thread on, locks and counters cost more for the whole process: so they shall, in every
  // row.
  threads();
  add_routing();
  add_states();
  add_json("json_check", 1 << 20);
  add_snapshots();
  add_growths(std::getenv("BLAZEN_BENCH_KEYS") != nullptr);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
