// SipHash-2-4, as its paper gives it: words of 8 bytes little-endian, 2 rounds a word, 4 at the end.
#include "base/digest.hpp"

#include <bit>
#include <cstring>

namespace blazen {
namespace {

void round_of(uint64_t (&v)[4]) noexcept {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = std::rotl(v[1], 13) ^ v[0];
  v[3] = std::rotl(v[3], 16) ^ v[2];
  v[0] = std::rotl(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = std::rotl(v[1], 17) ^ v[2];
  v[3] = std::rotl(v[3], 21) ^ v[0];
  v[2] = std::rotl(v[2], 32);
}

// Up to 8 bytes as a number, the first one lowest.
uint64_t load_little_endian(const unsigned char* bytes, size_t count) noexcept {
  uint64_t word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    if (count == 8) {
      std::memcpy(&word, bytes, 8);
      return word;
    }
  }
  for (size_t i = 0; i < count; ++i) word |= uint64_t{bytes[i]} << (8 * i);
  return word;
}

}  // namespace

Digest& Digest::add(const void* data, size_t length) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (; length >= 8; length -= 8, bytes += 8) add_bytes(load_little_endian(bytes, 8), 8);
  if (length > 0) add_bytes(load_little_endian(bytes, length), static_cast<unsigned>(length));
  return *this;
}

Digest& Digest::add_number(uint64_t number) noexcept {
  add_bytes(number, 8);
  return *this;
}

// `count` bytes, 1 to 8, the first one lowest, behind those that wait for their word to fill.
void Digest::add_bytes(uint64_t bytes, unsigned count) noexcept {
  const unsigned filled = total_ % 8;
  total_ += count;
  pending_ |= bytes << (8 * filled);
  if (filled + count < 8) return;
  word(pending_);
  pending_ = filled == 0 ? 0 : bytes >> (8 * (8 - filled));
}

uint64_t Digest::finish() const noexcept {
  Digest end = *this;
  end.word(pending_ | (total_ << 56));
  end.state_[2] ^= 0xff;
  for (int i = 0; i < 4; ++i) round_of(end.state_);
  return end.state_[0] ^ end.state_[1] ^ end.state_[2] ^ end.state_[3];
}

void Digest::word(uint64_t input) noexcept {
  state_[3] ^= input;
  round_of(state_);
  round_of(state_);
  state_[0] ^= input;
}

}  // namespace blazen
