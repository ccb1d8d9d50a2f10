// What a run says of the scopes that it has open: in its description, and in the words of what took too long.
#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

class OpenScopes : public EveryWay {
 protected:
  FakeClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Ways, OpenScopes, testing::ValuesIn(ways()), way_name);

// Chapters with pages that are held, and the first of each is done.
struct Book {
  std::vector<Invocation> held{8};
  std::atomic<size_t> count{0};

  Spec spec() {
    Spec spec("book");
    spec.timeout_ms = 10'000;
    spec.start([](Ctx& ctx) {
      ctx.emit("Chapter", "0");
      ctx.emit("Chapter", "1");
    });
    spec.step("chapter", {"Chapter"}, [](Ctx& ctx) {
      ctx.emit("Page", "0");
      ctx.emit("Page", "1");
      ctx.emit("Page", "2");
    });
    spec.step("page", {"Page"}, [this](Ctx& ctx) -> blazen_status {
      if (ctx.input() == "0") return ctx.emit("Read");
      held[count++] = ctx.defer();
      return BLAZEN_PENDING;
    });
    spec.step("read", {"Read"}, [](Ctx& ctx) { ctx.emit("Summary"); })
        .joins({.of = "chapter", .mode = BLAZEN_JOIN_FIRST_N, .n = 2, .deadline_ms = 500});
    spec.step("book", {"Summary"}, [](Ctx& ctx) { ctx.stop(); }).joins({"start"});
    return spec;
  }
  bool is_open(const blazen_run* run) const {
    const Json counters = describe_run(run).at("counters");
    return count == 4 && counters.at("in_flight") == 4 && counters.at("queued") == 0;
  }
};

TEST_P(OpenScopes, WhatEachWaitsFor) {
  Engine engine(GetParam(), &clock_);
  Book book;
  RunHandle run = start(engine, book.spec().build());
  ASSERT_TRUE(engine.until(run, [&] { return book.is_open(run); }));
  Json all = describe_run(run);
  EXPECT_EQ(all.at("counters").at("scopes"), 3);
  const auto join = [](const char* name, int arrived) {
    return Json{{"join", name}, {"closed", false}, {"arrived", arrived}};
  };
  EXPECT_EQ(all.at("scopes").at(0), (Json{{"scope_id", 1},
                                          {"opener", "start"},
                                          {"live", 2},
                                          {"late", 0},
                                          {"joins", Json::array({join("book", 0)})}}));
  for (const int at : {1, 2}) {
    Json read = join("read", 1);
    read["wanted"] = 2;
    read["due_in_ms"] = 500;
    EXPECT_EQ(all.at("scopes").at(at), (Json{{"scope_id", at + 1},
                                             {"opener", "chapter"},
                                             {"parent", 1},
                                             {"live", 2},
                                             {"late", 0},
                                             {"joins", Json::array({read})}}));
  }
  engine.pass(200);
  EXPECT_EQ(describe_run(run).at("scopes").at(1).at("joins").at(0).at("due_in_ms"), 300);
  // Those that closed at their deadline are told until what is left of them is gone; what comes then is late.
  engine.pass(300);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(describe_run(run).at("scopes").size(), 0U);
  EXPECT_EQ(describe_run(run).at("counters").at("scopes"), 0);
}

TEST_P(OpenScopes, AClosedOneIsToldUntilItIsOver) {
  Engine engine(GetParam(), &clock_);
  Book book;
  Spec spec = book.spec();
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.steps.back().body = std::make_shared<Body>([](Ctx&) {});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return book.is_open(run); }));
  engine.pass(500);
  const auto is_closed = [&](int scope) -> bool {
    return describe_run(run).at("scopes").at(scope).at("joins").at(0).at("closed");
  };
  ASSERT_TRUE(engine.until(run, [&] { return is_closed(0) && is_closed(1) && is_closed(2); }));
  EXPECT_EQ(describe_run(run).at("scopes").at(0).at("live"), 0) << "it waits for those inside";
  const Json closed = describe_run(run).at("scopes").at(1);
  EXPECT_EQ(closed.at("live"), 2);
  EXPECT_EQ(closed.at("parent"), 1);
  EXPECT_EQ(closed.at("joins").at(0),
            (Json{{"join", "read"}, {"closed", true}, {"arrived", 0}, {"wanted", 2}}));
  // It waits for nothing.
  engine.pass(9'500);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_EQ(end.error.message().find("open scopes"), std::string::npos) << end.error.message();
}

TEST_P(OpenScopes, WhatComesLateIsCounted) {
  Engine engine(GetParam(), &clock_);
  Book book;
  Spec spec = book.spec();
  spec.steps.back().body = std::make_shared<Body>([](Ctx&) {});
  spec.idle = BLAZEN_IDLE_WAIT;
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return book.is_open(run); }));
  engine.pass(500);
  Ctx ctx(book.held[0]);
  ctx.send("Read");
  ASSERT_TRUE(engine.until(run, [&] {
    int late = 0;
    const Json all = describe_run(run);
    for (const Json& scope : all.at("scopes")) late += scope.at("late").get<int>();
    return late == 1;
  }));
  MUST(blazen_run_abort(run, e));
}

TEST_P(OpenScopes, AtMostAHundredAreListed) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    for (int i = 0; i < 150; ++i) ctx.emit("Chapter");
  });
  spec.step("chapter", {"Chapter"}, [](Ctx& ctx) { ctx.emit("Page"); });
  spec.elsewhere("page", {"Page"});
  spec.step("read", {"Read"}, [](Ctx&) {}).joins({"chapter"});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ELSEWHERE));
  const Json all = describe_run(run);
  EXPECT_EQ(all.at("scopes").size(), 100U);
  EXPECT_EQ(all.at("counters").at("scopes"), 150);
  MUST(blazen_run_abort(run, e));
}

TEST_P(OpenScopes, ByEventAllGroupsAreCounted) {
  Engine engine(GetParam());
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.emit("Far");
    for (int i = 0; i < 5; ++i)
      ctx.emit(event("Done", json("1"), std::string(1, static_cast<char>('a' + i % 2))));
  });
  spec.elsewhere("far", {"Far"});
  spec.step("join", {"Done"}, [](Ctx&) {}).joins({.of = "start", .by_event = true});
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.reach(run, BLAZEN_RUN_ELSEWHERE));
  EXPECT_EQ(describe_run(run).at("scopes").at(0).at("joins").at(0).at("arrived"), 5);
  MUST(blazen_run_abort(run, e));
}

constexpr const char* kWords = "open scopes of: 'start', 'chapter' (2)";

TEST_P(OpenScopes, ATimeOutNamesThem) {
  Engine engine(GetParam(), &clock_);
  Book book;
  Spec spec = book.spec();
  spec.steps[3].joins->deadline_ms = 0;
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return book.is_open(run); }));
  engine.pass(10'000);
  const Outcome end = finish(engine, run);
  EXPECT_EQ(end.status, BLAZEN_ERROR_RUN_TIMEOUT);
  EXPECT_NE(end.error.message().find(kWords), std::string::npos) << end.error.message();
  const Json detail = Json::parse(data_of(blazen_error_detail(end.error)));
  EXPECT_EQ(detail.at("scopes").size(), 3U);
  EXPECT_EQ(detail.at("scopes").at(1).at("joins").at(0).at("arrived"), 1);
}

TEST_P(OpenScopes, AWaitThatIsTooLongNamesThem) {
  Engine engine(GetParam());
  Book book;
  Spec spec = book.spec();
  spec.steps[3].joins->deadline_ms = 0;
  RunHandle run = start(engine, spec.build());
  ASSERT_TRUE(engine.until(run, [&] { return book.is_open(run); }));
  Error error;
  EXPECT_EQ(blazen_run_wait(run, 1, nullptr, error.out()), BLAZEN_ERROR_TIMEOUT);
  EXPECT_NE(error.message().find(kWords), std::string::npos) << error.message();
  MUST(blazen_run_abort(run, e));
}

}  // namespace
