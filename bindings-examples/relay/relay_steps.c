/* Every write is keyed by what it is about: a step that runs again after a resume writes the same once more.
 */
#include "relay_steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay_workflow.h"
#include "sha256.h"

enum { PART_BYTES_MAX = 8192, KEY_BYTES = 64, MESSAGE_BYTES = 512 };

/* ---- keys, numbers and failures ---- */

typedef struct relay_key {
  char text[KEY_BYTES];
  size_t length;
} relay_key;

/* "part/000017/text" */
static relay_key key_of(const char* noun, unsigned number, const char* what) {
  relay_key key;
  key.length = (size_t)snprintf(key.text, sizeof key.text, "%s/%06u/%s", noun, number, what);
  return key;
}

static blazen_status set_number(blazen_context* context, relay_key key, unsigned number,
                                blazen_error** error) {
  char json[16];
  int length = snprintf(json, sizeof json, "%u", number);
  return blazen_context_set_json(context, key.text, key.length, json, (size_t)length, error);
}

static blazen_status set_total(blazen_context* context, const char* name, unsigned number,
                               blazen_error** error) {
  relay_key key;
  key.length = (size_t)snprintf(key.text, sizeof key.text, "%s", name);
  return set_number(context, key, number, error);
}

/* As a JSON string: hexadecimal digits need no escapes. */
static blazen_status set_sha256(blazen_context* context, const char* key, size_t key_length, const char* hex,
                                blazen_error** error) {
  char json[RELAY_SHA256_HEX + 3];
  int length = snprintf(json, sizeof json, "\"%s\"", hex);
  return blazen_context_set_json(context, key, key_length, json, (size_t)length, error);
}

static blazen_status emit_number(blazen_context* context, const char* type, unsigned number,
                                 blazen_error** error) {
  char json[16];
  int length = snprintf(json, sizeof json, "%u", number);
  return blazen_context_emit_json(context, type, strlen(type), json, (size_t)length, error);
}

/* The number that an event carries; 0 where it carries none. */
static unsigned number_of(const blazen_event* event) {
  unsigned number = 0;
  const blazen_value* value = blazen_event_value(event);
  if (blazen_value_tag(value) == BLAZEN_TAG_JSON) (void)sscanf(blazen_value_data(value, NULL), "%u", &number);
  return number;
}

static blazen_status fail_with(int64_t code, const char* message, blazen_error** error) {
  return blazen_error_host(code, message, strlen(message), NULL, error);
}

/* Paths need not be UTF-8, messages must: what is not plain ASCII is shown as '?'. */
static blazen_status fail_for_file(const char* path, int code, blazen_error** error) {
  char message[MESSAGE_BYTES];
  (void)snprintf(message, sizeof message, "cannot read %.300s: %s", path, strerror(code));
  for (char* at = message; *at != '\0'; ++at) {
    if (*at < ' ' || *at > '~') *at = '?';
  }
  return fail_with(code, message, error);
}

/* ---- read ---- */

/* How far the reading is. */
typedef struct reader {
  blazen_context* context;
  blazen_error** error;
  unsigned files, parts;
} reader;

static blazen_status put_part(reader* reader, const char* text, size_t length) {
  unsigned part = ++reader->parts;
  relay_key text_key = key_of("part", part, "text"), hash_key = key_of("part", part, "sha256");
  char hex[RELAY_SHA256_HEX + 1];
  blazen_status status =
      blazen_context_set_bytes(reader->context, text_key.text, text_key.length, text, length, reader->error);
  if (status != BLAZEN_OK) return status;
  relay_sha256(text, length, hex);
  status = set_sha256(reader->context, hash_key.text, hash_key.length, hex, reader->error);
  if (status != BLAZEN_OK) return status;
  status = set_number(reader->context, key_of("part", part, "file"), reader->files, reader->error);
  if (status != BLAZEN_OK) return status;
  return emit_number(reader->context, RELAY_PART, part, reader->error);
}

/* The part ends after the last line that is whole; at the end of a file, or in a line that is too long, at
 * the end. */
static size_t part_length(const char* text, size_t length) {
  if (length < PART_BYTES_MAX) return length;
  while (length > 0 && text[length - 1] != '\n') --length;
  return length == 0 ? PART_BYTES_MAX : length;
}

static blazen_status read_parts(reader* reader, FILE* file) {
  char text[PART_BYTES_MAX];
  size_t held = 0;
  for (;;) {
    held += fread(text + held, 1, sizeof text - held, file);
    if (held == 0) return BLAZEN_OK;
    size_t length = part_length(text, held);
    blazen_status status = put_part(reader, text, length);
    if (status != BLAZEN_OK) return status;
    held -= length;
    memmove(text, text + length, held);
  }
}

static blazen_status read_file(reader* reader, const char* path) {
  relay_key key = key_of("file", ++reader->files, "path");
  blazen_status status =
      blazen_context_set_bytes(reader->context, key.text, key.length, path, strlen(path), reader->error);
  if (status != BLAZEN_OK) return status;
  FILE* file = fopen(path, "rb");
  if (file == NULL) return fail_for_file(path, errno, reader->error);
  status = read_parts(reader, file);
  if (status == BLAZEN_OK && ferror(file)) status = fail_for_file(path, errno, reader->error);
  (void)fclose(file);
  return status;
}

static blazen_status put_totals(const reader* reader) {
  blazen_status status = set_total(reader->context, "files", reader->files, reader->error);
  if (status == BLAZEN_OK) status = set_total(reader->context, "parts", reader->parts, reader->error);
  return status;
}

blazen_status relay_read(void* user_data, blazen_context* context, const blazen_event* event,
                         blazen_error** error) {
  relay_counts* counts = user_data;
  reader reader = {context, error, 0, 0};
  size_t length;
  const char* paths = blazen_value_data(blazen_event_value(event), &length);
  if (blazen_value_tag(blazen_event_value(event)) != BLAZEN_TAG_BYTES ||
      (length > 0 && paths[length - 1] != '\0')) {
    return fail_with(0, "the input is not a list of paths, each ended by a NUL", error);
  }
  blazen_status status = blazen_context_emit(context, BLAZEN_TEXT(RELAY_TEXTS_READ), NULL, error);
  for (size_t at = 0; status == BLAZEN_OK && at < length; at += strlen(paths + at) + 1) {
    status = read_file(&reader, paths + at);
  }
  if (status == BLAZEN_OK) status = put_totals(&reader);
  if (status == BLAZEN_OK && counts != NULL) counts->files = reader.files, counts->parts = reader.parts;
  return status;
}

/* ---- check ---- */

/* Is `stored`, a JSON string, this digest? */
static int is_sha256(const blazen_value* stored, const char* hex) {
  size_t length;
  const char* json = blazen_value_data(stored, &length);
  return length == RELAY_SHA256_HEX + 2 && memcmp(json + 1, hex, RELAY_SHA256_HEX) == 0;
}

static blazen_status fail_for_part(unsigned part, blazen_error** error) {
  char message[MESSAGE_BYTES];
  (void)snprintf(message, sizeof message, "part %u is not as it was read", part);
  return fail_with(part, message, error);
}

blazen_status relay_check(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  relay_counts* counts = user_data;
  unsigned part = number_of(event);
  relay_key text_key = key_of("part", part, "text"), hash_key = key_of("part", part, "sha256");
  blazen_value *text = NULL, *hash = NULL;
  char hex[RELAY_SHA256_HEX + 1];
  blazen_status status =
      blazen_context_get_value(context, text_key.text, text_key.length, &text, NULL, error);
  if (status == BLAZEN_OK) {
    status = blazen_context_get_value(context, hash_key.text, hash_key.length, &hash, NULL, error);
  }
  if (status == BLAZEN_OK) {
    size_t length;
    const void* data = blazen_value_data(text, &length);
    relay_sha256(data, length, hex);
    status =
        is_sha256(hash, hex) ? emit_number(context, RELAY_CHECKED, part, error) : fail_for_part(part, error);
  }
  if (status == BLAZEN_OK && counts != NULL) ++counts->checked;
  blazen_value_release(text);
  blazen_value_release(hash);
  return status;
}

/* ---- carry and shelve ---- */

blazen_status relay_carry(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  relay_counts* counts = user_data;
  blazen_value* vocabulary = NULL;
  char hex[RELAY_SHA256_HEX + 1];
  (void)event;
  blazen_status status =
      blazen_context_get_value(context, BLAZEN_TEXT("vocabulary"), &vocabulary, NULL, error);
  if (status == BLAZEN_OK) {
    size_t length;
    const void* data = blazen_value_data(vocabulary, &length);
    relay_sha256(data, length, hex);
    status = set_sha256(context, BLAZEN_TEXT("vocabulary/carried_sha256"), hex, error);
  }
  if (status == BLAZEN_OK) {
    status = blazen_context_emit(context, BLAZEN_TEXT(RELAY_VOCABULARY_CARRIED), vocabulary, error);
  }
  if (status == BLAZEN_OK && counts != NULL) ++counts->carried;
  blazen_value_release(vocabulary);
  return status;
}

blazen_status relay_shelve(void* user_data, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
  (void)user_data;
  blazen_status status =
      blazen_context_set_value(context, BLAZEN_TEXT("vocabulary"), blazen_event_value(event), error);
  if (status != BLAZEN_OK) return status;
  return blazen_context_emit(context, BLAZEN_TEXT(RELAY_SHELVED), NULL, error);
}
