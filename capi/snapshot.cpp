#include "capi/snapshot.hpp"

#include "snapshot/restore.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

namespace blazen::capi {

std::string_view Snapshot::bytes() noexcept {
  Guard guard(lock);
  const std::span<const uint8_t> all = decoded ? decoded->bytes() : made.bytes();
  return {reinterpret_cast<const char*>(all.data()), all.size()};
}

Result<const SnapshotDocument*> Snapshot::document() {
  Guard guard(lock);
  if (!decoded) {
    auto document = std::make_unique<SnapshotDocument>();
    Result<SnapshotDocument> result = decode_snapshot(std::move(made));
    if (!result) return result.error();
    *document = std::move(*result);
    decoded = std::move(document);
  }
  return const_cast<const SnapshotDocument*>(decoded.get());
}

namespace {

Ref<Error> parse(Result<SnapshotDocument> document, blazen_snapshot** snapshot) {
  if (!document) return document.error();
  Ref<Snapshot> made = Ref<Snapshot>::adopt(new Snapshot);
  made->decoded = std::make_unique<SnapshotDocument>(std::move(*document));
  *snapshot = handle_of(made.take());
  return nullptr;
}

}  // namespace
}  // namespace blazen::capi

blazen_status blazen_run_snapshot(const blazen_run* run, blazen_snapshot** snapshot, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (Ref<Error> failure = need_out("snapshot", snapshot)) return failure;
    Ref<Snapshot> made = Ref<Snapshot>::adopt(new Snapshot);
    Result<CborBuffer> bytes = object->snapshot();
    if (!bytes) return bytes.error();
    made->made = std::move(*bytes);
    *snapshot = handle_of(made.take());
    return nullptr;
  });
}

blazen_status blazen_run_snapshot_to(const blazen_run* run, blazen_write_fn write, void* user_data,
                                     blazen_drop_fn drop, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    Ref<Run> object;
    if (Ref<Error> failure = need_top(run, object)) return failure;
    if (write == nullptr) return bad_pointer("write");
    guard.taken();
    return object->snapshot_to(make_callback(reinterpret_cast<HostFunction>(write), user_data, drop));
  });
}

blazen_status blazen_snapshot_parse(const void* data, size_t data_length, blazen_snapshot** snapshot,
                                    blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    if (Ref<Error> failure = need_out("snapshot", snapshot)) return failure;
    if (Ref<Error> failure = need_data("data", data, data_length, view)) return failure;
    if (data_length > PTRDIFF_MAX) return invalid("data_length is more than memory can hold");
    return parse(decode_snapshot(std::span(static_cast<const uint8_t*>(data), data_length)), snapshot);
  });
}

blazen_status blazen_snapshot_adopt(const void* data, size_t data_length, void* user_data,
                                    blazen_drop_fn drop, blazen_snapshot** snapshot, blazen_error** error) {
  DropGuard guard(drop, user_data);
  return guarded(error, [&]() -> Ref<Error> {
    std::string_view view;
    if (Ref<Error> failure = need_out("snapshot", snapshot)) return failure;
    if (Ref<Error> failure = need_data("data", data, data_length, view)) return failure;
    if (data_length > PTRDIFF_MAX) return invalid("data_length is more than memory can hold");
    const std::span bytes(static_cast<const uint8_t*>(data), data_length);
    Ref<HostBytes> adopted = HostBytes::adopt(bytes, user_data, drop);
    guard.taken();
    return parse(decode_snapshot(std::move(adopted)), snapshot);
  });
}

const void* blazen_snapshot_data(const blazen_snapshot* snapshot, size_t* length) {
  Snapshot* object = object_of<Snapshot>(snapshot);
  return object == nullptr ? no_text(length) : text_out(object->bytes(), length);
}

blazen_status blazen_snapshot_info(const blazen_snapshot* snapshot, blazen_value** info,
                                   blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    Snapshot* object = nullptr;
    if (Ref<Error> failure = need("snapshot", snapshot, object)) return failure;
    if (Ref<Error> failure = need_out("info", info)) return failure;
    Result<const SnapshotDocument*> document = object->document();
    if (!document) return document.error();
    *info = handle_of(Value::copy(Tag::json, describe_snapshot(**document)).take());
    return nullptr;
  });
}

blazen_value* blazen_snapshot_metadata(const blazen_snapshot* snapshot) {
  Snapshot* object = object_of<Snapshot>(snapshot);
  if (object == nullptr) return nullptr;
  try {
    Result<const SnapshotDocument*> document = object->document();
    return document && (*document)->metadata ? handle_of((*document)->metadata.get()) : nullptr;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

blazen_snapshot* blazen_snapshot_retain(const blazen_snapshot* snapshot) {
  return retain_handle<Snapshot>(snapshot);
}
void blazen_snapshot_release(blazen_snapshot* snapshot) { release_handle<Snapshot>(snapshot); }
