#include "run/invocation.hpp"

#include <new>

namespace blazen {

Invocation* InvocationPool::find(uint64_t id) const {
  if (!index_) {
    auto made = std::make_unique<Index>();
    const auto add = [&](const Invocation* first, const Invocation* end) {
      for (; first != end && first->id != 0; ++first)
        made->emplace(first->id, const_cast<Invocation*>(first));
    };
    add(first_, first_ + kFirstBlock);
    for (size_t i = 0; blocks_ && i < blocks_->opened; ++i)
      add(blocks_->row[i].data(), blocks_->row[i].data() + blocks_->row[i].size());
    index_ = std::move(made);
  }
  const auto known = index_->find(id);
  return known == index_->end() || known->second->place == Place::free ? nullptr : known->second;
}

// Without memory, there is no index until somebody looks for one again.
[[gnu::noinline, gnu::cold]] void InvocationPool::index_again(Invocation* item, uint64_t id) noexcept {
  try {
    index_->erase(item->id);
    index_->emplace(id, item);
  } catch (const std::bad_alloc&) {
    index_.reset();
  }
}

}  // namespace blazen
