#include "run/key_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/text_hash.hpp"

namespace blazen {
namespace {

// The first bytes in which a key may differ from others, as a number, and where its entry is.
struct Lead {
  uint64_t number;
  uint32_t position;
};

// Many are sorted byte by byte, the last one first, each pass keeping the order of the one before (a radix
// sort); a byte that is the same in all of them takes no pass.
void sort_by_number(std::vector<Lead>& leads) {
  constexpr size_t kFew = 256;
  if (leads.size() < kFew) {
    std::sort(leads.begin(), leads.end(), [](const Lead& a, const Lead& b) { return a.number < b.number; });
    return;
  }
  uint64_t differing = 0;
  for (const Lead& lead : leads) differing |= lead.number ^ leads.front().number;
  std::vector<Lead> sorted(leads.size());
  for (unsigned shift = 0; shift < 64; shift += 8) {
    if ((differing >> shift & 0xff) == 0) continue;
    size_t counts[256] = {};
    for (const Lead& lead : leads) ++counts[lead.number >> shift & 0xff];
    size_t place = 0;
    for (size_t& count : counts)
      place += std::exchange(count, place);  // from here on: where the next one goes
    for (const Lead& lead : leads) sorted[counts[lead.number >> shift & 0xff]++] = lead;
    leads.swap(sorted);
  }
}

}  // namespace

Ref<KeyTable> KeyTable::clone() const {
  Ref<KeyTable> copy = Ref<KeyTable>::adopt(new KeyTable);
  copy->entries_.reserve(entries_.size());
  for (const Entry& entry : entries_) copy->entries_.push_back(Entry(entry));
  if (index_) {
    copy->index_ = make_index(index_slots_);
    std::memcpy(copy->index_.get(), index_.get(), index_slots_ * sizeof(uint64_t));
  }
  copy->index_slots_ = index_slots_;
  copy->index_shift_ = index_shift_;
  copy->found_ = found_;
  copy->order_known_ = order_known_;
  copy->order_ = order_;
  copy->bytes_ = bytes_;
  return copy;
}

KeyTable::Entry* KeyTable::find(std::string_view key) noexcept {
  const uint32_t next = found_ + 1;
  if (next < entries_.size()) {
    Entry& beside = entries_[next];
    if (same_text(beside.key(), key)) {
      found_ = next;
      return &beside;
    }
  } else if (comes_last(key)) {
    return nullptr;
  }
  const uint64_t slot = index_[slot_of(key, hash_text(key))];
  if (slot == kFree) return nullptr;
  found_ = position_in(slot);
  return &entries_[found_];
}

// Whether it comes after all that are there, as far as that is known.
bool KeyTable::comes_last(std::string_view key) const noexcept {
  return entries_.empty() || (order_known_ && entries_[order_.back()].key() < key);
}

Ref<Value> KeyTable::replace(Entry& entry, Ref<Value> value, uint64_t version) noexcept {
  bytes_ += value->data().size();
  bytes_ -= entry.value->data().size();
  entry.version = version;
  std::swap(entry.value, value);
  return value;
}

void KeyTable::insert(std::string_view key, Ref<Value> value, uint64_t version) {
  const uint64_t hash = hash_text(key);
  const bool in_order = order_known_ && comes_last(key);
  if (index_is_full(entries_.size() + 1)) grow_index(entries_.size() + 1);
  if (in_order && order_.size() == order_.capacity()) order_.reserve(order_.size() * 2 + 8);
  entries_.reserve_one();
  Entry entry{nullptr, version, KeyText(key)};
  // Nothing below can fail.
  const auto position = static_cast<uint32_t>(entries_.size());
  const uint64_t added = key.size() + value->data().size();
  entry.value = std::move(value);
  entries_.push_back(std::move(entry));
  index_[slot_of(key, hash)] = slot_for(hash, position);
  found_ = position;
  bytes_ += added;
  if (in_order) {
    order_.push_back(position);
  } else {
    order_known_ = false;
    order_.clear();
  }
}

KeyTable::Entry KeyTable::take(Entry& entry) noexcept {
  const size_t slot = slot_of(entry.key(), hash_text(entry.key()));
  const uint32_t position = position_in(index_[slot]);
  const auto last = static_cast<uint32_t>(entries_.size() - 1);
  bytes_ -= entry.key().size() + entry.value->data().size();
  free_slot(slot);
  if (position != last) {
    const size_t slot_of_last = slot_of_position(last);
    index_[slot_of_last] = slot_for(index_[slot_of_last], position);
    std::swap(entries_[position], entries_[last]);
  }
  Entry taken = std::move(entries_.back());
  entries_.pop_back();
  order_known_ = entries_.empty();
  order_.clear();
  return taken;
}

// There is room: it had its place in the row and in the index before.
void KeyTable::put_back(Entry entry) noexcept {
  const auto position = static_cast<uint32_t>(entries_.size());
  const uint64_t hash = hash_text(entry.key());
  bytes_ += entry.key().size() + entry.value->data().size();
  entries_.push_back(std::move(entry));
  index_[slot_of(entries_.back().key(), hash)] = slot_for(hash, position);
  order_known_ = false;
}

void KeyTable::reserve(size_t count) {
  entries_.reserve(count);
  if (index_is_full(count)) grow_index(count);
}

// Sorts by the first 8 bytes in which the keys differ at all, as numbers, and looks at whole keys only where
// those are equal.
KeyTable::Order KeyTable::make_order() const {
  const size_t common = common_prefix();
  std::vector<Lead> leads(entries_.size());
  for (uint32_t i = 0; i < leads.size(); ++i) leads[i] = {lead_of(entries_[i].key(), common), i};
  sort_by_number(leads);
  const auto by_key = [this](const Lead& a, const Lead& b) {
    return entries_[a.position].key() < entries_[b.position].key();
  };
  for (auto first = leads.begin(); first != leads.end();) {
    auto last = first + 1;
    while (last != leads.end() && last->number == first->number) ++last;
    if (last - first > 1) std::sort(first, last, by_key);
    first = last;
  }
  Order order(leads.size());
  std::transform(leads.begin(), leads.end(), order.begin(), [](const Lead& lead) { return lead.position; });
  return order;
}

// How many bytes all keys begin with alike.
size_t KeyTable::common_prefix() const noexcept {
  if (entries_.empty()) return 0;
  const std::string_view first = entries_[0].key();
  size_t common = first.size();
  for (const Entry& entry : entries_) {
    common = std::min(common, entry.key().size());
    while (std::memcmp(entry.key().data(), first.data(), common) != 0) --common;
  }
  return common;
}

// 8 bytes from `from` on, big-endian, so that they compare as the bytes do; zeros past the end.
uint64_t KeyTable::lead_of(std::string_view key, size_t from) noexcept {
  uint64_t lead = 0;
  for (size_t i = 0; i < 8; ++i) {
    lead = lead << 8 | (from + i < key.size() ? static_cast<unsigned char>(key[from + i]) : 0U);
  }
  return lead;
}

void KeyTable::keep_order(Order order) const noexcept {
  order_ = std::move(order);
  order_known_ = true;
}

size_t KeyTable::slot_of(std::string_view key, uint64_t hash) const noexcept {
  const size_t mask = index_mask();
  for (size_t at = home_of(hash);; at = (at + 1) & mask) {
    const uint64_t slot = index_[at];
    if (slot == kFree) return at;
    if ((slot ^ hash) >> 32 == 0 && same_text(entries_[position_in(slot)].key(), key)) return at;
  }
}

size_t KeyTable::slot_of_position(uint32_t position) const noexcept {
  const size_t mask = index_mask();
  size_t at = home_of(hash_text(entries_[position].key()));
  while (index_[at] == kFree || position_in(index_[at]) != position) at = (at + 1) & mask;
  return at;
}

KeyTable::Index KeyTable::make_index(size_t slots) {
  return Index(static_cast<uint64_t*>(allocate_big(slots * sizeof(uint64_t))));
}

// Slots that ascend by their hashes, as they mostly do, go to places that ascend too.
void KeyTable::grow_index(size_t entries) {
  const size_t slots = std::bit_ceil(std::max<size_t>(entries * 3 / 2 + 1, 8));
  Index before = std::exchange(index_, make_index(slots));
  const size_t slots_before = std::exchange(index_slots_, slots);
  index_shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
  std::memset(index_.get(), 0, slots * sizeof(uint64_t));
  for (size_t i = 0; i < slots_before; ++i) {
    if (before[i] == kFree) continue;
    size_t at = home_of(before[i]);
    while (index_[at] != kFree) at = (at + 1) & index_mask();
    index_[at] = before[i];
  }
}

// Knuth's deletion for linear probing (The Art of Computer Programming 3, 6.4 R): closes the gap, no
// tombstones.
void KeyTable::free_slot(size_t slot) noexcept {
  const size_t mask = index_mask();
  size_t gap = slot;
  for (size_t next = (gap + 1) & mask; index_[next] != kFree; next = (next + 1) & mask) {
    const size_t home = home_of(index_[next]);
    const bool stays = gap <= next ? (gap < home && home <= next) : (gap < home || home <= next);
    if (stays) continue;
    index_[gap] = index_[next];
    gap = next;
  }
  index_[gap] = kFree;
}

}  // namespace blazen
