// The names and numbers that the header has for parsers without a preprocessor are those of its macros.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "capi/host.hpp"

namespace {

std::string name_of(blazen_known_event which) {
  size_t length = 77;
  const char* name = blazen_event_name(which, &length);
  EXPECT_EQ(blazen_event_name(which, nullptr), name);
  if (name == nullptr) return "none, of length " + std::to_string(length);
  EXPECT_EQ(std::string_view(name).size(), length);
  return name;
}

TEST(Names, AnEventIsNamedByItsNumber) {
  EXPECT_EQ(name_of(BLAZEN_EVENT_START), BLAZEN_START_EVENT);
  EXPECT_EQ(name_of(BLAZEN_EVENT_STOP), BLAZEN_STOP_EVENT);
  EXPECT_EQ(name_of(BLAZEN_EVENT_INPUT_REQUEST), BLAZEN_INPUT_REQUEST_EVENT);
  EXPECT_EQ(name_of(BLAZEN_EVENT_INPUT_RESPONSE), BLAZEN_INPUT_RESPONSE_EVENT);
  EXPECT_EQ(name_of(BLAZEN_EVENT_STEP_FAILED), BLAZEN_STEP_FAILED_EVENT);
  EXPECT_EQ(name_of(BLAZEN_EVENT_STREAM_END), BLAZEN_STREAM_END);
  EXPECT_EQ(name_of(BLAZEN_EVENT_STREAM_GAP), BLAZEN_STREAM_GAP);
  EXPECT_EQ(name_of(BLAZEN_EVENT_LIFECYCLE), BLAZEN_LIFECYCLE);
  EXPECT_EQ(name_of(BLAZEN_EVENT_PROGRESS), BLAZEN_PROGRESS);
}

TEST(Names, ANumberThatIsNoEventHasNoName) {
  for (const blazen_known_event which : {INT32_MIN, -1, 0, BLAZEN_EVENT_PROGRESS + 1, INT32_MAX})
    EXPECT_EQ(name_of(which), "none, of length 0") << which;
}

TEST(Names, TheVersionIsTheSameInEveryForm) {
  char text[32];
  std::snprintf(text, sizeof text, "%d.%d.%d", BLAZEN_VERSION_MAJOR, BLAZEN_VERSION_MINOR,
                BLAZEN_VERSION_PATCH);
  EXPECT_STREQ(text, BLAZEN_VERSION);
  EXPECT_STREQ(text, blazen_version());
}

}  // namespace
