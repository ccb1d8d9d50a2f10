// Proves what becomes of texts and details of the host's failures: a message that is not UTF-8 costs neither
// the code nor the detail, and a detail that cannot stand in an event is said to be left out.
#include <gtest/gtest.h>

#include "support/blazen_test.hpp"

namespace {

using namespace bt;  // NOLINT(google-build-using-namespace)

constexpr int64_t kCode = 4711;
const std::string kReplacement = "\xef\xbf\xbd";

blazen_status fail_with(const std::string& message, blazen_value* detail, blazen_error** error) {
  return blazen_error_host(kCode, message.data(), message.size(), detail, error);
}

std::string message_of(const blazen_error* error) {
  size_t length = 0;
  const char* text = blazen_error_message(error, &length);
  return {text, length};
}

TEST(HostText, EachBadSequenceOfAMessageIsReplacedAndTheMessageSaysSo) {
  const struct {
    std::string given;
    std::string mended;
    uint64_t offset;
  } cases[] = {{"fichier supprim\xe9", "fichier supprim" + kReplacement, 15},
               {"\xff\xff", kReplacement + kReplacement, 0},
               {"a\xe2\x82z", "a" + kReplacement + "z", 1},                      // one that is cut short
               {"\xed\xa0\x80", kReplacement + kReplacement + kReplacement, 0},  // a surrogate
               {"ok \xf0\x9f\x98", "ok " + kReplacement, 3}};
  for (const auto& each : cases) {
    Error error;
    EXPECT_EQ(fail_with(each.given, nullptr, error.out()), BLAZEN_ERROR_HOST);
    EXPECT_TRUE(message_of(error).starts_with(each.mended + " (")) << message_of(error);
    EXPECT_EQ(blazen_error_offset(error), each.offset);
    EXPECT_EQ(blazen_error_host_code(error), kCode);
  }
  Error whole;
  EXPECT_EQ(fail_with("plain \xc3\xa9", nullptr, whole.out()), BLAZEN_ERROR_HOST);
  EXPECT_EQ(message_of(whole), "plain \xc3\xa9");
}

TEST(HostText, AMessageThatIsNotUtf8KeepsItsCodeAndDetailForTheCallerOfTheRun) {
  Engine engine;
  RunHandle run = start(engine, Spec()
                                    .start([](Ctx& ctx) -> blazen_status {
                                      return fail_with(
                                          "d\xe9"
                                          "faut",
                                          json("{\"path\":\"/x\"}"), ctx.error());
                                    })
                                    .build());
  finish(engine, run);
  Error error;
  Value none;
  EXPECT_EQ(blazen_run_result(run, none.out(), error.out()), BLAZEN_ERROR_STEP_FAILED);
  EXPECT_EQ(blazen_error_host_code(error), kCode);
  ASSERT_NE(blazen_error_detail(error), nullptr);
  EXPECT_EQ(data_of(blazen_error_detail(error)), "{\"path\":\"/x\"}");
}

TEST(HostText, ARetryFilterMatchesTheCodeWhateverTheMessage) {
  Engine engine;
  int attempts = 0;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status {
    ++attempts;
    return fail_with(
        "d\xe9"
        "faut",
        nullptr, ctx.error());
  });
  const int64_t only[] = {kCode};
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  retry.max_attempts = 3;
  retry.only = only;
  retry.only_count = 1;
  spec.retry(retry);
  RunHandle run = start(engine, spec.build());
  finish(engine, run);
  EXPECT_EQ(attempts, 3);
}

// What a handler of the failure finds in its event.
std::string failed_event(blazen_value* detail) {
  Engine engine;
  std::string seen;
  Spec spec;
  spec.start([&](Ctx& ctx) -> blazen_status { return fail_with("no", detail, ctx.error()); });
  spec.step("handler", {BLAZEN_STEP_FAILED_EVENT}, [&](Ctx& ctx) {
    seen = ctx.input();
    ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  finish(engine, run);
  return seen;
}

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(HostText, ADetailThatCannotStandInTheEventIsSaidToBeLeftOut) {
  const Value deep = json(nested(505));
  EXPECT_NE(failed_event(deep).find("\"detail_omitted\":\""), std::string::npos);
  EXPECT_EQ(failed_event(deep).find("[[["), std::string::npos);
  Value bytes;
  MUST(blazen_value_bytes("\0\1", 2, bytes.out(), e));
  EXPECT_NE(failed_event(bytes).find("\"detail_omitted\":\"detail is BYTES"), std::string::npos);
}

TEST(HostText, ADetailThatCanStandInTheEventDoes) {
  const Value fits = json(nested(504));
  EXPECT_NE(failed_event(fits).find("\"detail\":" + nested(504)), std::string::npos);
  EXPECT_EQ(failed_event(fits).find("detail_omitted"), std::string::npos);
  EXPECT_EQ(failed_event(nullptr).find("detail"), std::string::npos);
}

}  // namespace
