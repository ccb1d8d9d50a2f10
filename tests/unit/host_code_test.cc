// Whoever calls the host where the header says that nobody does is found.
#include "base/host_code.hpp"

#include <gtest/gtest.h>

#include "base/host_call.hpp"

#ifdef BLAZEN_INVARIANTS
namespace blazen {
namespace {

void call(HostCode code) { const HostCall host_call(code); }

TEST(HostCodeDeathTest, MoreThanTheTagAllowsEndsTheProcess) {
  EXPECT_DEATH(
      {
        const Entry entry("blazen_none", HostCode::none);
        call(HostCode::drop);
      },
      "blazen_none has called a drop, and its tag `calls` says: none");
  EXPECT_DEATH(
      {
        const Entry entry("blazen_drop", HostCode::drop);
        call(HostCode::any);
      },
      "blazen_drop has called the host, and its tag `calls` says: drop");
}

TEST(HostCode, WhatTheTagAllowsPasses) {
  call(HostCode::any);  // a thread of the library
  const Entry outer("blazen_host", HostCode::any);
  call(HostCode::any);
  call(HostCode::drop);
  {
    const Entry entry("blazen_drop", HostCode::drop);
    call(HostCode::drop);
    const Entry inner("blazen_any", HostCode::any);  // what a drop calls answers for itself
    call(HostCode::any);
  }
  call(HostCode::any);
}

}  // namespace
}  // namespace blazen
#endif
