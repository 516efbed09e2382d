/* SPDX-License-Identifier: Apache-2.0 */
/* Small builders that importers of shapes, indices and coordinates share. VALUE_NONE passes through
 * all of them. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_UTIL_H
#define SINTER_FRONTEND_ONNX_IMPORT_UTIL_H

#include "frontend/onnx/import_build.h"

static inline value_id value_add(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_ADD, x, y);
}
static inline value_id value_sub(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_SUB, x, y);
}
static inline value_id value_mul(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_MUL, x, y);
}
static inline value_id value_div(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_DIV, x, y);
}
static inline value_id value_min(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_MIN, x, y);
}
static inline value_id value_max(struct builder *b, value_id x, value_id y) {
  return build_binary(b, SCALAR_MAX, x, y);
}

/* 0, 1, ... along `axis` of a tensor whose other dims are 1. */
value_id import_axis_iota(struct import_node *n, enum dtype dtype, uint32_t rank, uint32_t axis,
                          dim size);
/* Operand i, which has one element, as a scalar of a dtype. */
value_id import_scalar(struct import_node *n, uint32_t i, enum dtype dtype);
/* x as a tensor whose dims are 1 but for `axis`; x has one dim. */
value_id import_along_axis(struct import_node *n, value_id x, uint32_t rank, uint32_t axis);

/* An index operand as i64, with `size` added where it is negative. */
value_id import_wrap_index(struct import_node *n, value_id index, dim size);
/* The coordinates of the elements that are not zero, i64 [rank, count]. */
value_id import_nonzero_of(struct import_node *n, value_id x);
/* data with the dims of `index` (>= 0) in the place of `axis`. */
value_id import_gather_axis(struct import_node *n, value_id data, value_id index, uint32_t axis,
                            enum out_of_range mode);

/* A dim under a name of its own: a fresh symbol, bound here to its value. Keeps what is made of
 * run-time values from growing into long expressions. Constants and symbols stay what they are. */
dim import_named_dim(struct import_node *n, dim d);
/* d, or a name for it where it is long. */
dim import_short_dim(struct import_node *n, dim d);
/* Products, whose factors are named where one expression of them would be too long. */
dim import_product(struct import_node *n, const dim *dims, uint32_t count);
dim import_elements(struct import_node *n, const struct type *type);
/* Whether nothing is known of a dim but that it is a value at run time. */
bool import_dim_is_free(struct import_node *n, dim d);
/* min(max(d, lo), hi) */
dim import_dim_clamp(struct import_node *n, dim d, dim lo, dim hi);
/* 1 where d is >= 0, or is `other`; else 0. */
dim import_dim_not_negative(struct import_node *n, dim d);
dim import_dim_equals(struct import_node *n, dim d, dim other);
/* How many of start, start + step, ... come before limit; step is not 0 where it is known. */
dim import_dim_steps(struct import_node *n, dim start, dim limit, dim step);
/* The dims of a value; a list in the module's arena. */
dim *import_dims_of(struct import_node *n, value_id v);
/* Product of the dims first .. last - 1 of a value. */
dim import_dims_between(struct import_node *n, value_id v, uint32_t first, uint32_t last);

#endif
