/* JSON: what it holds exactly, and nothing else. Exact types only, so that all comes back as the type that it was. */
#include <string.h>

#include "common.h"

enum { DEPTH_MAX = 500 }; /* below BLAZEN_JSON_DEPTH_MAX, and that of a question */

void buffer_init(Buffer* buffer) {
  buffer->data = buffer->small;
  buffer->length = 0;
  buffer->capacity = sizeof buffer->small;
}

void buffer_free(Buffer* buffer) {
  if (buffer->data != buffer->small) {
    PyMem_Free(buffer->data);
  }
}

static int grow(Buffer* buffer, size_t more) {
  size_t capacity = buffer->capacity;
  while (capacity - buffer->length < more) {
    capacity *= 2;
  }
  char* data = buffer->data == buffer->small ? PyMem_Malloc(capacity) : PyMem_Realloc(buffer->data, capacity);
  if (data == NULL) {
    PyErr_NoMemory();
    return -1;
  }
  if (buffer->data == buffer->small) {
    memcpy(data, buffer->small, buffer->length);
  }
  buffer->data = data;
  buffer->capacity = capacity;
  return 0;
}

static inline int room(Buffer* buffer, size_t more) {
  return buffer->capacity - buffer->length >= more ? 0 : grow(buffer, more);
}

static inline int put(Buffer* buffer, const char* text, size_t length) {
  if (room(buffer, length) < 0) {
    return -1;
  }
  memcpy(buffer->data + buffer->length, text, length);
  buffer->length += length;
  return 1;
}

/* ---- writing ---- */

static int put_text(Buffer* buffer, PyObject* object) {
  Py_ssize_t size;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == NULL) { /* a lone surrogate */
    if (!PyErr_ExceptionMatches(PyExc_UnicodeError)) {
      return -1;
    }
    PyErr_Clear();
    return 0;
  }
  if (room(buffer, (size_t)size * 6 + 2) < 0) {
    return -1;
  }
  char* out = buffer->data + buffer->length;
  *out++ = '"';
  for (const char* in = text, *end = text + size; in != end; ++in) {
    unsigned char c = (unsigned char)*in;
    if (c >= 0x20 && c != '"' && c != '\\') {
      *out++ = (char)c;
      continue;
    }
    *out++ = '\\';
    switch (c) {
      case '"':
      case '\\': *out++ = (char)c; break;
      case '\n': *out++ = 'n'; break;
      case '\r': *out++ = 'r'; break;
      case '\t': *out++ = 't'; break;
      case '\b': *out++ = 'b'; break;
      case '\f': *out++ = 'f'; break;
      default:
        memcpy(out, "u00", 3);
        out[3] = "0123456789abcdef"[c >> 4];
        out[4] = "0123456789abcdef"[c & 15];
        out += 5;
    }
  }
  *out++ = '"';
  buffer->length = (size_t)(out - buffer->data);
  return 1;
}

static int put_whole(Buffer* buffer, PyObject* object) {
  int overflow;
  long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow == 0) {
    if (number == -1 && PyErr_Occurred()) {
      return -1;
    }
    char digits[24], *end = digits + sizeof digits, *begin = end;
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
      *--begin = (char)('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    if (number < 0) {
      *--begin = '-';
    }
    return put(buffer, begin, (size_t)(end - begin));
  }
  PyObject* text = PyObject_Str(object);
  if (text == NULL) { /* more digits than Python writes */
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
      return -1;
    }
    PyErr_Clear();
    return 0;
  }
  Py_ssize_t size;
  const char* digits = PyUnicode_AsUTF8AndSize(text, &size);
  int done = digits == NULL ? -1 : put(buffer, digits, (size_t)size);
  Py_DECREF(text);
  return done;
}

static int put_float(Buffer* buffer, PyObject* object) {
  double number = PyFloat_AsDouble(object);
  if (number != number || number - number != 0) {
    return 0;
  }
  char* text = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
  if (text == NULL) {
    return -1;
  }
  int done = put(buffer, text, strlen(text));
  PyMem_Free(text);
  return done;
}

static int put_any(Buffer* buffer, PyObject* object, int depth);

static int put_dict(Buffer* buffer, PyObject* dict, int depth) {
  Py_ssize_t position = 0;
  PyObject *key, *item;
  char before = '{';
  while (PyDict_Next(dict, &position, &key, &item)) {
    if (!PyUnicode_CheckExact(key)) {
      return 0;
    }
    int done = put(buffer, &before, 1);
    before = ',';
    if (done <= 0 || (done = put_text(buffer, key)) <= 0 || (done = put(buffer, ":", 1)) <= 0 ||
        (done = put_any(buffer, item, depth)) <= 0) {
      return done;
    }
  }
  return before == '{' ? put(buffer, "{}", 2) : put(buffer, "}", 1);
}

static int put_list(Buffer* buffer, PyObject* list, int depth) {
  Py_ssize_t count = PyList_Size(list);
  for (Py_ssize_t i = 0; i < count; ++i) {
    int done = put(buffer, i == 0 ? "[" : ",", 1);
    if (done <= 0 || (done = put_any(buffer, PyList_GetItem(list, i), depth)) <= 0) {
      return done;
    }
  }
  return count == 0 ? put(buffer, "[]", 2) : put(buffer, "]", 1);
}

static int put_any(Buffer* buffer, PyObject* object, int depth) {
  if (object == Py_None) {
    return put(buffer, "null", 4);
  }
  if (object == Py_True) {
    return put(buffer, "true", 4);
  }
  if (object == Py_False) {
    return put(buffer, "false", 5);
  }
  if (PyUnicode_CheckExact(object)) {
    return put_text(buffer, object);
  }
  if (PyLong_CheckExact(object)) {
    return put_whole(buffer, object);
  }
  if (PyFloat_CheckExact(object)) {
    return put_float(buffer, object);
  }
  if (depth == DEPTH_MAX) { /* also what is circular */
    return 0;
  }
  if (PyDict_CheckExact(object)) {
    return put_dict(buffer, object, depth + 1);
  }
  if (PyList_CheckExact(object)) {
    return put_list(buffer, object, depth + 1);
  }
  return 0;
}

int json_write(Buffer* buffer, PyObject* object) { return put_any(buffer, object, 0); }

/* ---- reading: of text that the library has checked ---- */

typedef struct {
  const char *at, *end;
} Reader;

static PyObject* read_any(Reader* reader);

static void skip_space(Reader* reader) {
  while (reader->at < reader->end &&
         (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t')) {
    ++reader->at;
  }
}

static unsigned hex4(const char* at) {
  unsigned code = 0;
  for (int i = 0; i < 4; ++i) {
    char c = at[i];
    code = code * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return code;
}

static char* put_utf8(char* out, unsigned code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  } else {
    *out++ = (char)(0xf0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 63));
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  }
  return out;
}

static PyObject* lone_surrogate(void) {
  PyErr_SetString(PyExc_ValueError,
                  "the JSON text has a lone surrogate (\\ud800 to \\udfff), which is no text");
  return NULL;
}

static PyObject* read_escaped(const char* begin, const char* end) {
  char *text = PyMem_Malloc((size_t)(end - begin) + 1), *out = text;
  if (text == NULL) {
    return PyErr_NoMemory();
  }
  for (const char* in = begin; in < end;) {
    if (*in != '\\') {
      *out++ = *in++;
      continue;
    }
    char c = in[1];
    in += 2;
    switch (c) {
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'u': {
        unsigned code = hex4(in);
        in += 4;
        if (code >= 0xd800 && code < 0xe000) {
          unsigned low = end - in >= 6 && in[0] == '\\' && in[1] == 'u' ? hex4(in + 2) : 0;
          if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) {
            PyMem_Free(text);
            return lone_surrogate();
          }
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          in += 6;
        }
        out = put_utf8(out, code);
        break;
      }
      default: *out++ = c;
    }
  }
  PyObject* read = PyUnicode_DecodeUTF8(text, out - text, NULL);
  PyMem_Free(text);
  return read;
}

static PyObject* read_text(Reader* reader) {
  const char *begin = ++reader->at, *at = begin;
  int escaped = 0;
  while (*at != '"') {
    if (*at == '\\') {
      escaped = 1;
      ++at;
    }
    ++at;
  }
  reader->at = at + 1;
  return escaped ? read_escaped(begin, at) : PyUnicode_DecodeUTF8(begin, at - begin, NULL);
}

static PyObject* read_number(Reader* reader) {
  const char *begin = reader->at, *at = begin;
  int is_whole = 1;
  while (at < reader->end &&
         ((*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == '.' || *at == 'e' || *at == 'E')) {
    is_whole &= *at != '.' && *at != 'e' && *at != 'E';
    ++at;
  }
  reader->at = at;
  size_t length = (size_t)(at - begin);
  if (is_whole && length < 18) {
    long long number = 0;
    for (const char* digit = begin + (*begin == '-'); digit < at; ++digit) {
      number = number * 10 + (*digit - '0');
    }
    return PyLong_FromLongLong(*begin == '-' ? -number : number);
  }
  char small[64], *text = length < sizeof small ? small : PyMem_Malloc(length + 1);
  if (text == NULL) {
    return PyErr_NoMemory();
  }
  memcpy(text, begin, length);
  text[length] = 0;
  PyObject* number;
  if (is_whole) {
    number = PyLong_FromString(text, NULL, 10);
  } else {
    double read = PyOS_string_to_double(text, NULL, NULL);
    if (read == -1.0 && PyErr_Occurred()) {
      number = NULL;
    } else if (read - read != 0) {
      PyErr_Format(PyExc_OverflowError, "the JSON number %.40s is beyond what a float holds", text);
      number = NULL;
    } else {
      number = PyFloat_FromDouble(read);
    }
  }
  if (text != small) {
    PyMem_Free(text);
  }
  return number;
}

static PyObject* read_dict(Reader* reader) {
  PyObject* dict = PyDict_New();
  ++reader->at;
  skip_space(reader);
  if (dict != NULL && *reader->at == '}') {
    ++reader->at;
    return dict;
  }
  while (dict != NULL) {
    skip_space(reader);
    PyObject *key = read_text(reader), *item = NULL;
    if (key != NULL) {
      skip_space(reader);
      ++reader->at; /* : */
      item = read_any(reader);
    }
    int failed = item == NULL || PyDict_SetItem(dict, key, item) < 0;
    Py_XDECREF(key);
    Py_XDECREF(item);
    if (failed) {
      Py_CLEAR(dict);
      break;
    }
    skip_space(reader);
    if (*reader->at++ == '}') {
      break;
    }
  }
  return dict;
}

static PyObject* read_list(Reader* reader) {
  PyObject* list = PyList_New(0);
  ++reader->at;
  skip_space(reader);
  if (list != NULL && *reader->at == ']') {
    ++reader->at;
    return list;
  }
  while (list != NULL) {
    PyObject* item = read_any(reader);
    int failed = item == NULL || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    if (failed) {
      Py_CLEAR(list);
      break;
    }
    skip_space(reader);
    if (*reader->at++ == ']') {
      break;
    }
  }
  return list;
}

static PyObject* read_any(Reader* reader) {
  skip_space(reader);
  switch (*reader->at) {
    case '{': return read_dict(reader);
    case '[': return read_list(reader);
    case '"': return read_text(reader);
    case 'n': reader->at += 4; Py_RETURN_NONE;
    case 't': reader->at += 4; Py_RETURN_TRUE;
    case 'f': reader->at += 5; Py_RETURN_FALSE;
    default: return read_number(reader);
  }
}

PyObject* json_read(const char* text, size_t length) {
  Reader reader = {text, text + length};
  return read_any(&reader);
}
