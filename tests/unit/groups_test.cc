// What joins collect, and the row in which what was given stands: at sizes that the workflows of other tests do not reach.
#include "run/groups.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>

#include "run/id_row.hpp"

namespace blazen {
namespace {

Ref<Event> event_of(const std::string& correlation) {
  return Event::make("E", Value::null(), {}, correlation);
}

// An event has one owner while it is in a group, and none after it, however often the row was moved.
TEST(Groups, ArrivalsStandInTheirOrderAndAreLetGoOf) {
  const Ref<Event> kept = event_of("kept");
  for (const size_t count : {0, 1, 2, 3, 5, 5000}) {
    Ref<Group> group = Ref<Group>::adopt(new Group);
    for (size_t i = 0; i < count; ++i) {
      group->arrived.reserve(i + 1);
      EXPECT_GE(group->arrived.room(), 1U);
      group->arrived.push_back({i == count / 2 ? kept : event_of(std::to_string(i)), i});
    }
    ASSERT_EQ(group->arrived.size(), count);
    EXPECT_EQ(group->arrived.empty(), count == 0);
    uint64_t next = 0;
    for (const Arrival& arrival : group->arrived) {
      EXPECT_EQ(arrival.origin, next);
      EXPECT_EQ(arrival.event->correlation(), next == count / 2 ? "kept" : std::to_string(next));
      ++next;
    }
    EXPECT_EQ(kept->refs.load(), count == 0 ? 1U : 2U);
    group.reset();
    EXPECT_EQ(kept->refs.load(), 1U);
  }
}

// Each correlation is found, also when its group was given, and no other is.
TEST(Groups, ACorrelationIsFoundWhateverBecameOfItsGroup) {
  KeyedGroups groups;
  EXPECT_EQ(groups.find(""), nullptr);
  EXPECT_FALSE(groups.has_given());
  for (int i = 0; i < 1000; ++i) {
    const std::string text = i == 0 ? "" : std::string(static_cast<size_t>(i % 40), 'x') + std::to_string(i);
    EXPECT_EQ(groups.find(text), nullptr);
    Group* made = groups.add(text, Ref<Group>::adopt(new Group));
    if (i % 3 == 0) {
      EXPECT_EQ(groups.take(*made).get(), made);
      EXPECT_TRUE(groups.has_given());
    }
  }
  EXPECT_EQ(groups.add("given", nullptr), nullptr);
  EXPECT_EQ(groups.size(), 1001U);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = i == 0 ? "" : std::string(static_cast<size_t>(i % 40), 'x') + std::to_string(i);
    const KeyedGroups::Entry* found = groups.find(text);
    ASSERT_NE(found, nullptr) << i;
    EXPECT_EQ(groups.correlation(*found), text);
    EXPECT_EQ(!found->group, i % 3 == 0);
  }
  EXPECT_FALSE(groups.find("given")->group);
  EXPECT_EQ(groups.find("x"), nullptr);
}

// Against a map, whichever of them goes: the oldest, the newest, one in between, one that is not there.
TEST(Groups, ARowByIdsIsAsAMapThatGrowsAtItsEnd) {
  std::mt19937_64 random(7);
  for (const unsigned bias : {0U, 1U, 2U, 3U}) {
    IdRow<std::unique_ptr<uint64_t>> row;
    std::map<uint64_t, uint64_t*> map;
    uint64_t last = 0;
    for (int i = 0; i < 4000; ++i) {
      if (random() % 100 < (i / 1000 % 2 == 0 ? 70 : 30)) {
        last += 1 + random() % 3;
        auto made = std::make_unique<uint64_t>(last);
        map[last] = made.get();
        row.reserve(1);
        row.add(last, std::move(made));
      } else {
        const uint64_t any = random() % (last + 2);
        const auto at = map.empty() ? map.end() : map.lower_bound(any);
        const uint64_t id = map.empty() || bias == 0 ? any
                            : bias == 1              ? map.begin()->first
                            : bias == 2              ? map.rbegin()->first
                            : at == map.end()        ? any
                                                     : at->first;
        const std::unique_ptr<uint64_t> taken = row.take(id);
        ASSERT_EQ(taken != nullptr, map.erase(id) == 1);
        ASSERT_TRUE(taken == nullptr || *taken == id);
        ASSERT_EQ(row.find(id), nullptr);
      }
      ASSERT_EQ(row.size(), map.size());
      const uint64_t any = random() % (last + 2);
      const auto known = map.find(any);
      ASSERT_EQ(row.find(any), known == map.end() ? nullptr : known->second);
      if (i % 50 != 0) continue;
      auto next = map.begin();
      for (const auto& [id, owner] : row) {
        ASSERT_EQ(id, next->first);
        ASSERT_EQ(owner.get(), next->second);
        ++next;
      }
      ASSERT_EQ(next, map.end());
    }
  }
}

}  // namespace
}  // namespace blazen
