#include "value/value.hpp"

#include <cstddef>

#include "capi/handle.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

blazen_status blazen_value_json(const char* text, size_t text_length, blazen_value** value,
                                blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    if (Ref<Error> failure = need_out("value", value)) return failure;
    Result<Ref<Value>> made = make_json("text", text, text_length);
    if (!made) return made.error();
    *value = handle_of(made->take());
    return nullptr;
  });
}

blazen_status blazen_value_bytes(const void* data, size_t data_length, blazen_value** value,
                                 blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = need_data("data", data, data_length, view)) return failure;
    if (Ref<Error> failure = check_value_size("data", view.size())) return failure;
    *value = handle_of(Value::copy(Tag::bytes, view).take());
    return nullptr;
  });
}

blazen_status blazen_value_native(const void* data, size_t data_length, const char* codec,
                                  size_t codec_length, blazen_value** value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    std::string_view label;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = need_data("data", data, data_length, view)) return failure;
    if (Ref<Error> failure = check_value_size("data", view.size())) return failure;
    if (Ref<Error> failure = need_label("codec", codec, codec_length, label)) return failure;
    *value = handle_of(Value::copy(Tag::native, view, label).take());
    return nullptr;
  });
}

blazen_status blazen_value_live(void* object, const char* label, size_t label_length, blazen_drop_fn drop,
                                blazen_value** value, blazen_error** error) {
  DropGuard guard(drop, object);
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = need_label("label", label, label_length, view)) return failure;
    *value = handle_of(Value::live(object, view, drop).take());
    guard.taken();
    return nullptr;
  });
}

void blazen_live_options_init(blazen_live_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_value_live_with(void* object, const char* label, size_t label_length,
                                     const blazen_live_options* options, blazen_value** value,
                                     blazen_error** error) {
  blazen_live_options all = BLAZEN_LIVE_OPTIONS_INIT;
  Ref<Error> bad_options = read_options(options, all);
  // Options that are refused drop the object all the same, as far as they can be read.
  constexpr size_t kDropEnd = offsetof(blazen_live_options, drop) + sizeof(blazen_drop_fn);
  DropGuard guard(has_field(options, kDropEnd) ? options->drop : nullptr, object);
  if (bad_options) return give(std::move(bad_options), error);
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = need_label("label", label, label_length, view)) return failure;
    const auto serialize = reinterpret_cast<SerializeFn>(all.serialize);
    *value = handle_of(Value::live(object, view, all.drop, serialize).take());
    guard.taken();
    return nullptr;
  });
}

blazen_status blazen_value_adopt(blazen_tag tag, const void* data, size_t data_length, const char* codec,
                                 size_t codec_length, void* user_data, blazen_drop_fn drop,
                                 blazen_value** value, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    std::string_view label;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (tag != BLAZEN_TAG_JSON && tag != BLAZEN_TAG_BYTES && tag != BLAZEN_TAG_NATIVE) {
      return invalid("tag must be BLAZEN_TAG_JSON, BLAZEN_TAG_BYTES or BLAZEN_TAG_NATIVE");
    }
    if (Ref<Error> failure = need_data("data", data, data_length, view)) return failure;
    if (Ref<Error> failure = check_value_size("data", view.size())) return failure;
    if (Ref<Error> failure = need_label("codec", codec, codec_length, label)) return failure;
    if (tag != BLAZEN_TAG_NATIVE && !label.empty()) return invalid("codec belongs to BLAZEN_TAG_NATIVE only");
    if (tag == BLAZEN_TAG_JSON) {
      if (Ref<Error> failure = check_json_value("data", view)) return failure;
    }
    *value = handle_of(Value::adopt(static_cast<Tag>(tag), data, data_length, label, user_data, drop).take());
    guard.taken();
    return nullptr;
  });
}

blazen_value* blazen_value_retain(const blazen_value* value) { return retain_handle<Value>(value); }
void blazen_value_release(blazen_value* value) { release_handle<Value>(value); }

blazen_tag blazen_value_tag(const blazen_value* value) {
  const Value* object = object_of<Value>(value);
  return object == nullptr ? BLAZEN_TAG_NONE : static_cast<blazen_tag>(object->tag());
}

const void* blazen_value_data(const blazen_value* value, size_t* length) {
  const Value* object = object_of<Value>(value);
  return object == nullptr ? no_text(length) : text_out(object->data(), length);
}

const char* blazen_value_codec(const blazen_value* value, size_t* length) {
  const Value* object = object_of<Value>(value);
  return text_out(object == nullptr ? std::string_view("") : object->codec(), length);
}

void* blazen_value_object(const blazen_value* value) {
  const Value* object = object_of<Value>(value);
  return object == nullptr ? nullptr : object->object();
}

void* blazen_value_object_of(const blazen_value* value, blazen_drop_fn drop) {
  const Value* object = object_of<Value>(value);
  return object == nullptr ? nullptr : object->made_with(drop);
}

void blazen_value_view_init(blazen_value_view* view, size_t struct_size) { init_options(view, struct_size); }
