/* The workflow `travel` in C: see README.md beside it. */
#include <blazen/blazen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096, PARTS_MAX = 8, FILE_MAX = 1 << 20 };

/* The session policy. With one, something is in the session. */
#define POLICY "TRAVEL_POLICY"
/* C has no serializer: a codec of our own. */
#define CODEC "c/pair"
#define OWN "1 zwei"
static const char json[] =
    "{\"name\":\"Żółć 🜁 \\u0000\\n\\\"\\\\\",\"nested\":{\"\":[1,2.5,-1e-7,true,null,{}],"
    "\"__proto__\":{\"a\":[]},\"type\":\"x\"},"
    "\"big\":[9007199254740993,18446744073709551615,-9223372036854775808]}";
static const uint8_t bytes[] = {0, 1, 127, 128, 255};
/* CBOR: {"b": h'00ff', "n": [NaN, -0.0, 2^70, -2^70, Infinity, 1.5], "t": "ü"}, and how it is shown. */
static const uint8_t plain[] =
    "\xa3\x61\x62\x42\x00\xff\x61\x6e\x86\xf9\x7e\x00\xf9\x80\x00\xc2\x49\x40\0\0\0\0\0\0\0\0"
    "\xc3\x49\x3f\xff\xff\xff\xff\xff\xff\xff\xff\xf9\x7c\x00\xf9\x3e\x00\x61\x74\x62\xc3\xbc";
static const char plain_shown[] =
    "{\"b\":{\"bytes\":\"00ff\"},\"n\":[{\"float\":\"nan\"},{\"float\":\"-0\"},{\"int\":"
    "\"1180591620717411303424\"},"
    "{\"int\":\"-1180591620717411303424\"},{\"float\":\"inf\"},1.5],\"t\":\"ü\"}";
static const uint8_t date[] = "\xc1\x1a\x6b\x07\x85\x0b"; /* in seconds */
static const uint8_t date_as_text[] =
    "\xc0\x78\x19"
    "2026-11-26T01:02:03+00:00";
static const char date_shown[] = "{\"date\":1795654923}";
static const uint8_t lone[] = "\xd8\x41\x44\xd8\0\0x"; /* UTF-16 with a lone surrogate */
static const char lone_shown[] = "{\"utf16\":\"d8000078\"}";

static blazen_status wrong(const char* what, blazen_error** error) {
  return blazen_error_host(0, what, strlen(what), NULL, error);
}

/* ---- CBOR ---- */

/* Bytes that are lent. */
typedef struct span {
  const uint8_t* data;
  size_t length;
} span;

/* Takes the head of an item off: its major type, and its number. */
static int take_head(span* from, unsigned* major, uint64_t* number) {
  if (from->length == 0) return 0;
  const unsigned info = from->data[0] & 31;
  const size_t more = info < 24 ? 0 : info < 28 ? (size_t)1 << (info - 24) : SIZE_MAX;
  if (more > from->length - 1) return 0;
  *major = from->data[0] >> 5, *number = more == 0 ? info : 0;
  for (size_t i = 1; i <= more; ++i) *number = *number << 8 | from->data[i];
  from->data += 1 + more, from->length -= 1 + more;
  return 1;
}

/* Takes one item off. */
static int take_item(span* from, span* item) {
  unsigned major;
  uint64_t number;
  const uint8_t* begin = from->data;
  if (!take_head(from, &major, &number)) return 0;
  if (major == 2 || major == 3) {
    if (number > from->length) return 0;
    from->data += number, from->length -= number;
  } else if (major >= 4 && major <= 6) {
    span inner;
    for (uint64_t left = major == 5 ? 2 * number : major == 4 ? number : 1; left > 0; --left)
      if (!take_item(from, &inner)) return 0;
  }
  item->data = begin, item->length = (size_t)(from->data - begin);
  return 1;
}

/* Takes the content of a byte string or a text off. */
static int take_string(span* from, unsigned major, span* content) {
  unsigned found;
  uint64_t length;
  if (!take_head(from, &found, &length) || found != major || length > from->length) return 0;
  content->data = from->data, content->length = (size_t)length;
  from->data += length, from->length -= length;
  return 1;
}

/* The field of a map. */
static int find(span map, const char* name, span* item) {
  unsigned major;
  uint64_t count;
  span key;
  if (!take_head(&map, &major, &count) || major != 5) return 0;
  for (; count > 0; --count) {
    if (!take_string(&map, 3, &key) || !take_item(&map, item)) return 0;
    if (key.length == strlen(name) && memcmp(key.data, name, key.length) == 0) return 1;
  }
  return 0;
}

static int find_number(span map, const char* name, unsigned* number) {
  unsigned major;
  uint64_t found;
  span item;
  if (!find(map, name, &item) || !take_head(&item, &major, &found) || major != 0) return 0;
  *number = (unsigned)found;
  return 1;
}

/* An object of a platform: tag 27 of [codec, bytes]. */
static int take_object(span item, span* codec, span* data) {
  static const uint8_t head[] = {0xd8, 27, 0x82};
  if (item.length < sizeof head || memcmp(item.data, head, sizeof head) != 0) return 0;
  item.data += sizeof head, item.length -= sizeof head;
  return take_string(&item, 3, codec) && take_string(&item, 2, data);
}

/* What is written: CBOR or text. */
typedef struct buffer {
  uint8_t data[TEXT_MAX];
  size_t length;
} buffer;

static void put(buffer* to, const void* data, size_t length) {
  if (length > sizeof to->data - to->length) abort();
  memcpy(to->data + to->length, data, length);
  to->length += length;
}

static void put_text(buffer* to, const char* text) { put(to, text, strlen(text)); }

static void put_string(buffer* to, unsigned major, const void* data, size_t length) {
  const uint8_t head[] = {(uint8_t)(major << 5 | 25), (uint8_t)(length >> 8), (uint8_t)length};
  const uint8_t small[] = {(uint8_t)(major << 5 | (length < 24 ? length : 24)), (uint8_t)length};
  if (length < 256)
    put(to, small, length < 24 ? 1 : 2);
  else
    put(to, head, sizeof head);
  put(to, data, length);
}

static void put_object(buffer* to, const blazen_value* own) {
  size_t length;
  const char* codec = blazen_value_codec(own, &length);
  put(to, "\xd8\x1b\x82", 3);
  put_string(to, 3, codec, length);
  const void* data = blazen_value_data(own, &length);
  put_string(to, 2, data, length);
}

static void put_hex(buffer* to, span data) {
  char digits[3];
  for (size_t i = 0; i < data.length; ++i) {
    (void)snprintf(digits, sizeof digits, "%02x", data.data[i]);
    put(to, digits, 2);
  }
}

/* ---- values ---- */

static span span_of(const blazen_value* value) {
  span data;
  data.data = blazen_value_data(value, &data.length);
  return data;
}

static int is(span data, const void* expected, size_t length) {
  return data.length == length && memcmp(data.data, expected, length) == 0;
}

static blazen_status get(blazen_context* context, const char* key, blazen_value** value,
                         blazen_error** error) {
  blazen_status status = blazen_context_get_value(context, key, strlen(key), value, NULL, error);
  return status == BLAZEN_OK && *value == NULL ? wrong(key, error) : status;
}

/* Puts a value of the library's into the state, and lets go of it. */
static blazen_status set(blazen_context* context, const char* key, blazen_value* value,
                         blazen_error** error) {
  blazen_status status = blazen_context_set_value(context, key, strlen(key), value, error);
  blazen_value_release(value);
  return status;
}

static blazen_status set_native(blazen_context* context, const char* key, const void* data, size_t length,
                                const char* codec, blazen_error** error) {
  blazen_value* value = NULL;
  blazen_status status = blazen_value_native(data, length, codec, strlen(codec), &value, error);
  return status == BLAZEN_OK ? set(context, key, value, error) : status;
}

/* Emits an event whose value is CBOR. */
static blazen_status emit(blazen_context* context, const char* type, const buffer* cbor,
                          blazen_error** error) {
  blazen_value* value = NULL;
  blazen_status status =
      blazen_value_native(cbor->data, cbor->length, BLAZEN_TEXT("blazen/cbor"), &value, error);
  if (status == BLAZEN_OK) status = blazen_context_emit(context, type, strlen(type), value, error);
  blazen_value_release(value);
  return status;
}

/* It is ours, or of the codec that the writer named. */
static blazen_status check_own(blazen_context* context, span codec, span data, blazen_error** error) {
  blazen_value* writer = NULL;
  blazen_status status = get(context, "codec", &writer, error);
  if (status != BLAZEN_OK) return status;
  const span name = span_of(writer); /* JSON: in quotes */
  const int is_writers =
      name.length == codec.length + 2 && memcmp(name.data + 1, codec.data, codec.length) == 0;
  const int is_ours = is(codec, CODEC, strlen(CODEC));
  blazen_value_release(writer);
  return is_writers && (!is_ours || is(data, OWN, strlen(OWN)))
             ? BLAZEN_OK
             : wrong("`own` is not as it was written", error);
}

static blazen_status check_own_value(blazen_context* context, const blazen_value* own, blazen_error** error) {
  span codec;
  codec.data = (const uint8_t*)blazen_value_codec(own, &codec.length);
  return check_own(context, codec, span_of(own), error);
}

/* ---- steps ---- */

static blazen_status gather(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  static const char* const parts[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"};
  static const char question[] = "{\"request_id\":\"first\",\"prompt\":\"first?\"}";
  blazen_value* value = NULL;
  (void)user_data, (void)event;
  blazen_status status =
      blazen_context_set_json(context, BLAZEN_TEXT("codec"), BLAZEN_TEXT("\"" CODEC "\""), error);
  if (status == BLAZEN_OK)
    status = blazen_context_set_json(context, BLAZEN_TEXT("json"), json, strlen(json), error);
  if (status == BLAZEN_OK) status = blazen_value_bytes(bytes, sizeof bytes, &value, error);
  if (status == BLAZEN_OK) status = set(context, "bytes", value, error);
  if (status == BLAZEN_OK)
    status = set_native(context, "plain", plain, sizeof plain - 1, "blazen/cbor", error);
  if (status == BLAZEN_OK) status = set_native(context, "date", date, sizeof date - 1, "blazen/cbor", error);
  if (status == BLAZEN_OK) status = set_native(context, "text", lone, sizeof lone - 1, "blazen/cbor", error);
  if (status == BLAZEN_OK) status = set_native(context, "own", OWN, strlen(OWN), CODEC, error);
  if (status == BLAZEN_OK && getenv(POLICY) != NULL) {
    status = blazen_value_json(BLAZEN_TEXT("\"12 A\""), &value, error);
    if (status == BLAZEN_OK) status = blazen_context_set_session(context, BLAZEN_TEXT("seat"), value, error);
    blazen_value_release(value);
  }
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof parts / sizeof parts[0]; ++i)
    status = blazen_context_emit_json(context, BLAZEN_TEXT("Part"), parts[i], strlen(parts[i]), error);
  if (status != BLAZEN_OK) return status;
  return blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_INPUT_REQUEST_EVENT), question,
                                  strlen(question), error);
}

static blazen_status part(void* user_data, blazen_context* context, const blazen_event* event,
                          blazen_error** error) {
  const unsigned attempt = blazen_context_attempt(context);
  unsigned n = 0;
  buffer done = {{0}, 0};
  (void)user_data;
  if (sscanf(blazen_value_data(blazen_event_value(event), NULL), "{\"n\":%u}", &n) != 1 || n > 23 ||
      attempt > 23)
    return wrong("a Part is {\"n\":...}", error);
  if (n == 2 && attempt == 1) return wrong("not yet", error);
  const uint8_t numbers[] = {(uint8_t)n, (uint8_t)attempt}, raw[] = {(uint8_t)n, 255};
  put_text(&done, "\xa3\x61n"), put(&done, &numbers[0], 1);
  put_string(&done, 3, "raw", 3), put_string(&done, 2, raw, sizeof raw);
  put_string(&done, 3, "attempt", 7), put(&done, &numbers[1], 1);
  return emit(context, "Done", &done, error);
}

static blazen_status answered(void* user_data, blazen_context* context, const blazen_event* event,
                              blazen_error** error) {
  const span value = span_of(blazen_event_value(event));
  static const char field[] = "\"response\":";
  blazen_value* own = NULL;
  buffer done = {{0}, 0};
  (void)user_data;
  /* {"request_id":...,"response":...}: the library's own text */
  const char* answer = value.data == NULL ? NULL : strstr((const char*)value.data, field);
  if (answer == NULL) return wrong("the answer has no response", error);
  answer += strlen(field);
  const size_t length = (size_t)((const char*)value.data + value.length - 1 - answer);
  blazen_status status = blazen_context_set_json(context, BLAZEN_TEXT("answer"), answer, length, error);
  if (status == BLAZEN_OK) status = get(context, "own", &own, error);
  if (status != BLAZEN_OK) return status;
  put_text(&done, "\xa1\x63own"), put_object(&done, own);
  blazen_value_release(own);
  return emit(context, "Done", &done, error);
}

/* One of the events that are joined: [n, attempt, "raw"] into its place, or a check. */
static blazen_status take_done(blazen_context* context, span done, buffer* parts, blazen_error** error) {
  span item, codec, data;
  unsigned n, attempt;
  char numbers[32];
  if (find(done, "own", &item) && take_object(item, &codec, &data))
    return check_own(context, codec, data, error);
  if (!find_number(done, "n", &n) || !find_number(done, "attempt", &attempt) || n >= PARTS_MAX ||
      !find(done, "raw", &item) || !take_string(&item, 2, &data))
    return wrong("a Done cannot be read", error);
  (void)snprintf(numbers, sizeof numbers, "[%u,%u,\"", n, attempt);
  put_text(&parts[n], numbers), put_hex(&parts[n], data), put_text(&parts[n], "\"],");
  return BLAZEN_OK;
}

static blazen_status set_parts(blazen_context* context, blazen_error** error) {
  static buffer parts[PARTS_MAX], list; /* one thread calls */
  const blazen_event* const* events = NULL;
  size_t count = 0;
  blazen_status status = blazen_context_events(context, &events, &count, error);
  memset(parts, 0, sizeof parts), list.length = 0;
  for (size_t i = 0; status == BLAZEN_OK && i < count; ++i)
    status = take_done(context, span_of(blazen_event_value(events[i])), parts, error);
  if (status != BLAZEN_OK) return status;
  put_text(&list, "[");
  for (size_t i = 0; i < PARTS_MAX; ++i) put(&list, parts[i].data, parts[i].length);
  list.data[list.length - 1] = ']'; /* in place of the last comma */
  return blazen_context_set_json(context, BLAZEN_TEXT("parts"), (const char*)list.data, list.length, error);
}

static blazen_status finish(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  static const char* const keys[] = {"json", "date", "text", "bytes", "plain", "own"};
  blazen_value* values[sizeof keys / sizeof keys[0]] = {NULL};
  char again[32];
  buffer carried = {{0}, 0};
  (void)user_data, (void)event;
  blazen_status status = set_parts(context, error);
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof keys / sizeof keys[0]; ++i) {
    (void)snprintf(again, sizeof again, "%s/again", keys[i]);
    status = get(context, keys[i], &values[i], error);
    if (status == BLAZEN_OK)
      status = blazen_context_set_value(context, again, strlen(again), values[i], error);
  }
  if (status == BLAZEN_OK) status = check_own_value(context, values[5], error);
  if (status == BLAZEN_OK) {
    const span data = span_of(values[3]), map = span_of(values[4]);
    put_text(&carried, "\xa3\x63own"), put_object(&carried, values[5]);
    put_text(&carried,
             "\x65"
             "bytes"),
        put_string(&carried, 2, data.data, data.length);
    put_text(&carried, "\x65plain"), put(&carried, map.data, map.length);
    status = emit(context, "Carried", &carried, error);
  }
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; ++i) blazen_value_release(values[i]);
  return status;
}

/* A key of the state with what is shown of it: what is not as expected is shown as it is. */
static blazen_status show_state(blazen_context* context, const char* key, const char* codec, buffer* out,
                                blazen_error** error) {
  blazen_value* value = NULL;
  blazen_status status = get(context, key, &value, error);
  if (status != BLAZEN_OK) return status;
  const span data = span_of(value);
  const blazen_tag tag = blazen_value_tag(value);
  if (strcmp(blazen_value_codec(value, NULL), codec) != 0) {
    status = wrong("the codec of a value is another now", error);
  } else if (tag == BLAZEN_TAG_JSON) {
    put(out, data.data, data.length);
  } else if (tag == BLAZEN_TAG_NATIVE && is(data, plain, sizeof plain - 1)) {
    put_text(out, plain_shown);
  } else if (tag == BLAZEN_TAG_NATIVE &&
             (is(data, date, sizeof date - 1) || is(data, date_as_text, sizeof date_as_text - 1))) {
    put_text(out, date_shown);
  } else if (tag == BLAZEN_TAG_NATIVE && is(data, lone, sizeof lone - 1)) {
    put_text(out, lone_shown);
  } else if (strcmp(codec, CODEC) == 0) {
    put_text(out, "\""), put(out, data.data, data.length), put_text(out, "\"");
  } else {
    put_text(out, tag == BLAZEN_TAG_BYTES ? "{\"bytes\":\"" : "{\"cbor\":\"");
    put_hex(out, data), put_text(out, "\"}");
  }
  blazen_value_release(value);
  return status;
}

static blazen_status show_carried(blazen_context* context, const blazen_event* event, buffer* out,
                                  blazen_error** error) {
  const span map = span_of(blazen_event_value(event));
  span item, data, own, codec;
  if (!find(map, "own", &item) || !take_object(item, &codec, &own) || !find(map, "bytes", &item) ||
      !take_string(&item, 2, &data) || !find(map, "plain", &item))
    return wrong("Carried cannot be read", error);
  if (!is(item, plain, sizeof plain - 1)) return wrong("`plain` in Carried is another", error);
  put_text(out, "{\"bytes\":{\"bytes\":\""), put_hex(out, data), put_text(out, "\"},\"plain\":"),
      put_text(out, plain_shown);
  put_text(out, ",\"own\":\""), put(out, own.data, own.length), put_text(out, "\"}");
  return check_own(context, codec, own, error);
}

static blazen_status show_seat(blazen_context* context, buffer* out, blazen_error** error) {
  blazen_value* seat = NULL;
  blazen_status status = blazen_context_get_session(context, BLAZEN_TEXT("seat"), &seat, error);
  if (status != BLAZEN_OK) return status;
  const span text = span_of(seat);
  put_text(out, ",\"seat\":");
  if (seat == NULL)
    put_text(out, "null");
  else
    put(out, text.data, text.length);
  blazen_value_release(seat);
  return BLAZEN_OK;
}

static blazen_status report(void* user_data, blazen_context* context, const blazen_event* event,
                            blazen_error** error) {
  static const struct {
    const char *before, *key, *codec;
  } shown[] = {
      {"{\"state\":{\"json\":", "json/again", ""},
      {",\"bytes\":", "bytes/again", ""},
      {",\"plain\":", "plain/again", "blazen/cbor"},
      {",\"date\":", "date/again", "blazen/cbor"},
      {",\"text\":", "text/again", "blazen/cbor"},
      {",\"own\":", "own/again", CODEC},
      {"},\"parts\":", "parts", ""},
      {",\"answers\":[", "answer", ""},
  };
  blazen_question question = BLAZEN_QUESTION_INIT;
  blazen_value* second = NULL;
  buffer result = {{0}, 0};
  (void)user_data;
  question.request_id = "second", question.request_id_length = strlen(question.request_id);
  question.prompt = "second?", question.prompt_length = strlen(question.prompt);
  blazen_status status = blazen_context_ask(context, &question, &second, error);
  if (status != BLAZEN_OK) return status; /* BLAZEN_PENDING: it is called again */
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof shown / sizeof shown[0]; ++i) {
    put_text(&result, shown[i].before);
    status = show_state(context, shown[i].key, shown[i].codec, &result, error);
  }
  const span answer = span_of(second);
  put_text(&result, ","), put(&result, answer.data, answer.length), put_text(&result, "],\"carried\":");
  blazen_value_release(second);
  if (status == BLAZEN_OK) status = show_carried(context, event, &result, error);
  if (status == BLAZEN_OK) status = show_seat(context, &result, error);
  put_text(&result, "}");
  if (status != BLAZEN_OK) return status;
  return blazen_context_emit_json(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), (const char*)result.data,
                                  result.length, error);
}

/* ---- the workflow ---- */

static blazen_session_policy policy(void) {
  static const char* const names[] = {"pickle_or_error", "pickle_or_serialize", "warn_drop"};
  const char* name = getenv(POLICY);
  for (blazen_session_policy each = BLAZEN_SESSION_PICKLE_OR_ERROR; each <= BLAZEN_SESSION_WARN_DROP; ++each)
    if (name != NULL && strcmp(name, names[each]) == 0) return each;
  return BLAZEN_SESSION_HARD_ERROR;
}

static blazen_status build(blazen_workflow** workflow, blazen_error** error) {
  static const struct {
    const char *name, *accepts;
    blazen_step_fn body;
  } steps[] = {
      {"gather", BLAZEN_START_EVENT, gather},
      {"part", "Part", part},
      {"answered", BLAZEN_INPUT_RESPONSE_EVENT, answered},
      {"finish", "Done", finish},
      {"report", "Carried", report},
  };
  blazen_workflow_builder* builder = NULL;
  blazen_retry_options retry = BLAZEN_RETRY_OPTIONS_INIT;
  blazen_join_options join = BLAZEN_JOIN_OPTIONS_INIT;
  retry.max_attempts = 2;
  join.of = "gather", join.of_length = strlen(join.of);
  blazen_status status = blazen_workflow_builder_create(BLAZEN_TEXT("travel"), &builder, error);
  for (size_t i = 0; status == BLAZEN_OK && i < sizeof steps / sizeof steps[0]; ++i)
    status = blazen_workflow_builder_add_step(builder, steps[i].name, strlen(steps[i].name), steps[i].accepts,
                                              strlen(steps[i].accepts), steps[i].body, NULL, NULL, error);
  if (status == BLAZEN_OK)
    status = blazen_workflow_builder_step_retry(builder, BLAZEN_TEXT("part"), &retry, error);
  if (status == BLAZEN_OK)
    status = blazen_workflow_builder_step_joins(builder, BLAZEN_TEXT("finish"), &join, error);
  if (status == BLAZEN_OK) status = blazen_workflow_builder_set_timeout(builder, 60000, error);
  if (status == BLAZEN_OK) status = blazen_workflow_builder_set_session_policy(builder, policy(), error);
  if (status == BLAZEN_OK)
    status = blazen_workflow_builder_set_session_on_pause(builder, BLAZEN_SESSION_KEEP, error);
  if (status == BLAZEN_OK)
    status = blazen_workflow_builder_set_unhandled(builder, BLAZEN_UNHANDLED_FAIL, error);
  if (status == BLAZEN_OK) status = blazen_workflow_builder_set_idle(builder, BLAZEN_IDLE_FAIL, error);
  if (status == BLAZEN_OK) status = blazen_workflow_builder_build(builder, workflow, error);
  blazen_workflow_builder_release(builder);
  return status;
}

/* ---- the program ---- */

/* Until it asks, then its snapshot into a file. */
static blazen_status save(blazen_run* run, const char* path, blazen_error** error) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  blazen_snapshot* snapshot = NULL;
  blazen_value* result = NULL;
  blazen_status status = blazen_run_wait_until(run, BLAZEN_UNTIL_ASKING, BLAZEN_FOREVER, &state, error);
  if (status == BLAZEN_OK && state != BLAZEN_RUN_ASKING) {
    status = blazen_run_result(run, &result, error);
    blazen_value_release(result);
    return status == BLAZEN_OK ? wrong("the run has ended instead of asking", error) : status;
  }
  if (status == BLAZEN_OK) status = blazen_run_snapshot(run, &snapshot, error);
  if (status != BLAZEN_OK) return status;
  size_t length = 0;
  const void* data = blazen_snapshot_data(snapshot, &length);
  FILE* file = fopen(path, "wb");
  const size_t written = file == NULL ? 0 : fwrite(data, 1, length, file);
  if (file == NULL || fclose(file) != 0 || written != length)
    status = wrong("the snapshot cannot be written", error);
  blazen_snapshot_release(snapshot);
  return status;
}

static blazen_status read_snapshot(const char* path, blazen_snapshot** snapshot, blazen_error** error) {
  static uint8_t data[FILE_MAX];
  FILE* file = fopen(path, "rb");
  if (file == NULL) return wrong("the snapshot cannot be read", error);
  const size_t length = fread(data, 1, sizeof data, file);
  (void)fclose(file);
  return blazen_snapshot_parse(data, length, snapshot, error);
}

/* The id of the question that is open: this workflow asks under two. */
static const char* open_question(const blazen_run* run, blazen_error** error) {
  blazen_value* questions = NULL;
  if (blazen_run_questions(run, &questions, error) != BLAZEN_OK) return "";
  const char* id = strstr(blazen_value_data(questions, NULL), "\"second\"") != NULL ? "second" : "first";
  blazen_value_release(questions);
  return id;
}

static blazen_status answer_open_question(blazen_run* run, const char* answer, blazen_error** error) {
  char text[TEXT_MAX];
  blazen_run_state state = BLAZEN_RUN_NONE;
  blazen_value* value = NULL;
  const int length = snprintf(text, sizeof text, "\"%s\"", answer); /* words, which need no escapes */
  if (length < 0 || (size_t)length >= sizeof text) return wrong("the answer is too long", error);
  blazen_status status = blazen_run_start(run, NULL, error);
  if (status == BLAZEN_OK)
    status = blazen_run_wait_until(run, BLAZEN_UNTIL_ASKING, BLAZEN_FOREVER, &state, error);
  if (status != BLAZEN_OK || state != BLAZEN_RUN_ASKING) return status;
  const char* id = open_question(run, error);
  status = blazen_value_json(text, (size_t)length, &value, error);
  if (status == BLAZEN_OK) status = blazen_run_respond(run, id, strlen(id), value, error);
  blazen_value_release(value);
  return status;
}

static blazen_status print_result(blazen_run* run, blazen_error** error) {
  blazen_run_state state = BLAZEN_RUN_NONE;
  blazen_value* result = NULL;
  blazen_status status = blazen_run_wait(run, BLAZEN_FOREVER, &state, error);
  if (status == BLAZEN_OK) status = blazen_run_result(run, &result, error);
  if (status == BLAZEN_OK) puts(blazen_value_data(result, NULL));
  blazen_value_release(result);
  return status;
}

int main(int argc, char** argv) {
  const int begins = argc == 3 && strcmp(argv[1], "begin") == 0;
  const int goes_on = (argc == 4 || argc == 5) && strcmp(argv[1], "go-on") == 0;
  blazen_error* error = NULL;
  blazen_workflow* workflow = NULL;
  blazen_runtime* runtime = NULL;
  blazen_snapshot* snapshot = NULL;
  blazen_run* run = NULL;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  if (!begins && !goes_on) return fprintf(stderr, "usage: travel begin FILE | go-on FILE ANSWER [OUT]\n"), 2;
  options.mode = BLAZEN_MODE_PUMP; /* this thread runs the steps while it waits */
  blazen_status status = build(&workflow, &error);
  if (status == BLAZEN_OK) status = blazen_runtime_create(&options, &runtime, &error);
  if (status == BLAZEN_OK && begins) {
    status = blazen_run_create(runtime, workflow, NULL, &run, &error);
    if (status == BLAZEN_OK) status = blazen_run_start(run, NULL, &error);
    if (status == BLAZEN_OK) status = save(run, argv[2], &error);
  } else if (status == BLAZEN_OK) {
    status = read_snapshot(argv[2], &snapshot, &error);
    if (status == BLAZEN_OK) status = blazen_run_resume(runtime, workflow, snapshot, NULL, &run, &error);
    if (status == BLAZEN_OK)
      status = blazen_run_resume_in_place(run, &error); /* others pause before they snapshot */
    if (status == BLAZEN_OK) status = answer_open_question(run, argv[3], &error);
    if (status == BLAZEN_OK) status = argc == 5 ? save(run, argv[4], &error) : print_result(run, &error);
  }
  if (status != BLAZEN_OK)
    fprintf(stderr, "travel: %s\n", error == NULL ? "it failed" : blazen_error_message(error, NULL));
  blazen_error_release(error);
  blazen_run_release(run), blazen_snapshot_release(snapshot);
  blazen_workflow_release(workflow), blazen_runtime_release(runtime);
  return status != BLAZEN_OK;
}
