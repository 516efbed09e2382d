/* SPDX-License-Identifier: Apache-2.0 */
/* Conversion of single elements between numbers, bits and text. */
#include "ir/literal.h"

#include "base/softfloat.h"
#include "ir/graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum softfloat_kind small_float(enum dtype dtype) {
  switch (dtype) {
  case DTYPE_F16: return SOFTFLOAT_F16;
  case DTYPE_BF16: return SOFTFLOAT_BF16;
  case DTYPE_F8E4M3FN: return SOFTFLOAT_F8E4M3FN;
  case DTYPE_F8E4M3FNUZ: return SOFTFLOAT_F8E4M3FNUZ;
  case DTYPE_F8E5M2: return SOFTFLOAT_F8E5M2;
  case DTYPE_F8E5M2FNUZ: return SOFTFLOAT_F8E5M2FNUZ;
  case DTYPE_F8E8M0: return SOFTFLOAT_F8E8M0;
  default: return SOFTFLOAT_F4E2M1;
  }
}

uint64_t literal_bits_f64(enum dtype dtype, double x) {
  uint64_t bits = 0;
  if (dtype == DTYPE_F64) {
    memcpy(&bits, &x, sizeof x);
  } else if (dtype == DTYPE_F32) {
    float narrow = (float)x;
    memcpy(&bits, &narrow, sizeof narrow);
  } else {
    bool saturate = dtype_bits(dtype) < 16;
    bits = softfloat_encode(small_float(dtype), x, saturate, SOFTFLOAT_ROUND_UP);
  }
  return bits;
}

double literal_f64(enum dtype dtype, uint64_t bits) {
  if (dtype == DTYPE_F64) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  if (dtype == DTYPE_F32) {
    float x;
    uint32_t low = (uint32_t)bits;
    memcpy(&x, &low, sizeof x);
    return x;
  }
  return softfloat_decode(small_float(dtype), (uint16_t)bits);
}

uint64_t literal_bits_i64(enum dtype dtype, int64_t x) {
  uint64_t bits = (uint64_t)scalar_literal_i64(dtype, x);
  return dtype_bits(dtype) < 64 ? bits & ((UINT64_C(1) << dtype_bits(dtype)) - 1) : bits;
}

int64_t literal_i64(enum dtype dtype, uint64_t bits) {
  return scalar_literal_i64(dtype, (int64_t)bits);
}

void literal_print_f64(double x, bool single, struct strbuf *out) {
  char text[40];
  if (isnan(x) || isinf(x)) {
    strbuf_append_c(out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
    return;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, x);
    double back = strtod(text, NULL);
    if (single ? (float)back == (float)x : back == x)
      break;
  }
  strbuf_append_c(out, text);
  if (!strpbrk(text, ".e"))
    strbuf_append_c(out, ".0");
}

void literal_print_i64(enum dtype dtype, int64_t x, struct strbuf *out) {
  if (dtype_kind(dtype) == DTYPE_KIND_BOOL)
    strbuf_append_c(out, x ? "true" : "false");
  else if (dtype_is_unsigned(dtype))
    strbuf_printf(out, "%" PRIu64, (uint64_t)x);
  else
    strbuf_printf(out, "%" PRId64, x);
}

void literal_print_string(const char *s, struct strbuf *out) {
  literal_print_bytes(s, strlen(s), out);
}

void literal_print_bytes(const char *s, size_t n, struct strbuf *out) {
  strbuf_char(out, '"');
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\')
      strbuf_printf(out, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
      strbuf_printf(out, "\\x%02X", c);
    else
      strbuf_char(out, (char)c);
  }
  strbuf_char(out, '"');
}
