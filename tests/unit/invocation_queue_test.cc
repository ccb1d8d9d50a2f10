// The orders in which invocations wait, beside a model, whatever the order in which they come and go.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "run/permits.hpp"

namespace blazen {
namespace {

using Ids = std::vector<uint64_t>;

template <class Queue>
Ids ids_in(const Queue& queue) {
  Ids ids;
  queue.walk([&](const Invocation* item) {
    ids.push_back(item->id);
    return true;
  });
  return ids;
}

std::vector<Invocation> make_many(size_t count) {
  std::vector<Invocation> items(count);
  for (size_t i = 0; i < count; ++i) items[i].id = i + 1;
  return items;
}

TEST(InvocationQueue, IsOrderedHoweverTheyComeAndGo) {
  std::mt19937 random(7);
  for (size_t round = 0; round < 200; ++round) {
    std::vector<Invocation> items = make_many(1 + random() % 200);
    InvocationQueue<ById> queue;
    std::set<uint64_t> model;
    for (size_t i = 0; i < 1000; ++i) {
      Invocation& item = items[random() % items.size()];
      if (model.insert(item.id).second) {
        queue.insert(&item);
      } else {
        queue.remove(&item);
        model.erase(item.id);
        EXPECT_EQ(item.level, 0);
      }
      ASSERT_EQ(queue.size(), model.size());
      ASSERT_EQ(queue.front() == nullptr ? 0 : queue.front()->id, model.empty() ? 0 : *model.begin());
    }
    ASSERT_EQ(ids_in(queue), Ids(model.begin(), model.end()));
    while (!model.empty()) {
      ASSERT_EQ(queue.pop_front()->id, *model.begin());
      model.erase(model.begin());
    }
    EXPECT_EQ(queue.front(), nullptr);
  }
}

// A hundred thousand in the order that is worst for a list, and for a tree that is not balanced.
TEST(InvocationQueue, StaysLowWhereTheyComeInAnOrder) {
  for (const bool ascending : {true, false}) {
    std::vector<Invocation> items = make_many(100'000);
    InvocationTree<ById> tree;
    for (size_t i = 0; i < items.size(); ++i) tree.insert(&items[ascending ? i : items.size() - 1 - i]);
    uint8_t highest = 0;
    for (const Invocation& item : items) highest = std::max(highest, item.level);
    EXPECT_LE(highest, 17);  // the logarithm
    EXPECT_EQ(tree.first()->id, 1U);
    EXPECT_EQ(tree.last()->id, items.size());
    for (size_t i = 0; i < items.size(); i += 2) tree.remove(&items[i]);
    EXPECT_EQ(ids_in(tree).size(), items.size() / 2);
  }
}

TEST(InvocationQueue, AWalkEndsWhereItIsTold) {
  std::vector<Invocation> items = make_many(20);
  InvocationQueue<ById> queue;
  for (size_t i = 0; i < 20; i += 2) queue.insert(&items[i]);
  for (size_t i = 1; i < 20; i += 2) queue.insert(&items[i]);
  for (size_t most = 1; most <= 21; ++most) {
    Ids ids;
    queue.walk([&](const Invocation* item) {
      ids.push_back(item->id);
      return ids.size() < most;
    });
    EXPECT_EQ(ids.size(), std::min<size_t>(most, 20));
    EXPECT_EQ(ids.back(), ids.size());
  }
}

// What is left at the end is handed over once each, from whatever came together.
TEST(InvocationQueue, AllAreDrained) {
  std::vector<Invocation> items = make_many(3000);
  std::mt19937 random(3);
  InvocationQueue<ById> queues[3];
  InvocationTree<ByStart> other;
  for (Invocation& item : items) item.start = random();
  for (size_t i = items.size(); i-- > 0;) {
    if (i % 4 == 3) {
      other.insert(&items[i]);
    } else {
      queues[i % 4].insert(&items[i]);
    }
  }
  InvocationList row;
  InvocationTree<ById> late;
  for (InvocationQueue<ById>& queue : queues) queue.leave_to(row, late);
  late.join(other);
  std::multiset<uint64_t> seen;
  row.walk([&](const Invocation* item) {
    seen.insert(item->id);
    return true;
  });
  late.drain([&](const Invocation* item) {
    seen.insert(item->id);
    EXPECT_EQ(item->level, 0);
  });
  ASSERT_EQ(seen.size(), items.size());
  for (const Invocation& item : items) EXPECT_EQ(seen.count(item.id), 1U);
  EXPECT_TRUE(late.empty() && other.empty() && queues[0].empty());
}

// The lowest id of all steps comes first, however many steps have some.
TEST(InvocationQueue, TheLowestOfAllStepsIsPermittedFirst) {
  std::mt19937 random(11);
  for (size_t round = 0; round < 100; ++round) {
    StepStates steps;
    steps.make(1 + random() % 40);
    for (StepState& step : steps) step.queues = std::make_unique<PermitQueues>();
    Permitted permitted;
    permitted.make_room(steps.size(), 0);
    std::vector<Invocation> items = make_many(200);
    std::set<uint64_t> model;
    for (Invocation& item : items) item.step = static_cast<StepIndex>(random() % steps.size());
    for (size_t i = 0; i < 2000; ++i) {
      Invocation& item = items[random() % items.size()];
      if (model.insert(item.id).second) {
        permitted.add(steps, &item);
      } else {
        permitted.remove(steps, &item);
        model.erase(item.id);
      }
      ASSERT_EQ(permitted.size(), model.size());
      const Invocation* front = permitted.front(steps);
      ASSERT_EQ(front == nullptr ? 0 : front->id, model.empty() ? 0 : *model.begin());
    }
  }
}

TEST(InvocationQueue, TheFirstOfAStepIsFound) {
  std::mt19937 random(5);
  std::vector<Invocation> items(500);
  InvocationTree<ByStepAndStart> tree;
  std::set<std::pair<StepIndex, uint64_t>> model;
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].step = static_cast<StepIndex>(random() % 20 * 2);
    items[i].start = i;
    tree.insert(&items[i]);
    model.emplace(items[i].step, i);
  }
  while (!model.empty()) {
    const auto step = static_cast<StepIndex>(random() % 42);
    const auto expected = model.lower_bound({step, 0});
    Invocation* found = first_of_step(tree, step);
    if (expected == model.end() || expected->first != step) {
      ASSERT_EQ(found, nullptr);
      continue;
    }
    ASSERT_EQ(found->start, expected->second);
    tree.remove(found);
    model.erase(expected);
  }
}

}  // namespace
}  // namespace blazen
