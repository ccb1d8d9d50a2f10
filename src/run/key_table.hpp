// The keys of a state or a session: a hash index over a dense row of entries, with the sorted order kept beside
// it.
//
// What it costs to reach a key must not grow with their number, so few lines of memory are touched for one: keys
// that are gone through in the order in which they came are found beside one another, without the index; keys
// that arrive in the order of their bytes need no look into it either; any other key takes one line of the index
// and one of the entries, and the value. Growing moves no entry, and goes through the index in the order of
// memory.
//
// Invariants: every entry is in the index once. The order is either empty (unknown) or a permutation of all
// entries by the bytes of their keys; keys that arrive in order keep it known for free. A write needs room in
// all three before it changes any, so that a failed allocation changes nothing. A table that a snapshot
// shares is not written: its run goes on with a clone.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/object.hpp"
#include "run/key_entries.hpp"
#include "value/value.hpp"

namespace blazen {

class KeyTable final : public Object {
 public:
  using Entry = KeyEntry;

  KeyTable() noexcept : Object(Kind::dead) {}
  static void destroy(KeyTable* table) noexcept { delete table; }
  // Throws std::bad_alloc.
  Ref<KeyTable> clone() const;
  bool shared() const noexcept { return refs.load(std::memory_order_acquire) != 1; }

  size_t size() const noexcept { return entries_.size(); }
  // The bytes of all keys and values.
  uint64_t bytes() const noexcept { return bytes_; }
  const KeyEntries& entries() const noexcept { return entries_; }

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
  // A slot holds the upper half of its key's hash, whose upper bits say where it belongs, and a position in
  // entries_, from 1. Most comparisons end at the hash, and growing needs nothing else.
  static constexpr uint64_t kFree = 0;
  static uint64_t slot_for(uint64_t hash, uint32_t position) noexcept {
    return (hash & ~uint64_t{UINT32_MAX}) | (position + 1);
  }
  static uint32_t position_in(uint64_t slot) noexcept { return static_cast<uint32_t>(slot) - 1; }

  struct IndexFree {
    void operator()(uint64_t* index) const noexcept { ::operator delete(index); }
  };
  using Index = std::unique_ptr<uint64_t[], IndexFree>;
  static Index make_index(size_t slots);
  // Of a slot, or of a hash.
  size_t home_of(uint64_t hash) const noexcept { return static_cast<size_t>(hash >> index_shift_); }
  size_t index_mask() const noexcept { return index_slots_ - 1; }
  bool index_is_full(size_t entries) const noexcept { return entries * 3 > index_slots_ * 2; }

  size_t common_prefix() const noexcept;
  static uint64_t lead_of(std::string_view key, size_t from) noexcept;
  size_t slot_of(std::string_view key, uint64_t hash) const noexcept;
  size_t slot_of_position(uint32_t position) const noexcept;
  bool comes_last(std::string_view key) const noexcept;
  void grow_index(size_t entries);
  void free_slot(size_t slot) noexcept;

  KeyEntries entries_;
  Index index_;  // open addressing, linear probing; a power of two, at most two thirds full
  size_t index_slots_ = 0;
  unsigned index_shift_ = 63;
  uint32_t found_ = UINT32_MAX;  // where the last key was found, or put: the next one is mostly behind it
  mutable Order order_;
  mutable bool order_known_ = true;
  uint64_t bytes_ = 0;
};

}  // namespace blazen
