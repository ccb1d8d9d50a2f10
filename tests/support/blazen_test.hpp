// What tests of the engine through its public header share: owning handles, errors that can be asked,
// workflows of C++ lambdas, and every way to run a run.
//
// Invariants: a test drives a run through Engine, never by sleeping; whatever does not happen within
// kPatience is a failure, not a hang. A step body that had a call fail fails with that call's error, unless
// it says otherwise.
#pragma once

#include <blazen/blazen.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bt {

// Under a sanitizer everything takes some times longer, and the invariants are recounted at each tick.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

inline constexpr int64_t kPatience_ms = kSanitized ? 150'000 : 30'000;
inline constexpr std::chrono::seconds kPatience{kPatience_ms / 1000};

inline bool has_threads() { return blazen_has_feature(BLAZEN_TEXT("threads")) == 1; }

// Only where threads exist beside the one of the test.
#define NEEDS_THREADS()     \
  if (!::bt::has_threads()) \
  GTEST_SKIP() << "this library is built without threads: blazen_has_feature(\"threads\") is 0"

// --------------------------------------------------------------------------------------------------- handles

template <class T, void (*kRelease)(T*)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T* raw) : raw_(raw) {}
  Owned(Owned&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Owned() { reset(); }

  void reset() {
    if (T* raw = std::exchange(raw_, nullptr)) kRelease(raw);
  }
  T* take() { return std::exchange(raw_, nullptr); }
  T* get() const { return raw_; }
  operator T*() const { return raw_; }
  T** out() {
    reset();
    return &raw_;
  }

 protected:
  T* raw_ = nullptr;
};

using Value = Owned<blazen_value, blazen_value_release>;
using Event = Owned<blazen_event, blazen_event_release>;
using Builder = Owned<blazen_workflow_builder, blazen_workflow_builder_release>;
using Workflow = Owned<blazen_workflow, blazen_workflow_release>;
using Runtime = Owned<blazen_runtime, blazen_runtime_release>;
using RunHandle = Owned<blazen_run, blazen_run_release>;
using Stream = Owned<blazen_stream, blazen_stream_release>;
using Snapshot = Owned<blazen_snapshot, blazen_snapshot_release>;
using Invocation = Owned<blazen_invocation, blazen_invocation_release>;
using Keys = Owned<blazen_keys, blazen_keys_release>;
using Batch = Owned<blazen_batch, blazen_batch_release>;

inline std::string text_of(const char* text, size_t length) {
  return text == nullptr ? "" : std::string(text, length);
}

class Error : public Owned<blazen_error, blazen_error_release> {
 public:
  using Owned::Owned;
  blazen_status status() const { return blazen_error_status(raw_); }
  std::string message() const {
    size_t length = 0;
    const char* text = blazen_error_message(raw_, &length);
    return text_of(text, length);
  }
  std::string step() const {
    size_t length = 0;
    const char* text = blazen_error_step(raw_, &length);
    return text_of(text, length);
  }
  uint64_t offset() const { return blazen_error_offset(raw_); }
  int64_t host_code() const { return blazen_error_host_code(raw_); }
  uint32_t attempt() const { return blazen_error_attempt(raw_); }
  blazen_value* detail() const { return blazen_error_detail(raw_); }
  Error cause() const { return Error(blazen_error_retain(blazen_error_cause(raw_))); }
  bool says(std::string_view part) const { return message().find(part) != std::string::npos; }
};

// The call, which has `e` for its error, must succeed.
#define MUST(call)                                                                                           \
  do {                                                                                                       \
    ::bt::Error must_error_;                                                                                 \
    [[maybe_unused]] blazen_error** const e = must_error_.out();                                             \
    const blazen_status must_status_ = (call);                                                               \
    EXPECT_EQ(must_status_, BLAZEN_OK) << blazen_status_name(must_status_) << ": " << must_error_.message(); \
  } while (false)

// ---------------------------------------------------------------------------------------------------- values

inline Value json(std::string_view text) {
  Value value;
  MUST(blazen_value_json(text.data(), text.size(), value.out(), e));
  return value;
}
inline Value bytes(std::string_view data) {
  Value value;
  MUST(blazen_value_bytes(data.data(), data.size(), value.out(), e));
  return value;
}
inline Value native(std::string_view data, std::string_view codec) {
  Value value;
  MUST(blazen_value_native(data.data(), data.size(), codec.data(), codec.size(), value.out(), e));
  return value;
}

// An object of the host that counts how often it is dropped.
struct Counted {
  std::atomic<int> drops{0};
  static void drop(void* self) { static_cast<Counted*>(self)->drops.fetch_add(1); }
};
inline Value live(Counted& object, std::string_view label = "test/counted") {
  Value value;
  MUST(blazen_value_live(&object, label.data(), label.size(), Counted::drop, value.out(), e));
  return value;
}

inline std::string data_of(const blazen_value* value) {
  size_t length = 0;
  const void* data = blazen_value_data(value, &length);
  return text_of(static_cast<const char*>(data), length);
}
inline std::string codec_of(const blazen_value* value) {
  size_t length = 0;
  const char* text = blazen_value_codec(value, &length);
  return text_of(text, length);
}
// Tag, codec and bytes as one text.
inline std::string describe(const blazen_value* value) {
  static const char* const kTags[] = {"none", "json", "bytes", "native", "live"};
  const blazen_tag tag = blazen_value_tag(value);
  std::string text = kTags[tag];
  if (tag >= BLAZEN_TAG_NATIVE) text += "(" + codec_of(value) + ")";
  return text + " " + data_of(value);
}
inline std::string describe(const blazen_error* error) {
  if (error == nullptr) return "no error";
  size_t length = 0;
  const char* message = blazen_error_message(error, &length);
  std::string text =
      std::string(blazen_status_name(blazen_error_status(error))) + "[" + text_of(message, length) + "]";
  const char* step = blazen_error_step(error, &length);
  if (step != nullptr)
    text += " step " + text_of(step, length) + " attempt " + std::to_string(blazen_error_attempt(error));
  if (blazen_error_host_code(error) != 0) text += " code " + std::to_string(blazen_error_host_code(error));
  if (blazen_error_cause(error) != nullptr) return text + " <- " + describe(blazen_error_cause(error));
  if (blazen_error_detail(error) != nullptr) text += " detail " + describe(blazen_error_detail(error));
  return text;
}

inline Event event(std::string_view type, const blazen_value* value = nullptr,
                   std::string_view correlation = {}) {
  Event made;
  blazen_event_options options = BLAZEN_EVENT_OPTIONS_INIT;
  options.correlation = correlation.data();
  options.correlation_length = correlation.size();
  MUST(blazen_event_create(type.data(), type.size(), const_cast<blazen_value*>(value), &options, made.out(),
                           e));
  return made;
}
inline Event event(std::string_view type, std::string_view text) { return event(type, json(text).get()); }

inline std::string type_of(const blazen_event* event) {
  size_t length = 0;
  const char* text = blazen_event_type(event, &length);
  return text_of(text, length);
}
inline std::string source_of(const blazen_event* event) {
  size_t length = 0;
  const char* text = blazen_event_source(event, &length);
  return text == nullptr ? "<none>" : text_of(text, length);
}
inline std::string correlation_of(const blazen_event* event) {
  size_t length = 0;
  const char* text = blazen_event_correlation(event, &length);
  return text == nullptr ? "<none>" : text_of(text, length);
}
inline std::string input_of(const blazen_event* event) { return data_of(blazen_event_value(event)); }

inline blazen_send_options to_step(std::string_view step) {
  blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
  options.step = step.data();
  options.step_length = step.size();
  return options;
}

// --------------------------------------------------------------------------------------------------- context

// Is called after each call of a context on this thread.
inline thread_local const std::function<void()>* after_each_call = nullptr;

// What a body works with. The first call that fails is kept: the body answers it, unless it answers something
// itself.
class Ctx {
 public:
  Ctx(blazen_context* context, const blazen_event* trigger, blazen_error** error)
      : raw(context), trigger_(trigger), error_(error) {}
  explicit Ctx(const Invocation& invocation)
      : Ctx(blazen_invocation_context(invocation), blazen_invocation_event(invocation), nullptr) {}

  blazen_context* const raw;
  blazen_status failed = BLAZEN_OK;

  const blazen_event* trigger() const { return trigger_; }
  std::string type() const { return type_of(trigger_); }
  std::string input() const { return input_of(trigger_); }
  uint64_t event_id() const { return blazen_event_id(trigger_); }
  uint64_t id() const { return blazen_context_invocation_id(raw); }
  std::string step() const {
    size_t length = 0;
    const char* text = blazen_context_step_name(raw, &length);
    return text_of(text, length);
  }
  blazen_run* run() const { return blazen_context_run(raw); }
  bool cancelled() const { return blazen_context_is_cancelled(raw) == 1; }

  blazen_status emit(std::string_view type, std::string_view text = "null") {
    return note(blazen_context_emit_json(raw, type.data(), type.size(), text.data(), text.size(), slot()));
  }
  blazen_status emit(std::string_view type, const Value& value) {
    return note(blazen_context_emit(raw, type.data(), type.size(), value, slot()));
  }
  blazen_status emit(const Event& sent) {
    return note(blazen_context_emit_event(raw, sent, nullptr, slot()));
  }
  blazen_status emit_to(std::string_view step, std::string_view type, std::string_view text = "null") {
    const blazen_send_options options = to_step(step);
    return note(blazen_context_emit_event(raw, event(type, text), &options, slot()));
  }
  // Of a mapper.
  blazen_status answer(const Value& value) { return note(blazen_context_answer(raw, value, slot())); }
  blazen_status answer(std::string_view text) { return answer(json(text)); }
  blazen_status stop(std::string_view text = "null") { return emit(BLAZEN_STOP_EVENT, text); }
  blazen_status stop(const Value& value) { return emit(BLAZEN_STOP_EVENT, value); }
  blazen_status send(std::string_view type, std::string_view text = "null") {
    return note(blazen_context_send_event(raw, event(type, text), nullptr, slot()));
  }
  blazen_status send(const Event& sent) {
    return note(blazen_context_send_event(raw, sent, nullptr, slot()));
  }
  blazen_status send_to(std::string_view step, std::string_view type, std::string_view text = "null") {
    const blazen_send_options options = to_step(step);
    return note(blazen_context_send_event(raw, event(type, text), &options, slot()));
  }
  blazen_status publish(std::string_view type, std::string_view text = "null") {
    return note(blazen_context_publish(raw, event(type, text), slot()));
  }
  blazen_status publish(const Event& item) { return note(blazen_context_publish(raw, item, slot())); }

  blazen_status set(std::string_view key, std::string_view text) {
    return note(blazen_context_set_json(raw, key.data(), key.size(), text.data(), text.size(), slot()));
  }
  blazen_status set(std::string_view key, const Value& value) {
    return note(blazen_context_set_value(raw, key.data(), key.size(), value, slot()));
  }
  // Writes where the key is not there yet: the same when the invocation runs again.
  void set_once(std::string_view key, const Value& value) {
    if (!has(key)) set(key, value);
  }
  void set_once(std::string_view key, std::string_view text) { set_once(key, json(text)); }
  Value get(std::string_view key, uint64_t* version = nullptr) {
    Value value;
    note(blazen_context_get_value(raw, key.data(), key.size(), value.out(), version, slot()));
    return value;
  }
  std::string text(std::string_view key) { return data_of(get(key)); }
  uint64_t version(std::string_view key) {
    uint64_t version = 77;
    get(key, &version);
    return version;
  }
  bool has(std::string_view key) {
    int32_t found = 0;
    note(blazen_context_has_value(raw, key.data(), key.size(), &found, slot()));
    return found == 1;
  }
  bool remove(std::string_view key) {
    int32_t removed = 0;
    note(blazen_context_remove_value(raw, key.data(), key.size(), &removed, slot()));
    return removed == 1;
  }
  blazen_status clear() { return note(blazen_context_clear_values(raw, slot())); }
  // The keys, with commas between.
  std::string keys(std::string_view prefix = {}) {
    Keys list;
    note(blazen_context_keys(raw, prefix.data(), prefix.size(), list.out(), slot()));
    return joined(list);
  }
  size_t count(std::string_view prefix) {
    Keys list;
    note(blazen_context_keys(raw, prefix.data(), prefix.size(), list.out(), slot()));
    return blazen_keys_count(list);
  }
  blazen_status set_session(std::string_view key, const Value& value) {
    return note(blazen_context_set_session(raw, key.data(), key.size(), value, slot()));
  }
  Value session(std::string_view key) {
    Value value;
    note(blazen_context_get_session(raw, key.data(), key.size(), value.out(), slot()));
    return value;
  }
  bool has_session(std::string_view key) {
    int32_t found = 0;
    note(blazen_context_has_session(raw, key.data(), key.size(), &found, slot()));
    return found == 1;
  }
  bool remove_session(std::string_view key) {
    int32_t removed = 0;
    note(blazen_context_remove_session(raw, key.data(), key.size(), &removed, slot()));
    return removed == 1;
  }
  std::string session_keys(std::string_view prefix = {}) {
    Keys list;
    note(blazen_context_session_keys(raw, prefix.data(), prefix.size(), list.out(), slot()));
    return joined(list);
  }

  // The answer, as JSON text; empty: not yet, and the body returns BLAZEN_PENDING.
  std::string ask(std::string_view prompt, std::string_view request_id = {}, int64_t deadline_ms = 0,
                  const std::string& default_answer = "null") {
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.prompt = prompt.data();
    question.prompt_length = prompt.size();
    question.request_id = request_id.data();
    question.request_id_length = request_id.size();
    const Value by_default = json(default_answer);
    question.deadline_ms = deadline_ms;
    if (deadline_ms != 0) question.default_answer = by_default;
    Value answer;
    const blazen_status status = blazen_context_ask(raw, &question, answer.out(), slot());
    if (status == BLAZEN_OK) return data_of(answer);
    note(status);
    return {};
  }
  blazen_status emit_in(int64_t delay_ms, std::string_view type, std::string_view text = "null") {
    blazen_send_options options = BLAZEN_SEND_OPTIONS_INIT;
    options.delay_ms = delay_ms;
    return note(blazen_context_emit_event(raw, event(type, text), &options, slot()));
  }
  uint32_t attempt() const { return blazen_context_attempt(raw); }
  // The values of what a join was invoked with, with commas between, and why it was.
  std::string events() {
    const blazen_event* const* all = nullptr;
    size_t count = 0;
    note(blazen_context_events(raw, &all, &count, slot()));
    std::string text;
    for (size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + input_of(all[i]);
    return text;
  }
  // BLAZEN_PENDING, or BLAZEN_OK, and events() has them.
  blazen_status collect(std::string_view key, const std::vector<std::pair<std::string, uint32_t>>& wanted) {
    std::vector<const char*> types;
    std::vector<size_t> lengths;
    std::vector<uint32_t> counts;
    for (const auto& [type, count] : wanted) {
      types.push_back(type.data());
      lengths.push_back(type.size());
      counts.push_back(count);
    }
    const blazen_status status = blazen_context_collect(raw, key.data(), key.size(), types.data(),
                                                        lengths.data(), counts.data(), wanted.size(), slot());
    if (status != BLAZEN_PENDING) note(status);
    return status;
  }
  blazen_join_info joined() {
    blazen_join_info info = BLAZEN_JOIN_INFO_INIT;
    note(blazen_context_join_info(raw, &info, slot()));
    return info;
  }
  Invocation defer() {
    Invocation invocation;
    note(blazen_context_defer(raw, invocation.out(), slot()));
    return invocation;
  }
  blazen_status fail(int64_t code, std::string_view message, const Value& detail = {}) {
    return blazen_error_host(code, message.data(), message.size(), detail, error_);
  }
  // Where the body's own error goes.
  blazen_error** error() { return error_; }

  static std::string joined(const blazen_keys* keys) {
    std::string text;
    for (size_t i = 0; i < blazen_keys_count(keys); ++i) {
      size_t length = 0;
      const char* key = blazen_keys_at(keys, i, &length);
      text += (i == 0 ? "" : ",") + text_of(key, length);
    }
    return text;
  }

 private:
  blazen_error** slot() { return error_ != nullptr && *error_ == nullptr ? error_ : nullptr; }
  blazen_status note(blazen_status status) {
    if (status != BLAZEN_OK && failed == BLAZEN_OK) failed = status;
    if (after_each_call != nullptr) (*after_each_call)();
    return status;
  }

  const blazen_event* trigger_;
  blazen_error** error_;
};

// ------------------------------------------------------------------------------------------------- workflows

// A body, and how many of them are alive in this process.
struct Body {
  template <class Function>
  Body(Function function) {  // NOLINT(google-explicit-constructor)
    if constexpr (std::is_void_v<std::invoke_result_t<Function, Ctx&>>) {
      run = [function = std::move(function)](Ctx& ctx) mutable {
        function(ctx);
        return ctx.failed;
      };
    } else {
      run = std::move(function);
    }
  }

  static blazen_status call(void* self, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
    Ctx ctx(context, event, error);
    return static_cast<Body*>(self)->run(ctx);
  }
  static void drop(void* self) {
    delete static_cast<Body*>(self);
    alive.fetch_sub(1);
  }

  std::function<blazen_status(Ctx&)> run;
  static inline std::atomic<int> alive{0};
};

// How a step joins, as blazen_join_options.
struct Joins {
  std::string of;
  blazen_join_mode mode = BLAZEN_JOIN_ALL;
  uint32_t n = 0;
  int64_t deadline_ms = 0;
  blazen_join_deadline at_deadline = BLAZEN_JOIN_DEADLINE_GIVE;
  bool cancel_rest = false;
  bool ordered = false;
  bool by_event = false;
  bool skip_empty = false;

  blazen_join_options options() const {
    blazen_join_options all = BLAZEN_JOIN_OPTIONS_INIT;
    all.of = of.data();
    all.of_length = of.size();
    all.mode = mode;
    all.n = n;
    all.deadline_ms = deadline_ms;
    all.at_deadline = at_deadline;
    all.cancel_rest = cancel_rest ? 1 : 0;
    all.ordered = ordered ? 1 : 0;
    all.correlation = by_event ? BLAZEN_JOIN_CORRELATION_BY_EVENT : BLAZEN_JOIN_CORRELATION_NONE;
    all.empty = skip_empty ? BLAZEN_JOIN_EMPTY_SKIP : BLAZEN_JOIN_EMPTY_INVOKE;
    return all;
  }
};

// A step that is a workflow, or several at once.
struct Hosts {
  struct Branch {
    std::string name;                      // empty: the only one
    std::shared_ptr<Workflow> workflow{};  // null: the one that is being built
    bool elsewhere = false;
  };
  std::vector<Branch> branches;
  bool parallel = false;
  bool first_success = false;
  std::string output_type{};
  std::shared_ptr<Body> input{};
  std::shared_ptr<Body> output{};
  bool input_elsewhere = false;
  bool output_elsewhere = false;
};

struct Step {
  std::string name;
  std::vector<std::string> accepts;
  std::shared_ptr<Body> body;  // null: elsewhere
  uint32_t concurrency_max = 0;
  std::vector<std::string> emits;
  int64_t timeout_ms = 0;
  std::optional<blazen_retry_options> retry{};
  bool atomic = false;
  blazen_abandoned abandoned = BLAZEN_ABANDONED_KEEPS_PERMIT;
  std::optional<Joins> joins{};
  std::string pool{};  // empty: none
  std::optional<Hosts> hosts{};
};

inline blazen_retry_options retries(uint32_t max_attempts, int64_t initial_delay_ms = 0,
                                    double multiplier = 0) {
  blazen_retry_options options = BLAZEN_RETRY_OPTIONS_INIT;
  options.max_attempts = max_attempts;
  options.initial_delay_ms = initial_delay_ms;
  options.multiplier = multiplier;
  return options;
}

struct Spec {
  std::string name = "test";
  std::vector<Step> steps;
  blazen_unhandled unhandled = BLAZEN_UNHANDLED_FAIL;
  blazen_idle idle = BLAZEN_IDLE_FAIL;
  blazen_session_policy session = BLAZEN_SESSION_PICKLE_OR_ERROR;
  std::vector<std::pair<blazen_limit, uint64_t>> limits;
  int64_t timeout_ms = -1;  // as it is by default
  blazen_session_on_pause session_on_pause = BLAZEN_SESSION_KEEP;

  Spec() = default;
  explicit Spec(std::string workflow_name) : name(std::move(workflow_name)) {}

  Spec& step(std::string step_name, std::vector<std::string> accepts, Body body,
             uint32_t concurrency_max = 0) {
    steps.push_back({std::move(step_name),
                     std::move(accepts),
                     std::make_shared<Body>(std::move(body)),
                     concurrency_max,
                     {}});
    return *this;
  }
  Spec& start(Body body) { return step("start", {BLAZEN_START_EVENT}, std::move(body)); }
  Spec& elsewhere(std::string step_name, std::vector<std::string> accepts, uint32_t concurrency_max = 0) {
    steps.push_back({std::move(step_name), std::move(accepts), nullptr, concurrency_max, {}});
    return *this;
  }
  // A step that is this workflow; a null one: this very workflow.
  Spec& child(std::string step_name, std::vector<std::string> accepts, Workflow workflow) {
    steps.push_back({std::move(step_name), std::move(accepts), nullptr, 0, {}});
    steps.back().hosts.emplace().branches.push_back({"", std::make_shared<Workflow>(std::move(workflow))});
    return *this;
  }
  Spec& child(std::string step_name, std::vector<std::string> accepts, const Spec& spec) {
    return child(std::move(step_name), std::move(accepts), spec.build());
  }
  Spec& itself(std::string step_name, std::vector<std::string> accepts) {
    steps.push_back({std::move(step_name), std::move(accepts), nullptr, 0, {}});
    steps.back().hosts.emplace().branches.emplace_back();
    return *this;
  }
  // Several at once.
  Spec& children(std::string step_name, std::vector<std::string> accepts,
                 const std::vector<std::pair<std::string, Spec>>& branches, bool first_success = false) {
    steps.push_back({std::move(step_name), std::move(accepts), nullptr, 0, {}});
    Hosts& hosts = steps.back().hosts.emplace();
    hosts.parallel = true;
    hosts.first_success = first_success;
    for (const auto& [name_of_branch, spec] : branches)
      hosts.branches.push_back({name_of_branch, std::make_shared<Workflow>(spec.build())});
    return *this;
  }
  Spec& input(Body body) {
    steps.back().hosts->input = std::make_shared<Body>(std::move(body));
    return *this;
  }
  Spec& output(Body body) {
    steps.back().hosts->output = std::make_shared<Body>(std::move(body));
    return *this;
  }
  Spec& output_type(std::string type) {
    steps.back().hosts->output_type = std::move(type);
    return *this;
  }
  // What the step added last declares.
  Spec& emits(std::vector<std::string> types) {
    steps.back().emits = std::move(types);
    return *this;
  }
  // Of the step added last, too.
  Spec& times_out(int64_t ms) {
    steps.back().timeout_ms = ms;
    return *this;
  }
  Spec& retry(const blazen_retry_options& options) {
    steps.back().retry = options;
    return *this;
  }
  Spec& atomic() {
    steps.back().atomic = true;
    return *this;
  }
  Spec& abandoned(blazen_abandoned policy) {
    steps.back().abandoned = policy;
    return *this;
  }
  Spec& joins(Joins how) {
    steps.back().joins = std::move(how);
    return *this;
  }
  Spec& uses_pool(std::string pool) {
    steps.back().pool = std::move(pool);
    return *this;
  }
  Spec& limit(blazen_limit limit, uint64_t bound) {
    limits.emplace_back(limit, bound);
    return *this;
  }

  blazen_status try_build(Workflow& workflow, Error& error) const {
    Builder builder;
    MUST(blazen_workflow_builder_create(name.data(), name.size(), builder.out(), e));
    for (const Step& step : steps) add(builder, step);
    MUST(blazen_workflow_builder_set_unhandled(builder, unhandled, e));
    MUST(blazen_workflow_builder_set_idle(builder, idle, e));
    if (timeout_ms >= 0) MUST(blazen_workflow_builder_set_timeout(builder, timeout_ms, e));
    MUST(blazen_workflow_builder_set_session_on_pause(builder, session_on_pause, e));
    MUST(blazen_workflow_builder_set_session_policy(builder, session, e));
    for (const auto& [limit, bound] : limits)
      MUST(blazen_workflow_builder_set_limit(builder, limit, bound, e));
    return blazen_workflow_builder_build(builder, workflow.out(), error.out());
  }
  Workflow build() const {
    Workflow workflow;
    Error error;
    EXPECT_EQ(try_build(workflow, error), BLAZEN_OK) << error.message();
    return workflow;
  }

 private:
  static blazen_mapper mapper(const std::shared_ptr<Body>& body, bool elsewhere) {
    if (!body) return {nullptr, nullptr, nullptr, elsewhere ? 1 : 0};
    Body::alive.fetch_add(1);
    return {Body::call, new Body(*body), Body::drop, 0};
  }
  static void add_hosts(const Builder& builder, const Step& step) {
    const Hosts& hosts = *step.hosts;
    blazen_child_options options = BLAZEN_CHILD_OPTIONS_INIT;
    if (!hosts.output_type.empty()) {
      options.output_type = hosts.output_type.data();
      options.output_type_length = hosts.output_type.size();
    }
    options.input = mapper(hosts.input, hosts.input_elsewhere);
    options.output = mapper(hosts.output, hosts.output_elsewhere);
    options.first_success = hosts.first_success ? 1 : 0;
    const std::string& first = step.accepts.front();
    std::vector<blazen_branch> branches;
    for (const Hosts::Branch& each : hosts.branches)
      branches.push_back({each.name.data(), each.name.size(),
                          each.workflow ? static_cast<blazen_workflow*>(*each.workflow) : nullptr,
                          each.elsewhere ? 1 : 0});
    if (hosts.parallel) {
      MUST(blazen_workflow_builder_add_workflows(builder, step.name.data(), step.name.size(), first.data(),
                                                 first.size(), branches.data(), branches.size(), &options,
                                                 e));
    } else {
      MUST(blazen_workflow_builder_add_workflow(builder, step.name.data(), step.name.size(), first.data(),
                                                first.size(), branches.front().child, &options, e));
    }
  }
  static void add(const Builder& builder, const Step& step) {
    const std::string& name = step.name;
    const std::string& first = step.accepts.front();
    if (step.hosts) {
      add_hosts(builder, step);
    } else if (step.body == nullptr) {
      MUST(blazen_workflow_builder_add_elsewhere(builder, name.data(), name.size(), first.data(),
                                                 first.size(), e));
    } else {
      Body::alive.fetch_add(1);
      MUST(blazen_workflow_builder_add_step(builder, name.data(), name.size(), first.data(), first.size(),
                                            Body::call, new Body(*step.body), Body::drop, e));
    }
    for (size_t i = 1; i < step.accepts.size(); ++i) {
      const std::string& type = step.accepts[i];
      MUST(blazen_workflow_builder_step_accepts(builder, name.data(), name.size(), type.data(), type.size(),
                                                e));
    }
    for (const std::string& type : step.emits) {
      MUST(
          blazen_workflow_builder_step_emits(builder, name.data(), name.size(), type.data(), type.size(), e));
    }
    if (step.timeout_ms != 0)
      MUST(blazen_workflow_builder_step_timeout(builder, name.data(), name.size(), step.timeout_ms, e));
    if (step.retry)
      MUST(blazen_workflow_builder_step_retry(builder, name.data(), name.size(), &*step.retry, e));
    if (step.atomic) MUST(blazen_workflow_builder_step_atomic(builder, name.data(), name.size(), 1, e));
    if (step.abandoned != BLAZEN_ABANDONED_KEEPS_PERMIT)
      MUST(blazen_workflow_builder_step_abandoned(builder, name.data(), name.size(), step.abandoned, e));
    if (!step.pool.empty())
      MUST(blazen_workflow_builder_step_uses_pool(builder, name.data(), name.size(), step.pool.data(),
                                                  step.pool.size(), e));
    if (step.joins) {
      const blazen_join_options options = step.joins->options();
      MUST(blazen_workflow_builder_step_joins(builder, name.data(), name.size(), &options, e));
    }
    if (step.concurrency_max != 0) {
      MUST(blazen_workflow_builder_step_max_concurrency(builder, name.data(), name.size(),
                                                        step.concurrency_max, e));
    }
  }
};

// A pipeline, stage by stage; what a stage is given beside what it runs is that of the one added last.
struct PipelineSpec {
  struct StageSpec {
    std::string name;
    std::vector<std::pair<std::string, std::shared_ptr<Workflow>>> branches;
    bool parallel = false;
    uint32_t max_rounds = 0;
    std::shared_ptr<Body> condition{};
    std::shared_ptr<Body> input{};
    std::shared_ptr<Body> output{};
    std::shared_ptr<Body> until{};
    int64_t timeout_ms = 0;
    std::optional<blazen_retry_options> retry{};
    bool first_success = false;
    bool done_at_bound = false;
    bool elsewhere = false;  // its decisions, and its branches where there are several
  };
  std::string name = "pipeline";
  std::vector<StageSpec> stages{};
  int64_t timeout_ms = -1;
  int64_t stage_timeout_ms = -1;
  blazen_session_policy session = BLAZEN_SESSION_PICKLE_OR_ERROR;

  PipelineSpec& stage(const std::string& stage_name, const Workflow& workflow, uint32_t max_rounds = 0) {
    stages.push_back({stage_name, {{"", std::make_shared<Workflow>(blazen_workflow_retain(workflow))}}});
    stages.back().max_rounds = max_rounds;
    return *this;
  }
  PipelineSpec& stage(const std::string& stage_name, const Spec& spec, uint32_t max_rounds = 0) {
    return stage(stage_name, spec.build(), max_rounds);
  }
  PipelineSpec& parallel(const std::string& stage_name,
                         const std::vector<std::pair<std::string, Spec>>& branches,
                         bool first_success = false, uint32_t max_rounds = 0) {
    stages.push_back({stage_name, {}, true, max_rounds});
    stages.back().first_success = first_success;
    for (const auto& [branch, spec] : branches)
      stages.back().branches.emplace_back(branch, std::make_shared<Workflow>(spec.build()));
    return *this;
  }
  PipelineSpec& condition(Body body) { return set(stages.back().condition, std::move(body)); }
  PipelineSpec& input(Body body) { return set(stages.back().input, std::move(body)); }
  PipelineSpec& output(Body body) { return set(stages.back().output, std::move(body)); }
  PipelineSpec& until(Body body) { return set(stages.back().until, std::move(body)); }

  blazen_status try_build(Workflow& workflow, Error& error) const {
    Owned<blazen_pipeline_builder, blazen_pipeline_builder_release> builder;
    MUST(blazen_pipeline_builder_create(name.data(), name.size(), builder.out(), e));
    if (timeout_ms >= 0) MUST(blazen_pipeline_builder_set_timeout(builder, timeout_ms, e));
    if (stage_timeout_ms >= 0) MUST(blazen_pipeline_builder_set_stage_timeout(builder, stage_timeout_ms, e));
    MUST(blazen_pipeline_builder_set_session_policy(builder, session, e));
    for (const StageSpec& each : stages) {
      if (const blazen_status status = add(builder, each, error); status != BLAZEN_OK) return status;
    }
    return blazen_pipeline_builder_build(builder, workflow.out(), error.out());
  }
  Workflow build() const {
    Workflow workflow;
    Error error;
    EXPECT_EQ(try_build(workflow, error), BLAZEN_OK) << error.message();
    return workflow;
  }

 private:
  PipelineSpec& set(std::shared_ptr<Body>& place, Body body) {
    place = std::make_shared<Body>(std::move(body));
    return *this;
  }
  static blazen_mapper mapper(const std::shared_ptr<Body>& body, bool elsewhere) {
    if (!body || elsewhere) return {nullptr, nullptr, nullptr, body ? 1 : 0};
    Body::alive.fetch_add(1);
    return {Body::call, new Body(*body), Body::drop, 0};
  }
  static blazen_status add(blazen_pipeline_builder* builder, const StageSpec& each, Error& error) {
    blazen_stage_options options = BLAZEN_STAGE_OPTIONS_INIT;
    options.condition = mapper(each.condition, each.elsewhere);
    options.input = mapper(each.input, each.elsewhere);
    options.output = mapper(each.output, each.elsewhere);
    options.until = mapper(each.until, each.elsewhere);
    options.timeout_ms = each.timeout_ms;
    if (each.retry) options.retry = &*each.retry;
    options.first_success = each.first_success ? 1 : 0;
    options.done_at_bound = each.done_at_bound ? 1 : 0;
    std::vector<blazen_branch> branches;
    const bool is_without = each.elsewhere && each.parallel;
    for (const auto& [branch, workflow] : each.branches)
      branches.push_back({branch.data(), branch.size(),
                          is_without ? nullptr : static_cast<blazen_workflow*>(*workflow),
                          is_without ? 1 : 0});
    const char* stage_name = each.name.data();
    const size_t length = each.name.size();
    if (each.parallel && each.max_rounds != 0)
      return blazen_pipeline_builder_add_parallel_loop(builder, stage_name, length, branches.data(),
                                                       branches.size(), each.max_rounds, &options,
                                                       error.out());
    if (each.parallel)
      return blazen_pipeline_builder_add_parallel(builder, stage_name, length, branches.data(),
                                                  branches.size(), &options, error.out());
    blazen_workflow* workflow = branches.front().child;
    if (each.max_rounds != 0)
      return blazen_pipeline_builder_add_loop(builder, stage_name, length, workflow, each.max_rounds,
                                              &options, error.out());
    return blazen_pipeline_builder_add_stage(builder, stage_name, length, workflow, &options, error.out());
  }
};

// ----------------------------------------------------------------------------------------------- ways to run

enum class Way { threads_1, threads_4, pump, descriptor, wake, waiter, pool, queue };

inline const char* name_of(Way way) {
  static const char* const kNames[] = {"Threads1", "Threads4", "Pump", "Descriptor",
                                       "Wake",     "Waiter",   "Pool", "Queue"};
  return kNames[static_cast<int>(way)];
}

// Whether steps run on other threads than the one of the test.
inline bool is_threaded(Way way) {
  return way == Way::threads_1 || way == Way::threads_4 || way == Way::pool;
}

// All ways of this library. Those with threads are not in the list of a library without; Ways.Listed says so.
inline std::vector<Way> ways() {
  std::vector<Way> all;
  for (int i = 0; i <= static_cast<int>(Way::queue); ++i) {
    if (has_threads() || !is_threaded(static_cast<Way>(i))) all.push_back(static_cast<Way>(i));
  }
  return all;
}

inline std::vector<Way> ways_but(const std::vector<Way>& without) {
  std::vector<Way> all = ways();
  for (const Way way : without) std::erase(all, way);
  return all;
}

inline std::string way_name(const testing::TestParamInfo<Way>& info) { return name_of(info.param); }

inline bool is_ended(blazen_run_state state) {
  return state == BLAZEN_RUN_COMPLETED || state == BLAZEN_RUN_FAILED || state == BLAZEN_RUN_CANCELLED;
}
inline bool is_settled(blazen_run_state state) { return is_ended(state) || state == BLAZEN_RUN_ELSEWHERE; }

// Time as a test wants it. Outlives its engines.
struct FakeClock {
  std::atomic<int64_t> now_ms{1'700'000'000'000};
};

// A runtime, and whatever moves it on.
class Engine {
 public:
  explicit Engine(Way way = Way::pump, FakeClock* clock = nullptr) : way_(way), clock_(clock) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.user_data = this;
    if (clock != nullptr) options.clock = tell_time;
    switch (way) {
      case Way::threads_1: options.threads = 1; break;
      case Way::threads_4: options.threads = 4; break;
      case Way::pump:
      case Way::descriptor:
      case Way::waiter: options.mode = BLAZEN_MODE_PUMP; break;
      case Way::wake:
        options.mode = BLAZEN_MODE_PUMP;
        options.wake = wake;
        break;
      case Way::pool:
      case Way::queue:
        options.mode = BLAZEN_MODE_EXECUTOR;
        options.post = post;
        break;
    }
    MUST(blazen_runtime_create(&options, runtime_.out(), e));
    if (way == Way::descriptor) MUST(blazen_runtime_descriptor(runtime_, &descriptor_, e));
    if (way == Way::pool) {
      for (int i = 0; i < 3; ++i) threads_.emplace_back([this] { run_tasks(); });
    }
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    MUST(blazen_runtime_close(runtime_, e));
    {
      std::lock_guard guard(lock_);
      stopped_ = true;
      came_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    while (blazen_task* task = take_task()) blazen_task_cancel(task);
  }

  blazen_runtime* runtime() const { return runtime_; }
  Way way() const { return way_; }
  // With a clock of the test: so much later, and whatever is due then.
  void pass(int64_t ms) {
    clock_->now_ms += ms;
    MUST(blazen_runtime_poll(runtime_, 0, nullptr, e));
  }
  // A pool of so many permits.
  void set_pool(std::string_view name, uint32_t permits) const {
    MUST(blazen_runtime_set_pool(runtime_, name.data(), name.size(), permits, e));
  }
  // When something is due next; -1: never.
  int64_t next_timer() const {
    int64_t delay_ms = -2;
    MUST(blazen_runtime_next_timer(runtime_, &delay_ms, e));
    return delay_ms;
  }
  // Moves on until the run has this state.
  bool reach(blazen_run* run, blazen_run_state state) {
    return until(run, [&] { return blazen_run_state_now(run) == state; });
  }

  // Moves on until done() holds.
  bool until(blazen_run* run, const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "nothing more happens; the run has state " << blazen_run_state_now(run);
        return false;
      }
      turn(run);
    }
    return true;
  }
  // Moves on until the run has ended or has parked elsewhere; answers which.
  blazen_run_state settle(blazen_run* run) {
    blazen_run_state state = BLAZEN_RUN_NONE;
    if (way_ == Way::threads_1 || way_ == Way::threads_4 || way_ == Way::waiter) {
      MUST(blazen_run_wait(run, kPatience_ms, &state, e));
    } else {
      until(run, [&] { return is_settled(blazen_run_state_now(run)); });
      MUST(blazen_run_wait(run, 0, &state, e));
    }
    return state;
  }

 private:
  static int64_t tell_time(void* self) { return static_cast<Engine*>(self)->clock_->now_ms.load(); }
  static void wake(void* self) {
    auto* engine = static_cast<Engine*>(self);
    std::lock_guard guard(engine->lock_);
    engine->woken_ = true;
    engine->came_.notify_all();
  }
  static blazen_status post(void* self, blazen_task* task) {
    auto* engine = static_cast<Engine*>(self);
    std::lock_guard guard(engine->lock_);
    engine->tasks_.push_back(task);
    engine->came_.notify_one();
    return BLAZEN_OK;
  }
  blazen_task* take_task() {
    std::lock_guard guard(lock_);
    if (tasks_.empty()) return nullptr;
    blazen_task* task = tasks_.front();
    tasks_.pop_front();
    return task;
  }
  void run_tasks() {
    for (;;) {
      blazen_task* task = nullptr;
      {
        std::unique_lock guard(lock_);
        came_.wait(guard, [this] { return stopped_ || !tasks_.empty(); });
        if (stopped_) return;
        task = tasks_.front();
        tasks_.pop_front();
      }
      blazen_task_run(task);
    }
  }

  // One turn of the host's loop. It works only when it was told to.
  void turn(blazen_run* run) {
    switch (way_) {
      case Way::threads_1:
      case Way::threads_4:
      case Way::pool: std::this_thread::sleep_for(std::chrono::microseconds(200)); break;
      case Way::pump: MUST(blazen_runtime_poll(runtime_, 0, nullptr, e)); break;
      case Way::descriptor: {
        pollfd waited{descriptor_, POLLIN, 0};
        if (::poll(&waited, 1, 1) == 1) MUST(blazen_runtime_poll(runtime_, 3, nullptr, e));
        break;
      }
      case Way::wake: {
        std::unique_lock guard(lock_);
        if (!woken_) came_.wait_for(guard, std::chrono::milliseconds(1));
        const bool told = std::exchange(woken_, false);
        guard.unlock();
        if (told) MUST(blazen_runtime_poll(runtime_, 2, nullptr, e));
        break;
      }
      case Way::waiter: {
        const blazen_status status = blazen_run_wait(run, 1, nullptr, nullptr);
        EXPECT_TRUE(status == BLAZEN_OK || status == BLAZEN_ERROR_TIMEOUT) << status;
        break;
      }
      case Way::queue:
        if (blazen_task* task = take_task()) blazen_task_run(task);
        break;
    }
  }

  const Way way_;
  FakeClock* const clock_;
  std::mutex lock_;
  std::condition_variable came_;
  bool woken_ = false;
  bool stopped_ = false;
  std::deque<blazen_task*> tasks_;
  std::vector<std::thread> threads_;
  int32_t descriptor_ = -1;
  Runtime runtime_;
};

// Tests of this suite run in every way.
class EveryWay : public testing::TestWithParam<Way> {};

// ------------------------------------------------------------------------------------------------------ runs

inline RunHandle create(const Engine& engine, const Workflow& workflow,
                        const blazen_value* metadata = nullptr) {
  RunHandle run;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.metadata = metadata;
  MUST(blazen_run_create(engine.runtime(), workflow, &options, run.out(), e));
  return run;
}
inline RunHandle start(const Engine& engine, const Workflow& workflow, std::string_view input = "null") {
  RunHandle run = create(engine, workflow);
  MUST(blazen_run_start(run, json(input), e));
  return run;
}

// How a run stands at its end.
struct Outcome {
  blazen_run_state state = BLAZEN_RUN_NONE;
  blazen_status status = BLAZEN_OK;
  Value result;
  Error error;

  // All of it as one text.
  std::string text() const {
    return std::to_string(state) + " " +
           (status == BLAZEN_OK ? describe(result.get()) : describe(error.get()));
  }
};

inline Outcome outcome(const blazen_run* run) {
  Outcome all;
  all.state = blazen_run_state_now(run);
  all.status = blazen_run_result(run, all.result.out(), all.error.out());
  return all;
}

inline Outcome finish(Engine& engine, const RunHandle& run) {
  engine.settle(run);
  return outcome(run);
}
inline Outcome run_to_end(Engine& engine, const Workflow& workflow, std::string_view input = "null") {
  return finish(engine, start(engine, workflow, input));
}
inline Outcome run_to_end(Engine& engine, const Spec& spec, std::string_view input = "null") {
  return run_to_end(engine, spec.build(), input);
}

inline Stream subscribe(blazen_run* run) {
  Stream stream;
  MUST(blazen_run_subscribe(run, stream.out(), e));
  return stream;
}

struct Item {
  uint64_t sequence;
  std::string type;
  std::string value;
  bool operator==(const Item& other) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Item& item) {
  return out << item.sequence << ":" << item.type << "=" << item.value;
}

// What is there to take now, up to and with StreamEnd.
inline std::vector<Item> take(blazen_stream* stream) {
  std::vector<Item> items;
  for (;;) {
    Event item;
    uint64_t sequence = 0;
    const blazen_status status = blazen_stream_next(stream, 0, item.out(), &sequence, nullptr);
    if (status == BLAZEN_ERROR_TIMEOUT) return items;
    EXPECT_EQ(status, BLAZEN_OK);
    if (status != BLAZEN_OK) return items;
    items.push_back({sequence, type_of(item), describe(blazen_event_value(item))});
    if (items.back().type == BLAZEN_STREAM_END) return items;
  }
}
// As one text: type=value, with spaces between.
inline std::string text_of(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items)
    text += (text.empty() ? "" : " ") + item.type + "=" + item.value.substr(item.value.find(' ') + 1);
  return text;
}

inline Snapshot snapshot(const blazen_run* run) {
  Snapshot taken;
  MUST(blazen_run_snapshot(run, taken.out(), e));
  return taken;
}
inline std::string bytes_of(const blazen_snapshot* snapshot) {
  size_t length = 0;
  const void* data = blazen_snapshot_data(snapshot, &length);
  return text_of(static_cast<const char*>(data), length);
}
inline std::string snapshot_bytes(const blazen_run* run) { return bytes_of(snapshot(run)); }
inline Snapshot parse(std::string_view data) {
  Snapshot parsed;
  MUST(blazen_snapshot_parse(data.data(), data.size(), parsed.out(), e));
  return parsed;
}
inline std::string info_of(const blazen_snapshot* snapshot) {
  Value info;
  MUST(blazen_snapshot_info(snapshot, info.out(), e));
  return data_of(info);
}
// A run from the bytes of a snapshot, not started yet.
inline RunHandle resume(const Engine& engine, const Workflow& workflow, std::string_view data) {
  RunHandle run;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(data), nullptr, run.out(), e));
  return run;
}
// One that was paused, and stays so.
inline RunHandle resume_paused(const Engine& engine, const Workflow& workflow, std::string_view data) {
  RunHandle run;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.keep_paused = 1;
  MUST(blazen_run_resume(engine.runtime(), workflow, parse(data), &options, run.out(), e));
  return run;
}

}  // namespace bt
