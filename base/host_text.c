/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, case mapping by a table of ranges, and numbers in the C locale whatever the process's is.
 */
#include "base/host_text.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- UTF-8 --- */

size_t utf8_decode(struct host_string text, int32_t *out) {
  static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *p = (const unsigned char *)text.data;
  size_t n = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : 4;
  *out = *p;
  if (n == 1)
    return 1;
  *out = -1;
  if (*p < 0xC2 || *p > 0xF4 || n > text.size)
    return 1;
  int32_t c = *p & (0xFF >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return 1;
    c = c << 6 | (p[i] & 0x3F);
  }
  if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
    return 1;
  *out = c;
  return n;
}

size_t utf8_encode(int32_t c, char out[UTF8_MOST]) {
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = n; i-- > 1; c >>= 6)
    out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)(lead[n] | c);
  return n;
}

/* --- Case --- */

struct case_range {
  int32_t first, last, step, shift;
};

static const struct case_range lower_ranges[] = {
#define CASE_LOWER(first, last, step, shift) {first, last, step, shift},
#define CASE_UPPER(first, last, step, shift)
#include "base/case_map.def"
#undef CASE_LOWER
#undef CASE_UPPER
};
static const struct case_range upper_ranges[] = {
#define CASE_LOWER(first, last, step, shift)
#define CASE_UPPER(first, last, step, shift) {first, last, step, shift},
#include "base/case_map.def"
#undef CASE_LOWER
#undef CASE_UPPER
};

/* Of neighbours with step 2 two ranges may interleave, so those before are looked at too. */
static int32_t map_case(const struct case_range *ranges, size_t n, int32_t c) {
  size_t low = 0, high = n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (ranges[mid].first <= c)
      low = mid + 1;
    else
      high = mid;
  }
  for (size_t i = low; i-- > 0 && low - i <= 3;) {
    const struct case_range *r = &ranges[i];
    if (c <= r->last && (c - r->first) % r->step == 0)
      return c + r->shift;
  }
  return c;
}

int32_t case_lower(int32_t c) {
  return map_case(lower_ranges, sizeof lower_ranges / sizeof *lower_ranges, c);
}

int32_t case_upper(int32_t c) {
  return map_case(upper_ranges, sizeof upper_ranges / sizeof *upper_ranges, c);
}

/* --- Numbers --- */

/* glibc has this one ready: nothing is allocated. */
static locale_t c_locale(void) { return newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static bool reads_back(const char *text, double x, bool single) {
  return single ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x;
}

/* Fixed notation for exponents from -5 to 15, as the decimal point then is near. */
static size_t format_float(double x, bool single, char *out) {
  if (isnan(x) || isinf(x))
    return (size_t)snprintf(out, TEXT_NUMBER_ROOM, "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
  int digits = 0, most = single ? 8 : 16;
  do
    snprintf(out, TEXT_NUMBER_ROOM, "%.*e", digits, x);
  while (!reads_back(out, x, single) && digits++ < most);
  int exponent = atoi(strchr(out, 'e') + 1);
  if (exponent < -4 || exponent > 15)
    return strlen(out);
  int decimals = digits > exponent ? digits - exponent : 1;
  return (size_t)snprintf(out, TEXT_NUMBER_ROOM, "%.*f", decimals, x);
}

static int64_t load_signed(enum dtype dtype, const void *p) {
  switch (dtype_bits(dtype)) {
  case 8: return *(const int8_t *)p;
  case 16: return *(const int16_t *)p;
  case 32: return *(const int32_t *)p;
  default: return *(const int64_t *)p;
  }
}

static uint64_t load_unsigned(enum dtype dtype, const void *p) {
  uint64_t x = 0;
  memcpy(&x, p, dtype_bits(dtype) / 8);
  return x;
}

size_t text_format(enum dtype dtype, const void *element, char out[TEXT_NUMBER_ROOM]) {
  int n = 0;
  if (dtype_is_float(dtype)) {
    locale_t before = uselocale(c_locale());
    double x = dtype == DTYPE_F32 ? (double)*(const float *)element : *(const double *)element;
    size_t length = format_float(x, dtype == DTYPE_F32, out);
    uselocale(before);
    return length;
  }
  if (dtype == DTYPE_BOOL)
    n = snprintf(out, TEXT_NUMBER_ROOM, "%s", *(const uint8_t *)element ? "True" : "False");
  else if (dtype_is_signed(dtype))
    n = snprintf(out, TEXT_NUMBER_ROOM, "%" PRId64, load_signed(dtype, element));
  else
    n = snprintf(out, TEXT_NUMBER_ROOM, "%" PRIu64, load_unsigned(dtype, element));
  return (size_t)n;
}

static bool parse_float(const char *text, enum dtype dtype, void *out, char **end) {
  if (strpbrk(text, "xXpP(")) /* hexadecimal, and NaN with bits */
    return false;
  locale_t c = c_locale();
  if (dtype == DTYPE_F32)
    *(float *)out = strtof_l(text, end, c);
  else
    *(double *)out = strtod_l(text, end, c);
  return true; /* what is too large is infinite */
}

static bool parse_int(const char *text, enum dtype dtype, void *out, char **end) {
  unsigned bits = dtype_bits(dtype);
  errno = 0;
  if (dtype_is_signed(dtype)) {
    int64_t x = strtoll(text, end, 10);
    memcpy(out, &x, bits / 8);
    return !errno &&
           (bits == 64 || (x >= -(INT64_C(1) << (bits - 1)) && x < INT64_C(1) << (bits - 1)));
  }
  uint64_t x = strtoull(text, end, 10);
  memcpy(out, &x, bits / 8);
  return !errno && *text != '-' && (bits == 64 || x >> bits == 0);
}

static bool parse_bool(const char *text, uint8_t *out, char **end) {
  static const char *const words[] = {"False", "True", "false", "true", "0", "1"};
  for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcmp(text, words[i]) != 0)
      continue;
    *out = i % 2;
    *end = (char *)text + strlen(text);
    return true;
  }
  return false;
}

bool text_parse(struct host_string text, enum dtype dtype, void *out) {
  enum { MOST = 1024 }; /* a double's exact digits are fewer */
  char copy[MOST + 1], *end = copy;
  while (text.size && text_is_space(text.data[text.size - 1]))
    text.size--;
  while (text.size && text_is_space(text.data[0])) {
    text.data++;
    text.size--;
  }
  if (text.size == 0 || text.size > MOST)
    return false;
  memcpy(copy, text.data, text.size);
  copy[text.size] = 0;
  bool ok = dtype_is_float(dtype) ? parse_float(copy, dtype, out, &end)
            : dtype == DTYPE_BOOL ? parse_bool(copy, out, &end)
                                  : parse_int(copy, dtype, out, &end);
  return ok && end == copy + text.size;
}
