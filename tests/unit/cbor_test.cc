// Proves that the CBOR codec writes what RFC 8949 says, reads all of that, and refuses everything
// else at the right byte and for the right reason.
//
// Documents are handled as lists of items in the order of the stream (`Items`), so that one list
// can be written by our writer, read by our reader, and compared with what libcbor makes of the
// bytes. Bytes to be read are copied to a heap block of their exact size: a sanitizer then sees the
// first byte read beyond it.

#include "codec/cbor.hpp"

#include <cbor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Sanitizers that answer an impossible allocation by ending the process.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BLAZEN_ALLOCATOR_ABORTS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define BLAZEN_ALLOCATOR_ABORTS 1
#endif
#endif

namespace blazen {
namespace {

// ---- Documents as lists of items ----

// `number` is the argument of the head: a value, a count, a length, a tag number, 0 or 1 for
// booleans.
struct Item {
  CborType type;
  uint64_t number;
  std::string content;

  bool operator==(const Item&) const = default;
};
using Items = std::vector<Item>;

std::ostream& operator<<(std::ostream& out, const Item& item) {
  return out << "type " << int{static_cast<uint8_t>(item.type)} << " number " << item.number << " '"
             << item.content << "'";
}

Item unsigned_item(uint64_t value) { return {CborType::kUnsigned, value, ""}; }
// The item whose head holds `argument`: the integer -1 - argument.
Item negative_item(uint64_t argument) { return {CborType::kNegative, argument, ""}; }
Item bytes_item(std::string content) { return {CborType::kBytes, content.size(), content}; }
Item text_item(std::string content) { return {CborType::kText, content.size(), content}; }
Item array_item(uint64_t count) { return {CborType::kArray, count, ""}; }
Item map_item(uint64_t count) { return {CborType::kMap, count, ""}; }
Item tag_item(uint64_t number) { return {CborType::kTag, number, ""}; }
Item boolean_item(bool value) { return {CborType::kBoolean, value ? 1u : 0u, ""}; }
Item null_item() { return {CborType::kNull, 0, ""}; }

void write_item(CborWriter& writer, const Item& item) {
  switch (item.type) {
    case CborType::kUnsigned: return writer.unsigned_int(item.number);
    case CborType::kNegative: return writer.signed_int(-1 - static_cast<int64_t>(item.number));
    case CborType::kBytes: return writer.bytes(item.content.data(), item.content.size());
    case CborType::kText: return writer.text(item.content);
    case CborType::kArray: return writer.array(item.number);
    case CborType::kMap: return writer.map(item.number);
    case CborType::kTag: return writer.tag(item.number);
    case CborType::kBoolean: return writer.boolean(item.number == 1);
    case CborType::kNull: return writer.null();
    case CborType::kNone: FAIL() << "not an item";
  }
}

std::string written(const Items& items) {
  CborWriter writer;
  for (const Item& item : items) write_item(writer, item);
  return {reinterpret_cast<const char*>(writer.data()), writer.size()};
}

bool read_item(CborReader& reader, Item& item) {
  item = {reader.peek_type(), 0, ""};
  int64_t integer = 0;
  std::span<const uint8_t> binary;
  std::string_view text;
  bool truth = false;
  bool good = false;
  switch (item.type) {
    case CborType::kUnsigned: return reader.unsigned_int(item.number);
    case CborType::kNegative:
      good = reader.signed_int(integer);
      item.number = ~static_cast<uint64_t>(integer);
      return good;
    case CborType::kBytes:
      good = reader.bytes(binary);
      item.content.assign(binary.begin(), binary.end());
      item.number = binary.size();
      return good;
    case CborType::kText:
      good = reader.text(text);
      item.content = text;
      item.number = text.size();
      return good;
    case CborType::kArray: return reader.array(item.number);
    case CborType::kMap: return reader.map(item.number);
    case CborType::kTag: return reader.tag(item.number);
    case CborType::kBoolean:
      good = reader.boolean(truth);
      item.number = truth ? 1 : 0;
      return good;
    case CborType::kNull: return reader.null();
    case CborType::kNone: return reader.null();  // for the reason it gives
  }
  return false;
}

// A block of exactly the bytes given, and a reader over it.
class Input {
 public:
  explicit Input(std::string_view bytes)
      : block_(std::make_unique<uint8_t[]>(bytes.size())), reader(block_.get(), bytes.size()) {
    if (!bytes.empty()) std::memcpy(block_.get(), bytes.data(), bytes.size());
  }

 private:
  std::unique_ptr<uint8_t[]> block_;

 public:
  CborReader reader;
};

// All items of the stream, whatever their nesting; asserts nothing.
Items read_all(CborReader& reader) {
  Items items;
  Item item;
  while (!reader.at_end() && read_item(reader, item)) items.push_back(item);
  return items;
}

std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    hex.push_back("0123456789abcdef"[byte >> 4]);
    hex.push_back("0123456789abcdef"[byte & 15]);
  }
  return hex;
}

// ---- What the standard says ----

struct Vector {
  const char* hex;
  Items items;
};

// RFC 8949, appendix A: every line whose value is in the subset and fits in 64 bits.
std::vector<Vector> appendix_a() {
  Items one_to_25{array_item(25)};
  for (uint64_t i = 1; i <= 25; ++i) one_to_25.push_back(unsigned_item(i));
  const std::string bignum("\x01\0\0\0\0\0\0\0\0", 9);
  return {
      {"00", {unsigned_item(0)}},
      {"01", {unsigned_item(1)}},
      {"0a", {unsigned_item(10)}},
      {"17", {unsigned_item(23)}},
      {"1818", {unsigned_item(24)}},
      {"1819", {unsigned_item(25)}},
      {"1864", {unsigned_item(100)}},
      {"1903e8", {unsigned_item(1000)}},
      {"1a000f4240", {unsigned_item(1000000)}},
      {"1b000000e8d4a51000", {unsigned_item(1000000000000)}},
      {"1bffffffffffffffff", {unsigned_item(18446744073709551615u)}},
      {"c249010000000000000000", {tag_item(2), bytes_item(bignum)}},
      {"c349010000000000000000", {tag_item(3), bytes_item(bignum)}},
      {"20", {negative_item(0)}},
      {"29", {negative_item(9)}},
      {"3863", {negative_item(99)}},
      {"3903e7", {negative_item(999)}},
      {"f4", {boolean_item(false)}},
      {"f5", {boolean_item(true)}},
      {"f6", {null_item()}},
      {"c074323031332d30332d32315432303a30343a30305a", {tag_item(0), text_item("2013-03-21T20:04:00Z")}},
      {"c11a514b67b0", {tag_item(1), unsigned_item(1363896240)}},
      {"d74401020304", {tag_item(23), bytes_item("\x01\x02\x03\x04")}},
      {"d818456449455446", {tag_item(24), bytes_item("dIETF")}},
      {"d82076687474703a2f2f7777772e6578616d706c652e636f6d",
       {tag_item(32), text_item("http://www.example.com")}},
      {"40", {bytes_item("")}},
      {"4401020304", {bytes_item("\x01\x02\x03\x04")}},
      {"60", {text_item("")}},
      {"6161", {text_item("a")}},
      {"6449455446", {text_item("IETF")}},
      {"62225c", {text_item("\"\\")}},
      {"62c3bc", {text_item("\u00fc")}},
      {"63e6b0b4", {text_item("\u6c34")}},
      {"64f0908591", {text_item("\U00010151")}},
      {"80", {array_item(0)}},
      {"83010203", {array_item(3), unsigned_item(1), unsigned_item(2), unsigned_item(3)}},
      {"8301820203820405",
       {array_item(3), unsigned_item(1), array_item(2), unsigned_item(2), unsigned_item(3), array_item(2),
        unsigned_item(4), unsigned_item(5)}},
      {"98190102030405060708090a0b0c0d0e0f101112131415161718181819", one_to_25},
      {"a0", {map_item(0)}},
      {"a201020304", {map_item(2), unsigned_item(1), unsigned_item(2), unsigned_item(3), unsigned_item(4)}},
      {"a26161016162820203",
       {map_item(2), text_item("a"), unsigned_item(1), text_item("b"), array_item(2), unsigned_item(2),
        unsigned_item(3)}},
      {"826161a161626163", {array_item(2), text_item("a"), map_item(1), text_item("b"), text_item("c")}},
      {"a56161614161626142616361436164614461656145",
       {map_item(5), text_item("a"), text_item("A"), text_item("b"), text_item("B"), text_item("c"),
        text_item("C"), text_item("d"), text_item("D"), text_item("e"), text_item("E")}},
  };
}

// The writer gives the bytes that the standard prints.
TEST(CborWriter, WritesAppendixA) {
  for (const Vector& vector : appendix_a()) EXPECT_EQ(to_hex(written(vector.items)), vector.hex);
}

// The reader gives back the values that the standard prints, and stops exactly at the end.
TEST(CborReader, ReadsAppendixA) {
  for (const Vector& vector : appendix_a()) {
    Input input(from_hex(vector.hex));
    EXPECT_EQ(read_all(input.reader), vector.items) << vector.hex;
    EXPECT_TRUE(input.reader.at_end()) << vector.hex;
    EXPECT_EQ(input.reader.reason(), nullptr);
    EXPECT_EQ(input.reader.offset(), std::strlen(vector.hex) / 2);
  }
}

// skip takes exactly one item, with everything inside it.
TEST(CborReader, SkipsEveryVectorOfAppendixA) {
  for (const Vector& vector : appendix_a()) {
    const std::string bytes = from_hex(vector.hex);
    Input input(bytes + '\x07');
    std::span<const uint8_t> item;
    ASSERT_TRUE(input.reader.skip(item)) << vector.hex;
    EXPECT_EQ(std::string(item.begin(), item.end()), bytes);
    uint64_t after = 0;
    EXPECT_TRUE(input.reader.unsigned_int(after));
    EXPECT_EQ(after, 7u);
  }
}

// Each value at an end of a head's range has the shortest head, for every type that has a head.
TEST(CborWriter, WritesTheShortestHeadAtEveryBoundary) {
  const std::vector<std::pair<uint64_t, std::string>> arguments = {
      {0, "00"},
      {23, "17"},
      {24, "1818"},
      {255, "18ff"},
      {256, "190100"},
      {65535, "19ffff"},
      {65536, "1a00010000"},
      {4294967295, "1affffffff"},
      {4294967296, "1b0000000100000000"},
      {INT64_MAX, "1b7fffffffffffffff"},
      {UINT64_MAX, "1bffffffffffffffff"},
  };
  for (const auto& [value, head] : arguments) {
    for (const auto& [item, major] :
         {std::pair{unsigned_item(value), 0u}, std::pair{negative_item(value), 1u},
          std::pair{array_item(value), 4u}, std::pair{map_item(value), 5u}, std::pair{tag_item(value), 6u}}) {
      if (major == 1 && value > INT64_MAX) continue;
      std::string expected = from_hex(head);
      expected[0] = static_cast<char>(static_cast<uint8_t>(expected[0]) | major << 5);
      EXPECT_EQ(to_hex(written({item})), to_hex(expected));
    }
  }
}

// Integers come back from the ends of every range, the least and the greatest included.
TEST(CborReader, ReadsIntegersAtEveryBoundary) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{23}, uint64_t{24}, uint64_t{255}, uint64_t{256}, uint64_t{65535},
        uint64_t{65536}, uint64_t{4294967295}, uint64_t{4294967296}, uint64_t{INT64_MAX}, UINT64_MAX}) {
    Input input(written({unsigned_item(value), tag_item(value)}));
    uint64_t number = 1;
    uint64_t tag = 1;
    EXPECT_TRUE(input.reader.unsigned_int(number) && input.reader.tag(tag));
    EXPECT_EQ(number, value);
    EXPECT_EQ(tag, value);
    EXPECT_TRUE(input.reader.at_end());
  }
  for (const int64_t value : {int64_t{0}, int64_t{23}, int64_t{INT64_MAX}, int64_t{-1}, int64_t{-24},
                              int64_t{-25}, int64_t{-256}, int64_t{-257}, int64_t{-65536}, int64_t{-65537},
                              int64_t{-4294967296}, int64_t{-4294967297}, INT64_MIN}) {
    CborWriter writer;
    writer.signed_int(value);
    CborReader reader(writer.data(), writer.size());
    int64_t read = 1;
    EXPECT_TRUE(reader.signed_int(read));
    EXPECT_EQ(read, value);
    EXPECT_TRUE(reader.at_end());
  }
}

// Strings come back whole at every length that changes the head or the way of copying.
TEST(CborReader, ReadsStringsOfEveryLength) {
  std::vector<size_t> lengths;
  for (size_t length = 0; length <= 70; ++length) lengths.push_back(length);
  for (const size_t length : {255u, 256u, 257u, 65535u, 65536u, 65537u}) lengths.push_back(length);
  for (const size_t length : lengths) {
    std::string content(length, ' ');
    for (size_t i = 0; i < length; ++i) content[i] = static_cast<char>('!' + i % 90);
    const Items items{bytes_item(content), text_item(content)};
    Input input(written(items));
    EXPECT_EQ(read_all(input.reader), items);
    EXPECT_TRUE(input.reader.at_end());
  }
}

// A count is taken if the bytes left could hold that many items, and not one more.
TEST(CborReader, TakesTheGreatestPossibleCounts) {
  for (const uint64_t count : {0u, 23u, 24u, 255u, 256u, 65535u, 65536u}) {
    for (const Item& item : {array_item(count), map_item(count)}) {
      const std::string head = written({item});
      const size_t needed = item.type == CborType::kMap ? 2 * count : count;
      Input enough(head + std::string(needed, '\0'));
      std::span<const uint8_t> whole;
      EXPECT_TRUE(enough.reader.skip(whole));
      EXPECT_TRUE(enough.reader.at_end());
      if (count == 0) continue;
      Input lacking(head + std::string(needed - 1, '\0'));
      Item read;
      EXPECT_FALSE(read_item(lacking.reader, read));
      EXPECT_STREQ(lacking.reader.reason(), "more items than bytes left");
      EXPECT_EQ(lacking.reader.offset(), 0u);
    }
  }
}

// ---- What is refused ----

struct Refusal {
  const char* hex;
  const char* reason;
};

// Reads `hex` behind two good items, with a typed read and by skip, and checks where and why it
// fails.
void expect_refused(const Refusal& refusal) {
  const std::string bytes = written({unsigned_item(500), null_item()}) + from_hex(refusal.hex);
  Input typed(bytes);
  const Items items = read_all(typed.reader);
  EXPECT_EQ(items.size(), 2u) << refusal.hex;
  EXPECT_STREQ(typed.reader.reason(), refusal.reason) << refusal.hex;
  EXPECT_EQ(typed.reader.offset(), 4u) << refusal.hex;

  Input skipped(bytes);
  std::span<const uint8_t> item;
  EXPECT_TRUE(skipped.reader.skip(item) && skipped.reader.skip(item));
  EXPECT_FALSE(skipped.reader.skip(item)) << refusal.hex;
  EXPECT_STREQ(skipped.reader.reason(), refusal.reason) << refusal.hex;
  EXPECT_EQ(skipped.reader.offset(), 4u) << refusal.hex;
}

// A head that is longer than its argument needs is refused, for each type and each size.
TEST(CborReader, RefusesLongHeads) {
  for (const char* head : {"1800", "1817", "190000", "1900ff", "1a00000000", "1a0000ffff",
                           "1b0000000000000000", "1b00000000ffffffff"}) {
    for (unsigned major = 0; major <= 6; ++major) {
      std::string bytes = from_hex(head);
      bytes[0] = static_cast<char>(static_cast<uint8_t>(bytes[0]) | major << 5);
      expect_refused({to_hex(bytes).c_str(), "not the shortest length"});
    }
  }
}

// Additional information 28 to 30 means nothing today, in any type; 31 does not in integers and
// tags.
TEST(CborReader, RefusesReservedAdditionalInformation) {
  for (unsigned major = 0; major <= 7; ++major) {
    for (unsigned info = 28; info <= 31; ++info) {
      if (info == 31 && major != 0 && major != 1 && major != 6) continue;
      const std::string bytes(1, static_cast<char>(major << 5 | info));
      expect_refused({to_hex(bytes).c_str(), "reserved additional information"});
    }
  }
}

// Strings, arrays and maps of indefinite length are refused, and so is the break that ends them.
TEST(CborReader, RefusesIndefiniteLengths) {
  for (const char* hex : {"5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "9f018202039f0405ffff",
                          "bf61610161629f0203ffff", "ff"}) {
    expect_refused({hex, "indefinite length is not allowed"});
  }
}

// Half, single and double floats are refused, cut off or not.
TEST(CborReader, RefusesFloatingPoint) {
  for (const char* hex :
       {"f90000", "f93c00", "f97e00", "fa47c35000", "fb3ff199999999999a", "fb3ff1", "f9", "fa", "fb"}) {
    expect_refused({hex, "floating point is not allowed"});
  }
}

// Undefined and every simple value but false, true and null are refused, in either form.
TEST(CborReader, RefusesOtherSimpleValues) {
  for (unsigned value = 0; value <= 23; ++value) {
    if (value >= 20 && value <= 22) continue;
    const std::string bytes(1, static_cast<char>(0xe0 | value));
    expect_refused({to_hex(bytes).c_str(), "simple value is not allowed"});
  }
  for (const char* hex : {"f8", "f800", "f814", "f816", "f818", "f8ff"}) {
    expect_refused({hex, "simple value is not allowed"});
  }
}

// A head or a string that ends after the input does is refused, however long it says it is.
TEST(CborReader, RefusesWhatEndsTooLate) {
  for (const char* hex : {"18",
                          "19",
                          "1903",
                          "1a",
                          "1a000f42",
                          "1b",
                          "1b000000e8d4a510",
                          "38",
                          "3903",
                          "41",
                          "4401",
                          "440102ff",
                          "5818",
                          "59",
                          "61",
                          "62c3",
                          "7818",
                          "7affffffff00",
                          "5bffffffffffffffff",
                          "5b7fffffffffffffff",
                          "7bffffffffffffffff00",
                          "98",
                          "b903",
                          "d8",
                          "d9d9"}) {
    expect_refused({hex, "truncated"});
  }
}

// A count beyond the bytes left is refused before anybody can allocate for it.
TEST(CborReader, RefusesHostileCounts) {
  for (const char* hex :
       {"81", "820a", "9bffffffffffffffff", "9b7fffffffffffffff00", "9affffffff0000", "a1", "a100",
        "a2000000", "bbffffffffffffffff", "bb800000000000000000", "bb8000000000000001000000"}) {
    expect_refused({hex, "more items than bytes left"});
  }
}

// Text that is not UTF-8 is refused; the same content as a byte string is not.
TEST(CborReader, RefusesTextThatIsNotUtf8) {
  for (const char* hex : {"6180", "61ff", "62c328", "61c3", "62c080", "63eda080", "64f4908080",
                          "656162630aff", "78186161616161616161616161616161616161616161616161e9"}) {
    expect_refused({hex, "text is not UTF-8"});
    std::string binary = from_hex(hex);
    binary[0] = static_cast<char>(static_cast<uint8_t>(binary[0]) ^ 0x20);
    Input input(binary);
    std::span<const uint8_t> out;
    EXPECT_TRUE(input.reader.bytes(out));
  }
}

// Every typed read refuses every other type by name, and none takes what it did not ask for.
TEST(CborReader, NamesTheTypeItExpectedAndTheTypeItFound) {
  struct Kind {
    const char* expected;
    const char* found;
    const char* hex;
    bool (*read)(CborReader&);
  };
  const std::vector<Kind> kinds = {
      {"an unsigned integer", "an unsigned integer", "1818",
       [](CborReader& r) {
         uint64_t out;
         return r.unsigned_int(out);
       }},
      {"an integer", "a negative integer", "20",
       [](CborReader& r) {
         int64_t out;
         return r.signed_int(out);
       }},
      {"a byte string", "a byte string", "4101",
       [](CborReader& r) {
         std::span<const uint8_t> out;
         return r.bytes(out);
       }},
      {"text", "text", "6161",
       [](CborReader& r) {
         std::string_view out;
         return r.text(out);
       }},
      {"an array", "an array", "8100",
       [](CborReader& r) {
         uint64_t out;
         return r.array(out);
       }},
      {"a map", "a map", "a10000",
       [](CborReader& r) {
         uint64_t out;
         return r.map(out);
       }},
      {"a tag", "a tag", "d9d9f700",
       [](CborReader& r) {
         uint64_t out;
         return r.tag(out);
       }},
      {"a boolean", "a boolean", "f5",
       [](CborReader& r) {
         bool out;
         return r.boolean(out);
       }},
      {"null", "null", "f6", [](CborReader& r) { return r.null(); }},
  };
  for (size_t wanted = 0; wanted < kinds.size(); ++wanted) {
    for (size_t present = 0; present < kinds.size(); ++present) {
      Input input(from_hex(kinds[present].hex));
      const bool good = kinds[wanted].read(input.reader);
      // signed_int, second in the list, takes unsigned integers as well.
      const bool expected = wanted == present || (wanted == 1 && present == 0);
      EXPECT_EQ(good, expected);
      if (expected) continue;
      const std::string reason =
          std::string("expected ") + kinds[wanted].expected + ", found " + kinds[present].found;
      EXPECT_EQ(input.reader.reason(), reason);
      EXPECT_EQ(input.reader.offset(), 0u);
    }
  }
}

// Integers that an int64_t cannot hold are refused by signed_int, and are sound CBOR nevertheless.
TEST(CborReader, RefusesIntegersOutOfRange) {
  for (const char* hex :
       {"1b8000000000000000", "1bffffffffffffffff", "3b8000000000000000", "3bffffffffffffffff"}) {
    Input input(from_hex(hex));
    int64_t out = 42;
    EXPECT_FALSE(input.reader.signed_int(out));
    EXPECT_STREQ(input.reader.reason(), "integer is out of range");
    EXPECT_EQ(input.reader.offset(), 0u);
    EXPECT_EQ(out, 42);
    Input skipped(from_hex(hex));
    std::span<const uint8_t> item;
    EXPECT_TRUE(skipped.reader.skip(item));
    EXPECT_TRUE(skipped.reader.at_end());
  }
}

// ---- Failure is final ----

// After the first failure nothing is read, stored or forgotten, though good items would follow.
TEST(CborReader, StaysFailed) {
  Input input(from_hex("01f90000") + from_hex("020420406080a0c1f5f6"));
  uint64_t number = 7;
  int64_t integer = 7;
  bool truth = true;
  std::string_view text = "kept";
  std::span<const uint8_t> binary;
  EXPECT_TRUE(input.reader.unsigned_int(number));
  EXPECT_FALSE(input.reader.unsigned_int(number));
  EXPECT_FALSE(input.reader.unsigned_int(number));
  EXPECT_FALSE(input.reader.signed_int(integer));
  EXPECT_FALSE(input.reader.bytes(binary));
  EXPECT_FALSE(input.reader.text(text));
  EXPECT_FALSE(input.reader.array(number));
  EXPECT_FALSE(input.reader.map(number));
  EXPECT_FALSE(input.reader.tag(number));
  EXPECT_FALSE(input.reader.boolean(truth));
  EXPECT_FALSE(input.reader.null());
  EXPECT_FALSE(input.reader.skip(binary));
  EXPECT_FALSE(input.reader.peek_null());
  EXPECT_EQ(input.reader.peek_type(), CborType::kNone);
  EXPECT_FALSE(input.reader.at_end());
  EXPECT_TRUE(input.reader.failed());
  EXPECT_FALSE(input.reader.refuse(0, "a later reason"));
  EXPECT_STREQ(input.reader.reason(), "floating point is not allowed");
  EXPECT_EQ(input.reader.offset(), 1u);
  EXPECT_EQ(number, 1u);
  EXPECT_EQ(integer, 7);
  EXPECT_EQ(text, "kept");
  EXPECT_TRUE(binary.empty());
}

// A caller can fail the reader for reasons of its own, even at the end, and at_end() then says no.
TEST(CborReader, TakesARefusalFromItsCaller) {
  Input input(written({unsigned_item(300), unsigned_item(1)}));
  uint64_t version;
  const size_t start = input.reader.offset();
  EXPECT_TRUE(input.reader.unsigned_int(version));
  EXPECT_FALSE(input.reader.refuse(start, "unknown version"));
  EXPECT_STREQ(input.reader.reason(), "unknown version");
  EXPECT_EQ(input.reader.offset(), start);
  EXPECT_FALSE(input.reader.unsigned_int(version));
  EXPECT_EQ(version, 300u);

  Input done(written({null_item()}));
  EXPECT_TRUE(done.reader.null());
  EXPECT_TRUE(done.reader.at_end());
  done.reader.refuse(0, "not wanted");
  EXPECT_FALSE(done.reader.at_end());
}

// An empty input is at its end, holds no item, and needs no memory behind it.
TEST(CborReader, ReadsNothingFromNothing) {
  CborReader reader(nullptr, 0);
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(reader.peek_type(), CborType::kNone);
  uint64_t out;
  EXPECT_FALSE(reader.unsigned_int(out));
  EXPECT_STREQ(reader.reason(), "truncated");
  EXPECT_EQ(reader.offset(), 0u);
  EXPECT_FALSE(reader.at_end());
}

// A million arrays inside one another cost no stack, and a lie at the bottom is found.
TEST(CborReader, SkipsDeepNestingWithoutRecursion) {
  const std::string open(1'000'000, '\x81');
  Input whole(open + '\0');
  std::span<const uint8_t> item;
  EXPECT_TRUE(whole.reader.skip(item));
  EXPECT_TRUE(whole.reader.at_end());
  Input lacking(open);
  EXPECT_FALSE(lacking.reader.skip(item));
  EXPECT_STREQ(lacking.reader.reason(), "more items than bytes left");
  EXPECT_EQ(lacking.reader.offset(), open.size() - 1);
  // Each count alone fits into the bytes left; together they do not.
  Input greedy(from_hex("8301830000"));
  EXPECT_FALSE(greedy.reader.skip(item));
  EXPECT_STREQ(greedy.reader.reason(), "more items than bytes left");
}

// ---- Damage ----

// Every type, every size of head, nested, and text of one to four bytes a character.
std::string sample() {
  return written({tag_item(kCborTagSelfDescribed), map_item(4), text_item("id"),
                  bytes_item(std::string("\0\x01\xfe\xff", 4)), text_item("seq"), unsigned_item(1u << 20),
                  text_item("events"), array_item(7), boolean_item(true), boolean_item(false), null_item(),
                  negative_item(70000), unsigned_item(200), unsigned_item(60000),
                  unsigned_item(uint64_t{1} << 40), text_item("a_longer_key_of_24_bytes"), array_item(2),
                  text_item("\u00fc\u6c34\U00010151"), map_item(0)});
}

// Wherever the sample is cut, it is refused as cut, at an item that the cut has spoiled.
TEST(CborReader, RefusesTheSampleCutAtEveryByte) {
  const std::string whole = sample();
  for (size_t length = 0; length < whole.size(); ++length) {
    Input input(std::string_view(whole).substr(0, length));
    std::span<const uint8_t> item;
    EXPECT_FALSE(input.reader.skip(item)) << length;
    ASSERT_NE(input.reader.reason(), nullptr);
    const std::string reason = input.reader.reason();
    EXPECT_TRUE(reason == "truncated" || reason == "more items than bytes left") << reason;
    EXPECT_LE(input.reader.offset(), length);
  }
  Input input(whole);
  std::span<const uint8_t> item;
  EXPECT_TRUE(input.reader.skip(item));
  EXPECT_TRUE(input.reader.at_end());
}

// Whatever the reader takes has one encoding only: written again it is the same bytes.
void expect_refused_or_canonical(std::string_view bytes) {
  Input typed(bytes);
  const Items items = read_all(typed.reader);
  if (typed.reader.at_end()) {
    EXPECT_EQ(to_hex(written(items)), to_hex(bytes));
  } else {
    EXPECT_NE(typed.reader.reason(), nullptr);
    EXPECT_LT(typed.reader.offset(), bytes.size());
  }
  Input skipped(bytes);
  std::span<const uint8_t> item;
  if (!skipped.reader.skip(item)) {
    EXPECT_NE(skipped.reader.reason(), nullptr);
    EXPECT_LE(skipped.reader.offset(), bytes.size());
  }
}

// No single flipped bit makes the reader misbehave or take a second encoding of anything.
TEST(CborReader, SurvivesEveryFlippedBit) {
  const std::string whole = sample();
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    expect_refused_or_canonical(damaged);
  }
}

// The same for every input of up to two bytes, and for random ones.
TEST(CborReader, SurvivesShortAndRandomInput) {
  for (unsigned first = 0; first < 256; ++first) {
    expect_refused_or_canonical(std::string(1, static_cast<char>(first)));
    for (unsigned second = 0; second < 256; ++second) {
      expect_refused_or_canonical(std::string{static_cast<char>(first), static_cast<char>(second)});
    }
  }
  std::mt19937_64 random(8949);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    expect_refused_or_canonical(bytes);
  }
}

// ---- The writer's buffer ----

// A document grown byte by byte is the same as one with room reserved, which is not moved.
TEST(CborWriter, GrowsWithoutChangingTheDocument) {
  CborWriter grown;
  CborWriter reserved;
  const std::string chunk(1000, 'x');
  reserved.reserve(1003 * 1000);
  const uint8_t* const before = reserved.data();
  for (int i = 0; i < 1000; ++i) {
    grown.text(chunk);
    reserved.text(chunk);
  }
  EXPECT_EQ(reserved.data(), before);
  ASSERT_EQ(grown.size(), 1003u * 1000u);
  ASSERT_EQ(grown.size(), reserved.size());
  EXPECT_EQ(std::memcmp(grown.data(), reserved.data(), grown.size()), 0);
}

// take hands the document over once; clear forgets it and keeps the memory.
TEST(CborWriter, TakesAndClears) {
  CborWriter writer;
  EXPECT_EQ(writer.size(), 0u);
  EXPECT_TRUE(writer.take().bytes().empty());
  writer.text("first");
  const CborBuffer first = writer.take();
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(first.data.get()), first.size}), "656669727374");
  EXPECT_EQ(writer.size(), 0u);
  EXPECT_EQ(writer.data(), nullptr);
  writer.unsigned_int(1);
  const uint8_t* const memory = writer.data();
  writer.clear();
  writer.null();
  EXPECT_EQ(writer.data(), memory);
  EXPECT_EQ(writer.size(), 1u);
  EXPECT_EQ(*memory, 0xf6);
}

// Items kept from another document by skip are spliced in as they were.
TEST(CborWriter, SplicesEncodedItems) {
  Input input(sample());
  std::span<const uint8_t> kept;
  ASSERT_TRUE(input.reader.skip(kept));
  CborWriter writer;
  writer.array(2);
  writer.encoded(kept);
  writer.encoded({});
  writer.null();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(writer.data()), writer.size()),
            "\x82" + sample() + "\xf6");
}

// Sizes beyond any object throw bad_alloc, and touch neither the content given nor the document so
// far.
TEST(CborWriter, RefusesImpossibleSizes) {
  CborWriter writer;
  writer.text("kept");
  const std::vector<char> content(32);
  constexpr size_t kMost = std::numeric_limits<size_t>::max();
  for (const size_t length : {kMost, kMost - 8, kMost - 9, kMost / 2 + 1, kMost / 2 - 13}) {
    EXPECT_THROW(writer.bytes(content.data(), length), std::bad_alloc);
    EXPECT_THROW(writer.reserve(length), std::bad_alloc);
  }
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(writer.data()), writer.size()}), "646b657074");
  writer.null();
  EXPECT_EQ(writer.size(), 6u);
}

// What malloc cannot give throws bad_alloc as well, and the document survives.
TEST(CborWriter, SurvivesAFailedAllocation) {
#ifdef BLAZEN_ALLOCATOR_ABORTS
  GTEST_SKIP() << "this sanitizer ends the process instead of returning null";
#endif
  CborWriter writer;
  writer.text("kept");
  EXPECT_THROW(writer.reserve(std::numeric_limits<size_t>::max() / 2 - 14), std::bad_alloc);
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(writer.data()), writer.size()}), "646b657074");
  writer.text(std::string(1000, 'x'));
  EXPECT_EQ(writer.size(), 1008u);
}

// Keys sort by their encoded bytes.
TEST(CborKeyLess, AgreesWithTheEncodedBytes) {
  std::mt19937_64 random(4);
  std::vector<std::string> keys{"", "a", "b", "aa", "\u00fc", std::string(23, 'z'), std::string(24, 'a')};
  for (int i = 0; i < 60; ++i) {
    std::string key(random() % 30, 'a');
    for (char& c : key) c = static_cast<char>('a' + random() % 3);
    keys.push_back(key);
  }
  for (const std::string& left : keys) {
    for (const std::string& right : keys) {
      EXPECT_EQ(cbor_key_less(left, right), written({text_item(left)}) < written({text_item(right)}));
    }
  }
}

// ---- An independent decoder ----

Items& items_of(void* context) { return *static_cast<Items*>(context); }

cbor_callbacks collecting_callbacks() {
  cbor_callbacks on = cbor_empty_callbacks;
  on.uint8 = [](void* to, uint8_t value) { items_of(to).push_back(unsigned_item(value)); };
  on.uint16 = [](void* to, uint16_t value) { items_of(to).push_back(unsigned_item(value)); };
  on.uint32 = [](void* to, uint32_t value) { items_of(to).push_back(unsigned_item(value)); };
  on.uint64 = [](void* to, uint64_t value) { items_of(to).push_back(unsigned_item(value)); };
  on.negint8 = [](void* to, uint8_t value) { items_of(to).push_back(negative_item(value)); };
  on.negint16 = [](void* to, uint16_t value) { items_of(to).push_back(negative_item(value)); };
  on.negint32 = [](void* to, uint32_t value) { items_of(to).push_back(negative_item(value)); };
  on.negint64 = [](void* to, uint64_t value) { items_of(to).push_back(negative_item(value)); };
  on.byte_string = [](void* to, cbor_data data, size_t length) {
    items_of(to).push_back(bytes_item({reinterpret_cast<const char*>(data), length}));
  };
  on.string = [](void* to, cbor_data data, size_t length) {
    items_of(to).push_back(text_item({reinterpret_cast<const char*>(data), length}));
  };
  on.array_start = [](void* to, size_t count) { items_of(to).push_back(array_item(count)); };
  on.map_start = [](void* to, size_t count) { items_of(to).push_back(map_item(count)); };
  on.tag = [](void* to, uint64_t number) { items_of(to).push_back(tag_item(number)); };
  on.boolean = [](void* to, bool value) { items_of(to).push_back(boolean_item(value)); };
  on.null = [](void* to) { items_of(to).push_back(null_item()); };
  return on;
}

Items read_by_libcbor(const std::string& bytes) {
  const cbor_callbacks callbacks = collecting_callbacks();
  const auto* data = reinterpret_cast<cbor_data>(bytes.data());
  Items items;
  for (size_t at = 0; at < bytes.size();) {
    const cbor_decoder_result result = cbor_stream_decode(data + at, bytes.size() - at, &callbacks, &items);
    if (result.status != CBOR_DECODER_FINISHED) {
      ADD_FAILURE() << "libcbor refuses byte " << at << ": "
                    << to_hex(std::string_view(bytes).substr(at, 16));
      break;
    }
    at += result.read;
  }
  return items;
}

// As likely to have a short head as a long one.
uint64_t random_number(std::mt19937_64& random) {
  const uint64_t shift = random() % 64;
  return random() >> shift;
}

std::string random_text(std::mt19937_64& random) {
  static constexpr const char* kCharacters[] = {"a", "Z", "7", " ", "\u00fc", "\u6c34", "\U00010151"};
  std::string text;
  const size_t length = random() % 4 == 0 ? random() % 400 : random() % 20;
  for (size_t i = 0; i < length; ++i) text += kCharacters[random() % std::size(kCharacters)];
  return text;
}

void append_random(std::mt19937_64& random, int depth, Items& items) {
  switch (random() % (depth > 0 ? 9 : 6)) {
    case 0: return items.push_back(unsigned_item(random_number(random)));
    case 1: return items.push_back(negative_item(random_number(random) >> 1));
    case 2: {
      std::string content(random() % 100 == 0 ? random() % 70000 : random() % 30, '\0');
      for (char& c : content) c = static_cast<char>(random());
      return items.push_back(bytes_item(content));
    }
    case 3: return items.push_back(text_item(random_text(random)));
    case 4: return items.push_back(boolean_item(random() % 2 == 0));
    case 5: return items.push_back(null_item());
    case 6:
      // libcbor 0.8 refuses the tags 6 to 20, calling them unassigned.
      items.push_back(tag_item(random() % 2 == 0 ? random() % 6 : 21 + random_number(random) / 2));
      return append_random(random, depth - 1, items);
    default: {
      const bool pairs = random() % 2 == 0;
      const uint64_t count = random() % 30 == 0 ? random() % 300 : random() % 6;
      items.push_back(pairs ? map_item(count) : array_item(count));
      for (uint64_t i = 0; i < (pairs ? 2 * count : count); ++i) {
        append_random(random, depth > 2 ? 2 : depth - 1, items);
      }
    }
  }
}

// What our writer writes, libcbor and our reader read as the items that were meant.
TEST(Cbor, AgreesWithLibcborOnRandomDocuments) {
  std::mt19937_64 random(20201207);
  for (int round = 0; round < 300; ++round) {
    Items items;
    append_random(random, 4, items);
    const std::string bytes = written(items);
    // Not ASSERT_EQ, which would print both.
    ASSERT_TRUE(read_by_libcbor(bytes) == items) << "round " << round;
    Input input(bytes);
    ASSERT_TRUE(read_all(input.reader) == items) << "round " << round;
    ASSERT_TRUE(input.reader.at_end());
    Input skipped(bytes);
    std::span<const uint8_t> item;
    ASSERT_TRUE(skipped.reader.skip(item));
    ASSERT_TRUE(skipped.reader.at_end());
  }
}

// The host's byte order is undone: both ways of a swap are checked on values, not on bytes.
TEST(Cbor, SwapsBytes) {
  EXPECT_EQ(cbor::swap_bytes(uint16_t{0x0102}), 0x0201u);
  EXPECT_EQ(cbor::swap_bytes(uint32_t{0x01020304}), 0x04030201u);
  EXPECT_EQ(cbor::swap_bytes(uint64_t{0x0102030405060708}), 0x0807060504030201u);
}

}  // namespace
}  // namespace blazen
