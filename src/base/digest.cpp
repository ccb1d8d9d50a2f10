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

uint64_t load_little_endian(const unsigned char* bytes) noexcept {
  uint64_t word = 0;
  for (unsigned i = 0; i < 8; ++i) word |= uint64_t{bytes[i]} << (8 * i);
  return word;
}

}  // namespace

Digest& Digest::add(const void* data, size_t length) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  while (length > 0) {
    const unsigned filled = total_ % 8;
    if (filled == 0 && length >= 8) {
      word(load_little_endian(bytes));
      bytes += 8;
      length -= 8;
      total_ += 8;
      continue;
    }
    pending_ |= uint64_t{*bytes} << (8 * filled);
    ++bytes;
    --length;
    ++total_;
    if (total_ % 8 == 0) {
      word(pending_);
      pending_ = 0;
    }
  }
  return *this;
}

Digest& Digest::add_number(uint64_t number) noexcept {
  unsigned char bytes[8];
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(number >> (8 * i));
  return add(bytes, sizeof bytes);
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
