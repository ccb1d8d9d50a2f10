// The keys of a state or a session: a hash index over a dense array, with the sorted order kept beside it.
//
// Invariants: every entry is in the index once. The order is either empty (unknown) or a permutation of all
// entries by the bytes of their keys; keys that arrive in order keep it known for free. A write needs room in
// all three before it changes any, so that a failed allocation changes nothing. A table that a snapshot
// shares is not written: its run goes on with a clone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/object.hpp"
#include "value/value.hpp"

namespace blazen {

class KeyTable final : public Object {
 public:
  struct Entry {
    std::string key;
    Ref<Value> value;
    uint64_t version = 0;
    uint64_t hash = 0;
  };

  KeyTable() noexcept : Object(Kind::dead) {}
  static void destroy(KeyTable* table) noexcept { delete table; }
  // Throws std::bad_alloc.
  Ref<KeyTable> clone() const;
  bool shared() const noexcept { return refs.load(std::memory_order_acquire) != 1; }

  size_t size() const noexcept { return entries_.size(); }
  // The bytes of all keys and values.
  uint64_t bytes() const noexcept { return bytes_; }
  const std::vector<Entry>& entries() const noexcept { return entries_; }

  Entry* find(std::string_view key) noexcept;
  const Entry* find(std::string_view key) const noexcept { return const_cast<KeyTable*>(this)->find(key); }
  // Replaces the value of an entry of this table; answers the old one.
  Ref<Value> replace(Entry& entry, Ref<Value> value, uint64_t version) noexcept;
  // key is not there yet. Throws std::bad_alloc, and has changed nothing then.
  void insert(std::string_view key, Ref<Value> value, uint64_t version);
  // entry is one of this table; answers its value.
  Ref<Value> remove(Entry& entry) noexcept { return take(entry).value; }
  // The same, with all of it; and back again, where nothing was written meanwhile that was not taken back.
  Entry take(Entry& entry) noexcept;
  void put_back(Entry entry) noexcept;
  void reserve(size_t count);

  using Order = std::vector<uint32_t>;
  // Positions in entries(), in the order of the bytes of the keys: as it is known, or null.
  const Order* order() const noexcept { return order_known_ ? &order_ : nullptr; }
  // Throws std::bad_alloc.
  Order make_order() const;
  // What make_order answered for this very table. Only under the lock of its run.
  void keep_order(Order order) const noexcept;

 private:
  // A slot holds a position in entries_, and the upper half of its key's hash: most comparisons end there.
  static constexpr uint64_t kFree = UINT64_MAX;
  static uint64_t slot_for(uint64_t hash, uint32_t position) noexcept {
    return (hash & ~uint64_t{UINT32_MAX}) | position;
  }
  static uint32_t position_in(uint64_t slot) noexcept { return static_cast<uint32_t>(slot); }

  size_t common_prefix() const noexcept;
  static uint64_t lead_of(std::string_view key, size_t from) noexcept;
  size_t slot_of(std::string_view key, uint64_t hash) const noexcept;
  size_t slot_of_position(uint32_t position) const noexcept;
  void grow_index(size_t entries);
  void free_slot(size_t slot) noexcept;

  std::vector<Entry> entries_;
  std::vector<uint64_t> index_;  // open addressing, linear probing; a power of two, at most half full
  mutable Order order_;
  mutable bool order_known_ = true;
  uint64_t bytes_ = 0;
};

}  // namespace blazen
