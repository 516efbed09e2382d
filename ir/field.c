/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of the exact domain. */
#include "ir/field.h"

#include "base/hash.h"

#include <math.h>

int64_t field_div(int64_t a, int64_t b) {
  /* b^(p - 2), which is 0 for 0. */
  int64_t inverse = 1;
  for (int64_t e = FIELD_P - 2, power = b; e; e >>= 1, power = field_mul(power, power))
    if (e & 1)
      inverse = field_mul(inverse, power);
  return field_mul(a, inverse);
}

int64_t field_hash(uint64_t key, int64_t a, int64_t b, int64_t c) {
  const int64_t words[3] = {a, b, c};
  return 1 + (int64_t)(hash_bytes(words, sizeof words, key) % (uint64_t)(FIELD_P - 1));
}

enum { KEY_NOT_FINITE = SCALAR_OP_COUNT, KEY_CAST };

int64_t field_from_f64(double x) {
  if (!isfinite(x))
    return field_hash(KEY_NOT_FINITE, isnan(x) ? 0 : x > 0 ? 1 : 2, 0, 0);
  int exponent;
  int64_t mantissa = (int64_t)ldexp(frexp(fabs(x), &exponent), 53);
  /* 2^61 is 1. */
  int64_t power = INT64_C(1) << (((exponent - 53) % 61 + 61) % 61);
  int64_t y = field_mul(mantissa, power);
  return x < 0 ? field_sub(0, y) : y;
}

int64_t field_from_i64(int64_t x, bool is_unsigned) {
  if (is_unsigned || x >= 0)
    return (int64_t)((uint64_t)x % (uint64_t)FIELD_P);
  return field_sub(0, (int64_t)((0 - (uint64_t)x) % (uint64_t)FIELD_P));
}

int64_t field_to_i64(int64_t x) { return x > FIELD_P / 2 ? x - FIELD_P : x; }

int64_t field_scalar(enum scalar_op op, int64_t a, int64_t b) {
  switch (op) {
  case SCALAR_ADD: return field_add(a, b);
  case SCALAR_SUB: return field_sub(a, b);
  case SCALAR_MUL: return field_mul(a, b);
  case SCALAR_DIV: return field_div(a, b);
  case SCALAR_NEG: return field_sub(0, a);
  case SCALAR_MAX: return a > b ? a : b;
  case SCALAR_MIN: return a < b ? a : b;
  case SCALAR_EQ: return a == b;
  case SCALAR_NE: return a != b;
  case SCALAR_LT: return a < b;
  case SCALAR_LE: return a <= b;
  case SCALAR_GT: return a > b;
  case SCALAR_GE: return a >= b;
  case SCALAR_ISNAN: return a == field_from_f64((double)NAN);
  case SCALAR_ISINF:
    return a == field_from_f64((double)INFINITY) || a == field_from_f64(-(double)INFINITY);
  default: return field_hash((uint64_t)op, a, b, 0);
  }
}

int64_t field_cast(int64_t x, enum dtype from, enum dtype to, enum cast_mode mode) {
  if (!dtype_is_float(from))
    x = field_from_i64(x, dtype_is_unsigned(from));
  if (to == DTYPE_BOOL)
    return x != 0;
  if (!dtype_is_float(to))
    return scalar_literal_i64(to, field_to_i64(x));
  return dtype_bits(to) <= 8 ? field_hash(KEY_CAST, x, (int64_t)to, (int64_t)mode) : x;
}

int64_t field_combine(enum combiner kind, int64_t a, int64_t b) {
  switch (kind) {
  case COMBINER_SUM: return field_add(a, b);
  case COMBINER_PROD: return field_mul(a, b);
  case COMBINER_MIN: return a < b ? a : b;
  default: return a > b ? a : b;
  }
}

int64_t field_identity(enum combiner kind) {
  switch (kind) {
  case COMBINER_PROD: return 1;
  case COMBINER_MIN:
  case COMBINER_ARGMIN: return FIELD_P - 1;
  default: return 0;
  }
}

void field_product(const int64_t *a, const int64_t *b, int64_t *y, int64_t m, int64_t n,
                   int64_t k) {
  for (int64_t i = 0; i < m; i++, a += k, y += n)
    for (int64_t j = 0; j < k; j++)
      for (int64_t c = 0; a[j] && c < n; c++)
        y[c] = field_add(y[c], field_mul(a[j], b[j * n + c]));
}
