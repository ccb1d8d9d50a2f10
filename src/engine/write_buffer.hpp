// What an atomic step has written and not yet committed.
//
// Invariants: the run sees none of it; the step sees its own. Writes are in their order; `clears` says that
// every key of the state goes before the first of them. A write and a look-up cost the same however many
// there are; a clear costs what was written since the last one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text_index.hpp"
#include "run/tick.hpp"

namespace blazen {

class WriteBuffer {
 public:
  // What the write_buffer says of a key.
  enum class Says : uint8_t { nothing, set, removed };

  // Throws std::bad_alloc, and has changed nothing then.
  void add(std::span<const Write> writes) {
    const size_t before = writes_.size();
    index_.reserve(writes.size(), KeyAt{keys_});
    try {
      for (const Write& write : writes) {
        keys_.emplace_back(write.key);
        writes_.push_back(write);
      }
    } catch (...) {
      shrink_to(before);
      throw;
    }
    for (size_t i = before; i < writes_.size(); ++i) {
      if (writes_[i].kind != Write::Kind::expect) index_.put(keys_[i], i, KeyAt{keys_});
    }
  }
  // Expectations stay: they are about what the run has.
  void clear() noexcept {
    clears_ = true;
    index_.clear();
    size_t kept = expected_;
    for (size_t i = expected_; i < writes_.size(); ++i) {
      if (writes_[i].kind != Write::Kind::expect) continue;
      if (kept != i) {
        keys_[kept] = std::move(keys_[i]);
        writes_[kept] = std::move(writes_[i]);
      }
      ++kept;
    }
    shrink_to(kept);
    expected_ = kept;
  }
  Says find(std::string_view key, Ref<Value>& value) const noexcept {
    const size_t place = index_.find(key, KeyAt{keys_});
    if (place == TextIndex::kNone) return clears_ ? Says::removed : Says::nothing;
    value = writes_[place].value;
    return writes_[place].kind == Write::Kind::set ? Says::set : Says::removed;
  }
  bool clears() const noexcept { return clears_; }
  const std::vector<std::string>& keys() const noexcept { return keys_; }
  // The writes as a tick takes them; valid until the next change.
  std::span<Write> writes() noexcept {
    for (size_t i = 0; i < writes_.size(); ++i) writes_[i].key = keys_[i];
    return writes_;
  }
  bool empty() const noexcept { return writes_.empty() && !clears_; }

 private:
  struct KeyAt {
    const std::vector<std::string>& keys;
    std::string_view operator()(size_t place) const noexcept { return keys[place]; }
  };
  void shrink_to(size_t count) noexcept {
    while (keys_.size() > count) keys_.pop_back();
    while (writes_.size() > count) writes_.pop_back();
  }

  std::vector<std::string> keys_;
  std::vector<Write> writes_;  // their keys are those of the same place
  TextIndex index_;            // of the keys, each at its last write
  size_t expected_ = 0;        // so many of the first writes are expectations that a clear has left
  bool clears_ = false;
};

}  // namespace blazen
