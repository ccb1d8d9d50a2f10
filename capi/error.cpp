#include "value/error.hpp"

#include "capi/handle.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

blazen_status blazen_error_host(int64_t host_code, const char* message, size_t message_length,
                                blazen_value* detail, blazen_error** error) {
  std::string_view text;
  if (Ref<Error> failure = need_data("message", message, message_length, text))
    return give(std::move(failure), error);
  if (Ref<Error> failure = check_value_size("message", text.size())) return give(std::move(failure), error);
  Ref<Value> kept;
  if (detail != nullptr) {
    Value* value = nullptr;
    if (Ref<Error> failure = need("detail", detail, value)) return give(std::move(failure), error);
    kept = Ref<Value>::share(value);
  }
  return give(Error::host(host_code, text, std::move(kept)), error);
}

blazen_error* blazen_error_retain(const blazen_error* error) { return retain_handle<Error>(error); }
void blazen_error_release(blazen_error* error) { release_handle<Error>(error); }

blazen_status blazen_error_status(const blazen_error* error) {
  const Error* object = object_of<Error>(error);
  return object == nullptr ? BLAZEN_OK : static_cast<blazen_status>(object->status);
}

const char* blazen_error_message(const blazen_error* error, size_t* length) {
  const Error* object = object_of<Error>(error);
  return text_out(object == nullptr ? std::string_view("") : std::string_view(object->message), length);
}

int64_t blazen_error_host_code(const blazen_error* error) {
  const Error* object = object_of<Error>(error);
  return object == nullptr ? 0 : object->host_code;
}

const char* blazen_error_step(const blazen_error* error, size_t* length) {
  const Error* object = object_of<Error>(error);
  return object == nullptr || object->step.empty() ? no_text(length) : text_out(object->step, length);
}

uint32_t blazen_error_attempt(const blazen_error* error) {
  const Error* object = object_of<Error>(error);
  return object == nullptr ? 0 : object->attempt;
}

uint64_t blazen_error_offset(const blazen_error* error) {
  const Error* object = object_of<Error>(error);
  return object == nullptr ? kNoOffset : object->offset;
}

blazen_value* blazen_error_detail(const blazen_error* error) {
  for (const Error* object = object_of<Error>(error); object != nullptr; object = object->cause.get()) {
    if (object->detail) return handle_of(object->detail.get());
  }
  return nullptr;
}

blazen_error* blazen_error_cause(const blazen_error* error) {
  const Error* object = object_of<Error>(error);
  return object == nullptr || !object->cause ? nullptr : handle_of(object->cause.get());
}

void blazen_error_view_init(blazen_error_view* view, size_t struct_size) { init_options(view, struct_size); }

int32_t blazen_error_read(const blazen_error* error, blazen_error_view* view) {
  const Error* object = object_of<Error>(error);
  if (object == nullptr || view == nullptr || !has_view_size(view)) return 0;
  const bool has_step = !object->step.empty();
  fill_view(view, {sizeof *view, static_cast<blazen_status>(object->status), object->attempt,
                   object->host_code, object->offset, object->message.data(), object->message.size(),
                   has_step ? object->step.data() : nullptr, object->step.size(), blazen_error_detail(error),
                   object->cause ? handle_of(object->cause.get()) : nullptr});
  return 1;
}

const char* blazen_status_name(blazen_status status) { return status_name(static_cast<Status>(status)); }
