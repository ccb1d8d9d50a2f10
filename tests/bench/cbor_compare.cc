// Measures the decision to have a CBOR codec of our own: the same 10,000 records through
// src/codec/cbor and through libcbor's low-level encoders and stream decoder, with nothing built in
// between.
//
// A record is array(4) of a 16-character text key, a small tag number, an 8-byte byte string and a
// small unsigned integer: what a snapshot has for each entry of a state map.
//
// What makes the comparison fair:
//   - libcbor gets its best case: a buffer that is large enough, so it never grows or checks room
//   for
//     more than its own head; ours checks room for each item ("reused") and also grows ("fresh").
//   - Both decoders look at each item's type and value and fold it into the same checksum. Ours
//   also
//     refuses long heads and text that is not UTF-8; libcbor takes both. "and_check_text" adds the
//     check of text to libcbor; nothing adds the check of heads.
//   - Before measuring, both encoders must agree on every byte and all decoders on the checksum.
//
//   cbor_compare --benchmark_repetitions=15 --benchmark_enable_random_interleaving=true
//                --benchmark_report_aggregates_only=true
//
// Quote medians, as ratios between lines of one run.

#include <benchmark/benchmark.h>
#include <cbor.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/utf8.hpp"
#include "codec/cbor.hpp"

namespace {

using blazen::CborReader;
using blazen::CborWriter;

constexpr size_t kRecordCount = 10'000;
constexpr size_t kKeySize = 16;
constexpr size_t kValueSize = 8;
constexpr size_t kRecordSizeMax = 64;
constexpr size_t kFieldCount = 4;

// The sizes are fields so that no compiler knows them: a real state's are not known either.
struct Record {
  size_t key_size;
  size_t value_size;
  char key[kKeySize];
  uint64_t tag;
  uint8_t value[kValueSize];
  uint64_t count;
};

std::vector<Record> make_records() {
  std::vector<Record> records(kRecordCount);
  for (size_t i = 0; i < kRecordCount; ++i) {
    Record& record = records[i];
    char key[kKeySize + 1];
    std::snprintf(key, sizeof key, "state.key.%06zu", i);
    record.key_size = kKeySize;
    record.value_size = kValueSize;
    std::memcpy(record.key, key, kKeySize);
    record.tag = i % 4;
    const uint64_t value = i * 0x9e3779b97f4a7c15u;
    std::memcpy(record.value, &value, kValueSize);
    record.count = i % 1000;
  }
  return records;
}

const std::vector<Record>& records() {
  static const std::vector<Record> made = make_records();
  return made;
}

// ---- Encoding ----

void encode_ours(CborWriter& writer) {
  writer.array(kRecordCount);
  for (const Record& record : records()) {
    writer.array(kFieldCount);
    writer.text({record.key, record.key_size});
    writer.unsigned_int(record.tag);
    writer.bytes(record.value, record.value_size);
    writer.unsigned_int(record.count);
  }
}

size_t encode_libcbor(uint8_t* to, size_t capacity) {
  uint8_t* at = to;
  uint8_t* const end = to + capacity;
  const auto room = [&] { return static_cast<size_t>(end - at); };
  at += cbor_encode_array_start(kRecordCount, at, room());
  for (const Record& record : records()) {
    at += cbor_encode_array_start(kFieldCount, at, room());
    at += cbor_encode_string_start(record.key_size, at, room());
    std::memcpy(at, record.key, record.key_size);
    at += record.key_size;
    at += cbor_encode_uint(record.tag, at, room());
    at += cbor_encode_bytestring_start(record.value_size, at, room());
    std::memcpy(at, record.value, record.value_size);
    at += record.value_size;
    at += cbor_encode_uint(record.count, at, room());
  }
  return static_cast<size_t>(at - to);
}

// ---- Decoding: the checksum of all records, 0 if the document is not what it should be ----

uint64_t fold(uint64_t sum, const void* key, uint64_t tag, const void* value, uint64_t count) {
  uint64_t words[3];
  std::memcpy(words, key, kKeySize);
  std::memcpy(words + 2, value, kValueSize);
  return (sum ^ words[0] ^ words[1]) + (words[2] ^ tag ^ (count << 8)) + 1;
}

uint64_t decode_ours(std::span<const uint8_t> document) {
  CborReader reader(document);
  uint64_t record_count;
  if (!reader.array(record_count)) return 0;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < record_count; ++i) {
    uint64_t fields, tag, count;
    std::string_view key;
    std::span<const uint8_t> value;
    if (!reader.array(fields) || !reader.text(key) || !reader.unsigned_int(tag) || !reader.bytes(value) ||
        !reader.unsigned_int(count)) {
      return 0;
    }
    if (fields != kFieldCount || key.size() != kKeySize || value.size() != kValueSize) return 0;
    sum = fold(sum, key.data(), tag, value.data(), count);
  }
  return reader.at_end() ? sum : 0;
}

enum class Found { kNothing, kUnsigned, kBytes, kText, kArray };

// The item that the last call of libcbor's decoder reported.
struct Reported {
  Found found;
  uint64_t number;
  cbor_data data;
};

void report(void* context, Found found, uint64_t number, cbor_data data = nullptr) {
  *static_cast<Reported*>(context) = {found, number, data};
}

cbor_callbacks reporting_callbacks() {
  cbor_callbacks on = cbor_empty_callbacks;
  on.uint8 = [](void* to, uint8_t value) { report(to, Found::kUnsigned, value); };
  on.uint16 = [](void* to, uint16_t value) { report(to, Found::kUnsigned, value); };
  on.uint32 = [](void* to, uint32_t value) { report(to, Found::kUnsigned, value); };
  on.uint64 = [](void* to, uint64_t value) { report(to, Found::kUnsigned, value); };
  on.array_start = [](void* to, size_t count) { report(to, Found::kArray, count); };
  on.string = [](void* to, cbor_data data, size_t length) { report(to, Found::kText, length, data); };
  on.byte_string = [](void* to, cbor_data data, size_t length) { report(to, Found::kBytes, length, data); };
  return on;
}

// Asks libcbor's push decoder for one item at a time.
class LibcborReader {
 public:
  explicit LibcborReader(std::span<const uint8_t> document)
      : next_(document.data()), end_(next_ + document.size()) {}

  bool next(Found wanted, Reported& item) {
    item.found = Found::kNothing;
    const cbor_decoder_result result =
        cbor_stream_decode(next_, static_cast<size_t>(end_ - next_), &kCallbacks, &item);
    next_ += result.read;
    return result.status == CBOR_DECODER_FINISHED && item.found == wanted;
  }
  bool at_end() const { return next_ == end_; }

 private:
  static const cbor_callbacks kCallbacks;

  const uint8_t* next_;
  const uint8_t* end_;
};
const cbor_callbacks LibcborReader::kCallbacks = reporting_callbacks();

template <bool kCheckText>
uint64_t decode_libcbor(std::span<const uint8_t> document) {
  LibcborReader reader(document);
  Reported records_item;
  if (!reader.next(Found::kArray, records_item)) return 0;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < records_item.number; ++i) {
    Reported fields, key, tag, value, count;
    if (!reader.next(Found::kArray, fields) || !reader.next(Found::kText, key) ||
        !reader.next(Found::kUnsigned, tag) || !reader.next(Found::kBytes, value) ||
        !reader.next(Found::kUnsigned, count)) {
      return 0;
    }
    if (fields.number != kFieldCount || key.number != kKeySize || value.number != kValueSize) {
      return 0;
    }
    if constexpr (kCheckText) {
      const auto* text = reinterpret_cast<const char*>(key.data);
      if (blazen::utf8_valid_prefix(text, kKeySize) != kKeySize) return 0;
    }
    sum = fold(sum, key.data, tag.number, value.data, count.number);
  }
  return reader.at_end() ? sum : 0;
}

// ---- The measurements ----

const blazen::CborBuffer& document() {
  static const blazen::CborBuffer written = [] {
    CborWriter writer;
    encode_ours(writer);
    return writer.take();
  }();
  return written;
}

bool encoders_agree() {
  std::vector<uint8_t> buffer(kRecordCount * kRecordSizeMax);
  const size_t size = encode_libcbor(buffer.data(), buffer.size());
  return size == document().size && std::memcmp(buffer.data(), document().data.get(), size) == 0;
}

bool decoders_agree() {
  const uint64_t sum = decode_ours(document().bytes());
  return sum != 0 && sum == decode_libcbor<false>(document().bytes()) &&
         sum == decode_libcbor<true>(document().bytes());
}

void count_records(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecordCount));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(document().size));
}

void encode_ours_reused(benchmark::State& state) {
  CborWriter writer;
  for (auto _ : state) {
    writer.clear();
    encode_ours(writer);
    benchmark::DoNotOptimize(writer.data());
    benchmark::ClobberMemory();
  }
  count_records(state);
}
BENCHMARK(encode_ours_reused);

void encode_ours_fresh(benchmark::State& state) {
  for (auto _ : state) {
    CborWriter writer;
    encode_ours(writer);
    benchmark::DoNotOptimize(writer.data());
    benchmark::ClobberMemory();
  }
  count_records(state);
}
BENCHMARK(encode_ours_fresh);

void encode_libcbor_reused(benchmark::State& state) {
  if (!encoders_agree()) return state.SkipWithError("the encoders disagree");
  std::vector<uint8_t> buffer(kRecordCount * kRecordSizeMax);
  for (auto _ : state) {
    benchmark::DoNotOptimize(encode_libcbor(buffer.data(), buffer.size()));
    benchmark::ClobberMemory();
  }
  count_records(state);
}
BENCHMARK(encode_libcbor_reused);

template <uint64_t (*decode)(std::span<const uint8_t>)>
void decode_with(benchmark::State& state) {
  if (!decoders_agree()) return state.SkipWithError("the decoders disagree");
  for (auto _ : state) benchmark::DoNotOptimize(decode(document().bytes()));
  count_records(state);
}
BENCHMARK(decode_with<decode_ours>)->Name("decode_ours");
BENCHMARK(decode_with<decode_libcbor<false>>)->Name("decode_libcbor");
BENCHMARK(decode_with<decode_libcbor<true>>)->Name("decode_libcbor_and_check_text");

}  // namespace

BENCHMARK_MAIN();
