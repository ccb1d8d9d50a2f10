#include "run/invocation.hpp"

#include <new>

namespace blazen {

Invocation* InvocationPool::find(uint64_t id) const {
  const auto is_it = [id](const Invocation& item) { return item.id == id && item.place != Place::free; };
  for (const Invocation& item : first_) {
    if (is_it(item)) return const_cast<Invocation*>(&item);
  }
  if (!blocks_) return nullptr;
  if (!blocks_->index) {
    auto made = std::make_unique<Index>();
    for (size_t i = 0; i < blocks_->opened; ++i) {
      for (Invocation& item : blocks_->row[i]) {
        if (item.id != 0) made->emplace(item.id, &item);
      }
    }
    blocks_->index = std::move(made);
    indexed_ = true;
  }
  const auto known = blocks_->index->find(id);
  return known == blocks_->index->end() || !is_it(*known->second) ? nullptr : known->second;
}

// Without memory, there is no index until somebody looks for one again.
[[gnu::noinline, gnu::cold]] void InvocationPool::index_again(Invocation* item, uint64_t id) noexcept {
  try {
    blocks_->index->erase(item->id);
    blocks_->index->emplace(id, item);
  } catch (const std::bad_alloc&) {
    blocks_->index.reset();
    indexed_ = false;
  }
}

}  // namespace blazen
