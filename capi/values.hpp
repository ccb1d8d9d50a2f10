// Lists of keys and batches of writes, as objects behind handles; what may stand in the state.
#pragma once

#include <string>
#include <vector>

#include "capi/handle.hpp"

namespace blazen::capi {

struct Keys final : Object {
  Keys() noexcept : Object(Kind::keys) {}
  static void destroy(Keys* keys) noexcept { delete keys; }
  std::vector<std::string> texts;
};

struct Batch final : Object {
  struct Item {
    Write::Kind kind;
    std::string key;
    Ref<Value> value;
    uint64_t expected;
  };

  Batch() noexcept : Object(Kind::batch) {}
  static void destroy(Batch* batch) noexcept { delete batch; }
  // As the state takes them. They refer to the batch. Throws std::bad_alloc.
  std::vector<Write> writes() const {
    std::vector<Write> all;
    all.reserve(items.size());
    for (const Item& item : items) all.push_back({item.kind, item.key, item.value, item.expected});
    return all;
  }
  std::vector<Item> items;
};

inline Ref<Error> refuse_live(const Value& value) noexcept {
  if (value.tag() != Tag::live) return nullptr;
  return Error::make(Status::wrong_tag,
                     "value is LIVE: the state goes into snapshots, LIVE values into the session");
}

inline Ref<Error> need_state_value(const blazen_value* handle, Ref<Value>& value) noexcept {
  if (Ref<Error> failure = need_value_or_null("value", handle, value)) return failure;
  return refuse_live(*value);
}

// A write of one key that holds only where it has the version given. value: null removes it.
struct CompareAndSet {
  bool removes;
  Write writes[2];

  CompareAndSet(std::string_view key, uint64_t expected, const blazen_value* given, Ref<Value> value) noexcept
      : removes(given == nullptr),
        writes{{Write::Kind::expect, key, nullptr, expected},
               {given == nullptr ? Write::Kind::remove : Write::Kind::set, key, std::move(value)}} {}
  void give_version(uint64_t written, uint64_t* version) const noexcept {
    if (version != nullptr) *version = removes ? 0 : written;
  }
};

}  // namespace blazen::capi
