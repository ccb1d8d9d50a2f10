// Proves that a KeyTable is a map: against std::map, in its order, through clones, and when memory runs out.
//
// The operators new of all unit tests are here (tests/allocations.hpp).
#include "run/key_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "allocations.hpp"

// ---- the operators new: malloc, counted ----

namespace {

std::atomic<size_t> used{0};
std::atomic<size_t> most{0};
thread_local uint64_t allocations_left = UINT64_MAX;
thread_local bool has_failed = false;

// The size stands in front of the block, so that deleting it can count too.
constexpr size_t kFront = alignof(std::max_align_t);

// What malloc takes for a block of so many bytes, without our front: its own head of 8, in units of 16.
size_t taken(size_t size) noexcept { return std::max<size_t>(32, (size + 8 + 15) / 16 * 16); }

void* allocate(size_t size) {
  if (allocations_left == 0) {
    has_failed = true;
    throw std::bad_alloc();
  }
  if (allocations_left != UINT64_MAX) --allocations_left;
  auto* block = static_cast<unsigned char*>(std::malloc(size + kFront));
  if (block == nullptr) throw std::bad_alloc();
  *reinterpret_cast<size_t*>(block) = size;
  const size_t now = used += taken(size);
  size_t before = most;
  while (before < now && !most.compare_exchange_weak(before, now)) {
  }
  return block + kFront;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  unsigned char* block = static_cast<unsigned char*>(memory) - kFront;
  used -= taken(*reinterpret_cast<size_t*>(block));
  std::free(block);
}

void* allocate_or_null(size_t size) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

// All forms: a sanitizer has some of its own, whose blocks have no front.
void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate_or_null(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate_or_null(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }

namespace blazen::allocations {

size_t in_use() noexcept { return used; }
size_t peak() noexcept { return most; }
void reset_peak() noexcept { most = used.load(); }
void fail_after(uint64_t count) noexcept {
  has_failed = false;
  allocations_left = count;
}
bool stop_failing() noexcept {
  allocations_left = UINT64_MAX;
  return has_failed;
}

}  // namespace blazen::allocations

// ---- the tests ----

namespace blazen {
namespace {

using Model = std::map<std::string, std::pair<std::string, uint64_t>>;

Ref<KeyTable> make_table() { return Ref<KeyTable>::adopt(new KeyTable); }
Ref<Value> value_of(std::string_view text) { return Value::copy(Tag::bytes, text); }

// Everything that a table says about itself agrees with the model.
void expect_same(const KeyTable& table, const Model& model) {
  ASSERT_EQ(table.size(), model.size());
  uint64_t bytes = 0;
  for (const auto& [key, content] : model) {
    const KeyTable::Entry* entry = table.find(key);
    ASSERT_NE(entry, nullptr) << key;
    EXPECT_EQ(entry->key(), key);
    EXPECT_EQ(entry->value->data(), content.first);
    EXPECT_EQ(entry->version, content.second);
    bytes += key.size() + content.first.size();
  }
  EXPECT_EQ(table.bytes(), bytes);
  for (const bool made : {true, false}) {
    if (!made && table.order() == nullptr) continue;
    const KeyTable::Order order = made ? table.make_order() : *table.order();
    ASSERT_EQ(order.size(), model.size());
    auto expected = model.begin();
    for (const uint32_t position : order) EXPECT_EQ(table.entries()[position].key(), expected++->first);
  }
}

TEST(KeyTable, AnEmptyTableHasNothingAndKnowsItsOrder) {
  const Ref<KeyTable> table = make_table();
  EXPECT_EQ(table->find(""), nullptr);
  EXPECT_EQ(table->find("a"), nullptr);
  ASSERT_NE(table->order(), nullptr);
  expect_same(*table, {});
}

// Keys that arrive in order keep the order known; one that does not makes it unknown, until it is given back.
TEST(KeyTable, OrderIsKnownWhileKeysArriveInOrder) {
  const Ref<KeyTable> table = make_table();
  for (const char* key : {"a", "b", "b\x01", "c", "\xc3\xa9"}) table->insert(key, value_of("1"), 1);
  ASSERT_NE(table->order(), nullptr);
  table->replace(*table->find("b"), value_of("2"), 2);
  ASSERT_NE(table->order(), nullptr);
  table->insert("ab", value_of("3"), 3);
  EXPECT_EQ(table->order(), nullptr);
  table->keep_order(table->make_order());
  ASSERT_NE(table->order(), nullptr);
  table->insert("\xc3\xaa", value_of("4"), 4);
  ASSERT_NE(table->order(), nullptr);
  EXPECT_EQ(table->order()->size(), 7U);
  table->remove(*table->find("ab"));
  EXPECT_EQ(table->order(), nullptr);
}

TEST(KeyTable, BytesAboveSevenBitsComeAfterThoseBelow) {
  const Ref<KeyTable> table = make_table();
  table->insert("\xc3\xa9", value_of(""), 1);
  table->insert("z", value_of(""), 2);
  const KeyTable::Order order = table->make_order();
  EXPECT_EQ(table->entries()[order[0]].key(), "z");
}

// Many keys are sorted in another way than few: both with any bytes, ends within and beyond the bytes looked
// at first.
TEST(KeyTable, FewAndManyKeysOfAnyBytesComeInOrder) {
  constexpr std::string_view kBytes{"\x00\x01\x7f\x80\xff", 5};
  for (const size_t count : {size_t{2}, size_t{255}, size_t{256}, size_t{5000}}) {
    for (const size_t longest : {size_t{8}, size_t{9}, size_t{20}}) {
      std::mt19937 random(static_cast<unsigned>(count + longest));
      const Ref<KeyTable> table = make_table();
      Model model;
      while (table->size() < count) {
        std::string key = "common";
        for (size_t left = random() % (longest + 1); left > 0; --left)
          key += kBytes[random() % kBytes.size()];
        if (table->find(key) != nullptr) continue;
        table->insert(key, value_of("v"), 1);
        model[key] = {"v", 1};
      }
      expect_same(*table, model);
    }
  }
}

// Removal moves the last entry and closes the gap of the index: every neighbour is still found.
TEST(KeyTable, RandomOperationsAgreeWithAMap) {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    std::mt19937 random(seed);
    const Ref<KeyTable> table = make_table();
    Model model;
    const unsigned keys = seed * 40;
    for (uint64_t version = 1; version < 6000; ++version) {
      const std::string key = "key-" + std::to_string(random() % keys);
      const std::string content(random() % 20, 'v');
      KeyTable::Entry* entry = table->find(key);
      ASSERT_EQ(entry != nullptr, model.contains(key));
      if (random() % 3 == 0) {
        if (entry == nullptr) continue;
        EXPECT_EQ(table->remove(*entry)->data(), model[key].first);
        model.erase(key);
      } else if (entry != nullptr) {
        EXPECT_EQ(table->replace(*entry, value_of(content), version)->data(), model[key].first);
        model[key] = {content, version};
      } else {
        table->insert(key, value_of(content), version);
        model[key] = {content, version};
      }
      if (version % 97 == 0) expect_same(*table, model);
    }
    expect_same(*table, model);
    while (table->size() > 0) table->remove(const_cast<KeyTable::Entry&>(table->entries()[0]));
    expect_same(*table, {});
  }
}

TEST(KeyTable, ReserveKeepsWhatIsThere) {
  const Ref<KeyTable> table = make_table();
  Model model;
  for (int i = 0; i < 40; ++i) {
    const std::string key = std::to_string(i);
    table->insert(key, value_of(key), 1);
    model[key] = {key, 1};
    if (i == 10) table->reserve(1000);
    if (i == 20) table->reserve(1);
  }
  expect_same(*table, model);
}

TEST(KeyTable, ACloneIsItsOwnAndSharesTheValues) {
  const Ref<KeyTable> table = make_table();
  table->insert("b", value_of("1"), 1);
  table->insert("a", value_of("2"), 2);
  const Ref<KeyTable> copy = table->clone();
  EXPECT_EQ(copy->find("a")->value.get(), table->find("a")->value.get());
  copy->remove(*copy->find("a"));
  copy->insert("c", value_of("3"), 3);
  expect_same(*table, {{"a", {"2", 2}}, {"b", {"1", 1}}});
  expect_same(*copy, {{"b", {"1", 1}}, {"c", {"3", 3}}});
}

TEST(KeyTable, IsSharedWhileASnapshotHoldsIt) {
  const Ref<KeyTable> table = make_table();
  EXPECT_FALSE(table->shared());
  {
    const Ref<KeyTable> held = table;
    EXPECT_TRUE(table->shared());
  }
  EXPECT_FALSE(table->shared());
}

// Whichever allocation fails, the table is what it was; then the same insert succeeds.
TEST(KeyTable, AFailedInsertChangesNothing) {
  for (const bool in_order : {true, false}) {
    for (int size = 0; size < 40; ++size) {
      const Ref<KeyTable> table = make_table();
      Model model;
      for (int i = 0; i < size; ++i) {
        const std::string key = std::string(in_order ? "k" : "z") + static_cast<char>('0' + i);
        table->insert(key, value_of("v"), 1);
        model[key] = {"v", 1};
      }
      const std::string added = "m, a key too long for the string's own buffer";
      const Ref<Value> value = value_of("new");
      allocations::fail_each([&] { table->insert(added, value, 2); },
                             [&](bool thrown) {
                               if (!thrown) model[added] = {"new", 2};
                               expect_same(*table, model);
                             });
      EXPECT_EQ(table->size(), static_cast<size_t>(size) + 1);
    }
  }
}

TEST(KeyTable, AFailedCloneOrReserveChangesNothing) {
  const Ref<KeyTable> table = make_table();
  Model model;
  for (int i = 0; i < 20; ++i) {
    const std::string key = "a key too long for the string's own buffer " + std::to_string(i);
    table->insert(key, value_of("v"), 1);
    model[key] = {"v", 1};
  }
  const size_t before = allocations::in_use();
  allocations::fail_each([&] { table->clone(); },
                         [&](bool) {
                           EXPECT_EQ(allocations::in_use(), before);
                           expect_same(*table, model);
                         });
  allocations::fail_each([&] { table->reserve(500); }, [&](bool) { expect_same(*table, model); });
}

}  // namespace
}  // namespace blazen
