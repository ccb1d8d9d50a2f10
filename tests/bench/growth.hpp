// What a host may register many of. The cost of one must not grow with their number: each shape does `count`
// of one kind, and answers how long that took without what was made before and is let go of after.
#pragma once

#include <bit>
#include <ctime>
#include <deque>
#include <functional>

#include "bench/shapes.hpp"

namespace blazen::bench {

using Stream = Owned<blazen_stream, blazen_stream_release>;
using Invocation = Owned<blazen_invocation, blazen_invocation_release>;

inline double thread_s() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// A runtime that is pumped, whose time passes when it is told.
class GrowthRuntime {
 public:
  GrowthRuntime() {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = BLAZEN_MODE_PUMP;
    options.user_data = &now_ms_;
    options.clock = [](void* now_ms) { return *static_cast<int64_t*>(now_ms); };
    runtime_ = make<Runtime>(blazen_runtime_create, &options);
  }
  blazen_runtime* get() const { return runtime_.get(); }
  void pass(int64_t ms) { now_ms_ += ms; }

 private:
  int64_t now_ms_ = 1'700'000'000'000;
  Runtime runtime_;
};

using GrowthBody = std::function<blazen_status(blazen_context*, const blazen_event*, blazen_error**)>;
extern "C" inline blazen_status bench_growth_body(void* body, blazen_context* context,
                                                  const blazen_event* event, blazen_error** error) {
  return (*static_cast<GrowthBody*>(body))(context, event, error);
}

// The step "only" starts the run; it may emit jobs for the step "job".
class GrowthWorkflow {
 public:
  explicit GrowthWorkflow(GrowthBody only, GrowthBody job = {})
      : only_(std::move(only)),
        job_(std::move(job)),
        builder_(make<Builder>(blazen_workflow_builder_create, BLAZEN_TEXT("growth"))) {
    add("only", BLAZEN_START_EVENT, only_);
    if (job_) add("job", kChild, job_);
    check(blazen_workflow_builder_set_idle(builder(), BLAZEN_IDLE_WAIT, nullptr));
    for (const blazen_limit limit : {BLAZEN_LIMIT_QUESTIONS, BLAZEN_LIMIT_SUBSCRIBERS})
      check(blazen_workflow_builder_set_limit(builder(), limit, 1 << 20, nullptr));
  }
  GrowthWorkflow(const GrowthWorkflow&) = delete;
  GrowthWorkflow& operator=(const GrowthWorkflow&) = delete;

  // To say more of it, until it is built.
  blazen_workflow_builder* builder() const { return builder_.get(); }
  blazen_workflow* get() {
    if (!workflow_) workflow_ = make<Workflow>(blazen_workflow_builder_build, builder());
    return workflow_.get();
  }

 private:
  void add(std::string_view name, std::string_view type, GrowthBody& body) {
    check(blazen_workflow_builder_add_step(builder(), name.data(), name.size(), type.data(), type.size(),
                                           bench_growth_body, &body, nullptr, nullptr));
  }
  GrowthBody only_;
  GrowthBody job_;
  Builder builder_;
  Workflow workflow_;
};

inline GrowthBody emits_jobs(uint64_t count) {
  return [count](blazen_context* context, const blazen_event* event, blazen_error** error) -> blazen_status {
    for (uint64_t i = 0; i < count; ++i) check(emit(context, kChild, event, error));
    return BLAZEN_OK;
  };
}

inline void close(const Run& run) { check(blazen_run_close(run.get(), nullptr)); }

inline blazen_status bench_ask(void*, blazen_context* context, const blazen_event*, blazen_error** error) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.prompt = "?";
  question.prompt_length = 1;
  blazen_value* answer = nullptr;
  const blazen_status status = blazen_context_ask(context, &question, &answer, error);
  blazen_value_release(answer);
  return status;
}

// Each is asked by a step of its own, and answered from outside.
inline double grow_questions(uint64_t count) {
  const auto ask = [](blazen_context* context, const blazen_event* event, blazen_error** error) {
    return bench_ask(nullptr, context, event, error);
  };
  const GrowthRuntime runtime;
  GrowthWorkflow workflow(emits_jobs(count), ask);
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  for (uint64_t i = 0; i < count; ++i) {
    char id[32];
    const int length = std::snprintf(id, sizeof id, "i%llu.1", static_cast<unsigned long long>(i + 2));
    check(blazen_run_respond(run.get(), id, static_cast<size_t>(length), nullptr, nullptr));
  }
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// Of one step, with their commit.
inline double grow_atomic_writes(uint64_t count) {
  const std::vector<std::string> keys = make_keys(count);
  const Value value = make_json("1");
  GrowthWorkflow workflow([&](blazen_context* context, const blazen_event*, blazen_error**) -> blazen_status {
    set_all(context, keys, value.get());
    return BLAZEN_OK;
  });
  check(blazen_workflow_builder_step_atomic(workflow.builder(), BLAZEN_TEXT("only"), 1, nullptr));
  const GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// All at once, of deferred steps.
inline double grow_step_timeouts(uint64_t count) {
  std::vector<Invocation> invocations;
  invocations.reserve(count);
  const auto defer = [&](blazen_context* context, const blazen_event*, blazen_error** error) {
    blazen_invocation* invocation = nullptr;
    const blazen_status status = blazen_context_defer(context, &invocation, error);
    invocations.emplace_back(invocation);
    return status == BLAZEN_OK ? BLAZEN_PENDING : status;
  };
  GrowthWorkflow workflow(emits_jobs(count), defer);
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  retry.max_attempts = 2;
  retry.initial_delay_ms = 1'000'000;
  check(blazen_workflow_builder_step_retry(workflow.builder(), BLAZEN_TEXT("job"), &retry, nullptr));
  check(blazen_workflow_builder_step_timeout(workflow.builder(), BLAZEN_TEXT("job"), 10, nullptr));
  GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  runtime.pass(20);
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// All at once, of a step that has four permits.
inline double grow_retries(uint64_t count) {
  const auto flaky = [](blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
    if (blazen_context_attempt(context) != 1) return BLAZEN_OK;
    return blazen_error_host(1, BLAZEN_TEXT("not yet"), nullptr, error);
  };
  GrowthWorkflow workflow(emits_jobs(count), flaky);
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  retry.max_attempts = 2;
  retry.initial_delay_ms = 10;
  check(blazen_workflow_builder_step_retry(workflow.builder(), BLAZEN_TEXT("job"), &retry, nullptr));
  check(blazen_workflow_builder_step_max_concurrency(workflow.builder(), BLAZEN_TEXT("job"), 4, nullptr));
  GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  runtime.pass(20);
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

extern "C" inline void bench_count_cancelled(void* count) { ++*static_cast<uint64_t*>(count); }
extern "C" inline void bench_count_done(void* count, blazen_run*, blazen_run_state) {
  ++*static_cast<uint64_t*>(count);
}

// Of one deferred step; the run is aborted.
inline double grow_cancel_callbacks(uint64_t count) {
  uint64_t called = 0;
  Invocation invocation;
  GrowthWorkflow workflow([&](blazen_context* context, const blazen_event*, blazen_error** error) {
    blazen_invocation* handle = nullptr;
    check(blazen_context_defer(context, &handle, error));
    invocation.reset(handle);
    for (uint64_t i = 0; i < count; ++i)
      check(blazen_context_on_cancel(context, bench_count_cancelled, &called, nullptr, error));
    return BLAZEN_PENDING;
  });
  const GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  check(blazen_run_abort(run.get(), nullptr));
  const double end_s = thread_s();
  if (called != count) std::abort();
  return end_s - begin_s;
}

// Of one run, which is aborted.
inline double grow_done_callbacks(uint64_t count) {
  uint64_t called = 0;
  GrowthWorkflow workflow(
      [](blazen_context*, const blazen_event*, blazen_error**) -> blazen_status { return BLAZEN_OK; });
  const GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  poll(runtime.get());
  const double begin_s = thread_s();
  for (uint64_t i = 0; i < count; ++i)
    check(blazen_run_on_done(run.get(), bench_count_done, &called, nullptr, nullptr));
  check(blazen_run_abort(run.get(), nullptr));
  const double end_s = thread_s();
  if (called != count) std::abort();
  return end_s - begin_s;
}

// Each subscribes, takes ten items one by one, in turn with the others, and goes.
inline double grow_subscribers(uint64_t count) {
  constexpr uint64_t kItems = 10;
  const Event item = make<Event>(blazen_event_create, kLink.data(), kLink.size(), nullptr, nullptr);
  GrowthWorkflow workflow(
      [&](blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
        for (uint64_t i = 0; i < kItems; ++i) check(blazen_context_publish(context, item.get(), error));
        return BLAZEN_OK;
      });
  const GrowthRuntime runtime;
  const Run run = make<Run>(blazen_run_create, runtime.get(), workflow.get(), nullptr);
  std::vector<Stream> streams(count);
  const double begin_s = thread_s();
  for (Stream& stream : streams) stream = make<Stream>(blazen_run_subscribe, run.get());
  check(blazen_run_start(run.get(), nullptr, nullptr));
  poll(runtime.get());
  for (uint64_t i = 0; i < kItems; ++i) {
    for (Stream& stream : streams) {
      blazen_event* taken = nullptr;
      check(blazen_stream_next(stream.get(), 0, &taken, nullptr, nullptr));
      blazen_event_release(taken);
    }
  }
  streams.clear();
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// Each run fails with the error of the one before.
inline double grow_error_chain(uint64_t count) {
  blazen_error* last = nullptr;
  GrowthWorkflow workflow([&](blazen_context*, const blazen_event*, blazen_error** error) {
    if (last == nullptr) return blazen_error_host(1, BLAZEN_TEXT("it broke"), nullptr, error);
    *error = std::exchange(last, nullptr);
    return blazen_error_status(*error);
  });
  const GrowthRuntime runtime;
  const double begin_s = thread_s();
  for (uint64_t i = 0; i < count; ++i) {
    const Run run = start_run(runtime.get(), workflow.get());
    poll(runtime.get());
    blazen_value* result = nullptr;
    if (blazen_run_result(run.get(), &result, &last) != BLAZEN_ERROR_STEP_FAILED) std::abort();
  }
  blazen_error_release(last);
  return thread_s() - begin_s;
}

// Of one run, by their ids, in no order: half of them deferred, half between two attempts.
inline double grow_cancelled_invocations(uint64_t count) {
  std::vector<Invocation> invocations;
  invocations.reserve(count);
  const auto wait = [&](blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
    if (blazen_context_invocation_id(context) % 2 == 0)
      return blazen_error_host(1, BLAZEN_TEXT("not yet"), nullptr, error);
    blazen_invocation* invocation = nullptr;
    const blazen_status status = blazen_context_defer(context, &invocation, error);
    invocations.emplace_back(invocation);
    return status == BLAZEN_OK ? BLAZEN_PENDING : status;
  };
  GrowthWorkflow workflow(emits_jobs(count), wait);
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  retry.max_attempts = 2;
  retry.initial_delay_ms = 1'000'000;
  check(blazen_workflow_builder_step_retry(workflow.builder(), BLAZEN_TEXT("job"), &retry, nullptr));
  check(blazen_workflow_builder_add_step(workflow.builder(), BLAZEN_TEXT("handle"),
                                         BLAZEN_TEXT(BLAZEN_STEP_FAILED_EVENT), bench_nothing, nullptr,
                                         nullptr, nullptr));
  const GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  poll(runtime.get());
  const double begin_s = thread_s();
  constexpr uint64_t kStride = 7919;  // a prime, which divides no count
  for (uint64_t i = 0; i < count; ++i)
    check(blazen_run_cancel_invocation(run.get(), i * kStride % count + 2, 0, nullptr));
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// Each asks later, fails, and asks something else in its place. What is withdrawn next is due last.
inline double grow_delayed_questions(uint64_t count) {
  const Value first = make_json(R"({"prompt":"1?"})");
  const Value second = make_json(R"({"prompt":"2?"})");
  const auto ask = [&](blazen_context* context, const blazen_event*, blazen_error** error) -> blazen_status {
    const bool is_first = blazen_context_attempt(context) == 1;
    const Event question = make<Event>(blazen_event_create, BLAZEN_TEXT(BLAZEN_INPUT_REQUEST_EVENT),
                                       (is_first ? first : second).get(), nullptr);
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    options.delay_ms = static_cast<int64_t>(1'000'000'000 - blazen_context_invocation_id(context));
    check(blazen_context_send_event(context, question.get(), &options, error));
    return is_first ? blazen_error_host(1, BLAZEN_TEXT("not yet"), nullptr, error) : BLAZEN_OK;
  };
  GrowthWorkflow workflow(emits_jobs(count), ask);
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  retry.max_attempts = 2;
  retry.initial_delay_ms = 10;
  check(blazen_workflow_builder_step_retry(workflow.builder(), BLAZEN_TEXT("job"), &retry, nullptr));
  GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), workflow.get());
  const double begin_s = thread_s();
  poll(runtime.get());
  runtime.pass(20);
  poll(runtime.get());
  const double end_s = thread_s();
  close(run);
  return end_s - begin_s;
}

// Runs with a body each. Where they share a pool of four permits, all but four wait at once, and each stops with its turn.
inline double grow_runs(uint64_t count, bool uses_pool) {
  std::deque<Invocation> at_work;
  const auto defer = [&](blazen_context* context, const blazen_event*, blazen_error** error) {
    blazen_invocation* invocation = nullptr;
    const blazen_status status = blazen_context_defer(context, &invocation, error);
    at_work.emplace_back(invocation);
    return status == BLAZEN_OK ? BLAZEN_PENDING : status;
  };
  GrowthWorkflow workflow(emits_jobs(1), defer);
  if (uses_pool)
    check(blazen_workflow_builder_step_uses_pool(workflow.builder(), BLAZEN_TEXT("job"), BLAZEN_TEXT("pool"),
                                                 nullptr));
  const GrowthRuntime runtime;
  check(blazen_runtime_set_pool(runtime.get(), BLAZEN_TEXT("pool"), 4, nullptr));
  std::vector<Run> runs;
  runs.reserve(count);
  const double begin_s = thread_s();
  for (uint64_t i = 0; i < count; ++i) runs.push_back(start_run(runtime.get(), workflow.get()));
  poll(runtime.get());
  for (uint64_t i = 0; i < count; ++i) {
    if (at_work.size() != std::min<uint64_t>(uses_pool ? 4 : count, count - i)) std::abort();
    const Invocation done = std::move(at_work.front());
    at_work.pop_front();
    check(stop(blazen_invocation_context(done.get()), blazen_invocation_event(done.get()), nullptr));
    check(blazen_invocation_complete(done.get(), nullptr));
    poll(runtime.get());
  }
  return thread_s() - begin_s;
}

inline double grow_pool_runs(uint64_t count) { return grow_runs(count, true); }
// So many runs are more than a cache holds: what that costs, they cost without a pool too.
inline double floor_of_runs(uint64_t count) { return grow_runs(count, false); }

// Keys of one state, new ones, in the order of their bytes.
inline double grow_state_new(uint64_t count) {
  const std::vector<std::string> keys = make_keys(count);
  const Value value = make_json("12345678");
  const GrowthRuntime runtime;
  double body_s = 0;
  const Run run = run_inside(runtime.get(), [&](blazen_context* context) {
    const double begin_s = thread_s();
    set_all(context, keys, value.get());
    body_s = thread_s() - begin_s;
  });
  close(run);
  return body_s;
}

// What is done to keys that are there, in the order in which they came, or in none.
template <class Function>
double grow_state(uint64_t count, bool in_order, Function function) {
  const std::vector<std::string> keys = make_keys(count);
  const std::vector<std::string> asked = in_order ? keys : make_shuffled_keys(count);
  const Value value = make_json("12345678");
  const GrowthRuntime runtime;
  double body_s = 0;
  const Run run = run_inside(runtime.get(), [&](blazen_context* context) {
    set_all(context, keys, value.get());
    const double begin_s = thread_s();
    function(context, asked, value.get());
    body_s = thread_s() - begin_s;
  });
  close(run);
  return body_s;
}

inline double grow_state_set(uint64_t count) { return grow_state(count, true, set_all); }
inline double grow_state_get(uint64_t count) {
  return grow_state(count, true,
                    [](blazen_context* context, const std::vector<std::string>& keys, blazen_value*) {
                      get_all(context, keys);
                    });
}
inline double grow_state_get_shuffled(uint64_t count) {
  return grow_state(count, false,
                    [](blazen_context* context, const std::vector<std::string>& keys, blazen_value*) {
                      get_all(context, keys);
                    });
}

inline double grow_state_set_shuffled(uint64_t count) { return grow_state(count, false, set_all); }

// The least that a look-up in no order takes, so many keys being there: a plain table (open addressing, half a hash and
// a position in 8 bytes) over entries of one line of the cache, one lock's writes and one count around each look-up.
// What it costs more with more keys is the way to memory alone.
inline double floor_of_shuffled(uint64_t count) {
  struct alignas(64) Entry {
    uint64_t version = 0;
    char key[16];
  };
  const std::vector<std::string> keys = make_keys(count);
  const std::vector<std::string> asked = make_shuffled_keys(count);
  const uint64_t slots = std::bit_ceil(count * 3 / 2 + 1);
  std::vector<uint64_t> index(slots);
  std::vector<Entry> entries(count);
  const auto place = [&](const std::string& key, auto is_it) {
    const uint64_t hash = std::hash<std::string>{}(key) * 0x9e3779b97f4a7c15U;
    uint64_t at = hash >> (64 - std::countr_zero(slots));
    while (index[at] != 0 && !((index[at] ^ hash) >> 32 == 0 && is_it(static_cast<uint32_t>(index[at]) - 1)))
      at = (at + 1) & (slots - 1);
    return std::pair(at, hash & ~uint64_t{UINT32_MAX});
  };
  for (uint64_t i = 0; i < count; ++i) {
    const auto [at, upper] = place(keys[i], [](uint64_t) { return false; });
    index[at] = upper | (i + 1);
    keys[i].copy(entries[i].key, sizeof entries[i].key);
  }
  std::atomic<uint32_t> lock{0};
  std::atomic<uint32_t> held{1};
  const double begin_s = thread_s();
  for (const std::string& key : asked) {
    lock.exchange(1);
    const auto [at, upper] = place(key, [&](uint64_t position) {
      return key.compare(0, sizeof Entry::key, entries[position].key, sizeof Entry::key) == 0;
    });
    ++entries[static_cast<uint32_t>(index[at]) - 1].version;
    held.fetch_add(1);
    lock.exchange(0);
  }
  return thread_s() - begin_s;
}

// ---- joins ----

// "only" emits so many links; each link is taken by "open", whose scopes "join" joins.
class GrowthJoin {
 public:
  GrowthJoin(GrowthBody only, GrowthBody open, GrowthBody join,
             const std::function<void(blazen_join_options&)>& change = {})
      : open_(std::move(open)),
        join_(std::move(join)),
        workflow_(std::move(only), [](blazen_context* context, const blazen_event* event,
                                      blazen_error** error) { return emit(context, kDone, event, error); }) {
    add("open", kLink, open_);
    add("join", kDone, join_);
    blazen_join_options how = BLAZEN_JOIN_OPTIONS_INIT;
    how.of = "open";
    how.of_length = 4;
    if (change) change(how);
    check(blazen_workflow_builder_step_joins(workflow_.builder(), BLAZEN_TEXT("join"), &how, nullptr));
    for (const blazen_limit limit :
         {BLAZEN_LIMIT_SCOPES, BLAZEN_LIMIT_SCOPE_DEPTH, BLAZEN_LIMIT_QUEUED_EVENTS})
      check(blazen_workflow_builder_set_limit(workflow_.builder(), limit, 1 << 24, nullptr));
  }
  // From its start until nothing moves; then pass_ms later.
  double run(int64_t pass_ms = 0) {
    GrowthRuntime runtime;
    const Run run = start_run(runtime.get(), workflow_.get());
    const double begin_s = thread_s();
    poll(runtime.get());
    if (pass_ms != 0) {
      runtime.pass(pass_ms);
      poll(runtime.get());
    }
    const double end_s = thread_s();
    close(run);
    return end_s - begin_s;
  }

 private:
  void add(std::string_view name, std::string_view type, GrowthBody& body) {
    check(blazen_workflow_builder_add_step(workflow_.builder(), name.data(), name.size(), type.data(),
                                           type.size(), bench_growth_body, &body, nullptr, nullptr));
  }
  GrowthBody open_;
  GrowthBody join_;
  GrowthWorkflow workflow_;
};

inline GrowthBody emits(std::string_view type, uint64_t count) {
  return [=](blazen_context* context, const blazen_event* event, blazen_error** error) -> blazen_status {
    for (uint64_t i = 0; i < count; ++i) check(emit(context, type, event, error));
    return BLAZEN_OK;
  };
}
inline blazen_status emit_later(blazen_context* context, std::string_view type, int64_t delay_ms) {
  const Event event = make<Event>(blazen_event_create, type.data(), type.size(), nullptr, nullptr);
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = delay_ms;
  return blazen_context_emit_event(context, event.get(), &later, nullptr);
}

// The children of one scope.
inline double grow_join(uint64_t count) {
  return GrowthJoin(emits(kLink, 1), emits(kChild, count), emits(kLink, 0)).run();
}
// Scopes at once, with two children each.
inline double grow_scopes(uint64_t count) {
  return GrowthJoin(emits(kLink, count), emits(kChild, 2), emits(kLink, 0)).run();
}
// Each inside the one before.
inline double grow_scope_depth(uint64_t count) {
  uint64_t left = count;
  const auto open = [&](blazen_context* context, const blazen_event* event, blazen_error** error) {
    return emit(context, --left == 0 ? kChild : kLink, event, error);
  };
  uint64_t closes = count;
  const auto join = [&](blazen_context* context, const blazen_event* event,
                        blazen_error** error) -> blazen_status {
    return --closes == 0 ? BLAZEN_OK : emit(context, kDone, event, error);
  };
  const double took_s = GrowthJoin(emits(kLink, 1), open, join).run();
  check(closes == 0 ? BLAZEN_OK : BLAZEN_ERROR_INTERNAL);
  return took_s;
}
// Scopes with a delayed child each, which the first one cancels.
inline double grow_cancelled_scopes(uint64_t count) {
  const auto open = [](blazen_context* context, const blazen_event* event, blazen_error** error) {
    check(emit_later(context, kChild, 1000));
    return emit(context, kChild, event, error);
  };
  return GrowthJoin(emits(kLink, count), open, emits(kLink, 0),
                    [](blazen_join_options& how) {
                      how.mode = BLAZEN_JOIN_ANY;
                      how.cancel_rest = 1;
                    })
      .run();
}
// Correlations of one scope.
inline double grow_join_groups(uint64_t count) {
  const auto open = [count](blazen_context* context, const blazen_event*, blazen_error** error) {
    blazen_status status = BLAZEN_OK;
    for (uint64_t i = 0; i < count && status == BLAZEN_OK; ++i) {
      char text[24];
      blazen_event_options with = BLAZEN_EVENT_OPTIONS_INIT;
      with.correlation = text;
      with.correlation_length = static_cast<size_t>(
          std::snprintf(text, sizeof text, "%012llu", static_cast<unsigned long long>(i)));
      const Event event = make<Event>(blazen_event_create, kDone.data(), kDone.size(), nullptr, &with);
      status = blazen_context_emit_event(context, event.get(), nullptr, error);
    }
    return status;
  };
  return GrowthJoin(emits(kLink, 1), open, emits(kLink, 0),
                    [](blazen_join_options& how) { how.correlation = BLAZEN_JOIN_CORRELATION_BY_EVENT; })
      .run();
}
// Scopes whose time is up in one moment.
inline double grow_join_deadlines(uint64_t count) {
  const auto open = [](blazen_context* context, const blazen_event*, blazen_error**) {
    return emit_later(context, kChild, 1000);
  };
  return GrowthJoin(emits(kLink, count), open, emits(kLink, 0),
                    [](blazen_join_options& how) { how.deadline_ms = 10; })
      .run(20);
}

inline double grow_children(uint64_t count) {
  ChildFanOut children(count);
  GrowthRuntime runtime;
  const double before = thread_s();
  children.run(runtime.get(), By::poll);
  return thread_s() - before;
}

// Each child asks; the questions are listed from outside, as a host does that shows them.
inline double grow_child_questions(uint64_t count) {
  ChildFanOut children(count, bench_ask);
  GrowthRuntime runtime;
  const Run run = start_run(runtime.get(), children.workflow(), nullptr);
  poll(runtime.get());
  const double before = thread_s();
  const Value questions = make<Value>(blazen_run_questions, run.get());
  const double taken = thread_s() - before;
  close(run);
  return taken;
}

inline double grow_rounds(uint64_t count) {
  PipelineRun pipeline(1, static_cast<uint32_t>(count));
  GrowthRuntime runtime;
  const double before = thread_s();
  pipeline.run(runtime.get(), By::poll);
  return thread_s() - before;
}

struct Growth {
  const char* name;
  const char* item;
  double (*run)(uint64_t count);
  uint64_t least;                             // the four sizes are this one and three more
  uint64_t step = 2;                          // each so many times the one before
  double (*floor)(uint64_t count) = nullptr;  // what the machine takes; null: nothing that grows
};

// From 10,000 to 3,430,000: far beyond every cache. What takes keys in the order in which they came must stay flat;
// new keys cost what fresh memory costs, and keys in no order cost the way to memory. A name of their own: they take
// long, and much memory.
inline constexpr Growth kStateGrowths[] = {
    {"state_new", "key", grow_state_new, 10'000, 7},
    {"state_set", "key", grow_state_set, 10'000, 7},
    {"state_get", "key", grow_state_get, 10'000, 7},
    {"state_set_shuffled", "key", grow_state_set_shuffled, 10'000, 7, floor_of_shuffled},
    {"state_get_shuffled", "key", grow_state_get_shuffled, 10'000, 7, floor_of_shuffled},
};

// The largest of those that need much memory each still fits into a processor's last cache: beyond it, the
// same instructions take longer, which the counts of instructions show.
inline constexpr Growth kGrowths[] = {
    {"questions", "question", grow_questions, 5000},
    {"atomic_writes", "write", grow_atomic_writes, 2500},
    {"step_timeouts", "time-out", grow_step_timeouts, 2500},
    {"retries", "retry", grow_retries, 5000},
    {"cancel_callbacks", "callback", grow_cancel_callbacks, 5000},
    {"done_callbacks", "callback", grow_done_callbacks, 5000},
    {"subscribers", "subscriber", grow_subscribers, 500},
    {"error_chain", "link", grow_error_chain, 1000},
    {"cancelled_invocations", "invocation", grow_cancelled_invocations, 1000},
    {"delayed_questions", "question", grow_delayed_questions, 1000},
    {"pool_runs", "run", grow_pool_runs, 1250, 2, floor_of_runs},
    {"join", "child", grow_join, 1000, 10},
    {"children", "child", grow_children, 100, 8},
    {"child_questions", "question", grow_child_questions, 1000},
    {"rounds", "round", grow_rounds, 1000, 10},
    {"scopes", "scope", grow_scopes, 1000, 4},
    {"scope_depth", "scope", grow_scope_depth, 1000, 4},
    {"cancelled_scopes", "scope", grow_cancelled_scopes, 1000, 4},
    {"join_groups", "group", grow_join_groups, 1000, 4},
    {"join_deadlines", "deadline", grow_join_deadlines, 1000, 4},
};

}  // namespace blazen::bench
