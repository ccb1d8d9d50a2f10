// The descriptor of a pump is readable while there is something to do, however often it is asked, duplicated,
// or watched for edges alone; and no timer is set but where the next moment has become earlier.
#ifdef __linux__
#include <sys/epoll.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "support/control.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

bool is_readable(int32_t descriptor, int timeout_ms = 0) {
  pollfd watched{descriptor, POLLIN, 0};
  return ::poll(&watched, 1, timeout_ms) == 1;
}

int32_t descriptor_of(const Engine& engine) {
  int32_t descriptor = -1;
  MUST(blazen_runtime_descriptor(engine.runtime(), &descriptor, e));
  return descriptor;
}

Spec idling() {
  Spec spec;
  spec.idle = BLAZEN_IDLE_WAIT;
  spec.timeout_ms = 0;
  spec.step("start", {BLAZEN_START_EVENT, "E"}, [](Ctx&) {});
  return spec;
}

TEST(ThePumpsDescriptor, IsReadableFromTheWorkUntilThePoll) {
  Engine engine(Way::pump);
  const int32_t descriptor = descriptor_of(engine);
  EXPECT_FALSE(is_readable(descriptor));
  RunHandle run = start(engine, idling().build());
  EXPECT_TRUE(is_readable(descriptor));
  EXPECT_TRUE(is_readable(descriptor)) << "until it is polled";
  EXPECT_EQ(descriptor_of(engine), descriptor);
  EXPECT_TRUE(is_readable(descriptor));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_FALSE(is_readable(descriptor));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send_in(run, 0, "E"), BLAZEN_OK);
  EXPECT_TRUE(is_readable(descriptor));
  MUST(blazen_runtime_poll(engine.runtime(), 1, nullptr, e));
  EXPECT_TRUE(is_readable(descriptor)) << "some is left";
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_FALSE(is_readable(descriptor));
}

TEST(ThePumpsDescriptor, ThatIsAskedForLateIsReadableForWhatIsThere) {
  Engine engine(Way::pump);
  RunHandle run = start(engine, idling().build());
  const int32_t descriptor = descriptor_of(engine);
  EXPECT_TRUE(is_readable(descriptor));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_FALSE(is_readable(descriptor));
}

TEST(ThePumpsDescriptor, ThatIsAskedForLateIsReadableWhenTheNextTimerIsDue) {
  Engine engine(Way::pump);
  RunHandle run = start(engine, idling().build());
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(send_in(run, 20, "E"), BLAZEN_OK);
  const int32_t descriptor = descriptor_of(engine);
  EXPECT_TRUE(is_readable(descriptor, static_cast<int>(kPatience_ms)));
}

// Each time there is something new, there is an edge: of work, and of the time.
TEST(ThePumpsDescriptor, MayBeWatchedForEdgesAloneAndDuplicated) {
  Engine engine(Way::pump);
  const int32_t copy = ::dup(descriptor_of(engine));
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event edges{};
  edges.events = EPOLLIN | EPOLLET;
  ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, copy, &edges), 0);
  const auto comes = [&](int timeout_ms) {
    epoll_event got{};
    return ::epoll_wait(epoll, &got, 1, timeout_ms) == 1;
  };
  RunHandle run = start(engine, idling().build());
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(comes(1000)) << i;
    EXPECT_FALSE(comes(0)) << i;
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    EXPECT_FALSE(comes(0)) << i;
    EXPECT_EQ(send_in(run, i % 5 == 0 ? 2 : 0, "E"), BLAZEN_OK);
  }
  ::close(epoll);
  ::close(copy);
}

// Found in what the operating system tells of it: how long the timer still has, to the nanosecond, each time
// the number of settings would show. A timer that is set again starts from another nanosecond.
std::string timer_expiry(int32_t descriptor) {
  std::string all;
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(descriptor));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("tfd:")) continue;
    std::ifstream inner("/proc/self/fdinfo/" + std::to_string(std::atoi(line.c_str() + 4)));
    for (std::string of_timer; std::getline(inner, of_timer);) {
      long long s = 0;
      long long ns = 0;
      if (std::sscanf(of_timer.c_str(), "it_value: (%lld, %lld)", &s, &ns) == 2 && s + ns != 0) {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        // Up to what the reading itself takes: a tenth of a second apart is another setting.
        all += std::to_string((now.tv_sec + s) * 10 + (now.tv_nsec + ns) / 100'000'000);
      }
    }
  }
  return all;
}

TEST(ThePumpsDescriptor, LeavesItsTimerAloneWhileTheNextMomentIsNoEarlier) {
  Engine engine(Way::pump);
  const int32_t descriptor = descriptor_of(engine);
  RunHandle run = start(engine, idling().build());
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(send_in(run, 500'000, "E"), BLAZEN_OK);
  RunHandle near = start(engine, idling().build());
  EXPECT_EQ(send_in(near, 100'050, "E"), BLAZEN_OK);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  const std::string armed = timer_expiry(descriptor);
  EXPECT_NE(armed, "");
  MUST(blazen_run_abort(near, e));  // the next moment is later now
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(send_in(run, 300'000 + i, "E"), BLAZEN_OK);
    EXPECT_EQ(send_in(run, 0, "E"), BLAZEN_OK);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  }
  EXPECT_EQ(timer_expiry(descriptor), armed);
}

}  // namespace
#endif
