/* SPDX-License-Identifier: Apache-2.0 */
/* A streaming JSON writer (RFC 8259), to a file or a string. The writer places commas and, if asked
 * to indent, line breaks; the caller nests begin and end properly (asserted). */
#ifndef SINTER_BASE_JSON_H
#define SINTER_BASE_JSON_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH = 64 };

struct json {
  FILE *file; /* one of the two is set; neither is owned */
  struct strbuf *buffer;
  bool indent;
  bool after_key;
  uint32_t depth;
  bool has_items[JSON_DEPTH];
  bool is_object[JSON_DEPTH];
};

void json_init(struct json *j, FILE *out, bool indent);
void json_init_strbuf(struct json *j, struct strbuf *out, bool indent);

void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
/* Bytes that are not UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *s);
void json_str(struct json *j, struct str s);
void json_i64(struct json *j, int64_t v);
void json_u64(struct json *j, uint64_t v);
/* The shortest digits that read back as v; not-a-number and infinities become null. */
void json_f64(struct json *j, double v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

#endif
