// Proves that no argument, however wrong, does more than give a clear status.
//
// One table has every function of the header. The header's own text gives the names of the parameters, their
// types the faults that are tried, one at a time, over arguments that are otherwise good: NULL, every other
// kind of handle, texts that are NULL, empty, broken or endless, option structs of no possible size, negative
// timeouts. A function that is not in the table fails the first test. What the types do not tell (enums, the
// fields of options, the place of a call) follows below.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <tuple>
#include <type_traits>

#include "capi/child.hpp"
#include "capi/world.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

// ---- the header, as text ----

struct Declaration {
  std::string result;
  std::vector<std::string> parameters;  // their names
  std::string thread;                   // the tag
  std::set<std::string> optional;       // what may be NULL, by the tag
};

std::string read_header() {
  std::ifstream file(BLAZEN_HEADER);
  EXPECT_TRUE(file) << BLAZEN_HEADER;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::map<std::string, Declaration> parse_header() {
  const std::string text = read_header();
  std::map<std::string, Declaration> all;
  const std::regex declaration(
      R"(\[own: ([^|]*) \| thread: (\w+) \|[^\]]*\] \*/\s*BLAZEN_API ([\w \*]*?)\s*\*?(blazen_\w+)\(([^;]*)\);)");
  for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at) {
    Declaration one;
    const std::string own = (*at)[1];
    const std::regex marked(R"((\w+) \w+\?)");
    for (std::sregex_iterator mark(own.begin(), own.end(), marked); mark != end; ++mark)
      one.optional.insert((*mark)[1]);
    one.thread = (*at)[2];
    one.result = (*at)[3];
    std::stringstream list((*at)[5]);
    for (std::string parameter; std::getline(list, parameter, ',');) {
      std::smatch name;
      if (!std::regex_search(parameter, name, std::regex(R"((\w+)\s*$)")) || name[1] == "void") continue;
      one.parameters.push_back(name[1]);
    }
    all[(*at)[4]] = one;
  }
  return all;
}

const Declaration& declared(const std::string& name) {
  static const std::map<std::string, Declaration> all = parse_header();
  static const Declaration none;
  const auto found = all.find(name);
  EXPECT_NE(found, all.end()) << name << " is not in the header";
  return found == all.end() ? none : found->second;
}

// Whether it can fail: blazen_error_status reads a status, and cannot.
bool answers_status(const std::string& name) {
  return declared(name).result == "blazen_status" && name != "blazen_error_status";
}

// ---- types of arguments ----

template <class T>
struct HandleKind {
  static constexpr Kind kKind = Kind::count;
};
#define HANDLE_KIND(type, kind)               \
  template <>                                 \
  struct HandleKind<type> {                   \
    static constexpr Kind kKind = Kind::kind; \
  }
HANDLE_KIND(blazen_error, error);
HANDLE_KIND(blazen_value, value);
HANDLE_KIND(blazen_event, event);
HANDLE_KIND(blazen_workflow_builder, builder);
HANDLE_KIND(blazen_pipeline_builder, pipeline_builder);
HANDLE_KIND(blazen_workflow, workflow);
HANDLE_KIND(blazen_runtime, runtime);
HANDLE_KIND(blazen_task, task);
HANDLE_KIND(blazen_run, run);
HANDLE_KIND(blazen_context, context);
HANDLE_KIND(blazen_keys, keys);
HANDLE_KIND(blazen_batch, batch);
HANDLE_KIND(blazen_invocation, invocation);
HANDLE_KIND(blazen_stream, stream);
HANDLE_KIND(blazen_snapshot, snapshot);

template <class T>
inline constexpr Kind kKindOf =
    std::is_pointer_v<T> ? HandleKind<std::remove_cv_t<std::remove_pointer_t<T>>>::kKind : Kind::count;
template <class T>
inline constexpr bool kIsHandle = kKindOf<T> != Kind::count;
template <class T>
inline constexpr bool kIsOptions = false;
template <>
inline constexpr bool kIsOptions<const blazen_event_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_send_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_run_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_stream_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_runtime_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_live_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_retry_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_question*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_step_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_join_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_child_options*> = true;
template <>
inline constexpr bool kIsOptions<const blazen_stage_options*> = true;
// An array of structs: its length is the parameter behind it.
template <class T>
inline constexpr bool kIsArray = std::is_same_v<T, const blazen_branch*>;
// What the call fills, as far as the struct goes.
template <class T>
inline constexpr bool kIsView =
    std::is_same_v<T, blazen_runtime_counters*> || std::is_same_v<T, blazen_event_view*> ||
    std::is_same_v<T, blazen_error_view*> || std::is_same_v<T, blazen_value_view*> ||
    std::is_same_v<T, blazen_join_info*>;
template <class T>
inline constexpr bool kIsText = std::is_same_v<T, const char*> || std::is_same_v<T, const void*>;
template <class T>
inline constexpr bool kIsError = std::is_same_v<T, blazen_error**>;
// A handle, a number or a flag that the call gives back.
template <class T>
inline constexpr bool kIsOut =
    std::is_pointer_v<T> && !kIsError<T> && !kIsHandle<T> && !kIsText<T> && !kIsOptions<T> && !kIsArray<T> &&
    !std::is_same_v<T, void*> && !std::is_function_v<std::remove_pointer_t<T>>;
template <class T>
inline constexpr bool kIsFunction = std::is_pointer_v<T> && std::is_function_v<std::remove_pointer_t<T>>;

// What may be NULL, by the tags of the header.
bool is_optional(const std::string& function, const std::string& parameter) {
  return declared(function).optional.contains(parameter);
}

enum class TextIs { none, name, label, json, bytes, feature };

TextIs text_is(const std::string& function, const std::string& parameter) {
  if (parameter == "text" || parameter == "json") return TextIs::json;
  if (parameter == "data") return TextIs::bytes;
  if (parameter == "feature") return TextIs::feature;
  if (function == "blazen_context_collect") return TextIs::label;  // its key may be empty
  if (parameter == "codec" || parameter == "label" || parameter == "prefix" || parameter == "message")
    return TextIs::label;
  static const std::set<std::string> names = {"name", "accepts",    "step", "type",
                                              "key",  "request_id", "pool", "child_run_id"};
  EXPECT_TRUE(names.contains(parameter)) << function << ": what kind of text is " << parameter << "?";
  return TextIs::name;
}

// A bound beside which nothing of a text may be read; 0: none is documented.
size_t bound_of(TextIs kind, const std::string& parameter) {
  if (kind == TextIs::json) return BLAZEN_VALUE_BYTES_MAX;
  if (parameter == "message" || kind == TextIs::bytes) return BLAZEN_VALUE_BYTES_MAX;
  return kind == TextIs::feature ? 0 : BLAZEN_NAME_BYTES_MAX;
}

// ---- what is passed where nothing is said ----

Tokens<8192> tokens;

blazen_status body(void*, blazen_context*, const blazen_event*, blazen_error**) { return BLAZEN_OK; }
void done(void*, blazen_run*, blazen_run_state) {}
void ready(void*) {}
blazen_status write_nothing(void*, const void*, size_t, blazen_error**) { return BLAZEN_OK; }

constexpr uint64_t kSentinel = 0x5e5e5e5e5e5e5e5e;
constexpr size_t kParametersMax = 10;

// A page that cannot be read at all.
const char* unreadable() {
  static void* page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return static_cast<const char*>(page);
}

struct Call {
  World& world;
  const std::string& function;
  const std::vector<std::string>& names;
  std::array<uint64_t, kParametersMax> slots;  // what the outs point to
  Token* token = nullptr;                      // the user_data, where there is one
};

template <class T>
T good(Call& call, size_t index) {
  const std::string& name = call.names[index];
  if constexpr (std::is_same_v<T, blazen_invocation*>) {
    void* mine = call.world.handle(Kind::invocation);
    if (call.function == "blazen_invocation_finish")  // which takes over one reference, on every path
      (void)blazen_invocation_retain(static_cast<blazen_invocation*>(mine));
    return static_cast<T>(mine);
  } else if constexpr (kIsHandle<T>) {
    return reinterpret_cast<T>(call.world.handle(kKindOf<T>));
  } else if constexpr (std::is_same_v<T, const blazen_retry_options*>) {
    static const blazen_retry_options none = BLAZEN_RETRY_OPTIONS_INIT;
    return &none;
  } else if constexpr (std::is_same_v<T, const blazen_question*>) {
    static const blazen_question none = BLAZEN_QUESTION_INIT;
    return &none;
  } else if constexpr (std::is_same_v<T, const blazen_join_options*>) {
    static const blazen_join_options some = {
        sizeof(blazen_join_options), "other", 5, BLAZEN_JOIN_ALL, 0, 0, 0, 0, 0, 0, 0};
    return &some;
  } else if constexpr (kIsOptions<T>) {
    return nullptr;
  } else if constexpr (kIsArray<T>) {
    static const blazen_branch one = {"branch", 6, nullptr, 1};
    return &one;
  } else if constexpr (kIsView<T>) {
    call.slots[index] = sizeof(size_t);  // the struct of the oldest header: it ends there
    return reinterpret_cast<T>(&call.slots[index]);
  } else if constexpr (std::is_same_v<T, blazen_step_fn>) {
    return body;
  } else if constexpr (std::is_same_v<T, blazen_run_done_fn>) {
    return done;
  } else if constexpr (std::is_same_v<T, blazen_write_fn>) {
    return write_nothing;
  } else if constexpr (std::is_same_v<T, blazen_drop_fn>) {  // blazen_stream_ready_fn is the same type
    return name == "ready" || name == "cancelled" || name == "closed" ? ready : drop_token;
  } else if constexpr (kIsText<T>) {
    if (name == "text" || name == "json") return "[1]";
    if (name == "step") return "ask";
    if (name == "codec" && call.function == "blazen_value_adopt") return nullptr;
    return "abc";
  } else if constexpr (std::is_same_v<T, void*>) {
    static std::set<std::string> names_kept;  // as long as the tokens
    call.token = tokens.take(names_kept.insert(call.function).first->c_str());
    return call.token;
  } else if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<T>(&call.slots[index]);
  } else {
    if (name == "codec_length" && call.function == "blazen_value_adopt") return static_cast<T>(0);
    if (name.ends_with("_length")) return static_cast<T>(3);
    if (name == "tag") return static_cast<T>(BLAZEN_TAG_BYTES);
    if (name == "limit" || name == "bound" || name == "capacity" || name == "concurrency_max" ||
        name == "mode" || name == "format" || name == "branch_count" || name == "max_rounds")
      return static_cast<T>(1);
    return static_cast<T>(0);
  }
}

// Handles that a call has given: the test does not want them.
void give_back(Kind kind, void* handle) {
  switch (kind) {
    case Kind::error: return blazen_error_release(static_cast<blazen_error*>(handle));
    case Kind::value: return blazen_value_release(static_cast<blazen_value*>(handle));
    case Kind::event: return blazen_event_release(static_cast<blazen_event*>(handle));
    case Kind::builder: return blazen_workflow_builder_release(static_cast<blazen_workflow_builder*>(handle));
    case Kind::pipeline_builder:
      return blazen_pipeline_builder_release(static_cast<blazen_pipeline_builder*>(handle));
    case Kind::workflow: return blazen_workflow_release(static_cast<blazen_workflow*>(handle));
    case Kind::runtime: return blazen_runtime_release(static_cast<blazen_runtime*>(handle));
    case Kind::run: return blazen_run_release(static_cast<blazen_run*>(handle));
    case Kind::keys: return blazen_keys_release(static_cast<blazen_keys*>(handle));
    case Kind::batch: return blazen_batch_release(static_cast<blazen_batch*>(handle));
    case Kind::invocation: return blazen_invocation_release(static_cast<blazen_invocation*>(handle));
    case Kind::stream: return blazen_stream_release(static_cast<blazen_stream*>(handle));
    case Kind::snapshot: return blazen_snapshot_release(static_cast<blazen_snapshot*>(handle));
    case Kind::task:
    case Kind::context:
    case Kind::count: break;
  }
}

// The faults of one call: what replaces which argument.
struct Fault {
  size_t index = SIZE_MAX;
  const void* pointer = nullptr;
  uint64_t length = 0;  // of the text at index
  bool has_length = false;
  bool is_timeout = false;
  int64_t timeout_ms = 0;
};

template <class T>
T argument(Call& call, const Fault& fault, size_t index) {
  if constexpr (std::is_pointer_v<T>) {
    if (fault.index == index && !fault.is_timeout)
      return reinterpret_cast<T>(const_cast<void*>(fault.pointer));
  } else {
    if (fault.is_timeout && fault.index == index) return static_cast<T>(fault.timeout_ms);
    if (fault.has_length && fault.index + 1 == index) return static_cast<T>(fault.length);
  }
  return good<T>(call, index);
}

struct Outcome {
  blazen_status status = BLAZEN_OK;
  std::string message;
  uint64_t offset = UINT64_MAX;
  bool outs_untouched = true;
  bool error_untouched = true;
  bool error_agrees = true;
  bool neutral = true;  // of a getter: NULL or 0
  uint64_t length = 0;  // of a getter
  std::string text;     // of a getter that answers a text
  int drops = -1;       // -1: there is no drop
};

// Runs the function with a fault; with_error: gives it a place for the error.
template <class R, class... A, size_t... I>
Outcome run_call(World& world, const std::string& name, R (*function)(A...), const Fault& fault,
                 [[maybe_unused]] bool with_error, std::index_sequence<I...>) {
  static_assert(sizeof...(A) <= kParametersMax);
  const std::vector<std::string>& names = declared(name).parameters;
  EXPECT_EQ(names.size(), sizeof...(A)) << name;
  Call call{world, name, names, {}, nullptr};
  call.slots.fill(kSentinel);
  std::tuple<A...> arguments{argument<A>(call, fault, I)...};
  (
      [&] {
        if constexpr (kIsError<A>) {
          if (!with_error) std::get<I>(arguments) = nullptr;
        }
      }(),
      ...);
  Outcome outcome;
  const auto judge_outs = [&] {
    (
        [&] {
          if constexpr (kIsOut<A> && !kIsView<A>)
            outcome.outs_untouched = outcome.outs_untouched && call.slots[I] == kSentinel;
          if constexpr (kIsOut<A> && kIsHandle<std::remove_pointer_t<A>>) {
            if (call.slots[I] != kSentinel) {
              give_back(kKindOf<std::remove_pointer_t<A>>, reinterpret_cast<void*>(call.slots[I]));
            }
          }
          if constexpr (kIsError<A>) {
            outcome.error_untouched = call.slots[I] == kSentinel;
            if (!outcome.error_untouched) {
              ErrorHandle error(reinterpret_cast<blazen_error*>(call.slots[I]));
              outcome.message = message_of(error);
              outcome.offset = blazen_error_offset(error);
              outcome.error_agrees = blazen_error_status(error) == outcome.status && !outcome.message.empty();
            }
          }
          if constexpr (std::is_same_v<A, size_t*>) outcome.length = call.slots[I];
        }(),
        ...);
  };
  if constexpr (std::is_void_v<R>) {
    std::apply(function, arguments);
  } else {
    const R result = std::apply(function, arguments);
    if (answers_status(name)) {
      if constexpr (std::is_same_v<R, blazen_status>) outcome.status = result;
    } else {
      outcome.neutral = result == R{};
      if constexpr (kIsHandle<R>) {
        if (name.ends_with("_retain"))
          give_back(kKindOf<R>, const_cast<std::remove_cv_t<std::remove_pointer_t<R>>*>(result));
      }
      if constexpr (std::is_same_v<R, const char*>) outcome.text = result == nullptr ? "(null)" : result;
      if constexpr (std::is_same_v<R, uint64_t>) outcome.offset = result;
    }
  }
  judge_outs();
  if (call.token != nullptr && std::count(names.begin(), names.end(), "drop") != 0)
    outcome.drops = call.token->drops;
  return outcome;
}

// ---- the table ----

struct Row {
  std::string name;
  std::function<Outcome(World&, const Fault&, bool with_error)> call;
  std::vector<Kind> kinds;  // of each parameter, count where it is no handle
  std::vector<char> texts;
  std::vector<char> outs;
  std::vector<char> options;
  std::vector<char> arrays;
  std::vector<char> functions;
  bool gives_status;
};

template <class R, class... A>
Row row(const char* name, R (*function)(A...)) {
  return {name,
          [=](World& world, const Fault& fault, bool with_error) {
            return run_call(world, name, function, fault, with_error, std::index_sequence_for<A...>());
          },
          {kKindOf<A>...},
          {static_cast<char>(kIsText<A>)...},
          {static_cast<char>(kIsOut<A>)...},
          {static_cast<char>(kIsOptions<A>)...},
          {static_cast<char>(kIsArray<A>)...},
          {static_cast<char>(kIsFunction<A> && !std::is_same_v<A, blazen_drop_fn>)...},
          answers_status(name)};
}

#define ROW(function) row(#function, function)

const std::vector<Row>& table() {
  static const std::vector<Row> rows = {
      ROW(blazen_error_host),
      ROW(blazen_error_retain),
      ROW(blazen_error_release),
      ROW(blazen_error_status),
      ROW(blazen_error_message),
      ROW(blazen_error_host_code),
      ROW(blazen_error_step),
      ROW(blazen_error_attempt),
      ROW(blazen_error_offset),
      ROW(blazen_error_detail),
      ROW(blazen_error_cause),
      ROW(blazen_error_view_init),
      ROW(blazen_error_read),
      ROW(blazen_status_name),
      ROW(blazen_value_json),
      ROW(blazen_value_bytes),
      ROW(blazen_value_native),
      ROW(blazen_value_live),
      ROW(blazen_live_options_init),
      ROW(blazen_value_live_with),
      ROW(blazen_value_adopt),
      ROW(blazen_value_retain),
      ROW(blazen_value_release),
      ROW(blazen_value_tag),
      ROW(blazen_value_data),
      ROW(blazen_value_codec),
      ROW(blazen_value_object),
      ROW(blazen_value_object_of),
      ROW(blazen_value_view_init),
      ROW(blazen_event_options_init),
      ROW(blazen_event_create),
      ROW(blazen_event_retain),
      ROW(blazen_event_release),
      ROW(blazen_event_type),
      ROW(blazen_event_value),
      ROW(blazen_event_id),
      ROW(blazen_event_source),
      ROW(blazen_event_correlation),
      ROW(blazen_event_name),
      ROW(blazen_event_view_init),
      ROW(blazen_event_read),
      ROW(blazen_send_options_init),
      ROW(blazen_workflow_builder_create),
      ROW(blazen_workflow_builder_retain),
      ROW(blazen_workflow_builder_release),
      ROW(blazen_workflow_builder_add_step),
      ROW(blazen_workflow_builder_add_elsewhere),
      ROW(blazen_workflow_builder_step_accepts),
      ROW(blazen_workflow_builder_step_emits),
      ROW(blazen_join_options_init),
      ROW(blazen_workflow_builder_step_joins),
      ROW(blazen_workflow_builder_step_max_concurrency),
      ROW(blazen_workflow_builder_step_timeout),
      ROW(blazen_workflow_builder_step_uses_pool),
      ROW(blazen_workflow_builder_step_abandoned),
      ROW(blazen_retry_options_init),
      ROW(blazen_workflow_builder_step_retry),
      ROW(blazen_workflow_builder_step_atomic),
      ROW(blazen_step_options_init),
      ROW(blazen_workflow_builder_add_step_with),
      ROW(blazen_child_options_init),
      ROW(blazen_workflow_builder_add_workflow),
      ROW(blazen_workflow_builder_add_workflows),
      ROW(blazen_workflow_builder_set_timeout),
      ROW(blazen_workflow_builder_set_session_on_pause),
      ROW(blazen_workflow_builder_set_unhandled),
      ROW(blazen_workflow_builder_set_idle),
      ROW(blazen_workflow_builder_set_session_policy),
      ROW(blazen_workflow_builder_set_limit),
      ROW(blazen_workflow_builder_build),
      ROW(blazen_stage_options_init),
      ROW(blazen_pipeline_builder_create),
      ROW(blazen_pipeline_builder_retain),
      ROW(blazen_pipeline_builder_release),
      ROW(blazen_pipeline_builder_add_stage),
      ROW(blazen_pipeline_builder_add_parallel),
      ROW(blazen_pipeline_builder_add_loop),
      ROW(blazen_pipeline_builder_add_parallel_loop),
      ROW(blazen_pipeline_builder_set_timeout),
      ROW(blazen_pipeline_builder_set_stage_timeout),
      ROW(blazen_pipeline_builder_set_session_policy),
      ROW(blazen_pipeline_builder_set_limit),
      ROW(blazen_pipeline_builder_build),
      ROW(blazen_workflow_retain),
      ROW(blazen_workflow_release),
      ROW(blazen_workflow_name),
      ROW(blazen_workflow_fingerprint),
      ROW(blazen_workflow_describe),
      ROW(blazen_workflow_draw),
      ROW(blazen_runtime_options_init),
      ROW(blazen_runtime_create),
      ROW(blazen_runtime_retain),
      ROW(blazen_runtime_release),
      ROW(blazen_runtime_close),
      ROW(blazen_runtime_close_within),
      ROW(blazen_runtime_begin_close),
      ROW(blazen_runtime_poll),
      ROW(blazen_runtime_poll_next),
      ROW(blazen_runtime_descriptor),
      ROW(blazen_runtime_next_timer),
      ROW(blazen_runtime_counters_init),
      ROW(blazen_runtime_count),
      ROW(blazen_runtime_set_pool),
      ROW(blazen_task_run),
      ROW(blazen_task_cancel),
      ROW(blazen_run_options_init),
      ROW(blazen_workflow_run),
      ROW(blazen_run_create),
      ROW(blazen_run_resume),
      ROW(blazen_run_start),
      ROW(blazen_run_retain),
      ROW(blazen_run_release),
      ROW(blazen_run_close),
      ROW(blazen_run_close_within),
      ROW(blazen_run_wait),
      ROW(blazen_run_on_done),
      ROW(blazen_run_wait_until),
      ROW(blazen_run_on_state),
      ROW(blazen_run_state_now),
      ROW(blazen_run_result),
      ROW(blazen_run_id),
      ROW(blazen_run_metadata),
      ROW(blazen_run_elsewhere),
      ROW(blazen_run_dropped),
      ROW(blazen_run_send_event),
      ROW(blazen_run_get_value),
      ROW(blazen_run_keys),
      ROW(blazen_run_compare_and_set),
      ROW(blazen_run_apply),
      ROW(blazen_run_stages),
      ROW(blazen_run_child),
      ROW(blazen_run_cancel_invocation),
      ROW(blazen_run_pause),
      ROW(blazen_run_resume_in_place),
      ROW(blazen_run_abort),
      ROW(blazen_run_respond),
      ROW(blazen_run_respond_early),
      ROW(blazen_run_withdraw_question),
      ROW(blazen_run_fail_question),
      ROW(blazen_run_questions),
      ROW(blazen_run_wants_input),
      ROW(blazen_run_describe),
      ROW(blazen_context_run_id),
      ROW(blazen_context_workflow_name),
      ROW(blazen_context_step_name),
      ROW(blazen_context_invocation_id),
      ROW(blazen_context_attempt),
      ROW(blazen_context_is_cancelled),
      ROW(blazen_context_on_cancel),
      ROW(blazen_context_cancel_descriptor),
      ROW(blazen_context_run),
      ROW(blazen_context_event),
      ROW(blazen_context_events),
      ROW(blazen_join_info_init),
      ROW(blazen_context_join_info),
      ROW(blazen_context_answer),
      ROW(blazen_context_collect),
      ROW(blazen_context_scope_id),
      ROW(blazen_context_emit),
      ROW(blazen_context_emit_json),
      ROW(blazen_context_emit_event),
      ROW(blazen_context_send_event),
      ROW(blazen_context_retry_after),
      ROW(blazen_question_init),
      ROW(blazen_context_ask),
      ROW(blazen_context_publish),
      ROW(blazen_context_progress),
      ROW(blazen_context_set_value),
      ROW(blazen_context_set_json),
      ROW(blazen_context_set_bytes),
      ROW(blazen_context_get_value),
      ROW(blazen_context_read),
      ROW(blazen_context_has_value),
      ROW(blazen_context_remove_value),
      ROW(blazen_context_keys),
      ROW(blazen_context_clear_values),
      ROW(blazen_context_compare_and_set),
      ROW(blazen_context_apply),
      ROW(blazen_context_set_session),
      ROW(blazen_context_get_session),
      ROW(blazen_context_has_session),
      ROW(blazen_context_remove_session),
      ROW(blazen_context_session_keys),
      ROW(blazen_keys_count),
      ROW(blazen_keys_at),
      ROW(blazen_keys_retain),
      ROW(blazen_keys_release),
      ROW(blazen_batch_create),
      ROW(blazen_batch_set),
      ROW(blazen_batch_remove),
      ROW(blazen_batch_expect),
      ROW(blazen_batch_retain),
      ROW(blazen_batch_release),
      ROW(blazen_context_defer),
      ROW(blazen_invocation_context),
      ROW(blazen_invocation_event),
      ROW(blazen_invocation_complete),
      ROW(blazen_invocation_fail),
      ROW(blazen_invocation_finish),
      ROW(blazen_invocation_retain),
      ROW(blazen_invocation_release),
      ROW(blazen_stream_options_init),
      ROW(blazen_run_subscribe),
      ROW(blazen_run_subscribe_with),
      ROW(blazen_stream_next),
      ROW(blazen_stream_take),
      ROW(blazen_stream_on_ready),
      ROW(blazen_stream_cancel_ready),
      ROW(blazen_stream_close),
      ROW(blazen_stream_retain),
      ROW(blazen_stream_release),
      ROW(blazen_run_snapshot),
      ROW(blazen_run_snapshot_to),
      ROW(blazen_snapshot_parse),
      ROW(blazen_snapshot_adopt),
      ROW(blazen_snapshot_data),
      ROW(blazen_snapshot_info),
      ROW(blazen_snapshot_metadata),
      ROW(blazen_snapshot_retain),
      ROW(blazen_snapshot_release),
      ROW(blazen_version),
      ROW(blazen_abi),
      ROW(blazen_has_feature),
  };
  return rows;
}

const std::vector<std::string>& names_of(const Row& row) { return declared(row.name).parameters; }
bool has_parameter(const Row& row, const char* name) {
  const auto& names = names_of(row);
  return std::count(names.begin(), names.end(), name) != 0;
}

// A call failed as it should: the status, an error that says the same and names the argument, nothing else
// touched.
void expect_refused(const Row& row, World& world, const Fault& fault, std::set<blazen_status> statuses,
                    const std::string& what, uint64_t offset = UINT64_MAX) {
  const std::string& name = names_of(row)[fault.index];
  const Outcome outcome = row.call(world, fault, true);
  const Outcome silent = row.call(world, fault, false);
  std::string complaint;
  const auto require = [&](bool holds, const std::string& text) {
    if (!holds) complaint += "\n    " + text;
  };
  require(statuses.contains(outcome.status), std::string("answers ") + blazen_status_name(outcome.status));
  require(outcome.outs_untouched, "an output was written");
  require(outcome.drops == -1 || outcome.drops == 1, std::to_string(outcome.drops) + " drops of user_data");
  require(!outcome.error_untouched && outcome.error_agrees, "no error, or one that says something else");
  require(outcome.message.find(name) != std::string::npos, "the message does not name the argument");
  require(outcome.offset == offset, "the byte at fault is " + std::to_string(outcome.offset));
  require(statuses.contains(silent.status),
          std::string("with error NULL: ") + blazen_status_name(silent.status));
  require(silent.outs_untouched, "with error NULL, an output was written");
  EXPECT_EQ(complaint, "") << row.name << ": " << name << " is " << what
                           << "; the message: " << outcome.message;
}

// A getter answered what its comment names.
void expect_neutral(const Row& row, World& world, const Fault& fault, const std::string& what) {
  SCOPED_TRACE(row.name + ": " + names_of(row)[fault.index] + " is " + what);
  const Outcome outcome = row.call(world, fault, true);
  if (row.name == "blazen_error_message" || row.name == "blazen_value_codec") {
    EXPECT_EQ(outcome.text, "");
  } else if (row.name == "blazen_error_offset") {
    EXPECT_EQ(outcome.offset, UINT64_MAX);
  } else {
    EXPECT_TRUE(outcome.neutral);
  }
  if (has_parameter(row, "length")) EXPECT_EQ(outcome.length, 0U);
}

// ---- the tests over the table ----

TEST(BadInput, EveryFunctionOfTheHeaderIsInTheTable) {
  const std::string text = read_header();
  std::set<std::string> in_header;
  const std::regex declaration(R"(BLAZEN_API\s[^;#]*?(blazen_\w+)\()");
  for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at)
    in_header.insert((*at)[1]);
  std::set<std::string> in_table;
  for (const Row& row : table()) in_table.insert(row.name);
  EXPECT_GT(in_header.size(), 100U);
  EXPECT_EQ(in_header, in_table);
  // And the parser that gives the names of parameters has understood each of them.
  for (const std::string& name : in_header) EXPECT_FALSE(declared(name).result.empty()) << name;
}

TEST(BadInput, AHandleOfAnotherKindIsRefused) {
  World world;
  for (const Row& row : table()) {
    for (size_t i = 0; i < row.kinds.size(); ++i) {
      if (row.kinds[i] == Kind::count) continue;
      for (int kind = 0; kind < static_cast<int>(Kind::count); ++kind) {
        if (static_cast<Kind>(kind) == row.kinds[i]) continue;
        const Fault fault{i, world.handle(static_cast<Kind>(kind))};
        ASSERT_NE(fault.pointer, nullptr) << kind;
        const std::string what = "a handle of kind " + std::to_string(kind);
        if (row.gives_status) {
          expect_refused(row, world, fault, {BLAZEN_ERROR_WRONG_HANDLE}, what);
        } else {
          expect_neutral(row, world, fault, what);
        }
      }
    }
  }
}

TEST(BadInput, NullIsRefusedWhereItIsNotAllowed) {
  World world;
  for (const Row& row : table()) {
    const auto& names = names_of(row);
    for (size_t i = 0; i < row.kinds.size(); ++i) {
      const Fault fault{i, nullptr};
      if (row.kinds[i] != Kind::count && !row.gives_status) {
        expect_neutral(row, world, fault, "NULL");
      } else if ((row.kinds[i] != Kind::count || row.outs[i] || row.options[i] || row.functions[i]) &&
                 row.gives_status && !is_optional(row.name, names[i])) {
        expect_refused(row, world, fault, {BLAZEN_ERROR_INVALID_ARGUMENT}, "NULL");
      }
    }
  }
  // "One more reference. NULL gives NULL", "release takes NULL": the loop above, since they give no status.
  // Function pointers of the type of a drop are told apart by hand.
  ErrorHandle error;
  Token* token = tokens.take("on_ready");
  EXPECT_EQ(blazen_stream_on_ready(world.stream, nullptr, token, drop_token, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message_of(error).find("ready"), std::string_view::npos);
  EXPECT_EQ(token->drops, 1);
  token = tokens.take("on_cancel");
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  EXPECT_EQ(blazen_context_on_cancel(context, nullptr, token, drop_token, error.out()),
            BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message_of(error).find("cancelled"), std::string_view::npos);
  EXPECT_EQ(token->drops, 1);
}

TEST(BadInput, NullIsTakenWhereTheTagsAllowIt) {
  size_t tried = 0;
  World world;
  for (const Row& row : table()) {
    if (!row.gives_status) continue;
    const auto& names = names_of(row);
    for (size_t i = 0; i < names.size(); ++i) {
      if (!is_optional(row.name, names[i])) continue;
      const bool has_length = row.texts[i] != 0 || row.arrays[i] != 0;
      const Outcome outcome = row.call(world, {i, nullptr, 0, has_length}, true);
      EXPECT_EQ(outcome.message.find(names[i] + " is NULL"), std::string::npos) << row.name;
      EXPECT_NE(outcome.status, BLAZEN_ERROR_INVALID_ARGUMENT) << row.name << ": " << names[i];
      EXPECT_NE(outcome.status, BLAZEN_ERROR_WRONG_HANDLE) << row.name << ": " << names[i];
      ++tried;
    }
  }
  EXPECT_GT(tried, 40U);
}

// A text that tells and names nothing: what is not UTF-8 in it is mended (host_text_test.cc).
bool is_for_people(const std::string& function, const std::string& parameter) {
  return (function == "blazen_error_host" && parameter == "message") ||
         (function == "blazen_context_progress" && parameter == "label");
}

TEST(BadInput, TextsAreRefusedWithTheByteAtFault) {
  World world;
  for (const Row& row : table()) {
    const auto& names = names_of(row);
    for (size_t i = 0; i < row.texts.size(); ++i) {
      if (!row.texts[i]) continue;
      const TextIs kind = text_is(row.name, names[i]);
      if (!row.gives_status) continue;
      expect_refused(row, world, {i, nullptr, 1, true}, {BLAZEN_ERROR_INVALID_ARGUMENT},
                     "NULL with a length");
      if (kind == TextIs::name) {
        expect_refused(row, world, {i, "abc", 0, true}, {BLAZEN_ERROR_INVALID_ARGUMENT}, "empty");
        expect_refused(row, world, {i, nullptr, 0, true}, {BLAZEN_ERROR_INVALID_ARGUMENT}, "NULL and empty");
      }
      if (kind == TextIs::name || kind == TextIs::label) {
        if (row.name == "blazen_value_adopt") continue;  // its codec: below
        if (is_for_people(row.name, names[i])) continue;
        if (names[i] != "prefix")
          expect_refused(row, world, {i, "ab", 3, true}, {BLAZEN_ERROR_INVALID_ARGUMENT},
                         "with its terminator counted in", 2);
        expect_refused(row, world, {i, "ab\xff", 3, true}, {BLAZEN_ERROR_INVALID_UTF8}, "broken", 2);
        // A surrogate, in a text longer than what is checked at once.
        const std::string longer = std::string(100, 'x') + "\xed\xa0\x80" + std::string(100, 'x');
        expect_refused(row, world, {i, longer.data(), longer.size(), true}, {BLAZEN_ERROR_INVALID_UTF8},
                       "a surrogate", 100);
        // Exactly as long as was said: nothing may be read beyond.
        const std::vector<char> exact = {'a', '\xe2', '\x82'};
        expect_refused(row, world, {i, exact.data(), 3, true}, {BLAZEN_ERROR_INVALID_UTF8}, "cut short", 1);
      }
      if (kind == TextIs::json) {
        expect_refused(row, world, {i, "[1", 2, true}, {BLAZEN_ERROR_INVALID_JSON}, "cut short", 2);
        expect_refused(row, world, {i, "", 0, true}, {BLAZEN_ERROR_INVALID_JSON}, "empty", 0);
        expect_refused(row, world, {i, "\"ab\xff\"", 5, true},
                       {BLAZEN_ERROR_INVALID_JSON, BLAZEN_ERROR_INVALID_UTF8}, "no UTF-8", 3);
        const std::string deep(BLAZEN_JSON_DEPTH_MAX + 1, '[');
        expect_refused(row, world, {i, deep.data(), deep.size(), true},
                       {BLAZEN_ERROR_INVALID_JSON, BLAZEN_ERROR_LIMIT}, "too deep", BLAZEN_JSON_DEPTH_MAX);
      }
    }
  }
}

// A length beyond the bound is refused before a byte is read. In a child: what does read, crashes.
TEST(BadInput, EndlessTextsAreNotRead) {
  World world;
  ASSERT_NE(unreadable(), MAP_FAILED);
  for (const Row& row : table()) {
    const auto& names = names_of(row);
    for (size_t i = 0; i < row.texts.size(); ++i) {
      if (!row.texts[i]) continue;
      if (row.name == "blazen_value_adopt" && names[i] == "codec") continue;  // below
      const TextIs kind = text_is(row.name, names[i]);
      std::vector<uint64_t> lengths = {SIZE_MAX, SIZE_MAX - 1, static_cast<uint64_t>(PTRDIFF_MAX) + 1};
      if (row.name != "blazen_snapshot_parse" && row.name != "blazen_snapshot_adopt") {
        if (const size_t bound = bound_of(kind, names[i])) lengths.push_back(bound + 1);
      } else if (row.name == "blazen_snapshot_parse") {
        lengths.push_back(PTRDIFF_MAX);  // there is no memory for a copy
      }
      for (const uint64_t length : lengths) {
        const Fault fault{i, unreadable(), length, true};
        const Child child = in_child([&] {
          World own;  // a child can do nothing with what it inherits
          const Outcome outcome = row.call(own, fault, true);
          if (!row.gives_status) return std::string(outcome.neutral ? "neutral" : "an answer");
          return std::to_string(outcome.status) + " " + outcome.message;
        });
        const std::string& said = child.said;
        SCOPED_TRACE(row.name + ": " + names[i] + " has " + std::to_string(length) + " bytes");
        EXPECT_EQ(child.fault(), "");
        if (!row.gives_status) {
          EXPECT_EQ(said, "neutral");
        } else if (row.name == "blazen_snapshot_parse" || row.name == "blazen_snapshot_adopt") {
          // It has no bound of its own but memory's.
          EXPECT_TRUE(said.starts_with("100 ") || said.starts_with("200 ") || said.starts_with("201 "))
              << said;
        } else {
          EXPECT_TRUE(said.starts_with("201 " + names[i]) && said.find("_MAX") != std::string::npos)
              << "expected BLAZEN_ERROR_LIMIT with the names of the argument and of the bound: " << said;
        }
      }
    }
  }
}

TEST(BadInput, OptionStructsOfNoPossibleSizeAreRefused) {
  World world;
  for (const Row& row : table()) {
    for (size_t i = 0; i < row.options.size(); ++i) {
      if (!row.options[i]) continue;
      // Enough for any of them, and for fields that are yet to come.
      alignas(16) unsigned char memory[8192] = {};
      const auto with_size = [&](size_t size) -> Fault {
        std::memcpy(memory, &size, sizeof size);
        return {i, memory};
      };
      for (const size_t size : {size_t{0}, size_t{1}, sizeof(size_t) - 1, size_t{4097}, SIZE_MAX}) {
        expect_refused(row, world, with_size(size), {BLAZEN_ERROR_INVALID_ARGUMENT},
                       "of size " + std::to_string(size));
      }
      memory[200] = 1;
      expect_refused(row, world, with_size(208), {BLAZEN_ERROR_INVALID_ARGUMENT},
                     "with a field of tomorrow set");
    }
  }
}

// Half a pointer is no field: what would be read of it is garbage, and what is called of it is a crash.
TEST(BadInput, OptionStructsThatEndInsideAFieldAreRefused) {
  for (const Row& row : table()) {
    for (size_t i = 0; i < row.options.size(); ++i) {
      if (!row.options[i]) continue;
      World world;
      alignas(16) unsigned char memory[64] = {};
      const size_t size = sizeof(size_t) + 3;
      std::memcpy(memory, &size, sizeof size);
      expect_refused(row, world, {i, memory}, {BLAZEN_ERROR_INVALID_ARGUMENT}, "of a size inside a field");
    }
  }
}

TEST(BadInput, OptionStructsOfAnOlderAndANewerHeaderAreTaken) {
  for (const Row& row : table()) {
    for (size_t i = 0; i < row.options.size(); ++i) {
      // A join says of what, in whatever header: TheFieldsOfAJoinAreChecked.
      if (!row.options[i] || row.name == "blazen_run_resume" ||
          row.name == "blazen_workflow_builder_step_joins")
        continue;
      for (const size_t size : {sizeof(size_t), size_t{208}, size_t{4096}}) {
        World world;
        alignas(16) unsigned char memory[4096] = {};
        std::memcpy(memory, &size, sizeof size);
        const Outcome outcome = row.call(world, {i, memory}, true);
        // They send to a run that nobody in it accepts; the options are not what is wrong.
        EXPECT_NE(outcome.status, BLAZEN_ERROR_INVALID_ARGUMENT)
            << row.name << " of size " << size << ": " << outcome.message;
      }
    }
  }
}

TEST(BadInput, NegativeTimeoutsAreRefused) {
  World world;
  int found = 0;
  for (const Row& row : table()) {
    const auto& names = names_of(row);
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] != "timeout_ms" && names[i] != "delay_ms") continue;
      if (!row.gives_status || row.outs[i]) continue;
      ++found;
      for (const int64_t timeout_ms : {int64_t{-2}, int64_t{-1000}, INT64_MIN}) {
        Fault fault{i};
        fault.is_timeout = true;
        fault.timeout_ms = timeout_ms;
        expect_refused(row, world, fault, {BLAZEN_ERROR_INVALID_ARGUMENT}, std::to_string(timeout_ms));
      }
    }
  }
  EXPECT_EQ(found, 11);
}

// The arguments that the table calls good are good, and a success leaves *error alone.
TEST(BadInput, SuccessLeavesTheErrorUntouched) {
  const std::map<std::string, blazen_status> others = {
      {"blazen_error_host", BLAZEN_ERROR_HOST},
      {"blazen_run_start", BLAZEN_ERROR_WRONG_STATE},   // it was started
      {"blazen_run_result", BLAZEN_ERROR_WRONG_STATE},  // and has not ended
      {"blazen_run_wait", BLAZEN_ERROR_TIMEOUT},        // with a timeout of 0
      {"blazen_run_wait_until", BLAZEN_ERROR_TIMEOUT},  //
      {"blazen_stream_next", BLAZEN_ERROR_TIMEOUT},     //
      {"blazen_stream_take", BLAZEN_ERROR_TIMEOUT},     //
      {"blazen_workflow_run", BLAZEN_OK},  // its step answers OK the second time and stalls: see below
      {"blazen_context_defer", BLAZEN_ERROR_WRONG_STATE},  // the body has returned
      {"blazen_snapshot_parse", BLAZEN_ERROR_SNAPSHOT_INVALID},
      {"blazen_snapshot_adopt", BLAZEN_ERROR_SNAPSHOT_INVALID},
      {"blazen_run_respond", BLAZEN_ERROR_NOT_FOUND},  // there is no such question
      {"blazen_run_fail_question", BLAZEN_ERROR_NOT_FOUND},
      {"blazen_run_withdraw_question", BLAZEN_ERROR_NOT_FOUND},
      {"blazen_run_cancel_invocation", BLAZEN_ERROR_NOT_FOUND},    // nor such an invocation
      {"blazen_run_child", BLAZEN_ERROR_INVALID_ARGUMENT},         // its id is no UUID
      {"blazen_run_stages", BLAZEN_ERROR_WRONG_STATE},             // it is no pipeline
      {"blazen_context_answer", BLAZEN_ERROR_WRONG_PLACE},         // nor is the step a mapper
      {"blazen_context_ask", BLAZEN_PENDING},                      // and now there is one
      {"blazen_runtime_set_pool", BLAZEN_ERROR_INVALID_ARGUMENT},  // of no permits
      {"blazen_run_send_event", BLAZEN_OK},  // nobody accepts it: the run fails, not the call
  };
  for (const Row& row : table()) {
    if (!row.gives_status || row.name == "blazen_workflow_run" || row.name == "blazen_run_resume") continue;
    World world;
    const Outcome outcome = row.call(world, {}, true);
    const auto other = others.find(row.name);
    const blazen_status expected = other == others.end() ? BLAZEN_OK : other->second;
    EXPECT_EQ(outcome.status, expected) << row.name << ": " << outcome.message;
    EXPECT_EQ(outcome.error_untouched, expected < 100) << row.name;
  }
}

// ---- what the types do not tell ----

class BadFields : public testing::Test {
 protected:
  // The status and the message of a call.
  void refused(blazen_status expected, std::string_view argument,
               const std::function<blazen_status(blazen_error**)>& call) {
    ErrorHandle error;
    EXPECT_EQ(call(error.out()), expected) << message_of(error);
    EXPECT_NE(message_of(error).find(argument), std::string_view::npos)
        << argument << ": " << message_of(error);
    EXPECT_EQ(call(nullptr), expected) << "without an error";
  }
};

TEST_F(BadFields, UnknownEnumsAndBoundsAreRefused) {
  World world;
  for (const int32_t number : {-1, 3, INT32_MAX, INT32_MIN}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "unhandled",
            [&](auto error) { return blazen_workflow_builder_set_unhandled(world.builder, number, error); });
  }
  for (const int32_t number : {-1, 2, INT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "idle",
            [&](auto error) { return blazen_workflow_builder_set_idle(world.builder, number, error); });
  }
  for (const int32_t number : {-1, 4, INT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "policy", [&](auto error) {
      return blazen_workflow_builder_set_session_policy(world.builder, number, error);
    });
  }
  for (const int32_t number : {-1, 0, 13, INT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "limit",
            [&](auto error) { return blazen_workflow_builder_set_limit(world.builder, number, 1, error); });
  }
  for (const blazen_limit limit :
       {BLAZEN_LIMIT_SUBSCRIBERS, BLAZEN_LIMIT_CHILD_DEPTH, BLAZEN_LIMIT_CHILDREN}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "bound",
            [&](auto error) { return blazen_workflow_builder_set_limit(world.builder, limit, 0, error); });
    OK(blazen_workflow_builder_set_limit(world.builder, limit, 1, error));
  }
  refused(BLAZEN_ERROR_LIMIT, "BLAZEN_CHILD_DEPTH_MAX", [&](auto error) {
    return blazen_workflow_builder_set_limit(world.builder, BLAZEN_LIMIT_CHILD_DEPTH,
                                             BLAZEN_CHILD_DEPTH_MAX + 1, error);
  });
  for (const int32_t number : {-1, 2, INT32_MAX, INT32_MIN}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "session", [&](auto error) {
      return blazen_workflow_builder_set_session_on_pause(world.builder, number, error);
    });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "atomic", [&](auto error) {
      return blazen_workflow_builder_step_atomic(world.builder, "ask", 3, number, error);
    });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "abandoned", [&](auto error) {
      return blazen_workflow_builder_step_abandoned(world.builder, "ask", 3, number, error);
    });
  }
  for (const int32_t number : {-1, 0, 3, INT32_MAX}) {
    ValueHandle drawing;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "format",
            [&](auto error) { return blazen_workflow_draw(world.workflow, number, drawing.out(), error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "mode",
            [&](auto error) { return blazen_run_pause(world.run, number, error); });
  }
  // A bit of a state that a wait always ends with, of one that nobody can wait for, and of none.
  for (const uint32_t bits : {1U, 2U, 4U, 32U, 64U, 128U, 1024U, 8U | 2U, 0x80000000U, UINT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "until",
            [&](auto error) { return blazen_run_wait_until(world.run, bits, 0, nullptr, error); });
    Token* token = tokens.take("on_state");
    EXPECT_EQ(blazen_run_on_state(world.run, bits, done, token, drop_token, nullptr),
              BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(token->drops, 1);
  }
  for (const blazen_tag tag : {blazen_tag{BLAZEN_TAG_NONE}, blazen_tag{BLAZEN_TAG_LIVE}, 5, -1}) {
    Token* token = tokens.take("adopt");
    blazen_value* value = nullptr;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "tag", [&](auto error) {
      return blazen_value_adopt(tag, "1", 1, nullptr, 0, token, drop_token, &value, error);
    });
    EXPECT_EQ(token->drops, 2) << "once for each of two calls";
    EXPECT_EQ(value, nullptr);
  }
  EXPECT_STREQ(blazen_status_name(12345), "BLAZEN_UNKNOWN");
  EXPECT_STREQ(blazen_status_name(INT32_MIN), "BLAZEN_UNKNOWN");
}

TEST_F(BadFields, TimesHaveABound) {
  World world;
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  for (const int64_t ms : {int64_t{-1}, INT64_MIN, int64_t{BLAZEN_TIME_MS_MAX} + 1, INT64_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "timeout_ms",
            [&](auto error) { return blazen_workflow_builder_set_timeout(world.builder, ms, error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "timeout_ms", [&](auto error) {
      return blazen_workflow_builder_step_timeout(world.builder, "ask", 3, ms, error);
    });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "delay_ms",
            [&](auto error) { return blazen_context_retry_after(context, ms, error); });
    blazen_send_options later = BLAZEN_SEND_OPTIONS_INIT;
    later.delay_ms = ms;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.delay_ms",
            [&](auto error) { return blazen_run_send_event(world.run, world.event, &later, error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.delay_ms",
            [&](auto error) { return blazen_context_send_event(context, world.event, &later, error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.delay_ms",
            [&](auto error) { return blazen_context_emit_event(context, world.event, &later, error); });
  }
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "timeout_ms", [&](auto error) {
    return blazen_workflow_builder_step_timeout(world.builder, "ask", 3,
                                                int64_t{BLAZEN_STEP_TIMEOUT_MS_MAX} + 1, error);
  });
  OK(blazen_workflow_builder_set_timeout(world.builder, BLAZEN_TIME_MS_MAX, error));
  OK(blazen_workflow_builder_step_timeout(world.builder, "ask", 3, BLAZEN_STEP_TIMEOUT_MS_MAX, error));
  OK(blazen_context_retry_after(context, BLAZEN_TIME_MS_MAX, error));
}

TEST_F(BadFields, APoolHasAPermitAtLeastAndAStepUsesOne) {
  World world;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "permits",
          [&](auto error) { return blazen_runtime_set_pool(world.runtime, BLAZEN_TEXT("pool"), 0, error); });
  OK(blazen_runtime_set_pool(world.runtime, BLAZEN_TEXT("pool"), UINT32_MAX, error));
  OK(blazen_workflow_builder_step_uses_pool(world.builder, "ask", 3, BLAZEN_TEXT("pool"), error));
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step", [&](auto error) {
    return blazen_workflow_builder_step_uses_pool(world.builder, "ask", 3, BLAZEN_TEXT("other"), error);
  });
}

TEST_F(BadFields, ThePolicyOfARetryIsChecked) {
  World world;
  blazen_retry_options policy = BLAZEN_RETRY_OPTIONS_INIT;
  const auto set = [&](blazen_error** error) {
    return blazen_workflow_builder_step_retry(world.builder, "ask", 3, &policy, error);
  };
  const auto is_refused = [&](std::string_view argument) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, argument, set);
    policy = BLAZEN_RETRY_OPTIONS_INIT;
  };
  policy.max_attempts = BLAZEN_ATTEMPTS_MAX + 1;
  is_refused("options.max_attempts");
  policy.max_attempts = UINT32_MAX;
  is_refused("options.max_attempts");
  policy.jitter_percent = 101;
  is_refused("options.jitter_percent");
  policy.jitter_percent = UINT32_MAX;
  is_refused("options.jitter_percent");
  for (const int64_t ms : {int64_t{-1}, INT64_MIN, int64_t{BLAZEN_TIME_MS_MAX} + 1, INT64_MAX}) {
    policy.initial_delay_ms = ms;
    is_refused("options.initial_delay_ms");
    policy.max_delay_ms = ms;
    is_refused("options.max_delay_ms");
  }
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  for (const double factor :
       {0.5, -1.0, -0.1, 0.999999, kInfinite, -kInfinite, std::numeric_limits<double>::quiet_NaN(),
        std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max()}) {
    policy.multiplier = factor;
    is_refused("options.multiplier");
  }
  policy.only_count = 1;
  is_refused("options.only");
  policy.never_count = 1;
  is_refused("options.never");
  policy.only_count = SIZE_MAX;
  is_refused("options.only");
  const auto* codes = reinterpret_cast<const int64_t*>(unreadable());
  policy.only = codes;
  policy.only_count = SIZE_MAX / 8;
  is_refused("options.only");
  policy.never = codes;
  policy.never_count = SIZE_MAX;
  is_refused("options.never");
  refused(BLAZEN_ERROR_NOT_FOUND, "step", [&](auto error) {
    return blazen_workflow_builder_step_retry(world.builder, "nobody", 6, &policy, error);
  });
  policy.max_attempts = BLAZEN_ATTEMPTS_MAX;
  policy.jitter_percent = 100;
  policy.multiplier = 1;
  policy.max_delay_ms = BLAZEN_TIME_MS_MAX;
  policy.initial_delay_ms = BLAZEN_TIME_MS_MAX;
  policy.only = codes;  // of which there are none
  OK(set(error));
}

// Whatever is wrong with a question, its user_data is dropped once, and nothing was asked.
TEST_F(BadFields, QuestionsAreCheckedAndDropped) {
  World world;
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  blazen_value* answer = nullptr;
  Token* token = nullptr;
  blazen_question question = BLAZEN_QUESTION_INIT;
  const auto answered = [](void*, blazen_context*, const char*, size_t, blazen_value*) {};
  const auto good = [&] {
    question = BLAZEN_QUESTION_INIT;
    question.answered = answered;
    question.user_data = token = tokens.take("question");
    question.drop = drop_token;
  };
  const auto is_refused = [&](blazen_status status, std::string_view argument) {
    for (const bool calls_back : {true, false}) {
      question.user_data = token = tokens.take("question");
      question.answered = calls_back ? static_cast<blazen_answer_fn>(answered) : nullptr;
      refused(status, argument,
              [&](auto error) { return blazen_context_ask(context, &question, &answer, error); });
      EXPECT_EQ(token->drops, 2) << argument << ": once for each of two calls";
      EXPECT_EQ(answer, nullptr) << argument;
    }
    good();
  };
  good();
  question.request_id_length = 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.request_id");
  question.request_id = "a\xff";
  question.request_id_length = 2;
  is_refused(BLAZEN_ERROR_INVALID_UTF8, "question.request_id");
  question.request_id = unreadable();
  question.request_id_length = BLAZEN_NAME_BYTES_MAX + 1;
  is_refused(BLAZEN_ERROR_LIMIT, "question.request_id");
  question.prompt_length = 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.prompt");
  question.prompt = "\xed\xa0\x80";
  question.prompt_length = 3;
  is_refused(BLAZEN_ERROR_INVALID_UTF8, "question.prompt");
  question.prompt = unreadable();
  question.prompt_length = BLAZEN_VALUE_BYTES_MAX + 1;
  is_refused(BLAZEN_ERROR_LIMIT, "question.prompt");
  question.prompt_length = SIZE_MAX;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.prompt");
  question.metadata = reinterpret_cast<const blazen_value*>(world.event.get());
  is_refused(BLAZEN_ERROR_WRONG_HANDLE, "question.metadata");
  ValueHandle other;
  OK(blazen_value_bytes("{}", 2, other.out(), error));
  question.metadata = other;
  is_refused(BLAZEN_ERROR_WRONG_TAG, "question.metadata");
  ValueHandle live(make_live(tokens.take("metadata")));
  question.metadata = live;
  is_refused(BLAZEN_ERROR_WRONG_TAG, "question.metadata");
  question.deadline_ms = -1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.deadline_ms");
  question.deadline_ms = BLAZEN_TIME_MS_MAX + 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.deadline_ms");
  question.default_answer = other;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "question.default_answer");
  question.deadline_ms = 1;
  question.default_answer = reinterpret_cast<const blazen_value*>(world.event.get());
  is_refused(BLAZEN_ERROR_WRONG_HANDLE, "question.default_answer");
  question.deadline_ms = 1;
  question.default_answer = live;
  is_refused(BLAZEN_ERROR_WRONG_TAG, "question.default_answer");
  for (const size_t size : {offsetof(blazen_question, drop) + 4, sizeof(blazen_question) + 1}) {
    question.struct_size = size;
    Token* own = tokens.take("a question of a size that cannot be");
    question.user_data = own;
    ErrorHandle error;
    EXPECT_EQ(blazen_context_ask(context, &question, &answer, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(message_of(error).find("question.struct_size"), std::string_view::npos) << message_of(error);
    EXPECT_EQ(own->drops, size > sizeof(blazen_question) ? 1 : 0) << "as far as it can be read";
    good();
  }
  struct Newer {
    blazen_question known = BLAZEN_QUESTION_INIT;
    void* unknown = nullptr;
  } newer;
  newer.known.struct_size = sizeof newer;
  newer.known.drop = drop_token;
  newer.known.user_data = token = tokens.take("a question of tomorrow");
  newer.unknown = &newer;
  EXPECT_EQ(blazen_context_ask(context, &newer.known, &answer, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(token->drops, 1);
  // What was refused was not asked.
  ValueHandle open;
  OK(blazen_run_questions(world.run, open.out(), error));
  EXPECT_EQ(text_of(open), "[]");
}

TEST_F(BadFields, RequestIdsAndAnswersAreChecked) {
  World world;
  const auto respond = [&](const char* id, size_t length, blazen_value* answer = nullptr) {
    return [&world, id, length, answer](blazen_error** error) {
      return blazen_run_respond(world.run, id, length, answer, error);
    };
  };
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "request_id", respond("", 0));
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "request_id", respond(nullptr, 0));
  refused(BLAZEN_ERROR_LIMIT, "request_id", respond(unreadable(), BLAZEN_NAME_BYTES_MAX + 1));
  refused(BLAZEN_ERROR_INVALID_UTF8, "request_id", respond("\xc0", 1));
  refused(BLAZEN_ERROR_NOT_FOUND, "request_id", respond("q", 1));
  refused(BLAZEN_ERROR_WRONG_HANDLE, "answer",
          respond("q", 1, reinterpret_cast<blazen_value*>(world.event.get())));
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  const auto ask = [&](const char* id) {
    blazen_question question = BLAZEN_QUESTION_INIT;
    question.request_id = id;
    question.request_id_length = std::strlen(id);
    ValueHandle answer;
    const blazen_status status = blazen_context_ask(context, &question, answer.out(), nullptr);
    return status == BLAZEN_OK ? std::string(text_of(answer)) + "/" + std::to_string(blazen_value_tag(answer))
                               : std::string(blazen_status_name(status));
  };
  // NULL is JSON null, and LIVE is an answer too.
  EXPECT_EQ(ask("null"), "BLAZEN_PENDING");
  EXPECT_EQ(ask("live"), "BLAZEN_PENDING");
  OK(respond("null", 4)(error));
  ValueHandle live(make_live(tokens.take("answer")));
  OK(respond("live", 4, live)(error));
  EXPECT_EQ(ask("null"), "null/1");
  EXPECT_EQ(ask("live"), "/4");
}

TEST_F(BadFields, TheSizeOfCountersIsChecked) {
  World world;
  alignas(16) unsigned char memory[8192];
  const auto count = [&](size_t size) {
    return [&world, &memory, size](blazen_error** error) {
      std::memset(memory, 0xa5, sizeof memory);
      std::memcpy(memory, &size, sizeof size);
      return blazen_runtime_count(world.runtime, reinterpret_cast<blazen_runtime_counters*>(memory), error);
    };
  };
  for (const size_t size :
       {size_t{0}, size_t{1}, sizeof(size_t) - 1, sizeof(size_t) + 3, size_t{4097}, SIZE_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "counters.struct_size", count(size));
    for (size_t i = sizeof(size_t); i < sizeof memory; ++i) ASSERT_EQ(memory[i], 0xa5) << size << " at " << i;
  }
  for (const size_t size : {sizeof(size_t), size_t{24}, sizeof(blazen_runtime_counters), size_t{4096}}) {
    OK(count(size)(error));
    for (size_t i = size; i < sizeof memory; ++i) ASSERT_EQ(memory[i], 0xa5) << size << " at " << i;
    size_t said = 0;
    std::memcpy(&said, memory, sizeof said);
    EXPECT_EQ(said, size);
  }
}

TEST_F(BadFields, TheSizeOfAViewAndOfAnArrayIsChecked) {
  World world;
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  for (const size_t size : {size_t{0}, sizeof(size_t) - 1, sizeof(size_t) + 3, size_t{4097}, SIZE_MAX}) {
    view.struct_size = size;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "view.struct_size", [&](blazen_error** error) {
      return blazen_context_read(context, BLAZEN_TEXT("key"), &view, error);
    });
    EXPECT_EQ(view.data, nullptr);
    blazen_join_info info = BLAZEN_JOIN_INFO_INIT;
    info.struct_size = size;
    info.arrived = 77;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "info.struct_size",
            [&](blazen_error** error) { return blazen_context_join_info(context, &info, error); });
    EXPECT_EQ(info.arrived, 77U);
  }
  blazen_event* items[1];
  size_t count = 77;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "capacity", [&](blazen_error** error) {
    return blazen_stream_take(world.stream, 0, items, nullptr, 0, &count, error);
  });
  EXPECT_EQ(count, 77U);
}

TEST_F(BadFields, TheInputOfARunIsDroppedOnEveryRefusal) {
  World world;
  blazen_run* run = nullptr;
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.drop = drop_token;
  const auto handler = [](void*, blazen_run*, const blazen_event*, blazen_value**, blazen_error**) {
    return static_cast<blazen_status>(BLAZEN_OK);
  };
  for (const bool handles : {true, false}) {
    options.input = handles ? static_cast<blazen_input_fn>(handler) : nullptr;
    const auto drops_once = [&](const char* what, blazen_status status) {
      Token* token = static_cast<Token*>(options.user_data);
      EXPECT_NE(status, BLAZEN_OK) << what;
      EXPECT_EQ(token->drops, 1) << what;
      EXPECT_EQ(run, nullptr) << what;
    };
    const auto with = [&](const char* what) {
      options.user_data = tokens.take(what);
      return &options;
    };
    drops_once("runtime", blazen_run_create(nullptr, world.workflow, with("runtime"), &run, nullptr));
    drops_once("workflow", blazen_run_create(world.runtime, nullptr, with("workflow"), &run, nullptr));
    drops_once("run", blazen_run_create(world.runtime, world.workflow, with("run"), nullptr, nullptr));
    drops_once("resume",
               blazen_run_resume(world.runtime, world.workflow, nullptr, with("resume"), &run, nullptr));
    options.metadata = reinterpret_cast<const blazen_value*>(world.event.get());
    drops_once("metadata", blazen_run_create(world.runtime, world.workflow, with("metadata"), &run, nullptr));
    options.metadata = nullptr;
    options.unknown_label = 7;
    drops_once("label", blazen_run_create(world.runtime, world.workflow, with("label"), &run, nullptr));
    options.unknown_label = 0;
    struct Newer {
      blazen_run_options known;
      void* unknown;
    } newer{options, &world};
    newer.known.struct_size = sizeof newer;
    newer.known.user_data = options.user_data = tokens.take("tomorrow");
    drops_once("tomorrow", blazen_run_create(world.runtime, world.workflow, &newer.known, &run, nullptr));
    RuntimeHandle closed(make_runtime());
    OK(blazen_runtime_close(closed, error));
    drops_once("closed", blazen_run_create(closed, world.workflow, with("closed"), &run, nullptr));
    Token* token = tokens.take("of a run");
    options.user_data = token;
    OK(blazen_run_create(world.runtime, world.workflow, &options, &run, error));
    blazen_run_release(std::exchange(run, nullptr));
    EXPECT_EQ(token->drops, 1);
  }
}

TEST_F(BadFields, TheCodecOfAnAdoptedValueIsChecked) {
  blazen_value* value = nullptr;
  const auto adopt = [&](blazen_tag tag, const char* codec, size_t length) {
    return [=, &value](blazen_error** error) {
      return blazen_value_adopt(tag, "1", 1, codec, length, tokens.take("adopt"), drop_token, &value, error);
    };
  };
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "codec", adopt(BLAZEN_TAG_JSON, "x", 1));
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "codec", adopt(BLAZEN_TAG_BYTES, "x", 1));
  refused(BLAZEN_ERROR_INVALID_UTF8, "codec", adopt(BLAZEN_TAG_NATIVE, "\xff", 1));
  refused(BLAZEN_ERROR_LIMIT, "codec", adopt(BLAZEN_TAG_NATIVE, unreadable(), SIZE_MAX));
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "codec", adopt(BLAZEN_TAG_NATIVE, nullptr, 1));
  EXPECT_EQ(value, nullptr);
}

TEST_F(BadFields, TheFieldsOfOptionsAreChecked) {
  World world;
  blazen_event* event = nullptr;
  blazen_event_options with = BLAZEN_EVENT_OPTIONS_INIT;
  const auto create = [&](blazen_error** error) {
    return blazen_event_create("a", 1, nullptr, &with, &event, error);
  };
  with.correlation_length = 1;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "correlation", create);
  with.correlation = "\xc0";
  refused(BLAZEN_ERROR_INVALID_UTF8, "correlation", create);
  with.correlation = unreadable();
  with.correlation_length = BLAZEN_NAME_BYTES_MAX + 1;
  refused(BLAZEN_ERROR_LIMIT, "correlation", create);

  blazen_send_options to = BLAZEN_SEND_OPTIONS_INIT;
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  const std::function<blazen_status(blazen_error**)> sends[] = {
      [&](auto error) { return blazen_run_send_event(world.run, world.event, &to, error); },
      [&](auto error) { return blazen_context_send_event(context, world.event, &to, error); },
      [&](auto error) { return blazen_context_emit_event(context, world.event, &to, error); }};
  for (const auto& send : sends) {
    to.step = nullptr;
    to.step_length = 1;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step", send);
    to.step = "\xff";
    refused(BLAZEN_ERROR_INVALID_UTF8, "step", send);
    to.step = unreadable();
    to.step_length = SIZE_MAX;
    refused(BLAZEN_ERROR_LIMIT, "step", send);
    to.step = "nobody";
    to.step_length = 6;
    refused(BLAZEN_ERROR_NOT_FOUND, "nobody", send);
    to.step = "ask";
    to.step_length = 3;
    refused(BLAZEN_ERROR_NOT_FOUND, "Type", send);
  }

  blazen_run* run = nullptr;
  blazen_run_options about = BLAZEN_RUN_OPTIONS_INIT;
  const auto make = [&](blazen_error** error) {
    return blazen_run_create(world.runtime, world.workflow, &about, &run, error);
  };
  about.metadata = reinterpret_cast<const blazen_value*>(world.event.get());
  refused(BLAZEN_ERROR_WRONG_HANDLE, "metadata", make);
  Token* token = tokens.take("metadata");
  ValueHandle live(make_live(token));
  about.metadata = live;
  refused(BLAZEN_ERROR_WRONG_TAG, "metadata", make);
  about.metadata = nullptr;
  about.fork = 1;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "fork", make);
  about.fork = 2;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "fork", make);
  about.fork = 0;
  EXPECT_EQ(run, nullptr);
}

TEST_F(BadFields, TheFieldsOfAJoinAreChecked) {
  World world;
  blazen_join_options how = BLAZEN_JOIN_OPTIONS_INIT;
  const auto good = [&] {
    how = BLAZEN_JOIN_OPTIONS_INIT;
    how.of = "other";
    how.of_length = 5;
  };
  const auto join = [&](blazen_error** error) {
    return blazen_workflow_builder_step_joins(world.builder, BLAZEN_TEXT("ask"), &how, error);
  };
  const auto is_refused = [&](blazen_status status, const char* field) {
    refused(status, field, join);
    good();
  };
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.of");  // none
  how.of_length = 0;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.of");
  how.of = "\xff";
  how.of_length = 1;
  is_refused(BLAZEN_ERROR_INVALID_UTF8, "options.of");
  how.of = unreadable();
  how.of_length = BLAZEN_NAME_BYTES_MAX + 1;
  is_refused(BLAZEN_ERROR_LIMIT, "options.of");
  // Of the oldest header, which ends before `of`.
  how.struct_size = sizeof(size_t);
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.of");
  for (const int32_t number : {-1, 2, 3, INT32_MAX, INT32_MIN}) {
    if (number != BLAZEN_JOIN_FIRST_N) {
      how.mode = number;
      is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.mode");
    }
    how.deadline_ms = 1;
    how.at_deadline = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.at_deadline");
    how.cancel_rest = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.cancel_rest");
    how.ordered = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.ordered");
    how.correlation = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.correlation");
    how.empty = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.empty");
  }
  how.mode = BLAZEN_JOIN_FIRST_N;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.n");
  how.n = 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.n");
  how.mode = BLAZEN_JOIN_ANY;
  how.n = 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.n");
  for (const int64_t ms : {int64_t{-1}, INT64_MIN, int64_t{BLAZEN_TIME_MS_MAX} + 1, INT64_MAX}) {
    how.deadline_ms = ms;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.deadline_ms");
  }
  how.at_deadline = BLAZEN_JOIN_DEADLINE_FAIL;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.at_deadline");
  how.cancel_rest = 1;
  how.correlation = BLAZEN_JOIN_CORRELATION_BY_EVENT;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.cancel_rest");
  refused(BLAZEN_ERROR_NOT_FOUND, "nobody", [&](auto error) {
    return blazen_workflow_builder_step_joins(world.builder, BLAZEN_TEXT("nobody"), &how, error);
  });
  // Nothing of all this was kept; and a step is a join once.
  OK(join(error));
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step: 'ask' is a join of 'other' already");
}

// Of a step that is a workflow, or several: whatever is refused, each of its mappers is dropped once.
class Hosting : public BadFields {
 protected:
  blazen_mapper mapper(const char* name) {
    Token* token = own_.take(name);
    given_.push_back(token);
    return {body, token, drop_token, 0};
  }
  // call is made twice: with a place for its error, and without.
  void is_refused(blazen_status status, std::string_view field,
                  const std::function<blazen_status(blazen_error**)>& call) {
    refused(status, field, call);
    for (const Token* token : given_) EXPECT_EQ(token->drops, 2) << token->name << ", beside " << field;
    given_.clear();
  }

 private:
  Tokens<2048> own_;  // they outlive what the world keeps

 protected:
  World world_;

 private:
  std::vector<Token*> given_;
};

TEST_F(Hosting, TheFieldsOfAChildAreChecked) {
  blazen_child_options how = BLAZEN_CHILD_OPTIONS_INIT;
  const auto good = [&] {
    how = BLAZEN_CHILD_OPTIONS_INIT;
    how.input = mapper("input");
    how.output = mapper("output");
  };
  const blazen_branch one = {"branch", 6, nullptr, 0};
  const auto child = [&](blazen_error** error) {
    return blazen_workflow_builder_add_workflow(world_.builder, BLAZEN_TEXT("child"), BLAZEN_TEXT("T"),
                                                nullptr, &how, error);
  };
  const auto children = [&](blazen_error** error) {
    return blazen_workflow_builder_add_workflows(world_.builder, BLAZEN_TEXT("children"), BLAZEN_TEXT("T"),
                                                 &one, 1, &how, error);
  };
  const auto both = [&](blazen_status status, const char* field,
                        const std::function<void(blazen_child_options&)>& spoil) {
    for (const std::function<blazen_status(blazen_error**)>& call :
         {std::function<blazen_status(blazen_error**)>(child),
          std::function<blazen_status(blazen_error**)>(children)}) {
      good();
      spoil(how);
      is_refused(status, field, call);
    }
  };
  both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output_type", [](auto& o) { o.output_type_length = 1; });
  both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output_type", [](auto& o) { o.output_type = "T"; });
  both(BLAZEN_ERROR_INVALID_UTF8, "options.output_type", [](auto& o) {
    o.output_type = "\xff";
    o.output_type_length = 1;
  });
  both(BLAZEN_ERROR_LIMIT, "options.output_type", [](auto& o) {
    o.output_type = unreadable();
    o.output_type_length = BLAZEN_NAME_BYTES_MAX + 1;
  });
  for (const int32_t number : {-1, 2, INT32_MAX, INT32_MIN}) {
    both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.first_success", [&](auto& o) { o.first_success = number; });
    both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.input.elsewhere",
         [&](auto& o) { o.input.elsewhere = number; });
    both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output.elsewhere",
         [&](auto& o) { o.output.elsewhere = number; });
  }
  both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.input has a body", [](auto& o) { o.input.elsewhere = 1; });
  both(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output has a body", [](auto& o) { o.output.elsewhere = 1; });
  good();
  how.first_success = 1;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.first_success", child);
  // A name that leaves no room for those of its parts.
  const std::string longer(497, 'x');
  good();
  is_refused(BLAZEN_ERROR_LIMIT, "name", [&](blazen_error** error) {
    return blazen_workflow_builder_add_workflow(world_.builder, longer.data(), longer.size(), "T", 1, nullptr,
                                                &how, error);
  });
  // A struct that ends inside a mapper has none; what ends behind it, has.
  good();
  how.struct_size = offsetof(blazen_child_options, output);
  OK(child(error));
}

TEST_F(Hosting, EachBranchIsCheckedAndNamedByItsPlace) {
  blazen_branch two[2];
  const blazen_branch* given = two;
  size_t count = 2;
  const auto good = [&] {
    two[0] = {"a", 1, nullptr, 0};
    two[1] = {"b", 1, world_.workflow, 0};
    given = two;
    count = 2;
  };
  blazen_child_options child = BLAZEN_CHILD_OPTIONS_INIT;
  blazen_stage_options stage = BLAZEN_STAGE_OPTIONS_INIT;
  const std::function<blazen_status(blazen_error**)> calls[] = {
      [&](auto error) {
        return blazen_workflow_builder_add_workflows(world_.builder, BLAZEN_TEXT("several"), BLAZEN_TEXT("T"),
                                                     given, count, &child, error);
      },
      [&](auto error) {
        return blazen_pipeline_builder_add_parallel(world_.pipeline_builder, BLAZEN_TEXT("several"), given,
                                                    count, &stage, error);
      },
      [&](auto error) {
        return blazen_pipeline_builder_add_parallel_loop(world_.pipeline_builder, BLAZEN_TEXT("several"),
                                                         given, count, 1, &stage, error);
      }};
  for (const auto& call : calls) {
    const auto all = [&](blazen_status status, std::string_view field, const std::function<void()>& spoil) {
      good();
      spoil();
      child.input = stage.input = mapper("input");
      is_refused(status, field, call);
    };
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "branches", [&] { given = nullptr; });
    all(BLAZEN_ERROR_LIMIT, "branch_count", [&] {
      given = reinterpret_cast<const blazen_branch*>(unreadable());
      count = BLAZEN_STEPS_MAX + 1;
    });
    all(BLAZEN_ERROR_LIMIT, "branch_count", [&] { count = SIZE_MAX; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "branches[1].name", [&] { two[1].name = nullptr; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "branches[1].name", [&] { two[1].name_length = 0; });
    all(BLAZEN_ERROR_INVALID_UTF8, "branches[0].name", [&] { two[0].name = "\xff"; });
    all(BLAZEN_ERROR_LIMIT, "branches[0].name", [&] {
      two[0].name = unreadable();
      two[0].name_length = SIZE_MAX;
    });
    const std::string longer(497, 'x');
    all(BLAZEN_ERROR_LIMIT, "branches[1].name", [&] {
      two[1].name = longer.data();
      two[1].name_length = longer.size();
    });
    for (const int32_t number : {-1, 2, INT32_MAX, INT32_MIN})
      all(BLAZEN_ERROR_INVALID_ARGUMENT, "branches[0].elsewhere", [&] { two[0].elsewhere = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "branches[1] has a child", [&] { two[1].elsewhere = 1; });
    all(BLAZEN_ERROR_WRONG_HANDLE, "branches[1].child",
        [&] { two[1].child = reinterpret_cast<blazen_workflow*>(world_.event.get()); });
  }
}

TEST_F(Hosting, TheFieldsOfAStageAreChecked) {
  blazen_stage_options how = BLAZEN_STAGE_OPTIONS_INIT;
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  uint32_t rounds = 1;
  const blazen_branch one = {"branch", 6, nullptr, 1};
  const std::function<blazen_status(blazen_error**)> stage = [&](auto error) {
    return blazen_pipeline_builder_add_stage(world_.pipeline_builder, BLAZEN_TEXT("s"), world_.workflow, &how,
                                             error);
  };
  const std::function<blazen_status(blazen_error**)> parallel = [&](auto error) {
    return blazen_pipeline_builder_add_parallel(world_.pipeline_builder, BLAZEN_TEXT("s"), &one, 1, &how,
                                                error);
  };
  const std::function<blazen_status(blazen_error**)> loop = [&](auto error) {
    return blazen_pipeline_builder_add_loop(world_.pipeline_builder, BLAZEN_TEXT("s"), world_.workflow,
                                            rounds, &how, error);
  };
  const std::function<blazen_status(blazen_error**)> parallel_loop = [&](auto error) {
    return blazen_pipeline_builder_add_parallel_loop(world_.pipeline_builder, BLAZEN_TEXT("s"), &one, 1,
                                                     rounds, &how, error);
  };
  using Spoil = std::function<void(blazen_stage_options&)>;
  const auto of = [&](const std::function<blazen_status(blazen_error**)>& call, blazen_status status,
                      std::string_view field, const Spoil& spoil) {
    how = BLAZEN_STAGE_OPTIONS_INIT;
    rounds = 1;
    how.condition = mapper("condition");
    how.input = mapper("input");
    how.output = mapper("output");
    if (&call == &loop || &call == &parallel_loop) how.until = mapper("until");
    spoil(how);
    is_refused(status, field, call);
  };
  const auto all = [&](blazen_status status, std::string_view field, const Spoil& spoil) {
    for (const auto* call : {&stage, &parallel, &loop, &parallel_loop}) of(*call, status, field, spoil);
  };
  for (const int32_t number : {-1, 2, INT32_MAX, INT32_MIN}) {
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.condition.elsewhere",
        [&](auto& o) { o.condition.elsewhere = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.input.elsewhere",
        [&](auto& o) { o.input.elsewhere = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output.elsewhere",
        [&](auto& o) { o.output.elsewhere = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.until.elsewhere",
        [&](auto& o) { o.until.elsewhere = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.first_success", [&](auto& o) { o.first_success = number; });
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.done_at_bound", [&](auto& o) { o.done_at_bound = number; });
  }
  all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.condition has a body",
      [](auto& o) { o.condition.elsewhere = 1; });
  all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.input has a body", [](auto& o) { o.input.elsewhere = 1; });
  all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.output has a body", [](auto& o) { o.output.elsewhere = 1; });
  for (const auto* call : {&loop, &parallel_loop}) {
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "options.until has a body",
       [](auto& o) { o.until.elsewhere = 1; });
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "max_rounds", [&](auto&) { rounds = 0; });
  }
  for (const auto* call : {&stage, &parallel}) {
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "options.until", [&](auto& o) { o.until = mapper("until"); });
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "options.until", [](auto& o) { o.until.elsewhere = 1; });
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "options.done_at_bound", [](auto& o) { o.done_at_bound = 1; });
  }
  for (const auto* call : {&stage, &loop})
    of(*call, BLAZEN_ERROR_INVALID_ARGUMENT, "options.first_success", [](auto& o) { o.first_success = 1; });
  for (const int64_t ms : {int64_t{-1}, INT64_MIN, int64_t{BLAZEN_STEP_TIMEOUT_MS_MAX} + 1, INT64_MAX})
    all(BLAZEN_ERROR_INVALID_ARGUMENT, "options.timeout_ms", [&](auto& o) { o.timeout_ms = ms; });
  const auto retries = [&](std::string_view field, const std::function<void()>& spoil) {
    all(BLAZEN_ERROR_INVALID_ARGUMENT, field, [&](auto& o) {
      retry = BLAZEN_RETRY_OPTIONS_INIT;
      o.retry = &retry;
      spoil();
    });
  };
  retries("options.retry.struct_size", [&] { retry.struct_size = 3; });
  retries("options.retry.max_attempts", [&] { retry.max_attempts = BLAZEN_ATTEMPTS_MAX + 1; });
  retries("options.retry.jitter_percent", [&] { retry.jitter_percent = 101; });
  retries("options.retry.initial_delay_ms", [&] { retry.initial_delay_ms = -1; });
  retries("options.retry.max_delay_ms", [&] { retry.max_delay_ms = -1; });
  retries("options.retry.multiplier", [&] { retry.multiplier = 0.5; });
  retries("options.retry.only", [&] { retry.only_count = 1; });
  retries("options.retry.never", [&] { retry.never_count = SIZE_MAX; });
  const std::string longer(497, 'x');
  for (blazen_workflow* none : {static_cast<blazen_workflow*>(nullptr), world_.workflow.get()}) {
    how = BLAZEN_STAGE_OPTIONS_INIT;
    how.input = mapper("input");
    is_refused(none == nullptr ? BLAZEN_ERROR_INVALID_ARGUMENT : BLAZEN_ERROR_LIMIT,
               none == nullptr ? "workflow" : "name", [&](blazen_error** error) {
                 return blazen_pipeline_builder_add_stage(world_.pipeline_builder, longer.data(),
                                                          none == nullptr ? 3 : longer.size(), none, &how,
                                                          error);
               });
  }
  // A loop of as many rounds as there may be.
  how = BLAZEN_STAGE_OPTIONS_INIT;
  how.done_at_bound = 1;
  rounds = UINT32_MAX;
  OK(loop(error));
}

TEST_F(BadFields, WhatAPipelineIsToldAsAWholeIsChecked) {
  World world;
  for (const int32_t number : {-1, 4, INT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "policy", [&](auto error) {
      return blazen_pipeline_builder_set_session_policy(world.pipeline_builder, number, error);
    });
  }
  for (const int32_t number : {-1, 0, 13, INT32_MAX}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "limit", [&](auto error) {
      return blazen_pipeline_builder_set_limit(world.pipeline_builder, number, 1, error);
    });
  }
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "bound", [&](auto error) {
    return blazen_pipeline_builder_set_limit(world.pipeline_builder, BLAZEN_LIMIT_CHILDREN, 0, error);
  });
  refused(BLAZEN_ERROR_LIMIT, "BLAZEN_CHILD_DEPTH_MAX", [&](auto error) {
    return blazen_pipeline_builder_set_limit(world.pipeline_builder, BLAZEN_LIMIT_CHILD_DEPTH,
                                             BLAZEN_CHILD_DEPTH_MAX + 1, error);
  });
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "timeout_ms", [&](auto error) {
    return blazen_pipeline_builder_set_stage_timeout(world.pipeline_builder,
                                                     int64_t{BLAZEN_STEP_TIMEOUT_MS_MAX} + 1, error);
  });
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "timeout_ms", [&](auto error) {
    return blazen_pipeline_builder_set_timeout(world.pipeline_builder, BLAZEN_TIME_MS_MAX + 1, error);
  });
  OK(blazen_pipeline_builder_set_limit(world.pipeline_builder, BLAZEN_LIMIT_CHILD_DEPTH,
                                       BLAZEN_CHILD_DEPTH_MAX, error));
  OK(blazen_pipeline_builder_set_stage_timeout(world.pipeline_builder, BLAZEN_STEP_TIMEOUT_MS_MAX, error));
  OK(blazen_pipeline_builder_set_timeout(world.pipeline_builder, BLAZEN_TIME_MS_MAX, error));
  WorkflowHandle built;
  OK(blazen_pipeline_builder_build(world.pipeline_builder, built.out(), error));
}

// Only what it accepts, its retries, its time-out, its concurrency and a join hold for a step that is a workflow.
TEST_F(BadFields, WhatAStepThatIsAWorkflowCannotBeToldIsRefused) {
  World world;
  OK(blazen_workflow_builder_add_workflow(world.builder, BLAZEN_TEXT("child"), BLAZEN_TEXT("T"), nullptr,
                                          nullptr, error));
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step", [&](auto error) {
    return blazen_workflow_builder_step_emits(world.builder, BLAZEN_TEXT("child"), BLAZEN_TEXT("E"), error);
  });
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step", [&](auto error) {
    return blazen_workflow_builder_step_atomic(world.builder, BLAZEN_TEXT("child"), 1, error);
  });
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "step", [&](auto error) {
    return blazen_workflow_builder_step_uses_pool(world.builder, BLAZEN_TEXT("child"), BLAZEN_TEXT("p"),
                                                  error);
  });
}

// A mapper alone answers, and its child is found by the id of its run.
TEST_F(BadFields, TheIdOfAChildIsAUuid) {
  World world;
  blazen_run* child = nullptr;
  const auto find = [&](std::string_view id) {
    return [&world, &child, id](blazen_error** error) {
      return blazen_run_child(world.run, id.data(), id.size(), &child, error);
    };
  };
  for (const std::string_view id :
       {std::string_view("a"), std::string_view("123e4567-e89b-82d3-a456-42661417400"),
        std::string_view("123e4567-e89b-82d3-a456-42661417400g")})
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "child_run_id", find(id));
  refused(BLAZEN_ERROR_NOT_FOUND, "child_run_id", find("123e4567-e89b-82d3-a456-426614174000"));
  EXPECT_EQ(child, nullptr);
}

TEST_F(BadFields, ScopesAreForEventsFromOutside) {
  World world;
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  blazen_send_options to = BLAZEN_SEND_OPTIONS_INIT;
  for (const uint64_t scope : {uint64_t{1}, UINT64_MAX}) {
    to.scope = scope;
    refused(BLAZEN_ERROR_NOT_FOUND, "options.scope",
            [&](auto error) { return blazen_run_send_event(world.run, world.event, &to, error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.scope",
            [&](auto error) { return blazen_context_send_event(context, world.event, &to, error); });
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "options.scope",
            [&](auto error) { return blazen_context_emit_event(context, world.event, &to, error); });
  }
}

TEST_F(BadFields, TheIdOfARunIsAUuidAndNotForAResumeThatIsNoFork) {
  World world;
  blazen_run* run = nullptr;
  blazen_run_options about = BLAZEN_RUN_OPTIONS_INIT;
  const auto make = [&](blazen_error** error) {
    return blazen_run_create(world.runtime, world.workflow, &about, &run, error);
  };
  const auto resume = [&](blazen_error** error) {
    return blazen_run_resume(world.runtime, world.workflow, world.snapshot, &about, &run, error);
  };
  const std::string good = "123e4567-e89b-42d3-a456-426614174000";
  const auto give = [&](std::string_view id, size_t length) {
    about.run_id = id.data();
    about.run_id_length = length;
  };
  const std::string_view wrong[] = {"",
                                    "a",
                                    "123e4567-e89b-42d3-a456-42661417400",
                                    "123e4567-e89b-42d3-a456-4266141740000",
                                    "123e4567e89b-42d3-a456-426614174000-",
                                    "123e4567-e89b-42d3-a456-42661417400g",
                                    "123e4567-e89b-42d3-a456-42661417400\xff",
                                    "123e4567-e89b-42d3-a4560426614174000",
                                    "{23e4567-e89b-42d3-a456-42661417400}"};
  for (const std::string_view text : wrong) {
    give(text, text.size());
    about.fork = 0;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "run_id", make);
    about.fork = 1;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "run_id", resume);
  }
  about.fork = 0;
  give(std::string_view(unreadable(), 0), SIZE_MAX);
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "run_id", make);
  give(std::string_view(), 1);
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "run_id", make);
  give(good, good.size());
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "run_id", resume);
  about.fork = 2;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "fork", resume);
}

TEST_F(BadFields, WhatIsGivenFromOutsideIsChecked) {
  World world;
  for (const int32_t number : {-1, 2, INT32_MAX, INT32_MIN}) {
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "retry",
            [&](auto error) { return blazen_run_cancel_invocation(world.run, 1, number, error); });
    blazen_stream* stream = nullptr;
    blazen_stream_options wants = BLAZEN_STREAM_OPTIONS_INIT;
    wants.routed = number;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "routed",
            [&](auto error) { return blazen_run_subscribe_with(world.run, &wants, &stream, error); });
    wants.routed = 0;
    wants.own_level = number;
    refused(BLAZEN_ERROR_INVALID_ARGUMENT, "own_level",
            [&](auto error) { return blazen_run_subscribe_with(world.run, &wants, &stream, error); });
  }
  for (const uint64_t id : {uint64_t{0}, uint64_t{2}, UINT64_MAX})
    refused(BLAZEN_ERROR_NOT_FOUND, std::to_string(id),
            [&](auto error) { return blazen_run_cancel_invocation(world.run, id, 0, error); });
  Token* token = tokens.take("a value of the state");
  ValueHandle live(make_live(token));
  refused(BLAZEN_ERROR_WRONG_TAG, "LIVE", [&](auto error) {
    return blazen_run_compare_and_set(world.run, BLAZEN_TEXT("k"), 0, live, nullptr, error);
  });
  EXPECT_EQ(blazen_run_compare_and_set(world.run, BLAZEN_TEXT("key"), 77, nullptr, nullptr, nullptr),
            BLAZEN_ERROR_CONFLICT);
}

TEST_F(BadFields, TheOptionsOfARuntimeAreCheckedAndItsDataIsDropped) {
  blazen_runtime* runtime = nullptr;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.drop = drop_token;
  const auto drops_once = [&](const char* argument) {
    Token* token = tokens.take(argument);
    options.user_data = token;
    ErrorHandle error;
    EXPECT_EQ(blazen_runtime_create(&options, &runtime, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(message_of(error).find(argument), std::string_view::npos) << message_of(error);
    EXPECT_EQ(token->drops, 1) << argument;
    EXPECT_EQ(runtime, nullptr);
  };
  options.mode = 3;
  drops_once("mode");
  options.mode = -1;
  drops_once("mode");
  options.mode = BLAZEN_MODE_THREADS;
  options.threads = 257;
  drops_once("threads");
  options.threads = 0;
  options.threads_max = 4097;
  drops_once("threads_max");
  options.threads_max = 0;
  for (const blazen_log_level level : {-1, 5, INT32_MAX, INT32_MIN}) {
    options.log_level = level;
    drops_once("log_level");
  }
  options.log_level = BLAZEN_LOG_DEBUG;
  options.thread_name = "sixteen bytes it";
  options.thread_name_length = 16;
  drops_once("thread_name");
  options.thread_name = "a\0b";
  options.thread_name_length = 3;
  drops_once("thread_name");
  options.thread_name = nullptr;
  drops_once("thread_name");
  options.thread_name_length = 0;
  options.thread_stack_bytes = 65535;
  drops_once("thread_stack_bytes");
  options.thread_stack_bytes = 0;
  options.mode = BLAZEN_MODE_EXECUTOR;
  drops_once("post");

  options.mode = BLAZEN_MODE_PUMP;
  Token* token = tokens.take("out is NULL");
  options.user_data = token;
  EXPECT_EQ(blazen_runtime_create(&options, nullptr, nullptr), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(token->drops, 1);

  // A newer header's options, with a field that this library does not know: it does know user_data and drop.
  struct Newer {
    blazen_runtime_options known = BLAZEN_RUNTIME_OPTIONS_INIT;
    void* unknown = nullptr;
  } newer;
  newer.known.struct_size = sizeof newer;
  newer.known.drop = drop_token;
  newer.known.user_data = token = tokens.take("a field of tomorrow");
  newer.unknown = &newer;
  ErrorHandle error;
  EXPECT_EQ(blazen_runtime_create(&newer.known, &runtime, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(token->drops, 1) << "law 4: also when the registration fails";
}

TEST_F(BadFields, TheObjectOfALiveValueIsDroppedWhereItIsRefused) {
  struct Newer {
    blazen_live_options known = BLAZEN_LIVE_OPTIONS_INIT;
    void* unknown = nullptr;
  } newer;
  newer.known.drop = drop_token;
  blazen_value* value = nullptr;
  const auto drops_once = [&](const char* what, const char* label, size_t length, blazen_value** out) {
    Token* token = tokens.take(what);
    EXPECT_NE(blazen_value_live_with(token, label, length, &newer.known, out, nullptr), BLAZEN_OK) << what;
    EXPECT_EQ(token->drops, 1) << what;
  };
  drops_once("a label that is no text", "\xff", 1, &value);
  drops_once("a label that is too long", unreadable(), SIZE_MAX, &value);
  drops_once("no place for it", "x", 1, nullptr);
  newer.known.struct_size = sizeof newer;
  newer.unknown = &newer;
  drops_once("a field of tomorrow", "x", 1, &value);
  EXPECT_EQ(value, nullptr);
}

blazen_status deserialize_nothing(void*, const char*, size_t, blazen_value*, blazen_value**, blazen_error**) {
  return BLAZEN_OK;
}

// Where they can be read at all, each is dropped once for each call, whatever else is wrong.
TEST_F(BadFields, DeserializersAreCheckedAndDroppedOnEveryPath) {
  World world;
  Token* token = nullptr;
  blazen_run* run = nullptr;
  blazen_deserializer two[2] = {};
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  const auto good = [&] {
    token = tokens.take("deserializer");
    two[0] = {"a", 1, deserialize_nothing, token, drop_token};
    two[1] = {"b", 1, deserialize_nothing, nullptr, nullptr};
    options = BLAZEN_RUN_OPTIONS_INIT;
    options.deserializers = two;
    options.deserializer_count = 2;
  };
  const auto resume = [&](blazen_error** error) {
    return blazen_run_resume(world.runtime, world.workflow, world.snapshot, &options, &run, error);
  };
  const auto is_refused = [&](blazen_status status, std::string_view argument) {
    refused(status, argument, resume);
    EXPECT_EQ(token->drops, 2) << argument << ": once for each of two calls";
    EXPECT_EQ(run, nullptr) << argument;
  };
  good();
  two[1].deserialize = nullptr;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "deserialize");
  good();
  two[1].label = nullptr;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "label");
  good();
  two[1].label = "\xff";
  is_refused(BLAZEN_ERROR_INVALID_UTF8, "label");
  good();
  two[1].label = unreadable();
  two[1].label_length = SIZE_MAX;
  is_refused(BLAZEN_ERROR_LIMIT, "label");
  good();
  two[1].label = "a";
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "two of one label");
  for (const int32_t number : {-1, 2, INT32_MAX}) {
    good();
    options.unknown_label = number;
    is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "unknown_label");
  }
  good();
  options.metadata = world.value;
  is_refused(BLAZEN_ERROR_INVALID_ARGUMENT, "metadata");

  good();
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "deserializers", [&](auto error) {
    return blazen_run_create(world.runtime, world.workflow, &options, &run, error);
  });
  EXPECT_EQ(token->drops, 2);
  good();
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "snapshot", [&](auto error) {
    return blazen_run_resume(world.runtime, world.workflow, nullptr, &options, &run, error);
  });
  EXPECT_EQ(token->drops, 2);

  // An array that is not there, and one that nobody could look through.
  options.deserializers = nullptr;
  refused(BLAZEN_ERROR_INVALID_ARGUMENT, "deserializers", resume);
  options.deserializers = reinterpret_cast<const blazen_deserializer*>(unreadable());
  options.deserializer_count = BLAZEN_DESERIALIZERS_MAX + 1;
  refused(BLAZEN_ERROR_LIMIT, "BLAZEN_DESERIALIZERS_MAX", resume);
  // The header of before: its struct ends where the array begins.
  good();
  options.struct_size = offsetof(blazen_run_options, deserializers);
  OK(blazen_run_create(world.runtime, world.workflow, &options, &run, error));
  blazen_run_release(run);
  EXPECT_EQ(token->drops, 0);
}

TEST_F(BadFields, OptionInitsWriteNothingBeyondTheSizeGiven) {
  const auto check = [](auto init, auto* options, size_t size) {
    unsigned char memory[256];
    for (const size_t given : {size_t{0}, sizeof(size_t) - 1, sizeof(size_t), size, size + 64}) {
      std::memset(memory, 0xa5, sizeof memory);
      init(reinterpret_cast<decltype(options)>(memory), given);
      const size_t written = given < sizeof(size_t) ? 0 : given;
      for (size_t i = written; i < sizeof memory; ++i) ASSERT_EQ(memory[i], 0xa5) << given << " at " << i;
      for (size_t i = sizeof(size_t); i < written; ++i) ASSERT_EQ(memory[i], 0) << given << " at " << i;
      size_t said = 0;
      if (written != 0) std::memcpy(&said, memory, sizeof said);
      ASSERT_EQ(said, written);
    }
    init(nullptr, size);
  };
  check(blazen_event_options_init, static_cast<blazen_event_options*>(nullptr), sizeof(blazen_event_options));
  check(blazen_send_options_init, static_cast<blazen_send_options*>(nullptr), sizeof(blazen_send_options));
  check(blazen_runtime_options_init, static_cast<blazen_runtime_options*>(nullptr),
        sizeof(blazen_runtime_options));
  check(blazen_live_options_init, static_cast<blazen_live_options*>(nullptr), sizeof(blazen_live_options));
  check(blazen_run_options_init, static_cast<blazen_run_options*>(nullptr), sizeof(blazen_run_options));
  check(blazen_stream_options_init, static_cast<blazen_stream_options*>(nullptr),
        sizeof(blazen_stream_options));
  check(blazen_retry_options_init, static_cast<blazen_retry_options*>(nullptr), sizeof(blazen_retry_options));
  check(blazen_step_options_init, static_cast<blazen_step_options*>(nullptr), sizeof(blazen_step_options));
  check(blazen_child_options_init, static_cast<blazen_child_options*>(nullptr), sizeof(blazen_child_options));
  check(blazen_stage_options_init, static_cast<blazen_stage_options*>(nullptr), sizeof(blazen_stage_options));
  check(blazen_join_options_init, static_cast<blazen_join_options*>(nullptr), sizeof(blazen_join_options));
  check(blazen_join_info_init, static_cast<blazen_join_info*>(nullptr), sizeof(blazen_join_info));
  check(blazen_error_view_init, static_cast<blazen_error_view*>(nullptr), sizeof(blazen_error_view));
  check(blazen_value_view_init, static_cast<blazen_value_view*>(nullptr), sizeof(blazen_value_view));
  check(blazen_event_view_init, static_cast<blazen_event_view*>(nullptr), sizeof(blazen_event_view));
  check(blazen_question_init, static_cast<blazen_question*>(nullptr), sizeof(blazen_question));
  check(blazen_runtime_counters_init, static_cast<blazen_runtime_counters*>(nullptr),
        sizeof(blazen_runtime_counters));
}

TEST_F(BadFields, LiveValuesAreRefusedWhereTheyWouldGoIntoASnapshot) {
  World world;
  ValueHandle live(make_live(tokens.take("live")));
  auto* context = static_cast<blazen_context*>(world.handle(Kind::context));
  refused(BLAZEN_ERROR_WRONG_TAG, "value",
          [&](auto error) { return blazen_context_set_value(context, "k", 1, live, error); });
  refused(BLAZEN_ERROR_WRONG_TAG, "value",
          [&](auto error) { return blazen_batch_set(world.batch, "k", 1, live, error); });
  refused(BLAZEN_ERROR_WRONG_TAG, "value", [&](auto error) {
    return blazen_context_compare_and_set(context, "k", 1, 0, live, nullptr, error);
  });
}

TEST_F(BadFields, TheBoundsOfAWorkflowHold) {
  BuilderHandle builder;
  OK(blazen_workflow_builder_create("w", 1, builder.out(), error));
  ErrorHandle error;
  blazen_status status = BLAZEN_OK;
  int added = 0;
  for (; added <= BLAZEN_STEPS_MAX && status == BLAZEN_OK; ++added) {
    const std::string name = std::to_string(added);
    status = blazen_workflow_builder_add_elsewhere(builder, name.data(), name.size(), "T", 1, error.out());
  }
  EXPECT_EQ(added - 1, BLAZEN_STEPS_MAX);
  EXPECT_EQ(status, BLAZEN_ERROR_LIMIT);
  EXPECT_NE(message_of(error).find("BLAZEN_STEPS_MAX"), std::string_view::npos) << message_of(error);
}

// ---- the place of a call ----

// What a callback tries; each must be refused. The objects are none of the callback's own: a call that is let
// through must not make the test hang.
struct Places {
  World world;
  std::atomic<int> visits{0};
  std::atomic<int> wrong{0};
  std::atomic<const char*> let_through{nullptr};
  std::atomic<int> status{0};

  void try_all() {
    ++visits;
    const auto want = [this](blazen_status got, const char* function) {
      if (got == BLAZEN_ERROR_WRONG_PLACE) return;
      ++wrong;
      let_through = function;
      status = got;
    };
    ValueHandle result;
    EventHandle item;
    want(blazen_runtime_close(world.runtime, nullptr), "blazen_runtime_close");
    want(blazen_runtime_poll(world.runtime, 1, nullptr, nullptr), "blazen_runtime_poll");
    int64_t delay_ms = 0;
    want(blazen_runtime_poll_next(world.runtime, 1, nullptr, &delay_ms, nullptr), "blazen_runtime_poll_next");
    want(blazen_workflow_run(world.workflow, world.runtime, nullptr, result.out(), nullptr),
         "blazen_workflow_run");
    want(blazen_run_close(world.run, nullptr), "blazen_run_close");
    want(blazen_run_close_within(world.run, 10, nullptr), "blazen_run_close_within");
    want(blazen_runtime_close_within(world.runtime, 10, nullptr), "blazen_runtime_close_within");
    want(blazen_run_wait(world.run, 10, nullptr, nullptr), "blazen_run_wait");
    want(blazen_run_wait_until(world.run, BLAZEN_UNTIL_ASKING, 10, nullptr, nullptr),
         "blazen_run_wait_until");
    want(blazen_stream_next(world.stream, 10, item.out(), nullptr, nullptr), "blazen_stream_next");
    blazen_event* items[1];
    size_t count = 0;
    want(blazen_stream_take(world.stream, 10, items, nullptr, 1, &count, nullptr), "blazen_stream_take");
    want(blazen_stream_close(world.stream, nullptr), "blazen_stream_close");
    // To look is no wait.
    if (blazen_run_wait(world.run, 0, nullptr, nullptr) == BLAZEN_ERROR_WRONG_PLACE) ++wrong;
  }
  static void transaction(void* user_data) { static_cast<Places*>(user_data)->try_all(); }
};

class Place : public testing::Test {
 protected:
  void expect_all_refused(const char* where, int visits_min = 1) {
    EXPECT_GE(places_.visits, visits_min) << where << " was never called";
    EXPECT_EQ(places_.wrong, 0) << "in " << where << ", " << places_.let_through.load() << " answered "
                                << blazen_status_name(places_.status);
    places_.visits = 0;
    places_.wrong = 0;
  }
  blazen_runtime* runtime(blazen_mode mode, blazen_thread_fn attach, blazen_thread_fn detach,
                          blazen_wake_fn wake, blazen_post_fn post = nullptr) {
    blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
    options.mode = mode;
    options.threads = 1;
    options.user_data = &places_;
    options.attach = attach;
    options.detach = detach;
    options.wake = wake;
    options.post = post;
    blazen_runtime* made = nullptr;
    OK(blazen_runtime_create(&options, &made, error));
    return made;
  }
  static blazen_status step(void* user_data, blazen_context* context, const blazen_event*,
                            blazen_error** error) {
    if (user_data != nullptr) Places::transaction(user_data);
    return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
  }
  Places places_;
};

// The list above is the header's.
TEST_F(Place, TheListOfCallsFromOutsideIsComplete) {
  std::set<std::string> outside;
  for (const Row& row : table()) {
    if (declared(row.name).thread == "outside") outside.insert(row.name);
  }
  EXPECT_EQ(outside,
            (std::set<std::string>{"blazen_runtime_close", "blazen_runtime_close_within",
                                   "blazen_runtime_poll", "blazen_runtime_poll_next", "blazen_workflow_run",
                                   "blazen_run_close", "blazen_run_close_within", "blazen_run_wait",
                                   "blazen_run_wait_until", "blazen_stream_next", "blazen_stream_take",
                                   "blazen_stream_close", "blazen_task_run"}));
}

TEST_F(Place, NotInABody) {
  Watchdog watchdog("NotInABody", 20);
  RuntimeHandle pump(runtime(BLAZEN_MODE_PUMP, nullptr, nullptr, nullptr));
  WorkflowHandle workflow(make_workflow(step, &places_));
  ValueHandle result;
  OK(blazen_workflow_run(workflow, pump, nullptr, result.out(), error));
  expect_all_refused("a body");
}

TEST_F(Place, NotInOnDoneOrOnReady) {
  Watchdog watchdog("NotInOnDoneOrOnReady", 20);
  RuntimeHandle pump(runtime(BLAZEN_MODE_PUMP, nullptr, nullptr, nullptr));
  WorkflowHandle workflow(make_workflow(step));
  RunHandle run(make_run(pump, workflow));
  StreamHandle stream;
  OK(blazen_run_subscribe(run, stream.out(), error));
  const auto done_visit = [](void* data, blazen_run*, blazen_run_state) { Places::transaction(data); };
  OK(blazen_run_on_done(run, done_visit, &places_, nullptr, error));
  OK(blazen_run_start(run, nullptr, error));
  OK(blazen_runtime_poll(pump, 0, nullptr, error));
  expect_all_refused("on_done");
  OK(blazen_run_on_done(run, done_visit, &places_, nullptr, error));
  expect_all_refused("on_done of a run that has ended");
  OK(blazen_stream_on_ready(stream, Places::transaction, &places_, nullptr, error));
  expect_all_refused("on_ready of a run that has ended");
}

TEST_F(Place, NotInWake) {
  Watchdog watchdog("NotInWake", 20);
  RuntimeHandle pump(runtime(BLAZEN_MODE_PUMP, nullptr, nullptr, Places::transaction));
  WorkflowHandle workflow(make_workflow(step));
  RunHandle first(make_run(pump, workflow));
  RunHandle second(make_run(pump, workflow));
  OK(blazen_run_start(first, nullptr, error));
  expect_all_refused("wake, from blazen_run_start");
  OK(blazen_run_start(second, nullptr, error));
  places_.visits = 0;
  // One step of two runs: at its end there is work left, and the host is told again.
  OK(blazen_runtime_poll(pump, 1, nullptr, error));
  expect_all_refused("wake, from blazen_runtime_poll");
  OK(blazen_runtime_poll(pump, 0, nullptr, error));
}

TEST_F(Place, NotInPost) {
  Watchdog watchdog("NotInPost", 20);
  RuntimeHandle executor(
      runtime(BLAZEN_MODE_EXECUTOR, nullptr, nullptr, nullptr, [](void* data, blazen_task* task) {
        Places::transaction(data);
        // Steps would pile up on one stack: it is cancelled instead.
        blazen_task_run(task);
        return static_cast<blazen_status>(BLAZEN_OK);
      }));
  WorkflowHandle workflow(make_workflow(step));
  RunHandle run(make_run(executor, workflow));
  OK(blazen_run_start(run, nullptr, error));
  expect_all_refused("post");
  ErrorHandle why;
  ValueHandle result;
  EXPECT_EQ(blazen_run_result(run, result.out(), why.out()), BLAZEN_ERROR_WRONG_PLACE) << message_of(why);
}

TEST_F(Place, NotInAttachOrDetach) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("NotInAttachOrDetach", 20);
  {
    RuntimeHandle threads(runtime(BLAZEN_MODE_THREADS, Places::transaction, nullptr, nullptr));
    OK(blazen_runtime_close(threads, error));
  }
  expect_all_refused("attach");
  {
    RuntimeHandle threads(runtime(BLAZEN_MODE_THREADS, nullptr, Places::transaction, nullptr));
    OK(blazen_runtime_close(threads, error));
  }
  expect_all_refused("detach");
}

TEST(BadInputEnd, EveryUserDataWasDroppedOnce) {
  // In a process of its own, the table is walked here once more.
  World world;
  for (const Row& row : table()) {
    for (size_t i = 0; i < row.kinds.size(); ++i) {
      if (row.kinds[i] != Kind::count) row.call(world, {i, nullptr}, false);
    }
  }
  for (size_t i = 0; i < tokens.used(); ++i) {
    const std::string name = tokens[i].name;
    if (name == "adopt" || name == "deserializer" || name == "question")
      continue;  // counted where they are made
    EXPECT_LE(tokens[i].drops, 1) << tokens[i].name;
  }
}

}  // namespace
