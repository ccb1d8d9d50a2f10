// What an atomic step has written and not yet committed.
//
// Invariants: the run sees none of it; the step sees its own. Writes are in their order; `clears` says that
// every key of the state goes before the first of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "run/tick.hpp"

namespace blazen {

class Draft {
 public:
  // What the draft says of a key.
  enum class Says : uint8_t { nothing, set, removed };

  // Throws std::bad_alloc, and has changed nothing then.
  void add(std::span<const Write> writes) {
    keys_.reserve(keys_.size() + writes.size());
    writes_.reserve(writes_.size() + writes.size());
    std::vector<std::string> keys;
    keys.reserve(writes.size());
    for (const Write& write : writes) keys.emplace_back(write.key);
    for (size_t i = 0; i < writes.size(); ++i) {
      keys_.push_back(std::move(keys[i]));
      writes_.push_back(writes[i]);
    }
  }
  // Expectations stay: they are about what the run has.
  void clear() noexcept {
    clears_ = true;
    for (size_t i = 0; i < writes_.size(); ++i) {
      if (writes_[i].kind == Write::Kind::set) writes_[i] = {Write::Kind::remove, {}, nullptr, 0};
    }
  }
  Says find(std::string_view key, Ref<Value>& value) const noexcept {
    for (size_t i = writes_.size(); i-- > 0;) {
      if (writes_[i].kind == Write::Kind::expect || keys_[i] != key) continue;
      value = writes_[i].value;
      return writes_[i].kind == Write::Kind::set ? Says::set : Says::removed;
    }
    return clears_ ? Says::removed : Says::nothing;
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
  std::vector<std::string> keys_;
  std::vector<Write> writes_;
  bool clears_ = false;
};

}  // namespace blazen
