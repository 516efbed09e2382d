/* SPDX-License-Identifier: Apache-2.0 */
/* What the type rules in ir/ops share. Every bool function that takes `why` returns false with a
 * message there where its argument breaks the rule. Nothing is refused that could be right for some
 * values of the symbols: what cannot be proved is left to the run-time checks. */
#ifndef SINTER_IR_OPS_OP_UTIL_H
#define SINTER_IR_OPS_OP_UTIL_H

#include "base/str.h"
#include "ir/graph.h"

/* The attributes of an op_view known to be of that kind. */
#define VIEW_ATTRS(text, op) ((const struct text##_attrs *)(op)->attrs)

/* Writes the message and returns false, so that `return op_refuse(...)` works. */
bool op_refuse(struct strbuf *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline const struct type *op_operand(const struct op_view *op, uint32_t i) {
  return value_type(op->function, op->operands[i]);
}
static inline struct dim_table *op_dim_table(const struct op_view *op) {
  return op->function->module->dims;
}

/* ---- attributes ---- */

bool op_check_len(struct strbuf *why, const char *name, uint32_t len, uint32_t wanted);
/* 0 <= axis < rank. */
bool op_check_axis(struct strbuf *why, int64_t axis, uint32_t rank);
/* Each in range, none twice; *out_mask (may be NULL) gets the bits of those listed. */
bool op_check_axes(struct strbuf *why, const char *name, const struct ints *axes, uint32_t rank,
                   uint32_t *out_mask);
/* Each at least `least`. */
bool op_check_ints(struct strbuf *why, const char *name, const struct ints *xs, int64_t least);
/* Valid expressions, none provably below 0. */
bool op_check_sizes(struct strbuf *why, struct dim_table *t, const char *name,
                    const struct dims *xs);
/* Sound as the type of a value, apart from its sharding: for attributes that spell types out. */
bool op_check_type(struct strbuf *why, struct dim_table *t, const struct type *type);

/* ---- operands ---- */

/* Operand i has this dtype and rank. */
bool op_check_operand(const struct op_view *op, struct strbuf *why, uint32_t i, enum dtype dtype,
                      uint32_t rank);
bool op_check_rank(const struct op_view *op, struct strbuf *why, uint32_t i, uint32_t rank);
/* Same dtype, rank, and no dim provably unequal. */
bool op_check_same_type(struct strbuf *why, struct dim_table *t, const char *what,
                        const struct type *a, const struct type *b);
static inline bool dtype_is_number(enum dtype t) { return dtype_is_float(t) || dtype_is_int(t); }
/* Whether a reduction of that kind takes the dtype: sum prod max min argmax argmin take numbers,
 * and or xor take ints and bool. NONE takes none. */
bool op_check_combiner(struct strbuf *why, enum combiner kind, enum dtype dtype);
/* contract and conv: operands and result are all floats or all ints; the operands' dtypes are equal
 * or both of at most 16 bits (ints) or 8 bits (floats). */
bool op_check_product_dtypes(struct strbuf *why, enum dtype lhs, enum dtype rhs, enum dtype result);
static inline bool combiner_is_arg(enum combiner k) {
  return k == COMBINER_ARGMAX || k == COMBINER_ARGMIN;
}

/* ---- dims ---- */

/* The better known of two dims that are equal at run time; DIM_NONE where they provably differ. */
dim op_dim_merge(struct dim_table *t, dim a, dim b);
/* The dim that a and b broadcast to; DIM_NONE where they provably cannot. Where nothing is known of
 * either it is their max. */
dim op_dim_broadcast(struct dim_table *t, dim a, dim b);
/* Places of a window of `size` elements, `dilation` apart, that steps by `stride` over
 * low + n + high elements. */
dim op_dim_window(struct dim_table *t, dim n, dim low, dim high, dim size, int64_t stride,
                  int64_t dilation);

/* ---- results ---- */

/* Fills in a result type; refuses dims that are not expressible or provably negative, and too high
 * a rank. */
bool op_make_type(struct strbuf *why, struct dim_table *t, enum dtype dtype, const dim *dims,
                  uint32_t rank, struct type *out_type);

/* Gather and scatter: the index operands (from `first` on, one for each entry of axes) against the
 * data type. Gives the dims of the index space and then the dims of the data that are not indexed;
 * out_index_rank is where the second part begins. */
bool op_indexed_dims(const struct op_view *op, struct strbuf *why, const struct type *data,
                     const struct ints *axes, uint32_t first, dim *out_dims, uint32_t *out_rank,
                     uint32_t *out_index_rank);

#endif
