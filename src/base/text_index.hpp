// Finds texts that stand in a row, each by its last place in it; the row is its owner's, who says what stands
// where. A hash, so that a look-up and an addition cost the same however many there are.
//
// Invariants: a slot holds a place in the row, and the upper half of the hash of the text there: most
// comparisons end there. Open addressing, linear probing; a power of two, at most half full.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text_hash.hpp"

namespace blazen {

class TextIndex {
 public:
  static constexpr size_t kNone = SIZE_MAX;

  bool empty() const noexcept { return count_ == 0; }
  void clear() noexcept {
    std::fill(slots_.begin(), slots_.end(), kFree);
    count_ = 0;
  }
  // Makes sure that the next `more` puts cannot fail. Throws std::bad_alloc, and has changed nothing then.
  template <class TextAt>
  void reserve(size_t more, TextAt text_at) {
    const size_t count = count_ + more;
    if (count * 2 <= slots_.size()) return;
    std::vector<uint64_t> old(std::bit_ceil(std::max<size_t>(count * 2, kSlotsMin)), kFree);
    old.swap(slots_);
    for (const uint64_t slot : old) {
      if (slot == kFree) continue;
      const size_t place = place_in(slot);
      const uint64_t hash = hash_text(text_at(place));
      slots_[find_slot(text_at(place), hash, text_at)] = slot_for(hash, place);
    }
  }
  template <class TextAt>
  size_t find(std::string_view text, TextAt text_at) const noexcept {
    if (empty()) return kNone;
    const uint64_t slot = slots_[find_slot(text, hash_text(text), text_at)];
    return slot == kFree ? kNone : place_in(slot);
  }
  // Only after a reserve that covers it. Instead of the place that the text had before.
  template <class TextAt>
  void put(std::string_view text, size_t place, TextAt text_at) noexcept {
    const uint64_t hash = hash_text(text);
    uint64_t& slot = slots_[find_slot(text, hash, text_at)];
    count_ += slot == kFree ? 1 : 0;
    slot = slot_for(hash, place);
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  static constexpr size_t kSlotsMin = 16;

  static uint64_t slot_for(uint64_t hash, size_t place) noexcept {
    return (hash & ~uint64_t{UINT32_MAX}) | static_cast<uint32_t>(place);
  }
  static size_t place_in(uint64_t slot) noexcept { return static_cast<uint32_t>(slot); }

  // Where the text is, or belongs.
  template <class TextAt>
  size_t find_slot(std::string_view text, uint64_t hash, TextAt text_at) const noexcept {
    const size_t mask = slots_.size() - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      const uint64_t slot = slots_[at];
      if (slot == kFree) return at;
      if ((slot ^ hash) >> 32 == 0 && same_text(text_at(place_in(slot)), text)) return at;
    }
  }

  std::vector<uint64_t> slots_;
  size_t count_ = 0;
};

}  // namespace blazen
