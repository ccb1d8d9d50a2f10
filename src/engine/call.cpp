#include "engine/call.hpp"

#include <cerrno>

#ifdef __linux__
#include <sys/eventfd.h>
#include <unistd.h>
#endif

namespace blazen {

#ifdef __linux__
Signal::~Signal() {
  if (number_ >= 0) ::close(number_);
}
Result<int> Signal::open() noexcept {
  if (number_ < 0) number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (number_ >= 0) return number_;
  const int code = errno;
  Ref<Error> error = Error::make(Status::system, "the operating system refused an event descriptor");
  if (error->status == Status::system) error->host_code = code;
  return error;
}
void Signal::raise() const noexcept {
  const uint64_t one = 1;
  if (number_ >= 0 && ::write(number_, &one, sizeof one) < 0) return;  // full is readable too
}
#else
Signal::~Signal() = default;
Result<int> Signal::open() noexcept {
  return Error::make(Status::system, "this platform has no descriptor: use the callback");
}
void Signal::raise() const noexcept {}
#endif

void Call::begin(Run& run, const Workflow& workflow, Invocation* invocation) noexcept {
  if (run_ != &run) {
    run_ = &run;
    workflow_ = &workflow;
    outputs_max_ = workflow_->policy().limits.queued_events;
    emitted_name_ = {};
    sent_name_ = {};
  }
  invocation_ = invocation;
  step_ = &workflow_->steps()[invocation->step];
  event_ = invocation->event.get();
  invocation_id_ = invocation->id;
  attempt_ = invocation->attempt;
  deferred_ = false;
  completed_ = false;
  returned_ = false;
  is_special_ = false;
  is_shared_ = false;
  abandoned_.store(false, std::memory_order_relaxed);
  open_.store(true, std::memory_order_relaxed);
}

}  // namespace blazen
