// The state of a run, from outside.
#include "capi/values.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

blazen_status blazen_run_get_value(const blazen_run* run, const char* key, size_t key_length,
                                   blazen_value** value, uint64_t* version, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view name;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_out("value", value)) return failure;
    Run::Found found = object->find(name);
    if (version != nullptr) *version = found.version;
    *value = found.value ? handle_of(found.value.take()) : nullptr;
    return nullptr;
  });
}

blazen_status blazen_run_keys(const blazen_run* run, const char* prefix, size_t prefix_length,
                              blazen_keys** keys, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view text;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_data("prefix", prefix, prefix_length, text)) return failure;
    if (Ref<Error> failure = check_prefix("prefix", text)) return failure;
    if (Ref<Error> failure = need_out("keys", keys)) return failure;
    Ref<Keys> list = Ref<Keys>::adopt(new Keys);
    list->texts = object->keys(text);
    *keys = handle_of(list.take());
    return nullptr;
  });
}

blazen_status blazen_run_compare_and_set(blazen_run* run, const char* key, size_t key_length,
                                         uint64_t expected, blazen_value* value, uint64_t* version,
                                         blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    std::string_view name;
    Ref<Value> kept;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need_key(key, key_length, name)) return failure;
    if (Ref<Error> failure = need_state_value(value, kept)) return failure;
    CompareAndSet change(name, expected, value, std::move(kept));
    uint64_t written = 0;
    if (Ref<Error> failure = object->write(change.writes, &written)) return failure;
    change.give_version(written, version);
    return nullptr;
  });
}

blazen_status blazen_run_apply(blazen_run* run, const blazen_batch* batch, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    Batch* given = nullptr;
    if (Ref<Error> failure = need_run(run, object)) return failure;
    if (Ref<Error> failure = need("batch", batch, given)) return failure;
    const Ref<Batch> kept = Ref<Batch>::share(given);  // what is replaced may release it
    std::vector<Write> writes = given->writes();
    return object->write(writes, nullptr);
  });
}
