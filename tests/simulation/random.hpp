// Numbers that are a function of a seed: the same on every platform.
#pragma once

#include <cstdint>
#include <string>

namespace sim {

inline uint64_t mix(uint64_t a, uint64_t b = 0, uint64_t c = 0) {
  uint64_t x = a * 0x9e3779b97f4a7c15U + b * 0xbf58476d1ce4e5b9U + c * 0x94d049bb133111ebU + 0x1234567U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}
inline uint64_t mix_text(uint64_t seed, const std::string& text) {
  uint64_t h = 0xcbf29ce484222325U ^ seed;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mix(h);
}

class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15U); }
  int below(int n) { return static_cast<int>(next() % static_cast<uint64_t>(n)); }
  int from_to(int low, int high) { return low + below(high - low + 1); }
  bool percent(int p) { return below(100) < p; }

 private:
  uint64_t state_;
};

}  // namespace sim
