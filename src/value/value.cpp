#include "value/value.hpp"

#include <cstring>
#include <new>

namespace blazen {

constinit Value Value::null_{Value::Null{}};

Ref<Value> Value::copy(Tag tag, std::string_view data, std::string_view codec) {
  const size_t codec_bytes = codec.empty() ? 0 : codec.size() + 1;
  Value* value = allocate(tag, data.size() + 1 + codec_bytes);
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
  Value* value = allocate(tag, codec.empty() ? 0 : codec.size() + 1);
  value->data_ = static_cast<const char*>(data);
  value->size_ = size;
  value->put_codec(value->tail(), codec);
  value->user_data_ = user_data;
  value->drop_ = drop;
  return Ref<Value>::adopt(value);
}

Ref<Value> Value::live(void* object, std::string_view label, DropFn drop, SerializeFn function) {
  Value* value = allocate(Tag::live, sizeof function + (label.empty() ? 0 : label.size() + 1));
  std::memcpy(value->tail(), &function, sizeof function);
  value->put_codec(value->tail() + sizeof function, label);
  value->user_data_ = object;
  value->drop_ = drop;
  return Ref<Value>::adopt(value);
}

SerializeFn Value::serialize() const noexcept {
  SerializeFn function = nullptr;
  if (tag_ == Tag::live) std::memcpy(&function, this + 1, sizeof function);
  return function;
}

void Value::destroy(Value* value) noexcept {
  const DropFn drop = value->drop_;
  void* user_data = value->user_data_;
  value->~Value();
  ::operator delete(value);
  call_drop(drop, user_data);
}

Value* Value::allocate(Tag tag, size_t tail_bytes) {
  void* memory = ::operator new(sizeof(Value) + tail_bytes);
  return new (memory) Value(tag);
}

char* Value::put_codec(char* to, std::string_view codec) noexcept {
  if (codec.empty()) return to;
  std::memcpy(to, codec.data(), codec.size());
  to[codec.size()] = '\0';
  codec_ = to;
  codec_size_ = static_cast<uint32_t>(codec.size());
  return to + codec.size() + 1;
}

}  // namespace blazen
