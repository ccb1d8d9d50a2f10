/* Values, both ways. To the library: four arguments (tag, data, codec or label, number of the object). From it: undefined,
 * a number (one of our objects), a string (JSON), bytes, [codec, bytes] (NATIVE) or [label] (LIVE of somebody else). */
#include "addon.h"

bool text_read(napi_env env, napi_value value, Text* text) {
  text->data = NULL;
  text->length = 0;
  if (napi_get_value_string_utf8(env, value, text->small, sizeof text->small, &text->length) != napi_ok)
    return true;
  if (text->length < sizeof text->small - 4) { /* room for one whole character was left: nothing was cut */
    text->data = text->small;
    return true;
  }
  size_t length = 0;
  napi_get_value_string_utf8(env, value, NULL, 0, &length);
  char* data = malloc(length + 1);
  if (data == NULL) return false;
  napi_get_value_string_utf8(env, value, data, length + 1, &text->length);
  text->data = data;
  return true;
}

void text_free(Text* text) {
  if (text->data != text->small) free(text->data);
}

uint32_t u32(napi_env env, napi_value value) {
  uint32_t result = 0;
  napi_get_value_uint32(env, value, &result);
  return result;
}

int32_t i32(napi_env env, napi_value value) {
  int32_t result = 0;
  napi_get_value_int32(env, value, &result);
  return result;
}

int64_t i64(napi_env env, napi_value value) {
  int64_t result = 0;
  napi_get_value_int64(env, value, &result);
  return result;
}

bool truthy(napi_env env, napi_value value) {
  bool result = false;
  napi_get_value_bool(env, value, &result);
  return result;
}

bool given(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type != napi_undefined && type != napi_null;
}

napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value small(napi_env env, uint32_t value) {
  napi_value result = NULL;
  napi_create_uint32(env, value, &result);
  return result;
}

napi_value string(napi_env env, const char* text, size_t length) {
  napi_value result = NULL;
  if (text == NULL) {
    napi_get_null(env, &result);
  } else {
    napi_create_string_utf8(env, text, length, &result);
  }
  return result;
}

napi_value nothing(napi_env env) {
  napi_value result = NULL;
  napi_get_undefined(env, &result);
  return result;
}

void held_drop(void* object) {
  Held* held = object;
  Instance* self = held->instance;
  if (held->object != 0 && !self->closing) {
    uint32_t count = (uint32_t)self->shared[SHARED_DROPPED];
    if (count < DROPPED_MAX) {
      self->shared[SHARED_LIST + count] = (int32_t)held->object;
    } else {
      uint32_t more = count - DROPPED_MAX;
      if (more == self->dropped_capacity) {
        uint32_t capacity = more == 0 ? 1024 : more * 2;
        uint32_t* grown = realloc(self->dropped, capacity * sizeof *grown);
        if (grown == NULL) abort();
        self->dropped = grown;
        self->dropped_capacity = capacity;
      }
      self->dropped[more] = held->object;
    }
    self->shared[SHARED_DROPPED] = (int32_t)(count + 1);
  }
  free(held);
}

static Held* held_make(Instance* self, uint32_t object, size_t length) {
  Held* held = malloc(sizeof *held + length + 1);
  if (held == NULL) return NULL;
  held->instance = self;
  held->object = object;
  held->can_serialize = false;
  held->length = length;
  return held;
}

static blazen_status out_of_memory(blazen_error** error) {
  return blazen_error_host(0, BLAZEN_TEXT("out of memory"), NULL, error);
}

blazen_status value_of_text(Instance* self, napi_value text, uint32_t object, blazen_value** value,
                            blazen_error** error) {
  char stack[512];
  size_t length = 0;
  Held* held = NULL;
  if (napi_get_value_string_utf8(self->env, text, stack, sizeof stack, &length) != napi_ok) {
    return blazen_error_host(0, BLAZEN_TEXT("a text was expected"), NULL, error);
  }
  if (length < sizeof stack - 4) {
    held = held_make(self, object, length);
    if (held == NULL) return out_of_memory(error);
    memcpy(held->bytes, stack, length);
  } else {
    napi_get_value_string_utf8(self->env, text, NULL, 0, &length);
    held = held_make(self, object, length);
    if (held == NULL) return out_of_memory(error);
    napi_get_value_string_utf8(self->env, text, held->bytes, length + 1, &length);
  }
  return blazen_value_adopt(BLAZEN_TAG_JSON, held->bytes, length, "", 0, held, held_drop, value, error);
}

static blazen_status live_serialize(void* object, blazen_value** value, blazen_error** error) {
  Held* held = object;
  Instance* self = held->instance;
  napi_env env = self->env;
  napi_value argument = small(env, held->object), result = NULL;
  if (!call_js(self, CALL_SERIALIZE, 1, &argument, &result)) return BLAZEN_ERROR_NOT_SERIALIZABLE;
  bool is_array = false;
  napi_is_array(env, result, &is_array);
  if (!is_array) { /* the reason why it cannot be kept */
    Text text;
    if (!text_read(env, result, &text)) return BLAZEN_ERROR_OUT_OF_MEMORY;
    blazen_error_host(0, text.data == NULL ? "" : text.data, text.length, NULL, error);
    text_free(&text);
    return BLAZEN_ERROR_HOST;
  }
  napi_value parts[4];
  for (uint32_t i = 0; i < 4; ++i) napi_get_element(env, result, i, &parts[i]);
  return value_read(self, parts, value, error) ? BLAZEN_OK : BLAZEN_ERROR_HOST;
}

/* Reads four arguments. False: *error says why. */
bool value_read(Instance* self, napi_value* arguments, blazen_value** value, blazen_error** error) {
  napi_env env = self->env;
  *value = NULL;
  int32_t tag = i32(env, arguments[0]);
  uint32_t object = u32(env, arguments[3]);
  blazen_status status = BLAZEN_OK;
  if (tag == BLAZEN_TAG_NONE) return true;
  if (tag == BLAZEN_TAG_JSON) return value_of_text(self, arguments[1], object, value, error) == BLAZEN_OK;
  Text codec;
  if (!text_read(env, arguments[2], &codec)) {
    out_of_memory(error);
    return false;
  }
  if (tag == BLAZEN_TAG_LIVE) {
    Held* held = held_make(self, object, 0);
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.drop = held_drop;
    if (held == NULL) {
      status = out_of_memory(error);
    } else {
      held->can_serialize = truthy(env, arguments[1]);
      if (held->can_serialize) options.serialize = live_serialize;
      status = blazen_value_live_with(held, codec.data == NULL ? "" : codec.data, codec.length, &options,
                                      value, error);
    }
  } else {
    void* data = NULL;
    size_t length = 0;
    napi_get_typedarray_info(env, arguments[1], NULL, &length, &data, NULL, NULL);
    Held* held = held_make(self, object, length);
    if (held == NULL) {
      status = out_of_memory(error);
    } else {
      if (length != 0) memcpy(held->bytes, data, length);
      status = blazen_value_adopt(tag, held->bytes, length, codec.data == NULL ? "" : codec.data,
                                  codec.length, held, held_drop, value, error);
    }
  }
  text_free(&codec);
  return status == BLAZEN_OK;
}

static napi_value bytes_out(napi_env env, const void* data, size_t length) {
  napi_value result = NULL;
  void* copy = NULL;
  napi_create_buffer_copy(env, length, length == 0 ? "" : data, &copy, &result);
  return result;
}

napi_value wire_view(Instance* self, blazen_value* value, blazen_tag tag, const char* codec,
                     size_t codec_length, const void* data, size_t data_length, bool identity) {
  napi_env env = self->env;
  if (identity || tag == BLAZEN_TAG_LIVE) {
    Held* held = blazen_value_object_of(value, held_drop);
    if (held != NULL && held->object != 0 && held->instance == self) return small(env, held->object);
  }
  napi_value result = NULL;
  switch (tag) {
    case BLAZEN_TAG_JSON: return string(env, data, data_length);
    case BLAZEN_TAG_BYTES: return bytes_out(env, data, data_length);
    case BLAZEN_TAG_NATIVE:
      napi_create_array_with_length(env, 2, &result);
      napi_set_element(env, result, 0, string(env, codec, codec_length));
      napi_set_element(env, result, 1, bytes_out(env, data, data_length));
      return result;
    case BLAZEN_TAG_LIVE:
      napi_create_array_with_length(env, 1, &result);
      napi_set_element(env, result, 0, string(env, codec, codec_length));
      return result;
    default: return nothing(env);
  }
}

napi_value wire(Instance* self, blazen_value* value, bool identity) {
  if (value == NULL) return nothing(self->env);
  size_t codec_length = 0, data_length = 0;
  const char* codec = blazen_value_codec(value, &codec_length);
  const void* data = blazen_value_data(value, &data_length);
  return wire_view(self, value, blazen_value_tag(value), codec, codec_length, data, data_length, identity);
}

/* Hands out JSON or text that a call of the library has given, or throws its error. */
napi_value json_out(Instance* self, blazen_status status, blazen_value* value, blazen_error* error) {
  if (status != BLAZEN_OK) return throw_error(self, error);
  size_t length = 0;
  const char* data = blazen_value_data(value, &length);
  napi_value result = string(self->env, data == NULL ? "" : data, length);
  blazen_value_release(value);
  return result;
}
