#include "capi/handle.hpp"

using namespace blazen;        // NOLINT(google-build-using-namespace)
using namespace blazen::capi;  // NOLINT(google-build-using-namespace)

blazen_status blazen_context_defer(blazen_context* context, blazen_invocation** invocation,
                                   blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_context(context, call)) return failure;
    if (Ref<Error> failure = need_out("invocation", invocation)) return failure;
    if (Ref<Error> failure = call->run().defer(*call)) return failure;
    *invocation = handle_of(&call->handle());
    return nullptr;
  });
}

blazen_context* blazen_invocation_context(const blazen_invocation* invocation) {
  InvocationHandle* object = object_of<InvocationHandle>(invocation);
  return object == nullptr ? nullptr : handle_of(&object->call);
}

const blazen_event* blazen_invocation_event(const blazen_invocation* invocation) {
  InvocationHandle* object = object_of<InvocationHandle>(invocation);
  return object == nullptr ? nullptr : handle_of(const_cast<Event*>(&object->call.event()));
}

blazen_status blazen_invocation_complete(blazen_invocation* invocation, blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    if (Ref<Error> failure = need_invocation(invocation, call)) return failure;
    return call->run().complete(*call, nullptr);
  });
}

blazen_status blazen_invocation_fail(blazen_invocation* invocation, blazen_error* cause,
                                     blazen_error** error) {
  return guarded(error, [&]() -> Ref<Error> {
    KeptCall call;
    Error* why = nullptr;
    if (Ref<Error> failure = need_invocation(invocation, call)) return failure;
    if (Ref<Error> failure = need("cause", cause, why)) return failure;
    return call->run().complete(*call, Ref<Error>::share(why));
  });
}

blazen_status blazen_invocation_finish(blazen_invocation* invocation, blazen_error* cause,
                                       blazen_error** error) {
  const blazen_status status = cause == nullptr ? blazen_invocation_complete(invocation, error)
                                                : blazen_invocation_fail(invocation, cause, error);
  blazen_invocation_release(invocation);
  return status;
}

blazen_invocation* blazen_invocation_retain(const blazen_invocation* invocation) {
  return retain_handle<InvocationHandle>(invocation);
}

void blazen_invocation_release(blazen_invocation* invocation) {
  InvocationHandle* object = object_of<InvocationHandle>(invocation);
  if (object != nullptr && drop_reference(object)) object->call.run().let_go_invocation(object->call);
}
