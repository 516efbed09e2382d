/* SPDX-License-Identifier: Apache-2.0 */
/* expand_combine: merges of tuples as primitives that kernels are made of.
 *
 *     %o, %l = combine %os, %ls { kind = softmax }       %m = reduce max %ls over the ranks
 *                                                 =>     %w = exp(%ls - %m) / sum of them
 *                                                        %o = sum of %w * %os ...
 *
 * argmax takes the best value and, of the ranks that have it, the least index; topk sorts all
 * candidates by index and then, keeping that order among equals, by value, since ranks may have
 * indices in any order. An index of INT64_MAX stands for nothing.
 *
 * Values are those of the ops within rounding. Requires: localised functions. */
#include <math.h>

#include "ir/scalar_eval.h"
#include "passes/partition/part_views.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

static const struct type *type_of(const struct rewriter *w, value_id v) {
  return value_type(w->f, v);
}

/* A reduction over the first dim, which goes. */
static value_id over_ranks(struct rewriter *w, value_id x, enum combiner kind) {
  value_id y = build_reduce(&w->b, x, (int64_t[]){0}, 1, kind);
  return y ? build_squeeze(&w->b, y, (int64_t[]){0}, 1) : y;
}

static value_id binary(struct rewriter *w, enum scalar_op op, value_id x, value_id y) {
  return build_binary(&w->b, op, x, y);
}

/* ---- softmax ---- */

/* exp(x - most), 0 where nothing is above -inf. */
static value_id weights(struct rewriter *w, value_id x, value_id most) {
  value_id some = build_binary_f64(&w->b, SCALAR_NE, most, -(double)INFINITY);
  value_id e = build_unary(&w->b, SCALAR_EXP, binary(w, SCALAR_SUB, x, most));
  return build_select(&w->b, some, e, build_scalar_f64(&w->b, type_of(w, x)->dtype, 0));
}

/* x / total, 0 where that is 0. */
static value_id share(struct rewriter *w, value_id x, value_id total) {
  value_id some = build_binary_f64(&w->b, SCALAR_GT, total, 0);
  return build_select(&w->b, some, binary(w, SCALAR_DIV, x, total),
                      build_scalar_f64(&w->b, type_of(w, x)->dtype, 0));
}

static value_id lse_of(struct rewriter *w, value_id most, value_id total) {
  return binary(w, SCALAR_ADD, most, build_unary(&w->b, SCALAR_LOG, total));
}

/* The weights are made with the ranks as the last dim: then they are rows, and one kernel. */
static void merge_softmax(struct rewriter *w, const struct op *op, value_id out[2]) {
  value_id o = op->operands[0];
  enum dtype dtype = type_of(w, o)->dtype, wider = type_of(w, op->operands[1])->dtype;
  int64_t last = type_of(w, op->operands[1])->rank - 1, behind = last + 1;
  value_id lse = part_view_move(&w->b, op->operands[1], 0, (uint32_t)last);
  out[0] = out[1] = VALUE_NONE;
  if (!lse)
    return;
  value_id most = build_reduce(&w->b, lse, &last, 1, COMBINER_MAX);
  value_id each = weights(w, lse, most);
  value_id total = build_reduce(&w->b, each, &last, 1, COMBINER_SUM);
  value_id wide = part_view_move(&w->b, share(w, each, total), (uint32_t)last, 0);
  wide = wide ? build_unsqueeze(&w->b, wide, &behind, 1) : wide;
  value_id sum =
      over_ranks(w, binary(w, SCALAR_MUL, build_cast(&w->b, o, wider), wide), COMBINER_SUM);
  out[0] = build_cast(&w->b, sum, dtype);
  out[1] = build_squeeze(&w->b, lse_of(w, most, total), &last, 1);
}

/* ---- values and indices ---- */

static void merge_arg(struct rewriter *w, const struct op *op, enum combiner kind,
                      value_id out[2]) {
  value_id v = op->operands[0], index = op->operands[1];
  out[0] = over_ranks(w, v, kind);
  value_id same = binary(w, SCALAR_EQ, v, out[0]);
  if (dtype_is_float(type_of(w, v)->dtype))
    same = binary(w, SCALAR_OR, same,
                  binary(w, SCALAR_AND, build_unary(&w->b, SCALAR_ISNAN, v),
                         build_unary(&w->b, SCALAR_ISNAN, out[0])));
  value_id none = build_scalar_i64(&w->b, DTYPE_I64, INT64_MAX);
  out[1] = over_ranks(w, build_select(&w->b, same, index, none), COMBINER_MIN);
}

/* x at the places `at` along an axis. */
static value_id take_along(struct rewriter *w, value_id x, value_id at, uint32_t axis) {
  value_id indices[IR_MAX_RANK];
  int64_t axes[IR_MAX_RANK];
  if (!x || !at)
    return VALUE_NONE;
  const struct type type = *type_of(w, at);
  for (uint32_t d = 0; d < type.rank; d++) {
    axes[d] = d;
    indices[d] = d == axis ? at : build_iota(&w->b, DTYPE_I64, type.dims, type.rank, d);
  }
  return build_gather(&w->b, x, indices, axes, type.rank, OUT_OF_RANGE_CLAMP);
}

/* The rows of all ranks one after the other along the axis. */
static value_id in_one_row(struct rewriter *w, value_id x, uint32_t axis) {
  dim dims[IR_MAX_RANK];
  x = part_view_move(&w->b, x, 0, axis);
  if (!x)
    return x;
  const struct type type = *type_of(w, x);
  for (uint32_t d = 0; d + 1 < type.rank; d++)
    dims[d] = type.dims[d + (d > axis)];
  dims[axis] = dim_mul(w->dims, type.dims[axis], type.dims[axis + 1]);
  return build_reshape(&w->b, x, dims, type.rank - 1);
}

/* What comes after all others. */
static value_id worst(struct rewriter *w, enum dtype dtype, bool descending) {
  if (dtype_is_float(dtype))
    return build_scalar_f64(&w->b, dtype, descending ? -(double)INFINITY : (double)NAN);
  union scalar x = scalar_identity(descending ? COMBINER_MAX : COMBINER_MIN, dtype);
  return build_scalar_i64(&w->b, dtype, x.i64);
}

static void merge_rows(struct rewriter *w, const struct op *op, bool descending, value_id out[2]) {
  uint32_t axis = (uint32_t)OP_ATTRS(combine, op)->axis;
  dim k = type_of(w, op->results[0])->dims[axis];
  enum dtype dtype = type_of(w, op->operands[0])->dtype;
  value_id v = in_one_row(w, op->operands[0], axis), index = in_one_row(w, op->operands[1], axis);
  out[0] = out[1] = VALUE_NONE;
  if (!v || !index)
    return;
  struct topk_attrs by_index = {.axis = axis, .k = type_of(w, index)->dims[axis]};
  op_id sorted = build_op(&w->b, OP_TOPK, &index, 1, NULL, 0, &by_index);
  index = op_result(w->f, sorted, 0);
  v = take_along(w, v, op_result(w->f, sorted, 1), axis);
  value_id none = build_binary_i64(&w->b, SCALAR_EQ, index, INT64_MAX);
  v = build_select(&w->b, none, worst(w, dtype, descending), v);
  struct topk_attrs by_value = {.axis = axis, .k = k, .descending = descending};
  op_id best = build_op(&w->b, OP_TOPK, &v, 1, NULL, 0, &by_value);
  out[0] = op_result(w->f, best, 0);
  out[1] = take_along(w, index, op_result(w->f, best, 1), axis);
}

static void expand_merge(struct rewriter *w, const struct op *op, value_id out[2]) {
  switch (OP_ATTRS(combine, op)->kind) {
  case PARTIAL_SOFTMAX: merge_softmax(w, op, out); break;
  case PARTIAL_ARGMAX: merge_arg(w, op, COMBINER_MAX, out); break;
  case PARTIAL_ARGMIN: merge_arg(w, op, COMBINER_MIN, out); break;
  case PARTIAL_TOPK: merge_rows(w, op, true, out); break;
  default: merge_rows(w, op, false, out); break;
  }
}

static enum rewrite expand(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  value_id out[2];
  if (op.kind != OP_COMBINE)
    return NO_MATCH;
  expand_merge(w, &op, out);
  bool both = rewrite_result(w, id, 0, out[0]);
  return rewrite_result(w, id, 1, out[1]) && both ? REPLACED : NO_MATCH;
}

status pass_expand_combine(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = expand}, &st);
  return st;
}
