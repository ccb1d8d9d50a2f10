// What all subscribers need of a row, beside a model that looks at each of them.
#include "engine/cursors.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

using namespace blazen;  // NOLINT(google-build-using-namespace)

TEST(Cursors, WhatIsNeededIsTheLeastThatAnybodyNeeds) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    Cursors cursors;
    std::vector<Cursor> all(1 + random() % 30);
    uint64_t end = 1;
    for (Cursor& cursor : all) {
      Cursors::make(cursor);
      cursor.bound = 1 + random() % 20;
      cursor.since = random() % 3 == 0 ? random() % 40 : 0;
    }
    for (int i = 0; i < 2000; ++i) {
      Cursor& one = all[random() % all.size()];
      switch (random() % 4) {
        case 0: cursors.stand_at_end(one); break;
        case 1:
          if (!one.waits) cursors.wait_at(one, end);
          ++end;
          break;
        case 2:
          if (one.waits) cursors.wait_at(one, std::min(end - 1, one.floor(one.at, end) + random() % 3));
          break;
        default: ++end;
      }
      uint64_t least = end;
      for (const Cursor& cursor : all) {
        if (cursor.waits) least = std::min(least, std::max(cursor.at, cursor.floor(0, end)));
      }
      ASSERT_EQ(cursors.needed(end), least);
    }
    for (Cursor& cursor : all) cursors.stand_at_end(cursor);
    EXPECT_EQ(cursors.needed(end), end);
  }
}

}  // namespace
