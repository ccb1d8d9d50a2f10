// Goal: utf8_valid_prefix() finds exactly the first ill-formed sequence, whatever it is and
// wherever it stands, and reads nothing outside the text.
//
// The reference below decodes by the textbook (assemble the code point, then judge it), which
// shares nothing with the table-driven code under test. Texts end where their heap buffer ends, so
// that AddressSanitizer sees an over-read.
#include "base/utf8.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

namespace blazen {
namespace {

// Length of the well-formed sequence at `at`, or 0.
size_t reference_length(const uint8_t* at, size_t left) {
  const uint8_t lead = at[0];
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint32_t code = 0;
  if ((lead & 0xE0) == 0xC0) length = 2, code = lead & 0x1Fu;
  if ((lead & 0xF0) == 0xE0) length = 3, code = lead & 0x0Fu;
  if ((lead & 0xF8) == 0xF0) length = 4, code = lead & 0x07u;
  if (length == 0 || left < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at[i] & 0xC0) != 0x80) return 0;
    code = code << 6 | (at[i] & 0x3Fu);
  }
  const uint32_t code_min[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < code_min[length] || code > 0x10FFFF) return 0;
  return code >= 0xD800 && code <= 0xDFFF ? 0 : length;
}

size_t reference_valid_prefix(const uint8_t* text, size_t length) {
  size_t offset = 0;
  while (offset < length) {
    const size_t step = reference_length(text + offset, length - offset);
    if (step == 0) break;
    offset += step;
  }
  return offset;
}

// A text of `length` bytes that ends where its heap buffer ends and starts `shift` bytes into it.
class ExactText {
 public:
  explicit ExactText(size_t length, size_t shift = 0)
      : buffer_(new char[shift + length]), shift_(shift), length_(length) {}
  ExactText(const std::string& text, size_t shift = 0) : ExactText(text.size(), shift) {
    std::memcpy(data(), text.data(), text.size());
  }
  char* data() { return buffer_.get() + shift_; }
  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(data()); }
  size_t valid_prefix() { return utf8_valid_prefix(data(), length_); }
  size_t expected() { return reference_valid_prefix(bytes(), length_); }

 private:
  std::unique_ptr<char[]> buffer_;
  size_t shift_;
  size_t length_;
};

TEST(Utf8, AcceptsAnEmptyTextEvenWithoutAPointer) {
  EXPECT_EQ(utf8_valid_prefix(nullptr, 0), 0u);
  EXPECT_EQ(utf8_valid_prefix("", 0), 0u);
}

TEST(Utf8, KeepsEmbeddedZeroBytes) { EXPECT_EQ(utf8_valid_prefix("a\0b\0", 4), 4u); }

TEST(Utf8, AgreesWithTheReferenceOnEveryOneAndTwoByteText) {
  ExactText one(1);
  ExactText two(2);
  for (unsigned a = 0; a < 256; ++a) {
    one.bytes()[0] = two.bytes()[0] = static_cast<uint8_t>(a);
    ASSERT_EQ(one.valid_prefix(), one.expected()) << a;
    for (unsigned b = 0; b < 256; ++b) {
      two.bytes()[1] = static_cast<uint8_t>(b);
      ASSERT_EQ(two.valid_prefix(), two.expected()) << a << ' ' << b;
    }
  }
}

TEST(Utf8, AgreesWithTheReferenceOnEveryThreeByteText) {
  ExactText text(3);
  for (unsigned bits = 0; bits < 1u << 24; ++bits) {
    text.bytes()[0] = static_cast<uint8_t>(bits >> 16);
    text.bytes()[1] = static_cast<uint8_t>(bits >> 8);
    text.bytes()[2] = static_cast<uint8_t>(bits);
    if (text.valid_prefix() != text.expected()) FAIL() << std::hex << bits;
  }
}

TEST(Utf8, AgreesWithTheReferenceOnFourByteTextsAtTheBoundaries) {
  const uint8_t boundaries[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
  ExactText text(4);
  for (unsigned a = 0xC0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      for (const uint8_t c : boundaries) {
        for (const uint8_t d : boundaries) {
          const uint8_t sequence[] = {static_cast<uint8_t>(a), static_cast<uint8_t>(b), c, d};
          std::memcpy(text.data(), sequence, 4);
          if (text.valid_prefix() != text.expected()) FAIL() << a << ' ' << b << ' ' << +c << +d;
        }
      }
    }
  }
}

TEST(Utf8, AcceptsEveryCodePointExceptSurrogates) {
  for (uint32_t code = 0x10000; code <= 0x10FFFF; ++code) {
    const uint8_t sequence[] = {
        static_cast<uint8_t>(0xF0 | code >> 18), static_cast<uint8_t>(0x80 | (code >> 12 & 0x3F)),
        static_cast<uint8_t>(0x80 | (code >> 6 & 0x3F)), static_cast<uint8_t>(0x80 | (code & 0x3F))};
    if (utf8_valid_prefix(reinterpret_cast<const char*>(sequence), 4) != 4) FAIL() << code;
  }
}

TEST(Utf8, FindsABadByteAtEveryPositionOfEveryShortText) {
  for (const char bad : {'\x80', '\xBF', '\xC0', '\xC1', '\xE2', '\xF5', '\xFF'}) {
    for (size_t length = 1; length <= 80; ++length) {
      for (size_t at = 0; at < length; ++at) {
        std::string text(length, 'a');
        text[at] = bad;
        ASSERT_EQ(ExactText(text, at % 16).valid_prefix(), at) << length;
      }
    }
  }
}

TEST(Utf8, AcceptsAsciiOfEveryLengthAndFindsABadLastByte) {
  for (size_t length = 1; length <= 300; ++length) {
    std::string text(length, '~');
    ASSERT_EQ(ExactText(text, length % 16).valid_prefix(), length);
    text.back() = '\xFF';
    ASSERT_EQ(ExactText(text, length % 16).valid_prefix(), length - 1);
  }
}

TEST(Utf8, FindsASequenceCutShortOrBrokenAtEveryPosition) {
  const std::string sequences[] = {"\xC3\xA9", "\xE5\x90\x8D", "\xF0\x9F\x91\x8D"};
  for (const std::string& sequence : sequences) {
    for (size_t before = 0; before <= 80; ++before) {
      for (size_t after = 0; after <= 20; ++after) {
        const std::string ascii(before, 'a');
        const std::string rest(after, 'z');
        const std::string cut = sequence.substr(0, sequence.size() - 1);
        const std::string whole = ascii + sequence + rest;
        ASSERT_EQ(ExactText(whole).valid_prefix(), whole.size());
        ASSERT_EQ(ExactText(ascii + cut + rest).valid_prefix(), before);
        ASSERT_EQ(ExactText(ascii + sequence + rest + cut).valid_prefix(), whole.size());
      }
    }
  }
}

TEST(Utf8, FindsTheFirstOfSeveralFaultsInALongMixedText) {
  std::string unit = "plain text of more than sixteen bytes \xE5\x90\x8D\xE5\x89\x8D and \xC3\xA9 ";
  std::string text;
  for (int i = 0; i < 10; ++i) text += unit;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string broken = text + "\xFF";
    broken[at] = '\xFF';
    ExactText exact(broken);
    ASSERT_EQ(exact.valid_prefix(), exact.expected()) << at;
  }
}

// Whether some bytes complete `bytes` to one sequence: tries every boundary of the ranges.
bool reference_is_cut_short(const std::string& bytes) {
  if (bytes.size() >= 4) return false;
  for (const char next : {'\x80', '\x8F', '\x90', '\x9F', '\xA0', '\xBF'}) {
    const std::string longer = bytes + next;
    const auto* at = reinterpret_cast<const uint8_t*>(longer.data());
    if (reference_length(at, longer.size()) == longer.size()) return true;
    if (reference_is_cut_short(longer)) return true;
  }
  return false;
}

TEST(Utf8, TellsACutSequenceFromABadOne) {
  const auto agree = [](const std::string& bytes) {
    const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
    EXPECT_EQ(utf8_is_cut_short(at, at + bytes.size()), reference_is_cut_short(bytes))
        << ::testing::PrintToString(bytes);
  };
  for (int a = 0; a < 256; ++a) {
    agree({static_cast<char>(a)});
    for (int b = 0; b < 256; ++b) {
      agree({static_cast<char>(a), static_cast<char>(b)});
      for (const char c : {'\x00', '\x7F', '\x80', '\xBF', '\xC0'}) {
        agree({static_cast<char>(a), static_cast<char>(b), c});
      }
    }
  }
}

}  // namespace
}  // namespace blazen
