/* SPDX-License-Identifier: Apache-2.0 */
/* String views and buffers. */
#include "base/str.h"

#include "base/checked.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct str str_from_c(const char *s) { return (struct str){s ? s : "", s ? strlen(s) : 0}; }

bool str_eq(struct str a, struct str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool str_eq_c(struct str a, const char *b) { return str_eq(a, str_from_c(b)); }

bool str_starts(struct str s, struct str prefix) {
  return s.len >= prefix.len && str_eq((struct str){s.data, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix) {
  return s.len >= suffix.len &&
         (suffix.len == 0 ||
          str_eq((struct str){s.data + (s.len - suffix.len), suffix.len}, suffix));
}

struct str str_split(struct str *rest, char separator) {
  struct str head = *rest;
  const char *at = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
  if (!at) {
    *rest = (struct str){"", 0};
    return head;
  }
  head.len = (size_t)(at - rest->data);
  rest->data += head.len + 1;
  rest->len -= head.len + 1;
  return head;
}

static void reserve(struct strbuf *b, size_t more) {
  size_t need;
  if (!size_add(b->len, more, &need) || !size_add(need, 1, &need))
    mem_exhausted();
  if (need <= b->cap)
    return;
  size_t cap = b->cap < 32 ? 64 : b->cap;
  while (cap < need)
    if (!size_mul(cap, 2, &cap))
      mem_exhausted();
  b->data = mem_realloc(b->data, cap);
  b->cap = cap;
}

void strbuf_append(struct strbuf *b, const char *p, size_t n) {
  reserve(b, n);
  if (n)
    memcpy(b->data + b->len, p, n);
  b->len += n;
  b->data[b->len] = 0;
}

void strbuf_append_c(struct strbuf *b, const char *s) { strbuf_append(b, s, strlen(s)); }

void strbuf_char(struct strbuf *b, char c) { strbuf_append(b, &c, 1); }

void strbuf_vprintf(struct strbuf *b, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  if (n > 0) {
    reserve(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
    b->len += (size_t)n;
  }
  va_end(again);
}

void strbuf_printf(struct strbuf *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  strbuf_vprintf(b, format, args);
  va_end(args);
}

const char *strbuf_c(const struct strbuf *b) { return b->data ? b->data : ""; }

struct str strbuf_view(const struct strbuf *b) { return (struct str){strbuf_c(b), b->len}; }

void strbuf_clear(struct strbuf *b) {
  b->len = 0;
  if (b->data)
    b->data[0] = 0;
}

void strbuf_deinit(struct strbuf *b) {
  mem_free(b->data);
  *b = (struct strbuf){0};
}
