/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer. */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_init(struct json *j, FILE *out, bool indent) {
  *j = (struct json){.file = out, .indent = indent};
}

void json_init_strbuf(struct json *j, struct strbuf *out, bool indent) {
  *j = (struct json){.buffer = out, .indent = indent};
}

static void put(struct json *j, const char *p, size_t n) {
  if (j->file)
    fwrite(p, 1, n, j->file);
  else
    strbuf_append(j->buffer, p, n);
}

static void put_c(struct json *j, const char *s) { put(j, s, strlen(s)); }

static void new_line(struct json *j) {
  if (!j->indent)
    return;
  put(j, "\n", 1);
  for (uint32_t i = 0; i < j->depth; i++)
    put(j, "  ", 2);
}

static void before_item(struct json *j) {
  if (j->depth == 0)
    return;
  if (j->has_items[j->depth - 1])
    put(j, ",", 1);
  j->has_items[j->depth - 1] = true;
  new_line(j);
}

static void before_value(struct json *j) {
  assert(j->depth == 0 || j->after_key == j->is_object[j->depth - 1]);
  if (j->after_key)
    j->after_key = false;
  else
    before_item(j);
}

static void begin(struct json *j, bool object) {
  before_value(j);
  assert(j->depth < JSON_DEPTH);
  put(j, object ? "{" : "[", 1);
  j->has_items[j->depth] = false;
  j->is_object[j->depth++] = object;
}

static void end(struct json *j, bool object) {
  assert(j->depth > 0 && j->is_object[j->depth - 1] == object && !j->after_key);
  bool any = j->has_items[--j->depth];
  if (any)
    new_line(j);
  put(j, object ? "}" : "]", 1);
  if (j->depth == 0 && j->indent)
    put(j, "\n", 1);
}

void json_object_begin(struct json *j) { begin(j, true); }
void json_object_end(struct json *j) { end(j, true); }
void json_array_begin(struct json *j) { begin(j, false); }
void json_array_end(struct json *j) { end(j, false); }

/* Length of the well-formed UTF-8 sequence at p (Unicode, table 3-7), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n) {
  unsigned char c = p[0];
  if (c < 0x80)
    return 1;
  size_t len = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
  if (len == 0 || len > n)
    return 0;
  unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  if (p[1] < low || p[1] > high)
    return 0;
  for (size_t i = 2; i < len; i++)
    if ((p[i] & 0xc0) != 0x80)
      return 0;
  return len;
}

static void put_escaped(struct json *j, unsigned char c) {
  char text[8];
  switch (c) {
  case '"': put_c(j, "\\\""); return;
  case '\\': put_c(j, "\\\\"); return;
  case '\n': put_c(j, "\\n"); return;
  case '\t': put_c(j, "\\t"); return;
  case '\r': put_c(j, "\\r"); return;
  default: snprintf(text, sizeof text, "\\u%04x", c); put_c(j, text);
  }
}

static void put_string(struct json *j, struct str s) {
  const unsigned char *p = (const unsigned char *)s.data;
  put(j, "\"", 1);
  for (size_t i = 0; i < s.len;) {
    size_t n = utf8_length(p + i, s.len - i);
    if (n == 0)
      put_c(j, "\xef\xbf\xbd");
    else if (n == 1 && (p[i] < 0x20 || p[i] == 0x7f || p[i] == '"' || p[i] == '\\'))
      put_escaped(j, p[i]);
    else
      put(j, s.data + i, n);
    i += n ? n : 1;
  }
  put(j, "\"", 1);
}

void json_key(struct json *j, const char *key) {
  assert(j->depth > 0 && j->is_object[j->depth - 1] && !j->after_key);
  before_item(j);
  put_string(j, str_from_c(key));
  put_c(j, j->indent ? ": " : ":");
  j->after_key = true;
}

void json_str(struct json *j, struct str s) {
  before_value(j);
  put_string(j, s);
}

void json_string(struct json *j, const char *s) { json_str(j, str_from_c(s)); }

static void put_value(struct json *j, const char *text) {
  before_value(j);
  put_c(j, text);
}

void json_i64(struct json *j, int64_t v) {
  char text[32];
  snprintf(text, sizeof text, "%" PRId64, v);
  put_value(j, text);
}

void json_u64(struct json *j, uint64_t v) {
  char text[32];
  snprintf(text, sizeof text, "%" PRIu64, v);
  put_value(j, text);
}

void json_f64(struct json *j, double v) {
  char text[40];
  if (!isfinite(v)) {
    json_null(j);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    if (strtod(text, NULL) == v)
      break;
  }
  put_value(j, text);
}

void json_bool(struct json *j, bool v) { put_value(j, v ? "true" : "false"); }
void json_null(struct json *j) { put_value(j, "null"); }
