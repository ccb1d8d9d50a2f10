// SipHash-2-4 (Aumasson and Bernstein, 2012) with a fixed key: the digest of a send and the fingerprint of a
// workflow.
//
// It tells apart what honest steps send; it is no defence against somebody who wants two sends to look alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace blazen {

class Digest {
 public:
  Digest& add(const void* data, size_t length) noexcept;
  // A text with its length, so that ("ab","c") and ("a","bc") differ.
  Digest& add_text(std::string_view text) noexcept {
    return add_number(text.size()).add(text.data(), text.size());
  }
  Digest& add_number(uint64_t number) noexcept;
  uint64_t finish() const noexcept;

 private:
  void add_bytes(uint64_t bytes, unsigned count) noexcept;
  void word(uint64_t input) noexcept;

  uint64_t state_[4] = {0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573};
  uint64_t pending_ = 0;  // the bytes that do not fill a word yet, little-endian
  uint64_t total_ = 0;    // how many bytes came in
};

}  // namespace blazen
