/* Gives the Go step the exact type of a step: Go knows no const. */
#include "_cgo_export.h"

static blazen_status step(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  return goStep(user_data, context, (blazen_event*)event, error);
}

static void drop(void* user_data) { goDrop(user_data); }

blazen_status add_go_step(blazen_workflow_builder* builder, const char* name, size_t name_length,
                          uintptr_t handle, blazen_error** error) {
  return blazen_workflow_builder_add_step(builder, name, name_length, BLAZEN_TEXT(BLAZEN_START_EVENT), step,
                                          (void*)handle, drop, error);
}
