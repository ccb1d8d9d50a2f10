#include "value/event.hpp"

namespace blazen {

namespace {

// Of the texts and what is before them, to where a pointer may stand.
constexpr size_t whole_words(size_t bytes) noexcept {
  return (bytes + alignof(void*) - 1) / alignof(void*) * alignof(void*);
}

}  // namespace

Ref<EventPath>* Event::path_place() const noexcept {
  const size_t bytes = bytes_of(type(), source(), correlation());
  auto* memory = reinterpret_cast<char*>(const_cast<Event*>(this));
  return reinterpret_cast<Ref<EventPath>*>(memory + whole_words(bytes));
}

Ref<Event> Event::make_at(std::string_view type, Ref<Value> value, std::string_view source,
                          std::string_view correlation, Ref<EventPath> path) {
  const size_t bytes = whole_words(bytes_of(type, source, correlation)) + sizeof(Ref<EventPath>);
  void* memory = ::operator new(bytes);
  auto* event = new (memory) Event(SIZE_MAX, type, std::move(value), source, correlation);
  new (event->path_place()) Ref<EventPath>(std::move(path));
  event->has_path_ = true;
  return Ref<Event>::adopt(event);
}

void Event::destroy(Event* event) noexcept {
  if (event->has_path_) event->path_place()->~Ref();
  event->~Event();
  ::operator delete(event);
}

// Without memory to remember more, less is remembered.
bool EventCache::grow() noexcept {
  if (blocks_.size() >= kBlocksMax) return false;
  try {
    blocks_.resize(blocks_.empty() ? 16 : blocks_.size() * 4);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace blazen
