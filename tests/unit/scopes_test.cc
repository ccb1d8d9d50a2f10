// What a tick with scopes does to the rest of the state: what no workflow of the public kind can bring about at will.
#include <gtest/gtest.h>

#include "snapshot_samples.hpp"

namespace blazen {
namespace {

using samples::Driver;
using samples::Hosting;

// The engine may tell the time between the tick that dispatches a step and the moment at which its body begins.
TEST(Scopes, WhoIsCancelledBeforeItsBodyBeginsIsNotBegun) {
  for (const bool watches : {false, true}) {
    Driver driver(samples::joined_workflow(Hosting::all));
    driver.now_ms = 1000;
    driver.start(samples::json("1"));
    driver.complete(driver.dispatch(), {driver.output("Race", samples::json("1"))});
    driver.complete(driver.dispatch(), {driver.later(5, driver.output("Won", samples::json("2"))),
                                        driver.output("Work", samples::json("3"))});
    driver.state.watched = watches;
    Commands commands;
    Tick dispatch{Tick::Kind::dispatch};
    dispatch.now_ms = dispatch.date_ms = 1001;
    reduce(driver.state, dispatch, commands);
    ASSERT_NE(commands.start, nullptr);
    Tick time{Tick::Kind::time};
    time.now_ms = time.date_ms = 1005;
    reduce(driver.state, time, commands);
    check_invariants(driver.state);
    EXPECT_EQ(commands.start, nullptr);
    EXPECT_EQ(commands.cold().cancelled.size(), 1U);
    EXPECT_TRUE(driver.state.in_flight.empty());
    commands.clear();
    driver.state.watched = false;
    EXPECT_EQ(driver.dispatch()->step, driver.state.workflow->find_step("won"));
  }
}

}  // namespace
}  // namespace blazen
