#include "value/event.hpp"

#include <cstring>
#include <new>

namespace blazen {
namespace {

char* put_text(char* to, std::string_view text) noexcept {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  to[text.size()] = '\0';
  return to + text.size() + 1;
}

}  // namespace

Ref<Event> Event::make(std::string_view type, Ref<Value> value, std::string_view source,
                       std::string_view correlation) {
  const size_t text_bytes = type.size() + source.size() + correlation.size() + 3;
  auto* event = new (::operator new(sizeof(Event) + text_bytes)) Event(std::move(value));
  event->type_size_ = static_cast<uint32_t>(type.size());
  event->source_size_ = static_cast<uint32_t>(source.size());
  event->correlation_size_ = static_cast<uint32_t>(correlation.size());
  char* to = reinterpret_cast<char*>(event + 1);
  put_text(put_text(put_text(to, type), source), correlation);
  return Ref<Event>::adopt(event);
}

void Event::destroy(Event* event) noexcept {
  event->~Event();
  ::operator delete(event);
}

}  // namespace blazen
