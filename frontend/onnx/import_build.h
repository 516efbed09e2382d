/* SPDX-License-Identifier: Apache-2.0 */
/* Small graphs that several importers build. As with builder calls, VALUE_NONE in gives VALUE_NONE
 * out. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_BUILD_H
#define SINTER_FRONTEND_ONNX_IMPORT_BUILD_H

#include "frontend/onnx/import_node.h"

/* A dim as a scalar (rank 0) of any numeric dtype. */
value_id import_dim_scalar(struct import_node *n, dim d, enum dtype dtype);
/* The product of the dims of x along axes. */
dim import_dims_product(struct import_node *n, value_id x, struct ints axes);
/* Axes first, first + 1, ..., last - 1. */
struct ints import_range(struct import_node *n, uint32_t first, uint32_t last);

/* Reductions that keep the reduced dims as 1. */
value_id import_reduce(struct import_node *n, value_id x, struct ints axes, enum combiner kind);
value_id import_reduce_mean(struct import_node *n, value_id x, struct ints axes);
/* e^(x - max) over the sum of those, in the dtype of x; of floats below f32 it is computed in f32.
 */
value_id import_softmax_over(struct import_node *n, value_id x, struct ints axes);
value_id import_log_softmax_over(struct import_node *n, value_id x, struct ints axes);

/* x of one dim as [1.., C, 1..] of the given rank with C at `axis`; x itself if it has rank 0. */
value_id import_along_axis(struct import_node *n, value_id x, uint32_t rank, uint32_t axis);

/* (x - mean) / sqrt(variance + epsilon) over axes. out_mean and out_inverse (1 / the root) may be
 * NULL. Call it with x in the dtype to compute in. */
value_id import_normalize(struct import_node *n, value_id x, struct ints axes, double epsilon,
                          value_id *out_mean, value_id *out_inverse);
/* x / sqrt(mean of squares + epsilon) over axes. */
value_id import_rms_normalize(struct import_node *n, value_id x, struct ints axes, double epsilon,
                              value_id *out_inverse);

/* A choice among n_cases at run time: nested `if` ops on a rank 0 i64 selector; the last case is
 * also for all other values. `build` makes case `which` at the place n->b is at and sets n_results
 * values. False if a case failed. Result dims that differ become fresh symbols. */
typedef void import_case_fn(struct import_node *n, void *user, uint32_t which, value_id *out);
enum { IMPORT_MAX_CASES = 1024 };
bool import_switch(struct import_node *n, value_id selector, uint32_t n_cases,
                   import_case_fn *build, void *user, uint32_t n_results, value_id *out_results);

/* Axes given as operand i, for any rank: calls `build` with the constant axes (>= 0, ascending),
 * or, where they are run-time values of a known number, once for each possible choice. `build`
 * makes n_results values. If the operand is absent, `axes` has length 0. */
typedef void import_axes_fn(struct import_node *n, void *user, struct ints axes, value_id *out);
bool import_with_axes(struct import_node *n, uint32_t i, uint32_t rank, import_axes_fn *build,
                      void *user, uint32_t n_results, value_id *out_results);

#endif
