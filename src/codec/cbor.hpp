// Writes and reads the subset of CBOR that snapshots are made of: integers, byte strings, text,
// arrays, maps, tags, booleans and null, with definite lengths only; no floating point, no other
// simple values.
//
// Invariants:
//   - One value, one encoding (RFC 8949, section 4.2.1): heads are the shortest there are, and the
//     reader refuses any other. So equal states give equal bytes, and a document that was read and
//     written again is the same document. The order of map keys is the caller's: writers sort with
//     cbor_key_less or write fields in a fixed order, readers check what they rely on.
//   - Both are streams of heads. Neither counts what is inside an array or a map: whoever writes
//     array(3) writes three items after it, whoever reads it reads three.
//   - The writer trusts its caller, the reader trusts nobody: no input makes it read out of bounds,
//     allocate, throw or recurse, and a count it returns is never more than the bytes that are
//     left.
//   - Integers travel as big-endian bytes whatever the host is.
//
// Neither class has a lock: one thread at a time.
//
// Why not libcbor: its stream decoder takes long heads and text that is not UTF-8, its 0.8 refuses
// the tags 6 to 20, and our WebAssembly tools have no package of it. It is also several times
// slower here (5 times to write, 6 to read; tests/bench/cbor_compare.cc).

#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "base/utf8.hpp"

namespace blazen {

/// Marks a file as CBOR without changing its meaning (RFC 8949, section 3.4.6): bytes d9 d9 f7.
inline constexpr uint64_t kCborTagSelfDescribed = 55799;

/// What the next item is. kNone: nothing is left, or it is outside the subset, or the reader
/// failed.
enum class CborType : uint8_t {
  kUnsigned,
  kNegative,
  kBytes,
  kText,
  kArray,
  kMap,
  kTag,
  kBoolean,
  kNull,
  kNone,
};

struct CborFree {
  void operator()(uint8_t* memory) const noexcept { std::free(memory); }
};

/// A finished document; owns its memory, which came from malloc so that growing may move pages
/// instead of bytes.
struct CborBuffer {
  std::unique_ptr<uint8_t[], CborFree> data;
  size_t size = 0;

  std::span<const uint8_t> bytes() const noexcept { return {data.get(), size}; }
};

/// The order RFC 8949 gives to text keys: by their encoded bytes, so shorter keys come first.
inline bool cbor_key_less(std::string_view left, std::string_view right) noexcept {
  return left.size() != right.size() ? left.size() < right.size() : left < right;
}

/// Takes a document piece by piece, in order.
class CborSink {
 public:
  /// `piece` has 1 to kCborPieceBytesMax bytes, and is valid during the call alone. False: no more of them.
  virtual bool take(std::span<const uint8_t> piece) = 0;

 protected:
  ~CborSink() = default;
};

/// The most that a sink is given at once.
inline constexpr size_t kCborPieceBytesMax = size_t{1} << 20;
/// The most that a writer to a sink keeps back; a string that has more goes to the sink from where it lies.
inline constexpr size_t kCborKeptBytesMax = size_t{1} << 16;

/// Appends items to a buffer of its own. Every method may throw std::bad_alloc and nothing else;
/// the document is then what it was before the call.
class CborWriter {
 public:
  CborWriter() = default;
  /// Hands what it writes to the sink, where there is one, whenever its buffer is full, and the rest on flush().
  explicit CborWriter(CborSink* sink) noexcept : sink_(sink) {}
  CborWriter(const CborWriter&) = delete;
  CborWriter& operator=(const CborWriter&) = delete;

  void unsigned_int(uint64_t value);
  void signed_int(int64_t value);
  /// `data` may be null if `length` is 0; it must not point into this writer's own buffer.
  void bytes(const void* data, size_t length);
  /// `value` must be UTF-8: readers refuse the document otherwise.
  void text(std::string_view value);
  /// `count` items follow.
  void array(uint64_t count);
  /// `count` pairs follow, each a key and a value.
  void map(uint64_t count);
  /// One item follows, which the tag is about.
  void tag(uint64_t number);
  void boolean(bool value);
  void null();
  /// Splices whole items that are encoded already, such as a field that CborReader::skip kept.
  void encoded(std::span<const uint8_t> items);

  /// Makes room, so that as many more bytes are written without growing; to a sink, as many as it keeps back.
  void reserve(size_t bytes);
  /// Hands the sink what it has not had yet.
  void flush();
  /// The sink takes no more: whatever is written goes nowhere.
  bool stopped() const noexcept { return stopped_; }
  /// Forgets the document and keeps the memory: fresh pages cost ten times a copy into warm ones.
  void clear() noexcept { size_ = 0; }

  size_t size() const noexcept { return size_; }
  /// Valid until the next call that writes or takes; null if nothing was ever written.
  const uint8_t* data() const noexcept { return buffer_.get(); }
  /// Hands the document over and leaves the writer empty, ready for another.
  CborBuffer take() noexcept;

 private:
  void string(unsigned major, const void* data, size_t length);
  void head(unsigned major, uint64_t value);
  uint8_t* room_for(size_t length);
  bool fits(size_t length, size_t capacity) const noexcept;
  void grow(size_t length);
  bool hand_out(unsigned major, const void* data, size_t length);
  void to_sink(const uint8_t* data, size_t length);

  std::unique_ptr<uint8_t[], CborFree> buffer_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  CborSink* sink_ = nullptr;  // null: the buffer has the whole document
  bool stopped_ = false;
};

/// Reads items in order from a buffer that it borrows: the buffer, and it alone, must outlive the
/// reader and every view obtained from it.
///
/// A method that finds its item stores it, moves past it and returns true. Otherwise it returns
/// false, stores nothing, and the reader has failed: every later call returns false too and
/// at_end() never comes true, so that callers may check once per record rather than once per item.
class CborReader {
 public:
  CborReader(const void* data, size_t length) noexcept;
  explicit CborReader(std::span<const uint8_t> input) noexcept : CborReader(input.data(), input.size()) {}

  bool unsigned_int(uint64_t& out) noexcept;
  /// Takes integers of either sign; refuses those that an int64_t cannot hold.
  bool signed_int(int64_t& out) noexcept;
  bool bytes(std::span<const uint8_t>& out) noexcept;
  bool text(std::string_view& out) noexcept;
  /// The input has at least `count` bytes left; even so, do not reserve `count` large objects.
  bool array(uint64_t& count) noexcept;
  /// The input has at least two bytes left for each of `count` pairs.
  bool map(uint64_t& count) noexcept;
  bool tag(uint64_t& number) noexcept;
  bool boolean(bool& out) noexcept;
  bool null() noexcept;
  /// Moves past one item and all that is inside it, checked like any other, and gives its bytes.
  bool skip(std::span<const uint8_t>& out) noexcept;

  /// Looks at the next item without moving. A type promises no more than the first byte shows.
  CborType peek_type() const noexcept;
  bool peek_null() const noexcept { return peek_type() == CborType::kNull; }
  /// Everything was read and nothing failed.
  bool at_end() const noexcept { return next_ == end_ && reason_ == nullptr; }

  /// Fails the reader on the caller's behalf, for an item that is sound CBOR but not what the
  /// record wants; keeps the first failure. `reason` must be static text. Always returns false.
  bool refuse(size_t offset, const char* reason) noexcept {
    fail(offset, reason);
    return false;
  }

  bool failed() const noexcept { return reason_ != nullptr; }
  /// The first byte of the item at fault, or of the next item while nothing has failed.
  size_t offset() const noexcept;
  /// Why the reader failed, a static English text; null while it has not.
  const char* reason() const noexcept { return reason_; }

 private:
  const uint8_t* read_head(unsigned major, uint64_t& value) const noexcept;
  const uint8_t* string(unsigned major, CborType expected, size_t& length) noexcept;
  bool skip_one(uint64_t& inside) noexcept;
  // The refusals are inline so that compilers see they return false, and do not suspect callers of
  // using what was not stored.
  bool refuse_here(const char* reason) noexcept {
    fail_here(reason);
    return false;
  }
  bool refuse_head(CborType expected) noexcept {
    fail_head(expected);
    return false;
  }
  void fail(size_t offset, const char* reason) noexcept;
  void fail_here(const char* reason) noexcept;
  void fail_head(CborType expected) noexcept;
  size_t bytes_after(const uint8_t* at) const noexcept { return static_cast<size_t>(end_ - at); }

  const uint8_t* begin_;
  const uint8_t* next_;  // == end_ once failed, so that the hot paths need no check of their own
  const uint8_t* end_;
  size_t fault_offset_ = 0;
  const char* reason_ = nullptr;
};

// ---- The head of an item: three bits of major type, five that hold or size its argument ----

namespace cbor {

inline constexpr unsigned kUnsigned = 0;
inline constexpr unsigned kNegative = 1;
inline constexpr unsigned kBytes = 2;
inline constexpr unsigned kText = 3;
inline constexpr unsigned kArray = 4;
inline constexpr unsigned kMap = 5;
inline constexpr unsigned kTag = 6;
inline constexpr unsigned kSimple = 7;

inline constexpr unsigned kMajorShift = 5;
inline constexpr unsigned kInfoMask = 0x1f;
// Arguments below this are in the first byte; from here on it says how many bytes follow.
inline constexpr unsigned kInfoOneByte = 24;
inline constexpr unsigned kInfoTwoBytes = 25;
inline constexpr unsigned kInfoFourBytes = 26;
inline constexpr unsigned kInfoEightBytes = 27;

inline constexpr uint8_t kFalse = 0xf4;
inline constexpr uint8_t kTrue = 0xf5;
inline constexpr uint8_t kNull = 0xf6;

inline constexpr size_t kHeadSizeMax = 9;

constexpr uint8_t swap_bytes(uint8_t v) noexcept { return v; }
// Written out in full because that is what compilers turn into one instruction.
constexpr uint16_t swap_bytes(uint16_t v) noexcept { return static_cast<uint16_t>((v >> 8) | (v << 8)); }
constexpr uint32_t swap_bytes(uint32_t v) noexcept {
  return (v >> 24) | ((v >> 8) & 0x0000ff00u) | ((v << 8) & 0x00ff0000u) | (v << 24);
}
constexpr uint64_t swap_bytes(uint64_t v) noexcept {
  return (v >> 56) | ((v >> 40) & 0x000000000000ff00u) | ((v >> 24) & 0x0000000000ff0000u) |
         ((v >> 8) & 0x00000000ff000000u) | ((v << 8) & 0x000000ff00000000u) |
         ((v << 24) & 0x0000ff0000000000u) | ((v << 40) & 0x00ff000000000000u) | (v << 56);
}

// Its own inverse: from the host's order to big-endian, and back.
template <typename Unsigned>
constexpr Unsigned big_endian(Unsigned value) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    return swap_bytes(value);
  } else {
    return value;
  }
}

template <typename Unsigned>
uint8_t* put_argument(uint8_t* at, unsigned first_byte, uint64_t value) noexcept {
  const Unsigned stored = big_endian(static_cast<Unsigned>(value));
  *at = static_cast<uint8_t>(first_byte);
  std::memcpy(at + 1, &stored, sizeof stored);
  return at + 1 + sizeof stored;
}

// Writes the shortest head, of at most kHeadSizeMax bytes; returns the byte after it.
inline uint8_t* put_head(uint8_t* at, unsigned major, uint64_t value) noexcept {
  const unsigned type = major << kMajorShift;
  if (value < kInfoOneByte) {
    *at = static_cast<uint8_t>(type | value);
    return at + 1;
  }
  if (value <= UINT8_MAX) return put_argument<uint8_t>(at, type | kInfoOneByte, value);
  if (value <= UINT16_MAX) return put_argument<uint16_t>(at, type | kInfoTwoBytes, value);
  if (value <= UINT32_MAX) return put_argument<uint32_t>(at, type | kInfoFourBytes, value);
  return put_argument<uint64_t>(at, type | kInfoEightBytes, value);
}

// Reads the argument that follows a first byte at `at`; null if it is cut off by `end`, or if the
// value is at most `shorter_max`, the most that a shorter head holds.
template <typename Unsigned>
const uint8_t* get_argument(const uint8_t* at, const uint8_t* end, uint64_t shorter_max,
                            uint64_t& value) noexcept {
  Unsigned stored;
  if (static_cast<size_t>(end - at) <= sizeof stored) return nullptr;
  std::memcpy(&stored, at + 1, sizeof stored);
  value = big_endian(stored);
  return value > shorter_max ? at + 1 + sizeof stored : nullptr;
}

// Most strings in a snapshot are keys, identifiers and numbers: for those a call of memcpy costs
// more than the copy. Two words that may overlap cover each range of lengths.
inline void copy_bytes(uint8_t* to, const void* data, size_t length) noexcept {
  const uint8_t* from = static_cast<const uint8_t*>(data);
  if (length > 16) {
    std::memcpy(to, from, length);
  } else if (length >= 8) {
    uint64_t first, last;
    std::memcpy(&first, from, 8);
    std::memcpy(&last, from + length - 8, 8);
    std::memcpy(to, &first, 8);
    std::memcpy(to + length - 8, &last, 8);
  } else if (length >= 4) {
    uint32_t first, last;
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + length - 4, 4);
    std::memcpy(to, &first, 4);
    std::memcpy(to + length - 4, &last, 4);
  } else {
    for (size_t i = 0; i < length; ++i) to[i] = from[i];
  }
}

}  // namespace cbor

// ---- CborWriter: hot paths ----

inline void CborWriter::unsigned_int(uint64_t value) { head(cbor::kUnsigned, value); }

inline void CborWriter::signed_int(int64_t value) {
  // CBOR stores -1 - value; in two's complement that is the bitwise inverse, with no overflow.
  const uint64_t bits = static_cast<uint64_t>(value);
  head(value < 0 ? cbor::kNegative : cbor::kUnsigned, value < 0 ? ~bits : bits);
}

inline void CborWriter::bytes(const void* data, size_t length) { string(cbor::kBytes, data, length); }

inline void CborWriter::text(std::string_view value) {
  assert(utf8_valid_prefix(value.data(), value.size()) == value.size());
  string(cbor::kText, value.data(), value.size());
}

inline void CborWriter::array(uint64_t count) { head(cbor::kArray, count); }
inline void CborWriter::map(uint64_t count) { head(cbor::kMap, count); }
inline void CborWriter::tag(uint64_t number) { head(cbor::kTag, number); }

inline void CborWriter::boolean(bool value) {
  *room_for(0) = value ? cbor::kTrue : cbor::kFalse;
  ++size_;
}

inline void CborWriter::null() {
  *room_for(0) = cbor::kNull;
  ++size_;
}

inline void CborWriter::string(unsigned major, const void* data, size_t length) {
  if (!fits(length, capacity_)) [[unlikely]] {
    if (hand_out(major, data, length)) return;
  }
  uint8_t* const start = buffer_.get() + size_;
  uint8_t* const content = cbor::put_head(start, major, length);
  cbor::copy_bytes(content, data, length);
  size_ += static_cast<size_t>(content - start) + length;
}

inline void CborWriter::head(unsigned major, uint64_t value) {
  uint8_t* const start = room_for(0);
  size_ += static_cast<size_t>(cbor::put_head(start, major, value) - start);
}

// The one check per item: where to write a head of any size and `length` bytes of content.
inline uint8_t* CborWriter::room_for(size_t length) {
  if (!fits(length, capacity_)) [[unlikely]]
    grow(length);
  return buffer_.get() + size_;
}

// Two comparisons, as a sum could wrap around.
inline bool CborWriter::fits(size_t length, size_t capacity) const noexcept {
  const size_t room = capacity - size_;
  return room >= cbor::kHeadSizeMax && room - cbor::kHeadSizeMax >= length;
}

// ---- CborReader: hot paths; they only say yes, fail_head finds out what was wrong ----

inline bool CborReader::unsigned_int(uint64_t& out) noexcept {
  uint64_t value;
  const uint8_t* const after = read_head(cbor::kUnsigned, value);
  if (after == nullptr) [[unlikely]]
    return refuse_head(CborType::kUnsigned);
  out = value;
  next_ = after;
  return true;
}

inline bool CborReader::signed_int(int64_t& out) noexcept {
  const bool negative = peek_type() == CborType::kNegative;
  uint64_t value;
  const uint8_t* const after = read_head(negative ? cbor::kNegative : cbor::kUnsigned, value);
  // An expected kNegative stands for an integer of either sign.
  if (after == nullptr) [[unlikely]]
    return refuse_head(CborType::kNegative);
  if (value > INT64_MAX) [[unlikely]]
    return refuse_here("integer is out of range");
  out = static_cast<int64_t>(negative ? ~value : value);
  next_ = after;
  return true;
}

inline bool CborReader::bytes(std::span<const uint8_t>& out) noexcept {
  size_t length;
  const uint8_t* const data = string(cbor::kBytes, CborType::kBytes, length);
  if (data == nullptr) [[unlikely]]
    return false;
  out = {data, length};
  next_ = data + length;
  return true;
}

inline bool CborReader::text(std::string_view& out) noexcept {
  size_t length;
  const uint8_t* const data = string(cbor::kText, CborType::kText, length);
  if (data == nullptr) [[unlikely]]
    return false;
  const char* const characters = reinterpret_cast<const char*>(data);
  if (utf8_valid_prefix(characters, length) != length) [[unlikely]] {
    return refuse_here("text is not UTF-8");
  }
  out = {characters, length};
  next_ = data + length;
  return true;
}

inline bool CborReader::array(uint64_t& count) noexcept {
  uint64_t value;
  const uint8_t* const after = read_head(cbor::kArray, value);
  if (after == nullptr) [[unlikely]]
    return refuse_head(CborType::kArray);
  if (value > bytes_after(after)) [[unlikely]]
    return refuse_here("more items than bytes left");
  count = value;
  next_ = after;
  return true;
}

inline bool CborReader::map(uint64_t& count) noexcept {
  uint64_t value;
  const uint8_t* const after = read_head(cbor::kMap, value);
  if (after == nullptr) [[unlikely]]
    return refuse_head(CborType::kMap);
  if (value > bytes_after(after) / 2) [[unlikely]]
    return refuse_here("more items than bytes left");
  count = value;
  next_ = after;
  return true;
}

inline bool CborReader::tag(uint64_t& number) noexcept {
  uint64_t value;
  const uint8_t* const after = read_head(cbor::kTag, value);
  if (after == nullptr) [[unlikely]]
    return refuse_head(CborType::kTag);
  number = value;
  next_ = after;
  return true;
}

inline bool CborReader::boolean(bool& out) noexcept {
  if (peek_type() != CborType::kBoolean) [[unlikely]]
    return refuse_head(CborType::kBoolean);
  out = *next_++ == cbor::kTrue;
  return true;
}

inline bool CborReader::null() noexcept {
  if (!peek_null()) [[unlikely]]
    return refuse_head(CborType::kNull);
  ++next_;
  return true;
}

inline CborType CborReader::peek_type() const noexcept {
  if (next_ == end_) return CborType::kNone;
  const unsigned major = *next_ >> cbor::kMajorShift;
  // The first seven types are numbered like the major types.
  if (major < cbor::kSimple) return static_cast<CborType>(major);
  if (*next_ == cbor::kNull) return CborType::kNull;
  if (*next_ == cbor::kFalse || *next_ == cbor::kTrue) return CborType::kBoolean;
  return CborType::kNone;
}

// Finds the content of a string without moving past it, as text has another check to pass. Null if
// there is none; the reader has then failed.
inline const uint8_t* CborReader::string(unsigned major, CborType expected, size_t& length) noexcept {
  uint64_t value;
  const uint8_t* const after = read_head(major, value);
  if (after == nullptr) [[unlikely]] {
    refuse_head(expected);
    return nullptr;
  }
  if (value > bytes_after(after)) [[unlikely]] {
    refuse_here("truncated");
    return nullptr;
  }
  length = static_cast<size_t>(value);
  return after;
}

// Null unless the next item has a sound head of this major type; otherwise the byte after the head.
inline const uint8_t* CborReader::read_head(unsigned major, uint64_t& value) const noexcept {
  const uint8_t* const at = next_;
  if (at == end_) [[unlikely]]
    return nullptr;
  // Another major type leaves one of the upper bits set, which no case below accepts.
  const unsigned info = *at ^ (major << cbor::kMajorShift);
  if (info < cbor::kInfoOneByte) {
    value = info;
    return at + 1;
  }
  switch (info) {
    case cbor::kInfoOneByte: return cbor::get_argument<uint8_t>(at, end_, cbor::kInfoOneByte - 1, value);
    case cbor::kInfoTwoBytes: return cbor::get_argument<uint16_t>(at, end_, UINT8_MAX, value);
    case cbor::kInfoFourBytes: return cbor::get_argument<uint32_t>(at, end_, UINT16_MAX, value);
    case cbor::kInfoEightBytes: return cbor::get_argument<uint64_t>(at, end_, UINT32_MAX, value);
    default: return nullptr;
  }
}

}  // namespace blazen
