/* SPDX-License-Identifier: Apache-2.0 */
/* String views, and a growing string. */
#ifndef SINTER_BASE_STR_H
#define SINTER_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes someone else owns; not NUL-terminated, may hold NULs. */
struct str {
  const char *data;
  size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).data

struct str str_from_c(const char *s); /* NULL gives an empty view */
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Removes up to the first separator from *rest and returns it; the separator goes too. */
struct str str_split(struct str *rest, char separator);

/* Zero-initialised is empty. data is NUL-terminated once anything was appended, and NULL before;
 * strbuf_c never is NULL. Out of memory goes through mem.h. */
struct strbuf {
  char *data;
  size_t len, cap;
};

void strbuf_append(struct strbuf *b, const char *p, size_t n);
void strbuf_append_c(struct strbuf *b, const char *s);
void strbuf_char(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *b, const char *format, va_list args);
const char *strbuf_c(const struct strbuf *b);
struct str strbuf_view(const struct strbuf *b);
void strbuf_clear(struct strbuf *b); /* keeps the memory */
void strbuf_deinit(struct strbuf *b);

#endif
