/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of shapes. */
#include "base/checked.h"

bool shape_elements(const int64_t *dims, size_t n, int64_t *out) {
  /* The dims beside a 0 must fit too: a later reshape or concat may bring them back. */
  int64_t product = 1;
  bool empty = false;
  for (size_t i = 0; i < n; i++) {
    if (dims[i] < 0)
      return false;
    if (dims[i] == 0)
      empty = true;
    else if (!i64_mul(product, dims[i], &product))
      return false;
  }
  *out = empty ? 0 : product;
  return true;
}

bool shape_bytes(const int64_t *dims, size_t n, uint32_t bits, uint64_t *out) {
  int64_t elements;
  uint64_t total;
  if (!shape_elements(dims, n, &elements))
    return false;
  if (bits % 8 == 0)
    total = 0;
  else if (!u64_mul((uint64_t)elements % 8, bits, &total))
    return false;
  /* Eighths first, so that 2^60 f64 elements do not overflow on the way. */
  uint64_t whole = bits % 8 ? (uint64_t)elements / 8 : (uint64_t)elements;
  if (!u64_mul(whole, bits % 8 ? bits : bits / 8, &whole))
    return false;
  total = (total + 7) / 8;
  return u64_add(whole, total, out) && *out <= INT64_MAX;
}
