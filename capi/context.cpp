#include "engine/context.hpp"

#include <algorithm>
#include <vector>

#include "capi/values.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {

namespace {

// The context of a call that is still open.
Ref<Error> need_open(const blazen_context* context, KeptCall& call) noexcept {
  if (Ref<Error> failure = need_context(context, call)) return failure;
  if (call->is_open() && !call->run().ended()) [[likely]]
    return nullptr;
  return Context(*call).check_open();
}

Ref<Error> set_state(Call& call, std::string_view key, Ref<Value> value) {
  Write write{Write::Kind::set, key, std::move(value)};
  return call.run().write(call, {&write, 1}, nullptr, nullptr);
}

Ref<Error> give_keys(const blazen_context* context, const char* prefix, size_t prefix_length, bool session,
                     blazen_keys** keys) {
  KeptCall call;
  std::string_view text;
  if (Ref<Error> failure = need_open(context, call)) return failure;
  if (Ref<Error> failure = need_data("prefix", prefix, prefix_length, text)) return failure;
  if (Ref<Error> failure = check_prefix("prefix", text)) return failure;
  if (Ref<Error> failure = need_out("keys", keys)) return failure;
  Ref<Keys> list = Ref<Keys>::adopt(new Keys);
  list->texts = call->run().keys(*call, text, session);
  *keys = handle_of(list.take());
  return nullptr;
}

Ref<Error> find_value(const blazen_context* context, const char* key, size_t key_length, bool session,
                      Run::Found& found) {
  KeptCall call;
  std::string_view name;
  if (Ref<Error> failure = need_open(context, call)) return failure;
  if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
  found = call->run().find(*call, name, session);
  return nullptr;
}

Ref<Error> has_key(const blazen_context* context, const char* key, size_t key_length, bool session,
                   int32_t* found) {
  Run::Found entry;
  if (Ref<Error> failure = need_out("found", found)) return failure;
  if (Ref<Error> failure = find_value(context, key, key_length, session, entry)) return failure;
  *found = entry.value ? 1 : 0;
  return nullptr;
}

Ref<Error> remove_key(blazen_context* context, const char* key, size_t key_length, bool session,
                      int32_t* removed) {
  KeptCall call;
  Write write{Write::Kind::remove, {}, nullptr};
  bool was_there = false;
  if (Ref<Error> failure = need_open(context, call)) return failure;
  if (Ref<Error> failure = need_key(key, key_length, write.key)) return failure;
  Ref<Error> refused = session ? call->run().write_session(*call, std::move(write), &was_there)
                               : call->run().write(*call, {&write, 1}, nullptr, &was_there);
  if (!refused && removed != nullptr) *removed = was_there ? 1 : 0;
  return refused;
}

Ref<Error> add_to_batch(blazen_batch* batch, const char* key, size_t key_length, Batch::Item item) {
  Batch* object = nullptr;
  std::string_view name;
  if (Ref<Error> failure = need("batch", batch, object)) return failure;
  if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
  item.key = name;
  object->items.push_back(std::move(item));
  return nullptr;
}

}  // namespace
}  // namespace blazen::capi

// --------------------------------------------------------------------------------------------- who and where

const char* blazen_context_run_id(const blazen_context* context, size_t* length) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? no_text(length) : text_out(call->run().id(), length);
}

const char* blazen_context_workflow_name(const blazen_context* context, size_t* length) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? no_text(length) : text_out(call->run().workflow().name(), length);
}

const char* blazen_context_step_name(const blazen_context* context, size_t* length) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? no_text(length) : text_out(call->step().name, length);
}

uint64_t blazen_context_invocation_id(const blazen_context* context) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? 0 : call->invocation_id();
}

uint32_t blazen_context_attempt(const blazen_context* context) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? 0 : call->attempt();
}

int32_t blazen_context_is_cancelled(const blazen_context* context) {
  Call* call = object_of<Call>(context);
  return call != nullptr && Context(*call).is_cancelled() ? 1 : 0;
}

blazen_run* blazen_context_run(const blazen_context* context) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? nullptr : handle_of(&call->run().top());
}

const blazen_event* blazen_context_event(const blazen_context* context) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? nullptr : handle_of(const_cast<Event*>(&call->event()));
}

blazen_status blazen_context_events(blazen_context* context, const blazen_event* const** events,
                                    size_t* count, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_out("events", events)) return failure;
    if (Ref<Error> failure = need_out("count", count)) return failure;
    const Event* const* first = nullptr;
    if (Ref<Error> failure = Context(*call).events(first, *count)) return failure;
    *events = reinterpret_cast<const blazen_event* const*>(first);
    return nullptr;
  });
}

blazen_status blazen_context_collect(blazen_context* context, const char* key, size_t key_length,
                                     const char* const* types, const size_t* type_lengths,
                                     const uint32_t* counts, size_t n, blazen_error** error) {
  Status status = Status::ok;
  const blazen_status failed = guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    std::vector<Wanted> wanted;
    std::vector<std::string_view> sorted;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_label("key", key, key_length, name)) return failure;
    if (n > kAcceptsMax)
      return Error::make(Status::limit,
                         "types: BLAZEN_ACCEPTS_MAX (" + std::to_string(kAcceptsMax) + ") is the most");
    if (n != 0 && types == nullptr) return bad_pointer("types");
    if (n != 0 && type_lengths == nullptr) return bad_pointer("type_lengths");
    if (n != 0 && counts == nullptr) return bad_pointer("counts");
    wanted.resize(n);
    for (size_t i = 0; i < n; ++i) {
      if (Ref<Error> failure = need_name("types", types[i], type_lengths[i], wanted[i].type)) return failure;
      wanted[i].count = counts[i];
      sorted.push_back(wanted[i].type);
    }
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
      return invalid("types: one type stands there twice: give its whole count once");
    Result<Status> collected = Context(*call).collect(name, wanted);
    if (!collected) return collected.error();
    status = *collected;
    return nullptr;
  });
  return failed == BLAZEN_OK ? static_cast<blazen_status>(status) : failed;
}

void blazen_join_info_init(blazen_join_info* info, size_t struct_size) { init_options(info, struct_size); }

blazen_status blazen_context_join_info(blazen_context* context, blazen_join_info* info,
                                       blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_out("info", info)) return failure;
    if (!has_view_size(info))
      return invalid("info.struct_size is not the size of the struct: set it to sizeof, or use _INIT");
    Result<Context::Joined> joined = Context(*call).joined();
    if (!joined) return joined.error();
    blazen_join_info all = BLAZEN_JOIN_INFO_INIT;
    all.reason = static_cast<blazen_join_reason>(joined->reason);
    all.wanted = joined->wanted;
    all.arrived = joined->arrived;
    all.scope_id = joined->scope_id;
    fill_view(info, all);
    return nullptr;
  });
}

blazen_status blazen_context_answer(blazen_context* context, blazen_value* value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Ref<Value> kept;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_value_or_null("value", value, kept)) return failure;
    return Context(*call).answer(std::move(kept));
  });
}

uint64_t blazen_context_scope_id(const blazen_context* context) {
  const Call* call = object_of<Call>(context);
  return call == nullptr ? 0 : call->run().scope_id(*call);
}

blazen_status blazen_context_on_cancel(blazen_context* context, blazen_cancel_fn cancelled, void* user_data,
                                       blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (cancelled == nullptr) return bad_pointer("cancelled");
    guard.taken();
    return call->run().on_cancel(*call,
                                 make_callback(reinterpret_cast<HostFunction>(cancelled), user_data, drop));
  });
}

blazen_status blazen_context_cancel_descriptor(blazen_context* context, int32_t* descriptor,
                                               blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_out("descriptor", descriptor)) return failure;
    Result<int> number = call->run().cancel_descriptor(*call);
    if (!number) return number.error();
    *descriptor = *number;
    return nullptr;
  });
}

blazen_status blazen_context_retry_after(blazen_context* context, int64_t delay_ms, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = check_ms("delay_ms", delay_ms, kTimeMsMax)) return failure;
    return Context(*call).retry_after(delay_ms);
  });
}

// ---------------------------------------------------------------------------------------------------- events

blazen_status blazen_context_emit(blazen_context* context, const char* type, size_t type_length,
                                  blazen_value* value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Call* call = nullptr;
    std::string_view name;
    Value* object = nullptr;
    if (Ref<Error> failure = need("context", context, call)) return failure;
    if (Ref<Error> failure = need_data("type", type, type_length, name)) return failure;
    if (value == nullptr) return Context(*call).emit(name, Value::null());
    if (Ref<Error> failure = need("value", value, object)) return failure;
    if (Context(*call).emit_again(name, *object)) [[likely]]
      return nullptr;
    return Context(*call).emit(name, Ref<Value>::share(object));
  });
}

blazen_status blazen_context_emit_json(blazen_context* context, const char* type, size_t type_length,
                                       const char* json, size_t json_length, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Call* call = nullptr;
    std::string_view name;
    if (Ref<Error> failure = need("context", context, call)) return failure;
    if (Ref<Error> failure = need_data("type", type, type_length, name)) return failure;
    Result<Ref<Value>> value = make_json("json", json, json_length);
    if (!value) return value.error();
    return Context(*call).emit(name, std::move(*value));
  });
}

blazen_status blazen_context_emit_event(blazen_context* context, const blazen_event* event,
                                        const blazen_send_options* options, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Event* sent = nullptr;
    Sending sending;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need("event", event, sent)) return failure;
    if (Ref<Error> failure = read_sending(options, sending)) return failure;
    if (sending.scope != 0)
      return invalid(
          "options.scope is for blazen_run_send_event: what a step sends belongs where the step does");
    return Context(*call).emit_event(*sent, sending);
  });
}

blazen_status blazen_context_send_event(blazen_context* context, const blazen_event* event,
                                        const blazen_send_options* options, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Event* sent = nullptr;
    Sending sending;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need("event", event, sent)) return failure;
    if (Ref<Error> failure = read_sending(options, sending)) return failure;
    if (sending.scope != 0)
      return invalid(
          "options.scope is for blazen_run_send_event: what a step sends belongs where the step does");
    return Context(*call).send_event(*sent, sending);
  });
}

blazen_status blazen_context_publish(blazen_context* context, const blazen_event* event,
                                     blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Event* sent = nullptr;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need("event", event, sent)) return failure;
    return Context(*call).publish(*sent);
  });
}

blazen_status blazen_context_progress(blazen_context* context, const char* label, size_t label_length,
                                      uint64_t current, uint64_t total, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view text;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_data("label", label, label_length, text)) return failure;
    if (text.size() > kNameBytesMax) return name_fault("label", text);
    const std::string mended = utf8_mended(text);  // for people to read
    return Context(*call).progress(mended, current, total);
  });
}

// ----------------------------------------------------------------------------------------------------- state

blazen_status blazen_context_set_value(blazen_context* context, const char* key, size_t key_length,
                                       blazen_value* value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    Ref<Value> kept;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_state_value(value, kept)) return failure;
    return set_state(*call, name, std::move(kept));
  });
}

blazen_status blazen_context_set_json(blazen_context* context, const char* key, size_t key_length,
                                      const char* json, size_t json_length, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    Result<Ref<Value>> value = make_json("json", json, json_length);
    if (!value) return value.error();
    return set_state(*call, name, std::move(*value));
  });
}

blazen_status blazen_context_set_bytes(blazen_context* context, const char* key, size_t key_length,
                                       const void* data, size_t data_length, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    std::string_view bytes;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_data("data", data, data_length, bytes)) return failure;
    if (Ref<Error> failure = check_value_size("data", bytes.size())) return failure;
    return set_state(*call, name, Value::copy(Tag::bytes, bytes));
  });
}

blazen_status blazen_context_get_value(const blazen_context* context, const char* key, size_t key_length,
                                       blazen_value** value, uint64_t* version, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run::Found found;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = find_value(context, key, key_length, false, found)) return failure;
    *value = found.value ? handle_of(found.value.take()) : nullptr;
    if (version != nullptr) *version = found.version;
    return nullptr;
  });
}

blazen_status blazen_context_read(blazen_context* context, const char* key, size_t key_length,
                                  blazen_value_view* view, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_out("view", view)) return failure;
    if (!has_view_size(view))
      return invalid("view.struct_size is not the size of the struct: set it to sizeof, or use _INIT");
    Run::Found found = call->run().find(*call, name, false);
    blazen_value_view all = BLAZEN_VALUE_VIEW_INIT;
    all.version = found.version;
    if (const Value* value = call->lend(std::move(found.value))) {
      all.value = handle_of(const_cast<Value*>(value));
      all.tag = static_cast<blazen_tag>(value->tag());
      all.codec = text_out(value->codec(), &all.codec_length);
      all.data = text_out(value->data(), &all.data_length);
    }
    fill_view(view, all);
    return nullptr;
  });
}

blazen_status blazen_context_has_value(const blazen_context* context, const char* key, size_t key_length,
                                       int32_t* found, blazen_error** error) {
  return guarded(error, [&] { return has_key(context, key, key_length, false, found); });
}

blazen_status blazen_context_remove_value(blazen_context* context, const char* key, size_t key_length,
                                          int32_t* removed, blazen_error** error) {
  return guarded(error, [&] { return remove_key(context, key, key_length, false, removed); });
}

blazen_status blazen_context_keys(const blazen_context* context, const char* prefix, size_t prefix_length,
                                  blazen_keys** keys, blazen_error** error) {
  return guarded(error, [&] { return give_keys(context, prefix, prefix_length, false, keys); });
}

blazen_status blazen_context_clear_values(blazen_context* context, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    return call->run().clear_state(*call);
  });
}

blazen_status blazen_context_compare_and_set(blazen_context* context, const char* key, size_t key_length,
                                             uint64_t expected, blazen_value* value, uint64_t* version,
                                             blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    std::string_view name;
    Ref<Value> kept;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_state_value(value, kept)) return failure;
    CompareAndSet change(name, expected, value, std::move(kept));
    uint64_t written = 0;
    if (Ref<Error> failure = call->run().write(*call, change.writes, &written, nullptr)) return failure;
    change.give_version(written, version);
    return nullptr;
  });
}

blazen_status blazen_context_apply(blazen_context* context, const blazen_batch* batch, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Batch* object = nullptr;
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need("batch", batch, object)) return failure;
    const Ref<Batch> kept = Ref<Batch>::share(object);  // what is replaced may release it
    std::vector<Write> writes = object->writes();
    return call->run().write(*call, writes, nullptr, nullptr);
  });
}

// --------------------------------------------------------------------------------------------------- session

blazen_status blazen_context_set_session(blazen_context* context, const char* key, size_t key_length,
                                         blazen_value* value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Write write{Write::Kind::set, {}, nullptr};
    if (Ref<Error> failure = need_open(context, call)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, write.key)) return failure;
    if (Ref<Error> failure = need_value_or_null("value", value, write.value)) return failure;
    return call->run().write_session(*call, std::move(write), nullptr);
  });
}

blazen_status blazen_context_get_session(const blazen_context* context, const char* key, size_t key_length,
                                         blazen_value** value, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Run::Found found;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    if (Ref<Error> failure = find_value(context, key, key_length, true, found)) return failure;
    *value = found.value ? handle_of(found.value.take()) : nullptr;
    return nullptr;
  });
}

blazen_status blazen_context_has_session(const blazen_context* context, const char* key, size_t key_length,
                                         int32_t* found, blazen_error** error) {
  return guarded(error, [&] { return has_key(context, key, key_length, true, found); });
}

blazen_status blazen_context_remove_session(blazen_context* context, const char* key, size_t key_length,
                                            int32_t* removed, blazen_error** error) {
  return guarded(error, [&] { return remove_key(context, key, key_length, true, removed); });
}

blazen_status blazen_context_session_keys(const blazen_context* context, const char* prefix,
                                          size_t prefix_length, blazen_keys** keys, blazen_error** error) {
  return guarded(error, [&] { return give_keys(context, prefix, prefix_length, true, keys); });
}

// -------------------------------------------------------------------------------------------- keys and batch

size_t blazen_keys_count(const blazen_keys* keys) {
  const Keys* object = object_of<Keys>(keys);
  return object == nullptr ? 0 : object->texts.size();
}

const char* blazen_keys_at(const blazen_keys* keys, size_t index, size_t* length) {
  const Keys* object = object_of<Keys>(keys);
  return object == nullptr || index >= object->texts.size() ? no_text(length)
                                                            : text_out(object->texts[index], length);
}

blazen_keys* blazen_keys_retain(const blazen_keys* keys) { return retain_handle<Keys>(keys); }
void blazen_keys_release(blazen_keys* keys) { release_handle<Keys>(keys); }

blazen_status blazen_batch_create(blazen_batch** batch, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    if (Ref<Error> failure = need_out("batch", batch)) return failure;
    *batch = handle_of(new Batch);
    return nullptr;
  });
}

blazen_status blazen_batch_set(blazen_batch* batch, const char* key, size_t key_length, blazen_value* value,
                               blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Value> kept;
    if (Ref<Error> failure = need_state_value(value, kept)) return failure;
    return add_to_batch(batch, key, key_length, {Write::Kind::set, {}, std::move(kept), 0});
  });
}

blazen_status blazen_batch_remove(blazen_batch* batch, const char* key, size_t key_length,
                                  blazen_error** error) {
  return guarded(error,
                 [&] { return add_to_batch(batch, key, key_length, {Write::Kind::remove, {}, nullptr, 0}); });
}

blazen_status blazen_batch_expect(blazen_batch* batch, const char* key, size_t key_length, uint64_t expected,
                                  blazen_error** error) {
  return guarded(error, [&] {
    return add_to_batch(batch, key, key_length, {Write::Kind::expect, {}, nullptr, expected});
  });
}

blazen_batch* blazen_batch_retain(const blazen_batch* batch) { return retain_handle<Batch>(batch); }
void blazen_batch_release(blazen_batch* batch) { release_handle<Batch>(batch); }
