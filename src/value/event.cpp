#include "value/event.hpp"

namespace blazen {

void Event::destroy(Event* event) noexcept {
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
