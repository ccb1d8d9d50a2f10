// Event types to numbers: one look-up for each event that is emitted, so it has to be quick.
//
// Invariants: a type's number is the order in which it was added. The index is a power of two, at most half
// full, with linear probing. Read-only once the workflow is built.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text_hash.hpp"

namespace blazen {

using TypeId = uint32_t;
inline constexpr TypeId kUnknownType = UINT32_MAX;

class TypeTable {
 public:
  size_t size() const noexcept { return names_.size(); }
  const std::string& name(TypeId type) const noexcept { return names_[type]; }

  TypeId find(std::string_view type) const noexcept {
    for (size_t slot = hash_text(type) & mask_;; slot = (slot + 1) & mask_) {
      const Slot& candidate = slots_[slot];
      if (candidate.id == kUnknownType) return kUnknownType;
      if (same_text({candidate.text, candidate.size}, type)) {
        return candidate.id;
      }
    }
  }

  // The number of a type, new or not.
  TypeId add(std::string_view type) {
    if (!names_.empty()) {
      if (const TypeId known = find(type); known != kUnknownType) return known;
    }
    const auto id = static_cast<TypeId>(names_.size());
    if (names_.size() == names_.capacity()) grow();
    names_.emplace_back(type);
    place(slots_, mask_, id);
    return id;
  }

 private:
  struct Slot {
    const char* text = nullptr;
    uint32_t size = 0;
    TypeId id = kUnknownType;
  };

  // To twice as many. The names move, and the slots point to them.
  void grow() {
    const size_t count_max = std::max<size_t>(8, names_.size() * 2);
    std::vector<Slot> slots(std::bit_ceil(count_max * 2 + 2));
    names_.reserve(count_max);
    for (TypeId id = 0; id < names_.size(); ++id) place(slots, slots.size() - 1, id);
    mask_ = slots.size() - 1;
    slots_ = std::move(slots);
  }
  void place(std::vector<Slot>& slots, size_t mask, TypeId id) noexcept {
    size_t slot = hash_text(names_[id]) & mask;
    while (slots[slot].id != kUnknownType) slot = (slot + 1) & mask;
    slots[slot] = {names_[id].data(), static_cast<uint32_t>(names_[id].size()), id};
  }

  std::vector<std::string> names_;
  std::vector<Slot> slots_;
  size_t mask_ = 0;
};

}  // namespace blazen
