// The descriptor of a pump is readable while there is something to do, however often it is asked, duplicated,
// or watched for edges alone; and no timer is set but where the next moment has become earlier.
#ifdef __linux__
#include <sys/epoll.h>
#include <unistd.h>

#include <fstream>

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

// When the timer goes off, from what the operating system tells of it, in microseconds of its clock. One that
// is set again, to a moment in whole milliseconds from now, goes off at another microsecond. -1: it is not
// set.
int64_t timer_expiry_us(int32_t descriptor) {
  const auto now_us = [] {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  };
  const auto left_us = [](int32_t timer) -> int64_t {
    std::ifstream file("/proc/self/fdinfo/" + std::to_string(timer));
    for (std::string line; std::getline(file, line);) {
      long long s = 0;
      long long ns = 0;
      if (std::sscanf(line.c_str(), "it_value: (%lld, %lld)", &s, &ns) == 2 && s + ns != 0)
        return s * 1'000'000 + ns / 1000;
    }
    return -1;
  };
  int32_t timer = -1;
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(descriptor));
  for (std::string line; std::getline(file, line);) {
    const int32_t each = line.starts_with("tfd:") ? std::atoi(line.c_str() + 4) : -1;
    if (each >= 0 && left_us(each) >= 0) timer = each;
  }
  for (;;) {  // until nothing came in between
    const int64_t before_us = now_us();
    const int64_t left = timer < 0 ? -1 : left_us(timer);
    if (left < 0) return -1;
    if (now_us() - before_us < 100) return before_us + left;
  }
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
  const int64_t armed_us = timer_expiry_us(descriptor);
  EXPECT_GT(armed_us, 0);
  MUST(blazen_run_abort(near, e));  // the next moment is later now
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(send_in(run, 300'000 + i, "E"), BLAZEN_OK);
    EXPECT_EQ(send_in(run, 0, "E"), BLAZEN_OK);
    MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
    EXPECT_NEAR(static_cast<double>(timer_expiry_us(descriptor)), static_cast<double>(armed_us), 150);
    std::this_thread::sleep_for(std::chrono::microseconds(230));
  }
}

}  // namespace
#endif
