#include "run/key_table.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace blazen {

Ref<KeyTable> KeyTable::clone() const {
  Ref<KeyTable> copy = Ref<KeyTable>::adopt(new KeyTable);
  copy->entries_ = entries_;
  copy->index_ = index_;
  copy->order_known_ = order_known_;
  copy->order_ = order_;
  copy->bytes_ = bytes_;
  return copy;
}

KeyTable::Entry* KeyTable::find(std::string_view key) noexcept {
  if (entries_.empty()) return nullptr;
  const uint32_t position = index_[slot_of(key, std::hash<std::string_view>{}(key))];
  return position == kFree ? nullptr : &entries_[position];
}

Ref<Value> KeyTable::replace(Entry& entry, Ref<Value> value, uint64_t version) noexcept {
  bytes_ += value->data().size();
  bytes_ -= entry.value->data().size();
  entry.version = version;
  std::swap(entry.value, value);
  return value;
}

void KeyTable::insert(std::string_view key, Ref<Value> value, uint64_t version) {
  const size_t hash = std::hash<std::string_view>{}(key);
  const bool in_order = order_known_ && (entries_.empty() || entries_[order_.back()].key < key);
  if ((entries_.size() + 1) * 2 > index_.size()) grow_index(entries_.size() + 1);
  if (in_order) order_.reserve(entries_.capacity() > entries_.size() ? entries_.capacity() : entries_.size() * 2 + 8);
  const auto position = static_cast<uint32_t>(entries_.size());
  const uint64_t added = key.size() + value->data().size();
  entries_.push_back({std::string(key), std::move(value), version, hash});
  // Nothing below can fail.
  index_[slot_of(key, hash)] = position;
  bytes_ += added;
  if (in_order) {
    order_.push_back(position);
  } else {
    order_known_ = false;
    order_.clear();
  }
}

Ref<Value> KeyTable::remove(Entry& entry) noexcept {
  const auto position = static_cast<uint32_t>(&entry - entries_.data());
  const auto last = static_cast<uint32_t>(entries_.size() - 1);
  bytes_ -= entry.key.size() + entry.value->data().size();
  free_slot(slot_of_position(position));
  if (position != last) {
    index_[slot_of_position(last)] = position;
    std::swap(entries_[position], entries_[last]);
  }
  Ref<Value> value = std::move(entries_.back().value);
  entries_.pop_back();
  order_known_ = entries_.empty();
  order_.clear();
  return value;
}

void KeyTable::reserve(size_t count) {
  entries_.reserve(count);
  if (count * 2 > index_.size()) grow_index(count);
}

KeyTable::Order KeyTable::make_order() const {
  Order order(entries_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) { return entries_[a].key < entries_[b].key; });
  return order;
}

void KeyTable::keep_order(Order order) const noexcept {
  order_ = std::move(order);
  order_known_ = true;
}

size_t KeyTable::slot_of(std::string_view key, size_t hash) const noexcept {
  const size_t mask = index_.size() - 1;
  size_t slot = hash & mask;
  while (index_[slot] != kFree) {
    const Entry& entry = entries_[index_[slot]];
    if (entry.hash == hash && entry.key == key) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

size_t KeyTable::slot_of_position(uint32_t position) const noexcept {
  const size_t mask = index_.size() - 1;
  size_t slot = entries_[position].hash & mask;
  while (index_[slot] != position) slot = (slot + 1) & mask;
  return slot;
}

void KeyTable::grow_index(size_t entries) {
  std::vector<uint32_t> index(std::bit_ceil(std::max<size_t>(entries * 2, 16)) * 2, kFree);
  const size_t mask = index.size() - 1;
  for (uint32_t position = 0; position < entries_.size(); ++position) {
    size_t slot = entries_[position].hash & mask;
    while (index[slot] != kFree) slot = (slot + 1) & mask;
    index[slot] = position;
  }
  index_ = std::move(index);
}

// Knuth's deletion for linear probing (The Art of Computer Programming 3, 6.4 R): closes the gap, no tombstones.
void KeyTable::free_slot(size_t slot) noexcept {
  const size_t mask = index_.size() - 1;
  size_t gap = slot;
  for (size_t next = (gap + 1) & mask; index_[next] != kFree; next = (next + 1) & mask) {
    const size_t home = entries_[index_[next]].hash & mask;
    const bool stays = gap <= next ? (gap < home && home <= next) : (gap < home || home <= next);
    if (stays) continue;
    index_[gap] = index_[next];
    gap = next;
  }
  index_[gap] = kFree;
}

}  // namespace blazen
