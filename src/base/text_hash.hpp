// A quick hash of short texts, and their comparison without a call: keys and event types are looked up all
// the time.
//
// Folded multiplication of 64-bit words (the scheme of wyhash, Wang Yi, 2019). Its seeds are drawn when the
// library is loaded, so that nobody can choose texts that collide: keys and types may come from anybody, in a
// snapshot too. Nothing that anybody can see depends on them: no order, no byte.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/load.hpp"

namespace blazen {

[[gnu::always_inline]] inline uint64_t fold_multiply(uint64_t a, uint64_t b) noexcept {
#ifdef __SIZEOF_INT128__
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
#else
  const uint64_t product = a * b;
  return product ^ (product >> 32);
#endif
}

struct TextSeeds {
  uint64_t sum;
  uint64_t factor;
};
// Written before anything is hashed; a test may choose others, for tables that it makes after that.
#ifdef __ELF__
[[gnu::visibility("hidden")]]
#endif
extern TextSeeds text_seeds;

[[gnu::always_inline]] inline uint64_t hash_text(std::string_view text) noexcept {
  const uint64_t factor = text_seeds.factor;
  uint64_t sum = text_seeds.sum ^ text.size();
  const char* at = text.data();
  size_t left = text.size();
  if (left < 8) {
    uint64_t word = 0;
    for (; left > 0; --left) word = word << 8 | static_cast<unsigned char>(*at++);
    return fold_multiply(sum, word ^ factor);
  }
  for (; left > 8; left -= 8, at += 8) sum = fold_multiply(sum ^ load_8(at), factor);
  return fold_multiply(sum ^ load_8(text.data() + text.size() - 8), factor);
}

// For the containers of the standard library.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const noexcept { return static_cast<size_t>(hash_text(text)); }
};

inline bool same_text(std::string_view a, std::string_view b) noexcept {
  const size_t size = a.size();
  if (size != b.size()) return false;
  if (size < 8) [[unlikely]] {
    for (size_t at = 0; at < size; ++at) {
      if (a[at] != b[at]) return false;
    }
    return true;
  }
  // Whole words, of which the last may overlap the one before.
  const auto differ = [&](size_t at) noexcept { return load_8(a.data() + at) ^ load_8(b.data() + at); };
  uint64_t difference = differ(0) | differ(size - 8);
  for (size_t at = 8; at + 8 < size; at += 8) difference |= differ(at);
  return difference == 0;
}

}  // namespace blazen
