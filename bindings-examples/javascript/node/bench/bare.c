/* A bare callback, for comparison: calls a function so many times, with an object's number in and a text out. */
#define NAPI_VERSION 8
#include <node_api.h>

static napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0;
  napi_value argv[2], receiver, result, argument;
  char text[256];
  uint32_t times = 0;
  napi_get_cb_info(env, info, &count, argv, NULL, NULL);
  napi_get_value_uint32(env, argv[1], &times);
  napi_get_undefined(env, &receiver);
  for (uint32_t i = 0; i < times; ++i) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_create_uint32(env, i, &argument);
    if (napi_call_function(env, receiver, argv[0], 1, &argument, &result) != napi_ok) return NULL;
    napi_get_value_string_utf8(env, result, text, sizeof text, &length);
    napi_close_handle_scope(env, scope);
  }
  return receiver;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, NULL, &function);
  napi_set_named_property(env, exports, "run", function);
  return exports;
}
