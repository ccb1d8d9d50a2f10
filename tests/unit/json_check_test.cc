// Goal: check_json() accepts exactly the JSON texts of RFC 8259, names the fault of any other and
// its exact byte, and reads nothing outside the text.
//
// nlohmann::json is the independent oracle for accepting, after its four known differences from the
// grammar are taken out (see oracle()). Texts end where their heap buffer ends, so that
// AddressSanitizer sees an over-read.
#include "codec/json_check.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace blazen {
namespace {

constexpr uint32_t kDepth = 64;

// `shift` moves the text against the alignment of the allocator.
JsonFault check(std::string_view text, uint32_t depth_max = kDepth, size_t shift = 0) {
  const std::unique_ptr<char[]> buffer(new char[shift + text.size()]);
  if (!text.empty()) std::memcpy(buffer.get() + shift, text.data(), text.size());
  return check_json(buffer.get() + shift, text.size(), depth_max);
}

std::string repeat(std::string_view unit, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += unit;
  return text;
}

enum class Verdict { kAccepted, kRejected, kUnknown };

// Tells a number out of double's range from a fault of the grammar.
class OracleHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool is_overflow = false;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    is_overflow = error.id == 406;
    return false;
  }
};

// What RFC 8259 says of `text`, by nlohmann::json without its four differences:
//   * it takes a zero byte for the end of the input; no JSON text has one;
//   * it skips a byte order mark, which the grammar lacks (none is generated);
//   * it refuses escaped surrogates without their pair, which the grammar has: they are turned into
//     other escapes first, which changes nothing else;
//   * it refuses numbers out of range, and stops there: verdict unknown.
Verdict oracle(std::string text) {
  if (text.find('\0') != std::string::npos) return Verdict::kRejected;
  for (size_t i = 0; i + 3 < text.size(); ++i) {
    if (text[i] != '\\') continue;
    const bool is_surrogate = text[i + 1] == 'u' && (text[i + 2] | 0x20) == 'd' &&
                              std::strchr("89abcdefABCDEF", text[i + 3]) != nullptr;
    if (is_surrogate) text[i + 2] = '0';
    ++i;  // whatever is escaped does not start an escape
  }
  OracleHandler handler;
  if (nlohmann::json::sax_parse(text, &handler)) return Verdict::kAccepted;
  return handler.is_overflow ? Verdict::kUnknown : Verdict::kRejected;
}

// ---- accepting ---------------------------------------------------------------------------------

TEST(JsonCheck, AcceptsEveryFormOfTheGrammar) {
  for (const char* text : {"1",
                           "0",
                           "-0",
                           "-1",
                           "10",
                           "0.5",
                           "-0.0e-0",
                           "1E+2",
                           "1e5",
                           "1e400",
                           "-1e-99999",
                           "1234567890123456789012345678901234567890",
                           "0.12345678901234567890123456789",
                           "true",
                           "false",
                           "null",
                           "\"\"",
                           "\"a\"",
                           "[]",
                           "{}",
                           "[[]]",
                           "[{}]",
                           "{\"\":{}}",
                           "[1,2]",
                           "{\"a\":1}",
                           "{\"a\":1,\"a\":1}",
                           "{\"a\":[],\"b\":{}}",
                           "\"\x7F\"",
                           R"("\"\\\/\b\f\n\r\t\u0000\u00e9\uABCD\uabcd")",
                           R"("\ud800")",
                           R"("\udc00\ud800")",
                           "\"caf\xC3\xA9 \xE5\x90\x8D \xF0\x9F\x91\x8D\"",
                           "{\"\xC3\xA9\":1}"}) {
    const JsonFault fault = check(text);
    EXPECT_FALSE(fault) << text << ": " << fault.reason << " at " << fault.offset;
  }
}

TEST(JsonCheck, AcceptsWhitespaceWhereverATokenEnds) {
  const std::string spaces[] = {
      " ", "\n", "\t", "\r", "\r\n", "  ", " \n", std::string(40, ' '), "\n" + std::string(15, ' ')};
  for (const std::string& space : spaces) {
    std::string text;
    for (const char* token :
         {"{", "\"a\"", ":", "[", "1", ",", "true", ",", "[", "]", "]", ",", "\"b\"", ":", "{", "}", "}"}) {
      text += space + token;
    }
    EXPECT_FALSE(check(text)) << text;
    EXPECT_FALSE(check(text + space)) << text;
  }
}

TEST(JsonCheck, GivesNoOffsetForAValidText) {
  const JsonFault fault = check(" [1] ");
  EXPECT_EQ(fault.reason, nullptr);
  EXPECT_EQ(fault.offset, 0u);
}

// ---- faults and where they are -----------------------------------------------------------------

TEST(JsonCheck, NamesEveryFaultAtItsByte) {
  const struct {
    std::string_view text;
    size_t offset;
    const char* reason;
  } faults[] = {
      {"", 0, "ends where a value is expected"},
      {" \n", 2, "ends where a value is expected"},
      {"[1,", 3, "ends where a value is expected"},
      {"{\"a\":", 5, "ends where a value is expected"},
      {"]", 0, "expected a value"},
      {"x", 0, "expected a value"},
      {"NaN", 0, "expected a value"},
      {"+1", 0, "expected a value"},
      {".5", 0, "expected a value"},
      {"'a'", 0, "expected a value"},
      {"\x80", 0, "expected a value"},
      {std::string_view("\0", 1), 0, "expected a value"},
      {"\v1", 0, "expected a value"},
      {"[1,]", 3, "expected a value"},
      {"[,1]", 1, "expected a value"},
      {"{\"a\":}", 5, "expected a value"},
      {"/**/1", 0, "expected a value"},
      {"\xEF\xBB\xBF[]", 0, "byte order mark before a value"},
      {"1 2", 2, "text after the value"},
      {"1x", 1, "text after the value"},
      {"truex", 4, "text after the value"},
      {"[]]", 2, "text after the value"},
      {"{}}", 2, "text after the value"},
      {"\"a\"b", 3, "text after the value"},
      {"1,", 1, "text after the value"},
      {std::string_view("1\0", 2), 1, "text after the value"},
      {"0x10", 1, "text after the value"},
      {"[", 1, "ends inside an array"},
      {"[1", 2, "ends inside an array"},
      {"[[] ", 4, "ends inside an array"},
      {"[1 2]", 3, "expected ',' or ']'"},
      {"[1}", 2, "expected ',' or ']'"},
      {"[1:2]", 2, "expected ',' or ']'"},
      {"[\"a\":2]", 4, "expected ',' or ']'"},
      {"{", 1, "ends inside an object"},
      {"{\"a\"", 4, "ends inside an object"},
      {"{\"a\" ", 5, "ends inside an object"},
      {"{\"a\":1", 6, "ends inside an object"},
      {"{\"a\":1,", 7, "ends inside an object"},
      {"{1:2}", 1, "expected a key or '}'"},
      {"{,}", 1, "expected a key or '}'"},
      {"{]", 1, "expected a key or '}'"},
      {"{\"a\":1,}", 7, "expected a key after ','"},
      {"{\"a\":1,2}", 7, "expected a key after ','"},
      {"{\"a\"}", 4, "expected ':' after the key"},
      {"{\"a\" 1}", 5, "expected ':' after the key"},
      {"{\"a\",1}", 4, "expected ':' after the key"},
      {"{\"a\":1]", 6, "expected ',' or '}'"},
      {"{\"a\":1 \"b\":2}", 7, "expected ',' or '}'"},
      {"\"", 1, "ends inside a string"},
      {"\"abc", 4, "ends inside a string"},
      {"\"abc\\", 5, "ends inside a string"},
      {"\"abc\\\"", 6, "ends inside a string"},
      {"\"\\u00e", 6, "ends inside a string"},
      {"{\"a", 3, "ends inside a string"},
      {"\"\xE5\x90", 3, "ends inside a string"},
      {"\"\xF0", 2, "ends inside a string"},
      {"\"a\nb\"", 2, "control character in a string"},
      {"\"\x1F\"", 1, "control character in a string"},
      {std::string_view("\"\0\"", 3), 1, "control character in a string"},
      {"{\"\t\":1}", 2, "control character in a string"},
      {"\"\\x\"", 2, "unknown escape in a string"},
      {"\"\\U0041\"", 2, "unknown escape in a string"},
      {"\"\\\n\"", 2, "unknown escape in a string"},
      {"\"\\u00g0\"", 5, "\\u needs four hexadecimal digits"},
      {"\"\\u12\"", 5, "\\u needs four hexadecimal digits"},
      {"\"\\u@000\"", 3, "\\u needs four hexadecimal digits"},
      {"\"\xFF\"", 1, "not UTF-8"},
      {"\"\xC0\x80\"", 1, "not UTF-8"},
      {"\"a\xE5\x90\"", 2, "not UTF-8"},
      {"\"\xED\xA0\x80\"", 1, "not UTF-8"},
      {"\"\xC3\xA9\xC3\"", 3, "not UTF-8"},
      {"\"\xE0\x80", 1, "not UTF-8"},
      {"\"\xF4\x90\x80\x80\"", 1, "not UTF-8"},
      {"{\"\x80\":1}", 2, "not UTF-8"},
      {"-", 1, "ends inside a number"},
      {"1.", 2, "ends inside a number"},
      {"1e", 2, "ends inside a number"},
      {"1e+", 3, "ends inside a number"},
      {"01", 1, "number has a leading zero"},
      {"-012", 2, "number has a leading zero"},
      {"[00]", 2, "number has a leading zero"},
      {"-a", 1, "expected a digit after '-'"},
      {"-.5", 1, "expected a digit after '-'"},
      {"--1", 1, "expected a digit after '-'"},
      {"-Infinity", 1, "expected a digit after '-'"},
      {"[1.]", 3, "expected a digit after '.'"},
      {"1.e5", 2, "expected a digit after '.'"},
      {"1e,", 2, "expected a digit in the exponent"},
      {"1E-x", 3, "expected a digit in the exponent"},
      {"1e+-2", 3, "expected a digit in the exponent"},
      {"t", 1, "ends inside a literal"},
      {"fals", 4, "ends inside a literal"},
      {"trux", 3, "misspelt true, false or null"},
      {"[nil]", 2, "misspelt true, false or null"},
      {"True", 0, "expected a value"},
      {"falsy and more", 4, "misspelt true, false or null"},
  };
  for (const auto& expected : faults) {
    const JsonFault fault = check(expected.text);
    EXPECT_STREQ(fault.reason, expected.reason) << expected.text;
    EXPECT_EQ(fault.offset, expected.offset) << expected.text;
  }
}

TEST(JsonCheck, NeedsNoPointerForAnEmptyText) {
  EXPECT_STREQ(check_json(nullptr, 0, kDepth).reason, "ends where a value is expected");
}

// ---- depth -------------------------------------------------------------------------------------

TEST(JsonCheck, CountsArraysAndObjectsAgainstTheDepthLimit) {
  EXPECT_FALSE(check("1", 0));
  EXPECT_EQ(check(" []", 0).offset, 1u);
  EXPECT_STREQ(check("[]", 0).reason, "nested deeper than the limit");
  EXPECT_FALSE(check("[]", 1));
  EXPECT_FALSE(check("[[],{},[]]", 2));  // siblings do not add up
  EXPECT_EQ(check("[[],{\"a\":[]}]", 2).offset, 9u);
  for (const uint32_t depth : {1u, 63u, 64u, 65u, 1023u, 1024u}) {
    const std::string fits = repeat("[", depth) + repeat("]", depth);
    const std::string deeper = '[' + fits + ']';
    EXPECT_FALSE(check(fits, depth)) << depth;
    EXPECT_STREQ(check(deeper, depth).reason, "nested deeper than the limit");
    EXPECT_EQ(check(deeper, depth).offset, depth);
  }
}

TEST(JsonCheck, ClampsTheDepthLimit) {
  const std::string fits = repeat("[", kJsonCheckDepthCapacity) + repeat("]", kJsonCheckDepthCapacity);
  EXPECT_FALSE(check(fits, UINT32_MAX));
  EXPECT_EQ(check('[' + fits + ']', UINT32_MAX).offset, kJsonCheckDepthCapacity);
  EXPECT_EQ(check(repeat("{\"a\":", 100'000), UINT32_MAX).offset, 5u * kJsonCheckDepthCapacity);
}

TEST(JsonCheck, RemembersWhichContainerIsOpenAtEveryDepth) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string opens;
    std::string closes;
    for (int depth = 0; depth < 200; ++depth) {
      const bool is_object = random() % 2 == 0;
      opens += is_object ? "{\"k\":" : "[";
      closes.insert(0, 1, is_object ? '}' : ']');
    }
    ASSERT_FALSE(check(opens + "1" + closes, 200));
    const size_t wrong = random() % closes.size();
    closes[wrong] = closes[wrong] == ']' ? '}' : ']';
    ASSERT_EQ(check(opens + "1" + closes, 200).offset, opens.size() + 1 + wrong);
  }
}

// ---- strides: every byte that matters, at every position
// -----------------------------------------

TEST(JsonCheck, FindsABadByteAtEveryPositionOfEveryShortString) {
  const struct {
    const char* bytes;
    size_t fault_at;  // within `bytes`
    const char* reason;
  } bad[] = {{"\x1F", 0, "control character in a string"},
             {"\n", 0, "control character in a string"},
             {"\x80", 0, "not UTF-8"},
             {"\xFF", 0, "not UTF-8"},
             {"\xC3 ", 0, "not UTF-8"},
             {"\\q", 1, "unknown escape in a string"},
             {"\\u00Z0", 4, "\\u needs four hexadecimal digits"},
             {"\"x", 1, "text after the value"}};
  for (const auto& [bytes, fault_at, reason] : bad) {
    for (size_t length = 0; length <= 80; ++length) {
      for (size_t at = 0; at <= length; ++at) {
        const std::string text = '"' + std::string(at, 'a') + bytes + std::string(length - at, 'z') + '"';
        const JsonFault fault = check(text, kDepth, length % 16);
        ASSERT_STREQ(fault.reason, reason) << text;
        ASSERT_EQ(fault.offset, 1 + at + fault_at) << text;
      }
    }
  }
}

TEST(JsonCheck, PassesEveryOrdinaryByteAtEveryPositionOfAString) {
  for (int byte = 0x20; byte < 0x80; ++byte) {
    if (byte == '"' || byte == '\\') continue;
    for (size_t length = 1; length <= 40; ++length) {
      for (size_t at = 0; at < length; ++at) {
        std::string text(length, 'a');
        text[at] = static_cast<char>(byte);
        ASSERT_FALSE(check('"' + text + '"')) << text;
      }
    }
  }
}

// A carry or borrow between the bytes of a word must not hide or invent a special byte.
TEST(JsonCheck, JudgesEveryPairOfNeighbouringBytes) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string pair = {static_cast<char>(first), static_cast<char>(second)};
      const std::string padded = "\"" + pair + "pad to a whole word\"";
      const bool is_accepted = oracle(padded) == Verdict::kAccepted;
      const bool is_accepted_alone = oracle('"' + pair + '"') == Verdict::kAccepted;
      for (const size_t before : {0u, 3u, 7u, 15u}) {
        const std::string text = '"' + std::string(before, 'a') + pair + "pad to a whole word\"";
        ASSERT_EQ(!check(text), is_accepted) << first << ' ' << second;
        ASSERT_EQ(!check('"' + std::string(before, 'a') + pair + '"'), is_accepted_alone)
            << first << ' ' << second;
      }
    }
  }
}

TEST(JsonCheck, FindsTheEndOfANumberOfAnyLengthBeforeAnyByte) {
  for (size_t length = 1; length <= 40; ++length) {
    for (int byte = 0; byte < 256; ++byte) {
      const char next = static_cast<char>(byte);
      if (std::strchr("0123456789.eE \t\r\n", byte) != nullptr && byte != 0) continue;
      for (const size_t after : {0u, 1u, 9u}) {
        const std::string text = std::string(length, '7') + next + std::string(after, '8');
        ASSERT_EQ(check(text).offset, length) << text;
        ASSERT_STREQ(check(text).reason, "text after the value") << text;
      }
    }
    ASSERT_FALSE(check(std::string(length, '7')));
    ASSERT_FALSE(check('-' + std::string(length, '7') + '.' + std::string(length, '0') + "e-12"));
    ASSERT_EQ(check(std::string(length, '7') + ".x1234567").offset, length + 1);
    ASSERT_EQ(check(std::string(length, '7') + "." + std::string(length, '7') + "e+/").offset,
              2 * length + 3);
  }
}

TEST(JsonCheck, FindsTheEndOfWhitespaceAtEveryLength) {
  for (size_t length = 0; length <= 80; ++length) {
    for (const char space : {' ', '\n', '\t', '\r'}) {
      const std::string spaces(length, space);
      ASSERT_FALSE(check(spaces + '1' + spaces));
      ASSERT_EQ(check(spaces).offset, length);
      for (const char other : {'\v', '\f', '\0', '\xA0', '!', '\x1F'}) {
        ASSERT_EQ(check(spaces + other + spaces + '1').offset, length);
      }
    }
  }
}

// ---- against the oracle
// --------------------------------------------------------------------------

// Documents with every construct, by recursive descent over the grammar.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  std::string value(int depth) {
    switch (pick(depth > 0 ? 8 : 5)) {
      case 0: return number();
      case 1:
      case 2: return string();
      case 3: return choose({"true", "false", "null"});
      case 4: return choose({"0", "-1", "\"\"", "[]", "{}"});
      case 5: return '[' + space() + list(depth, false) + ']';
      default: return '{' + space() + list(depth, true) + '}';
    }
  }

 private:
  uint32_t pick(uint32_t bound) { return random_() % bound; }
  std::string choose(const std::vector<std::string>& from) {
    return from[pick(static_cast<uint32_t>(from.size()))];
  }
  std::string space() { return choose({"", "", "", " ", "\n  ", "\t", "\r\n"}); }

  std::string list(int depth, bool is_object) {
    std::string text;
    const uint32_t count = pick(4);
    for (uint32_t i = 0; i < count; ++i) {
      if (i != 0) text += ',' + space();
      if (is_object) text += string() + space() + ':' + space();
      text += value(depth - 1) + space();
    }
    return text;
  }

  std::string number() {
    std::string text = choose({"", "-"}) + choose({"0", "7", "42", "9007199254740993", "100"});
    text += choose({"", "", ".0", ".25", ".1234567890"});
    return text + choose({"", "", "", "e5", "E-3", "e+00"});
  }

  std::string string() {
    std::string text = "\"";
    const uint32_t count = pick(5);
    for (uint32_t i = 0; i < count; ++i) {
      text += choose({"a", "key", "some longer text", "\\n", "\\\"", "\\\\", "\\u00e9", "\\uAB12",
                      "\\ud83d\\ude00", "\xC3\xA9", "\xE5\x90\x8D", "\xED\x9F\xBF", "\xF0\x9F\x91\x8D",
                      "\xF4\x8F\xBF\xBF", "/", "\x7F", "[1,{}]"});
    }
    return text + '"';
  }

  std::mt19937 random_;
};

// Also the law of the offset: what stands before a fault could still have become valid.
void expect_agreement(const std::string& text, size_t* unknown_count) {
  const JsonFault fault = check(text);
  const Verdict verdict = oracle(text);
  *unknown_count += verdict == Verdict::kUnknown ? 1 : 0;
  if (verdict != Verdict::kUnknown) {
    ASSERT_EQ(!fault, verdict == Verdict::kAccepted)
        << text << '\n'
        << (fault ? fault.reason : "valid") << " at " << fault.offset;
  }
  if (!fault) return;
  ASSERT_LE(fault.offset, text.size());
  const JsonFault before = check(std::string_view(text).substr(0, fault.offset));
  ASSERT_TRUE(!before || before.offset == fault.offset) << text;
}

TEST(JsonCheck, AcceptsGeneratedDocuments) {
  Generator generator(1);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = generator.value(5);
    const JsonFault fault = check(text);
    ASSERT_FALSE(fault) << text << '\n' << fault.reason << " at " << fault.offset;
    ASSERT_EQ(oracle(text), Verdict::kAccepted) << text;
  }
}

TEST(JsonCheck, FaultsATruncatedDocumentAtItsEnd) {
  Generator generator(2);
  for (int i = 0; i < 600; ++i) {
    const std::string text = "[" + generator.value(4) + "]";  // no proper prefix is valid
    for (size_t length = 0; length < text.size(); ++length) {
      const JsonFault fault = check(std::string_view(text).substr(0, length));
      ASSERT_TRUE(fault) << text << ' ' << length;
      ASSERT_EQ(fault.offset, length) << text << '\n' << fault.reason;
      ASSERT_EQ(std::string_view(fault.reason).substr(0, 4), "ends") << text << ' ' << length;
    }
  }
}

TEST(JsonCheck, AgreesWithTheOracleOnEveryMutationOfEveryByte) {
  Generator generator(3);
  size_t unknown_count = 0;
  size_t text_count = 0;
  for (int i = 0; i < 80; ++i) {
    const std::string text = generator.value(3);
    for (size_t at = 0; at < text.size(); ++at) {
      std::string mutant = text;
      for (int byte = 0; byte < 256; ++byte, ++text_count) {
        mutant[at] = static_cast<char>(byte);
        expect_agreement(mutant, &unknown_count);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(text_count, 300'000u);
  EXPECT_LT(unknown_count, text_count / 1000);
}

TEST(JsonCheck, AgreesWithTheOracleOnInsertedRemovedAndSwappedBytes) {
  Generator generator(4);
  size_t unknown_count = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string text = generator.value(4);
    for (size_t at = 0; at < text.size(); ++at) {
      expect_agreement(std::string(text).erase(at, 1), &unknown_count);
      for (const char byte : {'"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', '.', 'e', ' ', '\x01',
                              '\x80', '\xC3', 'u', 't'}) {
        expect_agreement(std::string(text).insert(at, 1, byte), &unknown_count);
      }
      std::string swapped = text;
      std::swap(swapped[at], swapped[text.size() - 1 - at]);
      expect_agreement(swapped, &unknown_count);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(JsonCheck, AgreesWithTheOracleOnEveryShortTextOfTokens) {
  const char* const tokens[] = {"{", "}", "[", "]",  ",",  ":",    "\"a\"",
                                "1", "-", "0", ".5", "e3", "null", " "};
  size_t unknown_count = 0;
  std::vector<std::string> texts = {""};
  for (int length = 1; length <= 5; ++length) {
    std::vector<std::string> longer;
    for (const std::string& text : texts) {
      for (const char* token : tokens) {
        longer.push_back(text + token);
        expect_agreement(longer.back(), &unknown_count);
        if (HasFatalFailure()) return;
      }
    }
    texts = std::move(longer);
  }
  EXPECT_EQ(texts.size(), 537'824u);
}

}  // namespace
}  // namespace blazen
