/* SPDX-License-Identifier: Apache-2.0 */
/* Packing weights into panels; see pack.h. */
#include "codegen/pack.h"

#include <string.h>

bool pack_equal(const struct pack *a, const struct pack *b) {
  return a->panels == b->panels && a->k_axes == b->k_axes && a->columns == b->columns &&
         a->pairs == b->pairs;
}

bool pack_size(const struct constant *c, const struct pack *pack, uint64_t *out_k, uint64_t *out_n,
               uint64_t *out_bytes) {
  uint64_t k = 1, n = 1, bytes;
  for (uint32_t i = 0; i < c->rank; i++) {
    uint64_t *side = pack->k_axes >> i & 1 ? &k : &n;
    if (__builtin_mul_overflow(*side, (uint64_t)c->dims[i], side))
      return false;
  }
  if (pack->pairs &&
      __builtin_mul_overflow((k / pack->pairs + 1) / 2, 2 * (uint64_t)pack->pairs, &k))
    return false;
  uint64_t panels = n / pack->columns + (n % pack->columns != 0);
  if (__builtin_mul_overflow(panels, k, &bytes))
    return false;
  if (__builtin_mul_overflow(bytes, pack->columns * (dtype_bits(c->dtype) / 8), &bytes))
    return false;
  *out_k = k;
  *out_n = n;
  *out_bytes = bytes;
  return true;
}

/* Where element i, row-major over the dims on one side (k or n), lies in the constant. */
static uint64_t side_offset(const struct constant *c, const struct pack *pack, bool k_side,
                            uint64_t i) {
  uint64_t offset = 0, stride = 1;
  for (uint32_t d = c->rank; d-- > 0;) {
    if ((pack->k_axes >> d & 1) == k_side) {
      offset += i % (uint64_t)c->dims[d] * stride;
      i /= (uint64_t)c->dims[d];
    }
    stride *= (uint64_t)c->dims[d];
  }
  return offset;
}

static void copy_column(uint8_t *out, const uint8_t *from, uint32_t size) {
  switch (size) { /* constant sizes become single moves */
  case 1: *out = *from; break;
  case 2: memcpy(out, from, 2); break;
  case 4: memcpy(out, from, 4); break;
  default: memcpy(out, from, size); break;
  }
}

/* Where row i of k begins in a panel, and the elements from column to column. */
static uint64_t row_place(const struct pack *pack, uint64_t i, uint64_t *out_step) {
  *out_step = pack->pairs ? 2 : 1;
  if (!pack->pairs)
    return i * pack->columns;
  uint64_t outer = i / pack->pairs, inner = i % pack->pairs;
  return (outer / 2 * pack->pairs + inner) * pack->columns * 2 + outer % 2;
}

void pack_panel(const struct constant *c, const struct pack *pack, uint64_t panel, void *out) {
  uint32_t size = dtype_bits(c->dtype) / 8, columns = pack->columns;
  uint64_t k = 0, n = 0, rows = 1, bytes, step, offsets[PANEL_BYTES];
  pack_size(c, pack, &k, &n, &bytes);
  for (uint32_t d = 0; d < c->rank; d++)
    rows *= pack->k_axes >> d & 1 ? (uint64_t)c->dims[d] : 1;
  uint64_t first = panel * columns, count = n - first < columns ? n - first : columns;
  for (uint64_t j = 0; j < count; j++)
    offsets[j] = side_offset(c, pack, false, first + j);
  memset(out, 0, k * columns * size);
  for (uint64_t i = 0; i < rows; i++) {
    const uint8_t *row = (const uint8_t *)c->data + side_offset(c, pack, true, i) * size;
    uint8_t *to = (uint8_t *)out + row_place(pack, i, &step) * size;
    for (uint64_t j = 0; j < count; j++)
      copy_column(to + j * step * size, row + offsets[j] * size, size);
  }
}
