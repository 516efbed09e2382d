/* SPDX-License-Identifier: Apache-2.0 */
/* What the eval and flops hooks in ir/ops share. */
#ifndef SINTER_IR_OPS_EVAL_UTIL_H
#define SINTER_IR_OPS_EVAL_UTIL_H

#include "ir/field.h"
#include "ir/interp.h"
#include "ir/scalar_eval.h"
#include "ir/shard_index.h"

#include <inttypes.h>
#include <string.h>

static inline union scalar *tensor_slots(const struct tensor *t) { return t->data; }

/* A tensor seen as [outer, n, inner] around an axis. */
struct axis_split {
  int64_t outer, n, inner;
};
struct axis_split split_at(const int64_t *dims, uint32_t rank, int64_t axis);

/* ceil(x / y) for x >= 0, y >= 1. */
static inline int64_t ceil_div(int64_t x, int64_t y) { return x / y + (x % y != 0); }

/* The w in [*out_first, *out_end) are those with 0 <= base + w * step < n, of 0 <= w < count.
 * step >= 1. */
void range_inside_of(int64_t base, int64_t step, int64_t count, int64_t n, int64_t *out_first,
                     int64_t *out_end);

/* -1, 0 or 1 in the order that sorts: NaN is the greatest and equal to NaN, -0 equals +0. */
int slot_compare(enum dtype dtype, union scalar a, union scalar b);

/* Whether argmax (or argmin: `least`) prefers x to y, where NaN is preferred to all others. */
bool slot_better(bool least, enum dtype dtype, union scalar x, union scalar y);

/* Whether a sliding window has that many places (the type rules' formula, checked). */
bool window_fits(int64_t n, int64_t low, int64_t high, int64_t size, int64_t stride,
                 int64_t dilation, int64_t places);

/* Result 0 is a constant, or on a rank, where there is a sharding, the part of it that the rank
 * holds. */
status interp_constant(struct interp *in, const struct op *op, constant_id id, sharding_id split);

/* How floats of a dtype add up in the mode. Integers are the same in all. */
enum arithmetic { ARITHMETIC_F64, ARITHMETIC_F32, ARITHMETIC_FIELD };
enum arithmetic interp_arithmetic(const struct interp *in, enum dtype dtype);
/* What slots of a dtype compare as: elements of the field by their representatives. */
static inline enum dtype interp_order_dtype(const struct interp *in, enum dtype dtype) {
  return in->mode == INTERP_FIELD && dtype_is_float(dtype) ? DTYPE_U64 : dtype;
}
/* scalar_identity as the mode holds it. */
union scalar interp_identity(const struct interp *in, enum combiner kind, enum dtype dtype);

/* One step of an accumulation. */
static inline union scalar accumulate(enum arithmetic how, enum combiner kind, enum dtype dtype,
                                      union scalar acc, union scalar x) {
  if (how == ARITHMETIC_FIELD)
    return (union scalar){.i64 = field_combine(kind, acc.i64, x.i64)};
  union scalar y = scalar_combine(kind, dtype, acc, x);
  if (how == ARITHMETIC_F32)
    y.f64 = (double)(float)y.f64;
  return y;
}

/* y += a * x over n neighbours, in vectors: every element still sees one product and one sum. */
#define DEFINE_AXPY(name, T)                                                                       \
  static inline void name(T *y, const T *x, T a, int64_t n) {                                      \
    typedef T vector __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));              \
    const int64_t lanes = (int64_t)(sizeof(vector) / sizeof(T));                                   \
    int64_t i = 0;                                                                                 \
    for (; i + lanes <= n; i += lanes)                                                             \
      *(vector *)(y + i) += a * *(const vector *)(x + i);                                          \
    for (; i < n; i++)                                                                             \
      y[i] += a * x[i];                                                                            \
  }
DEFINE_AXPY(axpy_f32, float)
DEFINE_AXPY(axpy_f64, double)
DEFINE_AXPY(axpy_u64, uint64_t)
static inline void axpy_field(int64_t *y, const int64_t *x, int64_t a, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    y[i] = field_add(y[i], field_mul(a, x[i]));
}

/* Sums of products of two dtypes (contract, conv) as the result: integers of at most 16 bits have
 * accumulated in i32; then everything becomes the result's dtype. */
void product_settle(const struct interp *in, enum dtype lhs, enum dtype rhs, struct tensor *t);

/* The index operands of gather and scatter. walk_first puts them at their first element; it and
 * walk_next give where in the data they point, as an element offset. */
struct index_walk {
  uint32_t n; /* index tensors */
  uint32_t rank;
  int64_t dims[IR_MAX_RANK]; /* what they broadcast to */
  int64_t index[IR_MAX_RANK];
  const struct tensor *tensors[IR_MAX_RANK];
  int64_t strides[IR_MAX_RANK][IR_MAX_RANK];
  int64_t data_strides[IR_MAX_RANK];    /* per index tensor */
  struct shard_part parts[IR_MAX_RANK]; /* what this rank holds of the dim that it indexes */
  uint32_t rest_rank;                   /* of the data dims that are not indexed */
  int64_t rest_dims[IR_MAX_RANK], rest_strides[IR_MAX_RANK];
};
status index_walk_init(struct interp *in, const struct op *op, const struct ints *axes,
                       const struct tensor *data, uint32_t first, struct index_walk *out_walk);
/* The offset that the present index tuple points to, negative where another rank holds it. False
 * where an index is out of range: then *out_offset is where it goes when each is clamped, *out_bad
 * the (first) one. */
bool index_walk_offset(const struct index_walk *w, int64_t *out_offset, int64_t *out_bad);

/* elements of a value's type times a number. */
dim flops_per_element(const struct function *f, value_id v, int64_t each);

#endif
