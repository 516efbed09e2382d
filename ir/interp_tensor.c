/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of the interpreter: creation, bytes in and out, strided copies. */
#include "ir/interp.h"

#include "base/checked.h"
#include "ir/scalar_eval.h"

#include <string.h>

struct tensor *tensor_create(struct arena *arena, enum dtype dtype, const int64_t *dims,
                             uint32_t rank) {
  int64_t count;
  if (rank > IR_MAX_RANK || !shape_elements(dims, rank, &count))
    return NULL;
  struct tensor *t = ARENA_NEW(arena, struct tensor);
  t->dtype = dtype;
  t->rank = rank;
  if (rank > 0)
    memcpy(t->dims, dims, rank * sizeof *dims);
  t->count = count;
  t->data = arena_alloc_array(arena, (size_t)count, sizeof(int64_t));
  return t;
}

/* ---- bytes ---- */

/* Element i of packed storage as raw bits. */
static uint64_t load_bits(const uint8_t *bytes, unsigned bits, int64_t i) {
  if (bits < 8) {
    uint64_t at = (uint64_t)i * bits;
    return bytes[at / 8] >> (at % 8) & ((1u << bits) - 1);
  }
  uint64_t raw = 0;
  const uint8_t *p = bytes + (size_t)i * (bits / 8);
  for (unsigned k = 0; k < bits / 8; k++)
    raw |= (uint64_t)p[k] << (8 * k);
  return raw;
}

static void store_bits(uint8_t *bytes, unsigned bits, int64_t i, uint64_t raw) {
  if (bits < 8) {
    uint64_t at = (uint64_t)i * bits;
    bytes[at / 8] |= (uint8_t)((raw & ((1u << bits) - 1)) << (at % 8));
    return;
  }
  uint8_t *p = bytes + (size_t)i * (bits / 8);
  for (unsigned k = 0; k < bits / 8; k++)
    p[k] = (uint8_t)(raw >> (8 * k));
}

union scalar scalar_from_bits(enum dtype dtype, uint64_t raw) {
  union scalar x = {.i64 = 0};
  if (dtype == DTYPE_F64) {
    memcpy(&x.f64, &raw, sizeof x.f64);
  } else if (dtype == DTYPE_F32) {
    uint32_t low = (uint32_t)raw;
    float f;
    memcpy(&f, &low, sizeof f);
    x.f64 = f;
  } else if (dtype_is_float(dtype)) {
    x.f64 = softfloat_decode(softfloat_kind_of(dtype), (uint16_t)raw);
  } else {
    x.i64 = scalar_literal_i64(dtype, (int64_t)raw);
  }
  return x;
}

uint64_t scalar_to_bits(enum dtype dtype, union scalar x) {
  uint64_t raw = (uint64_t)x.i64;
  if (dtype == DTYPE_F64) {
    memcpy(&raw, &x.f64, sizeof raw);
  } else if (dtype == DTYPE_F32) {
    float f = (float)x.f64;
    uint32_t low;
    memcpy(&low, &f, sizeof low);
    raw = low;
  } else if (dtype_is_float(dtype)) {
    raw = softfloat_encode(softfloat_kind_of(dtype), scalar_round(dtype, x.f64), false,
                           SOFTFLOAT_ROUND_NEAREST);
  }
  return raw;
}

void tensor_read_bytes(struct tensor *t, const void *bytes) {
  union scalar *to = t->data;
  unsigned bits = dtype_bits(t->dtype);
  for (int64_t i = 0; i < t->count; i++)
    to[i] = scalar_from_bits(t->dtype, load_bits(bytes, bits, i));
}

struct tensor *tensor_from_bytes(struct arena *arena, enum dtype dtype, const int64_t *dims,
                                 uint32_t rank, const void *bytes) {
  struct tensor *t = tensor_create(arena, dtype, dims, rank);
  if (t)
    tensor_read_bytes(t, bytes);
  return t;
}

void *tensor_to_bytes(struct arena *arena, const struct tensor *t, uint64_t *out_bytes) {
  unsigned bits = dtype_bits(t->dtype);
  uint64_t n = (uint64_t)t->count;
  *out_bytes = bits < 8 ? (n * bits + 7) / 8 : n * (bits / 8);
  uint8_t *bytes = arena_alloc(arena, *out_bytes);
  const union scalar *from = t->data;
  for (int64_t i = 0; i < t->count; i++)
    store_bits(bytes, bits, i, scalar_to_bits(t->dtype, from[i]));
  return bytes;
}

/* ---- strides ---- */

void strides_of(const int64_t *dims, uint32_t rank, int64_t *out_strides) {
  int64_t stride = 1;
  for (uint32_t d = rank; d-- > 0;) {
    out_strides[d] = stride;
    stride *= dims[d] > 0 ? dims[d] : 1;
  }
}

void strides_broadcast(const struct tensor *t, int64_t *out_strides) {
  strides_of(t->dims, t->rank, out_strides);
  for (uint32_t d = 0; d < t->rank; d++)
    if (t->dims[d] == 1)
      out_strides[d] = 0;
}

uint32_t strides_collapse(int64_t *dims, uint32_t rank, int64_t *strides, uint32_t n_lists) {
  uint32_t kept = 0;
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] == 1)
      continue;
    bool fuse = kept > 0;
    for (uint32_t k = 0; fuse && k < n_lists; k++) {
      const int64_t *s = strides + (size_t)k * IR_MAX_RANK;
      fuse = s[kept - 1] == s[d] * dims[d];
    }
    uint32_t at = fuse ? kept - 1 : kept++;
    dims[at] = fuse ? dims[at] * dims[d] : dims[d];
    for (uint32_t k = 0; k < n_lists; k++)
      strides[(size_t)k * IR_MAX_RANK + at] = strides[(size_t)k * IR_MAX_RANK + d];
  }
  if (kept == 0) {
    dims[0] = 1;
    for (uint32_t k = 0; k < n_lists; k++)
      strides[(size_t)k * IR_MAX_RANK] = 0;
    kept = 1;
  }
  return kept;
}

bool index_next(int64_t *index, const int64_t *dims, uint32_t rank) {
  for (uint32_t d = rank; d-- > 0;) {
    if (++index[d] < dims[d])
      return true;
    index[d] = 0;
  }
  return false;
}

static void copy_row(union scalar *to, int64_t to_stride, const union scalar *from,
                     int64_t from_stride, int64_t n) {
  if (to_stride == 1 && from_stride == 1) {
    memcpy(to, from, (size_t)n * sizeof *to);
    return;
  }
  for (int64_t i = 0; i < n; i++)
    to[i * to_stride] = from[i * from_stride];
}

void strided_copy(void *to, const int64_t *to_strides, const void *from,
                  const int64_t *from_strides, const int64_t *dims, uint32_t rank) {
  int64_t box[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, strides[2 * IR_MAX_RANK];
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] == 0)
      return;
    box[d] = dims[d];
    strides[d] = to_strides[d];
    strides[IR_MAX_RANK + d] = from_strides[d];
  }
  rank = strides_collapse(box, rank, strides, 2);
  const int64_t *ts = strides, *fs = strides + IR_MAX_RANK;
  int64_t to_at = 0, from_at = 0;
  for (;;) {
    copy_row((union scalar *)to + to_at, ts[rank - 1], (const union scalar *)from + from_at,
             fs[rank - 1], box[rank - 1]);
    uint32_t d = rank - 1;
    for (;; d--) {
      if (d == 0)
        return;
      to_at += ts[d - 1];
      from_at += fs[d - 1];
      if (++index[d - 1] < box[d - 1])
        break;
      index[d - 1] = 0;
      to_at -= ts[d - 1] * box[d - 1];
      from_at -= fs[d - 1] * box[d - 1];
    }
  }
}
