#include "value/event.hpp"

#include "capi/handle.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

void blazen_event_options_init(blazen_event_options* options, size_t struct_size) {
  init_options(options, struct_size);
}
void blazen_send_options_init(blazen_send_options* options, size_t struct_size) {
  init_options(options, struct_size);
}

blazen_status blazen_event_create(const char* type, size_t type_length, blazen_value* value,
                                  const blazen_event_options* options, blazen_event** event,
                                  blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view name;
    std::string_view correlation;
    Ref<Value> kept;
    blazen_event_options all = BLAZEN_EVENT_OPTIONS_INIT;
    if (Ref<Error> failure = need_out("event", event)) return failure;
    if (Ref<Error> failure = need_name("type", type, type_length, name)) return failure;
    if (Ref<Error> failure = need_value_or_null("value", value, kept)) return failure;
    if (Ref<Error> failure = read_options(options, all)) return failure;
    if (Ref<Error> failure =
            need_label("options.correlation", all.correlation, all.correlation_length, correlation)) {
      return failure;
    }
    *event = handle_of(Event::make(name, std::move(kept), {}, correlation).take());
    return nullptr;
  });
}

blazen_event* blazen_event_retain(const blazen_event* event) { return retain_handle<Event>(event); }
void blazen_event_release(blazen_event* event) { release_handle<Event>(event); }

const char* blazen_event_type(const blazen_event* event, size_t* length) {
  const Event* object = object_of<Event>(event);
  return object == nullptr ? no_text(length) : text_out(object->type(), length);
}

blazen_value* blazen_event_value(const blazen_event* event) {
  const Event* object = object_of<Event>(event);
  return object == nullptr ? nullptr : handle_of(object->value().get());
}

uint64_t blazen_event_id(const blazen_event* event) {
  const Event* object = object_of<Event>(event);
  return object == nullptr ? 0 : object->id;
}

const char* blazen_event_source(const blazen_event* event, size_t* length) {
  const Event* object = object_of<Event>(event);
  return object == nullptr || object->source().empty() ? no_text(length) : text_out(object->source(), length);
}

const char* blazen_event_correlation(const blazen_event* event, size_t* length) {
  const Event* object = object_of<Event>(event);
  return object == nullptr || object->correlation().empty() ? no_text(length)
                                                            : text_out(object->correlation(), length);
}

void blazen_event_view_init(blazen_event_view* view, size_t struct_size) { init_options(view, struct_size); }

int32_t blazen_event_read(const blazen_event* event, blazen_event_view* view) {
  const Event* object = object_of<Event>(event);
  if (object == nullptr || view == nullptr || !has_view_size(view)) return 0;
  const auto or_null = [](std::string_view text) { return text.empty() ? nullptr : text.data(); };
  const std::string_view source = object->source();
  const std::string_view correlation = object->correlation();
  const Value& value = *object->value();
  const EventPath::Texts* path = object->path() == nullptr ? nullptr : &object->path()->texts();
  fill_view(view, {sizeof *view, object->type().data(), object->type().size(), object->id, or_null(source),
                   source.size(), or_null(correlation), correlation.size(), handle_of(object->value().get()),
                   static_cast<blazen_tag>(value.tag()), value.codec().data(), value.codec().size(),
                   value.data().data(), value.data().size(), path == nullptr ? nullptr : path->json.c_str(),
                   path == nullptr ? 0 : path->json.size(), path == nullptr ? nullptr : path->run_id.c_str(),
                   path == nullptr ? 0 : path->run_id.size()});
  return 1;
}
