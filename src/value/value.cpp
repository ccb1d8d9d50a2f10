#include "value/value.hpp"

#include <cstring>
#include <new>

namespace blazen {

constinit Value Value::null_{Value::Null{}};

Ref<Value> Value::copy(Tag tag, std::string_view data, std::string_view codec) {
  const size_t codec_bytes = codec.empty() ? 0 : codec.size() + 1;
  Value* value = allocate(tag, false, data.size() + 1 + codec_bytes);
  char* tail = value->tail();
  if (!data.empty()) std::memcpy(tail, data.data(), data.size());
  tail[data.size()] = '\0';
  value->data_ = tail;
  value->size_ = data.size();
  value->put_codec(tail + data.size() + 1, codec);
  return Ref<Value>::adopt(value);
}

Ref<Value> Value::adopt(Tag tag, const void* data, size_t size, std::string_view codec, void* user_data,
                        DropFn drop) {
  return make_hosts(tag, {static_cast<const char*>(data), size}, codec, {user_data, drop, nullptr});
}

Ref<Value> Value::live(void* object, std::string_view label, DropFn drop, SerializeFn function) {
  return make_hosts(Tag::live, {}, label, {object, drop, function});
}

Ref<Value> Value::make_hosts(Tag tag, std::string_view data, std::string_view codec, const Host& host) {
  Value* value = allocate(tag, true, sizeof host + (codec.empty() ? 0 : codec.size() + 1));
  new (value->tail()) Host(host);
  value->data_ = data.data();
  value->size_ = data.size();
  value->put_codec(value->tail() + sizeof host, codec);
  return Ref<Value>::adopt(value);
}

SerializeFn Value::serialize() const noexcept { return tag_ == Tag::live ? host().serialize : nullptr; }

void Value::destroy(Value* value) noexcept {
  const Host host = value->is_hosts_ ? value->host() : Host{};
  value->~Value();
  ::operator delete(value);
  call_drop(host.drop, host.user_data);
}

Value* Value::allocate(Tag tag, bool is_hosts, size_t tail_bytes) {
  void* memory = ::operator new(sizeof(Value) + tail_bytes);
  return new (memory) Value(tag, is_hosts);
}

char* Value::put_codec(char* to, std::string_view codec) noexcept {
  if (codec.empty()) return to;
  std::memcpy(to, codec.data(), codec.size());
  to[codec.size()] = '\0';
  codec_ = to;
  codec_size_ = static_cast<uint32_t>(codec.size()) & 0x7fffffffU;
  return to + codec.size() + 1;
}

}  // namespace blazen
