// The digest is SipHash-2-4, whatever pieces the input comes in.
#include "base/digest.hpp"

#include <gtest/gtest.h>

#include <string>

namespace blazen {
namespace {

std::string counting_bytes(size_t length) {
  std::string bytes;
  for (size_t i = 0; i < length; ++i) bytes.push_back(static_cast<char>(i * 37 + 11));
  return bytes;
}

TEST(Digest, DoesNotDependOnThePiecesOfTheInput) {
  for (size_t length = 0; length <= 40; ++length) {
    const std::string bytes = counting_bytes(length);
    Digest whole;
    whole.add(bytes.data(), bytes.size());
    for (size_t cut = 0; cut <= length; ++cut) {
      for (size_t second = cut; second <= length; ++second) {
        Digest pieces;
        pieces.add(bytes.data(), cut)
            .add(bytes.data() + cut, second - cut)
            .add(bytes.data() + second, length - second);
        ASSERT_EQ(pieces.finish(), whole.finish()) << length << " bytes cut at " << cut << " and " << second;
      }
    }
  }
}

TEST(Digest, DiffersWithEveryByteAndWithTheLength) {
  const std::string bytes = counting_bytes(24);
  Digest whole;
  whole.add(bytes.data(), bytes.size());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 1);
    Digest digest;
    digest.add(other.data(), other.size());
    EXPECT_NE(digest.finish(), whole.finish()) << "byte " << at;
  }
  Digest shorter;
  shorter.add(bytes.data(), bytes.size() - 1);
  EXPECT_NE(shorter.finish(), whole.finish());
}

TEST(Digest, TellsTextsApartByTheirBorders) {
  EXPECT_NE(Digest().add_text("ab").add_text("c").finish(), Digest().add_text("a").add_text("bc").finish());
}

// Computed by an independent implementation that gives the vector of the paper; the key is all zeros.
TEST(Digest, IsSipHash24) {
  const struct {
    size_t length;
    uint64_t digest;
  } vectors[] = {{0, 0x1e924b9d737700d7U}, {1, 0x46085b557385b601U},  {7, 0x67cbdd3dfcafbc14U},
                 {8, 0xbc983f748c026b22U}, {15, 0xdf91d299f7df3a34U}, {24, 0x7a47934b1f391426U}};
  for (const auto& vector : vectors) {
    const std::string bytes = counting_bytes(vector.length);
    EXPECT_EQ(Digest().add(bytes.data(), bytes.size()).finish(), vector.digest) << vector.length << " bytes";
  }
}

}  // namespace
}  // namespace blazen
