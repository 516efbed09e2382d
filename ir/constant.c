/* SPDX-License-Identifier: Apache-2.0 */
/* Reading single elements of constants. */
#include "base/softfloat.h"
#include "ir/graph.h"

#include <string.h>

static int64_t int_element(enum dtype dtype, const uint8_t *bytes, uint64_t i) {
  unsigned bits = dtype_bits(dtype);
  uint64_t x = 0;
  if (bits < 8) {
    unsigned per_byte = 8 / bits;
    x = bytes[i / per_byte] >> (i % per_byte * bits);
  } else {
    memcpy(&x, bytes + i * (bits / 8), bits / 8);
  }
  x <<= 64 - bits;
  return dtype_is_signed(dtype) ? (int64_t)x >> (64 - bits) : (int64_t)(x >> (64 - bits));
}

void constant_element(const struct constant *c, uint64_t i, double *out_f, int64_t *out_i) {
  *out_f = 0;
  *out_i = 0;
  if (!dtype_is_float(c->dtype)) {
    *out_i = int_element(c->dtype, c->data, i);
    return;
  }
  enum softfloat_kind kind;
  if (softfloat_from_dtype(c->dtype, &kind)) {
    *out_f = softfloat_decode(kind, (uint16_t)(uint64_t)int_element(c->dtype, c->data, i));
  } else if (c->dtype == DTYPE_F32) {
    float x;
    memcpy(&x, (const uint8_t *)c->data + i * 4, 4);
    *out_f = x;
  } else {
    memcpy(out_f, (const uint8_t *)c->data + i * 8, 8);
  }
}
