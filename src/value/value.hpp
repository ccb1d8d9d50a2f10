// An immutable, counted value with a tag.
//
// Invariants: JSON has been checked when it entered. The payload of a copied value stands behind the object
// itself, with a NUL after it; an adopted one stays where the host put it until `drop`. `drop` runs once,
// with the last reference, never under a lock of the engine (whoever releases values does so outside it).
// Behind a LIVE value stands the host's serializer, opaque here: who calls it is the engine's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/host_call.hpp"
#include "base/object.hpp"

namespace blazen {

// Stored in snapshots: never renumber.
enum class Tag : int32_t { none = 0, json = 1, bytes = 2, native = 3, live = 4 };

using DropFn = void (*)(void* user_data);
// A function of the host's, of whatever type it is.
using SerializeFn = void (*)();

// Ends the host's interest in user_data. What the host throws ends here: there is nobody to tell.
inline void call_drop(DropFn drop, void* user_data) noexcept {
  if (drop == nullptr) return;
  const HostCall host_call(HostCode::drop);
  try {
    drop(user_data);
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

class Value final : public Object {
 public:
  // Copies data and codec. Throws std::bad_alloc.
  static Ref<Value> copy(Tag tag, std::string_view data, std::string_view codec = {});
  // Refers to data, which drop(user_data) ends. Not LIVE. Throws std::bad_alloc, and then has not taken
  // anything over.
  static Ref<Value> adopt(Tag tag, const void* data, size_t size, std::string_view codec, void* user_data,
                          DropFn drop);
  // The same for an object: LIVE, with its label as the codec.
  static Ref<Value> live(void* object, std::string_view label, DropFn drop, SerializeFn function = nullptr);
  // The JSON text null, immortal.
  static Ref<Value> null() noexcept { return Ref<Value>::share(&null_); }

  static void destroy(Value* value) noexcept;

  Tag tag() const noexcept { return tag_; }
  std::string_view data() const noexcept { return {data_, size_}; }
  std::string_view codec() const noexcept { return {codec_, codec_size_}; }
  void* object() const noexcept { return tag_ == Tag::live ? host().user_data : nullptr; }
  // What drop will be called with; null where it is another one, or none.
  void* made_with(DropFn drop) const noexcept {
    return drop != nullptr && is_hosts_ && drop == host().drop ? host().user_data : nullptr;
  }
  // Null: no snapshot can keep it.
  SerializeFn serialize() const noexcept;

 private:
  // What the host keeps an interest in: behind the object, since a copy has none of it.
  struct Host {
    void* user_data;
    DropFn drop;
    SerializeFn serialize;  // of a LIVE value
  };

  Value(Tag tag, bool is_hosts) noexcept
      : Object(Kind::value), tag_(tag), codec_size_(0), is_hosts_(is_hosts ? 1 : 0) {}
  struct Null {};
  constexpr explicit Value(Null) noexcept
      : Object(Kind::value, kImmortal),
        tag_(Tag::json),
        codec_size_(0),
        is_hosts_(0),
        size_(4),
        data_("null") {}
  static Value null_;
  static Value* allocate(Tag tag, bool is_hosts, size_t tail_bytes);
  static Ref<Value> make_hosts(Tag tag, std::string_view data, std::string_view codec, const Host& host);
  const Host& host() const noexcept { return *reinterpret_cast<const Host*>(this + 1); }
  char* tail() noexcept { return reinterpret_cast<char*>(this + 1); }
  char* put_codec(char* to, std::string_view codec) noexcept;

  Tag tag_;
  uint32_t codec_size_ : 31;
  uint32_t is_hosts_ : 1;  // a Host stands behind it
  size_t size_ = 0;
  const char* data_ = nullptr;
  const char* codec_ = "";
};

}  // namespace blazen
