// SipHash-2-4 (Aumasson and Bernstein, 2012) with a fixed key, as its paper gives it: words of 8 bytes little-endian,
// 2 rounds a word, 4 at the end. The digest of a send and the fingerprint of a workflow.
//
// It tells apart what honest steps send; it is no defence against somebody who wants two sends to look alike. All
// inline: whoever sends many events makes a digest of each, and its words stay in registers so.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace blazen {

class Digest {
 public:
  [[gnu::always_inline]] Digest& add(const void* data, size_t length) noexcept {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (; length >= 8; length -= 8, bytes += 8) add_bytes(load(bytes, 8), 8);
    if (length > 0) add_bytes(load(bytes, length), static_cast<unsigned>(length));
    return *this;
  }
  // A text with its length, so that ("ab","c") and ("a","bc") differ.
  [[gnu::always_inline]] Digest& add_text(std::string_view text) noexcept {
    return add_number(text.size()).add(text.data(), text.size());
  }
  [[gnu::always_inline]] Digest& add_number(uint64_t number) noexcept {
    add_bytes(number, 8);
    return *this;
  }
  [[gnu::always_inline]] uint64_t finish() const noexcept {
    Digest end = *this;
    end.word(pending_ | (total_ << 56));
    end.v2_ ^= 0xff;
    for (int i = 0; i < 4; ++i) end.round();
    return end.v0_ ^ end.v1_ ^ end.v2_ ^ end.v3_;
  }

 private:
  // Up to 8 bytes as a number, the first one lowest.
  [[gnu::always_inline]] static uint64_t load(const unsigned char* bytes, size_t count) noexcept {
    uint64_t word = 0;
    if constexpr (std::endian::native == std::endian::little) {
      if (count == 8) {
        std::memcpy(&word, bytes, 8);
        return word;
      }
      if (count >= 4) {  // the last four may overlap the first four: the same bytes in the same places
        uint32_t low = 0;
        uint32_t high = 0;
        std::memcpy(&low, bytes, 4);
        std::memcpy(&high, bytes + count - 4, 4);
        return low | uint64_t{high} << (8 * (count - 4));
      }
    }
    for (size_t i = 0; i < count; ++i) word |= uint64_t{bytes[i]} << (8 * i);
    return word;
  }
  // `count` bytes, 1 to 8, the first one lowest, behind those that wait for their word to fill.
  [[gnu::always_inline]] void add_bytes(uint64_t bytes, unsigned count) noexcept {
    const unsigned filled = total_ % 8;
    total_ += count;
    pending_ |= bytes << (8 * filled);
    if (filled + count < 8) return;
    word(pending_);
    pending_ = filled == 0 ? 0 : bytes >> (8 * (8 - filled));
  }
  [[gnu::always_inline]] void word(uint64_t input) noexcept {
    v3_ ^= input;
    round();
    round();
    v0_ ^= input;
  }
  [[gnu::always_inline]] void round() noexcept {
    v0_ += v1_;
    v2_ += v3_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v1_;
    v0_ += v3_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_ = 0x736f6d6570736575;
  uint64_t v1_ = 0x646f72616e646f6d;
  uint64_t v2_ = 0x6c7967656e657261;
  uint64_t v3_ = 0x7465646279746573;
  uint64_t pending_ = 0;  // the bytes that do not fill a word yet, little-endian
  uint64_t total_ = 0;    // how many bytes came in
};

}  // namespace blazen
