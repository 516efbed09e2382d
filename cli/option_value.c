/* SPDX-License-Identifier: Apache-2.0 */
/* Values with units, and the distance between words. */
#include "cli/option_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool value_count(const char *text, uint64_t *out) {
  if (!isdigit((unsigned char)text[0]))
    return false;
  errno = 0;
  char *end;
  unsigned long long x = strtoull(text, &end, 10);
  if (*end || errno)
    return false;
  *out = x;
  return true;
}

/* The number at the start of a text, and what follows it. */
static bool leading_number(const char *text, double *out, const char **rest) {
  if (!isdigit((unsigned char)text[0]) && text[0] != '.')
    return false;
  char *end;
  *out = strtod(text, &end);
  *rest = end;
  return end != text && isfinite(*out) && *out >= 0;
}

bool value_real(const char *text, double *out) {
  double x;
  const char *rest;
  if (!leading_number(text, &x, &rest) || *rest)
    return false;
  *out = x;
  return true;
}

struct unit {
  const char *name;
  double factor;
};

static bool with_unit(const char *text, const struct unit *units, size_t n, double *out) {
  double x;
  const char *rest;
  if (!leading_number(text, &x, &rest))
    return false;
  for (size_t i = 0; i < n; i++)
    if (!strcmp(rest, units[i].name)) {
      *out = x * units[i].factor;
      return true;
    }
  return false;
}

bool value_duration(const char *text, double *out_s) {
  static const struct unit units[] = {
      {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"min", 60}, {"h", 3600}};
  return with_unit(text, units, sizeof units / sizeof units[0], out_s);
}

bool value_size(const char *text, uint64_t *out_bytes) {
  static const struct unit units[] = {
      {"B", 1},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
      {"KB", 1e3}, {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
  };
  double bytes;
  if (!with_unit(text, units, sizeof units / sizeof units[0], &bytes) || bytes >= 0x1p63)
    return false;
  *out_bytes = (uint64_t)bytes;
  return true;
}

enum { LONGEST_WORD = 40 };

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Optimal string alignment: Damerau and Levenshtein's distance without edits inside an exchange. */
uint32_t value_distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  if (n > LONGEST_WORD || m > LONGEST_WORD)
    return UINT32_MAX;
  uint32_t rows[3][LONGEST_WORD + 1] = {{0}};
  uint32_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++)
    last[j] = (uint32_t)j;
  for (size_t i = 1; i <= n; i++) {
    row[0] = (uint32_t)i;
    for (size_t j = 1; j <= m; j++) {
      row[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]), least(last[j], row[j - 1]) + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = least(row[j], before[j - 2] + 1);
    }
    uint32_t *recycled = before;
    before = last;
    last = row;
    row = recycled;
  }
  return last[m];
}

void near_miss_consider(struct near_miss *n, const char *candidate) {
  size_t length = strlen(n->wanted);
  uint32_t distance = value_distance(n->wanted, candidate);
  /* Part of a long word is as good a hint as a slip of the finger. */
  if (length >= 3 && !strncmp(candidate, n->wanted, length))
    distance = 1;
  uint32_t limit = length < 4 ? 1 : (uint32_t)(length / 3);
  if (distance <= limit && (!n->best || distance < n->distance)) {
    n->best = candidate;
    n->distance = distance;
  }
}
