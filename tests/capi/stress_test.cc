// Proves that any thread may make any call at any time: eight of them, at random, on runs that they share,
// while runs, streams and runtimes are closed under them.
//
// Each thread draws from a generator of its own, with a seed that is printed; what the others do in between
// is the scheduler's. Every wait has a deadline, and the watchdog tells which call each thread is in. At the
// end, every drop has run exactly once.
#include <gtest/gtest.h>

#include <random>

#include "capi/world.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

constexpr int kHands = 8;
constexpr int kRuns = 4;
constexpr int kStreams = 6;
constexpr int kInvocations = 8;

Tokens<1 << 21> tokens;
std::atomic<const char*> doing[kHands];

void tell_doing() {
  for (int hand = 0; hand < kHands; ++hand) {
    std::fprintf(stderr, "  thread %d: %s\n", hand, doing[hand].load() == nullptr ? "-" : doing[hand].load());
  }
}

// A place that handles are put into and taken from by all.
template <class T, T* (*kRetain)(const T*), void (*kRelease)(T*)>
class Shelf {
 public:
  explicit Shelf(size_t size) : places_(size) {}
  ~Shelf() { clear(); }
  // Puts one in; what stood there goes.
  void put(size_t at, T* handle) {
    {
      std::lock_guard guard(lock_);
      std::swap(places_[at % places_.size()], handle);
    }
    kRelease(handle);
  }
  // One more reference of what stands there; NULL: nothing.
  T* get(size_t at) {
    std::lock_guard guard(lock_);
    return kRetain(places_[at % places_.size()]);
  }
  void clear() {
    for (size_t i = 0; i < places_.size(); ++i) put(i, nullptr);
  }

 private:
  std::mutex lock_;
  std::vector<T*> places_;
};

struct Yard {
  blazen_mode mode;
  RuntimeHandle runtime;
  WorkflowHandle workflow;
  Shelf<blazen_run, blazen_run_retain, blazen_run_release> runs{kRuns};
  Shelf<blazen_stream, blazen_stream_retain, blazen_stream_release> streams{kStreams};
  Shelf<blazen_invocation, blazen_invocation_retain, blazen_invocation_release> invocations{kInvocations};
  Shelf<blazen_snapshot, blazen_snapshot_retain, blazen_snapshot_release> snapshots{2};
  std::atomic<uint32_t> next{0};
  std::mutex tasks_lock;
  std::vector<blazen_task*> tasks;
  std::atomic<uint64_t> completed{0};
};

// What a call may answer here. Anything else is a defect: of this test, or of the library.
bool may_answer(blazen_status status) {
  switch (status) {
    case BLAZEN_OK:
    case BLAZEN_ERROR_WRONG_STATE:
    case BLAZEN_ERROR_TIMEOUT:
    case BLAZEN_ERROR_CANCELLED:
    case BLAZEN_ERROR_CONFLICT:
    case BLAZEN_ERROR_LIMIT:
    case BLAZEN_ERROR_STEP_FAILED:
    case BLAZEN_ERROR_STALLED:
    case BLAZEN_ERROR_NOT_SERIALIZABLE:
    case BLAZEN_PENDING:
    case BLAZEN_ERROR_NOT_FOUND:
    case BLAZEN_ERROR_ABORTED:
    case BLAZEN_ERROR_RUN_TIMEOUT:
    case BLAZEN_ERROR_HOST:
    case BLAZEN_ERROR_WRONG_PLACE: return true;
    default: return false;
  }
}

std::atomic<int> strange{0};
std::atomic<const char*> strange_call{""};
std::atomic<int> strange_status{0};
void judge(blazen_status status, const char* call) {
  if (may_answer(status)) return;
  strange_call = call;
  strange_status = status;
  ++strange;
}
#define CALL(...) (doing[hand] = #__VA_ARGS__, judge((__VA_ARGS__), #__VA_ARGS__), doing[hand] = "-")

blazen_value* live_token(const char* name) {
  blazen_value* value = nullptr;
  (void)blazen_value_live(tokens.take(name), BLAZEN_TEXT("x"), drop_token, &value, nullptr);
  return value;
}

const char* const kIds[] = {"a", "b", "c", "d"};

blazen_status answer_inline(void* data, blazen_run* run, const blazen_event*, blazen_value** answer,
                            blazen_error** error) {
  call_token(data);
  static_cast<Token*>(data)->calls = 0;  // it may come more than once
  (void)blazen_run_state_now(run);
  return data != nullptr && reinterpret_cast<uintptr_t>(answer) % 3 == 0
             ? BLAZEN_PENDING
             : blazen_value_json("1", 1, answer, error);
}

// One step for everything: what it does follows from the invocation's id.
blazen_status body(void* user_data, blazen_context* context, const blazen_event*, blazen_error** error) {
  auto& yard = *static_cast<Yard*>(user_data);
  const uint64_t id = blazen_context_invocation_id(context);
  const uint32_t choice = yard.next.fetch_add(1) * 2654435761U >> 16;
  char key[8];
  std::snprintf(key, sizeof key, "k%d", static_cast<int>(id % 5));
  ValueHandle value(live_token("value"));
  judge(blazen_context_set_session(context, key, 2, value, nullptr), "set_session");
  judge(blazen_context_set_json(context, key, 2, "1", 1, nullptr), "set_json");
  EventHandle item;
  judge(blazen_event_create("Item", 4, value, nullptr, item.out(), nullptr), "event_create");
  judge(blazen_context_publish(context, item, nullptr), "publish");
  if (id < 40) {
    EventHandle more;
    judge(
        blazen_event_create("More", 4, choice % 3 == 0 ? value.get() : nullptr, nullptr, more.out(), nullptr),
        "event_create");
    judge(blazen_context_send_event(context, more, nullptr, nullptr), "send_event");
    judge(blazen_context_emit(context, "More", 4, nullptr, nullptr), "emit");
  }
  if (choice % 4 == 0)
    judge(blazen_context_remove_session(context, key, 2, nullptr, nullptr), "remove_session");
  if (choice % 7 == 0)
    judge(blazen_context_on_cancel(context, call_token, tokens.take("on_cancel"), drop_token, nullptr),
          "on_cancel");
  int32_t descriptor = -1;
  if (choice % 9 == 0)
    judge(blazen_context_cancel_descriptor(context, &descriptor, nullptr), "cancel_descriptor");
  if (choice % 5 == 0) judge(blazen_context_retry_after(context, choice % 3, nullptr), "retry_after");
  switch (choice % 24) {
    // Asks, and is called again with the answer, or called back.
    case 16:
    case 17:
    case 18: {
      blazen_question question = BLAZEN_QUESTION_INIT;
      question.request_id = kIds[choice >> 5 & 3];
      question.request_id_length = 1;
      ValueHandle answer;
      blazen_invocation* deferred = nullptr;
      if (choice % 24 == 18) {
        if (const blazen_status status = blazen_context_defer(context, &deferred, error)) return status;
        question.answered = [](void* data, blazen_context* of, const char*, size_t, blazen_value*) {
          call_token(data);
          (void)blazen_context_is_cancelled(of);
        };
        question.drop = drop_token;
        question.user_data = tokens.take("answered");
      }
      const blazen_status status = blazen_context_ask(context, &question, answer.out(), nullptr);
      judge(status, "ask");
      if (deferred != nullptr) yard.invocations.put(choice >> 4, deferred);
      return deferred != nullptr || status == BLAZEN_PENDING ? BLAZEN_PENDING : BLAZEN_OK;
    }
    case 19: {
      EventHandle later;
      judge(blazen_event_create("More", 4, value, nullptr, later.out(), nullptr), "event_create");
      blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
      options.delay_ms = choice % 3 + 1;
      judge(blazen_context_send_event(context, later, &options, nullptr), "send_event later");
      judge(blazen_context_emit_event(context, later, &options, nullptr), "emit_event later");
      return BLAZEN_OK;
    }
    case 20:
      return blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_INPUT_REQUEST_EVENT), "{}", 2, error);
    case 21:  // longer than its time, sometimes
      std::this_thread::sleep_for(std::chrono::milliseconds(choice % 4));
      return BLAZEN_OK;
    case 22:
      judge(blazen_run_pause(blazen_context_run(context), BLAZEN_PAUSE_DRAIN, nullptr), "pause inside");
      return BLAZEN_OK;
    case 0: return blazen_error_host(1, BLAZEN_TEXT("by chance"), value, error);
    case 1: return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), value, error);
    case 2: {
      blazen_run_release(blazen_run_retain(blazen_context_run(context)));
      return BLAZEN_OK;
    }
    case 3:
    case 4:
    case 5: {
      blazen_invocation* deferred = nullptr;
      if (const blazen_status status = blazen_context_defer(context, &deferred, error)) return status;
      yard.invocations.put(choice >> 4, deferred);
      return BLAZEN_PENDING;
    }
    default: return BLAZEN_OK;
  }
}

// Atomic: what it writes counts together, or not at all.
blazen_status take(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  judge(blazen_context_set_value(context, "failed", 6, blazen_event_value(event), nullptr), "set_value");
  judge(blazen_context_remove_value(context, "k1", 2, nullptr, nullptr), "remove_value");
  return BLAZEN_OK;
}

void on_done(void* data, blazen_run* run, blazen_run_state) {
  call_token(data);
  blazen_run_release(blazen_run_retain(run));
}

void new_run(Yard& yard, size_t at, int hand) {
  blazen_run* run = nullptr;
  ValueHandle metadata;
  (void)blazen_value_bytes("m", 1, metadata.out(), nullptr);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.metadata = metadata;
  if (at % 5 == 0) {
    options.input = answer_inline;
    options.user_data = tokens.take("input");
    options.drop = drop_token;
  }
  blazen_snapshot* snapshot = at % 3 == 0 ? yard.snapshots.get(at) : nullptr;
  if (snapshot != nullptr) {
    options.metadata = nullptr;
    options.fork = static_cast<int32_t>(at / 3 % 2);
    CALL(blazen_run_resume(yard.runtime, yard.workflow, snapshot, &options, &run, nullptr));
    blazen_snapshot_release(snapshot);
  } else {
    CALL(blazen_run_create(yard.runtime, yard.workflow, &options, &run, nullptr));
  }
  if (run == nullptr) return;
  if (at % 2 == 0) CALL(blazen_run_start(run, nullptr, nullptr));
  yard.runs.put(at, run);
}

void do_something(Yard& yard, std::mt19937& random, int hand) {
  const size_t at = random() >> 4;
  RunHandle run(yard.runs.get(at));
  StreamHandle stream(yard.streams.get(at));
  InvocationHandle invocation(yard.invocations.get(at));
  switch (random() % 40) {
    case 24:
    case 25:
      if (run != nullptr)
        CALL(blazen_run_pause(run, random() % 2 == 0 ? BLAZEN_PAUSE_NOW : BLAZEN_PAUSE_DRAIN, nullptr));
      return;
    case 26:
    case 27:
    case 28:
      if (run != nullptr) CALL(blazen_run_resume_in_place(run, nullptr));
      return;
    case 29:
      if (run != nullptr && random() % 8 == 0) CALL(blazen_run_abort(run, nullptr));
      return;
    case 30:
    case 31: {
      ValueHandle answer(live_token("answer"));
      if (run != nullptr) CALL(blazen_run_respond(run, kIds[random() % 4], 1, answer, nullptr));
      if (run == nullptr || random() % 8 != 0) return;
      ErrorHandle why;
      CALL(blazen_error_host(5, "gone", 4, answer, why.out()));
      CALL(blazen_run_fail_question(run, kIds[random() % 4], 1, why, nullptr));
      return;
    }
    case 32: {
      ValueHandle text;
      if (run != nullptr) CALL(blazen_run_describe(run, text.out(), nullptr));
      if (run != nullptr) CALL(blazen_run_questions(run, text.out(), nullptr));
      return;
    }
    case 33: {
      blazen_run_state state = BLAZEN_RUN_NONE;
      const uint32_t until =
          BLAZEN_UNTIL_PAUSED | (random() % 2 == 0 ? BLAZEN_UNTIL_ASKING : BLAZEN_UNTIL_WAITING);
      if (run != nullptr)
        CALL(blazen_run_wait_until(run, until, static_cast<int64_t>(random() % 4), &state, nullptr));
      if (run != nullptr)
        CALL(blazen_run_on_state(run, until, on_done, tokens.take("on_state"), drop_token, nullptr));
      return;
    }
    case 34: {
      blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
      int64_t delay_ms = 0;
      CALL(blazen_runtime_count(yard.runtime, &counters, nullptr));
      CALL(blazen_runtime_next_timer(yard.runtime, &delay_ms, nullptr));
      return;
    }
    case 36:
      if (run != nullptr) CALL(blazen_run_cancel_invocation(run, random() % 60, random() % 2, nullptr));
      return;
    case 37: {
      KeysHandle keys;
      ValueHandle found;
      uint64_t version = 0;
      if (run == nullptr) return;
      CALL(blazen_run_keys(run, "k", 1, keys.out(), nullptr));
      CALL(blazen_run_get_value(run, "k1", 2, found.out(), &version, nullptr));
      CALL(blazen_run_compare_and_set(run, "k1", 2, version, random() % 2 == 0 ? found.get() : nullptr,
                                      nullptr, nullptr));
      return;
    }
    case 38: {
      BatchHandle batch;
      CALL(blazen_batch_create(batch.out(), nullptr));
      CALL(blazen_batch_set(batch, "k2", 2, nullptr, nullptr));
      CALL(blazen_batch_remove(batch, "k3", 2, nullptr));
      if (run != nullptr) CALL(blazen_run_apply(run, batch, nullptr));
      return;
    }
    case 39: {
      blazen_stream* made = nullptr;
      blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
      options.routed = 1;
      options.lifecycle = static_cast<int32_t>(random() % 2);
      if (run != nullptr) CALL(blazen_run_subscribe_with(run, &options, &made, nullptr));
      if (made != nullptr) yard.streams.put(at, made);
      return;
    }
    case 35: {
      ValueHandle value(live_token("sent later"));
      EventHandle event;
      blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
      later.delay_ms = random() % 4;
      CALL(blazen_event_create("More", 4, value, nullptr, event.out(), nullptr));
      value.reset();
      if (run != nullptr) CALL(blazen_run_send_event(run, event, &later, nullptr));
      return;
    }
    case 0: return new_run(yard, at, hand);
    case 1:
      if (run != nullptr) CALL(blazen_run_start(run, nullptr, nullptr));
      return;
    case 2: {
      ValueHandle value(live_token("sent"));
      EventHandle event;
      CALL(blazen_event_create("More", 4, value, nullptr, event.out(), nullptr));
      value.reset();
      if (run != nullptr) CALL(blazen_run_send_event(run, event, nullptr, nullptr));
      return;
    }
    case 3: {
      SnapshotHandle snapshot;
      if (run != nullptr) CALL(blazen_run_snapshot(run, snapshot.out(), nullptr));
      if (snapshot != nullptr) {
        ValueHandle info;
        CALL(blazen_snapshot_info(snapshot, info.out(), nullptr));
        (void)blazen_snapshot_metadata(snapshot);
        yard.snapshots.put(at, snapshot.take());
      }
      return;
    }
    case 4:
    case 5: {
      blazen_stream* made = nullptr;
      if (run != nullptr) CALL(blazen_run_subscribe(run, &made, nullptr));
      if (made != nullptr) yard.streams.put(at, made);
      return;
    }
    case 6:
    case 7: {
      EventHandle item;
      uint64_t sequence = 0;
      if (stream != nullptr)
        CALL(blazen_stream_next(stream, static_cast<int64_t>(random() % 3), item.out(), &sequence, nullptr));
      return;
    }
    case 8:
    case 9:
      if (stream != nullptr)
        CALL(blazen_stream_on_ready(stream, call_token, tokens.take("on_ready"), drop_token, nullptr));
      return;
    case 10:
      if (stream != nullptr && random() % 4 == 0) CALL(blazen_stream_close(stream, nullptr));
      return;
    // The last reference may be this one, with a callback on its way.
    case 11: return yard.streams.put(at, nullptr);
    case 12:
      if (run != nullptr) CALL(blazen_run_on_done(run, on_done, tokens.take("on_done"), drop_token, nullptr));
      return;
    case 13: {
      blazen_run_state state = BLAZEN_RUN_NONE;
      if (run != nullptr) CALL(blazen_run_wait(run, static_cast<int64_t>(random() % 4), &state, nullptr));
      return;
    }
    case 14: {
      ValueHandle result;
      ErrorHandle error;
      if (run != nullptr) {
        doing[hand] = "blazen_run_result";
        const blazen_status status = blazen_run_result(run, result.out(), error.out());
        judge(status, "blazen_run_result");
        if (status == BLAZEN_OK) ++yard.completed;
        (void)blazen_error_detail(error);
      }
      return;
    }
    case 15:
      (void)blazen_run_state_now(run);
      (void)blazen_run_id(run, nullptr);
      (void)blazen_run_metadata(run);
      return;
    case 16: {
      ValueHandle names;
      if (run != nullptr) CALL(blazen_run_elsewhere(run, names.out(), nullptr));
      return;
    }
    case 17:
      if (invocation != nullptr) CALL(blazen_invocation_complete(invocation, nullptr));
      return;
    case 18: {
      ErrorHandle why;
      ValueHandle detail(live_token("detail"));
      (void)blazen_error_host(3, BLAZEN_TEXT("by hand"), detail, why.out());
      detail.reset();
      if (invocation != nullptr) CALL(blazen_invocation_fail(invocation, why, nullptr));
      return;
    }
    case 19: return yard.invocations.put(at, nullptr);
    case 20:
      if (run != nullptr && random() % 4 == 0) CALL(blazen_run_close(run, nullptr));
      return;
    case 21: return yard.runs.put(at, nullptr);
    case 22:
      if (yard.mode != BLAZEN_MODE_EXECUTOR)
        CALL(blazen_runtime_poll(yard.runtime, random() % 8, nullptr, nullptr));
      return;
    case 23: {
      RuntimeHandle one_more(blazen_runtime_retain(yard.runtime));
      WorkflowHandle another(blazen_workflow_retain(yard.workflow));
      return;
    }
    default: return;
  }
}

void run_a_task(Yard& yard, bool cancel) {
  blazen_task* task = nullptr;
  {
    std::lock_guard guard(yard.tasks_lock);
    if (yard.tasks.empty()) return;
    task = yard.tasks.back();
    yard.tasks.pop_back();
  }
  if (cancel) {
    blazen_task_cancel(task);
  } else {
    blazen_task_run(task);
  }
}

// The threads' own count of turns is fixed: the same work on a slow machine and a quick one.
void storm(blazen_mode mode, uint32_t seed, int turns, bool close_midway) {
  const size_t first_token = tokens.used();
  Yard yard;
  yard.mode = mode;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = mode;
  options.threads = 2;
  options.user_data = &yard;
  options.post = [](void* data, blazen_task* task) -> blazen_status {
    auto& owner = *static_cast<Yard*>(data);
    std::lock_guard guard(owner.tasks_lock);
    owner.tasks.push_back(task);
    return BLAZEN_OK;
  };
  OK(blazen_runtime_create(&options, yard.runtime.out(), error));
  BuilderHandle builder;
  OK(blazen_workflow_builder_create("w", 1, builder.out(), error));
  OK(blazen_workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), body, &yard, nullptr,
                                      error));
  OK(blazen_workflow_builder_add_step(builder, "t", 1, "More", 4, body, &yard, nullptr, error));
  OK(blazen_workflow_builder_step_max_concurrency(builder, "t", 1, 2, error));
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  policy.max_attempts = 3;
  policy.initial_delay_ms = 1;
  policy.jitter_percent = 50;
  OK(blazen_workflow_builder_step_retry(builder, "t", 1, &policy, error));
  OK(blazen_workflow_builder_step_timeout(builder, "t", 1, 2, error));
  OK(blazen_workflow_builder_set_timeout(builder, 2000, error));
  OK(blazen_workflow_builder_add_step(builder, "failed", 6, BLAZEN_TEXT(BLAZEN_STEP_FAILED_EVENT), take,
                                      nullptr, nullptr, error));
  OK(blazen_workflow_builder_step_atomic(builder, "failed", 6, 1, error));
  OK(blazen_workflow_builder_set_idle(builder, BLAZEN_IDLE_WAIT, error));
  OK(blazen_workflow_builder_set_unhandled(builder, BLAZEN_UNHANDLED_STREAM, error));
  OK(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_STREAM_ITEMS, 16, error));
  OK(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_QUEUED_EVENTS, 200, error));
  OK(blazen_workflow_builder_build(builder, yard.workflow.out(), error));
  builder.reset();

  std::vector<std::thread> hands;
  for (int hand = 0; hand < kHands; ++hand) {
    hands.emplace_back([&yard, seed, hand, turns, close_midway] {
      std::mt19937 random(seed * 100 + static_cast<uint32_t>(hand));
      for (int turn = 0; turn < turns; ++turn) {
        do_something(yard, random, hand);
        if (yard.mode == BLAZEN_MODE_EXECUTOR) run_a_task(yard, random() % 16 == 0);
        if (close_midway && hand == 0 && turn == turns / 2) CALL(blazen_runtime_close(yard.runtime, nullptr));
      }
    });
  }
  for (std::thread& hand : hands) hand.join();
  EXPECT_EQ(strange, 0) << strange_call.load() << " answered " << blazen_status_name(strange_status);
  OK(blazen_runtime_close(yard.runtime, error));
  yard.streams.clear();
  yard.invocations.clear();
  yard.snapshots.clear();
  yard.runs.clear();
  while (!yard.tasks.empty()) run_a_task(yard, false);
  yard.workflow.reset();
  yard.runtime.reset();
  std::string fault;
  for (size_t i = first_token; i < tokens.used() && fault.size() < 300; ++i) {
    const Token& token = tokens[i];
    if (token.drops == 1 && token.calls_after_drop == 0 && token.calls <= 1) continue;
    fault += std::string(token.name) + ": " + std::to_string(token.drops) + " drops, " +
             std::to_string(token.calls) + " calls, " + std::to_string(token.calls_after_drop) +
             " of them after the drop; ";
  }
  EXPECT_EQ(fault, "") << "seed " << seed << ", mode " << mode;
  EXPECT_GT(tokens.used() - first_token, 100U) << "the storm did nothing";
}

class Storm : public testing::TestWithParam<blazen_mode> {};

TEST_P(Storm, OfAllCallsLosesNothing) {
  if (!kThreads) GTEST_SKIP() << "a library without threads may be called by one thread at a time";
  Watchdog watchdog("Storm", kSanitized ? 150 : 50, tell_doing);
  const int turns = kSanitized ? 2500 : 25000;
  for (const uint32_t seed : {1U, 2U, 3U, 4U}) {
    std::printf("seed %u\n", seed);
    storm(GetParam(), seed, turns, seed % 2 == 0);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Storm,
                         testing::Values(BLAZEN_MODE_THREADS, BLAZEN_MODE_PUMP, BLAZEN_MODE_EXECUTOR),
                         [](const auto& info) {
                           return info.param == BLAZEN_MODE_PUMP       ? "Pump"
                                  : info.param == BLAZEN_MODE_EXECUTOR ? "Executor"
                                                                       : "Threads";
                         });

// The narrow places, hit on purpose: a callback for a stream that is on its way while its last handle goes,
// and while another is registered.
TEST(Race, OfALastReleaseWithACallback) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("OfALastReleaseWithACallback", 100);
  const size_t first_token = tokens.used();
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_THREADS));
  const auto publish = [](void*, blazen_context* context, const blazen_event*,
                          blazen_error**) -> blazen_status {
    EventHandle item(make_event("Item"));
    for (int i = 0; i < 4; ++i) (void)blazen_context_publish(context, item, nullptr);
    return BLAZEN_OK;
  };
  WorkflowHandle workflow(make_workflow(publish, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT, "More"));
  RunHandle run(make_run(runtime, workflow));
  OK(blazen_run_start(run, nullptr, error));
  EventHandle more(make_event("More"));
  std::atomic<bool> over{false};
  std::thread sender([&] {
    while (!over) {
      (void)blazen_run_send_event(run, more, nullptr, nullptr);
      std::this_thread::yield();
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (int i = 0; i < 200000 && std::chrono::steady_clock::now() < end; ++i) {
    blazen_stream* stream = nullptr;
    OK(blazen_run_subscribe(run, &stream, error));
    for (int j = 0; j < i % 3; ++j) {
      (void)blazen_stream_on_ready(stream, call_token, tokens.take("on_ready"), drop_token, nullptr);
    }
    blazen_stream_release(stream);
  }
  over = true;
  sender.join();
  EXPECT_LT(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED) << "it published to the end";
  OK(blazen_run_close(run, error));
  int bad = 0;
  for (size_t i = first_token; i < tokens.used(); ++i) {
    bad += tokens[i].drops != 1 || tokens[i].calls > 1 || tokens[i].calls_after_drop != 0 ? 1 : 0;
  }
  EXPECT_EQ(bad, 0) << "callbacks dropped more or less than once, or called twice";
}

// A runtime that closes finds runs whose last handle goes at that moment.
TEST(Race, OfALastReleaseOfARunWithTheCloseOfItsRuntime) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("OfALastReleaseOfARunWithTheCloseOfItsRuntime", 100);
  WorkflowHandle workflow(make_workflow([](void*, blazen_context*, const blazen_event*,
                                           blazen_error**) -> blazen_status { return BLAZEN_OK; }));
  constexpr size_t kMany = 64;
  const size_t first_token = tokens.used();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (int round = 0; round < 1500 && std::chrono::steady_clock::now() < end; ++round) {
    RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
    blazen_run* runs[kMany];
    for (blazen_run*& run : runs) {
      run = make_run(runtime, workflow);
      OK(blazen_run_on_done(run, on_done, tokens.take("on_done"), drop_token, error));
    }
    std::atomic<bool> go{false};
    std::thread releaser([&] {
      while (!go) {
      }
      for (blazen_run* run : runs) blazen_run_release(run);
    });
    go = true;
    // From the other end: the list of a runtime is last in, first out.
    OK(blazen_runtime_close(runtime, error));
    releaser.join();
  }
  int bad = 0;
  for (size_t i = first_token; i < tokens.used(); ++i) {
    bad += tokens[i].drops != 1 || tokens[i].calls > 1 || tokens[i].calls_after_drop != 0 ? 1 : 0;
  }
  EXPECT_EQ(bad, 0) << "callbacks dropped more or less than once, or called twice";
}

// Many runs are due all the time, and several threads tell them so: each run hears it, and none is let go of
// twice.
TEST(Race, OfThreadsThatTellTheTimeAtOnce) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("OfThreadsThatTellTheTimeAtOnce", 100);
  constexpr uint64_t kRounds = 60;
  const auto again_in_1_ms = [](void*, blazen_context* context, const blazen_event*,
                                blazen_error** error) -> blazen_status {
    if (blazen_context_invocation_id(context) > kRounds)
      return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
    EventHandle more(make_event("More"));
    blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
    later.delay_ms = 1;
    return blazen_context_emit_event(context, more, &later, error);
  };
  const size_t first_token = tokens.used();
  RuntimeHandle runtime(make_runtime(BLAZEN_MODE_PUMP));
  WorkflowHandle workflow(
      make_workflow(again_in_1_ms, nullptr, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_FAIL, "More"));
  constexpr int kMany = 24;
  RunHandle many[kMany];
  for (RunHandle& run : many) {
    run = RunHandle(make_run(runtime, workflow));
    OK(blazen_run_on_done(run, on_done, tokens.take("on_done"), drop_token, error));
    OK(blazen_run_start(run, nullptr, error));
  }
  const auto all_ended = [&many] {
    for (const RunHandle& run : many) {
      if (blazen_run_state_now(run) < BLAZEN_RUN_COMPLETED) return false;
    }
    return true;
  };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::vector<std::thread> hosts;
  for (int i = 0; i < 4; ++i) {
    hosts.emplace_back([&] {
      while (!all_ended() && std::chrono::steady_clock::now() < end)
        (void)blazen_runtime_poll(runtime, 0, nullptr, nullptr);
    });
  }
  for (std::thread& host : hosts) host.join();
  for (RunHandle& run : many) {
    EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED);
    run.reset();
  }
  OK(blazen_runtime_close(runtime, error));
  for (size_t i = first_token; i < tokens.used(); ++i) {
    EXPECT_EQ(tokens[i].calls, 1);
    EXPECT_EQ(tokens[i].drops, 1);
  }
}

}  // namespace
