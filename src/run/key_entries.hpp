// The entries of a KeyTable: each in one line of the processor's cache, its key inside where it is not long, in
// blocks that never move while the table grows.
//
// Invariants: the blocks hold 4, 4, 8, 16, ... entries, so that a position tells its block; the last one may be
// smaller where room for just so many was asked for, and moves when it has to grow after all. What is behind
// size() is room.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "base/big_memory.hpp"
#include "value/value.hpp"

namespace blazen {

// The text of a key.
class KeyText {
 public:
  KeyText() noexcept = default;
  // Throws std::bad_alloc.
  explicit KeyText(std::string_view text) : size_(static_cast<uint32_t>(text.size())) {
    char* to = here_;
    if (is_elsewhere()) {
      to = static_cast<char*>(::operator new(size_));
      std::memcpy(here_, &to, sizeof to);
    }
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
  }
  KeyText(const KeyText& other) : KeyText(other.view()) {}
  KeyText(KeyText&& other) noexcept : size_(std::exchange(other.size_, 0)) {
    std::memcpy(here_, other.here_, sizeof here_);
  }
  KeyText& operator=(KeyText other) noexcept {
    std::swap(size_, other.size_);
    std::swap(here_, other.here_);
    return *this;
  }
  ~KeyText() {
    if (is_elsewhere()) ::operator delete(elsewhere());
  }

  std::string_view view() const noexcept { return {is_elsewhere() ? elsewhere() : here_, size_}; }
  size_t size() const noexcept { return size_; }

 private:
  static constexpr size_t kHereBytes = 44;
  bool is_elsewhere() const noexcept { return size_ > kHereBytes; }
  char* elsewhere() const noexcept {
    char* there = nullptr;
    std::memcpy(&there, here_, sizeof there);
    return there;
  }

  uint32_t size_ = 0;
  char here_[kHereBytes] = {};
};

struct KeyEntry {
  Ref<Value> value;
  uint64_t version = 0;
  KeyText text;

  std::string_view key() const noexcept { return text.view(); }
};
inline constexpr size_t kCacheLineBytes = 64;
static_assert(sizeof(void*) < 8 || sizeof(KeyEntry) == kCacheLineBytes);

class KeyEntries {
 public:
  KeyEntries() = default;
  KeyEntries(const KeyEntries&) = delete;
  KeyEntries& operator=(const KeyEntries&) = delete;
  ~KeyEntries() {
    while (size_ > 0) pop_back();
    for (const Block& block : blocks_) ::operator delete(block.memory);
  }

  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  KeyEntry& operator[](uint32_t position) noexcept { return *place(position); }
  const KeyEntry& operator[](uint32_t position) const noexcept { return *place(position); }
  KeyEntry& back() noexcept { return *place(size_ - 1); }

  // Room for one more. Throws std::bad_alloc.
  void reserve_one() {
    const uint32_t block = block_of(size_);
    if (block >= blocks_.size() || size_ - start_of(block) >= blocks_[block].room)
      make_block(block, full(block));
  }
  // Room for so many. Throws std::bad_alloc.
  void reserve(size_t count) {
    if (count == 0) return;
    const uint32_t last = block_of(static_cast<uint32_t>(count - 1));
    for (auto block = static_cast<uint32_t>(blocks_.empty() ? 0 : blocks_.size() - 1); block <= last;
         ++block) {
      const size_t room = block < last ? full(block) : count - start_of(block);
      if (block >= blocks_.size() || blocks_[block].room < room)
        make_block(block, static_cast<uint32_t>(room));
    }
  }
  // There is room.
  KeyEntry& push_back(KeyEntry entry) noexcept { return *new (place(size_++)) KeyEntry(std::move(entry)); }
  void pop_back() noexcept { place(--size_)->~KeyEntry(); }

  class Iterator {
   public:
    // NOLINTNEXTLINE(readability-identifier-naming): a name of the standard library
    using iterator_category = std::forward_iterator_tag;
    using value_type = KeyEntry;
    using difference_type = std::ptrdiff_t;
    using pointer = const KeyEntry*;
    using reference = const KeyEntry&;
    Iterator() = default;
    Iterator(const KeyEntries& entries, uint32_t position) noexcept
        : entries_(&entries), position_(position) {}
    reference operator*() const noexcept { return (*entries_)[position_]; }
    pointer operator->() const noexcept { return &**this; }
    Iterator& operator++() noexcept {
      ++position_;
      return *this;
    }
    Iterator operator++(int) noexcept { return {*entries_, position_++}; }
    bool operator==(const Iterator& other) const noexcept { return position_ == other.position_; }

   private:
    const KeyEntries* entries_ = nullptr;
    uint32_t position_ = 0;
  };
  Iterator begin() const noexcept { return {*this, 0}; }
  Iterator end() const noexcept { return {*this, size_}; }

 private:
  struct Block {
    uintptr_t origin;  // where position 0 would be, if all lay in one row with this block
    void* memory;
    uint32_t room;
  };

  static uint32_t block_of(uint32_t position) noexcept {
    return static_cast<uint32_t>(std::bit_width(position | 3U)) - 2;
  }
  static uint32_t start_of(uint32_t block) noexcept { return (2U << block) & ~3U; }
  static uint32_t full(uint32_t block) noexcept { return block == 0 ? 4 : start_of(block); }

  KeyEntry* place(uint32_t position) const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): one sum, whatever the block
    return reinterpret_cast<KeyEntry*>(blocks_[block_of(position)].origin + position * sizeof(KeyEntry));
  }

  // A new last block, or the last one with more room.
  [[gnu::noinline]] void make_block(uint32_t number, uint32_t room) {
    if (blocks_.size() == blocks_.capacity()) blocks_.reserve(blocks_.size() + 4);
    void* memory = allocate_big(room * sizeof(KeyEntry) + kCacheLineBytes);
    const uintptr_t line =
        (reinterpret_cast<uintptr_t>(memory) + kCacheLineBytes - 1) & ~(kCacheLineBytes - 1);
    const uint32_t start = start_of(number);
    const Block made{line - start * sizeof(KeyEntry), memory, room};
    if (number == blocks_.size()) {
      blocks_.push_back(made);
      return;
    }
    auto* to = reinterpret_cast<KeyEntry*>(line);  // NOLINT(performance-no-int-to-ptr): a line of the block
    for (uint32_t position = start; position < size_; ++position, ++to) {
      KeyEntry* from = place(position);
      new (to) KeyEntry(std::move(*from));
      from->~KeyEntry();
    }
    ::operator delete(std::exchange(blocks_[number], made).memory);
  }

  std::vector<Block> blocks_;
  uint32_t size_ = 0;
};

}  // namespace blazen
