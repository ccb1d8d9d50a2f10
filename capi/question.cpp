#include "capi/handle.hpp"
#include "engine/context.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {
namespace {

Ref<Error> read_deadline(const blazen_question& given, Context::Asking& asking) {
  if (given.deadline_ms < 0 || given.deadline_ms > kTimeMsMax)
    return invalid("question.deadline_ms is negative, or above BLAZEN_TIME_MS_MAX");
  if (given.deadline_ms == 0) {
    return given.default_answer == nullptr
               ? nullptr
               : invalid("question.default_answer: it is given at a deadline, and there is none");
  }
  Ref<Value> value;
  if (Ref<Error> failure = need_value_or_null("question.default_answer", given.default_answer, value))
    return failure;
  if (value->tag() == Tag::live)
    return Error::make(Status::wrong_tag, "question.default_answer is LIVE: it goes into snapshots");
  asking.deadline_ms = given.deadline_ms;
  // A copy: it is let go of under the lock of the run, and the host's values are not.
  asking.default_answer = Value::copy(value->tag(), value->data(), value->codec());
  return nullptr;
}

Ref<Error> read_question(const blazen_question& given, Context::Asking& asking) {
  if (Ref<Error> failure =
          need_label("question.request_id", given.request_id, given.request_id_length, asking.request_id))
    return failure;
  if (Ref<Error> failure = need_data("question.prompt", given.prompt, given.prompt_length, asking.prompt))
    return failure;
  if (Ref<Error> failure = check_value_size("question.prompt", given.prompt_length)) return failure;
  const size_t valid = utf8_valid_prefix(asking.prompt.data(), asking.prompt.size());
  if (valid != asking.prompt.size())
    return Error::at(Status::invalid_utf8, "question.prompt is not UTF-8 at byte " + std::to_string(valid),
                     valid);
  if (Ref<Error> failure = read_deadline(given, asking)) return failure;
  if (given.metadata == nullptr) return nullptr;
  Value* metadata = nullptr;
  if (Ref<Error> failure = need("question.metadata", given.metadata, metadata)) return failure;
  if (metadata->tag() != Tag::json) return Error::make(Status::wrong_tag, "question.metadata is not JSON");
  asking.metadata = Ref<Value>::share(metadata);
  return nullptr;
}

}  // namespace
}  // namespace blazen::capi

void blazen_question_init(blazen_question* question, size_t struct_size) {
  init_options(question, struct_size);
}

blazen_status blazen_context_ask(blazen_context* context, const blazen_question* question,
                                 blazen_value** answer, blazen_error** error) {
  blazen_question all = BLAZEN_QUESTION_INIT;
  Ref<Error> bad_question = read_options(question, all, "question");
  // A question that is refused is dropped all the same, as far as it can be read.
  const bool has_drop = has_field(question, offsetof(blazen_question, drop) + sizeof(blazen_drop_fn));
  DropGuard guard(has_drop ? question->drop : nullptr, has_drop ? question->user_data : nullptr);
  if (bad_question) return give(std::move(bad_question), error);
  Status status = Status::ok;
  const blazen_status failed = guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Context::Asking asking;
    Ref<Value> given;
    std::unique_ptr<PendingCallback> callback;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_out("question", question)) return failure;
    if (Ref<Error> failure = need_out("answer", answer)) return failure;
    if (Ref<Error> failure = read_question(all, asking)) return failure;
    if (all.answered != nullptr) {
      guard.taken();
      callback = make_callback(reinterpret_cast<HostFunction>(all.answered), all.user_data, all.drop);
    }
    Result<Status> asked = Context(*call).ask(asking, std::move(callback), given);
    if (!asked) return asked.error();
    status = *asked;
    if (given) *answer = handle_of(given.take());
    return nullptr;
  });
  return failed != BLAZEN_OK ? failed : static_cast<blazen_status>(status);
}

namespace {

blazen_status respond(blazen_run* run, const char* request_id, size_t request_id_length, blazen_value* answer,
                      bool is_early, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view id;
    Ref<Value> value;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_name("request_id", request_id, request_id_length, id)) return failure;
    if (Ref<Error> failure = need_value_or_null("answer", answer, value)) return failure;
    if (is_early && value->tag() == Tag::live)
      return Error::make(Status::wrong_tag, "answer is LIVE: one that is kept goes into snapshots");
    return object->respond(id, std::move(value), is_early);
  });
}

}  // namespace

blazen_status blazen_run_respond(blazen_run* run, const char* request_id, size_t request_id_length,
                                 blazen_value* answer, blazen_error** error) {
  return respond(run, request_id, request_id_length, answer, false, error);
}

blazen_status blazen_run_respond_early(blazen_run* run, const char* request_id, size_t request_id_length,
                                       blazen_value* answer, blazen_error** error) {
  return respond(run, request_id, request_id_length, answer, true, error);
}

blazen_status blazen_run_withdraw_question(blazen_run* run, const char* request_id, size_t request_id_length,
                                           blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view id;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_name("request_id", request_id, request_id_length, id)) return failure;
    return object->withdraw_question(id);
  });
}

blazen_status blazen_run_fail_question(blazen_run* run, const char* request_id, size_t request_id_length,
                                       blazen_error* cause, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view id;
    Error* why = nullptr;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_name("request_id", request_id, request_id_length, id)) return failure;
    if (Ref<Error> failure = need("cause", cause, why)) return failure;
    return object->fail_question(id, Ref<Error>::share(why));
  });
}

blazen_status blazen_run_wants_input(const blazen_run* run, int32_t* wants, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_out("wants", wants)) return failure;
    *wants = object->wants_input() ? 1 : 0;
    return nullptr;
  });
}

blazen_status blazen_run_questions(const blazen_run* run, blazen_value** questions, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_out("questions", questions)) return failure;
    *questions = handle_of(Value::copy(Tag::json, object->questions()).take());
    return nullptr;
  });
}
