/* The part of Node-API that the addon uses, over handles of napi.js: numbers, not pointers. */
#ifndef BLAZEN_WASM_NODE_API_H
#define BLAZEN_WASM_NODE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct napi_env__* napi_env;
typedef struct napi_value__* napi_value;
typedef struct napi_ref__* napi_ref;
typedef struct napi_handle_scope__* napi_handle_scope;
typedef struct napi_callback_info__* napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);

typedef enum { napi_ok = 0, napi_invalid_arg = 1, napi_pending_exception = 10 } napi_status;
typedef enum {
  napi_undefined,
  napi_null,
  napi_boolean,
  napi_number,
  napi_string,
  napi_symbol,
  napi_object,
  napi_function,
  napi_external,
  napi_bigint
} napi_valuetype;
typedef int napi_typedarray_type;

#define NAPI_AUTO_LENGTH SIZE_MAX
#define NAPI_MODULE_INIT()                                   \
  napi_value blazen_addon(napi_env env, napi_value exports); \
  __attribute__((used, visibility("default"))) napi_value blazen_addon(napi_env env, napi_value exports)

napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t* count, napi_value* arguments,
                             napi_value* self, void** data);
napi_status napi_create_function(napi_env, const char* name, size_t length, napi_callback, void* data,
                                 napi_value* result);
napi_status napi_call_function(napi_env, napi_value receiver, napi_value function, size_t, const napi_value*,
                               napi_value*);
napi_status napi_create_reference(napi_env, napi_value, uint32_t count, napi_ref* result);
napi_status napi_get_reference_value(napi_env, napi_ref, napi_value* result);
napi_status napi_open_handle_scope(napi_env, napi_handle_scope* result);
napi_status napi_close_handle_scope(napi_env, napi_handle_scope);
napi_status napi_throw(napi_env, napi_value error);
napi_status napi_throw_error(napi_env, const char* code, const char* message);
napi_status napi_is_exception_pending(napi_env, bool* result);
napi_status napi_get_and_clear_last_exception(napi_env, napi_value* result);
napi_status napi_typeof(napi_env, napi_value, napi_valuetype* result);
napi_status napi_is_array(napi_env, napi_value, bool* result);
napi_status napi_get_undefined(napi_env, napi_value* result);
napi_status napi_get_null(napi_env, napi_value* result);
napi_status napi_get_boolean(napi_env, bool, napi_value* result);
napi_status napi_create_uint32(napi_env, uint32_t, napi_value* result);
napi_status napi_create_double(napi_env, double, napi_value* result);
napi_status napi_create_string_utf8(napi_env, const char* text, size_t length, napi_value* result);
napi_status napi_create_array(napi_env, napi_value* result);
napi_status napi_create_array_with_length(napi_env, size_t, napi_value* result);
napi_status napi_create_buffer_copy(napi_env, size_t length, const void* data, void** copy,
                                    napi_value* result);
napi_status napi_get_value_bool(napi_env, napi_value, bool* result);
napi_status napi_get_value_uint32(napi_env, napi_value, uint32_t* result);
napi_status napi_get_value_int32(napi_env, napi_value, int32_t* result);
napi_status napi_get_value_int64(napi_env, napi_value, int64_t* result);
napi_status napi_get_value_double(napi_env, napi_value, double* result);
napi_status napi_get_value_string_utf8(napi_env, napi_value, char* text, size_t capacity, size_t* length);
napi_status napi_get_array_length(napi_env, napi_value, uint32_t* result);
napi_status napi_get_element(napi_env, napi_value array, uint32_t index, napi_value* result);
napi_status napi_set_element(napi_env, napi_value array, uint32_t index, napi_value);
napi_status napi_set_named_property(napi_env, napi_value object, const char* name, napi_value);
napi_status napi_get_typedarray_info(napi_env, napi_value, napi_typedarray_type*, size_t* length, void** data,
                                     napi_value* buffer, size_t* offset);

#endif
