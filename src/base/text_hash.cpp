#include "base/text_hash.hpp"

#include "base/random.hpp"

namespace blazen {
namespace {

// Without chance, an address is better than nothing: where a library stands differs from process to process.
TextSeeds draw_text_seeds() noexcept {
  TextSeeds seeds{0xa0761d6478bd642fU, 0xe7037ed1a0b428dbU};  // as many ones as zeros
  TextSeeds drawn{};
  if (fill_random(&drawn, sizeof drawn) == 0) {
    seeds = drawn;
  } else {
    seeds.sum ^= reinterpret_cast<uintptr_t>(&text_seeds);
  }
  seeds.factor |= 1;  // no two sums have the same product
  return seeds;
}

}  // namespace

TextSeeds text_seeds = draw_text_seeds();

}  // namespace blazen
