// The cold half of the CBOR codec: growing the writer, naming what the reader refuses, skipping.
//
// Invariants:
//   - head_fault and CborReader::read_head agree: a head that read_head refuses either has a fault
//   or
//     is of another type than was expected.
//   - Growth is geometric, so that a document of n bytes moves O(n) bytes in all.
//   - The buffer of a writer to a sink grows to kCborKeptBytesMax, and once it is there, no write allocates.

#include "codec/cbor.hpp"

#include <new>
#include <utility>

namespace blazen {

namespace {

constexpr size_t kCapacityMin = 256;
// No object is larger; from here on a length is a mistake of the caller's.
constexpr size_t kCapacityMax = PTRDIFF_MAX;

constexpr unsigned kInfoReserved = 28;
constexpr unsigned kInfoIndefinite = 31;

constexpr const char* kTruncated = "truncated";
constexpr const char* kReserved = "reserved additional information";
constexpr const char* kIndefinite = "indefinite length is not allowed";
constexpr const char* kFloat = "floating point is not allowed";
constexpr const char* kSimpleValue = "simple value is not allowed";
constexpr const char* kNotShortest = "not the shortest length";

}  // namespace

// ---- CborWriter ----

void CborWriter::encoded(std::span<const uint8_t> items) {
  cbor::copy_bytes(room_for(items.size()), items.data(), items.size());
  size_ += items.size();
}

void CborWriter::reserve(size_t bytes) {
  if (sink_ != nullptr && bytes > kCborKeptBytesMax) bytes = kCborKeptBytesMax;
  if (!fits(bytes, capacity_)) grow(bytes);
}

void CborWriter::flush() {
  if (sink_ != nullptr) to_sink(buffer_.get(), std::exchange(size_, 0));
}

CborBuffer CborWriter::take() noexcept {
  CborBuffer taken{std::move(buffer_), size_};
  size_ = 0;
  capacity_ = 0;
  return taken;
}

// Leaves room for `length` bytes and one head more, which room_for asks for whatever the item is.
void CborWriter::grow(size_t length) {
  if (sink_ != nullptr) {
    flush();
    if (fits(length, capacity_)) return;
  }
  if (!fits(length, kCapacityMax)) throw std::bad_alloc();
  const size_t needed = size_ + length + cbor::kHeadSizeMax;
  size_t capacity = capacity_ > kCapacityMax / 2 ? kCapacityMax : capacity_ * 2;
  if (capacity < kCapacityMin) capacity = kCapacityMin;
  if (capacity < needed) capacity = needed;
  void* const memory = std::realloc(buffer_.get(), capacity);
  if (memory == nullptr) throw std::bad_alloc();
  static_cast<void>(buffer_.release());  // realloc has freed or moved it
  buffer_.reset(static_cast<uint8_t*>(memory));
  capacity_ = capacity;
}

// A string for which the buffer has no room. False: now it has.
bool CborWriter::hand_out(unsigned major, const void* data, size_t length) {
  if (sink_ == nullptr || length <= kCborKeptBytesMax) {
    grow(length);
    return false;
  }
  head(major, length);
  flush();
  to_sink(static_cast<const uint8_t*>(data), length);
  return true;
}

void CborWriter::to_sink(const uint8_t* data, size_t length) {
  while (length > 0 && !stopped_) {
    const size_t piece = length < kCborPieceBytesMax ? length : kCborPieceBytesMax;
    stopped_ = !sink_->take({data, piece});
    data += piece;
    length -= piece;
  }
}

// ---- CborReader ----

CborReader::CborReader(const void* data, size_t length) noexcept
    : begin_(static_cast<const uint8_t*>(data)), next_(begin_), end_(begin_ + length) {}

size_t CborReader::offset() const noexcept {
  return failed() ? fault_offset_ : static_cast<size_t>(next_ - begin_);
}

void CborReader::fail(size_t offset, const char* reason) noexcept {
  if (failed()) return;
  fault_offset_ = offset;
  reason_ = reason;
  next_ = end_;
}

namespace {

// Floats and the values of major type 7 that the subset leaves out; null if it is one it has.
const char* simple_fault(unsigned first_byte) noexcept {
  switch (first_byte & cbor::kInfoMask) {
    case cbor::kFalse& cbor::kInfoMask:
    case cbor::kTrue& cbor::kInfoMask:
    case cbor::kNull& cbor::kInfoMask: return nullptr;
    case cbor::kInfoTwoBytes:
    case cbor::kInfoFourBytes:
    case cbor::kInfoEightBytes: return kFloat;
    default: return kSimpleValue;
  }
}

// What is wrong with the head at `at`, whichever type was expected; null if nothing is.
const char* head_fault(const uint8_t* at, const uint8_t* end) noexcept {
  if (at == end) return kTruncated;
  const unsigned major = *at >> cbor::kMajorShift;
  const unsigned info = *at & cbor::kInfoMask;
  if (info == kInfoIndefinite) {
    const bool has_length = major >= cbor::kBytes && major != cbor::kTag;
    return has_length ? kIndefinite : kReserved;
  }
  if (info >= kInfoReserved) return kReserved;
  if (major == cbor::kSimple) return simple_fault(*at);
  if (info < cbor::kInfoOneByte) return nullptr;

  const size_t argument_size = size_t{1} << (info - cbor::kInfoOneByte);
  if (static_cast<size_t>(end - at) <= argument_size) return kTruncated;
  uint64_t value = 0;
  for (size_t i = 1; i <= argument_size; ++i) value = value << 8 | at[i];
  const bool fits_half = value >> (argument_size * 4) == 0;
  const bool shortest = info == cbor::kInfoOneByte ? value >= cbor::kInfoOneByte : !fits_half;
  return shortest ? nullptr : kNotShortest;
}

// One row for each expected type, one column for each found. Spelled by the preprocessor because a
// reason is static text: the reader has nowhere to build one.
#define BLAZEN_EXPECTED(what)                      \
  {"expected " what ", found an unsigned integer", \
   "expected " what ", found a negative integer",  \
   "expected " what ", found a byte string",       \
   "expected " what ", found text",                \
   "expected " what ", found an array",            \
   "expected " what ", found a map",               \
   "expected " what ", found a tag",               \
   "expected " what ", found a boolean",           \
   "expected " what ", found null"}

constexpr size_t kTypeCount = static_cast<size_t>(CborType::kNone);
constexpr const char* kMismatch[kTypeCount][kTypeCount] = {
    BLAZEN_EXPECTED("an unsigned integer"),
    BLAZEN_EXPECTED("an integer"),
    BLAZEN_EXPECTED("a byte string"),
    BLAZEN_EXPECTED("text"),
    BLAZEN_EXPECTED("an array"),
    BLAZEN_EXPECTED("a map"),
    BLAZEN_EXPECTED("a tag"),
    BLAZEN_EXPECTED("a boolean"),
    BLAZEN_EXPECTED("null"),
};

#undef BLAZEN_EXPECTED

}  // namespace

void CborReader::fail_here(const char* reason) noexcept { fail(offset(), reason); }

// A malformed head is named before a mismatch: its type is only what it claims to be.
void CborReader::fail_head(CborType expected) noexcept {
  if (failed()) return;
  const char* const fault = head_fault(next_, end_);
  if (fault != nullptr) return fail_here(fault);
  const CborType found = peek_type();
  assert(found != CborType::kNone && found != expected);
  fail_here(kMismatch[static_cast<size_t>(expected)][static_cast<size_t>(found)]);
}

// A loop over a count of what is still to come: hostile nesting costs no stack.
bool CborReader::skip(std::span<const uint8_t>& out) noexcept {
  const uint8_t* const start = next_;
  for (uint64_t pending = 1; pending > 0; --pending) {
    const size_t item = offset();
    uint64_t inside = 0;
    if (!skip_one(inside)) return false;
    // Each takes a byte at least. This bounds the sum too, so it cannot wrap around.
    if (pending - 1 + inside > bytes_after(next_)) return refuse(item, "more items than bytes left");
    pending += inside;
  }
  out = {start, static_cast<size_t>(next_ - start)};
  return true;
}

// Moves past a head and, for a string, its content; `inside` is how many items follow as parts of
// it.
bool CborReader::skip_one(uint64_t& inside) noexcept {
  uint64_t number;
  std::span<const uint8_t> binary;
  std::string_view characters;
  bool truth;
  switch (peek_type()) {
    case CborType::kUnsigned: return unsigned_int(number);
    case CborType::kNegative: {
      // Not signed_int: an integer that is too large for us is still sound.
      const uint8_t* const after = read_head(cbor::kNegative, number);
      if (after == nullptr) return refuse_head(CborType::kNegative);
      next_ = after;
      return true;
    }
    case CborType::kBytes: return bytes(binary);
    case CborType::kText: return text(characters);
    case CborType::kArray: return array(inside);
    case CborType::kMap:
      if (!map(inside)) return false;
      inside *= 2;
      return true;
    case CborType::kTag: inside = 1; return tag(number);
    case CborType::kBoolean: return boolean(truth);
    case CborType::kNull: return null();
    case CborType::kNone: break;
  }
  return refuse_head(CborType::kNull);  // its head has a fault: no type will be named
}

}  // namespace blazen
