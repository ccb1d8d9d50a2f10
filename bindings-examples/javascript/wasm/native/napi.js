// Node-API, as far as the addon uses it, for WebAssembly: a napi_value is the number of a JavaScript value.
mergeInto(LibraryManager.library, {
  $napi: {
    values: [0], // number 0 is NULL
    references: [0],
    scratch: [],
    depth: 0,
    args: undefined,
    data: 0,
    pending: undefined,
    isPending: false,
    encoder: undefined,
    decoder: undefined,
    refreshed: undefined,

    put: function (place, value) {
      HEAPU32[place >> 2] = napi.values.push(value) - 1;
      return 0;
    },

    // Memory that has grown is another buffer: who looks into it is given the new one.
    refresh: function () {
      if (napi.refreshed !== HEAPU8.buffer) {
        napi.refreshed = HEAPU8.buffer;
        if (Module['blazenGrown']) Module['blazenGrown'](HEAPU8.buffer);
      }
    },

    leave: function () {
      if (--napi.depth === 0) {
        for (var i = 0; i < napi.scratch.length; ++i) _free(napi.scratch[i]);
        napi.scratch.length = 0;
      }
      napi.refresh();
    },

    call: function (callback, data, args) {
      var mark = napi.values.length;
      var result;
      napi.args = args;
      napi.data = data;
      napi.depth++;
      try {
        var number = wasmTable.get(callback)(1, 0);
        result = number === 0 ? undefined : napi.values[number];
      } finally {
        napi.values.length = mark;
        napi.leave();
      }
      if (napi.isPending) {
        var error = napi.pending;
        napi.pending = undefined;
        napi.isPending = false;
        throw error;
      }
      return result;
    },

    text: function (place, length) {
      var bytes = HEAPU8.subarray(place, place + length);
      if (length < 32) {
        var result = '';
        for (var i = 0; i < length; ++i) {
          if (bytes[i] > 127) return napi.decode(bytes);
          result += String.fromCharCode(bytes[i]);
        }
        return result;
      }
      return napi.decode(bytes);
    },

    decode: function (bytes) {
      if (!napi.decoder) napi.decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      return napi.decoder.decode(bytes);
    },

    zero: function (place) {
      var end = place;
      while (HEAPU8[end]) end++;
      return napi.text(place, end - place);
    },
  },

  napi_get_cb_info__deps: ['$napi'],
  napi_get_cb_info: function (env, info, count, list, self, data) {
    var wanted = HEAPU32[count >> 2];
    for (var i = 0; i < wanted; ++i) napi.put(list + i * 4, napi.args[i]);
    if (data) HEAPU32[data >> 2] = napi.data;
    return 0;
  },
  napi_create_function__deps: ['$napi', 'free', 'malloc'],
  napi_create_function: function (env, name, length, callback, data, result) {
    return napi.put(result, function () {
      return napi.call(callback, data, arguments);
    });
  },
  napi_call_function__deps: ['$napi'],
  napi_call_function: function (env, receiver, func, count, list, result) {
    var args = [];
    for (var i = 0; i < count; ++i) args.push(napi.values[HEAPU32[(list >> 2) + i]]);
    napi.refresh();
    try {
      var value = napi.values[func].apply(undefined, args);
      if (result) napi.put(result, value);
      return 0;
    } catch (error) {
      napi.pending = error;
      napi.isPending = true;
      return 10;
    }
  },
  napi_create_reference__deps: ['$napi'],
  napi_create_reference: function (env, value, count, result) {
    HEAPU32[result >> 2] = napi.references.push(napi.values[value]) - 1;
    return 0;
  },
  napi_get_reference_value__deps: ['$napi'],
  napi_get_reference_value: function (env, reference, result) {
    return napi.put(result, napi.references[reference]);
  },
  napi_open_handle_scope__deps: ['$napi'],
  napi_open_handle_scope: function (env, result) {
    HEAPU32[result >> 2] = napi.values.length;
    return 0;
  },
  napi_close_handle_scope__deps: ['$napi'],
  napi_close_handle_scope: function (env, scope) {
    napi.values.length = scope;
    return 0;
  },
  napi_throw__deps: ['$napi'],
  napi_throw: function (env, error) {
    napi.pending = napi.values[error];
    napi.isPending = true;
    return 0;
  },
  napi_throw_error__deps: ['$napi'],
  napi_throw_error: function (env, code, message) {
    napi.pending = new Error(napi.zero(message));
    napi.isPending = true;
    return 0;
  },
  napi_is_exception_pending__deps: ['$napi'],
  napi_is_exception_pending: function (env, result) {
    HEAPU8[result] = napi.isPending ? 1 : 0;
    return 0;
  },
  napi_get_and_clear_last_exception__deps: ['$napi'],
  napi_get_and_clear_last_exception: function (env, result) {
    napi.put(result, napi.pending);
    napi.pending = undefined;
    napi.isPending = false;
    return 0;
  },
  napi_typeof__deps: ['$napi'],
  napi_typeof: function (env, value, result) {
    var given = napi.values[value];
    var kinds = { undefined: 0, boolean: 2, number: 3, string: 4, symbol: 5, object: 6, function: 7, bigint: 9 };
    HEAP32[result >> 2] = given === null ? 1 : kinds[typeof given];
    return 0;
  },
  napi_is_array__deps: ['$napi'],
  napi_is_array: function (env, value, result) {
    HEAPU8[result] = Array.isArray(napi.values[value]) ? 1 : 0;
    return 0;
  },
  napi_get_undefined__deps: ['$napi'],
  napi_get_undefined: function (env, result) {
    return napi.put(result, undefined);
  },
  napi_get_null__deps: ['$napi'],
  napi_get_null: function (env, result) {
    return napi.put(result, null);
  },
  napi_get_boolean__deps: ['$napi'],
  napi_get_boolean: function (env, value, result) {
    return napi.put(result, value !== 0);
  },
  napi_create_uint32__deps: ['$napi'],
  napi_create_uint32: function (env, value, result) {
    return napi.put(result, value >>> 0);
  },
  napi_create_double__deps: ['$napi'],
  napi_create_double: function (env, value, result) {
    return napi.put(result, value);
  },
  napi_create_string_utf8__deps: ['$napi'],
  napi_create_string_utf8: function (env, text, length, result) {
    return napi.put(result, length >>> 0 === 0xffffffff ? napi.zero(text) : napi.text(text, length));
  },
  napi_create_array__deps: ['$napi'],
  napi_create_array: function (env, result) {
    return napi.put(result, []);
  },
  napi_create_array_with_length__deps: ['$napi'],
  napi_create_array_with_length: function (env, length, result) {
    return napi.put(result, new Array(length));
  },
  napi_create_buffer_copy__deps: ['$napi'],
  napi_create_buffer_copy: function (env, length, data, copy, result) {
    return napi.put(result, HEAPU8.slice(data, data + length));
  },
  napi_get_value_bool__deps: ['$napi'],
  napi_get_value_bool: function (env, value, result) {
    var given = napi.values[value];
    if (typeof given !== 'boolean') return 1;
    HEAPU8[result] = given ? 1 : 0;
    return 0;
  },
  napi_get_value_uint32__deps: ['$napi'],
  napi_get_value_uint32: function (env, value, result) {
    var given = napi.values[value];
    if (typeof given !== 'number') return 1;
    HEAPU32[result >> 2] = given;
    return 0;
  },
  napi_get_value_int32__deps: ['$napi'],
  napi_get_value_int32: function (env, value, result) {
    var given = napi.values[value];
    if (typeof given !== 'number') return 1;
    HEAP32[result >> 2] = given;
    return 0;
  },
  napi_get_value_int64__deps: ['$napi'],
  napi_get_value_int64: function (env, value, result) {
    var given = napi.values[value];
    if (typeof given !== 'number' || !Number.isFinite(given)) return 1;
    HEAP64[result >> 3] = BigInt(Math.trunc(given));
    return 0;
  },
  napi_get_value_double__deps: ['$napi'],
  napi_get_value_double: function (env, value, result) {
    var given = napi.values[value];
    if (typeof given !== 'number') return 1;
    HEAPF64[result >> 3] = given;
    return 0;
  },
  napi_get_value_string_utf8__deps: ['$napi'],
  napi_get_value_string_utf8: function (env, value, text, capacity, length) {
    var given = napi.values[value];
    if (typeof given !== 'string') return 1;
    if (!napi.encoder) napi.encoder = new TextEncoder();
    if (!text) {
      HEAPU32[length >> 2] = napi.encoder.encode(given).length;
      return 0;
    }
    var written = napi.encoder.encodeInto(given, HEAPU8.subarray(text, text + capacity - 1)).written;
    HEAPU8[text + written] = 0;
    HEAPU32[length >> 2] = written;
    return 0;
  },
  napi_get_array_length__deps: ['$napi'],
  napi_get_array_length: function (env, value, result) {
    var given = napi.values[value];
    if (!Array.isArray(given)) return 1;
    HEAPU32[result >> 2] = given.length;
    return 0;
  },
  napi_get_element__deps: ['$napi'],
  napi_get_element: function (env, array, index, result) {
    return napi.put(result, napi.values[array][index]);
  },
  napi_set_element__deps: ['$napi'],
  napi_set_element: function (env, array, index, value) {
    napi.values[array][index] = napi.values[value];
    return 0;
  },
  napi_set_named_property__deps: ['$napi'],
  napi_set_named_property: function (env, object, name, value) {
    napi.values[object][napi.zero(name)] = napi.values[value];
    return 0;
  },
  // What is not in the engine's memory is copied there, until the call from JavaScript returns.
  napi_get_typedarray_info__deps: ['$napi', 'malloc', 'free'],
  napi_get_typedarray_info: function (env, value, type, length, data, buffer, offset) {
    var given = napi.values[value];
    if (!ArrayBuffer.isView(given)) return 1;
    var place = given.byteOffset;
    if (given.buffer !== HEAPU8.buffer) {
      place = _malloc(given.byteLength || 1);
      if (!place) return 1;
      napi.scratch.push(place);
      HEAPU8.set(new Uint8Array(given.buffer, given.byteOffset, given.byteLength), place);
    }
    if (length) HEAPU32[length >> 2] = given.length;
    if (data) HEAPU32[data >> 2] = place;
    return 0;
  },

  blazen_loop_soon__deps: ['$napi'],
  blazen_loop_soon: function (self) {
    Module['blazenSoon'](function () {
      napi.depth++;
      try {
        _turn(self);
      } finally {
        napi.leave();
      }
    });
  },
  blazen_loop_timer__deps: ['$napi'],
  blazen_loop_timer: function (self, delay) {
    Module['blazenTimer'](delay, function () {
      napi.depth++;
      try {
        _turn(self);
      } finally {
        napi.leave();
      }
    });
  },
  blazen_loop_keep: function (kept) {
    Module['blazenKeep'](kept !== 0);
  },
  blazen_loop_now: function () {
    return performance.now();
  },

  $blazenAddon__deps: ['$napi'],
  $blazenAddon: function () {
    var exports = {};
    var number = napi.values.push(exports) - 1;
    _blazen_addon(1, number);
    napi.values.length = number;
    return exports;
  },
});
