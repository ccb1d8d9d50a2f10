// Proves that memory may run out at any point: a status, no crash, no hang, no leak, every handle still
// usable.
//
// The fault model. malloc and its family are defined in this executable and therefore interpose the shared
// library's, and so is operator new through them (under a sanitizer, which needs malloc itself, the operators
// new alone are defined here). An allocation counts, and may fail, while `armed` is set and the thread is not
// in code of this test: so a step's own bookkeeping never fails, and what the engine does around it always
// may. Counted from 1, the n-th fails; `once`, it alone; `sticky`, all from there on until a call has said
// so. The life below is run for every n until there is no n-th allocation.
//
// What is required. A call answers what it would have answered, or BLAZEN_ERROR_OUT_OF_MEMORY with the
// immortal error, and then has changed nothing: the very same call succeeds with memory, and the life goes on
// to the same end. Where the engine had no caller to tell, the run has failed with BLAZEN_ERROR_OUT_OF_MEMORY
// in its error, and another run succeeds. Every drop of the host ran once and under no lock, and as many
// blocks are allocated after a life as before it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <vector>

#include "capi/host.hpp"

// ---- the allocator ----

namespace {

enum class Kind : int { once, sticky };

struct Faults {
  std::atomic<bool> armed{false};
  std::atomic<long> count{0};    // allocations since it was armed
  std::atomic<long> fail_at{0};  // 0: never
  std::atomic<bool> sticky{false};
  std::atomic<bool> fired{false};
  std::atomic<long> live{0};  // blocks allocated and not freed, of everybody
};
Faults faults;

// How deep a thread is in code of the test. Engine threads start at 0.
thread_local int in_test = 0;

[[maybe_unused]] bool fails() noexcept {
  if (!faults.armed.load(std::memory_order_relaxed) || in_test != 0) return false;
  const long n = faults.count.fetch_add(1, std::memory_order_relaxed) + 1;
  const long at = faults.fail_at.load(std::memory_order_relaxed);
  if (at == 0 || n < at || (n > at && !faults.sticky.load(std::memory_order_relaxed))) return false;
  faults.fired.store(true);
  return true;
}

}  // namespace

#if !HOST_ASAN && !HOST_TSAN

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

static void* counted(void* memory) {
  if (memory != nullptr) faults.live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
static void* refused() {
  errno = ENOMEM;
  return nullptr;
}

void* malloc(size_t size) { return fails() ? refused() : counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return fails() ? refused() : counted(__libc_calloc(count, size)); }
void* realloc(void* memory, size_t size) {
  if (fails()) return refused();
  void* moved = __libc_realloc(memory, size);
  return memory == nullptr ? counted(moved) : moved;
}
void* memalign(size_t alignment, size_t size) {
  return fails() ? refused() : counted(__libc_memalign(alignment, size));
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  void* made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *memory = made;
  return 0;
}
void free(void* memory) {
  if (memory != nullptr) faults.live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(memory);
}
}

#elif !HOST_TSAN || !defined(__clang__)  // clang's thread sanitizer lets nobody else define them

namespace {
void* allocate(size_t size) noexcept {
  void* memory = fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory != nullptr) faults.live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
void* allocate_or_throw(size_t size) {
  if (void* memory = allocate(size)) return memory;
  throw std::bad_alloc();
}
void give_back(void* memory) noexcept {
  if (memory != nullptr) faults.live.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}
}  // namespace

void* operator new(size_t size) { return allocate_or_throw(size); }
void* operator new[](size_t size) { return allocate_or_throw(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, size_t) noexcept { give_back(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { give_back(memory); }

#endif

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

struct InTest {
  InTest() { ++in_test; }
  ~InTest() { --in_test; }
};

// Around a call of the library from code of the test.
struct InLibrary {
  InLibrary() : before(std::exchange(in_test, 0)) {}
  ~InLibrary() { in_test = before; }
  int before;
};

thread_local char message_last[200] = "";  // of the last call of this thread

// What is asked of a life beside its end; gathered without allocating, and checked afterwards.
struct Notes {
  std::atomic<int> oom_calls{0};
  std::atomic<int> oom_runs{0};
  std::atomic<const char*> complaint{nullptr};
  std::atomic<int> complaint_status{0};
  std::atomic<int> complaint_line{0};
  char message[200] = "";  // of the last call of that thread

  void complain(int line, const char* what, int status) {
    const char* none = nullptr;
    if (!complaint.compare_exchange_strong(none, what)) return;
    std::memcpy(message, message_last, sizeof message);
    complaint_status = status;
    complaint_line = line;
  }
};
Notes notes;
#define REQUIRE(condition, status)                                    \
  do {                                                                \
    if (!(condition)) notes.complain(__LINE__, #condition, (status)); \
  } while (0)

// A fault has had its effect: from here on there is memory.
void faults_off() { faults.fail_at.store(0); }

void check_out_of_memory(const blazen_error* error) {
  REQUIRE(error != nullptr, 0);
  REQUIRE(faults.fired.load(), 0);
  REQUIRE(blazen_error_status(error) == BLAZEN_ERROR_OUT_OF_MEMORY, blazen_error_status(error));
  REQUIRE(message_of(error) == "no memory left", 0);
  // There is one of it for everybody: nobody may write into it.
  REQUIRE(blazen_error_step(error, nullptr) == nullptr, 0);
  REQUIRE(blazen_error_attempt(error) == 0, 0);
  REQUIRE(blazen_error_host_code(error) == 0, 0);
  REQUIRE(blazen_error_cause(error) == nullptr, 0);
}

// Calls; and where there was no memory, calls again with memory, which must do.
template <class Call>
blazen_status attempt(int line, Call call, ErrorHandle* kept = nullptr) {
  ErrorHandle error;
  blazen_status status;
  {
    InLibrary inside;
    status = call(error.out());
  }
  if (status == BLAZEN_ERROR_OUT_OF_MEMORY) {
    notes.oom_calls.fetch_add(1);
    check_out_of_memory(error);
    faults_off();
    error.reset();
    InLibrary inside;
    status = call(error.out());
    if (status == BLAZEN_ERROR_OUT_OF_MEMORY) notes.complain(line, "a second try with memory fails", status);
  }
  std::snprintf(message_last, sizeof message_last, "%s", blazen_error_message(error, nullptr));
  if ((status == BLAZEN_OK || status == BLAZEN_PENDING) != (error.get() == nullptr))
    notes.complain(line, "error does not go with status", status);
  if (kept != nullptr) *kept = std::move(error);
  return status;
}
#define ATTEMPT(...) attempt(__LINE__, [&](blazen_error** error) { return __VA_ARGS__; })
#define MUST(...)                                     \
  do {                                                \
    const blazen_status must = ATTEMPT(__VA_ARGS__);  \
    REQUIRE(must == BLAZEN_OK && #__VA_ARGS__, must); \
  } while (0)
// The same in the body of a step.
#define STEP_MUST(...)                                                      \
  do {                                                                      \
    const blazen_status must = ATTEMPT(__VA_ARGS__);                        \
    if (must == BLAZEN_ERROR_CANCELLED && faults.fired.load()) return must; \
    REQUIRE(must == BLAZEN_OK && #__VA_ARGS__, must);                       \
    if (must != BLAZEN_OK) return BLAZEN_ERROR_INTERNAL;                    \
  } while (0)

// Of the test's own handles: a release needs no memory, but what it sets off may want some.
template <class T, void (*kRelease)(T*)>
void release(Handle<T, kRelease>& handle) {
  InLibrary inside;
  handle.reset();
}

// ---- the life ----

constexpr int kWorks = 4;

Tokens<256> tokens;
LockProbe* probe = nullptr;

struct Life {
  blazen_mode mode = BLAZEN_MODE_PUMP;
  BuilderHandle builder;
  WorkflowHandle workflow;
  RuntimeHandle runtime;
  std::atomic<blazen_invocation*> deferred{nullptr};
  std::atomic<int> split_ran{0};
  std::atomic<int> work_ran{0};
  std::mutex tasks_lock;
  blazen_task* tasks[64];
  size_t task_count = 0;
  std::atomic<int> failed{0};  // children of the step that fails once
};

blazen_value* make_live(const char* name) {
  blazen_value* value = nullptr;
  const auto call = [&](blazen_error** error) {
    return blazen_value_live(tokens.take(name), BLAZEN_TEXT("object"), drop_token, &value, error);
  };
  const blazen_status status = attempt(__LINE__, call);
  REQUIRE(status == BLAZEN_OK, status);
  return value;
}

// In code of the library: its allocations may fail, and then it cannot be kept this time.
blazen_status serialize(void*, blazen_value** value, blazen_error** error) {
  return blazen_value_native("pickled", 7, BLAZEN_TEXT("python/pickle"), value, error);
}

blazen_status make_kept(blazen_value** value, blazen_error** error) {
  blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
  options.drop = drop_token;
  options.serialize = serialize;
  Token* token = nullptr;
  {
    InTest test;
    token = tokens.take("an object that is kept");
  }
  return blazen_value_live_with(token, BLAZEN_TEXT("test/kept"), &options, value, error);
}

blazen_status deserialize(void*, const char*, size_t, blazen_value*, blazen_value** live,
                          blazen_error** error) {
  return make_kept(live, error);
}

// One session entry and one event have an object.
blazen_status resume_with(Life& life, blazen_snapshot* snapshot, const char* label,
                          blazen_unknown_label unknown, blazen_run** run, blazen_error** error) {
  blazen_deserializer one = {label, std::strlen(label), deserialize, nullptr, drop_token};
  {
    InTest test;
    one.user_data = tokens.take("data of a deserializer");
  }
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.deserializers = &one;
  options.deserializer_count = 1;
  options.unknown_label = unknown;
  return blazen_run_resume(life.runtime, life.workflow, snapshot, &options, run, error);
}

blazen_status split(void* user_data, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  auto& life = *static_cast<Life*>(user_data);
  life.split_ran.fetch_add(1);
  STEP_MUST(blazen_context_set_value(context, BLAZEN_TEXT("input"), blazen_event_value(event), error));
  STEP_MUST(blazen_context_set_json(context, BLAZEN_TEXT("json"), BLAZEN_TEXT("[1, 2, 3]"), error));
  STEP_MUST(blazen_context_set_bytes(context, BLAZEN_TEXT("bytes"), "\0\1\2", 3, error));

  ValueHandle found;
  uint64_t version = 0;
  STEP_MUST(blazen_context_get_value(context, BLAZEN_TEXT("json"), found.out(), &version, error));
  REQUIRE(text_of(found) == "[1, 2, 3]", 0);
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  STEP_MUST(blazen_context_read(context, BLAZEN_TEXT("json"), &view, error));
  REQUIRE(view.data_length == 9 && view.version == version && view.value == found, 0);
  ValueHandle two;
  STEP_MUST(blazen_value_json(BLAZEN_TEXT("2"), two.out(), error));
  uint64_t after = 0;
  STEP_MUST(blazen_context_compare_and_set(context, BLAZEN_TEXT("json"), version, two, &after, error));
  REQUIRE(after > version, 0);
  REQUIRE(ATTEMPT(blazen_context_compare_and_set(context, BLAZEN_TEXT("json"), version, two, nullptr,
                                                 error)) == BLAZEN_ERROR_CONFLICT,
          0);

  BatchHandle batch;
  STEP_MUST(blazen_batch_create(batch.out(), error));
  STEP_MUST(blazen_batch_expect(batch, BLAZEN_TEXT("json"), after, error));
  STEP_MUST(blazen_batch_set(batch, BLAZEN_TEXT("done"), two, error));
  STEP_MUST(
      blazen_batch_set(batch, BLAZEN_TEXT("a key that is longer than a short string holds"), two, error));
  STEP_MUST(blazen_batch_remove(batch, BLAZEN_TEXT("bytes"), error));
  STEP_MUST(blazen_context_apply(context, batch, error));
  release(batch);
  int32_t is_there = -1;
  STEP_MUST(blazen_context_has_value(context, BLAZEN_TEXT("bytes"), &is_there, error));
  REQUIRE(is_there == 0, is_there);
  STEP_MUST(blazen_context_set_json(context, BLAZEN_TEXT("done"), BLAZEN_TEXT("0"), error));
  KeysHandle keys;
  STEP_MUST(blazen_context_keys(context, BLAZEN_TEXT(""), keys.out(), error));
  REQUIRE(blazen_keys_count(keys) == 4, static_cast<int>(blazen_keys_count(keys)));
  release(keys);

  ValueHandle live(make_live("session value"));
  STEP_MUST(blazen_context_set_session(context, BLAZEN_TEXT("object"), live, error));
  STEP_MUST(blazen_context_set_session(context, BLAZEN_TEXT("number"), two, error));
  STEP_MUST(blazen_context_get_session(context, BLAZEN_TEXT("object"), found.out(), error));
  REQUIRE(blazen_value_object(found) == blazen_value_object(live), 0);
  SnapshotHandle impossible;
  REQUIRE(ATTEMPT(blazen_run_snapshot(blazen_context_run(context), impossible.out(), error)) ==
              BLAZEN_ERROR_NOT_SERIALIZABLE,
          0);
  STEP_MUST(blazen_context_session_keys(context, BLAZEN_TEXT("o"), keys.out(), error));
  REQUIRE(blazen_keys_count(keys) == 1, 0);
  release(keys);
  int32_t removed = -1;
  STEP_MUST(blazen_context_remove_session(context, BLAZEN_TEXT("object"), &removed, error));
  release(found);
  release(live);
  // The last reference, in the engine's hands alone.
  ValueHandle brief(make_live("brief session value"));
  STEP_MUST(blazen_context_set_session(context, BLAZEN_TEXT("brief"), brief, error));
  release(brief);
  STEP_MUST(blazen_context_remove_session(context, BLAZEN_TEXT("brief"), nullptr, error));

  ValueHandle kept;
  STEP_MUST(make_kept(kept.out(), error));
  STEP_MUST(blazen_context_set_session(context, BLAZEN_TEXT("kept"), kept, error));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Remote"), kept, error));
  release(kept);

  EventHandle item;
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Progress"), two, nullptr, item.out(), error));
  STEP_MUST(blazen_context_publish(context, item, error));
  STEP_MUST(blazen_context_publish(context, item, error));
  release(item);
  STEP_MUST(blazen_context_progress(context, BLAZEN_TEXT("a label of more than sixteen bytes"), 1, 3, error));
  // A value that is the stream's alone, and, where there is no room in the stream, nobody's.
  ValueHandle published(make_live("published value"));
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Progress"), published, nullptr, item.out(), error));
  release(published);
  STEP_MUST(blazen_context_publish(context, item, error));
  release(item);

  blazen_event_options options = BLAZEN_EVENT_OPTIONS_INIT;
  options.correlation = "a correlation id of more than sixteen bytes";
  options.correlation_length = std::strlen(options.correlation);
  EventHandle work;
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Work"), two, &options, work.out(), error));
  blazen_send_options to = BLAZEN_SEND_OPTIONS_INIT;
  to.step = "work";
  to.step_length = 4;
  STEP_MUST(blazen_context_send_event(context, work, &to, error));
  STEP_MUST(blazen_context_emit_event(context, work, nullptr, error));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Work"), two, error));
  STEP_MUST(blazen_context_emit_json(context, BLAZEN_TEXT("Work"), BLAZEN_TEXT("{\"n\": 3}"), error));
  ValueHandle unread(make_live("value of an event that nobody accepts"));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("NobodyAcceptsThis"), unread, error));
  release(unread);
  return BLAZEN_OK;
}

blazen_status work(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  static_cast<Life*>(user_data)->work_ran.fetch_add(1);
  char key[32];
  std::snprintf(key, sizeof key, "work/%d", static_cast<int>(blazen_context_invocation_id(context)));
  STEP_MUST(blazen_context_set_json(context, key, std::strlen(key), BLAZEN_TEXT("true"), error));
  STEP_MUST(blazen_context_emit_json(context, BLAZEN_TEXT("Done"), BLAZEN_TEXT("1"), error));
  return BLAZEN_OK;
}

// Counts in the state. With threads, several at once do: by compare and set.
blazen_status join(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  for (;;) {
    ValueHandle done;
    uint64_t version = 0;
    STEP_MUST(blazen_context_get_value(context, BLAZEN_TEXT("done"), done.out(), &version, error));
    const int next = std::atoi(text_of(done).data()) + 1;
    char text[16];
    std::snprintf(text, sizeof text, "%d", next);
    ValueHandle counted;
    STEP_MUST(blazen_value_json(text, std::strlen(text), counted.out(), error));
    const blazen_status status = ATTEMPT(
        blazen_context_compare_and_set(context, BLAZEN_TEXT("done"), version, counted, nullptr, error));
    if (status == BLAZEN_ERROR_CONFLICT) continue;
    if (status == BLAZEN_ERROR_CANCELLED) return status;
    REQUIRE(status == BLAZEN_OK, status);
    if (next == kWorks) STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Ask"), counted, error));
    return BLAZEN_OK;
  }
}

blazen_status ask(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  auto& life = *static_cast<Life*>(user_data);
  blazen_invocation* invocation = nullptr;
  STEP_MUST(blazen_context_defer(context, &invocation, error));
  life.deferred.store(invocation);
  return BLAZEN_PENDING;
}

blazen_status note(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  const blazen_status status =
      ATTEMPT(blazen_context_set_value(context, BLAZEN_TEXT("note"), blazen_event_value(event), error));
  if (status == BLAZEN_ERROR_CANCELLED) return status;  // with threads, another step may have ended the run
  REQUIRE(status == BLAZEN_OK, status);
  return status;
}

blazen_status fail(void*, blazen_context*, const blazen_event*, blazen_error** error) {
  InTest test;
  ValueHandle detail(make_live("detail of a failure"));
  InLibrary inside;
  return blazen_error_host(7, BLAZEN_TEXT("the disk is gone, and with it everything"), detail, error);
}

void on_done(void* user_data, blazen_run*, blazen_run_state) {
  InTest test;
  call_token(user_data);
}
void on_ready(void* user_data) {
  InTest test;
  call_token(user_data);
}
void drop(void* user_data) {
  InTest test;
  drop_token(user_data);
}
void wake(void*) {}
blazen_status post(void*, blazen_task* task);
// The host's, so that delays need no sleep.
std::atomic<int64_t> clock_ms{1'700'000'000'000};

void build(Life& life) {
  auto& builder = life.builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("a workflow of a longer name"), builder.out(), error));
  const auto add = [&](const char* name, const char* accepts, blazen_step_fn body) {
    const auto call = [&](blazen_error** error) {
      // Whatever it answers, it has the user_data from now on. The body is given the life itself.
      return blazen_workflow_builder_add_step(builder, name, std::strlen(name), accepts, std::strlen(accepts),
                                              body, &life, nullptr, error);
    };
    const blazen_status status = attempt(__LINE__, call);
    REQUIRE(status == BLAZEN_OK, status);
  };
  add("split", BLAZEN_START_EVENT, split);
  add("work", "Work", work);
  {
    const char* types[] = {"Done"};
    const size_t lengths[] = {4};
    const char* emits[] = {"Ask", BLAZEN_STOP_EVENT};
    const size_t emit_lengths[] = {3, std::strlen(emits[1])};
    const int64_t codes[] = {7, 8, 9};
    blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
    retry.never = codes;
    retry.never_count = 3;
    blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
    options.accepts = types;
    options.accept_lengths = lengths;
    options.accept_count = 1;
    options.emits = emits;
    options.emit_lengths = emit_lengths;
    options.emit_count = 2;
    options.retry = &retry;
    options.cancelled = [](void*, blazen_context*) {};
    const auto call = [&](blazen_error** error) {
      return blazen_workflow_builder_add_step_with(builder, BLAZEN_TEXT("join"), &options, join,
                                                   tokens.take("data of a step with options"), drop, error);
    };
    const blazen_status status = attempt(__LINE__, call);
    REQUIRE(status == BLAZEN_OK, status);
  }
  add("ask", "Ask", ask);
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("note"), BLAZEN_TEXT("Note"), note,
                                        tokens.take("data of a step"), drop, error));
  MUST(blazen_workflow_builder_add_elsewhere(builder, BLAZEN_TEXT("remote"), BLAZEN_TEXT("Remote"), error));
  MUST(blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("note"), BLAZEN_TEXT("OtherNote"), error));
  MUST(blazen_workflow_builder_step_max_concurrency(builder, BLAZEN_TEXT("work"), 2, error));
  MUST(blazen_workflow_builder_step_abandoned(builder, BLAZEN_TEXT("work"), BLAZEN_ABANDONED_FREES_PERMIT,
                                              error));
  MUST(blazen_workflow_builder_step_uses_pool(builder, BLAZEN_TEXT("work"),
                                              BLAZEN_TEXT("a pool of a longer name"), error));
  MUST(blazen_workflow_builder_set_unhandled(builder, BLAZEN_UNHANDLED_IGNORE, error));
  MUST(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_STREAM_ITEMS, 8, error));
  MUST(blazen_workflow_builder_build(builder, life.workflow.out(), error));
  release(builder);
}

void open(Life& life) {
  const auto call = [&](blazen_error** error) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = life.mode;
    options.threads = 2;
    options.user_data = tokens.take("data of a runtime");
    options.drop = drop;
    options.wake = wake;
    options.post = [](void*, blazen_task* task) { return post(nullptr, task); };
    if (life.mode != BLAZEN_MODE_THREADS) options.clock = [](void*) { return clock_ms.load(); };
    return blazen_runtime_create(&options, life.runtime.out(), error);
  };
  const blazen_status status = attempt(__LINE__, call);
  REQUIRE(status == BLAZEN_OK, status);
  MUST(blazen_runtime_set_pool(life.runtime, BLAZEN_TEXT("a pool of a longer name"), 1, error));
}

Life* posting = nullptr;
blazen_status post(void*, blazen_task* task) {
  InTest test;
  std::lock_guard guard(posting->tasks_lock);
  if (posting->task_count == 64) return BLAZEN_ERROR_LIMIT;
  posting->tasks[posting->task_count++] = task;
  return BLAZEN_OK;
}

bool run_task(Life& life) {
  blazen_task* task = nullptr;
  {
    std::lock_guard guard(life.tasks_lock);
    if (life.task_count == 0) return false;
    task = life.tasks[0];
    std::memmove(life.tasks, life.tasks + 1, --life.task_count * sizeof *life.tasks);
  }
  InLibrary inside;
  blazen_task_run(task);
  return true;
}

// Until the run has ended, or asks.
void drive(Life& life, blazen_run* run) {
  for (int rounds = 0; rounds < 10000; ++rounds) {
    if (life.mode == BLAZEN_MODE_PUMP) {
      uint64_t steps = 0;
      int64_t delay_ms = 0;
      MUST(blazen_runtime_poll_next(life.runtime, 1, &steps, &delay_ms, error));
      if (steps == 0) return;
    } else if (life.mode == BLAZEN_MODE_EXECUTOR) {
      if (!run_task(life)) return;
    } else {
      blazen_run_state state;
      if (ATTEMPT(blazen_run_wait(run, 1, &state, error)) == BLAZEN_OK) return;
      if (life.deferred.load() != nullptr) return;
    }
  }
  REQUIRE(!"it comes to an end", 0);
}

bool is_out_of_memory(const blazen_error* error) {
  for (; error != nullptr; error = blazen_error_cause(error)) {
    if (blazen_error_status(error) == BLAZEN_ERROR_OUT_OF_MEMORY) return true;
    // What a branch has failed with comes through an event.
    if (message_of(error).find("no memory left") != std::string_view::npos ||
        text_of(blazen_error_detail(error)).find("no memory left") != std::string_view::npos)
      return true;
  }
  return false;
}

// True where the run has failed for want of memory.
bool ended_without_memory(blazen_run* run) {
  if (blazen_run_state_now(run) != BLAZEN_RUN_FAILED) return false;
  ErrorHandle why;
  ValueHandle result;
  {
    // Not an attempt: a run that failed for want of memory says so each time.
    InLibrary inside;
    (void)blazen_run_result(run, result.out(), why.out());
  }
  REQUIRE(is_out_of_memory(why), blazen_error_status(why));
  REQUIRE(faults.fired.load(), 0);
  notes.oom_runs.fetch_add(1);
  faults_off();
  return true;
}

// The items are numbered without a hole, but for what a gap says, and StreamEnd comes.
void read_stream(blazen_stream* stream, bool may_miss) {
  uint64_t expected = 1;
  for (int i = 0; i < 100; ++i) {
    EventHandle item;
    uint64_t sequence = 0;
    const blazen_status status = ATTEMPT(blazen_stream_next(stream, 0, item.out(), &sequence, error));
    REQUIRE(status == BLAZEN_OK, status);
    if (status != BLAZEN_OK || type_of(item) == BLAZEN_STREAM_END) return;
    if (type_of(item) == BLAZEN_STREAM_GAP) {
      REQUIRE(may_miss && faults.fired.load(), 0);
      REQUIRE(sequence >= expected, 0);
    } else {
      REQUIRE(type_of(item) == "Progress", 0);
      REQUIRE(sequence == expected, static_cast<int>(sequence));
    }
    expected = sequence + 1;
    release(item);
  }
  REQUIRE(!"the stream ends", 0);
}

// Completes what asks, and sees the run to its end. False: there was no memory.
bool answer_and_finish(Life& life, RunHandle& run) {
  drive(life, run);
  InvocationHandle invocation(life.deferred.exchange(nullptr));
  if (invocation.get() == nullptr) {
    if (life.mode != BLAZEN_MODE_THREADS)
      REQUIRE(blazen_run_state_now(run) == BLAZEN_RUN_FAILED, blazen_run_state_now(run));
    return !ended_without_memory(run);
  }
  blazen_context* context = blazen_invocation_context(invocation);
  const blazen_status emitted =
      ATTEMPT(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT),
                                  blazen_event_value(blazen_invocation_event(invocation)), error));
  REQUIRE(emitted == BLAZEN_OK || (emitted == BLAZEN_ERROR_CANCELLED && faults.fired.load()), emitted);
  const blazen_status status =
      ATTEMPT(blazen_invocation_finish(blazen_invocation_retain(invocation), nullptr, error));
  // Too late, where another step had no memory; and with no memory to say so either, it was the second time.
  const bool too_late = status == BLAZEN_ERROR_CANCELLED || status == BLAZEN_ERROR_WRONG_STATE;
  REQUIRE(status == BLAZEN_OK || (too_late && faults.fired.load()), status);
  release(invocation);
  drive(life, run);
  if (ended_without_memory(run)) return false;
  blazen_run_state state = BLAZEN_RUN_NONE;
  MUST(blazen_run_wait(run, life.mode == BLAZEN_MODE_THREADS ? 10000 : 0, &state, error));
  REQUIRE(state == BLAZEN_RUN_COMPLETED, state);
  ValueHandle result;
  MUST(blazen_run_result(run, result.out(), error));
  REQUIRE(text_of(result) == "4", 0);
  return true;
}

void release_invocation(blazen_invocation* invocation) {
  if (invocation == nullptr) return;
  InLibrary inside;
  blazen_invocation_release(invocation);
}
// A run that failed may have left one, once it is closed and its last body is back.
void release_deferred(Life& life) { release_invocation(life.deferred.exchange(nullptr)); }

void register_callbacks(RunHandle& run, StreamHandle& stream) {
  const auto done = [&](blazen_error** error) {
    return blazen_run_on_done(run, on_done, tokens.take("data of on_done"), drop, error);
  };
  const blazen_status status = attempt(__LINE__, done);
  REQUIRE(status == BLAZEN_OK, status);
  MUST(blazen_stream_on_ready(stream, on_ready, tokens.take("taken back"), drop, error));
  int32_t cancelled = 0;
  MUST(blazen_stream_cancel_ready(stream, &cancelled, error));
  REQUIRE(cancelled == 1, cancelled);
  MUST(blazen_stream_on_ready(stream, on_ready, tokens.take("data of on_ready"), drop, error));
}

// A subscriber to all there is, with a filter, and soon too slow.
StreamHandle listen(RunHandle& run, bool own_level = false) {
  const char* types[] = {"Progress", BLAZEN_LIFECYCLE, BLAZEN_PROGRESS, "Work", BLAZEN_STOP_EVENT};
  size_t lengths[5];
  std::transform(types, types + 5, lengths, [](const char* type) { return std::strlen(type); });
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.from = 1;
  options.types = types;
  options.type_lengths = lengths;
  options.type_count = 5;
  options.capacity = 4;
  options.lifecycle = 1;
  options.routed = 1;
  options.own_level = own_level ? 1 : 0;
  StreamHandle stream;
  MUST(blazen_run_subscribe_with(run, &options, stream.out(), error));
  return stream;
}

// Whatever was lost to it, it never goes back, and it ends.
void read_news(blazen_stream* stream) {
  uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    constexpr size_t kAtOnce = 3;
    blazen_event* items[kAtOnce];
    uint64_t sequences[kAtOnce];
    size_t count = 0;
    const blazen_status status =
        ATTEMPT(blazen_stream_take(stream, 0, items, sequences, kAtOnce, &count, error));
    REQUIRE(status == BLAZEN_OK, status);
    if (status != BLAZEN_OK) return;
    bool is_over = false;
    for (size_t k = 0; k < count; ++k) {
      EventHandle item(items[k]);
      is_over = type_of(item) == BLAZEN_STREAM_END;
      blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
      REQUIRE(blazen_event_read(item, &view) == 1, 0);
      REQUIRE((view.path == nullptr) == (view.child_run_id == nullptr), 0);
      REQUIRE(sequences[k] >= last, static_cast<int>(sequences[k]));
      last = sequences[k];
      release(item);
    }
    if (is_over) return;
  }
  REQUIRE(!"the stream ends", 0);
}

blazen_status take_piece(void*, const void*, size_t length, blazen_error**) {
  return length > 0 ? BLAZEN_OK : BLAZEN_ERROR_INTERNAL;
}

// From the start, over a snapshot in the middle, to the end. False: there was no memory in the middle of it.
bool run_once(Life& life, SnapshotHandle& snapshot) {
  life.deferred.store(nullptr);
  RunHandle run;
  StreamHandle stream;
  ValueHandle metadata;
  ValueHandle input;
  MUST(blazen_value_native("\1\2\3", 3, BLAZEN_TEXT("python/pickle"), metadata.out(), error));
  const auto adopt = [&](blazen_error** error) {
    return blazen_value_adopt(BLAZEN_TAG_JSON, "{\"x\": 1}", 8, nullptr, 0, tokens.take("adopted value"),
                              drop, input.out(), error);
  };
  const blazen_status adopted = attempt(__LINE__, adopt);
  REQUIRE(adopted == BLAZEN_OK, adopted);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.metadata = metadata;
  MUST(blazen_run_create(life.runtime, life.workflow, &options, run.out(), error));
  probe->watch(run);
  struct Unwatch {
    ~Unwatch() { probe->watch(nullptr); }
  } unwatch;
  MUST(blazen_run_subscribe(run, stream.out(), error));
  StreamHandle listener = listen(run);
  register_callbacks(run, stream);
  MUST(blazen_run_start(run, input, error));
  release(input);
  drive(life, run);
  if (life.deferred.load() != nullptr) {
    EventHandle event;
    MUST(blazen_event_create(BLAZEN_TEXT("Note"), nullptr, nullptr, event.out(), error));
    MUST(blazen_run_send_event(run, event, nullptr, error));
    MUST(blazen_run_snapshot(run, snapshot.out(), error));
    MUST(blazen_run_snapshot_to(run, take_piece, tokens.take("pieces"), drop_token, error));
    ValueHandle elsewhere;
    MUST(blazen_run_elsewhere(run, elsewhere.out(), error));
    // Where it failed meanwhile, nothing waits any more.
    REQUIRE(text_of(elsewhere) == "[\"remote\"]" || (text_of(elsewhere) == "[]" && faults.fired.load()), 0);
  }
  const bool finished = answer_and_finish(life, run);
  read_stream(stream, true);
  read_news(listener);
  MUST(blazen_stream_close(stream, error));
  release(listener);
  MUST(blazen_run_close(run, error));
  release_deferred(life);
  probe->watch(nullptr);
  release(stream);
  release(run);
  return finished;
}

bool resume_once(Life& life, blazen_snapshot* snapshot) {
  life.deferred.store(nullptr);
  RunHandle run;
  StreamHandle stream;
  MUST(resume_with(life, snapshot, "test/kept", BLAZEN_UNKNOWN_LABEL_ERROR, run.out(), error));
  ValueHandle dropped;
  MUST(blazen_run_dropped(run, dropped.out(), error));
  REQUIRE(text_of(dropped) == "[]", 0);
  MUST(blazen_run_subscribe(run, stream.out(), error));
  register_callbacks(run, stream);
  MUST(blazen_run_start(run, nullptr, error));
  const bool finished = answer_and_finish(life, run);
  MUST(blazen_run_close_within(run, 60'000, error));
  release_deferred(life);
  release(run);
  release(stream);
  return finished;
}

void look_into(SnapshotHandle& snapshot) {
  size_t length = 0;
  const void* data = blazen_snapshot_data(snapshot, &length);
  std::vector<char> bytes(static_cast<const char*>(data), static_cast<const char*>(data) + length);
  SnapshotHandle parsed;
  MUST(blazen_snapshot_parse(bytes.data(), bytes.size(), parsed.out(), error));
  SnapshotHandle adopted;
  MUST(blazen_snapshot_adopt(bytes.data(), bytes.size(), tokens.take("adopted bytes"), drop_token,
                             adopted.out(), error));
  ValueHandle info;
  for (blazen_snapshot* each : {snapshot.get(), parsed.get(), adopted.get()}) {
    MUST(blazen_snapshot_info(each, info.out(), error));
    REQUIRE(text_of(info).find("\"ask\"") != std::string_view::npos || text_of(info).front() == '{', 0);
    blazen_value* metadata = nullptr;
    {
      InLibrary inside;
      metadata = blazen_snapshot_metadata(each);
    }
    // It cannot say that there was no memory.
    if (metadata == nullptr) {
      REQUIRE(faults.fired.load(), 0);
      faults_off();
      metadata = blazen_snapshot_metadata(each);
    }
    REQUIRE(text_of(metadata) == "\1\2\3", 0);
    size_t again = 0;
    const void* same = blazen_snapshot_data(each, &again);
    REQUIRE(again == length && std::memcmp(same, bytes.data(), length) == 0, static_cast<int>(again));
    REQUIRE(each != snapshot.get() || same == data, 0);
  }
  // Half a snapshot is refused, and nothing is left of it.
  SnapshotHandle half;
  REQUIRE(ATTEMPT(blazen_snapshot_parse(bytes.data(), bytes.size() / 2, half.out(), error)) ==
              BLAZEN_ERROR_SNAPSHOT_INVALID,
          0);
  REQUIRE(half.get() == nullptr, 0);
  snapshot = std::move(parsed);
}

// A failing step, an event that nobody accepts, a queue that is full, a run that stalls: each is told, or was
// out of memory.
struct Ending {
  blazen_status status;
  blazen_step_fn body;
};

void end_badly(Life& life, const Ending& ending) {
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("doomed"), builder.out(), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("the step that ends it"),
                                        BLAZEN_TEXT(BLAZEN_START_EVENT), ending.body, nullptr, nullptr,
                                        error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("work"), BLAZEN_TEXT("Work"), ending.body,
                                        nullptr, nullptr, error));
  MUST(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_QUEUED_EVENTS, 2, error));
  MUST(blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("work"), BLAZEN_TEXT("Both"), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("work too"), BLAZEN_TEXT("Both"), ending.body,
                                        nullptr, nullptr, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  for (int tries = 0; tries < 2; ++tries) {
    ErrorHandle error;
    ValueHandle result;
    RunHandle run;
    if (life.mode == BLAZEN_MODE_EXECUTOR) {
      MUST(blazen_run_create(life.runtime, workflow, nullptr, run.out(), error));
      MUST(blazen_run_start(run, nullptr, error));
      drive(life, run);
      InLibrary inside;
      (void)blazen_run_result(run, result.out(), error.out());
    } else {
      InLibrary inside;
      (void)blazen_workflow_run(workflow, life.runtime, nullptr, result.out(), error.out());
    }
    REQUIRE(error.get() != nullptr, 0);
    if (is_out_of_memory(error)) {
      REQUIRE(faults.fired.load() && tries == 0, 0);
      if (blazen_error_status(error) == BLAZEN_ERROR_OUT_OF_MEMORY) check_out_of_memory(error);
      notes.oom_runs.fetch_add(1);
      faults_off();
      continue;
    }
    REQUIRE(blazen_error_status(error) == ending.status, blazen_error_status(error));
    if (ending.status == BLAZEN_ERROR_STALLED) break;
    const char* step = blazen_error_step(error, nullptr);
    REQUIRE(step != nullptr && std::strcmp(step, "the step that ends it") == 0, ending.status);
    if (ending.status != BLAZEN_ERROR_STEP_FAILED) break;
    const blazen_error* cause = blazen_error_cause(error);
    REQUIRE(blazen_error_status(cause) == BLAZEN_ERROR_HOST, blazen_error_status(cause));
    REQUIRE(blazen_error_host_code(error) == 7, 0);
    REQUIRE(blazen_value_object(blazen_error_detail(error)) != nullptr, 0);
    break;
  }
  release(workflow);
  release(builder);
}

blazen_status stray(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  ValueHandle value(make_live("value of a stray event"));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("NobodyAcceptsThis"), value, error));
  return BLAZEN_OK;
}
blazen_status flood(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Both"), nullptr, error));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Work"), nullptr, error));
  return BLAZEN_OK;
}
blazen_status stall(void*, blazen_context*, const blazen_event*, blazen_error**) { return BLAZEN_OK; }

constexpr Ending kEndings[] = {{BLAZEN_ERROR_STEP_FAILED, fail},
                               {BLAZEN_ERROR_NO_HANDLER, stray},
                               {BLAZEN_ERROR_LIMIT, flood},
                               {BLAZEN_ERROR_STALLED, stall}};

// ---- a run that is steered: a retry, an atomic step, a question, a delay, a pause ----

// Atomic, and fails once: what it wrote and sent then is gone.
blazen_status begin(void*, blazen_context* context, const blazen_event*, blazen_error** error) {
  InTest test;
  int32_t found = -1;
  STEP_MUST(blazen_context_has_value(context, BLAZEN_TEXT("begun"), &found, error));
  REQUIRE(found == 0, found);
  STEP_MUST(blazen_context_set_json(context, BLAZEN_TEXT("begun"), BLAZEN_TEXT("\"a text of some length\""),
                                    error));
  STEP_MUST(blazen_context_remove_value(context, BLAZEN_TEXT("not there"), nullptr, error));
  EventHandle event;
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Ask"), nullptr, nullptr, event.out(), error));
  STEP_MUST(blazen_context_send_event(context, event, nullptr, error));
  release(event);
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Later"), nullptr, nullptr, event.out(), error));
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = 1;
  STEP_MUST(blazen_context_emit_event(context, event, &later, error));
  release(event);
  STEP_MUST(blazen_context_retry_after(context, 2, error));
  if (blazen_context_attempt(context) > 1) return BLAZEN_OK;
  InLibrary inside;
  return blazen_error_host(7, BLAZEN_TEXT("not at the first attempt"), nullptr, error);
}

blazen_status ask_human(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = "a question whose id is of more than sixteen bytes";
  question.request_id_length = std::strlen(question.request_id);
  question.prompt = "How many?";
  question.prompt_length = 9;
  ValueHandle answer;
  blazen_status status = BLAZEN_OK;
  for (int tries = 0; tries < 2; ++tries) {
    ErrorHandle error;
    {
      InLibrary inside;
      status = blazen_context_ask(context, &question, answer.out(), error.out());
    }
    if (status != BLAZEN_ERROR_OUT_OF_MEMORY) break;
    check_out_of_memory(error);
    faults_off();
  }
  if (status == BLAZEN_PENDING || (status == BLAZEN_ERROR_CANCELLED && faults.fired.load())) return status;
  REQUIRE(status == BLAZEN_OK, status);
  STEP_MUST(blazen_context_set_value(context, BLAZEN_TEXT("answer"), answer, error));
  return BLAZEN_OK;
}

blazen_status look_later(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  ValueHandle answer;
  STEP_MUST(blazen_context_get_value(context, BLAZEN_TEXT("answer"), answer.out(), nullptr, error));
  if (answer.get() != nullptr) {
    STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), answer, error));
    return BLAZEN_OK;
  }
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = 1;
  STEP_MUST(blazen_context_send_event(context, event, &later, error));
  return BLAZEN_OK;
}

bool is_over(blazen_run* run) {
  const blazen_run_state state = blazen_run_state_now(run);
  return state == BLAZEN_RUN_COMPLETED || state == BLAZEN_RUN_FAILED || state == BLAZEN_RUN_CANCELLED;
}

// Until it asks, or is over.
void steer(Life& life, blazen_run* run, bool to_its_end) {
  for (int rounds = 0; rounds < 20000 && !is_over(run); ++rounds) {
    if (!to_its_end) {
      ValueHandle open;
      MUST(blazen_run_questions(run, open.out(), error));
      int32_t wants = 0;
      MUST(blazen_run_wants_input(run, &wants, error));
      const bool asks = text_of(open) != "[]";
      REQUIRE((wants == 1) == asks || life.mode == BLAZEN_MODE_THREADS, wants);
      if (asks) return;
    }
    if (life.mode == BLAZEN_MODE_THREADS) {
      (void)ATTEMPT(blazen_run_wait(run, 1, nullptr, error));
      continue;
    }
    clock_ms.fetch_add(1);
    MUST(blazen_runtime_poll(life.runtime, 0, nullptr, error));
    while (run_task(life)) continue;
  }
  REQUIRE(is_over(run), blazen_run_state_now(run));
}

// A call on a run that may have ended for want of memory.
#define STEERED(...)                                                            \
  do {                                                                          \
    const blazen_status steered = ATTEMPT(__VA_ARGS__);                         \
    const bool over = steered == BLAZEN_ERROR_CANCELLED && faults.fired.load(); \
    REQUIRE((steered == BLAZEN_OK || over) && #__VA_ARGS__, steered);           \
  } while (0)

// False: there was no memory in the middle of it.
bool steer_once(Life& life) {
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("steered"), builder.out(), error));
  const auto add = [&](const char* name, const char* accepts, blazen_step_fn body) {
    MUST(blazen_workflow_builder_add_step(builder, name, std::strlen(name), accepts, std::strlen(accepts),
                                          body, nullptr, nullptr, error));
  };
  add("begin", BLAZEN_START_EVENT, begin);
  add("ask a human", "Ask", ask_human);
  add("look", "Later", look_later);
  const int64_t codes[] = {7};
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  policy.max_attempts = 3;
  policy.only = codes;
  policy.only_count = 1;
  MUST(blazen_workflow_builder_step_retry(builder, BLAZEN_TEXT("begin"), &policy, error));
  MUST(blazen_workflow_builder_step_atomic(builder, BLAZEN_TEXT("begin"), 1, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
  ValueHandle described;
  MUST(blazen_workflow_describe(workflow, described.out(), error));
  release(described);
  for (const blazen_draw format : {BLAZEN_DRAW_MERMAID, BLAZEN_DRAW_DOT}) {
    MUST(blazen_workflow_draw(workflow, format, described.out(), error));
    release(described);
  }
  RunHandle run;
  MUST(blazen_run_create(life.runtime, workflow, nullptr, run.out(), error));
  const auto state_call = [&](blazen_error** error) {
    return blazen_run_on_state(run, BLAZEN_UNTIL_PAUSED, on_done, tokens.take("data of on_state"), drop,
                               error);
  };
  const blazen_status told = attempt(__LINE__, state_call);
  REQUIRE(told == BLAZEN_OK, told);
  MUST(blazen_run_start(run, nullptr, error));
  steer(life, run, false);
  STEERED(blazen_run_pause(run, BLAZEN_PAUSE_NOW, error));
  ValueHandle answer;
  MUST(blazen_value_json(BLAZEN_TEXT("42"), answer.out(), error));
  STEERED(blazen_run_respond(run, BLAZEN_TEXT("a question whose id is of more than sixteen bytes"), answer,
                             error));
  release(answer);
  ValueHandle description;
  MUST(blazen_run_describe(run, description.out(), error));
  SnapshotHandle snapshot;
  MUST(blazen_run_snapshot(run, snapshot.out(), error));
  STEERED(blazen_run_resume_in_place(run, error));
  steer(life, run, true);
  bool finished = !ended_without_memory(run);
  if (finished) {
    ValueHandle result;
    MUST(blazen_run_result(run, result.out(), error));
    REQUIRE(text_of(result) == "42", 0);
  }
  MUST(blazen_run_close(run, error));
  release(run);
  // The same from the cut in the middle, if it was one.
  if (finished) {
    MUST(blazen_run_resume(life.runtime, workflow, snapshot, nullptr, run.out(), error));
    MUST(blazen_run_start(run, nullptr, error));
    if (blazen_run_state_now(run) == BLAZEN_RUN_PAUSED) STEERED(blazen_run_resume_in_place(run, error));
    steer(life, run, true);
    finished = !ended_without_memory(run);
    REQUIRE(!finished || blazen_run_state_now(run) == BLAZEN_RUN_COMPLETED, blazen_run_state_now(run));
    MUST(blazen_run_close(run, error));
    release(run);
  }
  release(snapshot);
  release(workflow);
  return finished;
}

// ---- a run that is worked on from outside: its state, one invocation of it, a fork ----

blazen_status hang(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  blazen_invocation* invocation = nullptr;
  STEP_MUST(blazen_context_defer(context, &invocation, error));
  static_cast<Life*>(user_data)->deferred.store(invocation);
  return BLAZEN_PENDING;
}
blazen_status stop_after(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error));
  return BLAZEN_OK;
}

// Until its step hangs, or it is over.
void see_it_hang(Life& life, blazen_run* run) {
  for (int rounds = 0; rounds < 20000 && life.deferred.load() == nullptr && !is_over(run); ++rounds) {
    if (life.mode == BLAZEN_MODE_THREADS) {
      (void)ATTEMPT(blazen_run_wait(run, 1, nullptr, error));
      continue;
    }
    clock_ms.fetch_add(1);
    MUST(blazen_runtime_poll(life.runtime, 0, nullptr, error));
    while (run_task(life)) continue;
  }
}

void work_on_the_state(blazen_run* run) {
  ValueHandle value;
  MUST(blazen_value_json(BLAZEN_TEXT("[\"a value of more than sixteen bytes\"]"), value.out(), error));
  uint64_t version = 0;
  STEERED(blazen_run_compare_and_set(run, BLAZEN_TEXT("a key of more than sixteen bytes"), 0, value, &version,
                                     error));
  if (version == 0) return;  // it had ended
  REQUIRE(
      ATTEMPT(blazen_run_compare_and_set(run, BLAZEN_TEXT("a key of more than sixteen bytes"), version + 1,
                                         nullptr, nullptr, error)) == BLAZEN_ERROR_CONFLICT ||
          faults.fired.load(),
      0);
  BatchHandle batch;
  MUST(blazen_batch_create(batch.out(), error));
  MUST(blazen_batch_expect(batch, BLAZEN_TEXT("a key of more than sixteen bytes"), version, error));
  MUST(blazen_batch_set(batch, BLAZEN_TEXT("another key of more than sixteen bytes"), value, error));
  STEERED(blazen_run_apply(run, batch, error));
  ValueHandle found;
  MUST(blazen_run_get_value(run, BLAZEN_TEXT("a key of more than sixteen bytes"), found.out(), &version,
                            error));
  REQUIRE(text_of(found) == text_of(value), 0);
  KeysHandle keys;
  MUST(blazen_run_keys(run, BLAZEN_TEXT("a"), keys.out(), error));
  REQUIRE(blazen_keys_count(keys) == 2 || faults.fired.load(), static_cast<int>(blazen_keys_count(keys)));
  release(keys);
  release(found);
  release(batch);
}

// False: there was no memory in the middle of it.
bool work_from_outside_once(Life& life) {
  life.deferred.store(nullptr);
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("worked on"), builder.out(), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("hang"), BLAZEN_TEXT(BLAZEN_START_EVENT), hang,
                                        &life, nullptr, error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("stop"), BLAZEN_TEXT(BLAZEN_STEP_FAILED_EVENT),
                                        stop_after, nullptr, nullptr, error));
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  policy.max_attempts = 2;
  MUST(blazen_workflow_builder_step_retry(builder, BLAZEN_TEXT("hang"), &policy, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.run_id = "123e4567-e89b-42d3-a456-426614174000";
  options.run_id_length = 36;
  RunHandle run;
  MUST(blazen_run_create(life.runtime, workflow, &options, run.out(), error));
  MUST(blazen_run_start(run, nullptr, error));
  see_it_hang(life, run);
  work_on_the_state(run);
  SnapshotHandle snapshot;
  MUST(blazen_run_snapshot(run, snapshot.out(), error));
  // The second attempt may be here before the call is back.
  blazen_invocation* first = life.deferred.exchange(nullptr);
  STEERED(blazen_run_cancel_invocation(run, 1, 1, error));
  release_invocation(first);
  see_it_hang(life, run);
  if (!is_over(run)) STEERED(blazen_run_cancel_invocation(run, 1, 0, error));
  release_deferred(life);
  steer(life, run, true);
  bool finished = !ended_without_memory(run);
  REQUIRE(!finished || blazen_run_state_now(run) == BLAZEN_RUN_COMPLETED, blazen_run_state_now(run));
  MUST(blazen_run_close(run, error));
  release_deferred(life);
  release(run);
  if (finished) {
    options.run_id = nullptr;
    options.run_id_length = 0;
    options.fork = 1;
    MUST(blazen_run_resume(life.runtime, workflow, snapshot, &options, run.out(), error));
    MUST(blazen_run_start(run, nullptr, error));
    see_it_hang(life, run);
    if (!is_over(run)) STEERED(blazen_run_cancel_invocation(run, 1, 0, error));
    release_deferred(life);
    steer(life, run, true);
    finished = !ended_without_memory(run);
    REQUIRE(!finished || blazen_run_state_now(run) == BLAZEN_RUN_COMPLETED, blazen_run_state_now(run));
    MUST(blazen_run_close(run, error));
    release_deferred(life);
    release(run);
  }
  release(snapshot);
  release(workflow);
  return finished;
}

// ---- what no other life calls ----

// Answers "early" is there already; "later" has to be withdrawn, or fails the run.
blazen_status ask_two(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  const bool withdraws = *static_cast<const bool*>(user_data);
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = "an early answer, of more than sixteen bytes";
  question.request_id_length = std::strlen(question.request_id);
  ValueHandle answer;
  STEP_MUST(blazen_context_ask(context, &question, answer.out(), error));
  REQUIRE(text_of(answer) == "7", 0);
  release(answer);
  question.request_id = "a question that nobody answers";
  question.request_id_length = std::strlen(question.request_id);
  ValueHandle by_default;
  STEP_MUST(
      blazen_value_json(BLAZEN_TEXT("\"a default of more than sixteen bytes\""), by_default.out(), error));
  question.deadline_ms = BLAZEN_TIME_MS_MAX;
  question.default_answer = by_default;
  const blazen_status status = ATTEMPT(blazen_context_ask(context, &question, answer.out(), error));
  if (status == BLAZEN_PENDING) return status;
  REQUIRE(status == BLAZEN_ERROR_CANCELLED && (withdraws || faults.fired.load()), status);
  if (status == BLAZEN_ERROR_CANCELLED && !withdraws) return status;
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error));
  return BLAZEN_OK;
}

blazen_status hold(void* user_data, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  STEP_MUST(blazen_context_on_cancel(context, on_ready, tokens.take("data of on_cancel"), drop, error));
#ifdef __linux__
  int32_t descriptor = -1;
  STEP_MUST(blazen_context_cancel_descriptor(context, &descriptor, error));
#endif
  STEP_MUST(blazen_context_set_value(context, BLAZEN_TEXT("k"), blazen_event_value(event), error));
  ValueHandle object(make_live("a value of a session"));
  STEP_MUST(blazen_context_set_session(context, BLAZEN_TEXT("s"), object, error));
  int32_t has = 0;
  STEP_MUST(blazen_context_has_session(context, BLAZEN_TEXT("s"), &has, error));
  REQUIRE(has == 1, has);
  STEP_MUST(blazen_context_clear_values(context, error));
  return hang(user_data, context, nullptr, nullptr);
}

// Of a run that is over, for want of memory or not: closed, and everything of it let go of.
bool end_of(Life& life, RunHandle& run, blazen_run_state state) {
  const bool finished = !ended_without_memory(run);
  REQUIRE(!finished || blazen_run_state_now(run) == state, blazen_run_state_now(run));
  MUST(blazen_run_close(run, error));
  release_deferred(life);
  release(run);
  return finished;
}

void make_ready(Life& life, blazen_workflow* workflow, RunHandle& run) {
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  ValueHandle metadata;
  MUST(blazen_value_json(BLAZEN_TEXT("{\"a\": \"text of more than sixteen bytes\"}"), metadata.out(), error));
  options.metadata = metadata;
  MUST(blazen_run_create(life.runtime, workflow, &options, run.out(), error));
}

// False: there was no memory in the middle of it.
bool ask_once(Life& life, bool withdraws) {
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("asks"), builder.out(), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("ask"), BLAZEN_TEXT(BLAZEN_START_EVENT), ask_two,
                                        &withdraws, nullptr, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
  RunHandle run;
  make_ready(life, workflow, run);
  ValueHandle answer;
  MUST(blazen_value_json(BLAZEN_TEXT("7"), answer.out(), error));
  MUST(blazen_run_respond_early(run, BLAZEN_TEXT("an early answer, of more than sixteen bytes"), answer,
                                error));
  MUST(blazen_run_start(run, nullptr, error));
  steer(life, run, false);
  if (withdraws) {
    STEERED(blazen_run_withdraw_question(run, BLAZEN_TEXT("a question that nobody answers"), error));
  } else {
    ErrorHandle cause;
    {
      InLibrary inside;
      (void)blazen_error_host(7, BLAZEN_TEXT("nobody is there, in more than sixteen bytes"), nullptr,
                              cause.out());
    }
    STEERED(blazen_run_fail_question(run, BLAZEN_TEXT("a question that nobody answers"), cause, error));
    blazen_error_view view = BLAZEN_ERROR_VIEW_INIT;
    InLibrary inside;
    REQUIRE(blazen_error_read(cause, &view) == 1, 0);
  }
  steer(life, run, true);
  if (withdraws) return end_of(life, run, BLAZEN_RUN_COMPLETED);
  ErrorHandle why;
  ValueHandle result;
  {
    InLibrary inside;
    (void)blazen_run_result(run, result.out(), why.out());
  }
  const bool finished = !is_out_of_memory(why);
  REQUIRE(!finished || blazen_error_host_code(why) == 7, blazen_error_status(why));
  if (!finished) faults_off();
  MUST(blazen_run_close(run, error));
  release(run);
  return finished;
}

bool hold_once(Life& life, blazen_status (*end)(blazen_invocation*, blazen_error**)) {
  life.deferred.store(nullptr);
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("holds"), builder.out(), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("hold"), BLAZEN_TEXT(BLAZEN_START_EVENT), hold,
                                        &life, nullptr, error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("stop"), BLAZEN_TEXT(BLAZEN_STEP_FAILED_EVENT),
                                        stop_after, nullptr, nullptr, error));
  MUST(blazen_workflow_builder_step_emits(builder, BLAZEN_TEXT("stop"), BLAZEN_TEXT(BLAZEN_STOP_EVENT),
                                          error));
  MUST(blazen_workflow_builder_step_timeout(builder, BLAZEN_TEXT("hold"), 1'000'000'000, error));
  MUST(blazen_workflow_builder_set_timeout(builder, 1'000'000'000, error));
  MUST(blazen_workflow_builder_set_idle(builder, BLAZEN_IDLE_WAIT, error));
  MUST(blazen_workflow_builder_set_session_policy(builder, BLAZEN_SESSION_PICKLE_OR_ERROR, error));
  MUST(blazen_workflow_builder_set_session_on_pause(builder, BLAZEN_SESSION_KEEP, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
  RunHandle run;
  make_ready(life, workflow, run);
  MUST(blazen_run_start(run, nullptr, error));
  see_it_hang(life, run);
  blazen_runtime_counters counters = BLAZEN_RUNTIME_COUNTERS_INIT;
  MUST(blazen_runtime_count(life.runtime, &counters, error));
  if (life.mode == BLAZEN_MODE_PUMP) {
    int64_t delay_ms = 0;
    MUST(blazen_runtime_next_timer(life.runtime, &delay_ms, error));
#ifdef __linux__
    int32_t descriptor = -1;
    MUST(blazen_runtime_descriptor(life.runtime, &descriptor, error));
#endif
  }
  blazen_invocation* held = life.deferred.exchange(nullptr);
  if (end == nullptr) {
    STEERED(blazen_run_abort(run, error));
  } else if (held != nullptr) {
    STEERED(end(held, error));
  }
  release_invocation(held);
  if (end == blazen_invocation_complete && !is_over(run)) {  // it waits for an event then
    (void)ATTEMPT(blazen_run_wait_until(run, BLAZEN_UNTIL_WAITING, 10'000, nullptr, error));
    STEERED(blazen_run_abort(run, error));
    end = nullptr;
  }
  if (end != nullptr) steer(life, run, true);
  return end_of(life, run, end == nullptr ? BLAZEN_RUN_CANCELLED : BLAZEN_RUN_COMPLETED);
}

blazen_status fail_held(blazen_invocation* held, blazen_error** error) {
  ErrorHandle cause;
  (void)blazen_error_host(7, BLAZEN_TEXT("failed, in more than sixteen bytes"), nullptr, cause.out());
  return blazen_invocation_fail(held, cause, error);
}

// ---- a run with scopes: joins of every kind, within one another, cut in the middle ----

// The same for a child whose scope may be cancelled meanwhile.
#define CHILD_MUST(...)                               \
  do {                                                \
    const blazen_status must = ATTEMPT(__VA_ARGS__);  \
    if (must == BLAZEN_ERROR_CANCELLED) return must;  \
    REQUIRE(must == BLAZEN_OK && #__VA_ARGS__, must); \
    if (must != BLAZEN_OK) return must;               \
  } while (0)

// An event for later, or with a correlation, or both.
blazen_status emit_with(blazen_context* context, const char* type, const char* correlation, int64_t delay_ms,
                        blazen_value* value = nullptr) {
  blazen_event_options with = BLAZEN_EVENT_OPTIONS_INIT;
  with.correlation = correlation;
  with.correlation_length = std::strlen(correlation);
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = delay_ms;
  EventHandle event;
  CHILD_MUST(blazen_event_create(type, std::strlen(type), value, &with, event.out(), error));
  CHILD_MUST(blazen_context_emit_event(context, event, &later, error));
  return BLAZEN_OK;
}

constexpr int64_t kNever = 1'000'000'000;

blazen_status open_scopes(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  EventHandle event;
  STEP_MUST(blazen_event_create(BLAZEN_TEXT("Race"), nullptr, nullptr, event.out(), error));
  STEP_MUST(blazen_context_send_event(context, event, nullptr, error));
  release(event);
  for (const char* type : {"Race", "Groups", "Slow", "Ask"})
    STEP_MUST(blazen_context_emit_json(context, type, std::strlen(type), BLAZEN_TEXT("1"), error));
  return BLAZEN_OK;
}

// One wins; the others are queued, delayed, deferred, asked, or in a scope inside.
blazen_status race(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  ValueHandle live(make_live("value of an event that is cancelled"));
  if (const blazen_status status = emit_with(context, "Run", "", kNever, live); status != BLAZEN_OK)
    return status;
  release(live);
  for (const char* type : {"Nest", BLAZEN_INPUT_REQUEST_EVENT, "Run", "Run"})
    STEP_MUST(blazen_context_emit_json(context, type, std::strlen(type), BLAZEN_TEXT("{}"), error));
  const bool is_first = blazen_event_value(event) == nullptr || text_of(blazen_event_value(event)) != "1";
  if (is_first) STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Hang"), nullptr, error));
  return BLAZEN_OK;
}

blazen_status nest(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  ValueHandle live(make_live("value of an event in a scope inside"));
  return emit_with(context, "Run", "", kNever, live);
}

blazen_status hang_in_scope(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  blazen_invocation* invocation = nullptr;
  CHILD_MUST(blazen_context_defer(context, &invocation, error));
  static_cast<Life*>(user_data)->deferred.store(invocation);
  return BLAZEN_PENDING;
}

blazen_status run_for_it(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  CHILD_MUST(blazen_context_emit(context, BLAZEN_TEXT("Finish"), nullptr, error));
  return BLAZEN_OK;
}

blazen_status group(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  for (const char* correlation : {"a correlation of more than sixteen bytes", "b", "b"})
    if (const blazen_status status = emit_with(context, "Member", correlation, 0); status != BLAZEN_OK)
      return status;
  return BLAZEN_OK;
}

blazen_status be_slow(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  ValueHandle live(make_live("value of an event that comes too late"));
  return emit_with(context, "Slowly", "", kNever, live);
}

// Of a join, or of one who handles a failure.
blazen_status win(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  const blazen_event* const* events = nullptr;
  size_t count = 0;
  STEP_MUST(blazen_context_events(context, &events, &count, error));
  blazen_join_info info = BLAZEN_JOIN_INFO_INIT;
  STEP_MUST(blazen_context_join_info(context, &info, error));
  REQUIRE(count == 1 || count == 2, static_cast<int>(count));
  if (count == 0) return BLAZEN_ERROR_INTERNAL;
  REQUIRE(events[count - 1] == blazen_context_event(context), 0);
  REQUIRE((info.reason == BLAZEN_JOIN_REASON_NONE) == (user_data != nullptr), info.reason);
  REQUIRE(blazen_context_scope_id(context) == 1 || faults.fired.load(), 0);
  STEP_MUST(blazen_context_collect(context, BLAZEN_TEXT("wins"), nullptr, nullptr, nullptr, 0, error));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Won"), nullptr, error));
  return BLAZEN_OK;
}

constexpr int kWins = 7;

blazen_status ask_and_win(void*, blazen_context* context, const blazen_event* event, blazen_error** error) {
  const blazen_status status = ask_human(nullptr, context, event, error);
  if (status != BLAZEN_OK) return status;
  InTest test;
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Won"), nullptr, error));
  return BLAZEN_OK;
}

// It asks while it has its group.
blazen_status win_all(void*, blazen_context* context, const blazen_event* event, blazen_error** error) {
  const blazen_status status = ask_human(nullptr, context, event, error);
  if (status != BLAZEN_OK) return status;
  InTest test;
  const blazen_event* const* events = nullptr;
  size_t count = 0;
  STEP_MUST(blazen_context_events(context, &events, &count, error));
  REQUIRE(count == kWins, static_cast<int>(count));
  for (size_t i = 0; i < count; ++i) REQUIRE(type_of(events[i]) == "Won", static_cast<int>(i));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error));
  return BLAZEN_OK;
}

void build_scopes(Life& life, WorkflowHandle& workflow) {
  BuilderHandle builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("joined"), builder.out(), error));
  const auto add = [&](const char* name, const char* accepts, blazen_step_fn body, void* data = nullptr) {
    MUST(blazen_workflow_builder_add_step(builder, name, std::strlen(name), accepts, std::strlen(accepts),
                                          body, data, nullptr, error));
  };
  const auto joins = [&](const char* name, const char* of, const auto& set) {
    blazen_join_options how;
    blazen_join_options_init(&how, sizeof how);
    how.of = of;
    how.of_length = std::strlen(of);
    set(how);
    MUST(blazen_workflow_builder_step_joins(builder, name, std::strlen(name), &how, error));
  };
  add("start", BLAZEN_START_EVENT, open_scopes);
  add("race", "Race", race);
  add("run", "Run", run_for_it);
  add("hang", "Hang", hang_in_scope, &life);
  add("nest", "Nest", nest);
  add("group", "Groups", group);
  add("slow", "Slow", be_slow);
  add("ask", "Ask", ask_and_win);
  add("mend", BLAZEN_STEP_FAILED_EVENT, win, &life);
  add("finish", "Finish", win);
  joins("finish", "race", [](auto& how) {
    how.mode = BLAZEN_JOIN_ANY;
    how.cancel_rest = 1;
  });
  add("never", "Never", win);
  joins("never", "nest", [](auto&) {});
  add("by event", "Member", win);
  joins("by event", "group", [](auto& how) {
    how.mode = BLAZEN_JOIN_FIRST_N;
    how.n = 2;
    how.correlation = BLAZEN_JOIN_CORRELATION_BY_EVENT;
  });
  add("in time", "Slowly", win);
  joins("in time", "slow", [](auto& how) {
    how.deadline_ms = 3;
    how.at_deadline = BLAZEN_JOIN_DEADLINE_FAIL;
  });
  add("all", "Won", win_all);
  joins("all", "start", [](auto& how) { how.ordered = 1; });
  MUST(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_SCOPES, 16, error));
  MUST(blazen_workflow_builder_set_session_policy(builder, BLAZEN_SESSION_WARN_DROP, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
}

// Whoever asks is answered.
void answer_human(blazen_run* run) {
  ValueHandle answer;
  MUST(blazen_value_json(BLAZEN_TEXT("42"), answer.out(), error));
  STEERED(blazen_run_respond(run, BLAZEN_TEXT("a question whose id is of more than sixteen bytes"), answer,
                             error));
}

// Until that question is open, or the run is over: the one that the races ask comes and goes.
void see_it_ask(Life& life, blazen_run* run) {
  for (int rounds = 0; rounds < 20000 && !is_over(run); ++rounds) {
    ValueHandle open;
    MUST(blazen_run_questions(run, open.out(), error));
    if (text_of(open).find("a question whose id") != std::string_view::npos) return;
    if (life.mode == BLAZEN_MODE_THREADS) {
      (void)ATTEMPT(blazen_run_wait(run, 1, nullptr, error));
      continue;
    }
    clock_ms.fetch_add(1);
    MUST(blazen_runtime_poll(life.runtime, 0, nullptr, error));
    while (run_task(life)) continue;
  }
}

// Questions that are to be answered yet. False: there was no memory in the middle of it.
bool finish_joined(Life& life, RunHandle& run, int questions) {
  for (; questions > 0; --questions) {
    see_it_ask(life, run);
    if (!is_over(run)) answer_human(run);
  }
  steer(life, run, true);
  return end_of(life, run, BLAZEN_RUN_COMPLETED);
}

bool resume_joined(Life& life, blazen_workflow* workflow, blazen_snapshot* snapshot, int questions) {
  RunHandle run;
  MUST(blazen_run_resume(life.runtime, workflow, snapshot, nullptr, run.out(), error));
  SnapshotHandle again;
  MUST(blazen_run_snapshot(run, again.out(), error));
  MUST(blazen_run_start(run, nullptr, error));
  return finish_joined(life, run, questions);
}

bool join_once(Life& life) {
  life.deferred.store(nullptr);
  WorkflowHandle workflow;
  build_scopes(life, workflow);
  RunHandle run;
  MUST(blazen_run_create(life.runtime, workflow, nullptr, run.out(), error));
  probe->watch(run);
  StreamHandle listener = listen(run);
  MUST(blazen_run_start(run, nullptr, error));
  see_it_ask(life, run);
  EventHandle event;
  blazen_send_options to = BLAZEN_SEND_OPTIONS_INIT;
  to.scope = 1;
  MUST(blazen_event_create(BLAZEN_TEXT("Won"), nullptr, nullptr, event.out(), error));
  STEERED(blazen_run_send_event(run, event, &to, error));
  release(event);
  SnapshotHandle asking;
  MUST(blazen_run_snapshot(run, asking.out(), error));
  if (!is_over(run)) answer_human(run);
  see_it_ask(life, run);
  SnapshotHandle joining;
  MUST(blazen_run_snapshot(run, joining.out(), error));
  probe->watch(nullptr);
  bool finished = finish_joined(life, run, 1);
  read_news(listener);
  release(listener);
  // The same from the cuts in the middle, if they were that.
  if (finished) finished = resume_joined(life, workflow, asking, 2);
  if (finished) finished = resume_joined(life, workflow, joining, 1);
  release(asking);
  release(joining);
  release(workflow);
  return finished;
}

// ---- a run that others are inside of: children, several at once, questions of theirs, cuts in the middle ----

BuilderHandle begin_workflow(const char* name) {
  BuilderHandle builder;
  MUST(blazen_workflow_builder_create(name, std::strlen(name), builder.out(), error));
  MUST(blazen_workflow_builder_set_session_policy(builder, BLAZEN_SESSION_WARN_DROP, error));
  return builder;
}

void add_body(BuilderHandle& builder, const char* name, const char* accepts, blazen_step_fn body,
              void* data = nullptr) {
  MUST(blazen_workflow_builder_add_step(builder, name, std::strlen(name), accepts, std::strlen(accepts), body,
                                        data, nullptr, error));
}

// Of one step.
WorkflowHandle build_one(const char* name, blazen_step_fn body, void* data = nullptr) {
  BuilderHandle builder = begin_workflow(name);
  WorkflowHandle workflow;
  add_body(builder, "the step of a child", BLAZEN_START_EVENT, body, data);
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
  return workflow;
}

int number_of(const blazen_event* event) { return std::atoi(text_of(blazen_event_value(event)).data()); }

blazen_status answer_number(blazen_context* context, int number) {
  char text[64];
  std::snprintf(text, sizeof text, "%d                                 ", number);
  ValueHandle value;
  CHILD_MUST(blazen_value_json(text, std::strlen(text), value.out(), error));
  CHILD_MUST(blazen_context_answer(context, value, error));
  return BLAZEN_OK;
}

blazen_status add_one(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  char text[16];
  std::snprintf(text, sizeof text, "%d", number_of(event) + 1);
  CHILD_MUST(
      blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), text, std::strlen(text), error));
  return BLAZEN_OK;
}

blazen_status map_one(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  return answer_number(context, number_of(event) + 10);
}

blazen_status fail_with_detail(void*, blazen_context*, const blazen_event*, blazen_error** error) {
  InTest test;
  ValueHandle detail;
  MUST(blazen_value_json(BLAZEN_TEXT("{\"why\": [\"a text of more than sixteen bytes\", 1]}"), detail.out(),
                         error));
  InLibrary inside;
  return blazen_error_host(7, BLAZEN_TEXT("no luck in this branch, \"whatever\" it tries"), detail, error);
}

blazen_status fail_once(void* user_data, blazen_context* context, const blazen_event* event,
                        blazen_error** error) {
  if (static_cast<Life*>(user_data)->failed.fetch_add(1) == 0)
    return fail_with_detail(user_data, context, event, error);
  return add_one(user_data, context, event, error);
}

// Its result is an object of the host.
blazen_status give_object(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  ValueHandle object(make_live("result of a child"));
  CHILD_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), object, error));
  return BLAZEN_OK;
}

// Writes, publishes, asks, and ends with the answer.
blazen_status ask_inside(void*, blazen_context* context, const blazen_event* event, blazen_error** error) {
  {
    InTest test;
    EventHandle item;
    STEP_MUST(blazen_context_set_json(context, BLAZEN_TEXT("k"), BLAZEN_TEXT("\"of a child\""), error));
    STEP_MUST(blazen_event_create(BLAZEN_TEXT("Progress"), nullptr, nullptr, item.out(), error));
    STEP_MUST(blazen_context_publish(context, item, error));
    STEP_MUST(
        blazen_context_progress(context, BLAZEN_TEXT("a label of more than sixteen bytes"), 1, 3, error));
    release(item);
  }
  const blazen_status status = ask_human(nullptr, context, event, error);
  if (status != BLAZEN_OK) return status;
  InTest test;
  ValueHandle answer;
  STEP_MUST(blazen_context_get_value(context, BLAZEN_TEXT("answer"), answer.out(), nullptr, error));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), answer, error));
  return BLAZEN_OK;
}

// It hangs, with objects of the host in its session and in an event that never comes.
blazen_status hang_inside(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  ValueHandle object(make_live("a value of the session of a child"));
  CHILD_MUST(blazen_context_set_session(context, BLAZEN_TEXT("object"), object, error));
  release(object);
  EventHandle event;
  ValueHandle late(make_live("a value of an event of a child"));
  CHILD_MUST(blazen_event_create(BLAZEN_TEXT("Never"), late, nullptr, event.out(), error));
  release(late);
  blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
  later.delay_ms = kNever;
  CHILD_MUST(blazen_context_send_event(context, event, &later, error));
  release(event);
  CHILD_MUST(
      blazen_context_on_cancel(context, on_ready, tokens.take("data of on_cancel of a child"), drop, error));
  blazen_invocation* invocation = nullptr;
  CHILD_MUST(blazen_context_defer(context, &invocation, error));
  release_invocation(static_cast<Life*>(user_data)->deferred.exchange(invocation));
  return BLAZEN_PENDING;
}

// What a run has inside: each part of a life costs the square of what it allocates.
enum class Inside { hosts, branches, asks };
struct Plan {
  Inside inside;
  std::initializer_list<const char*> opens;  // event types
  bool carries = false;                      // its cut goes by way of who has not all of it
};
constexpr Plan kPlans[] = {{Inside::hosts, {"One", "Again", "Object"}},
                           {Inside::branches, {"All", "Any"}},
                           {Inside::branches, {"None", "Broken"}},
                           {Inside::asks, {"Hang", "Ask"}},
                           {Inside::asks, {"Hang", "Ask"}, true}};
constexpr uint64_t kHangs = 2;  // its invocation

blazen_status open_children(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  for (const char* type : static_cast<const Plan*>(user_data)->opens)
    STEP_MUST(blazen_context_emit_json(context, type, std::strlen(type), BLAZEN_TEXT("1"), error));
  return BLAZEN_OK;
}

blazen_status count_children(void* user_data, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  const blazen_event* const* events = nullptr;
  size_t count = 0;
  STEP_MUST(blazen_context_events(context, &events, &count, error));
  REQUIRE(count == static_cast<const Plan*>(user_data)->opens.size(), static_cast<int>(count));
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error));
  return BLAZEN_OK;
}

blazen_status mend_child(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  STEP_MUST(blazen_context_emit(context, BLAZEN_TEXT("Won"), nullptr, error));
  return BLAZEN_OK;
}

blazen_mapper mapper(blazen_step_fn body) { return {body, tokens.take("data of a mapper"), drop, 0}; }

// Whatever it answers, the mappers are dropped once: the call is tried with others.
template <class Options, class Call>
void add_with(Options options, Call call) {
  const auto attempted = [&](blazen_error** error) {
    Options own = options;
    if (own.input.body != nullptr) own.input = mapper(own.input.body);
    if (own.output.body != nullptr) own.output = mapper(own.output.body);
    return call(own, error);
  };
  const blazen_status status = attempt(__LINE__, attempted);
  REQUIRE(status == BLAZEN_OK, status);
}

struct Inner {
  WorkflowHandle adds, fails, gives, fails_once, hangs, hangs_deeper, asks, asks_deeper;

  void build(Life& life, Inside inside) {
    if (inside != Inside::asks) adds = build_one("adds", add_one);
    if (inside == Inside::branches) fails = build_one("fails", fail_with_detail);
    if (inside == Inside::hosts) {
      gives = build_one("gives", give_object);
      fails_once = build_one("fails once", fail_once, &life);
    }
    if (inside == Inside::asks) {
      hangs = build_one("hangs", hang_inside, &life);
      hangs_deeper = around("a workflow around one that hangs", hangs);
      build_asks();
    }
  }
  void build_asks() {
    asks = build_one("asks", ask_inside);
    asks_deeper = around("a workflow around one that asks", asks);
  }
  ~Inner() {
    for (WorkflowHandle* each :
         {&adds, &fails, &gives, &fails_once, &hangs, &hangs_deeper, &asks, &asks_deeper})
      release(*each);
  }

 private:
  static WorkflowHandle around(const char* name, blazen_workflow* inner) {
    BuilderHandle builder = begin_workflow(name);
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    options.output_type = BLAZEN_STOP_EVENT;
    options.output_type_length = std::strlen(BLAZEN_STOP_EVENT);
    MUST(blazen_workflow_builder_add_workflow(builder, BLAZEN_TEXT("a step around a child"),
                                              BLAZEN_TEXT(BLAZEN_START_EVENT), inner, &options, error));
    WorkflowHandle workflow;
    MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
    release(builder);
    return workflow;
  }
};

// asks_here: or the branch that asks is elsewhere.
void build_children(const Inner& inner, const Plan& plan, bool asks_here, WorkflowHandle& workflow) {
  BuilderHandle builder = begin_workflow("a workflow with children");
  const auto child = [&](const char* name, const char* accepts, blazen_workflow* its, blazen_step_fn input,
                         blazen_step_fn output) {
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    options.output_type = "Won";
    options.output_type_length = 3;
    options.input.body = input;
    options.output.body = output;
    add_with(options, [&](const blazen_child_options& own, blazen_error** error) {
      return blazen_workflow_builder_add_workflow(builder, name, std::strlen(name), accepts,
                                                  std::strlen(accepts), its, &own, error);
    });
  };
  const auto several = [&](const char* name, const char* accepts,
                           std::initializer_list<blazen_branch> branches, bool first_success) {
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    options.output_type = "Won";
    options.output_type_length = 3;
    options.first_success = first_success ? 1 : 0;
    add_with(options, [&](const blazen_child_options& own, blazen_error** error) {
      return blazen_workflow_builder_add_workflows(builder, name, std::strlen(name), accepts,
                                                   std::strlen(accepts), branches.begin(), branches.size(),
                                                   &own, error);
    });
  };
  auto* const data = const_cast<Plan*>(&plan);
  add_body(builder, "start", BLAZEN_START_EVENT, open_children, data);
  switch (plan.inside) {
    case Inside::hosts: {
      child("one child, with mappers", "One", inner.adds, map_one, map_one);
      child("again", "Again", inner.fails_once, nullptr, nullptr);
      child("object", "Object", inner.gives, nullptr, nullptr);
      child("itself", "Never", nullptr, nullptr, nullptr);
      blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
      policy.max_attempts = 3;
      policy.initial_delay_ms = 1;
      MUST(blazen_workflow_builder_step_retry(builder, BLAZEN_TEXT("again"), &policy, error));
      MUST(blazen_workflow_builder_set_limit(builder, BLAZEN_LIMIT_CHILD_DEPTH, 3, error));
      break;
    }
    case Inside::branches:
      if (plan.opens.begin()[0] == std::string_view("All")) {
        several("all", "All", {{"left", 4, inner.adds, 0}, {"a branch of a longer name", 25, inner.adds, 0}},
                false);
        several("any", "Any", {{"bad", 3, inner.fails, 0}, {"good", 4, inner.adds, 0}}, true);
      } else {
        several("none", "None", {{"bad", 3, inner.fails, 0}, {"worse", 5, inner.fails, 0}}, true);
        several("broken", "Broken", {{"good", 4, inner.adds, 0}, {"bad", 3, inner.fails, 0}}, false);
      }
      break;
    case Inside::asks:
      child("hang", "Hang", inner.hangs_deeper, nullptr, nullptr);
      several("ask", "Ask", {{"b", 1, asks_here ? inner.asks_deeper.get() : nullptr, asks_here ? 0 : 1}},
              false);
      MUST(blazen_workflow_builder_step_timeout(builder, BLAZEN_TEXT("hang"), kNever, error));
      break;
  }
  add_body(builder, "mend", BLAZEN_STEP_FAILED_EVENT, mend_child);
  add_body(builder, "end", "Won", count_children, data);
  blazen_join_options how = BLAZEN_JOIN_OPTIONS_INIT;
  how.of = "start";
  how.of_length = 5;
  MUST(blazen_workflow_builder_step_joins(builder, BLAZEN_TEXT("end"), &how, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  release(builder);
}

// The id of the question that is open, which has that of the child before it; "": the run is over, or its child had no
// memory.
struct QuestionId {
  char text[200] = "";
  size_t length = 0;
};

bool turn_tree(Life& life, blazen_run* run) {
  if (life.mode == BLAZEN_MODE_THREADS) {
    (void)ATTEMPT(blazen_run_wait(run, 1, nullptr, error));
  } else {
    clock_ms.fetch_add(1);
    MUST(blazen_runtime_poll(life.runtime, 0, nullptr, error));
    while (run_task(life)) continue;
  }
  return !is_over(run);
}

// Rounds for what is said once more in a while, where there was no memory for it.
int rounds_with_memory() { return faults.fired.load() ? 150 : 20000; }

QuestionId see_it_ask_inside(Life& life, blazen_run* run) {
  QuestionId id;
  for (int rounds = 0; rounds < rounds_with_memory() && turn_tree(life, run); ++rounds) {
    ValueHandle open;
    MUST(blazen_run_questions(run, open.out(), error));
    const std::string_view text = text_of(open);
    const size_t end = text.find("a question whose id is of more than sixteen bytes\"");
    if (end == std::string_view::npos) continue;
    const size_t first = text.rfind('"', end) + 1;
    id.length = text.find('"', first) - first;
    std::memcpy(id.text, text.data() + first, std::min(id.length, sizeof id.text - 1));
    return id;
  }
  REQUIRE(faults.fired.load(), blazen_run_state_now(run));
  return id;
}

void see_it_hang_inside(Life& life, blazen_run* run) {
  for (int rounds = 0;
       rounds < rounds_with_memory() && life.deferred.load() == nullptr && turn_tree(life, run); ++rounds)
    continue;
}

void look_into_child(blazen_run* run, const QuestionId& id) {
  RunHandle child;
  const blazen_status found = ATTEMPT(blazen_run_child(run, id.text, 36, child.out(), error));
  REQUIRE(found == BLAZEN_OK || faults.fired.load(), found);
  if (found != BLAZEN_OK) return;
  ValueHandle value;
  MUST(blazen_run_get_value(child, BLAZEN_TEXT("k"), value.out(), nullptr, error));
  REQUIRE(text_of(value) == "\"of a child\"", 0);
  KeysHandle keys;
  MUST(blazen_run_keys(child, BLAZEN_TEXT(""), keys.out(), error));
  release(keys);
  MUST(blazen_run_describe(child, value.out(), error));
  SnapshotHandle none;
  REQUIRE(ATTEMPT(blazen_run_snapshot(child, none.out(), error)) == BLAZEN_ERROR_WRONG_PLACE, 0);
  release(value);
  release(child);
}

void answer_inside(blazen_run* run, const QuestionId& id) {
  ValueHandle answer;
  MUST(blazen_value_json(BLAZEN_TEXT("42"), answer.out(), error));
  const blazen_status answered = ATTEMPT(blazen_run_respond(run, id.text, id.length, answer, error));
  REQUIRE(answered == BLAZEN_OK || faults.fired.load(), answered);
}

// What was asked is answered, what hangs is cancelled, and the run comes to its end. False: there was no memory.
bool finish_tree(Life& life, RunHandle& run, const Plan& plan) {
  if (plan.inside == Inside::asks) {
    const QuestionId id = see_it_ask_inside(life, run);
    if (id.length != 0) {
      look_into_child(run, id);
      answer_inside(run, id);
    }
    see_it_hang_inside(life, run);
    // Where it had no memory, its step has failed already.
    const blazen_status cancelled = ATTEMPT(blazen_run_cancel_invocation(run, kHangs, 0, error));
    REQUIRE(cancelled == BLAZEN_OK || faults.fired.load(), cancelled);
    release_deferred(life);
  }
  for (int rounds = 0; rounds < 20000 && turn_tree(life, run); ++rounds) {
    ValueHandle description;
    MUST(blazen_run_describe(run, description.out(), error));
  }
  REQUIRE(is_over(run), blazen_run_state_now(run));
  return end_of(life, run, BLAZEN_RUN_COMPLETED);
}

bool resume_tree(Life& life, blazen_workflow* workflow, blazen_snapshot* snapshot, bool is_fork,
                 const Plan& plan) {
  RunHandle run;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.fork = is_fork ? 1 : 0;
  MUST(blazen_run_resume(life.runtime, workflow, snapshot, &options, run.out(), error));
  SnapshotHandle again;
  MUST(blazen_run_snapshot(run, again.out(), error));
  release(again);
  MUST(blazen_run_start(run, nullptr, error));
  return finish_tree(life, run, plan);
}

// Where the branch that asks is elsewhere: its run goes into the next snapshot as it came. NULL: there was no memory.
SnapshotHandle carry_on(Life& life, blazen_workflow* without, blazen_snapshot* snapshot) {
  RunHandle run;
  SnapshotHandle carried;
  MUST(blazen_run_resume(life.runtime, without, snapshot, nullptr, run.out(), error));
  MUST(blazen_run_start(run, nullptr, error));
  see_it_hang_inside(life, run);
  ValueHandle open;
  MUST(blazen_run_questions(run, open.out(), error));
  MUST(blazen_run_describe(run, open.out(), error));
  MUST(blazen_run_snapshot(run, carried.out(), error));
  if (is_over(run)) {
    REQUIRE(ended_without_memory(run) || faults.fired.load(), blazen_run_state_now(run));
    release(carried);
  }
  MUST(blazen_run_close(run, error));
  release_deferred(life);
  release(run);
  return carried;
}

// Until it asks; of the others, until it is in the middle.
void see_it_begun(Life& life, blazen_run* run, bool asks) {
  constexpr int kBodies = 6;
  if (asks) {
    (void)see_it_ask_inside(life, run);
  } else if (life.mode == BLAZEN_MODE_PUMP) {
    MUST(blazen_runtime_poll(life.runtime, kBodies, nullptr, error));
  } else {
    for (int i = 0; i < kBodies && life.mode == BLAZEN_MODE_EXECUTOR; ++i) (void)run_task(life);
  }
}

bool nest_once(Life& life, const Plan& plan) {
  life.deferred.store(nullptr);
  life.failed.store(0);
  Inner inner;
  inner.build(life, plan.inside);
  WorkflowHandle workflow;
  build_children(inner, plan, true, workflow);
  RunHandle run;
  MUST(blazen_run_create(life.runtime, workflow, nullptr, run.out(), error));
  probe->watch(run);
  StreamHandle stream = listen(run, plan.inside == Inside::branches);
  MUST(blazen_run_start(run, nullptr, error));
  see_it_begun(life, run, plan.inside == Inside::asks);
  if (plan.inside == Inside::asks) see_it_hang_inside(life, run);
  STEERED(blazen_run_pause(run, BLAZEN_PAUSE_NOW, error));
  ValueHandle described;
  MUST(blazen_workflow_describe(workflow, described.out(), error));
  MUST(blazen_run_describe(run, described.out(), error));
  SnapshotHandle cut;
  MUST(blazen_run_snapshot(run, cut.out(), error));
  MUST(blazen_snapshot_info(cut, described.out(), error));
  release(described);
  MUST(blazen_run_snapshot_to(run, take_piece, tokens.take("pieces"), drop_token, error));
  STEERED(blazen_run_resume_in_place(run, error));
  probe->watch(nullptr);
  bool finished = finish_tree(life, run, plan);
  read_news(stream);
  release(stream);
  // The same from the cut in the middle, if it was that, here and by way of who has not all of it.
  size_t length = 0;
  const void* data = blazen_snapshot_data(cut, &length);
  SnapshotHandle parsed;
  MUST(blazen_snapshot_parse(data, length, parsed.out(), error));
  if (finished && !plan.carries) finished = resume_tree(life, workflow, parsed, true, plan);
  if (finished && plan.carries) {
    WorkflowHandle without;
    build_children(inner, plan, false, without);
    SnapshotHandle carried = carry_on(life, without, cut);
    finished = carried.get() != nullptr && resume_tree(life, workflow, carried, false, plan);
    release(carried);
    release(without);
  }
  release(parsed);
  release(cut);
  release(workflow);
  return finished;
}

// ---- a pipeline of every kind of stage ----

blazen_status is_even(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  ValueHandle verdict;
  const char* word = number_of(event) % 2 == 0 ? "true" : "false";
  STEP_MUST(blazen_value_json(word, std::strlen(word), verdict.out(), error));
  STEP_MUST(blazen_context_answer(context, verdict, error));
  ValueHandle again;
  REQUIRE(ATTEMPT(blazen_context_answer(context, verdict, error)) == BLAZEN_ERROR_CONFLICT, 0);
  return BLAZEN_OK;
}

// Until it is more than 50.
blazen_status until_big(void*, blazen_context* context, const blazen_event* event, blazen_error**) {
  InTest test;
  ValueHandle verdict;
  const char* word = number_of(event) > 50 ? "\"done\"" : "\"again\"";
  STEP_MUST(blazen_value_json(word, std::strlen(word), verdict.out(), error));
  STEP_MUST(blazen_context_answer(context, verdict, error));
  return BLAZEN_OK;
}

blazen_status be_fifty(void*, blazen_context* context, const blazen_event*, blazen_error**) {
  InTest test;
  return answer_number(context, 50);
}

enum class Stages { one_by_one, at_once, rounds };

void build_pipeline(const Inner& inner, Stages kind, WorkflowHandle& workflow) {
  PipelineBuilderHandle builder;
  MUST(blazen_pipeline_builder_create(BLAZEN_TEXT("a pipeline of a longer name"), builder.out(), error));
  MUST(blazen_pipeline_builder_set_timeout(builder, kNever, error));
  MUST(blazen_pipeline_builder_set_stage_timeout(builder, kNever, error));
  MUST(blazen_pipeline_builder_set_session_policy(builder, BLAZEN_SESSION_WARN_DROP, error));
  MUST(blazen_pipeline_builder_set_limit(builder, BLAZEN_LIMIT_CHILDREN, 100, error));
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  policy.max_attempts = 2;
  const auto add = [&](blazen_stage_options options, auto call) {
    options.retry = &policy;
    add_with(options, [&](blazen_stage_options& own, blazen_error** error) {
      if (own.condition.body != nullptr) own.condition = mapper(own.condition.body);
      if (own.until.body != nullptr) own.until = mapper(own.until.body);
      return call(own, error);
    });
  };
  const blazen_branch two[] = {{"left", 4, inner.adds, 0}, {"a branch of a longer name", 25, inner.adds, 0}};
  const blazen_branch race[] = {{"bad", 3, inner.fails, 0}, {"good", 4, inner.gives, 0}};
  blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
  switch (kind) {
    case Stages::one_by_one:
      options.condition.body = is_even;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_stage(builder, BLAZEN_TEXT("one that is skipped"), inner.fails,
                                                 &own, error);
      });
      options = BLAZEN_STAGE_OPTIONS_INIT;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_stage(builder, BLAZEN_TEXT("ask"), inner.asks_deeper, &own, error);
      });
      options.condition.body = is_even;
      options.input.body = map_one;
      options.output.body = map_one;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_stage(builder, BLAZEN_TEXT("one"), inner.adds, &own, error);
      });
      break;
    case Stages::at_once:
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_parallel(builder, BLAZEN_TEXT("a stage of several at once"), two,
                                                    2, &own, error);
      });
      options.first_success = 1;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_parallel(builder, BLAZEN_TEXT("race"), race, 2, &own, error);
      });
      break;
    case Stages::rounds:
      options.until.body = until_big;
      options.input.body = be_fifty;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_loop(builder, BLAZEN_TEXT("loop"), inner.adds, 5, &own, error);
      });
      options = BLAZEN_STAGE_OPTIONS_INIT;
      options.first_success = 1;
      options.done_at_bound = 1;
      add(options, [&](const blazen_stage_options& own, blazen_error** error) {
        return blazen_pipeline_builder_add_parallel_loop(builder, BLAZEN_TEXT("rounds of several"), two, 1, 2,
                                                         &own, error);
      });
      break;
  }
  MUST(blazen_pipeline_builder_build(builder, workflow.out(), error));
  release(builder);
}

bool finish_pipeline(Life& life, RunHandle& run, Stages kind) {
  ValueHandle stages;
  if (kind == Stages::one_by_one) {
    const QuestionId id = see_it_ask_inside(life, run);
    MUST(blazen_run_stages(run, stages.out(), error));
    constexpr std::string_view kSkipped = "\"one that is skipped\",\"status\":\"skipped\"";
    REQUIRE(text_of(stages).find(kSkipped) != std::string_view::npos || faults.fired.load(), 0);
    if (id.length != 0) answer_inside(run, id);
  }
  for (int rounds = 0; rounds < 20000 && turn_tree(life, run); ++rounds) {
    MUST(blazen_run_stages(run, stages.out(), error));
    if (rounds % 200 != 199 || blazen_run_state_now(run) != BLAZEN_RUN_ASKING) continue;
    // The run that asked had no memory later, and its stage is tried again.
    REQUIRE(faults.fired.load(), 0);
    answer_inside(run, see_it_ask_inside(life, run));
  }
  REQUIRE(is_over(run), blazen_run_state_now(run));
  MUST(blazen_run_stages(run, stages.out(), error));
  if (blazen_run_state_now(run) == BLAZEN_RUN_COMPLETED) {
    ValueHandle result;
    MUST(blazen_run_result(run, result.out(), error));
    const std::string_view text = text_of(result).substr(0, 2);
    // An object of the host, or what is left of it where it was in a snapshot.
    if (kind == Stages::at_once) REQUIRE(text.empty() || text == "nu", 0);
    if (kind != Stages::at_once) REQUIRE(text == (kind == Stages::one_by_one ? "63" : "53"), 0);
    REQUIRE(text_of(stages).find("\"percent\":100.0") != std::string_view::npos, 0);
  }
  release(stages);
  return end_of(life, run, BLAZEN_RUN_COMPLETED);
}

bool pipe_once(Life& life, Stages kind) {
  life.deferred.store(nullptr);
  Inner inner;
  inner.build(life, Inside::branches);
  if (kind == Stages::at_once) inner.gives = build_one("gives", give_object);
  if (kind == Stages::one_by_one) inner.build_asks();
  WorkflowHandle workflow;
  build_pipeline(inner, kind, workflow);
  RunHandle run;
  MUST(blazen_run_create(life.runtime, workflow, nullptr, run.out(), error));
  ValueHandle stages;
  MUST(blazen_run_stages(run, stages.out(), error));
  release(stages);
  probe->watch(run);
  StreamHandle stream = listen(run);
  ValueHandle input;
  MUST(blazen_value_json(BLAZEN_TEXT("1"), input.out(), error));
  MUST(blazen_run_start(run, input, error));
  release(input);
  see_it_begun(life, run, kind == Stages::one_by_one);
  SnapshotHandle cut;
  MUST(blazen_run_snapshot(run, cut.out(), error));
  probe->watch(nullptr);
  bool finished = finish_pipeline(life, run, kind);
  read_news(stream);
  release(stream);
  if (finished) {
    MUST(blazen_run_resume(life.runtime, workflow, cut, nullptr, run.out(), error));
    MUST(blazen_run_start(run, nullptr, error));
    finished = finish_pipeline(life, run, kind);
  }
  release(cut);
  release(workflow);
  return finished;
}

void call_the_rest(Life& life) {
  for (const bool withdraws : {true, false}) {
    if (!ask_once(life, withdraws)) REQUIRE(ask_once(life, withdraws), 0);
  }
  for (const auto end : {blazen_invocation_complete, fail_held, static_cast<decltype(&fail_held)>(nullptr)}) {
    if (!hold_once(life, end)) REQUIRE(hold_once(life, end), 0);
  }
  ValueHandle bytes;
  MUST(blazen_value_bytes("bytes that are longer than the small ones", 41, bytes.out(), error));
}

// A snapshot of another workflow is refused, with memory and without: nothing of the run that was begun may
// stay.
void mismatch_once(Life& life, blazen_snapshot* snapshot) {
  BuilderHandle builder;
  WorkflowHandle workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("another"), builder.out(), error));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("fail"), BLAZEN_TEXT(BLAZEN_START_EVENT), fail,
                                        nullptr, nullptr, error));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), error));
  RunHandle run;
  REQUIRE(ATTEMPT(blazen_run_resume(life.runtime, workflow, snapshot, nullptr, run.out(), error)) ==
              BLAZEN_ERROR_SNAPSHOT_MISMATCH,
          0);
  release(workflow);
  release(builder);
}

// Without the deserializer that it needs it is refused, or goes on without what that would have made.
void skip_once(Life& life, blazen_snapshot* snapshot) {
  RunHandle run;
  REQUIRE(ATTEMPT(resume_with(life, snapshot, "test/other", BLAZEN_UNKNOWN_LABEL_ERROR, run.out(), error)) ==
              BLAZEN_ERROR_NOT_SERIALIZABLE,
          0);
  MUST(resume_with(life, snapshot, "test/other", BLAZEN_UNKNOWN_LABEL_SKIP, run.out(), error));
  SnapshotHandle again;
  MUST(blazen_run_snapshot(run, again.out(), error));
  ValueHandle dropped;
  MUST(blazen_run_dropped(run, dropped.out(), error));
  REQUIRE(text_of(dropped).starts_with("[\"session 'kept'\""), 0);
  release(again);
  release(run);
}

void begin_close(Life& life) {
  const auto call = [&](blazen_error** error) {
    return blazen_runtime_begin_close(life.runtime, call_token, tokens.take("data of closed"), drop, error);
  };
  const blazen_status status = attempt(__LINE__, call);
  REQUIRE(status == BLAZEN_OK, status);
}

// A life is in parts, since each of its allocations costs another life.
enum class Part {
  runs,
  rest,
  scopes,
  hosts,
  branches,
  failing_branches,
  asks,
  carried,
  stages,
  at_once,
  rounds
};

void live_with_runs(Life& life) {
  SnapshotHandle snapshot;
  if (!run_once(life, snapshot)) REQUIRE(run_once(life, snapshot), 0);
  look_into(snapshot);
  if (!resume_once(life, snapshot)) REQUIRE(resume_once(life, snapshot), 0);
  for (const Ending& ending : kEndings) end_badly(life, ending);
  if (!steer_once(life)) REQUIRE(steer_once(life), 0);
  if (!work_from_outside_once(life)) REQUIRE(work_from_outside_once(life), 0);
  mismatch_once(life, snapshot);
  skip_once(life, snapshot);
  release(snapshot);
}

void live(blazen_mode mode, Part part) {
  Life life;
  life.mode = mode;
  posting = &life;
  if (part < Part::hosts) build(life);
  open(life);
  switch (part) {
    case Part::runs: live_with_runs(life); break;
    case Part::rest: call_the_rest(life); break;
    case Part::scopes:
      if (!join_once(life)) REQUIRE(join_once(life), 0);
      break;
    case Part::hosts:
    case Part::branches:
    case Part::failing_branches:
    case Part::asks:
    case Part::carried: {
      const Plan& plan = kPlans[static_cast<int>(part) - static_cast<int>(Part::hosts)];
      if (!nest_once(life, plan)) REQUIRE(nest_once(life, plan), 0);
      break;
    }
    case Part::stages:
    case Part::at_once:
    case Part::rounds: {
      const auto kind = static_cast<Stages>(static_cast<int>(part) - static_cast<int>(Part::stages));
      if (!pipe_once(life, kind)) REQUIRE(pipe_once(life, kind), 0);
      break;
    }
  }
  if (mode == BLAZEN_MODE_PUMP) begin_close(life);  // elsewhere, a thread of its own ends it: below
  MUST(blazen_runtime_close_within(life.runtime, 60'000, error));
  MUST(blazen_runtime_close(life.runtime, error));
  release(life.workflow);
  release(life.runtime);
  while (run_task(life)) {
  }
  posting = nullptr;
}

// ---- one life for each n ----

std::string describe(long n, Kind kind) {
  return "allocation " + std::to_string(n) + (kind == Kind::once ? ", once" : ", sticky");
}

// True where the n-th allocation was reached.
bool live_with_fault(blazen_mode mode, long n, Kind kind, Part part) {
  tokens.reset();
  notes.complaint = nullptr;
  faults.count = 0;
  faults.fired = false;
  faults.sticky = kind == Kind::sticky;
  faults.fail_at = n;
  drops_under_lock = 0;
  faults.armed = true;
  live(mode, part);
  faults.armed = false;
  return faults.fired.load();
}

class Memory : public testing::TestWithParam<blazen_mode> {
 protected:
  void SetUp() override {
    ++in_test;
#if HOST_TSAN && defined(__clang__)
    GTEST_SKIP() << "clang's thread sanitizer has the operators new for itself: build with GCC's";
#endif
    probe = &probe_;
    lock_probe = &probe_;
  }
  void TearDown() override {
    --in_test;
    lock_probe = nullptr;
    probe = nullptr;
    faults.armed = false;
  }
  // False after the third complaint: the rest would say the same.
  bool judge(long n, Kind kind) {
    const char* complaint = notes.complaint.load();
    if (complaint != nullptr) {
      ADD_FAILURE() << describe(n, kind) << ", line " << notes.complaint_line << ": " << complaint
                    << " (status " << notes.complaint_status << "; the last call said: " << notes.message
                    << ")";
    }
    if (const std::string fault = tokens.fault(); !fault.empty()) {
      ADD_FAILURE() << describe(n, kind) << ": " << fault;
      complaint = "drops";
    }
    if (drops_under_lock != 0) {
      ADD_FAILURE() << describe(n, kind)
                    << ": dropped under the lock of the run: " << dropped_under_lock.load();
      complaint = "lock";
    }
    if (complaint != nullptr) ++complaints_;
    return complaints_ < 12;
  }
  int complaints_ = 0;
  LockProbe probe_;
};

std::atomic<long> where{0};
void tell_where() { std::fprintf(stderr, "  it was at allocation %ld\n", where.load()); }

std::string name_of(const testing::TestParamInfo<blazen_mode>& info) {
  return info.param == BLAZEN_MODE_PUMP       ? "Pump"
         : info.param == BLAZEN_MODE_EXECUTOR ? "Executor"
                                              : "Threads";
}

class EveryAllocation : public Memory {
 protected:
  // Of a life of this part, one by one.
  void try_all(Part part) {
    Watchdog watchdog("EveryAllocation", 150, tell_where);
    // What is made once and kept, such as buffers of the C library.
    live_with_fault(GetParam(), 0, Kind::once, part);
    ASSERT_TRUE(judge(0, Kind::once));
    // Under a sanitizer each takes some times longer, and the pump has them all.
    const long stride = kSanitized && GetParam() == BLAZEN_MODE_EXECUTOR ? 3 : 1;
    long most = 0;
    for (const Kind kind : {Kind::once, Kind::sticky}) {
      notes.oom_calls = 0;
      notes.oom_runs = 0;
      for (long n = 1;; n += stride) {
        where = n;
        const long before = faults.live.load();
        const bool fired = live_with_fault(GetParam(), n, kind, part);
        const long after = faults.live.load();
        if (after != before) {
          ADD_FAILURE() << describe(n, kind) << ": " << after - before << " blocks leaked";
          if (++complaints_ > 12) return;
        }
        if (!judge(n, kind)) return;
        if (!fired) break;
        most = n;
      }
      // The test would prove nothing if nothing had failed.
      EXPECT_GT(notes.oom_calls, 60 / stride);
      EXPECT_GT(notes.oom_runs, 3);
    }
    EXPECT_GT(most, 150);
  }
};

TEST_P(EveryAllocation, MayFailAndNothingIsLostLeakedOrHanging) { try_all(Part::runs); }

TEST_P(EveryAllocation, MayFailInCallsThatFewRunsMake) { try_all(Part::rest); }

TEST_P(EveryAllocation, MayFailWhereScopesAreOpenedJoinedAndCut) { try_all(Part::scopes); }

TEST_P(EveryAllocation, MayFailWhereStepsAreWorkflows) { try_all(Part::hosts); }

TEST_P(EveryAllocation, MayFailWhereStepsAreSeveralWorkflows) { try_all(Part::branches); }

TEST_P(EveryAllocation, MayFailWhereBranchesFail) { try_all(Part::failing_branches); }

TEST_P(EveryAllocation, MayFailWhereRunsInsideAskAndAreCancelled) { try_all(Part::asks); }

TEST_P(EveryAllocation, MayFailWhereARunInsideIsElsewhere) { try_all(Part::carried); }

TEST_P(EveryAllocation, MayFailInStages) { try_all(Part::stages); }

TEST_P(EveryAllocation, MayFailInStagesOfSeveral) { try_all(Part::at_once); }

TEST_P(EveryAllocation, MayFailInRounds) { try_all(Part::rounds); }

INSTANTIATE_TEST_SUITE_P(Modes, EveryAllocation, testing::Values(BLAZEN_MODE_PUMP, BLAZEN_MODE_EXECUTOR),
                         name_of);

// With threads no two lives allocate in the same order: a sample, by a stride that meets every region of a
// life.
class WithThreads : public Memory {
 protected:
  // A sanitizer makes each life some times longer.
  void try_some(Part part, long stride = 3) {
    if (kSanitized) stride *= 4;
    if (!kThreads) GTEST_SKIP() << "a library without threads";
    Watchdog watchdog("WithThreads", 150, tell_where);
    for (int i = 0; i < 3; ++i) live_with_fault(GetParam(), 0, Kind::once, part);
    const long before = faults.live.load();
    for (const Kind kind : {Kind::once, Kind::sticky}) {
      for (long n = 1; n < 1000; n += stride) {
        where = n;
        const bool fired = live_with_fault(GetParam(), n, kind, part);
        if (!judge(n, kind)) return;
        if (!fired) break;
      }
    }
    // A stack that the C library keeps for the next thread has a block or two.
    EXPECT_LE(faults.live.load(), before + 8);
  }
};

TEST_P(WithThreads, SomeMayFailInRuns) { try_some(Part::runs); }
TEST_P(WithThreads, SomeMayFailInCallsThatFewRunsMake) { try_some(Part::rest); }
TEST_P(WithThreads, SomeMayFailInScopes) { try_some(Part::scopes); }
TEST_P(WithThreads, SomeMayFailInStepsThatAreWorkflows) { try_some(Part::hosts); }
TEST_P(WithThreads, SomeMayFailInBranches) { try_some(Part::branches); }
TEST_P(WithThreads, SomeMayFailInBranchesThatFail) { try_some(Part::failing_branches); }
// In these two, whom memory has failed waits to be told once more.
TEST_P(WithThreads, SomeMayFailWhereRunsInsideAsk) { try_some(Part::asks, 29); }
TEST_P(WithThreads, SomeMayFailWhereARunInsideIsElsewhere) { try_some(Part::carried, 29); }
TEST_P(WithThreads, SomeMayFailInStages) { try_some(Part::stages); }
TEST_P(WithThreads, SomeMayFailInStagesOfSeveral) { try_some(Part::at_once); }
TEST_P(WithThreads, SomeMayFailInRounds) { try_some(Part::rounds); }

INSTANTIATE_TEST_SUITE_P(Modes, WithThreads, testing::Values(BLAZEN_MODE_THREADS), name_of);

// The system may refuse the thread that ends it, or memory may: then nothing has changed, but that user_data
// is dropped.
class AClose : public Memory {};
TEST_P(AClose, ThatCannotBeginHasChangedNothing) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("AClose", 60);
  for (long n = 1; n < 20; ++n) {
    tokens.reset();
    notes.complaint = nullptr;
    Life life;
    life.mode = GetParam();
    posting = &life;
    open(life);
    faults.count = 0;
    faults.fired = false;
    faults.sticky = false;
    faults.fail_at = n;
    faults.armed = true;
    blazen_status status = BLAZEN_OK;
    Token* token = tokens.take("data of closed");
    {
      InLibrary inside;
      status = blazen_runtime_begin_close(life.runtime, call_token, token, drop, nullptr);
    }
    faults.armed = false;
    build(life);
    blazen_run* run = nullptr;
    const blazen_status created = blazen_run_create(life.runtime, life.workflow, nullptr, &run, nullptr);
    if (status == BLAZEN_OK) {
      EXPECT_EQ(created, BLAZEN_ERROR_CANCELLED) << n;
    } else {
      EXPECT_TRUE(status == BLAZEN_ERROR_OUT_OF_MEMORY || status == BLAZEN_ERROR_SYSTEM) << status;
      EXPECT_TRUE(faults.fired.load());
      EXPECT_EQ(created, BLAZEN_OK) << n;
      EXPECT_EQ(token->drops, 1);
    }
    blazen_run_release(run);
    MUST(blazen_runtime_close(life.runtime, error));
    EXPECT_EQ(token->calls, status == BLAZEN_OK ? 1 : 0);
    release(life.workflow);
    release(life.runtime);
    posting = nullptr;
    // A thread that was detached may still have the last reference for a moment.
    for (int i = 0; i < 1000 && !tokens.fault().empty(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(judge(n, Kind::once));
  }
}
INSTANTIATE_TEST_SUITE_P(Modes, AClose,
                         testing::Values(BLAZEN_MODE_PUMP, BLAZEN_MODE_EXECUTOR, BLAZEN_MODE_THREADS),
                         name_of);

}  // namespace
